//! Blocks, handlers, regions, what is refused.

use crate::support::*;
use crate::uffd::*;
use crate::{common, skip};
use barecall::fd::AsFd;
use barecall::memfd::MemfdOptions;
use barecall::mm::{ProtFlags, mprotect};
use barecall::pager::{
    At, Contents, Ended, FileSource, Fill, InFile, PageSource, Pager, PagerError, PagerOptions,
    Reason, Region, RegionFlags, RegionTable, SliceSource, TableError,
};
use barecall::process::{PidfdFlags, WaitOptions, WaitTarget, pidfd_open, wait4};
use barecall::userfaultfd::{
    CopyFlags, Features, MappedRegion, PageRange, RegisterModes, UserfaultfdOptions,
};
use barecall::{Errno, fs, io};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn every_byte_comes_from_the_source() {
    let uffd = plain();
    let region = pages(&uffd, 100, MISSING);
    let mut room = [Region::EMPTY; 4];
    let table = table_from(&mut room, &region, 0x7000);
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 1, || {
        for index in (0..100).rev() {
            assert_page(&region, index, (0x7000 + index * page_size()) as u64);
        }
    });
    let stats = pager.stats();
    assert_eq!(stats.copied, 100 * page_size() as u64);
    assert_eq!(stats.missing, stats.faults());
    assert_eq!(stats.latency.iter().sum::<u64>(), stats.missing);
    assert!(stats.asked >= 100 * page_size() as u64 / (64 << 10));
}

/// A fault brings in the aligned block around it, as far as the region goes.
#[test]
fn a_block_is_clipped_to_its_region() {
    let size = page_size();
    let uffd = plain();
    // 3 pages are left out at either end.
    let memory = pages(&uffd, 64, MISSING);
    let all = memory.range();
    let served = PageRange::new(all.start() + 3 * size, all.len() - 6 * size);
    let asked = Mutex::new(Vec::new());
    let source = By(|at: At, into: &mut [u8]| {
        assert_eq!(at.page_size, size);
        asked.lock().unwrap().push((at.address, into.len()));
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table.insert(Region::new(served, 0, size)).unwrap();
    let block = 8 * size;
    let pager = Pager::new(&uffd, &source, table, options().block(block)).unwrap();
    serving(&pager, 1, || {
        for index in [3, 60, 30] {
            assert_page(&memory, index, ((index - 3) * size) as u64);
        }
    });
    for &(address, len) in asked.lock().unwrap().iter() {
        let range = PageRange::new(address, len);
        assert_eq!(range.intersection(served), Some(range));
        assert_eq!(address / block, (range.end() - 1) / block);
        let whole = PageRange::page_of(address, block);
        assert_eq!(whole.intersection(served), Some(range));
    }
    assert_eq!(asked.lock().unwrap().len(), 3);
}

/// The kernel fills within one mapping only, and `mprotect` makes two.
#[test]
fn a_block_is_clipped_to_its_mapping() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 32, MISSING);
    for index in [1, 5, 6, 13, 14, 15, 22] {
        let at = memory.as_ptr().wrapping_add(index * size).cast();
        // SAFETY: nobody writes there.
        unsafe { mprotect(at, size, ProtFlags::READ) }.unwrap();
    }
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &Words, table, options().block(16 * size)).unwrap();
    serving(&pager, 1, || {
        for index in 0..32 {
            assert_page(&memory, index, (index * size) as u64);
        }
    });
    assert_eq!(pager.stats().copied, memory.len() as u64);
}

#[test]
fn many_regions_and_handlers_share_one_pager() {
    let size = page_size();
    let uffd = plain();
    let memories: Vec<_> = (0..200).map(|_| pages(&uffd, 4, MISSING)).collect();
    let mut room = vec![Region::EMPTY; 200];
    let mut table = RegionTable::new(&mut room);
    for (index, memory) in memories.iter().enumerate() {
        let offset = (index * 16 * size) as u64;
        table
            .insert(Region::new(memory.range(), offset, size))
            .unwrap();
    }
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 3, || {
        thread::scope(|scope| {
            for thread in 0..4_usize {
                let memories = &memories;
                scope.spawn(move || {
                    for i in 0..200_usize {
                        let index = (i * 7 + thread * 50) % 200;
                        for page in 0..4 {
                            assert_page(
                                &memories[index],
                                page,
                                ((index * 16 + page) * size) as u64,
                            );
                        }
                    }
                });
            }
        });
    });
    // Each page was put once, however many asked for it.
    assert_eq!(pager.stats().copied, (200 * 4 * size) as u64);
}

