//! Process 1 of the kernels that `tests/matrix` boots.
//!
//! Mounts what programs expect, runs those listed in `/programs` one after the
//! other, each for at most its time, with nothing left over from the one
//! before, says how each ended, and powers off. The lines that begin with
//! `matrix:` are what `tests/matrix` reads.
//!
//! Under another process 1, which is `init` of these examples, it is the program
//! that tests that one: see [`under_init`].
#![no_std]
#![no_main]

use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::{self, CWD, Mode, OFlags};
use barecall::io::{self, DupFlags, FdWriter};
use barecall::mount::{MountFlags, mount};
use barecall::process::{
    CStrArray, CStrings, Pid, WaitOptions, WaitStatus, WaitTarget, execve, exit_group, fork,
    getpgid, getpid, getppid, wait4,
};
use barecall::rt::Start;
use barecall::signal::{self, How, KillTarget, SigSet, Signal};
use barecall::system::{self, RebootCommand};
use barecall::time::{self, Timespec};
use barecall::{Errno, nr, syscall};
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write as _};
use core::ptr::null;

barecall::entry!(main);

fn main(_start: Start) -> i32 {
    if getpid() != Pid::INIT {
        return match under_init() {
            Ok(()) => 0,
            Err(errno) => {
                say(format_args!("cannot test init: {errno}"));
                1
            }
        };
    }
    prepare();
    let mut list = [0; 16 * 1024];
    match read_file(c"/programs", &mut list) {
        Ok(list) => list
            .split_inclusive_mut(|&byte| byte == b'\n')
            .for_each(run),
        Err(errno) => say(format_args!("cannot read /programs: {errno}")),
    }
    say(format_args!("done"));
    system::sync();
    let _ = system::reboot(RebootCommand::POWER_OFF);
    let _ = system::reboot(RebootCommand::RESTART);
    1 // the kernel panics, which tells the same
}

/// A line on the console.
fn say(message: fmt::Arguments<'_>) {
    // SAFETY: the kernel opened the console as 0, 1 and 2 for process 1.
    let mut console = FdWriter(unsafe { io::stdout() });
    let _ = writeln!(console, "matrix: {message}");
}

/// What `init -M` promises to its program: where it is, what is mounted, that
/// signals arrive, that orphans are reaped. Then it ends, with a process left
/// behind, and the machine goes off.
fn under_init() -> Result<(), Errno> {
    let parent = getppid().map_or(0, Pid::as_raw);
    let leads = getpgid(None)? == Some(getpid());
    say(format_args!(
        "init: child of {parent}, leads its group: {leads}"
    ));

    let mut mounts = [0; 4096];
    let mounts = &*read_file(c"/proc/mounts", &mut mounts)?;
    for line in mounts.split(|&byte| byte == b'\n') {
        let mut words = line.split(|&byte| byte == b' ');
        if let (Some(_), Some(place), Some(kind)) = (words.next(), words.next(), words.next()) {
            let text = |word| core::str::from_utf8(word).unwrap_or("?");
            say(format_args!("init: mounted {} {}", text(place), text(kind)));
        }
    }

    let all = SigSet::ALL;
    signal::sigprocmask(How::BLOCK, all)?;
    let mut forwarded = 0;
    for sent in NOT_FORWARDED.complement() {
        signal::kill(Pid::INIT, sent)?;
        let got = signal::sigtimedwait(all.without(Signal::SIGCHLD), None)?;
        forwarded += u32::from(got.signal() == Some(sent));
    }
    say(format_args!("init: forwarded {forwarded} signals"));

    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
    let orphans = 100;
    for _ in 0..orphans {
        // SAFETY: one thread; the children make system calls and exit.
        unsafe {
            match fork()? {
                Some(child) => wait4(WaitTarget::Pid(child), WaitOptions::empty())?,
                None => {
                    let orphan = fork()?.unwrap_or_else(|| exit_group(0));
                    let _ = io::write(&writer, &orphan.as_raw().to_ne_bytes());
                    exit_group(0)
                }
            };
        }
    }
    let mut reaped = 0;
    let mut number = [0; 4];
    while reaped < orphans && io::read(&reader, &mut number)? == number.len() {
        let Some(orphan) = Pid::from_raw(i32::from_ne_bytes(number)) else {
            break;
        };
        // A zombie too can be signalled.
        while signal::kill(orphan, None) != Err(Errno::ESRCH) {
            let moment = Timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            };
            let _ = time::nanosleep(&moment)?;
        }
        reaped += 1;
    }
    say(format_args!("init: reaped {reaped} orphans"));

    // SAFETY: one thread; the child only waits.
    if unsafe { fork() }?.is_none() {
        loop {
            let _ = signal::sigsuspend(all);
        }
    }
    say(format_args!("init: program ends"));
    Ok(())
}

