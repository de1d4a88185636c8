//! The crate's own strace beside the real one, and how it links: with a sink
//! and without one, in every way that programs are linked.

#[path = "common/host.rs"]
mod host;

use host::Way;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is built of tests/downstream/programs.
const TRACED: [&str; 6] = ["--features", "trace", "--bin", "traced", "--bin", "write"];

/// A new directory for a program to work in.
fn scratch(name: &str) -> PathBuf {
    let dir = host::target_dir("host-trace").join("scratch").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("below target/");
    dir
}

/// A file as descriptor 9 of a program, and no others but the three.
fn trace_to(command: &mut Command, file: &Path) {
    let file = std::fs::File::create(file).expect("in a scratch directory");
    let close_from = |first: libc::c_uint| {
        // SAFETY: closes descriptors of the child, or marks them.
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 4) };
    };
    // SAFETY: only system calls.
    unsafe {
        command.pre_exec(move || {
            close_from(3);
            match libc::dup2(file.as_raw_fd(), 9) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        });
    }
}

#[track_caller]
fn check_all_ways(target: &'static str) {
    for way in Way::all(target, "trace") {
        // One with calls in between, and one where all is inlined.
        let profiles: &[&str] = match way.link {
            "script" => &["dev", "fat"],
            _ => &["fat"],
        };
        for &profile in profiles {
            let what = format!("{target}, {}, {}, {profile}", way.linker, way.link);
            let dir = way.build(profile, &TRACED);

            // Nobody asked for a trace: nothing is different.
            let output = host::command(target, &dir.join("write")).output().unwrap();
            assert_eq!(
                (output.status.code(), output.stdout.as_slice()),
                (Some(7), b"ok\n".as_slice()),
                "{what}: {output:?}"
            );

            let scratch = scratch(&what.replace([',', ' '], "-"));
            let file = scratch.join("trace");
            let mut traced = host::command(target, &dir.join("traced"));
            trace_to(traced.arg(&scratch), &file);
            let status = traced.stdout(Stdio::null()).status().unwrap();
            assert_eq!(status.code(), Some(7), "{what}");
            let lines = std::fs::read_to_string(&file).expect("text");
            // qemu-user has no process_vm_readv, so paths are addresses there.
            let path = match target {
                host::X86_64 => "] openat(AT_FDCWD, \"file\", ",
                _ => "] openat(AT_FDCWD, 0x",
            };
            for wanted in [
                path,
                ", O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0640) = 3 <",
                "] close(8) = -1 EBADF (Bad file descriptor) <",
                "] exit_group(7) = ?\n",
            ] {
                assert!(lines.contains(wanted), "{what}: {wanted}\n{lines}");
            }
        }
    }
}

#[test]
fn with_a_sink_and_without_programs_link_in_every_way_on_x86_64() {
    check_all_ways(host::X86_64);
}

#[test]
fn with_a_sink_and_without_programs_link_in_every_way_on_aarch64() {
    check_all_ways(host::AARCH64);
}

/// Lines by thread.
type Threads = BTreeMap<u32, Vec<String>>;

/// What strace wrote, put together where it was interrupted, without what is
/// not a call.
fn real_lines(text: &str) -> Threads {
    let mut threads = Threads::new();
    let mut begun: BTreeMap<u32, String> = BTreeMap::new();
    for line in text.lines() {
        let (pid, line) = line.split_once(' ').expect("a number first");
        let pid: u32 = pid.parse().expect("a number first");
        let line = line.trim_start();
        if line.starts_with("+++") || line.starts_with("---") {
            continue;
        }
        if let Some(start) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, start.to_owned());
            continue;
        }
        let whole = match line.strip_prefix("<... ") {
            Some(rest) => {
                let (_, end) = rest.split_once(" resumed>").expect("strace's words");
                begun.remove(&pid).expect("what is resumed was begun") + end
            }
            None => line.to_owned(),
        };
        threads.entry(pid).or_default().push(whole);
    }
    // An exit that strace saw no end of.
    for (pid, start) in begun {
        threads
            .entry(pid)
            .or_default()
            .push(format!("{start}) = ?"));
    }
    threads
}

