//! The self-relocation of a static-pie.

use crate::arch::R_RELATIVE;
use crate::nr;
use crate::syscall::syscall_zero;

// <linux/auxvec.h>
const AT_PHDR: usize = 3;
const AT_PHENT: usize = 4;
const AT_PHNUM: usize = 5;
const AT_PAGESZ: usize = 6;

// <elf.h>
const PT_DYNAMIC: u32 = 2;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const DT_RELA: usize = 7;
const DT_RELASZ: usize = 8;
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;

/// A program header of ELF64.
#[repr(C)]
#[derive(Clone, Copy)]
#[doc(alias = "struct elf64_phdr")]
struct Phdr {
    p_type: u32,
    p_flags: u32,
    p_offset: u64,
    p_vaddr: usize,
    p_paddr: u64,
    p_filesz: usize,
    p_memsz: usize,
    p_align: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
#[doc(alias = "struct elf64_rela")]
struct Rela {
    r_offset: usize,
    r_info: u64,
    r_addend: usize,
}

const WORD: usize = size_of::<usize>();

#[inline(always)]
fn at<T>(address: usize) -> *mut T {
    core::ptr::with_exposed_provenance_mut(address)
}

/// What `_start` calls first: applies a static-pie's relocations and makes the
/// relocated constants read-only. In a program that is not PIE, nothing.
///
/// Here no address in memory is right yet: a static that holds a pointer, a
/// `&dyn`, a jump table, a string in a panic message are all off by the bias.
/// This code uses none, and calls nothing that might.
///
/// # Safety
///
/// `stack` is the initial stack and `dynamic` the address of `_DYNAMIC`, if
/// the program has a PT_DYNAMIC. Called once, before anything else.
#[doc(hidden)]
pub unsafe extern "C" fn relocate(stack: *const usize, dynamic: *const [usize; 2]) {
    // SAFETY: the layout of the initial stack; what the kernel and the linker
    // say of the program's own memory.
    unsafe {
        // argc, argv, NULL, envp, NULL.
        let mut word = stack.add(*stack).add(2);
        while *word != 0 {
            word = word.add(1);
        }

        let (mut phdr, mut phent, mut phnum, mut page) = (0, 0, 0, 4096);
        let mut aux = word.add(1).cast::<[usize; 2]>();
        loop {
            let [key, value] = *aux;
            match key {
                0 => break,
                AT_PHDR => phdr = value,
                AT_PHENT => phent = value,
                AT_PHNUM => phnum = value,
                AT_PAGESZ => page = value,
                _ => {}
            }
            aux = aux.add(1);
        }

        // Where the linker thought that _DYNAMIC is, against where it is.
        let mut bias = None;
        let mut header = phdr;
        let end = phdr.wrapping_add(phnum.wrapping_mul(phent));
        while header != end {
            let ph = *at::<Phdr>(header);
            if ph.p_type == PT_DYNAMIC {
                bias = Some(dynamic.addr().wrapping_sub(ph.p_vaddr));
            }
            header = header.wrapping_add(phent);
        }
        let Some(bias) = bias else { return };

        let (mut rela, mut rela_size, mut relr, mut relr_size) = (0, 0, 0, 0);
        let mut entry = dynamic;
        loop {
            let [tag, value] = *entry;
            match tag {
                0 => break,
                DT_RELA => rela = value,
                DT_RELASZ => rela_size = value,
                DT_RELR => relr = value,
                DT_RELRSZ => relr_size = value,
                _ => {}
            }
            entry = entry.add(1);
        }

        let mut next = bias.wrapping_add(rela);
        let end = next.wrapping_add(rela_size);
        while next < end {
            let r = *at::<Rela>(next);
            if r.r_info as u32 == R_RELATIVE {
                *at::<usize>(bias.wrapping_add(r.r_offset)) = bias.wrapping_add(r.r_addend);
            }
            next = next.wrapping_add(size_of::<Rela>());
        }

        // An even word is the address of a word to relocate; an odd one is a
        // bitmap of the 63 words after the last one that was spoken of.
        let mut place = 0_usize;
        let mut next = bias.wrapping_add(relr);
        let end = next.wrapping_add(relr_size);
        while next < end {
            let word = *at::<usize>(next);
            if word & 1 == 0 {
                place = bias.wrapping_add(word);
                let target = at::<usize>(place);
                *target = (*target).wrapping_add(bias);
                place = place.wrapping_add(WORD);
            } else {
                let mut bits = word >> 1;
                let mut target = place;
                while bits != 0 {
                    if bits & 1 != 0 {
                        let target = at::<usize>(target);
                        *target = (*target).wrapping_add(bias);
                    }
                    bits >>= 1;
                    target = target.wrapping_add(WORD);
                }
                place = place.wrapping_add(63 * WORD);
            }
            next = next.wrapping_add(WORD);
        }

        let mut header = phdr;
        let end = phdr.wrapping_add(phnum.wrapping_mul(phent));
        while header != end {
            let ph = *at::<Phdr>(header);
            if ph.p_type == PT_GNU_RELRO {
                // Whole pages only: the linker pads the end up to one.
                let mask = page.wrapping_sub(1);
                let start = bias.wrapping_add(ph.p_vaddr) & !mask;
                let end = bias.wrapping_add(ph.p_vaddr).wrapping_add(ph.p_memsz) & !mask;
                const PROT_READ: u32 = 1;
                if start < end {
                    let _ = syscall_zero!(nr::MPROTECT, start, end.wrapping_sub(start), PROT_READ);
                }
            }
            header = header.wrapping_add(phent);
        }
    }
}
