//! Signals. Everything that depends on a process's own state (actions, masks
//! of all threads, pending signals) is done in a forked child.

mod common;

use barecall::signal::{
    self, Details, Disposition, How, KillTarget, PidfdSignalFlags, SaFlags, SiCode, SigSet,
    SigStack, Sigaction, Siginfo, Signal, SignalfdFlags, SsFlags,
};
use barecall::time::Timespec;
use barecall::{Errno, nr, process, syscall};
use common::in_child;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

const NOW: Option<Timespec> = Some(Timespec {
    tv_sec: 0,
    tv_nsec: 0,
});

fn info_of(signal: Signal) -> Siginfo {
    signal::sigtimedwait(signal.into(), NOW).expect("a pending signal")
}

#[test]
fn a_signal_is_1_to_64_and_nothing_else() {
    for number in [i32::MIN, -1, 0, 65, 128, i32::MAX] {
        assert_eq!(Signal::new(number), None);
    }
    let all: Vec<i32> = Signal::iter().map(Signal::as_raw).collect();
    assert_eq!(all, (1..=64).collect::<Vec<_>>());
    assert_eq!(size_of::<Option<Signal>>(), 4);
    assert_eq!(Signal::realtime(32), Some(Signal::SIGRTMAX));
    assert_eq!(Signal::realtime(33), None);
    assert_eq!(Signal::realtime(u32::MAX), None);
}

/// linux-unsafe gets 32 and 34 wrong: an i32 shift that sign-extends or wraps.
#[test]
fn a_set_holds_each_of_the_64_on_its_own() {
    for signal in Signal::iter() {
        let set = SigSet::from(signal);
        assert_eq!(set.bits(), 1 << (signal.as_raw() - 1));
        assert_eq!(set.iter().collect::<Vec<_>>(), [signal]);
        assert!(set.contains(signal) && !(!set).contains(signal));
        assert_eq!(SigSet::ALL.without(signal), !set);
        assert_eq!((SigSet::ALL - set).len(), 63);
        assert_eq!(SigSet::of(&[signal, signal]), set);
    }
    assert_eq!(Signal::iter().collect::<SigSet>(), SigSet::ALL);
    assert!(SigSet::EMPTY.is_empty() && SigSet::EMPTY.iter().next().is_none());
}

#[test]
fn names_are_those_of_the_c_library() {
    for signal in Signal::iter().take(31) {
        // SAFETY: a string that lives for ever.
        let words = unsafe { core::ffi::CStr::from_ptr(libc::strsignal(signal.as_raw())) };
        assert!(!words.to_bytes().is_empty());
        assert!(signal.name().is_some());
    }
    assert_eq!(Signal::SIGRTMIN.name(), None);
    assert_eq!(format!("{}", Signal::SIGRTMIN), "SIGRTMIN+0");
    assert_eq!(
        format!("{:?}", SigSet::of(&[Signal::SIGHUP, Signal::SIGRTMAX])),
        "{SIGHUP, SIGRTMIN+32}"
    );
}

#[test]
fn all_64_can_be_blocked_but_kill_and_stop() {
    if common::under_qemu_user() {
        skip!("qemu-user has no signals 63 and 64");
    }
    in_child(|| {
        let before = signal::sigprocmask(How::SETMASK, SigSet::ALL).unwrap();
        let blocked = signal::sigprocmask(How::BLOCK, SigSet::EMPTY).unwrap();
        assert_eq!(
            blocked,
            SigSet::ALL
                .without(Signal::SIGKILL)
                .without(Signal::SIGSTOP)
        );
        for signal in blocked {
            signal::sigprocmask(How::UNBLOCK, signal.into()).unwrap();
            assert_eq!(
                signal::sigprocmask(How::BLOCK, signal.into()).unwrap(),
                blocked.without(signal)
            );
        }
        assert_eq!(signal::sigprocmask(How::SETMASK, before).unwrap(), blocked);
        assert_eq!(
            signal::sigprocmask(How::from_raw(3), SigSet::EMPTY),
            Err(Errno::EINVAL)
        );
    });
}

