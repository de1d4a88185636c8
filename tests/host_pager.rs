//! The system calls of a fault that `pager` serves, counted by strace.

#[path = "common/host.rs"]
mod host;
#[path = "common/uffd.rs"]
mod uffd;

use barecall::auxv::{Auxv, Entry};
use barecall::pager::{Pager, PagerOptions, Region, RegionTable, SelfPager, SliceSource};
use barecall::process::getppid;
use barecall::time::ClockId;
use barecall::userfaultfd::{Features, MappedRegion, RegisterModes, UserfaultfdOptions};
use barecall::vdso::Vdso;
use std::thread;
use uffd::page_size;

/// Says that a part of a test runs in this process, under strace.
const PART: &str = "BARECALL_PAGER_PART";
const FAULTS: usize = 40;

barecall::self_pager!(fn install: SliceSource<'static>);

fn memory(features: Features) -> (&'static barecall::userfaultfd::Userfaultfd, MappedRegion) {
    // It ends a test that would hang; what its thread calls is not counted.
    uffd::watchdog();
    let options = UserfaultfdOptions::new().require(features);
    let uffd = Box::leak(Box::new(options.open_any().unwrap().userfaultfd));
    let len = FAULTS * page_size();
    let memory = MappedRegion::anonymous(uffd, len, RegisterModes::MISSING).unwrap();
    (uffd, memory)
}

fn source() -> &'static SliceSource<'static> {
    let bytes = vec![7; FAULTS * page_size()].leak();
    Box::leak(Box::new(SliceSource(bytes)))
}

fn table(memory: &MappedRegion) -> RegionTable<'static> {
    let mut table = RegionTable::new(Box::leak(Box::new([Region::EMPTY; 4])));
    let region = Region::new(memory.range(), 0, page_size());
    table.insert(region).unwrap();
    table
}

fn touch(memory: &MappedRegion) {
    for page in 0..FAULTS {
        let mut byte = [0];
        memory.read_at(&mut byte, page * page_size());
        assert_eq!(byte, [7]);
    }
}

/// The calls to be counted are those of one thread, between two `getppid`.
fn serve(options: PagerOptions<'_>, first: impl FnOnce() + Send) {
    let (uffd, memory) = memory(Features::empty());
    let pager = Pager::new(uffd, source(), table(&memory), options).unwrap();
    thread::scope(|scope| {
        let handler = scope.spawn(|| {
            let mut staging = vec![0; page_size()];
            first();
            getppid();
            pager.serve(&mut staging).unwrap();
            getppid();
        });
        touch(&memory);
        pager.stop();
        handler.join().unwrap();
    });
    assert_eq!(pager.stats().missing, FAULTS as u64);
    drop(memory);
    pager.shutdown();
}

fn serve_itself(options: PagerOptions<'static>) {
    let (uffd, memory) = memory(Features::SIGBUS);
    let staging = vec![0; page_size()].leak();
    let pager = SelfPager::new(uffd, source(), table(&memory), staging, options).unwrap();
    let pager = Box::leak(Box::new(pager));
    // SAFETY: faults of others are passed on, and the source is a slice.
    unsafe { install(pager) }.unwrap();
    getppid();
    touch(&memory);
    getppid();
    assert_eq!(pager.stats().missing, FAULTS as u64);
}

fn run_part(part: &str) {
    let options = PagerOptions::new(page_size()).block(page_size());
    match part {
        "clock by system call" => serve(options, || {}),
        "clock by vDSO" => {
            let mut entries = [Entry::NULL; Auxv::ROOM];
            let auxv = Auxv::read_proc(&mut entries).unwrap();
            // SAFETY: the kernel's vector.
            let vdso = unsafe { Vdso::from_auxv(auxv) };
            // Twice: where the vDSO has to ask the kernel, it shows.
            serve(options.vdso(vdso), || {
                getppid();
                let _ = vdso.clock_gettime(ClockId::MONOTONIC);
            });
        }
        "in the thread itself" => serve_itself(options),
        other => panic!("no part {other}"),
    }
}

/// The names of the calls from the first `getppid` to the last one, and the
/// `getppid` between.
fn calls(test: &str, part: &str) -> Vec<String> {
    let (output, log) = host::under_strace(&[], test, &[(PART, part.as_ref())]);
    assert!(output.status.success(), "{part}: {output:?}");
    let lines: Vec<(&str, &str)> = log
        .lines()
        .filter_map(|line| {
            let (thread, rest) = line.split_once(' ')?;
            let (name, _) = rest.trim_start().split_once('(')?;
            // Not the second half of one: `<... ppoll resumed>)`.
            (!name.starts_with('<')).then_some((thread, name))
        })
        .collect();
    let counted = |line: &&(&str, &str)| line.1 == "getppid";
    let thread = lines.iter().find(counted).expect("getppid").0;
    let mut own: Vec<_> = lines.iter().filter(|line| line.0 == thread).collect();
    let first = own.iter().position(counted).unwrap();
    let last = own.iter().rposition(counted).unwrap();
    own.drain(first..=last)
        .map(|line| line.1.to_owned())
        .collect()
}

/// What is between two `getppid`: so many times the same calls, and these at
/// the end.
#[track_caller]
fn assert_calls(counted: &[String], fault: &[&str], end: &[&str]) {
    let faults = (0..FAULTS).flat_map(|_| fault);
    let expected = ["getppid"].iter().chain(faults).chain(end);
    let expected: Vec<&str> = expected.chain(&["getppid"]).copied().collect();
    let differ = counted.iter().zip(&expected).position(|(a, b)| a != b);
    let differ = differ.unwrap_or(counted.len().min(expected.len()));
    assert!(
        counted == expected,
        "{} calls and not {}; from the {differ}th on {:?}",
        counted.len(),
        expected.len(),
        &counted[differ..counted.len().min(differ + 20)]
    );
}

#[test]
fn a_fault_is_five_system_calls_or_three_with_the_vdso() {
    if let Ok(part) = std::env::var(PART) {
        return run_part(&part);
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    let test = "a_fault_is_five_system_calls_or_three_with_the_vdso";
    let clock = ["ppoll", "read", "clock_gettime", "ioctl", "clock_gettime"];
    let counted = calls(test, "clock by system call");
    assert_calls(&counted, &clock, &["ppoll"]);

    let mut counted = calls(test, "clock by vDSO");
    // What the vDSO does when it is asked once.
    let asked = counted.iter().skip(1).position(|name| name == "getppid");
    let once: Vec<_> = counted.drain(..=asked.unwrap()).skip(1).collect();
    let fault: &[&str] = match once.is_empty() {
        true => &["ppoll", "read", "ioctl"],
        false => &clock,
    };
    assert_calls(&counted, fault, &["ppoll"]);
}

#[test]
fn a_fault_of_ones_own_is_two_system_calls() {
    if let Ok(part) = std::env::var(PART) {
        return run_part(&part);
    }
    if !host::have("strace") {
        return host::missing("strace");
    }
    let test = "a_fault_of_ones_own_is_two_system_calls";
    let counted = calls(test, "in the thread itself");
    assert_calls(&counted, &["ioctl", "rt_sigreturn"], &[]);
}
