//! How a memfd is made.

use super::Memfd;
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::nr;
use core::ffi::CStr;

const MFD_CLOEXEC: u32 = 0x1;
const MFD_ALLOW_SEALING: u32 = 0x2;
const MFD_HUGETLB: u32 = 0x4;
const MFD_NOEXEC_SEAL: u32 = 0x8;
const MFD_EXEC: u32 = 0x10;

/// The longest name, in bytes, that `memfd_create` takes.
pub const NAME_MAX: usize = 249;

/// Whether what is in a memfd can be run as a program.
///
/// One choice of three, because the kernel has three: the two flags, and
/// neither of them. Linux 6.3 introduced it, and logs a warning, once, about
/// programs that do not choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exec {
    /// `MFD_NOEXEC_SEAL`: never (since Linux 6.3; `EINVAL` before).
    ///
    /// The mode is 0666 and [`Seals::EXEC`](super::Seals::EXEC) is set, so that
    /// nobody can `chmod` it either. Such a memfd can *always* be sealed,
    /// whether or not [`MemfdOptions::allow_sealing`] is asked for: who needs
    /// the opposite adds [`Seals::SEAL`](super::Seals::SEAL).
    ///
    /// It is about `execve`. Mapping it with `PROT_EXEC` is still allowed.
    #[doc(alias = "MFD_NOEXEC_SEAL")]
    NoExecSeal,
    /// `MFD_EXEC`: yes (since Linux 6.3; `EINVAL` before).
    ///
    /// The mode is 0777. `EACCES` where `vm.memfd_noexec` is 2.
    #[doc(alias = "MFD_EXEC")]
    Executable,
    /// Neither flag: the administrator decides, by `vm.memfd_noexec` of the
    /// pid namespace, and before Linux 6.3 the answer is yes.
    ///
    /// | `vm.memfd_noexec` | mode | can be sealed |
    /// |---|---|---|
    /// | 0, and before Linux 6.3 | 0777 | with `allow_sealing` |
    /// | 1 and 2 | 0666, [`Seals::EXEC`](super::Seals::EXEC) set | always |
    ///
    /// A program cannot know when it is written which of them it gets.
    SystemDefault,
}

/// `MFD_HUGE_*`: the size of the huge pages of a memfd, as the kernel encodes
/// it: the logarithm, in the upper six bits of the flags.
///
/// The constants are the sizes that the kernel's headers name; which of them
/// exist depends on the processor and on how the machine was set up, see
/// `/sys/kernel/mm/hugepages`. Any other power of two can be said too.
///
/// ```
/// use barecall::memfd::HugePage;
///
/// assert_eq!(HugePage::from_bytes(2 << 20), Some(HugePage::MB2));
/// assert_eq!(HugePage::MB2.log2(), Some(21));
/// assert_eq!(HugePage::from_bytes(3 << 20), None);
/// assert_eq!(HugePage::DEFAULT.bytes(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct HugePage(u32);

impl HugePage {
    /// `MFD_HUGE_SHIFT`: where the logarithm is in the flags.
    const MFD_HUGE_SHIFT: u32 = 26;
    /// `MFD_HUGE_MASK`: the logarithm, shifted down.
    const MFD_HUGE_MASK: u32 = 0x3f;

