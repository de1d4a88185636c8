//! Which calls are told.

use crate::nr::Sysno;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 8;
/// Calls from here on share the last bit: numbers that no kernel has yet.
const LAST: usize = WORDS * 64 - 1;

/// A set of system calls, for [`Trace::filter`](super::Trace::filter): those
/// that are told.
///
/// It can be changed at any time, by any thread; so it is the switch of a
/// tracer too.
///
/// ```
/// use barecall::nr;
/// use barecall::trace::Filter;
///
/// static FILTER: Filter = Filter::only(&[nr::OPENAT, nr::CLOSE]);
///
/// assert!(FILTER.contains(nr::OPENAT) && !FILTER.contains(nr::READ));
/// FILTER.parse("all,!read,!write")?;
/// assert!(FILTER.contains(nr::MMAP) && !FILTER.contains(nr::READ));
/// FILTER.parse("none")?;
/// assert!(!FILTER.contains(nr::OPENAT));
/// # Ok::<(), barecall::trace::UnknownName<'_>>(())
/// ```
pub struct Filter([AtomicU64; WORDS]);

/// A word of [`Filter::parse`] that is no system call of this architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName<'a>(pub &'a str);

impl fmt::Display for UnknownName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no system call is called ")?;
        f.write_str(self.0)
    }
}

impl core::error::Error for UnknownName<'_> {}

const fn place(call: Sysno) -> (usize, u64) {
    let number = call.as_usize();
    let number = if number < LAST { number } else { LAST };
    (number / 64, 1 << (number % 64))
}

impl Filter {
    /// Every call.
    pub const fn all() -> Self {
        Self([const { AtomicU64::new(!0) }; WORDS])
    }

    /// No call, until there are some.
    pub const fn none() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// These calls.
    pub const fn only(calls: &[Sysno]) -> Self {
        Self::listed(calls, 0)
    }

    /// Every call but these.
    pub const fn except(calls: &[Sysno]) -> Self {
        Self::listed(calls, !0)
    }

    const fn listed(mut calls: &[Sysno], otherwise: u64) -> Self {
        let mut words = [otherwise; WORDS];
        while let [call, rest @ ..] = calls {
            let (word, bit) = place(*call);
            // Below WORDS, as `place` has it.
            if word < WORDS {
                words[word] = if otherwise == 0 {
                    words[word] | bit
                } else {
                    words[word] & !bit
                };
            }
            calls = rest;
        }
        let [a, b, c, d, e, f, g, h] = words;
        Self([
            AtomicU64::new(a),
            AtomicU64::new(b),
            AtomicU64::new(c),
            AtomicU64::new(d),
            AtomicU64::new(e),
            AtomicU64::new(f),
            AtomicU64::new(g),
            AtomicU64::new(h),
        ])
    }

    /// Whether a call is in it.
    #[inline]
    pub fn contains(&self, call: Sysno) -> bool {
        let (word, bit) = place(call);
        let word = self.0.get(word);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// Puts a call in, or takes it out.
    pub fn set(&self, call: Sysno, told: bool) {
        let (word, bit) = place(call);
        if let Some(word) = self.0.get(word) {
            if told {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    fn set_all(&self, told: bool) {
        for word in &self.0 {
            word.store(if told { !0 } else { 0 }, Ordering::Relaxed);
        }
    }

    /// Changes it as a list of words says, from left to right: a call's name puts
    /// it in, with `!` before it takes it out; `all` and `none` are what they
    /// say. A first word with `!` begins with all, any other name with none.
    ///
    /// # Errors
    ///
    /// The word that no call of this architecture has as its name. Nothing is
    /// changed then.
    pub fn parse<'a>(&self, words: &'a str) -> Result<(), UnknownName<'a>> {
        let calls = || {
            words
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
        };
        let look_up = |word: &'a str| {
            let name = word.strip_prefix('!').unwrap_or(word);
            Sysno::from_name(name).ok_or(UnknownName(name))
        };
        for word in calls() {
            if !matches!(word, "all" | "none") {
                look_up(word)?;
            }
        }
        for (i, word) in calls().enumerate() {
            match word {
                "all" => self.set_all(true),
                "none" => self.set_all(false),
                _ => {
                    let told = !word.starts_with('!');
                    if i == 0 {
                        self.set_all(!told);
                    }
                    self.set(look_up(word)?, told);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = Sysno::iter().filter(|call| self.contains(*call));
        f.debug_set().entries(told).finish()
    }
}
