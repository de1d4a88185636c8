//! Faults that have been read: tokens that cannot be forgotten.

mod resolve;

pub use resolve::{Resolved, Unresolved};

use super::{Event, PageRange, Userfaultfd};
use crate::errno::Errno;
use crate::flags::flags;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

flags! {
    /// `UFFD_PAGEFAULT_FLAG_*`: what a message says of its fault.
    pub struct FaultFlags: u64 {
        /// `UFFD_PAGEFAULT_FLAG_WRITE`: it was a write.
        #[doc(alias = "UFFD_PAGEFAULT_FLAG_WRITE")]
        const WRITE = 1 << 0;
        /// `UFFD_PAGEFAULT_FLAG_WP`: the page is write-protected.
        #[doc(alias = "UFFD_PAGEFAULT_FLAG_WP")]
        const WP = 1 << 1;
        /// `UFFD_PAGEFAULT_FLAG_MINOR`: the file has the page.
        #[doc(alias = "UFFD_PAGEFAULT_FLAG_MINOR")]
        const MINOR = 1 << 2;
        /// `UFFD_PAGEFAULT_FLAG_RWP`: the page is protected against reading and
        /// writing (since Linux 7.3).
        #[doc(alias = "UFFD_PAGEFAULT_FLAG_RWP")]
        const RWP = 1 << 3;
        const _ = !0;
    }
}

/// Why a page could not be touched: what distinguishes the types of
/// [`Fault`].
pub mod reason {
    /// There is no page.
    #[derive(Debug)]
    pub enum Missing {}
    /// The file has the page, the mapping has not.
    #[derive(Debug)]
    pub enum Minor {}
    /// The page is write-protected.
    #[derive(Debug)]
    pub enum WriteProtect {}
    /// The page is protected against reading and writing.
    #[derive(Debug)]
    pub enum Rwp {}
    /// Something that this version of the crate does not know.
    #[derive(Debug)]
    pub enum Unknown {}
}

/// There is no page: [`copy`](Fault::copy), [`zero`](Fault::zero),
/// [`cont`](Fault::cont), [`move_from`](Fault::move_from),
/// [`poison`](Fault::poison).
pub type Missing<'u> = Fault<'u, reason::Missing>;
/// The file has the page, the mapping has not: [`cont`](Fault::cont),
/// [`poison`](Fault::poison).
pub type Minor<'u> = Fault<'u, reason::Minor>;
/// A write to a page that is write-protected: [`unprotect`](Fault::unprotect).
pub type WriteProtect<'u> = Fault<'u, reason::WriteProtect>;
/// A touch of a page that is protected: [`unprotect`](Fault::unprotect).
pub type Rwp<'u> = Fault<'u, reason::Rwp>;
/// A fault for a reason that this version does not know: it can only be woken,
/// parked, or resolved by hand.
pub type UnknownFault<'u> = Fault<'u, reason::Unknown>;

