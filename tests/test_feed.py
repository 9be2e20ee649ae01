"""The change feed of real stores: segments, retention, threads, edits, interruptions."""

import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

import plainstate.engines.file.feed as feed_module
from plainstate.engines.file import housekeeping, watching
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.feed import Feed
from plainstate.errors import CursorExpiredError, InvalidCursorError, PatchFailedError
from plainstate.fs.posix import PosixFileSystem
from plainstate.testing.faultfs import FaultyFileSystem
from plainstate.types import ABSENT, LATEST, SYSTEM, Change, DocumentId, Head, Patch

X = DocumentId("c", "x")
Y = DocumentId("c", "y")
NOTE = DocumentId("c", "note", "markdown")


@pytest.fixture
def engine(tmp_path: Path):
    engine = open_engine(tmp_path)
    yield engine
    engine.close()


@pytest.fixture
def _tiny(monkeypatch):
    """Segments of a few lines; the limits of what is kept allow some twenty lines."""
    monkeypatch.setattr(feed_module, "FEED_SEGMENT_BYTES", 500)


def open_engine(path: Path, fs=None) -> FileEngine:
    return FileEngine(str(path), quiet_fold_s=3600, fs=fs)


def adding(text: str):
    def change(head: Head) -> Patch:
        if head.version is None:
            return [{"op": "add", "path": "", "value": [text]}]
        return [{"op": "add", "path": "/-", "value": text}]

    return change


def all_changes(engine: FileEngine, since: str | None = None, limit: int = 7) -> list[Change]:
    found: list[Change] = []
    while len(page := engine.changes(since, limit=limit)):
        found += page.changes
        since = page.cursor
    return found


def told(engine: FileEngine) -> list[tuple[str, str, int]]:
    return [(str(one.document), one.action, one.seq) for one in all_changes(engine)]


def segments(path: Path) -> list[str]:
    return sorted(os.listdir(path / ".plainstate/feed"))


# --- segments ------------------------------------------------------------------------


def write(engine: FileEngine, number: int, acknowledged: list) -> None:
    documents = [X, Y, NOTE, DocumentId("d", "z")]
    for count in range(25):
        document = documents[(number + count) % 4]
        text = f"{number} {count};"
        if document.kind == "markdown":
            commit = engine.replace(document, text, tx_id=text)
        elif count % 9 == 8:
            commit = engine.replace(document, [text], tx_id=text)
        else:
            commit = engine.append(document, adding(text), tx_id=text)
        acknowledged.append((document, commit.seq, commit.tx_id))


def follow(path: Path, limit: int, done: threading.Event, seen: list[Change]) -> None:
    engine, cursor = open_engine(path), None
    while True:
        finished = done.is_set()
        page = engine.changes(cursor, limit=limit, timeout_s=0 if finished else 0.05)
        seen.extend(page.changes)
        cursor = page.cursor
        if finished and not len(page):
            break
    engine.close()


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_threads_write_while_segments_change(engine, tmp_path, limit):
    """F-1, F-2: followers see every commit, in order, at once with its acknowledgement."""
    acknowledged, done = [], threading.Event()
    seen: list[Change] = []
    writers = [
        threading.Thread(target=write, args=(engine, number, acknowledged)) for number in range(8)
    ]
    follower = threading.Thread(target=follow, args=(tmp_path, limit, done, seen))
    for thread in [*writers, follower]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    follower.join()
    assert {(one.document, one.seq, one.tx_id) for one in seen} == set(acknowledged)
    seqs = defaultdict(list)
    for one in seen:
        if one.seq not in seqs[one.document]:
            seqs[one.document].append(one.seq)
    for document, found in seqs.items():
        assert found == list(range(1, len(found) + 1)), document
    assert len(segments(tmp_path)) > 10


def test_processes_that_live_for_one_write_fill_segments_too(tmp_path, monkeypatch):
    """None of them writes enough to look at the size of its segment on its own account."""
    monkeypatch.setattr(feed_module, "FEED_SEGMENT_BYTES", 500)
    for number in range(20):
        with_one = open_engine(tmp_path)
        with_one.append(X, adding(str(number)))
        with_one.close()
    assert len(segments(tmp_path)) > 3


