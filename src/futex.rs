//! Waiting for a word of memory to change, and waking who waits.
//!
//! The word is an `AtomicU32` that the program reads and writes by itself; the
//! kernel is only asked to sleep while the word has an expected value, and to
//! wake. Every wait may end without a reason, so a wait is a loop around a
//! look at the word.
//!
//! [`FutexFlags::PRIVATE`] is never implied: waiting and waking must agree on it, and only
//! threads of one process may use it. What the *kernel* wakes, the word of
//! `CLONE_CHILD_CLEARTID`, is woken without.
//!
//! ```
//! use barecall::futex::{self, FutexFlags};
//! use barecall::Errno;
//! use core::sync::atomic::{AtomicU32, Ordering};
//!
//! static READY: AtomicU32 = AtomicU32::new(0);
//!
//! let waker = std::thread::spawn(|| {
//!     READY.store(1, Ordering::Release);
//!     futex::wake(&READY, FutexFlags::PRIVATE, 1)
//! });
//! while READY.load(Ordering::Acquire) == 0 {
//!     match futex::wait(&READY, FutexFlags::PRIVATE, 0, None) {
//!         Ok(()) | Err(Errno::EAGAIN | Errno::EINTR) => {}
//!         Err(other) => return Err(other),
//!     }
//! }
//! waker.join().unwrap()?;
//! # Ok::<(), Errno>(())
//! ```

use crate::errno::Errno;
use crate::flags::flags;
use crate::selector::selector;
use crate::time::Timespec;
use crate::{nr, syscall};
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::AtomicU32;

flags! {
    /// `FUTEX_*_FLAG`: which waiters are meant, and which clock.
    ///
    /// The bits below 128 are the operation itself, and are left out.
    pub struct FutexFlags: u32 {
        /// `FUTEX_PRIVATE_FLAG`: of this process only, found by address.
        /// Without it, waiters on the same memory in any process.
        #[doc(alias = "FUTEX_PRIVATE_FLAG")]
        const PRIVATE = 128;
        /// `FUTEX_CLOCK_REALTIME`: the time limit is by that clock, not by
        /// `CLOCK_MONOTONIC`. Only for [`wait_bitset`]; the others say
        /// `ENOSYS` (but for [`wait`] on some old kernels).
        #[doc(alias = "FUTEX_CLOCK_REALTIME")]
        const CLOCK_REALTIME = 256;
        const _ = !0;
    }
}

// <linux/futex.h>
const FUTEX_WAIT: u32 = 0;
const FUTEX_WAKE: u32 = 1;
const FUTEX_REQUEUE: u32 = 3;
const FUTEX_CMP_REQUEUE: u32 = 4;
const FUTEX_WAIT_BITSET: u32 = 9;
const FUTEX_WAKE_BITSET: u32 = 10;

/// `FUTEX_BITSET_MATCH_ANY`: every waiter, whatever its bits.
#[doc(alias = "FUTEX_BITSET_MATCH_ANY")]
pub const MATCH_ANY: u32 = 0xffff_ffff;

/// `futex(uaddr, FUTEX_WAIT, val, timeout)`: sleeps while `word` is `expected`,
/// until woken, for `timeout` at most.
///
/// The time is *relative*; for a point in time, see [`wait_bitset`].
///
/// # Errors
///
/// `EAGAIN`: `word` is not `expected`. `ETIMEDOUT`. `EINTR`: a signal was
/// handled. `EINVAL`: nanoseconds outside of 0 to 999,999,999, or negative
/// seconds. `ENOSYS`: [`FutexFlags::CLOCK_REALTIME`].
///
/// ```
/// use barecall::Errno;
/// use barecall::futex::{self, FutexFlags};
/// use barecall::time::Timespec;
/// use core::sync::atomic::AtomicU32;
///
/// let word = AtomicU32::new(1);
/// let millisecond = Some(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
/// assert_eq!(futex::wait(&word, FutexFlags::PRIVATE, 0, millisecond), Err(Errno::EAGAIN));
/// assert_eq!(futex::wait(&word, FutexFlags::PRIVATE, 1, millisecond), Err(Errno::ETIMEDOUT));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html).
#[inline]
#[doc(alias = "FUTEX_WAIT")]
pub fn wait(
    word: &AtomicU32,
    flags: FutexFlags,
    expected: u32,
    timeout: Option<Timespec>,
) -> Result<(), Errno> {
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let op = operation(FUTEX_WAIT, flags);
    // SAFETY: the kernel reads the word and perhaps a time.
    unsafe { syscall!(nr::FUTEX, word.as_ptr(), op, expected, timeout) }.map(|_| ())
}

