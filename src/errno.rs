//! Errors, as the kernel gives them.

use core::ffi::CStr;
use core::fmt;
use core::num::NonZeroIsize;

/// `errno`: why the kernel refused a call.
///
/// Held as the kernel returns it, negated in a full register, so that an error
/// travels from the system call to the caller's branch without conversion:
/// `Result<usize, Errno>` is two registers and `Result<(), Errno>` is one.
///
/// The numbers are the same on x86_64 and aarch64. Any number can be held; one
/// that this crate has no name for prints as a number.
///
/// ```
/// use barecall::Errno;
/// use barecall::io;
///
/// let error = io::pipe2(io::PipeFlags::from_bits_retain(1)).unwrap_err();
/// assert_eq!(error, Errno::EINVAL);
/// assert_eq!(error.raw(), 22);
/// assert_eq!(format!("{error:?}"), "EINVAL");
/// assert_eq!(format!("{error}"), "EINVAL: Invalid argument");
/// ```
///
/// Manual page: [errno(3)](https://man7.org/linux/man-pages/man3/errno.3.html).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Errno(NonZeroIsize);

impl Errno {
    /// The error of this number, positive as in `<errno.h>`; 0 is no error.
    #[inline]
    pub const fn new(number: i32) -> Option<Self> {
        match NonZeroIsize::new(-(number as isize)) {
            Some(negated) => Some(Self(negated)),
            None => None,
        }
    }

    /// The number, positive as in `<errno.h>`.
    #[inline]
    pub const fn raw(self) -> i32 {
        self.0.get().wrapping_neg() as i32
    }

    const fn known(number: isize) -> Self {
        match NonZeroIsize::new(-number) {
            Some(negated) => Self(negated),
            None => panic!("0 is not an errno"),
        }
    }

    /// From a register that holds a result or -4095 to -1.
    ///
    /// -4096 is not an error: it is the last page of the address space, and
    /// what `mmap` may return below it is the reason for the limit.
    #[inline]
    pub(crate) fn decode(ret: usize) -> Result<usize, Self> {
        const LAST: usize = -4095_isize as usize;
        if ret < LAST {
            return Ok(ret);
        }
        // SAFETY: at least LAST, therefore not zero.
        Err(Self(unsafe { NonZeroIsize::new_unchecked(ret as isize) }))
    }

    /// From the register of a call that answers 0 or an error: what the
    /// register holds is the `Result`, and no instruction is needed.
    #[inline]
    pub(crate) fn decode_zero(ret: usize) -> Result<(), Self> {
        match NonZeroIsize::new(ret as isize) {
            None => Ok(()),
            Some(negated) => Err(Self(negated)),
        }
    }

    /// The C name, `"ENOENT"`, or `None` for a number without one.
    pub fn name(self) -> Option<&'static str> {
        piece(NAMES, self.raw())
    }

    /// The sentence that `strerror(3)` has for it, or `None` for a number
    /// without a name.
    pub fn message(self) -> Option<&'static str> {
        piece(MESSAGES, self.raw())
    }
}

/// The `number`th string of a blob of NUL-terminated ones, if not empty.
///
/// A scan of a few kilobytes on the way to an error message, in exchange for
/// no table of pointers: 1.1 kB for the names where slices would need 3.3.
fn piece(blob: &'static [u8], number: i32) -> Option<&'static str> {
    let mut rest = blob;
    for _ in 1..number {
        let piece = CStr::from_bytes_until_nul(rest).ok()?;
        rest = rest.get(piece.count_bytes() + 1..)?;
    }
    if number < 1 {
        return None;
    }
    let piece = CStr::from_bytes_until_nul(rest).ok()?.to_str().ok()?;
    (!piece.is_empty()).then_some(piece)
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => {
                f.write_str("errno ")?;
                fmt::Display::fmt(&self.raw(), f)
            }
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)?;
        if let Some(message) = self.message() {
            f.write_str(": ")?;
            f.write_str(message)?;
        }
        Ok(())
    }
}

impl core::error::Error for Errno {}

#[cfg(feature = "std")]
impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.raw())
    }
}

