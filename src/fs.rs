//! Files, directories and their names.
use bitflags::bitflags;
bitflags! {
    /// `O_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct OFlags: u32 {
        /// `O_ACCMODE`: the bits of the access mode.
        #[doc(alias = "O_ACCMODE")]
        const ACCMODE = 3;
        /// `O_WRONLY`: for writing.
        #[doc(alias = "O_WRONLY")]
        const WRONLY = 1;
        /// `O_NONBLOCK`
        #[doc(alias = "O_NONBLOCK")]
        const NONBLOCK = 0o4000;
        const _ = !0;
    }
}
