//! Threads of our own. The closures run in a process with libc, and keep the
//! promise of `spawn`: they call nothing of it.

mod common;

use barecall::thread;
use barecall::{Errno, process};

/// THR-001
#[test]
fn a_thread_is_of_this_process_and_gives_its_value_back() {
    // SAFETY: no call into std.
    let handle = unsafe { thread::spawn(65536, || (process::getpid(), thread::gettid())) }.unwrap();
    let id = handle.id();
    assert_eq!(handle.join(), Ok((process::getpid(), id)));
    assert_ne!(id, process::getpid());
}

#[test]
fn a_stack_of_no_bytes_or_too_many_is_an_error() {
    for (size, errno) in [
        (0, Errno::EINVAL),
        (1 << 50, Errno::ENOMEM),
        (isize::MAX as usize, Errno::ENOMEM),
        (usize::MAX, Errno::ENOMEM),
    ] {
        // SAFETY: no thread is made.
        assert_eq!(unsafe { thread::spawn(size, || ()) }.unwrap_err(), errno);
    }
}
