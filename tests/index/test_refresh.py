"""Bringing rows up to date when others are at it: in orders that hardly ever happen."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plainstate import StateStore, open_store
from plainstate.engines.memory import MemoryEngine
from plainstate.errors import CursorExpiredError
from plainstate.index import Index
from plainstate.stored import describe
from plainstate.types import LATEST, ChangePage

from .conftest import agrees, listed, scanned


class Told:
    """An engine whose feed is told as the test wants it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.tell: Callable[[Callable[..., ChangePage]], ChangePage] | None = None
        self.noticed: list[tuple[str, str | None]] = []
        self.settles = True
        self.meanwhile: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def changes(self, since: str | None, **options: Any) -> ChangePage:
        if self.tell is None or since == LATEST:
            return self._engine.changes(since, **options)
        return self.tell(lambda **other: self._engine.changes(since, **{**options, **other}))

    def documents(self, category: str | None = None) -> Any:
        self.meanwhile()
        return self._engine.documents(category)

    def notice(self, document: Any, known: str | None) -> bool:
        self.noticed.append((document.name, known))
        return self.settles


def told_store(folder: Path | None = None) -> tuple[StateStore, Told]:
    store = StateStore("memory:" if folder is None else folder)
    store._index.close()
    told = Told(store._engine)
    store._index = Index(told, f"{folder}/.plainstate" if folder else None, describe)
    return store, told


def test_a_page_that_another_handle_took_in_is_not_taken_in_again(folder: Path):
    """It is older than the rows: nobody may see them go back."""
    with open_store(folder) as other:
        other.append_user_message("a", "1", user_id="ada")
        store, told = told_store(folder)
        assert len(store.list_sessions()) == 1
        other.append_user_message("b", "1", user_id="ada")
        seen: list[object] = []

        def old_page(changes: Callable[..., ChangePage]) -> ChangePage:
            page = changes()
            if not seen:  # meanwhile the other one goes further
                other.delete_session("b")
                assert len(other.list_sessions()) == 1
            elif len(seen) == 1:
                agrees(other)
            seen.append(page)
            return page

        told.tell = old_page
        assert len(store.list_sessions()) == 1
        assert len(seen) > 1
        store.close()


def test_a_row_that_is_ahead_of_the_feed_stays_there():
    """A scan may read a commit before the feed tells of it."""
    store, told = told_store()
    with store:
        store.append_user_message("a", "1", user_id="ada")
        assert listed(store)[0][2] == 1
        told.tell = lambda _: ChangePage([], "1")
        store.append_user_message("a", "2")
        store.append_user_message("a", "3")
        refresh = store._index._refresh()
        refresh.scan(store._index._open())
        assert listed(store)[0][2] == 3
        told.tell = lambda changes: changes(limit=1)  # the older of the two, and no more
        assert listed(store)[0][2] == 3
        told.tell = None
        agrees(store)


def test_a_gap_demands_a_scan():
    store, told = told_store()
    with store:
        for name in "abc":
            store.append_user_message(name, "1", user_id="ada")
        store.list_sessions()
        store.append_user_message("a", "2")
        store.delete_session("b")

        def gap(changes: Callable[..., ChangePage]) -> ChangePage:
            page = changes()
            told.tell = None
            return ChangePage([], page.cursor, gap=True)

        told.tell = gap
        agrees(store)


def test_an_expired_cursor_demands_a_scan():
    store, told = told_store()
    with store:
        store.append_user_message("a", "1", user_id="ada")
        store.list_sessions()
        store.append_user_message("b", "2", user_id="ada")

        def expired(changes: Callable[..., ChangePage]) -> ChangePage:
            told.tell = None
            raise CursorExpiredError("gone", hint="h", cursor="1", oldest=changes().cursor)

        told.tell = expired
        agrees(store)


def test_a_feed_that_was_cut_back(folder: Path):
    """A power cut took lines that the index has seen already."""
    store, told = told_store(folder)
    with store:
        store.append_user_message("a", "1", user_id="ada")
        store.list_sessions()
        with store._index._open().writing() as connection:
            connection.execute("UPDATE feed SET cursor = '7-77-00000000'")
        store.append_user_message("a", "2")
        store._index._open().cursor = "7-77-00000000"
        agrees(store)
        assert told._engine.changes(store._index._open().cursor, limit=1).changes == []


