//! What mounts there are, and what they are: statmount and listmount.

use crate::errno::Errno;
use crate::flags::flags;
use crate::{nr, syscall};
use core::ffi::CStr;

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
/// `ENOENT`: no such mount. `EINVAL`: a number of the other kind, which is used
/// again. `EOVERFLOW`: the strings do not fit. `EPERM`: not below the caller's
/// root. `ENOSYS`: an older kernel.
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
    // Without the padding behind the strings, where nobody would find one.
    // SAFETY: the kernel writes at most so many bytes, and zeros are valid.
    unsafe {
        crate::syscall::syscall_out!(
            StatmountBuf<N>;
            nr::STATMOUNT, &raw const request; _, size_of::<Statmount>().saturating_add(N), 0
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
/// `ENOENT`: no such mount. `EINVAL`: as for [`statmount`]. `EOVERFLOW`: room for
/// more than a million. `EPERM`: not below the caller's root. `ENOSYS`: an older
/// kernel.
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
