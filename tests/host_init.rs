//! `examples/src/bin/init.rs` beside the real `tini` and `dumb-init`: the same
//! inputs, the same outcomes.
//!
//! Needs both installed (`apt-get install tini dumb-init`), and a shell.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Built once, in a target directory of its own: the test holds cargo's lock on
/// the other one.
fn init() -> &'static Path {
    static INIT: OnceLock<PathBuf> = OnceLock::new();
    INIT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = root.join("target/host-init");
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--release",
                "-p",
                "barecall-examples",
                "--bin",
                "init",
            ])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(root)
            .status()
            .expect("run cargo");
        assert!(built.success());
        target.join("release/init")
    })
}

/// One of the three, with the options that make them comparable.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Init {
    Ours,
    OursAsDumb,
    Tini,
    Dumb,
}

/// Pairs that must agree.
const PAIRS: [[Init; 2]; 2] = [[Init::Ours, Init::Tini], [Init::OursAsDumb, Init::Dumb]];

impl Init {
    fn command(self) -> Command {
        let (path, options): (&Path, &[&str]) = match self {
            Init::Ours => (init(), &["-s"]),
            Init::OursAsDumb => (init(), &["-s", "-S"]),
            Init::Tini => (Path::new("/usr/bin/tini"), &["-s"]),
            Init::Dumb => (Path::new("/usr/bin/dumb-init"), &[]),
        };
        assert!(path.exists(), "{} is not installed", path.display());
        let mut command = program(path);
        // The environment lies on the stack, and counts as resident.
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .args(options)
            .arg("--")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        // Where the stack begins in its page is random otherwise, and can cost
        // pages too. (A container may forbid this.)
        // SAFETY: a system call.
        unsafe {
            command.pre_exec(|| {
                libc::personality(libc::ADDR_NO_RANDOMIZE as _);
                Ok(())
            })
        };
        command
    }

    fn run(self, script: &str) -> ExitStatus {
        self.command()
            .args(["sh", "-c", script])
            .status()
            .expect("start")
    }

