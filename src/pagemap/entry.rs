//! What there is to say of a page, in 64 bits.

use core::fmt;

/// What `/proc/PID/pagemap` has of a page, in 64 bits.
///
/// ```
/// use barecall::pagemap::Entry;
///
/// let entry = Entry::from_bits(1 << 63 | 1 << 57 | 0x1234);
/// assert!(entry.is_present() && entry.is_write_protected());
/// assert_eq!(entry.frame(), Some(0x1234));
/// assert!(!entry.is_swapped() && !entry.is_file() && !entry.is_guard());
/// let entry = Entry::from_bits(entry.bits() | 1 << 61 | 1 << 56 | 1 << 55);
/// assert!(entry.is_file() && entry.is_exclusive() && entry.is_soft_dirty());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Entry(u64);

impl Entry {
    /// The entry of these bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// All bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    const fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Bit 63: in memory.
    pub const fn is_present(self) -> bool {
        self.bit(63)
    }

    /// Bit 62: swapped out.
    pub const fn is_swapped(self) -> bool {
        self.bit(62)
    }

    /// Bit 61: of a file, or shared anonymous memory (since Linux 3.5).
    pub const fn is_file(self) -> bool {
        self.bit(61)
    }

    /// Bit 58: a guard (since Linux 6.15).
    pub const fn is_guard(self) -> bool {
        self.bit(58)
    }

    /// Bit 57: write-protected by a userfaultfd (since Linux 5.13).
    pub const fn is_write_protected(self) -> bool {
        self.bit(57)
    }

    /// Bit 56: mapped here only (since Linux 4.2).
    pub const fn is_exclusive(self) -> bool {
        self.bit(56)
    }

    /// Bit 55: written since `/proc/PID/clear_refs` (since Linux 3.11), where
    /// the kernel has that.
    pub const fn is_soft_dirty(self) -> bool {
        self.bit(55)
    }

    /// Bits 0 to 54 of a page in memory: the number of its frame. Zeros
    /// without `CAP_SYS_ADMIN`.
    pub const fn frame(self) -> Option<u64> {
        if self.is_present() {
            Some(self.0 & ((1 << 55) - 1))
        } else {
            None
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:#x})", self.0)
    }
}
