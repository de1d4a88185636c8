//! kcmp through strace's eyes, and the programs `sameopen` and `fdshare`.

#[path = "common/host.rs"]
mod host;

use barecall::event::{EpollCreateFlags, EpollEvent, EpollFlags, epoll_add, epoll_create1};
use barecall::fd::OwnedFd;
use barecall::io::{self, PipeFlags};
use barecall::kcmp::{
    Entry, EpollSlot, File, LazyResource, Resource, classify_files, kcmp, kcmp_epoll_tfd,
    kcmp_file, kcmp_lazy, same_description,
};
use barecall::process::gettid;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// Says which part of a test runs in this process, under strace.
const PART: &str = "BARECALL_KCMP_PART";

/// Runs a test of this file again, as a part of another, under strace.
fn under_strace(test: &str, part: &str) -> Option<(Output, String)> {
    if !host::have("strace") {
        host::missing("strace");
        return None;
    }
    let options = ["-e", "trace=kcmp,fcntl"];
    let (output, log) = host::under_strace(&options, test, &[(PART, part.as_ref())]);
    assert!(output.status.success(), "{output:?}");
    Some((output, log))
}

#[test]
fn strace_decodes_what_was_meant() {
    const NAME: &str = "strace_decodes_what_was_meant";
    if std::env::var_os(PART).is_some() {
        let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
        let epoll = epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
        epoll_add(&epoll, &reader, EpollEvent::new(EpollFlags::IN, 0)).unwrap();
        let (r, w, e) = (reader.as_raw_fd(), writer.as_raw_fd(), epoll.as_raw_fd());
        let me = gettid();
        println!("\nnumbers {me} {r} {w} {e}");
        let _ = kcmp_file(me, r, me, w).unwrap();
        for resource in [
            Resource::VM,
            Resource::FILES,
            Resource::FS,
            Resource::SIGHAND,
        ] {
            let _ = kcmp(resource, me, me).unwrap();
        }
        for resource in [LazyResource::IO, LazyResource::SYSVSEM] {
            let _ = kcmp_lazy(resource, me, me).unwrap();
        }
        let slot = EpollSlot {
            efd: e as u32,
            tfd: r as u32,
            toff: 0,
        };
        let _ = kcmp_epoll_tfd(me, r, me, slot).unwrap();
        assert!(kcmp_file(me, -1, me, r).is_err());
        let _ = same_description(&reader, &writer).unwrap();
        return;
    }
    let Some((output, log)) = under_strace(NAME, "1") else {
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let numbers = said
        .lines()
        .find_map(|line| line.strip_prefix("numbers "))
        .unwrap();
    let numbers: Vec<&str> = numbers.split(' ').collect();
    let [me, r, w, e] = numbers[..] else {
        panic!("{numbers:?}")
    };
    let calls: Vec<_> = log
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1.trim()))
        .filter(|call| call.starts_with("kcmp("))
        .map(|call| call.split_once(" = ").unwrap().0.trim())
        .collect();
    let mut expected = vec![
        format!("kcmp({me}, {me}, KCMP_FILE, {r}, {w})"),
        format!("kcmp({me}, {me}, KCMP_VM)"),
        format!("kcmp({me}, {me}, KCMP_FILES)"),
        format!("kcmp({me}, {me}, KCMP_FS)"),
        format!("kcmp({me}, {me}, KCMP_SIGHAND)"),
        format!("kcmp({me}, {me}, KCMP_IO)"),
        format!("kcmp({me}, {me}, KCMP_SYSVSEM)"),
        format!("kcmp({me}, {me}, KCMP_EPOLL_TFD, {r}, {{efd={e}, tfd={r}, toff=0}})"),
    ];
    // One fcntl, and a kcmp only if that was refused (before Linux 6.10).
    let query = log
        .lines()
        .find(|line| {
            let command = line.contains("F_DUPFD_QUERY") || line.contains("0x403");
            command && line.contains(&format!("fcntl({r}, "))
        })
        .expect("an F_DUPFD_QUERY");
    if query.contains("EINVAL") {
        expected.push(format!("kcmp({me}, {me}, KCMP_FILE, {r}, {w})"));
    }
    assert_eq!(calls, expected);
}

#[test]
fn classes_take_fewer_calls_than_n_log_n() {
    const NAME: &str = "classes_take_fewer_calls_than_n_log_n";
    const N: usize = 700;
    if let Some(part) = std::env::var_os(PART) {
        let distinct: usize = part.to_str().unwrap().parse().unwrap();
        let mut fds: Vec<OwnedFd> = Vec::new();
        for i in 0..N {
            fds.push(match i.checked_sub(distinct) {
                Some(earlier) => fds[earlier].try_clone().unwrap(),
                None => std::fs::File::open("/dev/null").map(owned).unwrap(),
            });
        }
        let pid = gettid();
        let mut entries: Vec<_> = fds
            .iter()
            .map(|fd| {
                Entry::new(File {
                    pid,
                    fd: fd.as_raw_fd(),
                })
            })
            .collect();
        assert_eq!(classify_files(&mut entries), Ok(distinct));
        return;
    }
    for distinct in [1, 2, 70, 350, 700] {
        let Some((_, log)) = under_strace(NAME, &distinct.to_string()) else {
            return;
        };
        let calls = log.lines().filter(|line| line.contains("kcmp(")).count();
        let limit = (N as f64 * (N as f64).log2()) as usize;
        eprintln!("{N} descriptors of {distinct} files: {calls} calls, n log2 n = {limit}");
        assert!(calls < limit, "{calls}");
        assert!(calls >= N - 1, "strace saw {calls} only");
    }
}

