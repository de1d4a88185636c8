//! userfaultfd: fork, remap, remove, unmap, and what they do to fills.
//!
//! A fork is told to every userfaultfd that asked, so the tests take turns.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::fd::AsFd;
use barecall::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap_to, munmap};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::userfaultfd::{
    CopyFlags, Event, EventBuffer, Features, Filled, MappedRegion, PageRange, RegisterModes, Stop,
    Userfaultfd, ZeroFlags,
};
use barecall::{Errno, fs, io};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use uffd::*;

const CAP_SYS_PTRACE: u32 = 19;
const MISSING: RegisterModes = RegisterModes::MISSING;

fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child that touches the first byte of the region and exits with it.
fn child_that_reads(region: &MappedRegion) -> u8 {
    let at = region.as_ptr();
    // SAFETY: the child only touches memory and exits.
    match unsafe { fork() }.unwrap() {
        // SAFETY: mapped in the child as well.
        None => exit_group(unsafe { at.read_volatile() }.into()),
        Some(child) => {
            let waited = wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap();
            match waited {
                Some((_, WaitStatus::Exited(status))) => status,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// UFD-145, UFD-146: a child's faults come to a descriptor of their own.
#[test]
fn a_fork_brings_a_descriptor_that_serves_the_child() {
    if !common::has_capability(CAP_SYS_PTRACE) {
        skip!("EVENT_FORK needs CAP_SYS_PTRACE");
    }
    let _turn = my_turn();
    let uffd = open(Features::EVENT_FORK | Features::THREAD_ID);
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let parent = scope.spawn(|| child_that_reads(&region));
        let child = match next(&uffd) {
            Event::Fork(child) => child.into_userfaultfd(),
            other => panic!("{other:?}"),
        };
        assert_eq!(child.features(), uffd.features());
        assert_eq!(io::fcntl_getfd(&child).unwrap(), io::FdFlags::CLOEXEC);
        assert_eq!(fs::fcntl_getfl(&child).unwrap().bits(), 0o4000);
        match next(&child) {
            Event::Missing(fault) => {
                assert_eq!(fault.address(), region.range().start());
                fault.copy(&filled(42)).unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(parent.join().unwrap(), 42);
        // The child's memory is gone: ESRCH for filling.
        let gone = child.copy_once(region.range().start(), &filled(1), CopyFlags::empty());
        assert_eq!(
            gone,
            Filled {
                done: 0,
                stop: Some(Stop::Gone)
            }
        );
        // SAFETY: an error.
        let register = unsafe { child.register(region.range(), MISSING) };
        assert_eq!(register, Err(Errno::ENOMEM));
        // And a child's descriptor does not register the parent's memory.
        let own = MappedRegion::anonymous(&child, page_size(), MISSING);
        assert_eq!(own.unwrap_err(), Errno::EINVAL);
    });
}

/// Without EVENT_FORK, the child's memory is not registered: it reads zeros.
#[test]
fn without_the_event_a_child_reads_zeros() {
    let _turn = my_turn();
    let uffd = plain();
    let region = pages(&uffd, 1, MISSING);
    assert_eq!(child_that_reads(&region), 0);
}

/// A fork event that is dropped, alone or with its batch, does not close the
/// child's descriptor: the child waits, and reads no zeros. (userfaultfd-rs's
/// iterator leaks the faults beside it.)
#[test]
fn a_dropped_fork_is_a_stall_and_never_zeros() {
    if !common::has_capability(CAP_SYS_PTRACE) {
        skip!("EVENT_FORK needs CAP_SYS_PTRACE");
    }
    let _turn = my_turn();
    for drop_the_batch in [false, true] {
        let uffd = open(Features::EVENT_FORK);
        let region = pages(&uffd, 1, MISSING);
        thread::scope(|scope| {
            let parent = scope.spawn(|| child_that_reads(&region));
            let leaked = if drop_the_batch {
                let mut buffer = EventBuffer::<4>::new();
                let open_before = descriptors();
                until("the fork", || match uffd.read(&mut buffer) {
                    Ok(events) => {
                        assert_eq!(events.len(), 1);
                        true
                    }
                    Err(errno) => {
                        assert_eq!(errno, Errno::EAGAIN);
                        false
                    }
                });
                let new: Vec<_> = descriptors()
                    .into_iter()
                    .filter(|fd| !open_before.contains(fd))
                    .collect();
                assert_eq!(new.len(), 1);
                new[0]
            } else {
                match next(&uffd) {
                    Event::Fork(child) => child.as_fd().as_raw_fd(),
                    other => panic!("{other:?}"),
                }
            };
            thread::sleep(std::time::Duration::from_millis(20));
            assert!(!parent.is_finished());
            // SAFETY: leaked, so nobody's.
            let child = unsafe { barecall::fd::OwnedFd::from_raw_fd(leaked) };
            let child = Userfaultfd::adopt_from_fdinfo(child).unwrap();
            match next(&child) {
                Event::Missing(fault) => fault.copy(&filled(9)).unwrap(),
                other => panic!("{other:?}"),
            };
            assert_eq!(parent.join().unwrap(), 9);
        });
    }
}

/// The userfaultfds that this process has open.
fn descriptors() -> Vec<i32> {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let link = std::fs::read_link(&path).ok()?;
            (link.to_str()? == "anon_inode:[userfaultfd]")
                .then(|| path.file_name().unwrap().to_str().unwrap().parse().unwrap())
        })
        .collect()
}

/// A sink for the descriptors of a batch that is let go.
#[test]
fn an_abandoned_batch_hands_its_forks_over() {
    if !common::has_capability(CAP_SYS_PTRACE) {
        skip!("EVENT_FORK needs CAP_SYS_PTRACE");
    }
    let _turn = my_turn();
    let uffd = open(Features::EVENT_FORK);
    let region = pages(&uffd, 1, MISSING);
    thread::scope(|scope| {
        let parent = scope.spawn(|| child_that_reads(&region));
        let mut children = Vec::new();
        let mut buffer = EventBuffer::<4>::new();
        until("the fork", || {
            if let Ok(events) = uffd.read(&mut buffer) {
                events.abandon(|child| children.push(child));
            }
            !children.is_empty()
        });
        match next(&children[0]) {
            Event::Missing(fault) => fault.copy(&filled(3)).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(parent.join().unwrap(), 3);
    });
}

/// UFD-142: discarding is told, who discards waits until it is read, and a fill
/// meanwhile says `Changing`, counts nothing, and looks the same for both of
/// the kernel's encodings.
#[test]
fn a_remove_is_told_and_fills_wait_for_it() {
    let _turn = my_turn();
    let uffd = open(Features::EVENT_REMOVE);
    let region = pages(&uffd, 2, MISSING);
    let start = region.range().start();
    let copy = || uffd.copy_once(start, &filled(1), CopyFlags::empty());
    assert_eq!(copy().all(), Ok(page_size()));
    thread::scope(|scope| {
        let discarder = scope.spawn(|| region.discard(0, page_size()).unwrap());
        // The thread has begun when a fill says so.
        let changing = Filled {
            done: 0,
            stop: Some(Stop::Changing),
        };
        until("the change", || {
            uffd.zero_once(page(&region, 1), ZeroFlags::empty()) == changing
        });
        assert_eq!(copy(), changing);
        assert!(!discarder.is_finished());
        // Waking works meanwhile.
        assert_eq!(uffd.wake(region.range()), Ok(()));
        match next(&uffd) {
            Event::Remove(range) => assert_eq!(range, page(&region, 0)),
            other => panic!("{other:?}"),
        }
        discarder.join().unwrap();
    });
    assert_eq!(copy().all(), Ok(page_size()));
}

/// UFD-143: unmapping.
#[test]
fn an_unmap_is_told_and_waits() {
    let _turn = my_turn();
    let uffd = open(Features::EVENT_UNMAP);
    let region = pages(&uffd, 2, MISSING);
    let range = region.range();
    thread::scope(|scope| {
        let unmapper = scope.spawn(move || drop(region));
        match next(&uffd) {
            Event::Unmap(unmapped) => assert_eq!(unmapped, range),
            other => panic!("{other:?}"),
        }
        unmapper.join().unwrap();
    });
}

/// UFD-156 in small: moving.
#[test]
fn a_remap_is_told_with_both_addresses() {
    let _turn = my_turn();
    let uffd = open(Features::EVENT_REMAP);
    let size = page_size();
    // SAFETY: new mappings, that nobody else knows of.
    let (old, target) = unsafe {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let map = || mmap_anonymous(std::ptr::null_mut(), size, prot, MapFlags::PRIVATE).unwrap();
        (map() as usize, map() as usize)
    };
    let old_range = PageRange::new(old, size);
    // SAFETY: as above.
    unsafe { uffd.register(old_range, MISSING) }.unwrap();
    thread::scope(|scope| {
        let mover = scope.spawn(move || {
            let ptr = std::ptr::with_exposed_provenance_mut(old);
            let to = std::ptr::with_exposed_provenance_mut(target);
            let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
            // SAFETY: as above.
            unsafe { mremap_to(ptr, size, size, flags, to) }.unwrap() as usize
        });
        let remap = match next(&uffd) {
            Event::Remap(remap) => remap,
            other => panic!("{other:?}"),
        };
        let new = mover.join().unwrap();
        assert_eq!((remap.from, remap.to, remap.len), (old, new, size));
        // It is registered where it is now.
        let copy = uffd.copy_once(remap.to, &filled(5), CopyFlags::empty());
        assert_eq!(copy.all(), Ok(size));
    });
    // SAFETY: as above.
    unsafe { munmap(std::ptr::with_exposed_provenance_mut(target), size) }.unwrap();
}
