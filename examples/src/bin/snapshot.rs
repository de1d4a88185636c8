//! A process's memory, saved into a file and restored in another process, page
//! by page as that touches it, by a handler in a third. The handler is killed
//! in the middle, as often as wanted; the next one goes on, and the process
//! whose memory it is has noticed nothing but a pause. Every byte is checked.
//!
//! Four processes: one fills memory and saves it; one has the memory restored
//! and reads it; the handlers, one after the other; and the keeper, which
//! starts them all and has the descriptor that outlives each handler.
#![no_std]
#![no_main]

use barecall::errno::Errno;
use barecall::event;
use barecall::fd::OwnedFd;
use barecall::fs::{self, Mode, OFlags};
use barecall::io;
use barecall::memfd::MemfdOptions;
use barecall::net::{SocketFlags, SocketType, socketpair};
use barecall::pager::handoff::{self, Keeper};
use barecall::pager::{FileSource, Pager, PagerOptions, Region};
use barecall::process::Pid;
use barecall::rt::Start;
use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
use barecall_examples::paging::{
    Failure, child, goes_on, killed, known, of, read_all, status, succeeded, userfaultfd,
};
use barecall_examples::{Lossy, Out, help, misused, number};
use core::ffi::CStr;
use core::fmt::Write as _;
use core::time::Duration;

barecall::entry!(main);

const TOOL: &str = "snapshot";

const USAGE: &str = "\
usage: snapshot [-k TIMES] [-m MIB] [FILE]
Fills memory in one process, saves it into FILE (without one, into a file in
memory), and restores it in another process, lazily, by a handler in a third.
Checks every byte.
  -k TIMES  kill the handler so many times in the middle (0 to 100; else 2)
  -m MIB    how much memory (1 to 4096; else 8)
Exit status: 0 if every byte was right, 1 if not, 2 if it could not be tried.
";

const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

#[derive(Clone, Copy)]
struct Job {
    kills: u32,
    len: usize,
    file: Option<&'static CStr>,
}

fn main(start: Start) -> i32 {
    if let Some(status) = help(start, USAGE) {
        return status;
    }
    let Some(job) = parse(start) else {
        return misused(USAGE);
    };
    let page_size = start.auxv().page_size().unwrap_or(4096);
    match status(TOOL, keep(&job, page_size)) {
        0 => report(&job, page_size),
        failed => failed,
    }
}

fn parse(start: Start) -> Option<Job> {
    let mut job = Job {
        kills: 2,
        len: 8 << 20,
        file: None,
    };
    let mut args = start.args().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_bytes() {
            b"-k" => job.kills = number(args.next()?.to_bytes(), 0, 100)?,
            b"-m" => job.len = (number(args.next()?.to_bytes(), 1, 4096)? as usize) << 20,
            [b'-', ..] | [] => return None,
            _ if job.file.is_some() => return None,
            _ => job.file = Some(arg),
        }
    }
    Some(job)
}

/// Starts the others, and keeps the descriptor while handlers come and go.
fn keep(job: &Job, page_size: usize) -> Result<(), Failure> {
    let file = match job.file {
        Some(path) => {
            let flags = OFlags::RDWR | OFlags::CREAT | OFlags::TRUNC | OFlags::CLOEXEC;
            let mode = Mode::from_bits_retain(0o600);
            fs::openat(fs::CWD, path, flags, mode).map_err(of("open"))?
        }
        None => MemfdOptions::new()
            .create_or_legacy(c"snapshot")
            .map_err(of("memfd_create"))?
            .0
            .into(),
    };
    // SAFETY: there are no threads.
    let saver = unsafe { child(TOOL, || save(&file, job.len)) }?;
    succeeded("the process that saves", saver)?;

    let (here, there) =
        socketpair(SocketType::STREAM, SocketFlags::CLOEXEC).map_err(of("socket"))?;
    let (progress, told) = io::pipe2(io::PipeFlags::CLOEXEC).map_err(of("pipe"))?;
    // SAFETY: there are no threads.
    let reader = unsafe { child(TOOL, || read(job, page_size, &there, &told)) }?;
    // So that the pipe ends when the reader does.
    drop((there, told));

    let mut room = [Region::EMPTY; 4];
    let received = handoff::receive(&here, &mut room, PATIENCE)?;
    let keeper = Keeper::new(received.userfaultfd);
    let regions = received.table.regions();
    let mut kills = job.kills;
    loop {
        let handler = start_handler(&file, page_size, &keeper, regions)?;
        let more = goes_on(&progress)?;
        killed("the handler", handler)?;
        if !more {
            break;
        }
        kills = kills.saturating_sub(1);
    }
    succeeded("the process that reads", reader)?;
    // Its memory is gone, and nobody waits any more.
    drop(keeper.release());
    match kills {
        0 => Ok(()),
        _ => Err(Failure::Os("too few handlers", Errno::ECHILD)),
    }
}