static COUNT: AtomicU64 = AtomicU64::new(0);
static LAST: AtomicI32 = AtomicI32::new(0);

extern "C" fn count(signal: Signal) {
    LAST.store(signal.as_raw(), SeqCst);
    COUNT.fetch_add(1, SeqCst);
}

/// The restorer must be naked: this fails at once if a prologue moves the stack
/// pointer, in a dev build as in release. rusl does.
#[test]
fn a_handler_runs_and_returns_for_each_of_the_62() {
    if common::under_qemu_user() {
        skip!("qemu-user has no signals 63 and 64");
    }
    in_child(|| {
        let action = Sigaction::handler(count);
        let mut handled = 0;
        for signal in Signal::iter() {
            // SAFETY: the handler counts; this child is alone.
            let set = unsafe { signal::sigaction(signal, &action) };
            if signal == Signal::SIGKILL || signal == Signal::SIGSTOP {
                assert_eq!(set.unwrap_err(), Errno::EINVAL);
                continue;
            }
            set.unwrap();
            let before = COUNT.load(SeqCst);
            signal::raise(signal).unwrap();
            assert_eq!(COUNT.load(SeqCst), before + 1, "{signal}");
            assert_eq!(LAST.load(SeqCst), signal.as_raw());
            handled += 1;
        }
        assert_eq!(handled, 62);
    });
}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        each: extern "C" fn(*mut c_void, *mut c_void) -> i32,
        arg: *mut c_void,
    ) -> i32;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

static FRAMES: AtomicU32 = AtomicU32::new(0);
static OURS: AtomicU32 = AtomicU32::new(0);

extern "C" fn each_frame(context: *mut c_void, _: *mut c_void) -> i32 {
    // SAFETY: the context that the unwinder gave.
    let ip = unsafe { _Unwind_GetIP(context) };
    FRAMES.fetch_add(1, SeqCst);
    let start = traps as *const c_void as usize;
    if (start..start + 16).contains(&ip) {
        OURS.fetch_add(1, SeqCst);
    }
    0
}

extern "C" fn walks_the_stack(_: Signal, _: &mut Siginfo, _: *mut c_void) {
    // SAFETY: of the platform's unwinder; this child does nothing else.
    unsafe { _Unwind_Backtrace(each_frame, core::ptr::null_mut()) };
    // SAFETY: ends the child.
    unsafe { libc::_exit(if OURS.load(SeqCst) == 1 { 0 } else { 1 }) }
}

/// Stops at an address that is known.
#[unsafe(naked)]
unsafe extern "C" fn traps() {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!(".cfi_startproc", "nop", "ud2", ".cfi_endproc");
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!(".cfi_startproc", "nop", "udf #0", ".cfi_endproc");
}

/// The unwinder knows the frame that a handler returns through, and finds what
/// was interrupted.
#[test]
fn a_backtrace_out_of_a_handler_reaches_what_it_interrupted() {
    in_child(|| {
        // SAFETY: the handler walks the stack, and exits.
        unsafe {
            signal::sigaction(Signal::SIGILL, &Sigaction::info(walks_the_stack)).unwrap();
            traps();
        }
    });
}

#[test]
fn an_action_reads_back_as_it_was_set() {
    in_child(|| {
        let mask = SigSet::of(&[Signal::SIGUSR1, Signal::SIGRTMIN, Signal::SIGRTMAX]);
        let flags = SaFlags::RESTART | SaFlags::ONSTACK | SaFlags::NODEFER;
        let action = Sigaction::handler(count).mask(mask).flags(flags);
        // SAFETY: the handler counts; this child is alone.
        let before = unsafe { signal::sigaction(Signal::SIGUSR2, &action) }.unwrap();
        assert!(matches!(before.disposition(), Disposition::Default));
        let now = signal::sigaction_get(Signal::SIGUSR2).unwrap();
        assert_eq!(now.sa_mask(), mask);
        assert!(now.sa_flags().contains(flags));
        assert!(!now.sa_flags().contains(SaFlags::SIGINFO));
        let Disposition::Handler(handler) = now.disposition() else {
            panic!("{now:?}");
        };
        assert!(core::ptr::fn_addr_eq(handler, count as signal::Handler));
        // SAFETY: as it was.
        unsafe { signal::sigaction(Signal::SIGUSR2, &Sigaction::IGNORE) }.unwrap();
        let now = signal::sigaction_get(Signal::SIGUSR2).unwrap();
        assert!(matches!(now.disposition(), Disposition::Ignore));
        signal::raise(Signal::SIGUSR2).unwrap();
    });
}

