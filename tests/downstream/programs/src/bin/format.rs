//! Formats numbers, floats, strings and a structure.
#![no_std]
#![no_main]

use barecall::{Errno, io, rt::Start};
use core::fmt::{self, Write};

barecall::entry!(main);

struct Buf([u8; 256], usize);

impl Write for Buf {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let free = self.0.get_mut(self.1..self.1 + s.len()).ok_or(fmt::Error)?;
        free.copy_from_slice(s.as_bytes());
        self.1 += s.len();
        Ok(())
    }
}

#[derive(Debug)]
#[allow(dead_code)]
struct Point {
    x: f64,
    y: Option<&'static str>,
}

fn main(start: Start) -> i32 {
    let mut buf = Buf([0; 256], 0);
    let point = Point { x: start.argc() as f64 / 8.0, y: Some("up") };
    let _ = write!(buf, "{:>5}|{:#x}|{point:?}|{}", start.argc(), 48879, Errno::ENOENT);
    let wanted = b"    1|0xbeef|Point { x: 0.125, y: Some(\"up\") }|ENOENT: No such file or directory";
    // SAFETY: standard output is open.
    match io::write(unsafe { io::stdout() }, b"ok\n") {
        Ok(3) if buf.0[..buf.1] == *wanted => 7,
        _ => 1,
    }
}
