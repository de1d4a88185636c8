//! The vDSO through this crate, against a call by hand, libc, rustix and the
//! system call, in one run.
//!
//! `cargo bench --bench vdso`. The contenders take turns, a few thousand calls
//! each, many times over. Absolute times are this machine's, the ratios are what
//! to look at.

use barecall::auxv::{Auxv, Entry};
use barecall::system::{self, GetrandomFlags};
use barecall::time::{self, ClockId, Timespec};
use barecall::vdso::{Function, Image, StatePool, Vdso};
use common::{race, rounds, way};
use std::hint::black_box;

#[path = "common/mod.rs"]
mod common;

const CALLS: u32 = 2000;
const ROUNDS: usize = 1001;

fn main() {
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let auxv = Auxv::read_proc(&mut entries).expect("/proc/self/auxv");
    // SAFETY: the kernel's vector of this process.
    let vdso = unsafe { Vdso::from_auxv(auxv) };
    if !vdso.has(Function::ClockGettime) {
        println!("no vDSO here");
        return;
    }

    // By hand: the address, and nothing but the call.
    type Hand = unsafe extern "C" fn(i32, *mut Timespec) -> i32;
    let start = auxv.sysinfo_ehdr().expect("there is one").cast::<u8>();
    // SAFETY: the vDSO is at least two pages of the smallest size.
    let bytes = unsafe { std::slice::from_raw_parts(start, 8192.min(vdso_len())) };
    let (name, version) = if cfg!(target_arch = "x86_64") {
        (c"__vdso_clock_gettime", c"LINUX_2.6")
    } else {
        (c"__kernel_clock_gettime", c"LINUX_2.6.39")
    };
    let offset = Image::new(bytes)
        .expect("an image")
        .find(name, version)
        .expect("clock_gettime");
    // SAFETY: the function of this name.
    let hand = unsafe { std::mem::transmute::<*const u8, Hand>(start.wrapping_add(offset)) };

    let clock = ClockId::MONOTONIC;
    race(
        "vdso",
        "clock_gettime(CLOCK_MONOTONIC)",
        "ns",
        rounds(ROUNDS),
        vec![
            way("vDSO by hand", CALLS, || {
                let mut now = Timespec::ZERO;
                // SAFETY: it fills a timespec.
                let ret = unsafe { black_box(hand)(1, &raw mut now) };
                black_box((ret, now));
            }),
            way("Vdso::clock_gettime", CALLS, || {
                let _ = black_box(black_box(&vdso).clock_gettime(clock));
            }),
            way("Vdso::clock_gettime_or_syscall", CALLS, || {
                let _ = black_box(black_box(&vdso).clock_gettime_or_syscall(clock));
            }),
            way("libc", CALLS, || {
                let mut now = libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                // SAFETY: it fills a timespec.
                let ret = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
                black_box((ret, now));
            }),
            way("rustix", CALLS, || {
                black_box(rustix::time::clock_gettime(
                    rustix::time::ClockId::Monotonic,
                ));
            }),
            way("time::clock_gettime (system call)", CALLS, || {
                let _ = black_box(time::clock_gettime(clock));
            }),
        ],
    );

    let flags = GetrandomFlags::empty();
    let Ok(pool) = StatePool::<1>::map(&vdso) else {
        println!("no getrandom in this vDSO");
        return;
    };
    let mut state = pool.take().expect("64 of them");
    race(
        "vdso",
        "getrandom, 16 bytes",
        "ns",
        rounds(ROUNDS),
        vec![
            way("system::getrandom (system call)", CALLS, || {
                let mut bytes = [0; 16];
                let _ = black_box(system::getrandom(&mut bytes, flags));
                black_box(bytes);
            }),
            way("Vdso::getrandom, state held", CALLS, || {
                let mut bytes = [0; 16];
                let _ = black_box(vdso.getrandom(&mut bytes, flags, &mut state));
                black_box(bytes);
            }),
            way("Vdso::getrandom, state per call", CALLS, || {
                let mut bytes = [0; 16];
                if let Some(mut state) = pool.take() {
                    let _ = black_box(vdso.getrandom(&mut bytes, flags, &mut state));
                }
                black_box(bytes);
            }),
            way("libc::getrandom", CALLS, || {
                let mut bytes = [0_u8; 16];
                // SAFETY: as many bytes as there are.
                let ret = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 16, 0) };
                black_box((ret, bytes));
            }),
        ],
    );
}

/// How many bytes are mapped, by /proc/self/maps.
fn vdso_len() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("a mounted /proc");
    let line = maps.lines().find(|line| line.ends_with("[vdso]"));
    let (start, end) = line
        .and_then(|line| line.split(' ').next()?.split_once('-'))
        .expect("a vDSO");
    let number = |hex| usize::from_str_radix(hex, 16).expect("an address");
    number(end) - number(start)
}
