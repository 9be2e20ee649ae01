"""Lines of the change feed and cursors into it: damage loses lines, and never makes one up."""

from itertools import pairwise

import pytest

from plainstate.core import feed
from plainstate.core.feed import Cursor
from plainstate.errors import InvalidCursorError
from plainstate.types import Change, DocumentId

PLAN = DocumentId("notes", "plan", "markdown")
TWIN = DocumentId("notes", "plan", "json")
LONGER = DocumentId("notes", "plan b", "markdown")
SESSION = DocumentId("sessions", "s-1")
SUMMARY = {"user_id": "ada", "users": 1, "preview": '{"document":"a/b"} \n "sum":"00000000"}'}

LINES = [
    feed.encode(PLAN, "create", 1, "1-000000aa", "t-1", "2026-01-01T00:00:01Z"),
    feed.encode(SESSION, "create", 1, "1-000000bb", "t-2", "2026-01-01T00:00:02Z", summary=SUMMARY),
    feed.encode(TWIN, "update", 7, "7-000000cc", "t-3 \u2603", "2026-01-01T00:00:03Z"),
    feed.encode(PLAN, "delete", 2, None, "t-4", "2026-01-01T00:00:04Z", moved=LONGER),
    feed.encode(LONGER, "create", 1, "1-000000dd", "", "2026-01-01T00:00:04Z", moved=PLAN),
]
WHOLE = b"".join(LINES)
LATER = feed.encode(SESSION, "update", 2, "2-000000ee", "t-5", "2026-01-01T00:00:05Z")


def read(data: bytes, start: Cursor | None = None, limit: int = 100) -> feed.Lines:
    """As a reader does: up to the end of the last whole line."""
    return feed.parse(data[: data.rfind(b"\n") + 1], start or Cursor(1), limit)


def told(lines: feed.Lines) -> list[Change]:
    """The changes without their places."""
    return [_unplaced(change) for change in lines.changes]


def _unplaced(change: Change) -> Change:
    names = [name for name in Change.__struct_fields__ if name != "cursor"]
    return Change(cursor="", **{name: getattr(change, name) for name in names})


ALL = told(read(WHOLE))


def is_part_of(some: list[Change], whole: list[Change]) -> bool:
    """Whether these are some of them, in the same order."""
    rest = iter(whole)
    return all(change in rest for change in some)


def check_places(data: bytes, lines: feed.Lines) -> None:
    """Every cursor finds its place again, and what is behind it."""
    offsets = [Cursor.parse(change.cursor).offset for change in lines.changes]
    assert all(before < after for before, after in pairwise(offsets))
    for cursor in [*(Cursor.parse(change.cursor) for change in lines.changes), lines.end]:
        assert feed.mark(data[: cursor.offset][-feed.MARK_LENGTH :]) == cursor.sum
        behind = read(data[cursor.offset :], cursor)
        assert behind.changes == [
            one for one in lines.changes if Cursor.parse(one.cursor).offset > cursor.offset
        ]
        assert behind.end == lines.end


def test_of_each_document_only_the_newest_line_may_be_asked_for():
    data = WHOLE + LINES[0] + LATER + b"rubbish\n"
    found: feed.Found = {}
    end, gap = feed.gather(data, Cursor(1), found, 100, newest_only=True)
    changes, foreign = feed.decode(found)
    every = read(data)
    newest = {change.document: change for change in every.changes}
    assert changes == [change for change in every.changes if change is newest[change.document]]
    assert len(changes) == 4 < len(every.changes)
    assert (end, gap, foreign) == (every.end, True, False)


def test_a_page_of_newest_lines_ends_before_a_document_too_many():
    data = LINES[0] + LINES[1] + LATER + LINES[2]
    found: feed.Found = {}
    end, _ = feed.gather(data, Cursor(1), found, 2, newest_only=True)
    assert end == Cursor(1, len(data) - len(LINES[2]), LATER[-11:-3].decode())
    changes, _ = feed.decode(found)
    assert [change.seq for change in changes] == [1, 2]
    end, _ = feed.gather(data[end.offset :], end, found, 3, newest_only=True)
    assert end.offset == len(data)
    assert len(found) == 3


def test_what_is_written_is_read():
    lines = read(WHOLE)
    assert len(lines.changes) == len(LINES)
    assert not lines.gap
    assert lines.end == Cursor(1, len(WHOLE), LINES[-1][-11:-3].decode())
    created, session, twin, gone, came = lines.changes
    assert (created.document, created.action, created.seq) == (PLAN, "create", 1)
    assert (created.version, created.tx_id, created.time) == (
        "1-000000aa",
        "t-1",
        "2026-01-01T00:00:01Z",
    )
    assert session.summary == SUMMARY
    assert (twin.document.kind, twin.tx_id) == ("json", "t-3 \u2603")
    assert (gone.version, gone.moved) == (None, LONGER)
    assert (came.tx_id, came.moved, came.summary) == ("", PLAN, None)
    check_places(WHOLE, lines)


