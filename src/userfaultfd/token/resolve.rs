//! What resolves which fault, and how that ended.

use super::{Fault, reason};
use crate::errno::Errno;
use crate::userfaultfd::{
    ContinueFlags, CopyFlags, Filled, MoveFlags, PageRange, PoisonFlags, Stop, UnprotectFlags,
    Userfaultfd, ZeroFlags,
};
use core::fmt;

impl<R> Fault<'_, R> {
    /// The token is used up when the page is there, and comes back when not.
    fn settle(self, page: PageRange, filled: Filled) -> Result<Resolved, Unresolved<Self>> {
        let reached = self.address().wrapping_sub(page.start()) < filled.done;
        match filled.stop {
            None => {}
            // What was filled has been woken by the kernel.
            Some(_) if reached => {}
            // One page, and it is there: `fill_*` has woken it.
            Some(Stop::Exists) => {}
            Some(_) => {
                return Err(Unresolved {
                    fault: self,
                    filled,
                });
            }
        }
        self.resolved();
        let Filled { done, stop } = filled;
        Ok(Resolved { done, stop })
    }

    fn continue_with(
        self,
        page_size: usize,
        flags: ContinueFlags,
    ) -> Result<Resolved, Unresolved<Self>> {
        let page = self.page(page_size);
        let filled = self.uffd.fill_continue(page, flags);
        self.settle(page, filled)
    }

    fn poison_with(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        let page = self.page(page_size);
        let filled = self.uffd.fill_poison(page, PoisonFlags::empty());
        self.settle(page, filled)
    }

    fn unprotect_with(
        self,
        page_size: usize,
        unprotect: fn(&Userfaultfd, PageRange, UnprotectFlags) -> Result<(), Errno>,
    ) -> Result<(), Unresolved<Self>> {
        let page = self.page(page_size);
        match unprotect(self.uffd, page, UnprotectFlags::empty()) {
            Ok(()) => {
                self.resolved();
                Ok(())
            }
            Err(errno) => Err(Unresolved {
                fault: self,
                filled: Filled::stopped(Stop::of(errno)),
            }),
        }
    }
}

/// # Resolving
///
/// A page that exists already is as good as filled: its thread is woken, and
/// the answer has [`Stop::Exists`]. When the page is not there, the token comes
/// back in [`Unresolved`].
///
/// The page is one page of the memory, in its size: a huge page for hugetlbfs.
/// For blocks of several, `copy_block`.
impl<'u> Fault<'u, reason::Missing> {
    /// Repeats `UFFDIO_COPY` ([`Userfaultfd::fill_copy`]): the page's contents
    /// are `page`, and its thread goes on.
    ///
    /// `page` is exactly as long as a page of the memory.
    ///
    /// # Errors
    ///
    /// The token, when the page is not there; with [`Stop::Changing`], read the
    /// events first.
    pub fn copy(self, page: &[u8]) -> Result<Resolved, Unresolved<Self>> {
        self.copy_with(page, CopyFlags::empty())
    }

