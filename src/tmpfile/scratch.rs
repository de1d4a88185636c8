//! Scratch names: how they look, who removes them.

use super::Step;
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, AsDirFd, AtFlags, DirFd, FileType, FlockFlags, Mode, OFlags, RenameFlags};
use crate::io::retry_on_intr;
use crate::{nr, syscall};
use core::ffi::CStr;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::Deref;

/// A new name is taken once in 2^128; a file system that says so each time has
/// another reason.
const ATTEMPTS: u32 = 8;

/// The name of a file that is not yet, or no longer, what it is for:
/// `.barecall-new-` or `.barecall-old-`, and 32 random hexadecimal digits.
///
/// `new` is a file on its way to its name. While its maker lives, it is locked
/// (`flock`); [`sweep`] removes those that are not. `old` is what an exchange
/// took away, and perhaps the only copy of it, so nobody but its owner does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScratchName([u8; LENGTH + 1]);

const PREFIX: usize = 14;
const LENGTH: usize = PREFIX + 32;

#[derive(Clone, Copy)]
pub(super) enum Kind {
    New,
    Old,
}

impl Kind {
    const fn prefix(self) -> &'static [u8; PREFIX] {
        match self {
            Self::New => b".barecall-new-",
            Self::Old => b".barecall-old-",
        }
    }
}

impl ScratchName {
    /// `getrandom(buf, 16, 0)`: a name that nobody can foresee.
    pub(super) fn random(kind: Kind) -> Result<Self, Errno> {
        let mut random = [0_u8; 16];
        // SAFETY: the kernel writes at most 16 bytes there.
        let n = retry_on_intr(|| unsafe { syscall!(nr::GETRANDOM, random.as_mut_ptr(), 16, 0) })?;
        if n != random.len() {
            // So few bytes come whole, from every kernel.
            return Err(Errno::EIO);
        }
        let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = digits.map(|digit| match digit {
            0..=9 => b'0' + digit,
            _ => b'a' - 10 + digit,
        });
        let mut name = [0; LENGTH + 1];
        let text = kind.prefix().iter().copied().chain(digits);
        name.iter_mut().zip(text).for_each(|(to, byte)| *to = byte);
        Ok(Self(name))
    }

    /// Whether this is a name of this form, of either kind.
    ///
    /// ```
    /// use barecall::tmpfile::ScratchName;
    ///
    /// let name = c".barecall-new-0123456789abcdef0123456789abcdef";
    /// assert!(ScratchName::parse(name).is_some());
    /// assert!(ScratchName::parse(c".barecall-new-").is_none());
    /// ```
    pub fn parse(name: &CStr) -> Option<Self> {
        let bytes: &[u8; LENGTH + 1] = name.to_bytes_with_nul().try_into().ok()?;
        let (prefix, digits) = bytes.split_first_chunk()?;
        let known = prefix == Kind::New.prefix() || prefix == Kind::Old.prefix();
        let (_, digits) = digits.split_last()?;
        let hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        (known && digits.iter().all(hex)).then_some(Self(*bytes))
    }

    /// Whether it is the name of a file on its way to its name.
    ///
    /// See [`TmpfileOptions::named`](super::TmpfileOptions::named) for an example.
    pub fn is_new(&self) -> bool {
        self.0.starts_with(Kind::New.prefix())
    }

    /// The name.
    ///
    /// See [`TmpfileOptions::named`](super::TmpfileOptions::named) for an example.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

impl Deref for ScratchName {
    type Target = CStr;

    #[inline]
    fn deref(&self) -> &CStr {
        self.as_c_str()
    }
}

impl fmt::Debug for ScratchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_c_str(), f)
    }
}

/// Makes something under a new scratch name; again if the name is taken.
pub(super) fn with_name<T>(
    kind: Kind,
    step: Step,
    mut make: impl FnMut(&CStr) -> Result<T, Errno>,
) -> Result<(T, ScratchName), (Errno, Step)> {
    let mut attempt = 1;
    loop {
        let name = ScratchName::random(kind).map_err(|errno| (errno, Step::Random))?;
        match make(&name) {
            Ok(made) => return Ok((made, name)),
            Err(Errno::EEXIST) if attempt < ATTEMPTS => attempt += 1,
            Err(errno) => return Err((errno, step)),
        }
    }
}

