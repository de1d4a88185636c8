//! Clocks and points in time.

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
