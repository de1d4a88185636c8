//! Everything that could make the bytes of a `Frozen` map change, tried: from
//! this process, from a child that inherited it, and from a process that opens
//! it through /proc.

use crate::*;
use barecall::fd::BorrowedFd;
use barecall::fs::{FallocateFlags, fallocate, ftruncate};
use barecall::memfd::{Access, Frozen, Map, SharedMap, fcntl_add_seals};
use barecall::process::getpid;
use barecall::{nr, syscall};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Three pages: bytes, a hole, bytes up to the middle of the page.
fn content() -> impl ExactSizeIterator<Item = u8> {
    let page = page_size();
    (0..2 * page + 2000).map(move |at| match at / page {
        1 => 0,
        _ => b'a' + (at % 23) as u8,
    })
}

fn victim() -> Memfd {
    let memfd = ANY.create(c"victim").unwrap();
    let (bytes, page): (Vec<u8>, _) = (content().collect(), page_size());
    memfd.set_len(bytes.len() as u64).unwrap();
    memfd.write_all_at(&bytes[..page], 0).unwrap();
    memfd
        .write_all_at(&bytes[2 * page..], 2 * page as u64)
        .unwrap();
    memfd
}

fn unchanged(map: &Map) -> bool {
    map.iter().copied().eq(content())
}

/// Raw calls, which the crate's types would not let through.
fn raw<const N: usize>(nr: nr::Sysno, args: [usize; N]) -> Result<usize, Errno> {
    let arg = |n| args.get(n).copied().unwrap_or(0);
    // SAFETY: the tests below say what is safe about each.
    unsafe { syscall!(nr, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) }
}

const ALL: usize = usize::MAX;

/// Tries everything through a descriptor of the file. System calls only.
fn attack(fd: BorrowedFd<'_>, map: &Map) -> Result<(), u32> {
    let number = fd.as_raw_fd() as usize;
    let (size, page) = (content().len(), page_size());
    let junk = [0xff_u8; 4096];
    let io_slice = [io::IoSlice::new(&junk)];
    let (at, len) = (junk.as_ptr() as usize, junk.len());

    // Writing, in all ways.
    ensure!(io::write(fd, &junk).is_err());
    for offset in [0, page, size - 1, size] {
        ensure!(io::pwrite(fd, &junk, offset as u64).is_err());
    }
    ensure!(io::writev(fd, &io_slice).is_err());
    let vector = io_slice.as_ptr() as usize;
    ensure!(raw(nr::PWRITEV, [number, vector, 1, 0, 0]).is_err());
    ensure!(raw(nr::PWRITEV2, [number, vector, 1, ALL, ALL, 0x10]).is_err()); // RWF_APPEND

    // Moving bytes into it from elsewhere.
    let other = ANY.create(c"other").map_err(|_| line!())?;
    ensure!(other.write_all_at(&junk, 0).is_ok());
    let source = other.as_fd().as_raw_fd() as usize;
    ensure!(raw(nr::SENDFILE, [number, source, 0, len]).is_err());
    ensure!(raw(nr::COPY_FILE_RANGE, [source, 0, number, 0, len, 0]).is_err());
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).map_err(|_| line!())?;
    ensure!(io::write(&writer, &junk) == Ok(len));
    let pipe = reader.as_raw_fd() as usize;
    ensure!(raw(nr::SPLICE, [pipe, 0, number, 0, len, 1]).is_err());
    let ficlone = 0x4004_9409;
    ensure!(raw(nr::IOCTL, [number, ficlone, source]).is_err());
    // Asynchronously.
    let mut context = 0_usize;
    if raw(nr::IO_SETUP, [1, (&raw mut context) as usize]).is_ok() {
        // struct iocb: pwrite (1) of the junk.
        let mut iocb = [0_u64; 8];
        iocb[2] = 1 | (number as u64) << 32;
        iocb[3] = at as u64;
        iocb[4] = len as u64;
        let list = [iocb.as_ptr() as usize];
        if raw(nr::IO_SUBMIT, [context, 1, list.as_ptr() as usize]).is_ok() {
            let mut event = [0_i64; 4];
            let to = (&raw mut event) as usize;
            ensure!(raw(nr::IO_GETEVENTS, [context, 1, 1, to, 0]) == Ok(1));
            ensure!(event[2] < 0);
        }
        ensure!(raw(nr::IO_DESTROY, [context]).is_ok());
    }

    // The size, and holes.
    for len in [0, 1, page, size - 1, size + 1, 1 << 30] {
        ensure!(ftruncate(fd, len as u64).is_err());
        let path = FdPath::thread(fd);
        ensure!(raw(nr::TRUNCATE, [path.as_ptr() as usize, len]).is_err());
    }
    for bits in 1..256 {
        let flags = FallocateFlags::from_bits_retain(bits);
        for (offset, len) in [(0, page), (0, size), (page, page), (size, page)] {
            // KEEP_SIZE alone reserves memory, and shows nothing.
            let result = fallocate(fd, flags, offset as u64, len as u64);
            ensure!(result.is_err() || flags == FallocateFlags::KEEP_SIZE);
        }
    }

    // Mappings that write, now or later.
    for flags in [MapFlags::SHARED, MapFlags::SHARED_VALIDATE] {
        ensure!(Raw::map(fd, RW, flags).is_err());
        ensure!(Raw::map(fd, ProtFlags::WRITE, flags).is_err());
        if let Ok(shared) = Raw::map(fd, RO, flags) {
            ensure!(shared.protect(RW).is_err());
            let address = shared.0 as usize;
            // Another view of the same, with the old one kept.
            if let Ok(again) = raw(nr::MREMAP, [address, 0, page, 1]) {
                ensure!(raw(nr::MPROTECT, [again, page, 3]).is_err());
                ensure!(raw(nr::MUNMAP, [again, page]).is_ok());
            }
            let (remove, dontneed, pageout, populate_write) = (9, 4, 21, 23);
            for advice in [remove, pageout, populate_write, dontneed] {
                let result = raw(nr::MADVISE, [address, page, advice]);
                ensure!(result.is_err() || advice == pageout || advice == dontneed);
            }
            // The kernel as the writer.
            let pipe = (reader.as_raw_fd() as usize, shared.0 as usize);
            ensure!(io::write(&writer, b"x") == Ok(1));
            ensure!(raw(nr::READ, [pipe.0, pipe.1, 1]) == Err(Errno::EFAULT));
            ensure!(Some(shared.get()) == content().next());
        }
    }
    let safe = SharedMap::new(fd, Access::ReadWrite, None);
    ensure!(safe.is_err());
    // A private one is a copy, however it is written.
    if let Ok(private) = Raw::map(fd, RW, MapFlags::PRIVATE) {
        private.set(0xff);
        ensure!(raw(nr::MSYNC, [private.0 as usize, page, 4]).is_ok());
        let (remove, dontneed) = (9, 4);
        ensure!(raw(nr::MADVISE, [private.0 as usize, page, remove]).is_err());
        ensure!(raw(nr::MADVISE, [private.0 as usize, page, dontneed]).is_ok());
        ensure!(Some(private.get()) == content().next());
    }
    // Into the map itself, by the kernel's hand.
    let target = map.as_ptr() as usize;
    ensure!(raw(nr::READ, [reader.as_raw_fd() as usize, target, 1]) == Err(Errno::EFAULT));
    let (local, remote) = ([at, 1], [target, 1]);
    let me = getpid().as_raw() as usize;
    let vectors = [local.as_ptr() as usize, remote.as_ptr() as usize];
    let poked = raw(nr::PROCESS_VM_WRITEV, [me, vectors[0], 1, vectors[1], 1, 0]);
    ensure!(poked.is_err());

    // The seals themselves.
    ensure!(fcntl_add_seals(fd, Seals::empty()) == Err(Errno::EPERM));
    ensure!(fcntl_add_seals(fd, Seals::SHRINK) == Err(Errno::EPERM));
    // Modes do not matter to seals.
    let _ = fs::fchmod(fd, Mode::from_raw(0o666));

    ensure!(unchanged(map));
    Ok(())
}

