//! Are two descriptors the same open file? For scripts, by exit status.
//!
//! ```sh
//! sameopen 1 2                # do my standard output and error go to one open file?
//! sameopen 1 "$PPID:1"        # is my standard output that of my parent?
//! sameopen -v 1234:5 1240:7   # has 1240 got a duplicate of 1234's descriptor?
//! ```
//!
//! The same means one open file description: one offset, one set of flags. Two
//! opens of one file are not the same; `-v` says so.
#![no_std]
#![no_main]

use barecall::errno::Errno;
use barecall::io;
use barecall::kcmp::proc::Proc;
use barecall::kcmp::{self, By, DeniedBy, Kind, kcmp_file, same_description};
use barecall::process::{Pid, gettid};
use barecall::rt::Start;
use barecall_examples::{Out, inherited, misused};
use core::ffi::CStr;
use core::fmt::{self, Write as _};

barecall::entry!(main);

const SAME: i32 = 0;
const DIFFERENT: i32 = 1;
const UNKNOWN: i32 = 2;

const USAGE: &str = "\
usage: sameopen [-v] [PID:]FD [PID:]FD
Says by its exit status whether two descriptors are the same open file:
0 the same, 1 not the same, 2 it cannot be told (standard error says why).
A descriptor without PID is one that sameopen was started with.
  -v  say it in words, too
";

/// A descriptor as the command line has it.
#[derive(Clone, Copy)]
struct Descriptor {
    pid: Option<Pid>,
    fd: i32,
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            write!(f, "{pid}:")?;
        }
        write!(f, "{}", self.fd)
    }
}

fn parse(arg: &CStr) -> Option<Descriptor> {
    let text = arg.to_str().ok()?;
    let (pid, fd) = match text.split_once(':') {
        Some((pid, fd)) => (Some(Pid::from_raw(pid.parse().ok()?)?), fd),
        None => (None, text),
    };
    let fd = fd.parse().ok().filter(|fd| *fd >= 0)?;
    Some(Descriptor { pid, fd })
}

fn main(start: Start) -> i32 {
    // SAFETY: written to only; if 1 or 2 is closed, writing fails.
    let (mut out, mut err) = unsafe { (Out::new(io::stdout()), Out::new(io::stderr())) };
    let mut verbose = false;
    let (mut a, mut b) = (None, None);
    for arg in start.args().skip(1) {
        match arg.to_bytes() {
            b"-v" => verbose = true,
            b"-h" | b"--help" => {
                out.bytes(USAGE.as_bytes());
                return if out.flush().is_ok() { SAME } else { UNKNOWN };
            }
            _ => match (parse(arg), a, b) {
                (descriptor @ Some(_), None, None) => a = descriptor,
                (descriptor @ Some(_), Some(_), None) => b = descriptor,
                _ => return misused(USAGE),
            },
        }
    }
    let (Some(a), Some(b)) = (a, b) else {
        return misused(USAGE);
    };

    match compare(a, b) {
        Ok((same, way)) => {
            if verbose {
                let what = match (same, same_file(a, b)) {
                    (true, _) => "the same open file",
                    (false, Some(true)) => "two opens of one file",
                    (false, Some(false)) => "different files",
                    (false, None) => "not the same open file",
                };
                let _ = writeln!(out, "{a} and {b}: {what} (by {way})");
                let _ = out.flush();
            }
            if same { SAME } else { DIFFERENT }
        }
        Err(errno) => {
            let _ = write!(err, "sameopen: {a} and {b}: ");
            let _ = match (errno, kcmp::denied_by(Kind::FILE)) {
                (Errno::EPERM, DeniedBy::Ptrace) => {
                    writeln!(err, "one of the processes may not be looked into")
                }
                (Errno::EPERM | Errno::EACCES | Errno::ENOSYS, _) => {
                    writeln!(err, "a filter or the kernel does not allow kcmp: {errno}")
                }
                (Errno::ESRCH, _) => writeln!(err, "no such process"),
                (Errno::EBADF, _) => writeln!(err, "not an open descriptor"),
                _ => writeln!(err, "{errno}"),
            };
            let _ = err.flush();
            UNKNOWN
        }
    }
}

fn compare(a: Descriptor, b: Descriptor) -> Result<(bool, &'static str), Errno> {
    if a.pid.is_none() && b.pid.is_none() {
        // SAFETY: nothing is closed while they are compared.
        let (x, y) = unsafe { (inherited(a.fd)?, inherited(b.fd)?) };
        let (same, by) = same_description(x, y)?;
        let way = match by {
            By::DupfdQuery => "F_DUPFD_QUERY",
            By::Kcmp => "kcmp",
        };
        return Ok((same, way));
    }
    let me = gettid();
    let relation = kcmp_file(a.pid.unwrap_or(me), a.fd, b.pid.unwrap_or(me), b.fd)?;
    Ok((relation.is_same(), "kcmp"))
}

/// Whether both are of one file, if /proc tells.
fn same_file(a: Descriptor, b: Descriptor) -> Option<bool> {
    let proc = Proc::open().ok()?;
    let file = |descriptor: Descriptor| {
        let process = proc.process(descriptor.pid.unwrap_or(gettid())).ok()?;
        let stat = process.stat(descriptor.fd).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    Some(file(a)? == file(b)?)
}
