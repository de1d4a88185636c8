//! Linux system calls by inline assembly and nothing else, for x86_64 and
//! aarch64: libc is not linked, not called and not needed.
//!
//! For a program without std, down to PID 1, this crate is the way to the
//! kernel. In an ordinary program it is a dependency like any other, for what
//! libc wraps late, badly or never.
//!
//! # Which module
//!
//! | need | module |
//! |---|---|
//! | a file in memory; sealed memory that is safe to map; running a program from memory | [`memfd`] |
//! | a file that has no name yet; publishing a file in one step, durably | [`tmpfile`] |
//! | page faults in user space: snapshots, lazy loading, dirty tracking | [`userfaultfd`], [`pagemap`] |
//! | the loop around them: many regions, blocks, a failing source, prefetching | `pager` (a feature) |
//! | is it the same open file, the same memory? who shares what? | [`kcmp`] |
//! | the clock and random bytes without a system call | [`vdso`], [`time`] |
//! | running programs | [`spawn`], [`process`] |
//! | threads, signals, futexes without libc | [`thread`], [`signal`], [`futex`] |
//! | what an init does | [`guide::init`], [`mount`], [`system`], [`process`] |
//! | `_start`: a program without libc, and how to link it | [`rt`] |
//! | files, memory, events, sockets | [`io`], [`fs`], [`mm`], [`event`], [`net`] |
//! | any other system call | [`syscall!`], [`nr`] |
//! | what a program asks of the kernel, where no strace is | `trace`, a feature |
//!
//! Coming from libc, nix, rustix, memfd or userfaultfd: [`guide::migrating`].
//! What needs which kernel: [`guide::kernels`]. A whole init: [`guide::init`].
//!
//! # A program without libc
//!
//! ```no_run
//! # #[cfg(any())] mod program {
//! #![no_std]
//! #![no_main]
//!
//! use barecall::io;
//! use barecall::rt::Start;
//!
//! barecall::entry!(main);
//!
//! fn main(start: Start) -> Result<(), barecall::Errno> {
//!     for arg in start.args() {
//!         // SAFETY: descriptor 1 is standard output from the start.
//!         let stdout = unsafe { io::stdout() };
//!         io::write_all(stdout, arg.to_bytes())?;
//!         io::write_all(stdout, b"\n")?;
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! It links with a build script of five lines; see [`rt`].
//!
//! # A program with std
//!
//! ```
//! use barecall::memfd::MemfdOptions;
//! use barecall::{Errno, kcmp};
//!
//! fn main() -> Result<(), Errno> {
//!     // Sealed against every change, and therefore safe to map as a slice.
//!     // Not executable either, which needs Linux 6.3: see `MemfdOptions::exec`.
//!     let blob = MemfdOptions::new().create_frozen(c"greeting", b"hello")?;
//!     let map = blob.map()?;
//!     assert_eq!(&*map, b"hello");
//!
//!     // A second descriptor of the same open file.
//!     let again = blob.try_clone()?;
//!     let (same, _how) = kcmp::same_description(&blob, &again)?;
//!     assert!(same);
//!     Ok(())
//! }
//! ```
//!
//! # The contract
//!
//! 1. **One function, one system call, one name**: that of the manual page.
//!    `EINTR` is returned ([`io::retry_on_intr`] goes on), short counts are
//!    returned. What makes several calls, or tries a second way, has a name of
//!    its own, and says which way it took.
//! 2. **No panic, no allocation, no global state.**
//! 3. **Open-ended**: flags are sets that keep unknown bits, selectors are
//!    newtypes, and what the kernel answers may be unknown. A kernel that is
//!    newer than the crate stays usable.
//! 4. **Safe means safe**: no safe function changes, unmaps or closes what Rust
//!    believes in. Memory that others can write is copied, not borrowed.
//! 5. **Errors are values**, which hand back what the caller still owns.
//! 6. **Descriptors are owned**, close-on-exec unless asked otherwise, never
//!    closed behind the user's back.
//! 7. **The raw layer is public**: [`syscall!`] serves what has no function yet.
//! 8. **Pointers keep their provenance** on the way to the kernel and back.
//!
//! Each call names its errors, its manual page, and the first kernel that has
//! it where older ones are met. The oldest kernel that the tests run on is 5.10.
//!
//! # Features
//!
//! `std` adds conversions with std's descriptors and errors, and [`fd::AsFd`]
//! for std's types. It changes nothing that is there without it.
//!
//! `pager` adds the module of that name: serving page faults from a source of
//! pages, and tracking of writes and of working sets, over [`userfaultfd`].
//!
//! `trace` lets a program tell its own system calls as strace does, to a
//! descriptor, to a ring in memory, or to a function: the module `trace`. Without
//! it, the stubs are what they are; with it, and in a program that does not
//! declare where its trace goes, a call costs a load and a branch more.
//!
//! # SVE
//!
//! On aarch64, a function with `#[target_feature(enable = "sve")]` must not
//! make system calls, unless the whole build has SVE: see [`syscall!`].
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    target_endian = "little",
    any(target_arch = "x86_64", target_arch = "aarch64"),
)))]
compile_error!(
    "barecall supports Linux on x86_64 and on little-endian aarch64, both with 64-bit pointers \
     (not x32, not ILP32), and nothing else"
);

#[cfg(feature = "std")]
extern crate std;

// Ground floor.
pub mod arch;
pub mod errno;
pub mod fd;
mod flags;
#[cfg(feature = "trace")]
mod hook;
pub mod nr;
mod selector;
pub mod syscall;

// First floor: families.
pub mod auxv;
pub mod event;
pub mod fs;
pub mod futex;
pub mod io;
pub mod mm;
pub mod mount;
pub mod net;
pub mod process;
pub mod signal;
pub mod system;
pub mod thread;
pub mod time;

// Second floor: what one comes for.
pub mod kcmp;
pub mod memfd;
pub mod pagemap;
pub mod tmpfile;
pub mod userfaultfd;
pub mod vdso;

// Top: compositions.
#[cfg(feature = "pager")]
#[cfg_attr(docsrs, doc(cfg(feature = "pager")))]
pub mod pager;
pub mod spawn;
#[cfg(feature = "trace")]
#[cfg_attr(docsrs, doc(cfg(feature = "trace")))]
pub mod trace;

// Beside them: program start.
pub mod rt;

#[cfg(any(doc, doctest))]
pub mod guide;

pub use errno::Errno;