/// A page that is there stays as it is, and who waits for it goes on.
#[test]
fn what_is_there_already_is_kept() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 16, MISSING);
    for index in [0, 3, 15] {
        let copied = uffd.copy_once(page(&memory, index).start(), &filled(9), CopyFlags::empty());
        assert_eq!(copied.all(), Ok(size));
    }
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 1, || {
        // The aligned blocks that it is in, whichever.
        for index in (0..16).filter(|index| ![0, 3, 15].contains(index)) {
            assert_page(&memory, index, (index * size) as u64);
        }
        for index in [0, 3, 15] {
            assert_eq!(peek(&memory, index), 9);
        }
    });
    assert_eq!(pager.stats().copied + 3 * size as u64, memory.len() as u64);
    // 3 was met. 0 or 15 may have had a block to itself, which nobody asked for.
    assert!(pager.stats().exists >= 1);
}

/// `ZEROPAGE` says `EEXIST` of a page that is protected and not there, for ever.
#[test]
fn zeros_reach_pages_that_were_protected_before_they_were_there() {
    if !has(Features::WP_UNPOPULATED) {
        // Before Linux 6.4 nothing is protected that is not there.
        assert!(!common::kernel_is_at_least(6, 4));
        return;
    }
    let uffd = open(Features::WP_UNPOPULATED);
    let memory = pages(&uffd, 32, MISSING | RegisterModes::WP);
    uffd.write_protect(memory.range()).unwrap();
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table
        .insert(Region::new(memory.range(), 0, page_size()).with_contents(Contents::Zeros))
        .unwrap();
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 1, || {
        for index in 0..32 {
            assert_eq!(peek(&memory, index), 0);
        }
    });
    assert!(pager.stats().faults() <= 32 + 32);
}

#[test]
fn a_slice_is_copied_from_where_it_is() {
    let size = page_size();
    let bytes = expected(0, 32 * size);
    let uffd = plain();
    let memory = pages(&uffd, 32, MISSING);
    let source = SliceSource(&bytes);
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &source, table, options()).unwrap();
    serving(&pager, 1, || {
        for index in 0..32 {
            assert_page(&memory, index, (index * size) as u64);
        }
    });
}

#[test]
fn a_file_is_read_and_its_last_page_is_filled_up() {
    let size = page_size();
    let file = MemfdOptions::new().create(c"pager").or_else(|_| {
        // Before 6.3.
        MemfdOptions::new()
            .exec(barecall::memfd::Exec::SystemDefault)
            .create(c"pager")
    });
    let file = file.unwrap();
    io::write_all(&file, &expected(0, 10 * size + 104)).unwrap();
    let uffd = plain();
    let memory = pages(&uffd, 12, MISSING);
    let source = FileSource(&file);
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &source, table, options()).unwrap();
    serving(&pager, 1, || {
        for index in 0..10 {
            assert_page(&memory, index, (index * size) as u64);
        }
        let mut last = vec![1; size];
        memory.read_at(&mut last, 10 * size);
        assert!(last[..104] == expected(10 * size as u64, 104));
        assert!(last[104..].iter().all(|&byte| byte == 0));
        // What is past the end is no zeros, but a failure.
        thread::scope(|scope| {
            let reader = scope.spawn(|| peek(&memory, 11));
            until("a failure", || pager.stats().failed > 0);
            assert!(!reader.is_finished());
            fs::ftruncate(&file, 12 * size as u64).unwrap();
            pager.kick();
            assert_eq!(reader.join().unwrap(), 0);
        });
    });
}

