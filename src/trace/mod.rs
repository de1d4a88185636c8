//! The crate's own `strace`, for programs that none can attach to: process 1,
//! an initramfs, a static binary on a machine without tools.
//!
//! With the feature `trace`, a program that declares where its trace goes tells
//! each call it makes through this crate, in strace's words:
//!
//! ```
//! use barecall::trace::Trace;
//!
//! barecall::trace_sink! {
//!     /// Standard error, with the time that each call took.
//!     static TRACE = Trace::to_fd(2).times();
//! }
//!
//! fn main() {
//!     let _ = barecall::fs::openat(
//!         barecall::fs::CWD,
//!         c"/no/such/file",
//!         barecall::fs::OFlags::CLOEXEC,
//!         barecall::fs::Mode::empty(),
//!     );
//!     // openat(AT_FDCWD, "/no/such/file", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory) <0.000009>
//! }
//! ```
//!
//! The declaration is the program's, not a library's, and there is one at most.
//! It is a symbol that the stubs ask for: without the feature they do not ask,
//! and are what they are otherwise; with it, and without a declaration, each
//! call costs a load and a branch, and no part of the tracer is linked. With
//! `lto = "fat"` the assembler says that the symbol `changed binding to
//! STB_WEAK`: so it does, and nothing follows from it.
//!
//! # Where it goes
//!
//! - [`Trace::to_fd`]: a descriptor. One line is one `write`, so lines of several
//!   threads and processes do not mix in a file that was opened for appending,
//!   or a terminal.
//! - [`Trace::to_ring`]: the last lines in a [`Ring`] in memory.
//! - [`Trace::to_fn`]: a function of the program, which gets a [`Record`]. It may
//!   make calls itself: those are not told.
//!
//! [`Trace::filter`] says which calls, and can change at any time;
//! [`Trace::backtrace`] adds where a call came from; [`Trace::threads`] who made it.
//!
//! # What is not told
//!
//! What does not go through the stubs: the calls of other code (libc has its
//! own), the vDSO (it makes none), and what is one piece of assembly here
//! because it does not come back, or comes back twice: the start of a thread or
//! of [`spawn`](crate::spawn)'s child, the end of a detached thread, the return
//! from a signal handler, the `exit_group` behind `main`.
//!
//! A line is told when its call is done. A call that waits is therefore told
//! late, and after those of a handler that interrupted it. Calls that may never
//! be done are told before they are made, ending in `= ?`: `exit`, `exit_group`,
//! `execve`, `execveat`, `reboot`. If one comes back all the same, it is told
//! again, with its error. A child's return from `fork` or `clone` is not told.
//!
//! # Where it is safe
//!
//! Everywhere that a system call is: in signal handlers, between `fork` and
//! `execve`, in threads without thread-local storage, in memory shared with a
//! parent. Nothing is allocated, no lock is taken, nothing is kept but what the
//! program's own static has, and the calls that the tracer makes itself go past
//! it. It needs about 3 kB of stack (8 kB in a program that is not optimised),
//! which a signal stack of the least size does not have.
//!
//! A pointer is never followed by the tracer: the kernel reads for it
//! (`process_vm_readv` on the thread itself), so a bad one is shown as a number,
//! as is every one on a kernel without that call. Contents can differ from what
//! the kernel saw, if another thread changes them meanwhile.
//!
//! The tracer makes calls that the program does not: `gettid`,
//! `process_vm_readv`, `write`, and with [`Trace::times`] `clock_gettime`. A
//! seccomp filter must allow them. Time is measured around the call; the price
//! of a line, some microseconds, is not in it.
//!
//! To a descriptor that a child inherits under the same number, the child's
//! calls up to `execve` are written too: with `spawn` and standard error
//! redirected, to where that goes. A descriptor of one's own, high and
//! close-on-exec, avoids it ([`Trace::to_fd_in`]).

