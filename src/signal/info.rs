//! `siginfo_t`: what the kernel tells about a signal.

use super::Signal;
use crate::process::Pid;
use core::ffi::c_void;
use core::fmt;

/// `si_code`: why the signal was sent.
///
/// Negative and zero: by a process. Positive: by the kernel, and the same
/// number means another thing for another signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SiCode(i32);

macro_rules! codes {
    ($($name:ident = $value:expr, $what:literal;)*) => {
        impl SiCode {
            $(
                #[doc = concat!("`", stringify!($name), "`: ", $what, ".")]
                pub const $name: Self = Self($value);
            )*
        }
    };
}

// <asm-generic/siginfo.h>.
codes! {
    SI_USER = 0, "`kill`";
    SI_KERNEL = 0x80, "the kernel, without saying more";
    SI_QUEUE = -1, "`rt_sigqueueinfo`";
    SI_TIMER = -2, "a timer of `timer_create`";
    SI_MESGQ = -3, "a message came into an empty queue";
    SI_ASYNCIO = -4, "asynchronous input or output ended";
    SI_SIGIO = -5, "`SIGIO` that had to wait in line";
    SI_TKILL = -6, "`tgkill` or `tkill`";
    SI_DETHREAD = -7, "`execve` ends the other threads";
    SI_ASYNCNL = -60, "a name was looked up (glibc)";
    ILL_ILLOPC = 1, "`SIGILL`: the operation";
    ILL_ILLOPN = 2, "`SIGILL`: an operand";
    ILL_ILLADR = 3, "`SIGILL`: the addressing mode";
    ILL_ILLTRP = 4, "`SIGILL`: a trap";
    ILL_PRVOPC = 5, "`SIGILL`: a privileged operation";
    ILL_PRVREG = 6, "`SIGILL`: a privileged register";
    ILL_COPROC = 7, "`SIGILL`: the coprocessor";
    ILL_BADSTK = 8, "`SIGILL`: the stack";
    ILL_BADIADDR = 9, "`SIGILL`: the instruction's address";
    FPE_INTDIV = 1, "`SIGFPE`: an integer divided by zero";
    FPE_INTOVF = 2, "`SIGFPE`: an integer overflow";
    FPE_FLTDIV = 3, "`SIGFPE`: a float divided by zero";
    FPE_FLTOVF = 4, "`SIGFPE`: a float overflow";
    FPE_FLTUND = 5, "`SIGFPE`: a float underflow";
    FPE_FLTRES = 6, "`SIGFPE`: an inexact float";
    FPE_FLTINV = 7, "`SIGFPE`: an invalid float operation";
    FPE_FLTSUB = 8, "`SIGFPE`: a subscript out of range";
    FPE_FLTUNK = 14, "`SIGFPE`: a float, undiagnosed";
    FPE_CONDTRAP = 15, "`SIGFPE`: a trap on a condition";
    SEGV_MAPERR = 1, "`SIGSEGV`: nothing is mapped there";
    SEGV_ACCERR = 2, "`SIGSEGV`: mapped, but not for this access";
    SEGV_BNDERR = 3, "`SIGSEGV`: outside of given bounds";
    SEGV_PKUERR = 4, "`SIGSEGV`: a protection key forbids it";
    SEGV_ACCADI = 5, "`SIGSEGV`: ADI is not enabled (sparc)";
    SEGV_ADIDERR = 6, "`SIGSEGV`: a disrupting ADI error (sparc)";
    SEGV_ADIPERR = 7, "`SIGSEGV`: a precise ADI error (sparc)";
    SEGV_MTEAERR = 8, "`SIGSEGV`: a memory tag, noticed later (aarch64)";
    SEGV_MTESERR = 9, "`SIGSEGV`: a memory tag, noticed at once (aarch64)";
    SEGV_CPERR = 10, "`SIGSEGV`: control flow (a shadow stack)";
    BUS_ADRALN = 1, "`SIGBUS`: alignment";
    BUS_ADRERR = 2, "`SIGBUS`: no memory for it: past the end of the file, or a userfaultfd's `SIGBUS` feature";
    BUS_OBJERR = 3, "`SIGBUS`: the hardware";
    BUS_MCEERR_AR = 4, "`SIGBUS`: poisoned memory was used; also `UFFDIO_POISON`";
    BUS_MCEERR_AO = 5, "`SIGBUS`: poisoned memory was found, not used yet";
    TRAP_BRKPT = 1, "`SIGTRAP`: a breakpoint";
    TRAP_TRACE = 2, "`SIGTRAP`: a single step";
    TRAP_BRANCH = 3, "`SIGTRAP`: a branch was taken";
    TRAP_HWBKPT = 4, "`SIGTRAP`: a hardware breakpoint";
    TRAP_UNK = 5, "`SIGTRAP`: undiagnosed";
    TRAP_PERF = 6, "`SIGTRAP`: a perf event (since Linux 5.13)";
    CLD_EXITED = 1, "`SIGCHLD`: the child called `exit`";
    CLD_KILLED = 2, "`SIGCHLD`: a signal killed the child";
    CLD_DUMPED = 3, "`SIGCHLD`: a signal killed the child, which dumped core";
    CLD_TRAPPED = 4, "`SIGCHLD`: the traced child stopped";
    CLD_STOPPED = 5, "`SIGCHLD`: a signal stopped the child";
    CLD_CONTINUED = 6, "`SIGCHLD`: the child goes on";
    POLL_IN = 1, "`SIGIO`: there is something to read";
    POLL_OUT = 2, "`SIGIO`: there is room to write";
    POLL_MSG = 3, "`SIGIO`: a message came";
    POLL_ERR = 4, "`SIGIO`: an error";
    POLL_PRI = 5, "`SIGIO`: something urgent";
    POLL_HUP = 6, "`SIGIO`: the other end is gone";
    SYS_SECCOMP = 1, "`SIGSYS`: a seccomp filter";
    SYS_USER_DISPATCH = 2, "`SIGSYS`: syscall user dispatch (since Linux 5.11)";
}

