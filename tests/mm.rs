//! Mapping memory.

mod common;

use barecall::fd::OwnedFd;
use barecall::mm::{self, Advice, Hint, MapFlags, MlockFlags, MremapFlags, MsyncFlags, ProtFlags};
use barecall::{Errno, io, nr, syscall};
use common::kernel_is_at_least;
use core::ffi::c_void;
use core::ptr::null_mut;
use std::panic::{AssertUnwindSafe, catch_unwind};

const RW: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// A multiple of every page size there is, in anonymous memory of its own.
struct Pages(*mut c_void);
const LEN: usize = 256 << 10;

impl Pages {
    fn new(prot: ProtFlags) -> Self {
        // SAFETY: a new mapping.
        Self(unsafe { mm::mmap_anonymous(null_mut(), LEN, prot, MapFlags::PRIVATE) }.unwrap())
    }

    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < LEN);
        self.0.cast::<u8>().wrapping_add(offset)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        unsafe { mm::munmap(self.0, LEN) }.unwrap();
    }
}

/// A memfd as every kernel has it.
fn memfd() -> OwnedFd {
    // SAFETY: a string; a new descriptor, ours.
    unsafe {
        let fd = syscall!(nr::MEMFD_CREATE, c"mm", 1 /* MFD_CLOEXEC */).unwrap();
        OwnedFd::from_raw_fd(fd as i32)
    }
}

/// ABI-003
#[test]
fn mmap_refuses_what_makes_no_sense() {
    let file = memfd();
    // SAFETY: all of these fail.
    unsafe {
        let map = |len, flags, offset| mm::mmap(null_mut(), len, RW, flags, &file, offset);
        assert_eq!(map(0, MapFlags::SHARED, 0), Err(Errno::EINVAL));
        assert_eq!(map(4096, MapFlags::SHARED, 1), Err(Errno::EINVAL));
        assert_eq!(map(4096, MapFlags::empty(), 0), Err(Errno::EINVAL));
        let unknown = MapFlags::from_bits_retain(1 << 23);
        let flags = MapFlags::SHARED_VALIDATE | unknown;
        assert_eq!(map(4096, flags, 0), Err(Errno::EOPNOTSUPP));
    }
}

/// ABI-003
#[test]
fn fixed_noreplace_replaces_nothing() {
    let pages = Pages::new(RW);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE;
    // SAFETY: the flag is why this is harmless, and 4.17 has it.
    let again = unsafe { mm::mmap_anonymous(pages.0, LEN, RW, flags) };
    assert_eq!(again, Err(Errno::EEXIST));
}

#[test]
fn a_shared_mapping_sees_what_is_written_through_the_descriptor() {
    let file = memfd();
    io::write(&file, b"A").unwrap();
    // SAFETY: a new mapping; volatile, because the file is written elsewhere.
    unsafe {
        let map = mm::mmap(null_mut(), 1, RW, MapFlags::SHARED, &file, 0).unwrap();
        let byte = map.cast::<u8>();
        assert_eq!(byte.read(), b'A');
        io::pwrite(&file, b"Z", 0).unwrap();
        // Not volatile: the call may have changed it, and rustc must know.
        assert_eq!(byte.read(), b'Z');
        byte.write(b'Q');
        mm::msync(map, 1, MsyncFlags::SYNC).unwrap();
        let mut back = [0];
        io::pread(&file, &mut back, 0).unwrap();
        assert_eq!(back, *b"Q");
        let both = MsyncFlags::SYNC | MsyncFlags::ASYNC;
        assert_eq!(mm::msync(map, 1, both), Err(Errno::EINVAL));
        mm::munmap(map, 1).unwrap();
    }
}

/// Runs `test` in a child of its own: here, another test's memory may be put
/// where this one has unmapped some.
fn alone(test: impl FnOnce()) {
    // SAFETY: the child runs the test and exits.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
            libc::_exit(i32::from(!passed));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0, "it failed in the child");
    }
}

