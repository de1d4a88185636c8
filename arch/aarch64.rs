//! Linux on aarch64 (little-endian, LP64).
//!
//! The call: number in `x8`, arguments in `x0` to `x5`, then `svc 0`. The
//! result is in `x0`, where -4095 to -1 is an errno. The kernel gives back
//! every other general register, the flags and `v0` to `v31` as they were.
//!
//! SVE is the exception: on return the bits of `z0` to `z31` above 127, all
//! of `p0` to `p15` and `ffr` are zero (Documentation/arch/arm64/sve.rst,
//! "System call behaviour"). A build with SVE must therefore say that they do
//! not survive. `cfg` sees only what the whole build enables; see "SVE" in
//! arch/README.md for a function that enables it for itself alone.

use super::Reg;
use crate::nr::Sysno;
use core::arch::asm;
use core::ffi::CStr;
use core::ffi::c_void;

// With SVE, naming v0 takes all of z0: no part of it stays live across the
// call. (`ffr` cannot be live across a statement: rustc never allocates it.)
cfg_if::cfg_if! {
    if #[cfg(target_feature = "sve")] {
        macro_rules! svc {
            ($($operand:tt)*) => {
                asm!(
                    "svc 0",
                    $($operand)*
                    lateout("v0") _, lateout("v1") _, lateout("v2") _, lateout("v3") _,
                    lateout("v4") _, lateout("v5") _, lateout("v6") _, lateout("v7") _,
                    lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
                    lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
                    lateout("v16") _, lateout("v17") _, lateout("v18") _, lateout("v19") _,
                    lateout("v20") _, lateout("v21") _, lateout("v22") _, lateout("v23") _,
                    lateout("v24") _, lateout("v25") _, lateout("v26") _, lateout("v27") _,
                    lateout("v28") _, lateout("v29") _, lateout("v30") _, lateout("v31") _,
                    lateout("p0") _, lateout("p1") _, lateout("p2") _, lateout("p3") _,
                    lateout("p4") _, lateout("p5") _, lateout("p6") _, lateout("p7") _,
                    lateout("p8") _, lateout("p9") _, lateout("p10") _, lateout("p11") _,
                    lateout("p12") _, lateout("p13") _, lateout("p14") _, lateout("p15") _,
                    options(nostack, preserves_flags),
                )
            };
        }
    } else {
        macro_rules! svc {
            ($($operand:tt)*) => {
                asm!("svc 0", $($operand)* options(nostack, preserves_flags))
            };
        }
    }
}

