"""The store's methods for letting old sessions go: into the trash, back, and for good.

A session in the trash is the same document under another name, `.plainstate/trash/<run>/<id>`:
moving it there and back is a rename, and so durable and whole.  Each run of
`prune_sessions` has a document `.plainstate/trash/<run>` that tells its time; it is locked while
the run goes on, and removed when nothing is left of the run.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from plainstate.core import codec, names, times
from plainstate.core.ids import IdMaker
from plainstate.core.summary import SESSIONS
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    FormatVersionError,
    InvalidValueError,
    LockTimeoutError,
    NotFoundError,
    UsageError,
)
from plainstate.limits import TRASH_GRACE_DAYS
from plainstate.session import Session
from plainstate.types import TRASH, DocumentId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.base import Engine
    from plainstate.types import Commit

__all__ = [
    "EmptyReport",
    "PruneReport",
    "PrunedSession",
    "RetentionMethods",
    "Rule",
    "TrashedSession",
    "time_of_run",
]

_UNREADABLE: Final = (DamagedError, ConflictError, FormatVersionError)

_make_run = IdMaker(time.time_ns, os.urandom)

Rule: TypeAlias = Literal["older_than", "max_bytes", "keep_last"]
"""Why a session is pruned."""


class PrunedSession(Struct, frozen=True):
    """A session that a run of `prune_sessions` moved to the trash, or would move.

    Attributes:
        id: its name.
        user_id: who owns it.
        updated_at: its last change.
        bytes: size of its plain file.
        rule: which one made it go.
    """

    id: str
    user_id: str
    updated_at: datetime
    bytes: int
    rule: Rule


class PruneReport(Struct, frozen=True):
    """What a run of `prune_sessions` did, or would do.

    Attributes:
        sessions: those that went, oldest first.
        busy: of those that should have gone, the ids of those that were written, locked or
            deleted meanwhile: they stay.
        damaged: sessions that cannot be read, and why: they are never pruned.
        run: names the run in the trash; `None` if nothing went.
        dry_run: nothing was done.
    """

    sessions: list[PrunedSession]
    busy: list[str]
    damaged: dict[str, str]
    run: str | None
    dry_run: bool

    @property
    def bytes(self) -> int:
        """What the sessions' plain files take; it is free when the trash is emptied."""
        return sum(one.bytes for one in self.sessions)


class TrashedSession(Struct, frozen=True):
    """A session in the trash.

    Attributes:
        id: its name.
        run: of `prune_sessions`, which moved it here.
        trashed_at: when that run began.
        user_id: who owns it, "" if damaged.
        updated_at: its last change, `None` if damaged.
        bytes: size of its plain file, 0 if damaged.
        damaged: why it cannot be read; `None` if it can.
    """

    id: str
    run: str
    trashed_at: datetime
    user_id: str = ""
    updated_at: datetime | None = None
    bytes: int = 0
    damaged: str | None = None


class EmptyReport(Struct, frozen=True):
    """What `empty_trash` did, or would do.

    Attributes:
        sessions: those that are gone.
        damaged: sessions that could not be deleted, and why: they stay in the trash.
        dry_run: nothing was done.
    """

    sessions: list[TrashedSession]
    damaged: dict[str, str]
    dry_run: bool

    @property
    def bytes(self) -> int:
        """What the sessions' plain files took."""
        return sum(one.bytes for one in self.sessions)