/// A memfd whose pages are there: mapped, and not a byte copied.
#[test]
fn an_alias_maps_what_the_file_has() {
    let size = page_size();
    let uffd = if has(Features::MINOR_SHMEM) {
        open(Features::MINOR_SHMEM)
    } else {
        plain()
    };
    let file = MemfdOptions::new()
        .exec(barecall::memfd::Exec::SystemDefault)
        .create(c"pager")
        .unwrap();
    io::write_all(&file, &expected(0, 64 * size)).unwrap();
    let memory = MappedRegion::shared(&uffd, &file, 0, 64 * size, MISSING | RegisterModes::MINOR);
    let memory = match memory {
        Ok(memory) => memory,
        Err(errno) => {
            assert!(!has(Features::MINOR_SHMEM));
            assert_eq!(errno, Errno::EINVAL);
            return;
        }
    };
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &InFile, table, options()).unwrap();
    serving(&pager, 1, || {
        for index in 0..64 {
            assert_page(&memory, index, (index * size) as u64);
        }
    });
    let stats = pager.stats();
    assert_eq!((stats.copied, stats.mapped), (0, memory.len() as u64));
    assert_eq!(stats.minor, stats.faults());
}

/// A hole in the file is not in the file: no zeros, unless nobody has asked to be
/// told of missing pages.
#[test]
fn a_hole_in_the_file_is_a_failure_and_with_minor_alone_zeros() {
    let size = page_size();
    if !has(Features::MINOR_SHMEM) {
        // That the registration is refused is tested above.
        return;
    }
    for modes in [MISSING | RegisterModes::MINOR, RegisterModes::MINOR] {
        let uffd = open(Features::MINOR_SHMEM);
        let file = MemfdOptions::new()
            .exec(barecall::memfd::Exec::SystemDefault)
            .create(c"pager")
            .unwrap();
        io::write_all(&file, &expected(0, size)).unwrap();
        fs::ftruncate(&file, 2 * size as u64).unwrap();
        let memory = MappedRegion::shared(&uffd, &file, 0, 2 * size, modes).unwrap();
        let mut room = [Region::EMPTY; 4];
        let table = table(&mut room, &memory);
        let pager = Pager::new(&uffd, &InFile, table, options()).unwrap();
        serving(&pager, 1, || {
            assert_page(&memory, 0, 0);
            thread::scope(|scope| {
                let reader = scope.spawn(|| peek(&memory, 1));
                if modes.contains(MISSING) {
                    until("a failure", || pager.stats().failed > 0);
                    assert!(!reader.is_finished());
                    io::pwrite(&file, &[7], size as u64).unwrap();
                    pager.kick();
                    assert_eq!(reader.join().unwrap(), 7);
                } else {
                    assert_eq!(reader.join().unwrap(), 0);
                }
            });
        });
        assert_eq!(pager.stats().copied, 0);
    }
}

/// Pages come into a shared file by their first fault; the second mapping of
/// the page is a minor fault, and then the file's page stays.
#[test]
fn a_minor_fault_keeps_what_the_file_has() {
    let size = page_size();
    if !has(Features::MINOR_SHMEM) {
        // That the registration is refused is tested above.
        return;
    }
    let uffd = open(Features::MINOR_SHMEM);
    let file = MemfdOptions::new()
        .exec(barecall::memfd::Exec::SystemDefault)
        .create(c"pager")
        .unwrap();
    fs::ftruncate(&file, 16 * size as u64).unwrap();
    let modes = MISSING | RegisterModes::MINOR;
    let memory = MappedRegion::shared(&uffd, &file, 0, 16 * size, modes).unwrap();
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 1, || {
        for index in 0..16 {
            assert_page(&memory, index, (index * size) as u64);
        }
        // Changed, and unmapped; the file keeps it.
        poke(&memory, 5, 0xab);
        memory.discard(0, memory.len()).unwrap();
        assert_eq!(peek(&memory, 5), 0xab);
        assert_page(&memory, 6, 6 * size as u64);
    });
    assert!(pager.stats().minor > 0);
}

