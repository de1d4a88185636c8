//! Time, in nanoseconds.

use crate::event;
use crate::time::{ClockId, Timespec, clock_gettime};
use core::time::Duration;

/// By a clock that does not jump.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::MONOTONIC).unwrap_or(Timespec::ZERO);
    time.to_duration().unwrap_or_default().as_nanos() as u64
}

/// Sleeps so long, unless a signal comes.
pub(super) fn pause(nanoseconds: u64) {
    let time = Timespec::from_duration(Duration::from_nanos(nanoseconds));
    let _ = event::poll(&mut [], Some(time));
}
