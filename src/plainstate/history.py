"""The store's methods for the past: looking at it, undoing, and forking a session."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.core import codec, names, times
from plainstate.core.diff import diff
from plainstate.core.record import DELETION
from plainstate.core.summary import SESSIONS, is_session, summarize
from plainstate.documents import document_id, no_document, with_past
from plainstate.engines.past import state_at
from plainstate.errors import AlreadyExistsError, ConflictError, InvalidValueError, NotFoundError
from plainstate.messages import now_ns, time_of
from plainstate.session import AGENTS, USERS, Session, SessionId
from plainstate.stored import make_session
from plainstate.types import ABSENT, Action, Patch

if TYPE_CHECKING:
    from plainstate.engines.base import Engine, LockedDocument
    from plainstate.types import (
        Commit,
        DocumentId,
        Head,
        Json,
        Kind,
        PatchMaker,
        State,
        Transaction,
    )

__all__ = ["HistoryEntry", "HistoryMethods"]


class HistoryEntry(Struct, frozen=True):
    """One transaction of a document's past, as `StateStore.history` tells of it.

    Attributes:
        seq: its number; as `at=` it reads the state behind it.
        version: the version that it made, `None` if it deleted the document.
        tx_id: its id, "" for an edit by hand.
        time: when, RFC 3339 in UTC; of an edit, when it was noticed.
        action: "create", "update", "delete", or "edit" by hand; `None` where only the state
            behind it is known.
        what: the same in a few words.
        patch: what it changed; the whole value, where it was no patch.
    """

    seq: int
    version: str | None
    tx_id: str
    time: str
    action: Action | None
    what: str
    patch: Patch


class HistoryMethods:
    """History: what was, undo, and forks."""

    _engine: Engine

    def history(
        self, category: str, name: str, *, kind: Kind | None = None, limit: int | None = None
    ) -> list[HistoryEntry]:
        """The transactions of a document that are still kept, newest first.

        With `history="keep"` these are the newest up to `history_bytes`; otherwise what was not
        folded yet, and the newest state.  Also of a deleted document.

        Args:
            category: folder; "sessions" for a session.
            name: file name without suffix, or the session's id.
            kind: which document; needed only where there are both.
            limit: at most so many.

        Raises:
            DamagedError: the document or its history cannot be read.

        Cost: reads what is kept, and the document.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", {"steps": []})
            ...     _ = store.patch(
            ...         "plans", "today", [{"op": "add", "path": "/steps/-", "value": "read"}]
            ...     )
            ...     [(entry.seq, entry.what) for entry in store.history("plans", "today")]
            [(2, 'added /steps/-'), (1, 'created')]
        """
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            raise InvalidValueError(
                f"limit must be a whole number, 0 or more, not {limit!r}",
                hint="Pass a number.",
                pointer="",
            )
        document = with_past(self._engine, category, name, kind)
        found = self._engine.since(document, None)[::-1]
        return [_entry(one) for one in found[:limit]]

    def undo(
        self,
        category: str,
        name: str,
        *,
        kind: Kind | None = None,
        to: int | str | None = None,
        tx_id: str | None = None,
        if_version: str | None = None,
    ) -> Commit:
        """Makes an earlier state the newest one, as a new transaction: nothing is rewritten.

        Undoing a creation deletes, undoing a deletion brings the document back, and undoing
        an undo does it again.

        Args:
            category: folder; "sessions" for a session.
            name: file name without suffix, or the session's id.
            kind: which document; needed only where there are both.
            to: the state to go back to, a number or version; the one before the last transaction,
                if left out.
            tx_id: makes a retry safe: one id for each call, the same at each try.
            if_version: refuse unless this is the current version.

        Raises:
            NotFoundError: that state is not kept; see `docs/history.md`.
            ConflictError: `if_version` is not current.

        Cost: reads what is kept, and one save or patch.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", {"steps": ["read"]})
            ...     _ = store.save_json("plans", "today", {})
            ...     _ = store.undo("plans", "today")
            ...     store.load_json("plans", "today")
            {'steps': ['read']}
        """
        if tx_id is not None:
            names.check_tx_id(tx_id)
        document = with_past(self._engine, category, name, kind)
        with self._engine.lock(document) as locked:
            if tx_id is not None:
                known = locked.append([], tx_id)  # commits nothing, but tells what was
                if known.duplicate:
                    return known
            head = locked.head
            _check_version(document, head, if_version)
            at = _before_last(self._engine, document) if to is None else to
            state = state_at(self._engine, document, at)
            return _commit(locked, document, state, tx_id)

    def fork_session(
        self,
        session_id: str,
        *,
        at: int | str | None = None,
        new_id: str | None = None,
        user_id: str | None = None,
    ) -> Session:
        """Makes a new session of the beginning of another one; both go on independently.

        The fork has the messages with their times, and everything else of the session;
        its `metadata["forked_from"]` says where it came from.

        Args:
            session_id: the session to fork.
            at: how many messages to keep, in the order of `Session.turns`; or a version:
                the session as it was then, while its history is kept; all, if left out.
            new_id: the fork's id; a new random one, if left out.
            user_id: whose the fork is; the same user's, if left out.

        Returns:
            The fork, stored.

        Raises:
            NotFoundError: there is no such session, or it is not kept as it was then.
            AlreadyExistsError: there is a session with the id `new_id`.
            InvalidValueError: the session has fewer messages than `at`.

        Cost: one load and one append.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.append_user_message("s-1", "What is 6 x 7?", user_id="ada")
            ...     _ = store.append_agent_response("s-1", "41")
            ...     fork = store.fork_session("s-1", at=1, new_id="s-2")
            ...     _ = store.append_agent_response("s-2", "42")
            ...     [turn.content for turn in store.load_session("s-2").turns()]
            ['What is 6 x 7?', '42']
        """
        document = document_id(SESSIONS, session_id, "json")
        state = state_at(self._engine, document, at if isinstance(at, str) else None)
        if state is None:
            raise NotFoundError(
                f"no session {session_id}", hint="See list_sessions.", document=str(document)
            )
        source = make_session(document, state.value, state.version)
        owner = source.user_id if user_id is None else user_id
        fresh = Session.with_id(owner, SessionId.new() if new_id is None else new_id)
        tree = _forked(source, fresh, None if isinstance(at, str) else at)
        commit = self._engine.append(document_id(SESSIONS, fresh.id, "json"), _creating(tree))
        return Session(tree, version=commit.version)


def describe(transaction: Transaction) -> str:
    """What a transaction did, in a few words.

    Example:
        >>> from plainstate.types import Transaction
        >>> ops = [{"op": "replace", "path": "/done", "value": True}]
        >>> describe(Transaction(2, "t", "", ops, "2-ab", "update"))
        'replaced /done'
    """
    operations = transaction.patch
    if transaction.action is None:
        return "deleted" if operations == DELETION else "state before it is not kept"
    if transaction.action == "edit":
        return "deleted by hand" if operations == DELETION else "edited by hand"
    if transaction.action != "update":
        return f"{transaction.action}d"
    if not operations:
        return "renamed"
    if operations[0]["path"] == "" and "value" in operations[0]:
        return "saved whole"
    added = [one["path"] for one in operations if one["path"] != "/updated_at"]
    if added and all(one["op"] == "add" for one in operations if one["path"] != "/updated_at"):
        if set(added) <= {"/user_messages/-", "/agent_responses/-"}:
            return _APPENDED[added[0]] if len(added) == 1 else f"appended {len(added)} messages"
        if set(added) == {"/-"} and isinstance(operations[0].get("value"), str):
            return "appended text"
    first = operations[0]
    more = f" and {len(operations) - 1} more" if len(operations) > 1 else ""
    return f"{_DONE[first['op']]} {first['path']}{more}"


_APPENDED = {
    "/user_messages/-": "appended user message",
    "/agent_responses/-": "appended agent response",
}

_DONE = {
    "add": "added",
    "remove": "removed",
    "replace": "replaced",
    "move": "moved to",
    "copy": "copied to",
    "test": "tested",
}


def _entry(one: Transaction) -> HistoryEntry:
    return HistoryEntry(
        seq=one.seq,
        version=one.version,
        tx_id=one.tx_id,
        time=one.time,
        action=one.action,
        what=describe(one),
        patch=one.patch,
    )


def _check_version(document: DocumentId, head: Head, expected: str | None) -> None:
    if expected is not None and expected != (head.version or ABSENT):
        raise ConflictError(
            f"{document} is at version {head.version or 'none (absent)'}, not at {expected}",
            hint="Read it again, and undo if that is still right.",
            document=str(document),
            expected=expected,
            current=head.version,
        )


def _before_last(engine: Engine, document: DocumentId) -> int:
    """The number before the last transaction that changed the value: a rename did not."""
    known = engine.since(document, None)
    if not known:
        raise no_document(document.category, document.name)
    changes = [one for one in known if one.patch]
    if not changes:
        raise NotFoundError(
            f"{document} has no past to go back to",
            hint="Open the store with history='keep' to keep what comes.",
            document=str(document),
        )
    return changes[-1].seq - 1


def _commit(
    locked: LockedDocument, document: DocumentId, state: State | None, tx_id: str | None
) -> Commit:
    """Makes a state the newest one, with a patch where that is shorter."""
    head = locked.head
    if state is None:
        deleted = locked.delete(tx_id)
        return locked.append([], tx_id) if deleted is None else deleted
    exists = head.version is not None
    now = head.value() if exists else None
    value = _going_on(document, now, state.value)
    if not exists or document.kind == "markdown":
        same = exists and now == value
        return locked.append([], tx_id) if same else locked.replace(value, tx_id)
    operations = copy.deepcopy(diff(now, value))
    if len(codec.encode(operations)) < len(codec.encode(value)):
        return locked.append(operations, tx_id)
    return locked.replace(value, tx_id)


def _going_on(document: DocumentId, now: Json, value: Json) -> Json:
    """The value to go back to: a session's `updated_at` does not go back (S-3)."""
    if not is_session(document) or summarize(value) is None:
        return value
    changed = [value["updated_at"], times.format(now_ns())]
    if summarize(now) is not None:
        changed.append(now["updated_at"])
    return {**value, "updated_at": max(changed, key=times.parse)}


