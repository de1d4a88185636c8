//! Makes a call some functions down and tells it, with where it came from, to
//! descriptor 2: for tests/host_trace.rs, which knows the functions' names.
#![no_std]
#![no_main]

use barecall::trace::Trace;
use barecall::{process, rt::Start};
use core::hint::black_box;

barecall::entry!(main);

barecall::trace_sink! {
    static TRACE = Trace::to_fd(2).backtrace(12);
}

// What follows the calls is so that none of them is the last thing done: that
// would be a jump, without a frame.

#[inline(never)]
fn innermost() -> bool {
    black_box(process::getppid()).is_some()
}

#[inline(never)]
fn middle() -> bool {
    !black_box(innermost())
}

#[inline(never)]
fn outermost() -> bool {
    !black_box(middle())
}

fn main(_start: Start) -> i32 {
    i32::from(black_box(outermost())) - 1
}
