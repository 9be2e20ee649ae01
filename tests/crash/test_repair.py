"""Repair cut off at every call, in every state that a power cut can leave, then run again.

Whatever happens on the way: every document that could be read stays as it was, no line of any
file is lost, and in the end the store is as it is after one repair that nobody cut off.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from harness import BASE, NEVER_S, Clock, same_every_time

from plainstate.checking import CheckMethods
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import PlainstateError
from plainstate.testing.crashfs import CrashFileSystem, PowerCut
from plainstate.types import DocumentId

META = f"{BASE}/.plainstate"
REST, BUSY, OTHER, NOTE, GONE = (
    DocumentId("c", "rest"),
    DocumentId("c", "busy"),
    DocumentId("c", "other"),
    DocumentId("d/e", "note", "markdown"),
    DocumentId("c", "gone"),
)
DOCUMENTS = (REST, BUSY, OTHER, NOTE, GONE)
LATER_MS = Clock().ms + 1_000_000
DEAD = "01990000-0000-7000-8000-000000000000"

Harm = Callable[[CrashFileSystem], None]


class Mender(CheckMethods):
    """The store's methods, on an engine."""

    def __init__(self, engine: FileEngine) -> None:
        self._engine = engine
        self._index: Any = SimpleNamespace(folder=None)


def opened(disk: CrashFileSystem, clock: Clock) -> FileEngine:
    return FileEngine(
        BASE, fs=disk, clock_ns=clock, quiet_fold_s=NEVER_S, lock_timeout_s=0, history="keep"
    )


def adding(text: str) -> Callable[[Any], list[dict[str, Any]]]:
    def change(head: Any) -> list[dict[str, Any]]:
        value = {"items": [text]}
        if head.version is None:
            return [{"op": "add", "path": "", "value": value}]
        return [{"op": "add", "path": "/items/-", "value": text}]

    return change


def build(clock: Clock) -> CrashFileSystem:
    """Documents at rest and with waiting transactions, by a process that was killed."""
    disk = CrashFileSystem()
    engine = opened(disk, clock)
    engine.append(REST, adding("one"))
    engine.append(REST, adding("two"))
    engine.append(OTHER, adding("one"))
    engine.replace(NOTE, "# Note\n")
    engine.append(GONE, adding("one"))
    engine.delete(GONE)
    engine.append(BUSY, adding("zero"))
    engine.checkpoint()
    for text in ("one", "two", "three"):
        engine.append(BUSY, adding(text))
    disk.kill()
    disk = disk.spawn()
    for path in [path for path in disk.paths() if "/writers/0" in path]:
        disk.unlink(path)
    return disk


def durable(disk: CrashFileSystem) -> CrashFileSystem:
    """The same files on a machine of their own, where nothing of them can be lost any more."""
    for path in disk.paths():
        if disk.content(path) is None:
            disk.sync_folder(path)
        else:
            fd = disk.open_append(path)
            disk.sync(fd)
            disk.close(fd)
    *_, copy = disk.images(2)
    assert {path: copy.content(path) for path in copy.paths()} == {
        path: disk.content(path) for path in disk.paths()
    }
    return copy


def put(disk: CrashFileSystem, path: str, data: bytes) -> None:
    folder = path.rpartition("/")[0]
    made = BASE
    for part in folder.removeprefix(BASE).strip("/").split("/"):
        made = f"{made}/{part}" if part else made
        if disk.stat(made) is None:
            disk.make_folder(made)
    if disk.stat(path) is not None:
        disk.unlink(path)
    fd = disk.open_append(path, create=True)
    disk.write(fd, data)
    disk.close(fd)


def changing(path: str, change: Callable[[bytes], bytes]) -> Harm:
    def harm(disk: CrashFileSystem) -> None:
        put(disk, path, change(disk.content(path) or b""))

    return harm


