//! Putting pages where they are missing: COPY, ZEROPAGE, CONTINUE, MOVE,
//! POISON.

use super::abi::{self, UffdioContinue, UffdioCopy, UffdioMove, UffdioPoison, UffdioZeropage};
use super::{PageRange, Userfaultfd};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;
use core::fmt;

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

/// Why a fill did not get to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The kernel did a part, and does not say why only that (`EAGAIN` with a
    /// count). Asking for the rest tells. Only a `*_once` answers this.
    Short,
    /// `EEXIST`: there is a page already, and it stays as it is.
    ///
    /// The kernel does *not* wake a thread that waits for it. The functions
    /// that are more than one request do.
    Exists,
    /// `EAGAIN`, nothing done: the process is forking or changing its
    /// mappings, and waits until its event is read.
    ///
    /// Read the events, then try again; even then it can say so until the other
    /// thread has run. Waking works meanwhile. Neither try in a closed loop nor
    /// wait for a new message alone.
    Changing,
    /// `ESRCH`: the process, or its memory, is no more.
    Gone,
    /// `ENOENT`: not registered, not mapped, or across the border of two
    /// mappings (an `mprotect` makes such borders); for MOVE, also a hole in
    /// the source.
    Unmapped,
    /// `EFAULT`: the source cannot be read; for CONTINUE, the file has no such
    /// page.
    Source,
    /// `ENOMEM`: no memory, or the limit of the control group.
    NoMemory,
    /// `EBUSY`: a page to be moved is pinned, or shared with a child.
    Busy,
    /// `EINVAL`: not whole pages, or this memory cannot be filled so.
    Invalid,
    /// `EINTR`: a fatal signal is on its way.
    Interrupted,
    /// Something else.
    Other(Errno),
}

impl Stop {
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::EEXIST => Self::Exists,
            Errno::EAGAIN => Self::Changing,
            Errno::ESRCH => Self::Gone,
            Errno::ENOENT => Self::Unmapped,
            Errno::EFAULT => Self::Source,
            Errno::ENOMEM => Self::NoMemory,
            Errno::EBUSY => Self::Busy,
            Errno::EINVAL => Self::Invalid,
            Errno::EINTR => Self::Interrupted,
            other => Self::Other(other),
        }
    }

    /// The error that the kernel gave.
    pub fn errno(self) -> Errno {
        match self {
            Self::Short | Self::Changing => Errno::EAGAIN,
            Self::Exists => Errno::EEXIST,
            Self::Gone => Errno::ESRCH,
            Self::Unmapped => Errno::ENOENT,
            Self::Source => Errno::EFAULT,
            Self::NoMemory => Errno::ENOMEM,
            Self::Busy => Errno::EBUSY,
            Self::Invalid => Errno::EINVAL,
            Self::Interrupted => Errno::EINTR,
            Self::Other(errno) => errno,
        }
    }
}

impl From<Stop> for Errno {
    #[inline]
    fn from(stop: Stop) -> Self {
        stop.errno()
    }
}

/// How far a fill got, and why not farther.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a fill can stop early, and a page that is not filled is still missing"]
pub struct Filled {
    /// Bytes filled, from the start of the range on. Never an error in
    /// disguise.
    pub done: usize,
    /// `None`: all of it.
    pub stop: Option<Stop>,
}

impl Filled {
    /// The bytes if it was all of it, else the error; the count is lost.
    #[inline]
    pub fn all(self) -> Result<usize, Errno> {
        match self.stop {
            None => Ok(self.done),
            Some(stop) => Err(stop.errno()),
        }
    }

    pub(super) const fn stopped(stop: Stop) -> Self {
        Self {
            done: 0,
            stop: Some(stop),
        }
    }

    /// From the result of the request and the field that it may have written.
    ///
    /// The cause is the result's. The field is a count only when it is
    /// positive: for "nothing" some kernels write an errno there and others
    /// write nothing at all.
    fn answer(result: Result<(), Errno>, field: i64, len: usize) -> Self {
        match result {
            Ok(()) => Self {
                done: len,
                stop: None,
            },
            Err(_) if field > 0 => Self {
                done: (field as usize).min(len),
                stop: Some(Stop::Short),
            },
            Err(errno) => Self::stopped(Stop::of(errno)),
        }
    }
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.done, f)?;
        f.write_str(" bytes filled")?;
        if let Some(stop) = self.stop {
            f.write_str(", then ")?;
            fmt::Display::fmt(&stop.errno(), f)?;
        }
        Ok(())
    }
}

/// What a fill does when a page is there already.
#[derive(Clone, Copy)]
enum Existing {
    Stop,
    /// Goes on behind it; the size of a page.
    Skip(usize),
}

/// Repeats `once` from where it came to, until the cause is known.
fn go_on(
    uffd: &Userfaultfd,
    range: PageRange,
    wake: bool,
    existing: Existing,
    mut once: impl FnMut(PageRange, usize) -> Filled,
) -> Filled {
    let mut done = 0;
    loop {
        let rest = range.after(done);
        let filled = once(rest, done);
        done = done.saturating_add(filled.done);
        match (filled.stop, existing) {
            // The count is positive, so this ends.
            (Some(Stop::Short), _) => {}
            (Some(Stop::Exists), Existing::Skip(page_size)) if page_size > 0 => {
                if wake {
                    // The range is registered; who waits, must not wait for
                    // a page that is there.
                    let _ = uffd.wake(PageRange::new(rest.start(), page_size));
                }
                done = done.saturating_add(page_size);
                if done >= range.len() {
                    let done = range.len();
                    return Filled { done, stop: None };
                }
            }
            (Some(Stop::Exists), _) => {
                if wake {
                    let _ = uffd.wake(rest);
                }
                let stop = filled.stop;
                return Filled { done, stop };
            }
            (stop, _) => return Filled { done, stop },
        }
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
    /// [`Stop::Source`].)
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

    /// `ioctl(fd, UFFDIO_ZEROPAGE, arg)`: zeros for the missing pages of
    /// `range`, once.
    ///
    /// Not for huge pages of hugetlbfs ([`Stop::Invalid`]): copy zeros there.
    /// An anonymous page that was write-protected before it was there (with
    /// [`Features::WP_UNPOPULATED`](super::Features::WP_UNPOPULATED)) counts as
    /// one that exists, and faults again: copy, or lift the protection first.
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
