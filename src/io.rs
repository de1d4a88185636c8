//! Reading, writing and duplicating descriptors.
//!
//! Every function is one system call. A short count is returned as it is, and
//! `EINTR` too; [`retry_on_intr`] is there for who wants to go on.

use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use crate::syscall::{syscall_fd, syscall_zero};
use crate::{nr, syscall};
use bitflags::bitflags;
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// Calls `call` again as long as it says `EINTR`.
///
/// Right for a call that has done nothing when it is interrupted (`read`,
/// `write`, `openat`, `waitid`, ...). Not for `close`: the descriptor is gone.
///
/// ```
/// use barecall::io;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::retry_on_intr(|| io::write(&writer, b"hello"))?;
/// let mut buf = [0; 16];
/// let n = io::retry_on_intr(|| io::read(&reader, &mut buf))?;
/// assert_eq!(&buf[..n], b"hello");
/// # Ok::<(), barecall::Errno>(())
/// ```
#[inline]
pub fn retry_on_intr<T, F: FnMut() -> Result<T, Errno>>(mut call: F) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

/// Standard input, descriptor 0, borrowed.
///
/// # Safety
///
/// Descriptor 0 must be open, and stay so for `'fd`. That is the convention at
/// program start, but nothing enforces it: a program can be started without.
#[inline]
pub const unsafe fn stdin<'fd>() -> BorrowedFd<'fd> {
    // SAFETY: the caller's promise.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Standard output, descriptor 1, borrowed.
///
/// # Safety
///
/// As [`stdin`], for descriptor 1.
#[inline]
pub const unsafe fn stdout<'fd>() -> BorrowedFd<'fd> {
    // SAFETY: the caller's promise.
    unsafe { BorrowedFd::borrow_raw(1) }
}

/// Standard error, descriptor 2, borrowed.
///
/// # Safety
///
/// As [`stdin`], for descriptor 2.
#[inline]
pub const unsafe fn stderr<'fd>() -> BorrowedFd<'fd> {
    // SAFETY: the caller's promise.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// `read(fd, buf, count)`: reads into `buf`, from the file offset on.
///
/// Gives how many bytes were read, 0 at the end of the file. The offset is
/// moved, for everybody who shares the open file description.
///
/// # Errors
///
/// `EAGAIN`: nothing there, and the descriptor is non-blocking. `EBADF`: not
/// open for reading. `EINTR`: a signal came first. `EINVAL`: the file cannot be
/// read, or the buffer is too small (a userfaultfd, a signalfd). `EISDIR`.
///
/// ```
/// use barecall::io;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"12345")?;
/// let mut buf = [0; 3];
/// assert_eq!(io::read(&reader, &mut buf)?, 3);
/// assert_eq!(&buf, b"123");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [read(2)](https://man7.org/linux/man-pages/man2/read.2.html).
#[inline]
pub fn read<Fd: AsFd>(fd: Fd, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buf.len()` bytes there.
    unsafe { syscall!(nr::READ, fd.as_fd(), buf.as_mut_ptr(), buf.len()) }
}

/// `read(fd, buf, count)` into memory that need not be initialised.
///
/// Gives the bytes that were read, which are.
///
/// # Errors
///
/// As [`read`].
///
/// ```
/// use barecall::io;
/// use core::mem::MaybeUninit;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"12345")?;
/// let mut buf = [MaybeUninit::uninit(); 4096];
/// assert_eq!(io::read_uninit(&reader, &mut buf)?, b"12345");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [read(2)](https://man7.org/linux/man-pages/man2/read.2.html).
#[inline]
pub fn read_uninit<Fd: AsFd>(fd: Fd, buf: &mut [MaybeUninit<u8>]) -> Result<&mut [u8], Errno> {
    // SAFETY: the kernel writes at most `buf.len()` bytes there, and says how
    // many; those are initialised now.
    unsafe {
        let n = syscall!(nr::READ, fd.as_fd(), buf.as_mut_ptr(), buf.len())?;
        Ok(core::slice::from_raw_parts_mut(buf.as_mut_ptr().cast(), n))
    }
}

/// `write(fd, buf, count)`: writes `buf`, from the file offset on.
///
/// Gives how many bytes were written, which can be fewer than asked for.
///
/// # Errors
///
/// `EAGAIN`: no room, and the descriptor is non-blocking. `EBADF`: not open for
/// writing. `EINTR`: a signal came before the first byte. `EPERM`: sealed
/// against it. `EPIPE`: nobody reads (and `SIGPIPE` was sent). `EFBIG`,
/// `ENOSPC`, `EDQUOT`, `EIO`: the file system.
///
/// ```
/// use barecall::io;
///
/// let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// assert_eq!(io::write(&writer, b"hello")?, 5);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [write(2)](https://man7.org/linux/man-pages/man2/write.2.html).
#[inline]
pub fn write<Fd: AsFd>(fd: Fd, buf: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most `buf.len()` bytes there.
    unsafe { syscall!(nr::WRITE, fd.as_fd(), buf.as_ptr(), buf.len()) }
}

/// Repeats [`write()`] until all of `buf` is written, going on after `EINTR`.
///
/// # Errors
///
/// Those of [`write()`]; some of `buf` may have been written before. `EIO` also
/// when the kernel accepts no byte and gives no reason, which would never end.
///
/// ```
/// use barecall::io;
///
/// let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::write_all(&writer, b"all of it")?;
/// # Ok::<(), barecall::Errno>(())
/// ```
pub fn write_all<Fd: AsFd>(fd: Fd, mut buf: &[u8]) -> Result<(), Errno> {
    while !buf.is_empty() {
        match retry_on_intr(|| write(&fd, buf))? {
            0 => return Err(Errno::EIO),
            n => buf = buf.get(n..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// `pread64(fd, buf, count, offset)`: reads at `offset`, leaving the file
/// offset alone.
///
/// Gives how many bytes were read, 0 at or past the end of the file.
///
/// # Errors
///
/// As [`read`]; `ESPIPE`: a pipe, a socket or a terminal has no offset.
/// `EINVAL`: the offset exceeds `i64::MAX`.
///
/// ```
/// use barecall::{io, memfd::MemfdOptions};
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// io::pwrite(&file, b"abc", 10)?;
/// let mut buf = [0; 8];
/// assert_eq!(io::pread(&file, &mut buf, 9)?, 4);
/// assert_eq!(&buf[..4], b"\0abc");
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pread(2)](https://man7.org/linux/man-pages/man2/pread.2.html).
#[inline]
#[doc(alias = "pread64")]
pub fn pread<Fd: AsFd>(fd: Fd, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `buf.len()` bytes there.
    unsafe { syscall!(nr::PREAD64, fd.as_fd(), buf.as_mut_ptr(), buf.len(), offset) }
}

/// `pwrite64(fd, buf, count, offset)`: writes at `offset`, leaving the file
/// offset alone.
///
/// Gives how many bytes were written. On a descriptor with `O_APPEND`, Linux
/// appends, whatever the offset says.
///
/// # Errors
///
/// As [`write()`]; `ESPIPE`: a pipe, a socket or a terminal has no offset.
/// `EINVAL`: the offset exceeds `i64::MAX`.
///
/// ```
/// use barecall::{io, memfd::MemfdOptions};
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// assert_eq!(io::pwrite(&file, b"abc", 10)?, 3);
/// assert_eq!(io::lseek(&file, io::SeekFrom::End(0))?, 13);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pwrite(2)](https://man7.org/linux/man-pages/man2/pwrite.2.html).
#[inline]
#[doc(alias = "pwrite64")]
pub fn pwrite<Fd: AsFd>(fd: Fd, buf: &[u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most `buf.len()` bytes there.
    unsafe { syscall!(nr::PWRITE64, fd.as_fd(), buf.as_ptr(), buf.len(), offset) }
}

/// `struct iovec` for [`writev`]: one piece of what is written.
#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct iovec")]
pub struct IoSlice<'a> {
    iov_base: *const c_void,
    iov_len: usize,
    borrow: PhantomData<&'a [u8]>,
}

impl<'a> IoSlice<'a> {
    /// The piece that `buf` is.
    #[inline]
    pub const fn new(buf: &'a [u8]) -> Self {
        Self {
            iov_base: buf.as_ptr().cast(),
            iov_len: buf.len(),
            borrow: PhantomData,
        }
    }

    /// The bytes.
    #[inline]
    pub const fn as_slice(&self) -> &'a [u8] {
        // SAFETY: what `new` took apart.
        unsafe { core::slice::from_raw_parts(self.iov_base.cast(), self.iov_len) }
    }
}

// SAFETY: a `&[u8]` in the kernel's layout.
unsafe impl Send for IoSlice<'_> {}
// SAFETY: a `&[u8]` in the kernel's layout.
unsafe impl Sync for IoSlice<'_> {}

impl fmt::Debug for IoSlice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_slice(), f)
    }
}

/// `struct iovec` for [`readv`]: one piece of where bytes are read to.
#[repr(C)]
#[doc(alias = "struct iovec")]
pub struct IoSliceMut<'a> {
    iov_base: *mut c_void,
    iov_len: usize,
    borrow: PhantomData<&'a mut [u8]>,
}

impl<'a> IoSliceMut<'a> {
    /// The piece that `buf` is.
    #[inline]
    pub const fn new(buf: &'a mut [u8]) -> Self {
        Self {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
            borrow: PhantomData,
        }
    }

    /// The bytes.
    #[inline]
    pub const fn as_slice(&self) -> &[u8] {
        // SAFETY: what `new` took apart.
        unsafe { core::slice::from_raw_parts(self.iov_base.cast(), self.iov_len) }
    }
}

// SAFETY: a `&mut [u8]` in the kernel's layout.
unsafe impl Send for IoSliceMut<'_> {}
// SAFETY: a `&mut [u8]` in the kernel's layout.
unsafe impl Sync for IoSliceMut<'_> {}

impl fmt::Debug for IoSliceMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_slice(), f)
    }
}

