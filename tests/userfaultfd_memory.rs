//! userfaultfd: kinds of memory, huge pages, real signals, and monitors that
//! follow a process or work hard.
//!
//! UFD-091 (write-protection and pages pinned for long) needs a kernel with
//! CONFIG_GUP_TEST, which nobody ships: it is not tried.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::mm::{MremapFlags, mremap, mremap_to};
use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::userfaultfd::{
    ContinueFlags, CopyFlags, Event, Features, MappedRegion, MoveFlags, PageRange, PoisonFlags,
    RegisterModes, UnprotectFlags, Userfaultfd, abi,
};
use barecall::{Errno, io};
use common::{emulated, in_child, kernel_is_at_least};
use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs::File, ptr, thread};
use uffd::*;

const MISSING: RegisterModes = RegisterModes::MISSING;
const MADV_COLLAPSE: c_int = 25;

/// Forks are told to every userfaultfd that asked, and a child must not be
/// forked in the middle of what the helpers do once.
fn my_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    support();
    page_size();
    kernel_is_at_least(5, 10);
    watchdog();
    turn
}

/// A mapping of our own, at a multiple of `align`, which goes with it.
struct Memory {
    start: *mut u8,
    len: usize,
}

// SAFETY: memory has no thread; whoever touches it does so by volatile bytes.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(len: usize, align: usize, flags: c_int, file: Option<&File>) -> Self {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: new mappings; the second replaces a part of the first, and
        // what is left of the first is unmapped.
        unsafe {
            let room = libc::mmap(ptr::null_mut(), len + align, prot, anonymous, -1, 0);
            assert_ne!(room, libc::MAP_FAILED);
            let start = room.cast::<u8>().wrapping_add(room.align_offset(align));
            let (flags, fd) = match file {
                Some(file) => (flags, file.as_raw_fd()),
                None => (flags | libc::MAP_ANONYMOUS, -1),
            };
            let flags = flags | libc::MAP_FIXED | libc::MAP_NORESERVE;
            let mapped = libc::mmap(start.cast(), len, prot, flags, fd, 0);
            assert_eq!(mapped, start.cast());
            let before = start.addr() - room.addr();
            libc::munmap(room, before);
            libc::munmap(start.wrapping_add(len).cast(), align - before);
            Self { start, len }
        }
    }

    fn private(len: usize) -> Self {
        Self::new(len, page_size(), libc::MAP_PRIVATE, None)
    }

    fn range(&self) -> PageRange {
        PageRange::of_memory(self.start, self.len)
    }

    fn register(&self, uffd: &Userfaultfd, modes: RegisterModes) -> Result<(), Errno> {
        // SAFETY: memory of a test, that knows who serves it.
        unsafe { uffd.register(self.range(), modes) }.map(drop)
    }

    fn get(&self, offset: usize) -> u8 {
        assert!(offset < self.len);
        // SAFETY: within the mapping.
        unsafe { self.start.wrapping_add(offset).read_volatile() }
    }

    fn set(&self, offset: usize, byte: u8) {
        assert!(offset < self.len);
        // SAFETY: within the mapping.
        unsafe { self.start.wrapping_add(offset).write_volatile(byte) }
    }

    fn advise(&self, advice: c_int) -> Result<(), Errno> {
        advise(self.start, self.len, advice)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

fn advise(start: *mut u8, len: usize, advice: c_int) -> Result<(), Errno> {
    let advice = barecall::mm::Advice::from_raw(advice);
    // SAFETY: memory of a test, that knows what becomes of it.
    unsafe { barecall::mm::madvise(start.cast(), len, advice) }
}

/// A file in memory, of so many bytes.
fn memfd(len: usize) -> File {
    // SAFETY: a new descriptor, ours.
    let file = unsafe {
        let fd = libc::memfd_create(c"rows".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        File::from_raw_fd(fd)
    };
    file.set_len(len as u64).unwrap();
    file
}

/// The size of a transparent huge page; none if the system makes none.
fn huge_size() -> Option<usize> {
    let read = |name| {
        let path = format!("/sys/kernel/mm/transparent_hugepage/{name}");
        std::fs::read_to_string(path).ok()
    };
    if read("enabled")?.contains("[never]") {
        return None;
    }
    read("hpage_pmd_size")?.trim().parse().ok()
}

/// Whether the page tables map huge pages in all of a range.
fn is_huge(range: PageRange) -> bool {
    let scan = Scan::new(range).all_of(Categories::HUGE);
    let mut room = [PageRegion::EMPTY; 8];
    let pagemap = Pagemap::open_self().unwrap();
    let found = pagemap.scan(scan, &mut room);
    found.map(|r| r.unwrap().range().len()).sum::<usize>() == range.len()
}

/// UFD-046: no structure.
#[test]
fn registering_with_a_null_pointer_is_efault() {
    let uffd = plain();
    for request in [abi::UFFDIO_REGISTER, abi::UFFDIO_UNREGISTER] {
        // SAFETY: an error.
        let null = unsafe { io::ioctl(&uffd, request, 0) };
        assert_eq!(null, Err(Errno::EFAULT));
    }
}

/// UFD-043: the files of a disk cannot be registered; those of tmpfs can.
#[test]
fn a_file_is_registered_only_if_it_is_in_memory() {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let uffd = plain();
    let file = tempfile::tempfile().unwrap();
    file.set_len(page_size() as u64).unwrap();
    // SAFETY: plain numbers, which the kernel fills.
    let in_memory = unsafe {
        let mut statfs: libc::statfs = std::mem::zeroed();
        assert_eq!(libc::fstatfs(file.as_raw_fd(), &raw mut statfs), 0);
        statfs.f_type as i64 == TMPFS_MAGIC
    };
    let as_expected = |yes| if yes { Ok(()) } else { Err(Errno::EINVAL) };
    for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
        let register = |modes| {
            Memory::new(page_size(), page_size(), flags, Some(&file)).register(&uffd, modes)
        };
        assert_eq!(register(MISSING), as_expected(in_memory));
        assert_eq!(
            register(RegisterModes::WP),
            as_expected(in_memory && has(Features::WP_HUGETLBFS_SHMEM))
        );
    }
}

/// UFD-109: minor faults, and then the small pages become a huge one.
#[test]
fn collapsing_after_minor_faults_corrupts_nothing() {
    let Some(huge) = huge_size() else { return };
    let uffd = plain();
    let file = memfd(huge);
    let behind = Memory::new(huge, huge, libc::MAP_SHARED, Some(&file));
    let memory = Memory::new(huge, huge, libc::MAP_SHARED, Some(&file));
    if !has(Features::MINOR_SHMEM) {
        assert!(!kernel_is_at_least(5, 14));
        let refused = memory.register(&uffd, RegisterModes::MINOR);
        assert_eq!(refused, Err(Errno::EINVAL));
        assert_eq!(memory.advise(MADV_COLLAPSE), Err(Errno::EINVAL));
        return;
    }
    memory.register(&uffd, RegisterModes::MINOR).unwrap();
    let byte = |offset: usize| (offset / page_size() % 251) as u8;
    let pages = (0..huge).step_by(page_size());
    for offset in pages.clone() {
        behind.set(offset, byte(offset));
    }
    // The first pages by a fault each, the others at once.
    const FAULTS: usize = 16;
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..FAULTS {
                memory.get(i * page_size());
            }
        });
        for _ in 0..FAULTS {
            match next(&uffd) {
                Event::Minor(fault) => fault.cont(page_size()).unwrap(),
                other => panic!("{other:?}"),
            };
        }
    });
    let none = ContinueFlags::empty();
    let mapped = uffd.fill_continue_missing(memory.range(), page_size(), none);
    assert_eq!(mapped.all(), Ok(huge));
    let collapsed = memory.advise(MADV_COLLAPSE);
    if !kernel_is_at_least(6, 1) {
        assert_eq!(collapsed, Err(Errno::EINVAL));
    } else if collapsed.is_ok() && kernel_is_at_least(6, 7) {
        // Nobody promises it: perhaps no huge page is free.
        assert!(is_huge(memory.range()));
    }
    for offset in pages {
        assert_eq!(memory.get(offset), byte(offset));
    }
    quiet(&uffd);
}

