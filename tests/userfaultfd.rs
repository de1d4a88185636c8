//! userfaultfd: registering, filling, and the tokens.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::userfaultfd::{
    CopyFlags, Event, EventBuffer, Features, Filled, Ioctls, MappedRegion, MoveFlags, PageRange,
    PoisonFlags, RegisterModes, Stop, Userfaultfd, ZeroFlags, abi,
};
use barecall::{Errno, fd::AsFd, io};
use std::thread;
use uffd::*;

const MISSING: RegisterModes = RegisterModes::MISSING;

const fn done(bytes: usize) -> Filled {
    Filled {
        done: bytes,
        stop: None,
    }
}

const fn stopped(bytes: usize, stop: Stop) -> Filled {
    Filled {
        done: bytes,
        stop: Some(stop),
    }
}

/// UFD-050, and the manual page's example (UFD-023): three pages, 'A', 'B',
/// 'C'.
#[test]
fn a_missing_page_is_served_by_another_thread() {
    let uffd = plain();
    let region = pages(&uffd, 3, MISSING);
    thread::scope(|scope| {
        scope.spawn(|| {
            for (i, letter) in (b'A'..=b'C').enumerate() {
                match next(&uffd) {
                    Event::Missing(fault) => {
                        assert_eq!(fault.page(page_size()), page(&region, i));
                        assert!(!fault.is_write());
                        assert_eq!(fault.copy(&filled(letter)).unwrap().stop, None);
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        assert_eq!(peek(&region, 0), b'A');
        assert_eq!(peek(&region, 1), b'B');
        assert_eq!(peek(&region, 2), b'C');
    });
    quiet(&uffd);
}

/// UFD-155: what kind of access it was.
#[test]
fn a_message_says_whether_it_was_a_write() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        scope.spawn(|| poke(&region, 0, 1));
        match next(&uffd) {
            Event::Missing(fault) => {
                assert!(fault.is_write());
                assert_eq!(fault.flags().bits(), 1);
                fault.zero(page_size()).unwrap();
            }
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(peek(&region, 0), 1);
}

/// UFD-024: the size of a message.
#[test]
fn a_message_is_32_bytes() {
    assert_eq!(size_of::<abi::UffdMsg>(), 32);
}

/// UFD-018: nothing to read.
#[test]
fn reading_with_no_message_is_eagain() {
    let uffd = plain();
    assert_eq!(uffd.read_event().unwrap_err(), Errno::EAGAIN);
    let mut none = EventBuffer::<0>::new();
    assert_eq!(uffd.read(&mut none).unwrap_err(), Errno::EINVAL);
    assert_eq!(io::read(&uffd, &mut [0; 31]), Err(Errno::EINVAL));
}

/// UFD-030, UFD-031, UFD-032, UFD-037: what cannot be registered, and what can
/// be again.
#[test]
fn registering_what_is_not_whole_mapped_pages_is_einval() {
    let uffd = plain();
    let region = pages(&uffd, 4, MISSING);
    let (start, size) = (region.range().start(), page_size());
    // SAFETY: errors, or our own region once more.
    let register = |start, len, modes| unsafe { uffd.register(PageRange::new(start, len), modes) };
    assert_eq!(
        register(start, size, RegisterModes::empty()),
        Err(Errno::EINVAL)
    );
    let unknown = RegisterModes::from_bits_retain(1 << 8);
    assert_eq!(register(start, size, unknown), Err(Errno::EINVAL));
    assert_eq!(register(start + 1, size, MISSING), Err(Errno::EINVAL));
    assert_eq!(register(start, size - 1, MISSING), Err(Errno::EINVAL));
    assert_eq!(register(start, 0, MISSING), Err(Errno::EINVAL));
    assert_eq!(
        register(start, usize::MAX & !(size - 1), MISSING),
        Err(Errno::EINVAL)
    );
    assert_eq!(register(0, size, MISSING), Err(Errno::EINVAL));
    assert_eq!(register(1 << 63, size, MISSING), Err(Errno::EINVAL));
    let ioctls = register(start, 4 * size, MISSING).expect("once more");
    assert!(ioctls.contains(Ioctls::COPY | Ioctls::WAKE | Ioctls::ZEROPAGE));

    let gone = region.range();
    drop(region);
    assert_eq!(register(gone.start(), size, MISSING), Err(Errno::EINVAL));
}

/// UFD-038: one userfaultfd a range.
#[test]
fn registering_what_another_userfaultfd_has_is_ebusy() {
    let (first, second) = (plain(), plain());
    let region = pages(&first, 1, MISSING);
    // SAFETY: an error.
    let result = unsafe { second.register(region.range(), MISSING) };
    assert_eq!(result, Err(Errno::EBUSY));
}

/// UFD-040: unregistering.
#[test]
fn unregistering_twice_is_no_error_but_bad_ranges_are() {
    let uffd = plain();
    let region = pages(&uffd, 2, MISSING);
    let (start, size) = (region.range().start(), page_size());
    let unregister = |start, len| uffd.unregister(PageRange::new(start, len));
    assert_eq!(unregister(start, 2 * size), Ok(()));
    assert_eq!(unregister(start, 2 * size), Ok(()));
    assert_eq!(unregister(start + 1, size), Err(Errno::EINVAL));
    assert_eq!(unregister(start, 0), Err(Errno::EINVAL));
    drop(region);
    assert_eq!(unregister(start, size), Err(Errno::EINVAL));
    assert_eq!(peek(&pages(&uffd, 1, MISSING).unregistered(&uffd), 0), 0);
}

trait Unregistered {
    fn unregistered(self, uffd: &Userfaultfd) -> Self;
}
impl Unregistered for MappedRegion {
    fn unregistered(self, uffd: &Userfaultfd) -> Self {
        uffd.unregister(self.range()).unwrap();
        self
    }
}

/// UFD-052: a page that is there stays, and the count is no error in disguise.
#[test]
fn copying_onto_a_page_that_exists_says_so_and_changes_nothing() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    let start = region.range().start();
    let copy = |byte| uffd.copy_once(start, &filled(byte), CopyFlags::empty());
    assert_eq!(copy(1), done(page_size()));
    assert_eq!(copy(2), stopped(0, Stop::Exists));
    assert_eq!(peek(&region, 0), 1);
}

/// UFD-051, UFD-055, UFD-061, UFD-067: every refusal has its name.
#[test]
fn a_refused_copy_says_why_and_counts_nothing() {
    let uffd = plain();
    let region = pages(&uffd, 2, MISSING);
    let (start, size) = (region.range().start(), page_size());
    let none = CopyFlags::empty();
    let page1 = filled(1);
    assert_eq!(
        uffd.copy_once(start, &page1[1..], none),
        stopped(0, Stop::Invalid)
    );
    assert_eq!(
        uffd.copy_once(start + 1, &page1, none),
        stopped(0, Stop::Invalid)
    );
    assert_eq!(uffd.copy_once(start, &[], none), stopped(0, Stop::Invalid));
    let unknown = CopyFlags::from_bits_retain(0xdead_beec);
    assert_eq!(
        uffd.copy_once(start, &page1, unknown),
        stopped(0, Stop::Invalid)
    );
    let other = vec![0_u8; 4 * size];
    let unregistered = (other.as_ptr() as usize + size) & !(size - 1);
    assert_eq!(
        uffd.copy_once(unregistered, &page1, none),
        stopped(0, Stop::Unmapped)
    );
    // SAFETY: nothing is there to be read, and the kernel will say so.
    let unmapped = unsafe {
        let nowhere = std::ptr::without_provenance(size);
        uffd.copy_raw_once(PageRange::new(start, size), nowhere, none)
    };
    assert_eq!(unmapped, stopped(0, Stop::Source));
    // SAFETY: an error.
    let null = unsafe { io::ioctl(&uffd, abi::UFFDIO_COPY, 0) };
    assert_eq!(null, Err(Errno::EFAULT));
    assert_eq!(uffd.copy_once(start, &page1, none), done(size));
}

/// The source need not be aligned.
#[test]
fn the_source_of_a_copy_may_be_unaligned() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    let mut source = vec![7; page_size() + 1];
    source[1] = 9;
    let filled = uffd.copy_once(region.range().start(), &source[1..], CopyFlags::empty());
    assert_eq!(filled, done(page_size()));
    assert_eq!(peek(&region, 0), 9);
}

/// What userfaultfd-rs gives as `PartiallyCopied(usize::MAX - 10)`: a count and
/// a cause are never confused, and a short count is followed until the cause is
/// known.
#[test]
fn a_partial_copy_has_its_count_and_then_its_cause() {
    let uffd = plain();
    let region = pages(&uffd, 4, MISSING);
    let (start, size) = (region.range().start(), page_size());
    uffd.zero_once(page(&region, 2), ZeroFlags::empty())
        .all()
        .unwrap();
    let source = vec![5; 4 * size];
    let none = CopyFlags::empty();
    assert_eq!(
        uffd.copy_once(start, &source, none),
        stopped(2 * size, Stop::Short)
    );
    assert_eq!(
        uffd.copy_once(start + 2 * size, &source[2 * size..], none),
        stopped(0, Stop::Exists)
    );
    region.discard(0, 2 * size).unwrap();
    assert_eq!(
        uffd.fill_copy(start, &source, none),
        stopped(2 * size, Stop::Exists)
    );
    assert_eq!(
        uffd.fill_copy_missing(start, &source, size, none),
        done(4 * size)
    );
    let bytes = [0, 1, 2, 3].map(|i| peek(&region, i));
    assert_eq!(bytes, [5, 5, 0, 5]);
}

/// UFD-070, UFD-071, UFD-072, UFD-073; and what userfaultfd-rs loses: the count
/// of a partial zeropage.
#[test]
fn a_partial_zeropage_has_its_count_and_then_its_cause() {
    let uffd = plain();
    let region = pages(&uffd, 4, MISSING);
    let (start, size) = (region.range().start(), page_size());
    let none = ZeroFlags::empty();
    uffd.copy_once(start + 3 * size, &filled(1), CopyFlags::empty())
        .all()
        .unwrap();
    assert_eq!(
        uffd.zero_once(region.range(), none),
        stopped(3 * size, Stop::Short)
    );
    assert_eq!(
        uffd.zero_once(page(&region, 0), none),
        stopped(0, Stop::Exists)
    );
    region.discard(0, 3 * size).unwrap();
    assert_eq!(
        uffd.fill_zero(region.range(), none),
        stopped(3 * size, Stop::Exists)
    );
    region.discard(0, 3 * size).unwrap();
    assert_eq!(
        uffd.zero_once(PageRange::new(start, 3 * size), none),
        done(3 * size)
    );
    assert_eq!(
        uffd.fill_zero_missing(region.range(), size, none),
        done(4 * size)
    );
    assert_eq!(peek(&region, 0), 0);
    assert_eq!(peek(&region, 3), 1);

    let unknown = ZeroFlags::from_bits_retain(2);
    assert_eq!(
        uffd.zero_once(region.range(), unknown),
        stopped(0, Stop::Invalid)
    );
    assert_eq!(
        uffd.zero_once(PageRange::new(start + 1, size), none),
        stopped(0, Stop::Invalid)
    );
    let gone = region.range();
    drop(region);
    assert_eq!(uffd.zero_once(gone, none), stopped(0, Stop::Unmapped));
}

/// A border between two mappings stops a fill, and says so.
#[test]
fn a_fill_across_a_border_of_mappings_is_unmapped() {
    use barecall::mm::{ProtFlags, mprotect};
    let uffd = plain();
    let region = pages(&uffd, 4, MISSING);
    let size = page_size();
    let second = region.as_ptr().wrapping_add(2 * size).cast();
    // SAFETY: pages that nobody touches.
    unsafe { mprotect(second, 2 * size, ProtFlags::READ) }.unwrap();
    let filled = uffd.fill_zero(region.range(), ZeroFlags::empty());
    assert_eq!(filled, stopped(0, Stop::Unmapped));
}

/// UFD-060: DONTWAKE, and the wake after it.
#[test]
fn a_copy_that_does_not_wake_leaves_the_thread_waiting() {
    let uffd = open(Features::THREAD_ID);
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        let Event::Missing(fault) = next(&uffd) else {
            panic!("another event");
        };
        // The message comes before the thread has looked for the last time
        // whether it must wait.
        let stat = format!("/proc/self/task/{}/stat", fault.thread_id().unwrap());
        until("the thread sleeps", || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            !stat.rsplit(") ").next().unwrap().starts_with('R')
        });
        let to = fault.page(page_size());
        let filled = uffd.copy_once(to.start(), &filled(3), CopyFlags::DONTWAKE);
        assert_eq!(filled, done(page_size()));
        thread::sleep(std::time::Duration::from_millis(20));
        assert!(!faulter.is_finished());
        assert_eq!(uffd.waiting_from_fdinfo().unwrap().total, 1);
        fault.wake().unwrap();
        assert_eq!(faulter.join().unwrap(), 3);
    });
    quiet(&uffd);
}

