//! `spawn` and `capture` under fault injection: every system call of theirs, in
//! the parent and in the child, made to fail once by strace.

#[path = "common/host.rs"]
mod host;

use barecall::fd::{AsFd as _, BorrowedFd};
use barecall::fs::{self, Mode, OFlags};
use barecall::process::{
    CStrArray, CStrings, Resource, Rlimit, WaitOptions, WaitTarget, exit_group, wait4,
};
use barecall::signal::{How, SigSet, Signal, sigprocmask};
use barecall::spawn::{FdMap, Spawn, SpawnError, SpawnStep};
use barecall::{Errno, nr, syscall};
use std::ffi::CStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// How a run of a part ended, as its exit status.
const DONE: i32 = 0;
const FAILED: i32 = 1;
/// The program runs, or ran, and what came after it failed.
const STARTED: i32 = 2;
const A_DESCRIPTOR_IS_LEFT: i32 = 10;
const A_CHILD_IS_LEFT: i32 = 11;

/// strace counts the calls of each process. So that a number means either one
/// of the parent or one of the child, the parent makes this many before.
const BURNT: usize = 20;

fn burn() {
    for _ in 0..BURNT {
        // SAFETY: none of them can do anything.
        unsafe {
            let _ = syscall!(nr::RT_SIGPROCMASK, 99, 0, 0, 8);
            let _ = syscall!(nr::CLONE3, 0, 0);
            let _ = syscall!(nr::WAITID, 99, 0, 0, 0, 0);
            let _ = syscall!(nr::MEMFD_CREATE, 0, 0);
            let _ = syscall!(nr::LSEEK, -1, 0, 0);
        }
    }
}

/// Something in strace's log that nobody else does.
fn mark(name: &CStr) {
    let _ = fs::openat(fs::CWD, name, OFlags::PATH, Mode::empty());
}

/// Which of the first descriptors are open.
fn descriptors() -> [bool; 128] {
    // By a call that the child does not make, since this one is not to fail.
    // SAFETY: asked whether they are open at all.
    let open = |fd| fs::fstat(unsafe { BorrowedFd::borrow_raw(fd) }).is_ok();
    core::array::from_fn(|fd| open(fd as i32))
}

/// Runs a part between marks, and looks what is left of it.
fn run_part(part: &str) -> i32 {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(null) = fs::openat(fs::CWD, c"/dev/null", flags, Mode::empty()) else {
        return 3;
    };
    let argv = CStrings::new([c"true"]);
    let (argv, envp) = (argv.as_array(), CStrArray::EMPTY);
    let limits = [(Resource::CORE, Rlimit::default())];
    let mut maps = [
        FdMap::new(null.as_fd(), 50),
        // A source that is a target too, and must get out of the way.
        FdMap::new(null.as_fd(), null.as_raw_fd()),
    ];
    let ignored = SigSet::of(&[Signal::SIGUSR1]);
    let _ = sigprocmask(How::BLOCK, ignored);
    let before = descriptors();
    burn();
    mark(c"/barecall-begin");
    let ended: Result<bool, SpawnError> = match part {
        "capture" => Spawn::new(c"/bin/true", argv, envp).capture().map(|_| true),
        _ => {
            let mut spawn = match part {
                "everything" => Spawn::search(c"true", b"/nowhere:/bin", argv, envp)
                    .session()
                    .directory(c"/")
                    .stdin(null.as_fd())
                    .stdout(null.as_fd())
                    .fds(&mut maps)
                    .only_named_fds_from(3)
                    .limits(&limits)
                    .no_new_privs()
                    .pdeathsig(Signal::SIGTERM)
                    .default_signals(ignored),
                "missing" => Spawn::new(c"/no/such/file", argv, envp),
                _ => Spawn::new(c"/bin/true", argv, envp),
            };
            spawn.spawn().map(|child| child.wait().is_ok())
        }
    };
    mark(c"/barecall-end");
    let result = match ended {
        Ok(true) => DONE,
        Ok(false) => STARTED,
        Err(error) if error.step == SpawnStep::Capture => STARTED,
        Err(_) => FAILED,
    };
    if descriptors() != before {
        return A_DESCRIPTOR_IS_LEFT;
    }
    loop {
        match wait4(WaitTarget::Any, WaitOptions::ALL) {
            Ok(Some(_)) if result == STARTED => {}
            Err(Errno::ECHILD) => return result,
            _ => return A_CHILD_IS_LEFT,
        }
    }
}

