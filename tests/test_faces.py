"""Two faces that behave alike, and the handle as a Python object."""

import asyncio
import contextvars
import errno
import gc
import inspect
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from collections import UserDict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from plainstate import AsyncStateStore, StateStore, UserMessage, open_store
from plainstate.aio.appending import _run_all
from plainstate.engines.base import Append
from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import (
    DamagedError,
    InvalidNameError,
    NotFoundError,
    OutcomeUnknownError,
    OwnershipError,
    StorageError,
    UsageError,
)
from plainstate.fs.posix import PosixFileSystem
from plainstate.testing.faultfs import FaultyFileSystem
from plainstate.types import Commit, DocumentId

ROOT = Path(__file__).parent.parent
BY_HAND = {"close", "transaction", "watch"}


def public(face: type) -> set[str]:
    return {name for name in dir(face) if not name.startswith("_")}


# --- they cannot drift ---------------------------------------------------------


def test_the_faces_have_the_same_names():
    instance_attributes = {"url"}
    assert public(AsyncStateStore) == public(StateStore) | instance_attributes


@pytest.mark.parametrize("name", sorted(public(StateStore)))
def test_signatures_agree(name: str):
    blocking, twin = getattr(StateStore, name), getattr(AsyncStateStore, name)
    ours, theirs = inspect.signature(blocking), inspect.signature(twin)
    assert theirs.parameters == ours.parameters
    if name in ("transaction", "watch", "on"):
        assert not inspect.iscoroutinefunction(twin)
        return
    assert inspect.iscoroutinefunction(twin)
    assert theirs.return_annotation == ours.return_annotation
    assert twin.__doc__.splitlines()[0].split(";")[0].rstrip(".") in blocking.__doc__


