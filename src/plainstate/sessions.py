"""The store's methods for sessions."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from plainstate import merging
from plainstate.core import names
from plainstate.core.summary import SESSIONS
from plainstate.engines.past import state_at
from plainstate.errors import InvalidValueError, OwnershipError
from plainstate.messages import AgentResponse, UserMessage, message_tree, whole_message
from plainstate.session import AGENTS, USERS, Session, check_user
from plainstate.stored import make_session
from plainstate.types import Commit, DocumentId

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from plainstate.engines.base import Engine
    from plainstate.loading import Loaded
    from plainstate.messages import Message
    from plainstate.types import Durability, Json

__all__ = ["SessionMethods"]


class SessionMethods:
    """Sessions: saving, loading, appending without loading."""

    _engine: Engine
    _loaded: Loaded

    def save_session(
        self,
        session: Session,
        *,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Commits what was done to a session on top of what is stored.

        Messages that others added meanwhile stay; a field that others set
        meanwhile to something else is a conflict, and nothing is saved.

        Args:
            session: what to save; it is up to date afterwards, but for others' messages.
            tx_id: makes a retry safe: one id for each call, the same at each try.  What you did to
                the session since its first try is not part of it: it waits for the next save.
            durability: as the store's, for this call.

        Raises:
            ConflictError: a field was set, a turn removed, or the session deleted by another.
            OwnershipError: a session of this id belongs to another user.

        Example:
            >>> from plainstate import Session, open_store
            >>> with open_store("memory:") as store:
            ...     session = Session.with_id("ada", "s-1")
            ...     session.add_user_message("Hello")
            ...     _ = store.save_session(session)
            ...     store.load_session("s-1").turns()[0].content
            'Hello'
        """
        return self._save(session, tx_id, durability, create=True)

    def update_session(
        self,
        session: Session,
        *,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """As `save_session`, but the session must exist.

        Raises:
            NotFoundError: it does not.
        """
        return self._save(session, tx_id, durability, create=False)

    def load_session(self, session_id: str, *, at: int | str | None = None) -> Session | None:
        """Loads a session; `None` if there is none.

        Args:
            session_id: which.
            at: an earlier state: the number or version of the transaction that made it.

        Raises:
            DamagedError: the file cannot be read, or does not hold a session.
            EditConflictError: it was edited by hand in a way that needs a decision.
            NotFoundError: the state at `at` is not kept, see `docs/history.md`.

        Cost: decoding the files; of a session that this handle loaded lately, only what was
            appended since, unless it was folded.
        """
        document = _session_document(session_id)
        if at is None:
            return self._loaded.load(self._engine, document, make_session)
        state = state_at(self._engine, document, at)
        return None if state is None else make_session(document, state.value, state.version)

    def get_or_create_session(
        self, user_id: str, session_id: str | None = None, *, allow_other_user: bool = False
    ) -> Session:
        """Loads a session, or creates it: of two racing callers one creates, both get the same.

        Args:
            user_id: who asks.
            session_id: which one; a new random one, if left out.
            allow_other_user: give the session even if it belongs to somebody else.

        Raises:
            OwnershipError: it belongs to somebody else.
        """
        fresh = Session.new(user_id) if session_id is None else Session.with_id(user_id, session_id)
        stored = None if session_id is None else self.load_session(session_id)
        if stored is None:
            document = _session_document(fresh.id)
            commit = self._engine.append(document, merging.creating(fresh))
            if commit.seq == 1 and session_id is None:
                fresh.settle(commit.version)
                return fresh
            stored = self.load_session(fresh.id)
        if stored is None:
            return self.get_or_create_session(
                user_id, session_id, allow_other_user=allow_other_user
            )
        if stored.user_id != user_id and not allow_other_user:
            raise OwnershipError(
                f"session {stored.id} belongs to {stored.user_id!r}, not to {user_id!r}",
                hint="Use another session id, or pass allow_other_user=True.",
                session_id=str(stored.id),
                owner=stored.user_id,
                user_id=user_id,
            )
        return stored

    def append_user_message(
        self,
        session_id: str,
        content: str | UserMessage,
        *,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Appends a user message without loading the session.

        Args:
            session_id: the session.
            content: the text, or a whole message.
            timestamp: when it was said; now, if left out.  One that is not later
                than the last turn's is moved right behind it.
            metadata: anything else worth keeping.
            user_id: whose session it must be; an absent one is then created with the message.
            tx_id: makes a retry safe: one id for each call, the same at each try.
            durability: as the store's, for this call.

        Raises:
            NotFoundError: there is no such session, and no `user_id`.
            OwnershipError: it belongs to another user.

        Cost: one write and one fdatasync, at any length of the session.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     commit = store.append_user_message("s-1", "Hello", user_id="ada")
            ...     commit = store.append_agent_response("s-1", "Hi, Ada!")
            ...     [turn.content for turn in store.load_session("s-1").turns()]
            ['Hello', 'Hi, Ada!']
        """
        message = whole_message(UserMessage, content, timestamp, metadata)
        turns = [(USERS, message_tree(message))]
        return self._append_all(session_id, turns, user_id, tx_id, durability)

    def append_agent_response(
        self,
        session_id: str,
        response: str | AgentResponse,
        *,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Appends an agent response without loading the session; as `append_user_message`."""
        message = whole_message(AgentResponse, response, timestamp, metadata)
        turns = [(AGENTS, message_tree(message))]
        return self._append_all(session_id, turns, user_id, tx_id, durability)

    def append_messages(
        self,
        session_id: str,
        batch: Iterable[Message],
        *,
        user_id: str | None = None,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Appends messages in order as one transaction: all of them or none.

        Arguments, errors and cost as in `append_user_message`.
        """
        if isinstance(batch, str | UserMessage | AgentResponse) or not isinstance(batch, Iterable):
            raise InvalidValueError(
                "a batch is a list of messages", hint="Put a single message in a list.", pointer=""
            )
        turns = [
            (USERS if isinstance(message, UserMessage) else AGENTS, message_tree(message))
            for message in batch
        ]
        if not turns:
            raise InvalidValueError(
                "there is nothing to append", hint="Pass at least one message.", pointer=""
            )
        return self._append_all(session_id, turns, user_id, tx_id, durability)

    def delete_session(self, session_id: str) -> bool:
        """Deletes a session; `False` if there is none."""
        return self._engine.delete(_session_document(session_id)) is not None

    def _append_all(
        self,
        session_id: str,
        turns: list[tuple[str, dict[str, Json]]],
        user_id: str | None,
        tx_id: str | None,
        durability: Durability | None,
    ) -> Commit:
        document = _session_document(session_id)
        if user_id is not None:
            check_user(user_id)  # before the lock
        change = merging.appending(document.name, turns, user_id)
        if tx_id is not None:
            names.check_tx_id(tx_id)
        if durability is not None:
            names.check_durability(durability)
        return self._engine.append(document, change, tx_id=tx_id, durability=durability)

    def _save(
        self, session: Session, tx_id: str | None, durability: Durability | None, *, create: bool
    ) -> Commit:
        if not isinstance(session, Session):
            raise InvalidValueError(
                f"this is not a Session but {type(session).__name__}",
                hint="Make one with Session.new, or load it.",
                pointer="",
            )
        change = merging.Saving(session, create=create)
        document = _session_document(session.id)
        names.check_durability(durability)
        with nullcontext() if tx_id is None else session.trying(names.check_tx_id(tx_id)):
            commit = self._engine.append(document, change, tx_id=tx_id, durability=durability)
        if commit.duplicate:
            session.settle_tried(commit.tx_id, commit.version)
        else:
            session.settle(commit.version, change.held, change.stored)
        return commit


def _session_document(session_id: str) -> DocumentId:
    if type(session_id) is str:
        return _known_document(session_id)
    return DocumentId(SESSIONS, str(names.check_name(session_id)), "json")


@lru_cache(maxsize=1024)  # a conversation appends to the same session again and again
def _known_document(session_id: str) -> DocumentId:
    return DocumentId(SESSIONS, names.check_name(session_id), "json")
