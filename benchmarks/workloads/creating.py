"""W8: creating 1,000 sessions, each with one message of 1,000 characters.  Feeds no bar.

Timed is from before the store is opened in an empty folder until it is closed, divided by the
number of sessions, and in the same turn, *until the last append returned*, without opening and
closing: plainstate folds every new session when it is closed.
"""

from __future__ import annotations

import math
import time
from functools import partial
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
    count = bench.sizes((SESSIONS,), (SESSIONS // 5,))[0]
    for ending, names, rounds in bench.groups(5, 1):
        whole: dict[str, list[list[float]]] = {name: [] for name in names}
        appending = {name: _turn(bench, name, count, whole[name]) for name in names}
        what = "a new session with one message"
        title = f"create sessions, until the last append returned{ending}"
        bench.compare(title, f"{what}, of {count:,}", appending, rounds, slow_s=math.inf)
        taken = {name: partial(whole[name].pop, 0) for name in names}
        title = f"create sessions, opened to closed{ending}"
        bench.compare(title, f"{what}, of {count:,}, opening and closing shared", taken, rounds)


def _turn(bench: Bench, name: str, count: int, whole: list[list[float]]) -> Turn:
    """Creates sessions in an empty folder; with opening and closing it goes to `whole`."""

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
        whole.append([(time.perf_counter() - begun) / made])
        remove(folder)
        return [(appended - opened) / made]

    return turn
