//! Copies a run-time length, forward, backward and as a fill.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};

barecall::entry!(main);

fn main(start: Start) -> i32 {
    let n = start.argc() + 40;
    let mut buf = [b'-'; 128];
    let text = b"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    buf[..n].copy_from_slice(&text[..n]);
    buf.copy_within(..n, 3);
    buf[..3].fill(b'0' + start.argc() as u8);
    if &buf[..6] != b"111abc" || buf[n + 2] != text[n - 1] || buf[n + 3] != b'-' {
        return 1;
    }
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) => 7,
        _ => 1,
    }
}
