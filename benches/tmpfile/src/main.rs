//! Publishing a file atomically: barecall beside tempfile, atomic-write-file and
//! cap-tempfile, at the same durability; and what each leaves behind when a call
//! fails, or the process is killed.
//!
//! ```text
//! cargo bench -- time DIRECTORY...          a figure each way
//! cargo run --release -- faults DIRECTORY   the table (needs strace)
//! ```

#[path = "../../common/mod.rs"]
mod common;

use barecall::fd::OwnedFd;
use barecall::fs::{self, Mode, OFlags};
use barecall::io;
use barecall::tmpfile::{Durability, TmpfileOptions};
use std::error::Error;
use std::ffi::CString;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

type Outcome = Result<(), Box<dyn Error>>;

const OLD: &[u8] = b"old";
const NEW: &[u8] = &[b'n'; 4096];

/// A directory in the forms that the crates want.
struct Place {
    path: std::path::PathBuf,
    fd: OwnedFd,
    cap: cap_tempfile::cap_std::fs::Dir,
}

impl Place {
    fn new(path: &Path) -> Self {
        let c_path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            path: path.to_owned(),
            fd: fs::openat(fs::CWD, &c_path, flags, Mode::empty()).unwrap(),
            cap: cap_tempfile::cap_std::fs::Dir::open_ambient_dir(
                path,
                cap_tempfile::ambient_authority(),
            )
            .unwrap(),
        }
    }
}

/// One way of making `NEW` the contents of `name`.
struct Way {
    name: &'static str,
    durable: bool,
    run: fn(&Place) -> Outcome,
}

const WAYS: &[Way] = &[
    Way {
        name: "std: named file, rename",
        durable: false,
        run: |place| by_std(place, false),
    },
    Way {
        name: "barecall: replace(None)",
        durable: false,
        run: |place| by_barecall(place, Durability::None),
    },
    Way {
        name: "tempfile: persist",
        durable: false,
        run: |place| by_tempfile(place, false),
    },
    Way {
        name: "cap-tempfile: replace",
        durable: false,
        run: |place| by_cap_tempfile(place, false),
    },
    Way {
        name: "std: named file, fsync, rename, fsync",
        durable: true,
        run: |place| by_std(place, true),
    },
    Way {
        name: "barecall: replace(FileAndDir)",
        durable: true,
        run: |place| by_barecall(place, Durability::FileAndDir),
    },
    Way {
        name: "tempfile: fsync, persist, fsync",
        durable: true,
        run: |place| by_tempfile(place, true),
    },
    Way {
        name: "cap-tempfile: fsync, replace, fsync",
        durable: true,
        run: |place| by_cap_tempfile(place, true),
    },
    Way {
        name: "atomic-write-file: commit",
        durable: true,
        run: by_atomic_write_file,
    },
];

fn sync_dir(place: &Place) -> Outcome {
    Ok(std::fs::File::open(&place.path)?.sync_all()?)
}

fn by_std(place: &Place, durable: bool) -> Outcome {
    let scratch = place.path.join(".scratch");
    let mut file = std::fs::File::create_new(&scratch)?;
    file.write_all(NEW)?;
    if durable {
        file.sync_all()?;
    }
    std::fs::rename(scratch, place.path.join("name"))?;
    if durable {
        sync_dir(place)?;
    }
    Ok(())
}

fn by_barecall(place: &Place, durability: Durability) -> Outcome {
    let file = TmpfileOptions::new().linkable(&place.fd, c".")?;
    io::write_all(&file, NEW)?;
    file.replace(&place.fd, c"name", durability)?;
    Ok(())
}

fn by_tempfile(place: &Place, durable: bool) -> Outcome {
    let mut file = tempfile::NamedTempFile::new_in(&place.path)?;
    file.write_all(NEW)?;
    if durable {
        file.as_file().sync_all()?;
    }
    file.persist(place.path.join("name"))?;
    if durable {
        sync_dir(place)?;
    }
    Ok(())
}

fn by_cap_tempfile(place: &Place, durable: bool) -> Outcome {
    let mut file = cap_tempfile::TempFile::new(&place.cap)?;
    file.write_all(NEW)?;
    if durable {
        file.as_file().sync_all()?;
    }
    file.replace("name")?;
    if durable {
        sync_dir(place)?;
    }
    Ok(())
}

fn by_atomic_write_file(place: &Place) -> Outcome {
    let mut file = atomic_write_file::AtomicWriteFile::open(place.path.join("name"))?;
    file.write_all(NEW)?;
    Ok(file.commit()?)
}

