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
    // None: in a PID namespace whose leaders stayed outside.
    let group = process::getpgid(None).unwrap();
    let session = process::getsid(None).unwrap();
    let me = Some(getpid());
    write!(text, "mask:{:x} ", mask.bits()).unwrap();
    write!(text, "leads:{},{} ", group == me, session == me).unwrap();
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

/// PRC-007: it is made on a stack of its own.
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

/// To `setresuid` that number is "as it is": who asks for it would stay root.
#[test]
fn the_user_that_means_no_change_is_refused() {
    let args = Args::new(c"report");
    for (uid, gid) in [(u32::MAX, 65534), (65534, u32::MAX), (u32::MAX, u32::MAX)] {
        let error = Spawn::new(ME, args.as_array(), CStrArray::EMPTY)
            .user(uid, gid, &[])
            .spawn()
            .unwrap_err();
        assert_eq!(
            (error.errno, error.step),
            (Errno::EINVAL, SpawnStep::Credentials)
        );
    }
}

#[test]
fn a_child_cannot_arrange_the_descriptors_of_its_parent() {
    let (kept, _writer) = pipe();
    let (other, _writer) = pipe();
    let args = Args::new(c"report");
    let mut maps = [FdMap::new(other.as_fd(), kept.as_raw_fd())];
    let shared = process::CloneOptions::new().flags(process::CloneFlags::FILES);
    let spawned = Spawn::new(c"/no/such/file", args.as_array(), CStrArray::EMPTY)
        .fds(&mut maps)
        .clone_options(shared)
        .spawn();
    // Still close-on-exec, as no `dup3` to that number leaves it.
    assert_eq!(io::fcntl_getfd(&kept), Ok(FdFlags::CLOEXEC));
    let error = spawned.unwrap_err();
    assert_eq!((error.errno, error.step), (Errno::EINVAL, SpawnStep::Clone));
}

#[test]
fn a_child_cannot_take_its_parent_to_another_directory() {
    // In a child, for nobody else there depends on where it is.
    common::in_child(|| {
        let args = Args::new(c"report");
        let shared = process::CloneOptions::new().flags(process::CloneFlags::FS);
        let before = std::env::current_dir().unwrap();
        let spawned = Spawn::new(c"/no/such/file", args.as_array(), CStrArray::EMPTY)
            .directory(c"/proc")
            .clone_options(shared)
            .spawn();
        assert_eq!(std::env::current_dir().unwrap(), before);
        let error = spawned.unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EINVAL, SpawnStep::Clone));
    });
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

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// PRC-050 to PRC-053. Alone in a process: a file that the child of another
/// thread still has open for writing would be busy, and its descriptors and
/// children would count.
#[test]
fn the_parent_is_told_why_the_program_was_not_executed_and_nothing_is_left() {
    common::in_child(|| {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            CString::new(path.to_str().unwrap()).unwrap()
        };
        let busy = file("busy", "#!/proc/self/exe\n", 0o755);
        let open = std::fs::OpenOptions::new()
            .write(true)
            .open(busy.to_str().unwrap())
            .unwrap();
        let mut bad = vec![
            (c"/no/such/file".to_owned(), Errno::ENOENT),
            (c"".to_owned(), Errno::ENOENT),
            (c"/".to_owned(), Errno::EACCES),
            (c"/dev/null".to_owned(), Errno::EACCES),
            (c"/proc/self/exe/x".to_owned(), Errno::ENOTDIR),
            (file("plain", "x", 0o644), Errno::EACCES),
            (file("empty", "", 0o755), Errno::ENOEXEC),
            (file("script", "exit 0\n", 0o755), Errno::ENOEXEC),
            (
                file("lost", "#!/no/such/interpreter\n", 0o755),
                Errno::ENOENT,
            ),
            (CString::new(vec![b'x'; 5000]).unwrap(), Errno::ENAMETOOLONG),
        ];
        // Linux 6.11 alone did not mind, and runs it.
        if common::kernel_version() != (6, 11) {
            bad.push((busy, Errno::ETXTBSY));
        }
        let args = Args::new(c"report");
        // MAX_ARG_STRLEN is 32 pages; and what all of them may have is a quarter
        // of the stack's limit.
        let one = CString::new(vec![b'x'; 32 << 16]).unwrap();
        let many = vec![Some(CStrPtr::new(c"0123456789abcdef")); 1 << 20];
        let one = [Some(CStrPtr::new(&one)), None];
        let mut many = many;
        many.push(None);

        let before = descriptors();
        let told = |mut spawn: Spawn<'_>| {
            let error = spawn.spawn().unwrap_err();
            assert_eq!(error.step, SpawnStep::Exec);
            error.errno
        };
        for (path, errno) in &bad {
            let spawn = Spawn::new(path, args.as_array(), CStrArray::EMPTY);
            assert_eq!(told(spawn), *errno, "{path:?}");
            let spawn = Spawn::new(path, args.as_array(), CStrArray::EMPTY);
            let error = spawn.capture().unwrap_err();
            assert_eq!((error.errno, error.step), (*errno, SpawnStep::Exec));
        }
        for strings in [&one[..], &many[..]] {
            let strings = CStrArray::new(strings).unwrap();
            let arguments = Spawn::new(ME, strings, CStrArray::EMPTY);
            assert_eq!(told(arguments), Errno::E2BIG);
            let environment = Spawn::new(ME, args.as_array(), strings);
            assert_eq!(told(environment), Errno::E2BIG);
        }
        assert_eq!(descriptors(), before);
        let child = wait4(WaitTarget::Any, WaitOptions::ALL | WaitOptions::NOHANG);
        assert_eq!(child, Err(Errno::ECHILD));
        drop(open);
    });
}

