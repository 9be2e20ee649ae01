"""What callers do with sessions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from plainstate import AgentResponse, Session, UserMessage
from plainstate.errors import NotFoundError, OwnershipError

from .documents import DocumentRules
from .machine import (
    CUT,
    handles,
    policies,
    sessions,
    tx_ids,
    users,
    words,
)
from .model import (
    GONE,
    SESSIONS,
    Refused,
    Work,
    appending,
    deleting,
    empty,
    forking,
    getting,
    saving,
    seen,
    session_id,
)

roles = st.sampled_from(("user", "agent"))
owners = st.sampled_from((None, *["owner"] * 4, "ada", "bob"))
EARLY = datetime(2001, 1, 1, tzinfo=UTC)


class SessionRules(DocumentRules):
    """Conversations."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[tuple[Session, Work]] = []

    def owner(self, session: str, user: str | None) -> str | None:
        """Whoever owns the session, if nobody else is asked for."""
        doc = self.model.doc(session_id(session))
        if user == "owner":
            return doc.value["user"] if doc.exists else "ada"
        return user

    @rule(
        on=handles,
        session=sessions,
        role=roles,
        word=words,
        user=owners,
        tx=tx_ids,
        durability=policies,
        how=st.sampled_from(("plain", "whole", "early")),
    )
    def append(
        self,
        on: str,
        session: str,
        role: str,
        word: str,
        user: str | None,
        tx: str | None,
        durability: Any,
        how: str,
    ) -> None:
        store, text, user = self.store(on), self.text(word), self.owner(session, user)
        kind = UserMessage if role == "user" else AgentResponse
        said: Any = kind(text, metadata={"n": 1}) if how == "whole" else text
        at, metadata = (EARLY, {"n": 2}) if how == "early" else (None, None)

        def call() -> Any:
            if role == "user":
                return store.append_user_message(
                    session,
                    said,
                    timestamp=at,
                    metadata=metadata,
                    user_id=user,
                    tx_id=tx,
                    durability=durability,
                )
            return store.append_agent_response(
                session,
                said,
                timestamp=at,
                metadata=metadata,
                user_id=user,
                tx_id=tx,
                durability=durability,
            )

        self.change(
            store,
            session_id(session),
            appending([[role, text]], user),
            call,
            tx=tx,
            synced=self.is_synced(store, durability),
        )

    @rule(
        on=handles,
        session=sessions,
        said=st.lists(st.tuples(roles, words), min_size=1, max_size=3),
        user=owners,
        tx=tx_ids,
        durability=policies,
    )
    def append_messages(
        self, on: str, session: str, said: Any, user: str | None, tx: str | None, durability: Any
    ) -> None:
        store, user = self.store(on), self.owner(session, user)
        turns = [[role, self.text(word)] for role, word in said]
        batch = [
            UserMessage(text) if role == "user" else AgentResponse(text) for role, text in turns
        ]
        self.change(
            store,
            session_id(session),
            appending(turns, user),
            lambda: store.append_messages(
                session, batch, user_id=user, tx_id=tx, durability=durability
            ),
            tx=tx,
            synced=self.is_synced(store, durability),
        )

    @rule(on=handles, session=sessions, user=users, allow=st.booleans())
    def get_or_create_session(self, *, on: str, session: str, user: str, allow: bool) -> None:
        store, document = self.store(on), session_id(session)
        if self.model.doc(document).exists:
            try:
                found = store.get_or_create_session(user, session, allow_other_user=allow)
            except OwnershipError:
                assert not allow
                assert self.model.doc(document).value["user"] != user
            else:
                assert seen(document, found.to_tree()) == self.model.doc(document).value
            return
        self.change(
            store,
            document,
            getting(user, allow=allow),
            lambda: store.get_or_create_session(user, session, allow_other_user=allow),
            synced=self.is_synced(store, None),
        )

    @rule(on=handles, session=sessions)
    def delete_session(self, on: str, session: str) -> None:
        store, document = self.store(on), session_id(session)
        if self.model.doc(document).exists:
            reply = self.change(store, document, deleting, lambda: store.delete_session(session))
            assert reply in (True, CUT)
        else:
            assert self.run(store, lambda: store.delete_session(session), []) in (False, CUT)

    @rule(on=handles, session=sessions, user=users, loads=st.booleans(), back=st.integers(0, 3))
    def take_up(self, *, on: str, session: str, user: str, loads: bool, back: int) -> None:
        """Somebody begins to work on a session, as it is or was."""
        store, doc = self.store(on), self.model.doc(session_id(session))
        if not loads:
            self.work.append((Session.with_id(user, session), Work(GONE, user)))
            return
        entry = doc.log[max(-1 - back, -len(doc.log))] if back > 1 else doc.log[-1]
        try:
            found = store.load_session(session, at=entry.seq if back > 1 else None)
        except NotFoundError:
            assert not self.is_kept(doc, entry.seq)
            return
        assert (found is None) == (entry.value is GONE)
        if found is not None and entry is doc.log[-1]:
            self.work.append((found, Work(entry.value, entry.value["user"])))

    @rule(word=words, what=st.sampled_from(("say", "answer", "title", "back")))
    def work_on(self, word: str, what: str) -> None:
        if not self.work:
            return
        session, work = self.work[-1]
        text = self.text(word)
        if what == "say":
            session.add_user_message(text)
            work.added.append(["user", text])
        elif what == "answer":
            session.add_agent_response(text)
            work.added.append(["agent", text])
        elif what == "title":
            session.set_metadata("title", text)
            work.fields["title"] = text
        elif session.remove_last_turn() is not None:
            if work.added:
                work.added.pop()
            else:
                work.removed.append(work.base["turns"][-1 - len(work.removed)])

    @rule(
        on=handles, creates=st.booleans(), tx=tx_ids, durability=policies, which=st.integers(0, 3)
    )
    def save_work(
        self, *, on: str, creates: bool, tx: str | None, durability: Any, which: int
    ) -> None:
        if not self.work:
            return
        store = self.store(on)
        session, work = self.work.pop(which % len(self.work))

        def call() -> Any:
            if creates:
                return store.save_session(session, tx_id=tx, durability=durability)
            return store.update_session(session, tx_id=tx, durability=durability)

        self.change(
            store,
            session_id(session.id),
            work.merged(create=creates),
            call,
            tx=tx,
            synced=self.is_synced(store, durability),
        )

    @rule(
        on=handles,
        session=sessions,
        new=sessions,
        count=st.none() | st.integers(0, 4),
        by_version=st.booleans(),
        user=st.none() | users,
    )
    def fork_session(
        self,
        *,
        on: str,
        session: str,
        new: str,
        count: int | None,
        by_version: bool,
        user: str | None,
    ) -> None:
        store, document = self.store(on), session_id(session)
        doc = self.model.doc(document)
        entry = doc.log[-1]
        at: Any = count
        if by_version:
            entry = next((one for one in doc.log if one.version), entry)
            at = entry.version

        def call() -> Any:
            return store.fork_session(session, at=at, new_id=new, user_id=user)

        try:
            effect = forking(document, entry, at, user)
        except Refused as refusal:
            self.refused(store, refusal.kind, call)
            return
        synced = self.is_synced(store, None)
        if by_version and entry is not doc.log[-1] and not self.is_kept(doc, entry.seq):
            return
        self.change(store, session_id(new), effect, call, synced=synced)

    @rule(on=handles, session=sessions, user=users, word=words)
    def save_as_json(self, on: str, session: str, user: str, word: str) -> None:
        """A session is a JSON document, too."""
        store, document = self.store(on), session_id(session)
        made = Session.with_id(user, session)
        text = self.text(word)
        made.add_user_message(text)
        value = {**empty(user), "turns": [["user", text]]}
        tree = made.to_tree()
        self.change(
            store, document, saving(value), lambda: store.save_json(SESSIONS, session, tree)
        )