impl SiCode {
    /// The code of this number, whether there is a name for it or not.
    #[inline]
    pub const fn from_raw(code: i32) -> Self {
        Self(code)
    }

    /// The number.
    #[inline]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// `siginfo_t`: which signal, why, and what more there is to know.
///
/// The fields that hold the rest depend on signal and code; [`Siginfo::details`]
/// reads those that the kernel has written, and no others.
///
/// Manual page: [sigaction(2)](https://man7.org/linux/man-pages/man2/sigaction.2.html).
#[derive(Clone, Copy)]
#[repr(C)]
#[doc(alias = "struct siginfo")]
#[doc(alias = "siginfo_t")]
pub struct Siginfo {
    si_signo: i32,
    si_errno: i32,
    si_code: i32,
    // The union is aligned to 8 bytes. Said, so that no byte is left unwritten.
    _pad: u32,
    _sifields: [u64; 14],
}

const _: () = assert!(size_of::<Siginfo>() == 128 && align_of::<Siginfo>() == 8);

/// The part of a [`Siginfo`] that depends on the signal.
///
/// No process is named, and user 0, when the kernel sends by itself; and no
/// process, but a user, when the sender is in another pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Details {
    /// Sent by `kill`, or by the kernel without more to tell.
    Kill {
        /// `si_pid`: the sender.
        pid: Option<Pid>,
        /// `si_uid`: the sender's real user.
        uid: u32,
    },
    /// Sent with a value: `rt_sigqueueinfo`, `tgkill` (whose value is 0), a
    /// message queue.
    Queue {
        /// `si_pid`: the sender.
        pid: Option<Pid>,
        /// `si_uid`: the sender's real user.
        uid: u32,
        /// `si_value`: what came along. `si_int` is its low half.
        value: usize,
    },
    /// A timer of `timer_create`.
    Timer {
        /// `si_tid`: the timer.
        timer: i32,
        /// `si_overrun`: how often it went off unheard.
        overrun: i32,
        /// `si_value`: what was set with it.
        value: usize,
    },
    /// `SIGCHLD`.
    Child {
        /// `si_pid`: the child.
        pid: Option<Pid>,
        /// `si_uid`: the child's real user.
        uid: u32,
        /// `si_status`: the exit code, or the number of the signal.
        status: i32,
        /// `si_utime`: processor time in user mode, in clock ticks.
        utime: i64,
        /// `si_stime`: processor time in the kernel, in clock ticks.
        stime: i64,
    },
    /// `SIGILL`, `SIGFPE`, `SIGSEGV`, `SIGBUS`, `SIGTRAP`: a fault of this
    /// thread.
    Fault {
        /// `si_addr`: the address that was used, or of the instruction.
        addr: *mut c_void,
    },
    /// `SIGBUS` with `BUS_MCEERR_AR` or `BUS_MCEERR_AO`: poisoned memory.
    Poison {
        /// `si_addr`: an address in it.
        addr: *mut c_void,
        /// `si_addr_lsb`: log2 of how many bytes are lost.
        lsb: i16,
    },
    /// `SIGSEGV` with `SEGV_BNDERR`.
    Bounds {
        /// `si_addr`: the address.
        addr: *mut c_void,
        /// `si_lower`: the least that was allowed.
        lower: *mut c_void,
        /// `si_upper`: the most that was allowed.
        upper: *mut c_void,
    },
    /// `SIGSEGV` with `SEGV_PKUERR`.
    ProtectionKey {
        /// `si_addr`: the address.
        addr: *mut c_void,
        /// `si_pkey`: the key of that page.
        pkey: u32,
    },
    /// `SIGTRAP` with `TRAP_PERF`.
    Perf {
        /// `si_addr`: the address.
        addr: *mut c_void,
        /// `si_perf_data`: the event's own word.
        data: u64,
        /// `si_perf_type`: the kind of the event.
        kind: u32,
        /// `si_perf_flags`.
        flags: u32,
    },
    /// `SIGIO`, or what `F_SETSIG` chose instead.
    Poll {
        /// `si_band`: what is possible, as `poll` says it.
        band: i64,
        /// `si_fd`: the descriptor.
        fd: i32,
    },
    /// `SIGSYS`.
    Syscall {
        /// `si_call_addr`: the instruction after the call.
        call_addr: *mut c_void,
        /// `si_syscall`: the number of the call.
        syscall: i32,
        /// `si_arch`: whose numbers those are (`AUDIT_ARCH_*`).
        arch: u32,
    },
}