#[test]
fn an_error_says_what_failed_and_why() {
    let error = Spawn::new(c"/", Args::new(c"report").as_array(), CStrArray::EMPTY)
        .spawn()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot execute the program: EACCES: Permission denied"
    );
}

#[test]
#[ignore = "is started by the others"]
fn seven() {
    process::exit_group(7);
}

#[test]
#[ignore = "is started by the others"]
fn limits() {
    let limit = |resource| {
        let limit = process::prlimit(None, resource, None).unwrap();
        (limit.rlim_cur, limit.rlim_max)
    };
    let right = limit(Resource::NOFILE) == (50, 60) && limit(Resource::CORE) == (0, 0);
    process::exit_group(if right { 7 } else { 1 });
}

#[test]
fn limits_are_set_after_the_descriptors_and_before_the_user() {
    use barecall::process::Rlimit;
    let limit = |rlim_cur, rlim_max| Rlimit { rlim_cur, rlim_max };
    let limits = [
        (Resource::CORE, limit(0, 0)),
        (Resource::NOFILE, limit(50, 60)),
    ];
    let args = Args::new(c"limits");
    let (reader, _writer) = pipe();
    // A number that the limit does not allow any more.
    let mut maps = [FdMap::new(reader.as_fd(), 70)];
    let mut spawn = Spawn::new(ME, args.as_array(), CStrArray::EMPTY)
        .fds(&mut maps)
        .limits(&limits);
    if process::geteuid() == 0 {
        spawn = spawn.user(65534, 65534, &[]);
    }
    let child = spawn.spawn().unwrap();
    assert_eq!(child.wait(), Ok(WaitStatus::Exited(7)));

    let wrong = [(Resource::CORE, limit(2, 1))];
    let spawn = Spawn::new(ME, args.as_array(), CStrArray::EMPTY);
    let error = spawn.limits(&wrong).spawn().unwrap_err();
    assert_eq!(
        (error.errno, error.step),
        (Errno::EINVAL, SpawnStep::Limits)
    );
    assert!(
        error
            .to_string()
            .starts_with("cannot set the limits: EINVAL")
    );
}

