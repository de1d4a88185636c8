//! examples/src/bin/snapshot.rs: memory saved, and restored elsewhere.

#[path = "common/host.rs"]
mod host;

#[track_caller]
fn says(args: &[&str], said: &str) {
    assert_eq!(host::example_says("snapshot", args), said);
}

#[test]
fn memory_is_restored_in_another_process() {
    says(
        &["-k", "0"],
        "8 MiB saved into memory and restored: 2048 pages right, 0 handlers killed\n",
    );
}

/// Handlers die in the middle, and nobody sees a wrong byte.
#[test]
fn handlers_may_die_in_the_middle() {
    for _ in 0..3 {
        says(
            &["-k", "12", "-m", "4"],
            "4 MiB saved into memory and restored: 1024 pages right, 12 handlers killed\n",
        );
    }
}

/// The file is the memory, as it was: the example's words, computed here.
#[test]
fn the_file_is_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("memory");
    let name = path.to_str().unwrap();
    let said = "1 MiB saved into NAME and restored: 256 pages right, 2 handlers killed\n";
    says(&["-m", "1", name], &said.replace("NAME", name));
    let saved = std::fs::read(&path).unwrap();
    assert_eq!(saved.len(), 1 << 20);
    for (i, word) in (0_u64..).zip(saved.chunks_exact(8)) {
        let expected = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        assert_eq!(word, expected.to_le_bytes(), "word {i}");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let failed = |args: &[&str], why: &str| host::example_fails("snapshot", args, why);
    failed(&["/nowhere/at/all"], "snapshot: open: ENOENT");
    failed(&["/dev/full"], "snapshot: write: ENOSPC");
    for args in [
        &["-m"] as &[_],
        &["-m", "0"],
        &["-m", "x"],
        &["-m", "5000"],
        &["-k", "101"],
        &["-x"],
        &["a", "b"],
        &[""],
    ] {
        failed(args, "usage: snapshot");
    }
}
