//! The contract of the stubs, each rule by what goes wrong without it. Most of
//! it shows only in optimised code: tests/host_codegen.rs runs this file so.

use barecall::nr::{self, Sysno};
use barecall::{Errno, syscall, syscall_ptr};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

const PAGE: usize = 4096;
const PROT_READ_WRITE: u32 = 3;
const MAP_SHARED: u32 = 1;
const MAP_PRIVATE_ANONYMOUS: u32 = 0x22;

/// A file in memory, and a page of it that is mapped: two views of the same
/// bytes, one of which the compiler can see.
fn file_and_view() -> (usize, &'static mut [u8; PAGE]) {
    // SAFETY: a new file and a new mapping, which are leaked.
    unsafe {
        let fd = syscall!(nr::MEMFD_CREATE, c"stubs", 0).unwrap();
        syscall!(nr::FTRUNCATE, fd, PAGE).unwrap();
        let view = syscall_ptr!(nr::MMAP, 0, PAGE, PROT_READ_WRITE, MAP_SHARED, fd, 0).unwrap();
        (fd, &mut *view.cast())
    }
}

#[test]
fn a_mapping_sees_what_pwrite_wrote_to_its_file() {
    let (fd, view) = file_and_view();
    view[0] = b'A';
    let before = view[0];
    let byte = b'Z';
    // SAFETY: one byte is read. That `view` is borrowed mutably is the point:
    // a stub that claims to write no memory lets the compiler keep 'A'.
    let written = unsafe { syscall!(nr::PWRITE64, fd, &raw const byte, 1, 0) };
    assert_eq!((written, before, view[0]), (Ok(1), b'A', b'Z'));
}

#[test]
fn a_mapping_sees_the_hole_that_fallocate_punched() {
    const KEEP_SIZE_PUNCH_HOLE: u32 = 1 | 2;
    let (fd, view) = file_and_view();
    view[7] = b'A';
    // SAFETY: the file is ours.
    let punched = unsafe { syscall!(nr::FALLOCATE, fd, KEEP_SIZE_PUNCH_HOLE, 0, PAGE) };
    assert_eq!((punched, view[7]), (Ok(0), 0));
}

#[test]
fn a_store_before_the_call_is_there_when_the_kernel_reads() {
    let (fd, view) = file_and_view();
    let mut byte = b'1';
    // SAFETY: one byte is read, twice.
    unsafe {
        syscall!(nr::PWRITE64, fd, &raw const byte, 1, 0).unwrap();
        byte = b'2';
        syscall!(nr::PWRITE64, fd, &raw const byte, 1, 1).unwrap();
    }
    assert_eq!(&view[..2], b"12");
}

#[test]
fn a_buffer_holds_what_the_kernel_wrote_there() {
    let (fd, view) = file_and_view();
    view[..8].copy_from_slice(b"whatever");
    let mut word = 0_u64;
    // SAFETY: eight bytes are written.
    let n = unsafe { syscall!(nr::PREAD64, fd, &raw mut word, 8, 0) };
    assert_eq!((n, word.to_ne_bytes()), (Ok(8), *b"whatever"));
}

#[test]
fn the_caller_of_kill_sees_the_store_of_its_own_handler() {
    extern "C" fn handler(_: i32) {
        // SAFETY: the test's thread waits in `tgkill`.
        unsafe { HANDLED = 'Z' as u32 };
    }
    static mut HANDLED: u32 = 0;

    // std cannot set a handler, libc can: the handler is not what is tested.
    // SAFETY: the handler stores a word; no other test uses the signal.
    unsafe {
        libc::signal(libc::SIGUSR2, handler as *const () as usize);
        let (pid, tid) = (libc::getpid(), libc::gettid());
        HANDLED = 'A' as u32;
        let before = HANDLED;
        syscall!(nr::TGKILL, pid, tid, libc::SIGUSR2).unwrap();
        assert_eq!((before, HANDLED), ('A' as u32, 'Z' as u32));
    }
}

