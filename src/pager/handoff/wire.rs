//! The bytes of a handoff. All numbers are little-endian, and their sizes fixed.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `barecall` |
//! | 8 | 4 | version: 1 |
//! | 12 | 4 | how many regions follow |
//! | 16 + 40 n | 8 | address of region n |
//! | 24 + 40 n | 8 | its length |
//! | 32 + 40 n | 8 | its offset in the source |
//! | 40 + 40 n | 8 | its page size |
//! | 48 + 40 n | 4 | 0: contents from the source; 1: zeros |
//! | 52 + 40 n | 4 | `RegionFlags` |

use crate::pager::{Contents, Region, RegionFlags};
use crate::userfaultfd::PageRange;
use core::fmt;

pub(super) const HEADER: usize = 16;
pub(super) const RECORD: usize = 40;
const MAGIC: [u8; 8] = *b"barecall";
/// The version that this crate speaks.
pub(super) const VERSION: u32 = 1;

const SOURCE: u32 = 0;
const ZEROS: u32 = 1;

/// Why bytes are not a handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseError {
    /// Something else.
    NotAHandoff,
    /// A version that this one does not speak.
    Version(u32),
    /// Shorter or longer than its own count of regions says.
    Length,
    /// The region of this number: not whole pages of its size, empty, past the
    /// end of the addresses or offsets, contents or flags that nobody knows, or
    /// not after the region before it.
    Region(u32),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAHandoff => f.write_str("not a handoff"),
            Self::Version(version) => write!(f, "a handoff of version {version}"),
            Self::Length => f.write_str("not as long as it says"),
            Self::Region(number) => write!(f, "region {number} makes no sense"),
        }
    }
}

impl core::error::Error for ParseError {}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// How many regions follow this header.
pub(super) fn count(header: &[u8]) -> Result<u32, ParseError> {
    if header.first_chunk() != Some(&MAGIC) {
        return Err(ParseError::NotAHandoff);
    }
    match u32_at(header, 8) {
        Some(VERSION) => u32_at(header, 12).ok_or(ParseError::Length),
        Some(version) => Err(ParseError::Version(version)),
        None => Err(ParseError::Length),
    }
}

/// A region, which begins at `floor` or after it.
pub(super) fn region(record: &[u8], floor: usize) -> Option<Region> {
    let start = usize::try_from(u64_at(record, 0)?).ok()?;
    let len = usize::try_from(u64_at(record, 8)?).ok()?;
    let offset = u64_at(record, 16)?;
    let page_size = usize::try_from(u64_at(record, 24)?).ok()?;
    let contents = match u32_at(record, 32)? {
        SOURCE => Contents::Source,
        ZEROS => Contents::Zeros,
        _ => return None,
    };
    let flags = RegionFlags::from_bits_retain(u32_at(record, 36)?);
    let known = RegionFlags::DISCARD_KEEPS | RegionFlags::WRITE_PROTECTED;
    let whole = page_size.is_power_of_two()
        && page_size >= 4096
        && (start | len) & page_size.wrapping_sub(1) == 0;
    start.checked_add(len)?;
    offset.checked_add(len as u64)?;
    let region = Region::new(PageRange::new(start, len), offset, page_size)
        .with_contents(contents)
        .with_flags(flags);
    (whole && len > 0 && start >= floor && known.contains(flags)).then_some(region)
}

/// A handoff's header.
pub(super) fn header(count: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    put(&mut header, &MAGIC);
    put(
        header.get_mut(8..).unwrap_or_default(),
        &VERSION.to_le_bytes(),
    );
    put(
        header.get_mut(12..).unwrap_or_default(),
        &count.to_le_bytes(),
    );
    header
}

/// A region's record.
pub(super) fn record(region: &Region) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let words = [
        region.range().start() as u64,
        region.range().len() as u64,
        region.offset(),
        region.page_size() as u64,
    ];
    for (place, word) in record.chunks_exact_mut(8).zip(words) {
        put(place, &word.to_le_bytes());
    }
    let contents = match region.contents() {
        Contents::Source => SOURCE,
        Contents::Zeros => ZEROS,
    };
    put(
        record.get_mut(32..).unwrap_or_default(),
        &contents.to_le_bytes(),
    );
    let flags = region.flags().bits();
    put(
        record.get_mut(36..).unwrap_or_default(),
        &flags.to_le_bytes(),
    );
    record
}

fn put(place: &mut [u8], bytes: &[u8]) {
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// The regions of a handoff, from [`parse`].
#[derive(Clone, Debug)]
pub struct Regions<'b> {
    records: core::slice::ChunksExact<'b, u8>,
}

impl Iterator for Regions<'_> {
    type Item = Region;

    fn next(&mut self) -> Option<Region> {
        region(self.records.next()?, 0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for Regions<'_> {}

/// The regions in the bytes of a handoff: of what [`receive`](super::receive)
/// reads, for who has the bytes already.
///
/// Any bytes have an answer. What is given is sorted by address, whole pages,
/// and does not overlap.
///
/// # Errors
///
/// [`ParseError`].
///
/// ```
/// use barecall::pager::handoff::{ParseError, parse};
///
/// let mut bytes = *b"barecall\x01\0\0\0\0\0\0\0";
/// assert_eq!(parse(&bytes)?.len(), 0);
/// bytes[8] = 2;
/// assert_eq!(parse(&bytes).unwrap_err(), ParseError::Version(2));
/// # Ok::<(), ParseError>(())
/// ```
pub fn parse(bytes: &[u8]) -> Result<Regions<'_>, ParseError> {
    let count = count(bytes)?;
    let records = bytes.get(HEADER..).ok_or(ParseError::Length)?;
    if (count as usize).checked_mul(RECORD) != Some(records.len()) {
        return Err(ParseError::Length);
    }
    let records = records.chunks_exact(RECORD);
    let mut floor = 0;
    for (number, record) in (0..).zip(records.clone()) {
        let region = region(record, floor).ok_or(ParseError::Region(number))?;
        floor = region.range().end();
    }
    Ok(Regions { records })
}
