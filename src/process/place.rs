//! Where a process is, and what it may use: directory, root, namespaces,
//! limits, descriptors.

use super::Pid;
use crate::errno::Errno;
use crate::fd::{AsFd, RawFd};
use crate::flags::flags;
use crate::selector::selector;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};
use core::ffi::CStr;

/// `chdir(path)`: changes the working directory of the process.
///
/// # Errors
///
/// `ENOENT`, `ENOTDIR`, `EACCES`, `ELOOP`, `ENAMETOOLONG`: the path.
///
/// Manual page: [chdir(2)](https://man7.org/linux/man-pages/man2/chdir.2.html).
#[inline]
pub fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::CHDIR, path) }
}

/// `fchdir(fd)`: changes the working directory of the process.
///
/// # Errors
///
/// `ENOTDIR`: not a directory. `EACCES`.
///
/// Manual page: [fchdir(2)](https://man7.org/linux/man-pages/man2/chdir.2.html).
#[inline]
pub fn fchdir<Fd: AsFd>(fd: Fd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCHDIR, fd.as_fd()) }
}

/// `getcwd(buf, size)`: the working directory of the process.
///
/// The kernel's own call: what is not below the root begins with
/// `(unreachable)`, not with a slash.
///
/// # Errors
///
/// `ERANGE`: no room. `ENAMETOOLONG`: longer than 4096 bytes, whatever room
/// there is. `ENOENT`: it was removed.
///
/// ```
/// let mut buf = [0; 4096];
/// let here = barecall::process::getcwd(&mut buf)?;
/// assert_eq!(here.to_bytes().first(), Some(&b'/'));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getcwd(2)](https://man7.org/linux/man-pages/man2/getcwd.2.html).
#[inline]
pub fn getcwd(buf: &mut [u8]) -> Result<&CStr, Errno> {
    // SAFETY: the kernel writes at most `len` bytes there.
    let n = unsafe { syscall!(nr::GETCWD, buf.as_mut_ptr(), buf.len()) }?;
    let path = buf
        .get(..n)
        .and_then(|path| CStr::from_bytes_with_nul(path).ok());
    path.ok_or(Errno::EIO)
}

/// `chroot(path)`: changes the root directory of the process. The working
/// directory stays, and with it a way out.
///
/// # Errors
///
/// `EPERM`: no `CAP_SYS_CHROOT`. `ENOENT`, `ENOTDIR`, `EACCES`, ...: the path.
///
/// Manual page: [chroot(2)](https://man7.org/linux/man-pages/man2/chroot.2.html).
#[inline]
pub fn chroot(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::CHROOT, path) }
}

/// `fchroot(fd, flags)`: as [`chroot`], with a directory that is open (since
/// Linux 7.3). No flag is known.
///
/// # Errors
///
/// As [`chroot`]; `ENOSYS`: an older kernel. `EINVAL`: an unknown flag.
#[inline]
pub fn fchroot<Fd: AsFd>(fd: Fd, flags: u32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCHROOT, fd.as_fd(), flags) }
}

/// `pivot_root(new_root, put_old)`: makes a mount the root, and mounts the old
/// root at `put_old`, which is below it.
///
/// With `c"."` twice, in the new root, the old one comes on top, and
/// `umount2(c".", DETACH)` takes it away.
///
/// # Errors
///
/// `EBUSY`: in the present root's mount. `EINVAL`: not a mount, shared mounts,
/// `put_old` not below, or the root is the initial RAM file system, which
/// cannot be left like this. `ENOTDIR`. `EPERM`: no `CAP_SYS_ADMIN`.
///
/// Manual page: [pivot_root(2)](https://man7.org/linux/man-pages/man2/pivot_root.2.html).
#[inline]
pub fn pivot_root(new_root: &CStr, put_old: &CStr) -> Result<(), Errno> {
    // SAFETY: two strings.
    unsafe { syscall_zero!(nr::PIVOT_ROOT, new_root, put_old) }
}

