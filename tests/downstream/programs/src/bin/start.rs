//! Prints what it was started with, a line each, and how the stack is aligned.
#![no_std]
#![no_main]

use barecall::io::{self, FdWriter};
use barecall::rt::Start;
use core::fmt::Write;

barecall::entry!(main);

#[repr(align(16))]
struct Aligned(#[allow(dead_code)] u128);

fn main(start: Start) -> Result<(), barecall::Errno> {
    // SAFETY: standard output is open.
    let mut out = FdWriter(unsafe { io::stdout() });
    let local = Aligned(start.argc() as u128);
    let _ = writeln!(out, "aligned {}", (&raw const local).addr() % 16 == 0);
    let _ = writeln!(out, "argc {}", start.argc());
    for arg in start.args() {
        let _ = writeln!(out, "arg {}", arg.to_str().unwrap_or("?"));
    }
    for var in start.env() {
        let _ = writeln!(out, "env {}", var.to_str().unwrap_or("?"));
    }
    let mut args = start.args();
    let _ = writeln!(out, "past the end {:?}", (args.by_ref().count(), args.next(), args.next()).1);
    let _ = writeln!(out, "EMPTY {:?}", start.var("EMPTY"));
    let _ = writeln!(out, "EMP {:?}", start.var("EMP"));
    match start.var("PANIC") {
        Some(_) => panic!("as asked"),
        None if start.var("FAIL").is_some() => Err(barecall::Errno::ENOENT),
        None => Ok(()),
    }
}
