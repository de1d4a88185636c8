//! What everyone writes by hand over [`userfaultfd`](crate::userfaultfd)
//! (feature `pager`).
//!
//! - [`DirtyTracker`]: which pages were written, exactly, while others go on
//!   writing; [`WorkingSet`]: which were touched at all.
//!
//! Nothing here allocates: where there is a table, it is in memory of the
//! caller's.

mod dirty;
mod mutex;
mod working_set;

pub use dirty::{Dirty, DirtyTracker, Method, TrackerError};
pub use working_set::{Touched, WorkingSet};
