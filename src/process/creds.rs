//! Users and groups.
//!
//! The kernel keeps them for each *thread*. The C library's functions of these
//! names change all threads of the process; what is here does not, and is
//! named so.

use crate::errno::Errno;
use crate::syscall::{as_int, syscall_zero};
use crate::{nr, syscall};

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident $nr:ident) => {
        $(#[$doc])*
        #[inline]
        pub fn $name() -> u32 {
            // SAFETY: takes nothing and changes nothing.
            unsafe { syscall!(nr::$nr) }.unwrap_or(usize::MAX) as u32
        }
    };
}

getter! {
    /// `getuid()`: the real user.
    ///
    /// Manual page: [getuid(2)](https://man7.org/linux/man-pages/man2/getuid.2.html).
    getuid GETUID
}
getter! {
    /// `geteuid()`: the effective user.
    ///
    /// Manual page: [geteuid(2)](https://man7.org/linux/man-pages/man2/getuid.2.html).
    geteuid GETEUID
}
getter! {
    /// `getgid()`: the real group.
    ///
    /// Manual page: [getgid(2)](https://man7.org/linux/man-pages/man2/getgid.2.html).
    getgid GETGID
}
getter! {
    /// `getegid()`: the effective group.
    ///
    /// Manual page: [getegid(2)](https://man7.org/linux/man-pages/man2/getgid.2.html).
    getegid GETEGID
}

/// The three users, or groups, of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The real one.
    pub real: u32,
    /// The effective one.
    pub effective: u32,
    /// The saved one.
    pub saved: u32,
}

/// `getresuid(&ruid, &euid, &suid)`: the three users.
///
/// # Errors
///
/// None.
///
/// ```
/// use barecall::process::{geteuid, getresuid};
///
/// assert_eq!(getresuid()?.effective, geteuid());
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getresuid(2)](https://man7.org/linux/man-pages/man2/getresuid.2.html).
#[inline]
pub fn getresuid() -> Result<Ids, Errno> {
    let [mut real, mut effective, mut saved] = [u32::MAX; 3];
    // SAFETY: the kernel writes three numbers.
    unsafe {
        syscall_zero!(
            nr::GETRESUID,
            &raw mut real,
            &raw mut effective,
            &raw mut saved
        )?;
    }
    Ok(Ids {
        real,
        effective,
        saved,
    })
}

/// `getresgid(&rgid, &egid, &sgid)`: the three groups.
///
/// # Errors
///
/// None.
///
/// Manual page: [getresgid(2)](https://man7.org/linux/man-pages/man2/getresuid.2.html).
#[inline]
pub fn getresgid() -> Result<Ids, Errno> {
    let [mut real, mut effective, mut saved] = [u32::MAX; 3];
    // SAFETY: the kernel writes three numbers.
    unsafe {
        syscall_zero!(
            nr::GETRESGID,
            &raw mut real,
            &raw mut effective,
            &raw mut saved
        )?;
    }
    Ok(Ids {
        real,
        effective,
        saved,
    })
}

/// `getgroups(size, list)`: the supplementary groups, as many as there are;
/// with an empty list, only how many.
///
/// # Errors
///
/// `EINVAL`: the list is too short.
///
/// ```
/// use barecall::process::getgroups;
///
/// let count = getgroups(&mut [])?;
/// let mut groups = vec![0; count];
/// assert_eq!(getgroups(&mut groups)?, count);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getgroups(2)](https://man7.org/linux/man-pages/man2/getgroups.2.html).
#[inline]
pub fn getgroups(list: &mut [u32]) -> Result<usize, Errno> {
    let size = as_int(list.len());
    // SAFETY: the kernel writes at most `size` numbers there.
    unsafe { syscall!(nr::GETGROUPS, size, list.as_mut_ptr()) }
}

/// `setuid(uid)`, of this *thread* alone: with `CAP_SETUID` all three users,
/// else the effective one.
///
/// # Safety
///
/// In a process with several threads, the others keep their users: one that
/// has lost a privilege shares its memory with one that has not. Nothing may
/// rely on the thread's privileges, either way.
///
/// # Errors
///
/// `EPERM`: not one's own, and no `CAP_SETUID`. `EAGAIN`: no memory. `EINVAL`: no
/// such user in this user namespace.
///
/// Manual page: [setuid(2)](https://man7.org/linux/man-pages/man2/setuid.2.html).
#[inline]
#[doc(alias = "setuid")]
pub unsafe fn setuid_thread(uid: u32) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::SETUID, uid) }
}

/// `setgid(gid)`, of this *thread* alone.
///
/// # Safety
///
/// As [`setuid_thread`].
///
/// # Errors
///
/// As [`setuid_thread`], with `CAP_SETGID`.
///
/// Manual page: [setgid(2)](https://man7.org/linux/man-pages/man2/setgid.2.html).
#[inline]
#[doc(alias = "setgid")]
pub unsafe fn setgid_thread(gid: u32) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::SETGID, gid) }
}

/// `setresuid(ruid, euid, suid)`, of this *thread* alone. `u32::MAX` leaves one
/// as it is.
///
/// # Safety
///
/// As [`setuid_thread`].
///
/// # Errors
///
/// As [`setuid_thread`].
///
/// Manual page: [setresuid(2)](https://man7.org/linux/man-pages/man2/setresuid.2.html).
#[inline]
#[doc(alias = "setresuid")]
pub unsafe fn setresuid_thread(ids: Ids) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::SETRESUID, ids.real, ids.effective, ids.saved) }
}

/// `setresgid(rgid, egid, sgid)`, of this *thread* alone. `u32::MAX` leaves one
/// as it is.
///
/// # Safety
///
/// As [`setuid_thread`].
///
/// # Errors
///
/// As [`setuid_thread`], with `CAP_SETGID`.
///
/// Manual page: [setresgid(2)](https://man7.org/linux/man-pages/man2/setresuid.2.html).
#[inline]
#[doc(alias = "setresgid")]
pub unsafe fn setresgid_thread(ids: Ids) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::SETRESGID, ids.real, ids.effective, ids.saved) }
}

/// `setgroups(size, list)`, of this *thread* alone: the supplementary groups.
///
/// # Safety
///
/// As [`setuid_thread`].
///
/// # Errors
///
/// `EPERM`: no `CAP_SETGID`, or a user namespace that denies it. `EINVAL`: more
/// than 65536. `ENOMEM`.
///
/// Manual page: [setgroups(2)](https://man7.org/linux/man-pages/man2/getgroups.2.html).
#[inline]
#[doc(alias = "setgroups")]
pub unsafe fn setgroups_thread(list: &[u32]) -> Result<(), Errno> {
    let size = as_int(list.len());
    // SAFETY: the kernel reads `size` numbers; the rest is the caller's promise.
    unsafe { syscall_zero!(nr::SETGROUPS, size, list.as_ptr()) }
}
