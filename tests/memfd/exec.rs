//! Running what is in a memfd.

use crate::*;
use barecall::memfd;
use barecall::process::{CStrArray, CStrings};

const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else {
    183
};

/// A program that exits with this status.
fn program(status: u8) -> Vec<u8> {
    let code: Vec<u8> = if cfg!(target_arch = "x86_64") {
        // mov eax, 60; mov edi, status; syscall
        vec![0xb8, 60, 0, 0, 0, 0xbf, status, 0, 0, 0, 0x0f, 0x05]
    } else {
        // mov x0, status; mov x8, 93; svc 0
        [
            0xd280_0000 | u32::from(status) << 5,
            0xd280_0ba8,
            0xd400_0001,
        ]
        .iter()
        .flat_map(|word: &u32| word.to_le_bytes())
        .collect()
    };
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    let (base, headers): (u64, u64) = (0x40_0000, 64 + 56);
    let size = headers + code.len() as u64;
    elf.extend(2_u16.to_le_bytes()); // an executable
    elf.extend(MACHINE.to_le_bytes());
    elf.extend(1_u32.to_le_bytes());
    for word in [base + headers, 64, 0] {
        elf.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    elf.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1_u32.to_le_bytes()); // PT_LOAD
    elf.extend(5_u32.to_le_bytes()); // read, execute
    for word in [0, base, base, size, size, 0x1_0000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    elf
}

/// Executable, whichever way this kernel says it.
fn executable(content: &[u8], inherit: bool) -> Memfd {
    let mut options = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
    if inherit {
        options = options.inherit();
    }
    let (memfd, _) = options.create_or_legacy(c"program").unwrap();
    memfd.write_all_at(content, 0).unwrap();
    memfd
}

/// What became of a child that runs it.
fn run(fd: impl AsFd) -> Result<WaitStatus, Errno> {
    let _alone = alone();
    let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    let argv = CStrings::new([c"program"]);
    // SAFETY: the child makes system calls only.
    match unsafe { fork() }.unwrap() {
        None => {
            let errno = memfd::exec(fd, argv.as_array(), CStrArray::EMPTY);
            let _ = io::write(&writer, &errno.raw().to_ne_bytes());
            exit_group(1);
        }
        Some(child) => {
            drop(writer);
            let mut errno = [0; 4];
            let told = io::retry_on_intr(|| io::read(&reader, &mut errno)).unwrap();
            let ended = wait4(WaitTarget::Pid(child), WaitOptions::empty());
            match told {
                0 => Ok(ended.unwrap().unwrap().1),
                _ => Err(Errno::new(i32::from_ne_bytes(errno)).unwrap()),
            }
        }
    }
}

/// Whether there is the call at all (qemu-user has not got it).
fn no_execveat() -> bool {
    run(executable(&program(0), false)) == Err(Errno::ENOSYS)
}

/// MFD-110
#[test]
fn a_program_runs_with_and_without_close_on_exec() {
    if no_execveat() {
        skip!("no execveat");
    }
    for inherit in [false, true] {
        let status = run(executable(&program(42), inherit));
        assert_eq!(status, Ok(WaitStatus::Exited(42)));
    }
}

#[test]
fn a_sealed_program_runs() {
    if no_execveat() {
        skip!("no execveat");
    }
    let seals = if has_exec_choice() {
        Seals::EXEC
    } else {
        Seals::empty()
    };
    let frozen = executable(&program(43), false).freeze_with(seals).unwrap();
    assert_eq!(run(&frozen), Ok(WaitStatus::Exited(43)));
}

#[test]
fn one_that_was_opened_again_for_writing_is_busy() {
    if no_execveat() {
        skip!("no execveat");
    }
    let memfd = executable(&program(44), false);
    let writable = reopen(&memfd, OFlags::RDWR).unwrap();
    assert_eq!(run(&memfd), Err(Errno::ETXTBSY));
    assert_eq!(run(&writable), Err(Errno::ETXTBSY));
    drop(writable);
    assert_eq!(run(&memfd), Ok(WaitStatus::Exited(44)));
    let readable = reopen(&memfd, OFlags::RDONLY).unwrap();
    assert_eq!(run(&readable), Ok(WaitStatus::Exited(44)));
}

/// MFD-111
#[test]
fn a_script_runs_unless_it_is_close_on_exec() {
    if no_execveat() {
        skip!("no execveat");
    }
    let path = format!("/tmp/interpreter-{}", std::process::id());
    std::fs::write(&path, program(45)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
    let script = format!("#!{path}\n");
    let kept = run(executable(script.as_bytes(), true));
    let closed = run(executable(script.as_bytes(), false));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(kept, Ok(WaitStatus::Exited(45)));
    assert_eq!(closed, Err(Errno::ENOENT));
    let missing = run(executable(script.as_bytes(), true));
    assert_eq!(missing, Err(Errno::ENOENT));
}

/// MFD-113
#[test]
fn one_that_is_not_executable_is_eacces() {
    if no_execveat() {
        skip!("no execveat");
    }
    if has_exec_choice() {
        let memfd = MemfdOptions::new().create(c"x").unwrap();
        memfd.write_all_at(&program(46), 0).unwrap();
        assert_eq!(run(&memfd), Err(Errno::EACCES));
        let refused = fs::fchmod(&memfd, Mode::from_raw(0o777));
        assert_eq!(refused, Err(Errno::EPERM));
        // It is about execve: code can still be mapped.
        let exec = ProtFlags::READ | ProtFlags::EXEC;
        drop(Raw::map(&memfd, exec, MapFlags::PRIVATE).unwrap());
        drop(Raw::map(&memfd, exec, MapFlags::SHARED).unwrap());
    } else {
        // What create_or_legacy warns of: it runs.
        let (memfd, _) = MemfdOptions::new().create_or_legacy(c"x").unwrap();
        memfd.write_all_at(&program(46), 0).unwrap();
        assert_eq!(run(&memfd), Ok(WaitStatus::Exited(46)));
    }
}

#[test]
fn what_is_no_program_is_enoexec() {
    if no_execveat() {
        skip!("no execveat");
    }
    assert_eq!(run(executable(b"nothing", false)), Err(Errno::ENOEXEC));
    assert_eq!(run(executable(b"", false)), Err(Errno::ENOEXEC));
    let (pipe, _end) = io::pipe2(io::PipeFlags::CLOEXEC).unwrap();
    assert_eq!(run(&pipe), Err(Errno::EACCES));
}
