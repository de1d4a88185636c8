//! Who shares what: the ways to ask, side by side.
//!
//! `cargo bench --bench kcmp`. Ratios are medians over rounds in which the
//! competitors take turns; absolute times are of this machine.

#[path = "../tests/common/host.rs"]
mod host;

use barecall::fd::OwnedFd;
use barecall::kcmp::{Entry, File, Relation, classify_files, kcmp_file};
use barecall::process::{Pid, getpid, gettid};
use barecall::{fs, io};
use std::hint::black_box;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = match std::env::args().any(|arg| arg == "--bench") {
        true => 15,
        false => 1,
    };
    same_open_file(rounds);
    classes(rounds);
    programs(rounds);
}

/// Nanoseconds of one call of `f`.
fn time(calls: u32, mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        f();
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Takes turns, and prints each one's median and its ratio to the first.
fn compare(rounds: usize, calls: u32, ways: &mut [(&str, &mut dyn FnMut())]) {
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter_mut().zip(&mut times) {
            times.push(time(calls, &mut way.1));
        }
    }
    let first = times[0].clone();
    for ((name, _), times) in ways.iter().zip(&mut times) {
        let mut ratios: Vec<f64> = times.iter().zip(&first).map(|(a, b)| a / b).collect();
        let (time, ratio) = (median(times), median(&mut ratios));
        println!("  {name:38} {time:12.0} ns  {ratio:6.2}");
    }
}

fn null() -> OwnedFd {
    let flags = fs::OFlags::CLOEXEC;
    fs::openat(fs::CWD, c"/dev/null", flags, fs::Mode::empty()).expect("/dev/null")
}

fn same_open_file(rounds: usize) {
    println!("one question, two descriptors of this process");
    let (a, b) = (null(), null());
    let (x, y, me) = (a.as_raw_fd(), b.as_raw_fd(), gettid());
    compare(
        rounds,
        20_000,
        &mut [
            ("F_DUPFD_QUERY", &mut || {
                let _ = black_box(io::fcntl_dupfd_query(&a, &b));
            }),
            ("same_description", &mut || {
                let _ = black_box(barecall::kcmp::same_description(&a, &b));
            }),
            ("kcmp", &mut || {
                let _ = black_box(kcmp_file(me, x, me, y));
            }),
            ("getpid twice and kcmp", &mut || {
                let _ = black_box(kcmp_file(getpid(), x, getpid(), y));
            }),
            ("fstat twice (another question)", &mut || {
                let _ = black_box(barecall::kcmp::same_inode(&a, &b));
            }),
        ],
    );
}

/// What one does without an order: each descriptor against one of each class.
fn all_pairs(files: &[File]) -> (usize, usize) {
    let (mut calls, mut firsts) = (0, Vec::<File>::new());
    for file in files {
        let known = firsts.iter().any(|first| {
            calls += 1;
            kcmp_file(first.pid, first.fd, file.pid, file.fd) == Ok(Relation::Same)
        });
        if !known {
            firsts.push(*file);
        }
    }
    (firsts.len(), calls)
}

fn classes(rounds: usize) {
    for n in [64, 256, 900] {
        let opened: Vec<OwnedFd> = (0..n / 2).map(|_| null()).collect();
        let copies: Vec<OwnedFd> = opened.iter().map(|fd| fd.try_clone().unwrap()).collect();
        let pid = gettid();
        let files: Vec<File> = opened
            .iter()
            .chain(&copies)
            .map(|fd| File {
                pid,
                fd: fd.as_raw_fd(),
            })
            .collect();
        let mut entries: Vec<_> = files.iter().copied().map(Entry::new).collect();
        let (classes, calls) = all_pairs(&files);
        assert_eq!(classify_files(&mut entries), Ok(classes));
        println!("classes among {n} descriptors, half of them copies (all pairs: {calls} calls)");
        compare(
            rounds.min(5),
            1,
            &mut [
                ("classify_files", &mut || {
                    let _ = black_box(classify_files(&mut entries));
                }),
                ("all pairs", &mut || {
                    black_box(all_pairs(&files));
                }),
            ],
        );
    }
}

/// A process with many descriptors, which a child of it inherited.
struct Family {
    parent: Child,
    child: Pid,
}

impl Family {
    fn with(descriptors: usize) -> Self {
        // One in two is a copy; two opens of one file stand side by side.
        let script = format!(
            "ulimit -n 20000; i=10; while [ $i -lt {} ]; do \
             eval \"exec $i</dev/null $((i+1))<&$i\"; i=$((i+2)); done; \
             echo ready; sleep 1000 & wait",
            descriptors + 10
        );
        let mut parent = Command::new("bash")
            .args(["-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut ready = [0; 6];
        std::io::Read::read_exact(parent.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let id = parent.id();
        let child = loop {
            let path = format!("/proc/{id}/task/{id}/children");
            if let Ok(child) = std::fs::read_to_string(path).unwrap().trim().parse() {
                break Pid::from_raw(child).unwrap();
            }
        };
        Self { parent, child }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.to_string()).status();
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

fn programs(rounds: usize) {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let Some(programs) = host::examples(&target, "release") else {
        return;
    };
    if !host::have("lsfd") {
        return host::missing("lsfd");
    }
    let each = 4_000;
    let family = Family::with(each);
    let (parent, child) = (family.parent.id().to_string(), family.child.to_string());
    let run = |command: &mut Command| {
        let output = command.output().expect("a program");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut fdshare = Command::new(programs.join("fdshare"));
    fdshare.args(["-a", &parent, &child]);
    let mut lsfd = Command::new("lsfd");
    lsfd.args(["-p", &format!("{parent},{child}")]);

    println!("two processes, {each} descriptors each: opened twice, copied, inherited");
    compare(
        rounds.min(7),
        1,
        &mut [
            ("fdshare -a", &mut || {
                run(&mut fdshare);
            }),
            ("lsfd", &mut || {
                run(&mut lsfd);
            }),
        ],
    );

    // 20 and 21 are one open file, 22 another one of the same device. (bash has
    // uses of its own for the first numbers from 10 on.)
    let mut columns = Command::new("lsfd");
    columns.args(["-n", "-r", "-p", &parent]);
    columns.args(["-o", "ASSOC,TYPE,MODE,FLAGS,POS,MNTID,INODE,NAME"]);
    let rows = run(&mut columns);
    let row = |fd: &str| {
        let row = rows.lines().find(|row| row.split(' ').next() == Some(fd));
        row.and_then(|row| row.split_once(' '))
            .map(|(_, rest)| rest.to_owned())
    };
    let told = row("20") != row("22");
    println!(
        "  lsfd tells a copy from a second open: {}",
        if told { "yes" } else { "no" }
    );
    let rows = run(&mut fdshare);
    let of = |fd: i32| {
        let row = rows.lines().position(|row| {
            let holders = row.split("  ").filter_map(|who| who.split_once(':'));
            let mut ranges = holders.flat_map(|(_, fds)| fds.split(','));
            ranges.any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.trim().parse::<i32>().ok();
                number(first) <= Some(fd) && Some(fd) <= number(last) && number(first).is_some()
            })
        });
        row.expect("a row")
    };
    let told = of(20) == of(21) && of(20) != of(22);
    println!(
        "  fdshare tells a copy from a second open: {}",
        if told { "yes" } else { "no" }
    );
}
