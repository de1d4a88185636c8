//! What is behind pointers, and numbers that are made of several.

use super::{Kind, is_error};
use crate::signal::Signal;
use crate::trace::line::Line;
use crate::trace::names::{self, creates, open_flags, selected, typed};

/// Permissions: three digits at least.
pub(super) fn mode(line: &mut Line, mode: u32) {
    match mode {
        0 => line.text("000"),
        _ => {
            if mode < 0o10 {
                line.byte(b'0');
            }
            line.octal(mode.into());
        }
    }
}

pub(super) fn signal(line: &mut Line, number: u32) {
    match i32::try_from(number).ok().and_then(Signal::new) {
        Some(signal) => signal_name(line, signal),
        None => line.unsigned(number.into()),
    }
}

fn signal_name(line: &mut Line, signal: Signal) {
    match signal.name() {
        Some(name) => line.text(name),
        None => {
            line.text("SIGRT_");
            line.signed(i64::from(signal.as_raw()) - 32);
        }
    }
}

/// `[HUP INT]`, and `~[...]` for what is not in a nearly full one.
pub(super) fn sigset(line: &mut Line, address: usize) {
    if address == 0 {
        return line.text("NULL");
    }
    let Some(mut set) = line.word(address) else {
        return line.pointer(address);
    };
    sigset_bits(line, &mut set);
}

fn sigset_bits(line: &mut Line, set: &mut u64) {
    if set.count_ones() >= 64 * 2 / 3 {
        line.byte(b'~');
        *set = !*set;
    }
    line.byte(b'[');
    let mut follows = false;
    for number in 1..=64_i32 {
        if *set >> (number - 1) & 1 == 0 {
            continue;
        }
        if follows {
            line.byte(b' ');
        }
        follows = true;
        match Signal::new(number).and_then(Signal::name) {
            Some(name) => line.text(name.strip_prefix("SIG").unwrap_or(name)),
            None => {
                line.text("RT_");
                line.signed(i64::from(number) - 32);
            }
        }
    }
    line.byte(b']');
}

pub(super) fn sigaction(line: &mut Line, address: usize) {
    let Some([handler, flags, third, fourth]) =
        (address != 0).then(|| line.words(address)).flatten()
    else {
        return line.pointer(address);
    };
    const SA_RESTORER: u64 = 0x0400_0000;
    line.text("{sa_handler=");
    match handler {
        0 => line.text("SIG_DFL"),
        1 => line.text("SIG_IGN"),
        handler => line.hex(handler),
    }
    // On both architectures: handler, flags, restorer, mask.
    line.text(", sa_mask=");
    let (restorer, mut mask) = (third, fourth);
    sigset_bits(line, &mut mask);
    line.text(", sa_flags=");
    typed(line, Kind::Sa, flags);
    if flags & SA_RESTORER != 0 {
        line.text(", sa_restorer=");
        line.hex(restorer);
    }
    line.byte(b'}');
}

pub(super) fn timespec(line: &mut Line, address: usize) {
    let Some([seconds, nanoseconds]) = (address != 0).then(|| line.words(address)).flatten() else {
        return line.pointer(address);
    };
    line.text("{tv_sec=");
    line.signed(seconds as i64);
    line.text(", tv_nsec=");
    line.signed(nanoseconds as i64);
    line.byte(b'}');
}

pub(super) fn pair(line: &mut Line, address: usize) {
    let Some(both) = line.word(address) else {
        return line.pointer(address);
    };
    line.byte(b'[');
    line.signed((both as i32).into());
    line.text(", ");
    line.signed(((both >> 32) as i32).into());
    line.byte(b']');
}

/// `0x7ffe2df250f8 /* 9 entries */`
pub(super) fn entries(line: &mut Line, address: usize, len: usize) {
    const RECLEN: usize = 16;
    let (mut at, mut count) = (0_usize, 0);
    while at < len {
        // The length is the half of this word that comes first.
        let Some(word) = line.half(address.wrapping_add(at + RECLEN)) else {
            return line.pointer(address);
        };
        // None is shorter than its head: another thread may have written there.
        at = at.wrapping_add((word & 0xffff).max(24) as usize);
        count += 1;
    }
    line.pointer(address);
    line.text(" /* ");
    line.unsigned(count);
    line.text(" entries */");
}

