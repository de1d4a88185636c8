//! Time, in nanoseconds.

use crate::event;
use crate::time::{ClockId, Timespec};
use crate::vdso::Vdso;
use core::time::Duration;

/// `CLOCK_MONOTONIC`; read in the vDSO, where there is one.
pub(super) fn now(vdso: &Vdso) -> u64 {
    let time = vdso.clock_gettime_or_syscall(ClockId::MONOTONIC);
    let time = time.unwrap_or(Timespec::ZERO);
    time.to_duration().unwrap_or_default().as_nanos() as u64
}

/// Sleeps so long, unless a signal comes.
pub(super) fn pause(nanoseconds: u64) {
    let time = Timespec::from_duration(Duration::from_nanos(nanoseconds));
    let _ = event::poll(&mut [], Some(time));
}
