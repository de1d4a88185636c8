//! Names of flags and selectors, as C has them.
//!
//! Flags come from the typed layer: a type's own names, behind the prefix that
//! they have in C. So there is one list of each.

use super::line::Line;
use crate::{event, fs, io, memfd, mm, mount, net, process, signal, system, time, userfaultfd};
use bitflags::{Bits, Flags};

/// Flags whose name in C is not the prefix and the name here.
const RENAMED: &[(&str, &str)] = &[
    ("EPOLLURING_WAKE", "EPOLL_URING_WAKE"),
    ("MAP_LOW_2GB", "MAP_32BIT"),
    ("MAP_ABOVE_4GB", "MAP_ABOVE4G"),
    ("MNT_NOFOLLOW", "UMOUNT_NOFOLLOW"),
    ("MOUNT_ATTR_ATIME", "MOUNT_ATTR__ATIME"),
    ("AT_CHECK", "AT_EXECVE_CHECK"),
    ("WNOTHREAD", "__WNOTHREAD"),
    ("WALL", "__WALL"),
    ("WCLONE", "__WCLONE"),
];

/// The flags of a type, by their place: name and bits.
type List = fn(usize) -> Option<(&'static str, u64)>;

fn list<T>(i: usize) -> Option<(&'static str, u64)>
where
    T: Flags,
    T::Bits: Bits + Into<u64>,
{
    let flag = T::FLAGS.get(i)?;
    Some((flag.name(), flag.value().bits().into()))
}

/// `A|B|0x8`: names in the order in which they are declared, then what has none.
/// With nothing set, `PROT_NONE` or 0.
///
/// Not generic, because it is the same for forty types.
fn flags(line: &mut Line, list: List, prefix: &str, bits: u64, mut follows: bool) {
    let flags = || (0..).map_while(list).filter(|(name, _)| !name.is_empty());
    // What is part of a larger one that is set too is not said on its own.
    let part = |of: u64| {
        flags().any(|(_, larger)| larger != of && larger & of == of && larger & bits == larger)
    };
    let mut left = bits;
    for last in [false, true] {
        for (flag, of) in flags() {
            if of == 0 || left & of != of || part(of) || goes_last(prefix, flag) != last {
                continue;
            }
            left &= !of;
            if follows {
                line.byte(b'|');
            }
            follows = true;
            name(line, prefix, flag);
        }
    }
    if left != 0 {
        if follows {
            line.byte(b'|');
        }
        line.hex(left);
    } else if !follows {
        match flags().find(|(name, bits)| (*name, *bits) == ("NONE", 0)) {
            Some((none, _)) => name(line, prefix, none),
            None => line.byte(b'0'),
        }
    }
}

/// What strace has behind all the others.
fn goes_last(prefix: &str, name: &str) -> bool {
    matches!(
        (prefix, name),
        ("O_", "DIRECTORY" | "TMPFILE") | ("SOCK_", "NONBLOCK")
    )
}

fn name(line: &mut Line, prefix: &str, name: &str) {
    for (here, in_c) in RENAMED {
        if here.strip_prefix(prefix) == Some(name) {
            return line.text(in_c);
        }
    }
    line.text(prefix);
    line.text(name);
}

/// `O_RDONLY|O_CLOEXEC`: a number first, then flags.
pub(in crate::trace) fn open_flags(line: &mut Line, bits: u64) {
    let mode = bits & u64::from(fs::OFlags::ACCMODE.bits());
    match mode {
        0 => line.text("O_RDONLY"),
        1 => line.text("O_WRONLY"),
        2 => line.text("O_RDWR"),
        _ => line.text("O_ACCMODE"),
    }
    let rest = bits & !mode;
    if rest != 0 {
        flags(line, list::<fs::OFlags>, "O_", rest, true);
    }
}

/// Whether a call with these flags takes a mode.
pub(in crate::trace) fn creates(flags: u64) -> bool {
    let tmpfile = u64::from(fs::OFlags::TMPFILE.bits());
    flags & u64::from(fs::OFlags::CREAT.bits()) != 0 || flags & tmpfile == tmpfile
}

/// Names that stand for one number each.
type Names = &'static [(u32, &'static str)];

pub(in crate::trace) fn selector(line: &mut Line, names: Names, number: u32, kind: &str) {
    match names.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => line.text(name),
        None => {
            line.hex(number.into());
            line.text(" /* ");
            line.text(kind);
            line.text("??? */");
        }
    }
}

pub(in crate::trace) fn selected(names: Names, number: u32) -> Option<&'static str> {
    let found = names.iter().find(|(known, _)| *known == number);
    found.map(|(_, name)| *name)
}

