//! eventfd: a counter that can be waited for.

use crate::errno::Errno;
use crate::fd::OwnedFd;
use crate::fd::syscall_fd;
use crate::flags::flags;
use crate::nr;

flags! {
    /// `EFD_*` for [`eventfd`].
    pub struct EventFdFlags: u32 {
        /// `EFD_SEMAPHORE`: reading takes 1, not everything.
        #[doc(alias = "EFD_SEMAPHORE")]
        const SEMAPHORE = 1;
        /// `EFD_NONBLOCK`: `EAGAIN` instead of waiting.
        #[doc(alias = "EFD_NONBLOCK")]
        const NONBLOCK = 0o4000;
        /// `EFD_CLOEXEC`: closed by `execve`.
        #[doc(alias = "EFD_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

/// `eventfd2(initval, flags)`: a counter of 64 bits behind a descriptor.
///
/// Writing 8 bytes adds; reading 8 bytes takes the count, and waits while it
/// is 0.
///
/// # Errors
///
/// `EINVAL`: an unknown flag. `EMFILE`, `ENFILE`: too many descriptors.
///
/// ```
/// use barecall::event::{EventFdFlags, eventfd};
/// use barecall::io;
///
/// let event = eventfd(2, EventFdFlags::CLOEXEC)?;
/// io::write(&event, &3_u64.to_ne_bytes())?;
/// let mut count = [0; 8];
/// io::read(&event, &mut count)?;
/// assert_eq!(u64::from_ne_bytes(count), 5);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [eventfd(2)](https://man7.org/linux/man-pages/man2/eventfd.2.html).
#[inline]
#[doc(alias = "eventfd2")]
pub fn eventfd(initval: u32, flags: EventFdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::EVENTFD2, initval, flags.bits()) }
}