/// EEXIST does not wake; the token does, so that the second of two threads at
/// one page does not wait for ever.
#[test]
fn a_page_that_exists_already_wakes_who_waits_for_it() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        let Event::Missing(fault) = next(&uffd) else {
            panic!("another event");
        };
        let filled1 = uffd.copy_once(fault.address(), &filled(3), CopyFlags::DONTWAKE);
        assert_eq!(filled1, done(page_size()));
        let filled2 = fault.copy(&filled(4)).unwrap();
        assert_eq!((filled2.done, filled2.stop), (0, Some(Stop::Exists)));
        assert_eq!(faulter.join().unwrap(), 3);
    });
}

/// A token that is dropped loses nothing: its thread faults again.
#[test]
fn a_dropped_token_wakes_its_thread_and_the_fault_comes_again() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        drop(next(&uffd));
        drop(next(&uffd));
        match next(&uffd) {
            Event::Missing(fault) => fault.copy(&filled(8)).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(faulter.join().unwrap(), 8);
    });
}

/// What userfaultfd-rs loses with an iterator that is dropped: the faults that
/// were read and not looked at.
#[test]
fn a_dropped_batch_loses_no_fault() {
    let uffd = plain();
    let region = pages(&uffd, 4, MISSING);
    thread::scope(|scope| {
        let faulters = [0, 1, 2, 3].map(|i| {
            let region = &region;
            scope.spawn(move || peek(region, i))
        });
        until_waiting(&uffd, 4);
        let mut buffer = EventBuffer::<16>::new();
        let mut events = uffd.read(&mut buffer).unwrap();
        assert_eq!(events.len(), 4);
        let first = events.next().unwrap();
        drop(events);
        drop(first);
        for _ in 0..4 {
            match next(&uffd) {
                Event::Missing(fault) => fault.copy(&filled(1)).unwrap(),
                other => panic!("{other:?}"),
            };
        }
        for faulter in faulters {
            assert_eq!(faulter.join().unwrap(), 1);
        }
    });
}

