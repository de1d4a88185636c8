//! Which memory is served, and from where: a sorted table.

use super::Block;
use crate::flags::flags;
use crate::userfaultfd::{PageRange, Remap};
use core::fmt;

/// Where the contents of a region come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Contents {
    /// From the source.
    Source,
    /// Zeros: the process discarded what was there.
    Zeros,
}

flags! {
    /// How a [`Region`] is filled.
    #[derive(Default)]
    pub struct RegionFlags: u32 {
        /// What is discarded comes from the source again, instead of being
        /// zeros from then on: for a shared mapping of a file on which the
        /// process uses `MADV_DONTNEED`, which takes nothing from the file.
        /// (The event says the same for that and for `MADV_REMOVE`.)
        const DISCARD_KEEPS = 1 << 0;
        /// Pages come write-protected; the memory is registered for that. (Those
        /// that are mapped from the file, [`Fill::Alias`](super::Fill::Alias),
        /// since Linux 6.4; before, that is a failure.)
        const WRITE_PROTECTED = 1 << 1;
        const _ = !0;
    }
}

/// Memory that is served, and the place of its contents in the source: plain
/// data.
///
/// ```
/// use barecall::pager::Region;
/// use barecall::userfaultfd::PageRange;
///
/// // 1 MiB at this address is what the source has from 64 KiB on.
/// let region = Region::new(PageRange::new(0x7000_0000, 1 << 20), 0x1_0000, 4096);
/// assert_eq!(region.offset_of(0x7000_2000), Some(0x1_2000));
///
/// // Discarded before it was served, and a mapping of a file:
/// use barecall::pager::{Contents, RegionFlags};
/// let region = region.with_contents(Contents::Zeros).with_flags(RegionFlags::DISCARD_KEEPS);
/// assert_eq!(region.contents(), Contents::Zeros);
/// assert!(region.flags().contains(RegionFlags::DISCARD_KEEPS));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    range: PageRange,
    offset: u64,
    page_size: usize,
    contents: Contents,
    flags: RegionFlags,
}

impl Region {
    /// No region; for making arrays.
    pub const EMPTY: Self = Self::new(PageRange::new(0, 0), 0, 0);

    /// `range`, whose first byte is the source's at `offset`, in pages of
    /// `page_size` bytes: those of the machine, or the huge pages of hugetlbfs
    /// that the memory is made of.
    pub const fn new(range: PageRange, offset: u64, page_size: usize) -> Self {
        Self {
            range,
            offset,
            page_size,
            contents: Contents::Source,
            flags: RegionFlags::empty(),
        }
    }

    /// With these contents.
    #[must_use]
    pub const fn with_contents(mut self, contents: Contents) -> Self {
        self.contents = contents;
        self
    }

    /// With these flags.
    #[must_use]
    pub const fn with_flags(mut self, flags: RegionFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The addresses, in the process that faults.
    pub const fn range(&self) -> PageRange {
        self.range
    }

    /// Where the source has the first byte.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The size of a page of this memory.
    pub const fn page_size(&self) -> usize {
        self.page_size
    }

    /// Where the contents come from.
    pub const fn contents(&self) -> Contents {
        self.contents
    }

    /// How it is filled.
    pub const fn flags(&self) -> RegionFlags {
        self.flags
    }

    /// Where the source has the byte at `address`.
    pub const fn offset_of(&self, address: usize) -> Option<u64> {
        if !self.range.contains(address) {
            return None;
        }
        let distance = address.wrapping_sub(self.range.start());
        Some(self.offset.wrapping_add(distance as u64))
    }

    /// The part of it that is in both.
    fn part(&self, range: PageRange) -> Option<Self> {
        let range = self.range.intersection(range)?;
        let offset = self.offset_of(range.start())?;
        Some(Self {
            range,
            offset,
            ..*self
        })
    }

    /// Where it has a block of the source, or some of it.
    pub(super) fn part_of(&self, block: Block) -> Option<PageRange> {
        let end = block.offset.saturating_add(block.len);
        let own_end = self.offset.saturating_add(self.range.len() as u64);
        let first = block.offset.max(self.offset);
        let len = end.min(own_end).checked_sub(first)?;
        let before = first.wrapping_sub(self.offset);
        // Both are within the region, or it is empty.
        let range = self.range.after(before as usize);
        (len > 0).then(|| PageRange::new(range.start(), len as usize))
    }

    fn is_valid(&self) -> bool {
        let Self {
            range, page_size, ..
        } = *self;
        page_size.is_power_of_two()
            && page_size >= 4096
            && !range.is_empty()
            && (range.start() | range.len()) & page_size.wrapping_sub(1) == 0
            && range.start().checked_add(range.len()).is_some()
            && self.offset.checked_add(range.len() as u64).is_some()
    }

    /// What both are as one, if they are a continuation.
    fn joined(&self, next: &Self) -> Option<Self> {
        let continues = Self {
            range: next.range,
            offset: self.offset.wrapping_add(self.range.len() as u64),
            ..*self
        };
        let meets = self.range.end() == next.range.start();
        (meets && continues == *next).then(|| Self {
            range: PageRange::new(
                self.range.start(),
                self.range.len().saturating_add(next.range.len()),
            ),
            ..*self
        })
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.range)?;
        match self.contents {
            Contents::Source => write!(f, "from {:#x}", self.offset)?,
            Contents::Zeros => f.write_str("zeros")?,
        }
        write!(f, " in pages of {:#x}", self.page_size)?;
        if !self.flags.is_empty() {
            write!(f, " {:?}", self.flags)?;
        }
        Ok(())
    }
}

