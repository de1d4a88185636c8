//! kcmp: what the kernel answers, and what is built on it.
//!
//! The answers are the same on every kernel from 5.10 on, except for
//! F_DUPFD_QUERY, which 6.10 brought.

mod common;

use barecall::fd::{AsFd, BorrowedFd, OwnedFd};
use barecall::io::{self, PipeFlags};
use barecall::kcmp::{
    By, DeniedBy, Entry, EpollSlot, File, Kind, LazyRelation, LazyResource, Pinned, Relation,
    Resource, classify, classify_files, denied_by, find_epoll_target, kcmp, kcmp_epoll_tfd,
    kcmp_file, kcmp_file_pinned, kcmp_lazy, kcmp_pinned, kcmp_raw, members, same_description,
    same_inode,
};
use barecall::process::{Pid, PidfdFlags, getpid, gettid, pidfd_open};
use barecall::{Errno, nr, syscall};
use common::kernel_is_at_least;
use std::collections::HashSet;

const RESOURCES: [Resource; 4] = [
    Resource::VM,
    Resource::FILES,
    Resource::FS,
    Resource::SIGHAND,
];

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("a positive number")
}

fn pipe() -> (OwnedFd, OwnedFd) {
    io::pipe2(PipeFlags::CLOEXEC).expect("a pipe")
}

fn open(path: &str) -> OwnedFd {
    let path = std::ffi::CString::new(path).unwrap();
    // SAFETY: a string; a new descriptor.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// A child that waits to be killed, which dropping does; and reaps.
struct Child {
    pid: Pid,
    _stack: Vec<u8>,
}

impl Child {
    /// As `fork` does it.
    fn forked() -> Self {
        Self::cloned(0)
    }

    /// As `clone` does it. The child makes nothing but system calls.
    fn cloned(flags: i32) -> Self {
        extern "C" fn wait_for_the_end(_: *mut libc::c_void) -> libc::c_int {
            loop {
                // SAFETY: ppoll of nothing, for ever.
                let _ = unsafe { syscall!(nr::PPOLL, 0, 0, 0, 0, 0) };
            }
        }
        let mut stack = vec![0_u8; 64 * 1024];
        let top = stack.as_mut_ptr_range().end;
        // The stack must be aligned, and an allocation of this size is.
        let top = top.map_addr(|end| end & !15);
        // SAFETY: a stack of its own, and only system calls on it.
        let child = unsafe {
            libc::clone(
                wait_for_the_end,
                top.cast(),
                flags | libc::SIGCHLD,
                std::ptr::null_mut(),
            )
        };
        assert!(child > 0, "clone: {}", std::io::Error::last_os_error());
        Self {
            pid: pid(child),
            _stack: stack,
        }
    }

    /// Dead, and not reaped.
    fn zombie() -> Self {
        let child = Self::forked();
        child.kill();
        // SAFETY: all zeros is a siginfo.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: an id and a siginfo.
        let waited = unsafe {
            libc::waitid(
                libc::P_PID,
                child.pid.as_raw() as libc::id_t,
                &mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        assert_eq!(waited, 0);
        child
    }

    fn kill(&self) {
        // SAFETY: our child.
        unsafe { libc::kill(self.pid.as_raw(), libc::SIGKILL) };
    }

    fn reap(&self) {
        self.kill();
        // SAFETY: our child. (ECHILD the second time.)
        unsafe { libc::waitpid(self.pid.as_raw(), std::ptr::null_mut(), 0) };
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.reap();
    }
}

/// Runs `body` in a child; it says what was wrong as a line number.
fn in_child(body: impl FnOnce() -> Result<(), u32>) {
    // SAFETY: the child only makes system calls, and exits.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let line = body().err().unwrap_or(0);
        // Two bytes of exit status do not exist, so the line goes to stderr.
        if line != 0 {
            let mut text = *b"kcmp.rs: line 00000 in the child\n";
            let mut rest = line;
            for digit in text[14..19].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            // SAFETY: standard error, whatever it is.
            let _ = unsafe { syscall!(nr::WRITE, 2, text.as_ptr(), text.len()) };
        }
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(line != 0)) };
    }
    let mut status = 0;
    // SAFETY: our child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "see the line above");
}

macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            return Err(line!());
        }
    };
}

fn epoll() -> OwnedFd {
    // SAFETY: a new descriptor.
    unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }
}

fn watch(epoll: &OwnedFd, fd: i32) {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    // SAFETY: an event.
    let added = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
    assert_eq!(added, 0, "{}", std::io::Error::last_os_error());
}

fn slot(epoll: &OwnedFd, tfd: i32, toff: u32) -> EpollSlot {
    EpollSlot {
        efd: epoll.as_raw_fd() as u32,
        tfd: tfd as u32,
        toff,
    }
}

/// Not the same, and in an order.
fn differ(relation: Result<Relation, Errno>) -> bool {
    matches!(relation, Ok(Relation::Less | Relation::Greater))
}

