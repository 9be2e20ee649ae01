"""The tests of this folder attack a store that has everything, made once and copied."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "check")]

from attacks import complete  # noqa: E402 - the path comes first


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory, where there is such a place: stores are copied hundreds of times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as path:
        yield Path(path)


@pytest.fixture(scope="session")
def complete_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("security") / "store"
    complete(path)
    return path


@pytest.fixture
def base(complete_store: Path, tmp_path: Path) -> Path:
    """A store with every kind of file, all writers of it gone."""
    path = tmp_path / "store"
    shutil.copytree(complete_store, path)
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else, with files that look like those of a store."""
    path = tmp_path / "outside"
    (path / "plans").mkdir(parents=True)
    for name in ("precious.txt", "a.json", "rest.jsonl", "0000000001.open.jsonl", ".tmp-1-2"):
        (path / name).write_text("precious, and no newline")
    (path / "plans" / "rest.jsonl").write_text("precious")
    return path


@pytest.fixture(autouse=True)
def same_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is durable is the matter of other tests, and these are many."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("os.fdatasync", lambda _: None)
