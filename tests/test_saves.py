"""What whole saves and folds ask of the disk, in which order, and what a failing disk leaves."""

import errno
import hashlib
import json
import os
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plainstate import StateStore
from plainstate.core import feed
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.entries import Entries
from plainstate.engines.file.group import Pending
from plainstate.engines.file.side_by_side import side_by_side
from plainstate.errors import LockTimeoutError, OutcomeUnknownError, StorageError, UsageError
from plainstate.fs.posix import PosixFileSystem
from plainstate.limits import FOLD_FLOOR_BYTES
from plainstate.testing.crashfs import CrashFileSystem
from plainstate.testing.faultfs import FaultyFileSystem
from plainstate.types import DocumentId, Head, Patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate import Session

A, B = DocumentId("c", "a"), DocumentId("c", "b")
WAITING = {"write", "begin_sync", "sync", "sync_folder", "rename", "unlink"}


class Noting(FaultyFileSystem):
    """Notes the calls that write, or wait for the disk."""

    def __init__(self) -> None:
        self.machine = CrashFileSystem()
        self.machine.make_folder("/store")
        self.noted: list[str] = []
        super().__init__(self.machine)

    def __getattribute__(self, name: str) -> object:
        if name in WAITING:
            self.noted.append(name)
        return super().__getattribute__(name)


def begin(fs: Noting, *documents: DocumentId) -> FileEngine:
    """An engine whose documents were saved twice; the next save needs no new folder or file."""
    engine = FileEngine("/store", fs=fs, quiet_fold_s=3600)
    for document in documents:
        engine.replace(document, {"n": 0})
        engine.replace(document, {"n": 1})
    fs.noted.clear()
    return engine


def test_the_disk_is_at_the_file_and_its_announcement_before_either_is_waited_for():
    fs = Noting()
    engine = begin(fs, A)
    engine.replace(A, {"n": 2})
    begun = ["write", "begin_sync"] * 2
    told = ["write"]  # to the change feed
    assert fs.noted == [*begun, "sync", "sync", "rename", "sync_folder", *told]


@pytest.mark.parametrize("how", ["replaced", "begun"])
def test_the_feeds_line_is_ready_before_the_disk_is(how: str, monkeypatch: pytest.MonkeyPatch):
    fs = Noting()
    engine = begin(fs, A)
    engine.append(B, adding_all)  # the folder is known
    fs.noted.clear()
    ready: list[list[str]] = []

    def noting(*args: object, **more: object) -> bytes:
        ready.append(fs.noted[-2:])
        return encode(*args, **more)

    encode = feed.encode
    monkeypatch.setattr(feed, "encode", noting)
    if how == "replaced":
        engine.replace(A, {"n": 2})
    else:
        engine.append(DocumentId("c", "new"), adding_all)
    assert ready == [["write", "begin_sync"]]  # the disk is at the file


def adding_all(_: Head) -> Patch:
    return [{"op": "add", "path": "", "value": {}}]


def test_a_document_is_taken_into_use_without_a_look_at_all_others(
    monkeypatch: pytest.MonkeyPatch,
):
    engine = begin(Noting(), A)
    monkeypatch.setattr(Entries, "documents", property(lambda _: pytest.fail("looked")))
    engine.append(B, adding_all)


@pytest.mark.parametrize("count_pieces", [1, 2])
def test_the_digest_is_that_of_the_whole_file(tmp_path: Path, count_pieces: int):
    tree = ["x" * 1000] * 100 ** (count_pieces - 1)
    with StateStore(tmp_path) as store:
        for number in (1, 2):
            commit = store.save_json("c", "a", tree)
            data = (tmp_path / "c/a.json").read_bytes()
            digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            assert commit.version == f"{number}-{digest[:8]}"
        assert json.loads(data) == store.load_json("c", "a") == tree
        assert data.endswith(b"]\n")
        assert store.save_markdown("c", "b", "x").version == store.read("c", "b").version


@pytest.mark.parametrize("number", [1, 2], ids=["of the file", "of its announcement"])
def test_a_sync_that_fails_changes_nothing(number: int):
    fs = Noting()
    engine = begin(fs, A)
    before = engine.read(A)
    paths = fs.machine.paths()
    fs.fail(errno.EIO, {"sync"}, at=number)
    with pytest.raises(OSError, match="error"):
        engine.replace(A, {"n": 2})
    assert fs.failed == ["sync"]
    assert engine.read(A).version == before.version
    assert engine.read(A).value == {"n": 1}
    assert fs.machine.paths() == paths  # no temporary file
    assert engine.replace(A, {"n": 3}).seq == before.seq + 1
    engine.close()
    assert Counter(fs.failed) == {"sync": 1}


