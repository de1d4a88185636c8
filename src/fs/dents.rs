//! Reading directories.

use super::FileType;
use crate::errno::Errno;
use crate::fd::AsFd;
use crate::syscall::as_int;
use crate::{nr, syscall};
use core::ffi::CStr;
use core::fmt;
use core::iter::FusedIterator;

/// `getdents64(fd, dirp, count)`: reads entries of a directory into `buf`, from
/// its offset on.
///
/// One call gives as many as fit; the end is when it gives none
/// ([`DirEntries::is_empty`]). 280 bytes hold the longest entry of a local file
/// system; a few kilobytes are reasonable.
///
/// # Errors
///
/// `EINVAL`: `buf` is too small for the next entry. `ENOENT`: the directory was
/// removed. `ENOTDIR`. `EBADF`: opened with `O_PATH`. `EINTR`, `EIO`.
///
/// ```
/// use barecall::fs::{self, Mode, OFlags};
///
/// let dir = fs::openat(fs::CWD, c"/proc/self", OFlags::CLOEXEC, Mode::empty())?;
/// let mut buf = [0; 4096];
/// let mut found = false;
/// loop {
///     let entries = fs::getdents64(&dir, &mut buf)?;
///     if entries.is_empty() {
///         break;
///     }
///     for entry in entries {
///         found |= entry.name == c"stat";
///     }
/// }
/// assert!(found);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getdents64(2)](https://man7.org/linux/man-pages/man2/getdents.2.html).
#[inline]
#[doc(alias = "readdir")]
#[doc(alias = "struct linux_dirent64")]
pub fn getdents64<Fd: AsFd>(fd: Fd, buf: &mut [u8]) -> Result<DirEntries<'_>, Errno> {
    let (start, len) = (buf.as_mut_ptr(), as_int(buf.len()));
    // SAFETY: the kernel writes at most `len` bytes there.
    let n = unsafe { syscall!(nr::GETDENTS64, fd.as_fd(), start, len) }?;
    Ok(DirEntries {
        rest: buf.get(..n).unwrap_or_default(),
    })
}

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'buf> {
    /// `d_ino`: the number of the inode. For a mount point, of the directory
    /// underneath.
    pub ino: u64,
    /// `d_off`: the offset of the next entry, for `lseek`; a cookie, not a
    /// count.
    pub off: i64,
    /// `d_type`: what kind of file it is; [`FileType::Unknown`] where the file
    /// system does not tell.
    pub file_type: FileType,
    /// `d_name`: the name. `.` and `..` are among them.
    pub name: &'buf CStr,
}

/// The entries that one [`getdents64`] gave.
#[derive(Clone)]
pub struct DirEntries<'buf> {
    rest: &'buf [u8],
}

impl<'buf> DirEntries<'buf> {
    /// Whether there are none left. If so from the start, this is the end of
    /// the directory.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes of the entries that are left. If the iterator has ended and
    /// these are not empty, they do not make up an entry.
    #[inline]
    pub const fn as_bytes(&self) -> &'buf [u8] {
        self.rest
    }

    /// Entries from bytes that a `getdents64` of another kind filled in.
    #[inline]
    pub const fn from_bytes(bytes: &'buf [u8]) -> Self {
        Self { rest: bytes }
    }

    /// `struct linux_dirent64`: d_ino, d_off, d_reclen, d_type, d_name. Read
    /// byte by byte, so the buffer needs no alignment.
    fn parse(&self) -> Option<(DirEntry<'buf>, &'buf [u8])> {
        let (ino, rest) = self.rest.split_first_chunk()?;
        let (off, rest) = rest.split_first_chunk()?;
        let (reclen, rest) = rest.split_first_chunk()?;
        let (&d_type, _) = rest.split_first()?;
        let reclen = usize::from(u16::from_ne_bytes(*reclen));
        let entry = DirEntry {
            ino: u64::from_ne_bytes(*ino),
            off: i64::from_ne_bytes(*off),
            file_type: FileType::from_dirent(d_type),
            // The name ends within the record, which is longer than 19.
            name: CStr::from_bytes_until_nul(self.rest.get(19..reclen)?).ok()?,
        };
        Some((entry, self.rest.get(reclen..)?))
    }
}

impl<'buf> Iterator for DirEntries<'buf> {
    type Item = DirEntry<'buf>;

    fn next(&mut self) -> Option<DirEntry<'buf>> {
        let (entry, rest) = self.parse()?;
        self.rest = rest;
        Some(entry)
    }
}

impl FusedIterator for DirEntries<'_> {}

impl fmt::Debug for DirEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
