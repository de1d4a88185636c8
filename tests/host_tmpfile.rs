//! `tmpfile` under fault injection, and on real file systems: every call of
//! every composition made to fail or to be the last one, and power cuts.
//!
//! A test runs itself again under strace (`PART` says which part), so that
//! calls can be made to fail by their number.

#[path = "common/host.rs"]
mod host;

use barecall::Errno;
use barecall::fd::OwnedFd;
use barecall::fs::{self, Mode, OFlags};
use barecall::io;
use barecall::tmpfile::{
    self, Durability, PlaceError, Remains, ScratchName, Tmpfile, TmpfileOptions,
};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, Output};

/// Says which part of a test runs in this process.
const PART: &str = "BARECALL_TMPFILE_PART";
/// And in which directory.
const DIR: &str = "BARECALL_TMPFILE_DIR";

const OLD: &[u8] = b"the old contents";
const NEW: &[u8] = &[b'n'; 100_000];

fn open_dir(path: &Path) -> OwnedFd {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(fs::CWD, &path, flags, Mode::empty()).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn scratch_names(path: &Path) -> Vec<String> {
    let is_scratch =
        |name: &String| ScratchName::parse(&CString::new(name.as_str()).unwrap()).is_some();
    names(path).into_iter().filter(is_scratch).collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Shows in strace's log, and changes nothing.
fn mark(name: &str) {
    let name = CString::new(format!("/barecall-{name}")).unwrap();
    assert!(fs::faccessat2(fs::CWD, &name, fs::Access::empty(), fs::AtFlags::empty()).is_err());
}

/// What a composition came to.
enum Outcome {
    New,
    Old,
    /// This name is left, says the error.
    Left(String),
}

fn outcome<T>(result: Result<T, PlaceError>) -> Outcome {
    match result {
        Ok(_) => Outcome::New,
        Err(error) => match &error.remains {
            Remains::Placed { .. } => Outcome::New,
            Remains::Scratch { name, .. } => Outcome::Left(name.to_str().unwrap().to_owned()),
            _ => Outcome::Old,
        },
    }
}

/// The compositions: what, durability, whether the target exists.
const PARTS: [&str; 13] = [
    "replace:None:false",
    "replace:None:true",
    "replace:File:false",
    "replace:File:true",
    "replace:FileAndDir:false",
    "replace:FileAndDir:true",
    "link:FileAndDir:false",
    "exchange:FileAndDir:true",
    "named:None:true",
    "named-replace:FileAndDir:true",
    "named-link:FileAndDir:false",
    "named-exchange:FileAndDir:true",
    "sweep:None:true",
];

/// strace counts the calls of each thread, so a number must be one that only
/// this thread comes to, and not the one that starts the test.
fn burn() {
    let nowhere = c"/nowhere/at/all";
    for _ in 0..200 {
        let none = fs::AtFlags::empty();
        let _ = fs::openat(fs::CWD, nowhere, OFlags::CLOEXEC, Mode::empty());
        let _ = fs::statat(fs::CWD, nowhere, none);
        // SAFETY: asks for no bytes.
        let _ = unsafe { barecall::syscall!(barecall::nr::GETRANDOM, 0, 0, 0) };
    }
}

/// One composition, between two marks, and everything that must hold after it
/// whatever failed in it.
fn run_part(part: &str) {
    let path = std::env::var_os(DIR).unwrap();
    let path = Path::new(&path);
    let mut words = part.split(':');
    let what = words.next().unwrap();
    let durability = match words.next().unwrap() {
        "None" => Durability::None,
        "File" => Durability::File,
        _ => Durability::FileAndDir,
    };
    let existed = words.next() == Some("true");
    if existed {
        std::fs::write(path.join("name"), OLD).unwrap();
    }
    let dir = open_dir(path);
    let options = TmpfileOptions::new();
    let before = descriptors();
    let file = match what {
        "named" | "sweep" => None,
        "named-replace" | "named-link" | "named-exchange" => {
            options.named(&dir, c".").ok().map(Tmpfile::Named)
        }
        _ => options.linkable(&dir, c".").ok().map(Tmpfile::Linkable),
    };
    if let Some(file) = &file {
        io::write_all(file, NEW).unwrap();
    }

    burn();
    mark("begin");
    let outcome = match (what, file) {
        ("named", _) => {
            if let Ok(file) = options.named(&dir, c".")
                && let Err((_, file)) = file.remove()
            {
                // Dropping it tries once more.
                drop(file);
            }
            Outcome::Old
        }
        ("sweep", _) => {
            let _: Result<tmpfile::Swept, Errno> = tmpfile::sweep(&dir, &mut [0; 4096]);
            Outcome::Old
        }
        ("replace" | "named-replace", Some(file)) => {
            outcome(file.replace(&dir, c"name", durability))
        }
        ("link" | "named-link", Some(file)) => outcome(file.link_synced(&dir, c"name", durability)),
        ("exchange" | "named-exchange", Some(file)) => {
            let exchanged = file.exchange(&dir, c"name", durability);
            outcome(exchanged.map(|exchanged| {
                if let Err((_, old)) = exchanged.old.remove() {
                    drop(old);
                }
            }))
        }
        other => panic!("{:?}", other.0),
    };
    mark("end");

    assert_eq!(descriptors(), before, "a descriptor leaked");
    let (left, is_new) = match outcome {
        Outcome::New => (vec![], true),
        Outcome::Old => (vec![], false),
        Outcome::Left(name) => (vec![name], false),
    };
    assert_eq!(scratch_names(path), left, "a scratch name leaked");
    let contents = std::fs::read(path.join("name")).ok();
    match (is_new, existed) {
        (true, _) => assert_eq!(contents.as_deref(), Some(NEW)),
        (false, true) => assert_eq!(contents.as_deref(), Some(OLD)),
        (false, false) => assert_eq!(contents, None),
    }
}

/// Runs a part of a test of this file under strace; the log.
fn strace(test: &str, part: &str, dir: &Path, inject: &[String]) -> (Output, String) {
    let inject: Vec<String> = inject.iter().map(|i| format!("--inject={i}")).collect();
    let options: Vec<&str> = inject.iter().map(String::as_str).collect();
    let environment = [(PART, part.as_ref()), (DIR, dir.as_os_str())];
    host::under_strace(&options, test, &environment)
}

/// The calls between the marks, as (name, how many of the kind the thread has
/// made when it makes this one).
fn calls_between_marks(log: &str) -> Vec<(String, usize)> {
    let lines: Vec<(&str, &str)> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(thread, rest)| (thread, rest.trim_start()))
        .collect();
    let begin = lines
        .iter()
        .position(|(_, call)| call.contains("/barecall-begin"));
    let begin = begin.expect("the beginning, in strace's log");
    let thread = lines[begin].0;
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    let mut calls = Vec::new();
    for (n, (_, line)) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.0 == thread)
    {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let count = seen.entry(name).or_default();
        *count += 1;
        if line.contains("/barecall-end") {
            return calls;
        }
        // What std's allocator does is not ours. An injected failure of close
        // is not like a real one: the descriptor stays open.
        let ours = !["close", "brk", "mmap", "munmap", "madvise", "write"].contains(&name);
        if n > begin && ours {
            calls.push((name.to_owned(), *count));
        }
    }
    panic!("no end in strace's log");
}

