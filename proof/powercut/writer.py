"""Works on a store until it is killed, and says what was acknowledged.

Prints `try <operation>` before each call, and then `ack`, `failed` or `unknown` with the
operation's number and, after an error, its text; and `seen <document> <version>` for each change
that the follower is told.  One line is one write(2).

`setup` prints the versions of all documents in the same way, and `cursor`: the end of the feed.

    python -m proof.powercut.writer BASE keep|none setup
    python -m proof.powercut.writer BASE keep|none run SEED [SABOTAGE]
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import TYPE_CHECKING

from plainstate import StateStore
from plainstate.errors import OutcomeUnknownError, PlainstateError, StorageError
from proof.powercut import kernel
from proof.powercut.history import SETUP, Operation, word
from proof.powercut.operations import (
    FOLLOWER,
    FORKS,
    NOTHING_OLDER,
    SESSIONS,
    kind_of,
    open_store,
    perform,
)
from proof.powercut.sabotage import SABOTAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate import Change
    from proof.powercut.history import Action

_DOCUMENTS = ("d0", "d1", "d2")
_BRIEF = ("e0", "e1")
_BOXES = ("boxes/a", "boxes/b", "attic/a")

_CHECKPOINT_SHARE = 0.02
_REOPEN_SHARE = 0.02
_FOLLOW_SHARE = 0.04
_SEARCH_SHARE = 0.02
_MAX_BATCH = 5
_ERASE_SHARE = 0.5
_CHANGE_SHARE = 0.4
_WITH_ID_SHARE = 0.6
_MOST_KEPT = 3


class Plan:
    """Draws the next operation.

    Args:
        rng: where from.
        keep: whether the store keeps its history, so that there is something to undo.
    """

    def __init__(self, rng: random.Random, *, keep: bool) -> None:
        self._rng = rng
        self._number = 0
        self._undo_weight = _UNDO_WEIGHT if keep else 0

    def next(self, store: StateStore) -> Operation:
        """One more operation, which fits what the store holds."""
        self._number += 1
        weights = (*_WEIGHTS, self._undo_weight)
        draw = self._rng.choices(_CHOICES, weights)[0]
        operation: Operation = draw(self, store)
        return operation

    def say(self, _: StateStore) -> Operation:
        """One message."""
        return self._new("say", "sessions", SESSIONS)

    def batch(self, _: StateStore) -> Operation:
        """Several messages at once."""
        amount = self._rng.randint(2, _MAX_BATCH)
        return self._new("batch", "sessions", SESSIONS)._replace(amount=amount)

    def turn(self, _: StateStore) -> Operation:
        """A session that was loaded and changed."""
        return self._new("turn", "sessions", SESSIONS)

    def end_session(self, store: StateStore) -> Operation:
        """A session is deleted; a message creates it anew."""
        if not store.exists("sessions", "s2"):
            return self._new("say", "sessions", ("s2",))
        return self._new("erase", "sessions", ("s2",))

    def note(self, _: StateStore) -> Operation:
        """A line at the end of a note."""
        return self._new("note", "notes", ("log", "scrap"))

    def rewrite(self, store: StateStore) -> Operation:
        """A note is saved as a whole, or deleted."""
        if self._rng.random() < _ERASE_SHARE and store.exists("notes", "scrap"):
            return self._new("erase", "notes", ("scrap",))
        return self._new("rewrite", "notes", ("log", "scrap"))

    def save(self, _: StateStore) -> Operation:
        """A document is saved as a whole."""
        return self._new("save", "docs", _DOCUMENTS)

    def patch(self, store: StateStore) -> Operation:
        """A part of a document is changed."""
        return self._changed(self._new("patch", "docs", _DOCUMENTS), store)

    def change(self, store: StateStore) -> Operation:
        """The same, under the document's lock."""
        return self._changed(self._new("change", "docs", _DOCUMENTS), store)

    def brief(self, store: StateStore) -> Operation:
        """A document is created or deleted."""
        operation = self._new("save", "brief", _BRIEF)
        category, name = operation.place.split("/")
        gone = store.exists(category, name) and self._rng.random() < _ERASE_SHARE
        return operation._replace(action="erase") if gone else operation

    def box(self, store: StateStore) -> Operation:
        """A document is moved to another name or folder, and changed where it is."""
        here = next((place for place in _BOXES if store.exists(*place.split("/"))), None)
        if here is None:
            return Operation(self._number, "save", _BOXES[0])
        if self._rng.random() < _CHANGE_SHARE:
            return Operation(self._number, "patch", here)
        there = self._rng.choice([place for place in _BOXES if place != here])
        return Operation(self._number, "move", here, target=there)

    def fork(self, store: StateStore) -> Operation:
        """A session gets a branch, or a branch is deleted."""
        name = self._rng.choice(FORKS)
        if store.exists("sessions", name):
            return self._new("erase", "sessions", (name,))
        session = store.load_session(self._rng.choice(SESSIONS))
        if session is None:
            return self.say(store)
        amount = self._rng.randint(1, len(session.turns()))
        place, target = f"sessions/{session.id}", f"sessions/{name}"
        return Operation(self._number, "fork", place, amount, target=target)

    def prune(self, store: StateStore) -> Operation:
        """The sessions that were not changed for longest go to the trash."""
        amount = self._rng.randint(1, _MOST_KEPT)
        going = store.prune_sessions(keep_last=amount, dry_run=True).sessions
        if not going:
            return self.say(store)
        names = tuple(one.id for one in going)
        return Operation(self._number, "prune", "sessions", amount, names=names)

    def restore(self, store: StateStore) -> Operation:
        """A session comes back from the trash."""
        back = sorted({one.id for one in store.trash()})
        back = [name for name in back if not store.exists("sessions", name)]
        if not back:
            return self.prune(store)
        return Operation(self._number, "restore", f"sessions/{self._rng.choice(back)}")

    def empty(self, store: StateStore) -> Operation:
        """Nothing stays in the trash."""
        going = store.empty_trash(older_than=NOTHING_OLDER, dry_run=True).sessions
        if not going:
            return self.say(store)
        return Operation(self._number, "empty", "trash", names=tuple(one.id for one in going))

    def undo(self, store: StateStore) -> Operation:
        """The last change of a document is taken back; of a name, its deletion, unless it was
        moved away, and its past with it."""
        category, name = self._rng.choice(_UNDONE).split("/")
        moves = category in ("sessions", "boxes", "attic")
        is_there = store.exists(category, name)
        if not is_there and (moves or not store.history(category, name, kind=kind_of(category))):
            return self.say(store)
        return self._new("undo", category, (name,))

    def _changed(self, operation: Operation, store: StateStore) -> Operation:
        """Its creation may have been undone."""
        if store.exists(*operation.place.split("/")):
            return operation
        return operation._replace(action="save")

    def _new(self, action: Action, category: str, names: tuple[str, ...]) -> Operation:
        tx_id = f"t{self._number}" if self._rng.random() < _WITH_ID_SHARE else None
        place = f"{category}/{self._rng.choice(names)}"
        return Operation(self._number, action, place, tx_id=tx_id)


