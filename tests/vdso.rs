//! The vDSO: the images of real kernels, damaged ones, and the running one.

mod common;

use barecall::Errno;
use barecall::auxv::{Auxv, Entry};
use barecall::system::GetrandomFlags;
use barecall::time::{self, ClockId, Timespec};
use barecall::vdso::{BadImage, Function, Image, Offsets, StatePool, Vdso, parse};
use common::kernel_is_at_least;
use core::ffi::CStr;
use proptest::prelude::*;
use std::collections::HashSet;

const X86_64: u16 = 62;
const AARCH64: u16 = 183;
const HERE: u16 = if cfg!(target_arch = "x86_64") {
    X86_64
} else {
    AARCH64
};

/// Out of Debian's kernels, as they are mapped.
const IMAGES: [(&str, u16, &[u8]); 8] = [
    ("5.10", X86_64, include_bytes!("data/vdso/5.10-x86_64.so")),
    ("6.1", X86_64, include_bytes!("data/vdso/6.1-x86_64.so")),
    ("6.12", X86_64, include_bytes!("data/vdso/6.12-x86_64.so")),
    ("7.3", X86_64, include_bytes!("data/vdso/7.3-x86_64.so")),
    ("5.10", AARCH64, include_bytes!("data/vdso/5.10-aarch64.so")),
    ("6.1", AARCH64, include_bytes!("data/vdso/6.1-aarch64.so")),
    ("6.12", AARCH64, include_bytes!("data/vdso/6.12-aarch64.so")),
    ("7.3", AARCH64, include_bytes!("data/vdso/7.3-aarch64.so")),
];

fn image(version: &str, machine: u16) -> Vec<u8> {
    let (.., bytes) = IMAGES
        .iter()
        .find(|image| (image.0, image.1) == (version, machine))
        .unwrap();
    bytes.to_vec()
}

fn version_of(machine: u16) -> &'static CStr {
    match machine {
        X86_64 => c"LINUX_2.6",
        _ => c"LINUX_2.6.39",
    }
}

/// Bytes that end where memory ends: one byte too far is a SIGSEGV.
struct AtTheEdge {
    start: *mut u8,
    mapped: usize,
    len: usize,
}

