//! Waiting for descriptors: poll, epoll, eventfd.

mod epoll;
mod eventfd;
mod poll;

pub use epoll::*;
pub use eventfd::*;
pub use poll::*;

/// The mask's address, or null for the one that holds.
#[inline]
const fn or_null<T>(value: &Option<T>) -> *const T {
    match value {
        Some(value) => &raw const *value,
        None => core::ptr::null(),
    }
}
