//! Giving a file its name, whatever has the name now.

use super::scratch::{Kind, open_dir, unlock, with_name};
use super::{
    Linkable, Named, PlaceError, Remains, ScratchFile, ScratchName, Step, TmpfileOptions, Via,
    linkat_any,
};
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, AsDirFd, AtFlags, DirFd, FlockFlags, OFlags, RenameFlags};
use core::ffi::CStr;

/// What is on the disk when a file has got its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing is waited for. After a power cut the name may be absent, or what
    /// it was, or a file without contents.
    None,
    /// `fsync` of the file, before the name shows it: after a power cut the name
    /// is what it was, or is the whole new file.
    File,
    /// Also `fsync` of the directory: when the call returns, a power cut no
    /// longer takes the new file away.
    FileAndDir,
}

/// How a file got its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// The name was free, and the file was linked to it.
    Linked(Via),
    /// The file was linked to a scratch name, which was renamed (or exchanged).
    LinkedAndRenamed(Via),
    /// The file had a scratch name all the time, which was renamed.
    Renamed,
}

/// A file that got its name.
#[derive(Debug)]
pub struct Placed {
    /// The file.
    pub file: OwnedFd,
    /// How.
    pub way: Way,
}

/// A file that got its name, and what had the name before.
#[derive(Debug)]
pub struct Exchanged {
    /// The file.
    pub file: OwnedFd,
    /// How.
    pub way: Way,
    /// What had the name, under a scratch name of the kind `old`. Dropping it
    /// removes it; [`ScratchFile::keep`] and [`ScratchFile::rename`] do not.
    pub old: ScratchFile,
}

const NOREPLACE: RenameFlags = RenameFlags::NOREPLACE;

/// What a failed step leaves, before it is known what the file is.
type Failed = (Errno, Step);

/// A name in the directory itself: scratch names are made beside it.
fn plain(name: &CStr) -> Result<(), Failed> {
    let bytes = name.to_bytes();
    if bytes.is_empty() || bytes.contains(&b'/') {
        return Err((Errno::EINVAL, Step::Name));
    }
    Ok(())
}

impl Durability {
    /// The directory, if it will be synchronised. Opened before anything has
    /// happened: an `O_PATH` descriptor or `CWD` would not do at the end.
    fn open_dir(self, dir: DirFd<'_>) -> Result<Option<OwnedFd>, Failed> {
        if self != Self::FileAndDir {
            return Ok(None);
        }
        match open_dir(dir, OFlags::RDONLY) {
            Ok(dir) => Ok(Some(dir)),
            Err(errno) => Err((errno, Step::OpenDir)),
        }
    }

    fn sync_file(self, file: BorrowedFd<'_>) -> Result<(), Failed> {
        if self == Self::None {
            return Ok(());
        }
        fs::fsync(file).map_err(|errno| (errno, Step::SyncFile))
    }
}

fn sync_dir(dir: Option<&OwnedFd>) -> Result<(), Failed> {
    match dir {
        Some(dir) => fs::fsync(dir).map_err(|errno| (errno, Step::SyncDir)),
        None => Ok(()),
    }
}

/// Locks the file, so that a sweep leaves it alone, and gives it a scratch
/// name.
fn link_scratch(
    file: BorrowedFd<'_>,
    dir: DirFd<'_>,
    kind: Kind,
) -> Result<(Via, ScratchName), Failed> {
    fs::flock(file, FlockFlags::EX | FlockFlags::NB).map_err(|errno| (errno, Step::Lock))?;
    let linked = with_name(kind, Step::LinkScratch, |name| linkat_any(file, dir, name));
    if linked.is_err() {
        unlock(file);
    }
    linked
}

/// Whether a name is certainly not that of this file.
fn has_other(file: BorrowedFd<'_>, dir: DirFd<'_>, name: &CStr) -> bool {
    let named = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let (Ok(named), Ok(file)) = (named, fs::fstat(file)) else {
        return false;
    };
    (named.st_dev, named.st_ino) != (file.st_dev, file.st_ino)
}

