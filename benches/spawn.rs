//! Starting a program, and capturing what it says.
//!
//! `spawn`: /bin/true from a parent with more and more resident memory, to its
//! end: ours, fork + execve by the raw calls, libc's posix_spawn, and
//! std::process::Command (which is posix_spawn, or fork, by what it is asked).
//! `capture`: a program that writes 0 bytes, 64 KiB or 256 MiB, to its end, with
//! everything it wrote at hand: ours in memory files, read through once, or
//! mapped; std's in vectors.

#[path = "common/mod.rs"]
mod common;

use barecall::fd::{AsFd as _, OwnedFd};
use barecall::process::{
    CStrArray, CStrings, WaitOptions, WaitTarget, execve, exit_group, fork, wait4,
};
use barecall::spawn::Spawn;
use barecall::{fs, io, mm};
use common::{race, rounds, way};
use std::process::{Command, Stdio};

const TRUE: &std::ffi::CStr = c"/bin/true";

fn ours() {
    let argv = CStrings::new([c"true"]);
    let child = Spawn::new(TRUE, argv.as_array(), CStrArray::EMPTY).spawn();
    child.expect("a child").wait().expect("its end");
}

fn by_fork() {
    let argv = CStrings::new([c"true"]);
    // SAFETY: one thread; the child executes a program, or exits.
    match unsafe { fork() }.expect("a child") {
        None => {
            let _ = execve(TRUE, argv.as_array(), CStrArray::EMPTY);
            exit_group(127)
        }
        Some(child) => {
            wait4(WaitTarget::Pid(child), WaitOptions::empty()).expect("its end");
        }
    }
}

fn by_posix_spawn() {
    let argv = CStrings::new([c"true"]);
    let (mut pid, mut status) = (0, 0);
    let null = core::ptr::null::<libc::c_void>();
    // SAFETY: strings, arrays of them, and two ints.
    unsafe {
        let spawned = libc::posix_spawn(
            &mut pid,
            TRUE.as_ptr(),
            null.cast(),
            null.cast(),
            argv.as_array().as_ptr().cast(),
            CStrArray::EMPTY.as_ptr().cast(),
        );
        assert_eq!(spawned, 0);
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
    }
}

fn by_command() {
    let status = Command::new("/bin/true").env_clear().status();
    assert!(status.expect("a child").success());
}

/// What `head -c N /dev/zero` says, with ours.
fn capture(bytes: &'static std::ffi::CStr) -> OwnedFd {
    let argv = CStrings::new([c"head", c"-c", bytes, c"/dev/zero"]);
    let head = Spawn::new(c"/usr/bin/head", argv.as_array(), CStrArray::EMPTY);
    head.capture().expect("output").stdout
}

fn read_through(file: &OwnedFd, buf: &mut [u8]) -> usize {
    let mut all = 0;
    loop {
        match io::read(file, buf).expect("the output") {
            0 => return all,
            n => all += n,
        }
    }
}

/// One byte of every page, as who looks for something would.
fn look_at_map(file: &OwnedFd) -> usize {
    let len = fs::fstat(file).expect("its size").st_size as usize;
    if len == 0 {
        return 0;
    }
    let (prot, flags) = (mm::ProtFlags::READ, mm::MapFlags::SHARED);
    // SAFETY: a new mapping of a file that nobody else has; gone before it.
    unsafe {
        let at = core::ptr::null_mut();
        let map = mm::mmap(at, len, prot, flags, file.as_fd(), 0).expect("a map");
        let bytes = core::slice::from_raw_parts(map.cast::<u8>(), len);
        let sum: usize = bytes
            .iter()
            .step_by(4096)
            .map(|&byte| usize::from(byte))
            .sum();
        mm::munmap(map, len).expect("unmap");
        len + sum
    }
}

fn main() {
    for (case, mib, full) in [
        ("0 MiB resident", 0, 301),
        ("64 MiB resident", 64, 101),
        ("1 GiB resident", 1024, 31),
    ] {
        // Written to, so that there are pages, and page tables to copy.
        let weight = vec![1_u8; mib << 20];
        let ways = vec![
            way("barecall", 1, ours),
            way("posix_spawn", 1, by_posix_spawn),
            way("Command", 1, by_command),
            way("fork", 1, by_fork),
        ];
        race("spawn", case, "ns", rounds(full), ways);
        std::hint::black_box(&weight);
    }

    let mut buf = vec![0; 1 << 20];
    for (case, bytes, text, full) in [
        ("0 bytes", 0, c"0", 201),
        ("64 KiB", 64 << 10, c"65536", 201),
        ("256 MiB", 256 << 20, c"268435456", 9),
    ] {
        let buf = std::cell::RefCell::new(&mut buf);
        let ways = vec![
            way("barecall, read", 1, || {
                let read = read_through(&capture(text), &mut buf.borrow_mut());
                assert_eq!(read, bytes);
            }),
            way("barecall, mapped", 1, || {
                assert_eq!(look_at_map(&capture(text)), bytes);
            }),
            way("Command::output", 1, || {
                let mut command = Command::new("/usr/bin/head");
                command.args(["-c", text.to_str().expect("digits"), "/dev/zero"]);
                let output = command.env_clear().stdin(Stdio::null()).output();
                assert_eq!(output.expect("output").stdout.len(), bytes);
            }),
        ];
        race("capture", case, "ns", rounds(full), ways);
    }
}
