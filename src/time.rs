//! Clocks and points in time.
//!
//! The clock functions here enter the kernel; [`Vdso`](crate::vdso::Vdso) has
//! those that need not.

use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::flags::flags;
use crate::selector::selector;
use crate::syscall::{syscall_out, syscall_zero};
use crate::{io, nr, syscall};
use core::time::Duration;

/// `struct timespec` (the kernel's `struct __kernel_timespec`): seconds and
/// nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
#[doc(alias = "struct timespec")]
#[doc(alias = "struct __kernel_timespec")]
pub struct Timespec {
    /// Seconds.
    pub tv_sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub tv_nsec: i64,
}

impl Timespec {
    /// No time at all; as a timer's value: disarmed.
    pub const ZERO: Self = Self {
        tv_sec: 0,
        tv_nsec: 0,
    };

    /// This much time; what exceeds 292 billion years is cut.
    ///
    /// ```
    /// use barecall::time::Timespec;
    /// use core::time::Duration;
    ///
    /// let time = Timespec::from_duration(Duration::from_millis(1500));
    /// assert_eq!((time.tv_sec, time.tv_nsec), (1, 500_000_000));
    /// ```
    #[inline]
    pub const fn from_duration(duration: Duration) -> Self {
        let seconds = duration.as_secs();
        Self {
            tv_sec: if seconds > i64::MAX as u64 {
                i64::MAX
            } else {
                seconds as i64
            },
            tv_nsec: duration.subsec_nanos() as i64,
        }
    }

    /// As a [`Duration`]; `None` if it is negative or its nanoseconds are not
    /// 0 to 999,999,999.
    #[inline]
    pub const fn to_duration(self) -> Option<Duration> {
        if self.tv_sec < 0 || self.tv_nsec < 0 || self.tv_nsec > 999_999_999 {
            return None;
        }
        Some(Duration::new(self.tv_sec as u64, self.tv_nsec as u32))
    }

    /// This much later; `None` beyond the end of time, or if `self` is not
    /// normal.
    ///
    /// ```
    /// use barecall::time::Timespec;
    /// use core::time::Duration;
    ///
    /// let start = Timespec { tv_sec: 1, tv_nsec: 900_000_000 };
    /// let end = start.checked_add(Duration::from_millis(200)).unwrap();
    /// assert_eq!(end, Timespec { tv_sec: 2, tv_nsec: 100_000_000 });
    /// assert_eq!(end.checked_sub(start), Some(Duration::from_millis(200)));
    /// ```
    pub const fn checked_add(self, duration: Duration) -> Option<Self> {
        if self.tv_nsec < 0 || self.tv_nsec > 999_999_999 {
            return None;
        }
        // Both below 1e9.
        let nanoseconds = self.tv_nsec + duration.subsec_nanos() as i64;
        let (carry, tv_nsec) = if nanoseconds > 999_999_999 {
            (1, nanoseconds - 1_000_000_000)
        } else {
            (0, nanoseconds)
        };
        let Some(tv_sec) = self.tv_sec.checked_add_unsigned(duration.as_secs()) else {
            return None;
        };
        let Some(tv_sec) = tv_sec.checked_add(carry) else {
            return None;
        };
        Some(Self { tv_sec, tv_nsec })
    }

    /// How much later `self` is than `earlier`; `None` if it is not, or if
    /// one of them is not normal.
    pub const fn checked_sub(self, earlier: Self) -> Option<Duration> {
        if self.tv_nsec < 0
            || self.tv_nsec > 999_999_999
            || earlier.tv_nsec < 0
            || earlier.tv_nsec > 999_999_999
            || self.tv_sec < earlier.tv_sec
        {
            return None;
        }
        let seconds = self.tv_sec.abs_diff(earlier.tv_sec);
        let nanoseconds = self.tv_nsec - earlier.tv_nsec;
        if nanoseconds >= 0 {
            return Some(Duration::new(seconds, nanoseconds as u32));
        }
        match seconds.checked_sub(1) {
            Some(seconds) => Some(Duration::new(seconds, (nanoseconds + 1_000_000_000) as u32)),
            None => None,
        }
    }
}

impl From<Duration> for Timespec {
    #[inline]
    fn from(duration: Duration) -> Self {
        Self::from_duration(duration)
    }
}

/// `struct timeval` (the kernel's `struct __kernel_old_timeval`): seconds and
/// microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
#[doc(alias = "struct timeval")]
#[doc(alias = "struct __kernel_old_timeval")]
pub struct Timeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds, 0 to 999,999.
    pub tv_usec: i64,
}

/// `struct timezone`: what was once told to `settimeofday`, and means nothing
/// to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct timezone")]
pub struct Timezone {
    /// Minutes west of Greenwich.
    pub tz_minuteswest: i32,
    /// A kind of daylight saving time.
    pub tz_dsttime: i32,
}

/// `struct itimerspec` (the kernel's `struct __kernel_itimerspec`): when a
/// timer expires, and how often again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct itimerspec")]
#[doc(alias = "struct __kernel_itimerspec")]
pub struct Itimerspec {
    /// From one expiration to the next; zero: only once.
    pub it_interval: Timespec,
    /// The first expiration; zero: the timer is disarmed.
    pub it_value: Timespec,
}

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
        // CPUCLOCK_SCHED, of <linux/posix-timers.h>, which is not public.
        Self((!pid << 3) | 2)
    }

    /// The processor time of a thread of this process, by its id; 0 is this
    /// one.
    #[inline]
    #[doc(alias = "pthread_getcpuclockid")]
    pub const fn of_thread(tid: i32) -> Self {
        // CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD_MASK.
        Self((!tid << 3) | 6)
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
/// `REALTIME` before what `MONOTONIC` says. `EPERM`: no `CAP_SYS_TIME`.
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
/// [`io::retry_on_intr`] would, is to sleep too long.
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
/// As [`nanosleep`]; `EINVAL` also for no such clock, or that of this thread.
/// `EOPNOTSUPP`: a clock that cannot wake anybody (`MONOTONIC_RAW`, the coarse
/// ones).
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
            clock.0,
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
            clock.0,
            TIMER_ABSTIME,
            &raw const *deadline,
            0
        )
    }
}

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
    unsafe { syscall_fd!(nr::TIMERFD_CREATE, clock.0, flags.bits()) }
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
/// `EINVAL`: 0, or not armed for anything. `ENOTTY`: not a timerfd, or a
/// kernel without `CONFIG_CHECKPOINT_RESTORE`. `ECANCELED`: the clock was set.
///
/// Manual page: [timerfd_create(2)](https://man7.org/linux/man-pages/man2/timerfd_create.2.html).
#[inline]
#[doc(alias = "TFD_IOC_SET_TICKS")]
pub fn timerfd_set_ticks<Fd: AsFd>(fd: Fd, ticks: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads eight bytes there, if this is a timerfd; the
    // number is no other driver's request.
    unsafe { syscall!(nr::IOCTL, fd.as_fd(), TFD_IOC_SET_TICKS, &raw const ticks) }.map(drop)
}
