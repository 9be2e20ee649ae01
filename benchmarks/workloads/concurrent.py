"""W2: 64 tasks at once in one asyncio process.  Bar 3.

Each task awaits four appends of 1,000 characters, one after another, to a session of its own that
exists; timed is from before the first until all are done, divided by the number of appends.
Opening the store and the sessions' first messages are not timed.

A store with calls for asyncio is used through them, the others through `asyncio.to_thread`, as
their documentation says.  The limit is a file for each task and a pool of threads, of that size
which did best in a few rounds before.  *plainstate, one session*: all tasks append to one session.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks.filling import text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store

TASKS = 64
EACH = 4
POOLS = (8, 16, 32, 64)


def run(bench: Bench) -> None:
    """Measures."""
    runner = asyncio.Runner()
    bench.exits.callback(runner.close)
    for ending, names, rounds in bench.groups(40, 5):
        turns: dict[str, Turn] = {}
        for name in names:
            store = bench.store(name, bench.folder(f"{name}-64"))
            for task in range(TASKS):
                store.append(f"s-{task}", text(0))
            limited = name.startswith("limit")
            append = _in_best_pool(bench, runner, store) if limited else _append(store)
            turns[name] = _at_once(runner, append)
            if name == "plainstate":
                turns["plainstate, one session"] = _at_once(runner, append, one=True)
        bench.compare(
            f"64 tasks at once{ending}",
            "an append, when 64 tasks do it at once: elapsed time over the number of appends",
            turns,
            rounds,
        )


def _append(store: Store) -> Callable[[str, str], Coroutine[Any, Any, None]]:
    """How a task appends."""
    if hasattr(store, "append_async"):
        awaited: Callable[[str, str], Coroutine[Any, Any, None]] = store.append_async
        return awaited
    return lambda session, message: asyncio.to_thread(store.append, session, message)


def _at_once(
    runner: asyncio.Runner,
    append: Callable[[str, str], Coroutine[Any, Any, None]],
    *,
    one: bool = False,
) -> Turn:
    async def task(session: str) -> None:
        for number in range(EACH):
            await append(session, text(number))

    async def everybody() -> float:
        begun = time.perf_counter()
        await asyncio.gather(*(task(f"s-{0 if one else number}") for number in range(TASKS)))
        return time.perf_counter() - begun

    return lambda: [runner.run(everybody()) / (TASKS * EACH)]


def _in_best_pool(
    bench: Bench, runner: asyncio.Runner, store: Store
) -> Callable[[str, str], Coroutine[Any, Any, None]]:
    """Appends in a pool of threads of the size that does best."""

    def with_pool(size: int) -> Callable[[str, str], Coroutine[Any, Any, None]]:
        pool = ThreadPoolExecutor(size)
        bench.exits.callback(pool.shutdown)

        async def append(session: str, message: str) -> None:
            await asyncio.get_running_loop().run_in_executor(pool, store.append, session, message)

        return append

    appends = {size: with_pool(size) for size in POOLS}
    costs: dict[int, list[float]] = {size: [] for size in POOLS}
    for _ in range(bench.rounds(12)):
        for size, append in appends.items():
            costs[size] += _at_once(runner, append)()
    best = min(costs, key=lambda size: sorted(costs[size])[len(costs[size]) // 2])
    bench.note(f"64 tasks at once: the limit has a pool of {best} threads")
    return appends[best]
