//! What `fcntl` does with a descriptor.

use crate::errno::Errno;
use crate::fd::{AsFd, OwnedFd, RawFd, syscall_fd};
use crate::flags::flags;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};

// <linux/fcntl.h>, <asm-generic/fcntl.h>
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_DUPFD_QUERY: u32 = 1027;

/// `fcntl(fd, cmd, arg)`: any command, with an argument that is a number or a
/// pointer.
///
/// # Safety
///
/// As for [`syscall!`](crate::syscall!): it depends on the command.
///
/// # Errors
///
/// `EINVAL`: a command that this kernel or this kind of file does not know.
/// `EBADF`: not for this kind of descriptor (`O_PATH`). Others by command.
///
/// ```
/// use barecall::io;
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// // SAFETY: F_GETPIPE_SZ reads a number.
/// let capacity = unsafe { io::fcntl(&reader, 1032, 0) }?;
/// assert!(capacity >= 4096);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub unsafe fn fcntl<Fd: AsFd, A: crate::syscall::Arg>(
    fd: Fd,
    cmd: u32,
    arg: A,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(nr::FCNTL, fd.as_fd(), cmd, arg) }
}

/// `fcntl(fd, F_DUPFD_CLOEXEC, min)`: another descriptor of the same open file
/// description, close-on-exec, with the lowest free number from `min` on.
///
/// # Errors
///
/// `EINVAL`: `min` is negative or above the limit. `EMFILE`: none is free.
///
/// ```
/// use barecall::io;
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// assert!(io::fcntl_dupfd_cloexec(&reader, 100)?.as_raw_fd() >= 100);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [F_DUPFD_CLOEXEC(2const)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_dupfd_cloexec<Fd: AsFd>(fd: Fd, min: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::FCNTL, fd.as_fd(), F_DUPFD_CLOEXEC, min) }
}

flags! {
    /// `FD_*`: the flags of one descriptor.
    pub struct FdFlags: u32 {
        /// `FD_CLOEXEC`: closed by `execve`.
        #[doc(alias = "FD_CLOEXEC")]
        const CLOEXEC = 1;
        const _ = !0;
    }
}

/// `fcntl(fd, F_GETFD)`: the flags of the descriptor.
///
/// # Errors
///
/// None for an open descriptor.
///
/// ```
/// use barecall::io::{self, FdFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// assert_eq!(io::fcntl_getfd(&reader)?, FdFlags::CLOEXEC);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_getfd<Fd: AsFd>(fd: Fd) -> Result<FdFlags, Errno> {
    // SAFETY: numbers only.
    let bits = unsafe { syscall!(nr::FCNTL, fd.as_fd(), F_GETFD) }?;
    Ok(FdFlags::from_bits_retain(bits as u32))
}

/// `fcntl(fd, F_SETFD, flags)`: sets the flags of the descriptor.
///
/// # Errors
///
/// None for an open descriptor.
///
/// ```
/// use barecall::io::{self, FdFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::empty())?;
/// io::fcntl_setfd(&reader, FdFlags::CLOEXEC)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_setfd<Fd: AsFd>(fd: Fd, flags: FdFlags) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCNTL, fd.as_fd(), F_SETFD, flags.bits()) }
}

/// `fcntl(a, F_DUPFD_QUERY, b)`: whether two descriptors are the same open file
/// description (since Linux 6.10).
///
/// [`kcmp::same_description`](crate::kcmp::same_description) goes on to another
/// call where there is none.
///
/// # Errors
///
/// `EINVAL`: a kernel before 6.10; there, `EBADF` for an `O_PATH` descriptor.
///
/// ```
/// use barecall::{Errno, io};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// match io::fcntl_dupfd_query(&reader, &writer) {
///     Ok(same) => assert!(!same),
///     Err(errno) => assert_eq!(errno, Errno::EINVAL),
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_dupfd_query<A: AsFd, B: AsFd>(a: A, b: B) -> Result<bool, Errno> {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::FCNTL, a.as_fd(), F_DUPFD_QUERY, b.as_fd()) }.map(|same| same != 0)
}