/// The file had the page when it was touched, and has it no more when it is to
/// be mapped: the fault comes again, as another one.
#[test]
fn a_page_that_leaves_the_file_meanwhile_is_missing() {
    let size = page_size();
    if !has(Features::MINOR_SHMEM) {
        // That the registration is refused is tested above.
        return;
    }
    let uffd = open(Features::MINOR_SHMEM);
    let file = MemfdOptions::new()
        .exec(barecall::memfd::Exec::SystemDefault)
        .create(c"pager")
        .unwrap();
    io::write_all(&file, &filled(0xab)).unwrap();
    let modes = MISSING | RegisterModes::MINOR;
    let memory = MappedRegion::shared(&uffd, &file, 0, size, modes).unwrap();
    let source = By(|at: At, into: &mut [u8]| {
        if at.reason == Reason::Minor {
            let flags = fs::FallocateFlags::PUNCH_HOLE | fs::FallocateFlags::KEEP_SIZE;
            fs::fallocate(&file, flags, 0, size as u64).unwrap();
            return Fill::Alias;
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &source, table, options()).unwrap();
    serving(&pager, 1, || assert_page(&memory, 0, 0));
    let stats = pager.stats();
    assert_eq!((stats.minor, stats.missing, stats.failed), (1, 1, 0));
}

#[test]
fn huge_pages_are_served_whole() {
    const HUGE: usize = 2 << 20;
    let uffd = plain();
    let memory = match MappedRegion::anonymous_huge(&uffd, 2 * HUGE, 21, MISSING) {
        Ok(memory) => memory,
        Err(errno) => {
            // No huge pages are reserved, or all are in use.
            assert_eq!(errno, Errno::ENOMEM);
            skip!("no huge pages");
        }
    };
    let asked = AtomicUsize::new(0);
    let source = By(|at: At, into: &mut [u8]| {
        asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!((into.len(), at.offset % HUGE as u64), (HUGE, 0));
        if at.offset > 0 {
            return Fill::Zero;
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table.insert(Region::new(memory.range(), 0, HUGE)).unwrap();
    let pager = Pager::new(&uffd, &source, table, options()).unwrap();
    let short = pager.serve(&mut staging());
    assert_eq!(short, Err(PagerError::StagingTooSmall));
    thread::scope(|scope| {
        let handler = scope.spawn(|| pager.serve(&mut vec![0xee; HUGE]));
        {
            let _stop = StopAtEnd(&pager);
            assert_page(&memory, 3, 3 * page_size() as u64);
            for index in [HUGE / page_size(), HUGE / page_size() + 77] {
                assert_zeros(&memory, index);
            }
        }
        assert_eq!(handler.join().unwrap(), Ok(Ended::Stopped));
    });
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// A fault outside of every region waits until the region is told.
#[test]
fn a_stray_fault_waits_for_its_region() {
    let uffd = plain();
    let memory = pages(&uffd, 4, MISSING);
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &Words, RegionTable::new(&mut room), options()).unwrap();
    serving(&pager, 2, || {
        thread::scope(|scope| {
            let reader = scope.spawn(|| assert_page(&memory, 1, page_size() as u64));
            until("the fault", || pager.stats().stray > 0);
            assert!(!reader.is_finished());
            pager
                .add(Region::new(memory.range(), 0, page_size()))
                .unwrap();
            reader.join().unwrap();
        });
        let again = pager.add(Region::new(memory.range(), 0, page_size()));
        assert_eq!(again, Err(PagerError::Table(TableError::Overlaps)));
        assert_eq!(pager.with_regions(|regions| regions.len()), 1);
        pager.remove(memory.range()).unwrap();
        assert_eq!(pager.with_regions(|regions| regions.len()), 0);
    });
    assert!(pager.stats().stray >= 1);
}

/// A handler has the source's bytes in hand when the region is taken out, and
/// comes back as another one: they are not its contents.
#[test]
fn bytes_for_a_region_that_was_taken_out_are_not_put() {
    const ELSEWHERE: u64 = 0x30_0000;
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 4, MISSING);
    let (asked, taken_out) = (AtomicBool::new(false), AtomicBool::new(false));
    let slow = By(|at: At, into: &mut [u8]| {
        asked.store(true, Ordering::Release);
        until("the removal", || taken_out.load(Ordering::Acquire));
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &slow, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 2, || {
        thread::scope(|scope| {
            let reader = scope.spawn(|| assert_page(&memory, 1, ELSEWHERE + size as u64));
            until("the question", || asked.load(Ordering::Acquire));
            pager.remove(memory.range()).unwrap();
            taken_out.store(true, Ordering::Release);
            until("nothing to serve", || pager.stats().stray > 0);
            assert!(!reader.is_finished());
            let region = Region::new(memory.range(), ELSEWHERE, size);
            pager.add(region).unwrap();
            reader.join().unwrap();
        });
    });
}

/// Stopped, it holds nothing: what waits is for the next handler.
#[test]
fn a_stopped_pager_serves_again_when_resumed() {
    let uffd = plain();
    let memory = pages(&uffd, 4, MISSING);
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &Words, table, options().block(page_size())).unwrap();
    pager.stop();
    assert_eq!(pager.serve(&mut staging()), Ok(Ended::Stopped));
    assert_eq!(pager.serve(&mut staging()), Ok(Ended::Stopped));
    thread::scope(|scope| {
        let reader = scope.spawn(|| assert_page(&memory, 0, 0));
        until_waiting(&uffd, 1);
        assert!(!reader.is_finished());
        // Draining does not mind.
        let drained = pager.drain(&mut staging(), Duration::from_secs(100));
        assert_eq!(drained, Ok(Ended::Drained));
        reader.join().unwrap();
    });
    pager.resume();
    serving(&pager, 1, || assert_page(&memory, 1, page_size() as u64));
    pager.shutdown();
}

#[test]
fn draining_ends_at_its_limit_and_gives_up_what_it_holds() {
    let uffd = plain();
    let memory = pages(&uffd, 1, MISSING);
    let later = By(|_, _: &mut [u8]| Fill::Later);
    let table = |room| {
        let mut table = RegionTable::new(room);
        let region = Region::new(memory.range(), 0, page_size());
        table.insert(region).unwrap();
        table
    };
    let (mut room, mut room_too) = ([Region::EMPTY; 4], [Region::EMPTY; 4]);
    let pager = Pager::new(&uffd, &later, table(&mut room), options()).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| assert_page(&memory, 0, 0));
        until_waiting(&uffd, 1);
        let drained = pager.drain(&mut staging(), Duration::from_millis(20));
        assert_eq!(drained, Ok(Ended::TimedOut));
        assert!(pager.stats().later > 0);
        // The fault comes again, to somebody with better luck.
        let other = Pager::new(&uffd, &Words, table(&mut room_too), options()).unwrap();
        until("the page", || {
            let drained = other.drain(&mut staging(), Duration::from_secs(100));
            assert_eq!(drained, Ok(Ended::Drained));
            reader.is_finished()
        });
        reader.join().unwrap();
    });
}

/// What a handler had put off when it was stopped is what draining is for; also
/// when its thread, which was woken, has not come to fault again.
#[test]
fn draining_serves_what_was_put_off_before_the_stop() {
    const READERS: usize = 40;
    let size = page_size();
    for _ in 0..if common::emulated() { 3 } else { 20 } {
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
        let options = options().block(size);
        let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
        thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS)
                .map(|index| {
                    let memory = &memory;
                    scope.spawn(move || assert_page(memory, index, (index * size) as u64))
                })
                .collect();
            serving(&pager, 2, || {
                until("all", || pager.stats().deferred_most == READERS as u64);
            });
            ready.store(true, Ordering::Release);
            let drained = pager.drain(&mut staging(), Duration::from_secs(100));
            assert_eq!(drained, Ok(Ended::Drained));
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }
}

