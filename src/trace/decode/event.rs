//! What is waited for.

use super::Kind;
use super::memory::{ARRAY, array};
use crate::arch::EpollEvent;
use crate::trace::line::Line;
use crate::trace::names::{self, selected, typed};
use core::mem::offset_of;

pub(super) fn poll(line: &mut Line, address: usize, count: usize) {
    array(line, address, count, |line, [one]| {
        line.text("{fd=");
        line.signed((one as i32).into());
        if one as i32 >= 0 {
            line.text(", events=");
            typed(line, Kind::PollFlags, one >> 32 & 0xffff);
        }
        line.byte(b'}');
    });
}

/// `{events=EPOLLIN, data={u32=5, u64=5}}`, or `None` if it is not there.
///
/// By its fields, because it is packed on one architecture.
fn epoll_event(line: &mut Line, address: usize) -> Option<()> {
    let events = line.half(address.wrapping_add(offset_of!(EpollEvent, events)))?;
    let data = line.word(address.wrapping_add(offset_of!(EpollEvent, data)))?;
    line.text("{events=");
    typed(line, Kind::EpollFlags, events.into());
    // What the program means by it is not known, so both.
    line.text(", data={u32=");
    line.unsigned(data & 0xffff_ffff);
    line.text(", u64=");
    line.unsigned(data);
    line.text("}}");
    Some(())
}

/// What `epoll_ctl` is told to wait for.
pub(super) fn epoll_ctl(line: &mut Line, op: u32, address: usize) {
    let removed = selected(names::EPOLL_OP, op) == Some("EPOLL_CTL_DEL");
    if removed || epoll_event(line, address).is_none() {
        line.pointer(address);
    }
}

/// What has come.
pub(super) fn epoll_events(line: &mut Line, address: usize, count: usize) {
    if count > 0 && line.half(address).is_none() {
        return line.pointer(address);
    }
    line.byte(b'[');
    for i in 0..count {
        if i > 0 {
            line.text(", ");
        }
        let here = address.wrapping_add(i.wrapping_mul(size_of::<EpollEvent>()));
        if i >= ARRAY || epoll_event(line, here).is_none() {
            line.text("...");
            break;
        }
    }
    line.byte(b']');
}
