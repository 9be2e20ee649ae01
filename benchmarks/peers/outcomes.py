"""What an appended message costs with each peer in the long run, and what becomes of it.

    python -m benchmarks.peers.outcomes [PEER ...]

Needs strace(1).  One conversation, messages of 1,000 characters:

- *syncs*, *bytes written*: a session of 1,000 messages is filled and closed; another process
  opens it and appends 1,000 more, which are counted, per append.
- *lost*: two processes open the same session and append 200 messages each, at once.  What the
  appends did not report as failed and what is not there afterwards is lost.
- *torn end*: a process that appended 20 messages is killed; then the newest file loses its last
  40 bytes, as after a crash in the middle of a write.
- *cut in half*: after 20 messages and a clean close, the largest file is cut in half.
- *readable text*: whether every file that holds messages is.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import children, counting
from benchmarks.peers.__main__ import TMP
from benchmarks.peers.base import MISSING, PEERS

FILLED = COUNTED = 1_000
RACED = 200
FEW = 20
TORN_BYTES = 40

HEADER = (
    "| store | version | syncs | bytes written | lost of 400 | torn end: readable | cut in half"
    " | readable text |\n|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Prints one line for each peer, and below what was called of it."""
    TMP.mkdir(parents=True, exist_ok=True)
    names = sys.argv[1:] or list(PEERS)
    print(HEADER)
    for name in names:
        print(f"| {' | '.join([name, PEERS[name].version, *measured(name)])} |", flush=True)
    print()
    for name in names:
        print(f"- *{name}*: {PEERS[name].note}")
    if MISSING:
        print(f"\nNot installed: {', '.join(MISSING)}.")


def measured(name: str) -> list[str]:
    """What is said of one peer."""
    folder = Path(tempfile.mkdtemp(dir=TMP))
    try:
        children.run("append", name, folder / "cost", FILLED, 0)
        cost = counting.cost(name, folder / "cost", before=0, counted=COUNTED)
        return [
            f"{cost.syncs:.2f}",
            f"{cost.bytes:,.0f}",
            lost(name, folder / "lost"),
            torn(name, folder / "torn"),
            halved(name, folder / "halved"),
            "yes" if counting.is_text(folder / "cost") else "no",
        ]
    finally:
        shutil.rmtree(folder)


def lost(name: str, folder: Path) -> str:
    """Of the messages of two processes at once, how many are missing."""
    children.run("append", name, folder, 1, 0)
    racers = [children.start("race", name, folder, RACED, tag) for tag in "ab"]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()  # it is ready
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    done = sum(int(racer.communicate()[0] or 0) for racer in racers)
    kept = int(children.run("count", name, folder))
    refused = 2 * RACED - done
    return f"{done + 1 - kept}" + (f", {refused} refused" if refused else "")


def torn(name: str, folder: Path) -> str:
    """What is read after a kill and a torn end of the newest file."""
    children.run("killed", name, folder, FEW)
    newest = max(counting.files(folder), key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, newest.stat().st_size - TORN_BYTES)
    return children.run("look", name, folder, FEW, newest.name)


def halved(name: str, folder: Path) -> str:
    """What is read of a store whose largest file was cut in half."""
    children.run("append", name, folder, FEW, 0)
    largest = max(counting.files(folder), key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    return children.run("look", name, folder, FEW, largest.name)


if __name__ == "__main__":
    main()
