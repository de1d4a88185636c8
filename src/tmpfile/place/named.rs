//! A file with a scratch name is renamed; and files that are one or the other.

use super::{
    Durability, Exchanged, Failed, Placed, Way, finish, finish_exchange, has_other, plain, sync_dir,
};
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::fs::{self, AsDirFd, DirFd, OFlags, RenameFlags};
use crate::tmpfile::scratch::{Kind, unlock, with_name};
use crate::tmpfile::{Linkable, Named, PlaceError, Remains, Step, TmpfileOptions};
use core::ffi::CStr;

const NOREPLACE: RenameFlags = RenameFlags::NOREPLACE;

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
    /// has it: `fsync(file)`, `renameat2`, `unlinkat` of the scratch name,
    /// `fsync(dir)`, as [`Durability`] says.
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
    /// [`sweep`]: crate::tmpfile::sweep
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
                // If the name was this very file's already, the kernel has done
                // nothing, and the scratch name goes with the drop.
                if flags == NOREPLACE {
                    scratch.keep();
                } else {
                    drop(scratch);
                }
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