/// `fsync` if wanted, and `renameat2`; when one fails, the scratch name goes.
fn rename_scratch(
    file: BorrowedFd<'_>,
    dir: DirFd<'_>,
    scratch: &ScratchName,
    name: &CStr,
    flags: RenameFlags,
    durability: Durability,
) -> Result<(), (Failed, Result<(), Errno>)> {
    // The file is synchronised with its scratch name, not before: one fsync
    // does for both, and btrfs has skipped those of files without a name.
    let renamed = durability.sync_file(file).and_then(|()| {
        fs::renameat2(dir, scratch, dir, name, flags).map_err(|errno| (errno, Step::Rename))
    });
    let renamed = renamed.map_err(|failed| {
        // After an exchange that failed only in the telling, the scratch name
        // is the old file's.
        if flags == RenameFlags::EXCHANGE && has_other(file, dir, scratch) {
            return (failed, Err(Errno::ESTALE));
        }
        let removed = match fs::unlinkat(dir, scratch, AtFlags::empty()) {
            // Nothing is left, whoever removed it.
            Err(Errno::ENOENT) => Ok(()),
            removed => removed,
        };
        (failed, removed)
    });
    unlock(file);
    renamed
}

impl Linkable {
    fn failed(self, (errno, step): Failed) -> PlaceError {
        PlaceError {
            errno,
            step,
            remains: Remains::Linkable(self),
        }
    }

    /// After [`rename_scratch`]: it can no longer be linked.
    fn spent(
        self,
        (errno, step): Failed,
        removed: Result<(), Errno>,
        name: ScratchName,
    ) -> PlaceError {
        let file = self.0;
        let remains = match removed {
            Ok(()) => Remains::Nameless(file),
            Err(errno) => Remains::Scratch { file, name, errno },
        };
        PlaceError {
            errno,
            step,
            remains,
        }
    }

