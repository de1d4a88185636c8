//! Bits by which a call is told what to do.

use bitflags::Flags;
use bitflags::parser::{WriteHex, to_writer};
use core::fmt;

/// A type of flags, written as `bitflags!` is and with its methods and
/// operators, and ending in `const _ = !0`: every bit may be a flag of a newer
/// kernel. Its constants have no `#[cfg]`.
///
/// `bitflags!` itself makes a thousand lines of each type: half of the time
/// that this crate took to build. What is generic comes from there: the type is
/// a [`bitflags::Flags`]. (The formats of numbers, `{:x}`, are left to `bits`.)
macro_rules! flags {
    (
        $(#[$outer:meta])*
        pub struct $Name:ident: $Bits:ty {
            $(
                $(#[$inner:meta])*
                const $FLAG:tt = $value:expr;
            )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $Name($Bits);

        impl $Name {
            $($crate::flags::constant! { $(#[$inner])* $FLAG = $value })*

            /// No bit.
            #[inline]
            pub const fn empty() -> Self {
                Self(0)
            }

            /// Every bit, also those that have no name yet.
            #[inline]
            pub const fn all() -> Self {
                Self(0 $(| $value)*)
            }

            /// The kernel's number; also to print it as one, `{:x}`.
            #[inline]
            pub const fn bits(&self) -> $Bits {
                self.0
            }

            /// The flags of this number, which may be newer than this crate.
            #[inline]
            pub const fn from_bits_retain(bits: $Bits) -> Self {
                Self(bits)
            }

            /// The flags of this number: always some, as [`all`](Self::all) is every
            /// bit.
            #[inline]
            pub const fn from_bits(bits: $Bits) -> Option<Self> {
                if bits & !Self::all().0 == 0 { Some(Self(bits)) } else { None }
            }

            /// The flags of this number: all of it, as [`all`](Self::all) is every
            /// bit.
            #[inline]
            pub const fn from_bits_truncate(bits: $Bits) -> Self {
                Self(bits & Self::all().0)
            }

            /// The constant of this name, exactly.
            #[inline]
            pub fn from_name(name: &str) -> Option<Self> {
                ::bitflags::Flags::from_name(name)
            }

            /// One by one; last, what has no name.
            #[inline]
            pub fn iter(&self) -> ::bitflags::iter::Iter<Self> {
                ::bitflags::Flags::iter(self)
            }

            /// One by one, with their names.
            #[inline]
            pub fn iter_names(&self) -> ::bitflags::iter::IterNames<Self> {
                ::bitflags::Flags::iter_names(self)
            }

            /// Whether no bit is set.
            #[inline]
            pub const fn is_empty(&self) -> bool {
                self.0 == 0
            }

            /// Whether [`all`](Self::all) are there.
            #[inline]
            pub const fn is_all(&self) -> bool {
                self.contains(Self::all())
            }

            /// Whether at least one of `other` is there.
            #[inline]
            pub const fn intersects(&self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Whether each of `other` is there.
            #[inline]
            pub const fn contains(&self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Adds `other`.
            #[inline]
            pub const fn insert(&mut self, other: Self) {
                self.0 |= other.0;
            }

            /// Takes `other` away.
            #[inline]
            pub const fn remove(&mut self, other: Self) {
                self.0 &= !other.0;
            }

            /// Adds what is not there of `other`, and takes away what is.
            #[inline]
            pub const fn toggle(&mut self, other: Self) {
                self.0 ^= other.0;
            }

            /// Adds `other`, or takes it away.
            #[inline]
            pub const fn set(&mut self, other: Self, there: bool) {
                if there {
                    self.insert(other);
                } else {
                    self.remove(other);
                }
            }

            /// Those of both, `&`.
            #[inline]
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// Those of either, `|`.
            #[inline]
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Those that are not in `other`, `-`.
            #[inline]
            #[must_use]
            pub const fn difference(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// Those of one alone, `^`.
            #[inline]
            #[must_use]
            pub const fn symmetric_difference(self, other: Self) -> Self {
                Self(self.0 ^ other.0)
            }

            /// All others, `!`.
            #[inline]
            #[must_use]
            pub const fn complement(self) -> Self {
                Self::from_bits_truncate(!self.0)
            }
        }

        impl ::bitflags::Flags for $Name {
            type Bits = $Bits;
            const FLAGS: &'static [::bitflags::Flag<Self>] =
                &[$($crate::flags::named! { $FLAG = $value }),*];

            #[inline]
            fn bits(&self) -> $Bits {
                self.0
            }

            #[inline]
            fn from_bits_retain(bits: $Bits) -> Self {
                Self(bits)
            }
        }

        impl ::core::fmt::Debug for $Name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                $crate::flags::debug(stringify!($Name), self, f)
            }
        }

        $crate::flags::operator! { $Name, union: BitOr bitor BitOrAssign bitor_assign }
        $crate::flags::operator! { $Name, intersection: BitAnd bitand BitAndAssign bitand_assign }
        $crate::flags::operator! { $Name, symmetric_difference: BitXor bitxor BitXorAssign bitxor_assign }
        $crate::flags::operator! { $Name, difference: Sub sub SubAssign sub_assign }

        impl ::core::ops::Not for $Name {
            type Output = Self;

            #[inline]
            fn not(self) -> Self {
                self.complement()
            }
        }

        impl Extend<Self> for $Name {
            fn extend<I: IntoIterator<Item = Self>>(&mut self, flags: I) {
                flags.into_iter().for_each(|flag| self.insert(flag));
            }
        }

        impl FromIterator<Self> for $Name {
            fn from_iter<I: IntoIterator<Item = Self>>(flags: I) -> Self {
                flags.into_iter().fold(Self::empty(), Self::union)
            }
        }

        impl IntoIterator for $Name {
            type Item = Self;
            type IntoIter = ::bitflags::iter::Iter<Self>;

            #[inline]
            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }
    };
}
pub(crate) use flags;

macro_rules! constant {
    ($(#[$meta:meta])* _ = $value:expr) => {};
    ($(#[$meta:meta])* $FLAG:ident = $value:expr) => {
        $(#[$meta])*
        pub const $FLAG: Self = Self($value);
    };
}
pub(crate) use constant;

macro_rules! named {
    (_ = $value:expr) => {
        ::bitflags::Flag::new("", Self($value))
    };
    ($FLAG:ident = $value:expr) => {
        ::bitflags::Flag::new(stringify!($FLAG), Self::$FLAG)
    };
}
pub(crate) use named;

macro_rules! operator {
    ($Name:ident, $method:ident: $Op:ident $op:ident $Assign:ident $assign:ident) => {
        impl ::core::ops::$Op for $Name {
            type Output = Self;

            #[inline]
            fn $op(self, other: Self) -> Self {
                self.$method(other)
            }
        }

        impl ::core::ops::$Assign for $Name {
            #[inline]
            fn $assign(&mut self, other: Self) {
                *self = self.$method(other);
            }
        }
    };
}
pub(crate) use operator;

/// `Name(A | B | 0x80)`, and `Name(0x0)`.
pub(crate) fn debug<F>(name: &str, flags: &F, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    F: Flags,
    F::Bits: WriteHex,
{
    struct Text<'f, F>(&'f F);

    impl<F: Flags> fmt::Debug for Text<'_, F>
    where
        F::Bits: WriteHex,
    {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0.is_empty() {
                return f.write_str("0x0");
            }
            to_writer(self.0, f)
        }
    }

    f.debug_tuple(name).field(&Text(flags)).finish()
}
