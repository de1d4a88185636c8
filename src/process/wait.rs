//! Waiting for processes.

use super::{Pid, Rusage};
use crate::errno::Errno;
use crate::fd::BorrowedFd;
use crate::flags::flags;
use crate::signal::Signal;
use crate::syscall::syscall_out;
use crate::{nr, syscall};
use core::fmt;

flags! {
    /// `W*` for [`wait4`] and [`waitid`].
    pub struct WaitOptions: u32 {
        /// `WNOHANG`: `None` instead of waiting.
        #[doc(alias = "WNOHANG")]
        const NOHANG = 1;
        /// `WUNTRACED`, `WSTOPPED`: also those that were stopped.
        #[doc(alias = "WSTOPPED")]
        #[doc(alias = "WUNTRACED")]
        const STOPPED = 2;
        /// `WEXITED`: those that ended. [`wait4`] always means them, and takes
        /// no such flag.
        #[doc(alias = "WEXITED")]
        const EXITED = 4;
        /// `WCONTINUED`: also those that go on after they were stopped.
        #[doc(alias = "WCONTINUED")]
        const CONTINUED = 8;
        /// `WNOWAIT`: leaves it as it is, to be waited for again. Only
        /// [`waitid`].
        #[doc(alias = "WNOWAIT")]
        const NOWAIT = 0x0100_0000;
        /// `__WNOTHREAD`: children of this thread, not of the others.
        #[doc(alias = "__WNOTHREAD")]
        const NOTHREAD = 0x2000_0000;
        /// `__WALL`: children of any kind.
        #[doc(alias = "__WALL")]
        const ALL = 0x4000_0000;
        /// `__WCLONE`: only children whose end does not send `SIGCHLD`.
        #[doc(alias = "__WCLONE")]
        const CLONE = 0x8000_0000;
        const _ = !0;
    }
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitStatus {
    /// `CLD_EXITED`: it exited, with this status.
    Exited(u8),
    /// `CLD_KILLED`, `CLD_DUMPED`: a signal ended it.
    Killed {
        /// The signal.
        signal: Signal,
        /// Whether a core dump was written.
        core_dumped: bool,
    },
    /// `CLD_STOPPED`: this signal stopped it.
    Stopped(Signal),
    /// `CLD_TRAPPED`: it stopped for who traces it. The signal, with 0x80 for
    /// a system call (`PTRACE_O_TRACESYSGOOD`), and in the bits from 8 on the
    /// `PTRACE_EVENT_*`.
    Trapped(i32),
    /// `CLD_CONTINUED`: it goes on.
    Continued,
    /// Something that this crate does not know: the status word of [`wait4`],
    /// or the `si_code` of [`waitid`].
    Unknown(i32),
}

// `si_code` of SIGCHLD, <asm-generic/siginfo.h>.
const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_DUMPED: i32 = 3;
const CLD_TRAPPED: i32 = 4;
const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;

impl WaitStatus {
    /// Decodes the status word that [`wait4`] gets, as `WIFEXITED` and the
    /// others do.
    ///
    /// ```
    /// use barecall::process::WaitStatus;
    /// use barecall::signal::Signal;
    ///
    /// assert_eq!(WaitStatus::from_word(0x0700), WaitStatus::Exited(7));
    /// let crashed = WaitStatus::Killed { signal: Signal::SIGSEGV, core_dumped: true };
    /// assert_eq!(WaitStatus::from_word(0x8b), crashed);
    /// ```
    pub const fn from_word(word: i32) -> Self {
        let (low, high) = (word & 0x7f, word >> 8);
        match (low, Signal::new(low), Signal::new(high)) {
            (0, ..) if high & !0xff == 0 => Self::Exited(high as u8),
            (0x7f, ..) if word == 0xffff => Self::Continued,
            (0x7f, _, Some(signal)) if word & 0x80 == 0 => Self::Stopped(signal),
            (0x7f, ..) if word & 0x80 == 0 && high != 0 => Self::Trapped(high),
            (_, Some(signal), _) if high == 0 => Self::Killed {
                signal,
                core_dumped: word & 0x80 != 0,
            },
            _ => Self::Unknown(word),
        }
    }

    const fn from_siginfo(code: i32, status: i32) -> Self {
        match (code, Signal::new(status)) {
            (CLD_EXITED, _) => Self::Exited(status as u8),
            (CLD_KILLED | CLD_DUMPED, Some(signal)) => Self::Killed {
                signal,
                core_dumped: code == CLD_DUMPED,
            },
            (CLD_TRAPPED, _) => Self::Trapped(status),
            (CLD_STOPPED, Some(signal)) => Self::Stopped(signal),
            (CLD_CONTINUED, _) => Self::Continued,
            _ => Self::Unknown(code),
        }
    }

    /// What a shell, `tini` and `docker` make of an ended process: its status,
    /// or 128 plus the signal. `None` if it has not ended.
    ///
    /// ```
    /// use barecall::process::WaitStatus;
    /// use barecall::signal::Signal;
    ///
    /// assert_eq!(WaitStatus::Exited(7).shell_code(), Some(7));
    /// let killed = WaitStatus::Killed { signal: Signal::SIGKILL, core_dumped: false };
    /// assert_eq!(killed.shell_code(), Some(137));
    /// assert_eq!(WaitStatus::Continued.shell_code(), None);
    /// ```
    #[inline]
    pub const fn shell_code(self) -> Option<u8> {
        match self {
            Self::Exited(status) => Some(status),
            Self::Killed { signal, .. } => Some(128 | signal.as_raw() as u8),
            _ => None,
        }
    }
}

/// In words: "exited with status 7", "killed by SIGSEGV (core dumped)".
impl fmt::Display for WaitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Killed {
                signal,
                core_dumped,
            } => {
                write!(f, "killed by {signal}")?;
                f.write_str(if *core_dumped { " (core dumped)" } else { "" })
            }
            Self::Stopped(signal) => write!(f, "stopped by {signal}"),
            Self::Trapped(bits) => write!(f, "stopped for its tracer ({bits:#x})"),
            Self::Continued => f.write_str("continued"),
            Self::Unknown(word) => write!(f, "changed in an unknown way ({word:#x})"),
        }
    }
}

