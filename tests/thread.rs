//! Threads of our own. The closures run in a process with libc, and keep the
//! promise of `spawn`: they call nothing of it. What counts mappings, or needs
//! signals or limits, is done in a forked child that is alone.

mod common;

use barecall::signal::{self, How, SaFlags, SigSet, Sigaction, Siginfo, Signal};
use barecall::thread::{self, CpuSet};
use barecall::time::Timespec;
use barecall::{Errno, nr, process, syscall};
use common::{in_child, wait_status_of_child};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::Arc;

const STACK: usize = 32 * 1024;

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

/// Not the names in /proc/self/task: while threads end, it leaves some out.
fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let number = lines.find_map(|line| line.strip_prefix("Threads:"));
    number.unwrap().trim().parse().unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What must be as it was in the end.
#[derive(Debug, PartialEq)]
struct Counts {
    mappings: usize,
    descriptors: usize,
    /// One, but for those that qemu-user has for itself.
    threads: usize,
}

/// Counts, once the allocator has what it needs to count.
fn counts() -> Counts {
    let _ = (mappings(), descriptors(), threads());
    Counts {
        mappings: mappings(),
        descriptors: descriptors(),
        threads: threads(),
    }
}

impl Counts {
    /// Waits until the threads are gone: they need a moment even after they
    /// can be joined, or have unmapped their stacks.
    fn wait_for_threads(&self) {
        while threads() > self.threads {
            thread::sched_yield();
        }
    }

    #[track_caller]
    fn are_back(&self) {
        self.wait_for_threads();
        assert_eq!(counts(), *self);
    }
}

/// THR-001; and PRC-007, a `clone` with a stack of its own, which is given what
/// it runs and finds the words for its number on either processor.
#[test]
fn a_thread_is_of_this_process_and_gives_its_value_back() {
    // SAFETY: no call into std.
    let handle = unsafe { thread::spawn(STACK, || (process::getpid(), thread::gettid())) }.unwrap();
    let id = handle.id();
    assert_eq!(handle.join(), Ok((process::getpid(), id)));
    assert_ne!(id, process::getpid());
}

/// THR-002, KCM-014: what a thread shares, by kcmp.
#[test]
fn a_thread_shares_memory_descriptors_directory_actions_and_semaphores() {
    static GO: AtomicU32 = AtomicU32::new(0);
    // SAFETY: no call into std.
    let handle = unsafe {
        thread::spawn(STACK, || {
            while GO.load(SeqCst) == 0 {
                thread::sched_yield();
            }
        })
    }
    .unwrap();
    let (own, other) = (process::getpid().as_raw(), handle.id().as_raw());
    let kinds = [
        ("VM", 1),
        ("FILES", 2),
        ("FS", 3),
        ("SIGHAND", 4),
        ("SYSVSEM", 6),
    ];
    // SAFETY: compares, and touches no memory of ours.
    let same =
        kinds.map(|(name, kind)| (name, unsafe { syscall!(nr::KCMP, own, other, kind, 0, 0) }));
    GO.store(1, SeqCst);
    handle.join().unwrap();
    for (name, same) in same {
        assert_eq!(same, Ok(0), "{name}");
    }
}

#[test]
fn a_stack_of_no_bytes_or_too_many_is_an_error_and_leaves_nothing() {
    in_child(|| {
        let owned = Arc::new(());
        let before = counts();
        for (size, errno) in [
            (0, Errno::EINVAL),
            (1 << 50, Errno::ENOMEM),
            (isize::MAX as usize, Errno::ENOMEM),
            (usize::MAX, Errno::ENOMEM),
            (usize::MAX - 65535, Errno::ENOMEM),
        ] {
            let also = owned.clone();
            // SAFETY: no thread is made.
            let error = unsafe { thread::spawn(size, move || drop(also)) };
            assert_eq!(error.unwrap_err(), errno, "{size:#x}");
            assert_eq!(Arc::strong_count(&owned), 1);
        }
        before.are_back();
    });
}

#[test]
fn a_stack_of_one_byte_is_a_page_and_works() {
    // SAFETY: no call into std.
    let handle = unsafe { thread::spawn(1, || 7_u8) }.unwrap();
    assert_eq!(handle.join(), Ok(7));
}

