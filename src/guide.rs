//! Pages to read; there is nothing here to call.

/// From libc, nix, rustix, memfd, userfaultfd and tempfile.
#[doc = include_str!("../docs/migrating.md")]
pub mod migrating {}

/// A minimal init.
#[doc = include_str!("../docs/init.md")]
pub mod init {}

/// What needs which kernel.
#[doc = include_str!("../docs/kernels.md")]
pub mod kernels {}
