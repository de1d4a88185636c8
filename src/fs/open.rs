//! Opening and creating.

use super::AsDirFd;
use crate::errno::Errno;
use crate::fd::{AsFd, OwnedFd, syscall_fd};
use crate::flags::flags;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};
use core::ffi::CStr;

flags! {
    /// `O_*`: access mode, creation flags and status flags of an open file.
    ///
    /// The access mode is a number, not a set: compare what [`ACCMODE`] leaves
    /// (`flags & OFlags::ACCMODE == OFlags::RDWR`).
    ///
    /// [`ACCMODE`]: Self::ACCMODE
    pub struct OFlags: u32 {
        /// `O_RDONLY`: for reading. The value is 0, so every set contains it.
        #[doc(alias = "O_RDONLY")]
        const RDONLY = 0;
        /// `O_WRONLY`: for writing.
        #[doc(alias = "O_WRONLY")]
        const WRONLY = 1;
        /// `O_RDWR`: for both.
        #[doc(alias = "O_RDWR")]
        const RDWR = 2;
        /// `O_ACCMODE`: the bits of the access mode.
        #[doc(alias = "O_ACCMODE")]
        const ACCMODE = 3;
        /// `O_CREAT`: creates the file if it does not exist.
        #[doc(alias = "O_CREAT")]
        const CREAT = 0o100;
        /// `O_EXCL`: with `CREAT`, fails if it exists; with `TMPFILE`, the file
        /// can never get a name; alone on a block device, nobody else uses it.
        #[doc(alias = "O_EXCL")]
        const EXCL = 0o200;
        /// `O_NOCTTY`: a terminal does not become the controlling one.
        #[doc(alias = "O_NOCTTY")]
        const NOCTTY = 0o400;
        /// `O_TRUNC`: cuts a regular file to length 0.
        #[doc(alias = "O_TRUNC")]
        const TRUNC = 0o1000;
        /// `O_APPEND`: every write goes to the end.
        #[doc(alias = "O_APPEND")]
        const APPEND = 0o2000;
        /// `O_NONBLOCK`: `EAGAIN` instead of waiting.
        #[doc(alias = "O_NONBLOCK")]
        #[doc(alias = "O_NDELAY")]
        const NONBLOCK = 0o4000;
        /// `O_DSYNC`: a write returns when the data is on the disk, with as
        /// much of the metadata as it takes to read it back.
        #[doc(alias = "O_DSYNC")]
        const DSYNC = 0o10000;
        /// `FASYNC` (`O_ASYNC`): signals when input or output is possible. Has
        /// no effect in `openat`: it is set with `F_SETFL`.
        #[doc(alias = "O_ASYNC")]
        #[doc(alias = "FASYNC")]
        const ASYNC = 0o20000;
        /// `O_DIRECT`: past the page cache.
        #[doc(alias = "O_DIRECT")]
        const DIRECT = crate::arch::O_DIRECT;
        /// `O_LARGEFILE`: 64-bit offsets. The kernel adds it on its own to every
        /// file that a 64-bit program opens, and shows it in `F_GETFL`.
        #[doc(alias = "O_LARGEFILE")]
        const LARGEFILE = crate::arch::O_LARGEFILE;
        /// `O_DIRECTORY`: fails if it is not a directory.
        #[doc(alias = "O_DIRECTORY")]
        const DIRECTORY = crate::arch::O_DIRECTORY;
        /// `O_NOFOLLOW`: fails if the last part of the path is a symbolic link.
        #[doc(alias = "O_NOFOLLOW")]
        const NOFOLLOW = crate::arch::O_NOFOLLOW;
        /// `O_NOATIME`: reading does not change the access time; for the owner.
        #[doc(alias = "O_NOATIME")]
        const NOATIME = 0o1000000;
        /// `O_CLOEXEC`: closed by `execve`.
        #[doc(alias = "O_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        /// `O_SYNC`: a write returns when data and metadata are on the disk. It
        /// contains [`DSYNC`](Self::DSYNC).
        #[doc(alias = "O_SYNC")]
        const SYNC = 0o4010000;
        /// `O_PATH`: only a place in the file system, not opened for I/O (since
        /// Linux 2.6.39). Most other flags are then ignored, silently.
        #[doc(alias = "O_PATH")]
        const PATH = 0o10000000;
        /// `O_TMPFILE`: a new file without a name in this directory (since Linux
        /// 3.11). It contains [`DIRECTORY`](Self::DIRECTORY). See
        /// [`tmpfile`](crate::tmpfile).
        #[doc(alias = "O_TMPFILE")]
        const TMPFILE = crate::arch::O_TMPFILE;
        /// `O_EMPTYPATH`: an empty path opens again what the directory
        /// descriptor refers to (since Linux 7.1). Older kernels ignore the bit
        /// and say `ENOENT`.
        #[doc(alias = "O_EMPTYPATH")]
        const EMPTYPATH = 0o400000000;
        const _ = !0;
    }
}

