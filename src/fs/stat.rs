//! Asking about files.

use super::{AsDirFd, Mode};
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::nr;
use crate::syscall::{syscall_out, syscall_zero};
use core::ffi::CStr;

pub use crate::arch::Stat;

flags! {
    /// `AT_*`: how the calls with a directory and a path take the path.
    ///
    /// `REMOVEDIR` and `EACCESS` are one bit, which means the one to
    /// [`unlinkat`](super::unlinkat) and the other to [`faccessat2`].
    pub struct AtFlags: u32 {
        /// `AT_SYMLINK_NOFOLLOW`: a symbolic link at the end stands for itself.
        #[doc(alias = "AT_SYMLINK_NOFOLLOW")]
        const SYMLINK_NOFOLLOW = 0x100;
        /// `AT_REMOVEDIR`: removes a directory.
        #[doc(alias = "AT_REMOVEDIR")]
        const REMOVEDIR = 0x200;
        /// `AT_EACCESS`: asks for the effective ids, not the real ones.
        #[doc(alias = "AT_EACCESS")]
        const EACCESS = 0x200;
        /// `AT_SYMLINK_FOLLOW`: follows a symbolic link at the end, where that
        /// is not done anyway ([`linkat`](super::linkat)).
        #[doc(alias = "AT_SYMLINK_FOLLOW")]
        const SYMLINK_FOLLOW = 0x400;
        /// `AT_NO_AUTOMOUNT`: does not trigger an automount at the end.
        #[doc(alias = "AT_NO_AUTOMOUNT")]
        const NO_AUTOMOUNT = 0x800;
        /// `AT_EMPTY_PATH`: an empty path stands for the directory descriptor
        /// itself, whatever it is open on.
        #[doc(alias = "AT_EMPTY_PATH")]
        const EMPTY_PATH = 0x1000;
        /// `AT_STATX_SYNC_AS_STAT`: as `stat` does; the value is 0.
        #[doc(alias = "AT_STATX_SYNC_AS_STAT")]
        const STATX_SYNC_AS_STAT = 0;
        /// `AT_STATX_FORCE_SYNC`: asks the server.
        #[doc(alias = "AT_STATX_FORCE_SYNC")]
        const STATX_FORCE_SYNC = 0x2000;
        /// `AT_STATX_DONT_SYNC`: what is known here will do.
        #[doc(alias = "AT_STATX_DONT_SYNC")]
        const STATX_DONT_SYNC = 0x4000;
        /// `AT_STATX_SYNC_TYPE`: the bits of the two above.
        #[doc(alias = "AT_STATX_SYNC_TYPE")]
        const STATX_SYNC_TYPE = 0x6000;
        /// `AT_RECURSIVE`: the whole tree below (mounts).
        #[doc(alias = "AT_RECURSIVE")]
        const RECURSIVE = 0x8000;
        const _ = !0;
    }
}

pub(super) const S_IFMT: u32 = 0o170000;
const S_IFSOCK: u32 = 0o140000;
const S_IFLNK: u32 = 0o120000;
const S_IFREG: u32 = 0o100000;
const S_IFBLK: u32 = 0o060000;
const S_IFDIR: u32 = 0o040000;
const S_IFCHR: u32 = 0o020000;
const S_IFIFO: u32 = 0o010000;

/// `S_IFMT`, `DT_*`: what kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "S_IFMT")]
pub enum FileType {
    /// `S_IFREG`: a regular file.
    #[doc(alias = "S_IFREG")]
    Regular,
    /// `S_IFDIR`: a directory.
    #[doc(alias = "S_IFDIR")]
    Directory,
    /// `S_IFLNK`: a symbolic link.
    #[doc(alias = "S_IFLNK")]
    Symlink,
    /// `S_IFCHR`: a character device.
    #[doc(alias = "S_IFCHR")]
    CharDevice,
    /// `S_IFBLK`: a block device.
    #[doc(alias = "S_IFBLK")]
    BlockDevice,
    /// `S_IFIFO`: a FIFO or a pipe.
    #[doc(alias = "S_IFIFO")]
    Fifo,
    /// `S_IFSOCK`: a socket.
    #[doc(alias = "S_IFSOCK")]
    Socket,
    /// Something else, with the bits of `S_IFMT` as they were. 0 is what
    /// anonymous descriptors have (an eventfd), and in a directory a type that
    /// the file system does not tell there.
    Unknown(u32),
}

