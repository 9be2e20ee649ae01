"""The small value types that every layer shares."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "ABSENT",
    "FOLLOWERS",
    "LATEST",
    "SYSTEM",
    "SYSTEM_CATEGORIES",
    "TRASH",
    "Action",
    "Change",
    "ChangePage",
    "Commit",
    "Document",
    "DocumentId",
    "Durability",
    "Files",
    "Finding",
    "Head",
    "Json",
    "Kind",
    "Looked",
    "News",
    "Patch",
    "PatchMaker",
    "Place",
    "SearchHit",
    "Severity",
    "Side",
    "State",
    "Transaction",
    "action_of",
    "is_public",
]

Json: TypeAlias = Any
"""A JSON tree: dict with str keys, list, str, int, float, bool or None."""

Patch: TypeAlias = list[dict[str, Any]]
"""A JSON Patch (RFC 6902): a list of operations."""

Kind: TypeAlias = Literal["json", "markdown"]
"""What a document is: a JSON tree or a Markdown text."""

Durability: TypeAlias = Literal["commit", "periodic", "os"]
"""When a write is acknowledged: see `docs/durability.md`."""


Side: TypeAlias = Literal["file", "journal"]
"""What to take where an edited file and waiting transactions conflict."""


Severity: TypeAlias = Literal["damage", "problem", "note"]
"""How bad a finding is: "damage": something stored cannot be read, or not as what it was;
"problem": something does not work, or needs a decision; "note": good to know."""


Action: TypeAlias = Literal["create", "update", "delete", "edit"]
"""What a change did to its document; "edit" is one that was made behind the store's back."""


ABSENT: Final = "absent"
"""As `if_version=`: the document must not exist yet."""

LATEST: Final = "latest"
"""As `since=`: only what comes from now on."""

SYSTEM: Final = ".plainstate"
"""Documents whose category begins with it are the store's own: no list shows them."""


FOLLOWERS: Final = f"{SYSTEM}/followers"
"""The category of the documents that say how far each follower of the feed has come."""

TRASH: Final = f"{SYSTEM}/trash"
"""The category of the documents that tell of each run of pruning; the sessions that a run moved are
in a category of its own below."""

SYSTEM_CATEGORIES: Final = (FOLLOWERS, TRASH)
"""Where the store's own documents are."""


class DocumentId(Struct, frozen=True, order=True):
    """Names one document; `category` and `name` are already validated."""

    category: str
    name: str
    kind: Kind = "json"

    def __str__(self) -> str:
        return f"{self.category}/{self.name}"


def is_public(document: DocumentId) -> bool:
    """Whether it is a document of the caller's, not one of the store's own."""
    return not document.category.startswith(SYSTEM)


def action_of(*, existed: bool, exists: bool) -> Action:
    """What a commit did, by whether its document was there before and is there now."""
    if not exists:
        return "delete"
    return "update" if existed else "create"


class Commit(Struct, frozen=True):
    """What a write reports once it is acknowledged.

    Attributes:
        seq: position in the document's order of transactions, from 1.
        version: the version after it, opaque.
        tx_id: the transaction's id.
        duplicate: the id was committed before, so nothing was stored: at the first try of a call
            the sign of an id that another call has used.
    """

    seq: int
    version: str
    tx_id: str
    duplicate: bool = False


class Place(Protocol):
    """How far a document was read, as far as its engine can go on from there."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the files that were read."""

    def news(self) -> News | None:
        """What was committed since then; `None`: only reading anew can tell."""


class News(Struct, frozen=True):
    """What was committed to a document since it was read."""

    patches: list[Patch]
    seq: int
    version: str
    place: Place


class State(Struct, frozen=True):
    """A document as an engine reads it.

    Attributes:
        value: the caller's own copy.
        seq: number of its last transaction.
        version: its version.
        place: for reading on, where the engine can; two states may be equal without it.
    """

    value: Json
    seq: int
    version: str
    place: Place | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and (self.value, self.seq, self.version) == (
            other.value,
            other.seq,
            other.version,
        )

    __hash__ = None  # type: ignore[assignment]  # as of its value


class Document(Struct, frozen=True):
    """A document as `StateStore.read` gives it.

    Attributes:
        value: JSON tree, or text of a Markdown document.
        version: pass it as `if_version=` to refuse overwriting newer work.
    """

    value: Json
    version: str


class Transaction(Struct, frozen=True):
    """One committed transaction of a document.

    Attributes:
        seq: its position, from 1.
        tx_id: its id.
        time: when it was committed, RFC 3339 in UTC.
        patch: what it changed; the whole value, where only the state after it is known; empty
            for a rename.
        version: the version after it, `None` where the document is absent then.
        action: what it did, `None` where only the state after it is known.
    """

    seq: int
    tx_id: str
    time: str
    patch: Patch
    version: str | None = None
    action: Action | None = None


