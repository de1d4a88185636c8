"""The chart: how many times better than a peer, on one axis, better to the
right. Its rows are the summary table too."""

import dataclasses
import html
import math

from tables import number


@dataclasses.dataclass
class Compared:
    group: str
    label: str
    topic: str
    case: str
    ours: str
    peer: str
    note: str = "not expected"
    # How many times better it was meant to be.
    aim: float | None = None


# What is compared, with a peer that a user would otherwise take. The note
# stands in the results where we turn out behind, or short of the aim.
CHOSEN = [
    Compared("Instructions of a call", "`write` to the number or -1", "callsites x86_64", "write_or_minus_1", "barecall, typed", "rustix"),
    Compared("Instructions of a call", "`write` to a Result, out of line", "callsites x86_64", "write", "barecall, typed", "rustix"),
    Compared("Instructions of a call", "`memfd_create`, out of line", "callsites x86_64", "memfd_create", "barecall, typed", "rustix"),
    Compared("Time of a call", "getppid", "time", "getppid", "barecall", "libc::syscall", "within what code placement does"),
    Compared("Time of a call", "`write` to /dev/null", "time", "write of 64 bytes to /dev/null", "barecall", "libc::write", "within what code placement does"),
    Compared("Time of a call", "clock by the vDSO", "vdso", "clock_gettime(CLOCK_MONOTONIC)", "Vdso::clock_gettime", "libc", "both make the same call of the same function; what is left is code placement"),
    Compared("Time of a call", "16 random bytes", "vdso", "getrandom, 16 bytes", "Vdso::getrandom, state held", "libc::getrandom", aim=6),
    Compared("A static hello", "bytes of the file", "programs", "file", "barecall", "C, musl static"),
    Compared("A static hello", "instructions, start to end", "programs", "instructions", "barecall", "C, musl static"),
    Compared("A static hello", "bytes of the file", "programs", "file", "barecall", "C, nolibc"),
    Compared("A static hello", "instructions, start to end", "programs", "instructions", "barecall", "C, nolibc",
             "built for size, two constants are loaded by a push and a pop each"),
    Compared("A static hello", "system calls", "programs", "system calls", "barecall", "C, musl static"),
    Compared("A static hello", "resident memory", "programs", "resident", "barecall", "C, musl static"),
    Compared("A static hello", "spawn to end", "programs", "spawn to end", "barecall", "C, glibc static"),
    Compared("An init", "bytes of the file", "init", "file", "barecall init", "tini-static"),
    Compared("An init", "instructions, start to end", "init", "instructions", "barecall init", "tini-static"),
    Compared("An init", "system calls", "init", "system calls", "barecall init", "tini-static"),
    Compared("An init", "resident memory", "init", "resident", "barecall init", "tini-static"),
    Compared("An init", "spawn to end", "init", "spawn to end", "barecall init", "tini-static"),
    Compared("Spawning", "from 1 GiB resident, against std", "spawn", "1 GiB resident", "barecall", "Command", "the same calls of the kernel"),
    Compared("Spawning", "from 1 GiB resident, against fork", "spawn", "1 GiB resident", "barecall", "fork"),
    Compared("Spawning", "capture of 256 MiB", "capture", "256 MiB", "barecall, read", "Command::output"),
    Compared("Open files", "one open file?", "kcmp", "one open file?", "same_description", "kcmp", aim=3),
    Compared("Open files", "classes among 900 descriptors", "kcmp", "classes among 900 descriptors", "classify_files", "all pairs"),
    Compared("Open files", "fdshare, 8,000 descriptors", "kcmp", "two processes with 4000 descriptors each", "fdshare -a", "lsfd"),
    Compared("Publishing a file", "name free", "tmpfile", "name free", "barecall: replace(None)", "tempfile: persist", aim=1),
    Compared("Publishing a file", "name taken", "tmpfile", "name taken", "barecall: replace(None)", "tempfile: persist",
             "the kernel cannot link over a name, so there is a scratch name after all, and a lock on it: what a kill leaves behind is recognisable, and nothing is left by an error (benches/tmpfile)"),
    Compared("Page faults", "textbook loop, against C", "faults", "missing page, 4 KiB, textbook", "barecall", "C", "noise: the two make the same calls"),
    Compared("Page faults", "textbook loop, against userfaultfd-rs", "faults", "missing page, 4 KiB, textbook", "barecall", "userfaultfd-rs", "noise: the two make the same calls"),
    Compared("Page faults", "256 MiB through Pager, processor time", "pager", "256 MiB, sequential", "Pager", "userfaultfd-rs, textbook", "see benches/pager", aim=3.5),
    Compared("Page faults", "256 MiB from a memfd, processor time", "pager", "256 MiB in a memfd, sequential", "Pager, alias", "userfaultfd-rs, textbook", "see benches/pager", aim=10),
    Compared("Page faults", "256 MiB through SelfPager, 4 KiB, processor time", "pager", "256 MiB, sequential", "SelfPager, 4 KiB", "userfaultfd-rs, textbook", "a fault is one ioctl and the return from the signal, and takes as long as a handler written by hand (below): what it gains depends on what a signal costs on the machine", aim=1.5),
    Compared("Written pages", "DirtyTracker", "dirty", "256 MiB, 10 % written", "DirtyTracker", "write-protect, synchronous", "hardly longer than the bare calls take (below): what it gains depends on what switching between threads costs on the machine", aim=7),
    Compared("Written pages", "DirtyTracker", "dirty", "256 MiB, 10 % written", "DirtyTracker", "mprotect and SIGSEGV", "hardly longer than the bare calls take (below): what it gains depends on what a signal costs on the machine", aim=10),
    Compared("mem symbols", "memcpy of 64 bytes", "mem", "memcpy of 64", "barecall", "glibc", "SSE2 in a few bytes against AVX chosen at start"),
    Compared("mem symbols", "memcpy of 64 KiB", "mem", "memcpy of 65536", "barecall", "glibc", "`rep movsb` or SSE2, against AVX chosen at start"),
    Compared("mem symbols", "strlen of 4 KiB", "mem", "strlen of 4096", "barecall", "glibc", "glibc looks at 128 bytes a turn with AVX2; ours is a short loop, for programs whose size is the point"),
    Compared("Building", "clean debug build", "build", "clean debug build", "barecall, all features", "rustix, the same families", "more of it: the pager, the tracer, decoded structures"),
]


