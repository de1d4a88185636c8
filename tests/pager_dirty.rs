//! pager: DirtyTracker and WorkingSet.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::event::{EventFdFlags, eventfd};
use barecall::fd::OwnedFd;
use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan, ScanFlags};
use barecall::pager::{DirtyTracker, Method, TrackerError, WorkingSet};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::userfaultfd::{Access, Features, MappedRegion, OpenError, PageRange};
use barecall::{Errno, io};
use common::{emulated, kernel_is_at_least};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use uffd::*;

const MISSING_ASYNC: TrackerError =
    TrackerError::Userfaultfd(OpenError::Missing(Features::WP_ASYNC));

/// A tracker, or none if the kernel is too old, which must say so.
fn tracker() -> Option<DirtyTracker<'static>> {
    watchdog();
    let opened = DirtyTracker::open();
    let new_enough = kernel_is_at_least(6, 7) && cfg!(target_arch = "x86_64");
    if new_enough || kernel_is_at_least(6, 10) {
        return Some(opened.expect("WP_ASYNC"));
    }
    let error = opened.unwrap_err();
    if kernel_is_at_least(5, 11) {
        assert_eq!(error, MISSING_ASYNC);
        assert_eq!(Errno::from(error), Errno::EOPNOTSUPP);
    } else {
        // No user mode either.
        let (syscall, device) = (Some(Errno::EINVAL), Some(Errno::ENOENT));
        let open = OpenError::Open { syscall, device };
        assert_eq!(error, TrackerError::Userfaultfd(open));
        assert_eq!(Errno::from(error), Errno::EINVAL);
    }
    None
}

