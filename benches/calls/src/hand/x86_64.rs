use core::arch::asm;

pub const WRITE: usize = 1;
pub const CLOSE: usize = 3;
pub const IOCTL: usize = 16;
pub const PREAD64: usize = 17;
pub const GETPPID: usize = 110;
pub const CLOCK_GETTIME: usize = 228;
pub const KCMP: usize = 312;
pub const MEMFD_CREATE: usize = 319;

macro_rules! calls {
    ($($name:ident($($arg:ident $register:tt),*))*) => {$(
        #[inline(always)]
        pub unsafe fn $name(number: usize $(, $arg: usize)*) -> isize {
            let ret: isize;
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") number => ret,
                    $(in($register) $arg,)*
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack, preserves_flags),
                );
            }
            ret
        }
    )*};
}

calls! {
    call0()
    call1(a "rdi")
    call2(a "rdi", b "rsi")
    call3(a "rdi", b "rsi", c "rdx")
    call4(a "rdi", b "rsi", c "rdx", d "r10")
    call5(a "rdi", b "rsi", c "rdx", d "r10", e "r8")
}
