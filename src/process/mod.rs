//! Processes: who one is, starting others, and waiting for them.

mod clone;
mod creds;
mod exec;
mod pidfd;
mod place;
mod prctl;
mod session;
mod usage;
mod wait;

pub use clone::{CloneOptions, Cloned, clone3};
pub use creds::*;
pub use exec::*;
pub use pidfd::*;
pub use place::*;
pub use prctl::*;
pub use session::*;
pub use usage::*;
pub use wait::*;

pub(crate) use clone::CloneArgs;

use crate::errno::Errno;
use crate::{arch, nr, syscall, syscall_noreturn};
use core::fmt;
use core::num::NonZeroI32;

/// The number of a process or a thread: positive.
///
/// The kernel's special numbers (0, -1, -group) are arguments of their own
/// where a call has them, and cannot be written by mistake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pid(NonZeroI32);

impl Pid {
    /// Process 1: the first one of a PID namespace.
    pub const INIT: Self = match Self::from_raw(1) {
        Some(init) => init,
        None => panic!("1 is positive"),
    };

    /// The process of this number, if that is positive.
    #[inline]
    pub const fn from_raw(pid: i32) -> Option<Self> {
        match NonZeroI32::new(pid) {
            Some(pid) if pid.get() > 0 => Some(Self(pid)),
            _ => None,
        }
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> i32 {
        self.0.get()
    }

    /// What a call answers that always has a process to name.
    ///
    /// Only a seccomp filter that answers for the kernel can make that 0 or
    /// negative. `i32::MAX` is what stands for it: no process has that number,
    /// and signals to it reach nobody.
    #[inline]
    pub(crate) const fn from_kernel(pid: usize) -> Self {
        match Self::from_raw(pid as i32) {
            Some(pid) => pid,
            None => Self(NonZeroI32::MAX),
        }
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pid").field(&self.as_raw()).finish()
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_raw(), f)
    }
}

/// `getpid()`: the number of this process.
///
/// ```
/// use barecall::process::getpid;
///
/// assert_eq!(getpid().as_raw() as u32, std::process::id());
/// ```
///
/// Manual page: [getpid(2)](https://man7.org/linux/man-pages/man2/getpid.2.html).
#[inline]
pub fn getpid() -> Pid {
    // SAFETY: takes nothing and changes nothing.
    Pid::from_kernel(unsafe { arch::syscall0(nr::GETPID) }.addr())
}

/// `getppid()`: the number of the parent, or `None` for one in another PID
/// namespace.
///
/// It changes when the parent ends: to a subreaper, or to process 1.
///
/// ```
/// assert!(barecall::process::getppid().is_some());
/// ```
///
/// Manual page: [getppid(2)](https://man7.org/linux/man-pages/man2/getppid.2.html).
#[inline]
pub fn getppid() -> Option<Pid> {
    // An error, which only a seccomp filter can make, is negative too.
    // SAFETY: takes nothing and changes nothing.
    let parent = unsafe { arch::syscall0(nr::GETPPID) };
    Pid::from_raw(parent.addr() as i32)
}

/// `gettid()`: the number of this thread. That of the first thread is the
/// number of the process.
///
/// ```
/// use barecall::process::{getpid, gettid};
///
/// assert_ne!(std::thread::spawn(gettid).join().unwrap(), getpid());
/// ```
///
/// Manual page: [gettid(2)](https://man7.org/linux/man-pages/man2/gettid.2.html).
#[inline]
pub fn gettid() -> Pid {
    // SAFETY: takes nothing and changes nothing.
    Pid::from_kernel(unsafe { arch::syscall0(nr::GETTID) }.addr())
}

/// `exit_group(status)`: ends the process, all of its threads. The parent sees
/// the low 8 bits.
///
/// Nothing is flushed and no destructor runs.
///
/// ```no_run
/// barecall::process::exit_group(3)
/// ```
///
/// Manual page: [exit_group(2)](https://man7.org/linux/man-pages/man2/exit_group.2.html).
#[inline]
#[doc(alias = "_exit")]
pub fn exit_group(status: i32) -> ! {
    // SAFETY: does not return.
    unsafe { syscall_noreturn!(nr::EXIT_GROUP, status) }
}

/// `exit(status)`: ends this thread alone.
///
/// # Safety
///
/// The thread's stack is not unwound. Whoever started the thread may then free
/// that stack, so nothing may still be borrowed from it; and the C library, if
/// there is one, does not learn that its thread is gone.
///
/// ```no_run
/// // SAFETY: the only thread, which lends nothing.
/// unsafe { barecall::process::exit(3) }
/// ```
///
/// Manual page: [exit(2)](https://man7.org/linux/man-pages/man2/exit.2.html).
#[inline]
pub unsafe fn exit(status: i32) -> ! {
    // SAFETY: does not return; the rest is the caller's promise.
    unsafe { syscall_noreturn!(nr::EXIT, status) }
}

/// `clone(SIGCHLD, 0, ...)`, which is what `fork()` is: a second process, with
/// a copy of the memory.
///
/// `None` in the child, its number in the parent. (The call `fork` itself is
/// not there on aarch64.)
///
/// # Safety
///
/// Only the calling thread is in the child: a lock that another one held there
/// is locked for ever, and the memory allocator has one. In a process with
/// several threads, the child may do no more than system calls until it
/// executes a program or exits. The C library, if there is one, is not told
/// (`pthread_atfork`, a cached thread number).
///
/// # Errors
///
/// `EAGAIN`: a limit on processes (`RLIMIT_NPROC`, a cgroup), or `SCHED_DEADLINE`.
/// `ENOMEM`: no memory, or the first process of the PID namespace has ended.
/// `ERESTARTNOINTR` is never seen.
///
/// ```
/// use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
///
/// // SAFETY: the child only exits.
/// match unsafe { fork() }? {
///     None => exit_group(7),
///     Some(child) => {
///         let ended = wait4(WaitTarget::Pid(child), WaitOptions::empty())?;
///         assert_eq!(ended, Some((child, WaitStatus::Exited(7))));
///     }
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fork(2)](https://man7.org/linux/man-pages/man2/fork.2.html).
#[inline]
pub unsafe fn fork() -> Result<Option<Pid>, Errno> {
    const SIGCHLD: u32 = 17;
    // SAFETY: on a stack of its own, which is a copy. All other arguments are
    // 0, so their order, which differs by processor, does not matter.
    let child = unsafe { syscall!(nr::CLONE, SIGCHLD, 0, 0, 0, 0) }?;
    Ok(Pid::from_raw(child as i32))
}
