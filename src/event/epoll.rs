//! epoll: a set of descriptors that the kernel keeps.

use super::or_null;
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, OwnedFd};
use crate::flags::flags;
use crate::signal::{SIGSET_SIZE, SigSet};
use crate::syscall::syscall_zero;
use crate::time::Timespec;
use crate::{nr, syscall};
use core::fmt;
use core::mem::MaybeUninit;

flags! {
    /// `EPOLL_*` for [`epoll_create1`].
    pub struct EpollCreateFlags: u32 {
        /// `EPOLL_CLOEXEC`: closed by `execve`.
        #[doc(alias = "EPOLL_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

/// `epoll_create1(flags)`: a set of descriptors to wait for.
///
/// # Errors
///
/// `EINVAL`: an unknown flag. `EMFILE`, `ENFILE`: too many descriptors.
///
/// ```
/// use barecall::event::{self, EpollCreateFlags, EpollEvent, EpollFlags};
/// use barecall::io;
/// use core::mem::MaybeUninit;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// event::epoll_add(&epoll, &reader, EpollEvent::new(EpollFlags::IN, 42))?;
/// io::write(&writer, b"x")?;
///
/// let mut events = [MaybeUninit::uninit(); 4];
/// let events = event::epoll_wait(&epoll, &mut events, -1)?;
/// assert_eq!(events.len(), 1);
/// assert_eq!(events[0].data(), 42);
/// assert_eq!(events[0].events(), EpollFlags::IN);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [epoll_create1(2)](https://man7.org/linux/man-pages/man2/epoll_create.2.html).
#[inline]
pub fn epoll_create1(flags: EpollCreateFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::EPOLL_CREATE1, flags.bits()) }
}

flags! {
    /// `EPOLL*`: what is waited for, and what has come.
    pub struct EpollFlags: u32 {
        /// `EPOLLIN`: there is something to read.
        #[doc(alias = "EPOLLIN")]
        const IN = 0x1;
        /// `EPOLLPRI`: something exceptional.
        #[doc(alias = "EPOLLPRI")]
        const PRI = 0x2;
        /// `EPOLLOUT`: writing would not wait.
        #[doc(alias = "EPOLLOUT")]
        const OUT = 0x4;
        /// `EPOLLERR`: an error, or nobody reads. Comes without being asked
        /// for.
        #[doc(alias = "EPOLLERR")]
        const ERR = 0x8;
        /// `EPOLLHUP`: the other side hung up. Comes without being asked for.
        #[doc(alias = "EPOLLHUP")]
        const HUP = 0x10;
        /// `EPOLLNVAL`: never comes.
        #[doc(alias = "EPOLLNVAL")]
        const NVAL = 0x20;
        /// `EPOLLRDNORM`: as `IN`.
        #[doc(alias = "EPOLLRDNORM")]
        const RDNORM = 0x40;
        /// `EPOLLRDBAND`: priority data can be read.
        #[doc(alias = "EPOLLRDBAND")]
        const RDBAND = 0x80;
        /// `EPOLLWRNORM`: as `OUT`.
        #[doc(alias = "EPOLLWRNORM")]
        const WRNORM = 0x100;
        /// `EPOLLWRBAND`: priority data can be written.
        #[doc(alias = "EPOLLWRBAND")]
        const WRBAND = 0x200;
        /// `EPOLLMSG`: unused.
        #[doc(alias = "EPOLLMSG")]
        const MSG = 0x400;
        /// `EPOLLRDHUP`: the other side of a stream socket writes no more.
        #[doc(alias = "EPOLLRDHUP")]
        const RDHUP = 0x2000;
        /// `EPOLL_URING_WAKE`: from io_uring to itself (since Linux 6.2).
        #[doc(alias = "EPOLL_URING_WAKE")]
        const URING_WAKE = 1 << 27;
        /// `EPOLLEXCLUSIVE`: wakes one of the sets that wait, not all (since
        /// Linux 4.5).
        #[doc(alias = "EPOLLEXCLUSIVE")]
        const EXCLUSIVE = 1 << 28;
        /// `EPOLLWAKEUP`: no suspend while the event is dealt with. Dropped
        /// without a word from who has no `CAP_BLOCK_SUSPEND`.
        #[doc(alias = "EPOLLWAKEUP")]
        const WAKEUP = 1 << 29;
        /// `EPOLLONESHOT`: once; then it must be armed again by
        /// [`epoll_modify`].
        #[doc(alias = "EPOLLONESHOT")]
        const ONESHOT = 1 << 30;
        /// `EPOLLET`: when something comes, not while something is there.
        #[doc(alias = "EPOLLET")]
        const ET = 1 << 31;
        const _ = !0;
    }
}

