//! pager::handoff: memory that is served, from one process to another.

mod common;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::event::{self, PollFd, PollFlags};
use barecall::fd::{AsFd, BorrowedFd, OwnedFd};
use barecall::io::{self, IoSlice};
use barecall::net::{
    MsgFlags, SendControl, SocketFlags, SocketType, rights_space, sendmsg, set_pass_credentials,
    socketpair,
};
use barecall::pager::handoff::{
    Attached, HandoffError, Keeper, ParseError, attach, parse, receive, send,
};
use barecall::pager::{Contents, Region, RegionFlags};
use barecall::time::Timespec;
use barecall::userfaultfd::{
    CopyFlags, Event, Features, MappedRegion, PageRange, RegisterModes, Userfaultfd,
};
use barecall::{Errno, nr, syscall};
use common::{emulated, in_child};
use proptest::prelude::*;
use std::thread;
use std::time::Duration;
use uffd::*;

const SECOND: Option<Duration> = Some(Duration::from_secs(60));
/// Over at once.
const NOW: Option<Duration> = Some(Duration::ZERO);

fn stream() -> (OwnedFd, OwnedFd) {
    socketpair(SocketType::STREAM, SocketFlags::CLOEXEC).unwrap()
}

/// `count` regions that do not continue each other.
fn regions(count: usize) -> Vec<Region> {
    let region = |i: usize| {
        let range = PageRange::new(0x10_0000 + i * 0x10_0000, 0x1_0000);
        let region = Region::new(range, 7 << 40 | (i as u64) << 20, 4096);
        match i % 3 {
            0 => region,
            1 => region.with_contents(Contents::Zeros),
            _ => region.with_flags(RegionFlags::DISCARD_KEEPS),
        }
    };
    (0..count).map(region).collect()
}

/// The bytes of a handoff.
fn bytes(regions: &[Region]) -> Vec<u8> {
    let mut bytes = b"barecall\x01\0\0\0".to_vec();
    bytes.extend((regions.len() as u32).to_le_bytes());
    for region in regions {
        bytes.extend((region.range().start() as u64).to_le_bytes());
        bytes.extend((region.range().len() as u64).to_le_bytes());
        bytes.extend(region.offset().to_le_bytes());
        bytes.extend((region.page_size() as u64).to_le_bytes());
        bytes.extend(u32::from(region.contents() == Contents::Zeros).to_le_bytes());
        bytes.extend(region.flags().bits().to_le_bytes());
    }
    bytes
}

/// Sends bytes, and descriptors with the first of them.
fn raw(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut control = SendControl::<{ rights_space(8) }>::new();
    control.push_rights(fds).unwrap();
    let bufs = [IoSlice::new(bytes)];
    let sent = if fds.is_empty() {
        sendmsg(socket, &bufs, &SendControl::NONE, MsgFlags::NOSIGNAL)
    } else {
        sendmsg(socket, &bufs, &control, MsgFlags::NOSIGNAL)
    };
    assert_eq!(sent, Ok(bytes.len()));
}

fn refused(socket: &OwnedFd, room: usize) -> HandoffError {
    let mut room = vec![Region::EMPTY; room];
    receive(socket, &mut room, SECOND).unwrap_err()
}

#[test]
fn descriptor_and_regions_arrive() {
    let uffd = open(Features::EVENT_REMOVE | Features::THREAD_ID);
    let (here, there) = stream();
    for count in [0, 1, 2, 31, 32, 33, 100] {
        let sent = regions(count);
        send(&here, &uffd, &sent, SECOND).unwrap();
        // What follows is not touched.
        io::write(&here, b"next").unwrap();
        let mut room = vec![Region::EMPTY; count];
        let received = receive(&there, &mut room, SECOND).unwrap();
        assert_eq!(received.table.regions(), sent);
        assert_eq!(received.userfaultfd.features(), uffd.features());
        let mut next = [0; 8];
        assert_eq!(io::read(&there, &mut next), Ok(4));
        assert_eq!(&next[..4], b"next");
    }
}

/// A handler may have asked the kernel who sends, to look at that itself.
#[test]
fn a_socket_that_tells_who_sends_will_do() {
    let uffd = plain();
    let (here, there) = stream();
    set_pass_credentials(&there, true).unwrap();
    let sent = regions(40);
    send(&here, &uffd, &sent, SECOND).unwrap();
    let mut room = vec![Region::EMPTY; 40];
    let received = receive(&there, &mut room, SECOND).unwrap();
    assert_eq!(received.table.regions(), sent);
    // And two descriptors are still one too many.
    raw(&here, &bytes(&sent), &[uffd.as_fd(), uffd.as_fd()]);
    assert_eq!(refused(&there, 40), HandoffError::Descriptors);
}

