//! Files that are memory: `memfd_create`, seals, and maps of files that cannot
//! change.
//!
//! A memfd is a regular file without a name, on no disk, that lives as long as
//! somebody has it open or mapped. It is for memory that is shared between
//! processes, for content that is handed over without a copy, and for programs
//! that are run without a file.
//!
//! | to do | there is |
//! |---|---|
//! | make one | [`MemfdOptions::create`] ([`create_or_legacy`](MemfdOptions::create_or_legacy) before Linux 6.3, [`create_or_tmpfile`](MemfdOptions::create_or_tmpfile) where it is forbidden) |
//! | hand over content that nobody can change any more | [`MemfdOptions::create_frozen`], [`Memfd::freeze`] |
//! | receive such content from somebody who is not trusted, and use it as `&[u8]` | [`Frozen::verify`], [`Frozen::map`] |
//! | share memory that changes | [`SharedMap`] |
//! | one writer, many readers | [`Seals::FUTURE_WRITE`], [`Memfd::reopen_read_only`] |
//! | keep a reader's mapping from faulting | [`Seals::SHRINK`] |
//! | run it | [`exec`] |
//! | keep secrets out of everybody's reach, the kernel's included | [`memfd_secret`] |
//!
//! ```
//! use barecall::memfd::{Frozen, MemfdOptions};
//!
//! // Here: content, in a file, sealed.
//! let (file, _) = MemfdOptions::new().create_or_legacy(c"keymap")?;
//! file.write_all_at(b"qwertz", 0)?;
//! let sent = file.freeze()?;
//!
//! // There: a descriptor came over a socket. Whoever sent it, this is sound.
//! let received = Frozen::verify(sent.into())?;
//! let map = received.map()?;
//! assert_eq!(&map[..], b"qwertz");
//! # Ok::<(), barecall::Errno>(())
//! ```
//!
//! # Sending one to somebody else
//!
//! A descriptor that is inherited, or sent over a Unix socket (`SCM_RIGHTS`),
//! is the *same open file description*: receiver and sender share one file
//! offset, and a `read` or `lseek` of one moves the other's. So the default
//! here is positional, [`Memfd::read_at`] and [`Memfd::write_at`]; or one
//! maps it. [`Memfd::reopen_read_only`] gives a description of its own, and is
//! what one sends to readers of a file that goes on changing. It does not keep
//! them from opening `/proc/self/fd/N` for writing, if the mode allows it:
//! only seals keep.
//!
//! # Which of them is a memfd?
//!
//! A descriptor from elsewhere cannot be made a [`Memfd`], because nothing
//! tells: a plain file on tmpfs has seals too ([`Seals::SEAL`]). What matters
//! can be asked, by [`fcntl_get_seals`] and by [`Frozen::verify`].

mod exec;
mod fallback;
mod frozen;
mod map;
mod options;
mod seals;
mod secret;
mod shared;

pub use exec::exec;
pub use fallback::{MemoryFile, Tmpfile};
pub use frozen::{Frozen, NotFrozen, Refused, Sealed};
pub use map::{Map, PrivateMap};
pub use options::{Applied, Exec, HugePage, MemfdOptions, NAME_MAX};
pub use seals::{Seals, fcntl_add_seals, fcntl_get_seals};
pub use secret::{SecretFlags, memfd_secret};
pub use shared::{Access, SharedMap};

use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, FileType, Mode, OFlags};
use crate::io;
use core::ffi::CStr;

/// A file in memory, made by [`MemfdOptions`]. Open for reading and writing.
#[derive(Debug)]
pub struct Memfd(OwnedFd);

impl Memfd {
    /// What `memfd_create` answered.
    const fn from_new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// `fstat(fd, statbuf)`: how long the file is now.
    ///
    /// # Errors
    ///
    /// None that is known.
    #[inline]
    pub fn size(&self) -> Result<u64, Errno> {
        fs::fstat(&self.0).map(|stat| stat.st_size as u64)
    }

    /// `ftruncate(fd, length)`: makes the file so long. What is new is zeros.
    ///
    /// # Errors
    ///
    /// `EPERM`: sealed against it. `EINVAL`: not a multiple of the huge page
    /// size, or more than `i64::MAX`. `EFBIG`: more than a file can have.
    /// `EINTR`.
    #[inline]
    pub fn set_len(&self, len: u64) -> Result<(), Errno> {
        fs::ftruncate(&self.0, len)
    }

