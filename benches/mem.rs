//! The mem symbols of `barecall::mem!` against glibc's, side by side.
//!
//! `cargo bench --bench mem`. glibc chooses AVX or ERMS code by the processor,
//! ours is SSE2 (NEON on aarch64) in a fifth of the bytes, and has no choice to
//! make at start.

#[path = "common/mod.rs"]
mod common;

use common::{race, rounds, way};
use std::hint::black_box;

barecall::__mem!(mem_cpy mem_move mem_set mem_cmp b_cmp str_len);

const SIZES: [usize; 7] = [1, 8, 31, 64, 256, 4096, 1 << 16];
const ROUNDS: usize = 301;

/// Each first with glibc's.
fn pair(name: &str, size: usize, theirs: impl FnMut(), ours: impl FnMut()) {
    let calls = (1 << 18) / (size as u32 + 64);
    let ways = vec![way("glibc", calls, theirs), way("barecall", calls, ours)];
    let case = format!("{name} of {size}");
    race("mem", &case, "ns", rounds(ROUNDS), ways);
}

fn main() {
    let from = vec![7_u8; SIZES[6] + 64];
    let mut to = vec![7_u8; SIZES[6] + 64];
    let (f, t) = (from.as_ptr(), to.as_mut_ptr());
    // SAFETY: both are as long as the largest size and 64 more.
    unsafe {
        let rows: [&dyn Fn(usize); 5] = [
            &|n| {
                pair(
                    "memcpy",
                    n,
                    || {
                        black_box(libc::memcpy(
                            black_box(t.add(3)).cast(),
                            black_box(f.add(1)).cast(),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(mem_cpy(
                            black_box(t.add(3)),
                            black_box(f.add(1)),
                            black_box(n),
                        ));
                    },
                )
            },
            &|n| {
                pair(
                    "memmove",
                    n,
                    || {
                        black_box(libc::memmove(
                            black_box(t.add(9)).cast(),
                            black_box(t.add(1)).cast(),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(mem_move(
                            black_box(t.add(9)),
                            black_box(t.add(1)),
                            black_box(n),
                        ));
                    },
                )
            },
            &|n| {
                pair(
                    "memset",
                    n,
                    || {
                        black_box(libc::memset(
                            black_box(t.add(3)).cast(),
                            black_box(7),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(mem_set(black_box(t.add(3)), black_box(7), black_box(n)));
                    },
                )
            },
            &|n| {
                pair(
                    "memcmp",
                    n,
                    || {
                        black_box(libc::memcmp(
                            black_box(t.add(3)).cast(),
                            black_box(f.add(1)).cast(),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(mem_cmp(
                            black_box(t.add(3)),
                            black_box(f.add(1)),
                            black_box(n),
                        ));
                    },
                )
            },
            &|n| {
                *t.add(3 + n) = 0;
                pair(
                    "strlen",
                    n,
                    || {
                        black_box(libc::strlen(black_box(t.add(3)).cast()));
                    },
                    || {
                        black_box(str_len(black_box(t.add(3))));
                    },
                );
                *t.add(3 + n) = 7;
            },
        ];
        for row in rows {
            SIZES.iter().for_each(|size| row(*size));
        }
    }
    // Not measured: `memcpy` and `bcmp` jump to their siblings.
    black_box(b_cmp as *const ());
}
