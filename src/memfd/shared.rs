//! Memory that others can write.

use super::map::Mapping;
use crate::arch;
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::mm::{MapFlags, ProtFlags};
use core::fmt;
use core::ops::Range;
use core::slice;

/// What a [`SharedMap`] can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `PROT_READ`.
    Read,
    /// `PROT_READ | PROT_WRITE`.
    ReadWrite,
}

/// A file in memory, shared with everybody else who has it: `MAP_SHARED`.
///
/// Other threads, other processes and plain `write` calls change these bytes
/// while one looks at them, so there is no safe reference into them. There are
/// copies in and out, [`read_at`](Self::read_at) and
/// [`write_at`](Self::write_at); a pointer; and slices that are `unsafe`.
///
/// If somebody makes the file shorter, touching what is gone is a `SIGBUS`,
/// which ends the process: it is no undefined behaviour, but no error either.
/// On a file with [`Seals::SHRINK`](super::Seals::SHRINK) that cannot happen.
/// The other reasons for which a mapping can fault are those of a
/// [`Map`](super::Map), see [`Frozen`](super::Frozen#what-can-still-happen).
///
/// As long as one lives that was made from a writable descriptor, even with
/// [`Access::Read`], [`Seals::WRITE`](super::Seals::WRITE) is `EBUSY`.
pub struct SharedMap {
    mapping: Mapping,
    access: Access,
}

