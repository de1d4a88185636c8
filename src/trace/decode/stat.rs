//! What is known of a file.

use super::Kind;
use super::memory::mode;
use crate::fs::{AtFlags, StatxMask};
use crate::trace::line::Line;
use crate::trace::names::{self, selected, typed};
use core::mem::offset_of;

/// `{st_mode=S_IFREG|0644, st_size=29, ...}`
pub(super) fn stat(line: &mut Line, address: usize) {
    use crate::arch::Stat;
    let at = |offset: usize| address.wrapping_add(offset);
    let (Some(mode_bits), Some(size), Some(device)) = (
        line.half(at(offset_of!(Stat, st_mode))),
        line.word(at(offset_of!(Stat, st_size))),
        line.word(at(offset_of!(Stat, st_rdev))),
    ) else {
        return line.pointer(address);
    };
    line.text("{st_mode=");
    let kind = selected(names::FILE_TYPE, mode_bits & 0o170000);
    if let Some(kind) = kind {
        line.text(kind);
        line.byte(b'|');
    }
    mode(line, mode_bits & 0o7777);
    match kind {
        Some("S_IFCHR" | "S_IFBLK") => {
            line.text(", st_rdev=makedev(");
            line.hex(device >> 8 & 0xfff | device >> 32 & 0xffff_f000);
            line.text(", ");
            line.hex(device & 0xff | device >> 12 & 0xffff_ff00);
            line.byte(b')');
        }
        _ => {
            line.text(", st_size=");
            line.unsigned(size);
        }
    }
    line.text(", ...}");
}

/// `AT_STATX_SYNC_AS_STAT|AT_SYMLINK_NOFOLLOW`: how current it must be comes
/// first, and has a name if it is 0.
pub(super) fn statx_flags(line: &mut Line, flags: u32) {
    let mut how = false;
    for (bit, name) in [
        (AtFlags::STATX_FORCE_SYNC, "AT_STATX_FORCE_SYNC"),
        (AtFlags::STATX_DONT_SYNC, "AT_STATX_DONT_SYNC"),
    ] {
        if flags & bit.bits() != 0 {
            if how {
                line.byte(b'|');
            }
            how = true;
            line.text(name);
        }
    }
    if !how {
        line.text("AT_STATX_SYNC_AS_STAT");
    }
    let rest = flags & !AtFlags::STATX_SYNC_TYPE.bits();
    if rest != 0 {
        line.byte(b'|');
        typed(line, Kind::AtFlags, rest.into());
    }
}

/// `STATX_BASIC_STATS|STATX_MNT_ID`
pub(super) fn statx_mask(line: &mut Line, mask: u32) {
    // What all was once. The kernel says not to use it, so no type has it.
    let all = StatxMask::BASIC_STATS.bits() | StatxMask::BTIME.bits();
    if mask & all != all {
        return typed(line, Kind::StatxMask, mask.into());
    }
    line.text("STATX_ALL");
    if mask != all {
        line.byte(b'|');
        typed(line, Kind::StatxMask, (mask & !all).into());
    }
}

/// `{stx_mask=STATX_BASIC_STATS, stx_attributes=0, stx_mode=S_IFDIR|0755, stx_size=4096, ...}`
pub(super) fn statx(line: &mut Line, address: usize) {
    use crate::fs::Statx;
    let at = |offset: usize| address.wrapping_add(offset);
    let (Some(mask), Some(attributes), Some(mode_bits), Some(size)) = (
        line.half(at(offset_of!(Statx, stx_mask))),
        line.word(at(offset_of!(Statx, stx_attributes))),
        // 16 bits, and a spare.
        line.half(at(offset_of!(Statx, stx_mode))),
        line.word(at(offset_of!(Statx, stx_size))),
    ) else {
        return line.pointer(address);
    };
    line.text("{stx_mask=");
    statx_mask(line, mask);
    line.text(", stx_attributes=");
    typed(line, Kind::StatxAttributes, attributes);
    line.text(", stx_mode=");
    if let Some(kind) = selected(names::FILE_TYPE, mode_bits & 0o170000) {
        line.text(kind);
        line.byte(b'|');
    }
    mode(line, mode_bits & 0o7777);
    line.text(", stx_size=");
    line.unsigned(size);
    line.text(", ...}");
}
