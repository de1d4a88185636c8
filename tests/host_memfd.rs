//! The compositions of `memfd` under strace: it tells which calls they make,
//! with which arguments, and makes each of these fail. Nothing may leak, and
//! what was given must come back.

#[path = "common/host.rs"]
mod host;

use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::{self, Mode, OFlags};
use barecall::memfd::{
    Access, Exec, Frozen, Memfd, MemfdOptions, MemoryFile, NotFrozen, Refused, Seals, SharedMap,
};
use barecall::{Errno, nr, syscall};
use std::process::Command;

const ANY: MemfdOptions = MemfdOptions::new()
    .exec(Exec::SystemDefault)
    .allow_sealing();
const PROGRAM: MemfdOptions = MemfdOptions::new().exec(Exec::Executable).allow_sealing();

/// Shown in the log: a call that does nothing and is like no other.
fn mark(text: &std::ffi::CStr) {
    // SAFETY: no such descriptor.
    let _ = unsafe { syscall!(nr::WRITE, -1, text.as_ptr(), 5) };
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:")).count()
}

fn word<T>(result: Result<T, Errno>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(errno) => errno.to_string_name(),
    }
}

trait Name {
    fn to_string_name(&self) -> String;
}

impl Name for Errno {
    fn to_string_name(&self) -> String {
        format!("{self:?}")
    }
}

/// A file that came back must be what it was: open, and with its bytes.
fn back<T: AsFd>(result: Result<Frozen, Refused<T>>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(Refused { file, why }) => {
            let mut bytes = [0; 7];
            assert_eq!(barecall::io::pread(&file, &mut bytes, 0), Ok(7));
            assert_eq!(&bytes, b"content");
            match why {
                NotFrozen::Os(errno) => format!("back: {errno:?}"),
                NotFrozen::Missing(seals) => format!("back: missing {:#x}", seals.bits()),
                other => format!("back: {other:?}"),
            }
        }
    }
}

/// What is between the marks is the composition alone.
fn marked<T>(call: impl FnOnce() -> T) -> T {
    mark(c"BEGIN");
    let result = call();
    mark(c"ENDED");
    result
}

fn content() -> Memfd {
    let memfd = ANY.create(c"x").unwrap();
    memfd.write_all_at(b"content", 0).unwrap();
    memfd
}

fn frozen() -> Frozen {
    content().freeze().unwrap()
}

fn tmp() -> OwnedFd {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat(fs::CWD, c"/tmp", flags, Mode::empty()).unwrap()
}

fn composition(name: &str) -> String {
    match name {
        "create" => word(marked(|| MemfdOptions::new().create(c"x"))),
        "create_named" => word(marked(|| ANY.create_named(b"n\xff"))),
        "create_huge" => {
            let size = barecall::memfd::HugePage::MB2;
            word(marked(|| ANY.inherit().huge(size).create(c"x")))
        }
        "create_or_legacy" => match marked(|| MemfdOptions::new().create_or_legacy(c"x")) {
            Ok((_, applied)) => format!("{applied:?}"),
            Err(errno) => format!("{errno:?}"),
        },
        "create_or_tmpfile" => {
            let dir = tmp();
            match marked(|| MemfdOptions::new().create_or_tmpfile(c"x", &dir)) {
                Ok(MemoryFile::Memfd(_, applied)) => format!("{applied:?}"),
                Ok(MemoryFile::Tmpfile(file)) => format!("tmpfile: {:?}", file.why()),
                Err(errno) => format!("{errno:?}"),
            }
        }
        "create_frozen" => word(marked(|| ANY.create_frozen(c"x", b"content"))),
        "freeze" => {
            let memfd = content();
            back(marked(|| memfd.freeze()))
        }
        "freeze_with" => {
            let memfd = PROGRAM.create(c"x").unwrap();
            memfd.write_all_at(b"content", 0).unwrap();
            back(marked(|| memfd.freeze_with(Seals::EXEC)))
        }
        "verify" => {
            let fd = OwnedFd::from(frozen());
            back(marked(|| Frozen::verify(fd)))
        }
        "verify_or_seal" => {
            let fd = OwnedFd::from(content());
            back(marked(|| Frozen::verify_or_seal(fd)).map(|(frozen, _)| frozen))
        }
        "verify_or_seal_sealed" => {
            let fd = OwnedFd::from(frozen());
            back(marked(|| Frozen::verify_or_seal(fd)).map(|(frozen, _)| frozen))
        }
        "map" => {
            let frozen = frozen();
            word(marked(|| frozen.map()))
        }
        "map_range" => {
            let memfd = ANY.create(c"x").unwrap();
            memfd.set_len(200_000).unwrap();
            let frozen = memfd.freeze().unwrap();
            word(marked(|| frozen.map_range(70_000..100_000).map(drop)))
        }
        "map_private" => {
            let frozen = frozen();
            word(marked(|| frozen.map_private()))
        }
        "map_empty" => {
            let frozen = frozen();
            word(marked(|| frozen.map_range(3..3).map(drop)))
        }
        "shared" => {
            let memfd = content();
            word(marked(|| {
                SharedMap::new(&memfd, Access::ReadWrite, None).map(drop)
            }))
        }
        "reopen_read_only" => {
            let memfd = content();
            word(marked(|| memfd.reopen_read_only()))
        }
        other => panic!("{other}"),
    }
}

