//! The tracer: what it says, where it is safe, and where the lines go.

use barecall::arch::Reg;
use barecall::fd::{AsFd as _, OwnedFd};
use barecall::io::{self, PipeFlags};
use barecall::nr::{self, Sysno};
use barecall::process::{self, WaitOptions, WaitStatus, WaitTarget};
use barecall::trace::{self, Filter, RING_LINE, Record, Ring, Slot, Trace};
use barecall::{Errno, fs, syscall};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

thread_local! {
    static TRACE: Cell<Option<&'static Trace>> = const { Cell::new(None) };
}

/// What `trace_sink!` would define, with a tracer for each test.
///
/// # Safety
///
/// Only stubs call it.
#[unsafe(export_name = "__barecall_trace_0_1")]
unsafe extern "C" fn hook(call: &trace::Call) -> Reg {
    static NOBODY: Filter = Filter::none();
    static NOTHING: Trace = Trace::to_fd(-1).filter(&NOBODY);
    let trace = TRACE.try_with(Cell::get).ok().flatten();
    // SAFETY: this is the symbol.
    unsafe { trace::run(trace.unwrap_or(&NOTHING), call) }
}

/// The symbol has the version of the crate.
#[test]
fn the_symbol_is_named_after_the_version() {
    let version = format!(
        "{}_{}",
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR")
    );
    assert_eq!(version, "0_1", "the symbol: arch/*.rs, trace_sink!, here");
}

/// Runs with the calls of this thread told to `trace`.
fn traced<T>(trace: &'static Trace, run: impl FnOnce() -> T) -> T {
    TRACE.set(Some(trace));
    let result = run();
    TRACE.set(None);
    result
}

fn lines(ring: &Ring) -> Vec<String> {
    let mut buf = [0; RING_LINE];
    ring.lines()
        .filter_map(|number| {
            let line = ring.line(number, &mut buf)?;
            Some(String::from_utf8_lossy(line).into_owned())
        })
        .collect()
}

/// The lines of what runs, in a ring of its own.
macro_rules! told {
    ($run:expr) => {{
        static RING: Ring<[Slot; 64]> = Ring::new();
        static TO_RING: Trace = Trace::to_ring(&RING);
        traced(&TO_RING, || $run);
        lines(&RING)
    }};
}

/// A call by number, whatever it answers.
macro_rules! make {
    ($nr:expr $(, $arg:expr)*) => {{
        // SAFETY: harmless, as each test sees to.
        let _ = unsafe { syscall!($nr $(, $arg)*) };
    }};
}

#[test]
fn a_line_has_flags_paths_descriptors_and_errors_by_name() {
    let said = told!({
        let flags = fs::OFlags::WRONLY | fs::OFlags::CREAT | fs::OFlags::CLOEXEC;
        let mode = fs::Mode::RUSR | fs::Mode::WUSR;
        let _ = fs::openat(fs::CWD, c"/no/such/\n\"file\"", flags, mode);
        make!(nr::CLOSE, -1);
        make!(nr::MMAP, 0, 0, 3, 0x22, -1, 0x1000);
    });
    assert_eq!(
        said,
        [
            r#"openat(AT_FDCWD, "/no/such/\n\"file\"", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = -1 ENOENT (No such file or directory)"#,
            "close(-1) = -1 EBADF (Bad file descriptor)",
            "mmap(NULL, 0, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x1000) = -1 EINVAL (Invalid argument)",
        ]
    );
}

#[test]
fn bits_without_a_name_are_a_number() {
    let said = told!({
        make!(nr::PIPE2, 0, 0x4000_0000 | 0o2000000);
        make!(nr::KCMP, 1, 1, 99, 0, 0);
    });
    assert_eq!(
        said[0],
        "pipe2(NULL, O_CLOEXEC|0x40000000) = -1 EINVAL (Invalid argument)"
    );
    assert!(
        said[1].starts_with("kcmp(1, 1, 0x63 /* KCMP_??? */) = -1 "),
        "{said:?}"
    );
}

