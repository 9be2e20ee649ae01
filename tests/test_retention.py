"""What happens to a session while it is pruned, and what the trash leaves on disk."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from plainstate import StateStore, errors, open_store


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path):
    place = "memory:" if request.param == "memory" else str(tmp_path / "store")
    with open_store(place, lock_timeout_s=0.2) as opened:
        for name in ("a", "b", "c"):
            opened.append_user_message(name, "Hello", user_id="ada")
        yield opened


def before_moving(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Any]
) -> None:
    """Does something right before the second session is moved."""
    rename = store._engine.rename

    def late(document: Any, *args: Any, **options: Any) -> Any:
        if document.name == "b":
            monkeypatch.undo()
            meanwhile()
        return rename(document, *args, **options)

    monkeypatch.setattr(store._engine, "rename", late)


@pytest.mark.parametrize("durability", ["commit", "os"])
def test_a_session_that_was_written_meanwhile_stays(store, monkeypatch, durability):
    before_moving(
        store,
        monkeypatch,
        lambda: store.append_agent_response("b", "too late", durability=durability),
    )
    report = store.prune_sessions(keep_last=0)
    assert [one.id for one in report.sessions] == ["a", "c"]
    assert report.busy == ["b"]
    assert store.load_session("b").turns()[-1].content == "too late"


def test_a_session_that_was_deleted_meanwhile_is_named(store, monkeypatch):
    before_moving(store, monkeypatch, lambda: store.delete_session("b"))
    report = store.prune_sessions(keep_last=0)
    assert ([one.id for one in report.sessions], report.busy) == (["a", "c"], ["b"])


def test_a_session_that_is_locked_stays(store):

    with store.transaction("sessions", "b"), ThreadPoolExecutor(1) as other:
        report = other.submit(store.prune_sessions, keep_last=0).result()
    assert ([one.id for one in report.sessions], report.busy) == (["a", "c"], ["b"])
    assert store.list_category("sessions") == ["b"]


def test_if_nothing_could_be_moved_no_run_is_left(store, monkeypatch):
    def refuse(document: Any, *_: Any, **__: Any) -> None:
        raise errors.NotFoundError("gone", hint="none", document=str(document))

    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "rename", refuse)
        report = store.prune_sessions(keep_last=0)
    assert (report.sessions, report.run, report.busy) == ([], None, ["a", "b", "c"])
    assert list(store._engine.documents(".plainstate/trash")) == []


def test_an_error_amid_a_run_leaves_the_moved_ones_restorable(store, monkeypatch):
    def fail() -> None:
        raise errors.StorageFullError("full", hint="none", path="", errno=28)

    before_moving(store, monkeypatch, fail)
    with pytest.raises(errors.StorageFullError):
        store.prune_sessions(keep_last=0)
    assert [one.id for one in store.trash()] == ["a"]
    assert [one.id for one in store.prune_sessions(keep_last=0).sessions] == ["b", "c"]


def test_emptying_waits_for_the_run_that_still_moves(store, monkeypatch):
    def empty() -> None:
        with pytest.raises(errors.LockTimeoutError):
            store.empty_trash(older_than=timedelta(0))

    before_moving(store, monkeypatch, empty)
    store.prune_sessions(keep_last=0)
    assert [one.id for one in store.trash()] == ["a", "b", "c"]


def test_restored_and_emptied_sessions_leave_nothing_behind(tmp_path):
    with open_store(tmp_path, history="keep") as store:
        for name in ("a", "b"):
            store.append_user_message(name, "a secret", user_id="ada")
            store.checkpoint()
            store.append_agent_response(name, "a secret")
        store.prune_sessions(keep_last=0)
        store.restore_session("a")
        store.empty_trash(older_than=timedelta(0))
        store.delete_session("a")
        store.prune_sessions(keep_last=0)
        store.empty_trash(older_than=timedelta(0))
    meta = tmp_path / ".plainstate"
    assert [path for path in meta.rglob("*") if path.is_file() and "trash" in path.parts] == []
    assert list(meta.glob("heads/.plainstate/trash/*/*")) == []
    for part in ("heads", "history", "trash"):
        for path in (meta / part).rglob("b.*"):
            assert b"secret" not in path.read_bytes(), path


def test_a_damaged_session_in_the_trash_is_told_and_stays(tmp_path):
    with open_store(tmp_path) as store:
        store.append_user_message("a", "Hello", user_id="ada")
        store.prune_sessions(keep_last=0)
        (file,) = tmp_path.glob(".plainstate/trash/*/a.json")
        file.write_text("{")
        (trashed,) = store.trash()
        assert "a.json" in trashed.damaged
        assert (trashed.user_id, trashed.bytes) == ("", 0)
        report = store.empty_trash(older_than=timedelta(0))
        left = [one.id for one in store.trash()]
        assert (left == ["a"]) == ("a" in report.damaged)


def test_a_damaged_run_is_told(tmp_path):
    with open_store(tmp_path) as store:
        store.append_user_message("a", "Hello", user_id="ada")
        run = store.prune_sessions(keep_last=0).run
        (tmp_path / ".plainstate" / "trash" / f"{run}.json").write_text("{}")
        with pytest.raises(errors.DamagedError) as caught:
            store.trash()
        assert caught.value.path == f".plainstate/trash/{run}.json"


def test_files_that_were_put_there_by_hand_are_pruned(tmp_path):
    with open_store(tmp_path / "other") as other:
        other.append_user_message("a", "Hello", user_id="ada")
    (tmp_path / "store" / "sessions").mkdir(parents=True)
    (tmp_path / "other" / "sessions" / "a.json").rename(tmp_path / "store" / "sessions" / "a.json")
    with open_store(tmp_path / "store") as store:
        assert [one.id for one in store.prune_sessions(keep_last=0).sessions] == ["a"]
        store.restore_session("a")
        assert store.load_session("a").turns()[0].content == "Hello"
