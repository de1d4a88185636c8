//! userfaultfd: write-protection, minor faults, protection against reading and
//! writing, SIGBUS.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::fd::OwnedFd;
use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan, ScanFlags};
use barecall::userfaultfd::{
    ContinueFlags, CopyFlags, Event, Features, Filled, Ioctls, MappedRegion, RegisterModes, Stop,
    UnprotectFlags, Userfaultfd, ZeroFlags,
};
use barecall::{Errno, io, nr, syscall};
use common::kernel_is_at_least;
use std::thread;
use uffd::*;

const MISSING: RegisterModes = RegisterModes::MISSING;
const WP: RegisterModes = RegisterModes::WP;
const MINOR: RegisterModes = RegisterModes::MINOR;
const RWP: RegisterModes = RegisterModes::RWP;
const AWAKE: UnprotectFlags = UnprotectFlags::empty();

fn done(bytes: usize) -> Filled {
    Filled {
        done: bytes,
        stop: None,
    }
}

fn stopped(stop: Stop) -> Filled {
    Filled {
        done: 0,
        stop: Some(stop),
    }
}

/// Without write-protection (aarch64 before 6.10), registering is refused.
fn no_wp(uffd: &Userfaultfd) -> bool {
    if has(Features::PAGEFAULT_FLAG_WP) {
        return false;
    }
    assert!(cfg!(target_arch = "aarch64") && !kernel_is_at_least(6, 10));
    let refused = MappedRegion::anonymous(uffd, page_size(), WP);
    assert_eq!(refused.unwrap_err(), Errno::EINVAL);
    true
}

/// A file in memory of so many pages, shared and registered, and a descriptor
/// of it to write behind the mapping's back.
fn shared(
    uffd: &Userfaultfd,
    count: usize,
    modes: RegisterModes,
) -> (OwnedFd, Result<MappedRegion, Errno>) {
    // SAFETY: a new descriptor, ours.
    let fd = unsafe {
        let fd = syscall!(nr::MEMFD_CREATE, c"uffd", 1).unwrap();
        OwnedFd::from_raw_fd(fd as i32)
    };
    let len = count * page_size();
    // SAFETY: numbers only.
    unsafe { syscall!(nr::FTRUNCATE, barecall::fd::AsFd::as_fd(&fd), len) }.unwrap();
    let region = MappedRegion::shared(uffd, &fd, 0, len, modes);
    (fd, region)
}

/// UFD-080: a write waits until the protection is lifted, and is not seen
/// before.
#[test]
fn a_write_to_a_protected_page_waits() {
    let uffd = plain();
    if no_wp(&uffd) {
        return;
    }
    let region = pages(&uffd, 2, WP);
    poke(&region, 0, 1);
    assert_eq!(uffd.write_protect(page(&region, 0)), Ok(()));
    // UFD-084: twice is no error.
    assert_eq!(uffd.write_protect(page(&region, 0)), Ok(()));
    thread::scope(|scope| {
        let writer = scope.spawn(|| poke(&region, 0, 2));
        match next(&uffd) {
            Event::WriteProtect(fault) => {
                assert_eq!(fault.flags().bits(), 3);
                assert_eq!(fault.address(), region.range().start());
                // UFD-081: reading is no fault.
                assert_eq!(peek(&region, 0), 1);
                assert!(!writer.is_finished());
                fault.unprotect(page_size()).unwrap();
            }
            other => panic!("{other:?}"),
        }
        writer.join().unwrap();
    });
    assert_eq!(peek(&region, 0), 2);
    assert_eq!(uffd.write_unprotect(page(&region, 0), AWAKE), Ok(()));
    quiet(&uffd);
}