    /// `pread64(fd, buf, count, offset)`: reads at `offset`, and leaves the file
    /// offset alone, which may be somebody else's as well.
    ///
    /// # Errors
    ///
    /// As [`io::pread`].
    #[inline]
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        io::pread(&self.0, buf, offset)
    }

    /// `pwrite64(fd, buf, count, offset)`: writes at `offset`, and leaves the
    /// file offset alone, which may be somebody else's as well.
    ///
    /// # Errors
    ///
    /// As [`io::pwrite`]; `EPERM`: sealed. `EINVAL`: made of huge pages.
    #[inline]
    pub fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize, Errno> {
        io::pwrite(&self.0, buf, offset)
    }

    /// Repeats [`write_at`](Self::write_at) until all of `buf` is written, going
    /// on after `EINTR`.
    ///
    /// # Errors
    ///
    /// Those of [`write_at`](Self::write_at); some of `buf` may have been
    /// written before. `EIO` also when the kernel accepts no byte and gives no
    /// reason, which would never end.
    pub fn write_all_at(&self, mut buf: &[u8], mut offset: u64) -> Result<(), Errno> {
        while !buf.is_empty() {
            match io::retry_on_intr(|| self.write_at(buf, offset))? {
                0 => return Err(Errno::EIO),
                n => {
                    buf = buf.get(n..).unwrap_or_default();
                    offset = offset.saturating_add(n as u64);
                }
            }
        }
        Ok(())
    }

    /// `fcntl(fd, F_GET_SEALS)`: see [`fcntl_get_seals`].
    ///
    /// # Errors
    ///
    /// None that is known.
    #[inline]
    pub fn seals(&self) -> Result<Seals, Errno> {
        fcntl_get_seals(&self.0)
    }

    /// `fcntl(fd, F_ADD_SEALS, seals)`: see [`fcntl_add_seals`].
    ///
    /// # Errors
    ///
    /// `EPERM`: sealing is not allowed, or no more. `EBUSY`: somebody could
    /// still write. `EINVAL`: a seal that this kernel does not know.
    #[inline]
    pub fn add_seals(&self, seals: Seals) -> Result<(), Errno> {
        fcntl_add_seals(&self.0, seals)
    }

    /// `openat(AT_FDCWD, "/proc/thread-self/fd/N", O_RDONLY | O_CLOEXEC)`: the
    /// same file with a description of its own, for reading.
    ///
    /// Through that descriptor nobody writes, adds seals or maps for writing;
    /// its shared mappings are not in the way of [`Seals::WRITE`]; and it has
    /// an offset of its own. It is no lock: see the [module](self).
    ///
    /// # Errors
    ///
    /// `ENOENT`: `/proc` is not mounted. `EACCES`: the file's mode does not
    /// allow it to whom this process is now. `EMFILE`, `ENFILE`.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    /// use barecall::{Errno, io};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).create(c"doc")?;
    /// file.write_all_at(b"hello", 0)?;
    /// let reader = file.reopen_read_only()?;
    /// let mut buf = [0; 8];
    /// assert_eq!(io::read(&reader, &mut buf)?, 5);
    /// assert_eq!(io::write(&reader, b"x"), Err(Errno::EBADF));
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn reopen_read_only(&self) -> Result<OwnedFd, Errno> {
        let path = fs::FdPath::thread(&self.0);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        fs::openat(fs::CWD, &path, flags, Mode::empty())
    }
}

impl MemfdOptions {
    /// A file with this content that nobody can change any more:
    /// [`create`](Self::create), [`Memfd::write_all_at`], [`Memfd::freeze`].
    ///
    /// # Errors
    ///
    /// Those of the three; nothing is left behind. `EPERM` if the options do
    /// not allow sealing.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// let frozen = options.create_frozen(c"doc", b"for ever")?;
    /// assert_eq!(frozen.len(), 8);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn create_frozen(&self, name: &CStr, content: &[u8]) -> Result<Frozen, Errno> {
        let memfd = self.create(name)?;
        memfd.write_all_at(content, 0)?;
        Ok(memfd.freeze()?)
    }
}

impl AsFd for Memfd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Memfd> for OwnedFd {
    #[inline]
    fn from(memfd: Memfd) -> Self {
        memfd.0
    }
}

crate::fd::std_as_fd!(Memfd, Frozen, Tmpfile, MemoryFile);
crate::fd::std_into_fd!(Memfd, Frozen, Tmpfile);

/// What a mapping has to know of its file.
#[derive(Clone, Copy, Debug)]
struct FileFacts {
    mode: u32,
    len: u64,
    /// `st_blksize`. On hugetlbfs it is the size of a page.
    block: u64,
}

impl FileFacts {
    fn of(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let stat = fs::fstat(fd)?;
        Ok(Self {
            mode: stat.st_mode,
            len: stat.st_size as u64,
            block: stat.st_blksize as u64,
        })
    }

    const fn is_regular(&self) -> bool {
        matches!(FileType::from_mode(self.mode), FileType::Regular)
    }

    const fn is_executable(&self) -> bool {
        self.mode & 0o111 != 0
    }
}