/// `umask(mask)`: the permission bits that new files do not get; gives those of
/// before.
///
/// ```
/// use barecall::process::umask;
///
/// let before = umask(0o077);
/// assert_eq!(umask(before), 0o077);
/// ```
///
/// Manual page: [umask(2)](https://man7.org/linux/man-pages/man2/umask.2.html).
#[inline]
pub fn umask(mask: u32) -> u32 {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::UMASK, mask) }.unwrap_or(0) as u32
}

flags! {
    /// `CLONE_*`: what is shared with a child, and what is new.
    pub struct CloneFlags: u64 {
        /// `CLONE_NEWTIME`: a time namespace, for children (since Linux 5.6).
        #[doc(alias = "CLONE_NEWTIME")]
        const NEWTIME = 0x80;
        /// `CLONE_VM`: memory is shared.
        #[doc(alias = "CLONE_VM")]
        const VM = 0x100;
        /// `CLONE_FS`: working directory, root and umask are shared.
        #[doc(alias = "CLONE_FS")]
        const FS = 0x200;
        /// `CLONE_FILES`: the table of descriptors is shared.
        #[doc(alias = "CLONE_FILES")]
        const FILES = 0x400;
        /// `CLONE_SIGHAND`: signal actions are shared.
        #[doc(alias = "CLONE_SIGHAND")]
        const SIGHAND = 0x800;
        /// `CLONE_PIDFD`: a pidfd is made (since Linux 5.2).
        #[doc(alias = "CLONE_PIDFD")]
        const PIDFD = 0x1000;
        /// `CLONE_PTRACE`: who traces the caller traces the child.
        #[doc(alias = "CLONE_PTRACE")]
        const PTRACE = 0x2000;
        /// `CLONE_VFORK`: the caller waits until the child executes a program
        /// or ends.
        #[doc(alias = "CLONE_VFORK")]
        const VFORK = 0x4000;
        /// `CLONE_PARENT`: a sibling, not a child. Its end sends what the
        /// caller's sends: `clone3` wants no exit signal.
        #[doc(alias = "CLONE_PARENT")]
        const PARENT = 0x8000;
        /// `CLONE_THREAD`: a thread of this process.
        #[doc(alias = "CLONE_THREAD")]
        const THREAD = 0x1_0000;
        /// `CLONE_NEWNS`: a mount namespace.
        #[doc(alias = "CLONE_NEWNS")]
        const NEWNS = 0x2_0000;
        /// `CLONE_SYSVSEM`: System V semaphore adjustments are shared.
        #[doc(alias = "CLONE_SYSVSEM")]
        const SYSVSEM = 0x4_0000;
        /// `CLONE_SETTLS`: a new thread pointer.
        #[doc(alias = "CLONE_SETTLS")]
        const SETTLS = 0x8_0000;
        /// `CLONE_PARENT_SETTID`: its number is written, for the parent.
        #[doc(alias = "CLONE_PARENT_SETTID")]
        const PARENT_SETTID = 0x10_0000;
        /// `CLONE_CHILD_CLEARTID`: a word is cleared, and waiters woken, when
        /// it ends.
        #[doc(alias = "CLONE_CHILD_CLEARTID")]
        const CHILD_CLEARTID = 0x20_0000;
        /// `CLONE_DETACHED`: ignored by the old `clone`, and `EINVAL` here.
        #[doc(alias = "CLONE_DETACHED")]
        const DETACHED = 0x40_0000;
        /// `CLONE_UNTRACED`: nobody can force `PTRACE`.
        #[doc(alias = "CLONE_UNTRACED")]
        const UNTRACED = 0x80_0000;
        /// `CLONE_CHILD_SETTID`: its number is written, for the child.
        #[doc(alias = "CLONE_CHILD_SETTID")]
        const CHILD_SETTID = 0x100_0000;
        /// `CLONE_NEWCGROUP`: a cgroup namespace.
        #[doc(alias = "CLONE_NEWCGROUP")]
        const NEWCGROUP = 0x200_0000;
        /// `CLONE_NEWUTS`: a namespace of host names.
        #[doc(alias = "CLONE_NEWUTS")]
        const NEWUTS = 0x400_0000;
        /// `CLONE_NEWIPC`: a namespace of System V IPC and message queues.
        #[doc(alias = "CLONE_NEWIPC")]
        const NEWIPC = 0x800_0000;
        /// `CLONE_NEWUSER`: a user namespace.
        #[doc(alias = "CLONE_NEWUSER")]
        const NEWUSER = 0x1000_0000;
        /// `CLONE_NEWPID`: a PID namespace; with `unshare`, for children.
        #[doc(alias = "CLONE_NEWPID")]
        const NEWPID = 0x2000_0000;
        /// `CLONE_NEWNET`: a network namespace.
        #[doc(alias = "CLONE_NEWNET")]
        const NEWNET = 0x4000_0000;
        /// `CLONE_IO`: the I/O context is shared.
        #[doc(alias = "CLONE_IO")]
        const IO = 0x8000_0000;
        /// `CLONE_CLEAR_SIGHAND`: signals with a handler are back to their
        /// default (since Linux 5.5). Only `clone3`.
        #[doc(alias = "CLONE_CLEAR_SIGHAND")]
        const CLEAR_SIGHAND = 1 << 32;
        /// `CLONE_INTO_CGROUP`: in another cgroup from the start (since Linux
        /// 5.7). Only `clone3`.
        #[doc(alias = "CLONE_INTO_CGROUP")]
        const INTO_CGROUP = 1 << 33;
        /// `CLONE_AUTOREAP`: nobody need wait for it, or can, and its end sends
        /// no signal (since Linux 7.1). Only `clone3`.
        #[doc(alias = "CLONE_AUTOREAP")]
        const AUTOREAP = 1 << 34;
        /// `CLONE_NNP`: with `no_new_privs` (since Linux 7.1). Only `clone3`.
        #[doc(alias = "CLONE_NNP")]
        const NNP = 1 << 35;
        /// `CLONE_PIDFD_AUTOKILL`: killed when its pidfd is closed; with `PIDFD`,
        /// `AUTOREAP`, and `NNP` or `CAP_SYS_ADMIN` (since Linux 7.1). Only
        /// `clone3`.
        #[doc(alias = "CLONE_PIDFD_AUTOKILL")]
        const PIDFD_AUTOKILL = 1 << 36;
        /// `CLONE_EMPTY_MNTNS`: a mount namespace with nothing in it (since
        /// Linux 7.1). Only `clone3`.
        #[doc(alias = "CLONE_EMPTY_MNTNS")]
        const EMPTY_MNTNS = 1 << 37;
        /// `UNSHARE_EMPTY_MNTNS`: the same (since Linux 7.1). Only `unshare`.
        const UNSHARE_EMPTY_MNTNS = 0x10_0000;
        const _ = !0;
    }
}

