//! By userfaultfd-rs.

use crate::tasks::{Fill, Task};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use userfaultfd::{Event, FeatureFlags, RegisterMode, Uffd, UffdBuilder};

fn open(task: &Task, features: FeatureFlags) -> Uffd {
    let mut builder = UffdBuilder::new();
    builder.close_on_exec(true).require_features(features);
    let uffd = builder.create().expect("userfaultfd");
    let mode = match task.fill {
        Fill::Continue => RegisterMode::MINOR,
        _ => RegisterMode::MISSING,
    };
    uffd.register_with_mode(task.memory.cast(), task.len, mode)
        .expect("registered");
    uffd
}

fn fill(uffd: &Uffd, task: &Task, address: usize) {
    let to = task.block_of(address) as *mut libc::c_void;
    // SAFETY: missing pages of the task's memory.
    unsafe {
        match task.fill {
            Fill::Copy => {
                let from = task.source.cast_const().cast();
                uffd.copy(from, to, task.block, true).expect("copied");
            }
            Fill::Zero => {
                uffd.zeropage(to, task.block, true).expect("zeros");
            }
            Fill::Continue => {
                uffd.r#continue(to, task.block, true).expect("mapped");
            }
            Fill::Move => unreachable!("it has none"),
        }
    }
}

pub fn threaded(task: &Task) {
    let uffd = open(task, FeatureFlags::empty());
    crate::threaded(task, |task| match uffd.read_event().expect("an event") {
        Some(Event::Pagefault { addr, .. }) => fill(&uffd, task, addr as usize),
        other => panic!("{other:?}"),
    });
}

static CURRENT: AtomicPtr<(Uffd, *const Task)> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_sigbus(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: what the kernel gives; both live until the last page is touched.
    unsafe {
        let (uffd, task) = &*CURRENT.load(Relaxed);
        fill(uffd, &**task, (*info).si_addr().addr());
    }
}

pub fn sigbus(task: &Task) {
    let mut current = (open(task, FeatureFlags::SIGBUS), &raw const *task);
    CURRENT.store(&raw mut current, Relaxed);
    crate::on_sigbus(on_sigbus);
    task.touch();
}
