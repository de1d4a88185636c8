//! Threads that read, write, discard, move, unmap and fork at random, against a
//! model of every byte, for as many seconds as `BARECALL_STRESS_SECONDS` says.

use crate::common;
use crate::support::*;
use crate::uffd::*;
use barecall::mm::{
    Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mprotect, mremap_to, munmap,
};
use barecall::pager::{At, Fill, PageSource, Pager, PagerOptions, Region, RegionTable, Stats};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::userfaultfd::{Features, Forked, PageRange, RegisterModes, Userfaultfd};
use barecall::{Errno, io};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

const CAP_SYS_PTRACE: u32 = 19;
const WORKERS: usize = 3;
const PAGES: usize = 64;

/// Numbers that look random.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(word(seed))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % end
    }
}

/// How long to go on: a moment, where nobody says.
pub fn duration() -> Duration {
    let seconds = std::env::var("BARECALL_STRESS_SECONDS").ok();
    Duration::from_secs_f64(seconds.and_then(|text| text.parse().ok()).unwrap_or(1.5))
}

/// Whether pages came from the source, and zeros where it was discarded.
fn of_each(stats: &Stats) -> bool {
    stats.copied > 0 && stats.zeroed > 0
}

/// Slow, late and failing, now and then; and never wrong.
struct Moody {
    calls: AtomicU64,
    children: Mutex<mpsc::Sender<(Userfaultfd, Vec<Region>)>>,
}

impl PageSource for Moody {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        match word(self.calls.fetch_add(1, Ordering::Relaxed)) >> 8 & 0xff {
            0..8 => return Fill::Later,
            8..12 => return Fill::Failed(Errno::EIO),
            12..40 => thread::sleep(Duration::from_micros(100)),
            _ => {}
        }
        generate(at.offset, into);
        Fill::Bytes
    }

    fn forked(&self, child: Forked, regions: &[Region]) {
        let child = (child.into_userfaultfd(), regions.to_vec());
        self.children.lock().unwrap().send(child).unwrap();
    }
}

/// What a page contains.
enum Contents {
    Source(u64),
    Zeros,
    Bytes(Vec<u8>),
}

struct Page {
    address: usize,
    contents: Contents,
}

impl Page {
    /// Allocates nothing, for a forked child too.
    fn is_right(&self) -> bool {
        let size = page_size();
        let word_at = |i: usize| {
            let at = std::ptr::with_exposed_provenance::<u64>(self.address + i * 8);
            // SAFETY: mapped, and only this thread uses it.
            unsafe { at.read_volatile() }
        };
        (0..size / 8).all(|i| {
            let expected = match &self.contents {
                Contents::Source(offset) => word(offset / 8 + i as u64),
                Contents::Zeros => 0,
                Contents::Bytes(bytes) => {
                    let mut word = [0; 8];
                    word.copy_from_slice(&bytes[i * 8..i * 8 + 8]);
                    u64::from_ne_bytes(word)
                }
            };
            word_at(i) == expected
        })
    }
}

struct Worker<'p, 'a> {
    pager: &'p Pager<'a, Moody>,
    uffd: &'p Userfaultfd,
    random: Random,
    pages: Vec<Page>,
    forks: bool,
    offset: &'p AtomicU64,
}

fn pointer<T>(address: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut(address)
}