/// What nobody can take, what means init itself, and its own faults.
const NOT_FORWARDED: SigSet = SigSet::of(&[
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGCHLD,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
]);

fn prepare() {
    const NOTHING: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);
    const NOSUID: MountFlags = MountFlags::NOSUID;
    for (fstype, target, flags, data) in [
        (c"proc", c"/proc", NOTHING, None),
        (c"sysfs", c"/sys", NOTHING, None),
        (c"devtmpfs", c"/dev", NOSUID, None),
        (c"devpts", c"/dev/pts", NOTHING, Some(c"ptmxmode=666")),
        (c"tmpfs", c"/dev/shm", NOSUID, Some(c"mode=1777")),
        (c"tmpfs", c"/tmp", NOSUID, Some(c"mode=1777")),
    ] {
        let _ = fs::mkdirat(CWD, target, Mode::from_bits_retain(0o755));
        if let Err(errno) = mount(Some(fstype), target, Some(fstype), flags, data) {
            say(format_args!("cannot mount {target:?}: {errno}"));
        }
    }
    // As udev has it: scripts and some kernels look descriptors up there.
    if let Err(errno) = fs::symlinkat(c"/proc/self/fd", CWD, c"/dev/fd") {
        say(format_args!("cannot link /dev/fd: {errno}"));
    }
    // Nobody types on this console: who reads shall see the end at once.
    if let Ok(null) = open(c"/dev/null", OFlags::RDWR) {
        // SAFETY: nothing here reads from 0.
        let _ = unsafe { io::dup3_raw(&null, 0, DupFlags::empty()) };
    }
    let mut version = [0; 128];
    if let Ok(version) = read_file(c"/proc/sys/kernel/version", &mut version) {
        let version = core::str::from_utf8(version.trim_ascii()).unwrap_or("?");
        say(format_args!("kernel {version}"));
    }
}

