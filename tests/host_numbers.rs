//! `arch/syscalls.tbl` against the kernel's own headers, on both
//! architectures: nothing missing, nothing invented.

mod common;

use barecall::nr::Sysno;
use common::headers::{ARCHES, kernel_headers, root};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The numbers by name, as `<asm/unistd_64.h>` has them.
fn in_headers(headers: &Path, arch: &str) -> BTreeMap<String, usize> {
    let file = headers.join(format!("{arch}-linux-gnu/asm/unistd_64.h"));
    let text = std::fs::read_to_string(&file).expect("unistd_64.h");
    text.lines()
        .filter_map(|line| line.strip_prefix("#define __NR_"))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, number)| (name.to_string(), number.trim().parse().expect("a number")))
        .collect()
}

/// The numbers by name, as the table has them.
fn in_table(arch: &str) -> BTreeMap<String, usize> {
    let column = 1 + ARCHES.iter().position(|a| *a == arch).expect("known");
    let text = std::fs::read_to_string(root().join("arch/syscalls.tbl")).expect("the table");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[column] != "-")
        .map(|fields| {
            (
                fields[0].to_string(),
                fields[column].parse().expect("a number"),
            )
        })
        .collect()
}

#[test]
fn the_table_is_what_the_headers_say() {
    let headers = match kernel_headers() {
        Ok(headers) => headers,
        Err(why) => skip!("no kernel headers: {why}"),
    };
    for arch in ARCHES {
        let table = in_table(arch);
        assert!(table.len() > 300, "{arch}: {}", table.len());
        assert_eq!(table, in_headers(&headers, arch), "{arch}");
    }
}

#[test]
fn the_constants_are_what_the_headers_say() {
    let headers = match kernel_headers() {
        Ok(headers) => headers,
        Err(why) => skip!("no kernel headers: {why}"),
    };
    let constants: BTreeMap<String, usize> = Sysno::iter()
        .map(|call| (call.name().expect("a name").to_string(), call.as_usize()))
        .collect();
    assert_eq!(constants, in_headers(&headers, std::env::consts::ARCH));
}

#[test]
fn the_script_makes_the_table_as_it_is() {
    let headers = match kernel_headers() {
        Ok(headers) => headers,
        Err(why) => skip!("no kernel headers: {why}"),
    };
    let made = Command::new(root().join("arch/syscalls"))
        .arg(headers)
        .output()
        .expect("run arch/syscalls");
    let table = std::fs::read_to_string(root().join("arch/syscalls.tbl")).expect("the table");
    assert_eq!(String::from_utf8_lossy(&made.stdout), table);
}
