//! A line of text in the making, and how it reads the program's memory.

use crate::arch::untraced;
use crate::nr;
use crate::syscall::Arg;

/// The longest line; what does not fit is cut, and ends in `...`.
pub(in crate::trace) const LONGEST: usize = 1024;
const CUT: &[u8] = b"...\n";

/// What strace shows of data that is not a path.
const SHOWN: usize = 32;
/// What is shown of a path.
const PATH: usize = 512;

/// On the stack of whoever makes the call: no allocation, nothing shared.
pub(in crate::trace) struct Line {
    buf: [u8; LONGEST],
    len: usize,
    /// The number of this thread, which is how its memory is asked for.
    pub(in crate::trace) thread: u32,
    /// A length that the kernel will write over with its own.
    pub(in crate::trace) room: Option<u32>,
}

impl Line {
    // Inlined, or there would be two of it on the stack.
    #[inline(always)]
    pub(in crate::trace) fn new(thread: u32) -> Self {
        Self {
            buf: [0; LONGEST],
            len: 0,
            thread,
            room: None,
        }
    }

    pub(in crate::trace) fn as_bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }

    pub(in crate::trace) fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.byte(byte);
        }
    }

    pub(in crate::trace) fn byte(&mut self, byte: u8) {
        // Room is kept for the end.
        if let Some(room) = self.buf.get_mut(..LONGEST - CUT.len())
            && let Some(at) = room.get_mut(self.len)
        {
            *at = byte;
            self.len += 1;
        }
    }

    /// Ends the line, and says if it was cut.
    pub(in crate::trace) fn end(&mut self) {
        let end = if self.len < LONGEST - CUT.len() {
            b"\n"
        } else {
            CUT
        };
        if let Some(at) = self.buf.get_mut(self.len..self.len + end.len()) {
            at.copy_from_slice(end);
            self.len += end.len();
        }
    }

    /// A line of a backtrace, if there is room for a whole one.
    pub(in crate::trace) fn frame(&mut self, pc: usize) {
        if LONGEST - self.len > 32 {
            self.text(" > ");
            self.hex(pc as u64);
            self.byte(b'\n');
        }
    }

    fn digits(&mut self, mut number: u64, base: u64) {
        let mut digits = [0_u8; 22];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            let value = (number % base) as u8;
            *digit = if value < 10 {
                b'0' + value
            } else {
                b'a' + (value - 10)
            };
            used += 1;
            number /= base;
            if number == 0 {
                break;
            }
        }
        for &digit in digits.iter().skip(digits.len() - used) {
            self.byte(digit);
        }
    }

    pub(in crate::trace) fn unsigned(&mut self, number: u64) {
        self.digits(number, 10);
    }

    pub(in crate::trace) fn signed(&mut self, number: i64) {
        if number < 0 {
            self.byte(b'-');
        }
        self.digits(number.unsigned_abs(), 10);
    }

    /// `0x1f`, and 0 as it is.
    pub(in crate::trace) fn hex(&mut self, number: u64) {
        if number != 0 {
            self.text("0x");
        }
        self.bare_hex(number);
    }

    /// `1f`
    pub(in crate::trace) fn bare_hex(&mut self, number: u64) {
        self.digits(number, 16);
    }

    /// `0644`, and 0 as it is.
    pub(in crate::trace) fn octal(&mut self, number: u64) {
        if number != 0 {
            self.byte(b'0');
        }
        self.digits(number, 8);
    }

    pub(in crate::trace) fn pointer(&mut self, address: usize) {
        match address {
            0 => self.text("NULL"),
            address => self.hex(address as u64),
        }
    }

    /// `0.000012`
    pub(in crate::trace) fn seconds(&mut self, nanoseconds: u64) {
        self.unsigned(nanoseconds / 1_000_000_000);
        self.byte(b'.');
        let mut micros = nanoseconds / 1000 % 1_000_000;
        let mut unit = 100_000;
        while unit > 0 {
            self.digits(micros / unit, 10);
            micros %= unit;
            unit /= 10;
        }
    }

    /// What is at an address; shorter where memory ends, empty where none is.
    ///
    /// The kernel does the reading, so that a bad pointer is an error and not a
    /// fault. By pages, because what a bad page does to the good one before it
    /// is not said.
    pub(in crate::trace) fn peek<'b>(&self, address: usize, into: &'b mut [u8]) -> &'b [u8] {
        #[repr(C)]
        #[doc(alias = "struct iovec")]
        struct Iovec {
            iov_base: *mut u8,
            iov_len: usize,
        }

        let mut done = 0;
        while done < into.len() {
            let from = address.wrapping_add(done);
            let piece = (into.len() - done).min(4096 - from % 4096);
            let Some(rest) = into.get_mut(done..) else {
                break;
            };
            let local = Iovec {
                iov_base: rest.as_mut_ptr(),
                iov_len: piece,
            };
            let remote = Iovec {
                iov_base: core::ptr::without_provenance_mut(from),
                iov_len: piece,
            };
            // SAFETY: the kernel writes at most `piece` bytes to `rest`, which
            // has them, and reads what can be read.
            let n = unsafe {
                untraced::syscall6(
                    nr::PROCESS_VM_READV,
                    self.thread.to_reg(),
                    (&raw const local).to_reg(),
                    1.to_reg(),
                    (&raw const remote).to_reg(),
                    1.to_reg(),
                    0.to_reg(),
                )
            };
            if n.addr() == 0 || n.addr() > piece {
                break;
            }
            done += n.addr();
            if n.addr() < piece {
                break;
            }
        }
        into.get(..done).unwrap_or_default()
    }

    /// So many words, or `None` if they are not all there.
    pub(in crate::trace) fn words<const N: usize>(&self, address: usize) -> Option<[u64; N]> {
        let mut bytes = [[0; 8]; N];
        let whole = self.peek(address, bytes.as_flattened_mut()).len() == N * 8;
        whole.then(|| bytes.map(u64::from_le_bytes))
    }

    pub(in crate::trace) fn word(&self, address: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let whole = self.peek(address, &mut bytes).len() == 8;
        whole.then(|| u64::from_le_bytes(bytes))
    }

    pub(in crate::trace) fn half(&self, address: usize) -> Option<u32> {
        let mut bytes = [0; 4];
        let whole = self.peek(address, &mut bytes).len() == 4;
        whole.then(|| u32::from_le_bytes(bytes))
    }

    /// Bytes as C would write them, in octal where they are not text.
    fn escaped(&mut self, byte: u8, next: Option<u8>) {
        match byte {
            b'"' => self.text("\\\""),
            b'\\' => self.text("\\\\"),
            b'\n' => self.text("\\n"),
            b'\t' => self.text("\\t"),
            b'\r' => self.text("\\r"),
            0x0b => self.text("\\v"),
            0x0c => self.text("\\f"),
            b' '..=b'~' => self.byte(byte),
            _ => {
                self.byte(b'\\');
                // As short as can be, unless a digit follows.
                if next.is_some_and(|next| next.is_ascii_digit()) {
                    self.digits((byte >> 6).into(), 8);
                    self.digits((byte >> 3 & 7).into(), 8);
                    self.digits((byte & 7).into(), 8);
                } else {
                    self.digits(byte.into(), 8);
                }
            }
        }
    }

    /// `"data"...`: so many bytes at an address, of which the first are shown.
    pub(in crate::trace) fn data(&mut self, address: usize, len: usize) {
        self.quoted(address, len, Self::escaped);
    }

    /// The same in hexadecimal: `"\x1f\x00"`.
    pub(in crate::trace) fn random(&mut self, address: usize, len: usize) {
        self.quoted(address, len, |line, byte, _| {
            line.text("\\x");
            line.digits((byte >> 4).into(), 16);
            line.digits((byte & 15).into(), 16);
        });
    }

    /// `show` is told of each byte, and of the one that follows it.
    fn quoted(&mut self, address: usize, len: usize, show: impl Fn(&mut Self, u8, Option<u8>)) {
        let mut bytes = [0; SHOWN];
        let Some(room) = bytes.get_mut(..len.min(SHOWN)) else {
            return;
        };
        let wanted = room.len();
        let found = self.peek(address, room);
        if found.len() < wanted || address == 0 {
            return self.pointer(address);
        }
        self.byte(b'"');
        for (i, &byte) in found.iter().enumerate() {
            show(self, byte, found.get(i + 1).copied());
        }
        self.byte(b'"');
        if len > SHOWN {
            self.text("...");
        }
    }

    /// `"data"`: all of it.
    pub(in crate::trace) fn quote(&mut self, bytes: &[u8]) {
        self.byte(b'"');
        for (i, &byte) in bytes.iter().enumerate() {
            self.escaped(byte, bytes.get(i + 1).copied());
        }
        self.byte(b'"');
    }

    /// `"path"`: what is at an address, up to its NUL.
    pub(in crate::trace) fn string(&mut self, address: usize) {
        if address == 0 {
            return self.text("NULL");
        }
        let begin = self.len;
        self.byte(b'"');
        let mut at = 0;
        while at < PATH {
            // One byte more, to know what follows.
            let mut piece = [0; 65];
            let found = self.peek(address.wrapping_add(at), &mut piece);
            if found.is_empty() {
                // No string: nothing of it is shown but where it would be.
                self.len = begin;
                return self.pointer(address);
            }
            let shown = if found.len() == 65 { 64 } else { found.len() };
            for (i, &byte) in found.iter().enumerate().take(shown) {
                if byte == 0 {
                    return self.byte(b'"');
                }
                self.escaped(byte, found.get(i + 1).copied());
            }
            at += shown;
        }
        self.text("\"...");
    }
}
