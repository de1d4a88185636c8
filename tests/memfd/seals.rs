//! Seals, one by one and together.

use crate::*;
use barecall::fs::{FallocateFlags, fallocate, fchmod, fstat, ftruncate};
use barecall::memfd::{Access, SharedMap, fcntl_add_seals, fcntl_get_seals};
use barecall::{nr, syscall};

const PUNCH: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

/// One with two pages.
fn sealed(seals: Seals) -> Memfd {
    let memfd = memfd(&vec![b'a'; 2 * page_size()]);
    memfd.add_seals(seals).unwrap();
    memfd
}

/// `truncate(path, length)`, for which the crate has no name.
fn truncate(fd: impl AsFd, length: u64) -> Result<usize, Errno> {
    // SAFETY: a string and a number.
    unsafe { syscall!(nr::TRUNCATE, FdPath::thread(&fd).as_c_str(), length) }
}

/// MFD-040
#[test]
fn a_sealable_one_starts_without_seals() {
    assert_eq!(ANY.create(c"x").unwrap().seals(), Ok(initial_seals()));
}

/// MFD-041
#[test]
fn one_that_is_not_sealable_has_the_seal_that_says_so() {
    let memfd = match memfd_noexec() {
        Some(1..) => MemfdOptions::new().exec(Exec::Executable).create(c"x"),
        _ => MemfdOptions::new().exec(Exec::SystemDefault).create(c"x"),
    }
    .unwrap();
    assert_eq!(memfd.seals(), Ok(Seals::SEAL));
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EPERM));
    assert_eq!(memfd.seals(), Ok(Seals::SEAL));
}

/// MFD-042, MFD-044
#[test]
fn seals_can_be_added_twice_and_none_is_no_change() {
    let memfd = memfd(b"");
    let before = memfd.seals().unwrap();
    memfd.add_seals(Seals::empty()).unwrap();
    assert_eq!(memfd.seals(), Ok(before));
    memfd.add_seals(Seals::CONSTANT).unwrap();
    memfd.add_seals(Seals::CONSTANT).unwrap();
    assert_eq!(memfd.seals(), Ok(before | Seals::CONSTANT));
    assert_eq!(Seals::CONSTANT.bits(), 10);
}

/// MFD-045
#[test]
fn a_seal_that_no_kernel_has_is_einval_and_adds_nothing() {
    let memfd = memfd(b"");
    let before = memfd.seals();
    for bits in [0x40, 0x40 | Seals::GROW.bits(), !0] {
        let seals = Seals::from_bits_retain(bits);
        assert_eq!(memfd.add_seals(seals), Err(Errno::EINVAL), "{bits:#x}");
        assert_eq!(memfd.seals(), before);
    }
    let exec = memfd.add_seals(Seals::EXEC);
    assert_eq!(exec.is_ok(), has_exec_choice());
    if let Err(errno) = exec {
        assert_eq!(errno, Errno::EINVAL);
    }
}

/// MFD-046, MFD-049
#[test]
fn adding_takes_a_writable_descriptor_and_looking_does_not() {
    let memfd = memfd(b"x");
    let reader = memfd.reopen_read_only().unwrap();
    assert_eq!(fcntl_add_seals(&reader, Seals::WRITE), Err(Errno::EPERM));
    assert_eq!(fcntl_get_seals(&reader), Ok(initial_seals()));
    let writer = reopen(&memfd, OFlags::WRONLY).unwrap();
    fcntl_add_seals(&writer, Seals::SHRINK).unwrap();
    assert_eq!(
        fcntl_get_seals(&reader),
        Ok(initial_seals() | Seals::SHRINK)
    );
    let path = reopen(&memfd, OFlags::PATH).unwrap();
    assert_eq!(fcntl_get_seals(&path), Err(Errno::EBADF));
    assert_eq!(fcntl_add_seals(&path, Seals::GROW), Err(Errno::EBADF));
}

/// MFD-050
#[test]
fn other_files_have_no_seals() {
    let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    assert_eq!(fcntl_get_seals(&reader), Err(Errno::EINVAL));
    // The pipe's reader is not open for writing, which comes first.
    assert_eq!(fcntl_add_seals(&reader, Seals::GROW), Err(Errno::EPERM));
    assert_eq!(fcntl_add_seals(&_writer, Seals::GROW), Err(Errno::EINVAL));
    let proc = open(c"/proc/version");
    assert_eq!(fcntl_get_seals(&proc), Err(Errno::EINVAL));
}

