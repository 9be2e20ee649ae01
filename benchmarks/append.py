"""What a durable append costs, against the bare system calls in the same run.

    .venv/bin/python benchmarks/append.py [--rounds 30] [--json]

Rounds are interleaved, because the speed of a disk drifts: each round does the raw
loop, then each variant, a few appends each, and the ratio is taken within the round.
`raw` is write + fdatasync of the very bytes that plainstate writes for a message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from plainstate import AsyncStateStore, StateStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MESSAGE = "x" * 900
LINE_BYTES = 1_150
PER_ROUND = 20
TASKS = 64


def main() -> None:
    """Runs the rounds and prints one line per variant."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        results = measure(Path(folder), options.rounds)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'variant':<28}{'p10 µs':>9}{'median µs':>11}{'x raw p10':>11}{'x raw median':>14}")
    for name, row in results.items():
        print(
            f"{name:<28}{row['p10_us']:>9.0f}{row['median_us']:>11.0f}"
            f"{row['p10_ratio']:>11.2f}{row['median_ratio']:>14.2f}"
        )


def measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Times every variant, interleaved; microseconds per append and ratios to `raw`."""
    raw = os.open(folder / "raw", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    line = b"x" * LINE_BYTES
    raws = [os.open(folder / f"raw{n}", os.O_RDWR | os.O_CREAT | os.O_APPEND) for n in range(TASKS)]

    def raw_append() -> None:
        os.write(raw, line)
        os.fdatasync(raw)

    def raw_one_of_many(n: int) -> None:
        os.write(raws[n], line)
        os.fdatasync(raws[n])

    variants: dict[str, Callable[[], list[float]]] = {"raw": lambda: timed(raw_append)}
    with ExitStack() as stack:
        for length in (0, 1_000, 10_000):
            store = stack.enter_context(StateStore(folder / f"at-{length}", quiet_fold_s=3600))
            fill(store, "s", length)
            variants[f"blocking, {length} messages"] = blocking(store)
        runner = stack.enter_context(asyncio.Runner())
        shared = AsyncStateStore(folder / "async", quiet_fold_s=3600)
        stack.callback(lambda: runner.run(shared.close()))
        for n in range(TASKS):
            runner.run(shared.append_user_message(f"s{n}", "first", user_id="u"))

        async def append(sessions: list[str]) -> None:
            await asyncio.gather(*(shared.append_user_message(name, MESSAGE) for name in sessions))

        async def raw_many() -> None:
            loop = asyncio.get_running_loop()
            calls = (loop.run_in_executor(None, raw_one_of_many, n) for n in range(TASKS))
            await asyncio.gather(*calls)

        def at_once(call: Callable[[], Coroutine[object, object, None]]) -> list[float]:
            return shared_cost(lambda: runner.run(call()))

        own = [f"s{n}" for n in range(TASKS)]
        variants["async, 1 task"] = lambda: timed(lambda: runner.run(append(["s0"])))
        variants[f"raw, {TASKS} files in threads"] = lambda: at_once(raw_many)
        variants[f"async, {TASKS} tasks own session"] = lambda: at_once(lambda: append(own))
        variants[f"async, {TASKS} tasks one session"] = lambda: at_once(
            lambda: append(["s0"] * TASKS)
        )
        samples: dict[str, list[list[float]]] = {name: [] for name in variants}
        for _ in range(rounds):
            for name, run in variants.items():
                samples[name].append(run())
    return {name: row(rows, samples["raw"]) for name, rows in samples.items()}


def fill(store: StateStore, session_id: str, length: int) -> None:
    """Makes a session of so many messages."""
    store.append_user_message(session_id, "first", user_id="u")
    for _ in range(length):
        store.append_user_message(session_id, MESSAGE, durability="os")


def blocking(store: StateStore) -> Callable[[], list[float]]:
    """Times appends to one session."""
    return lambda: timed(lambda: store.append_user_message("s", MESSAGE))


def timed(call: Callable[[], object]) -> list[float]:
    """Seconds of each of a few calls."""
    times = []
    for _ in range(PER_ROUND):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times


def shared_cost(call: Callable[[], object]) -> list[float]:
    """Seconds per append of a call that does one for each task."""
    begin = time.perf_counter()
    call()
    return [(time.perf_counter() - begin) / TASKS]


def row(rows: list[list[float]], raw_rows: list[list[float]]) -> dict[str, float]:
    """Figures of a variant: microseconds, and ratios taken round by round."""
    own, raw = sorted(chain(*rows)), sorted(chain(*raw_rows))
    ratios = [
        statistics.median(mine) / statistics.median(theirs)
        for mine, theirs in zip(rows, raw_rows, strict=True)
    ]
    return {
        "p10_us": own[len(own) // 10] * 1e6,
        "median_us": statistics.median(own) * 1e6,
        "p10_ratio": own[len(own) // 10] / raw[len(raw) // 10],
        "median_ratio": statistics.median(ratios),
    }


if __name__ == "__main__":
    main()
