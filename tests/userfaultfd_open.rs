//! userfaultfd: opening, features, adopting.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::fd::{AsFd, OwnedFd};
use barecall::userfaultfd::{
    Access, Event, Features, Ioctls, MappedRegion, OpenError, RegisterModes, Userfaultfd,
    UserfaultfdOptions, Way, abi,
};
use barecall::{Errno, fs, io, nr, syscall};
use common::kernel_is_at_least;
use std::thread;
use uffd::*;

const CLOEXEC: u32 = 0o2000000;
const NONBLOCK: u32 = 0o4000;

fn raw(flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: a new descriptor, ours.
    unsafe {
        syscall!(nr::USERFAULTFD, flags).map(|fd| OwnedFd::from_raw_fd(fd.try_into().unwrap()))
    }
}

fn api(fd: &OwnedFd, features: u64) -> (Result<usize, Errno>, abi::UffdioApi) {
    let mut api = abi::UffdioApi {
        api: abi::UFFD_API,
        features,
        ioctls: 0,
    };
    // SAFETY: a userfaultfd, and the structure that it takes.
    let result = unsafe { io::ioctl(fd, abi::UFFDIO_API, &raw mut api) };
    (result, api)
}

fn device() -> bool {
    std::fs::exists("/dev/userfaultfd").unwrap()
}

/// UFD-001: unknown flags.
#[test]
fn unknown_flags_are_einval() {
    for flags in [2, 0o2000, !0] {
        assert_eq!(raw(flags).unwrap_err(), Errno::EINVAL);
    }
}

/// UFD-002: the flags of the descriptor, and of what it is. Close-on-exec is
/// not optional.
#[test]
fn a_userfaultfd_is_close_on_exec_and_non_blocking() {
    let uffd = plain();
    assert_eq!(io::fcntl_getfd(&uffd).unwrap(), io::FdFlags::CLOEXEC);
    assert_eq!(fs::fcntl_getfl(&uffd).unwrap().bits(), NONBLOCK);
    let blocking = UserfaultfdOptions::new()
        .access(Access::Kernel)
        .blocking(true);
    let blocking = blocking.open_any().unwrap().userfaultfd;
    assert_eq!(io::fcntl_getfd(&blocking).unwrap(), io::FdFlags::CLOEXEC);
    assert_eq!(fs::fcntl_getfl(&blocking).unwrap().bits(), 0);
}