/// A synchronous tracker, served as long as `body` runs; none if the kernel
/// cannot, which must say so.
fn served<T>(pages: usize, body: impl FnOnce(&DirtyTracker<'_>) -> T) -> Option<T> {
    watchdog();
    let bits: Vec<AtomicU64> = (0..pages.div_ceil(64))
        .map(|_| AtomicU64::new(!0))
        .collect();
    let opened = DirtyTracker::open_synchronous(page_size(), &bits, Access::Kernel);
    if !has(Features::PAGEFAULT_FLAG_WP) {
        assert!(cfg!(target_arch = "aarch64") && !kernel_is_at_least(6, 10));
        let missing = OpenError::Missing(Features::PAGEFAULT_FLAG_WP);
        assert_eq!(
            opened.map(drop).unwrap_err(),
            TrackerError::Userfaultfd(missing)
        );
        return None;
    }
    let tracker = opened.expect("write-protection");
    assert_eq!(tracker.method(), Method::Synchronous);
    // Also when the body panics, or the scope would wait for ever.
    struct Stop(OwnedFd);
    impl Drop for Stop {
        fn drop(&mut self) {
            io::write(&self.0, &1_u64.to_ne_bytes()).unwrap();
        }
    }
    let stop = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
    let sent = Stop(stop.try_clone().unwrap());
    thread::scope(|scope| {
        let server = scope.spawn(|| tracker.serve(&stop));
        let result = {
            let _sent = sent;
            body(&tracker)
        };
        server.join().unwrap().unwrap();
        Some(result)
    })
}

/// The numbers of the pages that are told, each once.
fn told(tracker: &DirtyTracker<'_>, region: &MappedRegion, room: usize) -> Vec<usize> {
    told_in(tracker, region, region.range(), room)
}

fn told_in(
    tracker: &DirtyTracker<'_>,
    region: &MappedRegion,
    range: PageRange,
    room: usize,
) -> Vec<usize> {
    let mut room = vec![PageRegion::EMPTY; room];
    let mut pages = Vec::new();
    for found in tracker.collect(range, &mut room) {
        pages.extend(numbers(region, found.unwrap()));
    }
    assert!(pages.is_sorted_by(|a, b| a < b), "{pages:?}");
    pages
}

fn numbers(region: &MappedRegion, range: PageRange) -> std::ops::Range<usize> {
    assert_eq!(range.len() % page_size(), 0);
    let first = (range.start() - region.range().start()) / page_size();
    first..first + range.len() / page_size()
}

fn span(region: &MappedRegion, first: usize, count: usize) -> PageRange {
    PageRange::new(page(region, first).start(), count * page_size())
}

/// Both ways: the body is given a tracker and 64 pages of its memory.
fn both_ways(body: impl Fn(&DirtyTracker<'_>, MappedRegion)) {
    if let Some(tracker) = tracker() {
        let region = tracker.anonymous(64 * page_size()).unwrap();
        body(&tracker, region);
    }
    served(64, |tracker| {
        let region = tracker.anonymous(64 * page_size()).unwrap();
        body(tracker, region);
    });
}

#[test]
fn what_was_written_is_told_once() {
    both_ways(|tracker, region| {
        assert_eq!(told(tracker, &region, 8), []);
        for i in [0, 3, 4, 63] {
            poke(&region, i, 1);
        }
        assert_eq!(told(tracker, &region, 8), [0, 3, 4, 63]);
        assert_eq!(told(tracker, &region, 8), []);
        // Reading is not writing, where there is a page.
        assert_eq!(peek(&region, 3), 1);
        assert_eq!(told(tracker, &region, 8), []);
        poke(&region, 3, 2);
        poke(&region, 3, 3);
        assert_eq!(told(tracker, &region, 1), [3]);
        assert_eq!(peek(&region, 3), 3);
    });
}

#[test]
fn a_part_of_the_range_tells_that_part_and_leaves_the_rest() {
    both_ways(|tracker, region| {
        for i in 0..64 {
            poke(&region, i, 1);
        }
        let middle = span(&region, 10, 20);
        assert_eq!(
            told_in(tracker, &region, middle, 4),
            (10..30).collect::<Vec<_>>()
        );
        let none = PageRange::new(middle.start(), 0);
        assert_eq!(told_in(tracker, &region, none, 4), []);
        let rest: Vec<usize> = (0..10).chain(30..64).collect();
        assert_eq!(told(tracker, &region, 4), rest);
        assert_eq!(told(tracker, &region, 4), []);
    });
}

#[test]
fn what_was_discarded_is_told() {
    both_ways(|tracker, region| {
        poke(&region, 5, 1);
        assert_eq!(told(tracker, &region, 8), [5]);
        region.discard(5 * page_size(), page_size()).unwrap();
        assert_eq!(told(tracker, &region, 8), [5]);
        assert_eq!(peek(&region, 5), 0);
        // A synchronous tracker may tell it again; then it is a page as others.
        told(tracker, &region, 8);
        assert_eq!(told(tracker, &region, 8), []);
        poke(&region, 5, 2);
        assert_eq!(told(tracker, &region, 8), [5]);
    });
}

#[test]
fn who_stops_before_the_end_loses_nothing() {
    both_ways(|tracker, region| {
        for i in (0..64).step_by(2) {
            poke(&region, i, 1);
        }
        let mut room = [PageRegion::EMPTY; 16];
        let mut dirty = tracker.collect(region.range(), &mut room);
        let first: Vec<_> = dirty.by_ref().take(3).map(Result::unwrap).collect();
        assert_eq!(first, [0, 2, 4].map(|i| page(&region, i)));
        drop(dirty);
        // Not even when nothing was asked for.
        drop(tracker.collect(region.range(), &mut room));
        let rest: Vec<usize> = (6..64).step_by(2).collect();
        assert_eq!(told(tracker, &region, 16), rest);
        assert_eq!(told(tracker, &region, 16), []);
    });
}

#[test]
fn what_the_kernel_writes_is_told() {
    both_ways(|tracker, region| {
        told(tracker, &region, 8);
        let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        io::write(&writer, &[7; 100]).unwrap();
        // SAFETY: memory of the region, that nobody else uses.
        let buf = unsafe {
            std::slice::from_raw_parts_mut(region.as_ptr().wrapping_add(9 * page_size()), 100)
        };
        assert_eq!(io::read(&reader, buf), Ok(100));
        assert_eq!(told(tracker, &region, 8), [9]);
        assert_eq!(peek(&region, 9), 7);
    });
}

#[test]
fn what_is_started_again_is_forgotten_or_busy() {
    both_ways(|tracker, region| {
        poke(&region, 1, 1);
        // SAFETY: memory that is tracked already.
        let again = unsafe { tracker.start(region.range()) };
        match tracker.method() {
            Method::Async => {
                assert_eq!(again, Ok(()));
                assert_eq!(told(tracker, &region, 8), []);
            }
            _ => {
                assert_eq!(again, Err(Errno::EBUSY));
                assert_eq!(told(tracker, &region, 8), [1]);
            }
        }
        tracker.stop(region.range()).unwrap();
        poke(&region, 2, 1);
        let mut room = [PageRegion::EMPTY; 4];
        let told: Vec<_> = tracker.collect(region.range(), &mut room).collect();
        match tracker.method() {
            Method::Async => assert_eq!(told, [Err(Errno::EPERM)]),
            _ => assert_eq!(told, []),
        }
        // SAFETY: memory reached by pointers only.
        unsafe { tracker.start(region.range()) }.unwrap();
        let mut room = [PageRegion::EMPTY; 4];
        assert_eq!(tracker.collect(region.range(), &mut room).count(), 0);
        poke(&region, 3, 1);
        let told: Vec<_> = tracker.collect(region.range(), &mut room).collect();
        assert_eq!(told, [Ok(page(&region, 3))]);
    });
}

/// Several threads write, one collects and copies what it is told. Every page
/// told was written, and the copy is right in the end: no write was lost.
fn race(tracker: &DirtyTracker<'_>, pages: usize, rounds: usize) {
    const WRITERS: usize = 3;
    let region = tracker.anonymous(pages * page_size()).unwrap();
    let counters = || -> Vec<AtomicU64> { (0..pages).map(|_| AtomicU64::new(0)).collect() };
    let (started, finished) = (counters(), counters());
    let load = |counters: &[AtomicU64]| -> Vec<u64> {
        counters.iter().map(|n| n.load(Ordering::SeqCst)).collect()
    };
    let mut copy = vec![0_u8; pages];
    let mut before = vec![0; pages];
    let mut collect = |checked: bool| {
        let now = load(&finished);
        for i in told(tracker, &region, 5) {
            let writes = started[i].load(Ordering::SeqCst);
            assert!(!checked || writes > before[i], "page {i} was not written");
            copy[i] = peek(&region, i);
        }
        before = now;
        copy.clone()
    };
    // The pages come into being.
    for i in 0..pages {
        poke(&region, i, 0);
    }
    collect(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (region, started, finished) = (&region, &started, &finished);
                scope.spawn(move || {
                    for round in 0..rounds {
                        // A page has one writer at a time, so that the last
                        // value is known.
                        for i in (writer..pages).step_by(WRITERS) {
                            if (i * 7 + round) % 5 < 2 {
                                started[i].fetch_add(1, Ordering::SeqCst);
                                poke(region, i, (round + writer) as u8);
                                finished[i].fetch_add(1, Ordering::SeqCst);
                            }
                        }
                    }
                })
            })
            .collect();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            collect(true);
        }
    });
    let copy = collect(true);
    for (i, copied) in copy.iter().enumerate() {
        assert_eq!(*copied, peek(&region, i), "page {i}");
    }
    assert_eq!(told(tracker, &region, 5), []);
}