impl AtTheEdge {
    fn new(bytes: &[u8]) -> Self {
        let len = bytes.len();
        let data = len.next_multiple_of(65536);
        let mapped = data + 65536;
        // SAFETY: a mapping of our own; the end of it becomes inaccessible.
        unsafe {
            let map = libc::mmap(
                core::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(map, libc::MAP_FAILED);
            let end = map.byte_add(data);
            assert_eq!(libc::mprotect(end, 65536, libc::PROT_NONE), 0);
            let start = end.cast::<u8>().sub(len);
            start.copy_from_nonoverlapping(bytes.as_ptr(), len);
            Self { start, mapped, len }
        }
    }
}

impl core::ops::Deref for AtTheEdge {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: ours.
        unsafe { core::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for AtTheEdge {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe {
            let map = self.start.add(self.len + 65536).sub(self.mapped);
            libc::munmap(map.cast(), self.mapped);
        }
    }
}

/// Asks everything of an image that can be asked.
fn exercise(bytes: &[u8]) -> Offsets {
    if let Ok(image) = Image::new(bytes) {
        let mut count = 0;
        for symbol in image.symbols() {
            assert!(symbol.offset < bytes.len(), "{symbol:?}");
            count += 1;
        }
        assert!(count <= bytes.len() / 24);
        let found = image.find(c"__kernel_clock_gettime", c"LINUX_2.6.39");
        assert!(found.is_none_or(|offset| offset < bytes.len()));
    }
    let offsets = parse(bytes);
    for offset in all(offsets).into_iter().flatten() {
        assert!(offset < bytes.len());
    }
    offsets
}

fn all(offsets: Offsets) -> [Option<usize>; 6] {
    [
        offsets.clock_gettime,
        offsets.clock_getres,
        offsets.gettimeofday,
        offsets.time,
        offsets.getcpu,
        offsets.getrandom,
    ]
}

/// The functions of an image by name and offset, with the version checked.
fn functions(bytes: &[u8]) -> Vec<(String, usize)> {
    let image = Image::new(bytes).unwrap();
    let version = version_of(image.machine());
    let mut found: Vec<_> = image
        .symbols()
        .filter(|symbol| symbol.version == Some(version))
        .map(|symbol| (symbol.name.to_str().unwrap().to_owned(), symbol.offset))
        .collect();
    found.sort();
    found
}

fn vdso() -> Vdso {
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let auxv = Auxv::read_proc(&mut entries).unwrap();
    // SAFETY: what the kernel says of this process.
    unsafe { Vdso::from_auxv(auxv) }
}

// ---- images ----

/// VDS-001
#[test]
fn every_image_has_what_its_kernel_is_known_to_have() {
    for (kernel, machine, bytes) in IMAGES {
        let image = Image::new(bytes).unwrap();
        assert_eq!(image.machine(), machine);
        let names: HashSet<&str> = image
            .symbols()
            .map(|symbol| {
                assert_eq!(symbol.version, Some(version_of(machine)), "{kernel}");
                symbol.name.to_str().unwrap()
            })
            .collect();
        let mut expected: HashSet<&str> = match machine {
            X86_64 => [
                "__vdso_clock_gettime",
                "__vdso_clock_getres",
                "__vdso_gettimeofday",
                "__vdso_time",
                "__vdso_getcpu",
                "clock_gettime",
                "clock_getres",
                "gettimeofday",
                "time",
                "getcpu",
            ]
            .into(),
            _ => [
                "__kernel_clock_gettime",
                "__kernel_clock_getres",
                "__kernel_gettimeofday",
                "__kernel_rt_sigreturn",
            ]
            .into(),
        };
        if machine == X86_64 && kernel != "5.10" {
            expected.extend(["__vdso_sgx_enter_enclave"]);
        }
        if ["6.12", "7.3"].contains(&kernel) {
            expected.extend(match machine {
                X86_64 => &["__vdso_getrandom", "getrandom"][..],
                _ => &["__kernel_getrandom"],
            });
        }
        if (kernel, machine) == ("7.3", X86_64) {
            expected.extend([
                "__vdso_futex_robust_list64_try_unlock",
                "__vdso_futex_robust_list32_try_unlock",
            ]);
        }
        assert_eq!(names, expected, "{kernel} {machine}");
    }
}

/// VDS-001, VDS-016
#[test]
fn parse_finds_the_functions_of_this_architecture_and_none_of_another() {
    for (kernel, machine, bytes) in IMAGES {
        let found = parse(bytes);
        if machine != HERE {
            assert_eq!(found, Offsets::default());
            continue;
        }
        let image = Image::new(bytes).unwrap();
        let prefix = match machine {
            X86_64 => "__vdso_",
            _ => "__kernel_",
        };
        let names = [
            "clock_gettime",
            "clock_getres",
            "gettimeofday",
            "time",
            "getcpu",
            "getrandom",
        ];
        for (name, found) in names.into_iter().zip(all(found)) {
            let name = std::ffi::CString::new(format!("{prefix}{name}")).unwrap();
            assert_eq!(found, image.find(&name, version_of(machine)), "{name:?}");
        }
        assert!(found.clock_gettime.is_some());
        assert_eq!(
            found.getrandom.is_some(),
            ["6.12", "7.3"].contains(&kernel),
            "{kernel}"
        );
        assert_eq!(found.getcpu.is_some(), machine == X86_64);
        assert_eq!(found.time.is_some(), machine == X86_64);
    }
}

#[test]
fn a_symbol_of_another_version_is_not_found() {
    for (_, machine, bytes) in IMAGES {
        let image = Image::new(bytes).unwrap();
        let name = match machine {
            X86_64 => c"__vdso_clock_gettime",
            _ => c"__kernel_clock_gettime",
        };
        assert!(image.find(name, version_of(machine)).is_some());
        assert_eq!(image.find(name, c"LINUX_2.7"), None);
        // The name of the file, which is the base version.
        assert_eq!(image.find(name, c"linux-vdso.so.1"), None);
        assert_eq!(
            image.find(c"__vdso_clock_gettim", version_of(machine)),
            None
        );
        assert_eq!(image.find(c"", version_of(machine)), None);
    }
}

/// An image that can be edited by what is where.
struct Edit(Vec<u8>);

const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_VERDEF: u64 = 0x6fff_fffc;
const POINTERS: [u64; 6] = [
    DT_HASH,
    DT_STRTAB,
    DT_SYMTAB,
    DT_GNU_HASH,
    DT_VERSYM,
    DT_VERDEF,
];

impl Edit {
    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn set(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn headers(&self) -> Vec<usize> {
        let start = self.u64(32) as usize;
        (0..usize::from(self.0[56]))
            .map(|n| start + n * 56)
            .collect()
    }

    /// Where the entries of the dynamic section are.
    fn dynamic(&self) -> Vec<usize> {
        let header = self
            .headers()
            .into_iter()
            .find(|&header| self.u32(header) == 2)
            .unwrap();
        let start = self.u64(header + 8) as usize;
        (start..)
            .step_by(16)
            .take_while(|&entry| self.u64(entry) != 0)
            .collect()
    }

    fn entry(&self, tag: u64) -> Option<usize> {
        self.dynamic()
            .into_iter()
            .find(|&entry| self.u64(entry) == tag)
    }

    fn remove(&mut self, tag: u64) -> bool {
        let Some(entry) = self.entry(tag) else {
            return false;
        };
        self.set(entry, 0x6fff_0000);
        true
    }

    /// Where a symbol is in the table.
    fn symbol(&self, name: &[u8]) -> usize {
        let table = |tag| self.u64(self.entry(tag).unwrap() + 8) as usize;
        let (symbols, strings) = (table(DT_SYMTAB), table(DT_STRTAB));
        (symbols..)
            .step_by(24)
            .find(|&symbol| {
                let at = strings + self.u32(symbol) as usize;
                self.0[at..].starts_with(name) && self.0[at + name.len()] == 0
            })
            .unwrap()
    }
}

#[test]
fn either_style_of_hash_table_is_enough_and_none_is_an_error() {
    let mut gnu_only = 0;
    for (kernel, machine, bytes) in IMAGES {
        let expected = functions(bytes);
        assert!(!expected.is_empty());
        let mut without_sysv = Edit(bytes.to_vec());
        let had_sysv = without_sysv.remove(DT_HASH);
        let mut without_gnu = Edit(bytes.to_vec());
        let had_gnu = without_gnu.remove(DT_GNU_HASH);
        if had_gnu {
            assert_eq!(functions(&without_sysv.0), expected, "{kernel} {machine}");
        }
        if had_sysv {
            assert_eq!(functions(&without_gnu.0), expected, "{kernel} {machine}");
        }
        gnu_only += u32::from(!had_sysv);
        without_sysv.remove(DT_GNU_HASH);
        assert_eq!(
            Image::new(&without_sysv.0).unwrap_err(),
            BadImage::NoHash,
            "{kernel} {machine}"
        );
    }
    // aarch64 of 6.12 and 7.3: the reason for all this.
    assert_eq!(gnu_only, 2);
}

#[test]
fn an_image_that_was_prelinked_high_has_the_same_offsets() {
    for (_, _, bytes) in IMAGES {
        for base in [0xffff_ffff_ff70_0000_u64, 0x7fff_0000_0000, 0x1000] {
            let mut edit = Edit(bytes.to_vec());
            let expected = functions(bytes);
            let table = |tag| edit.u64(edit.entry(tag).unwrap() + 8) as usize;
            let (symbols, strings) = (table(DT_SYMTAB), table(DT_STRTAB));
            // The string table follows the symbols in all of them.
            for symbol in (symbols + 24..strings).step_by(24) {
                if edit.u64(symbol + 8) != 0 {
                    edit.set(symbol + 8, edit.u64(symbol + 8).wrapping_add(base));
                }
            }
            for tag in POINTERS {
                if let Some(entry) = edit.entry(tag) {
                    edit.set(entry + 8, edit.u64(entry + 8).wrapping_add(base));
                }
            }
            for header in edit.headers() {
                edit.set(header + 16, edit.u64(header + 16).wrapping_add(base));
            }
            assert_eq!(functions(&edit.0), expected, "{base:#x}");
        }
    }
}

#[test]
fn an_image_whose_dynamic_section_was_relocated_has_the_same_offsets() {
    for (_, _, bytes) in IMAGES {
        let mut edit = Edit(bytes.to_vec());
        let address = edit.0.as_ptr().addr() as u64;
        for tag in POINTERS {
            if let Some(entry) = edit.entry(tag) {
                edit.set(entry + 8, edit.u64(entry + 8) + address);
            }
        }
        assert_eq!(functions(&edit.0), functions(bytes));
    }
}

#[test]
fn an_image_without_versions_is_believed() {
    for (_, machine, bytes) in IMAGES {
        for tag in [DT_VERSYM, DT_VERDEF] {
            let mut edit = Edit(bytes.to_vec());
            assert!(edit.remove(tag));
            let image = Image::new(&edit.0).unwrap();
            assert!(image.symbols().all(|symbol| symbol.version.is_none()));
            let name = match machine {
                X86_64 => c"__vdso_clock_gettime",
                _ => c"__kernel_clock_gettime",
            };
            assert_eq!(
                image.find(name, c"any"),
                Image::new(bytes).unwrap().find(name, version_of(machine))
            );
        }
    }
}

#[test]
fn a_symbol_whose_version_cannot_be_told_is_not_found() {
    let mut edit = Edit(image("6.12", X86_64));
    let verdef = edit.entry(DT_VERDEF).unwrap();
    let at = edit.u64(verdef + 8) as usize;
    // No definition has this index.
    for definition in [at, at + 28] {
        edit.0[definition + 4..definition + 6].copy_from_slice(&[0xff, 0x7f]);
    }
    let image = Image::new(&edit.0).unwrap();
    assert_eq!(image.find(c"__vdso_getcpu", c"LINUX_2.6"), None);
    assert!(image.symbols().all(|symbol| symbol.version == Some(c"")));
}

#[test]
fn null_undefined_and_local_symbols_are_none() {
    let name = c"__vdso_getcpu";
    let find = |edit: &Edit| Image::new(&edit.0).unwrap().find(name, c"LINUX_2.6");
    let fresh = || Edit(image("7.3", X86_64));
    let symbol = fresh().symbol(name.to_bytes());
    assert!(find(&fresh()).is_some());

    let mut edit = fresh();
    edit.set(symbol + 8, 0);
    assert_eq!(find(&edit), None, "null");

    let mut edit = fresh();
    edit.0[symbol + 6] = 0;
    edit.0[symbol + 7] = 0;
    assert_eq!(find(&edit), None, "undefined");

    let mut edit = fresh();
    edit.0[symbol + 4] &= 0x0f;
    assert_eq!(find(&edit), None, "local");

    let mut edit = fresh();
    edit.0[symbol + 4] = edit.0[symbol + 4] & 0xf0 | 1;
    assert_eq!(find(&edit), None, "data");

    for outside in [1 << 20, u64::MAX, 1 << 63] {
        let mut edit = fresh();
        edit.set(symbol + 8, outside);
        assert_eq!(find(&edit), None, "outside");
    }
}

#[test]
fn what_is_missing_is_said() {
    assert_eq!(Image::new(b"").unwrap_err(), BadImage::NotElf);
    assert_eq!(Image::new(&[0; 4096]).unwrap_err(), BadImage::NotElf);
    let fresh = || Edit(image("6.1", X86_64));
    for (at, what) in [(4, "32 bits"), (5, "big-endian"), (54, "e_phentsize")] {
        let mut edit = fresh();
        edit.0[at] ^= 3;
        assert_eq!(Image::new(&edit.0).unwrap_err(), BadImage::NotElf, "{what}");
    }
    for (kind, error) in [(1, BadImage::NoLoad), (2, BadImage::NoDynamic)] {
        let mut edit = fresh();
        for header in edit.headers() {
            if edit.u32(header) == kind {
                edit.0[header] = 0;
            }
        }
        assert_eq!(Image::new(&edit.0).unwrap_err(), error);
    }
    for tag in [DT_STRTAB, DT_SYMTAB] {
        let mut edit = fresh();
        edit.remove(tag);
        assert_eq!(Image::new(&edit.0).unwrap_err(), BadImage::NoSymbols);
    }
}

#[test]
fn an_image_cut_anywhere_is_read_to_its_end_and_no_further() {
    for (kernel, machine, bytes) in IMAGES {
        let whole = parse(bytes);
        // Every length through the headers, then one in seven.
        let lengths = (0..200).chain((200..bytes.len()).step_by(7));
        for len in lengths {
            let cut = AtTheEdge::new(&bytes[..len]);
            for (part, all) in all(exercise(&cut)).into_iter().zip(all(whole)) {
                assert!(part.is_none() || part == all, "{kernel} {machine} {len}");
            }
        }
    }
}

#[test]
fn any_number_anywhere_keeps_the_parser_inside() {
    // Every eighth byte of all tables, and what follows, set to what breaks arithmetic.
    for (_, _, bytes) in IMAGES {
        let mut edge = bytes.to_vec();
        for at in (0..bytes.len().min(0x600)).step_by(8) {
            for value in [0, u64::MAX, bytes.len() as u64] {
                for size in [4, 8] {
                    let Some(field) = edge.get_mut(at..at + size) else {
                        continue;
                    };
                    field.copy_from_slice(&value.to_le_bytes()[..size]);
                    exercise(&edge);
                    edge[at..at + size].copy_from_slice(&bytes[at..at + size]);
                }
            }
        }
    }
}

/// Words that break arithmetic, and where they go.
fn words() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let word = prop_oneof![
        any::<u64>(),
        0_u64..8192,
        Just(u64::MAX),
        (0_u64..64).prop_map(|bit| 1 << bit),
    ];
    prop::collection::vec((0_usize..256, word), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_damaged_image_is_read_to_its_end_and_no_further(
        which in 0..IMAGES.len(),
        bytes in prop::collection::vec((0_usize..8192, any::<u8>()), 0..32),
        words in words(),
        cut in 0_usize..8192,
    ) {
        let mut image = IMAGES[which].2.to_vec();
        for (at, value) in words {
            // Aligned words, where the headers and tables are.
            if let Some(word) = image.get_mut(at * 8..at * 8 + 8) {
                word.copy_from_slice(&value.to_le_bytes());
            }
        }
        for (at, value) in bytes {
            let len = image.len();
            image[at % len] = value;
        }
        // Half of them whole.
        if cut < image.len() && cut % 2 == 0 {
            image.truncate(cut);
        }
        exercise(&AtTheEdge::new(&image));
    }

    #[test]
    fn bytes_that_are_no_image_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        exercise(&AtTheEdge::new(&bytes));
        let mut image = b"\x7fELF\x02\x01\x01".to_vec();
        image.extend_from_slice(&bytes);
        exercise(&AtTheEdge::new(&image));
    }
}

// ---- the running kernel ----

fn qemu_user() -> bool {
    std::fs::read("/proc/self/auxv").is_ok_and(|bytes| !bytes.windows(8).any(|w| w[0] == 33))
}

/// VDS-001, VDS-016
#[test]
fn the_running_kernel_has_the_functions_of_its_version() {
    let vdso = vdso();
    if !vdso.has(Function::ClockGettime) && qemu_user() {
        skip!("an emulator without a vDSO");
    }
    let x86 = cfg!(target_arch = "x86_64");
    assert!(vdso.has(Function::ClockGettime));
    assert!(vdso.has(Function::ClockGetres));
    assert!(vdso.has(Function::Gettimeofday));
    assert_eq!(vdso.has(Function::Time), x86);
    assert_eq!(vdso.has(Function::Getcpu), x86);
    assert_eq!(
        vdso.has(Function::Getrandom),
        kernel_is_at_least(6, if x86 { 11 } else { 12 })
    );
}

/// Every clock that the vDSO may answer from memory, and those for which it
/// enters the kernel.
const CLOCKS: [ClockId; 9] = [
    ClockId::REALTIME,
    ClockId::MONOTONIC,
    ClockId::PROCESS_CPUTIME_ID,
    ClockId::THREAD_CPUTIME_ID,
    ClockId::MONOTONIC_RAW,
    ClockId::REALTIME_COARSE,
    ClockId::MONOTONIC_COARSE,
    ClockId::BOOTTIME,
    ClockId::TAI,
];

/// VDS-002, VDS-013
#[test]
fn a_clock_never_steps_back_between_vdso_and_system_call() {
    let vdso = vdso();
    if !vdso.has(Function::ClockGettime) {
        skip!("no vDSO");
    }
    for clock in CLOCKS {
        for _ in 0..1000 {
            let before = time::clock_gettime(clock).unwrap();
            let between = vdso.clock_gettime(clock).unwrap();
            let after = time::clock_gettime(clock).unwrap();
            assert!(before <= between, "{clock:?}: {before:?} {between:?}");
            assert!(between <= after, "{clock:?}: {between:?} {after:?}");
            assert!((0..1_000_000_000).contains(&between.tv_nsec));
        }
    }
}

/// VDS-004
#[test]
fn clock_getres_says_what_the_system_call_says() {
    let vdso = vdso();
    if !vdso.has(Function::ClockGetres) {
        skip!("no vDSO");
    }
    for clock in CLOCKS {
        assert_eq!(
            vdso.clock_getres(clock),
            time::clock_getres(clock),
            "{clock:?}"
        );
    }
}

#[test]
fn a_clock_that_does_not_exist_is_einval_from_both() {
    let vdso = vdso();
    if !vdso.has(Function::ClockGettime) {
        skip!("no vDSO");
    }
    for number in [10, 12, 15, 24, 1000, i32::MAX, i32::MIN, -1] {
        let clock = ClockId::from_raw(number);
        let syscall = time::clock_gettime(clock);
        assert_eq!(syscall.map(drop), Err(Errno::EINVAL), "{number}");
        assert_eq!(vdso.clock_gettime(clock), Err(Errno::EINVAL), "{number}");
        assert_eq!(vdso.clock_getres(clock), Err(Errno::EINVAL), "{number}");
    }
}

/// VDS-006
#[test]
fn gettimeofday_agrees_with_the_system_call_with_and_without_a_zone() {
    let vdso = vdso();
    if !vdso.has(Function::Gettimeofday) {
        skip!("no vDSO");
    }
    for _ in 0..1000 {
        let before = time::gettimeofday().unwrap();
        let plain = vdso.gettimeofday().unwrap();
        let (zoned, _) = vdso.gettimeofday_tz().unwrap();
        let after = time::gettimeofday().unwrap();
        assert!(before <= plain && plain <= zoned && zoned <= after);
        assert!((0..1_000_000).contains(&plain.tv_usec));
    }
    let (_, zone) = vdso.gettimeofday_tz().unwrap();
    let mut libc_zone = [i32::MAX; 2];
    // SAFETY: two ints are a `struct timezone`.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_gettimeofday,
            core::ptr::null_mut::<libc::timeval>(),
            libc_zone.as_mut_ptr(),
        )
    };
    assert_eq!(ret, 0);
    assert_eq!([zone.tz_minuteswest, zone.tz_dsttime], libc_zone);
}

