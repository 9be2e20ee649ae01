"""What was done to a store, as data: operations and how they ended.

What they make of a store is computed by `model.py`.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, NamedTuple

__all__ = [
    "FAULT_TEXT",
    "SETUP",
    "Case",
    "Ending",
    "Operation",
    "Seen",
    "Step",
    "document",
    "message",
    "note",
    "padding",
    "role_of",
    "word",
]

FAULT_TEXT: Final = "eio-target"
"""In every padding: lets faults hit what the store writes, and not the file system's own."""

# fmt: off
Action = Literal[
    "say", "batch", "turn", "fork",
    "note", "rewrite", "save", "patch", "change",
    "erase", "move", "undo",
    "prune", "restore", "empty",
]
# fmt: on
Ending = Literal["ack", "failed", "unknown", "none"]
"""Acknowledged; reported as failed without effect; reported as unknown; not reported."""

Seen = dict[str, list[str | None]]
"""The versions of each document that a follower was told, `None` of a deletion."""


class Operation(NamedTuple):
    """One call of the store.

    Attributes:
        number: counts the operations of a run, and makes every written value different.
        action: what is called.
        place: `category/name`; only a category for what is about many sessions.
        amount: how many messages a batch has, or a fork keeps, or sessions a pruning keeps.
        tx_id: makes a retry safe, or `None`.
        target: where a document is moved, or a session is forked.
        names: the sessions that a pruning or emptying is about, in order.
    """

    number: int
    action: Action
    place: str
    amount: int = 1
    tx_id: str | None = None
    target: str = ""
    names: tuple[str, ...] = ()


SETUP: Final = (
    Operation(-1, "say", "sessions/s0"),
    Operation(-2, "batch", "sessions/s1", 3),
    Operation(-3, "save", "docs/d0"),
    Operation(-4, "save", "docs/d1"),
    Operation(-5, "save", "docs/d2"),
    Operation(-6, "note", "notes/log"),
    Operation(-7, "save", "boxes/a"),
)
"""Done, and durable for certain, before the run."""


class Step(NamedTuple):
    """An operation and how it ended.

    Attributes:
        operation: what was tried.
        ending: what the writer said in the end.
        settled: it had said so before the power failed.
    """

    operation: Operation
    ending: Ending
    settled: bool


class Case(NamedTuple):
    """What a checker is given: one run as one cut sees it.

    Attributes:
        steps: what was done.
        keep: the store keeps its history.
        cursor: the end of the feed before the run.
        known: the versions at that moment.
        seen: what the named follower was told during the whole run; so it may be more than what
            it was told before the cut.
        sabotage: breaks the checker's store as well, for the self-test; or nothing.
    """

    steps: list[Step]
    keep: bool
    cursor: str
    known: Seen
    seen: Seen
    sabotage: str = ""

    def save(self, path: str) -> None:
        """Writes it to a file."""
        with open(path, "w", encoding="ascii") as file:
            json.dump(self, file)

    @classmethod
    def load(cls, path: str) -> Case:
        """Reads it back."""
        with open(path, encoding="ascii") as file:
            steps, *rest = json.load(file)
        return cls([Step(read_operation(row[0]), row[1], row[2]) for row in steps], *rest)

    @property
    def settled(self) -> int:
        """How many steps had ended before the power failed."""
        return sum(step.settled for step in self.steps)

    @property
    def is_certain(self) -> bool:
        """Whether no operation was reported as unknown, so that there is one past only."""
        return all(step.ending != "unknown" for step in self.steps)


def read_operation(row: list[Any]) -> Operation:
    """An operation that was written as JSON."""
    return Operation(*row[:-1])._replace(names=tuple(row[-1]))


def padding(number: int, limit: int) -> str:
    """Text of a length below `limit` that only depends on the operation."""
    length = number * 7919 % limit
    return (FAULT_TEXT * (length // len(FAULT_TEXT) + 1))[:length]


def word(number: int) -> str:
    """A word that stands in everything that an operation writes, and nowhere else."""
    return f"w{number & 0xFFFF:04x}"


def message(number: int, index: int) -> str:
    """Text of the `index`-th message of an operation."""
    return f"{number}.{index} {word(number)} {padding(number + index, 900)}"


def role_of(number: int, index: int) -> Literal["user", "agent"]:
    """Who says it."""
    return "user" if (number + index) % 3 else "agent"


def note(number: int) -> str:
    """The line that an operation writes to a note."""
    return f"{number} {word(number)} {padding(number, 300)}\n"


def document(number: int) -> dict[str, Any]:
    """The JSON document that an operation saves."""
    return {"number": number, "word": word(number), "pad": padding(number, 6000), "log": []}