/// KCM-001
#[test]
fn a_descriptor_is_the_same_as_itself() {
    let me = getpid();
    let (reader, _writer) = pipe();
    let fd = reader.as_raw_fd();
    assert_eq!(kcmp_file(me, fd, me, fd), Ok(Relation::Same));
}

/// KCM-002
#[test]
fn a_duplicate_is_the_same_open_file() {
    let me = getpid();
    let (reader, _writer) = pipe();
    let again = reader.try_clone().unwrap();
    assert_eq!(
        kcmp_file(me, reader.as_raw_fd(), me, again.as_raw_fd()),
        Ok(Relation::Same)
    );
}

/// KCM-002
#[test]
fn a_descriptor_inherited_over_fork_is_the_same_open_file() {
    let (reader, writer) = pipe();
    let child = Child::forked();
    let (me, r, w) = (getpid(), reader.as_raw_fd(), writer.as_raw_fd());
    assert_eq!(kcmp_file(me, r, child.pid, r), Ok(Relation::Same));
    assert!(differ(kcmp_file(me, r, child.pid, w)));
}

#[test]
fn a_descriptor_sent_over_a_socket_is_the_same_open_file() {
    use std::os::unix::net::UnixStream;

    let (ours, theirs) = UnixStream::pair().unwrap();
    // SAFETY: the child only makes system calls until it is killed.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // Made after the fork, so that it cannot be inherited.
        // SAFETY: system calls on memory of this frame.
        unsafe {
            let mut fds = [0; 2];
            libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC);
            let mut byte = [fds[0] as u8];
            let mut iov = libc::iovec {
                iov_base: byte.as_mut_ptr().cast(),
                iov_len: 1,
            };
            let mut control = [0_u64; 8];
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut iov;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as usize;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<i32>().write(fds[0]);
            libc::sendmsg(std::os::fd::AsRawFd::as_raw_fd(&theirs), &message, 0);
            loop {
                libc::pause();
            }
        }
    }
    let child = Child {
        pid: pid(child),
        _stack: Vec::new(),
    };
    // SAFETY: system calls on memory of this frame.
    let (received, sent) = unsafe {
        let mut byte = [0_u8];
        let mut iov = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: 1,
        };
        let mut control = [0_u64; 8];
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut iov;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = 64;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&ours);
        assert_eq!(libc::recvmsg(fd, &mut message, libc::MSG_CMSG_CLOEXEC), 1);
        let header = libc::CMSG_FIRSTHDR(&message);
        let fd = libc::CMSG_DATA(header).cast::<i32>().read();
        (OwnedFd::from_raw_fd(fd), i32::from(byte[0]))
    };
    assert_eq!(
        kcmp_file(getpid(), received.as_raw_fd(), child.pid, sent),
        Ok(Relation::Same)
    );
    // Its other end exists in the child only.
    assert!(differ(kcmp_file(
        getpid(),
        received.as_raw_fd(),
        child.pid,
        sent + 1
    )));
}

/// KCM-003
#[test]
fn two_opens_of_one_file_are_two() {
    let me = getpid();
    let (a, b) = (open("/dev/null"), open("/dev/null"));
    assert!(differ(kcmp_file(me, a.as_raw_fd(), me, b.as_raw_fd())));
    assert!(!same_description(&a, &b).unwrap().0);
    assert_eq!(same_inode(&a, &b), Ok(true));
}

#[test]
fn a_reopened_memfd_is_another_open_file() {
    let name = c"kcmp";
    // SAFETY: a string; a new descriptor.
    let memfd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(name.as_ptr(), 1)) };
    let again = open(&format!("/proc/self/fd/{}", memfd.as_raw_fd()));
    assert!(!same_description(&memfd, &again).unwrap().0);
    assert_eq!(same_inode(&memfd, &again), Ok(true));
}

#[test]
fn descriptors_with_o_path_are_compared_too() {
    // SAFETY: a string; a new descriptor.
    let path = unsafe {
        OwnedFd::from_raw_fd(libc::open(
            c"/proc/self".as_ptr(),
            libc::O_PATH | libc::O_CLOEXEC,
        ))
    };
    let again = path.try_clone().unwrap();
    let me = getpid();
    assert_eq!(
        kcmp_file(me, path.as_raw_fd(), me, again.as_raw_fd()),
        Ok(Relation::Same)
    );
    // Before 6.10 F_DUPFD_QUERY is EBADF here and not EINVAL.
    assert!(same_description(&path, &again).unwrap().0);
}

/// KCM-005
#[test]
fn a_bad_descriptor_is_ebadf() {
    let me = getpid();
    let (reader, _writer) = pipe();
    let good = reader.as_raw_fd();
    for bad in [1_000_000, i32::MAX, -1, -100, i32::MIN] {
        assert_eq!(kcmp_file(me, good, me, bad), Err(Errno::EBADF), "{bad}");
        assert_eq!(kcmp_file(me, bad, me, good), Err(Errno::EBADF), "{bad}");
    }
    // SAFETY: no pointer.
    let raw = unsafe { kcmp_raw(me, me, Kind::FILE, !0_u64, good) };
    assert_eq!(raw, Err(Errno::EBADF));
}

