//! What the arguments and the result of a call say.

mod address;
mod event;
mod memory;
mod socket;
mod stat;

use super::line::Line;
use super::names::{self, bits, creates, open_flags, selected, selector, typed};
use crate::errno::Errno;
use crate::hook::Call;
use crate::nr;
use event::*;
use memory::*;
use stat::*;

/// What an argument is: the words of calls.tbl.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    // Plain values.
    Fd,
    Hex,
    Id,
    Int,
    Long,
    Mode,
    Pointer,
    Size,
    Uint,
    // Memory that the kernel reads.
    Argv,
    BytesIn,
    Envp,
    EpollEventIn,
    IovecIn,
    MsghdrIn,
    OpenHow,
    OptionIn,
    Path,
    PollIn,
    RlimitIn,
    SigactionIn,
    SigsetIn,
    SockaddrIn,
    TimespecIn,
    // Memory that it has written, or what depends on the result.
    BytesOut,
    Clone3,
    DentsOut,
    EpollOut,
    IoctlOut,
    MsghdrOut,
    OptionLenOut,
    OptionOut,
    PipeOut,
    RandomOut,
    RlimitOut,
    SigactionOut,
    SiginfoOut,
    SigsetOut,
    SleptOut,
    SockaddrOut,
    SocklenOut,
    StatOut,
    StatxOut,
    StatusOut,
    StringOut,
    TimespecOut,
    UintOut,
    // One of several numbers.
    Access,
    Advice,
    Clock,
    Dir,
    EpollOp,
    Family,
    Fcntl,
    Futex,
    How,
    Ioctl,
    Kcmp,
    Prctl,
    Reboot,
    RebootMagic,
    Resource,
    Shutdown,
    Signal,
    SocketLevel,
    SocketType,
    WaitFor,
    Whence,
    // What the ones before say.
    Clone,
    FcntlArg,
    FileMode,
    FutexRest,
    KcmpFd,
    MremapTo,
    OpenMode,
    PrctlArg,
    PrctlRest,
    SocketOption,
    // Flags.
    AccessFlags,
    AtFlags,
    CloneFlags,
    CloseRange,
    DupFlags,
    EpollCreate,
    EpollFlags,
    EventFd,
    Execveat,
    Fallocate,
    FdFlags,
    Flock,
    Fsmount,
    Fsopen,
    Fspick,
    Getrandom,
    MapFlags,
    MemfdFlags,
    Mlock,
    Module,
    MountFlags,
    MoveMount,
    Mremap,
    Msg,
    Msync,
    OpenFlags,
    OpenTree,
    PidfdFlags,
    PidfdSignal,
    PipeFlags,
    PollFlags,
    Prot,
    RegisterModes,
    Rename,
    Resolve,
    Sa,
    Seals,
    Secret,
    Signalfd,
    SleepFlags,
    SocketFlags,
    StatxAttributes,
    StatxFlags,
    StatxMask,
    Swap,
    Timerfd,
    TimerfdTimer,
    UffdFeatures,
    UnlinkFlags,
    Unmount,
    UserfaultfdFlags,
    Wait,
}

impl Kind {
    /// Told after the call.
    fn is_out(self) -> bool {
        use Kind::*;
        matches!(
            self,
            BytesOut
                | Clone3
                | DentsOut
                | EpollOut
                | IoctlOut
                | MsghdrOut
                | OptionLenOut
                | OptionOut
                | PipeOut
                | RandomOut
                | RlimitOut
                | SigactionOut
                | SiginfoOut
                | SigsetOut
                | SleptOut
                | SockaddrOut
                | SocklenOut
                | StatOut
                | StatxOut
                | StatusOut
                | StringOut
                | TimespecOut
                | UintOut
        )
    }
}

/// The kinds of a call's arguments; none if it is not in the table.
fn kinds(number: usize) -> &'static [Kind] {
    include!(concat!(env!("OUT_DIR"), "/calls.rs"))
}

/// Whether the call is in the table, and so has the arguments that it says
/// there, and no others.
fn known(number: usize) -> bool {
    !kinds(number).is_empty()
}

fn arg(call: &Call, i: usize) -> usize {
    call.args.get(i).map_or(0, |arg| arg.addr())
}

/// `name(` and the arguments that are told before the call is made. Says how
/// many those were.
pub(super) fn before(line: &mut Line, call: &Call) -> usize {
    match call.number.name() {
        Some(name) => line.text(name),
        None => {
            line.text("syscall_");
            line.hex(call.number.as_usize() as u64);
        }
    }
    line.byte(b'(');
    let kinds = kinds(call.number.as_usize());
    let first_out = kinds.iter().position(|kind| kind.is_out());
    let told = first_out.unwrap_or(6);
    line.room = room(line, call, kinds);
    tell(line, call, 0, told, None);
    told
}

