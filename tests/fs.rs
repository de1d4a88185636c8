//! `fs`: files, directories and their names.

use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::{
    self, Access, AtFlags, DecInt, DirEntries, FallocateFlags, FdPath, FileType, FlockFlags, Mode,
    OFlags, OpenHow, RenameFlags, ResolveFlags, StatxAttributes, StatxMask,
};
use barecall::mm::{self, MapFlags, ProtFlags};
use barecall::{Errno, io};
use std::ffi::{CStr, CString};
use std::os::unix::fs::MetadataExt as _;

mod common;
use common::kernel_is_at_least;

/// A directory of its own for a test, removed when the test is over.
struct Scratch {
    dir: OwnedFd,
    path: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let path = tempfile::tempdir_in("/tmp").unwrap();
        let name = CString::new(path.path().as_os_str().as_encoded_bytes()).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::openat(fs::CWD, &name, flags, Mode::empty()).unwrap();
        Self { dir, path }
    }

    fn create(&self, name: &CStr) -> OwnedFd {
        let flags = OFlags::CREAT | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
        fs::openat(&self.dir, name, flags, Mode::from_raw(0o600)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn a_path_starts_from_a_descriptor_or_from_the_current_directory() {
    let scratch = Scratch::new();
    scratch.create(c"here");
    let open = |dir: fs::DirFd<'_>| fs::openat(dir, c"here", OFlags::CLOEXEC, Mode::empty());
    assert!(open(fs::DirFd::new(scratch.dir.as_fd())).is_ok());
    assert_eq!(open(fs::CWD).unwrap_err(), Errno::ENOENT);
    assert!(
        fs::openat::<&&OwnedFd>(&&scratch.dir, c"here", OFlags::CLOEXEC, Mode::empty()).is_ok()
    );
    assert!(fs::openat(scratch.dir.as_fd(), c"here", OFlags::CLOEXEC, Mode::empty()).is_ok());
    assert_eq!(size_of::<fs::DirFd<'_>>(), 4);
    assert_eq!(format!("{:?}", fs::CWD), "CWD");
}

#[test]
fn sync_contains_dsync_and_dsync_alone_stays_alone() {
    let scratch = Scratch::new();
    scratch.create(c"f");
    for flags in [OFlags::DSYNC, OFlags::SYNC] {
        let open = OFlags::RDWR | OFlags::CLOEXEC | flags;
        let file = fs::openat(&scratch.dir, c"f", open, Mode::empty()).unwrap();
        assert_eq!(fs::fcntl_getfl(&file).unwrap() & OFlags::SYNC, flags);
    }
    assert!(OFlags::SYNC.contains(OFlags::DSYNC));
}

// ABI-018
#[test]
fn flags_of_this_architecture_are_what_the_kernel_shows() {
    let path = tempfile::tempdir_in("/tmp").unwrap();
    let name = CString::new(path.path().as_os_str().as_encoded_bytes()).unwrap();
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = fs::openat(fs::CWD, &name, flags, Mode::empty()).unwrap();
    let got = fs::fcntl_getfl(&dir).unwrap();
    // qemu-user translates the flags, and drops O_NOFOLLOW.
    assert!(
        got.contains(OFlags::DIRECTORY | OFlags::LARGEFILE),
        "{got:?}"
    );
    assert!(!got.contains(OFlags::DIRECT), "{got:?}");
    let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC | io::PipeFlags::DIRECT).unwrap();
    assert!(fs::fcntl_getfl(&writer).unwrap().contains(OFlags::DIRECT));
}

#[test]
fn openat2_refuses_what_openat_ignores_and_stays_beneath() {
    let scratch = Scratch::new();
    scratch.create(c"f");
    fs::symlinkat(c"/etc", &scratch.dir, c"out").unwrap();
    let open = |path, how| fs::openat2(&scratch.dir, path, &how).map(drop);
    let how = OpenHow::new(OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH);
    if open(c"f", how) == Err(Errno::ENOSYS) {
        // Linux 5.10 has it; qemu-user may not.
        assert!(!kernel_is_at_least(5, 6) || cfg!(target_arch = "aarch64"));
        skip!("no openat2");
    }
    assert_eq!(open(c"f", how), Ok(()));
    assert_eq!(open(c"out/passwd", how), Err(Errno::EXDEV));
    let unknown = OpenHow {
        flags: 1 << 60,
        ..how
    };
    assert_eq!(open(c"f", unknown), Err(Errno::EINVAL));
    let no_links = OpenHow {
        resolve: ResolveFlags::NO_SYMLINKS,
        ..how
    };
    assert_eq!(open(c"out", no_links), Err(Errno::ELOOP));
}

#[test]
// The types of some fields differ between the architectures.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn stat_agrees_with_std_in_every_field() {
    let scratch = Scratch::new();
    let file = scratch.create(c"f");
    io::write_all(&file, &[7; 10_000]).unwrap();
    fs::linkat(&scratch.dir, c"f", &scratch.dir, c"g", AtFlags::empty()).unwrap();
    let std = std::fs::metadata(scratch.path.path().join("f")).unwrap();
    let stat = fs::fstat(&file).unwrap();
    let by_name = fs::statat(&scratch.dir, c"g", AtFlags::empty()).unwrap();
    for stat in [stat, by_name] {
        assert_eq!(stat.st_dev, std.dev());
        assert_eq!(stat.st_ino, std.ino());
        assert_eq!(stat.st_mode, std.mode());
        assert_eq!(u64::from(stat.st_nlink), 2);
        assert_eq!(stat.st_uid, std.uid());
        assert_eq!(stat.st_gid, std.gid());
        assert_eq!(stat.st_rdev, std.rdev());
        assert_eq!(stat.st_size, 10_000);
        assert_eq!(i64::from(stat.st_blksize), std.blksize() as i64);
        assert_eq!(stat.st_blocks, std.blocks() as i64);
        assert_eq!(stat.st_atime as i64, std.atime());
        assert_eq!(stat.st_atime_nsec as i64, std.atime_nsec());
        assert_eq!(stat.st_mtime as i64, std.mtime());
        assert_eq!(stat.st_mtime_nsec as i64, std.mtime_nsec());
        assert_eq!(stat.st_ctime as i64, std.ctime());
        assert_eq!(stat.st_ctime_nsec as i64, std.ctime_nsec());
        assert_eq!(stat.file_type(), FileType::Regular);
        assert_eq!(stat.mode(), Mode::from_raw(0o600));
    }

    let mask = StatxMask::BASIC_STATS | StatxMask::MNT_ID;
    let statx = fs::statx(&file, c"", AtFlags::EMPTY_PATH, mask).unwrap();
    assert!(statx.stx_mask.contains(StatxMask::BASIC_STATS));
    assert_eq!(
        statx.stx_mask.contains(StatxMask::MNT_ID),
        kernel_is_at_least(5, 8)
    );
    assert_eq!(statx.stx_ino, std.ino());
    assert_eq!(statx.stx_size, 10_000);
    assert_eq!(statx.stx_nlink, 2);
    assert_eq!(statx.stx_mtime.tv_sec, std.mtime());
    assert_eq!(i64::from(statx.stx_mtime.tv_nsec), std.mtime_nsec());
    assert_eq!(statx.file_type(), FileType::Regular);
    assert_eq!(statx.mode(), Mode::from_raw(0o600));
    let dev = fs::makedev(statx.stx_dev_major, statx.stx_dev_minor);
    assert_eq!(dev, std.dev());
}

#[test]
fn statx_knows_the_root_of_a_mount() {
    let root = |path| fs::statx(fs::CWD, path, AtFlags::empty(), StatxMask::empty()).unwrap();
    let proc = root(c"/proc");
    if kernel_is_at_least(5, 8) {
        assert!(
            proc.stx_attributes_mask
                .contains(StatxAttributes::MOUNT_ROOT)
        );
        assert!(proc.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        assert!(
            !root(c"/proc/self")
                .stx_attributes
                .contains(StatxAttributes::MOUNT_ROOT)
        );
    }
    let reserved = StatxMask::from_bits_retain(1 << 31);
    let refused = fs::statx(fs::CWD, c"/", AtFlags::empty(), reserved);
    assert_eq!(refused.unwrap_err(), Errno::EINVAL);
}

#[test]
fn statfs_by_path_and_by_descriptor_agree() {
    let proc = fs::openat(fs::CWD, c"/proc", OFlags::CLOEXEC, Mode::empty()).unwrap();
    let (by_path, by_fd) = (fs::statfs(c"/proc").unwrap(), fs::fstatfs(&proc).unwrap());
    assert_eq!(by_path.f_type, 0x9fa0);
    assert_eq!(by_fd.f_type, 0x9fa0);
    assert_eq!(by_fd.f_namelen, 255);
    assert_eq!(by_path.f_fsid, by_fd.f_fsid);
}

#[test]
fn file_types_go_both_ways_and_keep_what_they_do_not_know() {
    for bits in 0..16 {
        let mode = bits << 12;
        assert_eq!(FileType::from_mode(mode | 0o777).as_raw(), mode);
        assert_eq!(FileType::from_dirent(bits as u8), FileType::from_mode(mode));
    }
    assert_eq!(FileType::from_mode(0o160_000), FileType::Unknown(0o160_000));
    assert_eq!(FileType::from_dirent(0), FileType::Unknown(0));
}

#[test]
fn access_is_asked_without_opening() {
    let scratch = Scratch::new();
    scratch.create(c"f");
    let ask = |path, access| fs::faccessat2(&scratch.dir, path, access, AtFlags::EACCESS);
    let none = Access::empty();
    if ask(c"f", none) == Err(Errno::ENOSYS) {
        assert!(!kernel_is_at_least(5, 8) || cfg!(target_arch = "aarch64"));
        skip!("no faccessat2");
    }
    assert_eq!(ask(c"f", Access::READ | Access::WRITE), Ok(()));
    assert_eq!(ask(c"f", Access::EXEC), Err(Errno::EACCES));
    assert_eq!(ask(c"no", none), Err(Errno::ENOENT));
    assert_eq!(ask(c"f", Access::from_bits_retain(8)), Err(Errno::EINVAL));
}

#[test]
fn names_are_made_changed_and_removed() {
    let scratch = Scratch::new();
    let dir = &scratch.dir;
    io::write_all(scratch.create(c"a"), b"A").unwrap();
    io::write_all(scratch.create(c"b"), b"B").unwrap();
    let rename = |old, new, flags| fs::renameat2(dir, old, dir, new, flags);
    assert_eq!(
        rename(c"a", c"b", RenameFlags::NOREPLACE),
        Err(Errno::EEXIST)
    );
    rename(c"a", c"b", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(std::fs::read(scratch.path.path().join("a")).unwrap(), b"B");
    let both = RenameFlags::EXCHANGE | RenameFlags::NOREPLACE;
    assert_eq!(rename(c"a", c"b", both), Err(Errno::EINVAL));
    rename(c"a", c"b", RenameFlags::empty()).unwrap();
    assert_eq!(scratch.names(), ["b"]);

    // Two names of one file: nothing happens, and the old name stays.
    fs::linkat(dir, c"b", dir, c"c", AtFlags::empty()).unwrap();
    rename(c"b", c"c", RenameFlags::empty()).unwrap();
    assert_eq!(scratch.names(), ["b", "c"]);

    fs::mkdirat(dir, c"d", Mode::from_raw(0o700)).unwrap();
    let unlink = |name, flags| fs::unlinkat(dir, name, flags);
    assert_eq!(unlink(c"d", AtFlags::empty()), Err(Errno::EISDIR));
    assert_eq!(unlink(c"b", AtFlags::REMOVEDIR), Err(Errno::ENOTDIR));
    unlink(c"d", AtFlags::REMOVEDIR).unwrap();
    unlink(c"b", AtFlags::empty()).unwrap();
    unlink(c"c", AtFlags::empty()).unwrap();
    assert_eq!(unlink(c"c", AtFlags::empty()), Err(Errno::ENOENT));
    assert!(scratch.names().is_empty());
}

#[test]
fn a_link_that_does_not_fit_is_cut_off() {
    let scratch = Scratch::new();
    fs::symlinkat(c"0123456789", &scratch.dir, c"l").unwrap();
    let mut buf = [0; 16];
    let read = fs::readlinkat(&scratch.dir, c"l", &mut buf).unwrap();
    assert_eq!(read, b"0123456789");
    let cut = fs::readlinkat(&scratch.dir, c"l", &mut buf[..4]).unwrap();
    assert_eq!(cut, b"0123");
    let empty = fs::readlinkat(&scratch.dir, c"l", &mut []);
    assert_eq!(empty, Err(Errno::EINVAL));
    scratch.create(c"f");
    let no_link = fs::readlinkat(&scratch.dir, c"f", &mut buf);
    assert_eq!(no_link, Err(Errno::EINVAL));
    let symlink = AtFlags::SYMLINK_NOFOLLOW;
    let stat = fs::statat(&scratch.dir, c"l", symlink).unwrap();
    assert_eq!(stat.file_type(), FileType::Symlink);
}

#[test]
fn nodes_of_every_kind_are_what_they_were_made() {
    let scratch = Scratch::new();
    let mode = Mode::from_raw(0o600);
    for (name, file_type) in [
        (c"fifo", FileType::Fifo),
        (c"socket", FileType::Socket),
        (c"file", FileType::Regular),
    ] {
        fs::mknodat(&scratch.dir, name, file_type, mode, 0).unwrap();
        let stat = fs::statat(&scratch.dir, name, AtFlags::empty()).unwrap();
        assert_eq!(stat.file_type(), file_type);
        assert_eq!(stat.mode(), mode);
    }
    let directory = fs::mknodat(&scratch.dir, c"d", FileType::Directory, mode, 0);
    assert_eq!(directory, Err(Errno::EPERM));
    // Nothing else is made instead.
    let of_directory = Mode::from_raw(0o040600);
    for (file_type, mode, dev) in [
        (FileType::Regular, of_directory, 0),
        (FileType::Unknown(0), mode, 0),
        (FileType::CharDevice, mode, 1 << 32 | fs::makedev(1, 3)),
    ] {
        let made = fs::mknodat(&scratch.dir, c"other", file_type, mode, dev);
        assert_eq!(made, Err(Errno::EINVAL), "{file_type:?}");
        let found = fs::statat(&scratch.dir, c"other", AtFlags::empty());
        assert_eq!(found.err(), Some(Errno::ENOENT));
    }
    let dev = fs::makedev(0x1a3, 0x5b7c9);
    match fs::mknodat(&scratch.dir, c"dev", FileType::CharDevice, mode, dev) {
        Ok(()) => {
            let stat = fs::statat(&scratch.dir, c"dev", AtFlags::empty()).unwrap();
            assert_eq!(stat.st_rdev, dev);
        }
        error => assert_eq!(error, Err(Errno::EPERM), "root may make devices"),
    }
}

#[test]
fn modes_and_owners_are_set_by_descriptor_and_by_path() {
    let scratch = Scratch::new();
    let file = scratch.create(c"f");
    let mode = || fs::fstat(&file).unwrap().mode();
    fs::fchmod(&file, Mode::from_raw(0o640)).unwrap();
    assert_eq!(mode(), Mode::from_raw(0o640));
    fs::fchmodat(&scratch.dir, c"f", Mode::from_raw(0o4755)).unwrap();
    assert_eq!(mode(), Mode::SUID | Mode::from_raw(0o755));
    let (new, flags) = (Mode::from_raw(0o400), AtFlags::EMPTY_PATH);
    match fs::fchmodat2(&file, c"", new, flags) {
        Ok(()) => assert_eq!(mode(), new),
        Err(errno) => {
            assert_eq!(errno, Errno::ENOSYS);
            assert!(!kernel_is_at_least(6, 6) || cfg!(target_arch = "aarch64"));
        }
    }
    let stat = fs::fstat(&file).unwrap();
    fs::fchown(&file, None, Some(stat.st_gid)).unwrap();
    let (uid, none) = (Some(stat.st_uid), AtFlags::empty());
    fs::fchownat(&scratch.dir, c"f", uid, None, none).unwrap();
    // To the kernel, as it is: what getsockopt says of a peer that there is not.
    let nobody = Some(u32::MAX);
    assert_eq!(fs::fchown(&file, nobody, None), Err(Errno::EINVAL));
    assert_eq!(fs::fchown(&file, None, nobody), Err(Errno::EINVAL));
    let changed = fs::fchownat(&scratch.dir, c"f", None, nobody, none);
    assert_eq!(changed, Err(Errno::EINVAL));
    let path = fs::openat(
        &scratch.dir,
        c"f",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    );
    assert_eq!(fs::fchmod(path.unwrap(), new), Err(Errno::EBADF));
}

#[test]
fn a_file_grows_shrinks_and_gets_holes() {
    let scratch = Scratch::new();
    let file = scratch.create(c"f");
    let size = || fs::fstat(&file).unwrap().st_size;
    fs::ftruncate(&file, 5).unwrap();
    assert_eq!(size(), 5);
    assert_eq!(fs::ftruncate(&file, u64::MAX), Err(Errno::EINVAL));
    fs::fallocate(&file, FallocateFlags::empty(), 0, 65536).unwrap();
    assert_eq!(size(), 65536);
    fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 65536, 65536).unwrap();
    assert_eq!(size(), 65536);
    assert!(fs::fstat(&file).unwrap().st_blocks >= 128);
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fs::fallocate(&file, hole, 0, 131_072).unwrap();
    assert_eq!(size(), 65536);
    let zero = fs::fallocate(&file, FallocateFlags::empty(), 0, 0);
    assert_eq!(zero, Err(Errno::EINVAL));
    let alone = fs::fallocate(&file, FallocateFlags::PUNCH_HOLE, 0, 4096);
    assert_eq!(alone, Err(Errno::EOPNOTSUPP));
    fs::fsync(&file).unwrap();
    fs::fdatasync(&file).unwrap();
    fs::fsync(&scratch.dir).unwrap();
    let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    assert_eq!(fs::fsync(reader), Err(Errno::EINVAL));
}

#[test]
fn a_lock_belongs_to_the_open_file_description() {
    let scratch = Scratch::new();
    let file = scratch.create(c"f");
    let other = fs::openat(&scratch.dir, c"f", OFlags::CLOEXEC, Mode::empty()).unwrap();
    let now = FlockFlags::EX | FlockFlags::NB;
    fs::flock(&file, now).unwrap();
    assert_eq!(fs::flock(file.try_clone().unwrap(), now), Ok(()));
    assert_eq!(fs::flock(&other, now), Err(Errno::EAGAIN));
    fs::flock(&file, FlockFlags::UN).unwrap();
    fs::flock(&other, now).unwrap();
    let two = FlockFlags::SH | FlockFlags::EX;
    assert_eq!(fs::flock(&file, two), Err(Errno::EINVAL));
}

#[test]
fn a_buffer_longer_than_an_int_can_say_is_room_enough() {
    let scratch = Scratch::new();
    fs::symlinkat(c"0123456789", &scratch.dir, c"l").unwrap();
    for length in [1 << 31, 1 << 32, (1 << 32) + 8] {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping.
        let mapped = unsafe { mm::mmap_anonymous(std::ptr::null_mut(), length, prot, flags) };
        let Ok(start) = mapped else {
            println!("skipped: no {length} bytes of address space ({mapped:?})");
            return;
        };
        // SAFETY: ours until it is unmapped.
        let buf = unsafe { std::slice::from_raw_parts_mut(start.cast(), length) };
        let read = fs::readlinkat(&scratch.dir, c"l", buf).map(<[u8]>::to_vec);
        assert_eq!(read.unwrap(), b"0123456789", "{length}");
        io::lseek(&scratch.dir, io::SeekFrom::Start(0)).unwrap();
        let names = fs::getdents64(&scratch.dir, buf).unwrap().count();
        assert_eq!(names, 3, "{length}");
        // SAFETY: nothing refers to it any more.
        unsafe { mm::munmap(start, length) }.unwrap();
    }
}

#[test]
fn a_directory_is_read_in_pieces() {
    let scratch = Scratch::new();
    for n in 0..100 {
        let name = CString::new(format!("file-{n}")).unwrap();
        scratch.create(&name);
    }
    let mut found = Vec::new();
    let mut buf = [0; 200];
    loop {
        let entries = fs::getdents64(&scratch.dir, &mut buf[1..]).unwrap();
        if entries.is_empty() {
            break;
        }
        let mut entries = entries;
        for entry in &mut entries {
            let name = entry.name.to_str().unwrap().to_owned();
            let stat = fs::statat(&scratch.dir, entry.name, AtFlags::empty()).unwrap();
            if name != ".." {
                assert_eq!(entry.ino, stat.st_ino);
            }
            assert_eq!(entry.file_type, stat.file_type());
            found.push(name);
        }
        assert!(entries.as_bytes().is_empty(), "a record was not understood");
    }
    found.sort();
    found.retain(|name| name != "." && name != "..");
    assert_eq!(found, scratch.names());
    let small = fs::getdents64(&scratch.dir, &mut [0; 8]).map(|entries| entries.is_empty());
    // At the end of the directory nothing has to fit.
    assert!(matches!(small, Ok(true) | Err(Errno::EINVAL)), "{small:?}");
    let file = scratch.create(c"f");
    let not_a_directory = fs::getdents64(&file, &mut buf);
    assert_eq!(not_a_directory.unwrap_err(), Errno::ENOTDIR);
}

#[test]
fn odd_directory_records_end_the_iteration_and_nothing_else() {
    // A good record: ino 1, off 2, reclen 24, DT_REG, "abcd".
    let mut good = [0; 24];
    good[0] = 1;
    good[8] = 2;
    good[16] = 24;
    good[18] = 8;
    good[19..23].copy_from_slice(b"abcd");
    let entry = DirEntries::from_bytes(&good).next().unwrap();
    assert_eq!((entry.ino, entry.off, entry.name), (1, 2, c"abcd"));
    assert_eq!(entry.file_type, FileType::Regular);

    // Whatever its length says, and wherever the bytes end.
    for reclen in [0, 1, 18, 19, 20, 23, 24, 25, 255, u16::MAX] {
        let mut bytes = good;
        bytes[16..18].copy_from_slice(&reclen.to_ne_bytes());
        for len in 0..=bytes.len() {
            let mut entries = DirEntries::from_bytes(&bytes[..len]);
            let count = entries.by_ref().count();
            assert_eq!(
                count,
                usize::from(reclen == 24 && len == 24),
                "{reclen} {len}"
            );
            assert_eq!(entries.as_bytes().is_empty(), count == 1 || len == 0);
        }
    }
}

#[test]
fn numbers_and_descriptor_paths_are_written_right() {
    for number in [
        0,
        1,
        9,
        10,
        99,
        100,
        12345,
        u64::from(u32::MAX),
        u64::MAX - 1,
        u64::MAX,
    ] {
        assert_eq!(DecInt::new(number).to_str().unwrap(), number.to_string());
    }
    for power in 0..20 {
        for number in [10_u64.pow(power) - 1, 10_u64.pow(power)] {
            assert_eq!(DecInt::new(number).to_str().unwrap(), number.to_string());
        }
    }
    let fd = fs::openat(fs::CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let number = fd.as_raw_fd();
    let path = FdPath::process(&fd);
    assert_eq!(path.to_str().unwrap(), format!("/proc/self/fd/{number}"));
    let path = FdPath::thread(&fd);
    assert_eq!(
        path.to_str().unwrap(),
        format!("/proc/thread-self/fd/{number}")
    );
    // SAFETY: only its number is looked at.
    let longest = unsafe { barecall::fd::BorrowedFd::borrow_raw(i32::MAX) };
    let path = FdPath::thread(longest);
    assert_eq!(&*path, c"/proc/thread-self/fd/2147483647");
}
