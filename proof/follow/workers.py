"""A writer or a follower: `python -m proof.follow.workers ROLE STORE LOG NAME`.

Each ends when the file `stop-ROLE` lies beside its log, and says what it knows in that log, with
one write(2) a line, which a kill does not tear.
"""

from __future__ import annotations

import json
import os
import random
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import plainstate.engines.file.feed as feed_module
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import AlreadyExistsError, NotFoundError
from plainstate.types import DocumentId

if TYPE_CHECKING:
    from plainstate.types import Commit, Head, Patch

DOCUMENTS: Final = 12
SEGMENT_BYTES: Final = 32 * 1024
"""Small, so that the segments change all the time."""


class Log:
    """Lines of JSON, each whole or not there."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def say(self, what: Any) -> None:
        """Adds a line."""
        data = json.dumps(what).encode() + b"\n"
        if os.write(self._fd, data) != len(data):
            raise OSError("the log is not written")


def write(engine: FileEngine, log: Log, name: str) -> None:
    """One commit after the other, to documents that all writers share."""
    chance = random.Random(name)
    number = 0
    while not os.path.exists(_stop("write")):
        number += 1
        tx_id = f"{name}-{number}"
        document = DocumentId("c", f"d{chance.randrange(DOCUMENTS)}")
        commit = _one(engine, chance, document, tx_id)
        if commit is not None:
            log.say([tx_id, str(document), commit.seq, commit.version])


def _one(
    engine: FileEngine, chance: random.Random, document: DocumentId, tx_id: str
) -> Commit | None:
    def change(head: Head) -> Patch:
        if head.version is None:
            return [{"op": "add", "path": "", "value": [tx_id]}]
        return [{"op": "add", "path": "/-", "value": tx_id}]

    match chance.choices(["append", "replace", "delete", "lock", "checkpoint"], [80, 8, 5, 6, 1]):
        case ["replace"]:
            return engine.replace(document, [tx_id], tx_id=tx_id)
        case ["delete"]:
            return engine.delete(document, tx_id=tx_id)
        case ["lock"]:
            with engine.lock(document) as locked:
                return locked.append(change(locked.head), tx_id=tx_id)
        case ["checkpoint"]:
            engine.checkpoint()
            return None
    return engine.append(document, change, tx_id=tx_id)


def move(engine: FileEngine, log: Log, name: str) -> None:
    """As a writer, of documents that are renamed all the time."""
    chance = random.Random(name)
    number = 0
    while not os.path.exists(_stop("write")):
        number += 1
        one, other = (DocumentId("m", f"d{n}") for n in chance.sample(range(4), 2))
        tx_id = f"{name}-{number}"
        commit = _one(engine, chance, one, tx_id)
        if commit is not None:
            log.say([tx_id, str(one), commit.seq, commit.version])
        with suppress(NotFoundError, AlreadyExistsError):
            moved = engine.rename(one, other)
            log.say(["", str(other), moved.seq, moved.version])


def follow(engine: FileEngine, log: Log, name: str, cursor: str | None) -> None:
    """Reads on behind the cursor, in pages of all sizes."""
    chance = random.Random(name)
    while True:
        stopping = os.path.exists(_stop("follow"))
        limit = chance.choice([1, 2, 10, 100, 1000])
        page = engine.changes(cursor, limit=limit, timeout_s=0 if stopping else 0.2)
        cursor = page.cursor
        lines = [[one.tx_id, str(one.document), one.seq, one.version, one.action] for one in page]
        if lines or page.gap:
            log.say({"lines": lines, "cursor": cursor, "gap": page.gap})
        elif stopping:
            return


def last_cursor(path: str) -> str | None:
    """Where a follower that was killed goes on."""
    cursor = None
    with suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        for line in file:
            cursor = json.loads(line)["cursor"]
    return cursor


def _stop(role: str) -> str:
    return os.path.join(os.path.dirname(sys.argv[3]), f"stop-{role}")


def main() -> None:
    """Does what the arguments say."""
    role, base, path, name = sys.argv[1:]
    vars(feed_module).update(FEED_SEGMENT_BYTES=SEGMENT_BYTES)
    cursor = last_cursor(path) if role == "follow" else None
    log = Log(path)
    engine = FileEngine(base, quiet_fold_s=0.5)
    try:
        if role == "follow":
            follow(engine, log, name, cursor)
        else:
            {"write": write, "move": move}[role](engine, log, name)
    finally:
        engine.close()


if __name__ == "__main__":
    main()
