"""The Markdown: a summary of what the chart shows, then every figure."""

import re

TEXTS = {
    "callsites": (
        "Call sites",
        "Instructions in a function that is only the call, `ret` included, by objdump of benches/calls/src/lib.rs at opt-level 3. "
        "`+ n` counts the calls to other functions, whose instructions are not in the number. Where a way is missing, the crate has no such call.",
    ),
    "time": (
        "Time of a call",
        "benches/calls/benches/time.rs. The ways take turns of 4,000 calls; the ratio is the median of the ratios within a round. "
        "Code placement alone moves such a loop by a few per cent, also below the loop in assembly: differences of that size mean nothing.",
    ),
    "programs": (
        "A program that says hello",
        "benches/programs. Each makes one `write` and ends. Instructions of dynamic programs include what valgrind preloads into them.",
    ),
    "init": (
        "An init",
        "examples/src/bin/init.rs has tini's behaviour and usage; the others are Debian's. System calls and time are those of an init that runs "
        "the hello above, with all that hello does; instructions are its own.",
    ),
    "vdso": ("The vDSO", "benches/vdso.rs. The ways take turns of 2,000 calls."),
    "mem": ("The mem symbols", "benches/mem.rs: `mem!`'s against glibc's, unaligned, by size in bytes."),
    "kcmp": ("Who shares what", "benches/kcmp.rs."),
    "tmpfile": ("Publishing a file", "benches/tmpfile: 4 KiB, durable or not, the name free or taken; on tmpfs."),
    "faults": (
        "Page faults",
        "benches/faults: what a page costs that a thread touches first; on one processor, where nothing else is said.",
    ),
    "pager": ("Pager", "benches/pager: processor time a page, of both threads, on one processor."),
    "dirty": ("Which pages were written", "benches/dirty.rs: processor time of arming, writing and collecting."),
    "spawn": ("Spawning and capturing", "benches/spawn.rs."),
    "build": (
        "Build time",
        "A clean debug build of an empty crate that depends on it, with one `cargo build` each, 2 jobs at most.",
    ),
}


def number(value, unit):
    """A value with its unit, as one would say it."""
    steps = {"ns": [(1e9, "s"), (1e6, "ms"), (1e3, "us")], "us": [(1e6, "s"), (1e3, "ms")]}
    for factor, name in steps.get(unit, []):
        if value >= factor:
            value, unit = value / factor, name
            break
    if value == int(value):
        digits = f"{value:,.0f}"
    elif value >= 100:
        digits = f"{value:.0f}"
    else:
        digits = f"{value:.3g}"
    return f"{digits} {unit}"


def times(ratio):
    if ratio is None:
        return ""
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"


def line(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head, rows):
    return [line(*head), "|" + "---|" * len(head), *(line(*row) for row in rows), ""]


def matrix(figures):
    """Call sites: ways down, calls across, a table each architecture."""
    result = []
    for topic in dict.fromkeys(f.topic for f in figures):
        some = [f for f in figures if f.topic == topic]
        calls = list(dict.fromkeys(f.case for f in some))
        cells = {(f.way, f.case): f for f in some}
        order = ["asm by hand", "barecall, raw", "barecall, `syscall!`", "barecall, typed"]
        ways = sorted(dict.fromkeys(f.way for f in some), key=lambda w: order.index(w) if w in order else 9)
        rows = []
        for way in ways:
            row = [way]
            for call in calls:
                figure = cells.get((way, call))
                outside = re.match(r"and (\d+) calls", figure.how) if figure else None
                text = f"{figure.value:.0f}" if figure else ""
                row.append(text + (f" + {outside[1]}" if outside else ""))
            rows.append(row)
        result += [f"{topic.split()[1]}:", "", *table(["", *calls], rows)]
    return result


def listed(figures):
    rows, last = [], None
    for f in figures:
        against = f"{times(f.ratio)}" if f.ratio is not None else ""
        case = f.case if f.case != last else ""
        how = re.sub(r"(?<=least )\d+\.\d+", lambda least: number(float(least[0]), f.unit), f.how)
        rows.append([case, f.way, number(f.value, f.unit), against, how])
        last = f.case
    return table(["", "", "", "ratio to the first", "how"], rows)


def markdown(machine, sections, rows, missing):
    out = [
        "# Results",
        "",
        f"Made by `benches/run` in one run; nothing here is typed by hand. {machine}. Times mean something as ratios only; "
        "benches/README.md says how they are taken.",
        "",
    ]
    if rows:
        out += ["![Each result relative to a peer](results.svg)", ""]
        cells = [
            [
                row.label,
                row.ours,
                f"{row.theirs} ({row.peer})",
                f"{row.advantage:.2f}" + (" *behind*" if row.behind else " *short*" if row.short else ""),
                row.aim or "",
            ]
            for row in rows
        ]
        out += table(["", "barecall", "peer", "times better", "aim"], cells)
        notes = [f"- {row.label}, beside {row.peer}: {row.note}" for row in rows if row.behind or row.short]
        if notes:
            out += ["Where barecall is behind, or short of its aim, and why:", "", *notes, ""]
    for name, figures in sections.items():
        title, text = TEXTS.get(name, (name, f"benches/{name}."))
        out += [f"## {title}", "", text, ""]
        if figures:
            out += matrix(figures) if name == "callsites" else listed(figures)
    if missing:
        out += ["## Left out", "", *(f"- {what}" for what in missing), ""]
    return "\n".join(out).rstrip() + "\n"