#[test]
fn entries_that_cannot_be_read_are_an_address() {
    use barecall::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
    let flags = fs::OFlags::DIRECTORY | fs::OFlags::CLOEXEC;
    let root = fs::openat(fs::CWD, c"/", flags, fs::Mode::empty()).unwrap();
    const LEN: usize = 65536;
    // To be written only, and so not read by the tracer.
    let prot = ProtFlags::WRITE;
    // SAFETY: a new mapping.
    let room =
        unsafe { mmap_anonymous(std::ptr::null_mut(), LEN, prot, MapFlags::PRIVATE) }.unwrap();
    let said = told!(make!(nr::GETDENTS64, root.as_fd(), room, LEN));
    let [said] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(!said.contains("entries"), "{said}");
    assert!(!said.contains(") = -1 "), "{said}");
    // SAFETY: ours, and not used any more.
    unsafe { munmap(room, LEN) }.unwrap();
}

#[test]
fn a_call_that_no_kernel_has_is_a_number_with_all_its_arguments() {
    let said = told!({
        make!(100_000);
        make!(100_000, 1, 0, -1);
        make!(100_000, 1, 2, 3, 4, 5, 6);
    });
    assert_eq!(
        said,
        [
            "syscall_0x186a0() = -1 ENOSYS (Function not implemented)",
            "syscall_0x186a0(0x1, 0, 0xffffffffffffffff) = -1 ENOSYS (Function not implemented)",
            "syscall_0x186a0(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (Function not implemented)",
        ]
    );
}

#[test]
fn a_pointer_to_nothing_is_shown_and_not_followed() {
    // A page, and behind it one that cannot be read.
    // SAFETY: a new mapping.
    let page = unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            2 * 65536,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(page, libc::MAP_FAILED);
        assert_eq!(
            libc::mprotect(page.byte_add(65536), 65536, libc::PROT_NONE),
            0
        );
        page.byte_add(65536 - 4).cast::<u8>()
    };
    // SAFETY: four bytes, the last of the page.
    unsafe { page.copy_from_nonoverlapping(c"end".as_ptr().cast(), 4) };
    let nothing = std::ptr::without_provenance::<u8>(0x10);
    let said = told!({
        make!(nr::UNLINKAT, -100, nothing, 0);
        make!(nr::UNLINKAT, -100, 0, 0);
        make!(nr::WRITE, -1, nothing, 5);
        make!(nr::READ, -1, nothing, 5);
        make!(nr::RT_SIGPROCMASK, 7, nothing, nothing, 8);
        make!(nr::EXECVE, nothing, nothing, nothing);
        make!(nr::UNLINKAT, -100, page, 0x4000_0000);
        make!(nr::UNLINKAT, -100, page.wrapping_add(4), 0);
        // SAFETY: as above; now without its NUL.
        unsafe { page.add(3).write(b'!') };
        make!(nr::UNLINKAT, -100, page, 0x4000_0000);
    });
    let address = |by: usize| format!("{:#x}", page.addr() + by);
    let wanted = [
        "unlinkat(AT_FDCWD, 0x10, 0) = -1 EFAULT (Bad address)".to_owned(),
        "unlinkat(AT_FDCWD, NULL, 0) = -1 EFAULT (Bad address)".to_owned(),
        "write(-1, 0x10, 5) = -1 EBADF (Bad file descriptor)".to_owned(),
        "read(-1, 0x10, 5) = -1 EBADF (Bad file descriptor)".to_owned(),
        "rt_sigprocmask(0x7 /* SIG_??? */, 0x10, 0x10, 8) = -1 EFAULT (Bad address)".to_owned(),
        "execve(0x10, 0x10, 0x10) = ?".to_owned(),
        "execve(0x10, 0x10, 0x10) = -1 EFAULT (Bad address)".to_owned(),
        "unlinkat(AT_FDCWD, \"end\", 0x40000000) = -1 EINVAL (Invalid argument)".to_owned(),
        format!(
            "unlinkat(AT_FDCWD, {}, 0) = -1 EFAULT (Bad address)",
            address(4)
        ),
        format!(
            "unlinkat(AT_FDCWD, {}, 0x40000000) = -1 EINVAL (Invalid argument)",
            address(0)
        ),
    ];
    for (said, wanted) in said.iter().zip(&wanted) {
        assert_eq!(said, wanted);
    }
    assert_eq!(said.len(), wanted.len(), "{said:#?}");
}

#[test]
fn what_is_too_long_is_cut() {
    let path = std::ffi::CString::new(vec![b'x'; 4000]).unwrap();
    static LENGTHS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    fn sink(record: &Record<'_>) {
        LENGTHS.lock().unwrap().push(record.text().len());
        assert!(record.text().ends_with(b"\n"));
    }
    static TO_FN: Trace = Trace::to_fn(sink);
    traced(&TO_FN, || {
        make!(nr::UNLINKAT, -100, path.as_c_str(), 0);
        make!(nr::LINKAT, -100, path.as_c_str(), -100, path.as_c_str(), 0);
    });
    let lengths = LENGTHS.lock().unwrap().clone();
    assert_eq!(lengths.len(), 2);
    assert!(
        lengths.iter().all(|n| (500..=1024).contains(n)),
        "{lengths:?}"
    );
}

