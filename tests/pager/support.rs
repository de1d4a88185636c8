//! Sources, and handlers that stop when the test ends, however it does.

use crate::common;
use crate::uffd::page_size;
use barecall::pager::{
    At, Ended, Fill, PageSource, Pager, PagerError, PagerOptions, Region, RegionTable,
};
use barecall::userfaultfd::{MappedRegion, PageRange, RegisterModes, Stop, Userfaultfd, ZeroFlags};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use std::thread;
use std::time::Duration;

/// The `index`th word of 8 bytes of the source. Never zero.
pub fn word(index: u64) -> u64 {
    let mut x = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 27)) | 0x0101_0101_0101_0101
}

/// Writes the source's bytes from `offset` on.
pub fn generate(offset: u64, into: &mut [u8]) {
    for (i, bytes) in into.chunks_exact_mut(8).enumerate() {
        bytes.copy_from_slice(&word(offset / 8 + i as u64).to_ne_bytes());
    }
}

/// The source's bytes.
pub fn expected(offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    generate(offset, &mut bytes);
    bytes
}

/// Computes its pages.
pub struct Words;

impl PageSource for Words {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        generate(at.offset, into);
        Fill::Bytes
    }
}

/// Does what a function says.
pub struct By<F>(pub F);

impl<F: Sync + Fn(At, &mut [u8]) -> Fill<'static>> PageSource for By<F> {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        (self.0)(at, into)
    }
}

static FORKS: RwLock<()> = RwLock::new(());

/// For who forks. A fork is told to every userfaultfd of the process that asked
/// for that, and waits until it is read, or for ever where nobody serves any
/// more.
pub fn forking() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// For who has asked to be told.
pub fn told_of_forks() -> RwLockWriteGuard<'static, ()> {
    FORKS.write().unwrap_or_else(PoisonError::into_inner)
}

pub const MISSING: RegisterModes = RegisterModes::MISSING;

pub fn options() -> PagerOptions<'static> {
    PagerOptions::new(page_size())
}

/// A table of one region: the memory, which is the source's from its beginning
/// on.
pub fn table<'m>(room: &'m mut [Region], memory: &MappedRegion) -> RegionTable<'m> {
    table_from(room, memory, 0)
}

/// The same, from an offset on.
pub fn table_from<'m>(
    room: &'m mut [Region],
    memory: &MappedRegion,
    offset: u64,
) -> RegionTable<'m> {
    let mut table = RegionTable::new(room);
    table
        .insert(Region::new(memory.range(), offset, page_size()))
        .unwrap();
    table
}

/// The signal that ends a child which does this.
pub fn died_by(body: fn()) -> i32 {
    let _turn = forking();
    let status = common::wait_status_of_child(body);
    assert!(libc::WIFSIGNALED(status), "{status:#x}");
    libc::WTERMSIG(status)
}

pub fn staging() -> Vec<u8> {
    vec![0xee; 32 * page_size()]
}

/// Stops the pager when dropped, so that a failing test does not hang.
pub struct StopAtEnd<'p, 'a, S: PageSource>(pub &'p Pager<'a, S>);

impl<S: PageSource> Drop for StopAtEnd<'_, '_, S> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Runs `body` while so many handlers serve; all end by being stopped.
pub fn serving<S: PageSource, T>(
    pager: &Pager<'_, S>,
    handlers: usize,
    body: impl FnOnce() -> T,
) -> T {
    thread::scope(|scope| {
        let handlers: Vec<_> = (0..handlers)
            .map(|_| scope.spawn(|| pager.serve(&mut staging())))
            .collect();
        let result = {
            let _stop = StopAtEnd(pager);
            body()
        };
        for handler in handlers {
            assert_eq!(handler.join().unwrap(), Ok::<_, PagerError>(Ended::Stopped));
        }
        result
    })
}

/// The page's bytes are the source's at that offset.
#[track_caller]
pub fn assert_page(region: &MappedRegion, index: usize, offset: u64) {
    let size = page_size();
    let mut bytes = vec![0; size];
    assert_eq!(region.read_at(&mut bytes, index * size), size);
    assert!(bytes == expected(offset, size), "page {index}");
}

#[track_caller]
pub fn assert_zeros(region: &MappedRegion, index: usize) {
    let size = page_size();
    let mut bytes = vec![1; size];
    assert_eq!(region.read_at(&mut bytes, index * size), size);
    assert!(bytes.iter().all(|&byte| byte == 0), "page {index}");
}

/// Serves each child in a thread of its own, until it has ended.
pub fn serve_children<S: PageSource>(
    children: mpsc::Receiver<(Userfaultfd, Vec<Region>)>,
    source: &S,
) {
    thread::scope(|scope| {
        for (child, regions) in children {
            scope.spawn(move || {
                let mut room = vec![Region::EMPTY; regions.len() + 100];
                let mut table = RegionTable::new(&mut room);
                for region in regions {
                    table.insert(region).unwrap();
                }
                let options = PagerOptions::new(page_size());
                let pager = Pager::new(&child, source, table, options).unwrap();
                // Where nothing ever is, a request says whether there is a
                // process. (Below vm.mmap_min_addr it is EINVAL.)
                let nowhere = PageRange::new(1 << 20, page_size());
                while child.zero_once(nowhere, ZeroFlags::empty()).stop != Some(Stop::Gone) {
                    let drained = pager.drain(&mut staging(), Duration::from_secs(100));
                    assert!(matches!(drained, Ok(Ended::Drained | Ended::Gone)));
                    thread::sleep(Duration::from_micros(300));
                }
                pager.shutdown();
            });
        }
    });
}
