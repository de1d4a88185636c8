//! What of the memory is in memory, and stays there.

use crate::errno::Errno;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;
use core::ffi::c_void;

flags! {
    /// `MLOCK_*` for [`mlock2`].
    pub struct MlockFlags: u32 {
        /// `MLOCK_ONFAULT`: pages that are there, and others when they come.
        #[doc(alias = "MLOCK_ONFAULT")]
        const ONFAULT = 1;
        const _ = !0;
    }
}

/// `mlock2(addr, length, flags)`: keeps the pages in memory (since Linux 4.4).
///
/// # Errors
///
/// `ENOMEM`: a hole in the range, or more than `RLIMIT_MEMLOCK`. `EPERM`: that
/// limit is 0. `EAGAIN`: some page could not be locked. `EINVAL`: an unknown
/// flag, or the range wraps around. (A length that wraps when it is rounded up
/// to pages is 0, and no error.)
///
/// ```
/// use barecall::mm::{MlockFlags, mlock2, munlock};
///
/// let secret = [7_u8; 32];
/// mlock2(secret.as_ptr().cast(), secret.len(), MlockFlags::empty())?;
/// munlock(secret.as_ptr().cast(), secret.len())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mlock2(2)](https://man7.org/linux/man-pages/man2/mlock.2.html).
#[inline]
pub fn mlock2(addr: *const c_void, len: usize, flags: MlockFlags) -> Result<(), Errno> {
    // SAFETY: the contents stay; an address where nothing is, is an error.
    unsafe { syscall_zero!(nr::MLOCK2, addr, len, flags.bits()) }
}

/// `munlock(addr, length)`: undoes [`mlock2`]. Locks do not add up.
///
/// # Errors
///
/// `ENOMEM`: a hole in the range. `EINVAL`: the range wraps around, as for
/// [`mlock2`].
///
/// Manual page: [munlock(2)](https://man7.org/linux/man-pages/man2/mlock.2.html).
#[inline]
pub fn munlock(addr: *const c_void, len: usize) -> Result<(), Errno> {
    // SAFETY: the contents stay; an address where nothing is, is an error.
    unsafe { syscall_zero!(nr::MUNLOCK, addr, len) }
}

flags! {
    /// `MCL_*` for [`mlockall`].
    pub struct MlockallFlags: u32 {
        /// `MCL_CURRENT`: what is mapped now.
        #[doc(alias = "MCL_CURRENT")]
        const CURRENT = 1;
        /// `MCL_FUTURE`: what will be mapped.
        #[doc(alias = "MCL_FUTURE")]
        const FUTURE = 2;
        /// `MCL_ONFAULT`: with the others: pages that are there, and others
        /// when they come (since Linux 4.4).
        #[doc(alias = "MCL_ONFAULT")]
        const ONFAULT = 4;
        const _ = !0;
    }
}

/// `mlockall(flags)`: keeps all pages of the process in memory.
///
/// A child does not inherit it, and `execve` ends it.
///
/// # Errors
///
/// `EINVAL`: no flag, an unknown one, or `ONFAULT` alone. `ENOMEM`: more than
/// `RLIMIT_MEMLOCK`. `EPERM`: that limit is 0.
///
/// ```no_run
/// use barecall::mm::{MlockallFlags, mlockall};
///
/// // What a real-time program begins with.
/// mlockall(MlockallFlags::CURRENT | MlockallFlags::FUTURE)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mlockall(2)](https://man7.org/linux/man-pages/man2/mlock.2.html).
#[inline]
pub fn mlockall(flags: MlockallFlags) -> Result<(), Errno> {
    // SAFETY: numbers only; the contents stay.
    unsafe { syscall_zero!(nr::MLOCKALL, flags.bits()) }
}

/// `munlockall()`: undoes [`mlockall`], and [`mlock2`] of everything.
///
/// # Errors
///
/// None, but `EINTR` if it is killed.
///
/// ```
/// barecall::mm::munlockall()?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [munlockall(2)](https://man7.org/linux/man-pages/man2/mlock.2.html).
#[inline]
pub fn munlockall() -> Result<(), Errno> {
    // SAFETY: takes nothing; the contents stay.
    unsafe { syscall_zero!(nr::MUNLOCKALL) }
}

/// `mincore(addr, length, vec)`: writes a byte for each page to `vec`, whose
/// lowest bit says whether the page is in memory (for a file: in the page
/// cache, if the caller may know).
///
/// # Safety
///
/// As many bytes as the range has pages must be writable at `vec`.
///
/// # Errors
///
/// `EINVAL`: not page-aligned. `ENOMEM`: a hole in the range. `EFAULT`: `vec`
/// cannot be written.
///
/// ```
/// use barecall::mm::{MapFlags, ProtFlags, mincore, mmap_anonymous, munmap};
///
/// let prot = ProtFlags::READ | ProtFlags::WRITE;
/// let mut resident = [0_u8; 16];
/// // SAFETY: a new mapping, that nothing else knows of, of 16 pages at most.
/// unsafe {
///     let map = mmap_anonymous(core::ptr::null_mut(), 65536, prot, MapFlags::PRIVATE)?;
///     map.cast::<u8>().write(7);
///     mincore(map, 65536, resident.as_mut_ptr())?;
///     munmap(map, 65536)?;
/// }
/// assert_eq!(resident[0] & 1, 1);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mincore(2)](https://man7.org/linux/man-pages/man2/mincore.2.html).
#[inline]
pub unsafe fn mincore(addr: *mut c_void, len: usize, vec: *mut u8) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::MINCORE, addr, len, vec) }
}