/// UFD-003: what it is called.
#[test]
fn it_is_an_anonymous_inode_of_its_name() {
    let uffd = plain();
    let path = format!("/proc/self/fd/{}", uffd.as_fd().as_raw_fd());
    let link = std::fs::read_link(&path).unwrap();
    assert_eq!(link.to_str(), Some("anon_inode:[userfaultfd]"));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// UFD-002: user mode only is the default, and never widened: before 5.11,
/// where there is none, it is an error. (userfaultfd-rs opens one without.)
#[test]
fn user_mode_is_never_widened() {
    let opened = UserfaultfdOptions::new().open_syscall();
    if kernel_is_at_least(5, 11) {
        assert_eq!(opened.unwrap().way, Way::Syscall);
    } else {
        let expected = OpenError::Open {
            syscall: Some(Errno::EINVAL),
            device: None,
        };
        assert_eq!(opened.unwrap_err(), expected);
        let expected = OpenError::Open {
            syscall: Some(Errno::EINVAL),
            device: Some(Errno::ENOENT),
        };
        let any = UserfaultfdOptions::new().open_any();
        assert_eq!(any.unwrap_err(), expected);
    }
}

/// A fault of the kernel's is EFAULT for one of user mode.
#[test]
fn user_mode_makes_a_system_call_efault() {
    watchdog();
    let Ok(opened) = UserfaultfdOptions::new().open_any() else {
        assert!(!kernel_is_at_least(5, 11));
        return;
    };
    let region = pages(&opened.userfaultfd, 1, RegisterModes::MISSING);
    let (_reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    // SAFETY: an error, or one byte read.
    let result = unsafe { syscall!(nr::WRITE, writer.as_fd(), region.as_ptr(), 1) };
    assert_eq!(result, Err(Errno::EFAULT));
    quiet(&opened.userfaultfd);
}

/// UFD-004, UFD-005: without privilege, user mode only.
#[test]
fn without_privilege_there_is_user_mode() {
    let sysctl = std::fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd").unwrap();
    let (kernel, user) = unprivileged(|| {
        let options = UserfaultfdOptions::new();
        (
            options.access(Access::Kernel).open_syscall().map(drop),
            options.open_syscall().map(drop),
        )
    });
    let refused = |errno| {
        Err(OpenError::Open {
            syscall: Some(errno),
            device: None,
        })
    };
    if sysctl.trim() == "0" {
        assert_eq!(kernel, refused(Errno::EPERM));
    } else {
        assert_eq!(kernel, Ok(()));
    }
    if kernel_is_at_least(5, 11) {
        assert_eq!(user, Ok(()));
    } else {
        assert_eq!(user, refused(Errno::EINVAL));
    }
}

/// userfaultfd-rs falls back for ENOENT only, and does not tell both reasons.
#[test]
fn when_both_ways_fail_both_reasons_are_told() {
    let sysctl = std::fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd").unwrap();
    let opened = unprivileged(|| {
        let options = UserfaultfdOptions::new().access(Access::Kernel);
        options.open_any().map(|opened| opened.way)
    });
    if sysctl.trim() != "0" {
        // The default of 5.10.
        assert_eq!(opened, Ok(Way::Syscall));
        return;
    }
    let error = opened.unwrap_err();
    let expected = OpenError::Open {
        syscall: Some(Errno::EPERM),
        device: Some(if device() {
            Errno::EACCES
        } else {
            Errno::ENOENT
        }),
    };
    assert_eq!(error, expected);
    assert_eq!(error.errno(), Errno::EPERM);
    assert!(error.to_string().contains("/dev/userfaultfd: E"));
}

/// UFD-007: the device.
#[test]
fn the_device_gives_a_userfaultfd() {
    let opened = UserfaultfdOptions::new()
        .require(Features::THREAD_ID)
        .want(Features::EVENT_REMAP)
        .open_device();
    if !device() {
        let expected = OpenError::Open {
            syscall: None,
            device: Some(Errno::ENOENT),
        };
        assert_eq!(opened.unwrap_err(), expected);
        return;
    }
    let opened = opened.unwrap();
    assert_eq!(opened.way, Way::Device);
    let features = Features::THREAD_ID | Features::EVENT_REMAP;
    assert_eq!(opened.userfaultfd.features(), features);
    assert_eq!(
        io::fcntl_getfd(&opened.userfaultfd).unwrap(),
        io::FdFlags::CLOEXEC
    );
}

/// UFD-012: a feature that no kernel has.
#[test]
fn an_unknown_feature_is_told_as_missing_or_dropped() {
    let fd = raw(CLOEXEC).expect("root");
    let (result, answer) = api(&fd, 1 << 63);
    assert_eq!(result, Err(Errno::EINVAL));
    assert_eq!((answer.api, answer.features, answer.ioctls), (0, 0, 0));
    // The same descriptor may try again; UFD-012.
    assert_eq!(api(&fd, 0).0, Ok(0));

    let unknown = Features::from_bits_retain(1 << 63);
    let options = UserfaultfdOptions::new().access(Access::Kernel);
    let error = options.require(unknown | Features::THREAD_ID).open_any();
    assert_eq!(error.unwrap_err(), OpenError::Missing(unknown));
    let opened = options
        .want(unknown | Features::THREAD_ID)
        .open_any()
        .unwrap();
    assert_eq!(opened.dropped, unknown);
    assert_eq!(opened.userfaultfd.features(), Features::THREAD_ID);
}

/// UFD-013: what each kernel has, exactly.
#[test]
fn the_features_of_each_kernel_are_known() {
    let support = support();
    let aarch64 = cfg!(target_arch = "aarch64");
    let claimed = match common::kernel_version() {
        (5, 10) => 0x1ff,
        (6, 1) if aarch64 => 0xffe,
        (6, 1) => 0x1fff,
        version if ((6, 12)..(7, 3)).contains(&version) => 0x1_ffff,
        (7, 3) => 0x7_ffff,
        version => skip!("not known for {version:?}: {support:?}"),
    };
    assert_eq!(support.claimed.bits(), claimed);
    let lie = aarch64 && common::kernel_version() == (5, 10);
    assert_eq!(support.features.bits(), if lie { 0x1fe } else { claimed });
    let ioctls = Ioctls::API | Ioctls::REGISTER | Ioctls::UNREGISTER;
    if kernel_is_at_least(7, 3) {
        assert_eq!(support.ioctls, ioctls | Ioctls::SET_MODE);
        assert_eq!(support.ioctls.bits(), 0x8000_0000_0000_0403);
    } else {
        assert_eq!(support.ioctls, ioctls);
        assert_eq!(support.ioctls.bits(), 0x8000_0000_0000_0003);
    }
}

/// aarch64's 5.10 says that it write-protects, and traps nothing: not believed,
/// and not registered.
#[test]
fn write_protection_that_is_only_claimed_is_not_believed() {
    let uffd = plain();
    let wp = MappedRegion::anonymous(&uffd, page_size(), RegisterModes::WP);
    let options = UserfaultfdOptions::new().access(Access::Kernel);
    let required = options.require(Features::PAGEFAULT_FLAG_WP).open_any();
    let wanted = options
        .want(Features::PAGEFAULT_FLAG_WP)
        .open_any()
        .unwrap();
    if has(Features::PAGEFAULT_FLAG_WP) {
        assert!(wp.is_ok() && required.is_ok());
        assert_eq!(wanted.dropped, Features::empty());
    } else {
        assert!(cfg!(target_arch = "aarch64") && !kernel_is_at_least(6, 10));
        assert_eq!(wp.unwrap_err(), Errno::EINVAL);
        let missing = OpenError::Missing(Features::PAGEFAULT_FLAG_WP);
        assert_eq!(required.unwrap_err(), missing);
        assert_eq!(wanted.dropped, Features::PAGEFAULT_FLAG_WP);
    }
}

/// UFD-017; and the handshake is made once, even one that asks for nothing.
#[test]
fn a_handshake_is_made_once() {
    let fd = raw(CLOEXEC | NONBLOCK).unwrap();
    // SAFETY: an error.
    let null = unsafe { io::ioctl(&fd, abi::UFFDIO_API, 0) };
    assert_eq!(null, Err(Errno::EFAULT));
    assert_eq!(io::read(&fd, &mut [0; 32]), Err(Errno::EINVAL));
    assert_eq!(api(&fd, 0).0, Ok(0));
    assert_eq!(api(&fd, 0).0, Err(Errno::EINVAL));
}

/// Features that go together, and EVENT_FORK without the capability.
#[test]
fn event_fork_without_the_capability_is_dropped_or_missing() {
    if !kernel_is_at_least(5, 11) {
        // Nothing can be opened without privilege.
        return;
    }
    let features = Features::EVENT_FORK | Features::EVENT_UNMAP;
    let (wanted, required) = unprivileged(|| {
        let options = UserfaultfdOptions::new();
        (
            options.want(features).open_syscall(),
            options.require(features).open_syscall(),
        )
    });
    let wanted = wanted.unwrap();
    assert_eq!(wanted.dropped, Features::EVENT_FORK);
    assert_eq!(wanted.userfaultfd.features(), Features::EVENT_UNMAP);
    let missing = OpenError::Missing(Features::EVENT_FORK);
    assert_eq!(required.unwrap_err(), missing);
}

/// RWP_ASYNC needs RWP; the kernel says so and we pass it on.
#[test]
fn rwp_async_without_rwp_is_einval() {
    let options = UserfaultfdOptions::new().access(Access::Kernel);
    let error = options.require(Features::RWP_ASYNC).open_any().unwrap_err();
    if has(Features::RWP_ASYNC) {
        assert_eq!(error, OpenError::Handshake(Errno::EINVAL));
    } else {
        assert_eq!(error, OpenError::Missing(Features::RWP_ASYNC));
    }
}

/// A descriptor that was received: its features come from /proc, and it fills,
/// but does not register memory of who received it.
#[test]
fn an_adopted_descriptor_fills_and_knows_its_features() {
    let sent = open(Features::THREAD_ID | Features::EVENT_REMAP);
    let features = sent.features();
    let region = pages(&sent, 1, RegisterModes::MISSING);
    let received = Userfaultfd::adopt_from_fdinfo(OwnedFd::from(sent)).unwrap();
    assert_eq!(received.features(), features);
    thread::scope(|scope| {
        let faulter = scope.spawn(|| peek(&region, 0));
        match next(&received) {
            Event::Missing(fault) => fault.copy(&filled(5)).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(faulter.join().unwrap(), 5);
    });
    let own = MappedRegion::anonymous(&received, page_size(), RegisterModes::MISSING);
    assert_eq!(own.unwrap_err(), Errno::EINVAL);
    // SAFETY: it is one.
    let again = unsafe { Userfaultfd::adopt(OwnedFd::from(received), features) };
    assert_eq!(again.features(), features);
}

/// Not everything is a userfaultfd, or ready for use.
#[test]
fn adopting_anything_else_is_einval_and_gives_it_back() {
    let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let number = reader.as_raw_fd();
    let (back, errno) = Userfaultfd::adopt_from_fdinfo(reader).unwrap_err();
    assert_eq!((back.as_raw_fd(), errno), (number, Errno::EINVAL));
    let (_back, errno) = Userfaultfd::adopt_from_fdinfo(raw(CLOEXEC).unwrap()).unwrap_err();
    assert_eq!(errno, Errno::EINVAL);
}

/// The facts about `poll`: not for a blocking one, and quiet without a fault.
#[test]
fn a_blocking_userfaultfd_cannot_be_polled() {
    use barecall::event::{PollFd, PollFlags, poll};
    let revents = |uffd: &Userfaultfd| {
        let mut fds = [PollFd::new(uffd, PollFlags::IN)];
        let zero = barecall::time::Timespec::default();
        let n = poll(&mut fds, Some(zero)).unwrap();
        (n, fds[0].revents())
    };
    assert_eq!(revents(&plain()), (0, PollFlags::empty()));
    let options = UserfaultfdOptions::new().access(Access::Kernel);
    let blocking = options.blocking(true).open_any().unwrap().userfaultfd;
    assert_eq!(revents(&blocking), (1, PollFlags::ERR));
}

/// The kernel adds a feature by itself.
#[test]
fn asynchronous_protection_says_what_comes_with_it() {
    let options = UserfaultfdOptions::new().access(Access::Kernel);
    let opened = options.want(Features::WP_ASYNC).open_any().unwrap();
    let features = opened.userfaultfd.features();
    let brought = features.contains(Features::WP_UNPOPULATED);
    assert_eq!(brought, features.contains(Features::WP_ASYNC));
    assert_eq!(opened.dropped, Features::WP_ASYNC.difference(features));
    let received = Userfaultfd::adopt_from_fdinfo(OwnedFd::from(opened.userfaultfd)).unwrap();
    assert_eq!(received.features(), features);
}
