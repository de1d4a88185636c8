//! A program that runs from a sealed copy of itself.
//!
//! What container runtimes do before they enter a container: who is inside
//! could otherwise write to the runtime's executable through /proc/PID/exe. It
//! copies its own executable into a memfd, seals that, and executes it; where
//! the system does not let it, into a file without a name. It says on standard
//! error which rung of the ladder it stands on and which guarantees it has.
//!
//!     selfseal            climbs, and says so; status 0 on the copy, 1 on an error
#![no_std]
#![no_main]

use barecall::Errno;
use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::{self, CWD, FdPath, Mode, OFlags};
use barecall::io::{self, FdWriter};
use barecall::memfd::{
    self, Applied, Exec, Frozen, Memfd, MemfdOptions, MemoryFile, NotFrozen, Seals,
};
use barecall::process::CStrArray;
use barecall::rt::Start;
use core::fmt::{self, Write as _};

barecall::entry!(main);

const USAGE: &str = "\
usage: selfseal
Runs again from a sealed copy of itself in memory, and says on standard error
which guarantees that one has. Exit status 0 on the copy, 1 after an error.
";

fn main(start: Start) -> i32 {
    if let Some(status) = barecall_examples::help(start, USAGE) {
        return status;
    }
    match climb(start) {
        Ok(()) => 0,
        Err((what, errno)) => {
            say(format_args!("{what}: {errno}"));
            1
        }
    }
}

fn say(message: fmt::Arguments<'_>) {
    // SAFETY: descriptor 2 is standard error from the start.
    let mut err = FdWriter(unsafe { io::stderr() });
    let _ = writeln!(err, "selfseal: {message}");
}

type Failed = (&'static str, Errno);

fn climb(start: Start) -> Result<(), Failed> {
    let me = open(c"/proc/self/exe").map_err(|errno| ("cannot open /proc/self/exe", errno))?;
    if stands(&me)? {
        return Ok(());
    }
    say(format_args!(
        "the executable is a file that others may write to"
    ));

    let dir = fs::openat(
        CWD,
        c"/tmp",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| ("cannot open /tmp", errno))?;
    let copy = MemfdOptions::new()
        .exec(Exec::Executable)
        .allow_sealing()
        .create_or_tmpfile(c"selfseal", &dir)
        .map_err(|errno| ("cannot make a file to copy to", errno))?;
    copy_all(&me, &copy).map_err(|errno| ("cannot copy the executable", errno))?;
    let program = match copy {
        MemoryFile::Memfd(memfd, applied) => seal(memfd, applied)?.into(),
        MemoryFile::Tmpfile(file) => {
            say(format_args!(
                "no memfd ({}): a file without a name",
                file.why()
            ));
            // Open for writing it would be ETXTBSY.
            let program = open(&FdPath::thread(&file)).map_err(|errno| ("cannot reopen", errno))?;
            drop(OwnedFd::from(file));
            program
        }
    };
    // SAFETY: as the kernel put them; nothing changes them.
    let (argv, envp) = unsafe {
        (
            CStrArray::from_ptr(start.argv()),
            CStrArray::from_ptr(start.envp()),
        )
    };
    Err(("cannot execute the copy", memfd::exec(program, argv, envp)))
}

/// Whether this is the copy, and says what it is worth.
fn stands(me: &OwnedFd) -> Result<bool, Failed> {
    let clone = me
        .try_clone()
        .map_err(|errno| ("cannot duplicate", errno))?;
    match Frozen::verify(clone) {
        Ok(frozen) => {
            say(format_args!(
                "running from a sealed memfd: {:?}",
                frozen.seals()
            ));
            if !frozen.seals().contains(Seals::EXEC) {
                say(format_args!(
                    "its mode can still be changed (Linux before 6.3)"
                ));
            }
            return Ok(true);
        }
        // Sealed by this program, in one go with the others: nobody had it
        // mapped, and nobody wants to map it. It only has to be this one.
        Err(refused) if refused.why == NotFrozen::ImpliedByExec => {
            let seals = memfd::fcntl_get_seals(me).map_err(|errno| ("no seals", errno))?;
            say(format_args!("running from a sealed memfd: {seals:?}"));
            return Ok(seals.contains(Seals::IMMUTABLE | Seals::EXEC));
        }
        Err(_) => {}
    }
    let stat = fs::fstat(me).map_err(|errno| ("cannot look at the executable", errno))?;
    if stat.st_nlink == 0 {
        say(format_args!(
            "running from a file without a name, which is not sealed"
        ));
        return Ok(true);
    }
    Ok(false)
}

fn seal(memfd: Memfd, applied: Applied) -> Result<Frozen, Failed> {
    let extra = match applied {
        Applied::AsAsked => Seals::EXEC,
        Applied::WithoutExec => {
            say(format_args!(
                "memfd_create does not know MFD_EXEC: without F_SEAL_EXEC"
            ));
            Seals::empty()
        }
    };
    memfd
        .freeze_with(extra)
        .map_err(|refused| ("cannot seal the copy", refused.why.into()))
}

fn open(path: &core::ffi::CStr) -> Result<OwnedFd, Errno> {
    fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn copy_all<From: AsFd, To: AsFd>(from: From, to: To) -> Result<(), Errno> {
    let mut buf = [0; 16 * 1024];
    loop {
        let n = io::retry_on_intr(|| io::read(&from, &mut buf))?;
        if n == 0 {
            return Ok(());
        }
        io::write_all(&to, buf.get(..n).unwrap_or_default())?;
    }
}
