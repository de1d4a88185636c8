//! userfaultfd and pagemap through strace's eyes, and the program `pagefault`.

#[path = "common/host.rs"]
mod host;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::pagemap::{Categories, PageRegion, Pagemap, Scan, ScanFlags};
use barecall::userfaultfd::{
    Access, ContinueFlags, CopyFlags, Features, MappedRegion, MoveFlags, PoisonFlags,
    RegisterModes, UnprotectFlags, UserfaultfdOptions, ZeroFlags,
};
use std::process::Command;
use uffd::*;

/// Says that a test runs in this process, under strace.
const PART: &str = "BARECALL_USERFAULTFD_PART";

fn calls() {
    let options = UserfaultfdOptions::new().require(Features::PAGEFAULT_FLAG_WP);
    let user = options.open_syscall().unwrap().userfaultfd;
    let kernel = options.access(Access::Kernel).blocking(true);
    drop(kernel.open_syscall().unwrap());
    let region = MappedRegion::anonymous(
        &user,
        4 * page_size(),
        RegisterModes::MISSING | RegisterModes::WP,
    )
    .unwrap();
    let (range, source) = (region.range(), filled(1));
    println!("\nnumbers {:#x} {:p}", range.start(), source.as_ptr());
    let results = [
        user.copy_once(range.start(), &source, CopyFlags::DONTWAKE),
        user.copy_once(page(&region, 1).start(), &source, CopyFlags::WP),
        user.zero_once(page(&region, 2), ZeroFlags::DONTWAKE),
        user.continue_once(page(&region, 3), ContinueFlags::DONTWAKE),
        user.poison_once(page(&region, 3), PoisonFlags::DONTWAKE),
    ];
    println!("{results:?}");
    // SAFETY: the source is the region itself, which nobody looks at.
    let _ = unsafe {
        let from = region.as_ptr();
        user.move_once(page(&region, 3), from, MoveFlags::ALLOW_SRC_HOLES)
    };
    user.write_protect(page(&region, 0)).unwrap();
    user.write_unprotect(page(&region, 0), UnprotectFlags::DONTWAKE)
        .unwrap();
    user.unregister(range).unwrap();
    let scan = Scan::new(range)
        .all_of(Categories::PRESENT)
        .any_of(Categories::FILE | Categories::WRITTEN)
        .inverted(Categories::FILE)
        .report(Categories::HUGE)
        .flags(ScanFlags::WP_MATCHING | ScanFlags::CHECK_WPASYNC);
    let mut room = [PageRegion::EMPTY; 2];
    let _ = Pagemap::open_self().unwrap().scan_once(&scan, &mut room, 7);
}

#[test]
fn strace_decodes_what_was_meant() {
    if std::env::var_os(PART).is_some() {
        return calls();
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    let options = ["-e", "trace=userfaultfd,ioctl"];
    let test = "strace_decodes_what_was_meant";
    let (output, log) = host::under_strace(&options, test, &[(PART, "1".as_ref())]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let numbers = said
        .lines()
        .find_map(|line| line.strip_prefix("numbers "))
        .unwrap();
    let (start, source) = numbers.split_once(' ').unwrap();
    let first = usize::from_str_radix(start.trim_start_matches("0x"), 16).unwrap();
    let size = page_size();
    let at = |index: usize| format!("{:#x}", first + index * size);
    let range = |index, len: usize| format!("{{start={}, len={len:#x}}}", at(index));

    let mut rest = log.as_str();
    let mut expect = |pieces: &[&str]| {
        let found = rest
            .lines()
            .find(|line| pieces.iter().all(|piece| line.contains(piece)));
        let line = found.unwrap_or_else(|| panic!("no {pieces:?} in\n{rest}"));
        let end = line.as_ptr() as usize - rest.as_ptr() as usize + line.len();
        rest = &rest[end..];
    };
    expect(&[
        "userfaultfd(",
        "O_NONBLOCK",
        "O_CLOEXEC",
        "UFFD_USER_MODE_ONLY",
    ]);
    expect(&[
        "UFFDIO_API, {api=0xaa, features=UFFD_FEATURE_PAGEFAULT_FLAG_WP",
        " = 0",
    ]);
    expect(&["userfaultfd(O_CLOEXEC)"]);
    expect(&["UFFDIO_API, {api=0xaa", " = 0"]);
    let modes = "mode=UFFDIO_REGISTER_MODE_MISSING|UFFDIO_REGISTER_MODE_WP";
    expect(&["UFFDIO_REGISTER, ", &range(0, 4 * size), modes, " = 0"]);
    let (dst, src) = (format!("dst={}", at(0)), format!("src={source}"));
    let len = format!("len={size:#x}");
    let mode = "mode=UFFDIO_COPY_MODE_DONTWAKE";
    expect(&["UFFDIO_COPY, ", &dst, &src, &len, mode, " = 0"]);
    let dst = format!("dst={}", at(1));
    let mode = "mode=UFFDIO_COPY_MODE_WP";
    expect(&["UFFDIO_COPY, ", &dst, &src, &len, mode, " = 0"]);
    let mode = "mode=UFFDIO_ZEROPAGE_MODE_DONTWAKE";
    expect(&["UFFDIO_ZEROPAGE, ", &range(2, size), mode, " = 0"]);
    // strace 6.1 shows the structures of these not at all, and the newer
    // requests by their numbers.
    expect(&["UFFDIO_CONTINUE, ", "EINVAL"]);
    expect(&["0xaa, 0x8, 0x20)", " = 0"]);
    expect(&["0xaa, 0x5, 0x28)", "EEXIST"]);
    expect(&["UFFDIO_WRITEPROTECT, ", " = 0"]);
    expect(&["UFFDIO_WRITEPROTECT, ", " = 0"]);
    expect(&["UFFDIO_UNREGISTER, ", &range(0, 4 * size), " = 0"]);
    expect(&["UFFDIO_WAKE, ", &range(0, 4 * size), " = 0"]);
    expect(&["0x66, 0x10, 0x60)", "EPERM"]);
}

/// The classic, without libc.
#[test]
fn the_program_without_libc_serves_its_pages() {
    let Some(mut cargo) = host::cargo(host::X86_64) else {
        return host::missing("a toolchain for x86_64");
    };
    let target = host::target_dir("pagefault");
    let built = cargo
        .args(["build", "--quiet", "--release", "-p", "barecall-examples"])
        .args(["--bin", "pagefault", "--target", host::X86_64])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success());
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let program = target.join(host::X86_64).join("release/pagefault");
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"all pages are 0xAB\n");
    assert!(std::fs::metadata(&program).unwrap().len() < 8192);
}
