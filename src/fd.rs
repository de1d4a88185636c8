//! File descriptors, owned and borrowed, with std's names.
//!
//! [`OwnedFd`] closes on drop, [`BorrowedFd`] borrows, and [`AsFd`] is how
//! functions take a descriptor. `Option` of either is 4 bytes. With the
//! feature `std` they convert to and from `std::os::fd`.

use crate::arch::Reg;
use crate::errno::Errno;
use crate::syscall::Arg;
use crate::{nr, syscall};
use core::fmt;
use core::marker::PhantomData;
use core::mem::transmute;

/// A descriptor's number, as C has it.
pub type RawFd = i32;

macro_rules! top_byte {
    ($($value:ident)*) => {
        /// 0 to 127: the values that the top byte of a descriptor can have.
        #[derive(Clone, Copy)]
        #[repr(u8)]
        #[allow(dead_code)]
        enum TopByte { $($value),* }
    };
}

top_byte! {
    X00 X01 X02 X03 X04 X05 X06 X07 X08 X09 X0A X0B X0C X0D X0E X0F
    X10 X11 X12 X13 X14 X15 X16 X17 X18 X19 X1A X1B X1C X1D X1E X1F
    X20 X21 X22 X23 X24 X25 X26 X27 X28 X29 X2A X2B X2C X2D X2E X2F
    X30 X31 X32 X33 X34 X35 X36 X37 X38 X39 X3A X3B X3C X3D X3E X3F
    X40 X41 X42 X43 X44 X45 X46 X47 X48 X49 X4A X4B X4C X4D X4E X4F
    X50 X51 X52 X53 X54 X55 X56 X57 X58 X59 X5A X5B X5C X5D X5E X5F
    X60 X61 X62 X63 X64 X65 X66 X67 X68 X69 X6A X6B X6C X6D X6E X6F
    X70 X71 X72 X73 X74 X75 X76 X77 X78 X79 X7A X7B X7C X7D X7E X7F
}

/// The bits of a C int that is not negative. The enum leaves 128 values of its
/// byte unused, which is the niche that `Option` takes, at no instruction.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
struct Number {
    low: [u8; 3],
    top: TopByte,
}

impl Number {
    /// # Safety
    ///
    /// `fd` is not negative.
    #[inline]
    const unsafe fn new(fd: RawFd) -> Self {
        // SAFETY: same size, and the top byte is at most 127.
        unsafe { transmute::<RawFd, Self>(fd) }
    }

    #[inline]
    const fn get(self) -> RawFd {
        // SAFETY: same size, no padding.
        unsafe { transmute::<Self, RawFd>(self) }
    }
}

/// A call that answers a new descriptor: `Result<OwnedFd, Errno>`.
macro_rules! syscall_fd {
    ($nr:expr $(, $arg:expr)* $(,)?) => {
        $crate::fd::decode_fd($crate::__syscall!($nr $(, $arg)*))
    };
}

pub(crate) use syscall_fd;

/// A descriptor that this value owns, and closes when it is dropped.
///
/// Dropping ignores what `close` answers, and never tries again: on Linux the
/// descriptor is gone even when `close` fails. To see the error, use
/// [`io::close`](crate::io::close).
///
/// ```
/// use barecall::event::{EventFdFlags, eventfd};
/// use barecall::fd::{AsFd, OwnedFd};
///
/// let event = eventfd(0, EventFdFlags::CLOEXEC)?;
/// let again = event.try_clone()?;
/// assert_ne!(event.as_raw_fd(), again.as_raw_fd());
/// assert_eq!(size_of::<Option<OwnedFd>>(), 4);
/// # Ok::<(), barecall::Errno>(())
/// ```
#[repr(transparent)]
pub struct OwnedFd(Number);

/// A descriptor that somebody else owns, for as long as `'fd`.
///
/// ```
/// use barecall::fd::{AsFd, BorrowedFd};
/// use barecall::io::{self, PipeFlags};
///
/// fn same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
///     a.as_raw_fd() == b.as_raw_fd()
/// }
///
/// let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC)?;
/// assert!(!same(reader.as_fd(), writer.as_fd()));
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct BorrowedFd<'fd>(Number, PhantomData<&'fd OwnedFd>);

