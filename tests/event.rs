//! Waiting for descriptors.

mod common;

use barecall::event::{
    self, EpollCreateFlags, EpollEvent, EpollFlags, EventFdFlags, PollFd, PollFlags, eventfd, poll,
};
use barecall::io::{self, FdFlags, PipeFlags};
use barecall::time::Timespec;
use barecall::{Errno, nr, syscall};
use core::mem::MaybeUninit;
use std::time::{Duration, Instant};

const NOW: Option<Timespec> = Some(Timespec {
    tv_sec: 0,
    tv_nsec: 0,
});

/// The kernel would see one of them, and wait for that.
#[test]
fn more_descriptors_than_an_int_can_say_are_too_many() {
    common::zeros_of(1 << 32 | 1, |fds: &mut [PollFd<'_>]| {
        assert_eq!(poll(fds, NOW), Err(Errno::EINVAL));
    });
}

#[test]
fn an_eventfd_counts_and_a_semaphore_gives_one_at_a_time() {
    let mut count = [0; 8];
    let event = eventfd(3, EventFdFlags::CLOEXEC | EventFdFlags::NONBLOCK).unwrap();
    assert_eq!(io::fcntl_getfd(&event), Ok(FdFlags::CLOEXEC));
    assert_eq!(io::read(&event, &mut count), Ok(8));
    assert_eq!(u64::from_ne_bytes(count), 3);
    assert_eq!(io::read(&event, &mut count), Err(Errno::EAGAIN));
    assert_eq!(io::read(&event, &mut count[..4]), Err(Errno::EINVAL));

    let event = eventfd(3, EventFdFlags::SEMAPHORE).unwrap();
    assert_eq!(io::fcntl_getfd(&event), Ok(FdFlags::empty()));
    io::read(&event, &mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 1);

    let unknown = EventFdFlags::from_bits_retain(1 << 30);
    assert_eq!(eventfd(0, unknown).unwrap_err(), Errno::EINVAL);
}

#[test]
fn poll_waits_as_long_as_it_was_told() {
    let (reader, _writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
    let mut fds = [PollFd::new(&reader, PollFlags::IN)];
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    let before = Instant::now();
    assert_eq!(poll(&mut fds, Some(wait)), Ok(0));
    assert!(before.elapsed() >= Duration::from_millis(20));
    let wrong = Timespec {
        tv_sec: 0,
        tv_nsec: 1_000_000_000,
    };
    assert_eq!(poll(&mut fds, Some(wrong)), Err(Errno::EINVAL));
    assert_eq!(poll(&mut [], NOW), Ok(0));
}

#[test]
fn poll_tells_what_came_and_skips_what_is_ignored() {
    let (reader, writer) = io::pipe2(PipeFlags::CLOEXEC).unwrap();
    io::write(&writer, b"x").unwrap();
    let mut fds = [
        PollFd::ignored(),
        PollFd::new(&reader, PollFlags::IN),
        PollFd::new(&writer, PollFlags::OUT),
        PollFd::new(&writer, PollFlags::empty()),
    ];
    assert_eq!(poll(&mut fds, None), Ok(2));
    let came = fds.map(|fd| fd.revents());
    assert_eq!(
        came,
        [
            PollFlags::empty(),
            PollFlags::IN,
            PollFlags::OUT,
            PollFlags::empty()
        ]
    );
    drop(reader);
    let mut fds = [PollFd::new(&writer, PollFlags::empty())];
    assert_eq!(poll(&mut fds, None), Ok(1));
    assert_eq!(fds[0].revents(), PollFlags::ERR);
}

/// ABI-010
#[test]
fn ppoll_of_a_bad_pointer_is_efault() {
    // SAFETY: nothing is at the end of the address space, which is the point.
    let error = unsafe { syscall!(nr::PPOLL, -4096, 1, 0, 0, 0) };
    assert_eq!(error, Err(Errno::EFAULT));
}

#[test]
fn epoll_gives_back_the_caller_s_numbers() {
    let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
    assert_eq!(io::fcntl_getfd(&epoll), Ok(FdFlags::CLOEXEC));
    let events: Vec<_> = (0..5)
        .map(|_| eventfd(1, EventFdFlags::CLOEXEC).unwrap())
        .collect();
    // All 64 bits, and both alignments of the packed struct.
    let number = |i: usize| 0x0123_4567_89ab_cd00 + i as u64;
    for (i, fd) in events.iter().enumerate() {
        event::epoll_add(&epoll, fd, EpollEvent::new(EpollFlags::IN, number(i))).unwrap();
    }
    let mut came = [MaybeUninit::uninit(); 8];
    let came = event::epoll_wait(&epoll, &mut came, -1).unwrap();
    let mut numbers: Vec<_> = came.iter().map(EpollEvent::data).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5).map(number).collect::<Vec<_>>());
    assert!(came.iter().all(|event| event.events() == EpollFlags::IN));
}

#[test]
fn epoll_refuses_what_cannot_be() {
    let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
    let fd = eventfd(0, EventFdFlags::CLOEXEC).unwrap();
    let none = EpollEvent::new(EpollFlags::empty(), 0);
    assert_eq!(event::epoll_modify(&epoll, &fd, none), Err(Errno::ENOENT));
    assert_eq!(event::epoll_delete(&epoll, &fd), Err(Errno::ENOENT));
    event::epoll_add(&epoll, &fd, none).unwrap();
    assert_eq!(event::epoll_add(&epoll, &fd, none), Err(Errno::EEXIST));
    assert_eq!(event::epoll_add(&epoll, &epoll, none), Err(Errno::EINVAL));
    event::epoll_delete(&epoll, &fd).unwrap();

    let mut room = [MaybeUninit::uninit(); 1];
    assert_eq!(event::epoll_wait(&epoll, &mut room, 0).unwrap().len(), 0);
    assert_eq!(
        event::epoll_wait(&epoll, &mut [], 0).unwrap_err(),
        Errno::EINVAL
    );
    assert_eq!(
        event::epoll_wait(&fd, &mut room, 0).unwrap_err(),
        Errno::EINVAL
    );
    let unknown = EpollCreateFlags::from_bits_retain(1);
    assert_eq!(event::epoll_create1(unknown).unwrap_err(), Errno::EINVAL);
}

