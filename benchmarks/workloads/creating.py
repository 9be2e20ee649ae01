"""W8: creating 1,000 sessions, each with one message of 1,000 characters.  Feeds no bar.

Timed is from before the store is opened in an empty folder until it is closed, divided by the
number of sessions, and apart from it, *until the last append returned*, without opening and
closing: plainstate folds every new session when it is closed.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from benchmarks.bench import remove
from benchmarks.filling import text
from benchmarks.peers.base import PEERS

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Turn

SESSIONS = 1_000
BUDGET_S = 10.0


def run(bench: Bench) -> None:
    """Measures."""
    count = bench.sizes((SESSIONS,), (SESSIONS,))[0]
    for ending, names, rounds in bench.groups(5, 1):
        for closing in (False, True):
            until = "opened to closed" if closing else "until the last append returned"
            bench.compare(
                f"create {count:,} sessions, {until}{ending}",
                f"a new session with one message, {until}",
                {name: _turn(bench, name, count, closing=closing) for name in names},
                rounds,
                slow_s=math.inf,
            )


def _turn(bench: Bench, name: str, count: int, *, closing: bool) -> Turn:
    def turn() -> list[float]:
        folder = bench.folder(f"{name}-created")
        begun = time.perf_counter()
        store = PEERS[name.removesuffix(" again")].open(folder)
        opened = time.perf_counter()
        made = 0
        while made < count and time.perf_counter() - opened < BUDGET_S:
            store.append(f"s-{made}", text(made))
            made += 1
        appended = time.perf_counter()
        store.close()
        closed = time.perf_counter()
        remove(folder)
        return [(closed - begun if closing else appended - opened) / made]

    return turn
