//! Processes by descriptor.

use super::{Pid, WaitStatus};
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, OwnedFd, RawFd};
use crate::flags::flags;
use crate::nr;
use crate::syscall::syscall_zero;

flags! {
    /// `PIDFD_*` for [`pidfd_open`].
    pub struct PidfdFlags: u32 {
        /// `PIDFD_NONBLOCK`: [`waitid`](super::waitid) gives `EAGAIN` while it
        /// runs (since Linux 5.10).
        #[doc(alias = "PIDFD_NONBLOCK")]
        const NONBLOCK = 0o4000;
        /// `PIDFD_THREAD`: one thread, not its process (since Linux 6.9).
        #[doc(alias = "PIDFD_THREAD")]
        const THREAD = 0o200;
        const _ = !0;
    }
}

/// `pidfd_open(pid, flags)`: a descriptor that means this process, also when
/// another one has its number (since Linux 5.3). Close-on-exec.
///
/// It can be polled for the process's end, before it is waited for too.
///
/// # Errors
///
/// `ESRCH`: no such process. `EINVAL`: an unknown flag, or the number of a thread
/// that is not the first one, without [`PidfdFlags::THREAD`] (`ENOENT` since
/// Linux 6.15). `EMFILE`, `ENFILE`, `ENOMEM`.
///
/// ```
/// use barecall::process::{PidfdFlags, getpid, pidfd_open};
///
/// let me = pidfd_open(getpid(), PidfdFlags::empty())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pidfd_open(2)](https://man7.org/linux/man-pages/man2/pidfd_open.2.html).
#[inline]
pub fn pidfd_open(pid: Pid, flags: PidfdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::PIDFD_OPEN, pid.as_raw(), flags.bits()) }
}

/// `pidfd_getfd(pidfd, targetfd, 0)`: a descriptor of the open file description
/// that another process has as `fd` (since Linux 5.6). Close-on-exec.
///
/// # Errors
///
/// `EPERM`: not allowed to trace that process. `EBADF`: not a pidfd, or it has
/// no such descriptor. `ESRCH`: it has ended. `EMFILE`, `ENFILE`.
///
/// ```
/// use barecall::io;
/// use barecall::process::{PidfdFlags, getpid, pidfd_getfd, pidfd_open};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let me = pidfd_open(getpid(), PidfdFlags::empty())?;
/// let again = pidfd_getfd(&me, writer.as_raw_fd())?;
/// io::write(&again, b"x")?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pidfd_getfd(2)](https://man7.org/linux/man-pages/man2/pidfd_getfd.2.html).
#[inline]
pub fn pidfd_getfd<Fd: AsFd>(pidfd: Fd, fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::PIDFD_GETFD, pidfd.as_fd(), fd, 0) }
}

flags! {
    /// `PIDFD_INFO_*`: what [`pidfd_get_info`] is asked for, and what it knew.
    pub struct PidfdInfoMask: u64 {
        /// `PIDFD_INFO_PID`: the numbers. Always told.
        #[doc(alias = "PIDFD_INFO_PID")]
        const PID = 1 << 0;
        /// `PIDFD_INFO_CREDS`: users and groups. Always told.
        #[doc(alias = "PIDFD_INFO_CREDS")]
        const CREDS = 1 << 1;
        /// `PIDFD_INFO_CGROUPID`: the cgroup. Always told, if there is one.
        #[doc(alias = "PIDFD_INFO_CGROUPID")]
        const CGROUPID = 1 << 2;
        /// `PIDFD_INFO_EXIT`: what became of it, also after somebody waited for
        /// it (since Linux 6.15).
        #[doc(alias = "PIDFD_INFO_EXIT")]
        const EXIT = 1 << 3;
        /// `PIDFD_INFO_COREDUMP`: whether it dumped core (since Linux 6.16).
        #[doc(alias = "PIDFD_INFO_COREDUMP")]
        const COREDUMP = 1 << 4;
        /// `PIDFD_INFO_SUPPORTED_MASK`: which of these the kernel knows.
        #[doc(alias = "PIDFD_INFO_SUPPORTED_MASK")]
        const SUPPORTED_MASK = 1 << 5;
        /// `PIDFD_INFO_COREDUMP_SIGNAL`: the signal, with `COREDUMP`.
        #[doc(alias = "PIDFD_INFO_COREDUMP_SIGNAL")]
        const COREDUMP_SIGNAL = 1 << 6;
        /// `PIDFD_INFO_COREDUMP_CODE`: its `si_code`, with `COREDUMP`.
        #[doc(alias = "PIDFD_INFO_COREDUMP_CODE")]
        const COREDUMP_CODE = 1 << 7;
        const _ = !0;
    }
}

/// `struct pidfd_info`. Only those fields say something whose bit is in `mask`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct pidfd_info")]
#[allow(missing_docs)]
pub struct PidfdInfo {
    /// [`PidfdInfoMask`]: what follows is good for these.
    pub mask: u64,
    pub cgroupid: u64,
    pub pid: u32,
    pub tgid: u32,
    pub ppid: u32,
    pub ruid: u32,
    pub rgid: u32,
    pub euid: u32,
    pub egid: u32,
    pub suid: u32,
    pub sgid: u32,
    pub fsuid: u32,
    pub fsgid: u32,
    pub exit_code: i32,
    pub coredump_mask: u32,
    pub coredump_signal: u32,
    pub coredump_code: u32,
    pub coredump_pad: u32,
    pub supported_mask: u64,
}

impl PidfdInfo {
    /// What is known.
    #[inline]
    pub const fn mask(&self) -> PidfdInfoMask {
        PidfdInfoMask::from_bits_retain(self.mask)
    }

    /// What became of the process, if that was asked for and it has ended.
    #[inline]
    pub fn exit_status(&self) -> Option<WaitStatus> {
        self.mask()
            .contains(PidfdInfoMask::EXIT)
            .then_some(WaitStatus::from_word(self.exit_code))
    }
}

// _IOWR(0xff, 11, struct pidfd_info)
const PIDFD_GET_INFO: u32 = 0xc058_ff0b;

/// `ioctl(pidfd, PIDFD_GET_INFO, &info)`: numbers, users, cgroup and fate of a
/// process (since Linux 6.13).
///
/// # Errors
///
/// `ESRCH`: it has been waited for, and [`PidfdInfoMask::EXIT`] was not asked
/// for. `EINVAL` on Linux 6.11 and 6.12, `ENOTTY` before: no such request.
///
/// ```
/// use barecall::Errno;
/// use barecall::process::{PidfdFlags, PidfdInfoMask, getpid, pidfd_get_info, pidfd_open};
///
/// let me = pidfd_open(getpid(), PidfdFlags::empty())?;
/// match pidfd_get_info(&me, PidfdInfoMask::PID) {
///     Ok(info) => assert_eq!(info.pid, getpid().as_raw() as u32),
///     Err(errno) => assert!([Errno::EINVAL, Errno::ENOTTY].contains(&errno)),
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [PIDFD_GET_INFO(2const)](https://man7.org/linux/man-pages/man2/pidfd_open.2.html).
#[inline]
pub fn pidfd_get_info<Fd: AsFd>(pidfd: Fd, mask: PidfdInfoMask) -> Result<PidfdInfo, Errno> {
    let mut info = PidfdInfo {
        mask: mask.bits(),
        ..PidfdInfo::default()
    };
    // SAFETY: the kernel writes as much of a `pidfd_info` as the request says.
    unsafe { syscall_zero!(nr::IOCTL, pidfd.as_fd(), PIDFD_GET_INFO, &raw mut info) }?;
    Ok(info)
}
