//! What differs by processor: the files of `arch/`, one of which is compiled.
//!
//! The stubs here are the whole bridge to the kernel. They take and give bare
//! registers; [`syscall!`](crate::syscall!) is what one normally calls.

cfg_if::cfg_if! {
    if #[cfg(target_arch = "x86_64")] {
        #[path = "../arch/x86_64.rs"]
        mod imp;
        #[path = "../arch/mem_x86_64.rs"]
        mod mem;
    } else if #[cfg(target_arch = "aarch64")] {
        #[path = "../arch/aarch64.rs"]
        mod imp;
        #[path = "../arch/mem_aarch64.rs"]
        mod mem;
    }
}

pub use imp::*;

// The one place where calls are traced: these stand before those of `imp`.
// Without the feature, nothing stands there. (Hidden: rustdoc writes a page for
// what a glob brings too, and the two would be written to one file.)
#[cfg(feature = "trace")]
#[doc(hidden)]
pub use crate::hook::{
    syscall0, syscall1, syscall1_noreturn, syscall2, syscall3, syscall4, syscall5, syscall6,
};

/// The stubs themselves, whose calls nobody traces.
#[cfg(feature = "trace")]
#[cfg_attr(docsrs, doc(cfg(feature = "trace")))]
pub mod untraced {
    pub use super::imp::{
        syscall0, syscall1, syscall1_noreturn, syscall2, syscall3, syscall4, syscall5, syscall6,
    };
}

/// A machine register that goes into a system call or comes out of it.
///
/// A pointer type, so that an operand which is a pointer keeps its provenance
/// on the way to the kernel, and an address that the kernel returns is a
/// pointer from the start.
pub type Reg = *mut core::ffi::c_void;
