"""The machine without its rules: handles, trouble, and comparing a store with the model."""

from __future__ import annotations

import asyncio
import copy
import json
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec import Struct

from plainstate.core.summary import is_session
from plainstate.errors import AlreadyExistsError, ConflictError, NotFoundError, PlainstateError
from plainstate.testing.crashfs import PowerCut
from plainstate.types import Commit, DocumentId

from .adapters import WORLDS
from .model import (
    GONE,
    Model,
    Refused,
    seen,
    session_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.types import Change

    from .model import Doc, Effect, Entry

    Stage = Callable[[Model], None]

WORDS = ("apple", "pear", "fig")
USERS = ("ada", "bob")
PLACES = (
    DocumentId("plans", "a", "json"),
    DocumentId("plans", "a", "markdown"),
    DocumentId("plans/deep", "b", "json"),
    DocumentId("notes", "b", "markdown"),
)
NAMES = ("s-1", "s-2")

handles = st.sampled_from("abc")
words = st.sampled_from(WORDS)
users = st.sampled_from(USERS)
sessions = st.sampled_from((*NAMES[:1] * 3, *NAMES))  # mostly one, in which much happens
documents = st.sampled_from(PLACES)
tx_ids = st.none() | st.sampled_from([f"t-{number}" for number in range(5)])
images = st.integers(0, 23)
policies = st.sampled_from((None, "commit", "periodic", "os"))


OBSERVERS: dict[str, dict[str, Any]] = {}


def observer(**arguments: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks what only looks: all of these share one rule, so that most steps change something."""

    def enter(look: Callable[..., None]) -> Callable[..., None]:
        OBSERVERS[look.__name__] = arguments
        return look

    return enter


class Trouble(Struct):
    """What happens to the next call.

    Attributes:
        call: it is cut off at this change of the file system, or cancelled after so many turns.
        written: how much of a write gets through.
        image: which of the states that a power cut may leave; `None`: only the process dies.
    """

    call: int
    written: float
    image: int | None


class _Cut:
    def __repr__(self) -> str:
        return "CUT"


CUT: Any = _Cut()
"""The reply of a call that was cut off or cancelled: what it did was found out."""


class Machine(RuleBasedStateMachine):
    """A store, what it should hold, and everything that may happen to both.

    Attributes:
        engine, face: of `adapters.py`.
        store_of: the open handles, by name.
        raw: the value of each version of each document, which never changes.
        lost_power: there was a power cut.
        feed_lost: it may have taken lines from the change feed, and nobody has looked since.
        told_from: how many commits there were then: those need not be told one by one.
        crashed: commits may be told late.
        moves: of each rename, both documents: its name, its number, the other name.
        behind: a person changed files, and these handles' lists need not know it.
        edited: documents that a person has changed.
    """

    engine: ClassVar[str]
    face: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.store_of: dict[str, Any] = {}
        self.raw: dict[tuple[DocumentId, str], str] = {}
        self.trouble: Trouble | None = None
        self.feed_lost = self.lost_power = self.crashed = False
        self.told_from = 0
        self.moves: set[tuple[DocumentId, int, DocumentId]] = set()
        self.behind: set[str] = set()
        self.edited: set[DocumentId] = set()
        self.cursor: str | None = None
        self.told: list[Change] = []
        self._texts = 0

    @initialize(
        keeps=st.sampled_from(("always", "sometimes", "never")),
        floor=st.sampled_from((1, 700, 9000)),
    )
    def begin(self, keeps: str, floor: int) -> None:
        self.keeps = keeps
        self.world = WORLDS[self.engine](floor)

    # --- handles ---

    def store(self, name: str) -> Any:
        """A handle of that name, opened at its first use."""
        if name not in self.store_of:
            self.open(name, "commit", "keep")
        return self.store_of[name]

    def open(self, name: str, durability: str, history: str) -> None:
        if self.keeps != "sometimes":
            history = "keep" if self.keeps == "always" else "none"
        other = "async" if self.face == "blocking" else "blocking"
        face = other if name == "c" else self.face
        self.store_of[name] = self.world.open(face, durability, history)
        if self.edited:
            self.behind.add(name)

    @rule(
        name=handles,
        durability=st.sampled_from(("commit", "periodic", "os")),
        history=st.sampled_from(("keep", "none")),
    )
    def reopen(self, name: str, durability: str, history: str) -> None:
        store = self.store_of.pop(name, None)
        if store is not None:
            self.store_of[name] = store
            if self.run(store, store.close, []) is CUT:
                return
            del self.store_of[name]
        self.open(name, durability, history)

    def text(self, word: str) -> str:
        """A text unlike all others."""
        self._texts += 1
        return f"{word} number {self._texts} of many"

    # --- doing something ---

    @rule(call=st.integers(1, 20), written=st.sampled_from((0.0, 0.5, 0.99)))
    def trouble_ahead(self, call: int, written: float) -> None:
        """The process dies in the next call, or the call is cancelled."""
        self.trouble = Trouble(call, written, None)

    @precondition(lambda self: self.world.can_crash)
    @rule(call=st.integers(1, 20), written=st.sampled_from((0.0, 0.5, 0.99)), image=images)
    def power_cut_ahead(self, call: int, written: float, image: int) -> None:
        self.trouble = Trouble(call, written, image)

    @precondition(lambda self: self.world.can_crash)
    @rule(image=images)
    def power_cut(self, image: int) -> None:
        """Between two calls."""
        self.trouble = None
        self._crash(None, image)
        self._find_out([], loose=True)

    def run(self, store: Any, call: Callable[[], Any], stages: list[Stage]) -> Any:
        """Calls the store, and does to the model what that does to the store, step by step.

        Returns:
            The reply, or `CUT`; then the model is in the state before or after one of the steps.
        """
        trouble, self.trouble = self.trouble, None
        if trouble is not None and store.fs is not None:
            store.fs.crash_at(trouble.call, written=trouble.written)
        elif trouble is not None:
            store.cancel_next(trouble.call // 5)
        try:
            reply = call()
        except PowerCut:
            assert trouble is not None
            self._crash(store, trouble.image)
            self._find_out(stages, loose=trouble.image is not None)
            return CUT
        except asyncio.CancelledError:
            self._find_out(stages, loose=False)
            return CUT
        finally:
            store.cancel_next(None)
            if store.fs is not None:
                store.fs.crash_at(0)
        for stage in stages:
            stage(self.model)
        return reply

    def _crash(self, store: Any, image: int | None) -> None:
        self.crashed = True
        if image is None:
            self.world.kill(store)
            self.store_of = {name: one for name, one in self.store_of.items() if one is not store}
        else:
            self.feed_lost = self.lost_power = True
            self.world.cut_power(list(self.store_of.values()), image)
            self.store_of = {}
        note(f"    crashed; left are {sorted(self.store_of)}")

    def _find_out(self, stages: list[Stage], *, loose: bool) -> None:
        """Which state is it in, of those that it may be in?"""
        possible = [self.model]
        for stage in stages:
            possible.append(copy.deepcopy(possible[-1]))
            stage(possible[-1])
        store = self.store("a")
        known = {*PLACES, *map(session_id, NAMES), *possible[-1].docs}
        found = {document: self._found(store, document) for document in sorted(known)}
        trash = {(one.run, one.id) for one in store.trash()}
        for document, (value, seq) in found.items():
            before, announced = self.model.doc(document), possible[-1].doc(document).seq
            if loose and announced > before.seq and (value, seq) == (before.value, announced + 1):
                # the old file lost its time, so what was to replace it seems to be taken back
                before.edit(value, seq)
        fitting = [model for model in possible if model.fits(found, trash, loose=loose)]
        assert fitting, (
            f"found { ({k: v for k, v in found.items() if v[0] is not GONE}) }, {trash}; expected "
            + " or ".join(f"{model.living()}, {set(model.trash)}" for model in possible)
        )
        self.model = fitting[0]
        if loose:
            self.model.settle(found)
        for document, doc in self.model.docs.items():
            self.look(document, store)
            self.acknowledged(document)  # it is there, whoever was told
            doc.ahead = doc.ahead or not doc.exists
        if loose:
            self.told_from = len(self.model.commits)

    def _found(self, store: Any, document: DocumentId) -> tuple[Any, int | None]:
        state = store.read(document.category, document.name, kind=document.kind)
        if state is None:
            return GONE, None
        return seen(document, state.value), seq_of(state.version)

    def refused(self, store: Any, kind: type[Exception], call: Callable[[], Any]) -> Any:
        """The store must refuse this; returns `CUT` or `None`."""
        try:
            reply = self.run(store, call, [])
        except PlainstateError as error:
            reply = error
        if reply is not CUT:
            assert type(reply) is kind, f"{kind.__name__} is expected, not {reply!r}"
            reply = None
        return reply

    def change(
        self,
        store: Any,
        document: DocumentId,
        effect: Effect,
        call: Callable[[], Any],
        *,
        tx: str | None = None,
        if_version: str | None = None,
        synced: bool = True,
    ) -> Any:
        """Does one transaction on one document; returns the reply, or `None` if it was refused."""
        doc = self.model.doc(document)
        if doc.remembers(tx):
            return self._again(store, document, call)
        try:
            value = doc.foretell(effect, if_version)
        except Refused as refusal:
            return self.refused(store, refusal.kind, call)
        before = doc.seq

        def commit(model: Model) -> None:
            model.doc(document).commit(value, tx, synced=synced)

        reply = self.run(store, call, [commit])
        if reply is CUT:
            return CUT
        if isinstance(reply, Commit):
            self._check_reply(document, reply, before)
        self.look(document, store)
        if doc.seq > before:
            self.acknowledged(document)
        return reply

    def _again(self, store: Any, document: DocumentId, call: Callable[[], Any]) -> Any:
        """A retry changes nothing; it may be refused where a person has edited."""
        try:
            reply = self.run(store, call, [])
        except ConflictError:
            assert document in self.edited
            reply = True
        if reply is CUT:
            return CUT
        if isinstance(reply, Commit):
            assert reply.duplicate, f"{document}: committed again: {reply}"
        else:
            assert reply, f"{document}: a retry is answered with {reply!r}"
        self.look(document, store)
        return CUT

    def _check_reply(self, document: DocumentId, reply: Commit, before: int) -> None:
        doc = self.model.doc(document)
        assert not reply.duplicate, f"{document}: taken for a retry: {reply}"
        if reply.seq == before and doc.log[-1].value == doc.log[-2].value:
            doc.log.pop()  # there was nothing to do
            doc.ids = {tx: seq for tx, seq in doc.ids.items() if seq <= before}
            doc.durable = min(doc.durable, before)
        doc.learn(reply.seq)
        assert reply.seq == doc.seq, f"{document}: {reply} is not {doc.seq}"

    def move(
        self, store: Any, source: DocumentId, target: DocumentId, call: Callable[[], Any]
    ) -> None:
        """Renames a document."""
        if self.model.doc(target).exists:
            self.refused(store, AlreadyExistsError, call)
            return
        reply = self.run(store, call, [lambda model: model.rename(source, target)])
        if reply is CUT:
            return
        if source in self.edited:  # the ids come along
            self.edited.add(target)
        self.model.doc(target).learn(reply.seq)
        assert reply.seq == self.model.doc(target).seq
        for document, other in ((source, target), (target, source)):
            self.look(document, store)
            self.acknowledged(document)
            self.moves.add((document, self.model.doc(document).seq, other))
        self.retry_all(store, target)

    def retry_all(self, store: Any, document: DocumentId) -> None:
        """What was done is not done again."""
        doc = self.model.doc(document)
        for tx in filter(doc.remembers, doc.ids):
            write = partial(store.save_json, document.category, document.name)
            if document.kind == "markdown":
                write = partial(store.append_markdown, document.category, document.name)
            elif is_session(document):
                write = partial(store.append_user_message, document.name)
            self._again(store, document, partial(write, "no", tx_id=tx))

    def acknowledged(self, document: DocumentId) -> None:
        doc = self.model.doc(document)
        commit = document, doc.seq, doc.version
        if commit not in self.model.commits and not doc.by_hand and doc.seq:
            self.model.commits.append(commit)

    # --- comparing ---

    def look(self, document: DocumentId, store: Any) -> None:
        """A document is what it should be, and each version of it has one value for ever."""
        doc = self.model.doc(document)
        state = store.read(document.category, document.name, kind=document.kind)
        if state is None:
            assert not doc.exists, f"{document} is absent, expected {doc.value}"
            return
        doc.learn(seq_of(state.version))
        found = seen(document, state.value)
        assert found == doc.value, f"{document} is {found}, expected {doc.value}"
        assert seq_of(state.version) == doc.seq, f"{document}: {state.version} is not {doc.seq}"
        self.seen_version(document, doc.log[-1], state.version, state.value)

    def seen_version(self, document: DocumentId, entry: Entry, version: str, value: Any) -> None:
        entry.version = entry.version or version
        assert entry.version == version, f"{document}: {version} was {entry.version}"
        text = json.dumps(value, sort_keys=True)
        known = self.raw.setdefault((document, version), text)
        assert known == text, f"{document}: {version} was {known}, is {text}"

    def raw_value(self, document: DocumentId) -> Any:
        """The stored value of a document that exists."""
        return json.loads(self.raw[document, str(self.model.doc(document).version)])

    def is_kept(self, doc: Doc, seq: int) -> bool:
        """Whether a state can be read for sure."""
        if seq in (0, doc.seq):
            return True
        return self.engine == "memory" or (self.keeps == "always" and seq >= doc.kept_from)

    def check_past(self, document: DocumentId, store: Any) -> None:
        """Every earlier state that is told is the right one, and those that are kept are told."""
        doc = self.model.doc(document)
        for entry in {one.seq: one for one in doc.log}.values():
            try:
                state = store.read(
                    document.category, document.name, kind=document.kind, at=entry.seq
                )
            except NotFoundError:
                assert not self.is_kept(doc, entry.seq), f"{document} at {entry.seq} is not kept"
                continue
            found = GONE if state is None else seen(document, state.value)
            assert found == entry.value, f"{document} at {entry.seq}: {found}, not {entry.value}"


def seq_of(version: str) -> int:
    return int(version.partition("-")[0])