    /// Starts a script that says `ready` before it is sent anything.
    fn start(self, script: &str) -> (Child, impl Fn() -> String) {
        let mut child = self
            .command()
            .args(["sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let lines = std::cell::RefCell::new(BufReader::new(child.stdout.take().expect("piped")));
        let next = move || {
            let mut line = String::new();
            lines.borrow_mut().read_line(&mut line).expect("a line");
            line
        };
        assert_eq!(next(), "ready\n", "{self:?}");
        (child, next)
    }
}

/// A program that begins as from a shell: where this runs as a job in the
/// background, or under nohup, some signals are ignored, and stay so.
fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    // SAFETY: one system call each; what is refused is no signal to handle.
    unsafe {
        command.pre_exec(|| {
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    };
    command
}

fn kill(child: &Child, signal: i32) {
    // SAFETY: a signal to a child of this test.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// What `/proc/PID/stat` has as the state of a process.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next())
        .unwrap_or('-')
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn exit_codes_are_passed_on() {
    for pair in PAIRS {
        for script in [
            "exit 0",
            "exit 7",
            "exit 255",
            "kill -9 $$",
            "kill -15 $$",
            "kill -1 $$",
        ] {
            let [ours, theirs] = pair.map(|init| init.run(script).code());
            assert_eq!(ours, theirs, "{pair:?}: {script}");
            assert!(ours.is_some());
        }
    }
}

#[test]
fn a_program_that_cannot_run_is_127_or_126() {
    for (program, ours) in [
        ("/no/such/program", 127),
        ("no-such-program", 127),
        ("", 127),
        ("/etc/passwd", 126),
    ] {
        let status = |init: Init| init.command().arg(program).status().unwrap().code();
        assert_eq!(status(Init::Ours), Some(ours), "{program}");
        assert_eq!(status(Init::Tini), Some(ours), "{program}");
        assert_eq!(status(Init::OursAsDumb), Some(ours), "{program}");
        // dumb-init has 2 for all of it; a shell's numbers say more.
        assert_eq!(status(Init::Dumb), Some(2), "{program}");
    }
}

/// The others hand it to a shell, as `execvp` does; we leave that to a `#!`.
#[test]
fn a_script_that_names_no_interpreter_is_not_executable() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(&script, "exit 9\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (init, expected) in [
        (Init::Ours, 126),
        (Init::Tini, 9),
        (Init::OursAsDumb, 126),
        (Init::Dumb, 9),
    ] {
        let status = init.command().arg(&script).status().unwrap();
        assert_eq!(status.code(), Some(expected), "{init:?}");
    }
}

#[test]
fn every_signal_that_can_be_forwarded_is() {
    // Not KILL, STOP, CHLD; not what tini keeps for its own faults; and job
    // control is a test of its own.
    let kept = [4, 5, 6, 7, 8, 9, 11, 17, 18, 19, 20, 21, 22, 31];
    for signal in (1..32)
        .filter(|signal| !kept.contains(signal))
        .chain([34, 35, 49, 63, 64])
    {
        for pair in PAIRS {
            if signal > 31 && pair[1] == Init::Dumb {
                // It knows none of the real-time ones.
                continue;
            }
            let outcomes = pair.map(|init| {
                let script = format!(
                    "trap 'echo got; exit 42' {signal}; echo ready; while :; do sleep 0.01; done"
                );
                let (mut child, next) = init.start(&script);
                kill(&child, signal);
                let got = next();
                (got, child.wait().unwrap().code())
            });
            assert_eq!(outcomes[0], outcomes[1], "{pair:?}: {signal}");
            assert_eq!(
                outcomes[0],
                ("got\n".to_string(), Some(42)),
                "{pair:?}: {signal}"
            );
        }
    }
}

/// SIGUSR1, blocked or not: what is blocked in init is so in its program.
fn usr1(how: i32) {
    // SAFETY: a set of ours.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::pthread_sigmask(how, &set, std::ptr::null_mut());
    }
}

#[test]
#[ignore = "is started by the next one"]
fn unblock() {
    usr1(libc::SIG_UNBLOCK);
    std::thread::sleep(Duration::from_secs(10));
}

/// Before the program has a process group of its own, too.
#[test]
fn a_signal_that_is_there_at_the_start_reaches_the_program() {
    let this = std::env::current_exe().unwrap();
    for options in [&[][..], &["-g"], &["-S"], &["-g", "-S"]] {
        let mut command = program(init());
        command.args(options).arg("--").arg(&this);
        command.args(["--exact", "unblock", "--ignored"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // SAFETY: system calls only, in a child with one thread.
        unsafe {
            command.pre_exec(|| {
                usr1(libc::SIG_BLOCK);
                libc::raise(libc::SIGUSR1);
                Ok(())
            })
        };
        let status = command.status().expect("start");
        assert_eq!(status.code(), Some(128 + libc::SIGUSR1), "{options:?}");
    }
}

#[test]
fn a_program_that_a_signal_ends_is_128_and_the_signal() {
    for pair in PAIRS {
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
            let outcomes = pair.map(|init| {
                let (mut child, _next) = init.start("echo ready; exec sleep 1000");
                // `exec` has no handler, and sh has none for a while before.
                std::thread::sleep(Duration::from_millis(50));
                kill(&child, signal);
                child.wait().unwrap().code()
            });
            assert_eq!(outcomes, [Some(128 + signal); 2], "{pair:?}: {signal}");
        }
    }
}

#[test]
fn job_control_stops_the_program_and_in_a_session_init_too() {
    for pair in PAIRS {
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            if signal != libc::SIGTSTP && pair[1] == Init::Tini {
                // tini ignores these two; ours forwards them.
                continue;
            }
            let with_init = pair[1] == Init::Dumb;
            for init in pair {
                let (mut child, next) = init.start("echo ready; echo $$; exec sleep 1000");
                let program: u32 = next().trim().parse().unwrap();
                std::thread::sleep(Duration::from_millis(50));
                kill(&child, signal);
                eventually("the program stops", || state(program) == 'T');
                if with_init {
                    eventually("init stops", || state(child.id()) == 'T');
                } else {
                    eventually("init waits", || state(child.id()) == 'S');
                }
                kill(&child, libc::SIGCONT);
                eventually("init goes on", || state(child.id()) != 'T');
                eventually("the program goes on", || state(program) != 'T');
                kill(&child, libc::SIGTERM);
                assert_eq!(
                    child.wait().unwrap().code(),
                    Some(143),
                    "{init:?}: {signal}"
                );
            }
        }
    }
}

/// A terminal: the end of who types, and the end of who listens.
fn terminal() -> (File, OwnedFd) {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: new descriptors, each with one owner.
    unsafe {
        let typing = libc::posix_openpt(flags);
        assert!(typing >= 0 && libc::unlockpt(typing) == 0);
        let listening = libc::ioctl(typing, libc::TIOCGPTPEER, flags);
        assert!(listening >= 0);
        (
            File::from_raw_fd(typing),
            OwnedFd::from_raw_fd(listening as _),
        )
    }
}

/// Whom the terminal belongs to when init starts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Session {
    /// To init, which leads its session.
    Own,
    /// To the session of another process, in which init is in the background.
    Background,
}

/// Starts a script on a terminal. Gives the end of who types, what was started
/// (init, or its parent), and what reads the next line.
fn on_terminal(
    init: Init,
    session: Session,
    script: &str,
) -> (File, Child, impl FnMut() -> String) {
    let (typing, listening) = terminal();
    let mut command = init.command();
    command
        .args(["sh", "-c", script])
        .stdin(listening)
        .stdout(Stdio::piped());
    // SAFETY: system calls only, in a child with one thread.
    unsafe {
        command.pre_exec(move || {
            assert!(libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0);
            if session == Session::Background {
                match libc::fork() {
                    0 => assert!(libc::setpgid(0, 0) == 0),
                    child => {
                        // `spawn` waits for the end of a pipe among these.
                        libc::syscall(libc::SYS_close_range, 1, u32::MAX, 0);
                        let mut status = 0;
                        while libc::waitpid(child, &mut status, 0) != child {}
                        libc::_exit(libc::WEXITSTATUS(status));
                    }
                }
            }
            Ok(())
        })
    };
    let mut child = command.spawn().expect("start");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    (typing, child, move || {
        lines.next().unwrap_or(Ok(String::new())).expect("a line")
    })
}

#[test]
fn the_program_gets_the_terminal_that_init_had() {
    for pair in PAIRS {
        for session in [Session::Own, Session::Background] {
            let outcomes = pair.map(|init| {
                let script = "cat /proc/$$/stat /proc/$PPID/stat";
                let (_typing, mut child, mut next) = on_terminal(init, session, script);
                let [program, its_init] = [next(), next()].map(|stat| {
                    let (pid, rest) = stat.split_once(' ').expect("a number");
                    let rest = rest.rsplit(") ").next().expect("a state");
                    let numbers = rest.split(' ').skip(1).take(5);
                    let numbers: Vec<i64> = numbers.map(|n| n.parse().unwrap()).collect();
                    (pid.parse::<i64>().unwrap(), numbers)
                });
                assert_eq!(child.wait().unwrap().code(), Some(0), "{init:?}");
                let (pid, numbers) = program;
                let [_, group, its_session, tty, foreground] = numbers[..] else {
                    panic!("{numbers:?}");
                };
                let (init_pid, numbers) = its_init;
                [
                    ("leads its group", group == pid),
                    ("leads its session", its_session == pid),
                    ("is in init's session", its_session == numbers[2]),
                    ("has a terminal", tty != 0),
                    ("is in the foreground", foreground == group),
                    ("init leads its session", numbers[2] == init_pid),
                    ("init has a terminal", numbers[3] != 0),
                ]
            });
            assert_eq!(outcomes[0], outcomes[1], "{pair:?}: {session:?}");
            // A session of its own has the terminal if nobody else's has it.
            let own = pair[1] == Init::Dumb;
            let expected = !own || session == Session::Own;
            assert_eq!(outcomes[0][3].1, expected, "{pair:?}: {session:?}");
            assert_eq!(outcomes[0][4].1, expected, "{pair:?}: {session:?}");
        }
    }
}

#[test]
fn what_is_typed_and_a_hangup_reach_the_program() {
    for pair in PAIRS {
        for (typed, signal) in [("\x03", "INT"), ("\x1c", "QUIT"), ("", "HUP")] {
            let outcomes = pair.map(|init| {
                let script = format!(
                    "trap 'echo got; exit 42' {signal}; echo ready; while :; do sleep 0.01; done"
                );
                let (mut typing, mut child, mut next) = on_terminal(init, Session::Own, &script);
                assert_eq!(next(), "ready", "{init:?}");
                typing.write_all(typed.as_bytes()).unwrap();
                if typed.is_empty() {
                    drop(typing);
                }
                (next(), child.wait().unwrap().code())
            });
            assert_eq!(outcomes[0], outcomes[1], "{pair:?}: {signal}");
            assert_eq!(
                outcomes[0],
                ("got".to_string(), Some(42)),
                "{pair:?}: {signal}"
            );
        }
    }
}

#[test]
fn what_stops_the_program_from_the_terminal_stops_not_init() {
    for init in PAIRS[0] {
        let script = "echo $$ $PPID; exec sleep 1000";
        let (mut typing, mut child, mut next) = on_terminal(init, Session::Own, script);
        let pids = next();
        let (program, its_init) = pids.split_once(' ').expect("two");
        let [program, its_init]: [u32; 2] = [program, its_init].map(|pid| pid.parse().unwrap());
        typing.write_all(b"\x1a").unwrap();
        eventually("the program stops", || state(program) == 'T');
        eventually("init waits", || state(its_init) == 'S');
        kill(&child, libc::SIGCONT);
        eventually("the program goes on", || state(program) != 'T');
        typing.write_all(b"\x03").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{init:?}");
    }
    // In a session of its own nobody could make it go on: it is not stopped.
    for init in PAIRS[1] {
        let script = "trap 'echo got; exit 42' INT; echo ready; while :; do sleep 0.01; done";
        let (mut typing, mut child, mut next) = on_terminal(init, Session::Own, script);
        assert_eq!(next(), "ready", "{init:?}");
        typing.write_all(b"\x1a\x03").unwrap();
        assert_eq!(next(), "got", "{init:?}");
        assert_eq!(child.wait().unwrap().code(), Some(42), "{init:?}");
    }
}

#[test]
fn a_stopped_child_is_not_taken_for_an_ended_one() {
    for pair in PAIRS {
        let outcomes = pair.map(|init| {
            init.run("(sleep 0.1; kill -CONT $$) & kill -STOP $$; exit 9")
                .code()
        });
        assert_eq!(outcomes, [Some(9); 2], "{pair:?}");
    }
}

/// How many children a process has, zombies included.
fn children(pid: u32) -> usize {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default().split_whitespace().count()
}

#[test]
fn ten_thousand_orphans_are_reaped() {
    for init in [Init::Ours, Init::Tini] {
        // Each of the hundred leaves a hundred behind.
        let script = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); \
            sh -c 'j=0; while [ $j -lt 100 ]; do j=$((j+1)); : & done'; \
            done; echo ready; exec sleep 1000";
        let (mut child, _next) = init.start(script);
        eventually("all but the program are reaped", || {
            children(child.id()) == 1
        });
        kill(&child, libc::SIGTERM);
        assert_eq!(child.wait().unwrap().code(), Some(143), "{init:?}");
    }
}

