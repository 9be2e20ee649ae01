"""What lists and search cost in a store of many sessions.

    .venv/bin/python benchmarks/scale.py [--sessions 100000] [--keep FOLDER] [--json]

The store is made of plain session files, written directly, as a copied or restored one would be:
six messages of some twelve words each, the rarer the longer the list of words goes on.  Every
row of the table is measured on it.  *Warm* is the median of many calls in a process that has it
open; *cold* is a whole process, start of Python and import included, with the files in the
system's cache.  Needs some 4 KiB of disk a session.
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
from typing import TYPE_CHECKING

from plainstate import open_store
from plainstate.core import times

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate import StateStore

USERS = 1000
MESSAGES = 6
WORDS = 12
VOCABULARY = 20_000
COMMON, RARE = "w0", "needle"
RARE_EVERY = 5_000
EDITS = 100
START_NS = 1_767_225_600_000_000_000
COLD_RUNS = 5
PAGE = 50

APPENDED_TO = 1_000


class Figures(dict[str, float]):
    """Figures by name; each is printed once it is known."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__()
        self._silent = silent

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        if not self._silent:
            print(f"{name:<58}{value:>14,.2f}", flush=True)


def main() -> None:
    """Makes the store, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--appends", type=int, nargs="*", default=[1_000, 100_000])
    parser.add_argument("--keep", type=Path, help="make the store there, or use the one there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = Figures(silent=options.json)
    with tempfile.TemporaryDirectory(dir=".") as temporary:
        folder = options.keep or Path(temporary)
        if not (folder / "sessions").exists():
            make(folder, options.sessions)
        measure(folder, options.sessions, options.appends, figures)
    if options.json:
        print(json.dumps(figures, indent=2))


def make(folder: Path, count: int) -> None:
    """Writes plain session files; the same for the same count."""
    chance = random.Random(count)  # the same words every time
    words = [f"w{number}" for number in range(VOCABULARY)]
    weights = [1 / (rank + 1) for rank in range(VOCABULARY)]
    (folder / "sessions").mkdir(parents=True, mode=0o700)
    (folder / ".plainstate").mkdir(mode=0o700)
    (folder / ".plainstate" / "format.json").write_text('{\n  "plainstate": 1\n}\n')
    for number in range(count):
        said = chance.choices(words, weights, k=MESSAGES * WORDS)
        if number % RARE_EVERY == 0:
            said[0] = RARE
        (folder / "sessions" / f"s-{number:07}.json").write_bytes(session_file(number, said))


def session_file(number: int, said: list[str]) -> bytes:
    """One session, as plainstate writes it."""
    begun = START_NS + number * 7_919_000_000
    stamps = [times.format(begun + turn * 1_000_000_000) for turn in range(MESSAGES)]
    texts = [" ".join(said[turn * WORDS : (turn + 1) * WORDS]) for turn in range(MESSAGES)]
    turns = [
        {"content": text, "timestamp": stamp} for text, stamp in zip(texts, stamps, strict=True)
    ]
    tree = {
        "id": f"s-{number:07}",
        "user_id": f"user-{number % USERS}",
        "user_messages": turns[::2],
        "agent_responses": turns[1::2],
        "created_at": stamps[0],
        "updated_at": stamps[-1],
        "metadata": {},
    }
    return (json.dumps(tree, indent=2) + "\n").encode()


def measure(folder: Path, count: int, appends: list[int], figures: Figures) -> None:
    """Every figure, in the order in which they do not disturb each other."""
    for index in (folder / ".plainstate").glob("index*"):
        index.unlink()
    with open_store(folder) as store:
        figures["first list, rows built (s)"] = seconds(lambda: store.list_sessions(limit=PAGE))
        figures["index of rows, bytes a session"] = index_bytes(folder) / count
        figures["first search, words built (s)"] = seconds(lambda: store.search(RARE))
        figures["index with words, bytes a session"] = index_bytes(folder) / count
    figures["text of the sessions, bytes a session"] = MESSAGES * WORDS * 5.5
    warm(folder, count, figures)
    cold(folder, figures)
    edited(folder, count, figures)
    for number in appends:
        appended(folder, number, count, figures)


def warm(folder: Path, count: int, figures: Figures) -> None:
    """Calls in a process that has the store open, its scan done."""
    figures["open (ms)"] = 1000 * seconds(lambda: open_store(folder).close())
    with open_store(folder) as store:
        wait_for_scan(store, figures)
        cursor = store.list_sessions(limit=min(count // 2, 100 * PAGE))[-1].cursor
        user = f"user-{min(USERS, count) // 2}"
        calls: dict[str, Callable[[], object]] = {
            f"page 1 of {PAGE}": lambda: store.list_sessions(limit=PAGE),
            "page 100": lambda: store.list_sessions(limit=PAGE, after=cursor),
            "page of one user": lambda: store.list_sessions(limit=PAGE, user_id=user),
            "count": store.count_sessions,
            "search, rare word": lambda: store.search(RARE),
            "search, common word": lambda: store.search(COMMON),
            "search, two common words": lambda: store.search("w0 w1"),
            "search, phrase of common words": lambda: store.search('"w0 w1"'),
            "search, beginning of words": lambda: store.search("w1*"),
            "search, one user's": lambda: store.search(COMMON, user_id=user),
        }
        for name, call in calls.items():
            figures[f"{name}, warm (ms)"] = 1000 * median(call)
        figures["append, then page 1 (ms)"] = 1000 * median(lambda: append_and(store, "list"))
        figures["append, then search (ms)"] = 1000 * median(lambda: append_and(store, "search"))


def append_and(store: StateStore, what: str) -> None:
    """Appends a message and asks for it at once."""
    store.append_user_message("s-0000000", "newest word")
    if what == "list" and store.list_sessions(limit=1)[0].id != "s-0000000":
        raise AssertionError("the list is behind")
    if what == "search" and not store.search("newest"):
        raise AssertionError("the search is behind")


def cold(folder: Path, figures: Figures) -> None:
    """Whole processes."""
    programs = {
        "nothing, not even the import": None,
        "open only": "",
        f"page 1 of {PAGE}": f"store.list_sessions(limit={PAGE})",
        "search, rare word": f"store.search({RARE!r})",
        "search, common word": f"store.search({COMMON!r})",
    }
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name, call in programs.items():
        code = f"from plainstate import open_store\nstore = open_store({str(folder)!r})\n{call}\n"
        code = "pass" if call is None else f"{code}store.close()"
        command = [sys.executable, "-c", code]
        runs = [
            seconds(lambda command=command: subprocess.run(command, env=environment, check=True))
            for _ in range(COLD_RUNS)
        ]
        figures[f"{name}, cold process (ms)"] = 1000 * statistics.median(runs)
        figures[f"{name}, memory (MiB)"] = peak_mib([*command[:2], f"{code}\n{PEAK}"], environment)


PEAK = "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"


def peak_mib(command: list[str], environment: dict[str, str]) -> float:
    """Largest resident size of a process."""
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    return int(done.stdout) / 1024


def edited(folder: Path, count: int, figures: Figures) -> None:
    """Edits by hand while nobody has the store open."""
    for number in range(0, count, max(1, count // EDITS)):
        path = folder / "sessions" / f"s-{number:07}.json"
        tree = json.loads(path.read_bytes())
        tree["user_id"] = "edited by hand"
        path.write_text(json.dumps(tree, indent=2) + "\n")
    begun = time.perf_counter()
    with open_store(folder) as store:
        while store.count_sessions(user_id="edited by hand") < min(EDITS, count):
            time.sleep(0.01)
        figures[f"until {EDITS} edits made while closed are listed (s)"] = (
            time.perf_counter() - begun
        )


def appended(folder: Path, messages: int, count: int, figures: Figures) -> None:
    """Messages that were appended since the index was asked last, to a thousand sessions."""
    with open_store(folder, durability="os") as store:
        wait_for_scan(store)
        for number in range(messages):
            store.append_user_message(
                f"s-{number % min(count, APPENDED_TO):07}", "one more message"
            )
        figures[f"catch-up after {messages:,} messages: list (ms)"] = 1000 * seconds(
            lambda: store.list_sessions(limit=PAGE)
        )
        figures[f"catch-up after {messages:,} messages: search (ms)"] = 1000 * seconds(
            lambda: store.search(RARE)
        )


def wait_for_scan(store: StateStore, figures: Figures | None = None) -> None:
    """Until the scan behind the opening is done."""
    begun = time.perf_counter()
    store.list_sessions(limit=1)
    store._index._hurry.set()  # noqa: SLF001 - only a benchmark needs to know
    store._index._scanned.wait()  # noqa: SLF001
    if figures is not None:
        figures["scan behind the opening (s)"] = time.perf_counter() - begun


def index_bytes(folder: Path) -> int:
    """Size of the index files."""
    return sum(path.stat().st_size for path in (folder / ".plainstate").glob("index*"))


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def median(call: Callable[[], object]) -> float:
    """Median time of many calls."""
    return statistics.median(seconds(call) for _ in range(101))


if __name__ == "__main__":
    main()
