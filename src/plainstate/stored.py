"""Sessions as documents: taking one out of its document, and letting nothing else in there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.core import codec, patch
from plainstate.core.summary import is_session, summarize
from plainstate.errors import DamagedError, InvalidValueError, PatchFailedError
from plainstate.session import Session

if TYPE_CHECKING:
    from plainstate.types import DocumentId, Json, Patch, State

__all__ = ["check_patched", "check_stored", "describe", "make_session"]


def make_session(document: DocumentId, tree: Json, version: str) -> Session:
    """A session of what is stored.

    Raises:
        DamagedError: it is not a session.
    """
    try:
        session = Session(tree, version=version)
    except DamagedError as error:
        path = f"{document}.json"
        raise DamagedError(f"{path}: {error}", hint=error.hint, path=path, line=0) from error
    session.take_name(document.name)
    return session


def describe(document: DocumentId, state: State) -> dict[str, Json]:
    """The summary of a stored session, for the index.

    Raises:
        DamagedError: it is not a session.
    """
    session = make_session(document, state.value, state.version)
    session.last_time()  # a damaged message shows
    return summarize(state.value) or {}


def check_stored(document: DocumentId, value: Json) -> None:
    """Refuses what is to be stored where sessions are, and is none.

    It could not be loaded any more, and would stand in the place of one that can.

    Raises:
        InvalidValueError: it is not a session.
    """
    if not is_session(document):
        return
    try:
        make_session(document, dict(value) if isinstance(value, dict) else value, "").last_time()
    except DamagedError as error:
        raise InvalidValueError(
            str(error),
            hint="Make it with Session and save_session; any other JSON goes elsewhere.",
            pointer="",
        ) from error


def check_patched(document: DocumentId, value: Json, operations: Patch, limit_bytes: int) -> None:
    """As `check_stored`, of what a patch would make of a value; that stays as it is.

    A patch that does not fit, or copies more than `limit_bytes`, is left to the engine, which
    refuses it.
    """
    places = [one[key] for one in operations for key in ("path", "from") if key in one]
    if not is_session(document) or all(one.startswith("/metadata/") for one in places):
        return

    def check_copied(size: int) -> None:
        if size > limit_bytes:
            raise _TooMuchError

    try:
        value = patch.apply(codec.copy(value), codec.copy(operations), check_copied=check_copied)
    except (PatchFailedError, _TooMuchError):
        return
    check_stored(document, value)


class _TooMuchError(Exception):
    """A patch copies too much."""
