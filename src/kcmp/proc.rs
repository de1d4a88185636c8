//! What /proc knows of the descriptors of processes, read without allocation.
//!
//! `kcmp` says what is the same, /proc says what it is called. A [`Process`] is
//! an open directory of /proc, and stays with its process: once that was
//! reaped, reading through it is `ESRCH` or `ENOENT`, also when the number has
//! been given to another process.
//!
//! ```
//! use barecall::kcmp::proc::Proc;
//! use barecall::process::getpid;
//!
//! let proc = Proc::open()?;
//! let me = proc.process(getpid())?;
//! let (mut names, mut name, mut text) = ([0; 1024], [0; 256], [0; 512]);
//! for fd in me.fds(&mut names)? {
//!     let fd = fd?;
//!     // Another thread may have closed it meanwhile.
//!     let (Ok(name), Ok(info)) = (me.link(fd, &mut name), me.fdinfo(fd, &mut text)) else {
//!         continue;
//!     };
//!     println!("{fd} {} at {:?}", String::from_utf8_lossy(name), info.pos());
//! }
//! # Ok::<(), barecall::Errno>(())
//! ```

use super::EpollSlot;
use crate::errno::Errno;
use crate::event::EpollFlags;
use crate::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use crate::fs::{self, AtFlags, DirEntries, Mode, OFlags, Stat};
use crate::io;
use crate::process::Pid;
use core::ffi::CStr;

/// A mounted /proc, as an open directory.
#[derive(Debug)]
pub struct Proc(OwnedFd);

impl Proc {
    /// `openat(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY)`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is no such directory. Whether something is mounted there
    /// is not looked at.
    #[inline]
    pub fn open() -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat(fs::CWD, c"/proc", flags, Mode::empty()).map(Self)
    }

    /// A /proc that is mounted elsewhere. Numbers of processes are those of the
    /// PID namespace that it was mounted in; `kcmp` takes those of the caller's.
    #[inline]
    pub const fn new(dir: OwnedFd) -> Self {
        Self(dir)
    }

    /// `openat(".")`: the processes that there are, in the order of their
    /// numbers. `buf` holds what one `getdents64` reads, a kilobyte or more.
    ///
    /// # Errors
    ///
    /// Those of `openat`, and for each item those of `getdents64`.
    ///
    /// See [`Process`] for an example.
    pub fn processes<'buf>(&self, buf: &'buf mut [u8]) -> Result<Pids<'buf>, Errno> {
        Numbers::open(&self.0, c".", buf).map(Pids)
    }

    /// `openat("PID", O_PATH | O_DIRECTORY)`: a process, or a thread by its id.
    ///
    /// # Errors
    ///
    /// `ENOENT`: there is none with this number (or /proc is mounted with
    /// `hidepid` and it is somebody else's).
    pub fn process(&self, pid: Pid) -> Result<Process, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = Path::new(b"", pid.as_raw());
        let dir = fs::openat(&self.0, name.as_c_str(), flags, Mode::empty())?;
        Ok(Process { pid, dir })
    }

    /// Reads `thread-self/fdinfo/N` (`openat`, `read`, `close`): the number of
    /// the process that a pidfd of the caller is for (since Linux 5.3).
    ///
    /// # Errors
    ///
    /// `ESRCH`: it was reaped, or has no number in this PID namespace. `EINVAL`:
    /// not a pidfd. `ENOENT`: no /proc.
    ///
    /// ```
    /// use barecall::kcmp::{Pinned, proc::Proc};
    /// # use barecall::{fd::AsFd, process::{PidfdFlags, getpid, pidfd_open}};
    /// # let pidfd = pidfd_open(getpid(), PidfdFlags::empty())?;
    ///
    /// // A pidfd that somebody sent:
    /// let pid = Proc::open()?.pid_of(&pidfd)?;
    /// let sender = Pinned::new(pid, pidfd.as_fd());
    /// # assert_eq!(sender.pid(), getpid());
    /// # Ok::<(), barecall::Errno>(())
    /// ```
    pub fn pid_of<Fd: AsFd>(&self, pidfd: Fd) -> Result<Pid, Errno> {
        let name = Path::new(b"thread-self/fdinfo/", pidfd.as_fd().as_raw_fd());
        let mut buf = [0; 512];
        let info = FdInfo::read(self.0.as_fd(), name.as_c_str(), &mut buf)?;
        match info.pid() {
            Some(number) => Pid::from_raw(number).ok_or(Errno::ESRCH),
            None => Err(Errno::EINVAL),
        }
    }
}