/// Numbers of the kernel that have no type here.
macro_rules! constants {
    ($($table:ident { $($name:ident = $value:expr;)* })*) => {$(
        pub(in crate::trace) const $table: Names = {
            $(const $name: u32 = $value;)*
            &[$(($name, stringify!($name))),*]
        };
    )*};
}

/// Numbers of the typed layer, whose names have a prefix in C.
macro_rules! selectors {
    ($($table:ident: $type:ty, $prefix:literal { $($name:ident)* })*) => {$(
        pub(in crate::trace) const $table: Names = &[
            $((<$type>::$name.as_raw() as u32, concat!($prefix, stringify!($name)))),*
        ];
    )*};
}

selectors! {
    ADVICE: mm::Advice, "MADV_" {
        NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED FREE REMOVE DONTFORK DOFORK MERGEABLE
        UNMERGEABLE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK KEEPONFORK COLD PAGEOUT
        POPULATE_READ POPULATE_WRITE DONTNEED_LOCKED COLLAPSE HWPOISON SOFT_OFFLINE
        GUARD_INSTALL GUARD_REMOVE
    }
    CLOCK: time::ClockId, "CLOCK_" {
        REALTIME MONOTONIC PROCESS_CPUTIME_ID THREAD_CPUTIME_ID MONOTONIC_RAW REALTIME_COARSE
        MONOTONIC_COARSE BOOTTIME REALTIME_ALARM BOOTTIME_ALARM TAI
    }
    RESOURCE: process::Resource, "RLIMIT_" {
        CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE
        RTPRIO RTTIME
    }
    HOW: signal::How, "SIG_" { BLOCK UNBLOCK SETMASK }
    KCMP: crate::kcmp::Kind, "KCMP_" { FILE VM FILES FS SIGHAND IO SYSVSEM EPOLL_TFD }
    REBOOT: system::RebootCommand, "LINUX_REBOOT_CMD_" {
        RESTART HALT POWER_OFF CAD_ON CAD_OFF SW_SUSPEND KEXEC
    }
}

