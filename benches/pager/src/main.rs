//! 256 MiB, touched page after page, one byte written in each: nanoseconds of
//! processor time a page of 4 KiB. The source is 256 MiB of memory that is
//! there; handler and faulting thread share a processor.

#[path = "../../common/mod.rs"]
mod common;

use barecall::auxv::{Auxv, Entry};
use barecall::fd::AsFd as _;
use barecall::memfd::{Exec, MemfdOptions};
use barecall::pager::{
    InFile, PageSource, Pager, PagerOptions, Region, RegionTable, SelfPager, SliceSource,
};
use barecall::time::{ClockId, clock_gettime};
use barecall::userfaultfd::{
    Features, MappedRegion, RegisterModes, Userfaultfd, UserfaultfdOptions,
};
use barecall::vdso::Vdso;
use common::{race, rounds, timed};
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

const PAGE: usize = 4096;
const SIZE: usize = 256 << 20;
const PAGES: usize = SIZE / PAGE;
const MISSING: RegisterModes = RegisterModes::MISSING;

/// What this process has had of the processor, in nanoseconds.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::PROCESS_CPUTIME_ID).unwrap();
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Touches every page; gives nanoseconds a page. Handler and faulting thread
/// take turns on one processor, so that on an idle machine this is the time
/// that passes. On a busy one, the time that passes is also that of others,
/// and of contenders with and without a handler thread not the same share.
fn touch(memory: *mut u8) -> f64 {
    let start = spent();
    for page in 0..PAGES {
        // SAFETY: mapped, and written only here.
        unsafe { memory.add(page * PAGE).write_volatile(1) };
    }
    (spent() - start) / PAGES as f64
}

/// The last page is what it should be.
fn check(memory: *const u8, source: &[u8]) {
    // SAFETY: mapped, and nobody writes now.
    let last = unsafe { std::slice::from_raw_parts(memory.add(SIZE - PAGE + 1), PAGE - 1) };
    assert!(
        last == &source[SIZE - PAGE + 1..],
        "other bytes than the source's"
    );
}

unsafe extern "C" {
    fn c_textbook(
        pages: usize,
        size: usize,
        source: *const u8,
        touch: extern "C" fn(*mut u8),
    ) -> i32;
}

fn c(source: &[u8]) -> f64 {
    static LAST: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn touched(memory: *mut u8) {
        LAST.store((touch(memory) * 1000.0) as usize, Ordering::Relaxed);
    }
    // SAFETY: as declared in textbook.c.
    let failed = unsafe { c_textbook(PAGES, PAGE, source.as_ptr(), touched) };
    assert_eq!(failed, 0);
    LAST.load(Ordering::Relaxed) as f64 / 1000.0
}

fn map(prot: i32) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, prot, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    memory.cast()
}