const VARIABLE: &str = "BARECALL_PROBE";

/// What strace runs: one composition, and what it left behind. Before `main`,
/// because the test harness has threads, for which strace counts apart.
#[used]
#[unsafe(link_section = ".init_array")]
static PROBE: extern "C" fn() = probe;

extern "C" fn probe() {
    let Ok(name) = std::env::var(VARIABLE) else {
        return;
    };
    let before = (descriptors(), mappings());
    let result = composition(&name);
    let leaked = (descriptors() - before.0, mappings() - before.1);
    println!("PROBE {result}; leaked {leaked:?}");
    std::process::exit(0);
}

struct Traced {
    /// What the probe says.
    result: String,
    /// The calls between the marks, as strace writes them.
    calls: Vec<String>,
    /// How often each call was made before.
    before: Vec<String>,
}

fn name_of(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// Runs a composition under strace, with `inject` or without.
fn trace(composition: &str, inject: Option<&str>) -> Traced {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-o", log.path().to_str().unwrap()]);
    if let Some(inject) = inject {
        strace.args(["-e", &format!("inject={inject}")]);
    }
    let output = strace
        .arg(std::env::current_exe().unwrap())
        .env(VARIABLE, composition)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let result = stdout
        .lines()
        .find_map(|line| line.strip_prefix("PROBE "))
        .unwrap_or_else(|| panic!("{composition} {inject:?}: {output:?}"))
        .to_owned();
    let log = std::fs::read_to_string(log.path()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    let at = |mark: &str| lines.iter().position(|line| line.contains(mark)).unwrap();
    let (begin, end) = (at("\"BEGIN\""), at("\"ENDED\""));
    Traced {
        result,
        calls: lines[begin + 1..end]
            .iter()
            .map(|&line| line.to_owned())
            .collect(),
        before: lines[..begin]
            .iter()
            .map(|line| name_of(line).to_owned())
            .collect(),
    }
}

/// The calls without what differs from run to run: results and numbers of
/// descriptors.
fn shape(calls: &[String]) -> Vec<String> {
    let mut shapes = Vec::new();
    for call in calls {
        let call = call.split(" = ").next().unwrap_or_default().trim_end();
        let mut shape = String::new();
        let mut chars = call.chars().peekable();
        while let Some(char) = chars.next() {
            shape.push(char);
            // A descriptor is the first argument, or the fifth of mmap.
            if char == '(' && chars.peek().is_some_and(char::is_ascii_digit) {
                while chars.peek().is_some_and(char::is_ascii_digit) {
                    chars.next();
                }
                shape.push('N');
            }
        }
        shapes.push(shape);
    }
    shapes
}

fn starts_with(composition: &str, wanted: &[&str]) {
    let traced = trace(composition, None);
    let shapes = shape(&traced.calls);
    assert_eq!(shapes.len(), wanted.len(), "{composition}: {shapes:#?}");
    for (shape, wanted) in shapes.iter().zip(wanted) {
        assert!(
            shape.starts_with(wanted),
            "{composition}: {shape} is not {wanted}"
        );
    }
    assert!(
        traced.result.ends_with("leaked (0, 0)"),
        "{}",
        traced.result
    );
}

fn strace_is_here() -> bool {
    let version = Command::new("strace").arg("-V").output();
    if version.is_err() {
        host::missing("strace");
    }
    version.is_ok()
}

#[test]
fn strace_reads_the_arguments_that_were_meant() {
    if !strace_is_here() {
        return;
    }
    let (add, get) = ("fcntl(N, F_ADD_SEALS, ", "fcntl(N, F_GET_SEALS)");
    let seals = "fcntl(N, F_ADD_SEALS, F_SEAL_SEAL|F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE)";
    starts_with("create", &["memfd_create(\"x\", MFD_CLOEXEC|"]);
    starts_with(
        "create_named",
        &[r#"memfd_create("n\377", MFD_CLOEXEC|MFD_ALLOW_SEALING)"#],
    );
    let huge = r#"memfd_create("x", MFD_ALLOW_SEALING|MFD_HUGETLB|21<<MFD_HUGE_SHIFT)"#;
    starts_with("create_huge", &[huge]);
    starts_with("create_or_legacy", &["memfd_create("]);
    starts_with("create_or_tmpfile", &["memfd_create("]);
    let create = r#"memfd_create("x", MFD_CLOEXEC|MFD_ALLOW_SEALING)"#;
    let write = r#"pwrite64(N, "content", 7, 0)"#;
    starts_with("create_frozen", &[create, write, seals, get, "fstat(N, "]);
    starts_with("freeze", &[seals, get, "fstat(N, "]);
    let three = "fcntl(N, F_ADD_SEALS, F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE)";
    starts_with("freeze_with", &[three, get, add, get, "fstat(N, "]);
    starts_with("verify", &[get, "fstat(N, "]);
    starts_with("verify_or_seal", &[get, seals, get, "fstat(N, "]);
    starts_with("verify_or_seal_sealed", &[get, "fstat(N, "]);
    starts_with("map", &["mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, "]);
    starts_with(
        "map_private",
        &["mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE, "],
    );
    starts_with("map_empty", &[]);
    // 70,000 is in the second 64 KiB; the file has pages of 4 KiB.
    let whole_pages = "mmap(NULL, 36864, PROT_READ, MAP_PRIVATE, ";
    let shapes = shape(&trace("map_range", None).calls);
    assert_eq!(shapes.len(), 2, "{shapes:?}");
    assert!(shapes[0].starts_with(whole_pages), "{shapes:?}");
    assert!(shapes[0].ends_with(", 0x10000)"), "{shapes:?}");
    assert!(shapes[1].starts_with("munmap("), "{shapes:?}");
    let shared = "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, ";
    let shapes = shape(&trace("shared", None).calls);
    assert!(shapes[1].starts_with(shared), "{shapes:?}");
    assert!(shapes[0].starts_with("fstat(N, ") && shapes[2].starts_with("munmap("));
    starts_with(
        "reopen_read_only",
        &[r#"openat(AT_FDCWD, "/proc/thread-self/fd/"#],
    );
}

/// Makes the `nth` call between the marks answer what `how` says, and gives
/// what the composition made of it.
fn with_fault(composition: &str, nth: usize, how: &str) -> String {
    // The counts before the mark hardly ever differ from run to run.
    for _ in 0..5 {
        let clean = trace(composition, None);
        let name = name_of(&clean.calls[nth]);
        let same = |other: &&String| name_of(other) == name;
        let when = 1
            + clean.before.iter().filter(same).count()
            + clean.calls[..nth].iter().filter(same).count();
        let faulty = trace(composition, Some(&format!("{name}:{how}:when={when}")));
        let injected = |call: &String| call.ends_with("(INJECTED)");
        if faulty.calls.get(nth).is_some_and(injected) {
            return faulty.result;
        }
    }
    panic!("{composition}: call {nth} could not be made to fail");
}

#[test]
fn whichever_call_fails_nothing_leaks_and_the_file_comes_back() {
    if !strace_is_here() {
        return;
    }
    for (composition, back) in [
        ("create", false),
        ("create_named", false),
        ("create_or_legacy", false),
        ("create_or_tmpfile", false),
        ("create_frozen", false),
        ("freeze", true),
        ("freeze_with", true),
        ("verify", true),
        ("verify_or_seal", true),
        ("verify_or_seal_sealed", true),
        ("map", false),
        ("map_private", false),
        ("map_range", false),
        ("shared", false),
        ("reopen_read_only", false),
    ] {
        let calls = trace(composition, None).calls;
        for (nth, call) in calls.iter().enumerate() {
            if name_of(call) == "munmap" {
                continue;
            }
            let result = with_fault(composition, nth, "error=EXFULL");
            let wanted = if back { "back: EXFULL" } else { "EXFULL" };
            assert_eq!(
                result,
                format!("{wanted}; leaked (0, 0)"),
                "{composition}: {call}"
            );
        }
    }
}

#[test]
fn what_is_answered_in_the_kernels_place_is_not_believed() {
    if !strace_is_here() {
        return;
    }
    // Sealed, says the filter; but nothing was.
    let lie = with_fault("freeze", 0, "retval=0");
    assert_eq!(lie, "back: missing 0xa; leaked (0, 0)");
    let lie = with_fault("create_frozen", 2, "retval=0");
    assert_eq!(lie, "EPERM; leaked (0, 0)");
    // Written, says the filter, nothing at all: an error, and no endless loop.
    assert_eq!(
        with_fault("create_frozen", 1, "retval=0"),
        "EIO; leaked (0, 0)"
    );
    // Interrupted: done again.
    assert_eq!(
        with_fault("create_frozen", 1, "error=EINTR"),
        "ok; leaked (0, 0)"
    );
    // Not a file with seals.
    assert_eq!(
        with_fault("verify", 0, "error=EINVAL"),
        "back: NoSeals; leaked (0, 0)"
    );
}

#[test]
fn the_other_way_is_taken_for_its_reason_only() {
    if !strace_is_here() {
        return;
    }
    let old = with_fault("create_or_legacy", 0, "error=EINVAL");
    assert_eq!(old, "WithoutExec; leaked (0, 0)");
    for errno in [
        "EPERM", "ENOSYS", "EACCES", "ENODEV", "EMFILE", "ENFILE", "ENOMEM",
    ] {
        let how = format!("error={errno}");
        let legacy = with_fault("create_or_legacy", 0, &how);
        assert_eq!(legacy, format!("{errno}; leaked (0, 0)"));
        let result = with_fault("create_or_tmpfile", 0, &how);
        let wanted = match errno {
            "EPERM" | "ENOSYS" => format!("tmpfile: {errno}; leaked (0, 0)"),
            _ => legacy,
        };
        assert_eq!(result, wanted);
    }
    let old = with_fault("create_or_tmpfile", 0, "error=EINVAL");
    assert_eq!(old, "WithoutExec; leaked (0, 0)");
}

#[test]
fn selfseal_says_on_which_rung_it_stands() {
    let Some(programs) = host::examples(host::X86_64, "release") else {
        host::missing("a toolchain");
        return;
    };
    let selfseal = programs.join("selfseal");
    let said = |command: &mut Command| {
        let output = host::run(command);
        String::from_utf8(output.stderr).unwrap()
    };
    let climbs = "selfseal: the executable is a file that others may write to\n";
    let sealed = said(&mut Command::new(&selfseal));
    let stands = format!("{climbs}selfseal: running from a sealed memfd: ");
    assert!(sealed.starts_with(&stands), "{sealed}");
    assert!(sealed.contains("EXEC"), "{sealed}");
    if !strace_is_here() {
        return;
    }
    let with = |inject: &str| {
        let inject = format!("inject=memfd_create:{inject}");
        let mut strace = Command::new("strace");
        strace
            .args(["-o", "/dev/null", "-e", &inject])
            .arg(&selfseal);
        said(&mut strace)
    };
    // Before Linux 6.3.
    let old = with("error=EINVAL:when=1");
    let stands = format!("{climbs}selfseal: memfd_create does not know MFD_EXEC");
    assert!(old.starts_with(&stands), "{old}");
    assert!(old.contains("running from a sealed memfd"), "{old}");
    // In a sandbox that does not know the call.
    for errno in ["EPERM", "ENOSYS"] {
        let forbidden = with(&format!("error={errno}"));
        let stands = format!("{climbs}selfseal: no memfd ({errno}: ");
        assert!(forbidden.starts_with(&stands), "{forbidden}");
        let rung = "selfseal: running from a file without a name, which is not sealed\n";
        assert!(forbidden.ends_with(rung), "{forbidden}");
    }
    // What is no reason to do with less.
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", "inject=memfd_create:error=EMFILE"]);
    let output = strace.arg(&selfseal).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot make a file to copy to: EMFILE")
    );
}