/// One stub: the operands it takes. The first argument shares its register
/// with the result.
///
/// No `readonly` and no `pure`, ever: a call that only reads through its
/// arguments still changes memory that Rust can see, because another mapping
/// of a file that it writes, or a signal handler that it runs, is memory too.
macro_rules! stub {
    ($(#[$doc:meta])* $name:ident($a0:ident $(, $arg:ident in $reg:tt)*)) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// What the kernel does for this call with these arguments must be
        /// sound for the program; the stub itself adds nothing to that.
        #[inline]
        pub unsafe fn $name(nr: Sysno, $a0: Reg, $($arg: Reg),*) -> Reg {
            let ret: Reg;
            // SAFETY: the ABI above; what the call means is the caller's promise.
            unsafe {
                svc!(
                    in("x8") nr.to_reg(),
                    inlateout("x0") $a0 => ret,
                    $(in($reg) $arg,)*
                );
            }
            ret
        }
    };
}

/// A system call without arguments.
///
/// # Safety
///
/// What the kernel does for this call must be sound for the program; the stub
/// itself adds nothing to that.
#[inline]
pub unsafe fn syscall0(nr: Sysno) -> Reg {
    let ret: Reg;
    // SAFETY: the ABI above; what the call means is the caller's promise.
    unsafe {
        svc!(in("x8") nr.to_reg(), lateout("x0") ret,);
    }
    ret
}

stub! {
    /// A system call of one argument.
    syscall1(a0)
}
stub! {
    /// A system call of two arguments.
    syscall2(a0, a1 in "x1")
}
stub! {
    /// A system call of three arguments.
    syscall3(a0, a1 in "x1", a2 in "x2")
}
stub! {
    /// A system call of four arguments.
    syscall4(a0, a1 in "x1", a2 in "x2", a3 in "x3")
}
stub! {
    /// A system call of five arguments.
    syscall5(a0, a1 in "x1", a2 in "x2", a3 in "x3", a4 in "x4")
}
stub! {
    /// A system call of six arguments.
    syscall6(a0, a1 in "x1", a2 in "x2", a3 in "x3", a4 in "x4", a5 in "x5")
}

/// A system call of one argument that never returns: `exit`, `exit_group`.
///
/// # Safety
///
/// The call must be one that does not return. Should a filter make it return
/// nevertheless, the program is stopped by a breakpoint trap.
#[inline]
pub unsafe fn syscall1_noreturn(nr: Sysno, a0: Reg) -> ! {
    // SAFETY: the ABI above; `brk` catches what must not happen.
    unsafe {
        asm!(
            "svc 0",
            "brk #1",
            in("x8") nr.to_reg(),
            in("x0") a0,
            options(noreturn, nostack),
        )
    }
}

/// Stops the program by a trap.
#[inline]
pub(crate) fn trap() -> ! {
    // SAFETY: does not go on.
    unsafe { asm!("brk #1", options(noreturn, nostack, nomem)) }
}

/// Where a signal handler returns to: `rt_sigreturn`, which puts every register
/// back as it was in the frame that the kernel left on the stack.
///
/// The kernel would send the handler to the same two instructions in the vDSO;
/// ours serve where there is none. Naked, because the stack pointer must be
/// what the handler's `ret` left. Debuggers and unwinders know a signal frame
/// by exactly the eight bytes from [`RESTORER`] on, if the instruction before
/// belongs to no function that has unwind tables.
#[unsafe(naked)]
unsafe extern "C" fn rt_sigreturn() {
    core::arch::naked_asm!(
        "nop",          // That instruction.
        "mov x8, #139", // rt_sigreturn
        "svc 0",        // Does not return here.
        "brk #1",
    )
}

/// `sa_restorer`.
pub(crate) const RESTORER: *const c_void = (rt_sigreturn as *const c_void).wrapping_byte_add(4);

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
        // In x0 to x5. The kernel wants flags, stack, parent_tid, tls,
        // child_tid: the last two the other way round than x86_64.
        "mov x6, x4",   // entry, which the kernel gives back in the child too
        "mov x4, x3",   // child_tid
        "mov x3, xzr",  // tls, not looked at
        "mov x8, #220", // clone
        "svc 0",
        "cbz x0, 2f",
        "ret", // The parent, or an error.
        "2:",
        "mov x29, xzr", // The outermost frame, for who walks the stack.
        "mov x30, xzr",
        "mov x0, x5", // arg
        "blr x6",     // entry
        "brk #1",
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
        "mov x8, #215", // munmap, of x0 and x1
        "svc 0",
        "mov x0, xzr",
        "mov x8, #93", // exit
        "svc 0",
        "brk #1",
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
            "adrp {hook}, :got:__barecall_trace_0_1",
            "ldr {hook}, [{hook}, :got_lo12:__barecall_trace_0_1]",
            hook = out(reg) hook,
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
            "adr {}, .",
            "mov {}, x29",
            out(reg) pc,
            out(reg) frame,
            options(nostack, preserves_flags, nomem),
        )
    }
    (pc, frame)
}

/// What must be among the features of a userfaultfd for its write-protection
/// to be believed: `UFFD_FEATURE_WP_HUGETLBFS_SHMEM`. Linux 5.10 claims the
/// feature on aarch64, which has it since 6.10, and traps nothing.
pub(crate) const UFFD_WP_PROOF: u64 = 1 << 12;

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
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "2:",                           // 16 bytes a turn
            "subs {n}, {n}, #16",
            "b.lo 3f",
            "ldp {a}, {b}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "b 2b",
            "3:",                           // what is left
            "add {n}, {n}, #16",
            "4:",
            "cbz {n}, 5f",
            "ldrb {a:w}, [{from}], #1",
            "strb {a:w}, [{to}], #1",
            "sub {n}, {n}, #1",
            "b 4b",
            "5:",
            to = inout(reg) to => _,
            from = inout(reg) from => _,
            n = inout(reg) n => _,
            a = out(reg) _,
            b = out(reg) _,
            options(nostack),
        )
    }
}

// <asm/fcntl.h>: the first four are permuted between the architectures, and
// O_TMPFILE is __O_TMPFILE with one of them.
pub(crate) const O_DIRECTORY: u32 = 0o40000;
pub(crate) const O_NOFOLLOW: u32 = 0o100000;
pub(crate) const O_DIRECT: u32 = 0o200000;
pub(crate) const O_LARGEFILE: u32 = 0o400000;
pub(crate) const O_TMPFILE: u32 = 0o20000000 | O_DIRECTORY;

