//! Names of files: making, changing and removing them.

use super::stat::S_IFMT;
use super::{AsDirFd, AtFlags, FileType, Mode};
use crate::errno::Errno;
use crate::flags::flags;
use crate::syscall::{as_int, syscall_zero};
use crate::{nr, syscall};
use core::ffi::CStr;

/// `linkat(olddirfd, oldpath, newdirfd, newpath, flags)`: gives a file another
/// name. It never replaces one.
///
/// A symbolic link at the end of the old path is linked itself, unless
/// [`AtFlags::SYMLINK_FOLLOW`] is given. With [`AtFlags::EMPTY_PATH`] and an
/// empty old path, the file is the descriptor's own.
///
/// # Errors
///
/// `EEXIST`: the new name is taken. `EXDEV`: another file system or mount.
/// `EPERM`: a directory; or the file system has no links; or
/// `protected_hardlinks` is on and the file is neither ours nor writable by us.
/// `ENOENT`: a part of a path does not exist; or with `EMPTY_PATH`, the file
/// was opened with other credentials (before Linux 6.10: by anybody) and
/// `CAP_DAC_READ_SEARCH` is missing; or the file has no name left, or was made
/// never to have one. `EINVAL`: an unknown flag. `EACCES`, `EDQUOT`, `EIO`,
/// `ELOOP`, `EMLINK`, `ENAMETOOLONG`, `ENOSPC`, `ENOTDIR`, `EROFS`.
///
/// ```
/// use barecall::fs::{self, AtFlags, Mode, OFlags};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// fs::openat(&dir, c"a", OFlags::CREAT | OFlags::CLOEXEC, Mode::from_raw(0o600))?;
/// fs::linkat(&dir, c"a", &dir, c"b", AtFlags::empty())?;
/// assert_eq!(fs::statat(&dir, c"b", AtFlags::empty())?.st_nlink, 2);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [linkat(2)](https://man7.org/linux/man-pages/man2/linkat.2.html).
#[inline]
#[doc(alias = "link")]
pub fn linkat<Old: AsDirFd, New: AsDirFd>(
    old_dir: Old,
    old_path: &CStr,
    new_dir: New,
    new_path: &CStr,
    flags: AtFlags,
) -> Result<(), Errno> {
    let (old_dir, new_dir) = (old_dir.as_dir_fd(), new_dir.as_dir_fd());
    // SAFETY: two strings.
    unsafe {
        syscall_zero!(
            nr::LINKAT,
            old_dir,
            old_path,
            new_dir,
            new_path,
            flags.bits()
        )
    }
}

/// `unlinkat(dirfd, pathname, flags)`: removes a name; with
/// [`AtFlags::REMOVEDIR`], an empty directory.
///
/// # Errors
///
/// `EISDIR`: a directory, and no `REMOVEDIR`. `ENOTEMPTY` (or `EEXIST`):
/// something is in it. `EACCES`, `EPERM`: no permission to change the
/// directory, or it is sticky, append-only or immutable. `EBUSY`: in use as a
/// mount point. `EINVAL`: an unknown flag, or the last part is `.`. `ENOENT`,
/// `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, `EIO`, `EROFS`.
///
/// ```
/// use barecall::fs::{self, AtFlags, Mode};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// fs::mkdirat(&dir, c"sub", Mode::from_raw(0o700))?;
/// fs::unlinkat(&dir, c"sub", AtFlags::REMOVEDIR)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [unlinkat(2)](https://man7.org/linux/man-pages/man2/unlinkat.2.html).
#[inline]
#[doc(alias = "unlink")]
#[doc(alias = "rmdir")]
pub fn unlinkat<D: AsDirFd>(dir: D, path: &CStr, flags: AtFlags) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::UNLINKAT, dir.as_dir_fd(), path, flags.bits()) }
}

flags! {
    /// `RENAME_*`: how [`renameat2`] treats the new name.
    pub struct RenameFlags: u32 {
        /// `RENAME_NOREPLACE`: fails if the new name is taken.
        #[doc(alias = "RENAME_NOREPLACE")]
        const NOREPLACE = 1;
        /// `RENAME_EXCHANGE`: exchanges the two, which must both exist.
        #[doc(alias = "RENAME_EXCHANGE")]
        const EXCHANGE = 2;
        /// `RENAME_WHITEOUT`: leaves a whiteout, for an overlay's upper layer
        /// (since Linux 3.18).
        #[doc(alias = "RENAME_WHITEOUT")]
        const WHITEOUT = 4;
        const _ = !0;
    }
}

