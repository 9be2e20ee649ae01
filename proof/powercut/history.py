"""What was done to a store, as data: operations, how they ended, and the states they allow.

The writer does one operation at a time and waits for it.  So the only states that a power cut
may leave are those after a first part of its operations, no shorter than what was acknowledged.
A state is compared as a whole: whatever is lost, torn, doubled, out of order, left over or back
from the dead is a difference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "FAULT_TEXT",
    "SETUP",
    "Case",
    "Ending",
    "Operation",
    "State",
    "Step",
    "after",
    "allowed",
    "message",
    "padding",
    "role_of",
]

State: TypeAlias = dict[str, Any]
"""Documents by `category/name`: a note's text, a JSON value, or `{"texts": …, "topic": …}`."""

FAULT_TEXT: Final = "eio-target"
"""In every padding: lets faults hit what the store writes, and not the file system's own."""

Action = Literal["say", "batch", "turn", "note", "rewrite", "save", "patch", "erase", "move"]
Ending = Literal["ack", "failed", "unknown", "none"]
"""Acknowledged; reported as failed without effect; reported as unknown; not reported."""


class Operation(NamedTuple):
    """One call of the store.

    Attributes:
        number: counts the operations of a run, and makes every written value different.
        action: what is called.
        place: `category/name`.
        messages: how many a batch has.
        tx_id: makes a retry safe, or `None`.
        target: where a document is moved.
    """

    number: int
    action: Action
    place: str
    messages: int = 1
    tx_id: str | None = None
    target: str = ""


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
    """What a checker is given: the steps of one run as one cut sees them."""

    steps: list[Step]

    def save(self, path: str) -> None:
        """Writes it to a file."""
        with open(path, "w", encoding="ascii") as file:
            json.dump(self.steps, file)

    @classmethod
    def load(cls, path: str) -> Case:
        """Reads it back."""
        with open(path, encoding="ascii") as file:
            rows = json.load(file)
        return cls([Step(Operation(*row[0]), row[1], row[2]) for row in rows])

    @property
    def settled(self) -> int:
        """How many steps had ended before the power failed."""
        return sum(step.settled for step in self.steps)


def padding(number: int, limit: int) -> str:
    """Text of a length below `limit` that only depends on the operation."""
    length = number * 7919 % limit
    return (FAULT_TEXT * (length // len(FAULT_TEXT) + 1))[:length]


def message(number: int, index: int) -> str:
    """Text of the `index`-th message of an operation."""
    return f"{number}.{index} {padding(number + index, 900)}"


def role_of(number: int, index: int) -> Literal["user", "agent"]:
    """Who says it."""
    return "user" if (number + index) % 3 else "agent"


def after(state: State, operation: Operation) -> State:
    """The state after an operation; values are never changed in place."""
    new = dict(state)
    number, place = operation.number, operation.place
    old: Any = state.get(place)
    match operation.action:
        case "say" | "batch" | "turn":
            session = old or {"texts": [], "topic": None}
            said = [message(number, index) for index in range(operation.messages)]
            topic = number if operation.action == "turn" else session["topic"]
            new[place] = {"texts": session["texts"] + said, "topic": topic}
        case "note":
            new[place] = (old or "") + note(number)
        case "rewrite":
            new[place] = note(number)
        case "save":
            new[place] = document(number)
        case "patch":
            new[place] = {**old, "number": number, "log": [*old["log"], number]}
        case "erase":
            new.pop(place, None)
        case "move":
            new[operation.target] = new.pop(place)
    return new


def note(number: int) -> str:
    """The line that an operation writes to a note."""
    return f"{number} {padding(number, 300)}\n"


def document(number: int) -> dict[str, Any]:
    """The JSON document that an operation saves."""
    return {"number": number, "pad": padding(number, 6000), "log": []}


def allowed(steps: Iterable[Step], settled: int) -> Iterator[tuple[int, State]]:
    """Every state that a cut may leave, each with the number of steps it holds.

    A settled acknowledgement must be in it, a settled failure must not.  An operation whose
    end was not known, or came only after the cut, may be, as long as everything before it is.
    """
    states: list[State] = [{}]
    for operation in SETUP:
        states = [after(state, operation) for state in states]
    count = 0
    for count, step in enumerate(steps, 1):
        if count > settled:
            yield from ((count - 1, state) for state in states)
        done = [] if step.ending == "failed" and step.settled else _after_all(states, step)
        kept = [] if step.ending == "ack" else states
        states = kept + [state for state in done if state not in kept]
    yield from ((count, state) for state in states)


def _after_all(states: list[State], step: Step) -> list[State]:
    """States that an operation of unknown outcome cannot come from are left out."""
    operation = step.operation
    needs_it = operation.action in ("patch", "move")
    return [after(state, operation) for state in states if not needs_it or operation.place in state]