/// One change of mappings at a time. The kernel tells of two at one time in
/// either order, and if the one takes the addresses that the other leaves,
/// nobody can tell what is where.
fn change() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker<'_, '_> {
    /// A run of pages one after the other in memory too.
    fn run(&mut self, most: usize) -> std::ops::Range<usize> {
        let first = self.random.below(self.pages.len());
        let most = 1 + self.random.below(most);
        let mut end = first + 1;
        while end < self.pages.len()
            && end - first < most
            && self.pages[end].address == self.pages[end - 1].address + page_size()
        {
            end += 1;
        }
        first..end
    }

    /// New memory, with contents from a place in the source that nobody had.
    fn map(&mut self, pages: usize) -> (usize, u64) {
        let len = pages * page_size();
        let offset = self.offset.fetch_add(len as u64 * 2, Ordering::Relaxed);
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, that nobody else knows of.
        let address = unsafe {
            let flags = MapFlags::PRIVATE;
            let at = mmap_anonymous(std::ptr::null_mut(), len, prot, flags).unwrap();
            let range = PageRange::of_memory(at, len);
            self.uffd.register(range, RegisterModes::MISSING).unwrap();
            range.start()
        };
        let range = PageRange::new(address, len);
        self.pager
            .add(Region::new(range, offset, page_size()))
            .unwrap();
        (address, offset)
    }

    fn unmap(&self, address: usize, len: usize) {
        // SAFETY: this thread's.
        unsafe { munmap(pointer(address), len) }.unwrap();
    }

    fn step(&mut self) {
        let size = page_size();
        match self.random.below(100) {
            0..55 => {
                let index = self.random.below(self.pages.len());
                let page = &self.pages[index];
                assert!(page.is_right(), "page {index} at {:#x}", page.address);
            }
            55..70 => {
                let index = self.random.below(self.pages.len());
                let seed = self.random.below(usize::MAX) as u64;
                let bytes = expected(seed / 8 * 8, size);
                let page = &mut self.pages[index];
                // SAFETY: mapped, and only this thread uses it.
                unsafe { pointer::<u8>(page.address).copy_from(bytes.as_ptr(), size) };
                page.contents = Contents::Bytes(bytes);
            }
            70..82 => {
                let run = self.run(6);
                let (at, len) = (self.pages[run.start].address, run.len() * size);
                // SAFETY: this thread's.
                unsafe { madvise(pointer(at), len, Advice::DONTNEED) }.unwrap();
                for page in &mut self.pages[run] {
                    page.contents = Contents::Zeros;
                }
            }
            82..88 => {
                let _turn = change();
                let run = self.run(6);
                let (from, len) = (self.pages[run.start].address, run.len() * size);
                let flags = MapFlags::PRIVATE;
                // SAFETY: a new mapping, and what is moved onto it is this thread's.
                let moved = unsafe {
                    let none = ProtFlags::NONE;
                    let to = mmap_anonymous(std::ptr::null_mut(), len, none, flags).unwrap();
                    let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
                    match mremap_to(pointer(from), len, len, flags, to) {
                        Ok(to) => Some(to.expose_provenance()),
                        // Of several mappings.
                        Err(Errno::EFAULT) => {
                            munmap(to, len).unwrap();
                            None
                        }
                        Err(errno) => panic!("{errno}"),
                    }
                };
                if let Some(to) = moved {
                    for (i, page) in self.pages[run].iter_mut().enumerate() {
                        page.address = to + i * size;
                    }
                }
            }
            88..94 => {
                let _turn = change();
                let run = self.run(6);
                self.unmap(self.pages[run.start].address, run.len() * size);
                let (address, offset) = self.map(run.len());
                for (i, page) in self.pages[run].iter_mut().enumerate() {
                    *page = Page {
                        address: address + i * size,
                        contents: Contents::Source(offset + (i * size) as u64),
                    };
                }
            }
            94..98 => {
                let run = self.run(3);
                let (at, len) = (pointer(self.pages[run.start].address), run.len() * size);
                let both = ProtFlags::READ | ProtFlags::WRITE;
                // SAFETY: this thread's, which reads it meanwhile.
                unsafe { mprotect(at, len, ProtFlags::READ) }.unwrap();
                let page = &self.pages[run.start];
                assert!(page.is_right(), "page at {:#x}", page.address);
                // SAFETY: this thread's.
                unsafe { mprotect(at, len, both) }.unwrap();
            }
            _ if self.forks && self.random.below(4) == 0 => {
                let _turn = change();
                // SAFETY: the child looks at memory and exits.
                let forked = unsafe { fork() }.unwrap();
                let status = match forked {
                    None => {
                        let right = self.pages.iter().all(Page::is_right);
                        exit_group(if right { 0 } else { 1 });
                    }
                    Some(child) => {
                        io::retry_on_intr(|| wait4(WaitTarget::Pid(child), WaitOptions::empty()))
                    }
                };
                let right = matches!(status, Ok(Some((_, WaitStatus::Exited(0)))));
                assert!(right, "the child saw something else: {status:?}");
            }
            _ => thread::yield_now(),
        }
    }
}

#[test]
fn nothing_that_a_process_does_to_its_memory_shows_a_wrong_byte() {
    let _turn = told_of_forks();
    let forks = common::has_capability(CAP_SYS_PTRACE);
    let mut features = Features::EVENT_REMOVE | Features::EVENT_REMAP | Features::EVENT_UNMAP;
    if forks {
        features |= Features::EVENT_FORK;
    }
    let uffd = open(features);
    let (sender, children) = mpsc::channel();
    let source = Moody {
        calls: AtomicU64::new(0),
        children: Mutex::new(sender),
    };
    let mut room = vec![Region::EMPTY; 10_000];
    let options = PagerOptions::new(page_size()).block(8 * page_size());
    let pager = Pager::new(&uffd, &source, RegionTable::new(&mut room), options).unwrap();
    let (steps, offset) = (AtomicUsize::new(0), AtomicU64::new(0));
    let end = Instant::now() + duration();
    thread::scope(|scope| {
        scope.spawn(|| serve_children(children, &Words));
        serving(&pager, 2, || {
            thread::scope(|scope| {
                for number in 0..WORKERS {
                    let (pager, uffd, steps, offset) = (&pager, &uffd, &steps, &offset);
                    scope.spawn(move || {
                        let mut worker = Worker {
                            pager,
                            uffd,
                            random: Random::new(number as u64 + 1),
                            pages: Vec::new(),
                            forks,
                            offset,
                        };
                        let turn = change();
                        let (address, offset) = worker.map(PAGES);
                        drop(turn);
                        worker.pages = (0..PAGES)
                            .map(|i| Page {
                                address: address + i * page_size(),
                                contents: Contents::Source(offset + (i * page_size()) as u64),
                            })
                            .collect();
                        // As long as asked for; on a slow machine, until
                        // there was something of each.
                        while Instant::now() < end || !of_each(&pager.stats()) {
                            worker.step();
                            steps.fetch_add(1, Ordering::Relaxed);
                        }
                        for page in &worker.pages {
                            assert!(page.is_right(), "at the end, {:#x}", page.address);
                            let _turn = change();
                            worker.unmap(page.address, page_size());
                        }
                    });
                }
            });
        });
        let (nowhere, _) = mpsc::channel();
        *source.children.lock().unwrap() = nowhere;
    });
    let stats = pager.stats();
    println!("{} steps, {stats:?}", steps.load(Ordering::Relaxed));
    assert!(of_each(&stats));
    assert_eq!(pager.with_regions(|regions| regions.len()), 0);
}