#[test]
fn the_kernel_looks_at_32_bits_of_a_descriptor_only() {
    let me = getpid();
    let (reader, _writer) = pipe();
    let fd = reader.as_raw_fd();
    // SAFETY: no pointer.
    let raw = unsafe { kcmp_raw(me, me, Kind::FILE, fd as u64 + (1 << 32), fd) };
    assert_eq!(raw, Ok(Relation::Same));
}

/// KCM-008
#[test]
fn an_unused_number_is_esrch() {
    let me = getpid();
    // Above the largest number that a 64-bit kernel gives.
    let unused = pid(4_194_304 + 1);
    for resource in RESOURCES {
        assert_eq!(kcmp(resource, me, unused), Err(Errno::ESRCH));
        assert_eq!(kcmp(resource, unused, me), Err(Errno::ESRCH));
    }
    // What a Pid cannot even say: there is no number for "myself".
    for number in [0, -1, -10_000] {
        // SAFETY: numbers only.
        let answer = unsafe { syscall!(nr::KCMP, me.as_raw(), number, 1, 0, 0) };
        assert_eq!(answer, Err(Errno::ESRCH), "{number}");
    }
}

/// KCM-029
#[test]
fn huge_numbers_are_esrch() {
    // SAFETY: numbers only.
    let answer = unsafe {
        syscall!(
            nr::KCMP,
            3_141_592_653_u32,
            2_718_281_828_u32,
            0,
            0x12345,
            0x6789a
        )
    };
    assert_eq!(answer, Err(Errno::ESRCH));
}

/// KCM-009
#[test]
fn an_unknown_kind_is_einval() {
    let me = getpid();
    for kind in [8, 9, 10, u32::MAX, i32::MIN as u32, i32::MAX as u32] {
        // SAFETY: the kernel knows no such kind.
        let answer = unsafe { kcmp_raw(me, me, Kind::from_raw(kind), 0, 0) };
        assert_eq!(answer, Err(Errno::EINVAL), "{kind}");
    }
}

/// KCM-013
#[test]
fn a_task_shares_everything_with_itself_whatever_the_indexes() {
    let me = gettid();
    for kind in 1..=6 {
        // SAFETY: no pointer.
        let answer = unsafe { kcmp_raw(me, me, Kind::from_raw(kind), !0_u64, 0xdead_beef_u64) };
        assert_eq!(answer, Ok(Relation::Same), "{kind}");
    }
}

/// KCM-014, THR-002
#[test]
fn a_thread_shares_everything_with_its_process() {
    let process = getpid();
    let thread = std::thread::spawn(move || {
        let thread = gettid();
        assert_ne!(thread, process);
        for resource in RESOURCES {
            assert_eq!(kcmp(resource, process, thread), Ok(Relation::Same));
        }
        for resource in [LazyResource::IO, LazyResource::SYSVSEM] {
            assert_eq!(
                kcmp_lazy(resource, process, thread),
                Ok(LazyRelation::SameOrNone)
            );
        }
    });
    thread.join().unwrap();
}

/// KCM-014
#[test]
fn what_clone_shared_is_shared_and_nothing_else() {
    let me = getpid();
    for (flags, shared) in [
        (0, &[][..]),
        (libc::CLONE_FILES, &[Resource::FILES]),
        (libc::CLONE_FS, &[Resource::FS]),
        (libc::CLONE_VM, &[Resource::VM]),
        (
            libc::CLONE_VM | libc::CLONE_SIGHAND,
            &[Resource::VM, Resource::SIGHAND],
        ),
        (
            libc::CLONE_FILES | libc::CLONE_FS,
            &[Resource::FILES, Resource::FS],
        ),
    ] {
        let child = Child::cloned(flags);
        for resource in RESOURCES {
            let relation = kcmp(resource, me, child.pid);
            if shared.contains(&resource) {
                assert_eq!(relation, Ok(Relation::Same), "{flags:#x} {resource:?}");
            } else {
                // KCM-015: after a plain fork, all four differ.
                assert!(differ(relation), "{flags:#x} {resource:?}");
            }
        }
    }
}

