//! A second process, with everything that `clone3` has to offer.

use super::{CloneFlags, Pid};
use crate::errno::Errno;
use crate::fd::{BorrowedFd, OwnedFd};
use crate::signal::Signal;
use crate::{nr, syscall};

/// `struct clone_args`. Older kernels know less of it, and take it as it is if
/// what they do not know is 0.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct clone_args")]
pub(crate) struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// What [`clone3`] makes: a child like [`fork`](super::fork)'s, unless told
/// otherwise.
#[derive(Clone, Copy, Debug)]
pub struct CloneOptions<'a> {
    flags: CloneFlags,
    exit_signal: Option<Signal>,
    cgroup: Option<BorrowedFd<'a>>,
    set_tid: &'a [Pid],
}

impl<'a> CloneOptions<'a> {
    /// A copy, whose end sends `SIGCHLD`.
    #[inline]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            flags: CloneFlags::empty(),
            exit_signal: Some(Signal::SIGCHLD),
            cgroup: None,
            set_tid: &[],
        }
    }

    /// Also these: new namespaces, [`CloneFlags::PIDFD`], ...
    #[inline]
    pub const fn flags(mut self, flags: CloneFlags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// The signal that its end sends; without one, only `__WALL` and `__WCLONE`
    /// wait for it.
    #[inline]
    pub const fn exit_signal(mut self, signal: Option<Signal>) -> Self {
        self.exit_signal = signal;
        self
    }

    /// `CLONE_INTO_CGROUP`: in this cgroup (a directory of cgroup2) from the
    /// start (since Linux 5.7).
    #[inline]
    pub const fn cgroup(mut self, cgroup: BorrowedFd<'a>) -> Self {
        self.flags = self.flags.union(CloneFlags::INTO_CGROUP);
        self.cgroup = Some(cgroup);
        self
    }

    /// With these numbers, in its PID namespace and those around it, the
    /// innermost first (since Linux 5.5).
    #[inline]
    pub const fn set_tid(mut self, numbers: &'a [Pid]) -> Self {
        self.set_tid = numbers;
        self
    }

    pub(crate) fn to_args(self) -> CloneArgs {
        CloneArgs {
            flags: self.flags.bits(),
            exit_signal: self.exit_signal.map_or(0, |signal| signal.as_raw() as u64),
            cgroup: self.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
            set_tid: if self.set_tid.is_empty() {
                0
            } else {
                self.set_tid.as_ptr().expose_provenance() as u64
            },
            set_tid_size: self.set_tid.len() as u64,
            ..CloneArgs::default()
        }
    }
}

/// Who returns from [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// The child.
    Child,
    /// The caller.
    Parent {
        /// The child's number.
        pid: Pid,
        /// The child, with [`CloneFlags::PIDFD`]. Close-on-exec.
        pidfd: Option<OwnedFd>,
    },
}

/// `clone3(args, size)`: a second process, on a copy of the stack (since Linux
/// 5.3).
///
/// # Safety
///
/// As [`fork`](super::fork). [`CloneFlags::VM`], [`CloneFlags::THREAD`],
/// [`CloneFlags::SETTLS`] and [`CloneFlags::CHILD_CLEARTID`] need a stack, or
/// words, of their own, and must not be asked for here: `thread` and `spawn`
/// are for that. With [`CloneFlags::FILES`] and [`CloneFlags::SIGHAND`] the two
/// must agree on what they share.
///
/// # Errors
///
/// `EINVAL`: an unknown flag, or flags that do not go together. `EPERM`: a
/// namespace, or `set_tid`, without the capability. `EEXIST`: `set_tid`, and the
/// number is taken. `EAGAIN`, `ENOMEM`: as [`fork`](super::fork). `EACCES`,
/// `EBUSY`, `EOPNOTSUPP`: the cgroup. `ENOSPC`, `EUSERS`: namespaces. `EBADF`.
///
/// ```
/// use barecall::fd::AsFd;
/// use barecall::process::{self, CloneFlags, CloneOptions, Cloned, WaitId, WaitOptions, WaitStatus};
///
/// // SAFETY: the child only exits.
/// match unsafe { process::clone3(&CloneOptions::new().flags(CloneFlags::PIDFD)) }? {
///     Cloned::Child => process::exit_group(7),
///     Cloned::Parent { pidfd, .. } => {
///         let pidfd = pidfd.expect("asked for");
///         let ended = process::waitid(WaitId::Pidfd(pidfd.as_fd()), WaitOptions::EXITED)?;
///         assert_eq!(ended.unwrap().status, WaitStatus::Exited(7));
///     }
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [clone3(2)](https://man7.org/linux/man-pages/man2/clone.2.html).
pub unsafe fn clone3(options: &CloneOptions<'_>) -> Result<Cloned, Errno> {
    let mut pidfd = -1_i32;
    let mut args = options.to_args();
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    // SAFETY: the caller's promise. The arguments are there, and where the
    // pidfd goes.
    let pid = unsafe { syscall!(nr::CLONE3, &raw const args, size_of::<CloneArgs>()) }?;
    Ok(match Pid::from_raw(pid as i32) {
        None => Cloned::Child,
        Some(pid) => Cloned::Parent {
            pid,
            // SAFETY: made by the kernel, for us.
            pidfd: (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) }),
        },
    })
}
