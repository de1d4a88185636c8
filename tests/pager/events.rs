//! What the process does to its own memory meanwhile.

use crate::support::*;
use crate::uffd::*;
use crate::{common, skip};
use barecall::mm::{
    Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mremap, mremap_to, munmap,
};
use barecall::pager::{
    At, Contents, Fill, PageSource, Pager, PagerError, Region, RegionFlags, RegionTable,
};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::userfaultfd::{Features, Forked, PageRange, Userfaultfd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

const CAP_SYS_PTRACE: u32 = 19;

/// What is discarded is zeros from then on, whether it had been filled or not;
/// and what is beside it is the source's.
#[test]
fn discarded_pages_are_zeros_from_then_on() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMOVE);
    let memory = pages(&uffd, 64, MISSING);
    let mut room = [Region::EMPTY; 64];
    let pager = Pager::new(&uffd, &Words, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 2, || {
        assert_page(&memory, 0, 0);
        memory.discard(3 * size, 2 * size).unwrap();
        memory.discard(40 * size, 3 * size).unwrap();
        for round in 0..2 {
            for index in 0..64 {
                match index {
                    3 | 4 | 40..43 => assert_zeros(&memory, index),
                    _ => assert_page(&memory, index, (index * size) as u64),
                }
            }
            if round == 0 {
                memory.discard(3 * size, 2 * size).unwrap();
            }
        }
        poke(&memory, 3, 1);
        assert_eq!(peek(&memory, 3), 1);
    });
    assert_eq!(pager.stats().removes, 3);
    pager.with_regions(|regions| {
        let zeros = regions
            .iter()
            .filter(|region| region.contents() == Contents::Zeros);
        let len: usize = zeros.map(|region| region.range().len()).sum();
        assert_eq!(len, 5 * size);
    });
}

/// A handler has the source's bytes in hand when the page is discarded: they
/// come too late.
#[test]
fn bytes_that_come_after_a_discard_are_not_put() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMOVE);
    let memory = pages(&uffd, 1, MISSING);
    let (asked, discarded) = (AtomicBool::new(false), AtomicBool::new(false));
    let slow = By(|at: At, into: &mut [u8]| {
        asked.store(true, Ordering::Release);
        until("the discard", || discarded.load(Ordering::Acquire));
        generate(at.offset, into);
        Fill::Bytes
    });
    let mut room = [Region::EMPTY; 64];
    let pager = Pager::new(&uffd, &slow, table(&mut room, &memory), options()).unwrap();
    serving(&pager, 2, || {
        thread::scope(|scope| {
            let reader = scope.spawn(|| assert_zeros(&memory, 0));
            until("the question", || asked.load(Ordering::Acquire));
            // The other handler reads of it.
            memory.discard(0, size).unwrap();
            discarded.store(true, Ordering::Release);
            reader.join().unwrap();
        });
    });
    assert_eq!(pager.stats().copied, 0);
}

/// `MADV_DONTNEED` takes nothing from a shared file, if the region says so.
#[test]
fn a_region_can_keep_what_is_discarded() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMOVE);
    let memory = pages(&uffd, 8, MISSING);
    let mut room = [Region::EMPTY; 64];
    let mut table = RegionTable::new(&mut room);
    let region = Region::new(memory.range(), 0, size).with_flags(RegionFlags::DISCARD_KEEPS);
    table.insert(region).unwrap();
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 1, || {
        assert_page(&memory, 2, 2 * size as u64);
        memory.discard(0, memory.len()).unwrap();
        assert_page(&memory, 2, 2 * size as u64);
    });
}

/// A filling thread and a discarding one: no fault is lost to EAGAIN.
#[test]
fn what_the_kernel_refuses_meanwhile_is_tried_again() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMOVE);
    let memory = pages(&uffd, 512, MISSING);
    let mut room = vec![Region::EMPTY; 2048];
    let pager = Pager::new(
        &uffd,
        &Words,
        table(&mut room, &memory),
        options().block(size),
    )
    .unwrap();
    serving(&pager, 2, || {
        thread::scope(|scope| {
            scope.spawn(|| {
                for index in 256..512 {
                    memory.discard(index * size, size).unwrap();
                }
            });
            for index in 0..256 {
                assert_page(&memory, index, (index * size) as u64);
            }
        });
        for index in 256..512 {
            assert_zeros(&memory, index);
        }
    });
    assert_eq!(pager.with_regions(|regions| regions.len()), 2);
}