/// `futex(uaddr, FUTEX_WAIT_BITSET, val, timeout, NULL, bitset)`: sleeps while
/// `word` is `expected`, until woken by a [`wake_bitset`] with a bit in common,
/// or until the point in time `deadline`.
///
/// # Errors
///
/// As [`wait`], but for `ENOSYS`; `EINVAL` also for no bit at all.
///
/// ```
/// use barecall::Errno;
/// use barecall::futex::{self, FutexFlags};
/// use barecall::time::Timespec;
/// use core::sync::atomic::AtomicU32;
///
/// let long_ago = Some(Timespec { tv_sec: 1, tv_nsec: 0 });
/// let flags = FutexFlags::PRIVATE | FutexFlags::CLOCK_REALTIME;
/// let late = futex::wait_bitset(&AtomicU32::new(0), flags, 0, long_ago, futex::MATCH_ANY);
/// assert_eq!(late, Err(Errno::ETIMEDOUT));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html).
#[inline]
#[doc(alias = "FUTEX_WAIT_BITSET")]
pub fn wait_bitset(
    word: &AtomicU32,
    flags: FutexFlags,
    expected: u32,
    deadline: Option<Timespec>,
    bitset: u32,
) -> Result<(), Errno> {
    let deadline = deadline.as_ref().map_or(ptr::null(), ptr::from_ref);
    let op = operation(FUTEX_WAIT_BITSET, flags);
    // SAFETY: the kernel reads the word and perhaps a time.
    unsafe { syscall!(nr::FUTEX, word.as_ptr(), op, expected, deadline, 0, bitset) }.map(|_| ())
}

/// `futex(uaddr, FUTEX_WAKE, val)`: wakes at most `count` of those that wait on
/// `word`, and says how many.
///
/// A `count` above `i32::MAX` is all of them; 0 wakes one, as the kernel has
/// it.
///
/// # Errors
///
/// None for a word that is there.
///
/// ```
/// use barecall::futex::{self, FutexFlags};
/// use core::sync::atomic::AtomicU32;
///
/// assert_eq!(futex::wake(&AtomicU32::new(0), FutexFlags::PRIVATE, u32::MAX)?, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html).
#[inline]
#[doc(alias = "FUTEX_WAKE")]
pub fn wake(word: &AtomicU32, flags: FutexFlags, count: u32) -> Result<usize, Errno> {
    let op = operation(FUTEX_WAKE, flags);
    // SAFETY: the address is only a name.
    unsafe { syscall!(nr::FUTEX, word.as_ptr(), op, limit(count)) }
}

/// `futex(uaddr, FUTEX_WAKE_BITSET, val, NULL, NULL, bitset)`: wakes at most
/// `count` of those that wait on `word` with a bit in common.
///
/// # Errors
///
/// `EINVAL`: no bit at all.
///
/// ```
/// use barecall::futex::{self, FutexFlags};
/// use core::sync::atomic::AtomicU32;
///
/// assert_eq!(futex::wake_bitset(&AtomicU32::new(0), FutexFlags::PRIVATE, 1, 0b10)?, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html).
#[inline]
#[doc(alias = "FUTEX_WAKE_BITSET")]
pub fn wake_bitset(
    word: &AtomicU32,
    flags: FutexFlags,
    count: u32,
    bitset: u32,
) -> Result<usize, Errno> {
    let op = operation(FUTEX_WAKE_BITSET, flags);
    // SAFETY: the address is only a name.
    unsafe { syscall!(nr::FUTEX, word.as_ptr(), op, limit(count), 0, 0, bitset) }
}

