//! The loop.

use super::job::{Filler, Job, Outcome};
use super::lock::{Lock, Shared};
use super::queue::{Deferred, Queue, Why};
use super::stats::{Counters, Stats, add};
use super::{
    Block, Ended, OnFailure, PageSource, PagerError, PagerOptions, Reason, Recorder, Region,
    RegionTable,
};
use crate::errno::Errno;
use crate::event::{self, EventFdFlags, PollFd, PollFlags};
use crate::fd::OwnedFd;
use crate::fs::{self, OFlags};
use crate::io;
use crate::thread::{CpuSet, sched_setaffinity};
use crate::time::{ClockId, Timespec, clock_gettime};
use crate::userfaultfd::{
    Event, EventBuffer, FaultFlags, Features, PageRange, Parked, Stop, Userfaultfd, ZeroFlags,
};
use core::fmt;
use core::mem::ManuallyDrop;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

/// How many messages a handler that is alone reads at once.
const BATCH: usize = 16;
/// How many pieces more one message can make of the table.
const PIECES: usize = 4;

/// Serves the faults of a userfaultfd from a [`PageSource`].
///
/// It owns no thread and no memory: whoever calls [`Self::serve`] is a handler,
/// as many as there are callers; the table of regions and the staging buffers
/// are the caller's.
///
/// **It keeps a duplicate of the descriptor until [`Self::shutdown`]**, so that
/// nobody reads zeros because handlers are gone: who touches a missing page
/// waits for the next one. Dropped without, the duplicate stays open, unowned,
/// until the process ends.
///
/// A handler that returns gives up all that it had read: those faults come
/// again, for another handler.
///
/// See the [module](super) for an example.
pub struct Pager<'a, S: PageSource + ?Sized> {
    uffd: ManuallyDrop<Userfaultfd>,
    source: &'a S,
    table: Lock<RegionTable<'a>>,
    deferred: Lock<Queue>,
    options: PagerOptions<'a>,
    /// Whether messages can change the table. Then they are read under its
    /// lock: the process goes on as soon as one has been read, and nothing may
    /// be filled between that moment and the change.
    events: bool,
    stop: OwnedFd,
    kick: OwnedFd,
    handlers: AtomicU32,
    counters: Counters,
}

/// What a handler brings along.
struct Hand<'b> {
    staging: &'b mut [u8],
    /// For which state of the table it was looked at.
    checked: Option<u64>,
}

/// Faults that were read and not yet attended to; what is left when it is
/// dropped is woken, and comes again.
struct Batch<'u> {
    uffd: &'u Userfaultfd,
    faults: [Option<Parked>; BATCH],
}

impl Batch<'_> {
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

fn wake(uffd: &Userfaultfd, fault: &Parked) {
    // It fails only when the process is gone.
    let _ = uffd.wake_at(fault.address());
}

