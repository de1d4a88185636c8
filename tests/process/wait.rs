//! What `wait4` and `waitid` tell besides how a child ended.

use crate::{common, start};
use barecall::Errno;
use barecall::event::{PollFd, PollFlags, poll};
use barecall::fd::AsFd as _;
use barecall::mm::{self, MapFlags, ProtFlags};
use barecall::process::{
    PidfdFlags, Rusage, RusageWho, WaitId, WaitOptions, WaitStatus, WaitTarget, getrusage,
    pidfd_open, wait4_rusage, waitid, waitid_rusage,
};
use barecall::time::Timeval;

fn micros(time: Timeval) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_usec
}

fn spent(usage: &Rusage) -> i64 {
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

/// Works until the kernel has noticed, on memory too: it counts pages by
/// processor and adds them up 32 or more at a time (since Linux 6.2), and where
/// pages are large a child has fewer.
fn work() -> i32 {
    const LEN: usize = 16 << 20;
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: new memory, written inside of it.
    unsafe {
        match mm::mmap_anonymous(std::ptr::null_mut(), LEN, prot, flags) {
            Ok(memory) => memory.cast::<u8>().write_bytes(1, LEN),
            Err(_) => return 1,
        }
    }
    loop {
        match getrusage(RusageWho::SELF) {
            Ok(usage) if spent(&usage) >= 20_000 => return 6,
            Ok(_) => {}
            Err(_) => return 1,
        }
    }
}

/// PRC-091
#[test]
fn the_usage_of_a_child_comes_with_its_end() {
    common::in_child(|| {
        let child = start(work);
        let waited = wait4_rusage(WaitTarget::Pid(child), WaitOptions::empty());
        let (pid, status, usage) = waited.unwrap().unwrap();
        assert_eq!((pid, status), (child, WaitStatus::Exited(6)));
        assert!(spent(&usage) >= 20_000, "{usage:?}");
        assert!(usage.ru_maxrss > 0 && usage.ru_minflt > 0, "{usage:?}");

        let child = start(work);
        let peek = WaitOptions::EXITED | WaitOptions::NOWAIT;
        let (_, peeked) = waitid_rusage(WaitId::Pid(child), peek).unwrap().unwrap();
        let waited = waitid_rusage(WaitId::Pid(child), WaitOptions::EXITED);
        let (ended, usage) = waited.unwrap().unwrap();
        assert_eq!((ended.pid, ended.status), (child, WaitStatus::Exited(6)));
        assert!(spent(&usage) >= 20_000, "{usage:?}");
        // The kernel may still be leaving it for the last time.
        assert!(spent(&usage) >= spent(&peeked), "{usage:?} {peeked:?}");
        let memory = |usage: Rusage| (usage.ru_maxrss, usage.ru_minflt);
        assert_eq!(memory(usage), memory(peeked));
        assert!(spent(&getrusage(RusageWho::CHILDREN).unwrap()) >= 40_000);
        let gone = waitid_rusage(WaitId::Pid(child), WaitOptions::EXITED);
        assert_eq!(gone, Err(Errno::ECHILD));
        let gone = wait4_rusage(WaitTarget::Pid(child), WaitOptions::NOHANG);
        assert_eq!(gone, Err(Errno::ECHILD));
    });
    assert_eq!(getrusage(RusageWho::from_raw(99)), Err(Errno::EINVAL));
    assert!(getrusage(RusageWho::THREAD).is_ok());
}

/// PRC-087, PRC-105
#[test]
fn a_pidfd_that_does_not_block_is_polled_and_then_waited_for() {
    let (reader, writer) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC).unwrap();
    let ours = writer.as_raw_fd();
    let child = start(|| {
        // SAFETY: the child's copy, so that the parent's close is the end.
        unsafe { barecall::syscall!(barecall::nr::CLOSE, ours) }.ok();
        barecall::io::read(&reader, &mut [0]).map_or(1, |_| 5)
    });
    let pidfd = pidfd_open(child, PidfdFlags::NONBLOCK).unwrap();
    let id = || WaitId::Pidfd(pidfd.as_fd());
    let polled = |timeout| {
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        (poll(&mut fds, timeout), fds[0].revents())
    };
    assert_eq!(
        polled(Some(Default::default())),
        (Ok(0), PollFlags::empty())
    );
    assert_eq!(waitid(id(), WaitOptions::EXITED), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(polled(None), (Ok(1), PollFlags::IN));
    let ended = waitid(id(), WaitOptions::EXITED).unwrap().unwrap();
    assert_eq!((ended.pid, ended.status), (child, WaitStatus::Exited(5)));
    assert_eq!(waitid(id(), WaitOptions::EXITED), Err(Errno::ECHILD));
    assert!(polled(None).1.contains(PollFlags::IN), "it stays so");
}
