//! Signals that are read from a descriptor.

use super::{SIGSET_SIZE, SiCode, SigSet, Signal};
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, OwnedFd};
use crate::flags::flags;
use crate::{nr, syscall};
use core::mem::MaybeUninit;

flags! {
    /// `SFD_*` for [`signalfd`].
    pub struct SignalfdFlags: u32 {
        /// `SFD_CLOEXEC`: closed by `execve`.
        #[doc(alias = "SFD_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        /// `SFD_NONBLOCK`: `EAGAIN` instead of waiting.
        #[doc(alias = "SFD_NONBLOCK")]
        const NONBLOCK = 0o4000;
        const _ = !0;
    }
}

/// `struct signalfd_siginfo`: a signal that was read.
///
/// Fields without a meaning for the signal are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[doc(alias = "struct signalfd_siginfo")]
#[allow(missing_docs)]
pub struct SignalfdSiginfo {
    pub ssi_signo: u32,
    pub ssi_errno: i32,
    pub ssi_code: i32,
    pub ssi_pid: u32,
    pub ssi_uid: u32,
    pub ssi_fd: i32,
    pub ssi_tid: u32,
    pub ssi_band: u32,
    pub ssi_overrun: u32,
    pub ssi_trapno: u32,
    pub ssi_status: i32,
    pub ssi_int: i32,
    pub ssi_ptr: u64,
    pub ssi_utime: u64,
    pub ssi_stime: u64,
    pub ssi_addr: u64,
    pub ssi_addr_lsb: u16,
    __pad2: u16,
    pub ssi_syscall: i32,
    pub ssi_call_addr: u64,
    pub ssi_arch: u32,
    __pad: [u8; 28],
}

const _: () = assert!(size_of::<SignalfdSiginfo>() == 128);

impl SignalfdSiginfo {
    /// `ssi_signo`: the signal. The kernel always says one.
    #[inline]
    pub const fn signal(&self) -> Option<Signal> {
        Signal::new(self.ssi_signo as i32)
    }

    /// `ssi_code`: why.
    #[inline]
    pub const fn code(&self) -> SiCode {
        SiCode::from_raw(self.ssi_code)
    }
}

/// `signalfd4(-1, mask, 8, flags)`: a descriptor from which signals are read.
///
/// The signals must be blocked ([`sigprocmask`](super::sigprocmask)), in all
/// threads, or they are handled the usual way. What is read are the signals
/// of the *reading* thread and of its process, whoever made the descriptor.
///
/// # Errors
///
/// `EINVAL`: an unknown flag. `EMFILE`, `ENFILE`: too many descriptors.
///
/// ```
/// use barecall::signal::{self, How, SigSet, Signal, SignalfdFlags};
/// use core::mem::MaybeUninit;
///
/// let set = SigSet::from(Signal::SIGUSR1);
/// signal::sigprocmask(How::BLOCK, set)?;
/// let fd = signal::signalfd(set, SignalfdFlags::CLOEXEC)?;
/// signal::raise(Signal::SIGUSR1)?;
/// let mut buf = [MaybeUninit::uninit(); 4];
/// let signals = signal::signalfd_read(&fd, &mut buf)?;
/// assert_eq!(signals.len(), 1);
/// assert_eq!(signals[0].signal(), Some(Signal::SIGUSR1));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [signalfd(2)](https://man7.org/linux/man-pages/man2/signalfd.2.html).
#[inline]
#[doc(alias = "signalfd4")]
pub fn signalfd(mask: SigSet, flags: SignalfdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads 8 bytes; a new descriptor, ours.
    unsafe {
        syscall_fd!(
            nr::SIGNALFD4,
            -1,
            &raw const mask,
            SIGSET_SIZE,
            flags.bits()
        )
    }
}

/// `signalfd4(fd, mask, 8, 0)`: changes which signals `fd` is for.
///
/// # Errors
///
/// `EINVAL`: not a signalfd.
///
/// ```
/// use barecall::signal::{self, SigSet, Signal, SignalfdFlags};
///
/// let fd = signal::signalfd(SigSet::EMPTY, SignalfdFlags::CLOEXEC)?;
/// signal::signalfd_set(&fd, Signal::SIGCHLD.into())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [signalfd(2)](https://man7.org/linux/man-pages/man2/signalfd.2.html).
#[inline]
pub fn signalfd_set<Fd: AsFd>(fd: Fd, mask: SigSet) -> Result<(), Errno> {
    // SAFETY: the kernel reads 8 bytes. It answers the number of `fd`.
    unsafe { syscall!(nr::SIGNALFD4, fd.as_fd(), &raw const mask, SIGSET_SIZE, 0) }.map(|_| ())
}

/// `read(fd, buf, count)` from a signalfd: takes as many signals as there are
/// and `buf` holds, at least one.
///
/// # Errors
///
/// `EAGAIN`: none is there, and the descriptor is non-blocking. `EINTR`:
/// another signal was handled first. `EINVAL`: `buf` is empty.
///
/// ```
/// use barecall::signal::{self, SigSet, Signal, SignalfdFlags};
/// use barecall::Errno;
/// use core::mem::MaybeUninit;
///
/// let fd = signal::signalfd(Signal::SIGUSR2.into(), SignalfdFlags::NONBLOCK)?;
/// let mut buf = [MaybeUninit::uninit(); 1];
/// assert_eq!(signal::signalfd_read(&fd, &mut buf), Err(Errno::EAGAIN));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [signalfd(2)](https://man7.org/linux/man-pages/man2/signalfd.2.html).
#[inline]
pub fn signalfd_read<Fd: AsFd>(
    fd: Fd,
    buf: &mut [MaybeUninit<SignalfdSiginfo>],
) -> Result<&mut [SignalfdSiginfo], Errno> {
    // SAFETY: the kernel writes at most `buf`, and says how many bytes; any
    // bytes make integers, should this not be a signalfd.
    unsafe {
        let bytes = syscall!(nr::READ, fd.as_fd(), buf.as_mut_ptr(), size_of_val(buf))?;
        let n = bytes / size_of::<SignalfdSiginfo>();
        Ok(core::slice::from_raw_parts_mut(buf.as_mut_ptr().cast(), n))
    }
}
