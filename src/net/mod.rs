//! Sockets of this machine (`AF_UNIX`), and descriptors sent through them.
//!
//! A socket is read and written by [`io`](crate::io); [`sendmsg`] and
//! [`recvmsg`] are for what travels beside the bytes.

mod control;

pub use control::*;

use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, OwnedFd};
use crate::flags::flags;
use crate::io::{IoSlice, IoSliceMut};
use crate::selector::selector;
use crate::syscall::{syscall_out, syscall_zero};
use crate::{nr, syscall};
use core::ffi::{CStr, c_void};
use core::fmt;

const AF_UNIX: u16 = 1;

selector! {
    /// `SOCK_*`: the kind of socket. Any number will do.
    pub struct SocketType: u32 {
        /// `SOCK_STREAM`: bytes, in order.
        #[doc(alias = "SOCK_STREAM")]
        const STREAM = 1;
        /// `SOCK_DGRAM`: messages, without a connection. Reliable and in order
        /// between processes of one machine.
        #[doc(alias = "SOCK_DGRAM")]
        const DGRAM = 2;
        /// `SOCK_SEQPACKET`: messages, in order, with a connection, whose end is
        /// seen.
        #[doc(alias = "SOCK_SEQPACKET")]
        const SEQPACKET = 5;
    }
}

