//! `system`: what can be tried without ending the machine.

mod common;

use barecall::fd::OwnedFd;
use barecall::fs::{self, CWD, Mode, OFlags};
use barecall::process::{CloneFlags, Ids, setresuid_thread, unshare};
use barecall::system::{self, ModuleFlags, RebootCommand, SwapFlags, Sysinfo};
use barecall::{Errno, io};
use std::ffi::{CStr, CString};
use std::path::Path;

const CAP_SYS_MODULE: u32 = 16;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_BOOT: u32 = 22;
const CAP_SYSLOG: u32 = 34;

/// Whether a capability counts for the whole machine: it does not in a user
/// namespace.
fn has_machine_capability(number: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let all = map.split_whitespace().eq(["0", "0", "4294967295"]);
    all && common::has_capability(number)
}

/// Makes this process, a forked child, nobody's, and makes sure of it.
fn give_up_privileges() {
    let nobody = Ids {
        real: 65534,
        effective: 65534,
        saved: 65534,
    };
    // SAFETY: the only thread. Who may not, has none.
    let _ = unsafe { setresuid_thread(nobody) };
    for capability in [CAP_SYS_MODULE, CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYSLOG] {
        assert!(!common::has_capability(capability), "{capability}");
    }
}

/// A number that the kernel tells in a file.
fn told(path: &str) -> Option<i64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap()
}

/// What the kernel says to a wrong argument, by whether a right one would do.
fn refusal(capability: u32) -> Result<(), Errno> {
    if common::has_capability(capability) {
        Err(Errno::EINVAL)
    } else {
        Err(Errno::EPERM)
    }
}

#[test]
fn sync_returns() {
    system::sync();
}

#[test]
fn a_host_name_of_more_than_64_bytes_is_refused() {
    assert_eq!(system::sethostname(&[b'x'; 65]), refusal(CAP_SYS_ADMIN));
}

#[test]
fn a_reboot_command_that_does_not_exist_is_refused() {
    assert_eq!(
        system::reboot(RebootCommand::from_raw(0x7777_7777)),
        refusal(CAP_SYS_BOOT)
    );
}

#[test]
fn what_is_for_root_is_eperm_to_others() {
    common::in_child(|| {
        give_up_privileges();
        assert_eq!(system::sethostname(b"barecall"), Err(Errno::EPERM));
        assert_eq!(system::setdomainname(b"barecall"), Err(Errno::EPERM));
        for level in [0, 1, 8, 9] {
            assert_eq!(system::syslog_console_level(level), Err(Errno::EPERM));
        }
        // Neither can be reached by who has no capability.
        let command = RebootCommand::from_raw(0x7777_7777);
        assert_eq!(system::reboot(command), Err(Errno::EPERM));
        assert_eq!(system::reboot_with(c"barecall"), Err(Errno::EPERM));

        let (swap, module) = (has_swap(), has_modules());
        let none = SwapFlags::empty();
        let refused = |has| Err(if has { Errno::EPERM } else { Errno::ENOSYS });
        assert_eq!(system::swapon(c"/no/such/file", none), refused(swap));
        assert_eq!(system::swapoff(c"/no/such/file"), refused(swap));
        let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        // SAFETY: a pipe is no module.
        let result = unsafe { system::finit_module(&reader, c"", ModuleFlags::empty()) };
        assert_eq!(result, refused(module));
    });
}

