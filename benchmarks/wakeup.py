"""How long after a write in one process another one wakes up, by file notification.

    .venv/bin/python benchmarks/wakeup.py [--count 2000] [--json]

One process appends the time to a file that it keeps open, as writers append to the change feed,
with pauses in which the other falls asleep.  The other waits, reads what was appended, and
compares the clock, which both share.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from plainstate.fs.posix import PosixFileSystem

STAMP_BYTES = 8
TIMEOUT_S = 30.0


def main() -> None:
    """Runs both processes and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", help=argparse.SUPPRESS)  # be the writing process
    options = parser.parse_args()
    if options.write:
        write(options.write, options.count)
        return
    with tempfile.TemporaryDirectory(dir=".") as folder:
        latencies_us = follow(Path(folder).resolve(), options.count)
    result = {
        "median_us": statistics.median(latencies_us),
        "p99_us": statistics.quantiles(latencies_us, n=100)[-1],
        "max_us": max(latencies_us),
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print("  ".join(f"{name.replace('_us', '')} {value:.0f} µs" for name, value in result.items()))


def write(path: str, count: int) -> None:
    """Appends the time, with pauses of 1 to 5 ms."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for _ in range(count):
        time.sleep(random.uniform(0.001, 0.005))
        os.write(fd, time.monotonic_ns().to_bytes(STAMP_BYTES))


def follow(folder: Path, count: int) -> list[float]:
    """Starts the writer; returns the time from each write until it was seen, in µs."""
    path = folder / "feed"
    path.touch()
    notifier = PosixFileSystem().notifier()
    if notifier is None or not notifier.watch(str(folder), modifications=True):
        sys.exit("This system notifies of nothing: a follower polls.")
    writer = subprocess.Popen([sys.executable, __file__, "--write", path, "--count", str(count)])
    latencies_us: list[float] = []
    with path.open("rb") as feed:
        while len(latencies_us) < count:
            if not notifier.wait(TIMEOUT_S):
                writer.kill()
                sys.exit(f"Nothing came for {TIMEOUT_S:.0f} s after {len(latencies_us)} writes.")
            notifier.read()
            while stamp := feed.read(STAMP_BYTES):
                latencies_us.append((time.monotonic_ns() - int.from_bytes(stamp)) / 1000)
    writer.wait()
    notifier.close()
    return latencies_us


if __name__ == "__main__":
    main()
