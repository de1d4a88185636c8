//! Faults served by the thread that has them.

use super::clock::pause;
use super::job::{Filler, Job, Outcome};
use super::queue::Why;
use super::source::refuse_own_memory;
use super::stats::{Counters, Stats, add};
use super::{OnFailure, PageSource, PagerError, PagerOptions, Reason, RegionTable, TOLD};
use crate::errno::Errno;
use crate::signal::{
    self, Details, Disposition, InfoHandler, SaFlags, Sigaction, Siginfo, Signal, sigaction,
    sigaction_get,
};
use crate::thread::sched_yield;
use crate::userfaultfd::{Features, PageRange, Userfaultfd};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

/// Serves faults in the thread that has them, in a handler of `SIGBUS`: no
/// other thread, no switch to one, no message.
///
/// The userfaultfd has [`Features::SIGBUS`]: a touch of a missing page is a
/// signal. [`self_pager!`](crate::self_pager!) makes the handler; it calls
/// [`Self::handle`], and passes on what is not this pager's.
///
/// **Its limits.**
/// - Only what the program's own instructions touch. A *system call* that meets
///   a missing page, `read` into it or `write` from it, says `EFAULT`; so does
///   whatever the kernel does for KVM.
/// - The source runs in a signal handler, between any two instructions of the
///   program, on the stack of the thread that faults: it must be
///   async-signal-safe. No allocation, no lock that the program may hold, no
///   stdio. And on one's own stack: do not serve stacks.
/// - A fault while `SIGBUS` is blocked ends the process: that of a source which
///   touches what it serves, and that of another signal's handler which
///   interrupts the source and touches a missing page.
/// - The table does not change, and there are no events: what is discarded
///   comes from the source again. In a child after `fork`, and where `mremap`
///   has moved it to, the memory is registered no more: **what is missing there
///   is zeros**. (`MADV_DONTFORK`: a child does not have it at all.)
/// - A page that cannot be had is, for [`Fill::Poison`](super::Fill::Poison)
///   and [`OnFailure::Poison`], a `SIGBUS` that is passed on to the former
///   action, which usually ends the process; for [`OnFailure::Stall`], the
///   thread sleeps and asks again.
///
/// As a [`Pager`](super::Pager), it keeps a duplicate of the descriptor, and
/// never closes it: it is to live as long as the process.
pub struct SelfPager<'a, S: PageSource + ?Sized> {
    uffd: ManuallyDrop<Userfaultfd>,
    source: &'a S,
    table: RegionTable<'a>,
    options: PagerOptions<'a>,
    counters: Counters,
    /// Buffers of a block each; which of them are in use is in `busy`.
    staging: *mut u8,
    each: usize,
    count: usize,
    busy: AtomicU64,
}

// SAFETY: the buffers are its own, and `busy` says whose they are at present.
unsafe impl<S: PageSource + ?Sized> Send for SelfPager<'_, S> {}
// SAFETY: as above; the table is only read, and the source is `Sync`.
unsafe impl<S: PageSource + ?Sized> Sync for SelfPager<'_, S> {}

impl<'a, S: PageSource + ?Sized> SelfPager<'a, S> {
    /// Makes one; `fcntl` (`F_DUPFD_CLOEXEC`). It serves nothing before
    /// [`Self::handle`] is called by a signal handler.
    ///
    /// `staging` is cut into blocks; as many threads can be served at one time
    /// as there are, 64 at most. The others wait.
    ///
    /// # Errors
    ///
    /// [`PagerError::Features`]: without `SIGBUS`, or with one of `EVENT_*`;
    /// else as [`Pager::new`](super::Pager::new).
    pub fn new(
        uffd: &Userfaultfd,
        source: &'a S,
        table: RegionTable<'a>,
        staging: &'a mut [u8],
        options: PagerOptions<'a>,
    ) -> Result<Self, PagerError> {
        if !options.are_valid() {
            return Err(PagerError::Block);
        }
        let features = uffd.features();
        if !features.contains(Features::SIGBUS) || features.intersects(TOLD) {
            return Err(PagerError::Features);
        }
        let each = options.block.max(table.largest_page());
        let count = staging.len().checked_div(each).unwrap_or(0).min(64);
        if count == 0 {
            return Err(PagerError::StagingTooSmall);
        }
        let buffers = PageRange::of_memory(staging.as_ptr(), staging.len());
        if table.overlaps(buffers) {
            return Err(PagerError::StagingServed);
        }
        refuse_own_memory(source, table.regions())?;
        Ok(Self {
            uffd: ManuallyDrop::new(uffd.try_clone()?),
            source,
            table,
            options,
            counters: Counters::new(),
            staging: staging.as_mut_ptr(),
            each,
            count,
            busy: AtomicU64::new(0),
        })
    }