/// `unshare(flags)`: has from now on for itself what it shared, of this
/// *thread*.
///
/// # Safety
///
/// With [`CloneFlags::FILES`] the thread gets a table of descriptors of its
/// own: a descriptor that another thread opens or closes is not what it is
/// here. None may be used across.
///
/// # Errors
///
/// `EINVAL`: an unknown flag, or several threads and one that forbids them.
/// `EPERM`: no `CAP_SYS_ADMIN`. `ENOSPC`, `EUSERS`: too many, or too deep.
/// `ENOMEM`.
///
/// Manual page: [unshare(2)](https://man7.org/linux/man-pages/man2/unshare.2.html).
#[inline]
pub unsafe fn unshare(flags: CloneFlags) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::UNSHARE, flags.bits()) }
}

/// `setns(fd, nstype)`: moves this *thread* into a namespace; or, with a pidfd,
/// into those of a process that `kinds` names (since Linux 5.8).
///
/// With a namespace's descriptor, `kinds` is its kind, or empty for any.
///
/// # Errors
///
/// `EINVAL`: not of this kind, no kind that this call knows, or not possible
/// with several threads (mount, user). `EPERM`: no `CAP_SYS_ADMIN` there. `EBADF`, `ESRCH`, `ENOMEM`.
///
/// Manual page: [setns(2)](https://man7.org/linux/man-pages/man2/setns.2.html).
#[inline]
pub fn setns<Fd: AsFd>(fd: Fd, kinds: CloneFlags) -> Result<(), Errno> {
    // The kernel takes an int, and what is cut to 0 would be any kind.
    let kinds = u32::try_from(kinds.bits()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::SETNS, fd.as_fd(), kinds) }
}