/// A directory for one run, with litter for the part that sweeps.
fn directory(part: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    if part.starts_with("sweep") {
        let litter = ".barecall-new-0123456789abcdef0123456789abcdef";
        std::fs::write(dir.path().join(litter), b"").unwrap();
    }
    dir
}

#[test]
fn every_call_of_every_composition_may_fail_and_nothing_leaks() {
    const NAME: &str = "every_call_of_every_composition_may_fail_and_nothing_leaks";
    if let Ok(part) = std::env::var(PART) {
        if part.starts_with("sweep") {
            // Failing calls leave the litter: that is no leak.
            let path = std::env::var_os(DIR).unwrap();
            let (dir, before) = (open_dir(Path::new(&path)), descriptors());
            burn();
            mark("begin");
            let _: Result<tmpfile::Swept, Errno> = tmpfile::sweep(&dir, &mut [0; 4096]);
            mark("end");
            assert_eq!(descriptors(), before, "a descriptor leaked");
            return;
        }
        return run_part(&part);
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    let mut count = 0;
    for part in PARTS {
        let dir = directory(part);
        let (output, log) = strace(NAME, part, dir.path(), &[]);
        assert!(output.status.success(), "{part}: {output:?}");
        for (call, when) in calls_between_marks(&log) {
            let errnos: &[&str] = match call.as_str() {
                "linkat" | "renameat2" => &["EIO", "ENOENT", "EEXIST"],
                _ => &["EIO"],
            };
            for errno in errnos {
                let dir = directory(part);
                let inject = format!("{call}:error={errno}:when={when}");
                let (output, log) = strace(NAME, part, dir.path(), std::slice::from_ref(&inject));
                let (before, inside) = log.split_once("/barecall-begin").unwrap();
                let hits = [before, inside].map(|log| log.matches("(INJECTED)").count());
                assert_eq!(hits, [0, 1], "{part}: {inject}: {log}");
                assert!(output.status.success(), "{part}: {inject}: {output:?}");
                count += 1;
            }
        }
    }
    eprintln!("{count} failures injected");
}

#[test]
fn when_removing_the_scratch_name_fails_too_the_error_carries_it() {
    const NAME: &str = "when_removing_the_scratch_name_fails_too_the_error_carries_it";
    if let Ok(part) = std::env::var(PART) {
        return run_part(&part);
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    for part in ["replace:File:true", "exchange:FileAndDir:true"] {
        for call in ["fsync:error=EIO", "renameat2:error=EIO"] {
            let dir = directory(part);
            let inject = [call.to_owned(), "unlinkat:error=EPERM:when=1".to_owned()];
            let (output, log) = strace(NAME, part, dir.path(), &inject);
            assert_eq!(log.matches("(INJECTED)").count(), 2, "{part}: {log}");
            assert!(output.status.success(), "{part}: {call}: {output:?}");
            assert_eq!(scratch_names(dir.path()).len(), 1, "{part}: {call}");
        }
    }
}

#[test]
fn only_what_means_unsupported_leads_to_a_named_file() {
    const NAME: &str = "only_what_means_unsupported_leads_to_a_named_file";
    if std::env::var_os(PART).is_some() {
        let path = std::env::var_os(DIR).unwrap();
        let dir = open_dir(Path::new(&path));
        burn();
        mark("begin");
        let made = TmpfileOptions::new().linkable_or_named(&dir, c".");
        mark("end");
        let named = scratch_names(Path::new(&path)).len();
        match made {
            Ok(Tmpfile::Named(_)) => println!("\nmade named {named}"),
            Ok(Tmpfile::Linkable(_)) => println!("\nmade linkable {named}"),
            Err(errno) => println!("\nmade {errno:?} {named}"),
        }
        return;
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, log) = strace(NAME, "x", dir.path(), &[]);
    let calls = calls_between_marks(&log);
    assert_eq!(calls.len(), 1, "{calls:?}");
    for (errno, expected) in [
        ("EOPNOTSUPP", "made named 1"),
        ("EISDIR", "made named 1"),
        ("EROFS", "made EROFS 0"),
        ("EACCES", "made EACCES 0"),
        ("ENOENT", "made ENOENT 0"),
        ("EINVAL", "made EINVAL 0"),
    ] {
        let inject = format!("openat:error={errno}:when={}", calls[0].1);
        let (output, _) = strace(NAME, "x", dir.path(), &[inject]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(expected), "{errno}: {said}");
        assert!(names(dir.path()).is_empty());
    }
}

/// `publish FILE` with NEW on standard input, under strace with this injected.
fn publish(program: &Path, file: &Path, inject: &str) -> (Output, Vec<(String, usize)>) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), NEW).unwrap();
    let mut strace = Command::new("strace");
    strace
        .args(["-qq", "-e", "signal=none", "-o"])
        .arg(log.path());
    if !inject.is_empty() {
        strace.args(["-e", &format!("inject={inject}")]);
    }
    let output = strace
        .arg(program)
        .arg(file)
        .stdin(input.reopen().unwrap())
        .output()
        .unwrap();
    // strace counts each kind of call for itself.
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let calls = std::fs::read_to_string(log.path()).unwrap();
    let calls = calls.lines().filter_map(|line| line.split_once('('));
    let calls = calls.map(|(name, _)| {
        let count = seen.entry(name.to_owned()).or_default();
        *count += 1;
        (name.to_owned(), *count)
    });
    (output, calls.collect())
}

