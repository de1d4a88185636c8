//! Reading messages.

use super::abi::{self, UffdMsg};
use super::token::{FaultFlags, Minor, Missing, Parked, Rwp, UnknownFault, WriteProtect};
use super::{PageRange, Userfaultfd};
use crate::errno::Errno;
use crate::fd::{AsFd, OwnedFd};
use crate::{nr, syscall};
use core::fmt;
use core::iter::FusedIterator;
use core::mem::{ManuallyDrop, MaybeUninit};

/// What a message says.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'u> {
    /// `UFFD_EVENT_PAGEFAULT`: there is no page.
    Missing(Missing<'u>),
    /// `UFFD_EVENT_PAGEFAULT`: the file has the page, the mapping has not.
    Minor(Minor<'u>),
    /// `UFFD_EVENT_PAGEFAULT`: a write to a page that is write-protected.
    WriteProtect(WriteProtect<'u>),
    /// `UFFD_EVENT_PAGEFAULT`: a touch of a page that is protected.
    Rwp(Rwp<'u>),
    /// `UFFD_EVENT_PAGEFAULT`: for a reason that this version does not know.
    UnknownFault(UnknownFault<'u>),
    /// `UFFD_EVENT_FORK`: the process has a child, whose faults come to a
    /// descriptor of its own.
    Fork(Forked),
    /// `UFFD_EVENT_REMAP`: a mapping was moved by `mremap`; what is registered
    /// is registered at its new place.
    Remap(Remap),
    /// `UFFD_EVENT_REMOVE`: these pages were discarded. To be filled with zeros
    /// from now on: that is what the process asked for.
    Remove(PageRange),
    /// `UFFD_EVENT_UNMAP`: this range is no longer mapped.
    Unmap(PageRange),
    /// A message that this version does not know, as it is.
    Unknown(UffdMsg),
}

/// Where a mapping was moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remap {
    /// The address before.
    pub from: usize,
    /// The address now.
    pub to: usize,
    /// In bytes: what was moved. If the mapping was made longer, what is new
    /// comes after that.
    pub len: usize,
}

/// The descriptor for a child's faults, which came with its fork.
///
/// If it is closed while the child runs, the child **reads zeros** where pages
/// are missing, and goes on with them. Therefore dropping this does *not* close
/// it: the descriptor is leaked, and the child waits. Take it with
/// [`Self::into_userfaultfd`].
///
/// ```
/// use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
/// use barecall::userfaultfd::{
///     Event, Features, MappedRegion, OpenError, RegisterModes, UserfaultfdOptions,
/// };
/// use std::thread;
///
/// let options = UserfaultfdOptions::new().blocking(true).require(Features::EVENT_FORK);
/// let uffd = match options.open_any() {
///     Ok(opened) => opened.userfaultfd,
///     Err(OpenError::Missing(_)) => return Ok(()), // Without CAP_SYS_PTRACE.
///     Err(other) => return Err(other.into()),
/// };
/// let region = MappedRegion::anonymous(&uffd, 4096, RegisterModes::MISSING)?;
/// thread::scope(|scope| {
///     // fork() waits until its event is read.
///     let parent = scope.spawn(|| {
///         // SAFETY: the child reads memory and exits.
///         let Some(child) = (unsafe { fork() })? else {
///             let mut byte = [0];
///             region.read_at(&mut byte, 0);
///             exit_group(byte[0].into())
///         };
///         wait4(WaitTarget::Pid(child), WaitOptions::empty())
///     });
///     let of_child = match uffd.read_event()? {
///         Event::Fork(forked) => forked.into_userfaultfd(),
///         other => panic!("{other:?}"),
///     };
///     match of_child.read_event()? {
///         Event::Missing(fault) => fault.copy(&[42; 4096])?,
///         other => panic!("{other:?}"),
///     };
///     let ended = parent.join().unwrap()?.map(|(_, status)| status);
///     assert_eq!(ended, Some(WaitStatus::Exited(42)));
///     Ok::<(), barecall::Errno>(())
/// })?;
/// # Ok::<(), barecall::Errno>(())
/// ```
#[must_use = "the child waits for who serves its descriptor"]
pub struct Forked(ManuallyDrop<Userfaultfd>);

impl Forked {
    /// The child's descriptor, with the features of its parent's. Dropped, it
    /// is closed.
    ///
    /// See [`Forked`] for an example.
    pub fn into_userfaultfd(self) -> Userfaultfd {
        ManuallyDrop::into_inner(self.0)
    }
}

impl core::ops::Deref for Forked {
    type Target = Userfaultfd;
    fn deref(&self) -> &Userfaultfd {
        &self.0
    }
}

impl fmt::Debug for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Forked").field(&*self.0).finish()
    }
}

/// Room for `N` messages, 32 bytes each, of one [`Userfaultfd::read`].
pub struct EventBuffer<const N: usize> {
    messages: [MaybeUninit<UffdMsg>; N],
}

impl<const N: usize> EventBuffer<N> {
    /// Room for `N` messages.
    pub const fn new() -> Self {
        Self {
            messages: [MaybeUninit::uninit(); N],
        }
    }
}

impl<const N: usize> Default for EventBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for EventBuffer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventBuffer")
    }
}