/// A former action, of a libc with its own restorer, is put back bit for bit.
#[test]
fn a_libc_handler_survives_being_replaced_and_put_back() {
    in_child(|| {
        // SAFETY: the handler counts; this child is alone.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = count as extern "C" fn(Signal) as usize;
            assert_eq!(
                libc::sigaction(libc::SIGUSR1, &raw const action, core::ptr::null_mut()),
                0
            );
            let theirs = signal::sigaction(Signal::SIGUSR1, &Sigaction::IGNORE).unwrap();
            signal::raise(Signal::SIGUSR1).unwrap();
            assert_eq!(COUNT.load(SeqCst), 0);
            signal::sigaction(Signal::SIGUSR1, &theirs).unwrap();
        }
        signal::raise(Signal::SIGUSR1).unwrap();
        assert_eq!(COUNT.load(SeqCst), 1);
    });
}

#[test]
fn flags_cannot_take_the_restorer_or_the_kind_away() {
    let action = Sigaction::handler(count).flags(SaFlags::SIGINFO);
    assert!(!action.sa_flags().contains(SaFlags::SIGINFO));
    assert!(action.sa_flags().contains(SaFlags::RESTORER));
    assert!(!Sigaction::DEFAULT.sa_flags().contains(SaFlags::RESTORER));
}

static VALUE: AtomicUsize = AtomicUsize::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);
static CONTEXT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_info(_: Signal, info: &mut Siginfo, context: *mut c_void) {
    CONTEXT.store(context as usize, SeqCst);
    if let Details::Queue { pid, value, .. } = info.details() {
        VALUE.store(value, SeqCst);
        SENDER.store(pid.map_or(0, process::Pid::as_raw), SeqCst);
    }
}

#[test]
fn a_handler_with_siginfo_sees_the_value_that_was_queued() {
    in_child(|| {
        let own = process::getpid();
        // SAFETY: the handler stores; this child is alone.
        unsafe { signal::sigaction(Signal::SIGRTMIN, &Sigaction::info(on_info)) }.unwrap();
        let info = Siginfo::queue(Signal::SIGRTMIN, own, 7, 0xdead_beef_1234_5678);
        signal::rt_sigqueueinfo(own, Signal::SIGRTMIN, &info).unwrap();
        assert_eq!(VALUE.load(SeqCst), 0xdead_beef_1234_5678);
        assert_eq!(SENDER.load(SeqCst), own.as_raw());
        assert_ne!(CONTEXT.load(SeqCst), 0);
        let info = Siginfo::queue(Signal::SIGRTMIN, own, 7, 5);
        signal::rt_tgsigqueueinfo(own, process::gettid(), Signal::SIGRTMIN, &info).unwrap();
        assert_eq!(VALUE.load(SeqCst), 5);
    });
}

static FAULT: AtomicUsize = AtomicUsize::new(0);
static FAULT_CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_fault(_: Signal, info: &mut Siginfo, _: *mut c_void) {
    FAULT_CODE.store(info.code().as_raw(), SeqCst);
    let Some(addr) = info.fault_addr() else {
        return;
    };
    FAULT.store(addr.addr(), SeqCst);
    // What it waits for. The instruction is repeated on return.
    // SAFETY: the page of this test.
    let _ = unsafe { syscall!(nr::MPROTECT, addr.map_addr(|a| a & !0xffff), 65536, 3) };
}

