"""What callers do with documents."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from plainstate.errors import NotFoundError, UsageError
from plainstate.types import DocumentId

from .checks import Checks
from .machine import (
    CUT,
    PLACES,
    documents,
    handles,
    observer,
    policies,
    sessions,
    tx_ids,
    words,
)
from .model import (
    GONE,
    SESSIONS,
    Refused,
    adding_text,
    counting,
    deleting,
    patching,
    saving,
    seen,
    session_id,
)

json_places = st.sampled_from([one for one in PLACES if one.kind == "json"])
texts_places = st.sampled_from([one for one in PLACES if one.kind == "markdown"])
anything = documents | sessions.map(session_id)
odd_values = st.sampled_from([None, [], {}, "pear", 1.5, [1, {"a": None}], 2**70])
versions = st.sampled_from((*["any"] * 6, "current", "current", "absent", "stale"))


class DocumentRules(Checks):
    """Whole saves, patches, transactions, texts, deletes, renames, the past."""

    def version(self, document: DocumentId, which: str) -> str | None:
        """A version to be asked for."""
        doc = self.model.doc(document)
        current = doc.version if doc.exists else "absent"
        older = next((one.version for one in doc.log if one.version), "1-00000000")
        return {"any": None, "current": current, "absent": "absent", "stale": older}[which]

    def is_synced(self, store: Any, durability: str | None) -> bool:
        return (durability or store.durability) == "commit"

    @rule(
        on=handles,
        document=json_places,
        odd=st.none() | st.none() | st.none() | odd_values,
        word=words,
        tx=tx_ids,
        which=versions,
    )
    def save_json(
        self, on: str, document: DocumentId, odd: Any, word: str, tx: str | None, which: str
    ) -> None:
        store, expected = self.store(on), self.version(document, which)
        value = {"steps": [self.text(word)], "count": 0} if odd is None else odd
        category, name, _ = document.category, document.name, document.kind
        self.change(
            store,
            document,
            saving(value),
            lambda: store.save_json(category, name, value, if_version=expected, tx_id=tx),
            tx=tx,
            if_version=expected,
        )

    @rule(on=handles, document=texts_places, word=words, tx=tx_ids, which=versions)
    def save_markdown(
        self, on: str, document: DocumentId, word: str, tx: str | None, which: str
    ) -> None:
        store, expected, text = (
            self.store(on),
            self.version(document, which),
            self.text(word) + "\n",
        )
        category, name = document.category, document.name
        self.change(
            store,
            document,
            saving(text),
            lambda: store.save_markdown(category, name, text, if_version=expected, tx_id=tx),
            tx=tx,
            if_version=expected,
        )

    @rule(on=handles, document=texts_places, word=words, tx=tx_ids, durability=policies)
    def append_markdown(
        self, on: str, document: DocumentId, word: str, tx: str | None, durability: Any
    ) -> None:
        store, text = self.store(on), self.text(word) + "\n"
        category, name = document.category, document.name
        self.change(
            store,
            document,
            adding_text(text),
            lambda: store.append_markdown(category, name, text, tx_id=tx, durability=durability),
            tx=tx,
            synced=self.is_synced(store, durability),
        )

    @rule(on=handles, document=anything)
    def retry(self, on: str, document: DocumentId) -> None:
        trouble, self.trouble = self.trouble, None
        self.retry_all(self.store(on), document)
        self.trouble = trouble

    @rule(
        on=handles,
        document=json_places,
        what=st.sampled_from((*["add"] * 4, "replace", "replace", "remove", "test")),
        word=words,
        tx=tx_ids,
        which=versions,
        durability=policies,
    )
    def patch(
        self,
        on: str,
        document: DocumentId,
        what: str,
        word: str,
        tx: str | None,
        which: str,
        durability: Any,
    ) -> None:
        store, expected = self.store(on), self.version(document, which)
        operations, effect = patching(what, self.text(word) if what == "add" else -1 - self._texts)
        category, name = document.category, document.name
        self.change(
            store,
            document,
            effect,
            lambda: store.patch(
                category, name, operations, if_version=expected, tx_id=tx, durability=durability
            ),
            tx=tx,
            if_version=expected,
            synced=self.is_synced(store, durability),
        )

    @rule(on=handles, document=json_places, tx=tx_ids)
    def transaction(self, on: str, document: DocumentId, tx: str | None) -> None:
        store = self.store(on)

        def call() -> Any:
            with store.transaction(document.category, document.name, tx_id=tx) as doc:
                doc.value = counting(doc.value)
            return doc.commit

        self.change(store, document, counting, call, tx=tx)

    @observer(document=json_places)
    def transaction_that_fails(self, on: str, document: DocumentId) -> None:
        store = self.store(on)

        def call() -> None:
            with store.transaction(document.category, document.name) as doc:
                doc.value = "never"
                raise UsageError("enough", hint="Nothing is committed.")

        if self.refused(store, UsageError, call) is not CUT:
            self.look(document, store)

    @rule(on=handles, document=anything, by_kind=st.booleans(), tx=tx_ids, which=versions)
    def delete_file(
        self, *, on: str, document: DocumentId, by_kind: bool, tx: str | None, which: str
    ) -> None:
        store = self.store(on)
        category, name = document.category, document.name
        if not by_kind:
            try:
                one = self.model.the_one(category, name, None)
            except Refused as refusal:
                self.refused(store, refusal.kind, lambda: store.delete_file(category, name))
                return
            document, tx, which = one or document, None, "any"
        kind, expected = document.kind if by_kind else None, self.version(document, which)
        doc = self.model.doc(document)
        if doc.exists or doc.remembers(tx) or expected not in (None, "absent"):
            reply = self.change(
                store,
                document,
                deleting,
                lambda: store.delete_file(category, name, kind=kind, if_version=expected, tx_id=tx),
                tx=tx,
                if_version=expected,
            )
            assert reply in (True, CUT, None)
            return
        reply = self.run(store, lambda: store.delete_file(category, name, kind=kind), [])
        assert reply in (False, CUT)

    @rule(on=handles, document=anything, to=documents, session=sessions, by_kind=st.booleans())
    def rename(
        self, *, on: str, document: DocumentId, to: DocumentId, session: str, by_kind: bool
    ) -> None:
        store = self.store(on)
        category, name = document.category, document.name
        target = session_id(session) if category == SESSIONS else to
        kind = document.kind if by_kind else None

        def call() -> Any:
            return store.rename(
                category, name, target.name, new_category=target.category, kind=kind
            )

        try:
            source = self.model.the_one(category, name, kind)
        except Refused as refusal:
            self.refused(store, refusal.kind, call)
            return
        if source is None:
            self.refused(store, NotFoundError, call)
            return
        target = DocumentId(target.category, target.name, source.kind)
        self.move(store, source, target, call)
        return

    @observer(document=anything)
    def read_current(self, on: str, document: DocumentId) -> None:
        """Whatever reads, reads the same."""
        store = self.store(on)
        category, name, kind = document.category, document.name, document.kind
        self.look(document, store)
        doc = self.model.doc(document)
        value = doc.value if doc.exists else None
        assert store.exists(category, name, kind=kind) == doc.exists
        salvaged = store.salvage(category, name, kind=kind)
        assert (None if salvaged is None else seen(document, salvaged)) == value
        if kind == "markdown":
            assert store.load_markdown(category, name) == value
        elif category == SESSIONS:
            session = store.load_session(name)
            assert (None if session is None else seen(document, session.to_tree())) == value
        else:
            assert store.load_json(category, name, Any) == value
        self.check_past(document, store)
        try:
            one = self.model.the_one(category, name, None)
        except Refused as refusal:
            self.refused(store, refusal.kind, lambda: store.read(category, name))
        else:
            assert (store.read(category, name) is None) == (one is None)

    @observer(document=anything, limit=st.none() | st.integers(0, 3))
    def history(self, on: str, document: DocumentId, limit: int | None) -> None:
        store, doc = self.store(on), self.model.doc(document)
        told = store.history(document.category, document.name, kind=document.kind, limit=limit)
        assert limit is None or len(told) <= limit
        numbers = [one.seq for one in told]
        assert numbers == sorted(set(numbers), reverse=True)
        for one in told:
            entry = doc.at(one.seq)
            if entry is None and one.version is None and self.crashed:
                continue  # a rename to it was cut off
            assert entry is not None, f"{document}: {one} never happened"
            assert (one.version is not None) == (entry.value is not GONE)
            assert entry.version in (None, one.version)
        if limit is None:
            kept = {
                one.seq
                for one in doc.log[1:]
                if self.is_kept(doc, one.seq) and one.seq > doc.kept_from
            }
            assert kept <= {*numbers, doc.seq}, f"{document}: {kept} is kept, {numbers} is told"

    @rule(
        on=handles,
        document=anything,
        back=st.none() | st.integers(0, 3),
        by_version=st.booleans(),
        tx=tx_ids,
        which=versions,
    )
    def undo(
        self,
        *,
        on: str,
        document: DocumentId,
        back: int | None,
        by_version: bool,
        tx: str | None,
        which: str,
    ) -> None:
        store, doc, expected = (
            self.store(on),
            self.model.doc(document),
            self.version(document, which),
        )
        entry = doc.log[max(-1 - (back or 0), -len(doc.log))]
        to: Any = entry.version if by_version and entry.version else entry.seq
        to = None if back is None else to
        seq = doc.before_last_change() if to is None else entry.seq
        wanted = doc.at(seq)
        category, name, kind = document.category, document.name, document.kind
        others = [one for one in self.model.living() if str(one) == str(document)]
        shown = None if others == [document] else kind

        def call() -> Any:
            return store.undo(category, name, kind=shown, to=to, tx_id=tx, if_version=expected)

        sure = self.is_kept(doc, seq) and (to is None or not by_version) and doc.log[1:]
        if (
            sure
            or doc.remembers(tx)
            or expected not in (None, doc.version if doc.exists else "absent")
        ):
            self.change(store, document, saving(wanted.value), call, tx=tx, if_version=expected)
            return
        try:
            self.change(store, document, saving(wanted.value), call, tx=tx, if_version=expected)
        except NotFoundError:
            self.look(document, store)
