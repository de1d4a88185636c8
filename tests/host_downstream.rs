//! Programs without libc, built as a user of the crate builds them, in every
//! way there is: they link, run, and hold what they must and nothing else.

#[path = "common/host.rs"]
mod host;

use host::Way;
use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Programs that print "ok" and end with status 7.
const BODIES: [&str; 10] = [
    "write", "copy", "equal", "cstr", "format", "wide", "atomic", "data", "own", "clock",
];
/// Those of them that contain no panic of their own.
const WITHOUT_PANIC: [&str; 4] = ["write", "cstr", "atomic", "clock"];

const PROFILES: [&str; 4] = ["dev", "release", "size", "fat"];

#[track_caller]
fn readelf(arg: &str, program: &Path) -> String {
    let output = host::run(Command::new("readelf").arg(arg).arg(program));
    String::from_utf8(output.stdout).expect("readelf speaks ASCII")
}

fn undefined_symbols(program: &Path) -> Vec<String> {
    // One may stay undefined, being weak: `_DYNAMIC` of what is not PIE.
    readelf("-sW", program)
        .lines()
        .filter(|line| line.contains(" UND ") && !line.ends_with(" _DYNAMIC"))
        .filter_map(|line| line.split_whitespace().nth(7).map(str::to_owned))
        .collect()
}

#[track_caller]
fn check_program(way: Way, profile: &str, name: &str, program: &Path) {
    let what = format!("{name}, {way:?}, {profile}");

    let output = host::command(way.target, program).output().expect("run it");
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(7), b"ok\n".as_slice()),
        "{what}: {output:?}",
    );

    assert_eq!(undefined_symbols(program), Vec::<String>::new(), "{what}");
    let headers = readelf("-lW", program);
    assert!(
        !headers.contains("INTERP"),
        "{what}: an interpreter\n{headers}"
    );
    assert!(
        !headers.contains("RWE"),
        "{what}: writable and executable\n{headers}"
    );
    assert!(
        headers.contains("GNU_STACK"),
        "{what}: an executable stack\n{headers}"
    );
    assert!(
        !readelf("-dW", program).contains("NEEDED"),
        "{what}: a library"
    );

    // VDS-022: it looks itself whether its constructor has run, which it must
    // not. Here, whether there is one.
    if name == "data" {
        assert!(
            readelf("-SW", program).contains(" .init_array "),
            "{what}: no constructor"
        );
    }

    if profile != "dev" && WITHOUT_PANIC.contains(&name) {
        let symbols = readelf("-sW", program);
        assert!(
            !symbols.contains("panicking"),
            "{what}: a panic path\n{symbols}"
        );
    }
}

/// One half of the link matrix that the documentation of `rt` tells of: 24
/// builds of 11 programs.
#[track_caller]
fn check_all_ways(target: &'static str) {
    let mut sizes = BTreeMap::new();
    for way in Way::all(target, "ways") {
        for profile in PROFILES {
            let dir = way.build(profile, &[]);
            for name in BODIES {
                check_program(way, profile, name, &dir.join(name));
            }
            let size = std::fs::metadata(dir.join("write"))
                .expect("just run")
                .len();
            sizes.insert(format!("{} {} {profile}", way.linker, way.link), size);
        }
    }
    println!("{target}: write: {sizes:#?}");
}

#[test]
fn every_program_links_and_runs_in_every_way_on_x86_64() {
    check_all_ways(host::X86_64);
}

#[test]
fn every_program_links_and_runs_in_every_way_on_aarch64() {
    check_all_ways(host::AARCH64);
}

/// The words of `.relr.dyn`, which is what DT_RELR points to.
#[track_caller]
fn packed_relocations(program: &Path) -> Vec<u64> {
    let dynamic = readelf("-dW", program);
    let size = dynamic
        .lines()
        .find(|line| line.contains("(RELRSZ)"))
        .unwrap_or_else(|| panic!("no DT_RELRSZ:\n{dynamic}"))
        .split_whitespace()
        .nth(2)
        .and_then(|bytes| bytes.parse::<usize>().ok())
        .expect("a number of bytes");
    assert!(dynamic.contains("(RELR) "), "no DT_RELR:\n{dynamic}");
    let sections = readelf("-SW", program);
    let (_, section) = sections.split_once(" .relr.dyn ").expect("a section");
    // Type, address, offset.
    let offset = section.split_whitespace().nth(2).expect("an offset");
    let offset = usize::from_str_radix(offset, 16).expect("hexadecimal");
    let file = std::fs::read(program).expect("just linked");
    file[offset..][..size]
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
        .collect()
}

