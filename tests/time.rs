//! Clocks, sleeps and timers.

mod common;

use barecall::Errno;
use barecall::event::{EventFdFlags, eventfd};
use barecall::fd::AsFd;
use barecall::io::{PipeFlags, pipe2, retry_on_intr};
use barecall::time::{
    ClockId, Itimerspec, Slept, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_getres,
    clock_gettime, clock_nanosleep, clock_nanosleep_until, clock_settime, gettimeofday, nanosleep,
    timerfd_create, timerfd_gettime, timerfd_read, timerfd_set_ticks, timerfd_settime,
};
use common::kernel_is_at_least;
use core::time::Duration;

const MILLISECOND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 1_000_000,
};

fn monotonic() -> Timespec {
    clock_gettime(ClockId::MONOTONIC).unwrap()
}

/// `run` in a forked child, which must say `true`.
fn in_a_child(run: impl FnOnce() -> bool) {
    // SAFETY: the child calls what may be called there, and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(if run() { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0);
    }
}

extern "C" fn nothing(_: libc::c_int) {}

/// `run` in a child which gets a SIGALRM after 50 ms that interrupts.
fn interrupted(run: impl FnOnce() -> bool) {
    in_a_child(|| {
        // SAFETY: a handler that does nothing, without SA_RESTART.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, core::ptr::null_mut());
            let timer = libc::itimerval {
                it_interval: core::mem::zeroed(),
                it_value: libc::timeval {
                    tv_sec: 0,
                    tv_usec: 50_000,
                },
            };
            libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut());
        }
        run()
    });
}

// ---- clocks ----

#[test]
fn every_clock_says_what_libc_says_of_it() {
    for number in 0..24 {
        let clock = ClockId::from_raw(number);
        let mut before = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a timespec of ours.
        let ret = unsafe { libc::syscall(libc::SYS_clock_gettime, number, &raw mut before) };
        let answer = clock_gettime(clock);
        if ret != 0 {
            let errno = std::io::Error::last_os_error().raw_os_error();
            assert_eq!(
                answer.map_err(|errno| Some(errno.raw())),
                Err(errno),
                "{number}"
            );
            continue;
        }
        let answer = answer.unwrap();
        assert!((before.tv_sec, before.tv_nsec) <= (answer.tv_sec, answer.tv_nsec));
        assert!((0..1_000_000_000).contains(&answer.tv_nsec));
    }
}

#[test]
fn the_clocks_that_every_kernel_has_are_there() {
    for clock in [
        ClockId::REALTIME,
        ClockId::MONOTONIC,
        ClockId::PROCESS_CPUTIME_ID,
        ClockId::THREAD_CPUTIME_ID,
        ClockId::MONOTONIC_RAW,
        ClockId::REALTIME_COARSE,
        ClockId::MONOTONIC_COARSE,
        ClockId::BOOTTIME,
        ClockId::TAI,
    ] {
        assert!(clock_gettime(clock).unwrap() > Timespec::ZERO, "{clock:?}");
        let resolution = clock_getres(clock).unwrap();
        assert!(resolution > Timespec::ZERO, "{clock:?}");
        assert_eq!(resolution.tv_sec, 0);
    }
    for number in [10, 12, 15, 24, -1, i32::MAX] {
        let clock = ClockId::from_raw(number);
        assert_eq!(clock_gettime(clock), Err(Errno::EINVAL), "{number}");
        assert_eq!(clock_getres(clock), Err(Errno::EINVAL), "{number}");
    }
}

#[test]
fn auxiliary_clocks_are_off_until_enabled_and_unknown_before_6_17() {
    for number in ClockId::AUX.as_raw()..=ClockId::AUX_LAST.as_raw() {
        let answer = clock_gettime(ClockId::from_raw(number));
        if std::path::Path::new("/sys/kernel/time/aux_clocks").exists() {
            assert_eq!(answer, Err(Errno::ENODEV), "{number}");
        } else {
            // Also a newer kernel without CONFIG_POSIX_AUX_CLOCKS.
            assert_eq!(answer, Err(Errno::EINVAL), "{number}");
        }
    }
    if !kernel_is_at_least(6, 17) {
        assert!(!std::path::Path::new("/sys/kernel/time/aux_clocks").exists());
    }
}

