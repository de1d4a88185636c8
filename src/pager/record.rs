//! Which blocks were needed.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A block of the source that was needed: plain data, to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// Its offset in the source.
    pub offset: u64,
    /// In bytes.
    pub len: u64,
}

/// Room for one [`Block`] of a [`Recorder`].
#[derive(Debug, Default)]
pub struct BlockCell {
    offset: AtomicU64,
    /// 0 until it is written.
    len: AtomicU64,
}

impl BlockCell {
    /// Room for one block.
    pub const fn new() -> Self {
        Self {
            offset: AtomicU64::new(0),
            len: AtomicU64::new(0),
        }
    }
}

/// Notes which blocks were needed, in the order in which they were: the
/// working set, for [`Pager::replay`](super::Pager::replay) the next time.
///
/// A process that starts again touches much the same pages as the last time,
/// but hardly ever the next page after the last one: to prefetch what was
/// noted is worth more than to read ahead.
///
/// ```
/// use barecall::pager::{BlockCell, Recorder};
///
/// let room = [const { BlockCell::new() }; 1024];
/// let recorder = Recorder::new(&room);
/// // PagerOptions::record(&recorder), and after some time:
/// assert_eq!(recorder.blocks().count(), 0);
/// ```
#[derive(Debug)]
pub struct Recorder<'r> {
    room: &'r [BlockCell],
    next: AtomicUsize,
}

impl<'r> Recorder<'r> {
    /// An empty one, with room for as many blocks. What does not fit is
    /// counted.
    pub const fn new(room: &'r [BlockCell]) -> Self {
        Self {
            room,
            next: AtomicUsize::new(0),
        }
    }

    /// What was noted until now. A block can be there twice.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.room
            .iter()
            .take(self.next.load(Acquire))
            .filter_map(|cell| match cell.len.load(Acquire) {
                0 => None,
                len => Some(Block {
                    offset: cell.offset.load(Relaxed),
                    len,
                }),
            })
    }

    /// How many blocks did not fit.
    ///
    /// See [`Pager::replay`](super::Pager::replay) for an example.
    pub fn lost(&self) -> usize {
        self.next.load(Relaxed).saturating_sub(self.room.len())
    }

    pub(super) fn note(&self, offset: u64, len: usize) {
        // One a fault: it does not come round.
        let index = self.next.fetch_add(1, Release);
        if let Some(cell) = self.room.get(index) {
            cell.offset.store(offset, Relaxed);
            cell.len.store(len as u64, Release);
        }
    }
}
