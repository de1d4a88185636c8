//! The auxiliary vector: every way to it, and that they agree.

mod common;

use barecall::Errno;
use barecall::auxv::{Auxv, Entry, Key};
use common::kernel_is_at_least;

/// What libc found on the initial stack.
fn libc_says(key: Key) -> Option<usize> {
    // glibc answers with bits of its own there.
    assert!(!glibc_makes_it_up(key));
    // SAFETY: a key, and a number back.
    match unsafe { libc::getauxval(key.as_raw() as libc::c_ulong) } {
        0 => None,
        value => Some(value as usize),
    }
}

fn glibc_makes_it_up(key: Key) -> bool {
    cfg!(target_arch = "x86_64") && [Key::HWCAP, Key::HWCAP2].contains(&key)
}

/// The vector on the initial stack, found as `_start` does: behind the null
/// pointer that ends the environment.
fn initial_stack() -> *const Entry {
    unsafe extern "C" {
        static environ: *const *const u8;
    }
    // SAFETY: nothing here changes the environment, so `environ` is what the
    // kernel made.
    unsafe {
        let mut at = environ;
        while !(*at).is_null() {
            at = at.add(1);
        }
        at.add(1).cast()
    }
}

/// VDS-021, VDS-023
#[test]
fn proc_says_what_libc_saw_on_the_stack() {
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let auxv = Auxv::read_proc(&mut entries).unwrap();
    assert!(auxv.is_complete());
    let mut seen = 0;
    for (key, value) in auxv {
        if !glibc_makes_it_up(key) {
            // getauxval answers 0 for "no such key" too.
            assert_eq!(libc_says(key).unwrap_or(0), value, "{key:?}");
        }
        assert_eq!(auxv.get(key), Some(value));
        seen += 1;
    }
    assert!(seen >= 15, "{auxv:?}");
    assert!(seen < 32, "{seen}: what the documentation of ROOM says");
}

/// VDS-020
#[test]
fn the_initial_stack_says_what_proc_says() {
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let proc = Auxv::read_proc(&mut entries).unwrap();
    // SAFETY: the initial stack, which nobody changes.
    let stack = unsafe { Auxv::from_stack(initial_stack()) };
    assert_eq!(stack.as_entries(), proc.as_entries());
    assert!(stack.is_complete());
}

#[test]
fn the_kernel_says_what_proc_says_since_6_4_and_einval_before() {
    let mut asked = [Entry::NULL; Auxv::ROOM];
    let mut read = [Entry::NULL; Auxv::ROOM];
    let answer = Auxv::query(&mut asked);
    if kernel_is_at_least(6, 4) {
        let (asked, read) = (answer.unwrap(), Auxv::read_proc(&mut read).unwrap());
        assert!(asked.is_complete());
        assert_eq!(asked.as_entries(), read.as_entries());
    } else {
        assert_eq!(answer.unwrap_err(), Errno::EINVAL);
    }
}

#[test]
fn a_short_buffer_gives_the_beginning_and_says_that_it_is_not_all() {
    let mut whole = [Entry::NULL; Auxv::ROOM];
    let whole = Auxv::read_proc(&mut whole).unwrap();
    for room in [0, 1, 5, whole.as_entries().len()] {
        let mut entries = vec![Entry::NULL; room];
        let part = Auxv::read_proc(&mut entries).unwrap();
        assert!(!part.is_complete());
        assert_eq!(part.as_entries(), &whole.as_entries()[..room]);
        if kernel_is_at_least(6, 4) {
            let mut entries = vec![Entry::NULL; room];
            let part = Auxv::query(&mut entries).unwrap();
            assert!(!part.is_complete());
            assert_eq!(part.as_entries(), &whole.as_entries()[..room]);
        }
    }
    let mut entries = vec![Entry::NULL; whole.as_entries().len() + 1];
    assert!(Auxv::read_proc(&mut entries).unwrap().is_complete());
}

#[test]
fn what_a_buffer_held_before_is_not_taken_for_the_vector() {
    let old = Entry {
        key: Key::from_raw(1000),
        value: 1,
    };
    let mut entries = [old; Auxv::ROOM];
    assert_eq!(Auxv::read_proc(&mut entries).unwrap().get(old.key), None);
    assert_eq!(entries[Auxv::ROOM - 1], Entry::NULL);
    let mut entries = [old; Auxv::ROOM];
    let _ = Auxv::query(&mut entries);
    assert_eq!(entries[Auxv::ROOM - 1], Entry::NULL);
}

