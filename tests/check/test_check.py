"""`check` finds every damage: what it is, in which file, at which line."""

import errno
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from damages import BUSY, DAMAGES, HEADS, HISTORY, META, NOTE, REST, Damage, flip, write

import plainstate
from plainstate import CheckReport, StateStore, check_store, open_store
from plainstate.core.findings import CODES
from plainstate.engines.file.checking import check
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.document import FileDocument
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import DamagedError, FormatVersionError, InvalidUrlError
from plainstate.fs.posix import PosixFileSystem
from plainstate.testing.faultfs import FaultyFileSystem
from plainstate.types import Finding

each_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.name)


def told(report: CheckReport, base: Path) -> list[tuple[str, str, int]]:
    """What was found; names that differ from run to run have stand-ins."""
    runs = (base / META / "trash").iterdir()
    names = {f"{META}/trash/{one.name.removesuffix('.json')}": "TRASH" for one in runs}
    newest = sorted((base / META).glob("index-*.sqlite"))[-1:]
    names |= {f"{META}/{one.name}": "INDEX" for one in newest}
    found = []
    for one in report.findings:
        path = one.path
        for name, short in names.items():
            path = path.replace(name, short)
        found.append((one.code, path, one.line))
    return sorted(found)


def test_a_sound_store_is_clean(base):
    report = check_store(base)
    assert report.findings == []
    assert report.documents == 10


@pytest.mark.parametrize("how", ["deleted", "moved away"])
def test_a_name_that_is_used_again_was_not_edited(tmp_path, how):
    with open_store(tmp_path / "store") as store:
        store.save_json("plans", "a", 1)
        if how == "deleted":
            store.delete_file("plans", "a")
        else:
            store.rename("plans", "a", "b")
        commit = store.save_json("plans", "a", 2)
    report = check_store(tmp_path / "store")
    assert [one for one in report.findings if one.path.startswith("plans/")] == []
    with open_store(tmp_path / "store") as store:
        assert store.read("plans", "a").version == commit.version
        assert [one.action for one in store.changes() if one.version == commit.version] == [
            "create"
        ]


@each_damage
def test_each_damage_is_found(damage: Damage, base):
    damage.harm(base)
    report = check_store(base)
    assert told(report, base) == sorted(damage.found), report.findings
    for one in report.findings:
        assert one.path in one.message
        assert one.remedy
        assert f", line {one.line}" in one.message or one.line in (0, 1)


def test_a_deletion_that_was_cut_off_and_not_told_is_only_that(tmp_path, monkeypatch):
    """The journal says that the document is deleted; it has no head yet."""
    base = tmp_path / "store"
    store = open_store(base)
    store.append_user_message("s-1", "Hello", user_id="ada")
    (segment,) = (base / META / "feed").iterdir()
    before = segment.stat().st_size

    def cut_off(*_):
        raise OSError(errno.EIO, "cut off")

    monkeypatch.setattr(FileDocument, "_fold", cut_off)
    store.delete_session("s-1")
    os.truncate(segment, before)
    found = {one.code: one.severity for one in check_store(base).findings}
    assert found["feed-behind"] == "note"
    assert set(found.values()) == {"note"}
    monkeypatch.undo()
    store.close()


def test_every_code_is_tested():
    told_elsewhere = {"format-damaged", "newer-format", "unreadable", "other-owner"}
    assert {code for damage in DAMAGES for code, *_ in damage.found} | told_elsewhere == set(CODES)


def test_the_manual_explains_every_code():
    manual = Path(__file__).parent.parent.parent / "docs" / "check.md"
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+)", manual.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted((code, sort.severity) for code, sort in CODES.items())


# --- stores that cannot be opened ------------------------------------------------


def test_a_damaged_format_file_is_found_and_the_rest_checked(base):
    write(base / META / "format.json", b"{")
    flip(base / BUSY, 2)
    with pytest.raises(DamagedError):
        open_store(base)
    assert [(one.code, one.line) for one in check_store(base).findings] == [
        ("format-damaged", 1),
        ("journal-damaged", 2),
    ]


def test_a_newer_store_is_not_judged(base):
    write(base / META / "format.json", b'{"plainstate": 2}')
    flip(base / BUSY, 2)
    with pytest.raises(FormatVersionError):
        open_store(base)
    assert [one.code for one in check_store(base).findings] == ["newer-format"]


def test_a_file_is_no_store(tmp_path):
    write(tmp_path / "file", b"x")
    (found,) = check_store(tmp_path / "file").findings
    assert found.code == "unsafe-path"


def test_a_missing_store_is_clean_and_not_created(tmp_path):
    assert check_store(tmp_path / "none").findings == []
    assert not list(tmp_path.iterdir())


