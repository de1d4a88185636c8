//! Filling before anybody waits.

use super::Pager;
use super::faults::Hand;
use crate::pager::clock::pause;
use crate::pager::job::{Job, Outcome};
use crate::pager::queue::Why;
use crate::pager::stats::add;
use crate::pager::{Block, PageSource, PagerError, Reason};
use crate::userfaultfd::PageRange;

/// # Filling ahead
impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Fills what is missing of the regions in `range`, block by block, in the
    /// calling thread, beside the handlers; until the end, or [`Self::stop`], or
    /// the process whose memory it is has ended. Gives how many bytes of regions
    /// it went through. The last block is filled to its end, also where `range`
    /// ends before.
    ///
    /// What the source does not give now is passed over: it is for a fault to
    /// insist. While the process is changing its mappings, this waits until a
    /// handler has read that.
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    ///
    /// ```
    /// use barecall::pager::{Pager, PagerOptions, Region, RegionTable, SliceSource};
    /// use barecall::userfaultfd::{MappedRegion, PageRange, RegisterModes, UserfaultfdOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// static SNAPSHOT: [u8; 1 << 20] = [7; 1 << 20];
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let source = SliceSource(&SNAPSHOT);
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
    ///
    /// // The first half, before the program starts; a handler is for the rest.
    /// let half = PageRange::new(memory.range().start(), 1 << 19);
    /// let done = pager.prefetch(half, &mut [0; 64 << 10])?;
    /// assert!((1 << 19..1 << 20).contains(&done));
    /// let mut byte = [0];
    /// memory.read_at(&mut byte, 123_456);
    /// assert_eq!(byte, [7]);
    /// let stats = pager.stats();
    /// assert_eq!((stats.faults(), stats.copied), (0, done as u64));
    /// assert!(stats.prefetched >= 8);
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn prefetch(&self, range: PageRange, staging: &mut [u8]) -> Result<usize, PagerError> {
        let mut hand = Hand::new(staging);
        let mut at = range.start();
        let mut done = 0_usize;
        // Where a block went in only in part, the next ones are smaller, so
        // that the source is not asked for the same pages again and again.
        let mut most = usize::MAX;
        while at < range.end() && !self.is_stopped()? {
            let rest = PageRange::new(at, range.end().wrapping_sub(at));
            let (part, region, changes) = {
                let table = self.table.read();
                self.check(&mut hand, &table)?;
                let Some(part) = table.within(rest).next() else {
                    break;
                };
                let Some(region) = table.find(part.range().start()) else {
                    break;
                };
                (part, region, table.changes())
            };
            // Whole pages, also where the range is not.
            let page = PageRange::page_of(part.range().start(), part.page_size());
            let room = hand.staging.len().min(most);
            let block = self.options.block_around(&region, page, room);
            let block = block.after(page.start().saturating_sub(block.start()));
            let job = Job {
                region,
                changes,
                block,
                page,
                reason: Reason::Prefetch,
                write: false,
            };
            let reached = match self.filler().fill(hand.staging, job) {
                Outcome::Done(reached) => {
                    add(&self.counters.prefetched, 1);
                    reached
                }
                Outcome::Changed => continue,
                Outcome::Again(Why::Changing) => {
                    // Somebody has to read the event; it is not this thread.
                    pause(50_000);
                    continue;
                }
                Outcome::Again(Why::Later | Why::Stray) => block.end(),
                // That is about the one page.
                Outcome::Again(Why::Failed) | Outcome::Lost => page.end(),
                Outcome::Gone => break,
            };
            most = match reached < block.end() {
                true => page.len(),
                false => block.len().saturating_mul(2).max(most),
            };
            done = done.saturating_add(reached.saturating_sub(block.start()));
            at = reached;
        }
        Ok(done)
    }

    /// Fills the blocks that a [`Recorder`](crate::pager::Recorder) noted, in
    /// that order, in the calling thread: as [`Self::prefetch`], for what will be
    /// needed.
    ///
    /// They are found by their offsets in the source, in every region that has
    /// some of them, so that the memory may be elsewhere than it was. Gives how
    /// many bytes of regions it went through.
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    ///
    /// ```
    /// use barecall::pager::{
    ///     BlockCell, Pager, PagerOptions, Recorder, Region, RegionTable, SliceSource,
    /// };
    /// use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// static SNAPSHOT: [u8; 1 << 20] = [7; 1 << 20];
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let source = SliceSource(&SNAPSHOT);
    ///
    /// // The first run.
    /// let cells = [const { BlockCell::new() }; 64];
    /// let recorder = Recorder::new(&cells);
    /// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE).record(&recorder))?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| pager.serve(&mut [0; 64 << 10]));
    ///     memory.read_at(&mut [0], 900_000);
    ///     memory.read_at(&mut [0], 100_000);
    ///     pager.stop();
    /// });
    /// drop(memory);
    /// pager.shutdown();
    /// let record: Vec<_> = recorder.blocks().collect();
    /// assert_eq!((record.len(), record[0].len, recorder.lost()), (2, 64 << 10, 0));
    /// assert!((record[0].offset..).contains(&900_000));
    ///
    /// // The next one, with the memory elsewhere: what it needs is there already.
    /// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
    /// assert!(pager.replay(record, &mut [0; 64 << 10])? >= 2 * (64 << 10));
    /// memory.read_at(&mut [0], 900_000);
    /// memory.read_at(&mut [0], 100_000);
    /// assert_eq!(pager.stats().faults(), 0);
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn replay(
        &self,
        record: impl IntoIterator<Item = Block>,
        staging: &mut [u8],
    ) -> Result<usize, PagerError> {
        let mut done = 0_usize;
        for block in record {
            // It may be in several regions.
            let mut at = 0;
            loop {
                let rest = PageRange::new(at, usize::MAX.wrapping_sub(at));
                let next = {
                    let table = self.table.read();
                    table.within(rest).find_map(|region| region.part_of(block))
                };
                let Some(part) = next else { break };
                done = done.saturating_add(self.prefetch(part, staging)?);
                at = part.end();
            }
        }
        Ok(done)
    }
}
