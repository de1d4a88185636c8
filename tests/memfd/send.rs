//! Handing one over a socket: same file, same seals, same offset.

use crate::*;
use barecall::io::{IoSlice, IoSliceMut, SeekFrom};
use barecall::memfd::{Access, Frozen, NotFrozen, SharedMap, fcntl_get_seals};
use barecall::net::{
    ControlMessage, MsgFlags, RecvControl, SendControl, SocketFlags, SocketType, recvmsg,
    rights_space, sendmsg, socketpair,
};

/// Sends it from another process, and gives what arrives here.
fn over_a_socket(fd: impl AsFd) -> OwnedFd {
    let (here, there) = socketpair(SocketType::STREAM, SocketFlags::CLOEXEC).unwrap();
    in_child(|| {
        let mut control = SendControl::<{ rights_space(1) }>::new();
        ensure!(control.push_rights(&[fd.as_fd()]).is_ok());
        let bytes = [IoSlice::new(b"x")];
        ensure!(sendmsg(&there, &bytes, &control, MsgFlags::empty()) == Ok(1));
        Ok(())
    });
    let (mut byte, mut control) = ([0], RecvControl::<{ rights_space(1) }>::new());
    let bufs = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(&here, bufs, &mut control, MsgFlags::empty()).unwrap();
    let received = control.messages().find_map(|message| match message {
        ControlMessage::Rights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.expect("a descriptor")
}

#[test]
fn a_frozen_file_is_verified_and_mapped_where_it_arrives() {
    let _alone = alone();
    let sent = memfd(b"content").freeze().unwrap();
    let received = Frozen::verify(over_a_socket(&sent)).unwrap();
    drop(sent);
    assert_eq!(received.seals(), initial_seals() | Seals::IMMUTABLE);
    assert_eq!(&received.map().unwrap()[..], b"content");
}

#[test]
fn a_file_that_is_not_sealed_is_shared_and_not_believed() {
    let _alone = alone();
    let sent = memfd(b"content");
    let received = over_a_socket(&sent);
    let map = SharedMap::new(&received, Access::ReadWrite, None).unwrap();
    map.write_at(b"C", 0).unwrap();
    let mut bytes = [0; 7];
    sent.read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"Content");
    let refused = Frozen::verify(received).unwrap_err();
    assert_eq!(refused.why, NotFrozen::Missing(Seals::CONSTANT));
}

#[test]
fn the_file_offset_is_shared_and_a_reopened_ones_is_not() {
    let _alone = alone();
    let sent = memfd(b"content");
    let received = over_a_socket(&sent);
    let mut bytes = [0; 3];
    io::read(&received, &mut bytes).unwrap();
    assert_eq!(io::lseek(&sent, SeekFrom::Current(0)), Ok(3));

    let received = over_a_socket(sent.reopen_read_only().unwrap());
    io::read(&received, &mut bytes).unwrap();
    assert_eq!(&bytes, b"con");
    assert_eq!(io::lseek(&sent, SeekFrom::Current(0)), Ok(3));
    assert_eq!(io::write(&received, b"x"), Err(Errno::EBADF));
    assert_eq!(fcntl_get_seals(&received), Ok(initial_seals()));
}
