//! Processes by descriptor.

use crate::{common, end, kill, start};
use barecall::fs::{self, FdPath};
use barecall::io::{self, FdFlags, PipeFlags};
use barecall::process::{
    self, Ids, Pid, PidfdFlags, PidfdInfoMask, WaitOptions, WaitStatus, exit_group, getpid, gettid,
    pidfd_get_info, pidfd_getfd, pidfd_open,
};
use barecall::signal::Signal;
use barecall::{Errno, nr, syscall};

fn open(pid: Pid) -> barecall::fd::OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

/// A child that waits to be killed.
fn sleeper() -> Pid {
    start(|| {
        loop {
            let _ = barecall::event::poll(&mut [], None);
        }
    })
}

/// PRC-100, PRC-107
#[test]
fn a_pidfd_is_close_on_exec_and_of_processes_that_there_are() {
    let me = open(getpid());
    assert_eq!(io::fcntl_getfd(&me), Ok(FdFlags::CLOEXEC));
    let mut buf = [0; 64];
    let link = fs::readlinkat(fs::CWD, &FdPath::process(&me), &mut buf);
    assert_eq!(link, Ok(&b"anon_inode:[pidfd]"[..]));

    let child = start(|| 0);
    assert_eq!(end(child), WaitStatus::Exited(0));
    let gone = pidfd_open(child, PidfdFlags::empty());
    assert_eq!(gone.unwrap_err(), Errno::ESRCH);
    for pid in [0, -1, i32::MIN] {
        // SAFETY: numbers only, and an error.
        let error = unsafe { syscall!(nr::PIDFD_OPEN, pid, 0) };
        assert_eq!(error, Err(Errno::EINVAL), "{pid}");
    }
    let unknown = PidfdFlags::from_bits_retain(1);
    assert_eq!(pidfd_open(getpid(), unknown).unwrap_err(), Errno::EINVAL);
}

#[test]
fn a_thread_has_a_pidfd_since_linux_6_9() {
    let (thread, plain) = std::thread::spawn(|| {
        let open = |flags| pidfd_open(gettid(), flags).map(|_| ());
        (open(PidfdFlags::THREAD), open(PidfdFlags::empty()))
    })
    .join()
    .unwrap();
    let new = common::kernel_is_at_least(6, 9);
    assert_eq!(thread, if new { Ok(()) } else { Err(Errno::EINVAL) });
    let no_process = if common::kernel_is_at_least(6, 15) {
        Errno::ENOENT
    } else {
        Errno::EINVAL
    };
    assert_eq!(plain, Err(no_process));
}

/// PRC-104
#[test]
fn a_descriptor_of_another_process_is_fetched_close_on_exec() {
    let (reader, writer) = io::pipe2(PipeFlags::empty()).unwrap();
    let child = sleeper();
    let pidfd = open(child);
    let fetched = pidfd_getfd(&pidfd, writer.as_raw_fd()).unwrap();
    assert_eq!(io::fcntl_getfd(&fetched), Ok(FdFlags::CLOEXEC));
    io::write(&fetched, b"x").unwrap();
    assert_eq!(io::read(&reader, &mut [0; 2]), Ok(1));

    assert_eq!(pidfd_getfd(&reader, 0).unwrap_err(), Errno::EBADF);
    assert_eq!(pidfd_getfd(&pidfd, i32::MAX).unwrap_err(), Errno::EBADF);
    assert_eq!(pidfd_getfd(&pidfd, -1).unwrap_err(), Errno::EBADF);
    // SAFETY: numbers only, and an error.
    let flags = unsafe { syscall!(nr::PIDFD_GETFD, pidfd.as_raw_fd(), 0, 1) };
    assert_eq!(flags, Err(Errno::EINVAL));
    kill(child, Signal::SIGKILL);
    end(child);
    assert_eq!(pidfd_getfd(&pidfd, 0).unwrap_err(), Errno::ESRCH);
}

/// PRC-104
#[test]
fn a_descriptor_of_who_may_not_be_traced_is_eperm() {
    common::in_child(|| {
        let parent = open(process::getppid().unwrap());
        let nobody = Ids {
            real: 65534,
            effective: 65534,
            saved: 65534,
        };
        // SAFETY: the only thread.
        if unsafe { process::setresuid_thread(nobody) }.is_err() {
            // Not root: then somebody else is.
            let init = open(Pid::INIT);
            assert_eq!(pidfd_getfd(&init, 0).unwrap_err(), Errno::EPERM);
        } else {
            assert_eq!(pidfd_getfd(&parent, 0).unwrap_err(), Errno::EPERM);
        }
    });
}