    /// No size bits: the system's default size, `Hugepagesize` of
    /// `/proc/meminfo`.
    pub const DEFAULT: Self = Self(0);
    /// `HUGETLB_FLAG_ENCODE_16KB`: 16 KiB. The memfd header has no name for
    /// it.
    #[doc(alias = "HUGETLB_FLAG_ENCODE_16KB")]
    pub const KB16: Self = Self(14 << 26);
    /// `MFD_HUGE_64KB`: 64 KiB.
    #[doc(alias = "MFD_HUGE_64KB")]
    pub const KB64: Self = Self(16 << 26);
    /// `MFD_HUGE_512KB`: 512 KiB.
    #[doc(alias = "MFD_HUGE_512KB")]
    pub const KB512: Self = Self(19 << 26);
    /// `MFD_HUGE_1MB`: 1 MiB.
    #[doc(alias = "MFD_HUGE_1MB")]
    pub const MB1: Self = Self(20 << 26);
    /// `MFD_HUGE_2MB`: 2 MiB.
    #[doc(alias = "MFD_HUGE_2MB")]
    pub const MB2: Self = Self(21 << 26);
    /// `MFD_HUGE_8MB`: 8 MiB.
    #[doc(alias = "MFD_HUGE_8MB")]
    pub const MB8: Self = Self(23 << 26);
    /// `MFD_HUGE_16MB`: 16 MiB.
    #[doc(alias = "MFD_HUGE_16MB")]
    pub const MB16: Self = Self(24 << 26);
    /// `MFD_HUGE_32MB`: 32 MiB.
    #[doc(alias = "MFD_HUGE_32MB")]
    pub const MB32: Self = Self(25 << 26);
    /// `MFD_HUGE_256MB`: 256 MiB.
    #[doc(alias = "MFD_HUGE_256MB")]
    pub const MB256: Self = Self(28 << 26);
    /// `MFD_HUGE_512MB`: 512 MiB.
    #[doc(alias = "MFD_HUGE_512MB")]
    pub const MB512: Self = Self(29 << 26);
    /// `MFD_HUGE_1GB`: 1 GiB.
    #[doc(alias = "MFD_HUGE_1GB")]
    pub const GB1: Self = Self(30 << 26);
    /// `MFD_HUGE_2GB`: 2 GiB.
    #[doc(alias = "MFD_HUGE_2GB")]
    pub const GB2: Self = Self(31 << 26);
    /// `MFD_HUGE_16GB`: 16 GiB.
    #[doc(alias = "MFD_HUGE_16GB")]
    pub const GB16: Self = Self(34 << 26);

    /// The size of 2 to the power of `log2` bytes.
    ///
    /// `None` for 0, which the kernel takes for the default, and above 63,
    /// which the flags have no room for.
    ///
    /// ```
    /// use barecall::memfd::HugePage;
    ///
    /// assert_eq!(HugePage::from_log2(21), Some(HugePage::MB2));
    /// assert_eq!(HugePage::from_bytes(2 << 20), Some(HugePage::MB2));
    /// assert_eq!(HugePage::from_log2(0), None);
    /// assert_eq!(HugePage::MB2.bytes(), Some(1 << 21));
    /// ```
    pub const fn from_log2(log2: u32) -> Option<Self> {
        if log2 == 0 || log2 > Self::MFD_HUGE_MASK {
            return None;
        }
        Some(Self(log2 << Self::MFD_HUGE_SHIFT))
    }

    /// The size of so many bytes. `None` if that is not a power of two, or 1.
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes.is_power_of_two() {
            Self::from_log2(bytes.trailing_zeros())
        } else {
            None
        }
    }

    /// The logarithm of the size; `None` for the default.
    pub const fn log2(self) -> Option<u32> {
        match self.0 >> Self::MFD_HUGE_SHIFT {
            0 => None,
            log2 => Some(log2),
        }
    }

    /// The size in bytes; `None` for the default.
    pub const fn bytes(self) -> Option<u64> {
        match self.log2() {
            Some(log2) => 1_u64.checked_shl(log2),
            None => None,
        }
    }
}

/// What [`MemfdOptions::create_or_legacy`] had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Applied {
    /// The options are in force.
    AsAsked,
    /// The kernel is older than 6.3 and does not know the choice of [`Exec`].
    /// The memfd has mode 0777 and no [`Seals::EXEC`](super::Seals::EXEC): it
    /// can be run, whatever was asked for. Everything else is in force, and a
    /// memfd that was to be [`Exec::NoExecSeal`] can be sealed.
    WithoutExec,
}

/// How a memfd is made: options for `memfd_create`.
///
/// ```
/// use barecall::memfd::{Exec, HugePage, MemfdOptions};
///
/// const BLOB: MemfdOptions = MemfdOptions::new();
/// const PROGRAM: MemfdOptions = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
///
/// assert_eq!(BLOB.bits(), 0x1 | 0x8);
/// assert_eq!(PROGRAM.bits(), 0x1 | 0x2 | 0x10);
/// assert_eq!(BLOB.huge(HugePage::MB2).bits() >> 26, 21);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemfdOptions {
    flags: u32,
}

