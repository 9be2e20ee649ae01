"""Works on a store until it is killed, and says what was acknowledged.

Prints `try <operation>` before each call, and then `ack`, `failed` or `unknown` with the
operation's number and, after an error, its text.  One line is one write(2).

    python -m proof.powercut.writer BASE setup
    python -m proof.powercut.writer BASE run SEED [SABOTAGE]
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import TYPE_CHECKING

from plainstate.errors import OutcomeUnknownError, PlainstateError, StorageError
from proof.powercut import kernel
from proof.powercut.history import SETUP, Operation
from proof.powercut.operations import SESSIONS, open_store, perform
from proof.powercut.sabotage import SABOTAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate import StateStore
    from proof.powercut.history import Action

_DOCUMENTS = ("d0", "d1", "d2")
_BRIEF = ("e0", "e1")
_BOXES = ("boxes/a", "boxes/b", "attic/a")

_CHECKPOINT_SHARE = 0.02
_REOPEN_SHARE = 0.02
_MAX_BATCH = 5
_ERASE_SHARE = 0.5
_CHANGE_SHARE = 0.4
_WITH_ID_SHARE = 0.6


class Plan:
    """Draws the next operation.

    Args:
        rng: where from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._number = 0

    def next(self, store: StateStore) -> Operation:
        """One more operation, which fits what the store holds."""
        self._number += 1
        draw = self._rng.choices(_CHOICES, _WEIGHTS)[0]
        operation: Operation = draw(self, store)
        return operation

    def say(self, _: StateStore) -> Operation:
        """One message."""
        return self._new("say", "sessions", SESSIONS)

    def batch(self, _: StateStore) -> Operation:
        """Several messages at once."""
        messages = self._rng.randint(2, _MAX_BATCH)
        return self._new("batch", "sessions", SESSIONS)._replace(messages=messages)

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

    def patch(self, _: StateStore) -> Operation:
        """A part of a document is changed."""
        return self._new("patch", "docs", _DOCUMENTS)

    def brief(self, store: StateStore) -> Operation:
        """A document is created or deleted."""
        operation = self._new("save", "brief", _BRIEF)
        category, name = operation.place.split("/")
        gone = store.exists(category, name) and self._rng.random() < _ERASE_SHARE
        return operation._replace(action="erase") if gone else operation

    def box(self, store: StateStore) -> Operation:
        """A document is moved to another name or folder, and changed where it is."""
        here = next(place for place in _BOXES if store.exists(*place.split("/")))
        if self._rng.random() < _CHANGE_SHARE:
            return Operation(self._number, "patch", here)
        there = self._rng.choice([place for place in _BOXES if place != here])
        return Operation(self._number, "move", here, target=there)

    def _new(self, action: Action, category: str, names: tuple[str, ...]) -> Operation:
        tx_id = f"t{self._number}" if self._rng.random() < _WITH_ID_SHARE else None
        place = f"{category}/{self._rng.choice(names)}"
        return Operation(self._number, action, place, tx_id=tx_id)


_CHOICES = (
    *(Plan.say, Plan.batch, Plan.turn, Plan.end_session, Plan.note),
    *(Plan.rewrite, Plan.save, Plan.patch, Plan.brief, Plan.box),
)
_WEIGHTS = (30, 10, 6, 5, 10, 5, 12, 6, 10, 6)


def _set_up(base: str) -> None:
    with open_store(base) as store:
        for operation in SETUP:
            perform(store, operation)


def _run(base: str, rng: random.Random) -> None:
    plan = Plan(rng)
    store = open_store(base)
    while True:
        draw = rng.random()
        if draw < _CHECKPOINT_SHARE:
            _tidy(store.checkpoint)
        elif draw < _CHECKPOINT_SHARE + _REOPEN_SHARE:
            _tidy(store.close)
            store = open_store(base)
        _do(store, plan.next(store))


def _tidy(work: Callable[[], object]) -> None:
    try:
        work()
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
    base, command, *rest = sys.argv[1:]
    if command == "setup":
        _set_up(base)
        return
    kernel.die_with_parent()
    seed, *sabotage = rest
    for name in sabotage:
        SABOTAGES[name].apply()
    try:
        _run(base, random.Random(seed))
    except StorageError as error:  # after an injected fault the file system may have shut down
        _print(f"trouble {error!r}")


if __name__ == "__main__":
    _main()