/// VDS-021, VDS-023
#[test]
fn the_getters_say_what_libc_says() {
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let auxv = Auxv::read_proc(&mut entries).unwrap();
    // SAFETY: numbers only.
    let (page, ticks, ids) = unsafe {
        (
            libc::sysconf(libc::_SC_PAGESIZE) as usize,
            libc::sysconf(libc::_SC_CLK_TCK) as usize,
            (
                libc::getuid(),
                libc::geteuid(),
                libc::getgid(),
                libc::getegid(),
            ),
        )
    };
    assert_eq!(auxv.page_size(), Some(page));
    assert!(page.is_power_of_two());
    assert_eq!(auxv.clock_ticks(), Some(ticks));
    assert_eq!(auxv.uid(), Some(ids.0));
    assert_eq!(auxv.euid(), Some(ids.1));
    assert_eq!(auxv.gid(), Some(ids.2));
    assert_eq!(auxv.egid(), Some(ids.3));
    assert_eq!(auxv.secure(), Some(false));
    assert_eq!(auxv.hwcap(), auxv.get(Key::HWCAP));
    assert_eq!(auxv.hwcap2(), auxv.get(Key::HWCAP2));
    if !glibc_makes_it_up(Key::HWCAP) {
        assert_eq!(auxv.hwcap(), libc_says(Key::HWCAP));
        assert_eq!(auxv.hwcap2(), libc_says(Key::HWCAP2));
    }
    assert_eq!(
        auxv.min_signal_stack(),
        libc_says(Key::from_raw(libc::AT_MINSIGSTKSZ as usize))
    );
    assert_eq!(
        auxv.sysinfo_ehdr().map(|address| address.addr()),
        libc_says(Key::SYSINFO_EHDR)
    );
    assert_eq!(
        auxv.entry().map(|address| address.addr()),
        libc_says(Key::ENTRY)
    );
    assert_eq!(
        auxv.base().map(|address| address.addr()),
        libc_says(Key::BASE)
    );
    let (headers, count) = auxv.program_headers().unwrap();
    assert_eq!(Some(headers.addr()), libc_says(Key::PHDR));
    assert_eq!(Some(count), libc_says(Key::PHNUM));
}

#[test]
fn the_strings_and_the_random_bytes_are_there() {
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let auxv = Auxv::read_proc(&mut entries).unwrap();
    // SAFETY: the kernel's addresses, of this process.
    let (file, platform, random) = unsafe {
        (
            core::ffi::CStr::from_ptr(auxv.execfn().unwrap()),
            core::ffi::CStr::from_ptr(auxv.platform().unwrap()),
            *auxv.random().unwrap(),
        )
    };
    let file = std::path::Path::new(file.to_str().unwrap());
    assert_eq!(
        file.file_name(),
        std::env::current_exe().unwrap().file_name()
    );
    assert_eq!(platform.to_str().unwrap(), std::env::consts::ARCH);
    assert_ne!(random, [0; 16]);
}

#[test]
fn unknown_keys_are_kept_and_have_a_number_for_a_name() {
    let entries = [
        Entry {
            key: Key::from_raw(4711),
            value: usize::MAX,
        },
        Entry {
            key: Key::PAGESZ,
            value: 4096,
        },
        Entry::NULL,
        Entry {
            key: Key::UID,
            value: 1,
        },
    ];
    let auxv = Auxv::from_entries(&entries);
    assert!(auxv.is_complete());
    assert_eq!(auxv.get(Key::from_raw(4711)), Some(usize::MAX));
    assert_eq!(auxv.get(Key::UID), None, "behind the end");
    assert_eq!(auxv.get(Key::NULL), None);
    assert_eq!(
        format!("{auxv:?}"),
        format!("{{AT_4711: {}, AT_PAGESZ: 4096}}", usize::MAX)
    );
}

#[test]
fn an_address_of_zero_is_none() {
    let entries = [
        Entry {
            key: Key::SYSINFO_EHDR,
            value: 0,
        },
        Entry::NULL,
    ];
    assert_eq!(Auxv::from_entries(&entries).sysinfo_ehdr(), None);
    assert!(Auxv::from_entries(&[]).as_entries().is_empty());
}
