//! Measures C strings.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};

barecall::entry!(main);

fn main(start: Start) -> i32 {
    let args: usize = start.args().map(|arg| arg.count_bytes()).sum();
    let path = start.var("PATH").map_or(0, |path| path.count_bytes());
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if args > 0 && path > 0 => 7,
        _ => 1,
    }
}
