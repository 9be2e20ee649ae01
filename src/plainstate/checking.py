"""The store's methods for finding damage, and for mending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from plainstate.core.feed import Cursor
from plainstate.core.findings import finding, in_order
from plainstate.core.summary import is_session
from plainstate.engines.base import OnFiles
from plainstate.errors import PlainstateError
from plainstate.retention import time_of_run
from plainstate.stored import describe
from plainstate.types import FOLLOWERS, TRASH, DocumentId, Finding, Looked, State
from plainstate.watching import follower_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from plainstate.engines.base import Engine
    from plainstate.index import Index

    Progress: TypeAlias = Callable[[int, int], None] | None

__all__ = ["CheckMethods", "CheckReport", "Mended", "RepairReport", "check_files"]


class CheckReport(Struct, frozen=True):
    """What a check found.

    Attributes:
        findings: the worst first, then by file and line.
        documents: how many documents were looked at, the store's own included.
    """

    findings: list[Finding]
    documents: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is worse than a note."""
        return all(one.severity == "note" for one in self.findings)


class Mended(Struct, frozen=True):
    """A finding that `repair` mended, or would mend.

    Attributes:
        finding: what was found.
        action: what is done about it, as an order: "write it anew".
    """

    finding: Finding
    action: str


class RepairReport(Struct, frozen=True):
    """What `repair` did, or would do.

    Attributes:
        mended: what was mended, in order.
        left: what is worse than a note and needs somebody to decide.
        dry_run: nothing was done.
    """

    mended: list[Mended]
    left: list[Finding]
    dry_run: bool