/// Nanoseconds of a clock that does not jump.
fn now() -> u64 {
    let time = clock_gettime(ClockId::MONOTONIC).unwrap_or(Timespec::ZERO);
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// Sleeps so many nanoseconds, less than a second.
pub(super) fn pause(nanoseconds: i64) {
    let time = Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    let _ = event::poll(&mut [], Some(time));
}

/// # Setting up
impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Makes a pager for the regions of `table`, which are registered already
    /// or will be: `fcntl` (`F_GETFL`, `F_DUPFD_CLOEXEC`) and two `eventfd2`.
    ///
    /// # Errors
    ///
    /// See [`PagerError`]; `EMFILE`: too many descriptors.
    pub fn new(
        uffd: &Userfaultfd,
        source: &'a S,
        table: RegionTable<'a>,
        options: PagerOptions<'a>,
    ) -> Result<Self, PagerError> {
        if !options.are_valid() {
            return Err(PagerError::Block);
        }
        let features = uffd.features();
        if features.contains(Features::SIGBUS) {
            return Err(PagerError::Features);
        }
        if matches!(options.on_failure, OnFailure::Poison) && !features.contains(Features::POISON) {
            return Err(PagerError::NoPoison);
        }
        if !fs::fcntl_getfl(uffd)?.contains(OFlags::NONBLOCK) {
            return Err(PagerError::Blocking);
        }
        for region in table.regions() {
            refuse_own_memory(uffd, source, region.range())?;
        }
        let told = Features::EVENT_FORK
            | Features::EVENT_REMAP
            | Features::EVENT_REMOVE
            | Features::EVENT_UNMAP;
        let flags = EventFdFlags::CLOEXEC | EventFdFlags::NONBLOCK;
        let (stop, kick) = (event::eventfd(0, flags)?, event::eventfd(0, flags)?);
        Ok(Self {
            uffd: ManuallyDrop::new(uffd.try_clone()?),
            source,
            table: Lock::new(table),
            deferred: Lock::new(Queue::new()),
            options,
            events: features.intersects(told),
            stop,
            kick,
            handlers: AtomicU32::new(0),
            counters: Counters::new(),
        })
    }

    /// The descriptor, of which this is a duplicate.
    pub fn userfaultfd(&self) -> &Userfaultfd {
        &self.uffd
    }

    /// The source.
    pub const fn source(&self) -> &'a S {
        self.source
    }

    /// What has been done until now.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Adds a region; who waits in it is served soon.
    ///
    /// With `EVENT_*`, this waits while the process is changing its mappings,
    /// which ends when a handler has read that: a message that is still on its
    /// way could mean the addresses of the new region. Not to be called by a
    /// handler. (Before Linux 5.15, the kernel does not tell two changes at one
    /// time apart.)
    ///
    /// # Errors
    ///
    /// [`PagerError::Table`], [`PagerError::SourceServed`].
    pub fn add(&self, region: Region) -> Result<(), PagerError> {
        refuse_own_memory(&self.uffd, self.source, region.range())?;
        loop {
            let mut table = self.table.write();
            // Nothing is read meanwhile. A request that would do nothing says
            // whether there is something to be read.
            let nothing = PageRange::new(0, 0);
            let probe = self.uffd.zero_once(nothing, ZeroFlags::empty());
            if self.events && probe.stop == Some(Stop::Changing) {
                drop(table);
                pause(50_000);
                continue;
            }
            table.insert(region)?;
            break;
        }
        self.deferred.write().hurry(&[Why::Stray]);
        self.kick();
        Ok(())
    }

    /// Takes the regions in `range` out. Who touches what is missing there,
    /// waits; the registration is as it was.
    ///
    /// # Errors
    ///
    /// [`PagerError::Table`]: no room for the pieces that are left.
    pub fn remove(&self, range: PageRange) -> Result<(), PagerError> {
        Ok(self.table.write().remove(range)?)
    }

    /// Looks at the regions as they are now, while nothing is filled and no
    /// message is read: be quick, and do not touch what is served.
    pub fn with_regions<T>(&self, look: impl FnOnce(&[Region]) -> T) -> T {
        look(self.table.write().regions())
    }

    /// Gives the table more room: copies it there, and gives the former room
    /// back.
    ///
    /// # Errors
    ///
    /// The room itself, when it is not more than there was.
    pub fn grow_table(&self, room: &'a mut [Region]) -> Result<&'a mut [Region], &'a mut [Region]> {
        self.table.write().grow(room)
    }

    /// `UFFDIO_WAKE` of every region: who waits there, faults again.
    ///
    /// For a handler that takes over from one that died: the messages that the
    /// dead one had read come again.
    ///
    /// # Errors
    ///
    /// `EINVAL`: a region is not whole pages of the machine.
    pub fn wake_regions(&self) -> Result<(), Errno> {
        for region in self.table.read().regions() {
            self.uffd.wake(region.range())?;
        }
        Ok(())
    }

    /// Makes all handlers return, now and in future, until [`Self::resume`].
    ///
    /// A handler that is inside its source returns when the source does.
    pub fn stop(&self) {
        // It fails only when it is full, and then it is set.
        let _ = io::write(&self.stop, &1_u64.to_ne_bytes());
    }

    /// After [`Self::stop`]: serving is possible again.
    pub fn resume(&self) {
        let _ = io::read(&self.stop, &mut [0; 8]);
    }

    /// Has every fault that was put off tried again at once: the source has
    /// what it had not, or works again.
    pub fn kick(&self) {
        let _ = io::write(&self.kick, &1_u64.to_ne_bytes());
    }

    /// Ends it, and gives the descriptor that it kept. Closed, it may be the
    /// last one, and then **who waits for a page reads zeros**.
    pub fn into_userfaultfd(self) -> Userfaultfd {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so each is taken once.
        unsafe {
            core::ptr::drop_in_place(&raw mut this.stop);
            core::ptr::drop_in_place(&raw mut this.kick);
            ManuallyDrop::take(&mut this.uffd)
        }
    }

    /// Ends it, and closes the descriptor that it kept.
    ///
    /// If that is the last one, **who waits for a page reads zeros**, and so
    /// does who comes later: unmap, or fill everything, first. (A
    /// [`MappedRegion`](crate::userfaultfd::MappedRegion) has a descriptor of
    /// its own and unmaps before it closes.)
    pub fn shutdown(self) {
        drop(self.into_userfaultfd());
    }
}

