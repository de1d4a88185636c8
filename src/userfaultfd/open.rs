//! Getting a descriptor that is ready for use.

use super::abi::{self, UffdioApi};
use super::features::believed;
use super::{Features, Ioctls, Support, Userfaultfd};
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, OwnedFd};
use crate::nr;
use crate::syscall::syscall_zero;
use core::fmt;

/// Whose faults a userfaultfd handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Those of user mode (`UFFD_USER_MODE_ONLY`, since Linux 5.11), which
    /// needs no privilege.
    ///
    /// A system call that meets a missing page, `read` into it for example,
    /// says `EFAULT`.
    #[default]
    UserMode,
    /// The kernel's too: what system calls, KVM and vhost touch. By the system
    /// call it needs `CAP_SYS_PTRACE` or `vm.unprivileged_userfaultfd`; by the
    /// device, permission to open it.
    Kernel,
}

/// How a userfaultfd was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// By `userfaultfd(2)`.
    Syscall,
    /// By `/dev/userfaultfd`.
    Device,
}

/// A new userfaultfd, and what has to be known about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The descriptor.
    pub userfaultfd: Userfaultfd,
    /// How it was opened.
    pub way: Way,
    /// The optional features that were refused.
    pub dropped: Features,
}

/// Why there is no userfaultfd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// No descriptor: what each way said that was tried.
    ///
    /// The system call says `EPERM` without privilege for [`Access::Kernel`],
    /// `EINVAL` for [`Access::UserMode`] before Linux 5.11, and `ENOSYS`
    /// without userfaultfd. The device says `ENOENT` before Linux 6.1 and
    /// where nobody made it, and `EACCES` without permission.
    Open {
        /// What `userfaultfd(2)` said.
        syscall: Option<Errno>,
        /// What `/dev/userfaultfd` said.
        device: Option<Errno>,
    },
    /// The kernel has not got these required features, or the process has no
    /// right to them (`EVENT_FORK`).
    Missing(Features),
    /// `UFFDIO_API` failed for another reason. `EINVAL`: the features do not
    /// go together (`RWP_ASYNC` without `RWP`). `EMFILE`: no room for the second
    /// descriptor, which asks what there is.
    Handshake(Errno),
}

impl OpenError {
    /// One error for it: the system call's before the device's, `EOPNOTSUPP`
    /// for missing features.
    pub fn errno(self) -> Errno {
        match self {
            Self::Open { syscall, device } => syscall.or(device).unwrap_or(Errno::EINVAL),
            Self::Missing(_) => Errno::EOPNOTSUPP,
            Self::Handshake(errno) => errno,
        }
    }
}

impl From<OpenError> for Errno {
    #[inline]
    fn from(error: OpenError) -> Self {
        error.errno()
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |f: &mut fmt::Formatter<'_>, name: &str, errno: Option<Errno>| match errno {
            Some(errno) => write!(f, " {name}: {errno};"),
            None => Ok(()),
        };
        match *self {
            Self::Open { syscall, device } => {
                f.write_str("no userfaultfd;")?;
                way(f, "userfaultfd(2)", syscall)?;
                way(f, "/dev/userfaultfd", device)
            }
            Self::Missing(features) => write!(f, "userfaultfd without {features:?}"),
            Self::Handshake(errno) => write!(f, "UFFDIO_API: {errno}"),
        }
    }
}

impl core::error::Error for OpenError {}

crate::errno::std_error!(OpenError);

/// What a userfaultfd shall be.
///
/// Without more: faults of user mode, no features, non-blocking. Always
/// close-on-exec.
///
/// ```
/// use barecall::userfaultfd::{Features, UserfaultfdOptions};
/// # // Before 5.11 there is no user mode, and no hidden way out.
/// # if barecall::userfaultfd::supported()?.features.contains(Features::EXACT_ADDRESS) {
///
/// let opened = UserfaultfdOptions::new()
///     .require(Features::THREAD_ID)
///     .want(Features::POISON | Features::MOVE)
///     .open_any()?;
/// println!("{:?}, without {:?}", opened.way, opened.dropped);
/// let uffd = opened.userfaultfd;
/// assert!(uffd.features().contains(Features::THREAD_ID));
/// # }
/// # Ok::<(), barecall::userfaultfd::OpenError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct UserfaultfdOptions {
    required: Features,
    optional: Features,
    access: Access,
    blocking: bool,
}

impl Default for UserfaultfdOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl UserfaultfdOptions {
    /// [`Access::UserMode`], no features, non-blocking.
    pub const fn new() -> Self {
        Self {
            required: Features::empty(),
            optional: Features::empty(),
            access: Access::UserMode,
            blocking: false,
        }
    }