def flipped(data: bytes) -> bytes:
    """One bit in the middle of the last but one line, or of the only one."""
    lines = data.splitlines(keepends=True)
    at = max(len(lines) - 2, 0)
    text = bytearray(lines[at])
    text[len(text) // 2] ^= 1
    return b"".join([*lines[:at], bytes(text), *lines[at + 1 :]])


def foreign(disk: CrashFileSystem) -> None:
    put(disk, f"{BASE}/c/rest.jsonl", disk.content(f"{BASE}/c/busy.jsonl") or b"")


HARMS: dict[str, Harm] = {
    "torn_tail": changing(f"{BASE}/c/busy.jsonl", lambda data: data + b'{"seq":9'),
    "torn_creation": changing(f"{BASE}/c/other.jsonl", lambda _: b'{"plains'),
    "damaged_journal": changing(f"{BASE}/c/busy.jsonl", flipped),
    "no_intact_line": changing(f"{BASE}/c/busy.jsonl", lambda data: b"#" + data),
    "foreign_journal": foreign,
    "damaged_head": changing(f"{META}/heads/c/rest.jsonl", flipped),
    "damaged_head_of_a_deleted_document": changing(f"{META}/heads/c/gone.jsonl", flipped),
    "truncated_file": changing(f"{BASE}/c/rest.json", lambda data: data[:9]),
    "damaged_history": changing(f"{META}/history/c/rest.jsonl", flipped),
    "torn_history": changing(f"{META}/history/c/rest.jsonl", lambda data: data + b'{"seq"'),
    "temporary_file": changing(f"{BASE}/c/.tmp-{DEAD}-1", lambda _: b"half\n"),
    "dead_writer": changing(f"{META}/writers/{DEAD}", lambda _: b"json c/busy\n"),
    "damaged_feed": changing(f"{META}/feed/0000000001.open.jsonl", flipped),
}
FOLDED = {"dead_writer", "everything"}
"""Where a fold is a part of the repair, and takes the journal's place."""


def everything(disk: CrashFileSystem) -> None:
    for name, harm in HARMS.items():
        if name in (
            *("torn_creation", "damaged_journal", "damaged_head", "temporary_file", "dead_writer"),
            *("damaged_head_of_a_deleted_document", "torn_history", "damaged_feed"),
        ):
            harm(disk)


def values(engine: FileEngine) -> dict[str, str]:
    """What can be read."""
    found = {}
    for document in DOCUMENTS:
        try:
            state = engine.read(document)
        except PlainstateError:
            continue
        found[str(document)] = repr(state and (state.value, state.seq, state.version))
    return found


def codes(engine: FileEngine) -> list[str]:
    """What is worse than a note."""
    return [one.code for one in Mender(engine).check().findings if one.severity != "note"]


def lines(disk: CrashFileSystem) -> set[bytes]:
    """Every line of every file that holds something of the state."""
    found: set[bytes] = set()
    for path in disk.paths():
        data = disk.content(path)
        if data is not None and "/writers/" not in path and "/feed/" not in path:
            found.update(data.splitlines())
    return found


def repair(disk: CrashFileSystem, clock: Clock) -> None:
    Mender(opened(disk, clock)).repair(cut=True)


def harmed(name: str, clock: Clock) -> CrashFileSystem:
    disk = build(clock)
    (everything if name == "everything" else HARMS[name])(disk)
    return durable(disk)


def left_by_cuts(start: CrashFileSystem, limit: int) -> Iterator[CrashFileSystem]:
    """Every state that a repair leaves that is cut off: by a kill, and by a power cut."""
    call = 0
    finished = False
    while not finished:
        call += 1
        disk = durable(start)
        disk.crash_at(call)
        try:
            repair(disk, Clock(LATER_MS))
            finished = True
        except PowerCut:
            pass
        yield from disk.images(limit)
        disk.kill()
        yield disk.spawn()
    assert call > 2


def judge(name: str, limit: int) -> int:
    """Returns how many states were looked at."""
    with same_every_time():
        clock = Clock()
        start = harmed(name, clock)
        disk = durable(start)
        before, kept = values(opened(disk, clock)), lines(disk)
        repair(disk, Clock(LATER_MS))
        disk.kill()
        engine = opened(disk.spawn(), clock)
        end = values(engine)
        assert codes(engine) == []
        assert len(end) == len(DOCUMENTS)
        count = 0
        for image in left_by_cuts(start, limit):
            count += 1
            clock = Clock(LATER_MS + 1_000_000)
            engine = opened(image, clock)
            now = values(engine)
            assert {one: now.get(one) for one in before} == before, name
            if name not in FOLDED:
                assert kept <= lines(image), (name, kept - lines(image))
            Mender(engine).repair(cut=True)
            assert values(engine) == end, name
            assert codes(engine) == [], name
            engine.close()
        return count


@pytest.mark.parametrize("name", HARMS)
def test_a_repair_that_is_cut_off_is_done_by_the_next(name):
    assert judge(name, 12) > 10


def test_a_repair_of_everything_that_is_cut_off_is_done_by_the_next():
    assert judge("everything", 2) > 100


# --- known bad ---------------------------------------------------------------------


def test_a_journal_that_is_cut_before_it_is_kept_is_found(monkeypatch):
    monkeypatch.setattr(Disk, "quarantine", lambda *_: "")
    with pytest.raises(AssertionError):
        judge("damaged_journal", 24)


def test_a_head_that_is_removed_before_it_is_written_anew_is_found(monkeypatch):
    monkeypatch.setattr(Disk, "put", _remove_then_put)
    with pytest.raises((AssertionError, FileNotFoundError)):
        judge("damaged_head", 24)


def _remove_then_put(disk: Disk, folder: str, path: str, data: bytes) -> None:
    if disk.fs.stat(path) is not None:
        disk.fs.unlink(path)
        disk.fs.sync_folder(folder)
    disk.fs.rename(disk.write_temp(folder, data).path, path)
    disk.fs.sync_folder(folder)
