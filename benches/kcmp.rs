//! Who shares what: the ways to ask, side by side.
//!
//! `cargo bench --bench kcmp`. Ratios are medians over rounds in which the
//! contenders take turns; absolute times are of this machine.

#[path = "common/mod.rs"]
mod common;
#[path = "../tests/common/host.rs"]
mod host;

use barecall::fd::OwnedFd;
use barecall::kcmp::{Entry, File, Relation, classify_by, classify_files, kcmp_file};
use barecall::process::{Pid, getpid, gettid};
use barecall::{fs, io};
use common::{figure, race, rounds, way};
use std::hint::black_box;
use std::process::{Child, Command, Stdio};

fn main() {
    same_open_file();
    classes();
    programs();
}

fn null() -> OwnedFd {
    let flags = fs::OFlags::CLOEXEC;
    fs::openat(fs::CWD, c"/dev/null", flags, fs::Mode::empty()).expect("/dev/null")
}

fn same_open_file() {
    let (a, b) = (null(), null());
    let (x, y, me) = (a.as_raw_fd(), b.as_raw_fd(), gettid());
    let calls = 5_000;
    race(
        "kcmp",
        "one open file?",
        "ns",
        rounds(61),
        vec![
            way("kcmp", calls, || {
                let _ = black_box(kcmp_file(me, x, me, y));
            }),
            way("F_DUPFD_QUERY", calls, || {
                let _ = black_box(io::fcntl_dupfd_query(&a, &b));
            }),
            way("same_description", calls, || {
                let _ = black_box(barecall::kcmp::same_description(&a, &b));
            }),
            way("getpid twice and kcmp", calls, || {
                let _ = black_box(kcmp_file(getpid(), x, getpid(), y));
            }),
            way("fstat twice (another question)", calls, || {
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

fn classes() {
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
        let case = format!("classes among {n} descriptors");
        let mut counted = 0;
        let sorted = classify_by(&mut entries, |a, b| {
            counted += 1;
            kcmp_file(a.pid, a.fd, b.pid, b.fd)
        });
        assert_eq!(sorted, Ok(classes));
        let how = "kcmp calls, counted; half of the descriptors are copies";
        for (name, count) in [("all pairs", calls), ("classify_files", counted)] {
            let key = format!("kcmp/{case}: calls/{name}");
            let ratio = count as f64 / calls as f64;
            figure(&key, count as f64, "calls", Some((ratio, "all pairs")), how);
        }
        race(
            "kcmp",
            &case,
            "ns",
            rounds(5),
            vec![
                way("all pairs", 1, || {
                    black_box(all_pairs(&files));
                }),
                way("classify_files", 1, || {
                    let _ = black_box(classify_files(&mut entries));
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

fn programs() {
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

    race(
        "kcmp",
        &format!("two processes with {each} descriptors each"),
        "ns",
        rounds(7),
        vec![
            way("lsfd", 1, || {
                run(&mut lsfd);
            }),
            way("fdshare -a", 1, || {
                run(&mut fdshare);
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