/// `futex(uaddr, FUTEX_REQUEUE, val, val2, uaddr2)`: wakes at most `wake` of
/// those that wait on `word`, and lets at most `requeue` of the others wait on
/// `target` instead. Gives how many were woken *or* moved (the manual page
/// says woken, but the kernel counts both).
///
/// [`cmp_requeue`] does the same without a race, and is what one wants.
///
/// The two words may be the same one.
///
/// # Errors
///
/// None for words that are there.
///
/// ```
/// use barecall::futex::{self, FutexFlags};
/// use core::sync::atomic::AtomicU32;
///
/// let (word, target) = (AtomicU32::new(0), AtomicU32::new(0));
/// assert_eq!(futex::requeue(&word, FutexFlags::PRIVATE, 1, u32::MAX, &target)?, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html).
#[inline]
#[doc(alias = "FUTEX_REQUEUE")]
pub fn requeue(
    word: &AtomicU32,
    flags: FutexFlags,
    wake: u32,
    requeue: u32,
    target: &AtomicU32,
) -> Result<usize, Errno> {
    let op = operation(FUTEX_REQUEUE, flags);
    let (wake, requeue) = (limit(wake), limit(requeue));
    // SAFETY: the addresses are only names.
    unsafe { syscall!(nr::FUTEX, word.as_ptr(), op, wake, requeue, target.as_ptr()) }
}

/// `futex(uaddr, FUTEX_CMP_REQUEUE, val, val2, uaddr2, val3)`: as
/// [`requeue`], but only if `word` is still `expected`.
///
/// # Errors
///
/// `EAGAIN`: `word` is not `expected`.
///
/// ```
/// use barecall::Errno;
/// use barecall::futex::{self, FutexFlags};
/// use core::sync::atomic::AtomicU32;
///
/// let (word, target) = (AtomicU32::new(5), AtomicU32::new(0));
/// let moved = futex::cmp_requeue(&word, FutexFlags::PRIVATE, 1, u32::MAX, &target, 4);
/// assert_eq!(moved, Err(Errno::EAGAIN));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html).
#[inline]
#[doc(alias = "FUTEX_CMP_REQUEUE")]
pub fn cmp_requeue(
    word: &AtomicU32,
    flags: FutexFlags,
    wake: u32,
    requeue: u32,
    target: &AtomicU32,
    expected: u32,
) -> Result<usize, Errno> {
    let op = operation(FUTEX_CMP_REQUEUE, flags);
    let (wake, requeue, target) = (limit(wake), limit(requeue), target.as_ptr());
    // SAFETY: the kernel reads the word; the other address is only a name.
    unsafe {
        syscall!(
            nr::FUTEX,
            word.as_ptr(),
            op,
            wake,
            requeue,
            target,
            expected
        )
    }
}

/// Flags cannot make another operation of it, which might write to what it
/// takes for an address (`FUTEX_WAKE_OP`).
#[inline]
fn operation(op: u32, flags: FutexFlags) -> u32 {
    op | (flags.bits() & !127)
}

/// To the kernel a count is an int, and a negative one is an error.
#[inline]
fn limit(count: u32) -> u32 {
    count.min(i32::MAX as u32)
}

flags! {
    /// `FUTEX2_*`: how a word of [`waitv`] is waited on.
    pub struct Futex2Flags: u32 {
        /// `FUTEX2_SIZE_U32`: a word of 32 bits. [`FutexWaitv::new`] sets it.
        #[doc(alias = "FUTEX2_SIZE_U32")]
        const SIZE_U32 = 2;
        /// `FUTEX2_NUMA`: the next word says the node (since Linux 6.16). The
        /// kernel may write there, so only [`FutexWaitv::new_numa`] sets it.
        #[doc(alias = "FUTEX2_NUMA")]
        const NUMA = 4;
        /// `FUTEX2_MPOL`: the node is that of the memory (since Linux 6.16).
        #[doc(alias = "FUTEX2_MPOL")]
        const MPOL = 8;
        /// `FUTEX2_PRIVATE`: of this process only; see
        /// [`FutexFlags::PRIVATE`].
        #[doc(alias = "FUTEX2_PRIVATE")]
        const PRIVATE = 128;
        const _ = !0;
    }
}