/// KCM-014: in a child, because it gives the calling task an I/O context and a
/// list of adjustments for good.
#[test]
fn what_is_made_when_needed_is_told_from_what_is_shared() {
    in_child(|| {
        let me = getpid();
        let (io, semaphores) = (LazyResource::IO, LazyResource::SYSVSEM);

        // Nothing is shared, and there is nothing: the kernel says 0.
        let before = Child::forked();
        check!(kcmp_lazy(io, me, before.pid) == Ok(LazyRelation::SameOrNone));
        check!(kcmp_lazy(semaphores, me, before.pid) == Ok(LazyRelation::SameOrNone));

        // ioprio_set(IOPRIO_WHO_PROCESS, 0, best effort 4): makes a context.
        // SAFETY: numbers only.
        check!(unsafe { syscall!(nr::IOPRIO_SET, 1, 0, (2 << 13) | 4) } == Ok(0));
        check!(matches!(
            kcmp_lazy(io, me, before.pid),
            Ok(LazyRelation::NotShared(relation)) if relation.order().is_some()
        ));
        let with_io = Child::cloned(libc::CLONE_IO);
        check!(kcmp_lazy(io, me, with_io.pid) == Ok(LazyRelation::SameOrNone));
        let without = Child::forked();
        check!(kcmp_lazy(io, me, without.pid) != Ok(LazyRelation::SameOrNone));

        // CLONE_SYSVSEM makes the list at once.
        let with_semaphores = Child::cloned(libc::CLONE_SYSVSEM);
        check!(kcmp_lazy(semaphores, me, with_semaphores.pid) == Ok(LazyRelation::SameOrNone));
        check!(matches!(
            kcmp_lazy(semaphores, me, before.pid),
            Ok(LazyRelation::NotShared(_))
        ));
        Ok(())
    });
}

#[test]
fn two_zombies_have_the_same_nothing() {
    let (a, b) = (Child::zombie(), Child::zombie());
    for resource in [Resource::VM, Resource::FILES, Resource::FS] {
        assert_eq!(kcmp(resource, a.pid, b.pid), Ok(Relation::Same));
        assert!(differ(kcmp(resource, a.pid, getpid())));
    }
    assert!(differ(kcmp(Resource::SIGHAND, a.pid, b.pid)));
    // Nothing is open in a zombie.
    let (reader, _writer) = pipe();
    let fd = reader.as_raw_fd();
    assert_eq!(kcmp_file(a.pid, fd, b.pid, fd), Err(Errno::EBADF));
}

/// KCM-019
#[test]
fn a_reaped_process_and_an_ended_thread_are_esrch() {
    let child = Child::forked();
    child.reap();
    assert_eq!(kcmp(Resource::VM, getpid(), child.pid), Err(Errno::ESRCH));

    let thread = std::thread::spawn(gettid).join().unwrap();
    // join() returns when the kernel clears the thread's id, slightly before
    // the id itself is free.
    let started = std::time::Instant::now();
    loop {
        match kcmp(Resource::VM, getpid(), thread) {
            Err(errno) => break assert_eq!(errno, Errno::ESRCH),
            Ok(_) => assert!(started.elapsed().as_secs() < 10),
        }
        std::thread::yield_now();
    }
}

/// KCM-020
#[test]
fn a_process_of_root_is_eperm_for_others_and_ptrace_is_the_reason() {
    let parent = getpid();
    in_child(|| {
        // SAFETY: numbers only, and only this child changes.
        let root = unsafe { libc::geteuid() } == 0;
        let target = if root {
            let nobody = 65_534;
            // SAFETY: as above.
            check!(unsafe { syscall!(nr::SETRESUID, nobody, nobody, nobody) } == Ok(0));
            parent
        } else {
            pid(1)
        };
        let me = getpid();
        for resource in RESOURCES {
            check!(kcmp(resource, me, target) == Err(Errno::EPERM));
            check!(kcmp(resource, target, me) == Err(Errno::EPERM));
        }
        // Permission is checked before the descriptors are.
        check!(kcmp_file(me, 0, target, 1_000_000) == Err(Errno::EPERM));
        check!(denied_by(Kind::FILE) == DeniedBy::Ptrace);
        check!(denied_by(Kind::VM) == DeniedBy::Ptrace);
        check!(denied_by(Kind::EPOLL_TFD) == DeniedBy::Ptrace);
        // Not dumpable any more after setresuid, and still allowed with itself.
        check!(kcmp(Resource::VM, me, me) == Ok(Relation::Same));
        Ok(())
    });
}

/// A filter that answers `errno` to the call `nr` when its argument of the
/// given index is one of `refused` (all when empty).
fn forbid(nr: i64, argument: u32, refused: &[u32], errno: u32) -> bool {
    let statement = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let equal = |k, jt, jf| libc::sock_filter {
        code: 0x15,
        jt,
        jf,
        k,
    };
    let (load, answer) = (0x20, 0x06);
    let mut program = [statement(answer, libc::SECCOMP_RET_ALLOW); 16];
    let mut length = 0;
    let mut push = |filter| {
        program[length] = filter;
        length += 1;
    };
    push(statement(load, 0));
    push(equal(nr as u32, 1, 0));
    push(statement(answer, libc::SECCOMP_RET_ALLOW));
    push(statement(load, 16 + 8 * argument));
    for (i, value) in refused.iter().enumerate() {
        let last = refused.len() - i - 1;
        push(equal(*value, last as u8 + 1, 0));
    }
    if !refused.is_empty() {
        push(statement(answer, libc::SECCOMP_RET_ALLOW));
    }
    push(statement(answer, libc::SECCOMP_RET_ERRNO | errno));
    let filter = libc::sock_fprog {
        len: length as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: numbers, and a program that the kernel copies.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && syscall!(nr::SECCOMP, 1, 0, &raw const filter) == Ok(0)
    }
}

