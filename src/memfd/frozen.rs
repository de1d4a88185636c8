//! Files whose bytes cannot change.

use super::map::{Map, Mapping, PrivateMap};
use super::seals::{Seals, fcntl_add_seals, fcntl_get_seals};
use super::{FileFacts, Memfd};
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::io;
use crate::mm::{MapFlags, ProtFlags};
use core::fmt;
use core::ops::Range;

/// A file whose bytes cannot change any more, by anyone.
///
/// It is the proof: [`Seals::WRITE`] and [`Seals::SHRINK`] were *read back*
/// from the kernel, and the length was taken after that. One's own comes from
/// [`Memfd::freeze`], one that somebody else sent from [`Frozen::verify`]: it
/// does not matter who made it, or who still has it open.
///
/// # Why mapping it is safe
///
/// [`map`](Self::map) gives a `&[u8]`, and Rust assumes that such bytes do not
/// change and do not go away. What keeps that true:
///
/// - No `write`, `fallocate` hole, `ftruncate` or shared mapping can change a
///   byte under [`Seals::WRITE`]. The kernel adds that seal only when nobody
///   has a shared mapping that could write or could be made to, in any process,
///   and when no page is pinned for I/O.
/// - Under [`Seals::SHRINK`] the bytes do not go away: no access inside the
///   length can be past the end of the file. `WRITE` alone leaves `ftruncate`.
/// - The mapping is private. Even who writes into the memory of this process
///   from outside (a debugger) changes a copy, not the file.
/// - Seals are never removed, so a look once is enough. The file can grow, if
///   [`Seals::GROW`] is missing, but not where this looks.
///
/// [`Seals::FUTURE_WRITE`] does **not** do it, alone or with `SHRINK`: whoever
/// had the file mapped goes on writing.
///
/// What is outside of any type's reach: `/proc/self/mem` and `ptrace` write into
/// this process whatever it believes. The same holds for every Rust value.
///
/// A kernel bug matters here. From Linux 6.3 on, [`Seals::EXEC`] implies `WRITE`
/// on a file with an execute bit; and until it was repaired (6.12.107, 6.18.44
/// and 7.3.4 have the repair) it did so *without* looking for writable mappings.
/// So a sealed executable proves nothing to who did not seal it, and
/// [`verify`](Self::verify) refuses that combination as
/// [`NotFrozen::ImpliedByExec`]; [`verify_executable`](Self::verify_executable)
/// is for callers that know more.
///
/// # What can still happen
///
/// Reading a mapping can fault, and then the kernel ends the process with
/// `SIGBUS` (or `SIGKILL`): no undefined behaviour, and no error to handle.
///
/// - A page of the machine's memory is broken ("poisoned").
/// - A page that was never written (a hole), or that is in swap, has to be
///   made, and the memory limit of the cgroup or the swap device says no.
/// - Huge pages: `mmap` reserves as many as the mapping has, in addition to the
///   file's own, and says `ENOMEM` if there are not enough. After a `fork` the
///   child has no reservation: what it writes into a [`PrivateMap`], or reads
///   from a hole, can end it.
#[derive(Debug)]
pub struct Frozen {
    fd: OwnedFd,
    facts: FileFacts,
    seals: Seals,
}

/// Why a file is not taken for a [`Frozen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotFrozen {
    /// The file is of a kind that has no seals: everything but memfd, tmpfs and
    /// hugetlbfs.
    NoSeals,
    /// These are missing.
    Missing(Seals),
    /// The file has an execute bit and [`Seals::EXEC`], so that
    /// [`Seals::WRITE`] may have come with it while somebody could write. See
    /// [`Frozen`](Frozen#why-mapping-it-is-safe).
    ImpliedByExec,
    /// A call failed.
    Os(Errno),
}

impl fmt::Display for NotFrozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSeals => f.write_str("this kind of file cannot be sealed"),
            Self::Missing(_) => f.write_str("the file is not sealed against change"),
            Self::ImpliedByExec => {
                f.write_str("an executable's write seal may have come with the exec seal alone")
            }
            Self::Os(errno) => fmt::Display::fmt(errno, f),
        }
    }
}

