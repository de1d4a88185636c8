//! Why a program was not started.

use crate::errno::Errno;
use core::fmt;

/// What failed when a program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnStep {
    /// `clone3`: there was no child.
    Clone,
    /// `setpgid`, `setsid`.
    Group,
    /// `TIOCSCTTY`, `TIOCSPGRP`.
    Terminal,
    /// `chdir`.
    Directory,
    /// `fcntl`, `dup3`, `close_range`, or a target that comes twice.
    Descriptors,
    /// `prlimit64`.
    Limits,
    /// `setgroups`, `setresgid`, `setresuid`, `PR_SET_NO_NEW_PRIVS`,
    /// `PR_SET_PDEATHSIG`.
    Credentials,
    /// `sigaction`, `sigprocmask`.
    Signals,
    /// `execve`, `execveat`.
    Exec,
    /// The files of [`Spawn::capture`](super::Spawn::capture), or waiting.
    Capture,
}

impl SpawnStep {
    pub(super) const fn from_raw(step: i32) -> Self {
        match step {
            1 => Self::Group,
            2 => Self::Terminal,
            3 => Self::Directory,
            4 => Self::Descriptors,
            5 => Self::Limits,
            6 => Self::Credentials,
            7 => Self::Signals,
            8 => Self::Exec,
            9 => Self::Capture,
            _ => Self::Clone,
        }
    }
}

/// Why a program was not started. There is no child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpawnError {
    /// Why.
    pub errno: Errno,
    /// Where.
    pub step: SpawnStep,
}

impl SpawnError {
    pub(super) const fn new(errno: Errno, step: SpawnStep) -> Self {
        Self { errno, step }
    }
}

impl From<SpawnError> for Errno {
    #[inline]
    fn from(error: SpawnError) -> Self {
        error.errno
    }
}

impl fmt::Debug for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError")
            .field("errno", &self.errno)
            .field("step", &self.step)
            .finish()
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            SpawnStep::Clone => "cannot make a child: ",
            SpawnStep::Group => "cannot change the process group: ",
            SpawnStep::Terminal => "cannot take the terminal: ",
            SpawnStep::Directory => "cannot change the directory: ",
            SpawnStep::Descriptors => "cannot arrange the descriptors: ",
            SpawnStep::Limits => "cannot set the limits: ",
            SpawnStep::Credentials => "cannot change the user: ",
            SpawnStep::Signals => "cannot arrange the signals: ",
            SpawnStep::Exec => "cannot execute the program: ",
            SpawnStep::Capture => "cannot capture the output: ",
        })?;
        fmt::Display::fmt(&self.errno, f)
    }
}

crate::errno::std_error!(SpawnError);

impl core::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.errno)
    }
}
