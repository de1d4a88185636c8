//! What a process decides about itself.

use crate::errno::Errno;
use crate::signal::Signal;
use crate::syscall::{Arg, syscall_out, syscall_zero};
use crate::{nr, syscall};

// <linux/prctl.h>
const PR_SET_PDEATHSIG: u32 = 1;
const PR_GET_PDEATHSIG: u32 = 2;
const PR_GET_DUMPABLE: u32 = 3;
const PR_SET_DUMPABLE: u32 = 4;
const PR_SET_CHILD_SUBREAPER: u32 = 36;
const PR_GET_CHILD_SUBREAPER: u32 = 37;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const PR_GET_NO_NEW_PRIVS: u32 = 39;

/// `prctl(option, arg2, arg3, arg4, arg5)`: any option.
///
/// # Safety
///
/// As for [`syscall!`](crate::syscall!): it depends on the option.
///
/// # Errors
///
/// `EINVAL`: an option that this kernel does not know, or wrong arguments.
/// Others by option.
///
/// ```
/// // SAFETY: PR_GET_DUMPABLE reads a number.
/// let dumpable = unsafe { barecall::process::prctl(3, 0, 0, 0, 0) }?;
/// assert!(dumpable <= 2);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [prctl(2)](https://man7.org/linux/man-pages/man2/prctl.2.html).
#[inline]
pub unsafe fn prctl<A: Arg, B: Arg, C: Arg, D: Arg>(
    option: u32,
    arg2: A,
    arg3: B,
    arg4: C,
    arg5: D,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(nr::PRCTL, option, arg2, arg3, arg4, arg5) }
}

#[inline]
fn set(option: u32, value: u32) -> Result<(), Errno> {
    // SAFETY: for the options of this module, a number and no pointer.
    unsafe { syscall_zero!(nr::PRCTL, option, value, 0, 0, 0) }
}

/// `prctl(PR_SET_CHILD_SUBREAPER, on)`: whether orphans among the descendants
/// become children of this process, as they would of process 1 (since Linux
/// 3.4).
///
/// # Errors
///
/// None on a kernel that has it.
///
/// Manual page: [PR_SET_CHILD_SUBREAPER(2const)](https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html).
#[inline]
pub fn set_child_subreaper(on: bool) -> Result<(), Errno> {
    set(PR_SET_CHILD_SUBREAPER, u32::from(on))
}

/// `prctl(PR_GET_CHILD_SUBREAPER, &on)`: what [`set_child_subreaper`] set.
///
/// # Errors
///
/// None on a kernel that has it.
///
/// Manual page: [PR_GET_CHILD_SUBREAPER(2const)](https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html).
#[inline]
pub fn child_subreaper() -> Result<bool, Errno> {
    // SAFETY: the kernel writes an int.
    unsafe { syscall_out!(i32; nr::PRCTL, PR_GET_CHILD_SUBREAPER; _, 0, 0, 0) }.map(|on| on != 0)
}

/// `prctl(PR_SET_PDEATHSIG, signal)`: the signal that this process gets when
/// the *thread* that made it ends; `None` is none. Not inherited, and gone with
/// set-user-ID programs.
///
/// Whether the parent has ended before, [`getppid`](super::getppid) tells.
///
/// # Errors
///
/// None for a [`Signal`].
///
/// Manual page: [PR_SET_PDEATHSIG(2const)](https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html).
#[inline]
pub fn set_pdeathsig(signal: Option<Signal>) -> Result<(), Errno> {
    set(
        PR_SET_PDEATHSIG,
        signal.map_or(0, |signal| signal.as_raw() as u32),
    )
}

/// `prctl(PR_GET_PDEATHSIG, &signal)`: what [`set_pdeathsig`] set.
///
/// # Errors
///
/// None.
///
/// Manual page: [PR_GET_PDEATHSIG(2const)](https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html).
#[inline]
pub fn pdeathsig() -> Result<Option<Signal>, Errno> {
    // SAFETY: the kernel writes an int.
    unsafe { syscall_out!(i32; nr::PRCTL, PR_GET_PDEATHSIG; _, 0, 0, 0) }.map(Signal::new)
}

/// `prctl(PR_SET_NO_NEW_PRIVS, 1)`: `execve` gives this *thread*, and those
/// that it makes from now on, no privileges any more: set-user-ID bits and file
/// capabilities do not count (since Linux 3.5). For ever.
///
/// # Errors
///
/// None on a kernel that has it.
///
/// Manual page: [PR_SET_NO_NEW_PRIVS(2const)](https://man7.org/linux/man-pages/man2/PR_SET_NO_NEW_PRIVS.2const.html).
#[inline]
pub fn set_no_new_privs() -> Result<(), Errno> {
    set(PR_SET_NO_NEW_PRIVS, 1)
}

/// `prctl(PR_GET_NO_NEW_PRIVS)`: whether [`set_no_new_privs`] was.
///
/// # Errors
///
/// None on a kernel that has it.
///
/// Manual page: [PR_GET_NO_NEW_PRIVS(2const)](https://man7.org/linux/man-pages/man2/PR_SET_NO_NEW_PRIVS.2const.html).
#[inline]
pub fn no_new_privs() -> Result<bool, Errno> {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::PRCTL, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) }.map(|on| on != 0)
}

/// `prctl(PR_SET_DUMPABLE, on)`: whether this process can dump core, be traced
/// by its own user, and has `/proc` files that are its own.
///
/// # Errors
///
/// None.
///
/// Manual page: [PR_SET_DUMPABLE(2const)](https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html).
#[inline]
pub fn set_dumpable(on: bool) -> Result<(), Errno> {
    set(PR_SET_DUMPABLE, u32::from(on))
}

/// `prctl(PR_GET_DUMPABLE)`: 0 for no, 1 for yes, 2 for root only (after
/// something set-user-ID, by `fs.suid_dumpable`).
///
/// # Errors
///
/// None.
///
/// Manual page: [PR_GET_DUMPABLE(2const)](https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html).
#[inline]
pub fn dumpable() -> Result<u32, Errno> {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::PRCTL, PR_GET_DUMPABLE, 0, 0, 0, 0) }.map(|value| value as u32)
}
