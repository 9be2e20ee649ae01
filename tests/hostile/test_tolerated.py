"""What looks hostile and is none: it is read as it is, and nothing of it is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sound_store
from machine import FullDisk
from sound_store import CONTENTS, read_all, seal, tree

from plainstate import StateStore, open_store
from plainstate.errors import DamagedError

BUSY = "plans/busy.jsonl"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    sound_store.build(path)
    return path


def written(journal: Path) -> bytes:
    """A journal without the blanks behind its lines."""
    return journal.read_bytes().rstrip(b" ")


def quarantined(base: Path) -> list[bytes]:
    folder = base / ".plainstate/quarantine"
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def add_step(store: StateStore) -> None:
    store.patch("plans", "busy", [{"op": "add", "path": "/steps/-", "value": "new"}])


TORN = {
    "half a line": b'{"seq":5,"tx":"t","time":"2026-',
    "a line without its end": None,  # made of the journal's own last line
    "NUL": bytes(300),
    "half a line, then NUL": b'{"seq":5,"tx"' + bytes(4_000),
    "NUL and a line end": bytes(300) + b"\n",
    "not UTF-8": b'{"seq":5,"\xff\xfe',
    "its first sector is not there": b"   " + b'"time":"2026","patch":[],"sum":"00000000"}\n',
    "an empty line, as editors leave it in place of blanks": b"\n",
    "blanks and an empty line": b" " * 700 + b"\n\n",
    "a sector is not there": b'{"seq":5,"tx"' + b" " * 512 + b'[],"sum":"00000000"}\n',
}


@pytest.mark.parametrize("blanks", [0, 1, 700])
@pytest.mark.parametrize("tail", TORN)
def test_a_torn_tail_is_ignored_and_set_aside_by_the_next_write(base, tail, blanks):
    journal = base / BUSY
    data = written(journal)
    torn = TORN[tail] or data.splitlines()[-1][:-1]
    journal.write_bytes(data + torn + b" " * blanks)
    before = tree(base)
    with open_store(base) as store:
        assert store.load_json("plans", "busy") == CONTENTS["plans/busy"]
        assert tree(base) == before  # reading writes nothing (J-6)
        add_step(store)
        assert quarantined(base) == [torn]
        assert store.load_json("plans", "busy")["steps"] == ["a", "b", "c", "new"]


def test_a_last_line_that_lost_its_end_was_never_acknowledged(base):
    journal = base / BUSY
    journal.write_bytes(written(journal)[:-1])
    with open_store(base) as store:
        assert store.load_json("plans", "busy") == {"steps": ["a", "b"], "n": 2}
        add_step(store)
        assert store.load_json("plans", "busy")["steps"] == ["a", "b", "new"]


@pytest.mark.parametrize("gap", [b"  ", b" " * 600, b" \n", b"\n" + b" " * 600])
def test_a_line_that_was_moved_is_no_torn_one(base, gap):
    """It is whole, so somebody was told of it; a power cut moves nothing."""
    journal = base / BUSY
    lines = written(journal).splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + gap + lines[-1])
    with open_store(base) as store:
        with pytest.raises(DamagedError):
            store.load_json("plans", "busy")
        with pytest.raises(DamagedError):
            add_step(store)
        assert quarantined(base) == []


@pytest.mark.parametrize("rest", [b"", b'{"plainstate":1,"docu', bytes(512)])
def test_a_journal_that_never_began_is_none(base, rest):
    (base / "plans/rest.jsonl").write_bytes(rest)
    with open_store(base) as store:
        assert store.load_json("plans", "rest") == CONTENTS["plans/rest"]
        store.patch("plans", "rest", [{"op": "add", "path": "/steps/-", "value": "new"}])
        assert store.load_json("plans", "rest")["steps"] == ["a", "new"]


def test_an_optional_key_is_kept_by_a_fold(base):
    journal = base / BUSY
    lines = [json.loads(line) for line in written(journal).splitlines()]
    lines[0]["x-made-by"] = {"someone": "else"}
    lines[2]["x-note"] = "ignored"
    journal.write_bytes(seal(lines))
    with open_store(base) as store:
        assert store.load_json("plans", "busy") == CONTENTS["plans/busy"]
        store.checkpoint()
        add_step(store)
        head = json.loads(journal.read_bytes().splitlines()[0])
        assert head["x-made-by"] == {"someone": "else"}
    resting = json.loads((base / ".plainstate/heads" / BUSY).read_bytes())
    assert resting["x-made-by"] == {"someone": "else"}


def test_equal_keys_in_a_file_are_read_like_json_everywhere(base):
    (base / "plans/rest.json").write_bytes(b'{"a": 1, "a": 2}')
    with open_store(base) as store:
        assert store.load_json("plans", "rest") == {"a": 2}


HARMLESS: dict[str, Callable[[Path], object]] = {
    "no format.json": lambda base: (base / ".plainstate/format.json").unlink(),
    "no resting heads": lambda base: shutil.rmtree(base / ".plainstate/heads"),
    "no lock": lambda base: (base / ".plainstate/lock").unlink(),
    "no writers": lambda base: shutil.rmtree(base / ".plainstate/writers"),
    "foreign files": lambda base: (base / "plans/README.txt").write_bytes(b"\xff"),
    "a file beside the categories": lambda base: (base / "LICENSE").write_bytes(b""),
    "an editor's file": lambda base: (base / "plans/.rest.json.swp").write_bytes(b"\0"),
    "a git folder": lambda base: (base / ".git").mkdir(),
    "a link to another folder": lambda base: (base / "away").symlink_to("/etc"),
    "a foreign name": lambda base: (base / "plans/con.json").write_bytes(b"{}"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_it_goes_on(base, what):
    with open_store(base) as store:
        values = {name: value for name, (value, _) in read_all(store).items()}
    HARMLESS[what](base)
    with open_store(base) as store:
        assert {name: value for name, (value, _) in read_all(store).items()} == values
        add_step(store)
        store.save_json("plans", "rest", 1)
    with open_store(base) as store:
        assert store.load_json("plans", "busy")["steps"][-1] == "new"
        assert store.load_json("plans", "rest") == 1


def test_a_full_disk_lets_one_delete(base, tmp_path):
    disk = FullDisk()
    small = tmp_path / "small"
    with disk.prepare(small):
        shutil.copytree(base, small, dirs_exist_ok=True)
        with open_store(small) as store:
            with disk.trouble(small):
                assert store.delete_session("busy")
            assert store.load_session("busy") is None
            store.checkpoint()  # until then its journal is there, and may be listed
            assert store.list_category("sessions") == ["rest"]


def test_a_damaged_journal_of_one_document_stays_its_own_matter(base):
    """Also for those who clean up after a crash: their close has nothing to report."""
    (base / ".plainstate/writers/left-by-a-crash").write_bytes(b"")
    journal = base / BUSY
    lines = written(journal).splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[2])
    damaged = journal.read_bytes()
    for number in range(2):
        with open_store(base) as store:
            store.save_json("plans", "rest", number)
    assert journal.read_bytes() == damaged
    assert not list((base / ".plainstate/writers").iterdir())


@pytest.mark.parametrize("size", ["blanks stay", "as it was", "that of the lines that were"])
def test_a_line_is_not_lost_behind_a_journal_that_was_made_shorter_in_place(tmp_path, size):
    """A handle that knows the journal: neither its inode nor its size need tell of that."""
    journal = tmp_path / "plans/busy.jsonl"
    with open_store(tmp_path, quiet_fold_s=3600) as store:
        store.save_json("plans", "busy", {"steps": []})
        for step in "abc":
            store.patch("plans", "busy", [{"op": "add", "path": "/steps/-", "value": step}])
        whole, lines = journal.read_bytes(), written(journal)
        shorter = b"".join(lines.splitlines(keepends=True)[:-1])
        sizes = {
            "blanks stay": len(whole) - len(lines) + len(shorter),
            "as it was": len(whole),
            "that of the lines that were": len(lines),
        }
        with journal.open("r+b") as file:  # keeps its inode, as cp and some editors do
            file.write(shorter.ljust(sizes[size]))
            file.truncate()
        add_step(store)
        assert store.load_json("plans", "busy") == {"steps": ["a", "b", "new"]}
    with open_store(tmp_path) as store:
        assert store.load_json("plans", "busy") == {"steps": ["a", "b", "new"]}
        assert quarantined(tmp_path) == []
