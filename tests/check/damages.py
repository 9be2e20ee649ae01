"""A store that has everything, and every damage that can be done to it.

Each damage says what a check must find: code, file and line, nothing more and nothing less.
"""

import json
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from plainstate import StateStore, open_store

Found = tuple[str, str, int]

WRITER = "01990000-0000-7000-8000-000000000000"
"""A writer that does not live."""

META = ".plainstate"
HEADS = f"{META}/heads"
FEED = f"{META}/feed/0000000001.open.jsonl"


class Damage(NamedTuple):
    """One row: what is done to the files, and what is found.

    Attributes:
        name: what it is.
        harm: does it.
        found: code, path and line of each finding.
        left: codes that `repair` leaves, because they need a decision or are notes.
        cut: what `repair(cut=True)` leaves.
    """

    name: str
    harm: Callable[[Path], object]
    found: list[Found]
    left: list[str]
    cut: list[str] | None = None


DAMAGES: list[Damage] = []


def damage(name: str, *found: Found, left: str = "", cut: str | None = None):
    def enter(harm):
        after = None if cut is None else cut.split()
        DAMAGES.append(Damage(name, harm, list(found), left.split(), after))
        return harm

    return enter


# --- the store -----------------------------------------------------------------


def build(path: Path) -> None:
    """Documents at rest and with waiting transactions, sessions, history, a follower, a trash."""
    with tempfile.TemporaryDirectory() as scratch:
        place = f"{scratch}/store"
        with open_store(place) as store, store.watch(follower="billing"):
            store.append_user_message("old", "Hello", user_id="ada")
            store.prune_sessions(older_than=timedelta(0))
        with open_store(place, history="keep") as store:
            fill(store)
            store.checkpoint()
        with open_store(place, quiet_fold_s=3600) as store:
            keep_busy(store)
            store.list_sessions()
            shutil.copytree(place, path)
    for entry in (path / META / "writers").iterdir():
        entry.unlink()
    for file in (path / META).glob("index-*"):
        file.unlink()


def fill(store: StateStore) -> None:
    store.save_json("plans", "rest", {"steps": ["a"]})
    store.patch("plans", "rest", [{"op": "add", "path": "/steps/-", "value": "b"}])
    store.save_json("plans", "busy", {"steps": []})
    store.save_json("plans", "gone", 1)
    store.delete_file("plans", "gone")
    store.save_markdown("notes/deep", "rest", "# Notes\n\nOne line.\n")
    store.append_markdown("notes/deep", "rest", "Another line.\n")
    store.append_user_message("s-1", "What is 6 x 7?", user_id="ada")
    store.append_agent_response("s-1", "42")


def keep_busy(store: StateStore) -> None:
    for step in "abc":
        store.patch("plans", "busy", [{"op": "add", "path": "/steps/-", "value": step}])
    for text in ("one", "two", "three"):
        store.append_user_message("s-2", text, user_id="ada")


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def written(path: Path) -> bytes:
    """A file without the blanks behind its lines."""
    return path.read_bytes().rstrip(b" ")


def change(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data, (path, old)
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path, line: int) -> None:
    """Changes one bit of a line, from 1."""
    lines = written(path).splitlines(keepends=True)
    middle = len(lines[line - 1]) // 2
    text = bytearray(lines[line - 1])
    text[middle] ^= 1
    lines[line - 1] = bytes(text)
    path.write_bytes(b"".join(lines))


def seal(*lines: dict[str, object]) -> bytes:
    """Journal lines with right checksums, whatever they say."""
    data, check = b"", 0
    for line in lines:
        members = {key: value for key, value in line.items() if key != "sum"}
        body = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
        check = crc32(body, check)
        data += b'%b,"sum":"%08x"}\n' % (body, check)
    return data


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(path).splitlines()]


# --- journals ------------------------------------------------------------------

BUSY = "plans/busy.jsonl"


@damage("torn tail", ("journal-torn", BUSY, 5))
def _(base):
    write(base / BUSY, written(base / BUSY) + b'{"seq":5,"tx":"t","time"')


@damage("journal cut off while it was made", ("journal-torn", "notes/deep/rest.mdl", 1))
def _(base):
    write(base / "notes/deep/rest.mdl", b'{"plainstate":1,"docu')


@damage("flipped bit in a journal", ("journal-damaged", BUSY, 3), left="journal-damaged", cut="")
def _(base):
    flip(base / BUSY, 3)


@damage(
    "first line of a journal flipped", ("journal-damaged", BUSY, 1), left="journal-damaged", cut=""
)
def _(base):
    flip(base / BUSY, 1)