#[test]
fn names_of_the_machine_are_those_of_its_namespace() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    let before = system::uname().unwrap();
    common::in_child(|| {
        // SAFETY: the only thread; no descriptors are unshared.
        unsafe { unshare(CloneFlags::NEWUTS) }.unwrap();
        let longest = [b'x'; 64];
        for name in [&b"barecall"[..], b"", &longest, b"two words"] {
            let domain: Vec<u8> = name.iter().rev().copied().collect();
            system::sethostname(name).unwrap();
            system::setdomainname(&domain).unwrap();
            let now = system::uname().unwrap();
            assert_eq!(now.nodename().to_bytes(), name);
            assert_eq!(now.domainname().to_bytes(), &domain);
        }
        // One does not change the other, nor does what is refused.
        system::setdomainname(b"domain").unwrap();
        assert_eq!(system::setdomainname(&[b'y'; 65]), Err(Errno::EINVAL));
        assert_eq!(system::sethostname(&[b'y'; 65]), Err(Errno::EINVAL));
        common::zeros_of(1 << 32 | 3, |name: &mut [u8]| {
            assert_eq!(system::sethostname(name), Err(Errno::EINVAL));
            assert_eq!(system::setdomainname(name), Err(Errno::EINVAL));
        });
        let now = system::uname().unwrap();
        assert_eq!(now.nodename().to_bytes(), b"two words");
        assert_eq!(now.domainname(), c"domain");
    });
    let after = system::uname().unwrap();
    assert_eq!(after.nodename(), before.nodename());
    assert_eq!(after.domainname(), before.domainname());
}