/// Opens it by a path of /proc in every way, and attacks through that.
fn attack_by_path(path: &CStr, map: &Map) -> Result<(), u32> {
    let open = |flags| fs::openat(fs::CWD, path, flags, Mode::empty());
    for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR] {
        for more in [
            OFlags::empty(),
            OFlags::APPEND,
            OFlags::SYNC,
            OFlags::DIRECT,
        ] {
            // tmpfs has no O_DIRECT before 6.6.
            if let Ok(fd) = open(flags | more | OFlags::CLOEXEC) {
                attack(fd.as_fd(), map)?;
            }
        }
        ensure!(open(flags | OFlags::TRUNC).is_err());
    }
    ensure!(raw(nr::TRUNCATE, [path.as_ptr() as usize, 0]).is_err());
    ensure!(unchanged(map));
    Ok(())
}

fn or_panic(result: Result<(), u32>) {
    if let Err(line) = result {
        panic!("attack.rs:{line}: it got through, or has changed");
    }
}

#[test]
fn nothing_changes_a_frozen_map_from_here_or_from_another_process() {
    let _alone = alone();
    let frozen = victim().freeze().unwrap();
    let map = frozen.map().unwrap();
    assert!(unchanged(&map));

    or_panic(attack(frozen.as_fd(), &map));
    or_panic(attack_by_path(&FdPath::thread(&frozen), &map));
    in_child(|| attack(frozen.as_fd(), &map));
    let path = format!(
        "/proc/{}/fd/{}\0",
        std::process::id(),
        frozen.as_fd().as_raw_fd()
    );
    let path = CStr::from_bytes_with_nul(path.as_bytes()).unwrap();
    in_child(|| attack_by_path(path, &map));
    assert!(unchanged(&map));
    assert!(unchanged(
        &Frozen::verify(frozen.into()).unwrap().map().unwrap()
    ));
}