#[test]
fn time_is_the_second_of_the_coarse_clock() {
    let vdso = vdso();
    if !vdso.has(Function::Time) {
        assert_eq!(vdso.time(), Err(Errno::ENOSYS));
        return;
    }
    let before = time::clock_gettime(ClockId::REALTIME_COARSE).unwrap();
    let now = vdso.time().unwrap();
    let after = time::clock_gettime(ClockId::REALTIME_COARSE).unwrap();
    assert!(before.tv_sec <= now && now <= after.tv_sec);
}

/// VDS-005
#[test]
fn getcpu_is_where_the_thread_is_pinned() {
    let vdso = vdso();
    if !vdso.has(Function::Getcpu) {
        assert_eq!(vdso.getcpu(), Err(Errno::ENOSYS));
        assert!(vdso.getcpu_or_syscall().is_ok());
        return;
    }
    // A thread of its own, so that no other test is pinned.
    std::thread::spawn(move || {
        // SAFETY: plain data, and this thread only.
        unsafe {
            let mut may: libc::cpu_set_t = core::mem::zeroed();
            let size = size_of_val(&may);
            assert_eq!(libc::sched_getaffinity(0, size, &raw mut may), 0);
            for cpu in 0..libc::CPU_SETSIZE as usize {
                if !libc::CPU_ISSET(cpu, &may) {
                    continue;
                }
                let mut one: libc::cpu_set_t = core::mem::zeroed();
                libc::CPU_SET(cpu, &mut one);
                assert_eq!(libc::sched_setaffinity(0, size, &raw const one), 0);
                let (mut there, mut node) = (0_u32, 0_u32);
                let ret = libc::syscall(
                    libc::SYS_getcpu,
                    &raw mut there,
                    &raw mut node,
                    core::ptr::null::<u8>(),
                );
                assert_eq!((ret, there as usize), (0, cpu));
                assert_eq!(vdso.getcpu(), Ok((there, node)));
                assert_eq!(Vdso::NONE.getcpu_or_syscall(), Ok((there, node)));
            }
        }
    })
    .join()
    .unwrap();
}