@pytest.mark.usefixtures("_tiny")
def test_a_cursor_at_the_end_of_every_segment_goes_on(engine):
    cursors = [engine.changes(None, limit=1).cursor]
    for number in range(30):
        engine.append(X, adding(str(number)))
        cursors.append(engine.changes(LATEST, limit=1).cursor)
    whole = [one.seq for one in all_changes(engine)]
    assert whole == list(range(1, 31))
    for number, cursor in enumerate(cursors):
        assert [one.seq for one in all_changes(engine, cursor)] == whole[number:]


# --- what is kept --------------------------------------------------------------------


@pytest.fixture
def _bounded(monkeypatch, _tiny):
    monkeypatch.setattr(feed_module, "FEED_BYTES", 2_000)
    monkeypatch.setattr(feed_module, "FEED_BYTES_FOR_FOLLOWERS", 8_000)


def fill(engine: FileEngine, count: int) -> None:
    for number in range(count):
        engine.append(X, adding(str(number)))


def follow_as(engine: FileEngine, name: str, cursor: str) -> None:
    engine.replace(DocumentId(f"{SYSTEM}/followers", name), {"cursor": cursor, "time": ""})


def test_who_asks_again_at_the_end_opens_nothing(tmp_path, monkeypatch):
    with closing(open_engine(tmp_path)) as engine, closing(open_engine(tmp_path)) as other:
        other.append(X, adding("1"))
        cursor = engine.changes(None, limit=7, for_index=True).cursor
        opened: list[str] = []
        open_read = PosixFileSystem.open_read

        def watched(fs: PosixFileSystem, path: str) -> int:
            opened.append(path)
            return open_read(fs, path)

        monkeypatch.setattr(PosixFileSystem, "open_read", watched)
        page = engine.changes(cursor, limit=7)
        assert (page.changes, page.cursor, page.gap, opened) == ([], cursor, False, [])
        other.append(Y, adding("2"))
        assert [change.document for change in engine.changes(cursor, limit=7)] == [Y]
        # to see that the cursor still fits, and to read on; at the end of the file that is all
        assert sum(path.endswith(".open.jsonl") for path in opened) == 2
        opened.clear()
        engine.changes(cursor, limit=7, durable=True)  # it was not asked for before
        assert opened


KILLED = """
import os, sys
from plainstate import StateStore
from plainstate.engines.file.feed import Feed

Feed.tell = lambda *_: os._exit(9)
StateStore(sys.argv[1]).save_json("c", "x", 1)
"""


def test_who_is_alone_looks_for_killed_writers_only_where_another_came(tmp_path, monkeypatch):
    listed: list[str] = []
    list_folder = PosixFileSystem.list_folder

    def watched(fs: PosixFileSystem, path: str):
        listed.append(path)
        return list_folder(fs, path)

    with closing(open_engine(tmp_path)) as engine:
        engine.append(Y, adding("1"))
        cursor = engine.changes(None, limit=7).cursor
        writers = tmp_path / ".plainstate" / "writers"
        monkeypatch.setattr(PosixFileSystem, "list_folder", watched)
        soon = time.time() + 60
        os.utime(writers, (soon, soon))
        for _ in range(2):  # while the folder's time may stay what it is, it is read each time
            listed.clear()
            engine.changes(cursor, limit=7)
            assert str(writers) in listed
        os.utime(writers, (1, 1))
        engine.changes(cursor, limit=7)
        listed.clear()
        engine.changes(cursor, limit=7)
        assert listed == []
        killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
        assert killed.returncode == 9
        assert [change.document for change in engine.changes(cursor, limit=7)] == [X]
        assert str(writers) in listed


