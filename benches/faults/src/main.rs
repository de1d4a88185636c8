//! Nanoseconds per page fault of the textbook loop: one message read, one page
//! copied, the handler on the processor of the thread that faults. Three
//! implementations take turns, so that what disturbs one disturbs all; the
//! numbers are medians, and mean something only as ratios of one run.

use std::time::Instant;

const SIZE: usize = 4096;
const PAGES: usize = 8192;
const ROUNDS: usize = 25;

static PAGE: [u8; SIZE] = [0xab; SIZE];

extern "C" fn touch(memory: *mut u8, pages: usize, size: usize) {
    let start = Instant::now();
    for i in 0..pages {
        // SAFETY: mapped, and written only here.
        unsafe { memory.add(i * size).write_volatile(1) };
    }
    let ns = start.elapsed().as_nanos() as f64 / pages as f64;
    // SAFETY: written and read by this thread alone.
    unsafe { LAST = ns };
}

static mut LAST: f64 = 0.0;

unsafe extern "C" {
    fn c_faults(
        pages: usize,
        size: usize,
        page: *const u8,
        touch: extern "C" fn(*mut u8, usize, usize),
    ) -> i32;
}

fn c() {
    // SAFETY: as declared in faults.c.
    let failed = unsafe { c_faults(PAGES, SIZE, PAGE.as_ptr(), touch) };
    assert_eq!(failed, 0);
}

fn barecall() {
    use barecall::userfaultfd::{Event, MappedRegion, RegisterModes, UserfaultfdOptions};
    let options = UserfaultfdOptions::new().blocking(true);
    let uffd = options.open_syscall().unwrap().userfaultfd;
    let memory = MappedRegion::anonymous(&uffd, PAGES * SIZE, RegisterModes::MISSING).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PAGES {
                match uffd.read_event().unwrap() {
                    Event::Missing(fault) => fault.copy(&PAGE).unwrap(),
                    other => panic!("{other:?}"),
                };
            }
        });
        touch(memory.as_ptr(), PAGES, SIZE);
    });
}

fn userfaultfd_rs() {
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
            for _ in 0..PAGES {
                match uffd.read_event().unwrap() {
                    Some(Event::Pagefault { addr, .. }) => {
                        let dst = (addr as usize & !(SIZE - 1)) as *mut _;
                        // SAFETY: a missing page of ours.
                        unsafe { uffd.copy(PAGE.as_ptr().cast(), dst, SIZE, true) }.unwrap();
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

fn main() {
    // Threads inherit it.
    let mut cpu = barecall::thread::CpuSet::<16>::default();
    cpu.insert(0);
    barecall::thread::sched_setaffinity(None, &cpu).expect("CPU 0");

    let variants: [(&str, fn()); 3] = [
        ("C", c),
        ("barecall", barecall),
        ("userfaultfd-rs", userfaultfd_rs),
    ];
    let mut samples = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for turn in 0..3 {
            let which = (round + turn) % 3;
            variants[which].1();
            // The first round warms up.
            if round > 0 {
                // SAFETY: as in `touch`.
                samples[which].push(unsafe { LAST });
            }
        }
    }
    let medians = samples.map(|mut ns| {
        ns.sort_by(f64::total_cmp);
        (ns[ns.len() / 2], ns[ns.len() / 4], ns[ns.len() * 3 / 4])
    });
    println!("{PAGES} pages of {SIZE} bytes, {ROUNDS} rounds, one processor");
    for ((name, _), (median, low, high)) in variants.iter().zip(medians) {
        let ratio = medians[0].0 / median;
        println!(
            "{name:>15}: {median:6.0} ns a fault (quartiles {low:.0} to {high:.0}), \
             {:7.0} faults/s, {ratio:.3} of C",
            1e9 / median
        );
    }
}
