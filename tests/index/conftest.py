"""What the tests of the index share: the truth, looked up in the documents themselves."""

import os
from pathlib import Path

import pytest

from plainstate import StateStore
from plainstate.core import times
from plainstate.core.summary import SESSIONS
from plainstate.engines.file.engine import FileEngine
from plainstate.errors import PlainstateError
from plainstate.index import texts
from plainstate.stored import describe


class Truth:
    """What every document of a store says, without any index.

    Attributes:
        sessions: (id, user, messages, updated) as a list must have them.
        names: (category, name) of all documents.
        said: (document, role, position) with the text there, of documents that can be read.
    """

    def __init__(self, engine: FileEngine) -> None:
        healthy, damaged = [], []
        self.names: set[tuple[str, str]] = set()
        self.said: dict[tuple[str, str, int], str] = {}
        for document, _ in engine.documents():
            try:
                state = engine.read(document)
                if state is None:
                    continue
                self.names.add((document.category, document.name))
                if document.category == SESSIONS:
                    facts = describe(document, state)
                    stamp = times.parse(facts["updated_at"]) // 1000
                    count = facts["users"] + facts["agents"]
                    healthy.append((-stamp, document.name, facts["user_id"], count))
            except PlainstateError:
                self.names.add((document.category, document.name))
                if document.category == SESSIONS:
                    damaged.append((document.name, "", 0, None))
                continue
            for text in texts.texts_of(document, state.value):
                self.said[str(document), text.role, text.position] = text.body
        self.sessions = [
            (name, user, count, times.to_datetime(-age * 1000))
            for age, name, user, count in sorted(healthy)
        ] + sorted(damaged)


def listed(store: StateStore) -> list[tuple[object, ...]]:
    return [
        (one.id, one.user_id, one.message_count, one.updated_at) for one in store.list_sessions()
    ]


def agrees(store: StateStore, *words: str) -> None:
    """Compares every list, and the search for some words, with the documents."""
    truth = Truth(store._engine)
    assert listed(store) == truth.sessions
    assert store.count_sessions() == len(truth.sessions)
    categories = sorted({category for category, _ in truth.names})
    assert store.list_categories() == categories
    for category in categories:
        names = sorted(name for where, name in truth.names if where == category)
        assert store.list_category(category) == names
    for word in words:
        hits = store.search(word, limit=10_000)
        found = {(str(hit.document), hit.role or "", hit.position) for hit in hits}
        assert len(found) == len(hits)
        assert found == {key for key, body in truth.said.items() if word in body.split()}


def scanned(store: StateStore) -> None:
    """Waits until the scan behind the opening is done."""
    store.list_categories()
    store._index._hurry.set()
    if store._index._thread is not None:
        assert store._index._scanned.wait(30)


def index_files(folder: Path) -> list[Path]:
    """The index files of a store, without what SQLite keeps beside them."""
    return sorted((folder / ".plainstate").glob("index*.sqlite"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def drop_index(folder: Path) -> None:
    """Deletes every file of the index, in any order."""
    for name in os.listdir(folder / ".plainstate"):
        if name.startswith("index"):
            (folder / ".plainstate" / name).unlink(missing_ok=True)
