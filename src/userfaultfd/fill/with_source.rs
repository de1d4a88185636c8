//! Pages that come from the caller's memory: COPY, MOVE.

use super::{Existing, Filled, go_on};
use crate::fd::AsFd;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;
use crate::userfaultfd::abi::{self, UffdioCopy, UffdioMove};
use crate::userfaultfd::{PageRange, Userfaultfd};

flags! {
    /// `UFFDIO_COPY_MODE_*`.
    pub struct CopyFlags: u64 {
        /// `UFFDIO_COPY_MODE_DONTWAKE`: threads that wait go on waiting.
        #[doc(alias = "UFFDIO_COPY_MODE_DONTWAKE")]
        const DONTWAKE = 1 << 0;
        /// `UFFDIO_COPY_MODE_WP`: the page comes write-protected, with no
        /// moment in between; the range is registered for it (since Linux 5.7).
        #[doc(alias = "UFFDIO_COPY_MODE_WP")]
        const WP = 1 << 1;
        const _ = !0;
    }
}

flags! {
    /// `UFFDIO_MOVE_MODE_*`.
    pub struct MoveFlags: u64 {
        /// `UFFDIO_MOVE_MODE_DONTWAKE`: threads that wait go on waiting.
        #[doc(alias = "UFFDIO_MOVE_MODE_DONTWAKE")]
        const DONTWAKE = 1 << 0;
        /// `UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES`: where the source has no page,
        /// nothing is moved, and that is no error.
        #[doc(alias = "UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES")]
        const ALLOW_SRC_HOLES = 1 << 1;
        const _ = !0;
    }
}

/// # Filling
///
/// The memory is that of the process in which it was registered, the source is
/// memory of the caller. A page that is there is never overwritten.
///
/// `*_once` is one request. `fill_*` repeats it from where it came to, until
/// all is done or the cause is known, and when a page exists already, wakes
/// (`UFFDIO_WAKE`) who waits in the rest of the range: the kernel does not.
/// `fill_*_missing` goes on behind pages that exist, waking who waits for them.
impl Userfaultfd {
    /// `ioctl(fd, UFFDIO_COPY, arg)`: copies `from` to the missing pages at the
    /// address `to`, once.
    ///
    /// `from` is whole pages long, but need not be aligned. If it is itself
    /// memory that this thread serves, the thread waits for itself, for ever.
    ///
    /// ```
    /// use barecall::userfaultfd::{CopyFlags, Filled, MappedRegion, RegisterModes, Stop};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// let region = MappedRegion::anonymous(&uffd, 0x4000, RegisterModes::MISSING)?;
    /// let page = [7; 0x4000];
    /// let filled = uffd.copy_once(region.range().start(), &page, CopyFlags::empty());
    /// assert_eq!(filled, Filled { done: 0x4000, stop: None });
    /// let filled = uffd.copy_once(region.range().start(), &page, CopyFlags::empty());
    /// assert_eq!(filled, Filled { done: 0, stop: Some(Stop::Exists) });
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_COPY(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_COPY.2const.html).
    #[doc(alias = "UFFDIO_COPY")]
    pub fn copy_once(&self, to: usize, from: &[u8], flags: CopyFlags) -> Filled {
        // SAFETY: a slice can be read.
        unsafe { self.copy_raw_once(PageRange::new(to, from.len()), from.as_ptr(), flags) }
    }

