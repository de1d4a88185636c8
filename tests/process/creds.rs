//! Users and groups, each in a forked child: they belong to one thread.

use crate::{common, skip};
use barecall::Errno;
use barecall::process::{
    Ids, getegid, geteuid, getgid, getgroups, getresgid, getresuid, getuid, setgid_thread,
    setgroups_thread, setresgid_thread, setresuid_thread, setuid_thread,
};

const NOBODY: u32 = 65534;
const CAP_SETUID: u32 = 7;

fn all(id: u32) -> Ids {
    Ids {
        real: id,
        effective: id,
        saved: id,
    }
}

fn status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_numbers_are_those_of_proc() {
    let (user, group) = (getresuid().unwrap(), getresgid().unwrap());
    assert_eq!((user.real, user.effective), (getuid(), geteuid()));
    assert_eq!((group.real, group.effective), (getgid(), getegid()));
    let told = |ids: Ids| format!("{} {} {} ", ids.real, ids.effective, ids.saved);
    assert!(status("Uid:").starts_with(told(user).trim()));
    assert!(status("Gid:").starts_with(told(group).trim()));
    let mut groups = vec![0; getgroups(&mut []).unwrap()];
    getgroups(&mut groups).unwrap();
    let text: Vec<_> = groups.iter().map(u32::to_string).collect();
    assert_eq!(status("Groups:"), text.join(" "));
}

#[test]
fn one_thread_changes_and_the_others_do_not() {
    if !common::has_capability(CAP_SETUID) {
        skip!("needs CAP_SETUID");
    }
    common::in_child(|| {
        std::thread::spawn(|| {
            // SAFETY: nothing relies on this thread's privileges.
            unsafe {
                setgroups_thread(&[7, 8, 9]).unwrap();
                setresgid_thread(all(NOBODY)).unwrap();
                setresuid_thread(all(NOBODY)).unwrap();
            }
            assert_eq!(getresuid(), Ok(all(NOBODY)));
            assert_eq!(getresgid(), Ok(all(NOBODY)));
            assert_eq!(status("Groups:"), "7 8 9");
            let mut groups = [0; 8];
            assert_eq!(getgroups(&mut groups), Ok(3));
            assert_eq!(groups[..3], [7, 8, 9]);
            assert_eq!(getgroups(&mut groups[..2]), Err(Errno::EINVAL));
            // There is no way back.
            // SAFETY: as above.
            unsafe {
                assert_eq!(setuid_thread(0), Err(Errno::EPERM));
                assert_eq!(setgid_thread(0), Err(Errno::EPERM));
                assert_eq!(setresuid_thread(all(0)), Err(Errno::EPERM));
                assert_eq!(setresgid_thread(all(0)), Err(Errno::EPERM));
                assert_eq!(setgroups_thread(&[]), Err(Errno::EPERM));
                // What one is already.
                assert_eq!(setuid_thread(NOBODY), Ok(()));
                assert_eq!(setresuid_thread(all(u32::MAX)), Ok(()));
            }
        })
        .join()
        .unwrap();
        assert_eq!((geteuid(), getuid()), (0, 0));
        assert_ne!(status("Groups:"), "7 8 9");
    });
}

/// To the kernel, which takes an int, 1 << 32 is 0: no groups.
#[test]
fn a_list_of_groups_that_is_far_too_long_is_not_cut() {
    if !common::has_capability(CAP_SETUID) {
        skip!("needs CAP_SETUID");
    }
    common::in_child(|| {
        let count = 1_usize << 32;
        // SAFETY: a new mapping, which stays: zeros, of which none is ever read.
        let list = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let null = std::ptr::null_mut();
            let zeros = libc::mmap(null, count * 4, libc::PROT_READ, flags, -1, 0);
            assert_ne!(zeros, libc::MAP_FAILED);
            std::slice::from_raw_parts(zeros.cast::<u32>(), count)
        };
        // SAFETY: the only thread.
        unsafe {
            setgroups_thread(&[7]).unwrap();
            assert_eq!(setgroups_thread(list), Err(Errno::EINVAL));
        }
        assert_eq!(getgroups(&mut []), Ok(1));
    });
}

#[test]
fn minus_one_leaves_a_user_as_it_is_and_is_none_itself() {
    if !common::has_capability(CAP_SETUID) {
        skip!("needs CAP_SETUID");
    }
    common::in_child(|| {
        let before = getresuid().unwrap();
        let effective = Ids {
            effective: NOBODY,
            ..all(u32::MAX)
        };
        // SAFETY: the only thread.
        unsafe {
            setresuid_thread(effective).unwrap();
            let now = Ids {
                effective: NOBODY,
                ..before
            };
            assert_eq!(getresuid(), Ok(now));
            // The real one is still root, so this is a way back.
            setresuid_thread(before).unwrap();
            assert_eq!(setuid_thread(u32::MAX), Err(Errno::EINVAL));
            assert_eq!(setgroups_thread(&vec![1; 65537]), Err(Errno::EINVAL));
            setgroups_thread(&vec![1; 65536]).unwrap();
            assert_eq!(getgroups(&mut []), Ok(65536));
            // With the privilege, it is all three.
            setgid_thread(NOBODY).unwrap();
            assert_eq!(getresgid(), Ok(all(NOBODY)));
            setuid_thread(NOBODY).unwrap();
            assert_eq!(getresuid(), Ok(all(NOBODY)));
        }
    });
}
