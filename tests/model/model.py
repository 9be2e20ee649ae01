"""plainstate in one page: what every operation means, on a plain dictionary.

A document is the list of its versions.  An effect takes the newest value and gives the next one,
or is `Refused` with the error that the store must raise.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidValueError,
    NotFoundError,
    OwnershipError,
    PatchFailedError,
    UsageError,
)
from plainstate.limits import RECENT_TX_IDS
from plainstate.types import DocumentId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from plainstate.types import Change

    Effect = Callable[[Any], Any]
    Trash = tuple[str, str]
    Acknowledged = tuple[DocumentId, int, str | None]

SESSIONS = "sessions"


class _Gone:
    def __repr__(self) -> str:
        return "GONE"

    def __deepcopy__(self, _: Any) -> _Gone:
        return self


GONE = _Gone()
"""The value of a document that is absent."""


class Refused(Exception):  # noqa: N818 - it stands for an error of the store
    """The store must refuse with an error of this kind."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind


# --- documents -----------------------------------------------------------------


@dataclass
class Entry:
    """A state that a document was in.

    Attributes:
        seq: number of the transaction that made it.
        value: as `seen` tells it.
        version: `None` until it was read.
        moved: it came by a rename, which changed nothing.
    """

    seq: int
    value: Any
    version: str | None = None
    moved: bool = False


@dataclass
class Doc:
    """A document.

    Attributes:
        log: its states, oldest first.
        ids: remembered transaction ids, each with its number; later ones behind.
        durable: a power cut takes nothing up to this number.
        kept_from: with history kept, every state from this number on can be read.
        by_hand: a person changed it, and no writer has been there since.
        ahead: a rename to it was perhaps cut off: the next number may be a later one.
    """

    log: list[Entry] = field(default_factory=lambda: [Entry(0, GONE)])
    ids: dict[str, int] = field(default_factory=dict)
    durable: int = 0
    kept_from: int = 0
    by_hand: bool = False
    ahead: bool = False

    @property
    def seq(self) -> int:
        return self.log[-1].seq

    @property
    def value(self) -> Any:
        return self.log[-1].value

    @property
    def version(self) -> str | None:
        return self.log[-1].version

    @property
    def exists(self) -> bool:
        return self.value is not GONE

    def remembers(self, tx: str | None) -> bool:
        return tx in self.ids and self.ids[tx] > self.seq - RECENT_TX_IDS

    def foretell(self, effect: Effect, expected: str | None) -> Any:
        """The value after an operation, if it is not refused."""
        if expected is not None and expected != (self.version if self.exists else "absent"):
            raise Refused(ConflictError)
        return effect(copy.deepcopy(self.value))

    def commit(self, value: Any, tx: str | None = None, *, synced: bool = True) -> None:
        self.log.append(Entry(self.seq + 1, value))
        if tx is not None:
            self.ids[tx] = self.seq
        if synced:
            self.durable = self.seq
        self.by_hand = False

    def edit(self, value: Any, seq: int) -> None:
        """A person changed the file; which states before that are kept is not foretold."""
        if seq == self.seq:  # nobody had looked at what it was until now
            self.log.pop()
        self.log.append(Entry(seq, value))
        self.durable = self.kept_from = seq
        self.by_hand = True

    def before_last_change(self) -> int:
        """The number that undo goes back to."""
        last = max(index for index, entry in enumerate(self.log) if not entry.moved)
        return self.log[max(last - 1, 0)].seq

    def at(self, seq: int) -> Entry | None:
        return next((entry for entry in reversed(self.log) if entry.seq == seq), None)

    def fitting(self, found: tuple[Any, int | None], *, loose: bool) -> Entry | None:
        """The state that was found, if it may be this one."""
        value, seq = found
        may_be = [one for one in self.log if one.seq >= self.durable] if loose else self.log[-1:]
        for entry in reversed(may_be):
            is_later = self.ahead and seq is not None and seq > entry.seq
            if entry.value == value and (seq in (None, entry.seq) or is_later):
                return entry
        return None

    def learn(self, seq: int) -> None:
        """Its number was seen."""
        if self.ahead and seq > self.seq:
            self.ids = {tx: seq if old == self.seq else old for tx, old in self.ids.items()}
            self.durable = seq if self.durable == self.seq else self.durable
            self.log[-1].seq = seq
        self.ahead = False

    def fall_back(self, entry: Entry) -> None:
        """A power cut took what was behind."""
        del self.log[self.log.index(entry) + 1 :]
        self.ids = {tx: seq for tx, seq in self.ids.items() if seq <= entry.seq}
        self.durable = entry.seq


