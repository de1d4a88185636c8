//! What processes used.

use crate::errno::Errno;
use crate::nr;
use crate::syscall::syscall_out;
use crate::time::Timeval;

/// `struct rusage`: what was used. The kernel leaves the fields at 0 that are
/// not described here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "struct rusage")]
#[allow(missing_docs)]
pub struct Rusage {
    /// Processor time in the program.
    pub ru_utime: Timeval,
    /// Processor time in the kernel.
    pub ru_stime: Timeval,
    /// The most memory that was ever resident, in KiB; for children, of the
    /// largest of them.
    pub ru_maxrss: i64,
    pub ru_ixrss: i64,
    pub ru_idrss: i64,
    pub ru_isrss: i64,
    /// Page faults without I/O.
    pub ru_minflt: i64,
    /// Page faults with I/O.
    pub ru_majflt: i64,
    pub ru_nswap: i64,
    /// Blocks of 512 bytes that were read from disks.
    pub ru_inblock: i64,
    /// Blocks of 512 bytes that were written to files.
    pub ru_oublock: i64,
    pub ru_msgsnd: i64,
    pub ru_msgrcv: i64,
    pub ru_nsignals: i64,
    /// Times that it waited for something.
    pub ru_nvcsw: i64,
    /// Times that others had the processor while it could have run.
    pub ru_nivcsw: i64,
}

/// Of whom [`getrusage`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RusageWho(i32);

impl RusageWho {
    /// `RUSAGE_SELF`: this process, all of its threads.
    #[doc(alias = "RUSAGE_SELF")]
    pub const SELF: Self = Self(0);
    /// `RUSAGE_CHILDREN`: children that ended and were waited for, and theirs.
    #[doc(alias = "RUSAGE_CHILDREN")]
    pub const CHILDREN: Self = Self(-1);
    /// `RUSAGE_THREAD`: this thread.
    #[doc(alias = "RUSAGE_THREAD")]
    pub const THREAD: Self = Self(1);

    /// Of whom, by number.
    #[inline]
    pub const fn from_raw(who: i32) -> Self {
        Self(who)
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// `getrusage(who, &usage)`: what was used up to now.
///
/// # Errors
///
/// `EINVAL`: an unknown `who`.
///
/// ```
/// use barecall::process::{RusageWho, getrusage};
///
/// assert!(getrusage(RusageWho::SELF)?.ru_maxrss > 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getrusage(2)](https://man7.org/linux/man-pages/man2/getrusage.2.html).
#[inline]
pub fn getrusage(who: RusageWho) -> Result<Rusage, Errno> {
    // SAFETY: the kernel writes a `struct rusage`.
    unsafe { syscall_out!(Rusage; nr::GETRUSAGE, who.0; _) }
}
