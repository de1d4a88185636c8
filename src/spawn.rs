//! Starting programs.
//!
//! [`Spawn`] starts a program without copying the parent: the child shares its
//! memory, on a stack of its own, until it executes the program, and the parent
//! waits that long. So it costs the same from a large process as from a small
//! one. If anything fails in the child, the parent is told which step and why.
//!
//! [`Spawn::capture`] also waits for the end, with the output in memory files.

mod child;

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
use core::fmt;
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

impl<'a> Spawn<'a> {
    fn with(program: Program<'a>, argv: CStrArray<'a>, envp: CStrArray<'a>) -> Self {
        Self {
            program,
            argv,
            envp,
            stdio: [None; 3],
            fds: &mut [],
            cloexec_from: None,
            directory: None,
            group: Group::Inherit,
            terminal: None,
            foreground: None,
            mask: SigSet::EMPTY,
            defaults: SigSet::EMPTY,
            limits: &[],
            user: None,
            no_new_privs: false,
            pdeathsig: None,
            clone: CloneOptions::new(),
        }
    }

    /// The program at `path`, by `execve`.
    pub fn new(path: &'a CStr, argv: CStrArray<'a>, envp: CStrArray<'a>) -> Self {
        Self::with(Program::Path(path), argv, envp)
    }