#[test]
fn no_write_is_lost_while_others_write() {
    let rounds = if emulated() { 60 } else { 1000 };
    if let Some(tracker) = tracker() {
        race(&tracker, 100, rounds);
    }
}

#[test]
fn no_write_is_lost_synchronously_either() {
    let rounds = if emulated() { 20 } else { 100 };
    served(100, |tracker| race(tracker, 100, rounds));
}

/// Tracks, writes, discards and collects by this list, and compares with a set.
fn follow(tracker: &DirtyTracker<'_>, steps: &[(u8, usize, usize, usize)]) {
    const PAGES: usize = 64;
    let region = tracker.anonymous(PAGES * page_size()).unwrap();
    // All pages there: what comes into being may be told more often.
    for i in 0..PAGES {
        poke(&region, i, 0);
    }
    told(tracker, &region, 4);
    let mut model = BTreeSet::new();
    for &(step, first, count, room) in steps {
        let count = count.min(PAGES - first);
        match step {
            0..4 => {
                for i in first..first + count {
                    poke(&region, i, 1);
                    model.insert(i);
                }
            }
            4 if tracker.method() == Method::Async => {
                region
                    .discard(first * page_size(), count * page_size())
                    .unwrap();
                model.extend(first..first + count);
            }
            5 => {
                let mut room = vec![PageRegion::EMPTY; room];
                let mut dirty = tracker.collect(span(&region, first, count), &mut room);
                for found in dirty.by_ref().take(2) {
                    for i in numbers(&region, found.unwrap()) {
                        assert!(model.remove(&i), "page {i}");
                    }
                }
            }
            _ => {
                let part: Vec<usize> = model.range(first..first + count).copied().collect();
                let range = span(&region, first, count);
                assert_eq!(told_in(tracker, &region, range, room), part);
                model.retain(|i| !part.contains(i));
            }
        }
    }
    let rest: Vec<usize> = model.into_iter().collect();
    assert_eq!(told(tracker, &region, 7), rest);
}

