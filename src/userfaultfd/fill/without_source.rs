//! Pages that need nothing of the caller's: ZEROPAGE, CONTINUE, POISON.

use super::{Existing, Filled, go_on};
use crate::fd::AsFd;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;
use crate::userfaultfd::abi::{self, UffdioContinue, UffdioPoison, UffdioZeropage};
use crate::userfaultfd::{PageRange, Userfaultfd};

flags! {
    /// `UFFDIO_ZEROPAGE_MODE_*`.
    pub struct ZeroFlags: u64 {
        /// `UFFDIO_ZEROPAGE_MODE_DONTWAKE`: threads that wait go on waiting.
        #[doc(alias = "UFFDIO_ZEROPAGE_MODE_DONTWAKE")]
        const DONTWAKE = 1 << 0;
        const _ = !0;
    }
}

flags! {
    /// `UFFDIO_CONTINUE_MODE_*`.
    pub struct ContinueFlags: u64 {
        /// `UFFDIO_CONTINUE_MODE_DONTWAKE`: threads that wait go on waiting.
        #[doc(alias = "UFFDIO_CONTINUE_MODE_DONTWAKE")]
        const DONTWAKE = 1 << 0;
        /// `UFFDIO_CONTINUE_MODE_WP`: the page comes write-protected (since
        /// Linux 6.4).
        #[doc(alias = "UFFDIO_CONTINUE_MODE_WP")]
        const WP = 1 << 1;
        const _ = !0;
    }
}

flags! {
    /// `UFFDIO_POISON_MODE_*`.
    pub struct PoisonFlags: u64 {
        /// `UFFDIO_POISON_MODE_DONTWAKE`: threads that wait go on waiting.
        #[doc(alias = "UFFDIO_POISON_MODE_DONTWAKE")]
        const DONTWAKE = 1 << 0;
        const _ = !0;
    }
}