#[test]
fn the_clock_of_a_process_and_of_a_thread_are_what_libc_computes() {
    let pid = std::process::id() as i32;
    let mut libc_clock = 0;
    // SAFETY: a number out.
    let ret = unsafe { libc::clock_getcpuclockid(pid, &raw mut libc_clock) };
    assert_eq!(ret, 0);
    assert_eq!(ClockId::of_process(pid).as_raw(), libc_clock);
    // SAFETY: takes nothing.
    let tid = unsafe { libc::gettid() };
    for clock in [
        ClockId::of_process(pid),
        ClockId::of_process(0),
        ClockId::of_thread(tid),
        ClockId::of_thread(0),
    ] {
        assert!(clock_gettime(clock).unwrap() > Timespec::ZERO);
    }
    let nobody = ClockId::of_process(0x0fff_fff0);
    assert_eq!(clock_gettime(nobody), Err(Errno::EINVAL));
    for number in [-1, -2, -3, i32::MIN, i32::MAX, 1 << 29, (1 << 22) + 1] {
        for clock in [ClockId::of_process(number), ClockId::of_thread(number)] {
            assert_eq!(clock_gettime(clock), Err(Errno::EINVAL), "{number}");
        }
    }
    let event = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
    let no_clock = ClockId::of_device(event.as_fd());
    assert_eq!(clock_gettime(no_clock), Err(Errno::EINVAL));
}

#[test]
fn setting_a_clock_is_refused_as_documented() {
    for clock in [ClockId::MONOTONIC, ClockId::BOOTTIME, ClockId::TAI] {
        assert_eq!(clock_settime(clock, &Timespec::ZERO), Err(Errno::EINVAL));
    }
    let wild = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    };
    assert_eq!(clock_settime(ClockId::REALTIME, &wild), Err(Errno::EINVAL));
    in_a_child(|| {
        // SAFETY: this child only.
        let dropped = unsafe { libc::setresuid(65534, 65534, 65534) } == 0;
        let now = clock_gettime(ClockId::REALTIME).unwrap_or_default();
        !dropped || clock_settime(ClockId::REALTIME, &now) == Err(Errno::EPERM)
    });
}

#[test]
fn gettimeofday_is_the_realtime_clock_in_microseconds() {
    let before = clock_gettime(ClockId::REALTIME).unwrap();
    let now = gettimeofday().unwrap();
    let after = clock_gettime(ClockId::REALTIME).unwrap();
    let before = (before.tv_sec, before.tv_nsec / 1000);
    let after = (after.tv_sec, after.tv_nsec / 1000);
    assert!(before <= (now.tv_sec, now.tv_usec));
    assert!((now.tv_sec, now.tv_usec) <= after);
}

// ---- arithmetic ----

#[test]
fn times_add_and_subtract_with_carry_and_never_overflow() {
    let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let ns = Duration::from_nanos;
    assert_eq!(at(1, 999_999_999).checked_add(ns(1)), Some(at(2, 0)));
    assert_eq!(at(-1, 999_999_999).checked_add(ns(1)), Some(at(0, 0)));
    assert_eq!(at(i64::MAX, 999_999_999).checked_add(ns(1)), None);
    assert_eq!(at(i64::MAX, 0).checked_add(Duration::from_secs(1)), None);
    assert_eq!(
        at(i64::MIN, 0).checked_add(Duration::from_secs(u64::MAX)),
        Some(at(i64::MAX, 0))
    );
    assert_eq!(at(0, 0).checked_add(Duration::MAX), None);
    assert_eq!(at(0, 1_000_000_000).checked_add(ns(1)), None);
    assert_eq!(at(0, i64::MIN).checked_add(ns(1)), None);

    assert_eq!(at(2, 0).checked_sub(at(1, 999_999_999)), Some(ns(1)));
    assert_eq!(at(1, 5).checked_sub(at(1, 6)), None);
    assert_eq!(at(1, 5).checked_sub(at(2, 0)), None);
    assert_eq!(
        at(i64::MAX, 999_999_999).checked_sub(at(i64::MIN, 0)),
        Some(Duration::new(u64::MAX, 999_999_999))
    );
    assert_eq!(at(0, i64::MAX).checked_sub(at(0, i64::MIN)), None);

    assert_eq!(Timespec::from_duration(Duration::MAX).tv_sec, i64::MAX);
    assert_eq!(Timespec::from(ns(1_000_000_001)), at(1, 1));
    assert_eq!(at(1, 1).to_duration(), Some(ns(1_000_000_001)));
    assert_eq!(at(-1, 0).to_duration(), None);
    assert_eq!(at(0, -1).to_duration(), None);
    assert_eq!(at(0, 1_000_000_000).to_duration(), None);
}