#[test]
fn any_order_of_writing_and_collecting_is_as_the_model_says() {
    let steps = prop::collection::vec((0..8_u8, 0..64_usize, 1..20_usize, 1..6_usize), 1..40);
    let cases = if emulated() { 24 } else { 256 };
    let config = |cases| ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    if let Some(tracker) = tracker() {
        proptest!(config(cases), |(steps in steps.clone())| follow(&tracker, &steps));
    }
    proptest!(config(16), |(steps in steps)| {
        served(64, |tracker| follow(tracker, &steps));
    });
}

#[test]
fn tens_of_thousands_of_ranges_are_told_whatever_the_room() {
    let Some(tracker) = tracker() else { return };
    const PAGES: usize = 40_000;
    let region = tracker.anonymous(PAGES * page_size()).unwrap();
    for room in [1, 333, 4096, 30_000] {
        let odd = room % 2;
        let expected: Vec<usize> = (odd..PAGES).step_by(2).collect();
        for i in &expected {
            poke(&region, *i, 1);
        }
        if room == 1 && emulated() {
            // One request a range takes too long there.
            assert_eq!(told(&tracker, &region, 64), expected);
        } else {
            assert_eq!(told(&tracker, &region, room), expected);
        }
    }
    for i in 0..PAGES {
        poke(&region, i, 2);
    }
    let mut room = [PageRegion::EMPTY; 2];
    let all: Vec<_> = tracker.collect(region.range(), &mut room).collect();
    assert_eq!(all, [Ok(region.range())]);
}

#[test]
fn without_room_nothing_is_collected_and_nothing_lost() {
    let Some(tracker) = tracker() else { return };
    let region = tracker.anonymous(4 * page_size()).unwrap();
    poke(&region, 2, 1);
    let none: Vec<_> = tracker.collect(region.range(), &mut []).collect();
    assert_eq!(none, [Err(Errno::EINVAL)]);
    let mut room = [PageRegion::EMPTY; 2];
    let askew = PageRange::new(region.range().start() + 1, page_size());
    let askew: Vec<_> = tracker.collect(askew, &mut room).collect();
    assert_eq!(askew, [Err(Errno::EINVAL)]);
    assert_eq!(told(&tracker, &region, 2), [2]);
}

/// What was found before memory that is not tracked was protected again by the
/// kernel: it must be told, although the request failed.
#[test]
fn what_was_found_before_an_error_is_told() {
    let Some(tracker) = tracker() else { return };
    let size = page_size();
    let region = tracker.anonymous(16 * size).unwrap();
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: pages that nobody uses are replaced by others.
    unsafe {
        let hole = region.as_ptr().wrapping_add(8 * size).cast();
        assert_eq!(libc::mmap(hole, size, prot, flags, -1, 0), hole);
    }
    for i in [1, 3, 5, 8, 12] {
        poke(&region, i, 1);
    }
    let expected = [
        Ok(page(&region, 1)),
        Ok(page(&region, 3)),
        Ok(page(&region, 5)),
        Err(Errno::EPERM),
    ];
    // Also when only a part of it is in the last request.
    for room in [8, 2, 1] {
        let mut room = vec![PageRegion::EMPTY; room];
        let all: Vec<_> = tracker.collect(region.range(), &mut room).collect();
        assert_eq!(all, expected);
        // And the iterator of the scan.
        for i in [1, 3, 5] {
            poke(&region, i, 1);
        }
        let scan = Scan::new(region.range())
            .all_of(Categories::WRITTEN)
            .flags(ScanFlags::WP_MATCHING | ScanFlags::CHECK_WPASYNC);
        let pagemap = Pagemap::open_self().unwrap();
        let all: Vec<_> = pagemap
            .scan(scan, &mut room)
            .map(|found| found.map(|region| region.range()))
            .collect();
        assert_eq!(all, expected);
        for i in [1, 3, 5] {
            poke(&region, i, 1);
        }
    }
    let (before, after) = (span(&region, 0, 8), span(&region, 9, 7));
    assert_eq!(told_in(&tracker, &region, before, 8), [1, 3, 5]);
    assert_eq!(told_in(&tracker, &region, after, 8), [12]);
    // Where nothing is mapped is nothing to tell.
    // SAFETY: as above.
    unsafe { libc::munmap(region.as_ptr().wrapping_add(8 * size).cast(), size) };
    assert_eq!(told(&tracker, &region, 8), []);
}

