//! Addresses of sockets.

use crate::trace::line::Line;
use crate::trace::names::{self, selected, selector};
use core::net::Ipv6Addr;

/// `struct sockaddr_storage`: none is longer.
const LONGEST: usize = 128;
/// `sun_path`.
const LONGEST_PATH: usize = 108;

/// `{sa_family=AF_UNIX, sun_path="socket"}`
#[inline(never)]
pub(super) fn sockaddr(line: &mut Line, address: usize, len: i32) {
    let mut bytes = [0; LONGEST];
    let len = usize::try_from(len).unwrap_or(0).min(LONGEST);
    let found = match bytes.get_mut(..len) {
        Some(room) if len >= 2 => line.peek(address, room),
        _ => return line.pointer(address),
    };
    let (true, Some((family, data))) = (found.len() == len, found.split_first_chunk()) else {
        return line.pointer(address);
    };
    let family = u16::from_le_bytes(*family).into();
    line.text("{sa_family=");
    selector(line, names::FAMILY, family, "AF_");
    let decoded = match selected(names::FAMILY, family) {
        Some("AF_UNIX") => unix(line, data),
        Some("AF_INET") => inet(line, data),
        Some("AF_INET6") => inet6(line, data),
        Some("AF_NETLINK") => netlink(line, data),
        _ => None,
    };
    if decoded.is_none() && !data.is_empty() {
        line.text(", sa_data=");
        line.quote(data);
    }
    line.byte(b'}');
}

// Each writes nothing where the address is too short for it.

fn unix(line: &mut Line, data: &[u8]) -> Option<()> {
    let data = data.get(..LONGEST_PATH).unwrap_or(data);
    match data.split_first()? {
        // Abstract: all of it is the name.
        (0, name) => {
            line.text(", sun_path=@");
            line.quote(name);
        }
        _ => {
            line.text(", sun_path=");
            line.quote(data.split(|byte| *byte == 0).next().unwrap_or_default());
        }
    }
    Some(())
}

/// `struct sockaddr_in` ends in eight bytes of padding, which must be there.
fn inet(line: &mut Line, data: &[u8]) -> Option<()> {
    let (port, data) = data.split_first_chunk()?;
    let (host, padding) = data.split_first_chunk()?;
    padding.first_chunk::<8>()?;
    line.text(", sin_port=htons(");
    line.unsigned(u16::from_be_bytes(*port).into());
    line.text("), sin_addr=inet_addr(\"");
    dotted(line, *host);
    line.text("\")");
    Some(())
}

/// `struct sockaddr_in6`, the first of which had no scope.
fn inet6(line: &mut Line, data: &[u8]) -> Option<()> {
    let (port, data) = data.split_first_chunk()?;
    let (flow, data) = data.split_first_chunk()?;
    let (host, scope) = data.split_first_chunk::<16>()?;
    line.text(", sin6_port=htons(");
    line.unsigned(u16::from_be_bytes(*port).into());
    line.text("), sin6_flowinfo=htonl(");
    line.unsigned(u32::from_be_bytes(*flow).into());
    line.text("), inet_pton(AF_INET6, \"");
    colons(line, Ipv6Addr::from(*host).segments());
    line.text("\", &sin6_addr)");
    if !scope.is_empty() {
        line.text(", sin6_scope_id=");
        let mut whole = [0; 4];
        for (byte, given) in whole.iter_mut().zip(scope) {
            *byte = *given;
        }
        line.unsigned(u32::from_le_bytes(whole).into());
    }
    Some(())
}

fn netlink(line: &mut Line, data: &[u8]) -> Option<()> {
    let (pad, data) = data.split_first_chunk()?;
    let (pid, data) = data.split_first_chunk()?;
    let groups = u32::from_le_bytes(*data.first_chunk()?);
    let pad = u16::from_le_bytes(*pad);
    if pad != 0 {
        line.text(", nl_pad=");
        line.hex(pad.into());
    }
    line.text(", nl_pid=");
    line.signed(i32::from_le_bytes(*pid).into());
    line.text(", nl_groups=0");
    line.byte(if groups == 0 { b'0' } else { b'x' });
    // Six digits at least.
    let leading = (groups.leading_zeros() / 4).clamp(2, 7) - 2;
    (0..leading).for_each(|_| line.byte(b'0'));
    line.bare_hex(groups.into());
    Some(())
}

/// `127.0.0.1`
fn dotted(line: &mut Line, host: [u8; 4]) {
    for (i, part) in host.into_iter().enumerate() {
        if i > 0 {
            line.byte(b'.');
        }
        line.unsigned(part.into());
    }
}

/// `fe80::1`: as inet_ntop(3), the longest run of zeros left out, and the end in
/// the manner of IPv4 where such an address lies in it.
fn colons(line: &mut Line, segments: [u16; 8]) {
    let (mut zeros, mut start) = (0..0, 0);
    for (i, segment) in segments.iter().enumerate() {
        if *segment != 0 {
            start = i + 1;
        } else if i + 1 - start > zeros.len().max(1) {
            zeros = start..i + 1;
        }
    }
    let [.., mapped, high, low] = segments;
    let ends_in_ipv4 = zeros == (0..6) || zeros == (0..5) && mapped == 0xffff;
    for (i, segment) in segments.into_iter().enumerate() {
        if zeros.contains(&i) {
            if i == zeros.start {
                line.byte(b':');
            }
            continue;
        }
        if i > 0 {
            line.byte(b':');
        }
        if i == 6 && ends_in_ipv4 {
            let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
            return dotted(line, [a, b, c, d]);
        }
        line.bare_hex(segment.into());
    }
    if zeros.end == segments.len() {
        line.byte(b':');
    }
}
