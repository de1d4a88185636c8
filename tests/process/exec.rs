//! Executing programs: this one, which knows what to do by its arguments.

use crate::clone::page_size;
use crate::{common, end, skip, start};
use barecall::fd::{AsFd as _, BorrowedFd, OwnedFd};
use barecall::fs::{self, CWD, Mode, OFlags};
use barecall::io::{self, DupFlags, PipeFlags};
use barecall::process::{
    self, CStrArray, CStrPtr, CStrings, ExecveatFlags, WaitStatus, execve, execveat, exit_group,
};
use barecall::signal::{How, SigSet, Signal, sigprocmask};
use barecall::{Errno, nr, syscall};
use std::ffi::{CStr, CString};
use std::path::Path;

const ME: &CStr = c"/proc/self/exe";

fn args(test: &CStr) -> CStrings<'_, 6> {
    let exact = c"--exact";
    CStrings::new([c"process", c"--ignored", exact, c"--nocapture", c"-q", test])
}

/// Of `/proc/self/status`, a set of signals.
fn signals(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

const TIMER: libc::itimerval = libc::itimerval {
    it_interval: libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    },
    it_value: libc::timeval {
        tv_sec: 100_000,
        tv_usec: 0,
    },
};

#[test]
#[ignore = "is started by the others"]
fn look_around() {
    let bit = |signal: Signal| 1 << (signal.as_raw() - 1);
    let (ignored, caught) = (signals("SigIgn:"), signals("SigCgt:"));
    let mut problems = 0;
    let mut check = |ok: bool| problems = problems << 1 | i32::from(!ok);
    check((ignored | caught) & bit(Signal::SIGUSR1) == 0);
    check(ignored & bit(Signal::SIGUSR2) != 0);
    check(signals("SigBlk:") & bit(Signal::SIGURG) != 0);
    // SAFETY: asked whether they are open at all.
    let open = |fd| io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).is_ok();
    check(open(150));
    check(!open(151));
    let mut timer = libc::itimerval {
        it_value: TIMER.it_interval,
        ..TIMER
    };
    // SAFETY: writes an itimerval.
    unsafe { libc::getitimer(libc::ITIMER_REAL, &mut timer) };
    check(timer.it_value.tv_sec > 0);
    exit_group(problems);
}

extern "C" fn nothing(_signal: i32) {}

/// PRC-058, PRC-060
#[test]
fn execve_resets_handlers_and_keeps_what_is_ignored_blocked_open_and_timed() {
    if common::under_qemu_user() {
        skip!("qemu-user executes itself");
    }
    let child = start(|| {
        // SAFETY: a handler that does nothing, and a timer, in this process.
        unsafe {
            libc::signal(libc::SIGUSR1, nothing as *const () as usize);
            libc::signal(libc::SIGUSR2, libc::SIG_IGN);
            libc::setitimer(libc::ITIMER_REAL, &TIMER, core::ptr::null_mut());
        }
        let _ = sigprocmask(How::BLOCK, SigSet::of(&[Signal::SIGURG]));
        let Ok((reader, _writer)) = io::pipe2(PipeFlags::CLOEXEC) else {
            return 101;
        };
        // SAFETY: nobody has these numbers here.
        unsafe {
            let _ = io::dup3_raw(&reader, 150, DupFlags::empty());
            let _ = io::dup3_raw(&reader, 151, DupFlags::CLOEXEC);
        }
        let args = args(c"exec::look_around");
        execve(ME, args.as_array(), CStrArray::EMPTY).raw()
    });
    assert_eq!(end(child), WaitStatus::Exited(0), "a bit for each problem");
}

/// Strings that a shell could not write.
fn strange() -> Vec<CString> {
    let mut all = vec![
        c"".to_owned(),
        c"=".to_owned(),
        c"=x".to_owned(),
        c"A=\xff\x01\n".to_owned(),
    ];
    // MAX_ARG_STRLEN: 32 pages, with the NUL.
    all.push(CString::new(vec![b'y'; 32 * page_size() - 1]).unwrap());
    all.extend((0..500).map(|i| CString::new(format!("V{i}={i}")).unwrap()));
    all
}

#[test]
#[ignore = "is started by the others"]
fn look_at_strings() {
    let expected: Vec<u8> = strange()
        .iter()
        .flat_map(|s| s.to_bytes_with_nul().to_vec())
        .collect();
    let environment = std::fs::read("/proc/self/environ").unwrap();
    let arguments = std::fs::read("/proc/self/cmdline").unwrap();
    let first = b"a \"strange\" name\0--ignored\0";
    exit_group(i32::from(environment != expected) | i32::from(!arguments.starts_with(first)) << 1);
}