/// A parked fault is data, and becomes the same token again.
#[test]
fn a_parked_fault_waits_and_is_resolved_later() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        let parked = match next(&uffd) {
            Event::Missing(fault) => fault.park(),
            other => panic!("{other:?}"),
        };
        quiet(&uffd);
        assert_eq!(parked.page(page_size()), page(&region, 0));
        assert!(!faulter.is_finished());
        match uffd.unpark(parked) {
            Event::Missing(fault) => fault.copy(&filled(2)).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(faulter.join().unwrap(), 2);
    });
}

/// A fill that is refused gives the token back.
#[test]
fn a_token_that_was_not_resolved_comes_back() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        let Event::Missing(fault) = next(&uffd) else {
            panic!("another event");
        };
        let unresolved = fault.copy(&[1; 3]).unwrap_err();
        assert_eq!(unresolved.stop(), Stop::Invalid);
        // Anonymous memory has no file to continue with.
        let unresolved = unresolved.fault.cont(page_size()).unwrap_err();
        assert_eq!(unresolved.stop(), Stop::Invalid);
        unresolved.fault.copy(&filled(6)).unwrap();
        assert_eq!(faulter.join().unwrap(), 6);
    });
}

/// A block around the fault, some pages of which are there.
#[test]
fn a_block_is_filled_around_the_pages_that_are_there() {
    let uffd = plain();
    let size = page_size();
    // Room for an aligned block of 8 pages.
    let region = pages(&uffd, 16, MISSING);
    let first = (region.range().start().next_multiple_of(8 * size) - region.range().start()) / size;
    let there = page(&region, first + 2);
    uffd.zero_once(there, ZeroFlags::empty()).all().unwrap();
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, first + 5));
        match next(&uffd) {
            Event::Missing(fault) => {
                let block = vec![4; 8 * size];
                assert_eq!(fault.copy_block(&block, size).unwrap().done, 8 * size);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(faulter.join().unwrap(), 4);
    });
    let bytes: Vec<u8> = (0..8).map(|i| peek(&region, first + i)).collect();
    assert_eq!(bytes, [4, 4, 0, 4, 4, 4, 4, 4]);
}