/// A length that is both an argument and an answer.
fn room(line: &Line, call: &Call, kinds: &[Kind]) -> Option<u32> {
    kinds.iter().enumerate().find_map(|(i, kind)| match kind {
        Kind::MsghdrOut => socket::namelen_in(line, arg(call, i)),
        Kind::OptionLenOut => line.half(arg(call, i)),
        // One that goes with an address.
        Kind::SocklenOut if arg(call, i.wrapping_sub(1)) != 0 => line.half(arg(call, i)),
        _ => None,
    })
}

/// The other arguments and `)`.
pub(super) fn after(line: &mut Line, call: &Call, told: usize, ret: Option<usize>) {
    tell(line, call, told, 6, ret);
    line.byte(b')');
}

fn tell(line: &mut Line, call: &Call, from: usize, to: usize, ret: Option<usize>) {
    if !known(call.number.as_usize()) {
        // A call without arguments is in the table as one that is not.
        for i in from..to.min(call.count) {
            if i > 0 {
                line.text(", ");
            }
            line.hex(arg(call, i) as u64);
        }
        return;
    }
    let kinds = kinds(call.number.as_usize());
    for (i, &kind) in kinds.iter().enumerate().take(to).skip(from) {
        if left_out(call, kind, i) {
            continue;
        }
        if i > 0 {
            line.text(", ");
        }
        one(line, call, kind, i, ret);
    }
}

/// What belongs only to some uses of a call.
fn left_out(call: &Call, kind: Kind, i: usize) -> bool {
    match kind {
        Kind::OpenMode => !creates(arg(call, i.wrapping_sub(1)) as u64 & 0xffff_ffff),
        Kind::FcntlArg => matches!(
            selected(names::FCNTL, arg(call, 1) as u32),
            Some("F_GETFD" | "F_GETFL" | "F_GETOWN" | "F_GETSIG" | "F_GETLEASE")
                | Some("F_GETPIPE_SZ" | "F_GET_SEALS")
        ),
        Kind::FutexRest => match (arg(call, 1) & 0x7f, i) {
            // Without a time: the ones that wake.
            (1 | 7 | 8, _) => true,
            (0 | 6 | 13, i) => i > 3,
            (3, i) => i > 4,
            (10, i) => i < 5,
            _ => false,
        },
        Kind::MremapTo => arg(call, 3) & 6 == 0,
        Kind::KcmpFd => !matches!(arg(call, 2), 0 | 7),
        Kind::PrctlArg | Kind::PrctlRest => i >= call.count,
        _ => false,
    }
}