fn our_lines(text: &str) -> Threads {
    let mut threads = Threads::new();
    for line in text.lines() {
        let rest = line.strip_prefix("[pid ").expect("the thread first");
        let (pid, line) = rest.split_once("] ").expect("the thread first");
        let pid = pid.parse().expect("a number");
        threads.entry(pid).or_default().push(line.to_owned());
    }
    threads
}

/// What one of the two does not tell, or what the tracer does itself.
fn is_compared(line: &str, tracer: &str) -> bool {
    let not_compared = [
        // The tracer's own.
        "gettid(",
        "process_vm_readv(",
        "clock_gettime(",
        tracer,
        // Made by assembly, which does not pass by the tracer.
        "rt_sigreturn(",
        "clone3(",
        "exit_group(0)",
    ];
    let thread = line.starts_with("clone(") && line.contains("CLONE_VM");
    !thread && !not_compared.iter().any(|start| line.starts_with(start))
}

/// Where the two say the same in other words, those of one.
fn normal(line: &str) -> String {
    // strace puts results in a column.
    let mut line = line.to_owned();
    if let Some(at) = line.rfind(" = ") {
        let call = line[..at].trim_end();
        let result = &line[at..];
        // The time, and what was polled.
        let result = result.split(" <").next().unwrap_or(result);
        let result = match call.starts_with("ppoll(") {
            true => result.split(" (").next().unwrap_or(result),
            false => result,
        };
        line = format!("{call}{result}");
    }
    // A call that may not return is told before.
    if line.starts_with("exec") && line.ends_with(" = 0") {
        line = format!("{}?", line.trim_end_matches('0'));
    }
    // Which features a kernel offers: strace 6.1 knows less of them.
    for list in [" ioctls=", " features="] {
        if line.starts_with("ioctl(")
            && let Some(at) = line.find(list)
        {
            line.truncate(at + list.len());
        }
    }
    // What strace 6.1 does not know by name yet.
    for (name, number) in [
        ("MFD_NOEXEC_SEAL", "0x8"),
        ("MFD_EXEC", "0x10"),
        ("F_SEAL_EXEC", "0x20"),
        ("STATX_SUBVOL", "0x8000"),
        ("F_DUPFD_QUERY, 0", "0x403 /* F_??? */, 0"),
        ("F_DUPFD_QUERY, ", "0x403 /* F_??? */, 0x"),
    ] {
        line = line.replace(name, number);
    }
    line
}

/// Compares line by line, thread by thread.
#[track_caller]
fn compare(real: &str, ours: &str, tracer: &str) {
    let keep = |lines: Vec<String>| -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for line in lines {
            if !is_compared(&line, tracer) {
                continue;
            }
            let line = normal(&line);
            // Told before, and again with its error.
            if let Some(before) = kept.last()
                && let Some(call) = before.strip_suffix(" = ?")
                && line.starts_with(call)
            {
                kept.pop();
            }
            kept.push(line);
        }
        kept
    };
    let mut real = real_lines(real);
    let ours = our_lines(ours);
    assert!(!ours.is_empty(), "nothing was told");
    let mut compared = 0;
    for (pid, ours) in ours {
        let mut real = real.remove(&pid).expect("strace saw the thread");
        // The one that started the program; and what another program does after.
        if real.first().is_some_and(|line| line.starts_with("execve(")) {
            real.remove(0);
        }
        let gone = |line: &String| line.starts_with("execve(") && line.ends_with(" = 0");
        if let Some(at) = real
            .iter()
            .position(|line| gone(&normal(line).replace("= ?", "= 0")))
        {
            real.truncate(at + 1);
        }
        let (real, ours) = (keep(real), keep(ours));
        let differ: Vec<String> = real
            .iter()
            .zip(&ours)
            .filter(|(real, ours)| real != ours)
            .map(|(real, ours)| format!("strace: {real}\nours:   {ours}\n"))
            .collect();
        assert!(differ.is_empty(), "{}", differ.concat());
        assert_eq!(ours.len(), real.len(), "{pid}:\n{ours:#?}\n{real:#?}");
        compared += ours.len();
    }
    println!("{compared} lines are the same");
    assert!(compared > 40, "{compared}");
}

