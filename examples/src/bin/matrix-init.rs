//! Process 1 of the kernels that `tests/matrix` boots.
//!
//! Mounts what programs expect, runs those listed in `/programs` one after the
//! other, each for at most its time, with nothing left over from the one
//! before, says how each ended, and powers off. The lines that begin with
//! `matrix:` are what `tests/matrix` reads.
#![no_std]
#![no_main]

use barecall::fd::{AsFd, OwnedFd};
use barecall::io::{self, DupFlags};
use barecall::mount::{MountFlags, mount};
use barecall::rt::Start;
use barecall::system::{self, RebootCommand};
use barecall::{Errno, nr, syscall};
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write as _};
use core::ptr::null;

barecall::entry!(main);

fn main(_start: Start) -> i32 {
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
    struct Console;
    impl fmt::Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // SAFETY: the kernel opened the console as 0, 1 and 2 for process 1.
            io::write_all(unsafe { io::stdout() }, text.as_bytes()).map_err(|_| fmt::Error)
        }
    }
    let _ = writeln!(Console, "matrix: {message}");
}

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
        // SAFETY: a string.
        let _ = unsafe { syscall!(nr::MKDIRAT, AT_FDCWD, target, 0o755) };
        if let Err(errno) = mount(Some(fstype), target, Some(fstype), flags, data) {
            say(format_args!("cannot mount {target:?}: {errno}"));
        }
    }
    // Nobody types on this console: who reads shall see the end at once.
    if let Ok(null) = open(c"/dev/null", O_RDWR) {
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
    /// As `wait4` gives it.
    status: i32,
    timed_out: bool,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.timed_out {
            f.write_str("out of time, ")?;
        }
        match self.status & 0x7f {
            0 => write!(f, "exited with {}", self.status >> 8 & 0xff),
            signal => write!(f, "killed by signal {signal}"),
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

/// Starts a program in a session of its own.
fn spawn(path: &CStr, argv: &[*const c_char; 16]) -> Result<i32, Errno> {
    let environment = [
        c"PATH=/bin".as_ptr(),
        c"HOME=/".as_ptr(),
        c"TMPDIR=/tmp".as_ptr(),
        null(),
    ];
    set_mask(SIG_BLOCK)?;
    // SAFETY: a fork, from a process with one thread; the child calls the
    // kernel only, and ends in execve or exit.
    unsafe {
        let child = syscall!(nr::CLONE, SIGCHLD, 0, 0, 0, 0)?;
        if child == 0 {
            let _ = syscall!(nr::SETSID);
            let _ = set_mask(SIG_UNBLOCK);
            let _ = syscall!(nr::EXECVE, path, argv.as_ptr(), environment.as_ptr());
            barecall::syscall_noreturn!(nr::EXIT_GROUP, 127)
        }
        Ok(child as i32)
    }
}

/// Waits for the program, until `deadline`, and reaps whoever else ends. Then
/// nothing of it is left: process 1 can kill everything but itself.
fn wait(child: i32, deadline: u64) -> Result<Ended, Errno> {
    let mut timed_out = false;
    let mut status = None;
    while status.is_none() {
        let left = deadline.saturating_sub(now());
        if left == 0 && !timed_out {
            timed_out = true;
            kill_all();
        }
        let timeout = [left / 1_000_000_000, left % 1_000_000_000];
        // SAFETY: a set of 8 bytes and a timespec are read. What it answers does
        // not matter: a signal, or time to look at the clock.
        let _ = unsafe {
            syscall!(
                nr::RT_SIGTIMEDWAIT,
                &raw const SIGCHLD_SET,
                0,
                timeout.as_ptr(),
                8
            )
        };
        while let Some((pid, how)) = reap(WNOHANG)? {
            if pid == child {
                status = Some(how);
            }
        }
    }
    kill_all();
    while let Ok(Some(_)) = reap(0) {}
    Ok(Ended {
        status: status.unwrap_or(-1),
        timed_out,
    })
}

fn kill_all() {
    // SAFETY: everybody but process 1, which is us.
    let _ = unsafe { syscall!(nr::KILL, -1, SIGKILL) };
}

/// A child that ended and its status, or `None` if there is none (now).
fn reap(options: i32) -> Result<Option<(i32, i32)>, Errno> {
    let mut status = 0_i32;
    // SAFETY: the kernel writes an int.
    match io::retry_on_intr(|| unsafe {
        syscall!(nr::WAIT4, -1, &raw mut status, options | __WALL, 0)
    }) {
        Ok(0) | Err(Errno::ECHILD) => Ok(None),
        Ok(pid) => Ok(Some((pid as i32, status))),
        Err(errno) => Err(errno),
    }
}

fn set_mask(how: i32) -> Result<(), Errno> {
    // SAFETY: a set of 8 bytes is read.
    unsafe { syscall!(nr::RT_SIGPROCMASK, how, &raw const SIGCHLD_SET, 0, 8) }.map(|_| ())
}

/// Nanoseconds since some moment.
fn now() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: the kernel writes a timespec.
    let _ = unsafe { syscall!(nr::CLOCK_GETTIME, CLOCK_MONOTONIC, time.as_mut_ptr()) };
    time[0] * 1_000_000_000 + time[1]
}

fn open(path: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: a string; a new descriptor, ours.
    unsafe {
        let fd = syscall!(nr::OPENAT, AT_FDCWD, path, flags, 0)?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Reads a file as far as `buf` reaches.
fn read_file<'b>(path: &CStr, buf: &'b mut [u8]) -> Result<&'b mut [u8], Errno> {
    let file = open(path, O_RDONLY)?;
    let mut len = 0;
    while len < buf.len() {
        match io::read(file.as_fd(), &mut buf[len..])? {
            0 => break,
            n => len += n,
        }
    }
    Ok(&mut buf[..len])
}

const AT_FDCWD: i32 = -100;
const O_RDONLY: u32 = 0;
const O_RDWR: u32 = 2;
const SIGCHLD: i32 = 17;
const SIGKILL: i32 = 9;
const SIG_BLOCK: i32 = 0;
const SIG_UNBLOCK: i32 = 1;
static SIGCHLD_SET: u64 = 1 << (SIGCHLD - 1);
const WNOHANG: i32 = 1;
const __WALL: i32 = 0x4000_0000;
const CLOCK_MONOTONIC: i32 = 1;
