//! Handing memory that is served to another process.
//!
//! The process whose memory it is opens the userfaultfd, registers, and
//! [`send`]s the descriptor with the table of regions through a socket; a
//! handler in another process [`receive`]s both, and serves. What a handler
//! needs to know is in the message; what it must not be able to do, it cannot:
//! a message that makes no sense is an error, and nothing of it is used.
//!
//! ```
//! use barecall::net::{SocketFlags, SocketType, socketpair};
//! use barecall::pager::handoff::{self, Keeper};
//! use barecall::pager::{Region, RegionTable};
//! use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let second = Some(Duration::from_secs(1));
//! let (here, there) = socketpair(SocketType::STREAM, SocketFlags::CLOEXEC)?;
//!
//! // In the process whose memory it is:
//! let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
//! let memory = MappedRegion::anonymous(&uffd, 1 << 20, RegisterModes::MISSING)?;
//! let regions = [Region::new(memory.range(), 0, 4096)];
//! let keeper = Keeper::new(uffd);
//! keeper.send(&here, &regions, second)?;
//!
//! // In the handler:
//! let mut room = [Region::EMPTY; 16];
//! let received = handoff::receive(&there, &mut room, second)?;
//! handoff::attach(&received.userfaultfd, received.table.regions())?;
//! assert_eq!(received.table.regions(), regions);
//! // ... Pager::new(&received.userfaultfd, &source, received.table, options)
//! # drop((memory, keeper.release()));
//! # Ok(())
//! # }
//! ```
//!
//! # When the handler dies
//!
//! The last descriptor that is closed releases all who wait, and they read
//! **zeros**. So somebody who outlives handlers has a [`Keeper`]: then a
//! handler that dies is a stall, and the next one goes on. It is sent the same,
//! and calls [`attach`], which wakes all who wait: the faults that the dead one
//! had read and not resolved come again.
//!
//! What does not come again are *events*. With `EVENT_REMOVE`, `EVENT_UNMAP`,
//! `EVENT_REMAP` or `EVENT_FORK` negotiated, an event that was read, and not
//! yet recorded anywhere that survives, is lost: a discarded page would come
//! back from the source, a child has no handler. [`attach`] then says
//! [`Attached::EventsMayBeLost`], and it is for the program to decide. The
//! window is closed by a handler that [`send`]s its table to the keeper's
//! process after every event, before it lets any fault go on that came later
//! (in a loop of its own: a [`Pager`](super::Pager) does not stop for that); for
//! who cannot lose anything, the handler is a thread of the process itself.

mod wire;

pub use wire::{ParseError, Regions, parse};

use super::{Region, RegionTable, TOLD};
use crate::errno::Errno;
use crate::event::{self, PollFd, PollFlags};
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::io::{IoSlice, IoSliceMut};
use crate::net::{
    ControlMessage, MsgFlags, RecvControl, SendControl, credentials_space, recvmsg, rights_space,
    sendmsg,
};
use crate::time::{self, ClockId, Timespec};
use crate::userfaultfd::{Features, Userfaultfd};
use core::fmt;
use core::mem::ManuallyDrop;
use core::time::Duration;
use wire::{HEADER, RECORD};

/// Why there is no handoff. The socket is of no more use then: a part of a
/// message may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandoffError {
    /// The socket, or the clock.
    Socket(Errno),
    /// It took too long.
    TimedOut,
    /// The other side closed the socket, or shut it down, before the end.
    Closed,
    /// The message makes no sense.
    Message(ParseError),
    /// No descriptor came with it, or more than one.
    Descriptors,
    /// The descriptor is not a userfaultfd that can be used: what
    /// [`Userfaultfd::adopt_from_fdinfo`] said.
    NotUserfaultfd(Errno),
    /// So many regions, and room for fewer.
    NoRoom(u32),
}

impl fmt::Display for HandoffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(errno) => write!(f, "handoff: {errno}"),
            Self::TimedOut => f.write_str("handoff: it took too long"),
            Self::Closed => f.write_str("handoff: the other side closed the socket"),
            Self::Message(error) => write!(f, "handoff: {error}"),
            Self::Descriptors => f.write_str("handoff: not one descriptor"),
            Self::NotUserfaultfd(errno) => write!(f, "handoff: no userfaultfd: {errno}"),
            Self::NoRoom(count) => write!(f, "handoff: no room for {count} regions"),
        }
    }
}

impl core::error::Error for HandoffError {}

impl From<ParseError> for HandoffError {
    fn from(error: ParseError) -> Self {
        Self::Message(error)
    }
}

/// A point in time that all of a handoff has to be done by.
struct Deadline(Option<Timespec>);

impl Deadline {
    fn after(timeout: Option<Duration>) -> Result<Self, HandoffError> {
        let Some(timeout) = timeout else {
            return Ok(Self(None));
        };
        let now = time::clock_gettime(ClockId::MONOTONIC).map_err(HandoffError::Socket)?;
        // What is later than the clock can say is never.
        Ok(Self(now.checked_add(timeout)))
    }

