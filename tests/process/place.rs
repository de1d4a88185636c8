//! Namespaces, roots and limits, each in a forked child.

use crate::{CAP_SYS_ADMIN, common, end, skip, start};
use barecall::fd::OwnedFd;
use barecall::fs::{self, CWD, Mode, OFlags};
use barecall::io::{self, PipeFlags};
use barecall::mount::{MountFlags, UnmountFlags, mount, umount2};
use barecall::process::{
    self, CloneFlags, PidfdFlags, Resource, Rlimit, WaitStatus, chdir, chroot, fchdir, fchroot,
    getcwd, getpid, getppid, pidfd_open, pivot_root, prlimit, setns, unshare,
};
use barecall::{Errno, system};
use std::ffi::CString;

fn open(path: &str) -> OwnedFd {
    let path = CString::new(path).unwrap();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    fs::openat(CWD, &path, flags, Mode::empty()).unwrap()
}

fn host_name() -> Vec<u8> {
    system::uname().unwrap().nodename().to_bytes().to_vec()
}

#[test]
fn a_namespace_is_left_and_entered_by_its_descriptor_or_a_pidfd() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    let outside = host_name();
    common::in_child(|| {
        let before = host_name();
        let ours = open("/proc/self/ns/uts");
        let parent = pidfd_open(getppid().unwrap(), PidfdFlags::empty()).unwrap();
        // SAFETY: the only thread; no descriptors are unshared.
        unsafe { unshare(CloneFlags::NEWUTS) }.unwrap();
        system::sethostname(b"barecall-test").unwrap();
        assert_eq!(host_name(), b"barecall-test");
        let inner = open("/proc/self/ns/uts");

        setns(&ours, CloneFlags::NEWUTS).unwrap();
        assert_eq!(host_name(), before);
        setns(&inner, CloneFlags::empty()).unwrap();
        assert_eq!(host_name(), b"barecall-test");
        setns(&parent, CloneFlags::NEWUTS).unwrap();
        assert_eq!(host_name(), before);

        let (pipe, _) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
        assert_eq!(setns(&inner, CloneFlags::NEWNET), Err(Errno::EINVAL));
        // Not any kind, as what is left of it in an int would be.
        let newer = CloneFlags::from_bits_retain(1 << 37);
        assert_eq!(setns(&inner, newer), Err(Errno::EINVAL));
        assert_eq!(setns(&parent, CloneFlags::empty()), Err(Errno::EINVAL));
        assert_eq!(setns(&pipe, CloneFlags::empty()), Err(Errno::EINVAL));
    });
    assert_eq!(host_name(), outside);
}

#[test]
fn a_pid_namespace_is_for_the_children() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        let me = getpid();
        // SAFETY: the only thread; no descriptors are unshared.
        unsafe { unshare(CloneFlags::NEWPID) }.unwrap();
        assert_eq!(getpid(), me);
        let child = start(|| i32::from(getpid() != process::Pid::INIT));
        assert_eq!(end(child), WaitStatus::Exited(0));
    });
}

#[test]
fn unshare_has_an_error_for_what_it_cannot() {
    // SAFETY: nothing changes.
    unsafe {
        let unknown = CloneFlags::from_bits_retain(1);
        assert_eq!(unshare(unknown), Err(Errno::EINVAL));
        assert_eq!(unshare(CloneFlags::PTRACE), Err(Errno::EINVAL));
    }
    // This process has several threads.
    std::thread::scope(|threads| {
        // SAFETY: nothing changes.
        threads.spawn(|| unsafe {
            assert_eq!(unshare(CloneFlags::NEWUSER), Err(Errno::EINVAL));
            assert_eq!(unshare(CloneFlags::VM), Err(Errno::EINVAL));
        });
    });
    common::in_child(|| {
        let nobody = process::Ids {
            real: 65534,
            effective: 65534,
            saved: 65534,
        };
        // SAFETY: the only thread.
        unsafe {
            let _ = process::setresuid_thread(nobody);
            for new in [CloneFlags::NEWNS, CloneFlags::NEWUTS, CloneFlags::NEWNET] {
                assert_eq!(unshare(new), Err(Errno::EPERM), "{new:?}");
            }
        }
        assert_eq!(
            setns(open("/proc/self/ns/uts"), CloneFlags::NEWUTS),
            Err(Errno::EPERM)
        );
        assert_eq!(chroot(c"/"), Err(Errno::EPERM));
        assert_eq!(pivot_root(c"/", c"/"), Err(Errno::EPERM));
    });
}