/// The bytes are those that the documentation tells.
#[test]
fn the_bytes_are_as_documented() {
    let uffd = plain();
    let (here, there) = stream();
    let sent = regions(40);
    send(&here, &uffd, &sent, SECOND).unwrap();
    drop(here);
    let mut got = Vec::new();
    let mut some = [0; 1000];
    // 0 is the end; descriptors that nobody takes are closed.
    while let Ok(count @ 1..) = io::read(&there, &mut some) {
        got.extend(&some[..count]);
    }
    assert_eq!(got, bytes(&sent));
    let parsed: Vec<Region> = parse(&got).unwrap().collect();
    assert_eq!(parsed, sent);
}

/// In pieces of one byte, with pauses, as a stream may.
#[test]
fn it_may_arrive_byte_by_byte() {
    let uffd = plain();
    let (here, there) = stream();
    let sent = regions(3);
    thread::scope(|scope| {
        scope.spawn(|| {
            for (i, byte) in bytes(&sent).iter().enumerate() {
                let fds = [uffd.as_fd()];
                raw(&here, &[*byte], if i == 0 { &fds } else { &[] });
                thread::yield_now();
            }
        });
        let mut room = [Region::EMPTY; 3];
        let received = receive(&there, &mut room, SECOND).unwrap();
        assert_eq!(received.table.regions(), sent);
    });
}

#[test]
fn more_regions_than_the_socket_holds_go_through() {
    let uffd = plain();
    let (here, there) = stream();
    let sent = regions(30_000);
    thread::scope(|scope| {
        scope.spawn(|| send(&here, &uffd, &sent, SECOND).unwrap());
        let mut room = vec![Region::EMPTY; 30_000];
        let received = receive(&there, &mut room, SECOND).unwrap();
        assert_eq!(received.table.regions(), sent);
    });
    // And nobody waits for ever for who does not read.
    let timeout = Some(Duration::from_millis(50));
    let result = send(&here, &uffd, &sent, timeout);
    assert_eq!(result, Err(HandoffError::TimedOut));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let uffd = plain();
    let good = bytes(&regions(2));
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let word = |value: u64| value.to_le_bytes();
    let region = |number| ParseError::Region(number);
    let max = word(!0xfff);
    for (bad, error) in [
        (patched(0, b"B"), ParseError::NotAHandoff),
        (patched(8, &[2]), ParseError::Version(2)),
        (patched(8, &[0]), ParseError::Version(0)),
        (patched(11, &[1]), ParseError::Version(1 << 24 | 1)),
        // Not whole pages.
        (patched(16, &[1]), region(0)),
        (patched(24, &[1]), region(0)),
        // Empty; too long; past the end of addresses; of offsets.
        (patched(24, &word(0)), region(0)),
        (patched(24, &max), region(0)),
        (patched(16, &max), region(0)),
        (patched(32, &word(u64::MAX)), region(0)),
        // No page; no power of two; larger than the region.
        (patched(40, &word(0)), region(0)),
        (patched(40, &word(0x3000)), region(0)),
        (patched(40, &word(1 << 63)), region(0)),
        (patched(40, &word(2048)), region(0)),
        // Contents and flags that nobody knows.
        (patched(48, &[2]), region(0)),
        (patched(52, &[4]), region(0)),
        (patched(55, &[0x80]), region(0)),
        // The second before the first, or into it.
        (patched(56, &word(0)), region(1)),
        (patched(56, &word(0x10_0000)), region(1)),
        (patched(56, &word(0x10_f000)), region(1)),
    ] {
        assert_eq!(parse(&bad).unwrap_err(), error, "{bad:?}");
        let (here, there) = stream();
        raw(&here, &bad, &[uffd.as_fd()]);
        assert_eq!(refused(&there, 2), HandoffError::Message(error));
    }
    assert_eq!(parse(&good[..15]).unwrap_err(), ParseError::Length);
    assert_eq!(parse(&good[..7]).unwrap_err(), ParseError::NotAHandoff);
    for len in 16..good.len() {
        assert_eq!(parse(&good[..len]).unwrap_err(), ParseError::Length);
    }
    let mut long = good.clone();
    long.push(0);
    assert_eq!(parse(&long).unwrap_err(), ParseError::Length);
    // A count that would need more memory than there is.
    let many = patched(12, &[0xff; 4]);
    assert_eq!(parse(&many).unwrap_err(), ParseError::Length);
    let (here, there) = stream();
    raw(&here, &many, &[uffd.as_fd()]);
    assert_eq!(refused(&there, 2), HandoffError::NoRoom(u32::MAX));
}