/// `renameat2(olddirfd, oldpath, newdirfd, newpath, flags)`: changes a name, in
/// one step for everybody who looks.
///
/// Without a flag, a file that has the new name loses it. If both are names of
/// *the same* file, nothing is done and the old name stays.
///
/// # Errors
///
/// `EEXIST`: the new name is taken, with `NOREPLACE`; or it is a directory that
/// is not empty (or `ENOTEMPTY`). `EINVAL`: flags that this file system or
/// kernel does not know, or a directory would be moved into itself. `EXDEV`:
/// another file system or mount. `EISDIR`, `ENOTDIR`: a directory for a file,
/// or the other way. `EACCES`, `EPERM`: no permission to change a directory,
/// or one is sticky. `EBUSY`: in use as a mount point. `EDQUOT`, `ELOOP`,
/// `EMLINK`, `ENAMETOOLONG`, `ENOENT`, `ENOSPC`, `EROFS`.
///
/// ```
/// use barecall::Errno;
/// use barecall::fs::{self, Mode, RenameFlags};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// fs::mkdirat(&dir, c"a", Mode::from_raw(0o700))?;
/// fs::mkdirat(&dir, c"b", Mode::from_raw(0o700))?;
/// fs::renameat2(&dir, c"a", &dir, c"b", RenameFlags::EXCHANGE)?;
/// let taken = fs::renameat2(&dir, c"a", &dir, c"b", RenameFlags::NOREPLACE);
/// assert_eq!(taken, Err(Errno::EEXIST));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [renameat2(2)](https://man7.org/linux/man-pages/man2/renameat2.2.html).
#[inline]
#[doc(alias = "rename")]
pub fn renameat2<Old: AsDirFd, New: AsDirFd>(
    old_dir: Old,
    old_path: &CStr,
    new_dir: New,
    new_path: &CStr,
    flags: RenameFlags,
) -> Result<(), Errno> {
    let (old_dir, new_dir) = (old_dir.as_dir_fd(), new_dir.as_dir_fd());
    // SAFETY: two strings.
    unsafe {
        syscall_zero!(
            nr::RENAMEAT2,
            old_dir,
            old_path,
            new_dir,
            new_path,
            flags.bits()
        )
    }
}

/// `readlinkat(dirfd, pathname, buf, bufsiz)`: where a symbolic link points.
///
/// Gives the part of `buf` that was filled. A target that does not fit is cut
/// off, silently: if all of `buf` was filled, it may have been longer.
///
/// # Errors
///
/// `EINVAL`: not a symbolic link, or `buf` is empty. `EACCES`, `EIO`, `ELOOP`,
/// `ENAMETOOLONG`, `ENOENT`, `ENOTDIR`.
///
/// ```
/// use barecall::fs;
///
/// let (reader, _writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC)?;
/// let mut buf = [0; 64];
/// let target = fs::readlinkat(fs::CWD, &fs::FdPath::process(&reader), &mut buf)?;
/// assert!(target.starts_with(b"pipe:["));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [readlinkat(2)](https://man7.org/linux/man-pages/man2/readlinkat.2.html).
#[inline]
#[doc(alias = "readlink")]
pub fn readlinkat<'buf, D: AsDirFd>(
    dir: D,
    path: &CStr,
    buf: &'buf mut [u8],
) -> Result<&'buf [u8], Errno> {
    let (start, len) = (buf.as_mut_ptr(), as_int(buf.len()));
    // SAFETY: a string; the kernel writes at most `len` bytes to the buffer.
    let n = unsafe { syscall!(nr::READLINKAT, dir.as_dir_fd(), path, start, len) }?;
    Ok(buf.get(..n).unwrap_or_default())
}