#[test]
fn a_thread_can_have_a_table_of_descriptors_of_its_own() {
    let (mine, _writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
    // 700 and more: nobody in this process has them.
    let number = std::thread::scope(|threads| {
        let thread = threads.spawn(|| {
            // SAFETY: what it opens from now on, only it uses.
            unsafe { unshare(CloneFlags::FILES) }.unwrap();
            let new = io::fcntl_dupfd_cloexec(&mine, 700).unwrap();
            assert!(io::fcntl_getfd(&new).is_ok());
            // The end of the thread closes it with the table.
            new.into_raw_fd()
        });
        thread.join().unwrap()
    });
    // SAFETY: asked whether it is open at all.
    let here = io::fcntl_getfd(unsafe { barecall::fd::BorrowedFd::borrow_raw(number) });
    assert_eq!(here, Err(Errno::EBADF));
}

/// A directory that is a mount of its own, with `/inner` in it, in a mount
/// namespace of its own. The root is one too: that of a machine that boots from
/// RAM cannot be replaced.
fn machine() {
    // SAFETY: the only thread.
    unsafe { unshare(CloneFlags::NEWNS) }.unwrap();
    let private = MountFlags::REC | MountFlags::PRIVATE;
    mount(None, c"/", None, private, None).unwrap();
    let tmpfs = Some(c"tmpfs");
    mount(tmpfs, c"/tmp", tmpfs, MountFlags::empty(), None).unwrap();
    chdir(c"/tmp").unwrap();
    mount(Some(c"."), c"/", None, MountFlags::MOVE, None).unwrap();
    chroot(c".").unwrap();
    chdir(c"/").unwrap();
    fs::mkdirat(CWD, c"/inner", Mode::from_raw(0o755)).unwrap();
}

#[test]
fn chroot_leaves_the_working_directory_outside() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        machine();
        fs::mkdirat(CWD, c"/inner/below", Mode::from_raw(0o755)).unwrap();
        let mut buf = [0; 64];
        let outside = open("/");
        assert_eq!(chroot(c"/nothing"), Err(Errno::ENOENT));
        chroot(c"/inner").unwrap();
        assert!(
            getcwd(&mut buf)
                .unwrap()
                .to_bytes()
                .starts_with(b"(unreachable)")
        );
        chdir(c"/below").unwrap();
        assert_eq!(getcwd(&mut buf), Ok(c"/below"));
        // And with it, the way out.
        fchdir(&outside).unwrap();
        chroot(c".").unwrap();
        assert!(chdir(c"/inner/below").is_ok());
        assert_eq!(getcwd(&mut [0; 4]), Err(Errno::ERANGE));
    });
}

#[test]
fn fchroot_takes_a_descriptor_since_linux_7_3() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        machine();
        let inner = open("/inner");
        if !common::kernel_is_at_least(7, 3) {
            assert_eq!(fchroot(&inner, 0), Err(Errno::ENOSYS));
            return;
        }
        assert_eq!(fchroot(&inner, 1), Err(Errno::EINVAL));
        fchroot(&inner, 0).unwrap();
        assert_eq!(chdir(c"/inner"), Err(Errno::ENOENT));
        assert_eq!(chdir(c"/"), Ok(()));
    });
}

#[test]
fn pivot_root_replaces_the_root() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        machine();
        let same = pivot_root(c"/inner", c"/inner");
        assert_eq!(same, Err(Errno::EBUSY), "in the present root's mount");
        let tmpfs = Some(c"tmpfs");
        mount(tmpfs, c"/inner", tmpfs, MountFlags::empty(), None).unwrap();
        fs::mkdirat(CWD, c"/inner/new", Mode::from_raw(0o755)).unwrap();
        assert_eq!(
            pivot_root(c"/", c"/inner"),
            Err(Errno::EBUSY),
            "the present root"
        );
        let below = pivot_root(c"/inner/new", c"/inner/new");
        assert_eq!(below, Err(Errno::EINVAL), "not a mount");
        chdir(c"/inner").unwrap();
        pivot_root(c".", c".").unwrap();
        umount2(c".", UnmountFlags::DETACH).unwrap();
        chdir(c"/new").unwrap();
        assert_eq!(chdir(c"/inner"), Err(Errno::ENOENT));
    });
}

#[test]
fn limits_hold_and_cannot_be_raised_again_without_privilege() {
    common::in_child(|| {
        let limit = Rlimit {
            rlim_cur: 60,
            rlim_max: 61,
        };
        let before = prlimit(None, Resource::NOFILE, Some(limit)).unwrap();
        assert!(before.rlim_max >= 61);
        assert_eq!(prlimit(Some(getpid()), Resource::NOFILE, None), Ok(limit));
        let (reader, _writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
        assert_eq!(
            io::fcntl_dupfd_cloexec(&reader, 60).unwrap_err(),
            Errno::EINVAL
        );
        let upside_down = Rlimit {
            rlim_cur: 2,
            rlim_max: 1,
        };
        let error = prlimit(None, Resource::NOFILE, Some(upside_down));
        assert_eq!(error, Err(Errno::EINVAL));
        assert_eq!(
            prlimit(None, Resource::from_raw(99), None),
            Err(Errno::EINVAL)
        );
        let nobody = process::Pid::from_raw(i32::MAX);
        assert_eq!(prlimit(nobody, Resource::CPU, None), Err(Errno::ESRCH));
        let ids = process::Ids {
            real: 65534,
            effective: 65534,
            saved: 65534,
        };
        // SAFETY: the only thread.
        let _ = unsafe { process::setresuid_thread(ids) };
        let error = prlimit(None, Resource::NOFILE, Some(before));
        assert_eq!(error, Err(Errno::EPERM));
    });
}