/// MFD-052
#[test]
fn a_closed_descriptor_is_ebadf() {
    const F_GET_SEALS: u32 = 1034;
    // SAFETY: numbers only.
    let answer = unsafe { syscall!(nr::FCNTL, 1_000_000, F_GET_SEALS) };
    assert_eq!(answer, Err(Errno::EBADF));
}

/// MFD-053
#[test]
fn seals_belong_to_the_file_and_not_to_the_descriptor() {
    let memfd = memfd(b"");
    let again = memfd.as_fd().try_clone_to_owned().unwrap();
    memfd.add_seals(Seals::WRITE).unwrap();
    fcntl_add_seals(&again, Seals::SHRINK).unwrap();
    memfd.add_seals(Seals::SEAL).unwrap();
    let all = initial_seals() | Seals::WRITE | Seals::SHRINK | Seals::SEAL;
    assert_eq!(memfd.seals(), Ok(all));
    assert_eq!(fcntl_get_seals(&again), Ok(all));
    for seals in [Seals::GROW, Seals::WRITE, Seals::SEAL, Seals::empty()] {
        assert_eq!(memfd.add_seals(seals), Err(Errno::EPERM));
        assert_eq!(fcntl_add_seals(&again, seals), Err(Errno::EPERM));
    }
    drop(memfd);
    assert_eq!(fcntl_add_seals(&again, Seals::GROW), Err(Errno::EPERM));
}

/// MFD-054
#[test]
fn whoever_opened_it_sees_and_adds_the_same_seals() {
    let memfd = memfd(b"");
    let again = reopen(&memfd, OFlags::RDWR).unwrap();
    memfd.add_seals(Seals::WRITE).unwrap();
    fcntl_add_seals(&again, Seals::SHRINK).unwrap();
    let both = initial_seals() | Seals::CONSTANT;
    assert_eq!(memfd.seals(), Ok(both));
    assert_eq!(fcntl_get_seals(&again), Ok(both));
    drop(memfd);
    let reader = reopen(&again, OFlags::RDONLY).unwrap();
    assert_eq!(fcntl_add_seals(&reader, Seals::SEAL), Err(Errno::EPERM));
    let writer = reopen(&reader, OFlags::RDWR).unwrap();
    fcntl_add_seals(&writer, Seals::SEAL).unwrap();
    assert_eq!(fcntl_get_seals(&again), Ok(both | Seals::SEAL));
}

/// MFD-055
#[test]
fn a_seal_that_a_child_adds_outlives_the_child() {
    let _alone = alone();
    let memfd = memfd(b"");
    in_child(|| {
        ensure!(memfd.add_seals(Seals::SEAL).is_ok());
        ensure!(memfd.add_seals(Seals::WRITE) == Err(Errno::EPERM));
        Ok(())
    });
    assert_eq!(memfd.seals(), Ok(initial_seals() | Seals::SEAL));
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EPERM));
}

/// MFD-060
#[test]
fn under_write_nothing_writes() {
    let memfd = sealed(Seals::WRITE);
    assert_eq!(io::write(&memfd, b"x"), Err(Errno::EPERM));
    assert_eq!(memfd.write_at(b"x", 0), Err(Errno::EPERM));
    assert_eq!(
        memfd.write_at(b"x", 3 * page_size() as u64),
        Err(Errno::EPERM)
    );
    let x = [io::IoSlice::new(b"x")];
    assert_eq!(io::writev(&memfd, &x), Err(Errno::EPERM));
    // SAFETY: one slice, at offset 0.
    let pwritev = unsafe { syscall!(nr::PWRITEV, memfd.as_fd(), x.as_ptr(), 1, 0, 0) };
    assert_eq!(pwritev, Err(Errno::EPERM));
    // Nothing to write is no write.
    assert_eq!(memfd.write_at(b"", 0), Ok(0));
    assert_eq!(memfd.write_all_at(b"", 0), Ok(()));
}

