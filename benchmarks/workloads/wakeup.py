"""How long after a write in one process another one wakes up, by file notification.

Feeds no bar; docs/decisions/0015-file-notification.md rests on it.  One process appends the time
to a file that it keeps open, as writers append to the change feed, with pauses of 1 to 5 ms in
which the other falls asleep.  The other waits, reads what was appended, and compares the clock,
which both share.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.results import percentile
from plainstate.fs.posix import PosixFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

COUNT = 2_000
STAMP_BYTES = 8
TIMEOUT_S = 30.0


def run(bench: Bench) -> None:
    """Measures."""
    latencies = list(waking(bench, bench.sizes((COUNT,), (500,))[0]))
    bench.count(
        "waking up",
        "µs from a write until another process has read it",
        "plainstate",
        median_us=percentile(latencies, 50) * 1e6,
        p99_us=percentile(latencies, 99) * 1e6,
    )


def waking(bench: Bench, count: int) -> Iterator[float]:
    """Starts the writer; gives the seconds from each write until it was seen.

    Raises:
        TimeoutError: the system tells nothing.
    """
    folder = bench.folder("wakeup")
    folder.mkdir()
    path = folder / "feed"
    path.touch()
    notifier = PosixFileSystem().notifier()
    if notifier is None or not notifier.watch(str(folder), modifications=True):
        bench.note("wakeup: left out, this system notifies of nothing")
        return
    writer = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.workers", "stamp", str(path), str(count)]
    )
    bench.exits.callback(writer.wait)
    bench.exits.callback(writer.kill)
    seen = 0
    with path.open("rb") as feed:
        while seen < count:
            if not notifier.wait(TIMEOUT_S):
                raise TimeoutError(f"nothing came for {TIMEOUT_S:.0f} s after {seen} writes")
            notifier.read()
            while stamp := feed.read(STAMP_BYTES):
                yield (time.monotonic_ns() - int.from_bytes(stamp)) / 1e9
                seen += 1
    notifier.close()