def told_by_the_third_scan(store: StateStore, told: Told, version: str) -> None:
    """The first two cannot tell what became of the session `a`, which was at this version."""
    refresh = store._index._refresh()
    for told.settles, times in (False, 1), (False, 2), (True, 3), (True, 3):
        refresh.scan(store._index._open())
        assert told.noticed == [("a", version)] * times


def test_what_cannot_be_told_yet_is_told_by_the_next_scan(folder: Path):
    store, told = told_store(folder)
    with store:
        store.append_user_message("a", "1", user_id="ada")
        store.checkpoint()
        store.reindex()
        (before,) = (store.read("sessions", "a"),)
        path = folder / "sessions" / "a.json"
        told.tell = lambda _: ChangePage([], at)  # or the system would tell of the edit
        at = store._index._open().cursor
        path.write_text(path.read_text().replace("ada", "bob"))
        told_by_the_third_scan(store, told, before.version)
        assert listed(store)[0][1] == "bob"


def test_an_end_that_cannot_be_told_yet_is_told_by_the_next_scan(folder: Path):
    """Who ends it may not come to tell: a power cut takes what is not synced."""
    store, told = told_store(folder)
    with store:
        commit = store.append_user_message("a", "1", user_id="ada")
        store.reindex()
        told.tell = lambda _: ChangePage([], at)  # nobody has told yet
        at = store._index._open().cursor
        store.delete_session("a")
        told_by_the_third_scan(store, told, commit.version)
        assert listed(store) == []


def test_a_commit_during_a_scan_is_no_edit(folder: Path):
    store, told = told_store(folder)
    with store:
        store.append_user_message("a", "1", user_id="ada")
        store.list_sessions()
        told.meanwhile = lambda: store.append_user_message("a", "2")
        refresh = store._index._refresh()
        refresh.scan(store._index._open())
        assert told.noticed == []
        agrees(store)


def test_missed_edits_start_another_scan(folder: Path):
    store, told = told_store(folder)
    with store:
        store.append_user_message("a", "1", user_id="ada")
        store.list_sessions()
        assert store._index._scanned.wait(10)
        scans: list[object] = []
        refresh = store._index._refresh()
        scan = refresh.scan
        refresh.scan = lambda *args, **options: (scans.append(1), scan(*args, **options))[1]

        def missed(changes: Callable[..., ChangePage]) -> ChangePage:
            told.tell = None
            page = changes()
            return ChangePage(page.changes, page.cursor, edits_missed=True)

        told.tell = missed
        store.list_sessions()
        store._index._thread.join(10)
        assert scans == [1]


def test_memory_needs_no_thread():
    store = StateStore.on(MemoryEngine(), "memory:")
    with store:
        store.append_user_message("a", "1", user_id="ada")
        agrees(store)
        assert store._index._thread is None


def test_a_session_that_ended_while_a_scan_read_it_is_not_listed(folder: Path, monkeypatch):
    """The feed told of its end already, and will not tell again."""
    with open_store(folder) as other, open_store(folder) as store:
        other.append_user_message("kept", "1", user_id="ada")
        assert len(store.list_sessions()) == 1
        scanned(store)
        refresh = store._index._refresh()
        catch_up, look = refresh.catch_up, refresh.look

        def created_behind_it(database: Any) -> None:
            catch_up(database)
            monkeypatch.setattr(refresh, "catch_up", catch_up)
            other.append_user_message("short", "1", user_id="ada")

        def deleted_behind_it(document: Any) -> Any:
            found = look(document)
            if document.name == "short" and not found.is_absent:
                other.delete_session("short")
                agrees(other)
            return found

        monkeypatch.setattr(refresh, "catch_up", created_behind_it)
        monkeypatch.setattr(refresh, "look", deleted_behind_it)
        refresh.scan(store._index._open())
        monkeypatch.undo()
        agrees(store)
        agrees(other)


