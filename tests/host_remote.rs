//! examples/src/bin/remote.rs: memory that arrives over a socket.

#[path = "common/host.rs"]
mod host;

/// Runs, and gives the numbers that it says: MiB, pages, faults, answers
/// missed, servers killed, connections.
#[track_caller]
fn numbers(args: &[&str]) -> Vec<u64> {
    let said = host::example_says("remote", args);
    assert_eq!(said.lines().count(), 1, "{said}");
    said.split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[test]
fn memory_arrives_as_it_is_touched() {
    let said = numbers(&["-k", "0"]);
    let [8, 2048, faults, _, 0, 1] = said[..] else {
        panic!("{said:?}")
    };
    // 64 KiB at a time.
    assert!(faults >= 128, "{faults}");
}

/// Servers die in the middle, and nobody sees a wrong byte.
#[test]
fn servers_may_die_in_the_middle() {
    for _ in 0..3 {
        let said = numbers(&["-k", "12", "-m", "32"]);
        let [32, 8192, faults, _, 12, connections] = said[..] else {
            panic!("{said:?}")
        };
        assert!(faults >= 512, "{faults}");
        assert!(connections >= 1, "{connections}");
    }
}

#[test]
fn what_is_not_an_option_is_refused() {
    for args in [
        &["-m"] as &[_],
        &["-m", "0"],
        &["-m", "x"],
        &["-m", "5000"],
        &["-k", "101"],
        &["-x"],
        &["a"],
    ] {
        host::example_fails("remote", args, "usage: remote");
    }
}
