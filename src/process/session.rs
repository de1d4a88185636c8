//! Sessions, process groups, and the terminal that belongs to them.

use super::Pid;
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::syscall::{syscall_out, syscall_zero};
use crate::{nr, syscall};

#[inline]
const fn or_self(pid: Option<Pid>) -> i32 {
    match pid {
        Some(pid) => pid.as_raw(),
        None => 0,
    }
}

/// `setsid()`: a new session and process group, led by the caller, without a
/// terminal. Gives its number, which is the caller's.
///
/// # Errors
///
/// `EPERM`: leads a process group already.
///
/// Manual page: [setsid(2)](https://man7.org/linux/man-pages/man2/setsid.2.html).
#[inline]
pub fn setsid() -> Result<Pid, Errno> {
    // SAFETY: changes what this process belongs to.
    unsafe { syscall!(nr::SETSID) }.map(Pid::from_kernel)
}

/// `getsid(pid)`: the session of a process (`None`: of the caller). It is
/// `None` if it is led from another PID namespace.
///
/// # Errors
///
/// `ESRCH`: no such process.
///
/// ```
/// use barecall::process::{getpid, getsid};
///
/// assert_eq!(getsid(None)?, getsid(Some(getpid()))?);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getsid(2)](https://man7.org/linux/man-pages/man2/getsid.2.html).
#[inline]
pub fn getsid(pid: Option<Pid>) -> Result<Option<Pid>, Errno> {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::GETSID, or_self(pid)) }.map(|id| Pid::from_raw(id as i32))
}

/// `setpgid(pid, pgid)`: moves a process (`None`: the caller) to a process
/// group of its session (`None`: a new one, of its own number).
///
/// # Errors
///
/// `EACCES`: a child that has executed a program. `EPERM`: another session, or
/// it leads its session. `ESRCH`: not the caller, nor a child.
///
/// Manual page: [setpgid(2)](https://man7.org/linux/man-pages/man2/setpgid.2.html).
#[inline]
pub fn setpgid(pid: Option<Pid>, group: Option<Pid>) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::SETPGID, or_self(pid), or_self(group)) }
}

/// `getpgid(pid)`: the process group of a process (`None`: of the caller). It
/// is `None` if it is led from another PID namespace.
///
/// # Errors
///
/// `ESRCH`: no such process.
///
/// ```
/// assert!(barecall::process::getpgid(None).is_ok());
/// ```
///
/// Manual page: [getpgid(2)](https://man7.org/linux/man-pages/man2/setpgid.2.html).
#[inline]
#[doc(alias = "getpgrp")]
pub fn getpgid(pid: Option<Pid>) -> Result<Option<Pid>, Errno> {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::GETPGID, or_self(pid)) }.map(|id| Pid::from_raw(id as i32))
}

// <asm-generic/ioctls.h>
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGSID: u32 = 0x5429;

/// `ioctl(fd, TIOCSCTTY, steal)`: makes this terminal the controlling one of
/// the session that the caller leads.
///
/// # Errors
///
/// `EPERM`: does not lead a session, or has a terminal already, or the terminal
/// is another session's (which root can `steal`). `ENOTTY`: no terminal.
///
/// Manual page: [TIOCSCTTY(2const)](https://man7.org/linux/man-pages/man2/ioctl_tty.2.html).
#[inline]
pub fn tiocsctty<Fd: AsFd>(tty: Fd, steal: bool) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::IOCTL, tty.as_fd(), TIOCSCTTY, steal) }
}

/// `ioctl(fd, TIOCNOTTY)`: gives the controlling terminal up. If the caller
/// leads the session, everybody in it loses the terminal, and its foreground
/// group gets `SIGHUP` and `SIGCONT`.
///
/// # Errors
///
/// `ENOTTY`: not the controlling terminal.
///
/// Manual page: [TIOCNOTTY(2const)](https://man7.org/linux/man-pages/man2/ioctl_tty.2.html).
#[inline]
pub fn tiocnotty<Fd: AsFd>(tty: Fd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::IOCTL, tty.as_fd(), TIOCNOTTY, 0) }
}

/// `ioctl(fd, TIOCSPGRP, &group)`: puts a process group of the session into
/// the foreground of its terminal.
///
/// A caller in the background gets `SIGTTOU`, unless it blocks or ignores it.
///
/// # Errors
///
/// `ENOTTY`: not the controlling terminal. `EPERM`: a group of another session.
/// `ESRCH`: no such group. `EINTR`, `EIO`: from the background.
///
/// Manual page: [tcsetpgrp(3)](https://man7.org/linux/man-pages/man3/tcgetpgrp.3.html).
#[inline]
#[doc(alias = "tcsetpgrp")]
pub fn tiocspgrp<Fd: AsFd>(tty: Fd, group: Pid) -> Result<(), Errno> {
    let group = group.as_raw();
    // SAFETY: the kernel reads an int.
    unsafe { syscall_zero!(nr::IOCTL, tty.as_fd(), TIOCSPGRP, &raw const group) }
}

/// `ioctl(fd, TIOCGPGRP, &group)`: the process group in the foreground; `None`
/// if there is none.
///
/// # Errors
///
/// `ENOTTY`: not the controlling terminal.
///
/// Manual page: [tcgetpgrp(3)](https://man7.org/linux/man-pages/man3/tcgetpgrp.3.html).
#[inline]
#[doc(alias = "tcgetpgrp")]
pub fn tiocgpgrp<Fd: AsFd>(tty: Fd) -> Result<Option<Pid>, Errno> {
    // SAFETY: the kernel writes an int.
    unsafe { syscall_out!(i32; nr::IOCTL, tty.as_fd(), TIOCGPGRP; _) }.map(Pid::from_raw)
}

/// `ioctl(fd, TIOCGSID, &session)`: the session that the terminal belongs to.
///
/// # Errors
///
/// `ENOTTY`: not the controlling terminal.
///
/// Manual page: [tcgetsid(3)](https://man7.org/linux/man-pages/man3/tcgetsid.3.html).
#[inline]
#[doc(alias = "tcgetsid")]
pub fn tiocgsid<Fd: AsFd>(tty: Fd) -> Result<Option<Pid>, Errno> {
    // SAFETY: the kernel writes an int.
    unsafe { syscall_out!(i32; nr::IOCTL, tty.as_fd(), TIOCGSID; _) }.map(Pid::from_raw)
}