/// Which children [`wait4`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitTarget {
    /// Any child (-1).
    Any,
    /// This one.
    Pid(Pid),
    /// Those of this process group (the negated number). A group 1 cannot be
    /// said: to the kernel, -1 is [`WaitTarget::Any`].
    Group(Pid),
    /// Those of the caller's process group (0).
    OwnGroup,
}

impl WaitTarget {
    #[inline]
    const fn as_raw(self) -> i32 {
        match self {
            Self::Any => -1,
            Self::Pid(pid) => pid.as_raw(),
            Self::Group(group) => group.as_raw().wrapping_neg(),
            Self::OwnGroup => 0,
        }
    }
}

/// `wait4(pid, &status, options, NULL)`: waits for a child, and takes it away
/// if it has ended.
///
/// `None` is what [`WaitOptions::NOHANG`] gives when there is nothing yet.
///
/// # Errors
///
/// `ECHILD`: no such child (or `SIGCHLD` is ignored, and it has ended). `EINTR`:
/// a signal came first. `EINVAL`: an unknown option, `EXITED` and `NOWAIT`
/// among them; or group 1, which the kernel cannot be told.
///
/// See [`fork`](super::fork) for an example.
///
/// Manual page: [wait4(2)](https://man7.org/linux/man-pages/man2/wait4.2.html).
#[inline]
#[doc(alias = "waitpid")]
pub fn wait4(target: WaitTarget, options: WaitOptions) -> Result<Option<(Pid, WaitStatus)>, Errno> {
    // SAFETY: without a place for the usage.
    unsafe { wait4_into(target, options, core::ptr::null_mut()) }
}

/// `wait4(pid, &status, options, &rusage)`: as [`wait4`], and tells what the
/// child used: itself, and those that it waited for.
///
/// # Errors
///
/// As [`wait4`].
///
/// ```
/// use barecall::process::{WaitOptions, WaitTarget, exit_group, fork, wait4_rusage};
///
/// // SAFETY: the child only exits.
/// match unsafe { fork() }? {
///     None => exit_group(7),
///     Some(child) => {
///         let ended = wait4_rusage(WaitTarget::Pid(child), WaitOptions::empty())?;
///         let (_, _, usage) = ended.expect("waited for");
///         assert!(usage.ru_maxrss > 0);
///     }
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [wait4(2)](https://man7.org/linux/man-pages/man2/wait4.2.html).
pub fn wait4_rusage(
    target: WaitTarget,
    options: WaitOptions,
) -> Result<Option<(Pid, WaitStatus, Rusage)>, Errno> {
    let mut usage = Rusage::default();
    // SAFETY: the usage is ours.
    let waited = unsafe { wait4_into(target, options, &raw mut usage) }?;
    Ok(waited.map(|(pid, status)| (pid, status, usage)))
}

/// # Safety
///
/// `usage` is null, or a [`Rusage`] can be written there.
#[inline]
unsafe fn wait4_into(
    target: WaitTarget,
    options: WaitOptions,
    usage: *mut Rusage,
) -> Result<Option<(Pid, WaitStatus)>, Errno> {
    if let WaitTarget::Group(Pid::INIT) = target {
        return Err(Errno::EINVAL);
    }
    let mut word = 0_i32;
    // SAFETY: the kernel writes an int, and a usage where the caller says.
    let pid = unsafe {
        syscall!(
            nr::WAIT4,
            target.as_raw(),
            &raw mut word,
            options.bits(),
            usage
        )
    }?;
    Ok(Pid::from_raw(pid as i32).map(|pid| (pid, WaitStatus::from_word(word))))
}

/// Which children [`waitid`] waits for.
#[derive(Clone, Copy, Debug)]
pub enum WaitId<'fd> {
    /// `P_ALL`: any.
    All,
    /// `P_PID`: this one.
    Pid(Pid),
    /// `P_PGID`: those of this process group.
    Group(Pid),
    /// `P_PGID` with 0: those of the caller's process group (since Linux 5.4).
    OwnGroup,
    /// `P_PIDFD`: the one that this pidfd refers to (since Linux 5.4).
    Pidfd(BorrowedFd<'fd>),
}

const P_ALL: u32 = 0;
const P_PID: u32 = 1;
const P_PGID: u32 = 2;
const P_PIDFD: u32 = 3;

/// What [`waitid`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// Which child.
    pub pid: Pid,
    /// Its real user.
    pub uid: u32,
    /// What became of it.
    pub status: WaitStatus,
}