/// How a program ended.
struct Ended {
    status: WaitStatus,
    timed_out: bool,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.timed_out {
            f.write_str("out of time, ")?;
        }
        match self.status {
            WaitStatus::Exited(status) => write!(f, "exited with {status}"),
            WaitStatus::Killed { signal, .. } => write!(f, "killed by signal {signal}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// Runs a line of the list: `SECONDS PATH ARGUMENT...`.
fn run(line: &mut [u8]) {
    for byte in line.iter_mut().filter(|byte| byte.is_ascii_whitespace()) {
        *byte = 0;
    }
    let mut words = line
        .split_inclusive(|&byte| byte == 0)
        .filter_map(|word| CStr::from_bytes_with_nul(word).ok())
        .filter(|word| !word.is_empty());
    let (Some(limit), Some(path)) = (words.next(), words.next()) else {
        return;
    };
    let limit: u64 = limit
        .to_str()
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(60);
    let path_text = path.to_str().unwrap_or("?");
    let name = path_text.rsplit('/').next().unwrap_or(path_text);
    let mut argv = [null(); 16];
    argv[0] = path.as_ptr();
    for (slot, word) in argv[1..15].iter_mut().zip(words) {
        *slot = word.as_ptr();
    }

    say(format_args!("begin {name}"));
    let began = now();
    let ended = spawn(path, &argv).and_then(|child| wait(child, began + limit * 1_000_000_000));
    let took = (now() - began) / 1_000_000;
    match ended {
        Ok(ended) => say(format_args!("end {name}: {ended}, {took} ms")),
        Err(errno) => say(format_args!("end {name}: not run, {errno}, {took} ms")),
    }
}

/// Starts a program in a session of its own. `argv` ends with a null pointer.
fn spawn(path: &CStr, argv: &[*const c_char; 16]) -> Result<Pid, Errno> {
    let environment = CStrings::new([
        c"PATH=/bin",
        c"HOME=/",
        c"TMPDIR=/tmp",
        c"EMULATED=1",
        c"BARECALL_STRESS_SECONDS=60",
    ]);
    // What a child's end sends is waited for, not lost.
    signal::sigprocmask(How::BLOCK, CHILD)?;
    // SAFETY: a process with one thread; the child ends in execve or exit.
    if let Some(child) = unsafe { fork() }? {
        return Ok(child);
    }
    // SAFETY: takes nothing.
    let _ = unsafe { syscall!(nr::SETSID) };
    let _ = signal::sigprocmask(How::UNBLOCK, CHILD);
    // SAFETY: strings of the list, which stays, and a null pointer.
    let argv = unsafe { CStrArray::from_ptr(argv.as_ptr()) };
    let errno = execve(path, argv, environment.as_array());
    say(format_args!("cannot run {path:?}: {errno}"));
    exit_group(127)
}

/// Waits for the program, until `deadline`, and reaps whoever else ends. Then
/// nothing of it is left: process 1 can kill everything but itself.
fn wait(child: Pid, deadline: u64) -> Result<Ended, Errno> {
    let mut timed_out = false;
    let mut ended = None;
    while ended.is_none() {
        let left = deadline.saturating_sub(now());
        if left == 0 && !timed_out {
            timed_out = true;
            let _ = signal::kill(KillTarget::All, Signal::SIGKILL);
        }
        let timeout = Timespec {
            tv_sec: (left / 1_000_000_000) as i64,
            tv_nsec: (left % 1_000_000_000) as i64,
        };
        // What it answers does not matter: somebody ended, or time is up.
        let _ = signal::sigtimedwait(CHILD, Some(timeout));
        while let Some((pid, status)) = reap(WaitOptions::NOHANG) {
            if pid == child {
                ended = Some(status);
            }
        }
    }
    let _ = signal::kill(KillTarget::All, Signal::SIGKILL);
    while reap(WaitOptions::empty()).is_some() {}
    match ended {
        Some(status) => Ok(Ended { status, timed_out }),
        None => Err(Errno::ECHILD),
    }
}

/// A child that ended, or `None` if there is none (now).
fn reap(options: WaitOptions) -> Option<(Pid, WaitStatus)> {
    let options = options | WaitOptions::ALL;
    io::retry_on_intr(|| wait4(WaitTarget::Any, options)).unwrap_or(None)
}

/// Nanoseconds since some moment.
fn now() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: the kernel writes a timespec.
    let _ = unsafe { syscall!(nr::CLOCK_GETTIME, CLOCK_MONOTONIC, time.as_mut_ptr()) };
    time[0] * 1_000_000_000 + time[1]
}

fn open(path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Reads a file as far as `buf` reaches.
fn read_file<'b>(path: &CStr, buf: &'b mut [u8]) -> Result<&'b mut [u8], Errno> {
    let file = open(path, OFlags::RDONLY)?;
    let mut len = 0;
    while len < buf.len() {
        match io::read(file.as_fd(), &mut buf[len..])? {
            0 => break,
            n => len += n,
        }
    }
    Ok(&mut buf[..len])
}

const CHILD: SigSet = SigSet::EMPTY.with(Signal::SIGCHLD);
const CLOCK_MONOTONIC: i32 = 1;