    /// `ioctl(fd, UFFDIO_COPY, arg)`, from memory that need not be a slice:
    /// a mapping that others write, for example.
    ///
    /// # Safety
    ///
    /// `from` is good for reading as many bytes as `to` is long. They may
    /// change meanwhile. (Where nothing is mapped, the kernel says so:
    /// [`Stop::Source`](super::Stop::Source).)
    ///
    /// ```
    /// use barecall::memfd::{Access, MemfdOptions, SharedMap};
    /// use barecall::userfaultfd::{CopyFlags, Filled, MappedRegion, RegisterModes};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// let (snapshot, _) = MemfdOptions::new().create_or_legacy(c"snapshot")?;
    /// snapshot.write_all_at(&[7; 0x2000], 0)?;
    /// let source = SharedMap::new(&snapshot, Access::Read, None)?;
    ///
    /// let region = MappedRegion::anonymous(&uffd, 0x2000, RegisterModes::MISSING)?;
    /// // SAFETY: the mapping is as long as the region, and outlives the request.
    /// let filled = unsafe { uffd.copy_raw_once(region.range(), source.as_ptr(), CopyFlags::empty()) };
    /// assert_eq!(filled, Filled { done: 0x2000, stop: None });
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_COPY(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_COPY.2const.html).
    pub unsafe fn copy_raw_once(&self, to: PageRange, from: *const u8, flags: CopyFlags) -> Filled {
        let mut arg = UffdioCopy {
            dst: to.start() as u64,
            src: from.expose_provenance() as u64,
            len: to.len() as u64,
            mode: flags.bits(),
            copy: 0,
        };
        // SAFETY: the structure that it takes. The source is the caller's
        // promise; missing pages may be filled by who registered them.
        let result =
            unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_COPY, &raw mut arg) };
        Filled::answer(result, arg.copy, to.len())
    }

    /// Repeats [`Self::copy_once`] until all is done or the cause is known, and
    /// wakes when a page exists.
    ///
    /// See [`Self::fill_copy_missing`] for an example.
    pub fn fill_copy(&self, to: usize, from: &[u8], flags: CopyFlags) -> Filled {
        self.copy_on(to, from, flags, Existing::Stop)
    }

    /// Repeats [`Self::copy_once`], past the pages that exist, waking who waits
    /// for them. They count as done.
    ///
    /// `page_size` is that of the memory.
    ///
    /// ```
    /// use barecall::userfaultfd::{CopyFlags, Filled, MappedRegion, RegisterModes, Stop};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// const PAGE: usize = 4096;
    /// let none = CopyFlags::empty();
    /// let region = MappedRegion::anonymous(&uffd, 4 * PAGE, RegisterModes::MISSING)?;
    /// let start = region.range().start();
    /// // Somebody was faster, at the second page.
    /// uffd.fill_copy(start + PAGE, &[1; PAGE], none).all()?;
    ///
    /// let block = [7; 4 * PAGE];
    /// let filled = uffd.fill_copy(start, &block, none);
    /// assert_eq!(filled, Filled { done: PAGE, stop: Some(Stop::Exists) });
    /// let filled = uffd.fill_copy_missing(start, &block, PAGE, none);
    /// assert_eq!(filled, Filled { done: 4 * PAGE, stop: None });
    ///
    /// // What was there, stayed.
    /// let mut contents = [0; 4 * PAGE];
    /// region.read_at(&mut contents, 0);
    /// assert_eq!([0, 1, 2, 3].map(|page| contents[page * PAGE]), [7, 1, 7, 7]);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn fill_copy_missing(
        &self,
        to: usize,
        from: &[u8],
        page_size: usize,
        flags: CopyFlags,
    ) -> Filled {
        self.copy_on(to, from, flags, Existing::Skip(page_size))
    }

    fn copy_on(&self, to: usize, from: &[u8], flags: CopyFlags, existing: Existing) -> Filled {
        let wake = !flags.contains(CopyFlags::DONTWAKE);
        let range = PageRange::new(to, from.len());
        go_on(self, range, wake, existing, |rest, done| {
            self.copy_once(rest.start(), from.get(done..).unwrap_or_default(), flags)
        })
    }

    /// `ioctl(fd, UFFDIO_MOVE, arg)`: moves the pages at `from` to the missing
    /// pages of `to`, without copying, once (since Linux 6.8).
    ///
    /// Both are anonymous private memory of the calling process, and the pages
    /// are not shared with a child. Afterwards the source has no pages there:
    /// it reads as zeros, or is missing itself.
    ///
    /// # Safety
    ///
    /// The `to.len()` bytes from `from` on are mapped, and nothing relies on
    /// what is in them: they become zeros, under whoever looks at them.
    ///
    /// ```
    /// use barecall::userfaultfd::{
    ///     CopyFlags, Features, Filled, MappedRegion, MoveFlags, PageRange, RegisterModes,
    ///     UserfaultfdOptions,
    /// };
    ///
    /// const PAGE: usize = 4096;
    /// let opened = UserfaultfdOptions::new().want(Features::MOVE).open_any()?;
    /// if opened.dropped.contains(Features::MOVE) {
    ///     return Ok(()); // Before Linux 6.8.
    /// }
    /// let uffd = opened.userfaultfd;
    /// // The page that was received, and the memory that it is for.
    /// let received = MappedRegion::anonymous(&uffd, 4 * PAGE, RegisterModes::MISSING)?;
    /// uffd.fill_copy(received.range().start(), &[7; 4 * PAGE], CopyFlags::empty()).all()?;
    /// let memory = MappedRegion::anonymous(&uffd, 4 * PAGE, RegisterModes::MISSING)?;
    ///
    /// let first = PageRange::new(memory.range().start(), PAGE);
    /// let rest = memory.range().after(PAGE);
    /// // SAFETY: mapped, and nobody else looks at what was received.
    /// unsafe {
    ///     let none = MoveFlags::empty();
    ///     assert_eq!(uffd.move_once(first, received.as_ptr(), none).all()?, PAGE);
    ///     let from = received.as_ptr().wrapping_add(PAGE);
    ///     assert_eq!(uffd.fill_move(rest, from, none), Filled { done: 3 * PAGE, stop: None });
    /// }
    /// let mut contents = [0; 4 * PAGE];
    /// memory.read_at(&mut contents, 0);
    /// assert_eq!(contents, [7; 4 * PAGE]);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_MOVE(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_MOVE.2const.html).
    #[doc(alias = "UFFDIO_MOVE")]
    pub unsafe fn move_once(&self, to: PageRange, from: *mut u8, flags: MoveFlags) -> Filled {
        let mut arg = UffdioMove {
            dst: to.start() as u64,
            src: from.expose_provenance() as u64,
            len: to.len() as u64,
            mode: flags.bits(),
            r#move: 0,
        };
        // SAFETY: the structure that it takes; missing pages may be filled,
        // and the source is the caller's promise.
        let result =
            unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_MOVE, &raw mut arg) };
        Filled::answer(result, arg.r#move, to.len())
    }

    /// Repeats [`Self::move_once`] until all is done or the cause is known, and
    /// wakes when a page exists.
    ///
    /// # Safety
    ///
    /// As [`Self::move_once`].
    ///
    /// See [`Self::move_once`] for an example.
    pub unsafe fn fill_move(&self, to: PageRange, from: *mut u8, flags: MoveFlags) -> Filled {
        let wake = !flags.contains(MoveFlags::DONTWAKE);
        go_on(self, to, wake, Existing::Stop, |rest, done| {
            // SAFETY: a part of what the caller promises.
            unsafe { self.move_once(rest, from.wrapping_add(done), flags) }
        })
    }
}