#[test]
fn a_filter_is_told_from_ptrace() {
    in_child(|| {
        check!(forbid(libc::SYS_kcmp, 2, &[], libc::EPERM as u32));
        let me = gettid();
        check!(kcmp(Resource::VM, me, me) == Err(Errno::EPERM));
        for kind in 0..8 {
            check!(denied_by(Kind::from_raw(kind)) == DeniedBy::Filter(Errno::EPERM));
        }
        Ok(())
    });
}

#[test]
fn a_filter_that_passes_files_only_is_told_too() {
    in_child(|| {
        check!(forbid(
            libc::SYS_kcmp,
            2,
            &[1, 2, 3, 4, 5, 6, 7],
            libc::EPERM as u32
        ));
        check!(denied_by(Kind::FILE) == DeniedBy::Ptrace);
        check!(denied_by(Kind::VM) == DeniedBy::Filter(Errno::EPERM));
        check!(denied_by(Kind::EPOLL_TFD) == DeniedBy::Filter(Errno::EPERM));
        Ok(())
    });
}

/// KCM-030: as if the kernel had none.
#[test]
fn a_kernel_without_kcmp_is_enosys() {
    in_child(|| {
        check!(forbid(libc::SYS_kcmp, 2, &[], libc::ENOSYS as u32));
        let me = gettid();
        check!(kcmp(Resource::VM, me, me) == Err(Errno::ENOSYS));
        check!(denied_by(Kind::VM) == DeniedBy::Filter(Errno::ENOSYS));
        Ok(())
    });
}

#[test]
fn same_description_says_which_way_it_took() {
    let (reader, writer) = pipe();
    let again = reader.try_clone().unwrap();
    let way = if kernel_is_at_least(6, 10) {
        By::DupfdQuery
    } else {
        By::Kcmp
    };
    assert_eq!(same_description(&reader, &again), Ok((true, way)));
    assert_eq!(same_description(&reader, &reader), Ok((true, way)));
    assert_eq!(same_description(&reader, &writer), Ok((false, way)));
}

#[test]
fn f_dupfd_query_is_einval_before_6_10() {
    let (reader, writer) = pipe();
    let again = reader.try_clone().unwrap();
    if kernel_is_at_least(6, 10) {
        assert_eq!(io::fcntl_dupfd_query(&reader, &again), Ok(true));
        assert_eq!(io::fcntl_dupfd_query(&reader, &writer), Ok(false));
    } else {
        assert_eq!(io::fcntl_dupfd_query(&reader, &again), Err(Errno::EINVAL));
    }
}

#[test]
fn same_description_goes_on_to_kcmp_where_the_command_is_filtered() {
    let (reader, writer) = pipe();
    let again = reader.try_clone().unwrap();
    in_child(|| {
        check!(forbid(libc::SYS_fcntl, 1, &[1027], libc::EINVAL as u32));
        check!(same_description(&reader, &again) == Ok((true, By::Kcmp)));
        check!(same_description(&reader, &writer) == Ok((false, By::Kcmp)));
        Ok(())
    });
}

#[test]
fn not_allowed_to_know_is_an_error_and_not_false() {
    let (reader, writer) = pipe();
    let again = reader.try_clone().unwrap();
    in_child(|| {
        check!(forbid(libc::SYS_kcmp, 2, &[], libc::EPERM as u32));
        check!(forbid(libc::SYS_fcntl, 1, &[1027], libc::EINVAL as u32));
        check!(same_description(&reader, &again) == Err(Errno::EPERM));
        check!(same_description(&reader, &writer) == Err(Errno::EPERM));
        Ok(())
    });
}

#[test]
fn a_thread_with_its_own_descriptor_table_is_asked_about_itself() {
    in_child(|| {
        // A process whose thread left the common table: there, `getpid` would
        // answer for a table that does not have these descriptors.
        let parent = getpid();
        let thread = std::thread::spawn(move || {
            // SAFETY: this thread makes its own descriptors below.
            check!(unsafe { syscall!(nr::UNSHARE, libc::CLONE_FILES) } == Ok(0));
            check!(forbid(libc::SYS_fcntl, 1, &[1027], libc::EINVAL as u32));
            let me = gettid();
            check!(differ(kcmp(Resource::FILES, me, parent)));
            check!(kcmp(Resource::VM, me, parent) == Ok(Relation::Same));
            let (reader, writer) = pipe();
            let again = reader.try_clone().map_err(|_| line!())?;
            let (a, b) = (reader.as_raw_fd(), again.as_raw_fd());
            check!(kcmp_file(parent, a, parent, b) == Err(Errno::EBADF));
            check!(same_description(&reader, &again) == Ok((true, By::Kcmp)));
            check!(same_description(&reader, &writer) == Ok((false, By::Kcmp)));
            Ok(())
        });
        thread.join().map_err(|_| line!())?
    });
}

