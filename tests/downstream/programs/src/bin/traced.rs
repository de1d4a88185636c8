//! Tells its own system calls to descriptor 9, for tests/host_trace.rs, which
//! compares them with what strace says. Makes many kinds of calls, well and
//! badly, in the directory that is its argument.
#![no_std]
#![no_main]

use barecall::trace::Trace;
use barecall::{Errno, nr, process, rt::Start, syscall};

barecall::entry!(main);

barecall::trace_sink! {
    static TRACE = Trace::to_fd(9).threads().times();
}

/// Makes each call, whatever it answers.
macro_rules! make {
    ($($call:ident($($arg:expr),*);)*) => {$(
        // SAFETY: memory of this program, which expects what is done to it.
        let _ = unsafe { syscall!(nr::$call $(, $arg)*) };
    )*};
}

/// What is known of files, and what is waited for. 3 is free.
fn files_and_events() {
    let null = core::ptr::null_mut::<u8>();
    let nowhere = core::ptr::without_provenance_mut::<u8>(0x10);
    let mut buf = [0_u8; 512];
    let b = buf.as_mut_ptr();
    // As the kernel has it on x86_64: 12 bytes.
    let event = |events: u32, data: u64| {
        let mut event = [0_u8; 12];
        event[..4].copy_from_slice(&events.to_le_bytes());
        event[4..].copy_from_slice(&data.to_le_bytes());
        event
    };
    let edge = event(1 << 31 | 0x2000 | 4 | 1, 0x1234_5678_90ab_cdef);
    let many = event(0x7ff | 0x2000_0000, 7);
    let once = event(1 << 30 | 4, 8);
    let shared = event(1 << 28 | 0x400_0000, u64::MAX);
    let no_time = [0_i64, 5];
    let signals = [0x201_u64];
    const CWD: i32 = -100;
    make! {
        STATX(CWD, c"/", 0, 0x7ff, b);
        STATX(CWD, c"file", 0x2100, 0xfff, b);
        STATX(CWD, c"file", 0x4000, 0x1fff, b);
        STATX(CWD, c"/dev/null", 0x900, 0x17ff, b);
        STATX(1, c"", 0x1000, 2, b);
        STATX(CWD, c"none", 0, 3, b);
        STATX(CWD, c"file", 0x6000, 0, b);
        STATX(CWD, c"file", 8, 0x8000_0001_u32, b);
        STATX(CWD, c"file", 0, 0x200, nowhere);
        STATX(CWD, c"file", 0, 0x200, null);
        EPOLL_CREATE1(0);
        PIPE2(b, 0);
        EPOLL_CTL(3, 1, 5, edge.as_ptr());
        EPOLL_CTL(3, 1, 4, many.as_ptr());
        EPOLL_CTL(3, 1, 4, many.as_ptr());
        EPOLL_CTL(3, 3, 4, shared.as_ptr());
        EPOLL_CTL(3, 3, 4, nowhere);
        EPOLL_CTL(3, 1, 4, null);
        EPOLL_CTL(3, 2, 4, nowhere);
        EPOLL_CTL(3, 7, 4, once.as_ptr());
        EPOLL_PWAIT(3, b, 8, 0, null, 8);
        EPOLL_PWAIT(3, b, 8, 0, signals.as_ptr(), 8);
        EPOLL_PWAIT(3, nowhere, 8, 0, null, 8);
        EPOLL_PWAIT(3, b, 0, -1, null, 8);
        EPOLL_PWAIT(3, b, 8, 0, nowhere, 8);
        EPOLL_CTL(3, 3, 5, once.as_ptr());
        WRITE(5, c"x", 1);
        EPOLL_CTL(3, 1, 4, many.as_ptr());
        EPOLL_PWAIT(3, b, 1, 0, null, 8);
        EPOLL_PWAIT2(3, b, 8, no_time.as_ptr(), null, 8);
        EPOLL_PWAIT2(3, b, 8, no_time.as_ptr(), signals.as_ptr(), 8);
        EPOLL_PWAIT2(3, b, 0, nowhere, null, 8);
        EPOLL_PWAIT2(3, b, 0, null, null, 8);
        CLOSE(5);
        CLOSE(4);
        CLOSE(3);
    }
}

