"""The peers of the benchmark do what is measured of them: those that need no library."""

import asyncio
import shutil

import pytest
from benchmarks.peers import children, counting
from benchmarks.peers.__main__ import measured
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


# --- counting ----------------------------------------------------------------

TRACE = """\
7 write(3</s/store/early>, ""..., 5) = 5
7 access("/counting-begins", F_OK) = -1 ENOENT (No such file or directory)
7 write(3</s/store/a>, ""..., 100) = 100
8 pwrite64(4</s/store/b>, ""..., 50, 0 <unfinished ...>
7 fdatasync(3</s/store/a> <unfinished ...>
8 <... pwrite64 resumed>) = 50
7 <... fdatasync resumed>)          = 0
7 fsync(5</s/store>) = -1 EIO (Input/output error)
7 renameat(5</s/store>, "x", 5</s/store>, "y") = 0
7 write(2</dev/pts/0>, ""..., 9) = 9
7 access("/counting-ends", F_OK) = -1 ENOENT (No such file or directory)
7 fsync(3</s/store/a>) = 0
"""


def test_calls_are_counted_between_the_marks_in_the_folder_when_they_succeed():
    calls, moved = counting.read_trace(TRACE, "/s/store")
    assert calls == {"write": 1, "pwrite64": 1, "fdatasync": 1, "renameat": 1}
    assert counting.written(moved) == 150


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_an_append_of_the_limit_is_one_write_and_one_sync(tmp_path):
    cost = counting.cost("limit", tmp_path / "store", before=1, counted=3)
    assert cost[:3] == (1, 0, 1)
    assert children.run("look", "limit", tmp_path / "store", 4, "") == "4 of 4"


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(("mark", "said"), [({}, []), ({"durable": False}, ["durable=False"])])
def test_a_peer_that_is_marked_wrongly_is_an_error(mark, said, tmp_path, monkeypatch):
    monkeypatch.setitem(PEERS, "limit", PEERS["limit"]._replace(**mark))
    _, wrong = measured("limit", tmp_path / "store")
    assert len(wrong) == len(said)
    assert all(part in complaint for part, complaint in zip(said, wrong, strict=True))


def test_what_is_no_longer_in_order_is_said(tmp_path):
    store = PEERS["limit"].open(tmp_path)
    store.append(children.SESSION, children.text(1))
    store.append(children.SESSION, children.text(0))
    store.close()
    assert children.run("look", "limit", tmp_path, 2, "") == "2 of 2, not in order"


def test_files_that_hold_no_messages_do_not_make_a_store_unreadable(tmp_path):
    (tmp_path / ".plainstate").mkdir()
    (tmp_path / ".plainstate" / "index").write_bytes(b"\0\xff")
    (tmp_path / "a.json").write_text("{}")
    assert counting.is_text(tmp_path)
    (tmp_path / "b.db").write_bytes(b"SQLite\0")
    assert not counting.is_text(tmp_path)
