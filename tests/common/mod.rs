//! What several tests need. Each test file takes its own part of it.
#![allow(dead_code)]

pub mod headers;

/// The running kernel's version, (major, minor), as `uname -r` tells it.
///
/// Asked anew each time, and without memory of its own: a `OnceLock` that
/// another thread was just filling is never done in a forked child, and neither
/// may be the allocator.
pub fn kernel_version() -> (u32, u32) {
    // SAFETY: a structure of bytes, which the call fills.
    let name = unsafe {
        let mut name: libc::utsname = core::mem::zeroed();
        assert_eq!(libc::uname(&raw mut name), 0);
        name
    };
    let mut numbers = [0_u32; 2];
    let mut which = 0;
    for byte in name.release.map(|c| c as u8) {
        match byte {
            b'0'..=b'9' => numbers[which] = numbers[which] * 10 + u32::from(byte - b'0'),
            _ if which == 0 => which = 1,
            _ => break,
        }
    }
    (numbers[0], numbers[1])
}

/// Whether the running kernel is `major.minor` or newer.
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    kernel_version() >= (major, minor)
}

/// Whether this process has a capability (its number in <linux/capability.h>)
/// in its effective set.
pub fn has_capability(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a mounted /proc");
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .expect("CapEff");
    set >> number & 1 == 1
}

/// Whether this is an aarch64 program under qemu-user, which makes the calls of
/// the host's kernel and lacks some: `clone3`, `futex_waitv`, the signals 63 and 64, `RLIMIT_AS`.
pub fn under_qemu_user() -> bool {
    // SAFETY: no arguments at all, refused by every kernel that has the call.
    let clone3 = unsafe { barecall::syscall!(barecall::nr::CLONE3, 0, 0) };
    cfg!(target_arch = "aarch64")
        && kernel_is_at_least(5, 3)
        && clone3 == Err(barecall::Errno::ENOSYS)
}

/// Whether the processor is emulated, by qemu-user or under tests/matrix, so
/// that a test of many thousand rounds had better make fewer.
pub fn emulated() -> bool {
    under_qemu_user() || std::env::var_os("EMULATED").is_some()
}

/// Runs `body` in a forked child, which has one thread, and gives how it ended,
/// as `waitpid` says it: 0 if `body` returned, exit code 101 if it panicked.
#[track_caller]
pub fn wait_status_of_child(body: fn()) -> i32 {
    // SAFETY: the child runs `body`, which does not unwind out of this frame,
    // and ends.
    unsafe {
        match libc::fork() {
            0 => {
                let ok = std::panic::catch_unwind(body).is_ok();
                libc::_exit(if ok { 0 } else { 101 });
            }
            child => {
                let mut status = 0;
                while libc::waitpid(child, &raw mut status, 0) != child {}
                status
            }
        }
    }
}

/// Runs `body` in a forked child, and fails if it fails there.
#[track_caller]
pub fn in_child(body: fn()) {
    let status = wait_status_of_child(body);
    assert_eq!(status, 0, "the child failed, see above");
}

/// More of them than there is memory: the kernel maps no page before it is
/// touched. (`T` is a number or a structure of numbers and pointers.)
#[allow(dead_code)]
pub fn zeros_of<T>(count: usize, look: impl FnOnce(&mut [T])) {
    let len = count * size_of::<T>();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, of zeros, which nothing refers to in the end.
    unsafe {
        let map = libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0);
        assert_ne!(map, libc::MAP_FAILED, "{len} bytes of address space");
        look(std::slice::from_raw_parts_mut(map.cast(), count));
        assert_eq!(libc::munmap(map, len), 0);
    }
}

/// Says that a test cannot be made here, and why. Counted, and never silent.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        eprintln!("skipped: {}: {}", module_path!(), format_args!($($reason)*));
        return;
    }};
}
