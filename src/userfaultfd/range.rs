//! Ranges of whole pages.

use super::abi::UffdioRange;
use core::fmt;

/// A range of addresses, in whole pages: a number and a length, not memory.
///
/// The addresses are those of the process that faults, which may be another
/// one. Nothing is checked here: what is not a whole number of the memory's own
/// pages, the kernel refuses with `EINVAL`. An address with a tag in its top
/// bits is refused too.
///
/// ```
/// use barecall::userfaultfd::PageRange;
///
/// let range = PageRange::new(0x10_0000, 0x4000);
/// assert!(range.contains(0x10_3fff) && !range.contains(0x10_4000));
/// assert_eq!(PageRange::page_of(0x10_1234, 4096), PageRange::new(0x10_1000, 4096));
///
/// let rest = range.after(0x1000);
/// assert_eq!((rest.start(), rest.end()), (0x10_1000, range.end()));
/// let first = PageRange::new(0x10_0000, 0x2000);
/// assert_eq!(first.intersection(rest), Some(PageRange::new(0x10_1000, 0x1000)));
/// assert!(range.after(0x4000).is_empty());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageRange {
    start: usize,
    len: usize,
}

impl PageRange {
    /// `len` bytes from the address `start` on.
    #[inline]
    pub const fn new(start: usize, len: usize) -> Self {
        Self { start, len }
    }

    /// `len` bytes of this process's memory, from `start` on.
    ///
    /// The provenance of the pointer is exposed: the kernel will write there.
    #[inline]
    pub fn of_memory<T>(start: *const T, len: usize) -> Self {
        Self {
            start: start.expose_provenance(),
            len,
        }
    }

    /// The page of `page_size` bytes, a power of two, that `address` is in.
    #[inline]
    pub const fn page_of(address: usize, page_size: usize) -> Self {
        Self {
            start: address & !page_size.wrapping_sub(1),
            len: page_size,
        }
    }

    /// The address of the first byte.
    #[inline]
    pub const fn start(self) -> usize {
        self.start
    }

    /// In bytes.
    #[inline]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The address after the last byte.
    #[inline]
    pub const fn end(self) -> usize {
        self.start.saturating_add(self.len)
    }

    /// Whether `address` is in it.
    #[inline]
    pub const fn contains(self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.len
    }

    /// What is in both, if anything.
    #[inline]
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end().min(other.end());
        (start < end).then(|| Self::new(start, end.wrapping_sub(start)))
    }

    /// What is left after the first `bytes`.
    #[inline]
    pub const fn after(self, bytes: usize) -> Self {
        let bytes = if bytes < self.len { bytes } else { self.len };
        Self {
            start: self.start.wrapping_add(bytes),
            len: self.len.wrapping_sub(bytes),
        }
    }

    #[inline]
    pub(super) const fn to_abi(self) -> UffdioRange {
        UffdioRange {
            start: self.start as u64,
            len: self.len as u64,
        }
    }
}

impl fmt::Debug for PageRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end())
    }
}
