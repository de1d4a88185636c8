//! File systems by descriptor: made, configured, mounted nowhere yet.

use super::MountAttrFlags;
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::flags::flags;
use crate::fs::AsDirFd;
use crate::nr;
use crate::syscall::syscall_zero;
use core::ffi::CStr;

flags! {
    /// `FSOPEN_*` for [`fsopen`].
    pub struct FsopenFlags: u32 {
        /// `FSOPEN_CLOEXEC`: closed by `execve`.
        #[doc(alias = "FSOPEN_CLOEXEC")]
        const CLOEXEC = 1;
        const _ = !0;
    }
}

/// `fsopen(fsname, flags)`: begins to make a file system (since Linux 5.2).
///
/// Then come [`fsconfig`], [`fsmount`] and [`move_mount`]. What the file system
/// has to say about a failure can be read from the descriptor, a message a
/// `read`.
///
/// # Errors
///
/// `ENODEV`: the kernel does not have this file system. `EPERM`: no
/// `CAP_SYS_ADMIN`. `EINVAL`: an unknown flag. `EMFILE`, `ENFILE`, `ENOMEM`.
///
/// ```no_run
/// use barecall::fs::CWD;
/// use barecall::mount::{self, FsConfig, FsmountFlags, FsopenFlags, MountAttrFlags, MoveMountFlags};
///
/// let fs = mount::fsopen(c"tmpfs", FsopenFlags::CLOEXEC)?;
/// mount::fsconfig(&fs, FsConfig::String(c"size", c"1m"))?;
/// mount::fsconfig(&fs, FsConfig::Create)?;
/// let attributes = MountAttrFlags::NOSUID | MountAttrFlags::NODEV;
/// let tree = mount::fsmount(&fs, FsmountFlags::CLOEXEC, attributes)?;
/// mount::move_mount(&tree, c"", CWD, c"/tmp", MoveMountFlags::F_EMPTY_PATH)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fsopen(2)](https://man7.org/linux/man-pages/man2/fsopen.2.html).
///
/// [`move_mount`]: super::move_mount
#[inline]
pub fn fsopen(name: &CStr, flags: FsopenFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a string, and a new descriptor that is ours.
    unsafe { syscall_fd!(nr::FSOPEN, name, flags.bits()) }
}

flags! {
    /// `FSPICK_*` for [`fspick`].
    pub struct FspickFlags: u32 {
        /// `FSPICK_CLOEXEC`: closed by `execve`.
        #[doc(alias = "FSPICK_CLOEXEC")]
        const CLOEXEC = 1;
        /// `FSPICK_SYMLINK_NOFOLLOW`: not what a symbolic link means.
        #[doc(alias = "FSPICK_SYMLINK_NOFOLLOW")]
        const SYMLINK_NOFOLLOW = 2;
        /// `FSPICK_NO_AUTOMOUNT`: not what would be mounted there.
        #[doc(alias = "FSPICK_NO_AUTOMOUNT")]
        const NO_AUTOMOUNT = 4;
        /// `FSPICK_EMPTY_PATH`: with an empty path, what the descriptor is.
        #[doc(alias = "FSPICK_EMPTY_PATH")]
        const EMPTY_PATH = 8;
        const _ = !0;
    }
}

/// `fspick(dirfd, path, flags)`: begins to change the file system that is
/// mounted there (since Linux 5.2).
///
/// # Errors
///
/// `EINVAL`: not the root of a mount, or an unknown flag. `EPERM`: no
/// `CAP_SYS_ADMIN`. `ENOENT`, `ENOTDIR`, ...: the path.
///
/// Manual page: [fspick(2)](https://man7.org/linux/man-pages/man2/fspick.2.html).
#[inline]
pub fn fspick<D: AsDirFd>(dir: D, path: &CStr, flags: FspickFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a string, and a new descriptor that is ours.
    unsafe { syscall_fd!(nr::FSPICK, dir.as_dir_fd(), path, flags.bits()) }
}

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_SET_BINARY: u32 = 2;
const FSCONFIG_SET_PATH: u32 = 3;
const FSCONFIG_SET_FD: u32 = 5;
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSCONFIG_CMD_RECONFIGURE: u32 = 7;
const FSCONFIG_CMD_CREATE_EXCL: u32 = 8;

