"""Work on documents that goes on in steps, so that several can share what they wait for.

A step ends where the next one needs something to be durable: a generator yields the folder whose
names that are, or `None` where it has only begun to write, so that others may begin as well.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

from plainstate.errors import PlainstateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.fs.base import FileSystem

__all__ = ["Steps", "finish", "finish_together"]

Steps: TypeAlias = Generator[str | None, None, None]


def finish(fs: FileSystem, steps: Steps) -> None:
    """Takes one through all its steps."""
    failure = None
    try:
        while True:
            folder = _go_on(steps, failure)
            failure = None if folder is None else _sync(fs, folder)
    except StopIteration:
        return


def finish_together(fs: FileSystem, works: Sequence[Steps]) -> None:
    """Takes several side by side through their steps; a folder is synced once for all of them.

    Who fails is left behind: its error is not told.
    """
    with ExitStack() as begun:  # what was begun is ended, whatever happens
        for steps in works:
            begun.callback(steps.close)
        waiting: dict[Steps, str | None] = dict.fromkeys(works)
        while waiting:
            folders = dict.fromkeys(waiting.values())
            failures = {one: None if one is None else _sync(fs, one) for one in folders}
            for steps, folder in list(waiting.items()):
                try:
                    waiting[steps] = _go_on(steps, failures[folder])
                except (StopIteration, OSError, PlainstateError):
                    del waiting[steps]


def _go_on(steps: Steps, failure: BaseException | None) -> str | None:
    return next(steps) if failure is None else steps.throw(failure)


def _sync(fs: FileSystem, folder: str) -> BaseException | None:
    """What went wrong is for whoever waits for it: who knows what to clean up."""
    try:
        fs.sync_folder(folder)
    except BaseException as error:  # noqa: BLE001 - an interruption, too
        return error
    return None