impl core::error::Error for NotFrozen {}

impl From<Errno> for NotFrozen {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl From<NotFrozen> for Errno {
    /// The nearest number: `EINVAL` for a file without seals, `EPERM` for one
    /// that is not sealed enough.
    fn from(why: NotFrozen) -> Self {
        match why {
            NotFrozen::NoSeals => Self::EINVAL,
            NotFrozen::Missing(_) | NotFrozen::ImpliedByExec => Self::EPERM,
            NotFrozen::Os(errno) => errno,
        }
    }
}

/// A file that could not be frozen or verified: here it is again, and why.
///
/// Converts to [`Errno`], for `?`, which closes the file.
#[derive(Debug)]
pub struct Refused<T> {
    /// The file, as it was given.
    pub file: T,
    /// Why.
    pub why: NotFrozen,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.why, f)
    }
}

impl<T: fmt::Debug> core::error::Error for Refused<T> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.why)
    }
}

impl<T> From<Refused<T>> for Errno {
    fn from(refused: Refused<T>) -> Self {
        refused.why.into()
    }
}

crate::errno::std_error!(NotFrozen, Refused<T> where T);

/// What [`Frozen::verify_or_seal`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sealed {
    /// The file was sealed before.
    Already,
    /// The file was sealed by this call.
    Now,
}

impl Memfd {
    /// Adds [`Seals::IMMUTABLE`], reads the seals back and takes the length:
    /// `fcntl(F_ADD_SEALS)`, `fcntl(F_GET_SEALS)`, `fstat`.
    ///
    /// # Errors
    ///
    /// The memfd comes back with the reason: [`NotFrozen::Os`] with `EBUSY` if
    /// somebody could still write (a [`SharedMap`](super::SharedMap) that lives;
    /// see [`fcntl_add_seals`]), with `EPERM` if it cannot be sealed (any more:
    /// a file that has [`Seals::SEAL`] already is for [`Frozen::verify`]).
    /// [`NotFrozen::ImpliedByExec`] if [`Seals::EXEC`] was added to an
    /// executable before: use [`freeze_with`](Self::freeze_with).
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::memfd::{Access, Exec, MemfdOptions, NotFrozen, SharedMap};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing().create(c"doc")?;
    /// file.write_all_at(b"for ever", 0)?;
    ///
    /// let writer = SharedMap::new(&file, Access::ReadWrite, None)?;
    /// let refused = file.freeze().unwrap_err();
    /// assert_eq!(refused.why, NotFrozen::Os(Errno::EBUSY));
    ///
    /// drop(writer);
    /// let frozen = refused.file.freeze()?;
    /// assert_eq!(&frozen.map()?[..], b"for ever");
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn freeze(self) -> Result<Frozen, Refused<Self>> {
        self.freeze_with(Seals::empty())
    }

    /// [`freeze`](Self::freeze) with more seals: [`Seals::EXEC`] for a program
    /// that is to stay executable and unchanged, [`Seals::FUTURE_WRITE`], or one
    /// of a newer kernel.
    ///
    /// If `extra` has [`Seals::EXEC`] there are two calls more, before the
    /// others: `fcntl(F_ADD_SEALS)` of `SHRINK`, `GROW` and `WRITE`, and
    /// `fcntl(F_GET_SEALS)`. They are the proof that `WRITE` does not come from
    /// `EXEC` alone.
    ///
    /// # Errors
    ///
    /// As [`freeze`](Self::freeze); also `EINVAL`: the kernel does not know a
    /// seal in `extra` (for `EXEC` before 6.3). Those three may be there then.
    ///
    /// ```
    /// use barecall::memfd::{Applied, Exec, MemfdOptions, Seals};
    ///
    /// let (program, applied) =
    ///     MemfdOptions::new().exec(Exec::Executable).allow_sealing().create_or_legacy(c"doc")?;
    /// let extra = match applied {
    ///     Applied::AsAsked => Seals::EXEC,
    ///     _ => Seals::empty(),
    /// };
    /// let frozen = program.freeze_with(extra)?;
    /// assert!(frozen.seals().contains(Seals::IMMUTABLE | extra));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn freeze_with(self, extra: Seals) -> Result<Frozen, Refused<Self>> {
        match seal_and_prove(self.as_fd(), extra) {
            Ok((facts, seals)) => Ok(Frozen {
                fd: self.into(),
                facts,
                seals,
            }),
            Err(why) => Err(Refused { file: self, why }),
        }
    }
}