impl FileType {
    /// From `st_mode` or `stx_mode`; the permissions are ignored.
    pub const fn from_mode(mode: u32) -> Self {
        match mode & S_IFMT {
            S_IFREG => Self::Regular,
            S_IFDIR => Self::Directory,
            S_IFLNK => Self::Symlink,
            S_IFCHR => Self::CharDevice,
            S_IFBLK => Self::BlockDevice,
            S_IFIFO => Self::Fifo,
            S_IFSOCK => Self::Socket,
            other => Self::Unknown(other),
        }
    }

    /// From `d_type` of a directory entry: the same bits, moved down by 12.
    #[inline]
    pub const fn from_dirent(d_type: u8) -> Self {
        Self::from_mode((d_type as u32) << 12)
    }

    /// The bits of `S_IFMT`.
    pub const fn as_raw(self) -> u32 {
        match self {
            Self::Regular => S_IFREG,
            Self::Directory => S_IFDIR,
            Self::Symlink => S_IFLNK,
            Self::CharDevice => S_IFCHR,
            Self::BlockDevice => S_IFBLK,
            Self::Fifo => S_IFIFO,
            Self::Socket => S_IFSOCK,
            Self::Unknown(bits) => bits & S_IFMT,
        }
    }
}

impl Stat {
    /// What kind of file it is.
    #[inline]
    pub const fn file_type(&self) -> FileType {
        FileType::from_mode(self.st_mode)
    }

    /// The permissions, without the file type.
    #[inline]
    pub const fn mode(&self) -> Mode {
        Mode::from_raw(self.st_mode & !S_IFMT)
    }
}

/// `fstat(fd, statbuf)`: what there is to know about an open file.
///
/// # Errors
///
/// `EOVERFLOW`: never on 64 bits. Others as the file system has them.
///
/// ```
/// use barecall::fs::{self, FileType};
///
/// let (reader, _writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC)?;
/// assert_eq!(fs::fstat(&reader)?.file_type(), FileType::Fifo);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fstat(2)](https://man7.org/linux/man-pages/man2/fstat.2.html).
#[inline]
pub fn fstat<Fd: AsFd>(fd: Fd) -> Result<Stat, Errno> {
    // SAFETY: the kernel fills the struct.
    unsafe { syscall_out!(Stat; nr::FSTAT, fd.as_fd(); _) }
}

/// `newfstatat(dirfd, pathname, statbuf, flags)`: what there is to know about a
/// file by its path.
///
/// A symbolic link at the end is followed, unless
/// [`AtFlags::SYMLINK_NOFOLLOW`] is given.
///
/// # Errors
///
/// `EACCES`: no permission to search a directory. `EINVAL`: an unknown flag.
/// `ELOOP`, `ENAMETOOLONG`, `ENOTDIR`. `ENOENT`: a part does not exist, or the
/// path is empty without [`AtFlags::EMPTY_PATH`].
///
/// ```
/// use barecall::fs::{self, AtFlags, FileType};
///
/// let stat = fs::statat(fs::CWD, c"/dev/null", AtFlags::empty())?;
/// assert_eq!(stat.file_type(), FileType::CharDevice);
/// assert_eq!(stat.st_rdev, fs::makedev(1, 3));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fstatat(2)](https://man7.org/linux/man-pages/man2/fstatat.2.html).
#[inline]
#[doc(alias = "fstatat")]
#[doc(alias = "newfstatat")]
#[doc(alias = "lstat")]
pub fn statat<D: AsDirFd>(dir: D, path: &CStr, flags: AtFlags) -> Result<Stat, Errno> {
    // SAFETY: a string; the kernel fills the struct.
    unsafe { syscall_out!(Stat; nr::NEWFSTATAT, dir.as_dir_fd(), path; _, flags.bits()) }
}