#[test]
fn options_are_understood_and_mistakes_explained() {
    let run = |args: &[&str]| {
        let output = program(init()).args(args).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        (
            output.status,
            text,
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (status, _, text) = run(&["-h"]);
    assert_eq!(status.code(), Some(0));
    assert!(text.starts_with("usage: init "), "{text}");
    for (args, what) in [
        (&[][..], "no program"),
        (&["--"], "no program"),
        (&["-x", "true"], "bad option"),
        (&["-p", "NOTHING", "true"], "bad value of -p"),
        (&["-r", "TERM", "true"], "bad value of -p"),
        (&["-e", "256", "true"], "bad value of -p"),
    ] {
        let (status, text, _) = run(args);
        assert_eq!(status.code(), Some(1), "{args:?}");
        assert!(
            text.contains(what) && text.contains("usage:"),
            "{args:?}: {text}"
        );
    }
    let (status, text, _) = run(&["--", "/no/such/program"]);
    assert_eq!(status.code(), Some(127));
    assert_eq!(text, "init: /no/such/program: ENOENT\n");
    assert_eq!(
        run(&["-e", "143", "-e7", "sh", "-c", "exit 7"]).0.code(),
        Some(0)
    );
    assert_eq!(
        run(&["-sp", "SIGTERM", "sh", "-c", "exit 3"]).0.code(),
        Some(3)
    );

    let mut child = program(init())
        .args(["-r", "TERM:USR1", "-r", "HUP:0", "--", "sh", "-c"])
        .arg("trap 'exit 5' USR1; trap 'exit 6' HUP TERM; echo ready; while :; do sleep 0.01; done")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Read as _;
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 6])
        .unwrap();
    kill(&child, libc::SIGHUP);
    std::thread::sleep(Duration::from_millis(50));
    kill(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn as_process_1_of_a_namespace_it_reaps_and_exits_as_the_program() {
    // SAFETY: getuid takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: a PID namespace needs root");
        return;
    }
    for init in PAIRS.into_iter().flatten() {
        let mut command = init.command();
        command.args(["sh", "-c", "(sleep 0.05 &); [ $PPID = 1 ] && exit 11"]);
        // SAFETY: one system call in the child.
        unsafe {
            command.pre_exec(|| match libc::unshare(libc::CLONE_NEWPID) {
                0 => match libc::fork() {
                    0 => Ok(()),
                    pid => {
                        let mut status = 0;
                        libc::waitpid(pid, &mut status, 0);
                        libc::_exit(libc::WEXITSTATUS(status))
                    }
                },
                _ => Err(std::io::Error::last_os_error()),
            })
        };
        assert_eq!(command.status().unwrap().code(), Some(11), "{init:?}");
    }
}

/// As process 1 of a machine, which here is a PID and a mount namespace: there,
/// switching the power off ends process 1 with SIGINT.
#[test]
fn as_process_1_of_a_machine_it_mounts_and_powers_off() {
    // SAFETY: geteuid takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: namespaces need root");
        return;
    }
    let script = "cat /proc/mounts; echo pids; cd /proc; echo [0-9]*; sleep 1000 & exit 11";
    let mut command = program(init());
    command.args(["-M", "sh", "-c", script]).env_clear();
    command.env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    // SAFETY: system calls in the child. What comes after this powers off, so it
    // must be process 1, of a namespace.
    unsafe {
        command.pre_exec(|| {
            const ELSEWHERE: libc::c_int = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
            if libc::unshare(ELSEWHERE) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            let (none, private) = (core::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
            if libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            match libc::fork() {
                0 if libc::getpid() == 1 => Ok(()),
                -1 | 0 => Err(std::io::Error::other("no process 1")),
                pid => {
                    let mut status = 0;
                    libc::waitpid(pid, &mut status, 0);
                    match libc::WIFSIGNALED(status) {
                        true => libc::_exit(200 + libc::WTERMSIG(status)),
                        false => libc::_exit(libc::WEXITSTATUS(status)),
                    }
                }
            }
        })
    };
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(200 + libc::SIGINT),
        "{said}{trouble}"
    );
    let (mounts, pids) = said.split_once("pids\n").unwrap();
    for wanted in [
        "proc /proc proc ",
        "sysfs /sys sysfs ",
        "devtmpfs /dev devtmpfs ",
        "devpts /dev/pts devpts ",
        "tmpfs /run tmpfs ",
        "tmpfs /tmp tmpfs ",
    ] {
        let kind = wanted.split_whitespace().last().unwrap();
        let place = wanted.split_whitespace().nth(1).unwrap();
        let mounted = mounts.lines().any(|line| line.starts_with(wanted));
        assert!(
            mounted || trouble.contains(&format!("init: {place}: ")),
            "{kind} at {place}: {mounts}{trouble}"
        );
    }
    assert!(
        mounts
            .lines()
            .filter(|line| line.starts_with("proc /proc proc "))
            .count()
            >= 1
    );
    // It sees its own namespace's processes.
    assert!(pids.starts_with("1 2"), "{pids}");
}

