//! timerfd: a timer that is a descriptor.

use super::{ClockId, Itimerspec};
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, OwnedFd};
use crate::flags::flags;
use crate::syscall::syscall_out;
use crate::{io, nr, syscall};

flags! {
    /// `TFD_*`: properties of a new timerfd.
    pub struct TimerfdFlags: u32 {
        /// `TFD_NONBLOCK`: a read before the timer expires is `EAGAIN`.
        #[doc(alias = "TFD_NONBLOCK")]
        const NONBLOCK = 0o4000;
        /// `TFD_CLOEXEC`: closed by `execve`.
        #[doc(alias = "TFD_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

flags! {
    /// `TFD_TIMER_*`: how [`timerfd_settime`] reads its time.
    pub struct TimerfdTimerFlags: u32 {
        /// `TFD_TIMER_ABSTIME`: a point in time, not a distance.
        #[doc(alias = "TFD_TIMER_ABSTIME")]
        const ABSTIME = 1;
        /// `TFD_TIMER_CANCEL_ON_SET`: with `ABSTIME` on `REALTIME`: a read is
        /// `ECANCELED` when somebody sets the clock.
        #[doc(alias = "TFD_TIMER_CANCEL_ON_SET")]
        const CANCEL_ON_SET = 2;
        const _ = !0;
    }
}

/// `timerfd_create(clockid, flags)`: a timer that is a descriptor, disarmed.
///
/// Readable for `poll` when it has expired; [`timerfd_read`] says how often.
///
/// # Errors
///
/// `EINVAL`: an unknown flag, or a clock that cannot be used (only `REALTIME`,
/// `MONOTONIC`, `BOOTTIME` and the two alarms). `EMFILE`, `ENFILE`, `ENOMEM`.
/// `EPERM`: an alarm without `CAP_WAKE_ALARM`.
///
/// ```
/// use barecall::time::{self, ClockId, Itimerspec, TimerfdFlags, TimerfdTimerFlags, Timespec};
///
/// let timer = time::timerfd_create(ClockId::MONOTONIC, TimerfdFlags::CLOEXEC)?;
/// let soon = Itimerspec {
///     it_value: Timespec { tv_sec: 0, tv_nsec: 1_000_000 },
///     it_interval: Timespec::ZERO,
/// };
/// time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &soon)?;
/// assert_eq!(time::timerfd_read(&timer)?, 1);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [timerfd_create(2)](https://man7.org/linux/man-pages/man2/timerfd_create.2.html).
#[inline]
pub fn timerfd_create(clock: ClockId, flags: TimerfdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::TIMERFD_CREATE, clock.as_raw(), flags.bits()) }
}

/// `timerfd_settime(fd, flags, new_value, old_value)`: arms a timer, or
/// disarms it (`it_value` zero). Gives what it was set to before, as
/// [`timerfd_gettime`] would have.
///
/// # Errors
///
/// `EINVAL`: not a timerfd, an unknown flag, or a time that is negative or has
/// nanoseconds out of range. `ECANCELED`: the clock was set, see
/// [`TimerfdTimerFlags::CANCEL_ON_SET`]; the timer is armed nevertheless.
/// `EPERM`: one of the alarm clocks, without `CAP_WAKE_ALARM` by now.
///
/// Manual page: [timerfd_settime(2)](https://man7.org/linux/man-pages/man2/timerfd_settime.2.html).
#[inline]
pub fn timerfd_settime<Fd: AsFd>(
    fd: Fd,
    flags: TimerfdTimerFlags,
    new: &Itimerspec,
) -> Result<Itimerspec, Errno> {
    // SAFETY: the kernel reads one itimerspec and writes another.
    unsafe {
        syscall_out!(
            Itimerspec;
            nr::TIMERFD_SETTIME, fd.as_fd(), flags.bits(), &raw const *new;
            _
        )
    }
}

/// `timerfd_gettime(fd, curr_value)`: the time until a timer expires, and its
/// interval.
///
/// # Errors
///
/// `EINVAL`: not a timerfd.
///
/// ```
/// use barecall::time::{self, ClockId, Itimerspec, TimerfdFlags};
///
/// let timer = time::timerfd_create(ClockId::MONOTONIC, TimerfdFlags::CLOEXEC)?;
/// assert_eq!(time::timerfd_gettime(&timer)?, Itimerspec::default());
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [timerfd_gettime(2)](https://man7.org/linux/man-pages/man2/timerfd_gettime.2.html).
#[inline]
pub fn timerfd_gettime<Fd: AsFd>(fd: Fd) -> Result<Itimerspec, Errno> {
    // SAFETY: the kernel writes an itimerspec.
    unsafe { syscall_out!(Itimerspec; nr::TIMERFD_GETTIME, fd.as_fd(); _) }
}

/// `read(fd, &expirations, 8)`: how often a timer has expired since it was
/// armed or last read; waits for the first time.
///
/// # Errors
///
/// `EAGAIN`: not expired, and non-blocking. `ECANCELED`: the clock was set,
/// see [`TimerfdTimerFlags::CANCEL_ON_SET`]. `EINTR`: a signal came first.
/// `EIO`: fewer than eight bytes, so this is no timerfd.
#[inline]
pub fn timerfd_read<Fd: AsFd>(fd: Fd) -> Result<u64, Errno> {
    let mut expirations = [0; 8];
    match io::read(fd, &mut expirations)? {
        8 => Ok(u64::from_ne_bytes(expirations)),
        _ => Err(Errno::EIO),
    }
}

/// `TFD_IOC_SET_TICKS`.
const TFD_IOC_SET_TICKS: u32 = 0x4008_5400;

/// `ioctl(fd, TFD_IOC_SET_TICKS, &ticks)`: makes a timer say that it has
/// expired this often, for restoring a checkpoint (since Linux 3.17).
///
/// # Errors
///
/// `EINVAL`: 0. `ENOTTY`: not a timerfd, or a kernel without
/// `CONFIG_CHECKPOINT_RESTORE`. `ECANCELED`: the clock was set.
///
/// Manual page: [timerfd_create(2)](https://man7.org/linux/man-pages/man2/timerfd_create.2.html).
#[inline]
#[doc(alias = "TFD_IOC_SET_TICKS")]
pub fn timerfd_set_ticks<Fd: AsFd>(fd: Fd, ticks: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads eight bytes there, if this is a timerfd; the
    // number is no other driver's request.
    unsafe { syscall!(nr::IOCTL, fd.as_fd(), TFD_IOC_SET_TICKS, &raw const ticks) }.map(drop)
}