    /// What has been done until now. Latencies are not measured.
    ///
    /// See [`Self::handle`] for an example.
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Serves the fault of the calling thread at `address`; async-signal-safe.
    ///
    /// `false`: it is in no region, or the page cannot be had, and the signal
    /// is somebody else's.
    ///
    /// Also without a signal, for a page that is about to be needed:
    ///
    /// ```
    /// use barecall::pager::{PagerOptions, Region, RegionTable, SelfPager, SliceSource};
    /// use barecall::userfaultfd::{Features, MappedRegion, RegisterModes, UserfaultfdOptions};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// const PAGE: usize = 4096;
    /// let snapshot = vec![7; 1 << 20];
    /// let uffd = UserfaultfdOptions::new().require(Features::SIGBUS).open_any()?.userfaultfd;
    /// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
    /// let mut room = [Region::EMPTY; 4];
    /// let mut table = RegionTable::new(&mut room);
    /// table.insert(Region::new(memory.range(), 0, PAGE))?;
    /// let (source, mut staging) = (SliceSource(&snapshot), [0; 64 << 10]);
    /// let pager = SelfPager::new(&uffd, &source, table, &mut staging, PagerOptions::new(PAGE))?;
    ///
    /// assert!(pager.handle(memory.range().start() + 123_456));
    /// // The block is there.
    /// memory.read_at(&mut [0; 64], 123_456);
    /// assert!(!pager.handle(memory.range().end()));
    /// let stats = pager.stats();
    /// assert_eq!((stats.missing, stats.stray, stats.copied), (1, 1, 64 << 10));
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self, address: usize) -> bool {
        let Some(region) = self.table.find(address) else {
            add(&self.counters.stray, 1);
            return false;
        };
        add(&self.counters.missing, 1);
        let page = PageRange::page_of(address, region.page_size());
        let job = Job {
            region,
            changes: self.table.changes(),
            block: self.options.block_around(&region, page, self.each),
            page,
            reason: Reason::Missing,
            write: false,
        };
        let filler = Filler {
            uffd: &self.uffd,
            source: self.source,
            counters: &self.counters,
            options: &self.options,
            table: None,
        };
        let mut delay = 100_000;
        loop {
            let outcome = {
                let mut buffer = self.buffer();
                filler.fill(buffer.bytes(), job)
            };
            match outcome {
                Outcome::Done(_) => return true,
                Outcome::Changed | Outcome::Again(Why::Changing) => sched_yield(),
                Outcome::Again(Why::Failed)
                    if !matches!(self.options.on_failure, OnFailure::Stall) =>
                {
                    return false;
                }
                Outcome::Again(_) => {
                    pause(delay);
                    delay = delay.saturating_mul(2).min(500_000_000);
                }
                Outcome::Lost | Outcome::Gone => return false,
            }
        }
    }

    /// Waits for a buffer that no other thread has.
    fn buffer(&self) -> Buffer<'_> {
        loop {
            let busy = self.busy.load(Relaxed);
            let index = busy.trailing_ones() as usize;
            let bit = 1_u64.checked_shl(index as u32).unwrap_or(0);
            if index < self.count {
                let taken = self
                    .busy
                    .compare_exchange_weak(busy, busy | bit, Acquire, Relaxed);
                if taken.is_ok() {
                    return Buffer {
                        start: self.staging.wrapping_add(index.wrapping_mul(self.each)),
                        len: self.each,
                        bit,
                        busy: &self.busy,
                    };
                }
            } else {
                sched_yield();
            }
        }
    }
}

impl<S: PageSource + ?Sized> fmt::Debug for SelfPager<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfPager")
            .field("userfaultfd", &*self.uffd)
            .field("table", &self.table)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A buffer that is this thread's until it is dropped.
struct Buffer<'p> {
    start: *mut u8,
    len: usize,
    bit: u64,
    busy: &'p AtomicU64,
}

impl Buffer<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: a part of the slice that the pager was given, and the bit
        // says that it is ours alone.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        self.busy.fetch_and(!self.bit, Release);
    }
}

/// The static that a handler of `SIGBUS` needs: which pager, and what the
/// action was before. Made by [`self_pager!`](crate::self_pager!).
pub struct SelfPagerSlot<S: PageSource + 'static> {
    pager: AtomicPtr<SelfPager<'static, S>>,
    state: AtomicUsize,
    former: UnsafeCell<MaybeUninit<Sigaction>>,
}

/// Nobody has installed it.
const FREE: usize = 0;
/// Installed, or about to be.
const TAKEN: usize = 1;

// SAFETY: `former` is written once, by who took the slot, before the handler
// that reads it is installed.
unsafe impl<S: PageSource> Sync for SelfPagerSlot<S> {}

