//! pagemap: PAGEMAP_SCAN and the entries.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::fd::{AsFd, OwnedFd};
use barecall::pagemap::{Categories, Entry, PageRegion, Pagemap, Scan, ScanFlags, Scanned};
use barecall::userfaultfd::{Features, MappedRegion, PageRange, RegisterModes, Userfaultfd};
use barecall::{Errno, io};
use common::kernel_is_at_least;
use std::thread;
use uffd::*;

const PRESENT: Categories = Categories::PRESENT;
const WRITTEN: Categories = Categories::WRITTEN;
const REARM: ScanFlags = ScanFlags::WP_MATCHING.union(ScanFlags::CHECK_WPASYNC);

/// A scan, with room for eight regions.
fn scan(scan: &Scan, max_pages: u64) -> Result<(Vec<PageRegion>, usize), Errno> {
    let mut room = [PageRegion::EMPTY; 8];
    let Scanned { regions, walk_end } =
        Pagemap::open_self()?.scan_once(scan, &mut room, max_pages)?;
    Ok((room[..regions].to_vec(), walk_end))
}

fn ranges(regions: &[PageRegion]) -> Vec<PageRange> {
    regions.iter().map(PageRegion::range).collect()
}

/// Before 6.7, the request is not known.
fn no_scan() -> bool {
    let known = scan(&Scan::new(PageRange::new(0, page_size())), 0);
    if kernel_is_at_least(6, 7) {
        assert!(known.is_ok());
        return false;
    }
    assert_eq!(known.unwrap_err(), Errno::ENOTTY);
    true
}

/// Memory that nobody handles the faults of.
fn memory(count: usize) -> MappedRegion {
    let uffd = plain();
    let region = pages(&uffd, count, RegisterModes::MISSING);
    uffd.unregister(region.range()).unwrap();
    region
}

/// Memory whose writes are tracked; none if the kernel cannot.
fn tracked(count: usize) -> Option<(Userfaultfd, MappedRegion)> {
    if !has(Features::WP_ASYNC) {
        assert!(!kernel_is_at_least(6, 7) || !kernel_is_at_least(6, 10));
        return None;
    }
    let uffd = open(Features::WP_ASYNC);
    let region = pages(&uffd, count, RegisterModes::WP);
    uffd.write_protect(region.range()).unwrap();
    Some((uffd, region))
}

fn written(region: &MappedRegion) -> Vec<PageRange> {
    let (regions, end) = scan(&Scan::new(region.range()).all_of(WRITTEN), 0).unwrap();
    assert_eq!(end, region.range().end());
    ranges(&regions)
}

fn span(region: &MappedRegion, first: usize, count: usize) -> PageRange {
    PageRange::new(page(region, first).start(), count * page_size())
}

/// PMS-010, PMS-011: what is there, coalesced; and a scan that is short of
/// room says where it stopped.
#[test]
fn present_pages_are_found_and_coalesced() {
    if no_scan() {
        return;
    }
    let region = memory(16);
    for i in [2, 3, 7, 11] {
        poke(&region, i, 1);
    }
    let wanted = Scan::new(region.range()).all_of(PRESENT).report(PRESENT);
    let (found, end) = scan(&wanted, 0).unwrap();
    let expected = [
        span(&region, 2, 2),
        span(&region, 7, 1),
        span(&region, 11, 1),
    ];
    assert_eq!(ranges(&found), expected);
    assert_eq!(end, region.range().end());
    assert!(found.iter().all(|region| region.categories() == PRESENT));

    let mut one = [PageRegion::EMPTY];
    let pagemap = Pagemap::open_self().unwrap();
    let scanned = pagemap.scan_once(&wanted, &mut one, 0).unwrap();
    assert_eq!(scanned.regions, 1);
    assert_eq!(scanned.walk_end, page(&region, 7).start());
    assert_eq!(one[0].range(), expected[0]);

    // PMS-013: the iterator goes on from there, whatever the room.
    for room in 1..5 {
        let mut room = vec![PageRegion::EMPTY; room];
        let all: Vec<_> = pagemap
            .scan(wanted, &mut room)
            .map(|r| r.unwrap().range())
            .collect();
        assert_eq!(all, expected);
    }
    // And no more pages than asked for.
    let (found, end) = scan(&wanted, 3).unwrap();
    assert_eq!(ranges(&found), expected[..2]);
    assert!(end >= page(&region, 8).start() && end <= page(&region, 11).start());
}

