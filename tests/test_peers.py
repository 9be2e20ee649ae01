"""The peers of the benchmark do what is measured of them: those that need no library."""

import asyncio

import pytest
from benchmarks.peers.base import MISSING, PEERS, TABLE

WITHOUT_LIBRARY = [
    "plainstate",
    "limit",
    "sqlite_full",
    "sqlite_normal",
    "ancestor",
    "ancestor_fsync",
]

each_peer = pytest.mark.parametrize("name", WITHOUT_LIBRARY)

DOCUMENT = {"steps": ["read", "write"], "done": None, "東京": 1.5}


@each_peer
def test_messages_come_back_in_order_also_after_closing(name, tmp_path):
    wanted = [f"message {number} \N{SNOWMAN}\n" for number in range(5)]
    store = PEERS[name].open(tmp_path / "store")
    assert store.texts("s-1") == []
    for text in wanted:
        store.append("s-1", text)
        store.append("s-2", f"not {text}")
    assert store.texts("s-1") == wanted
    assert store.load("s-1")
    store.close()
    store = PEERS[name].open(tmp_path / "store")
    assert store.texts("s-1") == wanted
    store.append("s-1", "one more")
    assert store.texts("s-1") == [*wanted, "one more"]
    store.close()


@each_peer
def test_a_document_comes_back_as_it_was_saved_last(name, tmp_path):
    store = PEERS[name].open(tmp_path)
    store.save("plan", [])
    store.save("plan", DOCUMENT)
    assert store.read("plan") == DOCUMENT
    store.close()


@pytest.mark.parametrize("name", [name for name in WITHOUT_LIBRARY if name != "limit"])
def test_the_newest_sessions_come_first(name, tmp_path):
    store = PEERS[name].open(tmp_path)
    assert store.newest(3) == []
    for session in ("s-1", "s-2", "s-3", "s-1"):
        store.append(session, "hello")
    assert store.newest(2) == ["s-1", "s-3"]
    store.close()


@pytest.mark.parametrize("name", ["plainstate", "sqlite_full", "sqlite_normal"])
def test_search_knows_every_message(name, tmp_path):
    store = PEERS[name].open(tmp_path)
    assert store.search("needle", 5) == []
    store.append("s-1", "a haystack")
    store.append("s-2", "a needle in it")
    assert store.search("needle", 5) == ["s-2"]
    store.append("s-3", "Needle again")
    assert sorted(store.search("needle", 5)) == ["s-2", "s-3"]
    assert len(store.search("needle", 1)) == 1
    store.close()


def test_what_asyncio_appends_is_what_the_blocking_face_reads(tmp_path):
    store = PEERS["plainstate"].open(tmp_path)
    asyncio.run(store.append_async("s-1", "hello"))
    assert store.texts("s-1") == ["hello"]
    store.close()


def test_every_peer_is_open_or_missing():
    assert set(WITHOUT_LIBRARY) <= set(PEERS)
    assert sorted([*PEERS, *MISSING]) == sorted(TABLE)
