//! Clocks and points in time.
//!
//! The clock functions here enter the kernel; [`Vdso`](crate::vdso::Vdso) has
//! those that need not.

mod clock;
mod sleep;
mod timerfd;

pub use clock::*;
pub use sleep::*;
pub use timerfd::*;

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
