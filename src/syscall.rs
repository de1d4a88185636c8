//! The raw layer: any call, by number.
//!
//! [`syscall!`](crate::syscall!) makes a call and decodes the answer; the typed
//! API of this crate is built on nothing else, and what it lacks can be built
//! the same way.

use crate::arch::Reg;
use crate::errno::Errno;
use core::ffi::CStr;

/// What can be an argument of a system call.
///
/// Every operand fills its register. An integer is widened as C would widen
/// it: a signed one keeps its sign (`AT_FDCWD`, an `i32` of -100, is -100 in 64
/// bits too), an unsigned one gets zeros. A pointer stays a pointer.
///
/// Implemented for all integers up to 64 bits, `bool`, raw pointers, `&CStr`
/// and
/// [`BorrowedFd`](crate::fd::BorrowedFd). Not for other references: `&fd` is too easily written
/// where `fd` is meant, so what goes by address is said as `&raw const x`.
pub trait Arg {
    /// The register.
    fn to_reg(self) -> Reg;
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl Arg for $integer {
            #[inline]
            fn to_reg(self) -> Reg {
                core::ptr::without_provenance_mut(self as usize)
            }
        }
    )*};
}

// `as usize` sign-extends the signed ones and zero-extends the others.
integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize bool);

impl<T> Arg for *const T {
    #[inline]
    fn to_reg(self) -> Reg {
        self.cast_mut().cast()
    }
}

impl<T> Arg for *mut T {
    #[inline]
    fn to_reg(self) -> Reg {
        self.cast()
    }
}

impl Arg for &CStr {
    #[inline]
    fn to_reg(self) -> Reg {
        self.as_ptr().to_reg()
    }
}

impl Arg for Option<&CStr> {
    #[inline]
    fn to_reg(self) -> Reg {
        match self {
            Some(string) => string.to_reg(),
            None => core::ptr::null_mut(),
        }
    }
}

/// `syscall(number, ...)`: makes any system call, with 0 to 6 arguments.
///
/// Gives `Result<usize, Errno>`: the kernel's -4095 to -1 is an [`Errno`],
/// everything else is the result. The arguments are whatever implements
/// [`syscall::Arg`](crate::syscall::Arg); the number is a [`nr`](crate::nr)
/// constant or anything that converts to [`Sysno`](crate::nr::Sysno).
///
/// ```
/// use barecall::{Errno, nr, syscall};
///
/// // SAFETY: getppid takes nothing and changes nothing.
/// let parent = unsafe { syscall!(nr::GETPPID) }?;
/// assert!(parent > 0);
///
/// // A call that no kernel has.
/// // SAFETY: there is nothing that it could do.
/// let error = unsafe { syscall!(100_000, 1, 2, 3) }.unwrap_err();
/// assert_eq!(error, Errno::ENOSYS);
/// # Ok::<(), Errno>(())
/// ```
///
/// For an address as the result there is [`syscall_ptr!`](crate::syscall_ptr!),
/// for a call that does not return
/// [`syscall_noreturn!`](crate::syscall_noreturn!).
///
/// # Safety
///
/// The expansion calls an `unsafe fn`: what the kernel does for these
/// arguments must be sound for the program. In particular, a pointer must be
/// valid for what the kernel reads or writes through it.
///
/// A call that returns twice on the same stack (`vfork`) or on another one
/// (`clone` with a stack) must not be made like this at all: the frame that it
/// would return into is no longer what the compiler believes. `process`,
/// `thread` and `spawn` have what works.
///
/// On aarch64, a function with `#[target_feature(enable = "sve")]` must not
/// make system calls, in a build where SVE is not enabled for the whole crate:
/// the kernel zeroes SVE registers, and the stub that is inlined into such a
/// function cannot know that they are in use. Call through an
/// `#[inline(never)]` function without that attribute; arch/README.md has more.
#[macro_export]
macro_rules! syscall {
    ($nr:expr $(, $arg:expr)* $(,)?) => {
        $crate::syscall::decode($crate::__syscall!($nr $(, $arg)*))
    };
}

