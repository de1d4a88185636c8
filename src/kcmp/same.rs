//! Two descriptors of one's own, and two processes by pidfd.

use super::{Relation, Resource, kcmp, kcmp_file};
use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, RawFd};
use crate::process::{Pid, PidfdInfoMask, gettid, pidfd_get_info};
use crate::signal::{PidfdSignalFlags, pidfd_send_signal};
use crate::{fs, io};

/// Which way [`same_description`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// `fcntl(F_DUPFD_QUERY)`, since Linux 6.10.
    DupfdQuery,
    /// `kcmp(KCMP_FILE)` of the calling thread with itself.
    Kcmp,
}

/// `fcntl(a, F_DUPFD_QUERY, b)`, and if that fails, `gettid()` and
/// `kcmp(tid, tid, KCMP_FILE, a, b)`: whether two descriptors are the same open
/// file, and how that was found out.
///
/// `true` means one open file description: one offset, one set of status flags,
/// one owner of `flock` locks. A file that was opened twice is not the same, see
/// [`same_inode`].
///
/// The thread and not the process is asked about, because a thread can have a
/// descriptor table of its own (`unshare(CLONE_FILES)`).
///
/// # Errors
///
/// Those of the `kcmp`, so always after both ways have failed: `EPERM`,
/// `EACCES` or `ENOSYS`, when a filter or the kernel allows neither. It is not
/// known then, and must not be taken for `false`. `EPROTO`: an answer of `kcmp`
/// that this crate does not know.
///
/// ```
/// use barecall::{io, kcmp};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let again = reader.try_clone()?;
/// assert!(kcmp::same_description(&reader, &again)?.0);
/// assert!(!kcmp::same_description(&reader, &writer)?.0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual pages: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html),
/// [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
#[doc(alias = "same_fd")]
pub fn same_description<A: AsFd, B: AsFd>(a: A, b: B) -> Result<(bool, By), Errno> {
    let (a, b) = (a.as_fd(), b.as_fd());
    // EINVAL: before 6.10. EBADF: the same, and a descriptor with O_PATH.
    // Anything else: a filter that does not know the command.
    if let Ok(same) = io::fcntl_dupfd_query(a, b) {
        return Ok((same, By::DupfdQuery));
    }
    let me = gettid();
    match kcmp_file(me, a.as_raw_fd(), me, b.as_raw_fd())? {
        Relation::Same => Ok((true, By::Kcmp)),
        Relation::Less | Relation::Greater | Relation::Different => Ok((false, By::Kcmp)),
        Relation::Unknown(_) => Err(Errno::EPROTO),
    }
}

/// `fstat` of both: whether two descriptors are of the same file (device and
/// inode), however they were opened.
///
/// A weaker question than [`same_description`], and not a substitute: two opens
/// of one file have an offset each, two terminals can be opened through one
/// device node, and some files without a name all share one inode (eventfd,
/// epoll, signalfd, io_uring and others before they got their own).
///
/// # Errors
///
/// Those of `fstat`, rare for an open descriptor.
///
/// ```
/// use barecall::{io, kcmp};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// // One pipe, one inode; two ends.
/// assert!(kcmp::same_inode(&reader, &writer)?);
/// assert!(!kcmp::same_description(&reader, &writer)?.0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fstat(2)](https://man7.org/linux/man-pages/man2/fstat.2.html).
pub fn same_inode<A: AsFd, B: AsFd>(a: A, b: B) -> Result<bool, Errno> {
    let (a, b) = (fs::fstat(a)?, fs::fstat(b)?);
    Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// A process number, and the pidfd that shows whether it still means the same
/// process.
///
/// A number is free for others only after its process was reaped. So if the
/// pidfd still finds its process *after* a comparison, the number meant that
/// process during it.
#[derive(Clone, Copy, Debug)]
pub struct Pinned<'fd> {
    pid: Pid,
    pidfd: BorrowedFd<'fd>,
}

impl<'fd> Pinned<'fd> {
    /// A pidfd, and the number that it was opened from.
    ///
    /// Nothing is asked. With a pidfd of another process the answers will be
    /// about `pid` and guarded by the wrong one.
    #[inline]
    pub fn new(pid: Pid, pidfd: BorrowedFd<'fd>) -> Self {
        Self { pid, pidfd }
    }

