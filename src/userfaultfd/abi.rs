//! `<linux/userfaultfd.h>` of Linux 7.3, as it is: requests, structures, and
//! the bits that are not flags of their own.
//!
//! For who makes a request by hand. Everything typed is one floor up.

/// `userfaultfd(2)`'s own flag: faults from user mode only (since Linux 5.11).
pub const UFFD_USER_MODE_ONLY: u32 = 1;
/// `O_CLOEXEC`, of `userfaultfd(2)`.
pub(super) const O_CLOEXEC: u32 = 0o2000000;
/// `O_NONBLOCK`, of `userfaultfd(2)`.
pub(super) const O_NONBLOCK: u32 = 0o4000;

/// The only API there is, of [`UffdioApi::api`].
pub const UFFD_API: u64 = 0xaa;

/// On `/dev/userfaultfd`: a new descriptor; the argument is the flags
/// (since Linux 6.1).
pub const USERFAULTFD_IOC_NEW: u32 = 0xaa00;
/// The handshake, with [`UffdioApi`].
pub const UFFDIO_API: u32 = 0xc018_aa3f;
/// With [`UffdioRegister`].
pub const UFFDIO_REGISTER: u32 = 0xc020_aa00;
/// With [`UffdioRange`]. Encoded as a read by a mistake that is now history.
pub const UFFDIO_UNREGISTER: u32 = 0x8010_aa01;
/// With [`UffdioRange`]; see [`UFFDIO_UNREGISTER`].
pub const UFFDIO_WAKE: u32 = 0x8010_aa02;
/// With [`UffdioCopy`].
pub const UFFDIO_COPY: u32 = 0xc028_aa03;
/// With [`UffdioZeropage`].
pub const UFFDIO_ZEROPAGE: u32 = 0xc020_aa04;
/// With [`UffdioMove`] (since Linux 6.8).
pub const UFFDIO_MOVE: u32 = 0xc028_aa05;
/// With [`UffdioWriteprotect`] (since Linux 5.7).
pub const UFFDIO_WRITEPROTECT: u32 = 0xc018_aa06;
/// With [`UffdioContinue`] (since Linux 5.13).
pub const UFFDIO_CONTINUE: u32 = 0xc020_aa07;
/// With [`UffdioPoison`] (since Linux 6.6).
pub const UFFDIO_POISON: u32 = 0xc020_aa08;
/// With [`UffdioRwprotect`] (since Linux 7.3).
pub const UFFDIO_RWPROTECT: u32 = 0xc018_aa09;
/// With [`UffdioSetMode`] (since Linux 7.3).
pub const UFFDIO_SET_MODE: u32 = 0x4010_aa0a;

/// The bit of each request in the masks that the kernel answers.
pub(super) mod bit {
    pub const _UFFDIO_REGISTER: u64 = 0x00;
    pub const _UFFDIO_UNREGISTER: u64 = 0x01;
    pub const _UFFDIO_WAKE: u64 = 0x02;
    pub const _UFFDIO_COPY: u64 = 0x03;
    pub const _UFFDIO_ZEROPAGE: u64 = 0x04;
    pub const _UFFDIO_MOVE: u64 = 0x05;
    pub const _UFFDIO_WRITEPROTECT: u64 = 0x06;
    pub const _UFFDIO_CONTINUE: u64 = 0x07;
    pub const _UFFDIO_POISON: u64 = 0x08;
    pub const _UFFDIO_RWPROTECT: u64 = 0x09;
    pub const _UFFDIO_SET_MODE: u64 = 0x0a;
    pub const _UFFDIO_API: u64 = 0x3f;
}

/// A fault.
pub const UFFD_EVENT_PAGEFAULT: u8 = 0x12;
/// The process forked (since Linux 4.11).
pub const UFFD_EVENT_FORK: u8 = 0x13;
/// A mapping was moved (since Linux 4.11).
pub const UFFD_EVENT_REMAP: u8 = 0x14;
/// Pages were discarded (since Linux 4.11).
pub const UFFD_EVENT_REMOVE: u8 = 0x15;
/// A mapping is gone (since Linux 4.11).
pub const UFFD_EVENT_UNMAP: u8 = 0x16;

