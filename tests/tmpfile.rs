//! `tmpfile`: files without a name, and how they get one.
//!
//! What depends on credentials, the umask or the current directory is done in
//! a forked child. Root is needed for some of that; without it, they skip.

use barecall::Errno;
use barecall::fd::{AsFd, BorrowedFd, OwnedFd};
use barecall::fs::{
    self, AsDirFd, AtFlags, DirFd, FdPath, FileType, Mode, OFlags, OpenHow, RenameFlags,
    ResolveFlags,
};
use barecall::io;
use barecall::tmpfile::{
    self, Durability, LinkCause, Linkable, Remains, ScratchName, Step, TmpfileOptions, Via, Way,
};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

mod common;
use common::kernel_is_at_least;

const RW: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC);
const USER: u32 = 12345;

fn mode(mode: u32) -> Mode {
    Mode::from_raw(mode)
}

/// A directory of its own for a test, removed when the test is over.
struct Scratch {
    dir: OwnedFd,
    path: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let path = tempfile::tempdir_in("/tmp").unwrap();
        let name = c_path(path.path());
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::openat(fs::CWD, &name, flags, Mode::empty()).unwrap();
        Self { dir, path }
    }

    fn path(&self, name: &str) -> CString {
        c_path(&self.path.path().join(name))
    }

    fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.path.path().join(name), contents).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path.path().join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        fs::openat(&self.dir, c".", flags, mode(0o600))
    }

    fn linkable(&self, contents: &[u8]) -> Linkable {
        let file = TmpfileOptions::new().linkable(&self.dir, c".").unwrap();
        io::write_all(&file, contents).unwrap();
        file
    }
}

fn c_path(path: &std::path::Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn nlink(fd: impl AsFd) -> u64 {
    let stat = fs::statx(fd.as_fd(), c"", AtFlags::EMPTY_PATH, fs::StatxMask::NLINK).unwrap();
    u64::from(stat.stx_nlink)
}

/// Does something in a forked child, which may change itself as it likes. What
/// it answers is handed on by the exit status; a panic there fails the test.
fn in_child(body: impl FnOnce() -> u8) -> u8 {
    // SAFETY: the child only runs `body`, which makes system calls and may
    // allocate; the allocators of glibc and musl work after fork.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            // SAFETY: ends the child, without what belongs to the parent.
            unsafe { libc::_exit(answer.map_or(255, i32::from)) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: our child, and a place for its status.
            let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert_eq!(waited, pid);
            assert!(libc::WIFEXITED(status), "child: {status:#x}");
            let answer = libc::WEXITSTATUS(status) as u8;
            assert_ne!(answer, 255, "the child failed");
            answer
        }
    }
}

/// Becomes an ordinary user, in a child.
fn become_user() {
    // SAFETY: numbers, and no groups. The raw calls: this is a forked child, and
    // libc would want all threads of the parent to follow.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_setgroups, 0, 0), 0);
        assert_eq!(libc::syscall(libc::SYS_setresgid, USER, USER, USER), 0);
        assert_eq!(libc::syscall(libc::SYS_setresuid, USER, USER, USER), 0);
    }
}

fn is_root() -> bool {
    // SAFETY: takes nothing, and never fails.
    unsafe { libc::geteuid() == 0 }
}

/// The errno as a child's answer, 0 for success.
fn answer<T, E: Into<Errno>>(result: Result<T, E>) -> u8 {
    match result {
        Ok(_) => 0,
        Err(error) => error.into().raw() as u8,
    }
}

fn errno(answer: u8) -> Option<Errno> {
    Errno::new(answer.into())
}

// ---- opening ----

// TMP-001, TMP-003
#[test]
fn a_new_file_is_regular_empty_and_in_no_directory() {
    let scratch = Scratch::new();
    let file = TmpfileOptions::new().linkable(&scratch.dir, c".").unwrap();
    let stat = fs::fstat(&file).unwrap();
    assert_eq!(stat.file_type(), FileType::Regular);
    assert_eq!((stat.st_nlink, stat.st_size), (0, 0));
    for _ in 0..4 {
        io::write_all(&file, &[1; 1024]).unwrap();
    }
    assert_eq!(fs::fstat(&file).unwrap().st_size, 4096);
    assert!(scratch.names().is_empty());
    assert_eq!(io::fcntl_getfd(&file).unwrap(), io::FdFlags::CLOEXEC);
}

// TMP-006, TMP-013, TMP-015
#[test]
fn the_directory_can_be_a_descriptor_or_a_path_and_flags_are_kept() {
    let scratch = Scratch::new();
    let options = TmpfileOptions::new();
    options.linkable(&scratch.dir, c".").unwrap();
    options.linkable(fs::CWD, &scratch.path("")).unwrap();
    options.linkable(fs::CWD, &scratch.path("./")).unwrap();
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = fs::openat(&scratch.dir, c".", place, Mode::empty()).unwrap();
    options.anonymous(&place, c".").unwrap();

    let append = options.append().write_only().inherit();
    let file = append.linkable(&scratch.dir, c".").unwrap();
    let flags = fs::fcntl_getfl(&file).unwrap();
    assert_eq!(flags & OFlags::ACCMODE, OFlags::WRONLY);
    assert!(flags.contains(OFlags::APPEND));
    assert_eq!(io::fcntl_getfd(&file).unwrap(), io::FdFlags::empty());
    let sync = options
        .sync()
        .noatime()
        .linkable(&scratch.dir, c".")
        .unwrap();
    let flags = fs::fcntl_getfl(&sync).unwrap();
    assert!(flags.contains(OFlags::SYNC | OFlags::NOATIME));
    let dsync = options.dsync().linkable(&scratch.dir, c".").unwrap();
    assert_eq!(
        fs::fcntl_getfl(&dsync).unwrap() & OFlags::SYNC,
        OFlags::DSYNC
    );
    scratch.open(OFlags::TMPFILE | RW | OFlags::TRUNC).unwrap();
}

