//! Seals: what can no longer be done to a file, by anyone.

use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};

const F_ADD_SEALS: u32 = 1033;
const F_GET_SEALS: u32 = 1034;

flags! {
    /// `F_SEAL_*`: what can no longer be done to a file.
    ///
    /// Seals belong to the file, not to a descriptor: whoever has it open, in
    /// whichever process, sees the same ones, and a seal is never removed.
    ///
    /// A bit that this crate does not name is kept. Test with `contains`, never
    /// with `==`: others may have added more, and newer kernels have more.
    pub struct Seals: u32 {
        /// `F_SEAL_SEAL`: no more seals.
        #[doc(alias = "F_SEAL_SEAL")]
        const SEAL = 0x1;
        /// `F_SEAL_SHRINK`: never smaller. Nobody's mapping of it can fault for
        /// being past its end.
        #[doc(alias = "F_SEAL_SHRINK")]
        const SHRINK = 0x2;
        /// `F_SEAL_GROW`: never bigger. A write that *crosses* the end is cut
        /// short by some kernels and refused by others.
        #[doc(alias = "F_SEAL_GROW")]
        const GROW = 0x4;
        /// `F_SEAL_WRITE`: the bytes stay as they are. The size does not: that
        /// is [`SHRINK`](Self::SHRINK) and [`GROW`](Self::GROW).
        #[doc(alias = "F_SEAL_WRITE")]
        const WRITE = 0x8;
        /// `F_SEAL_FUTURE_WRITE`: no *new* way to write (since Linux 5.1).
        ///
        /// Shared mappings that exist go on writing, in every process. It says
        /// nothing about the bytes; it is for one writer with many readers.
        #[doc(alias = "F_SEAL_FUTURE_WRITE")]
        const FUTURE_WRITE = 0x10;
        /// `F_SEAL_EXEC`: the execute bits of the mode stay as they are (since
        /// Linux 6.3).
        ///
        /// On a file with an execute bit it implies `SHRINK`, `GROW`, `WRITE`
        /// and `FUTURE_WRITE`.
        #[doc(alias = "F_SEAL_EXEC")]
        const EXEC = 0x20;
        const _ = !0;
    }
}

impl Seals {
    /// `SHRINK | GROW | WRITE | SEAL`: nothing changes any more. What
    /// [`Memfd::freeze`](super::Memfd::freeze) adds.
    pub const IMMUTABLE: Self = Self::SEAL
        .union(Self::SHRINK)
        .union(Self::GROW)
        .union(Self::WRITE);

    /// `SHRINK | WRITE`: what it takes for the bytes that are there to stay.
    /// What [`Frozen::verify`](super::Frozen::verify) wants.
    pub const CONSTANT: Self = Self::SHRINK.union(Self::WRITE);
}

/// `fcntl(fd, F_ADD_SEALS, seals)`: adds to the seals of a file.
///
/// All of them or, on an error, none. Seals that are there already can be
/// added again. With [`Seals::WRITE`] the call can take 150 ms, when somebody
/// has pages of the file pinned.
///
/// # Errors
///
/// - `EPERM`: the descriptor is not open for writing; or [`Seals::SEAL`] is
///   there, and then even adding nothing is refused.
/// - `EBUSY`: [`Seals::WRITE`] while somebody could still write. That is a
///   shared mapping made from a *writable* descriptor, in this process, in a
///   forked child or anywhere else, even if it is `PROT_READ`, because
///   `mprotect` could change that; or pages pinned for I/O (`O_DIRECT`, a
///   registered io_uring buffer, RDMA). Private mappings, and shared ones made
///   from a read-only descriptor, are not in the way. [`Seals::EXEC`] on a file
///   with an execute bit implies `WRITE`, and says the same.
/// - `EINVAL`: a seal that this kernel does not know, or a file that has no
///   seals: everything but memfd, tmpfs and hugetlbfs.
/// - `EBADF`: an `O_PATH` descriptor.
///
/// ```
/// use barecall::Errno;
/// use barecall::memfd::{Exec, MemfdOptions, Seals, fcntl_add_seals, fcntl_get_seals};
///
/// let file = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing().create(c"doc")?;
/// fcntl_add_seals(&file, Seals::SHRINK | Seals::SEAL)?;
/// assert!(fcntl_get_seals(&file)?.contains(Seals::SHRINK | Seals::SEAL));
/// assert_eq!(fcntl_add_seals(&file, Seals::GROW), Err(Errno::EPERM));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [F_ADD_SEALS(2const)](https://man7.org/linux/man-pages/man2/F_ADD_SEALS.2const.html).
#[inline]
#[doc(alias = "F_ADD_SEALS")]
pub fn fcntl_add_seals<Fd: AsFd>(fd: Fd, seals: Seals) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCNTL, fd.as_fd(), F_ADD_SEALS, seals.bits()) }
}

/// `fcntl(fd, F_GET_SEALS)`: the seals of a file.
///
/// A read-only descriptor is enough. An answer does not mean that the file is
/// a memfd: a plain file on tmpfs answers [`Seals::SEAL`].
///
/// # Errors
///
/// `EINVAL`: a file that has no seals: everything but memfd, tmpfs and
/// hugetlbfs. `EBADF`: an `O_PATH` descriptor.
///
/// ```
/// use barecall::memfd::{Exec, MemfdOptions, Seals, fcntl_get_seals};
///
/// // Who does not ask for sealing gets the seal that ends it,
/// // unless the system makes it MFD_NOEXEC_SEAL.
/// let file = MemfdOptions::new().exec(Exec::SystemDefault).create(c"doc")?;
/// assert!(fcntl_get_seals(&file)?.intersects(Seals::SEAL | Seals::EXEC));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [F_GET_SEALS(2const)](https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html).
#[inline]
#[doc(alias = "F_GET_SEALS")]
pub fn fcntl_get_seals<Fd: AsFd>(fd: Fd) -> Result<Seals, Errno> {
    // SAFETY: numbers only.
    let bits = unsafe { syscall!(nr::FCNTL, fd.as_fd(), F_GET_SEALS) }?;
    Ok(Seals::from_bits_retain(bits as u32))
}
