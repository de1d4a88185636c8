//! What the tests of userfaultfd and pagemap share.
#![allow(dead_code)]

use barecall::userfaultfd::{
    Access, Event, Features, MappedRegion, PageRange, RegisterModes, Support, Userfaultfd,
    UserfaultfdOptions, supported,
};
use barecall::{Errno, nr, syscall};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as hanging (the kernels of the
/// matrix are emulated).
const PATIENCE: Duration = Duration::from_secs(120);

/// A thread that waits for a page cannot be joined: a test that fails with one
/// would hang, so the process ends after a while.
pub fn watchdog() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if !STARTED.swap(true, Ordering::Relaxed) {
        std::thread::spawn(|| {
            // In some of these files tests take a minute if asked to.
            std::thread::sleep(3 * PATIENCE);
            eprintln!("the tests of this file hang");
            std::process::abort();
        });
    }
}

pub fn support() -> Support {
    supported().expect("a kernel with userfaultfd")
}

/// Whether the kernel has these features, believed.
pub fn has(features: Features) -> bool {
    support().features.contains(features)
}

/// A userfaultfd with these features, for faults of the kernel too if that is
/// allowed. (Linux 5.10 has no user mode.)
pub fn open(features: Features) -> Userfaultfd {
    watchdog();
    let options = UserfaultfdOptions::new().require(features);
    options
        .access(Access::Kernel)
        .open_any()
        .or_else(|_| options.open_any())
        .expect("a userfaultfd")
        .userfaultfd
}

pub fn plain() -> Userfaultfd {
    open(Features::empty())
}

pub fn page_size() -> usize {
    // SAFETY: a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("a page has a size")
}

/// Anonymous memory of so many pages, registered.
pub fn pages(uffd: &Userfaultfd, count: usize, modes: RegisterModes) -> MappedRegion {
    MappedRegion::anonymous(uffd, count * page_size(), modes).expect("memory")
}

/// The `index`th page of a region.
pub fn page(region: &MappedRegion, index: usize) -> PageRange {
    PageRange::new(region.range().start() + index * page_size(), page_size())
}

/// A page full of one byte.
pub fn filled(byte: u8) -> Vec<u8> {
    vec![byte; page_size()]
}

/// The first byte of the `index`th page; waits for it.
pub fn peek(region: &MappedRegion, index: usize) -> u8 {
    let mut byte = [0];
    assert_eq!(region.read_at(&mut byte, index * page_size()), 1);
    byte[0]
}

/// Writes the first byte of the `index`th page; waits for it.
pub fn poke(region: &MappedRegion, index: usize, byte: u8) {
    assert_eq!(region.write_at(&[byte], index * page_size()), 1);
}

/// The next message, waited for.
pub fn next(uffd: &Userfaultfd) -> Event<'_> {
    let start = Instant::now();
    loop {
        match uffd.read_event() {
            Err(Errno::EAGAIN) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_micros(200));
            }
            event => return event.expect("a message"),
        }
    }
}

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until so many faults of the userfaultfd wait.
pub fn until_waiting(uffd: &Userfaultfd, total: u64) {
    until("a fault", || {
        uffd.waiting_from_fdinfo().unwrap().total == total
    });
}

/// No message, and none comes soon.
pub fn quiet(uffd: &Userfaultfd) {
    std::thread::sleep(Duration::from_millis(20));
    match uffd.read_event() {
        Err(Errno::EAGAIN) => {}
        other => panic!("not quiet: {other:?}"),
    }
}

pub fn gettid() -> u32 {
    // SAFETY: takes nothing, changes nothing.
    unsafe { syscall!(nr::GETTID) }.unwrap() as u32
}

/// Runs `f` in a thread that has given its privileges up. (The raw call changes
/// only the thread that makes it.)
pub fn unprivileged<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // Who is not root has no privileges to give up.
                // SAFETY: numbers only.
                if unsafe { syscall!(nr::GETEUID) } == Ok(0) {
                    // SAFETY: as before.
                    unsafe { syscall!(nr::SETRESUID, 65534, 65534, 65534) }.expect("root");
                }
                f()
            })
            .join()
            .unwrap()
    })
}