#[test]
fn a_memfd_is_tracked_by_its_mapping() {
    let Some(tracker) = tracker() else { return };
    let size = page_size();
    let file = barecall::memfd::MemfdOptions::new().create(c"dirty");
    // Before 6.3 there is no NOEXEC_SEAL, but there is no tracker either.
    let file = file.unwrap();
    barecall::fs::ftruncate(&file, 8 * size as u64).unwrap();
    let (prot, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: new mappings, which are reached by pointers.
    let [memory, other] = [(); 2].map(|()| unsafe {
        let fd = barecall::fd::AsFd::as_fd(&file).as_raw_fd();
        let start = libc::mmap(std::ptr::null_mut(), 8 * size, prot, shared, fd, 0);
        assert_ne!(start, libc::MAP_FAILED);
        start.cast::<u8>()
    });
    let range = PageRange::of_memory(memory, 8 * size);
    // SAFETY: as above.
    unsafe {
        tracker.start(range).unwrap();
        memory.wrapping_add(2 * size).write_volatile(1);
        other.wrapping_add(5 * size).write_volatile(1);
    }
    let mut room = [PageRegion::EMPTY; 4];
    let all: Vec<_> = tracker.collect(range, &mut room).collect();
    let third = PageRange::new(range.start() + 2 * size, size);
    assert_eq!(all, [Ok(third)]);
    // SAFETY: ours.
    unsafe {
        libc::munmap(memory.cast(), 8 * size);
        libc::munmap(other.cast(), 8 * size);
    }
}

/// What a forked child writes is its own, and not told; the parent's pages, which
/// both have now, are told as before. And its tracker is its parent's: what the
/// child collects is gone.
#[test]
fn a_child_is_not_tracked_and_collects_its_parents_writes() {
    let Some(tracker) = tracker() else { return };
    let region = tracker.anonymous(16 * page_size()).unwrap();
    for i in 0..16 {
        poke(&region, i, 1);
    }
    assert_eq!(told(&tracker, &region, 4).len(), 16);
    let mut room = [PageRegion::EMPTY; 4];
    for collects in [false, true] {
        poke(&region, 3, 2);
        poke(&region, 9, 2);
        // SAFETY: the child writes to memory, makes calls of this crate, and ends.
        let child = match unsafe { fork() }.unwrap() {
            None => {
                poke(&region, 5, 3);
                let right = !collects || {
                    let mut all = tracker.collect(region.range(), &mut room);
                    all.next() == Some(Ok(page(&region, 3)))
                        && all.next() == Some(Ok(page(&region, 9)))
                        && all.next().is_none()
                };
                exit_group(if right { 0 } else { 1 })
            }
            Some(child) => child,
        };
        let status = io::retry_on_intr(|| wait4(WaitTarget::Pid(child), WaitOptions::empty()));
        assert!(matches!(status, Ok(Some((_, WaitStatus::Exited(0))))));
        poke(&region, 12, 4);
        let parents: &[usize] = if collects { &[12] } else { &[3, 9, 12] };
        assert_eq!(told(&tracker, &region, 4), parents);
    }
}

/// A write to a huge page tells all of it, or (transparent) the page.
#[test]
fn huge_pages_are_told() {
    let Some(tracker) = tracker() else { return };
    const HUGE: usize = 2 << 20;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    for hugetlb in [true, false] {
        let reserved = libc::MAP_HUGETLB | libc::MAP_HUGE_2MB;
        let flags = anonymous | if hugetlb { reserved } else { 0 };
        // SAFETY: a new mapping, reached by pointers.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), 4 * HUGE, prot, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            // None are reserved.
            continue;
        }
        let base = start
            .wrapping_byte_add(start.align_offset(HUGE))
            .cast::<u8>();
        // SAFETY: whole huge pages of the mapping.
        unsafe {
            libc::madvise(base.cast(), 2 * HUGE, libc::MADV_HUGEPAGE);
            base.write_bytes(1, 2 * HUGE);
        }
        let range = PageRange::of_memory(base, 2 * HUGE);
        // SAFETY: as above.
        unsafe { tracker.start(range) }.unwrap();
        let mut room = [PageRegion::EMPTY; 4];
        assert_eq!(tracker.collect(range, &mut room).count(), 0);
        let at = HUGE + 5 * page_size();
        // SAFETY: as above.
        unsafe { base.wrapping_add(at).write_volatile(2) };
        let all: Vec<_> = tracker.collect(range, &mut room).collect();
        let [Ok(found)] = all[..] else {
            panic!("{all:?}")
        };
        assert!(found.contains(range.start() + at), "{found:?}");
        assert!(found.start() >= range.start() + HUGE, "{found:?}");
        if hugetlb {
            assert_eq!(found, PageRange::new(range.start() + HUGE, HUGE));
        }
        assert_eq!(tracker.collect(range, &mut room).count(), 0);
        // SAFETY: ours.
        unsafe { libc::munmap(start, 4 * HUGE) };
    }
}