constants! {
    FCNTL {
        F_DUPFD = 0; F_GETFD = 1; F_SETFD = 2; F_GETFL = 3; F_SETFL = 4; F_GETLK = 5;
        F_SETLK = 6; F_SETLKW = 7; F_SETOWN = 8; F_GETOWN = 9; F_SETSIG = 10; F_GETSIG = 11;
        F_OFD_GETLK = 36; F_OFD_SETLK = 37; F_OFD_SETLKW = 38; F_SETLEASE = 1024;
        F_GETLEASE = 1025; F_NOTIFY = 1026; F_DUPFD_QUERY = 1027; F_DUPFD_CLOEXEC = 1030;
        F_SETPIPE_SZ = 1031; F_GETPIPE_SZ = 1032; F_ADD_SEALS = 1033; F_GET_SEALS = 1034;
    }
    PRCTL {
        PR_SET_PDEATHSIG = 1; PR_GET_PDEATHSIG = 2; PR_GET_DUMPABLE = 3; PR_SET_DUMPABLE = 4;
        PR_GET_KEEPCAPS = 7; PR_SET_KEEPCAPS = 8; PR_SET_NAME = 15; PR_GET_NAME = 16;
        PR_GET_SECCOMP = 21; PR_SET_SECCOMP = 22; PR_CAPBSET_READ = 23; PR_CAPBSET_DROP = 24;
        PR_SET_TIMERSLACK = 29; PR_GET_TIMERSLACK = 30; PR_SET_MM = 35;
        PR_SET_CHILD_SUBREAPER = 36; PR_GET_CHILD_SUBREAPER = 37; PR_SET_NO_NEW_PRIVS = 38;
        PR_GET_NO_NEW_PRIVS = 39; PR_GET_TID_ADDRESS = 40; PR_SET_THP_DISABLE = 41;
        PR_GET_THP_DISABLE = 42; PR_CAP_AMBIENT = 47; PR_SET_VMA = 0x53564d41;
        PR_GET_AUXV = 0x41555856;
    }
    FUTEX {
        FUTEX_WAIT = 0; FUTEX_WAKE = 1; FUTEX_FD = 2; FUTEX_REQUEUE = 3; FUTEX_CMP_REQUEUE = 4;
        FUTEX_WAKE_OP = 5; FUTEX_LOCK_PI = 6; FUTEX_UNLOCK_PI = 7; FUTEX_TRYLOCK_PI = 8;
        FUTEX_WAIT_BITSET = 9; FUTEX_WAKE_BITSET = 10; FUTEX_WAIT_REQUEUE_PI = 11;
        FUTEX_CMP_REQUEUE_PI = 12; FUTEX_LOCK_PI2 = 13;
    }
    WHENCE { SEEK_SET = 0; SEEK_CUR = 1; SEEK_END = 2; SEEK_DATA = 3; SEEK_HOLE = 4; }
    EPOLL_OP { EPOLL_CTL_ADD = 1; EPOLL_CTL_DEL = 2; EPOLL_CTL_MOD = 3; }
    WAIT_FOR { P_ALL = 0; P_PID = 1; P_PGID = 2; P_PIDFD = 3; }
    FAMILY { AF_UNSPEC = 0; AF_UNIX = 1; AF_INET = 2; AF_INET6 = 10; AF_NETLINK = 16; AF_VSOCK = 40; }
    SOCKET { SOCK_STREAM = 1; SOCK_DGRAM = 2; SOCK_RAW = 3; SOCK_SEQPACKET = 5; }
    SHUTDOWN { SHUT_RD = 0; SHUT_WR = 1; SHUT_RDWR = 2; }
    LEVEL { SOL_SOCKET = 1; SOL_NETLINK = 270; }
    SCM { SCM_RIGHTS = 1; SCM_CREDENTIALS = 2; SCM_PIDFD = 4; }
    SO {
        SO_DEBUG = 1; SO_REUSEADDR = 2; SO_TYPE = 3; SO_ERROR = 4; SO_DONTROUTE = 5;
        SO_BROADCAST = 6; SO_SNDBUF = 7; SO_RCVBUF = 8; SO_KEEPALIVE = 9; SO_OOBINLINE = 10;
        SO_NO_CHECK = 11; SO_PRIORITY = 12; SO_LINGER = 13; SO_BSDCOMPAT = 14;
        SO_REUSEPORT = 15; SO_PASSCRED = 16; SO_PEERCRED = 17; SO_RCVLOWAT = 18;
        SO_SNDLOWAT = 19; SO_RCVTIMEO_OLD = 20; SO_SNDTIMEO_OLD = 21; SO_BINDTODEVICE = 25;
        SO_PEERNAME = 28; SO_TIMESTAMP_OLD = 29; SO_ACCEPTCONN = 30; SO_PEERSEC = 31;
        SO_SNDBUFFORCE = 32; SO_RCVBUFFORCE = 33; SO_PASSSEC = 34; SO_TIMESTAMPNS_OLD = 35;
        SO_MARK = 36; SO_TIMESTAMPING_OLD = 37; SO_PROTOCOL = 38; SO_DOMAIN = 39;
        SO_RXQ_OVFL = 40; SO_PEEK_OFF = 42; SO_LOCK_FILTER = 44; SO_BUSY_POLL = 46;
        SO_MAX_PACING_RATE = 47; SO_INCOMING_CPU = 49; SO_MEMINFO = 55; SO_COOKIE = 57;
        SO_PEERGROUPS = 59; SO_ZEROCOPY = 60; SO_TXTIME = 61; SO_BINDTOIFINDEX = 62;
        SO_RCVTIMEO_NEW = 66; SO_SNDTIMEO_NEW = 67; SO_NETNS_COOKIE = 71; SO_PASSPIDFD = 76;
        SO_PEERPIDFD = 77;
    }
    IOCTL {
        TCGETS = 0x5401; TIOCSCTTY = 0x540e; TIOCGPGRP = 0x540f; TIOCSPGRP = 0x5410;
        TIOCGWINSZ = 0x5413; FIONREAD = 0x541b; TIOCNOTTY = 0x5422; TIOCGSID = 0x5429;
        USERFAULTFD_IOC_NEW = userfaultfd::abi::USERFAULTFD_IOC_NEW;
        UFFDIO_API = userfaultfd::abi::UFFDIO_API;
        UFFDIO_REGISTER = userfaultfd::abi::UFFDIO_REGISTER;
        UFFDIO_UNREGISTER = userfaultfd::abi::UFFDIO_UNREGISTER;
        UFFDIO_WAKE = userfaultfd::abi::UFFDIO_WAKE;
        UFFDIO_COPY = userfaultfd::abi::UFFDIO_COPY;
        UFFDIO_ZEROPAGE = userfaultfd::abi::UFFDIO_ZEROPAGE;
        UFFDIO_MOVE = userfaultfd::abi::UFFDIO_MOVE;
        UFFDIO_WRITEPROTECT = userfaultfd::abi::UFFDIO_WRITEPROTECT;
        UFFDIO_CONTINUE = userfaultfd::abi::UFFDIO_CONTINUE;
        UFFDIO_POISON = userfaultfd::abi::UFFDIO_POISON;
        UFFDIO_RWPROTECT = userfaultfd::abi::UFFDIO_RWPROTECT;
        UFFDIO_SET_MODE = userfaultfd::abi::UFFDIO_SET_MODE;
    }
    MEMFD {
        MFD_CLOEXEC = 1; MFD_ALLOW_SEALING = 2; MFD_HUGETLB = 4; MFD_NOEXEC_SEAL = 8;
        MFD_EXEC = 16;
    }
    USERFAULTFD { UFFD_USER_MODE_ONLY = 1; O_NONBLOCK = 0o4000; O_CLOEXEC = 0o2000000; }
    FILE_TYPE {
        S_IFSOCK = 0o140000; S_IFLNK = 0o120000; S_IFREG = 0o100000; S_IFBLK = 0o060000;
        S_IFDIR = 0o040000; S_IFCHR = 0o020000; S_IFIFO = 0o010000;
    }
}

