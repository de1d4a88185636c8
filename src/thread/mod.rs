//! Threads: starting them without a C library, and what the kernel knows of
//! them.
//!
//! [`spawn`] makes a thread with a guarded stack of its own and nothing else:
//! no thread-local storage, no allocation, no table of threads. It is meant
//! for programs without libc; what holds in one with libc is said there.
//! [`gettid`] is the number of the calling one.

mod sched;
mod spawn;

pub use crate::process::gettid;
pub use sched::{CpuIter, CpuSet, getcpu, sched_getaffinity, sched_setaffinity, sched_yield};
pub use spawn::{JoinHandle, spawn, spawn_unchecked};

use crate::errno::Errno;
use crate::process::Pid;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};
use core::ffi::CStr;

// <linux/prctl.h>
const PR_SET_NAME: u32 = 15;
const PR_GET_NAME: u32 = 16;

/// `prctl(PR_SET_NAME, name)`: names this thread, as `ps` and `top` show it.
///
/// The kernel keeps 15 bytes, and cuts what is longer in silence. The name of
/// the first thread is that of the process.
///
/// # Errors
///
/// None.
///
/// ```
/// use barecall::thread;
///
/// thread::set_name(c"worker")?;
/// assert_eq!(thread::get_name(&mut [0; 16])?, c"worker");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [PR_SET_NAME(2const)](https://man7.org/linux/man-pages/man2/PR_SET_NAME.2const.html).
#[inline]
#[doc(alias = "PR_SET_NAME")]
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads a string.
    unsafe { syscall_zero!(nr::PRCTL, PR_SET_NAME, name, 0, 0, 0) }
}

/// `prctl(PR_GET_NAME, name)`: the name of this thread, written to `buf`.
///
/// # Errors
///
/// None.
///
/// See [`set_name`] for an example.
///
/// Manual page: [PR_GET_NAME(2const)](https://man7.org/linux/man-pages/man2/PR_SET_NAME.2const.html).
#[inline]
#[doc(alias = "PR_GET_NAME")]
pub fn get_name(buf: &mut [u8; 16]) -> Result<&CStr, Errno> {
    // SAFETY: the kernel writes 16 bytes.
    unsafe { syscall_zero!(nr::PRCTL, PR_GET_NAME, buf.as_mut_ptr(), 0, 0, 0) }?;
    Ok(CStr::from_bytes_until_nul(buf).unwrap_or(c""))
}

/// `set_tid_address(tidptr)`: which word the kernel sets to 0 when this thread
/// ends, waking one who waits on it (a shared futex); null for none. Gives the
/// number of this thread.
///
/// # Safety
///
/// The word is valid to write as long as this thread lives, and everybody is
/// content with a 0 there at its end. Whoever started the thread may wait for
/// *another* word to become 0 (`pthread_join`, [`JoinHandle::join`]), and then
/// waits for ever.
///
/// ```no_run
/// use core::sync::atomic::AtomicU32;
///
/// static ALIVE: AtomicU32 = AtomicU32::new(1);
///
/// // SAFETY: a static, and nobody joins this thread.
/// let thread = unsafe { barecall::thread::set_tid_address(ALIVE.as_ptr()) };
/// assert_eq!(thread, barecall::thread::gettid());
/// ```
///
/// Manual page: [set_tid_address(2)](https://man7.org/linux/man-pages/man2/set_tid_address.2.html).
#[inline]
pub unsafe fn set_tid_address(word: *mut u32) -> Pid {
    // SAFETY: the caller's promise.
    Pid::from_kernel(unsafe { syscall!(nr::SET_TID_ADDRESS, word) }.unwrap_or(0))
}