/// The messages of one read, one after the other.
///
/// The kernel has forgotten them: what is not taken out when this is dropped,
/// is dropped as if it had been. Threads that fault are woken and fault again,
/// and the descriptors of children stay open, unowned, so that those children
/// wait instead of reading zeros. [`Self::abandon`] does the same and hands
/// those descriptors over. What the others say (remapped, removed, unmapped) is
/// lost.
#[must_use = "dropping it wakes the threads that wait, and leaks the descriptors of children"]
pub struct Events<'u, 'b> {
    uffd: &'u Userfaultfd,
    messages: core::slice::Iter<'b, UffdMsg>,
}

impl<'u> Events<'u, '_> {
    /// Lets go of what was not taken out: faults are woken, and each child's
    /// descriptor goes to `fork`.
    ///
    /// ```
    /// use barecall::userfaultfd::{EventBuffer, Userfaultfd};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// use barecall::Errno;
    ///
    /// let mut children: Vec<Userfaultfd> = Vec::new();
    /// let mut buffer = EventBuffer::<64>::new();
    /// match uffd.read(&mut buffer) {
    ///     // Shutting down: others will serve these faults, and the children.
    ///     Ok(events) => events.abandon(|child| children.push(child)),
    ///     Err(Errno::EAGAIN) => {}
    ///     Err(errno) => return Err(errno),
    /// }
    /// assert!(children.is_empty());
    /// # Ok::<(), Errno>(())
    /// ```
    pub fn abandon(mut self, mut fork: impl FnMut(Userfaultfd)) {
        for event in &mut self {
            if let Event::Fork(forked) = event {
                fork(forked.into_userfaultfd());
            }
        }
    }
}

impl<'u> Iterator for Events<'u, '_> {
    type Item = Event<'u>;

    fn next(&mut self) -> Option<Event<'u>> {
        let message = self.messages.next()?;
        // SAFETY: read from this descriptor, and this is the only time that
        // the message is taken.
        Some(unsafe { self.uffd.decode(message) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.messages.size_hint()
    }
}

impl ExactSizeIterator for Events<'_, '_> {}
impl FusedIterator for Events<'_, '_> {}

impl Drop for Events<'_, '_> {
    fn drop(&mut self) {
        for event in &mut *self {
            drop(event);
        }
    }
}

impl fmt::Debug for Events<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.messages.as_slice()).finish()
    }
}

