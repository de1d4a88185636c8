//! Which open files are shared, between descriptors and between processes.
//!
//! As lsof lists what is open, this lists what is *one* open file in several
//! places: made by `dup`, by `fork`, or sent over a socket. Whoever holds it
//! shares the offset, the status flags and the locks. Two opens of one file look
//! the same in /proc; here they are two lines, numbered.
//!
//! ```text
//!  FDS PROCS   OPEN  NAME  WHO
//!    6     2   1/2   /var/log/app.log  812/app:1-2,7  813/worker:1-2,7
//!    2     2   2/2   /var/log/app.log  940/tail:3  941/less:4
//! ```
#![no_std]
#![no_main]

use barecall::errno::Errno;
use barecall::fs::{self, AtFlags, DecInt};
use barecall::io;
use barecall::kcmp::proc::Proc;
use barecall::kcmp::{
    DeniedBy, Entry, Kind, Resource, classify, classify_by, denied_by, kcmp_file, members,
};
use barecall::mm::{self, MapFlags, MremapFlags, ProtFlags};
use barecall::process::{Pid, getpid};
use barecall::rt::Start;
use barecall_examples::{Out, misused};
use core::fmt::{self, Write as _};
use core::ops::{Deref, DerefMut};

barecall::entry!(main);

const USAGE: &str = "\
usage: fdshare [-a] [PID...]
Lists the open files that are shared between descriptors or processes, among the
given processes (or threads), or among all.
  -a  list those that are not shared, too
FDS    how many descriptors are this open file
PROCS  how many processes have one
OPEN   which of several opens of one file
WHO    process/name:descriptors
Exit status: 0, 1 if a given process is gone or may not be looked into, 2 if
nothing can be told.
";

/// A process, and what became of it.
#[derive(Clone, Copy)]
struct Process {
    pid: Pid,
    name: [u8; 16],
    fds: usize,
    state: State,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)?;
        match self.name.split(|&byte| byte == 0).next() {
            Some(name) if !name.is_empty() => write!(f, "/{}", Text(name)),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Listed,
    /// Its descriptor table is that of another one.
    SharesTable(Pid),
    Failed(Errno),
}

/// A descriptor of one of the processes, and the file that it is of.
#[derive(Clone, Copy)]
struct Open {
    process: usize,
    pid: Pid,
    fd: i32,
    dev: u64,
    ino: u64,
}

impl Open {
    /// Equal for the same file, and never 0.
    fn key(dev: u64, ino: u64) -> u64 {
        (ino.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ dev.rotate_left(32)).max(1)
    }
}

fn main(start: Start) -> i32 {
    // SAFETY: written to only; if 1 or 2 is closed, writing fails.
    let (mut out, mut err) = unsafe { (Out::new(io::stdout()), Out::new(io::stderr())) };
    let status = run(start, &mut out).unwrap_or_else(|errno| {
        let _ = match (errno, denied_by(Kind::FILE)) {
            (_, DeniedBy::Filter(errno)) => {
                writeln!(
                    err,
                    "fdshare: a filter or the kernel does not allow kcmp: {errno}"
                )
            }
            _ => writeln!(err, "fdshare: {errno}"),
        };
        2
    });
    let _ = err.flush();
    match out.flush() {
        Ok(()) => status,
        Err(_) => 2,
    }
}

fn run(start: Start, out: &mut Out<'_>) -> Result<i32, Errno> {
    let mut all = false;
    let mut pids: Table<Pid> = Table::new();
    for arg in start.args().skip(1) {
        match arg.to_bytes() {
            b"-a" => all = true,
            b"-h" | b"--help" => {
                out.bytes(USAGE.as_bytes());
                return Ok(0);
            }
            number => {
                let number = str::from_utf8(number)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let Some(pid) = number.and_then(Pid::from_raw) else {
                    return Ok(misused(USAGE));
                };
                // Twice the same process would share all it has with itself.
                if !pids.contains(&pid) {
                    pids.push(pid)?;
                }
            }
        }
    }
    if let DeniedBy::Filter(errno) = denied_by(Kind::FILE) {
        return Err(errno);
    }
    let proc = Proc::open()?;
    let named = !pids.is_empty();
    if !named {
        let mut buf = [0; 4096];
        for pid in proc.processes(&mut buf)? {
            let pid = pid?;
            if pid != getpid() {
                pids.push(pid)?;
            }
        }
    }

    let mut processes = find_tables(&pids)?;
    let mut files: Table<Entry<Open>> = Table::new();
    for (index, process) in processes.iter_mut().enumerate() {
        if let Err(errno) = list(&proc, process, index, &mut files)
            && matches!(process.state, State::Listed)
        {
            process.state = State::Failed(errno);
        }
    }
    let classes = classify_by(&mut files, |a, b| kcmp_file(a.pid, a.fd, b.pid, b.fd))?;

    print_files(out, &proc, &processes, &files, classes, all);
    Ok(print_problems(out, &processes, &files, named))
}

