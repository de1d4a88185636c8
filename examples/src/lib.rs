//! What the example programs share: output that is collected into few system
//! calls, and how to fail.
#![no_std]

use barecall::fd::BorrowedFd;
use barecall::process::{self, Pid, WaitOptions, WaitStatus, WaitTarget};
use barecall::rt::Start;
use barecall::signal::{self, Signal};
use barecall::{Errno, io};
use core::fmt;

/// A descriptor to print to, through a buffer of one kilobyte.
///
/// An error is kept and told by [`Out::flush`], as with stdio.
#[derive(Debug)]
pub struct Out<'fd> {
    fd: BorrowedFd<'fd>,
    buf: [u8; 1024],
    len: usize,
    error: Option<Errno>,
}

impl<'fd> Out<'fd> {
    /// Prints to `fd`.
    pub const fn new(fd: BorrowedFd<'fd>) -> Self {
        Self {
            fd,
            buf: [0; 1024],
            len: 0,
            error: None,
        }
    }

    /// Writes what is in the buffer, and tells the first error so far.
    pub fn flush(&mut self) -> Result<(), Errno> {
        if let Some(full) = self.buf.get(..self.len)
            && let Err(errno) = io::write_all(self.fd, full)
        {
            self.error.get_or_insert(errno);
        }
        self.len = 0;
        self.error.map_or(Ok(()), Err)
    }

    /// Prints bytes, whatever they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(self.buf.len()) {
            if self.buf.len() - self.len < chunk.len() {
                let _ = self.flush();
            }
            if let Some(free) = self.buf.get_mut(self.len..self.len + chunk.len()) {
                free.copy_from_slice(chunk);
                self.len += chunk.len();
            }
        }
    }
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}

/// Bytes that are text most of the time, for messages: names, paths.
#[derive(Debug)]
pub struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

/// Prints how to use the program if it is asked for nothing else (`-h` or
/// `--help`), and gives the exit status then.
pub fn help(start: Start, usage: &str) -> Option<i32> {
    let arg = start.args().nth(1)?.to_bytes();
    if arg != b"-h" && arg != b"--help" {
        return None;
    }
    // SAFETY: written to only; if 1 is closed, writing says so.
    let written = io::write_all(unsafe { io::stdout() }, usage.as_bytes());
    Some(written.is_err().into())
}

/// The 64-bit words of a memory whose contents are known: none of them is
/// zero, and none is like another.
fn word(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// Writes what known memory has from `offset` on, in whole words.
pub fn pattern(offset: u64, into: &mut [u8]) {
    for (number, place) in (offset / 8..).zip(into.chunks_exact_mut(8)) {
        place.copy_from_slice(&word(number).to_le_bytes());
    }
}

/// The offset of the first word that is not as in known memory.
pub fn differs(offset: u64, bytes: &[u8]) -> Option<u64> {
    (offset / 8..)
        .zip(bytes.chunks_exact(8))
        .find(|(number, bytes)| **bytes != word(*number).to_le_bytes())
        .map(|(number, _)| number * 8)
}

/// Runs `run` in a child process that ends with its status, and with its
/// parent.
///
/// # Safety
///
/// The process has no other threads.
pub unsafe fn child(run: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: one thread, and the child never returns from here.
    match unsafe { process::fork() }? {
        Some(child) => Ok(child),
        None => {
            let _ = process::set_pdeathsig(Some(Signal::SIGKILL));
            process::exit_group(run())
        }
    }
}

/// Waits for a child.
pub fn ended(child: Pid) -> Result<WaitStatus, Errno> {
    loop {
        match process::wait4(WaitTarget::Pid(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Kills a child, and waits for it.
pub fn killed(child: Pid) -> Result<WaitStatus, Errno> {
    signal::kill(child, Signal::SIGKILL)?;
    ended(child)
}

/// The number that `arg` is, of `least` to `most`.
pub fn number(arg: &[u8], least: u32, most: u32) -> Option<u32> {
    let number = core::str::from_utf8(arg).ok()?.parse().ok()?;
    (least..=most).contains(&number).then_some(number)
}