#[test]
fn it_is_small_and_sleeps() {
    let size = std::fs::metadata(init()).unwrap().len();
    assert!(size <= 6144, "{size} bytes");
    let resident = |init: Init| {
        let (mut child, _next) = init.start("echo ready; exec sleep 1000");
        std::thread::sleep(Duration::from_millis(100));
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let before = field("voluntary_ctxt_switches");
        std::thread::sleep(Duration::from_millis(1200));
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"))
            .unwrap();
        let after: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kill(&child, libc::SIGTERM);
        assert_eq!(child.wait().unwrap().signal(), None);
        (field("VmRSS"), after - before)
    };
    let (rss, wakes) = resident(Init::Ours);
    let (tini_rss, tini_wakes) = resident(Init::Tini);
    let (dumb_rss, dumb_wakes) = resident(Init::Dumb);
    println!("| | file, bytes | resident, kB | wake-ups in 1.2 s |\n|---|---|---|---|");
    let file = |path: &str| std::fs::metadata(path).map_or(0, |file| file.len());
    println!("| init | {size} | {rss} | {wakes} |");
    println!(
        "| tini | {} | {tini_rss} | {tini_wakes} |",
        file("/usr/bin/tini")
    );
    println!(
        "| dumb-init | {} | {dumb_rss} | {dumb_wakes} |",
        file("/usr/bin/dumb-init")
    );
    // Two pages of the file, two of the stack; where the stack is random, it can
    // be more.
    // SAFETY: asks, and changes nothing.
    let before = unsafe { libc::personality(0xffff_ffff) };
    // SAFETY: as in `command`; and back.
    let fixed = unsafe {
        libc::personality(libc::ADDR_NO_RANDOMIZE as _) != -1
            && libc::personality(before as _) != -1
    };
    let budget = if fixed { 16 } else { 24 };
    assert!(rss <= budget, "{rss} kB");
    assert_eq!(wakes, 0);
}
