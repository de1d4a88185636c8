//! `pager`: serving faults from a source.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/uffd.rs"]
mod uffd;

mod death;
mod events;
mod failure;
mod own;
mod prefetch;
mod serve;
mod stress;
mod support;
mod table;
