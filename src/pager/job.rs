//! One block, from the source to its place.

use super::fill::{Content, Putter};
use super::lock::Lock;
use super::queue::Why;
use super::stats::{Counters, add};
use super::{
    At, Contents, Fill, OnFailure, PageSource, PagerOptions, Reason, Region, RegionFlags,
    RegionTable,
};
use crate::errno::Errno;
use crate::signal::{PidfdSignalFlags, Signal, pidfd_send_signal};
use crate::userfaultfd::{Features, PageRange, Stop, UnprotectFlags, Userfaultfd};

/// A block to be filled.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub region: Region,
    /// The state of the table that the region is from.
    pub changes: u64,
    pub block: PageRange,
    pub page: PageRange,
    pub reason: Reason,
    pub write: bool,
}

/// What became of a fault.
pub(super) enum Outcome {
    /// The thread has been woken. What was asked for is there up to this
    /// address.
    Done(usize),
    Again(Why),
    /// The table is another one now.
    Changed,
    /// There are no contents, and it is up to the caller what that means.
    Lost,
    Gone,
}

/// What all ways of serving share.
pub(super) struct Filler<'p, 'm, S: PageSource + ?Sized> {
    pub uffd: &'p Userfaultfd,
    pub source: &'p S,
    pub counters: &'p Counters,
    pub options: &'p PagerOptions<'m>,
    /// `None`: it does not change.
    pub table: Option<&'p Lock<RegionTable<'m>>>,
}

impl<S: PageSource + ?Sized> Filler<'_, '_, S> {
    /// Lifts the protection of a page.
    pub fn unprotect(&self, job: &Job) -> Outcome {
        self.source.unprotect(job.at(job.page));
        let lift = match job.reason {
            Reason::Rwp => Userfaultfd::rw_unprotect,
            _ => Userfaultfd::write_unprotect,
        };
        match lift(self.uffd, job.page, UnprotectFlags::empty()) {
            Ok(()) => Outcome::Done(job.page.end()),
            Err(Errno::EAGAIN | Errno::EINTR) => Outcome::Again(Why::Changing),
            Err(Errno::ESRCH) => Outcome::Gone,
            Err(_) => {
                // Not registered for that any more, or not mapped.
                let _ = self.uffd.wake(job.page);
                Outcome::Done(job.page.end())
            }
        }
    }

    /// Asks the source for a block, and puts it.
    pub fn fill(&self, staging: &mut [u8], job: Job) -> Outcome {
        if job.region.contents() == Contents::Zeros {
            return self.put_zeros(staging, &job);
        }
        let Some(into) = staging.get_mut(..job.block.len()) else {
            return self.failure(&job);
        };
        add(&self.counters.asked, 1);
        let fill = self.source.page(job.at(job.block), into);
        if job.reason == Reason::Minor {
            // COPY would not replace what the file has.
            match fill {
                Fill::Bytes | Fill::Slice(_) | Fill::Zero | Fill::Alias => {
                    return self.put(&job, Content::InFile);
                }
                _ => {}
            }
        }
        match fill {
            Fill::Bytes => {
                let bytes = staging.get(..job.block.len()).unwrap_or_default();
                self.put(&job, Content::Bytes(bytes))
            }
            Fill::Slice(bytes) => self.put(&job, Content::Bytes(bytes)),
            Fill::Zero => self.put_zeros(staging, &job),
            Fill::Alias => self.put(&job, Content::InFile),
            Fill::Later => Outcome::Again(Why::Later),
            Fill::Poison | Fill::Failed(_) if job.block.len() > job.page.len() => {
                // Is it this page, or another one of the block?
                let block = job.page;
                self.fill(staging, Job { block, ..job })
            }
            Fill::Poison if self.is_by_signal() => Outcome::Lost,
            Fill::Poison if self.uffd.features().contains(Features::POISON) => {
                self.put(&job, Content::Poison)
            }
            Fill::Poison | Fill::Failed(_) => self.failure(&job),
        }
    }