/// Why a table did not take a region. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableError {
    /// No room. The table needs more memory.
    Full,
    /// Another region has a part of it.
    Overlaps,
    /// Not whole pages of its page size, or empty, or past the end of the
    /// addresses or offsets.
    Invalid,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "no room in the table of regions",
            Self::Overlaps => "a region has a part of it already",
            Self::Invalid => "not whole pages",
        })
    }
}

impl core::error::Error for TableError {}

/// The regions, sorted by address, none overlapping another, in memory of the
/// caller.
///
/// Discarding, unmapping and moving parts of a region cut it into pieces, so
/// the table needs room for more of them than there are mappings; neighbours
/// that continue each other are one again. Lookup is O(log n).
///
/// ```
/// use barecall::pager::{Contents, Region, RegionTable};
/// use barecall::userfaultfd::{PageRange, Remap};
///
/// let mut room = [Region::EMPTY; 8];
/// let mut table = RegionTable::new(&mut room);
/// table.insert(Region::new(PageRange::new(0x10_0000, 0x8000), 0, 4096))?;
/// let before = table.changes();
/// table.discard(PageRange::new(0x10_2000, 0x1000))?;
/// assert!(table.changes() > before);
/// assert_eq!(table.regions().len(), 3);
/// assert_eq!(table.find(0x10_2abc).unwrap().contents(), Contents::Zeros);
/// assert_eq!(table.find(0x10_3abc).unwrap().offset_of(0x10_3abc), Some(0x3abc));
///
/// // The process moves the discarded page away, and unmaps the last two.
/// table.remap(Remap { from: 0x10_2000, to: 0x20_0000, len: 0x1000 })?;
/// table.remove(PageRange::new(0x10_6000, 0x2000))?;
/// assert!(!table.overlaps(PageRange::new(0x10_2000, 0x1000)));
/// let below = PageRange::new(0, 0x20_0000);
/// let lens: Vec<_> = table.within(below).map(|region| region.range().len()).collect();
/// assert_eq!(lens, [0x2000, 0x3000]);
/// assert_eq!((table.regions().len(), table.spare(), table.largest_page()), (3, 5, 4096));
///
/// let mut more = [Region::EMPTY; 64];
/// assert_eq!(table.grow(&mut more).map(|former| former.len()), Ok(8));
/// assert_eq!(table.spare(), 61);
/// # Ok::<(), barecall::pager::TableError>(())
/// ```
pub struct RegionTable<'m> {
    slots: &'m mut [Region],
    len: usize,
    changes: u64,
}

impl<'m> RegionTable<'m> {
    /// An empty table, with room for as many regions as `room` has.
    pub const fn new(room: &'m mut [Region]) -> Self {
        Self {
            slots: room,
            len: 0,
            changes: 0,
        }
    }

    /// The regions, sorted by address.
    pub fn regions(&self) -> &[Region] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    /// For how many more there is room.
    pub fn spare(&self) -> usize {
        self.slots.len().saturating_sub(self.len)
    }