impl Default for MemfdOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl MemfdOptions {
    /// Closed by `execve`, never executable, can be sealed.
    ///
    /// That is `MFD_CLOEXEC | MFD_NOEXEC_SEAL`, which needs Linux 6.3 and is
    /// `EINVAL` before: see [`create_or_legacy`](Self::create_or_legacy), or
    /// choose [`Exec::SystemDefault`].
    #[doc(alias = "MFD_CLOEXEC")]
    pub const fn new() -> Self {
        Self {
            flags: MFD_CLOEXEC | MFD_NOEXEC_SEAL,
        }
    }

    /// Whether what is in the memfd can be run.
    #[must_use]
    pub const fn exec(self, exec: Exec) -> Self {
        let bits = match exec {
            Exec::NoExecSeal => MFD_NOEXEC_SEAL,
            Exec::Executable => MFD_EXEC,
            Exec::SystemDefault => 0,
        };
        Self {
            flags: self.flags & !(MFD_NOEXEC_SEAL | MFD_EXEC) | bits,
        }
    }

    /// `MFD_ALLOW_SEALING`: seals can be added.
    ///
    /// Without it, [`Seals::SEAL`](super::Seals::SEAL) is there from the start;
    /// but [`Exec::NoExecSeal`] allows sealing anyway.
    #[must_use]
    #[doc(alias = "MFD_ALLOW_SEALING")]
    pub const fn allow_sealing(self) -> Self {
        Self {
            flags: self.flags | MFD_ALLOW_SEALING,
        }
    }