/// `openat(dir, ".")`: the directory, by a descriptor of its own.
pub(super) fn open_dir(dir: DirFd<'_>, access: OFlags) -> Result<OwnedFd, Errno> {
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(dir, c".", flags, Mode::empty())
}

/// Gives the lock up. The kernel refuses that to no open file; if a filter
/// does, closing the file gives it up.
pub(super) fn unlock(file: BorrowedFd<'_>) {
    let _ = fs::flock(file, FlockFlags::UN);
}

/// A file under a scratch name, which is removed when this is dropped.
///
/// A directory, which an exchange can take out, is not removed: not by dropping,
/// and [`remove`] says `EISDIR`.
///
/// Holds a descriptor of the directory, so moving it or changing the current
/// directory does no harm. To know whether removing worked, [`remove`].
///
/// [`remove`]: Self::remove
#[derive(Debug)]
pub struct ScratchFile {
    dir: OwnedFd,
    pub(super) name: ScratchName,
}

impl ScratchFile {
    pub(super) const fn new(dir: OwnedFd, name: ScratchName) -> Self {
        Self { dir, name }
    }

    /// The directory that it is in.
    #[inline]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Its name there.
    #[inline]
    pub const fn name(&self) -> &ScratchName {
        &self.name
    }

    pub(super) fn move_to<D: AsDirFd>(
        &self,
        dir: D,
        name: &CStr,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        fs::renameat2(&self.dir, &self.name, dir, name, flags)
    }

    /// `unlinkat`: removes the name now.
    ///
    /// # Errors
    ///
    /// As [`fs::unlinkat`]; the file comes back, and is tried again on drop.
    pub fn remove(self) -> Result<(), (Errno, Self)> {
        match fs::unlinkat(&self.dir, &self.name, AtFlags::empty()) {
            Ok(()) => {
                self.keep();
                Ok(())
            }
            Err(errno) => Err((errno, self)),
        }
    }

    /// `renameat2(RENAME_NOREPLACE)`: gives it another name, which must be
    /// free, and lets go of it.
    ///
    /// # Errors
    ///
    /// As [`fs::renameat2`]; the file comes back.
    pub fn rename<D: AsDirFd>(self, dir: D, name: &CStr) -> Result<(), (Errno, Self)> {
        match self.move_to(dir, name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.keep();
                Ok(())
            }
            Err(errno) => Err((errno, self)),
        }
    }

    /// Leaves the name where it is; gives the directory and the name.
    ///
    /// ```
    /// use barecall::tmpfile::{Durability, TmpfileOptions};
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// let first = TmpfileOptions::new().linkable(&dir, c".")?;
    /// first.replace(&dir, c"name", Durability::None)?;
    /// let second = TmpfileOptions::new().linkable(&dir, c".")?;
    /// let exchanged = second.exchange(&dir, c"name", Durability::None)?;
    /// // What was replaced stays, for somebody else to remove.
    /// let (dir, name) = exchanged.old.keep();
    /// assert!(!name.is_new());
    /// assert_eq!(fs::statat(&dir, &name, fs::AtFlags::empty())?.st_nlink, 1);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn keep(self) -> (OwnedFd, ScratchName) {
        let this = ManuallyDrop::new(self);
        // SAFETY: a field of a value that is not dropped, read once.
        (unsafe { core::ptr::read(&raw const this.dir) }, this.name)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let _ = fs::unlinkat(&self.dir, &self.name, AtFlags::empty());
    }
}

/// A file with a scratch name, for file systems that have none without; see
/// [`TmpfileOptions::linkable_or_named`](super::TmpfileOptions::linkable_or_named).
///
/// Others can see it, and open it if its mode lets them. The name is removed
/// when this is dropped, and it is locked (`flock`) until then, so that
/// [`sweep`] leaves it alone.
#[derive(Debug)]
pub struct Named {
    pub(super) file: OwnedFd,
    pub(super) scratch: ScratchFile,
}