flags! {
    /// `STATX_*`: which fields [`statx`] is asked for, and which it filled.
    pub struct StatxMask: u32 {
        /// `STATX_TYPE`: the file type in `stx_mode`.
        #[doc(alias = "STATX_TYPE")]
        const TYPE = 0x1;
        /// `STATX_MODE`: the permissions in `stx_mode`.
        #[doc(alias = "STATX_MODE")]
        const MODE = 0x2;
        /// `STATX_NLINK`: `stx_nlink`.
        #[doc(alias = "STATX_NLINK")]
        const NLINK = 0x4;
        /// `STATX_UID`: `stx_uid`.
        #[doc(alias = "STATX_UID")]
        const UID = 0x8;
        /// `STATX_GID`: `stx_gid`.
        #[doc(alias = "STATX_GID")]
        const GID = 0x10;
        /// `STATX_ATIME`: `stx_atime`.
        #[doc(alias = "STATX_ATIME")]
        const ATIME = 0x20;
        /// `STATX_MTIME`: `stx_mtime`.
        #[doc(alias = "STATX_MTIME")]
        const MTIME = 0x40;
        /// `STATX_CTIME`: `stx_ctime`.
        #[doc(alias = "STATX_CTIME")]
        const CTIME = 0x80;
        /// `STATX_INO`: `stx_ino`.
        #[doc(alias = "STATX_INO")]
        const INO = 0x100;
        /// `STATX_SIZE`: `stx_size`.
        #[doc(alias = "STATX_SIZE")]
        const SIZE = 0x200;
        /// `STATX_BLOCKS`: `stx_blocks`.
        #[doc(alias = "STATX_BLOCKS")]
        const BLOCKS = 0x400;
        /// `STATX_BASIC_STATS`: all of the above, which is what `stat` has.
        #[doc(alias = "STATX_BASIC_STATS")]
        const BASIC_STATS = 0x7ff;
        /// `STATX_BTIME`: `stx_btime`.
        #[doc(alias = "STATX_BTIME")]
        const BTIME = 0x800;
        /// `STATX_MNT_ID`: `stx_mnt_id` (since Linux 5.8).
        #[doc(alias = "STATX_MNT_ID")]
        const MNT_ID = 0x1000;
        /// `STATX_DIOALIGN`: `stx_dio_mem_align`, `stx_dio_offset_align` (since
        /// Linux 6.1).
        #[doc(alias = "STATX_DIOALIGN")]
        const DIOALIGN = 0x2000;
        /// `STATX_MNT_ID_UNIQUE`: `stx_mnt_id` is never used again (since Linux
        /// 6.8).
        #[doc(alias = "STATX_MNT_ID_UNIQUE")]
        const MNT_ID_UNIQUE = 0x4000;
        /// `STATX_SUBVOL`: `stx_subvol` (since Linux 6.10).
        #[doc(alias = "STATX_SUBVOL")]
        const SUBVOL = 0x8000;
        /// `STATX_WRITE_ATOMIC`: the `stx_atomic_write` fields (since Linux
        /// 6.11).
        #[doc(alias = "STATX_WRITE_ATOMIC")]
        const WRITE_ATOMIC = 0x10000;
        /// `STATX_DIO_READ_ALIGN`: `stx_dio_read_offset_align` (since Linux
        /// 6.14).
        #[doc(alias = "STATX_DIO_READ_ALIGN")]
        const DIO_READ_ALIGN = 0x20000;
        const _ = !0;
    }
}

