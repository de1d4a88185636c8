//! Mapping memory, and telling the kernel about it.
//!
//! Addresses are pointers throughout, and what [`mmap`] and [`mremap`] return
//! comes straight from the register. Lengths are in bytes; the kernel rounds
//! them up to whole pages, and wants addresses that are whole pages.

mod advice;
mod remap;
mod resident;

pub use advice::*;
pub use remap::*;
pub use resident::*;

use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::syscall::syscall_zero;
use crate::{nr, syscall_ptr};
use core::ffi::c_void;

flags! {
    /// `PROT_*`: what may be done with the memory.
    pub struct ProtFlags: u32 {
        /// `PROT_NONE`: nothing.
        #[doc(alias = "PROT_NONE")]
        const NONE = 0;
        /// `PROT_READ`: reading.
        #[doc(alias = "PROT_READ")]
        const READ = 1;
        /// `PROT_WRITE`: writing. On both architectures that implies reading.
        #[doc(alias = "PROT_WRITE")]
        const WRITE = 2;
        /// `PROT_EXEC`: executing.
        #[doc(alias = "PROT_EXEC")]
        const EXEC = 4;
        /// `PROT_SEM`: atomic operations. Changes nothing here.
        #[doc(alias = "PROT_SEM")]
        const SEM = 8;
        /// `PROT_GROWSDOWN`, for [`mprotect`]: down to the beginning of a
        /// mapping that grows down.
        #[doc(alias = "PROT_GROWSDOWN")]
        const GROWSDOWN = 0x0100_0000;
        /// `PROT_GROWSUP`, for [`mprotect`]: up to the end of a mapping that
        /// grows up. There is none on x86_64 and aarch64.
        #[doc(alias = "PROT_GROWSUP")]
        const GROWSUP = 0x0200_0000;
        const _ = !0;
    }
}

