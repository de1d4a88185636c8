//! `mount`: what the kernel says to calls that can do no harm.

mod common;

use barecall::Errno;
use barecall::mount::{MountFlags, UnmountFlags, mount, umount2};

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
