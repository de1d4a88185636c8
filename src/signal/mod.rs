//! Signals: blocking, waiting, handling, sending.
//!
//! | to | there is |
//! |---|---|
//! | keep signals away for a while | [`sigprocmask`] |
//! | take them one by one | [`sigtimedwait`], [`signalfd`] |
//! | be called | [`sigaction`], [`sigaltstack`] |
//! | send them | [`kill`], [`tgkill`], [`raise`], [`pidfd_send_signal`], [`rt_sigqueueinfo`] |
//!
//! A signal mask belongs to a *thread*, an action to the *process*.

mod action;
mod fd;
mod info;
mod send;
mod set;

pub use action::{
    Disposition, Handler, InfoHandler, SaFlags, SigStack, Sigaction, SsFlags, sigaction,
    sigaction_get, sigaltstack, sigaltstack_get,
};
pub use fd::{SignalfdFlags, SignalfdSiginfo, signalfd, signalfd_read, signalfd_set};
pub use info::{Details, SiCode, Siginfo};
pub use send::{
    KillTarget, PidfdSignalFlags, kill, pidfd_send_signal, raise, rt_sigqueueinfo,
    rt_tgsigqueueinfo, tgkill,
};
pub use set::{SigSet, SigSetIter, Signal};

use crate::errno::Errno;
use crate::selector::selector;
use crate::syscall::{syscall_out, syscall_zero};
use crate::time::Timespec;
use crate::{nr, syscall};

/// Every call that takes a `sigset_t` asks for its size.
pub(crate) const SIGSET_SIZE: usize = size_of::<SigSet>();

selector! {
    /// `SIG_*`: what [`sigprocmask`] does with the set.
    pub struct How: u32 {
        /// `SIG_BLOCK`: blocks these as well.
        #[doc(alias = "SIG_BLOCK")]
        const BLOCK = 0;
        /// `SIG_UNBLOCK`: blocks these no longer.
        #[doc(alias = "SIG_UNBLOCK")]
        const UNBLOCK = 1;
        /// `SIG_SETMASK`: blocks these and no others.
        #[doc(alias = "SIG_SETMASK")]
        const SETMASK = 2;
    }
}

/// `rt_sigprocmask(how, set, oldset, 8)`: changes which signals this thread
/// blocks, and gives those that it blocked before.
///
/// `SIGKILL` and `SIGSTOP` are never blocked, and asking for it is no error.
/// An empty set with [`How::BLOCK`] changes nothing, and so asks.
///
/// A libc's own signals (32 to 34) are blocked like any other: `setuid` of
/// another thread of a libc program then waits until they are not.
///
/// # Errors
///
/// `EINVAL`: an unknown [`How`].
///
/// ```
/// use barecall::signal::{self, How, SigSet, Signal};
///
/// let before = signal::sigprocmask(How::BLOCK, Signal::SIGTERM.into())?;
/// assert!(signal::sigprocmask(How::BLOCK, SigSet::EMPTY)?.contains(Signal::SIGTERM));
/// signal::sigprocmask(How::SETMASK, before)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sigprocmask(2)](https://man7.org/linux/man-pages/man2/sigprocmask.2.html).
#[inline]
#[doc(alias = "rt_sigprocmask")]
#[doc(alias = "pthread_sigmask")]
pub fn sigprocmask(how: How, set: SigSet) -> Result<SigSet, Errno> {
    // SAFETY: two sets, one of them ours to be written.
    unsafe { syscall_out!(SigSet; nr::RT_SIGPROCMASK, how.0, &raw const set; _, SIGSET_SIZE) }
}

/// `rt_sigpending(set, 8)`: which signals wait to be delivered to this thread,
/// those for the whole process included.
///
/// # Errors
///
/// None.
///
/// ```
/// use barecall::signal::{self, How, Signal};
///
/// let before = signal::sigprocmask(How::BLOCK, Signal::SIGUSR1.into())?;
/// signal::raise(Signal::SIGUSR1)?;
/// assert!(signal::sigpending()?.contains(Signal::SIGUSR1));
/// # signal::sigtimedwait(Signal::SIGUSR1.into(), None)?;
/// # signal::sigprocmask(How::SETMASK, before)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sigpending(2)](https://man7.org/linux/man-pages/man2/sigpending.2.html).
#[inline]
#[doc(alias = "rt_sigpending")]
pub fn sigpending() -> Result<SigSet, Errno> {
    let mut set = SigSet::EMPTY;
    // SAFETY: the kernel writes 8 bytes, to a set of ours.
    unsafe { syscall_zero!(nr::RT_SIGPENDING, &raw mut set, SIGSET_SIZE) }?;
    Ok(set)
}

/// `rt_sigtimedwait(set, info, timeout, 8)`: waits for one of `set`, and takes
/// it; no longer than `timeout`, for ever without.
///
/// The signals must be blocked, in all threads, or they are handled the usual
/// way. A zero `timeout` only looks.
///
/// # Errors
///
/// `EAGAIN`: none came in time. `EINTR`: a handler ran for a signal that is not
/// in `set`, or the process was stopped and goes on. `EINVAL`: nanoseconds
/// outside of 0 to 999,999,999, or negative seconds.
///
/// ```
/// use barecall::Errno;
/// use barecall::signal::{self, How, Signal};
/// use barecall::time::Timespec;
///
/// let set = Signal::SIGCHLD.into();
/// signal::sigprocmask(How::BLOCK, set)?;
/// let millisecond = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
/// assert_eq!(signal::sigtimedwait(set, Some(millisecond)).unwrap_err(), Errno::EAGAIN);
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [sigtimedwait(2)](https://man7.org/linux/man-pages/man2/sigtimedwait.2.html).
#[inline]
#[doc(alias = "rt_sigtimedwait")]
#[doc(alias = "sigwaitinfo")]
pub fn sigtimedwait(set: SigSet, timeout: Option<Timespec>) -> Result<Siginfo, Errno> {
    let timeout = timeout
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    let mut info = Siginfo::ZERO;
    // SAFETY: the kernel reads a set and perhaps a time, and writes a siginfo.
    unsafe {
        syscall!(
            nr::RT_SIGTIMEDWAIT,
            &raw const set,
            &raw mut info,
            timeout,
            SIGSET_SIZE
        )
    }?;
    Ok(info)
}

/// `rt_sigsuspend(mask, 8)`: blocks exactly `mask` instead of the present
/// mask, waits until a signal has been handled, and puts the mask back.
///
/// Always gives an error: `EINTR` is the good one.
///
/// # Errors
///
/// `EINTR`: a handler has run.
///
/// ```no_run
/// use barecall::Errno;
/// use barecall::signal::{self, SigSet};
///
/// assert_eq!(signal::sigsuspend(SigSet::EMPTY), Errno::EINTR);
/// ```
///
/// Manual page: [sigsuspend(2)](https://man7.org/linux/man-pages/man2/sigsuspend.2.html).
#[inline]
#[doc(alias = "rt_sigsuspend")]
pub fn sigsuspend(mask: SigSet) -> Errno {
    // SAFETY: the kernel reads 8 bytes.
    match unsafe { syscall!(nr::RT_SIGSUSPEND, &raw const mask, SIGSET_SIZE) } {
        Err(errno) => errno,
        // The kernel has no such answer; a filter that makes it up ends a wait
        // all the same.
        Ok(_) => Errno::EINTR,
    }
}
