//! Faults that are put off.

use crate::userfaultfd::Parked;

/// How many can be put off at one time.
pub(super) const ROOM: usize = 64;

const MICROSECOND: u64 = 1000;
const MILLISECOND: u64 = 1000 * MICROSECOND;

/// Why a fault is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The process is changing its mappings.
    Changing,
    /// The source said so.
    Later,
    /// The source failed, and the policy is to stall; or there is no memory.
    Failed,
    /// It is in no region, or of an unknown kind.
    Stray,
}

impl Why {
    /// The first delay and the longest, in nanoseconds. Each is twice the one
    /// before.
    const fn delays(self) -> (u64, u64) {
        match self {
            Self::Changing => (50 * MICROSECOND, 5 * MILLISECOND),
            Self::Later => (100 * MICROSECOND, 10 * MILLISECOND),
            Self::Failed => (MILLISECOND, 500 * MILLISECOND),
            Self::Stray => (MILLISECOND, 100 * MILLISECOND),
        }
    }
}

/// A fault that waits for its next try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deferred {
    pub fault: Parked,
    /// When it was read.
    pub since: u64,
    why: Why,
    delay: u64,
    due: u64,
}

impl Deferred {
    pub fn new(fault: Parked, since: u64) -> Self {
        Self {
            fault,
            since,
            why: Why::Changing,
            delay: 0,
            due: 0,
        }
    }

    /// Whether it has not been put off yet.
    pub const fn is_new(&self) -> bool {
        self.delay == 0
    }

    /// Its next try is after a delay, longer each time.
    pub fn delayed(mut self, why: Why, now: u64) -> Self {
        let (first, longest) = why.delays();
        self.delay = if self.why == why && self.delay > 0 {
            self.delay.saturating_mul(2).min(longest)
        } else {
            first
        };
        self.why = why;
        self.due = now.saturating_add(self.delay);
        self
    }

    /// Whether it has come to the longest delay.
    pub fn is_stuck(&self, why: Why) -> bool {
        self.why == why && self.delay >= why.delays().1
    }

    /// It is due now, if it is put off for one of these reasons.
    fn hurry(&mut self, reasons: &[Why]) {
        if reasons.contains(&self.why) {
            self.due = 0;
        }
    }

    fn waits_as(&self, other: &Parked) -> bool {
        // The same page and reason: resolving one wakes both.
        self.fault.address() == other.address() && self.fault.flags() == other.flags()
    }
}

/// The faults that are put off, each page once.
#[derive(Debug)]
pub(super) struct Queue {
    slots: [Option<Deferred>; ROOM],
    len: usize,
}

impl Queue {
    pub const fn new() -> Self {
        Self {
            slots: [None; ROOM],
            len: 0,
        }
    }

    /// Puts one in; `false` if there is no room.
    pub fn push(&mut self, deferred: Deferred) -> bool {
        let mut free = None;
        for slot in &mut self.slots {
            match slot {
                Some(other) if other.waits_as(&deferred.fault) => return true,
                Some(_) => {}
                None => free = free.or(Some(slot)),
            }
        }
        match free {
            Some(slot) => {
                *slot = Some(deferred);
                self.len = self.len.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// Takes one out that is due.
    pub fn pop_due(&mut self, now: u64) -> Option<Deferred> {
        let due = |slot: &&mut Option<Deferred>| slot.is_some_and(|one| one.due <= now);
        let taken = self.slots.iter_mut().find(due)?.take();
        self.len = self.len.saturating_sub(1);
        taken
    }

    /// Lets go of all, and keeps them: they are due, to whoever comes next.
    pub fn give_up(&mut self, wake: impl Fn(&Parked)) {
        for one in self.slots.iter_mut().flatten() {
            one.due = 0;
            wake(&one.fault);
        }
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        self.slots.iter().flatten().map(|one| one.due).min()
    }

    pub fn hurry(&mut self, reasons: &[Why]) {
        for one in self.slots.iter_mut().flatten() {
            one.hurry(reasons);
        }
    }

    pub const fn len(&self) -> usize {
        self.len
    }
}