#[test]
fn a_u32_has_nothing_in_the_upper_half_of_its_register() {
    let dirty = black_box(0xdead_beef_0000_1000_u64);
    let len = dirty as u32;
    // SAFETY: a new mapping. With the upper half it would be one of 3,735 TiB.
    let page = unsafe {
        syscall_ptr!(
            nr::MMAP,
            0,
            len,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            -1,
            0
        )
    }
    .expect("a page, not ENOMEM");
    // SAFETY: nobody else knows of it.
    unsafe { syscall!(nr::MUNMAP, page, len) }.unwrap();
}

#[test]
fn an_i32_keeps_its_sign() {
    const SEEK_CUR: u32 = 1;
    let (fd, _) = file_and_view();
    // SAFETY: numbers only.
    unsafe {
        syscall!(nr::LSEEK, fd, 100, 0).unwrap();
        // off_t is 64 bits: without its sign, -1 is 4294967295.
        let back = black_box(0x1234_5678_ffff_ffff_u64) as i32;
        assert_eq!(syscall!(nr::LSEEK, fd, back, SEEK_CUR), Ok(99));
    }
}

// ABI-006
#[test]
fn at_fdcwd_is_a_negative_int() {
    const AT_FDCWD: i32 = -100;
    // SAFETY: opens a directory, and closes it.
    unsafe {
        let fd = syscall!(nr::OPENAT, AT_FDCWD, c".", 0, 0).unwrap();
        syscall!(nr::CLOSE, fd).unwrap();
    }
}

#[test]
fn a_pointer_from_mmap_is_good_for_the_memory() {
    // SAFETY: a new mapping, written and read through the pointer as it came.
    unsafe {
        let page = syscall_ptr!(
            nr::MMAP,
            0,
            PAGE,
            PROT_READ_WRITE,
            MAP_PRIVATE_ANONYMOUS,
            -1,
            0
        )
        .unwrap();
        let words = page.cast::<u64>();
        words.write(7);
        words.add(PAGE / 8 - 1).write(8);
        assert_eq!((words.read(), words.add(511).read()), (7, 8));
        syscall!(nr::MUNMAP, page, PAGE).unwrap();
    }
}

// ABI-001
#[test]
fn all_six_arguments_arrive_in_order() {
    // Whole pages on every machine, of which some have 16 and 64 KiB.
    const STEP: usize = 0x1_0000;
    let (fd, view) = file_and_view();
    // SAFETY: another view of the file, at an address that is free, since the
    // kernel just chose and gave it back.
    unsafe {
        let hint = syscall_ptr!(nr::MMAP, 0, STEP, 0, MAP_PRIVATE_ANONYMOUS, -1, 0).unwrap();
        syscall!(nr::FTRUNCATE, fd, 2 * STEP).unwrap();
        const MAP_FIXED: u32 = 0x10;
        let at = syscall_ptr!(
            nr::MMAP,
            hint,
            STEP,
            PROT_READ_WRITE,
            MAP_SHARED | MAP_FIXED,
            fd,
            STEP
        );
        assert_eq!(at, Ok(hint));
        hint.cast::<u8>().write(b'q');
        let mut byte = 0_u8;
        syscall!(nr::PREAD64, fd, &raw mut byte, 1, STEP).unwrap();
        assert_eq!((byte, view[0]), (b'q', 0));
    }
}

// ABI-002
#[test]
fn a_number_without_a_call_is_enosys() {
    for number in [100_000_isize, -1] {
        // SAFETY: there is nothing that it could do.
        let answer = unsafe { syscall!(Sysno::from(number), 1, 2, 3, 4, 5, 6) };
        assert_eq!(answer, Err(Errno::ENOSYS));
    }
}