/// `readv(fd, iov, iovcnt)`: reads into several buffers, one after the other.
///
/// # Errors
///
/// As [`read`]; `EINVAL` also for more than 1024 buffers.
///
/// ```
/// use barecall::io::{self, IoSliceMut};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"headbody")?;
/// let (mut head, mut body) = ([0; 4], [0; 16]);
/// let n = io::readv(&reader, &mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut body)])?;
/// assert_eq!((n, &head, &body[..4]), (8, b"head", &b"body"[..]));
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [readv(2)](https://man7.org/linux/man-pages/man2/readv.2.html).
#[inline]
pub fn readv<Fd: AsFd>(fd: Fd, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    // SAFETY: an array of `iovec`, each a buffer that is ours to write.
    unsafe { syscall!(nr::READV, fd.as_fd(), bufs.as_ptr(), bufs.len()) }
}

/// `writev(fd, iov, iovcnt)`: writes several buffers, one after the other.
///
/// # Errors
///
/// As [`write()`]; `EINVAL` also for more than 1024 buffers.
///
/// ```
/// use barecall::io::{self, IoSlice};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::writev(&writer, &[IoSlice::new(b"head"), IoSlice::new(b"body")])?;
/// let mut buf = [0; 16];
/// assert_eq!(io::read(&reader, &mut buf)?, 8);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [writev(2)](https://man7.org/linux/man-pages/man2/writev.2.html).
#[inline]
pub fn writev<Fd: AsFd>(fd: Fd, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    // SAFETY: an array of `iovec`, each a live slice.
    unsafe { syscall!(nr::WRITEV, fd.as_fd(), bufs.as_ptr(), bufs.len()) }
}

/// Where [`lseek`] counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFrom {
    /// `SEEK_SET`: the beginning of the file.
    Start(u64),
    /// `SEEK_CUR`: the present offset.
    Current(i64),
    /// `SEEK_END`: the end of the file.
    End(i64),
    /// `SEEK_DATA`: the first byte at or after this one that is not in a hole
    /// (since Linux 3.1).
    Data(u64),
    /// `SEEK_HOLE`: the first byte at or after this one that is in a hole, the
    /// end of the file counting as one (since Linux 3.1).
    Hole(u64),
}

