//! The tour, built as `cargo tour` builds it and run on real input.

#[path = "common/host.rs"]
mod host;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, Endianness, TsResolution};
use std::io::Write as _;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

fn built(target: &'static str) -> Option<PathBuf> {
    static DIRS: [OnceLock<Option<PathBuf>>; 2] = [OnceLock::new(), OnceLock::new()];
    let cell = &DIRS[usize::from(target == host::AARCH64)];
    cell.get_or_init(|| host::examples(target, "release"))
        .as_ref()
        .map(|dir| dir.join("tour"))
}

fn tour() -> Command {
    let mut tour = Command::new(built(host::X86_64).expect("cargo, which runs this test"));
    tour.stdin(Stdio::null()).env_remove("LINK_TO");
    tour
}

/// Runs with these bytes as standard input, through a pipe.
fn feed(tour: &mut Command, bytes: &[u8]) -> Output {
    let mut child = tour
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap()
    })
}

fn said(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A capture with packets of these lengths, each cut to 200 bytes.
fn capture(endianness: Endianness, ts_resolution: TsResolution, lengths: &[u32]) -> Vec<u8> {
    let header = PcapHeader {
        endianness,
        ts_resolution,
        snaplen: 200,
        datalink: DataLink::ETHERNET,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (n, length) in lengths.iter().enumerate() {
        let data: Vec<u8> = (0..(*length).min(200))
            .map(|i| (i as u8) ^ (n as u8))
            .collect();
        let at = Duration::new(1_700_000_000 + n as u64, 123_456_000);
        writer
            .write_packet(&PcapPacket::new(at, *length, &data))
            .unwrap();
    }
    writer.into_writer()
}

/// 128 bytes that look like a dump at first sight, several times.
fn junk() -> Vec<u8> {
    let mut junk = vec![b'.'; 128];
    junk[2..6].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    junk[64..68].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    junk
}

fn scratch(name: &str) -> PathBuf {
    let dir = host::target_dir("tour-test").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn all_four_parts_come_to_their_end() {
    let output = tour().output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for line in [
        "1. A program's output in a memfd",
        "/memfd:tour (deleted)",
        "   It exited with status 0.",
        "   No PCAP dump in 0 bytes of standard input.",
        "where no page is.",
        "   It was given a page, and read 0xab.",
        " is the same as standard output (by ",
        " microseconds, by the vDSO's clock.\n",
    ] {
        assert!(said.contains(line), "{line:?} is missing:\n{said}");
    }
}

#[test]
fn what_the_command_says_is_printed_whole_however_long() {
    let script = "i=0; while [ $i -lt 30000 ]; do echo line $i of the output; i=$((i+1)); done; printf end; exit 3";
    let output = tour().args(["sh", "-c", script]).output().unwrap();
    let said = said(&output);
    let lines = said
        .lines()
        .filter(|l| l.starts_with("line ") && l.ends_with(" of the output"))
        .count();
    assert_eq!(lines, 30_000);
    assert!(said.contains("\nend\n   It exited with status 3.\n"));
    assert!(
        output.status.success(),
        "the command's status is told, not taken over"
    );
}

#[test]
fn a_command_that_a_signal_ends_is_told_so() {
    let output = tour().args(["sh", "-c", "kill -TERM $$"]).output().unwrap();
    assert!(said(&output).contains("   It was killed by SIGTERM.\n"));
}

#[test]
fn a_command_that_cannot_be_run_is_one_line_and_127() {
    let dir = scratch("commands");
    let plain = dir.join("plain");
    std::fs::write(&plain, "text").unwrap();
    let empty = dir.join("empty");
    std::fs::write(&empty, "").unwrap();
    std::fs::set_permissions(&empty, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (command, why) in [
        (
            Path::new("no-such-command"),
            "ENOENT: No such file or directory",
        ),
        (
            Path::new("/no/such/command"),
            "ENOENT: No such file or directory",
        ),
        (Path::new(""), "ENOENT: No such file or directory"),
        (&plain, "EACCES: Permission denied"),
        (&dir, "EACCES: Permission denied"),
        (&empty, "ENOEXEC: Exec format error"),
    ] {
        let output = tour().arg(command).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(127), "{said}");
        assert!(
            said.contains(&format!("   {}: {why}\n2. ", command.display())),
            "{said}"
        );
    }
}

#[test]
fn a_dump_is_found_in_every_byte_order_and_resolution() {
    for endianness in [Endianness::Little, Endianness::Big] {
        for resolution in [TsResolution::MicroSecond, TsResolution::NanoSecond] {
            let mut bytes = junk();
            bytes.extend(capture(endianness, resolution, &[105, 60, 1500, 0]));
            let output = feed(&mut tour(), &bytes);
            let said = said(&output);
            assert!(output.status.success(), "{said}");
            assert!(
                said.contains("   Found PCAP dump at offset 128\n"),
                "{endianness:?} {resolution:?}: {said}"
            );
            for line in [
                "   Read packet: full length = 105 bytes, available 105 bytes.\n",
                "   Read packet: full length = 1500 bytes, available 200 bytes.\n",
                "   Read packet: full length = 0 bytes, available 0 bytes.\n",
            ] {
                assert!(said.contains(line), "{line:?} is missing:\n{said}");
            }
            assert_eq!(
                said.contains("nanoseconds"),
                resolution == TsResolution::NanoSecond
            );
        }
    }
}

#[test]
fn link_to_publishes_a_capture_that_others_can_read_and_replaces_nothing() {
    let dir = scratch("publish");
    let file = dir.join("found.pcap");
    let dump = capture(
        Endianness::Little,
        TsResolution::MicroSecond,
        // pcap_file's reader refuses what libpcap allows: packets that were cut.
        &[105, 60, 200],
    );
    let mut bytes = junk();
    bytes.extend(&dump);

    let output = feed(tour().env("LINK_TO", &file), &bytes);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read(&file).unwrap(), dump);

    let mut reader = PcapReader::new(std::fs::File::open(&file).unwrap()).unwrap();
    let mut lengths = Vec::new();
    while let Some(packet) = reader.next_packet() {
        lengths.push(packet.unwrap().orig_len);
    }
    assert_eq!(lengths, [105, 60, 200]);

    if host::have("tcpdump") {
        let output = host::run(Command::new("tcpdump").args(["-n", "-r"]).arg(&file));
        let text = String::from_utf8_lossy(&output.stdout);
        // A line a packet; those of a hexadecimal dump are indented.
        let packets = text.lines().filter(|line| !line.starts_with('\t'));
        assert_eq!(packets.count(), 3, "{text}");
    } else {
        host::missing("tcpdump");
    }

    // A second time, and over a file of somebody else.
    for content in [dump, b"mine".to_vec()] {
        std::fs::write(&file, &content).unwrap();
        let output = feed(tour().env("LINK_TO", &file), &bytes);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).contains("EEXIST: File exists"),
            "{}",
            said(&output)
        );
        assert_eq!(std::fs::read(&file).unwrap(), content);
    }
    assert_eq!(
        std::fs::read_dir(&dir).unwrap().count(),
        1,
        "nothing else was left"
    );

    let output = feed(tour().env("LINK_TO", dir.join("no/such/directory")), &bytes);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("ENOENT: No such file or directory"));
}