impl Named {
    /// `openat(O_CREAT | O_EXCL)` in `dir`, and the lock.
    pub(super) fn create(dir: OwnedFd, flags: OFlags, mode: Mode) -> Result<Self, Errno> {
        let flags = flags | OFlags::CREAT | OFlags::EXCL | OFlags::NOFOLLOW;
        let mut attempt = 1;
        loop {
            let open = |name: &CStr| fs::openat(&dir, name, flags, mode);
            let (file, name) =
                with_name(Kind::New, Step::LinkScratch, open).map_err(|(errno, _)| errno)?;
            let locked = retry_on_intr(|| fs::flock(&file, FlockFlags::EX));
            let found = locked.and_then(|()| fs::fstat(&file));
            match found {
                // A sweep came between creating and locking.
                Ok(stat) if stat.st_nlink == 0 => {
                    if attempt == ATTEMPTS {
                        return Err(Errno::EAGAIN);
                    }
                    attempt += 1;
                }
                Ok(_) => {
                    let scratch = ScratchFile::new(dir, name);
                    return Ok(Self { file, scratch });
                }
                Err(errno) => {
                    drop(ScratchFile::new(dir, name));
                    return Err(errno);
                }
            }
        }
    }

    /// `unlinkat`: removes the name now. Dropping does that too, and cannot tell
    /// whether it worked.
    ///
    /// # Errors
    ///
    /// As [`fs::unlinkat`]; the file comes back, and is tried again on drop.
    ///
    /// See [`TmpfileOptions::named`](super::TmpfileOptions::named) for an example.
    pub fn remove(self) -> Result<(), (Errno, Self)> {
        let Self { file, scratch } = self;
        match scratch.remove() {
            Ok(()) => Ok(()),
            Err((errno, scratch)) => Err((errno, Self { file, scratch })),
        }
    }

    /// The scratch name, and the directory that it is in.
    #[inline]
    pub const fn scratch(&self) -> &ScratchFile {
        &self.scratch
    }
}

impl AsFd for Named {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What [`sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Names that it removed.
    pub removed: usize,
    /// Names of the form that it left: in use, or not ours to remove.
    pub kept: usize,
}

/// Several calls: removes the scratch names that a crash left in a directory.
///
/// Only regular files with a [`ScratchName`] of the kind `new`, which nobody
/// has locked: those of a running [`replace`](super::Linkable::replace) stay.
/// So do those that the caller may not read, because locking takes opening.
/// `buf` is for reading the directory; a few kilobytes are reasonable.
///
/// For each name it makes `openat`, `flock`, `unlinkat`.
///
/// # Errors
///
/// Those of opening and reading the directory. A name that cannot be removed is
/// counted and is not an error.
///
/// ```
/// use barecall::{fs, tmpfile};
/// # let scratch = tempfile::tempdir().unwrap();
/// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
/// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
///
/// let swept = tmpfile::sweep(&dir, &mut [0; 4096])?;
/// assert_eq!(swept.removed, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
pub fn sweep<D: AsDirFd>(dir: D, buf: &mut [u8]) -> Result<Swept, Errno> {
    let dir = open_dir(dir.as_dir_fd(), OFlags::RDONLY)?;
    let mut swept = Swept::default();
    loop {
        let entries =
            retry_on_intr(|| fs::getdents64(&dir, buf).map(|entries| entries.as_bytes().len()))?;
        let entries = fs::DirEntries::from_bytes(buf.get(..entries).unwrap_or_default());
        if entries.is_empty() {
            return Ok(swept);
        }
        for entry in entries {
            match ScratchName::parse(entry.name) {
                Some(name) if name.is_new() => match remove_unused(&dir, &name, entry.file_type) {
                    Ok(()) => swept.removed += 1,
                    Err(_) => swept.kept += 1,
                },
                _ => {}
            }
        }
    }
}

/// Removes a scratch name if nobody holds its lock.
fn remove_unused(dir: &OwnedFd, name: &CStr, file_type: FileType) -> Result<(), Errno> {
    // Opening a device or a FIFO may do things.
    if !matches!(file_type, FileType::Regular | FileType::Unknown(0)) {
        return Err(Errno::EINVAL);
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::openat(dir, name, flags, Mode::empty())?;
    fs::flock(&file, FlockFlags::EX | FlockFlags::NB)?;
    fs::unlinkat(dir, name, AtFlags::empty())
}
