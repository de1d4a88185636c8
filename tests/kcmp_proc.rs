//! /proc/PID/fd and fdinfo, read without allocation.

mod common;

use barecall::Errno;
use barecall::event::{
    EpollCreateFlags, EpollEvent, EpollFlags, EventFdFlags, epoll_add, epoll_create1, eventfd,
};
use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::OFlags;
use barecall::io::{self, PipeFlags};
use barecall::kcmp::proc::{FdInfo, Proc};
use barecall::kcmp::{Relation, kcmp_epoll_tfd};
use barecall::process::{Pid, PidfdFlags, getpid, gettid, pidfd_open};
use common::kernel_is_at_least;
use std::collections::BTreeSet;

fn pipe() -> (OwnedFd, OwnedFd) {
    io::pipe2(PipeFlags::CLOEXEC).expect("a pipe")
}

fn pidfd(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

/// A child that is killed and reaped by `end`.
fn child() -> Pid {
    // SAFETY: the child makes one system call.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: waits.
            unsafe { libc::pause() };
        }
    }
    Pid::from_raw(child).expect("a child")
}

fn end(child: Pid) {
    // SAFETY: our child.
    unsafe {
        libc::kill(child.as_raw(), libc::SIGKILL);
        libc::waitpid(child.as_raw(), std::ptr::null_mut(), 0);
    }
}

/// In a child, where no other test opens and closes.
#[test]
fn the_descriptors_of_a_process_are_all_of_them() {
    let held: Vec<_> = (0..300).map(|_| pipe()).collect();
    let child = child();
    let process = Proc::open().unwrap().process(child).unwrap();
    let mut large = [0; 32 * 1024];
    let all: BTreeSet<i32> = process
        .fds(&mut large)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for (reader, writer) in &held {
        assert!(all.contains(&reader.as_raw_fd()) && all.contains(&writer.as_raw_fd()));
    }
    // A small buffer needs many calls and gives the same.
    let mut small = [0; 64];
    let again: BTreeSet<i32> = process
        .fds(&mut small)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(all, again);
    // As std reads it.
    let by_std = std::fs::read_dir(format!("/proc/{child}/fd")).unwrap();
    let by_std: BTreeSet<i32> = by_std
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(all, by_std);
    end(child);
}

#[test]
fn a_buffer_too_small_for_an_entry_is_an_error_that_ends_it() {
    let process = Proc::open().unwrap().process(getpid()).unwrap();
    let mut tiny = [0; 8];
    let mut fds = process.fds(&mut tiny).unwrap();
    assert_eq!(fds.next(), Some(Err(Errno::EINVAL)));
    assert_eq!(fds.next(), None);
}

#[test]
fn links_and_files_are_what_std_sees() {
    use std::os::unix::fs::MetadataExt as _;
    let (reader, _writer) = pipe();
    let process = Proc::open().unwrap().process(getpid()).unwrap();
    let fd = reader.as_raw_fd();
    let path = format!("/proc/self/fd/{fd}");
    let mut buf = [0; 256];
    let link = std::fs::read_link(&path).unwrap();
    assert_eq!(
        process.link(fd, &mut buf),
        Ok(link.as_os_str().as_encoded_bytes())
    );
    assert_eq!(
        process.stat(fd).unwrap().st_ino,
        std::fs::metadata(&path).unwrap().ino()
    );
    for not_open in [-1, i32::MIN, 1_000_000] {
        assert_eq!(process.link(not_open, &mut buf), Err(Errno::ENOENT));
        assert_eq!(
            process.fdinfo(not_open, &mut buf).err(),
            Some(Errno::ENOENT)
        );
    }
}

