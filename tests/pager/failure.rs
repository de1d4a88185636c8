//! A source that says later, fails, or panics: a stall, a signal, an end, and
//! never zeros.

use crate::support::*;
use crate::uffd::*;
use barecall::Errno;
use barecall::fd::AsFd;
use barecall::pager::{At, Fill, OnFailure, PageSource, Pager, PagerError, Region, RegionTable};
use barecall::process::{PidfdFlags, getpid, pidfd_open};
use barecall::userfaultfd::Features;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[test]
fn later_is_asked_again_and_kicking_hurries() {
    let uffd = plain();
    let memory = pages(&uffd, 4, MISSING);
    let ready = AtomicBool::new(false);
    let source = By(|at: At, into: &mut [u8]| {
        if !ready.load(Ordering::Acquire) {
            return Fill::Later;
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 1, || {
        thread::scope(|scope| {
            let reader = scope.spawn(|| assert_page(&memory, 2, 2 * page_size() as u64));
            until("three times later", || pager.stats().later >= 3);
            assert!(!reader.is_finished());
            ready.store(true, Ordering::Release);
            pager.kick();
            reader.join().unwrap();
        });
    });
    assert_eq!(pager.stats().deferred_most, 1);
}

/// More waiting pages than can be put off: all are served in the end.
#[test]
fn more_than_can_be_put_off_is_no_loss() {
    const READERS: usize = 100;
    let uffd = plain();
    let memory = pages(&uffd, READERS, MISSING);
    let ready = AtomicBool::new(false);
    let source = By(|at: At, into: &mut [u8]| {
        if !ready.load(Ordering::Acquire) {
            return Fill::Later;
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let options = options().block(page_size());
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    serving(&pager, 2, || {
        thread::scope(|scope| {
            for index in 0..READERS {
                let memory = &memory;
                scope.spawn(move || assert_page(memory, index, (index * page_size()) as u64));
            }
            until("too many", || pager.stats().overflowed > 0);
            ready.store(true, Ordering::Release);
        });
    });
    let stats = pager.stats();
    assert_eq!(stats.copied, memory.len() as u64);
    assert!(stats.deferred_most <= 64);
}

/// One bad page in a block: the others come, and the bad one stalls, until the
/// source has recovered.
#[test]
fn a_failing_page_stalls_alone() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 16, MISSING);
    let works = AtomicBool::new(false);
    let source = By(|at: At, into: &mut [u8]| {
        let bad = 5 * page_size() as u64;
        let has_it = at.offset <= bad && bad < at.offset + into.len() as u64;
        if has_it && !works.load(Ordering::Acquire) {
            return Fill::Failed(Errno::EIO);
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 1, || {
        for index in (0..16).filter(|&index| index != 5) {
            assert_page(&memory, index, (index * size) as u64);
        }
        thread::scope(|scope| {
            let reader = scope.spawn(|| assert_page(&memory, 5, 5 * size as u64));
            until("failures", || pager.stats().failed >= 2);
            assert!(!reader.is_finished());
            works.store(true, Ordering::Release);
            pager.kick();
            reader.join().unwrap();
        });
    });
}

/// A source that gives fewer bytes than it was asked for has failed.
#[test]
fn a_short_slice_is_a_failure() {
    static SHORT: [u8; 100] = [7; 100];
    let uffd = plain();
    let memory = pages(&uffd, 1, MISSING);
    let works = AtomicBool::new(false);
    let source = By(|at: At, into: &mut [u8]| {
        if !works.load(Ordering::Acquire) {
            return Fill::Slice(&SHORT);
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 1, || {
        thread::scope(|scope| {
            let reader = scope.spawn(|| assert_page(&memory, 0, 0));
            until("a failure", || pager.stats().failed > 0);
            assert!(!reader.is_finished());
            works.store(true, Ordering::Release);
            reader.join().unwrap();
        });
    });
}

struct OneBad(Fill<'static>);

impl PageSource for OneBad {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        let bad = page_size() as u64;
        if at.offset <= bad && bad < at.offset + into.len() as u64 {
            return self.0;
        }
        generate(at.offset, into);
        Fill::Bytes
    }
}

/// Reads page 1 of 4, after the others; to be run in a forked child.
fn read_a_bad_page(fill: Fill<'static>, policy: OnFailure<'_>) {
    let uffd = if has(Features::POISON) {
        open(Features::POISON)
    } else {
        plain()
    };
    let memory = pages(&uffd, 4, MISSING);
    let source = OneBad(fill);
    let mut room = [Region::EMPTY; 4];
    let options = options().on_failure(policy);
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    serving(&pager, 1, || {
        for index in [0, 2, 3] {
            assert_page(&memory, index, (index * page_size()) as u64);
        }
        // The test that stalls ends by this.
        // SAFETY: takes a number.
        unsafe { libc::alarm(1) };
        let byte = peek(&memory, 1);
        panic!("read {byte}");
    });
}

fn fill_failed_and_poison() {
    read_a_bad_page(Fill::Failed(Errno::EIO), OnFailure::Poison);
}

fn fill_failed_and_kill() {
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    read_a_bad_page(Fill::Failed(Errno::EIO), OnFailure::Kill(own.as_fd()));
}

fn fill_failed_and_stall() {
    read_a_bad_page(Fill::Failed(Errno::EIO), OnFailure::Stall);
}

fn fill_poison() {
    read_a_bad_page(Fill::Poison, OnFailure::Stall);
}

#[test]
fn a_failing_page_can_be_poison() {
    if has(Features::POISON) {
        assert_eq!(died_by(fill_failed_and_poison), libc::SIGBUS);
    } else {
        let uffd = plain();
        let mut room = [Region::EMPTY; 4];
        let options = options().on_failure(OnFailure::Poison);
        let pager = Pager::new(&uffd, &Words, RegionTable::new(&mut room), options);
        assert_eq!(pager.err(), Some(PagerError::NoPoison));
    }
}

#[test]
fn a_failing_page_can_kill() {
    assert_eq!(died_by(fill_failed_and_kill), libc::SIGKILL);
}

#[test]
fn a_failing_page_stalls_by_default() {
    assert_eq!(died_by(fill_failed_and_stall), libc::SIGALRM);
}

/// The source itself says that the contents are lost. Where the kernel cannot
/// poison, that is a failure.
#[test]
fn a_source_can_poison() {
    let expected = if has(Features::POISON) {
        libc::SIGBUS
    } else {
        libc::SIGALRM
    };
    assert_eq!(died_by(fill_poison), expected);
}

/// A panic unwinds out of one handler; its fault comes again to another.
#[test]
fn a_panicking_source_loses_no_fault() {
    let uffd = plain();
    let memory = pages(&uffd, 16, MISSING);
    let calls = AtomicUsize::new(0);
    let source = By(|at: At, into: &mut [u8]| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            std::panic::resume_unwind(Box::new("the source has panicked, as it should"));
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options()).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| assert_page(&memory, 3, 3 * page_size() as u64));
        let first = scope.spawn(|| pager.serve(&mut staging()));
        assert!(first.join().is_err());
        assert!(!reader.is_finished());
        serving(&pager, 1, || reader.join().unwrap());
    });
}