/// MFD-062
#[test]
fn under_write_no_shared_mapping_can_write() {
    let memfd = sealed(Seals::WRITE);
    for flags in [MapFlags::SHARED, MapFlags::SHARED_VALIDATE] {
        for prot in [ProtFlags::WRITE, RW] {
            let map = Raw::map(&memfd, prot, flags).err();
            assert_eq!(map, Some(Errno::EPERM));
        }
    }
    let map = SharedMap::new(&memfd, Access::ReadWrite, None);
    assert_eq!(map.unwrap_err(), Errno::EPERM);
    // A read-only one depends on the kernel, down to its patch level (5.10 had
    // it refused and later allowed); what it cannot become does not.
    match Raw::map(&memfd, RO, MapFlags::SHARED) {
        Ok(map) => assert_eq!(map.protect(RW), Err(Errno::EACCES)),
        Err(errno) => {
            assert_eq!(errno, Errno::EPERM);
            let (major, minor) = common::kernel_version();
            assert!((major, minor) < (6, 7) || (major, minor) == (6, 12));
        }
    }
}

/// MFD-065
#[test]
fn under_write_a_private_mapping_is_a_copy() {
    let memfd = sealed(Seals::WRITE);
    let map = Raw::map(&memfd, RW, MapFlags::PRIVATE).unwrap();
    map.set(b'z');
    assert_eq!(map.get(), b'z');
    let mut byte = [0];
    memfd.read_at(&mut byte, 0).unwrap();
    assert_eq!(&byte, b"a");
}

/// MFD-066
#[test]
fn under_write_no_hole_is_punched() {
    let memfd = sealed(Seals::WRITE);
    assert_eq!(
        fallocate(&memfd, PUNCH, 0, page_size() as u64),
        Err(Errno::EPERM)
    );
}

/// MFD-067
#[test]
fn write_alone_lets_the_size_change() {
    let memfd = sealed(Seals::WRITE);
    memfd.set_len(page_size() as u64).unwrap();
    memfd.set_len(3 * page_size() as u64).unwrap();
    fallocate(&memfd, FallocateFlags::empty(), 0, 4 * page_size() as u64).unwrap();
    assert_eq!(memfd.size(), Ok(4 * page_size() as u64));
    drop(reopen(&memfd, OFlags::RDWR | OFlags::TRUNC).unwrap());
    assert_eq!(memfd.size(), Ok(0));
}

/// MFD-068
#[test]
fn a_mapping_that_could_write_holds_write_off() {
    let _alone = alone();
    let memfd = memfd(&vec![b'a'; page_size()]);
    let before = memfd.seals().unwrap();
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EBUSY));
    // All or nothing.
    assert_eq!(memfd.add_seals(Seals::CONSTANT), Err(Errno::EBUSY));
    assert_eq!(memfd.seals(), Ok(before));
    memfd.add_seals(Seals::SHRINK).unwrap();
    drop(map);
    memfd.add_seals(Seals::WRITE).unwrap();
}

#[test]
fn a_read_only_mapping_of_a_writable_descriptor_holds_write_off_too() {
    let _alone = alone();
    let memfd = memfd(&vec![b'a'; page_size()]);
    let map = SharedMap::new(&memfd, Access::Read, None).unwrap();
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EBUSY));
    drop(map);
    let map = Raw::map(&memfd, RW, MapFlags::SHARED).unwrap();
    map.protect(RO).unwrap();
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EBUSY));
    drop(map);
    // But not one of a read-only descriptor, which can never write.
    let reader = memfd.reopen_read_only().unwrap();
    let map = SharedMap::new(&reader, Access::Read, None).unwrap();
    memfd.add_seals(Seals::WRITE).unwrap();
    let mut byte = [0];
    assert_eq!(map.read_at(&mut byte, 0), 1);
    assert_eq!(&byte, b"a");
}

#[test]
fn a_childs_inherited_mapping_holds_write_off() {
    let _alone = alone();
    let memfd = memfd(&vec![b'a'; page_size()]);
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    // SAFETY: the child waits for the end of the pipe, and exits.
    match unsafe { fork() }.unwrap() {
        None => {
            // Its own copy of the other end would keep the pipe open.
            // SAFETY: this process has no more use for it.
            let _ = unsafe { syscall!(nr::CLOSE, writer.as_raw_fd()) };
            let _ = io::read(&reader, &mut [0]);
            exit_group(0);
        }
        Some(child) => {
            drop(map);
            assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EBUSY));
            drop(writer);
            wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap();
            memfd.add_seals(Seals::WRITE).unwrap();
        }
    }
}