/// std's file as ours, without the feature `std`.
fn owned(file: std::fs::File) -> OwnedFd {
    // SAFETY: owned there, owned here.
    unsafe { OwnedFd::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(file)) }
}

fn programs() -> PathBuf {
    let target = if cfg!(target_arch = "x86_64") {
        host::X86_64
    } else {
        host::AARCH64
    };
    host::examples(target, "release").expect("the toolchain that built this test")
}

/// A process that waits, with the given standard descriptors.
struct Waiting(Child);

impl Waiting {
    fn start(stdin: &std::fs::File, stdout: &std::fs::File) -> Self {
        let child = Command::new("sleep")
            .arg("1000")
            .stdin(stdin.try_clone().unwrap())
            .stdout(stdout.try_clone().unwrap())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// A process with so many open files of its own, from descriptor 20 on.
    fn with_files(count: u32) -> Self {
        let last = 20 + count - 1;
        let script = format!(
            "for i in {{20..{last}}}; do eval \"exec $i</dev/null\"; done; echo; exec sleep 1000"
        );
        let mut child = Command::new("bash")
            .args(["-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Self(child)
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sameopen_answers_by_its_exit_status() {
    let sameopen = programs().join("sameopen");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = std::fs::File::create(&path).unwrap();
    let again = std::fs::File::create(&path).unwrap();
    let child = Waiting::start(&file, &again);
    let run = |args: &[&str], stderr: &std::fs::File| {
        let output = Command::new(&sameopen)
            .args(args)
            .stdin(file.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let silent = String::new();
    assert_eq!(run(&["0", "2"], &file), (Some(0), silent.clone()));
    assert_eq!(run(&["0", "2"], &again), (Some(1), silent.clone()));
    let (status, words) = run(&["-v", "0", "2"], &again);
    assert_eq!(status, Some(1));
    assert!(
        words.starts_with("0 and 2: two opens of one file"),
        "{words}"
    );
    let (status, words) = run(&["-v", "0", "1"], &again);
    assert_eq!(status, Some(1));
    assert!(words.starts_with("0 and 1: different files"), "{words}");

    let (ours, theirs) = (format!("{}:0", child.id()), format!("{}:1", child.id()));
    assert_eq!(run(&["0", &ours], &again), (Some(0), silent.clone()));
    assert_eq!(run(&["0", &theirs], &again), (Some(1), silent.clone()));
    assert_eq!(run(&["2", &theirs], &again), (Some(0), silent.clone()));
    let (status, words) = run(&["-v", &ours, "0"], &again);
    assert_eq!(status, Some(0));
    assert_eq!(
        words,
        format!("{ours} and 0: the same open file (by kcmp)\n")
    );

    for bad in [
        &["0", "99"][..],
        &["0", "4194305:0"],
        &["0"],
        &["0", "x"],
        &["0", "0", "0"],
        &[],
    ] {
        assert_eq!(run(bad, &again), (Some(2), silent.clone()), "{bad:?}");
    }
}

#[test]
fn fdshare_tells_shared_files_from_files_opened_twice() {
    let fdshare = programs().join("fdshare");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a \x1b[31m file");
    let file = std::fs::File::create(&path).unwrap();
    let again = std::fs::File::create(&path).unwrap();
    let (one, two) = (
        Waiting::start(&file, &again),
        Waiting::start(&again, &again),
    );
    let output = Command::new(&fdshare)
        .args([one.id(), two.id()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.contains("file"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    // `file` is open once among the two, so only `again` is shared: 3 in 2.
    assert_eq!(lines.len(), 1, "{text}");
    assert_eq!(lines[0][..2], ["3", "2"], "{text}");
    assert!(lines[0][2] == "1/2" || lines[0][2] == "2/2", "{text}");
    assert!(text.contains("a \\u{1b}[31m file"), "{text}");
    let (a, b) = (
        format!("{}/sleep:1", one.id()),
        format!("{}/sleep:0-1", two.id()),
    );
    assert!(text.contains(&a) && text.contains(&b), "{text}");

    // All of them: the one that is not shared, too, as the other open.
    let output = Command::new(&fdshare)
        .args(["-a", &one.id(), &two.id()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let opens: HashSet<&str> = text
        .lines()
        .filter(|line| line.contains("file"))
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(opens, HashSet::from(["1/2", "2/2"]), "{text}");
}

#[test]
fn fdshare_takes_a_process_that_is_named_twice_for_one() {
    let file = tempfile::tempfile().unwrap();
    let again = tempfile::tempfile().unwrap();
    let process = Waiting::start(&file, &again);
    let list = |ids: &[String]| {
        let mut command = Command::new(programs().join("fdshare"));
        let output = command.args(ids).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let id = process.id();
    assert_eq!(list(&[id.clone(), id.clone()]), list(&[id]));
}

#[test]
fn fdshare_lists_who_vanished_and_who_refused_as_such() {
    let fdshare = programs().join("fdshare");
    let null = std::fs::File::open("/dev/null").unwrap();
    let gone = Waiting::start(&null, &null);
    let id = gone.id();
    drop(gone);
    let output = Command::new(&fdshare).arg(&id).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("{id} is gone (ESRCH)")), "{text}");

    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        use std::os::unix::process::CommandExt as _;
        let here = Waiting::start(&null, &null);
        // A copy in a place where others may execute it.
        let copy = tempfile::Builder::new()
            .prefix("fdshare")
            .tempdir_in("/tmp")
            .unwrap();
        let program = copy.path().join("fdshare");
        std::fs::copy(&fdshare, &program).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(copy.path(), open).unwrap();
        let output = Command::new(&program)
            .arg(here.id())
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stdout).unwrap();
        let refused = format!("{}/sleep may not be looked into (EPERM)", here.id());
        assert!(text.contains(&refused), "{text}");
    }
}

/// Under strace as the fault injector.
#[test]
fn a_kcmp_that_fails_is_told_and_never_taken_for_different() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let programs = programs();
    let null = std::fs::File::open("/dev/null").unwrap();
    let child = Waiting::start(&null, &null);
    let inject = |rule: &str, program: &str, args: &[&str]| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("strace");
        command
            .arg("-o")
            .arg(log.path())
            .args(["-e", "trace=kcmp,fcntl", "-e", rule]);
        command.arg(programs.join(program)).args(args);
        let output = command.stdin(null.try_clone().unwrap()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let theirs = format!("{}:0", child.id());
    for errno in ["EPERM", "ENOSYS"] {
        let rule = format!("inject=kcmp:error={errno}");
        let (status, text) = inject(&rule, "sameopen", &["0", &theirs]);
        assert_eq!(status, Some(2), "{text}");
        assert!(
            text.contains("a filter or the kernel does not allow kcmp"),
            "{text}"
        );
        let (status, text) = inject(&rule, "fdshare", &[&child.id()]);
        assert_eq!(status, Some(2), "{text}");
        assert!(
            text.contains("a filter or the kernel does not allow kcmp"),
            "{text}"
        );
    }
    // F_DUPFD_QUERY is the second fcntl or later; without it, kcmp answers.
    let (status, text) = inject(
        "inject=fcntl:error=EINVAL:when=3+",
        "sameopen",
        &["-v", "0", "0"],
    );
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("the same open file (by kcmp)"), "{text}");
    // Now and then, as if files were closed meanwhile: listed, and no more. Of
    // 20 files of its own, so that there are such calls whatever it inherited.
    let many = Waiting::with_files(20);
    let (status, text) = inject(
        "inject=kcmp:error=EBADF:when=5+3",
        "fdshare",
        &["-a", &many.id()],
    );
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("was closed meanwhile"), "{text}");
}

/// As many as a busy server has, in few calls and no memory to speak of.
#[test]
fn fdshare_takes_few_calls_for_thousands_of_descriptors() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let fdshare = programs().join("fdshare");
    // A shell that opens; each number is an open file of its own.
    let script = "i=3; while [ $i -lt 1003 ]; do eval \"exec $i</dev/null\"; i=$((i+1)); done; \
                  echo ready; sleep 1000 & wait";
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("ulimit -n 4096; {script}")]);
    let mut child = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let id = child.id();
    // Its `sleep` has the same files, by fork.
    let mut sleep = String::new();
    while sleep.trim().is_empty() {
        sleep = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    }
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("strace")
        .arg("-o")
        .arg(log.path())
        .arg(&fdshare)
        .args([id.to_string(), sleep.trim().to_string()])
        .output()
        .unwrap();
    let _ = Command::new("kill").arg(sleep.trim()).status();
    let _ = child.wait();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let shared = text
        .lines()
        .filter(|line| line.contains("/dev/null"))
        .count();
    assert!(shared >= 1000, "{text}");
    let log = std::fs::read_to_string(log.path()).unwrap();
    let count = |name| log.lines().filter(|line| line.starts_with(name)).count();
    let kcmps = count("kcmp(");
    // 2,000 and a few; 2,000 log2 2,000 is 21,932.
    eprintln!("{kcmps} kcmp of {} calls", log.lines().count());
    assert!((2_000..22_200).contains(&kcmps), "{kcmps}");
    assert!(count("newfstatat(") < 2_100);
}