    fn put_zeros(&self, staging: &mut [u8], job: &Job) -> Outcome {
        let huge = job.region.page_size() != self.options.page_size;
        // Neither huge pages nor protected ones can be had of the kernel's
        // zeros; and where a page is protected that is not there yet, it
        // says that it is there, for ever.
        let protected = job.region.flags().contains(RegionFlags::WRITE_PROTECTED)
            || (self.uffd.features())
                .intersects(Features::WP_UNPOPULATED.union(Features::WP_ASYNC));
        if job.reason == Reason::Minor || !(huge || protected) {
            let content = match job.reason {
                Reason::Minor => Content::InFile,
                _ => Content::Zeros,
            };
            return self.put(job, content);
        }
        let Some(zeros) = staging.get_mut(..job.block.len()) else {
            return self.failure(job);
        };
        zeros.fill(0);
        self.put(job, Content::Bytes(zeros))
    }

    /// Puts the contents, if the table still says that they belong there.
    fn put(&self, job: &Job, content: Content<'_>) -> Outcome {
        // Held until it is filled: what happens to the region is read and
        // noted before, and then this is not done, or after.
        let table = self.table.map(Lock::read);
        if let Some(table) = &table
            && table.changes() != job.changes
            && !job.still_holds(table)
        {
            return Outcome::Changed;
        }
        let putter = Putter {
            uffd: self.uffd,
            counters: self.counters,
            page_size: job.region.page_size(),
            protected: job.region.flags().contains(RegionFlags::WRITE_PROTECTED),
        };
        let put = putter.put(job.block, job.page, content);
        drop(table);
        match put {
            Ok(reached) => {
                if let Some(recorder) = self.options.recorder
                    && job.reason != Reason::Prefetch
                {
                    recorder.note(job.at(job.block).offset, job.block.len());
                }
                Outcome::Done(reached)
            }
            Err(Stop::Changing | Stop::Interrupted) => Outcome::Again(Why::Changing),
            Err(Stop::Gone) => Outcome::Gone,
            Err(Stop::NoMemory | Stop::Busy) => {
                // Not the source's fault, and no reason to give the page up.
                add(&self.counters.failed, 1);
                Outcome::Again(Why::Failed)
            }
            Err(Stop::Unmapped) => {
                // Who waits has nothing to wait for: it is not mapped, or not
                // registered any more.
                let _ = self.uffd.wake(job.page);
                Outcome::Done(job.page.end())
            }
            Err(Stop::Source) if job.reason == Reason::Minor => {
                // The file has the page no more, which it had when it was
                // touched: the fault comes again, for a missing one.
                let _ = self.uffd.wake(job.page);
                Outcome::Done(job.page.end())
            }
            Err(_) if matches!(content, Content::Poison) => Outcome::Again(Why::Failed),
            Err(_) => self.failure(job),
        }
    }

    /// Whether a poisoned page would be another fault to be served.
    fn is_by_signal(&self) -> bool {
        self.uffd.features().contains(Features::SIGBUS)
    }

    /// The page cannot be had.
    fn failure(&self, job: &Job) -> Outcome {
        add(&self.counters.failed, 1);
        match self.options.on_failure {
            _ if job.reason == Reason::Prefetch => Outcome::Again(Why::Failed),
            OnFailure::Stall => Outcome::Again(Why::Failed),
            OnFailure::Poison if self.is_by_signal() => Outcome::Lost,
            OnFailure::Poison => {
                let block = job.page;
                self.put(&Job { block, ..*job }, Content::Poison)
            }
            OnFailure::Kill(pidfd) => {
                let flags = PidfdSignalFlags::empty();
                let _ = pidfd_send_signal(pidfd, Signal::SIGKILL, None, flags);
                Outcome::Again(Why::Failed)
            }
        }
    }
}

impl Job {
    pub fn at(&self, block: PageRange) -> At {
        let offset = |address| self.region.offset_of(address).unwrap_or_default();
        At {
            offset: offset(block.start()),
            wanted: offset(self.page.start()),
            address: block.start(),
            page_size: self.region.page_size(),
            reason: self.reason,
            write: self.write,
        }
    }

    /// Whether the block still is what it was when its contents were asked
    /// for.
    fn still_holds(&self, table: &RegionTable<'_>) -> bool {
        table.within(self.block).next().is_some_and(|now| {
            now.range() == self.block
                && Some(now.offset()) == self.region.offset_of(self.block.start())
                && now.contents() == self.region.contents()
                && now.page_size() == self.region.page_size()
        })
    }
}
