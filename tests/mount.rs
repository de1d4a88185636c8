//! `mount`: what the kernel says to calls that can do no harm; and the calls by
//! descriptor, in a mount namespace that nobody else sees.

mod common;

use barecall::Errno;
use barecall::fd::OwnedFd;
use barecall::fs::{self, CWD, Mode, OFlags};
use barecall::io::{self, FdFlags};
use barecall::mount::{
    FsConfig, FsmountFlags, FsopenFlags, FspickFlags, LSMT_ROOT, MountAttr, MountAttrFlags,
    MountFlags, MoveMountFlags, OpenTreeFlags, StatmountMask, UnmountFlags, fsconfig, fsmount,
    fsopen, fspick, listmount, mount, mount_setattr, move_mount, open_tree, open_tree_attr,
    statmount, umount2,
};
use barecall::process::{self, CloneFlags};
use std::ffi::CStr;

const CAP_SYS_ADMIN: u32 = 21;

/// What the kernel says to a call that is wrong, by whether it could be right.
fn refusal(privileged: Errno) -> Result<(), Errno> {
    if common::has_capability(CAP_SYS_ADMIN) {
        Err(privileged)
    } else {
        Err(Errno::EPERM)
    }
}

#[test]
fn an_unknown_file_system_is_enodev_or_eperm_without_the_privilege() {
    let mounted = mount(
        Some(c"none"),
        c"/",
        Some(c"no-such-file-system"),
        MountFlags::empty(),
        None,
    );
    assert_eq!(mounted, refusal(Errno::ENODEV));
}

#[test]
fn a_target_that_does_not_exist_is_enoent() {
    let mounted = mount(
        Some(c"none"),
        c"/no/such/directory",
        Some(c"tmpfs"),
        MountFlags::empty(),
        None,
    );
    assert_eq!(mounted, Err(Errno::ENOENT));
    assert_eq!(
        umount2(c"/no/such/directory", UnmountFlags::empty()),
        Err(Errno::ENOENT)
    );
}

#[test]
fn unmounting_what_is_not_a_mount_point_is_einval() {
    assert_eq!(
        umount2(c"/proc/self", UnmountFlags::NOFOLLOW),
        refusal(Errno::EINVAL)
    );
}

/// In a forked child: a mount namespace of its own, from which no mount gets
/// out, with an empty tmpfs on /tmp.
fn apart() {
    // SAFETY: the only thread of this process.
    unsafe { process::unshare(CloneFlags::NEWNS) }.unwrap();
    let private = MountFlags::REC | MountFlags::PRIVATE;
    mount(None, c"/", None, private, None).unwrap();
    let tmpfs = Some(c"tmpfs");
    mount(tmpfs, c"/tmp", tmpfs, MountFlags::empty(), None).unwrap();
}

fn directory(path: &CStr) {
    fs::mkdirat(CWD, path, Mode::from_raw(0o755)).unwrap();
}

/// A tmpfs that is nowhere yet.
fn detached() -> OwnedFd {
    let fs = fsopen(c"tmpfs", FsopenFlags::CLOEXEC).unwrap();
    fsconfig(&fs, FsConfig::Create).unwrap();
    fsmount(&fs, FsmountFlags::CLOEXEC, MountAttrFlags::empty()).unwrap()
}

fn attach(tree: &OwnedFd, path: &CStr) -> Result<(), Errno> {
    move_mount(tree, c"", CWD, path, MoveMountFlags::F_EMPTY_PATH)
}

fn write(path: &CStr) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREAT | OFlags::CLOEXEC;
    fs::openat(CWD, path, flags, Mode::from_raw(0o644)).map(|_| ())
}

fn exists(path: &CStr) -> bool {
    fs::statat(CWD, path, fs::AtFlags::empty()).is_ok()
}

/// The number of a mount that is never used again, since Linux 6.8.
fn unique_id(path: &CStr) -> u64 {
    let mask = fs::StatxMask::MNT_ID_UNIQUE;
    let stat = fs::statx(CWD, path, fs::AtFlags::empty(), mask).unwrap();
    stat.stx_mnt_id
}