/// `struct futex_waitv`: one word that [`waitv`] waits on.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct futex_waitv")]
pub struct FutexWaitv<'a> {
    val: u64,
    uaddr: u64,
    flags: Futex2Flags,
    __reserved: u32,
    borrow: PhantomData<&'a AtomicU32>,
}

impl<'a> FutexWaitv<'a> {
    /// Waits while `word` is `expected`. [`Futex2Flags::NUMA`] is left out:
    /// what lies behind `word` is another's.
    #[inline]
    pub fn new(word: &'a AtomicU32, flags: Futex2Flags, expected: u32) -> Self {
        Self::at(word.as_ptr(), flags.difference(Futex2Flags::NUMA), expected)
    }

    /// `FUTEX2_NUMA`: waits while the first word is `expected`, on the node
    /// that the second one says; for `u32::MAX` there, the kernel chooses one
    /// and writes it there. The pair is aligned to 8 bytes, else `EINVAL`
    /// (since Linux 6.16).
    #[inline]
    pub fn new_numa(words: &'a [AtomicU32; 2], flags: Futex2Flags, expected: u32) -> Self {
        let first = words.as_ptr().cast::<u32>().cast_mut();
        Self::at(first, flags | Futex2Flags::NUMA, expected)
    }

    fn at(word: *mut u32, flags: Futex2Flags, expected: u32) -> Self {
        Self {
            val: expected.into(),
            uaddr: word.expose_provenance() as u64,
            flags: flags | Futex2Flags::SIZE_U32,
            __reserved: 0,
            borrow: PhantomData,
        }
    }
}

selector! {
    /// The clock of a [`waitv`] deadline.
    pub struct FutexClock: u32 {
        /// `CLOCK_REALTIME`.
        #[doc(alias = "CLOCK_REALTIME")]
        const REALTIME = 0;
        /// `CLOCK_MONOTONIC`.
        #[doc(alias = "CLOCK_MONOTONIC")]
        const MONOTONIC = 1;
    }
}

/// `futex_waitv(waiters, nr_futexes, 0, timeout, clockid)`: sleeps while each
/// of up to 128 words has its expected value, until one is woken, or until the
/// point in time `deadline` (since Linux 5.16).
///
/// Gives the index of a word that was woken. Others may have been too.
///
/// # Errors
///
/// `EAGAIN`: a word has not its expected value. `ETIMEDOUT`. `EINTR`: a signal
/// was handled. `EINVAL`: no words, more than 128, an unknown flag or clock.
/// `ENOSYS`: an older kernel.
///
/// ```no_run
/// use barecall::futex::{self, Futex2Flags, FutexClock, FutexWaitv};
/// use core::sync::atomic::AtomicU32;
///
/// let (left, right) = (AtomicU32::new(0), AtomicU32::new(0));
/// let which = futex::waitv(
///     &[
///         FutexWaitv::new(&left, Futex2Flags::PRIVATE, 0),
///         FutexWaitv::new(&right, Futex2Flags::PRIVATE, 0),
///     ],
///     None,
///     FutexClock::MONOTONIC,
/// )?;
/// assert!(which < 2);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [futex_waitv(2)](https://man7.org/linux/man-pages/man2/futex_waitv.2.html).
#[inline]
#[doc(alias = "futex_waitv")]
pub fn waitv(
    waiters: &[FutexWaitv<'_>],
    deadline: Option<Timespec>,
    clock: FutexClock,
) -> Result<usize, Errno> {
    let (list, n) = (waiters.as_ptr(), waiters.len().min(u32::MAX as usize));
    let deadline = deadline.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads the structures, the words and perhaps a time.
    unsafe { syscall!(nr::FUTEX_WAITV, list, n, 0, deadline, clock.0) }
}
