//! `.data`, `.bss` and constants with addresses in them, all at once: linkers
//! have lost one for the other.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};
use core::hint::black_box;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

barecall::entry!(main);

static DATA: [AtomicUsize; 3] = [const { AtomicUsize::new(0x1122_3344) }; 3];
static BSS: [AtomicUsize; 9000] = [const { AtomicUsize::new(0) }; 9000];
static NAMES: [&str; 3] = ["zero", "one", "two"];
static CALLS: [&(dyn Fn(usize) -> usize + Sync); 2] = [&|n| n + 10, &|n| n * 10];

fn main(start: Start) -> i32 {
    let n = start.argc();
    let fresh = DATA.iter().all(|d| d.load(Relaxed) == 0x1122_3344) && BSS.iter().all(|b| b.load(Relaxed) == 0);
    BSS[8999].store(n, Relaxed);
    DATA[2].store(n, Relaxed);
    let ok = fresh
        && black_box(&NAMES)[n] == "one"
        && black_box(&CALLS)[n](4) == 40
        && BSS[8999].load(Relaxed) + DATA[2].load(Relaxed) == 2;
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if ok => 7,
        _ => 1,
    }
}