#[test]
fn a_symbolic_link_to_the_directory_is_followed_unless_told_not_to() {
    let scratch = Scratch::new();
    fs::symlinkat(c"/tmp", &scratch.dir, c"link").unwrap();
    let options = TmpfileOptions::new();
    options.linkable(&scratch.dir, c"link").unwrap();
    let refused = options.nofollow().linkable(&scratch.dir, c"link");
    assert_eq!(refused.unwrap_err(), Errno::ENOTDIR);
}

// TMP-007, TMP-008: why the options cannot say these.
#[test]
fn the_kernel_refuses_or_misreads_what_the_options_cannot_say() {
    let scratch = Scratch::new();
    let tmpfile = OFlags::TMPFILE | OFlags::CLOEXEC;
    let refused = |flags| scratch.open(flags).unwrap_err();
    assert_eq!(refused(tmpfile | OFlags::RDONLY), Errno::EINVAL);
    assert_eq!(
        refused(tmpfile | OFlags::RDWR | OFlags::CREAT),
        Errno::EINVAL
    );
    let both = OFlags::CREAT | OFlags::EXCL;
    assert_eq!(refused(tmpfile | OFlags::RDWR | both), Errno::EINVAL);
    let bare = tmpfile.difference(OFlags::DIRECTORY);
    assert_eq!(refused(bare | OFlags::RDWR), Errno::EINVAL);
    // O_PATH wins: this is the directory.
    let misread = scratch.open(tmpfile | OFlags::RDWR | OFlags::PATH).unwrap();
    let stat = fs::fstat(&misread).unwrap();
    assert_eq!(stat.file_type(), FileType::Directory);
}

// TMP-011, TMP-018
#[test]
fn what_is_no_directory_is_refused() {
    let scratch = Scratch::new();
    scratch.write("file", b"");
    let refused = |dir: DirFd<'_>, path: &CStr| {
        TmpfileOptions::new()
            .linkable(dir, path)
            .map(drop)
            .unwrap_err()
    };
    let dir = DirFd::new(scratch.dir.as_fd());
    assert_eq!(refused(dir, c"file"), Errno::ENOTDIR);
    assert_eq!(refused(dir, c"missing"), Errno::ENOENT);
    assert_eq!(refused(dir, c""), Errno::ENOENT);
    let file = fs::openat(dir, c"file", OFlags::CLOEXEC, Mode::empty()).unwrap();
    assert_eq!(refused(DirFd::new(file.as_fd()), c"."), Errno::ENOTDIR);
    // SAFETY: a number that nobody has open; it is only given to the kernel.
    let closed = unsafe { BorrowedFd::borrow_raw(9999) };
    assert_eq!(refused(DirFd::new(closed), c"."), Errno::EBADF);
}

// TMP-016
#[test]
fn file_systems_without_such_files_say_so() {
    for path in [c"/proc", c"/sys", c"/dev/pts"] {
        let refused = TmpfileOptions::new().linkable(fs::CWD, path);
        assert_eq!(refused.unwrap_err(), Errno::EOPNOTSUPP, "{path:?}");
    }
}

// TMP-017
#[test]
fn a_read_only_mount_refuses() {
    if !is_root() {
        skip!("mounting needs root");
    }
    let scratch = Scratch::new();
    let path = scratch.path("");
    let said = in_child(|| {
        // SAFETY: strings; a mount namespace of the child's own.
        unsafe {
            assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let (none, root) = (std::ptr::null(), c"/".as_ptr());
            assert_eq!(libc::mount(none, root, none, private, none.cast()), 0);
            let (tmpfs, at) = (c"tmpfs".as_ptr(), path.as_ptr());
            assert_eq!(
                libc::mount(tmpfs, at, tmpfs, libc::MS_RDONLY, none.cast()),
                0
            );
        }
        answer(TmpfileOptions::new().linkable_or_named(fs::CWD, &path))
    });
    assert_eq!(errno(said), Some(Errno::EROFS));
}

// TMP-019
#[test]
fn a_directory_that_one_may_not_write_refuses() {
    if !is_root() {
        skip!("becoming somebody else needs root");
    }
    let scratch = Scratch::new();
    fs::fchmod(&scratch.dir, mode(0o755)).unwrap();
    let said = in_child(|| {
        become_user();
        answer(TmpfileOptions::new().linkable_or_named(&scratch.dir, c"."))
    });
    assert_eq!(errno(said), Some(Errno::EACCES));
}

// TMP-020, TMP-021
#[test]
fn the_mode_is_what_was_asked_for_less_the_umask() {
    let scratch = Scratch::new();
    for (umask, asked) in [
        (0o022, 0),
        (0o022, 0o7777),
        (0o022, 0o001),
        (0o022, 0o755),
        (0o022, 0o644),
        (0o022, 0o440),
        (0, 0o7777),
        (0o077, 0o777),
    ] {
        in_child(|| {
            // SAFETY: a number; the child's umask is its own.
            unsafe { libc::umask(umask) };
            let options = TmpfileOptions::new().mode(mode(asked));
            let file = options.linkable(&scratch.dir, c".").unwrap();
            let expected = mode(asked & !umask);
            assert_eq!(fs::fstat(&file).unwrap().mode(), expected);
            let name = CString::new(format!("{umask:o}-{asked:o}")).unwrap();
            file.link_any(&scratch.dir, &name).unwrap();
            let stat = fs::statat(&scratch.dir, &name, AtFlags::empty()).unwrap();
            assert_eq!(stat.mode(), expected);
            0
        });
    }
}

// TMP-024, TMP-025
#[test]
fn the_descriptor_can_do_what_it_was_opened_for_whatever_the_mode() {
    let scratch = Scratch::new();
    let options = TmpfileOptions::new().mode(Mode::empty());
    let file = options.linkable(&scratch.dir, c".").unwrap();
    io::write_all(&file, b"abc").unwrap();
    assert_eq!(io::pread(&file, &mut [0; 8], 0), Ok(3));
    let again = fs::openat(fs::CWD, &FdPath::thread(&file), RW, Mode::empty());
    match again {
        Ok(again) => assert_eq!(io::read(&again, &mut [0; 8]), Ok(3)),
        Err(errno) => assert_eq!((errno, is_root()), (Errno::EACCES, false)),
    }
    let write_only = options.write_only().linkable(&scratch.dir, c".").unwrap();
    assert_eq!(io::read(&write_only, &mut [0; 8]), Err(Errno::EBADF));
}