#[test]
fn more_regions_than_room_are_refused() {
    let uffd = plain();
    let (here, there) = stream();
    send(&here, &uffd, &regions(3), SECOND).unwrap();
    assert_eq!(refused(&there, 2), HandoffError::NoRoom(3));
}

#[test]
fn the_descriptor_is_one_and_a_userfaultfd() {
    let uffd = plain();
    let good = bytes(&regions(2));
    let fd = uffd.as_fd();
    for fds in [&[] as &[_], &[fd, fd], &[fd, fd, fd], &[fd; 8]] {
        let (here, there) = stream();
        raw(&here, &good, fds);
        assert_eq!(refused(&there, 2), HandoffError::Descriptors);
    }
    // One more with what follows.
    let (here, there) = stream();
    raw(&here, &good[..20], &[fd]);
    raw(&here, &good[20..], &[fd]);
    assert_eq!(refused(&there, 2), HandoffError::Descriptors);

    // Other kinds; and one whose handshake nobody has made.
    let eventfd = event::eventfd(0, event::EventFdFlags::CLOEXEC).unwrap();
    // SAFETY: a new descriptor, ours. (1: UFFD_USER_MODE_ONLY, not in 5.10.)
    let open = |flags: u32| unsafe {
        let fd = syscall!(nr::USERFAULTFD, flags)?;
        Ok::<_, Errno>(OwnedFd::from_raw_fd(fd as i32))
    };
    let unborn = open(0o2000001).or_else(|_| open(0o2000000)).unwrap();
    let (socket, _other) = stream();
    for wrong in [eventfd.as_fd(), unborn.as_fd(), socket.as_fd()] {
        let (here, there) = stream();
        raw(&here, &good, &[wrong]);
        let error = HandoffError::NotUserfaultfd(Errno::EINVAL);
        assert_eq!(refused(&there, 2), error);
    }
}

#[test]
fn a_peer_that_says_nothing_or_not_enough_is_left() {
    let uffd = plain();
    let good = bytes(&regions(2));
    for len in 0..good.len() {
        let (here, there) = stream();
        if len > 0 {
            raw(&here, &good[..len], &[uffd.as_fd()]);
        }
        let mut room = [Region::EMPTY; 2];
        let result = receive(&there, &mut room, NOW);
        assert_eq!(result.unwrap_err(), HandoffError::TimedOut);
        let (here, there) = stream();
        if len > 0 {
            raw(&here, &good[..len], &[uffd.as_fd()]);
        }
        drop(here);
        assert_eq!(refused(&there, 2), HandoffError::Closed);
    }
    let (here, there) = stream();
    drop(there);
    let closed = send(&here, &uffd, &[], SECOND);
    assert_eq!(closed, Err(HandoffError::Closed));
    let closed = send(&uffd, &uffd, &[], SECOND);
    assert_eq!(closed, Err(HandoffError::Socket(Errno::ENOTSOCK)));
}

/// The descriptors that this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs it in a child, where nobody else opens descriptors. What is made once
/// must be made before: a child that is forked in the middle of that would wait
/// for a thread which it does not have.
fn alone(body: fn()) {
    watchdog();
    page_size();
    in_child(body);
}

#[test]
fn no_descriptor_leaks_whatever_comes() {
    alone(|| {
        let uffd = plain();
        let good = bytes(&regions(2));
        let before = descriptors();
        for at in 0..good.len() {
            for fds in 1..5 {
                let (here, there) = stream();
                let mut bad = good.clone();
                bad[at] ^= 0x81;
                raw(&here, &bad, &vec![uffd.as_fd(); fds]);
                drop(here);
                let mut room = [Region::EMPTY; 2];
                let _ = receive(&there, &mut room, SECOND);
            }
        }
        let (here, there) = stream();
        send(&here, &uffd, &regions(2), SECOND).unwrap();
        let mut room = [Region::EMPTY; 2];
        let received = receive(&there, &mut room, SECOND).unwrap();
        let flags = io::fcntl_getfd(&received.userfaultfd).unwrap();
        assert_eq!(flags, io::FdFlags::CLOEXEC);
        drop((received, here, there));
        assert_eq!(descriptors(), before);
    });
}

