//! Starting programs.
//!
//! The program that is started is this test itself, which knows what to do by
//! its arguments: on the kernels of the matrix there is no other.

mod common;

use barecall::fd::{AsFd as _, BorrowedFd, OwnedFd};
use barecall::io::{self, FdFlags, PipeFlags};
use barecall::process::{
    self, CStrArray, CStrPtr, Resource, WaitOptions, WaitStatus, WaitTarget, getpid, wait4,
};
use barecall::signal::{How, SigSet, Signal, sigprocmask};
use barecall::spawn::{FdMap, Spawn, SpawnStep};
use barecall::{Errno, fs};
use std::ffi::{CStr, CString};

/// `argv` for a run of the ignored test `name` of this program, which writes
/// what it finds to a descriptor.
struct Args {
    pointers: Vec<Option<CStrPtr<'static>>>,
}

impl Args {
    fn new(name: &'static CStr) -> Self {
        let args = [
            c"spawn",
            c"--ignored",
            c"--exact",
            c"--nocapture",
            c"-q",
            name,
        ];
        let pointers = args
            .into_iter()
            .map(|arg| Some(CStrPtr::new(arg)))
            .chain([None]);
        Self {
            pointers: pointers.collect(),
        }
    }

    fn as_array(&self) -> CStrArray<'_> {
        CStrArray::new(&self.pointers).unwrap()
    }
}

const ME: &CStr = c"/proc/self/exe";

fn pipe() -> (OwnedFd, OwnedFd) {
    io::pipe2(PipeFlags::CLOEXEC).unwrap()
}

fn read_all(fd: &OwnedFd) -> String {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match io::read(fd, &mut buf).unwrap() {
            0 => return String::from_utf8(all).unwrap(),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

/// What the program is: says on descriptor 9 what it has.
#[test]
#[ignore = "is started by the others"]
fn report() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for fd in 0..9 {
        // SAFETY: asked whether it is open at all.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        if let Ok(stat) = fs::fstat(fd) {
            write!(text, "{}:{} ", fd.as_raw_fd(), stat.st_ino).unwrap();
        }
    }
    let mask = sigprocmask(How::BLOCK, SigSet::EMPTY).unwrap();
    let group = process::getpgid(None).unwrap().unwrap();
    let session = process::getsid(None).unwrap().unwrap();
    write!(text, "mask:{:x} ", mask.bits()).unwrap();
    write!(text, "leads:{},{} ", group == getpid(), session == getpid()).unwrap();
    let mut buf = [0; 4096];
    write!(
        text,
        "in:{} ",
        process::getcwd(&mut buf).unwrap().to_str().unwrap()
    )
    .unwrap();
    write!(
        text,
        "uid:{} nnp:{} ",
        process::getuid(),
        process::no_new_privs().unwrap()
    )
    .unwrap();
    write!(text, "env:{:?}", std::env::var("MARK").ok()).unwrap();
    // SAFETY: those who start this have a pipe there.
    io::write_all(unsafe { BorrowedFd::borrow_raw(9) }, text.as_bytes()).unwrap();
    process::exit_group(7);
}

