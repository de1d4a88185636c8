//! What the memfd crates, memmap2's `map_if_safe` and this one take for a memfd
//! and for a file that is safe to map. The table is docs/memfd-peers.md, made
//! by running them: `BARECALL_WRITE=1 cargo test --test host_memfd_peers`.

use barecall::fd::{AsFd, OwnedFd};
use barecall::fs::{self, FdPath, Mode, OFlags};
use barecall::memfd::{
    Access, Exec, Frozen, MemfdOptions, NotFrozen, Seals, SharedMap, fcntl_get_seals,
};
use std::fmt::Write as _;
use std::os::fd as std_fd;
use std::os::fd::FromRawFd as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

const ANY: MemfdOptions = MemfdOptions::new()
    .exec(Exec::SystemDefault)
    .allow_sealing();

fn sealed(options: MemfdOptions, content: &[u8], seals: Seals) -> OwnedFd {
    let memfd = options.create(c"peers").unwrap();
    memfd.write_all_at(content, 0).unwrap();
    memfd.add_seals(seals).unwrap();
    memfd.into()
}

fn reopen(fd: OwnedFd, flags: OFlags) -> OwnedFd {
    fs::openat(fs::CWD, &FdPath::thread(&fd), flags, Mode::empty()).unwrap()
}

fn unnamed(dir: &std::ffi::CStr) -> OwnedFd {
    let flags = OFlags::TMPFILE | OFlags::RDWR;
    let file = fs::openat(fs::CWD, dir, flags, Mode::from_raw(0o600)).unwrap();
    barecall::io::write_all(&file, b"content").unwrap();
    file
}

fn std_file(fd: &OwnedFd) -> std::fs::File {
    let fd = fd.try_clone().unwrap().into_raw_fd();
    // SAFETY: it is nobody else's.
    unsafe { std::fs::File::from_raw_fd(fd) }
}

/// What is given to each of them.
fn files() -> Vec<(&'static str, OwnedFd)> {
    let x = b"content";
    let program = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
    let frozen = |options: MemfdOptions, content: &[u8]| sealed(options, content, Seals::IMMUTABLE);
    let (pipe, _) = barecall::io::pipe2(barecall::io::PipeFlags::CLOEXEC).unwrap();
    vec![
        ("memfd, no seals", sealed(ANY, x, Seals::empty())),
        ("memfd, WRITE only", sealed(ANY, x, Seals::WRITE)),
        ("memfd, SHRINK only", sealed(ANY, x, Seals::SHRINK)),
        (
            "memfd, SHRINK, GROW, FUTURE_WRITE (the writer keeps its mapping)",
            sealed(ANY, x, Seals::SHRINK | Seals::GROW | Seals::FUTURE_WRITE),
        ),
        ("memfd, SHRINK, WRITE", sealed(ANY, x, Seals::CONSTANT)),
        ("memfd, all four", frozen(ANY, x)),
        (
            "the same, opened read-only",
            reopen(frozen(ANY, x), OFlags::RDONLY),
        ),
        (
            "the same, opened write-only",
            reopen(frozen(ANY, x), OFlags::WRONLY),
        ),
        (
            "the same, opened O_PATH",
            reopen(frozen(ANY, x), OFlags::PATH),
        ),
        ("the same, empty", frozen(ANY, b"")),
        ("MFD_NOEXEC_SEAL, all four", frozen(MemfdOptions::new(), x)),
        ("MFD_EXEC, all four", frozen(program, x)),
        (
            "MFD_EXEC, F_SEAL_EXEC (which implies WRITE)",
            sealed(program, x, Seals::EXEC),
        ),
        ("a plain file on tmpfs", unnamed(c"/dev/shm")),
        ("a plain file on disk", unnamed(c"/var/tmp")),
        ("a pipe", pipe),
    ]
}

fn memfd_says(fd: &OwnedFd) -> String {
    match memfd::Memfd::try_from_file(std_file(fd)) {
        Err(_) => "no".into(),
        Ok(memfd) => match memfd.seals() {
            Err(_) => "yes, seals unknown".into(),
            Ok(seals) => {
                let mut names: Vec<String> = seals.iter().map(|seal| format!("{seal:?}")).collect();
                names.sort();
                format!("yes, {{{}}}", names.join(", "))
            }
        },
    }
}

fn memfile_says(fd: &OwnedFd) -> String {
    match memfile::MemFile::from_fd(std_fd::OwnedFd::from(std_file(fd))) {
        Err(_) => "no".into(),
        Ok(file) => match file.get_seals() {
            Err(_) => "yes, seals unknown".into(),
            Ok(seals) => {
                let mut names: Vec<String> = seals.iter().map(|seal| format!("{seal:?}")).collect();
                names.sort();
                format!("yes, {{{}}}", names.join(", "))
            }
        },
    }
}

fn memmap2_says(fd: &OwnedFd) -> String {
    let file = std_file(fd);
    match memmap2::MmapOptions::new().map_if_safe(&file) {
        Ok(map) => format!("maps {} bytes", map.len()),
        Err(_) => "refuses".into(),
    }
}

fn barecall_says(fd: &OwnedFd) -> String {
    match Frozen::verify(fd.try_clone().unwrap()) {
        Ok(frozen) => match frozen.map() {
            Ok(map) => format!("maps {} bytes", map.len()),
            Err(errno) => format!("verifies; mapping is {errno:?}"),
        },
        Err(refused) => match refused.why {
            NotFrozen::NoSeals => "refuses: no seals".into(),
            NotFrozen::Missing(missing) => {
                let names: Vec<&str> = missing.iter_names().map(|(name, _)| name).collect();
                format!("refuses: {} missing", names.join(" and "))
            }
            NotFrozen::ImpliedByExec => "refuses: WRITE may be implied".into(),
            NotFrozen::Os(errno) => format!("refuses: {errno:?}"),
            _ => "refuses".into(),
        },
    }
}

