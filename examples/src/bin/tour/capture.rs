//! Runs a command with its standard output in a memfd.

use crate::{During, Stop};
use barecall::Errno;
use barecall::fd::AsFd as _;
use barecall::fs::{self, FdPath};
use barecall::io::{self, DupFlags, PipeFlags};
use barecall::memfd::MemfdOptions;
use barecall::process::{self, CStrArray, CStrings, WaitOptions, WaitStatus, WaitTarget};
use barecall::rt::Start;
use barecall_examples::{Lossy, Out};
use core::fmt::Write as _;

pub fn run(start: &Start, out: &mut Out<'_>) -> Result<(), Stop> {
    // A kernel before 6.3 makes it without the seal against execution.
    let (memfd, _) = MemfdOptions::new()
        .create_or_legacy(c"tour")
        .during("memfd_create")?;

    // SAFETY: the strings that the program was started with, which stay.
    let (args, envp) = unsafe {
        let mut args = CStrArray::from_ptr(start.argv()).iter();
        args.next();
        (args, CStrArray::from_ptr(start.envp()))
    };
    let date = CStrings::new([c"/bin/date"]);
    let argv = match args.clone().next() {
        Some(_) => args.as_array(),
        None => date.as_array(),
    };
    let command = argv.iter().next().unwrap_or(c"");
    let path = start.var("PATH").unwrap_or(c"/bin:/usr/bin").to_bytes();

    // The child tells through it why it could not execute the command; when it
    // can, close-on-exec makes it the end of the file.
    let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).during("pipe2")?;

    // SAFETY: the child calls nothing but the kernel, and ends.
    let child = match unsafe { process::fork() }.during("fork")? {
        Some(child) => child,
        None => {
            // SAFETY: in the child, 1 belongs to nobody.
            let errno = match unsafe { io::dup3_raw(&memfd, 1, DupFlags::empty()) } {
                Ok(()) => process::execve_search(command, path, argv, envp),
                Err(errno) => errno,
            };
            let _ = io::write(&writer, &errno.raw().to_ne_bytes());
            process::exit_group(127)
        }
    };
    drop(writer);

    let mut failure = [0; 4];
    let told = io::retry_on_intr(|| io::read(&reader, &mut failure)).during("read")?;
    let status = io::retry_on_intr(|| process::wait4(WaitTarget::Pid(child), WaitOptions::empty()))
        .during("wait4")?;
    if told == failure.len()
        && let Some(errno) = Errno::new(i32::from_ne_bytes(failure))
    {
        let _ = writeln!(out, "   {}: {errno}", Lossy(command.to_bytes()));
        return Err(Stop::NoCommand);
    }

    let mut buf = [0; 4096];
    match fs::readlinkat(fs::CWD, &FdPath::process(&memfd), &mut buf) {
        Ok(link) => {
            let _ = writeln!(
                out,
                "   Descriptor {} is {}",
                memfd.as_fd().as_raw_fd(),
                Lossy(link)
            );
        }
        Err(errno) => {
            let _ = writeln!(out, "   No link text without /proc: {errno}");
        }
    }

    let size = fs::fstat(&memfd).during("fstat")?.st_size;
    let _ = writeln!(
        out,
        "   {} said, in {size} bytes:",
        Lossy(command.to_bytes())
    );
    // Positional: the child moved the offset, which the two share.
    let mut offset = 0;
    let mut last = b'\n';
    loop {
        let n = io::retry_on_intr(|| io::pread(&memfd, &mut buf, offset)).during("pread")?;
        let Some(said) = buf.get(..n).filter(|said| !said.is_empty()) else {
            break;
        };
        out.bytes(said);
        last = *said.last().unwrap_or(&last);
        offset += n as u64;
    }
    if last != b'\n' {
        out.bytes(b"\n");
    }

    let _ = match status.map(|(_, status)| status) {
        Some(WaitStatus::Exited(status)) => writeln!(out, "   It exited with status {status}."),
        Some(WaitStatus::Killed { signal, .. }) => {
            writeln!(out, "   It was killed by {signal}.")
        }
        _ => writeln!(out, "   How it ended is not known."),
    };
    Ok(())
}