/// PRC-057
#[test]
fn arguments_and_environment_arrive_as_they_are() {
    if common::under_qemu_user() {
        skip!("qemu-user executes itself");
    }
    let strange = strange();
    let envp: Vec<_> = strange
        .iter()
        .map(|s| Some(CStrPtr::new(s)))
        .chain([None])
        .collect();
    let envp = CStrArray::new(&envp).unwrap();
    let mut pointers = [c"a \"strange\" name", c"--ignored", c"--exact", c"-q", c""];
    pointers[4] = c"exec::look_at_strings";
    let argv = CStrings::new(pointers);
    let children: Vec<_> = (0..8)
        .map(|_| start(|| execve(ME, argv.as_array(), envp).raw()))
        .collect();
    for child in children {
        assert_eq!(end(child), WaitStatus::Exited(0));
    }
}

#[test]
#[ignore = "is started by the others"]
fn seven() {
    exit_group(7);
}

/// PRC-061
#[test]
fn execveat_finds_the_program_from_a_directory_or_is_given_it() {
    if common::under_qemu_user() {
        skip!("qemu-user executes itself");
    }
    let run = |dir: &dyn Fn() -> Result<OwnedFd, Errno>, path: &CStr, flags| {
        end(start(|| {
            let args = args(c"exec::seven");
            let argv = args.as_array();
            let answer = match dir() {
                Ok(dir) => execveat(&dir, path, argv, CStrArray::EMPTY, flags),
                Err(_) => execveat(CWD, path, argv, CStrArray::EMPTY, flags),
            };
            answer.map_or_else(Errno::raw, |()| 0)
        }))
    };
    let open = |path: &'static CStr, flags| move || fs::openat(CWD, path, flags, Mode::empty());
    let none = ExecveatFlags::empty();
    let itself = ExecveatFlags::EMPTY_PATH;
    let seven = WaitStatus::Exited(7);
    let directory = open(c"/proc/self", OFlags::PATH | OFlags::CLOEXEC);
    assert_eq!(run(&directory, c"exe", none), seven);
    assert_eq!(run(&directory, ME, none), seven, "absolute");
    assert_eq!(run(&open(ME, OFlags::RDONLY), c"", itself), seven);
    assert_eq!(run(&open(ME, OFlags::PATH), c"", itself), seven);
    assert_eq!(
        run(&open(ME, OFlags::RDONLY | OFlags::CLOEXEC), c"", itself),
        seven
    );
    assert_eq!(
        run(&|| Err(Errno::EBADF), ME, none),
        seven,
        "from the working directory"
    );

    // Whether it would be allowed. (In a child: the process that asks can start
    // no thread meanwhile, and the other tests need theirs.)
    let answer = match common::kernel_is_at_least(6, 14) {
        true => 0,
        false => Errno::EINVAL.raw() as u8,
    };
    assert_eq!(
        run(&open(ME, OFlags::PATH), c"", itself | ExecveatFlags::CHECK),
        WaitStatus::Exited(answer)
    );
}

#[test]
fn a_program_is_searched_for_in_one_directory_after_the_other() {
    common::in_child(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).into_os_string().into_encoded_bytes();
        for name in ["program", "bad"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        // What cannot be executed: `bad/me` is a directory.
        std::fs::create_dir(dir.path().join("bad/me")).unwrap();
        std::os::unix::fs::symlink("circle", dir.path().join("circle")).unwrap();
        let me = CString::new(path("program/me")).unwrap();
        std::os::unix::fs::symlink("/proc/self/exe", dir.path().join("program/me")).unwrap();

        let dirs = |all: &[&[u8]]| all.join(&b':');
        let (none, bad, circle) = (path("none"), path("bad"), path("circle"));
        let (program, file, long) = (path("program"), path("program/me"), vec![b'x'; 5000]);
        let search = |name: &CStr, dirs: &[u8]| {
            let argv = CStrings::new([name]);
            process::execve_search(name, dirs, argv.as_array(), CStrArray::EMPTY)
        };
        let no_such = dirs(&[&none, &file, &long, &circle]);
        assert_eq!(search(c"me", &no_such), Errno::ENOENT);
        assert_eq!(search(c"me", &[]), Errno::ENOENT);
        assert_eq!(search(c"", &program), Errno::ENOENT);
        // It is remembered, whatever else is not there.
        assert_eq!(search(c"me", &dirs(&[&none, &bad, &none])), Errno::EACCES);
        // With a slash there is one place only.
        assert_eq!(search(c"./me", &program), Errno::ENOENT);
        // A directory is not searched for what the kernel can say of no path.
        let name = CString::new(vec![b'x'; 300]).unwrap();
        assert_eq!(search(&name, &program), Errno::ENOENT);

        if !common::under_qemu_user() {
            let run = |name: &CStr, dirs: &[u8]| {
                end(start(|| {
                    let args = args(c"exec::seven");
                    process::execve_search(name, dirs, args.as_array(), CStrArray::EMPTY).raw()
                }))
            };
            let seven = WaitStatus::Exited(7);
            let all = dirs(&[&none, &bad, &long, &program, &none]);
            assert_eq!(run(c"me", &all), seven);
            assert_eq!(run(&me, &none), seven);
            // An empty directory is this one, at either end and between.
            process::chdir(&CString::new(program.clone()).unwrap()).unwrap();
            for dirs in [&b""[..], b":/none", b"/none:", b"/none::/none"] {
                assert_eq!(run(c"me", dirs), seven);
            }
            process::chdir(c"/").unwrap();
        }
    });
}