#[test]
fn no_vdso_is_enosys_or_the_system_call_where_the_name_says_so() {
    let none = Vdso::NONE;
    let clock = ClockId::MONOTONIC;
    assert_eq!(none.clock_gettime(clock), Err(Errno::ENOSYS));
    assert_eq!(none.clock_getres(clock), Err(Errno::ENOSYS));
    assert_eq!(none.gettimeofday(), Err(Errno::ENOSYS));
    assert_eq!(none.gettimeofday_tz(), Err(Errno::ENOSYS));
    assert_eq!(none.time(), Err(Errno::ENOSYS));
    assert_eq!(none.getcpu(), Err(Errno::ENOSYS));
    assert_eq!(none.getrandom_params(), Err(Errno::ENOSYS));
    assert_eq!(StatePool::<1>::map(&none).unwrap_err(), Errno::ENOSYS);

    assert!(none.clock_gettime_or_syscall(clock).unwrap() > Timespec::ZERO);
    assert!(none.clock_getres_or_syscall(clock).unwrap() > Timespec::ZERO);
    assert!(none.gettimeofday_or_syscall().unwrap().tv_sec > 0);
    let mut bytes = [0; 32];
    let made = none.getrandom_or_syscall(&mut bytes, GetrandomFlags::empty(), None);
    assert_eq!(made, Ok(32));
    assert_ne!(bytes, [0; 32]);
}