/// The processes, with those that share one descriptor table marked.
fn find_tables(pids: &[Pid]) -> Result<Table<Process>, Errno> {
    let mut tables: Table<Entry<Pid>> = Table::new();
    for pid in pids {
        tables.push(Entry::new(*pid))?;
    }
    classify(Resource::FILES, &mut tables)?;
    let mut processes = Table::new();
    for entry in tables.iter() {
        let pid = *entry.item();
        let first = entry
            .class()
            .and_then(|class| members(&tables, class).next())
            .map(|first| *first.item());
        let state = match (first, entry.error()) {
            (_, Some(errno)) => State::Failed(errno),
            (Some(first), None) if first != pid => State::SharesTable(first),
            _ => State::Listed,
        };
        let (name, fds) = ([0; 16], 0);
        processes.push(Process {
            pid,
            name,
            fds,
            state,
        })?;
    }
    Ok(processes)
}

/// Adds the descriptors of a process.
fn list(
    proc: &Proc,
    process: &mut Process,
    index: usize,
    files: &mut Table<Entry<Open>>,
) -> Result<(), Errno> {
    let dir = proc.process(process.pid)?;
    let mut name = [0; 64];
    let name = dir.comm(&mut name)?;
    process
        .name
        .iter_mut()
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    if !matches!(process.state, State::Listed) {
        return Ok(());
    }
    let mut buf = [0; 4096];
    let fds = dir.fds(&mut buf)?;
    let at = fs::openat(
        &dir,
        c"fd",
        fs::OFlags::PATH | fs::OFlags::CLOEXEC,
        fs::Mode::empty(),
    )?;
    for fd in fds {
        let fd = fd?;
        // What cannot be asked for its file (a dead server) is compared with
        // all of its like.
        let (dev, ino) = match fs::statat(&at, &DecInt::new(fd as u64), AtFlags::empty()) {
            Ok(stat) => (stat.st_dev, stat.st_ino),
            Err(Errno::ENOENT) => continue,
            Err(_) => (0, 0),
        };
        let open = Open {
            process: index,
            pid: process.pid,
            fd,
            dev,
            ino,
        };
        let key = if (dev, ino) == (0, 0) {
            0
        } else {
            Open::key(dev, ino)
        };
        files.push(Entry::with_key(open, key))?;
        process.fds += 1;
    }
    Ok(())
}

fn print_files(
    out: &mut Out<'_>,
    proc: &Proc,
    processes: &[Process],
    files: &[Entry<Open>],
    classes: usize,
    all: bool,
) {
    let file_of = |class| {
        let first = members(files, class).next()?;
        Some((first.item().dev, first.item().ino))
    };
    let mut class = 0;
    let _ = writeln!(out, " FDS PROCS   OPEN  NAME  WHO");
    while class < classes {
        // Opens of one file have one key, and stand together.
        let opens = (class..classes)
            .take_while(|other| file_of(*other) == file_of(class))
            .count()
            .max(1);
        for open in 0..opens {
            let holders = || members(files, class + open).map(Entry::item);
            let descriptors = holders().count();
            if descriptors > 1 || all {
                let mut name = [0; 4096];
                let name = name_of(proc, holders(), &mut name);
                // These have one inode for all of them, and are no opens of it.
                let one_file = opens > 1 && !name.starts_with(b"anon_inode:");
                let _ = write!(out, "{descriptors:4} {:5} ", owners(holders()));
                let _ = match one_file {
                    true => write!(out, "{:>3}/{:<3} ", open + 1, opens),
                    false => write!(out, "      -  "),
                };
                let _ = write!(out, "{}", Text(name));
                print_holders(out, processes, holders());
            }
        }
        class += opens;
    }
}

/// How many processes there are among them, which stand together.
fn owners<'a>(holders: impl Iterator<Item = &'a Open>) -> usize {
    let mut last = None;
    holders
        .filter(|open| last.replace(open.process) != Some(open.process))
        .count()
}

