"""The index file: made, shared, thrown away; and what its queries look at."""

import os
import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from plainstate import StateStore, open_store
from plainstate.errors import StorageError, UsageError
from plainstate.index import catalog, database, index, schema
from plainstate.index.refresh import Refresh

from .conftest import agrees, drop_index, index_files, listed, scanned

WORDS = ("apple", "pear", "fig")


def fill(folder: Path, count: int = 12) -> None:
    with open_store(folder) as store:
        for number in range(count):
            store.append_user_message(f"s-{number}", f"an {WORDS[number % 3]}", user_id="ada")
        store.save_markdown("notes", "n", "an apple")
        store.search("apple")


@pytest.fixture
def filled(folder: Path) -> Path:
    fill(folder)
    return folder


# --- the file ------------------------------------------------------------------


def test_it_is_private_and_small_in_number(filled: Path):
    with open_store(filled) as store:
        store.list_sessions()
        for path in (filled / ".plainstate").glob("index*"):
            assert path.stat().st_mode & 0o777 == 0o600, path.name
    assert len(index_files(filled)) == 1
    drop_index(filled)
    with open_store(filled) as store:
        agrees(store, *WORDS)
    assert len(index_files(filled)) == 1
    assert len(list((filled / ".plainstate").glob("index*"))) == 1


