//! Signal numbers, and sets of them.

use core::fmt;
use core::num::NonZeroI32;
use core::ops::{BitAnd, BitOr, Not, Sub};

/// The number of a signal, 1 to 64.
///
/// All 64 can be made, the real-time ones too. 32 and 33 are ordinary to the
/// kernel and to this crate; glibc and musl keep them (and musl 34) for
/// themselves, and a program that has a libc should leave those alone.
///
/// ```
/// use barecall::signal::Signal;
///
/// assert_eq!(Signal::new(15), Some(Signal::SIGTERM));
/// assert_eq!(Signal::SIGTERM.as_raw(), 15);
/// assert_eq!(format!("{:?} {:?}", Signal::SIGCHLD, Signal::realtime(3)), "SIGCHLD Some(SIGRTMIN+3)");
/// assert_eq!(Signal::new(0), None);
/// assert_eq!(Signal::new(65), None);
/// ```
///
/// Manual page: [signal(7)](https://man7.org/linux/man-pages/man7/signal.7.html).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Signal(NonZeroI32);

impl Signal {
    /// The signal of this number; `None` unless it is 1 to 64.
    #[inline]
    pub const fn new(number: i32) -> Option<Self> {
        match NonZeroI32::new(number) {
            Some(number) if number.get() >= 1 && number.get() <= 64 => Some(Self(number)),
            _ => None,
        }
    }

    /// The real-time signal 32 + `n`, as the kernel counts; `None` for `n`
    /// above 32.
    ///
    /// A libc's `SIGRTMIN` is higher: 34 for glibc, 35 for musl.
    #[inline]
    pub const fn realtime(n: u32) -> Option<Self> {
        match n {
            0..=32 => Self::new(32 + n as i32),
            _ => None,
        }
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> i32 {
        self.0.get()
    }

    /// The C name, for 1 to 31, which have one.
    pub const fn name(self) -> Option<&'static str> {
        name(self.as_raw())
    }

    /// All 64, from 1 on.
    #[inline]
    pub fn iter() -> SigSetIter {
        SigSet::ALL.iter()
    }

    const fn known(number: i32) -> Self {
        match Self::new(number) {
            Some(signal) => signal,
            None => panic!("a signal is 1 to 64"),
        }
    }

    /// The bit in a kernel `sigset_t`.
    #[inline]
    const fn bit(self) -> u64 {
        // 0 to 63, which the compiler is not told: wrapping, not checked.
        1_u64.wrapping_shl((self.as_raw() as u32).wrapping_sub(1))
    }
}

