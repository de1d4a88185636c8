//! Sockets, and descriptors that travel through them.
//!
//! Descriptors that would leak are counted by what they keep open: a pipe whose
//! last writer is gone reads as ended.

mod common;

use barecall::Errno;
use barecall::fd::{AsFd as _, BorrowedFd, OwnedFd};
use barecall::io::{self, FdFlags, IoSlice, IoSliceMut, PipeFlags};
use barecall::net::{
    self, ControlMessage, Credentials, MsgFlags, RecvControl, SendControl, Shutdown, SocketFlags,
    SocketType, UnixAddr, credentials_space, recvmsg, rights_space, sendmsg, socketpair,
};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(SocketType::SEQPACKET, SocketFlags::CLOEXEC).unwrap()
}

fn send(socket: &OwnedFd, fds: &[BorrowedFd<'_>]) {
    let mut control = SendControl::<{ rights_space(253) }>::new();
    control.push_rights(fds).unwrap();
    let sent = sendmsg(socket, &[IoSlice::new(b"x")], &control, MsgFlags::empty());
    assert_eq!(sent, Ok(1));
}

fn receive<const N: usize>(socket: &OwnedFd, control: &mut RecvControl<N>) -> MsgFlags {
    let mut byte = [0];
    let bufs = &mut [IoSliceMut::new(&mut byte)];
    let received = recvmsg(socket, bufs, control, MsgFlags::empty()).unwrap();
    assert_eq!((received.bytes, byte), (1, *b"x"));
    received.flags - MsgFlags::EOR
}

fn rights<const N: usize>(control: &mut RecvControl<N>) -> Vec<OwnedFd> {
    let mut all = Vec::new();
    for message in control.messages() {
        match message {
            ControlMessage::Rights(fds) => all.extend(fds),
            other => panic!("{other:?}"),
        }
    }
    all
}

/// Whether nobody has a writer of this pipe any more.
fn ended(reader: &OwnedFd) -> bool {
    match io::read(reader, &mut [0; 8]) {
        Ok(0) => true,
        Err(Errno::EAGAIN) => false,
        other => panic!("{other:?}"),
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    io::pipe2(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap()
}

#[test]
fn received_descriptors_are_owned_and_close_on_exec() {
    let (a, b) = pair();
    let (reader, writer) = pipe();
    send(&a, &[writer.as_fd(), reader.as_fd(), writer.as_fd()]);
    drop(writer);
    assert!(!ended(&reader), "on its way");
    let mut control = RecvControl::<{ rights_space(3) }>::new();
    assert_eq!(receive(&b, &mut control), MsgFlags::empty());
    let fds = rights(&mut control);
    assert_eq!(fds.len(), 3);
    for fd in &fds {
        assert_eq!(io::fcntl_getfd(fd), Ok(FdFlags::CLOEXEC));
    }
    assert_eq!(rights(&mut control).len(), 0, "handed out once");
    drop(control);
    assert!(!ended(&reader));
    drop(fds);
    assert!(ended(&reader));
}

#[test]
fn descriptors_that_nobody_takes_are_closed() {
    let (a, b) = pair();
    let (reader, writer) = pipe();
    send(&a, &[writer.as_fd(), writer.as_fd()]);
    send(&a, &[writer.as_fd()]);
    drop(writer);
    let mut control = RecvControl::<{ rights_space(2) }>::new();
    receive(&b, &mut control);
    // One is taken, the other is not even looked at.
    for message in control.messages() {
        if let ControlMessage::Rights(mut fds) = message {
            assert!(fds.next().is_some());
        }
    }
    // The next message takes the place of the first.
    receive(&b, &mut control);
    assert!(!ended(&reader));
    drop(control);
    assert!(ended(&reader));
}

#[test]
fn cut_off_descriptors_are_reported_and_not_leaked() {
    let (a, b) = pair();
    let (reader, writer) = pipe();
    fn cut<const N: usize>(a: &OwnedFd, b: &OwnedFd, writer: &OwnedFd, fit: usize) {
        send(a, &[writer.as_fd(); 5]);
        let mut control = RecvControl::<N>::new();
        assert_eq!(receive(b, &mut control), MsgFlags::CTRUNC, "{N}");
        assert_eq!(rights(&mut control).len(), fit, "{N}");
    }
    cut::<0>(&a, &b, &writer, 0);
    cut::<8>(&a, &b, &writer, 0);
    cut::<16>(&a, &b, &writer, 0);
    cut::<20>(&a, &b, &writer, 1);
    // Room for one and its padding, says the macro; the kernel puts two there.
    cut::<{ rights_space(1) }>(&a, &b, &writer, 2);
    cut::<28>(&a, &b, &writer, 3);
    drop(writer);
    assert!(ended(&reader));
}

#[test]
fn as_many_descriptors_as_the_kernel_takes() {
    let (a, b) = pair();
    let (reader, writer) = pipe();
    send(&a, &[writer.as_fd(); 253]);
    let mut control = RecvControl::<{ rights_space(253) }>::new();
    assert_eq!(receive(&b, &mut control), MsgFlags::empty());
    assert_eq!(rights(&mut control).len(), 253);

    let mut control = SendControl::<{ rights_space(254) }>::new();
    control.push_rights(&[writer.as_fd(); 254]).unwrap();
    let sent = sendmsg(&a, &[IoSlice::new(b"x")], &control, MsgFlags::empty());
    assert_eq!(sent, Err(Errno::EINVAL));
    drop(writer);
    assert!(ended(&reader));
}

#[test]
fn control_data_that_does_not_fit_is_refused_before_it_is_sent() {
    let (_, writer) = pipe();
    let mut control = SendControl::<{ rights_space(2) }>::new();
    assert_eq!(
        control.push_rights(&[writer.as_fd(); 3]),
        Err(Errno::ENOBUFS)
    );
    assert_eq!(control.push_rights(&[writer.as_fd(); 2]), Ok(()));
    assert_eq!(control.push_rights(&[]), Err(Errno::ENOBUFS));
    assert_eq!(
        SendControl::<8>::new().push_rights(&[]),
        Err(Errno::ENOBUFS)
    );
}

#[test]
fn the_room_for_descriptors_is_that_of_c_and_never_wraps() {
    for n in 0..=300 {
        // SAFETY: a calculation.
        let space = unsafe { libc::CMSG_SPACE(4 * n as u32) };
        assert_eq!(rights_space(n), space as usize, "{n}");
    }
    for n in [usize::MAX / 4, usize::MAX / 2, usize::MAX] {
        assert!(rights_space(n) >= n, "{n}");
    }
}

#[test]
fn credentials_come_when_asked_for() {
    let (a, b) = pair();
    net::set_pass_credentials(&b, true).unwrap();
    let (_reader, writer) = pipe();
    send(&a, &[writer.as_fd()]);
    let mut control = RecvControl::<{ rights_space(1) + credentials_space() }>::new();
    assert_eq!(receive(&b, &mut control), MsgFlags::empty());
    let pid = std::process::id() as i32;
    let (mut fds, mut senders) = (0, Vec::new());
    for message in control.messages() {
        match message {
            ControlMessage::Rights(rights) => fds += rights.count(),
            ControlMessage::Credentials(sender) => senders.push(sender),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fds, 1);
    assert_eq!(senders.len(), 1);
    assert_eq!(senders[0].pid, pid);
    assert_eq!(net::peer_credentials(&b), Ok(senders[0]));

    let mut control = SendControl::<{ credentials_space() }>::new();
    control.push_credentials(senders[0]).unwrap();
    let sent = sendmsg(&a, &[IoSlice::new(b"x")], &control, MsgFlags::empty());
    assert_eq!(sent, Ok(1));
    // A process that is not there cannot be claimed, not even by root.
    let mut control = SendControl::<{ credentials_space() }>::new();
    control
        .push_credentials(Credentials {
            pid: i32::MAX,
            ..senders[0]
        })
        .unwrap();
    let sent = sendmsg(&a, &[IoSlice::new(b"x")], &control, MsgFlags::empty());
    assert!(matches!(sent, Err(Errno::ESRCH | Errno::EPERM)), "{sent:?}");
}

#[test]
fn a_message_that_is_too_long_is_cut_off_and_says_so() {
    let (a, b) = pair();
    let bufs = [IoSlice::new(b"abc"), IoSlice::new(b"def")];
    assert_eq!(
        sendmsg(&a, &bufs, &SendControl::NONE, MsgFlags::empty()),
        Ok(6)
    );
    let mut buf = [0; 4];
    let mut control = RecvControl::<0>::new();
    let bufs = &mut [IoSliceMut::new(&mut buf)];
    let received = recvmsg(&b, bufs, &mut control, MsgFlags::empty()).unwrap();
    assert_eq!(received.bytes, 4);
    assert!(received.flags.contains(MsgFlags::TRUNC));
    assert_eq!(&buf, b"abcd");
}

#[test]
fn the_end_of_a_connection_is_seen() {
    let (a, b) = pair();
    let mut control = RecvControl::<0>::new();
    let empty = recvmsg(&b, &mut [], &mut control, MsgFlags::DONTWAIT);
    assert_eq!(empty, Err(Errno::EAGAIN));
    net::shutdown(&a, Shutdown::Write).unwrap();
    let mut buf = [0; 4];
    assert_eq!(io::read(&b, &mut buf), Ok(0));
    drop(b);
    let sent = sendmsg(
        &a,
        &[IoSlice::new(b"x")],
        &SendControl::NONE,
        MsgFlags::NOSIGNAL,
    );
    assert_eq!(sent, Err(Errno::EPIPE));
}

#[test]
fn addresses_are_paths_or_abstract_names() {
    let name = format!("barecall-test-{}", std::process::id());
    let addr = UnixAddr::new_abstract(name.as_bytes()).unwrap();
    assert_eq!(format!("{addr:?}"), format!("UnixAddr(\"\\x00{name}\")"));
    let server = net::socket(SocketType::STREAM, SocketFlags::CLOEXEC).unwrap();
    let client = net::socket(SocketType::STREAM, SocketFlags::CLOEXEC).unwrap();
    assert_eq!(net::connect(&client, &addr), Err(Errno::ECONNREFUSED));
    net::bind(&server, &addr).unwrap();
    net::listen(&server, 4).unwrap();
    net::connect(&client, &addr).unwrap();
    let peer = net::accept4(&server, SocketFlags::CLOEXEC).unwrap();
    io::write(&client, b"hi").unwrap();
    assert_eq!(io::read(&peer, &mut [0; 8]), Ok(2));

    let path = std::env::temp_dir().join(&name);
    let path_c = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let addr = UnixAddr::new(&path_c).unwrap();
    let server = net::socket(SocketType::DGRAM, SocketFlags::CLOEXEC).unwrap();
    net::bind(&server, &addr).unwrap();
    let twice = net::socket(SocketType::DGRAM, SocketFlags::CLOEXEC).unwrap();
    assert_eq!(net::bind(&twice, &addr), Err(Errno::EADDRINUSE));
    net::connect(&twice, &addr).unwrap();
    std::fs::remove_file(path).unwrap();

    assert!(UnixAddr::new(c"").is_none());
    let long = std::ffi::CString::new([b'a'; 107]).unwrap();
    assert!(UnixAddr::new(&long).is_some());
    let long = std::ffi::CString::new([b'a'; 108]).unwrap();
    assert!(UnixAddr::new(&long).is_none());
    assert!(UnixAddr::new_abstract(&[b'a'; 107]).is_some());
    assert!(UnixAddr::new_abstract(&[b'a'; 108]).is_none());
}