@pytest.mark.parametrize("age_s", [0.05, 1.9])
def test_a_time_in_whole_seconds_hides_no_writer(tmp_path, monkeypatch, age_s):
    """Where the file system keeps no more, the folder may get a name and no other time."""
    second = int(time.time())
    clock = SimpleNamespace(time_ns=lambda: int((second + age_s) * 1e9), monotonic=time.monotonic)
    writers = tmp_path / ".plainstate" / "writers"

    class Coarse(PosixFileSystem):
        def stat(self, path: str):
            found = super().stat(path)
            if path != str(writers):
                return found
            return SimpleNamespace(st_size=4096, st_ino=found.st_ino, st_mtime_ns=second * 10**9)

    with closing(open_engine(tmp_path)) as engine:
        engine.append(Y, adding("1"))
        engine._housekeeping._disk.fs = Coarse(str(tmp_path))
        cursor = engine.changes(None, limit=7).cursor
        monkeypatch.setattr(housekeeping, "time", clock)
        engine.changes(cursor, limit=7)
        append = KILLED.replace('save_json("c", "x", 1)', 'append_markdown("c", "note", "1")')
        killed = subprocess.run([sys.executable, "-c", append, tmp_path], check=False)
        assert killed.returncode == 9
        assert [change.document for change in engine.changes(cursor, limit=7)] == [NOTE]


@pytest.mark.usefixtures("_tiny")
def test_who_asks_again_at_the_end_of_what_became_a_full_segment_goes_on(tmp_path):
    with closing(open_engine(tmp_path)) as engine, closing(open_engine(tmp_path)) as other:
        cursor = None
        for number in range(30):
            other.append(X, adding(str(number)))
            page = engine.changes(cursor, limit=7)
            assert [change.seq for change in page] == [number + 1]
            cursor = page.cursor
            assert engine.changes(cursor, limit=7).changes == []


@pytest.mark.usefixtures("_bounded")
def test_old_segments_go_and_who_needs_them_is_told(engine, tmp_path):
    fill(engine, 5)
    first = all_changes(engine)[0].cursor
    fill(engine, 60)
    kept = sum((tmp_path / ".plainstate/feed" / name).stat().st_size for name in segments(tmp_path))
    assert kept < 2_000 + 2 * 700
    with pytest.raises(CursorExpiredError) as caught:
        engine.changes(first, limit=1)
    rest = all_changes(engine, caught.value.oldest)
    assert rest == all_changes(engine)
    assert rest[-1].seq == 65
    seqs = [one.seq for one in rest]
    assert seqs == list(range(seqs[0], 66))


@pytest.mark.usefixtures("_bounded")
def test_what_a_named_follower_needs_stays_up_to_a_limit(engine, tmp_path):
    fill(engine, 5)
    cursor = all_changes(engine)[2].cursor
    follow_as(engine, "slow", cursor)
    (tmp_path / ".plainstate/followers/none.json").write_text('{"cursor": 7}')
    (tmp_path / ".plainstate/followers/other.json").write_text('["cursor"]')
    (tmp_path / ".plainstate/followers/bad.json").write_bytes(b"\xff{")
    fill(engine, 30)  # more than is kept for nobody
    assert [one.seq for one in all_changes(engine, cursor)] == list(range(4, 36))
    fill(engine, 100)
    with pytest.raises(CursorExpiredError):
        engine.changes(cursor, limit=1)


def test_what_is_no_cursor(engine):
    fill(engine, 2)
    with pytest.raises(InvalidCursorError):
        engine.changes("rubbish", limit=1)
    for unknown in ("7-0-00000000", "0-0-00000000", "2-100-00000000"):
        with pytest.raises(CursorExpiredError, match=f"no place {unknown}: .* never given out"):
            engine.changes(unknown, limit=1)
    page = engine.changes("1-77-00000000", limit=10)  # as after a power cut
    assert page.gap
    assert [one.seq for one in page] == [1, 2]


# --- a feed that is gone or cannot be written ------------------------------------------


def test_a_feed_that_was_deleted_begins_anew(engine, tmp_path):
    fill(engine, 3)
    cursor = all_changes(engine)[-1].cursor
    shutil.rmtree(tmp_path / ".plainstate/feed")
    fill(engine, 2)
    assert [one.seq for one in all_changes(engine)] == [4, 5]
    page = engine.changes(cursor, limit=10)  # a segment of this number, but another one
    assert page.gap
    engine.close()
    shutil.rmtree(tmp_path / ".plainstate/feed")
    again = open_engine(tmp_path)
    assert all_changes(again) == []
    fill(again, 1)
    assert [one.seq for one in all_changes(again)] == [6]
    again.close()