/// MFD-073
#[test]
fn a_private_mapping_is_not_in_the_way() {
    let memfd = memfd(&vec![b'a'; page_size()]);
    let _map = Raw::map(&memfd, RW, MapFlags::PRIVATE).unwrap();
    memfd.add_seals(Seals::WRITE).unwrap();
}

/// MFD-075, MFD-076
#[test]
fn future_write_leaves_the_mappings_that_exist() {
    let _alone = alone();
    let memfd = memfd(&vec![b'a'; page_size()]);
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    memfd.add_seals(Seals::FUTURE_WRITE).unwrap();
    assert_eq!(memfd.seals(), Ok(initial_seals() | Seals::FUTURE_WRITE));
    assert_eq!(map.write_at(b"still", 0), Ok(5));
    let mut bytes = [0; 5];
    memfd.read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"still");

    future_write_holds(&memfd);
    // And WRITE is as busy as before.
    assert_eq!(memfd.add_seals(Seals::WRITE), Err(Errno::EBUSY));
}

fn future_write_holds(fd: impl AsFd) {
    let fd = fd.as_fd();
    assert_eq!(io::pwrite(fd, b"x", 0), Err(Errno::EPERM));
    assert_eq!(
        fallocate(fd, PUNCH, 0, page_size() as u64),
        Err(Errno::EPERM)
    );
    let map = SharedMap::new(fd, Access::ReadWrite, None);
    assert_eq!(map.unwrap_err(), Errno::EPERM);
    let map = Raw::map(fd, RO, MapFlags::SHARED).unwrap();
    assert_eq!(map.protect(RW), Err(Errno::EACCES));
}

/// MFD-077
#[test]
fn future_write_holds_for_who_opens_it_again() {
    let _alone = alone();
    let memfd = sealed(Seals::FUTURE_WRITE);
    future_write_holds(reopen(&memfd, OFlags::RDWR).unwrap());
}

/// MFD-081
#[test]
fn under_future_write_a_childs_private_write_stays_its_own() {
    let _alone = alone();
    let memfd = sealed(Seals::FUTURE_WRITE);
    let map = Raw::map(&memfd, RW, MapFlags::PRIVATE).unwrap();
    map.set(b'p');
    in_child(|| {
        map.set(b'c');
        ensure!(map.get() == b'c');
        Ok(())
    });
    assert_eq!(map.get(), b'p');
    let mut byte = [0];
    memfd.read_at(&mut byte, 0).unwrap();
    assert_eq!(&byte, b"a");
}

/// MFD-085, MFD-087, MFD-089
#[test]
fn under_shrink_it_only_grows() {
    let memfd = sealed(Seals::SHRINK);
    let len = 2 * page_size() as u64;
    assert_eq!(memfd.set_len(len - 1), Err(Errno::EPERM));
    memfd.set_len(len).unwrap();
    memfd.set_len(len + 1).unwrap();
    let truncating = reopen(&memfd, OFlags::RDWR | OFlags::TRUNC);
    assert_eq!(truncating.unwrap_err(), Errno::EPERM);
    assert_eq!(truncate(&memfd, 0), Err(Errno::EPERM));
    assert_eq!(memfd.size(), Ok(len + 1));
    // The bytes are free to change.
    fallocate(&memfd, PUNCH, 0, page_size() as u64).unwrap();
    memfd.write_at(b"x", 0).unwrap();
}

