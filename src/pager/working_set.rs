//! Which pages were touched.

use super::TrackerError;
use super::lock::Lock;
use crate::errno::Errno;
use crate::pagemap::{Categories, PageRegion, Pagemap, Scan};
use crate::userfaultfd::{
    Access, Features, MappedRegion, PageRange, RegisterModes, UnprotectFlags, Userfaultfd,
    UserfaultfdOptions,
};
use core::sync::atomic::{AtomicBool, Ordering};

const ASYNC: Features = Features::RWP_ASYNC;
const NONE: Features = Features::empty();

/// Which pages of this process's memory were touched, read or written, since
/// they were last asked about (since Linux 7.3).
///
/// As [`DirtyTracker`](super::DirtyTracker), for reading too: [`Self::start`],
/// then [`Self::collect`] as often as wanted, and no touch is lost. The pages
/// that are *not* told were not touched, or are not there: a page can leave
/// without being touched (swapped out, discarded).
///
/// [`Self::freeze`] stops the threads that touch anything but what was touched
/// already: the working set as it is.
///
/// ```
/// use barecall::pagemap::PageRegion;
/// use barecall::pager::WorkingSet;
/// use barecall::userfaultfd::Access;
/// # use barecall::userfaultfd::{supported, Features};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !supported()?.features.contains(Features::RWP_ASYNC) { return Ok(()); }
/// let set = WorkingSet::open(Access::UserMode)?;
/// let memory = set.anonymous(1 << 20)?;
/// let mut room = [PageRegion::EMPTY; 64];
/// memory.write_at(&[1; 1 << 20], 0);
/// set.collect(memory.range(), &mut room)?;
///
/// memory.read_at(&mut [0; 4], 5 << 16);
/// let touched = set.collect(memory.range(), &mut room)?;
/// assert_eq!(touched.ranges().count(), 1);
/// assert!(touched.rest().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WorkingSet {
    uffd: Userfaultfd,
    pagemap: Pagemap,
    frozen: AtomicBool,
    lock: Lock<()>,
}

/// What one [`WorkingSet::collect`] has found.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'r> {
    regions: &'r [PageRegion],
    rest: PageRange,
}

impl<'r> Touched<'r> {
    /// The pages, as ranges in ascending order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = PageRange> + 'r {
        self.regions.iter().map(PageRegion::range)
    }

    /// What was not looked at because the room was full; empty when all was.
    pub const fn rest(&self) -> PageRange {
        self.rest
    }
}

impl WorkingSet {
    /// [`UserfaultfdOptions::open_any`] with `RWP_ASYNC`, and
    /// `openat("/proc/self/pagemap")`.
    ///
    /// With [`Access::UserMode`], a system call that touches this memory (`read`
    /// into it, say) while it is frozen, also for the moment of a collection,
    /// says `EFAULT`; with [`Access::Kernel`] it waits.
    ///
    /// # Errors
    ///
    /// [`TrackerError`]; [`OpenError::Missing`] of `RWP` and `RWP_ASYNC` before
    /// Linux 7.3.
    ///
    /// [`OpenError::Missing`]: crate::userfaultfd::OpenError::Missing
    pub fn open(access: Access) -> Result<Self, TrackerError> {
        let options = UserfaultfdOptions::new()
            .require(Features::RWP | Features::RWP_ASYNC)
            .access(access);
        let uffd = options.open_any()?.userfaultfd;
        let pagemap = Pagemap::open_self().map_err(TrackerError::Pagemap)?;
        Ok(Self {
            uffd,
            pagemap,
            frozen: AtomicBool::new(false),
            lock: Lock::new(()),
        })
    }

