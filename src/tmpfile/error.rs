//! What can go wrong, and what there is then.

use super::{Linkable, Named, ScratchFile, ScratchName, Via};
use crate::errno::Errno;
use crate::fd::{AsFd as _, OwnedFd};
use crate::fs::{self, AsDirFd, AtFlags};
use core::ffi::CStr;
use core::fmt;

/// The file got no name; here it is.
#[derive(Debug)]
pub struct LinkError {
    /// What the kernel said.
    pub errno: Errno,
    /// The way that was tried; `None` if all were.
    pub via: Option<Via>,
    /// The file, which still has no name.
    pub file: Linkable,
}

/// Why a file got no name; see [`LinkError::cause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkCause {
    /// The directory that the name is to be in does not exist (any more).
    NoParent,
    /// [`Via::EmptyPath`] needs Linux 6.10 and unchanged credentials, or
    /// `CAP_DAC_READ_SEARCH`.
    NotPermitted,
    /// [`Via::Proc`] needs a mounted `/proc`.
    NoProc,
    /// Both of these.
    NoWay,
    /// The file can never have a name: it had one and lost it, or was opened
    /// with `O_EXCL`.
    Never,
    /// What the kernel said is the cause.
    Errno(Errno),
}

impl LinkError {
    /// Takes `ENOENT` apart, with up to three `linkat` that cannot succeed.
    ///
    /// `dir` and `name` are those that were given before. The kernel looks at
    /// the old path first, then at the new one, then at the file: a link to
    /// `/`, which always exists, shows whether the way is open, and a link *of*
    /// `/`, which is a directory, whether the new place is there. The answer is
    /// about now, not about then.
    ///
    /// ```
    /// use barecall::tmpfile::{LinkCause, TmpfileOptions, Via};
    /// # use barecall::fs;
    ///
    /// let file = TmpfileOptions::new().linkable(fs::CWD, c"/tmp")?;
    /// let error = file.link(Via::Proc, fs::CWD, c"/tmp/no/such/place").unwrap_err();
    /// assert_eq!(error.cause(fs::CWD, c"/tmp/no/such/place"), LinkCause::NoParent);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn cause<D: AsDirFd>(&self, dir: D, name: &CStr) -> LinkCause {
        let missing = |link: Result<(), Errno>| link == Err(Errno::ENOENT);
        let closed = |via: Via| missing(via.linkat(self.file.as_fd(), fs::CWD, c"/"));
        if self.errno != Errno::ENOENT {
            return LinkCause::Errno(self.errno);
        }
        if missing(fs::linkat(fs::CWD, c"/", dir, name, AtFlags::empty())) {
            return LinkCause::NoParent;
        }
        match self.via {
            Some(Via::EmptyPath) if closed(Via::EmptyPath) => LinkCause::NotPermitted,
            Some(Via::Proc) if closed(Via::Proc) => LinkCause::NoProc,
            None if closed(Via::EmptyPath) && closed(Via::Proc) => LinkCause::NoWay,
            _ => LinkCause::Never,
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("linkat: ")?;
        fmt::Display::fmt(&self.errno, f)
    }
}

impl core::error::Error for LinkError {}

impl From<LinkError> for Errno {
    fn from(error: LinkError) -> Self {
        error.errno
    }
}

/// Which call of a composition failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// None: the name contains a `/`, or is empty.
    Name,
    /// `openat(dir, ".")`: opening the directory, to synchronise it.
    OpenDir,
    /// `newfstatat(dir, name)`: looking whether the name is taken.
    Look,
    /// `fsync(file)`.
    SyncFile,
    /// `linkat` or `renameat2`: giving the file a name that is free.
    Link,
    /// `flock(file)`: marking the scratch name as in use.
    Lock,
    /// `getrandom`: making up a scratch name.
    Random,
    /// `linkat`: giving the file a scratch name.
    LinkScratch,
    /// `renameat2`: moving the scratch name over the name, or exchanging them.
    Rename,
    /// `fsync(dir)`.
    SyncDir,
}

/// What there is after a [`PlaceError`].
#[derive(Debug)]
pub enum Remains {
    /// Nothing has happened; the file is as it was and can be tried again.
    Linkable(Linkable),
    /// The name is as it was. The file had a scratch name, which was removed:
    /// it can be read, but never have a name again.
    Nameless(OwnedFd),
    /// Nothing has happened; the file, which has a name of its own, is as it
    /// was and can be tried again.
    Named(Named),
    /// The name is as it was. The file has this scratch name, because removing
    /// it failed too.
    ///
    /// With `ESTALE`: something else has it, so it was left. A file system (FUSE,
    /// a network) has made the exchange and then said that it failed; the scratch
    /// name is the old file's.
    Scratch {
        /// The file.
        file: OwnedFd,
        /// Its name, in the directory of the target.
        name: ScratchName,
        /// Why the name could not be removed.
        errno: Errno,
    },
    /// The file has the name, but whether the directory is on the disk is
    /// unknown.
    Placed {
        /// The file.
        file: OwnedFd,
        /// What had the name before, after an exchange.
        old: Option<ScratchFile>,
    },
}

/// The file did not get the name, or only not durably.
#[derive(Debug)]
pub struct PlaceError {
    /// What the kernel said.
    pub errno: Errno,
    /// To which call.
    pub step: Step,
    /// What there is now.
    pub remains: Remains,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Name => "the name is empty or has a slash (give the directory apart): ",
            Step::OpenDir => "opening the directory: ",
            Step::Look => "looking at the name: ",
            Step::SyncFile => "fsync of the file: ",
            Step::Link => "giving the file its name: ",
            Step::Lock => "flock of the file: ",
            Step::Random => "getrandom: ",
            Step::LinkScratch => "giving the file a scratch name: ",
            Step::Rename => "renaming the scratch name: ",
            Step::SyncDir => "fsync of the directory: ",
        })?;
        fmt::Display::fmt(&self.errno, f)?;
        if let Remains::Scratch { name, errno, .. } = &self.remains {
            f.write_str("; left ")?;
            fmt::Debug::fmt(name, f)?;
            f.write_str(": ")?;
            fmt::Display::fmt(errno, f)?;
        }
        Ok(())
    }
}

impl core::error::Error for PlaceError {}

crate::errno::std_error!(LinkError, PlaceError);

impl From<PlaceError> for Errno {
    fn from(error: PlaceError) -> Self {
        error.errno
    }
}
