"""Loading a session again: the handle keeps those it loaded last, and reads on from there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from plainstate.core import codec, patch
from plainstate.errors import PlainstateError
from plainstate.limits import LOADED_BYTES, MAX_NESTING
from plainstate.types import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.engines.base import Engine
    from plainstate.session import Session
    from plainstate.types import DocumentId, Json, Patch

__all__ = ["Loaded"]

_OVERHEAD_BYTES: Final = 4096
"""What a kept session takes however short it is."""

_DEEPEST: Final = 2
"""Slashes in a path right inside a member of the root."""


class Loaded:
    """The sessions that a handle loaded last, as far as they fit into `LOADED_BYTES`.

    A kept tree and the sessions made of it share the messages, which nobody can change through
    a session.  Root, arrays and metadata are each one's own.
    """

    def __init__(self) -> None:
        self._states: dict[DocumentId, State] = {}  # the one loaded last at the end
        self._size_bytes = 0
        self._mutex = threading.Lock()

    def load(
        self,
        engine: Engine,
        document: DocumentId,
        make: Callable[[DocumentId, Json, str], Session],
    ) -> Session | None:
        """The session as it is now; `make` wraps its tree."""
        state = self._take(document)
        if state is not None:
            state = _moved_on(state)
        if state is None:
            state = engine.read(document)
        if state is None:
            return None
        session = make(document, _own(state.value), state.version)
        self._keep(document, state)
        return session

    def _take(self, document: DocumentId) -> State | None:
        """Takes a state out: only one thread may move it on."""
        with self._mutex:
            state = self._states.pop(document, None)
            self._size_bytes -= _size(state)
        return state

    def _keep(self, document: DocumentId, state: State) -> None:
        if state.place is None:
            return
        with self._mutex:
            self._size_bytes += _size(state) - _size(self._states.pop(document, None))
            self._states[document] = state
            while self._size_bytes > LOADED_BYTES:
                self._size_bytes -= _size(self._states.pop(next(iter(self._states))))


def _size(state: State | None) -> int:
    return 0 if state is None or state.place is None else state.place.size_bytes + _OVERHEAD_BYTES


def _moved_on(state: State) -> State | None:
    """The newest state, made of an earlier one; `None`: it must be read anew."""
    news = None if state.place is None else state.place.news()
    if news is None or not all(map(_is_shallow, news.patches)):
        return None
    if codec.is_too_deep(news.patches, MAX_NESTING // 2):
        return None
    try:
        for one in news.patches:
            patch.apply_trusted(state.value, one)
    except PlainstateError:
        return None  # reading anew says what is wrong
    return State(state.value, news.seq, news.version, news.place)


def _is_shallow(operations: Patch) -> bool:
    """Whether a patch changes only what sessions do not share."""
    return all(
        isinstance(path, str) and 0 < path.count("/") <= _DEEPEST
        for operation in operations
        for path in (operation.get("path"), operation.get("from", "/"))
    )


def _own(tree: Json) -> Json:
    """A tree for a session of its own."""
    if not isinstance(tree, dict):
        return tree
    return {
        key: codec.copy(value) if key == "metadata" else _copy(value) for key, value in tree.items()
    }


def _copy(value: Json) -> Json:
    return value.copy() if isinstance(value, dict | list) else value