selector! {
    /// `RLIMIT_*`: what is limited. Any number will do.
    pub struct Resource: u32 {
        /// `RLIMIT_CPU`: processor time, in seconds.
        #[doc(alias = "RLIMIT_CPU")]
        const CPU = 0;
        /// `RLIMIT_FSIZE`: the size of a file, in bytes.
        #[doc(alias = "RLIMIT_FSIZE")]
        const FSIZE = 1;
        /// `RLIMIT_DATA`: private writable memory, in bytes.
        #[doc(alias = "RLIMIT_DATA")]
        const DATA = 2;
        /// `RLIMIT_STACK`: the first thread's stack, in bytes.
        #[doc(alias = "RLIMIT_STACK")]
        const STACK = 3;
        /// `RLIMIT_CORE`: a core file, in bytes.
        #[doc(alias = "RLIMIT_CORE")]
        const CORE = 4;
        /// `RLIMIT_RSS`: without effect.
        #[doc(alias = "RLIMIT_RSS")]
        const RSS = 5;
        /// `RLIMIT_NPROC`: processes and threads of the user.
        #[doc(alias = "RLIMIT_NPROC")]
        const NPROC = 6;
        /// `RLIMIT_NOFILE`: descriptors: one more than the highest number.
        #[doc(alias = "RLIMIT_NOFILE")]
        const NOFILE = 7;
        /// `RLIMIT_MEMLOCK`: locked memory, in bytes.
        #[doc(alias = "RLIMIT_MEMLOCK")]
        const MEMLOCK = 8;
        /// `RLIMIT_AS`: all mappings, in bytes.
        #[doc(alias = "RLIMIT_AS")]
        const AS = 9;
        /// `RLIMIT_LOCKS`: without effect.
        #[doc(alias = "RLIMIT_LOCKS")]
        const LOCKS = 10;
        /// `RLIMIT_SIGPENDING`: queued signals of the user.
        #[doc(alias = "RLIMIT_SIGPENDING")]
        const SIGPENDING = 11;
        /// `RLIMIT_MSGQUEUE`: POSIX message queues of the user, in bytes.
        #[doc(alias = "RLIMIT_MSGQUEUE")]
        const MSGQUEUE = 12;
        /// `RLIMIT_NICE`: 20 minus the best nice value.
        #[doc(alias = "RLIMIT_NICE")]
        const NICE = 13;
        /// `RLIMIT_RTPRIO`: the highest real-time priority.
        #[doc(alias = "RLIMIT_RTPRIO")]
        const RTPRIO = 14;
        /// `RLIMIT_RTTIME`: real-time processor time without a pause, in
        /// microseconds.
        #[doc(alias = "RLIMIT_RTTIME")]
        const RTTIME = 15;
    }
}

/// `struct rlimit64`: a limit, and how far it can be raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct rlimit64")]
#[doc(alias = "struct rlimit")]
pub struct Rlimit {
    /// What holds (soft).
    pub rlim_cur: u64,
    /// What it can be raised to (hard).
    pub rlim_max: u64,
}

