"""Loading a session again: it is read on, and is what a handle that never loaded it reads."""

from __future__ import annotations

import json
import os
import random
import threading
from typing import TYPE_CHECKING

import pytest

from plainstate import StateStore, loading, open_store
from plainstate.fs.posix import PosixFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONG = "x" * 1000


@pytest.fixture
def read_bytes(monkeypatch) -> Callable[[], int]:
    """How many bytes were read from files since the last call."""
    total = 0
    real = PosixFileSystem.read

    def read(self, fd: int, offset: int, size: int) -> bytes:
        nonlocal total
        data = real(self, fd, offset, size)
        total += len(data)
        return data

    def since_last() -> int:
        nonlocal total
        found, total = total, 0
        return found

    monkeypatch.setattr(PosixFileSystem, "read", read)
    return since_last


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[StateStore]:
    """A handle that has loaded the session of twenty messages, which is at rest."""
    with open_store(tmp_path, quiet_fold_s=3600) as store:
        for number in range(20):
            store.append_user_message("s", f"{number} {LONG}", user_id="ada", metadata={"n": [1]})
        store.checkpoint()
        store.load_session("s")
        yield store


@pytest.fixture
def other(tmp_path: Path, mine: StateStore) -> Iterator[StateStore]:
    assert mine
    with open_store(tmp_path, quiet_fold_s=3600) as store:
        yield store


def check(mine: StateStore, tmp_path: Path) -> None:
    """The handle reads what a new one reads."""
    with open_store(tmp_path) as fresh:
        expected = fresh.load_session("s")
        found = mine.load_session("s")
        assert found == expected
        if expected is not None:
            assert found.version == expected.version


def test_only_what_is_new_is_read(tmp_path: Path, mine, other, read_bytes):
    for count in range(1, 4):
        other.append_user_message("s", f"new {count}")
        read_bytes()
        session = mine.load_session("s")
        assert read_bytes() < 5000
        assert session.user_messages[-1].content == f"new {count}"
        check(mine, tmp_path)
    read_bytes()
    mine.load_session("s")
    assert read_bytes() < 5000  # to see that there is nothing


def test_a_session_at_rest_is_not_read_again(mine, read_bytes):
    read_bytes()
    assert len(mine.load_session("s").turns()) == 20
    assert read_bytes() < 3000  # its head tells that it is the same


def test_what_is_done_to_a_session_stays_in_it(tmp_path: Path, mine):
    mine.append_messages("s", mine.load_session("s").turns()[:1])
    first = mine.load_session("s")
    first.metadata["deep"] = {"list": []}
    first.set_metadata("title", "mine")
    first.add_user_message("not saved")
    first.remove_last_turn()
    first.remove_last_turn()
    first.set_active_seed("seed")
    check(mine, tmp_path)
    mine.patch("sessions", "s", [{"op": "add", "path": "/metadata/deep", "value": {"list": []}}])
    second = mine.load_session("s")
    second.metadata["deep"]["list"].append("not saved")
    check(mine, tmp_path)


def test_a_session_does_not_change_by_being_loaded_again(mine, other):
    first = mine.load_session("s")
    before = first.to_tree()
    other.append_user_message("s", "new")
    other.patch("sessions", "s", [{"op": "add", "path": "/metadata/a", "value": 1}])
    mine.load_session("s")
    other.patch(
        "sessions", "s", [{"op": "replace", "path": "/user_messages/0/content", "value": "!"}]
    )
    assert mine.load_session("s").user_messages[0].content == "!"
    assert first.to_tree() == before


def change_by_hand(folder: Path) -> None:
    path = folder / "sessions/s.json"
    if path.exists():
        tree = json.loads(path.read_bytes())
        tree["metadata"]["by hand"] = tree["metadata"].get("by hand", 0) + 1
        path.write_text(json.dumps(tree))