// TMP-026, TMP-027
#[test]
fn the_file_outlives_its_directory() {
    let scratch = Scratch::new();
    let path = |depth: usize| c_path(&PathBuf::from("d/".repeat(depth)));
    let mut files = Vec::new();
    for depth in 1..=100 {
        fs::mkdirat(&scratch.dir, &path(depth), mode(0o700)).unwrap();
        let file = TmpfileOptions::new().anonymous(&scratch.dir, &path(depth));
        files.push(file.unwrap());
    }
    for depth in (1..=100).rev() {
        fs::unlinkat(&scratch.dir, &path(depth), AtFlags::REMOVEDIR).unwrap();
    }
    for (n, file) in files.iter().enumerate() {
        io::write_all(file, &[n as u8; 100]).unwrap();
        let mut buf = [0; 200];
        assert_eq!(io::pread(file, &mut buf, 0), Ok(100));
        assert_eq!(buf[..100], [n as u8; 100]);
    }
}

// TMP-029
#[test]
fn closing_leaves_nothing_even_after_fsync() {
    let scratch = Scratch::new();
    let file = scratch.linkable(b"abc");
    fs::fsync(&file).unwrap();
    io::close(file.into()).unwrap();
    assert!(scratch.names().is_empty());
}

// TMP-031, TMP-032
#[test]
fn openat2_makes_them_too_and_is_stricter() {
    let scratch = Scratch::new();
    let open = |flags, bits, resolve| {
        fs::openat2(
            &scratch.dir,
            c".",
            &OpenHow::new(flags, mode(bits), resolve),
        )
        .map(drop)
    };
    let (tmpfile, none) = (OFlags::TMPFILE | RW, ResolveFlags::empty());
    if open(tmpfile, 0o600, none) == Err(Errno::ENOSYS) {
        assert!(!kernel_is_at_least(5, 6) || cfg!(target_arch = "aarch64"));
        skip!("no openat2");
    }
    assert_eq!(open(tmpfile, 0o600, none), Ok(()));
    assert_eq!(open(tmpfile, 0o600, ResolveFlags::BENEATH), Ok(()));
    let refused = Err(Errno::EINVAL);
    assert_eq!(open(OFlags::TMPFILE | OFlags::RDONLY, 0o600, none), refused);
    let bare = tmpfile.difference(OFlags::DIRECTORY);
    assert_eq!(open(bare, 0o600, none), refused);
    assert_eq!(open(tmpfile, 0o10000, none), refused);
    assert_eq!(open(RW, 0o600, none), refused);
    assert_eq!(open(tmpfile | OFlags::PATH, 0o600, none), refused);
}

// TMP-036
#[test]
fn mode_owner_size_and_offset_are_those_of_an_ordinary_file() {
    let scratch = Scratch::new();
    let file = scratch.linkable(&[7; 1000]);
    fs::fchmod(&file, mode(0o2751)).unwrap();
    let group = is_root().then_some(USER);
    fs::fchown(&file, None, group).unwrap();
    fs::fchmod(&file, mode(0o640)).unwrap();
    assert_eq!(io::lseek(&file, io::SeekFrom::Start(10)), Ok(10));
    let stat = fs::fstat(&file).unwrap();
    assert_eq!((stat.st_size, stat.mode()), (1000, mode(0o640)));
    assert_eq!(stat.st_gid, group.unwrap_or(stat.st_gid));
    let (file, _) = file.link_any(&scratch.dir, c"name").unwrap();
    let named = fs::statat(&scratch.dir, c"name", AtFlags::empty()).unwrap();
    assert_eq!((named.st_ino, named.st_size), (stat.st_ino, 1000));
    assert_eq!(io::lseek(&file, io::SeekFrom::Current(0)), Ok(10));
}

// ---- linking ----

// LNK-001, LNK-002, LNK-013
#[test]
fn either_way_gives_the_file_its_name() {
    let scratch = Scratch::new();
    for via in [Via::Proc, Via::EmptyPath] {
        if via == Via::EmptyPath && !is_root() && !kernel_is_at_least(6, 10) {
            continue;
        }
        let file = scratch.linkable(b"contents");
        assert_eq!(nlink(&file), 0);
        let name = CString::new(format!("{via:?}")).unwrap();
        let file = file.link(via, &scratch.dir, &name).unwrap();
        assert_eq!(nlink(&file), 1);
        assert_eq!(scratch.read(name.to_str().unwrap()), b"contents");
        // A second name is linked like that of any file.
        fs::linkat(
            &scratch.dir,
            &name,
            &scratch.dir,
            c"second",
            AtFlags::empty(),
        )
        .unwrap();
        assert_eq!(nlink(&file), 2);
        fs::unlinkat(&scratch.dir, c"second", AtFlags::empty()).unwrap();
    }
    let (_, via) = scratch
        .linkable(b"")
        .link_any(&scratch.dir, c"any")
        .unwrap();
    let privileged = common::has_capability(2) || kernel_is_at_least(6, 10);
    let expected = if privileged {
        Via::EmptyPath
    } else {
        Via::Proc
    };
    assert_eq!(via, expected);
}

// LNK-007, LNK-008, LNK-011
#[test]
fn linkat_takes_both_flags_and_refuses_others() {
    let scratch = Scratch::new();
    let file = scratch.linkable(b"");
    let link = |path: &CStr, name: &CStr, flags| fs::linkat(&file, path, &scratch.dir, name, flags);
    let both = AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH;
    if is_root() || kernel_is_at_least(6, 10) {
        assert_eq!(link(&FdPath::thread(&file), c"both", both), Ok(()));
    }
    assert_eq!(link(c"", c"empty", AtFlags::empty()), Err(Errno::ENOENT));
    let unknown = AtFlags::from_bits_retain(1);
    assert_eq!(link(c"", c"flags", unknown), Err(Errno::EINVAL));
    // Without FOLLOW, it is the link in /proc that would be linked.
    let link_itself = link(&FdPath::thread(&file), c"link", AtFlags::empty());
    assert_eq!(link_itself, Err(Errno::EXDEV));
}