/// `syscall(number, ...)` for a call that returns an address, like `mmap`.
///
/// Gives `Result<*mut c_void, Errno>`: the pointer comes straight from the
/// register, and is good for the memory that the kernel meant.
///
/// ```
/// use barecall::mm::{MapFlags, ProtFlags};
/// use barecall::{nr, syscall, syscall_ptr};
///
/// let (prot, flags) = (ProtFlags::READ.bits(), (MapFlags::PRIVATE | MapFlags::ANONYMOUS).bits());
/// // SAFETY: a new mapping, somewhere where nothing was.
/// let page = unsafe { syscall_ptr!(nr::MMAP, 0, 4096, prot, flags, -1, 0) }?;
/// assert!(!page.is_null());
/// // SAFETY: nothing else knows of the page.
/// unsafe { syscall!(nr::MUNMAP, page, 4096) }?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// # Safety
///
/// As [`syscall!`](crate::syscall!).
#[macro_export]
macro_rules! syscall_ptr {
    ($nr:expr $(, $arg:expr)* $(,)?) => {
        $crate::syscall::decode_ptr($crate::__syscall!($nr $(, $arg)*))
    };
}

/// `syscall(number, ...)` for a call that does not return: `exit` and
/// `exit_group`.
///
/// ```no_run
/// use barecall::{nr, syscall_noreturn};
///
/// // SAFETY: exit_group does not return.
/// unsafe { syscall_noreturn!(nr::EXIT_GROUP, 3) }
/// ```
///
/// # Safety
///
/// As [`syscall!`](crate::syscall!), and the call must be one that does not
/// return. If it does all the same (a seccomp filter), the program traps.
#[macro_export]
macro_rules! syscall_noreturn {
    ($nr:expr, $arg:expr $(,)?) => {
        $crate::arch::syscall1_noreturn(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($arg),
        )
    };
}

/// A call that answers 0 or an error: `Result<(), Errno>`, which is the
/// register itself.
macro_rules! syscall_zero {
    ($nr:expr $(, $arg:expr)* $(,)?) => {
        $crate::syscall::decode_zero($crate::__syscall!($nr $(, $arg)*))
    };
}

/// A call that writes an `$out` and answers 0 or an error. The value starts
/// zeroed, so that a filter which answers for the kernel leaks no stack.
macro_rules! syscall_out {
    ($out:ty; $nr:expr $(, $before:expr)*; _ $(, $after:expr)*) => {{
        let mut out = ::core::mem::MaybeUninit::<$out>::zeroed();
        match $crate::syscall::decode_zero(
            $crate::__syscall!($nr $(, $before)*, out.as_mut_ptr() $(, $after)*),
        ) {
            Ok(()) => Ok(out.assume_init()),
            Err(errno) => Err(errno),
        }
    }};
}

pub(crate) use {syscall_out, syscall_zero};

#[doc(hidden)]
#[macro_export]
macro_rules! __syscall {
    ($nr:expr) => {
        $crate::arch::syscall0($crate::nr::Sysno::from($nr))
    };
    ($nr:expr, $a:expr) => {
        $crate::arch::syscall1(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($a),
        )
    };
    ($nr:expr, $a:expr, $b:expr) => {
        $crate::arch::syscall2(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($a),
            $crate::syscall::Arg::to_reg($b),
        )
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr) => {
        $crate::arch::syscall3(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($a),
            $crate::syscall::Arg::to_reg($b),
            $crate::syscall::Arg::to_reg($c),
        )
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::arch::syscall4(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($a),
            $crate::syscall::Arg::to_reg($b),
            $crate::syscall::Arg::to_reg($c),
            $crate::syscall::Arg::to_reg($d),
        )
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::arch::syscall5(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($a),
            $crate::syscall::Arg::to_reg($b),
            $crate::syscall::Arg::to_reg($c),
            $crate::syscall::Arg::to_reg($d),
            $crate::syscall::Arg::to_reg($e),
        )
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        $crate::arch::syscall6(
            $crate::nr::Sysno::from($nr),
            $crate::syscall::Arg::to_reg($a),
            $crate::syscall::Arg::to_reg($b),
            $crate::syscall::Arg::to_reg($c),
            $crate::syscall::Arg::to_reg($d),
            $crate::syscall::Arg::to_reg($e),
            $crate::syscall::Arg::to_reg($f),
        )
    };
}

/// The result of a call, from its register.
#[inline]
pub fn decode(ret: Reg) -> Result<usize, Errno> {
    Errno::decode(ret.addr())
}

/// The result of a call that returns an address.
#[inline]
pub fn decode_ptr(ret: Reg) -> Result<Reg, Errno> {
    match Errno::decode(ret.addr()) {
        Ok(_) => Ok(ret),
        Err(errno) => Err(errno),
    }
}

#[inline]
pub(crate) fn decode_zero(ret: Reg) -> Result<(), Errno> {
    Errno::decode_zero(ret.addr())
}

/// A length or a count that the kernel takes as an int: of a longer one it
/// would see the low bits, or a negative number.
#[inline]
pub(crate) const fn as_int(len: usize) -> usize {
    if len > i32::MAX as usize {
        i32::MAX as usize
    } else {
        len
    }
}