#[test]
fn what_only_verify_demands_is_enough() {
    let _alone = alone();
    let memfd = victim();
    memfd.add_seals(Seals::CONSTANT).unwrap();
    let writer = reopen(&memfd, OFlags::RDWR).unwrap();
    let frozen = Frozen::verify(memfd.into()).unwrap();
    let map = frozen.map().unwrap();
    // It may grow, and everything that is outside of the map may be written
    // to once it has; no byte inside can.
    let (size, page) = (content().len() as u64, page_size() as u64);
    ftruncate(&writer, 10 * page).unwrap();
    assert_eq!(io::pwrite(&writer, b"x", size), Err(Errno::EPERM));
    assert_eq!(ftruncate(&writer, size), Err(Errno::EPERM));
    fallocate(&writer, FallocateFlags::empty(), 0, 20 * page).unwrap();
    assert!(unchanged(&map));
}

#[test]
fn writers_who_run_against_the_seal_lose() {
    let _alone = alone();
    for _ in 0..20 {
        let len = 16 * page_size();
        let memfd = memfd(&vec![0; len]);
        let writer = memfd.as_fd().try_clone_to_owned().unwrap();
        let started = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                for value in 1.. {
                    let bytes = vec![value as u8; len];
                    let result = io::pwrite(&writer, &bytes, 0);
                    started.store(true, Ordering::Relaxed);
                    result?;
                }
                Ok(0)
            });
            while !started.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let frozen = memfd.freeze().unwrap();
            let map = frozen.map().unwrap();
            let before = map.to_vec();
            assert_eq!(thread.join().unwrap(), Err(Errno::EPERM));
            assert_eq!(before, map[..]);
        });
    }
}

#[test]
fn mappings_that_are_made_against_the_seal_are_seen() {
    let _alone = alone();
    for _ in 0..50 {
        let memfd = memfd(&vec![0; page_size()]);
        let other = memfd.as_fd().try_clone_to_owned().unwrap();
        std::thread::scope(|scope| {
            let mapper = scope.spawn(|| SharedMap::new(&other, Access::ReadWrite, None));
            let frozen = memfd.freeze();
            let map = mapper.join().unwrap();
            // One of them came first, and then the other failed.
            assert!(frozen.is_ok() != map.is_ok());
        });
    }
}

/// userfaultfd fills holes of a file even without PROT_WRITE.
#[test]
fn a_hole_cannot_be_filled_through_userfaultfd() {
    let _alone = alone();
    let memfd = victim();
    let reader = memfd.reopen_read_only().unwrap();
    let (shared, page) = (MapFlags::SHARED, page_size());
    // SAFETY: a new mapping of the hole.
    let hole =
        unsafe { mm::mmap(std::ptr::null_mut(), page, RO, shared, &reader, page as u64) }.unwrap();
    let frozen = memfd.freeze().unwrap();
    let map = frozen.map().unwrap();
    let (cloexec, user_mode_only) = (0o2000000, 1);
    let made = match raw(nr::USERFAULTFD, [cloexec | user_mode_only]) {
        // Before 5.11 there is no such flag.
        Err(Errno::EINVAL) => raw(nr::USERFAULTFD, [cloexec]),
        made => made,
    };
    let uffd = match made {
        // SAFETY: new, and ours.
        Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd as i32) },
        Err(errno) => skip!("userfaultfd: {errno}"),
    };
    let number = uffd.as_raw_fd() as usize;
    let mut api = [0xaa_u64, 0, 0];
    let uffdio_api = 0xc018_aa3f;
    raw(nr::IOCTL, [number, uffdio_api, api.as_mut_ptr() as usize]).unwrap();
    let mut register = [hole as u64, page as u64, 1, 0];
    let uffdio_register = 0xc020_aa00;
    let registered = raw(
        nr::IOCTL,
        [number, uffdio_register, register.as_mut_ptr() as usize],
    );
    assert_eq!(registered, Err(Errno::EPERM));
    assert!(unchanged(&map));
    // SAFETY: ours.
    unsafe { mm::munmap(hole, page) }.unwrap();
}

/// What no type can keep out, and why it does no harm to anybody else: it
/// writes to a copy in the process that is written to.
#[test]
fn a_debugger_changes_a_copy_and_not_the_file() {
    use std::os::unix::fs::FileExt;
    let frozen = victim().freeze().unwrap();
    let (map, poked) = (frozen.map().unwrap(), frozen.map().unwrap());
    let memory = std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/mem")
        .unwrap();
    match memory.write_at(b"X", poked.as_ptr() as u64) {
        Ok(_) => {
            // SAFETY: volatile, since it has changed under a `&[u8]`.
            assert_eq!(unsafe { poked.as_ptr().read_volatile() }, b'X');
        }
        // proc_mem.restrict_ptrace and the like (since Linux 6.12).
        Err(error) => eprintln!("not even a debugger may: {error}"),
    }
    assert!(unchanged(&map));
    assert!(unchanged(&frozen.map().unwrap()));
}
