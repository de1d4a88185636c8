//! `nr`: the numbers and their names.

use barecall::nr::{self, Sysno};

#[test]
fn every_name_round_trips() {
    for call in Sysno::iter() {
        let name = call.name().expect("iter yields calls that have a name");
        assert_eq!(Sysno::from_name(name), Some(call), "{name}");
        assert_eq!(call.to_string(), name);
        assert_eq!(format!("{call:?}"), name);
    }
}

#[test]
fn iter_yields_the_first_and_the_last_in_ascending_order() {
    let calls: Vec<Sysno> = Sysno::iter().collect();
    assert_eq!(calls.first().map(|call| call.as_usize()), Some(0));
    assert_eq!(calls.last(), Some(&nr::FCHROOT));
    assert_eq!(nr::FCHROOT.as_usize(), 472);
    assert!(calls.is_sorted_by(|a, b| a < b));
}

// ABI-019.
#[test]
fn the_numbers_are_those_of_the_processor() {
    let expected: &[(&str, usize, usize)] = &[
        ("memfd_create", 319, 279),
        ("kcmp", 312, 272),
        ("userfaultfd", 323, 282),
        ("execveat", 322, 281),
        ("openat", 257, 56),
        ("linkat", 265, 37),
        ("clone", 56, 220),
        ("clone3", 435, 435),
        ("ioctl", 16, 29),
        ("fcntl", 72, 25),
        ("mmap", 9, 222),
        ("exit", 60, 93),
        ("exit_group", 231, 94),
    ];
    for (name, x86_64, aarch64) in expected {
        let number = match std::env::consts::ARCH {
            "x86_64" => x86_64,
            _ => aarch64,
        };
        assert_eq!(Sysno::from_name(name), Some(Sysno::from(*number)), "{name}");
    }
    let has = |name| Sysno::from_name(name).is_some();
    for old in [
        "open", "fork", "vfork", "pipe", "dup2", "poll", "access", "readlink", "unlink", "mkdir",
        "link",
    ] {
        assert_eq!(has(old), cfg!(target_arch = "x86_64"), "{old}");
    }
}

#[test]
fn a_number_without_a_call_has_no_name_and_prints_as_a_number() {
    let none = Sysno::from(100_000);
    assert_eq!(none.name(), None);
    assert_eq!(none.to_string(), "syscall_100000");
    assert_eq!(Sysno::from_name(""), None);
    assert_eq!(Sysno::from_name("no_such_call"), None);
    // Between the architectures' own calls and those that all have.
    assert_eq!(Sysno::from(400).name(), None);
    assert_eq!(Sysno::from(-1_i32).as_usize(), usize::MAX);
    assert_eq!(Sysno::from(-1_i32).name(), None);
}

#[test]
fn names_can_be_asked_in_constants() {
    const KCMP: Option<Sysno> = Sysno::from_name("kcmp");
    const NAME: Option<&str> = nr::KCMP.name();
    assert_eq!(KCMP, Some(nr::KCMP));
    assert_eq!(NAME, Some("kcmp"));
}
