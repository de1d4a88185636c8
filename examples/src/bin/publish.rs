//! publish: reads standard input to its end, and only then makes it a file,
//! in one step and durably. What `sponge` does, done right.
//!
//! Whoever opens FILE sees all of the old or all of the new contents, whenever
//! this is interrupted. The data has no name until it is complete, so nothing
//! is left behind by a signal or an error. SIGKILL or a power cut in the very
//! last step can leave one file `.barecall-new-...`, which `-c` removes; with
//! `-x` it is `.barecall-old-...`, the new file or the old one, and stays.
#![no_std]
#![no_main]

use barecall::event::{self, PollFd, PollFlags};
use barecall::fd::{BorrowedFd, OwnedFd};
use barecall::fs::{self, AtFlags, FileType, Mode, OFlags};
use barecall::rt::Start;
use barecall::signal::{self, Disposition, How, SigSet, Signal, SignalfdFlags};
use barecall::tmpfile::{self, Durability, PlaceError, Remains, Tmpfile, TmpfileOptions};
use barecall::{Errno, io};
use barecall_examples::{Lossy, Out, help, misused};
use core::ffi::CStr;
use core::fmt::{self, Write as _};
use core::mem::MaybeUninit;

barecall::entry!(main);

const USAGE: &str = "\
usage: publish [-cf] [-n | -x OLD] [-m MODE] [-d none|file|all] FILE
Reads standard input, and makes it FILE when it is complete.
  -n       fails if FILE exists
  -x OLD   FILE must exist, and becomes OLD in the same directory
  -m MODE  its permissions, in octal (default: as FILE had, else 666 less umask)
  -d WHAT  what is on the disk at the end: nothing for certain, the file, or
           the file and its name, with -x both names (all, the default)
  -f       where files without a name are unknown, uses a hidden one
  -c       first removes what killed runs left in the directory
";

/// What the user asked for.
struct Job<'a> {
    file: &'a CStr,
    mode: Option<Mode>,
    durability: Durability,
    place: Place<'a>,
    fallback: bool,
    clean: bool,
}

enum Place<'a> {
    Replace,
    NoClobber,
    Exchange(&'a CStr),
}

/// What went wrong, with the words for it.
enum Failure {
    At(&'static str, Errno),
    Placing(PlaceError),
    /// The new file is in place, the old one still has this name.
    Kept(tmpfile::ScratchName, Errno),
    Interrupted(Signal),
}

fn main(start: Start) -> i32 {
    if let Some(status) = help(start, USAGE) {
        return status;
    }
    let Some(job) = parse(start) else {
        return misused(USAGE);
    };
    let failure = match publish(&job) {
        Ok(()) => return 0,
        Err(failure) => failure,
    };
    if let Failure::Interrupted(signal) = failure {
        // Die of it, as if it had not been held back.
        let _ = signal::raise(signal);
        let _ = signal::sigprocmask(How::UNBLOCK, signal.into());
        return 128 + signal.as_raw();
    }
    // SAFETY: descriptor 2 is standard error from the start.
    let mut err = Out::new(unsafe { io::stderr() });
    let _ = writeln!(err, "publish: {}: {failure}", Lossy(job.file.to_bytes()));
    let _ = err.flush();
    1
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(what, errno) => write!(f, "{what}: {errno}"),
            Self::Placing(error) => {
                write!(f, "{error}")?;
                match error.remains {
                    Remains::Placed { .. } => f.write_str("; the new file is in place"),
                    _ => Ok(()),
                }
            }
            Self::Kept(name, errno) => {
                let name = Lossy(name.to_bytes());
                write!(f, "the old file is {name} now: {errno}")
            }
            Self::Interrupted(_) => f.write_str("interrupted"),
        }
    }
}

fn at(what: &'static str) -> impl Fn(Errno) -> Failure {
    move |errno| Failure::At(what, errno)
}

fn parse(start: Start) -> Option<Job<'static>> {
    let mut job = Job {
        file: c"",
        mode: None,
        durability: Durability::FileAndDir,
        place: Place::Replace,
        fallback: false,
        clean: false,
    };
    let mut args = start.args().skip(1);
    loop {
        let arg = args.next()?;
        let Some(flags) = arg.to_bytes().strip_prefix(b"-") else {
            job.file = arg;
            break;
        };
        if flags == b"-" {
            job.file = args.next()?;
            break;
        }
        for flag in flags {
            match (flag, &job.place) {
                (b'f', _) => job.fallback = true,
                (b'c', _) => job.clean = true,
                (b'n', Place::Replace) => job.place = Place::NoClobber,
                (b'x', Place::Replace) => job.place = Place::Exchange(args.next()?),
                (b'm', _) => job.mode = Some(octal(args.next()?.to_bytes())?),
                (b'd', _) => {
                    job.durability = match args.next()?.to_bytes() {
                        b"none" => Durability::None,
                        b"file" => Durability::File,
                        b"all" => Durability::FileAndDir,
                        _ => return None,
                    }
                }
                _ => return None,
            }
        }
        if flags.is_empty() {
            return None;
        }
    }
    args.next().is_none().then_some(job)
}

fn octal(digits: &[u8]) -> Option<Mode> {
    let mode = digits.iter().try_fold(0_u32, |mode, digit| match digit {
        b'0'..=b'7' if mode < 0o1000 => Some(mode << 3 | u32::from(digit - b'0')),
        _ => None,
    })?;
    (!digits.is_empty()).then_some(Mode::from_raw(mode))
}

