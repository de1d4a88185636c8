//! `pager`: serving faults from a source.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/uffd.rs"]
mod uffd;

mod serve;
mod support;
mod table;