    /// As [`Self::copy`], write-protected from the first moment
    /// (`UFFDIO_COPY_MODE_WP`); the range is registered for that.
    ///
    /// # Errors
    ///
    /// As [`Self::copy`].
    ///
    /// Dirty tracking from the first write on, while the memory still arrives:
    ///
    /// ```
    /// use barecall::userfaultfd::{Event, Features, MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::thread;
    ///
    /// const PAGE: usize = 4096;
    /// let options = UserfaultfdOptions::new().blocking(true).want(Features::PAGEFAULT_FLAG_WP);
    /// let opened = options.open_any()?;
    /// if opened.dropped.contains(Features::PAGEFAULT_FLAG_WP) {
    ///     return Ok(()); // On aarch64, before Linux 6.10.
    /// }
    /// let uffd = opened.userfaultfd;
    /// let region = MappedRegion::anonymous(&uffd, PAGE, RegisterModes::MISSING | RegisterModes::WP)?;
    /// thread::scope(|scope| {
    ///     let writer = scope.spawn(|| region.write_at(b"!", 5));
    ///     match uffd.read_event()? {
    ///         Event::Missing(fault) => fault.copy_protected(&[b'.'; PAGE])?,
    ///         other => panic!("{other:?}"),
    ///     };
    ///     // The same write again, for the other reason.
    ///     match uffd.read_event()? {
    ///         Event::WriteProtect(fault) => fault.unprotect(PAGE)?,
    ///         other => panic!("{other:?}"),
    ///     };
    ///     assert_eq!(writer.join().unwrap(), 1);
    ///     Ok::<(), barecall::Errno>(())
    /// })?;
    /// let mut contents = [0; 7];
    /// region.read_at(&mut contents, 0);
    /// assert_eq!(&contents, b".....!.");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn copy_protected(self, page: &[u8]) -> Result<Resolved, Unresolved<Self>> {
        self.copy_with(page, CopyFlags::WP)
    }

    fn copy_with(self, page: &[u8], flags: CopyFlags) -> Result<Resolved, Unresolved<Self>> {
        let to = self.page(page.len());
        let filled = if page.len().is_power_of_two() {
            self.uffd.fill_copy(to.start(), page, flags)
        } else {
            Filled::stopped(Stop::Invalid)
        };
        self.settle(to, filled)
    }

    /// Repeats `UFFDIO_COPY` ([`Userfaultfd::fill_copy_missing`]): fills what
    /// is missing of the aligned block around the fault.
    ///
    /// `block` is as long as a power of two, at least a page; it begins at the
    /// fault's address rounded down to its length, and all of it is registered.
    /// Pages of it that are there already stay as they are, and count as done.
    ///
    /// # Errors
    ///
    /// The token, when its own page is not there.
    ///
    /// See [`Fault`] for an example.
    pub fn copy_block(self, block: &[u8], page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        let to = self.page(block.len());
        let filled = if block.len().is_power_of_two() {
            let flags = CopyFlags::empty();
            self.uffd
                .fill_copy_missing(to.start(), block, page_size, flags)
        } else {
            Filled::stopped(Stop::Invalid)
        };
        self.settle(to, filled)
    }

    /// Repeats `UFFDIO_ZEROPAGE` ([`Userfaultfd::fill_zero`]): the page is
    /// zeros, and its thread goes on. Not for hugetlbfs.
    ///
    /// # Errors
    ///
    /// As [`Self::copy`].
    pub fn zero(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        let page = self.page(page_size);
        let filled = self.uffd.fill_zero(page, ZeroFlags::empty());
        self.settle(page, filled)
    }

    /// Repeats `UFFDIO_CONTINUE` ([`Userfaultfd::fill_continue`]): maps the
    /// page that was written into the file meanwhile, and its thread goes on.
    ///
    /// # Errors
    ///
    /// As [`Self::copy`]; [`Stop::Source`] when the file has no such page.
    pub fn cont(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        self.continue_with(page_size, ContinueFlags::empty())
    }

    /// Repeats `UFFDIO_MOVE` ([`Userfaultfd::fill_move`]): the page at `from`
    /// becomes this page, without copying, and its thread goes on (since Linux
    /// 6.8).
    ///
    /// # Safety
    ///
    /// As [`Userfaultfd::move_once`], for the `page_size` bytes at `from`.
    ///
    /// # Errors
    ///
    /// As [`Self::copy`]; [`Stop::Busy`] when the source is shared or pinned.
    ///
    /// ```
    /// use barecall::userfaultfd::{
    ///     CopyFlags, Event, Features, MappedRegion, RegisterModes, UserfaultfdOptions,
    /// };
    /// use std::thread;
    ///
    /// const PAGE: usize = 4096;
    /// let opened = UserfaultfdOptions::new().blocking(true).want(Features::MOVE).open_any()?;
    /// if opened.dropped.contains(Features::MOVE) {
    ///     return Ok(()); // Before Linux 6.8.
    /// }
    /// let uffd = opened.userfaultfd;
    /// let memory = MappedRegion::anonymous(&uffd, PAGE, RegisterModes::MISSING)?;
    /// let received = MappedRegion::anonymous(&uffd, PAGE, RegisterModes::MISSING)?;
    /// uffd.fill_copy(received.range().start(), &[7; PAGE], CopyFlags::empty()).all()?;
    /// thread::scope(|scope| {
    ///     let reader = scope.spawn(|| {
    ///         let mut byte = [0];
    ///         memory.read_at(&mut byte, 100);
    ///         byte
    ///     });
    ///     match uffd.read_event()? {
    ///         // SAFETY: mapped, and nobody else looks at what was received.
    ///         Event::Missing(fault) => unsafe { fault.move_from(received.as_ptr(), PAGE)? },
    ///         other => panic!("{other:?}"),
    ///     };
    ///     assert_eq!(reader.join().unwrap(), [7]);
    ///     Ok::<(), barecall::Errno>(())
    /// })?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub unsafe fn move_from(
        self,
        from: *mut u8,
        page_size: usize,
    ) -> Result<Resolved, Unresolved<Self>> {
        let page = self.page(page_size);
        // SAFETY: the caller's promise.
        let filled = unsafe { self.uffd.fill_move(page, from, MoveFlags::empty()) };
        self.settle(page, filled)
    }

    /// Repeats `UFFDIO_POISON` ([`Userfaultfd::fill_poison`]): the page cannot
    /// be had; its thread gets `SIGBUS` (since Linux 6.6).
    ///
    /// # Errors
    ///
    /// As [`Self::copy`].
    pub fn poison(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        self.poison_with(page_size)
    }
}

/// # Resolving a minor fault
impl<'u> Fault<'u, reason::Minor> {
    /// Repeats `UFFDIO_CONTINUE` ([`Userfaultfd::fill_continue`]): maps the
    /// file's page as it is now, and its thread goes on.
    ///
    /// # Errors
    ///
    /// The token, when the page is not mapped.
    pub fn cont(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        self.continue_with(page_size, ContinueFlags::empty())
    }