/// A fault that waits: a thread is standing still until this is resolved.
///
/// What resolves it depends on the reason, so each has its own type, and what
/// no memory allows does not compile. Which kinds of memory allow what is the
/// kernel's to say: [`Stop::Invalid`](super::Stop::Invalid).
///
/// **Dropped unresolved, it wakes its thread**, which touches the page again,
/// and there is a new message: no fault gets lost. A loop that drops what it
/// does not care for therefore spins; [`Self::park`] keeps a fault for later
/// without that.
///
/// A message is no proof that somebody still waits: two threads at one page are
/// two messages, a signal makes a second one, and a fill of the page for
/// another reason resolves it. To resolve it again does no harm: a page that
/// is there is never overwritten.
///
/// # Examples
///
/// One handler, which fills blocks and puts off what it cannot have yet:
///
/// ```
/// use barecall::userfaultfd::{
///     CopyFlags, Event, Features, MappedRegion, RegisterModes, UserfaultfdOptions,
/// };
/// use std::{process, thread};
///
/// const PAGE: usize = 4096;
/// const BLOCK: usize = 4 * PAGE;
/// let options = UserfaultfdOptions::new().blocking(true).require(Features::THREAD_ID);
/// let uffd = options.open_any()?.userfaultfd;
/// let region = MappedRegion::anonymous(&uffd, 3 * BLOCK, RegisterModes::MISSING)?;
/// // Blocks are aligned; a mapping begins at any page.
/// let start = region.range().start();
/// let first = start.next_multiple_of(BLOCK) - start;
///
/// thread::scope(|scope| {
///     let writer = scope.spawn(|| region.write_at(&[1], first + PAGE + 10));
///     let parked = match uffd.read_event()? {
///         Event::Missing(fault) => {
///             assert!(fault.is_write() && fault.thread_id() != Some(process::id()));
///             assert_eq!(fault.page(PAGE).start(), start + first + PAGE);
///             assert!(region.range().contains(fault.address()));
///             // Not received yet. The thread waits, the handler does not.
///             fault.park()
///         }
///         other => panic!("{other:?}"),
///     };
///     // Later.
///     match uffd.unpark(parked) {
///         Event::Missing(fault) => {
///             let resolved = fault.copy_block(&[7; BLOCK], PAGE)?;
///             assert_eq!((resolved.done, resolved.stop), (BLOCK, None));
///         }
///         other => panic!("{other:?}"),
///     }
///     assert_eq!(writer.join().unwrap(), 1);
///
///     // The other block: filled by a request of one's own, which wakes.
///     let reader = scope.spawn(|| region.read_at(&mut [0], first + BLOCK));
///     match uffd.read_event()? {
///         Event::Missing(fault) => {
///             let block = fault.page(BLOCK).start();
///             uffd.fill_copy(block, &[8; BLOCK], CopyFlags::empty()).all()?;
///             fault.resolved();
///         }
///         other => panic!("{other:?}"),
///     }
///     assert_eq!(reader.join().unwrap(), 1);
///     Ok::<(), barecall::Errno>(())
/// })?;
/// let mut contents = [0; 3];
/// region.read_at(&mut contents, first + PAGE + 9);
/// assert_eq!(contents, [7, 1, 7]);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// # What does not compile
///
/// A missing page cannot be unprotected:
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::Missing<'_>) {
///     let _ = fault.unprotect(4096);
/// }
/// ```
///
/// and a protected one not filled:
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::WriteProtect<'_>, page: &[u8]) {
///     let _ = fault.copy(page);
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::WriteProtect<'_>) {
///     let _ = fault.zero(4096);
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::Rwp<'_>) {
///     let _ = fault.cont(4096);
/// }
/// ```
///
/// A minor fault has its page already, which nothing overwrites:
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::Minor<'_>, page: &[u8]) {
///     let _ = fault.copy(page);
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::Minor<'_>) {
///     let _ = fault.zero(4096);
/// }
/// ```
///
/// ```compile_fail,E0599
/// fn wrong(fault: barecall::userfaultfd::UnknownFault<'_>) {
///     let _ = fault.poison(4096);
/// }
/// ```
///
/// It is resolved once:
///
/// ```compile_fail,E0382
/// fn wrong(fault: barecall::userfaultfd::Missing<'_>, page: &[u8]) {
///     let _ = fault.copy(page);
///     let _ = fault.copy(page);
/// }
/// ```
///
/// and not after its descriptor:
///
/// ```compile_fail,E0505
/// use barecall::userfaultfd::{Missing, Userfaultfd};
/// fn wrong(uffd: Userfaultfd, read: for<'u> fn(&'u Userfaultfd) -> Missing<'u>) {
///     let fault = read(&uffd);
///     drop(uffd);
///     let _ = fault.wake();
/// }
/// ```
#[must_use = "a dropped fault wakes its thread, which faults again"]
pub struct Fault<'u, R> {
    uffd: &'u Userfaultfd,
    fault: Parked,
    reason: PhantomData<fn() -> R>,
}

/// A fault as plain data, to be resolved later.
///
/// Its thread goes on waiting, and *nothing* reminds of it: keep it, and give
/// it back to [`Userfaultfd::unpark`]. Equal for two threads at one page
/// (without [`THREAD_ID`](super::Features::THREAD_ID)), so that a queue can
/// have each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "the thread waits until this is unparked and resolved"]
pub struct Parked {
    flags: FaultFlags,
    address: usize,
    thread: u32,
}