/// `lseek(fd, offset, whence)`: moves the file offset, and says where it is.
///
/// # Errors
///
/// `ESPIPE`: a pipe, a socket or a terminal has no offset. `EINVAL`: the result
/// would be negative. `ENXIO`: [`SeekFrom::Data`] or [`SeekFrom::Hole`] past
/// the end of the file, or no data from there on. `EOVERFLOW`.
///
/// ```
/// use barecall::io::{self, SeekFrom};
/// use barecall::memfd::MemfdOptions;
///
/// let file = MemfdOptions::new().create(c"doc")?;
/// io::write(&file, b"12345")?;
/// assert_eq!(io::lseek(&file, SeekFrom::Start(2))?, 2);
/// assert_eq!(io::lseek(&file, SeekFrom::Current(1))?, 3);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [lseek(2)](https://man7.org/linux/man-pages/man2/lseek.2.html).
#[inline]
pub fn lseek<Fd: AsFd>(fd: Fd, pos: SeekFrom) -> Result<u64, Errno> {
    let (offset, whence) = match pos {
        SeekFrom::Start(offset) => (offset as i64, 0),
        SeekFrom::Current(offset) => (offset, 1),
        SeekFrom::End(offset) => (offset, 2),
        SeekFrom::Data(offset) => (offset as i64, 3),
        SeekFrom::Hole(offset) => (offset as i64, 4),
    };
    // SAFETY: numbers only.
    unsafe { syscall!(nr::LSEEK, fd.as_fd(), offset, whence) }.map(|offset| offset as u64)
}

