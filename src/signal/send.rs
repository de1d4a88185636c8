//! Sending signals.

use super::{Siginfo, Signal};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::process::Pid;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};

/// `getpid`, `gettid` and `tgkill`: sends `signal` to this thread.
///
/// If the thread does not block it, it has been handled when this returns.
///
/// # Errors
///
/// `EAGAIN`: a real-time signal, and too many are queued.
///
/// ```
/// use barecall::signal::{self, How, Signal};
///
/// let signal = Signal::SIGRTMAX;
/// let before = signal::sigprocmask(How::BLOCK, signal.into())?;
/// signal::raise(signal)?;
/// assert_eq!(signal::sigtimedwait(signal.into(), None)?.signal(), Some(signal));
/// signal::sigprocmask(How::SETMASK, before)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [raise(3)](https://man7.org/linux/man-pages/man3/raise.3.html).
pub fn raise(signal: Signal) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe {
        let process = syscall!(nr::GETPID)?;
        let thread = syscall!(nr::GETTID)?;
        syscall_zero!(nr::TGKILL, process, thread, signal)
    }
}

flags! {
    /// `PIDFD_SIGNAL_*` for [`pidfd_send_signal`] (since Linux 6.9).
    ///
    /// Without one, a pidfd of a process means the process, and one of a
    /// thread (`PIDFD_THREAD`) means the thread.
    pub struct PidfdSignalFlags: u32 {
        /// `PIDFD_SIGNAL_THREAD`: to that thread.
        #[doc(alias = "PIDFD_SIGNAL_THREAD")]
        const THREAD = 1 << 0;
        /// `PIDFD_SIGNAL_THREAD_GROUP`: to the whole process.
        #[doc(alias = "PIDFD_SIGNAL_THREAD_GROUP")]
        const THREAD_GROUP = 1 << 1;
        /// `PIDFD_SIGNAL_PROCESS_GROUP`: to the process group that it leads.
        #[doc(alias = "PIDFD_SIGNAL_PROCESS_GROUP")]
        const PROCESS_GROUP = 1 << 2;
        const _ = !0;
    }
}

/// `pidfd_send_signal(pidfd, sig, info, flags)`: sends a signal to exactly the
/// process that `pidfd` is of (since Linux 5.1).
///
/// A process id may meanwhile be another's; a pidfd is not. Without a signal
/// the call only checks. Without `info` it is as if sent by `kill`.
///
/// # Errors
///
/// `EPERM`: not allowed, or `info` claims to be from the kernel, `kill` or
/// `tgkill` and goes to another process. `ESRCH`: has ended and is reaped. `EINVAL`: an unknown
/// flag, or `info` is for another signal. `EBADF`: not a pidfd.
///
/// ```
/// use barecall::fd::OwnedFd;
/// use barecall::process::getpid;
/// use barecall::signal::{self, PidfdSignalFlags};
/// use barecall::{nr, syscall};
///
/// // SAFETY: a new descriptor, ours.
/// let own = unsafe {
///     OwnedFd::from_raw_fd(syscall!(nr::PIDFD_OPEN, getpid().as_raw(), 0)? as i32)
/// };
/// signal::pidfd_send_signal(&own, None, None, PidfdSignalFlags::empty())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pidfd_send_signal(2)](https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html).
#[inline]
pub fn pidfd_send_signal<Fd: AsFd, S: Into<Option<Signal>>>(
    pidfd: Fd,
    signal: S,
    info: Option<&Siginfo>,
    flags: PidfdSignalFlags,
) -> Result<(), Errno> {
    let info = info.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads a siginfo, or nothing.
    unsafe {
        syscall_zero!(
            nr::PIDFD_SEND_SIGNAL,
            pidfd.as_fd(),
            signal.into(),
            info,
            flags.bits()
        )
    }
}

/// Whom [`kill`] sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillTarget {
    /// This process.
    Pid(Pid),
    /// Every process of this group (the negated number). A group 1 cannot be
    /// said: to the kernel, -1 is [`KillTarget::All`].
    Group(Pid),
    /// Every process of the caller's group (0).
    OwnGroup,
    /// Every process that may be sent to, but process 1 and the caller (-1).
    All,
}

impl From<Pid> for KillTarget {
    #[inline]
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}

