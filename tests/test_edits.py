"""J-7: files that a person edits, pulls, restores or removes behind the store's back.

Never lost, never doubled: each test says what must be in the document, exactly once.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plainstate import AgentResponse, StateStore, open_store
from plainstate.engines.file import feed
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    InvalidValueError,
    NotFoundError,
    UsageError,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    with open_store(tmp_path, quiet_fold_s=3600) as store:
        yield store
        try:
            store.load_session("s")
        except EditConflictError:
            store.resolve("sessions", "s", take="file")


def in_place(path: Path, data: bytes) -> None:
    """As `nano` does: the same inode."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(data)


def by_rename(path: Path, data: bytes) -> None:
    """As `vim` and git do: a new file under the old name."""
    temp = path.with_name("edited~")
    temp.write_bytes(data)
    temp.rename(path)


WAYS = pytest.mark.parametrize("write", [in_place, by_rename])
Write = Callable[[Path, bytes], None]


class Talk:
    """The session `s` of a store: two turns in its file, two more waiting in its journal."""

    def __init__(self, store: StateStore, folder: Path) -> None:
        self.store = store
        self.path = folder / "sessions" / "s.json"
        store.append_user_message("s", "q1", user_id="ada")
        store.append_agent_response("s", "a1")
        store.checkpoint()
        self.folded = self.path.read_bytes()
        store.append_user_message("s", "q2")
        store.append_agent_response("s", "a2")
        assert self.path.read_bytes() == self.folded
        assert self.path.with_suffix(".jsonl").exists()

    def tree(self) -> dict[str, Any]:
        return json.loads(self.path.read_bytes())

    def contents(self) -> list[str]:
        """Of all readers: this handle, another one, and this one after a write."""
        seen = [turn.content for turn in self.store.load_session("s").turns()]
        with open_store(self.path.parent.parent) as other:
            assert [turn.content for turn in other.load_session("s").turns()] == seen
        return seen


@pytest.fixture
def talk(store: StateStore, tmp_path: Path) -> Talk:
    return Talk(store, tmp_path)


def dump(tree: object) -> bytes:
    return json.dumps(tree, indent=4, ensure_ascii=False).encode()


# --- at rest ------------------------------------------------------------------------


@WAYS
def test_a_document_at_rest(store: StateStore, tmp_path: Path, write: Write):
    first = store.save_json("c", "d", {"n": [1]}, tx_id="t")
    store.checkpoint()
    write(tmp_path / "c" / "d.json", b'{"n": [1, 2]}')
    edited = store.read("c", "d")
    assert edited.value == {"n": [1, 2]}
    assert edited.version not in (None, first.version)
    assert store.read("c", "d") == edited
    commit = store.patch("c", "d", [{"op": "add", "path": "/n/-", "value": 3}])
    assert store.load_json("c", "d") == {"n": [1, 2, 3]}
    assert commit.seq == 3  # the edit is a transaction of its own


def test_a_version_from_before_an_edit_is_stale(store: StateStore, tmp_path: Path):
    first = store.save_json("c", "d", 1)
    (tmp_path / "c" / "d.json").write_text("2", "utf-8")
    with pytest.raises(RuntimeError):
        store.save_json("c", "d", 3, if_version=first.version)
    assert store.load_json("c", "d") == 2


def test_a_new_file(store: StateStore, tmp_path: Path):
    store.save_json("c", "other", 1)
    (tmp_path / "c" / "d.json").write_text('{"n": []}', "utf-8")
    (tmp_path / "c" / "t.md").write_text("by hand", "utf-8")
    assert store.list_category("c") == ["d", "other", "t"]
    store.patch("c", "d", [{"op": "add", "path": "/n/-", "value": 1}])
    store.append_markdown("c", "t", ", by store")
    assert store.load_json("c", "d") == {"n": [1]}
    assert store.load_markdown("c", "t") == "by hand, by store"


def test_a_removed_file_is_a_deleted_document(store: StateStore, tmp_path: Path):
    first = store.save_json("c", "d", 1, tx_id="t")
    (tmp_path / "c" / "d.json").unlink()
    assert store.load_json("c", "d") is None
    again = store.save_json("c", "d", 1)
    assert again.seq > first.seq
    assert again.version != first.version


def test_a_removed_file_is_not_listed(store: StateStore, tmp_path: Path):
    store.save_json("c", "d", 1, tx_id="t")
    (tmp_path / "c" / "d.json").unlink()
    assert store.list_category("c") == []


