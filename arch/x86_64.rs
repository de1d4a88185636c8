//! Linux on x86_64.
//!
//! The call: number in `rax`, arguments in `rdi rsi rdx r10 r8 r9`, then
//! `syscall`. The result is in `rax`, where -4095 to -1 is an errno. The
//! instruction itself puts the return address into `rcx` and the flags into
//! `r11`; the kernel gives back every other register as it was, and `sysret`
//! restores the flags from `r11`. The stack is not touched, so the red zone
//! stays ours.

use super::Reg;
use crate::nr::Sysno;
use core::arch::asm;
use core::ffi::CStr;
use core::ffi::c_void;

/// One stub: the operands it takes, in the order of the kernel's registers.
///
/// No `readonly` and no `pure`, ever: a call that only reads through its
/// arguments still changes memory that Rust can see, because another mapping
/// of a file that it writes, or a signal handler that it runs, is memory too.
macro_rules! stub {
    ($(#[$doc:meta])* $name:ident($($arg:ident in $reg:tt),*)) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// What the kernel does for this call with these arguments must be
        /// sound for the program; the stub itself adds nothing to that.
        #[inline]
        pub unsafe fn $name(nr: Sysno, $($arg: Reg),*) -> Reg {
            let ret: Reg;
            // SAFETY: the ABI above; what the call means is the caller's promise.
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") nr.to_reg() => ret,
                    $(in($reg) $arg,)*
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack, preserves_flags),
                );
            }
            ret
        }
    };
}

stub! {
    /// A system call without arguments.
    syscall0()
}
stub! {
    /// A system call of one argument.
    syscall1(a0 in "rdi")
}
stub! {
    /// A system call of two arguments.
    syscall2(a0 in "rdi", a1 in "rsi")
}
stub! {
    /// A system call of three arguments.
    syscall3(a0 in "rdi", a1 in "rsi", a2 in "rdx")
}
stub! {
    /// A system call of four arguments.
    syscall4(a0 in "rdi", a1 in "rsi", a2 in "rdx", a3 in "r10")
}
stub! {
    /// A system call of five arguments.
    syscall5(a0 in "rdi", a1 in "rsi", a2 in "rdx", a3 in "r10", a4 in "r8")
}
stub! {
    /// A system call of six arguments.
    syscall6(a0 in "rdi", a1 in "rsi", a2 in "rdx", a3 in "r10", a4 in "r8", a5 in "r9")
}

/// A system call of one argument that never returns: `exit`, `exit_group`.
///
/// # Safety
///
/// The call must be one that does not return. Should a filter make it return
/// nevertheless, the program is stopped by an illegal instruction.
#[inline]
pub unsafe fn syscall1_noreturn(nr: Sysno, a0: Reg) -> ! {
    // SAFETY: the ABI above; `ud2` catches what must not happen.
    unsafe {
        asm!(
            "syscall",
            "ud2",
            in("rax") nr.to_reg(),
            in("rdi") a0,
            options(noreturn, nostack),
        )
    }
}

/// Stops the program by a trap.
#[inline]
pub(crate) fn trap() -> ! {
    // SAFETY: does not go on.
    unsafe { asm!("ud2", options(noreturn, nostack, nomem)) }
}

/// Where a signal handler returns to: `rt_sigreturn`, which puts every register
/// back as it was in the frame that the kernel left on the stack.
///
/// Naked, because the stack pointer must be what the handler's `ret` left: a
/// prologue would move it, as a dev build's does. Debuggers and unwinders know
/// a signal frame by exactly the nine bytes from [`RESTORER`] on (`mov $15,%rax;
/// syscall`), if the byte before belongs to no function that has unwind tables.
#[unsafe(naked)]
unsafe extern "C" fn rt_sigreturn() {
    core::arch::naked_asm!(
        "nop",         // That byte.
        "mov rax, 15", // rt_sigreturn. 48 c7 c0: the encoding that is looked for.
        "syscall",     // Does not return here.
        "ud2",
    )
}

/// `sa_restorer`.
pub(crate) const RESTORER: *const c_void = (rt_sigreturn as *const c_void).wrapping_byte_add(1);