/// What `waitid` says of a child.
pub(super) fn siginfo(line: &mut Line, address: usize) {
    const CODES: [&str; 6] = [
        "CLD_EXITED",
        "CLD_KILLED",
        "CLD_DUMPED",
        "CLD_TRAPPED",
        "CLD_STOPPED",
        "CLD_CONTINUED",
    ];
    // si_signo, si_errno, si_code; then pid, uid, status, utime, stime.
    let Some([first, code, who, status, user, system]) =
        (address != 0).then(|| line.words(address)).flatten()
    else {
        return line.pointer(address);
    };
    if first as u32 == 0 {
        // Nobody was waited for.
        return line.text("{}");
    }
    line.text("{si_signo=");
    signal(line, first as u32);
    line.text(", si_code=");
    let name = (code as usize).checked_sub(1).and_then(|i| CODES.get(i));
    match name {
        Some(name) if first as u32 == 17 => line.text(name),
        _ => {
            line.signed((code as i32).into());
            return line.text(", ...}");
        }
    }
    line.text(", si_pid=");
    line.unsigned(who & 0xffff_ffff);
    line.text(", si_uid=");
    line.unsigned(who >> 32);
    line.text(", si_status=");
    match code as u32 {
        1 => line.signed((status as i32).into()),
        _ => signal(line, status as u32),
    }
    line.text(", si_utime=");
    line.unsigned(user);
    line.text(", si_stime=");
    line.unsigned(system);
    line.byte(b'}');
}

/// `["program", "argument"]`
pub(super) fn argv(line: &mut Line, address: usize) {
    const SHOWN: usize = 16;
    if address == 0 {
        return line.text("NULL");
    }
    if line.word(address).is_none() {
        return line.pointer(address);
    }
    line.byte(b'[');
    for i in 0..=SHOWN {
        let Some(string) = line.word(address.wrapping_add(i * 8)) else {
            break;
        };
        if string == 0 {
            break;
        }
        if i > 0 {
            line.text(", ");
        }
        if i == SHOWN {
            line.text("...");
            break;
        }
        line.string(string as usize);
    }
    line.byte(b']');
}

/// `0x7ffe2df266e8 /* 35 vars */`: an environment is nobody's business.
pub(super) fn envp(line: &mut Line, address: usize) {
    line.pointer(address);
    if address == 0 {
        return;
    }
    let mut count = 0;
    // The kernel takes at most so many.
    while count < 0x10_0000 {
        match line.word(address.wrapping_add(count * 8)) {
            Some(0) => break,
            Some(_) => count += 1,
            None => return,
        }
    }
    line.text(" /* ");
    line.unsigned(count as u64);
    line.text(if count == 1 { " var */" } else { " vars */" });
}

pub(super) fn iovecs(line: &mut Line, address: usize, count: usize) {
    iovecs_upto(line, address, count, usize::MAX);
}

/// Of which so many bytes were filled.
pub(super) fn iovecs_upto(line: &mut Line, address: usize, count: usize, mut filled: usize) {
    array(line, address, count, |line, [base, len]| {
        let shown = filled.min(len as usize);
        filled -= shown;
        line.text("{iov_base=");
        line.data(base as usize, shown);
        line.text(", iov_len=");
        line.unsigned(len);
        line.byte(b'}');
    });
}

/// How much of an array is shown.
pub(super) const ARRAY: usize = 16;

/// `[one, two, ...]`: elements of so many words each.
pub(super) fn array<const WORDS: usize>(
    line: &mut Line,
    address: usize,
    count: usize,
    mut one: impl FnMut(&mut Line, [u64; WORDS]),
) {
    if address == 0 || count > 0 && line.word(address).is_none() {
        return line.pointer(address);
    }
    line.byte(b'[');
    for i in 0..count {
        if i > 0 {
            line.text(", ");
        }
        let here = address.wrapping_add(i.wrapping_mul(8 * WORDS));
        let Some(words) = (i < ARRAY).then(|| line.words(here)).flatten() else {
            line.text("...");
            break;
        };
        one(line, words);
    }
    line.byte(b']');
}

