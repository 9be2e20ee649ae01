"""Somebody swaps a folder for a link while an operation is under way: between any two calls."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from attacks import ADD, META, contents

from plainstate import open_store
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import PlainstateError
from plainstate.fs.posix import PosixFileSystem
from plainstate.types import DocumentId

REST = DocumentId("plans", "rest")
BUSY = DocumentId("plans", "busy")

WORKS: dict[str, Callable[[FileEngine], object]] = {
    "read": lambda engine: engine.read(REST),
    "append": lambda engine: engine.append(BUSY, lambda *_: ADD),
    "replace": lambda engine: engine.replace(REST, 1),
    "rename": lambda engine: engine.rename(REST, DocumentId("plans", "other")),
    "delete": lambda engine: engine.delete(REST, forget=True),
    "checkpoint": lambda engine: engine.checkpoint(),
}


class Swapping(PosixFileSystem):
    """Before its n-th call a folder of the store becomes a link to a copy of itself."""

    def __init__(self, base: Path, place: str, outside: Path, at: int) -> None:
        super().__init__(str(base))
        self._place, self._outside = base / place, outside
        self._left = at
        self.swapped = False

    def swap(self) -> None:
        self._place.rename(self._place.with_name("moved"))
        self._place.symlink_to(self._outside)
        self.swapped = True


def counted(name: str) -> Callable[..., object]:
    method = getattr(PosixFileSystem, name)

    def call(self: Swapping, *args: object, **options: object) -> object:
        self._left -= 1
        if self._left == 0:
            self.swap()
        return method(self, *args, **options)

    return call


for method in (
    "open_read",
    "open_append",
    "stat",
    "rename",
    "unlink",
    "make_folder",
    "sync_folder",
):
    setattr(Swapping, method, counted(method))


@contextmanager
def opened(base: Path, fs: PosixFileSystem) -> Iterator[FileEngine]:
    engine = FileEngine(str(base), fs=fs, history="keep", quiet_fold_s=3600, lock_timeout_s=0)
    try:
        yield engine
    finally:
        with suppress(PlainstateError):
            engine.close()


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("swapped") / "store"
    with open_store(path, history="keep", quiet_fold_s=3600) as store:
        store.save_json("plans", "rest", {})
        store.save_json("plans", "rest", {"n": 1})
        store.save_json("plans", "busy", {})
        store.checkpoint()
        store.patch("plans", "busy", ADD)
        shutil.copytree(path, path.with_name("copy"))
    return path.with_name("copy")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["plans", f"{META}/heads", f"{META}/history", f"{META}/feed"])
@pytest.mark.parametrize("work", WORKS)
def test_nothing_is_written_through_a_folder_that_was_swapped(
    small_store: Path, tmp_path: Path, work: str, place: str
):
    base, outside = tmp_path / "store", tmp_path / "outside"
    for at in itertools.count(1, 3):
        shutil.copytree(small_store, base)
        shutil.copytree(base / place, outside)
        before = contents(outside)
        fs = Swapping(base, place, outside, at)
        with suppress(PlainstateError), opened(base, fs) as engine:
            WORKS[work](engine)
        assert contents(outside) == before, f"swapped before call {at}"
        shutil.rmtree(base)
        shutil.rmtree(outside)
        if not fs.swapped:
            assert at > 1
            break


def test_what_leads_up_is_no_name_in_a_store(tmp_path: Path):
    (tmp_path / "store" / "plans").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    fs = PosixFileSystem(str(tmp_path / "store"))
    with pytest.raises(OSError, match="leads out"):
        fs.open_read(f"{tmp_path}/store/plans/../../secret")


def test_the_store_itself_may_be_reached_through_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with opened(tmp_path / "link", PosixFileSystem(str(tmp_path / "link"))) as engine:
        engine.replace(REST, 1)
    assert (tmp_path / "real" / "plans" / "rest.json").exists()