macro_rules! signals {
    ($($number:literal $name:ident $what:literal;)*) => {
        impl Signal {
            $(
                #[doc = concat!("`", stringify!($name), "` (", $number, "): ", $what, ".")]
                pub const $name: Self = Self::known($number);
            )*
        }

        const fn name(number: i32) -> Option<&'static str> {
            match number {
                $($number => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

// <asm/signal.h>: the same on x86_64 and aarch64.
signals! {
    1 SIGHUP "the terminal is gone, or the session's leader";
    2 SIGINT "interrupted from the keyboard";
    3 SIGQUIT "quit from the keyboard, with a core dump";
    4 SIGILL "an illegal instruction";
    5 SIGTRAP "a breakpoint or a trace trap";
    6 SIGABRT "aborted";
    7 SIGBUS "memory that cannot be had: past the end of a file, poisoned, unaligned, a userfaultfd's answer";
    8 SIGFPE "arithmetic: an integer divided by zero, mostly";
    9 SIGKILL "killed; cannot be caught, blocked or ignored";
    10 SIGUSR1 "free for use";
    11 SIGSEGV "memory that is not mapped, or not for that access";
    12 SIGUSR2 "free for use";
    13 SIGPIPE "written to a pipe or socket that nobody reads";
    14 SIGALRM "a timer of `alarm` or `setitimer`";
    15 SIGTERM "asked to end";
    16 SIGSTKFLT "not used by the kernel";
    17 SIGCHLD "a child ended, stopped or went on";
    18 SIGCONT "go on, if stopped";
    19 SIGSTOP "stopped; cannot be caught, blocked or ignored";
    20 SIGTSTP "stopped from the keyboard";
    21 SIGTTIN "a background process read from the terminal";
    22 SIGTTOU "a background process wrote to the terminal";
    23 SIGURG "urgent data on a socket";
    24 SIGXCPU "more processor time than allowed";
    25 SIGXFSZ "a file larger than allowed";
    26 SIGVTALRM "a timer of `setitimer` that counts time in user mode";
    27 SIGPROF "a timer of `setitimer` that counts processor time";
    28 SIGWINCH "the terminal's window changed its size";
    29 SIGIO "input or output is possible (`F_SETSIG`, `O_ASYNC`)";
    30 SIGPWR "a power failure";
    31 SIGSYS "a system call that a filter refused";
}

impl Signal {
    /// `SIGIOT`: another name of [`Signal::SIGABRT`].
    pub const SIGIOT: Self = Self::SIGABRT;
    /// `SIGUNUSED`: an old name of [`Signal::SIGSYS`].
    pub const SIGUNUSED: Self = Self::SIGSYS;
    /// `SIGPOLL`: another name of [`Signal::SIGIO`].
    pub const SIGPOLL: Self = Self::SIGIO;
    /// `SIGRTMIN` (32): the first real-time signal *of the kernel*; see
    /// [`Signal::realtime`].
    pub const SIGRTMIN: Self = Self::known(32);
    /// `SIGRTMAX` (64): the last signal.
    pub const SIGRTMAX: Self = Self::known(64);
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => {
                f.write_str("SIGRTMIN+")?;
                fmt::Display::fmt(&self.as_raw().wrapping_sub(32), f)
            }
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl crate::syscall::Arg for Signal {
    #[inline]
    fn to_reg(self) -> crate::arch::Reg {
        self.as_raw().to_reg()
    }
}

impl crate::syscall::Arg for Option<Signal> {
    /// `None` is 0, by which `kill` only asks whether it could.
    #[inline]
    fn to_reg(self) -> crate::arch::Reg {
        self.map_or(0, Signal::as_raw).to_reg()
    }
}

/// `sigset_t` as the kernel has it: a set of signals, in 64 bits.
///
/// ```
/// use barecall::signal::{SigSet, Signal};
///
/// const STOP: SigSet = SigSet::EMPTY.with(Signal::SIGTERM).with(Signal::SIGINT);
/// assert!(STOP.contains(Signal::SIGINT) && !STOP.contains(Signal::SIGHUP));
/// assert_eq!(STOP.iter().collect::<Vec<_>>(), [Signal::SIGINT, Signal::SIGTERM]);
/// assert_eq!(!STOP | STOP, SigSet::ALL);
/// ```
///
/// Manual page: [sigsetops(3)](https://man7.org/linux/man-pages/man3/sigsetops.3.html).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
#[doc(alias = "sigset_t")]
pub struct SigSet(u64);

impl SigSet {
    /// No signal.
    #[doc(alias = "sigemptyset")]
    pub const EMPTY: Self = Self(0);
    /// All 64.
    #[doc(alias = "sigfillset")]
    pub const ALL: Self = Self(!0);

    /// The set of these.
    #[inline]
    pub const fn of(signals: &[Signal]) -> Self {
        let mut set = Self::EMPTY;
        let mut rest = signals;
        while let [signal, tail @ ..] = rest {
            set = set.with(*signal);
            rest = tail;
        }
        set
    }

    /// The set whose bit `n - 1` says whether signal `n` is in it.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits: `n - 1` for signal `n`.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// This set and `signal`.
    #[inline]
    #[must_use]
    #[doc(alias = "sigaddset")]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | signal.bit())
    }

    /// This set without `signal`.
    #[inline]
    #[must_use]
    #[doc(alias = "sigdelset")]
    pub const fn without(self, signal: Signal) -> Self {
        Self(self.0 & !signal.bit())
    }

    /// What is in either.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[inline]
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is not in it.
    #[inline]
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(!self.0)
    }

    /// Whether `signal` is in it.
    #[inline]
    #[doc(alias = "sigismember")]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// Whether nothing is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in it.
    #[inline]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// What is in it, in the order of the numbers.
    #[inline]
    pub const fn iter(self) -> SigSetIter {
        SigSetIter(self.0)
    }
}

impl BitOr for SigSet {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitAnd for SigSet {
    type Output = Self;
    #[inline]
    fn bitand(self, other: Self) -> Self {
        self.intersection(other)
    }
}

impl Sub for SigSet {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        self.intersection(other.complement())
    }
}

impl Not for SigSet {
    type Output = Self;
    #[inline]
    fn not(self) -> Self {
        self.complement()
    }
}

impl From<Signal> for SigSet {
    #[inline]
    fn from(signal: Signal) -> Self {
        Self::EMPTY.with(signal)
    }
}

impl FromIterator<Signal> for SigSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        signals.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl IntoIterator for SigSet {
    type Item = Signal;
    type IntoIter = SigSetIter;
    #[inline]
    fn into_iter(self) -> SigSetIter {
        self.iter()
    }
}

impl fmt::Debug for SigSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The signals of a [`SigSet`], in the order of their numbers.
#[derive(Clone, Debug)]
pub struct SigSetIter(u64);

impl Iterator for SigSetIter {
    type Item = Signal;

    #[inline]
    fn next(&mut self) -> Option<Signal> {
        let signal = Signal::new(self.0.trailing_zeros() as i32 + 1)?;
        self.0 &= !signal.bit();
        Some(signal)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.count_ones() as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for SigSetIter {}