    /// The program that `fd` is, by `execveat`.
    ///
    /// A script (`#!`) needs a descriptor without close-on-exec.
    ///
    /// ```
    /// use barecall::fd::AsFd;
    /// use barecall::fs::{self, Mode, OFlags};
    /// use barecall::process::{CStrArray, CStrings, WaitStatus};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"sh", c"-c", c"exit 7"]);
    /// let sh = fs::openat(fs::CWD, c"/bin/sh", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    /// let child = Spawn::new_fd(sh.as_fd(), argv.as_array(), CStrArray::EMPTY).spawn()?;
    /// assert_eq!(child.wait()?, WaitStatus::Exited(7));
    ///
    /// // The same, by the directory.
    /// let bin = fs::openat(fs::CWD, c"/bin", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    /// let child = Spawn::new_at(bin.as_fd(), c"sh", argv.as_array(), CStrArray::EMPTY).spawn()?;
    /// assert_eq!(child.wait()?, WaitStatus::Exited(7));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn new_fd(fd: BorrowedFd<'a>, argv: CStrArray<'a>, envp: CStrArray<'a>) -> Self {
        Self::with(Program::At(fd, c""), argv, envp)
    }

    /// The program at `path`, from the directory that `dir` is, by `execveat`.
    /// An empty path is [`new_fd`](Self::new_fd).
    ///
    /// Neither the working directory of the caller nor
    /// [`directory`](Self::directory) changes what a relative path means.
    ///
    /// See [`new_fd`](Self::new_fd) for an example.
    pub fn new_at(
        dir: BorrowedFd<'a>,
        path: &'a CStr,
        argv: CStrArray<'a>,
        envp: CStrArray<'a>,
    ) -> Self {
        Self::with(Program::At(dir, path), argv, envp)
    }

    /// The program `name`, by [`execve_search`](crate::process::execve_search) in
    /// the directories of `dirs` (as in `PATH`).
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::process::{CStrArray, CStrings, WaitStatus};
    /// use barecall::spawn::{Spawn, SpawnStep};
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"sh", c"-c", c"exit 7"]);
    /// let (argv, envp) = (argv.as_array(), CStrArray::EMPTY);
    /// let child = Spawn::search(c"sh", b"/sbin:/bin", argv, envp).spawn()?;
    /// assert_eq!(child.wait()?, WaitStatus::Exited(7));
    ///
    /// let error = Spawn::search(c"sh", b"/proc", argv, envp).spawn().unwrap_err();
    /// assert_eq!((error.step, error.errno), (SpawnStep::Exec, Errno::ENOENT));
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn search(
        name: &'a CStr,
        dirs: &'a [u8],
        argv: CStrArray<'a>,
        envp: CStrArray<'a>,
    ) -> Self {
        Self::with(Program::Search { name, dirs }, argv, envp)
    }

    /// Descriptor 0 of the program.
    ///
    /// See [`fds`](Self::fds) for an example.
    pub fn stdin(mut self, fd: BorrowedFd<'a>) -> Self {
        self.stdio[0] = Some(FdMap::new(fd, 0));
        self
    }

    /// Descriptor 1 of the program.
    ///
    /// See [`fds`](Self::fds) for an example.
    pub fn stdout(mut self, fd: BorrowedFd<'a>) -> Self {
        self.stdio[1] = Some(FdMap::new(fd, 1));
        self
    }

    /// Descriptor 2 of the program.
    ///
    /// See [`fds`](Self::fds) for an example.
    pub fn stderr(mut self, fd: BorrowedFd<'a>) -> Self {
        self.stdio[2] = Some(FdMap::new(fd, 2));
        self
    }

    /// Further descriptors of the program. Sources and targets may overlap as
    /// they like; a target may come once (else `EINVAL`).
    ///
    /// The slice is where the child notes how far it is.
    ///
    /// ```
    /// use barecall::fd::AsFd;
    /// use barecall::io::{self, PipeFlags};
    /// use barecall::process::{CStrArray, CStrings, WaitStatus};
    /// use barecall::spawn::{FdMap, Spawn};
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let (input, to_child) = io::pipe2(PipeFlags::CLOEXEC)?;
    /// let (from_child, output) = io::pipe2(PipeFlags::CLOEXEC)?;
    /// let (results, third) = io::pipe2(PipeFlags::CLOEXEC)?;
    /// io::write_all(&to_child, b"question\n")?;
    ///
    /// let argv = CStrings::new([c"sh", c"-c", c"read q; echo \"$q?\"; echo lost >&2; echo done >&5"]);
    /// let mut fds = [FdMap::new(third.as_fd(), 5)];
    /// let child = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY)
    ///     .stdin(input.as_fd())
    ///     .stdout(output.as_fd())
    ///     .stderr(output.as_fd())
    ///     .fds(&mut fds)
    ///     .only_named_fds_from(3)
    ///     .spawn()?;
    /// assert_eq!(child.wait()?, WaitStatus::Exited(0));
    ///
    /// let mut buf = [0; 64];
    /// let len = io::read(&from_child, &mut buf)?;
    /// assert_eq!(&buf[..len], b"question?\nlost\n");
    /// let len = io::read(&results, &mut buf)?;
    /// assert_eq!(&buf[..len], b"done\n");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn fds(mut self, fds: &'a mut [FdMap<'a>]) -> Self {
        self.fds = fds;
        self
    }

    /// The program has no descriptor from `first` on but those that were named
    /// (since Linux 5.11: `CLOSE_RANGE_CLOEXEC`).
    ///
    /// See [`fds`](Self::fds) for an example.
    pub fn only_named_fds_from(mut self, first: RawFd) -> Self {
        self.cloexec_from = Some(first);
        self
    }

    /// The program's working directory. A relative path of the program counts
    /// from there.
    ///
    /// ```
    /// use barecall::io;
    /// use barecall::process::{CStrArray, CStrings};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"sh", c"-c", c"pwd"]);
    /// let out = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY)
    ///     .directory(c"/proc")
    ///     .capture()?;
    /// let mut buf = [0; 16];
    /// let len = io::read(&out.stdout, &mut buf)?;
    /// assert_eq!(&buf[..len], b"/proc\n");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn directory(mut self, path: &'a CStr) -> Self {
        self.directory = Some(path);
        self
    }

    /// In this process group; `None` is a new one.
    ///
    /// ```
    /// use barecall::fd::AsFd;
    /// use barecall::io;
    /// use barecall::process::{CStrArray, CStrings, getpgid, getsid};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"sh", c"-c", c"read line"]);
    /// let spawn = || Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY);
    /// let (input, output) = io::pipe2(io::PipeFlags::CLOEXEC)?;
    ///
    /// // A pipeline of a shell: the first one leads the group.
    /// let first = spawn().stdin(input.as_fd()).process_group(None).spawn()?;
    /// let leader = Some(first.pid());
    /// let second = spawn().stdin(input.as_fd()).process_group(leader).spawn()?;
    /// assert_eq!(getpgid(Some(second.pid()))?, leader);
    /// // A daemon.
    /// let third = spawn().stdin(input.as_fd()).session().spawn()?;
    /// assert_eq!(getsid(Some(third.pid()))?, Some(third.pid()));
    ///
    /// drop(output);
    /// for child in [first, second, third] {
    ///     child.wait()?;
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn process_group(mut self, group: Option<Pid>) -> Self {
        self.group = Group::Join(group);
        self
    }

    /// In a new session.
    ///
    /// See [`process_group`](Self::process_group) for an example.
    pub fn session(mut self) -> Self {
        self.group = Group::Session;
        self
    }

    /// With this terminal as the controlling one of its new session.
    pub fn controlling_terminal(mut self, tty: BorrowedFd<'a>) -> Self {
        self.group = Group::Session;
        self.terminal = Some(tty);
        self
    }

    /// In a new process group, in the foreground of this terminal, which is the
    /// session's. A descriptor that is no such terminal changes nothing.
    pub fn foreground(mut self, tty: BorrowedFd<'a>) -> Self {
        self.group = Group::Join(None);
        self.foreground = Some(tty);
        self
    }

    /// The signals that are blocked when the program begins.
    ///
    /// ```
    /// use barecall::process::{CStrArray, CStrings, WaitStatus};
    /// use barecall::signal::{SigSet, Signal};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// // What std ignores, most programs want to be ended by.
    /// let argv = CStrings::new([c"sh", c"-c", c"kill -PIPE $$; exit 7"]);
    /// let pipe = SigSet::EMPTY.with(Signal::SIGPIPE);
    /// let spawn = || Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY);
    ///
    /// let status = spawn().spawn()?.wait()?;
    /// assert_eq!(status, WaitStatus::Exited(7));
    /// let status = spawn().default_signals(pipe).spawn()?.wait()?;
    /// assert!(matches!(status, WaitStatus::Killed { signal: Signal::SIGPIPE, .. }));
    /// let status = spawn().default_signals(pipe).signal_mask(pipe).spawn()?.wait()?;
    /// assert_eq!(status, WaitStatus::Exited(7));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn signal_mask(mut self, mask: SigSet) -> Self {
        self.mask = mask;
        self
    }

    /// Signals that are back to their default, even if they are ignored.
    ///
    /// See [`signal_mask`](Self::signal_mask) for an example.
    pub fn default_signals(mut self, signals: SigSet) -> Self {
        self.defaults = signals;
        self
    }

    /// With these limits, set one after the other, before the user changes.
    ///
    /// ```
    /// use barecall::process::{CStrArray, CStrings, Resource, Rlimit, WaitStatus};
    /// use barecall::spawn::Spawn;
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let argv = CStrings::new([c"sh", c"-c", c"exit $(ulimit -n)"]);
    /// let limits = [(Resource::NOFILE, Rlimit { rlim_cur: 20, rlim_max: 20 })];
    /// let child = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY)
    ///     .limits(&limits)
    ///     .spawn()?;
    /// assert_eq!(child.wait()?, WaitStatus::Exited(20));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn limits(mut self, limits: &'a [(Resource, Rlimit)]) -> Self {
        self.limits = limits;
        self
    }

    /// As this user, with this group and these supplementary groups.
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::process::{CStrArray, CStrings, WaitStatus};
    /// use barecall::signal::Signal;
    /// use barecall::spawn::{Spawn, SpawnStep};
    ///
    /// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
    /// let script = c"while read k v r; do [ $k = Uid: ] && exit $((v == 65534)); done </proc/self/status";
    /// let argv = CStrings::new([c"sh", c"-c", script]);
    /// let child = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY)
    ///     .user(65534, 65534, &[])
    ///     .no_new_privs()
    ///     .pdeathsig(Signal::SIGKILL)
    ///     .spawn();
    /// match child {
    ///     Ok(child) => assert_eq!(child.wait()?, WaitStatus::Exited(1)),
    ///     // Without the privilege; or there is no such user in this namespace.
    ///     Err(error) => {
    ///         assert_eq!(error.step, SpawnStep::Credentials);
    ///         assert!(matches!(error.errno, Errno::EPERM | Errno::EINVAL));
    ///     }
    /// }
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn user(mut self, uid: u32, gid: u32, groups: &'a [u32]) -> Self {
        self.user = Some((uid, gid, groups));
        self
    }

    /// With `no_new_privs`.
    ///
    /// See [`user`](Self::user) for an example.
    pub fn no_new_privs(mut self) -> Self {
        self.no_new_privs = true;
        self
    }

    /// Gets this signal when the *thread* that spawns it ends.
    ///
    /// See [`user`](Self::user) for an example.
    pub fn pdeathsig(mut self, signal: Signal) -> Self {
        self.pdeathsig = Some(signal);
        self
    }

    /// In these new namespaces, in this cgroup, ...
    ///
    /// What the child does before it executes the program, it does there: in a
    /// new user namespace, without the caller's privileges outside.
    pub fn clone_options(mut self, options: CloneOptions<'a>) -> Self {
        self.clone = options;
        self
    }

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

