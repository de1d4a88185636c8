//! The six symbols that compiled code calls for memory, on aarch64.
//!
//! In assembly, because a loop in Rust may be compiled into a call of the very
//! function that it is the body of. Both ends of a block are loaded before
//! anything is stored, so that the sizes which do not fill whole registers need
//! no loop and may overlap.

/// Emits `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp` and `strlen` under the
/// names and with the attributes that are given.
#[doc(hidden)]
#[macro_export]
macro_rules! __mem {
    ($(#[$attr:meta])* $memcpy:ident $memmove:ident $memset:ident $memcmp:ident $bcmp:ident $strlen:ident) => {
        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memcpy(_to: *mut u8, _from: *const u8, _n: usize) -> *mut u8 {
            ::core::arch::naked_asm!("b {}", sym $memmove)
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memmove(_to: *mut u8, _from: *const u8, _n: usize) -> *mut u8 {
            ::core::arch::naked_asm!(
                "add x3, x1, x2",           // the end of `from`
                "add x4, x0, x2",           // the end of `to`
                "cmp x2, #16",
                "b.lo 5f",
                "cmp x2, #32",
                "b.hi 2f",
                "ldr q0, [x1]",
                "ldur q1, [x3, #-16]",
                "str q0, [x0]",
                "stur q1, [x4, #-16]",
                "ret",

                "2:",                       // more than 32
                "sub x5, x0, x1",
                "cmp x5, x2",
                "b.lo 4f",                  // `to` lies inside `from`
                "ldp q4, q5, [x3, #-32]",
                "sub x6, x4, #32",
                "mov x7, x0",
                "3:",                       // forward
                "ldp q0, q1, [x1], #32",
                "stp q0, q1, [x7], #32",
                "cmp x7, x6",
                "b.lo 3b",
                "stp q4, q5, [x6]",
                "ret",

                "4:",                       // backward
                "ldp q4, q5, [x1]",
                "add x6, x0, #32",
                "3:",
                "ldp q0, q1, [x3, #-32]!",
                "stp q0, q1, [x4, #-32]!",
                "cmp x4, x6",
                "b.hi 3b",
                "stp q4, q5, [x0]",
                "ret",

                "5:",                       // fewer than 16
                "tbz x2, #3, 6f",
                "ldr x5, [x1]",
                "ldur x6, [x3, #-8]",
                "str x5, [x0]",
                "stur x6, [x4, #-8]",
                "ret",
                "6:",
                "tbz x2, #2, 7f",
                "ldr w5, [x1]",
                "ldur w6, [x3, #-4]",
                "str w5, [x0]",
                "stur w6, [x4, #-4]",
                "ret",
                "7:",                       // fewer than 4
                "cbz x2, 9f",
                "ldurb w6, [x3, #-1]",
                "tbz x2, #1, 8f",
                "ldrh w5, [x1]",
                "strh w5, [x0]",
                "8:",
                "sturb w6, [x4, #-1]",
                "9:",
                "ret",
            )
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memset(_to: *mut u8, _byte: i32, _n: usize) -> *mut u8 {
            ::core::arch::naked_asm!(
                "dup v0.16b, w1",
                "fmov x5, d0",
                "add x4, x0, x2",           // the end
                "cmp x2, #16",
                "b.lo 5f",
                "sub x6, x4, #16",
                "mov x7, x0",
                "cmp x2, #48",
                "b.lo 3f",
                "sub x8, x4, #32",
                "2:",
                "stp q0, q0, [x7], #32",
                "cmp x7, x8",
                "b.lo 2b",
                "stp q0, q0, [x8]",
                "ret",
                "3:",
                "str q0, [x7], #16",
                "cmp x7, x6",
                "b.lo 3b",
                "str q0, [x6]",
                "ret",

                "5:",                       // fewer than 16
                "tbz x2, #3, 6f",
                "str x5, [x0]",
                "stur x5, [x4, #-8]",
                "ret",
                "6:",
                "tbz x2, #2, 7f",
                "str w5, [x0]",
                "stur w5, [x4, #-4]",
                "ret",
                "7:",                       // fewer than 4
                "cbz x2, 9f",
                "sturb w5, [x4, #-1]",
                "tbz x2, #1, 9f",
                "strh w5, [x0]",
                "9:",
                // Of a single byte the one store above is all.
                "ret",
            )
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memcmp(_a: *const u8, _b: *const u8, _n: usize) -> i32 {
            ::core::arch::naked_asm!(
                "2:",
                "subs x2, x2, #8",
                "b.lo 4f",
                "ldr x3, [x0], #8",
                "ldr x4, [x1], #8",
                "cmp x3, x4",
                "b.eq 2b",
                "rev x3, x3",               // the first byte weighs most
                "rev x4, x4",
                "cmp x3, x4",
                "mov w0, #1",
                "cneg w0, w0, lo",
                "ret",
                "4:",                       // fewer than 8 are left
                "adds x2, x2, #8",
                "b.eq 6f",
                "5:",
                "ldrb w3, [x0], #1",
                "ldrb w4, [x1], #1",
                "subs w3, w3, w4",
                "b.ne 7f",
                "subs x2, x2, #1",
                "b.ne 5b",
                "6:",
                "mov w3, #0",
                "7:",
                "mov w0, w3",
                "ret",
            )
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $bcmp(_a: *const u8, _b: *const u8, _n: usize) -> i32 {
            ::core::arch::naked_asm!("b {}", sym $memcmp)
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $strlen(_s: *const u8) -> usize {
            ::core::arch::naked_asm!(
                // Aligned loads of 16 cannot cross into a page that is not there.
                "bic x1, x0, #15",
                "ldr q0, [x1]",
                "cmeq v0.16b, v0.16b, #0",
                "shrn v0.8b, v0.8h, #4",    // four bits for each byte
                "fmov x2, d0",
                "lsl x3, x0, #2",           // a shift takes its count modulo 64
                "lsr x2, x2, x3",           // what lies before the string
                "cbz x2, 2f",
                "rbit x2, x2",
                "clz x2, x2",
                "lsr x0, x2, #2",
                "ret",
                "2:",
                "ldr q0, [x1, #16]!",
                "cmeq v0.16b, v0.16b, #0",
                "shrn v0.8b, v0.8h, #4",
                "fmov x2, d0",
                "cbz x2, 2b",
                "rbit x2, x2",
                "clz x2, x2",
                "add x1, x1, x2, lsr #2",
                "sub x0, x1, x0",
                "ret",
            )
        }
    };
}
