//! Where there is no memfd to be had.

use super::{Applied, Memfd, MemfdOptions};
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, AsDirFd, Mode, OFlags};
use core::ffi::CStr;

/// What [`MemfdOptions::create_or_tmpfile`] got.
#[derive(Debug)]
pub enum MemoryFile {
    /// A memfd, with what was applied of the options.
    Memfd(Memfd, Applied),
    /// A file on some file system, with guarantees gone: see [`Tmpfile`].
    Tmpfile(Tmpfile),
}

/// A file without a name, in place of a memfd.
///
/// It can be read, written, mapped shared and sent to others like a memfd. What
/// it does *not* have:
///
/// - **Seals.** [`fcntl_add_seals`](super::fcntl_add_seals) is `EINVAL`, or
///   `EPERM` on tmpfs. It cannot become a [`Frozen`](super::Frozen), and a
///   reader's mapping can fault when somebody cuts it short.
/// - **Memory.** It is where the directory is. On a disk its content can be
///   written there, survives in free blocks, and `ENOSPC` and `EIO` happen.
/// - **The choice of** [`Exec`](super::Exec). Its mode is 0600, or 0700 for
///   [`Exec::Executable`](super::Exec::Executable); others can change it; and
///   on a `noexec` mount it cannot be run. To be run it has to be opened anew,
///   read-only, and closed here (`ETXTBSY`).
/// - Huge pages, and a name for people who look.
///
/// It is gone when the last descriptor is, and can never get a name (`O_EXCL`).
#[derive(Debug)]
pub struct Tmpfile {
    fd: OwnedFd,
    why: Errno,
}

impl Tmpfile {
    /// What `memfd_create` said: `ENOSYS` or `EPERM`.
    #[inline]
    pub const fn why(&self) -> Errno {
        self.why
    }
}

impl AsFd for Tmpfile {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Tmpfile> for OwnedFd {
    #[inline]
    fn from(file: Tmpfile) -> Self {
        file.fd
    }
}

impl AsFd for MemoryFile {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Memfd(memfd, _) => memfd.as_fd(),
            Self::Tmpfile(file) => file.as_fd(),
        }
    }
}

impl From<MemoryFile> for OwnedFd {
    #[inline]
    fn from(file: MemoryFile) -> Self {
        match file {
            MemoryFile::Memfd(memfd, _) => memfd.into(),
            MemoryFile::Tmpfile(file) => file.into(),
        }
    }
}

impl MemfdOptions {
    /// [`create_or_legacy`](Self::create_or_legacy), and if `memfd_create` is
    /// missing (`ENOSYS`) or a filter forbids it (`EPERM`), `openat(dir, ".",
    /// O_TMPFILE | O_EXCL | O_RDWR)`. Tells which it was.
    ///
    /// For sandboxes whose filter does not know the call. It is for a caller
    /// who can do without what a [`Tmpfile`] has not; who needs seals calls
    /// [`create`](Self::create) and takes the error for an answer.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), other than `ENOSYS` and `EPERM`. In
    /// place of these, what `openat` says: `EOPNOTSUPP` or `EISDIR`: no
    /// `O_TMPFILE` on that file system. `EROFS`, `EACCES`, `ENOTDIR`, `ENOSPC`.
    /// With huge pages there is no second way: `ENOSYS` and `EPERM` are
    /// returned.
    ///
    /// ```
    /// use barecall::fs::{self, Mode, OFlags};
    /// use barecall::memfd::{MemfdOptions, MemoryFile};
    ///
    /// let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    /// let tmp = fs::openat(fs::CWD, c"/tmp", flags, Mode::empty())?;
    /// match MemfdOptions::new().create_or_tmpfile(c"doc", &tmp)? {
    ///     MemoryFile::Memfd(file, _applied) => assert!(file.freeze().is_ok()),
    ///     MemoryFile::Tmpfile(file) => eprintln!("no seals: memfd_create says {}", file.why()),
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn create_or_tmpfile<D: AsDirFd>(&self, name: &CStr, dir: D) -> Result<MemoryFile, Errno> {
        let why = match self.create_or_legacy(name) {
            Ok((memfd, applied)) => return Ok(MemoryFile::Memfd(memfd, applied)),
            Err(errno @ (Errno::ENOSYS | Errno::EPERM)) if !self.is_huge() => errno,
            Err(errno) => return Err(errno),
        };
        let mut flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR;
        if self.is_cloexec() {
            flags |= OFlags::CLOEXEC;
        }
        let mode = if self.is_executable() { 0o700 } else { 0o600 };
        fs::openat(dir, c".", flags, Mode::from_raw(mode))
            .map(|fd| MemoryFile::Tmpfile(Tmpfile { fd, why }))
    }
}
