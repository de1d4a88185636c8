//! A file without a name is linked, to its name or to a scratch name first.

use super::{
    Durability, Exchanged, Failed, Placed, Way, finish, finish_exchange, has_other, plain, sync_dir,
};
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, AsDirFd, AtFlags, DirFd, FlockFlags, OFlags, RenameFlags};
use crate::tmpfile::scratch::{Kind, open_dir, unlock, with_name};
use crate::tmpfile::{
    Linkable, PlaceError, Remains, ScratchFile, ScratchName, Step, Via, linkat_any,
};
use core::ffi::CStr;

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
    if renamed.is_ok() && flags.is_empty() {
        // If the name was this very file's already, the kernel has done nothing,
        // and both names are there.
        let _ = fs::unlinkat(dir, scratch, AtFlags::empty());
    }
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
    /// `unlinkat` of the scratch name, `fsync(dir)`. [`Durability`] says which of
    /// the `fsync` are made; with some, the call begins by looking
    /// (`newfstatat`), and with both by opening the directory. A name that is a
    /// symbolic link is replaced itself.
    ///
    /// The `unlinkat` finds nothing, unless the name was this very file's
    /// already, which `renameat2` leaves as it is.
    ///
    /// At no moment does the name stand for a part of a file. Killed between two
    /// calls, by `SIGKILL` or a power cut, this leaves at most one
    /// [`ScratchName`], which [`sweep`] removes. To be killed by
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
    ///
    /// [`sweep`]: crate::tmpfile::sweep
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