/// `clone` with a stack for the child, which calls `entry(arg)` there; gives
/// what the kernel answers to the parent.
///
/// Naked, because the child comes out of the same instruction on another
/// stack: it must not return into the frame that made the call, nor find
/// anything of it. `entry` does not return.
///
/// # Safety
///
/// `stack` is the end of memory that is the child's, aligned to 16 bytes; the
/// flags say `CLONE_VM` and not `CLONE_SETTLS`; the rest as for `clone`.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn clone(
    flags: usize,
    stack: Reg,
    parent_tid: *mut u32,
    child_tid: *mut u32,
    entry: unsafe extern "C" fn(Reg) -> !,
    arg: Reg,
) -> Reg {
    core::arch::naked_asm!(
        // In rdi, rsi, rdx, rcx, r8, r9. The kernel wants flags, stack,
        // parent_tid, child_tid, tls; it gives r8 (tls, not looked at) and r9
        // back in the child too.
        "mov r10, rcx", // child_tid
        "mov eax, 56",  // clone
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret", // The parent, or an error.
        "2:",
        "xor ebp, ebp", // The outermost frame, for who walks the stack.
        "mov rdi, r9",  // arg
        "call r8",      // entry. The stack is aligned as a call wants it.
        "ud2",
    )
}

/// `munmap(addr, len)` and `exit(0)`, without a stack in between: the end of a
/// thread that frees its own.
///
/// # Safety
///
/// Nothing in the range is used by anyone any more, but the stack by this
/// thread. All signals are blocked: a handler would have no stack.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn munmap_and_exit(addr: Reg, len: usize) -> ! {
    core::arch::naked_asm!(
        "mov eax, 11", // munmap, of rdi and rsi
        "syscall",
        "xor edi, edi",
        "mov eax, 60", // exit
        "syscall",
        "ud2",
    )
}

/// The function that [`trace_sink!`](crate::trace_sink) put into the program,
/// or null: a weak symbol, which the linker makes 0 where there is none.
///
/// By way of the global offset table, as compilers do it for a weak symbol in
/// C: the one way that is right in a program that moves and in one that does
/// not. Hidden, so that it is this program's, and not another library's.
#[cfg(feature = "trace")]
#[inline]
pub(crate) fn trace_hook() -> *const c_void {
    let hook;
    // SAFETY: reads a word that the linker made.
    unsafe {
        asm!(
            ".weak __barecall_trace_0_1",
            ".hidden __barecall_trace_0_1",
            "mov {}, qword ptr [rip + __barecall_trace_0_1@GOTPCREL]",
            out(reg) hook,
            options(nostack, preserves_flags),
        )
    }
    hook
}

/// Where this is, and the frame that it is in: where a backtrace begins.
#[cfg(feature = "trace")]
#[inline(always)]
pub(crate) fn here() -> (usize, usize) {
    let (pc, frame);
    // SAFETY: reads two registers.
    unsafe {
        asm!(
            "lea {}, [rip]",
            "mov {}, rbp",
            out(reg) pc,
            out(reg) frame,
            options(nostack, preserves_flags, nomem),
        )
    }
    (pc, frame)
}

/// What must be among the features of a userfaultfd for its write-protection
/// to be believed: nothing (since Linux 5.7, it is there or said not to be).
pub(crate) const UFFD_WP_PROOF: u64 = 0;

/// Copies `n` bytes to or from memory that others may be writing.
///
/// As Rust's memory model has it: `n` relaxed atomic accesses of one byte each,
/// on both sides. The compiler sees no access, so it cannot invent, repeat or
/// tear one; and bytes are as much as the two sides can promise each other.
///
/// # Safety
///
/// `from` can be read and `to` written for `n` bytes, and who else uses them
/// must be content with such accesses.
#[inline]
pub(crate) unsafe fn copy_racing(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: the caller's promise. The direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") n => _,
            options(nostack, preserves_flags),
        )
    }
}

// <asm/fcntl.h>: the first four are permuted between the architectures, and
// O_TMPFILE is __O_TMPFILE with one of them.
pub(crate) const O_DIRECTORY: u32 = 0o200000;
pub(crate) const O_NOFOLLOW: u32 = 0o400000;
pub(crate) const O_DIRECT: u32 = 0o40000;
pub(crate) const O_LARGEFILE: u32 = 0o100000;
pub(crate) const O_TMPFILE: u32 = 0o20000000 | O_DIRECTORY;

/// `struct stat`, as x86_64 has it: what [`fstat`](crate::fs::fstat) and
/// [`statat`](crate::fs::statat) answer.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct stat")]
#[allow(missing_docs)]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_nlink: u64,
    pub st_mode: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    __pad0: u32,
    pub st_rdev: u64,
    pub st_size: i64,
    pub st_blksize: i64,
    pub st_blocks: i64,
    pub st_atime: u64,
    pub st_atime_nsec: u64,
    pub st_mtime: u64,
    pub st_mtime_nsec: u64,
    pub st_ctime: u64,
    pub st_ctime_nsec: u64,
    __unused: [i64; 3],
}