pub(super) fn open_how(line: &mut Line, address: usize) {
    let Some([flags, mode_bits, resolve]) = (address != 0).then(|| line.words(address)).flatten()
    else {
        return line.pointer(address);
    };
    line.text("{flags=");
    open_flags(line, flags);
    if creates(flags) {
        line.text(", mode=");
        mode(line, mode_bits as u32);
    }
    line.text(", resolve=");
    typed(line, Kind::Resolve, resolve);
    line.byte(b'}');
}

pub(super) fn rlimit(line: &mut Line, address: usize) {
    let Some([now, most]) = (address != 0).then(|| line.words(address)).flatten() else {
        return line.pointer(address);
    };
    for (name, limit) in [("{rlim_cur=", now), (", rlim_max=", most)] {
        line.text(name);
        match limit {
            u64::MAX => line.text("RLIM64_INFINITY"),
            limit if limit > 1024 && limit % 1024 == 0 => {
                line.unsigned(limit / 1024);
                line.text("*1024");
            }
            limit => line.unsigned(limit),
        }
    }
    line.byte(b'}');
}

/// `[{WIFEXITED(s) && WEXITSTATUS(s) == 0}]`
pub(super) fn status(line: &mut Line, address: usize, ret: Option<usize>) {
    let known = (address != 0 && ret != Some(0))
        .then(|| line.half(address))
        .flatten();
    let Some(status) = known else {
        return line.pointer(address);
    };
    line.text("[{");
    match (status & 0x7f, status >> 8 & 0xff) {
        (0, code) => {
            line.text("WIFEXITED(s) && WEXITSTATUS(s) == ");
            line.unsigned(code.into());
        }
        (0x7f, _) if status == 0xffff => line.text("WIFCONTINUED(s)"),
        (0x7f, stop) => {
            line.text("WIFSTOPPED(s) && WSTOPSIG(s) == ");
            signal(line, stop);
        }
        (by, _) => {
            line.text("WIFSIGNALED(s) && WTERMSIG(s) == ");
            signal(line, by);
            if status & 0x80 != 0 {
                line.text(" && WCOREDUMP(s)");
            }
        }
    }
    line.text("}]");
}

pub(super) fn clone_flags(line: &mut Line, flags: u64) {
    let (set, exit) = (flags & !0xff, (flags & 0xff) as u32);
    if set != 0 {
        typed(line, Kind::CloneFlags, set);
        if exit != 0 {
            line.byte(b'|');
        }
    }
    if exit != 0 || set == 0 {
        signal(line, exit);
    }
}

/// `{flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=..., stack_size=...}`
pub(super) fn clone3(line: &mut Line, address: usize, ret: Option<usize>) {
    let Some([flags, pidfd, child, parent, exit, stack, size]) =
        (address != 0).then(|| line.words(address)).flatten()
    else {
        return line.pointer(address);
    };
    line.text("{flags=");
    typed(line, Kind::CloneFlags, flags);
    for (name, value) in [
        (", pidfd=", pidfd),
        (", child_tid=", child),
        (", parent_tid=", parent),
    ] {
        if value != 0 {
            line.text(name);
            line.hex(value);
        }
    }
    line.text(", exit_signal=");
    signal(line, exit as u32);
    line.text(", stack=");
    line.pointer(stack as usize);
    line.text(", stack_size=");
    line.hex(size);
    line.byte(b'}');
    if let Some(ret) = ret
        && !is_error(ret)
        && pidfd != 0
        && let Some(fd) = line.half(pidfd as usize)
    {
        line.text(" => {pidfd=[");
        line.unsigned(fd.into());
        line.text("]}");
    }
}