class Model:
    """A store.

    Attributes:
        docs: every document that there ever was.
        trash: what is in it, by run and id.
        commits: what was acknowledged, in order: document, number and version.
    """

    def __init__(self) -> None:
        self.docs: dict[DocumentId, Doc] = {}
        self.trash: dict[Trash, Doc] = {}
        self.commits: list[Acknowledged] = []

    def doc(self, document: DocumentId) -> Doc:
        return self.docs.setdefault(document, Doc())

    def living(self, category: str | None = None) -> dict[DocumentId, Any]:
        return {
            document: doc.value
            for document, doc in sorted(self.docs.items())
            if doc.exists and category in (None, document.category)
        }

    def the_one(self, category: str, name: str, kind: str | None) -> DocumentId | None:
        """The document of a name; two of them must be told apart by their kind."""
        ids = [DocumentId(category, name, one) for one in ([kind] if kind else KINDS)]
        found = [one for one in ids if self.doc(one).exists]
        if len(found) > 1:
            raise Refused(UsageError)
        return found[0] if found else None

    def rename(self, source: DocumentId, target: DocumentId) -> None:
        self._move(self.doc(source), self.doc(target))

    def discard(self, session: str, run: str) -> None:
        """Into the trash."""
        self.trash[run, session] = Doc()
        self._move(self.doc(session_id(session)), self.trash[run, session])

    def restore(self, session: str, run: str) -> None:
        self._move(self.trash.pop((run, session)), self.doc(session_id(session)))

    def _move(self, source: Doc, target: Doc) -> None:
        """The past goes along, and takes the place of what the target had."""
        seq = max(source.seq, target.seq) + 1
        target.log = [*source.log, Entry(seq, source.value, moved=True)]
        target.ids = {**target.ids, **source.ids}
        target.kept_from = seq if source.by_hand else source.kept_from
        target.durable, target.by_hand = seq, False
        source.log = [Entry(source.seq + 1, GONE)]
        source.durable = source.kept_from = source.seq

    def fits(self, found: dict[DocumentId, Any], trash: set[Trash], *, loose: bool) -> bool:
        """Whether a store that holds this may be in this state."""
        docs = {document: self.doc(document) for document in found}
        return trash == set(self.trash) and all(
            doc.fitting(found[document], loose=loose) is not None for document, doc in docs.items()
        )

    def settle(self, found: dict[DocumentId, Any]) -> None:
        """It is in the state that was found, after a power cut."""
        for document, state in found.items():
            doc = self.doc(document)
            entry = doc.fitting(state, loose=True)
            assert entry is not None
            doc.fall_back(entry)
            self.commits = [
                one for one in self.commits if one[0] != document or one[1] <= entry.seq
            ]


def check_order(told: Iterable[Change]) -> None:
    """The commits of a document are told in their order; one may be told again."""
    seen: dict[DocumentId, list[int]] = {}
    for change in told:
        numbers = seen.setdefault(change.document, [])
        assert change.seq in numbers or change.seq > max(numbers, default=0), (
            f"{change.document}: {change.seq} is told behind {numbers}"
        )
        numbers.append(change.seq)


def check_complete(told: Iterable[Change], commits: Iterable[Acknowledged]) -> None:
    """Every commit is told."""
    known = {(change.document, change.seq, change.version) for change in told}
    missing = [one for one in commits if one not in known]
    assert not missing, f"not told: {missing}"


KINDS = ("json", "markdown")


def session_id(name: str) -> DocumentId:
    return DocumentId(SESSIONS, name, "json")


def seen(document: DocumentId, raw: Any) -> Any:
    """A value as the model has it: of a session, its times only give the order."""
    if document.category != SESSIONS:
        return raw
    turns = [
        (moment(one["timestamp"]), role, one["content"])
        for role, array in ARRAYS.items()
        for one in raw[array]
    ]
    assert len({turn[0] for turn in turns}) == len(turns), "two turns of one time"
    assert all(moment(raw["updated_at"]) >= turn[0] for turn in turns), "updated before"
    return {
        "user": raw["user_id"],
        "turns": [list(turn[1:]) for turn in sorted(turns)],
        "metadata": raw["metadata"],
        "seed": raw.get("active_seed_id"),
    }