    /// Several calls: gives the file this name in `dir`, which must be free:
    /// `fsync(file)`, `linkat` ([`link_any`](Self::link_any)), `fsync(dir)`, as
    /// [`Durability`] says; for the last, the directory is opened first.
    ///
    /// # Errors
    ///
    /// As [`replace`](Self::replace); `EEXIST` at [`Step::Link`]: the name is
    /// taken.
    ///
    /// ```
    /// use barecall::tmpfile::{Durability, TmpfileOptions};
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// let file = TmpfileOptions::new().linkable(&dir, c".")?;
    /// file.link_synced(&dir, c"name", Durability::FileAndDir)?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn link_synced<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        let dir = dir.as_dir_fd();
        let linked = plain(name).and_then(|()| {
            let sync = durability.open_dir(dir)?;
            durability.sync_file(self.as_fd())?;
            match linkat_any(self.as_fd(), dir, name) {
                Ok(via) => Ok((sync, via)),
                Err(errno) => Err((errno, Step::Link)),
            }
        });
        match linked {
            Ok((sync, via)) => finish(self.0, Way::Linked(via), sync.as_ref()),
            Err(failed) => Err(self.failed(failed)),
        }
    }

    /// Several calls: gives the file this name in `dir`, in one step for
    /// everybody who looks, replacing a file that has it.
    ///
    /// If the name is free: `fsync(file)`, `linkat`, `fsync(dir)`. Else:
    /// `flock`, `linkat` to a scratch name in `dir`, `fsync(file)`, `renameat2`,
    /// `fsync(dir)`. [`Durability`] says which of the `fsync` are made; with
    /// some, the call begins by looking (`newfstatat`), and with both by
    /// opening the directory. A name that is a symbolic link is replaced
    /// itself.
    ///
    /// At no moment does the name stand for a part of a file. Killed between two
    /// calls, by `SIGKILL` or a power cut, this leaves at most one
    /// [`ScratchName`], which [`sweep`](super::sweep) removes. To be killed by
    /// other signals there, block them around the call.
    ///
    /// `flock` uses the lock of the file, which is free again afterwards.
    ///
    /// # Errors
    ///
    /// Those of the calls; [`PlaceError::step`] says of which, and
    /// [`PlaceError::remains`] what there is now. `EINVAL`: the name has a `/`
    /// in it, or is empty.
    ///
    /// ```
    /// use barecall::tmpfile::{Durability, TmpfileOptions, Way};
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// let first = TmpfileOptions::new().linkable(&dir, c".")?;
    /// let placed = first.replace(&dir, c"name", Durability::File)?;
    /// assert!(matches!(placed.way, Way::Linked(_)));
    ///
    /// let second = TmpfileOptions::new().linkable(&dir, c".")?;
    /// let placed = second.replace(&dir, c"name", Durability::File)?;
    /// assert!(matches!(placed.way, Way::LinkedAndRenamed(_)));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn replace<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        self.replace_in(dir.as_dir_fd(), name, durability)
    }

    fn replace_in(
        self,
        dir: DirFd<'_>,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        let prepared = plain(name).and_then(|()| {
            let sync = durability.open_dir(dir)?;
            let free = durability == Durability::None || is_free(dir, name)?;
            if free {
                durability.sync_file(self.as_fd())?;
            }
            Ok((sync, free))
        });
        let (sync, free) = match prepared {
            Ok(prepared) => prepared,
            Err(failed) => return Err(self.failed(failed)),
        };

        let linked = if free {
            match linkat_any(self.as_fd(), dir, name) {
                Ok(via) => Some(via),
                Err(Errno::EEXIST) => None,
                Err(errno) => return Err(self.failed((errno, Step::Link))),
            }
        } else {
            None
        };

        let way = match linked {
            Some(via) => Way::Linked(via),
            None => {
                let (via, scratch) = match link_scratch(self.as_fd(), dir, Kind::New) {
                    Ok(linked) => linked,
                    Err(failed) => return Err(self.failed(failed)),
                };
                let (file, flags) = (self.as_fd(), RenameFlags::empty());
                match rename_scratch(file, dir, &scratch, name, flags, durability) {
                    Ok(()) => Way::LinkedAndRenamed(via),
                    Err((failed, removed)) => return Err(self.spent(failed, removed, scratch)),
                }
            }
        };
        finish(self.0, way, sync.as_ref())
    }

    /// Several calls: exchanges the file with what has this name in `dir`, in
    /// one step for everybody who looks.
    ///
    /// `openat` of the directory, `flock`, `linkat` to a scratch name,
    /// `fsync(file)`, `renameat2(RENAME_EXCHANGE)`, `fsync(dir)`; [`Durability`]
    /// says which of the `fsync` are made. The old file has the scratch name
    /// then, until [`Exchanged::old`] is dropped.
    ///
    /// # Errors
    ///
    /// As [`replace`](Self::replace); `ENOENT` at [`Step::Rename`]: nothing has
    /// the name. `EINVAL` there: the file system cannot exchange.
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
    /// exchanged.old.rename(&dir, c"name.bak").map_err(|(errno, _)| errno)?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn exchange<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Exchanged, PlaceError> {
        self.exchange_in(dir.as_dir_fd(), name, durability)
    }

    fn exchange_in(
        self,
        dir: DirFd<'_>,
        name: &CStr,
        durability: Durability,
    ) -> Result<Exchanged, PlaceError> {
        let prepared = plain(name).and_then(|()| own_dir(dir, durability));
        let prepared = prepared.and_then(|own| {
            let linked = link_scratch(self.as_fd(), DirFd::new(own.as_fd()), Kind::Old)?;
            Ok((own, linked))
        });
        let (own, (via, scratch)) = match prepared {
            Ok(prepared) => prepared,
            Err(failed) => return Err(self.failed(failed)),
        };
        let (file, dir) = (self.as_fd(), DirFd::new(own.as_fd()));
        let flags = RenameFlags::EXCHANGE;
        match rename_scratch(file, dir, &scratch, name, flags, durability) {
            Ok(()) => {}
            Err((failed, removed)) => return Err(self.spent(failed, removed, scratch)),
        }
        let synced = sync_dir((durability == Durability::FileAndDir).then_some(&own));
        let old = ScratchFile::new(own, scratch);
        finish_exchange(self.0, Way::LinkedAndRenamed(via), old, synced)
    }
}

