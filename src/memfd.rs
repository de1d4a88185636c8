//! Files that are memory.

use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::nr;
use crate::syscall::syscall_fd;
use core::ffi::CStr;

/// How a memfd is made.
#[derive(Clone, Copy, Debug)]
pub struct MemfdOptions {
    flags: u32,
}

impl MemfdOptions {
    /// Close-on-exec, sealable, never executable (`MFD_NOEXEC_SEAL`, since
    /// Linux 6.3; older kernels say `EINVAL`).
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self { flags: 1 | 8 }
    }

    /// `memfd_create(name, flags)`: a new, empty file in memory.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the name is longer than 249 bytes, or a flag is unknown.
    pub fn create(&self, name: &CStr) -> Result<Memfd, Errno> {
        // SAFETY: a string, and a new descriptor that is ours.
        unsafe { syscall_fd!(nr::MEMFD_CREATE, name, self.flags) }.map(Memfd)
    }
}

/// A file in memory.
#[derive(Debug)]
pub struct Memfd(OwnedFd);

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
