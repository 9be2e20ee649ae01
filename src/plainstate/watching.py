"""`Watch`: an iterator over the change feed that waits for more; the progress of followers."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakSet

import msgspec
from msgspec import Struct

from plainstate.core import times
from plainstate.errors import ConflictError, DamagedError, InvalidValueError, UsageError
from plainstate.types import ABSENT, FOLLOWERS, LATEST, DocumentId

if TYPE_CHECKING:
    from types import TracebackType

    from plainstate.engines.base import Engine
    from plainstate.types import Change, State

__all__ = ["Follower", "Progress", "Watch", "Watches", "follower_of", "read_follower"]

_SLICE_S: Final = 0.2
"""A waiting watch looks so often whether it was stopped: a flag is all that a signal handler
may safely set."""

_SAVE_S: Final = 1.0
"""Progress is saved at most so often: a save takes several syncs, and what it spares is only the
repetition of a second's changes."""

_PAGE: Final = 256


class Follower(Struct, frozen=True):
    """Somebody who follows the feed under a name.

    Attributes:
        name: given as `watch(follower=…)`.
        cursor: everything before it is done.
        saved_at: when that was saved.
    """

    name: str
    cursor: str
    saved_at: datetime


class _Saved(Struct):
    cursor: str
    time: str


def read_follower(engine: Engine, name: str) -> tuple[Follower, str] | None:
    """How far a follower has come, and the version of the document that says so.

    Raises:
        DamagedError: the document does not say it.
    """
    document = DocumentId(FOLLOWERS, name)
    state = engine.read(document)
    return None if state is None else (follower_of(document, state), state.version)


def follower_of(document: DocumentId, state: State) -> Follower:
    """How far a follower has come, as its document says.

    Raises:
        DamagedError: the document does not say it.
    """
    try:
        saved = msgspec.convert(state.value, _Saved)
        saved_at = times.to_datetime(times.parse(saved.time))
    except (msgspec.ValidationError, InvalidValueError) as error:
        raise DamagedError(
            f"{document}.json does not tell a follower's progress: {error}",
            hint="Remove the follower with remove_follower, and begin anew.",
            path=f"{document}.json",
            line=0,
        ) from error
    return Follower(document.name, saved.cursor, saved_at)


class Progress:
    """How far one named follower has come, kept in the store.

    Each save demands that nobody saved in between, so that two watches of one name do not
    take each other's place unnoticed.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._document = DocumentId(FOLLOWERS, name)
        found = read_follower(engine, name)
        self._version = ABSENT if found is None else found[1]
        self.cursor = None if found is None else found[0].cursor

    def save(self, cursor: str) -> None:
        """Everything before `cursor` is done.

        Raises:
            ConflictError: the follower was removed, or another watch saved in its name.
        """
        value = {"cursor": cursor, "time": times.of_clock(time.time_ns())}
        try:
            commit = self._engine.replace(self._document, value, expected=self._version)
        except ConflictError as error:
            name = self._document.name
            raise ConflictError(
                f"follower {name} was removed, or another watch goes by its name",
                hint="Let one watch at a time use a name; begin a new watch to go on.",
                document=str(self._document),
                expected=error.expected,
                current=error.current,
            ) from error
        self._version = commit.version
        self.cursor = cursor


class Watch:
    """Changes as they come: iterate over it.  Made by `StateStore.watch`.

    One thread iterates; `stop` may be called from any thread and from a signal handler.
    In `with`, or by `close`, the progress of a named follower is saved at the end.
    A change counts as done when the next one is asked for.
    """

    def __init__(
        self, engine: Engine, since: str | None, category: str | None, progress: Progress | None
    ) -> None:
        self._engine = engine
        self._category = category
        self._progress = progress
        self._waiting: deque[Change] = deque()
        self._stopped = False
        self._saving = threading.Lock()
        self._gap = False
        page = engine.changes(since or LATEST, limit=1, durable=True)  # refuses a bad cursor
        start = page.cursor if since in (None, LATEST) else str(since)
        self._cursor = self._done = self._fetched = start
        if progress is not None and progress.cursor != start:
            progress.save(start)
        self._saved_at = time.monotonic()

    @property
    def cursor(self) -> str:
        """The place behind the last change that was given: as `since=` it goes on from there."""
        return self._cursor

    @property
    def gap(self) -> bool:
        """Whether changes may have been missed so far: some lines of the feed could not be read, as
        after a power cut, or the system did not tell of all edits by hand (`ChangePage`).
        """
        return self._gap

    @property
    def stopped(self) -> bool:
        """Whether it gives no more changes."""
        return self._stopped

    def next(self, timeout_s: float | None = None) -> Change | None:
        """Waits for the next change; `None` if there was none in time, or at the end.

        Args:
            timeout_s: how long to wait; without end, if left out.

        Raises:
            CursorExpiredError: this watch was so slow that changes are no longer kept for it.
            ConflictError: another watch goes by the same follower's name.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._done = self._cursor
        while not self._stopped:
            if self._done_for_long():
                self._save()
            change = self._take()
            if change is not None:
                return change
            left = _SLICE_S if deadline is None else max(deadline - time.monotonic(), 0)
            self._fetch(min(left, _SLICE_S))
            if not self._waiting and deadline is not None and time.monotonic() >= deadline:
                return None
        self._save()
        return None

    def stop(self) -> None:
        """Ends the iteration within a third of a second, also one that waits; never blocks."""
        self._stopped = True

    def close(self) -> None:
        """As `stop`; saves a named follower's progress.

        Raises:
            ConflictError: the follower was removed, or another watch goes by its name.
        """
        self.stop()
        try:
            self._save()
        finally:
            self._progress = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        change = self.next()
        if change is None:
            raise StopIteration
        return change

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _save(self) -> None:
        with self._saving:
            if self._progress is not None and self._progress.cursor != self._done:
                self._progress.save(self._done)
                self._saved_at = time.monotonic()

    def _done_for_long(self) -> bool:
        return self._progress is not None and time.monotonic() - self._saved_at >= _SAVE_S

    def _take(self) -> Change | None:
        """The next change that was fetched already and is wanted."""
        while self._waiting:
            change = self._waiting.popleft()
            self._cursor = change.cursor
            if self._category in (None, change.document.category):
                return change
            self._done = self._cursor
        return None

    def _fetch(self, timeout_s: float) -> None:
        try:
            page = self._engine.changes(
                self._fetched, limit=_PAGE, timeout_s=timeout_s, durable=True
            )
        except UsageError:
            if self._stopped:
                return  # the store was closed, which ends every watch
            raise
        self._waiting.extend(page.changes)
        self._fetched = page.cursor
        self._gap |= page.gap or page.edits_missed
        if not page.changes:
            self._cursor = self._done = page.cursor


class Watches:
    """The watches of one store, as long as somebody uses them."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._watches: WeakSet[Watch] = WeakSet()

    def add(self, watch: Watch) -> None:
        """One more."""
        with self._mutex:
            self._watches.add(watch)

    def close(self) -> None:
        """Ends them all; raises the first error, after that."""
        with self._mutex:
            watches = list(self._watches)
        for watch in watches:
            watch.stop()
        errors = []
        for watch in watches:
            try:
                watch.close()
            except Exception as error:  # noqa: BLE001 - raised when all are closed
                errors.append(error)
        if errors:
            raise errors[0]