class RetentionMethods:
    """Sessions that are old enough to go: the trash, the way back, and the end."""

    _engine: Engine

    def prune_sessions(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_last: int | None = None,
        max_bytes: int | None = None,
        user_id: str | None = None,
        dry_run: bool = False,
    ) -> PruneReport:
        """Moves sessions to the trash by the rules that are given; at least one must be.

        The newest `keep_last` stay in any case.  Of the others go those that `older_than` names,
        and then, oldest first, as many as it takes for all that stay to fit into `max_bytes`.
        With `keep_last` alone, all others go.

        A session that is written meanwhile stays.  Each one is moved whole, so that a run which
        is cut off can simply be repeated.  Documents that are no sessions are left alone.

        Args:
            older_than: last changed so long ago, or before that moment.
            keep_last: how many of the last changed ones stay in any case.
            max_bytes: what the plain files of all that stay may take together.
            user_id: only this user's sessions; the numbers are about them, too.
            dry_run: only report what would go.

        Raises:
            UsageError: no rule is given.
            InvalidValueError: a number is negative, or a datetime has no time zone.

        Cost: a read of every session; for each that goes, a rename: some ten syncs.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     for name in ("s-1", "s-2", "s-3"):
            ...         _ = store.append_user_message(name, "Hello", user_id="ada")
            ...     report = store.prune_sessions(keep_last=1)
            ...     _ = store.restore_session("s-1")
            ...     [one.id for one in report.sessions], [one.id for one in store.trash()]
            (['s-1', 's-2'], ['s-2'])
        """
        if older_than is None and keep_last is None and max_bytes is None:
            raise UsageError(
                "nothing says which sessions to prune",
                hint="Give older_than, keep_last or max_bytes.",
            )
        before = None if older_than is None else _moment(older_than)
        _check_count("keep_last", keep_last)
        _check_count("max_bytes", max_bytes)
        found, damaged = self._survey(user_id)
        chosen = list(_chosen(found, before, keep_last, max_bytes))[::-1]
        if dry_run or not chosen:
            return PruneReport([one for one, _ in chosen], [], damaged, None, dry_run)
        run = _make_run()
        moved, busy = self._discard(run, chosen)
        return PruneReport(moved, busy, damaged, run if moved else None, dry_run)

    def trash(self) -> list[TrashedSession]:
        """The sessions in the trash, last pruned first.

        Cost: a read of each of them.
        """
        looked = (self._trashed(one, at) for one, at in self._in_trash())
        found = [one for one in looked if one is not None]
        found.sort(key=lambda one: one.id)
        found.sort(key=lambda one: one.run, reverse=True)
        return found

    def restore_session(self, session_id: str, *, run: str | None = None) -> Commit:
        """Moves a session back from the trash.

        Args:
            session_id: which one; of several of that name, the last pruned.
            run: the one that this run of `prune_sessions` moved.

        Raises:
            NotFoundError: it is not in the trash.
            AlreadyExistsError: there is a session of this name again.
        """
        document = DocumentId(SESSIONS, str(names.check_name(session_id)))
        runs = [run_of for run_of, _ in self._runs()] if run is None else [names.check_name(run)]
        for one in sorted(runs, reverse=True):
            try:
                return self._engine.rename(_place(one, document.name), document)
            except NotFoundError:
                continue
            except AlreadyExistsError as error:
                raise AlreadyExistsError(
                    f"there is a session {document.name} again",
                    hint="Rename or delete it first; the trash keeps the other one.",
                    document=str(document),
                ) from error
        raise NotFoundError(
            f"no session {document.name} in the trash",
            hint="See trash().",
            document=str(document),
        )

    def empty_trash(
        self, *, older_than: timedelta | datetime | None = None, dry_run: bool = False
    ) -> EmptyReport:
        """Deletes sessions in the trash for good; nothing of their files is kept.

        Args:
            older_than: pruned so long ago, or before that moment; seven days, if left out.
            dry_run: only report what would go.

        Raises:
            InvalidValueError: as in `prune_sessions`.
            LockTimeoutError: the run that moved them is still going on.

        Cost: a read of each session in the trash, and some syncs for each that goes.
        """
        before = _moment(timedelta(days=TRASH_GRACE_DAYS) if older_than is None else older_than)
        gone: list[TrashedSession] = []
        damaged: dict[str, str] = {}
        for run, at in sorted(self._runs()):
            if times.from_datetime(at) > before:
                continue
            if dry_run:
                found = (self._trashed(document, at) for document in self._of_run(run))
                gone += [one for one in found if one is not None]
            else:
                self._empty_run(run, at, gone, damaged)
        return EmptyReport(gone, damaged, dry_run)

    def _empty_run(
        self, run: str, at: datetime, gone: list[TrashedSession], damaged: dict[str, str]
    ) -> None:
        """Deletes what one run moved to the trash, and then what tells of the run."""
        manifest = DocumentId(TRASH, run)
        self._engine.lock(manifest).release()  # waits until the run has ended
        for document in self._of_run(run):
            self._settle(document.name)
            session = self._trashed(document, at)
            try:
                deleted = self._engine.delete(document, forget=True)
            except _UNREADABLE as error:
                damaged[document.name] = str(error)
            else:  # unless somebody was faster, or was killed before all was gone
                if deleted is not None and session is not None:
                    gone.append(session)
        if not self._of_run(run):
            self._engine.delete(manifest, forget=True)

    def _settle(self, session_id: str) -> None:
        """Ends a move to or from the trash that was cut off, under the session's own name."""
        # who has it locked just now has settled that
        with suppress(*_UNREADABLE, LockTimeoutError, UsageError):
            self._engine.lock(DocumentId(SESSIONS, session_id)).release()

    def _survey(self, user_id: str | None) -> tuple[list[_Seen], dict[str, str]]:
        """What the rules look at, and the sessions that cannot be read."""
        found: list[_Seen] = []
        damaged: dict[str, str] = {}
        for document, _ in self._engine.documents(SESSIONS):
            if document.kind != "json":
                continue
            try:
                state = self._engine.read(document)
                if state is None:
                    continue
                session = Session(state.value, version=state.version)
                seen = _Seen(
                    times.from_datetime(session.updated_at),
                    document.name,
                    session.user_id,
                    _size(state.value),
                    state.version,
                )
            except _UNREADABLE as error:
                damaged[document.name] = str(error)
                continue
            if user_id in (None, seen.user_id):
                found.append(seen)
        return found, damaged

    def _discard(
        self, run: str, chosen: list[tuple[PrunedSession, str]]
    ) -> tuple[list[PrunedSession], list[str]]:
        """Moves sessions to the trash, unless they are not at the version that was seen."""
        manifest = DocumentId(TRASH, run)
        moved: list[PrunedSession] = []
        busy: list[str] = []
        with self._engine.lock(manifest) as locked:
            locked.replace({"time": times.of_clock(time.time_ns())})
            for session, version in chosen:
                document = DocumentId(SESSIONS, session.id)
                try:
                    self._engine.rename(document, _place(run, session.id), expected=version)
                    moved.append(session)
                except (ConflictError, LockTimeoutError, NotFoundError):
                    busy.append(session.id)
        if not moved:
            self._engine.delete(manifest, forget=True)
        return moved, busy

    def _runs(self) -> Iterator[tuple[str, datetime]]:
        """The runs of which something may be in the trash, with their times."""
        for document, _ in self._engine.documents(TRASH):
            state = self._engine.read(document)
            if state is not None:
                yield document.name, time_of_run(document, state.value)

    def _of_run(self, run: str) -> list[DocumentId]:
        return sorted(document for document, _ in self._engine.documents(f"{TRASH}/{run}"))

    def _in_trash(self) -> Iterator[tuple[DocumentId, datetime]]:
        for run, at in self._runs():
            for document in self._of_run(run):
                yield document, at

    def _trashed(self, document: DocumentId, at: datetime) -> TrashedSession | None:
        run = document.category.rpartition("/")[2]
        try:
            state = self._engine.read(document)
            if state is None:
                return None
            session = Session(state.value)
        except _UNREADABLE as error:
            return TrashedSession(document.name, run, at, damaged=str(error))
        return TrashedSession(
            document.name, run, at, session.user_id, session.updated_at, _size(state.value)
        )


