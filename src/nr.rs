//! System call numbers: one constant per call of this architecture.
//!
//! Made from `arch/syscalls.tbl`, which is complete for Linux 7.3. A call that
//! this architecture does not have is not here, so asking for it does not
//! compile (aarch64 has no `fork`, `open` or `poll`, for instance).
//!
//! ```
//! use barecall::nr::{self, Sysno};
//!
//! assert_eq!(nr::MEMFD_CREATE.name(), Some("memfd_create"));
//! assert_eq!(Sysno::from_name("kcmp"), Some(nr::KCMP));
//! assert_eq!(Sysno::iter().last(), Some(nr::FCHROOT));
//! ```

use core::fmt;

include!(concat!(env!("OUT_DIR"), "/nr.rs"));

/// The number of a system call.
///
/// Any number will do, also one that this crate or even the running kernel
/// does not know (the kernel then answers `ENOSYS`): a newer kernel's call can
/// be made with an older crate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Sysno(usize);

impl Sysno {
    /// The call with this number.
    #[inline]
    pub const fn new(number: usize) -> Self {
        Self(number)
    }

    /// The number as it goes into the register.
    #[inline]
    pub const fn as_usize(self) -> usize {
        self.0
    }

    #[inline]
    pub(crate) const fn to_reg(self) -> crate::arch::Reg {
        core::ptr::without_provenance_mut(self.0)
    }

    /// The kernel's name of the call, without the `__NR_`, or `None` for a
    /// number that Linux 7.3 does not use on this architecture.
    pub const fn name(self) -> Option<&'static str> {
        let mut names = Names::new();
        while let Some((number, name)) = names.next() {
            if number.0 == self.0 {
                return Some(name);
            }
        }
        None
    }

    /// The call of this name (`"memfd_create"`), if this architecture has it.
    pub const fn from_name(name: &str) -> Option<Self> {
        let mut names = Names::new();
        while let Some((number, known)) = names.next() {
            if same(known.as_bytes(), name.as_bytes()) {
                return Some(number);
            }
        }
        None
    }

    /// Every call of this architecture, in ascending order.
    pub const fn iter() -> Iter {
        Iter(Names::new())
    }
}

// `==` on slices is not const.
const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// A walk over `NAMES` that works in constants too.
#[derive(Clone)]
struct Names {
    rest: &'static [u8],
    number: usize,
}

impl Names {
    const fn new() -> Self {
        Self {
            rest: NAMES.as_bytes(),
            number: 0,
        }
    }

    const fn next(&mut self) -> Option<(Sysno, &'static str)> {
        while !self.rest.is_empty() {
            let mut len = 0;
            while len < self.rest.len() && self.rest[len] != 0 {
                len += 1;
            }
            let (name, rest) = self.rest.split_at(len);
            let number = self.number;
            self.number += 1;
            self.rest = match rest {
                [_nul, rest @ ..] => rest,
                [] => rest,
            };
            if !name.is_empty() {
                // SAFETY: a piece of a str between two ASCII bytes.
                let name = unsafe { core::str::from_utf8_unchecked(name) };
                return Some((Sysno(number), name));
            }
        }
        None
    }
}

/// The iterator that [`Sysno::iter`] returns.
#[derive(Clone)]
pub struct Iter(Names);

impl Iterator for Iter {
    type Item = Sysno;

    fn next(&mut self) -> Option<Sysno> {
        self.0.next().map(|(number, _)| number)
    }
}

impl core::iter::FusedIterator for Iter {}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl fmt::Display for Sysno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => {
                f.write_str("syscall_")?;
                fmt::Display::fmt(&self.0, f)
            }
        }
    }
}

impl fmt::Debug for Sysno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! from_integer {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Sysno {
            /// Widened like a C integer: a negative number stays negative.
            #[inline]
            fn from(number: $integer) -> Self {
                Self(number as usize)
            }
        }
    )*};
}

from_integer!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