/// UFD-132: a huge page moves whole; or, if only half of it moves, it is
/// split.
#[test]
fn a_huge_page_moves_whole_or_in_halves() {
    if !has(Features::MOVE) {
        assert!(!kernel_is_at_least(6, 8));
        return;
    }
    let Some(huge) = huge_size() else { return };
    let uffd = plain();
    let source = Memory::new(2 * huge, huge, libc::MAP_PRIVATE, None);
    let target = Memory::new(2 * huge, huge, libc::MAP_PRIVATE, None);
    // A child that is forked meanwhile would share the pages, which then
    // cannot move.
    let _turn = my_turn();
    source.advise(libc::MADV_HUGEPAGE).unwrap();
    target.advise(libc::MADV_HUGEPAGE).unwrap();
    let byte = |offset: usize| (offset / page_size() % 251) as u8 + 1;
    for offset in (0..2 * huge).step_by(page_size()) {
        source.set(offset, byte(offset));
    }
    // There may have been no huge page to have.
    let was_huge = is_huge(PageRange::of_memory(source.start, huge));
    target.register(&uffd, MISSING).unwrap();
    let mv = |offset: usize, len: usize| {
        let mut done = 0;
        // EAGAIN and nothing done: somebody looked at the page just then.
        until("the move", || {
            let at = offset + done;
            let to = PageRange::new(target.start.addr() + at, len - done);
            // SAFETY: the source is ours, and nobody relies on it.
            let moved =
                unsafe { uffd.fill_move(to, source.start.wrapping_add(at), MoveFlags::empty()) };
            done += moved.done;
            match moved.all() {
                Err(Errno::EAGAIN) => false,
                all => {
                    all.unwrap();
                    true
                }
            }
        });
        done
    };
    assert_eq!(mv(0, huge), huge);
    let moved = PageRange::new(target.start.addr(), huge);
    assert_eq!(is_huge(moved), was_huge);
    assert_eq!(mv(huge, huge / 2), huge / 2);
    assert!(!is_huge(PageRange::new(moved.end(), page_size())));
    for offset in (0..huge + huge / 2).step_by(page_size()) {
        assert_eq!(target.get(offset), byte(offset));
        assert_eq!(source.get(offset), 0);
    }
    // The other half stayed.
    for offset in (huge + huge / 2..2 * huge).step_by(page_size()) {
        assert_eq!(source.get(offset), byte(offset));
    }
    quiet(&uffd);
}