flags! {
    /// `STATX_ATTR_*`: attributes of a file, and which of them its file system
    /// knows.
    pub struct StatxAttributes: u64 {
        /// `STATX_ATTR_COMPRESSED`: compressed by the file system.
        #[doc(alias = "STATX_ATTR_COMPRESSED")]
        const COMPRESSED = 0x4;
        /// `STATX_ATTR_IMMUTABLE`: cannot be changed, linked or removed.
        #[doc(alias = "STATX_ATTR_IMMUTABLE")]
        const IMMUTABLE = 0x10;
        /// `STATX_ATTR_APPEND`: can only grow.
        #[doc(alias = "STATX_ATTR_APPEND")]
        const APPEND = 0x20;
        /// `STATX_ATTR_NODUMP`: left out by backups.
        #[doc(alias = "STATX_ATTR_NODUMP")]
        const NODUMP = 0x40;
        /// `STATX_ATTR_ENCRYPTED`: needs a key.
        #[doc(alias = "STATX_ATTR_ENCRYPTED")]
        const ENCRYPTED = 0x800;
        /// `STATX_ATTR_AUTOMOUNT`: a directory that triggers an automount.
        #[doc(alias = "STATX_ATTR_AUTOMOUNT")]
        const AUTOMOUNT = 0x1000;
        /// `STATX_ATTR_MOUNT_ROOT`: the root of a mount (since Linux 5.8).
        #[doc(alias = "STATX_ATTR_MOUNT_ROOT")]
        const MOUNT_ROOT = 0x2000;
        /// `STATX_ATTR_VERITY`: protected by fs-verity (since Linux 5.5).
        #[doc(alias = "STATX_ATTR_VERITY")]
        const VERITY = 0x100000;
        /// `STATX_ATTR_DAX`: accessed without the page cache (since Linux 5.8).
        #[doc(alias = "STATX_ATTR_DAX")]
        const DAX = 0x200000;
        /// `STATX_ATTR_WRITE_ATOMIC`: can be written atomically (since Linux
        /// 6.11).
        #[doc(alias = "STATX_ATTR_WRITE_ATOMIC")]
        const WRITE_ATOMIC = 0x400000;
        const _ = !0;
    }
}

/// `struct statx_timestamp`: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
#[doc(alias = "struct statx_timestamp")]
#[allow(missing_docs)]
pub struct StatxTimestamp {
    pub tv_sec: i64,
    pub tv_nsec: u32,
    __reserved: i32,
}

/// `struct statx`: what [`statx`] answers.
///
/// A field counts if its bit is set in `stx_mask`; those of an older kernel's
/// unknown bits are 0.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct statx")]
#[allow(missing_docs)]
pub struct Statx {
    pub stx_mask: StatxMask,
    pub stx_blksize: u32,
    pub stx_attributes: StatxAttributes,
    pub stx_nlink: u32,
    pub stx_uid: u32,
    pub stx_gid: u32,
    pub stx_mode: u16,
    __spare0: [u16; 1],
    pub stx_ino: u64,
    pub stx_size: u64,
    pub stx_blocks: u64,
    pub stx_attributes_mask: StatxAttributes,
    pub stx_atime: StatxTimestamp,
    pub stx_btime: StatxTimestamp,
    pub stx_ctime: StatxTimestamp,
    pub stx_mtime: StatxTimestamp,
    pub stx_rdev_major: u32,
    pub stx_rdev_minor: u32,
    pub stx_dev_major: u32,
    pub stx_dev_minor: u32,
    pub stx_mnt_id: u64,
    pub stx_dio_mem_align: u32,
    pub stx_dio_offset_align: u32,
    pub stx_subvol: u64,
    pub stx_atomic_write_unit_min: u32,
    pub stx_atomic_write_unit_max: u32,
    pub stx_atomic_write_segments_max: u32,
    pub stx_dio_read_offset_align: u32,
    pub stx_atomic_write_unit_max_opt: u32,
    __spare2: [u32; 1],
    __spare3: [u64; 8],
}

impl Statx {
    /// What kind of file it is.
    #[inline]
    pub const fn file_type(&self) -> FileType {
        FileType::from_mode(self.stx_mode as u32)
    }

    /// The permissions, without the file type.
    #[inline]
    pub const fn mode(&self) -> Mode {
        Mode::from_raw(self.stx_mode as u32 & !S_IFMT)
    }
}

/// `statx(dirfd, pathname, flags, mask, statxbuf)`: what there is to know about
/// a file, birth time and mount included.
///
/// # Errors
///
/// As [`statat`]; `EINVAL` also for a mask with the reserved bit 31.
///
/// ```
/// use barecall::fs::{self, AtFlags, StatxMask};
///
/// let (reader, _writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC)?;
/// let stat = fs::statx(&reader, c"", AtFlags::EMPTY_PATH, StatxMask::BASIC_STATS)?;
/// assert_eq!(stat.stx_nlink, 1);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [statx(2)](https://man7.org/linux/man-pages/man2/statx.2.html).
#[inline]
pub fn statx<D: AsDirFd>(
    dir: D,
    path: &CStr,
    flags: AtFlags,
    mask: StatxMask,
) -> Result<Statx, Errno> {
    // SAFETY: a string; the kernel fills the struct.
    unsafe { syscall_out!(Statx; nr::STATX, dir.as_dir_fd(), path, flags.bits(), mask.bits(); _) }
}

