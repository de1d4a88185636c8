//! Sessions, process groups, and a terminal: a pair of devpts, in a forked
//! child.

use crate::{common, end, kill, skip, start};
use barecall::Errno;
use barecall::fd::OwnedFd;
use barecall::fs::{self, CWD, Mode, OFlags};
use barecall::process::{
    self, Pid, getpgid, getpid, getppid, getsid, setpgid, setsid, tiocgpgrp, tiocgsid, tiocnotty,
    tiocsctty, tiocspgrp,
};
use barecall::signal::{How, SigSet, Signal, sigprocmask, sigtimedwait};

const CAP_SYS_ADMIN: u32 = crate::CAP_SYS_ADMIN;

fn nobody() -> Pid {
    Pid::from_raw(i32::MAX).unwrap()
}

/// A child that waits for its end, which is ours at the latest.
fn idle() -> Pid {
    start(|| {
        let _ = process::set_pdeathsig(Some(Signal::SIGKILL));
        loop {
            let _ = barecall::event::poll(&mut [], None);
        }
    })
}

#[test]
fn groups_and_sessions_have_leaders_and_errors() {
    common::in_child(|| {
        assert_eq!(getsid(Some(nobody())), Err(Errno::ESRCH));
        assert_eq!(getpgid(Some(nobody())), Err(Errno::ESRCH));
        assert_eq!(setpgid(Some(nobody()), None), Err(Errno::ESRCH));
        let (parent, me) = (getppid().unwrap(), getpid());
        // Not one's own, nor a child.
        assert_eq!(setpgid(Some(parent), None), Err(Errno::ESRCH));
        // Not a group of this session.
        assert_eq!(setpgid(None, Some(nobody())), Err(Errno::EPERM));

        let child = idle();
        setpgid(Some(child), None).unwrap();
        assert_eq!(getpgid(Some(child)), Ok(Some(child)));
        setpgid(Some(child), getpgid(None).unwrap()).unwrap();
        setpgid(Some(child), Some(child)).unwrap();

        assert_eq!(setsid(), Ok(me));
        assert_eq!((getsid(None), getpgid(None)), (Ok(Some(me)), Ok(Some(me))));
        assert_eq!(setsid(), Err(Errno::EPERM));
        assert_eq!(setpgid(None, None), Err(Errno::EPERM), "it leads a session");
        assert_eq!(
            setpgid(Some(child), Some(me)),
            Err(Errno::EPERM),
            "another session"
        );
        kill(child, Signal::SIGKILL);
        end(child);
    });
}

/// A terminal's two ends: who holds the first is the person at the keyboard.
fn terminal() -> Option<(OwnedFd, OwnedFd)> {
    const TIOCSPTLCK: u32 = 0x4004_5431;
    const TIOCGPTN: u32 = 0x8004_5430;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let person = fs::openat(CWD, c"/dev/ptmx", flags, Mode::empty()).ok()?;
    let (unlocked, mut number) = (0_i32, 0_i32);
    let (zero, place) = (&raw const unlocked, &raw mut number);
    // SAFETY: the kernel reads an int, and writes one.
    unsafe {
        barecall::io::ioctl(&person, TIOCSPTLCK, zero).ok()?;
        barecall::io::ioctl(&person, TIOCGPTN, place).ok()?;
    }
    let path = std::ffi::CString::new(format!("/dev/pts/{number}")).unwrap();
    let program = fs::openat(CWD, &path, flags, Mode::empty()).ok()?;
    Some((person, program))
}

#[test]
fn a_session_takes_a_terminal_moves_its_foreground_and_gives_it_up() {
    let status = common::wait_status_of_child(|| {
        let Some((_person, tty)) = terminal() else {
            process::exit_group(77);
        };
        let me = getpid();
        let hup = SigSet::of(&[Signal::SIGHUP, Signal::SIGCONT]);
        sigprocmask(How::BLOCK, hup.with(Signal::SIGTTOU)).unwrap();
        let (pipe, _) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC).unwrap();

        // Before: nobody's.
        assert_eq!(
            tiocsctty(&tty, false),
            Err(Errno::EPERM),
            "leads no session"
        );
        assert_eq!(tiocgpgrp(&tty), Err(Errno::ENOTTY));
        assert_eq!(tiocgsid(&tty), Err(Errno::ENOTTY));
        assert_eq!(tiocnotty(&tty), Err(Errno::ENOTTY));
        assert_eq!(tiocspgrp(&tty, me), Err(Errno::ENOTTY));
        assert_eq!(tiocsctty(&pipe, false), Err(Errno::ENOTTY));

        // A group that stays behind: the one we are in may have no number here.
        let strangers = idle();
        setpgid(Some(strangers), None).unwrap();
        setsid().unwrap();
        tiocsctty(&tty, false).unwrap();
        tiocsctty(&tty, false).unwrap();
        assert_eq!(tiocgsid(&tty), Ok(Some(me)));
        assert_eq!(tiocgpgrp(&tty), Ok(Some(me)));

        // A job in the foreground, and back from the background.
        let job = idle();
        setpgid(Some(job), None).unwrap();
        tiocspgrp(&tty, job).unwrap();
        assert_eq!(tiocgpgrp(&tty), Ok(Some(job)));
        assert_eq!(tiocspgrp(&tty, strangers), Err(Errno::EPERM));
        assert_eq!(tiocspgrp(&tty, nobody()), Err(Errno::ESRCH));
        tiocspgrp(&tty, me).unwrap();
        assert_eq!(tiocgpgrp(&tty), Ok(Some(me)));
        for child in [job, strangers] {
            kill(child, Signal::SIGKILL);
            end(child);
        }

        // Another session's leader may not have it, or takes it by force.
        if common::has_capability(CAP_SYS_ADMIN) {
            let thief = start(|| {
                let _ = setsid();
                match (tiocsctty(&tty, false), tiocsctty(&tty, true)) {
                    (Err(Errno::EPERM), Ok(())) => 0,
                    _ => 1,
                }
            });
            assert_eq!(end(thief), process::WaitStatus::Exited(0));
            assert_eq!(tiocgsid(&tty), Err(Errno::ENOTTY), "stolen");
            // Free again, with the thief gone.
            tiocsctty(&tty, false).unwrap();
        }

        tiocnotty(&tty).unwrap();
        for _ in 0..2 {
            let signal = sigtimedwait(hup, None).unwrap().signal();
            assert!(matches!(signal, Some(Signal::SIGHUP | Signal::SIGCONT)));
        }
        assert_eq!(tiocgsid(&tty), Err(Errno::ENOTTY));
        assert_eq!(tiocnotty(&tty), Err(Errno::ENOTTY));
    });
    if status == 77 << 8 {
        skip!("no devpts");
    }
    assert_eq!(status, 0, "the child failed, see above");
}