#[test]
fn publish_that_keeps_the_old_file_has_both_names_on_the_disk() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let Some(programs) = host::examples(host::X86_64, "release") else {
        return host::missing("the toolchain");
    };
    for (durability, end) in [("all", "fsync"), ("file", "renameat2")] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("name");
        std::fs::write(&file, OLD).unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let output = Command::new("strace")
            .args(["-qq", "-e", "trace=renameat2,fsync", "-o"])
            .arg(log.path())
            .arg(programs.join("publish"))
            .args(["-d", durability, "-x", "old"])
            .arg(&file)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(names(dir.path()), ["name", "old"]);
        assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), OLD);
        // After the last name was given.
        let calls = std::fs::read_to_string(log.path()).unwrap();
        let last = calls.lines().rfind(|line| line.ends_with("= 0"));
        assert!(last.unwrap().starts_with(end), "{durability}: {calls}");
    }
}

#[test]
fn publish_killed_or_interrupted_at_any_call_leaves_the_old_or_the_new_file() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let Some(programs) = host::examples(host::X86_64, "release") else {
        return host::missing("the toolchain");
    };
    let program = programs.join("publish");
    for existed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("name");
        let prepare = || {
            for name in names(dir.path()) {
                std::fs::remove_file(dir.path().join(name)).unwrap();
            }
            if existed {
                std::fs::write(&file, OLD).unwrap();
            }
        };
        prepare();
        let (output, calls) = publish(&program, &file, "");
        assert!(output.status.success(), "{output:?}");
        assert!(calls.len() > 20, "{calls:?}");
        let mut litter = 0;
        // The first call is execve, by strace.
        for (call, when) in &calls[1..] {
            for signal in ["TERM", "KILL"] {
                prepare();
                let inject = format!("{call}:signal={signal}:when={when}");
                let (output, _) = publish(&program, &file, &inject);
                let contents = std::fs::read(&file).ok();
                let old = existed.then_some(OLD);
                let is_new = contents.as_deref() == Some(NEW);
                assert!(is_new || contents.as_deref() == old, "{inject}: a part");
                let left = scratch_names(dir.path());
                match signal {
                    "TERM" => {
                        assert_eq!(left.len(), 0, "{inject}");
                        // Too late to be interrupted is as good.
                        let died = output.status.signal() == Some(15);
                        let done = output.status.success() && is_new;
                        assert!(died || done, "{inject}: {output:?}");
                    }
                    _ => assert!(left.len() <= 1, "{inject}: {left:?}"),
                }
                litter += left.len();
                let swept = tmpfile::sweep(open_dir(dir.path()), &mut [0; 4096]).unwrap();
                assert_eq!(swept.removed, left.len());
            }
        }
        // linkat to the scratch name .. renameat2: fsync and the rename itself.
        assert_eq!(litter, if existed { 2 } else { 0 });
    }
}

