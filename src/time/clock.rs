//! What clocks there are, and what they say.

use super::{Timespec, Timeval};
use crate::errno::Errno;
use crate::fd::BorrowedFd;
use crate::nr;
use crate::selector::selector;
use crate::syscall::{syscall_out, syscall_zero};

selector! {
    /// `clockid_t`: which clock.
    #[doc(alias = "clockid_t")]
    pub struct ClockId: i32 {
        /// `CLOCK_REALTIME`: the time of day since 1970, which can be set.
        #[doc(alias = "CLOCK_REALTIME")]
        const REALTIME = 0;
        /// `CLOCK_MONOTONIC`: since some moment; never set, not counting suspend.
        #[doc(alias = "CLOCK_MONOTONIC")]
        const MONOTONIC = 1;
        /// `CLOCK_PROCESS_CPUTIME_ID`: the processor time of this process.
        #[doc(alias = "CLOCK_PROCESS_CPUTIME_ID")]
        const PROCESS_CPUTIME_ID = 2;
        /// `CLOCK_THREAD_CPUTIME_ID`: the processor time of this thread.
        #[doc(alias = "CLOCK_THREAD_CPUTIME_ID")]
        const THREAD_CPUTIME_ID = 3;
        /// `CLOCK_MONOTONIC_RAW`: as `MONOTONIC`, at the hardware's own rate.
        #[doc(alias = "CLOCK_MONOTONIC_RAW")]
        const MONOTONIC_RAW = 4;
        /// `CLOCK_REALTIME_COARSE`: `REALTIME` at the last tick; cheaper.
        #[doc(alias = "CLOCK_REALTIME_COARSE")]
        const REALTIME_COARSE = 5;
        /// `CLOCK_MONOTONIC_COARSE`: `MONOTONIC` at the last tick; cheaper.
        #[doc(alias = "CLOCK_MONOTONIC_COARSE")]
        const MONOTONIC_COARSE = 6;
        /// `CLOCK_BOOTTIME`: as `MONOTONIC`, and counting suspend.
        #[doc(alias = "CLOCK_BOOTTIME")]
        const BOOTTIME = 7;
        /// `CLOCK_REALTIME_ALARM`: `REALTIME`, for timers that wake the machine.
        #[doc(alias = "CLOCK_REALTIME_ALARM")]
        const REALTIME_ALARM = 8;
        /// `CLOCK_BOOTTIME_ALARM`: `BOOTTIME`, for timers that wake the machine.
        #[doc(alias = "CLOCK_BOOTTIME_ALARM")]
        const BOOTTIME_ALARM = 9;
        /// `CLOCK_TAI`: `REALTIME` without leap seconds.
        #[doc(alias = "CLOCK_TAI")]
        const TAI = 11;
        /// `CLOCK_AUX`: the first of eight auxiliary clocks, which are enabled in
        /// /sys/kernel/time/aux_clocks (since Linux 6.17); the others follow.
        #[doc(alias = "CLOCK_AUX")]
        const AUX = 16;
        /// `CLOCK_AUX_LAST`: the last auxiliary clock.
        #[doc(alias = "CLOCK_AUX_LAST")]
        const AUX_LAST = 23;
    }
}

// Of <linux/posix-timers.h> and <linux/threads.h>, which are not public.
const CPUCLOCK_SCHED: i32 = 2;
const CPUCLOCK_PERTHREAD_MASK: i32 = 4;
const PID_MAX_LIMIT: i32 = 1 << 22;

impl ClockId {
    /// The processor time of any process, by its id; 0 is this one.
    ///
    /// What `clock_getcpuclockid` of libc computes. A clock of a process that
    /// does not exist is `EINVAL` when it is used.
    ///
    /// ```
    /// use barecall::time::{ClockId, clock_gettime};
    ///
    /// let clock = ClockId::of_process(std::process::id() as i32);
    /// assert!(clock_gettime(clock)? > Default::default());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[inline]
    #[doc(alias = "clock_getcpuclockid")]
    pub const fn of_process(pid: i32) -> Self {
        Self::of_task(pid, CPUCLOCK_SCHED)
    }

