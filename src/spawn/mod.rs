//! Starting programs.
//!
//! [`Spawn`] starts a program without copying the parent: the child shares its
//! memory, on a stack of its own, until it executes the program, and the parent
//! waits that long. So it costs the same from a large process as from a small
//! one. If anything fails in the child, the parent is told which step and why.
//!
//! [`Spawn::capture`] also waits for the end, with the output in memory files.

mod builder;
mod child;
mod error;

pub use error::{SpawnError, SpawnStep};

use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use crate::process::{
    CStrArray, CloneArgs, CloneFlags, CloneOptions, Pid, Resource, Rlimit, WaitId, WaitOptions,
    WaitStatus, waitid,
};
use crate::signal::{How, SigSet, Signal, sigprocmask};
use crate::syscall::decode;
use crate::{io, nr};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, Ordering};

/// A descriptor that the program is to have, under the number `target`.
#[derive(Clone, Copy, Debug)]
pub struct FdMap<'a> {
    source: BorrowedFd<'a>,
    target: RawFd,
    /// Where the source is while the targets are being filled.
    now: RawFd,
}

impl<'a> FdMap<'a> {
    /// The program has as `target` what `source` is.
    #[inline]
    pub const fn new(source: BorrowedFd<'a>, target: RawFd) -> Self {
        Self {
            source,
            target,
            now: -1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Program<'a> {
    Path(&'a CStr),
    /// An empty path is the descriptor itself.
    At(BorrowedFd<'a>, &'a CStr),
    Search {
        name: &'a CStr,
        dirs: &'a [u8],
    },
}

#[derive(Clone, Copy, Debug)]
enum Group {
    Inherit,
    Join(Option<Pid>),
    Session,
}

/// A program to start, and how.
///
/// The child is made by `clone3` with `CLONE_VM`, `CLONE_VFORK`,
/// `CLONE_CLEAR_SIGHAND` and `CLONE_PIDFD` (since Linux 5.5). If
/// nothing else is asked for, the program has the descriptors that are not close-on-exec, the
/// working directory and the process group of the caller. It begins with no
/// signal blocked; signals with a handler are back to their default, and
/// ignored ones stay ignored.
///
/// ```
/// use barecall::process::{CStrArray, CStrings, WaitStatus};
/// use barecall::spawn::Spawn;
///
/// let argv = CStrings::new([c"sh", c"-c", c"exit 7"]);
/// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
/// let child = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY).spawn()?;
/// assert_eq!(child.wait()?, WaitStatus::Exited(7));
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Debug)]
pub struct Spawn<'a> {
    program: Program<'a>,
    argv: CStrArray<'a>,
    envp: CStrArray<'a>,
    stdio: [Option<FdMap<'a>>; 3],
    fds: &'a mut [FdMap<'a>],
    cloexec_from: Option<RawFd>,
    directory: Option<&'a CStr>,
    group: Group,
    terminal: Option<BorrowedFd<'a>>,
    foreground: Option<BorrowedFd<'a>>,
    mask: SigSet,
    defaults: SigSet,
    limits: &'a [(Resource, Rlimit)],
    user: Option<(u32, u32, &'a [u32])>,
    no_new_privs: bool,
    pdeathsig: Option<Signal>,
    clone: CloneOptions<'a>,
}

impl Spawn<'_> {
    /// `sigprocmask`, `clone3`, `sigprocmask`: starts the program.
    ///
    /// # Errors
    ///
    /// What failed, and why: `clone3` itself, or a step in the child, the last
    /// of which is `execve`. There is no child then.
    pub fn spawn(&mut self) -> Result<Child, SpawnError> {
        let mut pidfd = -1_i32;
        let mut stack = MaybeUninit::<Stack>::uninit();
        let flags =
            CloneFlags::VM | CloneFlags::VFORK | CloneFlags::PIDFD | CloneFlags::CLEAR_SIGHAND;
        let args = CloneArgs {
            pidfd: (&raw mut pidfd).expose_provenance() as u64,
            stack: stack.as_mut_ptr().expose_provenance() as u64,
            stack_size: size_of::<Stack>() as u64,
            ..self.clone.flags(flags).to_args()
        };
        // The child would arrange the descriptors of the caller, or take it to
        // another directory.
        let shared = CloneFlags::FILES | CloneFlags::FS;
        if args.flags & shared.bits() != 0 {
            return Err(SpawnError::new(Errno::EINVAL, SpawnStep::Clone));
        }
        let failed = AtomicI32::new(0);
        let step = AtomicI32::new(0);
        let mut child = child::Job {
            spawn: self,
            failed: &failed,
            step: &step,
        };

        // A handler must not run in the child, in memory that is the parent's.
        // CLEAR_SIGHAND sees to that, from the start on; and the mask to it that
        // no signal stops or ends the child while the parent waits for it.
        let mask = sigprocmask(How::SETMASK, SigSet::ALL)
            .map_err(|errno| SpawnError::new(errno, SpawnStep::Clone))?;
        // SAFETY: the child has a stack of its own, that nothing else uses, and
        // the parent is not here before the child is gone from this memory.
        let pid = decode(unsafe {
            crate::arch::clone3_child(
                &raw const args,
                size_of::<CloneArgs>(),
                child::run,
                (&raw mut child).cast(),
            )
        });
        let _ = sigprocmask(How::SETMASK, mask);

        let pid = match pid {
            Ok(pid) => Pid::from_kernel(pid),
            Err(errno) => return Err(SpawnError::new(errno, SpawnStep::Clone)),
        };
        // SAFETY: made by the kernel for us, since there is a child.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        match Errno::new(failed.load(Ordering::Relaxed)) {
            None => Ok(Child { pid, pidfd }),
            Some(errno) => {
                // It has ended, so this does not wait. Somebody else may have
                // been faster, or SIGCHLD is ignored.
                let options = WaitOptions::EXITED | WaitOptions::ALL;
                let _ = io::retry_on_intr(|| waitid(WaitId::Pidfd(pidfd.as_fd()), options));
                Err(SpawnError::new(
                    errno,
                    SpawnStep::from_raw(step.load(Ordering::Relaxed)),
                ))
            }
        }
    }

    /// `memfd_create` twice, [`spawn`](Self::spawn), `waitid`: runs the program
    /// to its end, with what it writes to 1 and 2 in memory files.
    ///
    /// There is no pipe, so nobody waits for anybody, however much is written.
    /// The files can be sealed, and their offset is 0.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); [`SpawnStep::Capture`] for the rest. A program
    /// that was started is left to itself then.
    ///
    /// ```
    /// use barecall::io;
    /// use barecall::process::{CStrArray, CStrings, WaitStatus};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/echo").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"echo", c"hello"]);
    /// let out = Spawn::new(c"/bin/echo", argv.as_array(), CStrArray::EMPTY).capture()?;
    /// let mut buf = [0; 16];
    /// let n = io::read(&out.stdout, &mut buf)?;
    /// assert_eq!((&buf[..n], out.status), (&b"hello\n"[..], WaitStatus::Exited(0)));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn capture(self) -> Result<Captured, SpawnError> {
        let failed = |errno| SpawnError::new(errno, SpawnStep::Capture);
        let stdout = memory_file(c"stdout").map_err(failed)?;
        let stderr = memory_file(c"stderr").map_err(failed)?;
        let status = {
            let mut spawn = Spawn { ..self };
            // SAFETY: both are open until after the child has its own.
            let borrow = |fd: &OwnedFd| unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) };
            spawn.stdio[1] = Some(FdMap::new(borrow(&stdout), 1));
            spawn.stdio[2] = Some(FdMap::new(borrow(&stderr), 2));
            let child = spawn.spawn()?;
            io::retry_on_intr(|| child.wait()).map_err(failed)?
        };
        for file in [&stdout, &stderr] {
            io::lseek(file, io::SeekFrom::Start(0)).map_err(failed)?;
        }
        Ok(Captured {
            status,
            stdout,
            stderr,
        })
    }
}