#[test]
fn the_fallback_says_which_it_is() {
    watchdog();
    let bits = [const { AtomicU64::new(0) }; 1];
    let opened = DirtyTracker::open_or_synchronous(page_size(), &bits, Access::Kernel);
    if tracker().is_some() {
        let tracker = opened.unwrap();
        assert_eq!(tracker.method(), Method::Async);
        // Nothing to serve.
        let stop = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
        assert_eq!(tracker.serve(&stop), Ok(()));
    } else if has(Features::PAGEFAULT_FLAG_WP) {
        assert_eq!(opened.unwrap().method(), Method::Synchronous);
    } else {
        let missing = OpenError::Missing(Features::PAGEFAULT_FLAG_WP);
        assert_eq!(
            opened.map(drop).unwrap_err(),
            TrackerError::Userfaultfd(missing)
        );
    }
}

#[test]
fn a_synchronous_tracker_needs_a_bit_for_each_page() {
    served(64, |tracker| {
        let refused = tracker.anonymous(65 * page_size());
        assert_eq!(refused.map(drop), Err(Errno::ENOBUFS));
        let region = tracker.anonymous(64 * page_size()).unwrap();
        let second = tracker.anonymous(page_size());
        assert_eq!(second.map(drop), Err(Errno::EBUSY));
        poke(&region, 63, 1);
        assert_eq!(told(tracker, &region, 0), [63]);
    });
    if has(Features::PAGEFAULT_FLAG_WP) {
        for wrong in [0, 3, 1024, 5000, 1 << 40, 1 << 63] {
            let bits = [AtomicU64::new(0)];
            let tracker = DirtyTracker::open_synchronous(wrong, &bits, Access::Kernel).unwrap();
            let refused = tracker.anonymous(page_size());
            assert_eq!(refused.map(drop), Err(Errno::EINVAL), "{wrong}");
        }
    }
}

/// While nobody serves, a writer waits, and what it writes is told after.
#[test]
fn a_write_waits_for_who_serves() {
    watchdog();
    if !has(Features::PAGEFAULT_FLAG_WP) {
        return;
    }
    let bits = [AtomicU64::new(0)];
    let tracker = DirtyTracker::open_synchronous(page_size(), &bits, Access::Kernel).unwrap();
    let region = tracker.anonymous(4 * page_size()).unwrap();
    let stop: OwnedFd = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| poke(&region, 1, 7));
        until_waiting(region.keeper(), 1);
        assert_eq!(told(&tracker, &region, 0), []);
        let server = scope.spawn(|| tracker.serve(&stop));
        writer.join().unwrap();
        assert_eq!(told(&tracker, &region, 0), [1]);
        io::write(&stop, &1_u64.to_ne_bytes()).unwrap();
        server.join().unwrap().unwrap();
    });
    assert_eq!(peek(&region, 1), 7);
}

/// A working set, or none if the kernel is too old, which must say so.
fn working_set() -> Option<WorkingSet> {
    watchdog();
    let opened = WorkingSet::open(Access::Kernel);
    if kernel_is_at_least(7, 3) {
        return Some(opened.expect("RWP_ASYNC"));
    }
    let missing = OpenError::Missing(Features::RWP | Features::RWP_ASYNC);
    assert_eq!(opened.unwrap_err(), TrackerError::Userfaultfd(missing));
    None
}

