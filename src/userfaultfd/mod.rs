//! Page faults, handled by the program.
//!
//! A [`Userfaultfd`] says which thread touched a page that is not there (or
//! that is protected), and the thread stands still until somebody has put the
//! page there. Memory becomes something that a program serves: a snapshot
//! restored while the guest runs, memory that arrives over the network, a
//! garbage collector that moves objects under the mutator.
//!
//! ```
//! use barecall::userfaultfd::{Event, MappedRegion, RegisterModes, UserfaultfdOptions};
//!
//! const PAGE: usize = 4096;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = UserfaultfdOptions::new().blocking(true);
//! let uffd = options.open_any()?.userfaultfd;
//! let memory = MappedRegion::anonymous(&uffd, 16 * PAGE, RegisterModes::MISSING)?;
//!
//! std::thread::scope(|scope| {
//!     let handler = scope.spawn(|| match uffd.read_event() {
//!         Ok(Event::Missing(fault)) => fault.copy(&[0xab; PAGE]).map_err(|error| error.stop()),
//!         other => panic!("{other:?}"),
//!     });
//!     // Nothing is there. This waits until the handler has put a page.
//!     let mut bytes = [0; 3];
//!     memory.read_at(&mut bytes, 5 * PAGE + 1000);
//!     assert_eq!(bytes, [0xab; 3]);
//!     handler.join().unwrap()
//! })
//! .unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! The same without std and without libc, a program of 6 kB:
//! `examples/src/bin/pagefault.rs`.
//!
//! # What there is
//!
//! - [`UserfaultfdOptions`] opens; [`supported`] asks what the kernel has.
//! - [`MappedRegion`] is memory of the program's own, registered, safely.
//!   [`Userfaultfd::register`] is for memory that exists already.
//! - [`Userfaultfd::read`] gives [`Event`]s. A fault is a token, of one type
//!   per reason ([`Missing`], [`Minor`], [`WriteProtect`], [`Rwp`]), with the
//!   resolutions that make sense for it. Forgotten, it comes again.
//! - [`Userfaultfd::fill_copy`] and its kin fill any range, at any time, as
//!   far as they get: [`Filled`] says how far, and why not farther.
//! - [`abi`] is the kernel's header for who wants to do it by hand.
//!
//! # What to know
//!
//! **One page at a time is slow.** The wake-ups cost more than the page: copy
//! 16 or more at once ([`Fault::copy_block`](Fault::copy_block)), and keep the
//! handler on the faulting thread's processor.
//!
//! **A fill that says [`Stop::Changing`]** waits for an event to be read: with
//! `EVENT_FORK`, `EVENT_REMAP`, `EVENT_REMOVE` or `EVENT_UNMAP`, the thread
//! that forks, moves, discards or unmaps stands still until that is done. A
//! handler thread that frees registered memory itself waits for itself.
//!
//! **Before Linux 5.11** there is no [`Access::UserMode`] and opening says
//! `EINVAL`; nothing wider is tried behind your back.

pub mod abi;
mod event;
mod fdinfo;
mod features;
mod fill;
mod open;
mod protect;
mod range;
mod region;
mod token;

pub use event::{Event, EventBuffer, Events, Forked, Remap};
pub use fdinfo::Waiting;
pub(crate) use fdinfo::path as proc_path;
pub use features::{Features, Ioctls, Support};
pub use fill::{ContinueFlags, CopyFlags, Filled, MoveFlags, PoisonFlags, Stop, ZeroFlags};
pub use open::{Access, OpenError, Opened, UserfaultfdOptions, Way, supported};
pub use protect::{RegisterModes, UnprotectFlags};
pub use range::PageRange;
pub use region::MappedRegion;
pub use token::{
    Fault, FaultFlags, Minor, Missing, Parked, Resolved, Rwp, UnknownFault, Unresolved,
    WriteProtect, reason,
};

use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};

/// A userfaultfd, ready for use.
///
/// **Zeros are the enemy.** When the last descriptor of it is closed, in
/// whichever process, threads that wait for a missing page are released and
/// *read zeros*, as does everybody after them: silent corruption, when the page
/// should have had contents. Dropping this closes one. So keep a duplicate
/// ([`Self::try_clone`]) where it outlives the handler, and the handler's death
/// is a stall, which can be seen and mended, instead. [`MappedRegion`] has one
/// and unmaps before it closes.
///
/// It exists only after the handshake (`UFFDIO_API`), so there is no state in
/// which nothing works. Everything works through `&self` and from any thread.
///
/// For polling ([`AsFd`]) it must be non-blocking, as it is by default; of a
/// blocking one, `poll` says `POLLERR`. That it is readable promises no
/// message.
///
/// Manual page:
/// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html).
#[derive(Debug)]
pub struct Userfaultfd {
    fd: OwnedFd,
    features: Features,
    /// Whether WP does what it says: false on an aarch64 that only claims it.
    wp: bool,
    /// Whether it was opened here, so that its memory is this process's.
    local: bool,
}

impl Userfaultfd {
    /// Takes over a descriptor whose handshake somebody else has made, with
    /// these features: one that was received from another process.
    ///
    /// [`Self::adopt_from_fdinfo`] asks the kernel instead.
    ///
    /// # Safety
    ///
    /// It is a userfaultfd. (For another kind of descriptor, the requests that
    /// this type makes mean something else.) The features, if they are wrong,
    /// only mislead.
    ///
    /// ```
    /// use barecall::userfaultfd::{Features, Userfaultfd, UserfaultfdOptions};
    ///
    /// // In the process that opens it, and tells the features along with it.
    /// let opened = UserfaultfdOptions::new().want(Features::THREAD_ID).open_any()?;
    /// let features = opened.userfaultfd.features();
    /// # let fd = barecall::fd::OwnedFd::from(opened.userfaultfd);
    ///
    /// // In the one to which `fd` came, with SCM_RIGHTS.
    /// // SAFETY: a userfaultfd, by the protocol between the two.
    /// let uffd = unsafe { Userfaultfd::adopt(fd, features) };
    /// assert_eq!(uffd.waiting_from_fdinfo()?.total, 0);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub const unsafe fn adopt(fd: OwnedFd, features: Features) -> Self {
        Self {
            fd,
            features,
            wp: true,
            local: false,
        }
    }

    /// The features that were negotiated.
    pub const fn features(&self) -> Features {
        self.features
    }

    /// Whether it was opened by this process, or by one that it is a fork of.
    #[cfg(feature = "pager")]
    pub(crate) const fn is_local(&self) -> bool {
        self.local
    }

    /// `fcntl(fd, F_DUPFD_CLOEXEC, 0)`: another descriptor of the same
    /// userfaultfd. While one is open, nobody reads zeros.
    ///
    /// # Errors
    ///
    /// `EMFILE`: the process has as many descriptors as it may.
    ///
    /// See [`MappedRegion::keeper`] for an example.
    pub fn try_clone(&self) -> Result<Self, Errno> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            features: self.features,
            wp: self.wp,
            local: self.local,
        })
    }
}

impl AsFd for Userfaultfd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The descriptor, open, to be sent to another process for example.
impl From<Userfaultfd> for OwnedFd {
    #[inline]
    fn from(uffd: Userfaultfd) -> Self {
        uffd.fd
    }
}

crate::fd::std_as_fd!(Userfaultfd);
crate::fd::std_into_fd!(Userfaultfd);
