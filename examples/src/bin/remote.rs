//! Memory that arrives while it is used: a process runs at once on memory that
//! another one has, and each page comes over a socket when it is touched
//! (post-copy). The server is killed and started again in the middle, as often
//! as wanted; who waits for a page waits a little longer. Every byte is checked.
#![no_std]
#![no_main]

use barecall::errno::Errno;
use barecall::fd::{AsFd, BorrowedFd, OwnedFd};
use barecall::io::{self, IoSlice};
use barecall::net::{self, MsgFlags, SendControl, SocketFlags, SocketType, UnixAddr};
use barecall::pager::{
    At, Fill, PageSource, Pager, PagerError, PagerOptions, Region, RegionTable, Stats,
};
use barecall::process;
use barecall::rt::Start;
use barecall::thread;
use barecall::userfaultfd::{MappedRegion, RegisterModes, UserfaultfdOptions};
use barecall_examples::paging::{
    Failure, child, goes_on, killed, known, of, read_all, status, succeeded, userfaultfd,
};
use barecall_examples::{Out, help, misused, number};
use core::fmt::Write as _;
use core::sync::atomic::{AtomicI32, Ordering};

barecall::entry!(main);

const TOOL: &str = "remote";

const USAGE: &str = "\
usage: remote [-k TIMES] [-m MIB]
Uses memory that a server has, page by page over a socket, as it is touched.
Checks every byte.
  -k TIMES  kill the server so many times in the middle (0 to 100; else 2)
  -m MIB    how much memory (1 to 4096; else 8)
Exit status: 0 if every byte was right, 1 if not, 2 if it could not be tried.
";

/// What one fault brings in, and the most that is asked for at once.
const BLOCK: usize = 64 << 10;

#[derive(Clone, Copy)]
struct Job {
    kills: u32,
    len: usize,
}

fn main(start: Start) -> i32 {
    if let Some(status) = help(start, USAGE) {
        return status;
    }
    let Some(job) = parse(start) else {
        return misused(USAGE);
    };
    let page_size = start.auxv().page_size().unwrap_or(4096);
    status(TOOL, supervise(&job, page_size))
}

fn parse(start: Start) -> Option<Job> {
    let mut job = Job {
        kills: 2,
        len: 8 << 20,
    };
    let mut args = start.args().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_bytes() {
            b"-k" => job.kills = number(args.next()?.to_bytes(), 0, 100)?,
            b"-m" => job.len = (number(args.next()?.to_bytes(), 1, 4096)? as usize) << 20,
            _ => return None,
        }
    }
    Some(job)
}

/// Starts both sides, and kills the server when it is told to.
fn supervise(job: &Job, page_size: usize) -> Result<(), Failure> {
    let mut name = *b"barecall-remote-\0\0\0\0";
    if let Some(place) = name.last_chunk_mut() {
        *place = process::getpid().as_raw().to_ne_bytes();
    }
    let addr = UnixAddr::new_abstract(&name).ok_or(Failure::Os("address", Errno::ENAMETOOLONG))?;
    let (progress, told) = io::pipe2(io::PipeFlags::CLOEXEC).map_err(of("pipe"))?;
    // SAFETY: there are no threads.
    let user = unsafe { child(TOOL, || run(job, page_size, &addr, &told)) }?;
    // So that the pipe ends when the user of the memory does.
    drop(told);
    loop {
        // SAFETY: there are no threads.
        let server = unsafe { child(TOOL, || serve(job.len, &addr)) }?;
        let more = goes_on(&progress)?;
        killed("the server", server)?;
        if !more {
            break;
        }
    }
    succeeded("the process with the memory", user)
}

