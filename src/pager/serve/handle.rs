//! The loop: waits for something to do, and has it done.

use super::Pager;
use super::faults::{BATCH, Batch, Hand, wake};
use crate::errno::Errno;
use crate::event::{self, PollFd, PollFlags};
use crate::pager::queue::{Deferred, Why};
use crate::pager::{Ended, PageSource, PagerError};
use crate::thread::{CpuSet, sched_setaffinity};
use crate::time::Timespec;
use crate::userfaultfd::{EventBuffer, Userfaultfd};
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::time::Duration;

/// # Serving
impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Makes the calling thread a handler, until [`Self::stop`], or until the
    /// process whose memory it is has ended: repeats `ppoll`, `read` and what
    /// fills.
    ///
    /// The descriptor does not tell of that end; it is noticed by a fill, or at
    /// once with a [pidfd](crate::pager::PagerOptions::process).
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
    ///
    /// ```
    /// use barecall::pager::{Ended, Pager, PagerOptions, Region, RegionTable, SliceSource};
    /// use barecall::thread::getcpu;
    /// use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let snapshot = vec![7; 1 << 20];
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let source = SliceSource(&snapshot);
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
    ///
    /// // The handler goes where the thread is that touches the memory.
    /// let (cpu, _node) = getcpu()?;
    /// std::thread::scope(|scope| {
    ///     let handler = scope.spawn(|| pager.serve_on(cpu as usize, &mut vec![0; 64 << 10]));
    ///     let mut byte = [0];
    ///     memory.read_at(&mut byte, 500_000);
    ///     assert_eq!(byte, [7]);
    ///     pager.stop();
    ///     assert_eq!(handler.join().unwrap(), Ok(Ended::Stopped));
    /// });
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
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
    /// for a page then has it. (Those who waited for what their handler could
    /// not even [put off](crate::pager::Stats::overflowed) may come later.)
    ///
    /// # Errors
    ///
    /// As [`Self::serve`].
    ///
    /// ```
    /// use barecall::pager::{Ended, Pager, PagerOptions, Region, RegionTable, SliceSource};
    /// use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::thread;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let snapshot = vec![7; 1 << 20];
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let source = SliceSource(&snapshot);
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
    /// let mut staging = vec![0; 64 << 10];
    ///
    /// pager.stop();
    /// assert_eq!(pager.serve(&mut staging)?, Ended::Stopped);
    /// thread::scope(|scope| {
    ///     // Nobody serves any more, so this waits.
    ///     let reader = scope.spawn(|| memory.read_at(&mut [0], 0));
    ///     while uffd.waiting_from_fdinfo()?.unread == 0 {
    ///         thread::yield_now();
    ///     }
    ///     assert_eq!(pager.drain(&mut staging, Duration::from_secs(60))?, Ended::Drained);
    ///     assert_eq!(reader.join().unwrap(), 1);
    ///
    ///     // Or all over again.
    ///     pager.resume();
    ///     scope.spawn(|| pager.serve(&mut staging));
    ///     memory.read_at(&mut [0], 500_000);
    ///     pager.stop();
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })?;
    /// assert_eq!(pager.stats().faults(), 2);
    ///
    /// // Nobody touches it any more, and then nobody reads zeros.
    /// drop(memory);
    /// drop(pager.into_userfaultfd());
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&self, staging: &mut [u8], limit: Duration) -> Result<Ended, PagerError> {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.run(staging, Mode::Drain(self.now().saturating_add(limit)))
    }

    fn run(&self, staging: &mut [u8], mode: Mode) -> Result<Ended, PagerError> {
        let _present = Present::new(self);
        let mut hand = Hand::new(staging);
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
            if wait.kick && self.was_kicked() {
                self.deferred
                    .write()
                    .hurry(&[Why::Later, Why::Failed, Why::Stray]);
            }
            let mut read = false;
            if wait.message {
                let mut batch = Batch::new(&self.uffd);
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
                let since = if read { self.now() } else { 0 };
                while let Some(fault) = batch.pop() {
                    if self.attend(&mut hand, Deferred::new(fault, since))? {
                        return Ok(Ended::Gone);
                    }
                    if !batch.is_empty() && self.is_over(mode)? {
                        self.put_off(&mut batch, since);
                    }
                }
            }
            if wait.due {
                let time = self.now();
                while let Some(deferred) = self.pop_due(time) {
                    if self.attend(&mut hand, deferred)? {
                        return Ok(Ended::Gone);
                    }
                    if self.is_over(mode)? {
                        break;
                    }
                }
            }
            if let Mode::Drain(limit) = mode {
                if !read && self.deferred.write().len() == 0 {
                    return Ok(Ended::Drained);
                }
                if self.now() >= limit {
                    return Ok(Ended::TimedOut);
                }
            }
        }
    }

    /// Whether it is time to return.
    fn is_over(&self, mode: Mode) -> Result<bool, PagerError> {
        match mode {
            Mode::UntilStopped => Ok(self.is_stopped()?),
            Mode::Drain(limit) => Ok(self.now() >= limit),
        }
    }

    /// Leaves what was read to whoever comes next.
    fn put_off(&self, batch: &mut Batch<'_>, since: u64) {
        let mut queue = self.deferred.write();
        while let Some(fault) = batch.pop() {
            if !queue.push(Deferred::new(fault, since)) {
                wake(&self.uffd, &fault);
            }
        }
    }

    fn pop_due(&self, time: u64) -> Option<Deferred> {
        self.deferred.write().pop_due(time)
    }

    /// Waits for something to do.
    fn wait(&self, mode: Mode) -> Result<Wait, PagerError> {
        let next = self.deferred.write().next_due();
        let time = next.map_or(0, |_| self.now());
        let mut left = next.map(|due| due.saturating_sub(time));
        let mut stop = PollFd::new(&self.stop, PollFlags::IN);
        if let Mode::Drain(limit) = mode {
            stop = PollFd::ignored();
            left = Some(left.map_or(0, |left| left.min(limit.saturating_sub(time))));
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
        let left = left.map(|left| Timespec::from_duration(Duration::from_nanos(left)));
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
/// off: those faults come again, to whoever serves next, here or elsewhere. When
/// they do, nobody knows, so who serves next here need not wait for that.
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
            queue.give_up(|fault| wake(&pager.uffd, fault));
        }
    }
}
