//! Functions that are only a call: each call in each way there is to make it.
//! `benches/run` counts their instructions, `ret` included, and what they call.
//!
//! All take what the call takes, widened by nobody before. By hand, raw, and by
//! the crates without types, what comes out is the register. Of the others, it
//! is what a caller gets to branch on: the crate's own `Result`, and for libc
//! (whose error is behind a call) the number or the negative errno.
#![no_std]
#![allow(clippy::missing_safety_doc)]

/// One function for each way, as `CALL.WAY` in the object file.
macro_rules! sites {
    ($call:ident: $($way:ident($($arg:ident: $type:ty),*) -> $out:ty $body:block)*) => {
        #[allow(clippy::undocumented_unsafe_blocks, unused_unsafe)]
        pub mod $call {
            use super::*;
            $(
                #[inline(never)]
                #[unsafe(export_name = concat!(stringify!($call), ".", stringify!($way)))]
                pub unsafe fn $way($($arg: $type),*) -> $out {
                    unsafe { $body }
                }
            )*
        }
    };
}

use barecall::arch::Reg;
use barecall::fd::{BorrowedFd, OwnedFd};
use barecall::kcmp::Relation;
use barecall::memfd::{Memfd, MemfdOptions};
use barecall::process::Pid;
use barecall::syscall::Arg;
use barecall::time::{ClockId, Timespec};
use barecall::userfaultfd::{CopyFlags, Filled, PageRange, Userfaultfd};
use barecall::vdso::Vdso;
use barecall::{Errno, arch, io, nr, syscall};
use core::ffi::{CStr, c_long};
use linux_syscall::{Result as _, Result64 as _};

type LinuxSyscall<T> = Result<T, linux_errno::Error>;

/// What a caller of libc does to know what went wrong.
#[inline(always)]
fn checked(ret: isize) -> isize {
    if ret == -1 {
        // SAFETY: the thread's own.
        return -unsafe { *libc::__errno_location() } as isize;
    }
    ret
}

/// `struct uffdio_copy`.
#[repr(C)]
pub struct UffdioCopy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copy: i64,
}

const UFFDIO_COPY: u32 = 0xc028_aa03;
const KCMP_FILE: i32 = 0;

/// Inline assembly as one writes it by hand, without any check of the answer.
#[cfg(target_arch = "x86_64")]
#[path = "hand/x86_64.rs"]
mod hand;
#[cfg(target_arch = "aarch64")]
#[path = "hand/aarch64.rs"]
mod hand;

sites! { getppid:
    hand() -> isize { hand::call0(hand::GETPPID) }
    raw() -> Reg { arch::syscall0(nr::GETPPID) }
    typed() -> Option<Pid> { barecall::process::getppid() }
    libc() -> i32 { libc::getppid() }
    libc_syscall() -> c_long { libc::syscall(libc::SYS_getppid) }
    rustix() -> Option<rustix::process::Pid> { rustix::process::getppid() }
    sc() -> usize { sc::syscall!(GETPPID) }
    syscalls() -> usize { syscalls::raw_syscall!(syscalls::Sysno::getppid) }
    linux_syscall() -> usize { linux_syscall::syscall!(linux_syscall::SYS_getppid).as_usize_unchecked() }
}