/// KCM-023, KCM-028
#[test]
fn the_target_of_an_epoll_is_found_and_others_are_not() {
    let me = getpid();
    let epoll = epoll();
    let (reader, writer) = pipe();
    watch(&epoll, reader.as_raw_fd());
    let slot = slot(&epoll, reader.as_raw_fd(), 0);
    assert_eq!(
        kcmp_epoll_tfd(me, reader.as_raw_fd(), me, slot),
        Ok(Relation::Same)
    );
    let again = reader.try_clone().unwrap();
    assert_eq!(
        kcmp_epoll_tfd(me, again.as_raw_fd(), me, slot),
        Ok(Relation::Same)
    );
    assert!(differ(kcmp_epoll_tfd(me, writer.as_raw_fd(), me, slot)));
}

/// KCM-025
#[test]
fn an_entry_that_an_epoll_does_not_have_is_enoent() {
    let me = getpid();
    let epoll = epoll();
    let (reader, writer) = pipe();
    watch(&epoll, reader.as_raw_fd());
    let (r, w) = (reader.as_raw_fd(), writer.as_raw_fd());
    for (tfd, toff) in [(r, 1), (r, u32::MAX), (w, 0), (-1, 0)] {
        assert_eq!(
            kcmp_epoll_tfd(me, r, me, slot(&epoll, tfd, toff)),
            Err(Errno::ENOENT),
            "{tfd} {toff}"
        );
    }
}

#[test]
fn what_is_not_an_epoll_is_einval_and_what_is_not_open_ebadf() {
    let me = getpid();
    let epoll = epoll();
    let (reader, writer) = pipe();
    watch(&epoll, reader.as_raw_fd());
    let (r, w) = (reader.as_raw_fd(), writer.as_raw_fd());
    assert_eq!(
        kcmp_epoll_tfd(me, r, me, slot(&writer, r, 0)),
        Err(Errno::EINVAL)
    );
    for bad in [-1, 1_000_000] {
        assert_eq!(
            kcmp_epoll_tfd(me, bad, me, slot(&epoll, r, 0)),
            Err(Errno::EBADF)
        );
    }
    let closed = EpollSlot {
        efd: 1_000_000,
        tfd: w as u32,
        toff: 0,
    };
    assert_eq!(kcmp_epoll_tfd(me, r, me, closed), Err(Errno::EBADF));
    // SAFETY: a pointer that the kernel refuses.
    let answer = unsafe { kcmp_raw(me, me, Kind::EPOLL_TFD, r, 0) };
    assert_eq!(answer, Err(Errno::EFAULT));
}