/// `siginfo_t` of a SIGCHLD, as words.
#[repr(C, align(8))]
#[doc(alias = "siginfo_t")]
struct ChildInfo {
    words: [i32; 32],
}

/// `waitid(idtype, id, &info, options, NULL)`: waits for a child, and takes it
/// away if it has ended, unless [`WaitOptions::NOWAIT`] says otherwise.
///
/// At least one of `EXITED`, `STOPPED` and `CONTINUED` says what is waited for.
/// `None` is what [`WaitOptions::NOHANG`] gives when there is nothing yet.
///
/// # Errors
///
/// `ECHILD`: no such child (or `SIGCHLD` is ignored, and it has ended). `EINTR`:
/// a signal came first. `EINVAL`: an unknown option, or none of the three.
/// `EAGAIN`: a non-blocking pidfd, and the child runs. `EBADF`: not a pidfd.
///
/// ```
/// use barecall::process::{WaitId, WaitOptions, WaitStatus, exit_group, fork, waitid};
///
/// // SAFETY: the child only exits.
/// match unsafe { fork() }? {
///     None => exit_group(7),
///     Some(child) => {
///         let ended = waitid(WaitId::Pid(child), WaitOptions::EXITED)?.unwrap();
///         assert_eq!((ended.pid, ended.status), (child, WaitStatus::Exited(7)));
///     }
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [waitid(2)](https://man7.org/linux/man-pages/man2/wait.2.html).
#[inline]
pub fn waitid(id: WaitId<'_>, options: WaitOptions) -> Result<Option<Waited>, Errno> {
    // SAFETY: without a place for the usage.
    unsafe { waitid_into(id, options, core::ptr::null_mut()) }
}

/// `waitid(idtype, id, &info, options, &rusage)`: as [`waitid`], and tells what
/// the child used: itself, and those that it waited for. The C library's
/// `waitid` cannot.
///
/// # Errors
///
/// As [`waitid`].
///
/// ```
/// use barecall::process::{WaitId, WaitOptions, exit_group, fork, waitid_rusage};
///
/// // SAFETY: the child only exits.
/// match unsafe { fork() }? {
///     None => exit_group(7),
///     Some(child) => {
///         let (ended, usage) = waitid_rusage(WaitId::Pid(child), WaitOptions::EXITED)?.unwrap();
///         assert_eq!(ended.pid, child);
///         assert!(usage.ru_maxrss > 0);
///     }
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [waitid(2)](https://man7.org/linux/man-pages/man2/wait.2.html).
pub fn waitid_rusage(
    id: WaitId<'_>,
    options: WaitOptions,
) -> Result<Option<(Waited, Rusage)>, Errno> {
    let mut usage = Rusage::default();
    // SAFETY: the usage is ours.
    let waited = unsafe { waitid_into(id, options, &raw mut usage) }?;
    Ok(waited.map(|waited| (waited, usage)))
}

/// # Safety
///
/// `usage` is null, or a [`Rusage`] can be written there.
#[inline]
unsafe fn waitid_into(
    id: WaitId<'_>,
    options: WaitOptions,
    usage: *mut Rusage,
) -> Result<Option<Waited>, Errno> {
    let (kind, id) = match id {
        WaitId::All => (P_ALL, 0),
        WaitId::Pid(pid) => (P_PID, pid.as_raw()),
        WaitId::Group(group) => (P_PGID, group.as_raw()),
        WaitId::OwnGroup => (P_PGID, 0),
        WaitId::Pidfd(fd) => (P_PIDFD, fd.as_raw_fd()),
    };
    // SAFETY: the kernel writes a `siginfo_t`, of 128 bytes, and a usage where
    // the caller says.
    let info = unsafe { syscall_out!(ChildInfo; nr::WAITID, kind, id; _, options.bits(), usage) }?;
    // si_signo, si_errno, si_code, padding; then si_pid, si_uid, si_status.
    let [_, _, code, _, pid, uid, status, ..] = info.words;
    Ok(Pid::from_raw(pid).map(|pid| Waited {
        pid,
        uid: uid as u32,
        status: WaitStatus::from_siginfo(code, status),
    }))
}