/// `close(fd)`: closes a descriptor, and tells what the kernel said.
///
/// The descriptor is gone in every case, `EINTR` and `EIO` included: the error
/// is about data that was to be written back, and there is nothing to repeat.
///
/// # Errors
///
/// `EIO`, `ENOSPC`, `EDQUOT`: an earlier write failed (network file systems).
/// `EINTR`: interrupted while flushing.
///
/// ```
/// use barecall::io;
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::close(reader)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [close(2)](https://man7.org/linux/man-pages/man2/close.2.html).
#[inline]
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    // SAFETY: owned, and no longer after this.
    unsafe { syscall_zero!(nr::CLOSE, fd.into_raw_fd()) }
}

bitflags! {
    /// `O_CLOEXEC` for [`dup3`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct DupFlags: u32 {
        /// `O_CLOEXEC`: the new descriptor is closed by `execve`.
        #[doc(alias = "O_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        const _ = !0;
    }
}

/// `dup(fd)`: another descriptor of the same open file description, which
/// *survives* `execve`.
///
/// For one that does not, [`fcntl_dupfd_cloexec`] or
/// [`OwnedFd::try_clone`](crate::fd::OwnedFd::try_clone).
///
/// # Errors
///
/// `EMFILE`: the process has as many descriptors as it may.
///
/// ```
/// use barecall::io::{self, FdFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let again = io::dup(&reader)?;
/// assert_eq!(io::fcntl_getfd(&again)?, FdFlags::empty());
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [dup(2)](https://man7.org/linux/man-pages/man2/dup.2.html).
#[inline]
pub fn dup<Fd: AsFd>(fd: Fd) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::DUP, fd.as_fd()) }
}

/// `dup3(oldfd, newfd, flags)`: makes `new` a descriptor of what `fd` is,
/// closing what it was before.
///
/// # Errors
///
/// `EINVAL`: the two are the same number, or an unknown flag. `EBUSY`: a race
/// with `open`. What was closed fails silently.
///
/// ```
/// use barecall::io::{self, DupFlags};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// let (_other, mut end) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::dup3(&writer, &mut end, DupFlags::CLOEXEC)?;
/// io::write(&end, b"x")?;
/// assert_eq!(io::read(&reader, &mut [0; 8])?, 1);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [dup3(2)](https://man7.org/linux/man-pages/man2/dup3.2.html).
#[inline]
pub fn dup3<Fd: AsFd>(fd: Fd, new: &mut OwnedFd, flags: DupFlags) -> Result<(), Errno> {
    // SAFETY: whoever owns `new` lent it to be replaced.
    unsafe { dup3_raw(fd, new.as_raw_fd(), flags) }
}

/// `dup3(oldfd, newfd, flags)` onto a bare number, which need not be open.
///
/// What a program does with 0, 1 and 2 before it executes another.
///
/// # Safety
///
/// If `new` is open, then nobody owns it, or expects it to be what it was.
///
/// # Errors
///
/// As [`dup3`]; `EBADF`: `new` is negative or above the limit.
///
/// ```
/// use barecall::io::{self, DupFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// // SAFETY: nobody has descriptor 99 in this program.
/// let copy = unsafe {
///     io::dup3_raw(&reader, 99, DupFlags::CLOEXEC)?;
///     barecall::fd::OwnedFd::from_raw_fd(99)
/// };
/// # drop(copy);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [dup3(2)](https://man7.org/linux/man-pages/man2/dup3.2.html).
#[inline]
pub unsafe fn dup3_raw<Fd: AsFd>(fd: Fd, new: RawFd, flags: DupFlags) -> Result<(), Errno> {
    // SAFETY: the caller's promise. The call answers the number `new`.
    unsafe { syscall!(nr::DUP3, fd.as_fd(), new, flags.bits()) }.map(|_| ())
}