_CHOICES = (
    *(Plan.say, Plan.batch, Plan.turn, Plan.end_session, Plan.note, Plan.rewrite),
    *(Plan.save, Plan.patch, Plan.change, Plan.brief, Plan.box),
    *(Plan.fork, Plan.prune, Plan.restore, Plan.empty, Plan.undo),
)
_WEIGHTS = (28, 8, 6, 4, 10, 5, 10, 5, 5, 8, 6, 4, 3, 3, 1)
_UNDO_WEIGHT = 8
_UNDONE = (
    *(f"sessions/{name}" for name in (*SESSIONS, *FORKS)),
    *(f"docs/{name}" for name in _DOCUMENTS),
    *(f"brief/{name}" for name in _BRIEF),
    *("notes/log", "notes/scrap"),
    *_BOXES,
)


def _set_up(base: str, *, keep: bool) -> None:
    with open_store(base, keep=keep) as store:
        for operation in SETUP:
            perform(store, operation)
        _search(store)  # without an index, an opening does not tell what a cut took from the feed
        page = store.changes()
        for change in page:
            _print_seen(change)
        _print(f"cursor {page.cursor}")
        with store.watch(page.cursor, follower=FOLLOWER):
            pass


def _run(base: str, rng: random.Random, *, keep: bool) -> None:
    plan = Plan(rng, keep=keep)
    store = open_store(base, keep=keep)
    beside = (_follow, _search, StateStore.checkpoint, StateStore.close, _nothing)
    shares = (_FOLLOW_SHARE, _SEARCH_SHARE, _CHECKPOINT_SHARE, _REOPEN_SHARE)
    weights = (*shares, 1 - sum(shares))
    while True:
        work = rng.choices(beside, weights)[0]
        _tidy(work, store)
        if work == StateStore.close:
            store = open_store(base, keep=keep)
        _do(store, plan.next(store))


def _follow(store: StateStore) -> None:
    """What a follower does; whatever it counts as done was printed before."""
    with store.watch(follower=FOLLOWER) as watch:
        while change := watch.next(timeout_s=0):
            _print_seen(change)


def _search(store: StateStore) -> None:
    """So that there is an index when the power fails."""
    store.search(word(1))


def _nothing(_: StateStore) -> None:
    """Most of the time."""


def _print_seen(change: Change) -> None:
    _print(f"seen {json.dumps([str(change.document), change.version])}")


def _tidy(work: Callable[[StateStore], object], store: StateStore) -> None:
    try:
        work(store)
    except PlainstateError as error:  # an injected fault; nothing may be lost by it
        _print(f"trouble {error!r}")


def _do(store: StateStore, operation: Operation) -> None:
    _print(f"try {json.dumps(operation)}")
    try:
        perform(store, operation)
    except OutcomeUnknownError as error:
        _print(f"unknown {operation.number} {error!r}")
    except PlainstateError as error:
        _print(f"failed {operation.number} {error!r}")
    else:
        _print(f"ack {operation.number}")


def _print(line: str) -> None:
    os.write(1, line.replace("\n", " ").encode() + b"\n")


def _main() -> None:
    base, history, command, *rest = sys.argv[1:]
    keep = history == "keep"
    if command == "setup":
        _set_up(base, keep=keep)
        return
    kernel.die_with_parent()
    seed, *sabotage = rest
    for name in sabotage:
        SABOTAGES[name].apply()
    try:
        _run(base, random.Random(seed), keep=keep)
    except StorageError as error:  # after an injected fault the file system may have shut down
        _print(f"trouble {error!r}")


if __name__ == "__main__":
    _main()
