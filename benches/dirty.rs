//! Which pages were written: 256 MiB, a tenth of the pages written at random,
//! by `DirtyTracker`, by the calls under it, by a textbook handler of synchronous
//! write-protection, and by `mprotect` with a handler of `SIGSEGV`.
//!
//! `cargo bench --features pager --bench dirty`. One turn is arming where that
//! is a step of its own, writing, and collecting, all in the steady state. All
//! threads are on one processor, which is best for the handlers; so the time
//! that counts is the process's own on it, whatever else the machine does.

#[path = "common/mod.rs"]
mod common;

use barecall::event::{EventFdFlags, eventfd};
use barecall::io;
use barecall::pagemap::PageRegion;
use barecall::pager::DirtyTracker;
use barecall::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use barecall::time::{ClockId, clock_gettime};
use barecall::userfaultfd::{
    Access, Event, Features, PageRange, RegisterModes, UnprotectFlags, Userfaultfd,
    UserfaultfdOptions,
};
use common::{race, rounds, timed};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

const PAGE: usize = 4096;

/// Memory with all its pages there, small ones.
#[derive(Clone, Copy)]
struct Memory {
    start: *mut u8,
    pages: usize,
}

impl Memory {
    fn new(pages: usize) -> Self {
        let len = pages * PAGE;
        let (prot, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, reached by pointers.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            libc::madvise(start, len, libc::MADV_NOHUGEPAGE);
            let start = start.cast::<u8>();
            start.write_bytes(1, len);
            Self { start, pages }
        }
    }

    fn range(self) -> PageRange {
        PageRange::of_memory(self.start, self.pages * PAGE)
    }

    fn write(self, pages: &[usize]) {
        for page in pages {
            // SAFETY: within it.
            unsafe { self.start.wrapping_add(page * PAGE).write_volatile(2) };
        }
    }
}

/// A tenth of the pages, each once, in any order; not the first, which is how
/// the textbook's handler is told to end.
fn tenth(pages: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (1..pages).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for i in (1..all.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.swap(i, (state % (i as u64 + 1)) as usize);
    }
    all.truncate(pages / 10);
    all
}

/// `WP_ASYNC` and `PAGEMAP_SCAN` without more.
struct ByHand {
    memory: Memory,
    _uffd: Userfaultfd,
    pagemap: std::fs::File,
    /// `struct page_region`: start, end, categories.
    regions: Vec<[u64; 3]>,
}

impl ByHand {
    fn new(pages: usize) -> Self {
        let features = Features::WP_ASYNC | Features::PAGEFAULT_FLAG_WP;
        let options = UserfaultfdOptions::new().require(features);
        let uffd = options.open_any().expect("a userfaultfd").userfaultfd;
        let memory = Memory::new(pages);
        // SAFETY: memory reached by pointers.
        unsafe { uffd.register(memory.range(), RegisterModes::WP) }.expect("registered");
        uffd.write_protect(memory.range()).expect("protected");
        Self {
            memory,
            _uffd: uffd,
            pagemap: std::fs::File::open("/proc/self/pagemap").expect("pagemap"),
            regions: vec![[0; 3]; pages],
        }
    }

    /// How many pages were written; protects them again.
    fn scan(&mut self) -> usize {
        const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
        const WP_MATCHING_AND_CHECK_WPASYNC: u64 = 1 | 2;
        const WRITTEN: u64 = 2;
        let start = self.memory.start.addr() as u64;
        // struct pm_scan_arg
        let mut arg = [
            96,
            WP_MATCHING_AND_CHECK_WPASYNC,
            start,
            start + (self.memory.pages * PAGE) as u64,
            0,
            self.regions.as_mut_ptr() as u64,
            self.regions.len() as u64,
            0,
            0,
            WRITTEN,
            0,
            WRITTEN,
        ];
        // SAFETY: a structure of 96 bytes, and as many regions as it says.
        let found = unsafe { libc::ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN, &mut arg) };
        let found = usize::try_from(found).expect("a scan");
        let regions = self.regions[..found].iter();
        regions
            .map(|[start, end, _]| (end - start) as usize)
            .sum::<usize>()
            / PAGE
    }
}

fn micros(turn: impl FnOnce()) -> f64 {
    let now = || clock_gettime(ClockId::PROCESS_CPUTIME_ID).expect("a clock");
    let start = now();
    turn();
    let spent = now().checked_sub(start).expect("a clock that goes on");
    spent.as_nanos() as f64 / 1000.0
}

// What the handler of SIGSEGV knows.
static SEGV_START: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static SEGV_DIRTY: AtomicPtr<usize> = AtomicPtr::new(std::ptr::null_mut());
static SEGV_COUNT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_segv(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let start = SEGV_START.load(Relaxed);
    // SAFETY: what the kernel gives; the page is of the memory, and the list
    // has room for all of them.
    unsafe {
        let address = (*info).si_addr().cast::<u8>();
        let page = (address.addr() - start.addr()) / PAGE;
        let at = SEGV_COUNT.fetch_add(1, Relaxed);
        SEGV_DIRTY.load(Relaxed).wrapping_add(at).write(page);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        libc::mprotect(start.wrapping_add(page * PAGE).cast(), PAGE, both);
    }
}