impl OwnedFd {
    /// Takes ownership of a descriptor by its number.
    ///
    /// # Safety
    ///
    /// `fd` is open (so it is not negative), and nothing else will close it.
    #[inline]
    pub const unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: open, therefore not negative.
        Self(unsafe { Number::new(fd) })
    }

    /// The number. It is good as long as `self` lives.
    #[inline]
    pub const fn as_raw_fd(&self) -> RawFd {
        self.0.get()
    }

    /// The number, no longer owned by anyone: it stays open until closed.
    #[inline]
    pub const fn into_raw_fd(self) -> RawFd {
        let fd = self.as_raw_fd();
        core::mem::forget(self);
        fd
    }

    /// `fcntl(fd, F_DUPFD_CLOEXEC, 0)`: another descriptor of the same open
    /// file description, close-on-exec.
    ///
    /// The two share the file offset and the status flags.
    ///
    /// # Errors
    ///
    /// `EMFILE`: the process has as many descriptors as it may.
    #[inline]
    pub fn try_clone(&self) -> Result<Self, Errno> {
        self.as_fd().try_clone_to_owned()
    }
}

impl<'fd> BorrowedFd<'fd> {
    /// Borrows a descriptor by its number.
    ///
    /// # Safety
    ///
    /// `fd` is open (so it is not negative), and stays open for `'fd`.
    #[inline]
    pub const unsafe fn borrow_raw(fd: RawFd) -> Self {
        // SAFETY: open, therefore not negative.
        Self(unsafe { Number::new(fd) }, PhantomData)
    }

    /// The number.
    #[inline]
    pub const fn as_raw_fd(self) -> RawFd {
        self.0.get()
    }

    /// `fcntl(fd, F_DUPFD_CLOEXEC, 0)`: an owned descriptor of the same open
    /// file description, close-on-exec.
    ///
    /// # Errors
    ///
    /// `EMFILE`: the process has as many descriptors as it may.
    #[inline]
    pub fn try_clone_to_owned(self) -> Result<OwnedFd, Errno> {
        const F_DUPFD_CLOEXEC: u32 = 1030;
        // SAFETY: a new descriptor, ours.
        unsafe { syscall_fd!(nr::FCNTL, self, F_DUPFD_CLOEXEC, 0) }
    }
}

impl Drop for OwnedFd {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: ours, and nobody uses it after this.
        let _ = unsafe { syscall!(nr::CLOSE, self.as_raw_fd()) };
    }
}

impl fmt::Debug for OwnedFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedFd").field(&self.as_raw_fd()).finish()
    }
}

impl fmt::Debug for BorrowedFd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BorrowedFd")
            .field(&self.as_raw_fd())
            .finish()
    }
}

impl Arg for BorrowedFd<'_> {
    #[inline]
    fn to_reg(self) -> Reg {
        self.as_raw_fd().to_reg()
    }
}

/// # Safety
///
/// The call was one that returns a new descriptor, which nobody else closes.
#[inline]
pub(crate) unsafe fn decode_fd(ret: Reg) -> Result<OwnedFd, Errno> {
    match Errno::decode(ret.addr()) {
        // SAFETY: a descriptor that the kernel just made; those are not negative.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        Err(errno) => Err(errno),
    }
}

/// What has a descriptor that can be borrowed.
///
/// With the feature `std`, also the types of std that have one: `File`, the
/// standard streams, sockets, the pipes of a child, and std's own descriptors.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a descriptor for barecall",
    note = "for the types of std, turn on barecall's feature `std`"
)]
pub trait AsFd {
    /// Borrows the descriptor.
    fn as_fd(&self) -> BorrowedFd<'_>;
}

impl AsFd for OwnedFd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd(self.0, PhantomData)
    }
}

impl AsFd for BorrowedFd<'_> {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        *self
    }
}

impl<T: AsFd + ?Sized> AsFd for &T {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        T::as_fd(self)
    }
}

impl<T: AsFd + ?Sized> AsFd for &mut T {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        T::as_fd(self)
    }
}

