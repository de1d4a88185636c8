//! `clone3`: what it takes, what it refuses, what is shared.

use crate::{CAP_SYS_ADMIN, common, end, skip, start};
use barecall::event::{PollFd, PollFlags, poll};
use barecall::fd::AsFd as _;
use barecall::process::{
    self, CloneFlags, CloneOptions, Cloned, Ids, Pid, PidfdFlags, PidfdInfoMask, WaitOptions,
    WaitStatus, WaitTarget, chdir, exit_group, getcwd, getpid, getppid, gettid, pidfd_get_info,
    pidfd_open, umask, wait4,
};
use barecall::signal::{How, SigSet, Signal, sigprocmask, sigtimedwait};
use barecall::time::Timespec;
use barecall::{Errno, fs, io, nr, syscall};
use std::ffi::CStr;

// The words of `struct clone_args`.
const FLAGS: usize = 0;
const CHILD_TID: usize = 2;
const PARENT_TID: usize = 3;
const EXIT_SIGNAL: usize = 4;
const STACK: usize = 5;
const STACK_SIZE: usize = 6;
const WORDS: usize = 11;

const SIGCHLD: u64 = 17;

/// qemu-user has no `clone3`.
macro_rules! needs_clone3 {
    () => {
        if common::under_qemu_user() {
            skip!("qemu-user has no clone3");
        }
    };
}

/// `clone3(args, size)`. A child that is made all the same exits with 0.
fn raw(args: *const u64, size: usize) -> Result<Pid, Errno> {
    // SAFETY: on a copy of the stack, or an error; the child only exits.
    let pid = unsafe { syscall!(nr::CLONE3, args, size) }?;
    Ok(Pid::from_raw(pid as i32).unwrap_or_else(|| exit_group(0)))
}

/// The same with these words, the others 0, at the size of the header's struct.
fn with(words: &[(usize, u64)]) -> Result<Pid, Errno> {
    let mut args = [0; WORDS];
    args[EXIT_SIGNAL] = SIGCHLD;
    for &(word, value) in words {
        args[word] = value;
    }
    raw(args.as_ptr(), size_of_val(&args))
}

/// Runs `child` in a process that [`process::clone3`] makes.
#[track_caller]
fn cloned(options: CloneOptions<'_>, child: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: the child makes system calls, and exits.
    match unsafe { process::clone3(&options) }? {
        Cloned::Child => exit_group(child()),
        Cloned::Parent { pid, .. } => Ok(pid),
    }
}

fn flags(flags: CloneFlags) -> CloneOptions<'static> {
    CloneOptions::new().flags(flags)
}

fn inode(path: &CStr) -> Result<u64, Errno> {
    fs::statat(fs::CWD, path, fs::AtFlags::empty()).map(|stat| stat.st_ino)
}