    /// Without `MFD_CLOEXEC`: the descriptor survives `execve`, and every
    /// program that this process starts has it.
    ///
    /// ```
    /// use barecall::io::{FdFlags, fcntl_getfd};
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault);
    /// assert_eq!(fcntl_getfd(&options.create(c"mine")?)?, FdFlags::CLOEXEC);
    /// assert_eq!(fcntl_getfd(&options.inherit().create(c"theirs")?)?, FdFlags::empty());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[must_use]
    pub const fn inherit(self) -> Self {
        Self {
            flags: self.flags & !MFD_CLOEXEC,
        }
    }

    /// `MFD_HUGETLB | MFD_HUGE_*`: made of huge pages of this size, from the
    /// pool that the administrator reserved (since Linux 4.14).
    ///
    /// Such a file cannot be written by `write` (`EINVAL`), only through a
    /// mapping; its size must be a multiple of the page's. Making it needs no
    /// page of the pool, mapping it does (`ENOMEM`).
    #[must_use]
    #[doc(alias = "MFD_HUGETLB")]
    pub const fn huge(self, size: HugePage) -> Self {
        let mask = HugePage::MFD_HUGE_MASK << HugePage::MFD_HUGE_SHIFT;
        Self {
            flags: self.flags & !mask | MFD_HUGETLB | size.0,
        }
    }

    /// Adds flags by number, for those that a newer kernel has.
    ///
    /// ```
    /// use barecall::Errno;
    /// use barecall::memfd::MemfdOptions;
    ///
    /// // No kernel has this one yet.
    /// let file = MemfdOptions::new().raw_flags(1 << 20).create(c"doc");
    /// assert_eq!(file.unwrap_err(), Errno::EINVAL);
    /// ```
    #[must_use]
    pub const fn raw_flags(self, flags: u32) -> Self {
        Self {
            flags: self.flags | flags,
        }
    }

    /// The flags, as `memfd_create` is given them.
    pub const fn bits(&self) -> u32 {
        self.flags
    }

    /// `memfd_create(name, flags)`: a new, empty file in memory.
    ///
    /// The name is for people who look into `/proc` (`/memfd:NAME (deleted)`).
    /// It need not be unique, can be empty, and can have any byte but NUL, a
    /// `/` and what is not UTF-8 included.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the name is longer than [`NAME_MAX`]; the kernel is older than
    /// 6.3 and the [`Exec`] choice is not `SystemDefault`; a flag of
    /// [`raw_flags`](Self::raw_flags) is unknown. `EACCES`: executable, and
    /// `vm.memfd_noexec` is 2. `ENODEV`: no huge pages of this size. `EMFILE`,
    /// `ENFILE`: too many descriptors. `ENOMEM`. `EPERM`: huge pages without
    /// the privilege, or a seccomp filter's answer. `ENOSYS`: the kernel was
    /// built without it, or a filter says so.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions, Seals};
    ///
    /// let file = MemfdOptions::new().exec(Exec::SystemDefault).allow_sealing().create(c"doc")?;
    /// file.write_all_at(b"hello", 0)?;
    /// assert_eq!(file.size()?, 5);
    /// file.add_seals(Seals::GROW)?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [memfd_create(2)](https://man7.org/linux/man-pages/man2/memfd_create.2.html).
    #[inline]
    #[doc(alias = "memfd_create")]
    pub fn create(&self, name: &CStr) -> Result<Memfd, Errno> {
        // SAFETY: the kernel reads a string, and the new descriptor is ours.
        unsafe { syscall_fd!(nr::MEMFD_CREATE, name, self.flags) }.map(Memfd::from_new)
    }

    /// [`create`](Self::create) with a name that has no NUL at its end yet: it
    /// is copied to the stack, nothing else.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create). `EINVAL` without a system call when
    /// the name has a NUL in it or is longer than [`NAME_MAX`] bytes; the
    /// latter is what the kernel would have said.
    ///
    /// ```
    /// use barecall::memfd::{Exec, MemfdOptions};
    ///
    /// let options = MemfdOptions::new().exec(Exec::SystemDefault);
    /// let _file = options.create_named(b"not \xff UTF-8 / but a name")?;
    /// assert!(options.create_named(b"two\0names").is_err());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn create_named(&self, name: &[u8]) -> Result<Memfd, Errno> {
        let mut buf = [0; NAME_MAX + 1];
        // One byte of `buf` stays 0.
        match buf.get_mut(..name.len()) {
            Some(start) if name.len() <= NAME_MAX => start.copy_from_slice(name),
            _ => return Err(Errno::EINVAL),
        }
        match CStr::from_bytes_until_nul(&buf) {
            Ok(string) if string.count_bytes() == name.len() => self.create(string),
            _ => Err(Errno::EINVAL),
        }
    }

    /// [`create`](Self::create), and if that says `EINVAL`, `memfd_create` again
    /// with the flags that kernels before 6.3 know. Tells which it was.
    ///
    /// The second call is made only if there is an [`Exec`] choice to give up.
    /// In place of `MFD_NOEXEC_SEAL` it has `MFD_ALLOW_SEALING`.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    ///
    /// ```
    /// use barecall::memfd::{Applied, MemfdOptions, Seals};
    ///
    /// let (file, applied) = MemfdOptions::new().create_or_legacy(c"doc")?;
    /// let sealed = file.seals()?.contains(Seals::EXEC);
    /// assert_eq!(sealed, applied == Applied::AsAsked);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn create_or_legacy(&self, name: &CStr) -> Result<(Memfd, Applied), Errno> {
        match self.create(name) {
            Ok(memfd) => Ok((memfd, Applied::AsAsked)),
            // Both at once is no choice, and an error of every kernel.
            Err(Errno::EINVAL) if (self.flags & (MFD_NOEXEC_SEAL | MFD_EXEC)).is_power_of_two() => {
                self.without_exec()
                    .create(name)
                    .map(|memfd| (memfd, Applied::WithoutExec))
            }
            Err(errno) => Err(errno),
        }
    }

    pub(super) const fn is_cloexec(&self) -> bool {
        self.flags & MFD_CLOEXEC != 0
    }

    pub(super) const fn is_executable(&self) -> bool {
        self.flags & MFD_EXEC != 0
    }

    pub(super) const fn is_huge(&self) -> bool {
        self.flags & MFD_HUGETLB != 0
    }

    /// The same for a kernel that has not got the choice.
    const fn without_exec(self) -> Self {
        if self.flags & MFD_NOEXEC_SEAL != 0 {
            self.allow_sealing().exec(Exec::SystemDefault)
        } else {
            self.exec(Exec::SystemDefault)
        }
    }
}