/// Runs a test of this file again, in a mount namespace of its own.
fn in_own_namespace(test: &str, part: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(PART, part);
    // SAFETY: only system calls, in the child.
    unsafe {
        command.pre_exec(|| {
            let private = libc::MS_REC | libc::MS_PRIVATE;
            let (none, root) = (std::ptr::null(), c"/".as_ptr());
            if libc::unshare(libc::CLONE_NEWNS) != 0
                || libc::mount(none, root, none, private, none.cast()) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.output().unwrap()
}

/// Makes a file system in a file, if its tools are here.
fn make_image(kind: &str, image: &Path) -> bool {
    let mkfs = format!("mkfs.{kind}");
    let (megabytes, quiet) = match kind {
        "ext4" => (64, "-q"),
        "xfs" => (300, "-q"),
        _ => (128, "-q"),
    };
    std::fs::File::create(image)
        .unwrap()
        .set_len(megabytes << 20)
        .unwrap();
    let made = Command::new(&mkfs).arg(quiet).arg(image).output();
    made.is_ok_and(|output| output.status.success())
}

fn mount(options: &str, image: &Path, at: &Path) -> bool {
    let mut mount = Command::new("mount");
    let mounted = mount
        .args(["-o", options])
        .arg(image)
        .arg(at)
        .output()
        .unwrap();
    mounted.status.success()
}

fn umount(at: &Path) {
    host::run(Command::new("umount").arg(at));
}

fn can_mount() -> bool {
    // SAFETY: takes nothing, and never fails.
    unsafe { libc::geteuid() == 0 }
}

const KINDS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// Everything that can be done, on a file system that can do it.
fn exercise(path: &Path) {
    let dir = open_dir(path);
    let make = |contents: &[u8]| {
        let file = TmpfileOptions::new().linkable(&dir, c".").unwrap();
        io::write_all(&file, contents).unwrap();
        file
    };
    for contents in [OLD, NEW] {
        let placed = make(contents).replace(&dir, c"name", Durability::FileAndDir);
        placed.unwrap();
        assert_eq!(std::fs::read(path.join("name")).unwrap(), contents);
    }
    let exchanged = make(OLD).exchange(&dir, c"name", Durability::FileAndDir);
    exchanged.unwrap().old.rename(&dir, c"old").unwrap();
    assert_eq!(std::fs::read(path.join("old")).unwrap(), NEW);
    make(b"").link_any(&dir, c"linked").unwrap();
    TmpfileOptions::new().anonymous(&dir, c".").unwrap();
    assert_eq!(scratch_names(path), Vec::<String>::new());
}

// TMP-002, TMP-017, TMP-034
#[test]
fn ext4_xfs_btrfs_and_overlays_of_them_take_everything() {
    const NAME: &str = "ext4_xfs_btrfs_and_overlays_of_them_take_everything";
    if !can_mount() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    let Ok(kind) = std::env::var(PART) else {
        for kind in KINDS {
            let output = in_own_namespace(NAME, kind);
            assert!(output.status.success(), "{kind}: {output:?}");
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (image, at, over) = (
        dir.path().join("image"),
        dir.path().join("mnt"),
        dir.path().join("overlay"),
    );
    std::fs::create_dir(&at).unwrap();
    std::fs::create_dir(&over).unwrap();
    if !make_image(&kind, &image) || !mount("loop", &image, &at) {
        return host::missing(&format!("mkfs.{kind}, or the file system itself,"));
    }
    exercise(&at);

    for sub in ["lower", "upper", "work"] {
        std::fs::create_dir(at.join(sub)).unwrap();
    }
    let layers = format!(
        "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work",
        at.display()
    );
    let mut overlay = Command::new("mount");
    host::run(
        overlay
            .args(["-t", "overlay", "overlay", "-o", &layers])
            .arg(&over),
    );
    exercise(&over);
    umount(&over);

    // An append-only directory takes links, and lets nothing be removed.
    if kind != "btrfs" && host::have("chattr") {
        let append = at.join("append");
        std::fs::create_dir(&append).unwrap();
        std::fs::write(append.join("name"), OLD).unwrap();
        host::run(Command::new("chattr").arg("+a").arg(&append));
        let file = TmpfileOptions::new()
            .linkable(open_dir(&append), c".")
            .unwrap();
        let error = file.replace(open_dir(&append), c"name", Durability::File);
        let error = error.unwrap_err();
        let Remains::Scratch { name, errno, .. } = &error.remains else {
            panic!("{error:?}");
        };
        assert_eq!((error.errno, *errno), (Errno::EPERM, Errno::EPERM));
        assert_eq!(scratch_names(&append), [name.to_str().unwrap()]);
        host::run(Command::new("chattr").arg("-a").arg(&append));
    }

    // TMP-030: very many at a time, and nothing of them stays.
    let limit = libc::rlimit {
        rlim_cur: 11_000,
        rlim_max: 11_000,
    };
    assert_eq!(
        // SAFETY: a limit of this process, from a structure that lives.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) },
        0
    );
    let many = open_dir(&at);
    let make = |_| TmpfileOptions::new().anonymous(&many, c".").unwrap();
    let files: Vec<_> = (0..10_000).map(make).collect();
    for file in &files {
        io::write_all(file, b"x").unwrap();
    }
    drop(files);
    drop(many);

    assert!(mount("remount,ro", &image, &at));
    let refused = TmpfileOptions::new().linkable_or_named(open_dir(&at), c".");
    assert_eq!(refused.unwrap_err(), Errno::EROFS);
    umount(&at);
    if kind == "ext4" {
        host::run(Command::new("e2fsck").args(["-f", "-n"]).arg(&image));
    }
}

/// Looks at a copy of an image, as after a power cut: what had not been written
/// back is not in it.
fn after_a_power_cut<T>(copy: &Path, kind: &str, look: impl FnOnce(&Path) -> T) -> T {
    let at = tempfile::tempdir().unwrap();
    // xfs refuses a second file system of the same identity.
    let options = if kind == "xfs" { "loop,nouuid" } else { "loop" };
    let mounted = mount(options, copy, at.path());
    assert!(mounted, "{kind}: cannot be mounted after the cut");
    let seen = look(at.path());
    umount(at.path());
    seen
}

#[test]
fn a_power_cut_at_any_step_of_publish_leaves_the_old_or_the_new_file() {
    const NAME: &str = "a_power_cut_at_any_step_of_publish_leaves_the_old_or_the_new_file";
    if !can_mount() {
        eprintln!("skipped: mounting needs root");
        return;
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    let Ok(part) = std::env::var(PART) else {
        let Some(programs) = host::examples(host::X86_64, "release") else {
            return host::missing("the toolchain");
        };
        for kind in KINDS {
            let part = format!("{kind}:{}", programs.join("publish").display());
            let output = in_own_namespace(NAME, &part);
            assert!(output.status.success(), "{kind}: {output:?}");
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
        }
        return;
    };
    let (kind, program) = part.split_once(':').unwrap();
    let program = Path::new(program);
    let dir = tempfile::tempdir().unwrap();
    let (image, at) = (dir.path().join("image"), dir.path().join("mnt"));
    std::fs::create_dir(&at).unwrap();
    if !make_image(kind, &image) || !mount("loop", &image, &at) {
        return host::missing(&format!("mkfs.{kind}, or the file system itself,"));
    }
    let file = at.join("name");
    let mut seen = Vec::new();
    for existed in [false, true] {
        let prepare = || {
            for name in scratch_names(&at) {
                std::fs::remove_file(at.join(name)).unwrap();
            }
            let _ = std::fs::remove_file(&file);
            if existed {
                std::fs::write(&file, OLD).unwrap();
            }
            host::run(Command::new("sync").arg("-f").arg(&at));
        };
        prepare();
        let (output, calls) = publish(program, &file, "");
        assert!(output.status.success(), "{output:?}");
        // From where the data is written on; the last is exit, the calls before
        // it are close.
        for n in calls.len().saturating_sub(16)..=calls.len() {
            prepare();
            // The last time to its end.
            let call = calls.get(n);
            let inject = call.map(|(call, when)| format!("{call}:signal=KILL:when={when}"));
            let (output, _) = publish(program, &file, &inject.unwrap_or_default());
            let finished = output.status.success();
            let look = |at: &Path| (std::fs::read(at.join("name")).ok(), scratch_names(at).len());
            let snapshot = dir.path().join("snapshot");
            host::run(
                Command::new("cp")
                    .arg("--sparse=always")
                    .arg(&image)
                    .arg(&snapshot),
            );
            // btrfs cannot tell the two apart, so only one may be mounted.
            if kind == "btrfs" {
                umount(&at);
            }
            let (contents, litter) = after_a_power_cut(&snapshot, kind, look);
            if kind == "btrfs" {
                assert!(mount("loop", &image, &at));
            }
            let old = existed.then_some(OLD);
            let is_new = contents.as_deref() == Some(NEW);
            let length = contents.as_ref().map(Vec::len);
            assert!(
                is_new || contents.as_deref() == old,
                "{kind}, existed {existed}, {call:?}: {length:?} bytes, neither old nor new"
            );
            assert!(is_new || !finished, "{kind}: not durable when finished");
            assert!(litter <= 1);
            seen.push((is_new, litter));
        }
    }
    let new = seen.iter().filter(|(is_new, _)| *is_new).count();
    let litter = seen.iter().filter(|(_, litter)| *litter > 0).count();
    eprintln!(
        "{kind}: {} cuts: {new} new, {litter} with a scratch name",
        seen.len()
    );
    umount(&at);
}
