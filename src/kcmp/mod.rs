//! Who shares what: open files, address spaces, descriptor tables.
//!
//! Two descriptors can be the same *open file* (made by `dup`, by `fork`, or
//! sent over a socket: one offset, one set of status flags, one lock owner), or
//! two opens of one file, which look the same in /proc and are not. Only the
//! kernel knows which, and `kcmp` is how it is asked.
//!
//! | Question | Function |
//! |---|---|
//! | Are these two descriptors of mine the same open file? | [`same_description`] |
//! | Are they the same file, however opened? | [`same_inode`] |
//! | The same, for descriptors of other processes | [`kcmp_file`] |
//! | Do two tasks share memory, descriptors, directory, signal handlers? | [`kcmp`] |
//! | Do they share an I/O context or semaphore adjustments? | [`kcmp_lazy`] |
//! | Which file does this epoll watch? | [`kcmp_epoll_tfd`], [`find_epoll_target`] |
//! | Thousands of descriptors: which of them are one? | [`classify_files`] |
//! | Many tasks: who shares with whom? | [`classify`] |
//! | What does /proc call a descriptor, and what is its offset? | [`proc`] |
//!
//! # What an answer is worth
//!
//! The kernel compares two pointers, at one moment. If the processes run, they
//! may have closed or opened something meanwhile: who needs certainty stops
//! them first. Numbers of processes are reused; [`Pinned`] closes that gap with
//! a pidfd.
//!
//! [`Relation::Same`] of two *empty* slots is `Same` too. A task that has
//! exited and was not reaped yet (a zombie) has no memory, no descriptors and
//! no directory any more, so two zombies are "the same" in [`Resource::VM`],
//! [`FILES`](Resource::FILES) and [`FS`](Resource::FS), and two kernel threads
//! are in `VM`. A process whose first thread has ended while others go on looks
//! like a zombie under its own number, and must be asked about by the id of a
//! living thread. What tasks normally do not have at all is a type of its own,
//! [`LazyResource`], with an answer of its own.
//!
//! # Being refused
//!
//! Looking into another task needs what `ptrace` needs for reading
//! (`PTRACE_MODE_READ_REALCREDS`): the same user and a dumpable process, or
//! `CAP_SYS_PTRACE`. The kernel's answer to "no" is `EPERM`, and a container's
//! seccomp filter often says the same for every `kcmp` (Docker's does, without
//! `CAP_SYS_PTRACE`). [`denied_by`] tells the two apart. No function here ever
//! takes "not allowed to know" for "not the same".

mod classify;
pub mod proc;
mod same;

pub use classify::{
    Entry, File, classify, classify_by, classify_files, find_by, find_epoll_target, members,
};
pub use same::{By, Pinned, kcmp_file_pinned, kcmp_pinned, same_description, same_inode};

use crate::errno::Errno;
use crate::fd::RawFd;
use crate::process::{Pid, gettid};
use crate::selector::selector;
use crate::syscall::Arg;
use crate::{nr, syscall};
use core::cmp::Ordering;

selector! {
    /// `enum kcmp_type`: what [`kcmp_raw`] compares.
    ///
    /// The functions with a name each ([`kcmp`], [`kcmp_lazy`], [`kcmp_file`],
    /// [`kcmp_epoll_tfd`]) take care of this themselves.
    #[doc(alias = "enum kcmp_type")]
    pub struct Kind: u32 {
        /// `KCMP_FILE`: two open files, by descriptor.
        #[doc(alias = "KCMP_FILE")]
        const FILE = 0;
        /// `KCMP_VM`: the address space.
        #[doc(alias = "KCMP_VM")]
        const VM = 1;
        /// `KCMP_FILES`: the table of descriptors.
        #[doc(alias = "KCMP_FILES")]
        const FILES = 2;
        /// `KCMP_FS`: root, working directory and umask.
        #[doc(alias = "KCMP_FS")]
        const FS = 3;
        /// `KCMP_SIGHAND`: the table of signal actions.
        #[doc(alias = "KCMP_SIGHAND")]
        const SIGHAND = 4;
        /// `KCMP_IO`: the I/O context.
        #[doc(alias = "KCMP_IO")]
        const IO = 5;
        /// `KCMP_SYSVSEM`: the adjustments of System V semaphores.
        #[doc(alias = "KCMP_SYSVSEM")]
        const SYSVSEM = 6;
        /// `KCMP_EPOLL_TFD`: an open file and the target of an epoll (since Linux
        /// 4.13).
        #[doc(alias = "KCMP_EPOLL_TFD")]
        const EPOLL_TFD = 7;
    }
}

/// What every living task has, and can share: see [`kcmp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Resource(u32);

