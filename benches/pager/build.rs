//! Compiles the loop in C.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/textbook.c");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    let object = out.join("textbook.o");
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled = Command::new(cc)
        .args(["-O2", "-c", "src/textbook.c", "-o"])
        .arg(&object)
        .status()
        .expect("a C compiler");
    assert!(compiled.success());
    println!("cargo::rustc-link-arg={}", object.display());
}
