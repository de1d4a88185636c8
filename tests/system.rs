//! `system`: what can be tried without ending the machine.

mod common;

use barecall::Errno;
use barecall::system::{self, RebootCommand};

const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_BOOT: u32 = 22;

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
fn a_selector_is_told_by_its_name_or_its_number() {
    assert_eq!(format!("{:?}", RebootCommand::HALT), "RebootCommand(HALT)");
    assert_eq!(
        format!("{:?}", RebootCommand::from_raw(7)),
        "RebootCommand(7)"
    );
    assert_eq!(RebootCommand::from_raw(0), RebootCommand::CAD_OFF);
    assert_eq!(RebootCommand::KEXEC.as_raw(), 0x4558_4543);
}
