//! What /proc says of a userfaultfd.

use super::{Features, Userfaultfd};
use crate::errno::Errno;
use crate::fd::syscall_fd;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::{io, nr};
use core::ffi::CStr;

/// How many faults of a userfaultfd wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Whose messages nobody has read yet.
    pub unread: u64,
    /// All whose threads are standing still, the unread ones included.
    pub total: u64,
}

struct FdInfo {
    waiting: Waiting,
    features: Features,
}

/// The flag that the kernel keeps among the features: the handshake was made.
const INITIALIZED: u64 = 1 << 31;

/// Writes `before`, the number, `after` and a NUL.
pub(crate) fn path<'buf>(
    buf: &'buf mut [u8; 48],
    before: &[u8],
    mut number: u32,
    after: &[u8],
) -> Option<&'buf CStr> {
    let mut digits = [0; 10];
    let mut len = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        len += 1;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(digits.len().checked_sub(len)?..)?;
    let mut rest = buf.as_mut_slice();
    for part in [before, digits, after, b"\0"] {
        let room = rest.split_off_mut(..part.len())?;
        room.copy_from_slice(part);
    }
    CStr::from_bytes_until_nul(buf).ok()
}

fn read(fd: BorrowedFd<'_>) -> Result<FdInfo, Errno> {
    const AT_FDCWD: i32 = -100;
    let mut buf = [0; 48];
    // Not "self": a thread may have descriptors of its own.
    let number = fd.as_raw_fd().unsigned_abs();
    let path = path(&mut buf, b"/proc/thread-self/fdinfo/", number, b"").ok_or(Errno::EINVAL)?;
    // SAFETY: a new descriptor, ours.
    let info: OwnedFd =
        unsafe { syscall_fd!(nr::OPENAT, AT_FDCWD, path, super::abi::O_CLOEXEC, 0) }?;
    // A few short lines, given whole by one read.
    let mut text = [0; 1024];
    let len = io::read(&info, &mut text)?;
    parse(text.get(..len).unwrap_or_default())
}

fn parse(text: &[u8]) -> Result<FdInfo, Errno> {
    let (mut unread, mut total, mut features) = (None, None, None);
    for line in text.split(|&byte| byte == b'\n') {
        if let Some(value) = line.strip_prefix(b"pending:\t") {
            unread = number(value, 10);
        } else if let Some(value) = line.strip_prefix(b"total:\t") {
            total = number(value, 10);
        } else if let Some(value) = line.strip_prefix(b"API:\taa:") {
            features = value
                .split(|&byte| byte == b':')
                .next()
                .and_then(|value| number(value, 16));
        }
    }
    match (unread, total, features) {
        (Some(unread), Some(total), Some(features)) => {
            let waiting = Waiting { unread, total };
            let features = Features::from_bits_retain(features);
            Ok(FdInfo { waiting, features })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    u64::from_str_radix(core::str::from_utf8(digits).ok()?, base).ok()
}

impl Userfaultfd {
    /// Reads `/proc/thread-self/fdinfo/N` for what was negotiated, and takes
    /// the descriptor over: one that was received from another process.
    ///
    /// # Errors
    ///
    /// The descriptor back, and why. `EINVAL`: it is not a userfaultfd, or
    /// nobody has made its handshake. `ENOENT`: no /proc.
    ///
    /// ```
    /// use barecall::userfaultfd::Userfaultfd;
    /// # use barecall::userfaultfd::{UserfaultfdOptions, Features};
    /// # let options = UserfaultfdOptions::new().want(Features::THREAD_ID);
    /// # let sent = options.open_any()?.userfaultfd;
    /// # let features = sent.features();
    /// # let fd = barecall::fd::OwnedFd::from(sent);
    ///
    /// // `fd` came in a message with SCM_RIGHTS.
    /// let uffd = Userfaultfd::adopt_from_fdinfo(fd).map_err(|(_fd, errno)| errno)?;
    /// assert_eq!(uffd.features(), features);
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn adopt_from_fdinfo(fd: OwnedFd) -> Result<Self, (OwnedFd, Errno)> {
        let features = match read(fd.as_fd()) {
            Ok(info) => info.features,
            Err(errno) => return Err((fd, errno)),
        };
        let initialized = Features::from_bits_retain(INITIALIZED);
        if !features.contains(initialized) {
            return Err((fd, Errno::EINVAL));
        }
        Ok(Self {
            fd,
            features: features.difference(initialized),
            wp: true,
            local: false,
        })
    }

    /// Reads `/proc/thread-self/fdinfo/N`: how many faults wait.
    ///
    /// # Errors
    ///
    /// `ENOENT`: no /proc.
    ///
    /// ```
    /// # use barecall::userfaultfd::UserfaultfdOptions;
    /// # let uffd = UserfaultfdOptions::new().open_any()?.userfaultfd;
    /// let waiting = uffd.waiting_from_fdinfo()?;
    /// assert_eq!((waiting.unread, waiting.total), (0, 0));
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    #[doc(alias = "waiting")]
    pub fn waiting_from_fdinfo(&self) -> Result<Waiting, Errno> {
        read(self.as_fd()).map(|info| info.waiting)
    }
}