/// `FSCONFIG_*`: what [`fsconfig`] does.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum FsConfig<'a> {
    /// `FSCONFIG_SET_FLAG`: an option without a value, such as `ro`.
    Flag(&'a CStr),
    /// `FSCONFIG_SET_STRING`: an option and its value, of 255 bytes at most.
    /// `source` is the device.
    String(&'a CStr, &'a CStr),
    /// `FSCONFIG_SET_BINARY`: an option and up to 1 MiB of bytes.
    Binary(&'a CStr, &'a [u8]),
    /// `FSCONFIG_SET_PATH`: an option and a path, from the working directory.
    Path(&'a CStr, &'a CStr),
    /// `FSCONFIG_SET_FD`: an option and a descriptor.
    Fd(&'a CStr, BorrowedFd<'a>),
    /// `FSCONFIG_CMD_CREATE`: makes the file system, or takes the one that is
    /// there.
    Create,
    /// `FSCONFIG_CMD_CREATE_EXCL`: makes the file system, or `EBUSY` (since
    /// Linux 6.6).
    CreateExcl,
    /// `FSCONFIG_CMD_RECONFIGURE`: changes the one from [`fspick`].
    Reconfigure,
}

/// `fsconfig(fd, cmd, key, value, aux)`: sets an option, or makes the file
/// system (since Linux 5.2).
///
/// # Errors
///
/// `EINVAL`: an option that is not understood, or too long. `EBUSY`: not in this order, or
/// made already. `EOPNOTSUPP`: a command that this kernel, or this file system,
/// does not know. `EPERM`: no `CAP_SYS_ADMIN`. Others by the file system.
///
/// See [`fsopen`] for an example.
///
/// Manual page: [fsconfig(2)](https://man7.org/linux/man-pages/man2/fsconfig.2.html).
pub fn fsconfig<Fd: AsFd>(fs: Fd, what: FsConfig<'_>) -> Result<(), Errno> {
    const AT_FDCWD: i32 = -100;
    let none = core::ptr::null::<u8>();
    let (command, key, value, aux) = match what {
        FsConfig::Flag(key) => (FSCONFIG_SET_FLAG, Some(key), none, 0),
        FsConfig::String(key, value) => (FSCONFIG_SET_STRING, Some(key), value.as_ptr().cast(), 0),
        FsConfig::Binary(key, bytes) => {
            // More than 1 MiB is EINVAL.
            let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            (FSCONFIG_SET_BINARY, Some(key), bytes.as_ptr(), len)
        }
        FsConfig::Path(key, path) => (FSCONFIG_SET_PATH, Some(key), path.as_ptr().cast(), AT_FDCWD),
        FsConfig::Fd(key, fd) => (FSCONFIG_SET_FD, Some(key), none, fd.as_raw_fd()),
        FsConfig::Create => (FSCONFIG_CMD_CREATE, None, none, 0),
        FsConfig::CreateExcl => (FSCONFIG_CMD_CREATE_EXCL, None, none, 0),
        FsConfig::Reconfigure => (FSCONFIG_CMD_RECONFIGURE, None, none, 0),
    };
    // SAFETY: strings, and as many bytes as are there.
    unsafe { syscall_zero!(nr::FSCONFIG, fs.as_fd(), command, key, value, aux) }
}

flags! {
    /// `FSMOUNT_*` for [`fsmount`].
    pub struct FsmountFlags: u32 {
        /// `FSMOUNT_CLOEXEC`: closed by `execve`.
        #[doc(alias = "FSMOUNT_CLOEXEC")]
        const CLOEXEC = 1;
        /// `FSMOUNT_NAMESPACE`: in a mount namespace of its own, which the
        /// descriptor then is (since Linux 7.1).
        #[doc(alias = "FSMOUNT_NAMESPACE")]
        const NAMESPACE = 2;
        const _ = !0;
    }
}

/// `fsmount(fsfd, flags, attr_flags)`: mounts what was made, nowhere yet
/// (since Linux 5.2). When the descriptor is closed, and it is still nowhere,
/// it is unmounted.
///
/// # Errors
///
/// `EINVAL`: no [`FsConfig::Create`] before, an unknown flag, or an attribute
/// above the 32 bits that this call takes. `EBUSY`: done
/// already. `EPERM`: no `CAP_SYS_ADMIN`. `EMFILE`, `ENFILE`, `ENOMEM`.
///
/// See [`fsopen`] for an example.
///
/// Manual page: [fsmount(2)](https://man7.org/linux/man-pages/man2/fsmount.2.html).
#[inline]
pub fn fsmount<Fd: AsFd>(
    fs: Fd,
    flags: FsmountFlags,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    // It would be mounted without what is cut.
    let attributes = u32::try_from(attributes.bits()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::FSMOUNT, fs.as_fd(), flags.bits(), attributes) }
}
