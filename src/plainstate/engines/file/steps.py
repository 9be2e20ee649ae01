"""Work on documents that goes on in steps, so that several can share what they wait for.

A step ends where the next one needs something to be durable: a generator yields the folder whose
names that are, or `None` where it has only begun to write, so that others may begin as well.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from plainstate.errors import PlainstateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from plainstate.fs.base import FileSystem

    T = TypeVar("T")

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


def finish_together(fs: FileSystem, works: Mapping[T, Steps]) -> set[T]:
    """Takes several side by side through their steps; a folder is synced once for all of them.

    Returns:
        Those that came to their end without an error.
    """
    done: set[T] = set()
    with ExitStack() as begun:  # what was begun is ended, whatever happens
        for steps in works.values():
            begun.callback(steps.close)
        waits: dict[T, str | None] = dict.fromkeys(works)
        while waits:
            folders = dict.fromkeys(waits.values())
            failures = {one: None if one is None else _sync(fs, one) for one in folders}
            for work, folder in list(waits.items()):
                try:
                    waits[work] = _go_on(works[work], failures[folder])
                except StopIteration:
                    done.add(work)
                    del waits[work]
                except (OSError, PlainstateError):
                    del waits[work]
    return done


def _go_on(steps: Steps, failure: BaseException | None) -> str | None:
    return next(steps) if failure is None else steps.throw(failure)


def _sync(fs: FileSystem, folder: str) -> BaseException | None:
    """What went wrong is for whoever waits for it: who knows what to clean up."""
    try:
        fs.sync_folder(folder)
    except BaseException as error:  # noqa: BLE001 - an interruption, too
        return error
    return None
