"""How changes to a session meet what is stored by then.

Each function makes a `PatchMaker`: the engine calls it under the session's lock with the
newest head, and commits the patch it returns.  Where a session's summary is at
hand, appending does not load the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plainstate.core import codec, convert, times
from plainstate.core.patch import json_equal
from plainstate.core.pointer import resolve
from plainstate.core.summary import appended
from plainstate.errors import ConflictError, InvalidValueError, NotFoundError, OwnershipError
from plainstate.messages import next_time, refuse
from plainstate.session import AGENTS, USERS, Session, last_turn, new_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.session import Held
    from plainstate.types import Head, Json, Patch, PatchMaker

__all__ = ["Saving", "appending", "creating"]

_ENDS: Final = {array: f"/{array}/-" for array in (USERS, AGENTS)}
"""Where the next message of each array goes."""


def creating(session: Session) -> PatchMaker:
    """Creates a session unless it exists: of two racing creators, one wins."""

    def change(head: Head) -> Patch:
        return [] if head.version is not None else _creation(session.to_tree())

    return change


def appending(
    session_id: str, messages: Sequence[tuple[str, dict[str, Json]]], user_id: str | None
) -> PatchMaker:
    """Appends messages behind whatever is there.

    Args:
        session_id: the session.
        messages: (array, tree) of each, in order.
        user_id: whose session it must be; an absent session is created for them.
    """

    def change(head: Head) -> Patch:
        if head.version is None:
            return _creation(_begun(session_id, messages, user_id))
        known = head.summary()
        summary, repairs = _facts(head) if known is None else (known, [])
        if user_id is not None:
            _check_owner(session_id, summary["user_id"], user_id)
        operations, last = _additions(summary, messages)
        updated = _moved_by(last, summary, session_id)
        if known is not None:
            head.foresee(appended(known, messages, last, updated))
        return [*repairs, *operations, _set_updated(updated)]

    return change


def _begun(
    session_id: str, messages: Sequence[tuple[str, dict[str, Json]]], user_id: str | None
) -> dict[str, Json]:
    if user_id is None:
        raise NotFoundError(
            f"no session {session_id}",
            hint="Create it with get_or_create_session, or pass user_id= to create it here.",
            document=f"sessions/{session_id}",
        )
    tree = new_tree(user_id, session_id)
    _add_all(tree, messages)
    return tree


class Saving:
    """Commits what was done to a session on top of what is stored.

    Args:
        session: with its recorded changes.
        create: whether an absent session may be created.

    Attributes:
        held: what the last call took of the session.
        stored: the added messages as it put them.
    """

    def __init__(self, session: Session, *, create: bool) -> None:
        self.held: Held | None = None
        self.stored: list[dict[str, Json]] = []
        self._session = session
        self._create = create

    def __call__(self, head: Head) -> Patch:
        """The patch on top of `head`; a `PatchMaker`."""
        session = self._session
        self.held, self.stored = session.held(), []
        changes, _ = self.held
        if head.version is None:
            return _create_saved(session, create=self._create)
        summary = head.summary()
        repairs: Patch = []
        if summary is None:
            summary, repairs = _facts(head)
        _check_owner(session.id, summary["user_id"], session.user_id)
        operations: Patch = []
        fields = session.changed_fields(self.held)
        removed = [(array, tree) for what, array, tree in changes if what == "remove"]
        if fields or removed:
            stored = head.value()
            operations += _removals(session, stored, removed, head)
            operations += _settings(session, stored, fields, head)
        added = [(array, tree) for what, array, tree in changes if what == "add"]
        if not added and not operations:
            return []
        latest = times.format(times.from_datetime(session.updated_at))
        additions, last = _additions(summary, added)
        updated = _later(_moved_by(last, summary, session.id), latest, session.id)
        self.stored = [operation["value"] for operation in additions]
        return [*repairs, *operations, *additions, _set_updated(updated)]


def _create_saved(session: Session, *, create: bool) -> Patch:
    if session.version is not None:
        raise ConflictError(
            f"session {session.id} was deleted since it was loaded",
            hint="Save it as a new session if it is still wanted: Session.with_id(…).",
            document=f"sessions/{session.id}",
            expected=session.version,
            current=None,
        )
    if not create:
        raise NotFoundError(
            f"no session {session.id}",
            hint="Use save_session to create it.",
            document=f"sessions/{session.id}",
        )
    return _creation(convert.to_tree(session.to_tree()))


def _facts(head: Head) -> tuple[dict[str, Json], Patch]:
    """What merging must know about a stored session whose summary is unknown: loads it.

    Returns:
        The part of a summary that it needs, and operations that add what the session lacks.
    """
    stored = head.value()
    copied = dict(stored) if isinstance(stored, dict) else stored
    session = Session(copied)  # refuses what is not a session, and fills in what may lack
    repairs: Patch = [
        {"op": "add", "path": f"/{name}", "value": empty}
        for name, empty in ((USERS, []), (AGENTS, []), ("metadata", {}))
        if name not in stored
    ]
    facts = {
        "user_id": session.user_id,
        "updated_at": stored["updated_at"],
        "last": session.last_time(),
    }
    return facts, repairs


def _check_owner(session_id: str, owner: str, user_id: str) -> None:
    if user_id != owner:
        raise OwnershipError(
            f"session {session_id} belongs to {owner!r}, not to {user_id!r}",
            hint="Use another session id; get_or_create_session can be told to allow it.",
            session_id=session_id,
            owner=owner,
            user_id=user_id,
        )


def _creation(tree: Json) -> Patch:
    return [{"op": "add", "path": "", "value": tree}]


def _add_all(tree: dict[str, Json], messages: Sequence[tuple[str, dict[str, Json]]]) -> None:
    last = ""
    for array, message in messages:
        last = next_time(message["timestamp"], last)
        tree[array].append({**message, "timestamp": last})
    first = messages[0][1]["timestamp"]
    tree["created_at"] = first if times.is_later(tree["created_at"], first) else tree["created_at"]
    tree["updated_at"] = _later(tree["updated_at"], last, tree["id"])


def _additions(
    summary: dict[str, Json], messages: Sequence[tuple[str, dict[str, Json]]]
) -> tuple[Patch, str]:
    """Appends messages, (array, tree) of each, every one later than the one before.

    Returns:
        The operations, and the time of the last turn behind them.
    """
    operations: Patch = []
    last = summary["last"]
    for array, message in messages:
        time = message["timestamp"]
        if not times.is_later(time, last):
            time = next_time(time, last)
            message = {**message, "timestamp": time}  # noqa: PLW2901
        operations.append({"op": "add", "path": _ENDS[array], "value": message})
        last = time
    return operations, last


def _moved_by(last: str, summary: dict[str, Json], session_id: str) -> str:
    """When the session was changed last, if `last` is the time of its last turn."""
    updated: str = summary["updated_at"]
    if updated == summary["last"]:  # nothing was changed since the turn before
        return last
    return _later(updated, last, session_id) if last else updated


def _set_updated(time: str) -> dict[str, Json]:
    return {"op": "replace", "path": "/updated_at", "value": time}


def _later(updated: str, time: str, session_id: str) -> str:
    try:
        return time if times.is_later(time, updated) else updated
    except InvalidValueError as error:
        refuse(f"updated_at of session {session_id} is not a time: {error}")


def _removals(
    session: Session, stored: Json, removed: list[tuple[str, dict[str, Json]]], head: Head
) -> Patch:
    """Removes turns from the end, each of them only if it still is the last one."""
    operations: Patch = []
    left = {array: list(stored.get(array, [])) for array in (USERS, AGENTS)}
    for array, tree in removed:
        last = last_turn(left)
        if last is None or last[0] != array or not json_equal(left[array][last[1]], tree):
            raise _stale(session, "its last turn is another one by now", head)
        del left[array][last[1]]
        operations.append({"op": "remove", "path": f"/{array}/{last[1]}"})
    return operations


def _settings(
    session: Session, stored: Json, fields: list[tuple[str, Json, Json]], head: Head
) -> Patch:
    operations: Patch = []
    for path, before, now in fields:
        try:
            current = resolve(stored, path)
        except LookupError:
            current = ...
        if _same(current, now):
            continue
        if not _same(current, before) and session.version is not None:
            raise _stale(session, f"{path} was set by another writer", head)
        if now is ...:
            operations.append({"op": "remove", "path": path})
        else:
            operations.append({"op": "add", "path": path, "value": codec.check(now)})
    return operations


def _same(a: Json, b: Json) -> bool:
    if a is ... or b is ...:
        return a is b
    return json_equal(a, b)


def _stale(session: Session, reason: str, head: Head) -> ConflictError:
    return ConflictError(
        f"session {session.id} changed since it was loaded: {reason}",
        hint="Load it again, apply your change to what is there now, and save.",
        document=f"sessions/{session.id}",
        expected=session.version,
        current=head.version,
    )