#[test]
fn the_limit_on_processes_is_an_error_and_leaves_nothing() {
    in_child(|| {
        // A user of its own: root is not limited.
        // SAFETY: this child is alone.
        unsafe {
            if libc::getuid() == 0 {
                assert_eq!(libc::setresuid(4_000_123, 4_000_123, 4_000_123), 0);
            }
            let one = libc::rlimit {
                rlim_cur: 1,
                rlim_max: 1,
            };
            assert_eq!(libc::setrlimit(libc::RLIMIT_NPROC, &raw const one), 0);
        }
        let owned = Arc::new(());
        let before = counts();
        for _ in 0..100 {
            let also = owned.clone();
            // SAFETY: no thread is made.
            let error = unsafe { thread::spawn(STACK, move || drop(also)) };
            assert_eq!(error.unwrap_err(), Errno::EAGAIN);
            assert_eq!(Arc::strong_count(&owned), 1);
        }
        before.are_back();
    });
}

#[test]
fn no_memory_for_the_stack_is_an_error_and_leaves_nothing() {
    if common::under_qemu_user() {
        skip!("qemu-user does not pass RLIMIT_AS on");
    }
    in_child(|| {
        let before = counts();
        let now = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = now.split(' ').next().unwrap().parse().unwrap();
        // SAFETY: sysconf and setrlimit; this child is alone.
        unsafe {
            let limit = (pages + 512) * libc::sysconf(libc::_SC_PAGESIZE) as u64;
            let limit = libc::rlimit {
                rlim_cur: limit,
                rlim_max: limit,
            };
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
            assert_eq!(thread::spawn(256 << 20, || ()).unwrap_err(), Errno::ENOMEM);
        }
        before.are_back();
    });
}

#[test]
fn joining_a_thread_that_exited_by_itself_is_an_error_and_leaves_nothing() {
    in_child(|| {
        let before = counts();
        for _ in 0..100 {
            // SAFETY: nothing is borrowed from that stack.
            let handle = unsafe { thread::spawn(STACK, || process::exit(3)) }.unwrap();
            let error: Result<(), Errno> = handle
                .join()
                .map(|never: core::convert::Infallible| match never {});
            assert_eq!(error, Err(Errno::EOWNERDEAD));
        }
        before.are_back();
    });
}

/// The one way to kill a thread and not its process.
#[test]
fn joining_a_thread_that_a_filter_killed_is_an_error_and_leaves_nothing() {
    in_child(|| {
        let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let filter = [
            op(0x20, 0, 0, 0),                             // The number of the call,
            op(0x15, 0, 1, nr::GETPPID.as_usize() as u32), // if it is getppid,
            op(0x06, 0, 0, libc::SECCOMP_RET_KILL_THREAD), // kills that thread.
            op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        // SAFETY: a filter for this child and its threads; the thread owns nothing.
        unsafe {
            let program = libc::sock_fprog {
                len: 4,
                filter: filter.as_ptr().cast_mut(),
            };
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            if libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) != 0
            {
                eprintln!("skipped: no seccomp filters (qemu-user)");
                return;
            }
            let before = counts();
            for _ in 0..10 {
                let handle = thread::spawn(STACK, process::getppid).unwrap();
                assert_eq!(handle.join(), Err(Errno::EOWNERDEAD));
            }
            before.are_back();
        }
    });
}

#[test]
fn ten_thousand_threads_are_joined_and_nothing_is_left() {
    in_child(|| {
        let before = counts();
        let mut sum = 0;
        let rounds = if common::emulated() { 50 } else { 1000_u64 };
        for round in 0..rounds {
            let handles: [_; 10] = core::array::from_fn(|i| {
                // SAFETY: no call into std.
                unsafe { thread::spawn(STACK, move || round * 10 + i as u64) }.unwrap()
            });
            for handle in handles {
                sum += handle.join().unwrap();
            }
        }
        let all = rounds * 10;
        assert_eq!(sum, (all - 1) * all / 2);
        before.are_back();
    });
}

#[test]
fn ten_thousand_detached_threads_unmap_their_own_stacks() {
    in_child(|| {
        static RAN: AtomicU64 = AtomicU64::new(0);
        let before = counts();
        let all = if common::emulated() { 200 } else { 10_000_u64 };
        for n in 1..=all {
            // SAFETY: no call into std.
            unsafe { thread::spawn(STACK, move || RAN.fetch_add(n, SeqCst)) }
                .unwrap()
                .detach();
            while n % 50 == 0 && threads() > before.threads + 20 {
                thread::sched_yield();
            }
        }
        before.wait_for_threads();
        assert_eq!(RAN.load(SeqCst), (all + 1) * all / 2);
        before.are_back();
    });
}