def test_a_removed_file_that_was_saved_but_once_is_not_listed(store: StateStore, tmp_path: Path):
    """It has no head: nothing but the change feed tells that it was there."""
    store.save_json("c", "d", 1)
    assert store.list_category("c") == ["d"]
    before = store.changes("latest").cursor
    (tmp_path / "c" / "d.json").unlink()
    assert store.list_category("c") == []
    assert [change.action for change in store.changes(before)] == ["delete"]
    assert store.check().findings == []


def test_a_removed_file_of_which_the_newest_changes_do_not_tell(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feed, "FEED_SEGMENT_BYTES", 1)
    store.save_json("c", "d", 1)
    assert store.list_category("c") == ["d"]
    scan = store._index._thread
    assert scan is not None
    scan.join()
    for number in range(3):
        store.save_json("c", "other", number)
    (tmp_path / "c" / "d.json").unlink()
    store.list_category("c")
    again = store._index._thread
    assert again is not None
    assert again is not scan
    again.join()
    assert store.list_category("c") == ["other"]


def test_a_file_put_back_after_a_delete(store: StateStore, tmp_path: Path):
    store.save_json("c", "d", 1)
    old = (tmp_path / "c" / "d.json").read_bytes()
    deleted = store.delete_file("c", "d")
    (tmp_path / "c" / "d.json").write_bytes(old)
    assert deleted
    assert store.load_json("c", "d") == 1
    assert store.save_json("c", "d", 2).seq == 4


def test_a_touched_file_is_the_same_document(store: StateStore, tmp_path: Path):
    """A backup's restore or `git checkout` of the same bytes changes no version."""
    first = store.save_json("c", "d", {"n": 1})
    path = tmp_path / "c" / "d.json"
    by_rename(path, path.read_bytes())
    os.utime(path, (1, 1))
    assert store.read("c", "d").version == first.version
    store.save_json("c", "d", {"n": 2}, if_version=first.version)


# --- with messages waiting --------------------------------------------------------


@WAYS
def test_a_message_put_in_front(talk: Talk, write: Write):
    tree = talk.tree()
    tree["user_messages"].insert(0, {"content": "q0", "timestamp": "2020-01-01T00:00:00Z"})
    write(talk.path, dump(tree))
    assert talk.contents() == ["q0", "q1", "a1", "q2", "a2"]
    talk.store.append_user_message("s", "q3")
    assert talk.contents() == ["q0", "q1", "a1", "q2", "a2", "q3"]
    talk.store.checkpoint()
    assert talk.contents() == ["q0", "q1", "a1", "q2", "a2", "q3"]


@WAYS
def test_changed_metadata(talk: Talk, write: Write):
    tree = talk.tree()
    tree["metadata"]["title"] = "By hand"
    write(talk.path, dump(tree))
    talk.store.append_user_message("s", "q3")
    assert talk.contents() == ["q1", "a1", "q2", "a2", "q3"]
    session = talk.store.load_session("s")
    assert session.metadata == {"title": "By hand"}
    assert talk.store.list_sessions()[0].title == "By hand"


@WAYS
def test_a_corrected_message(talk: Talk, write: Write):
    write(talk.path, talk.folded.replace(b'"q1"', b'"Q1"'))
    assert talk.contents() == ["Q1", "a1", "q2", "a2"]
    talk.store.append_agent_response("s", "a3")
    assert talk.contents() == ["Q1", "a1", "q2", "a2", "a3"]


@WAYS
@pytest.mark.parametrize("contained", [1, 2])
def test_a_pulled_version_that_contains_waiting_messages(talk: Talk, write: Write, contained: int):
    """Another machine's copy has some of them, or all, and one of its own."""
    whole = talk.store.load_session("s").to_tree()
    if contained == 1:
        whole["agent_responses"].pop()
    whole["metadata"]["pulled"] = True
    write(talk.path, dump(whole))
    assert talk.contents() == ["q1", "a1", "q2", "a2"]
    talk.store.append_user_message("s", "q3")
    assert talk.contents() == ["q1", "a1", "q2", "a2", "q3"]
    talk.store.checkpoint()
    assert talk.contents() == ["q1", "a1", "q2", "a2", "q3"]
    assert talk.store.load_session("s").metadata == {"pulled": True}


@WAYS
def test_a_restored_older_version(store: StateStore, tmp_path: Path, write: Write):
    store.append_user_message("s", "q1", user_id="ada")
    store.checkpoint()
    path = tmp_path / "sessions" / "s.json"
    backup = path.read_bytes()
    store.append_agent_response("s", "a1")
    store.checkpoint()
    store.append_user_message("s", "q2")
    write(path, backup)
    # what was folded is what the backup took back; what waits is carried over
    said = [turn.content for turn in store.load_session("s").turns()]
    assert said in (["q1", "q2"], ["q1", "a1", "q2"])
    store.append_agent_response("s", "a2")
    assert [turn.content for turn in store.load_session("s").turns()] == [*said, "a2"]