flags! {
    /// `SOCK_*`: how a new socket behaves.
    pub struct SocketFlags: u32 {
        /// `SOCK_NONBLOCK`: `EAGAIN` instead of waiting.
        #[doc(alias = "SOCK_NONBLOCK")]
        const NONBLOCK = 0o4000;
        /// `SOCK_CLOEXEC`: closed by `execve`.
        #[doc(alias = "SOCK_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

/// `socketpair(AF_UNIX, type | flags, 0, sv)`: two sockets that are connected.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`: too many descriptors. `EINVAL`: an unknown flag, or a
/// number above all kinds (11 and more). `ESOCKTNOSUPPORT`: no such kind.
/// `EAFNOSUPPORT`: a kernel without `AF_UNIX`.
///
/// ```
/// use barecall::io;
/// use barecall::net::{SocketFlags, SocketType, socketpair};
///
/// let (a, b) = socketpair(SocketType::STREAM, SocketFlags::CLOEXEC)?;
/// io::write(&a, b"ping")?;
/// let mut buf = [0; 8];
/// assert_eq!(io::read(&b, &mut buf)?, 4);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [socketpair(2)](https://man7.org/linux/man-pages/man2/socketpair.2.html).
#[inline]
pub fn socketpair(kind: SocketType, flags: SocketFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [0_i32; 2];
    // SAFETY: the kernel writes two numbers, and both are ours.
    unsafe {
        syscall_zero!(
            nr::SOCKETPAIR,
            AF_UNIX,
            kind.0 | flags.bits(),
            0,
            fds.as_mut_ptr()
        )?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// `socket(AF_UNIX, type | flags, 0)`: a socket that is not connected.
///
/// # Errors
///
/// As [`socketpair`].
///
/// ```
/// use barecall::net::{self, SocketFlags, SocketType, UnixAddr};
///
/// let server = net::socket(SocketType::SEQPACKET, SocketFlags::CLOEXEC)?;
/// let name = format!("barecall-doc-{}", std::process::id());
/// let addr = UnixAddr::new_abstract(name.as_bytes()).expect("short enough");
/// net::bind(&server, &addr)?;
/// net::listen(&server, 1)?;
///
/// let client = net::socket(SocketType::SEQPACKET, SocketFlags::CLOEXEC)?;
/// net::connect(&client, &addr)?;
/// let peer = net::accept4(&server, SocketFlags::CLOEXEC)?;
/// assert_eq!(net::peer_credentials(&peer)?.pid, std::process::id() as i32);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [socket(2)](https://man7.org/linux/man-pages/man2/socket.2.html).
#[inline]
pub fn socket(kind: SocketType, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::SOCKET, AF_UNIX, kind.0 | flags.bits(), 0) }
}

/// `struct sockaddr_un`, and how much of it counts.
#[derive(Clone, Copy)]
pub struct UnixAddr {
    addr: SockaddrUn,
    len: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct sockaddr_un")]
struct SockaddrUn {
    sun_family: u16,
    sun_path: [u8; 108],
}

impl UnixAddr {
    fn with(prefix: &[u8], name: &[u8]) -> Option<Self> {
        let mut sun_path = [0; 108];
        let (head, tail) = sun_path.split_at_mut_checked(prefix.len())?;
        head.copy_from_slice(prefix);
        let (head, _) = tail.split_at_mut_checked(name.len())?;
        head.copy_from_slice(name);
        Some(Self {
            addr: SockaddrUn {
                sun_family: AF_UNIX,
                sun_path,
            },
            len: (size_of::<u16>() + prefix.len() + name.len()) as u32,
        })
    }

    /// A path in the file system, or `None` if it does not fit: 107 bytes do.
    #[inline]
    pub fn new(path: &CStr) -> Option<Self> {
        match path.to_bytes() {
            [] => None,
            _ => Self::with(&[], path.to_bytes_with_nul()),
        }
    }

    /// A name outside the file system (abstract), which is the network
    /// namespace's, or `None` if it does not fit: 107 bytes do.
    #[inline]
    pub fn new_abstract(name: &[u8]) -> Option<Self> {
        Self::with(&[0], name)
    }
}

impl fmt::Debug for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = (self.len as usize).saturating_sub(size_of::<u16>());
        let path = self.addr.sun_path.get(..used).unwrap_or_default();
        write!(f, "UnixAddr(\"{}\")", path.escape_ascii())
    }
}

/// `bind(sockfd, addr, addrlen)`: gives a socket its address. A path is created
/// in the file system, and stays there.
///
/// # Errors
///
/// `EADDRINUSE`: it exists. `EINVAL`: it has an address already. `EACCES`,
/// `ENOENT`, `ENOTDIR`, `EROFS`: the path.
///
/// See [`socket`] for an example.
///
/// Manual page: [bind(2)](https://man7.org/linux/man-pages/man2/bind.2.html).
#[inline]
pub fn bind<Fd: AsFd>(fd: Fd, addr: &UnixAddr) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` bytes of an address.
    unsafe { syscall_zero!(nr::BIND, fd.as_fd(), &raw const addr.addr, addr.len) }
}

/// `listen(sockfd, backlog)`: lets others connect, `backlog` of them waiting.
///
/// # Errors
///
/// `EINVAL`: no address, or connected. `EOPNOTSUPP`: not for this kind.
///
/// See [`socket`] for an example.
///
/// Manual page: [listen(2)](https://man7.org/linux/man-pages/man2/listen.2.html).
#[inline]
pub fn listen<Fd: AsFd>(fd: Fd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::LISTEN, fd.as_fd(), backlog) }
}

/// `accept4(sockfd, NULL, NULL, flags)`: the socket of who connected.
///
/// # Errors
///
/// `EAGAIN`: nobody yet, and the socket is non-blocking. `EINTR`: a signal came
/// first. `EINVAL`: does not listen, or an unknown flag. `EMFILE`, `ENFILE`: too
/// many descriptors (the connection waits). `EOPNOTSUPP`: not for this kind.
///
/// See [`socket`] for an example.
///
/// Manual page: [accept4(2)](https://man7.org/linux/man-pages/man2/accept.2.html).
#[inline]
pub fn accept4<Fd: AsFd>(fd: Fd, flags: SocketFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours; no address is asked for.
    unsafe { syscall_fd!(nr::ACCEPT4, fd.as_fd(), 0, 0, flags.bits()) }
}

/// `connect(sockfd, addr, addrlen)`: connects to who listens there.
///
/// # Errors
///
/// `ECONNREFUSED`: nobody listens. `ENOENT`: nothing has this path. `EACCES`: the
/// path, or the socket cannot be written. `EAGAIN`: too many wait, and the
/// socket is non-blocking. `EPROTOTYPE`: of another kind. `EISCONN`. `EINTR`.
///
/// See [`socket`] for an example.
///
/// Manual page: [connect(2)](https://man7.org/linux/man-pages/man2/connect.2.html).
#[inline]
pub fn connect<Fd: AsFd>(fd: Fd, addr: &UnixAddr) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` bytes of an address.
    unsafe { syscall_zero!(nr::CONNECT, fd.as_fd(), &raw const addr.addr, addr.len) }
}

/// `SHUT_*`: what [`shutdown`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// `SHUT_RD`: reading.
    Read = 0,
    /// `SHUT_WR`: writing. The other side sees the end.
    Write = 1,
    /// `SHUT_RDWR`: both.
    Both = 2,
}

/// `shutdown(sockfd, how)`: ends one direction of a connection, or both, for
/// everybody who has the socket.
///
/// # Errors
///
/// `ENOTCONN`: not connected; of this machine's own sockets none says so.
/// `ENOTSOCK`.
///
/// Manual page: [shutdown(2)](https://man7.org/linux/man-pages/man2/shutdown.2.html).
#[inline]
pub fn shutdown<Fd: AsFd>(fd: Fd, how: Shutdown) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::SHUTDOWN, fd.as_fd(), how as u32) }
}

// <asm-generic/socket.h>
const SOL_SOCKET: i32 = 1;
const SO_PASSCRED: i32 = 16;
const SO_PEERCRED: i32 = 17;

