//! The machine as a whole: its name, its disks' caches, its end.

use crate::errno::Errno;
use crate::fd::AsFd;
use crate::flags::flags;
use crate::selector::selector;
use crate::syscall::{as_int, syscall_out, syscall_zero};
use crate::{nr, syscall};
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
    let (start, len) = (name.as_ptr(), as_int(name.len()));
    // SAFETY: the kernel reads `len` bytes there.
    unsafe { syscall_zero!(nr::SETHOSTNAME, start, len) }
}

// <linux/reboot.h>: no call by accident.
const LINUX_REBOOT_MAGIC1: u32 = 0xfee1_dead;
const LINUX_REBOOT_MAGIC2: u32 = 672274793;

selector! {
    /// `LINUX_REBOOT_CMD_*`: what [`reboot`] does.
    pub struct RebootCommand: u32 {
        /// `LINUX_REBOOT_CMD_RESTART`: starts the machine again.
        #[doc(alias = "LINUX_REBOOT_CMD_RESTART")]
        const RESTART = 0x0123_4567;
        /// `LINUX_REBOOT_CMD_HALT`: stops the machine, which stays powered.
        #[doc(alias = "LINUX_REBOOT_CMD_HALT")]
        const HALT = 0xcdef_0123;
        /// `LINUX_REBOOT_CMD_POWER_OFF`: switches the machine off.
        #[doc(alias = "LINUX_REBOOT_CMD_POWER_OFF")]
        const POWER_OFF = 0x4321_fedc;
        /// `LINUX_REBOOT_CMD_CAD_ON`: Ctrl-Alt-Delete restarts at once.
        #[doc(alias = "LINUX_REBOOT_CMD_CAD_ON")]
        const CAD_ON = 0x89ab_cdef;
        /// `LINUX_REBOOT_CMD_CAD_OFF`: Ctrl-Alt-Delete sends `SIGINT` to process
        /// 1.
        #[doc(alias = "LINUX_REBOOT_CMD_CAD_OFF")]
        const CAD_OFF = 0;
        /// `LINUX_REBOOT_CMD_SW_SUSPEND`: suspends to disk, and returns when the
        /// machine is back.
        #[doc(alias = "LINUX_REBOOT_CMD_SW_SUSPEND")]
        const SW_SUSPEND = 0xd000_fce2;
        /// `LINUX_REBOOT_CMD_KEXEC`: starts the kernel that was loaded before.
        #[doc(alias = "LINUX_REBOOT_CMD_KEXEC")]
        const KEXEC = 0x4558_4543;
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

flags! {
    /// `GRND_*`: how [`getrandom`] behaves.
    pub struct GetrandomFlags: u32 {
        /// `GRND_NONBLOCK`: `EAGAIN` rather than waiting until the generator
        /// is ready, which is once, early after boot.
        #[doc(alias = "GRND_NONBLOCK")]
        const NONBLOCK = 1;
        /// `GRND_RANDOM`: no effect since Linux 5.6.
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
/// a signal interrupted, or one call makes no more (2 GiB, on old kernels 32
/// MiB). [`Vdso::getrandom`](crate::vdso::Vdso::getrandom) does the same without
/// entering the kernel.
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

/// `setdomainname(name, len)`: the NIS domain name, which `uname` shows.
///
/// # Errors
///
/// As [`sethostname`].
///
/// Manual page: [setdomainname(2)](https://man7.org/linux/man-pages/man2/getdomainname.2.html).
#[inline]
pub fn setdomainname(name: &[u8]) -> Result<(), Errno> {
    let (start, len) = (name.as_ptr(), as_int(name.len()));
    // SAFETY: the kernel reads `len` bytes.
    unsafe { syscall_zero!(nr::SETDOMAINNAME, start, len) }
}

/// `struct new_utsname`: names of the kernel and the machine.
#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct new_utsname")]
pub struct Utsname {
    sysname: [u8; 65],
    nodename: [u8; 65],
    release: [u8; 65],
    version: [u8; 65],
    machine: [u8; 65],
    domainname: [u8; 65],
}

impl Utsname {
    /// `Linux`.
    #[inline]
    pub fn sysname(&self) -> &CStr {
        string(&self.sysname)
    }

    /// The host name.
    #[inline]
    pub fn nodename(&self) -> &CStr {
        string(&self.nodename)
    }

    /// The kernel's version, such as `6.12.57`.
    #[inline]
    pub fn release(&self) -> &CStr {
        string(&self.release)
    }

    /// When and how the kernel was built.
    #[inline]
    pub fn version(&self) -> &CStr {
        string(&self.version)
    }

    /// `x86_64`, `aarch64`.
    #[inline]
    pub fn machine(&self) -> &CStr {
        string(&self.machine)
    }

    /// The NIS domain name.
    #[inline]
    pub fn domainname(&self) -> &CStr {
        string(&self.domainname)
    }
}

fn string(field: &[u8]) -> &CStr {
    CStr::from_bytes_until_nul(field).unwrap_or_default()
}

impl core::fmt::Debug for Utsname {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Utsname")
            .field("sysname", &self.sysname())
            .field("nodename", &self.nodename())
            .field("release", &self.release())
            .field("version", &self.version())
            .field("machine", &self.machine())
            .field("domainname", &self.domainname())
            .finish()
    }
}

/// `uname(buf)`: names of the kernel and the machine.
///
/// # Errors
///
/// None.
///
/// ```
/// assert_eq!(barecall::system::uname()?.sysname(), c"Linux");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [uname(2)](https://man7.org/linux/man-pages/man2/uname.2.html).
#[inline]
pub fn uname() -> Result<Utsname, Errno> {
    // SAFETY: the kernel writes a `new_utsname`.
    unsafe { syscall_out!(Utsname; nr::UNAME; _) }
}

/// `struct sysinfo`: memory, load, processes. Memory is in units of `mem_unit`
/// bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[doc(alias = "struct sysinfo")]
pub struct Sysinfo {
    /// Seconds since boot.
    pub uptime: i64,
    /// Load of 1, 5 and 15 minutes, in 1/65536.
    pub loads: [u64; 3],
    /// Memory there is.
    pub totalram: u64,
    /// Memory that nobody uses.
    pub freeram: u64,
    /// Shared memory.
    pub sharedram: u64,
    /// Buffers of block devices.
    pub bufferram: u64,
    /// Swap space there is.
    pub totalswap: u64,
    /// Swap space that nobody uses.
    pub freeswap: u64,
    /// Processes and threads, as far as 16 bits count.
    pub procs: u16,
    pad: u16,
    /// 0 on 64-bit machines.
    pub totalhigh: u64,
    /// 0 on 64-bit machines.
    pub freehigh: u64,
    /// The unit of memory, in bytes.
    pub mem_unit: u32,
}

/// `sysinfo(info)`: memory, load, processes.
///
/// # Errors
///
/// None.
///
/// ```
/// let info = barecall::system::sysinfo()?;
/// assert!(info.freeram <= info.totalram);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [sysinfo(2)](https://man7.org/linux/man-pages/man2/sysinfo.2.html).
#[inline]
pub fn sysinfo() -> Result<Sysinfo, Errno> {
    // SAFETY: the kernel writes a `sysinfo`.
    unsafe { syscall_out!(Sysinfo; nr::SYSINFO; _) }
}

flags! {
    /// `SWAP_FLAG_*` for [`swapon`].
    pub struct SwapFlags: u32 {
        /// `SWAP_FLAG_PREFER`: the low 15 bits are its priority.
        #[doc(alias = "SWAP_FLAG_PREFER")]
        const PREFER = 0x8000;
        /// `SWAP_FLAG_DISCARD`: tells the device what is free.
        #[doc(alias = "SWAP_FLAG_DISCARD")]
        const DISCARD = 0x1_0000;
        const _ = !0;
    }
}

/// `swapon(path, swapflags)`: swaps to this file or device.
///
/// # Errors
///
/// `EINVAL`: no swap space is in it. `EBUSY`: used already. `EPERM`: no
/// `CAP_SYS_ADMIN`, or too many. `ENOENT`, ...: the path.
///
/// Manual page: [swapon(2)](https://man7.org/linux/man-pages/man2/swapon.2.html).
#[inline]
pub fn swapon(path: &CStr, flags: SwapFlags) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::SWAPON, path, flags.bits()) }
}

