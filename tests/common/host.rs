//! What the tests need that build and run programs with the tools of the
//! development machine. Each test file takes its own part of it.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The architectures, by the names of cargo's targets.
pub const X86_64: &str = "x86_64-unknown-linux-gnu";
pub const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory below target/, kept from run to run.
pub fn target_dir(name: &str) -> PathBuf {
    root().join("target").join(name)
}

/// Whether a program can be found and says its version.
pub fn have(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

/// A tool is missing: on a developer's machine the test is skipped, aloud; in
/// CI, which installs everything, it fails.
pub fn missing(tool: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "{tool} is needed here, and CI installs it"
    );
    eprintln!("skipped: {tool} is not installed");
}

/// Debian's rustc, which has the libraries of both architectures. rustup's
/// aarch64 target serves as well, if it is installed.
fn rustc_for(target: &str) -> Option<&'static str> {
    ["rustc", "/usr/bin/rustc"].into_iter().find(|rustc| {
        let libdir = Command::new(rustc)
            .args(["--print", "target-libdir", "--target", target])
            .current_dir(root())
            .output();
        libdir.is_ok_and(|o| Path::new(String::from_utf8_lossy(&o.stdout).trim()).is_dir())
    })
}

/// cargo for a target, or `None` where the toolchain for it is missing.
pub fn cargo(target: &str) -> Option<Command> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root());
    // What the outer cargo sets for this test is not for the inner one.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_") && name != "CARGO_HOME" || name == "RUSTFLAGS" {
            cargo.env_remove(name);
        }
    }
    let rustc = rustc_for(target)?;
    if target == AARCH64 {
        if !have("aarch64-linux-gnu-gcc") {
            return None;
        }
        cargo
            .env("RUSTC", rustc)
            .env("RUSTDOC", rustc.replace("rustc", "rustdoc"));
        cargo.env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        );
    }
    Some(cargo)
}

/// The targets that can be built here; a missing one is told by `missing`.
pub fn targets() -> Vec<&'static str> {
    [X86_64, AARCH64]
        .into_iter()
        .filter(|target| {
            let found = cargo(target).is_some();
            if !found {
                missing(&format!("a Rust toolchain and linker for {target}"));
            }
            found
        })
        .collect()
}

/// How a program of a target is run here: as it is, or by qemu-user.
pub fn command(target: &str, program: &Path) -> Command {
    if target.starts_with(std::env::consts::ARCH) {
        return Command::new(program);
    }
    let mut qemu = Command::new("qemu-aarch64-static");
    qemu.arg(program);
    qemu
}

/// Runs a command that must succeed, and gives what it said.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Builds the example programs for a target, and gives their directory.
///
/// In a target directory of their own: the outer cargo holds the lock of the
/// usual one while it runs tests.
#[track_caller]
pub fn examples(target: &str, profile: &str) -> Option<PathBuf> {
    let dir = target_dir("host-examples");
    let mut cargo = cargo(target)?;
    cargo.args([
        "build",
        "--quiet",
        "-p",
        "barecall-examples",
        "--profile",
        profile,
    ]);
    cargo
        .args(["--target", target])
        .arg("--target-dir")
        .arg(&dir);
    run(&mut cargo);
    Some(dir.join(target).join(profile_dir(profile)))
}

/// Where cargo puts what it builds with a profile.
pub fn profile_dir(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}

/// Runs an example program of this machine, with nothing to read.
#[track_caller]
pub fn example(name: &str, args: &[&str]) -> Output {
    let dir = examples(X86_64, "release").expect("the machine's own target");
    Command::new(dir.join(name))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What an example program prints, which must not complain.
#[track_caller]
pub fn example_says(name: &str, args: &[&str]) -> String {
    let output = example(name, args);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    assert_eq!(output.status.code(), Some(0), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An example program that must end with status 2, saying why.
#[track_caller]
pub fn example_fails(name: &str, args: &[&str], why: &str) {
    let output = example(name, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with(why), "{args:?}: {said}");
}

/// Runs a test of the calling file again, alone and under strace, with options
/// of strace and an environment that tells which part of it to be. Gives what
/// it printed, and strace's log.
pub fn under_strace(
    options: &[&str],
    test: &str,
    environment: &[(&str, &OsStr)],
) -> (Output, String) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", "signal=none", "-o"])
        .arg(log.path())
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    (output, std::fs::read_to_string(log.path()).unwrap())
}

/// How tests/downstream/programs is built.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub target: &'static str,
    pub linker: &'static str,
    pub link: &'static str,
    /// Where, so that tests do not build over each other's programs.
    pub dir: &'static str,
}

impl Way {
    /// All that there are for a target; none, which is told by `missing`, where
    /// a tool is not there.
    pub fn all(target: &'static str, dir: &'static str) -> Vec<Way> {
        if cargo(target).is_none() {
            missing(&format!("a Rust toolchain and linker for {target}"));
            return Vec::new();
        }
        if target == AARCH64 {
            for tool in ["ld.lld", "qemu-aarch64-static"] {
                if !have(tool) {
                    missing(tool);
                    return Vec::new();
                }
            }
        }
        let mut ways = Vec::new();
        for linker in ["lld", "GNU ld"] {
            for link in ["script", "plain", "pie"] {
                ways.push(Way {
                    target,
                    linker,
                    link,
                    dir,
                });
            }
        }
        ways
    }

    pub fn rustflags(self) -> String {
        match (self.target, self.linker) {
            // rustc's own lld, the default there.
            (X86_64, "lld") => String::new(),
            (X86_64, _) => String::from("-Clinker-features=-lld"),
            // gcc for another architecture looks for ld.lld only where it is told.
            (_, "lld") => {
                let dir = target_dir("downstream/lld");
                std::fs::create_dir_all(&dir).expect("below target/");
                let lld = run(Command::new("sh").args(["-c", "command -v ld.lld"])).stdout;
                let lld = String::from_utf8(lld).expect("a path");
                let link = dir.join("ld.lld");
                if !link.exists() {
                    // To one that is not there any more.
                    let _ = std::fs::remove_file(&link);
                }
                match std::os::unix::fs::symlink(lld.trim(), link) {
                    // From an earlier run, or another test was as far.
                    Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                        panic!("{}: {error}", dir.display())
                    }
                    _ => {}
                }
                format!("-Clink-arg=-B{} -Clink-arg=-fuse-ld=lld", dir.display())
            }
            _ => String::new(),
        }
    }

    /// One for all ways to link: the library is the same for them.
    fn target_dir(self) -> PathBuf {
        let arch = self.target.split('-').next().unwrap_or(self.target);
        let name = format!("{}-{arch}-{}", self.dir, self.linker.replace("GNU ", ""));
        target_dir("downstream").join(name)
    }

    pub fn cargo(self, profile: &str) -> Command {
        let mut cargo = cargo(self.target).expect("one of the targets");
        cargo
            .current_dir(root().join("tests/downstream/programs"))
            .env("RUSTFLAGS", self.rustflags())
            .args(["build", "--quiet", "--profile", profile])
            .args(["--target", self.target, "--target-dir"])
            .arg(self.target_dir());
        if self.link != "plain" {
            cargo.args(["--features", self.link]);
        }
        cargo
    }

    /// Builds the programs, with more arguments for cargo, and gives their
    /// directory.
    #[track_caller]
    pub fn build(self, profile: &str, args: &[&str]) -> PathBuf {
        run(self.cargo(profile).args(args));
        self.programs(profile)
    }

    /// Where they are then.
    pub fn programs(self, profile: &str) -> PathBuf {
        self.target_dir()
            .join(self.target)
            .join(profile_dir(profile))
    }
}
