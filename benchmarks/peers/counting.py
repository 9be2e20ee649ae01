"""The system calls of an append, counted with strace(1) in a process of its own."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers import children

if TYPE_CHECKING:
    from pathlib import Path

SYNCS = ("fsync", "fdatasync", "msync")
RENAMES = ("rename", "renameat", "renameat2")
WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2")
MARKS = ("access", "faccessat", "faccessat2")
READS = ("read", "pread64", "readv", "preadv", "preadv2")
TRACED = ",".join((*SYNCS, *RENAMES, *WRITES, *READS, *MARKS))
STRACE = ("strace", "-f", "-y", "-s", "0", "--seccomp-bpf", "-e", f"trace={TRACED}", "-o")


class Cost(NamedTuple):
    """Calls on files of the store, and the bytes given to those that write: all per append."""

    syncs: float
    renames: float
    writes: float
    bytes: float


def cost(name: str, folder: Path, *, before: int, counted: int) -> Cost:
    """What an append costs when a process has made some before."""
    trace = folder.with_suffix(".trace")
    children.run("append", name, folder, before, counted, prefix=[*STRACE, str(trace)])
    calls, moved = read_trace(trace.read_text("utf-8"), str(folder.resolve()))
    sums = (sum(calls[call] for call in kind) for kind in (SYNCS, RENAMES, WRITES))
    return Cost(*(number / counted for number in (*sums, written(moved))))


def written(moved: Counter[str]) -> int:
    """The bytes that were written, of those that each kind of call moved."""
    return sum(moved[call] for call in WRITES)


def read_trace(trace: str, folder: str) -> tuple[Counter[str], Counter[str]]:
    """Calls between the two marks that name a file below `folder`, and the bytes they moved.

    A call that another thread interrupts stands in two lines of the trace.
    """
    calls: Counter[str] = Counter()
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
        if children.BEGIN in call or children.END in call:
            inside = children.BEGIN in call
        elif inside and folder in call and (result := re.search(r"= (\d+)$", call)):
            kind = call.partition("(")[0]
            calls[kind] += 1
            moved[kind] += int(result[1]) if kind in WRITES + READS else 0
    return calls, moved


def is_text(folder: Path) -> bool:
    """Whether all files that hold messages are UTF-8 without NUL."""
    try:
        return all("\0" not in path.read_text("utf-8") for path in files(folder))
    except UnicodeDecodeError:
        return False


def files(folder: Path) -> list[Path]:
    """The files that hold messages, not those that a store can make anew from them."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return [
        path for path in found if not path.name.endswith("-shm") and ".plainstate" not in path.parts
    ]
