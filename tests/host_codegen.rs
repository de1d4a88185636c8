//! What the compiler makes of a system call: how many instructions, and what
//! it keeps in which registers. Looks at the machine code of tests/codegen,
//! and runs the tests of the stubs as optimised code too.

#[path = "common/host.rs"]
mod host;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

/// The assembly of tests/codegen for a target.
fn assembly(target: &str, rustflags: &str) -> Option<String> {
    let mut cargo = host::cargo(target)?;
    let name = format!("codegen-{target}{rustflags}.s");
    let file = host::target_dir("codegen").join(name.replace('=', ""));
    cargo
        .current_dir(host::root().join("tests/codegen"))
        .env("RUSTFLAGS", rustflags)
        .args(["rustc", "--quiet", "--release", "--lib", "--target", target])
        .arg("--target-dir")
        .arg(host::target_dir("codegen"))
        .args(["--", "--emit"])
        .arg(format!("asm={}", file.display()));
    // cargo takes the file for made when nothing changed since.
    let _ = std::fs::remove_file(&file);
    let lib = host::root().join("tests/codegen/src/lib.rs");
    touch(&lib);
    host::run(&mut cargo);
    Some(std::fs::read_to_string(&file).expect("the assembly"))
}

fn touch(file: &Path) {
    std::fs::File::options()
        .append(true)
        .open(file)
        .and_then(|f| f.set_modified(std::time::SystemTime::now()))
        .expect("a file of this repository");
}

/// One line of a function: a label or an instruction.
#[derive(Debug)]
enum Line<'a> {
    Label(&'a str),
    Instruction(&'a str),
}

/// The lines of a function, without directives and comments.
fn function<'a>(assembly: &'a str, name: &str) -> Vec<Line<'a>> {
    let label = format!("{name}:");
    let size = format!("\t.size\t{name},");
    let lines: Vec<_> = assembly
        .lines()
        .skip_while(|line| *line != label)
        .take_while(|line| !line.starts_with(&size))
        .filter_map(|line| {
            let line = line.split("//").next().unwrap_or(line).trim_end();
            match line.strip_prefix('\t') {
                Some(line) if line.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    Some(Line::Instruction(line))
                }
                Some(_) => None,
                None => line.strip_suffix(':').map(Line::Label),
            }
        })
        .collect();
    assert!(lines.len() > 1, "{name} is not in the assembly");
    lines
}

fn instructions(assembly: &str, name: &str) -> usize {
    let lines = function(assembly, name);
    lines
        .iter()
        .filter(|line| matches!(line, Line::Instruction(_)))
        .count()
}

/// The budget of a call site, `ret` included: (function, x86_64, aarch64).
const BUDGET: [(&str, usize, usize); 10] = [
    ("raw_getppid", 3, 3),
    ("raw_write", 4, 4),
    ("raw_close", 4, 4),
    ("typed_write", 8, 7),
    ("typed_close", 4, 4),
    ("typed_pread", 9, 7),
    ("typed_getppid", 6, 4),
    // What these hold more than their raw call is told in benches/README.md;
    // there is room for what another compiler makes of it.
    ("typed_memfd_create", 20, 14),
    ("typed_kcmp", 30, 28),
    ("typed_clock_gettime", 24, 18),
];

#[test]
fn a_call_costs_the_instructions_of_the_budget() {
    for target in host::targets() {
        let Some(assembly) = assembly(target, "") else {
            continue;
        };
        for (name, x86_64, aarch64) in BUDGET {
            let budget = if target == host::X86_64 {
                x86_64
            } else {
                aarch64
            };
            let count = instructions(&assembly, name);
            println!("{target}: {name}: {count} instructions, budget {budget}");
            assert!(
                count <= budget,
                "{target}: {name}: {:#?}",
                function(&assembly, name)
            );
        }
    }
}

#[test]
fn a_caller_that_branches_on_the_result_is_as_by_hand() {
    for target in host::targets() {
        let Some(assembly) = assembly(target, "") else {
            continue;
        };
        assert!(
            instructions(&assembly, "branch_typed") <= instructions(&assembly, "branch_by_hand"),
            "{target}: {:#?}",
            function(&assembly, "branch_typed"),
        );
    }
}

#[test]
fn operands_are_widened_by_their_type() {
    for target in host::targets() {
        let Some(assembly) = assembly(target, "") else {
            continue;
        };
        let lines = format!("{:?}", function(&assembly, "any_call"));
        // u32: the upper half is zeroed. i32: the sign goes up.
        let (zero, sign) = match target {
            host::X86_64 => ("movl\\t%esi, %edi", "movslq\\t%edx, %rsi"),
            _ => ("mov\\tw", "sxtw\\tx1, w2"),
        };
        assert!(
            lines.contains(zero) && lines.contains(sign),
            "{target}: {lines}"
        );
    }
}

