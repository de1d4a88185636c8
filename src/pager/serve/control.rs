//! Making a pager, what is done to it while it serves, and its end.

use super::Pager;
use crate::errno::Errno;
use crate::event::{self, EventFdFlags, PollFd, PollFlags};
use crate::fs::{self, OFlags};
use crate::io;
use crate::pager::clock::pause;
use crate::pager::lock::Lock;
use crate::pager::queue::{Queue, Why};
use crate::pager::source::refuse_own_memory;
use crate::pager::stats::{Counters, Stats};
use crate::pager::{
    OnFailure, PageSource, PagerError, PagerOptions, Recorder, Region, RegionTable, TOLD,
};
use crate::time::Timespec;
use crate::userfaultfd::{Features, PageRange, Stop, Userfaultfd, ZeroFlags};
use core::mem::ManuallyDrop;
use core::sync::atomic::AtomicU32;

/// What one kick counts; a nudge is 1.
const KICK: u64 = 1 << 32;

/// # Setting up
impl<'a, S: PageSource + ?Sized> Pager<'a, S> {
    /// Makes a pager for the regions of `table`, which are registered already
    /// or will be: `fcntl` (`F_GETFL`, `F_DUPFD_CLOEXEC`) and two `eventfd2`.
    ///
    /// # Errors
    ///
    /// See [`PagerError`]; `EMFILE`: too many descriptors.
    pub fn new(
        uffd: &Userfaultfd,
        source: &'a S,
        table: RegionTable<'a>,
        options: PagerOptions<'a>,
    ) -> Result<Self, PagerError> {
        if !options.are_valid() {
            return Err(PagerError::Block);
        }
        let features = uffd.features();
        if features.contains(Features::SIGBUS) {
            return Err(PagerError::Features);
        }
        if matches!(options.on_failure, OnFailure::Poison) && !features.contains(Features::POISON) {
            return Err(PagerError::NoPoison);
        }
        if !fs::fcntl_getfl(uffd)?.contains(OFlags::NONBLOCK) {
            return Err(PagerError::Blocking);
        }
        if uffd.is_local() {
            refuse_own_memory(source, table.regions())?;
        }
        let flags = EventFdFlags::CLOEXEC | EventFdFlags::NONBLOCK;
        let (stop, kick) = (event::eventfd(0, flags)?, event::eventfd(0, flags)?);
        Ok(Self {
            uffd: ManuallyDrop::new(uffd.try_clone()?),
            source,
            table: Lock::new(table),
            deferred: Lock::new(Queue::new()),
            options,
            events: features.intersects(TOLD),
            stop,
            kick,
            handlers: AtomicU32::new(0),
            counters: Counters::new(),
        })
    }

    /// The descriptor, of which this is a duplicate.
    pub fn userfaultfd(&self) -> &Userfaultfd {
        &self.uffd
    }

