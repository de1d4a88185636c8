//! The process 1 of a container or a micro-VM: starts one program, forwards
//! signals to it, reaps what is left over, and ends as the program ends.
//!
//! It waits in one `read` of a signalfd, and wakes for nothing else. Without
//! options it behaves as `tini` does, with `-S` as `dumb-init` does; but a
//! script needs its `#!` line, as they leave one without to a shell.
#![no_std]
#![no_main]

use barecall::Errno;
use barecall::fd::{BorrowedFd, OwnedFd};
use barecall::fs::{CWD, Mode, mkdirat};
use barecall::io::{self, IoSlice};
use barecall::mount::{MountFlags, mount};
use barecall::process::{
    self, CStrArray, Pid, PidfdFlags, WaitOptions, WaitTarget, execve, fork, pidfd_open, wait4,
};
use barecall::rt::Start;
use barecall::signal::{
    How, KillTarget, PidfdSignalFlags, SigSet, Signal, SignalfdFlags, SignalfdSiginfo, kill,
    pidfd_send_signal, signalfd, signalfd_read, sigprocmask,
};
use barecall::system::{self, RebootCommand};
use core::ffi::CStr;
use core::mem::MaybeUninit;

barecall::entry!(main);

const USAGE: &str = "\
usage: init [options] [--] program [arguments]

Runs the program, forwards signals, reaps orphans, exits with its status or
128 + signal; 127: not found, 126: not executable.

 -g      send signals to its process group
 -S      own session and terminal, signals and job control as dumb-init
 -s      adopt orphans even if not process 1
 -p SIG  get this when the parent ends
 -r A:B  send signal B for A, or none for B = 0
 -e N    exit with 0 instead of N
 -M      mount /proc, /sys, /dev, /run, /tmp; power off at the end
";

struct Options {
    group: bool,
    session: bool,
    machine: bool,
    subreaper: bool,
    pdeathsig: Option<Signal>,
    /// By signal: what is sent for it, 0 for itself, [`NONE`] for nothing.
    rewrite: [u8; 65],
    /// By exit status: whether it becomes 0.
    forgive: [bool; 256],
}

const NONE: u8 = 255;

fn main(start: Start) -> i32 {
    // SAFETY: what the kernel put on the stack, which nobody changes.
    let (argv, envp) = unsafe {
        (
            CStrArray::from_ptr(start.argv()),
            CStrArray::from_ptr(start.envp()),
        )
    };
    let mut options = Options {
        group: false,
        session: false,
        machine: false,
        subreaper: false,
        pdeathsig: None,
        rewrite: [0; 65],
        forgive: [false; 256],
    };
    let (program, argv) = match parse(argv, &mut options) {
        Ok(parsed) => parsed,
        Err(Usage::Help) => {
            say(1, &[USAGE.as_bytes()]);
            return 0;
        }
        Err(Usage::Wrong(what)) => {
            say(2, &[b"init: ", what, b"\n\n", USAGE.as_bytes()]);
            return 1;
        }
    };
    let path = start
        .var("PATH")
        .map_or(&b"/bin:/usr/bin"[..], CStr::to_bytes);
    let status = run(&options, program, path, argv, envp);
    let status = match options.forgive.get(usize::from(status)) {
        Some(true) => 0,
        _ => status,
    };
    if options.machine {
        power_off();
    }
    status.into()
}

enum Usage {
    Help,
    Wrong(&'static [u8]),
}

fn parse<'a>(
    argv: CStrArray<'a>,
    options: &mut Options,
) -> Result<(&'a CStr, CStrArray<'a>), Usage> {
    let mut args = argv.iter();
    args.next();
    loop {
        let rest = args.as_array();
        let arg = args.next().ok_or(Usage::Wrong(b"no program"))?;
        let letters = match arg.to_bytes() {
            b"--help" => return Err(Usage::Help),
            b"--" => {
                let rest = args.as_array();
                let program = args.next().ok_or(Usage::Wrong(b"no program"))?;
                return Ok((program, rest));
            }
            [b'-', letters @ ..] if !letters.is_empty() => letters,
            _ => return Ok((arg, rest)),
        };
        let mut letters = letters;
        while let Some((letter, more)) = letters.split_first() {
            letters = more;
            match letter {
                b'g' => options.group = true,
                b'S' => options.session = true,
                b's' => options.subreaper = true,
                b'M' => options.machine = true,
                b'h' => return Err(Usage::Help),
                b'p' | b'r' | b'e' => {
                    let value = match letters {
                        [] => args.next().map_or(&b""[..], CStr::to_bytes),
                        _ => letters,
                    };
                    letters = &[];
                    option(options, *letter, value)
                        .ok_or(Usage::Wrong(b"bad value of -p, -r or -e"))?;
                }
                _ => return Err(Usage::Wrong(b"bad option")),
            }
        }
    }
}