/// `struct epoll_event`: what is waited for or has come, with a number of the
/// caller's.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct EpollEvent(crate::arch::EpollEvent);

impl EpollEvent {
    /// These events, and the number that comes with them.
    #[inline]
    pub const fn new(events: EpollFlags, data: u64) -> Self {
        Self(crate::arch::EpollEvent {
            events: events.bits(),
            data,
        })
    }

    /// What is waited for, or has come.
    #[inline]
    pub const fn events(&self) -> EpollFlags {
        EpollFlags::from_bits_retain(self.0.events)
    }

    /// The caller's number.
    #[inline]
    pub const fn data(&self) -> u64 {
        self.0.data
    }
}

impl fmt::Debug for EpollEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpollEvent")
            .field("events", &self.events())
            .field("data", &self.data())
            .finish()
    }
}

// Of a larger number the kernel says EINVAL; this one is not public.
const EP_MAX_EVENTS: usize = i32::MAX as usize / size_of::<crate::arch::EpollEvent>();

/// What `epoll_ctl` is asked.
mod op {
    pub const EPOLL_CTL_ADD: u32 = 1;
    pub const EPOLL_CTL_DEL: u32 = 2;
    pub const EPOLL_CTL_MOD: u32 = 3;
}

/// `epoll_ctl(epfd, EPOLL_CTL_ADD, fd, event)`: adds a descriptor to the set.
///
/// The set keeps no descriptor open, and forgets one when the last descriptor
/// of its open file description is closed.
///
/// # Errors
///
/// `EEXIST`: already there. `EPERM`: a file that cannot be waited for (a regular
/// file, a directory). `ELOOP`: sets that contain each other, or too deep.
/// `EINVAL`: the set itself, or flags that do not go together. `ENOSPC`: the
/// limit of the user. `ENOMEM`.
///
/// See [`epoll_create1`] for an example.
///
/// Manual page: [epoll_ctl(2)](https://man7.org/linux/man-pages/man2/epoll_ctl.2.html).
#[inline]
#[doc(alias = "epoll_ctl")]
pub fn epoll_add<E: AsFd, Fd: AsFd>(epoll: E, fd: Fd, event: EpollEvent) -> Result<(), Errno> {
    // SAFETY: the kernel reads an `epoll_event`.
    unsafe {
        syscall_zero!(
            nr::EPOLL_CTL,
            epoll.as_fd(),
            op::EPOLL_CTL_ADD,
            fd.as_fd(),
            &raw const event
        )
    }
}

/// `epoll_ctl(epfd, EPOLL_CTL_MOD, fd, event)`: changes what is waited for.
///
/// # Errors
///
/// `ENOENT`: not in the set. `EINVAL`: flags that do not go together. `ENOMEM`.
///
/// ```
/// use barecall::event::{self, EpollCreateFlags, EpollEvent, EpollFlags, EventFdFlags};
///
/// let event = event::eventfd(1, EventFdFlags::CLOEXEC)?;
/// let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// event::epoll_add(&epoll, &event, EpollEvent::new(EpollFlags::empty(), 0))?;
/// event::epoll_modify(&epoll, &event, EpollEvent::new(EpollFlags::IN, 1))?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [epoll_ctl(2)](https://man7.org/linux/man-pages/man2/epoll_ctl.2.html).
#[inline]
#[doc(alias = "epoll_ctl")]
pub fn epoll_modify<E: AsFd, Fd: AsFd>(epoll: E, fd: Fd, event: EpollEvent) -> Result<(), Errno> {
    // SAFETY: the kernel reads an `epoll_event`.
    unsafe {
        syscall_zero!(
            nr::EPOLL_CTL,
            epoll.as_fd(),
            op::EPOLL_CTL_MOD,
            fd.as_fd(),
            &raw const event
        )
    }
}

/// `epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL)`: takes a descriptor out of the
/// set.
///
/// # Errors
///
/// `ENOENT`: not in the set. `EPERM`: a file that cannot be waited for.
///
/// ```
/// use barecall::event::{self, EpollCreateFlags, EpollEvent, EpollFlags, EventFdFlags};
///
/// let event = event::eventfd(1, EventFdFlags::CLOEXEC)?;
/// let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// event::epoll_add(&epoll, &event, EpollEvent::new(EpollFlags::IN, 0))?;
/// event::epoll_delete(&epoll, &event)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [epoll_ctl(2)](https://man7.org/linux/man-pages/man2/epoll_ctl.2.html).
#[inline]
#[doc(alias = "epoll_ctl")]
pub fn epoll_delete<E: AsFd, Fd: AsFd>(epoll: E, fd: Fd) -> Result<(), Errno> {
    // SAFETY: numbers only; since Linux 2.6.9 the event may be null.
    unsafe {
        syscall_zero!(
            nr::EPOLL_CTL,
            epoll.as_fd(),
            op::EPOLL_CTL_DEL,
            fd.as_fd(),
            0
        )
    }
}

