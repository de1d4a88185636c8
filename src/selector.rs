//! Numbers by which a call is told what to do.

/// A selector: a number of the kernel's with names for those that this crate
/// knows, and room for any other. Written as `flags!` is.
///
/// `Debug` gives the name (the first, if there are several), else the number.
macro_rules! selector {
    (
        $(#[$outer:meta])*
        pub struct $Name:ident: $Int:ty {
            $(
                $(#[$inner:meta])*
                const $CONSTANT:ident = $value:expr;
            )*
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(transparent)]
        pub struct $Name($Int);

        impl $Name {
            $(
                $(#[$inner])*
                pub const $CONSTANT: Self = Self($value);
            )*

            /// The one with this number, which may be newer than this crate.
            #[inline]
            pub const fn from_raw(raw: $Int) -> Self {
                Self(raw)
            }

            /// The kernel's number.
            #[inline]
            pub const fn as_raw(self) -> $Int {
                self.0
            }
        }

        impl ::core::fmt::Debug for $Name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                let names = [$((Self::$CONSTANT, stringify!($CONSTANT))),*];
                f.write_str(concat!(stringify!($Name), "("))?;
                match names.iter().find(|(known, _)| known == self) {
                    Some((_, name)) => f.write_str(name)?,
                    None => ::core::fmt::Display::fmt(&self.0, f)?,
                }
                f.write_str(")")
            }
        }
    };
}
pub(crate) use selector;