// What the handler of SIGBUS found, and what it needs.
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDRESS: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static REMEDY: AtomicUsize = AtomicUsize::new(0);
static UFFD: AtomicI32 = AtomicI32::new(-1);

const MAP_ANEW: usize = 0;
const ZEROPAGE: usize = 1;
const UNPROTECT: usize = 2;

/// Notes what came, and mends the page, so that the access succeeds when it is
/// made again.
extern "C" fn on_sigbus(_: c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's information about a SIGBUS; a descriptor that is
    // open while it can be seen; and a page of the test's.
    unsafe {
        let address = (*info).si_addr().addr();
        CODE.store((*info).si_code, SeqCst);
        ADDRESS.store(address, SeqCst);
        if SIGNALS.fetch_add(1, SeqCst) > 1000 {
            libc::_exit(99);
        }
        let size = page_size();
        let start = address & !(size - 1);
        let uffd = std::os::fd::BorrowedFd::borrow_raw(UFFD.load(SeqCst));
        let range = abi::UffdioRange {
            start: start as u64,
            len: size as u64,
        };
        match REMEDY.load(SeqCst) {
            ZEROPAGE => {
                let mut arg = abi::UffdioZeropage {
                    range,
                    mode: 0,
                    zeropage: 0,
                };
                libc::ioctl(uffd.as_raw_fd(), abi::UFFDIO_ZEROPAGE as _, &raw mut arg);
            }
            UNPROTECT => {
                let mut arg = abi::UffdioWriteprotect { range, mode: 0 };
                libc::ioctl(
                    uffd.as_raw_fd(),
                    abi::UFFDIO_WRITEPROTECT as _,
                    &raw mut arg,
                );
            }
            _ => {
                let prot = libc::PROT_READ | libc::PROT_WRITE;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
                libc::mmap(ptr::without_provenance_mut(start), size, prot, flags, -1, 0);
            }
        }
    }
}