ARRAYS = {"user": "user_messages", "agent": "agent_responses"}


def moment(text: str) -> datetime:
    """A time as it is stored."""
    return datetime.fromisoformat(text)


def says(value: Any, word: str) -> bool:
    """Whether a search for the word finds it."""
    return word in json.dumps(value)


# --- effects -------------------------------------------------------------------


def saving(value: Any) -> Effect:
    return lambda _: value


def deleting(value: Any) -> Any:
    del value
    return GONE


def adding_text(text: str) -> Effect:
    return lambda value: text if value is GONE else value + text


def patching(what: str, item: Any) -> tuple[list[dict[str, Any]], Effect]:
    """A patch, and what it means."""
    path = {"add": "/steps/-", "remove": "/steps/0"}.get(what, "/count")
    operations = [{"op": what, "path": path, "value": item}]
    if what == "remove":
        del operations[0]["value"]

    def effect(value: Any) -> Any:
        if value is GONE:
            raise Refused(NotFoundError)
        if not isinstance(value, dict) or "steps" not in value or what == "test":
            raise Refused(PatchFailedError)
        if what == "replace":
            value["count"] = item
        elif what == "add":
            value["steps"].append(item)
        elif value["steps"]:
            del value["steps"][0]
        else:
            raise Refused(PatchFailedError)
        return value

    return operations, effect


def counting(value: Any) -> Any:
    """One more, of what is counted."""
    if isinstance(value, dict) and "count" in value:
        return {**value, "count": value["count"] + 1}
    return {"steps": [], "count": 0}


def empty(user: str) -> dict[str, Any]:
    return {"user": user, "turns": [], "metadata": {}, "seed": None}


def appending(messages: list[list[str]], user: str | None) -> Effect:
    """Messages at the end of a session, which begins with them if it has an owner."""

    def effect(value: Any) -> Any:
        if value is GONE and user is None:
            raise Refused(NotFoundError)
        session = empty(user or "") if value is GONE else value
        check_owner(session, user)
        return {**session, "turns": session["turns"] + messages}

    return effect


def check_owner(session: Any, user: str | None) -> None:
    if user not in (None, session["user"]):
        raise Refused(OwnershipError)


def getting(user: str, *, allow: bool) -> Effect:
    """A session that is made unless it is there."""

    def effect(value: Any) -> Any:
        if value is GONE:
            return empty(user)
        if not allow:
            check_owner(value, user)
        return value

    return effect


def forking(source: DocumentId, entry: Entry, at: Any, user: str | None) -> Effect:
    """A new session of the beginning of another one."""
    if entry.value is GONE:
        raise Refused(NotFoundError)
    turns = entry.value["turns"]
    count = at if isinstance(at, int) else len(turns)
    if count > len(turns):
        raise Refused(InvalidValueError)
    origin = {"session_id": source.name, "messages": count, "version": entry.version}
    fork = {
        **entry.value,
        "user": user or entry.value["user"],
        "turns": turns[:count],
        "metadata": {**entry.value["metadata"], "forked_from": origin},
    }

    def effect(value: Any) -> Any:
        if value is not GONE:
            raise Refused(AlreadyExistsError)
        return fork

    return effect


@dataclass
class Work:
    """A session that somebody has loaded and works on.

    Attributes:
        base: what was loaded; `GONE` if it was made anew.
        user: whose it is.
        added: messages.
        removed: the turns that were taken back, last first.
        fields: what was set in its metadata.
    """

    base: Any
    user: str
    added: list[list[str]] = field(default_factory=list)
    removed: list[list[str]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def merged(self, *, create: bool) -> Effect:
        """What saving it means, on top of what others have saved meanwhile."""

        def effect(value: Any) -> Any:
            if value is GONE:
                if self.base is not GONE:
                    raise Refused(ConflictError)
                if not create:
                    raise Refused(NotFoundError)
                value = empty(self.user)
            check_owner(value, self.user)
            for turn in self.removed:
                if value["turns"][-1:] != [turn]:
                    raise Refused(ConflictError)
                value["turns"].pop()
            before = {} if self.base is GONE else self.base["metadata"]
            for key, item in self.fields.items():
                now = value["metadata"].get(key)
                if self.base is not GONE and now not in (before.get(key), item):
                    raise Refused(ConflictError)
                value["metadata"][key] = item
            value["turns"] += self.added
            return value

        return effect