/// `swapoff(path)`: brings back what is swapped there, and swaps there no more.
///
/// # Errors
///
/// `EINVAL`: not swapped to. `ENOMEM`: it does not fit. `EINTR`: a signal came
/// before all was back. `EPERM`.
///
/// Manual page: [swapoff(2)](https://man7.org/linux/man-pages/man2/swapon.2.html).
#[inline]
pub fn swapoff(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a string.
    unsafe { syscall_zero!(nr::SWAPOFF, path) }
}

flags! {
    /// `MODULE_INIT_*` for [`finit_module`].
    pub struct ModuleFlags: u32 {
        /// `MODULE_INIT_IGNORE_MODVERSIONS`: without looking at versions of
        /// symbols.
        #[doc(alias = "MODULE_INIT_IGNORE_MODVERSIONS")]
        const IGNORE_MODVERSIONS = 1;
        /// `MODULE_INIT_IGNORE_VERMAGIC`: without looking at the kernel's
        /// version.
        #[doc(alias = "MODULE_INIT_IGNORE_VERMAGIC")]
        const IGNORE_VERMAGIC = 2;
        /// `MODULE_INIT_COMPRESSED_FILE`: the file is compressed (since Linux
        /// 5.17).
        #[doc(alias = "MODULE_INIT_COMPRESSED_FILE")]
        const COMPRESSED_FILE = 4;
        const _ = !0;
    }
}

