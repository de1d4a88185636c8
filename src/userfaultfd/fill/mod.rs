//! Putting pages where they are missing: COPY, ZEROPAGE, CONTINUE, MOVE,
//! POISON.

mod with_source;
mod without_source;

pub use with_source::{CopyFlags, MoveFlags};
pub use without_source::{ContinueFlags, PoisonFlags, ZeroFlags};

use super::{PageRange, Userfaultfd};
use crate::errno::Errno;
use core::fmt;

/// Why a fill did not get to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The kernel did a part, and does not say why only that (`EAGAIN` with a
    /// count). Asking for the rest tells. Only a `*_once` answers this.
    Short,
    /// `EEXIST`: there is a page already, and it stays as it is.
    ///
    /// The kernel does *not* wake a thread that waits for it. The functions
    /// that are more than one request do.
    Exists,
    /// `EAGAIN`, nothing done: the process is forking or changing its
    /// mappings, and waits until its event is read.
    ///
    /// Read the events, then try again; even then it can say so until the other
    /// thread has run. Waking works meanwhile. Neither try in a closed loop nor
    /// wait for a new message alone.
    Changing,
    /// `ESRCH`: the process, or its memory, is no more.
    Gone,
    /// `ENOENT`: not registered, not mapped, or across the border of two
    /// mappings (an `mprotect` makes such borders); for MOVE, also a hole in
    /// the source.
    Unmapped,
    /// `EFAULT`: the source cannot be read; for CONTINUE, the file has no such
    /// page.
    Source,
    /// `ENOMEM`: no memory, or the limit of the control group.
    NoMemory,
    /// `EBUSY`: a page to be moved is pinned, or shared with a child.
    Busy,
    /// `EINVAL`: not whole pages, or this memory cannot be filled so.
    Invalid,
    /// `EINTR`: a fatal signal is on its way.
    Interrupted,
    /// Something else.
    Other(Errno),
}

impl Stop {
    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::EEXIST => Self::Exists,
            Errno::EAGAIN => Self::Changing,
            Errno::ESRCH => Self::Gone,
            Errno::ENOENT => Self::Unmapped,
            Errno::EFAULT => Self::Source,
            Errno::ENOMEM => Self::NoMemory,
            Errno::EBUSY => Self::Busy,
            Errno::EINVAL => Self::Invalid,
            Errno::EINTR => Self::Interrupted,
            other => Self::Other(other),
        }
    }

    /// The error that the kernel gave.
    pub fn errno(self) -> Errno {
        match self {
            Self::Short | Self::Changing => Errno::EAGAIN,
            Self::Exists => Errno::EEXIST,
            Self::Gone => Errno::ESRCH,
            Self::Unmapped => Errno::ENOENT,
            Self::Source => Errno::EFAULT,
            Self::NoMemory => Errno::ENOMEM,
            Self::Busy => Errno::EBUSY,
            Self::Invalid => Errno::EINVAL,
            Self::Interrupted => Errno::EINTR,
            Self::Other(errno) => errno,
        }
    }
}

impl From<Stop> for Errno {
    #[inline]
    fn from(stop: Stop) -> Self {
        stop.errno()
    }
}

/// How far a fill got, and why not farther.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a fill can stop early, and a page that is not filled is still missing"]
pub struct Filled {
    /// Bytes filled, from the start of the range on. Never an error in
    /// disguise.
    pub done: usize,
    /// `None`: all of it.
    pub stop: Option<Stop>,
}

impl Filled {
    /// The bytes if it was all of it, else the error; the count is lost.
    #[inline]
    pub fn all(self) -> Result<usize, Errno> {
        match self.stop {
            None => Ok(self.done),
            Some(stop) => Err(stop.errno()),
        }
    }

    pub(super) const fn stopped(stop: Stop) -> Self {
        Self {
            done: 0,
            stop: Some(stop),
        }
    }

    /// From the result of the request and the field that it may have written.
    ///
    /// The cause is the result's. The field is a count only when it is
    /// positive: for "nothing" some kernels write an errno there and others
    /// write nothing at all.
    fn answer(result: Result<(), Errno>, field: i64, len: usize) -> Self {
        match result {
            Ok(()) => Self {
                done: len,
                stop: None,
            },
            Err(_) if field > 0 => Self {
                done: (field as usize).min(len),
                stop: Some(Stop::Short),
            },
            Err(errno) => Self::stopped(Stop::of(errno)),
        }
    }
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.done, f)?;
        f.write_str(" bytes filled")?;
        if let Some(stop) = self.stop {
            f.write_str(", then ")?;
            fmt::Display::fmt(&stop.errno(), f)?;
        }
        Ok(())
    }
}

/// What a fill does when a page is there already.
#[derive(Clone, Copy)]
enum Existing {
    Stop,
    /// Goes on behind it; the size of a page.
    Skip(usize),
}

/// Repeats `once` from where it came to, until the cause is known.
fn go_on(
    uffd: &Userfaultfd,
    range: PageRange,
    wake: bool,
    existing: Existing,
    mut once: impl FnMut(PageRange, usize) -> Filled,
) -> Filled {
    let mut done = 0;
    loop {
        let rest = range.after(done);
        let filled = once(rest, done);
        done = done.saturating_add(filled.done);
        match (filled.stop, existing) {
            // The count is positive, so this ends.
            (Some(Stop::Short), _) => {}
            (Some(Stop::Exists), Existing::Skip(page_size)) if page_size > 0 => {
                if wake {
                    // The range is registered; who waits, must not wait for
                    // a page that is there.
                    let _ = uffd.wake(PageRange::new(rest.start(), page_size));
                }
                done = done.saturating_add(page_size);
                if done >= range.len() {
                    let done = range.len();
                    return Filled { done, stop: None };
                }
            }
            (Some(Stop::Exists), _) => {
                if wake {
                    let _ = uffd.wake(rest);
                }
                let stop = filled.stop;
                return Filled { done, stop };
            }
            (stop, _) => return Filled { done, stop },
        }
    }
}
