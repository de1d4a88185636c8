//! Mounts by descriptor: copied, moved, and what holds for them.

use crate::errno::Errno;
use crate::fd::OwnedFd;
use crate::fd::syscall_fd;
use crate::flags::flags;
use crate::fs::{AsDirFd, AtFlags};
use crate::nr;
use crate::syscall::syscall_zero;
use core::ffi::CStr;

flags! {
    /// `OPEN_TREE_*` and `AT_*` for [`open_tree`].
    pub struct OpenTreeFlags: u32 {
        /// `OPEN_TREE_CLONE`: a copy of the mount, nowhere yet.
        #[doc(alias = "OPEN_TREE_CLONE")]
        const CLONE = 1;
        /// `OPEN_TREE_NAMESPACE`: a copy, in a mount namespace of its own (since
        /// Linux 7.0).
        #[doc(alias = "OPEN_TREE_NAMESPACE")]
        const NAMESPACE = 2;
        /// `OPEN_TREE_CLOEXEC`: closed by `execve`.
        #[doc(alias = "OPEN_TREE_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        /// `AT_SYMLINK_NOFOLLOW`: not what a symbolic link means.
        #[doc(alias = "AT_SYMLINK_NOFOLLOW")]
        const SYMLINK_NOFOLLOW = 0x100;
        /// `AT_NO_AUTOMOUNT`: not what would be mounted there.
        #[doc(alias = "AT_NO_AUTOMOUNT")]
        const NO_AUTOMOUNT = 0x800;
        /// `AT_EMPTY_PATH`: with an empty path, what the descriptor is.
        #[doc(alias = "AT_EMPTY_PATH")]
        const EMPTY_PATH = 0x1000;
        /// `AT_RECURSIVE`: with `CLONE`, the mounts below too.
        #[doc(alias = "AT_RECURSIVE")]
        const RECURSIVE = 0x8000;
        const _ = !0;
    }
}

/// `open_tree(dirfd, path, flags)`: a mount as a descriptor, or a copy of it
/// (since Linux 5.2).
///
/// # Errors
///
/// `EINVAL`: an unknown flag, or a mount that cannot be copied. `EPERM`: `CLONE`
/// without `CAP_SYS_ADMIN`. `ENOENT`, `ENOTDIR`, ...: the path.
///
/// Manual page: [open_tree(2)](https://man7.org/linux/man-pages/man2/open_tree.2.html).
#[inline]
pub fn open_tree<D: AsDirFd>(dir: D, path: &CStr, flags: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a string, and a new descriptor that is ours.
    unsafe { syscall_fd!(nr::OPEN_TREE, dir.as_dir_fd(), path, flags.bits()) }
}

flags! {
    /// `MOVE_MOUNT_*` for [`move_mount`].
    pub struct MoveMountFlags: u32 {
        /// `MOVE_MOUNT_F_SYMLINKS`: what a symbolic link means, of the first path.
        #[doc(alias = "MOVE_MOUNT_F_SYMLINKS")]
        const F_SYMLINKS = 1;
        /// `MOVE_MOUNT_F_AUTOMOUNTS`: what is mounted there, of the first path.
        #[doc(alias = "MOVE_MOUNT_F_AUTOMOUNTS")]
        const F_AUTOMOUNTS = 2;
        /// `MOVE_MOUNT_F_EMPTY_PATH`: the first path can be empty.
        #[doc(alias = "MOVE_MOUNT_F_EMPTY_PATH")]
        const F_EMPTY_PATH = 4;
        /// `MOVE_MOUNT_T_SYMLINKS`: what a symbolic link means, of the second
        /// path.
        #[doc(alias = "MOVE_MOUNT_T_SYMLINKS")]
        const T_SYMLINKS = 0x10;
        /// `MOVE_MOUNT_T_AUTOMOUNTS`: what is mounted there, of the second path.
        #[doc(alias = "MOVE_MOUNT_T_AUTOMOUNTS")]
        const T_AUTOMOUNTS = 0x20;
        /// `MOVE_MOUNT_T_EMPTY_PATH`: the second path can be empty.
        #[doc(alias = "MOVE_MOUNT_T_EMPTY_PATH")]
        const T_EMPTY_PATH = 0x40;
        /// `MOVE_MOUNT_SET_GROUP`: into the sharing group of the other, without
        /// moving (since Linux 5.15).
        #[doc(alias = "MOVE_MOUNT_SET_GROUP")]
        const SET_GROUP = 0x100;
        /// `MOVE_MOUNT_BENEATH`: below the topmost mount there (since Linux
        /// 6.5).
        #[doc(alias = "MOVE_MOUNT_BENEATH")]
        const BENEATH = 0x200;
        const _ = !0;
    }
}

/// `move_mount(from_dirfd, from_path, to_dirfd, to_path, flags)`: puts a mount
/// somewhere (since Linux 5.2).
///
/// # Errors
///
/// `EINVAL`: not a mount, a shared parent, an unknown flag. `ELOOP`: below
/// itself. `EBUSY`. `EPERM`: no `CAP_SYS_ADMIN`. `ENOENT`, `ENOTDIR`, ...: the
/// paths.
///
/// See [`fsopen`](super::fsopen) for an example.
///
/// Manual page: [move_mount(2)](https://man7.org/linux/man-pages/man2/move_mount.2.html).
#[inline]
pub fn move_mount<F: AsDirFd, T: AsDirFd>(
    from: F,
    from_path: &CStr,
    to: T,
    to_path: &CStr,
    flags: MoveMountFlags,
) -> Result<(), Errno> {
    // SAFETY: two strings.
    unsafe {
        syscall_zero!(
            nr::MOVE_MOUNT,
            from.as_dir_fd(),
            from_path,
            to.as_dir_fd(),
            to_path,
            flags.bits()
        )
    }
}