#[test]
fn a_ring_keeps_the_last_lines() {
    static RING: Ring<[Slot; 8]> = Ring::new();
    static TO_RING: Trace = Trace::to_ring(&RING);
    traced(&TO_RING, || {
        for fd in -20..0 {
            make!(nr::CLOSE, fd);
        }
    });
    assert_eq!(RING.lines(), 12..20);
    let ring: &Ring = &RING;
    let mut buf = [0; RING_LINE];
    assert_eq!(ring.line(11, &mut buf), None);
    assert_eq!(ring.line(20, &mut buf), None);
    static UNUSED: Ring<[Slot; 8]> = Ring::new();
    let unused: &Ring = &UNUSED;
    assert_eq!(unused.line(u64::MAX, &mut buf), None);
    assert_eq!(unused.line(u64::MAX / 2, &mut buf), None);
    assert_eq!(ring.lost(), 0);
    let wanted: Vec<String> = (-8..0)
        .map(|fd| format!("close({fd}) = -1 EBADF (Bad file descriptor)"))
        .collect();
    assert_eq!(lines(ring), wanted);
}

#[test]
fn a_ring_of_many_threads_has_whole_lines_only() {
    const THREADS: u64 = 4;
    const CALLS: u64 = 500;
    static RING: Ring<[Slot; 16]> = Ring::new();
    static TO_RING: Trace = Trace::to_ring(&RING);
    let is_whole = |line: &str| {
        line.strip_prefix("close(-")
            .and_then(|line| line.strip_suffix(") = -1 EBADF (Bad file descriptor)"))
            .is_some_and(|fd| fd.parse::<u64>().is_ok_and(|fd| fd <= CALLS))
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                traced(&TO_RING, || {
                    for fd in 1..=CALLS as i32 {
                        make!(nr::CLOSE, -fd);
                    }
                });
            });
        }
        for _ in 0..200 {
            for line in lines(&RING) {
                assert!(is_whole(&line), "{line}");
            }
        }
    });
    let ring: &Ring = &RING;
    assert_eq!(ring.lines().end, THREADS * CALLS);
    assert!(lines(ring).iter().all(|line| is_whole(line)));
    assert!(lines(ring).len() as u64 + ring.lost() >= 16);
}

#[test]
fn a_filter_says_which_calls_are_told() {
    static FILTER: Filter = Filter::only(&[nr::CLOSE]);
    static RING: Ring<[Slot; 64]> = Ring::new();
    static TO_RING: Trace = Trace::to_ring(&RING).filter(&FILTER);
    let calls = || {
        make!(nr::CLOSE, -1);
        make!(nr::GETPPID);
        make!(100_000);
    };
    traced(&TO_RING, || {
        calls();
        FILTER.parse("!close").unwrap();
        calls();
        FILTER.parse("none").unwrap();
        calls();
        FILTER.set(Sysno::new(100_000), true);
        calls();
        assert_eq!(
            FILTER.parse("read,no_such_call").unwrap_err().0,
            "no_such_call"
        );
        calls();
    });
    let names: Vec<String> = lines(&RING)
        .iter()
        .map(|line| line.split('(').next().unwrap().to_owned())
        .collect();
    let other = "syscall_0x186a0";
    assert_eq!(names, ["close", "getppid", other, other, other]);
}

#[test]
fn filters_of_lists_are_what_they_say() {
    let only = Filter::only(&[nr::READ, nr::READ, nr::MMAP]);
    let except = Filter::except(&[nr::READ, nr::READ, nr::MMAP]);
    for call in Sysno::iter() {
        let listed = call == nr::READ || call == nr::MMAP;
        assert_eq!(only.contains(call), listed, "{call}");
        assert_eq!(except.contains(call), !listed, "{call}");
        assert!(Filter::all().contains(call) && !Filter::none().contains(call));
    }
    assert_eq!(format!("{:?}", Filter::only(&[nr::KCMP])), "{kcmp}");
}

fn pipe() -> (OwnedFd, OwnedFd) {
    io::pipe2(PipeFlags::CLOEXEC).unwrap()
}