/// A `sockaddr` of this family, with this in it.
fn address(family: u16, data: &[u8]) -> [u8; 132] {
    let mut address = [0; 132];
    let (head, tail) = address.split_at_mut(2);
    head.copy_from_slice(&family.to_le_bytes());
    tail[..data.len()].copy_from_slice(data);
    address
}

/// Addresses and options of sockets. 3 is free.
fn sockets() {
    let null = core::ptr::null_mut::<u8>();
    let nowhere = core::ptr::without_provenance_mut::<u8>(0x10);
    let mut buf = [0_u8; 512];
    let b = buf.as_mut_ptr();
    let named = address(1, b"socket");
    let abstracted = address(1, b"\0some\0name\"\x011");
    let long = address(1, &[b'x'; 120]);
    let other = address(77, b"\x01data");
    let none = address(0, b"data");
    let inet = address(2, &[0, 80, 127, 0, 0, 1]);
    let inet6 = |host: [u8; 16]| {
        let mut data = [0; 26];
        data[..6].copy_from_slice(&[1, 187, 0, 1, 2, 3]);
        data[6..22].copy_from_slice(&host);
        // strace calls an interface that there is by its name.
        data[22..].copy_from_slice(&0x7654_3210_u32.to_le_bytes());
        address(10, &data)
    };
    let netlink = |pad: u8, pid: u32, groups: u32| {
        let mut data = [pad, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        data[2..6].copy_from_slice(&pid.to_le_bytes());
        data[6..].copy_from_slice(&groups.to_le_bytes());
        address(16, &data)
    };
    let (named, abstracted, long) = (named.as_ptr(), abstracted.as_ptr(), long.as_ptr());
    let mut lens = [
        110_u32,
        4,
        0,
        1,
        110,
        110,
        110,
        -4_i32 as u32,
        110,
        110,
        8,
        200,
        4,
        2,
        0,
    ];
    let len = |i: usize| lens.as_mut_ptr().wrapping_add(i);
    let [a110, a4, a0, a1, b110, c110, d110, minus, e110, f110] = core::array::from_fn(len);
    let [o8, o200, o4, _, o0] = core::array::from_fn(|i| lens.as_mut_ptr().wrapping_add(10 + i));
    let linger = [1_i32, 5, 0, 0];
    let linger = linger.as_ptr();
    make! {
        SOCKETPAIR(1, 1, 0, b);
        SOCKETPAIR(1, 2 | 0o2004000, 0, b);
        SOCKETPAIR(1, 1, 0, nowhere);
        SOCKETPAIR(1, 77, 0, nowhere);
        SOCKETPAIR(1, 0o2000401, 0, b);
        GETPEERNAME(3, b, a110);
        GETPEERNAME(3, b, a0);
        GETPEERNAME(3, b, a1);
        CLOSE(6);
        CLOSE(5);
        // Names.
        SOCKET(1, 5 | 0o2004000, 0);
        BIND(5, named, 1);
        BIND(5, named, -1);
        BIND(5, nowhere, 10);
        BIND(5, null, 10);
        BIND(5, named, 110);
        BIND(5, named, 6);
        CONNECT(5, abstracted, 14);
        CONNECT(5, abstracted, 3);
        CONNECT(5, abstracted, 110);
        CONNECT(5, abstracted, 130);
        CONNECT(5, long, 110);
        CONNECT(5, long, 122);
        CONNECT(5, long, 30);
        CONNECT(5, other.as_ptr(), 7);
        CONNECT(5, none.as_ptr(), 2);
        CONNECT(5, none.as_ptr(), 6);
        CONNECT(5, inet.as_ptr(), 16);
        CONNECT(5, inet.as_ptr(), 15);
        CONNECT(5, netlink(0, 7, 0).as_ptr(), 12);
        CONNECT(5, netlink(0, 7, 0x12).as_ptr(), 12);
        CONNECT(5, netlink(0, 7, 0x12_3456).as_ptr(), 20);
        CONNECT(5, netlink(9, 1 << 31 | 7, u32::MAX).as_ptr(), 12);
        CONNECT(5, netlink(9, 7, 0).as_ptr(), 11);
        CONNECT(5, inet6(*b"0123456789abcdef").as_ptr(), 28);
        CONNECT(5, inet6([0; 16]).as_ptr(), 23);
        CONNECT(5, inet6([0; 16]).as_ptr(), 24);
        CONNECT(5, inet6([0; 16]).as_ptr(), 25);
        CONNECT(5, inet6([0; 16]).as_ptr(), 40);
    }
    // Each way to leave zeros out.
    for ones in 0..=255_u8 {
        let host = core::array::from_fn(|i| (i % 2) as u8 & ones >> (i / 2));
        make! { CONNECT(5, inet6(host).as_ptr(), 28); }
    }
    for host in [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 1, 2, 3, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0x5e, 0xff, 0xfe, 0, 0, 1],
    ] {
        make! { CONNECT(5, inet6(host).as_ptr(), 28); }
    }
    make! {
        LISTEN(5, 5);
        GETSOCKNAME(5, b, b110);
        GETSOCKNAME(5, b, a4);
        GETSOCKNAME(5, b, minus);
        GETSOCKNAME(5, b, nowhere);
        GETSOCKNAME(5, null, a4);
        GETSOCKNAME(5, nowhere, c110);
        GETPEERNAME(5, b, c110);
        ACCEPT4(5, b, c110, 0o2000000);
        SOCKET(1, 5, 0);
        CONNECT(6, named, 9);
        ACCEPT4(5, b, d110, 0o2004000);
        GETPEERNAME(6, b, e110);
        CLOSE(7);
        ACCEPT4(5, null, null, 0o2004001);
        ACCEPT4(5, null, null, 0);
        CLOSE(6);
        CLOSE(5);
        // Datagrams.
        SOCKET(1, 2, 0);
        SOCKET(1, 2, 0);
        BIND(5, abstracted, 11);
        BIND(6, named, 2);
        SENDTO(6, c"hello", 5, 0, abstracted, 11);
        SENDTO(6, c"hello", 5, 0x4041, nowhere, 11);
        SENDTO(6, nowhere, 5, 0, abstracted, 11);
        SENDTO(6, c"hello", 5, 0, null, 0);
        RECVFROM(5, b, 100, 0x42, b.wrapping_add(200), f110);
        RECVFROM(5, b, 3, 0x60, null, null);
        RECVFROM(5, b, 100, 0x40, b.wrapping_add(200), a110);
        RECVFROM(5, b, 100, 0x40, nowhere, nowhere);
        SENDTO(6, c"hello", 5, 0, abstracted, 11);
        RECVFROM(5, b, 3, 0x40, b, null);
        CLOSE(6);
        CLOSE(5);
        // Options.
        GETSOCKOPT(3, 1, 3, b, o4);
        GETSOCKOPT(3, 1, 4, b, o4);
        GETSOCKOPT(3, 1, 0, b, o4);
        GETSOCKOPT(3, 1, 17, b, o200);
        GETSOCKOPT(3, 1, 13, b, o8);
        GETSOCKOPT(3, 1, 3, b, o0);
        GETSOCKOPT(3, 1, 20, b, d110);
        GETSOCKOPT(3, 1, 3, nowhere, o4);
        GETSOCKOPT(3, 1, 3, b, nowhere);
        GETSOCKOPT(3, 1, 3, b, null);
        GETSOCKOPT(3, 77, 3, b, o4);
        SETSOCKOPT(3, 1, 16, linger, 4);
        SETSOCKOPT(3, 1, 16, linger, 3);
        SETSOCKOPT(3, 1, 16, linger, -3);
        SETSOCKOPT(3, 1, 16, linger, 0);
        SETSOCKOPT(3, 1, 16, nowhere, 4);
        SETSOCKOPT(3, 1, 16, null, 4);
        SETSOCKOPT(3, 1, 13, linger, 8);
        SETSOCKOPT(3, 1, 13, linger, 4);
        SETSOCKOPT(3, 1, 13, nowhere, 8);
        SETSOCKOPT(3, 1, 20, linger, 16);
        SETSOCKOPT(3, 1, 999, linger, 4);
        SETSOCKOPT(3, 77, 1, linger, 4);
        SHUTDOWN(3, 0);
        SHUTDOWN(3, 9);
        SHUTDOWN(3, 1);
        SHUTDOWN(3, 2);
        CLOSE(4);
        CLOSE(3);
    }
}

