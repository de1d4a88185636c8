//! Program start: a program without libc.
//!
//! [`entry!`](crate::entry!) makes a function the program:
//!
//! ```no_run
//! # #[cfg(any())] mod program {
//! #![no_std]
//! #![no_main]
//!
//! use barecall::{io, rt::Start};
//!
//! barecall::entry!(main);
//!
//! fn main(_start: Start) -> i32 {
//!     // SAFETY: descriptor 1 is standard output from the start.
//!     match io::write_all(unsafe { io::stdout() }, b"Hello, world!\n") {
//!         Ok(()) => 0,
//!         Err(_) => 1,
//!     }
//! }
//! # }
//! ```
//!
//! # How to link
//!
//! Four things, all on stable, in the program's own package:
//!
//! 1. `Cargo.toml` turns unwinding off, which needs a run-time of its own:
//!
//!    ```toml
//!    [profile.dev]
//!    panic = "abort"
//!
//!    [profile.release]
//!    panic = "abort"
//!    ```
//!
//! 2. `build.rs` tells the linker (`rustc-link-arg-bins` if the package has
//!    tests too, because those are ordinary programs):
//!
//!    ```no_run
//!    fn main() {
//!        for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
//!            println!("cargo::rustc-link-arg-bins={arg}");
//!        }
//!        println!("cargo::rustc-link-arg-bins=-Wl,--build-id=none,-Tbarecall.x");
//!    }
//!    ```
//!
//! 3. `[[bin]]` has `test = false`, since a program without std has no test
//!    harness.
//! 4. The source begins with `#![no_std]` and `#![no_main]`.
//!
//! A workspace may hold such programs beside ordinary ones that use this crate.
//! Only where one of those turns the feature `std` on must they be built apart
//! (`cargo build -p program`): cargo builds a dependency once, with the features
//! of all who ask in the same command, and `std` cannot be linked without libc.
//!
//! `-Tbarecall.x` is the linker script of this crate: two segments without
//! padding, no unwind tables, no notes. Everything works without it too, some
//! hundred bytes larger; `-static` is then not to be forgotten: a program that
//! names the dynamic linker is loaded by it, and crashes at once. For an address that changes with every start
//! (static-pie), leave the script and `-no-pie` away and say `-static-pie`;
//! the program then relocates itself before `main`, on stable, RELA and RELR,
//! and makes its relocated constants read-only.
//!
//! # When it does not link
//!
//! | message | what is missing |
//! |---|---|
//! | `duplicate symbol: _start`, in `Scrt1.o` | `build.rs`, or its `-nostartfiles` |
//! | `barecall.x links programs that do not move` | `-no-pie`, which the script needs |
//! | `a program without libc cannot unwind` | `panic = "abort"` in this profile, of the workspace's own `Cargo.toml` |
//! | `a program without libc has no test harness` | `test = false` in its `[[bin]]` |
//! | `barecall_has_its_feature_std_here...` | `-p`: another package of the same build turns `std` on |
//! | `found duplicate lang item panic_impl` | `#![no_std]` |
//!
//! # Linkers and profiles
//!
//! Tried with every one of these, on both architectures
//! (eleven programs each): rust-lld or lld and GNU ld;
//! opt-level 0 with debug assertions, 3, "z", and 3 with fat LTO. Bytes of a
//! stripped program that writes three bytes and exits, x86_64, lld:
//!
//! | linked | opt-level 0 | 3 | "z" | fat LTO |
//! |---|---|---|---|---|
//! | static, with `barecall.x` | 13,768 | 536 | 504 | 528 |
//! | static, without | 21,472 | 2,392 | 2,128 | 2,056 |
//! | static-pie | 23,400 | 3,288 | 3,040 | 2,800 |
//!
//! GNU ld pads a program that is linked without the script to whole pages (of
//! 64 KiB on aarch64). On aarch64, atomics out of line work as they are.
//!
//! # What `entry!` emits
//!
//! Symbols that must exist once in a program, and therefore cannot come from a
//! library that std programs use as well:
//!
//! | macro | what |
//! |---|---|
//! | [`start!`](crate::start!) | `_start`, which calls your `main` |
//! | [`mem!`](crate::mem!) | `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp`, `strlen`, which compiled code calls |
//! | [`personality!`](crate::personality!) | `rust_eh_personality` and `_Unwind_Resume`, which the compiled `core` and `alloc` refer to |
//! | [`panic_handler!`](crate::panic_handler!) | a panic handler that says where, and aborts |
//!
//! A program that has one of these from elsewhere uses the other macros and
//! not `entry!`. An allocator is yours to
//! bring (`#[global_allocator]`), and nothing here needs one. There is no
//! thread-local storage: `#[thread_local]` and C code that expects it do not
//! work, and neither do constructors in `.init_array`.

