//! What the example programs share: output that is collected into few system
//! calls, and how the command line is answered.
#![no_std]

pub mod paging;

use barecall::fd::{BorrowedFd, RawFd};
use barecall::rt::Start;
use barecall::{Errno, io, nr, syscall};
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

/// Prints how to use the program to who has used it otherwise, and gives the
/// exit status then.
pub fn misused(usage: &str) -> i32 {
    // SAFETY: written to only; if 2 is closed, writing says so.
    let _ = io::write_all(unsafe { io::stderr() }, usage.as_bytes());
    2
}

/// A descriptor that is open by this number: one that the program was started
/// with.
///
/// # Safety
///
/// The program does not close it as long as the answer is used.
pub unsafe fn inherited<'fd>(number: RawFd) -> Result<BorrowedFd<'fd>, Errno> {
    const F_GETFD: u32 = 1;
    // SAFETY: numbers only.
    unsafe { syscall!(nr::FCNTL, number, F_GETFD) }?;
    // SAFETY: open, and the caller's promise.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// The number that `arg` is, of `least` to `most`.
pub fn number(arg: &[u8], least: u32, most: u32) -> Option<u32> {
    let number = core::str::from_utf8(arg).ok()?.parse().ok()?;
    (least..=most).contains(&number).then_some(number)
}
