"""Only the owner reads and writes: every file 0600, every folder 0700, whatever the umask."""

import errno
import os
import stat
from pathlib import Path

import pytest
from attacks import META, use

from plainstate import errors, open_store
from plainstate.fs.posix import PosixFileSystem


def open_to_others(folder: Path) -> dict[str, str]:
    """What has any permission for others, or other ones for the owner."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        mode = path.lstat().st_mode
        wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
        if stat.S_IMODE(mode) != wanted:
            found[str(path.relative_to(folder.parent))] = oct(stat.S_IMODE(mode))
    return found


def do_everything(base: Path) -> None:
    with open_store(base, history="keep") as store:
        for number in range(3):
            store.append_user_message(f"s-{number}", "Hello", user_id="ada")
        store.save_json("plans/deep", "a", {})
        store.save_json("plans/deep", "a", {"n": 1})
        store.patch("plans/deep", "a", [{"op": "add", "path": "/m", "value": 2}])
        store.append_markdown("notes", "a", "text\n")
        assert not open_to_others(base)
        assert store.search("Hello")  # the index is there, with its log and shared memory
        assert len(list((base / META).glob("index-*"))) == 3
        assert not open_to_others(base)
        store.rename("plans/deep", "a", "b")
        store.delete_file("plans/deep", "b")
        store.undo("plans/deep", "b")
        store.prune_sessions(keep_last=1)
        store.restore_session("s-0")
        store.watch(follower="f").close()
        store.export_archive(base.with_name("archives") / "a.tar.gz")
        store.export_markdown(base.with_name("archives") / "markdown")
        store.checkpoint()
        assert not open_to_others(base)
    with open_store(base.with_name("imported")) as other:
        other.import_archive(base.with_name("archives") / "a.tar.gz")
    assert not open_to_others(base)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_all_that_is_made_is_the_owners_alone(tmp_path: Path, umask: int):
    os.umask(umask)
    (tmp_path / "archives").mkdir(mode=0o700)
    do_everything(tmp_path / "store")
    assert not open_to_others(tmp_path / "imported")
    assert not open_to_others(tmp_path / "archives")


def test_what_is_repaired_and_set_aside_is_the_owners_alone(base: Path):
    os.umask(0)
    for path in [base, *base.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    journal = base / "plans/busy.jsonl"
    journal.write_bytes(journal.read_bytes() + b"torn")
    (base / META / "heads/plans/rest.jsonl").write_bytes(b"{}\n")
    use(base)
    assert list((base / META / "quarantine/plans").iterdir())
    assert not open_to_others(base)


def test_a_file_that_its_owner_opened_to_others_is_closed_again_with_the_next_write(base: Path):
    """A mode is not kept: a fold or save puts a new file in the place of the old one."""
    plain = base / "plans/rest.json"
    plain.chmod(0o644)
    with open_store(base) as store:
        store.load_json("plans", "rest")
        assert stat.S_IMODE(plain.stat().st_mode) == 0o644
        store.save_json("plans", "rest", 1)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600


def test_who_may_only_read_is_told_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not of the entry that a writer begins with, of which nobody but the store knows."""

    def refuse(_, path: str) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    with open_store(tmp_path) as store:
        store.save_json("c", "d", 1)
    monkeypatch.setattr(PosixFileSystem, "open_lock", refuse)
    with open_store(tmp_path) as store, pytest.raises(errors.ReadOnlyError) as caught:
        store.save_json("c", "d", 2)
    assert str(caught.value) == "the store cannot be written: Read-only file system"