static DROPS: AtomicU32 = AtomicU32::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPS.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_value_is_dropped_once_joined_or_detached_early_or_late() {
    in_child(|| {
        let before = counts();
        // SAFETY: no call into std.
        unsafe {
            drop(thread::spawn(STACK, || Counted).unwrap().join().unwrap());
            assert_eq!(DROPS.load(SeqCst), 1);
            // Late: it has ended already.
            let handle = thread::spawn(STACK, || Counted).unwrap();
            while !handle.is_finished() {
                thread::sched_yield();
            }
            handle.detach();
            assert_eq!(DROPS.load(SeqCst), 2);
            // Early: it waits until the handle is gone.
            static GO: AtomicU32 = AtomicU32::new(0);
            let handle = thread::spawn(STACK, || {
                while GO.load(SeqCst) == 0 {
                    thread::sched_yield();
                }
                Counted
            });
            handle.unwrap().detach();
            GO.store(1, SeqCst);
            before.wait_for_threads();
            assert_eq!(DROPS.load(SeqCst), 3);
            // At the same time.
            for _ in 0..1000 {
                thread::spawn(STACK, || Counted).unwrap().detach();
            }
            before.wait_for_threads();
            assert_eq!(DROPS.load(SeqCst), 1003);
        }
        before.are_back();
    });
}

#[test]
fn closures_and_values_keep_their_alignment_and_their_bytes() {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Line([u8; 64]);
    #[derive(Clone, Copy)]
    #[repr(align(8192))]
    struct Page([u8; 8192]);
    // SAFETY: no call into std.
    unsafe {
        let line = Line([7; 64]);
        let handle = thread::spawn(65536, move || {
            let rest = (&raw const line).addr() % 64;
            (rest, line)
        });
        let (rest, line) = handle.unwrap().join().unwrap();
        assert!(rest == 0 && line.0 == [7; 64]);
        let page = Page([9; 8192]);
        let handle = thread::spawn(512 * 1024, move || ((&raw const page).addr() % 8192, page));
        let (rest, page) = handle.unwrap().join().unwrap();
        assert!(rest == 0 && page.0 == [9; 8192]);
        let big = [3_u64; 4096];
        let sum = thread::spawn(512 * 1024, move || big.iter().sum::<u64>())
            .unwrap()
            .join();
        assert_eq!(sum, Ok(3 * 4096));
        thread::spawn(STACK, || ()).unwrap().join().unwrap();
        let text = thread::spawn(STACK, || "text").unwrap().join();
        assert_eq!(text, Ok("text"));
    }
}

/// An SSE or NEON store to a stack that is off by 8 is a fault.
#[test]
fn the_stack_is_aligned_as_the_abi_wants_it() {
    #[repr(align(16))]
    struct Aligned([u8; 16]);
    // SAFETY: no call into std.
    let handle = unsafe {
        thread::spawn(STACK, || {
            let local = core::hint::black_box(Aligned([0; 16]));
            (&raw const local.0).addr() % 16
        })
    };
    assert_eq!(handle.unwrap().join(), Ok(0));
}

#[test]
fn a_borrowing_thread_sees_and_changes_what_it_borrows() {
    let mut numbers = [1, 2, 3];
    // SAFETY: joined at once; no call into std.
    unsafe { thread::spawn_unchecked(STACK, || numbers.iter_mut().for_each(|n| *n *= 2)) }
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(numbers, [2, 4, 6]);
}

#[allow(unconditional_recursion)]
fn without_end(n: u64) -> u64 {
    core::hint::black_box(without_end(core::hint::black_box(n + 1))) + 1
}

#[test]
fn an_overflow_of_the_stack_hits_the_guard() {
    let status = wait_status_of_child(|| {
        // SAFETY: no call into std. The default action: std's handler would
        // run on the stack that is full.
        unsafe {
            signal::sigaction(Signal::SIGSEGV, &Sigaction::DEFAULT).unwrap();
            let _ = thread::spawn(STACK, || without_end(0)).unwrap().join();
        }
    });
    assert!(libc::WIFSIGNALED(status), "{status:#x}");
    assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV);
}