/// UFD-086; and UNREGISTER alone wakes only who waits for a missing page.
#[test]
fn unregistering_lifts_the_protection_and_wakes_the_writer() {
    let uffd = plain();
    if no_wp(&uffd) {
        return;
    }
    let region = pages(&uffd, 1, WP);
    poke(&region, 0, 1);
    uffd.write_protect(region.range()).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| poke(&region, 0, 2));
        until_waiting(&uffd, 1);
        uffd.unregister(region.range()).unwrap();
        writer.join().unwrap();
    });
    assert_eq!(peek(&region, 0), 2);
}

/// UFD-087; and the errors of protecting.
#[test]
fn protecting_says_what_is_wrong() {
    let uffd = plain();
    if no_wp(&uffd) {
        return;
    }
    let region = pages(&uffd, 2, WP);
    poke(&region, 0, 1);
    let copy = uffd.copy_once(region.range().start(), &filled(2), CopyFlags::empty());
    assert_eq!(copy, stopped(Stop::Exists));
    let misaligned = barecall::userfaultfd::PageRange::new(region.range().start() + 1, page_size());
    assert_eq!(uffd.write_protect(misaligned), Err(Errno::EINVAL));
    let gone = region.range();
    drop(region);
    assert_eq!(uffd.write_protect(gone), Err(Errno::ENOENT));
    // Registered, but not for that; COPY_WP neither.
    let missing = pages(&uffd, 1, MISSING);
    assert_eq!(uffd.write_protect(missing.range()), Err(Errno::ENOENT));
    let copy = uffd.copy_once(missing.range().start(), &filled(2), CopyFlags::WP);
    assert_eq!(copy, stopped(Stop::Invalid));
}

/// A page that comes write-protected: no write gets lost in between.
#[test]
fn a_page_can_come_protected() {
    let uffd = plain();
    if no_wp(&uffd) {
        return;
    }
    let region = pages(&uffd, 1, MISSING | WP);
    thread::scope(|scope| {
        let writer = scope.spawn(|| poke(&region, 0, 2));
        match next(&uffd) {
            Event::Missing(fault) => fault.copy_protected(&filled(1)).unwrap(),
            other => panic!("{other:?}"),
        };
        match next(&uffd) {
            Event::WriteProtect(fault) => {
                assert_eq!(peek(&region, 0), 1);
                fault.unprotect(page_size()).unwrap();
            }
            other => panic!("{other:?}"),
        }
        writer.join().unwrap();
    });
    assert_eq!(peek(&region, 0), 2);
}

/// Without WP_UNPOPULATED, protecting a page that is not there does nothing,
/// and says nothing: what the documentation warns of.
#[test]
fn an_unpopulated_page_is_protected_only_with_the_feature() {
    let uffd = plain();
    if no_wp(&uffd) {
        return;
    }
    let region = pages(&uffd, 1, WP);
    assert_eq!(uffd.write_protect(region.range()), Ok(()));
    poke(&region, 0, 1);
    quiet(&uffd);

    if !has(Features::WP_UNPOPULATED) {
        assert!(!kernel_is_at_least(6, 4));
        return;
    }
    let uffd = open(Features::WP_UNPOPULATED);
    let region = pages(&uffd, 1, WP);
    assert_eq!(uffd.write_protect(region.range()), Ok(()));
    thread::scope(|scope| {
        scope.spawn(|| poke(&region, 0, 1));
        match next(&uffd) {
            Event::WriteProtect(fault) => fault.unprotect(page_size()).unwrap(),
            other => panic!("{other:?}"),
        }
    });
}

/// UFD-092: asynchronous: no message.
#[test]
fn asynchronous_write_protection_sends_no_message() {
    if !has(Features::WP_ASYNC) {
        assert!(!kernel_is_at_least(6, 7) || cfg!(target_arch = "aarch64"));
        return;
    }
    let uffd = open(Features::WP_ASYNC);
    let region = pages(&uffd, 4, WP);
    uffd.write_protect(region.range()).unwrap();
    poke(&region, 1, 1);
    quiet(&uffd);
    let scan = Scan::new(region.range()).all_of(Categories::WRITTEN);
    let mut room = [PageRegion::EMPTY; 4];
    let found: Vec<_> = Pagemap::open_self()
        .unwrap()
        .scan(scan, &mut room)
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].unwrap().range(), page(&region, 1));
}

