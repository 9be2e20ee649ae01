"""Housekeeping in a thread of its own: periodic syncs and quiet folds.

The thread starts with the first write and ends with the handle.  What it cannot
do now, it tries again; what stays undone, `checkpoint` and `close` report.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background"]


class Background:
    """Calls `work` now and then, until stopped.

    Args:
        work: what to do.
        idle_s: pause between two calls.
        busy_s: pause after `hurry`.
    """

    def __init__(self, work: Callable[[], None], *, idle_s: float, busy_s: float) -> None:
        self._work = work
        self._idle_s = idle_s
        self._busy_s = min(busy_s, idle_s)
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plainstate", daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Something is waiting to be synced."""
        self._hurry.set()

    def stop(self) -> None:
        """Ends the thread and waits for it."""
        self._stop.set()
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._hurry.wait(self._idle_s):
                self._hurry.clear()
                self._stop.wait(self._busy_s)
            if not self._stop.is_set():
                self._work()