flags! {
    /// `S_I*`: the permissions of a file, and the three bits above them.
    pub struct Mode: u32 {
        /// `S_ISUID`: runs as the file's owner.
        #[doc(alias = "S_ISUID")]
        const SUID = 0o4000;
        /// `S_ISGID`: runs as the file's group; in a directory, files inherit
        /// the group.
        #[doc(alias = "S_ISGID")]
        const SGID = 0o2000;
        /// `S_ISVTX`: in a directory, only owners remove names.
        #[doc(alias = "S_ISVTX")]
        const SVTX = 0o1000;
        /// `S_IRWXU`: everything for the owner.
        #[doc(alias = "S_IRWXU")]
        const RWXU = 0o700;
        /// `S_IRUSR`: the owner reads.
        #[doc(alias = "S_IRUSR")]
        const RUSR = 0o400;
        /// `S_IWUSR`: the owner writes.
        #[doc(alias = "S_IWUSR")]
        const WUSR = 0o200;
        /// `S_IXUSR`: the owner executes.
        #[doc(alias = "S_IXUSR")]
        const XUSR = 0o100;
        /// `S_IRWXG`: everything for the group.
        #[doc(alias = "S_IRWXG")]
        const RWXG = 0o070;
        /// `S_IRGRP`: the group reads.
        #[doc(alias = "S_IRGRP")]
        const RGRP = 0o040;
        /// `S_IWGRP`: the group writes.
        #[doc(alias = "S_IWGRP")]
        const WGRP = 0o020;
        /// `S_IXGRP`: the group executes.
        #[doc(alias = "S_IXGRP")]
        const XGRP = 0o010;
        /// `S_IRWXO`: everything for others.
        #[doc(alias = "S_IRWXO")]
        const RWXO = 0o007;
        /// `S_IROTH`: others read.
        #[doc(alias = "S_IROTH")]
        const ROTH = 0o004;
        /// `S_IWOTH`: others write.
        #[doc(alias = "S_IWOTH")]
        const WOTH = 0o002;
        /// `S_IXOTH`: others execute.
        #[doc(alias = "S_IXOTH")]
        const XOTH = 0o001;
        const _ = !0;
    }
}