/// UFD-034: which modes which memory takes, and what is answered.
#[test]
fn modes_and_memory_go_together_as_the_kernel_says() {
    let uffd = plain();
    let anonymous = |modes| MappedRegion::anonymous(&uffd, page_size(), modes).map(|r| r.ioctls());
    let shmem = |modes| shared(&uffd, 1, modes).1.map(|r| r.ioctls());
    assert_eq!(anonymous(RegisterModes::empty()), Err(Errno::EINVAL));
    assert_eq!(shmem(RegisterModes::empty()), Err(Errno::EINVAL));
    // Anonymous memory has no minor faults.
    assert_eq!(anonymous(MINOR), Err(Errno::EINVAL));
    assert_eq!(anonymous(MINOR | MISSING), Err(Errno::EINVAL));

    let poison = if has(Features::POISON) {
        Ioctls::POISON
    } else {
        Ioctls::empty()
    };
    let mv = if has(Features::MOVE) {
        Ioctls::MOVE
    } else {
        Ioctls::empty()
    };
    let basic = Ioctls::WAKE | Ioctls::COPY | Ioctls::ZEROPAGE | poison | mv;
    assert_eq!(anonymous(MISSING), Ok(basic));
    assert_eq!(shmem(MISSING), Ok(basic));
    if has(Features::PAGEFAULT_FLAG_WP) {
        assert_eq!(anonymous(WP), Ok(basic | Ioctls::WRITEPROTECT));
        assert_eq!(anonymous(WP | MISSING), Ok(basic | Ioctls::WRITEPROTECT));
        if has(Features::WP_HUGETLBFS_SHMEM) {
            assert_eq!(shmem(WP | MISSING), Ok(basic | Ioctls::WRITEPROTECT));
        } else {
            assert_eq!(shmem(WP | MISSING), Err(Errno::EINVAL));
        }
    } else {
        assert_eq!(anonymous(WP), Err(Errno::EINVAL));
        assert_eq!(shmem(WP | MISSING), Err(Errno::EINVAL));
    }
    if has(Features::MINOR_SHMEM) {
        assert_eq!(shmem(MINOR), Ok(basic | Ioctls::CONTINUE));
        assert_eq!(shmem(MINOR | MISSING), Ok(basic | Ioctls::CONTINUE));
    } else {
        assert!(!kernel_is_at_least(5, 14));
        assert_eq!(shmem(MINOR), Err(Errno::EINVAL));
    }
    if has(Features::RWP) {
        // Only where the feature was asked for.
        assert_eq!(anonymous(RWP | MISSING), Err(Errno::EINVAL));
        let uffd = open(Features::RWP);
        let region = pages(&uffd, 1, RWP | MISSING);
        assert_eq!(region.ioctls(), basic | Ioctls::RWPROTECT);
        assert_eq!(anonymous(RWP | WP), Err(Errno::EINVAL));
    } else {
        assert!(!kernel_is_at_least(7, 3));
        assert_eq!(anonymous(RWP), Err(Errno::EINVAL));
    }
}

/// UFD-100, UFD-102, UFD-107, UFD-110: a page that the file has.
#[test]
fn a_minor_fault_continues_with_what_the_file_has() {
    let uffd = plain();
    if !has(Features::MINOR_SHMEM) {
        assert!(!kernel_is_at_least(5, 14));
        return;
    }
    let (file, region) = shared(&uffd, 4, MINOR);
    let region = region.unwrap();
    io::pwrite(&file, &filled(1), 0).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| peek(&region, 0));
        match next(&uffd) {
            Event::Minor(fault) => {
                assert_eq!(fault.flags().bits(), 4);
                // Later content is seen: it is the file's page.
                io::pwrite(&file, &filled(2), 0).unwrap();
                assert_eq!(fault.cont(page_size()).unwrap().stop, None);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.join().unwrap(), 2);
    });
    let none = ContinueFlags::empty();
    assert_eq!(
        uffd.continue_once(page(&region, 0), none),
        stopped(Stop::Exists)
    );
    // The file has no such page.
    assert_eq!(
        uffd.continue_once(page(&region, 1), none),
        stopped(Stop::Source)
    );
    // A hole of it can be filled.
    let hole = page(&region, 1).start();
    let filled3 = uffd.copy_once(hole, &filled(3), CopyFlags::empty());
    assert_eq!(filled3, done(page_size()));
    assert_eq!(peek(&region, 1), 3);
    io::pwrite(&file, &filled(4).repeat(2), 2 * page_size() as u64).unwrap();
    quiet(&uffd);
}

