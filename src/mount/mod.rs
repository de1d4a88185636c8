//! Mounting and unmounting file systems.

mod context;
mod stat;
mod tree;

pub use context::*;
pub use stat::*;
pub use tree::*;

use crate::errno::Errno;
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;
use core::ffi::CStr;

flags! {
    /// `MS_*`: what [`mount`] does, and how.
    pub struct MountFlags: u32 {
        /// `MS_RDONLY`: nothing can be written.
        #[doc(alias = "MS_RDONLY")]
        const RDONLY = 1;
        /// `MS_NOSUID`: no set-user-ID, set-group-ID or file capabilities.
        #[doc(alias = "MS_NOSUID")]
        const NOSUID = 2;
        /// `MS_NODEV`: device files cannot be opened.
        #[doc(alias = "MS_NODEV")]
        const NODEV = 4;
        /// `MS_NOEXEC`: programs cannot be executed.
        #[doc(alias = "MS_NOEXEC")]
        const NOEXEC = 8;
        /// `MS_SYNCHRONOUS`: every write reaches the disk before it returns.
        #[doc(alias = "MS_SYNCHRONOUS")]
        const SYNCHRONOUS = 16;
        /// `MS_REMOUNT`: changes what is mounted there.
        #[doc(alias = "MS_REMOUNT")]
        const REMOUNT = 32;
        /// `MS_MANDLOCK`: mandatory locks. Without effect since Linux 5.15.
        #[doc(alias = "MS_MANDLOCK")]
        const MANDLOCK = 64;
        /// `MS_DIRSYNC`: changes of directories are synchronous.
        #[doc(alias = "MS_DIRSYNC")]
        const DIRSYNC = 128;
        /// `MS_NOSYMFOLLOW`: symbolic links are not followed (since Linux
        /// 5.10).
        #[doc(alias = "MS_NOSYMFOLLOW")]
        const NOSYMFOLLOW = 256;
        /// `MS_NOATIME`: reading does not change access times.
        #[doc(alias = "MS_NOATIME")]
        const NOATIME = 1024;
        /// `MS_NODIRATIME`: reading a directory does not change its access
        /// time.
        #[doc(alias = "MS_NODIRATIME")]
        const NODIRATIME = 2048;
        /// `MS_BIND`: shows the directory or file `source` at `target` too.
        #[doc(alias = "MS_BIND")]
        const BIND = 4096;
        /// `MS_MOVE`: moves the mount at `source` to `target`.
        #[doc(alias = "MS_MOVE")]
        const MOVE = 8192;
        /// `MS_REC`: with [`BIND`](Self::BIND) or a propagation type, also for
        /// the mounts below.
        #[doc(alias = "MS_REC")]
        const REC = 16384;
        /// `MS_SILENT`: fewer messages in the kernel's log.
        #[doc(alias = "MS_SILENT")]
        const SILENT = 32768;
        /// `MS_POSIXACL`: the umask is not applied by the VFS.
        #[doc(alias = "MS_POSIXACL")]
        const POSIXACL = 1 << 16;
        /// `MS_UNBINDABLE`: private, and cannot be bound elsewhere.
        #[doc(alias = "MS_UNBINDABLE")]
        const UNBINDABLE = 1 << 17;
        /// `MS_PRIVATE`: mounts below do not propagate, either way.
        #[doc(alias = "MS_PRIVATE")]
        const PRIVATE = 1 << 18;
        /// `MS_SLAVE`: mounts below arrive from the peers, and none leave.
        #[doc(alias = "MS_SLAVE")]
        const SLAVE = 1 << 19;
        /// `MS_SHARED`: mounts below propagate, both ways.
        #[doc(alias = "MS_SHARED")]
        const SHARED = 1 << 20;
        /// `MS_RELATIME`: access times change when they are older than the
        /// modification time, or a day old. The default.
        #[doc(alias = "MS_RELATIME")]
        const RELATIME = 1 << 21;
        /// `MS_I_VERSION`: the inode's version counts its changes.
        #[doc(alias = "MS_I_VERSION")]
        const I_VERSION = 1 << 23;
        /// `MS_STRICTATIME`: every access changes the access time.
        #[doc(alias = "MS_STRICTATIME")]
        const STRICTATIME = 1 << 24;
        /// `MS_LAZYTIME`: times are kept in memory, and written now and then
        /// (since Linux 4.0).
        #[doc(alias = "MS_LAZYTIME")]
        const LAZYTIME = 1 << 25;
        const _ = !0;
    }
}

