"""Stores of many sessions, made once and kept in the cache.

Each session has six messages of twelve words; the further down the list of words, the rarer one
is.  plainstate's store is written as plain files, as a copied one would be, and SQLite's is filled
with the same rows.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.bench import remove
from benchmarks.filling import START_NS, prepare, write_session
from benchmarks.peers import sqlite
from benchmarks.peers.base import PEERS
from plainstate import open_store
from plainstate.core import times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from plainstate import StateStore

USER = "ada"
MESSAGES = 6
WORDS = 12
VOCABULARY = 20_000
COMMON, RARE = "w0", "needle"
RARE_IN = 20
"""Sessions that have the rare word, however many there are: what is found stays the same."""

PAGE = 50
YOUNG_S = 0.25

APPENDED_TO = 1_000
"""Sessions that messages are appended to; their files are written anew before each run."""


class Many(NamedTuple):
    """Folders with the same sessions."""

    sessions: int
    plainstate: Path
    sqlite_full: Path


class Made(NamedTuple):
    """One session."""

    name: str
    stamps: list[str]
    texts: list[str]


def many(bench: Bench, count: int) -> Many:
    """The stores of so many sessions, up to date and at rest."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + Path(sqlite.__file__).read_bytes())
    kept = Path(bench.plan.cache) / "many" / f"{count}-{digest.hexdigest()[:8]}"
    found = Many(count, kept / "plainstate", kept / "sqlite")
    if not kept.exists():
        bench.say(f"making stores of {count:,} sessions")
        partial = kept.with_name(f"{kept.name}.partial")
        remove(partial)
        partial.mkdir(parents=True)
        _make_plain(partial / "plainstate", count)
        _make_sqlite(partial / "sqlite", count)
        partial.rename(kept)
    else:
        for session in made(min(count, APPENDED_TO), count):
            _write(found.plainstate, session)
    with open_store(found.plainstate) as store:
        bench.say(f"{count:,} sessions: bringing the index up to date")
        settled(store)
        store.search(RARE)
    return found


def settled(store: StateStore) -> None:
    """Until the look at every file is through that runs behind the opening.

    A handle that lists when it is young puts off watching the files, and so looks at them again
    in the middle of what is timed next.
    """
    time.sleep(YOUNG_S)
    store.list_sessions(limit=1)
    store._index._scanned.wait()  # noqa: SLF001 - only a benchmark needs to know


def made(count: int, total: int) -> Iterator[Made]:
    """The first sessions; the same for the same total."""
    chance = random.Random(total)
    words = [f"w{number}" for number in range(VOCABULARY)]
    weights = [1 / (rank + 1) for rank in range(VOCABULARY)]
    for number in range(count):
        said = chance.choices(words, weights, k=MESSAGES * WORDS)
        if number % max(1, total // RARE_IN) == 0:
            said[0] = RARE
        begun = START_NS + number * 7_919_000_000
        stamps = [times.format(begun + turn * 1_000_000_000) for turn in range(MESSAGES)]
        texts = [" ".join(said[turn * WORDS : (turn + 1) * WORDS]) for turn in range(MESSAGES)]
        yield Made(f"s-{number:07}", stamps, texts)


def _make_plain(folder: Path, count: int) -> None:
    prepare(folder)
    for session in made(count, count):
        _write(folder, session)


def _write(folder: Path, session: Made) -> None:
    turns = [
        {"content": text, "timestamp": stamp}
        for text, stamp in zip(session.texts, session.stamps, strict=True)
    ]
    write_session(folder, session.name, USER, turns[::2], turns[1::2])


def _make_sqlite(folder: Path, count: int) -> None:
    folder.mkdir()
    PEERS["sqlite_full"].open(folder).close()
    db = sqlite3.connect(folder / "state.db")
    sessions = (
        (one.name, USER, one.stamps[0], one.stamps[-1], MESSAGES, one.texts[0][:80])
        for one in made(count, count)
    )
    messages = (
        (one.name, text, stamp)
        for one in made(count, count)
        for text, stamp in zip(one.texts, one.stamps, strict=True)
    )
    with db:
        db.executemany("INSERT INTO session VALUES(?, ?, ?, ?, ?, ?)", sessions)
        db.executemany(sqlite.ADD_MESSAGE, messages)
        db.execute(sqlite.INDEX_WORDS)
    db.close()


def edit(folder: Path, count: int, edits: int, owner: str) -> None:
    """Gives some sessions another owner, as an editor would."""
    for number in range(0, count, max(1, count // edits)):
        path = folder / "sessions" / f"s-{number:07}.json"
        tree = json.loads(path.read_bytes())
        tree["user_id"] = owner
        path.write_text(json.dumps(tree, indent=2) + "\n", "utf-8")