// ---- sleeping ----

#[test]
fn a_sleep_takes_at_least_as_long_as_it_should() {
    let start = monotonic();
    assert_eq!(nanosleep(&MILLISECOND), Ok(Slept::Whole));
    assert!(monotonic().checked_sub(start).unwrap() >= Duration::from_millis(1));
    for clock in [
        ClockId::REALTIME,
        ClockId::MONOTONIC,
        ClockId::BOOTTIME,
        ClockId::TAI,
    ] {
        let start = monotonic();
        assert_eq!(clock_nanosleep(clock, &MILLISECOND), Ok(Slept::Whole));
        assert!(monotonic().checked_sub(start).unwrap() >= Duration::from_millis(1));
        let deadline = clock_gettime(clock)
            .unwrap()
            .checked_add(Duration::from_millis(2))
            .unwrap();
        retry_on_intr(|| clock_nanosleep_until(clock, &deadline)).unwrap();
        assert!(clock_gettime(clock).unwrap() >= deadline);
    }
}

#[test]
fn a_deadline_that_has_passed_is_no_sleep() {
    assert_eq!(
        clock_nanosleep_until(ClockId::MONOTONIC, &Timespec::ZERO),
        Ok(())
    );
}

#[test]
fn a_sleep_that_cannot_be_is_refused_as_documented() {
    for (tv_sec, tv_nsec) in [(0, 1_000_000_000), (-1, 0), (0, -1)] {
        let wild = Timespec { tv_sec, tv_nsec };
        assert_eq!(nanosleep(&wild), Err(Errno::EINVAL));
        let clock = ClockId::MONOTONIC;
        assert_eq!(clock_nanosleep(clock, &wild), Err(Errno::EINVAL));
        assert_eq!(clock_nanosleep_until(clock, &wild), Err(Errno::EINVAL));
    }
    for clock in [
        ClockId::MONOTONIC_RAW,
        ClockId::MONOTONIC_COARSE,
        ClockId::REALTIME_COARSE,
    ] {
        assert_eq!(clock_nanosleep(clock, &MILLISECOND), Err(Errno::EOPNOTSUPP));
    }
    let own = ClockId::THREAD_CPUTIME_ID;
    assert_eq!(clock_nanosleep(own, &MILLISECOND), Err(Errno::EOPNOTSUPP));
    let own = ClockId::of_thread(0);
    assert_eq!(clock_nanosleep(own, &MILLISECOND), Err(Errno::EINVAL));
    assert_eq!(clock_settime(own, &MILLISECOND), Err(Errno::EPERM));
    let none = ClockId::from_raw(12);
    assert_eq!(clock_nanosleep(none, &MILLISECOND), Err(Errno::EINVAL));
}

#[test]
fn an_interrupted_sleep_says_what_remains() {
    let minute = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    let remains = |answer| match answer {
        Ok(Slept::Interrupted(rest)) => {
            // Some time has passed, and not much.
            rest < minute && rest.tv_sec >= 30 && (0..1_000_000_000).contains(&rest.tv_nsec)
        }
        _ => false,
    };
    interrupted(|| remains(nanosleep(&minute)));
    interrupted(|| remains(clock_nanosleep(ClockId::MONOTONIC, &minute)));
    interrupted(|| remains(clock_nanosleep(ClockId::REALTIME, &minute)));
    interrupted(|| {
        let deadline = monotonic().checked_add(Duration::from_secs(60)).unwrap();
        clock_nanosleep_until(ClockId::MONOTONIC, &deadline) == Err(Errno::EINTR)
    });
}

// ---- timerfd ----

fn once(value: Timespec) -> Itimerspec {
    Itimerspec {
        it_interval: Timespec::ZERO,
        it_value: value,
    }
}