/// ABI-013
#[test]
fn ranges_that_are_not_there_are_errors() {
    let pages = Pages::new(RW);
    // SAFETY: both fail.
    unsafe {
        let odd = pages.at(1).cast();
        assert_eq!(mm::munmap(odd, LEN), Err(Errno::EINVAL));
        assert_eq!(mm::munmap(pages.0, 0), Err(Errno::EINVAL));
    }
    // SAFETY: nothing refers to the memory.
    alone(|| unsafe {
        let hole = mm::mmap_anonymous(null_mut(), LEN, RW, MapFlags::PRIVATE).unwrap();
        mm::munmap(hole, LEN).unwrap();
        assert_eq!(mm::munmap(hole, LEN), Ok(()));
        assert_eq!(mm::mprotect(hole, LEN, RW), Err(Errno::ENOMEM));
        assert_eq!(mm::msync(hole, LEN, MsyncFlags::SYNC), Err(Errno::ENOMEM));
        let flags = MremapFlags::MAYMOVE;
        assert_eq!(mm::mremap(hole, LEN, 2 * LEN, flags), Err(Errno::EFAULT));
        assert_eq!(mm::madvise(hole, LEN, Advice::DONTNEED), Err(Errno::ENOMEM));
        let no_locks = MlockFlags::empty();
        assert_eq!(mm::mlock2(hole, LEN, no_locks), Err(Errno::ENOMEM));
        let mut vec = [0; LEN / 4096];
        assert_eq!(mm::mincore(hole, LEN, vec.as_mut_ptr()), Err(Errno::ENOMEM));
    });
    let unknown = MlockFlags::from_bits_retain(2);
    assert_eq!(mm::mlock2(pages.0, LEN, unknown), Err(Errno::EINVAL));
}

/// ABI-014
#[test]
fn mremap_dontunmap_leaves_an_empty_mapping() {
    let pages = Pages::new(RW);
    let flags = MremapFlags::MAYMOVE | MremapFlags::DONTUNMAP;
    // SAFETY: nothing refers to the memory.
    unsafe {
        pages.at(0).write(7);
        let moved = mm::mremap(pages.0, LEN, LEN, flags).unwrap();
        assert_eq!(moved.cast::<u8>().read(), 7);
        assert_eq!(pages.at(0).read(), 0);
        mm::munmap(moved, LEN).unwrap();
        // Lengths that differ, and without MAYMOVE.
        assert_eq!(mm::mremap(pages.0, LEN, LEN / 2, flags), Err(Errno::EINVAL));
        let alone = MremapFlags::DONTUNMAP;
        assert_eq!(mm::mremap(pages.0, LEN, LEN, alone), Err(Errno::EINVAL));
    }
}

#[test]
fn mremap_to_moves_and_refuses_to_overlap() {
    let (from, to) = (Pages::new(RW), Pages::new(ProtFlags::NONE));
    let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
    // SAFETY: nothing refers to the memory.
    unsafe {
        from.at(LEN / 2).write(9);
        let inside = from.at(LEN / 4).cast();
        assert_eq!(
            mm::mremap_to(from.0, LEN, LEN, flags, inside),
            Err(Errno::EINVAL)
        );
        assert_eq!(mm::mremap_to(from.0, LEN, LEN, flags, to.0), Ok(to.0));
        assert_eq!(to.at(LEN / 2).read(), 9);
    }
}

/// ABI-014
#[test]
fn populate_tells_holes_from_protection() {
    let pages = Pages::new(ProtFlags::READ);
    let populate = |hint| mm::madvise_hint(pages.0, LEN, hint);
    if !kernel_is_at_least(5, 14) {
        assert_eq!(populate(Hint::POPULATE_READ), Err(Errno::EINVAL));
        assert_eq!(populate(Hint::POPULATE_WRITE), Err(Errno::EINVAL));
        return;
    }
    assert_eq!(populate(Hint::POPULATE_READ), Ok(()));
    // Not EFAULT, as one might read the manual page: that is for a SIGBUS.
    assert_eq!(populate(Hint::POPULATE_WRITE), Err(Errno::EINVAL));
    alone(|| {
        // SAFETY: nothing refers to the memory.
        unsafe { mm::munmap(pages.at(LEN / 2).cast(), LEN / 2) }.unwrap();
        assert_eq!(populate(Hint::POPULATE_READ), Err(Errno::ENOMEM));
    });
}