/// Seals the file, and looks whether it is.
fn seal_and_prove(fd: BorrowedFd<'_>, extra: Seals) -> Result<(FileFacts, Seals), NotFrozen> {
    let mut trusted = false;
    if extra.contains(Seals::EXEC) {
        // A WRITE that is there while EXEC is not has been asked for, and so
        // the kernel looked, no matter who adds EXEC after that.
        fcntl_add_seals(fd, Seals::IMMUTABLE.difference(Seals::SEAL))?;
        let seals = fcntl_get_seals(fd)?;
        trusted = seals.contains(Seals::WRITE) && !seals.contains(Seals::EXEC);
    }
    fcntl_add_seals(fd, Seals::IMMUTABLE | extra)?;
    let seals = fcntl_get_seals(fd)?;
    prove(fd, seals, trusted)
}

/// Whether `seals`, which `fd` has, are enough. The length is taken after them.
fn prove(fd: BorrowedFd<'_>, seals: Seals, trusted: bool) -> Result<(FileFacts, Seals), NotFrozen> {
    let missing = Seals::CONSTANT.difference(seals);
    if !missing.is_empty() {
        return Err(NotFrozen::Missing(missing));
    }
    let facts = FileFacts::of(fd)?;
    if !trusted && seals.contains(Seals::EXEC) && facts.is_executable() {
        return Err(NotFrozen::ImpliedByExec);
    }
    Ok((facts, seals))
}

/// The seals, where "not that kind of file" is an answer.
fn seals_of(fd: BorrowedFd<'_>) -> Result<Seals, NotFrozen> {
    match fcntl_get_seals(fd) {
        Err(Errno::EINVAL) => Err(NotFrozen::NoSeals),
        Err(errno) => Err(NotFrozen::Os(errno)),
        Ok(seals) => Ok(seals),
    }
}

