//! What travels beside the bytes: `struct cmsghdr` and what follows it.

use super::SOL_SOCKET;
use crate::errno::Errno;
use crate::fd::{BorrowedFd, OwnedFd};
use core::fmt;
use core::marker::PhantomData;

#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct cmsghdr")]
struct Cmsghdr {
    cmsg_len: usize,
    cmsg_level: i32,
    cmsg_type: i32,
}

const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SCM_PIDFD: i32 = 4;

const HEADER: usize = size_of::<Cmsghdr>();

/// `struct ucred`: a process and its users, as the receiver's namespaces see
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct ucred")]
pub struct Credentials {
    /// The process, or 0 if it is in another PID namespace.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// `CMSG_SPACE(n * sizeof(int))`: the room that `n` descriptors take. The
/// kernel sends 253 at most.
#[doc(alias = "CMSG_SPACE")]
pub const fn rights_space(n: usize) -> usize {
    // Two of them to each 8 bytes.
    n.div_ceil(2).saturating_mul(8).saturating_add(HEADER)
}

/// `CMSG_SPACE(sizeof(struct ucred))`: the room that credentials take.
#[doc(alias = "CMSG_SPACE")]
pub const fn credentials_space() -> usize {
    HEADER + size_of::<Credentials>().next_multiple_of(8)
}

/// Bytes where a `cmsghdr` is at its place.
#[repr(align(8))]
struct Aligned<const N: usize>([u8; N]);

/// Control data to be sent, in `N` bytes: [`rights_space`] and
/// [`credentials_space`] say how many it takes.
///
/// See [`sendmsg`](super::sendmsg) for an example.
pub struct SendControl<'fd, const N: usize> {
    bytes: Aligned<N>,
    len: usize,
    borrow: PhantomData<BorrowedFd<'fd>>,
}

impl SendControl<'_, 0> {
    /// Nothing beside the bytes.
    pub const NONE: SendControl<'static, 0> = SendControl::new();
}

impl<'fd, const N: usize> SendControl<'fd, N> {
    /// Nothing yet.
    #[inline]
    pub const fn new() -> Self {
        Self {
            bytes: Aligned([0; N]),
            len: 0,
            borrow: PhantomData,
        }
    }

    /// `SCM_RIGHTS`: sends these descriptors; the receiver gets new ones of the
    /// same open file descriptions.
    ///
    /// # Errors
    ///
    /// `ENOBUFS`: no room. (No system call is made here.)
    #[doc(alias = "SCM_RIGHTS")]
    pub fn push_rights(&mut self, fds: &[BorrowedFd<'fd>]) -> Result<(), Errno> {
        // SAFETY: a `BorrowedFd` has the bits of an int.
        let ints: &[u8] = unsafe {
            core::slice::from_raw_parts(fds.as_ptr().cast(), core::mem::size_of_val(fds))
        };
        self.push(SCM_RIGHTS, ints)
    }

    /// `SCM_CREDENTIALS`: says who one is. The kernel checks it.
    ///
    /// # Errors
    ///
    /// `ENOBUFS`: no room. (No system call is made here.)
    #[doc(alias = "SCM_CREDENTIALS")]
    pub fn push_credentials(&mut self, credentials: Credentials) -> Result<(), Errno> {
        // SAFETY: three words without padding.
        let bytes = unsafe {
            core::slice::from_raw_parts(
                (&raw const credentials).cast::<u8>(),
                size_of::<Credentials>(),
            )
        };
        self.push(SCM_CREDENTIALS, bytes)
    }

    fn push(&mut self, kind: i32, data: &[u8]) -> Result<(), Errno> {
        let free = self.bytes.0.get_mut(self.len..).ok_or(Errno::ENOBUFS)?;
        let (header, rest) = free.split_at_mut_checked(HEADER).ok_or(Errno::ENOBUFS)?;
        let padded = data.len().next_multiple_of(8);
        let place = rest.get_mut(..padded).ok_or(Errno::ENOBUFS)?;
        let (place, _) = place
            .split_at_mut_checked(data.len())
            .ok_or(Errno::ENOBUFS)?;
        place.copy_from_slice(data);
        let cmsg = Cmsghdr {
            cmsg_len: HEADER + data.len(),
            cmsg_level: SOL_SOCKET,
            cmsg_type: kind,
        };
        // SAFETY: HEADER bytes that are ours.
        unsafe { header.as_mut_ptr().cast::<Cmsghdr>().write_unaligned(cmsg) };
        self.len += HEADER + padded;
        Ok(())
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.0.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> Default for SendControl<'_, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for SendControl<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendControl")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Control data that was received, in `N` bytes, with the descriptors in it.
///
/// It owns them: those that [`messages`](Self::messages) does not hand out are
/// closed when it is dropped, or used for another message.
///
/// See [`sendmsg`](super::sendmsg) for an example.
pub struct RecvControl<const N: usize> {
    bytes: Aligned<N>,
    len: usize,
}

impl<const N: usize> RecvControl<N> {
    /// Nothing yet.
    #[inline]
    pub const fn new() -> Self {
        Self {
            bytes: Aligned([0; N]),
            len: 0,
        }
    }

    /// What was received. A descriptor that is taken is the taker's; one that
    /// is not stays here.
    #[inline]
    pub fn messages(&mut self) -> ControlMessages<'_> {
        ControlMessages {
            rest: self.bytes.0.get_mut(..self.len).unwrap_or_default(),
        }
    }

    /// Closes the descriptors that nobody took, and forgets the rest.
    pub fn clear(&mut self) {
        for message in self.messages() {
            match message {
                ControlMessage::Rights(descriptors) => descriptors.for_each(drop),
                ControlMessage::Pidfd(pidfd) => drop(pidfd),
                _ => {}
            }
        }
        self.len = 0;
    }

    #[inline]
    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.0.as_mut_ptr()
    }

    /// # Safety
    ///
    /// The kernel has written so many bytes of control data, whose descriptors
    /// nobody else owns.
    #[inline]
    pub(super) unsafe fn set_len(&mut self, len: usize) {
        self.len = len;
    }
}

impl<const N: usize> Default for RecvControl<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Drop for RecvControl<N> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<const N: usize> fmt::Debug for RecvControl<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvControl")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// The messages of a [`RecvControl`], one after the other.
#[derive(Debug)]
pub struct ControlMessages<'a> {
    rest: &'a mut [u8],
}

