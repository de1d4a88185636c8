//! Brings its own panic handler and its own allocator, and takes the rest of
//! `entry!` singly.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::{string::String, vec::Vec};
use barecall::{io, rt::Start};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

barecall::start!(main);
barecall::mem!();
barecall::personality!();

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: standard output is open; the program ends.
    unsafe {
        let _ = io::write(io::stdout(), b"ok\n");
        barecall::syscall_noreturn!(barecall::nr::EXIT_GROUP, 7)
    }
}

/// Gives from a block, and takes nothing back.
struct Bump(UnsafeCell<[u8; 1 << 16]>, AtomicUsize);

// SAFETY: every piece is given once.
unsafe impl Sync for Bump {}

// SAFETY: pieces do not overlap, and are aligned.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() + layout.align();
        let at = self.1.fetch_add(size, Relaxed);
        if at + size > 1 << 16 {
            return core::ptr::null_mut();
        }
        // SAFETY: inside the block.
        let start = unsafe { self.0.get().cast::<u8>().add(at) };
        start.wrapping_add(start.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Bump = Bump(UnsafeCell::new([0; 1 << 16]), AtomicUsize::new(0));

fn main(start: Start) -> i32 {
    let mut words: Vec<String> = start.args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    words.extend((0..100).map(|n| alloc::format!("word {n}")));
    words.sort();
    assert!(words.len() != 101, "the handler above answers this");
    1
}