/// UFD-108: continued, and write-protected from the first moment.
#[test]
fn a_page_can_be_continued_protected() {
    if !has(Features::MINOR_SHMEM | Features::WP_UNPOPULATED) {
        // CONTINUE_MODE_WP came with Linux 6.4.
        assert!(!kernel_is_at_least(6, 4) || cfg!(target_arch = "aarch64"));
        return;
    }
    let uffd = plain();
    let (file, region) = shared(&uffd, 1, MINOR | WP);
    let region = region.unwrap();
    io::pwrite(&file, &filled(1), 0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| poke(&region, 0, 2));
        match next(&uffd) {
            Event::Minor(fault) => fault.cont_protected(page_size()).unwrap(),
            other => panic!("{other:?}"),
        };
        match next(&uffd) {
            Event::WriteProtect(fault) => fault.unprotect(page_size()).unwrap(),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(peek(&region, 0), 2);
}

/// RWP (7.3): any touch of a page that is there.
#[test]
fn a_touch_of_a_page_that_is_rw_protected_waits() {
    let uffd = plain();
    if !has(Features::RWP) {
        assert!(!kernel_is_at_least(7, 3));
        let region = pages(&uffd, 1, MISSING);
        let refused = if kernel_is_at_least(7, 3) {
            Errno::ENOENT
        } else {
            Errno::EINVAL
        };
        assert_eq!(uffd.rw_protect(region.range()), Err(refused));
        let set = uffd.set_mode(Features::RWP_ASYNC, Features::empty());
        assert_eq!(set, Err(Errno::EINVAL));
        return;
    }
    let uffd = open(Features::RWP);
    let region = pages(&uffd, 2, RWP);
    poke(&region, 0, 1);
    assert_eq!(uffd.rw_protect(region.range()), Ok(()));
    thread::scope(|scope| {
        let reader = scope.spawn(|| peek(&region, 0));
        match next(&uffd) {
            Event::Rwp(fault) => {
                assert_eq!(fault.flags().bits(), 8);
                fault.unprotect(page_size()).unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.join().unwrap(), 1);
    });
    // What was not there is not protected.
    poke(&region, 1, 1);
    quiet(&uffd);
}

/// RWP_ASYNC and SET_MODE (7.3): who waits is released, and what is touched is
/// told by the scan.
#[test]
fn rwp_async_is_turned_on_at_run_time() {
    if !has(Features::RWP_ASYNC) {
        assert!(!kernel_is_at_least(7, 3));
        return;
    }
    let uffd = open(Features::RWP | Features::RWP_ASYNC);
    let none = Features::empty();
    let asynchronous = Features::RWP_ASYNC;
    assert_eq!(
        uffd.set_mode(asynchronous, asynchronous),
        Err(Errno::EINVAL)
    );
    assert_eq!(uffd.set_mode(Features::WP_ASYNC, none), Err(Errno::EINVAL));
    assert_eq!(uffd.set_mode(none, asynchronous), Ok(()));

    let region = pages(&uffd, 4, RWP);
    for i in 0..4 {
        poke(&region, i, 1);
    }
    uffd.rw_protect(region.range()).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| peek(&region, 0));
        until_waiting(&uffd, 1);
        assert_eq!(uffd.set_mode(asynchronous, none), Ok(()));
        reader.join().unwrap();
    });
    peek(&region, 2);
    let scan = Scan::new(region.range()).all_of(Categories::ACCESSED);
    let mut room = [PageRegion::EMPTY; 4];
    let pagemap = Pagemap::open_self().unwrap();
    let found: Vec<_> = pagemap
        .scan(scan, &mut room)
        .map(|r| r.unwrap().range())
        .collect();
    assert_eq!(found, [page(&region, 0), page(&region, 2)]);
}