/// `symlinkat(target, newdirfd, linkpath)`: makes a symbolic link.
///
/// # Errors
///
/// `EEXIST`: the name is taken. `ENOENT`: a part does not exist, or the target
/// is empty. `EPERM`: the file system has no symbolic links. `EACCES`,
/// `EDQUOT`, `EIO`, `ELOOP`, `ENAMETOOLONG`, `ENOSPC`, `ENOTDIR`, `EROFS`.
///
/// ```
/// use barecall::fs;
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// fs::symlinkat(c"anywhere", &dir, c"link")?;
/// let mut buf = [0; 64];
/// assert_eq!(fs::readlinkat(&dir, c"link", &mut buf)?, b"anywhere");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [symlinkat(2)](https://man7.org/linux/man-pages/man2/symlinkat.2.html).
#[inline]
#[doc(alias = "symlink")]
pub fn symlinkat<D: AsDirFd>(target: &CStr, dir: D, path: &CStr) -> Result<(), Errno> {
    // SAFETY: two strings.
    unsafe { syscall_zero!(nr::SYMLINKAT, target, dir.as_dir_fd(), path) }
}

/// `mkdirat(dirfd, pathname, mode)`: makes a directory; `mode`, less the umask,
/// is its mode, without `SUID` and `SGID` (`SGID` comes from the directory above,
/// or by `fchmod`).
///
/// # Errors
///
/// `EEXIST`: the name is taken. `EACCES`, `EDQUOT`, `ELOOP`, `EMLINK`,
/// `ENAMETOOLONG`, `ENOENT`, `ENOSPC`, `ENOTDIR`, `EROFS`. `EPERM`: the file
/// system has no directories.
///
/// ```
/// use barecall::fs::{self, Mode};
///
/// let taken = fs::mkdirat(fs::CWD, c"/", Mode::from_raw(0o755));
/// assert_eq!(taken, Err(barecall::Errno::EEXIST));
/// ```
///
/// Manual page: [mkdirat(2)](https://man7.org/linux/man-pages/man2/mkdirat.2.html).
#[inline]
#[doc(alias = "mkdir")]
pub fn mkdirat<D: AsDirFd>(dir: D, path: &CStr, mode: Mode) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::MKDIRAT, dir.as_dir_fd(), path, mode.bits()) }
}

/// The number of a device, as `st_rdev` has it and [`mknodat`] takes it.
///
/// The kernel has 12 bits for `major` and 20 for `minor`; more are cut off.
///
/// ```
/// use barecall::fs::{self, AtFlags};
///
/// assert_eq!(fs::statat(fs::CWD, c"/dev/null", AtFlags::empty())?.st_rdev, fs::makedev(1, 3));
/// # Ok::<(), barecall::Errno>(())
/// ```
#[inline]
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64 & 0xfff, minor as u64 & 0xfffff);
    major << 8 | minor & 0xff | (minor & 0xfff00) << 12
}

/// `mknodat(dirfd, pathname, mode, dev)`: makes a device, a FIFO, a socket or
/// an empty file; `mode`, less the umask, is its mode.
///
/// `dev` is for devices ([`makedev`]), else 0.
///
/// # Errors
///
/// `EEXIST`: the name is taken. `EINVAL`: not a type that this can make, one in
/// `mode` too, or a `dev` that the kernel would cut.
/// `EPERM`: a directory, which [`mkdirat`] makes; or a device, without
/// `CAP_MKNOD` (a character device 0:0, a whiteout, needs none since Linux 5.8);
/// or the file system has none of the kind.
/// `EACCES`, `EDQUOT`, `ELOOP`, `ENAMETOOLONG`, `ENOENT`, `ENOSPC`, `ENOTDIR`,
/// `EROFS`.
///
/// ```
/// use barecall::fs::{self, AtFlags, FileType, Mode};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// fs::mknodat(&dir, c"fifo", FileType::Fifo, Mode::from_raw(0o600), 0)?;
/// assert_eq!(fs::statat(&dir, c"fifo", AtFlags::empty())?.file_type(), FileType::Fifo);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mknodat(2)](https://man7.org/linux/man-pages/man2/mknodat.2.html).
#[inline]
#[doc(alias = "mknod")]
#[doc(alias = "mkfifo")]
pub fn mknodat<D: AsDirFd>(
    dir: D,
    path: &CStr,
    file_type: FileType,
    mode: Mode,
    dev: u64,
) -> Result<(), Errno> {
    // A type among the permissions would make something else, and none a file.
    if file_type.as_raw() == 0 || mode.bits() & S_IFMT != 0 {
        return Err(Errno::EINVAL);
    }
    // The kernel takes an unsigned int.
    let dev = u32::try_from(dev).map_err(|_| Errno::EINVAL)?;
    let mode = file_type.as_raw() | mode.bits();
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::MKNODAT, dir.as_dir_fd(), path, mode, dev) }
}