/// `mount(source, target, filesystemtype, mountflags, data)`: mounts a file
/// system, or changes, binds or moves a mount.
///
/// Which of these it does is in the flags, and with it which of the other
/// arguments count; one that does not is `None`. `data` is the options that the
/// file system itself understands, `key=value` with commas. The kernel reads
/// one page of it, less a byte, and **ignores the rest without an error**;
/// [`fsconfig`] takes one option at a time.
///
/// # Errors
///
/// `EPERM`: no `CAP_SYS_ADMIN`. `ENODEV`: the kernel does not have this file
/// system. `EBUSY`: the source is mounted already, or in use. `EINVAL`: an
/// option that is not understood, a bad superblock, flags that do not go
/// together. `ENOENT`, `ENOTDIR`: `target`. `ENOTBLK`: the file system wants a
/// device. `EACCES`, `EROFS`: a device that can only be read.
///
/// ```no_run
/// use barecall::mount::{self, MountFlags};
///
/// let flags = MountFlags::NOSUID | MountFlags::NODEV;
/// mount::mount(Some(c"tmpfs"), c"/tmp", Some(c"tmpfs"), flags, Some(c"mode=1777"))?;
/// // No mount that anybody makes from now on leaves this mount namespace.
/// mount::mount(None, c"/", None, MountFlags::REC | MountFlags::PRIVATE, None)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [mount(2)](https://man7.org/linux/man-pages/man2/mount.2.html).
#[inline]
pub fn mount(
    source: Option<&CStr>,
    target: &CStr,
    fstype: Option<&CStr>,
    flags: MountFlags,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    // SAFETY: strings, which the kernel copies.
    unsafe { syscall_zero!(nr::MOUNT, source, target, fstype, flags.bits(), data) }
}

flags! {
    /// `MNT_*`: how [`umount2`] unmounts.
    pub struct UnmountFlags: u32 {
        /// `MNT_FORCE`: gives up requests that hang (network file systems);
        /// data can be lost.
        #[doc(alias = "MNT_FORCE")]
        const FORCE = 1;
        /// `MNT_DETACH`: takes it out of the tree now, and ends it when nobody
        /// uses it any more.
        #[doc(alias = "MNT_DETACH")]
        const DETACH = 2;
        /// `MNT_EXPIRE`: marks it (`EAGAIN`), or unmounts it when it has been
        /// marked and not used since.
        #[doc(alias = "MNT_EXPIRE")]
        const EXPIRE = 4;
        /// `UMOUNT_NOFOLLOW`: `target` is not a symbolic link (since Linux
        /// 2.6.34).
        #[doc(alias = "UMOUNT_NOFOLLOW")]
        const NOFOLLOW = 8;
        const _ = !0;
    }
}

/// `umount2(target, flags)`: unmounts the topmost file system at `target`.
///
/// # Errors
///
/// `EBUSY`: in use. `EAGAIN`: marked by [`UnmountFlags::EXPIRE`]. `EINVAL`:
/// not a mount point, locked, or flags that do not go together. `EPERM`: no
/// `CAP_SYS_ADMIN`. `ENOENT`.
///
/// ```no_run
/// use barecall::mount::{self, UnmountFlags};
///
/// mount::umount2(c"/mnt", UnmountFlags::NOFOLLOW)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [umount2(2)](https://man7.org/linux/man-pages/man2/umount2.2.html).
#[inline]
pub fn umount2(target: &CStr, flags: UnmountFlags) -> Result<(), Errno> {
    // SAFETY: a string, which the kernel copies.
    unsafe { syscall_zero!(nr::UMOUNT2, target, flags.bits()) }
}
