//! Which pages were written.

mod log;

use crate::errno::Errno;
use crate::fd::AsFd;
use crate::pagemap::{Categories, PageRegion, Pagemap, Scan, ScanFlags};
use crate::userfaultfd::{
    Access, Features, Ioctls, MappedRegion, OpenError, PageRange, RegisterModes, UnprotectFlags,
    Userfaultfd, UserfaultfdOptions,
};
use core::fmt;
use core::iter::FusedIterator;
use core::sync::atomic::AtomicU64;
use log::Log;

/// How writes are found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// `WP_ASYNC` and `PAGEMAP_SCAN`: by the kernel alone (since Linux 6.7, on
    /// aarch64 6.10).
    Async,
    /// By a thread that is told of every first write, and lets it happen
    /// ([`DirtyTracker::serve`]); eight times as expensive, and much more when
    /// that thread is on another processor.
    Synchronous,
}

/// Why there is no tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackerError {
    /// No userfaultfd that can do it: [`OpenError::Missing`] of
    /// [`Features::WP_ASYNC`] before Linux 6.7, on aarch64 before 6.10; before
    /// 5.11, [`OpenError::Open`] with `EINVAL` and `ENOENT`.
    Userfaultfd(OpenError),
    /// No `/proc/self/pagemap`.
    Pagemap(Errno),
}

impl TrackerError {
    /// One error for it.
    pub fn errno(self) -> Errno {
        match self {
            Self::Userfaultfd(error) => error.errno(),
            Self::Pagemap(errno) => errno,
        }
    }
}

impl From<TrackerError> for Errno {
    #[inline]
    fn from(error: TrackerError) -> Self {
        error.errno()
    }
}

impl From<OpenError> for TrackerError {
    #[inline]
    fn from(error: OpenError) -> Self {
        Self::Userfaultfd(error)
    }
}

impl fmt::Display for TrackerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Userfaultfd(error) => fmt::Display::fmt(error, f),
            Self::Pagemap(errno) => write!(f, "/proc/self/pagemap: {errno}"),
        }
    }
}

impl core::error::Error for TrackerError {}

crate::errno::std_error!(TrackerError);

/// Which pages of this process's memory were written, since they were last
/// asked about.
///
/// [`Self::start`], then [`Self::collect`] as often as wanted: each gives the
/// pages that were written since the one before, and from that moment on they
/// count again. **No write is lost**, whoever writes meanwhile, in whichever
/// thread or system call: a write that happens while pages are collected is
/// told now or the next time. Who copies the contents of a page after it was
/// told, has them; if they change after that, it is told again.
///
/// More can be told than was written: the rest of a huge page, and pages that
/// were discarded (which are zeros now). Writes by other ways than this
/// mapping are not told: into the same memfd by another process, or by `write`.
///
/// ```
/// use barecall::pagemap::PageRegion;
/// use barecall::pager::DirtyTracker;
/// # use barecall::userfaultfd::{supported, Features};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !supported()?.features.contains(Features::WP_ASYNC) { return Ok(()); }
/// let tracker = DirtyTracker::open()?;
/// let memory = tracker.anonymous(1 << 20)?;
///
/// memory.write_at(b"changed", 5 << 16);
/// let mut room = [PageRegion::EMPTY; 64];
/// for written in tracker.collect(memory.range(), &mut room) {
///     let offset = written?.start() - memory.range().start();
///     assert_eq!(offset, 5 << 16);
/// }
/// // Told once.
/// assert_eq!(tracker.collect(memory.range(), &mut room).count(), 0);
/// # Ok(())
/// # }
/// ```
///
/// # What ends it
///
/// `munmap`, a new mapping in the same place, and `mremap` end the tracking of
/// that memory. Where something else is mapped now, collecting says `EPERM`;
/// where nothing is, it has nothing to tell. When the tracker is dropped, all
/// of it ends.
///
/// The memory of a child after `fork` is not tracked. The tracker that it has
/// is still its parent's: **what a child collects, its parent is not told of**.
#[derive(Debug)]
pub struct DirtyTracker<'m> {
    uffd: Userfaultfd,
    how: How<'m>,
}

#[derive(Debug)]
enum How<'m> {
    Async(Pagemap),
    Synchronous(Log<'m>),
}

