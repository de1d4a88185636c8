//! Files without a name, and how they get one.
//!
//! A file made with `O_TMPFILE` is in no directory. It is either scratch space
//! that vanishes with its last descriptor, or a file that becomes visible in
//! one step when it is complete:
//!
//! ```
//! use barecall::fs::{self, Mode};
//! use barecall::io;
//! use barecall::tmpfile::{Durability, TmpfileOptions};
//! # let scratch = tempfile::tempdir().unwrap();
//! # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
//! # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
//!
//! let file = TmpfileOptions::new().mode(Mode::from_raw(0o644)).linkable(&dir, c".")?;
//! io::write_all(&file, b"all of it, or nothing")?;
//! file.replace(&dir, c"config", Durability::FileAndDir)?;
//! # Ok::<(), barecall::Errno>(())
//! ```
//!
//! | to | use | system calls |
//! |---|---|---|
//! | have scratch space | [`TmpfileOptions::anonymous`] | `openat` |
//! | make a file that may get a name | [`TmpfileOptions::linkable`] | `openat` |
//! | give it a name that is free | [`Linkable::link`] | `linkat` |
//! | the same, whatever the privileges | [`Linkable::link_any`] | `linkat`, once or twice |
//! | and have it on the disk | [`Linkable::link_synced`] | several |
//! | give it a name that may be taken | [`Linkable::replace`] | several |
//! | and keep what had the name | [`Linkable::exchange`] | several |
//! | do with file systems that have no `O_TMPFILE` | [`TmpfileOptions::linkable_or_named`] | several |
//! | remove what a crash left | [`sweep`] | several |
//!
//! File systems with `O_TMPFILE`: ext2, ext4, xfs, btrfs, tmpfs, ramfs (since
//! Linux 6.0), overlayfs (since Linux 6.1, if the upper one has it), FUSE
//! (since Linux 6.1, if the server has it), and others. Without: NFS, CephFS,
//! FAT, `/proc`, `/sys`. It is a property of the mount, not of the kernel.

mod error;
mod place;
mod scratch;

pub use error::{LinkCause, LinkError, PlaceError, Remains, Step};
pub use place::{Durability, Exchanged, Placed, Tmpfile, Way};
pub use scratch::{Named, ScratchFile, ScratchName, Swept, sweep};

use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, AsDirFd, AtFlags, DirFd, FdPath, Mode, OFlags};
use core::ffi::CStr;

/// How a file without a name is made.
///
/// Only what the kernel understands can be said: it refuses `O_RDONLY` and
/// `O_CREAT`, and with `O_PATH` it opens the *directory* without a word.
///
/// ```
/// use barecall::fs::{self, Mode, OFlags};
/// use barecall::io::{self, FdFlags};
/// use barecall::tmpfile::TmpfileOptions;
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// // A journal: written at the end only, and on the disk when write() returns.
/// let journal = TmpfileOptions::new().write_only().append().dsync().mode(Mode::from_raw(0o600));
/// let file = journal.anonymous(&dir, c".")?;
/// let flags = fs::fcntl_getfl(&file)?;
/// assert!(flags.contains(OFlags::WRONLY | OFlags::APPEND | OFlags::DSYNC));
/// io::write_all(&file, b"entry\n")?;
///
/// // For a program that is started with it.
/// let options = TmpfileOptions::new().sync().nofollow().noatime().inherit();
/// let file = options.anonymous(&dir, c".")?;
/// assert!(fs::fcntl_getfl(&file)?.contains(OFlags::SYNC | OFlags::NOATIME));
/// assert_eq!(io::fcntl_getfd(&file)?, FdFlags::empty());
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct TmpfileOptions {
    flags: OFlags,
    mode: Mode,
}

impl Default for TmpfileOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl TmpfileOptions {
    /// For reading and writing, close-on-exec, mode 0600.
    #[inline]
    pub const fn new() -> Self {
        Self {
            flags: OFlags::RDWR.union(OFlags::CLOEXEC),
            mode: Mode::from_raw(0o600),
        }
    }

    const fn with(mut self, flag: OFlags) -> Self {
        self.flags = self.flags.union(flag);
        self
    }

    /// The mode, of which the kernel takes the bits of the umask away.
    ///
    /// The descriptor can do what it was opened for whatever the mode. To have
    /// a mode without regard to the umask, [`fs::fchmod`] the file before it
    /// gets a name.
    #[inline]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// `O_WRONLY`: for writing only.
    #[inline]
    pub const fn write_only(mut self) -> Self {
        self.flags = self.flags.difference(OFlags::ACCMODE).union(OFlags::WRONLY);
        self
    }