/// # Reading
impl Userfaultfd {
    /// `read(fd, buf, count)`: up to `N` messages.
    ///
    /// Faults come before other events, whatever came first: a
    /// [`Event::Remove`] can be read after a fault that came later.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: no message, and the descriptor is non-blocking. That can be
    /// also after `poll` promised one: somebody else has resolved the fault.
    /// `EINTR`: a signal. `EINVAL`: `N` is 0. `EMFILE`, `ENFILE`, `ENOMEM`: no
    /// descriptor for a child ([`Event::Fork`]); the event stays, and its parent
    /// waits.
    ///
    /// ```
    /// use barecall::userfaultfd::{Event, EventBuffer};
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// use barecall::Errno;
    ///
    /// let mut buffer = EventBuffer::<64>::new();
    /// match uffd.read(&mut buffer) {
    ///     Ok(events) => {
    ///         for event in events {
    ///             if let Event::Missing(fault) = event {
    ///                 fault.copy(&[7; 4096])?;
    ///             }
    ///         }
    ///     }
    ///     Err(Errno::EAGAIN) => {}
    ///     Err(errno) => return Err(errno),
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html).
    pub fn read<'u, 'b, const N: usize>(
        &'u self,
        buffer: &'b mut EventBuffer<N>,
    ) -> Result<Events<'u, 'b>, Errno> {
        let room = buffer.messages.as_mut_ptr();
        // SAFETY: the kernel writes at most that many bytes, of whole messages,
        // any bits of which make a message.
        let messages = unsafe {
            let bytes = syscall!(nr::READ, self.as_fd(), room, size_of_val(&buffer.messages))?;
            core::slice::from_raw_parts(room.cast::<UffdMsg>(), bytes / size_of::<UffdMsg>())
        };
        Ok(Events {
            uffd: self,
            messages: messages.iter(),
        })
    }

    /// `read(fd, buf, 32)`: one message.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]. `EAGAIN` comes at once where nothing has: a descriptor
    /// is non-blocking unless it was opened with
    /// [`blocking`](super::UserfaultfdOptions::blocking). Ask
    /// [`poll`](crate::event::poll) first.
    ///
    /// ```
    /// use barecall::event::{PollFd, PollFlags, poll};
    /// use barecall::userfaultfd::UserfaultfdOptions;
    /// use barecall::Errno;
    /// use core::time::Duration;
    ///
    /// let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let mut fds = [PollFd::new(&uffd, PollFlags::IN)];
    /// assert_eq!(poll(&mut fds, Some(Duration::from_millis(1).into()))?, 0);
    /// assert_eq!(uffd.read_event().unwrap_err(), Errno::EAGAIN);
    /// # Ok::<(), Errno>(())
    /// ```
    ///
    /// Manual page:
    /// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html).
    pub fn read_event(&self) -> Result<Event<'_>, Errno> {
        let mut message = UffdMsg::default();
        // SAFETY: the kernel writes one message. It is taken once.
        unsafe {
            syscall!(
                nr::READ,
                self.as_fd(),
                &raw mut message,
                size_of::<UffdMsg>()
            )?;
            Ok(self.decode(&message))
        }
    }

    /// # Safety
    ///
    /// The message was read from this descriptor and is decoded once: the
    /// descriptor that it may contain is owned by the result.
    unsafe fn decode(&self, message: &UffdMsg) -> Event<'_> {
        let [a, b, c] = message.arg;
        match message.event {
            abi::UFFD_EVENT_PAGEFAULT => self.unpark(Parked::new(
                FaultFlags::from_bits_retain(a),
                b as usize,
                c as u32,
            )),
            // No descriptor is negative.
            abi::UFFD_EVENT_FORK if (a as u32 as i32) >= 0 => {
                // SAFETY: the kernel made it for who reads the message.
                let fd = unsafe { OwnedFd::from_raw_fd(a as u32 as i32) };
                Event::Fork(Forked(ManuallyDrop::new(Userfaultfd {
                    fd,
                    features: self.features,
                    wp: self.wp,
                    local: false,
                })))
            }
            abi::UFFD_EVENT_REMAP => Event::Remap(Remap {
                from: a as usize,
                to: b as usize,
                len: c as usize,
            }),
            abi::UFFD_EVENT_REMOVE => {
                Event::Remove(PageRange::new(a as usize, b.wrapping_sub(a) as usize))
            }
            abi::UFFD_EVENT_UNMAP => {
                Event::Unmap(PageRange::new(a as usize, b.wrapping_sub(a) as usize))
            }
            _ => Event::Unknown(*message),
        }
    }
}
