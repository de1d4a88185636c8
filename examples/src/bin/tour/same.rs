//! Says which descriptors are the same open file as the standard ones.

use crate::{During, Stop};
use barecall::fd::{BorrowedFd, RawFd};
use barecall::fs::{self, FdPath, Mode, OFlags};
use barecall::kcmp;
use barecall::rt::Start;
use barecall::{Errno, io};
use barecall_examples::{Lossy, Out, inherited};
use core::fmt::Write as _;

const STANDARD: [(RawFd, &str); 3] = [
    (0, "standard input"),
    (1, "standard output"),
    (2, "standard error"),
];

pub fn run(_start: &Start, out: &mut Out<'_>) -> Result<(), Stop> {
    // Two that are certainly the same, whatever the program was started with.
    // SAFETY: 1 is standard output; if it is closed, that is told.
    let copy = io::fcntl_dupfd_cloexec(unsafe { io::stdout() }, 0).during("F_DUPFD_CLOEXEC")?;

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match fs::openat(fs::CWD, c"/proc/self/fd", flags, Mode::empty()) {
        Ok(dir) => dir,
        Err(errno) => {
            let _ = writeln!(out, "   No list of descriptors without /proc: {errno}");
            return Ok(());
        }
    };
    let mut buf = [0; 4096];
    loop {
        let entries = fs::getdents64(&dir, &mut buf).during("getdents64")?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            // "." and ".." are not numbers.
            let number = core::str::from_utf8(entry.name.to_bytes());
            if let Some(fd) = number.ok().and_then(|n| n.parse().ok())
                && fd != dir.as_raw_fd()
            {
                compare(fd, out)?;
            }
        }
    }
    drop(copy);
    Ok(())
}

/// One line for a descriptor.
fn compare(number: RawFd, out: &mut Out<'_>) -> Result<(), Stop> {
    // SAFETY: /proc just said that it is open, and nobody else is here.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let mut buf = [0; 256];
    let name = fs::readlinkat(fs::CWD, &FdPath::process(fd), &mut buf).unwrap_or(b"?");
    let _ = write!(out, "   {number} ({})", Lossy(name));
    let mut others = 0;
    for (standard, text) in STANDARD
        .into_iter()
        .filter(|(standard, _)| *standard != number)
    {
        // SAFETY: nothing is closed while they are compared.
        let standard = unsafe { inherited(standard) };
        match standard.and_then(|standard| kcmp::same_description(fd, standard)) {
            Ok((true, by)) => {
                let lead = if others == 0 {
                    " is the same as"
                } else {
                    " and"
                };
                let _ = write!(out, "{lead} {text} (by {by:?})");
                others += 1;
            }
            Ok((false, _)) | Err(Errno::EBADF) => {}
            Err(errno) => {
                out.bytes(b"\n");
                return Err(errno).during("kcmp");
            }
        }
    }
    out.bytes(if others == 0 {
        b" is an open file of its own\n"
    } else {
        b"\n"
    });
    Ok(())
}
