//! A lock for many readers or one writer, on a futex: for the threads of one
//! process.

use crate::futex::{self, FutexFlags};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Somebody writes.
const WRITER: u32 = 1 << 31;
/// Somebody sleeps; new readers queue up behind, so that writers get their
/// turn.
const SLEEPER: u32 = 1 << 30;

pub(super) struct Lock<T> {
    /// The number of readers, and the flags above.
    state: AtomicU32,
    value: UnsafeCell<T>,
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

// SAFETY: as for any lock of this kind.
unsafe impl<T: Send> Send for Lock<T> {}
// SAFETY: references to the value are handed to several threads, and it can be
// taken out by one.
unsafe impl<T: Send + Sync> Sync for Lock<T> {}

pub(super) struct Shared<'l, T>(&'l Lock<T>);
pub(super) struct Exclusive<'l, T>(&'l Lock<T>);

impl<T> Lock<T> {
    pub const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    pub fn read(&self) -> Shared<'_, T> {
        let mut state = self.state.load(Relaxed);
        loop {
            let next = if state & (WRITER | SLEEPER) == 0 {
                state.wrapping_add(1)
            } else {
                state | SLEEPER
            };
            // Where nobody can be waiting, nobody would be woken.
            let sleep = next & SLEEPER != 0;
            match self
                .state
                .compare_exchange_weak(state, next, Acquire, Relaxed)
            {
                Ok(_) if sleep => state = self.sleep(next),
                Ok(_) => return Shared(self),
                Err(now) => state = now,
            }
        }
    }

    pub fn write(&self) -> Exclusive<'_, T> {
        let mut state = self.state.load(Relaxed);
        loop {
            let free = state & !SLEEPER == 0;
            let next = if free {
                WRITER | state
            } else {
                state | SLEEPER
            };
            match self
                .state
                .compare_exchange_weak(state, next, Acquire, Relaxed)
            {
                Ok(_) if free => return Exclusive(self),
                Ok(_) => state = self.sleep(next),
                Err(now) => state = now,
            }
        }
    }

    fn sleep(&self, state: u32) -> u32 {
        // Any answer is a reason to look again.
        let _ = futex::wait(&self.state, FutexFlags::PRIVATE, state, None);
        self.state.load(Relaxed)
    }

    fn wake(&self) {
        let _ = futex::wake(&self.state, FutexFlags::PRIVATE, i32::MAX as u32);
    }
}

impl<T> Drop for Shared<'_, T> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(1, Release);
        if before == SLEEPER | 1 {
            // The last reader; the flag is only in the way now. Who comes in
            // between has the lock, and wakes those who set it again.
            if self
                .0
                .state
                .compare_exchange(SLEEPER, 0, Relaxed, Relaxed)
                .is_ok()
            {
                self.0.wake();
            }
        }
    }
}

impl<T> Drop for Exclusive<'_, T> {
    fn drop(&mut self) {
        if self.0.state.swap(0, Release) & SLEEPER != 0 {
            self.0.wake();
        }
    }
}

impl<T> Deref for Shared<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: readers only.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Deref for Exclusive<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: nobody else.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Exclusive<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: nobody else.
        unsafe { &mut *self.0.value.get() }
    }
}