impl Frozen {
    /// Takes a descriptor that came from anywhere, if the file cannot change:
    /// `fcntl(F_GET_SEALS)`, then `fstat`.
    ///
    /// [`Seals::CONSTANT`] must be there; more can be. A read-only descriptor
    /// will do.
    ///
    /// # Errors
    ///
    /// The descriptor comes back with the reason.
    ///
    #[cfg_attr(feature = "std", doc = "```")]
    #[cfg_attr(not(feature = "std"), doc = "```ignore")]
    /// use barecall::memfd::Frozen;
    /// use std::fs::File;
    ///
    /// /// Takes a file from somebody who is not trusted, without copying it.
    /// fn receive(file: File) -> std::io::Result<usize> {
    ///     let frozen = Frozen::verify(file.into())?;
    ///     let map = frozen.map()?;
    ///     // A `&[u8]` that the sender cannot change, or cut off, under us.
    ///     Ok(map.iter().filter(|&&byte| byte == b'\n').count())
    /// }
    ///
    /// # use barecall::fd::OwnedFd;
    /// # use barecall::memfd::{Exec, MemfdOptions};
    /// # let sent = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// # let sent = sent.create_frozen(c"doc", b"two\nlines\n")?;
    /// assert_eq!(receive(OwnedFd::from(sent).into())?, 2);
    /// # let plain = File::open("/proc/self/exe")?;
    /// assert!(receive(plain).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn verify(fd: OwnedFd) -> Result<Self, Refused<OwnedFd>> {
        match seals_of(fd.as_fd()).and_then(|seals| prove(fd.as_fd(), seals, false)) {
            Ok((facts, seals)) => Ok(Self { fd, facts, seals }),
            Err(why) => Err(Refused { file: fd, why }),
        }
    }

    /// [`verify`](Self::verify) for a file that may have an execute bit and
    /// [`Seals::EXEC`].
    ///
    /// # Safety
    ///
    /// If the file has both: the running kernel has the repair that
    /// [`Frozen`](Frozen#why-mapping-it-is-safe) tells of, or who sealed the
    /// file is trusted not to have kept it mapped for writing.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify), without [`NotFrozen::ImpliedByExec`].
    ///
    /// ```
    /// use barecall::memfd::{Exec, Frozen, MemfdOptions, Seals};
    ///
    /// let program = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
    /// let file = match program.create(c"program") {
    ///     Ok(file) => file,
    ///     Err(barecall::Errno::EINVAL) => return Ok(()), // Before Linux 6.3.
    ///     Err(errno) => return Err(errno),
    /// };
    /// file.write_all_at(b"#!/bin/sh\n", 0)?;
    /// file.add_seals(Seals::IMMUTABLE | Seals::EXEC)?;
    ///
    /// // SAFETY: it was sealed here, and never mapped.
    /// let frozen = unsafe { Frozen::verify_executable(file.into())? };
    /// assert!(frozen.seals().contains(Seals::EXEC | Seals::WRITE));
    /// assert_eq!(&frozen.map()?[..2], b"#!");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub unsafe fn verify_executable(fd: OwnedFd) -> Result<Self, Refused<OwnedFd>> {
        match seals_of(fd.as_fd()).and_then(|seals| prove(fd.as_fd(), seals, true)) {
            Ok((facts, seals)) => Ok(Self { fd, facts, seals }),
            Err(why) => Err(Refused { file: fd, why }),
        }
    }

    /// [`verify`](Self::verify), and if only seals are missing, adds
    /// [`Seals::IMMUTABLE`] and looks again. Tells which it was.
    ///
    /// For who receives files that the sender forgot to seal. It is
    /// `fcntl(F_GET_SEALS)` and `fstat` if they are sealed, and
    /// `fcntl(F_GET_SEALS)`, `fcntl(F_ADD_SEALS)`, `fcntl(F_GET_SEALS)` and
    /// `fstat` if not.
    ///
    /// # Errors
    ///
    /// The descriptor comes back with the reason: as [`verify`](Self::verify),
    /// and those of [`fcntl_add_seals`].
    ///
    /// ```
    /// use barecall::memfd::{Exec, Frozen, MemfdOptions, Sealed};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing().create(c"doc")?;
    /// let (frozen, sealed) = Frozen::verify_or_seal(file.into())?;
    /// assert_eq!(sealed, Sealed::Now);
    /// assert_eq!(Frozen::verify_or_seal(frozen.into())?.1, Sealed::Already);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn verify_or_seal(fd: OwnedFd) -> Result<(Self, Sealed), Refused<OwnedFd>> {
        let seals = match seals_of(fd.as_fd()) {
            Ok(seals) => seals,
            Err(why) => return Err(Refused { file: fd, why }),
        };
        let (proof, sealed) = if seals.contains(Seals::CONSTANT) {
            (prove(fd.as_fd(), seals, false), Sealed::Already)
        } else {
            (seal_and_prove(fd.as_fd(), Seals::empty()), Sealed::Now)
        };
        match proof {
            Ok((facts, seals)) => Ok((Self { fd, facts, seals }, sealed)),
            Err(why) => Err(Refused { file: fd, why }),
        }
    }

    /// Maps all of it: one `mmap`, private and read-only. Safe, see
    /// [`Frozen`](Frozen#why-mapping-it-is-safe).
    ///
    /// A file of length 0 gives an empty slice, without a system call.
    ///
    /// # Errors
    ///
    /// `EACCES`: the descriptor cannot read. `ENOMEM`: no address space, too
    /// many mappings, or not enough huge pages for the reservation.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// let map = options.create_frozen(c"doc", b"content")?.map()?;
    /// assert_eq!(map.iter().rev().copied().next(), Some(b't'));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn map(&self) -> Result<Map, Errno> {
        self.map_range(0..self.facts.len)
    }

    /// Maps a part. It need not start or end where a page does.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map); `ENXIO`, without a system call: the range is not
    /// inside the file, as long as it was when it was verified.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// let frozen = options.create_frozen(c"doc", b"some content")?;
    /// assert_eq!(&frozen.map_range(5..8)?[..], b"con");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn map_range(&self, range: Range<u64>) -> Result<Map, Errno> {
        let mapping = self.mapping(ProtFlags::READ, range)?;
        // SAFETY: private, readable, and the file cannot change: `self` says so.
        Ok(unsafe { Map::new(mapping) })
    }

    /// Maps all of it to be written, privately: what is written stays in the
    /// mapping. One `mmap`; safe for the same reasons.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// let frozen = options.create_frozen(c"doc", b"template")?;
    /// let mut copy = frozen.map_private()?;
    /// copy.make_ascii_uppercase();
    /// assert_eq!(&copy[..], b"TEMPLATE");
    /// assert_eq!(&frozen.map()?[..], b"template");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn map_private(&self) -> Result<PrivateMap, Errno> {
        self.map_private_range(0..self.facts.len)
    }

    /// [`map_private`](Self::map_private) of a part.
    ///
    /// # Errors
    ///
    /// As [`map_range`](Self::map_range).
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// let frozen = options.create_frozen(c"doc", b"some template")?;
    /// let mut copy = frozen.map_private_range(5..13)?;
    /// copy[0] = b'T';
    /// assert_eq!(&copy[..], b"Template");
    /// assert_eq!(&frozen.map()?[..], b"some template");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn map_private_range(&self, range: Range<u64>) -> Result<PrivateMap, Errno> {
        let mapping = self.mapping(ProtFlags::READ | ProtFlags::WRITE, range)?;
        // SAFETY: private, writable, and the file cannot change: `self` says so.
        Ok(unsafe { PrivateMap::new(mapping) })
    }

    fn mapping(&self, prot: ProtFlags, range: Range<u64>) -> Result<Mapping, Errno> {
        Mapping::new(self.fd.as_fd(), prot, MapFlags::PRIVATE, range, &self.facts)
    }

    /// How many bytes there were when it was verified. If [`Seals::GROW`] is
    /// missing, there may be more by now.
    #[inline]
    pub const fn len(&self) -> u64 {
        self.facts.len
    }

    /// Whether there were none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.facts.len == 0
    }

    /// The seals when it was verified. There may be more by now.
    #[inline]
    pub const fn seals(&self) -> Seals {
        self.seals
    }

    /// `pread64(fd, buf, count, offset)`: reads at `offset`, without a mapping.
    ///
    /// # Errors
    ///
    /// As [`io::pread`].
    #[inline]
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        io::pread(&self.fd, buf, offset)
    }

    /// Another descriptor of the same file, close-on-exec: one
    /// `fcntl(F_DUPFD_CLOEXEC)`. What was proven once stays proven.
    ///
    /// # Errors
    ///
    /// `EMFILE`: the process has as many descriptors as it may.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing();
    /// let frozen = options.create_frozen(c"doc", b"content")?;
    /// let other = frozen.try_clone()?;
    /// drop(frozen);
    /// assert!(!other.is_empty());
    /// assert_eq!(&other.map()?[..], b"content");
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    pub fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            ..*self
        })
    }
}

impl AsFd for Frozen {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Frozen> for OwnedFd {
    #[inline]
    fn from(frozen: Frozen) -> Self {
        frozen.fd
    }
}
