//! Finds a pcap dump in standard input, keeps it in a file without a name,
//! lists it, and gives the file a name if asked to.

use crate::pcap::{self, Damage};
use crate::{During, Stop};
use barecall::fd::AsFd as _;
use barecall::io;
use barecall::memfd::{Memfd, MemfdOptions};
use barecall::rt::Start;
use barecall::tmpfile::TmpfileOptions;
use barecall::{Errno, fs};
use barecall_examples::{Lossy, Out};
use core::ffi::CStr;
use core::fmt::Write as _;

/// `TCGETS` into a `struct termios` that is not looked at: what `isatty` asks.
fn is_terminal(fd: barecall::fd::BorrowedFd<'_>) -> bool {
    const TCGETS: u32 = 0x5401;
    let mut termios = [0_u32; 16];
    // SAFETY: `struct termios` is 36 bytes on both architectures.
    unsafe { io::ioctl(fd, TCGETS, termios.as_mut_ptr()) }.is_ok()
}

pub fn run(start: &Start, out: &mut Out<'_>) -> Result<(), Stop> {
    // SAFETY: 0 is standard input; if it is closed, reading says so.
    let stdin = unsafe { io::stdin() };
    if is_terminal(stdin) {
        let _ = writeln!(out, "   Standard input is a terminal: no dump to look for.");
        return Ok(());
    }

    let (memfd, _) = MemfdOptions::new()
        .create_or_legacy(c"stdin")
        .during("memfd_create")?;
    let size = read_all(stdin, &memfd)?;
    // Frozen, its bytes can be mapped as a slice: nobody changes them now.
    let frozen = match memfd.freeze() {
        Ok(frozen) => frozen,
        Err(refused) => {
            let _ = writeln!(out, "   {refused}");
            return Err(Stop::Input);
        }
    };
    let map = frozen.map().during("mmap")?;

    let Some(dump) = pcap::find(&map) else {
        let _ = writeln!(out, "   No PCAP dump in {size} bytes of standard input.");
        return Ok(());
    };
    let _ = writeln!(out, "   Found PCAP dump at offset {}", dump.offset);
    if dump.nanoseconds {
        let _ = writeln!(out, "   Its times are in nanoseconds.");
    }
    let mut packets = dump.packets();
    for packet in &mut packets {
        let _ = writeln!(
            out,
            "   Read packet: full length = {} bytes, available {} bytes.",
            packet.full, packet.available
        );
    }
    let damaged = match packets.damage() {
        None => false,
        Some(Damage::Truncated { missing }) => {
            let _ = writeln!(
                out,
                "   The dump is cut off: the next packet lacks {missing} bytes."
            );
            true
        }
        Some(Damage::Length(length)) => {
            let _ = writeln!(
                out,
                "   The dump is damaged: the next packet claims {length} bytes."
            );
            true
        }
    };

    keep(start, out, packets.whole())?;
    if damaged { Err(Stop::Input) } else { Ok(()) }
}

/// Copies everything that can be read into a file, and says how much it was.
fn read_all(from: barecall::fd::BorrowedFd<'_>, to: &Memfd) -> Result<u64, Stop> {
    let mut size = 0;
    let mut buf = [0; 65536];
    loop {
        let n = match io::retry_on_intr(|| io::read(from, &mut buf)) {
            // Closed, or a directory: like an empty file, it has no dump.
            Err(Errno::EBADF | Errno::EISDIR) => 0,
            n => n.during("read")?,
        };
        let Some(bytes) = buf.get(..n).filter(|bytes| !bytes.is_empty()) else {
            return Ok(size);
        };
        io::write_all(to.as_fd(), bytes).during("write")?;
        size += n as u64;
    }
}

/// Writes the dump to a file without a name, where its name would be; and
/// gives it the name of `LINK_TO`, if that is set.
fn keep(start: &Start, out: &mut Out<'_>, dump: &[u8]) -> Result<(), Stop> {
    let name = start.var("LINK_TO").filter(|name| !name.is_empty());
    let mut buf = [0; 4096];
    let dir = match name {
        Some(name) => parent(name, &mut buf),
        None => Some(c"."),
    };
    let Some(dir) = dir else {
        let _ = writeln!(out, "   LINK_TO is longer than a path can be.");
        return Err(Stop::Input);
    };

    let file = match TmpfileOptions::new().linkable(fs::CWD, dir) {
        Ok(file) => file,
        Err(errno) => {
            let _ = writeln!(out, "   O_TMPFILE in {}: {errno}", Lossy(dir.to_bytes()));
            // The file system may lack it; with a name asked for, that is a
            // failure.
            return if name.is_some() {
                Err(Stop::Input)
            } else {
                Ok(())
            };
        }
    };
    io::write_all(&file, dump).during("write")?;
    let _ = writeln!(
        out,
        "   Wrote {} bytes of it to a file without a name.",
        dump.len()
    );

    let Some(name) = name else { return Ok(()) };
    let text = Lossy(name.to_bytes());
    match file.link_any(fs::CWD, name) {
        Ok((_, via)) => {
            let _ = writeln!(out, "   Its name is {text} now (linked via {via:?}).");
            Ok(())
        }
        Err(refused) => {
            let _ = writeln!(out, "   It did not get the name {text}: {}", refused.errno);
            Err(Stop::Input)
        }
    }
}

/// The directory part of a path, as a C string.
fn parent<'a>(path: &CStr, buf: &'a mut [u8; 4096]) -> Option<&'a CStr> {
    let path = path.to_bytes();
    let dir = match path.iter().rposition(|byte| *byte == b'/') {
        None => b".",
        Some(0) => b"/",
        Some(slash) => path.get(..slash)?,
    };
    buf.get_mut(..dir.len())?.copy_from_slice(dir);
    *buf.get_mut(dir.len())? = 0;
    CStr::from_bytes_until_nul(buf).ok()
}