/// Takes SIGBUS in this process, a child.
fn catch_sigbus(uffd: &Userfaultfd, remedy: usize) {
    use barecall::fd::AsFd;
    UFFD.store(uffd.as_fd().as_raw_fd(), SeqCst);
    REMEDY.store(remedy, SeqCst);
    // SAFETY: a handler that calls only what a handler may.
    unsafe {
        libc::alarm(200);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()), 0);
    }
}

/// UFD-119: every second page is poison, and half of the pages give SIGBUS.
#[test]
fn poison_is_sigbus_for_the_page_and_no_other() {
    let _turn = my_turn();
    if !has(Features::POISON) {
        assert!(!kernel_is_at_least(6, 6));
        return;
    }
    in_child(|| {
        const PAGES: usize = 16;
        let uffd = plain();
        let size = page_size();
        let memory = Memory::private(PAGES * size);
        memory.register(&uffd, MISSING).unwrap();
        for i in 0..PAGES {
            let start = memory.range().start() + i * size;
            let filled = if i % 2 == 1 {
                uffd.copy_once(start, &filled(i as u8), CopyFlags::empty())
            } else {
                uffd.poison_once(PageRange::new(start, size), PoisonFlags::empty())
            };
            assert_eq!(filled.all(), Ok(size));
        }
        catch_sigbus(&uffd, MAP_ANEW);
        // The code tells of broken memory if the kernel can tell at all.
        let knows = cfg!(target_arch = "aarch64")
            || std::fs::exists("/proc/sys/vm/memory_failure_early_kill").unwrap();
        let code = if knows {
            libc::BUS_MCEERR_AR
        } else {
            libc::BUS_ADRERR
        };
        for i in 0..PAGES {
            let before = SIGNALS.load(SeqCst);
            let byte = memory.get(i * size);
            if i % 2 == 1 {
                assert_eq!((SIGNALS.load(SeqCst), byte), (before, i as u8));
            } else {
                assert_eq!((SIGNALS.load(SeqCst), byte), (before + 1, 0));
                assert_eq!(CODE.load(SeqCst), code);
                assert_eq!(ADDRESS.load(SeqCst), memory.start.addr() + i * size);
            }
        }
        assert_eq!(SIGNALS.load(SeqCst), PAGES / 2);
    });
}

/// UFD-140: with SIGBUS, a touch is a signal and no message, and after
/// ZEROPAGE it succeeds.
#[test]
fn with_the_feature_a_missing_page_is_sigbus() {
    let _turn = my_turn();
    in_child(|| {
        let uffd = open(Features::SIGBUS);
        let memory = Memory::private(2 * page_size());
        memory.register(&uffd, MISSING).unwrap();
        catch_sigbus(&uffd, ZEROPAGE);
        assert_eq!(memory.get(page_size()), 0);
        assert_eq!(SIGNALS.load(SeqCst), 1);
        assert_eq!(CODE.load(SeqCst), libc::BUS_ADRERR);
        assert_eq!(ADDRESS.load(SeqCst), memory.start.addr() + page_size());
        memory.set(page_size(), 7);
        assert_eq!(memory.get(page_size()), 7);
        assert_eq!(SIGNALS.load(SeqCst), 1);
        quiet(&uffd);
    });
}