impl Mode {
    /// From the octal number that everybody writes.
    ///
    /// ```
    /// use barecall::fs::Mode;
    ///
    /// assert_eq!(Mode::from_raw(0o640), Mode::RUSR | Mode::WUSR | Mode::RGRP);
    /// ```
    #[inline]
    pub const fn from_raw(mode: u32) -> Self {
        Self::from_bits_retain(mode)
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> u32 {
        self.bits()
    }
}

/// `openat(dirfd, pathname, flags, mode)`: opens a file, creating it if
/// [`OFlags::CREAT`] or [`OFlags::TMPFILE`] says so.
///
/// `mode`, less the umask, is the mode of a file that is created, and not used
/// otherwise. Flags that the kernel does not know are ignored; [`openat2`]
/// refuses them. The descriptor is close-on-exec if [`OFlags::CLOEXEC`] is
/// given.
///
/// # Errors
///
/// `EACCES`: no permission for the file, or to search or write a directory.
/// `EBUSY`: `EXCL`, and a block device in use. `EAGAIN`: `NONBLOCK`, and somebody
/// has a lease. `EEXIST`: `CREAT` and `EXCL`, and it exists. `EINTR`: while waiting (a FIFO,
/// a network file system). `EINVAL`: flags that do not go together. `EISDIR`:
/// a directory, to be written. `ELOOP`: too many symbolic links, or one at the
/// end and `NOFOLLOW`. `EMFILE`, `ENFILE`: too many descriptors. `ENODEV`,
/// `ENXIO`: no such device, or a FIFO that nobody reads. `ENOENT`: a part does
/// not exist. `ENOTDIR`. `EOPNOTSUPP`: no `TMPFILE` on this file system.
/// `EROFS`: read-only. `ETXTBSY`: being executed. `ENAMETOOLONG`, `ENOSPC`,
/// `EDQUOT`, `EPERM` (sealed, immutable, or not the owner and `NOATIME`).
///
/// ```
/// use barecall::fs::{self, Mode, OFlags};
/// use barecall::io;
///
/// let file = fs::openat(fs::CWD, c"/proc/self/comm", OFlags::CLOEXEC, Mode::empty())?;
/// let mut name = [0; 16];
/// assert!(io::read(&file, &mut name)? > 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [openat(2)](https://man7.org/linux/man-pages/man2/openat.2.html).
#[inline]
#[doc(alias = "open")]
pub fn openat<D: AsDirFd>(
    dir: D,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    // SAFETY: a string, and a new descriptor that is ours.
    unsafe { syscall_fd!(nr::OPENAT, dir.as_dir_fd(), path, flags.bits(), mode.bits()) }
}

flags! {
    /// `RESOLVE_*`: what [`openat2`] may meet on its way.
    pub struct ResolveFlags: u64 {
        /// `RESOLVE_NO_XDEV`: no crossing into another mount.
        #[doc(alias = "RESOLVE_NO_XDEV")]
        const NO_XDEV = 0x01;
        /// `RESOLVE_NO_MAGICLINKS`: no links as in `/proc/PID/fd`.
        #[doc(alias = "RESOLVE_NO_MAGICLINKS")]
        const NO_MAGICLINKS = 0x02;
        /// `RESOLVE_NO_SYMLINKS`: no symbolic links at all.
        #[doc(alias = "RESOLVE_NO_SYMLINKS")]
        const NO_SYMLINKS = 0x04;
        /// `RESOLVE_BENEATH`: nothing that leaves the directory.
        #[doc(alias = "RESOLVE_BENEATH")]
        const BENEATH = 0x08;
        /// `RESOLVE_IN_ROOT`: the directory is `/`, as after `chroot`.
        #[doc(alias = "RESOLVE_IN_ROOT")]
        const IN_ROOT = 0x10;
        /// `RESOLVE_CACHED`: only from memory, else `EAGAIN` (since Linux 5.12).
        #[doc(alias = "RESOLVE_CACHED")]
        const CACHED = 0x20;
        const _ = !0;
    }
}

/// `struct open_how`: what [`openat2`] is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "struct open_how")]
pub struct OpenHow {
    /// [`OFlags`], and above bit 31 what only `openat2` has.
    pub flags: u64,
    /// [`Mode`]: of a file that is created, else 0.
    pub mode: u64,
    /// What may be met on the way.
    pub resolve: ResolveFlags,
}

impl OpenHow {
    /// `OPENAT2_REGULAR` for [`flags`](Self::flags): fails unless it is a
    /// regular file (since Linux 7.1). Older kernels say `EINVAL`.
    #[doc(alias = "OPENAT2_REGULAR")]
    pub const REGULAR: u64 = 1 << 32;

