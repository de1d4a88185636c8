//! Reading, writing and duplicating descriptors.
//!
//! Every function is one system call. A short count is returned as it is, and
//! `EINTR` too; [`retry_on_intr`] is there for who wants to go on.

mod dup;
mod fcntl;

pub use dup::*;
pub use fcntl::*;

use crate::errno::Errno;
use crate::fd::{AsFd, BorrowedFd, OwnedFd};
use crate::syscall::{as_int, syscall_zero};
use crate::{nr, syscall};
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

/// A descriptor to format text to: `write!` for programs without std.
///
/// Each piece of the text is a [`write_all`] of its own; nothing is kept back.
/// `fmt::Error` says that one failed, and not why.
///
/// ```
/// use barecall::io::{self, FdWriter};
/// use core::fmt::Write;
///
/// # #[derive(Debug)] enum Failed { Os(barecall::Errno), Fmt(core::fmt::Error) }
/// # impl From<barecall::Errno> for Failed { fn from(e: barecall::Errno) -> Self { Self::Os(e) } }
/// # impl From<core::fmt::Error> for Failed { fn from(e: core::fmt::Error) -> Self { Self::Fmt(e) } }
/// let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC)?;
/// writeln!(FdWriter(&writer), "{} of {}", 1, 2)?;
/// let mut text = [0; 16];
/// let n = io::read(&reader, &mut text)?;
/// assert_eq!(&text[..n], b"1 of 2\n");
/// # Ok::<(), Failed>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FdWriter<Fd>(pub Fd);

impl<Fd: AsFd> fmt::Write for FdWriter<Fd> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        write_all(&self.0, s.as_bytes()).map_err(|_| fmt::Error)
    }
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
    unsafe { syscall!(nr::READV, fd.as_fd(), bufs.as_ptr(), as_int(bufs.len())) }
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
    unsafe { syscall!(nr::WRITEV, fd.as_fd(), bufs.as_ptr(), as_int(bufs.len())) }
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
