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

/// PMS-027: where nothing is mapped.
#[test]
fn an_unmapped_range_is_empty() {
    if no_scan() {
        return;
    }
    let region = memory(2);
    let range = region.range();
    drop(region);
    let all = Scan::new(range);
    assert_eq!(scan(&all, 0), Ok((vec![], range.end())));
    let inverted = all.all_of(PRESENT).inverted(PRESENT);
    assert_eq!(scan(&inverted, 0), Ok((vec![], range.end())));
}

/// PMS-031: other requests, and other files.
#[test]
fn only_a_pagemap_can_be_scanned() {
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