    /// Features that must be there.
    pub const fn require(mut self, features: Features) -> Self {
        self.required = self.required.union(features);
        self
    }

    /// Features that are welcome. Those that are refused are dropped, and
    /// reported in [`Opened::dropped`].
    pub const fn want(mut self, features: Features) -> Self {
        self.optional = self.optional.union(features);
        self
    }

    /// Whose faults. What is asked for here is never widened.
    pub const fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether reading waits for a message.
    ///
    /// Such a descriptor cannot be polled: `poll` always says `POLLERR`. It is
    /// a property of the open file, which `fcntl` can change later.
    pub const fn blocking(mut self, blocking: bool) -> Self {
        self.blocking = blocking;
        self
    }

    /// `userfaultfd(flags)`, then `UFFDIO_API`: a userfaultfd by the system
    /// call.
    ///
    /// When an optional feature is refused, another descriptor is opened for a
    /// moment to ask what there is, and `UFFDIO_API` is made again.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. For [`Access::UserMode`] before Linux 5.11, `EINVAL`.
    ///
    /// ```no_run
    /// use barecall::userfaultfd::{Access, UserfaultfdOptions};
    ///
    /// // For a virtual machine: KVM's faults are the kernel's.
    /// let options = UserfaultfdOptions::new().access(Access::Kernel);
    /// let uffd = options.open_syscall()?.userfaultfd;
    /// # Ok::<(), barecall::userfaultfd::OpenError>(())
    /// ```
    ///
    /// Manual page:
    /// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html).
    pub fn open_syscall(&self) -> Result<Opened, OpenError> {
        match self.by_syscall() {
            Ok(fd) => self.shake_hands(fd, Way::Syscall),
            Err(errno) => Err(OpenError::Open {
                syscall: Some(errno),
                device: None,
            }),
        }
    }

    /// `openat("/dev/userfaultfd")`, `USERFAULTFD_IOC_NEW` and `close`, then
    /// `UFFDIO_API`: a userfaultfd by the device (since Linux 6.1).
    ///
    /// Optional features are found out as by [`Self::open_syscall`].
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// ```no_run
    /// use barecall::userfaultfd::{Access, UserfaultfdOptions};
    ///
    /// let options = UserfaultfdOptions::new().access(Access::Kernel);
    /// let uffd = options.open_device()?.userfaultfd;
    /// # Ok::<(), barecall::userfaultfd::OpenError>(())
    /// ```
    ///
    /// Manual page:
    /// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html).
    #[doc(alias = "USERFAULTFD_IOC_NEW")]
    pub fn open_device(&self) -> Result<Opened, OpenError> {
        match self.by_device() {
            Ok(fd) => self.shake_hands(fd, Way::Device),
            Err(errno) => Err(OpenError::Open {
                syscall: None,
                device: Some(errno),
            }),
        }
    }

    /// [`Self::open_syscall`], and when no descriptor is to be had by it,
    /// [`Self::open_device`]; says which it was.
    ///
    /// Neither way has all the rights of the other, so it is good to try both.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; when both ways fail, it has both reasons.
    ///
    /// ```
    /// use barecall::userfaultfd::{UserfaultfdOptions, OpenError};
    ///
    /// match UserfaultfdOptions::new().open_any() {
    ///     Ok(opened) => println!("by {:?}", opened.way),
    ///     // Before 5.11, or in a sandbox.
    ///     Err(OpenError::Open { syscall, device }) => println!("{syscall:?}, {device:?}"),
    ///     Err(other) => return Err(other),
    /// }
    /// # Ok::<(), barecall::userfaultfd::OpenError>(())
    /// ```
    pub fn open_any(&self) -> Result<Opened, OpenError> {
        let by_syscall = match self.by_syscall() {
            Ok(fd) => return self.shake_hands(fd, Way::Syscall),
            Err(errno) => errno,
        };
        match self.by_device() {
            Ok(fd) => self.shake_hands(fd, Way::Device),
            Err(errno) => Err(OpenError::Open {
                syscall: Some(by_syscall),
                device: Some(errno),
            }),
        }
    }

    fn flags(&self) -> u32 {
        let blocking = if self.blocking { 0 } else { abi::O_NONBLOCK };
        let access = match self.access {
            Access::UserMode => abi::UFFD_USER_MODE_ONLY,
            Access::Kernel => 0,
        };
        abi::O_CLOEXEC | blocking | access
    }

    fn by_syscall(&self) -> Result<OwnedFd, Errno> {
        // SAFETY: a new descriptor, ours.
        unsafe { syscall_fd!(nr::USERFAULTFD, self.flags()) }
    }