#[test]
fn a_fault_tells_its_address_and_goes_on_when_it_is_mended() {
    in_child(|| {
        // SAFETY: a mapping of our own, whose fault the handler mends.
        unsafe {
            let base = libc::mmap(
                core::ptr::null_mut(),
                131072,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            let page = base.map_addr(|a| (a + 65535) & !65535);
            signal::sigaction(Signal::SIGSEGV, &Sigaction::info(on_fault)).unwrap();
            let word = page.cast::<u8>().add(0x123);
            word.write_volatile(42);
            assert_eq!(word.read_volatile(), 42);
            assert_eq!(FAULT.load(SeqCst), word.addr());
            assert_eq!(FAULT_CODE.load(SeqCst), SiCode::SEGV_ACCERR.as_raw());
        }
    });
}

#[test]
fn registers_are_the_same_after_a_handler() {
    in_child(|| {
        // SAFETY: the handler counts; this child is alone.
        unsafe { signal::sigaction(Signal::SIGUSR1, &Sigaction::handler(count)) }.unwrap();
        let mut sums = [0_u64; 8];
        let mut float = 1.0_f64;
        for i in 0..1000_u64 {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = sum.wrapping_mul(31).wrapping_add(i ^ k as u64);
            }
            float *= 1.001;
            if i % 10 == 0 {
                signal::raise(Signal::SIGUSR1).unwrap();
            }
        }
        let mut expected = [0_u64; 8];
        for i in 0..1000_u64 {
            for (k, sum) in expected.iter_mut().enumerate() {
                *sum = sum.wrapping_mul(31).wrapping_add(i ^ k as u64);
            }
        }
        assert_eq!(sums, expected);
        assert!((float - 1.001_f64.powi(1000)).abs() < 1e-9);
        assert_eq!(COUNT.load(SeqCst), 100);
    });
}

static STACK_SEEN: AtomicUsize = AtomicUsize::new(0);
static ON_STACK: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_altstack(_: Signal) {
    let here = 0_u8;
    STACK_SEEN.store((&raw const here).addr(), SeqCst);
    if let Ok(stack) = signal::sigaltstack_get() {
        ON_STACK.store(stack.ss_flags().bits(), SeqCst);
    }
}

#[test]
fn a_handler_runs_on_its_own_stack() {
    in_child(|| {
        let memory = Box::leak(vec![0_u8; 1 << 17].into_boxed_slice());
        let range = memory.as_ptr_range();
        let stack = SigStack::new(memory.as_mut_ptr().cast(), memory.len());
        // SAFETY: leaked memory; the handler stores; this child is alone.
        unsafe {
            signal::sigaltstack(&stack).unwrap();
            let action = Sigaction::handler(on_altstack).flags(SaFlags::ONSTACK);
            signal::sigaction(Signal::SIGUSR1, &action).unwrap();
        }
        signal::raise(Signal::SIGUSR1).unwrap();
        let seen = STACK_SEEN.load(SeqCst);
        assert!((range.start.addr()..range.end.addr()).contains(&seen));
        assert_eq!(ON_STACK.load(SeqCst), SsFlags::ONSTACK.bits());
        // SAFETY: no stack at all.
        let former = unsafe { signal::sigaltstack(&SigStack::DISABLE) }.unwrap();
        assert_eq!(
            (former.ss_sp(), former.ss_size()),
            (stack.ss_sp(), stack.ss_size())
        );
        assert_eq!(
            signal::sigaltstack_get().unwrap().ss_flags(),
            SsFlags::DISABLE
        );
        // SAFETY: refused, too small.
        let error = unsafe { signal::sigaltstack(&SigStack::new(stack.ss_sp(), 1024)) };
        assert_eq!(error.unwrap_err(), Errno::ENOMEM);
        // SAFETY: refused, an unknown flag.
        let error = unsafe { signal::sigaltstack(&stack.flags(SsFlags::from_bits_retain(0x40))) };
        assert_eq!(error.unwrap_err(), Errno::EINVAL);
    });
}