/// Program start. The kernel jumps here with the stack that execve(2) made:
///
/// ```text
///   rsp -> argc
///          argv[0] .. argv[argc - 1], 0
///          envp[0] .. , 0
///          auxv: pairs (key, value), up to (AT_NULL, 0)
///          the strings that all of these point to
/// ```
///
/// `_start` is for every way of linking, static-pie included; nothing may use
/// an absolute address before `relocate` has run. `__barecall_start` is for
/// barecall.x, whose programs do not move.
#[doc(hidden)]
#[macro_export]
macro_rules! __start {
    ($main:path, $relocate:path) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn _start() -> ! {
            ::core::arch::naked_asm!(
                ".weak _DYNAMIC",           // absent from a program that is not PIE
                ".hidden _DYNAMIC",
                "xor ebp, ebp",             // the outermost frame
                "mov rbx, rsp",             // kept over the call
                "mov rdi, rsp",
                "lea rsi, [rip + _DYNAMIC]",
                "and rsp, -16",             // the ABI's alignment before a call
                "call {relocate}",
                "mov rdi, rbx",
                "call {main}",
                "mov edi, eax",             // its status
                "mov eax, 231",             // exit_group
                "syscall",
                "ud2",
                relocate = sym $relocate,
                main = sym $main,
            )
        }

        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn __barecall_start() -> ! {
            ::core::arch::naked_asm!(
                "xor ebp, ebp",             // the outermost frame
                "mov rdi, rsp",
                "and rsp, -16",             // the ABI's alignment before a call
                "call {main}",
                "mov edi, eax",             // its status
                "mov eax, 231",             // exit_group
                "syscall",
                "ud2",
                main = sym $main,
            )
        }
    };
}

/// `R_X86_64_RELATIVE`: add the load bias; all that a static-pie contains.
#[doc(alias = "R_X86_64_RELATIVE")]
pub(crate) const R_RELATIVE: u32 = 8;

/// `struct epoll_event`, packed on this architecture only.
#[derive(Clone, Copy)]
#[repr(C, packed)]
#[doc(alias = "struct epoll_event")]
pub(crate) struct EpollEvent {
    pub events: u32,
    pub data: u64,
}

impl crate::mm::MapFlags {
    /// `MAP_32BIT`: in the first 2 GiB. x86_64 only.
    #[doc(alias = "MAP_32BIT")]
    pub const LOW_2GB: Self = Self::from_bits_retain(0x40);
    /// `MAP_ABOVE4G`: not in the first 4 GiB (since Linux 6.6). x86_64 only.
    #[doc(alias = "MAP_ABOVE4G")]
    pub const ABOVE_4GB: Self = Self::from_bits_retain(0x80);
}

/// `clone3` whose child runs `entry(arg)` on the stack that `args` names, and
/// never comes back. The parent gets what the kernel answers.
///
/// # Safety
///
/// The stack is large enough and 16-aligned at its top, and what the child does
/// in memory that it shares is sound.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn clone3_child(
    args: *const crate::process::CloneArgs,
    size: usize,
    entry: unsafe extern "C" fn(Reg) -> !,
    arg: Reg,
) -> Reg {
    core::arch::naked_asm!(
        "mov r8, rcx",  // rcx does not survive the call
        "mov eax, 435", // clone3
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret", // the parent, on its own stack
        "2:",
        "xor ebp, ebp", // the outermost frame
        "mov rdi, r8",
        "call rdx",
        "ud2",
    )
}

// The vDSO (arch/x86/entry/vdso/vdso.lds.S): what its functions are called,
// and the version that they all have.
#[doc(alias = "EM_X86_64")]
pub(crate) const EM_MACHINE: u16 = 62;
pub(crate) const VDSO_VERSION: &CStr = c"LINUX_2.6";
pub(crate) const VDSO_CLOCK_GETTIME: Option<&CStr> = Some(c"__vdso_clock_gettime");
pub(crate) const VDSO_CLOCK_GETRES: Option<&CStr> = Some(c"__vdso_clock_getres");
pub(crate) const VDSO_GETTIMEOFDAY: Option<&CStr> = Some(c"__vdso_gettimeofday");
pub(crate) const VDSO_TIME: Option<&CStr> = Some(c"__vdso_time");
pub(crate) const VDSO_GETCPU: Option<&CStr> = Some(c"__vdso_getcpu");
pub(crate) const VDSO_GETRANDOM: Option<&CStr> = Some(c"__vdso_getrandom");