@damage("missing line", ("journal-damaged", BUSY, 3), left="journal-damaged", cut="")
def _(base):
    lines = written(base / BUSY).splitlines(keepends=True)
    write(base / BUSY, b"".join(lines[:2] + lines[3:]))


@damage("missing number", ("journal-damaged", BUSY, 3), left="journal-damaged", cut="")
def _(base):
    first, second, _, last = lines_of(base / BUSY)
    write(base / BUSY, seal(first, second, last))


@damage("no head", ("journal-damaged", BUSY, 1), left="journal-damaged", cut="")
def _(base):
    write(base / BUSY, seal(*lines_of(base / BUSY)[1:]))


@damage("a patch that does not fit", ("journal-damaged", BUSY, 0), left="journal-damaged", cut="")
def _(base):
    head, line, *_ = lines_of(base / BUSY)
    line["patch"] = [{"op": "remove", "path": "/nothing"}]
    write(base / BUSY, seal(head, line))


@damage("copied journal", ("journal-foreign", "plans/rest.jsonl", 1))
def _(base):
    shutil.copy(base / BUSY, base / "plans/rest.jsonl")


@damage(
    "moved journal",
    ("journal-foreign", "plans/rest.jsonl", 1),
    ("rolled-back", "plans/busy.json", 0),
    left="journal-foreign rolled-back",
    cut="",
)
def _(base):
    os.rename(base / BUSY, base / "plans/rest.jsonl")


@damage(
    "swapped journals",
    ("journal-foreign", BUSY, 1),
    ("journal-foreign", "sessions/s-2.jsonl", 1),
    left="journal-foreign journal-foreign",
    cut="",
)
def _(base):
    os.rename(base / BUSY, base / "x")
    os.rename(base / "sessions/s-2.jsonl", base / BUSY)
    os.rename(base / "x", base / "sessions/s-2.jsonl")


@damage(
    "plain file gone, its journal waits",
    ("journal-orphaned", "plans/busy.json", 0),
    left="journal-orphaned",
)
def _(base):
    (base / "plans/busy.json").unlink()


@damage(
    "journal gone that was all there was",
    ("document-gone", "sessions/s-2.json", 0),
    left="document-gone",
    cut="",
)
def _(base):
    (base / "sessions/s-2.jsonl").unlink()


@damage("fold that was cut off", ("cut-off", "plans/busy.json", 0))
def _(base):
    head, *lines = lines_of(base / BUSY)
    digest = "00" * 16
    after = {**head, "seq": 4, "version": f"4-{lines[-1]['sum']}"}
    after["snapshot"] = {"digest": digest, "stamp": [1, 1, 1]}
    write(base / BUSY, seal(head, *lines, after))
    fix = lines_of(base / BUSY)
    fix[-1]["version"] = f"4-{fix[-2]['sum']}"
    write(base / BUSY, seal(*fix))


@damage("journal of a newer format", ("newer-format", BUSY, 0), left="newer-format")
def _(base):
    head, *lines = lines_of(base / BUSY)
    write(base / BUSY, seal({**head, "plainstate": 2}, *lines))


# --- plain files ---------------------------------------------------------------

REST = "plans/rest.json"
NOTE = "notes/deep/rest.md"


@damage("truncated JSON, history has it", ("snapshot-damaged", REST, 3))
def _(base):
    write(base / REST, (base / REST).read_bytes()[:20])


@damage("rotten bit in JSON", ("snapshot-damaged", "plans/busy.json", 0), left="snapshot-damaged")
def _(base):
    settle_files(base)
    (base / META / "history/plans/busy.jsonl").unlink()
    rot(base / "plans/busy.json", b'"a"', b'"A"')


@damage("rotten bit in Markdown, history has it", ("snapshot-damaged", NOTE, 0))
def _(base):
    settle_files(base)
    rot(base / NOTE, b"One", b"Ome")


def settle_files(base):
    """Writes the plain files that the copy was made of once more: their heads know their times."""
    with open_store(base, quiet_fold_s=3600) as store:
        store.patch("plans", "busy", [{"op": "add", "path": "/steps/-", "value": "d"}])
        store.checkpoint()
    with open_store(base, history="keep") as store:
        store.append_markdown("notes/deep", "rest", "Last line.\n")


