"""Counting system calls with strace(1)."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.filling import filled

if TYPE_CHECKING:
    from benchmarks.bench import Bench

SYNCS = ("fsync", "fdatasync", "msync")
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
READS = ("read", "pread64", "readv", "preadv", "preadv2")
RENAMES = ("rename", "renameat", "renameat2")
MARKS = ("access", "faccessat", "faccessat2")
BEGIN, END = "/bench-begin", "/bench-end"
APPENDS = 200


def count_appends(bench: Bench, name: str, length: int) -> dict[str, float]:
    """System calls and bytes of one append to a session of some length, on average."""
    folder = filled(bench, name, length)
    counted, moved = traced(folder, ["append", name, str(folder), str(APPENDS)])
    kinds = {"fdatasync": ("fdatasync",), "fsync": ("fsync", "msync")}
    kinds |= {"write": WRITES, "rename": RENAMES}
    figures = {
        kind: sum(counted[call] for call in calls) / APPENDS for kind, calls in kinds.items()
    }
    return figures | {"bytes": sum(moved[call] for call in WRITES) / APPENDS}


def count_read_again(folder: Path) -> float:
    """Bytes that a second load reads in one handle, after another process appended a message."""
    _, moved = traced(folder, ["read-again", str(folder)])
    return sum(moved[call] for call in READS)


def traced(folder: Path, task: list[str]) -> tuple[Counter[str], Counter[str]]:
    """Runs a worker; calls and bytes by name of the call, see `read_trace`."""
    trace = folder.with_suffix(".trace")
    calls = ",".join((*SYNCS, *WRITES, *READS, *RENAMES, *MARKS))
    strace = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={calls}", "-o", str(trace)]
    subprocess.run([*strace, sys.executable, "-m", "benchmarks.workers", *task], check=True)
    return read_trace(trace.read_text("utf-8"), str(folder.resolve()))


def read_trace(trace: str, folder: str) -> tuple[Counter[str], Counter[str]]:
    """Calls and bytes moved, by name of the call, between the marks, for files below `folder`."""
    counted: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    pending: dict[str, str] = {}
    inside = False
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            pending[thread] = call.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", call):
            call = pending.pop(thread, "") + call[resumed.end() :]
        if BEGIN in call or END in call:
            inside = BEGIN in call
        elif inside and folder in call:
            name = call.partition("(")[0]
            counted[name] += 1
            if name in WRITES + READS and (result := re.search(r"= (\d+)$", call)):
                moved[name] += int(result[1])
    return counted, moved