/// Runs `report` as told by `how`, with the given descriptors besides.
fn reported(
    how: impl for<'a> FnOnce(Spawn<'a>) -> Spawn<'a>,
    fds: &[(BorrowedFd<'_>, i32)],
) -> String {
    let (reader, writer) = pipe();
    let args = Args::new(c"report");
    let env = [Some(CStrPtr::new(c"MARK=here")), None];
    let mut maps: Vec<_> = fds
        .iter()
        .map(|&(fd, target)| FdMap::new(fd, target))
        .collect();
    maps.push(FdMap::new(writer.as_fd(), 9));
    let spawn = Spawn::new(ME, args.as_array(), CStrArray::new(&env).unwrap()).fds(&mut maps);
    let child = how(spawn).spawn().unwrap();
    drop(writer);
    let text = read_all(&reader);
    assert_eq!(child.wait(), Ok(WaitStatus::Exited(7)), "{text}");
    assert_eq!(child.wait(), Err(Errno::ECHILD));
    text
}

#[test]
fn a_program_gets_its_environment_and_no_blocked_signals() {
    let before = sigprocmask(How::BLOCK, SigSet::of(&[Signal::SIGUSR1])).unwrap();
    let text = reported(|spawn| spawn, &[]);
    let now = sigprocmask(How::SETMASK, before).unwrap();
    assert!(
        now.contains(Signal::SIGUSR1),
        "the parent's mask is as it was"
    );
    assert!(text.contains("mask:0 leads:false,false"), "{text}");
    assert!(text.contains(r#"env:Some("here")"#), "{text}");
}

#[test]
fn session_group_directory_mask_and_user_are_as_told() {
    let mask = SigSet::of(&[Signal::SIGUSR2]);
    let text = reported(
        |spawn| spawn.session().directory(c"/proc").signal_mask(mask),
        &[],
    );
    assert!(text.contains("mask:800 leads:true,true in:/proc"), "{text}");
    let text = reported(|spawn| spawn.process_group(None).no_new_privs(), &[]);
    assert!(text.contains("leads:true,false"), "{text}");
    assert!(text.contains("nnp:true"), "{text}");
    if process::geteuid() == 0 {
        let text = reported(|spawn| spawn.user(65534, 65534, &[]), &[]);
        assert!(text.contains("uid:65534"), "{text}");
    }
}

/// Every way in which three descriptors can be the targets of each other.
#[test]
fn descriptors_survive_overlapping_targets() {
    let places: Vec<_> = (0..3).map(|_| pipe()).collect();
    let inode = |fd: BorrowedFd<'_>| fs::fstat(fd).unwrap().st_ino;
    // The sources are moved to 4, 5 and 6 in a child, where nobody else is.
    for permutation in [
        [4, 5, 6],
        [5, 4, 6],
        [5, 6, 4],
        [6, 5, 4],
        [4, 6, 5],
        [6, 4, 5],
    ] {
        let (reader, writer) = pipe();
        // SAFETY: the child makes system calls, spawns, and exits.
        let child = unsafe { process::fork() }.unwrap();
        let Some(child) = child else {
            // All of them up first: any of them can have one of these numbers.
            let up = |fd: &OwnedFd| io::fcntl_dupfd_cloexec(fd, 100).unwrap();
            let high = up(&writer);
            let sources = [0, 1, 2].map(|i| up(&places[i].0));
            for (source, target) in sources.iter().zip(4..) {
                // SAFETY: this process is about to end.
                unsafe { io::dup3_raw(source, target, io::DupFlags::CLOEXEC) }.unwrap();
            }
            // SAFETY: made above.
            let source = |fd| unsafe { BorrowedFd::borrow_raw(fd) };
            let pointers = [
                c"spawn",
                c"--ignored",
                c"--exact",
                c"--nocapture",
                c"-q",
                c"report",
            ]
            .map(CStrPtr::new)
            .map(Some);
            let mut argv = [None; 7];
            argv[..6].copy_from_slice(&pointers);
            let argv = CStrArray::new(&argv).unwrap();
            let [a, b, c] = permutation;
            let mut maps = [
                FdMap::new(source(4), a),
                FdMap::new(source(5), b),
                FdMap::new(high.as_fd(), 9),
                FdMap::new(source(6), c),
                FdMap::new(source(5), 3),
            ];
            let spawned = Spawn::new(ME, argv, CStrArray::EMPTY)
                .fds(&mut maps)
                .spawn();
            let ok = spawned.is_ok_and(|child| child.wait() == Ok(WaitStatus::Exited(7)));
            process::exit_group(i32::from(!ok));
        };
        drop(writer);
        let text = read_all(&reader);
        let end = wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap();
        assert_eq!(end, Some((child, WaitStatus::Exited(0))));
        for (i, (place, _)) in places.iter().enumerate() {
            let expected = format!("{}:{} ", permutation[i], inode(place.as_fd()));
            assert!(
                text.contains(&expected),
                "{permutation:?}: {expected} in {text}"
            );
        }
        let third = format!("3:{} ", inode(places[1].0.as_fd()));
        assert!(text.contains(&third), "{permutation:?}: {third} in {text}");
    }
}

#[test]
fn a_target_that_comes_twice_is_refused() {
    let (reader, _writer) = pipe();
    let args = Args::new(c"report");
    let mut maps = [
        FdMap::new(reader.as_fd(), 40),
        FdMap::new(reader.as_fd(), 40),
    ];
    let error = Spawn::new(ME, args.as_array(), CStrArray::EMPTY)
        .fds(&mut maps)
        .spawn()
        .unwrap_err();
    assert_eq!(
        (error.errno, error.step),
        (Errno::EINVAL, SpawnStep::Descriptors)
    );
}

#[test]
fn only_named_descriptors_are_left_when_asked_for() {
    let (reader, _writer) = io::pipe2(PipeFlags::empty()).unwrap();
    let low = reader.as_raw_fd();
    if !common::kernel_is_at_least(5, 11) {
        let (_r, w) = pipe();
        let args = Args::new(c"report");
        let mut maps = [FdMap::new(w.as_fd(), 9)];
        let error = Spawn::new(ME, args.as_array(), CStrArray::EMPTY)
            .fds(&mut maps)
            .only_named_fds_from(3)
            .spawn()
            .unwrap_err();
        assert_eq!(
            (error.errno, error.step),
            (Errno::EINVAL, SpawnStep::Descriptors)
        );
        return;
    }
    let text = reported(|spawn| spawn.only_named_fds_from(3), &[]);
    for fd in 3..9 {
        assert!(!text.contains(&format!("{fd}:")), "{fd} in {text}");
    }
    assert_eq!(
        io::fcntl_getfd(&reader),
        Ok(FdFlags::empty()),
        "{low}: ours is as it was"
    );
}

fn error_of(path: &CStr) -> Errno {
    let args = Args::new(c"report");
    let error = Spawn::new(path, args.as_array(), CStrArray::EMPTY)
        .spawn()
        .unwrap_err();
    assert_eq!(error.step, SpawnStep::Exec);
    error.errno
}

/// PRC-050 to PRC-053
#[test]
fn the_parent_is_told_why_the_program_was_not_executed() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        CString::new(path.to_str().unwrap()).unwrap()
    };
    assert_eq!(error_of(c"/no/such/file"), Errno::ENOENT);
    assert_eq!(error_of(c"/"), Errno::EACCES);
    assert_eq!(error_of(c"/dev/null"), Errno::EACCES);
    assert_eq!(error_of(&file("plain", "x", 0o644)), Errno::EACCES);
    assert_eq!(error_of(&file("empty", "", 0o755)), Errno::ENOEXEC);
    assert_eq!(error_of(&file("script", "exit 0\n", 0o755)), Errno::ENOEXEC);
    assert_eq!(
        error_of(&file("lost", "#!/no/such/interpreter\n", 0o755)),
        Errno::ENOENT
    );
    let long = CString::new(vec![b'x'; 5000]).unwrap();
    assert_eq!(error_of(&long), Errno::ENAMETOOLONG);
    // Under its own name, so that nobody else has it open for writing.
    let busy = file("busy", "#!/bin/sh\n", 0o755);
    let path = std::path::Path::new(busy.to_str().unwrap());
    let open = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    // Since 6.11 the kernel does not mind for a while; it did again in 6.12.
    let answer = Spawn::new(&busy, Args::new(c"report").as_array(), CStrArray::EMPTY).spawn();
    match answer {
        Err(error) => assert!(
            [Errno::ETXTBSY, Errno::ENOENT].contains(&error.errno),
            "{error}"
        ),
        Ok(child) => drop(child.wait()),
    }
    drop(open);
}

#[test]
fn arguments_that_are_too_long_are_e2big() {
    let huge = CString::new(vec![b'x'; 1 << 20]).unwrap();
    let argv = [Some(CStrPtr::new(&huge)), None];
    let argv = CStrArray::new(&argv).unwrap();
    let error = Spawn::new(ME, argv, CStrArray::EMPTY).spawn().unwrap_err();
    assert_eq!((error.errno, error.step), (Errno::E2BIG, SpawnStep::Exec));
    assert_eq!(
        error.to_string(),
        "cannot execute the program: E2BIG: Argument list too long"
    );
}

#[test]
fn every_step_that_fails_is_named() {
    let args = Args::new(c"report");
    let new = || Spawn::new(ME, args.as_array(), CStrArray::EMPTY);
    let (reader, _writer) = pipe();
    let failed = |mut spawn: Spawn<'_>| {
        let error = spawn.spawn().unwrap_err();
        (error.step, error.errno)
    };
    let nowhere = failed(new().directory(c"/no/such/directory"));
    assert_eq!(nowhere, (SpawnStep::Directory, Errno::ENOENT));
    let no_tty = failed(new().controlling_terminal(reader.as_fd()));
    assert_eq!(no_tty, (SpawnStep::Terminal, Errno::ENOTTY));
    let nobody = process::Pid::from_raw(i32::MAX);
    assert_eq!(failed(new().process_group(nobody)).0, SpawnStep::Group);
    let unknown = process::CloneFlags::from_bits_retain(1 << 62);
    let options = process::CloneOptions::new().flags(unknown);
    assert_eq!(
        failed(new().clone_options(options)),
        (SpawnStep::Clone, Errno::EINVAL)
    );
    let limit = process::prlimit(None, Resource::NOFILE, None)
        .unwrap()
        .rlim_cur as i32;
    let mut maps = [FdMap::new(reader.as_fd(), limit)];
    let spawn = new().fds(&mut maps);
    assert_eq!(failed(spawn), (SpawnStep::Descriptors, Errno::EBADF));
}