/// PMS-014, PMS-016: what is not there, and everything.
#[test]
fn masks_are_inverted_and_left_out() {
    if no_scan() {
        return;
    }
    let region = memory(4);
    poke(&region, 1, 1);
    let absent = Scan::new(region.range()).all_of(PRESENT).inverted(PRESENT);
    let (found, _) = scan(&absent, 0).unwrap();
    assert_eq!(ranges(&found), [span(&region, 0, 1), span(&region, 2, 2)]);
    let (found, _) = scan(&Scan::new(region.range()), 0).unwrap();
    assert_eq!(ranges(&found), [region.range()]);
    let any = Scan::new(region.range()).any_of(PRESENT | Categories::SWAPPED);
    assert_eq!(ranges(&scan(&any, 0).unwrap().0), [span(&region, 1, 1)]);
}

/// PMS-003, PMS-004: what is unknown is EINVAL.
#[test]
fn unknown_flags_and_categories_are_einval() {
    if no_scan() {
        return;
    }
    let region = memory(1);
    let new = Scan::new(region.range());
    let unknown = Categories::from_bits_retain(1 << 40);
    for bad in [
        new.flags(ScanFlags::from_bits_retain(4)),
        new.flags(ScanFlags::from_bits_retain(!0)),
        new.all_of(unknown),
        new.any_of(unknown),
        new.inverted(unknown),
        new.report(unknown),
        Scan::new(PageRange::new(region.range().start() + 1, page_size())),
    ] {
        assert_eq!(scan(&bad, 0).unwrap_err(), Errno::EINVAL);
    }
}

/// PMS-007, PMS-008: nothing to scan, and no room.
#[test]
fn an_empty_range_and_no_room_are_no_errors() {
    if no_scan() {
        return;
    }
    let region = memory(2);
    poke(&region, 0, 1);
    let start = region.range().start();
    let empty = Scan::new(PageRange::new(start, 0));
    assert_eq!(scan(&empty, 0), Ok((vec![], start)));
    let pagemap = Pagemap::open_self().unwrap();
    let everything = Scan::new(region.range());
    assert_eq!(
        pagemap.scan_once(&everything, &mut [], 0).unwrap().regions,
        0
    );
    assert_eq!(pagemap.scan(everything, &mut []).count(), 0);
    // Nobody would count them.
    let limited = pagemap.scan_once(&everything, &mut [], 3);
    assert_eq!(limited.unwrap_err(), Errno::EINVAL);
}

/// PMS-020: EPERM, which the manual page does not tell.
#[test]
fn checking_for_tracking_where_there_is_none_is_eperm() {
    if no_scan() {
        return;
    }
    let region = memory(2);
    poke(&region, 0, 1);
    let new = Scan::new(region.range()).all_of(WRITTEN);
    let check = new.flags(ScanFlags::CHECK_WPASYNC);
    assert_eq!(scan(&check, 0).unwrap_err(), Errno::EPERM);
    assert_eq!(scan(&new.flags(REARM), 0).unwrap_err(), Errno::EPERM);
    // The iterator ends with it.
    let mut room = [PageRegion::EMPTY; 2];
    let pagemap = Pagemap::open_self().unwrap();
    let all: Vec<_> = pagemap.scan(check, &mut room).collect();
    assert_eq!(all, [Err(Errno::EPERM)]);
}

/// PMS-022: written as written.
#[test]
fn written_pages_are_told_as_they_were_written() {
    let Some((_uffd, region)) = tracked(8) else {
        return;
    };
    assert_eq!(written(&region), []);
    poke(&region, 3, 1);
    poke(&region, 4, 1);
    assert_eq!(written(&region), [span(&region, 3, 2)]);
    // Reading is not writing.
    peek(&region, 6);
    assert_eq!(written(&region), [span(&region, 3, 2)]);
    poke(&region, 0, 1);
    poke(&region, 7, 1);
    let expected = [
        span(&region, 0, 1),
        span(&region, 3, 2),
        span(&region, 7, 1),
    ];
    assert_eq!(written(&region), expected);
    let allowed = Scan::new(region.range()).all_of(Categories::WPALLOWED);
    assert_eq!(ranges(&scan(&allowed, 0).unwrap().0), [region.range()]);
}