// LNK-009
#[test]
fn a_name_that_is_taken_stays_and_the_file_comes_back() {
    let scratch = Scratch::new();
    scratch.write("file", b"old");
    fs::mkdirat(&scratch.dir, c"dir", mode(0o700)).unwrap();
    fs::symlinkat(c"nowhere", &scratch.dir, c"dangling").unwrap();
    let mut file = scratch.linkable(b"new");
    for name in [c"file", c"dir", c"dangling", c".", c".."] {
        let error = file.link_any(&scratch.dir, name).unwrap_err();
        assert_eq!(error.errno, Errno::EEXIST, "{name:?}");
        let cause = error.cause(&scratch.dir, name);
        assert_eq!(cause, LinkCause::Errno(Errno::EEXIST));
        file = error.file;
    }
    file.link_any(&scratch.dir, c"free").unwrap();
    assert_eq!(scratch.read("file"), b"old");
    assert_eq!(scratch.read("free"), b"new");
}

// LNK-010
#[test]
fn another_file_system_is_refused() {
    let scratch = Scratch::new();
    let shm = fs::statat(fs::CWD, c"/dev/shm", AtFlags::empty());
    let other = match shm {
        Ok(stat) if stat.st_dev != fs::fstat(&scratch.dir).unwrap().st_dev => c"/dev/shm/x",
        _ => c"/dev/barecall-test-x",
    };
    let error = scratch
        .linkable(b"")
        .link(Via::Proc, fs::CWD, other)
        .unwrap_err();
    assert_eq!(error.errno, Errno::EXDEV);
}

// LNK-012
#[test]
fn a_new_place_that_is_none_is_refused_with_its_cause() {
    let scratch = Scratch::new();
    scratch.write("file", b"");
    let link = |dir: DirFd<'_>, name: &CStr| {
        let error = scratch
            .linkable(b"")
            .link(Via::Proc, dir, name)
            .unwrap_err();
        (error.errno, error.cause(dir, name))
    };
    let dir = DirFd::new(scratch.dir.as_fd());
    let missing = (Errno::ENOENT, LinkCause::NoParent);
    assert_eq!(link(dir, c""), missing);
    assert_eq!(link(dir, c"no/name"), missing);
    let is_file = (Errno::ENOTDIR, LinkCause::Errno(Errno::ENOTDIR));
    assert_eq!(link(dir, c"file/name"), is_file);
    let file = fs::openat(dir, c"file", OFlags::CLOEXEC, Mode::empty()).unwrap();
    assert_eq!(link(DirFd::new(file.as_fd()), c"name"), is_file);
    // SAFETY: a number that nobody has open; it is only given to the kernel.
    let closed = DirFd::new(unsafe { BorrowedFd::borrow_raw(9999) });
    assert_eq!(link(closed, c"name").0, Errno::EBADF);
    let old = fs::linkat(closed, c"", dir, c"name", AtFlags::EMPTY_PATH);
    // Before Linux 6.10, the capability is asked for first.
    let early = !is_root() && !kernel_is_at_least(6, 10);
    assert_eq!(old, Err(if early { Errno::ENOENT } else { Errno::EBADF }));

    let gone = Scratch::new();
    let (dir, path) = (gone.dir.try_clone().unwrap(), gone.path("sub"));
    fs::mkdirat(&dir, c"sub", mode(0o700)).unwrap();
    let sub = fs::openat(fs::CWD, &path, OFlags::CLOEXEC, Mode::empty()).unwrap();
    let file = TmpfileOptions::new().linkable(&dir, c".").unwrap();
    fs::unlinkat(&dir, c"sub", AtFlags::REMOVEDIR).unwrap();
    let error = file.link_any(&sub, c"name").unwrap_err();
    assert_eq!(error.errno, Errno::ENOENT);
    assert_eq!(error.cause(&sub, c"name"), LinkCause::NoParent);
}

// LNK-015
#[test]
fn a_file_that_was_never_to_have_a_name_gets_none() {
    let scratch = Scratch::new();
    for via in [Via::EmptyPath, Via::Proc] {
        let file = TmpfileOptions::new().anonymous(&scratch.dir, c".").unwrap();
        let file = Linkable::from_fd(file.into());
        let error = file.link(via, &scratch.dir, c"name").unwrap_err();
        assert_eq!(error.errno, Errno::ENOENT);
        let early = via == Via::EmptyPath && !is_root() && !kernel_is_at_least(6, 10);
        let cause = if early {
            LinkCause::NotPermitted
        } else {
            LinkCause::Never
        };
        assert_eq!(error.cause(&scratch.dir, c"name"), cause);
    }
    assert!(scratch.names().is_empty());
}

#[test]
fn a_file_that_lost_its_only_name_gets_no_other() {
    let scratch = Scratch::new();
    let (file, _) = scratch
        .linkable(b"")
        .link_any(&scratch.dir, c"name")
        .unwrap();
    fs::unlinkat(&scratch.dir, c"name", AtFlags::empty()).unwrap();
    let error = Linkable::from_fd(file)
        .link_any(&scratch.dir, c"name")
        .unwrap_err();
    assert_eq!(error.errno, Errno::ENOENT);
    assert_eq!(error.cause(&scratch.dir, c"name"), LinkCause::Never);
}

#[test]
fn an_ordinary_user_links_what_he_made_himself() {
    if !is_root() {
        skip!("becoming somebody else needs root");
    }
    let scratch = Scratch::new();
    fs::fchmod(&scratch.dir, mode(0o777)).unwrap();
    in_child(|| {
        become_user();
        let file = scratch.linkable(b"");
        let relaxed = kernel_is_at_least(6, 10);
        let file = match file.link(Via::EmptyPath, &scratch.dir, c"empty") {
            Ok(_) if relaxed => scratch.linkable(b""),
            Err(error) if !relaxed => {
                assert_eq!(error.errno, Errno::ENOENT);
                let cause = error.cause(&scratch.dir, c"empty");
                assert_eq!(cause, LinkCause::NotPermitted);
                error.file
            }
            other => panic!("{other:?}"),
        };
        file.link(Via::Proc, &scratch.dir, c"proc").unwrap();
        let (_, via) = scratch
            .linkable(b"")
            .link_any(&scratch.dir, c"any")
            .unwrap();
        assert_eq!(via, if relaxed { Via::EmptyPath } else { Via::Proc });
        0
    });
    assert!(scratch.names().contains(&"proc".to_owned()));
}