/// `getsockopt(sockfd, SOL_SOCKET, SO_PEERCRED, ...)`: who made the other end
/// of the connection, when it was made.
///
/// The process may have ended since, and its number may be another's.
///
/// # Errors
///
/// `ENOTSOCK`. A socket without a peer answers zeros, and users of -1.
///
/// See [`socket`] for an example.
///
/// Manual page: [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html).
#[inline]
pub fn peer_credentials<Fd: AsFd>(fd: Fd) -> Result<Credentials, Errno> {
    let mut len = size_of::<Credentials>() as u32;
    // SAFETY: the kernel writes a `ucred`, and how long it is.
    unsafe {
        syscall_out!(Credentials; nr::GETSOCKOPT, fd.as_fd(), SOL_SOCKET, SO_PEERCRED; _, &raw mut len)
    }
}

/// `setsockopt(sockfd, SOL_SOCKET, SO_PASSCRED, ...)`: whether every message
/// that is received tells who sent it, as [`ControlMessage::Credentials`].
///
/// # Errors
///
/// `ENOTSOCK`. `EOPNOTSUPP`: another family's (since Linux 6.16).
///
/// Manual page: [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html).
#[inline]
pub fn set_pass_credentials<Fd: AsFd>(fd: Fd, pass: bool) -> Result<(), Errno> {
    let pass = i32::from(pass);
    // SAFETY: the kernel reads an int.
    unsafe {
        syscall_zero!(
            nr::SETSOCKOPT,
            fd.as_fd(),
            SOL_SOCKET,
            SO_PASSCRED,
            &raw const pass,
            size_of::<i32>()
        )
    }
}

flags! {
    /// `MSG_*`: how a message is sent and received, and what became of it.
    pub struct MsgFlags: u32 {
        /// `MSG_OOB`: out-of-band data (stream sockets, since Linux 5.15).
        #[doc(alias = "MSG_OOB")]
        const OOB = 0x1;
        /// `MSG_PEEK`: leaves what was received. Descriptors come each time.
        #[doc(alias = "MSG_PEEK")]
        const PEEK = 0x2;
        /// `MSG_CTRUNC`, told by [`recvmsg`]: there was more control data, or
        /// there were more descriptors, than there was room for.
        #[doc(alias = "MSG_CTRUNC")]
        const CTRUNC = 0x8;
        /// `MSG_TRUNC`, told by [`recvmsg`]: the message was longer, and the
        /// rest is lost. When asked for: the count is the whole length.
        #[doc(alias = "MSG_TRUNC")]
        const TRUNC = 0x20;
        /// `MSG_DONTWAIT`: `EAGAIN` instead of waiting, this time.
        #[doc(alias = "MSG_DONTWAIT")]
        const DONTWAIT = 0x40;
        /// `MSG_EOR`: the end of a record (sequenced packets).
        #[doc(alias = "MSG_EOR")]
        const EOR = 0x80;
        /// `MSG_WAITALL`: waits until all the room is used.
        #[doc(alias = "MSG_WAITALL")]
        const WAITALL = 0x100;
        /// `MSG_NOSIGNAL`: `EPIPE` without `SIGPIPE`.
        #[doc(alias = "MSG_NOSIGNAL")]
        const NOSIGNAL = 0x4000;
        /// `MSG_CMSG_CLOEXEC`: received descriptors are close-on-exec.
        /// [`recvmsg`] always says so.
        #[doc(alias = "MSG_CMSG_CLOEXEC")]
        const CMSG_CLOEXEC = 0x4000_0000;
        const _ = !0;
    }
}

/// `struct user_msghdr`, which libc calls `msghdr`.
#[repr(C)]
#[doc(alias = "struct msghdr")]
struct Msghdr {
    msg_name: *mut c_void,
    msg_namelen: i32,
    msg_iov: *mut c_void,
    msg_iovlen: usize,
    msg_control: *mut c_void,
    msg_controllen: usize,
    msg_flags: u32,
}

