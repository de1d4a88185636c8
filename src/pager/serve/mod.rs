//! The pager itself.

mod control;
mod faults;
mod handle;
mod prefetch;

use super::lock::Lock;
use super::queue::Queue;
use super::stats::Counters;
use super::{PageSource, PagerOptions, RegionTable};
use crate::fd::OwnedFd;
use crate::userfaultfd::Userfaultfd;
use core::fmt;
use core::mem::ManuallyDrop;
use core::sync::atomic::AtomicU32;

/// Serves the faults of a userfaultfd from a [`PageSource`].
///
/// It owns no thread and no memory: whoever calls [`Self::serve`] is a handler,
/// as many as there are callers; the table of regions and the staging buffers
/// are the caller's.
///
/// **It keeps a duplicate of the descriptor until [`Self::shutdown`]**, so that
/// nobody reads zeros because handlers are gone: who touches a missing page
/// waits for the next one. Dropped without, the duplicate stays open, unowned,
/// until the process ends.
///
/// A handler that returns gives up all that it had read: those faults come
/// again, for another handler.
///
/// See the [module](super) for an example.
pub struct Pager<'a, S: PageSource + ?Sized> {
    uffd: ManuallyDrop<Userfaultfd>,
    source: &'a S,
    table: Lock<RegionTable<'a>>,
    deferred: Lock<Queue>,
    options: PagerOptions<'a>,
    /// Whether messages can change the table. Then they are read under its
    /// lock: the process goes on as soon as one has been read, and nothing may
    /// be filled between that moment and the change.
    events: bool,
    stop: OwnedFd,
    kick: OwnedFd,
    handlers: AtomicU32,
    counters: Counters,
}

impl<S: PageSource + ?Sized> fmt::Debug for Pager<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("userfaultfd", &*self.uffd)
            .field("options", &self.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