    /// As [`Self::cont`], write-protected from the first moment
    /// (`UFFDIO_CONTINUE_MODE_WP`, since Linux 6.4); the range is registered
    /// for that.
    ///
    /// # Errors
    ///
    /// As [`Self::cont`].
    ///
    /// ```
    /// use barecall::memfd::MemfdOptions;
    /// use barecall::userfaultfd::{Event, Features, MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::thread;
    ///
    /// const PAGE: usize = 4096;
    /// let needs = Features::MINOR_SHMEM | Features::WP_HUGETLBFS_SHMEM | Features::WP_UNPOPULATED;
    /// let opened = UserfaultfdOptions::new().blocking(true).want(needs).open_any()?;
    /// if !opened.dropped.is_empty() {
    ///     return Ok(()); // Before Linux 6.4.
    /// }
    /// let uffd = opened.userfaultfd;
    /// let (file, _) = MemfdOptions::new().create_or_legacy(c"guest")?;
    /// file.write_all_at(&[7; PAGE], 0)?;
    /// let modes = RegisterModes::MINOR | RegisterModes::WP;
    /// let region = MappedRegion::shared(&uffd, &file, 0, PAGE, modes)?;
    /// thread::scope(|scope| {
    ///     let writer = scope.spawn(|| region.write_at(&[8], 0));
    ///     match uffd.read_event()? {
    ///         Event::Minor(fault) => fault.cont_protected(PAGE)?,
    ///         other => panic!("{other:?}"),
    ///     };
    ///     match uffd.read_event()? {
    ///         Event::WriteProtect(fault) => fault.unprotect(PAGE)?,
    ///         other => panic!("{other:?}"),
    ///     };
    ///     assert_eq!(writer.join().unwrap(), 1);
    ///     Ok::<(), barecall::Errno>(())
    /// })?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn cont_protected(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        self.continue_with(page_size, ContinueFlags::WP)
    }

    /// Repeats `UFFDIO_POISON` ([`Userfaultfd::fill_poison`]): the page cannot
    /// be had; its thread gets `SIGBUS` (since Linux 6.6).
    ///
    /// # Errors
    ///
    /// As [`Self::cont`].
    pub fn poison(self, page_size: usize) -> Result<Resolved, Unresolved<Self>> {
        self.poison_with(page_size)
    }
}

/// # Resolving a write-protect fault
impl<'u> Fault<'u, reason::WriteProtect> {
    /// `UFFDIO_WRITEPROTECT` ([`Userfaultfd::write_unprotect`]): the page can be
    /// written, and its thread goes on.
    ///
    /// # Errors
    ///
    /// The token, when the protection is still there; with [`Stop::Changing`],
    /// read the events first.
    pub fn unprotect(self, page_size: usize) -> Result<(), Unresolved<Self>> {
        self.unprotect_with(page_size, Userfaultfd::write_unprotect)
    }
}

/// # Resolving a read-write-protect fault
impl<'u> Fault<'u, reason::Rwp> {
    /// `UFFDIO_RWPROTECT` ([`Userfaultfd::rw_unprotect`]): the page can be
    /// touched, and its thread goes on (since Linux 7.3).
    ///
    /// # Errors
    ///
    /// As for a write-protect fault.
    pub fn unprotect(self, page_size: usize) -> Result<(), Unresolved<Self>> {
        self.unprotect_with(page_size, Userfaultfd::rw_unprotect)
    }
}

/// How a fault was resolved: its page is there, and its thread was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Bytes filled.
    pub done: usize,
    /// [`Stop::Exists`]: the page was there already. Another reason: it is
    /// there, but not all of a block.
    pub stop: Option<Stop>,
}

/// A fault that could not be resolved, and why.
///
/// Dropped, it wakes the thread, which faults again.
#[must_use = "a dropped fault wakes its thread, which faults again"]
pub struct Unresolved<F> {
    /// The fault, to try again, to resolve otherwise, or to park.
    pub fault: F,
    /// What was done.
    pub filled: Filled,
}

impl<F> Unresolved<F> {
    /// Why.
    pub fn stop(&self) -> Stop {
        self.filled.stop.unwrap_or(Stop::Invalid)
    }
}

impl<F> fmt::Debug for Unresolved<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unresolved").field(&self.filled).finish()
    }
}

impl<F> fmt::Display for Unresolved<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fault not resolved: ")?;
        fmt::Display::fmt(&self.filled, f)
    }
}

impl<F> core::error::Error for Unresolved<F> {}

crate::errno::std_error!(Unresolved<F> where F);

/// The fault is dropped, and so its thread faults again.
impl<F> From<Unresolved<F>> for Errno {
    fn from(unresolved: Unresolved<F>) -> Self {
        unresolved.stop().errno()
    }
}
