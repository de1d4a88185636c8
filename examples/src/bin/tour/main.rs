//! A tour: one piece of real work with each of memfd, O_TMPFILE, userfaultfd
//! and kcmp, in a static program without libc.
//!
//! ```text
//! tour [COMMAND [ARG...]]
//! ```
//!
//! 1. Runs COMMAND (`/bin/date`) with its output in a memfd, and prints it.
//! 2. If standard input is not a terminal, looks for a pcap dump in it, writes
//!    it to a file without a name and lists its packets; with `LINK_TO` in the
//!    environment, gives the file that name, if there is none such.
//! 3. Serves a page fault of a second thread through userfaultfd.
//! 4. Says by kcmp which descriptors are the same open file as standard input,
//!    output and error.
//!
//! At the end it says how long that took, by the vDSO's clock: without a
//! system call, where the kernel gives one.
//!
//! Built with `--features trace`, it tells its own system calls on standard
//! error, with `TRACE` in the environment saying which: `TRACE=all`,
//! `TRACE=ioctl,userfaultfd`, `TRACE='!write'`.
//!
//! What the kernel does not have is told, and the tour goes on. The exit status
//! is 0, 1 after a failure, 127 when COMMAND could not be run.
#![no_std]
#![no_main]

mod capture;
mod fault;
mod pcap;
mod publish;
mod same;

use barecall::rt::Start;
use barecall::time::{ClockId, Timespec};
use barecall::vdso::{Function, Vdso};
use barecall::{Errno, io};
use barecall_examples::Out;
use core::fmt::Write as _;

barecall::entry!(main);

#[cfg(feature = "trace")]
mod tracing {
    use barecall::trace::{Filter, Trace};

    pub static FILTER: Filter = Filter::none();

    barecall::trace_sink! {
        static TRACE = Trace::to_fd(2).filter(&FILTER).threads().times();
    }
}

/// Why a part of the tour did not come to its end.
enum Stop {
    /// The kernel does not have, or does not allow, what was asked of it.
    Lacking(&'static str, Errno),
    /// A call failed that should not have.
    Failed(&'static str, Errno),
    /// What the user gave is not right; it has been said why.
    Input,
    /// The command could not be run; it has been said why.
    NoCommand,
}

/// For `?`: which call it was that failed.
trait During<T> {
    fn during(self, what: &'static str) -> Result<T, Stop>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, what: &'static str) -> Result<T, Stop> {
        self.map_err(|errno| match errno {
            Errno::ENOSYS | Errno::EPERM => Stop::Lacking(what, errno),
            _ => Stop::Failed(what, errno),
        })
    }
}

const USAGE: &str = "\
usage: tour [COMMAND [ARG...]]
One piece of real work with each of memfd, O_TMPFILE, userfaultfd and kcmp:
runs COMMAND (/bin/date) with its output in memory; looks for a pcap dump in
standard input, which becomes $LINK_TO if that is set; serves a page fault;
and says which descriptors are the same open file.
";

fn main(start: Start) -> i32 {
    if let Some(status) = barecall_examples::help(start, USAGE) {
        return status;
    }
    // SAFETY: 1 is standard output; if it is closed, writing says so.
    let mut out = Out::new(unsafe { io::stdout() });
    let mut status = 0;
    #[cfg(feature = "trace")]
    if let Some(Ok(calls)) = start.var("TRACE").map(core::ffi::CStr::to_str)
        && let Err(unknown) = tracing::FILTER.parse(calls)
    {
        let _ = writeln!(out, "TRACE: {unknown}");
        let _ = out.flush();
        return 1;
    }
    let clock = Clock::new(&start);
    let begin = clock.now();

    type Part = fn(&Start, &mut Out<'_>) -> Result<(), Stop>;
    let parts: [(&str, Part); 4] = [
        ("A program's output in a memfd", capture::run),
        ("A pcap dump in a file without a name", publish::run),
        ("A page fault served through userfaultfd", fault::run),
        ("Descriptors of the same open file, by kcmp", same::run),
    ];
    for (number, (title, part)) in (1..).zip(parts) {
        let _ = writeln!(out, "{number}. {title}");
        match part(&start, &mut out) {
            Ok(()) => {}
            Err(Stop::Lacking(what, errno)) => {
                let _ = writeln!(out, "   Not on this kernel: {what}: {errno}");
            }
            Err(Stop::Failed(what, errno)) => {
                let _ = writeln!(out, "   Failed: {what}: {errno}");
                status = 1;
            }
            Err(Stop::Input) => status = 1,
            Err(Stop::NoCommand) => status = 127,
        }
        // In order with what others write to the same place.
        if out.flush().is_err() {
            return 1;
        }
    }
    if let (Ok(begin), Ok(end)) = (begin, clock.now()) {
        let micros = (end.tv_sec - begin.tv_sec) * 1_000_000 + (end.tv_nsec - begin.tv_nsec) / 1000;
        let _ = writeln!(
            out,
            "All that in {micros} microseconds, by {}.",
            clock.name()
        );
    }
    if out.flush().is_err() {
        return 1;
    }
    status
}

/// The monotonic clock, by the vDSO if it has one.
struct Clock(Vdso);

impl Clock {
    fn new(start: &Start) -> Self {
        // SAFETY: the vector that the kernel gave this program.
        Self(unsafe { Vdso::from_auxv(start.auxv()) })
    }

    fn now(&self) -> Result<Timespec, Errno> {
        self.0.clock_gettime_or_syscall(ClockId::MONOTONIC)
    }

    fn name(&self) -> &'static str {
        if self.0.has(Function::ClockGettime) {
            "the vDSO's clock"
        } else {
            "clock_gettime(2), for want of a vDSO"
        }
    }
}
