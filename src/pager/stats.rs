//! What has been done, counted.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many powers of two of nanoseconds [`Stats::latency`] tells apart.
pub const BUCKETS: usize = 40;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a pager has done until now.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// How long faults took, from their message being read to their
            /// page being there: at `i`, how many took at least `1 << i` and
            /// less than `2 << i` nanoseconds (the first and the last also
            /// what is below and above). Those that were deferred are in it
            /// with all their time.
            pub latency: [u64; BUCKETS],
        }

        #[derive(Debug)]
        pub(super) struct Counters {
            $(pub $name: AtomicU64,)*
            latency: [AtomicU64; BUCKETS],
        }

        impl Counters {
            pub const fn new() -> Self {
                Self {
                    $($name: AtomicU64::new(0),)*
                    latency: [const { AtomicU64::new(0) }; BUCKETS],
                }
            }

            pub fn snapshot(&self) -> Stats {
                let mut latency = [0; BUCKETS];
                for (to, from) in latency.iter_mut().zip(&self.latency) {
                    *to = from.load(Relaxed);
                }
                Stats {
                    $($name: self.$name.load(Relaxed),)*
                    latency,
                }
            }
        }
    };
}

counters! {
    /// Faults where there was no page, as read: a page that two threads touch
    /// counts twice.
    missing,
    /// Faults where the file had the page.
    minor,
    /// Faults of write-protected pages.
    write_protect,
    /// Faults of protected pages.
    rwp,
    /// Faults for reasons that this version does not know, and unknown
    /// messages.
    unknown,
    /// Faults outside of every region, or for an unknown reason.
    stray,
    /// Calls of the source.
    asked,
    /// Bytes copied.
    copied,
    /// Bytes of zeros that the kernel made. Where it makes none, of huge pages
    /// and protected ones, zeros are copied, and count there.
    zeroed,
    /// Bytes that were in the file already, and mapped.
    mapped,
    /// Bytes poisoned.
    poisoned,
    /// Pages that turned out to be there already.
    exists,
    /// Faults put off because the process was changing its mappings.
    changing,
    /// Faults put off because the source said later.
    later,
    /// Failures of the source, or of putting what it gave.
    failed,
    /// The most faults that were put off at one time.
    deferred_most,
    /// Faults for which there was no room to put them off, and which came
    /// again.
    overflowed,
    /// Children told of.
    forks,
    /// Moves told of.
    remaps,
    /// Discards told of.
    removes,
    /// Unmappings told of.
    unmaps,
    /// Blocks filled by prefetching or replaying.
    prefetched,
}

impl Counters {
    pub fn took(&self, nanoseconds: u64) {
        let bucket = nanoseconds.checked_ilog2().unwrap_or(0) as usize;
        let last = BUCKETS.saturating_sub(1);
        if let Some(bucket) = self.latency.get(bucket.min(last)) {
            bucket.fetch_add(1, Relaxed);
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}

impl Stats {
    /// All faults that were read, but those of [`Self::unknown`].
    ///
    /// See [`Pager::prefetch`](super::Pager::prefetch) for an example.
    pub fn faults(&self) -> u64 {
        self.missing
            .saturating_add(self.minor)
            .saturating_add(self.write_protect)
            .saturating_add(self.rwp)
    }
}