fn drain(reader: &OwnedFd) -> String {
    let mut all = Vec::new();
    let mut buf = [0; 4096];
    loop {
        match io::read(reader, &mut buf).unwrap() {
            0 => return String::from_utf8(all).unwrap(),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}

#[test]
fn a_forked_child_tells_its_own_calls() {
    static FD: AtomicI32 = AtomicI32::new(-1);
    static TO_PIPE: Trace = Trace::to_fd_in(&FD).threads();
    let (reader, writer) = pipe();
    let me = process::gettid();
    let child = traced(&TO_PIPE, || {
        // Nothing is told before there is a descriptor.
        make!(nr::GETPPID);
        FD.store(writer.as_fd().as_raw_fd(), Ordering::Relaxed);
        // SAFETY: the child makes calls and exits.
        let child = match unsafe { process::fork() }.unwrap() {
            None => {
                make!(nr::CLOSE, -2);
                process::exit_group(5)
            }
            Some(child) => child,
        };
        FD.store(-1, Ordering::Relaxed);
        make!(nr::GETPPID);
        child
    });
    let ended = process::wait4(WaitTarget::Pid(child), WaitOptions::empty()).unwrap();
    assert_eq!(ended, Some((child, WaitStatus::Exited(5))));
    drop(writer);
    let said = drain(&reader);
    let of = |pid| -> Vec<&str> {
        let prefix = format!("[pid {pid}] ");
        said.lines()
            .filter_map(|line| line.strip_prefix(prefix.as_str()))
            .collect()
    };
    assert_eq!(
        of(me),
        [format!("clone(child_stack=NULL, flags=SIGCHLD) = {child}")]
    );
    assert_eq!(
        of(child),
        [
            "close(-2) = -1 EBADF (Bad file descriptor)",
            "exit_group(5) = ?"
        ]
    );
    assert_eq!(said.lines().count(), 3);
}

#[test]
fn a_signal_handler_tells_its_calls_before_the_one_that_it_interrupted() {
    extern "C" fn handler(_: i32) {
        make!(nr::CLOSE, -3);
    }
    // SAFETY: nobody else in this program uses the signal.
    unsafe {
        let handler: extern "C" fn(i32) = handler;
        libc::signal(libc::SIGUSR1, handler as libc::sighandler_t);
    }
    let (process, thread) = (process::getpid().as_raw(), process::gettid().as_raw());
    let said = told!(make!(nr::TGKILL, process, thread, libc::SIGUSR1));
    assert_eq!(
        said,
        [
            "close(-3) = -1 EBADF (Bad file descriptor)".to_owned(),
            format!("tgkill({process}, {thread}, SIGUSR1) = 0"),
        ]
    );
}

#[test]
fn the_calls_of_a_sink_are_made_and_not_told() {
    static RECORDS: AtomicUsize = AtomicUsize::new(0);
    static FD: AtomicI32 = AtomicI32::new(-1);
    fn sink(record: &Record<'_>) {
        RECORDS.fetch_add(1, Ordering::Relaxed);
        let text = record.text();
        make!(
            nr::WRITE,
            FD.load(Ordering::Relaxed),
            text.as_ptr(),
            text.len()
        );
    }
    static TO_FN: Trace = Trace::to_fn(sink);
    let (reader, writer) = pipe();
    FD.store(writer.as_fd().as_raw_fd(), Ordering::Relaxed);
    traced(&TO_FN, || {
        make!(nr::CLOSE, -1);
        make!(nr::CLOSE, -2);
    });
    drop(writer);
    assert_eq!(
        drain(&reader),
        "close(-1) = -1 EBADF (Bad file descriptor)\nclose(-2) = -1 EBADF (Bad file descriptor)\n"
    );
    assert_eq!(RECORDS.load(Ordering::Relaxed), 2);
    assert_eq!(TO_FN.lost(), 0);
}

#[test]
fn a_record_has_the_call_in_numbers_too() {
    type Seen = (Sysno, Vec<usize>, Option<Result<usize, Errno>>, u32, bool);
    static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
    fn sink(record: &Record<'_>) {
        SEEN.lock().unwrap().push((
            record.number(),
            record.args().iter().map(|arg| arg.addr()).collect(),
            record.result(),
            record.thread(),
            record.nanoseconds().is_some(),
        ));
    }
    static TO_FN: Trace = Trace::to_fn(sink).times();
    traced(&TO_FN, || {
        make!(nr::GETPID);
        make!(nr::DUP3, 7, 7, 0);
        make!(nr::EXECVE, 0, 0, 0);
    });
    let me = process::gettid().as_raw() as u32;
    let process = process::getpid().as_raw() as usize;
    assert_eq!(
        *SEEN.lock().unwrap(),
        [
            (nr::GETPID, vec![], Some(Ok(process)), me, true),
            (nr::DUP3, vec![7, 7, 0], Some(Err(Errno::EINVAL)), me, true),
            (nr::EXECVE, vec![0, 0, 0], None, me, false),
            (
                nr::EXECVE,
                vec![0, 0, 0],
                Some(Err(Errno::EFAULT)),
                me,
                true
            ),
        ]
    );
}

#[test]
fn threads_in_a_sink_at_once_do_not_take_each_other_s_records() {
    static RECORDS: AtomicUsize = AtomicUsize::new(0);
    fn sink(_: &Record<'_>) {
        // A call of the sink's own, in the middle.
        make!(nr::GETPPID);
        RECORDS.fetch_add(1, Ordering::Relaxed);
    }
    static TO_FN: Trace = Trace::to_fn(sink);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                traced(&TO_FN, || {
                    for _ in 0..100 {
                        make!(nr::CLOSE, -1);
                    }
                });
            });
        }
    });
    assert_eq!(RECORDS.load(Ordering::Relaxed), 800);
    assert_eq!(TO_FN.lost(), 0);
}

