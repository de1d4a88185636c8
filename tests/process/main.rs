//! Processes.

#[path = "../common/mod.rs"]
mod common;

mod clone;
mod creds;
mod exec;
mod own;
mod pidfd;
mod place;
mod session;
mod wait;

use barecall::process::{
    self, CStrArray, CStrings, ExecveatFlags, Pid, WaitId, WaitOptions, WaitStatus, WaitTarget,
    exit_group, fork, getpid, getppid, gettid, wait4, waitid,
};
use barecall::signal::Signal;
use barecall::{Errno, io, nr, syscall};

pub(crate) const CAP_SYS_ADMIN: u32 = 21;

/// Runs `child` in a forked process, and gives its number. The child must do
/// no more than system calls: the tests run as threads.
pub(crate) fn start(child: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the child makes system calls and exits.
    match unsafe { fork() }.unwrap() {
        None => exit_group(child()),
        Some(pid) => pid,
    }
}

pub(crate) fn end(pid: Pid) -> WaitStatus {
    let (ended, status) = wait4(WaitTarget::Pid(pid), WaitOptions::empty())
        .unwrap()
        .unwrap();
    assert_eq!(ended, pid);
    status
}

pub(crate) fn kill(pid: Pid, signal: Signal) {
    barecall::signal::kill(pid, signal).unwrap();
}

const SIGKILL: Signal = Signal::SIGKILL;
const SIGSTOP: Signal = Signal::SIGSTOP;
const SIGCONT: Signal = Signal::SIGCONT;

#[test]
fn numbers_of_processes_and_threads_are_std_s() {
    assert_eq!(getpid().as_raw() as u32, std::process::id());
    // None: in a PID namespace whose first process this is.
    let parent = getppid().map_or(0, Pid::as_raw);
    assert_eq!(parent as u32, std::os::unix::process::parent_id());
    let (process, thread) = std::thread::spawn(|| (getpid(), gettid())).join().unwrap();
    assert_eq!(process, getpid());
    assert_ne!(thread, getpid());
    assert_eq!(Pid::from_raw(0), None);
    assert_eq!(Pid::from_raw(-1), None);
    assert_eq!(Pid::from_raw(i32::MIN), None);
    assert_eq!(size_of::<Option<Pid>>(), 4);
}

/// PRC-001
#[test]
fn the_parent_sees_the_low_eight_bits_of_the_status() {
    for (status, seen) in [(42, 42), (300, 44), (-1, 255), (0, 0)] {
        assert_eq!(end(start(|| status)), WaitStatus::Exited(seen));
    }
}

/// PRC-002
#[test]
fn a_child_has_copies_of_memory_and_shares_offsets() {
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let mut value = 1;
    let parent = getpid();
    let child = start(|| {
        value = 2;
        let right = getppid() == Some(parent) && getpid() != parent && gettid() == getpid();
        io::write(&writer, b"child").ok();
        if right && value == 2 { 0 } else { 1 }
    });
    assert_eq!(end(child), WaitStatus::Exited(0));
    assert_eq!(value, 1);
    let mut buf = [0; 8];
    assert_eq!(io::read(&reader, &mut buf), Ok(5));
}

/// PRC-080, PRC-081
#[test]
fn wait4_has_an_error_for_everything() {
    let nobody = Pid::from_raw(i32::MAX).unwrap();
    let none = WaitOptions::empty();
    assert_eq!(wait4(WaitTarget::Pid(nobody), none), Err(Errno::ECHILD));
    assert_eq!(
        wait4(WaitTarget::Pid(nobody), WaitOptions::NOHANG),
        Err(Errno::ECHILD)
    );
    for unknown in [
        0x100,
        !0,
        WaitOptions::EXITED.bits(),
        WaitOptions::NOWAIT.bits(),
    ] {
        let unknown = WaitOptions::from_bits_retain(unknown);
        assert_eq!(wait4(WaitTarget::Any, unknown), Err(Errno::EINVAL));
    }
    // SAFETY: numbers only.
    let error = unsafe { syscall!(nr::WAIT4, i32::MIN, 0, 0, 0) };
    assert_eq!(error, Err(Errno::ESRCH));
}