pub(super) fn futex(line: &mut Line, op: u32) {
    match selected(names::FUTEX, op & 0x7f) {
        Some(name) => line.text(name),
        None => line.hex((op & 0x7f).into()),
    }
    if op & 0x80 != 0 {
        line.text("_PRIVATE");
    }
    if op & 0x100 != 0 {
        line.text("|FUTEX_CLOCK_REALTIME");
    }
}

pub(super) fn fcntl(line: &mut Line, command: u32, value: usize) {
    match selected(names::FCNTL, command) {
        Some("F_SETFD") => typed(line, Kind::FdFlags, value as u64),
        Some("F_SETFL") => open_flags(line, value as u64),
        Some("F_ADD_SEALS") => typed(line, Kind::Seals, value as u64),
        Some("F_DUPFD" | "F_DUPFD_CLOEXEC" | "F_DUPFD_QUERY" | "F_SETPIPE_SZ") => {
            line.signed(value as i64);
        }
        _ => line.hex(value as u64),
    }
}

/// The structures of userfaultfd, which are this crate's own subject; for other
/// requests, the address.
pub(super) fn ioctl(line: &mut Line, request: u32, address: usize, ret: Option<usize>) {
    let done = ret.is_some_and(|ret| !is_error(ret));
    let (Some(name), Some([a, b])) = (selected(names::IOCTL, request), line.words(address)) else {
        return line.pointer(address);
    };
    // Not all of them have so many, and behind them may be nothing.
    let word = |i: usize| line.word(address.wrapping_add(i * 8)).unwrap_or(0);
    let (c, d, e) = (word(2), word(3), word(4));
    match name {
        "UFFDIO_API" => {
            line.text("{api=");
            line.hex(a);
            // The kernel writes its answer over what was asked.
            line.text(", features=");
            typed(line, Kind::UffdFeatures, b);
            if done {
                line.text(", ioctls=");
                ioctls(line, c);
            }
        }
        "UFFDIO_REGISTER" => {
            range(line, a, b);
            line.text(", mode=");
            typed(line, Kind::RegisterModes, c);
            if done {
                line.text(", ioctls=");
                ioctls(line, d);
            }
        }
        "UFFDIO_UNREGISTER" | "UFFDIO_WAKE" => {
            line.text("{start=");
            line.hex(a);
            line.text(", len=");
            line.hex(b);
        }
        "UFFDIO_COPY" | "UFFDIO_MOVE" => {
            for (name, value) in [("{dst=", a), (", src=", b), (", len=", c), (", mode=", d)] {
                line.text(name);
                line.hex(value);
            }
            if done {
                line.text(if name == "UFFDIO_COPY" {
                    ", copy="
                } else {
                    ", move="
                });
                line.hex(e);
            }
        }
        "UFFDIO_ZEROPAGE"
        | "UFFDIO_CONTINUE"
        | "UFFDIO_POISON"
        | "UFFDIO_WRITEPROTECT"
        | "UFFDIO_RWPROTECT" => {
            range(line, a, b);
            line.text(", mode=");
            line.hex(c);
        }
        _ => return line.pointer(address),
    }
    line.byte(b'}');
}

fn range(line: &mut Line, start: u64, len: u64) {
    line.text("{range={start=");
    line.hex(start);
    line.text(", len=");
    line.hex(len);
    line.byte(b'}');
}

/// `1<<_UFFDIO_COPY|1<<_UFFDIO_WAKE`
fn ioctls(line: &mut Line, bits: u64) {
    let mut follows = false;
    let mut left = bits;
    for (_, name) in names::IOCTL
        .iter()
        .filter(|(_, name)| name.starts_with("UFFDIO_"))
    {
        let request = names::IOCTL.iter().find(|(_, known)| known == name);
        let bit = request.map_or(63, |(request, _)| request & 0x3f);
        if left >> bit & 1 == 0 {
            continue;
        }
        left &= !(1 << bit);
        if follows {
            line.byte(b'|');
        }
        follows = true;
        line.text("1<<_");
        line.text(name);
    }
    if left != 0 || !follows {
        if follows {
            line.byte(b'|');
        }
        line.hex(left);
    }
}