def test_the_async_face_is_up_to_date():
    check = [sys.executable, str(ROOT / "tools" / "make_async.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- importing -------------------------------------------------------------------


USES = {
    "import": "",
    "append": "store.append_user_message('s', 'hello', user_id='ada')",
    "list": "store.list_sessions()",
}
NOT_NEEDED = {
    "import": [
        *("sqlite3", "ctypes", "hashlib"),
        *("plainstate.engines.file", "plainstate.index.database"),
    ],
    "append": ["sqlite3", "plainstate.index.database"],
    "list": ["hashlib", "plainstate.index.search", "plainstate.index.query"],
}
NEVER_NEEDED = ["asyncio", "pydantic", "dataclasses", "urllib.parse", "http", "email"]


@pytest.mark.parametrize("use", USES)
def test_nothing_is_imported_before_it_is_needed(use: str, tmp_path: Path):
    """Each takes a part of the time in which a short-lived process could be done."""
    lines = [f"store = plainstate.open_store({str(tmp_path)!r})", USES[use]] if USES[use] else []
    code = "\n".join(["import plainstate", *lines, "import sys", "print(*sys.modules)"])
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert "plainstate.store" in loaded
    assert loaded.isdisjoint(NEVER_NEEDED + NOT_NEEDED[use])


def test_import_starts_nothing():
    code = (
        "import threading, plainstate; s = plainstate.open_store('memory:'); s.close();"
        "assert threading.active_count() == 1"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_opening_creates_nothing(tmp_path: Path):
    with open_store(tmp_path / "a" / "b") as store:
        assert store.list_sessions() == []
        assert store.load_json("c", "d") is None
        assert store.delete_file("c", "d") is False
    assert list(tmp_path.iterdir()) == []


# --- cancelling --------------------------------------------------------------------


class SlowFileSystem(PosixFileSystem):
    """Syncs wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()
        self.slow = False

    def sync(self, fd: int) -> None:
        if self.slow:
            self.reached.set()
            assert self.go.wait(10)
        super().sync(fd)


def slow_store(folder: Path) -> tuple[AsyncStateStore, SlowFileSystem]:
    fs = SlowFileSystem()
    return AsyncStateStore.on(FileEngine(str(folder), fs=fs), folder.as_uri()), fs


async def reached(fs: SlowFileSystem) -> None:
    while not fs.reached.is_set():  # noqa: ASYNC110 - it is set in a thread
        await asyncio.sleep(0.001)


def test_a_cancelled_append_settles_first(tmp_path: Path):
    async def main() -> None:
        store, fs = slow_store(tmp_path)
        async with store:
            await store.append_user_message("s", "1", user_id="ada")
            fs.slow = True
            append = asyncio.create_task(store.append_user_message("s", "2", tx_id="t"))
            await reached(fs)
            append.cancel()
            append.cancel()
            await asyncio.sleep(0.05)
            assert not append.done()  # the disk has not answered yet
            append.cancel()
            await asyncio.sleep(0.05)
            assert not append.done()
            fs.slow = False
            fs.go.set()
            with pytest.raises(asyncio.CancelledError):
                await append
            session = await store.load_session("s")
            assert [turn.content for turn in session.turns()] == ["1", "2"]
            again = await store.append_user_message("s", "2", tx_id="t")
            assert again.duplicate

    asyncio.run(main())


def test_appends_of_many_tasks_are_all_there_in_the_order_of_each(tmp_path: Path):
    async def talk(store: AsyncStateStore, task: int) -> None:
        for number in range(6):
            await store.append_user_message(f"s{task % 3}", f"{task}.{number}", user_id="ada")

    async def main() -> None:
        async with AsyncStateStore(tmp_path) as store:
            await asyncio.gather(*(talk(store, task) for task in range(30)))
            for session in range(3):
                loaded = await store.load_session(f"s{session}")
                said = [turn.content.split(".") for turn in loaded.turns()]
                for task in range(session, 30, 3):
                    own = [number for who, number in said if who == str(task)]
                    assert own == [str(number) for number in range(6)]

    asyncio.run(main())


def test_of_appends_that_are_done_together_each_has_its_own_outcome(tmp_path: Path):
    async def main() -> None:
        async with AsyncStateStore(tmp_path) as store:
            for name in ("good", "bad"):
                await store.append_user_message(name, "1", user_id="ada")
        (tmp_path / "sessions" / "bad.json").write_text("{")
        async with AsyncStateStore(tmp_path) as store:
            outcomes = await asyncio.gather(
                store.append_user_message("good", "2"),
                store.append_user_message("bad", "2"),
                store.append_user_message("absent", "2"),
                store.append_user_message("no/name", "2"),
                store.append_user_message("good", "3", user_id="eve"),
                store.append_messages("good", [UserMessage("4")]),
                return_exceptions=True,
            )
            assert [type(outcome) for outcome in outcomes] == [
                Commit,
                DamagedError,
                NotFoundError,
                InvalidNameError,
                OwnershipError,
                Commit,
            ]
            session = await store.load_session("good")
            assert [turn.content for turn in session.turns()] == ["1", "2", "4"]

    asyncio.run(main())


def test_appends_that_are_done_together_wait_for_the_disk_together(tmp_path: Path):
    class Meeting(SlowFileSystem):
        """Each sync waits for seven others."""

        meeting: threading.Barrier | None = None

        def sync(self, fd: int) -> None:
            if self.meeting is not None:
                self.meeting.wait(10)
            super().sync(fd)

    async def main() -> None:
        fs = Meeting()
        names = [f"s{number}" for number in range(8)]
        store = AsyncStateStore.on(FileEngine(str(tmp_path), fs=fs), tmp_path.as_uri())
        async with store:
            for name in (*names, "first"):
                await store.append_user_message(name, "1", user_id="ada")
            fs.slow = True
            first = asyncio.create_task(store.append_user_message("first", "2"))
            await reached(fs)
            appends = [asyncio.create_task(store.append_user_message(name, "2")) for name in names]
            await asyncio.sleep(0)  # now they wait, and are done together
            fs.slow, fs.meeting = False, threading.Barrier(8)
            fs.go.set()
            await asyncio.gather(first, *appends)
            fs.meeting = None

    asyncio.run(main())


def test_the_calls_of_a_batch_run_in_the_end_and_raise_what_one_of_them_raised():
    done = []
    calls = [partial(done.append, number) for number in range(40)]
    with ThreadPoolExecutor(7) as pool:
        for at in (0, 1):  # in this thread, in another one
            with pytest.raises(SystemExit):
                _run_all(pool, [*calls[:at], sys.exit])
            assert len(done) == at
        _run_all(pool, calls)
        assert sorted(done[1:]) == list(range(40))
    _run_all(pool, calls)  # the interpreter ends, and no thread begins any more
    assert len(done) == 81


def _refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _growing(head):
    at_end = {"op": "add", "path": "/-", "value": "one more"}
    return [{"op": "add", "path": "", "value": []} if head.version is None else at_end]


def test_no_line_is_confirmed_twice_where_there_can_be_no_more_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = FileEngine(str(tmp_path)), FileEngine(str(tmp_path))
    documents = [DocumentId("c", name) for name in ("a", "b")]
    with ThreadPoolExecutor(7) as pool:

        def append_together() -> None:
            appends = [Append(document, _growing, None, None) for document in documents]
            one.append_together(appends, partial(_run_all, pool))
            assert all(append.outcome() for append in appends)

        def append_by_the_other() -> None:
            for document in documents:
                other.append(document, _growing)

        for document in documents:
            one.append(document, _growing)
        append_by_the_other()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _refuse)
            append_together()
        append_together()
        append_by_the_other()  # a line as long as the one that was confirmed without a thread
        append_together()
    for document in documents:
        assert len(other.read(document).value) == 5
    one.close()
    other.close()


def test_what_a_batch_that_failed_has_acknowledged_is_synced_soon(tmp_path: Path):
    def run_and_fail(calls) -> None:
        for call in calls:
            call()
        raise MemoryError

    class Noting(PosixFileSystem):
        def sync(self, fd: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{fd}"))
            super().sync(fd)

    synced: list[str] = []
    engine = FileEngine(
        str(tmp_path), fs=Noting(), durability="periodic", sync_interval_s=0.01, quiet_fold_s=3600
    )
    documents = [DocumentId("c", name) for name in ("a", "b")]
    for document in documents:
        engine.append(document, _growing, durability="os")
    appends = [Append(document, _growing, None, None) for document in documents]
    synced.clear()
    with pytest.raises(MemoryError):
        engine.append_together(appends, run_and_fail)
    assert [append.outcome().seq for append in appends] == [2, 2]
    journals = {str(tmp_path / "c" / f"{name}.jsonl") for name in ("a", "b")}
    deadline = time.monotonic() + 10
    while set(synced) != journals and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(synced) == journals
    engine.close()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_commit_stands_where_there_is_no_memory_to_fold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    """Who is told of an error behind a commit retries, and then it is there twice."""

    def fold(_: FileDocument) -> None:
        tried.append(None)
        raise MemoryError

    tried: list[None] = []
    engine = FileEngine(str(tmp_path), quiet_fold_s=3600)
    documents = [DocumentId("c", str(index)) for index in range(number or 1)]
    with monkeypatch.context() as patched:
        patched.setattr(FileDocument, "wants_fold", True)
        patched.setattr(FileDocument, "fold", fold)
        if number:
            appends = [Append(document, _growing, None, None) for document in documents]
            engine.append_together(appends, lambda calls: [call() for call in calls])
            assert [append.outcome().seq for append in appends] == [1] * number
        else:
            assert engine.append(documents[0], _growing).seq == 1
    assert len(tried) == len(documents)
    for document in documents:
        assert engine.append(document, _growing).seq == 2
    engine.close()


@pytest.mark.parametrize("method", ["append_user_message", "append_markdown"])
def test_a_call_that_gets_no_thread_is_not_made_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
):
    async def main() -> None:
        store = AsyncStateStore(tmp_path)
        await store.append_user_message("s", "1", user_id="ada")  # in a thread of its own
        arguments = ("s", "2") if method == "append_user_message" else ("notes", "n", "2")
        entry = store._store._engine._access.entries.borrow(DocumentId("sessions", "s"))
        entry.lock.acquire(1)  # so that its message, too, needs a thread
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _refuse)
            with pytest.raises((RuntimeError, UsageError)):
                await getattr(store, method)(*arguments)
        entry.lock.release()
        store._store._engine._access.entries.give_back(entry)
        await store.save_markdown("notes", "other", "a thread does this, and what waits for it")
        session = await store.load_session("s")
        assert [turn.content for turn in session.turns()] == ["1"]
        assert await store.load_markdown("notes", "n") is None
        await store.close()

    asyncio.run(main())


def test_a_batch_that_cannot_be_handed_out_ends_before_it_fails():
    class Full(ThreadPoolExecutor):
        refuse = False

        def submit(self, *args, **options):
            if self.refuse:
                raise MemoryError
            self.refuse = True
            return super().submit(*args, **options)

    ended = []

    def slow() -> None:
        time.sleep(0.1)
        ended.append(None)

    with Full(7) as pool:
        with pytest.raises(MemoryError):
            _run_all(pool, [slow] * 3)
        assert len(ended) == 1


async def _awaited(call, *args, **options):
    result = call(*args, **options)
    return await result if inspect.isawaitable(result) else result


@pytest.mark.parametrize("together", [False, True])
def test_a_retry_is_not_acknowledged_while_it_cannot_be_made_durable(
    tmp_path: Path, *, together: bool
):
    async def main() -> None:
        fs = FaultyFileSystem(PosixFileSystem())
        store = AsyncStateStore.on(FileEngine(str(tmp_path), fs=fs), tmp_path.as_uri())
        await store.append_user_message("s", "1", user_id="ada")
        await store.append_user_message("s", "2", tx_id="t", durability="os")
        retry = store if together else store._store
        fs.fail(errno.EIO, {"sync", "create"}, times=1_000)
        with pytest.raises(OutcomeUnknownError):
            await asyncio.wait_for(_awaited(retry.append_user_message, "s", "2", tx_id="t"), 10)
        fs.fail(errno.EIO, set())
        assert (await store.append_user_message("s", "2", tx_id="t")).duplicate
        await store.close()

    asyncio.run(main())


def test_a_lock_that_cannot_be_taken_is_told_to_those_alone_who_wait_for_it(tmp_path: Path):
    class Unlockable(PosixFileSystem):
        byte = -1

        def try_lock(self, fd: int, offset: int) -> bool:
            if offset == self.byte:
                raise OSError(errno.ENOLCK, "no locks left")
            return super().try_lock(fd, offset)

    async def main() -> None:
        fs = Unlockable()
        store = AsyncStateStore.on(FileEngine(str(tmp_path), fs=fs), tmp_path.as_uri())
        for name in "abc":
            await store.append_user_message(name, "0", user_id="ada")
        entries = store._store._engine._access.entries._entries
        fs.byte = next(entries[one].lock._byte for one in entries if one.name == "b")
        outcomes = await asyncio.gather(
            *(store.append_user_message(name, "1") for name in "abc"), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Commit, StorageError, Commit]
        fs.byte = -1
        await store.append_user_message("b", "1")
        for name in "abc":
            session = await store.load_session(name)
            assert [turn.content for turn in session.turns()] == ["0", "1"]
        await store.close()

    asyncio.run(main())


def test_metadata_that_stops_in_a_wrong_way_harms_nobody_else(tmp_path: Path):
    class Stopping(UserDict):
        def keys(self):
            raise StopIteration

    async def main() -> None:
        async with AsyncStateStore(tmp_path) as store:
            appends = asyncio.gather(
                store.append_user_message("a", "1", user_id="ada", metadata=Stopping(a=1)),
                store.append_user_message("a", "2", user_id="ada"),
                store.append_messages("b", iter([UserMessage("3")]), user_id="ada"),
                return_exceptions=True,
            )
            outcomes = await asyncio.wait_for(appends, 10)
            assert [type(outcome) for outcome in outcomes] == [RuntimeError, Commit, Commit]

    asyncio.run(main())


def test_an_append_that_was_not_begun_is_called_off(tmp_path: Path):
    async def main() -> None:
        store, fs = slow_store(tmp_path)
        async with store:
            await store.append_user_message("s", "1", user_id="ada")
            fs.slow = True
            syncs = asyncio.create_task(store.append_user_message("s", "2"))
            await reached(fs)
            late = asyncio.create_task(store.append_user_message("s", "3"))
            await asyncio.sleep(0)
            late.cancel()
            with pytest.raises(asyncio.CancelledError):
                await late
            fs.slow = False
            fs.go.set()
            await syncs
            session = await store.load_session("s")
            assert [turn.content for turn in session.turns()] == ["1", "2"]

    asyncio.run(main())


def test_a_cancelled_entry_gives_the_lock_back(tmp_path: Path):
    async def main() -> None:
        async with AsyncStateStore(tmp_path, lock_timeout_s=5) as store:

            async def enter() -> None:
                async with store.transaction("c", "d"):
                    raise AssertionError("it was cancelled while it waited")

            async with store.transaction("c", "d") as doc:
                context = contextvars.Context()
                waiting = asyncio.get_running_loop().create_task(enter(), context=context)
                await asyncio.sleep(0.05)
                waiting.cancel()
                doc.value = 1
            with pytest.raises(asyncio.CancelledError):
                await waiting
            async with store.transaction("c", "d") as doc:
                doc.value += 1
            assert await store.load_json("c", "d") == 2

    asyncio.run(main())


def test_a_cancelled_block_commits_nothing(tmp_path: Path):
    async def main() -> None:
        async with AsyncStateStore(tmp_path, lock_timeout_s=5) as store:

            async def hold() -> None:
                async with store.transaction("c", "d") as doc:
                    doc.value = 1
                    await asyncio.sleep(10)

            task = asyncio.create_task(hold())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await store.load_json("c", "d") is None
            await store.save_json("c", "d", 2)

    asyncio.run(main())


def test_a_timeout_does_not_lose_the_outcome(tmp_path: Path):
    async def main() -> None:
        store, fs = slow_store(tmp_path)
        async with store:
            await store.append_markdown("c", "d", "1")
            fs.slow = True
            threading.Timer(0.2, fs.go.set).start()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.append_markdown("c", "d", "2"), 0.05)
            assert await store.load_markdown("c", "d") == "12"

    asyncio.run(main())


def test_the_loop_goes_on_while_the_disk_is_slow(tmp_path: Path):
    async def main() -> None:
        store, fs = slow_store(tmp_path)
        async with store:
            await store.append_markdown("c", "d", "1")
            fs.slow = True
            append = asyncio.create_task(store.append_markdown("c", "d", "2"))
            await reached(fs)
            assert await asyncio.wait_for(store.load_markdown("c", "other"), 5) is None
            fs.go.set()
            await append

    asyncio.run(main())


# --- many at once --------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["file", "memory:"])
def test_a_transaction_across_awaits_starves_nobody(engine: str, tmp_path: Path):
    """More wait for the lock than there are threads; its holder still gets through."""

    async def main() -> None:
        place = tmp_path if engine == "file" else engine
        async with AsyncStateStore(place, lock_timeout_s=4) as store:
            await store.save_json("c", "other", 1)

            async def count() -> None:
                async with store.transaction("c", "d") as doc:
                    await asyncio.sleep(0)
                    doc.value = (doc.value or 0) + 1

            loop = asyncio.get_running_loop()
            async with store.transaction("c", "d") as doc:
                tasks = [
                    loop.create_task(count(), context=contextvars.Context()) for _ in range(64)
                ]
                await asyncio.sleep(0.1)
                begun = time.monotonic()
                doc.value = await store.load_json("c", "other")
                assert time.monotonic() - begun < 2, "the holder waited behind the waiting"
            await asyncio.gather(*tasks)
            assert await store.load_json("c", "d") == 65

    asyncio.run(main())


@pytest.mark.parametrize("engine", ["file", "memory:"])
def test_threads_share_a_handle(engine: str, tmp_path: Path):
    with open_store(tmp_path if engine == "file" else engine) as store:

        def work(who: int) -> None:
            for turn in range(10):
                store.append_user_message("s", f"{who}:{turn}", user_id="ada")
                with store.transaction("c", f"d{turn % 3}") as doc:
                    doc.value = (doc.value or 0) + 1
                assert store.load_session("s").user_messages

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(work, range(16)))
        contents = [turn.content for turn in store.load_session("s").turns()]
        assert sorted(contents) == sorted(f"{who}:{n}" for who in range(16) for n in range(10))
        assert sum(store.load_json("c", f"d{n}") for n in range(3)) == 160


def test_few_open_documents_many_threads(tmp_path: Path):
    """Closing idle documents does not let two writers in at once."""
    with open_store(tmp_path, max_open_documents=1, lock_timeout_s=5) as store:

        def work(who: int) -> None:
            for turn in range(20):
                with store.transaction("c", f"d{(who + turn) % 4}") as doc:
                    doc.value = (doc.value or 0) + 1

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert sum(store.load_json("c", f"d{n}") for n in range(4)) == 160


def test_checkpoint_beside_writers(tmp_path: Path):
    """Folding documents that this handle has not opened yet does not race its writers."""
    for _ in range(4):
        leave_journals(tmp_path)
        with open_store(tmp_path, lock_timeout_s=5) as store:
            before = {n: len(store.load_session(f"s{n}").user_messages) for n in range(8)}

            def talk(n: int, store: StateStore = store) -> None:
                for turn in range(4):
                    store.append_user_message(f"s{n}", f"m{turn}")

            with ThreadPoolExecutor(9) as threads:
                jobs = [threads.submit(store.checkpoint)]
                jobs += [threads.submit(talk, n) for n in range(8)]
                for job in jobs:
                    job.result()
            for n in range(8):
                said = [message.content for message in store.load_session(f"s{n}").user_messages]
                assert said[before[n] :] == ["m0", "m1", "m2", "m3"]


def leave_journals(folder: Path) -> None:
    """Another process writes and dies."""
    code = f"""
import os, plainstate
store = plainstate.open_store({str(folder)!r})
for n in range(8):
    store.append_user_message(f"s{{n}}", "0", user_id="ada")
os._exit(0)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


# --- the handle ----------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["file", "memory:"])
def test_a_forked_child_is_refused(engine: str, tmp_path: Path):
    with open_store(tmp_path if engine == "file" else engine) as store:
        store.append_markdown("c", "d", "parent")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                store.append_markdown("c", "d", "child")
            except UsageError as error:
                status = 0 if "fork" in str(error) and error.hint else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.load_markdown("c", "d") == "parent"


def test_closing_in_a_forked_child_is_harmless(tmp_path: Path):
    with open_store(tmp_path) as store:
        store.append_markdown("c", "d", "1")
        child = os.fork()
        if child == 0:
            try:
                store.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert (tmp_path / "c" / "d.mdl").exists()
        store.append_markdown("c", "d", "2")
    assert (tmp_path / "c" / "d.md").read_text("utf-8") == "12"


@pytest.mark.parametrize("options", [{}, {"durability": "os", "lock_timeout_s": 0.5}])
def test_a_store_pickles(tmp_path: Path, options: dict[str, object]):
    with StateStore(tmp_path, **options) as store:
        store.save_json("c", "d", 1)
        with pickle.loads(pickle.dumps(store)) as again:
            assert again.load_json("c", "d") == 1
            assert again.url == store.url
            assert again._reopen_with == store._reopen_with


def test_a_relative_path_pickles_as_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with open_store("here") as store:
        store.save_json("c", "d", 1)
        data = pickle.dumps(store)
    monkeypatch.chdir("/")
    with pickle.loads(data) as again:
        assert again.load_json("c", "d") == 1


def test_an_async_store_pickles(tmp_path: Path):
    async def main() -> None:
        async with AsyncStateStore(tmp_path) as store:
            await store.save_json("c", "d", 1)
            async with pickle.loads(pickle.dumps(store)) as again:
                assert await again.load_json("c", "d") == 1

    asyncio.run(main())


def test_a_memory_store_does_not_pickle():
    with open_store("memory:") as store, pytest.raises(UsageError) as raised:
        pickle.dumps(store)
    assert raised.value.hint


def forget(face: type, place: object) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = face(place)
        del store
        gc.collect()
    return caught


@pytest.mark.parametrize("face", [StateStore, AsyncStateStore])
@pytest.mark.parametrize("engine", ["file", "memory:"])
def test_a_forgotten_store_warns(face: type, engine: str, tmp_path: Path):
    caught = forget(face, tmp_path if engine == "file" else engine)
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert "not closed" in str(caught[0].message)


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("s3://bucket", {}),
        ("file://host/x", {}),
        ("", {}),
        ("memory:", {"durability": "always"}),
        ("memory:", {"quiet_folds": 1}),
        ("store", {"quiet_folds": 1}),
    ],
)
def test_a_store_that_cannot_open_leaves_nothing(
    place: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The error is all there is: no warning about a store that was never open."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises((UsageError, ValueError)) as raised:
            StateStore(place, **options)
        assert raised.value.hint
        del raised
        gc.collect()
    assert caught == []
    assert list(tmp_path.iterdir()) == []


def test_places(tmp_path: Path):
    folder = tmp_path / "a b%"
    with open_store(folder) as store:
        store.save_json("c", "d", 1)
        assert repr(store) == f"<StateStore {store.url}>"
    with open_store(store.url) as again:
        assert again.load_json("c", "d") == 1
    with open_store("memory:") as memory:
        assert memory.url == "memory:"


def test_no_thread_is_left(tmp_path: Path):
    async def main() -> None:
        async with AsyncStateStore(tmp_path) as store:
            await store.append_markdown("c", "d", "x")

    before = threading.active_count()
    asyncio.run(main())
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