// A build script is nothing without its `main`.
#![allow(clippy::needless_doctest_main)]

mod relocate;

pub use relocate::relocate;

use crate::auxv::Auxv;
use crate::errno::Errno;
use crate::fd::BorrowedFd;
use crate::{io, nr, syscall};
use core::ffi::{CStr, c_char};
use core::fmt;

/// What the kernel gave the program to start with: arguments, environment,
/// auxiliary vector.
///
/// A view of the top of the stack, where the kernel put them; they are there
/// as long as the program runs.
#[derive(Clone, Copy)]
pub struct Start {
    stack: *const usize,
}

// SAFETY: what it points to does not change.
unsafe impl Send for Start {}
// SAFETY: what it points to does not change.
unsafe impl Sync for Start {}

impl Start {
    /// The view of a stack.
    ///
    /// # Safety
    ///
    /// `stack` is the stack pointer that the kernel started the program with,
    /// and what is there and above stays unchanged.
    #[inline]
    pub const unsafe fn from_stack(stack: *const usize) -> Self {
        Self { stack }
    }

    /// `argc`: how many arguments there are. Can be 0.
    #[inline]
    pub fn argc(&self) -> usize {
        // SAFETY: argc is at the stack pointer.
        unsafe { *self.stack }
    }

    /// `argv`: the arguments as C has them, NULL after the last.
    #[inline]
    pub fn argv(&self) -> *const *const c_char {
        // SAFETY: argv comes after argc.
        unsafe { self.stack.add(1).cast() }
    }

    /// `envp`: the environment as C has it, NULL after the last.
    #[inline]
    pub fn envp(&self) -> *const *const c_char {
        // SAFETY: envp comes after argv's NULL.
        unsafe { self.argv().add(self.argc()).add(1) }
    }

    /// The arguments. The first, if any, is what the program was called.
    #[inline]
    pub fn args(&self) -> Strings {
        Strings { next: self.argv() }
    }

    /// The environment, as `NAME=value` strings.
    #[inline]
    pub fn env(&self) -> Strings {
        Strings { next: self.envp() }
    }

    /// The value of an environment variable, if it is set.
    pub fn var(&self, name: &str) -> Option<&'static CStr> {
        self.env().find_map(|string| {
            let mut at = string.as_ptr();
            // Byte by byte: what slices offer for it can panic, as far as the
            // compiler sees at opt-level "z".
            // SAFETY: stops at the first difference, the NUL included.
            unsafe {
                for byte in name.bytes() {
                    if byte == 0 || *at as u8 != byte {
                        return None;
                    }
                    at = at.add(1);
                }
                (*at as u8 == b'=').then(|| CStr::from_ptr(at.add(1)))
            }
        })
    }

    /// The auxiliary vector: page size, where the vDSO is, random bytes.
    #[inline]
    pub fn auxv(&self) -> Auxv<'static> {
        let mut env = self.env();
        while env.next_ptr().is_some() {}
        // SAFETY: `next` is at the NULL; the vector comes after it.
        unsafe { Auxv::from_stack(env.next.add(1).cast()) }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("args", &self.args())
            .field("env", &self.env())
            .finish()
    }
}

/// Arguments or environment, one string after the other.
///
/// The walk ends at the NULL, and stays there.
#[derive(Clone)]
pub struct Strings {
    next: *const *const c_char,
}

// SAFETY: as `Start`.
unsafe impl Send for Strings {}
// SAFETY: as `Start`.
unsafe impl Sync for Strings {}

