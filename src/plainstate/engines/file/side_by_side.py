"""Work that mostly waits for the disk, in several threads: it flushes for all that wait at once."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["side_by_side"]

_MOST: Final = 8
"""Threads; the caller's is one of them."""

_EACH: Final = 8
"""Calls from which on another thread pays for itself."""


def side_by_side(calls: Iterable[Callable[[], object]]) -> None:
    """Runs all of these, in no order, and returns when they have ended.

    Where one raises, which is for interruptions only, those that are not begun are left out.
    """
    waiting = deque(calls)
    failures: list[BaseException] = []

    def work() -> None:
        while True:
            try:
                call = waiting.popleft()
            except IndexError:
                return
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - it is raised below
                failures.append(error)
                waiting.clear()

    others: list[threading.Thread] = []
    wanted = min(len(waiting) // _EACH, _MOST - 1)
    try:
        with suppress(RuntimeError):  # no more threads can be had: the caller's is there
            while len(others) < wanted:
                context = copy_context()  # which knows what the caller holds
                other = threading.Thread(target=context.run, args=(work,), name="plainstate-fold")
                other.start()
                others.append(other)
        work()
        for other in others:
            other.join()
    finally:
        waiting.clear()
    if failures:
        raise failures[0]
