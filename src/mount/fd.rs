//! Mounts by descriptor: the calls of Linux 5.2 and later.

use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::flags::flags;
use crate::fs::{AsDirFd, AtFlags};
use crate::syscall::syscall_zero;
use crate::{nr, syscall};
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
    /// `FSCONFIG_SET_STRING`: an option and its value. `source` is the device.
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
/// `EINVAL`: an option that is not understood. `EBUSY`: not in this order, or
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

/// `fsmount(fsfd, flags, attr_flags)`: mounts what was made, nowhere yet
/// (since Linux 5.2). When the descriptor is closed, and it is still nowhere,
/// it is unmounted.
///
/// # Errors
///
/// `EINVAL`: no [`FsConfig::Create`] before, or an unknown flag. `EBUSY`: done
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
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::FSMOUNT, fs.as_fd(), flags.bits(), attributes.bits()) }
}

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
/// See [`fsopen`] for an example.
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
/// With [`OpenTreeFlags::CLONE`] it can change the map of an idmapped mount,
/// which [`mount_setattr`] cannot.
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

flags! {
    /// `STATMOUNT_*`: what [`statmount`] is asked for, and what it knew.
    pub struct StatmountMask: u64 {
        /// `STATMOUNT_SB_BASIC`: `sb_*`.
        #[doc(alias = "STATMOUNT_SB_BASIC")]
        const SB_BASIC = 0x1;
        /// `STATMOUNT_MNT_BASIC`: `mnt_id` and the others.
        #[doc(alias = "STATMOUNT_MNT_BASIC")]
        const MNT_BASIC = 0x2;
        /// `STATMOUNT_PROPAGATE_FROM`: `propagate_from`.
        #[doc(alias = "STATMOUNT_PROPAGATE_FROM")]
        const PROPAGATE_FROM = 0x4;
        /// `STATMOUNT_MNT_ROOT`: what of the file system is mounted.
        #[doc(alias = "STATMOUNT_MNT_ROOT")]
        const MNT_ROOT = 0x8;
        /// `STATMOUNT_MNT_POINT`: where.
        #[doc(alias = "STATMOUNT_MNT_POINT")]
        const MNT_POINT = 0x10;
        /// `STATMOUNT_FS_TYPE`: of which type.
        #[doc(alias = "STATMOUNT_FS_TYPE")]
        const FS_TYPE = 0x20;
        /// `STATMOUNT_MNT_NS_ID`: in which namespace (since Linux 6.11).
        #[doc(alias = "STATMOUNT_MNT_NS_ID")]
        const MNT_NS_ID = 0x40;
        /// `STATMOUNT_MNT_OPTS`: with which options (since Linux 6.11).
        #[doc(alias = "STATMOUNT_MNT_OPTS")]
        const MNT_OPTS = 0x80;
        /// `STATMOUNT_FS_SUBTYPE`: of which subtype (since Linux 6.13).
        #[doc(alias = "STATMOUNT_FS_SUBTYPE")]
        const FS_SUBTYPE = 0x100;
        /// `STATMOUNT_SB_SOURCE`: from which device (since Linux 6.13).
        #[doc(alias = "STATMOUNT_SB_SOURCE")]
        const SB_SOURCE = 0x200;
        /// `STATMOUNT_OPT_ARRAY`: the options one by one (since Linux 6.13).
        #[doc(alias = "STATMOUNT_OPT_ARRAY")]
        const OPT_ARRAY = 0x400;
        /// `STATMOUNT_OPT_SEC_ARRAY`: security options (since Linux 6.13).
        #[doc(alias = "STATMOUNT_OPT_SEC_ARRAY")]
        const OPT_SEC_ARRAY = 0x800;
        /// `STATMOUNT_SUPPORTED_MASK`: which of these the kernel knows (since
        /// Linux 6.15).
        #[doc(alias = "STATMOUNT_SUPPORTED_MASK")]
        const SUPPORTED_MASK = 0x1000;
        /// `STATMOUNT_MNT_UIDMAP`: the map of users (since Linux 6.15).
        #[doc(alias = "STATMOUNT_MNT_UIDMAP")]
        const MNT_UIDMAP = 0x2000;
        /// `STATMOUNT_MNT_GIDMAP`: the map of groups (since Linux 6.15).
        #[doc(alias = "STATMOUNT_MNT_GIDMAP")]
        const MNT_GIDMAP = 0x4000;
        const _ = !0;
    }
}

/// `struct mnt_id_req`, with the namespace's descriptor as `mnt_ns_fd`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct mnt_id_req")]
struct MntIdReq {
    size: u32,
    mnt_ns_fd: u32,
    mnt_id: u64,
    param: u64,
    mnt_ns_id: u64,
}