#[test]
fn a_relative_name_is_taken_from_the_working_directory() {
    let dir = scratch("relative");
    let dump = capture(Endianness::Big, TsResolution::MicroSecond, &[1]);
    let output = feed(tour().current_dir(&dir).env("LINK_TO", "name.pcap"), &dump);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read(dir.join("name.pcap")).unwrap(), dump);
}

#[test]
fn a_dump_that_is_cut_off_anywhere_is_told_and_ends() {
    let dump = capture(Endianness::Little, TsResolution::MicroSecond, &[10, 7]);
    let whole = [24, 24 + 16 + 10, dump.len()];
    for length in 0..=dump.len() {
        let output = feed(&mut tour(), &dump[..length]);
        let said = said(&output);
        if length < 24 {
            assert!(said.contains("No PCAP dump"), "{length}: {said}");
            continue;
        }
        let cut = !whole.contains(&length);
        assert_eq!(output.status.code(), Some(cut.into()), "{length}: {said}");
        assert_eq!(
            said.contains("The dump is cut off: the next packet lacks"),
            cut,
            "{length}: {said}"
        );
        let packets = said.matches("Read packet").count();
        assert_eq!(
            packets,
            whole[1..].iter().filter(|end| **end <= length).count(),
            "{length}"
        );
    }
}

#[test]
fn a_length_that_no_packet_has_is_damage() {
    let mut dump = capture(Endianness::Little, TsResolution::MicroSecond, &[10, 7]);
    for length in [u32::MAX, 0x8000_0000, 128 * 1024 * 1024 + 1] {
        dump[24 + 16 + 10 + 8..][..4].copy_from_slice(&length.to_le_bytes());
        let output = feed(&mut tour(), &dump);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said.contains(&format!(
                "The dump is damaged: the next packet claims {length} bytes."
            )),
            "{said}"
        );
        assert_eq!(said.matches("Read packet").count(), 1);
    }
}

#[test]
fn input_of_any_size_is_read_from_a_pipe() {
    let mut bytes = vec![0x55; 20 * 1024 * 1024];
    let dump = capture(Endianness::Big, TsResolution::NanoSecond, &vec![105; 500]);
    bytes.extend(&dump);
    let output = feed(&mut tour(), &bytes);
    let said = said(&output);
    assert!(said.contains(&format!("Found PCAP dump at offset {}", 20 * 1024 * 1024)));
    assert_eq!(
        said.matches("full length = 105 bytes, available 105 bytes.")
            .count(),
        500
    );
}

