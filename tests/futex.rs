//! Futexes.

mod common;

use barecall::futex::{self, Futex2Flags, FutexClock, FutexFlags, FutexWaitv, MATCH_ANY};
use barecall::time::Timespec;
use barecall::{Errno, nr, syscall};
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

const PRIVATE: FutexFlags = FutexFlags::PRIVATE;
const SHARED: FutexFlags = FutexFlags::empty();
const SECOND: Option<Timespec> = Some(Timespec {
    tv_sec: 1,
    tv_nsec: 0,
});
const MILLISECOND: Option<Timespec> = Some(Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
});

/// Wakes until `n` were woken: they need a moment to sleep.
fn wake_exactly(n: usize, mut wake: impl FnMut(u32) -> Result<usize, Errno>) {
    let mut woken = 0;
    while woken < n {
        woken += wake((n - woken) as u32).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(woken, n);
}

/// THR-004
#[test]
fn waiting_for_another_value_is_eagain() {
    let word = AtomicU32::new(1);
    for flags in [PRIVATE, SHARED] {
        assert_eq!(futex::wait(&word, flags, 0, None), Err(Errno::EAGAIN));
        assert_eq!(
            futex::wait_bitset(&word, flags, 2, None, 1),
            Err(Errno::EAGAIN)
        );
    }
}

#[test]
fn flags_cannot_make_another_operation_of_it() {
    let word = AtomicU32::new(0);
    // FUTEX_WAIT with the bit of FUTEX_WAKE, and FUTEX_WAKE with one that would
    // make it FUTEX_WAKE_OP, which writes.
    let flags = |bits| PRIVATE | FutexFlags::from_bits_retain(bits);
    assert_eq!(futex::wait(&word, flags(1), 1, None), Err(Errno::EAGAIN));
    assert_eq!(futex::wake(&word, flags(4), 1), Ok(0));
    assert_eq!(
        futex::wait_bitset(&word, flags(2), 1, None, MATCH_ANY),
        Err(Errno::EAGAIN)
    );
    assert_eq!(futex::wake_bitset(&word, flags(5), 1, 1), Ok(0));
    assert_eq!(futex::requeue(&word, flags(4), 1, 1, &word), Ok(0));
    let other = futex::cmp_requeue(&word, flags(1), 1, 1, &word, 1);
    assert_eq!(other, Err(Errno::EAGAIN));
    assert_eq!(word.load(SeqCst), 0);
}

#[test]
fn the_clock_can_be_chosen_only_for_a_point_in_time() {
    let word = AtomicU32::new(0);
    let flags = PRIVATE | FutexFlags::CLOCK_REALTIME;
    if common::kernel_is_at_least(5, 14) && !common::under_qemu_user() {
        let wait = futex::wait(&word, flags, 1, None);
        assert_eq!(wait, Err(Errno::ENOSYS));
    }
    let wait = futex::wait_bitset(&word, flags, 1, None, 1);
    assert_eq!(wait, Err(Errno::EAGAIN));
}

#[test]
fn requeuing_to_the_same_word_is_no_error() {
    let word = AtomicU32::new(0);
    for flags in [PRIVATE, SHARED] {
        assert_eq!(futex::requeue(&word, flags, 1, 1, &word), Ok(0));
        assert_eq!(futex::cmp_requeue(&word, flags, 1, 1, &word, 0), Ok(0));
    }
}

/// THR-005
#[test]
fn a_time_limit_is_relative_or_absolute_and_checked() {
    let word = AtomicU32::new(0);
    assert_eq!(
        futex::wait(&word, PRIVATE, 0, MILLISECOND),
        Err(Errno::ETIMEDOUT)
    );
    // 1 ms after boot is over: absolute.
    assert_eq!(
        futex::wait_bitset(&word, PRIVATE, 0, MILLISECOND, MATCH_ANY),
        Err(Errno::ETIMEDOUT)
    );
    let realtime = PRIVATE | FutexFlags::CLOCK_REALTIME;
    assert_eq!(
        futex::wait_bitset(&word, realtime, 0, SECOND, MATCH_ANY),
        Err(Errno::ETIMEDOUT)
    );
    for (tv_sec, tv_nsec) in [(0, 1_000_000_000), (0, -1), (-1, 0)] {
        let bad = Some(Timespec { tv_sec, tv_nsec });
        assert_eq!(futex::wait(&word, PRIVATE, 0, bad), Err(Errno::EINVAL));
    }
    assert_eq!(
        futex::wait_bitset(&word, PRIVATE, 0, None, 0),
        Err(Errno::EINVAL)
    );
    assert_eq!(futex::wake_bitset(&word, PRIVATE, 1, 0), Err(Errno::EINVAL));
}

/// THR-008
#[test]
fn waking_wakes_as_many_as_asked_for() {
    for flags in [PRIVATE, SHARED] {
        let (word, up) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    while futex::wait(&word, flags, 0, None) == Err(Errno::EINTR) {}
                    up.fetch_add(1, SeqCst);
                });
            }
            wake_exactly(2, |n| futex::wake(&word, flags, n));
            while up.load(SeqCst) < 2 {
                std::thread::yield_now();
            }
            wake_exactly(3, |n| futex::wake(&word, flags, n));
        });
        assert_eq!(futex::wake(&word, flags, u32::MAX), Ok(0));
    }
}