impl Siginfo {
    /// All bytes zero: what a call that does not write leaves.
    pub(crate) const ZERO: Self = Self {
        si_signo: 0,
        si_errno: 0,
        si_code: 0,
        _pad: 0,
        _sifields: [0; 14],
    };

    /// What `sigqueue(3)` sends: `SI_QUEUE` with who sends and a value.
    ///
    /// The kernel passes `pid` and `uid` on as they are: they should be the
    /// caller's own, and a receiver should not rely on it. A pointer goes as
    /// its exposed address, and means something only in this process.
    pub const fn queue(signal: Signal, pid: Pid, uid: u32, value: usize) -> Self {
        let mut info = Self::ZERO;
        info.si_signo = signal.as_raw();
        info.si_code = SiCode::SI_QUEUE.0;
        info._sifields[0] = pid.as_raw() as u64 | (uid as u64) << 32;
        info._sifields[1] = value as u64;
        info
    }

    /// `si_signo`: the signal. `None` in a `siginfo_t` about nothing, as
    /// `waitid` with `WNOHANG` leaves it.
    #[inline]
    pub const fn signal(&self) -> Option<Signal> {
        Signal::new(self.si_signo)
    }

    /// `si_errno`: mostly 0. For `SIGSYS` by a filter, the filter's word.
    #[inline]
    pub const fn errno(&self) -> i32 {
        self.si_errno
    }

    /// `si_code`: why.
    #[inline]
    pub const fn code(&self) -> SiCode {
        SiCode(self.si_code)
    }

    /// What more there is to know.
    ///
    /// Which fields those are is decided as the kernel decides it when it
    /// writes them (`siginfo_layout` in kernel/signal.c). A process that
    /// queues a signal to itself can write whatever it likes.
    pub fn details(&self) -> Details {
        let [a, b, c, d, ..] = self._sifields;
        let addr = pointer(a);
        match (self.si_signo, self.si_code) {
            (7, 4..=5) => Details::Poison {
                addr,
                lsb: b as i16,
            },
            (11, 3) => Details::Bounds {
                addr,
                lower: pointer(c),
                upper: pointer(d),
            },
            (11, 4) => Details::ProtectionKey {
                addr,
                pkey: c as u32,
            },
            (5, 6) => Details::Perf {
                addr,
                data: b,
                kind: low(c),
                flags: high(c),
            },
            // Without the kernel's upper limits: a newer kernel has more codes.
            (4 | 5 | 7 | 8 | 11, 1..0x80) => Details::Fault { addr },
            (17, 1..0x80) => Details::Child {
                pid: Pid::from_raw(low(a) as i32),
                uid: high(a),
                status: low(b) as i32,
                utime: c as i64,
                stime: d as i64,
            },
            (31, 1..0x80) => Details::Syscall {
                call_addr: addr,
                syscall: low(b) as i32,
                arch: high(b),
            },
            (_, 1..=6) | (_, -5) => Details::Poll {
                band: a as i64,
                fd: low(b) as i32,
            },
            (_, -2) => Details::Timer {
                timer: low(a) as i32,
                overrun: high(a) as i32,
                value: b as usize,
            },
            (_, i32::MIN..=-1) => Details::Queue {
                pid: Pid::from_raw(low(a) as i32),
                uid: high(a),
                value: b as usize,
            },
            _ => Details::Kill {
                pid: Pid::from_raw(low(a) as i32),
                uid: high(a),
            },
        }
    }

    /// `si_addr`: the address of a fault, for the signals that have one.
    pub fn fault_addr(&self) -> Option<*mut c_void> {
        match self.details() {
            Details::Fault { addr }
            | Details::Poison { addr, .. }
            | Details::Bounds { addr, .. }
            | Details::ProtectionKey { addr, .. }
            | Details::Perf { addr, .. } => Some(addr),
            _ => None,
        }
    }

    /// `si_value`: what was queued with the signal, if it came with a value.
    pub fn value(&self) -> Option<usize> {
        match self.details() {
            Details::Queue { value, .. } | Details::Timer { value, .. } => Some(value),
            _ => None,
        }
    }
}

const fn low(word: u64) -> u32 {
    word as u32
}

const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

fn pointer(address: u64) -> *mut c_void {
    core::ptr::with_exposed_provenance_mut(address as usize)
}

impl fmt::Debug for Siginfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Siginfo")
            .field("signal", &self.signal())
            .field("errno", &self.si_errno)
            .field("code", &self.si_code)
            .field("details", &self.details())
            .finish()
    }
}