#[test]
fn uname_is_that_of_libc() {
    // SAFETY: a structure of bytes, which the call fills.
    let theirs = unsafe {
        let mut name: libc::utsname = core::mem::zeroed();
        assert_eq!(libc::uname(&raw mut name), 0);
        name
    };
    let ours = system::uname().unwrap();
    for (ours, theirs) in [
        (ours.sysname(), theirs.sysname.as_ptr()),
        (ours.nodename(), theirs.nodename.as_ptr()),
        (ours.release(), theirs.release.as_ptr()),
        (ours.version(), theirs.version.as_ptr()),
        (ours.machine(), theirs.machine.as_ptr()),
        (ours.domainname(), theirs.domainname.as_ptr()),
    ] {
        // SAFETY: the kernel ends each with a NUL.
        assert_eq!(ours, unsafe { CStr::from_ptr(theirs) });
    }
    assert_eq!(ours.machine().to_str(), Ok(std::env::consts::ARCH));
    let shown = format!("{ours:?}");
    assert!(
        shown.starts_with(r#"Utsname { sysname: "Linux", nodename: ""#),
        "{shown}"
    );
}

#[test]
fn sysinfo_is_that_of_libc() {
    let theirs = || {
        // SAFETY: numbers, which the call fills.
        unsafe {
            let mut info: libc::sysinfo = core::mem::zeroed();
            assert_eq!(libc::sysinfo(&raw mut info), 0);
            info
        }
    };
    let before = theirs();
    let ours: Sysinfo = system::sysinfo().unwrap();
    let after = theirs();
    assert!((before.uptime..=after.uptime).contains(&ours.uptime));
    assert_eq!(ours.mem_unit, before.mem_unit);
    // A machine's memory can grow and shrink.
    if before.totalram == after.totalram {
        assert_eq!(ours.totalram, before.totalram);
    }
    assert_eq!((ours.totalhigh, ours.freehigh), (0, 0));
    assert!(ours.freeram <= ours.totalram && ours.freeswap <= ours.totalswap);
    assert!(ours.mem_unit > 0 && ours.procs > 0);
}

/// A kernel can be built without.
fn has_swap() -> bool {
    Path::new("/proc/swaps").exists()
}

#[test]
fn what_is_no_swap_space_is_not_swapped_to() {
    if !has_machine_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    let dir = tempfile::tempdir().unwrap();
    let zeros = dir.path().join("zeros");
    std::fs::write(&zeros, [0; 64 << 10]).unwrap();
    let (zeros, dir, none) = (path(&zeros), path(dir.path()), SwapFlags::empty());
    let refused = |errno| Err(if has_swap() { errno } else { Errno::ENOSYS });
    // Without the signature; in memory, it could not be either.
    assert_eq!(system::swapon(&zeros, none), refused(Errno::EINVAL));
    assert_eq!(system::swapoff(&zeros), refused(Errno::EINVAL));
    let unknown = SwapFlags::from_bits_retain(1 << 30);
    assert_eq!(system::swapon(&zeros, unknown), refused(Errno::EINVAL));
    for (path, errno) in [
        (c"/no/such/file", Errno::ENOENT),
        (c"", Errno::ENOENT),
        (&dir, Errno::EISDIR),
        (c"/proc/self/exe/x", Errno::ENOTDIR),
    ] {
        assert_eq!(system::swapon(path, none), refused(errno), "{path:?}");
        assert_eq!(system::swapoff(path), refused(errno), "{path:?}");
    }
}

/// A kernel can be built without.
fn has_modules() -> bool {
    Path::new("/proc/modules").exists()
}

#[test]
fn what_is_no_module_is_not_loaded() {
    if !has_machine_capability(CAP_SYS_MODULE) {
        skip!("needs CAP_SYS_MODULE");
    }
    // Alone in a process: a file that somebody else's child still has open for
    // writing would be busy.
    common::in_child(|| {
        let expected = |errno| {
            Err(match told("/proc/sys/kernel/modules_disabled") {
                _ if !has_modules() => Errno::ENOSYS,
                Some(1) => Errno::EPERM,
                _ => errno,
            })
        };
        let dir = tempfile::tempdir().unwrap();
        let open = |text: &str| {
            let file = dir.path().join("module");
            std::fs::write(&file, text).unwrap();
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            fs::openat(CWD, &path(&file), flags, Mode::empty()).unwrap()
        };
        let load = |fd: &OwnedFd, flags| {
            // SAFETY: no kernel takes what these descriptors hold for a module.
            unsafe { system::finit_module(fd, c"", flags) }
        };
        let none = ModuleFlags::empty();
        let text = open("this is no module\n");
        assert_eq!(load(&text, none), expected(Errno::ENOEXEC));
        let unknown = ModuleFlags::from_bits_retain(1 << 31);
        assert_eq!(load(&text, unknown), expected(Errno::EINVAL));
        drop(text);
        assert_eq!(load(&open(""), none), expected(Errno::EINVAL));
        let (reader, _writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        assert_eq!(load(&reader, none), expected(Errno::EINVAL));
    });
}

#[test]
fn the_kernel_s_log_is_read_by_who_may() {
    fn read() {
        let restricted = told("/proc/sys/kernel/dmesg_restrict") == Some(1);
        let allowed = !restricted || has_machine_capability(CAP_SYSLOG);
        let mut log = vec![0; 1 << 20];
        for len in [0, 1 << 20] {
            match system::syslog_read_all(&mut log[..len]) {
                Ok(read) => {
                    assert!(allowed && read <= len);
                    // A line begins with its level.
                    assert!(read == 0 || log[0] == b'<');
                }
                Err(errno) => assert_eq!((errno, allowed), (Errno::EPERM, false)),
            }
        }
    }
    read();
    common::in_child(|| {
        give_up_privileges();
        read();
    });
}

#[test]
fn the_console_has_eight_levels() {
    if !has_machine_capability(CAP_SYSLOG) {
        skip!("needs CAP_SYSLOG");
    }
    for level in [0, 9, u32::MAX] {
        let refused = system::syslog_console_level(level);
        assert_eq!(refused, Err(Errno::EINVAL), "{level}");
    }
    // The level that it has.
    let printk = "/proc/sys/kernel/printk";
    let level = told(printk).unwrap();
    if (1..=8).contains(&level) {
        system::syslog_console_level(level as u32).unwrap();
        assert_eq!(told(printk), Some(level));
    }
}

#[test]
fn a_selector_is_told_by_its_name_or_its_number() {
    assert_eq!(format!("{:?}", RebootCommand::HALT), "RebootCommand(HALT)");
    assert_eq!(
        format!("{:?}", RebootCommand::from_raw(7)),
        "RebootCommand(7)"
    );
    assert_eq!(RebootCommand::from_raw(0), RebootCommand::CAD_OFF);
    assert_eq!(RebootCommand::KEXEC.as_raw(), 0x4558_4543);
}