#[test]
fn packed_relocations_are_applied() {
    // GNU ld does not have it for aarch64 before binutils 2.43.
    for (target, linker, flag) in [
        (host::X86_64, "lld", "--pack-dyn-relocs=relr"),
        (host::X86_64, "GNU ld", "-z,pack-relative-relocs"),
        (host::AARCH64, "lld", "--pack-dyn-relocs=relr"),
    ] {
        let ways = Way::all(target, "relr");
        let Some(&way) = (ways.iter()).find(|way| way.linker == linker && way.link == "pie") else {
            continue;
        };
        let mut cargo = way.cargo("release");
        cargo.env(
            "RUSTFLAGS",
            format!("{} -Clink-arg=-Wl,{flag}", way.rustflags()),
        );
        host::run(cargo.args(["--bin", "data", "--bin", "format"]));
        for name in ["data", "format"] {
            let program = way.programs("release").join(name);
            let words = packed_relocations(&program);
            let bitmaps = words.iter().filter(|&word| word & 1 == 1).count();
            // Of data: one bitmap after the other, and a place between.
            let least = if name == "data" { 3 } else { 1 };
            assert!(bitmaps >= least, "{name}, {way:?}: {words:#x?}");
            check_program(way, "release", name, &program);
        }
    }
}

fn start_program() -> PathBuf {
    let way = Way {
        target: host::X86_64,
        linker: "lld",
        link: "script",
        dir: "start",
    };
    way.build("release", &[]).join("start")
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

// VDS-020, VDS-021
#[test]
fn arguments_and_environment_arrive_in_order() {
    let program = start_program();
    let output = Command::new(&program)
        .arg0("a name")
        .args(["one", "", "three words here"])
        .env_clear()
        .envs([("A", "1"), ("EMPTY", "")])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        lines(&output),
        [
            "aligned true",
            "argc 4",
            "arg a name",
            "arg one",
            "arg ",
            "arg three words here",
            "env A=1",
            "env EMPTY=",
            "past the end None",
            "EMPTY Some(\"\")",
            "EMP None",
        ]
    );
}

#[test]
fn no_arguments_and_no_environment_are_fine() {
    // execve with an empty argv: since Linux 5.18 the kernel adds an empty
    // string, before it argc is 0.
    let path = std::ffi::CString::new(start_program().to_str().unwrap()).unwrap();
    let mut child = Command::new("/bin/true");
    // SAFETY: execve is async-signal-safe.
    unsafe {
        child.pre_exec(move || {
            let none = [std::ptr::null()];
            libc::execve(path.as_ptr(), none.as_ptr(), none.as_ptr());
            Err(std::io::Error::last_os_error())
        });
    }
    let output = child.output().unwrap();
    assert!(output.status.success());
    let lines = lines(&output);
    assert!(
        lines[1] == "argc 0" || lines[1..3] == ["argc 1", "arg "],
        "{lines:?}"
    );
    assert!(
        lines.iter().all(|line| !line.starts_with("env ")),
        "{lines:?}"
    );
}