/// UFD-140: SIGBUS instead of messages; for a system call, EFAULT.
#[test]
fn with_sigbus_a_system_call_gets_efault_and_no_message_comes() {
    let uffd = open(Features::SIGBUS);
    let region = pages(&uffd, 1, MISSING);
    let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let write = || {
        // SAFETY: an error, or one byte read.
        unsafe {
            syscall!(
                nr::WRITE,
                barecall::fd::AsFd::as_fd(&writer),
                region.as_ptr(),
                1
            )
        }
    };
    assert_eq!(write(), Err(Errno::EFAULT));
    quiet(&uffd);
    assert_eq!(
        uffd.zero_once(region.range(), ZeroFlags::empty()),
        done(page_size())
    );
    assert_eq!(write(), Ok(1));
}

/// UFD-042: what is not writable can be registered, if it could be made so.
#[test]
fn memory_that_is_not_readable_can_be_registered() {
    use barecall::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    let uffd = plain();
    let len = page_size();
    // SAFETY: a new mapping, not touched.
    unsafe {
        let memory = mmap_anonymous(
            std::ptr::null_mut(),
            len,
            ProtFlags::empty(),
            MapFlags::PRIVATE,
        )
        .unwrap();
        let range = barecall::userfaultfd::PageRange::of_memory(memory, len);
        assert!(uffd.register(range, MISSING).is_ok());
        munmap(memory, len).unwrap();
    }
}

/// UFD-045, UFD-062: huge pages, where the system has some.
#[test]
fn a_huge_page_is_filled_whole() {
    const HUGE: usize = 2 << 20;
    let uffd = plain();
    let wanted = "/proc/sys/vm/nr_hugepages";
    let before = std::fs::read_to_string(wanted).expect("hugetlbfs");
    std::fs::write(wanted, "2").unwrap();
    struct Restore(String);
    impl Drop for Restore {
        fn drop(&mut self) {
            std::fs::write("/proc/sys/vm/nr_hugepages", &self.0).unwrap();
        }
    }
    let _restore = Restore(before.trim().to_owned());
    if std::fs::read_to_string(wanted).unwrap().trim() != "2" {
        skip!("the system has no two huge pages");
    }
    let region = match MappedRegion::anonymous_huge(&uffd, HUGE, 21, MISSING) {
        Ok(region) => region,
        Err(error) => skip!("no huge pages of 2 MiB: {error}"),
    };
    let start = region.range().start();
    let none = CopyFlags::empty();
    assert_eq!(
        uffd.copy_once(start, &filled(1), none),
        stopped(Stop::Invalid)
    );
    assert_eq!(
        uffd.zero_once(region.range(), ZeroFlags::empty()),
        stopped(Stop::Invalid)
    );
    // SAFETY: an error.
    let register = unsafe { uffd.register(page(&region, 1), MISSING) };
    assert_eq!(register, Err(Errno::EINVAL));
    thread::scope(|scope| {
        let reader = scope.spawn(|| peek(&region, 3));
        match next(&uffd) {
            Event::Missing(fault) => {
                // The address is the huge page's, and waking finds it.
                drop(fault);
                match next(&uffd) {
                    Event::Missing(fault) => fault.copy(&vec![5; HUGE]).unwrap(),
                    other => panic!("{other:?}"),
                };
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.join().unwrap(), 5);
    });
    let _ = ScanFlags::empty();
}