/// With the feature `std`, lets errors that become an [`Errno`] become
/// `std::io::Error` in the same way.
macro_rules! std_error {
    ($($type:ty $(where $T:ident)?),* $(,)?) => {$(
        #[cfg(feature = "std")]
        impl $(<$T>)? From<$type> for std::io::Error {
            fn from(error: $type) -> Self {
                $crate::errno::Errno::from(error).into()
            }
        }
    )*};
}
pub(crate) use std_error;

macro_rules! name_of {
    (-) => {
        ""
    };
    ($name:ident) => {
        stringify!($name)
    };
}

macro_rules! constant {
    ($number:literal - $message:literal) => {};
    ($number:literal $name:ident $message:literal) => {
        impl Errno {
            #[doc = concat!("`", stringify!($name), "` (", $number, "): ", $message, ".")]
            pub const $name: Self = Self::known($number);
        }
    };
}

macro_rules! errnos {
    ($($number:literal $name:tt $message:literal;)*) => {
        $(constant! { $number $name $message })*

        const NAMES: &[u8] = concat!($(name_of!($name), "\0"),*).as_bytes();
        const MESSAGES: &[u8] = concat!($($message, "\0"),*).as_bytes();

        // The blobs are indexed by counting, so the list must not skip.
        const _: () = {
            let mut next = 1;
            $(
                assert!($number == next);
                next += 1;
            )*
            let _ = next;
        };
    };
}