// ABI-010, ABI-012
#[test]
fn a_bad_pointer_is_efault_wherever_it_stands() {
    const AT_FDCWD: i32 = -100;
    const PR_SET_NAME: u32 = 15;
    const PR_GET_PDEATHSIG: u32 = 2;
    const GRND_INSECURE: u32 = 4;
    // Nothing is at the end of the address space, and these calls have no other
    // error to give first.
    const BAD: isize = -4096;
    let now = [0_u64; 2];
    let mut stat = [0_u64; 32];
    // SAFETY: what is good is read, or large enough for what is written.
    unsafe {
        let fault = Err(Errno::EFAULT);
        let (now, stat) = (&raw const now, &raw mut stat);
        assert_eq!(syscall!(nr::PSELECT6, 1, BAD, 0, 0, now, 0), fault);
        assert_eq!(syscall!(nr::PSELECT6, 1, 0, BAD, 0, now, 0), fault);
        assert_eq!(syscall!(nr::PSELECT6, 1, 0, 0, BAD, now, 0), fault);
        assert_eq!(syscall!(nr::PSELECT6, 0, 0, 0, 0, BAD, 0), fault);
        assert_eq!(syscall!(nr::PSELECT6, 0, 0, 0, 0, now, BAD), fault);
        assert_eq!(syscall!(nr::PPOLL, BAD, 1, now, 0, 8), fault);
        assert_eq!(syscall!(nr::PPOLL, 0, 0, BAD, 0, 8), fault);
        assert_eq!(syscall!(nr::PPOLL, 0, 0, now, BAD, 8), fault);
        assert_eq!(syscall!(nr::NEWFSTATAT, AT_FDCWD, c"/", BAD, 0), fault);
        assert_eq!(syscall!(nr::NEWFSTATAT, AT_FDCWD, BAD, stat, 0), fault);
        assert_eq!(syscall!(nr::UNAME, BAD), fault);
        assert_eq!(syscall!(nr::PRCTL, PR_SET_NAME, 0, 0, 0, 0), fault);
        assert_eq!(syscall!(nr::PRCTL, PR_SET_NAME, BAD, 0, 0, 0), fault);
        assert_eq!(syscall!(nr::PRCTL, PR_GET_PDEATHSIG, BAD, 0, 0, 0), fault);
        assert_eq!(syscall!(nr::GETRANDOM, BAD, 16, GRND_INSECURE), fault);
        assert_eq!(syscall!(nr::GETRANDOM, stat, 0, GRND_INSECURE), Ok(0));
    }
}

#[test]
fn the_first_and_the_last_errno_are_errors_and_minus_4096_is_not() {
    let reg = |ret: isize| std::ptr::without_provenance_mut(ret as usize);
    assert_eq!(syscall::decode(reg(-1)), Err(Errno::EPERM));
    assert_eq!(syscall::decode(reg(-4095)).unwrap_err().raw(), 4095);
    assert_eq!(syscall::decode(reg(-4096)), Ok(-4096_isize as usize));
    assert_eq!(syscall::decode_ptr(reg(-4096)), Ok(reg(-4096)));
    assert_eq!(syscall::decode_ptr(reg(-4095)).unwrap_err().raw(), 4095);
    assert_eq!(syscall::decode(reg(0)), Ok(0));
    assert_eq!(syscall::decode(reg(isize::MAX)), Ok(isize::MAX as usize));
}