/// The first process: has memory, and saves it.
fn save(file: &OwnedFd, len: usize) -> Result<(), Failure> {
    let memory = known(len)?;
    let mut offset = 0;
    while let Some(rest) = memory.get(offset..).filter(|rest| !rest.is_empty()) {
        offset +=
            io::retry_on_intr(|| io::pwrite(file, rest, offset as u64)).map_err(of("write"))?;
    }
    Ok(())
}

/// The second process: its memory is restored while it reads.
fn read(job: &Job, page_size: usize, keeper: &OwnedFd, told: &OwnedFd) -> Result<(), Failure> {
    let uffd = userfaultfd(UserfaultfdOptions::new())?;
    let memory =
        MappedRegion::anonymous(&uffd, job.len, RegisterModes::MISSING).map_err(of("memory"))?;
    let regions = [Region::new(memory.range(), 0, page_size)];
    handoff::send(keeper, &uffd, &regions, PATIENCE)?;

    read_all(&memory, page_size, job.kills, told)
}

/// Starts a handler, and hands the memory to it.
fn start_handler(
    file: &OwnedFd,
    page_size: usize,
    keeper: &Keeper,
    regions: &[Region],
) -> Result<Pid, Failure> {
    let (here, there) =
        socketpair(SocketType::STREAM, SocketFlags::CLOEXEC).map_err(of("socket"))?;
    // SAFETY: there are no threads.
    let handler = unsafe { child(TOOL, || handle(file, page_size, &there)) }?;
    keeper.send(&here, regions, PATIENCE)?;
    Ok(handler)
}

/// The third process, until it is killed.
fn handle(file: &OwnedFd, page_size: usize, socket: &OwnedFd) -> Result<(), Failure> {
    let mut room = [Region::EMPTY; 4];
    let received = handoff::receive(socket, &mut room, PATIENCE)?;
    // What the handler before had read and not resolved, comes again. No events
    // were asked for, so nothing else can be lost.
    let _ =
        handoff::attach(&received.userfaultfd, received.table.regions()).map_err(of("attach"))?;
    let source = FileSource(file);
    let options = PagerOptions::new(page_size);
    let pager = Pager::new(&received.userfaultfd, &source, received.table, options)?;
    pager.serve(&mut [0; 64 << 10])?;
    // The reader has ended, and the keeper will kill this process too.
    event::poll(&mut [], None).map_err(of("poll"))?;
    Ok(())
}

fn report(job: &Job, page_size: usize) -> i32 {
    // SAFETY: descriptor 1 is standard output from the start.
    let mut out = Out::new(unsafe { io::stdout() });
    let (mib, pages) = (job.len >> 20, job.len / page_size);
    let file = job.file.map_or(&b"memory"[..], CStr::to_bytes);
    let _ = writeln!(
        out,
        "{mib} MiB saved into {} and restored: {pages} pages right, {} handlers killed",
        Lossy(file),
        job.kills
    );
    i32::from(out.flush().is_err())
}