// SAFETY: memory of the process; the accessors tolerate whoever writes it.
unsafe impl Send for SharedMap {}
// SAFETY: as above. What gives references is unsafe.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// Maps the whole of a regular file, or `range` of it: `fstat`, then
    /// `mmap`.
    ///
    /// `None` is everything from the beginning to the end that the file has at
    /// this moment. The range need not start or end where a page does. If it
    /// is empty, nothing is mapped, and the `mmap` is left out.
    ///
    /// For anything that is a file with bytes in it: a [`Memfd`](super::Memfd),
    /// [`memfd_secret`](super::memfd_secret), a file of a file system. Not for
    /// devices and the like, whose memory means something to the hardware or to
    /// the kernel.
    ///
    /// # Errors
    ///
    /// Without a system call: `ENXIO`: the range is not inside the file.
    /// `EINVAL`: not a regular file.
    ///
    /// From `mmap`: `EACCES`: the descriptor cannot read, or not write and
    /// [`Access::ReadWrite`] was asked for. `EPERM`: a seal is against it, and
    /// on some kernels before 6.7 and in 6.12 that goes for [`Access::Read`] of
    /// a file with [`Seals::WRITE`](super::Seals::WRITE) too; a
    /// [`Frozen`](super::Frozen) can be mapped everywhere. `ENOMEM`: no address
    /// space, too many mappings, not enough huge pages. `EAGAIN`: more locked
    /// memory (`memfd_secret`) than `RLIMIT_MEMLOCK`. `ENODEV`: a file that
    /// cannot be mapped. `EOVERFLOW`: at the end of the longest file there can be.
    ///
    /// ```
    /// use barecall::memfd::{Access, Exec, MemfdOptions, SharedMap};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).create(c"doc")?;
    /// file.set_len(8192)?;
    /// let map = SharedMap::new(&file, Access::ReadWrite, None)?;
    /// assert_eq!(map.write_at(b"hello", 4094)?, 5);
    ///
    /// let mut buf = [0; 5];
    /// file.read_at(&mut buf, 4094)?;
    /// assert_eq!(&buf, b"hello");
    ///
    /// let part = SharedMap::new(&file, Access::Read, Some(4095..8192))?;
    /// assert_eq!(part.read_at(&mut buf, 0), 5);
    /// assert_eq!(&buf, b"ello\0");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn new<Fd: AsFd>(fd: Fd, access: Access, range: Option<Range<u64>>) -> Result<Self, Errno> {
        let fd = fd.as_fd();
        let file = super::FileFacts::of(fd)?;
        if !file.is_regular() {
            return Err(Errno::EINVAL);
        }
        let prot = match access {
            Access::Read => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        let range = range.unwrap_or(0..file.len);
        Mapping::new(fd, prot, MapFlags::SHARED, range, &file)
            .map(|mapping| Self { mapping, access })
    }

    /// How many bytes there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it can do.
    #[inline]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Where it is. Good for [`len`](Self::len) bytes, as long as `self` lives;
    /// not for writing when the access is [`Access::Read`].
    ///
    /// ```
    /// use barecall::memfd::{Access, Exec, MemfdOptions, SharedMap};
    /// use core::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).create(c"doc")?;
    /// file.set_len(4096)?;
    /// let map = SharedMap::new(&file, Access::ReadWrite, None)?;
    /// let other = SharedMap::new(&file, Access::ReadWrite, None)?;
    ///
    /// // A counter for all processes that have the file.
    /// // SAFETY: aligned, mapped, and used by atomics only.
    /// let (here, there) = unsafe {
    ///     let here = AtomicU32::from_ptr(map.as_ptr().cast());
    ///     (here, AtomicU32::from_ptr(other.as_ptr().cast()))
    /// };
    /// here.fetch_add(1, Ordering::Relaxed);
    /// there.fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(here.load(Ordering::Relaxed), 2);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    /// Copies from `offset` on into `buf`, and says how many bytes: fewer than
    /// `buf` has if the map ends before, 0 past its end.
    ///
    /// No system call. While others write, each *byte* is one that was there
    /// at some moment; nothing holds bytes together, and nothing orders one
    /// call after another: that takes atomics, see [`as_ptr`](Self::as_ptr) and
    /// `AtomicU32::from_ptr`.
    #[inline]
    pub fn read_at(&self, buf: &mut [u8], offset: usize) -> usize {
        let Some(left) = self.len().checked_sub(offset) else {
            return 0;
        };
        let n = buf.len().min(left);
        // SAFETY: `offset + n` is at most `len`, and both sides are mapped.
        unsafe { arch::copy_racing(buf.as_mut_ptr(), self.as_ptr().add(offset), n) };
        n
    }

    /// Copies `buf` to `offset` and following, and says how many bytes: fewer
    /// than `buf` has if the map ends before, 0 past its end.
    ///
    /// No system call, and the same about others as for
    /// [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// `EACCES`: the map was made with [`Access::Read`].
    #[inline]
    pub fn write_at(&self, buf: &[u8], offset: usize) -> Result<usize, Errno> {
        if self.access != Access::ReadWrite {
            return Err(Errno::EACCES);
        }
        let Some(left) = self.len().checked_sub(offset) else {
            return Ok(0);
        };
        let n = buf.len().min(left);
        // SAFETY: `offset + n` is at most `len`, both sides are mapped, and
        // this one writable.
        unsafe { arch::copy_racing(self.as_ptr().add(offset), buf.as_ptr(), n) };
        Ok(n)
    }

    /// The bytes.
    ///
    /// # Safety
    ///
    /// While the slice lives nobody writes these bytes, by whichever way and in
    /// whichever process, and nobody makes the file shorter.
    ///
    /// ```
    /// use barecall::memfd::{Access, Exec, MemfdOptions, SharedMap};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).create(c"doc")?;
    /// file.set_len(4096)?;
    /// let mut map = SharedMap::new(&file, Access::ReadWrite, None)?;
    /// assert!(!map.is_empty() && map.access() == Access::ReadWrite);
    /// // SAFETY: nobody else has the file yet.
    /// let bytes = unsafe { map.as_mut_slice() };
    /// bytes[..5].copy_from_slice(b"hello");
    /// // SAFETY: as above.
    /// assert_eq!(unsafe { map.as_slice() }.iter().rposition(|&byte| byte != 0), Some(4));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub const unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: mapped and readable; the rest is the caller's promise.
        unsafe { slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// The bytes, to write.
    ///
    /// # Safety
    ///
    /// The access is [`Access::ReadWrite`], and while the slice lives nobody
    /// else reads or writes these bytes, by whichever way and in whichever
    /// process, and nobody makes the file shorter.
    ///
    /// See [`as_slice`](Self::as_slice) for an example.
    #[inline]
    pub const unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: mapped; the rest is the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.as_ptr(), self.len()) }
    }
}

impl fmt::Debug for SharedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMap")
            .field("ptr", &self.as_ptr())
            .field("len", &self.len())
            .field("access", &self.access)
            .finish()
    }
}