#[test]
fn fdinfo_has_offset_flags_mount_and_inode() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(100_000).unwrap();
    std::io::Seek::seek(&mut &file, std::io::SeekFrom::Start(4711)).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let process = Proc::open().unwrap().process(getpid()).unwrap();
    let mut buf = [0; 512];
    let info = process.fdinfo(fd, &mut buf).unwrap();
    assert!(info.is_whole());
    assert_eq!(info.pos(), Some(4711));
    let flags = info.flags().unwrap();
    assert!(flags.contains(OFlags::CLOEXEC));
    assert_eq!(flags & OFlags::ACCMODE, OFlags::RDWR);
    assert!(info.mnt_id().is_some());
    let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
    if kernel_is_at_least(5, 14) {
        assert_eq!(info.ino(), Some(inode));
    } else {
        assert_eq!(info.ino(), None);
    }
    assert_eq!(info.pid(), None);
    assert_eq!(info.epoll_targets().count(), 0);
}

#[test]
fn an_eventfd_tells_its_count() {
    let event = eventfd(42, EventFdFlags::CLOEXEC).unwrap();
    let process = Proc::open().unwrap().process(getpid()).unwrap();
    let mut buf = [0; 512];
    let info = process.fdinfo(event.as_raw_fd(), &mut buf).unwrap();
    assert_eq!(info.get("eventfd-count"), Some(&b"2a"[..]));
}

#[test]
fn a_buffer_too_small_for_fdinfo_keeps_whole_lines_and_says_so() {
    let event = eventfd(42, EventFdFlags::CLOEXEC).unwrap();
    let process = Proc::open().unwrap().process(getpid()).unwrap();
    let mut buf = [0; 512];
    let whole = process.fdinfo(event.as_raw_fd(), &mut buf).unwrap();
    let (text, fields) = (whole.as_bytes().to_vec(), whole.fields().count());
    for size in 0..text.len() {
        let mut buf = vec![0; size];
        let part = process.fdinfo(event.as_raw_fd(), &mut buf).unwrap();
        assert!(!part.is_whole(), "{size}");
        assert!(text.starts_with(part.as_bytes()));
        assert!(part.as_bytes().is_empty() || part.as_bytes().ends_with(b"\n"));
        assert!(part.fields().count() < fields);
    }
    let mut exact = vec![0; text.len()];
    assert!(
        process
            .fdinfo(event.as_raw_fd(), &mut exact)
            .unwrap()
            .is_whole()
    );
}

#[test]
fn targets_of_an_epoll_are_read_and_confirmed_by_the_kernel() {
    let epoll = epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
    let pipes: Vec<_> = (0..50).map(|_| pipe()).collect();
    for (i, (reader, _)) in pipes.iter().enumerate() {
        let event = EpollEvent::new(EpollFlags::IN, 0xdead_0000 + i as u64);
        epoll_add(&epoll, reader, event).unwrap();
    }
    let me = getpid();
    let process = Proc::open().unwrap().process(me).unwrap();
    let mut buf = [0; 16 * 1024];
    let info = process.fdinfo(epoll.as_raw_fd(), &mut buf).unwrap();
    let mut seen = 0;
    for target in info.epoll_targets() {
        let i = (target.data - 0xdead_0000) as usize;
        let reader = &pipes[i].0;
        assert_eq!(target.tfd as i32, reader.as_raw_fd());
        assert!(target.events.contains(EpollFlags::IN));
        let stat = barecall::fs::fstat(reader).unwrap();
        assert_eq!(target.ino, Some(stat.st_ino));
        assert_eq!(target.sdev.map(u64::from), Some(stat.st_dev));
        let slot = target.slot(epoll.as_raw_fd());
        assert_eq!(
            kcmp_epoll_tfd(me, reader.as_raw_fd(), me, slot),
            Ok(Relation::Same)
        );
        seen += 1;
    }
    assert_eq!(seen, 50);
}

