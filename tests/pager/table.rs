//! The table of regions, against a map of single pages.

use barecall::pager::{Contents, Region, RegionFlags, RegionTable, TableError};
use barecall::userfaultfd::{PageRange, Remap};
use proptest::prelude::*;
use std::collections::BTreeMap;

const PAGE: usize = 4096;

fn region(page: usize, pages: usize, offset: u64) -> Region {
    Region::new(
        PageRange::new(page * PAGE, pages * PAGE),
        offset * PAGE as u64,
        PAGE,
    )
}

fn range(page: usize, pages: usize) -> PageRange {
    PageRange::new(page * PAGE, pages * PAGE)
}

#[test]
fn a_region_must_be_whole_pages_and_fit_into_the_addresses() {
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    for bad in [
        Region::EMPTY,
        region(1, 0, 0),
        Region::new(PageRange::new(0x1001, PAGE), 0, PAGE),
        Region::new(PageRange::new(0x1000, 100), 0, PAGE),
        Region::new(PageRange::new(0x1000, PAGE), 0, 2 << 20),
        Region::new(PageRange::new(0x1000, PAGE), 0, 1000),
        Region::new(PageRange::new(0x1000, PAGE), 0, 1024),
        Region::new(PageRange::new(usize::MAX - 4095, PAGE), 0, PAGE),
        Region::new(PageRange::new(0x1000, PAGE), u64::MAX, PAGE),
    ] {
        assert_eq!(table.insert(bad), Err(TableError::Invalid), "{bad:?}");
    }
    assert_eq!(table.regions(), []);
    assert_eq!(table.changes(), 0);
}

#[test]
fn overlapping_regions_are_refused_and_neighbours_become_one() {
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    table.insert(region(10, 2, 10)).unwrap();
    for (page, pages) in [(10, 1), (11, 5), (9, 2), (5, 50)] {
        let overlap = table.insert(region(page, pages, 0));
        assert_eq!(overlap, Err(TableError::Overlaps));
    }
    table.insert(region(12, 1, 12)).unwrap();
    table.insert(region(9, 1, 9)).unwrap();
    assert_eq!(table.regions(), [region(9, 4, 9)]);
    // From elsewhere in the source: not a continuation.
    table.insert(region(13, 1, 99)).unwrap();
    assert_eq!(table.regions().len(), 2);
    // Other flags: neither.
    let flags = RegionFlags::DISCARD_KEEPS;
    table.insert(region(8, 1, 8).with_flags(flags)).unwrap();
    assert_eq!(table.regions().len(), 3);
}

#[test]
fn a_full_table_says_so_and_stays_as_it_was() {
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    for page in [10, 20, 30] {
        table.insert(region(page, 5, 0)).unwrap();
    }
    let before = table.regions().to_vec();
    assert_eq!(table.discard(range(11, 2)), Err(TableError::Full));
    assert_eq!(table.remove(range(11, 2)), Err(TableError::Full));
    let remap = Remap {
        from: 11 * PAGE,
        to: 90 * PAGE,
        len: PAGE,
    };
    assert_eq!(table.remap(remap), Err(TableError::Full));
    assert_eq!(table.regions(), before);
    table.insert(region(40, 1, 0)).unwrap();
    assert_eq!(table.insert(region(50, 1, 0)), Err(TableError::Full));
    // And goes on in more room.
    let mut small = [Region::EMPTY; 4];
    assert!(table.grow(&mut small).is_err());
    let mut more = [Region::EMPTY; 8];
    let former = table.grow(&mut more).unwrap();
    assert_eq!(former.len(), 4);
    table.discard(range(11, 2)).unwrap();
    assert_eq!(table.regions().len(), 6);
}