fn barecall_seals(fd: &OwnedFd) -> String {
    match fcntl_get_seals(fd) {
        Err(errno) => format!("{errno:?}"),
        Ok(seals) => {
            let names: Vec<&str> = seals.iter_names().map(|(name, _)| name).collect();
            format!("{{{}}}", names.join(", "))
        }
    }
}

fn or_panic(call: impl FnOnce() -> String) -> String {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| "panics".into())
}

fn ok<T, E>(result: Result<T, E>) -> String {
    if result.is_ok() {
        "yes".into()
    } else {
        "error".into()
    }
}

fn table() -> String {
    let mut text = String::from(
        "# Side by side: memfd 0.6.6, memfile 0.3.2, memmap2 0.9.12, barecall\n\n\
         Made by running them, on Linux 6.18: tests/host_memfd_peers.rs. The first two answer \"is this a\n\
         memfd, and what are its seals?\", the others \"may I have it as a `&[u8]`?\".\n\n\
         | file | `memfd::Memfd::try_from_file` | `memfile::MemFile::from_fd` | barecall `fcntl_get_seals` | memmap2 `map_if_safe` | barecall `Frozen::verify`, `map` |\n\
         |---|---|---|---|---|---|\n",
    );
    for (what, fd) in files() {
        let cells = [
            or_panic(|| memfd_says(&fd)),
            or_panic(|| memfile_says(&fd)),
            or_panic(|| barecall_seals(&fd)),
            or_panic(|| memmap2_says(&fd)),
            or_panic(|| barecall_says(&fd)),
        ];
        writeln!(text, "| {what} | {} |", cells.join(" | ")).unwrap();
    }
    text.push_str(
        "\nMaking one:\n\n\
         | what | memfd | memfile | barecall |\n\
         |---|---|---|---|\n",
    );
    let long = "x".repeat(250);
    let default = |name: &str| {
        [
            or_panic(|| ok(memfd::MemfdOptions::default().create(name))),
            or_panic(|| ok(memfile::MemFile::create_default(name))),
            or_panic(|| ok(MemfdOptions::new().create_named(name.as_bytes()))),
        ]
        .join(" | ")
    };
    writeln!(text, "| an empty name | {} |", default("")).unwrap();
    writeln!(text, "| 249 bytes | {} |", default(&long[1..])).unwrap();
    writeln!(text, "| 250 bytes | {} |", default(&long)).unwrap();
    writeln!(text, "| a NUL inside | {} |", default("a\0b")).unwrap();
    let bytes = ok(MemfdOptions::new().create_named(b"\xff"));
    writeln!(
        text,
        "| not UTF-8 | not with `AsRef<str>` | with `create_cstr` | {bytes} |"
    )
    .unwrap();
    let mode = |fd: &dyn std_fd::AsRawFd| {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap());
        format!("{:o}", mode & 0o777)
    };
    let memfd = memfd::MemfdOptions::default().create("x").unwrap();
    let memfile = memfile::MemFile::create_default("x").unwrap().into_fd();
    let ours = MemfdOptions::new().create(c"x").unwrap();
    let ours = fs::fstat(&ours).unwrap().st_mode & 0o777;
    writeln!(
        text,
        "| mode by default (`vm.memfd_noexec` = 0) | {} | {} | {ours:o} |",
        mode(memfd.as_file()),
        mode(&memfile),
    )
    .unwrap();
    text
}

#[test]
fn the_table_is_what_running_them_gives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/memfd-peers.md");
    let noexec = std::fs::read_to_string("/proc/sys/vm/memfd_noexec").unwrap_or_default();
    if noexec.trim() != "0" {
        eprintln!("skipped: the table is for Linux 6.3 and later with vm.memfd_noexec = 0");
        return;
    }
    let made = table();
    let old = std::fs::read_to_string(path).unwrap_or_default();
    // What is written by hand stands below the tables.
    let (_, by_hand) = old.split_once("\n## ").unwrap_or_default();
    if std::env::var_os("BARECALL_WRITE").is_some() {
        std::fs::write(path, format!("{made}\n## {by_hand}")).unwrap();
    } else {
        assert!(old.starts_with(&made), "{path} is out of date:\n{made}");
    }
}

/// What memmap2 cannot see and barecall refuses, where the kernel has the bug.
#[test]
fn a_sealed_executable_is_the_case_that_differs() {
    let program = MemfdOptions::new().exec(Exec::Executable).allow_sealing();
    let Ok(memfd) = program.create(c"x") else {
        return;
    };
    memfd.write_all_at(b"content", 0).unwrap();
    let map = SharedMap::new(&memfd, Access::ReadWrite, None).unwrap();
    let exec = memfd.add_seals(Seals::EXEC);
    let file = std_file(&memfd.as_fd().try_clone_to_owned().unwrap());
    let theirs = memmap2::MmapOptions::new().map_if_safe(&file);
    let ours = Frozen::verify(memfd.into());
    assert!(ours.is_err());
    if exec.is_ok() {
        // The kernel did not look: a "safe" map that changes.
        let theirs = theirs.unwrap();
        map.write_at(b"C", 0).unwrap();
        eprintln!("this kernel has the bug: {:?}", theirs.first());
    } else {
        assert!(theirs.is_err());
    }
}