/// VDS-011
#[test]
fn a_write_to_the_vdso_or_to_its_data_is_a_sigsegv() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut tried = 0;
    for line in maps.lines() {
        if !line.ends_with("[vvar]") && !line.ends_with("[vdso]") {
            continue;
        }
        let start = usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        tried += 1;
        // SAFETY: the child only writes where it must not.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let none = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                core::ptr::with_exposed_provenance_mut::<u8>(start).write_volatile(1);
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert!(libc::WIFSIGNALED(status), "{line}: {status:#x}");
            assert_eq!(libc::WTERMSIG(status), libc::SIGSEGV, "{line}");
        }
    }
    if tried == 0 {
        skip!("no vDSO");
    }
}

// ---- getrandom ----

/// A vDSO that has getrandom, or the proof that this kernel rightly has none.
fn with_getrandom() -> Option<Vdso> {
    let vdso = vdso();
    if vdso.has(Function::Getrandom) {
        return Some(vdso);
    }
    assert!(
        !kernel_is_at_least(6, 12) || qemu_user(),
        "6.12 has it on both architectures"
    );
    assert_eq!(vdso.getrandom_params(), Err(Errno::ENOSYS));
    assert_eq!(StatePool::<1>::map(&vdso).unwrap_err(), Errno::ENOSYS);
    let mut bytes = [0; 16];
    let made = vdso.getrandom_or_syscall(&mut bytes, GetrandomFlags::empty(), None);
    assert_eq!(made, Ok(16));
    None
}