/// THR-008: between processes, on shared memory and without PRIVATE.
#[test]
fn a_shared_word_wakes_another_process() {
    // SAFETY: a shared page; the child waits on it and ends.
    unsafe {
        let page = libc::mmap(
            core::ptr::null_mut(),
            4096,
            3,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        let word = AtomicU32::from_ptr(page.cast());
        let child = libc::fork();
        if child == 0 {
            while futex::wait(word, SHARED, 0, None) == Err(Errno::EINTR) {}
            libc::_exit(0);
        }
        wake_exactly(1, |n| futex::wake(word, SHARED, n));
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0);
    }
}

/// THR-009: the key of a shared word is its page, of which a huge one is many.
#[test]
fn two_words_of_a_huge_page_wake_their_own_waiters() {
    const HUGE: usize = 2 << 20;
    const MADV_COLLAPSE: i32 = 25;
    // From hugetlbfs, where the system has such pages to give away; and one made
    // of ordinary memory, on kernels and systems that do: else they are small
    // pages, and what is awaited is the same.
    let plain = libc::MAP_SHARED;
    let reserved = plain | libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
    // SAFETY: a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    for (flags, len) in [(reserved, HUGE), (plain, 2 * HUGE)] {
        // SAFETY: a new mapping, and words of it that nothing else knows of.
        unsafe {
            let flags = flags | libc::MAP_ANONYMOUS;
            let map = libc::mmap(core::ptr::null_mut(), len, 3, flags, -1, 0);
            if map == libc::MAP_FAILED {
                assert_ne!(flags & libc::MAP_HUGETLB, 0);
                continue;
            }
            let start = map.wrapping_byte_add(map.addr().wrapping_neg() % HUGE);
            // All its pages are there, which collapsing wants.
            for at in (0..HUGE).step_by(page) {
                start.byte_add(at).cast::<u8>().write_volatile(0);
            }
            libc::madvise(start, HUGE, libc::MADV_HUGEPAGE);
            libc::madvise(start, HUGE, MADV_COLLAPSE);
            let word = |offset: usize| AtomicU32::from_ptr(start.byte_add(offset).cast());
            // The same place in three small pages.
            let words = [word(64), word(page + 64), word(HUGE - page + 64)];
            std::thread::scope(|scope| {
                let waiters = words.map(|word| {
                    scope.spawn(|| while futex::wait(word, SHARED, 0, None) == Err(Errno::EINTR) {})
                });
                for (word, waiter) in words.into_iter().zip(waiters) {
                    wake_exactly(1, |n| futex::wake(word, SHARED, n));
                    waiter.join().unwrap();
                    assert_eq!(futex::wake(word, SHARED, u32::MAX), Ok(0));
                }
            });
            assert_eq!(libc::munmap(map, len), 0);
        }
    }
}

#[test]
fn waking_by_bits_wakes_who_has_one_in_common() {
    let word = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| futex::wait_bitset(&word, PRIVATE, 0, None, 0b01));
        let two = scope.spawn(|| futex::wait_bitset(&word, PRIVATE, 0, None, 0b10));
        wake_exactly(1, |n| futex::wake_bitset(&word, PRIVATE, n, 0b110));
        assert_eq!(two.join().unwrap(), Ok(()));
        assert_eq!(futex::wake_bitset(&word, PRIVATE, 9, 0b110), Ok(0));
        wake_exactly(1, |n| futex::wake_bitset(&word, PRIVATE, n, MATCH_ANY));
        assert_eq!(one.join().unwrap(), Ok(()));
    });
}

