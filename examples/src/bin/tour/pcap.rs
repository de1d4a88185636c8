//! A pcap dump in a heap of bytes: where it begins, and what packets it has.
//!
//! The format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html>.

/// The file header: magic, version, two unused words, snapshot length, link
/// type.
const HEADER: usize = 24;
/// A packet's header: seconds, fraction, bytes here, bytes on the wire.
const RECORD: usize = 16;
/// What libpcap takes for the most that a packet can have (MAXIMUM_SNAPLEN is
/// less; captures of USB may have more). Beyond it, the length is damage.
const MOST: u32 = 128 * 1024 * 1024;

/// A dump that was found.
#[derive(Clone, Copy)]
pub struct Dump<'a> {
    /// Where it begins.
    pub offset: usize,
    /// From there to the end of everything.
    bytes: &'a [u8],
    big_endian: bool,
    /// Fractions are of a nanosecond, not of a microsecond.
    pub nanoseconds: bool,
}

/// A packet of a dump.
pub struct Packet {
    /// How long it was on the wire.
    pub full: u32,
    /// How much of it is in the dump.
    pub available: u32,
}

/// Why the packets ended before the bytes did.
pub enum Damage {
    /// Cut off: so many bytes of the next packet's header or body are missing.
    Truncated { missing: usize },
    /// A packet that claims more bytes than any has.
    Length(u32),
}

/// The first dump that begins at a multiple of 4 bytes.
pub fn find(bytes: &[u8]) -> Option<Dump<'_>> {
    (0..bytes.len()).step_by(4).find_map(|offset| {
        let bytes = bytes.get(offset..)?;
        let (big_endian, nanoseconds) = match bytes.first_chunk::<4>()? {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, false),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, false),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, true),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, true),
            _ => return None,
        };
        let dump = Dump {
            offset,
            bytes,
            big_endian,
            nanoseconds,
        };
        // Every writer since 1998 says 2.4; the magic alone may be chance.
        (dump.u16_at(4) == Some(2) && bytes.len() >= HEADER).then_some(dump)
    })
}

impl<'a> Dump<'a> {
    fn u16_at(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    /// The packets, in order.
    pub fn packets(&self) -> Packets<'a> {
        Packets {
            dump: *self,
            at: HEADER,
            damage: None,
        }
    }
}

/// A walk over the packets of a dump, as far as they are whole.
pub struct Packets<'a> {
    dump: Dump<'a>,
    at: usize,
    damage: Option<Damage>,
}

impl<'a> Packets<'a> {
    /// The dump as far as it has been walked: its header and whole packets.
    pub fn whole(&self) -> &'a [u8] {
        self.dump.bytes.get(..self.at).unwrap_or(self.dump.bytes)
    }

    /// What stopped the walk, if it was not the end of the bytes.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

impl Iterator for Packets<'_> {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        let left = self.dump.bytes.len().saturating_sub(self.at);
        if left == 0 || self.damage.is_some() {
            return None;
        }
        let (Some(available), Some(full)) = (
            self.dump.u32_at(self.at + 8),
            self.dump.u32_at(self.at + 12),
        ) else {
            self.damage = Some(Damage::Truncated {
                missing: RECORD.saturating_sub(left),
            });
            return None;
        };
        if available > MOST {
            self.damage = Some(Damage::Length(available));
            return None;
        }
        let size = RECORD + available as usize;
        if size > left {
            self.damage = Some(Damage::Truncated {
                missing: size - left,
            });
            return None;
        }
        // At least RECORD further: the walk ends.
        self.at += size;
        Some(Packet { full, available })
    }
}