#[test]
fn dontneed_discards_and_hints_do_not() {
    let pages = Pages::new(RW);
    // SAFETY: nothing refers to the memory.
    unsafe {
        pages.at(0).write(7);
        mm::madvise_hint(pages.0, LEN, Hint::COLD).unwrap();
        mm::madvise_hint(pages.0, LEN, Hint::DONTDUMP).unwrap();
        mm::madvise_hint(pages.0, LEN, Hint::DODUMP).unwrap();
        assert_eq!(pages.at(0).read(), 7);
        mm::madvise(pages.0, LEN, Advice::DONTNEED).unwrap();
        assert_eq!(pages.at(0).read(), 0);
    }
    let odd = pages.at(1).cast();
    assert_eq!(mm::madvise_hint(odd, 1, Hint::COLD), Err(Errno::EINVAL));
}

#[test]
fn guards_are_known_since_6_13() {
    let pages = Pages::new(RW);
    // SAFETY: nothing refers to the memory.
    unsafe {
        pages.at(0).write(7);
        let install = mm::madvise(pages.0, LEN, Advice::GUARD_INSTALL);
        if !kernel_is_at_least(6, 13) {
            assert_eq!(install, Err(Errno::EINVAL));
            return;
        }
        assert_eq!(install, Ok(()));
        // The kernel meets the guard when it copies for us: no signal.
        let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        io::write(&_writer, b"x").unwrap();
        let guarded = core::slice::from_raw_parts_mut(pages.at(0).cast(), 1);
        assert_eq!(io::read_uninit(&reader, guarded), Err(Errno::EFAULT));
        mm::madvise(pages.0, LEN, Advice::GUARD_REMOVE).unwrap();
        assert_eq!(pages.at(0).read(), 0);
    }
}

#[test]
fn droppable_memory_is_known_since_6_11() {
    // SAFETY: a new mapping.
    let map = unsafe { mm::mmap_anonymous(null_mut(), LEN, RW, MapFlags::DROPPABLE) };
    if !kernel_is_at_least(6, 11) {
        assert_eq!(map, Err(Errno::EINVAL));
        return;
    }
    // SAFETY: ours.
    unsafe { mm::munmap(map.unwrap(), LEN) }.unwrap();
}

#[test]
fn mincore_knows_what_was_touched() {
    let pages = Pages::new(RW);
    let mut vec = [0_u8; LEN / 4096];
    // SAFETY: nothing refers to the memory, and 4096 is the smallest page.
    unsafe {
        // Else a huge page could come at once.
        mm::madvise_hint(pages.0, LEN, Hint::NOHUGEPAGE).ok();
        pages.at(0).write(1);
        mm::mincore(pages.0, LEN, vec.as_mut_ptr()).unwrap();
    }
    assert_eq!(vec.iter().filter(|&&byte| byte & 1 == 1).count(), 1);
    assert_eq!(vec[0] & 1, 1);
}

#[test]
fn huge_page_sizes_are_where_the_kernel_has_them() {
    assert_eq!(
        MapFlags::huge_log2(21),
        MapFlags::HUGETLB | MapFlags::HUGE_2MB
    );
    assert_eq!(
        MapFlags::huge_log2(34),
        MapFlags::HUGETLB | MapFlags::HUGE_16GB
    );
    assert_eq!(
        MapFlags::huge_log2(64 + 16),
        MapFlags::HUGETLB | MapFlags::HUGE_64KB
    );
}

/// process_madvise: several ranges in one call, hints for anybody, and for
/// oneself anything since Linux 6.13.
#[test]
fn process_madvise_advises_ranges_of_a_process() {
    // Alone, because an error after the first range is a short count, whoever
    // is to blame for it.
    alone(|| {
        use barecall::mm::RemoteRange;
        use barecall::process::{PidfdFlags, getpid, pidfd_open};
        let pages = Pages::new(RW);
        let range = |offset: usize, len: usize| RemoteRange {
            iov_base: pages.at(offset).expose_provenance(),
            iov_len: len,
        };
        let ranges = [range(0, LEN / 4), range(LEN / 2, LEN / 4)];
        let myself = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let cold = mm::process_madvise_hint(&myself, &ranges, Hint::COLD);
        assert_eq!(cold, Ok(LEN / 2));
        common::zeros_of(1 << 32 | 1, |ranges: &mut [RemoteRange]| {
            let cold = mm::process_madvise_hint(&myself, ranges, Hint::COLD);
            assert_eq!(cold, Err(Errno::EINVAL));
        });
        let misaligned = [range(1, 10)];
        let result = mm::process_madvise_hint(&myself, &misaligned, Hint::COLD);
        assert_eq!(result, Err(Errno::EINVAL));

        // SAFETY: our own pages.
        unsafe {
            pages.at(0).write(7);
            let result = mm::process_madvise(&myself, &ranges, Advice::DONTNEED);
            if kernel_is_at_least(6, 13) {
                assert_eq!(result, Ok(LEN / 2));
                assert_eq!(pages.at(0).read(), 0);
            } else {
                assert_eq!(result, Err(Errno::EINVAL));
                assert_eq!(pages.at(0).read(), 7);
            }
        }
    });
}