/// What failed when a program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnStep {
    /// `clone3`: there was no child.
    Clone,
    /// `setpgid`, `setsid`.
    Group,
    /// `TIOCSCTTY`, `TIOCSPGRP`.
    Terminal,
    /// `chdir`.
    Directory,
    /// `fcntl`, `dup3`, `close_range`, or a target that comes twice.
    Descriptors,
    /// `prlimit64`.
    Limits,
    /// `setgroups`, `setresgid`, `setresuid`, `PR_SET_NO_NEW_PRIVS`,
    /// `PR_SET_PDEATHSIG`.
    Credentials,
    /// `sigaction`, `sigprocmask`.
    Signals,
    /// `execve`, `execveat`.
    Exec,
    /// The files of [`Spawn::capture`], or waiting.
    Capture,
}

impl SpawnStep {
    const fn from_raw(step: i32) -> Self {
        match step {
            1 => Self::Group,
            2 => Self::Terminal,
            3 => Self::Directory,
            4 => Self::Descriptors,
            5 => Self::Limits,
            6 => Self::Credentials,
            7 => Self::Signals,
            8 => Self::Exec,
            9 => Self::Capture,
            _ => Self::Clone,
        }
    }
}

/// Why a program was not started. There is no child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpawnError {
    /// Why.
    pub errno: Errno,
    /// Where.
    pub step: SpawnStep,
}

impl SpawnError {
    const fn new(errno: Errno, step: SpawnStep) -> Self {
        Self { errno, step }
    }
}

impl From<SpawnError> for Errno {
    #[inline]
    fn from(error: SpawnError) -> Self {
        error.errno
    }
}

impl fmt::Debug for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError")
            .field("errno", &self.errno)
            .field("step", &self.step)
            .finish()
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            SpawnStep::Clone => "cannot make a child: ",
            SpawnStep::Group => "cannot change the process group: ",
            SpawnStep::Terminal => "cannot take the terminal: ",
            SpawnStep::Directory => "cannot change the directory: ",
            SpawnStep::Descriptors => "cannot arrange the descriptors: ",
            SpawnStep::Limits => "cannot set the limits: ",
            SpawnStep::Credentials => "cannot change the user: ",
            SpawnStep::Signals => "cannot arrange the signals: ",
            SpawnStep::Exec => "cannot execute the program: ",
            SpawnStep::Capture => "cannot capture the output: ",
        })?;
        fmt::Display::fmt(&self.errno, f)
    }
}

crate::errno::std_error!(SpawnError);

impl core::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.errno)
    }
}