/// `epoll_pwait(epfd, events, maxevents, timeout, NULL, 0)`: waits until
/// something comes, for `timeout` milliseconds at most (-1: for ever).
///
/// Gives what has come; nothing is the timeout. (The call `epoll_wait` itself
/// is not there on aarch64.)
///
/// # Errors
///
/// `EINTR`: a signal came first. `EINVAL`: not an epoll descriptor, or no room
/// for an event.
///
/// See [`epoll_create1`] for an example.
///
/// Manual page: [epoll_pwait(2)](https://man7.org/linux/man-pages/man2/epoll_wait.2.html).
#[inline]
pub fn epoll_wait<E: AsFd>(
    epoll: E,
    events: &mut [MaybeUninit<EpollEvent>],
    timeout: i32,
) -> Result<&mut [EpollEvent], Errno> {
    epoll_pwait(epoll, events, timeout, None)
}

/// `epoll_pwait(epfd, events, maxevents, timeout, sigmask, 8)`: as
/// [`epoll_wait`], with these signals blocked while it waits, and no others.
///
/// See [`ppoll`](super::ppoll) for what that is good for.
///
/// # Errors
///
/// As [`epoll_wait`].
///
/// ```
/// use barecall::event::{self, EpollCreateFlags, EpollEvent, EpollFlags, EventFdFlags};
/// use barecall::signal::SigSet;
/// use core::mem::MaybeUninit;
///
/// let event = event::eventfd(1, EventFdFlags::CLOEXEC)?;
/// let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// event::epoll_add(&epoll, &event, EpollEvent::new(EpollFlags::IN, 7))?;
/// let mut events = [MaybeUninit::uninit(); 4];
/// let events = event::epoll_pwait(&epoll, &mut events, -1, Some(SigSet::ALL))?;
/// assert_eq!(events[0].data(), 7);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [epoll_pwait(2)](https://man7.org/linux/man-pages/man2/epoll_wait.2.html).
#[inline]
pub fn epoll_pwait<E: AsFd>(
    epoll: E,
    events: &mut [MaybeUninit<EpollEvent>],
    timeout: i32,
    mask: Option<SigSet>,
) -> Result<&mut [EpollEvent], Errno> {
    let max = events.len().min(EP_MAX_EVENTS);
    // SAFETY: the kernel writes at most `max` events there, and says how many;
    // those are initialised now.
    unsafe {
        let n = syscall!(
            nr::EPOLL_PWAIT,
            epoll.as_fd(),
            events.as_mut_ptr(),
            max,
            timeout,
            or_null(&mask),
            SIGSET_SIZE
        )?;
        Ok(core::slice::from_raw_parts_mut(
            events.as_mut_ptr().cast(),
            n,
        ))
    }
}

/// `epoll_pwait2(epfd, events, maxevents, timeout, sigmask, 8)`: as
/// [`epoll_pwait`], with a timeout in nanoseconds (`None`: for ever), since
/// Linux 5.11.
///
/// # Errors
///
/// As [`epoll_wait`]; `EINVAL`: no valid time. `ENOSYS`: an older kernel.
///
/// ```
/// use barecall::Errno;
/// use barecall::event::{self, EpollCreateFlags};
/// use barecall::time::Timespec;
/// use core::mem::MaybeUninit;
///
/// let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// let mut events = [MaybeUninit::uninit(); 4];
/// let timeout = Timespec { tv_sec: 0, tv_nsec: 1000 };
/// match event::epoll_pwait2(&epoll, &mut events, Some(timeout), None) {
///     Ok(events) => assert!(events.is_empty()),
///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [epoll_pwait2(2)](https://man7.org/linux/man-pages/man2/epoll_wait.2.html).
#[inline]
pub fn epoll_pwait2<E: AsFd>(
    epoll: E,
    events: &mut [MaybeUninit<EpollEvent>],
    timeout: Option<Timespec>,
    mask: Option<SigSet>,
) -> Result<&mut [EpollEvent], Errno> {
    let max = events.len().min(EP_MAX_EVENTS);
    // SAFETY: the kernel writes at most `max` events there, and says how many;
    // those are initialised now. It only reads the time.
    unsafe {
        let n = syscall!(
            nr::EPOLL_PWAIT2,
            epoll.as_fd(),
            events.as_mut_ptr(),
            max,
            or_null(&timeout),
            or_null(&mask),
            SIGSET_SIZE
        )?;
        Ok(core::slice::from_raw_parts_mut(
            events.as_mut_ptr().cast(),
            n,
        ))
    }
}
