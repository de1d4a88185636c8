//! Descriptors: who owns them, who closes them, how large they are.

mod common;

use barecall::fd::{AsFd, BorrowedFd, OwnedFd};
use barecall::io::{self, FdFlags, IoSlice, IoSliceMut, PipeFlags};
use barecall::{Errno, nr, syscall};

fn is_open(fd: i32) -> bool {
    const F_GETFD: u32 = 1;
    // SAFETY: asks for the flags of a number, open or not.
    let flags = unsafe { syscall!(nr::FCNTL, fd, F_GETFD) };
    flags != Err(Errno::EBADF)
}

/// A descriptor far above what other tests of this process open and close.
fn far(number: i32) -> OwnedFd {
    let (reader, _) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
    let fd = io::fcntl_dupfd_cloexec(&reader, number).unwrap();
    assert_eq!(fd.as_raw_fd(), number);
    fd
}

#[test]
fn an_option_of_a_descriptor_is_four_bytes() {
    assert_eq!(size_of::<OwnedFd>(), 4);
    assert_eq!(size_of::<Option<OwnedFd>>(), 4);
    assert_eq!(size_of::<Option<BorrowedFd<'_>>>(), 4);
    assert_eq!(align_of::<OwnedFd>(), 4);
}

#[test]
fn every_number_that_is_not_negative_goes_in_and_out() {
    for number in [0, 1, 2, 127, 128, 255, 65_536, 0x7fff_ffff, 0x7f00_0000] {
        // SAFETY: never used as a descriptor, and never closed.
        let fd = Some(std::mem::ManuallyDrop::new(unsafe {
            OwnedFd::from_raw_fd(number)
        }));
        assert_eq!(fd.as_ref().map(|fd| fd.as_raw_fd()), Some(number));
        // SAFETY: never used as a descriptor.
        let fd = Some(unsafe { BorrowedFd::borrow_raw(number) });
        assert_eq!(fd.as_ref().map(|fd| fd.as_raw_fd()), Some(number));
    }
}

#[test]
fn dropping_closes() {
    let fd = far(500);
    drop(fd);
    assert!(!is_open(500));
}

#[test]
fn into_raw_fd_does_not_close() {
    let number = far(501).into_raw_fd();
    assert!(is_open(number));
    // SAFETY: just given up.
    io::close(unsafe { OwnedFd::from_raw_fd(number) }).unwrap();
    assert!(!is_open(number));
}

#[test]
fn a_clone_is_another_number_of_the_same_pipe_and_close_on_exec() {
    let (reader, writer) = io::pipe2(PipeFlags::empty()).unwrap();
    let clone = writer.try_clone().unwrap();
    assert_ne!(clone.as_raw_fd(), writer.as_raw_fd());
    assert_eq!(io::fcntl_getfd(&clone), Ok(FdFlags::CLOEXEC));
    assert_eq!(io::fcntl_getfd(&writer), Ok(FdFlags::empty()));
    drop(writer);
    io::write(&clone, b"x").unwrap();
    assert_eq!(io::read(&reader, &mut [0; 2]), Ok(1));
}

#[test]
fn references_lend_what_they_refer_to() {
    fn number<Fd: AsFd>(fd: Fd) -> i32 {
        fd.as_fd().as_raw_fd()
    }
    let mut fd = far(502);
    assert_eq!(number(&fd), 502);
    assert_eq!(number::<&&OwnedFd>(&&fd), 502);
    assert_eq!(number(&mut fd), 502);
    assert_eq!(number(fd.as_fd()), 502);
}

#[test]
fn debug_shows_the_number() {
    let fd = far(503);
    assert_eq!(
        format!("{fd:?} {:?}", fd.as_fd()),
        "OwnedFd(503) BorrowedFd(503)"
    );
}

// ABI-009
#[test]
fn a_closed_descriptor_is_ebadf() {
    // SAFETY: not open, and nothing opens a number so high.
    let closed = unsafe { BorrowedFd::borrow_raw(0x7fff_fff0) };
    assert_eq!(io::read(closed, &mut [0]), Err(Errno::EBADF));
    assert_eq!(io::write(closed, b"x"), Err(Errno::EBADF));
    assert_eq!(io::dup(closed).unwrap_err(), Errno::EBADF);
    assert_eq!(
        io::lseek(closed, io::SeekFrom::Current(0)),
        Err(Errno::EBADF)
    );
    // SAFETY: numbers that are not open.
    unsafe {
        assert_eq!(syscall!(nr::CLOSE, -1), Err(Errno::EBADF));
        assert_eq!(syscall!(nr::DUP, -1), Err(Errno::EBADF));
    }
}

#[test]
fn several_buffers_are_one_write_and_one_read() {
    let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
    let written = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
    assert_eq!(io::writev(&writer, &written), Ok(5));
    let (mut first, mut second) = ([0; 3], [0; 5]);
    let room = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(io::readv(&reader, room), Ok(5));
    assert_eq!((&first, &second), (b"abc", b"de\0\0\0"));

    // So many of them the kernel takes; and not the low bits of more.
    let most: Vec<_> = (0..1024).map(|_| IoSlice::new(b"")).collect();
    assert_eq!(io::writev(&writer, &most), Ok(0));
    for count in [1025, 1 << 31, 1 << 32 | 1] {
        common::zeros_of(count, |bufs: &mut [IoSlice<'_>]| {
            assert_eq!(io::writev(&writer, bufs), Err(Errno::EINVAL), "{count}");
        });
        common::zeros_of(count, |bufs: &mut [IoSliceMut<'_>]| {
            assert_eq!(io::readv(&reader, bufs), Err(Errno::EINVAL), "{count}");
        });
    }
}

#[cfg(feature = "std")]
mod with_std {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn descriptors_convert_both_ways_without_a_copy() {
        let fd = far(510);
        let std_fd = std::os::fd::OwnedFd::from(fd);
        assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&std_fd), 510);
        let back = OwnedFd::from(std_fd);
        assert_eq!(back.as_raw_fd(), 510);
        let borrowed = std::os::fd::BorrowedFd::from(back.as_fd());
        assert_eq!(BorrowedFd::from(borrowed).as_raw_fd(), 510);
    }

    #[test]
    fn the_types_of_std_can_be_lent() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        io::write(&writer, b"hi").unwrap();
        let mut buf = [0; 2];
        reader.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hi");
        let _: BorrowedFd<'_> = std::io::stderr().as_fd();
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        io::write(&a, b"socket").unwrap();
        assert_eq!(io::read(&b, &mut [0; 16]), Ok(6));
    }

    #[test]
    fn a_file_of_std_is_made_from_ours() {
        let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
        let (mut reader, mut writer) = (std::fs::File::from(reader), std::fs::File::from(writer));
        writer.write_all(b"x").unwrap();
        drop(writer);
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "x");
    }

    #[test]
    fn each_type_that_is_a_descriptor_is_one_for_std() {
        use barecall::memfd::{Exec, Frozen, Memfd, MemfdOptions};
        use barecall::tmpfile::{Anonymous, Linkable, Named, TmpfileOptions};
        use std::os::fd::{AsRawFd as _, OwnedFd};

        fn lent<T: std::os::fd::AsFd>() {}
        fn given<T: Into<OwnedFd> + Into<std::fs::File>>() {}
        lent::<barecall::kcmp::proc::Process>();
        lent::<barecall::memfd::MemoryFile>();
        lent::<barecall::pagemap::Pagemap>();
        lent::<Named>();
        lent::<barecall::tmpfile::Tmpfile>();
        lent::<barecall::userfaultfd::Userfaultfd>();
        given::<Anonymous>();
        given::<Frozen>();
        given::<Linkable>();
        given::<Memfd>();
        given::<barecall::userfaultfd::Userfaultfd>();

        let options = MemfdOptions::new().exec(Exec::SystemDefault);
        let memfd = options.create(c"file").unwrap();
        let number = memfd.as_fd().as_raw_fd();
        let mut file = std::fs::File::from(memfd);
        assert_eq!(file.as_raw_fd(), number);
        file.write_all(b"by std").unwrap();

        let anonymous = TmpfileOptions::new().anonymous(barecall::fs::CWD, c"/tmp");
        assert_eq!(
            std::fs::File::from(anonymous.unwrap())
                .metadata()
                .unwrap()
                .len(),
            0
        );
    }
}

// ABI-011
#[test]
fn a_pipe_has_no_offset() {
    let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
    for fd in [&reader, &writer] {
        for to in [
            io::SeekFrom::Start(0),
            io::SeekFrom::Current(0),
            io::SeekFrom::End(0),
        ] {
            assert_eq!(io::lseek(fd, to), Err(Errno::ESPIPE));
        }
    }
}