/// THR-010
#[test]
fn requeuing_moves_who_waits_and_counts() {
    let (word, target) = (AtomicU32::new(0), AtomicU32::new(0));
    let (from, to) = (&word, &target);
    assert_eq!(
        futex::cmp_requeue(from, PRIVATE, 1, 1, to, 1),
        Err(Errno::EAGAIN)
    );
    let wake = |word| futex::wake(word, PRIVATE, u32::MAX);
    // So many waiters asleep on the target, who began on the word; how many were
    // moved there, and what `steps` then say.
    let move_and = |n: usize, steps: &dyn Fn() -> [Result<usize, Errno>; 3]| {
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..n)
                .map(|_| scope.spawn(|| futex::wait(&word, PRIVATE, 0, None)))
                .collect();
            let move_to_target = |from| futex::cmp_requeue(from, PRIVATE, 0, u32::MAX, to, 0);
            let mut moved = 0;
            // From where they are to there: that counts them.
            while move_to_target(to).unwrap() < n {
                moved += move_to_target(from).unwrap();
                std::thread::yield_now();
            }
            let said = steps();
            while !waiters.iter().all(|waiter| waiter.is_finished()) {
                wake(from).unwrap();
                wake(to).unwrap();
                std::thread::yield_now();
            }
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Ok(()));
            }
            (moved, said)
        })
    };
    // The kernel may wake a waiter for nothing, and a moved one then waits
    // where it began: again, if it did.
    let undisturbed = |n, steps: &dyn Fn() -> [Result<usize, Errno>; 3], expected: [usize; 3]| {
        let expected = (n, expected.map(Ok));
        let again = (0..100).all(|_| move_and(n, steps) != expected);
        assert!(!again, "never {expected:?}");
    };
    // None is woken by being moved.
    undisturbed(3, &|| [wake(from), wake(to), wake(to)], [0, 3, 0]);
    // One is woken and the other moved back, and both are counted.
    let back = || futex::requeue(to, PRIVATE, 1, u32::MAX, from);
    undisturbed(2, &|| [back(), wake(to), wake(from)], [2, 0, 1]);
    for (wake, move_) in [(-1, 1), (1, -1)] {
        let (a, b) = (word.as_ptr(), target.as_ptr());
        // SAFETY: counts that the kernel refuses.
        let error = unsafe { syscall!(nr::FUTEX, a, 4 | 128, wake, move_, b, 0) };
        assert_eq!(error, Err(Errno::EINVAL));
    }
    // Counts past i32::MAX are cut, not refused.
    assert_eq!(
        futex::cmp_requeue(from, PRIVATE, u32::MAX, u32::MAX, to, 0),
        Ok(0)
    );
}

/// The kernel wakes the word of `CLONE_CHILD_CLEARTID` as a shared futex.
#[test]
fn a_private_wait_does_not_hear_a_shared_wake() {
    let word = AtomicU32::new(0);
    let limit = Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| futex::wait(&word, PRIVATE, 0, Some(limit)));
        while !waiter.is_finished() {
            assert_eq!(futex::wake(&word, SHARED, 1), Ok(0));
            std::thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), Err(Errno::ETIMEDOUT));
    });
}

fn has_waitv() -> bool {
    // qemu-user has no futex_waitv, whatever kernel it claims to be.
    let none = futex::waitv(&[], None, FutexClock::MONOTONIC);
    match none {
        Err(Errno::ENOSYS) => {
            assert!(!common::kernel_is_at_least(5, 16) || common::under_qemu_user())
        }
        other => {
            assert_eq!(other, Err(Errno::EINVAL));
            assert!(common::kernel_is_at_least(5, 16));
        }
    }
    none != Err(Errno::ENOSYS)
}

/// THR-013
#[test]
fn waiting_on_many_says_which_one() {
    let words = [const { AtomicU32::new(0) }; 3];
    for flags in [Futex2Flags::PRIVATE, Futex2Flags::empty()] {
        let list = words.each_ref().map(|word| FutexWaitv::new(word, flags, 0));
        if !has_waitv() {
            let error = futex::waitv(&list, SECOND, FutexClock::MONOTONIC);
            assert_eq!(error, Err(Errno::ENOSYS));
            continue;
        }
        let late = futex::waitv(&list, MILLISECOND, FutexClock::MONOTONIC);
        assert_eq!(late, Err(Errno::ETIMEDOUT));
        let late = futex::waitv(&list, SECOND, FutexClock::REALTIME);
        assert_eq!(late, Err(Errno::ETIMEDOUT));
        let wake = if flags.is_empty() { SHARED } else { PRIVATE };
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| futex::waitv(&list, None, FutexClock::MONOTONIC));
            wake_exactly(1, |n| futex::wake(&words[1], wake, n));
            assert_eq!(waiter.join().unwrap(), Ok(1));
        });
        let other = [FutexWaitv::new(&words[0], flags, 5)];
        let other = futex::waitv(&other, None, FutexClock::MONOTONIC);
        assert_eq!(other, Err(Errno::EAGAIN));
    }
}

