//! Filling ahead, recording what was needed, and filling that the next time.

use crate::support::*;
use crate::uffd::*;
use barecall::Errno;
use barecall::mm::{ProtFlags, mprotect};
use barecall::pager::{At, Block, BlockCell, Fill, Pager, Reason, Recorder, Region, RegionTable};
use barecall::userfaultfd::{Features, PageRange};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn prefetching_needs_no_handler_and_leaves_no_fault() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 100, MISSING);
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(&uffd, &Words, table(&mut room, &memory), options()).unwrap();
    let part = PageRange::new(memory.range().start() + 10 * size, 20 * size);
    let done = pager.prefetch(part, &mut staging()).unwrap();
    assert!(done >= part.len());
    let all = pager.prefetch(memory.range(), &mut staging()).unwrap();
    assert_eq!(all, memory.len());
    for index in 0..100 {
        assert_page(&memory, index, (index * size) as u64);
    }
    let stats = pager.stats();
    assert_eq!((stats.copied, stats.faults()), (memory.len() as u64, 0));
    // Nothing is there to be filled any more, nor outside of the regions.
    assert_eq!(
        pager.prefetch(PageRange::new(0, size), &mut staging()),
        Ok(0)
    );
    pager.stop();
    assert_eq!(pager.prefetch(memory.range(), &mut staging()), Ok(0));
}

#[test]
fn prefetching_goes_on_beside_handlers_and_discards() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMOVE);
    let memory = pages(&uffd, 2048, MISSING);
    let mut room = vec![Region::EMPTY; 4096];
    let pager = Pager::new(&uffd, &Words, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 2, || {
        thread::scope(|scope| {
            scope.spawn(|| pager.prefetch(memory.range(), &mut staging()).unwrap());
            scope.spawn(|| {
                for index in (0..2048).step_by(16) {
                    memory.discard(index * size, size).unwrap();
                }
            });
            for index in (0..2048).rev().filter(|index| index % 16 != 0) {
                assert_page(&memory, index, (index * size) as u64);
            }
        });
        for index in (0..2048).step_by(16) {
            assert_zeros(&memory, index);
        }
    });
}

/// What the source does not give is passed over, and left to a fault.
#[test]
fn prefetching_passes_over_what_fails() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 8, MISSING);
    let source = By(|at: At, into: &mut [u8]| {
        if at.reason == Reason::Prefetch && at.offset == 3 * size as u64 {
            return Fill::Failed(Errno::EIO);
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let options = options().block(size);
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    assert_eq!(pager.prefetch(memory.range(), &mut staging()), Ok(8 * size));
    assert_eq!(pager.stats().copied, 7 * size as u64);
    serving(&pager, 1, || assert_page(&memory, 3, 3 * size as u64));
}

/// A block that reaches over the border of a mapping is filled in parts: all of
/// them, since who prefetches everything may close the descriptor after that,
/// and what is missing then is zeros.
#[test]
fn prefetching_leaves_nothing_out_where_a_block_spans_mappings() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 64, MISSING);
    for index in [1, 5, 6, 13, 14, 15, 22, 40] {
        let at = memory.as_ptr().wrapping_add(index * size).cast();
        // SAFETY: nobody writes there.
        unsafe { mprotect(at, size, ProtFlags::READ) }.unwrap();
    }
    let mut room = [Region::EMPTY; 4];
    let options = options().block(16 * size);
    let pager = Pager::new(&uffd, &Words, table(&mut room, &memory), options).unwrap();
    let done = pager.prefetch(memory.range(), &mut staging());
    assert_eq!(done, Ok(memory.len()));
    assert_eq!(pager.stats().copied, memory.len() as u64);
    for index in 0..64 {
        assert_page(&memory, index, (index * size) as u64);
    }
}

/// One bad page in a block: the others of the block are filled all the same.
#[test]
fn prefetching_passes_over_no_more_than_the_page_that_fails() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 32, MISSING);
    let bad = [0, 5, 6, 31].map(|index: u64| index * size as u64);
    let source = By(|at: At, into: &mut [u8]| {
        let end = at.offset + into.len() as u64;
        if bad.iter().any(|bad| (at.offset..end).contains(bad)) {
            return Fill::Failed(Errno::EIO);
        }
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 4];
    let options = options().block(16 * size);
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    let done = pager.prefetch(memory.range(), &mut staging());
    assert_eq!(done, Ok(memory.len()));
    assert_eq!(pager.stats().copied, 28 * size as u64);
    for index in (0..32).filter(|index| ![0, 5, 6, 31].contains(index)) {
        assert_page(&memory, index, (index * size) as u64);
    }
}