flags! {
    /// `MAP_*`: what kind of mapping.
    ///
    /// One of [`SHARED`](Self::SHARED), [`PRIVATE`](Self::PRIVATE),
    /// [`SHARED_VALIDATE`](Self::SHARED_VALIDATE) and
    /// [`DROPPABLE`](Self::DROPPABLE) must be there.
    pub struct MapFlags: u32 {
        /// `MAP_SHARED`: writes are seen by all who map the file, and reach it.
        /// Flags that the kernel does not know are ignored.
        #[doc(alias = "MAP_SHARED")]
        const SHARED = 1;
        /// `MAP_PRIVATE`: writes are seen by nobody else.
        #[doc(alias = "MAP_PRIVATE")]
        const PRIVATE = 2;
        /// `MAP_SHARED_VALIDATE`: as `SHARED`, and flags that the kernel does
        /// not know are `EOPNOTSUPP` (since Linux 4.15).
        #[doc(alias = "MAP_SHARED_VALIDATE")]
        const SHARED_VALIDATE = 3;
        /// `MAP_DROPPABLE`: private memory that the kernel may turn into zeros
        /// at any time instead of swapping it (since Linux 6.11). Rust must
        /// not believe in anything that is kept there.
        #[doc(alias = "MAP_DROPPABLE")]
        const DROPPABLE = 8;
        /// `MAP_FIXED`: exactly there, replacing what was mapped before.
        #[doc(alias = "MAP_FIXED")]
        const FIXED = 0x10;
        /// `MAP_ANONYMOUS`: zeroed memory, and no file.
        #[doc(alias = "MAP_ANONYMOUS")]
        #[doc(alias = "MAP_ANON")]
        const ANONYMOUS = 0x20;
        /// `MAP_GROWSDOWN`: grows when the page below it is touched. For
        /// stacks of another age: up to `RLIMIT_STACK`, or shortly before the next
        /// mapping.
        #[doc(alias = "MAP_GROWSDOWN")]
        const GROWSDOWN = 0x100;
        /// `MAP_DENYWRITE`: ignored.
        #[doc(alias = "MAP_DENYWRITE")]
        const DENYWRITE = 0x800;
        /// `MAP_EXECUTABLE`: ignored.
        #[doc(alias = "MAP_EXECUTABLE")]
        const EXECUTABLE = 0x1000;
        /// `MAP_LOCKED`: as [`mlock2`], without telling whether it worked.
        #[doc(alias = "MAP_LOCKED")]
        const LOCKED = 0x2000;
        /// `MAP_NORESERVE`: no swap space, or huge pages, are set aside.
        #[doc(alias = "MAP_NORESERVE")]
        const NORESERVE = 0x4000;
        /// `MAP_POPULATE`: page tables are filled now, as far as that works.
        #[doc(alias = "MAP_POPULATE")]
        const POPULATE = 0x8000;
        /// `MAP_NONBLOCK`: makes `POPULATE` do nothing.
        #[doc(alias = "MAP_NONBLOCK")]
        const NONBLOCK = 0x1_0000;
        /// `MAP_STACK`: is going to be a stack. No transparent huge pages
        /// (since Linux 6.7).
        #[doc(alias = "MAP_STACK")]
        const STACK = 0x2_0000;
        /// `MAP_HUGETLB`: of huge pages of the default size, or of the one
        /// that a `HUGE_*` says.
        #[doc(alias = "MAP_HUGETLB")]
        const HUGETLB = 0x4_0000;
        /// `MAP_SYNC`: a write that was made is on the (DAX) medium. Only with
        /// `SHARED_VALIDATE` (since Linux 4.15).
        #[doc(alias = "MAP_SYNC")]
        const SYNC = 0x8_0000;
        /// `MAP_FIXED_NOREPLACE`: exactly there, or `EEXIST` (since Linux
        /// 4.17; older kernels take the address as a hint).
        #[doc(alias = "MAP_FIXED_NOREPLACE")]
        const FIXED_NOREPLACE = 0x10_0000;
        /// `MAP_UNINITIALIZED`: not cleared; only on machines without MMU.
        #[doc(alias = "MAP_UNINITIALIZED")]
        const UNINITIALIZED = 0x400_0000;
        /// `MAP_HUGE_16KB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_16KB")]
        const HUGE_16KB = 14 << 26;
        /// `MAP_HUGE_64KB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_64KB")]
        const HUGE_64KB = 16 << 26;
        /// `MAP_HUGE_512KB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_512KB")]
        const HUGE_512KB = 19 << 26;
        /// `MAP_HUGE_1MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_1MB")]
        const HUGE_1MB = 20 << 26;
        /// `MAP_HUGE_2MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_2MB")]
        const HUGE_2MB = 21 << 26;
        /// `MAP_HUGE_8MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_8MB")]
        const HUGE_8MB = 23 << 26;
        /// `MAP_HUGE_16MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_16MB")]
        const HUGE_16MB = 24 << 26;
        /// `MAP_HUGE_32MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_32MB")]
        const HUGE_32MB = 25 << 26;
        /// `MAP_HUGE_256MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_256MB")]
        const HUGE_256MB = 28 << 26;
        /// `MAP_HUGE_512MB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_512MB")]
        const HUGE_512MB = 29 << 26;
        /// `MAP_HUGE_1GB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_1GB")]
        const HUGE_1GB = 30 << 26;
        /// `MAP_HUGE_2GB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_2GB")]
        const HUGE_2GB = 31 << 26;
        /// `MAP_HUGE_16GB`: with `HUGETLB`, pages of that size.
        #[doc(alias = "MAP_HUGE_16GB")]
        const HUGE_16GB = 34 << 26;
        const _ = !0;
    }
}

impl MapFlags {
    /// `HUGETLB` with pages of `1 << log2` bytes, for a size without a name
    /// (`MAP_HUGE_SHIFT`). Only the low 6 bits of `log2` count.
    #[inline]
    #[doc(alias = "MAP_HUGE_SHIFT")]
    #[doc(alias = "MAP_HUGE_MASK")]
    pub const fn huge_log2(log2: u32) -> Self {
        Self::from_bits_retain(Self::HUGETLB.bits() | (log2 & 0x3f) << 26)
    }
}

