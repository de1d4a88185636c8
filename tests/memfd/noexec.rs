//! `vm.memfd_noexec` at 0, 1 and 2, each in a pid namespace of its own.

use crate::*;
use barecall::fs::fstat;
use barecall::{nr, syscall};

const CLONE_NEWPID: u32 = 0x2000_0000;
const CAP_SYS_ADMIN: u32 = 21;

/// Runs `body` as the first process of a new pid namespace.
fn in_pid_namespace(body: impl FnOnce() -> Result<(), u32>) {
    in_child(|| {
        // SAFETY: only children are in the new namespace.
        ensure!(unsafe { syscall!(nr::UNSHARE, CLONE_NEWPID) } == Ok(0));
        let (reader, writer) = io::pipe2(io::PipeFlags::CLOEXEC).map_err(|_| line!())?;
        // SAFETY: system calls only, in a process with one thread.
        match unsafe { fork() }.map_err(|_| line!())? {
            None => {
                let line = body().err().unwrap_or(0);
                let _ = io::write(&writer, &line.to_ne_bytes());
                exit_group(0);
            }
            Some(child) => {
                let mut line = [0; 4];
                drop(writer);
                ensure!(io::read(&reader, &mut line) == Ok(4));
                ensure!(wait4(WaitTarget::Pid(child), WaitOptions::empty()).is_ok());
                match u32::from_ne_bytes(line) {
                    0 => Ok(()),
                    line => Err(line),
                }
            }
        }
    });
}

fn set_memfd_noexec(value: &[u8]) -> Result<usize, Errno> {
    let path = c"/proc/sys/vm/memfd_noexec";
    let file = fs::openat(fs::CWD, path, OFlags::WRONLY, Mode::empty())?;
    io::write(&file, value)
}

/// Mode and seals of what these options make.
fn made(options: MemfdOptions) -> Result<(u32, u32), Errno> {
    let memfd = options.create(c"x")?;
    let mode = fstat(&memfd)?.mode().as_raw();
    Ok((mode, memfd.seals()?.bits()))
}

const DEFAULT: MemfdOptions = MemfdOptions::new().exec(Exec::SystemDefault);
const EXECUTABLE: MemfdOptions = MemfdOptions::new().exec(Exec::Executable);

/// The whole table, at one value of the sysctl.
fn table(value: &[u8]) -> Result<(), u32> {
    ensure!(set_memfd_noexec(value) == Ok(1));
    let off = value == b"0";
    let (plain, sealable) = if off {
        ((0o777, 0x1), (0o777, 0x0))
    } else {
        ((0o666, 0x20), (0o666, 0x20))
    };
    ensure!(made(DEFAULT) == Ok(plain));
    ensure!(made(DEFAULT.allow_sealing()) == Ok(sealable));
    ensure!(made(MemfdOptions::new()) == Ok((0o666, 0x20)));
    ensure!(made(MemfdOptions::new().allow_sealing()) == Ok((0o666, 0x20)));
    if value == b"2" {
        ensure!(made(EXECUTABLE) == Err(Errno::EACCES));
        ensure!(made(EXECUTABLE.allow_sealing()) == Err(Errno::EACCES));
        // That is no reason to do without the flag.
        let legacy = EXECUTABLE.create_or_legacy(c"x");
        ensure!(legacy.is_err_and(|errno| errno == Errno::EACCES));
    } else {
        ensure!(made(EXECUTABLE) == Ok((0o777, 0x1)));
        ensure!(made(EXECUTABLE.allow_sealing()) == Ok((0o777, 0x0)));
    }
    // The crate's own compositions, at every value.
    ensure!(MemfdOptions::new().create_frozen(c"x", b"x").is_ok());
    ensure!(DEFAULT.allow_sealing().create_frozen(c"x", b"x").is_ok());
    let unsealable = DEFAULT.create_frozen(c"x", b"x");
    ensure!(unsealable.is_ok() != off);
    Ok(())
}

/// MFD-107
#[test]
fn the_options_do_at_each_value_what_is_documented() {
    let _alone = alone();
    if !has_exec_choice() {
        assert_eq!(set_memfd_noexec(b"0"), Err(Errno::ENOENT));
        assert_eq!(made(DEFAULT), Ok((0o777, 0x1)));
        assert_eq!(made(DEFAULT.allow_sealing()), Ok((0o777, 0x0)));
        assert_eq!(made(MemfdOptions::new()), Err(Errno::EINVAL));
        assert_eq!(made(EXECUTABLE), Err(Errno::EINVAL));
        return;
    }
    if !common::has_capability(CAP_SYS_ADMIN) {
        skip!("a pid namespace takes CAP_SYS_ADMIN");
    }
    let before = memfd_noexec();
    for (number, value) in [(0, b"0"), (1, b"1"), (2, b"2")] {
        if before > Some(number) {
            skip!("vm.memfd_noexec can only go up from {before:?}");
        }
        in_pid_namespace(|| table(value));
    }
    assert_eq!(memfd_noexec(), before);
}