/// PRC-081
#[test]
fn nohang_gives_none_while_the_child_runs() {
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let writer_number = writer.as_raw_fd();
    let child = start(|| {
        // SAFETY: the child's own copy, so that the parent's close is the end.
        unsafe { syscall!(nr::CLOSE, writer_number) }.ok();
        io::read(&reader, &mut [0]).map_or(1, |_| 5)
    });
    let target = WaitTarget::Pid(child);
    assert_eq!(wait4(target, WaitOptions::NOHANG), Ok(None));
    let options = WaitOptions::EXITED | WaitOptions::NOHANG;
    assert_eq!(waitid(WaitId::Pid(child), options), Ok(None));
    drop(writer);
    assert_eq!(end(child), WaitStatus::Exited(5));
    assert_eq!(wait4(target, WaitOptions::NOHANG), Err(Errno::ECHILD));
}

/// PRC-083, PRC-085
#[test]
fn waitid_tells_exits_signals_stops_and_continues() {
    let child = start(|| 123);
    let peek = WaitOptions::EXITED | WaitOptions::NOWAIT;
    for options in [peek, WaitOptions::EXITED] {
        let seen = waitid(WaitId::Pid(child), options).unwrap().unwrap();
        assert_eq!((seen.pid, seen.status), (child, WaitStatus::Exited(123)));
    }
    let gone = waitid(WaitId::Pid(child), WaitOptions::EXITED);
    assert_eq!(gone, Err(Errno::ECHILD));

    let child = start(|| {
        loop {
            // SAFETY: waits for a signal.
            unsafe { syscall!(nr::PPOLL, 0, 0, 0, 0, 0) }.ok();
        }
    });
    let wait = |options| waitid(WaitId::Pid(child), options).unwrap().unwrap().status;
    kill(child, SIGSTOP);
    assert_eq!(wait(WaitOptions::STOPPED), WaitStatus::Stopped(SIGSTOP));
    kill(child, SIGCONT);
    assert_eq!(wait(WaitOptions::CONTINUED), WaitStatus::Continued);
    kill(child, SIGSTOP);
    let seen = wait4(WaitTarget::Pid(child), WaitOptions::STOPPED);
    assert_eq!(seen, Ok(Some((child, WaitStatus::Stopped(SIGSTOP)))));
    kill(child, SIGCONT);
    let seen = wait4(WaitTarget::Pid(child), WaitOptions::CONTINUED);
    assert_eq!(seen, Ok(Some((child, WaitStatus::Continued))));
    kill(child, SIGKILL);
    let killed = WaitStatus::Killed {
        signal: SIGKILL,
        core_dumped: false,
    };
    assert_eq!(wait(WaitOptions::EXITED | WaitOptions::NOWAIT), killed);
    assert_eq!(end(child), killed);
    assert_eq!(killed.shell_code(), Some(137));
    assert_eq!(killed.to_string(), "killed by SIGKILL");
}

#[test]
fn a_status_is_told_in_words() {
    let said = |word: i32| WaitStatus::from_word(word).to_string();
    assert_eq!(said(0x0700), "exited with status 7");
    assert_eq!(said(0x8b), "killed by SIGSEGV (core dumped)");
    assert_eq!(said(0x147f), "stopped by SIGTSTP");
    assert_eq!(said(0xffff), "continued");
    assert_eq!(said(0x1057f), "stopped for its tracer (0x105)");
    assert_eq!(said(0x12345), "changed in an unknown way (0x12345)");
}

/// PRC-084
#[test]
fn waitid_wants_to_know_what_to_wait_for() {
    for options in [WaitOptions::empty(), WaitOptions::NOHANG] {
        assert_eq!(waitid(WaitId::All, options), Err(Errno::EINVAL));
    }
    // SAFETY: numbers only.
    unsafe {
        assert_eq!(syscall!(nr::WAITID, 99, 0, 0, 4, 0), Err(Errno::EINVAL));
        assert_eq!(syscall!(nr::WAITID, 1, 0, 0, 4, 0), Err(Errno::EINVAL));
    }
}

/// PRC-086
#[test]
fn waitid_of_what_is_no_pidfd_is_ebadf() {
    use barecall::fd::AsFd as _;
    let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let error = waitid(WaitId::Pidfd(reader.as_fd()), WaitOptions::EXITED);
    assert_eq!(error, Err(Errno::EBADF));
}

