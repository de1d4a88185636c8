//! By this crate.

use crate::tasks::{Fill, Task};
use barecall::userfaultfd::{
    ContinueFlags, CopyFlags, Event, Features, MoveFlags, PageRange, RegisterModes, Userfaultfd,
    UserfaultfdOptions, ZeroFlags,
};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

fn open(task: &Task, features: Features) -> Userfaultfd {
    let options = UserfaultfdOptions::new().blocking(true).require(features);
    let uffd = options.open_syscall().expect("userfaultfd").userfaultfd;
    let modes = match task.fill {
        Fill::Continue => RegisterModes::MINOR,
        _ => RegisterModes::MISSING,
    };
    // SAFETY: memory reached by pointers, and served.
    unsafe { uffd.register(memory(task), modes) }.expect("registered");
    uffd
}

fn memory(task: &Task) -> PageRange {
    PageRange::of_memory(task.memory, task.len)
}

fn source(task: &Task) -> &[u8] {
    // SAFETY: it has a block, and is not written.
    unsafe { std::slice::from_raw_parts(task.source, task.block) }
}

fn fill(uffd: &Userfaultfd, task: &Task, address: usize) {
    let to = PageRange::new(task.block_of(address), task.block);
    let filled = match task.fill {
        Fill::Copy => uffd.copy_once(to.start(), source(task), CopyFlags::empty()),
        Fill::Zero => uffd.zero_once(to, ZeroFlags::empty()),
        Fill::Continue => uffd.continue_once(to, ContinueFlags::empty()),
        Fill::Move => {
            let from = task.source.wrapping_add(to.start() - task.memory.addr());
            // SAFETY: nobody else uses what is moved.
            unsafe { uffd.move_once(to, from, MoveFlags::empty()) }
        }
    };
    assert_eq!(filled.done, task.block);
}

pub fn threaded(task: &Task) {
    let uffd = open(task, Features::empty());
    crate::threaded(task, |task| match uffd.read_event().expect("an event") {
        Event::Missing(fault) => {
            fill(&uffd, task, fault.address());
            fault.resolved();
        }
        Event::Minor(fault) => {
            fill(&uffd, task, fault.address());
            fault.resolved();
        }
        other => panic!("{other:?}"),
    });
}

/// What the handler of the signal serves.
static CURRENT: AtomicPtr<(Userfaultfd, *const Task)> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_sigbus(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: what the kernel gives; both live until the last page is touched.
    unsafe {
        let (uffd, task) = &*CURRENT.load(Relaxed);
        fill(uffd, &**task, (*info).si_addr().addr());
    }
}

pub fn sigbus(task: &Task) {
    let mut current = (open(task, Features::SIGBUS), &raw const *task);
    CURRENT.store(&raw mut current, Relaxed);
    crate::on_sigbus(on_sigbus);
    task.touch();
}

/// No fault at all: filled beforehand.
pub fn before(task: &Task) {
    let uffd = open(task, Features::empty());
    task.timed(|| {
        for at in (0..task.len).step_by(task.block) {
            fill(&uffd, task, task.memory.addr() + at);
        }
    });
}