fn makes_sense(regions: &[Region]) {
    let mut floor = 0;
    for region in regions {
        let range = region.range();
        assert!(range.start() >= floor && !range.is_empty());
        assert!(region.page_size().is_power_of_two() && region.page_size() >= 4096);
        assert_eq!((range.start() | range.len()) % region.page_size(), 0);
        floor = range.start().checked_add(range.len()).unwrap();
        region.offset().checked_add(range.len() as u64).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if emulated() { 64 } else { 1024 })
    })]

    /// Any bytes, and bytes that are almost right.
    #[test]
    fn any_bytes_have_an_answer(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        count in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        if let Ok(parsed) = parse(&noise) {
            makes_sense(&parsed.collect::<Vec<_>>());
        }
        let mut almost = bytes(&regions(count));
        for (at, byte) in &changes {
            let at = at.index(almost.len());
            almost[at] = *byte;
        }
        let parsed = parse(&almost).map(|regions| {
            let len = regions.len();
            let regions: Vec<_> = regions.collect();
            assert_eq!(regions.len(), len);
            regions
        });
        if let Ok(regions) = &parsed {
            makes_sense(regions);
        }
        // The socket says the same. (There, regions may be joined.)
        let uffd = plain();
        let (here, there) = stream();
        raw(&here, &almost, &[uffd.as_fd()]);
        drop(here);
        let mut room = [Region::EMPTY; 8];
        match (receive(&there, &mut room, SECOND), parsed) {
            (Ok(received), Ok(parsed)) => {
                let table = received.table.regions();
                makes_sense(table);
                let len = |regions: &[Region]| regions.iter().map(|r| r.range().len()).sum::<usize>();
                assert_eq!(len(table), len(&parsed));
            }
            // The count is another one, and nothing more or less came.
            (Ok(_), Err(error)) => assert_eq!(error, ParseError::Length),
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => panic!("{error}"),
        }
    }
}

/// What page `i` has: never zero.
fn contents(i: usize) -> u8 {
    (i * 31 % 255) as u8 + 1
}

/// A handler in a process of its own: receives, attaches, and serves until it
/// has resolved `resolve` faults; then reads one more and dies with it.
///
/// In a child of a process with threads, so nothing is allocated.
fn handler(socket: &OwnedFd, resolve: usize) -> Result<(), Errno> {
    let mut room = [Region::EMPTY; 8];
    let received = receive(socket, &mut room, SECOND).map_err(|_| Errno::EPROTO)?;
    let _ = attach(&received.userfaultfd, received.table.regions())?;
    let page_size = received.table.largest_page();
    let mut page = [0; 64 << 10];
    let page = page.get_mut(..page_size).ok_or(Errno::EINVAL)?;
    let mut resolved = 0;
    loop {
        let mut fds = [PollFd::new(&received.userfaultfd, PollFlags::IN)];
        event::poll(&mut fds, None)?;
        let Ok(Event::Missing(fault)) = received.userfaultfd.read_event() else {
            continue;
        };
        let region = received.table.find(fault.address()).ok_or(Errno::ENOENT)?;
        if resolved == resolve {
            // The fault has been read, and nobody will resolve it.
            let _ = fault.park();
            // SAFETY: numbers; ends this process.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            continue;
        }
        let offset = region.offset_of(fault.address()).ok_or(Errno::ENOENT)?;
        page.fill(contents(offset as usize / page_size));
        fault.copy(page)?;
        resolved += 1;
    }
}

/// Starts a handler; gives its process and the socket to it.
fn start(resolve: usize) -> (i32, OwnedFd) {
    let (here, there) = stream();
    // SAFETY: the child allocates nothing and does not return.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let failed = handler(&there, resolve).is_err();
        // SAFETY: ends this process.
        unsafe { libc::_exit(failed.into()) };
    }
    (child, here)
}

fn wait_for(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: a child of ours.
    while unsafe { libc::waitpid(child, &raw mut status, 0) } != child {}
    status
}