def test_a_search_never_gives_a_user_what_became_another_ones(folder: Path, monkeypatch):
    """The session changes hands between the look at its row and the look at its words."""
    with open_store(folder) as other, open_store(folder) as store:
        other.append_user_message("a", "train", user_id="ada")
        assert len(store.search("train", user_id="ada")) == 1
        other.append_user_message("a", "train again")
        search = store._index._search()
        read = search._read

        def after_it_changed_hands(*arguments: Any) -> Any:
            monkeypatch.setattr(search, "_read", read)
            other.delete_session("a")
            for number in range(3):
                other.append_user_message("a", f"train {number} of bob", user_id="bob")
            return read(*arguments)

        monkeypatch.setattr(search, "_read", after_it_changed_hands)
        assert store.search("train", user_id="ada") == []
        assert len(store.search("train", user_id="bob")) == 3
        agrees(store, "train", "bob", "again")


def test_words_that_are_still_to_be_filed_anew_are_nobodys(folder: Path, monkeypatch):
    """Another handle learned of the new owner right before the words were looked up."""
    with open_store(folder) as other, open_store(folder) as store:
        other.append_user_message("a", "train", user_id="ada")
        assert len(store.search("train", user_id="ada")) == 1
        search = store._index._search()
        catch_up = search.catch_up

        def before_it_changed_hands(*arguments: Any) -> None:
            catch_up(*arguments)
            other.delete_session("a")
            other.append_user_message("a", "bus", user_id="bob")
            other.list_sessions()

        monkeypatch.setattr(search, "catch_up", before_it_changed_hands)
        assert store.search("train", user_id="ada") == []


def test_a_document_that_was_renamed_there_and_back_while_the_feed_was_cut_back(folder: Path):
    """Its file has the size, inode and modification time that it had."""
    with open_store(folder) as store:
        store.save_json("docs", "a", {})
        store.reindex()
        since = store.changes().cursor
        (segment,) = (folder / ".plainstate" / "feed").iterdir()
        before = segment.stat().st_size
        store.rename("docs", "a", "b")
        store.rename("docs", "b", "a")
    os.truncate(segment, before)
    with open_store(folder) as store:
        scanned(store)
        (change,) = store.changes(since)
        assert change.version == store.read("docs", "a").version
        assert [one.code for one in store.check().findings] == []


@pytest.mark.parametrize("last", ["append", "delete"])
def test_a_commit_that_was_read_before_it_was_told_is_still_told(folder: Path, last: str):
    """The feed told without a summary, so the session was read; a power cut took the rest."""
    store, told = told_store(folder)
    with store:
        store.append_user_message("a", "1", user_id="ada")
        store.list_sessions()
        commit = store.append_user_message("a", "2")
        if last == "append":
            store.append_user_message("a", "3")
        else:
            store.delete_session("a")

        def cut_back(changes: Callable[..., ChangePage]) -> ChangePage:
            told.tell = None
            page = changes(for_index=False)
            first = msgspec.structs.replace(page.changes[0], summary=None)
            return ChangePage([first], page.cursor)

        told.tell = cut_back
        store.list_sessions()
        store.reindex()
        assert told.noticed == [("a", commit.version)]
        agrees(store)


def test_what_a_scan_tells_is_durable_before_a_row_holds_it(folder: Path):
    """Or a power cut could take the line and leave the row: nobody would tell it again."""
    store, told = told_store(folder)
    with store:
        before = store.save_json("docs", "a", {"n": 1}).version
        store.reindex()
        database, refresh = store._index._open(), store._index._refresh()
        (folder / "docs" / "a.json").write_text('{"n": 2}')
        told.noticed.clear()
        rows: list[str] = []

        def quiet(changes: Callable[..., ChangePage]) -> ChangePage:
            if told.noticed:
                with database.reading() as connection:
                    rows.extend(*connection.execute("SELECT version FROM documents"))
            page = changes()
            return ChangePage([], page.cursor) if not told.noticed else page

        told.tell = quiet  # or the system would tell of the edit
        refresh.scan(database)
        assert told.noticed == [("a", before)]
        assert rows == [before]


def test_reindex_counts_what_is_there(folder: Path):
    with open_store(folder) as store:
        store.save_json("plans", "a", 1)
        (folder / "plans" / "b.jsonl").touch()  # a creation was cut off
        assert store.reindex() == 1
        assert store.list_category("plans") == ["a"]