#[test]
fn other_credentials_than_those_of_the_maker_close_the_way_without_proc() {
    if !is_root() {
        skip!("becoming somebody else needs root");
    }
    let scratch = Scratch::new();
    fs::fchmod(&scratch.dir, mode(0o777)).unwrap();
    // Read here: old kernels show it to root only.
    let protected = std::fs::read("/proc/sys/fs/protected_hardlinks").unwrap() == b"1\n";
    in_child(|| {
        let file = scratch.linkable(b"");
        become_user();
        let error = file
            .link(Via::EmptyPath, &scratch.dir, c"name")
            .unwrap_err();
        assert_eq!(error.errno, Errno::ENOENT);
        let cause = error.cause(&scratch.dir, c"name");
        assert_eq!(cause, LinkCause::NotPermitted);
        // The owner is another, so protected_hardlinks forbids this one; the
        // kernel's default is off, distributions turn it on.
        let linked = error.file.link(Via::Proc, &scratch.dir, c"name");
        match linked {
            Ok(_) => assert!(!protected),
            Err(error) => assert_eq!((error.errno, protected), (Errno::EPERM, true)),
        }
        0
    });
}

#[test]
fn a_root_directory_without_proc_is_enough_since_linux_6_10() {
    if !is_root() {
        skip!("chroot needs root");
    }
    let scratch = Scratch::new();
    fs::fchmod(&scratch.dir, mode(0o777)).unwrap();
    in_child(|| {
        let relaxed = kernel_is_at_least(6, 10);
        // SAFETY: a string; the child's root is its own.
        assert_eq!(unsafe { libc::chroot(scratch.path("").as_ptr()) }, 0);
        // SAFETY: a string.
        assert_eq!(unsafe { libc::chdir(c"/".as_ptr()) }, 0);
        become_user();
        let file = TmpfileOptions::new().linkable(fs::CWD, c"/").unwrap();
        match file.link_any(fs::CWD, c"name") {
            Ok((_, via)) => assert_eq!((via, relaxed), (Via::EmptyPath, true)),
            Err(error) => {
                assert!(!relaxed);
                assert_eq!(error.cause(fs::CWD, c"name"), LinkCause::NoWay);
                let error = error.file.link(Via::Proc, fs::CWD, c"name").unwrap_err();
                assert_eq!(error.cause(fs::CWD, c"name"), LinkCause::NoProc);
            }
        }
        if relaxed {
            for n in 0..2 {
                let file = TmpfileOptions::new().linkable(fs::CWD, c"/").unwrap();
                io::write_all(&file, &[b'0' + n]).unwrap();
                file.replace(fs::CWD, c"replaced", Durability::FileAndDir)
                    .unwrap();
            }
        }
        0
    });
    if kernel_is_at_least(6, 10) {
        assert_eq!(scratch.names(), ["name", "replaced"]);
        assert_eq!(scratch.read("replaced"), b"1");
    }
}

// LNK-017, LNK-018, LNK-020
#[test]
fn names_are_relative_to_a_directory_or_absolute() {
    let scratch = Scratch::new();
    scratch.write("a", b"contents");
    let (dir, cwd) = (DirFd::new(scratch.dir.as_fd()), fs::CWD);
    let (a, none) = (scratch.path("a"), AtFlags::empty());
    let link =
        |old_dir, old: &CStr, new_dir, new: &CStr| fs::linkat(old_dir, old, new_dir, new, none);
    link(dir, c"a", dir, c"b").unwrap();
    link(dir, &a, cwd, &scratch.path("c")).unwrap();
    link(cwd, &a, dir, c"d").unwrap();
    for name in ["a", "b", "c", "d"] {
        assert_eq!(scratch.read(name), b"contents");
    }
    let file = fs::openat(dir, c"a", OFlags::CLOEXEC, Mode::empty()).unwrap();
    let file = DirFd::new(file.as_fd());
    assert_eq!(link(file, c"a", dir, c"e"), Err(Errno::ENOTDIR));
    assert_eq!(link(file, &a, dir, c"e"), Ok(()));
    fs::mkdirat(dir, c"sub", mode(0o700)).unwrap();
    let sub = fs::openat(dir, c"sub", OFlags::CLOEXEC, Mode::empty()).unwrap();
    fs::unlinkat(dir, c"sub", AtFlags::REMOVEDIR).unwrap();
    let sub = DirFd::new(sub.as_fd());
    assert_eq!(link(dir, c"a", sub, c"f"), Err(Errno::ENOENT));
    assert_eq!(link(dir, c"a", sub, &scratch.path("f")), Ok(()));
}

// LNK-021, LNK-022, LNK-023, LNK-027
#[test]
fn directories_long_names_and_loops_cannot_be_linked() {
    let scratch = Scratch::new();
    scratch.write("a", b"");
    let dir = &scratch.dir;
    fs::mkdirat(dir, c"sub", mode(0o700)).unwrap();
    let (none, follow) = (AtFlags::empty(), AtFlags::SYMLINK_FOLLOW);
    let link = |old: &CStr, new: &CStr, flags| fs::linkat(dir, old, dir, new, flags);
    assert_eq!(link(c"sub", c"x", none), Err(Errno::EPERM));
    assert_eq!(link(c"/", c"/", none), Err(Errno::EEXIST));
    assert_eq!(link(c"missing", c"x", none), Err(Errno::ENOENT));
    assert_eq!(link(c"/proc/self/stat", c"x", none), Err(Errno::EXDEV));
    let long = CString::new("x".repeat(5000)).unwrap();
    assert_eq!(link(&long, c"x", none), Err(Errno::ENAMETOOLONG));
    assert_eq!(link(c"a", &long, none), Err(Errno::ENAMETOOLONG));
    fs::symlinkat(c"loop", dir, c"loop").unwrap();
    assert_eq!(link(c"loop", c"x", follow), Err(Errno::ELOOP));
}