class CheckMethods:
    """Finding damage, and mending what can be mended."""

    _engine: Engine
    _index: Index

    def check(self, *, progress: Callable[[int, int], None] | None = None) -> CheckReport:
        """Looks for every kind of damage, in every file.  `docs/check.md` lists them.

        It takes no locks and writes nothing, and others may go on writing.  `check_store` does
        the same for a store that cannot be opened.

        Args:
            progress: is told now and then how many documents are looked at, and of how many.

        Cost: a read of every file.

        Example:
            >>> import pathlib, tempfile
            >>> from plainstate import open_store
            >>> with tempfile.TemporaryDirectory() as folder, open_store(folder) as store:
            ...     path = pathlib.Path(folder, "sessions", "s-1.json")
            ...     path.parent.mkdir()
            ...     _ = path.write_text('{"id": "s-1"}')
            ...     for found in store.check().findings:
            ...         print(found.code, found.path)
            session-damaged sessions/s-1.json
        """
        engine = self._engine
        if not isinstance(engine, OnFiles):
            items = _read_all(engine, progress)
            return _report(_inspected(items, lambda one: engine.read(one) is not None))
        return _report(_on_files(engine.check, self._index.folder, progress))

    def repair(
        self,
        *,
        cut: bool = False,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> RepairReport:
        """Mends what `check` finds, as far as nobody has to decide anything.

        Documents that are fine are not touched.  What is removed or replaced is first kept in
        `.plainstate/quarantine/`; only of the index, which is derived, nothing is.  It may be
        interrupted at any moment and repeated, and others may go on writing.

        Args:
            cut: also cut damaged journals back to their intact lines, and set aside journals
                that another document misses: transactions are given up that were acknowledged.
                And accept documents that lost some of those that the change feed told of.
            dry_run: only tell what would be done.
            progress: as in `check`.

        Raises:
            StorageError, LockTimeoutError: it could not go on; what it did stands.

        Cost: a check, and some syncs for each thing that is mended.

        Example:
            >>> from plainstate import open_store
            >>> with open_store("memory:") as store:
            ...     store.repair().mended
            []
        """
        found = self.check(progress=progress).findings
        found.sort(key=lambda one: one.code == "writer-dead")  # temporary files first
        mended, left = [], []
        for one in found:
            action = self._mend(one, cut=cut, dry_run=dry_run)
            if action:
                mended.append(Mended(one, action))
            elif one.severity != "note":
                left.append(one)
        return RepairReport(mended, left, dry_run)

    def _mend(self, found: Finding, *, cut: bool, dry_run: bool) -> str:
        """What was done about a finding, "" for nothing."""
        folder = self._index.folder
        if found.code in ("index-damaged", "index-wrong", "index-leftover") and folder:
            if not dry_run:
                from plainstate.index.checking import discard  # sqlite3 is not light

                if not discard(folder, found):
                    return ""
            return "remove it: it is made anew from the documents"
        if isinstance(self._engine, OnFiles):
            return self._engine.mend(found, cut=cut, dry_run=dry_run)
        return ""


def check_files(place: str, progress: Callable[[int, int], None] | None) -> CheckReport:
    """What `StateStore.check` finds in a folder that nobody has opened."""
    from plainstate.engines.file.checking import check_folder  # not needed for memory

    return _report(_on_files(check_folder(place), f"{place}/.plainstate", progress))


def _report(items: Iterable[Finding | Looked]) -> CheckReport:
    findings: dict[Finding, None] = {}  # a folder that cannot be entered is met again and again
    documents = 0
    for one in items:
        if isinstance(one, Finding):
            findings[one] = None
        else:
            documents += 1
    return CheckReport(in_order(list(findings)), documents)


def _on_files(
    check: Callable[..., Iterator[Finding | Looked]], folder: str | None, progress: Progress
) -> Iterator[Finding | Looked]:
    """A check of files, with what their values and the index tell."""
    from plainstate.index.checking import IndexCheck  # sqlite3 is not light

    def look(document: DocumentId) -> Looked:
        return next(one for one in check(document) if isinstance(one, Looked))

    def exists(document: DocumentId) -> bool:
        found = (one for one in check(document) if isinstance(one, Looked))
        return any(one.state is not None for one in found)

    index = IndexCheck(folder or "", look)
    yield from index.begin()
    for one in _inspected(check(progress=progress), exists):
        if isinstance(one, Looked):
            index.compare(one)
        yield one
    yield from index.end()


def _read_all(engine: Engine, progress: Progress) -> Iterator[Finding | Looked]:
    """Every document of an engine that has no files."""
    documents = list(engine.documents())
    for number, (document, stamp) in enumerate(documents, 1):
        yield Looked(document, stamp, engine.read(document), readable=True)
        if progress is not None:
            progress(number, len(documents))


def _inspected(
    items: Iterable[Finding | Looked], exists: Callable[[DocumentId], bool]
) -> Iterator[Finding | Looked]:
    """Adds what the values of sessions, followers and the trash say."""
    runs: set[str] = set()
    used: dict[str, DocumentId] = {}
    for one in items:
        yield one
        if not isinstance(one, Looked):
            continue
        category = one.document.category
        if category == TRASH:
            runs.add(one.document.name)
        elif category.startswith(f"{TRASH}/"):
            used.setdefault(category.removeprefix(f"{TRASH}/"), one.document)
        if one.state is not None:
            yield from _meaning(one.document, one.state)
    for run, document in sorted(used.items()):
        manifest = DocumentId(TRASH, run, "json")
        # sessions may have been moved, or the trash emptied, since the one or the other was read
        if run not in runs and not exists(manifest) and exists(document):
            path = f"{TRASH}/{run}"
            text = f"{path}: nothing tells of these sessions, so the trash does not show them"
            yield finding("trash-orphaned", text, document=document, path=path)


def _meaning(document: DocumentId, state: State) -> Iterator[Finding]:
    """What is wrong with a value that can be read."""
    path = f"{document}.json"
    in_trash = document.category.startswith(f"{TRASH}/")
    code = "session-damaged"
    try:
        if is_session(document) or (in_trash and document.kind == "json"):
            named = state.value.get("id") if isinstance(state.value, dict) else None
            describe(document, state)
            if named != document.name:
                text = f"{path} says that it is session {named!r}"
                yield finding("session-id", text, document=document, path=path)
        elif document.category == FOLLOWERS:
            code = "follower-damaged"
            Cursor.parse(follower_of(document, state).cursor)
        elif document.category == TRASH:
            code = "trash-damaged"
            time_of_run(document, state.value)
    except PlainstateError as error:
        yield finding(code, str(error), document=document, path=path)