mod decode;
mod filter;
mod line;
mod names;
mod ring;

#[doc(hidden)]
pub use crate::hook::Call;
pub use filter::{Filter, UnknownName};
pub use ring::{RING_LINE, Ring, Slot};

use crate::arch::{Reg, untraced};
use crate::errno::Errno;
use crate::nr::{self, Sysno};
use crate::syscall::Arg;
use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use line::Line;

/// How many threads can be in a function of [`Trace::to_fn`] at once.
const INSIDE: usize = 64;

/// How a program is traced: what [`trace_sink!`](crate::trace_sink!) declares.
pub struct Trace {
    sink: Sink,
    filter: Option<&'static Filter>,
    times: bool,
    threads: bool,
    depth: usize,
    /// The threads that are in the sink's function: what they call is not told.
    inside: [AtomicU32; INSIDE],
    lost: AtomicU64,
}

#[derive(Clone, Copy)]
enum Sink {
    Fd(i32),
    FdIn(&'static AtomicI32),
    Fn(fn(&Record<'_>)),
    Ring(&'static Ring),
}

impl Trace {
    const fn new(sink: Sink) -> Self {
        Self {
            sink,
            filter: None,
            times: false,
            threads: false,
            depth: 0,
            inside: [const { AtomicU32::new(0) }; INSIDE],
            lost: AtomicU64::new(0),
        }
    }

    /// To the descriptor of this number; 2 is standard error.
    ///
    /// What cannot be written is lost. Where nobody reads the pipe any more, a
    /// write is a `SIGPIPE`, which ends a program that neither ignores nor blocks
    /// it (std ignores it); a full pipe is waited for.
    pub const fn to_fd(fd: i32) -> Self {
        Self::new(Sink::Fd(fd))
    }

    /// To the descriptor whose number is there at that moment; while it is
    /// negative, nothing is told.
    pub const fn to_fd_in(fd: &'static AtomicI32) -> Self {
        Self::new(Sink::FdIn(fd))
    }

    /// To a ring in memory.
    pub const fn to_ring(ring: &'static Ring) -> Self {
        Self::new(Sink::Ring(ring))
    }

    /// To a function, which is called by the thread that made the call, when it
    /// is done: in a signal handler too, or between `fork` and `execve`. It must
    /// be safe there, and must not panic: that aborts.
    ///
    /// The calls that it makes are made, and not told; those of a signal handler
    /// that interrupts it neither. In 64 threads at once it is not called in a
    /// further one, and the record is [`lost`](Self::lost).
    pub const fn to_fn(function: fn(&Record<'_>)) -> Self {
        Self::new(Sink::Fn(function))
    }

    /// Only the calls of this filter. Without one: all.
    pub const fn filter(mut self, filter: &'static Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// With the time that a call took, in seconds: `<0.000012>`.
    pub const fn times(mut self) -> Self {
        self.times = true;
        self
    }

    /// With the number of the thread that makes it: `[pid 123]`.
    pub const fn threads(mut self) -> Self {
        self.threads = true;
        self
    }

    /// With the addresses that the call came from, at most so many, a line for
    /// each: ` > 0x401234`. `addr2line` has their names.
    ///
    /// The first is the call's own. The others are found by frame pointers, which
    /// a program has that is built with `-Cforce-frame-pointers=yes` (on aarch64,
    /// since Rust 1.89, each one); without them, there are few, or wrong ones.
    pub const fn backtrace(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// How many records did not reach the function of [`to_fn`](Self::to_fn).
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn wants(&self, number: Sysno) -> bool {
        if let Sink::FdIn(fd) = self.sink
            && fd.load(Ordering::Relaxed) < 0
        {
            return false;
        }
        self.filter.is_none_or(|filter| filter.contains(number))
    }

    fn is_inside(&self, thread: u32) -> bool {
        matches!(self.sink, Sink::Fn(_))
            && self
                .inside
                .iter()
                .any(|one| one.load(Ordering::Relaxed) == thread)
    }

    fn tell(&self, line: &mut Line, call: &Call, ret: Option<Reg>, nanoseconds: Option<u64>) {
        line.end();
        self.add_frames(line, call);
        let fd = match self.sink {
            Sink::Fd(fd) => fd,
            Sink::FdIn(fd) => fd.load(Ordering::Relaxed),
            Sink::Ring(ring) => return ring.push(line.as_bytes()),
            Sink::Fn(function) => {
                return self.enter(line.thread, || {
                    function(&Record {
                        call,
                        ret,
                        nanoseconds,
                        thread: line.thread,
                        text: line.as_bytes(),
                    });
                });
            }
        };
        let text = line.as_bytes();
        // SAFETY: the kernel reads at most `text.len()` bytes there.
        unsafe {
            untraced::syscall3(
                nr::WRITE,
                fd.to_reg(),
                text.as_ptr().to_reg(),
                text.len().to_reg(),
            );
        }
    }

    /// Runs something with this thread marked as inside.
    fn enter(&self, thread: u32, run: impl FnOnce()) {
        let free = self.inside.iter().find(|one| {
            one.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        });
        let Some(mark) = free else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        run();
        mark.store(0, Ordering::Relaxed);
    }

    fn add_frames(&self, line: &mut Line, call: &Call) {
        let (mut pc, mut frame) = (call.pc, call.frame);
        for _ in 0..self.depth {
            line.frame(pc);
            // A frame is two words: that of its caller, and where it goes on.
            let Some([above, from]) = line.words(frame) else {
                break;
            };
            // Callers are further up, and the outermost has none.
            let above = above as usize;
            if from == 0 || frame % 8 != 0 || above != 0 && above <= frame {
                break;
            }
            (pc, frame) = (from as usize, above);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

/// A call that was made, for the function of [`Trace::to_fn`].
#[derive(Clone, Copy)]
pub struct Record<'a> {
    call: &'a Call,
    ret: Option<Reg>,
    nanoseconds: Option<u64>,
    thread: u32,
    text: &'a [u8],
}

impl Record<'_> {
    /// Which call.
    pub fn number(&self) -> Sysno {
        self.call.number
    }

    /// Its arguments, as they went into the registers.
    pub fn args(&self) -> &[Reg] {
        self.call.args.get(..self.call.count).unwrap_or_default()
    }

    /// What the kernel answered; `None` for a call that is told before it is made.
    pub fn result(&self) -> Option<Result<usize, Errno>> {
        self.ret.map(|ret| Errno::decode(ret.addr()))
    }

    /// How long it took, with [`Trace::times`].
    pub fn nanoseconds(&self) -> Option<u64> {
        self.nanoseconds
    }

    /// The number of the thread that made it.
    pub fn thread(&self) -> u32 {
        self.thread
    }

    /// The line of text, and those of the backtrace, each with its end of line.
    pub fn text(&self) -> &[u8] {
        self.text
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("number", &self.number())
            .field("args", &self.args())
            .field("result", &self.result())
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

/// Told before it is made, because it may be the last that is heard.
fn may_not_return(number: Sysno) -> bool {
    matches!(
        number,
        nr::EXECVE | nr::EXECVEAT | nr::EXIT | nr::EXIT_GROUP | nr::REBOOT
    )
}

/// Returns in the child too, with 0.
fn returns_twice(number: Sysno) -> bool {
    if number == nr::CLONE || number == nr::CLONE3 {
        return true;
    }
    #[cfg(target_arch = "x86_64")]
    if number == nr::FORK {
        return true;
    }
    false
}

/// What [`trace_sink!`](crate::trace_sink!) calls: makes a call, and tells of it.
///
/// # Safety
///
/// `call` comes from a stub, and what holds for that holds here.
#[doc(hidden)]
pub unsafe fn run(trace: &Trace, call: &Call) -> Reg {
    let make = || match call.returns {
        // SAFETY: as for the stub.
        true => unsafe { call.make() },
        false => core::ptr::null_mut(),
    };
    if !trace.wants(call.number) {
        return make();
    }
    // SAFETY: takes nothing and changes nothing.
    let thread = unsafe { untraced::syscall0(nr::GETTID) }.addr() as u32;
    if trace.is_inside(thread) {
        return make();
    }

    if may_not_return(call.number) || !call.returns {
        announce(trace, call, thread);
        if !call.returns {
            return core::ptr::null_mut();
        }
    }

    let mut line = Line::new(thread);
    begin(trace, &mut line);
    let told = decode::before(&mut line, call);
    let start = trace.times.then(now);
    let ret = make();
    let end = trace.times.then(now);
    if ret.addr() == 0 && returns_twice(call.number) {
        return ret;
    }
    decode::after(&mut line, call, told, Some(ret.addr()));
    decode::result(&mut line, call, ret.addr());
    let nanoseconds = match (start, end) {
        (Some(start), Some(end)) => Some(end.saturating_sub(start)),
        _ => None,
    };
    if let Some(nanoseconds) = nanoseconds {
        line.text(" <");
        line.seconds(nanoseconds);
        line.text(">");
    }
    trace.tell(&mut line, call, Some(ret), nanoseconds);
    ret
}

fn begin(trace: &Trace, line: &mut Line) {
    if trace.threads {
        line.text("[pid ");
        line.unsigned(line.thread.into());
        line.text("] ");
    }
}

/// Tells of a call before it is made. Its own function, so that its line is not
/// on the stack during a call that does come back.
#[inline(never)]
fn announce(trace: &Trace, call: &Call, thread: u32) {
    let mut line = Line::new(thread);
    begin(trace, &mut line);
    let told = decode::before(&mut line, call);
    decode::after(&mut line, call, told, None);
    line.text(" = ?");
    trace.tell(&mut line, call, None, None);
}

/// The monotonic clock, in nanoseconds.
fn now() -> u64 {
    const CLOCK_MONOTONIC: u32 = 1;
    let mut time = [0_i64; 2];
    // SAFETY: the kernel writes a `timespec`, which is two words.
    unsafe {
        untraced::syscall2(
            nr::CLOCK_GETTIME,
            CLOCK_MONOTONIC.to_reg(),
            (&raw mut time).to_reg(),
        );
    }
    let [seconds, nanoseconds] = time;
    (seconds as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds as u64)
}

/// Declares how this program is traced: a static [`Trace`](crate::trace::Trace).
///
/// Once in a program, in the crate that is the program (or in a test's file): a
/// second one is a duplicate symbol. In a library that others link, it decides
/// for them.
///
/// ```
/// use barecall::trace::{Filter, Trace};
///
/// /// What is told; changed by an option of the program, for instance.
/// static FILTER: Filter = Filter::none();
///
/// barecall::trace_sink! {
///     static TRACE = Trace::to_fd(2).filter(&FILTER).threads();
/// }
///
/// fn main() {
///     FILTER.parse("openat,close").expect("names of calls");
/// }
/// ```
#[macro_export]
macro_rules! trace_sink {
    ($(#[$attr:meta])* $vis:vis static $name:ident = $trace:expr $(;)?) => {
        $(#[$attr])*
        $vis static $name: $crate::trace::Trace = $trace;

        const _: () = {
            /// What the stubs look for. Its name has the version of the crate,
            /// whose types it speaks of.
            #[unsafe(export_name = "__barecall_trace_0_1")]
            unsafe extern "C" fn hook(call: &$crate::trace::Call) -> $crate::arch::Reg {
                // SAFETY: nobody else knows of this function but the stubs.
                unsafe { $crate::trace::run(&$name, call) }
            }
        };
    };
}