/// A handler that is inside of its source for long: what it has put off is for
/// the others.
#[test]
fn what_a_busy_handler_has_put_off_is_for_an_idle_one() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 2, MISSING);
    let (asked, idle) = (AtomicUsize::new(0), AtomicBool::new(false));
    let served = AtomicBool::new(false);
    let source = By(|at: At, into: &mut [u8]| {
        match asked.fetch_add(1, Ordering::AcqRel) {
            0 => {
                until("another handler", || idle.load(Ordering::Acquire));
                return Fill::Later;
            }
            // The other page's turn is when the first one is there.
            1 if at.offset > 0 => until("the first page", || served.load(Ordering::Acquire)),
            _ => {}
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let options = options().block(size);
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            assert_page(&memory, 0, 0);
            served.store(true, Ordering::Release);
        });
        until_waiting(&uffd, 1);
        let second = scope.spawn(|| assert_page(&memory, 1, size as u64));
        until_waiting(&uffd, 2);
        // Alone, it reads both.
        let _stop = StopAtEnd(&pager);
        scope.spawn(|| pager.serve(&mut staging()).unwrap());
        until("the question", || asked.load(Ordering::Acquire) > 0);
        scope.spawn(|| pager.serve(&mut staging()).unwrap());
        // Long enough for it to find nothing to do.
        thread::sleep(Duration::from_millis(20));
        idle.store(true, Ordering::Release);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// A handler reads several messages at once, and is stopped in the middle.
#[test]
fn a_stopped_handler_does_not_go_through_all_that_it_has_read() {
    const READERS: usize = 10;
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, READERS, MISSING);
    let (asked, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let source = By(|at: At, into: &mut [u8]| {
        asked.fetch_add(1, Ordering::AcqRel);
        until("the stop", || stopped.load(Ordering::Acquire));
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let options = options().block(size);
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    thread::scope(|scope| {
        for index in 0..READERS {
            let memory = &memory;
            scope.spawn(move || assert_page(memory, index, (index * size) as u64));
        }
        until_waiting(&uffd, READERS as u64);
        let handler = scope.spawn(|| pager.serve(&mut staging()));
        until("the question", || asked.load(Ordering::Acquire) > 0);
        pager.stop();
        stopped.store(true, Ordering::Release);
        assert_eq!(handler.join().unwrap(), Ok(Ended::Stopped));
        assert_eq!(asked.load(Ordering::Acquire), 1);
        // None of them is lost.
        let drained = pager.drain(&mut staging(), Duration::from_secs(100));
        assert_eq!(drained, Ok(Ended::Drained));
    });
}

/// As long as it is not shut down, it keeps the userfaultfd: nobody reads zeros.
#[test]
fn the_keeper_outlives_every_other_descriptor() {
    let _turn = forking();
    common::in_child(|| {
        let uffd = plain();
        let size = page_size();
        // SAFETY: a new mapping, and a registration of it.
        let start = unsafe {
            let prot = ProtFlags::READ | ProtFlags::WRITE;
            let flags = barecall::mm::MapFlags::PRIVATE;
            let at = barecall::mm::mmap_anonymous(std::ptr::null_mut(), size, prot, flags).unwrap();
            uffd.register(PageRange::of_memory(at, size), MISSING)
                .unwrap();
            at.expose_provenance()
        };
        let mut room = [Region::EMPTY; 4];
        let mut table = RegionTable::new(&mut room);
        table
            .insert(Region::new(PageRange::new(start, size), 0, size))
            .unwrap();
        let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
        drop(uffd);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let word = std::ptr::with_exposed_provenance::<u64>(start);
                // SAFETY: mapped.
                unsafe { word.read_volatile() }
            });
            until_waiting(pager.userfaultfd(), 1);
            assert!(!reader.is_finished());
            let drained = pager.drain(&mut staging(), Duration::from_secs(100));
            assert_eq!(drained, Ok(Ended::Drained));
            assert_eq!(reader.join().unwrap(), word(0));
        });
        let kept = pager.into_userfaultfd();
        assert_eq!(kept.waiting_from_fdinfo().unwrap().total, 0);
    });
}

