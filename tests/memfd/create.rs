//! Making one: names, flags, huge pages, the legacy way, the fallback.

use crate::*;
use barecall::fs::{FileType, fstat, fstatfs};
use barecall::io::FdFlags;
use barecall::memfd::{Applied, HugePage, MemoryFile, NAME_MAX};
use barecall::process::getpid;
use barecall::{nr, syscall};
use std::path::{Path, PathBuf};

fn link(fd: impl AsFd) -> PathBuf {
    std::fs::read_link(FdPath::process(&fd).to_str().unwrap()).unwrap()
}

fn create_raw(name: *const u8, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: at worst the kernel says EFAULT.
    let fd = unsafe { syscall!(nr::MEMFD_CREATE, name, flags) }?;
    // SAFETY: new, and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// MFD-001, MFD-010
#[test]
fn a_name_that_cannot_be_read_is_efault() {
    assert_eq!(create_raw(std::ptr::null(), 0).unwrap_err(), Errno::EFAULT);
    let kernel = std::ptr::without_provenance(0xffff_8000_0000_0000);
    assert_eq!(create_raw(kernel, 0).unwrap_err(), Errno::EFAULT);
}

/// MFD-002, MFD-020
#[test]
fn the_name_is_shown_in_proc() {
    let name = |name| link(ANY.create(name).unwrap());
    assert_eq!(name(c""), Path::new("/memfd: (deleted)"));
    assert_eq!(name(c"keymap"), Path::new("/memfd:keymap (deleted)"));
    assert_eq!(name(c"a/b c"), Path::new("/memfd:a/b c (deleted)"));
}

/// MFD-003, MFD-005, MFD-006
#[test]
fn a_name_has_at_most_249_bytes() {
    let with = |len: usize| {
        let mut name = vec![0xff; len];
        name.push(0);
        create_raw(name.as_ptr(), 0)
    };
    assert!(with(249).is_ok());
    assert_eq!(NAME_MAX, 249);
    assert_eq!(with(250).unwrap_err(), Errno::EINVAL);
    assert_eq!(with(2047).unwrap_err(), Errno::EINVAL);
}

/// MFD-009
#[test]
fn a_name_is_read_no_further_than_its_end() {
    let page = page_size();
    // SAFETY: new memory, of which the second page goes away.
    unsafe {
        let pages = mm::mmap_anonymous(std::ptr::null_mut(), 2 * page, RW, MapFlags::PRIVATE)
            .unwrap()
            .cast::<u8>();
        mm::mprotect(pages.add(page).cast(), page, ProtFlags::NONE).unwrap();
        let name = pages.add(page - 10);
        name.copy_from(c"nine char".as_ptr().cast(), 10);
        assert!(create_raw(name, 0).is_ok());
        mm::munmap(pages.cast(), 2 * page).unwrap();
    }
}

#[test]
fn create_named_takes_any_bytes_but_nul_and_says_einval_before_the_kernel() {
    let named = |name: &[u8]| ANY.create_named(name);
    assert_eq!(link(named(b"").unwrap()), Path::new("/memfd: (deleted)"));
    assert_eq!(link(named(b"x").unwrap()), Path::new("/memfd:x (deleted)"));
    named(&[0xff; 249]).unwrap();
    assert_eq!(named(&[b'x'; 250]).unwrap_err(), Errno::EINVAL);
    assert_eq!(named(&[b'x'; 100_000]).unwrap_err(), Errno::EINVAL);
    assert_eq!(named(b"a\0").unwrap_err(), Errno::EINVAL);
    assert_eq!(named(b"\0a").unwrap_err(), Errno::EINVAL);
}

/// MFD-012
#[test]
fn unknown_flags_are_einval() {
    const CLOEXEC: u32 = 1;
    const ALLOW_SEALING: u32 = 2;
    for flags in [
        0x0100,
        !CLOEXEC,
        !ALLOW_SEALING,
        !0,
        0x8000_0000,
        -500_i32 as u32,
    ] {
        let error = create_raw(c"x".as_ptr().cast(), flags).unwrap_err();
        assert_eq!(error, Errno::EINVAL, "{flags:#x}");
        let error = ANY.raw_flags(0x100).create(c"x").unwrap_err();
        assert_eq!(error, Errno::EINVAL);
    }
}

/// MFD-013
#[test]
fn executable_and_not_executable_together_are_einval() {
    let both = MemfdOptions::new().raw_flags(0x10);
    assert_eq!(both.bits(), 0x19);
    assert_eq!(both.create(c"x").unwrap_err(), Errno::EINVAL);
}

/// MFD-014
#[test]
fn the_flags_of_3_17_work_in_every_combination() {
    let none = ANY.inherit().bits() & !2;
    assert_eq!(none, 0);
    for flags in 0..4 {
        create_raw(c"x".as_ptr().cast(), flags).unwrap();
    }
}

/// MFD-016
#[test]
fn it_is_closed_by_execve_unless_it_is_to_be_inherited() {
    let flags = |options: MemfdOptions| io::fcntl_getfd(options.create(c"x").unwrap()).unwrap();
    assert_eq!(flags(ANY), FdFlags::CLOEXEC);
    assert_eq!(flags(ANY.inherit()), FdFlags::empty());
}

/// MFD-018
#[test]
fn a_fresh_one_is_an_empty_regular_file_without_a_name() {
    let stat = fstat(ANY.create(c"x").unwrap()).unwrap();
    assert_eq!(stat.file_type(), FileType::Regular);
    let mode = match memfd_noexec() {
        None | Some(0) => 0o777,
        Some(_) => 0o666,
    };
    assert_eq!(stat.mode().as_raw(), mode);
    assert_eq!((stat.st_size, stat.st_nlink), (0, 0));
    assert!(stat.st_blksize as u64 >= page_size() as u64);
    assert!((stat.st_blksize as u64).is_power_of_two());
}

/// MFD-019
#[test]
fn it_is_on_tmpfs_or_hugetlbfs() {
    let magic = |memfd| fstatfs(memfd).unwrap().f_type as u64;
    assert_eq!(magic(ANY.create(c"x").unwrap()), 0x0102_1994);
    let huge = ANY.huge(HugePage::DEFAULT).create(c"x").unwrap();
    assert_eq!(magic(huge), 0x9584_58f6);
}

/// MFD-022
#[test]
fn a_name_need_not_be_unique() {
    let ino = |memfd: &Memfd| fstat(memfd).unwrap().st_ino;
    let (a, b) = (ANY.create(c"x").unwrap(), ANY.create(c"x").unwrap());
    assert_ne!(ino(&a), ino(&b));
}

/// MFD-024
#[test]
fn what_is_written_can_be_read() {
    let memfd = ANY.create(c"x").unwrap();
    let page = vec![7; page_size()];
    assert_eq!(io::write(&memfd, &page), Ok(page.len()));
    assert_eq!(io::lseek(&memfd, io::SeekFrom::Start(0)), Ok(0));
    let mut back = vec![0; page.len() + 1];
    assert_eq!(io::read(&memfd, &mut back), Ok(page.len()));
    assert_eq!(back[..page.len()], page);
    assert_eq!(memfd.size(), Ok(page.len() as u64));
}

/// MFD-026
#[test]
fn a_duplicate_shares_content_and_offset() {
    let memfd = memfd(b"0123456789");
    let again = memfd.as_fd().try_clone_to_owned().unwrap();
    let mut three = [0; 3];
    io::read(&memfd, &mut three).unwrap();
    io::read(&again, &mut three).unwrap();
    assert_eq!(&three, b"345");
    // Which is why positions are given, by default.
    memfd.read_at(&mut three, 7).unwrap();
    assert_eq!(&three, b"789");
    assert_eq!(io::lseek(&again, io::SeekFrom::Current(0)), Ok(6));
}

/// MFD-027
#[test]
fn opened_again_it_is_the_same_file_with_an_offset_of_its_own() {
    let memfd = memfd(b"0123456789");
    io::lseek(&memfd, io::SeekFrom::Start(5)).unwrap();
    let again = reopen(&memfd, OFlags::RDWR).unwrap();
    assert_eq!(fstat(&memfd).unwrap().st_ino, fstat(&again).unwrap().st_ino);
    assert_eq!(io::lseek(&again, io::SeekFrom::Current(0)), Ok(0));
    let (me, file) = (getpid().as_raw(), 0);
    let (a, b) = (memfd.as_fd().as_raw_fd(), again.as_raw_fd());
    // SAFETY: numbers only.
    match unsafe { syscall!(nr::KCMP, me, me, file, a, b) } {
        Ok(relation) => assert_ne!(relation, 0),
        // A kernel without it, or a sandbox.
        Err(errno) => assert!(errno == Errno::ENOSYS || errno == Errno::EPERM),
    }
}

/// MFD-028
#[test]
fn another_process_can_open_it_through_proc() {
    let _alone = alone();
    let memfd = memfd(b"before");
    let path = format!(
        "/proc/{}/fd/{}\0",
        std::process::id(),
        memfd.as_fd().as_raw_fd()
    );
    let path = std::ffi::CStr::from_bytes_with_nul(path.as_bytes()).unwrap();
    let (status, flags) = (
        fs::fcntl_getfl(&memfd).unwrap(),
        io::fcntl_getfd(&memfd).unwrap(),
    );
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let (done_reader, done_writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    std::thread::scope(|scope| {
        let memfd = &memfd;
        scope.spawn(move || {
            io::read(&reader, &mut [0]).unwrap();
            memfd.write_all_at(b"after!", 0).unwrap();
            io::write(&done_writer, b"x").unwrap();
        });
        in_child(|| {
            for access in [OFlags::RDWR, OFlags::RDONLY] {
                let fd = fs::openat(fs::CWD, path, access, Mode::empty()).map_err(|_| line!())?;
                ensure!(fs::fcntl_getfl(&fd).map(|flags| flags & OFlags::ACCMODE) == Ok(access));
                ensure!(io::fcntl_getfd(&fd) == Ok(FdFlags::empty()));
                if access == OFlags::RDWR {
                    let mut buf = [0; 6];
                    ensure!(io::read(&fd, &mut buf) == Ok(6) && &buf == b"before");
                    ensure!(io::write(&writer, b"x") == Ok(1));
                    ensure!(io::read(&done_reader, &mut [0]) == Ok(1));
                }
                let mut buf = [0; 6];
                ensure!(io::pread(&fd, &mut buf, 0) == Ok(6) && &buf == b"after!");
            }
            Ok(())
        });
    });
    assert_eq!(fs::fcntl_getfl(&memfd), Ok(status));
    assert_eq!(io::fcntl_getfd(&memfd), Ok(flags));
}

/// MFD-033
#[test]
fn status_flags_position_and_mode_can_be_set_and_stay() {
    let memfd = ANY.exec(Exec::SystemDefault).create(c"x").unwrap();
    fs::fcntl_setfl(&memfd, OFlags::APPEND).unwrap();
    io::write(&memfd, b"hello").unwrap();
    io::lseek(&memfd, io::SeekFrom::Start(3)).unwrap();
    fs::fchmod(&memfd, Mode::from_raw(0o642)).unwrap();
    assert!(fs::fcntl_getfl(&memfd).unwrap().contains(OFlags::APPEND));
    assert_eq!(io::lseek(&memfd, io::SeekFrom::Current(0)), Ok(3));
    assert_eq!(fstat(&memfd).unwrap().mode().as_raw(), 0o642);
    // O_APPEND wins over the position that pwrite is given.
    assert_eq!(memfd.write_at(b"!", 0), Ok(1));
    assert_eq!(memfd.size(), Ok(6));
}

#[test]
fn the_default_options_are_einval_before_6_3_and_the_legacy_way_says_what_it_did() {
    let (memfd, applied) = MemfdOptions::new().create_or_legacy(c"x").unwrap();
    let mode = fstat(&memfd).unwrap().mode().as_raw();
    let seals = memfd.seals().unwrap();
    if has_exec_choice() {
        assert!(MemfdOptions::new().create(c"x").is_ok());
        assert_eq!((applied, mode), (Applied::AsAsked, 0o666));
        assert_eq!(seals, Seals::EXEC);
    } else {
        assert_eq!(MemfdOptions::new().create(c"x").unwrap_err(), Errno::EINVAL);
        assert_eq!((applied, mode), (Applied::WithoutExec, 0o777));
        assert_eq!(seals, Seals::empty());
    }
    // It can be sealed either way, which NoExecSeal promises.
    memfd.freeze().unwrap();

    let program = MemfdOptions::new().exec(Exec::Executable);
    let (memfd, applied) = program.create_or_legacy(c"x").unwrap();
    assert_eq!(applied == Applied::AsAsked, has_exec_choice());
    assert_eq!(fstat(&memfd).unwrap().mode().as_raw(), 0o777);
    assert_eq!(memfd.seals(), Ok(Seals::SEAL));

    // Nothing to give up: the kernel's EINVAL stands.
    let nothing = ANY.raw_flags(0x100).create_or_legacy(c"x");
    assert_eq!(nothing.unwrap_err(), Errno::EINVAL);
}

#[test]
fn two_choices_at_once_are_not_given_up_for_the_legacy_way() {
    // MFD_EXEC, beside MFD_NOEXEC_SEAL.
    let both = MemfdOptions::new().raw_flags(0x10);
    assert_eq!(both.create_or_legacy(c"x").unwrap_err(), Errno::EINVAL);
}

/// MFD-105
#[test]
fn an_executable_one_is_not_sealable_by_itself() {
    let memfd = MemfdOptions::new().exec(Exec::Executable).create(c"x");
    if !has_exec_choice() {
        assert_eq!(memfd.unwrap_err(), Errno::EINVAL);
        return;
    }
    let memfd = memfd.unwrap();
    assert_eq!(fstat(&memfd).unwrap().mode().as_raw(), 0o777);
    assert_eq!(memfd.seals(), Ok(Seals::SEAL));
    fs::fchmod(&memfd, Mode::from_raw(0o666)).unwrap();
    assert_eq!(fstat(&memfd).unwrap().mode().as_raw(), 0o666);
}

/// MFD-120
#[test]
fn a_huge_page_size_is_there_or_enodev() {
    for (size, kib) in [
        (HugePage::KB16, 16),
        (HugePage::KB64, 64),
        (HugePage::KB512, 512),
        (HugePage::MB1, 1 << 10),
        (HugePage::MB2, 2 << 10),
        (HugePage::MB8, 8 << 10),
        (HugePage::MB16, 16 << 10),
        (HugePage::MB32, 32 << 10),
        (HugePage::MB256, 256 << 10),
        (HugePage::MB512, 512 << 10),
        (HugePage::GB1, 1 << 20),
        (HugePage::GB2, 2 << 20),
        (HugePage::GB16, 16 << 20),
        // None of the named ones.
        (HugePage::from_log2(35).unwrap(), 32 << 20),
        (HugePage::from_log2(63).unwrap(), 1 << 53),
    ] {
        assert_eq!(size.bytes(), Some(kib << 10));
        assert_eq!(HugePage::from_bytes(kib << 10), Some(size));
        let here = Path::new(&format!("/sys/kernel/mm/hugepages/hugepages-{kib}kB")).exists();
        match ANY.huge(size).create(c"huge") {
            Ok(memfd) => {
                assert!(here, "{kib} KiB");
                assert_eq!(fstat(&memfd).unwrap().st_blksize as u64, kib << 10);
            }
            Err(errno) => assert_eq!((errno, here), (Errno::ENODEV, false), "{kib} KiB"),
        }
    }
    assert_eq!(HugePage::from_log2(0), None);
    assert_eq!(HugePage::from_log2(64), None);
    assert_eq!(HugePage::from_bytes(0), None);
}

/// MFD-121
#[test]
fn a_huge_page_size_without_huge_pages_is_einval() {
    let size = ANY.raw_flags(21 << 26);
    assert_eq!(size.create(c"x").unwrap_err(), Errno::EINVAL);
}

/// MFD-122
#[test]
fn huge_pages_cannot_be_written_by_write_and_have_whole_lengths() {
    let huge = ANY.huge(HugePage::DEFAULT).create(c"x").unwrap();
    assert_eq!(huge.write_at(b"x", 0), Err(Errno::EINVAL));
    assert_eq!(io::write(&huge, b"x"), Err(Errno::EINVAL));
    assert_eq!(huge.set_len(page_size() as u64), Err(Errno::EINVAL));
    let page = fstat(&huge).unwrap().st_blksize as u64;
    huge.set_len(page).unwrap();
    assert_eq!(huge.size(), Ok(page));
}

#[test]
fn a_memfd_never_gets_a_name() {
    let memfd = memfd(b"x");
    let name = c"/tmp/a-memfd-never-gets-a-name";
    let path = FdPath::process(&memfd);
    let linked = fs::linkat(fs::CWD, &path, fs::CWD, name, fs::AtFlags::SYMLINK_FOLLOW);
    assert_eq!(linked, Err(Errno::EXDEV));
    let linked = fs::linkat(&memfd, c"", fs::CWD, name, fs::AtFlags::EMPTY_PATH);
    // Without the privilege ENOENT; the link itself would be EXDEV.
    assert!(linked == Err(Errno::EXDEV) || linked == Err(Errno::ENOENT));
}

#[test]
fn with_memfd_create_at_hand_the_fallback_is_not_taken() {
    let dir = fs::openat(
        fs::CWD,
        c"/tmp",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap();
    match MemfdOptions::new().create_or_tmpfile(c"x", &dir).unwrap() {
        MemoryFile::Memfd(memfd, applied) => {
            assert_eq!(applied == Applied::AsAsked, has_exec_choice());
            memfd.freeze().unwrap();
        }
        MemoryFile::Tmpfile(file) => panic!("{:?}", file.why()),
    }
    // An error that has nothing to do with being forbidden stays one.
    let long = std::ffi::CString::new([b'x'; 250]).unwrap();
    assert_eq!(
        ANY.create_or_tmpfile(&long, &dir).unwrap_err(),
        Errno::EINVAL
    );
}

/// Makes memfd_create fail with `errno` in this process, by seccomp.
fn forbid_memfd_create(errno: Errno) -> Result<(), Errno> {
    #[repr(C)]
    struct Insn(u16, u8, u8, u32);
    #[repr(C)]
    struct Prog(u16, *const Insn);
    let nr = nr::MEMFD_CREATE.as_usize() as u32;
    let filter = [
        Insn(0x20, 0, 0, 0),  // load the number
        Insn(0x15, 0, 1, nr), // memfd_create?
        Insn(0x06, 0, 0, 0x0005_0000 | errno.raw() as u32),
        Insn(0x06, 0, 0, 0x7fff_0000), // allow
    ];
    let prog = Prog(filter.len() as u16, filter.as_ptr());
    // SAFETY: no_new_privs, then a filter; both for this process only.
    unsafe {
        syscall!(nr::PRCTL, 38, 1, 0, 0, 0)?;
        syscall!(nr::SECCOMP, 1, 0, &raw const prog)?;
    }
    Ok(())
}

#[test]
fn where_memfd_create_is_forbidden_the_fallback_is_an_unlinkable_tmpfile() {
    let _alone = alone();
    let dir = fs::openat(
        fs::CWD,
        c"/tmp",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .unwrap();
    for errno in [Errno::EPERM, Errno::ENOSYS] {
        in_child(|| {
            ensure!(forbid_memfd_create(errno).is_ok());
            ensure!(ANY.create(c"x").is_err_and(|error| error == errno));
            for exec in [Exec::NoExecSeal, Exec::Executable, Exec::SystemDefault] {
                let options = MemfdOptions::new().exec(exec);
                let got = options.create_or_tmpfile(c"x", &dir).map_err(|_| line!())?;
                let MemoryFile::Tmpfile(file) = got else {
                    return Err(line!());
                };
                ensure!(file.why() == errno);
                let stat = fstat(&file).map_err(|_| line!())?;
                let wanted = if exec == Exec::Executable {
                    0o700
                } else {
                    0o600
                };
                ensure!(stat.mode().as_raw() & 0o700 == wanted);
                ensure!(stat.st_nlink == 0);
                ensure!(io::fcntl_getfd(&file) == Ok(FdFlags::CLOEXEC));
                ensure!(io::pwrite(&file, b"hello", 0) == Ok(5));
                // It can never have a name, and it cannot be sealed.
                let flags = fs::AtFlags::EMPTY_PATH;
                ensure!(fs::linkat(&file, c"", &dir, c"no", flags) == Err(Errno::ENOENT));
                let refused = barecall::memfd::Frozen::verify(file.into());
                ensure!(refused.is_err());
            }
            let inherited = ANY.inherit().create_or_tmpfile(c"x", &dir);
            ensure!(inherited.is_ok_and(|file| io::fcntl_getfd(file) == Ok(FdFlags::empty())));
            // There are no huge pages in a directory.
            let huge = ANY.huge(HugePage::DEFAULT).create_or_tmpfile(c"x", &dir);
            ensure!(huge.is_err_and(|error| error == errno));
            Ok(())
        });
    }
}

#[test]
fn the_status_flags_are_read_write_and_largefile() {
    let flags = fs::fcntl_getfl(memfd(b"")).unwrap();
    assert_eq!(flags, OFlags::RDWR | OFlags::LARGEFILE);
}
