//! The mem symbols of `barecall::mem!` against glibc's, side by side.
//!
//! `cargo bench --bench mem`. The two take turns; what is printed is the middle
//! of the ratios of neighbouring turns (more than 1: glibc is quicker). glibc
//! chooses AVX or ERMS code by the processor, ours is SSE2 (NEON on aarch64) in
//! a fifth of the bytes, and has no choice to make at start.

use std::hint::black_box;
use std::time::{Duration, Instant};

barecall::__mem!(mem_cpy mem_move mem_set mem_cmp b_cmp str_len);

const SIZES: [usize; 7] = [1, 8, 31, 64, 256, 4096, 1 << 16];
const ROUNDS: usize = 301;

fn turn(calls: usize, call: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed()
}

/// The middle ratio of the first to the second.
fn ratio(size: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> f64 {
    let calls = (1 << 18) / (size + 64);
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let a = turn(calls, &mut ours);
            let b = turn(calls, &mut theirs);
            a.as_secs_f64() / b.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

fn main() {
    let from = vec![7_u8; SIZES[6] + 64];
    let mut to = vec![7_u8; SIZES[6] + 64];
    println!("time of ours to glibc's");
    print!("{:10}", "bytes");
    SIZES.iter().for_each(|size| print!("{size:>8}"));
    println!();

    let (f, t) = (from.as_ptr(), to.as_mut_ptr());
    // SAFETY: both are as long as the largest size and 64 more.
    unsafe {
        let rows: [(&str, &dyn Fn(usize) -> f64); 5] = [
            ("memcpy", &|n| {
                ratio(
                    n,
                    || {
                        black_box(mem_cpy(
                            black_box(t.add(3)),
                            black_box(f.add(1)),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(libc::memcpy(
                            black_box(t.add(3)).cast(),
                            black_box(f.add(1)).cast(),
                            black_box(n),
                        ));
                    },
                )
            }),
            ("memmove", &|n| {
                ratio(
                    n,
                    || {
                        black_box(mem_move(
                            black_box(t.add(9)),
                            black_box(t.add(1)),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(libc::memmove(
                            black_box(t.add(9)).cast(),
                            black_box(t.add(1)).cast(),
                            black_box(n),
                        ));
                    },
                )
            }),
            ("memset", &|n| {
                ratio(
                    n,
                    || {
                        black_box(mem_set(black_box(t.add(3)), black_box(7), black_box(n)));
                    },
                    || {
                        black_box(libc::memset(
                            black_box(t.add(3)).cast(),
                            black_box(7),
                            black_box(n),
                        ));
                    },
                )
            }),
            ("memcmp", &|n| {
                ratio(
                    n,
                    || {
                        black_box(mem_cmp(
                            black_box(t.add(3)),
                            black_box(f.add(1)),
                            black_box(n),
                        ));
                    },
                    || {
                        black_box(libc::memcmp(
                            black_box(t.add(3)).cast(),
                            black_box(f.add(1)).cast(),
                            black_box(n),
                        ));
                    },
                )
            }),
            ("strlen", &|n| {
                *t.add(3 + n) = 0;
                let ratio = ratio(
                    n,
                    || {
                        black_box(str_len(black_box(t.add(3))));
                    },
                    || {
                        black_box(libc::strlen(black_box(t.add(3)).cast()));
                    },
                );
                *t.add(3 + n) = 7;
                ratio
            }),
        ];
        for (name, row) in rows {
            print!("{name:10}");
            SIZES.iter().for_each(|size| print!("{:8.2}", row(*size)));
            println!();
        }
    }
    // Not measured: `memcpy` and `bcmp` jump to their siblings.
    black_box(b_cmp as *const ());
}