/// Shut down or refused, a pager has left no descriptor; forgotten, the one that
/// keeps readers from zeros.
#[test]
fn a_pager_leaves_the_descriptors_that_it_says() {
    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }
    let _turn = forking();
    common::in_child(|| {
        let uffd = plain();
        let by_signal = crate::uffd::open(Features::SIGBUS);
        let memory = pages(&uffd, 4, MISSING);
        let before = descriptors();
        for round in 0..10 {
            let mut room = [Region::EMPTY; 4];
            let table = table(&mut room, &memory);
            let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
            serving(&pager, 2, || {
                assert_page(&memory, round % 4, ((round % 4) * page_size()) as u64)
            });
            pager.shutdown();
            let table = || RegionTable::new(&mut []);
            let options = options().block(1);
            assert!(Pager::new(&uffd, &Words, table(), options).is_err());
            assert!(Pager::new(&by_signal, &Words, table(), crate::support::options()).is_err());
            assert_eq!(descriptors(), before);
        }
        let table = RegionTable::new(&mut []);
        drop(Pager::new(&uffd, &Words, table, options()).unwrap());
        assert_eq!(descriptors(), before + 1);
        // No room for the third descriptor of its own.
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: a structure of two numbers.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            let next = uffd.try_clone().unwrap().as_fd().as_raw_fd();
            let former = limit.rlim_cur;
            limit.rlim_cur = next as u64 + 2;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
            let table = RegionTable::new(&mut []);
            let full = Pager::new(&uffd, &Words, table, options()).map(drop);
            assert_eq!(full, Err(PagerError::Os(Errno::EMFILE)));
            limit.rlim_cur = former;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
        assert_eq!(descriptors(), before + 1);
    });
}

