"""Lists and search agree with the documents, whatever was done to them and to the index."""

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainstate import Session, StateStore, open_store
from plainstate.errors import PlainstateError
from plainstate.types import DocumentId, Head, Patch

from .conftest import agrees, drop_index, index_files, scanned

WORDS = ("apple", "pear", "fig")
NAMES = ("a", "b", "c")

names = st.sampled_from(NAMES)
words = st.sampled_from(WORDS)
users = st.sampled_from(("ada", "bob"))


def patch_unchecked(store: StateStore, name: str, operations: Patch) -> None:
    """As `StateStore.patch`, but what it leaves may be no session."""

    def change(head: Head) -> Patch:
        return [] if head.value() is None else operations

    store._engine.append(DocumentId("sessions", name), change)


class Machine:
    """A store, and what may happen to it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.store = open_store(place)
        self.other: StateStore | None = None

    def append(self, name: str, word: str, user: str) -> None:
        self.store.append_user_message(name, f"one {word}", user_id=user)

    def append_there(self, name: str, word: str, user: str) -> None:
        if self.other is None:
            self.other = open_store(self.place)
        self.other.append_messages(name, [_response(word)], user_id=user)

    def save(self, name: str, word: str, user: str) -> None:
        session = Session.with_id(user, name)
        session.add_user_message(word)
        self.store.save_json("sessions", name, session.to_tree())

    def spoil(self, name: str, word: str, _: str) -> None:
        self.store._engine.replace(DocumentId("sessions", name), {"no": [word, "session"]})

    def patch(self, name: str, word: str, _: str) -> None:
        value = [{"op": "add", "path": "/user_messages/-", "value": {"odd": word}}]
        patch_unchecked(self.store, name, value)

    def note(self, name: str, word: str, _: str) -> None:
        self.store.append_markdown("notes", name, f"{word} pie\n")

    def delete(self, name: str, *_: str) -> None:
        self.store.delete_session(name)

    def rename(self, name: str, *_: str) -> None:
        self.store.rename("sessions", name, "d")
        self.store.rename("sessions", "d", NAMES[0])

    def edit(self, name: str, word: str, user: str) -> None:
        """By hand."""
        path = self.place / "sessions" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        session = Session.with_id(user, name)
        session.add_user_message(f"edited {word}")
        path.write_text(json.dumps(session.to_tree()))

    def tear(self, name: str, *_: str) -> None:
        """By hand: no JSON any more."""
        path = self.place / "sessions" / f"{name}.json"
        if path.exists():
            path.write_text(path.read_text()[:40])

    def unlink(self, name: str, *_: str) -> None:
        """By hand."""
        (self.place / "sessions" / f"{name}.json").unlink(missing_ok=True)

    def reopen(self, *_: str) -> None:
        self.close()
        self.store = open_store(self.place)

    def close(self) -> None:
        for store in (self.store, self.other):
            with suppress(PlainstateError):  # a conflict that an edit by hand made
                if store is not None:
                    store.close()
        self.other = None

    def search(self, _: str, word: str, __: str) -> None:
        self.store.search(word)

    def reindex(self, *_: str) -> None:
        self.store.reindex()

    def drop_index(self, *_: str) -> None:
        if (self.place / ".plainstate").exists():
            drop_index(self.place)

    def drop_feed(self, *_: str) -> None:
        """As after a power cut that took all of it."""
        self.close()
        shutil.rmtree(self.place / ".plainstate" / "feed", ignore_errors=True)
        self.store = open_store(self.place)

    def drop_heads(self, *_: str) -> None:
        """The numbers begin anew."""
        self.close()
        shutil.rmtree(self.place / ".plainstate" / "heads", ignore_errors=True)
        self.store = open_store(self.place)


def _response(word: str) -> Any:
    from plainstate import AgentResponse

    return AgentResponse(f"said {word}")


BY_STORE: list[Callable[..., None]] = [
    *(Machine.append, Machine.append_there, Machine.save, Machine.spoil, Machine.patch),
    *(Machine.note, Machine.delete, Machine.rename, Machine.reopen, Machine.search),
    *(Machine.reindex, Machine.drop_index),
]
BEHIND_IT: list[Callable[..., None]] = [
    *(Machine.edit, Machine.tear, Machine.unlink, Machine.drop_feed, Machine.drop_heads),
]


def run(steps: list[tuple[Callable[..., None], str, str, str]], *, after_each: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder) / "store")
        try:
            for step, *arguments in steps:
                with suppress(PlainstateError):  # refused, or damaged on purpose
                    step(machine, *arguments)
                if after_each:
                    agrees(machine.store, *WORDS)
            machine.reopen()
            scanned(machine.store)
            agrees(machine.store, *WORDS)
        finally:
            machine.close()


@given(st.lists(st.tuples(st.sampled_from(BY_STORE), names, words, users), max_size=12))
@settings(max_examples=30)
def test_after_every_commit(steps):
    run(steps, after_each=True)


@given(st.lists(st.tuples(st.sampled_from(BY_STORE + BEHIND_IT), names, words, users), max_size=15))
@settings(max_examples=30)
def test_after_a_scan(steps):
    run(steps, after_each=False)


@given(
    st.lists(
        st.tuples(st.sampled_from([*BY_STORE, Machine.edit, Machine.unlink]), names, words, users),
        max_size=12,
    )
)
@settings(max_examples=30)
def test_after_every_edit_while_open(steps):
    """Where the system tells of changes, a list shows them at once."""
    run(
        [(Machine.append, "a", "fig", "ada"), (Machine.reopen, "", "", ""), *steps], after_each=True
    )


# --- single cases --------------------------------------------------------------


def test_edits_while_closed_are_found(folder: Path):
    with open_store(folder) as store:
        for name in NAMES:
            store.append_user_message(name, "apple", user_id="ada")
        store.search("apple")
    machine = Machine(folder)
    machine.close()
    machine.edit("a", "pear", "bob")
    machine.unlink("b")
    machine.edit("new", "fig", "bob")
    with open_store(folder) as store:
        scanned(store)
        agrees(store, "apple", "pear", "fig")
        assert [one.id for one in store.list_sessions(user_id="bob")] == ["new", "a"]


def test_followers_are_told_what_a_scan_finds(folder: Path):
    with open_store(folder) as store:
        for name in NAMES:
            store.append_user_message(name, "apple", user_id="ada")
        store.list_sessions()
        cursor = store._engine.changes("latest", limit=1).cursor
    machine = Machine(folder)
    machine.close()
    machine.edit("a", "pear", "bob")
    machine.unlink("b")
    machine.edit("new", "fig", "bob")
    with open_store(folder) as store:
        scanned(store)
        told = store._engine.changes(cursor, limit=100)
        assert sorted((one.document.name, one.action) for one in told) == [
            ("a", "edit"),
            ("b", "edit"),
            ("new", "edit"),
        ]
        scanned(store)
        assert store.reindex() == 3
        assert len(store._engine.changes(told.cursor, limit=100)) == 0


def test_commits_are_not_taken_for_edits(folder: Path):
    with open_store(folder) as store:
        store.append_user_message("a", "apple", user_id="ada")
        store.list_sessions()
        cursor = store._engine.changes("latest", limit=1).cursor
    with open_store(folder) as store:
        store.append_user_message("a", "pear")
        store.append_user_message("b", "pear", user_id="ada")
        store.checkpoint()
    with open_store(folder) as store:
        scanned(store)
        store.reindex()
        told = store._engine.changes(cursor, limit=100)
        assert {one.action for one in told} == {"create", "update"}


def test_a_plain_folder_is_listed_and_left_alone(tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("an apple")
    with open_store(tmp_path) as store:
        assert store.list_category("notes") == ["a"]
        assert len(store.search("apple")) == 1
        assert store.reindex() == 1
        assert [path.name for path in tmp_path.iterdir()] == ["notes"]
        store.save_markdown("notes", "b", "a pear")
        assert store.list_category("notes") == ["a", "b"]
        assert len(index_files(tmp_path)) == 1
    assert [path.name for path in tmp_path.rglob("index*")] == [
        path.name for path in index_files(tmp_path)
    ]


@pytest.mark.parametrize("bad", [{"timestamp": "x", "content": "c"}, {"content": 1}, 5])
def test_a_message_that_is_none_is_listed_as_damaged(folder: Path, bad: object):
    with open_store(folder) as store:
        store.append_user_message("a", "apple", user_id="ada")
        assert store.list_sessions()[0].damaged is None
        operations = [{"op": "add", "path": "/user_messages/-", "value": bad}]
        patch_unchecked(store, "a", operations)
        assert store.list_sessions()[0].damaged
        store.patch("sessions", "a", [{"op": "remove", "path": "/user_messages/1"}])
        assert store.list_sessions()[0].damaged is None
        store.append_user_message("a", "pear")
        assert store.list_sessions()[0].message_count == 2
