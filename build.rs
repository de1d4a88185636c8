//! Turns `arch/syscalls.tbl` into constants, `src/trace/calls.tbl` into a table
//! by number, and hands the linker script on.
//!
//! Nothing here looks at the compiler, the host or the kernel that builds:
//! the same sources give the same crate everywhere.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=arch/syscalls.tbl");
    println!("cargo::rerun-if-changed=arch/barecall.x");
    println!("cargo::rerun-if-changed=src/trace/calls.tbl");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");

    let table = fs::read_to_string("arch/syscalls.tbl").expect("read arch/syscalls.tbl");
    fs::write(out.join("nr.rs"), numbers(&table, &arch)).expect("write nr.rs");

    if env::var_os("CARGO_FEATURE_TRACE").is_some() {
        let calls = fs::read_to_string("src/trace/calls.tbl").expect("read src/trace/calls.tbl");
        fs::write(out.join("calls.rs"), arguments(&calls, &table, &arch)).expect("write calls.rs");
    }

    // The script reaches a program's linker by name (`-Tbarecall.x`) because a
    // search path, unlike a link argument, is passed on to dependents.
    fs::copy("arch/barecall.x", out.join("barecall.x")).expect("copy barecall.x");
    println!("cargo::rustc-link-search={}", out.display());
}

/// The calls that `arch` has, by number. None for an architecture that is not
/// supported: lib.rs says so in one line; do not get in its way.
fn calls<'a>(table: &'a str, arch: &str) -> Vec<(usize, &'a str)> {
    let column = match arch {
        "x86_64" => 1,
        "aarch64" => 2,
        _ => return Vec::new(),
    };

    let mut calls: Vec<(usize, &str)> = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(fields.len(), 3, "arch/syscalls.tbl: {line}");
            match fields[column] {
                "-" => None,
                number => Some((number.parse().expect("a number"), fields[0])),
            }
        })
        .collect();
    calls.sort_unstable();
    calls
}

/// One constant per call that `arch` has, and the names by number.
fn numbers(table: &str, arch: &str) -> String {
    let calls = self::calls(table, arch);

    let mut code = String::new();
    for (number, name) in &calls {
        let constant = name.to_uppercase();
        writeln!(
            code,
            "/// `{name}`: system call {number} of this architecture.\n\
             #[doc(alias = \"__NR_{name}\")]\n\
             pub const {constant}: Sysno = Sysno::new({number});"
        )
        .unwrap();
    }

    // The name of call n is the n-th piece; a number without a call has an
    // empty one. Cheaper than a table of slices, and free of relocations.
    let mut names = String::new();
    let mut next = 0;
    for (number, name) in &calls {
        while next < *number {
            names.push_str("\\0");
            next += 1;
        }
        names.push_str(name);
    }
    writeln!(code, "const NAMES: &str = \"{names}\";").unwrap();
    code
}

/// The arguments of the calls that this architecture has, by number.
fn arguments(calls: &str, table: &str, arch: &str) -> String {
    let numbers = self::calls(table, arch);
    let mut code = String::from("match number {\n");
    for line in calls.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next().filter(|name| !name.starts_with('#')) else {
            continue;
        };
        let Some((number, _)) = numbers.iter().find(|(_, known)| *known == name) else {
            continue;
        };
        let kinds: Vec<String> = words.map(|kind| format!("Kind::{kind}")).collect();
        writeln!(code, "    {number} => &[{}],", kinds.join(", ")).unwrap();
    }
    code.push_str("    _ => &[],\n}\n");
    code
}