class _Seen(Struct, frozen=True, order=True):
    """A session as the rules look at it, in the order of its last change."""

    updated_ns: int
    id: str
    user_id: str
    bytes: int
    version: str


def _chosen(
    found: list[_Seen], before: int | None, keep_last: int | None, max_bytes: int | None
) -> Iterator[tuple[PrunedSession, str]]:
    """The sessions that go, newest first, each with the version that was seen."""
    newest_first = sorted(found, reverse=True)
    kept = newest_first[: keep_last or 0]
    room = None if max_bytes is None else max_bytes - sum(one.bytes for one in kept)
    for one in newest_first[len(kept) :]:
        rule: Rule
        if before is not None and one.updated_ns < before:
            rule = "older_than"
        elif room is not None:
            if one.bytes <= room:
                room -= one.bytes
                continue
            room, rule = -1, "max_bytes"  # whatever is older goes, too
        elif before is None:
            rule = "keep_last"
        else:
            continue
        updated_at = times.to_datetime(one.updated_ns)
        yield PrunedSession(one.id, one.user_id, updated_at, one.bytes, rule), one.version


def _place(run: str, session_id: str) -> DocumentId:
    return DocumentId(f"{TRASH}/{run}", session_id)


def time_of_run(run: DocumentId, value: object) -> datetime:
    """When a run of `prune_sessions` began, as its document says.

    Raises:
        DamagedError: the document does not say it.
    """
    try:
        return times.to_datetime(times.parse(msgspec.convert(value, dict[str, str])["time"]))
    except (msgspec.ValidationError, KeyError, InvalidValueError) as error:
        raise DamagedError(
            f"{run}.json does not tell when these sessions were pruned",
            hint='Restore it; it reads {"time": "2026-11-22T12:00:00Z"}.',
            path=f"{run}.json",
            line=0,
        ) from error


def _size(tree: object) -> int:
    return len(codec.encode_pretty(tree))


def _moment(age: timedelta | datetime) -> int:
    """A moment, or so long before now, in nanoseconds."""
    if isinstance(age, datetime):
        return times.from_datetime(age)
    if not isinstance(age, timedelta) or age < timedelta(0):
        raise InvalidValueError(
            f"an age is a timedelta or a datetime in the past, not {age!r}",
            hint="Use timedelta(days=30), or an aware datetime.",
            pointer="",
        )
    return time.time_ns() - age // timedelta(microseconds=1) * 1000


def _check_count(name: str, number: int | None) -> None:
    if number is not None and (type(number) is not int or number < 0):
        raise InvalidValueError(
            f"{name} must be a whole number, 0 or more, not {number!r}",
            hint="Leave it out to have no such rule.",
            pointer="",
        )