fn main() {
    let args = std::env::args().skip(1);
    let args: Vec<String> = args.filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["time", ref dirs @ ..] if !dirs.is_empty() => dirs.iter().for_each(|dir| time(dir)),
        ["faults", dir] => faults(dir),
        ["once", dir, way] => once(dir, way),
        _ => {
            eprintln!("usage: time DIRECTORY... | faults DIRECTORY");
            std::process::exit(2);
        }
    }
}

/// Every way in turn, many rounds.
fn time(dir: &str) {
    for exists in [true, false] {
        for durable in [false, true] {
            let scratch = tempfile::tempdir_in(dir).unwrap();
            let place = Place::new(scratch.path());
            let name = scratch.path().join("name");
            let run = |way: &Way| {
                if exists {
                    std::fs::write(&name, OLD).unwrap();
                } else {
                    let _ = std::fs::remove_file(&name);
                }
                let start = Instant::now();
                (way.run)(&place).unwrap();
                start.elapsed().as_nanos() as f64
            };
            let ways = WAYS.iter().filter(|way| way.durable == durable);
            let ways = ways.map(|way| common::timed(way.name, || run(way)));
            let name = if exists { "name taken" } else { "name free" };
            let durable = if durable { ", durable" } else { "" };
            let case = format!("{name}{durable}");
            common::race("tmpfile", &case, "ns", common::rounds(301), ways.collect());
        }
    }
}

/// Shows in strace's log.
fn mark(name: &str) {
    let _ = std::fs::read_link(format!("/mark-{name}"));
}

fn once(dir: &str, way: &str) {
    let way = WAYS.iter().find(|known| known.name == way).unwrap();
    let place = Place::new(Path::new(dir));
    mark("begin");
    let outcome = (way.run)(&place);
    mark("end");
    if let Err(error) = outcome {
        eprintln!("{error}");
        // An error may hold the file, and remove it when dropped.
        drop(error);
        std::process::exit(1);
    }
}

/// Makes every call of every way fail once, and be the last once, and looks at
/// what is in the directory then.
fn faults(dir: &str) {
    let scratch = tempfile::tempdir_in(dir).unwrap();
    let place = scratch.path();
    let prepare = || {
        for entry in std::fs::read_dir(place).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        std::fs::write(place.join("name"), OLD).unwrap();
    };
    println!("| way | calls | failed: litter | said yes, but old | a part | killed: litter |");
    println!("|---|---|---|---|---|---|");
    for way in WAYS {
        prepare();
        let (_, log) = strace(place, way, None);
        let calls = between_marks(&log);
        let (mut litter, mut lied, mut part, mut killed) = (vec![], vec![], vec![], vec![]);
        for (call, when) in &calls {
            let name = format!("{call}#{when}");
            prepare();
            let (ok, _) = strace(place, way, Some(format!("{call}:error=EIO:when={when}")));
            let contents = std::fs::read(place.join("name")).unwrap_or_default();
            if std::fs::read_dir(place).unwrap().count() > 1 {
                litter.push(name.clone());
            }
            if ok && contents != NEW {
                lied.push(name.clone());
            }
            if contents != OLD && contents != NEW {
                part.push(name.clone());
            }
            prepare();
            strace(place, way, Some(format!("{call}:signal=KILL:when={when}")));
            if std::fs::read_dir(place).unwrap().count() > 1 {
                killed.push(name);
            }
        }
        let list = |names: &[String]| match names {
            [] => "none".to_owned(),
            names => format!("{}: {}", names.len(), names.join(" ")),
        };
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            way.name,
            calls.len(),
            list(&litter),
            list(&lied),
            list(&part),
            list(&killed),
        );
    }
}

fn strace(place: &Path, way: &Way, inject: Option<String>) -> (bool, String) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace
        .args(["-qq", "-e", "signal=none", "-o"])
        .arg(log.path());
    if let Some(inject) = inject {
        strace.args(["-e", &format!("inject={inject}")]);
    }
    strace.arg(std::env::current_exe().unwrap()).arg("once");
    let output = strace.arg(place).arg(way.name).output().unwrap();
    let log = std::fs::read_to_string(log.path()).unwrap();
    (output.status.success(), log)
}

/// The calls between the marks, as (name, how many of the kind so far). Not
/// close: an injected failure of it leaves the file open, which a real one does
/// not. Not memory either.
fn between_marks(log: &str) -> Vec<(String, usize)> {
    let mut seen = std::collections::HashMap::<&str, usize>::new();
    let (mut calls, mut inside) = (Vec::new(), false);
    for line in log.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let count = seen.entry(name).or_default();
        *count += 1;
        if line.contains("/mark-") {
            inside = line.contains("/mark-begin");
        } else if inside && !["close", "brk", "mmap", "munmap", "mremap"].contains(&name) {
            calls.push((name.to_owned(), *count));
        }
    }
    calls
}