/// `struct statfs`: what [`statfs`] and [`fstatfs`] answer. Sizes are in units
/// of `f_bsize` bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct statfs")]
#[allow(missing_docs)]
pub struct Statfs {
    pub f_type: i64,
    pub f_bsize: i64,
    pub f_blocks: i64,
    pub f_bfree: i64,
    pub f_bavail: i64,
    pub f_files: i64,
    pub f_ffree: i64,
    pub f_fsid: [i32; 2],
    pub f_namelen: i64,
    pub f_frsize: i64,
    pub f_flags: i64,
    f_spare: [i64; 4],
}

/// `statfs(path, buf)`: what there is to know about the file system that a path
/// is on.
///
/// # Errors
///
/// As [`statat`]; `EIO`, `ENOSYS`: the file system cannot tell.
///
/// ```
/// use barecall::fs;
///
/// // PROC_SUPER_MAGIC of <linux/magic.h>.
/// assert_eq!(fs::statfs(c"/proc")?.f_type, 0x9fa0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [statfs(2)](https://man7.org/linux/man-pages/man2/statfs.2.html).
#[inline]
pub fn statfs(path: &CStr) -> Result<Statfs, Errno> {
    // SAFETY: a string; the kernel fills the struct.
    unsafe { syscall_out!(Statfs; nr::STATFS, path; _) }
}

/// `fstatfs(fd, buf)`: what there is to know about the file system that an open
/// file is on.
///
/// # Errors
///
/// As [`statfs`].
///
/// ```
/// use barecall::fs;
///
/// let (reader, _writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC)?;
/// // PIPEFS_MAGIC of <linux/magic.h>.
/// assert_eq!(fs::fstatfs(&reader)?.f_type, 0x50495045);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fstatfs(2)](https://man7.org/linux/man-pages/man2/fstatfs.2.html).
#[inline]
pub fn fstatfs<Fd: AsFd>(fd: Fd) -> Result<Statfs, Errno> {
    // SAFETY: the kernel fills the struct.
    unsafe { syscall_out!(Statfs; nr::FSTATFS, fd.as_fd(); _) }
}

flags! {
    /// `R_OK` and so on: what [`faccessat2`] is asked. None: whether it exists.
    #[doc(alias = "F_OK")]
    pub struct Access: u32 {
        /// `X_OK`: whether it can be executed, or a directory searched.
        #[doc(alias = "X_OK")]
        const EXEC = 1;
        /// `W_OK`: whether it can be written.
        #[doc(alias = "W_OK")]
        const WRITE = 2;
        /// `R_OK`: whether it can be read.
        #[doc(alias = "R_OK")]
        const READ = 4;
        const _ = !0;
    }
}

/// `faccessat2(dirfd, pathname, mode, flags)`: whether the real user (with
/// [`AtFlags::EACCESS`], the effective one) may do that (since Linux 5.8).
///
/// The answer is about the moment of asking; to open the file is the better
/// question.
///
/// # Errors
///
/// `EACCES`: no, or a directory on the way cannot be searched. `EROFS`, `EPERM`
/// (immutable): not to be written. `EINVAL`: an unknown bit. `ENOENT`, `ELOOP`,
/// `ENOTDIR`, `ENAMETOOLONG`. `ENOSYS`: before Linux 5.8.
///
/// ```
/// use barecall::fs::{self, Access, AtFlags};
///
/// fs::faccessat2(fs::CWD, c"/etc/passwd", Access::READ, AtFlags::empty())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [faccessat2(2)](https://man7.org/linux/man-pages/man2/faccessat2.2.html).
#[inline]
#[doc(alias = "access")]
pub fn faccessat2<D: AsDirFd>(
    dir: D,
    path: &CStr,
    access: Access,
    flags: AtFlags,
) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe {
        syscall_zero!(
            nr::FACCESSAT2,
            dir.as_dir_fd(),
            path,
            access.bits(),
            flags.bits()
        )
    }
}