// MNT_ID_REQ_SIZE_VER0: without the namespace, as every kernel takes it.
const MNT_ID_REQ_SIZE_VER0: u32 = 24;

/// `LSMT_ROOT`: the root of the mounts, for [`listmount`].
pub const LSMT_ROOT: u64 = !0;

/// `struct statmount`, whose strings are offsets into what follows it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct statmount")]
#[allow(missing_docs)]
pub struct Statmount {
    pub size: u32,
    pub mnt_opts: u32,
    /// [`StatmountMask`]: what follows is good for these.
    pub mask: u64,
    pub sb_dev_major: u32,
    pub sb_dev_minor: u32,
    pub sb_magic: u64,
    pub sb_flags: u32,
    pub fs_type: u32,
    pub mnt_id: u64,
    pub mnt_parent_id: u64,
    pub mnt_id_old: u32,
    pub mnt_parent_id_old: u32,
    pub mnt_attr: u64,
    pub mnt_propagation: u64,
    pub mnt_peer_group: u64,
    pub mnt_master: u64,
    pub propagate_from: u64,
    pub mnt_root: u32,
    pub mnt_point: u32,
    pub mnt_ns_id: u64,
    pub fs_subtype: u32,
    pub sb_source: u32,
    pub opt_num: u32,
    pub opt_array: u32,
    pub opt_sec_num: u32,
    pub opt_sec_array: u32,
    pub supported_mask: u64,
    pub mnt_uidmap_num: u32,
    pub mnt_uidmap: u32,
    pub mnt_gidmap_num: u32,
    pub mnt_gidmap: u32,
    __spare2: [u64; 43],
}

/// Room for what [`statmount`] writes, with `N` bytes of strings.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StatmountBuf<const N: usize> {
    fixed: Statmount,
    strings: [u8; N],
}

impl<const N: usize> StatmountBuf<N> {
    /// What has a size of its own.
    #[inline]
    pub const fn fixed(&self) -> &Statmount {
        &self.fixed
    }

    /// The string at this offset, which is one of [`Statmount`]'s fields.
    #[inline]
    pub fn string(&self, offset: u32) -> Option<&CStr> {
        CStr::from_bytes_until_nul(self.strings.get(offset as usize..)?).ok()
    }
}

/// `statmount(req, buf, size, 0)`: what a mount is, by its number that is never
/// used again (`stx_mnt_id` with `STATX_MNT_ID_UNIQUE`), since Linux 6.8.
///
/// # Errors
///
/// `ENOENT`: no such mount. `EOVERFLOW`: the strings do not fit. `EPERM`: not
/// below the caller's root. `ENOSYS`: an older kernel.
///
/// Manual page: [statmount(2)](https://man7.org/linux/man-pages/man2/statmount.2.html).
pub fn statmount<const N: usize>(
    mnt_id: u64,
    mask: StatmountMask,
) -> Result<StatmountBuf<N>, Errno> {
    let request = MntIdReq {
        size: MNT_ID_REQ_SIZE_VER0,
        mnt_id,
        param: mask.bits(),
        ..MntIdReq::default()
    };
    // SAFETY: the kernel writes at most so many bytes, and zeros are valid.
    unsafe {
        crate::syscall::syscall_out!(
            StatmountBuf<N>;
            nr::STATMOUNT, &raw const request; _, size_of::<StatmountBuf<N>>(), 0
        )
    }
}

/// `listmount(req, mnt_ids, count, 0)`: the mounts below one (since Linux 6.8),
/// or below all with [`LSMT_ROOT`], that come after the number `after`.
///
/// Gives how many were written.
///
/// # Errors
///
/// `ENOENT`: no such mount. `EPERM`: not below the caller's root. `ENOSYS`: an
/// older kernel.
///
/// ```
/// use barecall::Errno;
/// use barecall::mount::{LSMT_ROOT, StatmountMask, listmount, statmount};
///
/// let mut mounts = [0; 64];
/// match listmount(LSMT_ROOT, 0, &mut mounts) {
///     Ok(n) => {
///         for &mount in &mounts[..n] {
///             let info = statmount::<4096>(mount, StatmountMask::MNT_POINT)?;
///             assert!(info.string(info.fixed().mnt_point).is_some());
///         }
///     }
///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [listmount(2)](https://man7.org/linux/man-pages/man2/listmount.2.html).
pub fn listmount(mnt_id: u64, after: u64, mounts: &mut [u64]) -> Result<usize, Errno> {
    let request = MntIdReq {
        size: MNT_ID_REQ_SIZE_VER0,
        mnt_id,
        param: after,
        ..MntIdReq::default()
    };
    // SAFETY: the kernel writes at most so many numbers.
    unsafe {
        syscall!(
            nr::LISTMOUNT,
            &raw const request,
            mounts.as_mut_ptr(),
            mounts.len(),
            0
        )
    }
}