/// Whether nothing has the name; a symbolic link that leads nowhere has it.
fn is_free(dir: DirFd<'_>, name: &CStr) -> Result<bool, Failed> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        Err(Errno::ENOENT) => Ok(true),
        Err(errno) => Err((errno, Step::Look)),
    }
}

/// The directory by a descriptor of our own, which can be synchronised if it
/// has to be.
fn own_dir(dir: DirFd<'_>, durability: Durability) -> Result<OwnedFd, Failed> {
    let access = match durability {
        Durability::FileAndDir => OFlags::RDONLY,
        Durability::None | Durability::File => OFlags::PATH,
    };
    open_dir(dir, access).map_err(|errno| (errno, Step::OpenDir))
}

fn finish(file: OwnedFd, way: Way, sync: Option<&OwnedFd>) -> Result<Placed, PlaceError> {
    match sync_dir(sync) {
        Ok(()) => Ok(Placed { file, way }),
        Err((errno, step)) => Err(PlaceError {
            errno,
            step,
            remains: Remains::Placed { file, old: None },
        }),
    }
}

fn finish_exchange(
    file: OwnedFd,
    way: Way,
    old: ScratchFile,
    synced: Result<(), Failed>,
) -> Result<Exchanged, PlaceError> {
    match synced {
        Ok(()) => Ok(Exchanged { file, way, old }),
        Err((errno, step)) => Err(PlaceError {
            errno,
            step,
            remains: Remains::Placed {
                file,
                old: Some(old),
            },
        }),
    }
}

impl Named {
    /// `renameat2(RENAME_NOREPLACE)`: gives the file this name, which must be
    /// free.
    ///
    /// # Errors
    ///
    /// As [`fs::renameat2`], at [`Step::Link`]; the file comes back.
    pub fn link<D: AsDirFd>(self, dir: D, name: &CStr) -> Result<OwnedFd, PlaceError> {
        self.rename(dir.as_dir_fd(), name, NOREPLACE, Step::Link)
            .map_err(Self::failed)
    }