/// Flags that have no type here.
pub(in crate::trace) fn bits(line: &mut Line, names: Names, bits: u64) {
    let mut left = bits;
    let mut follows = false;
    for (bit, name) in names {
        let bit = u64::from(*bit);
        if bit != 0 && left & bit == bit {
            left &= !bit;
            if follows {
                line.byte(b'|');
            }
            follows = true;
            line.text(name);
        }
    }
    if left != 0 {
        if follows {
            line.byte(b'|');
        }
        line.hex(left);
    } else if !follows {
        match names.first() {
            Some((0, name)) => line.text(name),
            _ => line.byte(b'0'),
        }
    }
}

/// Kinds of arguments that are flags of a type, and the prefix of their names.
macro_rules! typed {
    ($($kind:ident: $type:ty, $prefix:literal;)*) => {
        pub(in crate::trace) fn typed(line: &mut Line, kind: super::decode::Kind, bits: u64) {
            use super::decode::Kind;
            match kind {
                $(Kind::$kind => flags(line, list::<$type>, $prefix, bits, false),)*
                _ => line.hex(bits),
            }
        }
    };
}

typed! {
    AtFlags: fs::AtFlags, "AT_";
    CloneFlags: process::CloneFlags, "CLONE_";
    CloseRange: process::CloseRangeFlags, "CLOSE_RANGE_";
    DupFlags: fs::OFlags, "O_";
    EpollCreate: event::EpollCreateFlags, "EPOLL_";
    EpollFlags: event::EpollFlags, "EPOLL";
    EventFd: event::EventFdFlags, "EFD_";
    Execveat: process::ExecveatFlags, "AT_";
    Fallocate: fs::FallocateFlags, "FALLOC_FL_";
    FdFlags: io::FdFlags, "FD_";
    Flock: fs::FlockFlags, "LOCK_";
    Fsmount: mount::FsmountFlags, "FSMOUNT_";
    Fsopen: mount::FsopenFlags, "FSOPEN_";
    Fspick: mount::FspickFlags, "FSPICK_";
    Getrandom: system::GetrandomFlags, "GRND_";
    MapFlags: mm::MapFlags, "MAP_";
    Mlock: mm::MlockFlags, "MLOCK_";
    Module: system::ModuleFlags, "MODULE_INIT_";
    MountFlags: mount::MountFlags, "MS_";
    MoveMount: mount::MoveMountFlags, "MOVE_MOUNT_";
    Mremap: mm::MremapFlags, "MREMAP_";
    Msg: net::MsgFlags, "MSG_";
    Msync: mm::MsyncFlags, "MS_";
    OpenTree: mount::OpenTreeFlags, "OPEN_TREE_";
    PidfdFlags: process::PidfdFlags, "PIDFD_";
    PidfdSignal: signal::PidfdSignalFlags, "PIDFD_SIGNAL_";
    PipeFlags: fs::OFlags, "O_";
    PollFlags: event::PollFlags, "POLL";
    Prot: mm::ProtFlags, "PROT_";
    RegisterModes: userfaultfd::RegisterModes, "UFFDIO_REGISTER_MODE_";
    Rename: fs::RenameFlags, "RENAME_";
    Resolve: fs::ResolveFlags, "RESOLVE_";
    Sa: signal::SaFlags, "SA_";
    Seals: memfd::Seals, "F_SEAL_";
    Secret: memfd::SecretFlags, "O_";
    Signalfd: signal::SignalfdFlags, "SFD_";
    SocketFlags: net::SocketFlags, "SOCK_";
    StatxAttributes: fs::StatxAttributes, "STATX_ATTR_";
    StatxMask: fs::StatxMask, "STATX_";
    Swap: system::SwapFlags, "SWAP_FLAG_";
    Timerfd: time::TimerfdFlags, "TFD_";
    TimerfdTimer: time::TimerfdTimerFlags, "TFD_TIMER_";
    UffdFeatures: userfaultfd::Features, "UFFD_FEATURE_";
    Unmount: mount::UnmountFlags, "MNT_";
    Wait: process::WaitOptions, "W";
}
