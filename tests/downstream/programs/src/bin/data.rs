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
/// For the bitmaps of packed relocations: words to relocate close to each
/// other, numbers among them that must stay as they are, and more than two
/// bitmaps full, which are 63 words each.
static TABLE: [Row; 50] = {
    const fn row(i: usize) -> Row {
        Row { both: [&DIGITS[i % 10]; 2], number: i, one: &DIGITS[(i + 3) % 10] }
    }
    let mut table = [row(0); 50];
    let mut i = 0;
    while i < table.len() {
        table[i] = row(i);
        i += 1;
    }
    table
};
static DIGITS: [usize; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
/// Constructors are a C library's matter: there are none here, so that nothing
/// runs before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;
static CONSTRUCTED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn constructor() {
    CONSTRUCTED.store(1, Relaxed);
}

static CALLS: [&(dyn Fn(usize) -> usize + Sync); 2] = [&|n| n + 10, &|n| n * 10];

#[derive(Clone, Copy)]
#[repr(C)]
struct Row {
    both: [&'static usize; 2],
    number: usize,
    one: &'static usize,
}

fn main(start: Start) -> i32 {
    let n = start.argc();
    let fresh = DATA.iter().all(|d| d.load(Relaxed) == 0x1122_3344) && BSS.iter().all(|b| b.load(Relaxed) == 0);
    BSS[8999].store(n, Relaxed);
    DATA[2].store(n, Relaxed);
    let rows = black_box(&TABLE).iter().enumerate().all(|(i, row)| {
        let place = |digit: &usize| (digit as *const usize).addr().wrapping_sub(DIGITS.as_ptr().addr()) / 8;
        row.number == i && row.both.map(place) == [i % 10; 2] && place(row.one) == (i + 3) % 10
    });
    let ok = fresh
        && rows
        && CONSTRUCTED.load(Relaxed) == 0
        && black_box(&NAMES)[n] == "one"
        && black_box(&CALLS)[n](4) == 40
        && BSS[8999].load(Relaxed) + DATA[2].load(Relaxed) == 2;
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if ok => 7,
        _ => 1,
    }
}
