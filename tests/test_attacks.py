"""Single stories that once went wrong: what was promised did not hold in the end."""

import asyncio
import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import pytest

import plainstate.engines.file.feed as feed_module
from plainstate import AsyncStateStore, open_store
from plainstate.core.ids import IdMaker
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.locks import DocumentLock
from plainstate.errors import (
    CursorExpiredError,
    LockTimeoutError,
    OutcomeUnknownError,
    StorageError,
)
from plainstate.fs.posix import PosixFileSystem
from plainstate.testing.crashfs import CrashFileSystem, PowerCut
from plainstate.testing.faultfs import FaultyFileSystem
from plainstate.types import Commit, DocumentId

sys.path.insert(0, str(Path(__file__).parent / "crash"))

from harness import BASE, Clock, patching, plain_path, same_every_time, write_file

X = DocumentId("c", "x")
Y = DocumentId("c", "y")
ADD_B = [{"op": "add", "path": "/items/-", "value": "b"}]


class Machine:
    """A disk in memory, and handles of several processes on it."""

    def __init__(self) -> None:
        self.disk = CrashFileSystem()
        self.disk.make_folder("/data")
        self.disk.sync_folder("/")
        self._clock = Clock()

    def open(self, fs=None, **options) -> FileEngine:
        fs = fs or self.disk.spawn()
        return FileEngine(
            BASE, fs=fs, clock_ns=self._clock, quiet_fold_s=3600, lock_timeout_s=0, **options
        )

    def add(self, engine: FileEngine, document: DocumentId, text: str, **options):
        return engine.append(document, patching(document, (text,)), **options)

    def items(self, document: DocumentId) -> list[str]:
        return self.open().read(document).value["items"]

    def after_power_cuts(self, document: DocumentId) -> list[list[str]]:
        """What may be found in a document if the power is cut now."""
        return [self.open(fs).read(document).value["items"] for fs in self.disk.images()]


@pytest.fixture
def machine() -> Iterator[Machine]:
    with same_every_time():
        yield Machine()


# --- locks --------------------------------------------------------------------------


def test_a_task_cancelled_while_it_leaves_a_transaction_keeps_no_lock(tmp_path: Path):
    async def leave_cancelled(store: AsyncStateStore, name: str) -> None:
        async with store.transaction("c", name) as document:
            document.value = 1
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)

    async def story() -> None:
        async with AsyncStateStore(tmp_path, lock_timeout_s=0.5) as store:
            for number in range(20):
                name = f"d{number}"
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.create_task(leave_cancelled(store, name))
                await store.save_json("c", name, 2)
                assert await store.load_json("c", name) == 2

    asyncio.run(story())


def test_a_transaction_that_close_does_not_wait_for_keeps_its_lock(tmp_path: Path):
    inside, go_on = threading.Event(), threading.Event()
    commits = []

    def transaction() -> None:
        with store.transaction("c", "x") as document:
            inside.set()
            go_on.wait()
            document.value["items"].append("long")
        commits.append(document.commit)

    store = open_store(tmp_path, lock_timeout_s=0.1, quiet_fold_s=3600)
    store.save_json("c", "x", {"items": []})
    thread = threading.Thread(target=transaction)
    thread.start()
    inside.wait()
    store.close()
    with open_store(tmp_path, lock_timeout_s=0.1) as other:
        try:
            with pytest.raises(LockTimeoutError):
                other.patch("c", "x", ADD_B, tx_id="b")
        finally:
            go_on.set()
            thread.join()
        commit = other.patch("c", "x", ADD_B, tx_id="b")
        assert (len(commits), commit.seq) == (1, commits[0].seq + 1)
        assert other.patch("c", "x", ADD_B, tx_id="b").duplicate
        assert other.load_json("c", "x") == {"items": ["long", "b"]}


# --- transaction ids and versions ---------------------------------------------------


