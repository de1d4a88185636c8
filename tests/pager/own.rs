//! `SelfPager`: faults served in the thread that has them. In forked children,
//! because the action of a signal is the process's.

use crate::common;
use crate::support::*;
use crate::uffd::*;
use barecall::Errno;
use barecall::pager::{
    At, Fill, OnFailure, PageSource, Pager, PagerError, PagerOptions, Region, RegionTable,
    SelfPager,
};
use barecall::signal::{self, Sigaction, Signal};
use barecall::userfaultfd::{Features, MappedRegion, RegisterModes};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

barecall::self_pager!(fn install: Source);
barecall::self_pager!(fn install_another: Source);

/// Page 7 cannot be had, page 8 is lost, page 9 comes later, page 10 is made from
/// what lies at `FORBIDDEN`.
struct Source;

static FORBIDDEN: AtomicUsize = AtomicUsize::new(0);

fn touch_what_is_served() {
    let address = FORBIDDEN.load(Ordering::Relaxed);
    if address != 0 {
        // SAFETY: mapped, and registered.
        unsafe { std::ptr::with_exposed_provenance::<u8>(address).read_volatile() };
    }
}

static LATER: AtomicUsize = AtomicUsize::new(0);

impl PageSource for Source {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        let size = at.page_size as u64;
        for page in at.offset / size..(at.offset + into.len() as u64) / size {
            match page {
                7 => return Fill::Failed(Errno::EIO),
                8 => return Fill::Poison,
                10 => touch_what_is_served(),
                9 if LATER.fetch_add(1, Ordering::Relaxed) < 3 => return Fill::Later,
                _ => {}
            }
        }
        generate(at.offset, into);
        Fill::Bytes
    }
}

const PAGES: usize = 200;