/// UFD-141: the same for a write to a page that is write-protected; reading it
/// is no fault.
#[test]
fn with_the_feature_a_protected_page_is_sigbus_when_written() {
    let _turn = my_turn();
    if !has(Features::PAGEFAULT_FLAG_WP) {
        assert!(cfg!(target_arch = "aarch64") && !kernel_is_at_least(6, 10));
        return;
    }
    in_child(|| {
        let uffd = open(Features::SIGBUS | Features::PAGEFAULT_FLAG_WP);
        let memory = Memory::private(2 * page_size());
        memory.set(page_size(), 1);
        memory.register(&uffd, RegisterModes::WP).unwrap();
        uffd.write_protect(memory.range()).unwrap();
        catch_sigbus(&uffd, UNPROTECT);
        assert_eq!(memory.get(page_size()), 1);
        assert_eq!(SIGNALS.load(SeqCst), 0);
        memory.set(page_size() + 1, 2);
        assert_eq!(SIGNALS.load(SeqCst), 1);
        assert_eq!(CODE.load(SeqCst), libc::BUS_ADRERR);
        assert_eq!(
            ADDRESS.load(SeqCst) & !(page_size() - 1),
            memory.start.addr() + page_size()
        );
        assert_eq!(memory.get(page_size() + 1), 2);
        memory.set(page_size(), 3);
        assert_eq!(SIGNALS.load(SeqCst), 1);
        quiet(&uffd);
        let none = UnprotectFlags::empty();
        assert_eq!(uffd.write_unprotect(memory.range(), none), Ok(()));
    });
}

/// What a monitor knows of a process: the bytes of its pages that were not
/// zeros, by address; and what it has seen.
#[derive(Clone, Default)]
struct Followed {
    pages: HashMap<usize, u8>,
    faults: usize,
    remaps: usize,
    removes: usize,
}

/// Serves a process and those that it forks, as its memory moves and goes,
/// until `done`. Gives what it knows, the children's last.
fn follow(uffd: Userfaultfd, start: Followed, done: &AtomicBool) -> Vec<Followed> {
    let mut all = vec![(uffd, start)];
    let mut idle = false;
    while !(idle && done.load(SeqCst)) {
        idle = true;
        let mut forked = None;
        for (uffd, known) in &mut all {
            let event = match uffd.read_event() {
                Err(Errno::EAGAIN) => continue,
                event => event.unwrap(),
            };
            idle = false;
            match event {
                Event::Missing(fault) => {
                    let at = fault.page(page_size()).start();
                    let byte = known.pages.get(&at).copied().unwrap_or(0);
                    // If it fails, the process goes on changing, and the fault
                    // comes again.
                    if fault.copy(&filled(byte)).is_ok() {
                        known.faults += 1;
                    }
                }
                Event::Remap(remap) => {
                    known.remaps += 1;
                    let from = remap.from..remap.from + remap.len;
                    let old = std::mem::take(&mut known.pages);
                    known.pages = old
                        .into_iter()
                        .map(|(at, byte)| match from.contains(&at) {
                            true => (at - remap.from + remap.to, byte),
                            false => (at, byte),
                        })
                        .collect();
                }
                Event::Remove(range) => {
                    known.removes += 1;
                    let gone = range.start()..range.end();
                    known.pages.retain(|at, _| !gone.contains(at));
                }
                Event::Fork(child) => {
                    let known = Followed {
                        faults: 0,
                        remaps: 0,
                        removes: 0,
                        ..known.clone()
                    };
                    forked = Some((child.into_userfaultfd(), known));
                }
                other => panic!("{other:?}"),
            }
        }
        all.extend(forked);
        if idle {
            thread::sleep(Duration::from_micros(200));
        }
    }
    all.into_iter().map(|(_, known)| known).collect()
}

const FOLLOWED: usize = 8;

