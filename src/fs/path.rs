//! Paths made of numbers, without allocation.

use crate::fd::AsFd;
use core::ffi::CStr;
use core::fmt;
use core::ops::Deref;

/// A number in decimal, as a string for the kernel.
///
/// ```
/// use barecall::fs::{self, DecInt, Mode, OFlags};
///
/// assert_eq!(&*DecInt::new(1234), c"1234");
/// let proc = fs::openat(fs::CWD, c"/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
/// let pid = DecInt::new(u64::from(std::process::id()));
/// fs::openat(&proc, &pid, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecInt([u8; 21]);

impl DecInt {
    /// The number.
    pub fn new(number: u64) -> Self {
        let mut buf = [0; 21];
        decimal(number, &mut buf);
        Self(buf)
    }

    /// The string.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Writes `number` to the start of `to`, which is long enough, and zero.
fn decimal(mut number: u64, to: &mut [u8]) {
    let (mut rest, mut digits) = (number, 1);
    while rest >= 10 {
        rest /= 10;
        digits += 1;
    }
    for byte in to.get_mut(..digits).unwrap_or_default().iter_mut().rev() {
        *byte = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The path of a descriptor in `/proc`: `/proc/self/fd/N` and
/// `/proc/thread-self/fd/N`.
///
/// To open the file anew, with other flags and an offset of its own; to give a
/// name to a file that has none; to read where it is. The path is only a
/// string: it means something as long as the descriptor stays open and `/proc`
/// is mounted.
///
/// ```
/// use barecall::fs::{self, FdPath, Mode, OFlags};
/// use barecall::memfd::MemfdOptions;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// let flags = OFlags::RDONLY | OFlags::CLOEXEC;
/// let reader = fs::openat(fs::CWD, &FdPath::process(&file), flags, Mode::empty())?;
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FdPath([u8; 32]);

impl FdPath {
    /// `/proc/self/fd/N`. `self` is the thread group leader: in a thread with a
    /// descriptor table of its own, this is another table.
    pub fn process<Fd: AsFd>(fd: Fd) -> Self {
        Self::with_prefix(b"/proc/self/fd/", fd)
    }

    /// `/proc/thread-self/fd/N`: right in every thread (since Linux 3.17).
    pub fn thread<Fd: AsFd>(fd: Fd) -> Self {
        Self::with_prefix(b"/proc/thread-self/fd/", fd)
    }

    /// 21 bytes of prefix, 10 digits and the NUL are the 32.
    fn with_prefix<Fd: AsFd>(prefix: &[u8], fd: Fd) -> Self {
        let mut buf = [0; 32];
        if let Some((head, tail)) = buf.split_at_mut_checked(prefix.len()) {
            head.iter_mut()
                .zip(prefix)
                .for_each(|(to, from)| *to = *from);
            decimal(fd.as_fd().as_raw_fd() as u64, tail);
        }
        Self(buf)
    }

    /// The path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

macro_rules! c_str {
    ($($type:ident)*) => {$(
        impl Deref for $type {
            type Target = CStr;

            #[inline]
            fn deref(&self) -> &CStr {
                self.as_c_str()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_c_str(), f)
            }
        }
    )*};
}

c_str!(DecInt FdPath);