type Started = (&'static MappedRegion, &'static SelfPager<'static, Source>);

/// In a child, which lives no longer than what is leaked here.
fn start(options: PagerOptions<'static>) -> Started {
    let (memory, pager) = make(options);
    // SAFETY: nobody else here handles SIGBUS but std, which is passed on to;
    // the source only computes.
    unsafe { install(pager) }.unwrap();
    (memory, pager)
}

fn make(options: PagerOptions<'static>) -> Started {
    let uffd = open(Features::SIGBUS);
    let memory = Box::leak(Box::new(pages(&uffd, PAGES, RegisterModes::MISSING)));
    let room = Box::leak(Box::new([Region::EMPTY; 4]));
    let table = table(room, memory);
    let staging = Box::leak(vec![0xee; 2 * (64 << 10)].into_boxed_slice());
    let pager = SelfPager::new(&uffd, &Source, table, staging, options).unwrap();
    (memory, Box::leak(Box::new(pager)))
}

#[test]
fn threads_serve_themselves() {
    let _turn = forking();
    common::in_child(|| {
        let (memory, pager) = start(options());
        // More threads than buffers.
        thread::scope(|scope| {
            for start in 0..6 {
                scope.spawn(move || {
                    for index in (0..PAGES).map(|index| (index + start * 30) % PAGES) {
                        if !(7..=8).contains(&index) {
                            assert_page(memory, index, (index * page_size()) as u64);
                        }
                    }
                });
            }
        });
        let left = 2 * page_size();
        assert_eq!(pager.stats().copied, (memory.len() - left) as u64);
        // SAFETY: as in `start`.
        assert_eq!(unsafe { install(pager) }, Err(Errno::EALREADY));
    });
}

/// A system call that meets a missing page says so, and nothing is served.
#[test]
fn a_system_call_says_efault() {
    let _turn = forking();
    common::in_child(|| {
        let (memory, pager) = start(options());
        let (reader, writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC).unwrap();
        // SAFETY: mapped; others do not write it.
        let bytes = unsafe { std::slice::from_raw_parts(memory.as_ptr(), 8) };
        assert_eq!(barecall::io::write(&writer, bytes), Err(Errno::EFAULT));
        assert_eq!(pager.stats().missing, 0);
        assert_page(memory, 0, 0);
        assert_eq!(barecall::io::write(&writer, bytes), Ok(8));
        drop(reader);
    });
}

#[test]
fn a_page_that_cannot_be_had_is_a_signal_or_a_stall() {
    let poison = died_by(|| {
        let (memory, _) = start(options().on_failure(OnFailure::Poison));
        peek(memory, 7);
    });
    assert_eq!(poison, libc::SIGBUS);
    let lost = died_by(|| {
        let (memory, _) = start(options());
        peek(memory, 8);
    });
    assert_eq!(lost, libc::SIGBUS);
    let stalls = died_by(|| {
        let (memory, _) = start(options());
        // SAFETY: takes a number.
        unsafe { libc::alarm(1) };
        peek(memory, 7);
    });
    assert_eq!(stalls, libc::SIGALRM);
}

static CHAINED: AtomicBool = AtomicBool::new(false);

extern "C" fn before(signal: Signal) {
    assert_eq!(signal, Signal::SIGBUS);
    CHAINED.store(true, Ordering::Relaxed);
}

/// What is not the pager's goes to who was there before.
#[test]
fn the_former_action_gets_the_rest() {
    let turn = forking();
    common::in_child(|| {
        // SAFETY: the handler stores to an atomic.
        unsafe { signal::sigaction(Signal::SIGBUS, &Sigaction::handler(before)) }.unwrap();
        let (memory, _) = start(options());
        signal::raise(Signal::SIGBUS).unwrap();
        assert!(CHAINED.swap(false, Ordering::Relaxed));
        assert_page(memory, 3, 3 * page_size() as u64);
        assert!(!CHAINED.load(Ordering::Relaxed));
    });
    drop(turn);
    let default = died_by(|| {
        // SAFETY: as it is in a program without std.
        unsafe { signal::sigaction(Signal::SIGBUS, &Sigaction::DEFAULT) }.unwrap();
        let _ = start(options());
        signal::raise(Signal::SIGBUS).unwrap();
    });
    assert_eq!(default, libc::SIGBUS);
}

/// Two pagers, each with its own memory: what is not the one's is the other's, and
/// what is neither's is for who was there before both.
#[test]
fn two_of_them_pass_on_to_each_other() {
    let _turn = forking();
    common::in_child(|| {
        // SAFETY: the handler stores to an atomic.
        unsafe { signal::sigaction(Signal::SIGBUS, &Sigaction::handler(before)) }.unwrap();
        let (memory, pager) = start(options());
        let (other_memory, other) = make(options());
        // SAFETY: as in `start`.
        unsafe { install_another(other) }.unwrap();
        for index in [0, 20, 60, 199] {
            assert_page(memory, index, (index * page_size()) as u64);
            assert_page(other_memory, index, (index * page_size()) as u64);
        }
        assert_eq!((other.stats().missing, other.stats().stray), (4, 4));
        assert_eq!((pager.stats().missing, pager.stats().stray), (4, 0));
        signal::raise(Signal::SIGBUS).unwrap();
        assert!(CHAINED.swap(false, Ordering::Relaxed));
    });
}

/// A source that touches what is missing ends the process, and does not hang.
#[test]
fn a_fault_in_the_handler_itself_is_the_end() {
    let signal = died_by(|| {
        let (memory, _) = start(options());
        let forbidden = memory.range().start() + 100 * page_size();
        FORBIDDEN.store(forbidden, Ordering::Relaxed);
        peek(memory, 10);
    });
    assert_eq!(signal, libc::SIGBUS);
}

/// Who sends a signal that was ignored, does no harm.
#[test]
fn a_signal_that_was_ignored_still_is() {
    let _turn = forking();
    common::in_child(|| {
        // SAFETY: nothing is done.
        unsafe { signal::sigaction(Signal::SIGBUS, &Sigaction::IGNORE) }.unwrap();
        let (memory, _) = start(options());
        signal::raise(Signal::SIGBUS).unwrap();
        assert_page(memory, 3, 3 * page_size() as u64);
        signal::raise(Signal::SIGBUS).unwrap();
    });
}

/// Memory that the machine has lost cannot be filled; and who had it before
/// knows what to do.
#[test]
fn poisoned_memory_is_for_the_former_action() {
    const BUS_MCEERR_AR: i32 = 4;
    let _turn = forking();
    common::in_child(|| {
        // SAFETY: the handler stores to an atomic.
        unsafe { signal::sigaction(Signal::SIGBUS, &Sigaction::handler(before)) }.unwrap();
        let (memory, pager) = start(options());
        // As the kernel says it. (A process may say anything to itself.)
        // SAFETY: a structure of numbers; its address is behind three of them.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            info.si_signo = libc::SIGBUS;
            info.si_code = BUS_MCEERR_AR;
            let at = (&raw mut info).cast::<*mut u8>().add(2);
            at.write(memory.as_ptr());
            let sent = libc::syscall(
                libc::SYS_rt_sigqueueinfo,
                libc::getpid(),
                libc::SIGBUS,
                &raw const info,
            );
            assert_eq!(sent, 0);
        }
        assert!(CHAINED.swap(false, Ordering::Relaxed));
        assert_eq!(pager.stats().missing, 0);
    });
}

#[test]
fn what_a_self_pager_cannot_do_is_refused() {
    let make = |features, staging: usize| {
        let uffd = open(features);
        let memory = pages(&uffd, 4, RegisterModes::MISSING);
        let mut room = [Region::EMPTY; 4];
        let table = table(&mut room, &memory);
        let mut staging = vec![0; staging];
        SelfPager::new(&uffd, &Source, table, &mut staging, options()).err()
    };
    assert_eq!(
        make(Features::empty(), 64 << 10),
        Some(PagerError::Features)
    );
    let told = Features::SIGBUS | Features::EVENT_REMOVE;
    assert_eq!(make(told, 64 << 10), Some(PagerError::Features));
    let short = make(Features::SIGBUS, (64 << 10) - 1);
    assert_eq!(short, Some(PagerError::StagingTooSmall));
    assert_eq!(make(Features::SIGBUS, 64 << 10), None);
    let by_signal = open(Features::SIGBUS);
    let pager = Pager::new(&by_signal, &Source, RegionTable::new(&mut []), options());
    assert_eq!(pager.err(), Some(PagerError::Features));
}