/// MFD-090
#[test]
fn under_grow_it_never_grows() {
    let memfd = sealed(Seals::GROW);
    let len = 2 * page_size() as u64;
    assert_eq!(memfd.set_len(len + 1), Err(Errno::EPERM));
    let past = fallocate(&memfd, FallocateFlags::empty(), len, page_size() as u64);
    assert_eq!(past, Err(Errno::EPERM));
    assert_eq!(memfd.write_at(b"x", len), Err(Errno::EPERM));
    assert_eq!(memfd.write_at(b"x", 10 * len), Err(Errno::EPERM));
    // One that crosses the end: what was before it, or nothing.
    let crossing = memfd.write_at(b"0123456789", len - 4);
    assert!(
        crossing == Ok(4) || crossing == Err(Errno::EPERM),
        "{crossing:?}"
    );
    assert_eq!(memfd.size(), Ok(len));
    // The loop ends with the error, whichever it was.
    assert_eq!(
        memfd.write_all_at(b"0123456789", len - 4),
        Err(Errno::EPERM)
    );
}

/// MFD-091
#[test]
fn under_grow_what_is_gone_does_not_come_back() {
    let memfd = sealed(Seals::GROW);
    let len = 2 * page_size() as u64;
    memfd.set_len(len).unwrap();
    memfd.set_len(len - 1).unwrap();
    assert_eq!(memfd.set_len(len), Err(Errno::EPERM));
}

/// MFD-096
#[test]
fn under_both_the_size_is_fixed() {
    let memfd = sealed(Seals::SHRINK | Seals::GROW);
    let len = 2 * page_size() as u64;
    assert_eq!(memfd.set_len(len - 1), Err(Errno::EPERM));
    assert_eq!(memfd.set_len(len + 1), Err(Errno::EPERM));
    ftruncate(&memfd, len).unwrap();
    memfd.write_at(b"the bytes are not", 0).unwrap();
}

/// MFD-097
#[test]
fn seals_add_up_one_by_one() {
    let memfd = memfd(b"");
    let first = initial_seals().bits();
    for (seal, all) in [
        (Seals::WRITE, 8),
        (Seals::GROW, 12),
        (Seals::SHRINK, 14),
        (Seals::FUTURE_WRITE, 30),
        (Seals::SEAL, 31),
    ] {
        memfd.add_seals(seal).unwrap();
        assert_eq!(memfd.seals().unwrap().bits(), first | all);
    }
    assert_eq!(memfd.add_seals(Seals::GROW), Err(Errno::EPERM));
}

fn executable() -> Option<Memfd> {
    let options = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
    match options.create(c"x") {
        Ok(memfd) => {
            assert!(has_exec_choice());
            memfd.write_all_at(&vec![b'a'; page_size()], 0).unwrap();
            Some(memfd)
        }
        Err(errno) => {
            assert_eq!((errno, has_exec_choice()), (Errno::EINVAL, false));
            None
        }
    }
}

/// MFD-100, MFD-101
#[test]
fn under_exec_the_execute_bits_stay_as_they_are() {
    let Some(memfd) = executable() else { return };
    let mode = || fstat(&memfd).unwrap().mode().as_raw();
    let chmod = |mode| fchmod(&memfd, Mode::from_raw(mode));
    assert_eq!((mode(), memfd.seals()), (0o777, Ok(Seals::empty())));
    chmod(0o644).unwrap();
    memfd.add_seals(Seals::EXEC).unwrap();
    assert_eq!(memfd.seals(), Ok(Seals::EXEC));
    chmod(0o600).unwrap();
    chmod(0o666).unwrap();
    for refused in [0o777, 0o670, 0o605, 0o700, 0o100] {
        assert_eq!(chmod(refused), Err(Errno::EPERM), "{refused:o}");
        assert_eq!(mode(), 0o666);
    }
}

#[test]
fn exec_on_an_executable_implies_that_nothing_changes() {
    let _alone = alone();
    let Some(memfd) = executable() else { return };
    let all = Seals::EXEC | Seals::SHRINK | Seals::GROW | Seals::WRITE | Seals::FUTURE_WRITE;
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    match memfd.add_seals(Seals::EXEC) {
        Err(errno) => {
            assert_eq!((errno, memfd.seals()), (Errno::EBUSY, Ok(Seals::empty())));
            drop(map);
            memfd.add_seals(Seals::EXEC).unwrap();
        }
        // The kernel bug that makes `Frozen::verify` refuse such files.
        Ok(()) => assert_eq!(map.write_at(b"x", 0), Ok(1)),
    }
    assert_eq!(memfd.seals(), Ok(all));
    assert_eq!(memfd.write_at(b"x", 0), Err(Errno::EPERM));
}