@pytest.mark.parametrize("name", ["s-0", "s-99"])
def test_the_first_list_after_a_boot_looks_at_every_file(
    filled: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    """A power cut took the last lines of the feed: a deletion, a creation."""
    monkeypatch.setattr(index, "_PATIENCE_S", 0)  # no small store waits by itself
    monkeypatch.setattr(index, "_DELAY_S", 60)
    feed = filled / ".plainstate/feed/0000000001.open.jsonl"
    before = feed.read_bytes()
    with open_store(filled) as store:
        if name == "s-0":
            store.delete_session(name)
        else:
            store.append_user_message(name, "new", user_id="ada")
    feed.write_bytes(before)
    monkeypatch.setattr(database, "boot_id", lambda: "another")
    with open_store(filled) as store:
        assert (name in {one.id for one in store.list_sessions()}) == (name == "s-99")
        agrees(store, *WORDS)


def test_reading_creates_nothing(tmp_path: Path):
    with open_store(tmp_path / "no") as store:
        assert (store.list_sessions(), store.list_categories(), store.search("x")) == ([], [], [])
        assert (store.count_sessions(), store.list_category("c"), store.reindex()) == (0, [], 0)
    assert list(tmp_path.iterdir()) == []


def test_the_newest_of_two_counts(filled: Path):
    (path,) = index_files(filled)
    again = path.with_name(f"index-{schema.SCHEMA}-00000000-0000-7000-8000-000000000000.sqlite")
    again.write_bytes(path.read_bytes())
    path.with_suffix(".new").write_bytes(b"a builder was killed")
    with open_store(filled) as store:
        agrees(store, *WORDS)
    assert index_files(filled) == [path]


@pytest.mark.parametrize("where", ["deleted", "replaced"])
def test_deleted_while_open(filled: Path, where: str):
    with open_store(filled) as store, open_store(filled) as other:
        agrees(store, *WORDS)
        agrees(other, *WORDS)
        (path,) = index_files(filled)
        drop_index(filled)
        if where == "replaced":
            path.write_bytes(b"")
        other.append_user_message("s-1", "a fig", user_id="ada")
        agrees(store, *WORDS)
        agrees(other, *WORDS)
        assert [store._index._database.path] == [str(one) for one in index_files(filled)]
        assert other._index._database.path == store._index._database.path
        store.append_user_message("s-2", "a pear")
        agrees(other, *WORDS)


def test_another_schema(filled: Path):
    (path,) = index_files(filled)
    prefix = f"index-{schema.SCHEMA}-"
    older = path.with_name(path.name.replace(prefix, "index-0-"))
    newer = path.with_name(path.name.replace(prefix, f"index-{schema.SCHEMA + 1}-"))
    path.rename(newer)
    for other in (older, path):
        with sqlite3.connect(other) as connection:
            connection.execute("CREATE TABLE feed(cursor)")
            connection.execute(f"PRAGMA user_version = {schema.SCHEMA - 1}")
        connection.close()
    with open_store(filled) as store:
        agrees(store, *WORDS)
    assert newer.exists()  # its own plainstate goes on with it
    assert not path.exists()


def corruptions(size: int) -> list[tuple[int, bytes]]:
    chance = random.Random(1)
    page = 4096
    found = [(0, b"x" * size), (0, b""), (0, b"\0" * 100), (100, b"\xff" * 200)]
    for number in range(size // page):
        found.append((number * page, chance.randbytes(page)))
        found.append((number * page, bytes(page)))
    return found


def test_corrupt_bytes(filled: Path):
    """Every page in turn: the answers are right all the same, and no SQLite error comes out."""
    (path,) = index_files(filled)
    sound = path.read_bytes()
    for offset, data in corruptions(len(sound)):
        drop_index(filled)
        spoilt = sound[:offset] + data + sound[offset + len(data) :] if data else b""
        path.write_bytes(spoilt)
        with open_store(filled) as store:
            agrees(store, *WORDS)
            store.append_user_message("s-1", "a fig")
            agrees(store, *WORDS)
            store.search("an")


def test_cut_off(filled: Path):
    (path,) = index_files(filled)
    sound = path.read_bytes()
    for size in range(0, len(sound), 4096 * 3):
        drop_index(filled)
        path.write_bytes(sound[:size])
        with open_store(filled) as store:
            agrees(store, *WORDS)


def test_corrupt_while_open(filled: Path):
    with open_store(filled) as store:
        agrees(store, *WORDS)
        (path,) = index_files(filled)
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
        store.append_user_message("s-1", "a fig")
        agrees(store, *WORDS)


def test_no_place_for_a_file(filled: Path, monkeypatch: pytest.MonkeyPatch):
    drop_index(filled)
    with open_store(filled) as store:

        def refuse(path: str, *arguments: object, **options: object) -> int:
            if "/index-" in path:
                raise PermissionError(13, "Permission denied")
            return plain_open(path, *arguments, **options)

        plain_open = os.open
        monkeypatch.setattr(database.os, "open", refuse)
        agrees(store, *WORDS)
        store.append_user_message("s-1", "a fig")
        agrees(store, *WORDS)
        monkeypatch.undo()
    assert index_files(filled) == []


def test_a_full_disk(filled: Path, monkeypatch: pytest.MonkeyPatch):
    """Lists and search go on in memory."""
    drop_index(filled)
    connect = database._connect

    def small(path: str) -> sqlite3.Connection:
        connection = connect(path)
        if path != ":memory:":
            connection.execute("PRAGMA max_page_count = 40")
        return connection

    monkeypatch.setattr(database, "_connect", small)
    with open_store(filled) as store:
        for number in range(50):
            store.append_user_message(f"t-{number}", "fig " * 200, user_id="bob")
        agrees(store, *WORDS)


def test_a_broken_place_is_an_error_of_ours(filled: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object) -> None:
        raise sqlite3.DatabaseError("malformed")

    monkeypatch.setattr(catalog, "count_sessions", broken)
    with open_store(filled) as store:
        with pytest.raises(StorageError) as raised:
            store.count_sessions()
        assert raised.value.hint
        assert len(store.list_sessions()) == 12


def test_without_fts5(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Lists work, search says why it cannot; a process that can adds what is missing."""
    no_such = "CREATE VIRTUAL TABLE words USING fts5_that_is_missing(body)"
    monkeypatch.setattr(database, "WORDS", no_such)
    with open_store(folder) as store:
        store.append_user_message("a", "apple", user_id="ada")
        assert len(store.list_sessions()) == 1
        with pytest.raises(UsageError, match="FTS5"):
            store.search("apple")
        assert store.reindex() == 1
    monkeypatch.undo()
    with open_store(folder) as store:
        assert len(store.search("apple")) == 1


# --- life of a handle ------------------------------------------------------------


def test_closed_and_forked(filled: Path):
    store = open_store(filled)
    store.list_sessions()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.list_sessions()
        except UsageError:
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    agrees(store, *WORDS)
    store.close()
    for call in (store.list_sessions, store.list_categories, lambda: store.search("x")):
        with pytest.raises(UsageError):
            call()


def test_opening_scans_behind(filled: Path):
    """The scan needs no question; what it meets it says with the next one."""
    with open_store(filled) as store:
        store._index._hurry.set()
        assert store._index._scanned.wait(10)


def test_an_error_of_the_scan_is_told(filled: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> int:
        raise StorageError("sessions: Input/output error", hint="h", path="sessions", errno=5)

    monkeypatch.setattr(Refresh, "scan", fail)
    with open_store(filled) as store:
        store._index._hurry.set()
        assert store._index._scanned.wait(10)
        with pytest.raises(StorageError):
            store.list_sessions()
        assert len(store.list_sessions()) == 12  # told once; the feed is whole


class Slow:
    """An engine whose list of documents stops in the middle until it is let go."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.reached = threading.Event()
        self.go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def documents(self, category: str | None = None) -> Any:
        for number, pair in enumerate(self._engine.documents(category)):
            if number == 5:
                self.reached.set()
                assert self.go.wait(30)
            yield pair


def slow_store(folder: Path) -> tuple[StateStore, Slow]:
    store = open_store(folder)
    store._index.close()
    slow = Slow(store._engine)
    from plainstate.index import Index
    from plainstate.stored import describe

    store._index = Index(slow, f"{folder}/.plainstate", describe)
    return store, slow


def test_a_long_scan_delays_neither_lists_nor_close(filled: Path):
    store, slow = slow_store(filled)
    store._index.start()
    store._index._hurry.set()
    assert slow.reached.wait(10)
    assert len(store.list_sessions()) == 12
    assert len(store.search("apple")) == 5
    store.close()  # would wait for ever
    slow.go.set()
    store._index._thread.join(10)
    assert store._index._error is None
    with open_store(filled) as again:
        agrees(again, *WORDS)


def test_nobody_is_answered_by_half_an_index(filled: Path):
    drop_index(filled)
    store, slow = slow_store(filled)
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(listed(store)))
    asking.start()
    assert slow.reached.wait(10)
    asking.join(0.3)
    assert asking.is_alive()
    with open_store(filled) as other:  # sees that it is not complete, and completes it
        agrees(other, *WORDS)
    slow.go.set()
    asking.join(10)
    assert len(answers[0]) == 12
    store.close()


# --- queries ----------------------------------------------------------------------


def plan(connection: sqlite3.Connection, query: str, values: tuple[object, ...]) -> str:
    rows = connection.execute("EXPLAIN QUERY PLAN " + query, values)
    return "\n".join(row[-1] for row in rows)


PAGES = [
    catalog.healthy_query(user, place, newest_first=newest)
    for user in (None, "ada")
    for place in (None, (5, "x"))
    for newest in (True, False)
]


@pytest.mark.parametrize("query", [*PAGES, (catalog.DAMAGED_QUERY, ("",))])
def test_a_page_is_read_from_its_index(query: tuple[str, tuple[object, ...]]):
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLES)
    text = plan(connection, query[0], (*query[1], 10))
    connection.close()
    assert "SEARCH documents USING INDEX" in text or "SCAN documents USING INDEX by_age" in text
    assert "TEMP B-TREE" not in text
    if "?" in query[0].removesuffix("LIMIT ?"):
        assert "SCAN" not in text  # it begins where the page begins


def test_names_are_read_from_their_index():
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLES)
    text = plan(connection, catalog.NAMES_QUERY, ("c", "json", "", "", 10))
    connection.close()
    assert text.startswith("SEARCH documents USING COVERING INDEX")
    assert "TEMP B-TREE" not in text


