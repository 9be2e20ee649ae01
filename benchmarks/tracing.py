"""Counting what appends and loads ask of the system, with strace(1)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.filling import filled
from benchmarks.peers.counting import READS, RENAMES, STRACE, WRITES, read_trace, written

if TYPE_CHECKING:
    from collections import Counter
    from pathlib import Path

    from benchmarks.bench import Bench

APPENDS = 200

KINDS = {
    "fdatasync": ("fdatasync",),
    "fsync": ("fsync", "msync"),
    "write": WRITES,
    "rename": RENAMES,
}


def count_appends(bench: Bench, name: str, length: int) -> dict[str, float]:
    """System calls and bytes of one append to a session of some length, on average."""
    folder = filled(bench, name, length)
    calls, moved = traced(folder, ["append", name, str(folder), str(APPENDS)])
    figures = {
        kind: sum(calls[call] for call in counted) / APPENDS for kind, counted in KINDS.items()
    }
    return figures | {"bytes": written(moved) / APPENDS}


def count_read_again(folder: Path) -> float:
    """Bytes that a second load reads in one handle, after another process appended a message."""
    _, moved = traced(folder, ["read-again", str(folder)])
    return sum(moved[call] for call in READS)


def traced(folder: Path, task: list[str]) -> tuple[Counter[str], Counter[str]]:
    """Runs a worker; calls and the bytes they moved, see `read_trace`."""
    trace = folder.with_suffix(".trace")
    worker = [sys.executable, "-W", "ignore", "-m", "benchmarks.workers", *task]
    subprocess.run([*STRACE, str(trace), *worker], check=True, stdout=subprocess.DEVNULL)
    return read_trace(trace.read_text("utf-8"), str(folder.resolve()))