impl Strings {
    #[inline]
    fn next_ptr(&mut self) -> Option<*const c_char> {
        // SAFETY: not past the NULL, because it is never stepped over.
        unsafe {
            let string = *self.next;
            if string.is_null() {
                return None;
            }
            self.next = self.next.add(1);
            Some(string)
        }
    }
}

impl Iterator for Strings {
    type Item = &'static CStr;

    #[inline]
    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: a C string that stays as it is.
        self.next_ptr()
            .map(|string| unsafe { CStr::from_ptr(string) })
    }
}

impl core::iter::FusedIterator for Strings {}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// What `main` may return: `i32` (the exit status), `()` (0), an error (told
/// on standard error, status 1; that links the printer of errors), or nothing
/// ever (`!`).
///
/// ```
/// fn allowed<T: barecall::rt::Exit>(_main: fn(barecall::rt::Start) -> T) {}
///
/// allowed(|_| 7);
/// allowed(|_| Err::<(), _>(barecall::Errno::ENOENT));
/// allowed(|_| -> ! { barecall::process::exit_group(7) });
/// ```
pub trait Exit {
    /// The exit status, of which the parent sees the low 8 bits.
    fn status(self) -> i32;
}

impl Exit for i32 {
    #[inline]
    fn status(self) -> i32 {
        self
    }
}

impl Exit for () {
    #[inline]
    fn status(self) -> i32 {
        0
    }
}

impl Exit for core::convert::Infallible {
    #[inline]
    fn status(self) -> i32 {
        match self {}
    }
}

// Names `!`, which stable Rust allows only as what a function returns.
#[doc(hidden)]
#[allow(missing_docs)]
pub trait Returns {
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

impl Exit for <fn() -> ! as Returns>::Value {
    #[inline]
    fn status(self) -> i32 {
        self
    }
}

impl<T: Exit> Exit for Result<T, Errno> {
    fn status(self) -> i32 {
        match self {
            Ok(value) => value.status(),
            Err(errno) => {
                use fmt::Write as _;
                let _ = writeln!(stderr(), "error: {errno}");
                1
            }
        }
    }
}

/// What `start!` calls: runs `main` and gives the program's status.
///
/// # Safety
///
/// As [`Start::from_stack`].
#[doc(hidden)]
#[inline(always)]
pub unsafe fn run<T: Exit>(stack: *const usize, main: impl FnOnce(Start) -> T) -> i32 {
    // SAFETY: the caller's promise.
    let start = unsafe { Start::from_stack(stack) };
    main(start).status()
}

/// Standard error for `write!`.
fn stderr() -> io::FdWriter<BorrowedFd<'static>> {
    // SAFETY: if 2 is closed, the write fails and nothing is lost.
    io::FdWriter(unsafe { io::stderr() })
}

/// What `panic_handler!` calls: says what and where on standard error, and
/// aborts.
#[doc(hidden)]
pub fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    use fmt::Write as _;
    let _ = writeln!(stderr(), "{info}");
    abort()
}

/// Ends the process as `abort(3)` does, by `SIGABRT`.
///
/// Where that signal is blocked, ignored or handled, by a trap: `SIGILL`, on
/// aarch64 `SIGTRAP`.
pub fn abort() -> ! {
    const SIGABRT: i32 = 6;
    // SAFETY: a signal to oneself; what comes after does not return.
    unsafe {
        if let (Ok(pid), Ok(tid)) = (syscall!(nr::GETPID), syscall!(nr::GETTID)) {
            let _ = syscall!(nr::TGKILL, pid, tid, SIGABRT);
        }
        crate::arch::trap()
    }
}

/// Makes a function the program: all the symbols that a program without libc
/// needs, and a start that calls `main`.
///
/// `main` is `fn(Start) -> impl Exit`: it takes a [`Start`](crate::rt::Start)
/// and returns what [`Exit`](crate::rt::Exit) allows. The [`rt`](crate::rt)
/// module says how to link.
///
/// ```no_run
/// # #[cfg(any())] mod program {
/// #![no_std]
/// #![no_main]
///
/// barecall::entry!(main);
///
/// fn main(start: barecall::rt::Start) -> i32 {
///     start.argc() as i32
/// }
/// # }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        $crate::start!($main);
        $crate::mem!();
        $crate::personality!();
        $crate::panic_handler!();
    };
}