/// Before a message is read that may need it, there is room in the table, or
/// nothing is read.
#[test]
fn a_table_without_room_reads_nothing() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMOVE);
    let memory = pages(&uffd, 8, MISSING);
    let mut room = [Region::EMPTY; 4];
    let mut more = [Region::EMPTY; 100];
    let pager = Pager::new(&uffd, &Words, table(&mut room, &memory), options()).unwrap();
    thread::scope(|scope| {
        let discarder = scope.spawn(|| memory.discard(2 * size, size).unwrap());
        assert_eq!(pager.serve(&mut staging()), Err(PagerError::TableFull));
        thread::sleep(Duration::from_millis(10));
        assert!(!discarder.is_finished());
        assert_eq!(pager.grow_table(&mut more).unwrap().len(), 4);
        serving(&pager, 1, || {
            discarder.join().unwrap();
            assert_zeros(&memory, 2);
            assert_page(&memory, 3, 3 * size as u64);
        });
    });
}

/// Memory of a test's own, which moves.
fn map(len: usize, prot: ProtFlags) -> usize {
    // SAFETY: a new mapping, that nobody else knows of.
    let at = unsafe { mmap_anonymous(std::ptr::null_mut(), len, prot, MapFlags::PRIVATE) };
    at.unwrap().expose_provenance()
}

fn ptr<T>(address: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut(address)
}

fn word_at(address: usize) -> u64 {
    // SAFETY: the tests map what they look at.
    unsafe { ptr::<u64>(address).read_volatile() }
}

/// The table follows what is moved, also in part, with what was discarded.
#[test]
fn moved_memory_keeps_its_contents() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMAP | Features::EVENT_REMOVE | Features::EVENT_UNMAP);
    let both = ProtFlags::READ | ProtFlags::WRITE;
    let (old, new) = (map(16 * size, both), map(16 * size, ProtFlags::NONE));
    // SAFETY: new mappings.
    unsafe { uffd.register(PageRange::new(old, 16 * size), MISSING) }.unwrap();
    let mut room = [Region::EMPTY; 100];
    let mut table = RegionTable::new(&mut room);
    table
        .insert(Region::new(PageRange::new(old, 16 * size), 0, size))
        .unwrap();
    let pager = Pager::new(&uffd, &Words, table, options().block(2 * size)).unwrap();
    let at = |index: usize| word((index * size / 8) as u64);
    serving(&pager, 2, || {
        assert_eq!(word_at(old + 5 * size), at(5));
        // SAFETY: ours, and nobody relies on it.
        unsafe { madvise(ptr(old + 6 * size), size, Advice::DONTNEED) }.unwrap();
        // The pages from 4 to 12 go to the place from 2 on.
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        let (from, to) = (ptr(old + 4 * size), ptr(new + 2 * size));
        // SAFETY: ours; nobody relies on the target.
        unsafe { mremap_to(from, 8 * size, 8 * size, flags, to) }.unwrap();
        for index in 4..12 {
            let word = word_at(new + (index - 2) * size);
            assert_eq!(word, if index == 6 { 0 } else { at(index) }, "page {index}");
        }
        for index in (0..4).chain(12..16) {
            assert_eq!(word_at(old + index * size), at(index));
        }
    });
    assert_eq!(pager.stats().remaps, 1);
    let moved = pager.with_regions(|regions| {
        let found = regions
            .iter()
            .find(|region| region.range().contains(new + 2 * size));
        found.unwrap().offset()
    });
    assert_eq!(moved, 4 * size as u64);
    // Unmapping is read by whoever serves.
    pager.resume();
    serving(&pager, 1, || {
        // Not what is in between: somebody else may have that.
        for (address, count) in [(old, 4), (old + 12 * size, 4), (new, 16)] {
            // SAFETY: ours.
            unsafe { munmap(ptr(address), count * size) }.unwrap();
        }
    });
    assert_eq!(pager.with_regions(|regions| regions.len()), 0);
    assert!(pager.stats().unmaps >= 2);
}

