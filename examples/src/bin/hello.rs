//! Says hello: the smallest program, and what its size is measured by.
#![no_std]
#![no_main]

use barecall::io;
use barecall::rt::Start;

barecall::entry!(main);

const HELLO: &[u8] = b"Hello, world!\n";

fn main(_start: Start) -> i32 {
    // SAFETY: descriptor 1 is standard output from the start.
    let written = io::write(unsafe { io::stdout() }, HELLO);
    (written != Ok(HELLO.len())).into()
}