/// The kernel takes no more than 2 GiB of them.
#[test]
fn epoll_takes_any_room() {
    use barecall::mm::{self, MapFlags, ProtFlags};
    let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
    let fd = eventfd(1, EventFdFlags::CLOEXEC).unwrap();
    event::epoll_add(&epoll, &fd, EpollEvent::new(EpollFlags::IN, 7)).unwrap();
    let count = i32::MAX as usize / size_of::<EpollEvent>() + 1;
    let len = count * size_of::<EpollEvent>();
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    let (none, both) = (ProtFlags::NONE, ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: a new mapping, of which only the beginning is touched.
    let (map, room) = unsafe {
        let map = mm::mmap_anonymous(std::ptr::null_mut(), len, none, flags).unwrap();
        mm::mprotect(map, 65536, both).unwrap();
        let room = std::slice::from_raw_parts_mut(map.cast::<MaybeUninit<EpollEvent>>(), count);
        (map, room)
    };
    let come = event::epoll_wait(&epoll, room, 0).map(|come| come.len());
    assert_eq!(come, Ok(1));
    let zero = Some(Timespec::ZERO);
    match event::epoll_pwait2(&epoll, room, zero, None).map(|come| come.len()) {
        Err(Errno::ENOSYS) => {}
        come => assert_eq!(come, Ok(1)),
    }
    // SAFETY: ours, and not used any more.
    unsafe { mm::munmap(map, len) }.unwrap();
}

#[test]
fn epoll_oneshot_comes_once_until_it_is_armed_again() {
    let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
    let fd = eventfd(1, EventFdFlags::CLOEXEC).unwrap();
    let once = EpollEvent::new(EpollFlags::IN | EpollFlags::ONESHOT, 1);
    event::epoll_add(&epoll, &fd, once).unwrap();
    let mut room = [MaybeUninit::uninit(); 1];
    assert_eq!(event::epoll_wait(&epoll, &mut room, -1).unwrap().len(), 1);
    assert_eq!(event::epoll_wait(&epoll, &mut room, 0).unwrap().len(), 0);
    event::epoll_modify(&epoll, &fd, once).unwrap();
    assert_eq!(event::epoll_wait(&epoll, &mut room, -1).unwrap().len(), 1);
}

/// A signal that is blocked comes while the call waits, and only then.
#[test]
fn a_mask_lets_a_signal_in_while_it_waits() {
    use barecall::process::{getpid, gettid};
    use barecall::signal::{How, SigSet, Signal, sigpending, sigprocmask, tgkill};
    extern "C" fn nothing(_signal: i32) {}
    common::in_child(|| {
        // SAFETY: a handler that does nothing.
        unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as usize) };
        let set = SigSet::of(&[Signal::SIGUSR1]);
        let before = sigprocmask(How::BLOCK, set).unwrap();
        let raise = || tgkill(getpid(), gettid(), Signal::SIGUSR1).unwrap();
        let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
        let mut room = [MaybeUninit::uninit(); 1];

        raise();
        assert_eq!(event::ppoll(&mut [], NOW, None), Ok(0));
        assert_eq!(event::ppoll(&mut [], None, Some(before)), Err(Errno::EINTR));
        assert_eq!(sigpending(), Ok(SigSet::EMPTY));
        raise();
        let quiet = event::epoll_pwait(&epoll, &mut room, 0, Some(set)).map(|e| e.len());
        assert_eq!(quiet, Ok(0));
        let woken = event::epoll_pwait(&epoll, &mut room, -1, Some(before)).map(|e| e.len());
        assert_eq!(woken, Err(Errno::EINTR));
        raise();
        let quiet = event::epoll_pwait2(&epoll, &mut room, NOW, Some(set)).map(|e| e.len());
        if !common::kernel_is_at_least(5, 11) {
            assert_eq!(quiet, Err(Errno::ENOSYS));
            return;
        }
        assert_eq!(quiet, Ok(0));
        let woken = event::epoll_pwait2(&epoll, &mut room, None, Some(before)).map(|e| e.len());
        assert_eq!(woken, Err(Errno::EINTR));
        let wrong = Some(Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000_000,
        });
        let wrong = event::epoll_pwait2(&epoll, &mut room, wrong, None).map(|e| e.len());
        assert_eq!(wrong, Err(Errno::EINVAL));
        assert_eq!(sigprocmask(How::SETMASK, before), Ok(set), "as it was");
    });
}

#[test]
fn epoll_pwait2_gives_what_has_come() {
    if !common::kernel_is_at_least(5, 11) {
        return;
    }
    let event = eventfd(1, EventFdFlags::CLOEXEC).unwrap();
    let epoll = event::epoll_create1(EpollCreateFlags::CLOEXEC).unwrap();
    event::epoll_add(&epoll, &event, EpollEvent::new(EpollFlags::IN, 9)).unwrap();
    let mut room = [MaybeUninit::uninit(); 4];
    let events = event::epoll_pwait2(&epoll, &mut room, None, None).unwrap();
    let seen: Vec<_> = events.iter().map(|e| (e.data(), e.events())).collect();
    assert_eq!(seen, [(9, EpollFlags::IN)]);
}