fn option(options: &mut Options, letter: u8, value: &[u8]) -> Option<()> {
    match letter {
        b'p' => options.pdeathsig = Some(signal(value)?),
        b'r' => {
            let mut halves = pieces(value, b':');
            let from = signal(halves.next()?)?;
            let to = match halves.next()? {
                b"0" => NONE,
                to => signal(to)?.as_raw() as u8,
            };
            *options.rewrite.get_mut(from.as_raw() as usize)? = to;
        }
        _ => {
            *options
                .forgive
                .get_mut(usize::try_from(number(value)?).ok()?)? = true
        }
    }
    Some(())
}

/// `15`, `TERM` or `SIGTERM`.
fn signal(text: &[u8]) -> Option<Signal> {
    if let Some(number) = number(text) {
        return Signal::new(number);
    }
    let text = text.strip_prefix(b"SIG").unwrap_or(text);
    let number = pieces(SIGNALS, b' ').position(|name| name == text)?;
    Signal::new(number as i32 + 1)
}

/// From 1 on.
const SIGNALS: &[u8] =
    b"HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT \
CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

fn number(text: &[u8]) -> Option<i32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_i32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10 && number < 1000).then_some(number * 10 + i32::from(digit))
    })
}

/// Runs the program to its end.
fn run(
    options: &Options,
    program: &CStr,
    path: &[u8],
    argv: CStrArray<'_>,
    envp: CStrArray<'_>,
) -> u8 {
    let child = start(options, program, path, argv, envp);
    attend(options, &child)
}

struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    signals: OwnedFd,
    /// Giving the terminal up sends these to who led its session.
    ignore_once: SigSet,
}

/// What the kernel raises for a fault of ours must end us, and not wait to be
/// read.
const FAULTS: SigSet = SigSet::of(&[
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
]);

fn or_end<T>(result: Result<T, Errno>, what: &[u8]) -> T {
    match result {
        Ok(value) => value,
        Err(errno) => {
            complain(what, errno);
            process::exit_group(1)
        }
    }
}

fn start(
    options: &Options,
    program: &CStr,
    path: &[u8],
    argv: CStrArray<'_>,
    envp: CStrArray<'_>,
) -> Child {
    let ours = FAULTS.complement();
    let before = or_end(sigprocmask(How::BLOCK, ours), b"sigprocmask");
    let signals = or_end(signalfd(ours, SignalfdFlags::CLOEXEC), b"signalfd");
    if options.pdeathsig.is_some() {
        or_end(process::set_pdeathsig(options.pdeathsig), b"-p");
    }
    if options.subreaper {
        or_end(process::set_child_subreaper(true), b"-s");
    }
    if options.machine {
        prepare();
    }
    let mut ignore_once = SigSet::EMPTY;
    if options.session
        && process::tiocnotty(stdin()).is_ok()
        && process::getsid(None) == Ok(Some(process::getpid()))
    {
        ignore_once = SigSet::of(&[Signal::SIGHUP, Signal::SIGCONT]);
    }

    // SAFETY: one thread, and no lock that anybody could hold.
    match or_end(unsafe { fork() }, b"fork") {
        // Nobody else waits for it, so the number is still its own.
        Some(pid) => Child {
            pid,
            pidfd: or_end(pidfd_open(pid, PidfdFlags::empty()), b"pidfd_open"),
            signals,
            ignore_once,
        },
        None => {
            isolate(options);
            let _ = sigprocmask(How::SETMASK, before);
            let errno = execute(program, path, argv, envp);
            complain(program.to_bytes(), errno);
            process::exit_group(match errno {
                Errno::ENOENT | Errno::ENOTDIR => 127,
                _ => 126,
            })
        }
    }
}

/// As `process::execve_search` does, in fewer bytes.
fn execute(program: &CStr, path: &[u8], argv: CStrArray<'_>, envp: CStrArray<'_>) -> Errno {
    let name = program.to_bytes();
    // `contains` is core's memchr, of 280 bytes.
    #[allow(clippy::manual_contains)]
    if name.is_empty() || name.iter().any(|&byte| byte == b'/') {
        return execve(program, argv, envp);
    }
    let mut result = Errno::ENOENT;
    for dir in pieces(path, b':') {
        // PATH_MAX: the kernel takes nothing longer.
        let mut buf = [0; 4096];
        let mut end = 0;
        let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
        for piece in [dir, slash, name] {
            for byte in piece {
                if let Some(place) = buf.get_mut(end) {
                    *place = *byte;
                    end += 1;
                }
            }
        }
        if end == buf.len() {
            continue;
        }
        // SAFETY: there is a NUL at the end at least.
        let errno = execve(unsafe { CStr::from_ptr(buf.as_ptr().cast()) }, argv, envp);
        match errno {
            Errno::EACCES => result = errno,
            Errno::ENOENT | Errno::ENOTDIR => {}
            _ => return errno,
        }
    }
    result
}

fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    text.split(move |&byte| byte == separator)
}

/// Gives the program a session or a process group, and the terminal, if there
/// is one. All signals are blocked: SIGTTOU does not stop us.
fn isolate(options: &Options) {
    if options.session {
        let _ = process::setsid();
        let _ = process::tiocsctty(stdin(), false);
    } else {
        let _ = process::setpgid(None, None);
        let _ = process::tiocspgrp(stdin(), process::getpid());
    }
}

/// Forwards and reaps until the program ends.
fn attend(options: &Options, child: &Child) -> u8 {
    let mut ignore_once = child.ignore_once;
    loop {
        let mut infos = [MaybeUninit::<SignalfdSiginfo>::uninit()];
        let read = io::retry_on_intr(|| signalfd_read(&child.signals, &mut infos).map(|_| ()));
        or_end(read, b"signalfd");
        // SAFETY: one was read.
        let info = unsafe { infos[0].assume_init_ref() };
        match info.signal() {
            Some(Signal::SIGCHLD) => {
                if let Some(status) = reap(child.pid) {
                    if options.session {
                        // What is left of the session does not outlive it.
                        let _ = kill(KillTarget::Group(child.pid), Signal::SIGTERM);
                    }
                    return status;
                }
            }
            Some(signal) if ignore_once.contains(signal) => {
                ignore_once = ignore_once.without(signal);
            }
            Some(signal) => forward(options, child, signal),
            None => {}
        }
    }
}

/// Takes every child that has ended; the program's status, if it is among
/// them.
fn reap(program: Pid) -> Option<u8> {
    let mut status = None;
    let options = WaitOptions::NOHANG | WaitOptions::ALL;
    while let Ok(Some((pid, ended))) = wait4(WaitTarget::Any, options) {
        if pid == program {
            status = ended.shell_code();
        }
    }
    status
}

fn forward(options: &Options, child: &Child, signal: Signal) {
    let signal = match options.rewrite.get(signal.as_raw() as usize) {
        Some(&NONE) => return,
        Some(&other) => Signal::new(other.into()).unwrap_or(signal),
        None => signal,
    };
    let stops =
        options.session && matches!(signal, Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU);
    // A group of its own, whose SIGTSTP nobody would act on: it is orphaned.
    let signal = if stops { Signal::SIGSTOP } else { signal };
    // Right after its start there is no such group yet.
    let group = options.group || options.session;
    if !group || kill(KillTarget::Group(child.pid), signal).is_err() {
        // It may have ended already. Then there is nobody to be told.
        let _ = pidfd_send_signal(&child.pidfd, signal, None, PidfdSignalFlags::empty());
    }
    if stops {
        let _ = kill(process::getpid(), Signal::SIGSTOP);
    }
}

/// What programs of a machine expect. What is there already may stay.
fn prepare() {
    for (kind, target) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
        (c"devpts", c"/dev/pts"),
        (c"tmpfs", c"/run"),
        (c"tmpfs", c"/tmp"),
    ] {
        let _ = mkdirat(CWD, target, Mode::from_raw(0o755));
        match mount(Some(kind), target, Some(kind), MountFlags::NOSUID, None) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(errno) => complain(target.to_bytes(), errno),
        }
    }
}

/// Ends everybody, and the machine. Returns only where that is not allowed.
fn power_off() {
    let _ = kill(KillTarget::All, Signal::SIGKILL);
    system::sync();
    if let Err(errno) = system::reboot(RebootCommand::POWER_OFF) {
        complain(b"power off", errno);
    }
}

fn stdin() -> BorrowedFd<'static> {
    // SAFETY: if it is not open, whoever is given it says EBADF; and this
    // program opens nothing that could take its place unnoticed.
    unsafe { io::stdin() }
}

/// `init: what: ENOENT`
fn complain(what: &[u8], errno: Errno) {
    let mut names = pieces(ERRORS, b' ');
    let name = names.nth(errno.raw() as usize - 1).unwrap_or(b"error");
    say(2, &[b"init: ", what, b": ", name, b"\n"]);
}

/// From 1 on; what can happen here is among them. `Errno::name` knows them all,
/// which would be a fifth of this program.
const ERRORS: &[u8] = b"EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM \
EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY \
EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP";

fn say(fd: i32, pieces: &[&[u8]]) {
    let mut slices = [IoSlice::new(&[]); 5];
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    // SAFETY: open by convention; if not, nobody hears it.
    let _ = io::writev(unsafe { BorrowedFd::borrow_raw(fd) }, &slices);
}