/// A failed spawn leaves nothing behind: in a child of its own, which has no
/// other children.
#[test]
fn a_failed_spawn_leaves_no_child_and_no_descriptor() {
    // SAFETY: the child makes system calls, spawns, and exits.
    let Some(child) = unsafe { process::fork() }.unwrap() else {
        let argv = [Some(CStrPtr::new(c"x")), None];
        let lowest = || {
            // SAFETY: descriptor 0 is open in a test.
            let fd = unsafe { BorrowedFd::borrow_raw(0) };
            io::fcntl_dupfd_cloexec(fd, 3).map(|fd| fd.as_raw_fd())
        };
        let before = lowest();
        for _ in 0..100 {
            let argv = CStrArray::new(&argv).unwrap();
            let error = Spawn::new(c"/no/such/file", argv, CStrArray::EMPTY).spawn();
            if error.is_ok() {
                process::exit_group(1);
            }
        }
        if lowest() != before {
            process::exit_group(2);
        }
        let none = wait4(WaitTarget::Any, WaitOptions::NOHANG | WaitOptions::ALL);
        process::exit_group(if none == Err(Errno::ECHILD) { 0 } else { 3 });
    };
    let end = wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap();
    assert_eq!(end, Some((child, WaitStatus::Exited(0))));
}

