//! Time of a call, in each way there is to make it.
//!
//! `cargo bench --manifest-path benches/calls/Cargo.toml`. The kernel takes
//! nearly all of it: what the ways differ in is a handful of instructions, and
//! where the compiler happens to put a loop moves it by as much (up to 4 %, also
//! below the loop in assembly, which is aligned). Differences of a few per cent
//! mean nothing here; src/lib.rs is where the ways can be told apart.

#[path = "../../common/mod.rs"]
mod common;

use barecall::fs::{self, Mode, OFlags};
use barecall::{arch, io, nr};
use common::{Way, race, rounds, timed, way};
use std::arch::asm;
use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

const CALLS: u32 = 4000;
const ROUNDS: usize = 501;

/// The limit: a loop that is nothing but the call.
#[cfg(target_arch = "x86_64")]
fn asm_loop() {
    // SAFETY: getppid takes nothing and changes nothing.
    unsafe {
        asm!(
            ".p2align 5",
            "2:",
            "mov eax, 110",
            "syscall",
            "dec {n:e}",
            "jnz 2b",
            n = inout(reg) CALLS => _,
            out("rax") _,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
}

/// The limit: a loop that is nothing but the call.
#[cfg(target_arch = "aarch64")]
fn asm_loop() {
    // SAFETY: getppid takes nothing and changes nothing.
    unsafe {
        asm!(
            ".p2align 5",
            "2:",
            "svc 0",
            "subs {n:w}, {n:w}, #1",
            "b.ne 2b",
            n = inout(reg) CALLS => _,
            in("x8") 173,
            out("x0") _,
            options(nostack),
        );
    }
}

fn getppid() {
    let limit = || {
        let start = Instant::now();
        asm_loop();
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let ways: Vec<Way<'_>> = vec![
        timed("asm loop", limit),
        way("barecall, raw", CALLS, || {
            // SAFETY: getppid takes nothing and changes nothing.
            black_box(unsafe { arch::syscall0(nr::GETPPID) });
        }),
        way("barecall", CALLS, || {
            black_box(barecall::process::getppid());
        }),
        way("sc", CALLS, || {
            // SAFETY: as above.
            black_box(unsafe { sc::syscall!(GETPPID) });
        }),
        way("syscalls", CALLS, || {
            // SAFETY: as above.
            black_box(unsafe { syscalls::raw_syscall!(syscalls::Sysno::getppid) });
        }),
        way("linux-syscall", CALLS, || {
            // SAFETY: as above.
            let ret = unsafe { linux_syscall::syscall!(linux_syscall::SYS_getppid) };
            black_box(ret.as_usize_unchecked());
        }),
        way("rustix", CALLS, || {
            black_box(rustix::process::getppid());
        }),
        way("libc::getppid", CALLS, || {
            // SAFETY: as above.
            black_box(unsafe { libc::getppid() });
        }),
        way("libc::syscall", CALLS, || {
            // SAFETY: as above.
            black_box(unsafe { libc::syscall(libc::SYS_getppid) });
        }),
    ];
    race("time", "getppid", "ns", rounds(ROUNDS), ways);
}

fn write_null() {
    let null = fs::openat(
        fs::CWD,
        c"/dev/null",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let null = null.expect("/dev/null");
    let fd = null.as_raw_fd();
    // SAFETY: open as long as `null`.
    let theirs = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
    let file = std::fs::File::create("/dev/null").expect("/dev/null");
    let bytes: &[u8; 64] = black_box(&[b'x'; 64]);
    let ways: Vec<Way<'_>> = vec![
        way("barecall", CALLS, || {
            let _ = black_box(io::write(&null, bytes));
        }),
        way("sc", CALLS, || {
            // SAFETY: 64 bytes.
            black_box(unsafe { sc::syscall!(WRITE, fd, bytes.as_ptr(), 64) });
        }),
        way("syscalls", CALLS, || {
            // SAFETY: 64 bytes.
            let ret = unsafe { syscalls::syscall!(syscalls::Sysno::write, fd, bytes.as_ptr(), 64) };
            let _ = black_box(ret);
        }),
        way("rustix", CALLS, || {
            let _ = black_box(rustix::io::write(theirs, bytes));
        }),
        way("libc::write", CALLS, || {
            // SAFETY: 64 bytes.
            black_box(unsafe { libc::write(fd, bytes.as_ptr().cast(), 64) });
        }),
        way("std::fs::File", CALLS, || {
            let _ = black_box((&file).write(bytes));
        }),
    ];
    race(
        "time",
        "write of 64 bytes to /dev/null",
        "ns",
        rounds(ROUNDS),
        ways,
    );
}

fn memfd_cycle() {
    let ways: Vec<Way<'_>> = vec![
        way("barecall", 200, || {
            let file = barecall::memfd::MemfdOptions::new()
                .create(c"cycle")
                .expect("a memfd");
            file.set_len(4096).expect("a page");
            io::close(file.into()).expect("it was open");
        }),
        way("rustix", 200, || {
            let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::NOEXEC_SEAL;
            let file = rustix::fs::memfd_create(c"cycle", flags).expect("a memfd");
            rustix::fs::ftruncate(&file, 4096).expect("a page");
            drop(file);
        }),
        way("libc", 200, || {
            // SAFETY: a string, and the descriptor that it gives.
            unsafe {
                let flags = libc::MFD_CLOEXEC | libc::MFD_NOEXEC_SEAL;
                let fd = libc::memfd_create(c"cycle".as_ptr(), flags);
                assert!(fd >= 0);
                assert_eq!(libc::ftruncate(fd, 4096), 0);
                assert_eq!(libc::close(fd), 0);
            }
        }),
    ];
    race(
        "time",
        "memfd_create, ftruncate, close",
        "ns",
        rounds(ROUNDS),
        ways,
    );
}

fn main() {
    getppid();
    write_null();
    memfd_cycle();
}
