//! The programs of the README, built from its text as a reader would.

#[path = "common/host.rs"]
mod host;

use std::path::Path;
use std::process::Command;

/// The code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(host::root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    let blocks = readme.split(&fence).skip(1);
    blocks
        .map(|block| block.split_once("```").unwrap().0.to_owned())
        .collect()
}

fn package(dir: &Path, manifest: &str, files: &[(&str, &str)]) {
    std::fs::create_dir_all(dir.join("src")).unwrap();
    let head = "[package]\nname = \"reader\"\nedition = \"2024\"\n\n[workspace]\n\n";
    std::fs::write(dir.join("Cargo.toml"), format!("{head}{manifest}")).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

fn cargo(dir: &Path, args: &[&str]) -> String {
    let mut cargo = host::cargo(host::X86_64).expect("the machine's own");
    cargo.current_dir(dir).args(args);
    cargo.arg("--target-dir").arg(host::target_dir("readme"));
    let output = host::run(cargo.args(["--quiet", "--target", host::X86_64]));
    String::from_utf8(output.stdout).unwrap()
}

fn with_path(manifest: &str, features: &str) -> String {
    let path = host::root();
    let wanted = "barecall = \"0.1\"";
    assert!(manifest.contains(wanted), "{manifest}");
    manifest.replace(
        wanted,
        &format!(
            "barecall = {{ path = \"{}\", features = [{features}] }}",
            path.display()
        ),
    )
}

#[test]
fn the_program_without_libc_is_as_the_readme_says() {
    let (rust, toml) = (blocks("rust"), blocks("toml"));
    let dir = tempfile::tempdir().unwrap();
    package(
        dir.path(),
        &with_path(&toml[0], ""),
        &[("src/main.rs", &rust[0]), ("build.rs", &rust[1])],
    );
    assert_eq!(cargo(dir.path(), &["run", "--release"]), "Hello, world!\n");
    // `test = false` is there for this.
    cargo(dir.path(), &["test"]);
    let program = host::target_dir("readme")
        .join(host::X86_64)
        .join("release/hello");
    let headers = host::run(Command::new("readelf").arg("-lW").arg(program)).stdout;
    assert!(!String::from_utf8(headers).unwrap().contains("INTERP"));
}

#[test]
fn the_program_with_std_is_as_the_readme_says() {
    let rust = blocks("rust");
    let dir = tempfile::tempdir().unwrap();
    package(
        dir.path(),
        &with_path("[dependencies]\nbarecall = \"0.1\"\n", "\"std\""),
        &[("src/main.rs", &rust[2])],
    );
    assert_eq!(cargo(dir.path(), &["run"]), "");
}
