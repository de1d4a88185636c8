//! Memory that nobody else can reach, not even the kernel.

use crate::errno::Errno;
use crate::fd::OwnedFd;
use crate::fd::syscall_fd;
use crate::flags::flags;
use crate::nr;

flags! {
    /// For [`memfd_secret`].
    pub struct SecretFlags: u32 {
        /// `O_CLOEXEC`: closed by `execve`. (The manual page says `FD_CLOEXEC`,
        /// which the kernel answers with `EINVAL`.)
        #[doc(alias = "O_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

/// `memfd_secret(flags)`: a file whose pages the kernel takes out of its own
/// memory map (since Linux 5.14).
///
/// What it is good for: keys that no bug in the kernel's reading of memory, no
/// other process and no debugger gets at. How it differs from a memfd:
///
/// - Its length is set once, by [`fs::ftruncate`](crate::fs::ftruncate), and
///   the second time is `EINVAL`, whatever the length.
/// - It is used through a shared mapping only: [`SharedMap`](super::SharedMap)
///   works. `read` and `write` are `EINVAL` (at an offset, `ESPIPE`), and so is
///   a private mapping.
/// - It has no seals (`EINVAL`), is locked in memory and counts against
///   `RLIMIT_MEMLOCK` (`EAGAIN` from `mmap`), and cannot be pinned: `O_DIRECT`,
///   `vmsplice`, `process_vm_readv` and `ptrace` on it fail with `EFAULT` or
///   `EIO`. (A plain `write` *from* it works: the kernel copies with the
///   mapping of the process.)
/// - The system cannot hibernate while one is open.
///
/// # Errors
///
/// `EINVAL`: an unknown flag. `ENOSYS`: before 5.14, or off: it has to be built
/// in, before 6.5 to be turned on by `secretmem.enable=1` on the kernel's
/// command line, and needs a processor that can split its memory map.
/// `EMFILE`, `ENFILE`, `ENOMEM`.
///
/// ```
/// use barecall::memfd::{Access, SecretFlags, SharedMap, memfd_secret};
/// use barecall::{Errno, fs};
///
/// match memfd_secret(SecretFlags::CLOEXEC) {
///     Ok(file) => {
///         fs::ftruncate(&file, 4096)?;
///         let secret = SharedMap::new(&file, Access::ReadWrite, None)?;
///         secret.write_at(b"hunter2", 0)?;
///     }
///     Err(errno) => assert_eq!(errno, Errno::ENOSYS),
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [memfd_secret(2)](https://man7.org/linux/man-pages/man2/memfd_secret.2.html).
#[inline]
pub fn memfd_secret(flags: SecretFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a number, and the new descriptor is ours.
    unsafe { syscall_fd!(nr::MEMFD_SECRET, flags.bits()) }
}
