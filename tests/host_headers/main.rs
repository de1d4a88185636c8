//! Every constant, structure and ioctl number of this crate, compared with the
//! headers of Linux 7.3 on both architectures.
//!
//! Nothing is listed here that has to be kept up to date: the sources are
//! expanded by rustc (which knows what `cfg` and macros make of them), read,
//! and turned into static assertions in C, one for each
//!
//! - integer constant: its `#[doc(alias = "C_NAME")]`, or else its own name, is
//!   a constant of the headers with the same value. One that has no C name
//!   fails, unless it is listed below as the crate's own;
//! - `#[repr(C)]` structure: its `#[doc(alias = "struct name")]` has the same
//!   size, and the same fields at the same offsets, with the same sizes.

mod c;
#[path = "../common/mod.rs"]
mod common;
mod rust;

use c::Claim;
use common::headers::{ARCHES, c_compiler, kernel_headers, missing, root, rust_compiler};
use rust::Source;
use std::process::Command;

/// Integer constants that no header has, and why. By the end of their path, or
/// with `module::*` all that a module has without an alias.
const OWN_CONSTANTS: &[(&str, &str)] = &[
    (
        "arch::imp::UFFD_WP_PROOF",
        "the feature that proves write-protect here",
    ),
    ("auxv::Auxv::ROOM", "how many entries fit"),
    (
        "errno::Errno::LAST",
        "-4095, which the kernel has as MAX_ERRNO, for itself",
    ),
    ("kcmp::classify::NONE", "no index"),
    ("memfd::map::HUGE_MAX", "the largest huge page there is"),
    ("memfd::map::PAGE_MAX", "the largest page there is"),
    (
        "memfd::options::HugePage::DEFAULT",
        "no size, which is the kernel's default",
    ),
    (
        "memfd::options::NAME_MAX",
        "249, which the kernel has as MFD_NAME_MAX_LEN, for itself",
    ),
    (
        "net::control::SCM_PIDFD",
        "newer than libc's headers, and exported by none of the kernel's",
    ),
    (
        "system::READ_ALL",
        "SYSLOG_ACTION_READ_ALL, which the kernel has for itself",
    ),
    (
        "system::CONSOLE_LEVEL",
        "SYSLOG_ACTION_CONSOLE_LEVEL, which the kernel has for itself",
    ),
    (
        "pager::*",
        "it speaks with the kernel through other modules alone",
    ),
    ("process::Pid::INIT", "process 1"),
    ("signal::set::SigSet::ALL", "every signal"),
    ("signal::set::SigSet::EMPTY", "no signal"),
    (
        "signal::set::Signal::SIGRTMAX",
        "_NSIG, which the kernel has for itself",
    ),
    (
        "time::clock::CPUCLOCK_PERTHREAD_MASK",
        "which the kernel has for itself",
    ),
    (
        "time::clock::CPUCLOCK_SCHED",
        "which the kernel has for itself",
    ),
    (
        "time::clock::PID_MAX_LIMIT",
        "which the kernel has for itself",
    ),
    ("thread::spawn::DETACHED", "a state"),
    ("thread::spawn::GUARD", "the guard's size"),
    ("thread::spawn::RETURNED", "a state"),
    ("thread::spawn::RUNNING", "a state"),
    ("tmpfile::scratch::ATTEMPTS", "how many names are tried"),
    (
        "tmpfile::scratch::PREFIX",
        "the length of the name's first part",
    ),
    (
        "userfaultfd::fdinfo::INITIALIZED",
        "a bit that the kernel has for itself",
    ),
    ("trace::INSIDE", "how many threads can be in a sink"),
    ("trace::decode::INTERRUPTED", "EINTR as a register has it"),
    ("trace::decode::memory::ARRAY", "how many are shown"),
    ("trace::decode::memory::argv::SHOWN", "how many are shown"),
    (
        "trace::decode::memory::entries::RECLEN",
        "where d_reclen is, without a type for the record",
    ),
    ("trace::decode::socket::HEADER", "struct cmsghdr's size"),
    (
        "trace::decode::address::LONGEST",
        "struct sockaddr_storage's size",
    ),
    ("trace::decode::address::LONGEST_PATH", "sun_path's size"),
    (
        "trace::decode::socket::control_data::SHOWN",
        "how many are shown",
    ),
    (
        "trace::decode::socket::control_messages::SHOWN",
        "how many are shown",
    ),
    ("trace::filter::WORDS", "a filter's size"),
    ("trace::line::LONGEST", "a line's size"),
    ("trace::line::PATH", "how much is shown"),
    ("trace::line::SHOWN", "how much is shown"),
    (
        "trace::names::SCM_PIDFD",
        "newer than libc's headers, and exported by none of the kernel's",
    ),
    ("trace::ring::WORDS", "a line's size"),
    ("vdso::Vdso::PAGE", "the smallest page"),
    ("vdso::getrandom::CACHE_LINE", "the processor's"),
    ("vdso::getrandom::PAGE", "the smallest page"),
    ("vdso::parse::DYN", "the size of Elf64_Dyn"),
    ("vdso::parse::EHDR", "the size of Elf64_Ehdr"),
    ("vdso::parse::PHDR", "the size of Elf64_Phdr"),
    ("vdso::parse::SYM", "the size of Elf64_Sym"),
    ("vdso::parse::VERDEF", "the size of Elf64_Verdef"),
];