#[test]
fn a_program_is_found_from_a_directory() {
    let open = |path: &CStr| {
        let flags = fs::OFlags::PATH | fs::OFlags::CLOEXEC;
        fs::openat(fs::CWD, path, flags, fs::Mode::empty()).unwrap()
    };
    let proc = open(c"/proc/self");
    let args = Args::new(c"seven");
    let run = |dir: BorrowedFd<'_>, path: &CStr| {
        // The directory's number is wanted for something else.
        let mut maps = [FdMap::new(dir, dir.as_raw_fd())];
        let mut spawn = Spawn::new_at(dir, path, args.as_array(), CStrArray::EMPTY)
            .directory(c"/")
            .fds(&mut maps);
        spawn
            .spawn()
            .map(|child| child.wait().unwrap())
            .map_err(|error| error.errno)
    };
    let seven = Ok(WaitStatus::Exited(7));
    assert_eq!(run(proc.as_fd(), c"exe"), seven);
    assert_eq!(run(proc.as_fd(), ME), seven);
    assert_eq!(run(open(ME).as_fd(), c""), seven);
    assert_eq!(run(proc.as_fd(), c"nothing"), Err(Errno::ENOENT));
    assert_eq!(run(proc.as_fd(), c""), Err(Errno::EACCES));
}

/// With a pidfd that ends what it stands for, nobody has to wait.
#[test]
fn a_program_that_reaps_itself_ends_with_its_pidfd() {
    use process::{CloneFlags, CloneOptions};
    let flags = CloneFlags::AUTOREAP | CloneFlags::PIDFD_AUTOKILL | CloneFlags::NNP;
    let options = CloneOptions::new().flags(flags).exit_signal(None);
    let args = Args::new(c"sleep");
    let answer = Spawn::new(ME, args.as_array(), CStrArray::EMPTY)
        .clone_options(options)
        .spawn();
    if !common::kernel_is_at_least(7, 1) {
        let error = answer.unwrap_err();
        assert_eq!((error.errno, error.step), (Errno::EINVAL, SpawnStep::Clone));
        return;
    }
    let child = answer.unwrap();
    let watch = process::pidfd_open(child.pid(), process::PidfdFlags::empty()).unwrap();
    drop(child);
    use barecall::event::{PollFd, PollFlags, poll};
    assert_eq!(poll(&mut [PollFd::new(&watch, PollFlags::IN)], None), Ok(1));
}

#[test]
#[ignore = "is started by the others"]
fn sleep() {
    loop {
        let _ = barecall::event::poll(&mut [], None);
    }
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

/// Writes 3 MiB to both descriptors, which is much more than a pipe holds, by
/// turns.
#[test]
#[ignore = "is started by the others"]
fn talk() {
    for round in 0..48_u8 {
        for fd in [1, 2] {
            let text = [round ^ fd as u8; 1 << 16];
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
    for (file, fd) in [(&out.stdout, 1_u8), (&out.stderr, 2)] {
        let expected: Vec<u8> = (0..48_u8).flat_map(|round| [round ^ fd; 1 << 16]).collect();
        let mut all = Vec::new();
        let mut buf = vec![0; 1 << 20];
        loop {
            match io::read(file, &mut buf).unwrap() {
                0 => break,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
        // The test's harness says something before.
        assert!(all.ends_with(&expected), "{fd}: {} bytes", all.len());
        assert!(all.len() < expected.len() + 4096);
        assert_eq!(io::fcntl_getfd(file), Ok(FdFlags::CLOEXEC));
        const F_ADD_SEALS: u32 = 1033;
        // SAFETY: seals for a file of this test: SEAL, SHRINK, GROW, WRITE.
        unsafe { io::fcntl(file, F_ADD_SEALS, 0xf) }.unwrap();
        assert_eq!(io::write(file, b"x"), Err(Errno::EPERM));
    }
}
