//! Divides 128-bit integers, takes remainders, and converts.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};
use core::hint::black_box;

barecall::entry!(main);

fn main(start: Start) -> i32 {
    let n = black_box(start.argc() as u128);
    let product = (n << 100) * 12_345 + 678;
    let (q, r) = (product / (n + 999), product % (n + 999));
    let signed = -(product as i128) % 1_000_003;
    let ok = q * (n + 999) + r == product && signed <= 0 && (product as f64) > 1e33;
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if ok => 7,
        _ => 1,
    }
}
