"""Faces and engines, so that one machine drives all of them.

A face is used like a blocking store, whichever of the two it is.  A world is an engine together
with what may happen around it: handles that open, files that a person edits, processes that die.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import plainstate.archive.importing as importing_module
import plainstate.engines.file.document as document_module
import plainstate.engines.file.folding as folding_module
import plainstate.messages as messages_module
import plainstate.retention as retention_module
from plainstate import AsyncStateStore, StateStore, open_store
from plainstate.engines.file.engine import FileEngine
from plainstate.engines.memory import MemoryEngine
from plainstate.testing.crashfs import CrashFileSystem

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from harness import Clock, same_every_time, write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate.types import DocumentId

BASE = "/data/store"
SUFFIXES = {"json": ".json", "markdown": ".md"}


# --- faces ---------------------------------------------------------------------


class BlockingFace:
    """`StateStore` as it is."""

    def __init__(self, store: StateStore, fs: CrashFileSystem | None, durability: str) -> None:
        self.raw = store
        self.fs = fs
        self.durability = durability

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def abandon(self) -> None:
        """Its process is dead: nothing is closed."""
        self.raw._closed = True
        self.raw._index.close()

    def cancel_next(self, turns: int | None) -> None:
        """Only what is awaited can be cancelled."""


class AsyncFace:
    """`AsyncStateStore`, each call of which runs an event loop until it is done."""

    def __init__(self, store: StateStore, fs: CrashFileSystem | None, durability: str) -> None:
        self.raw = store
        self.fs = fs
        self.durability = durability
        self._loop = asyncio.new_event_loop()
        self._store = AsyncStateStore(store)
        self._turns: int | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *args, **options: self._run(method(*args, **options))

    @contextmanager
    def transaction(self, *args: Any, **options: Any) -> Iterator[Any]:
        transaction = self._store.transaction(*args, **options)
        with self._entered(transaction):
            yield transaction

    @contextmanager
    def watch(self, *args: Any, **options: Any) -> Iterator[Any]:
        watch = self._store.watch(*args, **options)
        with self._entered(watch):
            yield SimpleNamespace(next=lambda timeout_s: self._run(watch.next(timeout_s)))

    def close(self) -> None:
        self._turns = None
        try:
            self._run(self._store.close())
        finally:
            self._loop.close()

    def abandon(self) -> None:
        self.raw._closed = True
        self.raw._index.close()
        self._store._writers.shutdown()
        self._store._readers.shutdown()
        self._loop.close()

    def cancel_next(self, turns: int | None) -> None:
        """The next call is cancelled after so many turns of the event loop."""
        self._turns = turns

    @contextmanager
    def _entered(self, manager: Any) -> Iterator[None]:
        """`async with`, in one context as in one task."""
        context = copy_context()

        def run(step: Any) -> Any:
            return self._loop.run_until_complete(self._loop.create_task(step, context=context))

        run(manager.__aenter__())
        try:
            yield
        except BaseException as error:
            if not run(manager.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            run(manager.__aexit__(None, None, None))

    def _run(self, awaited: Any) -> Any:
        turns, self._turns = self._turns, None
        return self._loop.run_until_complete(_cancelled(awaited, turns))


async def _cancelled(awaited: Any, turns: int | None) -> Any:
    if turns is None:
        return await awaited
    task = asyncio.ensure_future(awaited)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    return await task


FACES = {"blocking": BlockingFace, "async": AsyncFace}


# --- worlds --------------------------------------------------------------------


class World:
    """What all worlds have in common.

    Attributes:
        has_files: a person can edit plain files, and the store can be checked.
        can_crash: a process can be killed, and the power cut.
        next_run: the name of the next run of `prune_sessions`.
    """

    has_files = can_crash = False
    next_run = ""

    def __init__(self, fold_floor: int) -> None:
        self._stack = ExitStack()
        if self.can_crash:
            self._stack.enter_context(same_every_time())
        self.patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        self.patch.setattr(retention_module, "_make_run", lambda: self.next_run)
        for module in (document_module, folding_module):
            self.patch.setattr(module, "FOLD_FLOOR_BYTES", fold_floor)

    def close(self) -> None:
        self._stack.close()

    def quiet(self, faces: list[Any]) -> None:
        """Waits until no thread works behind the calls: a fold would race with an editor."""


class MemoryWorld(World):
    """Handles on one `MemoryEngine`, which outlives each of them."""

    def __init__(self, fold_floor: int) -> None:
        super().__init__(fold_floor)
        self._engine = MemoryEngine()
        self.patch.setattr(self._engine, "close", lambda: None)

    def open(self, face: str, durability: str, history: str) -> Any:
        del history  # memory keeps everything
        return FACES[face](StateStore.on(self._engine, "memory:"), None, durability)


class DiskWorld(World):
    """A folder of the real file system."""

    has_files = True

    def __init__(self, fold_floor: int) -> None:
        super().__init__(fold_floor)
        self.place = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="model-"))

    def open(self, face: str, durability: str, history: str) -> Any:
        store = open_store(self.place, durability=durability, history=history, quiet_fold_s=3600)
        return FACES[face](store, None, durability)

    def quiet(self, faces: list[Any]) -> None:
        for index in (face.raw._index for face in faces):
            index._hurry.set()
            if index._thread is not None:
                index._thread.join()

    def path(self, document: DocumentId) -> Path:
        return Path(self.place, f"{document}{SUFFIXES[document.kind]}")

    def plain(self, document: DocumentId) -> bytes | None:
        path = self.path(document)
        return path.read_bytes() if path.exists() else None

    def edit(self, document: DocumentId, data: bytes) -> None:
        path = self.path(document)
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_name(".editor~")
        temp.write_bytes(data)
        temp.replace(path)

    def remove(self, document: DocumentId) -> None:
        self.path(document).unlink()

    def journal(self, document: DocumentId) -> bytes | None:
        path = self.path(document).with_suffix(JOURNALS[document.kind])
        return path.read_bytes() if path.exists() else None

    def files(self) -> list[str]:
        """Every file of the store, relative to it."""
        found = (path for path in Path(self.place).rglob("*") if path.is_file())
        return [str(path.relative_to(self.place)) for path in found]


class CrashWorld(World):
    """Processes on a machine whose power can be cut."""

    has_files = can_crash = True

    def __init__(self, fold_floor: int) -> None:
        super().__init__(fold_floor)
        self._disk = CrashFileSystem()
        self._disk.make_folder("/data")
        self._disk.sync_folder("/")
        self._clock = Clock()
        self.patch.setattr(messages_module, "time", SimpleNamespace(time_ns=self._clock))
        self.patch.setattr(importing_module, "_WRITERS", 1)  # each call is the n-th one again

    def open(self, face: str, durability: str, history: str) -> Any:
        fs = self._disk.spawn()
        engine = FileEngine(
            BASE,
            fs=fs,
            clock_ns=self._clock,
            durability=durability,
            history=history,
            quiet_fold_s=1e-9,  # everything is quiet when `housekeeping` runs
            lock_timeout_s=0,
        )
        return FACES[face](StateStore.on(engine, f"file://{BASE}"), fs, durability)

    def kill(self, face: Any) -> None:
        face.fs.kill()
        face.abandon()

    def cut_power(self, faces: list[Any], image: int) -> None:
        images = list(self._disk.images(24))
        for face in faces:
            self.kill(face)
        self._disk = images[image % len(images)]

    def plain(self, document: DocumentId) -> bytes | None:
        return self._disk.content(self._path(document))

    def edit(self, document: DocumentId, data: bytes) -> None:
        folder = BASE
        for part in ("", *document.category.split("/")):
            folder = f"{folder}/{part}".rstrip("/")
            if self._disk.stat(folder) is None:
                self._disk.make_folder(folder)
                self._disk.sync_folder(folder.rpartition("/")[0])
        write_file(self._disk, f"{folder}/.editor~", data)
        self._disk.rename(f"{folder}/.editor~", self._path(document))
        self._disk.sync_folder(folder)

    def remove(self, document: DocumentId) -> None:
        self._disk.unlink(self._path(document))
        self._disk.sync_folder(f"{BASE}/{document.category}")

    def journal(self, document: DocumentId) -> bytes | None:
        return self._disk.content(f"{BASE}/{document}{JOURNALS[document.kind]}")

    @contextmanager
    def damaged(self, document: DocumentId, data: bytes) -> Iterator[None]:
        """In `with`: the journal holds other bytes."""
        inode = self._disk._machine.names[f"{BASE}/{document}{JOURNALS[document.kind]}"]
        before, inode.cache = inode.cache, data
        try:
            yield
        finally:
            inode.cache = before

    def files(self) -> list[str]:
        under = f"{BASE}/"
        found = (path for path in self._disk.paths() if self._disk.content(path) is not None)
        return [path.removeprefix(under) for path in found if path.startswith(under)]

    def _path(self, document: DocumentId) -> str:
        return f"{BASE}/{document}{SUFFIXES[document.kind]}"


JOURNALS = {"json": ".jsonl", "markdown": ".mdl"}

WORLDS: dict[str, Callable[[int], Any]] = {
    "memory": MemoryWorld,
    "disk": DiskWorld,
    "crash": CrashWorld,
}