#[test]
fn the_kernel_wants_droppable_memory_for_a_state() {
    let Some(vdso) = with_getrandom() else { return };
    let params = vdso.getrandom_params().unwrap();
    assert!((64..=4096).contains(&params.size_of_opaque_state));
    assert_eq!(
        params.mmap_prot,
        (libc::PROT_READ | libc::PROT_WRITE) as u32
    );
    const MAP_DROPPABLE: u32 = 8;
    assert_eq!(
        params.mmap_flags,
        MAP_DROPPABLE | libc::MAP_ANONYMOUS as u32
    );
    assert_eq!(params.reserved, [0; 13]);
}

#[test]
fn getrandom_fills_any_length_and_leaves_the_rest_alone() {
    let Some(vdso) = with_getrandom() else { return };
    let pool = StatePool::<1>::map(&vdso).unwrap();
    let mut state = pool.take().unwrap();
    let none = GetrandomFlags::empty();
    for len in (0..200).chain([255, 256, 257, 1000, 4096, 65536]) {
        let mut bytes = vec![0; len + 32];
        assert_eq!(
            vdso.getrandom(&mut bytes[16..16 + len], none, &mut state),
            Ok(len)
        );
        assert!(
            bytes[..16]
                .iter()
                .chain(&bytes[16 + len..])
                .all(|&byte| byte == 0)
        );
        if len >= 16 {
            // A run of 16 zeros is not random.
            let zeros = bytes[16..16 + len]
                .windows(16)
                .filter(|run| run == &[0; 16]);
            assert_eq!(zeros.count(), 0, "{len}");
        }
    }
    let mut uninit = [core::mem::MaybeUninit::uninit(); 48];
    let made = vdso
        .getrandom_uninit(&mut uninit, none, &mut state)
        .unwrap();
    assert_eq!(made.len(), 48);
}