#[test]
fn a_file_system_is_made_configured_and_put_somewhere() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        apart();
        directory(c"/tmp/here");
        assert_eq!(
            fsopen(c"no-such-file-system", FsopenFlags::CLOEXEC).unwrap_err(),
            Errno::ENODEV
        );
        let unknown = FsopenFlags::from_bits_retain(1 << 20);
        assert_eq!(fsopen(c"tmpfs", unknown).unwrap_err(), Errno::EINVAL);

        let fs = fsopen(c"tmpfs", FsopenFlags::CLOEXEC).unwrap();
        assert_eq!(io::fcntl_getfd(&fs), Ok(FdFlags::CLOEXEC));
        let bad = fsconfig(&fs, FsConfig::String(c"no-such-option", c"x"));
        assert_eq!(bad, Err(Errno::EINVAL));
        // What it has to say about that.
        let mut message = [0; 128];
        let len = io::read(&fs, &mut message).unwrap();
        assert!(message[..len].starts_with(b"e "), "{:?}", &message[..len]);
        let early = fsmount(&fs, FsmountFlags::CLOEXEC, MountAttrFlags::empty());
        assert_eq!(early.unwrap_err(), Errno::EINVAL, "there is none yet");

        fsconfig(&fs, FsConfig::String(c"size", c"64k")).unwrap();
        fsconfig(&fs, FsConfig::String(c"mode", c"0700")).unwrap();
        fsconfig(&fs, FsConfig::Flag(c"ro")).unwrap();
        fsconfig(&fs, FsConfig::Flag(c"rw")).unwrap();
        fsconfig(&fs, FsConfig::Create).unwrap();
        assert_eq!(fsconfig(&fs, FsConfig::Create), Err(Errno::EBUSY));
        let newer = MountAttrFlags::from_bits_retain(1 << 32);
        let without = fsmount(&fs, FsmountFlags::CLOEXEC, newer);
        assert_eq!(without.unwrap_err(), Errno::EINVAL);
        let attributes = MountAttrFlags::NOEXEC | MountAttrFlags::NODEV;
        let tree = fsmount(&fs, FsmountFlags::CLOEXEC, attributes).unwrap();
        let again = fsmount(&fs, FsmountFlags::CLOEXEC, attributes);
        assert_eq!(again.unwrap_err(), Errno::EBUSY);
        assert_eq!(io::fcntl_getfd(&tree), Ok(FdFlags::CLOEXEC));
        attach(&tree, c"/tmp/here").unwrap();
        let stat = fs::statat(CWD, c"/tmp/here", fs::AtFlags::empty()).unwrap();
        assert_eq!(stat.st_mode & 0o777, 0o700);
        write(c"/tmp/here/file").unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.contains(" /tmp/here "));
        let line = line.expect("it is mounted");
        assert!(
            line.contains("nodev,noexec") && line.contains("size=64k"),
            "{line}"
        );

        // And changed, by the root of the mount alone.
        let picked = fspick(CWD, c"/tmp/here", FspickFlags::CLOEXEC).unwrap();
        fsconfig(&picked, FsConfig::String(c"size", c"128k")).unwrap();
        fsconfig(&picked, FsConfig::Reconfigure).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(mounts.contains("size=128k"), "{mounts}");
        let below = fspick(CWD, c"/tmp/here/file", FspickFlags::CLOEXEC);
        assert_eq!(below.unwrap_err(), Errno::EINVAL);
        let excl = fsopen(c"tmpfs", FsopenFlags::CLOEXEC).unwrap();
        let knows = common::kernel_is_at_least(6, 6);
        let answer = fsconfig(&excl, FsConfig::CreateExcl);
        assert_eq!(
            answer,
            if knows {
                Ok(())
            } else {
                Err(Errno::EOPNOTSUPP)
            }
        );
    });
}

#[test]
fn a_mount_is_copied_moved_and_gone_with_its_descriptor() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        apart();
        for path in [c"/tmp/a", c"/tmp/b", c"/tmp/c"] {
            directory(path);
        }
        attach(&detached(), c"/tmp/a").unwrap();
        write(c"/tmp/a/file").unwrap();

        let flags = OpenTreeFlags::CLONE | OpenTreeFlags::CLOEXEC;
        let copy = open_tree(CWD, c"/tmp/a", flags).unwrap();
        assert_eq!(io::fcntl_getfd(&copy), Ok(FdFlags::CLOEXEC));
        let inside = fs::openat(&copy, c"file", OFlags::CLOEXEC, Mode::empty());
        assert!(inside.is_ok(), "it can be used while it is nowhere");
        attach(&copy, c"/tmp/b").unwrap();
        assert!(exists(c"/tmp/b/file"));

        let same = open_tree(CWD, c"/tmp/b", OpenTreeFlags::CLOEXEC).unwrap();
        attach(&same, c"/tmp/c").unwrap();
        assert!(exists(c"/tmp/c/file") && !exists(c"/tmp/b/file"));

        let unknown = OpenTreeFlags::from_bits_retain(1 << 30);
        assert_eq!(open_tree(CWD, c"/tmp", unknown).unwrap_err(), Errno::EINVAL);
        let nothing = open_tree(CWD, c"/tmp/nothing", OpenTreeFlags::empty());
        assert_eq!(nothing.unwrap_err(), Errno::ENOENT);
        let not_a_mount = open_tree(CWD, c"/tmp/b", OpenTreeFlags::CLOEXEC).unwrap();
        assert_eq!(attach(&not_a_mount, c"/tmp/a"), Err(Errno::EINVAL));
        // Into itself.
        directory(c"/tmp/c/below");
        assert_eq!(attach(&same, c"/tmp/c/below"), Err(Errno::ELOOP));

        let beneath = MoveMountFlags::F_EMPTY_PATH | MoveMountFlags::BENEATH;
        let answer = move_mount(detached(), c"", CWD, c"/tmp/c", beneath);
        if common::kernel_is_at_least(6, 5) {
            answer.unwrap();
            assert!(exists(c"/tmp/c/file"), "still on top");
            // `same` is it, and keeps it busy.
            assert_eq!(umount2(c"/tmp/c", UnmountFlags::empty()), Err(Errno::EBUSY));
            umount2(c"/tmp/c", UnmountFlags::DETACH).unwrap();
            assert!(!exists(c"/tmp/c/file"));
        } else {
            assert_eq!(answer, Err(Errno::EINVAL));
        }
    });
}