def test_a_restored_older_version_at_rest(store: StateStore, tmp_path: Path):
    store.append_user_message("s", "q1", user_id="ada")
    store.checkpoint()
    path = tmp_path / "sessions" / "s.json"
    backup = path.read_bytes()
    store.append_agent_response("s", "a1")
    store.checkpoint()
    by_rename(path, backup)
    assert [turn.content for turn in store.load_session("s").turns()] == ["q1"]
    store.append_agent_response("s", "a2")
    assert [turn.content for turn in store.load_session("s").turns()] == ["q1", "a2"]


def test_a_removed_file_with_messages_waiting(talk: Talk):
    talk.path.unlink()
    with pytest.raises(EditConflictError) as raised:
        talk.store.load_session("s")
    assert raised.value.transactions == 2
    assert (raised.value.path, raised.value.journal) == ("sessions/s.json", "sessions/s.jsonl")
    assert talk.store.list_sessions()[0].damaged
    assert talk.path.with_suffix(".jsonl").exists()
    talk.store.resolve("sessions", "s", take="file")
    assert talk.store.load_session("s") is None


def test_the_journal_alone_cannot_bring_a_removed_file_back(talk: Talk):
    """What was in the file is gone: taking the journal is refused, until the file is restored."""
    talk.path.unlink()
    with pytest.raises(EditConflictError):
        talk.store.resolve("sessions", "s", take="journal")
    talk.path.write_bytes(talk.folded)
    assert talk.contents() == ["q1", "a1", "q2", "a2"]


def test_a_conflict_refuses_appends(talk: Talk):
    """What is appended into a conflict would be set aside with the rest: it is refused."""
    talk.path.unlink()
    with pytest.raises(EditConflictError):
        talk.store.append_user_message("s", "q3")
    talk.path.write_bytes(talk.folded)
    assert talk.contents() == ["q1", "a1", "q2", "a2"]


READS: list[Callable[[StateStore], object]] = [
    lambda store: store.load_session("s"),
    lambda store: store.history("sessions", "s"),
]


@pytest.mark.parametrize("read", READS)
def test_a_journal_that_a_read_found_damaged_gets_no_more_lines(
    store: StateStore, tmp_path: Path, read: Callable[[StateStore], object]
):
    """A line behind the damage would be acknowledged, and set aside with the rest."""
    for number in range(5):
        store.append_user_message("s", f"message {number}", user_id="ada")
    journal = tmp_path / "sessions" / "s.jsonl"
    whole = journal.read_bytes()
    with journal.open("r+b") as file:
        file.write(whole.replace(b"message 2", b"massage 2"))
    with pytest.raises(DamagedError):
        read(store)
    damaged = journal.read_bytes()
    with pytest.raises(DamagedError, match="line 4"):
        store.append_user_message("s", "message 5")
    assert journal.read_bytes() == damaged
    with journal.open("r+b") as file:
        file.write(whole)
    store.append_user_message("s", "message 5")
    session = store.load_session("s")
    assert session is not None
    assert len(session.turns()) == 6


def test_broken_json_while_messages_wait(talk: Talk):
    """A slip of the editor hides nothing and loses nothing: correct it, and all is there."""
    in_place(talk.path, talk.folded[:-3])
    with pytest.raises(ValueError, match=r"s\.json"):
        talk.store.load_session("s")
    in_place(talk.path, talk.folded.replace(b'"q1"', b'"Q1"'))
    assert talk.contents() == ["Q1", "a1", "q2", "a2"]


def test_a_first_journal_and_a_file_from_elsewhere(store: StateStore, tmp_path: Path):
    """The journal began without a file; then git brings the file as it was a while ago."""
    store.append_user_message("s", "q1", user_id="ada")
    with_one = dump(store.load_json("sessions", "s"))
    store.append_agent_response("s", "a1")
    (tmp_path / "sessions" / "s.json").write_bytes(with_one)
    assert [turn.content for turn in store.load_session("s").turns()] == ["q1", "a1"]
    store.append_user_message("s", "q2")
    assert [turn.content for turn in store.load_session("s").turns()] == ["q1", "a1", "q2"]


# --- conflicts ------------------------------------------------------------------------