/// Messages, and what goes with them. 3 is free.
fn messages() {
    let null = core::ptr::null_mut::<u8>();
    let nowhere = core::ptr::without_provenance_mut::<u8>(0x10);
    let mut buf = [0_u8; 512];
    let b = buf.as_mut_ptr().expose_provenance();
    let name = address(1, b"\0name");
    let name = name.as_ptr().expose_provenance();
    let text = c"hello".as_ptr().expose_provenance();
    let out = [text, 5, text, 1];
    let out = out.as_ptr().expose_provenance();
    let into = [b, 3, b + 3, 100, 0x10, 0];
    let into = into.as_ptr().expose_provenance();
    // Header, then level and type, then what it is.
    let head = |kind: usize| 1 | kind << 32;
    let pid = process::getpid().as_raw() as usize;
    let two = [28, head(1), 3 | 4 << 32, 3, 28, head(2), pid, 0];
    let odd = [20, head(1), 3, 0xffff];
    let short = [3, head(1), 0, 0];
    let long = [200, head(1), 1, 1];
    let empty = [16, head(1), 16, 77 | 1 << 32];
    let unknown = [20, head(99), 0, 0];
    let [two, odd, short, long, empty, unknown] =
        [&two[..], &odd, &short, &long, &empty, &unknown].map(|x| x.as_ptr().expose_provenance());
    let mut control = [0_u64; 32];
    let c = control.as_mut_ptr().expose_provenance();
    // A `msghdr`, where it can be written.
    let message =
        |name, len, iov, count, control, room| [name, len, iov, count, control, room, 0_usize];
    let plain = message(0, 0, out, 2, 0, 0);
    let with = message(0, 0, out, 2, two, 64);
    let flagged = [0, 0, out, 1, 0, 0, 0x4000];
    let bad_iov = message(0, 0, 0x10, 2, 0, 0);
    let no_iov = message(0, 0, 0, 0, 0, 0);
    let bad_control = message(0, 0, out, 1, 0x10, 64);
    let no_control = message(0, 0, out, 1, 0, 64);
    let bad_name = message(0x10, 10, out, 1, 0, 0);
    let to = message(name, 7, out, 2, 0, 0);
    let mut from = message(b + 200, 50, into, 3, 0, 0);
    let mut receive = message(b + 200, 50, into, 2, c, 256);
    let mut little = message(0, 0, into, 2, c, 40);
    let mut none = message(0, 0, into, 1, c, 10);
    let one = [1_u32];
    make! {
        SOCKETPAIR(1, 1, 0, b);
        SENDMSG(3, plain.as_ptr(), 0x4000);
        SENDMSG(3, flagged.as_ptr(), 0);
        RECVMSG(4, from.as_mut_ptr(), 0x40);
        RECVMSG(4, from.as_mut_ptr(), 0x40);
        RECVMSG(4, nowhere, 0);
        RECVMSG(4, null, 0);
        SENDMSG(3, nowhere, 0);
        SENDMSG(3, null, 0);
        SENDMSG(3, bad_iov.as_ptr(), 0);
        SENDMSG(3, no_iov.as_ptr(), 0);
        SENDMSG(3, bad_control.as_ptr(), 0);
        SENDMSG(3, no_control.as_ptr(), 0);
        SENDMSG(3, bad_name.as_ptr(), 0);
        SETSOCKOPT(4, 1, 16, one.as_ptr(), 4);
        SENDMSG(3, with.as_ptr(), 0);
        RECVMSG(4, receive.as_mut_ptr(), 0x4000_0040);
        CLOSE_RANGE(5, 7, 0);
        SENDMSG(3, with.as_ptr(), 0);
        RECVMSG(4, little.as_mut_ptr(), 0x40);
        SENDMSG(3, with.as_ptr(), 0);
        RECVMSG(4, none.as_mut_ptr(), 0x40);
        SENDMSG(3, message(0, 0, out, 1, odd, 32).as_ptr(), 0);
        SENDMSG(3, message(0, 0, out, 1, short, 32).as_ptr(), 0);
        SENDMSG(3, message(0, 0, out, 1, long, 32).as_ptr(), 0);
        SENDMSG(3, message(0, 0, out, 1, empty, 32).as_ptr(), 0);
        SENDMSG(3, message(0, 0, out, 1, unknown, 20).as_ptr(), 0);
        SENDMSG(3, message(0, 0, out, 1, two, 12).as_ptr(), 0);
        CLOSE(4);
        CLOSE(3);
        SOCKET(1, 2, 0);
        SENDMSG(3, to.as_ptr(), 0);
        BIND(3, core::ptr::with_exposed_provenance::<u8>(name), 7);
        SENDMSG(3, to.as_ptr(), 0);
    }
    let mut from = message(b + 200, 50, into, 2, 0, 0);
    make! {
        RECVMSG(3, from.as_mut_ptr(), 0x40);
        CLOSE(3);
    }
}