/// Emits `_start`, which calls `main`: the first part of
/// [`entry!`](crate::entry!).
#[macro_export]
macro_rules! start {
    ($main:path) => {
        #[cfg(test)]
        ::core::compile_error!(
            "a program without libc has no test harness: set test = false in its [[bin]]"
        );

        #[cfg(all(not(test), panic = "unwind"))]
        ::core::compile_error!(
            "a program without libc cannot unwind: set panic = \"abort\" in [profile.dev] and \
             [profile.release] of the workspace's Cargo.toml"
        );

        const _: () = {
            unsafe extern "C" fn run(stack: *const usize) -> i32 {
                // SAFETY: called by `_start`, with the stack of the kernel.
                unsafe { $crate::rt::run(stack, $main) }
            }

            $crate::__start!(run, $crate::rt::relocate);
        };
    };
}

/// Emits the panic handler: the last part of [`entry!`](crate::entry!).
///
/// It prints the message and the place on standard error, and aborts
/// (`SIGABRT`), whichever thread it is.
#[macro_export]
macro_rules! panic_handler {
    () => {
        $crate::__without_std! {
            #[panic_handler]
            fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
                $crate::rt::panicked(info)
            }
        }
    };
}

/// What only a program without std may define.
#[cfg(not(feature = "std"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __without_std {
    ($($item:item)*) => { $($item)* };
}

/// With the feature `std`, std defines it: such a program can be checked
/// (`cargo clippy --workspace --all-features`) but not linked. The linker says
/// so, by the name of a symbol that nobody defines.
#[cfg(feature = "std")]
#[doc(hidden)]
#[macro_export]
macro_rules! __without_std {
    ($($item:item)*) => {
        const _: () = {
            unsafe extern "C" {
                fn barecall_has_its_feature_std_here__build_this_program_alone__cargo_build_dash_p();
            }
            #[used]
            static STD: unsafe extern "C" fn() =
                barecall_has_its_feature_std_here__build_this_program_alone__cargo_build_dash_p;
        };
    };
}

/// Emits `rust_eh_personality` and `_Unwind_Resume`: a part of
/// [`entry!`](crate::entry!).
///
/// The compiled `core` and `alloc` are made for unwinding and refer to them;
/// with `panic = "abort"` nothing ever calls them.
///
/// On aarch64 also the three symbols that some builds of compiler-builtins
/// want for atomics out of line: `getauxval`, which says that the processor
/// has nothing special, so that they do without LSE, and the two of the stack
/// protector.
#[macro_export]
macro_rules! personality {
    () => {
        const _: () = {
            $crate::__without_std! {
                #[unsafe(no_mangle)]
                extern "C" fn rust_eh_personality() {}

                // The compiled `alloc` calls it after cleaning up.
                #[unsafe(no_mangle)]
                extern "C" fn _Unwind_Resume() -> ! {
                    $crate::rt::abort()
                }
            }

            #[cfg(target_arch = "aarch64")]
            #[unsafe(no_mangle)]
            extern "C" fn getauxval(_key: usize) -> usize {
                0
            }

            #[cfg(target_arch = "aarch64")]
            #[unsafe(no_mangle)]
            static __stack_chk_guard: usize = 0x00ff_0a0d_5bd1_e995;

            #[cfg(target_arch = "aarch64")]
            #[unsafe(no_mangle)]
            extern "C" fn __stack_chk_fail() -> ! {
                $crate::rt::abort()
            }
        };
    };
}

/// Emits `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp` and `strlen`: a part
/// of [`entry!`](crate::entry!).
///
/// Compiled code calls them, in a `no_std` program too, and `core` defines
/// none. In assembly, one register file wide, right for overlapping blocks.
#[macro_export]
macro_rules! mem {
    () => {
        const _: () = {
    $crate::__mem!(#[unsafe(no_mangle)] memcpy memmove memset memcmp bcmp strlen);
        };
    };
}
