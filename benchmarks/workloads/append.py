"""W1: one durable append of a message of 1,000 characters.  Bars 1 and 2.

Timed is the library's call, from its arguments to its return, in a store that is open and whose
session was appended to before: at 100, 1,000, 10,000 and 100,000 messages, a few calls a turn,
each timed apart.  Not timed are opening, filling and the first append of a turn, which finds the
caches of the processor full of others' work.  Sessions grow by less than a third meanwhile.

*New session* is the first message of a session that does not exist, in an open store.  Its limit
is: create a file, write, fdatasync, fsync the folder.

SQLite's log grows after it was opened until, after some 220 messages, it is copied into the
database; from then on it is written from its start again, where no sync has to make a file
longer.  *sqlite_full* is opened so often that its log grows all the time, as that of a program
that runs for a few conversations; *log reused* is the other state, that of one that runs for long.
In the tables with every store it is in whichever it comes to.

plainstate folds as it does by default.  An append that folded is seen by its new snapshot; it is
in a row of its own and not among the others.

*Async* times plainstate's asynchronous face with one task that awaits one append after another,
and beside it the blocking face and a bare hop to a thread and back, in the same event loop.

System calls are counted with strace(1), in a process of its own, over 200 appends without a fold.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from benchmarks import tracing
from benchmarks.bench import timed
from benchmarks.filling import CannotFillError, filled, text
from plainstate import AsyncStateStore, StateStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store

    class Appending(Protocol):
        """What an append is asked of."""

        def append(self, session: str, message: str, /) -> None:
            """Appends a message."""


LENGTHS = (100, 1_000, 10_000, 100_000)
BASES = ("limit", "sqlite_full", "sqlite_full, log reused")
REUSED = "sqlite_full, log reused"
APPENDS_TO_REUSE = 500
TURNS_OF_A_LOG = 20
QUICK_LENGTHS = (100, 1_000, 10_000)
SHORT = LENGTHS[0]
PER_TURN = 5
GROWTH = 0.3
TURN_S = 1.0


def run(bench: Bench) -> None:
    """Measures."""
    new_session(bench)
    for length in bench.sizes(LENGTHS, QUICK_LENGTHS):
        at_length(bench, length)
    one_task(bench)
    system_calls(bench)


def new_session(bench: Bench) -> None:
    """The first message of a session."""
    for ending, names, rounds in bench.groups(60, 10):
        turns: dict[str, Turn] = {}
        for name in names:
            folder = bench.folder(f"{name}-new")
            store = bench.store(name, folder)
            store.append("before", text(0))
            turns[name] = _creating(store)
            if name == "sqlite_full" and not ending:
                growing = GrowingLog(bench, store, folder)
                turns[name] = growing.before(_creating(growing))
                turns[REUSED] = _creating(log_reused(bench, bench.folder("reused")))
        what = "the first message of a session"
        bench.compare(f"new session{ending}", what, turns, rounds, to=BASES)


def _creating(store: Appending) -> Turn:
    numbers = iter(range(1_000_000))
    return lambda: _timed_for(lambda: store.append(f"new-{next(numbers)}", text(0)))


class GrowingLog:
    """SQLite opened anew so often that its log never gets so long that it is used again."""

    def __init__(self, bench: Bench, store: Store, folder: Path) -> None:
        self._bench, self._store, self._folder = bench, store, folder
        self._turns = 0

    def append(self, session: str, message: str) -> None:
        self._store.append(session, message)

    def before(self, turn: Turn) -> Turn:
        """A turn that may open the store anew, untimed."""

        def prepared() -> list[float]:
            self._turns += 1
            if self._turns % TURNS_OF_A_LOG == 0:
                self._store.close()
                self._store = self._bench.store("sqlite_full", self._folder)
            return turn()

        return prepared


def log_reused(bench: Bench, folder: Path) -> Store:
    """SQLite whose log was copied into the database before, and is now written from its start."""
    store = bench.store("sqlite_full", folder)
    for _ in range(APPENDS_TO_REUSE):
        store.append("other", text(0))
    return store


def at_length(bench: Bench, length: int) -> None:
    """Appends to sessions of a length."""
    for ending, names, rounds in bench.groups(60, 10):
        sessions = max(1, round(rounds * (PER_TURN + 1) / (GROWTH * length)))
        turns: dict[str, Turn] = {}
        left_out: dict[str, str] = {}
        folds: list[float] = []
        for name in names:
            try:
                folder = filled(bench, name, length, sessions)
            except CannotFillError as error:
                left_out[name] = str(error)
                continue
            store = bench.store(name, folder)
            store.append("s-0", text(0))
            plain = folder if name == "plainstate" else None
            turns[name] = _appending(store, sessions, plain, folds)
            if name == "sqlite_full" and not ending:
                growing = GrowingLog(bench, store, folder)
                turns[name] = growing.before(_appending(growing, sessions, None, []))
                reused = log_reused(bench, filled(bench, name, length, sessions))
                turns[REUSED] = _appending(reused, sessions, None, [])
        if length == LENGTHS[-1] and not ending:
            short = bench.store("plainstate", filled(bench, "plainstate", SHORT, rounds))
            turns[f"plainstate at {SHORT}"] = _appending(short, rounds, None, [])
        os.sync()  # what was filled is not to be written back meanwhile
        bench.compare(
            title := f"append at {length:,}{ending}",
            f"one append to a session of {length:,} messages",
            turns,
            rounds,
            to=(*BASES, f"plainstate at {SHORT}"),
            left_out=left_out,
        )
        folded = {"folds": len(folds), "median_ms": statistics.median(folds or [0.0]) * 1e3}
        what = "appends of the timed ones that folded, and what they took"
        bench.count("appends that fold", what, title, **folded)


def _appending(store: Appending, sessions: int, plain: Path | None, folds: list[float]) -> Turn:
    """Appends to one session after another; those that fold are put aside."""
    turn_numbers = iter(range(1_000_000))

    def turn() -> list[float]:
        session = f"s-{next(turn_numbers) % sessions}"
        snapshot = plain / "sessions" / f"{session}.json" if plain else None
        store.append(session, text(0))
        seconds: list[float] = []
        end = time.perf_counter() + TURN_S
        while len(seconds) < PER_TURN and time.perf_counter() < end:
            before = snapshot and snapshot.stat().st_ino
            took = timed(lambda: store.append(session, text(0)))
            folded = snapshot and snapshot.stat().st_ino != before
            (folds if folded else seconds).extend(took)
        return seconds

    return turn


def _timed_for(work: Callable[[], object]) -> list[float]:
    """Times a few calls, fewer where they are slow."""
    seconds: list[float] = []
    while len(seconds) < PER_TURN and sum(seconds) < TURN_S:
        seconds.extend(timed(work))
    return seconds


def one_task(bench: Bench) -> None:
    """Both faces of plainstate on one store, and a hop to a thread."""
    length = bench.sizes((1_000,), (1_000,))[0]
    with asyncio.Runner() as runner, ThreadPoolExecutor(32) as pool:
        blocking = StateStore(filled(bench, "plainstate", length, 2))
        face = AsyncStateStore(blocking)
        bench.exits.callback(lambda: asyncio.run(face.close()))

        async def awaited() -> list[float]:
            return [await _seconds(face.append_user_message("s-0", text(0))) for _ in range(5)]

        async def hops() -> list[float]:
            loop = asyncio.get_running_loop()
            return [await _seconds(loop.run_in_executor(pool, int)) for _ in range(5)]

        def direct() -> list[float]:
            return timed(lambda: blocking.append_user_message("s-1", text(0)), 5)

        def both() -> list[float]:
            seconds, hop = direct(), statistics.median(runner.run(hops()))
            return [one + 1.5 * hop for one in seconds]

        turns: dict[str, Turn] = {
            "async": lambda: runner.run(awaited()),
            "blocking": direct,
            "hop": lambda: runner.run(hops()),
            "blocking + 1.5 hops": both,
        }
        for turn in turns.values():
            turn()
        bench.compare(
            "append, one task",
            "plainstate's asynchronous face with one task, beside its blocking one",
            turns,
            bench.rounds(60),
            to=("blocking", "blocking + 1.5 hops"),
        )


async def _seconds(awaitable: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await awaitable
    return time.perf_counter() - begun


def system_calls(bench: Bench) -> None:
    """Counts them."""
    what = "calls, and bytes written, for each append to a session of 1,000 or 10,000 messages"
    for name in bench.groups(1, 1)[-1][1]:
        lengths = {name: 1_000} | ({"plainstate at 10,000": 10_000} if name == "plainstate" else {})
        for row, length in lengths.items():
            if name.endswith("again"):
                continue
            try:
                counted = tracing.count_appends(bench, name, min(length, bench.most_messages()))
            except (CannotFillError, FileNotFoundError) as error:
                bench.note(f"system calls: {name}: {error}")
                continue
            bench.count("system calls", what, row, **counted)
