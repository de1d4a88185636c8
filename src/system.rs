//! The machine as a whole: its name, its disks' caches, its end.

use crate::errno::Errno;
use crate::syscall::syscall_zero;
use crate::{nr, syscall};
use bitflags::bitflags;
use core::ffi::CStr;

/// `sync()`: writes everything that file systems have in memory to their
/// disks, and waits for it.
///
/// It cannot fail; what could not be written is told by `fsync` and `syncfs`.
///
/// ```
/// barecall::system::sync();
/// ```
///
/// Manual page: [sync(2)](https://man7.org/linux/man-pages/man2/sync.2.html).
#[inline]
pub fn sync() {
    // SAFETY: takes nothing, and answers 0.
    let _ = unsafe { syscall_zero!(nr::SYNC) };
}

/// `sethostname(name, len)`: names the machine, or rather this UTS namespace.
///
/// # Errors
///
/// `EINVAL`: longer than 64 bytes. `EPERM`: no `CAP_SYS_ADMIN`.
///
/// ```no_run
/// barecall::system::sethostname(b"guest")?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sethostname(2)](https://man7.org/linux/man-pages/man2/sethostname.2.html).
#[inline]
pub fn sethostname(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `name.len()` bytes there.
    unsafe { syscall_zero!(nr::SETHOSTNAME, name.as_ptr(), name.len()) }
}

// <linux/reboot.h>: no call by accident.
const LINUX_REBOOT_MAGIC1: u32 = 0xfee1_dead;
const LINUX_REBOOT_MAGIC2: u32 = 672274793;

/// `LINUX_REBOOT_CMD_*`: what [`reboot`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct RebootCommand(u32);

impl RebootCommand {
    /// `LINUX_REBOOT_CMD_RESTART`: starts the machine again.
    #[doc(alias = "LINUX_REBOOT_CMD_RESTART")]
    pub const RESTART: Self = Self(0x0123_4567);
    /// `LINUX_REBOOT_CMD_HALT`: stops the machine, which stays powered.
    #[doc(alias = "LINUX_REBOOT_CMD_HALT")]
    pub const HALT: Self = Self(0xcdef_0123);
    /// `LINUX_REBOOT_CMD_POWER_OFF`: switches the machine off.
    #[doc(alias = "LINUX_REBOOT_CMD_POWER_OFF")]
    pub const POWER_OFF: Self = Self(0x4321_fedc);
    /// `LINUX_REBOOT_CMD_CAD_ON`: Ctrl-Alt-Delete restarts at once.
    #[doc(alias = "LINUX_REBOOT_CMD_CAD_ON")]
    pub const CAD_ON: Self = Self(0x89ab_cdef);
    /// `LINUX_REBOOT_CMD_CAD_OFF`: Ctrl-Alt-Delete sends `SIGINT` to process
    /// 1.
    #[doc(alias = "LINUX_REBOOT_CMD_CAD_OFF")]
    pub const CAD_OFF: Self = Self(0);
    /// `LINUX_REBOOT_CMD_SW_SUSPEND`: suspends to disk, and returns when the
    /// machine is back.
    #[doc(alias = "LINUX_REBOOT_CMD_SW_SUSPEND")]
    pub const SW_SUSPEND: Self = Self(0xd000_fce2);
    /// `LINUX_REBOOT_CMD_KEXEC`: starts the kernel that was loaded before.
    #[doc(alias = "LINUX_REBOOT_CMD_KEXEC")]
    pub const KEXEC: Self = Self(0x4558_4543);

    /// The command with this number.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> u32 {
        self.0
    }
}

/// `reboot(magic, magic2, cmd)`: ends the machine, without [`sync`].
///
/// Does not return from [`RESTART`], [`HALT`] and [`POWER_OFF`] when it works.
/// In a PID namespace it ends the namespace instead: its init dies by `SIGHUP`
/// (restart) or `SIGINT` (halt, power off), which its parent sees.
///
/// [`RESTART`]: RebootCommand::RESTART
/// [`HALT`]: RebootCommand::HALT
/// [`POWER_OFF`]: RebootCommand::POWER_OFF
///
/// # Errors
///
/// `EPERM`: no `CAP_SYS_BOOT`. `EINVAL`: not such a command, here.
///
/// ```no_run
/// use barecall::system::{self, RebootCommand};
///
/// system::sync();
/// system::reboot(RebootCommand::POWER_OFF)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [reboot(2)](https://man7.org/linux/man-pages/man2/reboot.2.html).
#[inline]
pub fn reboot(command: RebootCommand) -> Result<(), Errno> {
    // SAFETY: numbers only; no memory of a program that goes on is touched.
    unsafe {
        syscall_zero!(
            nr::REBOOT,
            LINUX_REBOOT_MAGIC1,
            LINUX_REBOOT_MAGIC2,
            command.0,
            0
        )
    }
}

/// `reboot(magic, magic2, LINUX_REBOOT_CMD_RESTART2, arg)`: starts the machine
/// again, telling the firmware `arg`.
///
/// # Errors
///
/// As [`reboot`].
///
/// ```no_run
/// barecall::system::reboot_with(c"bootloader")?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [reboot(2)](https://man7.org/linux/man-pages/man2/reboot.2.html).
#[inline]
#[doc(alias = "LINUX_REBOOT_CMD_RESTART2")]
pub fn reboot_with(arg: &CStr) -> Result<(), Errno> {
    const LINUX_REBOOT_CMD_RESTART2: u32 = 0xa1b2_c3d4;
    // SAFETY: a string, which the kernel copies.
    unsafe {
        syscall_zero!(
            nr::REBOOT,
            LINUX_REBOOT_MAGIC1,
            LINUX_REBOOT_MAGIC2,
            LINUX_REBOOT_CMD_RESTART2,
            arg
        )
    }
}

bitflags! {
    /// `GRND_*`: how [`getrandom`] behaves.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct GetrandomFlags: u32 {
        /// `GRND_NONBLOCK`: `EAGAIN` rather than waiting until the generator
        /// is ready, which is once, early after boot.
        #[doc(alias = "GRND_NONBLOCK")]
        const NONBLOCK = 1;
        /// `GRND_RANDOM`: no effect since Linux 5.6, and slower in the vDSO.
        #[doc(alias = "GRND_RANDOM")]
        const RANDOM = 2;
        /// `GRND_INSECURE`: never waits; before the generator is ready, what
        /// it gives can be guessed (since Linux 5.6).
        #[doc(alias = "GRND_INSECURE")]
        const INSECURE = 4;
        const _ = !0;
    }
}

/// `getrandom(buf, buflen, flags)`: random bytes, fit for keys.
///
/// Gives how many bytes were made: all of them up to 256, and for more unless
/// a signal interrupted. [`Vdso::getrandom`](crate::vdso::Vdso::getrandom) does
/// the same without entering the kernel.
///
/// # Errors
///
/// `EAGAIN`: [`GetrandomFlags::NONBLOCK`], and the generator is not ready.
/// `EINTR`: a signal, before it was. `EINVAL`: an unknown flag, or `RANDOM`
/// together with `INSECURE`.
///
/// ```
/// use barecall::system::{GetrandomFlags, getrandom};
///
/// let mut key = [0; 32];
/// assert_eq!(getrandom(&mut key, GetrandomFlags::empty())?, 32);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [getrandom(2)](https://man7.org/linux/man-pages/man2/getrandom.2.html).
#[inline]
pub fn getrandom(buf: &mut [u8], flags: GetrandomFlags) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buf.len()` bytes there.
    unsafe { syscall!(nr::GETRANDOM, buf.as_mut_ptr(), buf.len(), flags.bits()) }
}
