//! The six symbols that compiled code calls for memory, on x86_64.
//!
//! In assembly, because a loop in Rust may be compiled into a call of the very
//! function that it is the body of. SSE2 only, which every x86_64 has. Both
//! ends of a block are loaded before anything is stored, so that the sizes
//! which do not fill whole registers need no loop and may overlap.

/// Emits `memcpy`, `memmove`, `memset`, `memcmp`, `bcmp` and `strlen` under the
/// names and with the attributes that are given.
#[doc(hidden)]
#[macro_export]
macro_rules! __mem {
    ($(#[$attr:meta])* $memcpy:ident $memmove:ident $memset:ident $memcmp:ident $bcmp:ident $strlen:ident) => {
        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memcpy(_to: *mut u8, _from: *const u8, _n: usize) -> *mut u8 {
            ::core::arch::naked_asm!("jmp {}", sym $memmove)
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memmove(_to: *mut u8, _from: *const u8, _n: usize) -> *mut u8 {
            ::core::arch::naked_asm!(
                "mov rax, rdi",
                "cmp rdx, 16",
                "jb 5f",
                "movups xmm4, [rsi + rdx - 16]",    // the last 16
                "cmp rdx, 32",
                "ja 2f",
                "movups xmm0, [rsi]",
                "movups [rdi], xmm0",
                "movups [rdi + rdx - 16], xmm4",
                "ret",

                "2:",                               // more than 32
                "movups xmm5, [rsi + rdx - 32]",
                "mov rcx, rdi",
                "sub rcx, rsi",
                "cmp rcx, rdx",
                "jb 4f",                            // `to` lies inside `from`
                "lea r8, [rdi + rdx - 32]",
                "cmp rdx, 2048",
                "jae 9f",
                "3:",                               // forward
                "movups xmm0, [rsi]",
                "movups xmm1, [rsi + 16]",
                "add rsi, 32",
                "movups [rdi], xmm0",
                "movups [rdi + 16], xmm1",
                "add rdi, 32",
                "cmp rdi, r8",
                "jb 3b",
                "movups [r8], xmm5",
                "movups [r8 + 16], xmm4",
                "ret",
                "9:",                               // large: the processor's own loop
                "mov rcx, rdx",
                "rep movsb",
                "ret",

                "4:",                               // backward
                "movups xmm6, [rsi]",
                "movups xmm7, [rsi + 16]",
                "lea rcx, [rsi + rdx]",
                "lea r8, [rdi + rdx]",
                "lea r9, [rdi + 32]",
                "3:",
                "movups xmm0, [rcx - 16]",
                "movups xmm1, [rcx - 32]",
                "sub rcx, 32",
                "movups [r8 - 16], xmm0",
                "movups [r8 - 32], xmm1",
                "sub r8, 32",
                "cmp r8, r9",
                "ja 3b",
                "movups [rdi], xmm6",
                "movups [rdi + 16], xmm7",
                "ret",

                "5:",                               // fewer than 16
                "cmp edx, 8",
                "jb 6f",
                "mov rcx, [rsi]",
                "mov rsi, [rsi + rdx - 8]",
                "mov [rdi], rcx",
                "mov [rdi + rdx - 8], rsi",
                "ret",
                "6:",
                "cmp edx, 4",
                "jb 7f",
                "mov ecx, [rsi]",
                "mov esi, [rsi + rdx - 4]",
                "mov [rdi], ecx",
                "mov [rdi + rdx - 4], esi",
                "ret",
                "7:",                               // fewer than 4
                "test edx, edx",
                "jz 8f",
                "movzx ecx, byte ptr [rsi + rdx - 1]",
                "cmp edx, 1",
                "je 6f",
                "movzx r8d, word ptr [rsi]",
                "mov [rdi], r8w",
                "6:",
                "mov [rdi + rdx - 1], cl",
                "8:",
                "ret",
            )
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memset(_to: *mut u8, _byte: i32, _n: usize) -> *mut u8 {
            ::core::arch::naked_asm!(
                "mov rax, rdi",
                "movzx esi, sil",
                "movabs rcx, 0x0101010101010101",
                "imul rcx, rsi",                    // the byte, eight times
                "cmp rdx, 16",
                "jb 5f",
                "movq xmm0, rcx",
                "punpcklqdq xmm0, xmm0",
                "lea r8, [rdi + rdx - 16]",
                "cmp rdx, 2048",
                "jae 9f",
                "3:",
                "movups [rdi], xmm0",
                "add rdi, 16",
                "cmp rdi, r8",
                "jb 3b",
                "movups [r8], xmm0",
                "ret",
                "9:",                               // large: the processor's own loop
                "mov r8, rax",
                "mov eax, esi",
                "mov rcx, rdx",
                "rep stosb",
                "mov rax, r8",
                "ret",

                "5:",                               // fewer than 16
                "cmp edx, 8",
                "jb 6f",
                "mov [rdi], rcx",
                "mov [rdi + rdx - 8], rcx",
                "ret",
                "6:",
                "cmp edx, 4",
                "jb 7f",
                "mov [rdi], ecx",
                "mov [rdi + rdx - 4], ecx",
                "ret",
                "7:",
                "test edx, edx",
                "jz 8f",
                "mov [rdi], cl",
                "mov [rdi + rdx - 1], cl",
                "shr edx, 1",
                "mov [rdi + rdx], cl",              // the middle of 3
                "8:",
                "ret",
            )
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $memcmp(_a: *const u8, _b: *const u8, _n: usize) -> i32 {
            ::core::arch::naked_asm!(
                "2:",
                "sub rdx, 8",
                "jb 4f",
                "mov rax, [rdi]",
                "mov rcx, [rsi]",
                "add rdi, 8",
                "add rsi, 8",
                "cmp rax, rcx",
                "je 2b",
                "bswap rax",                        // the first byte weighs most
                "bswap rcx",
                "cmp rax, rcx",
                "sbb eax, eax",
                "or eax, 1",
                "ret",
                "4:",                               // fewer than 8 are left
                "add edx, 8",
                "xor eax, eax",
                "xor r8d, r8d",
                "5:",
                "cmp r8d, edx",
                "je 6f",
                "movzx eax, byte ptr [rdi + r8]",
                "movzx ecx, byte ptr [rsi + r8]",
                "inc r8d",
                "sub eax, ecx",
                "je 5b",
                "6:",
                "ret",
            )
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $bcmp(_a: *const u8, _b: *const u8, _n: usize) -> i32 {
            ::core::arch::naked_asm!("jmp {}", sym $memcmp)
        }

        #[unsafe(naked)]
        $(#[$attr])*
        unsafe extern "C" fn $strlen(_s: *const u8) -> usize {
            ::core::arch::naked_asm!(
                // Aligned loads of 16 cannot cross into a page that is not there.
                "mov rax, rdi",
                "and rax, -16",
                "pxor xmm0, xmm0",
                "movdqa xmm1, [rax]",
                "pcmpeqb xmm1, xmm0",
                "pmovmskb edx, xmm1",
                "mov ecx, edi",
                "and ecx, 15",
                "shr edx, cl",                      // what lies before the string
                "test edx, edx",
                "jz 2f",
                "bsf eax, edx",
                "ret",
                "2:",
                "add rax, 16",
                "movdqa xmm1, [rax]",
                "pcmpeqb xmm1, xmm0",
                "pmovmskb edx, xmm1",
                "test edx, edx",
                "jz 2b",
                "bsf edx, edx",
                "add rax, rdx",
                "sub rax, rdi",
                "ret",
            )
        }
    };
}