/// Of [`UffdioWriteprotect::mode`]: protect; without it, unprotect.
pub const UFFDIO_WRITEPROTECT_MODE_WP: u64 = 1 << 0;
/// Of [`UffdioRwprotect::mode`]: protect; without it, unprotect.
pub const UFFDIO_RWPROTECT_MODE_RWP: u64 = 1 << 0;

/// `struct uffd_msg`: what `read` gives, 32 bytes each.
///
/// `arg` is C's union as three words. What they are depends on `event`; a
/// 32-bit member (`fork.ufd`, `pagefault.feat.ptid`) is the low half of its
/// word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
#[doc(alias = "struct uffd_msg")]
pub struct UffdMsg {
    /// `UFFD_EVENT_*`.
    pub event: u8,
    /// Zero.
    pub reserved1: u8,
    /// Zero.
    pub reserved2: u16,
    /// Zero.
    pub reserved3: u32,
    /// The union.
    pub arg: [u64; 3],
}

/// `struct uffdio_api`: the handshake.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_api")]
pub struct UffdioApi {
    /// [`UFFD_API`].
    pub api: u64,
    /// Asked for; answered with all that the kernel has.
    pub features: u64,
    /// Answered: which requests the descriptor takes.
    pub ioctls: u64,
}

/// `struct uffdio_range`: whole pages.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_range")]
pub struct UffdioRange {
    /// Address of the first byte.
    pub start: u64,
    /// In bytes.
    pub len: u64,
}

/// `struct uffdio_register`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_register")]
pub struct UffdioRegister {
    /// What is registered.
    pub range: UffdioRange,
    /// `UFFDIO_REGISTER_MODE_*`.
    pub mode: u64,
    /// Answered: which requests the range takes.
    pub ioctls: u64,
}

/// `struct uffdio_copy`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_copy")]
pub struct UffdioCopy {
    /// Where to, in the process that faults.
    pub dst: u64,
    /// Where from, in the process that calls.
    pub src: u64,
    /// In bytes, whole pages.
    pub len: u64,
    /// `UFFDIO_COPY_MODE_*`.
    pub mode: u64,
    /// Answered, or not: bytes, or a negated errno, or untouched.
    pub copy: i64,
}

/// `struct uffdio_zeropage`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_zeropage")]
pub struct UffdioZeropage {
    /// What is filled.
    pub range: UffdioRange,
    /// `UFFDIO_ZEROPAGE_MODE_*`.
    pub mode: u64,
    /// As [`UffdioCopy::copy`].
    pub zeropage: i64,
}

/// `struct uffdio_writeprotect`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_writeprotect")]
pub struct UffdioWriteprotect {
    /// What is protected, or not any more.
    pub range: UffdioRange,
    /// `UFFDIO_WRITEPROTECT_MODE_*`.
    pub mode: u64,
}

/// `struct uffdio_continue`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_continue")]
pub struct UffdioContinue {
    /// What is mapped.
    pub range: UffdioRange,
    /// `UFFDIO_CONTINUE_MODE_*`.
    pub mode: u64,
    /// As [`UffdioCopy::copy`].
    pub mapped: i64,
}

/// `struct uffdio_poison`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_poison")]
pub struct UffdioPoison {
    /// What is poisoned.
    pub range: UffdioRange,
    /// `UFFDIO_POISON_MODE_*`.
    pub mode: u64,
    /// As [`UffdioCopy::copy`].
    pub updated: i64,
}

/// `struct uffdio_rwprotect`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_rwprotect")]
pub struct UffdioRwprotect {
    /// What is protected, or not any more.
    pub range: UffdioRange,
    /// `UFFDIO_RWPROTECT_MODE_*`.
    pub mode: u64,
}

/// `struct uffdio_move`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_move")]
pub struct UffdioMove {
    /// Where to.
    pub dst: u64,
    /// Where from; the pages are gone from there.
    pub src: u64,
    /// In bytes, whole pages.
    pub len: u64,
    /// `UFFDIO_MOVE_MODE_*`.
    pub mode: u64,
    /// As [`UffdioCopy::copy`].
    pub r#move: i64,
}

/// `struct uffdio_set_mode`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[doc(alias = "struct uffdio_set_mode")]
pub struct UffdioSetMode {
    /// `UFFD_FEATURE_*` to turn on.
    pub enable: u64,
    /// `UFFD_FEATURE_*` to turn off.
    pub disable: u64,
}
