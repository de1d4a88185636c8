//! Turns `arch/syscalls.tbl` into constants and hands the linker script on.
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

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");

    let table = fs::read_to_string("arch/syscalls.tbl").expect("read arch/syscalls.tbl");
    fs::write(out.join("nr.rs"), numbers(&table, &arch)).expect("write nr.rs");

    // The script reaches a program's linker by name (`-Tbarecall.x`) because a
    // search path, unlike a link argument, is passed on to dependents.
    fs::copy("arch/barecall.x", out.join("barecall.x")).expect("copy barecall.x");
    println!("cargo::rustc-link-search={}", out.display());
}

/// One constant per call that `arch` has, and the names by number.
fn numbers(table: &str, arch: &str) -> String {
    let column = match arch {
        "x86_64" => 1,
        "aarch64" => 2,
        // lib.rs says in one line what is supported; do not get in its way.
        _ => return String::from("const NAMES: &str = \"\";\n"),
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