#[test]
fn sealed_memory_stays_as_it_is_mapped() {
    use mm::{mprotect, mseal};
    common::in_child(|| {
        let page = LEN / 2; // a multiple of a page, of any size
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, that nothing else knows of; the others are
        // refused, or of this mapping.
        unsafe {
            let map = mm::mmap_anonymous(core::ptr::null_mut(), 2 * page, prot, MapFlags::PRIVATE);
            let map = map.unwrap();
            if !common::kernel_is_at_least(6, 10) {
                assert_eq!(mseal(map, page), Err(Errno::ENOSYS));
                return;
            }
            assert_eq!(mseal(map.byte_add(1), page), Err(Errno::EINVAL));
            mseal(map, page).unwrap();
            mseal(map, page).unwrap();
            assert_eq!(mprotect(map, page, ProtFlags::READ), Err(Errno::EPERM));
            assert_eq!(mm::munmap(map, 2 * page), Err(Errno::EPERM));
            map.cast::<u8>().write(7);
            mm::munmap(map.byte_add(page), page).unwrap();
            assert_eq!(mseal(map, 2 * page), Err(Errno::ENOMEM), "a hole");
        }
    });
}

#[test]
fn all_pages_of_a_process_are_locked_and_unlocked() {
    use mm::{MlockallFlags, mlockall, munlockall};
    common::in_child(|| {
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
            line.unwrap().trim() != "0 kB"
        };
        assert_eq!(mlockall(MlockallFlags::empty()), Err(Errno::EINVAL));
        assert_eq!(mlockall(MlockallFlags::ONFAULT), Err(Errno::EINVAL));
        assert_eq!(
            mlockall(MlockallFlags::from_bits_retain(8)),
            Err(Errno::EINVAL)
        );
        assert!(!locked());
        let flags = MlockallFlags::CURRENT | MlockallFlags::ONFAULT;
        match mlockall(flags) {
            Ok(()) => assert!(locked()),
            // Without the privilege, and more than the limit.
            Err(errno) => assert_eq!(errno, Errno::ENOMEM),
        }
        munlockall().unwrap();
        assert!(!locked());
    });
}

#[test]
fn some_pages_are_locked_and_unlocked() {
    use mm::{mlock2, munlock};
    common::in_child(|| {
        let pages = Pages::new(RW);
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
            let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
            kib.parse::<usize>().unwrap() << 10
        };
        // SAFETY: takes a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let at = |i: usize| pages.at(i * page).cast::<c_void>().cast_const();
        assert_eq!(locked(), 0);
        mlock2(at(0), 3 * page, MlockFlags::empty()).unwrap();
        // Locks do not add up.
        mlock2(at(1), page, MlockFlags::ONFAULT).unwrap();
        assert_eq!(locked(), 3 * page);
        // From within a page to within the next is both.
        munlock(at(1).wrapping_byte_add(page / 2), page).unwrap();
        assert_eq!(locked(), page);
        munlock(at(0), 3 * page).unwrap();
        munlock(at(0), 3 * page).unwrap();
        munlock(at(0), 0).unwrap();
        assert_eq!(locked(), 0);

        let wrapped = core::ptr::without_provenance(page.wrapping_neg());
        assert_eq!(munlock(wrapped, 2 * page), Err(Errno::EINVAL));
        mlock2(at(0), 4 * page, MlockFlags::empty()).unwrap();
        // SAFETY: a page of this mapping.
        unsafe { mm::munmap(at(2).cast_mut(), page) }.unwrap();
        // What is before the hole is unlocked all the same.
        assert_eq!(munlock(at(0), 4 * page), Err(Errno::ENOMEM));
        assert_eq!(locked(), page);
        munlock(at(3), page).unwrap();
        assert_eq!(locked(), 0);
    });
}
