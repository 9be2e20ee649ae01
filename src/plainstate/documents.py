"""The store's methods for documents: Markdown texts and JSON trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from plainstate.core import codec, convert, names, patch, pointer
from plainstate.core.summary import is_session
from plainstate.engines.past import state_at
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    InvalidNameError,
    InvalidPatchError,
    InvalidValueError,
    NotFoundError,
    UsageError,
)
from plainstate.stored import check_patched, check_stored
from plainstate.transaction import DocumentTransaction
from plainstate.types import Commit, Document, DocumentId

if TYPE_CHECKING:
    from plainstate.engines.base import Engine
    from plainstate.types import Durability, Head, Json, Kind, Patch, PatchMaker, Side, State

__all__ = ["DocumentMethods", "document_id", "no_document", "with_past"]

T = TypeVar("T")

_KINDS: tuple[Kind, ...] = ("json", "markdown")


class DocumentMethods:
    """Documents: whole saves, patches, transactions, appended notes."""

    _engine: Engine

    def save_markdown(
        self,
        category: str,
        name: str,
        text: str,
        *,
        if_version: str | None = None,
        tx_id: str | None = None,
    ) -> Commit:
        """Saves a Markdown document, `<category>/<name>.md`, byte for byte.

        Args:
            category: folder, may be nested: `a/b/c`.
            name: file name without suffix.
            text: the whole text.
            if_version: refuse unless this is the current version; "absent" only creates.
            tx_id: makes a retry safe: one id for each call, the same at each try.

        Raises:
            ConflictError: `if_version` is not current.

        Cost: a temporary file, two to four syncs and a rename, whatever `durability` says; see
            `docs/durability.md`.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_markdown("notes", "plan", "# Plan")
            ...     store.load_markdown("notes", "plan")
            '# Plan'
        """
        document = document_id(category, name, "markdown")
        return self._engine.replace(
            document, _text(text), tx_id=_tx_id(tx_id), expected=_version(if_version)
        )

    def load_markdown(self, category: str, name: str) -> str | None:
        """Loads a Markdown document; `None` if there is none.

        Raises:
            DamagedError: the file is not UTF-8.
        """
        state = self._engine.read(document_id(category, name, "markdown"))
        return None if state is None else str(state.value)

    def append_markdown(
        self,
        category: str,
        name: str,
        text: str,
        *,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Appends to a Markdown document, creating it where it is absent.

        Nothing is added: end your lines yourself.  The text is in the journal at
        once and in the `.md` file with the next fold.

        Cost: one fdatasync, at any length.
        """
        added = _text(text)

        def change(head: Head) -> Patch:
            return [{"op": "add", "path": "" if head.version is None else "/-", "value": added}]

        document = document_id(category, name, "markdown")
        return self._engine.append(
            document, change, tx_id=_tx_id(tx_id), durability=names.check_durability(durability)
        )

    def save_json(
        self,
        category: str,
        name: str,
        value: Any,
        *,
        if_version: str | None = None,
        tx_id: str | None = None,
    ) -> Commit:
        """Saves a JSON document, `<category>/<name>.json`, as a whole.

        Args:
            category: folder, may be nested.
            name: file name without suffix.
            value: plain JSON, or a dataclass, attrs, msgspec or pydantic object.
            if_version: refuse unless this is the current version; "absent" only creates.
            tx_id: makes a retry safe: one id for each call, the same at each try.

        Raises:
            InvalidValueError: it is not exact JSON (NaN, a lone surrogate, …), or no session,
                in the category `sessions`.
            ValueTooLargeError: it is over the store's `max_write_bytes`.
            ConflictError: `if_version` is not current.

        Cost: as `save_markdown`.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", {"steps": ["read", "write"]})
            ...     store.load_json("plans", "today")
            {'steps': ['read', 'write']}
        """
        document = document_id(category, name, "json")
        tree, text = convert.to_tree_and_text(value)
        check_stored(document, tree)
        return self._engine.replace(
            document, tree, text=text, tx_id=_tx_id(tx_id), expected=_version(if_version)
        )

    @overload
    def load_json(self, category: str, name: str) -> Json | None: ...
    @overload
    def load_json(self, category: str, name: str, type: type[T]) -> T | None: ...
    def load_json(self, category: str, name: str, type: type[T] | None = None) -> Json | T | None:
        """Loads a JSON document; `None` if there is none.

        Args:
            category: folder.
            name: file name without suffix.
            type: gives a typed value instead of a plain tree.

        Raises:
            DamagedError: the file or its journal cannot be read.
            EditConflictError: it was edited by hand in a way that needs a decision.
            InvalidValueError: the document does not fit `type`.
        """
        state = self._engine.read(document_id(category, name, "json"))
        if state is None:
            return None
        return state.value if type is None else convert.from_tree(state.value, type)

    def read(
        self,
        category: str,
        name: str,
        *,
        kind: Kind | None = None,
        at: int | str | None = None,
    ) -> Document | None:
        """Loads a document together with its version, to be passed as `if_version=`.

        Args:
            category: folder.
            name: file name without suffix.
            kind: which one; needed only where there are both.
            at: an earlier state: the number or version of the transaction that made it.

        Raises:
            UsageError: there are both a `.md` and a `.json`, and `kind` does not choose.
            NotFoundError: the state at `at` is not kept, see `docs/history.md`.
        """
        if at is None:
            state = self._read_one(category, name, kind, salvage=False)
        else:
            state = state_at(self._engine, with_past(self._engine, category, name, kind), at)
        return None if state is None else Document(state.value, state.version)

    def patch(
        self,
        category: str,
        name: str,
        ops: Patch,
        *,
        if_version: str | None = None,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Commit:
        """Changes parts of a JSON document: a JSON Patch (RFC 6902), as one transaction.

        Args:
            category: folder.
            name: file name without suffix.
            ops: the operations, e.g. `[{"op": "replace", "path": "/done", "value": True}]`.
            if_version: refuse unless this is the current version; "absent" only creates.
            tx_id: makes a retry safe: one id for each call, the same at each try.
            durability: as the store's, for this call.

        Raises:
            InvalidPatchError: the patch is malformed.
            PatchFailedError: it does not fit the document, or a `test` failed.
            InvalidValueError: it would leave no session, in the category `sessions`.
            NotFoundError: there is no document.
            ConflictError: `if_version` is not current.

        Cost: one fdatasync, and a load of the document.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     _ = store.save_json("plans", "today", {"steps": []})
            ...     _ = store.patch(
            ...         "plans", "today", [{"op": "add", "path": "/steps/-", "value": "read"}]
            ...     )
            ...     store.load_json("plans", "today")
            {'steps': ['read']}
        """
        document = document_id(category, name, "json")
        return self._engine.append(
            document,
            _patching(document, _checked_patch(ops), self._engine.max_write_bytes),
            tx_id=_tx_id(tx_id),
            expected=_version(if_version),
            durability=names.check_durability(durability),
        )

    def transaction(
        self, category: str, name: str, *, tx_id: str | None = None
    ) -> DocumentTransaction:
        """Reads, changes and commits a JSON document under its lock.

        Use it in `with`: change `value` in place or assign it.  Leaving the block commits
        the difference as one transaction; an exception commits nothing.

        Raises:
            LockTimeoutError: another writer held the document for too long.
            InvalidValueError: on leaving, as `save_json`; then nothing is committed.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     for _ in range(3):
            ...         with store.transaction("counters", "visits") as doc:
            ...             doc.value = (doc.value or 0) + 1
            ...     store.load_json("counters", "visits")
            3
        """
        return DocumentTransaction(self._engine, document_id(category, name, "json"), _tx_id(tx_id))

    def exists(self, category: str, name: str, *, kind: Kind | None = None) -> bool:
        """Whether a document is there, damaged or not; of any kind, if none is given."""
        return bool(self._present(category, name, kind))

    def delete_file(
        self,
        category: str,
        name: str,
        *,
        kind: Kind | None = None,
        if_version: str | None = None,
        tx_id: str | None = None,
    ) -> bool:
        """Deletes a document; `False` if there is none.

        Raises:
            UsageError: there are both a `.md` and a `.json`, and `kind` does not choose.
        """
        known, expected = _tx_id(tx_id), _version(if_version)
        present = self._the_one(category, name, kind)
        if present is None and known is None and expected is None:
            return False
        kinds = (kind,) if kind else _KINDS
        # of an absent document, too: a retry finds the delete by its id
        ids = [present] if present else [document_id(category, name, one) for one in kinds]
        done = [self._engine.delete(one, tx_id=known, expected=expected) for one in ids]
        return any(commit is not None for commit in done)

    def rename(
        self,
        category: str,
        name: str,
        new_name: str,
        *,
        new_category: str | None = None,
        kind: Kind | None = None,
    ) -> Commit:
        """Renames a document, or moves it to another category.

        Raises:
            NotFoundError: there is no such document.
            AlreadyExistsError: the new name is taken.
            InvalidValueError: it is no session, and the new category is `sessions`.
            ConflictError: it was changed while that was looked at.
            UsageError: as in `delete_file`.
        """
        document = self._the_one(category, name, kind)
        place = category if new_category is None else new_category
        target = document_id(place, new_name, "json")
        if document is None:
            raise no_document(category, name)
        moved = DocumentId(target.category, target.name, document.kind)
        version = None
        if is_session(moved) and not is_session(document):
            state = self._engine.read(document)
            if state is not None:
                check_stored(moved, state.value)
                version = state.version
        return self._engine.rename(document, moved, expected=version)

    def salvage(self, category: str, name: str, *, kind: Kind | None = None) -> Json | None:
        """Reads what is intact of a damaged document: its state before the damaged line.

        Writes nothing.  `None` if there is no document.

        Raises:
            DamagedError: the plain file itself is not readable.
        """
        state = self._read_one(category, name, kind, salvage=True)
        return None if state is None else state.value

    def resolve(self, category: str, name: str, *, take: Side, kind: Kind | None = None) -> Commit:
        """Settles an `EditConflictError`: which side counts is your decision.

        Args:
            category: folder.
            name: file name without suffix.
            take: "file": the edited file counts, and the waiting transactions are set aside;
                "journal": they are applied to the edited file, as far as they still fit, and
                overrule it; the edited file is set aside.  Where the file is gone they have
                nothing to apply to: only "file" is left.
            kind: which document; needed only where there are both.

        What is set aside lies in `.plainstate/quarantine/`.

        Raises:
            NotFoundError: there is no document.
            UsageError: there is nothing to resolve.
            EditConflictError: the file is gone, and `take="journal"`.
        """
        if take not in ("file", "journal"):
            raise UsageError(f"cannot take {take!r}", hint="take='file' or take='journal'.")
        document = self._the_one(category, name, kind)
        if document is None:
            raise no_document(category, name)
        with self._engine.lock(document) as locked:
            return locked.resolve(take)

    def _read_one(
        self, category: str, name: str, kind: Kind | None, *, salvage: bool
    ) -> State | None:
        kinds = _KINDS if kind is None else (kind,)
        ids = [document_id(category, name, one) for one in kinds]
        states = [self._engine.read(one, salvage=salvage) for one in ids]
        found = [state for state in states if state is not None]
        if len(found) > 1:
            raise _ambiguous(category, name)
        return found[0] if found else None

    def _the_one(self, category: str, name: str, kind: Kind | None) -> DocumentId | None:
        present = self._present(category, name, kind)
        if len(present) > 1:
            raise _ambiguous(category, name)
        return present[0] if present else None

    def _present(self, category: str, name: str, kind: Kind | None) -> list[DocumentId]:
        kinds = _KINDS if kind is None else (kind,)
        wanted = [document_id(category, name, one) for one in kinds]
        return [document for document in wanted if _is_there(self._engine, document)]


def document_id(category: str, name: str, kind: Kind) -> DocumentId:
    """Validates a document's name; the one place where every call passes.

    Raises:
        InvalidNameError: category, name or kind is not valid.
    """
    if kind not in _KINDS:
        raise InvalidNameError(
            f"unknown kind {kind!r}", hint="Use 'json' or 'markdown'.", name=str(kind)
        )
    plain = type(category) is str
    check = names.check_plain_category if plain else names.check_category
    return DocumentId(check(category), names.check_name(name), kind)


def with_past(engine: Engine, category: str, name: str, kind: Kind | None) -> DocumentId:
    """The document of a name that is there or was there, as far as its past is kept.

    Raises:
        UsageError: a `.md` and a `.json` fit, and `kind` does not choose.
    """
    ids = [document_id(category, name, one) for one in ((kind,) if kind else _KINDS)]
    if kind is None:
        living = [one for one in ids if _is_there(engine, one)]
        ids = living or [one for one in ids if engine.since(one, None)] or ids[:1]
    if len(ids) > 1:
        raise _ambiguous(category, name)
    return ids[0]


def _is_there(engine: Engine, document: DocumentId) -> bool:
    try:
        return engine.read(document) is not None
    except (DamagedError, EditConflictError):
        return True  # what cannot be read is not absent


def _patching(document: DocumentId, operations: Patch, limit_bytes: int) -> PatchMaker:
    def change(head: Head) -> Patch:
        if head.version is None:
            raise NotFoundError(
                f"no document {document}",
                hint="Create it with save_json first; a Markdown text is not patched.",
                document=str(document),
            )
        value = head.value()  # so that the engine checks the patch against it
        check_patched(document, value, operations, limit_bytes)
        return operations

    return change


def no_document(category: str, name: str) -> NotFoundError:
    """The error for a document that is not there."""
    return NotFoundError(
        f"no document {category}/{name}",
        hint="See list_category.",
        document=f"{category}/{name}",
    )


def _ambiguous(category: str, name: str) -> UsageError:
    return UsageError(
        f"{category}/{name} is both a .json and a .md document",
        hint="Say which one: kind='json' or kind='markdown'.",
    )


def _checked_patch(ops: Patch) -> Patch:
    patch.validate(ops)
    checked = []
    for index, op in enumerate(ops):
        if op["op"] == "remove" and op["path"] == "":
            raise InvalidPatchError(
                f"operation {index} would remove the whole document",
                hint="Use delete_file.",
                op_index=index,
                pointer="",
            )
        members: dict[str, Json] = {
            key: codec.check(op[key]) for key in ("op", "path", "from") if key in op
        }
        if "value" in op and op["op"] in ("add", "replace", "test"):
            members["value"] = convert.to_tree(op["value"], depth=len(pointer.parse(op["path"])))
        checked.append(members)
    return checked


def _tx_id(tx_id: str | None) -> str | None:
    return None if tx_id is None else names.check_tx_id(tx_id)


def _version(version: str | None) -> str | None:
    if version is not None and not isinstance(version, str):
        raise InvalidValueError(
            f"if_version must be a version as read() gives it, not {version!r}",
            hint="Pass Document.version or Commit.version.",
            pointer="",
        )
    return version


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidValueError(
            f"a Markdown document is text, not {type(text).__name__}",
            hint="Decode it first, or use save_json.",
            pointer="",
        )
    return str(codec.check(text))