def test_a_full_disk_amid_a_line(tmp_path):
    """A part of it stays; the whole line comes behind it, once there is room."""
    fs = FaultyFileSystem(PosixFileSystem())
    engine = open_engine(tmp_path, fs)
    fill(engine, 1)
    for number in range(5):
        fs.fail(errno.ENOSPC, {"write"}, at=2, short=True)  # the first goes to the journal
        engine.append(X, adding(str(number)))
        assert fs.failed == ["write"]
    fs.heal()
    page = engine.changes(None, limit=100)
    seqs = [one.seq for one in page]
    assert list(dict.fromkeys(seqs)) == [1, 2, 3, 4, 5, 6]  # some of them again
    assert seqs[-1] == 6
    assert page.gap
    engine.close()


def test_short_writes_of_lines(tmp_path):
    fs = FaultyFileSystem(PosixFileSystem())
    engine = open_engine(tmp_path, fs)
    fill(engine, 1)
    fs.fail(0, {"write"}, at=2, short=True)
    fill(engine, 1)
    assert [one.seq for one in all_changes(engine)] == [1, 2]
    engine.close()


# --- interruptions -----------------------------------------------------------------------


def append(engine: FileEngine) -> None:
    engine.append(X, adding("own"))


def append_locked(engine: FileEngine) -> None:
    with engine.lock(X) as locked:
        locked.append([{"op": "add", "path": "/-", "value": "own"}])


def replace(engine: FileEngine) -> None:
    engine.replace(X, ["own"])


def replace_locked(engine: FileEngine) -> None:
    with engine.lock(X) as locked:
        locked.replace(["own"])


def delete(engine: FileEngine) -> None:
    engine.delete(X)


def rename(engine: FileEngine) -> None:
    engine.rename(X, Y)


OPERATIONS = [append, append_locked, replace, replace_locked, delete, rename]


