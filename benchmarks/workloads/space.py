"""W7: bytes on disk, bytes written, peak memory.  Bar 7.

*Disk*: 10,000 messages of 1,000 characters in one session, bytes of all files per message: while
the store is open, and after it was closed.

*Written*: bytes given to write(2) and its kin per append at 1,000 messages, folds and checkpoints
left out, counted with strace(1); they stand among the system calls of the appends.

*Memory*: a process opens a store with a session of 10,000 messages and does one thing; the figure
is how far its resident size rose above what it was before at most, as the kernel counts it
(VmHWM after /proc/self/clear_refs).  *idle* is the resident size of the process with the open
store.  *raw load* reads and decodes the limit's lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import children
from benchmarks.filling import CannotFillError, filled, text
from benchmarks.peers.base import PEERS
from benchmarks.workloads.load import before_fold, folded_part
from plainstate import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench

LENGTH = 10_000
REPEATED = 5

TASKS = ("idle", "append", "fold", "load")


def run(bench: Bench) -> None:
    """Measures."""
    length = bench.sizes((LENGTH,), (LENGTH,))[0]
    names = bench.groups(1, 1)[-1][1]
    for name in names:
        if not name.endswith("again"):
            on_disk(bench, name, length)
    memory(bench, length)


def on_disk(bench: Bench, name: str, length: int) -> None:
    """How much of the disk a message takes."""
    try:
        folder = filled(bench, name, length)
    except CannotFillError as error:
        bench.note(f"disk: {name}: {error}")
        return
    closed = size_of(folder)
    store = PEERS[name].open(folder)
    few = max(1, length // 100)
    for number in range(few):
        store.append("s-0", text(number))
    live = size_of(folder)
    store.close()
    bench.count(
        "bytes on disk",
        f"per message, a session of {length:,}; live: a hundredth was appended since it was opened",
        name,
        live=live / (length + few),
        closed=closed / length,
    )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def memory(bench: Bench, length: int) -> None:
    """How far the resident size rises."""
    title, what = "peak memory", "MB that one call adds to the process, median of five processes"
    folded = filled(bench, "plainstate", length)
    raw = filled(bench, "limit", length)
    waiting = bench.folder("before-fold")
    with open_store(waiting, quiet_fold_s=1e6) as store:
        before_fold(bench, waiting, store, length, folded_part(bench, length))
        # the store stays open, and so unfolded, until its memory was measured
        places = {"idle": folded, "append": folded, "load": folded, "fold": waiting}
        for task, folder in places.items():
            megabytes = _median(bench, "plainstate", task, folder)
            bench.count(title, what, f"plainstate, {task}", megabytes=megabytes)
        for task in ("idle", "load"):
            bench.count(title, what, f"limit, {task}", megabytes=_median(bench, "limit", task, raw))


def _median(bench: Bench, name: str, task: str, folder: Path) -> float:
    """Of some processes; a fold changes the store, so there is only one of it."""
    times = 1 if task == "fold" else bench.rounds(REPEATED)
    arguments = ("-m", "benchmarks.memory", name, task, str(folder))
    found = sorted(float(children.python(*arguments)) for _ in range(times))
    return found[len(found) // 2]