    /// `O_APPEND`: every write goes to the end.
    #[inline]
    pub const fn append(self) -> Self {
        self.with(OFlags::APPEND)
    }

    /// `O_DIRECT`: past the page cache.
    #[inline]
    pub const fn direct(self) -> Self {
        self.with(OFlags::DIRECT)
    }

    /// `O_DSYNC`: every write waits until the data is on the disk.
    #[inline]
    pub const fn dsync(self) -> Self {
        self.with(OFlags::DSYNC)
    }

    /// `O_SYNC`: every write waits until data and metadata are on the disk.
    #[inline]
    pub const fn sync(self) -> Self {
        self.with(OFlags::SYNC)
    }

    /// `O_NOATIME`: reading does not change the access time.
    #[inline]
    pub const fn noatime(self) -> Self {
        self.with(OFlags::NOATIME)
    }

    /// `O_NOFOLLOW`: fails (`ENOTDIR`) if the directory's path ends in a
    /// symbolic link.
    #[inline]
    pub const fn nofollow(self) -> Self {
        self.with(OFlags::NOFOLLOW)
    }

    /// Without `O_CLOEXEC`: programs that are executed get the descriptor.
    #[inline]
    pub const fn inherit(mut self) -> Self {
        self.flags = self.flags.difference(OFlags::CLOEXEC);
        self
    }

    /// `openat(dir, path, O_TMPFILE | O_EXCL, mode)`: a file that has no name,
    /// and never gets one.
    ///
    /// `path` is a directory; `c"."` stands for `dir` itself, which may have
    /// been opened with [`OFlags::PATH`].
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP`: the file system has no such files. `EACCES`: no permission
    /// to write to the directory. `EROFS`: read-only. `ENOENT`, `ENOTDIR`: no
    /// such directory. `EDQUOT`, `EMFILE`, `ENFILE`, `ENOSPC`.
    ///
    /// ```
    /// use barecall::tmpfile::TmpfileOptions;
    /// use barecall::{fs, io};
    ///
    /// let scratch = TmpfileOptions::new().anonymous(fs::CWD, c"/tmp")?;
    /// io::write_all(&scratch, b"gone when closed")?;
    /// assert_eq!(fs::fstat(&scratch)?.st_nlink, 0);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [open(2)](https://man7.org/linux/man-pages/man2/open.2.html).
    #[inline]
    pub fn anonymous<D: AsDirFd>(&self, dir: D, path: &CStr) -> Result<Anonymous, Errno> {
        let flags = self.flags | OFlags::TMPFILE | OFlags::EXCL;
        fs::openat(dir, path, flags, self.mode).map(Anonymous)
    }