/// The kernel itself made to answer -1 and -4095, by a filter of this thread.
#[test]
fn the_kernel_answers_the_first_and_the_last_errno() {
    fn answered(errno: u32) -> Result<usize, Errno> {
        std::thread::spawn(move || {
            const SECCOMP_SET_MODE_FILTER: u32 = 1;
            const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
            const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
            // Load the number; if it is getppid's, answer the error.
            let filter = [
                libc::sock_filter {
                    code: 0x20,
                    jt: 0,
                    jf: 0,
                    k: 0,
                },
                libc::sock_filter {
                    code: 0x15,
                    jt: 0,
                    jf: 1,
                    k: nr::GETPPID.as_usize() as u32,
                },
                libc::sock_filter {
                    code: 0x06,
                    jt: 0,
                    jf: 0,
                    k: SECCOMP_RET_ERRNO | errno,
                },
                libc::sock_filter {
                    code: 0x06,
                    jt: 0,
                    jf: 0,
                    k: SECCOMP_RET_ALLOW,
                },
            ];
            let program = libc::sock_fprog {
                len: 4,
                filter: filter.as_ptr().cast_mut(),
            };
            // SAFETY: a filter for this thread alone, which ends soon.
            unsafe {
                syscall!(nr::PRCTL, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
                syscall!(nr::SECCOMP, SECCOMP_SET_MODE_FILTER, 0, &raw const program)?;
                syscall!(nr::GETPPID)
            }
        })
        .join()
        .unwrap()
    }
    assert_eq!(answered(1), Err(Errno::EPERM));
    assert_eq!(answered(4095).map_err(Errno::raw), Err(4095));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernel_keeps_flags_and_red_zone() {
    let (carry, below): (u8, u64);
    // SAFETY: getppid by hand, with the carry flag set and a word in the red
    // zone, which is this leaf's to use.
    unsafe {
        std::arch::asm!(
            "mov qword ptr [rsp - 120], 77",
            "stc",
            "syscall",
            "setc {carry}",
            "mov {below}, qword ptr [rsp - 120]",
            carry = out(reg_byte) carry,
            below = out(reg) below,
            inout("rax") nr::GETPPID.as_usize() => _,
            out("rcx") _,
            out("r11") _,
        );
    }
    assert_eq!((carry, below), (1, 77));
}

#[cfg(target_arch = "aarch64")]
#[test]
fn the_kernel_keeps_flags() {
    let carry: u64;
    // SAFETY: getppid by hand, with the carry flag set.
    unsafe {
        std::arch::asm!(
            "cmp xzr, xzr",
            "svc 0",
            "cset {carry}, cs",
            carry = out(reg) carry,
            in("x8") nr::GETPPID.as_usize(),
            out("x0") _,
        );
    }
    assert_eq!(carry, 1);
}

/// A leaf that has so much in registers and in the red zone that a stub which
/// pushes, or clobbers what it does not name, corrupts it.
#[test]
fn everything_a_leaf_keeps_survives_the_call() {
    #[inline(never)]
    fn leaf(seed: u64) -> u64 {
        let mut words = [0_u64; 12];
        for (i, word) in words.iter_mut().enumerate() {
            *word = seed.wrapping_mul(i as u64 + 3).rotate_left(i as u32);
        }
        // SAFETY: getppid takes nothing and changes nothing.
        let _ = unsafe { syscall!(nr::GETPPID) };
        words.iter().fold(0, |sum, word| sum.rotate_left(7) ^ word)
    }
    fn model(seed: u64) -> u64 {
        (0..12_u64)
            .map(|i| seed.wrapping_mul(i + 3).rotate_left(i as u32))
            .fold(0, |sum, word| sum.rotate_left(7) ^ word)
    }
    for seed in [1, 0xdead_beef, u64::MAX / 7] {
        assert_eq!(leaf(black_box(seed)), model(seed));
    }
}

#[test]
fn other_threads_stores_are_seen_after_a_futex_wait() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    let waker = std::thread::spawn(|| {
        WORD.store(1, Ordering::Release);
        // SAFETY: FUTEX_WAKE of a word of ours.
        unsafe { syscall!(nr::FUTEX, WORD.as_ptr(), 1, 1) }.unwrap();
    });
    while WORD.load(Ordering::Acquire) == 0 {
        // SAFETY: FUTEX_WAIT on a word of ours, while it is 0.
        let _ = unsafe { syscall!(nr::FUTEX, WORD.as_ptr(), 0, 0, 0) };
    }
    waker.join().unwrap();
}
