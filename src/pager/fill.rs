//! Putting a block where it belongs, as far as it goes.

use super::stats::{Counters, add};
use crate::userfaultfd::{
    ContinueFlags, CopyFlags, Filled, PageRange, PoisonFlags, Stop, Userfaultfd, ZeroFlags,
};

/// What is put.
#[derive(Clone, Copy)]
pub(super) enum Content<'b> {
    Bytes(&'b [u8]),
    Zeros,
    InFile,
    Poison,
}

/// How it is put, and what is counted.
pub(super) struct Putter<'p> {
    pub uffd: &'p Userfaultfd,
    pub counters: &'p Counters,
    pub page_size: usize,
    pub protected: bool,
}

impl Putter<'_> {
    /// Fills what is missing of `block`, or if that cannot be, of a smaller
    /// one around `page`: the kernel fills within one mapping only, and a
    /// block may reach over its border.
    ///
    /// The address up to which it went, behind the page: that is there, and
    /// who waited for it has been woken.
    pub fn put(
        &self,
        block: PageRange,
        page: PageRange,
        content: Content<'_>,
    ) -> Result<usize, Stop> {
        let mut part = block;
        loop {
            let content = match content {
                Content::Bytes(bytes) => {
                    let from = part.start().saturating_sub(block.start());
                    let bytes = bytes.get(from..).and_then(|rest| rest.get(..part.len()));
                    match bytes {
                        Some(bytes) => Content::Bytes(bytes),
                        // The source gave less than it was asked for.
                        None => return Err(Stop::Invalid),
                    }
                }
                other => other,
            };
            let (reached, stop) = self.put_missing(part, content);
            if reached > page.start() {
                return Ok(reached);
            }
            match stop {
                None => return Ok(reached),
                Some(Stop::Unmapped | Stop::Source | Stop::Invalid | Stop::Other(_))
                    if part.len() > page.len() =>
                {
                    part = smaller(part, page);
                }
                Some(stop) => return Err(stop),
            }
        }
    }

    /// Goes through the range, past the pages that exist; gives the address
    /// that it came to, and why not farther.
    fn put_missing(&self, range: PageRange, content: Content<'_>) -> (usize, Option<Stop>) {
        let mut done = 0_usize;
        loop {
            let rest = range.after(done);
            if rest.is_empty() {
                return (range.end(), None);
            }
            let (filled, counter) = match content {
                Content::Bytes(bytes) => {
                    let bytes = bytes.get(done..).unwrap_or_default();
                    let flags = if self.protected {
                        CopyFlags::WP
                    } else {
                        CopyFlags::empty()
                    };
                    let filled = self.uffd.copy_once(rest.start(), bytes, flags);
                    (filled, &self.counters.copied)
                }
                Content::Zeros => {
                    let filled = self.uffd.zero_once(rest, ZeroFlags::empty());
                    (filled, &self.counters.zeroed)
                }
                Content::InFile => {
                    let flags = if self.protected {
                        ContinueFlags::WP
                    } else {
                        ContinueFlags::empty()
                    };
                    let filled = self.uffd.continue_once(rest, flags);
                    (filled, &self.counters.mapped)
                }
                Content::Poison => {
                    let filled = self.uffd.poison_once(rest, PoisonFlags::empty());
                    (filled, &self.counters.poisoned)
                }
            };
            let Filled { done: count, stop } = filled;
            add(counter, count as u64);
            done = done.saturating_add(count);
            match stop {
                None => {}
                Some(Stop::Short) if count > 0 => {}
                Some(Stop::Exists) => {
                    add(&self.counters.exists, 1);
                    // The kernel does not wake who waits for a page that is
                    // there.
                    let there = PageRange::new(range.after(done).start(), self.page_size);
                    let _ = self.uffd.wake(there);
                    done = done.saturating_add(self.page_size);
                }
                Some(stop) => return (range.after(done).start(), Some(stop)),
            }
        }
    }
}

/// A part about half as long, of whole pages, with `page` in it.
fn smaller(part: PageRange, page: PageRange) -> PageRange {
    let pages = part.len().checked_div(page.len()).unwrap_or(0);
    let below = (pages / 2).saturating_mul(page.len());
    let middle = part.start().saturating_add(below);
    if below == 0 {
        page
    } else if page.start() < middle {
        PageRange::new(part.start(), below)
    } else {
        part.after(below)
    }
}
