//! What the kernel is told about memory in advance.

use crate::errno::Errno;
use crate::fd::AsFd;
use crate::selector::selector;
use crate::syscall::{as_int, syscall_zero};
use crate::{nr, syscall};
use core::ffi::c_void;

selector! {
    /// `MADV_*`: what [`madvise`] is told. Any number will do.
    ///
    /// Those that leave the contents alone are also a [`Hint`], and need no
    /// `unsafe`.
    pub struct Advice: i32 {
        /// `MADV_NORMAL`: no advice.
        #[doc(alias = "MADV_NORMAL")]
        const NORMAL = 0;
        /// `MADV_RANDOM`: accessed here and there; no read-ahead.
        #[doc(alias = "MADV_RANDOM")]
        const RANDOM = 1;
        /// `MADV_SEQUENTIAL`: accessed in order; much read-ahead.
        #[doc(alias = "MADV_SEQUENTIAL")]
        const SEQUENTIAL = 2;
        /// `MADV_WILLNEED`: read it soon.
        #[doc(alias = "MADV_WILLNEED")]
        const WILLNEED = 3;
        /// `MADV_DONTNEED`: discards the pages at once; next they are zeros, or
        /// what the file has.
        #[doc(alias = "MADV_DONTNEED")]
        const DONTNEED = 4;
        /// `MADV_FREE`: the kernel may discard the pages at any time until they
        /// are written (since Linux 4.5).
        #[doc(alias = "MADV_FREE")]
        const FREE = 8;
        /// `MADV_REMOVE`: punches a hole into the file below, for all who map it.
        #[doc(alias = "MADV_REMOVE")]
        const REMOVE = 9;
        /// `MADV_DONTFORK`: a child does not have the memory.
        #[doc(alias = "MADV_DONTFORK")]
        const DONTFORK = 10;
        /// `MADV_DOFORK`: undoes `DONTFORK`.
        #[doc(alias = "MADV_DOFORK")]
        const DOFORK = 11;
        /// `MADV_MERGEABLE`: equal pages may become one (KSM).
        #[doc(alias = "MADV_MERGEABLE")]
        const MERGEABLE = 12;
        /// `MADV_UNMERGEABLE`: undoes `MERGEABLE`, and merges.
        #[doc(alias = "MADV_UNMERGEABLE")]
        const UNMERGEABLE = 13;
        /// `MADV_HUGEPAGE`: transparent huge pages are worth it.
        #[doc(alias = "MADV_HUGEPAGE")]
        const HUGEPAGE = 14;
        /// `MADV_NOHUGEPAGE`: no transparent huge pages.
        #[doc(alias = "MADV_NOHUGEPAGE")]
        const NOHUGEPAGE = 15;
        /// `MADV_DONTDUMP`: not in a core dump (since Linux 3.4).
        #[doc(alias = "MADV_DONTDUMP")]
        const DONTDUMP = 16;
        /// `MADV_DODUMP`: undoes `DONTDUMP` (since Linux 3.4).
        #[doc(alias = "MADV_DODUMP")]
        const DODUMP = 17;
        /// `MADV_WIPEONFORK`: a child has zeros instead (since Linux 4.14).
        #[doc(alias = "MADV_WIPEONFORK")]
        const WIPEONFORK = 18;
        /// `MADV_KEEPONFORK`: undoes `WIPEONFORK` (since Linux 4.14).
        #[doc(alias = "MADV_KEEPONFORK")]
        const KEEPONFORK = 19;
        /// `MADV_COLD`: first to go when memory is short (since Linux 5.4).
        #[doc(alias = "MADV_COLD")]
        const COLD = 20;
        /// `MADV_PAGEOUT`: swapped out, or written back, now (since Linux 5.4).
        #[doc(alias = "MADV_PAGEOUT")]
        const PAGEOUT = 21;
        /// `MADV_POPULATE_READ`: page tables filled now, as if every page were
        /// read (since Linux 5.14).
        #[doc(alias = "MADV_POPULATE_READ")]
        const POPULATE_READ = 22;
        /// `MADV_POPULATE_WRITE`: page tables filled now, as if every page were
        /// written, which none is (since Linux 5.14).
        #[doc(alias = "MADV_POPULATE_WRITE")]
        const POPULATE_WRITE = 23;
        /// `MADV_DONTNEED_LOCKED`: as `DONTNEED`, locked pages too (since Linux
        /// 5.18).
        #[doc(alias = "MADV_DONTNEED_LOCKED")]
        const DONTNEED_LOCKED = 24;
        /// `MADV_COLLAPSE`: into transparent huge pages, now (since Linux 6.1).
        #[doc(alias = "MADV_COLLAPSE")]
        const COLLAPSE = 25;
        /// `MADV_HWPOISON`: as if the memory were broken; needs `CAP_SYS_ADMIN`.
        #[doc(alias = "MADV_HWPOISON")]
        const HWPOISON = 100;
        /// `MADV_SOFT_OFFLINE`: takes the physical pages out of use and keeps the
        /// contents elsewhere; needs `CAP_SYS_ADMIN`.
        #[doc(alias = "MADV_SOFT_OFFLINE")]
        const SOFT_OFFLINE = 101;
        /// `MADV_GUARD_INSTALL`: discards the pages, and makes touching them a
        /// `SIGSEGV`, without another mapping (since Linux 6.13).
        #[doc(alias = "MADV_GUARD_INSTALL")]
        const GUARD_INSTALL = 102;
        /// `MADV_GUARD_REMOVE`: undoes `GUARD_INSTALL`; the pages are empty. The
        /// guard may be what the soundness of somebody's stack rests on.
        #[doc(alias = "MADV_GUARD_REMOVE")]
        const GUARD_REMOVE = 103;
    }
}