#[test]
fn waiting_takes_what_is_pending_and_says_who_sent_it() {
    in_child(|| {
        let own = process::getpid();
        let set = SigSet::of(&[Signal::SIGUSR1, Signal::SIGRTMIN]);
        signal::sigprocmask(How::BLOCK, set).unwrap();
        assert_eq!(signal::sigtimedwait(set, NOW).unwrap_err(), Errno::EAGAIN);
        signal::kill(KillTarget::Pid(own), Signal::SIGUSR1).unwrap();
        assert_eq!(signal::sigpending().unwrap() & set, Signal::SIGUSR1.into());
        let info = signal::sigtimedwait(set, None).unwrap();
        assert_eq!(info.signal(), Some(Signal::SIGUSR1));
        assert_eq!(info.code(), SiCode::SI_USER);
        // SAFETY: no arguments.
        let uid = unsafe { libc::getuid() };
        assert_eq!(
            info.details(),
            Details::Kill {
                pid: Some(own),
                uid
            }
        );
        signal::tgkill(own, process::gettid(), Signal::SIGUSR1).unwrap();
        let info = info_of(Signal::SIGUSR1);
        assert_eq!(info.code(), SiCode::SI_TKILL);
        assert_eq!(
            info.details(),
            Details::Queue {
                pid: Some(own),
                uid,
                value: 0
            }
        );
        assert!((signal::sigpending().unwrap() & set).is_empty());
        let bad = Some(Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000_000,
        });
        assert_eq!(signal::sigtimedwait(set, bad).unwrap_err(), Errno::EINVAL);
        let bad = Some(Timespec {
            tv_sec: -1,
            tv_nsec: 0,
        });
        assert_eq!(signal::sigtimedwait(set, bad).unwrap_err(), Errno::EINVAL);
    });
}

/// Without a handler: it was stopped, and goes on.
#[test]
fn waiting_for_a_signal_ends_when_the_process_goes_on() {
    let set = Signal::SIGUSR1.into();
    // SAFETY: system calls only.
    let Some(child) = unsafe { process::fork() }.unwrap() else {
        let _ = signal::sigprocmask(How::BLOCK, set);
        process::exit_group(match signal::sigtimedwait(set, None) {
            Err(Errno::EINTR) => 7,
            _ => 1,
        })
    };
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
        stat.rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next())
    };
    loop {
        while matches!(state(), Some('R' | 'D')) {
            std::thread::yield_now();
        }
        signal::kill(child, Signal::SIGSTOP).unwrap();
        let options = process::WaitOptions::STOPPED;
        let stopped = process::wait4(process::WaitTarget::Pid(child), options).unwrap();
        if let Some((_, process::WaitStatus::Exited(status))) = stopped {
            assert_eq!(status, 7);
            break;
        }
        signal::kill(child, Signal::SIGCONT).unwrap();
    }
}

#[test]
fn real_time_signals_queue_in_order_and_others_once() {
    in_child(|| {
        let own = process::getpid();
        let (rt, usr) = (Signal::SIGRTMIN, Signal::SIGUSR1);
        signal::sigprocmask(How::BLOCK, SigSet::of(&[rt, usr])).unwrap();
        for value in 0..50 {
            for signal in [rt, usr] {
                let info = Siginfo::queue(signal, own, 0, value);
                signal::rt_sigqueueinfo(own, signal, &info).unwrap();
            }
        }
        for value in 0..50 {
            assert_eq!(info_of(rt).value(), Some(value));
        }
        assert_eq!(info_of(usr).value(), Some(0));
        assert_eq!(
            signal::sigtimedwait(SigSet::of(&[rt, usr]), NOW).unwrap_err(),
            Errno::EAGAIN
        );
    });
}