def rename_there_and_back(folder: Path) -> None:
    with open_store(folder) as store:
        store.rename("sessions", "s", "t")
        store.rename("sessions", "t", "s")


def begin_anew(folder: Path) -> None:
    with open_store(folder) as store:
        store.delete_session("s")
        store.append_user_message("s", "again", user_id="ada")


def fold(folder: Path) -> None:
    with open_store(folder) as store:
        store.checkpoint()


def new_journal(folder: Path) -> None:
    """As after a failed sync: the same lines, and fewer of them, in another file."""
    path = folder / "sessions/s.jsonl"
    if path.exists():
        lines = path.read_bytes().rstrip(b" ").splitlines(keepends=True)
        other = path.with_suffix(".new")
        other.write_bytes(b"".join(lines[:-1] or lines))
        os.replace(other, path)


CHANGES = [change_by_hand, rename_there_and_back, begin_anew, fold, new_journal]


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("waiting", [False, True])
def test_whatever_else_happens_is_read_anew(tmp_path: Path, mine, other, change, waiting):
    if waiting:
        other.append_user_message("s", "new")
        mine.load_session("s")
    other.close()
    change(tmp_path)
    check(mine, tmp_path)


def test_a_journal_with_the_inode_of_an_earlier_one_is_another(mine, other):
    """Inodes are used again: here a file of the same plain state has a shorter journal."""
    for _ in range(20):
        other.save_json("sessions", "s", other.load_json("sessions", "s"))
        other.save_json("sessions", "s", other.load_json("sessions", "s"))
        mine.load_session("s")
        other.checkpoint()
        commit = other.append_user_message("s", "new")
        assert mine.load_session("s").version == commit.version


def test_deleted_is_gone(mine, other):
    other.delete_session("s")
    assert mine.load_session("s") is None


def test_any_order_of_changes(tmp_path: Path, mine, other):
    chance = random.Random(5)
    steps = [
        lambda: other.append_user_message("s", "m", user_id="ada"),
        lambda: other.append_agent_response("s", "a"),
        lambda: mine.append_user_message("s", "m", user_id="ada"),
        lambda: other.patch("sessions", "s", [{"op": "remove", "path": "/user_messages/0"}]),
        lambda: other.patch("sessions", "s", [{"op": "add", "path": "/metadata/x", "value": [1]}]),
        lambda: other.patch("sessions", "s", [{"op": "add", "path": "/metadata/x/0", "value": 2}]),
        lambda: other.save_json("sessions", "s", other.load_json("sessions", "s")),
        other.checkpoint,
        mine.checkpoint,
    ]
    for _ in range(150):
        try:
            chance.choice(steps)()
        except loading.PlainstateError:
            continue
        if chance.random() < 0.7:
            check(mine, tmp_path)


def test_many_threads_load_at_once(mine, other):
    lengths: list[list[int]] = [[] for _ in range(4)]

    def load(seen: list[int]) -> None:
        seen.extend(len(mine.load_session("s").turns()) for _ in range(50))

    threads = [threading.Thread(target=load, args=(seen,)) for seen in lengths]
    for thread in threads:
        thread.start()
    for _ in range(30):
        other.append_user_message("s", "new")
    for thread in threads:
        thread.join()
    assert all(seen == sorted(seen) for seen in lengths)
    assert len(mine.load_session("s").turns()) == 50


def test_what_is_kept_is_bounded(mine, monkeypatch, read_bytes):
    monkeypatch.setattr(loading, "LOADED_BYTES", 20_000)
    for name in "abcdef":
        mine.append_user_message(name, LONG, user_id="ada")
        mine.load_session(name)
    assert "f" in {document.name for document in mine._loaded._states}
    assert sum(map(loading._size, mine._loaded._states.values())) == mine._loaded._size_bytes
    assert mine._loaded._size_bytes <= 20_000
    mine.load_session("s")  # too large by itself
    read_bytes()
    mine.load_session("s")
    assert read_bytes() > 20_000