flags! {
    /// `MOUNT_ATTR_*`: what holds for a mount.
    pub struct MountAttrFlags: u64 {
        /// `MOUNT_ATTR_RDONLY`: nothing can be written.
        #[doc(alias = "MOUNT_ATTR_RDONLY")]
        const RDONLY = 1;
        /// `MOUNT_ATTR_NOSUID`: no set-user-ID, set-group-ID or file
        /// capabilities.
        #[doc(alias = "MOUNT_ATTR_NOSUID")]
        const NOSUID = 2;
        /// `MOUNT_ATTR_NODEV`: device files cannot be opened.
        #[doc(alias = "MOUNT_ATTR_NODEV")]
        const NODEV = 4;
        /// `MOUNT_ATTR_NOEXEC`: programs cannot be executed.
        #[doc(alias = "MOUNT_ATTR_NOEXEC")]
        const NOEXEC = 8;
        /// `MOUNT_ATTR__ATIME`: the bits that say when access times change; to
        /// be cleared before one is set.
        #[doc(alias = "MOUNT_ATTR__ATIME")]
        const ATIME = 0x70;
        /// `MOUNT_ATTR_NOATIME`: reading does not change access times.
        #[doc(alias = "MOUNT_ATTR_NOATIME")]
        const NOATIME = 0x10;
        /// `MOUNT_ATTR_STRICTATIME`: every access changes the access time.
        #[doc(alias = "MOUNT_ATTR_STRICTATIME")]
        const STRICTATIME = 0x20;
        /// `MOUNT_ATTR_NODIRATIME`: reading a directory does not change its
        /// access time.
        #[doc(alias = "MOUNT_ATTR_NODIRATIME")]
        const NODIRATIME = 0x80;
        /// `MOUNT_ATTR_IDMAP`: users and groups by the map of a user namespace
        /// (since Linux 5.12).
        #[doc(alias = "MOUNT_ATTR_IDMAP")]
        const IDMAP = 0x10_0000;
        /// `MOUNT_ATTR_NOSYMFOLLOW`: symbolic links are not followed (since
        /// Linux 5.14).
        #[doc(alias = "MOUNT_ATTR_NOSYMFOLLOW")]
        const NOSYMFOLLOW = 0x20_0000;
        const _ = !0;
    }
}

/// `struct mount_attr`: what [`mount_setattr`] changes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct mount_attr")]
pub struct MountAttr {
    /// [`MountAttrFlags`] to be set.
    pub attr_set: u64,
    /// [`MountAttrFlags`] to be cleared.
    pub attr_clr: u64,
    /// One of `MountFlags::{SHARED, SLAVE, PRIVATE, UNBINDABLE}`, or 0.
    pub propagation: u64,
    /// The user namespace of [`MountAttrFlags::IDMAP`].
    pub userns_fd: u64,
}

/// `mount_setattr(dirfd, path, flags, attr, size)`: changes what holds for a
/// mount, or with [`AtFlags::RECURSIVE`] for those below too (since Linux
/// 5.12).
///
/// # Errors
///
/// `EINVAL`: not a mount, or attributes that do not go together. `EPERM`: no
/// `CAP_SYS_ADMIN`, or locked. `EBUSY`: open for writing. `ENOENT`, ...: the
/// path.
///
/// Manual page: [mount_setattr(2)](https://man7.org/linux/man-pages/man2/mount_setattr.2.html).
#[inline]
pub fn mount_setattr<D: AsDirFd>(
    dir: D,
    path: &CStr,
    flags: AtFlags,
    attr: &MountAttr,
) -> Result<(), Errno> {
    // SAFETY: a string, and a `mount_attr` of this size.
    unsafe {
        syscall_zero!(
            nr::MOUNT_SETATTR,
            dir.as_dir_fd(),
            path,
            flags.bits(),
            &raw const *attr,
            size_of::<MountAttr>()
        )
    }
}

/// `open_tree_attr(dirfd, path, flags, attr, size)`: as [`open_tree`], with what
/// holds for the copy changed before anybody can see it (since Linux 6.15).
///
/// Without [`OpenTreeFlags::CLONE`] there is no copy: what is mounted there is
/// changed, as by [`mount_setattr`]. With it, this can change the map of an
/// idmapped mount, which [`mount_setattr`] cannot.
///
/// # Errors
///
/// As [`open_tree`] and [`mount_setattr`]; `ENOSYS`: an older kernel.
///
/// ```no_run
/// use barecall::fs::CWD;
/// use barecall::mount::{MountAttr, MountAttrFlags, OpenTreeFlags, open_tree_attr};
///
/// let attr = MountAttr { attr_set: MountAttrFlags::RDONLY.bits(), ..MountAttr::default() };
/// let flags = OpenTreeFlags::CLONE | OpenTreeFlags::CLOEXEC;
/// let read_only = open_tree_attr(CWD, c"/usr", flags, &attr)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [open_tree_attr(2)](https://man7.org/linux/man-pages/man2/open_tree_attr.2.html).
#[inline]
pub fn open_tree_attr<D: AsDirFd>(
    dir: D,
    path: &CStr,
    flags: OpenTreeFlags,
    attr: &MountAttr,
) -> Result<OwnedFd, Errno> {
    // SAFETY: a string, a `mount_attr` of this size, and a new descriptor that
    // is ours.
    unsafe {
        syscall_fd!(
            nr::OPEN_TREE_ATTR,
            dir.as_dir_fd(),
            path,
            flags.bits(),
            &raw const *attr,
            size_of::<MountAttr>()
        )
    }
}