    /// `UFFDIO_REGISTER`, then `UFFDIO_RWPROTECT`: from now on, touches of
    /// `range` count. Contents do not change.
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::register`] and [`Userfaultfd::rw_protect`].
    ///
    /// # Safety
    ///
    /// As for [`Userfaultfd::register`]: until a page has been looked at,
    /// nothing relies on what it contains, since any userfaultfd of the process
    /// may now fill it. While it is frozen, a touch waits. ([`Self::anonymous`]
    /// is safe.)
    pub unsafe fn start(&self, range: PageRange) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        unsafe { self.uffd.register(range, RegisterModes::RWP) }?;
        self.uffd.rw_protect(range)
    }

    /// `mmap` of `len` bytes of anonymous memory, `F_DUPFD_CLOEXEC`, and
    /// `UFFDIO_REGISTER`: memory whose touches count from its beginning.
    ///
    /// # Errors
    ///
    /// As [`MappedRegion::anonymous`].
    pub fn anonymous(&self, len: usize) -> Result<MappedRegion, Errno> {
        MappedRegion::anonymous(&self.uffd, len, RegisterModes::RWP)
    }

    /// `UFFDIO_UNREGISTER`, then `UFFDIO_WAKE`: touches of `range` do not count
    /// any more, and cost nothing.
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::unregister`].
    pub fn stop(&self, range: PageRange) -> Result<(), Errno> {
        self.uffd.unregister(range)
    }

    /// The pages of `range` that were touched, as far as there is room for
    /// them; each counts again from now on. For the rest, again, with
    /// [`Touched::rest`].
    ///
    /// Makes `UFFDIO_SET_MODE`, `PAGEMAP_SCAN`, `UFFDIO_RWPROTECT` for each
    /// range that was found, and `UFFDIO_SET_MODE`: threads that touch anything
    /// new meanwhile wait for the last of these, so that nothing is lost in
    /// between. `room` is therefore not in memory that is tracked.
    ///
    /// # Errors
    ///
    /// `EINVAL`: no room, or the start is no page's. `ENOENT`: some of it is not
    /// tracked any more. `ENOMEM`. What was found then counts as touched.
    pub fn collect<'r>(
        &self,
        range: PageRange,
        room: &'r mut [PageRegion],
    ) -> Result<Touched<'r>, Errno> {
        if room.is_empty() {
            return Err(Errno::EINVAL);
        }
        let _held = self.lock.write();
        let frozen = self.frozen.load(Ordering::Relaxed);
        if !frozen {
            self.uffd.set_mode(NONE, ASYNC)?;
        }
        let found = self.scan_and_protect(range, room);
        if !frozen {
            self.uffd.set_mode(ASYNC, NONE)?;
        }
        let (count, reached) = found?;
        let regions: &[PageRegion] = room;
        Ok(Touched {
            regions: regions.get(..count).unwrap_or_default(),
            rest: range.after(reached.saturating_sub(range.start())),
        })
    }

    fn scan_and_protect(
        &self,
        range: PageRange,
        room: &mut [PageRegion],
    ) -> Result<(usize, usize), Errno> {
        let scan = Scan::new(range).all_of(Categories::ACCESSED);
        let scanned = self.pagemap.scan_once(&scan, room, 0)?;
        let found = room.get(..scanned.regions).unwrap_or_default();
        // Not all of the range: a page that comes into being now was not found,
        // and shall be the next time.
        for region in found {
            if let Err(errno) = self.uffd.rw_protect(region.range()) {
                for region in found {
                    let flags = UnprotectFlags::empty();
                    let _ = self.uffd.rw_unprotect(region.range(), flags);
                }
                return Err(errno);
            }
        }
        Ok((scanned.regions, scanned.walk_end))
    }

    /// `UFFDIO_SET_MODE` without `RWP_ASYNC`: a thread that touches a page which
    /// was not touched before waits until [`Self::thaw`].
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::set_mode`].
    ///
    /// ```
    /// use barecall::pagemap::PageRegion;
    /// use barecall::pager::WorkingSet;
    /// use barecall::userfaultfd::Access;
    /// # use barecall::userfaultfd::{supported, Features};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !supported()?.features.contains(Features::RWP_ASYNC) { return Ok(()); }
    /// let set = WorkingSet::open(Access::UserMode)?;
    /// let memory = set.anonymous(1 << 20)?;
    /// let mut room = [PageRegion::EMPTY; 64];
    /// memory.write_at(&[1; 1 << 20], 0);
    /// set.collect(memory.range(), &mut room)?;
    ///
    /// memory.read_at(&mut [0; 4], 5 << 16);
    /// set.freeze()?;
    /// // In the set, so this does not wait. Everything else would, until the thaw.
    /// memory.read_at(&mut [0; 4], 5 << 16);
    /// let touched = set.collect(memory.range(), &mut room)?;
    /// assert_eq!(touched.ranges().count(), 1);
    /// set.thaw()?;
    /// memory.read_at(&mut [0; 4], 6 << 16);
    /// # Ok(())
    /// # }
    /// ```
    pub fn freeze(&self) -> Result<(), Errno> {
        let _held = self.lock.write();
        self.uffd.set_mode(NONE, ASYNC)?;
        self.frozen.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// `UFFDIO_SET_MODE` with `RWP_ASYNC`: who waits goes on, and touches count.
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::set_mode`].
    ///
    /// See [`Self::freeze`] for an example.
    pub fn thaw(&self) -> Result<(), Errno> {
        let _held = self.lock.write();
        self.uffd.set_mode(ASYNC, NONE)?;
        self.frozen.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The descriptor, which while frozen has a message
    /// ([`Event::Rwp`](crate::userfaultfd::Event::Rwp)) for every touch of what
    /// is not in the set.
    pub const fn userfaultfd(&self) -> &Userfaultfd {
        &self.uffd
    }
}
