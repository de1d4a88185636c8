//! A lock, of one word.

use crate::futex::{self, FutexFlags};
use core::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep.
const AWAITED: u32 = 2;

/// Excludes the threads of one process from each other.
#[derive(Debug)]
pub(super) struct Mutex(AtomicU32);

/// As long as it lives, the lock is held.
pub(super) struct Held<'l>(&'l AtomicU32);

impl Mutex {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    pub(super) fn hold(&self) -> Held<'_> {
        let free = self
            .0
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        if free.is_err() {
            while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
                // Woken, interrupted or free already: the loop looks again.
                let _ = futex::wait(&self.0, FutexFlags::PRIVATE, AWAITED, None);
            }
        }
        Held(&self.0)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            let _ = futex::wake(self.0, FutexFlags::PRIVATE, 1);
        }
    }
}