/// Those of [`Advice`] that do not change what the memory holds, now or in a
/// child, and take no protection away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Hint(Advice);

impl Hint {
    /// [`Advice::NORMAL`].
    pub const NORMAL: Self = Self(Advice::NORMAL);
    /// [`Advice::RANDOM`].
    pub const RANDOM: Self = Self(Advice::RANDOM);
    /// [`Advice::SEQUENTIAL`].
    pub const SEQUENTIAL: Self = Self(Advice::SEQUENTIAL);
    /// [`Advice::WILLNEED`].
    pub const WILLNEED: Self = Self(Advice::WILLNEED);
    /// [`Advice::MERGEABLE`].
    pub const MERGEABLE: Self = Self(Advice::MERGEABLE);
    /// [`Advice::UNMERGEABLE`].
    pub const UNMERGEABLE: Self = Self(Advice::UNMERGEABLE);
    /// [`Advice::HUGEPAGE`].
    pub const HUGEPAGE: Self = Self(Advice::HUGEPAGE);
    /// [`Advice::NOHUGEPAGE`].
    pub const NOHUGEPAGE: Self = Self(Advice::NOHUGEPAGE);
    /// [`Advice::DONTDUMP`].
    pub const DONTDUMP: Self = Self(Advice::DONTDUMP);
    /// [`Advice::DODUMP`].
    pub const DODUMP: Self = Self(Advice::DODUMP);
    /// [`Advice::COLD`].
    pub const COLD: Self = Self(Advice::COLD);
    /// [`Advice::PAGEOUT`].
    pub const PAGEOUT: Self = Self(Advice::PAGEOUT);
    /// [`Advice::POPULATE_READ`].
    pub const POPULATE_READ: Self = Self(Advice::POPULATE_READ);
    /// [`Advice::POPULATE_WRITE`].
    pub const POPULATE_WRITE: Self = Self(Advice::POPULATE_WRITE);
    /// [`Advice::COLLAPSE`].
    pub const COLLAPSE: Self = Self(Advice::COLLAPSE);
}

impl From<Hint> for Advice {
    #[inline]
    fn from(hint: Hint) -> Self {
        hint.0
    }
}

/// `madvise(addr, length, advice)`: tells the kernel what to do with memory.
///
/// # Safety
///
/// It depends on the advice: some discard what is there, and some do so in a
/// child. Nothing may depend on that. For those that do nothing of the kind,
/// [`madvise_hint`] is safe.
///
/// # Errors
///
/// `EINVAL`: not page-aligned, or an advice that this kernel does not know or
/// not for this kind of memory. `ENOMEM`: a hole in the range (what else is in
/// it has been done), or no memory. `EAGAIN`: try again. `EBADF`: no file
/// below. `EFAULT`: `POPULATE_*`, and a `SIGBUS` would come (if the protection
/// forbids the access, it is `EINVAL`). `EHWPOISON`: a page is broken. `EIO`. `EPERM`.
/// `EBUSY`: `COLLAPSE`, for now.
///
/// ```
/// use barecall::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
///
/// let prot = ProtFlags::READ | ProtFlags::WRITE;
/// // SAFETY: a new mapping, that nothing else knows of.
/// unsafe {
///     let map = mmap_anonymous(core::ptr::null_mut(), 65536, prot, MapFlags::PRIVATE)?;
///     map.cast::<u8>().write(7);
///     madvise(map, 65536, Advice::DONTNEED)?;
///     assert_eq!(map.cast::<u8>().read(), 0);
///     munmap(map, 65536)?;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [madvise(2)](https://man7.org/linux/man-pages/man2/madvise.2.html).
#[inline]
pub unsafe fn madvise(addr: *mut c_void, len: usize, advice: Advice) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::MADVISE, addr, len, advice.0) }
}