/// `#[repr(C)]` structures, and fields, that no header has, and why.
const OWN_STRUCTURES: &[(&str, &str)] = &[
    (
        "mount::stat::StatmountBuf",
        "a statmount and the strings behind it",
    ),
    ("auxv::Entry.key", "a_type, for who reads it"),
    ("auxv::Entry.value", "a_un.a_val, for who reads it"),
    ("fd::Number", "a descriptor's number, with a niche"),
    ("hook::Call", "a call on its way to the tracer"),
    ("net::control::Aligned", "bytes aligned as struct cmsghdr"),
    (
        "process::exec::CStrings",
        "an array of pointers with its NULL",
    ),
    ("process::wait::ChildInfo.words", "siginfo_t as an array"),
    ("signal::info::Siginfo._pad", "the gap before the union"),
    (
        "signal::info::Siginfo._sifields",
        "the union as words, up to the end",
    ),
    ("spawn::Stack", "a child's stack"),
];

fn is_own(list: &[(&str, &str)], path: &str) -> bool {
    list.iter().any(|(own, _)| match own.strip_suffix('*') {
        Some(module) => path.starts_with(module),
        None => path == *own || path.ends_with(&format!("::{own}")),
    })
}

/// The crate's source for an architecture, with its macros expanded.
fn expand(arch: &str, rustc: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["rustc", "--quiet", "--lib", "--all-features"])
        .args(["--target", &format!("{arch}-unknown-linux-gnu")])
        .arg("--target-dir")
        .arg(root().join("target/headers"))
        .args(["--", "-Zunpretty=expanded"])
        .env("RUSTC", rustc)
        // The option is not stable; what is made of its output is not shipped.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root())
        .output()
        .expect("run cargo");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo rustc for {arch}: {errors}");
    String::from_utf8(output.stdout).expect("source is UTF-8")
}

fn constants(source: &Source, claims: &mut Vec<Claim>, complaints: &mut Vec<String>) {
    for constant in &source.constants {
        // What has a C name by an alias is held to it.
        let own = constant.aliases.is_empty() && is_own(OWN_CONSTANTS, &constant.path());
        if own || !source.is_integer(constant) {
            continue;
        }
        let Some((value, size)) = source.value(constant) else {
            complaints.push(format!(
                "{}: too complicated to evaluate here; write it simpler, or list it as the crate's own",
                constant.path()
            ));
            continue;
        };
        let ty = match size {
            1 => "unsigned char",
            2 => "unsigned short",
            4 => "unsigned int",
            _ => "unsigned long",
        };
        let bits = value as u64;
        for name in constant.c_names() {
            claims.push(Claim {
                who: constant.path(),
                c: format!("({ty})({name}) == ({ty}){bits:#x}ul"),
                optional: source.is_derived(constant),
            });
        }
    }
}

fn structures(source: &Source, claims: &mut Vec<Claim>, complaints: &mut Vec<String>) {
    for structure in source.structures.iter().filter(|s| s.is_repr_c()) {
        let who = structure.path();
        if is_own(OWN_STRUCTURES, &who) {
            continue;
        }
        if structure.c_names().is_empty() {
            complaints.push(format!(
                "{who}: #[repr(C)] without #[doc(alias = \"struct name\")]"
            ));
        }
        let layout = match source.layout(structure) {
            Ok(layout) => layout,
            Err(why) => {
                complaints.push(format!("{who}: {why}"));
                continue;
            }
        };
        for name in structure.c_names() {
            claims.push(Claim {
                who: who.clone(),
                c: format!("sizeof({name}) == {}", layout.size),
                optional: false,
            });
            for (field, offset, size) in layout.fields.iter().filter(|(.., size)| *size > 0) {
                let who = format!("{who}.{field}");
                if is_own(OWN_STRUCTURES, &who) {
                    continue;
                }
                claims.push(Claim {
                    who,
                    c: format!(
                        "__builtin_offsetof({name}, {field}) == {offset} && sizeof((({name} *)0)->{field}) == {size}"
                    ),
                    optional: false,
                });
            }
        }
    }
}

#[test]
fn every_constant_and_structure_is_as_in_the_kernels_headers() {
    let headers = match kernel_headers() {
        Ok(headers) => headers,
        Err(why) => skip!("no kernel headers: {why}"),
    };
    let work = root().join("target/headers");
    std::fs::create_dir_all(&work).expect("make target/headers");

    let mut complaints = Vec::new();
    for arch in ARCHES {
        let (Some(rustc), Some(compiler)) = (rust_compiler(arch), c_compiler(arch)) else {
            skip!(
                "{}",
                missing(format!("no rustc or no C compiler for {arch}"))
            );
        };
        let source = Source::parse(&expand(arch, &rustc));
        let mut claims = Vec::new();
        let mut found = Vec::new();
        constants(&source, &mut claims, &mut found);
        structures(&source, &mut claims, &mut found);
        assert!(
            claims.len() > 100,
            "{} claims: where are the others?",
            claims.len()
        );

        let verdicts = c::check(&compiler, &headers, arch, &work, &claims);
        println!(
            "{arch}: {} claims held by the kernel's headers, {} by libc's",
            verdicts.kernel,
            verdicts.libc.len()
        );
        found.extend(verdicts.wrong.iter().map(|wrong| format!("{wrong}: NO")));
        found.extend(verdicts.unknown.iter().map(|i| {
            let Claim { who, c, .. } = &claims[*i];
            format!("{who}: {c}: not in the headers; give its C name as an alias, or list it as the crate's own")
        }));
        complaints.extend(
            found
                .into_iter()
                .map(|complaint| format!("{arch}: {complaint}")),
        );
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
