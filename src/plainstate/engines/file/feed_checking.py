"""Checking the change feed: its segments, its lines, and whether the documents are as it told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plainstate.core import feed
from plainstate.core.findings import finding
from plainstate.core.record import number_in
from plainstate.engines.file.disk import META
from plainstate.engines.file.examining import examine, noting
from plainstate.engines.file.feed import Feed
from plainstate.limits import FEED_BYTES
from plainstate.types import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.engines.file.disk import Disk
    from plainstate.engines.file.feed import Segment
    from plainstate.types import Change, DocumentId, Finding

__all__ = ["UNKNOWN", "FeedCheck"]

UNKNOWN: Final = "unknown"
"""The version of a document of which the feed told nothing."""


class FeedCheck:
    """The change feed of one store, as one check looks at it.

    Args:
        disk: the store.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._feed = Feed(disk)
        self._told: dict[int, str | None] = {}  # by hash: names would take ten times as much
        self._suspects: list[DocumentId] = []

    def read(self) -> Iterator[Finding]:
        """Looks at every line; remembers what the newest segments told.

        Memory: some 100 bytes for each document in the newest `FEED_BYTES` of the feed.
        """
        found: list[Finding] = []
        with noting(found, self._disk, f"{META}/feed"):
            is_there = self._disk.check_folder(f"{META}/feed")
            segments = self._feed.segments() if is_there else []
            sizes = [self._size(one) for one in segments]
            if not any(sizes) and self._disk.fs.stat(f"{self._disk.meta}/heads") is not None:
                text = f"{META}/feed holds nothing, although documents were written"
                found.append(finding("feed-gap", text, path=f"{META}/feed"))
            for place, segment in enumerate(segments):
                shown = self._disk.shown(segment.path)
                newest = place + 1 == len(segments)
                if not newest and segments[place + 1].number != segment.number + 1:
                    text = f"{shown}: segments behind it are missing"
                    found.append(finding("feed-gap", text, path=shown))
                if not newest and not segment.full:
                    text = f"{shown} is open, although there are newer segments"
                    found.append(finding("feed-open", text, path=shown))
                with noting(found, self._disk, segment.path):
                    found += self._read_segment(segment, keep=sum(sizes[place:]) <= FEED_BYTES)
        yield from found

    def told_of(self, document: DocumentId) -> str | None:
        """The version told last, `None` of a deletion; each document is asked for once."""
        return self._told.pop(hash(document), UNKNOWN)

    def suspect(self, document: DocumentId) -> None:
        """The document seems to be in another state than was told."""
        self._suspects.append(document)

    def out_of_step(self) -> Iterator[Finding]:
        """The suspects, and those that were told of and never asked for: looked at once more."""
        suspects = [*self._suspects, *self._unseen()]
        told = self._feed.told(suspects).lines if suspects else {}
        for document, lines in told.items():
            seen = examine(self._disk, document)
            version = None if seen.looked.state is None else seen.looked.state.version
            if lines and seen.looked.readable and not seen.by_hand:
                yield from self._differs(document, version, lines[-1][1])

    def _read_segment(self, segment: Segment, *, keep: bool) -> Iterator[Finding]:
        file = self._disk.read_file(segment.path)
        again = self._disk.read_file(segment.path)
        if file is None or again is None:
            return  # it became full meanwhile, or is not kept any more
        if keep or not segment.full:
            for change in _changes(file.data):
                self._told[hash(change.document)] = change.version
        still = set(feed.bad_lines(again.data))
        bad = [line for line in feed.bad_lines(file.data) if line in still]
        if not bad:
            return
        shown = self._disk.shown(segment.path)
        is_end = not segment.full and bad == [file.data.count(b"\n") + 1]
        more = f", nor do {len(bad) - 1:,} more" if len(bad) > 1 else ""
        what = "the last line is not finished" if is_end else f"it tells nothing{more}"
        harmless = segment.full or is_end
        text = f"{shown}, line {bad[0]}: {what}"
        yield finding("feed-damaged", text, path=shown, line=bad[0], harmless=harmless)

    def _unseen(self) -> Iterator[DocumentId]:
        left = {key for key, version in self._told.items() if version is not None}
        for segment in self._feed.segments() if left else ():
            file = self._disk.read_file(segment.path)
            for change in _changes(b"" if file is None else file.data):
                if hash(change.document) in left:
                    left.discard(hash(change.document))
                    yield change.document

    def _differs(
        self, document: DocumentId, version: str | None, told: str | None
    ) -> Iterator[Finding]:
        """A document's version, and the one that was told last."""
        if version == told:
            return
        disk = self._disk
        shown = disk.shown(disk.snapshot(document))
        text = (
            f"{shown} is at version {version or ABSENT}, and the change feed told {told or ABSENT}"
        )
        code = "feed-behind"
        if told is not None and version is not None and number_in(version) < number_in(told):
            code = "rolled-back"
            text += " before: an older file was put back, or its journal or head is lost"
        elif version is None and not any(
            disk.fs.stat(path) for path in (disk.resting(document), disk.journal(document))
        ):
            code = "document-gone"
            text = f"{shown} is not there, and the change feed told version {told} of it last"
        yield finding(code, text, document=document, path=shown)

    def _size(self, segment: Segment) -> int:
        status = self._disk.fs.stat(segment.path)
        return 0 if status is None else status.st_size


def _changes(data: bytes) -> list[Change]:
    whole = data[: data.rfind(b"\n") + 1]
    return feed.parse(whole, feed.Cursor(0), len(whole)).changes