/// UFD-153: who faulted.
#[test]
fn thread_id_says_which_thread_faulted() {
    for features in [Features::THREAD_ID, Features::empty()] {
        let uffd = open(features);
        let region = pages(&uffd, 1, MISSING);
        thread::scope(|scope| {
            let faulter = scope.spawn(|| {
                peek(&region, 0);
                gettid()
            });
            let Event::Missing(fault) = next(&uffd) else {
                panic!("another event");
            };
            let said = fault.thread_id();
            fault.zero(page_size()).unwrap();
            let tid = faulter.join().unwrap();
            assert_eq!(said, (!features.is_empty()).then_some(tid));
        });
    }
}

/// UFD-154: the address, exact or of the page.
#[test]
fn exact_address_keeps_the_offset_in_the_page() {
    let offset = 123;
    for features in [Features::empty(), Features::EXACT_ADDRESS] {
        if !has(features) {
            // Linux 5.18 brought it.
            assert!(!common::kernel_is_at_least(5, 18));
            continue;
        }
        let uffd = open(features);
        let region = pages(&uffd, 2, MISSING);
        thread::scope(|scope| {
            let faulter = scope.spawn(|| {
                let mut byte = [1];
                region.read_at(&mut byte, page_size() + offset);
                byte[0]
            });
            let Event::Missing(fault) = next(&uffd) else {
                panic!("another event");
            };
            let kept = if features.is_empty() { 0 } else { offset };
            assert_eq!(fault.address(), page(&region, 1).start() + kept);
            fault.zero(page_size()).unwrap();
            assert_eq!(faulter.join().unwrap(), 0);
        });
    }
}