impl Resource {
    /// `KCMP_VM`: the address space, shared by `CLONE_VM` (threads, `vfork`).
    #[doc(alias = "KCMP_VM")]
    pub const VM: Self = Self(1);
    /// `KCMP_FILES`: the table of descriptors, shared by `CLONE_FILES`.
    #[doc(alias = "KCMP_FILES")]
    pub const FILES: Self = Self(2);
    /// `KCMP_FS`: root, working directory and umask, shared by `CLONE_FS`.
    #[doc(alias = "KCMP_FS")]
    pub const FS: Self = Self(3);
    /// `KCMP_SIGHAND`: the table of signal actions, shared by `CLONE_SIGHAND`.
    /// Zombies still have one.
    #[doc(alias = "KCMP_SIGHAND")]
    pub const SIGHAND: Self = Self(4);

    /// The same, as the kernel's type.
    #[inline]
    pub const fn kind(self) -> Kind {
        Kind(self.0)
    }
}

/// What a task has only after it needed it: see [`kcmp_lazy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct LazyResource(u32);

impl LazyResource {
    /// `KCMP_IO`: the I/O context, shared by `CLONE_IO`. Made by `ioprio_set`
    /// and by some I/O schedulers; most tasks have none.
    #[doc(alias = "KCMP_IO")]
    pub const IO: Self = Self(5);
    /// `KCMP_SYSVSEM`: the adjustments of System V semaphores, shared by
    /// `CLONE_SYSVSEM`. Made by the first `semop` with `SEM_UNDO`.
    #[doc(alias = "KCMP_SYSVSEM")]
    pub const SYSVSEM: Self = Self(6);

    /// The same, as the kernel's type.
    #[inline]
    pub const fn kind(self) -> Kind {
        Kind(self.0)
    }
}

/// What two things are to each other.
///
/// `Less` and `Greater` are an order to sort by, and nothing more: the kernel
/// scrambles it anew at every boot and for every [`Kind`]. Files and epoll
/// targets have it in common, so that one can be looked up among the others.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// 0: one and the same.
    Same,
    /// 1: two, and the first sorts before the second.
    Less,
    /// 2: two, and the first sorts after the second.
    Greater,
    /// 3: two, and the kernel does not say how they sort. Reserved: no kernel
    /// up to 7.3 answers it.
    Different,
    /// An answer that this crate does not know.
    Unknown(usize),
}

impl Relation {
    /// Whether they are one and the same.
    ///
    /// See [`kcmp_pinned`] for an example.
    #[inline]
    pub const fn is_same(self) -> bool {
        matches!(self, Self::Same)
    }

    /// As an [`Ordering`]; `None` where the kernel gives no order.
    ///
    /// Answers about running tasks can contradict each other, so this must not
    /// be the comparator of `slice::sort_by`, which may panic on that;
    /// [`classify_by`] does not.
    ///
    /// ```
    /// use barecall::kcmp::Relation;
    /// use core::cmp::Ordering;
    ///
    /// assert_eq!(Relation::Less.order(), Some(Ordering::Less));
    /// assert_eq!(Relation::Different.order(), None);
    /// ```
    #[inline]
    pub const fn order(self) -> Option<Ordering> {
        match self {
            Self::Same => Some(Ordering::Equal),
            Self::Less => Some(Ordering::Less),
            Self::Greater => Some(Ordering::Greater),
            Self::Different | Self::Unknown(_) => None,
        }
    }

    #[inline]
    const fn decode(answer: usize) -> Self {
        match answer {
            0 => Self::Same,
            1 => Self::Less,
            2 => Self::Greater,
            3 => Self::Different,
            other => Self::Unknown(other),
        }
    }
}

impl From<Ordering> for Relation {
    #[inline]
    fn from(order: Ordering) -> Self {
        match order {
            Ordering::Less => Self::Less,
            Ordering::Equal => Self::Same,
            Ordering::Greater => Self::Greater,
        }
    }
}

/// What two tasks are to each other in a [`LazyResource`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LazyRelation {
    /// Both have the same one, or neither has any, which is the usual case:
    /// this is what a child says right after `fork`, sharing nothing. The
    /// kernel does not tell the two apart.
    SameOrNone,
    /// They do not share it; at most one of the two has none.
    NotShared(Relation),
}

impl LazyRelation {
    /// As the kernel said it, where "both have none" is `Same`.
    #[inline]
    pub const fn relation(self) -> Relation {
        match self {
            Self::SameOrNone => Relation::Same,
            Self::NotShared(relation) => relation,
        }
    }
}