fn memory_file(name: &CStr) -> Result<OwnedFd, Errno> {
    const MFD_CLOEXEC: u32 = 1;
    const MFD_ALLOW_SEALING: u32 = 2;
    // SAFETY: a string, and a new descriptor that is ours.
    unsafe { syscall_fd!(nr::MEMFD_CREATE, name, MFD_CLOEXEC | MFD_ALLOW_SEALING) }
}

/// What the child needs is some hundred bytes, a path of `PATH_MAX` among it;
/// without optimisation it is more.
#[repr(align(16))]
struct Stack(#[allow(dead_code)] [u8; 32 << 10]);

/// A program that was started.
///
/// Dropping this closes the pidfd and does nothing else: the program goes on,
/// and whoever waits for children has to wait for it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Child {
    /// Its number, which no other process gets before it has been waited for.
    ///
    /// See [`into_pidfd`](Self::into_pidfd) for an example.
    #[inline]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// The descriptor that means it: to poll for its end, to send signals.
    ///
    /// See [`into_pidfd`](Self::into_pidfd) for an example.
    #[inline]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The descriptor that means it, owned.
    ///
    /// ```
    /// use barecall::event::{PollFd, PollFlags, poll};
    /// use barecall::fd::AsFd;
    /// use barecall::process::{CStrArray, CStrings, WaitId, WaitOptions, WaitStatus, waitid};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"sh", c"-c", c"exit 7"]);
    /// let child = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY).spawn()?;
    /// // Readable when it has ended.
    /// let mut fds = [PollFd::from_borrowed_fd(child.pidfd(), PollFlags::IN)];
    /// assert_eq!(poll(&mut fds, None)?, 1);
    ///
    /// let (pid, pidfd) = (child.pid(), child.into_pidfd());
    /// let ended = waitid(WaitId::Pidfd(pidfd.as_fd()), WaitOptions::EXITED)?.map(|ended| (ended.pid, ended.status));
    /// assert_eq!(ended, Some((pid, WaitStatus::Exited(7))));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }

    /// `waitid(P_PIDFD, pidfd, &info, WEXITED | __WALL, NULL)`: waits for its
    /// end.
    ///
    /// # Errors
    ///
    /// `ECHILD`: it was waited for. `EINTR`: a signal came first.
    pub fn wait(&self) -> Result<WaitStatus, Errno> {
        let options = WaitOptions::EXITED | WaitOptions::ALL;
        match waitid(WaitId::Pidfd(self.pidfd()), options)? {
            Some(ended) => Ok(ended.status),
            // Not without NOHANG.
            None => Err(Errno::EAGAIN),
        }
    }
}

/// What [`Spawn::capture`] gives.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub status: WaitStatus,
    /// What it wrote to descriptor 1, a memory file.
    pub stdout: OwnedFd,
    /// What it wrote to descriptor 2, a memory file.
    pub stderr: OwnedFd,
}