    /// `openat(dir, path, O_TMPFILE, mode)`: a file that has no name yet.
    ///
    /// `path` is a directory on the file system where the name is to be; `c"."`
    /// stands for `dir` itself.
    ///
    /// # Errors
    ///
    /// As [`anonymous`](Self::anonymous).
    ///
    /// ```
    /// use barecall::fs;
    /// use barecall::tmpfile::TmpfileOptions;
    ///
    /// let file = TmpfileOptions::new().linkable(fs::CWD, c"/tmp")?;
    /// // It has no name, and if nothing more happens, it never will.
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [open(2)](https://man7.org/linux/man-pages/man2/open.2.html).
    #[inline]
    pub fn linkable<D: AsDirFd>(&self, dir: D, path: &CStr) -> Result<Linkable, Errno> {
        fs::openat(dir, path, self.flags | OFlags::TMPFILE, self.mode).map(Linkable)
    }
}

/// A file without a name, which can never have one (`O_EXCL`).
#[derive(Debug)]
pub struct Anonymous(OwnedFd);

/// A file without a name, which can be given one.
#[derive(Debug)]
pub struct Linkable(OwnedFd);

impl AsFd for Anonymous {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for Linkable {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Anonymous> for OwnedFd {
    #[inline]
    fn from(file: Anonymous) -> Self {
        file.0
    }
}

impl From<Linkable> for OwnedFd {
    #[inline]
    fn from(file: Linkable) -> Self {
        file.0
    }
}

crate::fd::std_as_fd!(Anonymous, Linkable, Named, Tmpfile);
crate::fd::std_into_fd!(Anonymous, Linkable);

/// By which of two ways a file without a name gets one. Both are one `linkat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// `linkat(fd, "", dir, name, AT_EMPTY_PATH)`: needs no `/proc`. Since Linux
    /// 6.10, for who opened the file with the credentials that it has now; else,
    /// and before, with `CAP_DAC_READ_SEARCH`.
    EmptyPath,
    /// `linkat(AT_FDCWD, "/proc/thread-self/fd/N", dir, name,
    /// AT_SYMLINK_FOLLOW)`: needs a mounted `/proc`, and no privilege.
    Proc,
}

impl Via {
    /// The one call, for all of this module.
    fn linkat(self, file: BorrowedFd<'_>, dir: DirFd<'_>, name: &CStr) -> Result<(), Errno> {
        match self {
            Self::EmptyPath => fs::linkat(file, c"", dir, name, AtFlags::EMPTY_PATH),
            Self::Proc => {
                let path = FdPath::thread(file);
                fs::linkat(fs::CWD, &path, dir, name, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }
}

/// [`Via::EmptyPath`], and when that says `ENOENT`, [`Via::Proc`].
fn linkat_any(file: BorrowedFd<'_>, dir: DirFd<'_>, name: &CStr) -> Result<Via, Errno> {
    match Via::EmptyPath.linkat(file, dir, name) {
        Ok(()) => Ok(Via::EmptyPath),
        Err(Errno::ENOENT) => Via::Proc.linkat(file, dir, name).map(|()| Via::Proc),
        Err(errno) => Err(errno),
    }
}

impl Linkable {
    /// Takes a descriptor that was opened elsewhere, with `O_TMPFILE` and
    /// without `O_EXCL`.
    ///
    /// If it was not, no name can be given to it: the kernel says `ENOENT`,
    /// or gives the file one more name if it has one.
    ///
    /// ```
    /// use barecall::fd::OwnedFd;
    /// use barecall::io;
    /// use barecall::tmpfile::{Linkable, TmpfileOptions};
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// // A worker without access to the directory is given the file, writes it,
    /// let fd: OwnedFd = TmpfileOptions::new().linkable(&dir, c".")?.into();
    /// io::write_all(&fd, b"result")?;
    /// // and gives it back.
    /// let (file, _) = Linkable::from_fd(fd).link_any(&dir, c"result")?;
    /// assert_eq!(fs::fstat(&file)?.st_nlink, 1);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub const fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// `linkat`: gives the file this name, which must be free, by this way.
    ///
    /// The answer is the file, which is an ordinary one now. Once all its names
    /// are removed, it can never have another.
    ///
    /// # Errors
    ///
    /// `EEXIST`: the name is taken. `ENOENT`: many things, which
    /// [`LinkError::cause`] tells apart. `EXDEV`: another file system or mount.
    /// `EPERM`: [`Via::Proc`], and the file was opened with other credentials.
    /// `EACCES`, `EDQUOT`, `EIO`, `ENAMETOOLONG`, `ENOSPC`, `ENOTDIR`, `EROFS`.
    /// The error holds the file, so that another name can be tried.
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::tmpfile::{TmpfileOptions, Via};
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// let file = TmpfileOptions::new().linkable(&dir, c".")?;
    /// file.link(Via::Proc, &dir, c"one")?;
    ///
    /// let file = TmpfileOptions::new().linkable(&dir, c".")?;
    /// let taken = file.link(Via::Proc, &dir, c"one").unwrap_err();
    /// assert_eq!(taken.errno, Errno::EEXIST);
    /// taken.file.link(Via::Proc, &dir, c"two")?;
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// Manual page: [linkat(2)](https://man7.org/linux/man-pages/man2/linkat.2.html).
    #[inline]
    pub fn link<D: AsDirFd>(self, via: Via, dir: D, name: &CStr) -> Result<OwnedFd, LinkError> {
        match via.linkat(self.as_fd(), dir.as_dir_fd(), name) {
            Ok(()) => Ok(self.0),
            Err(errno) => Err(LinkError {
                errno,
                via: Some(via),
                file: self,
            }),
        }
    }

    /// One `linkat` or two: gives the file this name, which must be free, by
    /// the way that works, and says which.
    ///
    /// First [`Via::EmptyPath`]; when that says `ENOENT`, [`Via::Proc`].
    ///
    /// # Errors
    ///
    /// As [`link`](Self::link).
    ///
    /// ```
    /// use barecall::tmpfile::TmpfileOptions;
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// let file = TmpfileOptions::new().linkable(&dir, c".")?;
    /// let (file, via) = file.link_any(&dir, c"name")?;
    /// println!("{file:?} was linked by {via:?}");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn link_any<D: AsDirFd>(self, dir: D, name: &CStr) -> Result<(OwnedFd, Via), LinkError> {
        match linkat_any(self.as_fd(), dir.as_dir_fd(), name) {
            Ok(via) => Ok((self.0, via)),
            Err(errno) => Err(LinkError {
                errno,
                via: None,
                file: self,
            }),
        }
    }
}