/// `kcmp(pid1, pid2, type, idx1, idx2)`: any comparison.
///
/// # Safety
///
/// For a [`Kind`] that takes a pointer ([`Kind::EPOLL_TFD`], in `idx2`, to an
/// [`EpollSlot`]), it must be good to read through.
///
/// # Errors
///
/// In the order of the kernel's checks. `ESRCH`: no such task. `EPERM`: not
/// allowed to look into one of them, or a filter (see [`denied_by`]). `EINVAL`:
/// an unknown kind. `EBADF`: not an open descriptor of that task; for
/// [`Kind::FILE`] the kernel looks at the low 32 bits only. `EOPNOTSUPP`: a
/// kernel without System V semaphores, or without epoll. `ENOSYS`: a kernel
/// without `CONFIG_KCMP` (before 5.12 `CONFIG_CHECKPOINT_RESTORE`).
///
/// ```
/// use barecall::kcmp::{Kind, Relation, kcmp_raw};
/// use barecall::process::getpid;
///
/// let me = getpid();
/// // SAFETY: no pointer.
/// let answer = unsafe { kcmp_raw(me, me, Kind::VM, 0, 0) }?;
/// assert_eq!(answer, Relation::Same);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
#[inline]
pub unsafe fn kcmp_raw<A: Arg, B: Arg>(
    a: Pid,
    b: Pid,
    kind: Kind,
    idx1: A,
    idx2: B,
) -> Result<Relation, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(nr::KCMP, a.as_raw(), b.as_raw(), kind.0, idx1, idx2) }.map(Relation::decode)
}

/// `kcmp(pid1, pid2, KCMP_VM | FILES | FS | SIGHAND, 0, 0)`: whether two tasks
/// share a resource (since Linux 3.5).
///
/// A [`Pid`] can be a process or one thread (its `gettid`). There is no number
/// for "myself", and 0 is not one.
///
/// `Same` is proof of sharing as long as one of the two lives; of two zombies
/// it is not, see [the module](self#what-an-answer-is-worth).
///
/// # Errors
///
/// `ESRCH`: one of the tasks does not exist. `EPERM`: not allowed to look into
/// one of them, or a filter (see [`denied_by`]). `EINVAL`: this kernel does not
/// know the resource. `ENOSYS`: a kernel without `CONFIG_KCMP`.
///
/// ```
/// use barecall::kcmp::{Relation, Resource, kcmp};
/// use barecall::process::{getpid, gettid};
///
/// // The first thread of the process and this one, a test's.
/// for resource in [Resource::VM, Resource::FILES, Resource::FS, Resource::SIGHAND] {
///     assert_eq!(kcmp(resource, getpid(), gettid())?, Relation::Same);
/// }
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
#[inline]
pub fn kcmp(resource: Resource, a: Pid, b: Pid) -> Result<Relation, Errno> {
    // SAFETY: no pointer.
    unsafe { kcmp_raw(a, b, resource.kind(), 0, 0) }
}

/// `kcmp(pid1, pid2, KCMP_IO | KCMP_SYSVSEM, 0, 0)`: whether two tasks share
/// what most tasks do not have (since Linux 3.5).
///
/// # Errors
///
/// As [`kcmp`]; `EOPNOTSUPP`: [`LazyResource::SYSVSEM`] on a kernel without
/// `CONFIG_SYSVIPC`.
///
/// ```
/// use barecall::kcmp::{LazyRelation, LazyResource, kcmp_lazy};
/// use barecall::process::getpid;
///
/// let me = getpid();
/// assert_eq!(kcmp_lazy(LazyResource::IO, me, me)?, LazyRelation::SameOrNone);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
#[inline]
pub fn kcmp_lazy(resource: LazyResource, a: Pid, b: Pid) -> Result<LazyRelation, Errno> {
    // SAFETY: no pointer.
    unsafe { kcmp_raw(a, b, resource.kind(), 0, 0) }.map(|relation| match relation {
        Relation::Same => LazyRelation::SameOrNone,
        other => LazyRelation::NotShared(other),
    })
}

/// `kcmp(pid1, pid2, KCMP_FILE, fd1, fd2)`: whether a descriptor of one task
/// and a descriptor of another are the same open file (since Linux 3.5).
///
/// `O_PATH` descriptors can be compared too. For two descriptors of one's own,
/// [`same_description`] is faster and works in more sandboxes.
///
/// # Errors
///
/// As [`kcmp`]; `EBADF`: not an open descriptor. A negative number is refused
/// here, without a call.
///
/// ```
/// use barecall::io;
/// use barecall::kcmp::{Relation, kcmp_file};
/// use barecall::process::gettid;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let again = reader.try_clone()?;
/// let me = gettid();
/// let compare = |a: &barecall::fd::OwnedFd, b: &barecall::fd::OwnedFd| {
///     kcmp_file(me, a.as_raw_fd(), me, b.as_raw_fd())
/// };
/// assert_eq!(compare(&reader, &again)?, Relation::Same);
/// assert_ne!(compare(&reader, &writer)?, Relation::Same);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
#[inline]
pub fn kcmp_file(a: Pid, a_fd: RawFd, b: Pid, b_fd: RawFd) -> Result<Relation, Errno> {
    if a_fd < 0 || b_fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: no pointer.
    unsafe { kcmp_raw(a, b, Kind::FILE, a_fd, b_fd) }
}

