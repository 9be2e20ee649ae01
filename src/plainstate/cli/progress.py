"""What is said while somebody waits: progress as the library tells it, or why it takes long."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from plainstate.cli import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["patience", "progress"]

_PATIENCE_S: Final = 2.0
"""Whoever waits longer wants to know what for."""


@contextmanager
def patience() -> Iterator[None]:
    """In `with`: says what a list or search waits for, if that takes long and a terminal looks.

    Example:
        >>> with patience():
        ...     pass
    """
    if not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(_PATIENCE_S, _explain)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _explain() -> None:
    print("the index is behind, and looks at every document first …", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """In `with`: a bar on stderr, where that is a terminal, gone at the end.

    Args:
        what: what is being done, "exporting".

    Returns:
        What to call with how much is done and how much there is: pass it as `progress=`.

    Example:
        >>> with progress("counting") as tick:
        ...     tick(1, 2)
    """
    with render.Progress() as bar:
        yield lambda done, total: bar.update(done / total, what)