#[test]
fn a_name_without_a_slash_is_searched() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().to_str().unwrap();
    std::os::unix::fs::symlink("/proc/self/exe", dir.path().join("barecall-program")).unwrap();
    std::fs::write(dir.path().join("barecall-data"), "x").unwrap();
    let args = Args::new(c"report");
    let path = format!("/nowhere::{here}");
    let run = |name: &CStr, path: &str| {
        let (reader, writer) = pipe();
        let mut maps = [FdMap::new(writer.as_fd(), 9)];
        let spawned = Spawn::search(name, path.as_bytes(), args.as_array(), CStrArray::EMPTY)
            .fds(&mut maps)
            .spawn();
        drop(writer);
        let child = spawned.map_err(|error| error.errno)?;
        read_all(&reader);
        Ok(child.wait().unwrap())
    };
    assert_eq!(run(c"barecall-program", &path), Ok(WaitStatus::Exited(7)));
    assert_eq!(run(c"barecall-data", &path), Err(Errno::EACCES));
    assert_eq!(run(c"barecall-nothing", &path), Err(Errno::ENOENT));
    assert_eq!(run(c"barecall-program", "/nowhere"), Err(Errno::ENOENT));
    assert_eq!(run(c"", &path), Err(Errno::ENOENT));
    assert_eq!(run(ME, "/nowhere"), Ok(WaitStatus::Exited(7)));
}

#[test]
fn a_program_is_started_from_a_descriptor() {
    let exe = std::fs::File::open("/proc/self/exe").unwrap();
    let exe = std::os::fd::OwnedFd::from(exe);
    use std::os::fd::AsRawFd as _;
    // SAFETY: open as long as `exe`.
    let fd = unsafe { BorrowedFd::borrow_raw(exe.as_raw_fd()) };
    let (reader, writer) = pipe();
    let args = Args::new(c"report");
    // The program's own descriptor is a target too, and gets out of the way.
    let mut maps = [
        FdMap::new(writer.as_fd(), 9),
        FdMap::new(writer.as_fd(), fd.as_raw_fd()),
    ];
    if fd.as_raw_fd() == 9 {
        skip!("the program is descriptor 9 already");
    }
    let mut spawn = Spawn::new_fd(fd, args.as_array(), CStrArray::EMPTY).fds(&mut maps);
    let children = [spawn.spawn().unwrap(), spawn.spawn().unwrap()];
    drop(writer);
    read_all(&reader);
    for child in children {
        assert_eq!(child.wait(), Ok(WaitStatus::Exited(7)));
    }
}

/// Writes much more than a pipe holds to both descriptors.
#[test]
#[ignore = "is started by the others"]
fn talk() {
    let text = [b'x'; 1 << 16];
    for _ in 0..16 {
        for fd in [1, 2] {
            // SAFETY: those who start this have them.
            io::write_all(unsafe { BorrowedFd::borrow_raw(fd) }, &text).unwrap();
        }
    }
    process::exit_group(3);
}

#[test]
fn captured_output_is_whole_and_can_be_sealed() {
    let args = Args::new(c"talk");
    let out = Spawn::new(ME, args.as_array(), CStrArray::EMPTY)
        .capture()
        .unwrap();
    assert_eq!(out.status, WaitStatus::Exited(3));
    for file in [&out.stdout, &out.stderr] {
        let size = fs::fstat(file).unwrap().st_size as u64;
        assert!(size >= 1 << 20, "{size}");
        assert_eq!(io::fcntl_getfd(file), Ok(FdFlags::CLOEXEC));
        const F_ADD_SEALS: u32 = 1033;
        // SAFETY: seals for a file of this test: SEAL, SHRINK, GROW, WRITE.
        unsafe { io::fcntl(file, F_ADD_SEALS, 0xf) }.unwrap();
        assert_eq!(io::write(file, b"x"), Err(Errno::EPERM));
    }
    let error = Spawn::new(c"/no/such/file", args.as_array(), CStrArray::EMPTY).capture();
    assert_eq!(error.unwrap_err().errno, Errno::ENOENT);
}