#[test]
fn with_a_terminal_nothing_is_read_from_it() {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: two new descriptors, owned right after.
    let (_master, slave) = unsafe {
        let null = std::ptr::null_mut();
        assert_eq!(
            libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()),
            0
        );
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    };
    let output = tour().stdin(slave).output().unwrap();
    assert!(output.status.success());
    assert!(said(&output).contains("   Standard input is a terminal: no dump to look for.\n"));
}

#[test]
fn closed_standard_descriptors_are_no_crash() {
    for redirection in ["<&-", "2>&-", "<&- 2>&-"] {
        let program = built(host::X86_64).unwrap();
        let script = format!("exec {} {redirection}", program.display());
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{redirection}: {output:?}");
    }
    let script = format!("exec {} >&-", built(host::X86_64).unwrap().display());
    let output = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "nowhere to print to");
}

#[test]
fn the_kernel_is_asked_what_was_meant() {
    if !host::have("strace") {
        return host::missing("strace");
    }
    let dir = scratch("strace");
    let trace = dir.join("trace");
    let mut strace = Command::new("strace");
    strace
        .arg("-f")
        .arg("-o")
        .arg(&trace)
        .arg(built(host::X86_64).unwrap());
    strace.env("LINK_TO", dir.join("found.pcap"));
    let output = feed(
        &mut strace,
        &capture(Endianness::Little, TsResolution::MicroSecond, &[105]),
    );
    assert!(output.status.success(), "{}", said(&output));

    let trace = std::fs::read_to_string(&trace).unwrap();
    for call in [
        // strace 6.1 prints the flag that it does not know as a number.
        "memfd_create(\"tour\", MFD_CLOEXEC|",
        "pipe2([",
        "wait4(",
        "memfd_create(\"stdin\", MFD_CLOEXEC|",
        "F_ADD_SEALS, F_SEAL_SEAL|F_SEAL_SHRINK|F_SEAL_GROW|F_SEAL_WRITE",
        "PROT_READ, MAP_PRIVATE, ",
        "O_RDWR|O_CLOEXEC|O_TMPFILE, 0",
        "AT_EMPTY_PATH) = 0",
        "userfaultfd(UFFD_USER_MODE_ONLY|O_NONBLOCK|O_CLOEXEC)",
        "UFFDIO_API, {api=0xaa, features=0",
        "UFFDIO_REGISTER, {range={start=0x",
        "mode=UFFDIO_REGISTER_MODE_MISSING",
        "UFFDIO_COPY, {dst=0x",
        "exit_group(0)",
    ] {
        assert!(trace.contains(call), "{call:?} is missing:\n{trace}");
    }
    // Nothing of libc's: no brk, no TLS, no locale files.
    let own: Vec<&str> = trace
        .lines()
        .filter(|line| !line.contains("/bin/date"))
        .collect();
    assert!(
        !own.iter()
            .any(|line| line.contains("set_robust_list") && line.contains("tour"))
    );
}

#[test]
fn the_program_is_static_and_small() {
    for target in host::targets() {
        let program = built(target).expect("one of host::targets");
        let headers = host::run(Command::new("readelf").arg("-lW").arg(&program)).stdout;
        let headers = String::from_utf8_lossy(&headers).into_owned();
        assert!(
            !headers.contains("INTERP") && !headers.contains("DYNAMIC"),
            "{headers}"
        );
        assert!(!headers.contains("RWE"), "{headers}");
        let dynamic = host::run(Command::new("readelf").arg("-dW").arg(&program)).stdout;
        assert!(!String::from_utf8_lossy(&dynamic).contains("NEEDED"));
        let undefined = host::run(Command::new("nm").arg("-u").arg(&program)).stdout;
        assert_eq!(String::from_utf8_lossy(&undefined), "");
        let size = std::fs::metadata(&program).unwrap().len();
        println!("{target}: tour: {size} bytes");
        assert!(size <= 48 * 1024, "{target}: {size} bytes");
    }
}

#[test]
fn it_runs_on_aarch64_too() {
    let Some(program) = built(host::AARCH64) else {
        return host::missing("a Rust toolchain for aarch64");
    };
    if !host::have("qemu-aarch64-static") {
        return host::missing("qemu-aarch64-static");
    }
    let mut bytes = junk();
    bytes.extend(capture(
        Endianness::Little,
        TsResolution::MicroSecond,
        &[105, 1500],
    ));
    let output = feed(&mut host::command(host::AARCH64, &program), &bytes);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("   It exited with status 0.\n"), "{said}");
    assert!(
        said.contains("   Read packet: full length = 105 bytes, available 105 bytes.\n"),
        "{said}"
    );
    // qemu-user has no userfaultfd; tests/matrix runs the tour on real kernels.
    assert!(
        said.contains("   Not on this kernel: userfaultfd: ENOSYS") || said.contains("read 0xab"),
        "{said}"
    );
    assert!(said.contains("is the same as standard output"), "{said}");
}