#[test]
fn suspending_waits_with_another_mask_and_puts_the_first_back() {
    in_child(|| {
        // SAFETY: the handler counts; this child is alone.
        unsafe { signal::sigaction(Signal::SIGUSR1, &Sigaction::handler(count)) }.unwrap();
        signal::sigprocmask(How::BLOCK, Signal::SIGUSR1.into()).unwrap();
        signal::raise(Signal::SIGUSR1).unwrap();
        assert_eq!(COUNT.load(SeqCst), 0);
        assert_eq!(signal::sigsuspend(SigSet::EMPTY), Errno::EINTR);
        assert_eq!(COUNT.load(SeqCst), 1);
        assert!(
            signal::sigprocmask(How::BLOCK, SigSet::EMPTY)
                .unwrap()
                .contains(Signal::SIGUSR1)
        );
    });
}

#[test]
fn a_signalfd_reads_several_at_once_in_the_order_of_numbers() {
    in_child(|| {
        let set = SigSet::of(&[Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGRTMIN]);
        signal::sigprocmask(How::BLOCK, set).unwrap();
        let fd = signal::signalfd(
            SigSet::EMPTY,
            SignalfdFlags::CLOEXEC | SignalfdFlags::NONBLOCK,
        )
        .unwrap();
        signal::signalfd_set(&fd, set).unwrap();
        let mut buf = [MaybeUninit::uninit(); 8];
        assert_eq!(signal::signalfd_read(&fd, &mut buf), Err(Errno::EAGAIN));
        assert_eq!(signal::signalfd_read(&fd, &mut []), Err(Errno::EINVAL));
        let own = process::getpid();
        let info = Siginfo::queue(Signal::SIGRTMIN, own, 3, 77);
        signal::rt_sigqueueinfo(own, Signal::SIGRTMIN, &info).unwrap();
        signal::raise(Signal::SIGUSR2).unwrap();
        signal::raise(Signal::SIGUSR1).unwrap();
        let read = signal::signalfd_read(&fd, &mut buf).unwrap();
        assert_eq!(read.len(), 3);
        let signals: Vec<_> = read.iter().map(|s| s.signal().unwrap()).collect();
        assert_eq!(
            signals,
            [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGRTMIN]
        );
        assert_eq!(read[0].code(), SiCode::SI_TKILL);
        assert_eq!(
            (read[2].code(), read[2].ssi_ptr, read[2].ssi_int),
            (SiCode::SI_QUEUE, 77, 77)
        );
        assert_eq!(read[2].ssi_pid, own.as_raw() as u32);
        let (reader, _writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC).unwrap();
        assert_eq!(signal::signalfd_set(&reader, set), Err(Errno::EINVAL));
        assert_eq!(
            signal::signalfd(set, SignalfdFlags::from_bits_retain(1)).unwrap_err(),
            Errno::EINVAL
        );
    });
}

/// THR-017: a process id of 0, a thread of another process, signal 0 to oneself.
#[test]
fn tgkill_wants_the_thread_of_that_process() {
    let (own, thread) = (process::getpid(), process::gettid());
    assert_eq!(signal::tgkill(own, thread, None), Ok(()));
    let other = process::getppid().unwrap_or(process::Pid::INIT);
    assert_eq!(signal::tgkill(other, thread, None), Err(Errno::ESRCH));
    for bad in [0, -1] {
        // SAFETY: signal 0 only asks.
        let error = unsafe { syscall!(nr::TGKILL, bad, thread.as_raw(), 0) };
        assert_eq!(error, Err(Errno::EINVAL));
        // SAFETY: signal 0 only asks.
        let error = unsafe { syscall!(nr::TGKILL, own.as_raw(), bad, 0) };
        assert_eq!(error, Err(Errno::EINVAL));
    }
}