// <asm-generic/errno.h>; the words are those of strerror(3).
errnos! {
    1 EPERM "Operation not permitted";
    2 ENOENT "No such file or directory";
    3 ESRCH "No such process";
    4 EINTR "Interrupted system call";
    5 EIO "Input/output error";
    6 ENXIO "No such device or address";
    7 E2BIG "Argument list too long";
    8 ENOEXEC "Exec format error";
    9 EBADF "Bad file descriptor";
    10 ECHILD "No child processes";
    11 EAGAIN "Resource temporarily unavailable";
    12 ENOMEM "Cannot allocate memory";
    13 EACCES "Permission denied";
    14 EFAULT "Bad address";
    15 ENOTBLK "Block device required";
    16 EBUSY "Device or resource busy";
    17 EEXIST "File exists";
    18 EXDEV "Invalid cross-device link";
    19 ENODEV "No such device";
    20 ENOTDIR "Not a directory";
    21 EISDIR "Is a directory";
    22 EINVAL "Invalid argument";
    23 ENFILE "Too many open files in system";
    24 EMFILE "Too many open files";
    25 ENOTTY "Inappropriate ioctl for device";
    26 ETXTBSY "Text file busy";
    27 EFBIG "File too large";
    28 ENOSPC "No space left on device";
    29 ESPIPE "Illegal seek";
    30 EROFS "Read-only file system";
    31 EMLINK "Too many links";
    32 EPIPE "Broken pipe";
    33 EDOM "Numerical argument out of domain";
    34 ERANGE "Numerical result out of range";
    35 EDEADLK "Resource deadlock avoided";
    36 ENAMETOOLONG "File name too long";
    37 ENOLCK "No locks available";
    38 ENOSYS "Function not implemented";
    39 ENOTEMPTY "Directory not empty";
    40 ELOOP "Too many levels of symbolic links";
    41 - "";
    42 ENOMSG "No message of desired type";
    43 EIDRM "Identifier removed";
    44 ECHRNG "Channel number out of range";
    45 EL2NSYNC "Level 2 not synchronized";
    46 EL3HLT "Level 3 halted";
    47 EL3RST "Level 3 reset";
    48 ELNRNG "Link number out of range";
    49 EUNATCH "Protocol driver not attached";
    50 ENOCSI "No CSI structure available";
    51 EL2HLT "Level 2 halted";
    52 EBADE "Invalid exchange";
    53 EBADR "Invalid request descriptor";
    54 EXFULL "Exchange full";
    55 ENOANO "No anode";
    56 EBADRQC "Invalid request code";
    57 EBADSLT "Invalid slot";
    58 - "";
    59 EBFONT "Bad font file format";
    60 ENOSTR "Device not a stream";
    61 ENODATA "No data available";
    62 ETIME "Timer expired";
    63 ENOSR "Out of streams resources";
    64 ENONET "Machine is not on the network";
    65 ENOPKG "Package not installed";
    66 EREMOTE "Object is remote";
    67 ENOLINK "Link has been severed";
    68 EADV "Advertise error";
    69 ESRMNT "Srmount error";
    70 ECOMM "Communication error on send";
    71 EPROTO "Protocol error";
    72 EMULTIHOP "Multihop attempted";
    73 EDOTDOT "RFS specific error";
    74 EBADMSG "Bad message";
    75 EOVERFLOW "Value too large for defined data type";
    76 ENOTUNIQ "Name not unique on network";
    77 EBADFD "File descriptor in bad state";
    78 EREMCHG "Remote address changed";
    79 ELIBACC "Can not access a needed shared library";
    80 ELIBBAD "Accessing a corrupted shared library";
    81 ELIBSCN ".lib section in a.out corrupted";
    82 ELIBMAX "Attempting to link in too many shared libraries";
    83 ELIBEXEC "Cannot exec a shared library directly";
    84 EILSEQ "Invalid or incomplete multibyte or wide character";
    85 ERESTART "Interrupted system call should be restarted";
    86 ESTRPIPE "Streams pipe error";
    87 EUSERS "Too many users";
    88 ENOTSOCK "Socket operation on non-socket";
    89 EDESTADDRREQ "Destination address required";
    90 EMSGSIZE "Message too long";
    91 EPROTOTYPE "Protocol wrong type for socket";
    92 ENOPROTOOPT "Protocol not available";
    93 EPROTONOSUPPORT "Protocol not supported";
    94 ESOCKTNOSUPPORT "Socket type not supported";
    95 EOPNOTSUPP "Operation not supported";
    96 EPFNOSUPPORT "Protocol family not supported";
    97 EAFNOSUPPORT "Address family not supported by protocol";
    98 EADDRINUSE "Address already in use";
    99 EADDRNOTAVAIL "Cannot assign requested address";
    100 ENETDOWN "Network is down";
    101 ENETUNREACH "Network is unreachable";
    102 ENETRESET "Network dropped connection on reset";
    103 ECONNABORTED "Software caused connection abort";
    104 ECONNRESET "Connection reset by peer";
    105 ENOBUFS "No buffer space available";
    106 EISCONN "Transport endpoint is already connected";
    107 ENOTCONN "Transport endpoint is not connected";
    108 ESHUTDOWN "Cannot send after transport endpoint shutdown";
    109 ETOOMANYREFS "Too many references: cannot splice";
    110 ETIMEDOUT "Connection timed out";
    111 ECONNREFUSED "Connection refused";
    112 EHOSTDOWN "Host is down";
    113 EHOSTUNREACH "No route to host";
    114 EALREADY "Operation already in progress";
    115 EINPROGRESS "Operation now in progress";
    116 ESTALE "Stale file handle";
    117 EUCLEAN "Structure needs cleaning";
    118 ENOTNAM "Not a XENIX named type file";
    119 ENAVAIL "No XENIX semaphores available";
    120 EISNAM "Is a named type file";
    121 EREMOTEIO "Remote I/O error";
    122 EDQUOT "Disk quota exceeded";
    123 ENOMEDIUM "No medium found";
    124 EMEDIUMTYPE "Wrong medium type";
    125 ECANCELED "Operation canceled";
    126 ENOKEY "Required key not available";
    127 EKEYEXPIRED "Key has expired";
    128 EKEYREVOKED "Key has been revoked";
    129 EKEYREJECTED "Key was rejected by service";
    130 EOWNERDEAD "Owner died";
    131 ENOTRECOVERABLE "State not recoverable";
    132 ERFKILL "Operation not possible due to RF-kill";
    133 EHWPOISON "Memory page has hardware error";
    134 EFTYPE "Wrong file type for the intended operation";
}

impl Errno {
    /// `EWOULDBLOCK`: another name of [`Errno::EAGAIN`].
    pub const EWOULDBLOCK: Self = Self::EAGAIN;
    /// `EDEADLOCK`: another name of [`Errno::EDEADLK`].
    pub const EDEADLOCK: Self = Self::EDEADLK;
    /// `EFSBADCRC`: another name of [`Errno::EBADMSG`].
    pub const EFSBADCRC: Self = Self::EBADMSG;
    /// `EFSCORRUPTED`: another name of [`Errno::EUCLEAN`].
    pub const EFSCORRUPTED: Self = Self::EUCLEAN;
}