    fn by_device(&self) -> Result<OwnedFd, Errno> {
        const AT_FDCWD: i32 = -100;
        // SAFETY: a new descriptor, ours. O_RDONLY is enough.
        let device: OwnedFd =
            unsafe { syscall_fd!(nr::OPENAT, AT_FDCWD, c"/dev/userfaultfd", abi::O_CLOEXEC, 0) }?;
        // SAFETY: a new descriptor, ours; the argument is the flags.
        unsafe {
            syscall_fd!(
                nr::IOCTL,
                device.as_fd(),
                abi::USERFAULTFD_IOC_NEW,
                self.flags()
            )
        }
    }

    fn by(&self, way: Way) -> Result<OwnedFd, Errno> {
        match way {
            Way::Syscall => self.by_syscall(),
            Way::Device => self.by_device(),
        }
    }

    /// From a descriptor that is no use yet to one that is.
    fn shake_hands(&self, fd: OwnedFd, way: Way) -> Result<Opened, OpenError> {
        let mut asked = self.required.union(self.optional);
        let answer = match handshake(&fd, asked) {
            // A refused handshake says nothing of what there is, but can be
            // made again on the same descriptor.
            Err(Errno::EINVAL | Errno::EPERM) if !asked.is_empty() => {
                // An answer ends the handshakes of its descriptor, even one
                // about nothing: the question needs a descriptor of its own.
                let offer = self
                    .by(way)
                    .and_then(|fd| handshake(&fd, Features::empty()))
                    .map_err(OpenError::Handshake)?;
                let has = Features::from_bits_retain(offer.features);
                let lacks = self.required.difference(has);
                if !lacks.is_empty() {
                    return Err(OpenError::Missing(lacks));
                }
                asked = asked.intersection(has);
                match handshake(&fd, asked) {
                    // EVENT_FORK wants a capability.
                    Err(Errno::EPERM) if asked.contains(Features::EVENT_FORK) => {
                        if self.required.contains(Features::EVENT_FORK) {
                            return Err(OpenError::Missing(Features::EVENT_FORK));
                        }
                        asked = asked.difference(Features::EVENT_FORK);
                        handshake(&fd, asked)
                    }
                    answer => answer,
                }
            }
            answer => answer,
        };
        let answer = answer.map_err(OpenError::Handshake)?;
        let has = believed(Features::from_bits_retain(answer.features));
        let lacks = self.required.difference(has);
        if !lacks.is_empty() {
            return Err(OpenError::Missing(lacks));
        }
        let mut features = asked.intersection(has);
        if features.contains(Features::WP_ASYNC) {
            // The kernel adds it by itself.
            features = features.union(Features::WP_UNPOPULATED);
        }
        let dropped = self.optional.difference(features);
        let wp = has.contains(Features::PAGEFAULT_FLAG_WP);
        Ok(Opened {
            userfaultfd: Userfaultfd {
                fd,
                features,
                wp,
                local: true,
            },
            way,
            dropped,
        })
    }
}

fn handshake(fd: &OwnedFd, features: Features) -> Result<UffdioApi, Errno> {
    let mut api = UffdioApi {
        api: abi::UFFD_API,
        features: features.bits(),
        ioctls: 0,
    };
    // SAFETY: a userfaultfd, or an error; the structure is what it takes.
    unsafe { syscall_zero!(nr::IOCTL, fd.as_fd(), abi::UFFDIO_API, &raw mut api) }?;
    Ok(api)
}

/// What the running kernel has: opens a descriptor, makes `UFFDIO_API`, and
/// closes it.
///
/// Tries `userfaultfd(2)` for user mode, then without that (before Linux 5.11),
/// then the device: this descriptor will see no fault, so its rights do not
/// matter.
///
/// # Errors
///
/// [`OpenError::Open`]: there is no way to a descriptor.
///
/// ```
/// use barecall::userfaultfd::{self, Features};
///
/// let support = userfaultfd::supported()?;
/// assert!(support.features.contains(Features::MISSING_SHMEM));
/// # Ok::<(), barecall::userfaultfd::OpenError>(())
/// ```
pub fn supported() -> Result<Support, OpenError> {
    let user = UserfaultfdOptions::new();
    let fd = user
        .by_syscall()
        .or_else(|_| user.access(Access::Kernel).by_syscall())
        .or_else(|syscall| {
            user.by_device().map_err(|device| OpenError::Open {
                syscall: Some(syscall),
                device: Some(device),
            })
        })?;
    let answer = handshake(&fd, Features::empty()).map_err(OpenError::Handshake)?;
    let claimed = Features::from_bits_retain(answer.features);
    Ok(Support {
        features: believed(claimed),
        claimed,
        ioctls: Ioctls::from_bits_retain(answer.ioctls),
    })
}