/// # Serving
impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Makes the calling thread a handler, until [`Self::stop`], or until the
    /// process whose memory it is has ended: repeats `ppoll`, `read` and what
    /// fills.
    ///
    /// The descriptor does not tell of that end; it is noticed by a fill, or at
    /// once with a [pidfd](PagerOptions::process).
    ///
    /// `staging` is where the source writes: as long as a block, and not in
    /// memory that is served. Several threads may do this at the same time,
    /// each with a buffer of its own. The thread needs 4 KiB of stack besides
    /// what the source needs, and takes no signal as a reason to end.
    ///
    /// # Errors
    ///
    /// See [`PagerError`]. The faults that it had come again, to another
    /// handler, or when this is called again.
    pub fn serve(&self, staging: &mut [u8]) -> Result<Ended, PagerError> {
        self.run(staging, Mode::UntilStopped)
    }

    /// `sched_setaffinity` of the calling thread, and [`Self::serve`].
    ///
    /// On the processor of the thread that faults, a handler is fastest: in a
    /// virtual machine, waking another processor can cost ten times the fault.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no such processor, or not for this process; else as
    /// [`Self::serve`].
    pub fn serve_on(&self, cpu: usize, staging: &mut [u8]) -> Result<Ended, PagerError> {
        let mut set = CpuSet::<16>::default();
        if !set.insert(cpu) {
            return Err(PagerError::Os(Errno::EINVAL));
        }
        sched_setaffinity(None, &set)?;
        self.serve(staging)
    }

    /// Serves what waits now, and what comes meanwhile, until there is nothing
    /// more or the time is over; whether stopped or not.
    ///
    /// For the end: after [`Self::stop`] and all handlers' return, who waited
    /// for a page then has it.
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    pub fn drain(
        &self,
        staging: &mut [u8],
        limit: core::time::Duration,
    ) -> Result<Ended, PagerError> {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.run(staging, Mode::Drain(now().saturating_add(limit)))
    }

    fn run(&self, staging: &mut [u8], mode: Mode) -> Result<Ended, PagerError> {
        let _present = Present::new(self);
        let mut hand = Hand {
            staging,
            checked: None,
        };
        self.check(&mut hand, &self.table.read())?;
        let mut one = EventBuffer::<1>::new();
        let mut many = EventBuffer::<BATCH>::new();
        loop {
            let wait = self.wait(mode)?;
            if wait.stop {
                return Ok(Ended::Stopped);
            }
            if wait.gone {
                return Ok(Ended::Gone);
            }
            if wait.kick {
                let _ = io::read(&self.kick, &mut [0; 8]);
                self.deferred
                    .write()
                    .hurry(&[Why::Later, Why::Failed, Why::Stray]);
            }
            let mut read = false;
            if wait.message {
                let mut batch = Batch {
                    uffd: &self.uffd,
                    faults: [None; BATCH],
                };
                // What one handler has read, no other one can serve.
                let alone = self.handlers.load(Relaxed) == 1;
                let took = match alone {
                    true => self.take(&mut many, &mut batch)?,
                    false => None,
                };
                read = match took {
                    Some(read) => read,
                    None => self
                        .take(&mut one, &mut batch)?
                        .ok_or(PagerError::TableFull)?,
                };
                let since = if read { now() } else { 0 };
                while let Some(fault) = batch.faults.iter_mut().find_map(Option::take) {
                    if self.attend(&mut hand, Deferred::new(fault, since))? {
                        return Ok(Ended::Gone);
                    }
                }
            }
            if wait.due {
                let time = now();
                while let Some(deferred) = self.pop_due(time) {
                    if self.attend(&mut hand, deferred)? {
                        return Ok(Ended::Gone);
                    }
                }
            }
            if let Mode::Drain(limit) = mode {
                if !read && self.deferred.write().len() == 0 {
                    return Ok(Ended::Drained);
                }
                if now() >= limit {
                    return Ok(Ended::TimedOut);
                }
            }
        }
    }

    fn pop_due(&self, time: u64) -> Option<Deferred> {
        self.deferred.write().pop_due(time)
    }

    /// Waits for something to do.
    fn wait(&self, mode: Mode) -> Result<Wait, PagerError> {
        let next = self.deferred.write().next_due();
        let time = next.map_or(0, |_| now());
        let mut left = next.map(|due| due.saturating_sub(time));
        let mut stop = PollFd::new(&self.stop, PollFlags::IN);
        if let Mode::Drain(_) = mode {
            stop = PollFd::ignored();
            left = Some(left.unwrap_or(0));
        }
        let uffd: &Userfaultfd = &self.uffd;
        let process = self.options.process.map_or(PollFd::ignored(), |pidfd| {
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN)
        });
        let mut fds = [
            PollFd::new(uffd, PollFlags::IN),
            PollFd::new(&self.kick, PollFlags::IN),
            stop,
            process,
        ];
        let left = left.map(|left| Timespec {
            tv_sec: (left / 1_000_000_000) as i64,
            tv_nsec: (left % 1_000_000_000) as i64,
        });
        match event::poll(&mut fds, left) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Wait::default()),
            Err(errno) => return Err(errno.into()),
        }
        let [uffd, kick, stop, process] = fds.map(|fd| fd.revents());
        if uffd.contains(PollFlags::ERR) {
            return Err(PagerError::Blocking);
        }
        Ok(Wait {
            message: uffd.contains(PollFlags::IN),
            kick: kick.contains(PollFlags::IN),
            stop: stop.contains(PollFlags::IN),
            gone: process.contains(PollFlags::IN),
            due: next.is_some(),
        })
    }

    /// Reads messages: does at once what is told, and puts the faults into
    /// `batch`. Says whether there was a message; `None`: there may be no room
    /// in the table for so many.
    fn take<const N: usize>(
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
    fn attend(&self, hand: &mut Hand<'_>, deferred: Deferred) -> Result<bool, PagerError> {
        let fault = deferred.fault;
        let in_hand = InHand(&self.uffd, fault);
        let outcome = self.resolve(hand, &fault)?;
        let why = match outcome {
            Outcome::Done => {
                core::mem::forget(in_hand);
                self.counters.took(now().saturating_sub(deferred.since));
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
        if queue.push(deferred.delayed(why, now())) {
            core::mem::forget(in_hand);
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

    fn filler(&self) -> Filler<'_, 'a, S> {
        Filler {
            uffd: &self.uffd,
            source: self.source,
            counters: &self.counters,
            options: &self.options,
            table: Some(&self.table),
        }
    }

    /// Refuses what would make this handler wait for itself.
    fn check(
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

/// # Filling ahead
impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Fills what is missing of the regions in `range`, block by block, in the
    /// calling thread, beside the handlers; until the end or [`Self::stop`].
    /// Gives how many bytes of regions it went through.
    ///
    /// What the source does not give now is passed over: it is for a fault to
    /// insist. While the process is changing its mappings, this waits until a
    /// handler has read that.
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    pub fn prefetch(&self, range: PageRange, staging: &mut [u8]) -> Result<usize, PagerError> {
        let mut hand = Hand {
            staging,
            checked: None,
        };
        let mut at = range.start();
        let mut done = 0_usize;
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
            let block = self.options.block_around(&region, page, hand.staging.len());
            let block = block.after(page.start().saturating_sub(block.start()));
            let job = Job {
                region,
                changes,
                block,
                page,
                reason: Reason::Prefetch,
                write: false,
            };
            match self.filler().fill(hand.staging, job) {
                Outcome::Done => add(&self.counters.prefetched, 1),
                Outcome::Changed => continue,
                Outcome::Again(Why::Changing) => {
                    // Somebody has to read the event; it is not this thread.
                    pause(50_000);
                    continue;
                }
                Outcome::Again(_) | Outcome::Lost => {}
                Outcome::Gone => break,
            }
            done = done.saturating_add(block.len());
            at = block.end();
        }
        Ok(done)
    }

    /// Fills the blocks that a [`Recorder`] noted, in that order, in the
    /// calling thread: as [`Self::prefetch`], for what will be needed.
    ///
    /// They are found by their offsets in the source, so that the memory may be
    /// elsewhere than it was. Gives how many bytes of regions it went through.
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    pub fn replay(
        &self,
        record: impl IntoIterator<Item = Block>,
        staging: &mut [u8],
    ) -> Result<usize, PagerError> {
        let mut done = 0_usize;
        for block in record {
            let range = {
                let table = self.table.read();
                let place = table.regions().iter().find_map(|region| {
                    let distance = block.offset.checked_sub(region.offset())?;
                    let distance = usize::try_from(distance).ok()?;
                    let start = region.range().start().checked_add(distance)?;
                    region.range().contains(start).then_some(start)
                });
                place.map(|start| PageRange::new(start, block.len as usize))
            };
            if let Some(range) = range {
                done = done.saturating_add(self.prefetch(range, staging)?);
            }
        }
        Ok(done)
    }

    fn is_stopped(&self) -> Result<bool, Errno> {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN)];
        match event::poll(&mut fds, Some(Timespec::ZERO)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// The recorder that it was made with.
    pub const fn recorder(&self) -> Option<&Recorder<'_>> {
        self.options.recorder
    }
}

#[derive(Clone, Copy)]
enum Mode {
    UntilStopped,
    /// Until that time at most.
    Drain(u64),
}

/// What there is to do.
#[derive(Default)]
struct Wait {
    message: bool,
    kick: bool,
    stop: bool,
    gone: bool,
    due: bool,
}

/// Counts a handler as long as it runs. The last one lets go of what was put
/// off: those faults come again, to who serves next.
struct Present<'p, 'a, S: PageSource + ?Sized>(&'p Pager<'a, S>);

impl<'p, 'a, S: PageSource + ?Sized> Present<'p, 'a, S> {
    fn new(pager: &'p Pager<'a, S>) -> Self {
        pager.handlers.fetch_add(1, AcqRel);
        Self(pager)
    }
}

impl<S: PageSource + ?Sized> Drop for Present<'_, '_, S> {
    fn drop(&mut self) {
        let pager = self.0;
        if pager.handlers.fetch_sub(1, AcqRel) == 1 {
            let mut queue = pager.deferred.write();
            while let Some(deferred) = queue.pop() {
                wake(&pager.uffd, &deferred.fault);
            }
        }
    }
}

fn refuse_own_memory<S: PageSource + ?Sized>(
    uffd: &Userfaultfd,
    source: &S,
    region: PageRange,
) -> Result<(), PagerError> {
    if let Some(memory) = source.memory()
        && uffd.is_local()
    {
        let memory = PageRange::of_memory(memory.as_ptr(), memory.len());
        if memory.intersection(region).is_some() {
            return Err(PagerError::SourceServed);
        }
    }
    Ok(())
}

impl<S: PageSource + ?Sized> fmt::Debug for Pager<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("userfaultfd", &*self.uffd)
            .field("options", &self.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
