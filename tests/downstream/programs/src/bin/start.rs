//! Prints what it was started with, a line each, and how the stack is aligned.
#![no_std]
#![no_main]

use barecall::{io, rt::Start};
use core::fmt::{self, Write};

barecall::entry!(main);

struct Out;

impl Write for Out {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // SAFETY: standard output is open.
        io::write_all(unsafe { io::stdout() }, s.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[repr(align(16))]
struct Aligned(#[allow(dead_code)] u128);

fn main(start: Start) -> Result<(), barecall::Errno> {
    let local = Aligned(start.argc() as u128);
    let _ = writeln!(Out, "aligned {}", (&raw const local).addr() % 16 == 0);
    let _ = writeln!(Out, "argc {}", start.argc());
    for arg in start.args() {
        let _ = writeln!(Out, "arg {}", arg.to_str().unwrap_or("?"));
    }
    for var in start.env() {
        let _ = writeln!(Out, "env {}", var.to_str().unwrap_or("?"));
    }
    let mut args = start.args();
    let _ = writeln!(Out, "past the end {:?}", (args.by_ref().count(), args.next(), args.next()).1);
    let _ = writeln!(Out, "EMPTY {:?}", start.var("EMPTY"));
    let _ = writeln!(Out, "EMP {:?}", start.var("EMP"));
    match start.var("PANIC") {
        Some(_) => panic!("as asked"),
        None if start.var("FAIL").is_some() => Err(barecall::Errno::ENOENT),
        None => Ok(()),
    }
}