/// One piece of control data.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlMessage<'a> {
    /// `SCM_RIGHTS`: descriptors.
    Rights(Rights<'a>),
    /// `SCM_CREDENTIALS`: who sent the message.
    Credentials(Credentials),
    /// `SCM_PIDFD`: the sender as a pidfd (since Linux 6.5, if asked for by
    /// `SO_PASSPIDFD`).
    Pidfd(OwnedFd),
    /// Something else.
    Unknown {
        /// `cmsg_level`.
        level: i32,
        /// `cmsg_type`.
        kind: i32,
        /// What follows.
        data: &'a [u8],
    },
}

impl<'a> Iterator for ControlMessages<'a> {
    type Item = ControlMessage<'a>;

    fn next(&mut self) -> Option<ControlMessage<'a>> {
        loop {
            let all = core::mem::take(&mut self.rest);
            let (header, rest) = all.split_at_mut_checked(HEADER)?;
            // SAFETY: HEADER bytes, and every pattern is a `Cmsghdr`.
            let cmsg = unsafe { header.as_ptr().cast::<Cmsghdr>().read_unaligned() };
            // The length counts. What the kernel writes can use the padding for
            // one descriptor more, and the last message can end without any.
            let len = cmsg.cmsg_len.checked_sub(HEADER)?.min(rest.len());
            let (data, rest) = rest.split_at_mut_checked(len)?;
            let padding = len.wrapping_neg() % 8;
            self.rest = rest.get_mut(padding..).unwrap_or_default();

            return Some(match (cmsg.cmsg_level, cmsg.cmsg_type) {
                (SOL_SOCKET, SCM_RIGHTS) => ControlMessage::Rights(Rights { data }),
                (SOL_SOCKET, SCM_PIDFD) => match (Rights { data }).next() {
                    Some(pidfd) => ControlMessage::Pidfd(pidfd),
                    // An error in its place, or taken before.
                    None => continue,
                },
                (SOL_SOCKET, SCM_CREDENTIALS) if data.len() == size_of::<Credentials>() => {
                    // SAFETY: as long as that, and every pattern is one.
                    let credentials =
                        unsafe { data.as_ptr().cast::<Credentials>().read_unaligned() };
                    ControlMessage::Credentials(credentials)
                }
                (level, kind) => ControlMessage::Unknown { level, kind, data },
            });
        }
    }
}

/// Descriptors that were received, each handed out once. All of them are
/// close-on-exec.
pub struct Rights<'a> {
    data: &'a mut [u8],
}

impl Iterator for Rights<'_> {
    type Item = OwnedFd;

    fn next(&mut self) -> Option<OwnedFd> {
        loop {
            let (place, rest) = core::mem::take(&mut self.data).split_first_chunk_mut()?;
            self.data = rest;
            // What is not there any more was handed out.
            let fd = i32::from_ne_bytes(core::mem::replace(place, (-1_i32).to_ne_bytes()));
            if fd >= 0 {
                // SAFETY: from the kernel for us, and not handed out before.
                return Some(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
}

impl fmt::Debug for Rights<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rights").finish_non_exhaustive()
    }
}