/// A process's directory in /proc, open.
///
/// ```
/// use barecall::fd::AsFd;
/// use barecall::fs::OFlags;
/// use barecall::kcmp::proc::Proc;
/// use barecall::process::getpid;
/// use barecall::{fs, io};
///
/// let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let number = writer.as_fd().as_raw_fd();
///
/// let proc = Proc::open()?;
/// let mut buf = [0; 1024];
/// let mut pids = proc.processes(&mut buf)?;
/// assert!(pids.any(|pid| pid == Ok(getpid())));
///
/// let me = proc.process(getpid())?;
/// assert!(me.threads(&mut buf)?.next().is_some());
/// let mut name = [0; 64];
/// assert!(!me.comm(&mut name)?.is_empty());
///
/// assert_eq!(me.stat(number)?.st_ino, fs::fstat(&writer)?.st_ino);
/// let info = me.fdinfo(number, &mut buf)?;
/// assert!(info.is_whole() && info.as_bytes().starts_with(b"pos:"));
/// assert_eq!((info.pos(), info.get("pos")), (Some(0), Some(&b"0"[..])));
/// assert!(info.fields().any(|(key, _)| key == b"mnt_id") && info.mnt_id().is_some());
/// let flags = info.flags().unwrap_or(OFlags::empty());
/// assert!(flags.contains(OFlags::WRONLY | OFlags::CLOEXEC));
/// // Before Linux 5.14, it is not told.
/// assert!(info.ino().is_none_or(|ino| Ok(ino) == fs::fstat(&writer).map(|stat| stat.st_ino)));
/// # Ok::<(), barecall::Errno>(())
/// ```
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    dir: OwnedFd,
}