/// A handler dies with a fault that it has read. The reader stalls, and goes on
/// with the next one; it never sees zeros.
#[test]
fn a_handler_that_dies_with_a_fault_is_a_stall() {
    let uffd = plain();
    let memory = pages(&uffd, 12, RegisterModes::MISSING);
    let table = [
        Region::new(page(&memory, 0), 0, page_size()),
        Region::new(
            PageRange::new(page(&memory, 1).start(), 11 * page_size()),
            page_size() as u64,
            page_size(),
        ),
    ];
    let keeper = Keeper::of(&uffd).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for i in 0..12 {
                let mut bytes = vec![0; page_size()];
                memory.read_at(&mut bytes, i * page_size());
                assert_eq!(bytes, filled(contents(i)), "page {i}");
            }
        });
        for resolve in [0, 1, 0, 5] {
            let (child, socket) = start(resolve);
            keeper.send(&socket, &table, SECOND).unwrap();
            let status = wait_for(child);
            assert!(libc::WIFSIGNALED(status), "{status:#x}");
            // Read by the dead one, and still waiting.
            let waiting = keeper.userfaultfd().waiting_from_fdinfo().unwrap();
            assert_eq!((waiting.unread, waiting.total), (0, 1));
            assert!(!reader.is_finished());
        }
        // Without waking, the next one would wait for ever.
        let (child, socket) = start(usize::MAX);
        keeper.send(&socket, &table, SECOND).unwrap();
        reader.join().unwrap();
        // SAFETY: our child.
        unsafe { libc::kill(child, libc::SIGKILL) };
        wait_for(child);
    });
    drop(memory);
    drop(keeper.release());
}

/// Handlers that are killed at any moment, while several threads read.
#[test]
fn handlers_killed_at_any_moment_never_let_zeros_through() {
    const READERS: usize = 3;
    let count = if emulated() { 60 } else { 600 };
    let uffd = plain();
    let memory = pages(&uffd, count, RegisterModes::MISSING);
    let table = [Region::new(memory.range(), 0, page_size())];
    let keeper = Keeper::of(&uffd).unwrap();
    thread::scope(|scope| {
        let memory = &memory;
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                scope.spawn(move || {
                    for i in (reader..count).step_by(READERS) {
                        // Two of them come to the same pages.
                        for i in [i, (i + 1) % count] {
                            let mut bytes = vec![0; page_size()];
                            memory.read_at(&mut bytes, i * page_size());
                            assert_eq!(bytes, filled(contents(i)), "page {i}");
                        }
                    }
                })
            })
            .collect();
        let mut pause = 1;
        while !readers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let (child, socket) = start(usize::MAX);
            match keeper.send(&socket, &table, SECOND) {
                Ok(()) => {}
                Err(error) => panic!("{error}"),
            }
            thread::sleep(Duration::from_micros(pause));
            pause = (pause * 7 + 13) % if emulated() { 60_000 } else { 3_000 };
            // SAFETY: our child.
            unsafe { libc::kill(child, libc::SIGKILL) };
            wait_for(child);
        }
    });
    drop(memory);
    drop(keeper.release());
}

#[test]
fn attaching_tells_which_events_may_be_lost() {
    let events = Features::EVENT_REMOVE | Features::EVENT_UNMAP;
    let table = |memory: &MappedRegion| [Region::new(memory.range(), 0, page_size())];
    let check = |uffd: &Userfaultfd, expected: Attached| {
        let memory = pages(uffd, 1, RegisterModes::MISSING);
        assert_eq!(attach(uffd, &table(&memory)), Ok(expected));
        // A region that was unmapped meanwhile is no error. (Dropping it waits
        // for its event to be read.)
        thread::scope(|scope| {
            let table = table(&memory);
            let gone = scope.spawn(|| drop(memory));
            until("unmapped", || {
                while uffd.read_event().is_ok() {}
                gone.is_finished()
            });
            assert_eq!(attach(uffd, &table), Ok(expected));
        });
    };
    check(&plain(), Attached::Complete);
    check(&open(Features::THREAD_ID), Attached::Complete);
    check(
        &open(events | Features::THREAD_ID),
        Attached::EventsMayBeLost(events),
    );
}

/// A keeper that is dropped keeps its descriptor; one that is released does
/// not.
#[test]
fn a_keeper_is_never_closed_by_accident() {
    alone(|| {
        let uffd = plain();
        let before = descriptors();
        drop(Keeper::of(&uffd).unwrap());
        assert_eq!(descriptors(), before + 1);
        let memory = pages(&uffd, 1, RegisterModes::MISSING);
        let address = memory.range().start();
        let keeper = Keeper::new(uffd);
        let copied = keeper
            .userfaultfd()
            .fill_copy(address, &filled(3), CopyFlags::empty());
        assert_eq!(copied.all(), Ok(page_size()));
        assert_eq!(peek(&memory, 0), 3);
        drop(memory);
        drop(keeper.release());
        // The one that was dropped is there, and nothing else.
        assert_eq!(descriptors(), before);
        let none = barecall::time::nanosleep(&Timespec::from_duration(Duration::ZERO));
        assert!(none.is_ok());
    });
}