class Hooked(PosixFileSystem):
    """Tells of each sync and rename before it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.hook: Callable[[str], object] = lambda _: None

    def sync(self, fd: int) -> None:
        self.hook("sync")
        super().sync(fd)

    def rename(self, source: str, target: str) -> None:
        self.hook(target)
        super().rename(source, target)


def many(folder: Path) -> tuple[FileEngine, Hooked, list[DocumentId]]:
    """Documents enough that several threads fold them."""
    fs = Hooked()
    engine = FileEngine(str(folder), fs=fs, quiet_fold_s=3600)
    documents = [DocumentId("c", f"d-{number}") for number in range(20)]
    for document in documents:
        engine.append(document, lambda _: [{"op": "add", "path": "", "value": {}}])
    return engine, fs, documents


def journals(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("c/*.jsonl"))


def test_many_folds_wait_for_the_disk_at_the_same_time(tmp_path: Path):
    engine, fs, documents = many(tmp_path)
    waiting = set()
    met = threading.Event()

    def meet(_: str) -> None:
        waiting.add(threading.get_ident())
        if len(waiting) > 1:
            met.set()
        assert met.wait(10)

    fs.hook = meet
    assert engine.checkpoint() == len(documents)
    assert journals(tmp_path) == []


def test_only_the_large_document_that_is_being_folded_is_locked(tmp_path: Path):
    engine, fs, documents = many(tmp_path)
    large = documents[:4]
    for document in large:
        engine.replace(document, {"text": "x" * FOLD_FLOOR_BYTES})
    for document in documents:
        engine.append(document, lambda _: [{"op": "add", "path": "/n", "value": 1}])
    other = FileEngine(str(tmp_path), lock_timeout_s=0.1, quiet_fold_s=3600)
    refused: list[list[DocumentId]] = []

    def write_others(target: str) -> None:
        folded = [document for document in large if target.endswith(f"/{document}.json")]
        if not folded:
            return
        time.sleep(0.3)  # the other threads come as far as they can
        refused.append([])
        for document in large:
            try:
                other.append(document, lambda _: [{"op": "add", "path": "/n", "value": 2}])
            except LockTimeoutError:
                refused[-1].append(document)

    fs.hook = write_others
    assert engine.checkpoint() == len(documents)
    assert [len(found) for found in refused] == [1] * len(large)
    fs.hook = lambda _: None
    other.close()
    engine.close()


def test_one_that_cannot_be_folded_does_not_keep_the_others_from_it(tmp_path: Path):
    engine, fs, documents = many(tmp_path)

    def refuse(target: str) -> None:
        if target.endswith("/d-7.json"):
            raise OSError(errno.EIO, "broken", target)

    fs.hook = refuse
    with pytest.raises(StorageError, match="broken"):
        engine.checkpoint()
    assert journals(tmp_path) == ["d-7"]
    fs.hook = lambda _: None
    assert engine.checkpoint() == 1
    assert [engine.read(document).value for document in documents] == [{}] * 20


@pytest.mark.parametrize("at", [1, 30])
def test_an_interruption_leaves_what_is_not_folded(tmp_path: Path, at: int):
    engine, fs, documents = many(tmp_path)
    calls = count(1)

    def interrupt(_: str) -> None:
        if next(calls) == at:
            raise KeyboardInterrupt

    fs.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        engine.checkpoint()
    fs.hook = lambda _: None
    left = len(journals(tmp_path))
    assert 0 < left <= len(documents)
    assert engine.checkpoint() == left
    assert [engine.read(document).value for document in documents] == [{}] * 20


def test_an_interruption_while_threads_begin_leaves_them_nothing_to_begin_with(
    monkeypatch: pytest.MonkeyPatch,
):
    start, started, done = threading.Thread.start, [], []
    go = threading.Event()

    def interrupted(thread: threading.Thread) -> None:
        if started:
            go.set()
            raise KeyboardInterrupt
        started.append(thread)
        start(thread)

    def work() -> None:
        assert go.wait(10)
        time.sleep(0.1)
        done.append(None)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            side_by_side([work] * 20)
    after = len(done)
    started[0].join()
    assert len(done) - after <= 1  # the one that it was at


class FullForNewFiles(PosixFileSystem):
    """Has no room for whole files when they are synced; journals can still be written."""

    full = False
    asked = 0

    def sync(self, fd: int) -> None:
        if self.full and "/.tmp-" in os.readlink(f"/proc/self/fd/{fd}"):
            self.asked += 1
            raise OSError(errno.ENOSPC, "full")
        super().sync(fd)


def test_a_document_that_cannot_be_folded_can_be_appended_to(tmp_path: Path):
    fs = FullForNewFiles()
    engine = FileEngine(str(tmp_path), fs=fs, quiet_fold_s=3600)
    engine.append(A, lambda _: [{"op": "add", "path": "", "value": []}])
    fs.full = True
    for _ in range(10):
        value = "x" * FOLD_FLOOR_BYTES
        engine.append(A, lambda _, value=value: [{"op": "add", "path": "/-", "value": value}])
    assert 0 < fs.asked < 8  # not once more with each line
    lines = (tmp_path / "c" / "a.jsonl").read_text().splitlines()
    assert sum(line.startswith('{"plainstate"') for line in lines) == 1
    fs.full = False
    assert len(engine.read(A).value) == 10
    engine.close()
    assert len(json.loads((tmp_path / "c" / "a.json").read_text())) == 10


def test_a_change_that_was_staged_before_counts_once_beside_its_repetition(tmp_path: Path):
    class Interrupted(PosixFileSystem):
        now = False

        def write(self, fd: int, data: bytes | memoryview, offset: int | None = None) -> int:
            if self.now:
                self.now = False
                raise KeyboardInterrupt
            return super().write(fd, data, offset)

    def adding(_: Head) -> Patch:
        return [{"op": "add", "path": "/-", "value": 1}]

    def looking(head: Head) -> Patch:
        seen.append(head.value())
        return []

    seen: list[list[int]] = []
    fs = Interrupted()
    engine = FileEngine(str(tmp_path), fs=fs)
    engine.append(A, lambda _: [{"op": "add", "path": "", "value": []}])
    first = Pending(adding, "t", None, sync=True)
    with engine._access.writing(A) as file:
        fs.now = True
        with pytest.raises(KeyboardInterrupt):
            file.commit([first])
        file.refresh()
        again, look = Pending(adding, "t", None, sync=True), Pending(looking, None, None, sync=True)
        file.commit([again, first, look])
    assert seen == [engine.read(A).value] == [[1]]
    engine.close()


def test_what_the_caller_holds_is_refused_at_once(tmp_path: Path):
    store = StateStore(tmp_path)
    for number in range(20):
        store.save_json("c", f"d-{number}", {})
        store.patch("c", f"d-{number}", [{"op": "add", "path": "/a", "value": 1}])
    with store.transaction("c", "d-3"), pytest.raises(UsageError, match="of this very task"):
        store.checkpoint()
    assert journals(tmp_path) == ["d-3"]
    store.close()


# --- saving a session again whose outcome was unknown ---


@pytest.fixture
def failing(tmp_path: Path) -> "Iterator[tuple[StateStore, FaultyFileSystem]]":
    """A store with a session, and its disk."""
    fs = FaultyFileSystem(PosixFileSystem())
    engine = FileEngine(str(tmp_path), fs=fs, quiet_fold_s=3600)
    with StateStore.on(engine, tmp_path.as_uri()) as store:
        store.append_user_message("s", "0", user_id="ada")
        yield store, fs


def save_without_an_answer(store: StateStore, fs: FaultyFileSystem, session: "Session") -> None:
    fs.fail(errno.EIO, {"sync", "create"}, times=1_000)
    with pytest.raises(OutcomeUnknownError):
        store.save_session(session, tx_id="t")
    fs.fail(0, ())


def save_again(store: StateStore, session: "Session") -> tuple[list[str], object]:
    """Repeats a save, saves the rest, and tells what is stored then."""
    assert store.save_session(session, tx_id="t").duplicate
    store.save_session(session)
    stored = store.load_session("s")
    assert stored is not None
    assert stored.turns() == session.turns()
    return [turn.content for turn in stored.turns()], stored.metadata


def test_what_came_after_a_save_without_an_answer_is_saved_later(failing):
    store, fs = failing
    session = store.load_session("s")
    session.add_user_message("a")
    session.set_metadata("k", 1)
    save_without_an_answer(store, fs, session)
    session.add_agent_response("b")
    session.set_metadata("k", 2)
    assert save_again(store, session) == (["0", "a", "b"], {"k": 2})


def test_a_turn_that_is_taken_back_after_a_save_without_an_answer_goes(failing):
    store, fs = failing
    session = store.load_session("s")
    session.add_user_message("a")
    session.add_agent_response("b")
    save_without_an_answer(store, fs, session)
    session.remove_last_turn()
    session.remove_last_turn()
    session.add_user_message("c")
    assert save_again(store, session) == (["0", "c"], {})


def test_an_attempt_that_changed_nothing_does_not_count(failing):
    store, fs = failing
    session = store.load_session("s")
    session.add_user_message("a")
    fs.fail(errno.EIO, {"sync"})
    with pytest.raises(StorageError):
        store.save_session(session, tx_id="t")
    session.add_agent_response("b")
    save_without_an_answer(store, fs, session)
    session.add_user_message("c")
    assert save_again(store, session) == (["0", "a", "b", "c"], {})


def test_what_is_done_to_a_session_while_it_is_saved_waits_for_the_next_save(tmp_path, monkeypatch):
    """As another task does where the save is awaited."""
    with StateStore(tmp_path) as store:
        session = store.get_or_create_session("ada", "s")
        session.add_user_message("a")
        session.add_agent_response("b")
        append = store._engine.append

        def append_while_the_session_goes_on(*arguments, **options):
            commit = append(*arguments, **options)
            session.remove_last_turn()
            session.add_user_message("late")
            session.set_metadata("k", 1)
            session.active_persona_id = "p"
            return commit

        with monkeypatch.context() as patch:
            patch.setattr(store._engine, "append", append_while_the_session_goes_on)
            store.save_session(session)
        before = store.load_session("s")
        assert [turn.content for turn in before.turns()] == ["a", "b"]
        store.save_session(session)
        stored = store.load_session("s")
        assert [turn.content for turn in stored.turns()] == ["a", "late"]
        assert (stored.metadata, stored.active_persona_id) == ({"k": 1}, "p")
        assert stored.turns() == session.turns()