/// PMS-023: told and protected again in one request, as far as it goes.
#[test]
fn a_scan_protects_what_it_tells_and_no_more() {
    let Some((uffd, region)) = tracked(4) else {
        return;
    };
    for i in 0..3 {
        poke(&region, i, 1);
    }
    let rearm = Scan::new(region.range()).all_of(WRITTEN).flags(REARM);
    let (found, _) = scan(&rearm, 1).unwrap();
    assert_eq!(ranges(&found), [span(&region, 0, 1)]);
    assert_eq!(written(&region), [span(&region, 1, 2)]);
    let (found, _) = scan(&rearm, 0).unwrap();
    assert_eq!(ranges(&found), [span(&region, 1, 2)]);
    assert_eq!(written(&region), []);
    poke(&region, 1, 2);
    assert_eq!(written(&region), [span(&region, 1, 1)]);
    // Discarded pages count as written.
    region.discard(0, page_size()).unwrap();
    assert_eq!(written(&region), [span(&region, 0, 2)]);
    quiet(&uffd);
}

/// PMS-026: no write is lost between a thread that writes and one that collects.
#[test]
fn no_write_is_lost_while_collecting() {
    const PAGES: usize = 64;
    const ROUNDS: usize = 300;
    let Some((_uffd, region)) = tracked(PAGES) else {
        return;
    };
    let mut seen = [0_u8; PAGES];
    let pagemap = Pagemap::open_self().unwrap();
    let rearm = Scan::new(region.range()).all_of(WRITTEN).flags(REARM);
    let mut room = [PageRegion::EMPTY; 16];
    let mut collect = || {
        for found in pagemap.scan(rearm, &mut room) {
            let range = found.unwrap().range();
            let first = (range.start() - region.range().start()) / page_size();
            for (i, seen) in seen
                .iter_mut()
                .enumerate()
                .skip(first)
                .take(range.len() / page_size())
            {
                *seen = peek(&region, i);
            }
        }
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..ROUNDS {
                for i in (round % 3..PAGES).step_by(3) {
                    poke(&region, i, (round % 251) as u8);
                }
            }
        });
        while !writer.is_finished() {
            collect();
        }
        writer.join().unwrap();
    });
    collect();
    for (i, seen) in seen.iter().enumerate() {
        assert_eq!(*seen, peek(&region, i), "page {i}");
    }
}

/// Memory of another kind than [`MappedRegion`] makes.
struct Mapped(*mut u8, usize);

impl Mapped {
    /// Anonymous, if there is no file.
    fn new(len: usize, align: usize, flags: i32, file: Option<&std::fs::File>) -> Self {
        use std::os::fd::AsRawFd;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, and another in a part of it; the rest is
        // unmapped.
        unsafe {
            let room = libc::mmap(std::ptr::null_mut(), len + align, prot, anonymous, -1, 0);
            assert_ne!(room, libc::MAP_FAILED);
            let before = room.align_offset(align);
            let start = room.wrapping_byte_add(before);
            let (flags, fd) = match file {
                Some(file) => (flags, file.as_raw_fd()),
                None => (flags | libc::MAP_ANONYMOUS, -1),
            };
            let mapped = libc::mmap(start, len, prot, flags | libc::MAP_FIXED, fd, 0);
            assert_eq!(mapped, start);
            libc::munmap(room, before);
            libc::munmap(start.wrapping_byte_add(len), align - before);
            Self(start.cast(), len)
        }
    }

    /// Some pages of it.
    fn span(&self, first: usize, count: usize) -> PageRange {
        let start = self.0.addr() + first * page_size();
        PageRange::new(start, count * page_size())
    }

    fn all(&self) -> PageRange {
        PageRange::new(self.0.addr(), self.1)
    }

    /// Writes the first bytes of some pages.
    fn write(&self, first: usize, count: usize) {
        for i in first..first + count {
            assert!((i + 1) * page_size() <= self.1);
            // SAFETY: within the mapping, and nobody else uses it.
            unsafe { self.0.wrapping_add(i * page_size()).write_volatile(1) };
        }
    }

    fn protect(&self, first: usize, count: usize, prot: i32) {
        let start = self.0.wrapping_add(first * page_size()).cast();
        // SAFETY: pages that nobody touches meanwhile.
        let result = unsafe { libc::mprotect(start, count * page_size(), prot) };
        assert_eq!(result, 0);
    }

