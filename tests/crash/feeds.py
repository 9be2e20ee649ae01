"""What the change feed must tell, whatever happened."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from plainstate.types import ABSENT, Change, DocumentId, is_public

if TYPE_CHECKING:
    from harness import Run

    from plainstate.engines.file.engine import FileEngine


def all_changes(engine: FileEngine, since: str | None = None) -> list[Change]:
    """Everything behind a cursor, in small pages."""
    found: list[Change] = []
    while len(page := engine.changes(since, limit=3)):
        found += page.changes
        since = page.cursor
    return found


def by_document(changes: list[Change]) -> dict[DocumentId, list[Change]]:
    found = defaultdict(list)
    for change in changes:
        found[change.document].append(change)
    return found


def check_feed(
    run: Run, engine: FileEngine, *, strict: bool = False, seen: list[Change] | None = None
) -> None:
    """The feed tells every commit, invents none, and ends with what is.

    After a power cut it may lack some; what is comes out by a look at the documents.

    Args:
        run: what was done, and all of it is settled.
        engine: reads the feed.
        strict: the lines of a document stand in the order of its commits.
        seen: what a follower had read before, who goes on from there; all of it otherwise.
    """
    documents = [document for document in run.documents if is_public(document)]
    seen = list(seen or [])
    seen += all_changes(engine, seen[-1].cursor if seen else None)
    if run.edited or run.feed_lost:
        for document in documents:
            lines = by_document(seen)[document]
            assert engine.notice(document, (lines[-1].version or ABSENT) if lines else ABSENT)
        seen += all_changes(engine, seen[-1].cursor if seen else None)
    told = by_document(seen)
    assert set(told) <= set(documents), "a document that there never was"
    for document in documents:
        _check_document(run, engine, document, told[document], strict=strict)
    if not run.feed_lost:
        ids = {tx_id for tx_id, document in run.acknowledged.items() if is_public(document)}
        missing = ids - {change.tx_id for change in seen}
        # an edit by hand right behind a kill takes the id along
        assert run.edited or not missing, f"not told: {missing}"


def _check_document(
    run: Run, engine: FileEngine, document: DocumentId, lines: list[Change], *, strict: bool
) -> None:
    state = engine.read(document)
    if state is None:
        assert not lines or lines[-1].version is None, f"{document}: its end was not told"
    else:
        assert lines, f"{document} was never told"
        now = (state.seq, state.version)
        newest = (lines[-1].seq, lines[-1].version)
        assert newest == now, f"{document}: the feed ends with {newest}, not {now}"
    commits = {one[1:] for one in run.commits if one[0] == document}
    committed = commits | {(state.seq, state.version)} if state else commits
    known = _remembered(engine, document)
    told = {(line.seq, line.version) for line in lines}
    # what an edit made, or a write of which nobody knew whether it did, has no id
    nameless = run.edited or any("(unknown)" in said for said in run.said)
    nameless = nameless or not all(map(is_public, run.documents))  # moved by way of the trash
    for line in lines:
        true = (line.seq, line.version) in committed or line.version is None
        true = true or known.get(line.tx_id) == line.version
        assert true or (nameless and not line.tx_id), f"{document}: {line} was never committed"
    if not run.feed_lost:
        missing = {one for one in commits if one not in told and (one[0], None) not in told}
        assert not missing, f"{document}: {missing} not told"
    if strict:
        before: set[int] = set()
        for line in lines:
            assert line.seq in before or line.seq > max(before, default=0), (
                f"{document}: told as {[one.seq for one in lines]}"
            )
            before.add(line.seq)


def _remembered(engine: FileEngine, document: DocumentId) -> dict[str, str | None]:
    """The ids that the document remembers, each with the version it made."""
    with engine.lock(document) as locked:
        assert locked.head
        return dict(engine._access.entries._entries[document].file.recent)
