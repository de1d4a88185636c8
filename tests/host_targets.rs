//! Which targets the crate refuses, by its own `#[cfg]`, asked of the targets
//! that rustc knows: the libraries of most cannot be had, so that the refusal
//! itself cannot be compiled.

#[path = "common/host.rs"]
mod host;

use cargo_platform::{Cfg, CfgExpr};
use std::process::Command;

/// The condition of the `compile_error!` in src/lib.rs.
fn refused_if() -> CfgExpr {
    let source = std::fs::read_to_string(host::root().join("src/lib.rs")).unwrap();
    let (before, after) = source.split_once("compile_error!").unwrap();
    assert!(after.contains("x86_64") && after.contains("aarch64"));
    let (_, condition) = before.rsplit_once("#[cfg(").unwrap();
    let condition = condition.trim().strip_suffix(")]").unwrap();
    // rustc allows a comma after the last, cargo's parser does not.
    let condition = condition.split_whitespace().collect::<String>();
    condition.replace(",)", ")").parse().unwrap()
}

fn rustc(args: &[&str]) -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = host::run(Command::new(rustc).args(args));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn linux_on_two_processors_with_64_bits_is_accepted_and_nothing_else() {
    let refused_if = refused_if();
    let mut accepted = Vec::new();
    let list = rustc(&["--print", "target-list"]);
    // Of the other processors, Linux alone: a question takes a moment.
    for target in list.lines().filter(|target| {
        let name = ["x86_64", "aarch64", "arm64"];
        name.iter().any(|name| target.contains(name)) || target.contains("-linux-gnu")
    }) {
        let cfg: Vec<Cfg> = rustc(&["--print", "cfg", "--target", target])
            .lines()
            .map(|line| line.parse().unwrap())
            .collect();
        if !refused_if.matches(&cfg) {
            accepted.push(target.to_owned());
        }
    }
    for target in &accepted {
        assert!(
            (target.starts_with("x86_64") || target.starts_with("aarch64"))
                && target.contains("-linux")
                && !["x32", "ilp32", "android", "_be"]
                    .iter()
                    .any(|not| target.contains(not)),
            "{target} is accepted"
        );
    }
    for target in [
        "x86_64-unknown-linux-gnu",
        "x86_64-unknown-linux-musl",
        "x86_64-unknown-linux-none",
        "aarch64-unknown-linux-gnu",
        "aarch64-unknown-linux-musl",
    ] {
        assert!(
            accepted.iter().any(|one| one == target),
            "{target} is refused: {accepted:?}"
        );
    }
}