class Change(Struct, frozen=True):
    """One commit, as the change feed tells of it.

    Attributes:
        cursor: the place in the feed right behind it: pass it as `since=` to go on from there.
        document: what was changed.
        action: "create", "update" or "delete"; "edit": behind the store's back, with an
            editor or git, whatever it did.
        seq: the transaction's number in its document, from 1.
        version: the version after it, `None` where the document is absent then.
        tx_id: the transaction's id, "" for an edit.
        time: when, RFC 3339 in UTC; of an edit, when it was noticed.
        summary: of a session: `user_id`, `users`, `agents`, `updated_at`, … (`core/summary.py`).
        moved: of a rename, the other name: where a deleted document went, or where a created
            one came from.
    """

    cursor: str
    document: DocumentId
    action: Action
    seq: int
    version: str | None
    tx_id: str
    time: str
    summary: dict[str, Json] | None = None
    moved: DocumentId | None = None


class ChangePage(Struct, frozen=True):
    """A part of the change feed.

    Attributes:
        changes: in the order of the feed.
        cursor: the place behind them, also if there are none.
        gap: some lines could not be read, as after a power cut: what they told must be found out
            from the documents.
        edits_missed: so much happened at once that the system did not tell all of it: only a look
            at every document finds out whether one was edited by hand.
    """

    changes: list[Change]
    cursor: str
    gap: bool = False
    edits_missed: bool = False

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)


class SearchHit(Struct, frozen=True):
    """A text that a search found: a message, or a passage of a document.

    Attributes:
        document: where it is.
        role: "user" or "agent" where it is a message, else `None`.
        position: index of the message in its array, or of the passage in its document, from 0.
        snippet: the part of it where the words are, each between « and ».
        score: how well it fits; comparable only within one search.
        timestamp: when the message was said.
        title: of the session, if it has one.
    """

    document: DocumentId
    role: str | None
    position: int
    snippet: str
    score: float
    timestamp: datetime | None = None
    title: str | None = None

    @property
    def session_id(self) -> str | None:
        """The session it is in; `None` in another document."""
        is_session = self.document.category == "sessions" and self.document.kind == "json"
        return self.document.name if is_session else None


class Files(Struct, frozen=True):
    """What a store of files holds on disk; sizes in bytes.

    Attributes:
        categories: size of each category: plain files and journals.
        journals: documents with transactions that wait to be folded.
        journal_bytes: size of those journals; it is part of `categories`.
        head_bytes: what is remembered of documents at rest.
        history_bytes: earlier states that are kept.
        quarantined: files with bytes that were set aside.
        quarantine_bytes: their size.
        trash_bytes: size of the sessions in the trash.
        feed_segments: files of the change feed.
        feed_bytes: their size.
        behind: for each named follower, how much of the feed it has not seen; `None` if some of
            that is no longer kept.
        index_bytes: size of the index.
        writers: handles that write now, of all processes.
        dead_writers: handles that ended without being closed, and were not looked after yet.
    """

    categories: dict[str, int]
    journals: int
    journal_bytes: int
    head_bytes: int
    history_bytes: int
    quarantined: int
    quarantine_bytes: int
    trash_bytes: int
    feed_segments: int
    feed_bytes: int
    behind: dict[str, int | None]
    index_bytes: int
    writers: int
    dead_writers: int


class Finding(Struct, frozen=True):
    """One thing that a check found.

    Attributes:
        code: what it is, a stable name; `docs/check.md` lists them.
        severity: how bad it is.
        document: which one it is about, `None` where that is none.
        path: the file or folder, relative to the store; "" for the store itself.
        line: its line, from 1; 0 where that does not apply.
        message: what was found, one sentence.
        remedy: what to do about it.
    """

    code: str
    severity: Severity
    document: DocumentId | None
    path: str
    line: int
    message: str
    remedy: str


class Looked(Struct, frozen=True):
    """A document that a check has read.

    Attributes:
        document: which one; also the store's own.
        stamp: the engine's, as it was before the document was read.
        state: what was read, `None` if it is absent or cannot be read.
        readable: whether it can be read.
        told: this state is the one that the change feed told last: an index learns it there.
    """

    document: DocumentId
    stamp: str
    state: State | None
    readable: bool
    told: bool = False


class Head(Protocol):
    """A document's newest state as a writer sees it under the lock."""

    @property
    def version(self) -> str | None:
        """The current version, `None` where the document is absent."""

    def value(self) -> Json:
        """The whole value, `None` if absent.  Costs a load; do not modify it."""

    def summary(self) -> dict[str, Json] | None:
        """The session's summary, `None` if this is not a session.  Cheap: it
        is carried along from commit to commit (see `core/summary.py`)."""

    def foresee(self, summary: dict[str, Json]) -> None:
        """Takes the summary behind the patch from a change that knows it, and so need not find it
        out from the patch."""


if TYPE_CHECKING:
    PatchMaker: TypeAlias = Callable[[Head], Patch]
    """Makes a patch from the newest state; runs under the document's lock."""
else:
    PatchMaker = Any