pub(crate) fn page_size() -> usize {
    // SAFETY: takes a number.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// PRC-015, PRC-016, PRC-017
#[test]
fn every_size_that_clone_args_ever_had_is_taken_and_zeros_behind_it() {
    needs_clone3!();
    let page = page_size();
    let mut args = vec![0_u64; page / 8 + 1];
    args[EXIT_SIGNAL] = SIGCHLD;
    for size in [64, 72, 80, 88, 96, 1000, page] {
        let child = raw(args.as_ptr(), size);
        assert_eq!(end(child.unwrap()), WaitStatus::Exited(0), "{size}");
    }
    for size in [0, 1, 8, 63] {
        assert_eq!(raw(args.as_ptr(), size), Err(Errno::EINVAL), "{size}");
    }
    assert_eq!(raw(args.as_ptr(), page + 8), Err(Errno::E2BIG));
    args[WORDS] = 1;
    assert_eq!(raw(args.as_ptr(), page), Err(Errno::E2BIG));
    assert!(raw(args.as_ptr(), 88).map(end).is_ok());
}

/// PRC-019
#[test]
fn clone_args_must_be_there() {
    needs_clone3!();
    assert_eq!(raw(core::ptr::null(), 88), Err(Errno::EFAULT));
    use barecall::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    let page = page_size();
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, and its second page, which nothing else knows of.
    let edge = unsafe {
        let map = mmap_anonymous(core::ptr::null_mut(), 2 * page, prot, MapFlags::PRIVATE).unwrap();
        munmap(map.byte_add(page), page).unwrap();
        map.byte_add(page - 64).cast::<u64>()
    };
    // SAFETY: 64 bytes before the end of the page.
    unsafe { edge.add(EXIT_SIGNAL).write(SIGCHLD) };
    assert_eq!(raw(edge, 88), Err(Errno::EFAULT));
    assert_eq!(end(raw(edge, 64).unwrap()), WaitStatus::Exited(0));
    // SAFETY: the first page.
    unsafe { munmap(edge.byte_sub(page - 64).cast(), page) }.unwrap();
}

/// PRC-020, PRC-030, PRC-031
#[test]
fn flags_that_do_not_go_together_are_refused() {
    needs_clone3!();
    for refused in [
        CloneFlags::SIGHAND,
        CloneFlags::THREAD,
        CloneFlags::THREAD | CloneFlags::VM,
        CloneFlags::FS | CloneFlags::NEWNS,
        CloneFlags::FS | CloneFlags::NEWUSER,
        CloneFlags::CLEAR_SIGHAND | CloneFlags::SIGHAND | CloneFlags::VM,
        CloneFlags::DETACHED,
        CloneFlags::from_bits_retain(1 << 63),
    ] {
        assert_eq!(
            with(&[(FLAGS, refused.bits())]),
            Err(Errno::EINVAL),
            "{refused:?}"
        );
    }
}

/// PRC-021
#[test]
fn the_exit_signal_is_a_signal_and_not_among_the_flags() {
    needs_clone3!();
    for signal in [65, 1 << 32 | SIGCHLD, !0, 0x1000] {
        assert_eq!(
            with(&[(EXIT_SIGNAL, signal)]),
            Err(Errno::EINVAL),
            "{signal:#x}"
        );
    }
    assert_eq!(with(&[(FLAGS, SIGCHLD)]), Err(Errno::EINVAL));
}

/// PRC-008, PRC-023
#[test]
fn a_stack_has_an_address_and_a_size() {
    needs_clone3!();
    let mut stack = [0_u64; 512];
    let at = stack.as_mut_ptr().expose_provenance() as u64;
    assert_eq!(with(&[(STACK, at)]), Err(Errno::EINVAL));
    assert_eq!(with(&[(STACK_SIZE, 4096)]), Err(Errno::EINVAL));
}

/// PRC-011, PRC-034
#[test]
fn without_shared_memory_each_side_has_its_own_word() {
    needs_clone3!();
    common::in_child(|| {
        let mut parent_word = 0_i32;
        let mut child_word = 0_i32;
        let flags =
            CloneFlags::PARENT_SETTID | CloneFlags::CHILD_SETTID | CloneFlags::CHILD_CLEARTID;
        let mut args = [0_u64; WORDS];
        args[FLAGS] = flags.bits();
        args[EXIT_SIGNAL] = SIGCHLD;
        args[PARENT_TID] = (&raw mut parent_word).expose_provenance() as u64;
        args[CHILD_TID] = (&raw mut child_word).expose_provenance() as u64;
        let (at_parent, at_child) = (&raw mut parent_word, &raw mut child_word);
        // SAFETY: on a copy of the stack; the words stay longer than the child.
        let pid = unsafe { syscall!(nr::CLONE3, args.as_ptr(), 88) }.unwrap() as i32;
        // SAFETY: two words of this frame.
        let words = unsafe { (at_parent.read_volatile(), at_child.read_volatile()) };
        if pid == 0 {
            // The parent's word is written in the parent, before the copy or
            // after it.
            exit_group(i32::from(words.1 != gettid().as_raw()));
        }
        assert_eq!(words, (pid, 0));
        assert_eq!(end(Pid::from_raw(pid).unwrap()), WaitStatus::Exited(0));
        // SAFETY: as above.
        assert_eq!(unsafe { at_child.read_volatile() }, 0);
    });
}

/// PRC-014
#[test]
fn the_end_sends_the_chosen_signal_or_none() {
    needs_clone3!();
    common::in_child(|| {
        let set = SigSet::of(&[Signal::SIGUSR2, Signal::SIGCHLD]);
        sigprocmask(How::BLOCK, set).unwrap();
        let options = CloneOptions::new().exit_signal(Some(Signal::SIGUSR2));
        let child = cloned(options, || 9).unwrap();
        let info = sigtimedwait(set, None).unwrap();
        assert_eq!(info.signal(), Some(Signal::SIGUSR2));
        // Such a child is not waited for by the way.
        let plain = wait4(WaitTarget::Any, WaitOptions::empty());
        assert_eq!(plain, Err(Errno::ECHILD));
        let all = wait4(WaitTarget::Any, WaitOptions::ALL);
        assert_eq!(all, Ok(Some((child, WaitStatus::Exited(9)))));

        let child = cloned(CloneOptions::new().exit_signal(None), || 8).unwrap();
        let ended = wait4(WaitTarget::Pid(child), WaitOptions::CLONE);
        assert_eq!(ended, Ok(Some((child, WaitStatus::Exited(8)))));
        let now = Timespec::default();
        assert_eq!(sigtimedwait(set, Some(now)).map(|_| ()), Err(Errno::EAGAIN));
    });
}

/// PRC-004, PRC-005, PRC-010
#[test]
fn a_vfork_child_is_done_before_the_parent_goes_on_and_is_like_it() {
    needs_clone3!();
    common::in_child(|| {
        sigprocmask(How::BLOCK, SigSet::of(&[Signal::SIGUSR1])).unwrap();
        barecall::signal::kill(getpid(), Signal::SIGUSR1).unwrap();
        assert!(
            barecall::signal::sigpending()
                .unwrap()
                .contains(Signal::SIGUSR1)
        );
        umask(0o027);
        chdir(c"/proc").unwrap();
        let root = inode(c"/").unwrap();
        let ids = (process::getresuid(), process::getresgid());
        let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        let child = cloned(flags(CloneFlags::VFORK), || {
            let mut buf = [0; 64];
            if getcwd(&mut buf) != Ok(c"/proc") {
                return 1;
            }
            if umask(0) != 0o027 || inode(c"/") != Ok(root) {
                return 2;
            }
            if (process::getresuid(), process::getresgid()) != ids {
                return 3;
            }
            if barecall::signal::sigpending() != Ok(SigSet::EMPTY) {
                return 4;
            }
            // The last thing that it does, and the parent sees it done.
            io::write(&writer, b"x").map_or(5, |_| 7)
        });
        let mut fds = [PollFd::new(&reader, PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(Timespec::ZERO)), Ok(1));
        assert_eq!(end(child.unwrap()), WaitStatus::Exited(7));
        assert_eq!(umask(0), 0o027, "its umask was its own");
    });
}

/// PRC-009
#[test]
fn directory_and_descriptors_are_shared_if_told_so() {
    needs_clone3!();
    common::in_child(|| {
        for shared in [false, true] {
            chdir(c"/").unwrap();
            let (file, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
            let number = file.into_raw_fd();
            let options = if shared {
                flags(CloneFlags::FS | CloneFlags::FILES)
            } else {
                CloneOptions::new()
            };
            let child = cloned(options, || {
                // SAFETY: nobody else uses it.
                let closed = unsafe { syscall!(nr::CLOSE, number) };
                i32::from(chdir(c"/proc").is_err() || closed.is_err())
            });
            assert_eq!(end(child.unwrap()), WaitStatus::Exited(0));
            let mut buf = [0; 64];
            let here = if shared { c"/proc" } else { c"/" };
            assert_eq!(getcwd(&mut buf), Ok(here));
            // SAFETY: nobody else uses it.
            let closed = unsafe { syscall!(nr::CLOSE, number) };
            assert_eq!(closed, if shared { Err(Errno::EBADF) } else { Ok(0) });
        }
    });
}

/// PRC-011
#[test]
fn clone_parent_makes_a_sibling() {
    needs_clone3!();
    common::in_child(|| {
        let parent = getpid();
        let child = start(|| {
            let options = flags(CloneFlags::PARENT);
            // Its end sends what that of its sibling sends.
            if cloned(options, || 0) != Err(Errno::EINVAL) {
                return 2;
            }
            let sibling = cloned(options.exit_signal(None), move || {
                i32::from(getppid() != Some(parent))
            });
            i32::from(sibling.is_err())
        });
        for _ in 0..2 {
            let (_, status) = wait4(WaitTarget::Any, WaitOptions::ALL).unwrap().unwrap();
            assert_eq!(status, WaitStatus::Exited(0));
        }
        let gone = wait4(WaitTarget::Pid(child), WaitOptions::ALL);
        assert_eq!(gone, Err(Errno::ECHILD));
    });
}

/// PRC-013
#[test]
fn namespaces_and_chosen_numbers_are_eperm_without_privilege() {
    needs_clone3!();
    common::in_child(|| {
        let nobody = Ids {
            real: 65534,
            effective: 65534,
            saved: 65534,
        };
        // SAFETY: the only thread.
        let _ = unsafe { process::setresuid_thread(nobody) };
        assert!(!common::has_capability(CAP_SYS_ADMIN));
        for new in [
            CloneFlags::NEWNS,
            CloneFlags::NEWUTS,
            CloneFlags::NEWIPC,
            CloneFlags::NEWPID,
            CloneFlags::NEWNET,
            CloneFlags::NEWCGROUP,
        ] {
            assert_eq!(cloned(flags(new), || 0), Err(Errno::EPERM), "{new:?}");
        }
        let numbers = [Pid::from_raw(30000).unwrap()];
        let chosen = CloneOptions::new().set_tid(&numbers);
        assert_eq!(cloned(chosen, || 0), Err(Errno::EPERM));
    });
}

#[test]
fn the_number_can_be_chosen_if_it_is_free() {
    needs_clone3!();
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    let taken = [getpid()];
    let taken = CloneOptions::new().set_tid(&taken);
    assert_eq!(cloned(taken, || 0), Err(Errno::EEXIST));
    let first = CloneOptions::new()
        .flags(CloneFlags::NEWPID)
        .set_tid(&[Pid::INIT]);
    let child = cloned(first, || {
        i32::from(getpid() != Pid::INIT || getppid().is_some())
    });
    assert_eq!(end(child.unwrap()), WaitStatus::Exited(0));
}

/// PRC-028
#[test]
fn a_child_begins_in_the_cgroup_of_a_descriptor() {
    needs_clone3!();
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("mounting needs CAP_SYS_ADMIN");
    }
    let status = common::wait_status_of_child(|| {
        use barecall::mount::{MountFlags, mount};
        // SAFETY: the only thread.
        unsafe { process::unshare(CloneFlags::NEWNS) }.unwrap();
        let private = MountFlags::REC | MountFlags::PRIVATE;
        mount(None, c"/", None, private, None).unwrap();
        let cgroup2 = Some(c"cgroup2");
        let mounted = mount(cgroup2, c"/tmp", cgroup2, MountFlags::empty(), None);
        let dir = std::path::PathBuf::from(format!("/tmp/barecall-{}", getpid()));
        if mounted.is_err() || std::fs::create_dir(&dir).is_err() {
            exit_group(77);
        }
        let path = std::ffi::CString::new(dir.to_str().unwrap()).unwrap();
        let flags = fs::OFlags::PATH | fs::OFlags::CLOEXEC;
        let fd = fs::openat(fs::CWD, &path, flags, fs::Mode::empty()).unwrap();
        let options = CloneOptions::new().cgroup(fd.as_fd());
        let child = cloned(options, || {
            let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let name = format!("/barecall-{}", getppid().map_or(0, Pid::as_raw));
            i32::from(
                !cgroups
                    .lines()
                    .any(|line| line.starts_with("0::") && line.ends_with(&name)),
            )
        });
        let status = child.map(end);
        // Linux lets a dead task's cgroup be removed.
        std::fs::remove_dir(&dir).unwrap();
        assert_eq!(status, Ok(WaitStatus::Exited(0)));
    });
    if status == 77 << 8 {
        skip!("no cgroup can be made here");
    }
    assert_eq!(status, 0, "the child failed, see above");
}

/// Waits until nothing is left of a child that reaps itself. Its end is told
/// (`IN`) a moment before its status can be had (`HUP`).
fn gone(pidfd: &barecall::fd::OwnedFd) {
    loop {
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        assert_eq!(poll(&mut fds, None), Ok(1));
        if fds[0].revents().contains(PollFlags::IN | PollFlags::HUP) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn a_child_that_reaps_itself_leaves_its_status_to_the_pidfd() {
    needs_clone3!();
    common::in_child(|| {
        let options = flags(CloneFlags::AUTOREAP | CloneFlags::PIDFD);
        // SAFETY: the child only exits.
        let answer = unsafe { process::clone3(&options.exit_signal(None)) };
        if !common::kernel_is_at_least(7, 1) {
            assert_eq!(answer.unwrap_err(), Errno::EINVAL);
            return;
        }
        let Cloned::Parent { pid, pidfd } = answer.unwrap() else {
            exit_group(5);
        };
        let pidfd = pidfd.expect("asked for");
        gone(&pidfd);
        let none = wait4(WaitTarget::Pid(pid), WaitOptions::ALL);
        assert_eq!(none, Err(Errno::ECHILD));
        let info = pidfd_get_info(&pidfd, PidfdInfoMask::EXIT).unwrap();
        assert_eq!(info.exit_status(), Some(WaitStatus::Exited(5)));
        // It sends nothing, so it cannot have a signal to send.
        let with_signal = cloned(flags(CloneFlags::AUTOREAP), || 0);
        assert_eq!(with_signal, Err(Errno::EINVAL));
    });
}

#[test]
fn a_child_ends_with_its_pidfd_if_told_so() {
    needs_clone3!();
    common::in_child(|| {
        let all =
            CloneFlags::PIDFD | CloneFlags::AUTOREAP | CloneFlags::NNP | CloneFlags::PIDFD_AUTOKILL;
        let options = |flags| CloneOptions::new().flags(flags).exit_signal(None);
        // SAFETY: the child only waits.
        let answer = unsafe { process::clone3(&options(all)) };
        if !common::kernel_is_at_least(7, 1) {
            assert_eq!(answer.unwrap_err(), Errno::EINVAL);
            return;
        }
        let Cloned::Parent { pid, pidfd } = answer.unwrap() else {
            // That is from the start on.
            if process::no_new_privs() != Ok(true) {
                exit_group(1);
            }
            loop {
                let _ = poll(&mut [], None);
            }
        };
        let other = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        drop(pidfd);
        gone(&other);
        let info = pidfd_get_info(&other, PidfdInfoMask::EXIT).unwrap();
        let killed = WaitStatus::Killed {
            signal: Signal::SIGKILL,
            core_dumped: false,
        };
        assert_eq!(info.exit_status(), Some(killed));
        for missing in [CloneFlags::PIDFD, CloneFlags::AUTOREAP] {
            // SAFETY: refused.
            let answer = unsafe { process::clone3(&options(all - missing)) };
            assert_eq!(answer.unwrap_err(), Errno::EINVAL, "{missing:?}");
        }
    });
}

#[test]
fn a_mount_namespace_can_begin_empty() {
    needs_clone3!();
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    let knows = common::kernel_is_at_least(7, 1);
    let child = cloned(flags(CloneFlags::EMPTY_MNTNS), || {
        i32::from(inode(c"/proc").map(|_| ()) != Err(Errno::ENOENT))
    });
    assert_eq!(
        child.map(end),
        if knows {
            Ok(WaitStatus::Exited(0))
        } else {
            Err(Errno::EINVAL)
        }
    );
    let child = start(|| {
        // SAFETY: the only thread.
        match unsafe { process::unshare(CloneFlags::UNSHARE_EMPTY_MNTNS) } {
            Err(Errno::EINVAL) => 1,
            Ok(()) if inode(c"/proc").map(|_| ()) == Err(Errno::ENOENT) => 0,
            _ => 2,
        }
    });
    assert_eq!(end(child), WaitStatus::Exited(u8::from(!knows)));
}