#[derive(Clone, Debug)]
enum Op {
    Insert {
        page: usize,
        pages: usize,
        offset: u64,
        keeps: bool,
    },
    Discard {
        page: usize,
        pages: usize,
    },
    Remove {
        page: usize,
        pages: usize,
    },
    Remap {
        from: usize,
        to: usize,
        pages: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let page = || 1..60_usize;
    let pages = || 1..12_usize;
    let op = prop_oneof![
        (page(), pages(), 0..200_u64, prop::bool::weighted(0.2)).prop_map(
            |(page, pages, offset, keeps)| Op::Insert {
                page,
                pages,
                offset,
                keeps
            }
        ),
        (page(), pages()).prop_map(|(page, pages)| Op::Discard { page, pages }),
        (page(), pages()).prop_map(|(page, pages)| Op::Remove { page, pages }),
        (page(), page(), pages()).prop_map(|(from, to, pages)| Op::Remap { from, to, pages }),
    ];
    prop::collection::vec(op, 1..60)
}

/// Page number to the page of the source (and its kind).
type Model = BTreeMap<usize, (u64, Contents, bool)>;

fn apply(op: &Op, table: &mut RegionTable<'_>, model: &mut Model) {
    match *op {
        Op::Insert {
            page,
            pages,
            offset,
            keeps,
        } => {
            let flags = if keeps {
                RegionFlags::DISCARD_KEEPS
            } else {
                RegionFlags::empty()
            };
            let inserted = table.insert(region(page, pages, offset).with_flags(flags));
            if (page..page + pages).any(|page| model.contains_key(&page)) {
                assert_eq!(inserted, Err(TableError::Overlaps));
                return;
            }
            assert_eq!(inserted, Ok(()));
            for i in 0..pages {
                model.insert(page + i, (offset + i as u64, Contents::Source, keeps));
            }
        }
        Op::Discard { page, pages } => {
            table.discard(range(page, pages)).unwrap();
            for (_, entry) in model.range_mut(page..page + pages) {
                if !entry.2 {
                    entry.1 = Contents::Zeros;
                }
            }
        }
        Op::Remove { page, pages } => {
            table.remove(range(page, pages)).unwrap();
            model.retain(|number, _| !(page..page + pages).contains(number));
        }
        Op::Remap { from, to, pages } => {
            if from.abs_diff(to) < pages {
                // The kernel does not do that.
                return;
            }
            let remap = Remap {
                from: from * PAGE,
                to: to * PAGE,
                len: pages * PAGE,
            };
            table.remap(remap).unwrap();
            model.retain(|number, _| !(to..to + pages).contains(number));
            let moved: Vec<_> = model
                .range(from..from + pages)
                .map(|(k, v)| (*k, *v))
                .collect();
            for (number, entry) in moved {
                model.remove(&number);
                model.insert(number - from + to, entry);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_table_is_what_a_map_of_pages_is(ops in ops()) {
        let mut room = [Region::EMPTY; 200];
        let mut table = RegionTable::new(&mut room);
        let mut model = Model::new();
        for op in &ops {
            apply(op, &mut table, &mut model);
            for page in 0..80 {
                let found = table.find(page * PAGE + 17).map(|region| {
                    let offset = region.offset_of(page * PAGE).unwrap() / PAGE as u64;
                    (offset, region.contents(), !region.flags().is_empty())
                });
                prop_assert_eq!(found, model.get(&page).copied(), "page {} after {:?}", page, op);
            }
            // Sorted, apart, and nothing in two pieces that could be one.
            for pair in table.regions().windows(2) {
                let [left, right] = pair else { unreachable!() };
                prop_assert!(left.range().end() <= right.range().start());
                let continues = left.range().end() == right.range().start()
                    && left.offset() + left.range().len() as u64 == right.offset()
                    && left.contents() == right.contents()
                    && left.flags() == right.flags();
                prop_assert!(!continues, "{:?} after {:?}", table, op);
            }
            for (page, pages) in [(0, 80), (10, 3), (33, 1)] {
                let overlaps = model.range(page..page + pages).next().is_some();
                prop_assert_eq!(table.overlaps(range(page, pages)), overlaps);
                let len: usize = table.within(range(page, pages)).map(|part| part.range().len()).sum();
                prop_assert_eq!(len, model.range(page..page + pages).count() * PAGE);
            }
        }
    }
}