/// THR-003
#[test]
fn the_kernel_clears_the_word_of_set_tid_address() {
    static ALIVE: AtomicU32 = AtomicU32::new(1);
    static TID: AtomicU32 = AtomicU32::new(0);
    in_child(|| {
        // SAFETY: a static; the thread is not joined, and its stack is left.
        let handle = unsafe {
            thread::spawn(STACK, || -> () {
                let tid = thread::set_tid_address(ALIVE.as_ptr());
                TID.store(tid.as_raw() as u32, SeqCst);
                process::exit(0)
            })
        }
        .unwrap();
        let id = handle.id();
        core::mem::forget(handle);
        let shared = barecall::futex::FutexFlags::empty();
        while ALIVE.load(SeqCst) != 0 {
            let second = Some(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            });
            let _ = barecall::futex::wait(&ALIVE, shared, 1, second);
        }
        assert_eq!(TID.load(SeqCst), id.as_raw() as u32);
    });
}

/// THR-018
#[test]
fn exit_ends_the_thread_and_exit_group_the_process() {
    let status = wait_status_of_child(|| {
        // SAFETY: nothing is borrowed from those stacks.
        unsafe {
            let one = thread::spawn(STACK, || -> () { process::exit(9) }).unwrap();
            assert_eq!(one.join(), Err(Errno::EOWNERDEAD));
            let all = thread::spawn(STACK, || -> () { process::exit_group(5) }).unwrap();
            let _ = all.join();
        }
        loop {
            thread::sched_yield();
        }
    });
    assert!(libc::WIFEXITED(status), "{status:#x}");
    assert_eq!(libc::WEXITSTATUS(status), 5);
}

/// In a program with std the hook prints; in one of `entry!` its panic handler
/// does.
#[test]
fn a_panic_in_a_thread_says_so_and_aborts_the_process() {
    static SAID: AtomicPtr<AtomicU32> = AtomicPtr::new(core::ptr::null_mut());
    // SAFETY: memory that the child shares with us.
    let said = unsafe {
        let map = libc::mmap(
            core::ptr::null_mut(),
            4096,
            3,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        SAID.store(map.cast(), SeqCst);
        &*map.cast::<AtomicU32>()
    };
    let status = wait_status_of_child(|| {
        std::panic::set_hook(Box::new(|_| {
            // SAFETY: mapped above.
            unsafe { &*SAID.load(SeqCst) }.fetch_add(1, SeqCst);
        }));
        // SAFETY: the panic uses std, while nobody else does: this child only
        // waits.
        let _ = unsafe { thread::spawn(1 << 20, || -> () { panic!("on purpose") }) }
            .unwrap()
            .join();
    });
    assert!(libc::WIFSIGNALED(status), "{status:#x}");
    assert_eq!(libc::WTERMSIG(status), libc::SIGABRT);
    assert!(said.load(SeqCst) >= 1);
}

#[test]
fn a_name_is_15_bytes_and_seen_from_outside() {
    // SAFETY: no call into std.
    let handle = unsafe {
        thread::spawn(STACK, || {
            thread::set_name(c"exactly-15-char").unwrap_or(());
            let mut buf = [0; 16];
            let whole = thread::get_name(&mut buf) == Ok(c"exactly-15-char");
            let cut = thread::set_name(c"this-one-is-too-long");
            let cut = cut.is_ok() && thread::get_name(&mut buf) == Ok(c"this-one-is-too");
            (whole, cut)
        })
    };
    assert_eq!(handle.unwrap().join(), Ok((true, true)));
    std::thread::spawn(|| {
        thread::set_name(c"outside").unwrap();
        let path = format!("/proc/self/task/{}/comm", thread::gettid());
        assert_eq!(std::fs::read_to_string(path).unwrap(), "outside\n");
    })
    .join()
    .unwrap();
}

/// THR-019
#[test]
fn getcpu_is_the_processor_that_the_thread_is_bound_to() {
    std::thread::spawn(|| {
        let all: CpuSet = thread::sched_getaffinity(None).unwrap();
        assert!(all.count() > 0);
        for cpu in &all {
            let mut one: CpuSet = CpuSet::EMPTY;
            assert!(one.insert(cpu));
            thread::sched_setaffinity(None, &one).unwrap();
            assert_eq!(thread::getcpu().unwrap().0 as usize, cpu);
            let id = Some(thread::gettid());
            assert_eq!(thread::sched_getaffinity(id), Ok(one));
        }
        let none: CpuSet = CpuSet::EMPTY;
        assert_eq!(thread::sched_setaffinity(None, &none), Err(Errno::EINVAL));
        assert_eq!(thread::sched_getaffinity::<0>(None), Err(Errno::EINVAL));
        let nobody = process::Pid::from_raw(i32::MAX);
        assert_eq!(thread::sched_getaffinity::<16>(nobody), Err(Errno::ESRCH));
        assert_eq!(thread::sched_setaffinity(nobody, &all), Err(Errno::ESRCH));
    })
    .join()
    .unwrap();
}

#[test]
fn a_set_of_processors_has_no_room_past_its_end() {
    let mut set = CpuSet::<2>::EMPTY;
    assert!(set.insert(0) && set.insert(127) && !set.insert(128) && !set.insert(usize::MAX));
    assert!(set.contains(127) && !set.contains(128) && !set.contains(usize::MAX));
    assert_eq!(set.iter().collect::<Vec<_>>(), [0, 127]);
    set.remove(0);
    set.remove(usize::MAX);
    assert_eq!((set.count(), format!("{set:?}")), (1, "{127}".into()));
}

#[test]
fn waiting_with_a_limit_says_when_it_is_over() {
    static GO: AtomicU32 = AtomicU32::new(0);
    // SAFETY: no call into std.
    let handle = unsafe {
        thread::spawn(STACK, || {
            while GO.load(SeqCst) == 0 {
                thread::sched_yield();
            }
        })
    }
    .unwrap();
    let limit = Some(Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000,
    });
    assert_eq!(handle.wait(limit), Err(Errno::ETIMEDOUT));
    assert!(!handle.is_finished());
    GO.store(1, SeqCst);
    handle.join().unwrap();
}