/// The n-th line of a number is the n-th for the kernel too.
#[test]
fn targets_under_one_number_are_counted_as_the_kernel_counts() {
    // SAFETY: the child makes system calls and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let number = 700;
        let epoll = epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
        let pipes = [pipe(), pipe(), pipe()];
        for (i, (reader, _)) in pipes.iter().enumerate() {
            // SAFETY: nobody has this number in this child.
            let end = unsafe {
                libc::dup2(reader.as_raw_fd(), number);
                barecall::fd::BorrowedFd::borrow_raw(number)
            };
            epoll_add(&epoll, end, EpollEvent::new(EpollFlags::IN, i as u64)).unwrap();
        }
        let me = getpid();
        let process = Proc::open().unwrap().process(me).unwrap();
        let mut buf = [0; 1024];
        let info = process.fdinfo(epoll.as_raw_fd(), &mut buf).unwrap();
        let mut right = 0;
        for target in info.epoll_targets() {
            let reader = pipes[target.data as usize].0.as_raw_fd();
            let slot = target.slot(epoll.as_raw_fd());
            right += i32::from(kcmp_epoll_tfd(me, reader, me, slot) == Ok(Relation::Same));
        }
        // SAFETY: ends the child.
        unsafe { libc::_exit(right) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 3);
}

#[test]
fn a_pidfd_tells_its_process() {
    let proc = Proc::open().unwrap();
    let child = child();
    let pidfd = pidfd(child);
    assert_eq!(proc.pid_of(&pidfd), Ok(child));
    end(child);
    assert_eq!(proc.pid_of(&pidfd), Err(Errno::ESRCH));
    assert_eq!(proc.pid_of(&pipe().0), Err(Errno::EINVAL));
}

#[test]
fn a_process_that_is_gone_stays_gone() {
    let child = child();
    let process = Proc::open().unwrap().process(child).unwrap();
    let mut buf = [0; 64];
    assert!(process.comm(&mut buf).is_ok());
    end(child);
    let gone = |errno| matches!(errno, Some(Errno::ENOENT | Errno::ESRCH));
    assert!(gone(process.comm(&mut buf).err()));
    assert!(gone(process.fds(&mut [0; 64]).err()));
    assert!(gone(process.link(0, &mut [0; 64]).err()));
    assert!(gone(process.fdinfo(0, &mut [0; 64]).err()));
    assert_eq!(
        Proc::open().unwrap().process(child).err(),
        Some(Errno::ENOENT)
    );
}

#[test]
fn processes_and_threads_are_listed() {
    let proc = Proc::open().unwrap();
    let mut buf = [0; 4096];
    let all: Vec<Pid> = proc
        .processes(&mut buf)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(all.contains(&getpid()));
    assert!(all.contains(&Pid::INIT));
    let me = proc.process(getpid()).unwrap();
    let threads: Vec<Pid> = me.threads(&mut buf).unwrap().map(Result::unwrap).collect();
    assert!(threads.contains(&gettid()));
    let mut name = [0; 64];
    assert!(!me.comm(&mut name).unwrap().is_empty());
    assert!(me.as_fd().as_raw_fd() >= 0);
}

#[test]
fn any_text_is_read_without_panic() {
    use proptest::prelude::*;
    // Pieces of what there is, in any order, and bytes.
    let piece = prop::sample::select(vec![
        &b"tfd:"[..],
        b"tfd:        5 events:       19 data:                7  pos:0 ino:1f sdev:d\n",
        b"pos:\t-1\n",
        b"flags:\t0100002\n",
        b"18446744073709551616",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b" ",
        b"\n",
        b":",
        b"\xff\0",
    ]);
    let text = prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat());
    let config = ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    };
    proptest!(config, |(text in text)| {
        let info = FdInfo::new(&text);
        let _ = (info.pos(), info.flags(), info.mnt_id(), info.ino(), info.pid());
        let targets = info.epoll_targets().filter(|target| target.slot(3).efd == 3).count();
        prop_assert!(targets <= 40);
        prop_assert!(info.fields().count() <= text.len());
    });
    let least = FdInfo::new(b"pos:\t-9223372036854775808\n");
    assert_eq!(least.pos(), Some(i64::MIN));
    let line = b"tfd:        5 events:       19 data:               2a  pos:0 ino:1f sdev:d\n";
    let target = FdInfo::new(line).epoll_targets().next().unwrap();
    assert_eq!((target.tfd, target.data), (5, 0x2a));
    assert_eq!((target.ino, target.sdev), (Some(0x1f), Some(0xd)));
    assert_eq!(target.slot(9).efd, 9);
}