fn one(line: &mut Line, call: &Call, kind: Kind, i: usize, ret: Option<usize>) {
    let value = arg(call, i);
    let (low, wide) = (value as u32, value as u64);
    let next = arg(call, i + 1);
    match kind {
        Kind::Fd | Kind::Int => line.signed((low as i32).into()),
        Kind::Hex => line.hex(wide),
        Kind::Id if low == u32::MAX => line.text("-1"),
        Kind::Id | Kind::Uint => line.unsigned(low.into()),
        Kind::Long => line.signed(value as i64),
        Kind::Mode => mode(line, low),
        Kind::Pointer | Kind::MremapTo => line.pointer(value),
        Kind::Size => line.unsigned(wide),

        Kind::Argv => argv(line, value),
        Kind::BytesIn => line.data(value, next),
        Kind::Envp => envp(line, value),
        Kind::EpollEventIn => epoll_ctl(line, arg(call, 1) as u32, value),
        Kind::IovecIn => iovecs(line, value, next),
        Kind::MsghdrIn => socket::msghdr(line, value, None),
        Kind::OpenHow => open_how(line, value),
        Kind::OptionIn => socket::option_in(line, option(call), value, next as i32),
        Kind::Path => line.string(value),
        Kind::PollIn => poll(line, value, next),
        Kind::RlimitIn => rlimit(line, value),
        Kind::SigactionIn => sigaction(line, value),
        Kind::SigsetIn => sigset(line, value),
        Kind::SockaddrIn => address::sockaddr(line, value, next as i32),
        Kind::TimespecIn => timespec(line, value),

        Kind::Clone3 => clone3(line, value, ret),
        Kind::IoctlOut => ioctl(line, arg(call, 1) as u32, value, ret),
        // A rest that only an interrupted sleep leaves.
        Kind::SleptOut if ret != Some(INTERRUPTED) => line.pointer(value),
        Kind::SleptOut => timespec(line, value),
        Kind::MsghdrOut => socket::msghdr_out(line, value, ret),
        Kind::OptionLenOut | Kind::SocklenOut => socket::len_out(line, value, ret),
        // What the kernel did not write is only an address.
        _ if kind.is_out() && ret.is_none_or(is_error) => line.pointer(value),
        // A message can be longer than what there was room for.
        Kind::BytesOut => line.data(value, ret.unwrap_or(0).min(next)),
        Kind::DentsOut => entries(line, value, ret.unwrap_or(0)),
        Kind::EpollOut => epoll_events(line, value, ret.unwrap_or(0)),
        Kind::OptionOut => socket::option_out(line, option(call), value, next),
        Kind::PipeOut => pair(line, value),
        Kind::RandomOut => line.random(value, ret.unwrap_or(0)),
        Kind::RlimitOut => rlimit(line, value),
        Kind::SigactionOut => sigaction(line, value),
        Kind::SiginfoOut => siginfo(line, value),
        Kind::SigsetOut => sigset(line, value),
        Kind::SockaddrOut => socket::sockaddr_out(line, value, next),
        Kind::StatOut => stat(line, value),
        Kind::StatxOut => statx(line, value),
        Kind::StatusOut => status(line, value, ret),
        Kind::StringOut => line.string(value),
        Kind::TimespecOut => timespec(line, value),
        Kind::UintOut => match line.half(value) {
            Some(number) => {
                line.byte(b'[');
                line.unsigned(number.into());
                line.byte(b']');
            }
            None => line.pointer(value),
        },

        Kind::Access if low == 0 => line.text("F_OK"),
        Kind::Access => {
            // As strace has them: reading first.
            let mut left = low;
            for (bit, name) in [(4, "R_OK"), (2, "W_OK"), (1, "X_OK")] {
                if low & bit == bit {
                    if left != low {
                        line.byte(b'|');
                    }
                    left &= !bit;
                    line.text(name);
                }
            }
        }
        Kind::Advice => selector(line, names::ADVICE, low, "MADV_"),
        Kind::Clock => selector(line, names::CLOCK, low, "CLOCK_"),
        Kind::Dir if low as i32 == -100 => line.text("AT_FDCWD"),
        Kind::Dir => line.signed((low as i32).into()),
        Kind::EpollOp => selector(line, names::EPOLL_OP, low, "EPOLL_CTL_"),
        Kind::Family => selector(line, names::FAMILY, low, "AF_"),
        Kind::Fcntl => selector(line, names::FCNTL, low, "F_"),
        Kind::Futex => futex(line, low),
        Kind::How => selector(line, names::HOW, low, "SIG_"),
        Kind::Ioctl => match selected(names::IOCTL, low) {
            Some(name) => line.text(name),
            None => line.hex(low.into()),
        },
        Kind::Kcmp => selector(line, names::KCMP, low, "KCMP_"),
        Kind::Prctl => selector(line, names::PRCTL, low, "PR_"),
        Kind::Reboot => selector(line, names::REBOOT, low, "LINUX_REBOOT_CMD_"),
        Kind::RebootMagic => match low {
            0xfee1_dead => line.text("LINUX_REBOOT_MAGIC1"),
            0x2812_1969 => line.text("LINUX_REBOOT_MAGIC2"),
            _ => line.hex(low.into()),
        },
        Kind::Resource => selector(line, names::RESOURCE, low, "RLIMIT_"),
        Kind::Shutdown => selector(line, names::SHUTDOWN, low, "SHUT_"),
        Kind::Signal => signal(line, low),
        Kind::SocketLevel => socket::level(line, low),
        Kind::SocketType if selected(names::SOCKET, low & 0xf).is_none() => {
            selector(line, names::SOCKET, low, "SOCK_");
        }
        Kind::SocketType => {
            selector(line, names::SOCKET, low & 0xf, "SOCK_");
            if low & !0xf != 0 {
                line.byte(b'|');
                typed(line, Kind::SocketFlags, (low & !0xf).into());
            }
        }
        Kind::WaitFor => selector(line, names::WAIT_FOR, low, "P_"),
        Kind::Whence => selector(line, names::WHENCE, low, "SEEK_"),

        Kind::Clone => {
            line.text("child_stack=");
            line.pointer(next);
            line.text(", flags=");
            clone_flags(line, wide);
        }
        Kind::FcntlArg => fcntl(line, arg(call, 1) as u32, value),
        Kind::FileMode => match selected(names::FILE_TYPE, low & 0o170000) {
            Some(name) => {
                line.text(name);
                line.byte(b'|');
                mode(line, low & 0o7777);
            }
            None => mode(line, low),
        },
        Kind::FutexRest => match (arg(call, 1) & 0x7f, i) {
            (0 | 6 | 9 | 11 | 13, 3) => timespec(line, value),
            (_, 3) => line.unsigned(low.into()),
            (_, 4) => line.pointer(value),
            (9 | 10, _) if low == u32::MAX => line.text("FUTEX_BITSET_MATCH_ANY"),
            _ => line.hex(low.into()),
        },
        Kind::KcmpFd => line.signed((low as i32).into()),
        Kind::OpenMode => mode(line, low),
        Kind::PrctlArg => match arg(call, 0) {
            15 => line.string(value),
            1 => signal(line, low),
            _ => line.hex(wide),
        },
        Kind::PrctlRest => line.hex(wide),
        Kind::SocketOption => socket::option(line, option(call)),

        Kind::AccessFlags if low & 0x200 != 0 => {
            // The bit that is AT_REMOVEDIR elsewhere.
            line.text("AT_EACCESS");
            if low != 0x200 {
                line.byte(b'|');
                typed(line, Kind::AtFlags, (low & !0x200).into());
            }
        }
        Kind::AccessFlags => typed(line, Kind::AtFlags, low.into()),
        Kind::MemfdFlags => bits(line, names::MEMFD, low.into()),
        Kind::OpenFlags => open_flags(line, low.into()),
        Kind::SleepFlags if low == 1 => line.text("TIMER_ABSTIME"),
        Kind::SleepFlags => line.hex(low.into()),
        Kind::StatxFlags => statx_flags(line, low),
        Kind::StatxMask => statx_mask(line, low),
        Kind::UnlinkFlags if low == 0x200 => line.text("AT_REMOVEDIR"),
        Kind::UnlinkFlags => typed(line, Kind::AtFlags, low.into()),
        Kind::UserfaultfdFlags => bits(line, names::USERFAULTFD, low.into()),
        Kind::CloneFlags | Kind::MountFlags | Kind::Sa => typed(line, kind, wide),
        _ => typed(line, kind, low.into()),
    }
}

