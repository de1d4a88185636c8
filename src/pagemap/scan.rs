//! What a scan looks for, and what it says of the pages that match.

use crate::flags::flags;
use crate::userfaultfd::PageRange;

flags! {
    /// `PAGE_IS_*`: what a page is.
    #[derive(Default)]
    pub struct Categories: u64 {
        /// `PAGE_IS_WPALLOWED`: it is registered for asynchronous
        /// write-protection.
        #[doc(alias = "PAGE_IS_WPALLOWED")]
        const WPALLOWED = 1 << 0;
        /// `PAGE_IS_WRITTEN`: written since it was write-protected, or never
        /// protected, or discarded since.
        #[doc(alias = "PAGE_IS_WRITTEN")]
        const WRITTEN = 1 << 1;
        /// `PAGE_IS_FILE`: of a file.
        #[doc(alias = "PAGE_IS_FILE")]
        const FILE = 1 << 2;
        /// `PAGE_IS_PRESENT`: in memory.
        #[doc(alias = "PAGE_IS_PRESENT")]
        const PRESENT = 1 << 3;
        /// `PAGE_IS_SWAPPED`: swapped out.
        #[doc(alias = "PAGE_IS_SWAPPED")]
        const SWAPPED = 1 << 4;
        /// `PAGE_IS_PFNZERO`: the zero page, which nobody has written.
        #[doc(alias = "PAGE_IS_PFNZERO")]
        const PFNZERO = 1 << 5;
        /// `PAGE_IS_HUGE`: a huge page, transparent or of hugetlbfs.
        #[doc(alias = "PAGE_IS_HUGE")]
        const HUGE = 1 << 6;
        /// `PAGE_IS_SOFT_DIRTY`: written since `/proc/PID/clear_refs`, where
        /// the kernel has that (else it says so of no page, and of no error).
        #[doc(alias = "PAGE_IS_SOFT_DIRTY")]
        const SOFT_DIRTY = 1 << 7;
        /// `PAGE_IS_GUARD`: a guard (`MADV_GUARD_INSTALL`).
        #[doc(alias = "PAGE_IS_GUARD")]
        const GUARD = 1 << 8;
        /// `PAGE_IS_ACCESSED`: touched since it was protected by
        /// [`rw_protect`](crate::userfaultfd::Userfaultfd::rw_protect) (since
        /// Linux 7.3). Not having it does not make a page cold: pages that were
        /// not there were not protected.
        #[doc(alias = "PAGE_IS_ACCESSED")]
        const ACCESSED = 1 << 9;
        const _ = !0;
    }
}

flags! {
    /// `PM_SCAN_*`: what a scan does besides looking.
    pub struct ScanFlags: u64 {
        /// `PM_SCAN_WP_MATCHING`: the pages that match are write-protected,
        /// with no moment in between, where they are registered for
        /// asynchronous protection.
        #[doc(alias = "PM_SCAN_WP_MATCHING")]
        const WP_MATCHING = 1 << 0;
        /// `PM_SCAN_CHECK_WPASYNC`: `EPERM` at memory that is not registered
        /// for asynchronous protection, instead of passing it over.
        #[doc(alias = "PM_SCAN_CHECK_WPASYNC")]
        const CHECK_WPASYNC = 1 << 1;
        const _ = !0;
    }
}

/// `struct page_region`: pages that match, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "struct page_region")]
pub struct PageRegion {
    start: u64,
    pub(super) end: u64,
    categories: Categories,
}

impl PageRegion {
    /// Room for one.
    pub const EMPTY: Self = Self {
        start: 0,
        end: 0,
        categories: Categories::empty(),
    };

    /// The addresses.
    pub const fn range(&self) -> PageRange {
        PageRange::new(
            self.start as usize,
            self.end.saturating_sub(self.start) as usize,
        )
    }

    /// What the pages are, of what was asked for with [`Scan::report`].
    pub const fn categories(&self) -> Categories {
        self.categories
    }
}

/// What is looked for, and where.
///
/// Without more: every page of the range, and nothing said about it.
///
/// ```
/// use barecall::Errno;
/// use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan};
/// use barecall::userfaultfd::PageRange;
///
/// const PAGE: usize = 4096;
/// # use barecall::mm::{self, MapFlags, ProtFlags};
/// let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::ANONYMOUS);
/// // SAFETY: a new mapping, of which nobody else knows.
/// let memory = unsafe {
///     let memory = mm::mmap_anonymous(core::ptr::null_mut(), 8 * PAGE, prot, flags)?.cast::<u8>();
///     mm::madvise(memory.cast(), 8 * PAGE, mm::Advice::NOHUGEPAGE).or_else(|errno| match errno {
///         Errno::EINVAL => Ok(()), // A kernel without huge pages.
///         errno => Err(errno),
///     })?;
///     memory.add(2 * PAGE).write(1);
///     memory.add(3 * PAGE).write(1);
///     PageRange::of_memory(memory, 8 * PAGE)
/// };
/// let pagemap = Pagemap::open_self()?;
/// let pages = |scan: Scan| {
///     let mut room = [PageRegion::EMPTY; 8];
///     pagemap.scan(scan, &mut room).try_fold(0, |sum, part| Ok(sum + part?.range().len() / PAGE))
/// };
///
/// // Which pages are there, in memory or in swap?
/// let there = Categories::PRESENT | Categories::SWAPPED;
/// match pages(Scan::new(memory).any_of(there)) {
///     Ok(count) => assert_eq!(count, 2),
///     Err(Errno::ENOTTY) => return Ok(()), // Before Linux 6.7.
///     Err(errno) => return Err(errno),
/// }
/// // And which are not?
/// assert_eq!(pages(Scan::new(memory).all_of(there).inverted(there))?, 6);
/// // What are they?
/// let mut room = [PageRegion::EMPTY; 8];
/// for part in pagemap.scan(Scan::new(memory).any_of(there).report(Categories::FILE), &mut room) {
///     assert!(part?.categories().is_empty());
/// }
/// # Ok::<(), Errno>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Scan {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) flags: ScanFlags,
    pub(super) inverted: Categories,
    pub(super) all_of: Categories,
    pub(super) any_of: Categories,
    pub(super) report: Categories,
}

impl Scan {
    /// A scan of `range`, whose start is a page's.
    pub const fn new(range: PageRange) -> Self {
        Self {
            start: range.start() as u64,
            end: range.end() as u64,
            flags: ScanFlags::empty(),
            inverted: Categories::empty(),
            all_of: Categories::empty(),
            any_of: Categories::empty(),
            report: Categories::empty(),
        }
    }

    /// What to do besides.
    pub const fn flags(mut self, flags: ScanFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Only pages that are all of these (`category_mask`).
    pub const fn all_of(mut self, categories: Categories) -> Self {
        self.all_of = categories;
        self
    }

    /// Only pages that are at least one of these (`category_anyof_mask`).
    ///
    /// See [`Scan`] for an example.
    pub const fn any_of(mut self, categories: Categories) -> Self {
        self.any_of = categories;
        self
    }

    /// For [`Self::all_of`] and [`Self::any_of`], a page counts as one of these
    /// when it is *not* (`category_inverted`).
    ///
    /// See [`Scan`] for an example.
    pub const fn inverted(mut self, categories: Categories) -> Self {
        self.inverted = categories;
        self
    }

    /// What to say of the pages (`return_mask`). Pages that differ in it are
    /// different regions.
    ///
    /// See [`Scan`] for an example.
    pub const fn report(mut self, categories: Categories) -> Self {
        self.report = categories;
        self
    }
}
