"""W5: the 50 sessions that were changed last, of 1,000, 10,000 and 100,000.  Bar 6.

Timed is the call in a process that has the store open, its look at every file done; *after an
append* is the first such call after a message, which the list then holds.

*new process*: from its start to its end, import, opening and closing included, with the files in
the system's cache.  *new process, from open*: from before the store is opened until the answer is
there; the import is not in it.

*catching up*: another process has appended messages to 1,000 of the sessions and closed the
store; timed is the next list of a handle that was open all the time.  Beside it the list of the
ancestor on the same folder: list the folder, parse every file, sort.

What it takes to make the index from nothing is counted once, at 10,000 sessions.
"""

from __future__ import annotations

import math
import time
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import children
from benchmarks.bench import timed
from benchmarks.filling import CannotFillError, filled
from benchmarks.many import APPENDED_TO, PAGE, RARE, Many, edit, many, settled
from benchmarks.peers.base import PEERS
from plainstate import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store

COUNTS = (1_000, 10_000, 100_000)
QUICK_COUNTS = (1_000, 10_000)
EDITS = 100
BY_HAND = ("sqlite_full", "sqlite_full, after an append")
BY_HAND_COLD = ("sqlite_full", "sqlite_full, from open")
CAUGHT_UP = 100_000


def run(bench: Bench) -> None:
    """Measures."""
    for count in bench.sizes(COUNTS, QUICK_COUNTS):
        stores = many(bench, count)
        newest(bench, stores)
    catching_up(bench, stores)
    if not bench.plan.quick:
        every_store(bench)
        from_nothing(bench)


def newest(bench: Bench, stores: Many) -> None:
    """Plainstate beside SQLite by hand."""
    what = f"the {PAGE} newest of {stores.sessions:,} sessions"
    title = f"newest {PAGE} of {stores.sessions:,}"
    with opened(stores) as (plain, by_hand):
        turns = {
            "plainstate": _listing(plain, 5),
            "plainstate, after an append": _listing(plain, 1, append=True),
            "sqlite_full": _listing(by_hand, 5),
            "sqlite_full, after an append": _listing(by_hand, 1, append=True),
        }
        bench.compare(title, what, turns, bench.rounds(30), to=BY_HAND)
    turns = asking(
        stores,
        f"store.list_sessions(limit={PAGE})",
        f"db.execute('SELECT * FROM session ORDER BY updated_at DESC LIMIT {PAGE}').fetchall()",
    )
    bench.compare(f"{title}, new process", what, turns, bench.rounds(12), to=BY_HAND_COLD)


def _listing(store: Store, times: int, *, append: bool = False) -> Turn:
    def turn() -> list[float]:
        if append:
            store.append("s-0000000", "one more message")
        return timed(lambda: store.newest(PAGE), times)  # type: ignore[attr-defined]

    return turn


@contextmanager
def opened(stores: Many) -> Iterator[tuple[Store, Store]]:
    """Both stores: plainstate's when its look at every file is through, and SQLite's."""
    with (
        closing(PEERS["plainstate"].open(stores.plainstate)) as plain,
        closing(PEERS["sqlite_full"].open(stores.sqlite_full)) as by_hand,
    ):
        settled(plain.store)  # type: ignore[attr-defined]
        yield plain, by_hand


def asking(stores: Many, of_plainstate: str, of_sqlite: str) -> dict[str, Turn]:
    """Turns of new processes that open a store and ask once."""
    imports = "from plainstate import open_store"
    opening = f"store = open_store({str(stores.plainstate)!r})\n{of_plainstate}"
    connecting = f"db = sqlite3.connect({str(stores.sqlite_full / 'state.db')!r})\n{of_sqlite}"
    return {
        "bare Python": children.whole("pass"),
        "plainstate": children.whole(f"{imports}\n{opening}\nstore.close()"),
        "sqlite_full": children.whole(f"import sqlite3\n{connecting}\ndb.close()"),
        "plainstate, from open": children.inside(imports, opening, "store.close()"),
        "sqlite_full, from open": children.inside("import sqlite3", connecting),
    }


def catching_up(bench: Bench, stores: Many) -> None:
    """A list after very many messages of another process."""
    messages = bench.sizes((CAUGHT_UP,), (10_000,))[0]
    sessions = min(APPENDED_TO, stores.sessions)
    store = PEERS["plainstate"].open(stores.plainstate)
    bench.exits.callback(store.close)
    settled(store.store)  # type: ignore[attr-defined]
    ancestor = PEERS["ancestor"].open(stores.plainstate)

    def caught_up() -> list[float]:
        worker = ["append-many", str(stores.plainstate), str(messages), str(sessions)]
        children.python("-m", "benchmarks.workers", *worker)
        return timed(lambda: store.newest(PAGE))  # type: ignore[attr-defined]

    title = "catching up with 100,000 messages" if messages == CAUGHT_UP else "catching up"
    bench.compare(
        title,
        f"the first list of {stores.sessions:,} sessions after {messages:,} messages of another",
        {
            "plainstate": caught_up,
            "ancestor": lambda: timed(lambda: ancestor.newest(PAGE)),  # type: ignore[attr-defined]
        },
        bench.rounds(3) if not bench.plan.quick else 2,
        to=("ancestor",),
        slow_s=math.inf,
    )


def every_store(bench: Bench) -> None:
    """Whatever can list: sessions of one message."""
    for count in (1_000, 10_000):
        turns: dict[str, Turn] = {}
        left_out: dict[str, str] = {}
        for name in PEERS:
            try:
                store = bench.store(name, filled(bench, name, 1, count))
            except CannotFillError as error:
                left_out[name] = str(error)
                continue
            if hasattr(store, "newest"):
                if name == "plainstate":
                    settled(store.store)  # type: ignore[attr-defined]
                turns[name] = partial(timed, partial(store.newest, PAGE))
            else:
                left_out[name] = "has no list"
        bench.compare(
            f"newest {PAGE} of {count:,}, every store",
            f"the {PAGE} newest of {count:,} sessions of one message",
            turns,
            5,
            to=("sqlite_full",),
            left_out=left_out,
        )


def from_nothing(bench: Bench) -> None:
    """What making the index takes."""
    stores = many(bench, count := 10_000)
    title = f"the index of {count:,} sessions"
    what = "made from nothing; brought up to date after edits by hand while the store was closed"
    meta = stores.plainstate / ".plainstate"
    for index in meta.glob("index*"):
        index.unlink()
    with open_store(stores.plainstate) as store:
        listed = timed(lambda: store.list_sessions(limit=PAGE))[0]
        rows = _bytes(meta)
        searched = timed(lambda: store.search(RARE))[0]
        words = _bytes(meta)
    edit(stores.plainstate, count, EDITS, owner := f"edited {time.time_ns()}")
    begun = time.perf_counter()
    with open_store(stores.plainstate) as store:
        while store.count_sessions(user_id=owner) < EDITS:
            time.sleep(0.005)
        edited = time.perf_counter() - begun
    bench.count(
        title,
        what,
        "plainstate",
        first_list_s=listed,
        first_search_s=searched,
        bytes_a_session_rows=rows / count,
        bytes_a_session_with_words=words / count,
        until_100_edits_are_listed_s=edited,
    )


def _bytes(meta: Path) -> int:
    return sum(path.stat().st_size for path in meta.glob("index*"))