/// Memory that is made longer while it moves: what it had comes along, what is
/// new waits to be told. And what is cut off is served no more.
#[test]
fn memory_that_grows_or_shrinks_keeps_what_it_had() {
    let size = page_size();
    let uffd = open(Features::EVENT_REMAP | Features::EVENT_UNMAP);
    let both = ProtFlags::READ | ProtFlags::WRITE;
    let (old, new) = (map(4 * size, both), map(16 * size, ProtFlags::NONE));
    // SAFETY: a new mapping.
    unsafe { uffd.register(PageRange::new(old, 4 * size), MISSING) }.unwrap();
    let mut room = [Region::EMPTY; 100];
    let mut table = RegionTable::new(&mut room);
    table
        .insert(Region::new(PageRange::new(old, 4 * size), 0, size))
        .unwrap();
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    let at = |index: usize| word((index * size / 8) as u64);
    let table = || {
        pager.with_regions(|regions| {
            let ranges = regions.iter().map(|region| region.range());
            ranges.collect::<Vec<_>>()
        })
    };
    serving(&pager, 2, || {
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        // SAFETY: ours; nobody relies on the target.
        unsafe { mremap_to(ptr(old), 4 * size, 12 * size, flags, ptr(new)) }.unwrap();
        assert_eq!(table(), [PageRange::new(new, 4 * size)]);
        assert_eq!(word_at(new + 3 * size), at(3));
        thread::scope(|scope| {
            let reader = scope.spawn(|| word_at(new + 7 * size));
            until("the new page", || pager.stats().stray > 0);
            assert!(!reader.is_finished());
            let more = PageRange::new(new + 4 * size, 8 * size);
            pager.add(Region::new(more, 4 * size as u64, size)).unwrap();
            assert_eq!(reader.join().unwrap(), at(7));
        });
        // SAFETY: ours.
        unsafe { mremap(ptr(new), 12 * size, 6 * size, MremapFlags::empty()) }.unwrap();
        assert_eq!(table(), [PageRange::new(new, 6 * size)]);
        assert_eq!(word_at(new + 5 * size), at(5));
        // What is mapped in its place ends it, too.
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: ours.
        unsafe { mmap_anonymous(ptr(new + size), 2 * size, both, flags) }.unwrap();
        let ends = [
            PageRange::new(new, size),
            PageRange::new(new + 3 * size, 3 * size),
        ];
        assert_eq!(table(), ends);
        assert_eq!(word_at(new + size), 0);
        assert_eq!(word_at(new), at(0));
        assert_eq!(word_at(new + 4 * size), at(4));
        // SAFETY: ours.
        unsafe { munmap(ptr(new), 6 * size) }.unwrap();
    });
    assert_eq!(table(), []);
}

/// What is unmapped is served no more, and the address can be used again.
#[test]
fn unmapped_memory_leaves_the_table() {
    let size = page_size();
    let uffd = open(Features::EVENT_UNMAP);
    let both = ProtFlags::READ | ProtFlags::WRITE;
    let at = map(8 * size, both);
    // SAFETY: a new mapping.
    unsafe { uffd.register(PageRange::new(at, 8 * size), MISSING) }.unwrap();
    let mut room = [Region::EMPTY; 100];
    let mut table = RegionTable::new(&mut room);
    table
        .insert(Region::new(PageRange::new(at, 8 * size), 0, size))
        .unwrap();
    let pager = Pager::new(&uffd, &Words, table, options()).unwrap();
    serving(&pager, 1, || {
        // SAFETY: ours.
        unsafe { munmap(ptr(at + 2 * size), 3 * size) }.unwrap();
        let ranges = pager.with_regions(|regions| {
            regions
                .iter()
                .map(|region| region.range())
                .collect::<Vec<_>>()
        });
        let rest = PageRange::new(at + 5 * size, 3 * size);
        assert_eq!(ranges, [PageRange::new(at, 2 * size), rest]);
        // Something else, from elsewhere in the source.
        let again = map(3 * size, both);
        let range = PageRange::new(again, 3 * size);
        // SAFETY: a new mapping.
        unsafe { uffd.register(range, MISSING) }.unwrap();
        pager.add(Region::new(range, 0x50_0000, size)).unwrap();
        assert_eq!(word_at(again), word(0x50_0000 / 8));
        assert_eq!(word_at(at), word(0));
        assert_eq!(word_at(at + 5 * size), word(5 * size as u64 / 8));
        // SAFETY: ours.
        unsafe {
            munmap(ptr(again), 3 * size).unwrap();
            munmap(ptr(at), 2 * size).unwrap();
            munmap(ptr(at + 5 * size), 3 * size).unwrap();
        }
    });
    assert_eq!(pager.with_regions(|regions| regions.len()), 0);
}

struct Forking {
    children: Mutex<mpsc::Sender<(Userfaultfd, Vec<Region>)>>,
}

impl PageSource for Forking {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        generate(at.offset, into);
        Fill::Bytes
    }
    fn forked(&self, child: Forked, regions: &[Region]) {
        let child = (child.into_userfaultfd(), regions.to_vec());
        self.children.lock().unwrap().send(child).unwrap();
    }
}

