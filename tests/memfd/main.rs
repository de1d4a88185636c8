//! memfd: every behaviour that the crate or its documentation relies on, asked
//! of the running kernel.

#[path = "../common/mod.rs"]
mod common;

mod attack;
mod create;
mod exec;
mod frozen;
mod maps;
mod noexec;
mod seals;
mod secret;
mod send;

use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::{self, FdPath, Mode, OFlags};
use barecall::memfd::{Exec, Memfd, MemfdOptions, Seals};
use barecall::mm::{self, MapFlags, ProtFlags};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::{Errno, io};
use std::sync::{Mutex, MutexGuard};

/// That of the machine.
pub(crate) fn page_size() -> usize {
    // SAFETY: a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("a page has a size")
}

/// Options that every kernel has: nothing said about execution, can be sealed.
pub(crate) const ANY: MemfdOptions = MemfdOptions::new()
    .exec(Exec::SystemDefault)
    .allow_sealing();

/// A memfd that can be sealed, with this content.
pub(crate) fn memfd(content: &[u8]) -> Memfd {
    let memfd = ANY.create(c"test").unwrap();
    memfd.write_all_at(content, 0).unwrap();
    memfd
}

/// Whether the kernel has MFD_EXEC, MFD_NOEXEC_SEAL and F_SEAL_EXEC.
pub(crate) fn has_exec_choice() -> bool {
    common::kernel_is_at_least(6, 3)
}

/// `vm.memfd_noexec`, which the kernel has got with the flags.
pub(crate) fn memfd_noexec() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/vm/memfd_noexec");
    assert_eq!(text.is_ok(), has_exec_choice());
    Some(text.ok()?.trim().parse().unwrap())
}

/// The seals that are there from the start if sealing is allowed and nothing
/// is said about execution.
pub(crate) fn initial_seals() -> Seals {
    match memfd_noexec() {
        None | Some(0) => Seals::empty(),
        Some(_) => Seals::EXEC,
    }
}

/// Some other file, to be read.
pub(crate) fn open(path: &std::ffi::CStr) -> OwnedFd {
    fs::openat(fs::CWD, path, OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// The same file, opened again.
pub(crate) fn reopen(fd: impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    fs::openat(
        fs::CWD,
        &FdPath::thread(&fd),
        flags | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// A mapping by hand, of the first page, unmapped on drop.
pub(crate) struct Raw(pub *mut u8);

impl Raw {
    pub(crate) fn map(fd: impl AsFd, prot: ProtFlags, flags: MapFlags) -> Result<Self, Errno> {
        // SAFETY: a new mapping.
        unsafe { mm::mmap(std::ptr::null_mut(), page_size(), prot, flags, fd, 0) }
            .map(|ptr| Self(ptr.cast()))
    }

    pub(crate) fn protect(&self, prot: ProtFlags) -> Result<(), Errno> {
        // SAFETY: nobody else uses it, and it is used with care below.
        unsafe { mm::mprotect(self.0.cast(), page_size(), prot) }
    }

    pub(crate) fn get(&self) -> u8 {
        // SAFETY: mapped and readable.
        unsafe { self.0.read_volatile() }
    }

    pub(crate) fn set(&self, byte: u8) {
        // SAFETY: mapped; the tests that come here mapped it writable.
        unsafe { self.0.write_volatile(byte) }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { mm::munmap(self.0.cast(), page_size()) }.unwrap();
    }
}

pub(crate) const RW: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);
pub(crate) const RO: ProtFlags = ProtFlags::READ;

/// Everything that forks, or that seals what it mapped, holds this: a child
/// that some other test forks inherits the mapping, and then the seal is EBUSY.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// In a child: fails with the line that did not hold.
#[macro_export]
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(line!());
        }
    };
}

/// Runs `body` in a forked child, which makes nothing but system calls, and
/// panics with the line of the `ensure!` that failed there.
pub(crate) fn in_child(body: impl FnOnce() -> Result<(), u32>) {
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    // SAFETY: `body` makes system calls only, and the child exits.
    match unsafe { fork() }.unwrap() {
        None => {
            let line = body().err().unwrap_or(0);
            let told = io::write(&writer, &line.to_ne_bytes());
            exit_group(i32::from(told != Ok(4)));
        }
        Some(child) => {
            drop(writer);
            let mut line = [0; 4];
            let n = io::retry_on_intr(|| io::read(&reader, &mut line)).unwrap();
            let (_, status) = wait4(WaitTarget::Pid(child), WaitOptions::empty())
                .unwrap()
                .unwrap();
            assert_eq!((n, status), (4, WaitStatus::Exited(0)));
            assert_eq!(
                u32::from_ne_bytes(line),
                0,
                "the line that failed in the child"
            );
        }
    }
}
