"""One figure, as a bench prints it (benches/README.md), and where things are."""

import dataclasses
import os
import pathlib

BENCHES = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCHES.parent
TARGET = ROOT / "target" / "benches"


def cargo():
    # One target directory: the packages share what they depend on.
    os.environ["CARGO_TARGET_DIR"] = str(TARGET)
    return ["cargo"]


@dataclasses.dataclass
class Figure:
    topic: str
    case: str
    way: str
    value: float
    unit: str
    ratio: float | None
    against: str | None
    how: str

    @classmethod
    def parse(cls, line):
        """The figure of a line, or None: other lines are for people."""
        fields = line.split("\t")
        if len(fields) != 6 or fields[0].count("/") < 2:
            return None
        key, value, unit, ratio, against, how = fields
        topic, rest = key.split("/", 1)
        case, way = rest.rsplit("/", 1)
        ratio = None if ratio == "-" else float(ratio)
        return cls(topic, case, way, float(value), unit, ratio, against if against != "-" else None, how)


def group(topic, case, unit, how, values):
    """Figures of one case from `values` (way -> value), with the first to
    compare with. `how` is a string or a function of the way."""
    result, base = [], None
    for way, value in values.items():
        base = base or (way, value)
        ratio = value / base[1] if base[1] else None
        text = how(way) if callable(how) else how
        result.append(Figure(topic, case, way, value, unit, ratio, base[0], text))
    return result