    /// `ioctl(pidfd, PIDFD_GET_INFO)`: a pidfd that came without a number, and
    /// its number (since Linux 6.13).
    ///
    /// For older kernels there is [`Proc::pid_of`](super::proc::Proc::pid_of).
    ///
    /// # Errors
    ///
    /// `ESRCH`: it was reaped, or has no number in this PID namespace. `EINVAL`
    /// on Linux 6.11 and 6.12, `ENOTTY` before: no such request. Not a pidfd:
    /// `ENOTTY`, or what that kind of file says.
    ///
    /// ```
    /// use barecall::fd::AsFd;
    /// use barecall::kcmp::Pinned;
    /// use barecall::process::{PidfdFlags, getpid, pidfd_open};
    ///
    /// let pidfd = pidfd_open(getpid(), PidfdFlags::empty())?;
    /// if let Ok(me) = Pinned::query(pidfd.as_fd()) {
    ///     assert_eq!(me.pid(), getpid());
    /// }
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    ///
    /// Manual page: [pidfd_open(2)](https://man7.org/linux/man-pages/man2/pidfd_open.2.html).
    pub fn query(pidfd: BorrowedFd<'fd>) -> Result<Self, Errno> {
        let info = pidfd_get_info(pidfd, PidfdInfoMask::PID)?;
        let pid = i32::try_from(info.pid).ok().and_then(Pid::from_raw);
        Ok(Self::new(pid.ok_or(Errno::ESRCH)?, pidfd))
    }

    /// The number.
    #[inline]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// `pidfd_send_signal(pidfd, 0)`: whether the process has not been reaped,
    /// so that the number is still its own (since Linux 5.1).
    ///
    /// True for a zombie, and for a process that may not be signalled (the
    /// kernel says `EPERM` only after it found it).
    ///
    /// # Errors
    ///
    /// `ESRCH`: it is gone. `EBADF`: not a pidfd. `EINVAL`: a process outside
    /// this PID namespace.
    ///
    /// ```
    /// use barecall::fd::AsFd;
    /// use barecall::kcmp::Pinned;
    /// use barecall::process::{PidfdFlags, getpid, pidfd_open};
    ///
    /// let pidfd = pidfd_open(getpid(), PidfdFlags::empty())?;
    /// Pinned::new(getpid(), pidfd.as_fd()).still_there()?;
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn still_there(&self) -> Result<(), Errno> {
        match pidfd_send_signal(self.pidfd, None, None, PidfdSignalFlags::empty()) {
            Ok(()) | Err(Errno::EPERM) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// [`kcmp`], then [`Pinned::still_there`] for both: whether two processes share
/// a resource, whatever became of their numbers.
///
/// # Errors
///
/// As [`kcmp`]; `ESRCH` also if one of them was reaped before the answer was
/// certain. `EBADF`: not a pidfd.
///
/// ```
/// use barecall::fd::AsFd;
/// use barecall::kcmp::{Pinned, Resource, kcmp_file_pinned, kcmp_pinned};
/// use barecall::process::{CStrArray, CStrings, PidfdFlags, getpid, pidfd_open};
/// use barecall::spawn::Spawn;
/// use barecall::{Errno, io};
///
/// # if !std::path::Path::new("/bin/sh").exists() { return Ok(()); }
/// // A child that has our pipe as its input, and nothing else in common.
/// let argv = CStrings::new([c"sh", c"-c", c"read line"]);
/// let (input, output) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let mut spawn = Spawn::new(c"/bin/sh", argv.as_array(), CStrArray::EMPTY);
/// let child = spawn.stdin(input.as_fd()).spawn()?;
///
/// let own = pidfd_open(getpid(), PidfdFlags::empty())?;
/// let me = Pinned::new(getpid(), own.as_fd());
/// let other = Pinned::new(child.pid(), child.pidfd());
/// match kcmp_pinned(Resource::VM, me, other) {
///     Ok(relation) => assert!(!relation.is_same()),
///     // A kernel without it, or not allowed to look.
///     Err(errno) => assert!(matches!(errno, Errno::ENOSYS | Errno::EPERM)),
/// }
/// match kcmp_file_pinned(me, input.as_fd().as_raw_fd(), other, 0) {
///     Ok(relation) => assert!(relation.is_same()),
///     Err(errno) => assert!(matches!(errno, Errno::ENOSYS | Errno::EPERM)),
/// }
///
/// drop(output);
/// child.wait()?;
/// // Its number may be somebody else's by now; the pidfd knows.
/// assert_eq!(other.still_there(), Err(Errno::ESRCH));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual pages: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html),
/// [pidfd_send_signal(2)](https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html).
pub fn kcmp_pinned(resource: Resource, a: Pinned<'_>, b: Pinned<'_>) -> Result<Relation, Errno> {
    let relation = kcmp(resource, a.pid, b.pid)?;
    a.still_there()?;
    b.still_there()?;
    Ok(relation)
}

/// [`kcmp_file`], then [`Pinned::still_there`] for both: whether descriptors of
/// two processes are the same open file, whatever became of their numbers.
///
/// # Errors
///
/// As [`kcmp_file`]; `ESRCH` also if one of them was reaped before the answer
/// was certain. `EBADF` also: not a pidfd.
///
/// See [`kcmp_pinned`] for an example.
///
/// Manual pages: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html),
/// [pidfd_send_signal(2)](https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html).
pub fn kcmp_file_pinned(
    a: Pinned<'_>,
    a_fd: RawFd,
    b: Pinned<'_>,
    b_fd: RawFd,
) -> Result<Relation, Errno> {
    let relation = kcmp_file(a.pid, a_fd, b.pid, b_fd)?;
    a.still_there()?;
    b.still_there()?;
    Ok(relation)
}
