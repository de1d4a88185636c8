//! Functions whose machine code tests/host_codegen.rs looks at: call sites
//! with nothing around them, the same by hand, and loops that keep vector
//! registers in use.
#![no_std]
#![allow(clippy::missing_safety_doc)]

use barecall::fd::{BorrowedFd, OwnedFd};
use barecall::kcmp::{Relation, kcmp_file};
use barecall::memfd::{Memfd, MemfdOptions};
use barecall::process::Pid;
use barecall::time::{ClockId, Timespec};
use barecall::{Errno, io, nr, syscall};
use core::ffi::CStr;

#[unsafe(no_mangle)]
pub unsafe fn raw_getppid() -> barecall::arch::Reg {
    unsafe { barecall::arch::syscall0(nr::GETPPID) }
}

#[unsafe(no_mangle)]
pub unsafe fn raw_write(fd: i32, buf: *const u8, n: usize) -> barecall::arch::Reg {
    use barecall::syscall::Arg;
    unsafe { barecall::arch::syscall3(nr::WRITE, fd.to_reg(), buf.to_reg(), n.to_reg()) }
}

#[unsafe(no_mangle)]
pub unsafe fn raw_close(fd: i32) -> barecall::arch::Reg {
    use barecall::syscall::Arg;
    unsafe { barecall::arch::syscall1(nr::CLOSE, fd.to_reg()) }
}

#[unsafe(no_mangle)]
pub fn typed_write(fd: BorrowedFd<'_>, buf: &[u8]) -> Result<usize, Errno> {
    io::write(fd, buf)
}

#[unsafe(no_mangle)]
pub fn typed_close(fd: OwnedFd) -> Result<(), Errno> {
    io::close(fd)
}

#[unsafe(no_mangle)]
pub fn typed_getppid() -> Option<Pid> {
    barecall::process::getppid()
}

#[unsafe(no_mangle)]
pub fn typed_pread(fd: BorrowedFd<'_>, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    io::pread(fd, buf, offset)
}

#[unsafe(no_mangle)]
pub fn typed_memfd_create(name: &CStr) -> Result<Memfd, Errno> {
    MemfdOptions::new().create(name)
}

#[unsafe(no_mangle)]
pub fn typed_kcmp(a: Pid, a_fd: i32, b: Pid, b_fd: i32) -> Result<Relation, Errno> {
    kcmp_file(a, a_fd, b, b_fd)
}

#[unsafe(no_mangle)]
pub fn typed_clock_gettime(clock: ClockId) -> Result<Timespec, Errno> {
    barecall::time::clock_gettime(clock)
}

/// What a caller does with a result, typed.
#[unsafe(no_mangle)]
pub fn branch_typed(fd: BorrowedFd<'_>, buf: &[u8]) -> i32 {
    match io::write(fd, buf) {
        Ok(n) => n as i32,
        Err(_) => -1,
    }
}

/// The same by hand.
#[unsafe(no_mangle)]
pub fn branch_by_hand(fd: BorrowedFd<'_>, buf: &[u8]) -> i32 {
    let ret = unsafe { raw_write_inlined(fd.as_raw_fd(), buf.as_ptr(), buf.len()) };
    if ret as usize > -4096_isize as usize {
        -1
    } else {
        ret as i32
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn raw_write_inlined(fd: i32, buf: *const u8, n: usize) -> isize {
    let ret;
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") 1_usize => ret,
            in("rdi") fd as isize,
            in("rsi") buf,
            in("rdx") n,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn raw_write_inlined(fd: i32, buf: *const u8, n: usize) -> isize {
    let ret;
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") 64_usize,
            inlateout("x0") fd as isize => ret,
            in("x1") buf,
            in("x2") n,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// `write` by a foreign number, so that nothing of it is known beforehand.
#[unsafe(no_mangle)]
pub fn any_call(number: usize, a: u32, b: i32) -> Result<usize, Errno> {
    unsafe { syscall!(number, a, b) }
}

#[cfg(target_arch = "aarch64")]
pub mod sve {
    use super::*;

    /// A loop that the compiler makes with SVE registers, splatted constants
    /// and a predicate among them, and a call in the middle.
    macro_rules! scale {
        ($data:ident, $call:expr) => {
            for chunk in $data.chunks_exact_mut(64) {
                for x in &mut *chunk {
                    *x = *x * 3.25 + 0.625;
                }
                $call;
            }
        };
    }

    /// With the stub of this crate.
    #[unsafe(no_mangle)]
    pub fn sve_stub(data: &mut [f32]) {
        scale!(data, unsafe {
            let _ = syscall!(nr::GETPPID);
        });
    }

    /// With a stub that does not say what the kernel does to SVE registers:
    /// what the check of the machine code must find.
    #[unsafe(no_mangle)]
    pub fn sve_naive(data: &mut [f32]) {
        scale!(data, unsafe {
            core::arch::asm!("svc 0", in("x8") 173, lateout("x0") _, options(nostack, preserves_flags));
        });
    }

    /// The hole that arch/README.md tells of: SVE for this function alone.
    #[unsafe(no_mangle)]
    #[target_feature(enable = "sve")]
    pub fn sve_enabled_here(data: &mut [f32]) {
        scale!(data, unsafe {
            let _ = syscall!(nr::GETPPID);
        });
    }

    /// And the way around it: a call that is not inlined.
    #[unsafe(no_mangle)]
    #[target_feature(enable = "sve")]
    pub fn sve_out_of_line(data: &mut [f32]) {
        #[inline(never)]
        fn call() {
            let _ = unsafe { syscall!(nr::GETPPID) };
        }
        scale!(data, call());
    }
}