/// UFD-150: what the documentation warns of. The last close gives zeros.
#[test]
fn the_last_close_gives_zeros_and_a_duplicate_prevents_it() {
    let uffd = plain();
    let len = page_size();
    let (prot, flags) = (
        barecall::mm::ProtFlags::READ,
        barecall::mm::MapFlags::PRIVATE,
    );
    // SAFETY: a new mapping, only looked at by pointer.
    let start = unsafe {
        let start = barecall::mm::mmap_anonymous(std::ptr::null_mut(), len, prot, flags).unwrap();
        uffd.register(PageRange::of_memory(start, len), MISSING)
            .unwrap();
        start.expose_provenance()
    };
    thread::scope(|scope| {
        // SAFETY: mapped; a volatile read of a byte.
        let faulter = scope.spawn(move || unsafe {
            std::ptr::with_exposed_provenance::<u8>(start).read_volatile()
        });
        until_waiting(&uffd, 1);
        let keeper = uffd.try_clone().unwrap();
        drop(uffd);
        thread::sleep(std::time::Duration::from_millis(20));
        assert!(!faulter.is_finished());
        drop(keeper);
        assert_eq!(faulter.join().unwrap(), 0);
    });
    // SAFETY: our own.
    unsafe { barecall::mm::munmap(std::ptr::with_exposed_provenance_mut(start), len) }.unwrap();
}

/// A region that is dropped first unmaps: nobody reads zeros of it.
#[test]
fn a_region_outlives_the_handlers_descriptor() {
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        until_waiting(&uffd, 1);
        drop(uffd);
        thread::sleep(std::time::Duration::from_millis(20));
        assert!(!faulter.is_finished());
        // Another handler takes over.
        let keeper = region.keeper();
        match next(keeper) {
            Event::Missing(fault) => fault.copy(&filled(7)).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(faulter.join().unwrap(), 7);
    });
}

/// `waiting()`: unread and total.
#[test]
fn fdinfo_counts_the_faults_that_wait() {
    let uffd = plain();
    let region = pages(&uffd, 2, MISSING);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        until_waiting(&uffd, 1);
        assert_eq!(uffd.waiting_from_fdinfo().unwrap().unread, 1);
        let parked = match next(&uffd) {
            Event::Missing(fault) => fault.park(),
            other => panic!("{other:?}"),
        };
        let waiting = uffd.waiting_from_fdinfo().unwrap();
        assert_eq!((waiting.unread, waiting.total), (0, 1));
        if let Event::Missing(fault) = uffd.unpark(parked) {
            fault.copy(&filled(1)).unwrap();
        }
        faulter.join().unwrap();
        assert_eq!(uffd.waiting_from_fdinfo().unwrap().total, 0);
    });
}

