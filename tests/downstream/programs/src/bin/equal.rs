//! Compares slices of a run-time length.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};
use core::hint::black_box;

barecall::entry!(main);

fn main(start: Start) -> i32 {
    let a = black_box([1_u8; 100]);
    let mut b = black_box([1_u8; 100]);
    let n = start.argc() * 99;
    let equal = a[..n] == b[..n];
    b[n - 1] = 2;
    let less = a[..n] < b[..n] && a[..n] != b[..n];
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if equal && less => 7,
        _ => 1,
    }
}
