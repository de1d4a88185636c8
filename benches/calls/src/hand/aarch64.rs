use core::arch::asm;

pub const IOCTL: usize = 29;
pub const CLOSE: usize = 57;
pub const WRITE: usize = 64;
pub const PREAD64: usize = 67;
pub const CLOCK_GETTIME: usize = 113;
pub const GETPPID: usize = 173;
pub const KCMP: usize = 272;
pub const MEMFD_CREATE: usize = 279;

#[inline(always)]
pub unsafe fn call0(number: usize) -> isize {
    let ret: isize;
    unsafe {
        asm!("svc 0", in("x8") number, lateout("x0") ret, options(nostack, preserves_flags));
    }
    ret
}

macro_rules! calls {
    ($($name:ident(a $(, $arg:ident $register:tt)*))*) => {$(
        #[inline(always)]
        pub unsafe fn $name(number: usize, a: usize $(, $arg: usize)*) -> isize {
            let ret: isize;
            unsafe {
                asm!(
                    "svc 0",
                    in("x8") number,
                    inlateout("x0") a => ret,
                    $(in($register) $arg,)*
                    options(nostack, preserves_flags),
                );
            }
            ret
        }
    )*};
}

calls! {
    call1(a)
    call2(a, b "x1")
    call3(a, b "x1", c "x2")
    call4(a, b "x1", c "x2", d "x3")
    call5(a, b "x1", c "x2", d "x3", e "x4")
}