@pytest.mark.parametrize("limit", range(1, 6))
def test_a_limit_is_kept_and_the_rest_comes_behind_the_cursor(limit):
    found, at = [], Cursor(1)
    while (lines := read(WHOLE[at.offset :], at, limit)).changes:
        assert len(lines.changes) <= limit
        found += told(lines)
        at = lines.end
    assert found == ALL


def test_every_truncation():
    for size in range(len(WHOLE) + 1):
        lines = read(WHOLE[:size])
        whole = WHOLE[:size].count(b"\n")
        assert told(lines) == ALL[:whole]
        assert not lines.gap  # the last line may still be written


def test_a_line_behind_every_truncation():
    """A part of a line stays, as of a full disk, and the next writer goes on behind it."""
    for size in range(len(WHOLE)):
        data = WHOLE[:size] + LATER + LATER
        lines = read(data)
        whole = WHOLE[:size].count(b"\n")
        later = told(read(LATER))
        assert told(lines) == ALL[:whole] + later + later
        assert lines.gap == (not data[:size].endswith(b"\n") and size > 0)
        check_places(data, lines)


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit(bit):
    for at in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[at] ^= 1 << bit
        lines = read(bytes(data))
        found = told(lines)
        assert is_part_of(found, ALL)
        assert len(found) >= len(ALL) - 2
        behind = len(data) - at > 1  # a last line without its end is not lost yet
        assert lines.gap or not behind
        check_places(bytes(data), lines)


@pytest.mark.parametrize("zeros", [1, 7, 11, 512, 4096])
def test_zeros_of_a_power_cut(zeros):
    for keep in (0, len(LINES[0]), len(LINES[0]) + 20):
        data = WHOLE[:keep] + bytes(zeros)
        assert told(read(data)) == ALL[: data.count(b"\n")]
        lines = read(data + LATER)
        assert told(lines) == ALL[: data.count(b"\n")] + told(read(LATER))
        assert lines.gap
        check_places(data + LATER, lines)
    hole = WHOLE[:40] + bytes(zeros) + WHOLE[40 + zeros :]
    assert is_part_of(told(read(hole)), ALL)


@pytest.mark.parametrize(
    "rubbish", [b"\n", b"\n\n\n", b"{}\n", b"x\n", b'{"document":\n', b'abcdef01"}\n', b"\r\n"]
)
def test_rubbish_between_lines(rubbish):
    data = rubbish + LINES[0] + rubbish + LINES[1] + rubbish
    lines = read(data)
    assert told(lines) == ALL[:2]
    assert lines.gap
    check_places(data, lines)


def test_what_a_newer_writer_adds():
    """Unknown keys are ignored; an unknown action is a line that cannot be read."""
    more = feed.seal(LINES[0][: LINES[0].index(b',"sum"')] + b',"later":{"a":[1]}}', 0)[0]
    strange = feed.seal(
        LINES[0][: LINES[0].index(b',"sum"')].replace(b"create", b"merge") + b"}", 0
    )
    lines = read(more + strange[0] + LINES[1])
    assert told(lines) == [ALL[0], ALL[1]]
    assert lines.gap
    assert feed.last_version(LINES[0] + strange[0], PLAN) == "1-000000aa"


def test_the_last_version():
    assert feed.last_version(WHOLE, PLAN) == "absent"
    assert feed.last_version(WHOLE[: -len(LINES[4]) - len(LINES[3])], PLAN) == "1-000000aa"
    assert feed.last_version(WHOLE, TWIN) == "7-000000cc"
    assert feed.last_version(WHOLE, LONGER) == "1-000000dd"
    assert feed.last_version(WHOLE, SESSION) == "1-000000bb"
    assert feed.last_version(WHOLE, DocumentId("a", "b")) is None
    assert feed.last_version(WHOLE, DocumentId("notes", "pla", "markdown")) is None
    assert feed.last_version(b"", PLAN) is None


def test_the_last_version_of_a_damaged_feed_is_what_a_reader_sees():
    for at in range(len(WHOLE)):
        data = bytearray(WHOLE)
        data[at] ^= 1
        for document in (PLAN, TWIN, LONGER, SESSION):
            for feed_data in (bytes(data), WHOLE[:at] + LATER):
                seen = [one for one in told(read(feed_data)) if one.document == document]
                version = (seen[-1].version or "absent") if seen else None
                assert feed.last_version(feed_data, document) == version


@pytest.mark.parametrize(
    "cursor", [Cursor(1), Cursor(3, 120, "abf21345"), Cursor(999_999_999_999_999, 7, "00000000")]
)
def test_a_cursor_is_its_text(cursor):
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1-2", "1-2-3", "latest", "-1-2-00000000", "1--2-00000000", "1-2-0000000g"),
        *("1-2-00000000\n", " 1-2-00000000", "1-2-ABCDEF01", "1-2-000000000", "1.0-2-00000000"),
        *("\u0661-2-00000000", "1" * 16 + "-2-00000000", "1-2-00000000-4"),
    ],
)
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidCursorError) as caught:
        Cursor.parse(text)
    assert caught.value.cursor == text
    assert caught.value.hint
