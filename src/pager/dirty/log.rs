//! A bit for each page, where the kernel keeps none.

use crate::errno::Errno;
use crate::event::{self, PollFd, PollFlags};
use crate::fd::AsFd;
use crate::pager::lock::Lock;
use crate::userfaultfd::{Event, PageRange, UnprotectFlags, Userfaultfd};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The pages that were written, as the thread says that lets them be written.
///
/// The lock makes "note it and let it be written" and "protect it again and
/// forget it" one step each: between the halves of either, a write would get
/// lost.
#[derive(Debug)]
pub(super) struct Log<'m> {
    page_size: usize,
    shift: u32,
    bits: &'m [AtomicU64],
    start: AtomicUsize,
    pages: AtomicUsize,
    lock: Lock<()>,
}

impl<'m> Log<'m> {
    pub(super) fn new(page_size: usize, bits: &'m [AtomicU64]) -> Self {
        Self {
            page_size,
            shift: page_size.trailing_zeros() % usize::BITS,
            bits,
            start: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            lock: Lock::new(()),
        }
    }

    /// Makes it the log of this range, unless it is of one already.
    pub(super) fn bind(&self, range: PageRange) -> Result<(), Errno> {
        let _held = self.lock.write();
        if self.pages.load(Ordering::Relaxed) != 0 {
            return Err(Errno::EBUSY);
        }
        let pages = range.len() >> self.shift;
        let askew = (range.start() | range.len()) & self.page_size.wrapping_sub(1);
        if !self.page_size.is_power_of_two() || pages == 0 || askew != 0 {
            return Err(Errno::EINVAL);
        }
        if pages.div_ceil(64) > self.bits.len() {
            return Err(Errno::ENOBUFS);
        }
        for word in self.bits {
            word.store(0, Ordering::Relaxed);
        }
        self.start.store(range.start(), Ordering::Relaxed);
        self.pages.store(pages, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn unbind(&self) {
        let _held = self.lock.write();
        self.pages.store(0, Ordering::Relaxed);
    }

    pub(super) fn page_size(&self) -> usize {
        self.page_size
    }

    pub(super) fn range(&self) -> PageRange {
        let pages = self.pages.load(Ordering::Relaxed);
        let start = self.start.load(Ordering::Relaxed);
        PageRange::new(start, pages << self.shift)
    }

    /// The numbers of the pages of `range` that are in the log: the first, and
    /// the one after the last.
    fn pages_of(&self, range: PageRange) -> (usize, usize) {
        let all = self.range();
        match all.intersection(range) {
            None => (0, 0),
            Some(part) => (
                part.start().wrapping_sub(all.start()) >> self.shift,
                part.end()
                    .wrapping_sub(all.start())
                    .wrapping_add(self.page_size - 1)
                    >> self.shift,
            ),
        }
    }

    fn set(&self, range: PageRange, to: bool) {
        let (first, end) = self.pages_of(range);
        for page in first..end {
            if let Some(word) = self.bits.get(page / 64) {
                let bit = 1 << (page % 64);
                let _ = match to {
                    true => word.fetch_or(bit, Ordering::Relaxed),
                    false => word.fetch_and(!bit, Ordering::Relaxed),
                };
            }
        }
    }

    /// The first page from `page` on whose bit is (not) set, or `end`.
    fn find(&self, mut page: usize, end: usize, set: bool) -> usize {
        while page < end {
            let word = self.bits.get(page / 64).map_or(0, |word| {
                let word = word.load(Ordering::Relaxed);
                if set { word } else { !word }
            });
            let rest = word >> (page % 64);
            if rest != 0 {
                return (page + rest.trailing_zeros() as usize).min(end);
            }
            page = (page / 64 + 1) * 64;
        }
        end
    }

    /// The first run of pages in `range` that were written: protected again and
    /// forgotten, in one step for who writes.
    pub(super) fn take(
        &self,
        uffd: &Userfaultfd,
        range: PageRange,
    ) -> Option<Result<PageRange, Errno>> {
        let _held = self.lock.write();
        let (from, end) = self.pages_of(range);
        let first = self.find(from, end, true);
        if first >= end {
            return None;
        }
        let after = self.find(first, end, false);
        let run = PageRange::new(
            self.range().start().wrapping_add(first * self.page_size),
            (after - first) * self.page_size,
        );
        if let Err(errno) = uffd.write_protect(run) {
            return Some(Err(errno));
        }
        self.set(run, false);
        Some(Ok(run))
    }

    /// Lets the threads write that wait for it, and notes where, until `stop`
    /// is readable.
    pub(super) fn serve<Fd: AsFd>(&self, uffd: &Userfaultfd, stop: Fd) -> Result<(), Errno> {
        loop {
            let mut fds = [
                PollFd::new(uffd, PollFlags::IN),
                PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
            ];
            match event::poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            let [faults, stop] = &fds;
            if !faults.revents().is_empty() {
                self.drain(uffd)?;
            }
            if !stop.revents().is_empty() {
                return Ok(());
            }
        }
    }

    fn drain(&self, uffd: &Userfaultfd) -> Result<(), Errno> {
        // Also while the thread that discards pages goes on, which it does
        // once its event is read.
        let _held = self.lock.write();
        loop {
            match uffd.read_event() {
                // A fault that cannot be resolved now (`Stop::Changing`) is
                // woken by its token, and comes again.
                Ok(Event::WriteProtect(fault)) => {
                    self.set(fault.page(self.page_size), true);
                    drop(fault.unprotect(self.page_size));
                }
                Ok(Event::Missing(fault)) => {
                    let page = fault.page(self.page_size);
                    self.set(page, true);
                    // The mark of a page that is protected before it is there
                    // (WP_UNPOPULATED) would be a page for UFFDIO_ZEROPAGE:
                    // EEXIST, and the same fault again, for ever.
                    let _ = uffd.write_unprotect(page, UnprotectFlags::DONTWAKE);
                    drop(fault.zero(self.page_size));
                }
                Ok(Event::Remove(range)) => self.set(range, true),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}