    /// Several calls: gives the file this name in `dir`, which must be free:
    /// `fsync(file)`, `renameat2(RENAME_NOREPLACE)`, `fsync(dir)`, as
    /// [`Durability`] says.
    ///
    /// # Errors
    ///
    /// As [`Linkable::link_synced`].
    pub fn link_synced<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        self.place(dir.as_dir_fd(), name, durability, NOREPLACE, Step::Link)
    }

    /// Several calls: gives the file this name in `dir`, replacing a file that
    /// has it: `fsync(file)`, `renameat2`, `fsync(dir)`, as [`Durability`] says.
    ///
    /// # Errors
    ///
    /// As [`Linkable::replace`].
    pub fn replace<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        let flags = RenameFlags::empty();
        self.place(dir.as_dir_fd(), name, durability, flags, Step::Rename)
    }

    /// Several calls: exchanges the file with what has this name in `dir`:
    /// `getrandom`, `renameat2` to a scratch name that [`sweep`] leaves alone,
    /// `fsync(file)`, `renameat2(RENAME_EXCHANGE)`, `fsync(dir)`.
    ///
    /// The old file is in the directory where the new one was made then.
    ///
    /// # Errors
    ///
    /// As [`Linkable::exchange`].
    ///
    /// [`sweep`]: super::sweep
    pub fn exchange<D: AsDirFd>(
        mut self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Exchanged, PlaceError> {
        let dir = dir.as_dir_fd();
        let prepared = plain(name).and_then(|()| {
            let sync = durability.open_dir(dir)?;
            let rename = |new: &CStr| self.scratch.move_to(self.scratch.dir(), new, NOREPLACE);
            let ((), old) = with_name(Kind::Old, Step::LinkScratch, rename)?;
            self.scratch.name = old;
            durability.sync_file(self.as_fd())?;
            let exchanged = self.scratch.move_to(dir, name, RenameFlags::EXCHANGE);
            exchanged.map_err(|errno| (errno, Step::Rename))?;
            Ok(sync)
        });
        match prepared {
            Ok(sync) => {
                let Self { file, scratch } = self;
                unlock(file.as_fd());
                finish_exchange(file, Way::Renamed, scratch, sync_dir(sync.as_ref()))
            }
            Err((errno, step)) => {
                let here = DirFd::new(self.scratch.dir());
                if step == Step::Rename && has_other(self.as_fd(), here, self.scratch.name()) {
                    // As in `rename_scratch`: what would be removed is not ours.
                    let Self { file, scratch } = self;
                    unlock(file.as_fd());
                    let (_, name) = scratch.keep();
                    let stale = Errno::ESTALE;
                    return Err(PlaceError {
                        errno,
                        step,
                        remains: Remains::Scratch {
                            file,
                            name,
                            errno: stale,
                        },
                    });
                }
                Err(Self::failed(((errno, step), self)))
            }
        }
    }

    fn place(
        self,
        dir: DirFd<'_>,
        name: &CStr,
        durability: Durability,
        flags: RenameFlags,
        step: Step,
    ) -> Result<Placed, PlaceError> {
        let prepared = plain(name).and_then(|()| {
            let sync = durability.open_dir(dir)?;
            durability.sync_file(self.as_fd())?;
            Ok(sync)
        });
        match prepared {
            Ok(sync) => {
                let renamed = self.rename(dir, name, flags, step);
                finish(renamed.map_err(Self::failed)?, Way::Renamed, sync.as_ref())
            }
            Err(failed) => Err(Self::failed((failed, self))),
        }
    }

    /// Lets go of the scratch name if the rename works.
    fn rename(
        self,
        dir: DirFd<'_>,
        name: &CStr,
        flags: RenameFlags,
        step: Step,
    ) -> Result<OwnedFd, (Failed, Self)> {
        match self.scratch.move_to(dir, name, flags) {
            Ok(()) => {
                let Self { file, scratch } = self;
                scratch.keep();
                unlock(file.as_fd());
                Ok(file)
            }
            Err(errno) => Err(((errno, step), self)),
        }
    }

    fn failed(((errno, step), file): (Failed, Self)) -> PlaceError {
        PlaceError {
            errno,
            step,
            remains: Remains::Named(file),
        }
    }
}

/// A file on its way to its name: without one if the file system can do that.
#[derive(Debug)]
pub enum Tmpfile {
    /// It has no name.
    Linkable(Linkable),
    /// It has a scratch name.
    Named(Named),
}

impl AsFd for Tmpfile {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Linkable(file) => file.as_fd(),
            Self::Named(file) => file.as_fd(),
        }
    }
}