/// Level and name, as `getsockopt` and `setsockopt` have them.
fn option(call: &Call) -> (u32, u32) {
    (arg(call, 1) as u32, arg(call, 2) as u32)
}

/// `EINTR`, as a register has it.
const INTERRUPTED: usize = (-4_isize) as usize;

pub(super) fn is_error(ret: usize) -> bool {
    Errno::decode(ret).is_err()
}

/// ` = 3`, ` = -1 ENOENT (No such file or directory)`, ` = 0x7f...`.
pub(super) fn result(line: &mut Line, call: &Call, ret: usize) {
    line.text(" = ");
    if let Err(errno) = Errno::decode(ret) {
        line.text("-1 ");
        match (errno.name(), errno.message()) {
            (Some(name), Some(message)) => {
                line.text(name);
                line.text(" (");
                line.text(message);
                line.byte(b')');
            }
            _ => {
                line.text("(errno ");
                line.signed(errno.raw().into());
                line.byte(b')');
            }
        }
        return;
    }
    match call.number {
        nr::MMAP | nr::MREMAP | nr::BRK => line.pointer(ret),
        nr::FCNTL => match selected(names::FCNTL, arg(call, 1) as u32) {
            Some("F_GETFD") if ret != 0 => of(line, ret, "flags ", |line| {
                typed(line, Kind::FdFlags, ret as u64);
            }),
            Some("F_GETFL") => of(line, ret, "flags ", |line| {
                open_flags(line, ret as u64);
            }),
            Some("F_GET_SEALS") if ret != 0 => of(line, ret, "seals ", |line| {
                typed(line, Kind::Seals, ret as u64);
            }),
            _ => line.signed(ret as i64),
        },
        nr::UMASK => mode(line, ret as u32),
        _ => line.signed(ret as i64),
    }
}

/// `0x1 (flags FD_CLOEXEC)`
fn of(line: &mut Line, ret: usize, what: &str, inside: impl FnOnce(&mut Line)) {
    line.hex(ret as u64);
    line.text(" (");
    line.text(what);
    inside(line);
    line.byte(b')');
}
