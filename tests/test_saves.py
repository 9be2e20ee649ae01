"""What whole saves and folds ask of the disk, in which order, and what a failing disk leaves."""

import errno
from collections import Counter

import pytest

from plainstate.engines.file.engine import FileEngine
from plainstate.errors import LockTimeoutError
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


def journal(document: DocumentId) -> str:
    return f"/store/{document}.jsonl"


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


def test_documents_that_are_folded_together_share_the_syncs_of_their_folders():
    calls = {}
    for count in (1, 20):
        fs = Noting()
        engine = begin(fs, *(DocumentId("c", f"d-{number}") for number in range(count)))
        assert engine.checkpoint() == count
        calls[count] = Counter(fs.noted)
        assert journal(DocumentId("c", "d-0")) not in fs.machine.paths()
    assert calls[20]["sync"] == 20 * calls[1]["sync"]
    assert calls[20]["sync_folder"] == calls[1]["sync_folder"]


def test_one_that_cannot_be_folded_does_not_keep_its_neighbours_from_it():
    fs = Noting()
    documents = [DocumentId("c", f"d-{number}") for number in range(5)]
    engine = begin(fs, *documents)
    fs.fail(errno.EIO, {"rename"}, at=3, times=1)
    assert engine.checkpoint() == len(documents)  # tried again by itself
    assert fs.failed == ["rename"]
    for document in documents:
        engine.replace(document, {"n": 2})
    fs.fail(errno.EIO, {"rename"}, at=3, times=1_000)
    with pytest.raises(OSError, match="error"):
        engine.checkpoint()
    fs.heal()
    assert [engine.read(document).value for document in documents] == [{"n": 2}] * 5
    assert engine.checkpoint()
    assert not any(journal(document) in fs.machine.paths() for document in documents)


def test_one_that_is_in_use_does_not_keep_its_neighbours_from_it():
    fs = Noting()
    first, second = DocumentId("c", "a"), DocumentId("c", "b")
    engine = begin(fs, first, second)
    other = FileEngine("/store", fs=FaultyFileSystem(fs.machine.spawn()), quiet_fold_s=3600)
    impatient = FileEngine("/store", fs=fs, quiet_fold_s=3600, lock_timeout_s=0)
    with other.lock(second):
        with pytest.raises(LockTimeoutError):
            impatient.checkpoint()
        assert journal(first) not in fs.machine.paths()
        assert journal(second) in fs.machine.paths()
    assert engine.checkpoint() == 1
