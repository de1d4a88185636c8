//! Nanoseconds a page that a thread touches first: how plain C, barecall and
//! userfaultfd-rs serve the fault, in the textbook loop (one message read, one
//! page filled) and in the ways around its cost.
//!
//! `cargo bench --manifest-path benches/faults/Cargo.toml`

#[path = "../../common/mod.rs"]
mod common;
mod ours;
mod tasks;
mod theirs;

use barecall::userfaultfd::Features;
use common::{Way, race, rounds, timed};
use tasks::{Fill, PAGE, Task};

const PAGES: usize = 8192;
const BLOCK: usize = 16 * PAGE;
const ROUNDS: usize = 25;

unsafe extern "C" {
    fn c_threaded(task: &Task, touch: extern "C" fn(&Task));
    fn c_sigbus(task: &Task, touch: extern "C" fn(&Task));
}

fn c(task: &Task) {
    // SAFETY: as declared in faults.c.
    unsafe { c_threaded(task, Task::touch) }
}

fn c_by_sigbus(task: &Task) {
    // SAFETY: as declared in faults.c.
    unsafe { c_sigbus(task, Task::touch) }
}

/// A task that the thread which serves it looks at while another touches it.
struct Shared<'t>(&'t Task);
// SAFETY: the handler reads what does not change; the time is taken by the
// thread that touches.
unsafe impl Sync for Shared<'_> {}

/// Touches the memory, while a thread on the task's processor serves: `serve`
/// takes one event and fills a block.
fn threaded(task: &Task, serve: impl Fn(&Task) + Sync) {
    // What is timed begins when the handler is where it should be.
    let begin = std::sync::Barrier::new(2);
    let served = Shared(task);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let served = &served;
            let task = served.0;
            run_on(task.cpu);
            begin.wait();
            for _ in 0..task.len / task.block {
                serve(task);
            }
        });
        begin.wait();
        task.touch();
    });
}

fn run_on(cpu: usize) {
    let mut only = barecall::thread::CpuSet::<16>::default();
    assert!(only.insert(cpu), "a processor beyond those of a set");
    barecall::thread::sched_setaffinity(None, &only).expect("a processor");
}

fn on_sigbus(handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)) {
    // SAFETY: zeros are an action; the handlers make system calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        let set = libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        assert_eq!(set, 0);
    }
}

/// What the kernel does by itself, and then the contents are copied.
fn zeros_and_copy(task: &Task) {
    task.timed(|| {
        for at in (0..task.len).step_by(PAGE) {
            // SAFETY: mapped; the source is a page at least.
            unsafe { task.memory.add(at).copy_from(task.source, PAGE) };
        }
    });
}

/// One contender: each turn has a task of its own.
fn turn(name: &'static str, task: impl Fn() -> Task + 'static, run: fn(&Task)) -> Way<'static> {
    timed(name, move || {
        let task = task();
        run(&task);
        task.check();
        task.ns()
    })
}

fn all_three(task: impl Fn() -> Task + Copy + 'static) -> Vec<Way<'static>> {
    vec![
        turn("C", task, c),
        turn("barecall", task, ours::threaded),
        turn("userfaultfd-rs", task, theirs::threaded),
    ]
}

fn main() {
    use Fill::{Continue, Copy, Move, Zero};
    let allowed = barecall::thread::sched_getaffinity::<16>(None).expect("processors");
    let mut cpus = allowed.iter();
    let (cpu, other) = (cpus.next().expect("a processor"), cpus.next());
    // Threads inherit it.
    run_on(cpu);
    let task = move |fill, block| move || Task::new(fill, PAGES, block, cpu);
    let race = |case, ways| race("faults", case, "ns", rounds(ROUNDS), ways);

    race("missing page, 4 KiB, textbook", all_three(task(Copy, PAGE)));
    race(
        "missing page, 4 KiB, scattered",
        all_three(move || Task::new(Copy, PAGES, PAGE, cpu).scattered()),
    );
    race("missing page, 64 KiB a fault", all_three(task(Copy, BLOCK)));
    race("missing page, zeros, read", all_three(task(Zero, PAGE)));
    let kernel = barecall::userfaultfd::supported().expect("userfaultfd");
    for (case, block) in [
        ("page in a memfd, 4 KiB a fault", PAGE),
        ("page in a memfd, 64 KiB a fault", BLOCK),
    ] {
        if !kernel.features.contains(Features::MINOR_SHMEM) {
            println!("{case}: since Linux 5.14");
            continue;
        }
        race(case, all_three(task(Continue, block)));
    }
    for (case, block) in [
        ("page moved, 4 KiB a fault", PAGE),
        ("page moved, 64 KiB a fault", BLOCK),
    ] {
        if !kernel.features.contains(Features::MOVE) {
            println!("{case}: since Linux 6.8");
            continue;
        }
        let ways = vec![
            turn("C", task(Move, block), c),
            turn("barecall", task(Move, block), ours::threaded),
        ];
        race(case, ways);
    }
    for (case, block) in [
        ("by SIGBUS, 4 KiB a fault", PAGE),
        ("by SIGBUS, 64 KiB a fault", BLOCK),
    ] {
        let ways = vec![
            turn("C", task(Copy, block), c_by_sigbus),
            turn("barecall", task(Copy, block), ours::sigbus),
            turn("userfaultfd-rs", task(Copy, block), theirs::sigbus),
        ];
        race(case, ways);
    }
    if let Some(other) = other {
        let task = |pages, block| move || Task::new(Copy, pages, block, other);
        race(
            "handler on another processor, 4 KiB",
            all_three(task(PAGES / 4, PAGE)),
        );
        race(
            "handler on another processor, 64 KiB",
            all_three(task(PAGES, BLOCK)),
        );
    }

    let zeros = move || {
        let task = Task::new(Copy, PAGES, PAGE, cpu);
        task.touch();
        task.ns()
    };
    race(
        "what is possible, a page",
        vec![
            turn("barecall, textbook", task(Copy, PAGE), ours::threaded),
            turn(
                "barecall, 64 KiB a fault",
                task(Copy, BLOCK),
                ours::threaded,
            ),
            turn(
                "barecall, filled before, 64 KiB a call",
                task(Copy, BLOCK),
                ours::before,
            ),
            timed("the kernel: zeros", zeros),
            turn(
                "the kernel: zeros, then memcpy",
                task(Copy, PAGE),
                zeros_and_copy,
            ),
        ],
    );
}