    /// With these flags; `mode` must be empty unless a file is to be created.
    #[inline]
    pub const fn new(flags: OFlags, mode: Mode, resolve: ResolveFlags) -> Self {
        Self {
            flags: flags.bits() as u64,
            mode: mode.bits() as u64,
            resolve,
        }
    }
}

/// `openat2(dirfd, pathname, how, size)`: opens a file under conditions (since
/// Linux 5.6).
///
/// # Errors
///
/// As [`openat`]. `EINVAL` also for every flag, mode bit or combination that
/// means nothing. `EXDEV`: the path leaves the directory or the mount. `ELOOP`:
/// a link that may not be followed. `EAGAIN`: not in memory, or the kernel
/// could not be sure that a `..` stays inside; trying again is right. `E2BIG`:
/// never for this size. `ENOSYS`: before Linux 5.6.
///
/// ```
/// use barecall::Errno;
/// use barecall::fs::{self, Mode, OFlags, OpenHow, ResolveFlags};
///
/// let etc = fs::openat(fs::CWD, c"/etc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
/// let how = OpenHow::new(OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH);
/// match fs::openat2(&etc, c"../etc/passwd", &how) {
///     Err(Errno::EXDEV | Errno::ENOSYS) => {}
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [openat2(2)](https://man7.org/linux/man-pages/man2/openat2.2.html).
#[inline]
pub fn openat2<D: AsDirFd>(dir: D, path: &CStr, how: &OpenHow) -> Result<OwnedFd, Errno> {
    let size = size_of::<OpenHow>();
    // SAFETY: a string, a struct of that size, and a new descriptor, ours.
    unsafe { syscall_fd!(nr::OPENAT2, dir.as_dir_fd(), path, &raw const *how, size) }
}

// <asm-generic/fcntl.h>
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;

/// `fcntl(fd, F_GETFL)`: access mode and status flags of the open file
/// description.
///
/// The kernel adds `O_LARGEFILE` on its own; see [`OFlags::ACCMODE`].
///
/// [`OFlags::ACCMODE`]: OFlags::ACCMODE
///
/// # Errors
///
/// None for an open descriptor.
///
/// ```
/// use barecall::fs::{self, OFlags};
/// use barecall::io;
///
/// let (_reader, writer) = io::pipe2(io::PipeFlags::NONBLOCK)?;
/// let flags = fs::fcntl_getfl(&writer)?;
/// assert!(flags.contains(OFlags::NONBLOCK));
/// assert_eq!(flags & OFlags::ACCMODE, OFlags::WRONLY);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_getfl<Fd: AsFd>(fd: Fd) -> Result<OFlags, Errno> {
    // SAFETY: numbers only.
    let bits = unsafe { syscall!(nr::FCNTL, fd.as_fd(), F_GETFL) }?;
    Ok(OFlags::from_bits_retain(bits as u32))
}

/// `fcntl(fd, F_SETFL, flags)`: sets the status flags of the open file
/// description, for everybody who shares it.
///
/// Only `APPEND`, `ASYNC`, `DIRECT`, `NOATIME` and `NONBLOCK` can change; the
/// others are ignored by the kernel.
///
/// # Errors
///
/// `EPERM`: clearing `APPEND` on an append-only file, or `NOATIME` on a file of
/// somebody else. `EINVAL`: `DIRECT`, which the file system does not have.
/// `EBADF`: an `O_PATH` descriptor.
///
/// ```
/// use barecall::fs::{self, OFlags};
/// use barecall::{Errno, io};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::empty())?;
/// fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
/// assert_eq!(io::read(&reader, &mut [0; 1]), Err(Errno::EAGAIN));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_setfl<Fd: AsFd>(fd: Fd, flags: OFlags) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCNTL, fd.as_fd(), F_SETFL, flags.bits()) }
}
