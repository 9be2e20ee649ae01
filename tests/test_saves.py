"""What a whole save asks of the disk, in which order, and what a failing disk leaves of it."""

import errno
from collections import Counter

import pytest

from plainstate.engines.file.engine import FileEngine
from plainstate.testing.crashfs import CrashFileSystem
from plainstate.testing.faultfs import FaultyFileSystem
from plainstate.types import DocumentId

A = DocumentId("c", "a")
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
