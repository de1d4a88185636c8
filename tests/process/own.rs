//! What a process decides about itself, each in a forked child.

use crate::{common, end, kill, start};
use barecall::process::{
    WaitOptions, WaitStatus, WaitTarget, child_subreaper, dumpable, getpid, getppid, no_new_privs,
    pdeathsig, prctl, set_child_subreaper, set_dumpable, set_no_new_privs, set_pdeathsig, wait4,
};
use barecall::signal::{How, SigSet, Signal, sigprocmask, sigtimedwait};
use barecall::{Errno, io};

const PR_SET_DUMPABLE: u32 = 4;
const PR_SET_NO_NEW_PRIVS: u32 = 38;
const PR_GET_NO_NEW_PRIVS: u32 = 39;

#[test]
fn an_orphan_comes_to_the_subreaper() {
    common::in_child(|| {
        // Not inherited by this child, whoever started it.
        assert_eq!(child_subreaper(), Ok(false));
        set_child_subreaper(true).unwrap();
        assert_eq!(child_subreaper(), Ok(true));

        let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        let me = getpid();
        let parent = start(|| {
            let parent = getpid();
            if child_subreaper() != Ok(false) {
                return 2;
            }
            start(|| {
                while getppid() == Some(parent) {
                    std::thread::yield_now();
                }
                let mine = getppid() == Some(me);
                io::write(&writer, &[u8::from(mine)]).map_or(3, |_| 4)
            });
            1
        });
        assert_eq!(end(parent), WaitStatus::Exited(1));
        let (orphan, status) = wait4(WaitTarget::Any, WaitOptions::empty())
            .unwrap()
            .unwrap();
        assert_ne!(orphan, parent);
        assert_eq!(status, WaitStatus::Exited(4));
        let mut mine = [0];
        assert_eq!(io::read(&reader, &mut mine), Ok(1));
        assert_eq!(mine, [1]);

        set_child_subreaper(false).unwrap();
        assert_eq!(child_subreaper(), Ok(false));
    });
}

#[test]
fn a_parent_s_death_is_told_by_the_chosen_signal() {
    common::in_child(|| {
        assert_eq!(pdeathsig(), Ok(None));
        set_pdeathsig(Some(Signal::SIGTERM)).unwrap();
        assert_eq!(pdeathsig(), Ok(Some(Signal::SIGTERM)));
        let heir = start(|| i32::from(pdeathsig() != Ok(None)));
        assert_eq!(end(heir), WaitStatus::Exited(0), "it is not inherited");
        set_pdeathsig(None).unwrap();
        assert_eq!(pdeathsig(), Ok(None));

        // A signal that would end it, and one that it waits for: the orphans
        // come here.
        set_child_subreaper(true).unwrap();
        let set = SigSet::of(&[Signal::SIGUSR1]);
        sigprocmask(How::BLOCK, set).unwrap();
        let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
        let orphaned = |signal: Signal| {
            let parent = start(|| {
                start(|| {
                    if set_pdeathsig(Some(signal)).is_err() || io::write(&writer, &[0]).is_err() {
                        return 1;
                    }
                    match sigtimedwait(set, None) {
                        Ok(info) if info.signal() == Some(signal) => 2,
                        _ => 3,
                    }
                });
                // Not before it has asked for the signal.
                io::read(&reader, &mut [0]).map_or(4, |_| 5)
            });
            assert_eq!(end(parent), WaitStatus::Exited(5));
            let orphan = wait4(WaitTarget::Any, WaitOptions::empty());
            orphan.unwrap().unwrap().1
        };
        assert_eq!(orphaned(Signal::SIGUSR1), WaitStatus::Exited(2));
        let killed = WaitStatus::Killed {
            signal: Signal::SIGKILL,
            core_dumped: false,
        };
        assert_eq!(orphaned(Signal::SIGKILL), killed);
    });
}

#[test]
fn a_process_can_be_dumped_or_not() {
    common::in_child(|| {
        set_dumpable(false).unwrap();
        assert_eq!(dumpable(), Ok(0));
        let heir = start(|| i32::from(dumpable() != Ok(0)));
        assert_eq!(end(heir), WaitStatus::Exited(0), "it is inherited");
        set_dumpable(true).unwrap();
        assert_eq!(dumpable(), Ok(1));
        // Only the kernel sets 2.
        for value in [2, 3, u32::MAX] {
            // SAFETY: numbers only.
            let refused = unsafe { prctl(PR_SET_DUMPABLE, value, 0, 0, 0) };
            assert_eq!(refused, Err(Errno::EINVAL), "{value}");
        }
        assert_eq!(dumpable(), Ok(1));
    });
}

#[test]
fn no_new_privileges_are_for_a_thread_and_for_ever() {
    common::in_child(|| {
        let before = no_new_privs().unwrap();
        let thread = std::thread::spawn(|| {
            set_no_new_privs().unwrap();
            // SAFETY: numbers only.
            unsafe {
                let off = prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
                assert_eq!(off, Err(Errno::EINVAL));
                let more = prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0);
                assert_eq!(more, Err(Errno::EINVAL));
                let more = prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0);
                assert_eq!(more, Err(Errno::EINVAL));
            }
            assert_eq!(no_new_privs(), Ok(true));
            let heir = start(|| i32::from(no_new_privs() != Ok(true)));
            assert_eq!(end(heir), WaitStatus::Exited(0), "it is inherited");
        });
        thread.join().unwrap();
        assert_eq!(no_new_privs(), Ok(before));
    });
}

/// THR-022
#[test]
fn another_thread_s_child_is_none_of_this_thread_with_nothread() {
    common::in_child(|| {
        let child = start(|| {
            loop {
                std::thread::park();
            }
        });
        let (target, here) = (WaitTarget::Pid(child), WaitOptions::NOTHREAD);
        let nohang = WaitOptions::NOHANG;
        let thread = std::thread::spawn(move || {
            assert_eq!(wait4(target, nohang), Ok(None));
            assert_eq!(wait4(target, nohang | here), Err(Errno::ECHILD));
            assert_eq!(wait4(target, here), Err(Errno::ECHILD));
            let own = start(|| 3);
            let own = wait4(WaitTarget::Any, here)
                .map(|ended| ended == Some((own, WaitStatus::Exited(3))));
            assert_eq!(own, Ok(true));
        });
        thread.join().unwrap();
        assert_eq!(wait4(target, nohang | here), Ok(None));
        kill(child, Signal::SIGKILL);
        let (ended, _) = wait4(target, here).unwrap().unwrap();
        assert_eq!(ended, child);
    });
}