#[test]
fn the_trace_of_many_calls_is_what_strace_says() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let way = Way {
        target: host::X86_64,
        linker: "lld",
        link: "script",
        dir: "strace",
    };
    let dir = way.build("release", &TRACED);
    let scratch = scratch("strace");
    let (real, ours) = (scratch.join("real"), scratch.join("ours"));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o"]).arg(&real).arg(dir.join("traced"));
    trace_to(strace.arg(&scratch), &ours);
    let status = strace.stdout(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(7));
    compare(
        &std::fs::read_to_string(real).unwrap(),
        &std::fs::read_to_string(ours).unwrap(),
        "write(9,",
    );
}

#[test]
fn the_trace_of_the_tour_is_what_strace_says() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let target = host::target_dir("host-trace").join("examples");
    let mut cargo = host::cargo(host::X86_64).expect("cargo, which runs this test");
    cargo
        .args(["build", "--quiet", "--release", "-p", "barecall-examples"])
        .args(["--bin", "tour", "--features", "trace", "--target-dir"])
        .arg(&target);
    host::run(&mut cargo);
    let scratch = scratch("tour");
    let (real, ours) = (scratch.join("real"), scratch.join("ours"));
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-o"])
        .arg(&real)
        .arg(target.join("release/tour"))
        .env("TRACE", "all")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&ours).unwrap());
    assert!(strace.status().unwrap().success());
    compare(
        &std::fs::read_to_string(real).unwrap(),
        &std::fs::read_to_string(ours).unwrap(),
        "write(2,",
    );
}

/// What a symbol table calls an address of the program.
fn function_at(symbols: &[(usize, String)], address: usize) -> &str {
    let at = symbols.partition_point(|(start, _)| *start <= address);
    &symbols[at.checked_sub(1).expect("behind the first symbol")].1
}

/// Where functions keep their frame pointers, a backtrace is who called whom.
/// (On aarch64 they do: tests/trace.rs.)
#[test]
fn a_backtrace_leads_from_the_call_to_the_start_of_the_program() {
    if !host::have("nm") {
        return host::missing("nm");
    }
    let way = Way {
        target: host::X86_64,
        linker: "lld",
        link: "script",
        dir: "deep",
    };
    let mut cargo = way.cargo("release");
    cargo.env("RUSTFLAGS", "-Cforce-frame-pointers");
    host::run(cargo.args(["--features", "trace", "--bin", "deep"]));
    let deep = way.programs("release").join("deep");
    let symbols = host::run(Command::new("nm").args(["-n", "-C"]).arg(&deep)).stdout;
    let symbols: Vec<(usize, String)> = String::from_utf8(symbols)
        .expect("text")
        .lines()
        .filter_map(|line| {
            let (address, rest) = line.split_once(' ')?;
            let (kind, name) = rest.split_once(' ')?;
            // Functions, not data.
            let function = matches!(kind, "t" | "T" | "w" | "W");
            let address = usize::from_str_radix(address, 16).ok()?;
            function.then(|| (address, name.to_owned()))
        })
        .collect();

    let said = String::from_utf8(host::run(&mut Command::new(&deep)).stderr).expect("text");
    let mut calls = said.split("getppid() = ").skip(1);
    let frames: Vec<&str> = calls
        .next()
        .expect("one such call")
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix(" > 0x"))
        .map(|pc| usize::from_str_radix(pc, 16).expect("an address"))
        // Where a call goes on is behind it: the end of a function may be.
        .map(|pc| function_at(&symbols, pc - 1))
        .collect();
    assert!(frames.len() >= 5, "{said}");
    for (frame, name) in frames
        .iter()
        .zip(["deep::innermost", "deep::middle", "deep::outermost"])
    {
        assert!(frame.starts_with(name), "{frames:?}");
    }
    assert_eq!(frames.last(), Some(&"__barecall_start"), "{frames:?}");
}