impl DirtyTracker<'static> {
    /// [`UserfaultfdOptions::open_any`] with `WP_ASYNC`, and
    /// `openat("/proc/self/pagemap")`: a tracker for which the kernel does all
    /// the work (since Linux 6.7, on aarch64 6.10).
    ///
    /// No privilege is needed, also for writes that the kernel makes for the
    /// process (`read` into tracked memory): there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// [`TrackerError`].
    pub fn open() -> Result<Self, TrackerError> {
        let options = UserfaultfdOptions::new().require(Features::WP_ASYNC);
        let uffd = options.open_any()?.userfaultfd;
        let pagemap = Pagemap::open_self().map_err(TrackerError::Pagemap)?;
        Ok(Self {
            uffd,
            how: How::Async(pagemap),
        })
    }
}

impl<'m> DirtyTracker<'m> {
    /// [`UserfaultfdOptions::open_any`]: a tracker for older kernels, which
    /// needs a thread in [`Self::serve`] all the time, and a bit for each page
    /// of the *one* range that is tracked.
    ///
    /// For anonymous memory since Linux 5.7 (aarch64: 6.10), for memfd and
    /// tmpfs since 5.19; not for huge pages of hugetlbfs. With
    /// [`Access::UserMode`] (since Linux 5.11), a system call that would write
    /// to a page that was not written yet says `EFAULT`.
    ///
    /// A page that was discarded, and one that is read before it was ever
    /// written, can be told once more than it should.
    ///
    /// # Errors
    ///
    /// [`TrackerError::Userfaultfd`].
    ///
    /// ```
    /// use barecall::event::{EventFdFlags, eventfd};
    /// use barecall::io;
    /// use barecall::pager::DirtyTracker;
    /// use barecall::userfaultfd::Access;
    /// use core::sync::atomic::AtomicU64;
    /// # use barecall::userfaultfd::{supported, Features};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !supported()?.features.contains(Features::WP_ASYNC) { return Ok(()); }
    /// let page_size = 4096; // of AT_PAGESZ
    /// let bits = [const { AtomicU64::new(0) }; 2];
    /// let tracker = DirtyTracker::open_synchronous(page_size, &bits, Access::UserMode)?;
    /// let stop = eventfd(0, EventFdFlags::CLOEXEC)?;
    ///
    /// std::thread::scope(|scope| {
    ///     let server = scope.spawn(|| tracker.serve(&stop));
    ///     let memory = tracker.anonymous(128 * page_size)?;
    ///     memory.write_at(b"changed", 5 * page_size);
    ///     let written: Vec<_> = tracker.collect(memory.range(), &mut []).collect();
    ///     drop(memory);
    ///     io::write(&stop, &1_u64.to_ne_bytes())?;
    ///     server.join().unwrap()?;
    ///     assert_eq!(written.len(), 1);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn open_synchronous(
        page_size: usize,
        bits: &'m [AtomicU64],
        access: Access,
    ) -> Result<Self, TrackerError> {
        let options = UserfaultfdOptions::new()
            .require(Features::PAGEFAULT_FLAG_WP | Features::EVENT_REMOVE)
            .want(Features::WP_UNPOPULATED | Features::WP_HUGETLBFS_SHMEM)
            .access(access);
        Ok(Self {
            uffd: options.open_any()?.userfaultfd,
            how: How::Synchronous(Log::new(page_size, bits)),
        })
    }

    /// [`Self::open`], and if the kernel cannot do that,
    /// [`Self::open_synchronous`]; [`Self::method`] says which it was.
    ///
    /// # Errors
    ///
    /// [`TrackerError`], of the second when both fail.
    ///
    /// ```
    /// use barecall::event::{EventFdFlags, eventfd};
    /// use barecall::io;
    /// use barecall::pagemap::PageRegion;
    /// use barecall::pager::{DirtyTracker, Method};
    /// use barecall::userfaultfd::Access;
    /// use core::sync::atomic::AtomicU64;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let bits = [const { AtomicU64::new(0) }; 1];
    /// let tracker = match DirtyTracker::open_or_synchronous(PAGE, &bits, Access::UserMode) {
    ///     Ok(tracker) => tracker,
    ///     // Before Linux 5.11, on aarch64 6.10; or in a sandbox.
    ///     Err(error) => return Ok(println!("{error}")),
    /// };
    /// let stop = eventfd(0, EventFdFlags::CLOEXEC)?;
    /// std::thread::scope(|scope| {
    ///     if tracker.method() == Method::Synchronous {
    ///         scope.spawn(|| tracker.serve(&stop));
    ///     }
    ///     let memory = tracker.anonymous(64 * PAGE)?;
    ///     memory.write_at(b"changed", 5 * PAGE);
    ///     let mut room = [PageRegion::EMPTY; 8];
    ///     let mut written = tracker.collect(memory.range(), &mut room);
    ///     assert_eq!(written.next().transpose()?.map(|range| range.len()), Some(PAGE));
    ///     assert!(written.next().is_none());
    ///     drop(memory);
    ///     io::write(&stop, &1_u64.to_ne_bytes())?;
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn open_or_synchronous(
        page_size: usize,
        bits: &'m [AtomicU64],
        access: Access,
    ) -> Result<Self, TrackerError> {
        match DirtyTracker::open() {
            Ok(tracker) => Ok(tracker),
            Err(_) => Self::open_synchronous(page_size, bits, access),
        }
    }

    /// How it does it.
    ///
    /// See [`Self::open_or_synchronous`] for an example.
    pub const fn method(&self) -> Method {
        match self.how {
            How::Async(_) => Method::Async,
            How::Synchronous(_) => Method::Synchronous,
        }
    }

    /// `UFFDIO_REGISTER`, then `UFFDIO_WRITEPROTECT`: from now on, writes to
    /// `range` count. What was there and who wrote it does not matter, and
    /// contents do not change.
    ///
    /// Again, it forgets what was written until then (and with
    /// [`Method::Synchronous`] it is `EBUSY`).
    ///
    /// # Errors
    ///
    /// `EINVAL`: not whole pages (of the size that was told), not mapped, or
    /// memory that cannot be tracked so. `EBUSY`: another userfaultfd has it.
    /// `EPERM`: a shared mapping of a file that may not be written. `ENOBUFS`:
    /// there are not so many bits. After an error, a part of it may be tracked.
    ///
    /// # Safety
    ///
    /// As for [`Userfaultfd::register`]: until a page has been looked at,
    /// nothing relies on what it contains, since any userfaultfd of the process
    /// may now fill it. With [`Method::Synchronous`], a write waits for who is
    /// in [`Self::serve`], who therefore does not write to it.
    /// ([`Self::anonymous`] is safe.)
    pub unsafe fn start(&self, range: PageRange) -> Result<(), Errno> {
        match &self.how {
            How::Async(_) => {
                // SAFETY: the caller's promise.
                unsafe { self.uffd.register(range, RegisterModes::WP) }?;
                self.uffd.write_protect(range)
            }
            How::Synchronous(log) => {
                log.bind(range)?;
                // Pages that are not there would not be protected: they count
                // as written when they come.
                let modes = RegisterModes::MISSING | RegisterModes::WP;
                // SAFETY: the caller's promise.
                let registered = unsafe { self.uffd.register(range, modes) };
                let armed = registered.and_then(|ioctls| {
                    // It is a page, and not one of hugetlbfs.
                    self.uffd
                        .wake(PageRange::new(range.start(), log.page_size()))?;
                    if ioctls.contains(Ioctls::ZEROPAGE | Ioctls::WRITEPROTECT) {
                        return self.uffd.write_protect(range);
                    }
                    Err(Errno::EINVAL)
                });
                if armed.is_err() {
                    if registered.is_ok() {
                        let _ = self.uffd.unregister(range);
                    }
                    log.unbind();
                }
                armed
            }
        }
    }

    /// `mmap` of `len` bytes of anonymous memory, `F_DUPFD_CLOEXEC`, and
    /// [`Self::start`]: memory that is tracked from its beginning.
    ///
    /// # Errors
    ///
    /// As [`MappedRegion::anonymous`] and [`Self::start`].
    pub fn anonymous(&self, len: usize) -> Result<MappedRegion, Errno> {
        let region = MappedRegion::anonymous(&self.uffd, len, RegisterModes::WP)?;
        // SAFETY: memory that nobody knows yet, and that is reached by pointer
        // only.
        unsafe { self.start(region.range()) }?;
        Ok(region)
    }

    /// `UFFDIO_UNREGISTER`, then `UFFDIO_WAKE`: writes to `range` do not count
    /// any more, and cost nothing.
    ///
    /// With [`Method::Synchronous`], all of what was started.
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::unregister`].
    pub fn stop(&self, range: PageRange) -> Result<(), Errno> {
        match &self.how {
            How::Async(_) => self.uffd.unregister(range),
            How::Synchronous(log) => {
                let range = log.range();
                if range.is_empty() {
                    return Ok(());
                }
                self.uffd.unregister(range)?;
                log.unbind();
                Ok(())
            }
        }
    }

    /// The pages of `range` that were written, as ranges in ascending order;
    /// each counts again from the moment at which it was found.
    ///
    /// With [`Method::Async`], `room` is what one `PAGEMAP_SCAN` fills, which
    /// finds and protects with no moment in between; the more room, up to 4096,
    /// the fewer requests. Two ranges that touch can be one that did not fit. With
    /// [`Method::Synchronous`] it is not used, and each item is one
    /// `UFFDIO_WRITEPROTECT`.
    ///
    /// Who stops before the end loses nothing: when the iterator is dropped,
    /// what it has found and not given counts as written again
    /// (`UFFDIO_WRITEPROTECT`; where the memory is still there).
    ///
    /// # Errors
    ///
    /// Items; the last one, if any. What was found before it was given, the
    /// rest is for the next time. `EPERM`: not all of it is tracked. `EINVAL`:
    /// no room, or the start is no page's. `ENOMEM`. With
    /// [`Method::Synchronous`]: `EAGAIN`, somebody is discarding pages; try
    /// again. `ENOENT`: not tracked any more.
    pub fn collect<'t, 'r>(
        &'t self,
        range: PageRange,
        room: &'r mut [PageRegion],
    ) -> Dirty<'t, 'm, 'r> {
        Dirty {
            tracker: self,
            rest: range,
            room,
            next: 0,
            found: 0,
            error: None,
            done: false,
        }
    }

    /// Polls until `stop` is readable (an eventfd, say), and lets threads write
    /// that wait for it: what [`Method::Synchronous`] lives by. With
    /// [`Method::Async`] there is nothing to do, and it returns at once.
    ///
    /// When it returns, threads that write to what is tracked wait until it is
    /// called again, or [`Self::stop`]. Several threads may call it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn serve<Fd: AsFd>(&self, stop: Fd) -> Result<(), Errno> {
        match &self.how {
            How::Async(_) => Ok(()),
            How::Synchronous(log) => log.serve(&self.uffd, stop),
        }
    }
}

/// The ranges that were written, from [`DirtyTracker::collect`].
#[derive(Debug)]
#[must_use = "nothing is collected until it is iterated over"]
pub struct Dirty<'t, 'm, 'r> {
    tracker: &'t DirtyTracker<'m>,
    rest: PageRange,
    room: &'r mut [PageRegion],
    next: usize,
    found: usize,
    error: Option<Errno>,
    done: bool,
}

impl Dirty<'_, '_, '_> {
    /// One request.
    fn scan(&mut self, pagemap: &Pagemap) {
        if self.room.is_empty() {
            // The kernel would protect the pages and tell nobody.
            self.error = Some(Errno::EINVAL);
            return;
        }
        // Reported too, although it is known: for this very question the
        // kernel has a shorter way.
        let scan = Scan::new(self.rest)
            .all_of(Categories::WRITTEN)
            .report(Categories::WRITTEN)
            .flags(ScanFlags::WP_MATCHING | ScanFlags::CHECK_WPASYNC);
        let scanned = pagemap.scan_until_error(&scan, self.room);
        self.next = 0;
        self.found = scanned.regions;
        self.error = scanned.error;
        let reached = scanned.walk_end.saturating_sub(self.rest.start());
        // A scan that gets nowhere would not end.
        self.done = reached == 0 || reached >= self.rest.len();
        self.rest = self.rest.after(reached);
    }
}

impl Iterator for Dirty<'_, '_, '_> {
    type Item = Result<PageRange, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.next < self.found {
                let region = self.room.get(self.next)?;
                self.next += 1;
                return Some(Ok(region.range()));
            }
            if let Some(errno) = self.error.take() {
                self.done = true;
                return Some(Err(errno));
            }
            if self.done {
                return None;
            }
            match &self.tracker.how {
                How::Async(pagemap) => self.scan(pagemap),
                How::Synchronous(log) => {
                    let taken = log.take(&self.tracker.uffd, self.rest);
                    match taken {
                        Some(Ok(run)) => {
                            let passed = run.end().wrapping_sub(self.rest.start());
                            self.rest = self.rest.after(passed);
                        }
                        _ => self.done = true,
                    }
                    return taken;
                }
            }
        }
    }
}

impl FusedIterator for Dirty<'_, '_, '_> {}

impl Drop for Dirty<'_, '_, '_> {
    fn drop(&mut self) {
        let rest = self.room.get(self.next..self.found).unwrap_or_default();
        for region in rest {
            let (uffd, none) = (&self.tracker.uffd, UnprotectFlags::empty());
            // A page that is not protected counts as written. Where that is
            // refused, nothing is mapped or tracked any more.
            let _ = uffd.write_unprotect(region.range(), none);
        }
    }
}