#[test]
fn signals_blocked_around_spawn_are_blocked_in_the_thread() {
    if common::under_qemu_user() {
        skip!("qemu-user has no signals 63 and 64");
    }
    let before = signal::sigprocmask(How::SETMASK, SigSet::ALL).unwrap();
    // SAFETY: no call into std.
    let handle = unsafe { thread::spawn(STACK, || signal::sigprocmask(How::BLOCK, SigSet::EMPTY)) };
    signal::sigprocmask(How::SETMASK, before).unwrap();
    let blocked = handle.unwrap().join().unwrap().unwrap();
    assert_eq!(
        blocked,
        SigSet::ALL
            .without(Signal::SIGKILL)
            .without(Signal::SIGSTOP)
    );
}

static STORM: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_storm(_: Signal) {
    STORM.fetch_add(1, SeqCst);
}

/// Signals arrive at any of the threads, at any instruction: while one is made,
/// runs, is joined, or unmaps its stack.
#[test]
fn a_storm_of_signals_loses_no_signal_no_value_and_no_stack() {
    in_child(|| {
        const SIGNALS: u64 = 3000;
        let own = process::getpid();
        let signal = Signal::SIGRTMIN;
        let action = Sigaction::handler(on_storm).flags(SaFlags::empty());
        // SAFETY: the handler counts; this child is alone.
        unsafe { signal::sigaction(signal, &action) }.unwrap();
        let before = counts();
        // SAFETY: the child sends signals, and ends.
        let sender = unsafe { libc::fork() };
        if sender == 0 {
            let info = Siginfo::queue(signal, own, 0, 0);
            for _ in 0..SIGNALS {
                while signal::rt_sigqueueinfo(own, signal, &info) == Err(Errno::EAGAIN) {
                    thread::sched_yield();
                }
            }
            // SAFETY: ends.
            unsafe { libc::_exit(0) };
        }
        let mut n = 0_u64;
        while n < 200 || STORM.load(SeqCst) < SIGNALS {
            // SAFETY: no call into std.
            unsafe {
                let joined = thread::spawn(STACK, move || n * 3).unwrap();
                thread::spawn(STACK, thread::gettid).unwrap().detach();
                assert_eq!(joined.join(), Ok(n * 3));
            }
            n += 1;
        }
        before.wait_for_threads();
        assert_eq!(STORM.load(SeqCst), SIGNALS);
        // SAFETY: waits for the child.
        let ended = unsafe { libc::waitpid(sender, core::ptr::null_mut(), 0) };
        assert_eq!(ended, sender);
        before.are_back();
    });
}
