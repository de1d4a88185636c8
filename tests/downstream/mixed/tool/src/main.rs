//! Writes and exits.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};

barecall::entry!(main);

fn main(_: Start) -> i32 {
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) => 7,
        _ => 1,
    }
}