fn userfaultfd_rs(source: &[u8]) -> f64 {
    use userfaultfd::{Event, UffdBuilder};
    let uffd = UffdBuilder::new().close_on_exec(true).create().unwrap();
    let memory = map(libc::PROT_READ | libc::PROT_WRITE);
    uffd.register(memory.cast(), SIZE).unwrap();
    let base = memory.addr();
    let ns = std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..PAGES {
                match uffd.read_event().unwrap() {
                    Some(Event::Pagefault { addr, .. }) => {
                        let dst = addr as usize & !(PAGE - 1);
                        let src = source[dst - base..].as_ptr();
                        // SAFETY: a missing page of ours.
                        unsafe { uffd.copy(src.cast(), dst as *mut _, PAGE, true) }.unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        touch(memory)
    });
    check(memory, source);
    // SAFETY: ours.
    unsafe { libc::munmap(memory.cast(), SIZE) };
    ns
}

fn open(features: Features) -> Userfaultfd {
    let options = UserfaultfdOptions::new().require(features);
    options.open_any().unwrap().userfaultfd
}

fn served<S: PageSource>(
    uffd: &Userfaultfd,
    memory: &MappedRegion,
    source: &S,
    options: PagerOptions<'_>,
) -> f64 {
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table.insert(Region::new(memory.range(), 0, PAGE)).unwrap();
    let pager = Pager::new(uffd, source, table, options).unwrap();
    let ns = std::thread::scope(|scope| {
        scope.spawn(|| pager.serve(&mut vec![0; 2 << 20]).unwrap());
        let ns = touch(memory.as_ptr());
        pager.stop();
        ns
    });
    pager.shutdown();
    ns
}

fn pager(source: &[u8], options: PagerOptions<'_>) -> f64 {
    let uffd = open(Features::empty());
    let memory = MappedRegion::anonymous(&uffd, SIZE, MISSING).unwrap();
    let ns = served(&uffd, &memory, &SliceSource(source), options);
    check(memory.as_ptr(), source);
    ns
}

fn alias(options: PagerOptions<'_>, file: &barecall::memfd::Memfd) -> f64 {
    let uffd = open(Features::MINOR_SHMEM);
    let modes = MISSING | RegisterModes::MINOR;
    let memory = MappedRegion::shared(&uffd, file, 0, SIZE, modes).unwrap();
    served(&uffd, &memory, &InFile, options)
}

/// What the handler below is to serve from.
static CURRENT: AtomicPtr<SelfPager<'static, SliceSource<'static>>> =
    AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_sigbus(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let uffd = BY_HAND.load(Ordering::Relaxed);
    if uffd >= 0 {
        // SAFETY: the kernel's, for this signal.
        return copy_by_hand(uffd, unsafe { (*info).si_addr() }.addr());
    }
    // SAFETY: the kernel's, for this signal; the pager lives until the signal
    // is no longer to be expected.
    let served = unsafe {
        let pager = CURRENT.load(Ordering::Acquire).as_ref().unwrap();
        pager.handle((*info).si_addr().addr())
    };
    if !served {
        std::process::abort();
    }
}

fn self_pager(source: &'static SliceSource<'static>, options: PagerOptions<'static>) -> f64 {
    let uffd = open(Features::SIGBUS);
    let memory = MappedRegion::anonymous(&uffd, SIZE, MISSING).unwrap();
    let room = Box::leak(Box::new([Region::EMPTY; 4]));
    let mut table = RegionTable::new(room);
    table.insert(Region::new(memory.range(), 0, PAGE)).unwrap();
    let staging = Box::leak(vec![0; 2 << 20].into_boxed_slice());
    let pager = SelfPager::new(&uffd, source, table, staging, options).unwrap();
    CURRENT.store(Box::into_raw(Box::new(pager)), Ordering::Release);
    let ns = touch(memory.as_ptr());
    check(memory.as_ptr(), source.0);
    ns
}

/// As linux/userfaultfd.h has it.
#[repr(C)]
struct UffdioCopy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copy: i64,
}

/// The userfaultfd of `by_hand`, while that runs.
static BY_HAND: AtomicI32 = AtomicI32::new(-1);

/// What `SelfPager` must do at least: what it can reach at best.
fn by_hand(source: &[u8]) -> f64 {
    let uffd = open(Features::SIGBUS);
    let memory = MappedRegion::anonymous(&uffd, SIZE, MISSING).unwrap();
    SOURCE.store(source.as_ptr().cast_mut(), Ordering::Relaxed);
    MEMORY.store(memory.as_ptr(), Ordering::Relaxed);
    BY_HAND.store(uffd.as_fd().as_raw_fd(), Ordering::Relaxed);
    let ns = touch(memory.as_ptr());
    BY_HAND.store(-1, Ordering::Relaxed);
    check(memory.as_ptr(), source);
    ns
}

/// A page for `by_hand`.
fn copy_by_hand(uffd: i32, address: usize) {
    const UFFDIO_COPY: libc::Ioctl = 0xc028_aa03_u32 as libc::Ioctl;
    let at = address & !(PAGE - 1);
    let offset = at - MEMORY.load(Ordering::Relaxed).addr();
    // SAFETY: a missing page of MEMORY; SOURCE is as long.
    unsafe {
        let from = SOURCE.load(Ordering::Relaxed).add(offset);
        let mut copy = UffdioCopy {
            dst: at as u64,
            src: from.expose_provenance() as u64,
            len: PAGE as u64,
            mode: 0,
            copy: 0,
        };
        if libc::ioctl(uffd, UFFDIO_COPY, &raw mut copy) != 0 {
            libc::abort();
        }
    }
}

