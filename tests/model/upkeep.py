"""What happens to the store as a whole: folds, repairs, and a person with an editor."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from plainstate.errors import DamagedError, EditConflictError
from plainstate.types import DocumentId

from .documents import anything
from .keeping import ArchiveRules
from .machine import (
    CUT,
    documents,
    handles,
    observer,
    seq_of,
    words,
)
from .model import GONE, SESSIONS, Doc, seen

has_files = precondition(lambda self: self.world.has_files)


class UpkeepRules(ArchiveRules):
    """Folds, checks and repairs; what a person does to the files."""

    @rule(on=handles)
    def checkpoint(self, on: str) -> None:
        store = self.store(on)
        if self.run(store, store.checkpoint, []) is CUT:
            return
        for document, doc in self.model.docs.items():
            doc.durable = doc.seq
            if self.world.has_files:
                assert self.world.journal(document) is None, f"{document} is not folded"

    @precondition(lambda self: self.world.can_crash)
    @rule(on=handles)
    def housekeeping(self, on: str) -> None:
        """The thread in the background runs now."""
        store = self.store(on)
        self.run(store, store.raw._engine._housekeeping.run, [])

    @observer()
    def check(self, on: str) -> None:
        store = self.store(on)
        self.check_sound(store.check().findings)

    @rule(on=handles, cut=st.booleans(), dry_run=st.booleans())
    def repair(self, *, on: str, cut: bool, dry_run: bool) -> None:
        """There is nothing to decide, and no document changes."""
        store = self.store(on)
        report = self.run(store, lambda: store.repair(cut=cut, dry_run=dry_run), [])
        if report is not CUT:
            self.check_sound(report.left)
            for document in list(self.model.docs):
                self.look(document, store)

    @has_files
    @rule(
        on=handles,
        document=anything,
        word=words,
        take=st.sampled_from(("file", "journal")),
        folds=st.booleans(),
    )
    def edit(self, *, on: str, document: DocumentId, word: str, take: Any, folds: bool) -> None:
        """A person adds something to a plain file, perhaps while transactions wait."""
        store, doc = self.store(on), self.model.doc(document)
        trouble, self.trouble = self.trouble, None
        if folds:
            store.checkpoint()
        self.world.quiet(list(self.store_of.values()))
        data = self.world.plain(document)
        if not doc.exists or data is None:
            self.trouble = trouble
            return
        text = self.text(word)
        edited = _edited(document, data, text)
        if edited is None:
            return
        self.world.edit(document, edited)
        expected = seen(
            document,
            _value(document, _edited(document, _bytes(document, self.raw_value(document)), text)),
        )
        try:
            store.read(document.category, document.name, kind=document.kind)
        except EditConflictError:
            assert not folds
            store.resolve(document.category, document.name, take=take, kind=document.kind)
            if take == "file":
                expected = seen(document, _value(document, edited))
        self._edited_by_hand(document, expected, store)

    @has_files
    @rule(on=handles, document=documents, word=words)
    def create_by_hand(self, on: str, document: DocumentId, word: str) -> None:
        store = self.store(on)
        if self.model.doc(document).exists:
            return
        store.checkpoint()
        self.world.quiet(list(self.store_of.values()))
        value = f"{self.text(word)}\n" if document.kind == "markdown" else {"by": [self.text(word)]}
        self.world.edit(document, _bytes(document, value))
        self._edited_by_hand(document, value, store)

    @has_files
    @rule(on=handles, document=anything)
    def remove_by_hand(self, on: str, document: DocumentId) -> None:
        store, doc = self.store(on), self.model.doc(document)
        if not doc.exists:
            return
        store.checkpoint()
        self.world.quiet(list(self.store_of.values()))
        self.world.remove(document)
        past = store.history(document.category, document.name, kind=document.kind, limit=1)
        if past:
            doc.edit(GONE, past[0].seq)
        else:
            self.model.docs[document] = Doc()  # it was never more than its file
        self._seen_edit(document)
        self.look(document, store)

    def _edited_by_hand(self, document: DocumentId, value: Any, store: Any) -> None:
        state = store.read(document.category, document.name, kind=document.kind)
        doc = self.model.doc(document)
        seq = seq_of(state.version)
        # of a document that was only saved once, the file is all there is
        assert seq >= doc.seq, f"{document}: {seq} behind {doc.seq}"
        assert state.version != doc.version
        doc.edit(value, seq)
        self._seen_edit(document)
        self.look(document, store)

    def _seen_edit(self, document: DocumentId) -> None:
        self.edited.add(document)
        self.behind = {"a", "b", "c"}

    @precondition(lambda self: self.world.can_crash)
    @rule(on=handles, document=anything)
    def damage(self, on: str, document: DocumentId) -> None:
        """The last line but one of a journal rots: what is before it can be salvaged."""
        store, doc = self.store(on), self.model.doc(document)
        data = self.world.journal(document)
        if data is None or not doc.exists or data.count(b"\n") < 3 or doc.by_hand:
            return
        lines = data.splitlines(keepends=True)
        if not all(b'"patch":' in line for line in lines[-2:]):
            return  # a fold was announced: the plain file may hold more than the intact lines
        lines[-2] = lines[-2].replace(b'"time":"2', b'"time":"3')
        category, name, kind = document.category, document.name, document.kind
        with self.world.damaged(document, b"".join(lines)):
            with pytest.raises(DamagedError) as caught:
                store.read(category, name, kind=kind)
            assert caught.value.line == len(lines) - 1
            salvaged = store.salvage(category, name, kind=kind)
            before = None if salvaged is None else seen(document, salvaged)
            left = doc.at(doc.seq - 2)
            assert left is None or before == (None if left.value is GONE else left.value)
            assert store.exists(category, name, kind=kind)
            assert "journal-damaged" in {one.code for one in store.check().findings}
        self.look(document, store)


def _bytes(document: DocumentId, value: Any) -> bytes:
    return value.encode() if document.kind == "markdown" else json.dumps(value).encode()


def _value(document: DocumentId, data: bytes) -> Any:
    return data.decode() if document.kind == "markdown" else json.loads(data)


def _edited(document: DocumentId, data: bytes, text: str) -> bytes | None:
    """What a person's editor saves."""
    if document.kind == "markdown":
        return f"{text}\n".encode() + data
    value = _value(document, data)
    if not isinstance(value, dict):
        return None
    if document.category == SESSIONS:
        value["metadata"][f"by hand {text[-12:]}"] = text
    else:
        value[f"by hand {text[-12:]}"] = text
    return _bytes(document, value)