/// `finit_module(fd, param_values, flags)`: loads a kernel module.
///
/// # Safety
///
/// It can do whatever it likes, to this process too.
///
/// # Errors
///
/// `EPERM`: no `CAP_SYS_MODULE`, or forbidden. `EEXIST`: loaded already.
/// `ENOEXEC`: not a module, or for another kernel. `ENOENT`: an unknown symbol.
/// `EBADMSG`, `ENOKEY`: the signature. Others by the module.
///
/// Manual page: [finit_module(2)](https://man7.org/linux/man-pages/man2/init_module.2.html).
#[inline]
pub unsafe fn finit_module<Fd: AsFd>(
    fd: Fd,
    params: &CStr,
    flags: ModuleFlags,
) -> Result<(), Errno> {
    // SAFETY: a string; the rest is the caller's promise.
    unsafe { syscall_zero!(nr::FINIT_MODULE, fd.as_fd(), params, flags.bits()) }
}

// What `syslog` is asked; the kernel's own header calls them SYSLOG_ACTION_*.
const READ_ALL: u32 = 3;
const CONSOLE_LEVEL: u32 = 8;

/// `syslog(SYSLOG_ACTION_READ_ALL, buf, len)`: the end of the kernel's log, as
/// much as fits.
///
/// # Errors
///
/// `EPERM`: `kernel.dmesg_restrict`, and no `CAP_SYSLOG`.
///
/// Manual page: [syslog(2)](https://man7.org/linux/man-pages/man2/syslog.2.html).
#[inline]
#[doc(alias = "klogctl")]
#[doc(alias = "SYSLOG_ACTION_READ_ALL")]
pub fn syslog_read_all(buf: &mut [u8]) -> Result<usize, Errno> {
    let len = as_int(buf.len());
    // SAFETY: the kernel writes at most `len` bytes there.
    unsafe { syscall!(nr::SYSLOG, READ_ALL, buf.as_mut_ptr(), len) }
}

/// `syslog(SYSLOG_ACTION_CONSOLE_LEVEL, NULL, level)`: messages below this
/// level (1 to 8) go to the console.
///
/// # Errors
///
/// `EPERM`: no `CAP_SYSLOG`. `EINVAL`: no such level.
///
/// Manual page: [syslog(2)](https://man7.org/linux/man-pages/man2/syslog.2.html).
#[inline]
#[doc(alias = "SYSLOG_ACTION_CONSOLE_LEVEL")]
pub fn syslog_console_level(level: u32) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::SYSLOG, CONSOLE_LEVEL, 0, level) }
}
