//! The six symbols of `mem!`, under names of their own, against what core and
//! libc do: every size to some hundred bytes, every alignment, every overlap.

use std::ffi::CStr;

barecall::__mem!(mem_cpy mem_move mem_set mem_cmp b_cmp str_len);

/// Every small size, and those around a change of method.
fn sizes() -> impl Iterator<Item = usize> {
    (0..=70).chain([95, 96, 97, 128, 129, 255, 257, 1024, 2047, 2048, 2049])
}

/// Bytes that differ from their neighbours.
fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 167 + i / 251 + 1) as u8).collect()
}

#[test]
fn memcpy_copies_every_size_at_every_alignment_and_nothing_beside() {
    for n in sizes() {
        let from = pattern(n + 32);
        for (to_at, from_at) in (0..17).flat_map(|a| [(a, 0), (0, a), (a, 16 - a)]) {
            let mut to = vec![0xee; n + 64];
            let mut wanted = to.clone();
            wanted[to_at..to_at + n].copy_from_slice(&from[from_at..from_at + n]);
            let target = to[to_at..].as_mut_ptr();
            // SAFETY: both are long enough.
            let returned = unsafe { mem_cpy(target, from[from_at..].as_ptr(), n) };
            assert_eq!(returned, target);
            assert!(to == wanted, "n {n}, to {to_at}, from {from_at}");
        }
    }
}

#[test]
fn memmove_is_right_for_every_overlap() {
    for n in sizes() {
        for distance in (0..=34).chain([n / 2, n.saturating_sub(1), n, n + 1]) {
            for backward in [false, true] {
                let (to_at, from_at) = if backward {
                    (distance, 0)
                } else {
                    (0, distance)
                };
                let mut bytes = pattern(n + distance + 40);
                let mut wanted = bytes.clone();
                wanted.copy_within(from_at..from_at + n, to_at);
                let start = bytes.as_mut_ptr();
                // SAFETY: both lie inside `bytes`.
                let returned = unsafe { mem_move(start.add(to_at), start.add(from_at), n) };
                assert_eq!(returned, start.wrapping_add(to_at));
                assert!(bytes == wanted, "n {n}, to {to_at}, from {from_at}");
            }
        }
    }
}

#[test]
fn memset_fills_every_size_at_every_alignment_and_nothing_beside() {
    for n in sizes() {
        for at in 0..17 {
            for byte in [0, 0x15a, -1] {
                let mut bytes = pattern(n + 40);
                let mut wanted = bytes.clone();
                // Only the low byte counts, as in C.
                wanted[at..at + n].fill(byte as u8);
                let target = bytes[at..].as_mut_ptr();
                // SAFETY: long enough.
                let returned = unsafe { mem_set(target, byte, n) };
                assert_eq!(returned, target);
                assert!(bytes == wanted, "n {n}, at {at}, byte {byte}");
            }
        }
    }
}

#[test]
fn memcmp_orders_by_the_first_difference() {
    for n in sizes() {
        let a = pattern(n + 3);
        // SAFETY: as long as each other, in all of what follows.
        unsafe {
            assert_eq!(mem_cmp(a[1..].as_ptr(), a[1..].to_vec().as_ptr(), n), 0);
            assert_eq!(b_cmp(a[1..].as_ptr(), a[1..].to_vec().as_ptr(), n), 0);
        }
        for at in (0..n).step_by(1 + n / 20) {
            for change in [1, 0x7f, 0x80, 0xff] {
                let mut b = a.clone();
                b[at] = b[at].wrapping_add(change);
                // What comes after the first difference does not count.
                if let Some(after) = b.get_mut(at + 1) {
                    *after = after.wrapping_sub(99);
                }
                // SAFETY: as above.
                let (order, differ) = unsafe {
                    (
                        mem_cmp(a.as_ptr(), b.as_ptr(), n),
                        b_cmp(a.as_ptr(), b.as_ptr(), n),
                    )
                };
                assert_eq!(order.signum(), a[..n].cmp(&b[..n]) as i32, "n {n}, at {at}");
                assert_ne!(differ, 0, "n {n}, at {at}");
            }
        }
    }
}

#[test]
fn strlen_stops_at_the_first_nul_and_reads_no_page_beyond() {
    const PAGE: usize = 4096;
    const PROT_READ_WRITE: u32 = 3;
    const MAP_PRIVATE_ANONYMOUS: u32 = 0x22;
    use barecall::{nr, syscall, syscall_ptr};
    // The largest page there is (64 KiB on some aarch64) also divides this.
    const BLOCK: usize = 16 * PAGE;
    // SAFETY: a new mapping; its second half, which nobody uses, goes away.
    let block = unsafe {
        let block = syscall_ptr!(
            nr::MMAP,
            0,
            2 * BLOCK,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            -1,
            0
        )
        .unwrap();
        syscall!(nr::MPROTECT, block.byte_add(BLOCK), BLOCK, 0).unwrap();
        std::slice::from_raw_parts_mut(block.cast::<u8>(), BLOCK)
    };
    for n in (0..200).chain([BLOCK - 1]) {
        block.fill(b'x');
        // The NUL is the last byte that can be read.
        block[BLOCK - 1] = 0;
        let start = &block[BLOCK - 1 - n..];
        // SAFETY: NUL-terminated.
        unsafe {
            assert_eq!(str_len(start.as_ptr()), n);
            assert_eq!(CStr::from_ptr(start.as_ptr().cast()).count_bytes(), n);
        }
    }
    for at in 0..64 {
        for n in 0..64 {
            block[..256].fill(b'x');
            block[at + n] = 0;
            block[at + n + 1] = 0;
            // What lies before the string does not count, not even a NUL.
            if let Some(before) = at.checked_sub(1) {
                block[before] = 0;
            }
            // SAFETY: NUL-terminated.
            assert_eq!(unsafe { str_len(block[at..].as_ptr()) }, n, "at {at}");
        }
    }
}
