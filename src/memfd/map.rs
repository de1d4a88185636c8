//! The mappings: [`Map`], [`PrivateMap`] and [`SharedMap`](super::SharedMap).

use super::FileFacts;
use crate::errno::Errno;
use crate::fd::BorrowedFd;
use crate::mm::{self, MapFlags, ProtFlags};
use core::fmt;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::{self, NonNull};
use core::slice;

/// The largest page of the supported architectures. An offset that is a
/// multiple of it can be mapped on every machine, whatever its pages are.
const PAGE_MAX: u64 = 64 << 10;

/// The largest huge page. Some file systems have larger blocks.
const HUGE_MAX: u64 = 16 << 30;

/// Part of a file in memory: what the three kinds of map have in common.
///
/// The range need not start where a page does; what is mapped does. `munmap`
/// rounds the size up to pages by itself, but not to huge ones.
#[derive(Debug)]
pub(super) struct Mapping {
    /// What is mapped: from here, so many bytes; 0 for nothing at all.
    base: NonNull<u8>,
    size: usize,
    /// What was asked for: from here, so many bytes.
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps `range` of the file, which must be inside of it.
    pub(super) fn new(
        fd: BorrowedFd<'_>,
        prot: ProtFlags,
        flags: MapFlags,
        range: Range<u64>,
        file: &FileFacts,
    ) -> Result<Self, Errno> {
        if range.start > range.end || range.end > file.len {
            return Err(Errno::ENXIO);
        }
        // 64 bits on every architecture that there is, so nothing is lost.
        let len = (range.end - range.start) as usize;
        if len == 0 {
            return Ok(Self {
                base: NonNull::dangling(),
                size: 0,
                start: NonNull::dangling(),
                len: 0,
            });
        }
        let huge = match file.block {
            block if block.is_power_of_two() && block <= HUGE_MAX => block,
            _ => 1,
        };
        let before = range.start & (huge.max(PAGE_MAX) - 1);
        let size = (range.end - range.start)
            .checked_add(before)
            .and_then(|size| size.checked_next_multiple_of(huge))
            .filter(|&size| size <= isize::MAX as u64)
            .ok_or(Errno::ENOMEM)? as usize;
        // SAFETY: a new mapping, where nothing was.
        let base =
            unsafe { mm::mmap(ptr::null_mut(), size, prot, flags, fd, range.start - before) }?;
        // Never null without MAP_FIXED.
        let base = NonNull::new(base.cast::<u8>()).ok_or(Errno::ENOMEM)?;
        Ok(Self {
            base,
            size,
            // SAFETY: `before + len` is at most `size`.
            start: unsafe { base.add(before as usize) },
            len,
        })
    }

    pub(super) const fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.size != 0 {
            // SAFETY: ours, whole, and nothing points there any more. It can
            // fail only if it is split in a process that has as many mappings
            // as it may; whole ones are not split.
            let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.size) };
        }
    }
}

/// A file whose bytes cannot change, as a `&[u8]`. From
/// [`Frozen::map`](super::Frozen::map), which explains why that is sound.
///
/// Private and read-only. It is unmapped on drop, and does not need the
/// descriptor: it keeps the file alive by itself.
pub struct Map(Mapping);

// SAFETY: memory of the process, which nobody changes.
unsafe impl Send for Map {}
// SAFETY: memory of the process, which nobody changes.
unsafe impl Sync for Map {}

impl Map {
    /// # Safety
    ///
    /// `PROT_READ` and `MAP_PRIVATE`, of a part of a file that cannot change.
    pub(super) const unsafe fn new(mapping: Mapping) -> Self {
        Self(mapping)
    }
}

impl Deref for Map {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: mapped, readable, inside a file which never gets shorter, and
        // constant, as `new` was promised; for length 0, dangling and aligned.
        unsafe { slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}

impl AsRef<[u8]> for Map {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("ptr", &self.0.as_ptr())
            .field("len", &self.0.len())
            .finish()
    }
}

/// A writable copy, page by page on the first write, of a file whose bytes
/// cannot change. From [`Frozen::map_private`](super::Frozen::map_private).
///
/// What is written stays in this mapping; the file and other mappings of it
/// do not see it. A forked child has a copy of its own.
pub struct PrivateMap(Mapping);

// SAFETY: memory of the process, which nobody else changes.
unsafe impl Send for PrivateMap {}
// SAFETY: memory of the process; writing takes `&mut`.
unsafe impl Sync for PrivateMap {}

impl PrivateMap {
    /// # Safety
    ///
    /// `PROT_READ | PROT_WRITE` and `MAP_PRIVATE`, of a part of a file that
    /// cannot change.
    pub(super) const unsafe fn new(mapping: Mapping) -> Self {
        Self(mapping)
    }
}

impl Deref for PrivateMap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: mapped, readable, inside a file which never gets shorter. A
        // page is the file's, which is constant, or a copy that is ours alone.
        unsafe { slice::from_raw_parts(self.0.as_ptr(), self.0.len()) }
    }
}

impl DerefMut for PrivateMap {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, writable, and borrowed by nobody else.
        unsafe { slice::from_raw_parts_mut(self.0.as_ptr(), self.0.len()) }
    }
}

impl AsRef<[u8]> for PrivateMap {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for PrivateMap {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for PrivateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateMap")
            .field("ptr", &self.0.as_ptr())
            .field("len", &self.0.len())
            .finish()
    }
}