    /// Registers for asynchronous write-protection, and protects.
    fn track(&self, uffd: &Userfaultfd) {
        // SAFETY: nobody waits for such memory.
        unsafe { uffd.register(self.all(), RegisterModes::WP) }.unwrap();
        uffd.write_protect(self.all()).unwrap();
    }

    /// The ranges that were written.
    fn written(&self) -> Vec<PageRange> {
        let new = Scan::new(self.all()).all_of(WRITTEN);
        let (regions, end) = scan(&new.flags(ScanFlags::CHECK_WPASYNC), 0).unwrap();
        assert_eq!(end, self.all().end());
        ranges(&regions)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { libc::munmap(self.0.cast(), self.1) };
    }
}

/// A userfaultfd that tracks writes; none if the kernel cannot.
fn tracker() -> Option<Userfaultfd> {
    if has(Features::WP_ASYNC) {
        return Some(open(Features::WP_ASYNC));
    }
    assert!(!kernel_is_at_least(6, 7) || !kernel_is_at_least(6, 10));
    None
}

/// PMS-022: the same for every kind of memory: anonymous, shared, of a memfd, of
/// a file.
#[test]
fn written_pages_are_told_whatever_the_memory_is() {
    use std::os::fd::FromRawFd;
    const PAGES: usize = 8;
    let Some(uffd) = tracker() else { return };
    let len = PAGES * page_size();
    // SAFETY: a new descriptor, ours.
    let memfd = || unsafe { libc::memfd_create(c"pagemap".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: as above.
    let memfd = unsafe { std::fs::File::from_raw_fd(memfd()) };
    let file = tempfile::tempfile().unwrap();
    for file in [&memfd, &file] {
        file.set_len(len as u64).unwrap();
    }
    for (flags, file) in [
        (libc::MAP_PRIVATE, None),
        (libc::MAP_SHARED, None),
        (libc::MAP_SHARED, Some(&memfd)),
        (libc::MAP_PRIVATE, Some(&memfd)),
        (libc::MAP_SHARED, Some(&file)),
        (libc::MAP_PRIVATE, Some(&file)),
    ] {
        let memory = Mapped::new(len, page_size(), flags, file);
        memory.track(&uffd);
        assert_eq!(memory.written(), [], "{flags} {file:?}");
        // All, the middle one, the middle two, all but the first and the last.
        for (first, count) in [
            (0, PAGES),
            (PAGES / 2, 1),
            (PAGES / 2 - 1, 2),
            (1, PAGES - 2),
        ] {
            memory.write(first, count);
            let expected = [memory.span(first, count)];
            assert_eq!(memory.written(), expected, "{flags} {file:?}");
            uffd.write_protect(memory.all()).unwrap();
            assert_eq!(memory.written(), [], "{flags} {file:?}");
        }
    }
    quiet(&uffd);
}

/// PMS-024: what mprotect and a new mapping do to tracking.
#[test]
fn a_write_is_told_after_mprotect_and_a_new_mapping() {
    let Some(uffd) = tracker() else { return };
    let size = page_size();
    let memory = Mapped::new(2 * size, size, libc::MAP_PRIVATE, None);
    memory.track(&uffd);
    memory.write(0, 2);
    assert_eq!(memory.written(), [memory.all()]);
    uffd.write_protect(memory.all()).unwrap();
    assert_eq!(memory.written(), []);

    let round_trip = || {
        memory.protect(0, 2, libc::PROT_READ);
        memory.protect(0, 2, libc::PROT_READ | libc::PROT_WRITE);
    };
    // That alone is no write.
    round_trip();
    assert_eq!(memory.written(), []);

    // Another second page, which must be registered anew.
    // SAFETY: a page that nobody uses is replaced.
    unsafe {
        let start = memory.0.wrapping_add(size).cast();
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        assert_eq!(libc::mmap(start, size, prot, flags, -1, 0), start);
    }
    let check = Scan::new(memory.all()).flags(ScanFlags::CHECK_WPASYNC);
    assert_eq!(scan(&check, 0).unwrap_err(), Errno::EPERM);
    memory.track(&uffd);
    assert_eq!(memory.written(), []);
    round_trip();
    memory.write(0, 2);
    assert_eq!(memory.written(), [memory.all()]);

    uffd.write_protect(memory.all()).unwrap();
    assert_eq!(memory.written(), []);
    memory.write(0, 2);
    assert_eq!(memory.written(), [memory.all()]);
    quiet(&uffd);
}

/// PMS-025: half of a transparent huge page is told and protected, and the
/// other half stays as it was.
#[test]
fn half_of_a_huge_page_is_told_and_protected() {
    let Some(uffd) = tracker() else { return };
    let read = |name| {
        let path = format!("/sys/kernel/mm/transparent_hugepage/{name}");
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let enabled = !read("enabled").contains("[never]");
    let Some(huge) = read("hpage_pmd_size")
        .trim()
        .parse()
        .ok()
        .filter(|_| enabled)
    else {
        return;
    };
    let count = huge / page_size();
    let memory = Mapped::new(huge, huge, libc::MAP_PRIVATE, None);
    // SAFETY: what the memory is made of changes nothing in it.
    unsafe { libc::madvise(memory.0.cast(), huge, libc::MADV_HUGEPAGE) };
    memory.write(0, count);
    let huge_pages = || {
        let scanned = scan(&Scan::new(memory.all()).all_of(Categories::HUGE), 0);
        ranges(&scanned.unwrap().0)
    };
    // There may have been no huge page to have.
    let was_huge = huge_pages() == [memory.all()];
    // SAFETY: nobody waits for such memory.
    unsafe { uffd.register(memory.all(), RegisterModes::WP) }.unwrap();
    // Nothing is protected yet.
    assert_eq!(memory.written(), [memory.all()]);
    assert_eq!(huge_pages() == [memory.all()], was_huge);
    let rearm = Scan::new(memory.all()).all_of(WRITTEN).flags(REARM);
    let (found, end) = scan(&rearm, count as u64 / 2).unwrap();
    assert_eq!(ranges(&found), [memory.span(0, count / 2)]);
    assert_eq!(end, memory.span(count / 2, 0).start());
    assert_eq!(huge_pages(), [], "split");
    assert_eq!(memory.written(), [memory.span(count / 2, count / 2)]);
    memory.write(3, 1);
    let expected = [memory.span(3, 1), memory.span(count / 2, count / 2)];
    assert_eq!(memory.written(), expected);
    // All at once, and by UFFDIO_WRITEPROTECT.
    let (found, _) = scan(&rearm, 0).unwrap();
    assert_eq!(ranges(&found), expected);
    assert_eq!(memory.written(), []);
    memory.write(0, count);
    uffd.write_protect(memory.span(count / 2, count / 2))
        .unwrap();
    assert_eq!(memory.written(), [memory.span(0, count / 2)]);
    quiet(&uffd);
}

/// PMS-028: protecting over mappings that may be read, written, neither.
#[test]
fn protecting_over_mappings_of_all_protections_leaves_none_written() {
    const EACH: usize = 2;
    let Some(uffd) = tracker() else { return };
    let (none, read) = (libc::PROT_NONE, libc::PROT_READ);
    let both = read | libc::PROT_WRITE;
    let memory = Mapped::new(8 * EACH * page_size(), page_size(), libc::MAP_PRIVATE, None);
    memory.track(&uffd);
    memory.write(0, 8 * EACH);
    assert_eq!(memory.written(), [memory.all()]);
    for (i, prot) in [both, read, both, read, both, none, both, read]
        .into_iter()
        .enumerate()
    {
        memory.protect(i * EACH, EACH, prot);
    }
    // From the middle of the first to the middle of the last.
    let inner = 8 * EACH - EACH;
    uffd.write_protect(memory.span(EACH / 2, inner)).unwrap();
    let last = EACH / 2 + inner;
    let expected = [memory.span(0, EACH / 2), memory.span(last, EACH - EACH / 2)];
    assert_eq!(memory.written(), expected);
    uffd.write_protect(memory.all()).unwrap();
    assert_eq!(memory.written(), []);
    quiet(&uffd);
}

/// PMS-027: where nothing is mapped.
#[test]
fn an_unmapped_range_is_empty() {
    if no_scan() {
        return;
    }
    // Where no kernel puts anything: what a test has unmapped, another thread
    // may have mapped again.
    let range = PageRange::new(1 << 36, 2 * page_size());
    let all = Scan::new(range);
    assert_eq!(scan(&all, 0), Ok((vec![], range.end())));
    let inverted = all.all_of(PRESENT).inverted(PRESENT);
    assert_eq!(scan(&inverted, 0), Ok((vec![], range.end())));
}

/// PMS-031: other requests, and other files. PMS-001: the number of the request,
/// which has the size of its argument in it, and the size of what it fills.
#[test]
fn only_a_pagemap_can_be_scanned() {
    assert_eq!(size_of::<PageRegion>(), 24);
    let pagemap = Pagemap::open_self().unwrap();
    // SAFETY: errors.
    unsafe {
        let unknown = if kernel_is_at_least(6, 7) {
            Errno::EINVAL
        } else {
            Errno::ENOTTY
        };
        assert_eq!(io::ioctl(&pagemap, 0xc060_6611, 0), Err(unknown));
        let null = if kernel_is_at_least(6, 7) {
            Errno::EFAULT
        } else {
            Errno::ENOTTY
        };
        assert_eq!(io::ioctl(&pagemap, 0xc060_6610, 0), Err(null));
    }
    let file = std::fs::File::open("/proc/self/maps").unwrap();
    let number = std::os::fd::IntoRawFd::into_raw_fd(file);
    // SAFETY: given up the line before; and the requests do nothing to it.
    let maps = unsafe { Pagemap::adopt(OwnedFd::from_raw_fd(number)) };
    let scan = Scan::new(PageRange::new(0, 4096));
    let result = maps.scan_once(&scan, &mut [PageRegion::EMPTY], 0);
    assert_eq!(result.unwrap_err(), Errno::ENOTTY);
}

/// PMS-032: somebody else's.
#[test]
fn without_privilege_the_pagemap_of_root_is_eacces() {
    // SAFETY: takes nothing, changes nothing.
    let parent = unsafe { barecall::syscall!(barecall::nr::GETPPID) }.unwrap() as u32;
    let opened = unprivileged(move || Pagemap::open(parent.max(1)).map(drop));
    assert_eq!(opened, Err(Errno::EACCES));
    let nobody = Pagemap::open(u32::MAX).unwrap_err();
    assert_eq!(nobody, Errno::ENOENT);
}

/// Any process's pagemap, by its number.
#[test]
fn a_process_is_named_by_its_number() {
    let pagemap = Pagemap::open(std::process::id()).unwrap();
    let path = format!("/proc/self/fd/{}", pagemap.as_fd().as_raw_fd());
    let link = std::fs::read_link(path).unwrap();
    assert_eq!(
        link,
        std::path::PathBuf::from(format!("/proc/{}/pagemap", std::process::id()))
    );
}

/// The entries, for kernels without the scan.
#[test]
fn entries_say_what_is_there_on_every_kernel() {
    let uffd = plain();
    let modes = if has(Features::PAGEFAULT_FLAG_WP) {
        RegisterModes::MISSING | RegisterModes::WP
    } else {
        RegisterModes::MISSING
    };
    let region = pages(&uffd, 4, modes);
    let start = region.range().start();
    for i in [1, 2] {
        let filled = uffd.fill_copy(
            page(&region, i).start(),
            &filled(1),
            barecall::userfaultfd::CopyFlags::empty(),
        );
        assert_eq!(filled.all(), Ok(page_size()));
    }
    let protected = modes.contains(RegisterModes::WP);
    if protected {
        uffd.write_protect(page(&region, 2)).unwrap();
    }
    let pagemap = Pagemap::open_self().unwrap();
    let mut entries = [Entry::default(); 4];
    assert_eq!(pagemap.entries(start, page_size(), &mut entries), Ok(4));
    let present = entries.map(Entry::is_present);
    assert_eq!(present, [false, true, true, false]);
    assert!(entries[1].is_exclusive() && !entries[1].is_file() && !entries[1].is_swapped());
    // Root sees the frame.
    assert_ne!(entries[1].frame(), Some(0));
    // Bit 57 came with Linux 5.13.
    let told = entries.map(Entry::is_write_protected);
    assert_eq!(
        told,
        [false, false, protected && kernel_is_at_least(5, 13), false]
    );
    for bad in [0, 3, 4] {
        let result = pagemap.entries(start, bad, &mut entries);
        assert_eq!(result, Err(Errno::EINVAL));
    }
}