bitflags! {
    /// `O_*` for [`pipe2`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct PipeFlags: u32 {
        /// `O_CLOEXEC`: both ends are closed by `execve`.
        #[doc(alias = "O_CLOEXEC")]
        const CLOEXEC = 0o2000000;
        /// `O_NONBLOCK`: `EAGAIN` instead of waiting.
        #[doc(alias = "O_NONBLOCK")]
        const NONBLOCK = 0o4000;
        /// `O_DIRECT`: one write is one packet (since Linux 3.4).
        #[doc(alias = "O_DIRECT")]
        const DIRECT = crate::arch::O_DIRECT;
        const _ = !0;
    }
}

/// `pipe2(pipefd, flags)`: a pipe, as (reader, writer).
///
/// # Errors
///
/// `EINVAL`: an unknown flag. `EMFILE`, `ENFILE`: too many descriptors.
///
/// ```
/// use barecall::io::{self, PipeFlags};
///
/// let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"x")?;
/// drop(writer);
/// let mut buf = [0; 8];
/// assert_eq!(io::read(&reader, &mut buf)?, 1);
/// assert_eq!(io::read(&reader, &mut buf)?, 0);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [pipe2(2)](https://man7.org/linux/man-pages/man2/pipe2.2.html).
#[inline]
pub fn pipe2(flags: PipeFlags) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [0_i32; 2];
    // SAFETY: the kernel writes two numbers, and both are ours.
    unsafe {
        syscall_zero!(nr::PIPE2, fds.as_mut_ptr(), flags.bits())?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// `F_*`: what [`fcntl`] is asked.
mod cmd {
    pub const F_DUPFD_CLOEXEC: u32 = 1030;
    pub const F_GETFD: u32 = 1;
    pub const F_SETFD: u32 = 2;
    pub const F_GETFL: u32 = 3;
    pub const F_SETFL: u32 = 4;
    pub const F_DUPFD_QUERY: u32 = 1027;
}

/// `fcntl(fd, cmd, arg)`: any command, with an argument that is a number or a
/// pointer.
///
/// # Safety
///
/// As for [`syscall!`](crate::syscall!): it depends on the command.
///
/// # Errors
///
/// `EINVAL`: a command that this kernel or this kind of file does not know.
/// `EBADF`: not for this kind of descriptor (`O_PATH`). Others by command.
///
/// ```
/// use barecall::io;
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// // SAFETY: F_GETPIPE_SZ reads a number.
/// let capacity = unsafe { io::fcntl(&reader, 1032, 0) }?;
/// assert!(capacity >= 4096);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub unsafe fn fcntl<Fd: AsFd, A: crate::syscall::Arg>(
    fd: Fd,
    cmd: u32,
    arg: A,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(nr::FCNTL, fd.as_fd(), cmd, arg) }
}

/// `fcntl(fd, F_DUPFD_CLOEXEC, min)`: another descriptor of the same open file
/// description, close-on-exec, with the lowest free number from `min` on.
///
/// # Errors
///
/// `EINVAL`: `min` is negative or above the limit. `EMFILE`: none is free.
///
/// ```
/// use barecall::io;
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// assert!(io::fcntl_dupfd_cloexec(&reader, 100)?.as_raw_fd() >= 100);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [F_DUPFD_CLOEXEC(2const)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_dupfd_cloexec<Fd: AsFd>(fd: Fd, min: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe { syscall_fd!(nr::FCNTL, fd.as_fd(), cmd::F_DUPFD_CLOEXEC, min) }
}

bitflags! {
    /// `FD_*`: the flags of one descriptor.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct FdFlags: u32 {
        /// `FD_CLOEXEC`: closed by `execve`.
        #[doc(alias = "FD_CLOEXEC")]
        const CLOEXEC = 1;
        const _ = !0;
    }
}

/// `fcntl(fd, F_GETFD)`: the flags of the descriptor.
///
/// # Errors
///
/// None for an open descriptor.
///
/// ```
/// use barecall::io::{self, FdFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// assert_eq!(io::fcntl_getfd(&reader)?, FdFlags::CLOEXEC);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_getfd<Fd: AsFd>(fd: Fd) -> Result<FdFlags, Errno> {
    // SAFETY: numbers only.
    let bits = unsafe { syscall!(nr::FCNTL, fd.as_fd(), cmd::F_GETFD) }?;
    Ok(FdFlags::from_bits_retain(bits as u32))
}

/// `fcntl(fd, F_SETFD, flags)`: sets the flags of the descriptor.
///
/// # Errors
///
/// None for an open descriptor.
///
/// ```
/// use barecall::io::{self, FdFlags};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::empty())?;
/// io::fcntl_setfd(&reader, FdFlags::CLOEXEC)?;
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_setfd<Fd: AsFd>(fd: Fd, flags: FdFlags) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCNTL, fd.as_fd(), cmd::F_SETFD, flags.bits()) }
}

