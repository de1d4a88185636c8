//! How a pager is to be, and why it cannot.

use super::{Recorder, Region, TableError};
use crate::errno::Errno;
use crate::fd::BorrowedFd;
use crate::userfaultfd::PageRange;
use crate::vdso::Vdso;
use core::fmt;

/// What becomes of a page that the source failed to give. Never zeros.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum OnFailure<'a> {
    /// Who touches it waits, and the source is asked again, after 1 ms and
    /// ever more rarely, up to twice a second, or when
    /// [`kick`](super::Pager::kick)ed.
    #[default]
    Stall,
    /// Who touches it gets a `SIGBUS`, now and always; the others go on. Needs
    /// [`Features::POISON`](crate::userfaultfd::Features::POISON).
    Poison,
    /// The process that this pidfd is of gets a `SIGKILL`. That the handlers end
    /// with it, say by [`PagerOptions::process`]: as long as the source fails,
    /// nothing is filled that would show that nobody is there.
    Kill(BorrowedFd<'a>),
}

/// How a [`Pager`](super::Pager) is to be.
///
/// ```
/// use barecall::pager::{
///     OnFailure, Pager, PagerError, PagerOptions, Region, RegionTable, SliceSource,
/// };
/// use barecall::userfaultfd::UserfaultfdOptions;
/// use barecall::vdso::Vdso;
///
/// const PAGE: usize = 4096;
/// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
/// let source = SliceSource(&[]);
/// let make = |options| {
///     Pager::new(&uffd, &source, RegionTable::new(&mut []), options).map(Pager::shutdown)
/// };
///
/// let options = PagerOptions::new(PAGE).block(2 << 20).vdso(Vdso::NONE);
/// assert_eq!(make(options), Ok(()));
/// assert_eq!(make(options.block(48 << 10)), Err(PagerError::Block));
/// // Poison has to be asked for when the userfaultfd is opened.
/// let options = options.on_failure(OnFailure::Poison);
/// assert_eq!(make(options), Err(PagerError::NoPoison));
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct PagerOptions<'a> {
    pub(super) page_size: usize,
    pub(super) block: usize,
    pub(super) on_failure: OnFailure<'a>,
    pub(super) recorder: Option<&'a Recorder<'a>>,
    pub(super) process: Option<BorrowedFd<'a>>,
    pub(super) vdso: Vdso,
}

impl<'a> PagerOptions<'a> {
    /// Blocks of 64 KiB, [`OnFailure::Stall`]; `page_size` is that of the
    /// machine, from [`auxv`](crate::auxv) for example.
    pub const fn new(page_size: usize) -> Self {
        const DEFAULT: usize = 64 << 10;
        Self {
            page_size,
            block: if page_size > DEFAULT {
                page_size
            } else {
                DEFAULT
            },
            on_failure: OnFailure::Stall,
            recorder: None,
            process: None,
            vdso: Vdso::NONE,
        }
    }

    /// How many bytes a fault brings in: a power of two from the page size to
    /// 2 MiB. Less where the region or the mapping ends, or the staging buffer
    /// is shorter; for huge pages, at least one of them.
    ///
    /// A small block is a little faster for a single page, and several times
    /// slower for many: the way to the handler and back costs more than 16
    /// pages.
    pub const fn block(mut self, bytes: usize) -> Self {
        self.block = bytes;
        self
    }

    /// What becomes of pages that cannot be had.
    ///
    /// ```
    /// use barecall::pager::{At, Fill, OnFailure, PageSource, Pager, PagerOptions, Region, RegionTable};
    /// use barecall::userfaultfd::{
    ///     Access, Features, MappedRegion, OpenError, RegisterModes, UserfaultfdOptions,
    /// };
    /// use barecall::{Errno, io, nr, syscall};
    ///
    /// /// A disk of which the second page cannot be read.
    /// struct Disk;
    /// impl PageSource for Disk {
    ///     fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
    ///         match at.offset..at.offset + into.len() as u64 {
    ///             bad if bad.contains(&4096) => Fill::Failed(Errno::EIO),
    ///             _ => {
    ///                 into.fill(7);
    ///                 Fill::Bytes
    ///             }
    ///         }
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// // So that system calls that touch the memory wait, too.
    /// let options = UserfaultfdOptions::new().access(Access::Kernel).require(Features::POISON);
    /// let uffd = match options.open_any() {
    ///     Ok(opened) => opened.userfaultfd,
    ///     // Before Linux 6.6; or without the privilege.
    ///     Err(OpenError::Missing(_) | OpenError::Open { .. }) => return Ok(()),
    ///     Err(other) => return Err(other.into()),
    /// };
    /// let memory = MappedRegion::anonymous(&uffd, 4 * PAGE, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let options = PagerOptions::new(PAGE).on_failure(OnFailure::Poison);
    /// let pager = Pager::new(&uffd, &Disk, table, options)?;
    ///
    /// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| pager.serve(&mut [0; 4 * PAGE]));
    ///     use barecall::fd::AsFd;
    ///     // A touch by the program itself would be a SIGBUS.
    ///     // SAFETY: mapped memory.
    ///     let written = unsafe { syscall!(nr::WRITE, writer.as_fd(), memory.as_ptr().add(PAGE), 1) };
    ///     assert_eq!(written, Err(Errno::EFAULT));
    ///     // Its neighbours are as they should be.
    ///     let mut bytes = [0; 2];
    ///     memory.read_at(&mut bytes[..1], 0);
    ///     memory.read_at(&mut bytes[1..], 2 * PAGE);
    ///     assert_eq!(bytes, [7, 7]);
    ///     pager.stop();
    /// });
    /// assert_eq!(pager.stats().poisoned, PAGE as u64);
    /// # drop(reader);
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub const fn on_failure(mut self, policy: OnFailure<'a>) -> Self {
        self.on_failure = policy;
        self
    }

