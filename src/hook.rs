//! The stubs of a build with the feature `trace`: each asks whether the program
//! has a tracer, and leaves the call to it if so.
//!
//! The tracer itself is in [`trace`](crate::trace), which nothing down here
//! names: the program puts it behind a symbol, and without that symbol none of
//! it is linked.

use crate::arch::{self, Reg, untraced};
use crate::nr::Sysno;
use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::null_mut;

/// A system call on its way to the kernel.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Call {
    pub(crate) number: Sysno,
    pub(crate) args: [Reg; 6],
    /// How many of those were given.
    pub(crate) count: usize,
    /// Where the call is made, and in which frame.
    pub(crate) pc: usize,
    pub(crate) frame: usize,
    /// `false`: whoever asked makes the call, which does not return.
    pub(crate) returns: bool,
}

/// What the symbol is: makes the call, and tells of it.
type Hook = unsafe extern "C" fn(&Call) -> Reg;

impl Call {
    /// Makes the call, untold. What was not given is 0.
    ///
    /// # Safety
    ///
    /// As for the stub that it came from.
    pub(crate) unsafe fn make(&self) -> Reg {
        let [a, b, c, d, e, f] = self.args;
        // SAFETY: the caller's promise.
        unsafe { untraced::syscall6(self.number, a, b, c, d, e, f) }
    }
}

/// # Safety
///
/// As for the stub that it came from.
#[inline(never)]
unsafe fn pass(call: &Call) -> Reg {
    let hook: *const c_void = arch::trace_hook();
    // SAFETY: only `trace_sink!` defines the symbol, as such a function, and a
    // null pointer is `None`. The rest is the caller's promise.
    unsafe {
        match transmute::<*const c_void, Option<Hook>>(hook) {
            Some(hook) => hook(call),
            None if call.returns => call.make(),
            None => null_mut(),
        }
    }
}

macro_rules! stub {
    ($(#[$doc:meta])* $name:ident($($arg:ident),*) $count:literal $($rest:ident)*) => {
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// What the kernel does for this call with these arguments must be
        /// sound for the program; the stub itself adds nothing to that.
        #[inline]
        pub unsafe fn $name(nr: Sysno, $($arg: Reg),*) -> Reg {
            $(let $rest: Reg = null_mut();)*
            let (pc, frame) = arch::here();
            let call = Call {
                number: nr,
                args: stub!(@ $($arg)* $($rest)*),
                count: $count,
                pc,
                frame,
                returns: true,
            };
            // SAFETY: the caller's promise.
            unsafe { pass(&call) }
        }
    };
    (@ $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident) => {
        [$a, $b, $c, $d, $e, $f]
    };
}

stub! {
    /// A system call without arguments.
    syscall0() 0 a b c d e f
}
stub! {
    /// A system call of one argument.
    syscall1(a) 1 b c d e f
}
stub! {
    /// A system call of two arguments.
    syscall2(a, b) 2 c d e f
}
stub! {
    /// A system call of three arguments.
    syscall3(a, b, c) 3 d e f
}
stub! {
    /// A system call of four arguments.
    syscall4(a, b, c, d) 4 e f
}
stub! {
    /// A system call of five arguments.
    syscall5(a, b, c, d, e) 5 f
}
stub! {
    /// A system call of six arguments.
    syscall6(a, b, c, d, e, f) 6
}

/// A system call of one argument that never returns: `exit`, `exit_group`.
///
/// # Safety
///
/// The call must be one that does not return. Should a filter make it return
/// nevertheless, the program is stopped by a trap.
#[inline]
pub unsafe fn syscall1_noreturn(nr: Sysno, a0: Reg) -> ! {
    let (pc, frame) = arch::here();
    let no = null_mut();
    let call = Call {
        number: nr,
        args: [a0, no, no, no, no, no],
        count: 1,
        pc,
        frame,
        returns: false,
    };
    // SAFETY: the first only tells; the rest is the caller's promise.
    unsafe {
        pass(&call);
        untraced::syscall1_noreturn(nr, a0)
    }
}