fn publish(job: &Job<'_>) -> Result<(), Failure> {
    let (dir, name) = split(job.file)?;
    if job.clean {
        tmpfile::sweep(&dir, &mut [0; 8192]).map_err(at("cleaning the directory"))?;
    }

    // From here on signals wait: until the next piece of input, or the end.
    let signals = fatal_signals();
    signal::sigprocmask(How::BLOCK, signals).map_err(at("sigprocmask"))?;
    let interrupts = signal::signalfd(signals, SignalfdFlags::CLOEXEC).map_err(at("signalfd"))?;

    let options = TmpfileOptions::new().mode(Mode::from_raw(0o666));
    let file = if job.fallback {
        options.linkable_or_named(&dir, c".")
    } else {
        options.linkable(&dir, c".").map(Tmpfile::Linkable)
    };
    let file = file.map_err(at("making a file in the directory"))?;

    copy(&file, &interrupts)?;
    if let Some(mode) = job.mode.or_else(|| present_mode(&dir, name)) {
        fs::fchmod(&file, mode).map_err(at("fchmod"))?;
    }
    place(job, file, &dir, name)
}

/// The directory of a path, opened, and the name in it.
fn split(path: &CStr) -> Result<(OwnedFd, &CStr), Failure> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |dir: &CStr| {
        fs::openat(fs::CWD, dir, flags, Mode::empty()).map_err(at("opening the directory"))
    };
    let Some(slash) = slash else {
        return Ok((open(c".")?, path));
    };
    // With the slash, so that "/name" is in "/".
    let mut dir = [0; 4096];
    let (head, name) = bytes.split_at_checked(slash + 1).unwrap_or_default();
    let Some(room) = dir.get_mut(..head.len()).filter(|_| head.len() < 4096) else {
        return Err(Failure::At("opening the directory", Errno::ENAMETOOLONG));
    };
    room.copy_from_slice(head);
    let dir = CStr::from_bytes_until_nul(&dir).unwrap_or_default();
    let name = CStr::from_bytes_with_nul(name).unwrap_or_default();
    Ok((open(dir)?, name))
}

/// What would end the program, except what the user ignores (nohup).
fn fatal_signals() -> SigSet {
    let fatal = SigSet::of(&[
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
    ]);
    let mut signals = SigSet::EMPTY;
    for signal in fatal.iter() {
        if let Ok(action) = signal::sigaction_get(signal)
            && !matches!(action.disposition(), Disposition::Ignore)
        {
            signals = signals.with(signal);
        }
    }
    signals
}

fn copy(file: &Tmpfile, interrupts: &OwnedFd) -> Result<(), Failure> {
    // SAFETY: descriptor 0 is standard input from the start.
    let input = unsafe { io::stdin() };
    let mut buf = [MaybeUninit::uninit(); 1 << 16];
    loop {
        wait(input, interrupts)?;
        match io::retry_on_intr(|| io::read_uninit(input, &mut buf).map(|bytes| bytes.len())) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                // SAFETY: the kernel has just written so many.
                let bytes = unsafe { core::slice::from_raw_parts(buf.as_ptr().cast(), n) };
                io::write_all(file, bytes).map_err(at("writing"))?;
            }
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(Failure::At("reading standard input", errno)),
        }
    }
}

/// Until there is input; a signal that came meanwhile is first.
fn wait(input: BorrowedFd<'_>, interrupts: &OwnedFd) -> Result<(), Failure> {
    let mut fds = [
        PollFd::new(interrupts, PollFlags::IN),
        PollFd::from_borrowed_fd(input, PollFlags::IN),
    ];
    io::retry_on_intr(|| event::poll(&mut fds, None)).map_err(at("poll"))?;
    if !fds[0].revents().is_empty() {
        let mut taken = [MaybeUninit::uninit(); 1];
        let taken = signal::signalfd_read(interrupts, &mut taken).map_err(at("signalfd"))?;
        if let Some(signal) = taken.first().and_then(|info| info.signal()) {
            return Err(Failure::Interrupted(signal));
        }
    }
    Ok(())
}

/// The permissions of the file that has the name.
fn present_mode(dir: &OwnedFd, name: &CStr) -> Option<Mode> {
    let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let regular = stat.file_type() == FileType::Regular;
    regular.then_some(stat.mode() & Mode::from_raw(0o777))
}

/// The exchange has done this once, before the old file got its name.
fn sync_names(dir: &OwnedFd, durability: Durability) -> Result<(), Failure> {
    if durability != Durability::FileAndDir {
        return Ok(());
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(dir, c".", flags, Mode::empty())
        .and_then(fs::fsync)
        .map_err(at("both files are in place; fsync of the directory"))
}

fn place(job: &Job<'_>, file: Tmpfile, dir: &OwnedFd, name: &CStr) -> Result<(), Failure> {
    match job.place {
        Place::Replace => file.replace(dir, name, job.durability).map(drop),
        Place::NoClobber => file.link_synced(dir, name, job.durability).map(drop),
        Place::Exchange(old_name) => {
            return match file.exchange(dir, name, job.durability) {
                Err(error) => Err(Failure::Placing(error)),
                Ok(exchanged) => match exchanged.old.rename(dir, old_name) {
                    Ok(()) => sync_names(dir, job.durability),
                    Err((errno, old)) => {
                        let (_, scratch) = old.keep();
                        Err(Failure::Kept(scratch, errno))
                    }
                },
            };
        }
    }
    .map_err(Failure::Placing)
}