#[test]
fn what_would_wait_for_itself_is_refused() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 32, MISSING);
    // Filled, so that a mistake of this test is no deadlock.
    let bytes = expected(0, memory.len());
    let filled = uffd.fill_copy(memory.range().start(), &bytes, CopyFlags::empty());
    assert_eq!(filled.all(), Ok(memory.len()));
    // SAFETY: mapped, filled, and only used by this thread.
    let served = unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.len()) };
    let region = Region::new(PageRange::new(memory.range().start(), 4 * size), 0, size);

    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table.insert(region).unwrap();
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    let overlapping = pager.serve(&mut served[3 * size..20 * size]);
    assert_eq!(overlapping, Err(PagerError::StagingServed));
    let overlapping = pager.prefetch(region.range(), &mut served[..16 * size]);
    assert_eq!(overlapping, Err(PagerError::StagingServed));
    // Beside it is no matter.
    pager.stop();
    assert_eq!(pager.serve(&mut served[4 * size..]), Ok(Ended::Stopped));

    let source = SliceSource(&served[3 * size..]);
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table.insert(region).unwrap();
    let refused = Pager::new(&uffd, &source, table, options());
    assert_eq!(refused.err(), Some(PagerError::SourceServed));
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &source, RegionTable::new(&mut room), options()).unwrap();
    assert_eq!(pager.add(region), Err(PagerError::SourceServed));
}

#[test]
fn what_cannot_work_is_refused() {
    let uffd = plain();
    for (page, block) in [
        (page_size(), 3 * page_size()),
        (page_size(), page_size() / 2),
        (page_size(), 4 << 20),
        (1024, 64 << 10),
        (5000, 64 << 10),
        (0, 0),
    ] {
        let options = PagerOptions::new(page).block(block);
        let pager = Pager::new(&uffd, &Words, RegionTable::new(&mut []), options);
        assert_eq!(pager.err(), Some(PagerError::Block));
    }
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &Words, RegionTable::new(&mut room), options()).unwrap();
    assert_eq!(pager.serve(&mut [0; 100]), Err(PagerError::StagingTooSmall));

    let open = UserfaultfdOptions::new().blocking(true);
    if let Ok(opened) = open.open_any() {
        let blocking = opened.userfaultfd;
        let pager = Pager::new(&blocking, &Words, RegionTable::new(&mut []), options());
        assert_eq!(pager.err(), Some(PagerError::Blocking));
    } else {
        assert!(!common::kernel_is_at_least(5, 11));
    }
    let by_signal = crate::uffd::open(Features::SIGBUS);
    let pager = Pager::new(&by_signal, &Words, RegionTable::new(&mut []), options());
    assert_eq!(pager.err(), Some(PagerError::Features));
}

/// Two threads at one page, a signal to a waiting one: more messages than
/// pages, and no harm.
#[test]
fn duplicates_are_harmless() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 64, MISSING);
    let slow = By(|at: At, into: &mut [u8]| {
        thread::sleep(Duration::from_micros(200));
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &slow, table, options().block(size)).unwrap();
    serving(&pager, 3, || {
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for index in 0..64 {
                        assert_page(&memory, index, (index * size) as u64);
                    }
                });
            }
        });
    });
    let stats = pager.stats();
    assert_eq!(stats.copied, memory.len() as u64);
    assert!(stats.missing >= 64);
}

/// On `thread::spawn`'s threads, without libc's.
#[test]
fn it_runs_on_threads_without_libc() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 64, MISSING);
    let bytes = expected(0, 64 * size);
    let source = SliceSource(&bytes);
    let mut room = [Region::EMPTY; 4];
    let table = table(&mut room, &memory);
    let pager = Pager::new(&uffd, &source, table, options()).unwrap();
    let mut staging = staging();
    // SAFETY: the closure makes only calls of this crate, and is joined before
    // what it borrows goes.
    let handler =
        unsafe { barecall::thread::spawn_unchecked(64 << 10, || pager.serve(&mut staging)) };
    let handler = handler.unwrap();
    for index in 0..64 {
        assert_page(&memory, index, (index * size) as u64);
    }
    pager.stop();
    assert_eq!(handler.join().unwrap(), Ok(Ended::Stopped));
}