/// `fcntl(fd, F_GETFL)`: access mode and status flags of the open file
/// description.
///
/// The kernel adds `O_LARGEFILE` on its own; see [`OFlags::ACCMODE`].
///
/// [`OFlags::ACCMODE`]: crate::fs::OFlags::ACCMODE
///
/// # Errors
///
/// None for an open descriptor.
///
/// ```
/// use barecall::fs::OFlags;
/// use barecall::io;
///
/// let (_reader, writer) = io::pipe2(io::PipeFlags::NONBLOCK)?;
/// let flags = io::fcntl_getfl(&writer)?;
/// assert!(flags.contains(OFlags::NONBLOCK));
/// assert_eq!(flags & OFlags::ACCMODE, OFlags::WRONLY);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_getfl<Fd: AsFd>(fd: Fd) -> Result<crate::fs::OFlags, Errno> {
    // SAFETY: numbers only.
    let bits = unsafe { syscall!(nr::FCNTL, fd.as_fd(), cmd::F_GETFL) }?;
    Ok(crate::fs::OFlags::from_bits_retain(bits as u32))
}

/// `fcntl(fd, F_SETFL, flags)`: sets the status flags of the open file
/// description, for everybody who shares it.
///
/// Only `APPEND`, `ASYNC`, `DIRECT`, `NOATIME` and `NONBLOCK` can change; the
/// others are ignored by the kernel.
///
/// # Errors
///
/// `EPERM`: clearing `APPEND` on an append-only file, or `NOATIME` on a file of
/// somebody else. `EBADF`: an `O_PATH` descriptor.
///
/// ```
/// use barecall::fs::OFlags;
/// use barecall::{Errno, io};
///
/// let (reader, _writer) = io::pipe2(io::PipeFlags::empty())?;
/// io::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
/// assert_eq!(io::read(&reader, &mut [0; 1]), Err(Errno::EAGAIN));
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_setfl<Fd: AsFd>(fd: Fd, flags: crate::fs::OFlags) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unsafe { syscall_zero!(nr::FCNTL, fd.as_fd(), cmd::F_SETFL, flags.bits()) }
}

/// `fcntl(a, F_DUPFD_QUERY, b)`: whether two descriptors are the same open file
/// description (since Linux 6.10).
///
/// [`kcmp::same_description`](crate::kcmp::same_description) goes on to another
/// call where there is none.
///
/// # Errors
///
/// `EINVAL`: a kernel before 6.10; there, `EBADF` for an `O_PATH` descriptor.
///
/// ```
/// use barecall::{Errno, io};
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// match io::fcntl_dupfd_query(&reader, &writer) {
///     Ok(same) => assert!(!same),
///     Err(errno) => assert_eq!(errno, Errno::EINVAL),
/// }
/// # Ok::<(), Errno>(())
/// ```
///
/// Manual page: [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html).
#[inline]
pub fn fcntl_dupfd_query<A: AsFd, B: AsFd>(a: A, b: B) -> Result<bool, Errno> {
    // SAFETY: numbers only.
    unsafe { syscall!(nr::FCNTL, a.as_fd(), cmd::F_DUPFD_QUERY, b.as_fd()) }.map(|same| same != 0)
}

/// `ioctl(fd, request, arg)`: any request, with an argument that is a number
/// or a pointer.
///
/// # Safety
///
/// As for [`syscall!`](crate::syscall!): it depends on the request, and on what
/// the descriptor is.
///
/// # Errors
///
/// `ENOTTY`: this kind of file does not know the request. Others by request.
///
/// ```
/// use barecall::io;
///
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// io::write(&writer, b"12345")?;
/// let mut unread = 0_i32;
/// // SAFETY: FIONREAD writes an int.
/// unsafe { io::ioctl(&reader, 0x541b, &raw mut unread) }?;
/// assert_eq!(unread, 5);
/// # Ok::<(), barecall::Errno>(())
/// ```
///
/// Manual page: [ioctl(2)](https://man7.org/linux/man-pages/man2/ioctl.2.html).
#[inline]
pub unsafe fn ioctl<Fd: AsFd, A: crate::syscall::Arg>(
    fd: Fd,
    request: u32,
    arg: A,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall!(nr::IOCTL, fd.as_fd(), request, arg) }
}