@dataclasses.dataclass
class Row:
    group: str
    label: str
    peer: str
    ours: str
    theirs: str
    advantage: float
    note: str
    aim: float | None

    @property
    def behind(self):
        return self.advantage < 0.97

    @property
    def short(self):
        return self.aim is not None and self.advantage < 0.97 * self.aim


def rows(figures):
    known = {(f.topic, f.case, f.way): f for f in figures}
    result = []
    for chosen in CHOSEN:
        ours = known.get((chosen.topic, chosen.case, chosen.ours))
        theirs = known.get((chosen.topic, chosen.case, chosen.peer))
        if not ours or not theirs or not ours.value:
            continue
        # Ratios within the rounds, where there are, are better than those of
        # medians.
        advantage = theirs.ratio / ours.ratio if ours.ratio and theirs.ratio else theirs.value / ours.value
        result.append(
            Row(chosen.group, chosen.label, chosen.peer, number(ours.value, ours.unit),
                number(theirs.value, theirs.unit), advantage, chosen.note, chosen.aim)
        )
    return result


STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #24292f; }
  .card { fill: #ffffff; stroke: #d0d7de; }
  .title { font-size: 17px; font-weight: 600; }
  .group { font-weight: 600; }
  .dim { fill: #57606a; font-size: 12px; }
  .end { text-anchor: end; }
  .mid { text-anchor: middle; }
  .grid { stroke: #d8dee4; }
  .one { stroke: #57606a; stroke-width: 1.5; }
  .ahead { fill: #1a7f6b; }
  .same { fill: #8c959f; }
  .behind { fill: #bc6c25; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .card { fill: #161b22; stroke: #30363d; }
    .dim { fill: #9198a1; }
    .grid { stroke: #2a3038; }
    .one { stroke: #9198a1; }
    .ahead { fill: #3fb39d; }
    .same { fill: #6e7681; }
    .behind { fill: #e09f5c; }
  }
"""

WIDTH, LEFT, RIGHT = 960, 330, 250
STEP, HEAD, GROUP = 24, 92, 32


def svg(machine, rows):
    plot = WIDTH - LEFT - RIGHT
    low = min([0.5, *(row.advantage for row in rows)])
    high = max([10, *(row.advantage for row in rows)])
    low, high = 10 ** (math.floor(math.log10(low) * 2) / 2), 10 ** math.ceil(math.log10(high))

    def x(value):
        return LEFT + plot * math.log(value / low) / math.log(high / low)

    body, y, last = [], HEAD, None
    for row in rows:
        if row.group != last:
            y += GROUP
            body.append(f'<text class="group" x="24" y="{y - 6}">{html.escape(row.group)}</text>')
            last = row.group
        centre = y + STEP / 2
        kind = "ahead" if row.advantage > 1.03 else "behind" if row.behind else "same"
        start, end = sorted([x(1), x(row.advantage)])
        label = html.escape(row.label.replace("`", ""))
        body.append(f'<text class="end" x="{LEFT - 12}" y="{centre + 4:.1f}">{label}</text>')
        body.append(
            f'<rect class="{kind}" x="{start:.1f}" y="{y + 4}" width="{max(end - start, 3):.1f}" height="{STEP - 8}" rx="2"/>'
        )
        factor = f"{row.advantage:.2f}" if row.advantage < 10 else f"{row.advantage:,.0f}"
        body.append(f'<text class="group" x="{WIDTH - RIGHT + 12}" y="{centre + 4:.1f}">{factor}</text>')
        body.append(
            f'<text class="dim" x="{WIDTH - RIGHT + 66}" y="{centre + 4:.1f}">{html.escape(row.peer)}</text>'
        )
        y += STEP
    bottom = y + 8
    grid = []
    power = math.ceil(math.log10(low))
    while 10**power <= high:
        value = 10**power
        name = f"{value:,.0f}" if value >= 1 else f"{value:g}"
        kind = "one" if power == 0 else "grid"
        grid.append(f'<line class="{kind}" x1="{x(value):.1f}" y1="{HEAD}" x2="{x(value):.1f}" y2="{bottom}"/>')
        grid.append(f'<text class="dim mid" x="{x(value):.1f}" y="{HEAD - 8}">{name}</text>')
        power += 1
    height = bottom + 44
    heading = [
        f'<text class="title" x="24" y="34">barecall beside its peers: how many times better (1 = the same, longer to the right = better)</text>',
        f'<text class="dim" x="24" y="56">less time, fewer instructions, bytes or calls than the peer named at the right; logarithmic</text>',
        f'<text class="dim" x="24" y="{height - 16}">{html.escape(machine)}</text>',
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
            "<title>barecall beside its peers</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
            *heading,
            *grid,
            *body,
            "</svg>",
            "",
        ]
    )
