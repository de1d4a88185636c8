"""What needs no clock, or other programs: instructions of call sites, bytes,
instructions and system calls of programs, resident memory, build times."""

import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

from figures import BENCHES, ROOT, TARGET, Figure, cargo, group

NAMES = {
    "hand": "asm by hand",
    "raw": "barecall, raw",
    "untyped": "barecall, `syscall!`",
    "typed": "barecall, typed",
    "libc": "libc",
    "libc_syscall": "libc::syscall",
    "rustix": "rustix",
    "rustix_no_result": "rustix (no result)",
    "sc": "sc",
    "syscalls": "syscalls",
    "linux_syscall": "linux-syscall",
}


def quiet(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


# Call sites


def objects():
    """benches/calls as an object file: (architecture, file, objdump)."""
    yield "x86_64", {}, "objdump"
    for rustc in ["rustc", "/usr/bin/rustc"]:
        target = "aarch64-unknown-linux-gnu"
        asked = subprocess.run(
            [rustc, "--print", "target-libdir", "--target", target],
            capture_output=True, text=True, cwd=ROOT,
        ) if shutil.which(rustc) else None
        if asked and pathlib.Path(asked.stdout.strip()).is_dir():
            linker = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"
            yield "aarch64", {"RUSTC": rustc, linker: "aarch64-linux-gnu-gcc"}, "aarch64-linux-gnu-objdump"
            return


def call_sites(missing):
    result, seen = [], set()
    for architecture, environment, objdump in objects():
        if not shutil.which(objdump):
            continue
        file = TARGET / f"calls-{architecture}.o"
        command = [*cargo(), "rustc", "--quiet", "--release", "--lib"]
        command += ["--manifest-path", str(BENCHES / "calls" / "Cargo.toml")]
        command += ["--target", f"{architecture}-unknown-linux-gnu", "--", f"--emit=obj={file}"]
        # cargo takes the file for made when nothing changed since.
        (BENCHES / "calls" / "src" / "lib.rs").touch()
        quiet(*command, cwd=ROOT, env=os.environ | environment)
        result += instructions(architecture, file, objdump)
        seen.add(architecture)
    if "aarch64" not in seen:
        missing.append("call sites on aarch64: no toolchain for it")
    return result


def instructions(architecture, file, objdump):
    # Two functions of one body are one, with two names at its address.
    bodies, section = {}, None
    for line in quiet(objdump, "-dr", "--no-show-raw-insn", str(file)).stdout.splitlines():
        if found := re.match(r"Disassembly of section (.*):", line):
            section = found[1]
        elif found := re.match(r"\s*[0-9a-f]+: R_", line):
            # Where the linker puts an address: of a function, if it is a jump.
            bodies[section][-1][2] |= re.match(r"(call|jmp|bl?)\s", bodies[section][-1][1]) is not None
        elif found := re.match(r"\s*([0-9a-f]+):\t(.*)", line):
            indirect = re.match(r"((call|jmp)\s+\*|blr?\s|br\s)", found[2]) is not None
            bodies.setdefault(section, []).append([int(found[1], 16), found[2], indirect])
    counts = {}
    for line in quiet(objdump, "-t", str(file)).stdout.splitlines():
        found = re.match(r"([0-9a-f]+) .{7} (\S+)\t([0-9a-f]+)\s.*?([a-z0-9_]+)\.([a-z0-9_]+)$", line)
        if not found or not found[2].startswith(".text"):
            continue
        start, size = int(found[1], 16), int(found[3], 16)
        body = [outside for at, _, outside in bodies[found[2]] if start <= at < start + size]
        counts.setdefault(found[4], {})[found[5]] = (len(body), sum(body))
    result = []
    for call in source_order(counts):
        ways = [way for way in NAMES if way in counts[call]]
        values = {NAMES[way]: counts[call][way][0] for way in ways}
        outside = {NAMES[way]: counts[call][way][1] for way in ways}
        how = lambda way: f"and {outside[way]} calls" if outside[way] else ""  # noqa: E731
        result += group(f"callsites {architecture}", call, "instructions", how, values)
    return result


def source_order(calls):
    text = (BENCHES / "calls" / "src" / "lib.rs").read_text()
    order = re.findall(r"sites! \{\s*(\w+):", text)
    return sorted(calls, key=order.index)


# Programs


def examples():
    command = [*cargo(), "build", "--quiet", "--release", "-p", "barecall-examples"]
    quiet(*command, "--bin", "hello", "--bin", "init", cwd=ROOT)
    return TARGET / "release"


def hello(missing):
    """The contenders: name -> file."""
    directory = TARGET / "programs"
    directory.mkdir(exist_ok=True)
    source = BENCHES / "programs"
    programs = {"barecall": examples() / "hello"}

    def build(name, *command):
        file = directory / re.sub(r"\W+", "-", name)
        if not shutil.which(command[0]):
            return missing.append(f"{name}: no {command[0]}")
        done = subprocess.run([*command, "-o", str(file)], capture_output=True, text=True, cwd=ROOT)
        if done.returncode != 0:
            return missing.append(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        programs[name] = file

    c = str(source / "hello.c")
    nolibc = pathlib.Path(os.environ.get("NOLIBC", "/nonexistent")) / "nolibc.h"
    if nolibc.exists():
        bare = ["-static", "-nostdlib", "-ffreestanding", "-fno-asynchronous-unwind-tables", "-fno-stack-protector"]
        build("C, nolibc", "gcc", "-Os", "-s", *bare, "-DNOLIBC", "-include", str(nolibc), c)
    else:
        missing.append("nolibc: its header is in no package of its own; NOLIBC=DIRECTORY names it")
    build("C, musl static", "musl-gcc", "-Os", "-s", "-static", c)
    build("C, glibc static", "gcc", "-Os", "-s", "-static", c)
    build("C, glibc dynamic", "gcc", "-Os", "-s", c)
    small = ["-Copt-level=z", "-Clto", "-Cpanic=abort", "-Cstrip=symbols", "-Ccodegen-units=1"]
    rust = str(source / "hello.rs")
    build("Rust std, static", "rustc", "--edition=2024", *small, "-Ctarget-feature=+crt-static", rust)
    build("Rust std, dynamic", "rustc", "--edition=2024", *small, rust)
    return programs


def programs(missing):
    files = hello(missing)
    result = group("programs", "file", "bytes", "size of the file", sizes(files))
    result += counts("programs", {name: [str(file)] for name, file in files.items()}, missing)
    values = {name: resident_at_write(file) for name, file in files.items()}
    how = "Rss of smaps_rollup, stopped in its write"
    result += group("programs", "resident", "kB", how, values)
    return result + spawned("programs", {name: str(file) for name, file in files.items()})


def counts(topic, commands, missing):
    """What does not depend on the clock."""
    result = []
    if shutil.which("valgrind"):
        values = {name: executed(command) for name, command in commands.items()}
        how = "valgrind --tool=callgrind, start to end"
        result += group(topic, "instructions", "instructions", how, values)
    else:
        missing.append("instructions: no valgrind")
    if shutil.which("strace"):
        values = {name: system_calls(command) for name, command in commands.items()}
        how = "strace, execve and exit_group included"
        result += group(topic, "system calls", "calls", how, values)
    else:
        missing.append("system calls: no strace")
    return result


def spawned(topic, commands):
    """The time from spawning to the end."""
    command = [*cargo(), "bench", "--quiet", "--bench", "spawn"]
    command += ["--manifest-path", str(BENCHES / "calls" / "Cargo.toml"), "--", topic]
    done = quiet(*command, *(f"{name}={words}" for name, words in commands.items()), cwd=ROOT)
    return [f for line in done.stdout.splitlines() if (f := Figure.parse(line))]


def sizes(files):
    return {name: pathlib.Path(file).stat().st_size for name, file in files.items()}


def executed(command):
    # A program that it starts is not counted.
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run([*valgrind, *command], capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def system_calls(command):
    strace = ["strace", "-qq", "-f", "-e", "signal=none", "-o", "/dev/stderr"]
    done = subprocess.run([*strace, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={})
    # What another process interrupted is two lines.
    return sum(" resumed>" not in line for line in done.stderr.splitlines())


def rollup(pid, field="Rss"):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.M)[1])


def asleep(pid, inside):
    """Waits until the process sleeps in a system call of that name's number."""
    for _ in range(1000):
        state = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()
        if state[0] in inside:
            return True
        time.sleep(0.005)
    return False


def resident_at_write(file):
    # Nobody reads the pipe, and it is full.
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, bytes(4096))
    except BlockingIOError:
        os.set_blocking(write, True)
    child = subprocess.Popen([str(file)], stdout=write, env={})
    os.close(write)
    try:
        assert asleep(child.pid, {"1", "64"}), file
        return rollup(child.pid)
    finally:
        child.kill()
        child.wait()
        os.close(read)


# Inits


def inits(missing):
    files = {"barecall init": examples() / "init"}
    for name in ["tini-static", "tini", "dumb-init"]:
        if found := shutil.which(name):
            files[name] = found
        else:
            missing.append(f"{name} is not installed")
    linked = lambda file: "INTERP" in quiet("readelf", "-lW", str(file)).stdout  # noqa: E731
    kind = {name: "dynamic" if linked(file) else "static" for name, file in files.items()}
    how = lambda way: f"size of the file, {kind[way]}"  # noqa: E731
    result = group("init", "file", "bytes", how, sizes(files))
    commands = {name: [str(file)] + ["-s"] * (name != "dumb-init") for name, file in files.items()}
    with_hello = {name: [*command, str(examples() / "hello")] for name, command in commands.items()}
    result += counts("init", with_hello, missing)
    resident, private = {}, {}
    for name, command in commands.items():
        # Where the stack begins in its page is random, and may cost pages.
        seen = [at_rest([*command, "sleep", "100"]) for _ in range(5)]
        resident[name], private[name] = (min(values) for values in zip(*seen))
    how = "Rss of smaps_rollup, its child asleep, least of 5"
    result += group("init", "resident", "kB", how, resident)
    result += group("init", "private", "kB", "Private_* of smaps_rollup, least of 5", private)
    return result + spawned("init", {name: " ".join(command) for name, command in with_hello.items()})


def at_rest(command):
    """The memory of an init whose child sleeps: resident, and its own."""
    child = subprocess.Popen(command, env={"PATH": os.environ["PATH"]})
    try:
        children = pathlib.Path(f"/proc/{child.pid}/task/{child.pid}/children")
        while not children.read_text().strip():
            time.sleep(0.005)
        time.sleep(0.2)
        return rollup(child.pid), rollup(child.pid, "Private_Dirty") + rollup(child.pid, "Private_Clean")
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


# Building


RUSTIX = "mm fs process thread time param mount system runtime event pipe net rand stdio"


def build(missing):
    """Clean debug builds of a crate that only depends on something."""
    directory = TARGET / "build"
    crates = {
        "bitflags, cfg-if alone": 'bitflags = { version = "2.9", default-features = false }\ncfg-if = "1"',
        "barecall, all features": f'barecall = {{ path = "{ROOT}", features = [FEATURES] }}',
        "rustix, the same families": 'rustix = { version = "1", default-features = false, features = [RUSTIX] }',
    }
    manifest = (ROOT / "Cargo.toml").read_text()
    features = re.search(r"\[features\]\n(.*?)\n\n", manifest, re.S)[1]
    features = [name for name in re.findall(r"^(\w+) =", features, re.M) if name != "default"]
    quote = lambda names: ", ".join(f'"{name}"' for name in names)  # noqa: E731
    for name, dependency in crates.items():
        crate = directory / re.sub(r"\W+", "-", name)
        (crate / "src").mkdir(parents=True, exist_ok=True)
        (crate / "src" / "lib.rs").write_text("#![no_std]\n")
        dependency = dependency.replace("FEATURES", quote(features)).replace("RUSTIX", quote(RUSTIX.split()))
        (crate / "Cargo.toml").write_text(
            f'[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n{dependency}\n'
        )
        quiet("cargo", "fetch", "--quiet", cwd=crate)
    rounds, walls, times = 3, {name: [] for name in crates}, {name: [] for name in crates}
    for _ in range(rounds):
        for name in crates:
            crate = directory / re.sub(r"\W+", "-", name)
            shutil.rmtree(crate / "target", ignore_errors=True)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            quiet("cargo", "build", "--quiet", "--offline", cwd=crate, env=os.environ | {"CARGO_TARGET_DIR": "target"})
            walls[name].append(time.monotonic() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    how = f"least of {rounds} rounds in turn"
    least = lambda kind: {name: round(min(values), 2) for name, values in kind.items()}  # noqa: E731
    result = group("build", "clean debug build", "s", how, least(walls))
    return result + group("build", "the same, processor time", "s", how, least(times))
