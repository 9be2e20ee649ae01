"""Counts what an append of each peer asks of the system, and checks how the peers are marked.

    python -m benchmarks.peers [PEER ...]

Each appends 20 messages of 1,000 characters to one session, then 20 more that are counted; then
another process reads all of them.  A peer is *durable* if each append is synced before it
returns.  A peer that is marked otherwise, or that does not give back what it was given, is an
error.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.peers import children, counting
from benchmarks.peers.base import MISSING, PEERS

BEFORE = COUNTED = 20
TMP = children.ROOT / ".cache" / "bench"

HEADER = (
    "| peer | version | syncs | renames | writes | bytes written | durable on return"
    " | readable text |\n|---|---|---:|---:|---:|---:|---|---|"
)


def main() -> None:
    """Prints the table.

    Raises:
        SystemExit: a peer is not what it is marked to be.
    """
    TMP.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    print(HEADER)
    for name in sys.argv[1:] or PEERS:
        folder = Path(tempfile.mkdtemp(dir=TMP))
        try:
            row, complaints = measured(name, folder / "store")
        finally:
            shutil.rmtree(folder)
        print(f"| {' | '.join(row)} |", flush=True)
        wrong += complaints
    if MISSING:
        print(f"\nNot installed: {', '.join(MISSING)}.")
    if wrong:
        sys.exit("\n".join(wrong))


def measured(name: str, folder: Path) -> tuple[list[str], list[str]]:
    """A row of the table, and what is wrong."""
    peer = PEERS[name]
    cost = counting.cost(name, folder, before=BEFORE, counted=COUNTED)
    found = children.run("look", name, folder, BEFORE + COUNTED, "")
    durable, readable = cost.syncs >= 1, counting.is_text(folder)
    wrong = []
    if found != f"{BEFORE + COUNTED} of {BEFORE + COUNTED}":
        wrong.append(f"{name} gives back {found}")
    if durable != peer.durable:
        wrong.append(f"{name} is marked durable={peer.durable} and makes {cost.syncs:g} syncs")
    if readable != peer.readable:
        wrong.append(f"{name} is marked readable={peer.readable}, which is not so")
    numbers = [f"{number:,.4g}" for number in cost[:-1]]
    shown = ["yes" if mark else "no" for mark in (durable, readable)]
    return [name, peer.version, *numbers, f"{cost.bytes:,.0f}", *shown], wrong


if __name__ == "__main__":
    main()