    /// The source.
    pub const fn source(&self) -> &'a S {
        self.source
    }

    /// The recorder that it was made with.
    pub const fn recorder(&self) -> Option<&Recorder<'_>> {
        self.options.recorder
    }

    /// What has been done until now.
    ///
    /// See [`Self::prefetch`] for an example.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Adds a region; who waits in it is served soon.
    ///
    /// With `EVENT_*`, this waits while the process is changing its mappings,
    /// which ends when a handler has read that: a message that is still on its
    /// way could mean the addresses of the new region. Not to be called by a
    /// handler. (Before Linux 5.15, the kernel does not tell two changes at one
    /// time apart.)
    ///
    /// # Errors
    ///
    /// [`PagerError::Table`], [`PagerError::SourceServed`].
    ///
    /// ```
    /// use barecall::pager::{Pager, PagerOptions, Region, RegionTable, SliceSource};
    /// use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::thread;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let snapshot = vec![7; 8 * PAGE];
    /// let (mut small, mut large) = ([Region::EMPTY; 4], [Region::EMPTY; 16]);
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let source = SliceSource(&snapshot);
    /// let table = RegionTable::new(&mut small);
    /// let pager = Pager::new(&uffd, &source, table, PagerOptions::new(PAGE))?;
    ///
    /// // Memory that is plugged in while handlers serve.
    /// let memory = MappedRegion::anonymous(&uffd, 8 * PAGE, RegisterModes::MISSING)?;
    /// thread::scope(|scope| {
    ///     scope.spawn(|| pager.serve(&mut [0; 8 * PAGE]));
    ///     // Whoever is first, waits for its region.
    ///     let reader = scope.spawn(|| memory.read_at(&mut [0; 8], PAGE));
    ///     pager.add(Region::new(memory.range(), 0, PAGE))?;
    ///     assert_eq!(reader.join().unwrap(), 8);
    ///
    ///     // The last two pages are unplugged.
    ///     pager.remove(memory.range().after(6 * PAGE))?;
    ///     let left = pager.with_regions(|regions| regions[0].range().len());
    ///     assert_eq!(left, 6 * PAGE);
    ///     assert_eq!(pager.grow_table(&mut large).map(|former| former.len()), Ok(4));
    ///
    ///     // Needless while all handlers live; for one that follows a dead one.
    ///     pager.wake_regions()?;
    ///     pager.stop();
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })?;
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn add(&self, region: Region) -> Result<(), PagerError> {
        if self.uffd.is_local() {
            refuse_own_memory(self.source, &[region])?;
        }
        loop {
            let mut table = self.table.write();
            // Nothing is read meanwhile. A request that would do nothing says
            // whether there is something to be read.
            let nothing = PageRange::new(0, 0);
            let probe = self.uffd.zero_once(nothing, ZeroFlags::empty());
            if self.events && probe.stop == Some(Stop::Changing) {
                drop(table);
                pause(50_000);
                continue;
            }
            table.insert(region)?;
            break;
        }
        self.deferred.write().hurry(&[Why::Stray]);
        self.kick();
        Ok(())
    }

    /// Takes the regions in `range` out. Who touches what is missing there,
    /// waits; the registration is as it was.
    ///
    /// # Errors
    ///
    /// [`PagerError::Table`]: no room for the pieces that are left.
    ///
    /// See [`Self::add`] for an example.
    pub fn remove(&self, range: PageRange) -> Result<(), PagerError> {
        Ok(self.table.write().remove(range)?)
    }

    /// Looks at the regions as they are now, while nothing is filled and no
    /// message is read: be quick, and do not touch what is served.
    ///
    /// See [`Self::add`] for an example.
    pub fn with_regions<T>(&self, look: impl FnOnce(&[Region]) -> T) -> T {
        look(self.table.write().regions())
    }

    /// Gives the table more room: copies it there, and gives the former room
    /// back.
    ///
    /// # Errors
    ///
    /// The room itself, when it is not more than there was.
    ///
    /// See [`Self::add`] for an example.
    pub fn grow_table(&self, room: &'a mut [Region]) -> Result<&'a mut [Region], &'a mut [Region]> {
        self.table.write().grow(room)
    }

    /// `UFFDIO_WAKE` of every region: who waits there, faults again.
    ///
    /// For a handler that takes over from one that died: the messages that the
    /// dead one had read come again.
    ///
    /// # Errors
    ///
    /// `EINVAL`: a region is not whole pages of the machine.
    ///
    /// See [`Self::add`] for an example.
    pub fn wake_regions(&self) -> Result<(), Errno> {
        for region in self.table.read().regions() {
            self.uffd.wake(region.range())?;
        }
        Ok(())
    }

    /// Makes all handlers return, now and in future, until [`Self::resume`].
    ///
    /// A handler that is inside its source returns when the source does.
    pub fn stop(&self) {
        // It fails only when it is full, and then it is set.
        let _ = io::write(&self.stop, &1_u64.to_ne_bytes());
    }

    /// After [`Self::stop`]: serving is possible again.
    ///
    /// See [`Self::drain`] for an example.
    pub fn resume(&self) {
        let _ = io::read(&self.stop, &mut [0; 8]);
    }

    /// Has every fault that was put off tried again at once: the source has
    /// what it had not, or works again.
    ///
    /// ```
    /// use barecall::pager::{At, Fill, PageSource, Pager, PagerOptions, Region, RegionTable};
    /// use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
    /// use std::sync::atomic::{AtomicBool, Ordering};
    ///
    /// /// Has nothing before somebody has received it.
    /// struct Network(AtomicBool);
    /// impl PageSource for Network {
    ///     fn page<'s>(&'s self, _: At, into: &'s mut [u8]) -> Fill<'s> {
    ///         if !self.0.load(Ordering::Acquire) {
    ///             return Fill::Later;
    ///         }
    ///         into.fill(7);
    ///         Fill::Bytes
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let network = Network(AtomicBool::new(false));
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let memory = MappedRegion::anonymous(&uffd, 4 * PAGE, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let pager = Pager::new(&uffd, &network, table, PagerOptions::new(PAGE))?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| pager.serve(&mut [0; 4 * PAGE]));
    ///     let reader = scope.spawn(|| memory.read_at(&mut [0; 8], PAGE));
    ///     while pager.stats().later == 0 {
    ///         std::thread::yield_now();
    ///     }
    ///     network.0.store(true, Ordering::Release);
    ///     pager.kick();
    ///     assert_eq!(reader.join().unwrap(), 8);
    ///     pager.stop();
    /// });
    /// # drop(memory);
    /// # pager.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    pub fn kick(&self) {
        let _ = io::write(&self.kick, &KICK.to_ne_bytes());
    }

    /// Has a handler that has nothing to do look when something is due.
    pub(super) fn nudge(&self) {
        let _ = io::write(&self.kick, &1_u64.to_ne_bytes());
    }

    /// After [`Self::kick`] or [`Self::nudge`]: whether it was a kick.
    pub(super) fn was_kicked(&self) -> bool {
        let mut count = [0; 8];
        let _ = io::read(&self.kick, &mut count);
        u64::from_ne_bytes(count) >= KICK
    }

    pub(super) fn is_stopped(&self) -> Result<bool, Errno> {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN)];
        match event::poll(&mut fds, Some(Timespec::ZERO)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Ends it, and gives the descriptor that it kept. Closed, it may be the
    /// last one, and then **who waits for a page reads zeros**.
    ///
    /// See [`Self::drain`] for an example.
    pub fn into_userfaultfd(self) -> Userfaultfd {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so each is taken once.
        unsafe {
            core::ptr::drop_in_place(&raw mut this.stop);
            core::ptr::drop_in_place(&raw mut this.kick);
            ManuallyDrop::take(&mut this.uffd)
        }
    }

    /// Ends it, and closes the descriptor that it kept.
    ///
    /// If that is the last one, **who waits for a page reads zeros**, and so
    /// does who comes later: unmap, or fill everything, first. (A
    /// [`MappedRegion`](crate::userfaultfd::MappedRegion) has a descriptor of
    /// its own and unmaps before it closes.)
    pub fn shutdown(self) {
        drop(self.into_userfaultfd());
    }
}