    /// The process whose memory it is, as a pidfd: when it ends, the handlers
    /// do. Needless for the memory of one's own process.
    pub const fn process(mut self, pidfd: BorrowedFd<'a>) -> Self {
        self.process = Some(pidfd);
        self
    }

    /// Where to read the clock, which [`Pager`](super::Pager) does twice a fault:
    /// for [`Stats::latency`](super::Stats::latency), and for what is put off.
    ///
    /// By the system call if this is not said. Then a fault whose contents are
    /// in memory is five system calls; with this, three, if the machine's clock
    /// can be read without the kernel: `ppoll`, `read` and what fills.
    /// [`SelfPager`](super::SelfPager) reads no clock.
    ///
    /// ```
    /// use barecall::auxv::{Auxv, Entry};
    /// use barecall::pager::PagerOptions;
    /// use barecall::vdso::Vdso;
    ///
    /// let mut entries = [Entry::NULL; Auxv::ROOM];
    /// // SAFETY: the kernel's own, of this process.
    /// let vdso = unsafe { Vdso::from_auxv(Auxv::read_proc(&mut entries)?) };
    /// let options = PagerOptions::new(4096).vdso(vdso);
    /// # let _ = options;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub const fn vdso(mut self, vdso: Vdso) -> Self {
        self.vdso = vdso;
        self
    }

    /// Where to record which blocks were asked for.
    pub const fn record(mut self, recorder: &'a Recorder<'a>) -> Self {
        self.recorder = Some(recorder);
        self
    }
}

impl PagerOptions<'_> {
    pub(super) const fn are_valid(&self) -> bool {
        const LARGEST: usize = 2 << 20;
        self.page_size.is_power_of_two()
            && self.block.is_power_of_two()
            && self.page_size >= 4096
            && self.block >= self.page_size
            && self.block <= LARGEST
    }

    /// The block that a page is in, as much of it as is one region and as the
    /// staging buffer holds.
    pub(super) fn block_around(
        &self,
        region: &Region,
        page: PageRange,
        staging: usize,
    ) -> PageRange {
        let room = staging.checked_ilog2().map_or(0, |log2| 1_usize << log2);
        let size = self.block.min(room).max(page.len());
        PageRange::page_of(page.start(), size)
            .intersection(region.range())
            .unwrap_or(page)
    }
}

/// Why a pager cannot be, or does not go on. Nothing is lost by it: who waits
/// for a page goes on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PagerError {
    /// The page size is no power of two from 4096 on, or the block is not, or
    /// is smaller than that or larger than 2 MiB.
    Block,
    /// The descriptor is blocking, which cannot be polled.
    Blocking,
    /// [`OnFailure::Poison`] without
    /// [`Features::POISON`](crate::userfaultfd::Features::POISON).
    NoPoison,
    /// [`Features::SIGBUS`](crate::userfaultfd::Features::SIGBUS) is for
    /// [`SelfPager`](super::SelfPager), which needs it, and no `EVENT_*`.
    Features,
    /// The memory of the source is in a region: to read it would wait for
    /// itself.
    SourceServed,
    /// The staging buffer is in a region: to write it would wait for itself.
    StagingServed,
    /// The staging buffer is shorter than the largest page of the regions.
    StagingTooSmall,
    /// The table of regions may be too small for what the next message says.
    /// It has not been read; give more room by
    /// [`grow_table`](super::Pager::grow_table) and serve again.
    TableFull,
    /// A region cannot be added.
    Table(TableError),
    /// A system call failed.
    Os(Errno),
}

impl fmt::Display for PagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Block => "page size or block is no power of two, or out of range",
            Self::Blocking => "the userfaultfd is blocking",
            Self::NoPoison => "the userfaultfd cannot poison",
            Self::Features => "the userfaultfd has other features than it should",
            Self::SourceServed => "the source is served by its own pager",
            Self::StagingServed => "the staging buffer is served by its own pager",
            Self::StagingTooSmall => "the staging buffer is shorter than a page",
            Self::TableFull => "the table of regions needs more room",
            Self::Table(error) => return fmt::Display::fmt(error, f),
            Self::Os(errno) => return fmt::Display::fmt(errno, f),
        })
    }
}

impl core::error::Error for PagerError {}

impl From<Errno> for PagerError {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

impl From<TableError> for PagerError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// [`stop`](super::Pager::stop) was called.
    Stopped,
    /// The process whose memory it is has ended.
    Gone,
    /// [`drain`](super::Pager::drain) found nothing more to do.
    Drained,
    /// [`drain`](super::Pager::drain) came to its time limit.
    TimedOut,
}