/// `struct stat`, as aarch64 has it: what [`fstat`](crate::fs::fstat) and
/// [`statat`](crate::fs::statat) answer.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct stat")]
#[allow(missing_docs)]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: u32,
    pub st_nlink: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    pub st_rdev: u64,
    __pad1: u64,
    pub st_size: i64,
    pub st_blksize: i32,
    __pad2: i32,
    pub st_blocks: i64,
    pub st_atime: i64,
    pub st_atime_nsec: u64,
    pub st_mtime: i64,
    pub st_mtime_nsec: u64,
    pub st_ctime: i64,
    pub st_ctime_nsec: u64,
    __unused4: u32,
    __unused5: u32,
}

/// Program start. The kernel jumps here with the stack that execve(2) made:
///
/// ```text
///   sp -> argc
///         argv[0] .. argv[argc - 1], 0
///         envp[0] .. , 0
///         auxv: pairs (key, value), up to (AT_NULL, 0)
///         the strings that all of these point to
/// ```
///
/// `_start` is for every way of linking, static-pie included; nothing may use
/// an absolute address before `relocate` has run. `__barecall_start` is for
/// barecall.x, whose programs do not move. The kernel keeps sp aligned to 16.
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
                "mov x29, #0",              // the outermost frame
                "mov x19, sp",              // kept over the call
                "mov x0, sp",
                "adrp x1, _DYNAMIC",
                "add x1, x1, #:lo12:_DYNAMIC",
                "bl {relocate}",
                "mov x0, x19",
                "bl {main}",
                "mov w8, #94",              // exit_group; the status is in w0
                "svc #0",
                "brk #1",
                relocate = sym $relocate,
                main = sym $main,
            )
        }

        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn __barecall_start() -> ! {
            ::core::arch::naked_asm!(
                "mov x29, #0",              // the outermost frame
                "mov x0, sp",
                "bl {main}",
                "mov w8, #94",              // exit_group; the status is in w0
                "svc #0",
                "brk #1",
                main = sym $main,
            )
        }
    };
}

/// `R_AARCH64_RELATIVE`: add the load bias; all that a static-pie contains.
#[doc(alias = "R_AARCH64_RELATIVE")]
pub(crate) const R_RELATIVE: u32 = 1027;

/// `struct epoll_event`, with four bytes of padding after `events`.
#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct epoll_event")]
pub(crate) struct EpollEvent {
    pub events: u32,
    pub data: u64,
}

impl crate::mm::ProtFlags {
    /// `PROT_BTI`: indirect branches must land on a `bti` (since Linux 5.8).
    /// aarch64 only.
    #[doc(alias = "PROT_BTI")]
    pub const BTI: Self = Self::from_bits_retain(0x10);
    /// `PROT_MTE`: memory with allocation tags (since Linux 5.10). aarch64
    /// only.
    #[doc(alias = "PROT_MTE")]
    pub const MTE: Self = Self::from_bits_retain(0x20);
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
        "mov x8, #435", // clone3
        "svc 0",
        "cbz x0, 2f",
        "ret", // the parent, on its own stack
        "2:",
        "mov x29, xzr", // the outermost frame
        "mov x30, xzr",
        "mov x0, x3",
        "blr x2",
        "brk #1",
    )
}

// The vDSO (arch/arm64/kernel/vdso/vdso.lds.S): what its functions are called,
// and the version that they all have.
#[doc(alias = "EM_AARCH64")]
pub(crate) const EM_MACHINE: u16 = 183;
pub(crate) const VDSO_VERSION: &CStr = c"LINUX_2.6.39";
pub(crate) const VDSO_CLOCK_GETTIME: Option<&CStr> = Some(c"__kernel_clock_gettime");
pub(crate) const VDSO_CLOCK_GETRES: Option<&CStr> = Some(c"__kernel_clock_getres");
pub(crate) const VDSO_GETTIMEOFDAY: Option<&CStr> = Some(c"__kernel_gettimeofday");
pub(crate) const VDSO_TIME: Option<&CStr> = None;
pub(crate) const VDSO_GETCPU: Option<&CStr> = None;
pub(crate) const VDSO_GETRANDOM: Option<&CStr> = Some(c"__kernel_getrandom");
