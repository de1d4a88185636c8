//! poll: an array of descriptors, handed over with each call.

use super::or_null;
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd};
use crate::flags::flags;
use crate::signal::{SIGSET_SIZE, SigSet};
use crate::syscall::as_int;
use crate::time::Timespec;
use crate::{nr, syscall};
use core::fmt;
use core::marker::PhantomData;

flags! {
    /// `POLL*`: what [`poll`] waits for, and what has come.
    pub struct PollFlags: u16 {
        /// `POLLIN`: there is something to read.
        #[doc(alias = "POLLIN")]
        const IN = 0x1;
        /// `POLLPRI`: something exceptional (out-of-band data, a sysfs or
        /// cgroup file that changed).
        #[doc(alias = "POLLPRI")]
        const PRI = 0x2;
        /// `POLLOUT`: writing would not wait.
        #[doc(alias = "POLLOUT")]
        const OUT = 0x4;
        /// `POLLERR`: an error, or nobody reads. Comes without being asked for.
        #[doc(alias = "POLLERR")]
        const ERR = 0x8;
        /// `POLLHUP`: the other side hung up. Comes without being asked for.
        #[doc(alias = "POLLHUP")]
        const HUP = 0x10;
        /// `POLLNVAL`: not open. Comes without being asked for.
        #[doc(alias = "POLLNVAL")]
        const NVAL = 0x20;
        /// `POLLRDNORM`: as `IN`.
        #[doc(alias = "POLLRDNORM")]
        const RDNORM = 0x40;
        /// `POLLRDBAND`: priority data can be read.
        #[doc(alias = "POLLRDBAND")]
        const RDBAND = 0x80;
        /// `POLLWRNORM`: as `OUT`.
        #[doc(alias = "POLLWRNORM")]
        const WRNORM = 0x100;
        /// `POLLWRBAND`: priority data can be written.
        #[doc(alias = "POLLWRBAND")]
        const WRBAND = 0x200;
        /// `POLLMSG`: unused.
        #[doc(alias = "POLLMSG")]
        const MSG = 0x400;
        /// `POLLREMOVE`: unused.
        #[doc(alias = "POLLREMOVE")]
        const REMOVE = 0x1000;
        /// `POLLRDHUP`: the other side of a stream socket writes no more.
        #[doc(alias = "POLLRDHUP")]
        const RDHUP = 0x2000;
        const _ = !0;
    }
}

/// `struct pollfd`: a descriptor to wait for, and what has come.
///
/// ```
/// use barecall::event::{PollFd, PollFlags, poll};
/// use barecall::io;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// drop(writer);
/// let mut fds = [PollFd::new(&reader, PollFlags::IN)];
/// assert_eq!(poll(&mut fds, None)?, 1);
/// assert_eq!(fds[0].revents(), PollFlags::HUP);
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct pollfd")]
pub struct PollFd<'fd> {
    fd: i32,
    events: u16,
    revents: u16,
    borrow: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> PollFd<'fd> {
    /// Waits for `events` of `fd`.
    #[inline]
    pub fn new<Fd: AsFd + ?Sized>(fd: &'fd Fd, events: PollFlags) -> Self {
        Self::from_borrowed_fd(fd.as_fd(), events)
    }

    /// Waits for `events` of `fd`.
    #[inline]
    pub const fn from_borrowed_fd(fd: BorrowedFd<'fd>, events: PollFlags) -> Self {
        Self {
            fd: fd.as_raw_fd(),
            events: events.bits(),
            revents: 0,
            borrow: PhantomData,
        }
    }

    /// Waits for nothing: the kernel skips it.
    #[inline]
    pub const fn ignored() -> Self {
        Self {
            fd: -1,
            events: 0,
            revents: 0,
            borrow: PhantomData,
        }
    }

    /// What is waited for.
    #[inline]
    pub const fn events(&self) -> PollFlags {
        PollFlags::from_bits_retain(self.events)
    }

    /// Waits for `events` from now on.
    #[inline]
    pub const fn set_events(&mut self, events: PollFlags) {
        self.events = events.bits();
    }

    /// What had come, the last time.
    #[inline]
    pub const fn revents(&self) -> PollFlags {
        PollFlags::from_bits_retain(self.revents)
    }
}

impl fmt::Debug for PollFd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFd")
            .field("fd", &self.fd)
            .field("events", &self.events())
            .field("revents", &self.revents())
            .finish()
    }
}

/// `ppoll(fds, nfds, timeout, NULL, 0)`: waits until something comes on one of
/// the descriptors, or `timeout` is over (`None`: for ever).
///
/// Gives how many have something; 0 is the timeout, which a `Duration` becomes
/// by `into()`. (The call `poll` itself is not there on aarch64.)
///
/// # Errors
///
/// `EINTR`: a signal came first; the whole timeout begins anew with another
/// call. `EINVAL`: more descriptors than `RLIMIT_NOFILE`, or no valid time.
///
/// ```
/// use barecall::event::{PollFd, PollFlags, poll};
/// use barecall::io;
/// use core::time::Duration;
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let mut fds = [PollFd::new(&reader, PollFlags::IN)];
/// assert_eq!(poll(&mut fds, Some(Duration::from_millis(1).into()))?, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [ppoll(2)](https://man7.org/linux/man-pages/man2/poll.2.html).
#[inline]
pub fn poll(fds: &mut [PollFd<'_>], timeout: Option<Timespec>) -> Result<usize, Errno> {
    ppoll(fds, timeout, None)
}

/// `ppoll(fds, nfds, timeout, sigmask, 8)`: as [`poll`], with these signals
/// blocked while it waits, and no others.
///
/// The mask changes and comes back in the same call: a signal that is blocked
/// before can come while it waits, and not between the two.
///
/// # Errors
///
/// As [`poll`].
///
/// ```
/// use barecall::Errno;
/// use barecall::event::ppoll;
/// use barecall::process::gettid;
/// use barecall::signal::{self, How, SigSet, Signal};
///
/// # extern "C" fn nothing(_signal: i32) {}
/// # // SAFETY: a handler that does nothing.
/// # unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as usize) };
/// // With a handler for SIGUSR1, which is blocked, and pending:
/// let mask = signal::sigprocmask(How::BLOCK, SigSet::of(&[Signal::SIGUSR1]))?;
/// signal::tgkill(barecall::process::getpid(), gettid(), Signal::SIGUSR1)?;
/// assert_eq!(ppoll(&mut [], None, Some(mask)), Err(Errno::EINTR));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [ppoll(2)](https://man7.org/linux/man-pages/man2/poll.2.html).
#[inline]
pub fn ppoll(
    fds: &mut [PollFd<'_>],
    timeout: Option<Timespec>,
    mask: Option<SigSet>,
) -> Result<usize, Errno> {
    // The kernel writes what is left of the timeout into it.
    let mut timeout = timeout;
    let timeout = match &mut timeout {
        Some(timeout) => &raw mut *timeout,
        None => core::ptr::null_mut(),
    };
    // SAFETY: an array of `pollfd`, a time that is ours, and a mask.
    unsafe {
        syscall!(
            nr::PPOLL,
            fds.as_mut_ptr(),
            as_int(fds.len()),
            timeout,
            or_null(&mask),
            SIGSET_SIZE
        )
    }
}