impl Parked {
    pub(super) const fn new(flags: FaultFlags, address: usize, thread: u32) -> Self {
        Self {
            flags,
            address,
            thread,
        }
    }

    /// What the message says, unknown bits included.
    pub const fn flags(&self) -> FaultFlags {
        self.flags
    }

    /// The address: of the page, or with
    /// [`EXACT_ADDRESS`](super::Features::EXACT_ADDRESS), of the byte.
    pub const fn address(&self) -> usize {
        self.address
    }

    /// The page of this size that it is in.
    pub const fn page(&self, page_size: usize) -> PageRange {
        PageRange::page_of(self.address, page_size)
    }

    /// Whether it was a write.
    pub const fn is_write(&self) -> bool {
        self.flags.contains(FaultFlags::WRITE)
    }

    /// The thread that faulted, as its own process numbers it; with
    /// [`THREAD_ID`](super::Features::THREAD_ID).
    pub const fn thread_id(&self) -> Option<u32> {
        match self.thread {
            0 => None,
            id => Some(id),
        }
    }
}

impl<'u, R> Fault<'u, R> {
    const fn new(uffd: &'u Userfaultfd, fault: Parked) -> Self {
        Self {
            uffd,
            fault,
            reason: PhantomData,
        }
    }

    /// What the message says, unknown bits included.
    pub const fn flags(&self) -> FaultFlags {
        self.fault.flags()
    }

    /// The address: of the page, or with
    /// [`EXACT_ADDRESS`](super::Features::EXACT_ADDRESS), of the byte.
    pub const fn address(&self) -> usize {
        self.fault.address()
    }

    /// The page of this size that it is in.
    pub const fn page(&self, page_size: usize) -> PageRange {
        self.fault.page(page_size)
    }

    /// Whether it was a write.
    pub const fn is_write(&self) -> bool {
        self.fault.is_write()
    }

    /// The thread that faulted, as its own process numbers it; with
    /// [`THREAD_ID`](super::Features::THREAD_ID).
    pub const fn thread_id(&self) -> Option<u32> {
        self.fault.thread_id()
    }

    /// The descriptor that it was read from.
    pub const fn userfaultfd(&self) -> &'u Userfaultfd {
        self.uffd
    }

    /// `UFFDIO_WAKE` of its page: the thread touches it again. What dropping
    /// does, with the answer.
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::wake`].
    pub fn wake(self) -> Result<(), Errno> {
        let (uffd, fault) = self.disarm();
        uffd.wake_at(fault.address)
    }

    /// The fault as plain data; its thread goes on waiting.
    ///
    /// See [`Fault`] for an example.
    pub fn park(self) -> Parked {
        self.disarm().1
    }

    /// The page is there, by other means, and its thread was woken: the token
    /// has nothing to do any more.
    ///
    /// If that is not so, the thread waits for ever.
    ///
    /// See [`Fault`] for an example.
    pub fn resolved(self) {
        let _ = self.disarm();
    }

    fn disarm(self) -> (&'u Userfaultfd, Parked) {
        let this = ManuallyDrop::new(self);
        (this.uffd, this.fault)
    }
}

impl<R> Drop for Fault<'_, R> {
    fn drop(&mut self) {
        // It fails only when the process is gone, and the thread with it.
        let _ = self.uffd.wake_at(self.fault.address);
    }
}

impl<R> fmt::Debug for Fault<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fault, f)
    }
}

impl Userfaultfd {
    /// Makes a token of a parked fault again, the same that it was.
    ///
    /// One of the five kinds of fault. A descriptor other than the one that it
    /// was read from will not find its thread.
    ///
    /// See [`Fault`] for an example.
    pub fn unpark(&self, parked: Parked) -> Event<'_> {
        let reasons = parked.flags.difference(FaultFlags::WRITE);
        if reasons.is_empty() {
            Event::Missing(Fault::new(self, parked))
        } else if reasons == FaultFlags::WP {
            Event::WriteProtect(Fault::new(self, parked))
        } else if reasons == FaultFlags::MINOR {
            Event::Minor(Fault::new(self, parked))
        } else if reasons == FaultFlags::RWP {
            Event::Rwp(Fault::new(self, parked))
        } else {
            Event::UnknownFault(Fault::new(self, parked))
        }
    }
}