sites! { write:
    hand(fd: i32, p: *const u8, n: usize) -> isize {
        hand::call3(hand::WRITE, fd as isize as usize, p as usize, n)
    }
    raw(fd: i32, p: *const u8, n: usize) -> Reg {
        arch::syscall3(nr::WRITE, fd.to_reg(), p.to_reg(), n.to_reg())
    }
    typed(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> { io::write(fd, bytes) }
    libc(fd: i32, p: *const u8, n: usize) -> isize { checked(libc::write(fd, p.cast(), n)) }
    libc_syscall(fd: i32, p: *const u8, n: usize) -> isize {
        checked(libc::syscall(libc::SYS_write, fd, p, n) as isize)
    }
    rustix(fd: rustix::fd::BorrowedFd<'_>, bytes: &[u8]) -> rustix::io::Result<usize> {
        rustix::io::write(fd, bytes)
    }
    sc(fd: i32, p: *const u8, n: usize) -> usize { sc::syscall!(WRITE, fd, p, n) }
    syscalls(fd: i32, p: *const u8, n: usize) -> Result<usize, syscalls::Errno> {
        syscalls::syscall!(syscalls::Sysno::write, fd, p, n)
    }
    linux_syscall(fd: i32, p: *const u8, n: usize) -> LinuxSyscall<u64> {
        linux_syscall::syscall!(linux_syscall::SYS_write, fd as isize, p, n).try_u64()
    }
}

// Where it is inlined: the number or -1, as libc's has it.
sites! { write_or_minus_1:
    hand(fd: i32, p: *const u8, n: usize) -> isize {
        let ret = hand::call3(hand::WRITE, fd as isize as usize, p as usize, n);
        if ret as usize > -4096_isize as usize { -1 } else { ret }
    }
    typed(fd: BorrowedFd<'_>, bytes: &[u8]) -> isize {
        io::write(fd, bytes).map_or(-1, |n| n as isize)
    }
    libc(fd: i32, p: *const u8, n: usize) -> isize { libc::write(fd, p.cast(), n) }
    libc_syscall(fd: i32, p: *const u8, n: usize) -> isize {
        libc::syscall(libc::SYS_write, fd, p, n) as isize
    }
    rustix(fd: rustix::fd::BorrowedFd<'_>, bytes: &[u8]) -> isize {
        rustix::io::write(fd, bytes).map_or(-1, |n| n as isize)
    }
    syscalls(fd: i32, p: *const u8, n: usize) -> isize {
        syscalls::syscall!(syscalls::Sysno::write, fd, p, n).map_or(-1, |n| n as isize)
    }
    linux_syscall(fd: i32, p: *const u8, n: usize) -> isize {
        linux_syscall::syscall!(linux_syscall::SYS_write, fd as isize, p, n)
            .try_u64()
            .map_or(-1, |n| n as isize)
    }
}

sites! { pread:
    hand(fd: i32, p: *mut u8, n: usize, at: u64) -> isize {
        hand::call4(hand::PREAD64, fd as isize as usize, p as usize, n, at as usize)
    }
    raw(fd: i32, p: *mut u8, n: usize, at: u64) -> Reg {
        arch::syscall4(nr::PREAD64, fd.to_reg(), p.to_reg(), n.to_reg(), at.to_reg())
    }
    typed(fd: BorrowedFd<'_>, bytes: &mut [u8], at: u64) -> Result<usize, Errno> {
        io::pread(fd, bytes, at)
    }
    libc(fd: i32, p: *mut u8, n: usize, at: u64) -> isize {
        checked(libc::pread64(fd, p.cast(), n, at as i64))
    }
    libc_syscall(fd: i32, p: *mut u8, n: usize, at: u64) -> isize {
        checked(libc::syscall(libc::SYS_pread64, fd, p, n, at) as isize)
    }
    rustix(fd: rustix::fd::BorrowedFd<'_>, bytes: &mut [u8], at: u64) -> rustix::io::Result<usize> {
        rustix::io::pread(fd, bytes, at)
    }
    sc(fd: i32, p: *mut u8, n: usize, at: u64) -> usize { sc::syscall!(PREAD64, fd, p, n, at) }
    syscalls(fd: i32, p: *mut u8, n: usize, at: u64) -> Result<usize, syscalls::Errno> {
        syscalls::syscall!(syscalls::Sysno::pread64, fd, p, n, at)
    }
    linux_syscall(fd: i32, p: *mut u8, n: usize, at: u64) -> LinuxSyscall<u64> {
        linux_syscall::syscall!(linux_syscall::SYS_pread64, fd as isize, p, n, at).try_u64()
    }
}

sites! { close:
    hand(fd: i32) -> isize { hand::call1(hand::CLOSE, fd as isize as usize) }
    raw(fd: i32) -> Reg { arch::syscall1(nr::CLOSE, fd.to_reg()) }
    typed(fd: OwnedFd) -> Result<(), Errno> { io::close(fd) }
    libc(fd: i32) -> isize { checked(libc::close(fd) as isize) }
    libc_syscall(fd: i32) -> isize { checked(libc::syscall(libc::SYS_close, fd) as isize) }
    rustix_no_result(fd: i32) -> () { rustix::io::close(fd) }
    sc(fd: i32) -> usize { sc::syscall!(CLOSE, fd) }
    syscalls(fd: i32) -> Result<usize, syscalls::Errno> {
        syscalls::syscall!(syscalls::Sysno::close, fd)
    }
    linux_syscall(fd: i32) -> LinuxSyscall<()> {
        linux_syscall::syscall!(linux_syscall::SYS_close, fd as isize).check()
    }
}

sites! { memfd_create:
    hand(name: &CStr) -> isize { hand::call2(hand::MEMFD_CREATE, name.as_ptr() as usize, 1) }
    raw(name: &CStr) -> Reg { arch::syscall2(nr::MEMFD_CREATE, name.to_reg(), 1.to_reg()) }
    typed(name: &CStr) -> Result<Memfd, Errno> { MemfdOptions::new().create(name) }
    libc(name: &CStr) -> isize { checked(libc::memfd_create(name.as_ptr(), 1) as isize) }
    libc_syscall(name: &CStr) -> isize {
        checked(libc::syscall(libc::SYS_memfd_create, name.as_ptr(), 1) as isize)
    }
    rustix(name: &CStr) -> rustix::io::Result<rustix::fd::OwnedFd> {
        rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
    }
    sc(name: &CStr) -> usize { sc::syscall!(MEMFD_CREATE, name.as_ptr(), 1) }
    syscalls(name: &CStr) -> Result<usize, syscalls::Errno> {
        syscalls::syscall!(syscalls::Sysno::memfd_create, name.as_ptr(), 1)
    }
    linux_syscall(name: &CStr) -> LinuxSyscall<u64> {
        linux_syscall::syscall!(linux_syscall::SYS_memfd_create, name.as_ptr(), 1_usize).try_u64()
    }
}

// Neither libc nor rustix has it.
sites! { kcmp:
    hand(a: i32, b: i32, x: i32, y: i32) -> isize {
        hand::call5(hand::KCMP, a as usize, b as usize, KCMP_FILE as usize, x as usize, y as usize)
    }
    raw(a: i32, b: i32, x: i32, y: i32) -> Reg {
        arch::syscall5(nr::KCMP, a.to_reg(), b.to_reg(), KCMP_FILE.to_reg(), x.to_reg(), y.to_reg())
    }
    untyped(a: i32, b: i32, x: i32, y: i32) -> Result<usize, Errno> {
        syscall!(nr::KCMP, a, b, KCMP_FILE, x, y)
    }
    typed(a: Pid, b: Pid, x: i32, y: i32) -> Result<Relation, Errno> {
        barecall::kcmp::kcmp_file(a, x, b, y)
    }
    libc_syscall(a: i32, b: i32, x: i32, y: i32) -> isize {
        checked(libc::syscall(libc::SYS_kcmp, a, b, KCMP_FILE, x, y) as isize)
    }
    sc(a: i32, b: i32, x: i32, y: i32) -> usize { sc::syscall!(KCMP, a, b, KCMP_FILE, x, y) }
    syscalls(a: i32, b: i32, x: i32, y: i32) -> Result<usize, syscalls::Errno> {
        syscalls::syscall!(syscalls::Sysno::kcmp, a, b, KCMP_FILE, x, y)
    }
    linux_syscall(a: i32, b: i32, x: i32, y: i32) -> LinuxSyscall<u64> {
        linux_syscall::syscall!(
            linux_syscall::SYS_kcmp, a as isize, b as isize, KCMP_FILE as isize, x as isize, y as isize
        )
        .try_u64()
    }
}

// With the structure filled from its parts, and what it answers read.
sites! { uffdio_copy:
    hand(fd: i32, to: usize, from: &[u8]) -> isize {
        let mut arg = UffdioCopy::new(to, from);
        match hand::call3(
            hand::IOCTL, fd as isize as usize, UFFDIO_COPY as usize, &raw mut arg as usize
        ) {
            0 => arg.copy as isize,
            error => error,
        }
    }
    typed(uffd: &Userfaultfd, to: usize, from: &[u8]) -> Filled {
        uffd.copy_raw_once(PageRange::new(to, from.len()), from.as_ptr(), CopyFlags::empty())
    }
    libc(fd: i32, to: usize, from: &[u8]) -> isize {
        let mut arg = UffdioCopy::new(to, from);
        match checked(libc::ioctl(fd, UFFDIO_COPY.into(), &raw mut arg) as isize) {
            0 => arg.copy as isize,
            error => error,
        }
    }
    rustix(fd: rustix::fd::BorrowedFd<'_>, to: usize, from: &[u8]) -> rustix::io::Result<isize> {
        let mut arg = UffdioCopy::new(to, from);
        let copy = rustix::ioctl::Updater::<{ UFFDIO_COPY as _ }, UffdioCopy>::new(&mut arg);
        rustix::ioctl::ioctl(fd, copy).map(|()| arg.copy as isize)
    }
    sc(fd: i32, to: usize, from: &[u8]) -> isize {
        let mut arg = UffdioCopy::new(to, from);
        match sc::syscall!(IOCTL, fd, UFFDIO_COPY, &raw mut arg) {
            0 => arg.copy as isize,
            error => error as isize,
        }
    }
    syscalls(fd: i32, to: usize, from: &[u8]) -> Result<isize, syscalls::Errno> {
        let mut arg = UffdioCopy::new(to, from);
        syscalls::syscall!(syscalls::Sysno::ioctl, fd, UFFDIO_COPY, &raw mut arg)
            .map(|_| arg.copy as isize)
    }
    linux_syscall(fd: i32, to: usize, from: &[u8]) -> LinuxSyscall<isize> {
        let mut arg = UffdioCopy::new(to, from);
        linux_syscall::syscall!(
            linux_syscall::SYS_ioctl, fd as isize, UFFDIO_COPY as usize, &raw mut arg
        )
        .check()
        .map(|()| arg.copy as isize)
    }
}

impl UffdioCopy {
    #[inline(always)]
    fn new(to: usize, from: &[u8]) -> Self {
        Self {
            dst: to as u64,
            src: from.as_ptr() as u64,
            len: from.len() as u64,
            mode: 0,
            copy: 0,
        }
    }
}

// The system call; and by the vDSO, where it is a call of a pointer.
sites! { clock_gettime:
    hand(clock: i32, time: *mut Timespec) -> isize {
        hand::call2(hand::CLOCK_GETTIME, clock as isize as usize, time as usize)
    }
    raw(clock: i32, time: *mut Timespec) -> Reg {
        arch::syscall2(nr::CLOCK_GETTIME, clock.to_reg(), time.to_reg())
    }
    typed(clock: ClockId) -> Result<Timespec, Errno> { barecall::time::clock_gettime(clock) }
    libc_syscall(clock: i32, time: *mut libc::timespec) -> isize {
        checked(libc::syscall(libc::SYS_clock_gettime, clock, time) as isize)
    }
    sc(clock: i32, time: *mut Timespec) -> usize { sc::syscall!(CLOCK_GETTIME, clock, time) }
    syscalls(clock: i32, time: *mut Timespec) -> Result<usize, syscalls::Errno> {
        syscalls::syscall!(syscalls::Sysno::clock_gettime, clock, time)
    }
    linux_syscall(clock: i32, time: *mut Timespec) -> LinuxSyscall<()> {
        linux_syscall::syscall!(linux_syscall::SYS_clock_gettime, clock as isize, time).check()
    }
}

type ClockGettime = unsafe extern "C" fn(i32, *mut Timespec) -> i32;

sites! { vdso_clock_gettime:
    hand(function: ClockGettime, clock: i32, time: *mut Timespec) -> i32 { function(clock, time) }
    typed(vdso: &Vdso, clock: ClockId) -> Result<Timespec, Errno> { vdso.clock_gettime(clock) }
    libc(clock: i32, time: *mut libc::timespec) -> isize {
        checked(libc::clock_gettime(clock, time) as isize)
    }
    rustix(clock: rustix::time::ClockId) -> rustix::time::Timespec {
        rustix::time::clock_gettime(clock)
    }
}