static SOURCE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static MEMORY: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn on_sigsegv(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's, for this signal; a page of MEMORY.
    unsafe {
        let at = (*info).si_addr().addr() & !(PAGE - 1);
        let memory = MEMORY.load(Ordering::Relaxed);
        let offset = at - memory.addr();
        if offset >= SIZE {
            libc::abort();
        }
        let page = memory.add(offset);
        if libc::mprotect(page.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE) != 0 {
            libc::abort();
        }
        page.copy_from_nonoverlapping(SOURCE.load(Ordering::Relaxed).add(offset), PAGE);
    }
}

fn sigsegv(source: &[u8]) -> f64 {
    let memory = map(libc::PROT_NONE);
    SOURCE.store(source.as_ptr().cast_mut(), Ordering::Relaxed);
    MEMORY.store(memory, Ordering::Relaxed);
    let ns = touch(memory);
    check(memory, source);
    // SAFETY: ours.
    unsafe { libc::munmap(memory.cast(), SIZE) };
    ns
}

fn handle(signal: i32, handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)) {
    // SAFETY: zeros are an action; the handlers only make system calls and
    // copy.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

fn main() {
    // Threads inherit it.
    let mut cpu = barecall::thread::CpuSet::<16>::default();
    cpu.insert(0);
    barecall::thread::sched_setaffinity(None, &cpu).expect("CPU 0");
    handle(libc::SIGBUS, on_sigbus);
    handle(libc::SIGSEGV, on_sigsegv);

    let bytes: &'static [u8] = Box::leak(
        (0..SIZE)
            .map(|i| (i / PAGE + i) as u8 | 1)
            .collect::<Box<[u8]>>(),
    );
    let source = Box::leak(Box::new(SliceSource(bytes)));
    let mut entries = [Entry::NULL; Auxv::ROOM];
    let auxv = Auxv::read_proc(&mut entries).expect("/proc");
    // SAFETY: the kernel's vector.
    let vdso = unsafe { Vdso::from_auxv(auxv) };
    let plain = PagerOptions::new(PAGE);
    let options = plain.vdso(vdso);
    let n = rounds(9);
    race(
        "pager",
        "256 MiB, sequential",
        "ns",
        n,
        vec![
            timed("userfaultfd-rs, textbook", || userfaultfd_rs(bytes)),
            timed("C, textbook", || c(bytes)),
            timed("Pager", || pager(bytes, options)),
            timed("Pager, 4 KiB", || pager(bytes, options.block(PAGE))),
            timed("Pager, 4 KiB, clock by system call", || {
                pager(bytes, plain.block(PAGE))
            }),
            timed("Pager, 2 MiB", || pager(bytes, options.block(2 << 20))),
            timed("SelfPager", || self_pager(source, options)),
            timed("SelfPager, 4 KiB", || {
                self_pager(source, options.block(PAGE))
            }),
            timed("SIGBUS by hand, 4 KiB", || by_hand(bytes)),
            timed("mprotect and SIGSEGV", || sigsegv(bytes)),
        ],
    );

    // The file has all the pages: it holds what the source held.
    let file = MemfdOptions::new()
        .exec(Exec::SystemDefault)
        .create(c"pager")
        .unwrap();
    barecall::io::write_all(&file, bytes).unwrap();
    race(
        "pager",
        "256 MiB in a memfd, sequential",
        "ns",
        n,
        vec![
            timed("userfaultfd-rs, textbook", || userfaultfd_rs(bytes)),
            timed("Pager, alias", || alias(options, &file)),
            timed("Pager, alias, 2 MiB", || {
                alias(options.block(2 << 20), &file)
            }),
        ],
    );
}
