//! Nanoseconds a page that a thread touches first, one byte of each: how plain C,
//! barecall and userfaultfd-rs serve the fault, in the textbook loop (one message
//! read, one page copied) and in the ways around its cost. All on one processor.
//!
//! `cargo bench --manifest-path benches/faults/Cargo.toml`

#[path = "../../common/mod.rs"]
mod common;

use barecall::userfaultfd::{
    CopyFlags, Event, MappedRegion, RegisterModes, Userfaultfd, UserfaultfdOptions,
};
use common::{Way, race, rounds, timed};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

const SIZE: usize = 4096;
const PAGES: usize = 8192;
const ROUNDS: usize = 25;
const BLOCK: usize = 16 * SIZE;

static PAGE: [u8; BLOCK] = [0xab; BLOCK];

/// Nanoseconds a page.
static LAST: AtomicU64 = AtomicU64::new(0);

extern "C" fn touch(memory: *mut u8, pages: usize, size: usize) {
    let start = Instant::now();
    for i in 0..pages {
        // SAFETY: mapped, and written only here.
        unsafe { memory.add(i * size).write_volatile(1) };
    }
    let ns = start.elapsed().as_nanos() as f64 / pages as f64;
    LAST.store(ns.to_bits(), Relaxed);
}

fn last() -> f64 {
    f64::from_bits(LAST.load(Relaxed))
}

unsafe extern "C" {
    fn c_faults(
        pages: usize,
        size: usize,
        page: *const u8,
        block: usize,
        touch: extern "C" fn(*mut u8, usize, usize),
    ) -> i32;
}

fn c(block: usize) {
    // SAFETY: as declared in faults.c.
    let failed = unsafe { c_faults(PAGES, SIZE, PAGE.as_ptr(), block, touch) };
    assert_eq!(failed, 0);
}

fn open() -> Userfaultfd {
    let options = UserfaultfdOptions::new().blocking(true);
    options.open_syscall().expect("userfaultfd").userfaultfd
}

fn barecall(block: usize) {
    let uffd = open();
    let memory = MappedRegion::anonymous(&uffd, PAGES * SIZE, RegisterModes::MISSING).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PAGES * SIZE / block {
                match uffd.read_event().unwrap() {
                    Event::Missing(fault) if block == SIZE => {
                        fault.copy(&PAGE[..SIZE]).unwrap();
                    }
                    Event::Missing(fault) => {
                        let to = fault.address() & !(block - 1);
                        let filled = uffd.copy_once(to, &PAGE[..block], CopyFlags::empty());
                        assert_eq!(filled.done, block);
                        fault.resolved();
                    }
                    other => panic!("{other:?}"),
                };
            }
        });
        touch(memory.as_ptr(), PAGES, SIZE);
    });
}

fn userfaultfd_rs(block: usize) {
    use userfaultfd::{Event, UffdBuilder};
    let uffd = UffdBuilder::new().close_on_exec(true).create().unwrap();
    // SAFETY: a new mapping.
    let memory = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), PAGES * SIZE, prot, flags, -1, 0)
    };
    uffd.register(memory, PAGES * SIZE).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PAGES * SIZE / block {
                match uffd.read_event().unwrap() {
                    Some(Event::Pagefault { addr, .. }) => {
                        let dst = (addr as usize & !(block - 1)) as *mut _;
                        // SAFETY: a missing page of ours.
                        unsafe { uffd.copy(PAGE.as_ptr().cast(), dst, block, true) }.unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        touch(memory.cast(), PAGES, SIZE);
    });
    // SAFETY: ours.
    unsafe { libc::munmap(memory, PAGES * SIZE) };
}

/// Memory that nobody serves.
fn map(populate: bool) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let flags = flags | if populate { libc::MAP_POPULATE } else { 0 };
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping; without huge pages, which userfaultfd does not use.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), PAGES * SIZE, prot, flags, -1, 0);
        libc::madvise(memory, PAGES * SIZE, libc::MADV_NOHUGEPAGE);
        memory.cast()
    }
}

/// The floor: the kernel fills with zeros.
fn zeros() {
    let memory = map(false);
    touch(memory, PAGES, SIZE);
    // SAFETY: ours.
    unsafe { libc::munmap(memory.cast(), PAGES * SIZE) };
}

/// And the contents are copied after that.
fn zeros_and_copy() {
    let memory = map(false);
    let start = Instant::now();
    for i in 0..PAGES {
        // SAFETY: mapped.
        unsafe { memory.add(i * SIZE).copy_from(PAGE.as_ptr(), SIZE) };
    }
    let ns = start.elapsed().as_nanos() as f64 / PAGES as f64;
    LAST.store(ns.to_bits(), Relaxed);
    // SAFETY: ours.
    unsafe { libc::munmap(memory.cast(), PAGES * SIZE) };
}

/// No fault at all: filled beforehand, 64 KiB at a time.
fn prefetch() {
    let uffd = open();
    let memory = MappedRegion::anonymous(&uffd, PAGES * SIZE, RegisterModes::MISSING).unwrap();
    let start = Instant::now();
    for at in (0..PAGES * SIZE).step_by(BLOCK) {
        let to = memory.range().start() + at;
        let filled = uffd.copy_once(to, &PAGE, CopyFlags::empty());
        assert_eq!(filled.done, BLOCK);
    }
    let ns = start.elapsed().as_nanos() as f64 / PAGES as f64;
    LAST.store(ns.to_bits(), Relaxed);
}

fn main() {
    // Threads inherit it.
    let mut cpu = barecall::thread::CpuSet::<16>::default();
    cpu.insert(0);
    barecall::thread::sched_setaffinity(None, &cpu).expect("CPU 0");

    fn turn(name: &'static str, run: impl Fn() + 'static) -> Way<'static> {
        timed(name, move || {
            run();
            last()
        })
    }
    for (case, block) in [
        ("missing page, 4 KiB, textbook", SIZE),
        ("missing page, 64 KiB a fault", BLOCK),
    ] {
        let ways = vec![
            turn("C", move || c(block)),
            turn("barecall", move || barecall(block)),
            turn("userfaultfd-rs", move || userfaultfd_rs(block)),
        ];
        race("faults", case, "ns", rounds(ROUNDS), ways);
    }
    let ways = vec![
        turn("barecall, textbook", || barecall(SIZE)),
        turn("barecall, 64 KiB a fault", || barecall(BLOCK)),
        turn("barecall, filled before, 64 KiB a call", prefetch),
        turn("the kernel: zeros", zeros),
        turn("the kernel: zeros, then memcpy", zeros_and_copy),
    ];
    race(
        "faults",
        "what is possible, a page",
        "ns",
        rounds(ROUNDS),
        ways,
    );
}