/// THR-013
#[test]
fn waiting_on_many_refuses_what_it_cannot_read() {
    if !has_waitv() {
        return; // ENOSYS, which another test asserts
    }
    let word = AtomicU32::new(0);
    let good = FutexWaitv::new(&word, Futex2Flags::PRIVATE, 0);
    let clock = futex::waitv(&[good], SECOND, FutexClock::from_raw(2));
    assert_eq!(clock, Err(Errno::EINVAL));
    assert_eq!(
        futex::waitv(&[good; 129], None, FutexClock::MONOTONIC),
        Err(Errno::EINVAL)
    );
    let unknown = FutexWaitv::new(&word, Futex2Flags::from_bits_retain(1 << 20), 0);
    assert_eq!(
        futex::waitv(&[unknown], None, FutexClock::MONOTONIC),
        Err(Errno::EINVAL)
    );
    let address = word.as_ptr().addr() as u64;
    // (val, uaddr, flags): 8-bit words, a word that is not aligned, none.
    for (raw, errno) in [
        ([0, address, 128], Errno::EINVAL),
        ([0, address + 1, 2 | 128], Errno::EINVAL),
        ([0, 0, 2 | 128], Errno::EFAULT),
    ] {
        // SAFETY: the kernel reads 24 bytes.
        let error = unsafe {
            syscall!(
                nr::FUTEX_WAITV,
                raw.as_ptr(),
                1,
                0,
                SECOND
                    .as_ref()
                    .map_or(core::ptr::null(), core::ptr::from_ref),
                1
            )
        };
        assert_eq!(error, Err(errno));
    }
    // SAFETY: no list.
    let error = unsafe { syscall!(nr::FUTEX_WAITV, 0, 1, 0, 0, 1) };
    assert!(
        matches!(error, Err(Errno::EFAULT | Errno::EINVAL)),
        "{error:?}"
    );
}

/// THR-015
#[test]
fn a_robust_list_has_24_bytes_and_reads_back() {
    let (mut head, mut len) = (0_usize, 0_usize);
    // SAFETY: reads, and a length that is refused.
    unsafe {
        let got = syscall!(nr::GET_ROBUST_LIST, 0, &raw mut head, &raw mut len);
        if got == Err(Errno::ENOSYS) {
            skip!("no robust lists (qemu-user)");
        }
        assert_eq!(got, Ok(0));
        assert_eq!(syscall!(nr::SET_ROBUST_LIST, head, 23), Err(Errno::EINVAL));
        assert_eq!(syscall!(nr::SET_ROBUST_LIST, head, 24), Ok(0));
        let mut again = 0_usize;
        syscall!(nr::GET_ROBUST_LIST, 0, &raw mut again, &raw mut len).unwrap();
        assert_eq!((again, len), (head, 24));
    }
}

/// With `FUTEX2_NUMA` the kernel writes a node to the word behind.
#[test]
fn waiting_on_a_word_leaves_the_one_behind_alone() {
    #[repr(align(8))]
    struct Pair([AtomicU32; 2]);

    if !has_waitv() {
        return; // ENOSYS, which another test asserts
    }
    let pair = Pair([AtomicU32::new(0), AtomicU32::new(u32::MAX)]);
    let wait = |on| futex::waitv(&[on], None, FutexClock::MONOTONIC);
    let flags = Futex2Flags::PRIVATE | Futex2Flags::NUMA;
    assert_eq!(
        wait(FutexWaitv::new(&pair.0[0], flags, 1)),
        Err(Errno::EAGAIN)
    );
    assert_eq!(pair.0[1].load(SeqCst), u32::MAX);

    let wait = wait(FutexWaitv::new_numa(&pair.0, Futex2Flags::PRIVATE, 1));
    if wait == Err(Errno::EAGAIN) {
        assert!(common::kernel_is_at_least(6, 16));
        assert_ne!(pair.0[1].load(SeqCst), u32::MAX);
    } else {
        // Older, or built without NUMA.
        assert_eq!(wait, Err(Errno::EINVAL));
        assert_eq!(pair.0[1].load(SeqCst), u32::MAX);
    }
}