#[test]
fn a_pidfd_tells_who_it_is_and_later_how_it_ended() {
    let child = sleeper();
    let pidfd = open(child);
    let answer = pidfd_get_info(&pidfd, PidfdInfoMask::PID | PidfdInfoMask::CREDS);
    let expected = match common::kernel_version() {
        version if version >= (6, 13) => None,
        version if version >= (6, 11) => Some(Errno::EINVAL),
        _ => Some(Errno::ENOTTY),
    };
    assert_eq!(answer.err(), expected);
    if let Ok(info) = answer {
        let numbers = (info.pid as i32, info.tgid as i32, info.ppid as i32);
        assert_eq!(numbers, (child.as_raw(), child.as_raw(), getpid().as_raw()));
        assert_eq!(
            (info.ruid, info.egid),
            (process::getuid(), process::getegid())
        );
        assert!(info.mask().contains(PidfdInfoMask::CREDS));
        assert_eq!(info.exit_status(), None);
    }
    kill(child, Signal::SIGKILL);
    let killed = end(child);
    let after = pidfd_get_info(&pidfd, PidfdInfoMask::EXIT);
    if common::kernel_is_at_least(6, 15) {
        assert_eq!(after.unwrap().exit_status(), Some(killed));
        let plain = pidfd_get_info(&pidfd, PidfdInfoMask::PID);
        assert_eq!(plain.unwrap_err(), Errno::ESRCH);
    } else {
        assert_eq!(after.unwrap_err(), expected.unwrap_or(Errno::ESRCH));
    }
}

/// PRC-110
#[test]
fn close_range_closes_marks_and_has_errors() {
    common::in_child(|| {
        use barecall::process::{CloseRangeFlags, close_range, close_range_cloexec};
        let up = |number| {
            let (reader, _writer) = io::pipe2(PipeFlags::empty()).unwrap();
            // SAFETY: a number that nobody has in this process.
            unsafe { io::dup3_raw(&reader, number, io::DupFlags::empty()) }.unwrap();
        };
        // SAFETY: asked whether it is open at all.
        let flags = |fd| io::fcntl_getfd(unsafe { barecall::fd::BorrowedFd::borrow_raw(fd) });
        let none = CloseRangeFlags::empty();
        (200..210).for_each(up);
        // SAFETY: nobody else has these.
        unsafe {
            assert_eq!(close_range(2, 1, none), Err(Errno::EINVAL));
            let unknown = CloseRangeFlags::from_bits_retain(1);
            assert_eq!(close_range(!0, !0, unknown), Err(Errno::EINVAL));
            assert_eq!(close_range(!0, !0, none), Ok(()));
            assert_eq!(close_range(202, 204, none), Ok(()));
        }
        for fd in 200..210 {
            let open = flags(fd);
            let gone = (202..=204).contains(&fd);
            assert_eq!(open.is_err(), gone, "{fd}: {open:?}");
        }
        if common::kernel_is_at_least(5, 11) {
            for negative in [-1, -2, i32::MIN] {
                assert_eq!(close_range_cloexec(negative), Err(Errno::EINVAL));
            }
            assert_eq!(close_range_cloexec(i32::MAX), Ok(()));
            assert_eq!(close_range_cloexec(207), Ok(()));
            assert_eq!(flags(206), Ok(FdFlags::empty()));
            assert_eq!(flags(207), Ok(FdFlags::CLOEXEC));
        } else {
            assert_eq!(close_range_cloexec(207), Err(Errno::EINVAL));
        }
        // In a thread's own table, so that they stay in the other.
        std::thread::spawn(move || {
            // SAFETY: the thread uses none of them.
            unsafe { close_range(3, !0, CloseRangeFlags::UNSHARE) }.unwrap();
            assert_eq!(flags(200), Err(Errno::EBADF));
        })
        .join()
        .unwrap();
        assert!(flags(200).is_ok());
    });
}

#[test]
fn what_a_child_is_left_with_is_waited_for_by_pidfd_from_anywhere() {
    let child = start(|| exit_group(3));
    let pidfd = open(child);
    use barecall::fd::AsFd as _;
    use barecall::process::{WaitId, waitid};
    let peek = WaitOptions::EXITED | WaitOptions::NOWAIT;
    let ended = waitid(WaitId::Pidfd(pidfd.as_fd()), peek).unwrap().unwrap();
    assert_eq!(ended.status, WaitStatus::Exited(3));
    assert_eq!(end(child), WaitStatus::Exited(3));
}