def rename_cut_off(machine: Machine, call: int) -> bool:
    """Kills a process at a call of its rename; `False` if that has fewer calls."""
    machine.add(machine.open(), X, "1", tx_id="request")
    process = machine.disk.spawn()
    engine = machine.open(process)
    process.crash_at(call)
    try:
        engine.rename(X, Y)
    except PowerCut:
        return True
    else:
        return False
    finally:
        process.kill()


def rename_failed(machine: Machine, call: int) -> bool:
    """Lets a call of a rename fail; `False` if that has fewer calls."""
    fs = FaultyFileSystem(machine.disk.spawn())
    engine = machine.open(fs)
    machine.add(engine, X, "1", tx_id="request")
    fs.fail(errno.EIO, at=call)
    with suppress(StorageError):
        engine.rename(X, Y)
    return bool(fs.failed)


@pytest.mark.parametrize("stop", [rename_cut_off, rename_failed])
def test_a_rename_that_did_not_happen_brings_no_transaction_ids(stop):
    absent = 0
    for call in itertools.count(1):
        with same_every_time():
            machine = Machine()
            if not stop(machine, call):
                break
            if machine.open().read(Y) is None:
                absent += 1
                assert not machine.add(machine.open(), Y, "for y", tx_id="request").duplicate
                assert machine.items(Y) == ["for y"]
    assert absent


def test_the_acknowledged_version_is_the_one_that_readers_see(tmp_path: Path):
    with open_store(tmp_path) as store:
        store.save_json("c", "x", [1])
        store.patch("c", "x", [{"op": "add", "path": "/-", "value": 2}])
    (tmp_path / "c" / "x.json").unlink()
    with open_store(tmp_path) as store, open_store(tmp_path) as other:
        commit = store.save_json("c", "x", [3])
        assert other.read("c", "x").version == commit.version
        assert other.save_json("c", "x", [4], if_version=commit.version).seq == commit.seq + 1


def test_a_reader_never_goes_backwards_while_an_edit_is_folded(machine: Machine):
    engine = machine.open()
    machine.add(engine, X, "1")
    engine.checkpoint()
    machine.add(engine, X, "2")
    write_file(machine.disk, f"{BASE}/c/edited~", b'{"items": ["by hand", "1"]}')
    machine.disk.rename(f"{BASE}/c/edited~", plain_path(X))
    reader, seen = machine.open(), []

    class Watched(FaultyFileSystem):
        def _fails(self, method: str) -> bool:
            seen.append(reader.read(X).seq)
            return super()._fails(method)

    machine.add(machine.open(Watched(machine.disk.spawn())), X, "3")
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert machine.items(X) == ["by hand", "1", "2", "3"]


# --- durability ---------------------------------------------------------------------


def test_periodic_lines_are_synced_though_their_document_is_forgotten(machine: Machine):
    engine = machine.open(durability="periodic", max_open_documents=1)
    machine.add(engine, X, "1", durability="commit")
    machine.add(engine, Y, "1")
    engine._housekeeping.run()
    give_back = engine._access.entries.give_back

    def interrupted(entry) -> None:
        engine._access.entries.give_back = give_back
        give_back(entry)
        machine.add(engine, Y, "2")  # another thread, whose document takes the only place

    engine._access.entries.give_back = interrupted
    machine.add(engine, X, "2")
    engine._housekeeping.run()
    assert set(map(tuple, machine.after_power_cuts(X))) == {("1", "2")}


@pytest.mark.parametrize("after", ["background", "duplicate"])
def test_what_a_failed_sync_may_have_lost_is_made_good(machine: Machine, after: str):
    """The kernel forgets what it could not write: another sync would say yes, and save nothing."""
    fs = FaultyFileSystem(machine.disk.spawn())
    engine = machine.open(fs, durability="periodic")
    other = machine.open()
    machine.add(engine, X, "1", durability="commit")
    machine.add(engine, X, "2", tx_id="t")
    fs.fail(errno.EIO, {"sync"})
    if after == "background":
        engine._housekeeping.run()
    else:
        with suppress(OutcomeUnknownError):
            machine.add(engine, X, "2", tx_id="t", durability="commit")
    assert fs.failed
    fs.heal()
    machine.add(other, X, "3", durability="commit")
    assert set(map(tuple, machine.after_power_cuts(X))) == {("1", "2", "3")}


