//! What a handler reads, and what becomes of each fault.

use super::Pager;
use crate::errno::Errno;
use crate::pager::clock::{now, pause};
use crate::pager::job::{Filler, Job, Outcome};
use crate::pager::lock::Shared;
use crate::pager::queue::{Deferred, Why};
use crate::pager::stats::add;
use crate::pager::{PageSource, PagerError, Reason, RegionTable};
use crate::userfaultfd::{Event, EventBuffer, FaultFlags, PageRange, Parked, Userfaultfd};
use core::mem;
use core::sync::atomic::Ordering::Relaxed;

/// How many messages a handler that is alone reads at once.
pub(super) const BATCH: usize = 16;
/// How many pieces more one message can make of the table.
const PIECES: usize = 4;

/// What a handler brings along.
pub(super) struct Hand<'b> {
    pub staging: &'b mut [u8],
    /// For which state of the table it was looked at.
    checked: Option<u64>,
}

impl<'b> Hand<'b> {
    pub const fn new(staging: &'b mut [u8]) -> Self {
        Self {
            staging,
            checked: None,
        }
    }
}

/// Faults that were read and not yet attended to; what is left when it is
/// dropped is woken, and comes again.
pub(super) struct Batch<'u> {
    uffd: &'u Userfaultfd,
    faults: [Option<Parked>; BATCH],
}

impl<'u> Batch<'u> {
    pub const fn new(uffd: &'u Userfaultfd) -> Self {
        Self {
            uffd,
            faults: [None; BATCH],
        }
    }

    pub fn pop(&mut self) -> Option<Parked> {
        self.faults.iter_mut().find_map(Option::take)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.faults.iter().all(Option::is_none)
    }

    fn push(&mut self, fault: Parked) {
        match self.faults.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(fault),
            None => wake(self.uffd, &fault),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for fault in self.faults.iter().flatten() {
            wake(self.uffd, fault);
        }
    }
}

/// One fault in hand: woken when dropped, also by an unwinding source.
struct InHand<'u>(&'u Userfaultfd, Parked);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        wake(self.0, &self.1);
    }
}

pub(super) fn wake(uffd: &Userfaultfd, fault: &Parked) {
    // It fails only when the process is gone.
    let _ = uffd.wake_at(fault.address());
}

impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Reads messages: does at once what is told, and puts the faults into
    /// `batch`. Says whether there was a message; `None`: there may be no room
    /// in the table for so many.
    pub(super) fn take<const N: usize>(
        &self,
        buffer: &mut EventBuffer<N>,
        batch: &mut Batch<'_>,
    ) -> Result<Option<bool>, PagerError> {
        let mut table = self.events.then(|| self.table.write());
        if let Some(table) = &table
            && table.spare() < PIECES.saturating_mul(N)
        {
            return Ok(None);
        }
        let events = match self.uffd.read(buffer) {
            Ok(events) => events,
            // Somebody else had it, or a signal.
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Some(false)),
            Err(errno) => return Err(errno.into()),
        };
        let counters = &self.counters;
        let mut told = false;
        for event in events {
            let counter = match event {
                Event::Missing(fault) => {
                    batch.push(fault.park());
                    &counters.missing
                }
                Event::Minor(fault) => {
                    batch.push(fault.park());
                    &counters.minor
                }
                Event::WriteProtect(fault) => {
                    batch.push(fault.park());
                    &counters.write_protect
                }
                Event::Rwp(fault) => {
                    batch.push(fault.park());
                    &counters.rwp
                }
                Event::UnknownFault(fault) => {
                    batch.push(fault.park());
                    &counters.unknown
                }
                Event::Fork(child) => {
                    told = true;
                    let regions = table.as_ref().map_or(&[][..], |table| table.regions());
                    self.source.forked(child, regions);
                    &counters.forks
                }
                Event::Remap(remap) => {
                    told = true;
                    if let Some(table) = &mut table {
                        // There is room.
                        table.remap(remap)?;
                    }
                    // Who waited there has nothing to wait for any more.
                    let _ = self.uffd.wake(PageRange::new(remap.from, remap.len));
                    &counters.remaps
                }
                Event::Remove(range) => {
                    told = true;
                    if let Some(table) = &mut table {
                        table.discard(range)?;
                    }
                    &counters.removes
                }
                Event::Unmap(range) => {
                    told = true;
                    if let Some(table) = &mut table {
                        table.remove(range)?;
                    }
                    let _ = self.uffd.wake(range);
                    &counters.unmaps
                }
                _ => &counters.unknown,
            };
            add(counter, 1);
        }
        drop(table);
        if told {
            self.deferred.write().hurry(&[Why::Changing, Why::Stray]);
        }
        Ok(Some(true))
    }

    /// Attends to one fault, and puts it off if that is what is to be done.
    /// Says whether the process is gone.
    pub(super) fn attend(
        &self,
        hand: &mut Hand<'_>,
        deferred: Deferred,
    ) -> Result<bool, PagerError> {
        // This may take long, and who has nothing to do does not know when
        // what is put off is due.
        if self.handlers.load(Relaxed) > 1 && self.deferred.read().len() > 0 {
            self.nudge();
        }
        let fault = deferred.fault;
        let in_hand = InHand(&self.uffd, fault);
        let outcome = self.resolve(hand, &fault)?;
        let why = match outcome {
            Outcome::Done(_) => {
                mem::forget(in_hand);
                self.counters
                    .took(self.now().saturating_sub(deferred.since));
                return Ok(false);
            }
            Outcome::Gone => return Ok(true),
            Outcome::Again(why) => why,
            Outcome::Changed => Why::Changing,
            Outcome::Lost => Why::Failed,
        };
        let counter = match why {
            Why::Changing => Some(&self.counters.changing),
            Why::Later => Some(&self.counters.later),
            Why::Stray if deferred.is_new() => Some(&self.counters.stray),
            // Counted where it was found out.
            Why::Failed | Why::Stray => None,
        };
        if let Some(counter) = counter {
            add(counter, 1);
        }
        if why == Why::Stray && deferred.is_stuck(why) {
            // Perhaps nothing is there any more, and nobody told: touching it
            // again shows. If it is, the fault comes again.
            return Ok(false);
        }
        let mut queue = self.deferred.write();
        if queue.push(deferred.delayed(why, self.now())) {
            mem::forget(in_hand);
            let len = queue.len() as u64;
            self.counters.deferred_most.fetch_max(len, Relaxed);
        } else {
            drop(queue);
            add(&self.counters.overflowed, 1);
            // The fault comes again at once. So that this is no closed loop,
            // there is a pause.
            pause(100_000);
        }
        Ok(false)
    }

    fn resolve(&self, hand: &mut Hand<'_>, fault: &Parked) -> Result<Outcome, PagerError> {
        loop {
            let (region, changes) = {
                let table = self.table.read();
                self.check(hand, &table)?;
                (table.find(fault.address()), table.changes())
            };
            let reasons = fault.flags().difference(FaultFlags::WRITE);
            let reason = if reasons.is_empty() {
                Reason::Missing
            } else if reasons == FaultFlags::MINOR {
                Reason::Minor
            } else if reasons == FaultFlags::WP {
                Reason::WriteProtect
            } else if reasons == FaultFlags::RWP {
                Reason::Rwp
            } else {
                return Ok(Outcome::Again(Why::Stray));
            };
            let Some(region) = region else {
                // Its region may not be told yet, moved or new.
                return Ok(Outcome::Again(Why::Stray));
            };
            let page = fault.page(region.page_size());
            let job = Job {
                region,
                changes,
                block: self.options.block_around(&region, page, hand.staging.len()),
                page,
                reason,
                write: fault.is_write(),
            };
            let outcome = match reason {
                Reason::WriteProtect | Reason::Rwp => self.filler().unprotect(&job),
                _ => self.filler().fill(hand.staging, job),
            };
            match outcome {
                Outcome::Changed => {}
                outcome => return Ok(outcome),
            }
        }
    }

    pub(super) fn now(&self) -> u64 {
        now(&self.options.vdso)
    }

    pub(super) fn filler(&self) -> Filler<'_, 'a, S> {
        Filler {
            uffd: &self.uffd,
            source: self.source,
            counters: &self.counters,
            options: &self.options,
            table: Some(&self.table),
        }
    }

    /// Refuses what would make this handler wait for itself.
    pub(super) fn check(
        &self,
        hand: &mut Hand<'_>,
        table: &Shared<'_, RegionTable<'_>>,
    ) -> Result<(), PagerError> {
        if hand.checked == Some(table.changes()) {
            return Ok(());
        }
        let staging = PageRange::of_memory(hand.staging.as_ptr(), hand.staging.len());
        if self.uffd.is_local() && table.overlaps(staging) {
            return Err(PagerError::StagingServed);
        }
        if staging.len() < table.largest_page().max(self.options.page_size) {
            return Err(PagerError::StagingTooSmall);
        }
        hand.checked = Some(table.changes());
        Ok(())
    }
}