impl<S: PageSource> SelfPagerSlot<S> {
    /// One that is not installed.
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Self {
        Self {
            pager: AtomicPtr::new(ptr::null_mut()),
            state: AtomicUsize::new(FREE),
            former: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// `rt_sigaction` twice: makes `handler` the action of `SIGBUS`, and keeps
    /// the former one to pass signals on to.
    ///
    /// # Safety
    ///
    /// `handler` does nothing but call [`Self::on_signal`] of this slot, and
    /// the promise is that of [`sigaction`].
    ///
    /// # Errors
    ///
    /// `EALREADY`: this has been called before.
    pub unsafe fn install(
        &self,
        pager: &'static SelfPager<'static, S>,
        handler: InfoHandler,
    ) -> Result<(), Errno> {
        let taken = self.state.compare_exchange(FREE, TAKEN, AcqRel, Relaxed);
        if taken.is_err() {
            return Err(Errno::EALREADY);
        }
        let former = sigaction_get(Signal::SIGBUS)?;
        // SAFETY: this thread has taken the slot, and nobody reads it yet.
        unsafe { (*self.former.get()).write(former) };
        self.pager.store(ptr::from_ref(pager).cast_mut(), Release);
        let action = Sigaction::info(handler).flags(SaFlags::RESTART);
        // SAFETY: the caller's promise; what is not for the pager is passed on.
        unsafe { sigaction(Signal::SIGBUS, &action) }?;
        Ok(())
    }

    /// What the handler does: serves the fault, or passes the signal on to the
    /// former action. (The default action ends the process.)
    ///
    /// # Safety
    ///
    /// Called by the handler that [`Self::install`] installed, with what that
    /// was given.
    ///
    /// [`self_pager!`](crate::self_pager!) writes that handler.
    pub unsafe fn on_signal(&self, signal: Signal, info: &mut Siginfo, context: *mut c_void) {
        let fault = match info.details() {
            Details::Fault { addr } => Some(addr),
            // Poisoned memory is there, and cannot be filled: to go on would be
            // to come back here for ever.
            _ => None,
        };
        // SAFETY: null, or a static reference.
        let pager = unsafe { self.pager.load(Acquire).as_ref() };
        if let (Some(address), Some(pager)) = (fault, pager)
            && pager.handle(address.expose_provenance())
        {
            return;
        }
        let is_sent = info.fault_addr().is_none();
        // SAFETY: written before the handler was installed.
        let former = unsafe { (*self.former.get()).assume_init_ref() };
        match former.disposition() {
            // SAFETY: somebody installed it for this signal.
            Disposition::Handler(handler) => unsafe { handler(signal) },
            // SAFETY: as above.
            Disposition::Info(handler) => unsafe { handler(signal, info, context) },
            Disposition::Ignore if is_sent => {}
            _ => {
                // An ignored fault ends the process too.
                // SAFETY: nothing is left that would rely on another action.
                let _ = unsafe { sigaction(signal, &Sigaction::DEFAULT) };
                if is_sent {
                    // It is not repeated by returning.
                    let _ = signal::raise(signal);
                }
            }
        }
    }
}

impl<S: PageSource> fmt::Debug for SelfPagerSlot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelfPagerSlot")
    }
}

/// Makes the function that installs a [`SelfPager`](crate::pager::SelfPager)
/// as the action of `SIGBUS`, and the static that belongs to it, in the
/// caller's crate. The former action gets what is not the pager's.
///
/// The function takes a `&'static SelfPager<'static, Source>`, is `unsafe` as
/// [`sigaction`](crate::signal::sigaction) is, and gives
/// `Result<(), Errno>`: `EALREADY` for a second call.
///
/// ```
/// use barecall::pager::{PagerOptions, Region, RegionTable, SelfPager, SliceSource};
/// use barecall::userfaultfd::{Features, MappedRegion, RegisterModes, UserfaultfdOptions};
///
/// barecall::self_pager!(fn install: SliceSource<'static>);
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const PAGE: usize = 4096;
/// static SNAPSHOT: [u8; 1 << 20] = [7; 1 << 20];
/// static SOURCE: SliceSource<'static> = SliceSource(&SNAPSHOT);
///
/// let uffd = UserfaultfdOptions::new().require(Features::SIGBUS).open_any()?.userfaultfd;
/// let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
/// let mut table = RegionTable::new(Box::leak(Box::new([Region::EMPTY; 4])));
/// table.insert(Region::new(memory.range(), 0, PAGE))?;
/// let staging = Box::leak(vec![0; 4 * (64 << 10)].into_boxed_slice());
/// let pager = SelfPager::new(&uffd, &SOURCE, table, staging, PagerOptions::new(PAGE))?;
/// // SAFETY: nobody else here handles SIGBUS, and the source only looks up a slice.
/// unsafe { install(Box::leak(Box::new(pager))) }?;
///
/// let mut byte = [0];
/// memory.read_at(&mut byte, 12345);
/// assert_eq!(byte, [7]);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! self_pager {
    ($(#[$meta:meta])* $visibility:vis fn $install:ident: $source:ty) => {
        $(#[$meta])*
        $visibility unsafe fn $install(
            pager: &'static $crate::pager::SelfPager<'static, $source>,
        ) -> ::core::result::Result<(), $crate::Errno> {
            static SLOT: $crate::pager::SelfPagerSlot<$source> =
                $crate::pager::SelfPagerSlot::new();
            unsafe extern "C" fn on_sigbus(
                signal: $crate::signal::Signal,
                info: &mut $crate::signal::Siginfo,
                context: *mut ::core::ffi::c_void,
            ) {
                // SAFETY: installed below, and called by the kernel.
                unsafe { SLOT.on_signal(signal, info, context) }
            }
            // SAFETY: the handler is the one above; the rest is the caller's
            // promise.
            unsafe { SLOT.install(pager, on_sigbus) }
        }
    };
}