    /// Waits until the socket is ready.
    fn wait(&self, socket: BorrowedFd<'_>, events: PollFlags) -> Result<(), HandoffError> {
        loop {
            let rest = match self.0 {
                None => None,
                Some(deadline) => {
                    let now =
                        time::clock_gettime(ClockId::MONOTONIC).map_err(HandoffError::Socket)?;
                    let rest = deadline
                        .checked_sub(now)
                        .filter(|rest| !rest.is_zero())
                        .ok_or(HandoffError::TimedOut)?;
                    Some(Timespec::from_duration(rest))
                }
            };
            let mut fds = [PollFd::from_borrowed_fd(socket, events)];
            match event::poll(&mut fds, rest) {
                // Ready, or the time is over: the loop says which.
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(HandoffError::Socket(errno)),
            }
        }
    }
}

/// `sendmsg` until all is sent: the descriptor, and the regions.
///
/// The socket is a stream (`AF_UNIX`, `SOCK_STREAM`), and nobody else writes to
/// it meanwhile. It need not be non-blocking. What is sent is a duplicate:
/// `uffd` stays, and as long as it does, the death of the receiver is a stall.
/// `regions` are sorted by address and do not overlap, as those of a
/// [`RegionTable`]; others are refused by the receiver.
///
/// # Errors
///
/// [`HandoffError::Socket`], [`Closed`](HandoffError::Closed),
/// [`TimedOut`](HandoffError::TimedOut) when the receiver reads too slowly. That
/// it was sent does not mean that it was received.
pub fn send<Fd: AsFd>(
    socket: Fd,
    uffd: &Userfaultfd,
    regions: &[Region],
    timeout: Option<Duration>,
) -> Result<(), HandoffError> {
    let deadline = Deadline::after(timeout)?;
    let socket = socket.as_fd();
    let count = u32::try_from(regions.len()).map_err(|_| HandoffError::Socket(Errno::EMSGSIZE))?;
    let mut control = SendControl::<{ rights_space(1) }>::new();
    control
        .push_rights(&[uffd.as_fd()])
        .map_err(HandoffError::Socket)?;
    // The descriptor goes with the first byte.
    let header = wire::header(count);
    let (first, rest) = header.split_at(1);
    send_all(socket, first, &control, &deadline)?;
    send_all(socket, rest, &SendControl::NONE, &deadline)?;
    for some in regions.chunks(32) {
        let mut bytes = [0; 32 * RECORD];
        for (place, region) in bytes.chunks_exact_mut(RECORD).zip(some) {
            place.copy_from_slice(&wire::record(region));
        }
        let used = some.len().saturating_mul(RECORD);
        let bytes = bytes.get(..used).unwrap_or_default();
        send_all(socket, bytes, &SendControl::NONE, &deadline)?;
    }
    Ok(())
}

fn send_all<const N: usize>(
    socket: BorrowedFd<'_>,
    mut bytes: &[u8],
    control: &SendControl<'_, N>,
    deadline: &Deadline,
) -> Result<(), HandoffError> {
    let flags = MsgFlags::DONTWAIT | MsgFlags::NOSIGNAL;
    while !bytes.is_empty() {
        match sendmsg(socket, &[IoSlice::new(bytes)], control, flags) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::EAGAIN) => deadline.wait(socket, PollFlags::OUT)?,
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(HandoffError::Closed),
            Err(errno) => return Err(HandoffError::Socket(errno)),
        }
    }
    Ok(())
}

/// What was handed over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received<'m> {
    /// The descriptor.
    pub userfaultfd: Userfaultfd,
    /// The regions, for a [`Pager`](super::Pager).
    pub table: RegionTable<'m>,
}

/// `recvmsg` until all has come, then reads `/proc/thread-self/fdinfo/N` for
/// what the descriptor is: the other side of [`send`].
///
/// Trusts nobody. What it gives is a userfaultfd, with the features that the
/// kernel says it has, and regions that are whole pages in ascending order.
/// (That they are those of the process that the descriptor is of, only that
/// process knows. If they are not, the kernel refuses to fill them.) No more
/// is read from the socket than the message.
///
/// # Errors
///
/// [`HandoffError`]; descriptors that came are closed.
/// [`NotUserfaultfd`](HandoffError::NotUserfaultfd) with `ENOENT`: no /proc.
pub fn receive<'m, Fd: AsFd>(
    socket: Fd,
    room: &'m mut [Region],
    timeout: Option<Duration>,
) -> Result<Received<'m>, HandoffError> {
    let deadline = Deadline::after(timeout)?;
    let socket = socket.as_fd();
    let mut fd = None;
    let mut header = [0; HEADER];
    receive_all(socket, &mut header, &mut fd, &deadline)?;
    let count = wire::count(&header)?;
    // A peer that sends none need not be listened to for longer.
    let sent = fd.take().ok_or(HandoffError::Descriptors)?;
    if usize::try_from(count).is_ok_and(|count| count > room.len()) {
        return Err(HandoffError::NoRoom(count));
    }
    let userfaultfd = Userfaultfd::adopt_from_fdinfo(sent)
        .map_err(|(_closed, errno)| HandoffError::NotUserfaultfd(errno))?;
    let mut table = RegionTable::new(room);
    let mut floor = 0;
    for number in 0..count {
        let mut record = [0; RECORD];
        receive_all(socket, &mut record, &mut fd, &deadline)?;
        if fd.is_some() {
            return Err(HandoffError::Descriptors);
        }
        let region = wire::region(&record, floor).ok_or(ParseError::Region(number))?;
        floor = region.range().end();
        table
            .insert(region)
            .map_err(|_| ParseError::Region(number))?;
    }
    Ok(Received { userfaultfd, table })
}