#[test]
fn getrandom_never_repeats_itself_in_one_state_or_in_two() {
    let Some(vdso) = with_getrandom() else { return };
    let pool = StatePool::<2>::map(&vdso).unwrap();
    assert_eq!(pool.capacity(), 128);
    let mut states: Vec<_> = core::iter::from_fn(|| pool.take()).collect();
    assert_eq!(states.len(), 128);
    let mut seen = HashSet::new();
    for _ in 0..50 {
        for state in &mut states {
            let mut bytes = [0; 16];
            vdso.getrandom(&mut bytes, GetrandomFlags::empty(), state)
                .unwrap();
            assert!(seen.insert(bytes));
        }
    }
}

/// ABI-012, through the vDSO
#[test]
fn getrandom_passes_flags_on_and_refuses_what_the_system_call_refuses() {
    let Some(vdso) = with_getrandom() else { return };
    let pool = StatePool::<1>::map(&vdso).unwrap();
    let mut state = pool.take().unwrap();
    let mut bytes = [0; 16];
    for flags in [
        GetrandomFlags::NONBLOCK,
        GetrandomFlags::INSECURE,
        GetrandomFlags::RANDOM,
    ] {
        assert_eq!(vdso.getrandom(&mut bytes, flags, &mut state), Ok(16));
    }
    let unknown = GetrandomFlags::from_bits_retain(0xff);
    let refused = vdso.getrandom(&mut bytes, unknown, &mut state);
    assert_eq!(refused, Err(Errno::EINVAL));
    let refused = barecall::system::getrandom(&mut bytes, unknown);
    assert_eq!(refused, Err(Errno::EINVAL));
    // Here the two differ: the vDSO does not look.
    let both = GetrandomFlags::INSECURE | GetrandomFlags::RANDOM;
    assert_eq!(vdso.getrandom(&mut bytes, both, &mut state), Ok(16));
    let refused = barecall::system::getrandom(&mut bytes, both);
    assert_eq!(refused, Err(Errno::EINVAL));
}