    /// The processor time of a thread of this process, by its id; 0 is this
    /// one.
    #[inline]
    #[doc(alias = "pthread_getcpuclockid")]
    pub const fn of_thread(tid: i32) -> Self {
        Self::of_task(tid, CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK)
    }

    const fn of_task(id: i32, kind: i32) -> Self {
        match id {
            0..=PID_MAX_LIMIT => Self((!id << 3) | kind),
            // What is no id can become another's: this is nobody's.
            _ => Self(-1),
        }
    }

    /// The clock of a device (`/dev/ptp0`), which must stay open as long as
    /// it is used.
    #[inline]
    #[doc(alias = "FD_TO_CLOCKID")]
    pub const fn of_device(fd: BorrowedFd<'_>) -> Self {
        Self((!fd.as_raw_fd() << 3) | 3)
    }
}

/// `clock_gettime(clockid, tp)`: what a clock says, by system call.
///
/// # Errors
///
/// `EINVAL`: no such clock. `ENODEV`: an auxiliary clock that is not enabled.
///
/// ```
/// use barecall::time::{ClockId, clock_gettime};
///
/// let start = clock_gettime(ClockId::MONOTONIC)?;
/// assert!(clock_gettime(ClockId::MONOTONIC)? >= start);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [clock_gettime(2)](https://man7.org/linux/man-pages/man2/clock_gettime.2.html).
#[inline]
pub fn clock_gettime(clock: ClockId) -> Result<Timespec, Errno> {
    // SAFETY: the kernel writes a timespec there.
    unsafe { syscall_out!(Timespec; nr::CLOCK_GETTIME, clock.0; _) }
}

/// `clock_settime(clockid, tp)`: sets a clock.
///
/// # Errors
///
/// `EINVAL`: a clock that cannot be set, nanoseconds out of range, or
/// `REALTIME` before what `MONOTONIC` says. `EPERM`: no `CAP_SYS_TIME`, or the
/// processor time of a process or a thread by its id.
///
/// ```
/// use barecall::Errno;
/// use barecall::time::{ClockId, Timespec, clock_settime};
///
/// let refused = clock_settime(ClockId::MONOTONIC, &Timespec::ZERO);
/// assert_eq!(refused, Err(Errno::EINVAL));
/// ```
///
/// Manual page: [clock_settime(2)](https://man7.org/linux/man-pages/man2/clock_settime.2.html).
#[inline]
pub fn clock_settime(clock: ClockId, time: &Timespec) -> Result<(), Errno> {
    // SAFETY: the kernel reads a timespec there.
    unsafe { syscall_zero!(nr::CLOCK_SETTIME, clock.0, &raw const *time) }
}

/// `clock_getres(clockid, res)`: how fine a clock is, by system call.
///
/// # Errors
///
/// `EINVAL`: no such clock.
///
/// ```
/// use barecall::time::{ClockId, Timespec, clock_getres};
///
/// assert!(clock_getres(ClockId::MONOTONIC)? > Timespec::ZERO);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [clock_getres(2)](https://man7.org/linux/man-pages/man2/clock_getres.2.html).
#[inline]
pub fn clock_getres(clock: ClockId) -> Result<Timespec, Errno> {
    // SAFETY: the kernel writes a timespec there.
    unsafe { syscall_out!(Timespec; nr::CLOCK_GETRES, clock.0; _) }
}

/// `gettimeofday(tv, NULL)`: the time of day in microseconds, by system call.
///
/// # Errors
///
/// None that is known.
///
/// ```
/// assert!(barecall::time::gettimeofday()?.tv_sec > 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [gettimeofday(2)](https://man7.org/linux/man-pages/man2/gettimeofday.2.html).
#[inline]
pub fn gettimeofday() -> Result<Timeval, Errno> {
    // SAFETY: the kernel writes a timeval there; no timezone is wanted.
    unsafe { syscall_out!(Timeval; nr::GETTIMEOFDAY; _, 0) }
}