def rot(path, old, new):
    before = path.stat()
    with path.open("r+b") as file:
        data = file.read()
        assert old in data
        file.seek(0)
        file.write(data.replace(old, new, 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@damage("zeroed JSON", ("snapshot-damaged", REST, 1))
def _(base):
    write(base / REST, b"\0" * 40)


@damage("empty JSON", ("snapshot-damaged", REST, 1))
def _(base):
    write(base / REST, b"")


@damage("not UTF-8", ("snapshot-damaged", NOTE, 3))
def _(base):
    change(base / NOTE, b"One", b"On\xff")


@damage(
    "damaged JSON that nobody kept",
    ("snapshot-damaged", "sessions/old.json", 2),
    left="snapshot-damaged",
)
def _(base):
    write(base / "sessions/old.json", b'{\n  "id" "old"\n}\n')


@damage("too deep", ("snapshot-damaged", "plans/deep.json", 0), left="snapshot-damaged")
def _(base):
    write(base / "plans/deep.json", b"[" * 200 + b"]" * 200)


@damage("zeroed Markdown", ("snapshot-suspect", NOTE, 0), left="snapshot-suspect")
def _(base):
    write(base / NOTE, b"\0" * 33)


@damage("emptied Markdown", ("snapshot-suspect", NOTE, 0), left="snapshot-suspect")
def _(base):
    write(base / NOTE, b"")


@damage("edited by hand", ("edited", NOTE, 0), left="edited")
def _(base):
    change(base / NOTE, b"One", b"1")


@damage("edited while transactions wait", ("edited", "plans/busy.json", 0), left="edited")
def _(base):
    write(base / "plans/busy.json", b'{"steps": [], "by": "hand"}')


@damage("edit conflict", ("edit-conflict", "plans/busy.json", 0), left="edit-conflict")
def _(base):
    write(base / "plans/busy.json", b'{"steps": "none"}')


@damage(
    "swapped plain files",
    ("edited", "notes/deep/other.md", 0),
    ("edited", NOTE, 0),
    ("snapshot-swapped", "notes/deep/other.md", 0),
    ("snapshot-swapped", NOTE, 0),
    ("index-behind", "INDEX", 0),
    left="snapshot-swapped snapshot-swapped edited edited index-behind",
)
def _(base):
    with open_store(base, history="keep") as store:
        store.save_markdown("notes/deep", "other", "Another\n")
    settle(base)
    data = (base / NOTE).read_bytes()
    write(base / NOTE, (base / "notes/deep/other.md").read_bytes())
    write(base / "notes/deep/other.md", data)


@damage(
    "a key twice", ("duplicate-keys", REST, 0), ("edited", REST, 0), left="duplicate-keys edited"
)
def _(base):
    write(base / REST, b'{"a": 1, "a": 2}')


@damage("removed by hand", ("head-orphaned", REST, 0), left="head-orphaned")
def _(base):
    (base / REST).unlink()


# --- sessions ------------------------------------------------------------------


@damage("no owner", ("session-damaged", "sessions/x.json", 0), left="session-damaged")
def _(base):
    write(base / "sessions/x.json", json.dumps({**session(base), "user_id": None}))


@damage("a bad time", ("session-damaged", "sessions/x.json", 0), left="session-damaged")
def _(base):
    tree = session(base)
    tree["user_messages"][0]["timestamp"] = "yesterday"
    write(base / "sessions/x.json", json.dumps(tree))


@damage("no session at all", ("session-damaged", "sessions/x.json", 0), left="session-damaged")
def _(base):
    write(base / "sessions/x.json", b"[]")


@damage("copied session", ("session-id", "sessions/copy.json", 0), left="session-id")
def _(base):
    shutil.copy(base / "sessions/s-1.json", base / "sessions/copy.json")


def session(base):
    return {**json.loads((base / "sessions/s-1.json").read_bytes()), "id": "x"}


# --- heads and history ---------------------------------------------------------


@damage("damaged head", ("head-damaged", f"{HEADS}/plans/rest.jsonl", 1))
def _(base):
    flip(base / HEADS / "plans/rest.jsonl", 1)


@damage("empty head", ("head-damaged", f"{HEADS}/plans/gone.jsonl", 1))
def _(base):
    write(base / HEADS / "plans/gone.jsonl", b"")


@damage("head of another document", ("head-foreign", f"{HEADS}/plans/rest.jsonl", 1))
def _(base):
    shutil.copy(base / HEADS / "plans/gone.jsonl", base / HEADS / "plans/rest.jsonl")


HISTORY = f"{META}/history/plans/rest.jsonl"


@damage("torn history", ("history-torn", HISTORY, 3))
def _(base):
    with (base / HISTORY).open("ab") as file:
        file.write(b'{"seq":')


@damage("damaged history", ("history-damaged", HISTORY, 2))
def _(base):
    flip(base / HISTORY, 2)


@damage("a step that does not fit", ("history-damaged", HISTORY, 0))
def _(base):
    first, second = lines_of(base / HISTORY)
    second["patch"] = [{"op": "remove", "path": "/nothing"}]
    write(base / HISTORY, seal(first, second))


@damage("history of another document", ("history-foreign", f"{META}/history/plans/busy.jsonl", 1))
def _(base):
    shutil.copy(base / HISTORY, base / META / "history/plans/busy.jsonl")


@damage(
    "history of nothing",
    ("history-orphaned", f"{META}/history/plans/lost.jsonl", 0),
    left="history-orphaned",
)
def _(base):
    lines = lines_of(base / HISTORY)
    lines[0]["document"] = "plans/lost"
    write(base / META / "history/plans/lost.jsonl", seal(*lines))


# --- names, links, permissions -------------------------------------------------


@damage("foreign file", ("foreign-file", "notes/picture.png", 0), left="foreign-file")
def _(base):
    write(base / "notes/picture.png", b"PNG")


@damage("file beside the categories", ("foreign-file", "read.md", 0), left="foreign-file")
def _(base):
    write(base / "read.md", b"x")


@damage("foreign folder", ("foreign-file", ".git", 0), left="foreign-file")
def _(base):
    write(base / ".git/config", b"x")


@damage("bad name", ("invalid-name", "notes/con.md", 0), left="invalid-name")
def _(base):
    write(base / "notes/con.md", b"x")


@damage("two Unicode forms", ("invalid-name", "notes/u\u0308.md", 0), left="invalid-name")
def _(base):
    write(base / "notes/u\u0308.md", b"x")
    write(base / "notes/\u00fc.md", b"x")


@damage("not UTF-8 in a name", ("invalid-name", "notes/\\udcff.md", 0), left="invalid-name")
def _(base):
    with open(os.fsencode(base / "notes") + b"/\xff.md", "wb") as file:
        file.write(b"x")


@damage("bad category", ("invalid-name", "notes/nul", 0), left="invalid-name")
def _(base):
    write(base / "notes/nul/x.md", b"x")


@damage("upper and lower case", ("case-clash", "notes/Plan.md", 0), left="case-clash")
def _(base):
    write(base / "notes/Plan.md", b"x")
    write(base / "notes/plan.md", b"x")


@damage("link", ("unsafe-path", "notes/link.md", 0), left="unsafe-path")
def _(base):
    os.symlink(base / NOTE, base / "notes/link.md")


@damage("link to a folder", ("unsafe-path", "linked", 0), left="unsafe-path")
def _(base):
    os.symlink(base / "notes", base / "linked")


@damage("link in the store's folder", ("unsafe-path", f"{META}/history", 0), left="unsafe-path")
def _(base):
    os.rename(base / META / "history", base.parent / "away")
    os.symlink(base.parent / "away", base / META / "history")


@damage("FIFO", ("unsafe-path", "plans/pipe.json", 0), left="unsafe-path")
def _(base):
    os.mkfifo(base / "plans/pipe.json")


@damage("socket", ("unsafe-path", "plans/socket.md", 0), left="unsafe-path")
def _(base):
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(base / "plans")  # its path must be short
        try:
            one.bind("socket.md")
        finally:
            os.chdir(here)


@damage("folder in place of a file", ("unsafe-path", "plans/x.json", 0), left="unsafe-path")
def _(base):
    (base / "plans/x.json").mkdir()


@damage(
    "others may read",
    ("open-permissions", "plans/busy.json", 0),
    left="open-permissions",
)
def _(base):
    base.chmod(0o755)
    (base / "plans/rest.json").chmod(0o640)
    (base / "plans/busy.json").chmod(0o666)


@damage("write-protected journal", ("not-writable", BUSY, 0), left="not-writable")
def _(base):
    (base / BUSY).chmod(0o400)


# --- what writers leave --------------------------------------------------------


@damage("stale temporary file", ("temp-stale", f"plans/.tmp-{WRITER}-1", 0))
def _(base):
    write(base / f"plans/.tmp-{WRITER}-1", b"half")


@damage("dead writer", ("writer-dead", f"{META}/writers/{WRITER}", 0))
def _(base):
    write(base / META / "writers" / WRITER, b"json plans/busy\n")


@damage("archive left", ("temp-stale", f".tmp-{WRITER}", 0))
def _(base):
    write(base / f".tmp-{WRITER}", b"half")


@damage(
    "set aside",
    ("quarantined", f"{META}/quarantine/plans/busy.jsonl.{WRITER}", 0),
    left="quarantined",
)
def _(base):
    write(base / META / f"quarantine/plans/busy.jsonl.{WRITER}", b"half")


# --- the feed ------------------------------------------------------------------


@damage("damaged line in the feed", ("feed-damaged", FEED, 13), left="feed-damaged")
def _(base):
    flip(base / FEED, 13)


@damage("zeroed feed", ("feed-damaged", FEED, 1), left="feed-damaged")
def _(base):
    write(base / FEED, b"\0" * 100 + b"\n")


@damage("unfinished line in the feed", ("feed-damaged", FEED, 18), left="feed-damaged")
def _(base):
    with (base / FEED).open("ab") as file:
        file.write(b'{"document":"plans/b')


@damage("missing segment", ("feed-gap", f"{META}/feed/0000000001.jsonl", 0), left="feed-gap")
def _(base):
    os.rename(base / FEED, base / META / "feed/0000000001.jsonl")
    write(base / META / "feed/0000000003.open.jsonl", b"")


@damage("no feed", ("feed-gap", f"{META}/feed", 0), left="feed-gap")
def _(base):
    shutil.rmtree(base / META / "feed")


@damage("another file in place of the feed", ("feed-damaged", FEED, 1), left="feed-damaged")
def _(base):
    write(base / FEED, (base / HEADS / "plans/rest.jsonl").read_bytes())


@damage("emptied feed", ("feed-gap", f"{META}/feed", 0), left="feed-gap")
def _(base):
    write(base / FEED, b"")


@damage("two open segments", ("feed-open", FEED, 0))
def _(base):
    write(base / META / "feed/0000000002.open.jsonl", b"")


@damage("feed behind", ("feed-behind", BUSY[:-1], 0))
def _(base):
    lines = (base / FEED).read_bytes().splitlines(keepends=True)
    lines = [line for line in lines if b'"plans/busy"' not in line or b'"create"' in line]
    write(base / FEED, b"".join(lines))


# --- the store's own documents -------------------------------------------------


@damage(
    "no follower",
    ("follower-damaged", f"{META}/followers/billing.json", 0),
    left="follower-damaged",
)
def _(base):
    write(base / META / "followers/billing.json", b"{}")


def run_of(base):
    (file,) = (base / META / "trash").glob("*.json")
    return file


@damage("no run of the trash", ("trash-damaged", "TRASH.json", 0), left="trash-damaged")
def _(base):
    write(run_of(base), b"{}")


@damage("run without its document", ("trash-orphaned", "TRASH", 0), left="trash-orphaned")
def _(base):
    run_of(base).unlink()


@damage(
    "damaged session in the trash",
    ("snapshot-damaged", "TRASH/old.json", 1),
    left="snapshot-damaged",
)
def _(base):
    write(run_of(base).with_suffix("") / "old.json", b"{")


# --- the index -----------------------------------------------------------------


def settle(base):
    """Opens, lists and closes the store, so that it has an index."""
    with open_store(base, quiet_fold_s=3600) as store:
        store.stats()
        store._index._thread.join()


def index_of(base):
    settle(base)
    (file,) = (base / META).glob("index-*.sqlite")
    return file


@damage("damaged index", ("index-damaged", "INDEX", 0))
def _(base):
    file = index_of(base)
    data = bytearray(file.read_bytes())
    data[4096:12288] = b"\xaa" * 8192
    write(file, data)


@damage("index that is none", ("index-damaged", "INDEX", 0))
def _(base):
    write(index_of(base), b"rubbish" * 1000)


@damage("index out of step", ("index-wrong", "INDEX", 0))
def _(base):
    with closing(sqlite3.connect(index_of(base))) as connection:
        connection.execute("UPDATE documents SET version = '9-00000000' WHERE name = 'rest'")
        connection.commit()


@damage("index behind", ("index-behind", "INDEX", 0), left="index-behind")
def _(base):
    index_of(base)
    write(base / "notes/new.md", b"new\n")


@damage("old index", ("index-leftover", f"{META}/index-1-{WRITER}.sqlite", 0))
def _(base):
    file = index_of(base)
    shutil.copy(file, base / META / f"index-1-{WRITER}.sqlite")


@damage("what SQLite left", ("index-leftover", f"{META}/index-1-{WRITER}.sqlite-wal", 0))
def _(base):
    write(base / META / f"index-1-{WRITER}.sqlite-wal", b"")