/// Nothing but memory and system calls, so that a forked child can do it. The
/// memory is two halves of `FOLLOWED` pages, and the page at the index i is to
/// hold i + 1; `away` is room for three halves. The answer is the step that
/// failed.
fn exercise(memory: *mut u8, away: *mut u8, size: usize) -> i32 {
    let half = FOLLOWED * size;
    let (first, second) = (memory, memory.wrapping_add(half));
    let is = |at: *mut u8, i: usize, byte: usize| {
        // SAFETY: within what the caller gives.
        usize::from(unsafe { at.wrapping_add(i * size).read_volatile() }) == byte
    };
    let mv = |from: *mut u8, to: *mut u8| {
        let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        // SAFETY: both are the caller's.
        unsafe { mremap_to(from.cast(), half, half, flags, to.cast()) }.is_ok()
    };
    // The lazy pages come as they are.
    if !(0..FOLLOWED).all(|i| is(first, i, i + 1)) {
        return 1;
    }
    // The two halves change places; of the second no page has come yet.
    if !(mv(first, away) && mv(second, first) && mv(away, second)) {
        return 2;
    }
    if !(0..FOLLOWED).all(|i| is(second, i, i + 1) && is(first, i, FOLLOWED + i + 1)) {
        return 3;
    }
    // What is discarded is zeros.
    if advise(second, 2 * size, libc::MADV_DONTNEED).is_err() {
        return 4;
    }
    if !(0..FOLLOWED).all(|i| is(second, i, if i < 2 { 0 } else { i + 1 })) {
        return 5;
    }
    // What grows keeps what it has, and the rest is zeros.
    // SAFETY: the second half, and nothing of it is used any more where it was.
    let grown = unsafe { mremap(second.cast(), half, 2 * half, MremapFlags::MAYMOVE) };
    let Ok(grown) = grown.map(|at| at.cast::<u8>()) else {
        return 6;
    };
    let as_grown = |i| if (2..FOLLOWED).contains(&i) { i + 1 } else { 0 };
    if !(0..2 * FOLLOWED).all(|i| is(grown, i, as_grown(i))) {
        return 7;
    }
    if advise(grown, 2 * half, libc::MADV_DONTNEED).is_err() {
        return 8;
    }
    if !(0..2 * FOLLOWED).all(|i| is(grown, i, 0)) {
        return 9;
    }
    0
}

/// UFD-156, UFD-157: a monitor follows a process, and its child, through moves,
/// growth and release, and every page is what it should be.
#[test]
fn a_monitor_follows_a_process_and_its_child() {
    const CAP_SYS_PTRACE: u32 = 19;
    if !common::has_capability(CAP_SYS_PTRACE) {
        skip!("EVENT_FORK needs CAP_SYS_PTRACE");
    }
    let _turn = my_turn();
    let features = Features::EVENT_FORK | Features::EVENT_REMAP | Features::EVENT_REMOVE;
    let uffd = open(features);
    let size = page_size();
    let memory = Memory::private(2 * FOLLOWED * size);
    let away = Memory::private(FOLLOWED * size);
    memory.register(&uffd, MISSING).unwrap();
    let base = memory.start.addr();
    let known = Followed {
        pages: (0..2 * FOLLOWED)
            .map(|i| (base + i * size, i as u8 + 1))
            .collect(),
        ..Followed::default()
    };
    // A process of its own, with one thread: in this one, somebody else could
    // map something where memory moved away.
    let in_process = |body: &dyn Fn() -> i32| {
        // SAFETY: the child touches memory, makes system calls, and exits.
        match unsafe { fork() }.unwrap() {
            None => exit_group(body()),
            Some(child) => match wait4(WaitTarget::Pid(child), WaitOptions::empty()) {
                Ok(Some((_, WaitStatus::Exited(step)))) => i32::from(step),
                _ => 100,
            },
        }
    };
    let done = AtomicBool::new(false);
    let followed = thread::scope(|scope| {
        let monitor = scope.spawn(|| follow(uffd, known, &done));
        let exercise = || exercise(memory.start, away.start, size);
        // The child's child first, of whose memory nothing has come, either.
        let step = in_process(&|| match in_process(&exercise) {
            0 => exercise(),
            step => 10 + step,
        });
        done.store(true, SeqCst);
        assert_eq!(step, 0, "the step that failed");
        monitor.join().unwrap()
    });
    assert_eq!(followed.len(), 3);
    // The parent touched nothing.
    assert_eq!(followed[0].faults, 0);
    for process in &followed[1..] {
        // Three moves, and the growth, if it had to move for it.
        assert!([3, 4].contains(&process.remaps), "{}", process.remaps);
        assert_eq!(process.removes, 2);
        // All pages, the two that were discarded, as many as were added, and
        // after the last release all of that half again.
        let expected = 2 * FOLLOWED + 2 + FOLLOWED + 2 * FOLLOWED;
        assert_eq!(process.faults, expected);
    }
}

