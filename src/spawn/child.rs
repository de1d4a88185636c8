//! What the child does between `clone3` and `execve`.
//!
//! It shares the memory of its parent, whose other threads go on. So it only
//! makes system calls, reads what `Spawn` borrows, and writes what `Spawn`
//! keeps for it: nothing here may panic, allocate, or touch anything else.

use super::{Group, Program, Spawn, SpawnStep};
use crate::arch::Reg;
use crate::errno::Errno;
use crate::fd::{BorrowedFd, RawFd};
use crate::io::{self, DupFlags, FdFlags};
use crate::nr;
use crate::process::{self, ExecveatFlags, Ids};
use crate::signal::{How, sigprocmask};
use crate::syscall::syscall_zero;
use core::sync::atomic::{AtomicI32, Ordering};

pub(super) struct Job<'s, 'a> {
    pub spawn: &'s mut Spawn<'a>,
    pub failed: &'s AtomicI32,
    pub step: &'s AtomicI32,
}

/// # Safety
///
/// `job` is a [`Job`], which the parent leaves alone until this process is
/// gone from its memory.
pub(super) unsafe extern "C" fn run(job: Reg) -> ! {
    // SAFETY: the caller's promise.
    let job = unsafe { &mut *job.cast::<Job<'_, '_>>() };
    // A copy, since where its descriptor is now does not concern the parent.
    let mut program = job.spawn.program;
    let (step, errno) = match prepare(job.spawn, &mut program) {
        Ok(()) => (SpawnStep::Exec, execute(job.spawn, program)),
        Err(failed) => failed,
    };
    job.step.store(step as i32, Ordering::Relaxed);
    job.failed.store(errno.raw(), Ordering::Relaxed);
    process::exit_group(127)
}

fn prepare(spawn: &mut Spawn<'_>, program: &mut Program<'_>) -> Result<(), (SpawnStep, Errno)> {
    let at = |step| move |errno| (step, errno);

    match spawn.group {
        Group::Inherit => Ok(()),
        Group::Join(group) => process::setpgid(None, group),
        Group::Session => process::setsid().map(|_| ()),
    }
    .map_err(at(SpawnStep::Group))?;
    if let Some(tty) = spawn.terminal {
        process::tiocsctty(tty, false).map_err(at(SpawnStep::Terminal))?;
    }
    if let Some(tty) = spawn.foreground {
        // All signals are blocked, SIGTTOU too.
        match process::tiocspgrp(tty, process::getpid()) {
            Ok(()) | Err(Errno::ENOTTY | Errno::ENXIO) => {}
            Err(errno) => return Err((SpawnStep::Terminal, errno)),
        }
    }
    if let Some(path) = spawn.directory {
        process::chdir(path).map_err(at(SpawnStep::Directory))?;
    }
    descriptors(spawn, program).map_err(at(SpawnStep::Descriptors))?;
    for &(resource, limit) in spawn.limits {
        process::prlimit(None, resource, Some(limit)).map_err(at(SpawnStep::Limits))?;
    }
    credentials(spawn).map_err(at(SpawnStep::Credentials))?;
    for signal in spawn.defaults {
        // SIGKILL and SIGSTOP have nothing but their default.
        match default_action(signal.as_raw()) {
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err((SpawnStep::Signals, errno)),
        }
    }
    sigprocmask(How::SETMASK, spawn.mask).map_err(at(SpawnStep::Signals))?;
    Ok(())
}

/// `rt_sigaction(signal, &{ SIG_DFL }, NULL, 8)`.
fn default_action(signal: i32) -> Result<(), Errno> {
    // SIG_DFL, no flags, no restorer, no mask: all of it is 0.
    let action = [0_u64; 4];
    let no_action = core::ptr::null::<u64>();
    // SAFETY: the kernel reads four words; there is no handler any more.
    unsafe { syscall_zero!(nr::RT_SIGACTION, signal, &raw const action, no_action, 8) }
}

