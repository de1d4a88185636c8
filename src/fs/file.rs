//! What is done to an open file, and to the mode and owner of one.

use super::{AsDirFd, AtFlags, Mode};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;
use core::ffi::CStr;

/// `ftruncate(fd, length)`: makes a file `length` bytes long, cutting it or
/// adding zeros.
///
/// Memory that maps what is cut off raises `SIGBUS` when it is touched.
///
/// # Errors
///
/// `EINVAL`: not open for writing, not a regular file, or the length exceeds
/// `i64::MAX`. `EFBIG`: larger than the file system takes. `EPERM`: sealed, or
/// append-only. `EBADF`: opened with `O_PATH`. `EINTR`, `EIO`, `ENOSPC`,
/// `ETXTBSY`.
///
/// ```
/// use barecall::{fs, memfd::MemfdOptions};
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// fs::ftruncate(&file, 4096)?;
/// assert_eq!(fs::fstat(&file)?.st_size, 4096);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [ftruncate(2)](https://man7.org/linux/man-pages/man2/ftruncate.2.html).
#[inline]
pub fn ftruncate<Fd: AsFd>(fd: Fd, length: u64) -> Result<(), Errno> {
    // SAFETY: numbers only. Memory that maps the file is never a Rust
    // reference in safe code, unless sealed against this.
    unsafe { syscall_zero!(nr::FTRUNCATE, fd.as_fd(), length) }
}

flags! {
    /// `FALLOC_FL_*`: what [`fallocate`] does to the range. None: reserves
    /// space, and makes the file longer if the range ends past its end.
    pub struct FallocateFlags: u32 {
        /// `FALLOC_FL_ALLOCATE_RANGE`: reserves space; the value is 0.
        #[doc(alias = "FALLOC_FL_ALLOCATE_RANGE")]
        const ALLOCATE_RANGE = 0x00;
        /// `FALLOC_FL_KEEP_SIZE`: the length of the file stays.
        #[doc(alias = "FALLOC_FL_KEEP_SIZE")]
        const KEEP_SIZE = 0x01;
        /// `FALLOC_FL_PUNCH_HOLE`: frees the space, which then reads as zeros;
        /// only with `KEEP_SIZE` (since Linux 2.6.38).
        #[doc(alias = "FALLOC_FL_PUNCH_HOLE")]
        const PUNCH_HOLE = 0x02;
        /// `FALLOC_FL_NO_HIDE_STALE`: reserved, and refused by every kernel.
        #[doc(alias = "FALLOC_FL_NO_HIDE_STALE")]
        const NO_HIDE_STALE = 0x04;
        /// `FALLOC_FL_COLLAPSE_RANGE`: takes the range out (since Linux 3.15).
        #[doc(alias = "FALLOC_FL_COLLAPSE_RANGE")]
        const COLLAPSE_RANGE = 0x08;
        /// `FALLOC_FL_ZERO_RANGE`: makes it zeros, preferably without writing
        /// them (since Linux 3.15).
        #[doc(alias = "FALLOC_FL_ZERO_RANGE")]
        const ZERO_RANGE = 0x10;
        /// `FALLOC_FL_INSERT_RANGE`: puts a hole in between (since Linux 4.1).
        #[doc(alias = "FALLOC_FL_INSERT_RANGE")]
        const INSERT_RANGE = 0x20;
        /// `FALLOC_FL_UNSHARE_RANGE`: gives the file its own copy of shared
        /// blocks (since Linux 4.9).
        #[doc(alias = "FALLOC_FL_UNSHARE_RANGE")]
        const UNSHARE_RANGE = 0x40;
        /// `FALLOC_FL_WRITE_ZEROES`: zeros that are really written, so that
        /// later writes need no metadata; not with `KEEP_SIZE` (since Linux
        /// 6.17).
        #[doc(alias = "FALLOC_FL_WRITE_ZEROES")]
        const WRITE_ZEROES = 0x80;
        const _ = !0;
    }
}

/// `fallocate(fd, mode, offset, len)`: reserves or frees space in a file.
///
/// # Errors
///
/// `EOPNOTSUPP`: not on this file system, or flags that do not go together.
/// `EINVAL`: `len` is 0, one of the two exceeds `i64::MAX`, or the range is
/// not of whole blocks where that is needed. `EBADF`: not open for writing.
/// `EFBIG`, `ENOSPC`, `EIO`. `EINTR`: some of it may be done. `ENODEV`,
/// `ESPIPE`: not a regular file. `EPERM`: sealed, immutable or append-only.
/// `ETXTBSY`.
///
/// ```
/// use barecall::fs::{self, FallocateFlags};
/// use barecall::memfd::MemfdOptions;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// fs::fallocate(&file, FallocateFlags::empty(), 0, 8192)?;
/// let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
/// fs::fallocate(&file, hole, 0, 4096)?;
/// assert_eq!(fs::fstat(&file)?.st_size, 8192);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fallocate(2)](https://man7.org/linux/man-pages/man2/fallocate.2.html).
#[inline]
pub fn fallocate<Fd: AsFd>(
    fd: Fd,
    flags: FallocateFlags,
    offset: u64,
    len: u64,
) -> Result<(), Errno> {
    // SAFETY: numbers only; as for `ftruncate`.
    unsafe { syscall_zero!(nr::FALLOCATE, fd.as_fd(), flags.bits(), offset, len) }
}