// LNK-024
#[test]
fn a_directory_that_one_may_not_write_takes_no_link() {
    if !is_root() {
        skip!("becoming somebody else needs root");
    }
    let (open, closed) = (Scratch::new(), Scratch::new());
    fs::fchmod(&open.dir, mode(0o777)).unwrap();
    fs::fchmod(&closed.dir, mode(0o755)).unwrap();
    let said = in_child(|| {
        become_user();
        answer(open.linkable(b"").link_any(&closed.dir, c"name"))
    });
    assert_eq!(errno(said), Some(Errno::EACCES));
}

// LNK-025
#[test]
fn a_symbolic_link_is_linked_itself_unless_it_is_to_be_followed() {
    let scratch = Scratch::new();
    scratch.write("target", b"");
    let dir = &scratch.dir;
    fs::symlinkat(c"target", dir, c"link").unwrap();
    let ino = |name| {
        fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .unwrap()
            .st_ino
    };
    fs::linkat(dir, c"link", dir, c"itself", AtFlags::empty()).unwrap();
    fs::linkat(dir, c"link", dir, c"followed", AtFlags::SYMLINK_FOLLOW).unwrap();
    assert_eq!(ino(c"itself"), ino(c"link"));
    assert_eq!(ino(c"followed"), ino(c"target"));
}

// ---- replacing ----

const ALL: [Durability; 3] = [Durability::None, Durability::File, Durability::FileAndDir];

#[test]
fn replace_links_to_a_free_name_and_renames_over_a_taken_one() {
    for durability in ALL {
        let scratch = Scratch::new();
        let placed = scratch
            .linkable(b"1")
            .replace(&scratch.dir, c"name", durability);
        let placed = placed.unwrap();
        assert!(matches!(placed.way, Way::Linked(_)), "{placed:?}");
        assert_eq!(nlink(&placed.file), 1);
        let placed = scratch
            .linkable(b"2")
            .replace(&scratch.dir, c"name", durability);
        let placed = placed.unwrap();
        assert!(matches!(placed.way, Way::LinkedAndRenamed(_)), "{placed:?}");
        assert_eq!(scratch.names(), ["name"]);
        assert_eq!(scratch.read("name"), b"2");
        // The lock of the published file is free.
        let other = fs::openat(&scratch.dir, c"name", OFlags::CLOEXEC, Mode::empty());
        let now = fs::FlockFlags::EX | fs::FlockFlags::NB;
        fs::flock(other.unwrap(), now).unwrap();
    }
}

#[test]
fn a_file_that_has_the_name_already_keeps_it_and_no_scratch_name() {
    for durability in ALL {
        let scratch = Scratch::new();
        let file = scratch.linkable(b"1");
        let again = Linkable::from_fd(io::dup(&file).unwrap());
        file.replace(&scratch.dir, c"name", durability).unwrap();
        let placed = again.replace(&scratch.dir, c"name", durability).unwrap();
        assert_eq!(nlink(&placed.file), 1);
        assert_eq!(scratch.names(), ["name"]);

        let named = TmpfileOptions::new().named(&scratch.dir, c".").unwrap();
        let (from, to) = (named.scratch().name(), c"other");
        fs::linkat(&scratch.dir, from, &scratch.dir, to, AtFlags::empty()).unwrap();
        let placed = named.replace(&scratch.dir, to, durability).unwrap();
        assert_eq!(nlink(&placed.file), 1);
        assert_eq!(scratch.names(), ["name", "other"]);
    }
}

#[test]
fn replace_works_from_the_current_directory_and_from_a_path_descriptor() {
    let scratch = Scratch::new();
    let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = fs::openat(&scratch.dir, c".", place, Mode::empty()).unwrap();
    for contents in [b"1", b"2"] {
        let file = scratch.linkable(contents);
        file.replace(&place, c"name", Durability::FileAndDir)
            .unwrap();
    }
    in_child(|| {
        // SAFETY: a string; the child's directory is its own.
        assert_eq!(unsafe { libc::chdir(scratch.path("").as_ptr()) }, 0);
        let file = scratch.linkable(b"3");
        file.replace(fs::CWD, c"name", Durability::FileAndDir)
            .unwrap();
        0
    });
    assert_eq!(
        (scratch.names().len(), scratch.read("name")),
        (1, b"3".to_vec())
    );
}

#[test]
fn replace_replaces_a_symbolic_link_itself_and_never_a_directory() {
    let scratch = Scratch::new();
    scratch.write("target", b"target");
    fs::symlinkat(c"target", &scratch.dir, c"link").unwrap();
    fs::mkdirat(&scratch.dir, c"sub", mode(0o700)).unwrap();
    for durability in ALL {
        let file = scratch.linkable(b"new");
        file.replace(&scratch.dir, c"link", durability).unwrap();
        assert_eq!(scratch.read("target"), b"target");

        let file = scratch.linkable(b"new");
        let error = file.replace(&scratch.dir, c"sub", durability).unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EISDIR, Step::Rename));
        let Remains::Nameless(file) = error.remains else {
            panic!("{error:?}");
        };
        // It can be read, but never linked again: it had a name.
        assert_eq!(io::pread(&file, &mut [0; 8], 0), Ok(3));
        assert_eq!(nlink(&file), 0);
        let again = Linkable::from_fd(file).link_any(&scratch.dir, c"x");
        assert_eq!(again.unwrap_err().errno, Errno::ENOENT);
    }
    assert_eq!(scratch.names(), ["link", "sub", "target"]);
}

#[test]
fn replace_takes_plain_names_only_and_gives_the_file_back() {
    let scratch = Scratch::new();
    let mut file = scratch.linkable(b"");
    for name in [c"", c"a/b", c"/", c"/tmp/x"] {
        let error = file
            .replace(&scratch.dir, name, Durability::File)
            .unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EINVAL, Step::Name));
        let Remains::Linkable(back) = error.remains else {
            panic!("{error:?}");
        };
        file = back;
    }
    let long = CString::new("x".repeat(256)).unwrap();
    let error = file
        .replace(&scratch.dir, &long, Durability::None)
        .unwrap_err();
    assert_eq!((error.errno, error.step), (Errno::ENAMETOOLONG, Step::Link));
    assert!(matches!(error.remains, Remains::Linkable(_)));
    let longest = CString::new("x".repeat(255)).unwrap();
    for _ in 0..2 {
        let file = scratch.linkable(b"");
        file.replace(&scratch.dir, &longest, Durability::None)
            .unwrap();
    }
}