/// `sendmsg(sockfd, msg, flags)`: sends bytes, and descriptors or credentials
/// with them.
///
/// Gives how many bytes were sent. Control data goes with the first of them:
/// a message on a stream socket needs at least one.
///
/// # Errors
///
/// `EAGAIN`: no room, and non-blocking. `EPIPE`: nobody receives (and `SIGPIPE`
/// was sent, without [`MsgFlags::NOSIGNAL`]); before it, once, `ECONNRESET` if
/// the other side went without having read all. `EMSGSIZE`: longer than a message
/// can be, or more than 1024 buffers. `EINVAL`: control data that makes no sense,
/// more than 253 descriptors among it. `EOPNOTSUPP`: `OOB` on a datagram socket. `ETOOMANYREFS`: too many descriptors are on their way.
/// `EPERM`: the credentials of somebody else; `ESRCH`: of nobody. `ENOTCONN`,
/// `ECONNREFUSED`, `EINTR`, `ENOTSOCK`.
///
/// ```
/// use barecall::io::{self, IoSlice, IoSliceMut};
/// use barecall::net::{
///     ControlMessage, MsgFlags, RecvControl, SendControl, SocketFlags, SocketType, recvmsg,
///     rights_space, sendmsg, socketpair,
/// };
/// use barecall::fd::AsFd;
///
/// let (a, b) = socketpair(SocketType::STREAM, SocketFlags::CLOEXEC)?;
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"through")?;
///
/// let mut control = SendControl::<{ rights_space(1) }>::new();
/// control.push_rights(&[reader.as_fd()])?;
/// sendmsg(&a, &[IoSlice::new(b"x")], &control, MsgFlags::empty())?;
///
/// let (mut byte, mut control) = ([0], RecvControl::<{ rights_space(1) }>::new());
/// let bufs = &mut [IoSliceMut::new(&mut byte)];
/// let received = recvmsg(&b, bufs, &mut control, MsgFlags::empty())?;
/// assert_eq!(received.bytes, 1);
/// for message in control.messages() {
///     if let ControlMessage::Rights(mut descriptors) = message {
///         let pipe = descriptors.next().expect("one was sent");
///         let mut buf = [0; 16];
///         assert_eq!(io::read(&pipe, &mut buf)?, 7);
///     }
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sendmsg(2)](https://man7.org/linux/man-pages/man2/send.2.html).
#[inline]
pub fn sendmsg<Fd: AsFd, const N: usize>(
    fd: Fd,
    bufs: &[IoSlice<'_>],
    control: &SendControl<'_, N>,
    flags: MsgFlags,
) -> Result<usize, Errno> {
    let bytes = control.as_bytes();
    let msg = Msghdr {
        msg_name: core::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: bufs.as_ptr().cast_mut().cast(),
        msg_iovlen: bufs.len(),
        msg_control: bytes.as_ptr().cast_mut().cast(),
        msg_controllen: bytes.len(),
        msg_flags: 0,
    };
    // SAFETY: the kernel only reads the message, and all of it is there.
    unsafe { syscall!(nr::SENDMSG, fd.as_fd(), &raw const msg, flags.bits()) }
}

/// What [`recvmsg`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes were received; 0 is the end of a connection, or an empty
    /// message.
    pub bytes: usize,
    /// `MSG_TRUNC`, `MSG_CTRUNC`, ...: whether something was cut off.
    pub flags: MsgFlags,
}

/// `recvmsg(sockfd, msg, flags | MSG_CMSG_CLOEXEC)`: receives bytes, and what
/// came with them into `control`.
///
/// Descriptors that come are owned by `control` until they are taken out, and
/// it closes those that are not. If more come than there is room for, or than
/// the process may have open, the kernel drops the rest and [`Received::flags`]
/// has [`MsgFlags::CTRUNC`]; that is for the caller to look at. What an earlier
/// call left in `control` is closed first.
///
/// # Errors
///
/// `EAGAIN`: nothing there, and non-blocking. `EINTR`: a signal came first.
/// `EINVAL` (a stream) or `ENOTCONN`: not connected. `EMSGSIZE`: more than 1024
/// buffers. `EOPNOTSUPP`: `OOB` on a datagram socket. `ECONNRESET`, `ENOTSOCK`.
///
/// See [`sendmsg`] for an example.
///
/// Manual page: [recvmsg(2)](https://man7.org/linux/man-pages/man2/recv.2.html).
#[inline]
pub fn recvmsg<Fd: AsFd, const N: usize>(
    fd: Fd,
    bufs: &mut [IoSliceMut<'_>],
    control: &mut RecvControl<N>,
    flags: MsgFlags,
) -> Result<Received, Errno> {
    control.clear();
    let mut msg = Msghdr {
        msg_name: core::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: bufs.as_mut_ptr().cast(),
        msg_iovlen: bufs.len(),
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: N,
        msg_flags: 0,
    };
    let flags = flags | MsgFlags::CMSG_CLOEXEC;
    // SAFETY: buffers that are ours to write, and room for N bytes of control
    // data; how many the kernel wrote is in `msg` when it succeeds.
    unsafe {
        let bytes = syscall!(nr::RECVMSG, fd.as_fd(), &raw mut msg, flags.bits())?;
        control.set_len(msg.msg_controllen);
        Ok(Received {
            bytes,
            flags: MsgFlags::from_bits_retain(msg.msg_flags) - MsgFlags::CMSG_CLOEXEC,
        })
    }
}
