//! What the tools share whose memory arrives while it is used: memory whose
//! contents are known, its reader, processes that are killed, and how to fail.

use crate::Out;
use barecall::errno::Errno;
use barecall::fd::OwnedFd;
use barecall::io;
use barecall::mm::{self, MapFlags, ProtFlags};
use barecall::pager::PagerError;
use barecall::pager::handoff::HandoffError;
use barecall::process::{self, Pid, WaitOptions, WaitStatus, WaitTarget};
use barecall::signal::{self, Signal};
use barecall::userfaultfd::{Access, MappedRegion, OpenError, Userfaultfd, UserfaultfdOptions};
use core::fmt::{self, Write as _};

/// Why it did not come to its end.
#[derive(Debug)]
pub enum Failure {
    /// This call failed.
    Os(&'static str, Errno),
    /// There is no userfaultfd.
    Open(OpenError),
    /// The memory was not handed over.
    Handoff(HandoffError),
    /// The pager stopped.
    Pager(PagerError),
    /// The first wrong word is at this offset.
    Wrong(u64),
    /// This process ended in another way than it should.
    Ended(&'static str, WaitStatus),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<HandoffError> for Failure {
    fn from(error: HandoffError) -> Self {
        Self::Handoff(error)
    }
}

impl From<PagerError> for Failure {
    fn from(error: PagerError) -> Self {
        Self::Pager(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(what, errno) => write!(f, "{what}: {errno}"),
            Self::Open(error) => error.fmt(f),
            Self::Handoff(error) => error.fmt(f),
            Self::Pager(error) => error.fmt(f),
            Self::Wrong(offset) => write!(f, "wrong contents at offset {offset:#x}"),
            Self::Ended(who, status) => write!(f, "{who}: {status:?}"),
        }
    }
}

/// An error of this call.
pub fn of(what: &'static str) -> impl FnOnce(Errno) -> Failure {
    move |errno| Failure::Os(what, errno)
}

/// The exit status for a result: 1 if a byte was wrong, 2 if it could not be
/// tried, which is told.
pub fn status(tool: &str, result: Result<(), Failure>) -> i32 {
    let Err(failure) = result else { return 0 };
    // SAFETY: written to only; if 2 is closed, writing says so.
    let mut err = Out::new(unsafe { io::stderr() });
    let _ = writeln!(err, "{tool}: {failure}");
    let _ = err.flush();
    match failure {
        Failure::Wrong(_) | Failure::Ended(_, WaitStatus::Exited(1)) => 1,
        _ => 2,
    }
}

/// Runs `run` in a child process that ends with its status, and with its
/// parent.
///
/// # Safety
///
/// The process has no other threads.
pub unsafe fn child(tool: &str, run: impl FnOnce() -> Result<(), Failure>) -> Result<Pid, Failure> {
    // SAFETY: one thread, and the child never returns from here.
    match unsafe { process::fork() }.map_err(of("fork"))? {
        Some(child) => Ok(child),
        None => {
            let _ = process::set_pdeathsig(Some(Signal::SIGKILL));
            process::exit_group(status(tool, run()))
        }
    }
}

/// Waits for a child.
fn ended(child: Pid) -> Result<WaitStatus, Failure> {
    let wait = || process::wait4(WaitTarget::Pid(child), WaitOptions::empty());
    loop {
        // None is only for NOHANG.
        if let Some((_, status)) = io::retry_on_intr(wait).map_err(of("wait"))? {
            return Ok(status);
        }
    }
}

/// Waits for a child, which must end with status 0.
pub fn succeeded(who: &'static str, child: Pid) -> Result<(), Failure> {
    match ended(child)? {
        WaitStatus::Exited(0) => Ok(()),
        status => Err(Failure::Ended(who, status)),
    }
}

/// Kills a child, which must not have given up by itself before; it has said
/// why then.
pub fn killed(who: &'static str, child: Pid) -> Result<(), Failure> {
    signal::kill(child, Signal::SIGKILL).map_err(of("kill"))?;
    match ended(child)? {
        WaitStatus::Killed { .. } => Ok(()),
        status => Err(Failure::Ended(who, status)),
    }
}

/// Opens a userfaultfd for the faults of user mode. Linux 5.10 knows no such
/// restriction: there it is for the kernel's faults too.
pub fn userfaultfd(options: UserfaultfdOptions) -> Result<Userfaultfd, OpenError> {
    let opened = options.open_any();
    let opened = opened.or_else(|_| options.access(Access::Kernel).open_any())?;
    Ok(opened.userfaultfd)
}

/// The 64-bit words of a memory whose contents are known: none of them is
/// zero, and none is like another.
fn word(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// New memory with known contents, which stays to the end of the process.
pub fn known(len: usize) -> Result<&'static [u8], Failure> {
    let prot = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, as long as that, which nobody else has.
    let memory = unsafe {
        let start = mm::mmap_anonymous(core::ptr::null_mut(), len, prot, MapFlags::PRIVATE)
            .map_err(of("mmap"))?;
        core::slice::from_raw_parts_mut(start.cast::<u8>(), len)
    };
    for (number, place) in (0..).zip(memory.chunks_exact_mut(8)) {
        place.copy_from_slice(&word(number).to_le_bytes());
    }
    Ok(memory)
}

/// The offset of the first word that is not as in known memory.
fn differs(offset: u64, bytes: &[u8]) -> Option<u64> {
    (offset / 8..)
        .zip(bytes.chunks_exact(8))
        .find(|(number, bytes)| **bytes != word(*number).to_le_bytes())
        .map(|(number, _)| number * 8)
}

/// Reads all pages of memory that must be as [`known`] has it, in an order that
/// is not that of addresses. Writes a byte to `told` when a part of them is
/// done, `kills` times: who serves the memory is killed at some moment from
/// then on.
pub fn read_all(
    memory: &MappedRegion,
    page_size: usize,
    kills: u32,
    told: &OwnedFd,
) -> Result<(), Failure> {
    let mut page = [0; 64 << 10];
    let page = page.get_mut(..page_size).unwrap_or_default();
    let pages = memory.len() / page_size;
    let part = (pages / (kills as usize + 1)).max(1);
    for i in 0..pages {
        if i > 0 && i % part == 0 && i / part <= kills as usize {
            io::write(told, b"x").map_err(of("write"))?;
        }
        // A prime, so that each page comes once.
        let offset = i * 7919 % pages * page_size;
        memory.read_at(page, offset);
        if let Some(wrong) = differs(offset as u64, page) {
            return Err(Failure::Wrong(wrong));
        }
    }
    Ok(())
}

/// Waits until [`read_all`] tells that a part is done, or has ended, which
/// gives `false`.
pub fn goes_on(progress: &OwnedFd) -> Result<bool, Failure> {
    let mut byte = [0];
    let read = io::retry_on_intr(|| io::read(progress, &mut byte)).map_err(of("read"))?;
    Ok(read > 0)
}