#[test]
fn every_status_word_is_decoded_as_c_does() {
    for word in 0..=0xffff {
        let decoded = WaitStatus::from_word(word);
        let (stopped, killed) = (libc::WSTOPSIG(word), libc::WTERMSIG(word));
        let expected = if libc::WIFEXITED(word) {
            WaitStatus::Exited(libc::WEXITSTATUS(word) as u8)
        } else if libc::WIFSTOPPED(word) && (1..=64).contains(&stopped) {
            WaitStatus::Stopped(Signal::new(stopped).unwrap())
        } else if libc::WIFSTOPPED(word) && stopped != 0 {
            // 0x85: PTRACE_O_TRACESYSGOOD, as `waitid` tells it.
            WaitStatus::Trapped(stopped)
        } else if libc::WIFCONTINUED(word) {
            WaitStatus::Continued
        } else if libc::WIFSIGNALED(word) && word >> 8 == 0 && killed <= 64 {
            let signal = Signal::new(killed).unwrap();
            let core_dumped = libc::WCOREDUMP(word);
            WaitStatus::Killed {
                signal,
                core_dumped,
            }
        } else {
            WaitStatus::Unknown(word)
        };
        assert_eq!(decoded, expected, "{word:#x}");
    }
    assert_eq!(WaitStatus::from_word(0x1057f), WaitStatus::Trapped(0x105));
}

/// PRC-050
#[test]
fn execve_tells_what_is_wrong_with_the_path() {
    let argv = CStrings::new([c"x"]);
    let run = |path| process::execve(path, argv.as_array(), CStrArray::EMPTY);
    assert_eq!(run(c"/no/such/file"), Errno::ENOENT);
    assert_eq!(run(c""), Errno::ENOENT);
    assert_eq!(run(c"/proc/self/exe/x"), Errno::ENOTDIR);
    let long = std::ffi::CString::new(vec![b'x'; 5000]).unwrap();
    assert_eq!(run(&long), Errno::ENAMETOOLONG);
    // SAFETY: nothing is at the end of the address space, which is the point.
    unsafe {
        assert_eq!(syscall!(nr::EXECVE, -4096, 0, 0), Err(Errno::EFAULT));
        // PRC-054
        assert_eq!(
            syscall!(nr::EXECVE, c"/proc/self/exe", -4096, 0),
            Err(Errno::EFAULT)
        );
    }
}

/// PRC-051
#[test]
fn execve_runs_regular_files_only() {
    let argv = CStrings::new([c"x"]);
    let run = |path| process::execve(path, argv.as_array(), CStrArray::EMPTY);
    assert_eq!(run(c"/"), Errno::EACCES);
    assert_eq!(run(c"/dev/null"), Errno::EACCES);
}

/// PRC-062, PRC-066
#[test]
fn execveat_tells_what_is_wrong_with_the_descriptor() {
    let argv = CStrings::new([c"x"]);
    let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let run =
        |path, flags| process::execveat(&reader, path, argv.as_array(), CStrArray::EMPTY, flags);
    assert_eq!(run(c"x", ExecveatFlags::empty()), Err(Errno::ENOTDIR));
    assert_eq!(run(c"", ExecveatFlags::empty()), Err(Errno::ENOENT));
    assert_eq!(run(c"", ExecveatFlags::EMPTY_PATH), Err(Errno::EACCES));
    let unknown = ExecveatFlags::from_bits_retain(0xffff);
    assert_eq!(run(c"", unknown), Err(Errno::EINVAL));
}

#[test]
fn arrays_of_strings_end_with_null() {
    use barecall::process::CStrPtr;
    assert_eq!(CStrArray::EMPTY.iter().count(), 0);
    assert!(CStrArray::new(&[]).is_none());
    assert!(CStrArray::new(&[Some(CStrPtr::new(c"a"))]).is_none());
    let two = [Some(CStrPtr::new(c"a")), Some(CStrPtr::new(c"")), None];
    let two = CStrArray::new(&two).unwrap();
    assert!(two.iter().eq([c"a", c""]));
    // SAFETY: three pointers, the last of them null.
    unsafe {
        assert!(!two.as_ptr().add(1).read().is_null());
        assert!(two.as_ptr().add(2).read().is_null());
    }
    let mut rest = two.iter();
    rest.next();
    assert_eq!(format!("{:?}", rest.as_array()), "[\"\"]");
    assert_eq!(
        format!("{:?}", CStrings::new([c"x", c"y"])),
        r#"["x", "y"]"#
    );
    let none = CStrings::new([]);
    assert_eq!(none.as_array().iter().count(), 0);
}