impl Process {
    /// Its number.
    #[inline]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// `openat("fd")`: the descriptors that are open, in ascending order. `buf`
    /// holds what one `getdents64` reads, a kilobyte or more.
    ///
    /// # Errors
    ///
    /// `EACCES`: it may not be looked into. `ENOENT`, `ESRCH`: it is gone. A
    /// zombie has none.
    pub fn fds<'buf>(&self, buf: &'buf mut [u8]) -> Result<Numbers<'buf>, Errno> {
        Numbers::open(&self.dir, c"fd", buf)
    }

    /// `openat("task")`: the ids of its threads.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ESRCH`: it is gone.
    ///
    /// See [`Process`] for an example.
    pub fn threads<'buf>(&self, buf: &'buf mut [u8]) -> Result<Pids<'buf>, Errno> {
        Numbers::open(&self.dir, c"task", buf).map(Pids)
    }

    /// `readlinkat("fd/N")`: what a descriptor is called: a path, or
    /// `pipe:[INODE]` and the like. Cut off silently if it fills `buf`.
    ///
    /// # Errors
    ///
    /// `ENOENT`: not open. `EACCES`: the process may not be looked into.
    pub fn link<'buf>(&self, fd: RawFd, buf: &'buf mut [u8]) -> Result<&'buf [u8], Errno> {
        fs::readlinkat(&self.dir, Path::new(b"fd/", fd).as_c_str(), buf)
    }

    /// `newfstatat("fd/N")`: the file that a descriptor is of.
    ///
    /// It goes to the file system, which can hang where that is a dead server;
    /// [`fdinfo`](Self::fdinfo) does not.
    ///
    /// # Errors
    ///
    /// As [`link`](Self::link), and those of the file system.
    pub fn stat(&self, fd: RawFd) -> Result<Stat, Errno> {
        let path = Path::new(b"fd/", fd);
        fs::statat(&self.dir, path.as_c_str(), AtFlags::empty())
    }

    /// `openat("fdinfo/N")`, `read` to the end, `close`: offset, flags, and what
    /// the kind of file adds, as lines of text in `buf`.
    ///
    /// 512 bytes suffice for most; an epoll has a line of 90 for each file.
    ///
    /// # Errors
    ///
    /// `ENOENT`: not open. `EACCES`: the process may not be looked into.
    ///
    /// See [`Process`] for an example.
    pub fn fdinfo<'buf>(&self, fd: RawFd, buf: &'buf mut [u8]) -> Result<FdInfo<'buf>, Errno> {
        FdInfo::read(self.dir.as_fd(), Path::new(b"fdinfo/", fd).as_c_str(), buf)
    }

    /// `openat("comm")`, `read`, `close`: its name, of at most 15 bytes (more
    /// for kernel threads).
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ESRCH`: it is gone.
    pub fn comm<'buf>(&self, buf: &'buf mut [u8; 64]) -> Result<&'buf [u8], Errno> {
        let file = fs::openat(&self.dir, c"comm", OFlags::CLOEXEC, Mode::empty())?;
        let n = io::retry_on_intr(|| io::read(&file, buf))?;
        let name = buf.get(..n).unwrap_or_default();
        Ok(name.strip_suffix(b"\n").unwrap_or(name))
    }
}

impl AsFd for Process {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

crate::fd::std_as_fd!(Process);

/// A directory of /proc whose names are numbers. Others are left out.
///
/// An error ends it.
#[derive(Debug)]
pub struct Numbers<'buf> {
    dir: OwnedFd,
    buf: &'buf mut [u8],
    /// What is left of the entries that were read.
    rest: core::ops::Range<usize>,
    ended: bool,
}

impl<'buf> Numbers<'buf> {
    fn open(at: &OwnedFd, name: &CStr, buf: &'buf mut [u8]) -> Result<Self, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            dir: fs::openat(at, name, flags, Mode::empty())?,
            buf,
            rest: 0..0,
            ended: false,
        })
    }

    fn step(&mut self) -> Result<Option<i32>, Errno> {
        loop {
            let bytes = self.buf.get(self.rest.clone()).unwrap_or_default();
            let mut entries = DirEntries::from_bytes(bytes);
            if let Some(entry) = entries.next() {
                self.rest.start = self.rest.end - entries.as_bytes().len();
                match number(entry.name.to_bytes()) {
                    Some(number) => return Ok(Some(number)),
                    None => continue,
                }
            }
            let read = fs::getdents64(&self.dir, self.buf)?.as_bytes().len();
            if read == 0 {
                return Ok(None);
            }
            self.rest = 0..read;
        }
    }
}

impl Iterator for Numbers<'_> {
    type Item = Result<i32, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.step().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// A directory of /proc whose names are processes or threads.
#[derive(Debug)]
pub struct Pids<'buf>(Numbers<'buf>);

impl Iterator for Pids<'_> {
    type Item = Result<Pid, Errno>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(number) => {
                    if let Some(pid) = Pid::from_raw(number) {
                        return Some(Ok(pid));
                    }
                }
                Err(errno) => return Some(Err(errno)),
            }
        }
    }
}

/// The text of /proc/PID/fdinfo/N.
#[derive(Clone, Copy, Debug)]
pub struct FdInfo<'a> {
    text: &'a [u8],
    whole: bool,
}

impl<'a> FdInfo<'a> {
    /// From a text that was read elsewhere, as a whole.
    #[inline]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, whole: true }
    }

    fn read(dir: BorrowedFd<'_>, name: &CStr, buf: &'a mut [u8]) -> Result<Self, Errno> {
        let file = fs::openat(dir, name, OFlags::CLOEXEC, Mode::empty())?;
        let mut length = 0;
        let whole = loop {
            let room = buf.get_mut(length..).unwrap_or_default();
            if room.is_empty() {
                break io::retry_on_intr(|| io::read(&file, &mut [0]))? == 0;
            }
            match io::retry_on_intr(|| io::read(&file, room))? {
                0 => break true,
                n => length += n,
            }
        };
        let mut text = buf.get(..length).unwrap_or_default();
        if !whole {
            let end = text.iter().rposition(|&byte| byte == b'\n');
            text = end.and_then(|end| text.get(..=end)).unwrap_or_default();
        }
        Ok(Self { text, whole })
    }

    /// Whether the buffer held all of it. If not, the lines that it did not
    /// hold as a whole are missing.
    #[inline]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The text.
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.text
    }

    /// The lines, as what stands before the first colon and after it, without
    /// blanks around.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        lines(self.text).filter_map(split)
    }

    /// What the first line of this name says: `"eventfd-count"`, `"lock"`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let mut fields = self.fields();
        fields.find_map(|(key, value)| (key == name.as_bytes()).then_some(value))
    }

    /// `pos`: the file offset.
    pub fn pos(&self) -> Option<i64> {
        signed(self.get("pos")?)
    }

    /// `flags`: access mode and status flags of the open file, and
    /// [`OFlags::CLOEXEC`] if the descriptor has that.
    pub fn flags(&self) -> Option<OFlags> {
        let bits = digits(self.get("flags")?, 8)?;
        Some(OFlags::from_bits_retain(u32::try_from(bits).ok()?))
    }

    /// `mnt_id`: the mount that it was opened through, as in
    /// /proc/PID/mountinfo.
    pub fn mnt_id(&self) -> Option<u64> {
        digits(self.get("mnt_id")?, 10)
    }

    /// `ino`: the inode number (since Linux 5.14).
    pub fn ino(&self) -> Option<u64> {
        digits(self.get("ino")?, 10)
    }

    /// `Pid` of a pidfd: the number of its process, 0 if it has none in the
    /// namespace of this /proc, -1 if it was reaped.
    pub fn pid(&self) -> Option<i32> {
        signed(self.get("Pid")?)?.try_into().ok()
    }

    /// `tfd` lines: the files in the set of an epoll.
    ///
    /// See [`find_epoll_target`](crate::kcmp::find_epoll_target) for an example.
    pub fn epoll_targets(&self) -> EpollTargets<'a> {
        EpollTargets {
            text: self.text,
            at: 0,
        }
    }
}

/// The files in the set of an epoll: see [`FdInfo::epoll_targets`].
#[derive(Clone, Debug)]
pub struct EpollTargets<'a> {
    text: &'a [u8],
    at: usize,
}

/// One file in the set of an epoll.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EpollTarget<'a> {
    /// The number that it was added under; see [`EpollSlot::tfd`].
    pub tfd: u32,
    /// What is waited for.
    pub events: EpollFlags,
    /// The number that comes with an event.
    pub data: u64,
    /// The inode number of the file, where the kernel tells (since Linux 4.13).
    pub ino: Option<u64>,
    /// The device number of its file system, as the kernel has it: the major
    /// number above the low 20 bits.
    pub sdev: Option<u32>,
    before: &'a [u8],
}

impl EpollTarget<'_> {
    /// What [`kcmp_epoll_tfd`](super::kcmp_epoll_tfd) asks for: this file in the
    /// set of the epoll `efd`. Right as long as the set does not change.
    pub fn slot(&self, efd: RawFd) -> EpollSlot {
        let same_number = |line: &&[u8]| tfd(line) == Some(self.tfd);
        EpollSlot {
            efd: efd as u32,
            tfd: self.tfd,
            toff: lines(self.before).filter(same_number).count() as u32,
        }
    }
}

impl<'a> Iterator for EpollTargets<'a> {
    type Item = EpollTarget<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (before, rest) = self.text.split_at_checked(self.at)?;
            let line = rest.split_inclusive(|&byte| byte == b'\n').next()?;
            self.at += line.len();
            if let Some(tfd) = tfd(line) {
                let field = |name| word(line, name);
                return Some(EpollTarget {
                    tfd,
                    events: EpollFlags::from_bits_retain(
                        field(b"events:").and_then(|hex| digits(hex, 16))? as u32,
                    ),
                    data: field(b"data:").and_then(|hex| digits(hex, 16))?,
                    ino: field(b"ino:").and_then(|hex| digits(hex, 16)),
                    sdev: field(b"sdev:").and_then(|hex| digits(hex, 16)?.try_into().ok()),
                    before,
                });
            }
        }
    }
}

/// The number of a line `tfd: N events: ...`.
fn tfd(line: &[u8]) -> Option<u32> {
    if !line.starts_with(b"tfd:") {
        return None;
    }
    digits(word(line, b"tfd:")?, 10)?.try_into().ok()
}

/// The word after `name` in a line, with blanks between or without.
fn word<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word.strip_prefix(name) {
            Some([]) => return words.next(),
            Some(value) => return Some(value),
            None => {}
        }
    }
    None
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (key, value) = line.split_at_checked(colon)?;
    Some((key.trim_ascii(), value.get(1..)?.trim_ascii()))
}

fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(text) => 0_i64.checked_sub_unsigned(digits(text, 10)?),
        None => digits(text, 10)?.try_into().ok(),
    }
}

/// A number of nothing but digits, that fits.
fn digits(text: &[u8], radix: u32) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &byte| {
        let digit = char::from(byte).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

/// A name in /proc that is a number.
fn number(name: &[u8]) -> Option<i32> {
    digits(name, 10)?.try_into().ok()
}

/// A short prefix and a number.
struct Path([u8; 40]);

impl Path {
    /// `prefix` is at most 19 bytes, and a number with its NUL 21. A negative
    /// one, which nothing in /proc is called, becomes one that is not there
    /// either.
    fn new(prefix: &[u8], number: i32) -> Self {
        let number = fs::DecInt::new(number as u64);
        let parts = prefix.iter().chain(number.as_c_str().to_bytes());
        let mut path = [0; 40];
        path.iter_mut()
            .zip(parts)
            .for_each(|(to, from)| *to = *from);
        if let Some(end) = path.last_mut() {
            *end = 0;
        }
        Self(path)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}
