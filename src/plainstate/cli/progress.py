"""Progress of long work, as the library's `progress=` tells it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from plainstate.cli import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["progress"]


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