/// UFD-158: several threads touch pages at random and several serve them, while
/// all pages go again and again, and no byte is lost.
fn bounce(flags: c_int, file: Option<&File>, release: c_int, time: Duration) {
    const PAGES: usize = 64;
    const WORKERS: usize = 3;
    let touches = if emulated() { 100 } else { 1000 };
    let uffd = plain();
    let size = page_size();
    let memory = Memory::new(PAGES * size, size, flags, file);
    memory.register(&uffd, MISSING).unwrap();
    let base = memory.start.addr();
    let pages: Vec<Mutex<u8>> = (0..PAGES).map(|_| Mutex::new(0)).collect();
    let source: Vec<Mutex<u8>> = (0..PAGES).map(|_| Mutex::new(0)).collect();
    let done = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    match uffd.read_event() {
                        Ok(Event::Missing(fault)) => {
                            let at = fault.page(size).start();
                            let i = (at - base) / size;
                            let byte = *source[i].lock().unwrap();
                            // Another may have been faster: that is resolved,
                            // too.
                            fault.copy(&filled(byte)).unwrap();
                        }
                        Err(Errno::EAGAIN) => thread::yield_now(),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        let mut seed = 1_u64;
        loop {
            thread::scope(|scope| {
                for _ in 0..WORKERS {
                    seed += 1;
                    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                    let (memory, pages) = (&memory, &pages);
                    scope.spawn(move || {
                        for _ in 0..touches {
                            random ^= random << 13;
                            random ^= random >> 7;
                            random ^= random << 17;
                            let i = (random >> 20) as usize % PAGES;
                            let mut expected = pages[i].lock().unwrap();
                            let last = (i + 1) * size - 1;
                            assert_eq!(memory.get(last), *expected, "page {i}");
                            *expected = expected.wrapping_add(1);
                            memory.set(last, *expected);
                        }
                    });
                }
            });
            for (page, source) in pages.iter().zip(&source) {
                *source.lock().unwrap() = *page.lock().unwrap();
            }
            memory.advise(release).unwrap();
            if began.elapsed() > time {
                break;
            }
        }
        for (i, page) in pages.iter().enumerate() {
            assert_eq!(memory.get((i + 1) * size - 1), *page.lock().unwrap());
        }
        done.store(true, SeqCst);
    });
    quiet(&uffd);
}

#[test]
fn a_stress_of_faults_loses_no_byte() {
    let time = Duration::from_millis(if emulated() { 1 } else { 500 });
    let len = 64 * page_size();
    bounce(libc::MAP_PRIVATE, None, libc::MADV_DONTNEED, time);
    let file = memfd(len);
    bounce(libc::MAP_SHARED, Some(&file), libc::MADV_REMOVE, time);
    let file = memfd(len);
    bounce(libc::MAP_PRIVATE, Some(&file), libc::MADV_DONTNEED, time);
}