#[test]
fn a_slot_is_12_bytes_whatever_the_manual_page_says() {
    assert_eq!(size_of::<EpollSlot>(), 12);
    let me = getpid();
    let epoll = epoll();
    let (reader, _writer) = pipe();
    let fd = reader.as_raw_fd();
    watch(&epoll, fd);
    // SAFETY: two new pages, the second of which cannot be touched; the slot is
    // the last 12 bytes of the first.
    unsafe {
        let size = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let pages = libc::mmap(
            std::ptr::null_mut(),
            2 * size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(pages, libc::MAP_FAILED);
        assert_eq!(
            libc::mprotect(pages.byte_add(size), size, libc::PROT_NONE),
            0
        );
        let at = pages.byte_add(size - 12).cast::<EpollSlot>();
        at.write(slot(&epoll, fd, 0));
        let answer = kcmp_raw(me, me, Kind::EPOLL_TFD, fd, at.cast_const());
        assert_eq!(answer, Ok(Relation::Same));
        libc::munmap(pages, 2 * size);
    }
}

/// A number that was closed and used again stands in the set twice.
#[test]
fn several_files_under_one_number_are_counted_by_toff() {
    in_child(|| {
        let me = getpid();
        let epoll = epoll();
        let (first, _w1) = pipe();
        let (second, _w2) = pipe();
        let number = 700;
        // SAFETY: nobody has this number in this child.
        unsafe {
            check!(libc::dup2(first.as_raw_fd(), number) == number);
            watch(&epoll, number);
            check!(libc::dup2(second.as_raw_fd(), number) == number);
            watch(&epoll, number);
            libc::close(number);
        }
        let files = [first.as_raw_fd(), second.as_raw_fd()];
        let mut found = [false; 2];
        for toff in 0..2 {
            for (fd, found) in files.iter().zip(&mut found) {
                let relation = kcmp_epoll_tfd(me, *fd, me, slot(&epoll, number, toff));
                check!(relation.is_ok());
                *found |= relation == Ok(Relation::Same);
            }
        }
        check!(found == [true, true]);
        let past = kcmp_epoll_tfd(me, files[0], me, slot(&epoll, number, 2));
        check!(past == Err(Errno::ENOENT));
        Ok(())
    });
}

/// What CRIU does: the targets of an epoll, some of them open under other
/// numbers or in another process only by now, are looked up among all files.
#[test]
fn epoll_targets_are_found_back_among_the_files_of_two_processes() {
    let me = getpid();
    let epoll = epoll();
    let pipes: Vec<_> = (0..40).map(|_| pipe()).collect();
    for (reader, _) in &pipes {
        watch(&epoll, reader.as_raw_fd());
    }
    let child = Child::forked();

    // Of every second pipe, the child alone still has the reader.
    let mut numbers = Vec::new();
    let mut kept = Vec::new();
    for (i, (reader, writer)) in pipes.into_iter().enumerate() {
        numbers.push(reader.as_raw_fd());
        if i % 2 == 0 {
            kept.push(reader);
        }
        kept.push(writer);
    }

    let mut entries: Vec<_> = kept
        .iter()
        .map(|fd| {
            Entry::new(File {
                pid: me,
                fd: fd.as_raw_fd(),
            })
        })
        .chain(
            numbers
                .iter()
                .map(|&fd| Entry::new(File { pid: child.pid, fd })),
        )
        .collect();
    // 40 writers, and 40 readers of which 20 are open in both.
    assert_eq!(classify_files(&mut entries), Ok(80));

    for (i, &number) in numbers.iter().enumerate() {
        let slot = slot(&epoll, number, 0);
        let found = find_epoll_target(&entries, me, slot)
            .unwrap()
            .expect("it is there");
        let class = entries[found].class().unwrap();
        let files: HashSet<_> = members(&entries, class).map(|e| *e.item()).collect();
        assert!(files.contains(&File {
            pid: child.pid,
            fd: number
        }));
        assert_eq!(files.len(), if i % 2 == 0 { 2 } else { 1 });
    }
    let none = slot(&epoll, numbers[0], 1);
    assert_eq!(find_epoll_target(&entries, me, none), Err(Errno::ENOENT));
}

#[test]
fn a_target_that_nobody_has_is_not_found() {
    let me = getpid();
    let epoll = epoll();
    let (reader, writer) = pipe();
    watch(&epoll, reader.as_raw_fd());
    let mut entries = [Entry::new(File {
        pid: me,
        fd: writer.as_raw_fd(),
    })];
    assert_eq!(classify_files(&mut entries), Ok(1));
    let slot = slot(&epoll, reader.as_raw_fd(), 0);
    assert_eq!(find_epoll_target(&entries, me, slot), Ok(None));
    assert_eq!(find_epoll_target(&[], me, slot), Ok(None));
}

fn pidfd(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

#[test]
fn pinned_processes_are_compared_while_their_numbers_are_theirs() {
    let me = getpid();
    let (reader, _writer) = pipe();
    let fd = reader.as_raw_fd();
    let child = Child::forked();
    let (my_pidfd, child_pidfd) = (pidfd(me), pidfd(child.pid));
    let a = Pinned::new(me, my_pidfd.as_fd());
    let b = Pinned::new(child.pid, child_pidfd.as_fd());
    assert_eq!(kcmp_file_pinned(a, fd, b, fd), Ok(Relation::Same));
    assert!(differ(kcmp_pinned(Resource::VM, a, b)));

    // A zombie keeps its number.
    child.kill();
    assert_eq!(b.still_there(), Ok(()));
    child.reap();
    assert_eq!(b.still_there(), Err(Errno::ESRCH));
    assert_eq!(kcmp_pinned(Resource::VM, a, b), Err(Errno::ESRCH));
    // As if the number had been taken over: it answers, but not for `b`.
    let taken = Pinned::new(me, child_pidfd.as_fd());
    assert_eq!(kcmp_pinned(Resource::VM, a, taken), Err(Errno::ESRCH));
    assert_eq!(kcmp_file_pinned(taken, fd, a, fd), Err(Errno::ESRCH));
    let not_a_pidfd = Pinned::new(me, reader.as_fd());
    assert_eq!(kcmp_pinned(Resource::VM, a, not_a_pidfd), Err(Errno::EBADF));
}

#[test]
fn a_pidfd_is_asked_for_its_number_since_6_13() {
    let child = Child::forked();
    let pidfd = pidfd(child.pid);
    let asked = |pidfd: &OwnedFd| Pinned::query(pidfd.as_fd()).map(|pinned| pinned.pid());
    if kernel_is_at_least(6, 13) {
        assert_eq!(asked(&pidfd), Ok(child.pid));
        child.reap();
        assert_eq!(asked(&pidfd), Err(Errno::ESRCH));
        assert_eq!(asked(&pipe().0), Err(Errno::ENOTTY));
    } else if kernel_is_at_least(6, 11) {
        assert_eq!(asked(&pidfd), Err(Errno::EINVAL));
    } else {
        assert_eq!(asked(&pidfd), Err(Errno::ENOTTY));
    }
}

#[test]
fn who_may_not_signal_a_process_can_still_pin_it() {
    // SAFETY: numbers only.
    if unsafe { libc::geteuid() } != 0 {
        skip!("needs root to become somebody else");
    }
    let child = Child::forked();
    let pidfd = pidfd(child.pid);
    in_child(|| {
        // SAFETY: only this child changes.
        check!(unsafe { syscall!(nr::SETRESUID, 65_534, 65_534, 65_534) } == Ok(0));
        check!(Pinned::new(child.pid, pidfd.as_fd()).still_there() == Ok(()));
        Ok(())
    });
}

/// The classes as the kernel sees them, by all pairs.
fn all_pairs(files: &[File]) -> Vec<usize> {
    let mut classes = Vec::new();
    for (i, a) in files.iter().enumerate() {
        let first = files[..i]
            .iter()
            .position(|b| kcmp_file(a.pid, a.fd, b.pid, b.fd) == Ok(Relation::Same));
        classes.push(first.unwrap_or(i));
    }
    classes
}

/// Equal where the other is equal.
fn same_partition(a: &[usize], b: &[usize]) -> bool {
    let pairs: HashSet<_> = a.iter().zip(b).collect();
    let left: HashSet<_> = a.iter().collect();
    let right: HashSet<_> = b.iter().collect();
    a.len() == b.len() && pairs.len() == left.len() && pairs.len() == right.len()
}

#[test]
fn classes_of_descriptors_are_those_of_all_pairs() {
    let me = getpid();
    let mut fds: Vec<OwnedFd> = Vec::new();
    for i in 0_usize..100 {
        let (reader, writer) = pipe();
        for _ in 0..i % 4 {
            fds.push(reader.try_clone().unwrap());
        }
        fds.extend([reader, writer]);
    }
    let child = Child::forked();
    let files: Vec<_> = fds
        .iter()
        .map(|fd| File {
            pid: me,
            fd: fd.as_raw_fd(),
        })
        .chain(fds.iter().step_by(3).map(|fd| File {
            pid: child.pid,
            fd: fd.as_raw_fd(),
        }))
        .collect();

    let mut entries: Vec<_> = files.iter().copied().map(Entry::new).collect();
    assert_eq!(classify_files(&mut entries), Ok(200));
    let classes: Vec<_> = entries.iter().map(|entry| entry.class().unwrap()).collect();
    assert!(same_partition(&classes, &all_pairs(&files)));

    // With a key the classes are the same, in another order.
    let mut keyed: Vec<_> = files
        .iter()
        .map(|file| {
            let path = format!("/proc/{}/fd/{}", file.pid.as_raw(), file.fd);
            let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
            Entry::with_key(*file, inode)
        })
        .collect();
    assert_eq!(classify_files(&mut keyed), Ok(200));
    let by_key: Vec<_> = keyed.iter().map(|entry| entry.class().unwrap()).collect();
    assert!(same_partition(&classes, &by_key));
}

#[test]
fn classes_of_tasks_are_what_clone_shared() {
    let me = getpid();
    let (thread, forked) = (gettid(), Child::forked());
    let (files, vm) = (
        Child::cloned(libc::CLONE_FILES),
        Child::cloned(libc::CLONE_VM),
    );
    let tasks = [me, thread, forked.pid, files.pid, vm.pid];
    for (resource, expected) in [
        (Resource::VM, [0, 0, 1, 2, 0]),
        (Resource::FILES, [0, 0, 1, 0, 2]),
        (Resource::FS, [0, 0, 1, 2, 3]),
        (Resource::SIGHAND, [0, 0, 1, 2, 3]),
    ] {
        let mut entries = tasks.map(Entry::new);
        let classes = classify(resource, &mut entries).unwrap();
        assert_eq!(classes, expected.iter().max().unwrap() + 1);
        let got = entries.map(|entry| entry.class().unwrap());
        assert!(same_partition(&got, &expected), "{resource:?}: {got:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_set_aside_with_its_reason() {
    let me = getpid();
    let (reader, writer) = pipe();
    let gone = Child::forked();
    gone.reap();
    let zombie = Child::zombie();
    let (r, w) = (reader.as_raw_fd(), writer.as_raw_fd());
    let mut entries = [
        (gone.pid, r),
        (me, r),
        (me, 1_000_000),
        (zombie.pid, r),
        (me, w),
        (me, -1),
        (me, r),
    ]
    .map(|(pid, fd)| Entry::new(File { pid, fd }));
    assert_eq!(classify_files(&mut entries), Ok(2));
    let errors = entries.each_ref().map(Entry::error);
    let (srch, badf) = (Some(Errno::ESRCH), Some(Errno::EBADF));
    assert_eq!(errors, [srch, None, badf, badf, None, badf, None]);
    assert_eq!(entries[1].class(), entries[6].class());
    assert_ne!(entries[1].class(), entries[4].class());

    // One alone is compared with itself.
    let mut alone = [Entry::new(File {
        pid: gone.pid,
        fd: 0,
    })];
    assert_eq!(classify_files(&mut alone), Ok(0));
    assert_eq!(alone[0].error(), srch);
    assert_eq!(classify_files(&mut []), Ok(0));
}

#[test]
fn a_borrowed_descriptor_will_do() {
    let (reader, _writer) = pipe();
    let borrowed: BorrowedFd<'_> = reader.as_fd();
    assert!(same_description(borrowed, &reader).unwrap().0);
}
