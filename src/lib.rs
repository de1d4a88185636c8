//! Linux system calls by inline assembly, without libc, for `no_std` and
//! ordinary programs on x86_64 and aarch64.
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
pub mod nr;
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
pub mod spawn;

// Beside them: program start.
pub mod rt;

pub use errno::Errno;