/// `kill(pid, sig)`: sends a signal to a process, or to many.
///
/// Without a signal the call only checks whether there is anybody, and whether one may.
/// A process id may meanwhile be another's, unless it is a child that is not
/// reaped; [`pidfd_send_signal`] hits nobody else.
///
/// # Errors
///
/// `ESRCH`: nobody. `EPERM`: somebody, but not allowed. `EINVAL`: group 1,
/// which the kernel cannot be told.
///
/// ```
/// use barecall::process::getpid;
/// use barecall::signal::{self, KillTarget, Signal};
///
/// signal::kill(getpid(), None)?;
/// signal::kill(KillTarget::OwnGroup, Signal::SIGCONT)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kill(2)](https://man7.org/linux/man-pages/man2/kill.2.html).
#[inline]
pub fn kill<T: Into<KillTarget>, S: Into<Option<Signal>>>(
    target: T,
    signal: S,
) -> Result<(), Errno> {
    let pid = match target.into() {
        KillTarget::Pid(pid) => pid.as_raw(),
        KillTarget::Group(Pid::INIT) => return Err(Errno::EINVAL),
        KillTarget::Group(group) => group.as_raw().wrapping_neg(),
        KillTarget::OwnGroup => 0,
        KillTarget::All => -1,
    };
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::KILL, pid, signal.into()) }
}

/// `tgkill(tgid, tid, sig)`: sends a signal to one thread.
///
/// # Errors
///
/// `ESRCH`: that process has no such thread. `EPERM`: not allowed. `EAGAIN`: a
/// real-time signal, and too many are queued.
///
/// ```
/// use barecall::process::{getpid, gettid};
/// use barecall::signal;
///
/// signal::tgkill(getpid(), gettid(), None)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [tgkill(2)](https://man7.org/linux/man-pages/man2/tgkill.2.html).
#[inline]
pub fn tgkill<S: Into<Option<Signal>>>(process: Pid, thread: Pid, signal: S) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::TGKILL, process.as_raw(), thread.as_raw(), signal.into()) }
}

/// `rt_sigqueueinfo(tgid, sig, info)`: sends a signal to a process, with a
/// value.
///
/// Real-time signals queue, each with its own value; of the others, one waits
/// at most.
///
/// # Errors
///
/// `EAGAIN`: too many are queued (`RLIMIT_SIGPENDING`). `ESRCH`: nobody.
/// `EPERM`: not allowed, or `info` claims to be from the kernel, `kill` or
/// `tgkill` and goes to another process, or comes from another thread than the
/// first.
///
/// ```
/// use barecall::process::getpid;
/// use barecall::signal::{self, How, Siginfo, Signal};
///
/// let (own, signal) = (getpid(), Signal::SIGRTMAX);
/// signal::sigprocmask(How::BLOCK, signal.into())?;
/// let info = Siginfo::queue(signal, own, 0, 42);
/// signal::rt_tgsigqueueinfo(own, barecall::process::gettid(), signal, &info)?;
/// assert_eq!(signal::sigtimedwait(signal.into(), None)?.value(), Some(42));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [rt_sigqueueinfo(2)](https://man7.org/linux/man-pages/man2/rt_sigqueueinfo.2.html).
#[inline]
#[doc(alias = "sigqueue")]
pub fn rt_sigqueueinfo(process: Pid, signal: Signal, info: &Siginfo) -> Result<(), Errno> {
    // SAFETY: the kernel reads a siginfo.
    unsafe {
        syscall_zero!(
            nr::RT_SIGQUEUEINFO,
            process.as_raw(),
            signal,
            &raw const *info
        )
    }
}

/// `rt_tgsigqueueinfo(tgid, tid, sig, info)`: sends a signal to one thread,
/// with a value.
///
/// # Errors
///
/// As [`rt_sigqueueinfo`].
///
/// See there for an example.
///
/// Manual page: [rt_tgsigqueueinfo(2)](https://man7.org/linux/man-pages/man2/rt_sigqueueinfo.2.html).
#[inline]
#[doc(alias = "pthread_sigqueue")]
pub fn rt_tgsigqueueinfo(
    process: Pid,
    thread: Pid,
    signal: Signal,
    info: &Siginfo,
) -> Result<(), Errno> {
    let (process, thread) = (process.as_raw(), thread.as_raw());
    // SAFETY: the kernel reads a siginfo.
    unsafe {
        syscall_zero!(
            nr::RT_TGSIGQUEUEINFO,
            process,
            thread,
            signal,
            &raw const *info
        )
    }
}
