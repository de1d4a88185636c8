//! Giving a file its name, whatever has the name now.

mod linkable;
mod named;

pub use named::Tmpfile;

use super::scratch::open_dir;
use super::{PlaceError, Remains, ScratchFile, Step, Via};
use crate::errno::Errno;
use crate::fd::{BorrowedFd, OwnedFd};
use crate::fs::{self, AtFlags, DirFd, OFlags};
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

/// Whether a name is certainly not that of this file.
fn has_other(file: BorrowedFd<'_>, dir: DirFd<'_>, name: &CStr) -> bool {
    let named = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let (Ok(named), Ok(file)) = (named, fs::fstat(file)) else {
        return false;
    };
    (named.st_dev, named.st_ino) != (file.st_dev, file.st_ino)
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