/// Runs a part in a forked child, that strace is attached to before anything
/// of it happens; its exit status, and the logs of the parent and of the child.
fn run(part: &str, inject: Option<&str>) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    // SAFETY: the child runs a part of this test, and ends.
    let process = unsafe {
        match libc::fork() {
            0 => {
                // Whoever is root may trace it anyway.
                libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
                libc::raise(libc::SIGSTOP);
                exit_group(run_part(part))
            }
            process => process,
        }
    };
    let mut status = 0;
    // SAFETY: a child of this test, and an int.
    unsafe {
        assert_eq!(
            libc::waitpid(process, &mut status, libc::WUNTRACED),
            process
        );
    }
    assert!(libc::WIFSTOPPED(status));
    let mut strace = Command::new("strace");
    strace.args(["-ff", "-e", "signal=none", "-p", &process.to_string(), "-o"]);
    strace.arg(dir.path().join("log"));
    if let Some(inject) = inject {
        strace.args(["-e", &format!("inject={inject}")]);
    }
    let mut strace = strace.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(strace.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    if !line.contains("attached") {
        // SAFETY: as above.
        unsafe { libc::kill(process, libc::SIGKILL) };
        panic!("strace: {line}");
    }
    // SAFETY: as above.
    unsafe {
        libc::kill(process, libc::SIGCONT);
        assert_eq!(libc::waitpid(process, &mut status, 0), process);
    }
    // To its end, so that it never writes to nobody.
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    strace.wait().unwrap();
    assert!(libc::WIFEXITED(status), "{part}: {inject:?}: {status:#x}");
    let log = |task: &str| {
        let path = dir.path().join(format!("log.{task}"));
        std::fs::read_to_string(Path::new(&path)).unwrap_or_default()
    };
    let parent = log(&process.to_string());
    let child = parent
        .lines()
        .filter(|line| line.starts_with("clone3("))
        .find_map(|line| line.rsplit_once(" = ")?.1.parse::<u32>().ok())
        .map_or(String::new(), |child| log(&child.to_string()));
    (libc::WEXITSTATUS(status), parent, child)
}

/// The calls of a log from `begin` to `end`, as (name, how many of the kind its
/// process has made when it makes this one).
fn calls(log: &str, begin: &str, end: &str) -> Vec<(String, usize)> {
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    let (mut calls, mut inside) = (Vec::new(), begin.is_empty());
    for line in log.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let count = seen.entry(name).or_default();
        *count += 1;
        if line.contains(end) {
            break;
        }
        // An injected failure of close is not like a real one: the descriptor
        // stays open. And exit_group does not fail.
        if inside && !["close", "exit_group"].contains(&name) {
            calls.push((name.to_owned(), *count));
        }
        if line.starts_with("execve(") && line.ends_with(" = 0") {
            // From here on it is the program's log.
            break;
        }
        inside |= !begin.is_empty() && line.contains(begin);
    }
    calls
}

#[test]
fn every_call_of_spawn_and_capture_may_fail_once_and_nothing_is_left() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let mut count = 0;
    for (part, expected) in [
        ("plain", DONE),
        ("everything", DONE),
        ("missing", FAILED),
        ("capture", DONE),
    ] {
        let (status, parent, child) = run(part, None);
        assert_eq!(status, expected, "{part}:\n{parent}\n{child}");
        let ours = calls(&parent, "/barecall-begin", "/barecall-end");
        let childs = calls(&child, "", "exit_group(");
        assert!(ours.len() >= 4, "{part}: {ours:?}");
        assert!(childs.len() >= 2, "{part}: {childs:?}");
        let all = ours.iter().map(|call| (call, true));
        for ((call, when), in_parent) in all.chain(childs.iter().map(|call| (call, false))) {
            assert_eq!(in_parent, *when > BURNT, "{part}: {call} {when}");
            // Waiting fails for nothing else.
            let errno = if call == "waitid" { "EINTR" } else { "EIO" };
            let inject = format!("{call}:error={errno}:when={when}");
            let (status, parent, child) = run(part, Some(&inject));
            let log = if in_parent { &parent } else { &child };
            let line = log.lines().find(|line| line.contains("(INJECTED)"));
            assert!(
                line.is_some_and(|line| line.starts_with(call.as_str())),
                "{part}: {inject}:\n{parent}\n{child}"
            );
            let possible: &[i32] = match (in_parent, call.as_str()) {
                (false, _) => &[FAILED],
                // The last step: giving the mask back, which is not told.
                (true, "rt_sigprocmask") => &[expected, FAILED],
                (true, "waitid") if part == "plain" || part == "everything" => &[STARTED],
                (true, "waitid") => &[expected],
                (true, "lseek") => &[STARTED],
                (true, "memfd_create") => &[STARTED],
                (true, _) => &[FAILED],
            };
            assert!(
                possible.contains(&status),
                "{part}: {inject}: {status}:\n{parent}\n{child}"
            );
            count += 1;
        }
    }
    eprintln!("{count} failures injected");
}
