"""Files made of lines with checksums: journal, change feed, history; and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from plainstate.core import carry, codec, feed, history, patch, record, replay
from plainstate.core.feed import Cursor
from plainstate.core.record import HeadRecord, TransactionRecord
from plainstate.engines.file import layout
from plainstate.engines.file.reader import FileSnapshot, check_records, digest_of
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    FormatVersionError,
)
from plainstate.history import describe
from plainstate.types import DocumentId
from proof.fuzz.oracle import documented, is_sealed, lines_in, same, sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.core.record import Journal, Record
    from plainstate.types import Change

__all__ = ["changes", "journal", "past", "state"]

_NAME: Final = "journal"
_STAMP: Final = (1, 2, 3)
_NOTHING: Final = b"-"
_MARKDOWN: Final = b"#"
_DIGEST: Final = b'"@"'
_ALL: Final = 1_000_000
_SMALL: Final = 300
_BAD: Final = (DamagedError, FormatVersionError)


def journal(data: bytes) -> None:
    """A journal is read exactly as far as its checksums are right, and no further.

    They are computed here once more.  Read in two parts it says the same; what is behind is
    torn or damaged, never both; and a line that is written from what was read says it again.
    """
    file = lines_in(data)
    count, size = _intact(file)
    with documented(*_BAD):
        read = record.parse(file, path=_NAME)
        _ends_there(read, count, size, file)
        half = _size_of(file, count // 2)
        first = record.parse(file[:half], path=_NAME)
        rest = record.parse(file[half:size], path=_NAME, previous=first.check)
        assert [*first.records, *rest.records] == read.records
        assert rest.check == read.check
        for line in read.records:
            _is_written_again(line)


def state(data: bytes) -> None:
    """A document is what its plain file says and then each waiting transaction, one by one.

    The input is the plain file in one line (`-`: there is none; `#` before it: Markdown), then a
    journal, in which `"@"` is the plain file's digest.  What a history keeps of the two is the
    same state.
    """
    plain, _, rest = data.partition(b"\n")
    kind: Any = "markdown" if plain.startswith(_MARKDOWN) else "json"
    plain = plain.removeprefix(_MARKDOWN)
    document = DocumentId("c", "n", kind)
    lines = sealed(rest.replace(_DIGEST, b'"%b"' % digest_of(plain).encode()))
    snapshot = None
    if plain != _NOTHING:
        snapshot = FileSnapshot(_STAMP, lambda: plain, kind, "c/n")
    with documented(*_BAD, EditConflictError):
        records = record.parse(lines, path=_NAME).records
        check_records(records, document, _NAME)
        if records:
            _means_one_thing(records, snapshot, document, lines)


def past(data: bytes) -> None:
    """A history tells the same states after it was written anew, and after it was shortened.

    It is read exactly as far as its checksums are right.
    """
    file = lines_in(data)
    count, size = _intact(file)

    def lines() -> list[history.Line]:
        return history.parse(file, path=_NAME).records

    with documented(*_BAD):
        read = history.parse(file, path=_NAME)
        _ends_there(read, count, size, file)
        if not read.records or not isinstance(read.records[0], history.Base):
            return  # no reader goes on with it
        ends = history.parse(file, path=_NAME, ends=True).records
        assert [ends[0], ends[-1]] == [read.records[0], read.records[-1]]
        again = history.encode(read.records, previous=0)[0]
        told = history.transactions(read.records)
        assert all(map(describe, told))
        for one in (*told, read.records[-1]):
            found = history.state_after(lines(), one.seq)
            if found is not None and found != "unkept":
                codec.decode(codec.encode(found.value))
            once_more = history.state_after(history.parse(again, path=_NAME).records, one.seq)
            assert repr(found) == repr(once_more)
        newest = history.newest_lines(lines(), _SMALL)
        last = read.records[-1].seq
        assert repr(history.state_after(newest, last)) == repr(history.state_after(lines(), last))


def changes(data: bytes) -> None:
    """Who follows the feed line by line is told the same as who reads all of it at once.

    Only lines with a right checksum count, about documents that a store can have; what is told
    is written and read as the same.
    """
    file = lines_in(data, chained=False)
    whole = file[: file.rfind(b"\n") + 1]
    with documented(*_BAD):
        read = feed.parse(whole, Cursor(1), _ALL)
        assert read.end.offset == len(whole)
        bad = feed.bad_lines(file)
        assert len(read.changes) + len(bad) >= len(file.split(b"\n")) - 1
        assert all(is_sealed(_behind(line)) for line in _told(read.changes, whole))
        _follows(whole, read)
        for change in read.changes:
            _is_told_again(change)
            for document in filter(None, (change.document, change.moved)):
                assert layout.is_category(document.category), document
                assert layout.document_in(document.category, f"{document.name}.json"), document
            feed.last_version(whole, change.document)


# --- journals and histories ----------------------------------------------------


def _intact(file: bytes) -> tuple[int, int]:
    """How many lines from the first on have the right checksum, and their bytes."""
    count = size = check = 0
    for line in file.split(b"\n")[:-1]:
        if not is_sealed(line, check):
            break
        check = int(line[-10:-2], 16)
        count += 1
        size += len(line) + 1
    return count, size


def _size_of(file: bytes, count: int) -> int:
    return sum(len(line) + 1 for line in file.split(b"\n")[:count])


def _ends_there(read: Journal[Any], count: int, size: int, file: bytes) -> None:
    assert len(read.records) == count, "it was read as another number of lines"
    assert read.size == size
    rest = file[size:].rstrip(b" ")  # blanks may follow the last line
    assert bool(rest) == bool(read.torn or read.damage)
    assert not (read.torn and read.damage)
    assert read.torn in (b"", rest)
    unwritten = rest.startswith(b" ") or b"\0" in rest or b" " * 512 in rest
    if rest.endswith(b"\n") and rest.strip(b" \n") and not unwritten:
        assert read.damage is not None, "a line that was acknowledged counts as torn"


def _is_written_again(line: Record) -> None:
    if isinstance(line, TransactionRecord):
        text, _ = record.encode_transaction(
            line.seq, line.tx, line.time, line.patch, previous=0, synced=line.synced_seq
        )
    else:
        text, _ = record.encode_head(line, previous=0)
    (again,) = record.parse(text, path=_NAME).records
    assert _without_sum(again) == _without_sum(line)


def _without_sum(line: Record) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.structs.asdict(line)
    said.pop("sum", None)
    if isinstance(line, TransactionRecord):
        said["synced"] = line.synced_seq
    return said


# --- states --------------------------------------------------------------------


def _means_one_thing(
    records: Sequence[Record], snapshot: FileSnapshot | None, document: DocumentId, lines: bytes
) -> None:
    basis = replay.find_basis(records, snapshot)
    numbers = [one.seq for one in basis.waiting]
    assert numbers == sorted(set(numbers)), "a transaction would be applied twice"
    if basis.kind == "cut off":
        _was_cut_off(records, basis.head)
    value = _value(records, snapshot)
    if document.kind == "json":
        codec.decode(codec.encode(value))  # a fold could write it
    assert same(value, _value(record.parse(lines, path=_NAME).records, snapshot))
    if basis.kind == "clean":
        assert basis.seq == records[-1].seq
        assert same(value, _one_by_one(record.parse(lines, path=_NAME).records, snapshot))
    _is_kept(record.parse(lines, path=_NAME).records, snapshot, document, value)
    overruled = replay.find_basis(record.parse(lines, path=_NAME).records, snapshot)
    try:
        replay.overrule(overruled, snapshot)
    except carry.UnclearError:
        return


def _was_cut_off(records: Sequence[Record], head: HeadRecord) -> None:
    """Nothing is applied over a replacement that took effect: lines stand behind it (rule 2)."""
    since = records[[one is head for one in records].index(True) + 1 :]
    replaced = any(isinstance(one, HeadRecord) and one.tx for one in since)
    assert not (replaced and isinstance(since[-1], TransactionRecord)), "it was edited since"


def _value(records: Sequence[Record], snapshot: FileSnapshot | None) -> Any:
    basis = replay.find_basis(records, snapshot)
    return replay.replay(basis, snapshot, document="c/n", path="c/n")


def _one_by_one(records: Sequence[Record], snapshot: FileSnapshot | None) -> Any:
    """The state of rule 1, by the careful way to apply a patch."""
    last = max(at for at, one in enumerate(records) if isinstance(one, HeadRecord))
    behind = [one for one in records[last:] if isinstance(one, TransactionRecord)]
    if behind[-1:] and behind[-1].deletes:
        return None
    value = None if snapshot is None else snapshot.value()
    if not behind and isinstance(records[last], HeadRecord) and records[last].version is None:
        return None
    for one in behind:
        value = None if one.deletes else patch.apply(value, one.patch)
    return value


def _is_kept(
    records: Sequence[Record], snapshot: FileSnapshot | None, document: DocumentId, value: Any
) -> None:
    """A history that begins here tells the state that a reader sees."""
    basis = replay.find_basis(records, snapshot)
    lines = history.unkept(None, document, records, basis, snapshot, value)
    written, _ = history.encode(lines, previous=0)
    past = history.parse(written, path=_NAME).records
    assert all(map(describe, history.transactions(past)))
    told = history.state_after(past, basis.seq)
    assert told != "unkept"
    if told is None:
        assert basis.version is None
    else:
        assert same(told.value, value)


# --- the feed ------------------------------------------------------------------


def _follows(whole: bytes, read: feed.Lines) -> None:
    at, seen, gap = Cursor(1), [], False
    while at.offset < len(whole):
        page = feed.parse(whole[at.offset :], at, 1)
        assert page.end.offset > at.offset, "a follower does not get on"
        at, gap = page.end, gap or page.gap
        seen += page.changes
    assert seen == read.changes
    assert (at, gap) == (read.end, read.gap)


def _told(changes: Sequence[Change], whole: bytes) -> list[bytes]:
    """The lines that end where the cursors of changes say."""
    ends = [Cursor.parse(change.cursor).offset for change in changes]
    return [whole[whole.rfind(b"\n", 0, end - 1) + 1 : end - 1] for end in ends]


def _behind(line: bytes) -> bytes:
    """A line without a part of another one before it."""
    if is_sealed(line):
        return line
    return line[max(0, line.rfind(b'{"document":')) :]


def _is_told_again(change: Change) -> None:
    moved = change.moved
    line = feed.encode(
        change.document,
        change.action,
        change.seq,
        change.version,
        change.tx_id,
        change.time,
        summary=change.summary,
        moved=moved,
    )
    (again,) = feed.parse(line, Cursor(1), 1).changes
    assert msgspec.structs.replace(again, cursor=change.cursor) == change