fn main(start: Start) -> i32 {
    let Some(dir) = start.args().nth(1) else {
        return 1;
    };
    let null = core::ptr::null::<u8>();
    let nowhere = core::ptr::without_provenance::<u8>(0x10);
    let mut buf = [0_u8; 4096];
    let mut words = [0_u64; 16];
    let b = buf.as_mut_ptr();
    let w = words.as_mut_ptr();
    const CWD: i32 = -100;

    make! {
        CHDIR(dir);
        // Files. 3 is the first descriptor that is free.
        OPENAT(CWD, c"/no/such\tfile\n\"\\\x7f7\x01", 0o2000000);
        OPENAT(CWD, c"file", 0o2000102 | 0o1000, 0o640);
        FSTAT(3, b);
        WRITE(3, b"some text\n\0\x01\x32\xff of more than thirty-two bytes".as_ptr(), 40);
        WRITE(3, null, 0);
        WRITE(3, nowhere, 5);
        LSEEK(3, -5_i64, 2);
        READ(3, b, 100);
        READ(3, b, 100);
        PREAD64(3, b, 4, 1);
        PWRITE64(3, c"x", 1, 100_000);
        FTRUNCATE(3, 4096);
        FALLOCATE(3, 3, 0, 100);
        FSYNC(3);
        FDATASYNC(3);
        FLOCK(3, 6);
        FCNTL(3, 1);
        FCNTL(3, 2, 0);
        FCNTL(3, 1);
        FCNTL(3, 3);
        FCNTL(3, 4, 0o4000);
        FCNTL(3, 1030, 8);
        CLOSE(8);
        DUP3(3, 8, 0o2000000);
        DUP3(3, 3, 0);
        CLOSE(8);
        CLOSE(8);
        CLOSE(3);
        OPENAT2(CWD, c"file", words.as_ptr(), 24);
        CLOSE(3);
        NEWFSTATAT(CWD, c"file", b, 0);
        NEWFSTATAT(CWD, c"none", b, 0x100);
        NEWFSTATAT(CWD, c"/dev/null", b, 0);
        NEWFSTATAT(1, c"", b, 0x1000);
        FACCESSAT(CWD, c"file", 6);
        FACCESSAT(CWD, c"file", 0);
        FACCESSAT2(CWD, c"file", 4, 0x200);
        MKDIRAT(CWD, c"sub", 0o755);
        MKDIRAT(CWD, c"sub", 0o7);
        OPENAT(CWD, c"sub", 0o2000000 | 0x10000);
        LINKAT(CWD, c"file", CWD, c"sub/link", 0);
        LINKAT(3, c"", CWD, c"x", 0x1000);
        SYMLINKAT(c"file", CWD, c"symlink");
        READLINKAT(CWD, c"symlink", b, 100);
        READLINKAT(CWD, c"file", b, 100);
        RENAMEAT2(CWD, c"sub/link", CWD, c"symlink", 2);
        UNLINKAT(CWD, c"symlink", 0);
        UNLINKAT(CWD, c"sub/link", 0);
        UNLINKAT(CWD, c"sub", 0x200);
        FCHMODAT(CWD, c"file", 0o600);
        GETCWD(b, 4096);
        GETCWD(b, 1);
        UMASK(0o27);
        UNLINKAT(CWD, nowhere, 0);
        UNLINKAT(CWD, null, 0);
        CLOSE(3);
        CLOSE_RANGE(100, 200, 4);
        // Without a name.
        MEMFD_CREATE(c"memory", 3);
        FCNTL(3, 1034);
        FCNTL(3, 1033, 6);
        FCNTL(3, 1034);
        CLOSE(3);
        PIPE2(w, 0o2004000);
        READ(3, b, 10);
        WRITEV(4, w, 0);
        EVENTFD2(3, 0o2000000);
        CLOSE(3);
        CLOSE(4);
        CLOSE(5);
        // Memory.
        MMAP(0, 8192, 3, 0x22, -1, 0);
        MMAP(0, 8192, 0, 0x4022, -1, 0);
        MMAP(0, 0, 1, 1, 3, 4096);
        MPROTECT(nowhere, 4096, 5);
        MUNMAP(nowhere, 4096);
        MADVISE(0, 0, 4);
        MADVISE(0, 4096, 14);
        BRK(0);
        // Signals and time.
        RT_SIGPROCMASK(0, w, 0, 8);
        RT_SIGPROCMASK(0, 0, w, 8);
        RT_SIGPROCMASK(7, w, w, 8);
        RT_SIGACTION(10, 0, w, 8);
        RT_SIGACTION(9, w, 0, 8);
        KILL(0x7fff_fffe, 10);
        CLOCK_GETRES(1, w);
        CLOCK_GETRES(99, w);
        CLOCK_NANOSLEEP(1, 0, w, 0);
        // Processes.
        GETPID();
        GETPPID();
        GETUID();
        SETSID();
        GETPGID(0);
        PRCTL(15, c"traced");
        PRLIMIT64(0, 7, 0, w);
        PRLIMIT64(0, 99, 0, w);
        KCMP(1, 1, 0, 1, 2);
        WAIT4(-1, w, 1, 0);
        WAITID(0, 0, w, 5, 0);
        SCHED_YIELD();
        FUTEX(w, 1, 1);
        FUTEX(w, 0x80, 77, 0);
        GETRANDOM(b, 8, 1);
        GETRANDOM(b, 0, 0);
        EPOLL_CREATE1(0o2000000);
        EPOLL_CTL(3, 2, 0, 0);
        CLOSE(3);
        SOCKET(1, 0o2000001, 0);
        CLOSE(3);
        SOCKET(77, 1, 0);
        TIMERFD_CREATE(1, 0o2000000);
        CLOSE(3);
        EXECVE(c"/no/program", null, null);
        NEWFSTATAT(CWD, c"file", nowhere, 0);
    }
    files_and_events();
    sockets();
    messages();
    // SAFETY: the child makes calls and exits.
    match unsafe { process::fork() } {
        Ok(None) => {
            make! {
                GETPPID();
                CLOSE(77);
            }
            process::exit_group(3)
        }
        Ok(Some(child)) => {
            make! {
                WAIT4(child.as_raw(), w, 0, 0);
            }
        }
        Err(_) => return 1,
    }
    if (TRACE.lost(), Errno::EPERM.raw()) != (0, 1) {
        return 1;
    }
    process::exit_group(7)
}