    /// Goes on in more room; gives the former room back.
    ///
    /// # Errors
    ///
    /// The room itself, when it is not more than there was.
    pub fn grow(&mut self, room: &'m mut [Region]) -> Result<&'m mut [Region], &'m mut [Region]> {
        if room.len() <= self.slots.len() {
            return Err(room);
        }
        for (to, from) in room.iter_mut().zip(self.regions()) {
            *to = *from;
        }
        Ok(core::mem::replace(&mut self.slots, room))
    }

    /// A number that is another after every change: what was looked up before
    /// may be old then.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The region that `address` is in.
    pub fn find(&self, address: usize) -> Option<Region> {
        let region = self.regions().get(self.after(address).checked_sub(1)?)?;
        region.range.contains(address).then_some(*region)
    }

    /// Whether a region has a part of `range`.
    pub fn overlaps(&self, range: PageRange) -> bool {
        let last = self.before(range.end()).checked_sub(1);
        last.and_then(|last| self.regions().get(last))
            .is_some_and(|region| region.range.intersection(range).is_some())
    }

    /// The parts of regions that are in `range`, in order.
    pub fn within(&self, range: PageRange) -> impl Iterator<Item = Region> + '_ {
        let first = self.after(range.start()).saturating_sub(1);
        let regions = self.regions().get(first..).unwrap_or_default();
        regions
            .iter()
            .take_while(move |region| region.range.start() < range.end())
            .filter_map(move |region| region.part(range))
    }

    /// The largest page of all regions, 0 without any.
    pub fn largest_page(&self) -> usize {
        let sizes = self.regions().iter().map(|region| region.page_size);
        sizes.max().unwrap_or(0)
    }

    /// Adds a region.
    ///
    /// # Errors
    ///
    /// See [`TableError`].
    pub fn insert(&mut self, region: Region) -> Result<(), TableError> {
        if !region.is_valid() {
            return Err(TableError::Invalid);
        }
        if self.overlaps(region.range) {
            return Err(TableError::Overlaps);
        }
        let at = self.before(region.range.start());
        self.put(at, region)?;
        self.changes = self.changes.wrapping_add(1);
        self.join(at, at.saturating_add(1));
        Ok(())
    }

    /// `UFFD_EVENT_REMOVE`: `range` was discarded, and is zeros from now on;
    /// with [`RegionFlags::DISCARD_KEEPS`], as it was.
    ///
    /// # Errors
    ///
    /// [`TableError::Full`]: two more pieces, and no room for them.
    pub fn discard(&mut self, range: PageRange) -> Result<(), TableError> {
        let (first, end) = self.cut(range)?;
        let regions = self.slots.get_mut(first..end).unwrap_or_default();
        for region in regions {
            if !region.flags.contains(RegionFlags::DISCARD_KEEPS) {
                region.contents = Contents::Zeros;
            }
        }
        self.join(first, end);
        Ok(())
    }

    /// `UFFD_EVENT_UNMAP`: `range` is served no more.
    ///
    /// # Errors
    ///
    /// [`TableError::Full`]: two more pieces, and no room for them.
    pub fn remove(&mut self, range: PageRange) -> Result<(), TableError> {
        let (first, end) = self.cut(range)?;
        self.take_out(first, end);
        Ok(())
    }

    /// `UFFD_EVENT_REMAP`: what was at one address is at another, in place of
    /// what was there.
    ///
    /// # Errors
    ///
    /// [`TableError::Full`]: four more pieces, and no room for them.
    pub fn remap(&mut self, remap: Remap) -> Result<(), TableError> {
        let from = PageRange::new(remap.from, remap.len);
        let to = PageRange::new(remap.to, remap.len);
        if self.spare() < 4 {
            return Err(TableError::Full);
        }
        self.remove(to)?;
        let (first, end) = self.cut(from)?;
        let delta = remap.to.wrapping_sub(remap.from);
        let moved = self.slots.get_mut(first..end).unwrap_or_default();
        for region in moved {
            let range = region.range;
            region.range = PageRange::new(range.start().wrapping_add(delta), range.len());
        }
        // The others are sorted; the moved ones go where they belong.
        let count = end.saturating_sub(first);
        let lower = |regions: Option<&[Region]>| {
            let regions = regions.unwrap_or_default();
            regions.partition_point(|region| region.range.start() < remap.to)
        };
        let below = lower(self.slots.get(..first));
        let above = lower(self.slots.get(end..self.len));
        if below < first {
            if let Some(part) = self.slots.get_mut(below..end) {
                rotate(part, count);
            }
            self.join(below, below.saturating_add(count));
            // And where it came from, there is a gap: nothing to join.
        } else {
            let after = end.saturating_add(above);
            if let Some(part) = self.slots.get_mut(first..after) {
                let stay = part.len().saturating_sub(count);
                rotate(part, stay);
            }
            let first = first.saturating_add(above);
            self.join(first, first.saturating_add(count));
        }
        Ok(())
    }

    /// How many regions begin at `address` or below.
    fn after(&self, address: usize) -> usize {
        self.regions()
            .partition_point(|region| region.range.start() <= address)
    }

    /// How many regions begin below `address`.
    fn before(&self, address: usize) -> usize {
        self.regions()
            .partition_point(|region| region.range.start() < address)
    }

    /// Makes a border at both ends of `range`; gives the indices of what is in
    /// it.
    fn cut(&mut self, range: PageRange) -> Result<(usize, usize), TableError> {
        let inside = |at: usize| {
            let region = self.find(at);
            region.is_some_and(|region| region.range.start() < at)
        };
        let pieces =
            usize::from(inside(range.start())).saturating_add(usize::from(inside(range.end())));
        if self.spare() < pieces {
            return Err(TableError::Full);
        }
        self.changes = self.changes.wrapping_add(1);
        self.cut_at(range.start())?;
        self.cut_at(range.end())?;
        Ok((self.before(range.start()), self.before(range.end())))
    }

    fn cut_at(&mut self, address: usize) -> Result<(), TableError> {
        let index = self.before(address);
        let Some(region) = index
            .checked_sub(1)
            .and_then(|index| self.slots.get_mut(index))
        else {
            return Ok(());
        };
        let whole = *region;
        let upper = PageRange::new(address, whole.range.end().saturating_sub(address));
        let Some(upper) = whole.part(upper) else {
            return Ok(());
        };
        let below = address.saturating_sub(whole.range.start());
        region.range = PageRange::new(whole.range.start(), below);
        self.put(index, upper)
    }

    /// Puts a region at an index, where it belongs.
    fn put(&mut self, index: usize, region: Region) -> Result<(), TableError> {
        let len = self.len.saturating_add(1);
        let tail = self.slots.get_mut(index..len).ok_or(TableError::Full)?;
        rotate(tail, 1);
        if let Some(slot) = tail.first_mut() {
            *slot = region;
        }
        self.len = len;
        Ok(())
    }

    fn take_out(&mut self, first: usize, end: usize) {
        let count = end.saturating_sub(first);
        if let Some(tail) = self.slots.get_mut(first..self.len) {
            let stay = tail.len().saturating_sub(count);
            rotate(tail, stay);
            self.len = self.len.saturating_sub(count);
        }
    }

    /// Joins what continues each other among the regions from `first` to `end`
    /// and their neighbours.
    fn join(&mut self, first: usize, end: usize) {
        let mut index = first.saturating_sub(1);
        let mut end = end.saturating_add(1).min(self.len);
        // The one that grows stays at `index`; what it has eaten is behind it.
        let mut kept = index;
        index = index.saturating_add(1);
        while index < end {
            let (Some(&left), Some(&right)) = (self.slots.get(kept), self.slots.get(index)) else {
                break;
            };
            match left.joined(&right) {
                Some(joined) => {
                    if let Some(slot) = self.slots.get_mut(kept) {
                        *slot = joined;
                    }
                }
                None => {
                    kept = kept.saturating_add(1);
                    if let Some(slot) = self.slots.get_mut(kept) {
                        *slot = right;
                    }
                }
            }
            index = index.saturating_add(1);
        }
        end = end.max(index);
        let hole = kept.saturating_add(1);
        if hole < end && end <= self.len {
            self.take_out(hole, end);
        }
    }
}

/// As `slice::rotate_right`, without a way to panic.
fn rotate(slice: &mut [Region], by: usize) {
    if by <= slice.len() {
        slice.rotate_right(by);
    }
}

impl fmt::Debug for RegionTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.regions()).finish()
    }
}
