//! Moving mappings, and changing their length.

use crate::errno::Errno;
use crate::flags::flags;
use crate::{nr, syscall_ptr};
use core::ffi::c_void;

flags! {
    /// `MREMAP_*` for [`mremap`].
    pub struct MremapFlags: u32 {
        /// `MREMAP_MAYMOVE`: elsewhere, if it does not fit where it is.
        #[doc(alias = "MREMAP_MAYMOVE")]
        const MAYMOVE = 1;
        /// `MREMAP_FIXED`: to the new address, replacing what is there. Needs
        /// `MAYMOVE`.
        #[doc(alias = "MREMAP_FIXED")]
        const FIXED = 2;
        /// `MREMAP_DONTUNMAP`: the pages move, and the old range stays mapped,
        /// empty (since Linux 5.7; file mappings since 5.13). Needs `MAYMOVE`
        /// and equal lengths.
        #[doc(alias = "MREMAP_DONTUNMAP")]
        const DONTUNMAP = 4;
        const _ = !0;
    }
}

/// `mremap(old_address, old_size, new_size, flags)`: makes a mapping longer or
/// shorter, perhaps elsewhere; where it is now is the result.
///
/// An old length of 0 maps a shared mapping a second time.
///
/// # Safety
///
/// What is cut off is unmapped, and so is the old place if the mapping moves.
/// Nothing may depend on them.
///
/// # Errors
///
/// `EFAULT`: the old range is not one mapping. `EINVAL`: not page-aligned, a new
/// length of 0, flags that do not go together. `ENOMEM`: no room, and it may
/// not move; or too many mappings. `EAGAIN`: locked memory is limited. `EPERM`:
/// sealed by `mseal`.
///
/// ```
/// use barecall::mm::{self, MapFlags, MremapFlags, ProtFlags};
///
/// let prot = ProtFlags::READ | ProtFlags::WRITE;
/// // SAFETY: a new mapping, that nothing else knows of.
/// unsafe {
///     let map = mm::mmap_anonymous(core::ptr::null_mut(), 65536, prot, MapFlags::PRIVATE)?;
///     map.cast::<u8>().write(7);
///     let map = mm::mremap(map, 65536, 1 << 20, MremapFlags::MAYMOVE)?;
///     assert_eq!(map.cast::<u8>().read(), 7);
///     mm::munmap(map, 1 << 20)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mremap(2)](https://man7.org/linux/man-pages/man2/mremap.2.html).
#[inline]
pub unsafe fn mremap(
    old: *mut c_void,
    old_len: usize,
    new_len: usize,
    flags: MremapFlags,
) -> Result<*mut c_void, Errno> {
    // With DONTUNMAP the kernel reads a fifth argument: a hint, here none.
    // SAFETY: the caller's promise.
    unsafe { syscall_ptr!(nr::MREMAP, old, old_len, new_len, flags.bits(), 0) }
}

/// `mremap(old_address, old_size, new_size, flags, new_address)`: moves a
/// mapping to `new`.
///
/// The address counts with [`MremapFlags::FIXED`], and is a hint with
/// [`MremapFlags::DONTUNMAP`]. The kernel does not look at it otherwise.
///
/// # Safety
///
/// As [`mremap`]; and with [`MremapFlags::FIXED`], nothing may depend on what
/// was mapped at the new place.
///
/// # Errors
///
/// As [`mremap`]; `EINVAL` also when the two ranges overlap.
///
/// ```
/// use barecall::mm::{self, MapFlags, MremapFlags, ProtFlags};
///
/// let (prot, null) = (ProtFlags::READ | ProtFlags::WRITE, core::ptr::null_mut());
/// // SAFETY: new mappings, that nothing else knows of.
/// unsafe {
///     let from = mm::mmap_anonymous(null, 65536, prot, MapFlags::PRIVATE)?;
///     let to = mm::mmap_anonymous(null, 65536, ProtFlags::NONE, MapFlags::PRIVATE)?;
///     from.cast::<u8>().write(7);
///     let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
///     assert_eq!(mm::mremap_to(from, 65536, 65536, flags, to)?, to);
///     assert_eq!(to.cast::<u8>().read(), 7);
///     mm::munmap(to, 65536)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mremap(2)](https://man7.org/linux/man-pages/man2/mremap.2.html).
#[inline]
pub unsafe fn mremap_to(
    old: *mut c_void,
    old_len: usize,
    new_len: usize,
    flags: MremapFlags,
    new: *mut c_void,
) -> Result<*mut c_void, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_ptr!(nr::MREMAP, old, old_len, new_len, flags.bits(), new) }
}