#[test]
fn a_timer_expires_once_or_again_and_again() {
    let timer = timerfd_create(ClockId::MONOTONIC, TimerfdFlags::CLOEXEC).unwrap();
    assert_eq!(timerfd_gettime(&timer), Ok(Itimerspec::default()));
    let relative = TimerfdTimerFlags::empty();
    let old = timerfd_settime(&timer, relative, &once(MILLISECOND)).unwrap();
    assert_eq!(old, Itimerspec::default());
    assert_eq!(timerfd_read(&timer), Ok(1));
    assert_eq!(timerfd_gettime(&timer).unwrap().it_value, Timespec::ZERO);

    let often = Itimerspec {
        it_interval: MILLISECOND,
        it_value: MILLISECOND,
    };
    timerfd_settime(&timer, relative, &often).unwrap();
    assert_eq!(
        nanosleep(&Timespec::from_duration(Duration::from_millis(20))),
        Ok(Slept::Whole)
    );
    assert!(timerfd_read(&timer).unwrap() >= 20);
    let set = timerfd_gettime(&timer).unwrap();
    assert_eq!(set.it_interval, MILLISECOND);
    assert!(set.it_value <= MILLISECOND);
    let old = timerfd_settime(&timer, relative, &Itimerspec::default()).unwrap();
    assert_eq!(old.it_interval, MILLISECOND);
    assert_eq!(timerfd_gettime(&timer), Ok(Itimerspec::default()));
}

#[test]
fn a_timer_takes_a_point_in_time() {
    for clock in [ClockId::REALTIME, ClockId::MONOTONIC, ClockId::BOOTTIME] {
        let timer = timerfd_create(clock, TimerfdFlags::CLOEXEC).unwrap();
        let deadline = clock_gettime(clock)
            .unwrap()
            .checked_add(Duration::from_millis(2))
            .unwrap();
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &once(deadline)).unwrap();
        assert_eq!(timerfd_read(&timer), Ok(1));
        assert!(clock_gettime(clock).unwrap() >= deadline);
    }
}

#[test]
fn a_non_blocking_timer_says_eagain_and_its_flags_are_kept() {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(ClockId::MONOTONIC, flags).unwrap();
    assert_eq!(timerfd_read(&timer), Err(Errno::EAGAIN));
    // SAFETY: reads flags.
    unsafe {
        assert_eq!(
            libc::fcntl(timer.as_raw_fd(), libc::F_GETFD),
            libc::FD_CLOEXEC
        );
        let status = libc::fcntl(timer.as_raw_fd(), libc::F_GETFL);
        assert_eq!(status & libc::O_NONBLOCK, libc::O_NONBLOCK);
    }
}

#[test]
fn a_timer_is_refused_as_documented() {
    let none = TimerfdFlags::empty();
    for clock in [
        ClockId::PROCESS_CPUTIME_ID,
        ClockId::MONOTONIC_RAW,
        ClockId::TAI,
        ClockId::from_raw(-1),
    ] {
        assert_eq!(timerfd_create(clock, none).unwrap_err(), Errno::EINVAL);
    }
    let unknown = TimerfdFlags::from_bits_retain(1);
    let clock = ClockId::MONOTONIC;
    assert_eq!(timerfd_create(clock, unknown).unwrap_err(), Errno::EINVAL);

    let timer = timerfd_create(clock, TimerfdFlags::CLOEXEC).unwrap();
    let relative = TimerfdTimerFlags::empty();
    let unknown = TimerfdTimerFlags::from_bits_retain(4);
    for (flags, tv_sec, tv_nsec) in [
        (unknown, 1, 0),
        (relative, -1, 0),
        (relative, 0, 1_000_000_000),
        (relative, 0, -1),
    ] {
        let time = once(Timespec { tv_sec, tv_nsec });
        assert_eq!(timerfd_settime(&timer, flags, &time), Err(Errno::EINVAL));
    }
    let event = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
    assert_eq!(timerfd_gettime(&event), Err(Errno::EINVAL));
    assert_eq!(
        timerfd_settime(&event, relative, &once(MILLISECOND)),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_read_of_something_else_is_no_count_of_expirations() {
    let (reader, writer) = pipe2(PipeFlags::CLOEXEC).unwrap();
    barecall::io::write(&writer, b"123").unwrap();
    assert_eq!(timerfd_read(&reader), Err(Errno::EIO));
}

#[test]
fn ticks_can_be_restored() {
    let timer = timerfd_create(ClockId::MONOTONIC, TimerfdFlags::CLOEXEC).unwrap();
    match timerfd_set_ticks(&timer, 7) {
        Err(Errno::ENOTTY) => skip!("a kernel without CONFIG_CHECKPOINT_RESTORE"),
        answer => assert_eq!(answer, Ok(())),
    }
    assert_eq!(timerfd_read(&timer), Ok(7));
    assert_eq!(timerfd_set_ticks(&timer, 0), Err(Errno::EINVAL));
    let event = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
    assert_eq!(timerfd_set_ticks(&event, 7), Err(Errno::ENOTTY));
}
