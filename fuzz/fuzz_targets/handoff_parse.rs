//! The handoff's parser on any bytes, and on any records behind a good header.
//!
//! `cargo +nightly fuzz run handoff_parse`
#![no_main]

use barecall::pager::handoff::parse;
use libfuzzer_sys::fuzz_target;

fn check(bytes: &[u8]) {
    let Ok(regions) = parse(bytes) else { return };
    let (len, mut count, mut floor) = (regions.len(), 0, 0);
    for region in regions {
        let range = region.range();
        assert!(range.start() >= floor && !range.is_empty());
        assert!(region.page_size().is_power_of_two());
        assert_eq!((range.start() | range.len()) % region.page_size(), 0);
        floor = range.start().checked_add(range.len()).unwrap();
        assert!(region.offset().checked_add(range.len() as u64).is_some());
        count += 1;
    }
    assert_eq!(count, len);
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let (records, _) = bytes.as_chunks::<40>();
    let count = u32::try_from(records.len()).unwrap();
    let header = [&b"barecall\x01\0\0\0"[..], &count.to_le_bytes()[..]].concat();
    check(&[&header[..], records.as_flattened()].concat());
});