# --- the change feed ----------------------------------------------------------------


@pytest.fixture
def tiny_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FEED_SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(feed_module, "FEED_BYTES", 6_000)


RUBBISH = {
    "not UTF-8": lambda path: path.write_bytes(b'{"cursor":"\xff"}'),
    "nested": lambda path: path.write_bytes(b"[" * 100_000),
    "link": lambda path: path.symlink_to("elsewhere"),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.usefixtures("tiny_segments")
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_among_the_followers_fails_no_commit_and_keeps_no_segment(
    tmp_path: Path, rubbish: str
):
    with open_store(tmp_path) as store:
        with store.watch(follower="f"):
            pass
        store.remove_follower("f")
        RUBBISH[rubbish](tmp_path / ".plainstate" / "followers" / "x.json")
        for number in range(100):
            assert store.save_json("c", "x", number).seq == number + 1
    feed = tmp_path / ".plainstate" / "feed"
    assert sum(path.stat().st_size for path in feed.iterdir()) < 12_000


@pytest.mark.usefixtures("tiny_segments")
def test_a_hole_in_the_feed_is_told_and_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "FEED_BYTES", 10**6)
    with open_store(tmp_path) as store:
        for number in range(60):
            store.save_json("c", f"x{number}", number)
        first = store.changes(limit=1)
        full = sorted((tmp_path / ".plainstate" / "feed").iterdir())[:-1]
        full[2].unlink()
        before = store.changes(first.cursor)
        assert len(before) > 2
        with pytest.raises(CursorExpiredError) as caught:
            store.changes(before.cursor)
        behind = store.changes(caught.value.oldest)
        assert list(behind)[-1].document.name == "x59"
        with store.watch(since=first.cursor) as watch:
            assert [watch.next(timeout_s=1) for _ in before] == list(before)
            with pytest.raises(CursorExpiredError):
                watch.next(timeout_s=1)


# --- killed writers -----------------------------------------------------------------


def leave_dead_writers(folder: Path, number: int, line: str) -> None:
    make_id = IdMaker(time.time_ns, os.urandom)
    for _ in range(number):
        (folder / ".plainstate" / "writers" / make_id()).write_text(line)


