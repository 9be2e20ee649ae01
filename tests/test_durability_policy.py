"""What each durability costs and promises, counted in system calls."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from plainstate.core import times
from plainstate.engines.file.engine import FileEngine
from plainstate.fs.posix import PosixFileSystem
from plainstate.types import DocumentId, Durability, Head, Patch

DOCUMENT = DocumentId("sessions", "s", "json")
STAMP = times.format(0)


class TracingFileSystem(PosixFileSystem):
    """Counts the calls that change something."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.sizes: list[int] = []

    def write(self, fd: int, data: bytes | memoryview, offset: int | None = None) -> int:
        self.calls["write"] += 1
        self.sizes.append(len(bytes(data).rstrip(b" ")))
        return super().write(fd, data, offset)

    def sync(self, fd: int) -> None:
        self.calls["sync"] += 1
        super().sync(fd)

    def sync_folder(self, path: str) -> None:
        self.calls["sync_folder"] += 1
        super().sync_folder(path)

    def rename(self, source: str, target: str) -> None:
        self.calls["rename"] += 1
        super().rename(source, target)

    def open_append(self, path: str, *, create: bool = False) -> int:
        self.calls["open"] += 1
        return super().open_append(path, create=create)

    def open_write(self, path: str, *, create: bool = False) -> int:
        self.calls["open"] += 1
        return super().open_write(path, create=create)

    def read(self, fd: int, offset: int, size: int) -> bytes:
        self.calls["read"] += 1
        return super().read(fd, offset, size)


def creating(_: Head) -> Patch:
    session = {
        "id": "s",
        "user_id": "ada",
        "user_messages": [],
        "agent_responses": [],
        "created_at": STAMP,
        "updated_at": STAMP,
        "metadata": {},
    }
    return [{"op": "add", "path": "", "value": session}]


def message(number: int) -> Any:
    operation = {
        "op": "add",
        "path": "/user_messages/-",
        "value": {"content": f"message {number}", "timestamp": STAMP},
    }
    return lambda head: [operation] if head.summary() else []


def count(fs: TracingFileSystem) -> dict[str, int]:
    calls, fs.calls = dict(fs.calls), Counter()
    return calls


@pytest.mark.parametrize("length", [0, 1_000, 10_000])
def test_an_append_is_one_write_and_one_sync(tmp_path: Path, length: int):
    fs = TracingFileSystem()
    engine = FileEngine(str(tmp_path), fs=fs, quiet_fold_s=3600)
    try:
        engine.append(DOCUMENT, creating)
        for number in range(length):
            engine.append(DOCUMENT, message(number), durability="os")
        engine.checkpoint()
        engine.append(DOCUMENT, message(length))  # this one creates the journal
        count(fs)
        for number in range(5):
            fs.sizes.clear()
            engine.append(DOCUMENT, message(length + number))
            # to the journal, and to the change feed; read is a byte behind the last line
            assert count(fs) == {"read": 1, "write": 2, "sync": 1}
            assert max(fs.sizes) < 400  # one line each, whatever the length
        assert len(engine.read(DOCUMENT).value["user_messages"]) == length + 6
    finally:
        engine.close()


def test_growing_costs_the_same_amortised(tmp_path: Path):
    """Folds are few, and what they write stays in proportion to what is appended."""
    fs = TracingFileSystem()
    engine = FileEngine(str(tmp_path), fs=fs, quiet_fold_s=3600)
    appends = 12_000
    try:
        engine.append(DOCUMENT, creating, durability="os")
        count(fs)
        fs.sizes.clear()
        for number in range(appends):
            engine.append(DOCUMENT, message(number), durability="os")
        calls = count(fs)
        assert 2 * appends < calls["write"] < 2.02 * appends  # journal and change feed
        assert 0 < calls["sync"] < 0.02 * appends
        lines = [size for size in fs.sizes if size < 400]
        assert len(lines) >= 2 * appends
        assert sum(fs.sizes) < 3 * sum(lines)  # folding every 64 KiB would write 20 times as much
    finally:
        engine.close()


def test_os_syncs_nothing(tmp_path: Path):
    fs = TracingFileSystem()
    engine = FileEngine(str(tmp_path), fs=fs, durability="os", quiet_fold_s=3600)
    try:
        engine.append(DOCUMENT, creating)
        count(fs)
        for number in range(20):
            engine.append(DOCUMENT, message(number))
        assert count(fs) == {"read": 20, "write": 40}  # half of them to the change feed
    finally:
        engine.close()
    assert fs.calls["sync"] > 0  # the fold at the end is durable


