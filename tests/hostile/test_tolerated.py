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

BUSY = "plans/busy.jsonl"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    sound_store.build(path)
    return path


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
}


@pytest.mark.parametrize("tail", TORN)
def test_a_torn_tail_is_ignored_and_set_aside_by_the_next_write(base, tail):
    journal = base / BUSY
    data = journal.read_bytes()
    torn = TORN[tail] or data.splitlines()[-1][:-1]
    journal.write_bytes(data + torn)
    before = tree(base)
    with open_store(base) as store:
        assert store.load_json("plans", "busy") == CONTENTS["plans/busy"]
        assert tree(base) == before  # reading writes nothing (J-6)
        add_step(store)
        assert quarantined(base) == [torn]
        assert store.load_json("plans", "busy")["steps"] == ["a", "b", "c", "new"]


def test_a_last_line_that_lost_its_end_was_never_acknowledged(base):
    journal = base / BUSY
    journal.write_bytes(journal.read_bytes()[:-1])
    with open_store(base) as store:
        assert store.load_json("plans", "busy") == {"steps": ["a", "b"], "n": 2}
        add_step(store)
        assert store.load_json("plans", "busy")["steps"] == ["a", "b", "new"]


@pytest.mark.parametrize("rest", [b"", b'{"plainstate":1,"docu', bytes(512)])
def test_a_journal_that_never_began_is_none(base, rest):
    (base / "plans/rest.jsonl").write_bytes(rest)
    with open_store(base) as store:
        assert store.load_json("plans", "rest") == CONTENTS["plans/rest"]
        store.patch("plans", "rest", [{"op": "add", "path": "/steps/-", "value": "new"}])
        assert store.load_json("plans", "rest")["steps"] == ["a", "new"]


def test_an_optional_key_is_kept_by_a_fold(base):
    journal = base / BUSY
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
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
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[2])
    damaged = journal.read_bytes()
    for number in range(2):
        with open_store(base) as store:
            store.save_json("plans", "rest", number)
    assert journal.read_bytes() == damaged
    assert not list((base / ".plainstate/writers").iterdir())