#[test]
fn a_region_of_broken_huge_pages_leaves_nothing() {
    let uffd = plain();
    // Of this test only. What is unmapped, has closed its descriptor.
    let left = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let huge = |line: &&str| line.contains("/anon_hugepage") || line.contains("memfd:broken");
        maps.lines().filter(huge).count()
    };
    let refused = MappedRegion::anonymous_huge(&uffd, page_size(), 21, MISSING).map(drop);
    // ENOMEM: none is reserved.
    assert!(matches!(refused, Err(Errno::EINVAL | Errno::ENOMEM)));
    assert_eq!(left(), 0);

    // SAFETY: a string, and flags.
    let fd =
        unsafe { libc::memfd_create(c"broken".as_ptr(), libc::MFD_HUGETLB | libc::MFD_CLOEXEC) };
    if fd >= 0 {
        // SAFETY: a new descriptor, ours.
        let file = unsafe { barecall::fd::OwnedFd::from_raw_fd(fd) };
        let refused = MappedRegion::shared(&uffd, &file, 0, page_size(), MISSING).map(drop);
        assert!(matches!(refused, Err(Errno::EINVAL | Errno::ENOMEM)));
        assert_eq!(left(), 0);
    }
}

/// With WP_ASYNC, the kernel would take any mapping: a device's, with pointers of
/// the kernel's in it, is none that safe code may write.
#[test]
fn a_region_is_only_of_a_file_in_memory() {
    let wp_async = Features::WP_ASYNC;
    let uffd = if has(wp_async) {
        open(wp_async)
    } else {
        plain()
    };
    let modes = RegisterModes::WP;
    let event = barecall::event::eventfd(0, barecall::event::EventFdFlags::CLOEXEC).unwrap();
    let refused = MappedRegion::shared(&uffd, &event, 0, page_size(), modes);
    assert_eq!(refused.map(drop), Err(Errno::EINVAL));
    // On a disk, where this was built.
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    if directory.exists() {
        let file = tempfile::tempfile_in(directory).unwrap();
        file.set_len(page_size() as u64).unwrap();
        // SAFETY: its descriptor is nobody else's now.
        let file = unsafe { barecall::fd::OwnedFd::from_raw_fd(file.into_raw_fd()) };
        let refused = MappedRegion::shared(&uffd, &file, 0, page_size(), modes);
        assert_eq!(refused.map(drop), Err(Errno::EINVAL));
    }
}

#[test]
fn a_size_that_no_huge_page_can_have_is_einval() {
    let uffd = plain();
    // Not the system's own choice, nor that of the six lowest bits.
    for log2 in [0, 64, 64 + 21, u32::MAX] {
        let refused = MappedRegion::anonymous_huge(&uffd, 2 << 20, log2, MISSING).map(drop);
        assert_eq!(refused, Err(Errno::EINVAL));
    }
}

#[test]
fn discarding_a_part_of_a_page_discards_the_page() {
    let (uffd, size) = (plain(), page_size());
    let region = MappedRegion::anonymous(&uffd, 3 * size, MISSING).unwrap();
    let fill = || {
        let pages = vec![7; 3 * size];
        let filled =
            uffd.fill_copy_missing(region.range().start(), &pages, size, CopyFlags::empty());
        filled.all().unwrap();
    };
    let there = || {
        let starts = (0..3).map(|i| region.range().start() + i * size);
        let page = vec![7; size];
        let once = |at| uffd.copy_once(at, &page, CopyFlags::empty()).stop.is_some();
        starts.map(once).collect::<Vec<_>>()
    };
    fill();
    assert_eq!(region.discard(0, 1), Ok(()));
    assert_eq!(there(), [false, true, true]);
    assert_eq!(region.discard(size, size + 1), Ok(()));
    assert_eq!(there(), [true, false, false]);
    assert_eq!(region.discard(1, size), Err(Errno::EINVAL));
    assert_eq!(region.discard(2 * size, size + 1), Err(Errno::EINVAL));
    assert_eq!(region.discard(3 * size, 0), Ok(()));
    assert_eq!(there(), [true, true, true]);
}
