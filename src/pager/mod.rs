//! Serving page faults from a source of pages: what everybody writes by hand
//! over [`userfaultfd`](crate::userfaultfd). (Feature `pager`.)
//!
//! A program gives a [`PageSource`], which knows the contents, a table of
//! [`Region`]s, which says what is where, and a thread. A [`Pager`] does the
//! rest.
//!
//! ```
//! use barecall::pager::{Pager, PagerOptions, Region, RegionTable, SliceSource};
//! use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const PAGE: usize = 4096;
//! let snapshot: Vec<u8> = (0..1 << 20).map(|i| (i / PAGE) as u8).collect();
//!
//! let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
//! let memory = MappedRegion::anonymous(&uffd, snapshot.len(), RegisterModes::MISSING)?;
//!
//! let source = SliceSource(&snapshot);
//! let mut room = [Region::EMPTY; 16];
//! let mut table = RegionTable::new(&mut room);
//! table.insert(Region::new(memory.range(), 0, PAGE))?;
//! let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
//!
//! std::thread::scope(|scope| {
//!     scope.spawn(|| pager.serve(&mut vec![0; 64 << 10]));
//!     // Nothing is there yet. Each read brings in 64 KiB.
//!     let mut bytes = [0; 2];
//!     memory.read_at(&mut bytes, 77 * PAGE);
//!     assert_eq!(bytes, [77; 2]);
//!     pager.stop();
//! });
//! drop(memory);
//! pager.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! # What it takes care of
//!
//! - **Blocks.** A fault costs two switches of threads, several times the price
//!   of a page. So each brings in a block, 64 KiB unless [asked
//!   otherwise](PagerOptions::block), clipped to the region, and to the mapping
//!   where an `mprotect` has cut it.
//! - **Discarded memory is zeros**, with [`EVENT_REMOVE`]: what the process gave
//!   up does not come back from the source, also when a handler was just about
//!   to fill it. With [`EVENT_UNMAP`] and [`EVENT_REMAP`], the table follows what
//!   is unmapped and moved. A [fork](PageSource::forked) gets its own
//!   descriptor and the regions as they were.
//! - **A process that is changing its mappings** refuses to be filled until that
//!   has been read and done. Such a fault is put off, and tried again, with
//!   growing pauses.
//! - **A source that fails** makes who waits for its page wait on, get a
//!   `SIGBUS`, or be killed ([`OnFailure`]). Never zeros.
//! - **A handler that ends** gives up the faults that it held, and they come
//!   again. The pager keeps the descriptor open until [`Pager::shutdown`], so that
//!   nobody reads zeros meanwhile.
//! - **Two threads at one page**, two handlers, a signal that lets a thread
//!   fault twice, a page that prefetching brought in: all the same, the first
//!   contents stay.
//! - **Deadlocks**: a staging buffer or a slice that lies in memory which is
//!   served is refused, where the userfaultfd was opened in this process. (Of a
//!   received one, nobody here knows whose addresses they are.)
//!
//! [`Access::Kernel`]: crate::userfaultfd::Access::Kernel
//! [`EVENT_FORK`]: crate::userfaultfd::Features::EVENT_FORK
//! [`EVENT_REMOVE`]: crate::userfaultfd::Features::EVENT_REMOVE
//! [`EVENT_UNMAP`]: crate::userfaultfd::Features::EVENT_UNMAP
//! [`EVENT_REMAP`]: crate::userfaultfd::Features::EVENT_REMAP
//!
//! # What is left to the caller
//!
//! - **Registering**, by [`MappedRegion`] or by hand, and telling the pager:
//!   a fault outside of every region waits until the region is
//!   [added](Pager::add).
//! - **Memory**: the table and the staging buffers are the caller's. Nothing
//!   is allocated. When the table could be too small for the next message,
//!   serving ends with [`PagerError::TableFull`] *before* that is read, and can
//!   go on with [more room](Pager::grow_table).
//! - **Threads**: of std, or of [`thread::spawn`](crate::thread::spawn). Where
//!   they run is not touched, unless by [`Pager::serve_on`]; on the processor
//!   of the faulting thread is fastest.
//! - **What no message tells.** Memory that `mremap` made longer is in no
//!   region where it is new, and neither is what `MREMAP_DONTUNMAP` left behind: add
//!   them. Without `EVENT_REMOVE`, the pager knows nothing of discarded memory, and
//!   the source's contents come back. Without `EVENT_REMAP`, the kernel
//!   registers no more what is moved, and without [`EVENT_FORK`], nothing of a
//!   child's memory: **what is missing there is zeros**. (`MADV_DONTFORK`: a
//!   child does not have that memory at all.)
//! - **Changing mappings one at a time**, with `EVENT_*`. The kernel sends the
//!   message after the change, so two threads' messages can come in the other
//!   order; if the one maps or moves something to where the other has just
//!   moved or unmapped something, or forks, what the table says is wrong then:
//!   a stall, or another region's contents. Let `munmap`, `mremap` and `fork`
//!   of registered memory, and new mappings to be registered, take turns.
//!   Discarding need not.
//! - **System calls**: one that meets a missing page, `read` into it say, waits
//!   only with [`Access::Kernel`]. With `Access::UserMode`, which is the default
//!   because it needs no privilege, it says `EFAULT`.
//! - **Not waiting for itself**: a handler, or the source, that unmaps, moves
//!   or discards registered memory, or forks, with the event of that, waits
//!   for ever for that to be read.
//!
//! [`MappedRegion`]: crate::userfaultfd::MappedRegion
//!
//! # Beside it
//!
//! - [`SelfPager`] serves in the thread that faults, in a signal handler.
//! - [`DirtyTracker`]: which pages were written, exactly, while others go on
//!   writing; [`WorkingSet`]: which were touched at all.
//! - [`handoff`]: memory that is served, handed to a handler in another
//!   process, and to the next one when that has died.

mod clock;
mod dirty;
mod fill;
pub mod handoff;
mod job;
mod lock;
mod options;
mod own;
mod queue;
mod record;
mod regions;
mod serve;
mod source;
mod stats;
mod working_set;

use crate::userfaultfd::Features;

pub use dirty::{Dirty, DirtyTracker, Method, TrackerError};
pub use options::{Ended, OnFailure, PagerError, PagerOptions};
pub use own::{SelfPager, SelfPagerSlot};
pub use record::{Block, BlockCell, Recorder};
pub use regions::{Contents, Region, RegionFlags, RegionTable, TableError};
pub use serve::Pager;
pub use source::{At, FileSource, Fill, InFile, PageSource, Reason, SliceSource};
pub use stats::{BUCKETS, Stats};
pub use working_set::{Touched, WorkingSet};

/// The events by which a process tells what it does to its mappings.
const TOLD: Features = Features::EVENT_FORK
    .union(Features::EVENT_REMAP)
    .union(Features::EVENT_REMOVE)
    .union(Features::EVENT_UNMAP);