impl Rlimit {
    /// `RLIM64_INFINITY`: no limit.
    #[doc(alias = "RLIM64_INFINITY")]
    #[doc(alias = "RLIM_INFINITY")]
    pub const INFINITY: u64 = !0;
}

/// `prlimit64(pid, resource, new_limit, &old_limit)`: the limit of a process
/// (`None`: of the caller), and sets it, if there is a new one.
///
/// # Errors
///
/// `EPERM`: above the hard limit without `CAP_SYS_RESOURCE`, `NOFILE` above
/// what the kernel allows anybody (`fs.nr_open`), or a process of somebody else. `EINVAL`: no such resource, or soft above hard. `ESRCH`.
///
/// ```
/// use barecall::process::{Resource, prlimit};
///
/// let limit = prlimit(None, Resource::NOFILE, None)?;
/// assert!(limit.rlim_cur <= limit.rlim_max);
/// assert_eq!(prlimit(None, Resource::NOFILE, Some(limit))?, limit);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [prlimit(2)](https://man7.org/linux/man-pages/man2/getrlimit.2.html).
#[inline]
#[doc(alias = "prlimit64")]
#[doc(alias = "getrlimit")]
#[doc(alias = "setrlimit")]
pub fn prlimit(pid: Option<Pid>, resource: Resource, new: Option<Rlimit>) -> Result<Rlimit, Errno> {
    let pid = pid.map_or(0, Pid::as_raw);
    let mut old = Rlimit::default();
    let new = match &new {
        Some(new) => &raw const *new,
        None => core::ptr::null(),
    };
    // SAFETY: the kernel reads one limit, if any, and writes one.
    unsafe { syscall_zero!(nr::PRLIMIT64, pid, resource.0, new, &raw mut old) }?;
    Ok(old)
}

flags! {
    /// `CLOSE_RANGE_*` for [`close_range`].
    pub struct CloseRangeFlags: u32 {
        /// `CLOSE_RANGE_UNSHARE`: in a table of descriptors of one's own.
        #[doc(alias = "CLOSE_RANGE_UNSHARE")]
        const UNSHARE = 1 << 1;
        /// `CLOSE_RANGE_CLOEXEC`: makes them close-on-exec, and closes none
        /// (since Linux 5.11).
        #[doc(alias = "CLOSE_RANGE_CLOEXEC")]
        const CLOEXEC = 1 << 2;
        const _ = !0;
    }
}

/// `close_range(first, last, flags)`: closes all descriptors from `first` to
/// `last` (since Linux 5.9).
///
/// # Safety
///
/// Nobody owns one of them, or expects it to be open; with
/// [`CloseRangeFlags::UNSHARE`], as [`unshare`].
///
/// # Errors
///
/// `EINVAL`: an unknown flag, or `first` above `last`. `EMFILE`, `ENOMEM`: with
/// `UNSHARE`.
///
/// Manual page: [close_range(2)](https://man7.org/linux/man-pages/man2/close_range.2.html).
#[inline]
pub unsafe fn close_range(first: u32, last: u32, flags: CloseRangeFlags) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall_zero!(nr::CLOSE_RANGE, first, last, flags.bits()) }
}

/// `close_range(first, INT_MAX, CLOSE_RANGE_CLOEXEC)`: makes all descriptors from
/// `first` on close-on-exec (since Linux 5.11).
///
/// # Errors
///
/// `EINVAL`: an older kernel, or `first` is negative.
///
/// ```no_run
/// // Whatever else is open, a program that is executed gets 0, 1 and 2 only.
/// barecall::process::close_range_cloexec(3)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [close_range(2)](https://man7.org/linux/man-pages/man2/close_range.2.html).
#[inline]
pub fn close_range_cloexec(first: RawFd) -> Result<(), Errno> {
    let flags = CloseRangeFlags::CLOEXEC;
    // No descriptor is above, and a negative `first` is.
    // SAFETY: with this flag none is closed.
    unsafe { syscall_zero!(nr::CLOSE_RANGE, first, RawFd::MAX, flags.bits()) }
}