#[test]
fn what_holds_for_a_mount_is_changed_and_for_those_below() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        apart();
        directory(c"/tmp/below");
        attach(&detached(), c"/tmp/below").unwrap();
        let set = |flags: MountAttrFlags| MountAttr {
            attr_set: flags.bits(),
            ..MountAttr::default()
        };
        let read_only = set(MountAttrFlags::RDONLY);
        let none = fs::AtFlags::empty();
        if !common::kernel_is_at_least(5, 12) {
            let answer = mount_setattr(CWD, c"/tmp", none, &read_only);
            assert_eq!(answer, Err(Errno::ENOSYS));
            return;
        }
        mount_setattr(CWD, c"/tmp", none, &read_only).unwrap();
        assert_eq!(write(c"/tmp/x"), Err(Errno::EROFS));
        assert_eq!(write(c"/tmp/below/x"), Ok(()));
        mount_setattr(CWD, c"/tmp", fs::AtFlags::RECURSIVE, &read_only).unwrap();
        assert_eq!(write(c"/tmp/below/x"), Err(Errno::EROFS));
        let writable = MountAttr {
            attr_clr: MountAttrFlags::RDONLY.bits(),
            propagation: u64::from(MountFlags::SHARED.bits()),
            ..MountAttr::default()
        };
        mount_setattr(CWD, c"/tmp/below", none, &writable).unwrap();
        assert_eq!(write(c"/tmp/below/x"), Ok(()));
        let info = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = info
            .lines()
            .find(|line| line.contains(" /tmp/below "))
            .unwrap();
        assert!(line.contains("shared:"), "{line}");

        let open = fs::openat(CWD, c"/tmp/below/x", OFlags::WRONLY, Mode::empty()).unwrap();
        let busy = mount_setattr(CWD, c"/tmp/below", none, &read_only);
        assert_eq!(busy, Err(Errno::EBUSY));
        drop(open);
        // NOATIME and the others are one value, of which the old is cleared.
        let times = set(MountAttrFlags::NOATIME);
        assert_eq!(
            mount_setattr(CWD, c"/tmp", none, &times),
            Err(Errno::EINVAL)
        );
        let no_mount = mount_setattr(CWD, c"/proc/self", none, &read_only);
        assert_eq!(no_mount, Err(Errno::EINVAL));
    });
}

#[test]
fn a_copy_is_changed_before_anybody_sees_it_since_linux_6_15() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        apart();
        directory(c"/tmp/copy");
        let attr = MountAttr {
            attr_set: MountAttrFlags::RDONLY.bits(),
            ..MountAttr::default()
        };
        let flags = OpenTreeFlags::CLONE | OpenTreeFlags::CLOEXEC;
        let answer = open_tree_attr(CWD, c"/tmp", flags, &attr);
        if !common::kernel_is_at_least(6, 15) {
            assert_eq!(answer.unwrap_err(), Errno::ENOSYS);
            return;
        }
        let copy = answer.unwrap();
        assert_eq!(io::fcntl_getfd(&copy), Ok(FdFlags::CLOEXEC));
        attach(&copy, c"/tmp/copy").unwrap();
        assert_eq!(write(c"/tmp/copy/x"), Err(Errno::EROFS));
        assert_eq!(write(c"/tmp/x"), Ok(()));
    });
}

