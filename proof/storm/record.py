"""The logs: what each process called, and what came out.

A line is one write(2), so whoever is killed leaves whole lines, but for the last one.  A line
tells of a call *before* it is made, another of its outcome *after* it is known: the times in them
enclose the call.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from proof.storm.model import TRASH, Call, Operation, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

__all__ = ["OLD", "Line", "Recorder", "calls_cut_off", "faults", "operations", "read_log"]

OLD = ("old0", "old1")
"""The sessions that are pruned."""


class Line(Struct, frozen=True, omit_defaults=True):
    """One line of a log.

    Attributes:
        number: of the call, from 1 in each process.
        at: nanoseconds of CLOCK_MONOTONIC.
        call: what is called; in the first line of each call.
        outcome: what came out; in the second.
        fault: an error that nobody expects.
    """

    number: int
    at: int
    call: Call | None = None
    outcome: Outcome | None = None
    fault: str = ""


class Recorder:
    """The log of one process.

    Args:
        path: of the log, which is created.
    """

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        self._number = 0

    async def record(self, call: Call, work: Callable[[Call], Awaitable[Outcome]]) -> Outcome:
        """Makes a call and writes down what comes out."""
        self._number += 1
        number = self._number
        self._say(Line(number, time.monotonic_ns(), call=call))
        outcome = await work(call)
        self._say(Line(number, time.monotonic_ns(), outcome=outcome))
        return outcome

    def fault(self, text: str) -> None:
        """Writes down an error that nobody expects."""
        self._say(Line(0, time.monotonic_ns(), fault=text))

    def close(self) -> None:
        """Ends the log."""
        os.close(self._fd)

    def _say(self, line: Line) -> None:
        data = msgspec.json.encode(line) + b"\n"
        if os.write(self._fd, data) != len(data):
            raise OSError("the log is not written")


def read_log(path: str) -> list[Line]:
    """The whole lines of a log."""
    with open(path, "rb") as file:
        whole = file.read().split(b"\n")[:-1]
    decoder = msgspec.json.Decoder(Line)
    return [decoder.decode(line) for line in whole]


def calls_cut_off(lines: Iterable[Line]) -> Iterator[Line]:
    """The first lines of the calls whose outcome nobody was told."""
    begun = {}
    for line in lines:
        if line.call is not None:
            begun[line.number] = line
        elif line.outcome is not None:
            del begun[line.number]
    yield from begun.values()


def faults(lines: Iterable[Line]) -> list[str]:
    """The errors that nobody expected."""
    return [line.fault for line in lines if line.fault]


def operations(name: str, lines: Iterable[Line], dead_at: int) -> Iterator[Operation]:
    """The operations of one process.

    Args:
        name: of the process.
        lines: its log.
        dead_at: when it was known to be dead: what it had begun can happen until then.
    """
    begun: dict[int, Line] = {}
    for line in lines:
        if line.call is not None:
            begun[line.number] = line
        elif line.outcome is not None:
            yield from _operation(name, begun.pop(line.number), line.at, line.outcome)
    for line in begun.values():
        yield from _operation(name, line, dead_at, None)


def _operation(name: str, begin: Line, end: int, outcome: Outcome | None) -> Iterator[Operation]:
    call: Any = begin.call
    who = f"{name}:{begin.number}"
    if call.action != "prune":
        yield Operation(who, call, begin.at, end, outcome)
        return
    for session in OLD:  # each is moved by itself
        if outcome is None or session in outcome.moved:
            target = f"{TRASH}/{call.target}/{session}"
            move = Call("move", f"sessions/{session}", target=target)
            yield Operation(who, move, begin.at, end, None if outcome is None else Outcome())
