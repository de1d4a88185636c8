//! A handler, in a process of its own, that is killed at random moments: who
//! reads waits for the next one, and never sees zeros.

use crate::stress::{Random, duration};
use crate::support::*;
use crate::uffd::*;
use barecall::io;
use barecall::pager::{Ended, Pager, PagerOptions, Region, RegionTable};
use barecall::process::{WaitOptions, WaitStatus, WaitTarget, exit_group, fork, wait4};
use barecall::signal::{Signal, kill};
use barecall::userfaultfd::RegisterModes;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PAGES: usize = 256;
const READERS: usize = 3;

#[test]
fn a_handler_that_is_killed_is_a_stall_and_never_zeros() {
    let _turn = forking();
    let size = page_size();
    let uffd = plain();
    let memory = pages(&uffd, PAGES, RegisterModes::MISSING);
    let done = AtomicBool::new(false);
    let reads = [const { AtomicUsize::new(0) }; READERS];
    let mut staging = staging();
    let (mut generations, mut stalled) = (0, 0);
    thread::scope(|scope| {
        let (done, reads, memory) = (&done, &reads, &memory);
        let mut readers = Vec::new();
        for (number, reads) in reads.iter().enumerate() {
            readers.push(scope.spawn(move || {
                let mut random = Random::new(number as u64);
                while !done.load(Ordering::Relaxed) {
                    let index = random.below(PAGES);
                    // Without EVENT_REMOVE, the source's contents come back.
                    memory.discard(index * size, size).unwrap();
                    assert_page(memory, index, (index * size) as u64);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let mut random = Random::new(99);
        let end = Instant::now() + duration() / 4;
        while !done.load(Ordering::Relaxed) {
            let last = Instant::now() >= end;
            let mut room = [Region::EMPTY; 4];
            let mut table = RegionTable::new(&mut room);
            table.insert(Region::new(memory.range(), 0, size)).unwrap();
            let options = PagerOptions::new(size).block([1, 4, 16][random.below(3)] * size);
            let pager = Pager::new(&uffd, &Words, table, options).unwrap();
            // SAFETY: the child makes only calls of this crate, and exits.
            let child = match unsafe { fork() }.unwrap() {
                None => {
                    // What the last one had read, comes again.
                    let woken = pager.wake_regions();
                    let ended = pager.serve(&mut staging);
                    let right = woken.is_ok() && ended == Ok(Ended::Stopped);
                    exit_group(if right { 0 } else { 1 });
                }
                Some(child) => child,
            };
            if last {
                // All go on, with the last one.
                let before: Vec<_> = reads
                    .iter()
                    .map(|reads| reads.load(Ordering::Relaxed))
                    .collect();
                until("all readers", || {
                    let read = |number: usize| reads[number].load(Ordering::Relaxed);
                    (0..READERS).all(|number| read(number) > before[number] + 10)
                });
                done.store(true, Ordering::Relaxed);
                for reader in readers.drain(..) {
                    reader.join().unwrap();
                }
                pager.stop();
            } else {
                thread::sleep(Duration::from_micros(random.below(3000) as u64));
                kill(child, Signal::SIGKILL).unwrap();
            }
            let status = io::retry_on_intr(|| wait4(WaitTarget::Pid(child), WaitOptions::empty()));
            match status.unwrap() {
                Some((_, WaitStatus::Exited(0))) if last => {}
                Some((
                    _,
                    WaitStatus::Killed {
                        signal: Signal::SIGKILL,
                        ..
                    },
                )) if !last => {}
                other => panic!("{other:?}"),
            }
            if !last {
                thread::sleep(Duration::from_micros(random.below(1000) as u64));
                stalled += uffd.waiting_from_fdinfo().unwrap().total;
            }
            generations += 1;
            // The keeper is `uffd`.
            pager.shutdown();
        }
    });
    println!("{generations} handlers, {stalled} stalls");
}