/// `fsync(fd)`: waits until data and metadata of a file are on the disk.
///
/// A new name of the file is there only after an `fsync` of its directory. An
/// error is told once; the pages that could not be written may already count
/// as clean, so a second `fsync` that answers 0 proves nothing.
///
/// # Errors
///
/// `EIO`, `ENOSPC`, `EDQUOT`: some of what was written since the last one is
/// lost. `EINVAL`, `EROFS`: not a file that can be synchronised. `EBADF`: opened
/// with `O_PATH`. `EINTR`.
///
/// ```
/// use barecall::fs::{self, Mode, OFlags};
///
/// let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
/// let file = fs::openat(fs::CWD, c"/tmp", flags, Mode::from_raw(0o600))?;
/// fs::fsync(&file)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fsync(2)](https://man7.org/linux/man-pages/man2/fsync.2.html).
#[inline]
pub fn fsync<Fd: AsFd>(fd: Fd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FSYNC, fd.as_fd()) }
}

/// `fdatasync(fd)`: waits until the data of a file are on the disk, with as
/// much of the metadata as it takes to read them back.
///
/// # Errors
///
/// As [`fsync`].
///
/// ```
/// use barecall::fs::{self, Mode, OFlags};
///
/// let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
/// let file = fs::openat(fs::CWD, c"/tmp", flags, Mode::from_raw(0o600))?;
/// fs::fdatasync(&file)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fdatasync(2)](https://man7.org/linux/man-pages/man2/fdatasync.2.html).
#[inline]
pub fn fdatasync<Fd: AsFd>(fd: Fd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FDATASYNC, fd.as_fd()) }
}

/// `syncfs(fd)`: waits until everything on the file system that `fd` is on is
/// on the disk.
///
/// # Errors
///
/// `EIO`, `ENOSPC`, `EDQUOT`: something was lost (reported since Linux 5.8).
/// `EBADF`: opened with `O_PATH`.
///
/// ```no_run
/// use barecall::fs::{self, Mode, OFlags};
///
/// let root = fs::openat(fs::CWD, c"/", OFlags::CLOEXEC, Mode::empty())?;
/// fs::syncfs(&root)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [syncfs(2)](https://man7.org/linux/man-pages/man2/syncfs.2.html).
#[inline]
pub fn syncfs<Fd: AsFd>(fd: Fd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::SYNCFS, fd.as_fd()) }
}

/// `fchmod(fd, mode)`: sets the permissions of an open file; the umask does not
/// matter.
///
/// # Errors
///
/// `EBADF`: opened with `O_PATH`. `EPERM`: neither owner nor privileged, or
/// sealed against it, or immutable. `EROFS`, `EIO`.
///
/// ```
/// use barecall::fs::{self, Mode};
/// use barecall::memfd::MemfdOptions;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// fs::fchmod(&file, Mode::from_raw(0o640))?;
/// assert_eq!(fs::fstat(&file)?.mode(), Mode::from_raw(0o640));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fchmod(2)](https://man7.org/linux/man-pages/man2/fchmod.2.html).
#[inline]
pub fn fchmod<Fd: AsFd>(fd: Fd, mode: Mode) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCHMOD, fd.as_fd(), mode.bits()) }
}

/// `fchmodat(dirfd, pathname, mode)`: sets the permissions of a file by its
/// path, following symbolic links.
///
/// The call has no flags; [`fchmodat2`] does.
///
/// # Errors
///
/// As [`fchmod`]; `EACCES`, `ELOOP`, `ENAMETOOLONG`, `ENOENT`, `ENOTDIR`: the
/// path.
///
/// ```
/// use barecall::fs::{self, Mode};
///
/// let error = fs::fchmodat(fs::CWD, c"/nowhere/at/all", Mode::from_raw(0o600)).unwrap_err();
/// assert_eq!(error, barecall::Errno::ENOENT);
/// ```
///
/// Manual page: [fchmodat(2)](https://man7.org/linux/man-pages/man2/fchmodat.2.html).
#[inline]
#[doc(alias = "chmod")]
pub fn fchmodat<D: AsDirFd>(dir: D, path: &CStr, mode: Mode) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::FCHMODAT, dir.as_dir_fd(), path, mode.bits()) }
}