#[test]
fn kill_without_a_signal_asks_whether_there_is_somebody() {
    in_child(|| {
        let own = process::getpid();
        assert_eq!(signal::kill(KillTarget::Pid(own), None), Ok(()));
        assert_eq!(signal::kill(KillTarget::OwnGroup, None), Ok(()));
        let nobody = process::Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(
            signal::kill(KillTarget::Pid(nobody), None),
            Err(Errno::ESRCH)
        );
        assert_eq!(
            signal::kill(KillTarget::Group(nobody), None),
            Err(Errno::ESRCH)
        );
        // SAFETY: a group of its own.
        unsafe { libc::setpgid(0, 0) };
        signal::sigprocmask(How::BLOCK, SigSet::ALL).unwrap();
        signal::kill(KillTarget::OwnGroup, Signal::SIGUSR1).unwrap();
        assert_eq!(info_of(Signal::SIGUSR1).code(), SiCode::SI_USER);
        signal::kill(KillTarget::Group(own), Signal::SIGUSR2).unwrap();
        assert_eq!(info_of(Signal::SIGUSR2).code(), SiCode::SI_USER);
    });
}

/// PRC-014: the value comes along; nobody can pretend to be the kernel.
#[test]
fn a_pidfd_takes_signals_with_and_without_a_value() {
    in_child(|| {
        let own = process::getpid();
        // SAFETY: makes a descriptor, leaked here.
        let pidfd = unsafe {
            let number = syscall!(nr::PIDFD_OPEN, own.as_raw(), 0).unwrap();
            barecall::fd::OwnedFd::from_raw_fd(number as i32)
        };
        let none = PidfdSignalFlags::empty();
        let signal = Signal::SIGUSR2;
        signal::sigprocmask(How::BLOCK, signal.into()).unwrap();
        signal::pidfd_send_signal(&pidfd, None, None, none).unwrap();
        signal::pidfd_send_signal(&pidfd, signal, None, none).unwrap();
        assert_eq!(info_of(signal).code(), SiCode::SI_USER);
        let info = Siginfo::queue(signal, own, 0, 99);
        signal::pidfd_send_signal(&pidfd, signal, Some(&info), none).unwrap();
        assert_eq!(info_of(signal).value(), Some(99));
        let other = signal::pidfd_send_signal(&pidfd, Signal::SIGUSR1, Some(&info), none);
        assert_eq!(other, Err(Errno::EINVAL));
        let thread = signal::pidfd_send_signal(&pidfd, None, None, PidfdSignalFlags::THREAD);
        assert_eq!(
            thread,
            if common::kernel_is_at_least(6, 9) {
                Ok(())
            } else {
                Err(Errno::EINVAL)
            }
        );
        let unknown = PidfdSignalFlags::from_bits_retain(0x80);
        assert_eq!(
            signal::pidfd_send_signal(&pidfd, None, None, unknown),
            Err(Errno::EINVAL)
        );
    });
}

#[test]
fn a_child_that_ends_is_told_with_its_status() {
    in_child(|| {
        signal::sigprocmask(How::BLOCK, Signal::SIGCHLD.into()).unwrap();
        // SAFETY: the child ends at once.
        let child = unsafe {
            match libc::fork() {
                0 => libc::_exit(7),
                child => child,
            }
        };
        let info = signal::sigtimedwait(Signal::SIGCHLD.into(), None).unwrap();
        assert_eq!(info.code(), SiCode::CLD_EXITED);
        let Details::Child { pid, status, .. } = info.details() else {
            panic!("{info:?}");
        };
        assert_eq!((pid, status), (process::Pid::from_raw(child), 7));
    });
}

