//! Sockets: messages, options.

use super::address::sockaddr;
use super::memory::iovecs_upto;
use super::{Kind, is_error};
use crate::errno::Errno;
use crate::trace::line::Line;
use crate::trace::names::{self, selected, selector, typed};

/// What the kernel wrote, of which no more is there than there was room for.
pub(super) fn sockaddr_out(line: &mut Line, address: usize, len: usize) {
    let (Some(room), Some(len)) = (line.room, line.half(len)) else {
        return line.pointer(address);
    };
    sockaddr(line, address, (room as i32).min(len as i32));
}

/// `[110 => 2]`: the room there was, and the length.
pub(super) fn len_out(line: &mut Line, address: usize, ret: Option<usize>) {
    let (Some(room), Some(len)) = (line.room, line.half(address)) else {
        return line.pointer(address);
    };
    line.byte(b'[');
    changed(line, room as i32, len as i32, ret);
    line.byte(b']');
}

fn changed(line: &mut Line, before: i32, after: i32, ret: Option<usize>) {
    line.signed(before.into());
    if before != after && ret.is_some_and(|ret| !is_error(ret)) {
        line.text(" => ");
        line.signed(after.into());
    }
}

/// The `msg_namelen` that a program gave.
pub(super) fn namelen_in(line: &Line, address: usize) -> Option<u32> {
    let [_, namelen] = (address != 0).then(|| line.words(address)).flatten()?;
    Some(namelen as u32)
}

/// What `recvmsg` filled; of a failed one only what was asked.
pub(super) fn msghdr_out(line: &mut Line, address: usize, ret: Option<usize>) {
    let Some(room) = line.room else {
        return line.pointer(address);
    };
    match ret {
        Some(ret) if !is_error(ret) => msghdr(line, address, Some(ret)),
        _ => {
            line.text("{msg_namelen=");
            line.signed((room as i32).into());
            line.byte(b'}');
        }
    }
}

/// `{msg_name=NULL, msg_namelen=0, msg_iov=[...], msg_iovlen=1, ...}`
#[inline(never)]
pub(super) fn msghdr(line: &mut Line, address: usize, received: Option<usize>) {
    // Where a word is half of one, padding follows.
    let Some([name, namelen, iov, iovlen, control, controllen, flags]) =
        (address != 0).then(|| line.words(address)).flatten()
    else {
        return line.pointer(address);
    };
    let namelen = namelen as i32;
    let room = line.room.filter(|_| received.is_some());
    let room = room.map_or(namelen, |room| room as i32);
    line.text("{msg_name=");
    sockaddr(line, name as usize, room.min(namelen));
    line.text(", msg_namelen=");
    changed(line, room, namelen, Some(0));
    line.text(", msg_iov=");
    iovecs_upto(
        line,
        iov as usize,
        iovlen as usize,
        received.unwrap_or(usize::MAX),
    );
    line.text(", msg_iovlen=");
    line.unsigned(iovlen);
    if controllen != 0 {
        line.text(", msg_control=");
        control_messages(line, control as usize, controllen as usize);
    }
    line.text(", msg_controllen=");
    line.unsigned(controllen);
    line.text(", msg_flags=");
    typed(line, Kind::Msg, flags & 0xffff_ffff);
    line.byte(b'}');
}

/// `struct cmsghdr`.
const HEADER: usize = 16;

/// `[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[3]}]`
fn control_messages(line: &mut Line, address: usize, len: usize) {
    const SHOWN: usize = 16;
    // Whether the end is there too is as much as need be known.
    let last = address.wrapping_add(len.wrapping_sub(1));
    if len < HEADER || line.word(address).is_none() || line.peek(last, &mut [0]).is_empty() {
        return line.pointer(address);
    }
    let mut left = len;
    line.byte(b'[');
    for i in 0..SHOWN {
        let here = address.wrapping_add(len - left);
        if left < HEADER {
            break;
        }
        let Some([whole, kind]) = line.words(here) else {
            break;
        };
        if i > 0 {
            line.text(", ");
        }
        let whole = whole as usize;
        line.text("{cmsg_len=");
        line.unsigned(whole as u64);
        line.text(", cmsg_level=");
        let (level, kind) = (kind as u32, (kind >> 32) as u32);
        selector(line, names::LEVEL, level, "SOL_");
        line.text(", cmsg_type=");
        if selected(names::LEVEL, level) == Some("SOL_SOCKET") {
            selector(line, names::SCM, kind, "SCM_");
            let data = whole.min(left).saturating_sub(HEADER);
            control_data(line, kind, here.wrapping_add(HEADER), data);
        } else {
            line.hex(kind.into());
        }
        line.byte(b'}');
        if whole < HEADER {
            left -= HEADER;
            break;
        }
        left = match whole.checked_next_multiple_of(8) {
            Some(whole) => left.saturating_sub(whole),
            None => 0,
        };
    }
    if left > 0 {
        line.text(", ... /* ");
        line.pointer(address.wrapping_add(len - left));
        line.text(" */");
    }
    line.byte(b']');
}

