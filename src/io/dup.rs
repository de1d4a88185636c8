//! Making descriptors: copies and pipes.

use crate::errno::Errno;
use crate::fd::{AsFd, OwnedFd, RawFd, syscall_fd};
use crate::flags::flags;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};

flags! {
    /// `O_CLOEXEC` for [`dup3`].
    pub struct DupFlags: u32 {
        /// `O_CLOEXEC`: the new descriptor is closed by `execve`.
        #[doc(alias = "O_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

/// `dup(fd)`: another descriptor of the same open file description, which
/// *survives* `execve`.
///
/// For one that does not, [`fcntl_dupfd_cloexec`](super::fcntl_dupfd_cloexec) or
/// [`OwnedFd::try_clone`](crate::fd::OwnedFd::try_clone).
///
/// # Errors
///
/// `EMFILE`: the process has as many descriptors as it may.
///
/// ```
/// use barecall::io::{self, FdFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let again = io::dup(&reader)?;
/// assert_eq!(io::fcntl_getfd(&again)?, FdFlags::empty());
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [dup(2)](https://man7.org/linux/man-pages/man2/dup.2.html).
#[inline]
pub fn dup<Fd: AsFd>(fd: Fd) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::DUP, fd.as_fd()) }
}

/// `dup3(oldfd, newfd, flags)`: makes `new` a descriptor of what `fd` is,
/// closing what it was before.
///
/// # Errors
///
/// `EINVAL`: the two are the same number, or an unknown flag. `EBUSY`: a race
/// with `open`. What was closed fails silently.
///
/// ```
/// use barecall::io::{self, DupFlags};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let (_other, mut end) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::dup3(&writer, &mut end, DupFlags::CLOEXEC)?;
/// io::write(&end, b"x")?;
/// assert_eq!(io::read(&reader, &mut [0; 8])?, 1);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [dup3(2)](https://man7.org/linux/man-pages/man2/dup3.2.html).
#[inline]
pub fn dup3<Fd: AsFd>(fd: Fd, new: &mut OwnedFd, flags: DupFlags) -> Result<(), Errno> {
    // SAFETY: whoever owns `new` lent it to be replaced.
    unsafe { dup3_raw(fd, new.as_raw_fd(), flags) }
}

/// `dup3(oldfd, newfd, flags)` onto a bare number, which need not be open.
///
/// What a program does with 0, 1 and 2 before it executes another.
///
/// # Safety
///
/// If `new` is open, then nobody owns it, or expects it to be what it was.
///
/// # Errors
///
/// As [`dup3`]; `EBADF`: `new` is negative or above the limit.
///
/// ```
/// use barecall::io::{self, DupFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// // SAFETY: nobody has descriptor 99 in this program.
/// let copy = unsafe {
///     io::dup3_raw(&reader, 99, DupFlags::CLOEXEC)?;
///     barecall::fd::OwnedFd::from_raw_fd(99)
/// };
/// # drop(copy);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [dup3(2)](https://man7.org/linux/man-pages/man2/dup3.2.html).
#[inline]
pub unsafe fn dup3_raw<Fd: AsFd>(fd: Fd, new: RawFd, flags: DupFlags) -> Result<(), Errno> {
    // SAFETY: the caller's promise. The call answers the number `new`.
    unsafe { syscall!(nr::DUP3, fd.as_fd(), new, flags.bits()) }.map(|_| ())
}

flags! {
    /// `O_*` for [`pipe2`].
    pub struct PipeFlags: u32 {
        /// `O_CLOEXEC`: both ends are closed by `execve`.
        #[doc(alias = "O_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        /// `O_NONBLOCK`: `EAGAIN` instead of waiting.
        #[doc(alias = "O_NONBLOCK")]
        const NONBLOCK = 0o4000;
        /// `O_DIRECT`: one write is one packet (since Linux 3.4).
        #[doc(alias = "O_DIRECT")]
        const DIRECT = crate::arch::O_DIRECT;
        const _ = !0;
    }
}

/// `pipe2(pipefd, flags)`: a pipe, as (reader, writer).
///
/// # Errors
///
/// `EINVAL`: an unknown flag. `EMFILE`, `ENFILE`: too many descriptors.
///
/// ```
/// use barecall::io::{self, PipeFlags};
///
/// let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"x")?;
/// drop(writer);
/// let mut buf = [0; 8];
/// assert_eq!(io::read(&reader, &mut buf)?, 1);
/// assert_eq!(io::read(&reader, &mut buf)?, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pipe2(2)](https://man7.org/linux/man-pages/man2/pipe2.2.html).
#[inline]
pub fn pipe2(flags: PipeFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [0_i32; 2];
    // SAFETY: the kernel writes two numbers, and both are ours.
    unsafe {
        syscall_zero!(nr::PIPE2, fds.as_mut_ptr(), flags.bits())?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}