#[test]
fn a_sticky_directory_still_lets_the_scratch_name_be_removed() {
    if !is_root() {
        skip!("becoming somebody else needs root");
    }
    // Sticky, and the old file another's: links can be made, renames over it not.
    // Our own scratch name can be removed, so nothing remains here either.
    let scratch = Scratch::new();
    scratch.write("name", b"old");
    fs::fchmod(&scratch.dir, mode(0o1777)).unwrap();
    in_child(|| {
        become_user();
        let file = scratch.linkable(b"new");
        let error = file
            .replace(&scratch.dir, c"name", Durability::File)
            .unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EPERM, Step::Rename));
        assert!(matches!(error.remains, Remains::Nameless(_)));
        0
    });
    assert_eq!(
        (scratch.names().len(), scratch.read("name")),
        (1, b"old".to_vec())
    );
}

#[test]
fn exchange_puts_the_new_file_in_and_gets_the_old_one_out() {
    for durability in ALL {
        let scratch = Scratch::new();
        scratch.write("name", b"old");
        let file = scratch.linkable(b"new");
        let exchanged = file.exchange(&scratch.dir, c"name", durability).unwrap();
        assert_eq!(scratch.read("name"), b"new");
        let name = exchanged.old.name().to_str().unwrap().to_owned();
        assert!(name.starts_with(".barecall-old-"), "{name}");
        assert_eq!(scratch.read(&name), b"old");
        // Nobody else takes it away.
        let swept = tmpfile::sweep(&scratch.dir, &mut [0; 4096]).unwrap();
        assert_eq!(swept, tmpfile::Swept::default());
        exchanged.old.rename(&scratch.dir, c"backup").unwrap();
        assert_eq!(scratch.names(), ["backup", "name"]);

        let file = scratch.linkable(b"newer");
        let exchanged = file.exchange(&scratch.dir, c"name", durability).unwrap();
        let (_, old) = exchanged.old.rename(&scratch.dir, c"backup").unwrap_err();
        old.remove().unwrap();
        assert_eq!(scratch.names(), ["backup", "name"]);

        let file = scratch.linkable(b"newest");
        drop(file.exchange(&scratch.dir, c"name", durability).unwrap());
        assert_eq!(scratch.names(), ["backup", "name"]);
        assert_eq!(scratch.read("name"), b"newest");

        let file = scratch.linkable(b"");
        let error = file
            .exchange(&scratch.dir, c"missing", durability)
            .unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::ENOENT, Step::Rename));
        assert!(matches!(error.remains, Remains::Nameless(_)));
        assert_eq!(scratch.names(), ["backup", "name"]);
    }
}

#[test]
fn link_synced_takes_a_free_name_and_no_other() {
    for durability in ALL {
        let scratch = Scratch::new();
        let file = scratch.linkable(b"1");
        let placed = file.link_synced(&scratch.dir, c"name", durability);
        assert!(matches!(placed.unwrap().way, Way::Linked(_)));
        let file = scratch.linkable(b"2");
        let error = file
            .link_synced(&scratch.dir, c"name", durability)
            .unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EEXIST, Step::Link));
        assert!(matches!(error.remains, Remains::Linkable(_)));
        let named = TmpfileOptions::new().named(&scratch.dir, c".").unwrap();
        let error = named
            .link_synced(&scratch.dir, c"name", durability)
            .unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EEXIST, Step::Link));
        drop(error);
        assert_eq!(scratch.read("name"), b"1");
        assert_eq!(scratch.names(), ["name"]);
    }
}

#[test]
fn a_named_file_is_exchanged_under_a_name_that_is_not_swept() {
    for durability in ALL {
        let scratch = Scratch::new();
        scratch.write("name", b"old");
        let named = || {
            let file = TmpfileOptions::new().named(&scratch.dir, c".").unwrap();
            io::write_all(&file, b"new").unwrap();
            file
        };
        let exchanged = named().exchange(&scratch.dir, c"name", durability).unwrap();
        assert_eq!(exchanged.way, Way::Renamed);
        let swept = tmpfile::sweep(&scratch.dir, &mut [0; 4096]).unwrap();
        assert_eq!(swept, tmpfile::Swept::default());
        let old = exchanged.old.name().to_str().unwrap().to_owned();
        assert_eq!(
            (scratch.read("name"), scratch.read(&old)),
            (b"new".to_vec(), b"old".to_vec())
        );
        drop(exchanged);
        let error = named()
            .exchange(&scratch.dir, c"missing", durability)
            .unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::ENOENT, Step::Rename));
        drop(error);
        assert_eq!(scratch.names(), ["name"]);
    }
}

#[test]
fn exchange_takes_out_a_directory_too() {
    let scratch = Scratch::new();
    fs::mkdirat(&scratch.dir, c"name", mode(0o700)).unwrap();
    let file = scratch.linkable(b"new");
    let exchanged = file
        .exchange(&scratch.dir, c"name", Durability::None)
        .unwrap();
    let (errno, old) = exchanged.old.remove().unwrap_err();
    assert_eq!(errno, Errno::EISDIR);
    old.rename(&scratch.dir, c"dir").unwrap();
    assert_eq!(scratch.names(), ["dir", "name"]);
}