/// `madvise(addr, length, hint)`: tells the kernel what to expect of memory,
/// without a change to what it holds.
///
/// # Errors
///
/// As [`madvise`].
///
/// ```
/// use barecall::mm::{Hint, madvise_hint};
/// use barecall::Errno;
///
/// // Nothing is mapped there.
/// let error = madvise_hint(core::ptr::null_mut(), 4096, Hint::WILLNEED).unwrap_err();
/// assert_eq!(error, Errno::ENOMEM);
/// ```
///
/// Manual page: [madvise(2)](https://man7.org/linux/man-pages/man2/madvise.2.html).
#[inline]
pub fn madvise_hint(addr: *mut c_void, len: usize, hint: Hint) -> Result<(), Errno> {
    // SAFETY: a `Hint` changes no contents; an address where nothing is, is an
    // error.
    unsafe { syscall_zero!(nr::MADVISE, addr, len, hint.0.0) }
}

/// `struct iovec` with addresses of another process: what
/// [`process_madvise`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "struct iovec")]
pub struct RemoteRange {
    /// The address of the first byte, a page's.
    pub iov_base: usize,
    /// In bytes.
    pub iov_len: usize,
}

/// `process_madvise(pidfd, iovec, n, hint, 0)`: tells the kernel what to expect
/// of the memory of a process (since Linux 5.10).
///
/// Gives for how many bytes it was done, which can be fewer than asked for. For
/// another process, `COLD`, `PAGEOUT`, `WILLNEED` (since Linux 5.16) and
/// `COLLAPSE` (since 6.1); the caller may read its memory as `ptrace` does, and
/// has `CAP_SYS_NICE`.
///
/// # Errors
///
/// `EINVAL`: another hint, not page-aligned, more than 1024 ranges. `EPERM`,
/// `ESRCH`, `EBADF`: not that process. `ENOMEM`: nothing is mapped there.
///
/// ```
/// use barecall::mm::{Hint, RemoteRange, process_madvise_hint};
/// use barecall::Errno;
/// use barecall::process::{PidfdFlags, getpid, pidfd_open};
///
/// let myself = pidfd_open(getpid(), PidfdFlags::empty())?;
/// // Nothing is mapped at the bottom.
/// let nowhere = RemoteRange { iov_base: 0, iov_len: 65536 };
/// let error = process_madvise_hint(&myself, &[nowhere], Hint::COLD).unwrap_err();
/// assert_eq!(error, Errno::ENOMEM);
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page:
/// [process_madvise(2)](https://man7.org/linux/man-pages/man2/process_madvise.2.html).
#[inline]
#[doc(alias = "process_madvise")]
pub fn process_madvise_hint<Fd: AsFd>(
    pidfd: Fd,
    ranges: &[RemoteRange],
    hint: Hint,
) -> Result<usize, Errno> {
    // SAFETY: a `Hint` changes no contents.
    unsafe { process_madvise(pidfd, ranges, hint.0) }
}

/// `process_madvise(pidfd, iovec, n, advice, 0)`: tells the kernel what to do
/// with the memory of a process (since Linux 5.10).
///
/// For the calling process, any [`Advice`] since Linux 6.13: many ranges in one
/// call.
///
/// # Safety
///
/// As [`madvise`], for that process.
///
/// # Errors
///
/// As [`process_madvise_hint`], which has an example.
///
/// Manual page:
/// [process_madvise(2)](https://man7.org/linux/man-pages/man2/process_madvise.2.html).
#[inline]
pub unsafe fn process_madvise<Fd: AsFd>(
    pidfd: Fd,
    ranges: &[RemoteRange],
    advice: Advice,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise; the kernel reads the ranges.
    unsafe {
        syscall!(
            nr::PROCESS_MADVISE,
            pidfd.as_fd(),
            ranges.as_ptr(),
            as_int(ranges.len()),
            advice.0,
            0
        )
    }
}