def _forked(source: Session, fresh: Session, count: int | None) -> dict[str, Json]:
    """The tree of a fork: the source's, cut behind `count` messages."""
    tree = source.to_tree()
    order = sorted(
        (time_of(message), rank, index)
        for rank, array in enumerate((USERS, AGENTS))
        for index, message in enumerate(tree[array])
    )
    if count is None:
        count = len(order)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= len(order):
        raise InvalidValueError(
            f"session {source.id} cannot be cut behind {count!r} messages: it has {len(order)}",
            hint="Pass at=0 to that number, or leave it out.",
            pointer="",
        )
    kept = order[:count]
    for rank, array in enumerate((USERS, AGENTS)):
        tree[array] = [tree[array][index] for _, r, index in sorted(kept) if r == rank]
    stamps = [now_ns(), *(stamp for stamp, _, _ in kept[-1:])]
    origin = {"session_id": str(source.id), "messages": count, "version": source.version}
    tree["id"], tree["user_id"] = str(fresh.id), fresh.user_id
    tree["updated_at"] = times.format(max(stamps))
    tree["metadata"] = {**tree["metadata"], "forked_from": origin}
    return tree


def _creating(tree: dict[str, Json]) -> PatchMaker:
    def change(head: Head) -> Patch:
        if head.version is not None:
            raise AlreadyExistsError(
                f"there is a session {tree['id']}",
                hint="Choose another new_id, or leave it out.",
                document=f"sessions/{tree['id']}",
            )
        return [{"op": "add", "path": "", "value": tree}]

    return change
