"""Renames that are cut off, and what the next writer makes of their marks; see H-7."""

import errno
import itertools
from collections.abc import Callable
from contextlib import suppress

import pytest
from harness import BASE, NEVER_S, Clock, same_every_time

from plainstate.core import record
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.reader import read_resting
from plainstate.errors import StorageFullError
from plainstate.testing.crashfs import CrashFileSystem, PowerCut
from plainstate.types import DocumentId, Head, Patch

A, B, FAR = DocumentId("n", "a"), DocumentId("n", "b"), DocumentId("m", "b")
OTHER = DocumentId("o", "o")

targets = pytest.mark.parametrize("target", [B, FAR], ids=str)


@pytest.fixture(autouse=True)
def _alike():
    with same_every_time():
        yield


class Place:
    """A disk with a document that has a past of three saves, and who works on it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.disk = CrashFileSystem()
        self.disk.make_folder("/data")
        self.disk.sync_folder("/")
        engine = self.open(self.disk)
        for number in range(3):
            engine.replace(A, {"i": number}, tx_id=f"t{number}")
        engine.close()

    def open(self, disk: CrashFileSystem) -> FileEngine:
        return FileEngine(BASE, fs=disk, clock_ns=self.clock, quiet_fold_s=NEVER_S, history="keep")


def put(key: str) -> Callable[[Head], Patch]:
    return lambda head: [{"op": "add", "path": f"/{key}" if head.version else "", "value": {}}]


def past(engine: FileEngine, document: DocumentId) -> list[int]:
    return [one.seq for one in engine.since(document, None)]


def cut_off(disk: CrashFileSystem, work: Callable[[], object]) -> bool:
    """Kills the process that does it, unless it ends before; tells whether it ended."""
    try:
        work()
    except PowerCut:
        disk.kill()
        return False
    return True


def failing_rename(disk: CrashFileSystem, end: str, error: BaseException) -> None:
    """The file with this end of its path cannot get its name."""
    whole = disk.rename

    def rename(source: str, target: str) -> None:
        if target.endswith(end):
            raise error
        whole(source, target)

    disk.rename = rename


def test_a_rename_to_a_name_whose_creation_was_cut_off():
    """A head without a transaction, which outranks what a rename puts aside, was left there."""
    for call, share in itertools.product(range(1, 12), (0.0, 0.7, 0.95)):
        place = Place()
        dying = place.disk.spawn()
        engine = place.open(dying)
        dying.crash_at(call, written=share)
        if cut_off(dying, lambda engine=engine: engine.append(B, put("x"))):
            continue
        engine = place.open(place.disk.spawn())
        if engine.read(B) is None:
            commit = engine.rename(A, B)
            assert engine.read(B).version == commit.version
            assert past(engine, B)[:3] == [1, 2, 3]
            assert engine.append(B, put("again"), tx_id="t1").duplicate


@targets
def test_nothing_is_forgotten_for_a_move_that_a_power_cut_takes_back(target: DocumentId):
    """One process is killed right behind the move, another one settles it, then the power fails."""
    for call in itertools.count(1):
        place = Place()
        settling, dying = place.disk.spawn(), place.disk.spawn()
        settler = place.open(settling)
        settler.replace(OTHER, 1)
        engine = place.open(dying)
        dying.crash_at(call)
        done = cut_off(dying, lambda engine=engine: engine.rename(A, target))
        settler.lock(A).release()
        for image in settling.images(limit=16):
            engine = place.open(image)
            (holder,) = [one for one in (A, target) if engine.read(one) is not None]
            assert past(engine, holder)[:3] == [1, 2, 3], (call, holder)
        if done:
            break


def test_a_copy_that_was_not_made_costs_the_new_name_nothing():
    place = Place()
    disk = place.disk.spawn()
    engine = place.open(disk)
    engine.replace(B, {})
    engine.delete(B)
    failing_rename(disk, "/history/n/b.jsonl", OSError(errno.ENOSPC, "full"))
    with pytest.raises(StorageFullError):
        engine.rename(A, B)
    del disk.rename
    before = past(engine, B)
    engine.append(B, put("x"))
    assert past(engine, B)[:2] == before[:2] == [1, 2]
    assert past(engine, A) == [1, 2, 3]


TRASHED = DocumentId(".plainstate/trash/run-1", "a")


def used_again() -> Place:
    """The document is in the trash; its name was used again, and that document deleted."""
    place = Place()
    engine = place.open(place.disk)
    engine.rename(A, TRASHED)
    engine.replace(A, {"anew": 1})
    engine.delete(A)
    engine.close()
    return place


def test_a_restore_that_is_cut_off_takes_no_past_from_the_name():
    """The name keeps what it had until the document is there; then it has what came."""
    whole = used_again()
    before = past(whole.open(whole.disk), A)
    assert before[:1] == [4]
    came = set()
    for call in itertools.count(1):
        dying = used_again().disk.spawn()
        engine = whole.open(dying)
        dying.crash_at(call)
        done = cut_off(dying, lambda engine=engine: engine.rename(TRASHED, A))
        for image in dying.images(limit=16):
            for _ in range(2):  # as a reader finds it, and as a writer leaves it
                engine = whole.open(image)
                is_there = engine.read(A) is not None
                expected = [1, 2, 3, 4] if is_there else before
                assert past(engine, A)[: len(expected)] == expected
                engine.lock(A).release()
            came.add(is_there)
        if done:
            break
    assert came == {True, False}


def test_what_a_name_kept_before_goes_when_a_document_came():
    place = used_again()
    disk = place.disk.spawn()
    engine = place.open(disk)
    engine.rename(TRASHED, A)
    assert b"anew" not in disk.content(f"{BASE}/.plainstate/history/n/a.jsonl")


def test_a_copy_without_its_end_goes_when_the_document_did_not_come():
    """Edited by hand at rest, so that no step leads from what is kept to the rename."""
    disk = used_again().disk.spawn()
    engine = Place().open(disk)
    before = past(engine, A)
    fd = disk.open_append(f"{BASE}/{TRASHED}.json")
    disk.write(fd, b" ")
    disk.close(fd)
    failing_rename(disk, "/data/store/n/a.json", PowerCut())
    assert not cut_off(disk, lambda: engine.rename(TRASHED, A))
    engine = Place().open(disk.spawn())
    engine.lock(A).release()
    assert past(engine, A)[: len(before)] == before


def test_a_name_that_got_nothing_is_not_where_the_document_is():
    """The old name is marked, the new one is not yet; then somebody removes the file by hand."""
    place = Place()
    disk = place.disk.spawn()
    engine = place.open(disk)
    failing_rename(disk, "/heads/n/b.jsonl", OSError(errno.ENOSPC, "full"))
    with pytest.raises(StorageFullError):
        engine.rename(A, B)
    del disk.rename
    disk.unlink(f"{BASE}/n/a.json")
    engine.lock(A).release()
    assert past(engine, A)[:3] == [1, 2, 3]


def test_a_mark_under_a_journal_is_history():
    """Both names are marked, the file is removed by hand, and both names are used again."""
    place = Place()
    disk = place.disk.spawn()
    engine = place.open(disk)
    engine.replace(OTHER, 1)
    failing_rename(disk, "/n/b.json", PowerCut())
    assert not cut_off(disk, lambda: engine.rename(A, B))
    disk = place.disk.spawn()
    disk.unlink(f"{BASE}/n/a.json")
    engine = place.open(disk)
    engine.append(B, put("x"))
    before = past(engine, B)
    engine.replace(A, {"new": 1})
    untold(engine, B)
    disk.kill()
    engine = place.open(place.disk.spawn())
    engine.replace(OTHER, 2)
    engine.changes(None, limit=50)
    assert past(engine, B)[: len(before)] == before


def test_a_damaged_head_under_a_journal_keeps_no_commit_from_being_told():
    place = Place()
    disk = place.disk.spawn()
    engine = place.open(disk)
    engine.append(OTHER, put("x"))
    untold(engine, A)
    disk.kill()
    disk = place.disk.spawn()
    fd = disk.open_append(f"{BASE}/.plainstate/heads/n/a.jsonl")
    disk.truncate(fd, 10)
    disk.close(fd)
    engine = place.open(disk)
    engine.replace(OTHER, 2)
    page = engine.changes(None, limit=50)
    assert [one.seq for one in page.changes if one.document == A] == [1, 2, 3, 4]


@pytest.mark.parametrize("mark", ["noslash", "n/B C\0", "../../../etc/x", ".plainstate/heads/x/y"])
def test_a_mark_that_is_no_name_is_dropped(mark: str):
    place = Place()
    disk = place.disk.spawn()
    engine = place.open(disk)
    head = read_resting(engine._disk, A)
    marked = record.HeadRecord(
        **{name: getattr(head, name) for name in head.__struct_fields__} | {"moving_to": mark}
    )
    engine._disk.put(
        f"{BASE}/.plainstate/heads/n",
        engine._disk.resting(A),
        record.encode_head(marked, previous=0)[0],
    )
    disk.unlink(f"{BASE}/n/a.json")
    engine.lock(A).release()
    assert past(engine, A)[:3] == [1, 2, 3]
    assert not engine.changes(None, limit=50).gap


def untold(engine: FileEngine, document: DocumentId) -> None:
    """A commit whose writer dies before it tells the feed."""
    engine._feed.tell = lambda *_: (_ for _ in ()).throw(PowerCut())
    with suppress(PowerCut):
        engine.append(document, put("untold"))


def test_what_a_name_kept_stays_until_the_document_that_came_is_durable():
    """One process is killed in a restore, another one settles the name, then the power fails."""
    whole = used_again()
    before = past(whole.open(whole.disk), A)
    for call in itertools.count(1):
        place = used_again()
        settling, dying = place.disk.spawn(), place.disk.spawn()
        settler = place.open(settling)
        settler.replace(OTHER, 1)
        engine = place.open(dying)
        dying.crash_at(call)
        done = cut_off(dying, lambda engine=engine: engine.rename(TRASHED, A))
        settler.lock(A).release()
        for image in settling.images(limit=16):
            engine = place.open(image)
            expected = before if engine.read(A) is None else [1, 2, 3, 4]
            assert past(engine, A)[: len(expected)] == expected, call
        if done:
            break


def spoil(disk: CrashFileSystem, document: DocumentId) -> None:
    """Puts a line that is none, though its `sum` is right, behind the first one of a history."""
    path = f"{BASE}/.plainstate/history/{document}.jsonl"
    first, *others = disk.content(path).splitlines()
    foreign = b'{"seq":4,"version":7,"tx":"x","time":"","patch":[]}'
    data, check = b"", 0
    for body in (record.unsealed(first), foreign, *map(record.unsealed, others)):
        line, check = record.seal(body, check)
        data += line
    fd = disk.open_append(path)
    disk.truncate(fd, 0)
    disk.write(fd, data)
    disk.close(fd)


@pytest.mark.parametrize("spoiled", [A, TRASHED], ids=["of the new name", "of the old name"])
def test_a_past_that_cannot_be_read_keeps_no_document_from_coming(spoiled: DocumentId):
    place = used_again()
    disk = place.disk.spawn()
    spoil(disk, spoiled)
    engine = place.open(disk)
    commit = engine.rename(TRASHED, A)
    assert engine.read(A).version == commit.version
    for number in past(engine, A):
        state = engine.read(A, at=number)
        assert state is None or state.value is not None
    if spoiled == A:
        assert past(engine, A)[:3] == [1, 2, 3]
    (set_aside,) = disk.list_folder(f"{BASE}/.plainstate/quarantine/{spoiled.category}")
    assert set_aside


def test_a_past_that_cannot_be_read_is_set_aside_when_it_is_to_be_shortened():
    place = Place()
    disk = place.disk.spawn()
    spoil(disk, A)
    engine = FileEngine(
        BASE, fs=disk, clock_ns=place.clock, quiet_fold_s=NEVER_S, history="keep", history_bytes=1
    )
    engine.replace(A, {"i": 4})
    engine.replace(A, {"i": 5})
    assert engine.read(A, at=5).value == {"i": 5}
    assert disk.list_folder(f"{BASE}/.plainstate/quarantine/n")