class Counter:
    """A counter at 1 in its file, raised to 2 in its journal, set to 10 by hand."""

    def __init__(self, store: StateStore, folder: Path) -> None:
        self.path = folder / "c" / "n.json"
        store.save_json("c", "n", {"count": 1, "log": []})
        store.checkpoint()
        with store.transaction("c", "n") as doc:
            doc.value["count"] = 2
        store.patch("c", "n", [{"op": "add", "path": "/log/-", "value": {"waiting": True}}])
        in_place(self.path, b'{"count": 10, "log": ["by hand"]}')


@pytest.fixture
def counter(store: StateStore, tmp_path: Path) -> Iterator[Counter]:
    counter = Counter(store, tmp_path)
    yield counter
    try:
        store.read("c", "n")
    except EditConflictError:
        store.resolve("c", "n", take="file")


def test_a_conflict_is_named_and_both_stay(store: StateStore, counter: Counter, tmp_path: Path):
    journal = (tmp_path / "c" / "n.jsonl").read_bytes()
    for call in (
        lambda: store.load_json("c", "n"),
        lambda: store.read("c", "n"),
        lambda: store.patch("c", "n", [{"op": "replace", "path": "/count", "value": 3}]),
        lambda: store.save_json("c", "n", 0),
        lambda: store.delete_file("c", "n"),
        lambda: store.transaction("c", "n").__enter__(),
        store.checkpoint,
    ):
        with pytest.raises(EditConflictError) as raised:
            call()
        error = raised.value
        assert (error.document, error.path, error.transactions) == ("c/n", "c/n.json", 2)
        assert error.journal == "c/n.jsonl"
        assert "resolve" in error.hint
    assert counter.path.read_bytes() == b'{"count": 10, "log": ["by hand"]}'
    assert (tmp_path / "c" / "n.jsonl").read_bytes() == journal
    assert store.list_category("c") == ["n"]
    assert store.save_json("c", "other", 1).seq == 1  # other documents are not concerned


def kept(folder: Path) -> bytes:
    """Everything that was set aside."""
    aside = folder / ".plainstate" / "quarantine"
    return b"".join(path.read_bytes() for path in aside.rglob("*") if path.is_file())


@pytest.mark.usefixtures("counter")
def test_taking_the_file(store: StateStore, tmp_path: Path):
    commit = store.resolve("c", "n", take="file")
    assert store.load_json("c", "n") == {"count": 10, "log": ["by hand"]}
    assert store.read("c", "n").version == commit.version
    assert b'"waiting":true' in kept(tmp_path)
    assert store.patch("c", "n", [{"op": "remove", "path": "/log"}]).seq == commit.seq + 1


@pytest.mark.usefixtures("counter")
def test_taking_the_journal(store: StateStore, tmp_path: Path):
    commit = store.resolve("c", "n", take="journal")
    assert store.load_json("c", "n") == {"count": 2, "log": ["by hand", {"waiting": True}]}
    assert store.read("c", "n").version == commit.version
    assert b'"count": 10' in kept(tmp_path)
    with open_store(tmp_path) as other:
        assert other.load_json("c", "n")["count"] == 2


def test_resolving_where_there_is_no_conflict(store: StateStore):
    """It is refused, and changes nothing."""
    store.save_json("c", "d", 1)
    store.append_markdown("c", "t", "x")
    for name in ("d", "t"):
        with pytest.raises(UsageError):
            store.resolve("c", name, take="file")
    with pytest.raises(NotFoundError):
        store.resolve("c", "absent", take="journal")
    assert store.load_json("c", "d") == 1
    assert store.load_markdown("c", "t") == "x"
    with pytest.raises(RuntimeError):
        store.resolve("c", "d", take="mine")


def test_closing_with_a_conflict_says_so(tmp_path: Path):
    store = open_store(tmp_path)
    Counter(store, tmp_path)
    with pytest.raises(EditConflictError):
        store.close()
    store.close()
    with open_store(tmp_path) as again:
        with pytest.raises(EditConflictError):
            again.load_json("c", "n")
        again.resolve("c", "n", take="file")
        assert again.load_json("c", "n")["count"] == 10


# --- Markdown -------------------------------------------------------------------------


class Notes:
    """A text whose file lacks one appended line."""

    LINE = "- a line that is long enough to be itself\n"

    def __init__(self, store: StateStore, folder: Path) -> None:
        self.path = folder / "c" / "notes.md"
        store.save_markdown("c", "notes", "# Notes\n")
        store.append_markdown("c", "notes", self.LINE)
        assert self.path.read_text("utf-8") == "# Notes\n"