/// What userfaultfd-rs's `into_raw_fd` gives: a descriptor that is closed.
#[test]
fn a_userfaultfd_becomes_an_owned_descriptor_that_is_open() {
    let fd = barecall::fd::OwnedFd::from(plain());
    assert!(io::fcntl_getfd(fd.as_fd()).is_ok());
    let number = fd.into_raw_fd();
    // SAFETY: given up the line before.
    let fd = unsafe { barecall::fd::OwnedFd::from_raw_fd(number) };
    assert!(io::fcntl_getfd(fd.as_fd()).is_ok());
}

/// UFD-116, UFD-119 in small: poison is SIGBUS for user mode, which is not
/// tried here, and EFAULT for a system call.
#[test]
fn a_poisoned_page_is_efault_for_a_system_call() {
    let uffd = plain();
    let region = pages(&uffd, 2, MISSING);
    let poisoned = uffd.poison_once(page(&region, 0), PoisonFlags::empty());
    if !has(Features::POISON) {
        assert!(!common::kernel_is_at_least(6, 6));
        assert_eq!(poisoned, stopped(0, Stop::Invalid));
        return;
    }
    assert_eq!(poisoned, done(page_size()));
    assert_eq!(
        uffd.fill_poison(page(&region, 0), PoisonFlags::empty()),
        stopped(0, Stop::Exists)
    );
    let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    // SAFETY: an error, or one byte read.
    let write =
        unsafe { barecall::syscall!(barecall::nr::WRITE, writer.as_fd(), region.as_ptr(), 1) };
    assert_eq!(write, Err(Errno::EFAULT));
}

/// UFD-125, UFD-126, UFD-127: pages that move.
#[test]
fn a_page_moves_and_leaves_a_hole() {
    let uffd = plain();
    let size = page_size();
    let region = pages(&uffd, 2, MISSING);
    let source = pages(&plain(), 4, MISSING);
    let fill = source.keeper();
    fill.copy_once(source.range().start(), &filled(9), CopyFlags::empty())
        .all()
        .unwrap();
    let to = page(&region, 0);
    // SAFETY: the source is ours, and nobody relies on it.
    let mv = |to, index: usize, flags| unsafe {
        uffd.move_once(to, source.as_ptr().wrapping_add(index * size), flags)
    };
    let none = MoveFlags::empty();
    if !has(Features::MOVE) {
        assert!(!common::kernel_is_at_least(6, 8));
        assert_eq!(mv(to, 0, none), stopped(0, Stop::Invalid));
        return;
    }
    assert_eq!(mv(to, 0, none), done(size));
    assert_eq!(peek(&region, 0), 9);
    // The hole.
    assert_eq!(mv(page(&region, 1), 0, none), stopped(0, Stop::Unmapped));
    assert_eq!(
        mv(page(&region, 1), 0, MoveFlags::ALLOW_SRC_HOLES),
        done(size)
    );
    // The target exists.
    fill.copy_once(source.range().start(), &filled(9), CopyFlags::empty())
        .all()
        .unwrap();
    assert_eq!(mv(to, 0, none), stopped(0, Stop::Exists));
    // Bad arguments.
    let unknown = MoveFlags::from_bits_retain(1 << 4);
    assert_eq!(mv(to, 0, unknown), stopped(0, Stop::Invalid));
    assert_eq!(
        mv(PageRange::new(to.start(), 0), 0, none),
        stopped(0, Stop::Invalid)
    );
    assert_eq!(
        mv(PageRange::new(to.start() + 1, size), 0, none),
        stopped(0, Stop::Invalid)
    );

    // And for a fault.
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 1));
        match next(&uffd) {
            // SAFETY: as above.
            Event::Missing(fault) => unsafe {
                fault.move_from(source.as_ptr(), size).unwrap();
            },
            other => panic!("{other:?}"),
        }
        assert_eq!(faulter.join().unwrap(), 9);
    });
}
