//! memfd_secret, where the kernel has it.

use crate::*;
use barecall::memfd::{
    Access, Frozen, NotFrozen, SecretFlags, SharedMap, fcntl_add_seals, fcntl_get_seals,
    memfd_secret,
};
use barecall::process::getpid;
use barecall::{nr, syscall};

fn secret() -> Option<OwnedFd> {
    match memfd_secret(SecretFlags::CLOEXEC) {
        Ok(fd) => {
            assert!(common::kernel_is_at_least(5, 14));
            Some(fd)
        }
        Err(errno) => {
            assert_eq!(errno, Errno::ENOSYS);
            // On by default since 6.5, if the processor can do it.
            let must = cfg!(target_arch = "x86_64") && common::kernel_is_at_least(6, 5);
            assert!(!must, "memfd_secret is missing");
            None
        }
    }
}

/// MFD-130
#[test]
fn it_is_memory_and_nothing_else() {
    let _alone = alone();
    let Some(file) = secret() else { return };
    assert_eq!(io::fcntl_getfd(&file), Ok(io::FdFlags::CLOEXEC));
    // FD_CLOEXEC, which the manual page names, is not the flag.
    let wrong = memfd_secret(SecretFlags::from_bits_retain(1));
    assert_eq!(wrong.unwrap_err(), Errno::EINVAL);
    let inherited = memfd_secret(SecretFlags::empty()).unwrap();
    assert_eq!(io::fcntl_getfd(&inherited), Ok(io::FdFlags::empty()));

    // No length yet: nothing to map.
    assert!(
        SharedMap::new(&file, Access::ReadWrite, None)
            .unwrap()
            .is_empty()
    );
    fs::ftruncate(&file, 2 * page_size() as u64).unwrap();
    for len in [0, page_size(), 2 * page_size(), 3 * page_size()] {
        assert_eq!(fs::ftruncate(&file, len as u64), Err(Errno::EINVAL));
    }

    let mut bytes = [0; 4];
    assert_eq!(io::pread(&file, &mut bytes, 0), Err(Errno::ESPIPE));
    assert_eq!(io::pwrite(&file, &bytes, 0), Err(Errno::ESPIPE));
    assert_eq!(io::read(&file, &mut bytes), Err(Errno::EINVAL));
    assert_eq!(io::write(&file, &bytes), Err(Errno::EINVAL));
    assert_eq!(fcntl_get_seals(&file), Err(Errno::EINVAL));
    assert_eq!(fcntl_add_seals(&file, Seals::WRITE), Err(Errno::EINVAL));
    let private = Raw::map(&file, RW, MapFlags::PRIVATE).err();
    assert_eq!(private, Some(Errno::EINVAL));

    let map = SharedMap::new(&file, Access::ReadWrite, None).unwrap();
    assert_eq!(map.write_at(b"hunter2", page_size() - 3), Ok(7));
    let part = SharedMap::new(
        &file,
        Access::Read,
        Some(page_size() as u64..page_size() as u64 + 4),
    );
    assert_eq!(part.unwrap().read_at(&mut bytes, 0), 4);
    assert_eq!(&bytes, b"ter2");

    // Pages that cannot be pinned.
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let remote = [map.as_ptr() as usize, 8];
    let mut into = [0_u8; 8];
    let local = [into.as_mut_ptr() as usize, 8];
    // SAFETY: reads from the map, into `into` and a pipe.
    unsafe {
        let (from, to) = (remote.as_ptr(), local.as_ptr());
        let spliced = syscall!(nr::VMSPLICE, writer.as_fd(), from, 1, 0);
        assert_eq!(spliced, Err(Errno::EFAULT));
        let me = getpid().as_raw();
        let read = syscall!(nr::PROCESS_VM_READV, me, to, 1, from, 1, 0);
        assert_eq!(read, Err(Errno::EFAULT));
        // A plain write copies with this process's own mapping.
        let written = syscall!(nr::WRITE, writer.as_fd(), map.as_ptr(), 2);
        assert_eq!(written, Ok(2));
    }
    assert_eq!(io::read(&reader, &mut bytes), Ok(2));
    assert_eq!(into, [0; 8]);
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let peeked = std::os::unix::fs::FileExt::read_at(&memory, &mut into, map.as_ptr() as u64);
    assert_eq!(peeked.unwrap_err().raw_os_error(), Some(Errno::EIO.raw()));

    drop(map);
    let refused = Frozen::verify(file).unwrap_err();
    assert_eq!(refused.why, NotFrozen::NoSeals);
}