/// PRC-050, PRC-051, PRC-062
#[test]
fn what_is_no_regular_file_is_not_executed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| CString::new(dir.path().join(name).to_str().unwrap()).unwrap();
    let argv = CStrings::new([c"x"]);
    let run = |path: &CStr| execve(path, argv.as_array(), CStrArray::EMPTY);
    let fifo = path("fifo");
    // SAFETY: a string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o777) }, 0);
    assert_eq!(run(&fifo), Errno::EACCES);
    let socket = path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(Path::new(socket.to_str().unwrap()));
    assert_eq!(run(&socket), Errno::EACCES);
    let circle = path("circle");
    std::os::unix::fs::symlink("circle", circle.to_str().unwrap()).unwrap();
    assert_eq!(run(&circle), Errno::ELOOP);
    assert_eq!(run(&path("fifo/x")), Errno::ENOTDIR);

    let at = |dir: BorrowedFd<'_>, path: &CStr, flags| {
        execveat(dir, path, argv.as_array(), CStrArray::EMPTY, flags)
    };
    let link = path("link");
    std::os::unix::fs::symlink("/proc/self/exe", link.to_str().unwrap()).unwrap();
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let here = fs::openat(CWD, &path("."), flags, Mode::empty()).unwrap();
    let nofollow = ExecveatFlags::SYMLINK_NOFOLLOW;
    assert_eq!(at(here.as_fd(), c"link", nofollow), Err(Errno::ELOOP));
    assert_eq!(
        at(here.as_fd(), c"", ExecveatFlags::EMPTY_PATH),
        Err(Errno::EACCES)
    );
    assert_eq!(
        at(here.as_fd(), c"nothing", ExecveatFlags::empty()),
        Err(Errno::ENOENT)
    );
    // SAFETY: no such descriptor.
    let error = unsafe { syscall!(nr::EXECVEAT, i32::MAX, c"x", argv.as_array().as_ptr(), 0, 0) };
    assert_eq!(error, Err(Errno::EBADF));
}

/// PRC-050, PRC-052, PRC-053: alone in a process, since a file that somebody
/// else's child still has open for writing would be busy.
#[test]
fn what_has_no_format_or_is_being_written_is_not_executed() {
    common::in_child(|| {
        use std::os::unix::fs::OpenOptionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let run = |name: &str, text: &str, mode: u32, busy: bool| {
            let path = dir.path().join(name);
            let mut file = std::fs::OpenOptions::new();
            let mut file = file
                .write(true)
                .create(true)
                .mode(mode)
                .open(&path)
                .unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            let open = busy.then_some(file);
            let path = CString::new(path.to_str().unwrap()).unwrap();
            let argv = CStrings::new([c"x"]);
            let error = execve(&path, argv.as_array(), CStrArray::EMPTY);
            drop(open);
            error
        };
        assert_eq!(run("empty", "", 0o755, false), Errno::ENOEXEC);
        assert_eq!(run("text", "exit 0\n", 0o755, false), Errno::ENOEXEC);
        assert_eq!(run("plain", "exit 0\n", 0o644, false), Errno::EACCES);
        assert_eq!(
            run("lost", "#!/no/such/interpreter\n", 0o755, false),
            Errno::ENOENT
        );
        assert_eq!(run("circle", "#!circle\n", 0o755, false), Errno::ENOENT);
        let busy = match common::kernel_version() {
            // It did not mind for one version.
            (6, 11) => Errno::ENOEXEC,
            _ => Errno::ETXTBSY,
        };
        assert_eq!(run("busy", "", 0o755, true), busy);
        let _ = process::chdir(c"/");
    });
}