/// `mmap(addr, length, prot, flags, fd, offset)`: maps `len` bytes of a file,
/// from byte `offset` on.
///
/// Without `FIXED`, `addr` is a hint, and null leaves the choice to the kernel.
/// For memory without a file, [`mmap_anonymous`].
///
/// # Safety
///
/// With [`MapFlags::FIXED`], whatever was mapped there is gone, and nothing
/// may depend on it. What is in the mapping can change when others write the
/// file, and touching a page behind the file's end is a `SIGBUS`: a reference
/// into it is up to whoever knows that neither happens.
///
/// # Errors
///
/// `EACCES`: the descriptor is not open for reading, or not for writing and
/// the mapping is shared and writable. `EINVAL`: a length of 0, an unaligned
/// offset or fixed address, or no kind of mapping. `ENODEV`: the file cannot
/// be mapped. `ENOMEM`: no room, or too many mappings. `EAGAIN`: locked memory
/// is limited. `EEXIST`: [`MapFlags::FIXED_NOREPLACE`], and something is there.
/// `EPERM`: a seal, or a `noexec` mount. `EOPNOTSUPP`: an unknown flag with
/// [`MapFlags::SHARED_VALIDATE`]. `EOVERFLOW`.
///
/// ```
/// use barecall::memfd::MemfdOptions;
/// use barecall::mm::{MapFlags, ProtFlags, mmap, munmap};
/// use barecall::io;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// io::write(&file, b"hello")?;
/// // SAFETY: a new mapping, and nobody else has the file.
/// unsafe {
///     let map = mmap(core::ptr::null_mut(), 5, ProtFlags::READ, MapFlags::SHARED, &file, 0)?;
///     assert_eq!(core::slice::from_raw_parts(map.cast::<u8>(), 5), b"hello");
///     munmap(map, 5)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html).
#[inline]
pub unsafe fn mmap<Fd: AsFd>(
    addr: *mut c_void,
    len: usize,
    prot: ProtFlags,
    flags: MapFlags,
    fd: Fd,
    offset: u64,
) -> Result<*mut c_void, Errno> {
    // SAFETY: the caller's promise.
    unsafe {
        syscall_ptr!(
            nr::MMAP,
            addr,
            len,
            prot.bits(),
            flags.bits(),
            fd.as_fd(),
            offset
        )
    }
}

/// `mmap(addr, length, prot, flags | MAP_ANONYMOUS, -1, 0)`: maps `len` bytes
/// of zeros.
///
/// # Safety
///
/// With [`MapFlags::FIXED`], whatever was mapped there is gone, and nothing
/// may depend on it.
///
/// # Errors
///
/// As [`mmap`], as far as they do not come from a file.
///
/// ```
/// use barecall::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
///
/// let prot = ProtFlags::READ | ProtFlags::WRITE;
/// // SAFETY: a new mapping, somewhere where nothing was.
/// unsafe {
///     let map = mmap_anonymous(core::ptr::null_mut(), 65536, prot, MapFlags::PRIVATE)?;
///     map.cast::<u64>().write(1);
///     munmap(map, 65536)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html).
#[inline]
pub unsafe fn mmap_anonymous(
    addr: *mut c_void,
    len: usize,
    prot: ProtFlags,
    flags: MapFlags,
) -> Result<*mut c_void, Errno> {
    let flags = flags | MapFlags::ANONYMOUS;
    // SAFETY: the caller's promise.
    unsafe { syscall_ptr!(nr::MMAP, addr, len, prot.bits(), flags.bits(), -1, 0) }
}

/// `munmap(addr, length)`: unmaps every page that the range touches. Holes are
/// no error.
///
/// # Safety
///
/// Nothing may depend on the memory any more.
///
/// # Errors
///
/// `EINVAL`: not page-aligned, a length of 0, or not in user space. `ENOMEM`: a
/// mapping would be split, and there are too many. `EPERM`: sealed by `mseal`.
///
/// See [`mmap`] for an example.
///
/// Manual page: [munmap(2)](https://man7.org/linux/man-pages/man2/munmap.2.html).
#[inline]
pub unsafe fn munmap(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::MUNMAP, addr, len) }
}