#[cfg(feature = "std")]
mod std_impls {
    use super::{AsFd, BorrowedFd, OwnedFd};
    use std::os::fd as std_fd;
    use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _};

    // A blanket `impl<T: std::os::fd::AsFd> AsFd for T` would collide with our
    // own types, so the list is by hand.
    macro_rules! as_fd {
        ($($type:ty)*) => {$(
            impl AsFd for $type {
                #[inline]
                fn as_fd(&self) -> BorrowedFd<'_> {
                    std_fd::AsFd::as_fd(self).into()
                }
            }
        )*};
    }

    as_fd! {
        std_fd::OwnedFd
        std_fd::BorrowedFd<'_>
        std::fs::File
        std::io::Stdin
        std::io::StdinLock<'_>
        std::io::Stdout
        std::io::StdoutLock<'_>
        std::io::Stderr
        std::io::StderrLock<'_>
        std::io::PipeReader
        std::io::PipeWriter
        std::net::TcpListener
        std::net::TcpStream
        std::net::UdpSocket
        std::os::unix::net::UnixDatagram
        std::os::unix::net::UnixListener
        std::os::unix::net::UnixStream
        std::process::ChildStdin
        std::process::ChildStdout
        std::process::ChildStderr
    }

    impl From<std_fd::OwnedFd> for OwnedFd {
        #[inline]
        fn from(fd: std_fd::OwnedFd) -> Self {
            // SAFETY: owned there, owned here.
            unsafe { Self::from_raw_fd(fd.into_raw_fd()) }
        }
    }

    impl From<OwnedFd> for std_fd::OwnedFd {
        #[inline]
        fn from(fd: OwnedFd) -> Self {
            // SAFETY: owned there, owned here.
            unsafe { Self::from_raw_fd(fd.into_raw_fd()) }
        }
    }

    impl From<std::fs::File> for OwnedFd {
        #[inline]
        fn from(file: std::fs::File) -> Self {
            std_fd::OwnedFd::from(file).into()
        }
    }

    impl From<OwnedFd> for std::fs::File {
        #[inline]
        fn from(fd: OwnedFd) -> Self {
            std_fd::OwnedFd::from(fd).into()
        }
    }

    impl<'fd> From<std_fd::BorrowedFd<'fd>> for BorrowedFd<'fd> {
        #[inline]
        fn from(fd: std_fd::BorrowedFd<'fd>) -> Self {
            // SAFETY: open for the same lifetime.
            unsafe { Self::borrow_raw(fd.as_raw_fd()) }
        }
    }

    impl<'fd> From<BorrowedFd<'fd>> for std_fd::BorrowedFd<'fd> {
        #[inline]
        fn from(fd: BorrowedFd<'fd>) -> Self {
            // SAFETY: open for the same lifetime.
            unsafe { Self::borrow_raw(fd.as_raw_fd()) }
        }
    }

    impl std_fd::AsFd for OwnedFd {
        #[inline]
        fn as_fd(&self) -> std_fd::BorrowedFd<'_> {
            AsFd::as_fd(self).into()
        }
    }

    impl std_fd::AsFd for BorrowedFd<'_> {
        #[inline]
        fn as_fd(&self) -> std_fd::BorrowedFd<'_> {
            (*self).into()
        }
    }
}

/// With the feature `std`, lets types that are a descriptor be one for std too.
macro_rules! std_as_fd {
    ($($type:ty),* $(,)?) => {$(
        #[cfg(feature = "std")]
        impl std::os::fd::AsFd for $type {
            #[inline]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                $crate::fd::AsFd::as_fd(self).into()
            }
        }
    )*};
}
pub(crate) use std_as_fd;

/// With the feature `std`, turns types that become an [`OwnedFd`] into std's
/// owned descriptor and `File`.
macro_rules! std_into_fd {
    ($($type:ty),* $(,)?) => {$(
        #[cfg(feature = "std")]
        impl From<$type> for std::os::fd::OwnedFd {
            #[inline]
            fn from(file: $type) -> Self {
                $crate::fd::OwnedFd::from(file).into()
            }
        }

        #[cfg(feature = "std")]
        impl From<$type> for std::fs::File {
            #[inline]
            fn from(file: $type) -> Self {
                $crate::fd::OwnedFd::from(file).into()
            }
        }
    )*};
}
pub(crate) use std_into_fd;
