//! What is said about a program before it is started.

use super::{FdMap, Group, Program, Spawn};
use crate::fd::{BorrowedFd, RawFd};
use crate::process::{CStrArray, CloneOptions, Pid, Resource, Rlimit};
use crate::signal::{SigSet, Signal};
use core::ffi::CStr;

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
    /// `u32::MAX`, which to the kernel is "as it is", is `EINVAL`.
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
    /// `CloneFlags::FILES` and `FS` are `EINVAL`: it would do that to the
    /// caller's descriptors and working directory.
    pub fn clone_options(mut self, options: CloneOptions<'a>) -> Self {
        self.clone = options;
        self
    }
}