/// What `details` reads is where C finds it, by libc's accessors and offsets.
#[test]
fn siginfo_is_laid_out_as_in_c() {
    assert_eq!(size_of::<Siginfo>(), size_of::<libc::siginfo_t>());
    assert_eq!(align_of::<Siginfo>(), align_of::<libc::siginfo_t>());
    let with = |signo: i32, code: i32, words: [u64; 4]| {
        let mut raw = [0_u64; 16];
        raw[0] = signo as u64;
        raw[1] = code as u32 as u64;
        raw[2..6].copy_from_slice(&words);
        // SAFETY: 128 bytes of integers either way.
        unsafe { core::mem::transmute::<[u64; 16], Siginfo>(raw) }
    };
    let ptr = core::ptr::without_provenance_mut::<c_void>;
    let cases = [
        (
            (17, 1),
            Details::Child {
                pid: process::Pid::from_raw(2),
                uid: 1,
                status: 4,
                utime: 5,
                stime: 6,
            },
        ),
        (
            (11, 1),
            Details::Fault {
                addr: ptr(0x1_0000_0002),
            },
        ),
        (
            (11, 99),
            Details::Fault {
                addr: ptr(0x1_0000_0002),
            },
        ),
        (
            (7, 2),
            Details::Fault {
                addr: ptr(0x1_0000_0002),
            },
        ),
        (
            (7, 4),
            Details::Poison {
                addr: ptr(0x1_0000_0002),
                lsb: 4,
            },
        ),
        (
            (11, 3),
            Details::Bounds {
                addr: ptr(0x1_0000_0002),
                lower: ptr(5),
                upper: ptr(6),
            },
        ),
        (
            (11, 4),
            Details::ProtectionKey {
                addr: ptr(0x1_0000_0002),
                pkey: 5,
            },
        ),
        (
            (5, 6),
            Details::Perf {
                addr: ptr(0x1_0000_0002),
                data: 0x3_0000_0004,
                kind: 5,
                flags: 0,
            },
        ),
        (
            (31, 1),
            Details::Syscall {
                call_addr: ptr(0x1_0000_0002),
                syscall: 4,
                arch: 3,
            },
        ),
        (
            (29, 1),
            Details::Poll {
                band: 0x1_0000_0002,
                fd: 4,
            },
        ),
        (
            (40, -5),
            Details::Poll {
                band: 0x1_0000_0002,
                fd: 4,
            },
        ),
        (
            (14, -2),
            Details::Timer {
                timer: 2,
                overrun: 1,
                value: 0x3_0000_0004,
            },
        ),
        (
            (40, -1),
            Details::Queue {
                pid: process::Pid::from_raw(2),
                uid: 1,
                value: 0x3_0000_0004,
            },
        ),
        (
            (15, 0),
            Details::Kill {
                pid: process::Pid::from_raw(2),
                uid: 1,
            },
        ),
        (
            (11, 0x80),
            Details::Kill {
                pid: process::Pid::from_raw(2),
                uid: 1,
            },
        ),
        (
            (5, 0x105),
            Details::Kill {
                pid: process::Pid::from_raw(2),
                uid: 1,
            },
        ),
    ];
    for ((signo, code), expected) in cases {
        let info = with(signo, code, [0x1_0000_0002, 0x3_0000_0004, 5, 6]);
        assert_eq!(info.details(), expected, "{signo} {code}");
    }
}

/// A storm: every signal that is queued is handled, while the thread is in a
/// call that says `EINTR` each time.
#[test]
fn no_queued_signal_is_lost_in_a_storm() {
    in_child(|| {
        const STORM: u64 = 2000;
        let own = process::getpid();
        let signal = Signal::SIGRTMIN;
        // SAFETY: the handler counts; this child is alone.
        unsafe { signal::sigaction(signal, &Sigaction::handler(count)) }.unwrap();
        // SAFETY: the child sends signals, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let info = Siginfo::queue(signal, own, 0, 0);
            for _ in 0..STORM {
                while signal::rt_sigqueueinfo(own, signal, &info) == Err(Errno::EAGAIN) {
                    std::thread::yield_now();
                }
            }
            // SAFETY: ends.
            unsafe { libc::_exit(0) };
        }
        while COUNT.load(SeqCst) < STORM {
            let second = Some(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            });
            match signal::sigtimedwait(Signal::SIGUSR2.into(), second) {
                Err(Errno::EINTR) => {}
                other => assert_eq!(other.unwrap_err(), Errno::EAGAIN),
            }
        }
        assert_eq!(COUNT.load(SeqCst), STORM);
        // SAFETY: waits for the child.
        unsafe { libc::waitpid(child, core::ptr::null_mut(), 0) };
    });
}