#[test]
fn a_handler_is_placed_only_when_asked() {
    let uffd = plain();
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &Words, RegionTable::new(&mut room), options()).unwrap();
    pager.stop();
    thread::scope(|scope| {
        let ran = scope.spawn(|| {
            let before = barecall::thread::sched_getaffinity::<16>(None).unwrap();
            pager.serve(&mut staging()).unwrap();
            let after = barecall::thread::sched_getaffinity::<16>(None).unwrap();
            assert!(before.iter().eq(after.iter()));
            let cpu = before.iter().next().unwrap();
            assert_eq!(pager.serve_on(cpu, &mut staging()), Ok(Ended::Stopped));
            let after = barecall::thread::sched_getaffinity::<16>(None).unwrap();
            assert!(after.iter().eq([cpu]));
            let nowhere = pager.serve_on(1 << 20, &mut staging());
            assert_eq!(nowhere, Err(PagerError::Os(Errno::EINVAL)));
        });
        ran.join().unwrap();
    });
}

/// The descriptor does not tell that the process has ended; a pidfd does.
#[test]
fn handlers_end_with_the_process_that_they_serve() {
    let _turn = forking();
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    // SAFETY: the child makes only calls of this crate.
    let child = match unsafe { barecall::process::fork() }.unwrap() {
        None => {
            drop(writer);
            let _ = io::read(&reader, &mut [0]);
            barecall::process::exit_group(0)
        }
        Some(child) => child,
    };
    let pidfd = pidfd_open(child, PidfdFlags::empty()).unwrap();
    let uffd = plain();
    let mut room = [Region::EMPTY; 4];
    let options = options().process(pidfd.as_fd());
    let pager = Pager::new(&uffd, &Words, RegionTable::new(&mut room), options).unwrap();
    thread::scope(|scope| {
        let handlers = [(); 2].map(|()| scope.spawn(|| pager.serve(&mut staging())));
        thread::sleep(Duration::from_millis(5));
        assert!(handlers.iter().all(|handler| !handler.is_finished()));
        drop(writer);
        for handler in handlers {
            assert_eq!(handler.join().unwrap(), Ok(Ended::Gone));
        }
    });
    io::retry_on_intr(|| wait4(WaitTarget::Pid(child), WaitOptions::empty())).unwrap();
}

/// With write-protected fills, the first write is told to the source.
#[test]
fn a_protected_page_is_told_before_it_is_written() {
    struct Noting(Mutex<Vec<u64>>);
    impl PageSource for Noting {
        fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
            if at.offset == 0 {
                return Fill::Zero;
            }
            generate(at.offset, into);
            Fill::Bytes
        }
        fn unprotect(&self, at: At) {
            assert_eq!(at.reason, Reason::WriteProtect);
            self.0.lock().unwrap().push(at.offset);
        }
    }
    let size = page_size();
    let wp = has(Features::PAGEFAULT_FLAG_WP);
    let uffd = if wp {
        open(Features::PAGEFAULT_FLAG_WP)
    } else {
        plain()
    };
    let memory = MappedRegion::anonymous(&uffd, 8 * size, MISSING | RegisterModes::WP);
    let memory = match memory {
        Ok(memory) => memory,
        Err(errno) => {
            assert_eq!((errno, wp), (Errno::EINVAL, false));
            return;
        }
    };
    let source = Noting(Mutex::default());
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    let region = Region::new(memory.range(), 0, size).with_flags(RegionFlags::WRITE_PROTECTED);
    table.insert(region).unwrap();
    let pager = Pager::new(&uffd, &source, table, options().block(size)).unwrap();
    serving(&pager, 1, || {
        assert_zeros(&memory, 0);
        for index in 1..8 {
            assert_page(&memory, index, (index * size) as u64);
        }
        assert_eq!(source.0.lock().unwrap().as_slice(), []);
        for index in [0, 3, 5, 3] {
            poke(&memory, index, 7);
            assert_eq!(peek(&memory, index), 7);
        }
    });
    let size = size as u64;
    assert_eq!(source.0.lock().unwrap().as_slice(), [0, 3 * size, 5 * size]);
    assert_eq!(pager.stats().write_protect, 3);
}
