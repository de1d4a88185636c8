//! The last lines, in memory.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// The longest line that a [`Ring`] keeps; of a longer one, the beginning.
pub const RING_LINE: usize = WORDS * 8;
const WORDS: usize = 40;

/// Room for one line of a [`Ring`].
#[derive(Debug)]
pub struct Slot {
    /// `2 n + 1` while line `n` is being written, `2 n + 2` when it is there, 0
    /// before the first.
    state: AtomicU64,
    len: AtomicU64,
    text: [AtomicU64; WORDS],
}

impl Slot {
    const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
            len: AtomicU64::new(0),
            text: [const { AtomicU64::new(0) }; WORDS],
        }
    }
}

/// The last lines of a trace, in memory that the program gives: for
/// [`Trace::to_ring`](super::Trace::to_ring).
///
/// Writing never waits and makes no system call, so it is for the program that
/// must not be slowed by its console, or has none, and for looking at what led
/// to a failure. Lines are numbered from 0 on; the newest replaces the oldest.
///
/// A line is lost, and counted, when its place is being written at that moment:
/// by a thread that was stopped there while the others went round the ring, or
/// by one that a signal interrupted whose handler did.
///
/// ```
/// use barecall::trace::{Ring, Slot};
///
/// // The last 256 calls, in 88 kB.
/// static RING: Ring<[Slot; 256]> = Ring::new();
///
/// assert_eq!(RING.lines(), 0..0);
/// assert_eq!(size_of::<Slot>(), 336);
/// ```
#[derive(Debug)]
pub struct Ring<S: ?Sized = [Slot]> {
    next: AtomicU64,
    lost: AtomicU64,
    slots: S,
}

impl<const N: usize> Ring<[Slot; N]> {
    /// An empty one, of `N` lines.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            slots: [const { Slot::new() }; N],
        }
    }
}

impl Ring {
    fn slot(&self, number: u64) -> Option<&Slot> {
        let at = number.checked_rem(self.slots.len() as u64)?;
        self.slots.get(at as usize)
    }

    pub(super) fn push(&self, line: &[u8]) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(slot) = self.slot(number) else {
            return;
        };
        let writing = number.wrapping_mul(2).wrapping_add(1);
        let before = slot.state.load(Ordering::Relaxed);
        let taken = before & 1 == 1 || before > writing;
        if taken
            || slot
                .state
                .compare_exchange(before, writing, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A reader that sees a new word sees the state above too.
        fence(Ordering::Release);
        let len = line.len().min(RING_LINE);
        slot.len.store(len as u64, Ordering::Relaxed);
        let pieces = line.get(..len).unwrap_or_default().chunks(8);
        for (word, piece) in slot.text.iter().zip(pieces) {
            let mut bytes = [0; 8];
            for (to, from) in bytes.iter_mut().zip(piece) {
                *to = *from;
            }
            word.store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        slot.state.store(writing.wrapping_add(1), Ordering::Release);
    }

    /// The numbers of the lines that may be there: the oldest, and the one after
    /// the newest.
    pub fn lines(&self) -> Range<u64> {
        let end = self.next.load(Ordering::Relaxed);
        end.saturating_sub(self.slots.len() as u64)..end
    }

    /// Copies line `number`, without its end of line, and gives it; `None` if it
    /// is not there any more, not yet, or was lost.
    ///
    /// ```
    /// use barecall::trace::{RING_LINE, Ring, Slot};
    ///
    /// static RING: Ring<[Slot; 16]> = Ring::new();
    ///
    /// let ring: &Ring = &RING;
    /// let mut buf = [0; RING_LINE];
    /// for number in ring.lines() {
    ///     if let Some(line) = ring.line(number, &mut buf) {
    ///         println!("{}", String::from_utf8_lossy(line));
    ///     }
    /// }
    /// ```
    pub fn line<'b>(&self, number: u64, into: &'b mut [u8; RING_LINE]) -> Option<&'b [u8]> {
        let slot = self.slot(number)?;
        let there = number.wrapping_mul(2).wrapping_add(2);
        // 0 is the state before the first line.
        if there == 0 || slot.state.load(Ordering::Acquire) != there {
            return None;
        }
        let len = slot.len.load(Ordering::Relaxed) as usize;
        for (piece, word) in into.chunks_mut(8).zip(&slot.text) {
            piece.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        fence(Ordering::Acquire);
        if slot.state.load(Ordering::Relaxed) != there {
            return None;
        }
        let line = into.get(..len)?;
        Some(line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// How many lines were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl<const N: usize> Ring<[Slot; N]> {
    /// [`Ring::lines`](Ring::<[Slot]>::lines)
    pub fn lines(&self) -> Range<u64> {
        let ring: &Ring = self;
        ring.lines()
    }
}

impl<S: ?Sized> fmt::Pointer for Ring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&(&raw const self.next), f)
    }
}