impl Userfaultfd {
    /// `ioctl(fd, UFFDIO_ZEROPAGE, arg)`: zeros for the missing pages of
    /// `range`, once.
    ///
    /// Not for huge pages of hugetlbfs ([`Stop::Invalid`]): copy zeros there.
    /// An anonymous page that was write-protected before it was there (with
    /// [`Features::WP_UNPOPULATED`]) counts as one that exists, and faults
    /// again: copy, or lift the protection first.
    ///
    /// ```
    /// use barecall::userfaultfd::{Filled, MappedRegion, PageRange, RegisterModes, Stop, ZeroFlags};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// const PAGE: usize = 4096;
    /// let none = ZeroFlags::empty();
    /// let region = MappedRegion::anonymous(&uffd, 4 * PAGE, RegisterModes::MISSING)?;
    /// let third = PageRange::new(region.range().start() + 2 * PAGE, PAGE);
    /// assert_eq!(uffd.zero_once(third, none), Filled { done: PAGE, stop: None });
    ///
    /// // Up to the page that is there, and then past it.
    /// let filled = uffd.fill_zero(region.range(), none);
    /// assert_eq!(filled, Filled { done: 2 * PAGE, stop: Some(Stop::Exists) });
    /// let filled = uffd.fill_zero_missing(region.range(), PAGE, none);
    /// assert_eq!(filled.all()?, 4 * PAGE);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_ZEROPAGE(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_ZEROPAGE.2const.html).
    ///
    /// [`Features::WP_UNPOPULATED`]: crate::userfaultfd::Features::WP_UNPOPULATED
    /// [`Stop::Invalid`]: super::Stop::Invalid
    #[doc(alias = "UFFDIO_ZEROPAGE")]
    pub fn zero_once(&self, range: PageRange, flags: ZeroFlags) -> Filled {
        let mut arg = UffdioZeropage {
            range: range.to_abi(),
            mode: flags.bits(),
            zeropage: 0,
        };
        // SAFETY: the structure that it takes; missing pages may be filled.
        let result =
            unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_ZEROPAGE, &raw mut arg) };
        Filled::answer(result, arg.zeropage, range.len())
    }

    /// Repeats [`Self::zero_once`] until all is done or the cause is known, and
    /// wakes when a page exists.
    ///
    /// See [`Self::zero_once`] for an example.
    pub fn fill_zero(&self, range: PageRange, flags: ZeroFlags) -> Filled {
        self.zero_on(range, flags, Existing::Stop)
    }

    /// Repeats [`Self::zero_once`], past the pages that exist, waking who waits
    /// for them. They count as done.
    ///
    /// See [`Self::zero_once`] for an example.
    pub fn fill_zero_missing(
        &self,
        range: PageRange,
        page_size: usize,
        flags: ZeroFlags,
    ) -> Filled {
        self.zero_on(range, flags, Existing::Skip(page_size))
    }

    fn zero_on(&self, range: PageRange, flags: ZeroFlags, existing: Existing) -> Filled {
        let wake = !flags.contains(ZeroFlags::DONTWAKE);
        go_on(self, range, wake, existing, |rest, _| {
            self.zero_once(rest, flags)
        })
    }

    /// `ioctl(fd, UFFDIO_CONTINUE, arg)`: maps the pages of `range` that the
    /// file has already, once (since Linux 5.13; for memfd and tmpfs since
    /// 5.14).
    ///
    /// Their contents are what was written into the file, through another
    /// mapping or descriptor of it. For a shared mapping of a memfd or of
    /// hugetlbfs; anonymous memory has no file ([`Stop::Invalid`]).
    ///
    /// Who has the contents in a memfd, or writes them there, need not copy them:
    ///
    /// ```
    /// use barecall::memfd::MemfdOptions;
    /// use barecall::userfaultfd::{
    ///     ContinueFlags, Features, Filled, MappedRegion, PageRange, RegisterModes, Stop, supported,
    /// };
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    ///
    /// const PAGE: usize = 4096;
    /// if !supported()?.features.contains(Features::MINOR_SHMEM) {
    ///     return Ok(()); // Before Linux 5.14.
    /// }
    /// let (file, _) = MemfdOptions::new().create_or_legacy(c"guest")?;
    /// file.set_len(4 * PAGE as u64)?;
    /// let region = MappedRegion::shared(&uffd, &file, 0, 4 * PAGE, RegisterModes::MINOR)?;
    ///
    /// // The file has nothing yet.
    /// let none = ContinueFlags::empty();
    /// let filled = uffd.continue_once(region.range(), none);
    /// assert_eq!(filled, Filled { done: 0, stop: Some(Stop::Source) });
    ///
    /// file.write_all_at(&[7; 4 * PAGE], 0)?;
    /// let second = PageRange::new(region.range().start() + PAGE, PAGE);
    /// uffd.continue_once(second, none).all()?;
    /// // Up to the page that is mapped, and then past it.
    /// let filled = uffd.fill_continue(region.range(), none);
    /// assert_eq!(filled, Filled { done: PAGE, stop: Some(Stop::Exists) });
    /// uffd.fill_continue_missing(region.range(), PAGE, none).all()?;
    ///
    /// // It is the file's memory, not a copy.
    /// region.write_at(b"guest", 0);
    /// let mut bytes = [0; 5];
    /// file.read_at(&mut bytes, 0)?;
    /// assert_eq!(&bytes, b"guest");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_CONTINUE(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_CONTINUE.2const.html).
    ///
    /// [`Stop::Invalid`]: super::Stop::Invalid
    #[doc(alias = "UFFDIO_CONTINUE")]
    pub fn continue_once(&self, range: PageRange, flags: ContinueFlags) -> Filled {
        let mut arg = UffdioContinue {
            range: range.to_abi(),
            mode: flags.bits(),
            mapped: 0,
        };
        // SAFETY: the structure that it takes; missing pages may be filled.
        let result =
            unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_CONTINUE, &raw mut arg) };
        Filled::answer(result, arg.mapped, range.len())
    }

    /// Repeats [`Self::continue_once`] until all is done or the cause is known,
    /// and wakes when a page exists.
    ///
    /// See [`Self::continue_once`] for an example.
    pub fn fill_continue(&self, range: PageRange, flags: ContinueFlags) -> Filled {
        self.continue_on(range, flags, Existing::Stop)
    }

    /// Repeats [`Self::continue_once`], past the pages that are mapped, waking
    /// who waits for them. They count as done.
    ///
    /// See [`Self::continue_once`] for an example.
    pub fn fill_continue_missing(
        &self,
        range: PageRange,
        page_size: usize,
        flags: ContinueFlags,
    ) -> Filled {
        self.continue_on(range, flags, Existing::Skip(page_size))
    }

    fn continue_on(&self, range: PageRange, flags: ContinueFlags, existing: Existing) -> Filled {
        let wake = !flags.contains(ContinueFlags::DONTWAKE);
        go_on(self, range, wake, existing, |rest, _| {
            self.continue_once(rest, flags)
        })
    }

    /// `ioctl(fd, UFFDIO_POISON, arg)`: makes every touch of the missing pages
    /// of `range` a `SIGBUS`, as lost memory does, once (since Linux 6.6).
    ///
    /// What to answer when the contents cannot be had, instead of zeros. A
    /// system call that meets such a page says `EFAULT`.
    ///
    /// ```
    /// use barecall::fd::AsFd;
    /// use barecall::memfd::MemfdOptions;
    /// use barecall::userfaultfd::{
    ///     Features, Filled, MappedRegion, PageRange, PoisonFlags, RegisterModes, UserfaultfdOptions,
    /// };
    /// use barecall::{Errno, nr, syscall};
    ///
    /// const PAGE: usize = 4096;
    /// let opened = UserfaultfdOptions::new().want(Features::POISON).open_any()?;
    /// if opened.dropped.contains(Features::POISON) {
    ///     return Ok(()); // Before Linux 6.6.
    /// }
    /// let uffd = opened.userfaultfd;
    /// let region = MappedRegion::anonymous(&uffd, 3 * PAGE, RegisterModes::MISSING)?;
    /// let first = PageRange::new(region.range().start(), PAGE);
    /// let rest = region.range().after(PAGE);
    /// assert_eq!(uffd.poison_once(first, PoisonFlags::empty()).all()?, PAGE);
    /// let filled = uffd.fill_poison(rest, PoisonFlags::empty());
    /// assert_eq!(filled, Filled { done: 2 * PAGE, stop: None });
    ///
    /// // A touch would be a SIGBUS; a system call that touches it says so.
    /// let (file, _) = MemfdOptions::new().create_or_legacy(c"copy")?;
    /// // SAFETY: memory that is mapped.
    /// let written = unsafe { syscall!(nr::WRITE, file.as_fd(), region.as_ptr(), PAGE) };
    /// assert_eq!(written, Err(Errno::EFAULT));
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [UFFDIO_POISON(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_POISON.2const.html).
    #[doc(alias = "UFFDIO_POISON")]
    pub fn poison_once(&self, range: PageRange, flags: PoisonFlags) -> Filled {
        let mut arg = UffdioPoison {
            range: range.to_abi(),
            mode: flags.bits(),
            updated: 0,
        };
        // SAFETY: the structure that it takes; missing pages may be filled.
        let result =
            unsafe { syscall_zero!(nr::IOCTL, self.as_fd(), abi::UFFDIO_POISON, &raw mut arg) };
        Filled::answer(result, arg.updated, range.len())
    }

    /// Repeats [`Self::poison_once`] until all is done or the cause is known,
    /// and wakes when a page exists.
    ///
    /// See [`Self::poison_once`] for an example.
    pub fn fill_poison(&self, range: PageRange, flags: PoisonFlags) -> Filled {
        let wake = !flags.contains(PoisonFlags::DONTWAKE);
        go_on(self, range, wake, Existing::Stop, |rest, _| {
            self.poison_once(rest, flags)
        })
    }
}