#[test]
fn many_writers_and_a_sweeper_never_show_a_part_or_lose_a_file() {
    let scratch = Scratch::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (scratch, done) = (&scratch, &done);
        let writers: Vec<_> = (0..4_u8)
            .map(|n| {
                scope.spawn(move || {
                    for _ in 0..200 {
                        let file = scratch.linkable(&[b'a' + n; 3000]);
                        file.replace(&scratch.dir, c"name", Durability::None)
                            .unwrap();
                    }
                })
            })
            .collect();
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        scope.spawn(move || {
            while !done.load(relaxed) {
                let swept = tmpfile::sweep(&scratch.dir, &mut [0; 1024]).unwrap();
                assert_eq!(swept.removed, 0, "a name in use was removed");
            }
        });
        scope.spawn(move || {
            while !done.load(relaxed) {
                let Ok(contents) = std::fs::read(scratch.path.path().join("name")) else {
                    continue;
                };
                assert_eq!(contents.len(), 3000);
                assert!(contents.iter().all(|byte| *byte == contents[0]));
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, relaxed);
    });
    assert_eq!(scratch.names(), ["name"]);
}

// ---- scratch names and the named fallback ----

#[test]
fn sweep_removes_litter_and_nothing_else() {
    let scratch = Scratch::new();
    let (new, old) = (
        ".barecall-new-0123456789abcdef0123456789abcdef",
        ".barecall-old-0123456789abcdef0123456789abcdef",
    );
    let others = [
        old,
        ".barecall-new-0123456789abcdef0123456789abcdeg",
        ".barecall-new-0123456789abcdef0123456789abcde",
        ".barecall-new-0123456789abcdef0123456789abcdef0",
        "barecall",
    ];
    for name in others.iter().chain([&new]) {
        scratch.write(name, b"");
    }
    let fifo = c".barecall-new-ffffffffffffffffffffffffffffffff";
    fs::mknodat(&scratch.dir, fifo, FileType::Fifo, mode(0o600), 0).unwrap();
    let in_use = TmpfileOptions::new().named(&scratch.dir, c".").unwrap();
    let swept = tmpfile::sweep(&scratch.dir, &mut [0; 100]).unwrap();
    assert_eq!((swept.removed, swept.kept), (1, 2));
    let names = scratch.names();
    assert!(!names.contains(&new.to_owned()));
    assert_eq!(names.len(), others.len() + 2);
    drop(in_use);
    assert_eq!(scratch.names().len(), others.len() + 1);
    assert!(ScratchName::parse(&CString::new(old).unwrap()).is_some_and(|name| !name.is_new()));
    for other in &others[1..] {
        assert!(ScratchName::parse(&CString::new(*other).unwrap()).is_none());
    }
}

#[test]
fn what_a_killed_writer_leaves_is_swept() {
    let scratch = Scratch::new();
    in_child(|| {
        let file = TmpfileOptions::new().named(&scratch.dir, c".").unwrap();
        std::mem::forget(file);
        // The scratch name stays: as after SIGKILL, nothing is dropped.
        0
    });
    assert_eq!(scratch.names().len(), 1);
    let swept = tmpfile::sweep(&scratch.dir, &mut [0; 1024]).unwrap();
    assert_eq!(swept.removed, 1);
    assert!(scratch.names().is_empty());
}

#[test]
fn a_named_file_gets_its_name_or_removes_its_own() {
    let scratch = Scratch::new();
    let named = |contents: &[u8]| {
        let options = TmpfileOptions::new().mode(mode(0o640));
        let file = options.named(&scratch.dir, c".").unwrap();
        io::write_all(&file, contents).unwrap();
        assert!(
            scratch
                .names()
                .iter()
                .any(|name| name.starts_with(".barecall-new-"))
        );
        file
    };
    drop(named(b"dropped"));
    assert!(scratch.names().is_empty());

    for durability in ALL {
        let file = named(b"linked").link(&scratch.dir, c"name").unwrap();
        assert_eq!(nlink(&file), 1);
        let error = named(b"again").link(&scratch.dir, c"name").unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EEXIST, Step::Link));
        let Remains::Named(back) = error.remains else {
            panic!("{error:?}");
        };
        let placed = back.replace(&scratch.dir, c"name", durability).unwrap();
        assert_eq!(placed.way, Way::Renamed);
        assert_eq!(scratch.names(), ["name"]);
        assert_eq!(scratch.read("name"), b"again");
        fs::unlinkat(&scratch.dir, c"name", AtFlags::empty()).unwrap();
    }

    fs::mkdirat(&scratch.dir, c"sub", mode(0o700)).unwrap();
    let error = named(b"x")
        .replace(&scratch.dir, c"sub", Durability::None)
        .unwrap_err();
    assert_eq!((error.errno, error.step), (Errno::EISDIR, Step::Rename));
    drop(error);
    assert_eq!(scratch.names(), ["sub"]);
}

#[test]
fn the_fallback_is_taken_only_where_such_files_are_unknown() {
    let scratch = Scratch::new();
    let options = TmpfileOptions::new();
    let found = options.linkable_or_named(&scratch.dir, c".").unwrap();
    assert!(matches!(found, tmpfile::Tmpfile::Linkable(_)));
    let missing = options.linkable_or_named(&scratch.dir, c"missing");
    assert_eq!(missing.unwrap_err(), Errno::ENOENT);
    // /proc has no such files, and lets nobody make others.
    let refused = options.linkable_or_named(fs::CWD, c"/proc").unwrap_err();
    assert!(
        matches!(refused, Errno::ENOENT | Errno::EACCES | Errno::EPERM),
        "{refused}"
    );
}

#[test]
fn scratch_names_are_random() {
    let scratch = Scratch::new();
    let names: std::collections::HashSet<String> = (0..100)
        .map(|_| {
            let file = TmpfileOptions::new().named(&scratch.dir, c".").unwrap();
            file.scratch().name().to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(names.len(), 100);
    assert!(names.iter().all(|name| name.len() == 46));
}

#[test]
fn dir_arguments_can_be_generic() {
    fn make(dir: impl AsDirFd) -> Result<(), Errno> {
        let file = TmpfileOptions::new().linkable(dir.as_dir_fd(), c".")?;
        file.replace(dir.as_dir_fd(), c"name", Durability::None)?;
        fs::renameat2(
            dir.as_dir_fd(),
            c"name",
            dir.as_dir_fd(),
            c"new",
            RenameFlags::empty(),
        )
    }
    let scratch = Scratch::new();
    make(&scratch.dir).unwrap();
    assert_eq!(scratch.names(), ["new"]);
}