fn main() {
    let rounds = rounds(21);
    // To see that it works, less will do.
    let pages = if rounds > 1 { (256 << 20) / PAGE } else { 1000 };
    let written = tenth(pages);
    let supported = barecall::userfaultfd::supported().map(|s| s.features);
    if !supported.is_ok_and(|features| features.contains(Features::WP_ASYNC)) {
        println!("this kernel has no WP_ASYNC");
        return;
    }
    // One processor for all; threads inherit it.
    let allowed: CpuSet = sched_getaffinity(None).expect("sched_getaffinity");
    let mut one = CpuSet::<16>::default();
    one.insert(allowed.iter().next().expect("a processor"));
    sched_setaffinity(None, &one).expect("sched_setaffinity");

    let tracker = DirtyTracker::open().expect("a tracker");
    let memory = Memory::new(pages);
    // SAFETY: memory reached by pointers.
    unsafe { tracker.start(memory.range()) }.expect("tracked");
    let mut room = vec![PageRegion::EMPTY; 2048];
    let by_tracker = || {
        micros(|| {
            memory.write(&written);
            let found = tracker.collect(memory.range(), &mut room);
            let bytes: usize = found.map(|range| range.unwrap().len()).sum();
            assert_eq!(bytes, written.len() * PAGE);
        })
    };

    // The floor: the same by the bare calls, with room for all in one scan.
    let mut by_hand = ByHand::new(pages);
    let by_hand = || {
        micros(|| {
            by_hand.memory.write(&written);
            assert_eq!(by_hand.scan(), written.len());
        })
    };

    let bits: Vec<AtomicU64> = (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
    let synchronous =
        DirtyTracker::open_synchronous(PAGE, &bits, Access::UserMode).expect("a tracker");
    let served = Memory::new(pages);
    // SAFETY: memory reached by pointers.
    unsafe { synchronous.start(served.range()) }.expect("tracked");
    let by_synchronous = || {
        micros(|| {
            served.write(&written);
            let found = synchronous.collect(served.range(), &mut []);
            let bytes: usize = found.map(|range| range.unwrap().len()).sum();
            assert_eq!(bytes, written.len() * PAGE);
        })
    };

    // The textbook: one message a read, a list of pages.
    let options = UserfaultfdOptions::new()
        .require(Features::PAGEFAULT_FLAG_WP)
        .blocking(true);
    let uffd = options.open_any().expect("a userfaultfd").userfaultfd;
    let textbook = Memory::new(pages);
    // SAFETY: memory reached by pointers.
    unsafe { uffd.register(textbook.range(), RegisterModes::WP) }.expect("registered");
    let noted = AtomicUsize::new(0);
    let list: Vec<AtomicUsize> = (0..pages).map(|_| AtomicUsize::new(0)).collect();
    let base = textbook.range().start();
    let (uffd, noted, list) = (&uffd, &noted, &list);
    let handle = move || {
        while let Ok(event) = uffd.read_event() {
            let Event::WriteProtect(fault) = event else {
                continue;
            };
            let page = (fault.address() - base) / PAGE;
            list[noted.fetch_add(1, Relaxed)].store(page, Relaxed);
            fault.unprotect(PAGE).expect("unprotected");
            if page == 0 {
                // The last one, written after the race.
                return;
            }
        }
    };
    let by_textbook = || {
        micros(|| {
            noted.store(0, Relaxed);
            uffd.write_protect(textbook.range()).expect("protected");
            textbook.write(&written);
            assert_eq!(noted.load(Relaxed), written.len());
        })
    };

    let segv = Memory::new(pages);
    let mut dirty = vec![0_usize; pages];
    SEGV_START.store(segv.start, Relaxed);
    SEGV_DIRTY.store(dirty.as_mut_ptr(), Relaxed);
    // SAFETY: a handler that makes one system call and touches its own memory.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_segv as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(
            libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()),
            0
        );
    }
    let by_segv = || {
        micros(|| {
            SEGV_COUNT.store(0, Relaxed);
            // SAFETY: memory of this bench's own.
            let armed = unsafe { libc::mprotect(segv.start.cast(), pages * PAGE, libc::PROT_READ) };
            assert_eq!(armed, 0);
            segv.write(&written);
            assert_eq!(SEGV_COUNT.load(Relaxed), written.len());
        })
    };

    let stop = eventfd(0, EventFdFlags::CLOEXEC).expect("an eventfd");
    std::thread::scope(|scope| {
        scope.spawn(|| synchronous.serve(&stop));
        scope.spawn(handle);
        race(
            "dirty",
            if rounds > 1 {
                "256 MiB, 10 % written"
            } else {
                "4 MiB, 10 % written"
            },
            "us",
            rounds,
            vec![
                timed("DirtyTracker", by_tracker),
                timed("write-protect, synchronous", by_textbook),
                timed("mprotect and SIGSEGV", by_segv),
                timed("DirtyTracker, synchronous", by_synchronous),
                timed("asynchronous, by hand", by_hand),
            ],
        );
        // Both handlers end.
        io::write(&stop, &1_u64.to_ne_bytes()).expect("written");
        let first = PageRange::new(base, PAGE);
        uffd.write_protect(first).expect("protected");
        noted.store(0, Relaxed);
        textbook.write(&[0]);
        let _ = uffd.write_unprotect(textbook.range(), UnprotectFlags::empty());
    });
}