#[test]
fn a_pool_gives_each_state_once_until_it_is_returned() {
    let Some(vdso) = with_getrandom() else { return };
    let pool = StatePool::<1>::map(&vdso).unwrap();
    let mut held: Vec<_> = core::iter::from_fn(|| pool.take()).collect();
    assert_eq!(held.len(), pool.capacity());
    assert_eq!(pool.capacity(), 64);
    assert!(pool.take().is_none());
    assert_eq!(
        format!("{pool:?}"),
        "StatePool { capacity: 64, taken: 64, .. }"
    );
    drop(held.swap_remove(17));
    let again = pool.take();
    assert!(again.is_some());
    assert!(pool.take().is_none());
    drop((held, again));
    assert_eq!(
        format!("{pool:?}"),
        "StatePool { capacity: 64, taken: 0, .. }"
    );
    assert_eq!(StatePool::<0>::map(&vdso).unwrap_err(), Errno::EINVAL);
}

#[test]
fn threads_that_share_a_pool_never_see_the_same_bytes() {
    let Some(vdso) = with_getrandom() else { return };
    let pool = StatePool::<1>::map(&vdso).unwrap();
    let all: Vec<HashSet<[u8; 16]>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = HashSet::new();
                    for _ in 0..2000 {
                        // A state for one call: the worst case for the pool.
                        let mut state = pool.take().unwrap();
                        let mut bytes = [0; 16];
                        vdso.getrandom(&mut bytes, GetrandomFlags::empty(), &mut state)
                            .unwrap();
                        assert!(seen.insert(bytes));
                    }
                    seen
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let union: HashSet<_> = all.iter().flatten().collect();
    assert_eq!(union.len(), 8 * 2000);
    assert!(format!("{pool:?}").contains("taken: 0"));
}

#[test]
fn a_forked_child_does_not_repeat_its_parents_bytes() {
    let Some(vdso) = with_getrandom() else { return };
    let pool = StatePool::<1>::map(&vdso).unwrap();
    let mut state = pool.take().unwrap();
    let none = GetrandomFlags::empty();
    // Warm: keys made, and bytes for later batched.
    vdso.getrandom(&mut [0; 5], none, &mut state).unwrap();
    let mut pipe = [0; 2];
    // SAFETY: the child makes bytes, writes them and ends.
    unsafe {
        assert_eq!(libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC), 0);
        let child = libc::fork();
        if child == 0 {
            let mut bytes = [0; 64];
            let made = vdso.getrandom(&mut bytes, none, &mut state);
            // Another one, that this process takes itself.
            let mut more = [0; 64];
            let again = pool
                .take()
                .and_then(|mut state| vdso.getrandom(&mut more, none, &mut state).ok());
            let ok = made == Ok(64) && again == Some(64);
            libc::write(pipe[1], bytes.as_ptr().cast(), 64);
            libc::write(pipe[1], more.as_ptr().cast(), 64);
            libc::_exit(i32::from(!ok));
        }
        let mut ours = [0; 64];
        assert_eq!(vdso.getrandom(&mut ours, none, &mut state), Ok(64));
        let mut theirs = [0_u8; 128];
        let mut at = 0;
        libc::close(pipe[1]);
        while at < 128 {
            let n = libc::read(pipe[0], theirs[at..].as_mut_ptr().cast(), 128 - at);
            assert!(n > 0);
            at += n as usize;
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert_eq!(status, 0);
        libc::close(pipe[0]);
        let pieces: HashSet<&[u8]> = ours.chunks(8).chain(theirs.chunks(8)).collect();
        assert_eq!(pieces.len(), 24);
    }
}

#[test]
fn a_pool_gives_its_memory_back() {
    let Some(vdso) = with_getrandom() else { return };
    // Each maps 24 kB; a leak would reach the limit of 65530 mappings.
    for _ in 0..70_000 {
        let pool = StatePool::<1>::map(&vdso).unwrap();
        assert!(pool.take().is_some());
    }
}