#[test]
fn an_unlimited_stack_and_a_small_one_are_fine() {
    for limit in [libc::RLIM_INFINITY, 64 * 1024] {
        let mut child = Command::new(start_program());
        // SAFETY: setrlimit is async-signal-safe.
        unsafe {
            child.pre_exec(move || {
                let limit = libc::rlimit {
                    rlim_cur: limit,
                    rlim_max: libc::RLIM_INFINITY,
                };
                match libc::setrlimit(libc::RLIMIT_STACK, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        assert!(child.output().unwrap().status.success(), "{limit}");
    }
}

#[test]
fn an_error_of_main_is_told_and_is_status_1() {
    let output = Command::new(start_program())
        .env("FAIL", "")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"error: ENOENT: No such file or directory\n");
}

#[test]
fn a_panic_is_told_and_aborts() {
    let output = Command::new(start_program())
        .env("PANIC", "")
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("src/bin/start.rs") && said.contains("as asked"),
        "{said}"
    );
}

#[test]
fn unwinding_is_refused_in_one_clear_line() {
    let way = Way {
        target: host::X86_64,
        linker: "lld",
        link: "script",
        dir: "unwind",
    };
    let output = way
        .cargo("unwind")
        .args(["--bin", "write"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("a program without libc cannot unwind: set panic = \"abort\""),
        "{said}"
    );
}

fn mixed_workspace() -> Command {
    let mut cargo = host::cargo(host::X86_64).unwrap();
    cargo.current_dir(host::root().join("tests/downstream/mixed"));
    cargo.env(
        "CARGO_TARGET_DIR",
        host::target_dir("downstream").join("mixed"),
    );
    cargo
}

#[test]
fn a_workspace_may_hold_programs_with_and_without_std() {
    for profile in ["dev", "release"] {
        host::run(mixed_workspace().args(["build", "--quiet", "--profile", profile]));
        host::run(mixed_workspace().args([
            "build",
            "--quiet",
            "--profile",
            profile,
            "-p",
            "app-std",
        ]));
        let programs = host::target_dir("downstream").join("mixed");
        let programs = programs.join(host::profile_dir(profile));
        for app in ["app", "app-std"] {
            assert_eq!(
                host::run(&mut Command::new(programs.join(app))).stdout,
                b"ok\n"
            );
        }
        let tool = Command::new(programs.join("tool")).output().unwrap();
        assert_eq!(
            (tool.status.code(), tool.stdout.as_slice()),
            (Some(7), b"ok\n".as_slice())
        );
    }
    host::run(mixed_workspace().args(["test", "--quiet"]));
}

#[test]
fn with_the_feature_std_the_linker_names_the_way_out() {
    let output = mixed_workspace()
        .args(["build", "--workspace"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("has_its_feature_std_here__build_this_program_alone"),
        "{said}"
    );
}

/// hello, built as the examples are: (target, most bytes).
const HELLO: [(&str, u64); 2] = [(host::X86_64, 512), (host::AARCH64, 544)];

#[test]
fn hello_is_half_a_kilobyte() {
    for (target, most) in HELLO {
        let Some(dir) = host::examples(target, "release") else {
            host::missing(target);
            continue;
        };
        let hello = dir.join("hello");
        assert_eq!(
            host::run(&mut host::command(target, &hello)).stdout,
            b"Hello, world!\n"
        );
        let size = std::fs::metadata(&hello).unwrap().len();
        println!("{target}: hello: {size} bytes");
        assert!(size <= most, "{target}: {size} bytes, budget {most}");
    }
}

/// 16 with Rust 1.95; some more are left to other compilers.
#[test]
fn hello_is_at_most_twenty_instructions_and_two_calls_after_its_execve() {
    let hello = host::examples(host::X86_64, "release")
        .expect("the machine's own target")
        .join("hello");
    if host::have("valgrind") {
        let output = host::run(
            Command::new("valgrind")
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(&hello),
        );
        let said = String::from_utf8(output.stderr).unwrap();
        let (_, count) = said.split_once("Collected : ").expect("a count");
        let count: u32 = count.split_whitespace().next().unwrap().parse().unwrap();
        assert!((10..=20).contains(&count), "{count} instructions");
    } else {
        host::missing("valgrind");
    }
    if host::have("strace") {
        let output = host::run(Command::new("strace").args(["-qq", "-f"]).arg(&hello));
        let said = String::from_utf8(output.stderr).unwrap();
        let names: Vec<_> = said
            .lines()
            .filter_map(|line| Some(line.split_once('(')?.0))
            .collect();
        assert_eq!(names, ["execve", "write", "exit_group"], "{said}");
    } else {
        host::missing("strace");
    }
}
