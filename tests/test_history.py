"""History on disk: what is kept, how much, and what damage does to it."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from plainstate import StateStore, open_store
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import (
    DamagedError,
    ForeignJournalError,
    FormatVersionError,
    NotFoundError,
    UsageError,
)
from plainstate.testing.crashfs import CrashFileSystem, PowerCut
from plainstate.types import DocumentId

TRASH = DocumentId(".plainstate/trash/run-1", "s")


def keeping(path: Path, **options) -> StateStore:
    return open_store(path, history="keep", quiet_fold_s=3600, **options)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with keeping(tmp_path) as store:
        yield store


def history_file(path: Path, name: str = "c/d.jsonl") -> Path:
    return path / ".plainstate/history" / name


def push(value) -> list[dict]:
    return [{"op": "add", "path": "/n/-", "value": value}]


def five_states(store: StateStore) -> None:
    """Created, patched, folded, patched, saved, folded, patched."""
    store.save_json("c", "d", {"n": []})
    store.patch("c", "d", push(2))
    store.checkpoint()
    store.patch("c", "d", push(3))
    store.save_json("c", "d", {"n": [4]})
    store.checkpoint()
    store.patch("c", "d", push(5))


FIVE = {1: [], 2: [2], 3: [2, 3], 4: [4], 5: [4, 5]}


def states(store: StateStore) -> dict:
    found = {}
    for seq in range(1, 10):
        try:
            document = store.read("c", "d", at=seq)
        except NotFoundError:
            continue
        found[seq] = None if document is None else document.value["n"]
    return found


# --- what is kept -------------------------------------------------------------


def test_every_state_is_kept(store, tmp_path):
    five_states(store)
    assert states(store) == FIVE
    said = [(one.seq, one.action, one.what) for one in store.history("c", "d")]
    assert said == [
        (5, "update", "added /n/-"),
        (4, "update", "saved whole"),
        (3, "update", "added /n/-"),
        (2, "update", "added /n/-"),
        (1, "create", "created"),
    ]
    store.close()
    with open_store(tmp_path) as later:  # whoever keeps nothing reads it all the same
        assert states(later) == FIVE


def test_nothing_is_kept_unless_asked(tmp_path):
    with open_store(tmp_path) as store:
        five_states(store)
        assert states(store) == {4: [4], 5: [4, 5]}
        store.checkpoint()
        assert states(store) == {5: [4, 5]}
        (newest,) = store.history("c", "d")
        assert (newest.seq, newest.action, newest.patch[0]["value"]) == (5, None, {"n": [4, 5]})
        with pytest.raises(NotFoundError, match="not kept") as caught:
            store.undo("c", "d")
        assert "history='keep'" in caught.value.hint
    assert not history_file(tmp_path).parent.parent.exists()


def test_why_there_is_no_way_back(store, tmp_path):
    with pytest.raises(NotFoundError, match="no document c/none"):
        store.undo("c", "none")
    five_states(store)
    store.checkpoint()
    (tmp_path / "c/d.json").write_text("{ broken")
    store.delete_file("c", "d")
    with pytest.raises(NotFoundError, match="not kept") as caught:
        store.undo("c", "d")
    assert "could not be read" in caught.value.hint
    store.undo("c", "d", to=5)
    assert store.load_json("c", "d") == {"n": FIVE[5]}
    store.append_user_message("s-1", "Hello", user_id="ada")
    store.prune_sessions(older_than=timedelta(0))
    with pytest.raises(NotFoundError, match="not kept") as caught:
        store.undo("sessions", "s-1")
    assert "restore_session" in caught.value.hint


def test_undo_of_an_accidental_save(store):
    store.save_json("c", "d", {"n": ["precious"] * 100})
    store.save_json("c", "d", {"n": []})
    store.undo("c", "d")
    assert len(store.load_json("c", "d")["n"]) == 100


def test_undo_of_an_edit_by_hand(store, tmp_path):
    store.save_json("c", "d", {"n": [1]})
    store.checkpoint()
    (tmp_path / "c/d.json").write_text('{"n": "oops"}')
    newest = store.history("c", "d")[0]
    assert (newest.seq, newest.action, newest.what) == (2, "edit", "edited by hand")
    commit = store.undo("c", "d")
    assert (commit.seq, store.load_json("c", "d")) == (3, {"n": [1]})
    assert store.read("c", "d", at=2).value == {"n": "oops"}


def test_undo_of_a_file_removed_by_hand(store, tmp_path):
    store.save_json("c", "d", {"n": [1]})
    store.checkpoint()
    (tmp_path / "c/d.json").unlink()
    assert store.history("c", "d")[0].what == "deleted by hand"
    store.undo("c", "d")
    assert store.load_json("c", "d") == {"n": [1]}


def test_two_edits_with_a_write_between_are_two_states(store, tmp_path):
    store.append_markdown("c", "d", "one\n")
    store.checkpoint()
    path = tmp_path / "c/d.md"
    path.write_text("first edit\n")
    store.append_markdown("c", "d", "two\n")
    path.write_text("second edit, a long one\n")
    store.append_markdown("c", "d", "three\n")
    texts = [store.read("c", "d", at=seq).value for seq in range(1, 6)]
    assert texts == [
        "one\n",
        "first edit\n",
        "first edit\ntwo\n",
        "second edit, a long one\ntwo\n",
        "second edit, a long one\ntwo\nthree\n",
    ]


def test_both_sides_of_a_settled_conflict_are_kept(store, tmp_path):
    store.save_json("c", "d", {"n": 1})
    store.patch("c", "d", [{"op": "replace", "path": "/n", "value": 2}])
    (tmp_path / "c/d.json").write_text('{"n": 3}')
    store.resolve("c", "d", take="file")
    assert [store.read("c", "d", at=seq).value["n"] for seq in (1, 2, 3)] == [1, 2, 3]


def test_undo_of_a_deletion_and_of_a_creation(store):
    store.save_json("c", "d", {"n": []})
    store.delete_file("c", "d")
    assert [one.what for one in store.history("c", "d")] == ["deleted", "created"]
    store.undo("c", "d")
    assert store.load_json("c", "d") == {"n": []}
    store.undo("c", "d")
    assert not store.exists("c", "d")


def test_a_damaged_document_is_deleted_all_the_same(store, tmp_path):
    store.save_json("c", "d", {"n": [1]})
    store.checkpoint()
    (tmp_path / "c/d.json").write_text("{")
    assert store.delete_file("c", "d")
    assert store.read("c", "d", at=1).value == {"n": [1]}
    with pytest.raises(NotFoundError):
        store.read("c", "d", at=2)


def test_the_state_before_a_broken_edit_is_read(store, tmp_path):
    five_states(store)
    store.checkpoint()
    (tmp_path / "c/d.json").write_text('{"n": [1}')
    with pytest.raises(DamagedError):
        store.load_json("c", "d")
    for at in (2, 4):
        assert store.read("c", "d", at=at).value["n"] == FIVE[at]
    with pytest.raises(DamagedError):
        store.read("c", "d", at=6)
    store.delete_file("c", "d")
    store.undo("c", "d", to=5)
    assert store.load_json("c", "d")["n"] == FIVE[5]


def test_what_a_program_without_history_folds_is_a_gap(store, tmp_path):
    store.save_json("c", "d", {"n": [1]})
    store.close()
    aside = history_file(tmp_path).rename(tmp_path / "aside")  # as if it did not know of it
    with open_store(tmp_path) as other:
        for number in (2, 3):
            other.patch("c", "d", push(number))
    aside.rename(history_file(tmp_path))
    with keeping(tmp_path) as later:
        later.patch("c", "d", push(4))
        later.checkpoint()
        assert states(later) == {1: [1], 3: [1, 2, 3], 4: [1, 2, 3, 4]}
        with pytest.raises(NotFoundError):
            later._engine.since(DocumentId("c", "d"), 1)
        assert [one.what for one in later.history("c", "d")] == [
            "added /n/-",
            "state before it is not kept",
            "created",
        ]


def test_numbers_that_begin_anew_take_the_old_past_back(store, tmp_path):
    five_states(store)
    store.close()
    (tmp_path / ".plainstate/heads/c/d.jsonl").unlink()
    with keeping(tmp_path) as later:
        later.patch("c", "d", push(6))
        assert states(later) == {1: [4, 5], 2: [4, 5, 6]}


def test_followers_of_a_document_get_what_was_folded(store):
    five_states(store)
    document = DocumentId("c", "d")
    found = store._engine.since(document, 2)
    assert [(one.seq, one.patch[0]["path"]) for one in found] == [(3, "/n/-"), (4, ""), (5, "/n/-")]
    assert store._engine.since(document, 5) == []


def test_a_rename_takes_the_past_along(store, tmp_path):
    five_states(store)
    store.save_json("c", "e", 1)
    store.delete_file("c", "e")
    store.rename("c", "d", "e", new_category="x/y")
    assert store.history("c", "d") == [] or store.history("c", "d")[0].what == "deleted"
    assert store.read("x/y", "e", at=2).value == {"n": [2]}
    assert store.history("x/y", "e")[0].what == "renamed"
    store.undo("x/y", "e")  # a rename is not undone, but what was before it
    assert store.load_json("x/y", "e") == {"n": [4]}
    assert not history_file(tmp_path).exists()
    with pytest.raises(NotFoundError):
        store._engine.since(DocumentId("x/y", "e"), 1)  # who knew another document of that name


def test_a_session_in_the_trash_and_back(store):
    store.append_user_message("s", "one", user_id="ada")
    store.append_agent_response("s", "two")
    session = DocumentId("sessions", "s")
    store._engine.rename(session, TRASH)
    assert len(store._engine.read(TRASH, at=1).value["user_messages"]) == 1
    store._engine.rename(TRASH, session)
    assert [one.what for one in store.history("sessions", "s")] == [
        "renamed",
        "renamed",
        "appended agent response",
        "created",
    ]
    store.append_user_message("s", "three")
    assert [len(store.load_session("s", at=seq).turns()) for seq in (1, 2)] == [1, 2]


def test_the_stores_own_documents_are_not_kept(store, tmp_path):
    follower = DocumentId(".plainstate/followers", "f")
    for number in range(3):
        store._engine.replace(follower, {"cursor": number})
    store.checkpoint()
    assert not history_file(tmp_path, ".plainstate").exists()


# --- how much -----------------------------------------------------------------


def test_the_oldest_is_dropped(tmp_path):
    limit = 4000
    with keeping(tmp_path, history_bytes=limit) as store:
        store.save_json("c", "d", {"n": []})
        for number in range(200):
            store.patch("c", "d", push(number))
            if number % 5 == 0:
                store.checkpoint()
            size = history_file(tmp_path).stat().st_size
            assert size <= 2 * (limit + 1500) + 2000
        found = [one.seq for one in store.history("c", "d")]
        assert found == list(range(201, found[-1] - 1, -1))
        assert 10 < len(found) < 100
        for seq in found:
            assert store.read("c", "d", at=seq).value == {"n": list(range(seq - 1))}
        with pytest.raises(NotFoundError):
            store.read("c", "d", at=found[-1] - 1)


def test_a_state_above_the_limit_is_kept_alone(tmp_path):
    with keeping(tmp_path, history_bytes=100) as store:
        for number in range(20):
            store.save_json("c", "d", {"n": [number], "x": "x" * 1000})
        assert history_file(tmp_path).stat().st_size < 5000
        store.undo("c", "d")
        assert store.load_json("c", "d")["n"] == [18]


def test_options_are_checked(tmp_path):
    for bad in ({"history": "all"}, {"history": True}, {"history_bytes": 0}):
        with pytest.raises(UsageError):
            open_store(tmp_path, **bad)
    with pytest.raises(UsageError):
        open_store(tmp_path, history_bytes=1.5)


# --- damage -------------------------------------------------------------------


def damage(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"tx"', b'"tX"')
    path.write_bytes(b"".join(lines))


def test_damage_is_told_and_keeps_nobody_from_working(store, tmp_path):
    five_states(store)
    store.close()
    path = history_file(tmp_path)
    damage(path, 2)
    with keeping(tmp_path) as later:
        for call in (
            lambda: later.history("c", "d"),
            lambda: later.read("c", "d", at=3),
            lambda: later.undo("c", "d"),
        ):
            with pytest.raises(DamagedError, match="line 3") as caught:
                call()
            assert caught.value.path == ".plainstate/history/c/d.jsonl"
        assert later.load_json("c", "d") == {"n": [4, 5]}
        later.patch("c", "d", push(6))
        later.checkpoint()
        assert states(later) == {1: [], 2: [2], 5: [4, 5], 6: [4, 5, 6]}
    (aside,) = (tmp_path / ".plainstate/quarantine/c").iterdir()
    assert b'"tX"' in aside.read_bytes()


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_end_is_ignored_and_set_aside(store, tmp_path, cut):
    five_states(store)
    store.close()
    path = history_file(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    with keeping(tmp_path) as later:
        assert states(later) == FIVE  # the plain file has the last one
        later.patch("c", "d", push(6))
        later.checkpoint()
        assert states(later) == FIVE | {6: [4, 5, 6]}


def test_a_history_without_an_intact_line_is_set_aside(store, tmp_path):
    five_states(store)
    store.close()
    history_file(tmp_path).write_bytes(b'{"plainstate":1,"docu')
    with keeping(tmp_path) as later:
        later.patch("c", "d", push(6))
        later.checkpoint()
        assert states(later) == {5: [4, 5], 6: [4, 5, 6]}


def test_the_history_of_another_document_is_refused(store, tmp_path):
    five_states(store)
    store.save_json("c", "e", 1)
    store.close()
    path = history_file(tmp_path, "c/e.jsonl")
    path.write_bytes(history_file(tmp_path).read_bytes())
    with keeping(tmp_path) as later:
        with pytest.raises(ForeignJournalError) as caught:
            later.history("c", "e")
        assert caught.value.belongs_to == "c/d"
        later.save_json("c", "e", 2)
        assert [one.seq for one in later.history("c", "e")] == [2, 1]


def test_a_newer_format_is_refused(store, tmp_path):
    store.save_json("c", "d", {"n": []})
    store.close()
    path = history_file(tmp_path)
    from plainstate.core.record import seal

    members = json.loads(path.read_bytes())
    del members["sum"]
    kept = {**members, "x-own": 1}
    path.write_bytes(seal(json.dumps(kept).encode(), 0)[0])
    with keeping(tmp_path) as later:
        assert later.read("c", "d", at=1).value == {"n": []}
        assert len(later.history("c", "d")) == 1
    path.write_bytes(seal(json.dumps({**members, "new": 1}).encode(), 0)[0])
    with keeping(tmp_path) as later:
        for call in (lambda: later.history("c", "d"), lambda: later.save_json("c", "d", 1)):
            with pytest.raises(FormatVersionError, match="'new'"):
                call()
        assert later.load_json("c", "d") == {"n": []}


# --- forgetting ---------------------------------------------------------------


def files_of(fs: CrashFileSystem) -> list[str]:
    return [path for path in fs.paths() if "run-1" in path and "quarantine" not in path]


def engine_on(fs: CrashFileSystem) -> FileEngine:
    return FileEngine("/store", fs=fs, history="keep", quiet_fold_s=3600, lock_timeout_s=0)


def into_the_trash(fs: CrashFileSystem, *, folded: bool) -> FileEngine:
    engine = engine_on(fs)
    session = DocumentId("sessions", "s")
    engine.replace(session, {"n": 1})
    engine.replace(session, {"n": 2})
    engine.rename(session, TRASH)
    if not folded:
        engine.append(TRASH, lambda _: push_member(3))
    return engine


def push_member(value) -> list[dict]:
    return [{"op": "add", "path": "/n", "value": value}]


@pytest.mark.parametrize("folded", [True, False])
def test_forgetting_leaves_nothing(folded):
    fs = CrashFileSystem()
    engine = into_the_trash(fs, folded=folded)
    assert len(files_of(fs)) >= 6
    assert engine.delete(TRASH, forget=True) is not None
    assert not files_of(fs)
    assert engine.read(TRASH) is None
    engine.close()


@pytest.mark.parametrize("folded", [True, False])
def test_forgetting_cut_off_anywhere_leaves_it_whole_or_deleted(folded):
    call = 0
    while True:
        call += 1
        fs = CrashFileSystem()
        engine = into_the_trash(fs, folded=folded)
        fs.crash_at(call)
        try:
            engine.delete(TRASH, forget=True)
        except PowerCut:
            pass
        else:
            break
        for image in fs.images(16):
            later = engine_on(image)
            state = later.read(TRASH)
            assert state is None or state.value == {"n": 2 if folded else 3}
            later.delete(TRASH, forget=True)  # again: what is left goes now
            assert not files_of(image)
            later.close()
    assert call > 8


def test_a_neighbour_in_the_folder_stays():
    fs = CrashFileSystem()
    engine = into_the_trash(fs, folded=True)
    other = DocumentId(TRASH.category, "other")
    engine.replace(other, 1)
    engine.delete(TRASH, forget=True)
    assert engine.read(other).value == 1
    engine.close()


def test_who_keeps_nothing_leaves_no_gap_in_what_others_keep(tmp_path):
    """As the command line does, which does not know what the application keeps."""
    with keeping(tmp_path) as store:
        store.save_json("n", "a", {"x": 1})
    with open_store(tmp_path) as other:
        other.patch("n", "a", [{"op": "replace", "path": "/x", "value": 2}])
    with open_store(tmp_path) as other:
        other.save_json("n", "a", {"x": 3})
        other.save_json("n", "b", {"x": 1})
    with open_store(tmp_path) as other:
        other.delete_file("n", "a")
    with keeping(tmp_path) as store:
        assert [one.seq for one in store.history("n", "a")] == [4, 3, 2, 1]
        assert [store.read("n", "a", at=seq).value["x"] for seq in (1, 2, 3)] == [1, 2, 3]
        assert store.read("n", "a", at=4) is None
    assert not (tmp_path / ".plainstate/history/n/b.jsonl").exists()  # it begins none


def test_who_keeps_nothing_does_not_shorten_what_others_keep(tmp_path):
    with keeping(tmp_path, history_bytes=1_000_000) as store:
        for number in range(20):
            store.save_json("n", "a", {"x": number, "filler": "." * 1000})
    with open_store(tmp_path, history_bytes=1) as other:
        other.save_json("n", "a", {"x": 20})
    with open_store(tmp_path) as store:
        assert store.read("n", "a", at=1).value["x"] == 0