/// Writes all of it, without a signal when nobody reads any more.
fn send(socket: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let bufs = [IoSlice::new(bytes)];
        let send = || net::sendmsg(socket, &bufs, &SendControl::NONE, MsgFlags::NOSIGNAL);
        let sent = io::retry_on_intr(send)?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Reads until `into` is full.
fn receive(socket: BorrowedFd<'_>, mut into: &mut [u8]) -> Result<(), Errno> {
    while !into.is_empty() {
        match io::retry_on_intr(|| io::read(socket, into))? {
            0 => return Err(Errno::ECONNRESET),
            count => into = into.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// The server: has the memory, and sends what it is asked for. A question is an
/// offset and a length, 8 bytes each; the answer is the bytes.
fn serve(len: usize, addr: &UnixAddr) -> Result<(), Failure> {
    let memory = known(len)?;
    let socket = net::socket(SocketType::STREAM, SocketFlags::CLOEXEC).map_err(of("socket"))?;
    net::bind(&socket, addr).map_err(of("bind"))?;
    net::listen(&socket, 8).map_err(of("listen"))?;
    loop {
        let accept = || net::accept4(&socket, SocketFlags::CLOEXEC);
        let peer = io::retry_on_intr(accept).map_err(of("accept"))?;
        // Until it goes away, or asks for what there is not.
        while answer(peer.as_fd(), memory).is_ok() {}
    }
}

fn answer(peer: BorrowedFd<'_>, memory: &[u8]) -> Result<(), Errno> {
    let mut question = [0; 16];
    receive(peer, &mut question)?;
    let (offset, len) = question.split_first_chunk().ok_or(Errno::EPROTO)?;
    let offset = usize::try_from(u64::from_le_bytes(*offset)).map_err(|_| Errno::EPROTO)?;
    let len = len.first_chunk().ok_or(Errno::EPROTO)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| Errno::EPROTO)?;
    let there = memory.get(offset..).and_then(|rest| rest.get(..len));
    send(peer, there.ok_or(Errno::EPROTO)?)
}

/// Pages from the server: one connection, made again when it breaks.
struct Remote<'a> {
    addr: &'a UnixAddr,
    /// The descriptor, or -1: who uses it takes it out.
    connection: AtomicI32,
    connected: AtomicI32,
}

impl Remote<'_> {
    fn connection(&self) -> Result<OwnedFd, Errno> {
        let kept = self.connection.swap(-1, Ordering::AcqRel);
        if kept >= 0 {
            // SAFETY: put there below, and taken out once.
            return Ok(unsafe { OwnedFd::from_raw_fd(kept) });
        }
        let socket = net::socket(SocketType::STREAM, SocketFlags::CLOEXEC)?;
        net::connect(&socket, self.addr)?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Ok(socket)
    }

    fn fetch(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        let connection = self.connection()?;
        let mut question = [0; 16];
        let (place, rest) = question.split_at_mut(8);
        place.copy_from_slice(&offset.to_le_bytes());
        rest.copy_from_slice(&(into.len() as u64).to_le_bytes());
        send(connection.as_fd(), &question)?;
        receive(connection.as_fd(), into)?;
        // Only what is in order is used again; with an error it is closed.
        let kept = self
            .connection
            .swap(connection.into_raw_fd(), Ordering::AcqRel);
        if kept >= 0 {
            // SAFETY: another handler's, taken out once.
            drop(unsafe { OwnedFd::from_raw_fd(kept) });
        }
        Ok(())
    }
}

impl PageSource for Remote<'_> {
    fn page<'s>(&'s self, at: At, into: &'s mut [u8]) -> Fill<'s> {
        match self.fetch(at.offset, into) {
            Ok(()) => Fill::Bytes,
            // The pager asks again, after 1 ms and ever more rarely: until the
            // server is there.
            Err(errno) => Fill::Failed(errno),
        }
    }
}

/// The process that uses the memory: one thread reads it, one serves.
fn run(job: &Job, page_size: usize, addr: &UnixAddr, told: &OwnedFd) -> Result<(), Failure> {
    let uffd = userfaultfd(UserfaultfdOptions::new())?;
    let memory =
        MappedRegion::anonymous(&uffd, job.len, RegisterModes::MISSING).map_err(of("memory"))?;
    let mut room = [Region::EMPTY; 4];
    let mut table = RegionTable::new(&mut room);
    let region = Region::new(memory.range(), 0, page_size);
    table.insert(region).map_err(PagerError::Table)?;
    let source = Remote {
        addr,
        connection: AtomicI32::new(-1),
        connected: AtomicI32::new(0),
    };
    let options = PagerOptions::new(page_size).block(BLOCK.max(page_size));
    let pager = Pager::new(&uffd, &source, table, options)?;
    let handle = || pager.serve(&mut [0; BLOCK]);
    // SAFETY: joined below, before what it borrows ends; there is no libc.
    let handler = unsafe { thread::spawn_unchecked(256 << 10, handle) }.map_err(of("thread"))?;
    let read = read_all(&memory, page_size, job.kills, told);
    pager.stop();
    handler.join().map_err(of("join"))??;
    let stats = pager.stats();
    read?;
    drop(memory);
    pager.shutdown();
    report(job, page_size, &stats, source.connected.into_inner())
}

fn report(job: &Job, page_size: usize, stats: &Stats, connected: i32) -> Result<(), Failure> {
    // SAFETY: descriptor 1 is standard output from the start.
    let mut out = Out::new(unsafe { io::stdout() });
    let (mib, pages) = (job.len >> 20, job.len / page_size);
    let _ = writeln!(
        out,
        "{mib} MiB from another process: {pages} pages right, {} faults, {} answers missed, {} servers killed, {connected} connections",
        stats.missing, stats.failed, job.kills
    );
    out.flush().map_err(of("standard output"))
}