/// A child has the regions that its parent had, and a descriptor of its own.
#[test]
fn a_forked_child_is_served_by_a_pager_of_its_own() {
    if !common::has_capability(CAP_SYS_PTRACE) {
        skip!("EVENT_FORK needs CAP_SYS_PTRACE");
    }
    let _turn = told_of_forks();
    let size = page_size();
    let uffd = open(Features::EVENT_FORK | Features::EVENT_REMOVE);
    let memory = pages(&uffd, 8, MISSING);
    let (sender, children) = mpsc::channel();
    let source = Forking {
        children: Mutex::new(sender),
    };
    let mut room = [Region::EMPTY; 100];
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| serve_children(children, &Words));
        serving(&pager, 1, || {
            assert_page(&memory, 1, size as u64);
            poke(&memory, 1, 0x77);
            memory.discard(2 * size, size).unwrap();
            let start = memory.as_ptr();
            // SAFETY: the child only touches memory and exits.
            let status = match unsafe { fork() }.unwrap() {
                None => {
                    // SAFETY: mapped here too.
                    let page = |index: usize| unsafe {
                        start
                            .wrapping_add(index * size + 8)
                            .cast::<u64>()
                            .read_volatile()
                    };
                    // SAFETY: as above.
                    let poked = unsafe { start.wrapping_add(size).read_volatile() } == 0x77;
                    let expected = |index: usize| word((index * size / 8) as u64 + 1);
                    let right = poked
                        && page(0) == expected(0)
                        && page(1) == expected(1)
                        && page(2) == 0
                        && page(5) == expected(5);
                    exit_group(if right { 0 } else { 1 })
                }
                Some(child) => wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap(),
            };
            assert!(
                matches!(status, Some((_, WaitStatus::Exited(0)))),
                "{status:?}"
            );
            // The parent goes on.
            assert_page(&memory, 5, 5 * size as u64);
        });
        assert!(pager.stats().forks >= 1);
        // Ends the thread that serves children.
        let (nowhere, _) = mpsc::channel();
        *source.children.lock().unwrap() = nowhere;
    });
}

/// A child that forks is told of to who serves that child.
#[test]
fn a_forked_childs_child_is_served_too() {
    if !common::has_capability(CAP_SYS_PTRACE) {
        skip!("EVENT_FORK needs CAP_SYS_PTRACE");
    }
    let _turn = told_of_forks();
    let size = page_size();
    let uffd = open(Features::EVENT_FORK | Features::EVENT_REMOVE);
    let memory = pages(&uffd, 8, MISSING);
    let (sender, children) = mpsc::channel();
    let source = Forking {
        children: Mutex::new(sender),
    };
    let mut room = [Region::EMPTY; 100];
    let options = options().block(size);
    let pager = Pager::new(&uffd, &source, table(&mut room, &memory), options).unwrap();
    let start = memory.as_ptr();
    // The second word of a page.
    let is = |index: usize, expected: u64| {
        let at = start.wrapping_add(index * size + 8).cast::<u64>();
        // SAFETY: mapped in all three processes.
        (unsafe { at.read_volatile() }) == expected
    };
    let of_source = |index: usize| is(index, word((index * size / 8) as u64 + 1));
    thread::scope(|scope| {
        scope.spawn(|| serve_children(children, &source));
        serving(&pager, 1, || {
            assert_page(&memory, 1, size as u64);
            // SAFETY: both touch memory, make calls of this crate, and exit.
            let status = match unsafe { fork() }.unwrap() {
                None => {
                    let discarded = memory.discard(2 * size, size).is_ok();
                    let right = of_source(0) && is(2, 0);
                    // SAFETY: as above.
                    let status = match unsafe { fork() } {
                        Ok(None) => {
                            let right = [0, 1, 5].into_iter().all(of_source) && is(2, 0);
                            exit_group(if right { 0 } else { 1 })
                        }
                        Ok(Some(child)) => wait4(WaitTarget::Pid(child), WaitOptions::empty()),
                        Err(errno) => Err(errno),
                    };
                    let nested = matches!(status, Ok(Some((_, WaitStatus::Exited(0)))));
                    let right = right && discarded && nested && of_source(5);
                    exit_group(if right { 0 } else { 1 })
                }
                Some(child) => wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap(),
            };
            assert!(
                matches!(status, Some((_, WaitStatus::Exited(0)))),
                "{status:?}"
            );
            // The parent has discarded nothing.
            assert_page(&memory, 2, 2 * size as u64);
        });
        // Ends the thread that serves children.
        let (nowhere, _) = mpsc::channel();
        *source.children.lock().unwrap() = nowhere;
    });
}