/// The SVE registers that an instruction names: "z3", "p0".
fn sve_registers(instruction: &str) -> BTreeSet<String> {
    instruction
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| {
            let number = word
                .strip_prefix(['z', 'p'])
                .and_then(|n| n.parse::<u32>().ok());
            number.is_some_and(|n| n < 32)
        })
        .map(str::to_owned)
        .collect()
}

/// What an instruction reads, of the registers that it names: all but a plain
/// destination, which is the first operand (not of a store or a branch).
fn reads(instruction: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (name, operands) = instruction.split_once('\t').unwrap_or((instruction, ""));
    let all = sve_registers(operands);
    if name.starts_with("st") || name.starts_with("cmp") || name.starts_with('b') {
        return (all, BTreeSet::new());
    }
    let (first, rest) = operands.split_once(',').unwrap_or((operands, ""));
    let mut reads = sve_registers(rest);
    if name.starts_with("mla") || name.starts_with("fmla") || name.starts_with("fmad") {
        reads.extend(sve_registers(first));
    }
    (reads, sve_registers(first))
}

/// The registers of SVE that some path from a system call on reads before it
/// writes them: what the compiler believes to survive the call.
fn alive_across_svc(lines: &[Line<'_>]) -> BTreeSet<String> {
    let labels: HashMap<&str, usize> = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| match line {
            Line::Label(label) => Some((*label, at)),
            Line::Instruction(_) => None,
        })
        .collect();

    let mut alive = BTreeSet::new();
    let starts = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| match line {
            Line::Instruction(i) if i.starts_with("svc") => Some(at + 1),
            _ => None,
        });
    for start in starts {
        let mut seen: HashSet<(usize, BTreeSet<String>)> = HashSet::new();
        let mut todo = vec![(start, BTreeSet::new())];
        while let Some((at, mut written)) = todo.pop() {
            if !seen.insert((at, written.clone())) {
                continue;
            }
            let Some(line) = lines.get(at) else { continue };
            if let Line::Instruction(instruction) = line {
                if instruction.starts_with("svc") || instruction.starts_with("ret") {
                    continue;
                }
                let (read, write) = reads(instruction);
                alive.extend(read.difference(&written).cloned());
                written.extend(write);
                let target = instruction
                    .split([' ', '\t', ','])
                    .find_map(|word| labels.get(word));
                if let Some(target) = target {
                    todo.push((*target, written.clone()));
                    if instruction.starts_with("b\t") {
                        continue;
                    }
                }
            }
            todo.push((at + 1, written));
        }
    }
    alive
}

#[test]
fn with_sve_no_vector_or_predicate_register_lives_across_the_call() {
    let Some(assembly) = assembly(host::AARCH64, "-Ctarget-feature=+sve") else {
        return host::missing("a Rust toolchain for aarch64");
    };
    // The check itself works: a stub without the clobbers is found out, and
    // the loop is one that has something to lose.
    let naive = alive_across_svc(&function(&assembly, "sve_naive"));
    assert!(
        !naive.is_empty(),
        "the loop does not use SVE: {:#?}",
        function(&assembly, "sve_naive")
    );

    let stub = alive_across_svc(&function(&assembly, "sve_stub"));
    assert_eq!(
        stub,
        BTreeSet::new(),
        "{:#?}",
        function(&assembly, "sve_stub")
    );
}

#[test]
fn sve_for_one_function_alone_is_the_hole_that_the_documentation_tells_of() {
    let Some(assembly) = assembly(host::AARCH64, "") else {
        return host::missing("a Rust toolchain for aarch64");
    };
    // If this fails, rustc learned to see the feature there: then the hole is
    // closed, and arch/README.md and the docs of `syscall!` should say so.
    assert_ne!(
        alive_across_svc(&function(&assembly, "sve_enabled_here")),
        BTreeSet::new()
    );

    let lines = function(&assembly, "sve_out_of_line");
    let inlined = lines
        .iter()
        .any(|line| matches!(line, Line::Instruction(i) if i.starts_with("svc")));
    assert!(!inlined, "the way around is one no longer: {lines:#?}");
}

#[test]
fn the_tests_of_the_stubs_pass_as_optimised_code() {
    let mut cargo = host::cargo(host::X86_64).expect("cargo, which runs this test");
    cargo
        .args(["test", "--quiet", "--release", "--test", "stubs"])
        .arg("--target-dir")
        .arg(host::target_dir("codegen"));
    host::run(&mut cargo);
}