@WAYS
def test_markdown_edited_above_waiting_lines(store: StateStore, tmp_path: Path, write: Write):
    notes = Notes(store, tmp_path)
    write(notes.path, b"# My notes\n- by hand\n")
    assert store.load_markdown("c", "notes") == "# My notes\n- by hand\n" + Notes.LINE
    store.append_markdown("c", "notes", "end\n")
    store.checkpoint()
    assert notes.path.read_text("utf-8") == "# My notes\n- by hand\n" + Notes.LINE + "end\n"


@WAYS
def test_markdown_that_contains_the_waiting_line(store: StateStore, tmp_path: Path, write: Write):
    notes = Notes(store, tmp_path)
    write(notes.path, f"# Notes\n{Notes.LINE}more by hand\n".encode())
    assert store.load_markdown("c", "notes") == f"# Notes\n{Notes.LINE}more by hand\n"
    store.append_markdown("c", "notes", "end\n")
    assert store.load_markdown("c", "notes") == f"# Notes\n{Notes.LINE}more by hand\nend\n"


def test_a_short_line_is_unclear(store: StateStore, tmp_path: Path):
    """`ok` in the file may be the waiting `ok`, or not."""
    store.save_markdown("c", "notes", "1\n")
    store.append_markdown("c", "notes", "ok\n")
    (tmp_path / "c" / "notes.md").write_text("1\nok\n2\n", "utf-8")
    with pytest.raises(EditConflictError):
        store.load_markdown("c", "notes")
    store.resolve("c", "notes", take="file", kind="markdown")
    assert store.load_markdown("c", "notes") == "1\nok\n2\n"


# --- other processes ------------------------------------------------------------------


def in_another_process(folder: Path, code: str) -> str:
    program = (
        f"import json, plainstate\nfrom pathlib import Path\nfolder = Path({str(folder)!r})\n{code}"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_an_edit_between_two_processes(talk: Talk, tmp_path: Path):
    """This one has the journal open, a person edits, another process appends."""
    tree = talk.tree()
    tree["metadata"]["title"] = "By hand"
    by_rename(talk.path, dump(tree))
    in_another_process(
        tmp_path,
        "with plainstate.open_store(folder) as store:\n    store.append_user_message('s', 'q3')\n",
    )
    talk.store.append_agent_response("s", AgentResponse("a3"))
    assert talk.contents() == ["q1", "a1", "q2", "a2", "q3", "a3"]
    assert talk.store.load_session("s").metadata == {"title": "By hand"}


def test_both_processes_see_the_edit(talk: Talk, tmp_path: Path):
    in_place(talk.path, talk.folded.replace(b'"a1"', b'"A1"'))
    said = in_another_process(
        tmp_path,
        "with plainstate.open_store(folder) as store:\n"
        "    print(*(turn.content for turn in store.load_session('s').turns()))\n",
    )
    assert said.split() == talk.contents() == ["q1", "A1", "q2", "a2"]


def test_edits_again_and_again(store: StateStore, tmp_path: Path):
    """A person and a store take turns; each keeps what the other did."""
    path = tmp_path / "sessions" / "s.json"
    store.append_user_message("s", "0", user_id="ada")
    for number in range(1, 6):
        store.checkpoint()
        tree = json.loads(path.read_bytes())
        tree["metadata"][f"edit-{number}"] = number
        store.append_user_message("s", f"{number}")
        (in_place if number % 2 else by_rename)(path, dump(tree))
        store.append_agent_response("s", f"{number}!")
    session = store.load_session("s")
    assert session.metadata == {f"edit-{number}": number for number in range(1, 6)}
    assert [turn.content for turn in session.user_messages] == list("012345")
    assert len(session.agent_responses) == 5


def test_an_edit_corrects_a_time_that_leaves_no_later_one(tmp_path: Path, store: StateStore):
    last = datetime.max.replace(tzinfo=UTC)
    store.append_user_message("s", "Hello", timestamp=last, user_id="ada")
    with pytest.raises(
        InvalidValueError, match=f"behind the last turn, .* {last:%Y-%m-%d}"
    ) as told:
        store.append_agent_response("s", "Hi")
    assert "in the session's file" in told.value.hint
    with pytest.raises(InvalidValueError, match="behind the last turn"):
        store.load_session("s").add_agent_response("Hi")
    store.checkpoint()
    path = tmp_path / "sessions/s.json"
    path.write_bytes(path.read_bytes().replace(b"9999-12", b"2020-12"))
    store.append_agent_response("s", "Hi")
    assert [turn.content for turn in store.load_session("s").turns()] == ["Hello", "Hi"]