@pytest.mark.parametrize("when", ["changes", "close", "background"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.__name__)
def test_an_interruption_between_commit_and_line(tmp_path, monkeypatch, operation, when):
    engine = open_engine(tmp_path)
    fill(engine, 2)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "tell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            operation(engine)
    if when == "close":
        engine.close()
        engine = open_engine(tmp_path)
    elif when == "background":
        engine._housekeeping.run()
        monkeypatch.setattr(engine._housekeeping, "complete_feed", lambda: None)
    last = {one.document: one.version for one in all_changes(engine)}
    for document in (X, Y):
        state = engine.read(document)
        assert last.get(document) == (state and state.version)
    assert {one.seq for one in all_changes(engine) if one.document == X} == {1, 2, 3}
    monkeypatch.undo()
    engine.close()


# --- what is told ------------------------------------------------------------------------


def test_every_operation(engine):
    engine.append(X, adding("1"), tx_id="t-1")
    engine.append(X, adding("2"))
    engine.append(X, lambda _: [])
    engine.append(X, adding("1"), tx_id="t-1")  # a duplicate
    with suppress(PatchFailedError):
        engine.append(X, lambda head: [{"op": "remove", "path": f"/{len(head.value())}"}])
    engine.replace(X, [])
    with engine.lock(X) as locked:
        locked.append([{"op": "add", "path": "/-", "value": "3"}])
        locked.replace(["4"])
    engine.checkpoint()
    engine.rename(X, Y)
    engine.delete(Y)
    engine.delete(Y)
    engine.replace(Y, 1)
    engine.replace(DocumentId(f"{SYSTEM}/x", "y"), 1)
    changes = all_changes(engine)
    assert [(str(one.document), one.action, one.seq) for one in changes] == [
        ("c/x", "create", 1),
        *(("c/x", "update", seq) for seq in (2, 3, 4, 5)),
        ("c/x", "delete", 6),
        ("c/y", "create", 6),
        ("c/y", "delete", 7),
        ("c/y", "create", 8),
    ]
    assert changes[0].tx_id == "t-1"
    assert (changes[5].moved, changes[6].moved) == (Y, X)
    assert changes[-1].version == engine.read(Y).version


@pytest.mark.parametrize("journal", [False, True])
def test_edits_by_hand(engine, tmp_path, journal):
    fill(engine, 2)
    engine.checkpoint()
    if journal:
        engine.append(X, lambda _: [{"op": "add", "path": "/-", "value": "waiting"}])
    before = len(all_changes(engine))
    (tmp_path / "c/x.json").write_text('["by hand", "0", "1"]')
    assert engine.notice(X, None)
    assert [one[1] for one in told(engine)[before:]] == ["edit"]
    assert engine.notice(X, None)  # nothing new
    assert len(told(engine)) == before + 1
    fill(engine, 1)  # folds the edit in, and says so again
    changes = all_changes(engine)
    assert changes[-1].action == "update"
    assert changes[-1].version == engine.read(X).version
    assert {one.seq for one in changes} == set(range(1, changes[-1].seq + 1))


def test_an_index_does_not_watch_a_large_folder_in_the_first_moments(tmp_path, monkeypatch):
    """A process that lists once would pay for it when it closes the store; who follows waits."""
    monkeypatch.setattr(watching, "_LARGE_FOLDER_BYTES", 0)
    monkeypatch.setattr(watching, "_SETTLED_S", 60)
    with closing(open_engine(tmp_path)) as engine:
        engine.append(X, adding("1"))
        engine.checkpoint()
        begun: list[PosixFileSystem] = []
        notifier = PosixFileSystem.notifier
        monkeypatch.setattr(
            PosixFileSystem, "notifier", lambda fs: (begun.append(fs), notifier(fs))[1]
        )
        cursor = engine.changes(LATEST, limit=1, for_index=True).cursor
        assert not begun
        assert not engine.changes(cursor, limit=1).edits_missed  # a follower watches from now on
        assert engine.changes(cursor, limit=1, for_index=True).edits_missed  # once
        assert not engine.changes(cursor, limit=1, for_index=True).edits_missed
        assert begun
        (tmp_path / "c" / "x.json").write_text("[1, 2, 3]")
        assert [change.action for change in engine.changes(cursor, limit=7)] == ["edit"]


def test_files_that_come_and_go_by_hand(engine, tmp_path):
    fill(engine, 1)
    engine.checkpoint()
    (tmp_path / "c/y.json").write_text("1")
    assert engine.notice(Y, ABSENT)
    (tmp_path / "c/x.json").unlink()
    assert engine.notice(X, None)
    changes = all_changes(engine)[1:]
    assert [(one.document, one.action, one.version is None) for one in changes] == [
        (Y, "edit", False),
        (X, "edit", True),
    ]
    assert changes[0].version == engine.read(Y).version
    # the number is forgotten, too: what was told of it comes to an end all the same
    version = engine.read(Y).version
    (tmp_path / "c/y.json").unlink()
    shutil.rmtree(tmp_path / ".plainstate/heads")
    assert engine.notice(Y, version)
    assert all_changes(engine)[-1].version is None
    assert engine.notice(Y, ABSENT)
    assert len(all_changes(engine)) == 4


def test_a_resolved_conflict_is_told(engine, tmp_path):
    fill(engine, 1)
    engine.checkpoint()
    fill(engine, 2)
    (tmp_path / "c/x.json").write_text('{"other": 1}')
    assert engine.notice(X, None)
    with engine.lock(X) as locked:
        locked.resolve("file")
    changes = all_changes(engine)
    assert changes[-1].action == "edit"
    assert changes[-1].version == engine.read(X).version


def test_what_is_damaged_holds_nobody_up(engine, tmp_path):
    fill(engine, 2)
    engine.replace(Y, 1)
    journal = tmp_path / "c/x.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"op"', b'"oq"'))
    assert engine.notice(X, "7-other")
    (tmp_path / "c/y.json").unlink()
    (tmp_path / "c/y.json").symlink_to("x.json")
    assert engine.notice(Y, "7-other")
    assert len(told(engine)) == 3
    journal.unlink()
    (tmp_path / "c/y.json").unlink()