impl Tmpfile {
    /// [`Linkable::link_synced`] or [`Named::link_synced`].
    ///
    /// # Errors
    ///
    /// As those.
    pub fn link_synced<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        match self {
            Self::Linkable(file) => file.link_synced(dir, name, durability),
            Self::Named(file) => file.link_synced(dir, name, durability),
        }
    }

    /// [`Linkable::exchange`] or [`Named::exchange`].
    ///
    /// # Errors
    ///
    /// As those.
    pub fn exchange<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Exchanged, PlaceError> {
        match self {
            Self::Linkable(file) => file.exchange(dir, name, durability),
            Self::Named(file) => file.exchange(dir, name, durability),
        }
    }

    /// [`Linkable::replace`] or [`Named::replace`].
    ///
    /// # Errors
    ///
    /// As those.
    pub fn replace<D: AsDirFd>(
        self,
        dir: D,
        name: &CStr,
        durability: Durability,
    ) -> Result<Placed, PlaceError> {
        match self {
            Self::Linkable(file) => file.replace(dir, name, durability),
            Self::Named(file) => file.replace(dir, name, durability),
        }
    }
}

impl TmpfileOptions {
    /// Several calls: a file that has no name yet, or where the file system
    /// cannot do that, one that has a scratch name; the answer says which.
    ///
    /// [`linkable`](Self::linkable); only when that says `EOPNOTSUPP` or
    /// `EISDIR`: `openat` of the directory, `getrandom`, `openat(O_CREAT |
    /// O_EXCL)`, `flock`, `fstat`.
    ///
    /// # Errors
    ///
    /// As [`linkable`](Self::linkable), except `EOPNOTSUPP`. `EROFS`, `EACCES`
    /// and `ENOENT` are what they are, and never lead to a scratch name.
    ///
    /// ```
    /// use barecall::tmpfile::{Tmpfile, TmpfileOptions};
    /// # use barecall::fs;
    ///
    /// match TmpfileOptions::new().linkable_or_named(fs::CWD, c"/tmp")? {
    ///     Tmpfile::Linkable(file) => println!("{file:?} has no name"),
    ///     Tmpfile::Named(file) => println!("until dropped, it is {:?}", file.scratch().name()),
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn linkable_or_named<D: AsDirFd>(&self, dir: D, path: &CStr) -> Result<Tmpfile, Errno> {
        let dir = dir.as_dir_fd();
        match self.linkable(dir, path) {
            Ok(file) => Ok(Tmpfile::Linkable(file)),
            Err(Errno::EOPNOTSUPP | Errno::EISDIR) => self.named(dir, path).map(Tmpfile::Named),
            Err(errno) => Err(errno),
        }
    }

    /// Several calls: a file that has a scratch name in this directory: `openat`
    /// of the directory, `getrandom`, `openat(O_CREAT | O_EXCL)`, `flock`,
    /// `fstat`.
    ///
    /// # Errors
    ///
    /// As [`linkable`](Self::linkable), except `EOPNOTSUPP`.
    ///
    /// ```
    /// use barecall::io;
    /// use barecall::tmpfile::{ScratchName, TmpfileOptions};
    /// # use barecall::fs;
    /// # let scratch = tempfile::tempdir().unwrap();
    /// # let path = std::ffi::CString::new(scratch.path().as_os_str().as_encoded_bytes()).unwrap();
    /// # let dir = fs::openat(fs::CWD, &path, fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    ///
    /// let file = TmpfileOptions::new().named(&dir, c".")?;
    /// io::write_all(&file, b"content")?;
    /// let name: ScratchName = *file.scratch().name();
    /// assert!(name.is_new());
    /// assert_eq!(fs::statat(&dir, name.as_c_str(), fs::AtFlags::empty())?.st_size, 7);
    /// // Dropping does it too, and cannot say whether it worked.
    /// file.remove().map_err(|(errno, _file)| errno)?;
    /// let found = fs::statat(&dir, name.as_c_str(), fs::AtFlags::empty());
    /// assert_eq!(found.unwrap_err(), barecall::Errno::ENOENT);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn named<D: AsDirFd>(&self, dir: D, path: &CStr) -> Result<Named, Errno> {
        let follow = self.flags & OFlags::NOFOLLOW;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
        let dir = fs::openat(dir, path, flags, fs::Mode::empty())?;
        Named::create(dir, self.flags, self.mode)
    }
}