/// `fchmodat2(dirfd, pathname, mode, flags)`: as [`fchmodat`], with
/// [`AtFlags::SYMLINK_NOFOLLOW`] and [`AtFlags::EMPTY_PATH`] (since Linux 6.6).
///
/// # Errors
///
/// As [`fchmodat`]; `EINVAL`: an unknown flag. `EOPNOTSUPP`: a symbolic link
/// has no permissions. `ENOSYS`: before Linux 6.6.
///
/// ```
/// use barecall::Errno;
/// use barecall::fs::{self, AtFlags, Mode};
///
/// let no_flag = AtFlags::from_bits_retain(1);
/// let error = fs::fchmodat2(fs::CWD, c"/", Mode::from_raw(0o755), no_flag).unwrap_err();
/// assert!(matches!(error, Errno::EINVAL | Errno::ENOSYS));
/// ```
///
/// Manual page: [fchmodat(2)](https://man7.org/linux/man-pages/man2/fchmodat.2.html).
#[inline]
pub fn fchmodat2<D: AsDirFd>(dir: D, path: &CStr, mode: Mode, flags: AtFlags) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe {
        syscall_zero!(
            nr::FCHMODAT2,
            dir.as_dir_fd(),
            path,
            mode.bits(),
            flags.bits()
        )
    }
}

/// The id, or the -1 that stands for "leave it", and is nobody's.
#[inline]
const fn id_or_keep(id: Option<u32>) -> Result<u32, Errno> {
    match id {
        Some(u32::MAX) => Err(Errno::EINVAL),
        Some(id) => Ok(id),
        None => Ok(u32::MAX),
    }
}

/// `fchown(fd, owner, group)`: sets owner and group of an open file; `None`
/// leaves one as it is.
///
/// The set-user-id and set-group-id bits of an executable file are cleared.
///
/// # Errors
///
/// `EPERM`: not privileged (the owner may change to a group of his own).
/// `EBADF`: opened with `O_PATH`. `EINVAL`: an id without a mapping in the user
/// namespace. `EDQUOT`, `EIO`, `EROFS`.
///
/// ```
/// use barecall::{fs, memfd::MemfdOptions};
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// let stat = fs::fstat(&file)?;
/// fs::fchown(&file, Some(stat.st_uid), None)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fchown(2)](https://man7.org/linux/man-pages/man2/fchown.2.html).
#[inline]
pub fn fchown<Fd: AsFd>(fd: Fd, owner: Option<u32>, group: Option<u32>) -> Result<(), Errno> {
    let (owner, group) = (id_or_keep(owner)?, id_or_keep(group)?);
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCHOWN, fd.as_fd(), owner, group) }
}

/// `fchownat(dirfd, pathname, owner, group, flags)`: sets owner and group of a
/// file by its path; `None` leaves one as it is.
///
/// # Errors
///
/// As [`fchown`]; `EACCES`, `ELOOP`, `ENAMETOOLONG`, `ENOENT`, `ENOTDIR`: the
/// path.
///
/// ```
/// use barecall::fs::{self, AtFlags};
///
/// let error = fs::fchownat(fs::CWD, c"/nowhere/at/all", Some(0), None, AtFlags::empty());
/// assert_eq!(error, Err(barecall::Errno::ENOENT));
/// ```
///
/// Manual page: [fchownat(2)](https://man7.org/linux/man-pages/man2/fchownat.2.html).
#[inline]
#[doc(alias = "chown")]
pub fn fchownat<D: AsDirFd>(
    dir: D,
    path: &CStr,
    owner: Option<u32>,
    group: Option<u32>,
    flags: AtFlags,
) -> Result<(), Errno> {
    let (owner, group) = (id_or_keep(owner)?, id_or_keep(group)?);
    // SAFETY: a string.
    unsafe {
        syscall_zero!(
            nr::FCHOWNAT,
            dir.as_dir_fd(),
            path,
            owner,
            group,
            flags.bits()
        )
    }
}

flags! {
    /// `LOCK_*`: what [`flock`] does; one of the three, and perhaps `NB`.
    pub struct FlockFlags: u32 {
        /// `LOCK_SH`: a lock that many may have.
        #[doc(alias = "LOCK_SH")]
        const SH = 1;
        /// `LOCK_EX`: a lock that one may have.
        #[doc(alias = "LOCK_EX")]
        const EX = 2;
        /// `LOCK_NB`: `EAGAIN` instead of waiting.
        #[doc(alias = "LOCK_NB")]
        const NB = 4;
        /// `LOCK_UN`: gives the lock up.
        #[doc(alias = "LOCK_UN")]
        const UN = 8;
        const _ = !0;
    }
}

/// `flock(fd, operation)`: takes or gives up the advisory lock of an open file.
///
/// The lock belongs to the open file description: duplicates share it, and it
/// ends when the last of them is closed. Changing its kind is not atomic.
///
/// # Errors
///
/// `EAGAIN` (`EWOULDBLOCK`): somebody else has it, and `NB` was given. `EINTR`:
/// while waiting. `EINVAL`: not one of the three (with 32 among the bits the
/// kernel does nothing, and says nothing). `EBADF`: opened with `O_PATH`.
/// `ENOLCK`.
///
/// ```
/// use barecall::fs::{self, FlockFlags};
/// use barecall::memfd::MemfdOptions;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// fs::flock(&file, FlockFlags::EX | FlockFlags::NB)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [flock(2)](https://man7.org/linux/man-pages/man2/flock.2.html).
#[inline]
pub fn flock<Fd: AsFd>(fd: Fd, operation: FlockFlags) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FLOCK, fd.as_fd(), operation.bits()) }
}