def test_more_dead_writers_than_files_that_may_be_open(tmp_path: Path):
    with open_store(tmp_path) as store:
        store.append_user_message("s", "1", user_id="ada")
    leave_dead_writers(tmp_path, 300, "json sessions/s\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with open_store(tmp_path) as store:
            store.append_user_message("s", "2")
            assert store.list_sessions()[0].message_count == 2
            assert store.stats().files.dead_writers == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert list((tmp_path / ".plainstate" / "writers").iterdir()) == []


def test_a_dead_writer_is_buried_though_its_document_is_out_of_reach(tmp_path: Path):
    with open_store(tmp_path) as store:
        store.save_json("c", "x", 1)
        store.save_json("d", "x", 1)
    leave_dead_writers(tmp_path, 1, "json c/x\n")
    (tmp_path / "c").rename(tmp_path / "elsewhere")
    (tmp_path / "c").symlink_to("elsewhere")
    (tmp_path / "d" / "y.jsonl").symlink_to("x.json")
    with open_store(tmp_path) as store:
        store.save_json("d", "x", 2)
    assert list((tmp_path / ".plainstate" / "writers").iterdir()) == []


def test_who_was_buried_by_another_keeps_nothing_from_being_folded(tmp_path: Path):
    with open_store(tmp_path) as busy, open_store(tmp_path) as store:
        store.save_json("d", "x", 1)
        busy.save_json("c", "x", [])
        leave_dead_writers(tmp_path, 1, "json c/x\n")
        with busy.transaction("c", "x"):
            store.changes()  # cannot look after the dead one: somebody writes its document
        with open_store(tmp_path) as other:
            other.save_json("d", "x", 2)  # and buries it
        busy.patch("c", "x", [{"op": "add", "path": "/-", "value": 1}])
        busy._engine._background.stop()
        busy._engine._closed = True  # as if it was killed
        busy._engine._let_go(clean=False)
    assert (tmp_path / "c" / "x.json").exists()
    assert not (tmp_path / "c" / "x.jsonl").exists()


# --- fork ---------------------------------------------------------------------------

FORKS_INSIDE = """
import os, sys, time
from plainstate import open_store
from plainstate.errors import UsageError

store = open_store(sys.argv[1])
store.save_json("c", "x", [])
with store.transaction("c", "x") as document:
    child = os.fork()
    if child:
        os.waitpid(child, 0) if sys.argv[2] == "leaves" else None
        print(child, flush=True)
        sys.stdin.readline()
    elif sys.argv[2] == "leaves":
        document.value.append("child")
    else:
        time.sleep(60)
    document.value.append("parent")
"""


def fork_inside(folder: Path, child: str) -> subprocess.Popen[str]:
    """A process that has forked inside a transaction, which it is still in."""
    return subprocess.Popen(
        [sys.executable, "-c", FORKS_INSIDE, str(folder), child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_forked_child_does_not_give_back_its_parents_lock(tmp_path: Path):
    with fork_inside(tmp_path, "leaves") as parent:
        assert parent.stdout.readline()
        with open_store(tmp_path, lock_timeout_s=0.1) as store:
            assert store.load_json("c", "x") == []
            with pytest.raises(LockTimeoutError):
                store.save_json("c", "x", ["other"])
            parent.communicate("\n")
            assert store.load_json("c", "x") == ["parent"]


def test_a_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path):
    with fork_inside(tmp_path, "stays") as parent:
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            with open_store(tmp_path, lock_timeout_s=0.1) as store:
                store.save_json("c", "x", ["other"])
                assert store.stats().files.dead_writers == 1
        finally:
            os.kill(child, signal.SIGKILL)


# --- refused, and done all the same ------------------------------------------------------


class Hooked(PosixFileSystem):
    """Calls something once, before the next call of a method."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[[], object]] = {}

    def stat(self, path: str) -> os.stat_result | None:
        self.before.pop("stat", lambda: None)()
        return super().stat(path)

    def sync(self, fd: int) -> None:
        self.before.pop("sync", lambda: None)()
        super().sync(fd)


def append(engine: FileEngine, text: str) -> Commit:
    return engine.append(X, lambda _: [{"op": "add", "path": "/-", "value": text}])


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[tuple[FileEngine, Hooked]]:
    fs = Hooked()
    engine = FileEngine(str(tmp_path), fs=fs, quiet_fold_s=3600, lock_timeout_s=0.01)
    engine.replace(X, [])
    append(engine, "first")
    yield engine, fs
    engine.close()


def test_who_is_committed_by_somebody_slow_is_not_told_that_it_was_locked(hooked):
    engine, fs = hooked
    with ThreadPoolExecutor() as threads:
        waiting = []

        def until_another_waits() -> None:
            waiting.append(threads.submit(append, engine, "theirs"))
            while len(engine._access.entries._entries[X].queue) < 1:
                time.sleep(0.001)
            fs.before["sync"] = lambda: wait(waiting, timeout=0.2)  # longer than its patience

        fs.before["stat"] = until_another_waits
        append(engine, "mine")
        assert waiting[0].result().seq == 3
    assert engine.read(X).value == ["first", "theirs", "mine"]


def test_what_could_not_be_read_for_one_is_not_committed_by_the_next(hooked, monkeypatch):
    engine, fs = hooked
    release = DocumentLock.release

    def release_to_another(self: DocumentLock) -> None:
        release(self)
        monkeypatch.undo()
        append(engine, "theirs")

    def fail() -> None:
        monkeypatch.setattr(DocumentLock, "release", release_to_another)
        raise OSError(errno.EIO, "it cannot be read")

    fs.before["stat"] = fail
    with pytest.raises(StorageError):
        append(engine, "refused")
    assert engine.read(X).value == ["first", "theirs"]
