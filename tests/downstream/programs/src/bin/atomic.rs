//! Every kind of atomic operation, which aarch64 may make out of line.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::*};

barecall::entry!(main);

static A: AtomicU32 = AtomicU32::new(1);
static B: AtomicU64 = AtomicU64::new(0);
static C: AtomicU8 = AtomicU8::new(0);

fn main(start: Start) -> i32 {
    A.fetch_add(start.argc() as u32, AcqRel);
    B.fetch_or(6, Relaxed);
    let swapped = B.compare_exchange(6, 9, SeqCst, Acquire);
    let old = C.swap(5, Release);
    let ok = A.load(SeqCst) == 2 && swapped == Ok(6) && B.load(SeqCst) == 9 && old == 0;
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if ok => 7,
        _ => 1,
    }
}