fn receive_all(
    socket: BorrowedFd<'_>,
    mut bytes: &mut [u8],
    fd: &mut Option<OwnedFd>,
    deadline: &Deadline,
) -> Result<(), HandoffError> {
    while !bytes.is_empty() {
        // Descriptors that nobody takes are closed with it.
        // Who sends, tells the kernel on a socket where that was asked for.
        let mut control = RecvControl::<{ rights_space(1) + credentials_space() }>::new();
        let bufs = &mut [IoSliceMut::new(bytes)];
        let received = match recvmsg(socket, bufs, &mut control, MsgFlags::DONTWAIT) {
            Ok(received) => received,
            Err(Errno::EAGAIN) => {
                deadline.wait(socket, PollFlags::IN)?;
                continue;
            }
            Err(Errno::EINTR) => continue,
            Err(Errno::ECONNRESET) => return Err(HandoffError::Closed),
            Err(errno) => return Err(HandoffError::Socket(errno)),
        };
        if received.bytes == 0 {
            return Err(HandoffError::Closed);
        }
        if received
            .flags
            .intersects(MsgFlags::CTRUNC | MsgFlags::TRUNC)
        {
            return Err(HandoffError::Descriptors);
        }
        for message in control.messages() {
            if let ControlMessage::Rights(descriptors) = message {
                for descriptor in descriptors {
                    if fd.replace(descriptor).is_some() {
                        return Err(HandoffError::Descriptors);
                    }
                }
            }
        }
        bytes = bytes.get_mut(received.bytes..).unwrap_or_default();
    }
    Ok(())
}

/// What [`attach`] can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "events may have been lost with the handler that died"]
#[non_exhaustive]
pub enum Attached {
    /// Every fault comes again, and there is nothing else to lose.
    Complete,
    /// Every fault comes again. But these events were negotiated, and what the
    /// handler before had read of them, and not recorded, nobody knows.
    EventsMayBeLost(Features),
}

/// `UFFDIO_WAKE` of each region: takes over from a handler that died.
///
/// All who wait try again, and fault again, so that faults which the dead one
/// had read come again. For the first handler, it does no harm. The handler
/// before must have ended: of two, both would get the faults.
///
/// # Errors
///
/// `EINVAL`: not addresses of a process.
pub fn attach(uffd: &Userfaultfd, regions: &[Region]) -> Result<Attached, Errno> {
    for region in regions {
        uffd.wake(region.range())?;
    }
    let events = uffd.features().intersection(TOLD);
    Ok(if events.is_empty() {
        Attached::Complete
    } else {
        Attached::EventsMayBeLost(events)
    })
}

/// A descriptor that is kept so that nobody reads zeros.
///
/// As long as it is there, a handler that dies is a stall. Dropping it does
/// *not* close it: when whoever has it goes down in disorder, the threads that
/// wait shall rather wait than go on with zeros. (The end of the process closes
/// everything; in the process whose memory it is, that is right.) It is closed
/// by way of [`Self::release`].
#[derive(Debug)]
#[must_use = "dropped, its descriptor is open until the process ends"]
pub struct Keeper(ManuallyDrop<Userfaultfd>);

impl Keeper {
    /// Keeps this one.
    pub const fn new(uffd: Userfaultfd) -> Self {
        Self(ManuallyDrop::new(uffd))
    }

    /// `fcntl(fd, F_DUPFD_CLOEXEC, 0)`: keeps a duplicate.
    ///
    /// # Errors
    ///
    /// As [`Userfaultfd::try_clone`].
    pub fn of(uffd: &Userfaultfd) -> Result<Self, Errno> {
        uffd.try_clone().map(Self::new)
    }

    /// The descriptor.
    pub fn userfaultfd(&self) -> &Userfaultfd {
        &self.0
    }

    /// [`send`] of a duplicate: to the first handler, and to each one after a
    /// handler died.
    ///
    /// # Errors
    ///
    /// As [`send`].
    pub fn send<Fd: AsFd>(
        &self,
        socket: Fd,
        regions: &[Region],
        timeout: Option<Duration>,
    ) -> Result<(), HandoffError> {
        send(socket, &self.0, regions, timeout)
    }

    /// The descriptor, for good: when it is the last and is dropped, who waits
    /// reads zeros.
    pub fn release(self) -> Userfaultfd {
        ManuallyDrop::into_inner(self.0)
    }
}