#[test]
fn time_is_told_where_it_is_asked_for() {
    static RING: Ring<[Slot; 4]> = Ring::new();
    static TO_RING: Trace = Trace::to_ring(&RING).times();
    traced(&TO_RING, || make!(nr::CLOSE, -1));
    let said = lines(&RING).concat();
    let time = said
        .strip_prefix("close(-1) = -1 EBADF (Bad file descriptor) <")
        .and_then(|rest| rest.strip_suffix('>'))
        .expect("a time");
    let (seconds, micros) = time.split_once('.').expect("a point");
    assert!(
        seconds.parse::<u32>().is_ok() && micros.len() == 6,
        "{time}"
    );
}

#[test]
fn a_backtrace_is_as_deep_as_asked_for_at_most() {
    static TEXT: Mutex<String> = Mutex::new(String::new());
    fn sink(record: &Record<'_>) {
        *TEXT.lock().unwrap() = String::from_utf8_lossy(record.text()).into_owned();
    }
    static DEEP: Trace = Trace::to_fn(sink).backtrace(6);
    #[inline(never)]
    fn down(levels: u32) {
        match levels {
            0 => make!(nr::CLOSE, -1),
            _ => down(std::hint::black_box(levels - 1)),
        }
        std::hint::black_box(levels);
    }
    traced(&DEEP, || down(10));
    let text = TEXT.lock().unwrap().clone();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("close(-1) = -1 EBADF (Bad file descriptor)")
    );
    let frames: Vec<usize> = lines
        .map(|line| {
            let address = line.strip_prefix(" > 0x").expect("a frame");
            usize::from_str_radix(address, 16).expect("an address")
        })
        .collect();
    assert!((1..=6).contains(&frames.len()), "{text}");
    // The first one is the call's own place: in this program.
    let here = (down as fn(u32)) as usize;
    assert!(frames[0].abs_diff(here) < 1 << 30, "{text}{here:#x}");
    // There functions that call others have a frame, since Rust 1.89; on x86_64,
    // those of a program built so (host_trace).
    if cfg!(target_arch = "aarch64") {
        let inside = |pc: &&usize| (1..1024).contains(&pc.wrapping_sub(here));
        assert_eq!(frames.len(), 6, "{text}");
        assert!(frames.iter().filter(inside).count() >= 3, "{text}{here:#x}");
    }
}

#[test]
fn in_a_thread_without_thread_local_storage_calls_are_told() {
    // The hook of this file asks thread-local storage, which such a thread
    // shares with the one that started it.
    let said = told!({
        fn call() {
            make!(nr::CLOSE, -9);
        }
        // SAFETY: what runs there does not need storage of its own.
        let thread = unsafe { barecall::thread::spawn(65536, call) };
        thread.unwrap().join().unwrap();
    });
    let wanted = "close(-9) = -1 EBADF (Bad file descriptor)";
    assert!(said.iter().any(|line| line == wanted), "{said:#?}");
    assert!(said.iter().any(|line| line == "exit(0) = ?"), "{said:#?}");
}