fn touched(set: &WorkingSet, region: &MappedRegion, room: usize) -> Vec<usize> {
    let mut room = vec![PageRegion::EMPTY; room];
    let mut rest = region.range();
    let mut pages = Vec::new();
    while !rest.is_empty() {
        let found = set.collect(rest, &mut room).unwrap();
        for range in found.ranges() {
            pages.extend(numbers(region, range));
        }
        rest = found.rest();
    }
    assert!(pages.is_sorted_by(|a, b| a < b), "{pages:?}");
    pages
}

#[test]
fn what_was_touched_is_told_once() {
    let Some(set) = working_set() else { return };
    let region = set.anonymous(32 * page_size()).unwrap();
    for i in 0..32 {
        poke(&region, i, 1);
    }
    assert_eq!(touched(&set, &region, 3), (0..32).collect::<Vec<_>>());
    assert_eq!(touched(&set, &region, 3), []);
    // Reading counts as well as writing.
    peek(&region, 3);
    poke(&region, 9, 2);
    peek(&region, 10);
    peek(&region, 31);
    assert_eq!(touched(&set, &region, 1), [3, 9, 10, 31]);
    assert_eq!(touched(&set, &region, 1), []);
    // A page that comes into being.
    region.discard(5 * page_size(), page_size()).unwrap();
    peek(&region, 5);
    assert_eq!(touched(&set, &region, 4), [5]);
    assert_eq!(peek(&region, 9), 2);
    let none = set.collect(region.range(), &mut []).map(drop);
    assert_eq!(none, Err(Errno::EINVAL));
    set.stop(region.range()).unwrap();
    peek(&region, 4);
}

#[test]
fn no_touch_is_lost_while_others_touch() {
    const PAGES: usize = 60;
    let Some(set) = working_set() else { return };
    let region = set.anonymous(PAGES * page_size()).unwrap();
    for i in 0..PAGES {
        poke(&region, i, 1);
    }
    touched(&set, &region, 7);
    let rounds = if emulated() { 40 } else { 400 };
    let counts: Vec<AtomicU64> = (0..PAGES).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for toucher in 0..2 {
            let (region, counts, done) = (&region, &counts, &done);
            scope.spawn(move || {
                for round in 0..rounds {
                    for i in (toucher..PAGES).step_by(2) {
                        if (i + round) % 7 == 0 {
                            peek(region, i);
                            counts[i].fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
                done.store(true, Ordering::SeqCst);
            });
        }
        // A page that was touched before a collection began, after the one
        // before it had ended, is told by it.
        let mut ended = [0; PAGES];
        while !done.load(Ordering::SeqCst) {
            let begins: Vec<u64> = counts.iter().map(|n| n.load(Ordering::SeqCst)).collect();
            let told = touched(&set, &region, 7);
            for i in 0..PAGES {
                // The first touch after the end may have begun before it.
                assert!(
                    begins[i] < ended[i] + 2 || told.contains(&i),
                    "page {i} was touched"
                );
            }
            for (ended, count) in ended.iter_mut().zip(&counts) {
                *ended = count.load(Ordering::SeqCst);
            }
        }
    });
    touched(&set, &region, 7);
    assert_eq!(touched(&set, &region, 7), []);
}

#[test]
fn a_frozen_set_stops_who_touches_anything_else() {
    let Some(set) = working_set() else { return };
    let region = set.anonymous(8 * page_size()).unwrap();
    for i in 0..8 {
        poke(&region, i, i as u8);
    }
    touched(&set, &region, 8);
    peek(&region, 1);
    set.freeze().unwrap();
    // What was touched, still can be.
    assert_eq!(peek(&region, 1), 1);
    thread::scope(|scope| {
        let toucher = scope.spawn(|| peek(&region, 6));
        until_waiting(set.userfaultfd(), 1);
        // Collecting does not thaw.
        assert_eq!(touched(&set, &region, 8), [1]);
        assert!(!toucher.is_finished());
        assert_eq!(set.userfaultfd().waiting_from_fdinfo().unwrap().total, 1);
        set.thaw().unwrap();
        assert_eq!(toucher.join().unwrap(), 6);
    });
    assert_eq!(touched(&set, &region, 8), [6]);
}