/// What the first of them that is still there calls it.
fn name_of<'a, 'buf>(
    proc: &Proc,
    holders: impl Iterator<Item = &'a Open>,
    buf: &'buf mut [u8],
) -> &'buf [u8] {
    let length = holders
        .filter_map(|open| {
            let process = proc.process(open.pid).ok()?;
            process.link(open.fd, buf).ok().map(<[u8]>::len)
        })
        .next();
    match length {
        Some(length) => buf.get(..length).unwrap_or_default(),
        None => b"(closed meanwhile)",
    }
}

/// ` PID/name:FD-FD,FD`, for each process.
fn print_holders<'a>(
    out: &mut Out<'_>,
    processes: &[Process],
    mut holders: impl Iterator<Item = &'a Open>,
) {
    let Some(mut first) = holders.next() else {
        return;
    };
    let mut end = first.fd;
    let mut separator = true;
    loop {
        let next = holders.next();
        if let Some(open) = next
            && open.process == first.process
            && Some(open.fd) == end.checked_add(1)
        {
            end = open.fd;
            continue;
        }
        if separator {
            let _ = match processes.get(first.process) {
                Some(process) => write!(out, "  {process}:"),
                None => write!(out, "  {}:", first.pid),
            };
        } else {
            out.bytes(b",");
        }
        let _ = match end == first.fd {
            true => write!(out, "{end}"),
            false => write!(out, "{}-{end}", first.fd),
        };
        let Some(open) = next else {
            break;
        };
        separator = open.process != first.process;
        (first, end) = (open, open.fd);
    }
    out.bytes(b"\n");
}

/// Says what is not in the list, and gives the exit status.
fn print_problems(
    out: &mut Out<'_>,
    processes: &[Process],
    files: &[Entry<Open>],
    named: bool,
) -> i32 {
    let mut status = 0;
    for process in processes {
        match process.state {
            State::Listed => {}
            State::SharesTable(other) => {
                // Those without descriptors (zombies, kernel threads) do not count.
                if processes
                    .iter()
                    .any(|first| first.pid == other && first.fds > 0)
                {
                    let _ = writeln!(out, "{process} has the descriptor table of {other}");
                }
            }
            State::Failed(errno) => {
                status = i32::from(named);
                let why = match errno {
                    Errno::ESRCH | Errno::ENOENT => "is gone",
                    Errno::EPERM | Errno::EACCES => "may not be looked into",
                    _ => "cannot be listed",
                };
                // Of all processes, it is normal that some end meanwhile.
                let _ = writeln!(out, "{process} {why} ({errno:?})");
            }
        }
    }
    for entry in files {
        if let Some(errno) = entry.error() {
            let open = entry.item();
            let _ = writeln!(
                out,
                "{}:{} was closed meanwhile ({errno:?})",
                open.pid, open.fd
            );
        }
    }
    status
}

/// A name as text of one line, without anything that a terminal obeys.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char.is_control() {
                    true => write!(f, "{}", char.escape_default())?,
                    false => f.write_char(char)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// A vector, in a mapping that grows.
struct Table<T> {
    start: *mut T,
    length: usize,
    bytes: usize,
}

impl<T> Table<T> {
    const fn new() -> Self {
        Self {
            start: core::ptr::NonNull::dangling().as_ptr(),
            length: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, item: T) -> Result<(), Errno> {
        let needed = size_of::<T>()
            .checked_mul(self.length + 1)
            .ok_or(Errno::ENOMEM)?;
        if needed > self.bytes {
            let bytes = (self.bytes * 2).max(64 * 1024);
            // SAFETY: a new mapping, or ours, which may move because `self` is
            // borrowed exclusively.
            let start = unsafe {
                if self.bytes == 0 {
                    let prot = ProtFlags::READ | ProtFlags::WRITE;
                    mm::mmap_anonymous(core::ptr::null_mut(), bytes, prot, MapFlags::PRIVATE)?
                } else {
                    mm::mremap(self.start.cast(), self.bytes, bytes, MremapFlags::MAYMOVE)?
                }
            };
            (self.start, self.bytes) = (start.cast(), bytes);
        }
        // SAFETY: within the mapping, which is aligned to a page.
        unsafe { self.start.add(self.length).write(item) };
        self.length += 1;
        Ok(())
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: that many were written.
        unsafe { core::slice::from_raw_parts(self.start, self.length) }
    }
}

impl<T> DerefMut for Table<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: that many were written, and `self` is borrowed exclusively.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.length) }
    }
}