/// A working set is recorded from the faults of one run, and replayed in
/// another, where the memory is elsewhere: no fault is left.
#[test]
fn a_recorded_working_set_is_replayed() {
    let size = page_size();
    let touched = [3, 50, 51, 97, 12, 3, 64];
    let room = [const { BlockCell::new() }; 16];
    let recorder = Recorder::new(&room);
    let record: Vec<Block> = {
        let uffd = plain();
        let memory = pages(&uffd, 100, MISSING);
        let mut room = [Region::EMPTY; 4];
        let options = options().block(2 * size).record(&recorder);
        let table = table_from(&mut room, &memory, 0x1_0000);
        let pager = Pager::new(&uffd, &Words, table, options).unwrap();
        serving(&pager, 1, || {
            for index in touched {
                assert_page(&memory, index, (0x1_0000 + index * size) as u64);
            }
        });
        recorder.blocks().collect()
    };
    assert_eq!(recorder.lost(), 0);
    // In the order in which they were needed.
    let first = 0x1_0000 + 3 * size as u64;
    assert!(record[0].offset <= first && first < record[0].offset + record[0].len);

    let asked = AtomicUsize::new(0);
    let source = By(|at: At, into: &mut [u8]| {
        assert_eq!(at.reason, Reason::Prefetch);
        asked.fetch_add(into.len(), Ordering::Relaxed);
        generate(at.offset, into);
        Fill::Bytes
    });
    let uffd = plain();
    let memory = pages(&uffd, 100, MISSING);
    let mut room = [Region::EMPTY; 4];
    let pager = Pager::new(
        &uffd,
        &source,
        table_from(&mut room, &memory, 0x1_0000),
        options(),
    )
    .unwrap();
    pager
        .replay(record.iter().copied(), &mut staging())
        .unwrap();
    for index in touched {
        assert_page(&memory, index, (0x1_0000 + index * size) as u64);
    }
    assert_eq!(pager.stats().faults(), 0);
    // What the regions do not have is passed over.
    let nowhere = Block {
        offset: 1 << 40,
        len: size as u64,
    };
    assert_eq!(pager.replay([nowhere], &mut staging()), Ok(0));
}

/// The next time, what was one piece of memory is several, elsewhere and in
/// another order, and some of it is twice or not there.
#[test]
fn a_recorded_block_that_lies_in_several_regions_is_replayed_whole() {
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, 12, MISSING);
    let asked = AtomicUsize::new(0);
    let source = By(|at: At, into: &mut [u8]| {
        asked.fetch_add(into.len(), Ordering::Relaxed);
        generate(at.offset, into);
        Fill::Bytes
    });
    // Of which page of the source each page is.
    let places = [(0..2, 6), (2..4, 20), (4..6, 0), (6..9, 2), (9..12, 2)];
    let mut room = [Region::EMPTY; 8];
    let mut table = RegionTable::new(&mut room);
    for (pages, from) in &places {
        let range = PageRange::new(page(&memory, pages.start).start(), pages.len() * size);
        let region = Region::new(range, (from * size) as u64, size);
        table.insert(region).unwrap();
    }
    let options = options().block(size);
    let pager = Pager::new(&uffd, &source, table, options).unwrap();
    // The pages from 1 to 7 of the source, of which nobody has the 5th.
    let block = Block {
        offset: size as u64,
        len: 6 * size as u64,
    };
    let beyond = Block {
        offset: 30 * size as u64,
        len: u64::MAX,
    };
    let done = pager.replay([block, beyond], &mut staging());
    assert_eq!(done, Ok((1 + 3 + 3 + 1) * size));
    assert_eq!(asked.load(Ordering::Relaxed), 8 * size);
    for (index, from) in [(5, 1), (6, 2), (8, 4), (9, 2), (11, 4), (0, 6)] {
        assert_page(&memory, index, (from * size) as u64);
    }
}

#[test]
fn a_full_record_counts_what_it_lost() {
    let size = page_size();
    let room = [const { BlockCell::new() }; 3];
    let recorder = Recorder::new(&room);
    let uffd = plain();
    let memory = pages(&uffd, 10, MISSING);
    let mut room = [Region::EMPTY; 4];
    let options = options().block(size).record(&recorder);
    let pager = Pager::new(&uffd, &Words, table(&mut room, &memory), options).unwrap();
    serving(&pager, 1, || {
        for index in 0..10 {
            assert_page(&memory, index, (index * size) as u64);
        }
    });
    let blocks: Vec<_> = recorder.blocks().collect();
    let block = |index: u64| Block {
        offset: index * size as u64,
        len: size as u64,
    };
    assert_eq!(blocks, [block(0), block(1), block(2)]);
    assert_eq!(recorder.lost(), 7);
}
