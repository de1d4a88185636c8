//! The kernel's headers, and compilers for both architectures.

use std::path::{Path, PathBuf};
use std::process::Command;

pub const ARCHES: [&str; 2] = ["x86_64", "aarch64"];

/// The project's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Something is missing that CI has: there it is a failure, elsewhere a skip.
pub fn missing(what: String) -> String {
    assert!(std::env::var_os("CI").is_none(), "{what}");
    what
}

/// Where Linux 7.3's headers are: Debian's package of them, unpacked. `Err` if
/// it cannot be had here.
pub fn kernel_headers() -> Result<PathBuf, String> {
    fetch_headers().map_err(missing)
}

fn fetch_headers() -> Result<PathBuf, String> {
    let fetched = Command::new(root().join("tests/debian"))
        .args(["trixie-backports", "amd64", r"^linux-libc-dev 7\.3\."])
        .output()
        .map_err(|error| format!("tests/debian: {error}"))?;
    if !fetched.status.success() {
        return Err(String::from_utf8_lossy(&fetched.stderr).trim().to_string());
    }
    let package = PathBuf::from(String::from_utf8_lossy(&fetched.stdout).trim());
    let unpacked = package.with_extension("unpacked");
    if !unpacked.exists() {
        // Several tests may do this at once: each its own, the last one stays.
        let mine = package.with_extension(format!("unpacked.{}", std::process::id()));
        let done = Command::new("dpkg-deb")
            .arg("-x")
            .args([&package, &mine])
            .status()
            .map_err(|error| format!("dpkg-deb: {error}"))?;
        assert!(done.success(), "dpkg-deb -x {}", package.display());
        if std::fs::rename(&mine, &unpacked).is_err() {
            std::fs::remove_dir_all(&mine).expect("remove the second copy");
        }
    }
    Ok(unpacked.join("usr/include"))
}

/// A C compiler for an architecture, if there is one.
pub fn c_compiler(arch: &str) -> Option<String> {
    let cross = format!("{arch}-linux-gnu-gcc");
    let candidates = match arch == std::env::consts::ARCH {
        true => vec![cross, "cc".to_string()],
        false => vec![cross],
    };
    candidates
        .into_iter()
        .find(|compiler| Command::new(compiler).arg("--version").output().is_ok())
}

/// A `rustc` that has the standard library of an architecture: rustup's has
/// its own, Debian's the others' as packages.
pub fn rust_compiler(arch: &str) -> Option<String> {
    let default = std::env::var("RUSTC").unwrap_or("rustc".to_string());
    [default, "rustc".to_string(), "/usr/bin/rustc".to_string()]
        .into_iter()
        .find(|rustc| {
            let target = format!("{arch}-unknown-linux-gnu");
            let asked = Command::new(rustc)
                .args(["--print", "target-libdir", "--target", &target])
                .current_dir(root())
                .output();
            asked.is_ok_and(|answer| {
                let directory = String::from_utf8_lossy(&answer.stdout).trim().to_string();
                std::fs::read_dir(directory).is_ok_and(|mut files| {
                    files.any(|file| {
                        file.is_ok_and(|f| f.file_name().to_string_lossy().starts_with("libcore-"))
                    })
                })
            })
        })
}