fn credentials(spawn: &Spawn<'_>) -> Result<(), Errno> {
    // SAFETY: this process has one thread, and is about to be the program.
    unsafe {
        if let Some((uid, gid, groups)) = spawn.user {
            // "As it is", which would be the caller's.
            if uid == u32::MAX || gid == u32::MAX {
                return Err(Errno::EINVAL);
            }
            let all = |id| Ids {
                real: id,
                effective: id,
                saved: id,
            };
            process::setgroups_thread(groups)?;
            process::setresgid_thread(all(gid))?;
            process::setresuid_thread(all(uid))?;
        }
    }
    if spawn.no_new_privs {
        process::set_no_new_privs()?;
    }
    if spawn.pdeathsig.is_some() {
        // Behind the users: changing them clears it.
        process::set_pdeathsig(spawn.pdeathsig)?;
    }
    Ok(())
}

/// Puts every source to its target. Targets that are sources too are the
/// difficulty: those sources get out of the way first, above all targets.
fn descriptors(spawn: &mut Spawn<'_>, program: &mut Program<'_>) -> Result<(), Errno> {
    let mut above = 0;
    for i in 0..count(spawn) {
        let Some((source, target)) = map(spawn, i).map(|map| (map.source.as_raw_fd(), map.target))
        else {
            continue;
        };
        if target < 0 {
            return Err(Errno::EBADF);
        }
        above = above.max(target.saturating_add(1));
        for j in 0..i {
            if map(spawn, j).is_some_and(|other| other.target == target) {
                return Err(Errno::EINVAL);
            }
        }
        if let Some(map) = map(spawn, i) {
            map.now = source;
        }
    }
    for i in 0..count(spawn) {
        let Some((source, target)) = map(spawn, i).map(|map| (map.source, map.target)) else {
            continue;
        };
        if source.as_raw_fd() != target && is_target(spawn, source.as_raw_fd()) {
            // Not closed here: it is close-on-exec.
            let moved = io::fcntl_dupfd_cloexec(source, above)?.into_raw_fd();
            if let Some(map) = map(spawn, i) {
                map.now = moved;
            }
        }
    }
    if let Program::At(fd, path) = *program
        && is_target(spawn, fd.as_raw_fd())
    {
        let moved = io::fcntl_dupfd_cloexec(fd, above)?.into_raw_fd();
        // SAFETY: just made, and never closed here.
        *program = Program::At(unsafe { BorrowedFd::borrow_raw(moved) }, path);
    }
    if let Some(first) = spawn.cloexec_from {
        process::close_range_cloexec(first)?;
    }
    for i in 0..count(spawn) {
        let Some((now, target)) = map(spawn, i).map(|map| (map.now, map.target)) else {
            continue;
        };
        // SAFETY: open, since it is the source, or its duplicate.
        let now = unsafe { BorrowedFd::borrow_raw(now) };
        if now.as_raw_fd() == target {
            io::fcntl_setfd(now, FdFlags::empty())?;
        } else {
            // SAFETY: this process's own table, and whatever was there is not
            // needed any more.
            unsafe { io::dup3_raw(now, target, DupFlags::empty()) }?;
        }
    }
    Ok(())
}

fn count(spawn: &Spawn<'_>) -> usize {
    spawn.stdio.len().saturating_add(spawn.fds.len())
}

fn map<'s, 'a>(spawn: &'s mut Spawn<'a>, i: usize) -> Option<&'s mut super::FdMap<'a>> {
    match i.checked_sub(spawn.stdio.len()) {
        None => spawn.stdio.get_mut(i)?.as_mut(),
        Some(i) => spawn.fds.get_mut(i),
    }
}

fn is_target(spawn: &mut Spawn<'_>, fd: RawFd) -> bool {
    for i in 0..count(spawn) {
        if map(spawn, i).is_some_and(|map| map.target == fd) {
            return true;
        }
    }
    false
}

fn execute(spawn: &Spawn<'_>, program: Program<'_>) -> Errno {
    let (argv, envp) = (spawn.argv, spawn.envp);
    match program {
        Program::Path(path) => process::execve(path, argv, envp),
        Program::At(fd, path) => {
            match process::execveat(fd, path, argv, envp, ExecveatFlags::EMPTY_PATH) {
                Err(errno) => errno,
                Ok(()) => Errno::ENOSYS,
            }
        }
        Program::Search { name, dirs } => process::execve_search(name, dirs, argv, envp),
    }
}