def test_a_folder_of_plain_files_is_clean(tmp_path):
    write(tmp_path / "store/notes/a.md", b"# A\n")
    write(tmp_path / "store/notes/b.json", b"{}")
    (tmp_path / "store").chmod(0o700)
    report = check_store(tmp_path / "store")
    assert report == CheckReport([], 2)


def test_memory_has_no_files():
    with pytest.raises(InvalidUrlError):
        check_store("memory:")


# --- what the system refuses -----------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_no_error_of_the_system_ends_a_check(base, number):
    """Every call fails once; the check goes on, and says so, unless the call had no meaning."""
    at, silent = 0, 0
    while True:
        at += 1
        fs = FaultyFileSystem(PosixFileSystem())
        fs.fail(number, at=at)
        found = [one for one in check(Disk(fs, str(base), "")) if hasattr(one, "code")]
        if not fs.failed:
            break
        silent += not found
    assert at > 100
    # a document is looked at twice when the first look failed, and then the second one is fine
    assert silent < at


def test_what_cannot_be_read_is_told(base):
    class Refusing(PosixFileSystem):
        def open_read(self, path: str) -> int:
            if path.endswith(NOTE):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return super().open_read(path)

    items = check(Disk(Refusing(), str(base), ""))
    found = [one for one in items if hasattr(one, "code")]
    assert [(one.code, one.path) for one in found] == [("unreadable", NOTE)]


def test_files_of_another_user_are_told(base):
    if os.geteuid():
        pytest.skip("only root may give files away")
    os.chown(base / BUSY, 12345, -1)
    os.chown(base / "plans/rest.json", 12345, -1)
    (found,) = check_store(base).findings
    assert (found.code, found.path) == ("other-owner", BUSY)
    assert "1 more" in found.message


# --- while others write ------------------------------------------------------------


def tree(base: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size, path.lstat().st_ino)
        for path in base.rglob("*")
    }


def test_a_check_writes_nothing(base):
    with open_store(base, quiet_fold_s=3600) as store:
        store.append_user_message("s-2", "now", user_id="ada")
        store.stats()
        store._index._thread.join()
        before = tree(base)
        assert store.check().findings == []
        assert check_store(base).findings == []
        assert tree(base) == before


def test_a_check_waits_for_nobody(base):
    with open_store(base) as store, store.transaction("plans", "busy") as held:
        assert held.value is not None
        checked: list[CheckReport] = []
        other = threading.Thread(target=lambda: checked.append(check_store(base)))
        other.start()
        other.join(60)
        assert checked
        assert checked[0].is_sound


@pytest.mark.parametrize("name", [BUSY, REST, HISTORY, f"{HEADS}/plans/rest.jsonl"])
def test_what_is_seen_once_is_not_told(base, name):
    """As where a writer repairs the file at that moment."""

    class Changing(PosixFileSystem):
        path, reads = "", 0

        def open_read(self, path: str) -> int:
            self.path = path
            return super().open_read(path)

        def read(self, fd: int, offset: int, size: int) -> bytes:
            data = super().read(fd, offset, size)
            if not self.path.endswith(name):
                return data
            self.reads += 1
            return b"#" + data[1:] if self.reads == 1 else data

    fs = Changing()
    assert [one for one in check(Disk(fs, str(base), "")) if isinstance(one, Finding)] == []
    assert fs.reads > 1


def test_a_run_that_came_meanwhile_is_not_orphaned(base):
    class Late(PosixFileSystem):
        """Shows the trash without its manifests, as it was a moment ago."""

        def list_folder(self, path: str) -> Iterator[tuple[str, bool]]:
            for name, is_folder in super().list_folder(path):
                if is_folder or not path.endswith("/trash"):
                    yield name, is_folder

    store = StateStore.on(FileEngine(str(base), fs=Late(str(base))), base.as_uri())
    assert store.check().is_sound
    store.close()


WRITER = """
import itertools, sys
from plainstate import open_store
with open_store(sys.argv[1], quiet_fold_s=0.01, history="keep") as store:
    print("ready", flush=True)
    for n in itertools.count():
        store.append_user_message(f"w-{n % 3}", "x" * 100, user_id="ada")
        store.save_json("plans", "whole", {"n": n})
        store.append_markdown("notes", f"n-{n % 5}", "line\\n")
        if n % 5 == 4:
            store.delete_file("notes", f"n-{n % 4}", kind="markdown")
        if n % 7 == 6:
            store.checkpoint()
"""


def test_a_store_in_use_is_sound(base):
    """Checks while another process writes, folds, saves and deletes: nothing worse than a note."""
    environment = {**os.environ, "PYTHONPATH": str(Path(plainstate.__file__).parent.parent)}
    command = [sys.executable, "-c", WRITER, str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        try:
            writer.stdout.readline()
            for _ in range(100):
                report = check_store(base)
                assert report.is_sound, [one for one in report.findings if one.severity != "note"]
        finally:
            writer.kill()
    assert check_store(base).is_sound
