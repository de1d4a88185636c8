//! Sleeping.

use super::{ClockId, Timespec};
use crate::errno::Errno;
use crate::nr;
use crate::syscall::syscall_zero;

/// How a relative sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Slept {
    /// All the time has passed.
    Whole,
    /// A signal came (`EINTR`), and this much time remains.
    Interrupted(Timespec),
}

/// What a relative sleep answered, and the time that the kernel left.
#[inline]
fn slept(answer: Result<(), Errno>, remaining: Timespec) -> Result<Slept, Errno> {
    match answer {
        Ok(()) => Ok(Slept::Whole),
        Err(Errno::EINTR) => Ok(Slept::Interrupted(remaining)),
        Err(errno) => Err(errno),
    }
}

/// `nanosleep(request, remain)`: sleeps for a time, on `CLOCK_MONOTONIC`.
///
/// A signal that runs a handler ends it early. Then [`Slept::Interrupted`] has
/// what remains, and not `Err(EINTR)`: to repeat the same sleep, as
/// [`io::retry_on_intr`](crate::io::retry_on_intr) would, is to sleep too long.
///
/// # Errors
///
/// `EINVAL`: a negative time, or nanoseconds out of range.
///
/// ```
/// use barecall::time::{Slept, Timespec, nanosleep};
///
/// let mut request = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
/// while let Slept::Interrupted(remaining) = nanosleep(&request)? {
///     request = remaining;
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [nanosleep(2)](https://man7.org/linux/man-pages/man2/nanosleep.2.html).
#[inline]
pub fn nanosleep(request: &Timespec) -> Result<Slept, Errno> {
    let mut remaining = Timespec::ZERO;
    // SAFETY: the kernel reads a timespec, and may write another.
    let answer = unsafe { syscall_zero!(nr::NANOSLEEP, &raw const *request, &raw mut remaining) };
    slept(answer, remaining)
}

/// `TIMER_ABSTIME`.
const TIMER_ABSTIME: u32 = 1;

/// `clock_nanosleep(clockid, 0, request, remain)`: sleeps for a time, on a
/// clock.
///
/// # Errors
///
/// As [`nanosleep`]; `EINVAL` also for no such clock, or that of this thread by
/// its id. `EOPNOTSUPP`: a clock that cannot wake anybody (`THREAD_CPUTIME_ID`,
/// `MONOTONIC_RAW`, the coarse ones; the alarm clocks on a machine without one).
/// `EPERM`: an alarm clock, without `CAP_WAKE_ALARM`.
///
/// ```
/// use barecall::time::{ClockId, Slept, Timespec, clock_nanosleep};
///
/// let request = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
/// assert_eq!(clock_nanosleep(ClockId::BOOTTIME, &request)?, Slept::Whole);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [clock_nanosleep(2)](https://man7.org/linux/man-pages/man2/clock_nanosleep.2.html).
#[inline]
pub fn clock_nanosleep(clock: ClockId, request: &Timespec) -> Result<Slept, Errno> {
    let mut remaining = Timespec::ZERO;
    // SAFETY: the kernel reads a timespec, and may write another.
    let answer = unsafe {
        syscall_zero!(
            nr::CLOCK_NANOSLEEP,
            clock.as_raw(),
            0,
            &raw const *request,
            &raw mut remaining
        )
    };
    slept(answer, remaining)
}

/// `clock_nanosleep(clockid, TIMER_ABSTIME, deadline, NULL)`: sleeps until a
/// clock says so.
///
/// Can be repeated after a signal without sleeping longer in all:
/// `retry_on_intr(|| clock_nanosleep_until(clock, &deadline))`.
///
/// # Errors
///
/// `EINTR`: a signal handler ran. Otherwise as [`clock_nanosleep`].
///
/// ```
/// use barecall::io::retry_on_intr;
/// use barecall::time::{ClockId, clock_gettime, clock_nanosleep_until};
/// use core::time::Duration;
///
/// let clock = ClockId::MONOTONIC;
/// let deadline = clock_gettime(clock)?.checked_add(Duration::from_millis(2)).unwrap();
/// retry_on_intr(|| clock_nanosleep_until(clock, &deadline))?;
/// assert!(clock_gettime(clock)? >= deadline);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [clock_nanosleep(2)](https://man7.org/linux/man-pages/man2/clock_nanosleep.2.html).
#[inline]
#[doc(alias = "TIMER_ABSTIME")]
pub fn clock_nanosleep_until(clock: ClockId, deadline: &Timespec) -> Result<(), Errno> {
    // SAFETY: the kernel reads a timespec.
    unsafe {
        syscall_zero!(
            nr::CLOCK_NANOSLEEP,
            clock.as_raw(),
            TIMER_ABSTIME,
            &raw const *deadline,
            0
        )
    }
}
