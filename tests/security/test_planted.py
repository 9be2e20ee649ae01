"""Links, second names and special files in every place of a store: nothing outside is touched.

Those in the place of a document's own files and of a category stand in `tests/hostile/cases.py`,
with the error that each call raises.
"""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks import META, contents, index_of, use

from plainstate import open_store
from plainstate.errors import AlreadyExistsError

FOLDERS = [
    *("plans", "notes", META),
    *(f"{META}/{name}" for name in ("feed", "heads", "history", "writers", "followers", "trash")),
    *(f"{META}/{name}/plans" for name in ("heads", "history", "quarantine")),
    f"{META}/quarantine",
]
FILES = [
    *("plans/busy.jsonl", "plans/rest.jsonl", f"{META}/lock"),
    *(f"{META}/feed/0000000001.open.jsonl", f"{META}/feed/0000000009.open.jsonl"),
    *(f"{META}/history/plans/rest.jsonl", f"{META}/heads/plans/rest.jsonl"),
    *(f"{META}/writers/01990000-0000-7000-8000-000000000000", f"{META}/followers/f.json"),
    *("index", "index-wal", "index-shm"),
]


def place_of(base: Path, name: str) -> Path:
    """The path of a row above; the index has another name in each store."""
    if name.startswith("index"):
        return Path(f"{index_of(base)}{name.removeprefix('index')}")
    return base / name


def clear(path: Path) -> None:
    """Makes room for what is planted."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)


def bind(path: Path) -> None:
    """Makes a socket; its own path may be too long for one."""
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", FOLDERS)
@pytest.mark.parametrize("twin", [False, True], ids=["foreign", "own"])
def test_a_link_in_the_place_of_a_folder_leads_nowhere(base, outside, place: str, *, twin: bool):
    """`twin`: it leads to what stood there, so that following it would work."""
    path = base / place
    if twin and path.exists():
        shutil.copytree(path, outside, dirs_exist_ok=True)
    clear(path)
    path.symlink_to(outside)
    before = contents(outside)
    assert "unsafe-path" in use(base)
    assert contents(outside) == before


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", FILES)
@pytest.mark.parametrize("target", ["precious.txt", "missing"])
def test_a_link_in_the_place_of_a_file_is_not_followed(base, outside, place: str, target: str):
    path = place_of(base, place)
    clear(path)
    path.symlink_to(outside / target)
    before = contents(outside)
    use(base)
    assert contents(outside) == before


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", FILES)
def test_a_file_with_another_name_elsewhere_is_not_written(base, outside, place: str):
    """Neither somebody's file under a name of ours, nor ours under another name, as a backup
    by hard links has it."""
    path = place_of(base, place)
    if path.exists():
        os.link(path, outside / "backup")
    before = contents(outside)
    use(base)
    assert contents(outside) == before
    clear(path)
    os.link(outside / "precious.txt", path)
    use(base)
    assert contents(outside) == before


def put_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "socket": bind,
    "folder": put_folder,
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", FILES)
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_hangs_nobody(base, place: str, kind: str):
    path = place_of(base, place)
    clear(path)
    SPECIAL[kind](path)
    use(base)  # raises what is no error of plainstate


@pytest.mark.timeout(30)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("place", FILES[:6])
def test_a_device_is_not_read(base, place: str):
    path = place_of(base, place)
    clear(path)
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("this machine lets nobody make devices")
    use(base)


def test_an_export_is_not_written_through_a_link(base, outside, tmp_path):
    target = tmp_path / "link"
    target.symlink_to(outside / "precious.txt")
    folder = tmp_path / "folder"
    folder.symlink_to(outside)
    before = contents(outside)
    with open_store(base) as store:
        for export in (store.export_archive, store.export_markdown):
            for path in (target, folder):
                with pytest.raises(AlreadyExistsError):
                    export(path)
        store.export_archive(target, overwrite=True)
    assert contents(outside) == before
    assert not target.is_symlink()


def test_a_backup_by_hard_links_stays_as_it_is(base, tmp_path):
    backup = tmp_path / "backup"
    shutil.copytree(base, backup, copy_function=os.link)
    before = contents(backup)
    use(base)
    assert contents(backup) == before