/// `mprotect(addr, len, prot)`: changes what may be done with the memory.
///
/// # Safety
///
/// Whoever uses the memory must be content with that: a reference to memory
/// that cannot be read is no reference, and constants that can be written are
/// none.
///
/// # Errors
///
/// `EACCES`: a shared mapping of a file that is not open for it. `EINVAL`: not
/// page-aligned, or bits that no architecture has. `ENOMEM`: a hole in the
/// range (what is before it was changed), or too many mappings. `EPERM`: sealed
/// by `mseal`.
///
/// ```
/// use barecall::mm::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
///
/// // SAFETY: a new mapping, that nothing else knows of.
/// unsafe {
///     let map = mmap_anonymous(core::ptr::null_mut(), 65536, ProtFlags::NONE, MapFlags::PRIVATE)?;
///     mprotect(map, 65536, ProtFlags::READ | ProtFlags::WRITE)?;
///     map.cast::<u8>().write(1);
///     munmap(map, 65536)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mprotect(2)](https://man7.org/linux/man-pages/man2/mprotect.2.html).
#[inline]
pub unsafe fn mprotect(addr: *mut c_void, len: usize, prot: ProtFlags) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::MPROTECT, addr, len, prot.bits()) }
}

flags! {
    /// `MS_*` for [`msync`].
    pub struct MsyncFlags: u32 {
        /// `MS_ASYNC`: soon. Does nothing: Linux writes back anyway.
        #[doc(alias = "MS_ASYNC")]
        const ASYNC = 1;
        /// `MS_INVALIDATE`: `EBUSY` if the memory is locked, and nothing else.
        #[doc(alias = "MS_INVALIDATE")]
        const INVALIDATE = 2;
        /// `MS_SYNC`: now, and waits.
        #[doc(alias = "MS_SYNC")]
        const SYNC = 4;
        const _ = !0;
    }
}

/// `msync(addr, length, flags)`: writes a shared mapping back to its file.
///
/// # Errors
///
/// `EINVAL`: not page-aligned, an unknown flag, or `SYNC` with `ASYNC`. `ENOMEM`:
/// a hole in the range (the rest has been done). `EBUSY`: see
/// [`MsyncFlags::INVALIDATE`]. `EIO`, `ENOSPC`, ...: the file system.
///
/// ```
/// use barecall::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};
/// use barecall::memfd::MemfdOptions;
/// use barecall::io;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// io::write(&file, b"hello")?;
/// let prot = ProtFlags::READ | ProtFlags::WRITE;
/// // SAFETY: a new mapping, that nothing else knows of.
/// unsafe {
///     let map = mmap(core::ptr::null_mut(), 5, prot, MapFlags::SHARED, &file, 0)?;
///     map.cast::<u8>().write(b'J');
///     msync(map, 5, MsyncFlags::SYNC)?;
///     munmap(map, 5)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [msync(2)](https://man7.org/linux/man-pages/man2/msync.2.html).
#[inline]
pub fn msync(addr: *mut c_void, len: usize, flags: MsyncFlags) -> Result<(), Errno> {
    // SAFETY: the contents stay; an address where nothing is, is an error.
    unsafe { syscall_zero!(nr::MSYNC, addr, len, flags.bits()) }
}

/// `mseal(addr, length, 0)`: nobody can unmap, move, grow or protect this range
/// differently, or discard its pages if it is read-only, until the process
/// ends or executes another program (since Linux 6.10).
///
/// # Safety
///
/// Whoever has the range mapped counts on nothing of that: an allocator's, a
/// stack's or a library's memory is not the caller's to seal.
///
/// # Errors
///
/// `ENOMEM`: a hole in the range. `EINVAL`: not page-aligned, or the range wraps
/// around. `ENOSYS`: an older kernel.
///
/// ```
/// use barecall::Errno;
/// use barecall::mm::{MapFlags, ProtFlags, mmap_anonymous, mseal, munmap};
///
/// // SAFETY: a new mapping, that nothing else knows of.
/// unsafe {
///     let map = mmap_anonymous(core::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::PRIVATE)?;
///     match mseal(map, 4096) {
///         Ok(()) => assert_eq!(munmap(map, 4096), Err(Errno::EPERM)),
///         Err(errno) => assert_eq!(errno, Errno::ENOSYS),
///     }
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [mseal(2)](https://man7.org/linux/man-pages/man2/mseal.2.html).
#[inline]
pub unsafe fn mseal(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::MSEAL, addr, len, 0) }
}