#[test]
fn mounts_are_listed_and_described_since_linux_6_8() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        apart();
        let mut mounts = [0; 64];
        if !common::kernel_is_at_least(6, 8) {
            assert_eq!(listmount(LSMT_ROOT, 0, &mut mounts), Err(Errno::ENOSYS));
            let answer = statmount::<64>(1, StatmountMask::MNT_BASIC);
            assert_eq!(answer.unwrap_err(), Errno::ENOSYS);
            return;
        }
        directory(c"/tmp/one");
        directory(c"/tmp/two");
        attach(&detached(), c"/tmp/one").unwrap();
        attach(&detached(), c"/tmp/two").unwrap();
        let [tmp, one, two] = [c"/tmp", c"/tmp/one", c"/tmp/two"].map(unique_id);
        assert_eq!(listmount(tmp, 0, &mut mounts), Ok(2));
        assert_eq!(mounts[..2], [one, two]);
        assert_eq!(listmount(tmp, one, &mut mounts), Ok(1));
        assert_eq!(mounts[0], two);
        assert_eq!(listmount(tmp, 0, &mut mounts[..1]), Ok(1));
        assert_eq!(listmount(u64::MAX >> 1, 0, &mut mounts), Err(Errno::ENOENT));

        let mask = StatmountMask::SB_BASIC
            | StatmountMask::MNT_BASIC
            | StatmountMask::MNT_POINT
            | StatmountMask::FS_TYPE;
        let buf = statmount::<256>(one, mask).unwrap();
        let info = buf.fixed();
        assert!(StatmountMask::from_bits_retain(info.mask).contains(mask));
        const TMPFS_MAGIC: u64 = 0x0102_1994;
        assert_eq!((info.mnt_id, info.mnt_parent_id), (one, tmp));
        assert_eq!(info.sb_magic, TMPFS_MAGIC);
        assert_eq!(buf.string(info.mnt_point), Some(c"/tmp/one"));
        assert_eq!(buf.string(info.fs_type), Some(c"tmpfs"));
        assert_eq!(buf.string(u32::MAX), None);
        // What was said to fit can be read, at every length.
        fn fits<const N: usize>(mount: u64) -> bool {
            match statmount::<N>(mount, StatmountMask::MNT_POINT) {
                Ok(buf) => {
                    assert_eq!(buf.string(buf.fixed().mnt_point), Some(c"/tmp/one"));
                    true
                }
                Err(errno) => {
                    assert_eq!(errno, Errno::EOVERFLOW);
                    false
                }
            }
        }
        assert!(!fits::<7>(one) && !fits::<8>(one));
        // Newer kernels begin with an empty string.
        assert!(fits::<9>(one) || fits::<10>(one));
        let short = statmount::<4>(one, mask).map(|_| ());
        assert_eq!(short, Err(Errno::EOVERFLOW));
        let nobody = statmount::<64>(u64::MAX >> 1, mask).map(|_| ());
        assert_eq!(nobody, Err(Errno::ENOENT));
        umount2(c"/tmp/one", UnmountFlags::empty()).unwrap();
        assert_eq!(statmount::<64>(one, mask).map(|_| ()), Err(Errno::ENOENT));
    });
}

#[test]
fn a_file_system_can_have_a_mount_namespace_of_its_own_since_linux_7_1() {
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("needs CAP_SYS_ADMIN");
    }
    common::in_child(|| {
        apart();
        let fs = fsopen(c"tmpfs", FsopenFlags::CLOEXEC).unwrap();
        fsconfig(&fs, FsConfig::Create).unwrap();
        let flags = FsmountFlags::CLOEXEC | FsmountFlags::NAMESPACE;
        let answer = fsmount(&fs, flags, MountAttrFlags::empty());
        let tree = OpenTreeFlags::CLOEXEC | OpenTreeFlags::NAMESPACE;
        let copy = open_tree(CWD, c"/tmp", tree);
        if common::kernel_is_at_least(7, 1) {
            // It is entered.
            process::setns(answer.unwrap(), CloneFlags::NEWNS).unwrap();
            assert!(!exists(c"/proc"));
        } else {
            assert_eq!(answer.unwrap_err(), Errno::EINVAL);
        }
        if common::kernel_is_at_least(7, 0) {
            process::setns(copy.unwrap(), CloneFlags::NEWNS).unwrap();
        } else {
            assert_eq!(copy.unwrap_err(), Errno::EINVAL);
        }
    });
}

#[test]
fn the_new_calls_are_eperm_without_privilege() {
    common::in_child(|| {
        let nobody = process::Ids {
            real: 65534,
            effective: 65534,
            saved: 65534,
        };
        // SAFETY: the only thread.
        let _ = unsafe { process::setresuid_thread(nobody) };
        assert!(!common::has_capability(CAP_SYS_ADMIN));
        assert_eq!(
            fsopen(c"tmpfs", FsopenFlags::CLOEXEC).unwrap_err(),
            Errno::EPERM
        );
        let copy = open_tree(CWD, c"/", OpenTreeFlags::CLONE);
        assert_eq!(copy.unwrap_err(), Errno::EPERM);
        let here = open_tree(CWD, c"/", OpenTreeFlags::CLOEXEC).unwrap();
        assert_eq!(attach(&here, c"/"), Err(Errno::EPERM));
    });
}
