//! What is to be served, the same for all: memory nobody has touched, what it is
//! filled from, and the order in which its pages are touched.

use barecall::fd::AsFd as _;
use barecall::memfd::{Exec, Memfd, MemfdOptions};
use std::cell::Cell;
use std::time::Instant;

pub const PAGE: usize = 4096;

/// How a page comes to be there.
#[derive(Clone, Copy, PartialEq)]
#[repr(C)]
pub enum Fill {
    Copy,
    Zero,
    Continue,
    Move,
}

/// As in faults.c, which reads the fields up to `fill`.
#[repr(C)]
pub struct Task {
    pub memory: *mut u8,
    pub source: *mut u8,
    pub len: usize,
    /// Filled at a time.
    pub block: usize,
    /// Of the handler.
    pub cpu: usize,
    pub fill: Fill,
    scattered: bool,
    ns: Cell<f64>,
}

const _: () = assert!(std::mem::offset_of!(Task, fill) == 40);

impl Task {
    /// Served on `cpu`, so many pages at a time.
    pub fn new(fill: Fill, pages: usize, block: usize, cpu: usize) -> Self {
        let len = pages * PAGE;
        let (memory, source) = match fill {
            Fill::Copy => (map(len, None), full(block)),
            Fill::Zero => (map(len, None), std::ptr::null_mut()),
            Fill::Move => (map(len, None), full(len)),
            Fill::Continue => {
                let file = file(len);
                (map(len, Some(&file)), std::ptr::null_mut())
            }
        };
        Self {
            memory,
            source,
            len,
            block,
            cpu,
            fill,
            scattered: false,
            ns: Cell::new(0.0),
        }
    }

    pub fn scattered(mut self) -> Self {
        self.scattered = true;
        self
    }

    /// Where the block of an address begins.
    pub fn block_of(&self, address: usize) -> usize {
        self.memory.addr() + ((address - self.memory.addr()) & !(self.block - 1))
    }

    /// Nanoseconds a page.
    pub fn ns(&self) -> f64 {
        self.ns.get()
    }

    /// Runs `work` on the memory, and takes its time.
    pub fn timed(&self, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        let pages = (self.len / PAGE) as f64;
        self.ns.set(start.elapsed().as_nanos() as f64 / pages);
    }

    /// One byte of each page: written, or read where zeros are enough.
    pub extern "C" fn touch(&self) {
        let pages = self.len / PAGE;
        assert!(pages.is_power_of_two());
        // Odd, so that every page comes once; far from small steps.
        let step = if self.scattered { 0x9e37_79b1 } else { 1 };
        self.timed(|| {
            for i in 0..pages {
                let page = i.wrapping_mul(step) % pages;
                // SAFETY: within the memory, which nobody else uses.
                unsafe {
                    let byte = self.memory.add(page * PAGE);
                    match self.fill {
                        Fill::Zero => assert_eq!(byte.read_volatile(), 0),
                        _ => byte.write_volatile(1),
                    }
                }
            }
        });
    }

    /// Nothing was filled with what it should not have.
    pub fn check(&self) {
        let expected = if self.fill == Fill::Zero { 0 } else { 0xab };
        for page in (0..self.len).step_by(PAGE) {
            // SAFETY: within the memory, which nobody writes now.
            let last = unsafe { self.memory.add(page + PAGE - 1).read_volatile() };
            assert_eq!(last, expected);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let source = match self.fill {
            Fill::Copy => self.block,
            Fill::Move => self.len,
            Fill::Zero | Fill::Continue => 0,
        };
        for (start, len) in [(self.memory, self.len), (self.source, source)] {
            if len > 0 {
                // SAFETY: made by `map`.
                unsafe { libc::munmap(start.cast(), len) };
            }
        }
    }
}

fn map(len: usize, file: Option<&Memfd>) -> *mut u8 {
    let (kind, fd) = match file {
        Some(file) => (libc::MAP_SHARED, file.as_fd().as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping; without huge pages, which userfaultfd does not use.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), len, prot, kind, fd, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        libc::madvise(memory, len, libc::MADV_NOHUGEPAGE);
        memory.cast()
    }
}

/// Memory that is there, with something in it.
fn full(len: usize) -> *mut u8 {
    let memory = map(len, None);
    // SAFETY: just mapped.
    unsafe { memory.write_bytes(0xab, len) };
    memory
}

/// A file in memory that has all its pages.
fn file(len: usize) -> Memfd {
    let options = MemfdOptions::new().exec(Exec::SystemDefault);
    let file = options.create(c"faults").expect("a memfd");
    barecall::io::write_all(&file, &vec![0xab; len]).expect("written");
    file
}
