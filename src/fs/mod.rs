//! Files, directories and their names.
//!
//! A path is resolved from a directory that the caller names: an open
//! descriptor, or [`CWD`]. Both are an [`AsDirFd`]. An absolute path ignores
//! it.
//!
//! ```
//! use barecall::fs::{self, AtFlags, Mode, OFlags};
//!
//! let etc = fs::openat(fs::CWD, c"/etc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
//! let file = fs::openat(&etc, c"passwd", OFlags::CLOEXEC, Mode::empty())?;
//! assert_eq!(fs::fstat(&file)?.st_ino, fs::statat(&etc, c"passwd", AtFlags::empty())?.st_ino);
//! # Ok::<(), barecall::Errno>(())
//! ```

use crate::fd::{AsFd, BorrowedFd, RawFd};
use crate::syscall::Arg;
use core::fmt;
use core::marker::PhantomData;

mod dents;
mod file;
mod names;
mod open;
mod path;
mod stat;

pub use dents::{DirEntries, DirEntry, getdents64};
pub use file::{
    FallocateFlags, FlockFlags, fallocate, fchmod, fchmodat, fchmodat2, fchown, fchownat,
    fdatasync, flock, fsync, ftruncate, syncfs,
};
pub use names::{
    RenameFlags, linkat, makedev, mkdirat, mknodat, readlinkat, renameat2, symlinkat, unlinkat,
};
pub use open::{Mode, OFlags, OpenHow, ResolveFlags, fcntl_getfl, fcntl_setfl, openat, openat2};
pub use path::{DecInt, FdPath};
pub use stat::{
    Access, AtFlags, FileType, Stat, Statfs, Statx, StatxAttributes, StatxMask, StatxTimestamp,
    faccessat2, fstat, fstatfs, statat, statfs, statx,
};

const AT_FDCWD: RawFd = -100;

/// Where a relative path starts: a directory's descriptor, borrowed, or the
/// current directory, [`CWD`].
///
/// The number of [`CWD`] is negative, so it is no [`BorrowedFd`]: none of the
/// calls that take a descriptor can be given it by mistake. It is 4 bytes and
/// costs nothing to make.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct DirFd<'fd>(RawFd, PhantomData<BorrowedFd<'fd>>);

/// `AT_FDCWD`: the current directory of the process.
#[doc(alias = "AT_FDCWD")]
pub const CWD: DirFd<'static> = DirFd(AT_FDCWD, PhantomData);

impl<'fd> DirFd<'fd> {
    /// This open directory.
    #[inline]
    pub const fn new(fd: BorrowedFd<'fd>) -> Self {
        Self(fd.as_raw_fd(), PhantomData)
    }

    /// Whether this is [`CWD`].
    #[inline]
    pub const fn is_cwd(self) -> bool {
        self.0 == AT_FDCWD
    }
}

impl fmt::Debug for DirFd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cwd() {
            return f.write_str("CWD");
        }
        f.debug_tuple("DirFd").field(&self.0).finish()
    }
}

impl Arg for DirFd<'_> {
    #[inline]
    fn to_reg(self) -> crate::arch::Reg {
        self.0.to_reg()
    }
}

/// What a path can start from: everything that has a descriptor, and [`CWD`].
///
/// Code that is generic over it passes `dir.as_dir_fd()` on, which is `Copy`.
///
/// ```
/// use barecall::fs::{self, AsDirFd, Mode, OFlags};
/// use barecall::{Errno, fd::OwnedFd};
///
/// fn open_config(dir: impl AsDirFd) -> Result<OwnedFd, Errno> {
///     fs::openat(dir.as_dir_fd(), c"passwd", OFlags::CLOEXEC, Mode::empty())
/// }
///
/// let etc = fs::openat(fs::CWD, c"/etc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
/// open_config(&etc)?;
/// assert_eq!(open_config(fs::CWD).unwrap_err(), Errno::ENOENT);
/// # Ok::<(), Errno>(())
/// ```
pub trait AsDirFd {
    /// The directory.
    fn as_dir_fd(&self) -> DirFd<'_>;
}

impl AsDirFd for DirFd<'_> {
    #[inline]
    fn as_dir_fd(&self) -> DirFd<'_> {
        *self
    }
}

impl AsDirFd for &DirFd<'_> {
    #[inline]
    fn as_dir_fd(&self) -> DirFd<'_> {
        **self
    }
}

impl<Fd: AsFd> AsDirFd for Fd {
    #[inline]
    fn as_dir_fd(&self) -> DirFd<'_> {
        DirFd::new(self.as_fd())
    }
}
