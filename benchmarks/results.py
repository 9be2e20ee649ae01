"""The figures of a run, and the file that holds them."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Ratio(msgspec.Struct):
    """A store's cost over another's.

    Attributes:
        of_p10: ratio of the 10th percentiles of all samples: the quiet moments.
        median: median of the ratios within a round; p25 and p75: their spread.
    """

    of_p10: float
    median: float
    p25: float
    p75: float


class Row(msgspec.Struct):
    """What one store took, in seconds, and its ratios to others of the same rounds."""

    p10: float
    p25: float
    median: float
    p75: float
    samples: int
    to: dict[str, Ratio] = {}


class Timing(msgspec.Struct):
    """A table of times.

    Attributes:
        what: what is timed, for a reader.
        rows: by store.
        left_out: stores without a row, and why.
    """

    what: str
    rows: dict[str, Row] = {}
    left_out: dict[str, str] = {}


class Counts(msgspec.Struct):
    """A table of figures that were counted, not timed: row → column → figure."""

    what: str
    rows: dict[str, dict[str, float]] = {}


class Part(msgspec.Struct):
    """What one workload found, by the name of the table."""

    timings: dict[str, Timing] = {}
    counts: dict[str, Counts] = {}
    notes: list[str] = []
    took_s: float = 0.0


class Results(msgspec.Struct):
    """A run: the machine and, by workload, the figures."""

    machine: dict[str, str | float | list[float]]
    versions: dict[str, str]
    parts: dict[str, Part] = {}

    def timing(self, table: str) -> Timing | None:
        """The table of this name, of whatever workload."""
        found = (part.timings[table] for part in self.parts.values() if table in part.timings)
        return next(found, None)

    def counted(self, table: str) -> Counts | None:
        """The table of this name, of whatever workload."""
        found = (part.counts[table] for part in self.parts.values() if table in part.counts)
        return next(found, None)


def row(samples: Sequence[float]) -> Row:
    """The figures of some samples."""
    return Row(
        percentile(samples, 10),
        percentile(samples, 25),
        statistics.median(samples),
        percentile(samples, 75),
        len(samples),
    )


def ratio(own: Row, other: Row, within: Sequence[float]) -> Ratio:
    """The ratio of two rows, `within` each round."""
    return Ratio(
        own.p10 / other.p10,
        statistics.median(within),
        percentile(within, 25),
        percentile(within, 75),
    )


def percentile(samples: Sequence[float], percent: int) -> float:
    """The sample that so many percent do not exceed, interpolated."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def machine(folder: Path) -> dict[str, str | float | list[float]]:
    """What the figures depend on."""
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernel": f"{platform.system()} {platform.release()}",
        "cpus": float(os.cpu_count() or 0),
        "file_system": file_system(folder),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_at_start": list(os.getloadavg()),
    }


def file_system(folder: Path) -> str:
    """Type of the file system that a folder is on."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    place = folder.resolve()
    holding = [mount for mount in mounts if place.is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] if holding else "unknown"


def read(path: Path) -> Results:
    """The results in a file."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(results: Results, path: Path) -> None:
    """Puts results into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
