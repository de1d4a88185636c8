//! What holds for each of the programs in examples/.

#[path = "common/host.rs"]
mod host;

use std::collections::BTreeSet;

/// Not tools: the smallest program, and what the matrix boots.
const NOT_TOOLS: [&str; 2] = ["hello", "matrix-init"];

fn programs() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(host::root().join("examples/Cargo.toml")).unwrap();
    let (_, bins) = manifest.split_once("[[bin]]").unwrap();
    bins.lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_tool_says_how_it_is_used() {
    for name in programs() {
        if NOT_TOOLS.contains(&name.as_str()) {
            continue;
        }
        let said = host::example_says(&name, &["-h"]);
        assert!(said.starts_with(&format!("usage: {name}")), "{said}");
        assert!(said.lines().all(|line| line.len() <= 80), "{said}");
        assert_eq!(host::example_says(&name, &["--help"]), said);
    }
}

/// A test that runs a program names it in quotes.
#[test]
fn each_program_is_run_by_a_test_of_its_own() {
    let tests: String = std::fs::read_dir(host::root().join("tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for name in programs() {
        let quoted = [
            format!("\"{name}\""),
            format!("{name}.rs"),
            format!("bin/{name}"),
        ];
        assert!(
            quoted.iter().any(|text| tests.contains(text)),
            "nothing runs {name}"
        );
    }
}

#[test]
fn the_readme_names_each_tool() {
    let readme = std::fs::read_to_string(host::root().join("README.md")).unwrap();
    for name in programs() {
        assert!(
            NOT_TOOLS.contains(&name.as_str()) || readme.contains(&format!("`{name}`")),
            "{name}"
        );
    }
}