fn control_data(line: &mut Line, kind: u32, address: usize, len: usize) {
    const SHOWN: usize = 32;
    match selected(names::SCM, kind) {
        Some("SCM_RIGHTS" | "SCM_PIDFD") if len >= 4 => {
            line.text(", cmsg_data=[");
            for i in 0..len / 4 {
                if i > 0 {
                    line.text(", ");
                }
                let fd = line.half(address.wrapping_add(i * 4));
                let Some(fd) = fd.filter(|_| i < SHOWN) else {
                    line.text("...");
                    break;
                };
                line.signed((fd as i32).into());
            }
            line.byte(b']');
        }
        Some("SCM_CREDENTIALS") if len >= 12 => {
            line.text(", cmsg_data=");
            credentials(line, address);
        }
        _ => {}
    }
}

/// `{pid=1, uid=0, gid=0}`
fn credentials(line: &mut Line, address: usize) {
    let (Some(ids), Some(gid)) = (line.word(address), line.half(address.wrapping_add(8))) else {
        return line.pointer(address);
    };
    line.text("{pid=");
    line.signed((ids as i32).into());
    for (name, id) in [(", uid=", (ids >> 32) as u32), (", gid=", gid)] {
        line.text(name);
        match id {
            u32::MAX => line.text("-1"),
            id => line.unsigned(id.into()),
        }
    }
    line.byte(b'}');
}

pub(super) fn level(line: &mut Line, level: u32) {
    match selected(names::LEVEL, level) {
        Some(name) => line.text(name),
        None => {
            line.hex(level.into());
            // So few question marks.
            line.text(" /* SOL_?? */");
        }
    }
}

fn is_socket(level: u32) -> bool {
    selected(names::LEVEL, level) == Some("SOL_SOCKET")
}

/// Level and name.
type Which = (u32, u32);

pub(super) fn option(line: &mut Line, (level, option): Which) {
    match is_socket(level) {
        true => selector(line, names::SO, option, "SO_"),
        false => line.unsigned(option.into()),
    }
}

/// The value of an option: a number, a structure, or what it is in bytes.
#[inline(never)]
pub(super) fn option_in(line: &mut Line, which: Which, address: usize, len: i32) {
    let name = selected(names::SO, which.1).filter(|_| is_socket(which.0));
    match (name, usize::try_from(len).unwrap_or(0)) {
        (_, 0..4) => line.pointer(address),
        (Some("SO_LINGER"), 4..8) => line.pointer(address),
        (Some("SO_LINGER"), _) => linger(line, address),
        (_, 4) => int(line, address),
        (_, len) => line.data(address, len),
    }
}

/// `getsockopt` has answered.
#[inline(never)]
pub(super) fn option_out(line: &mut Line, which: Which, address: usize, len: usize) {
    let (Some(room), Some(len)) = (line.room, line.half(len)) else {
        return line.pointer(address);
    };
    if room as i32 <= 0 || len as i32 <= 0 {
        return line.pointer(address);
    }
    let name = selected(names::SO, which.1).filter(|_| is_socket(which.0));
    match (name, len as usize) {
        (Some("SO_LINGER"), 8..) => linger(line, address),
        (Some("SO_PEERCRED"), 12..) => credentials(line, address),
        (Some("SO_ERROR"), 4..) => match line.half(address) {
            Some(number) => {
                line.byte(b'[');
                match i32::try_from(number)
                    .ok()
                    .and_then(Errno::new)
                    .and_then(Errno::name)
                {
                    Some(name) => line.text(name),
                    None => line.unsigned(number.into()),
                }
                line.byte(b']');
            }
            None => line.pointer(address),
        },
        (_, 4) => int(line, address),
        (_, len) => line.data(address, len),
    }
}

fn int(line: &mut Line, address: usize) {
    match line.half(address) {
        Some(number) => {
            line.byte(b'[');
            line.signed((number as i32).into());
            line.byte(b']');
        }
        None => line.pointer(address),
    }
}

fn linger(line: &mut Line, address: usize) {
    let Some(both) = line.word(address) else {
        return line.pointer(address);
    };
    line.text("{l_onoff=");
    line.signed((both as i32).into());
    line.text(", l_linger=");
    line.signed(((both >> 32) as i32).into());
    line.byte(b'}');
}