def test_a_call_may_ask_for_more(tmp_path: Path):
    fs = TracingFileSystem()
    engine = FileEngine(str(tmp_path), fs=fs, durability="os", quiet_fold_s=3600)
    try:
        engine.append(DOCUMENT, creating)
        engine.append(DOCUMENT, message(0))
        count(fs)
        engine.append(DOCUMENT, message(1), durability="commit")
        assert count(fs) == {"read": 1, "write": 2, "sync": 1}
    finally:
        engine.close()


def test_a_new_journal_has_a_durable_name(tmp_path: Path):
    """A later commit is only as durable as the journal's name, whoever made it."""
    fs = TracingFileSystem()
    engine = FileEngine(str(tmp_path), fs=fs, quiet_fold_s=3600)
    try:
        engine.append(DOCUMENT, creating)
        other = DocumentId("sessions", "t", "json")
        count(fs)
        engine.append(other, creating, durability="os")
        engine.append(other, message(0), durability="commit")
        assert count(fs).get("sync_folder", 0) >= 1
    finally:
        engine.close()


def wait_for(fs: TracingFileSystem, call: str, seconds: float) -> float:
    """Waits until a call is made; how long it took, infinite if it was not."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if fs.calls[call]:
            return time.monotonic() - begun
        time.sleep(0.005)
    return float("inf")


@pytest.mark.parametrize(
    ("store", "call"), [("periodic", None), ("commit", "periodic"), ("os", "periodic")]
)
def test_periodic_syncs_in_the_background(
    tmp_path: Path, store: Durability, call: Durability | None
):
    fs = TracingFileSystem()
    interval_s = 0.2
    engine = FileEngine(
        str(tmp_path), fs=fs, durability=store, sync_interval_s=interval_s, quiet_fold_s=3600
    )
    try:
        engine.append(DOCUMENT, creating, durability=call)
        assert wait_for(fs, "sync", 5) < 5
        time.sleep(interval_s)
        count(fs)
        for number in range(10):
            engine.append(DOCUMENT, message(number), durability=call)
        assert wait_for(fs, "sync", 5) <= interval_s + 1  # a loaded machine may be late
        time.sleep(2 * interval_s)
        calls = count(fs)
        assert calls["write"] == 20  # half of them to the change feed
        assert calls["sync"] <= 2  # one, or two where the tick fell in between
        time.sleep(2 * interval_s)
        assert count(fs) == {}  # nothing to sync: no call
    finally:
        engine.close()


@pytest.mark.parametrize("durability", ["commit", "periodic", "os"])
def test_everything_is_folded_on_close(tmp_path: Path, durability: Durability):
    engine = FileEngine(str(tmp_path), durability=durability, quiet_fold_s=3600)
    engine.append(DOCUMENT, creating)
    engine.append(DOCUMENT, message(1))
    engine.close()
    assert sorted(path.name for path in (tmp_path / "sessions").iterdir()) == ["s.json"]
    again = FileEngine(str(tmp_path))
    assert len(again.read(DOCUMENT).value["user_messages"]) == 1
    again.close()


def test_a_quiet_document_is_folded(tmp_path: Path):
    engine = FileEngine(str(tmp_path), quiet_fold_s=0.1)
    try:
        engine.append(DOCUMENT, creating)
        engine.append(DOCUMENT, message(1))
        journal = tmp_path / "sessions" / "s.jsonl"
        deadline = time.monotonic() + 5
        while journal.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not journal.exists()
        assert "message 1" in (tmp_path / "sessions" / "s.json").read_text("utf-8")
        assert engine.append(DOCUMENT, message(2)).seq == 3
    finally:
        engine.close()


@pytest.mark.parametrize("durability", ["commit", "periodic", "os"])
def test_whole_saves_are_always_durable(tmp_path: Path, durability: Durability):
    fs = TracingFileSystem()
    engine = FileEngine(str(tmp_path), fs=fs, durability=durability, quiet_fold_s=3600)
    try:
        for number in range(2):
            count(fs)
            engine.replace(DocumentId("c", "d", "json"), number)
            calls = count(fs)
            assert calls["rename"] >= 1
            assert calls["sync"] >= calls["rename"]
            assert calls["sync_folder"] >= calls["rename"]
    finally:
        engine.close()