def test_a_late_page_of_names_costs_as_much_as_the_first():
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema.TABLES)
    names = [(f"{number:04}",) for number in range(1000)]
    connection.executemany(
        "INSERT INTO documents(category, kind, name, stamp) VALUES('c', 'json', ?, 0)", names
    )
    steps = []

    def cost(after: str | None) -> int:
        steps.clear()
        found = catalog.name_page(connection, "c", kind="json", prefix="0", limit=10, after=after)
        assert found == [name for (name,) in names if name > (after or "")][:10]
        return len(steps)

    connection.set_progress_handler(lambda: steps.append(1), 1)
    first = cost(None)
    assert cost("0899") <= first
    connection.close()


def test_a_page_without_names_does_not_look_at_the_folder(tmp_path: Path):
    with open_store(tmp_path) as store:
        store.save_markdown("c", "a", "")
        assert store.list_category("c") == ["a"]
        looked = []
        engine, documents = store._engine, store._engine.documents
        engine.documents = lambda category: looked.append(category) or documents(category)
        assert store.list_category("c", kind="json") == []
        assert store.list_category("c", after="a") == []
        assert store.list_category("c", prefix="b") == []
        assert "c" not in looked
        assert store.list_category("d") == []
        assert "d" in looked


def test_it_is_imported_when_it_is_asked(filled: Path):
    code = (
        "import sys, plainstate\n"
        f"with plainstate.open_store({str(filled)!r}) as store:\n"
        "    store.load_session('s-1')\n"
        "    assert 'sqlite3' not in sys.modules\n"
        "    store.list_sessions()\n"
        "    assert 'sqlite3' in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_a_scan_reads_only_what_changed(filled: Path, monkeypatch: pytest.MonkeyPatch):
    with open_store(filled) as store:
        scanned(store)
        store.reindex()
    read: list[str] = []
    look = Refresh.look
    monkeypatch.setattr(
        Refresh,
        "look",
        lambda self, document: (read.append(document.name), look(self, document))[1],
    )
    path = filled / "sessions" / "s-3.json"
    path.write_text(path.read_text().replace("ada", "bob"))
    with open_store(filled) as store:
        scanned(store)
        assert [one.id for one in store.list_sessions(user_id="bob")] == ["s-3"]
    assert set(read) == {"s-3"}