/// `struct kcmp_epoll_slot`: one file in the set of an epoll, for
/// [`kcmp_epoll_tfd`].
///
/// 12 bytes. (The manual page shows a last field of 64 bits; the kernel's has
/// 32.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct kcmp_epoll_slot")]
pub struct EpollSlot {
    /// The descriptor of the epoll.
    pub efd: u32,
    /// The number that the file had when it was added. It may be closed by
    /// now, or be another file.
    pub tfd: u32,
    /// Which one of those that were added under this number, from 0. After a
    /// number was closed and used again there can be several; they are counted
    /// in the order of the lines of /proc/PID/fdinfo/EFD.
    pub toff: u32,
}

/// `kcmp(pid1, pid2, KCMP_EPOLL_TFD, fd, &slot)`: whether a descriptor of one
/// task is the file that an epoll of another watches (since Linux 4.13).
///
/// The order of the answer is the order of [`kcmp_file`]: the target of an
/// epoll can be looked up among classified files, by [`find_epoll_target`].
///
/// # Errors
///
/// As [`kcmp_file`]. `ENOENT`: the epoll has no such entry; with `toff` counted
/// up from 0, there are no more. `EINVAL`: not an epoll, or a kernel before
/// 4.13. `EOPNOTSUPP`: a kernel without epoll.
///
/// ```
/// use barecall::event::{EpollCreateFlags, EpollEvent, EpollFlags, epoll_add, epoll_create1};
/// use barecall::kcmp::{EpollSlot, Relation, kcmp_epoll_tfd};
/// use barecall::{Errno, io, process::gettid};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let epoll = epoll_create1(EpollCreateFlags::CLOEXEC)?;
/// epoll_add(&epoll, &reader, EpollEvent::new(EpollFlags::IN, 0))?;
///
/// let tfd = reader.as_raw_fd() as u32;
/// let me = gettid();
/// let slot = EpollSlot { efd: epoll.as_raw_fd() as u32, tfd, toff: 0 };
/// assert_eq!(kcmp_epoll_tfd(me, reader.as_raw_fd(), me, slot)?, Relation::Same);
/// assert_ne!(kcmp_epoll_tfd(me, writer.as_raw_fd(), me, slot)?, Relation::Same);
/// let next = EpollSlot { toff: 1, ..slot };
/// assert_eq!(kcmp_epoll_tfd(me, reader.as_raw_fd(), me, next), Err(Errno::ENOENT));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [kcmp(2)](https://man7.org/linux/man-pages/man2/kcmp.2.html).
#[inline]
pub fn kcmp_epoll_tfd(a: Pid, fd: RawFd, b: Pid, slot: EpollSlot) -> Result<Relation, Errno> {
    if fd < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: the kernel reads one slot.
    unsafe { kcmp_raw(a, b, Kind::EPOLL_TFD, fd, &raw const slot) }
}

/// Who said `EPERM`: see [`denied_by`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeniedBy {
    /// The kernel: one of the tasks may not be looked into. `CAP_SYS_PTRACE`
    /// in that task's user namespace would help; so would asking about oneself
    /// only.
    Ptrace,
    /// A seccomp filter, or the kernel as it was built, with the error that
    /// even a question about oneself got: `EPERM`, `EACCES`, `ENOSYS`. No
    /// `kcmp` of this kind will work in this process.
    Filter(Errno),
}

/// `gettid()`, then `kcmp` of the calling thread with itself: who said `EPERM`.
///
/// A thread may always compare itself with itself, so an `EPERM` to that cannot
/// be about `ptrace`. Filters exist that pass [`Kind::FILE`] only; hence the
/// kind.
///
/// ```
/// use barecall::kcmp::{DeniedBy, Kind, denied_by};
///
/// // After EPERM from kcmp_file:
/// match denied_by(Kind::FILE) {
///     DeniedBy::Ptrace => println!("a process that we may not look into"),
///     DeniedBy::Filter(errno) => println!("kcmp does not work here: {errno}"),
/// }
/// ```
pub fn denied_by(kind: Kind) -> DeniedBy {
    let me = gettid();
    // No descriptor has this number and no slot is at this address, so what
    // gets past a filter ends as EBADF or EFAULT, after the check of ptrace.
    // SAFETY: a pointer that the kernel will refuse.
    match unsafe { kcmp_raw(me, me, kind, -1, 0) } {
        Err(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOSYS)) => DeniedBy::Filter(errno),
        _ => DeniedBy::Ptrace,
    }
}
