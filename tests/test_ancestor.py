"""A folder written by the ancestor opens as it is, and stays readable for it.

The files are what its serde attributes make of its types: `DateTime<Utc>` with up to nine digits,
`Option` fields of messages as null, of sessions left out, maps in any order, no final newline.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plainstate import AgentResponse, StateStore, UserMessage, open_store

NEW = {
    "id": "5f0c8d1e-3b0a-4c57-9d55-0a9d0f6f2f11",
    "user_id": "user-123",
    "user_messages": [],
    "agent_responses": [],
    "created_at": "2025-06-01T08:30:00.123456789Z",
    "updated_at": "2025-06-01T08:30:00.123456789Z",
    "metadata": {},
}
FULL = {
    "id": "full",
    "user_id": "user-456",
    "user_messages": [
        {"content": 'Grüße\n\t"x"', "timestamp": "2025-06-01T08:30:01.000000001Z"},
        {"content": "", "timestamp": "2025-06-01T08:30:03Z"},
    ],
    "agent_responses": [
        {
            "content": "Hi",
            "session_id": "full",
            "seed_id": None,
            "phase_reached": None,
            "evaluation_passed": None,
            "timestamp": "2025-06-01T08:30:02.120Z",
        },
        {
            "content": "Done",
            "session_id": None,
            "seed_id": "seed-1",
            "phase_reached": "evaluate",
            "evaluation_passed": False,
            "timestamp": "2025-06-01T08:30:04.999999999Z",
        },
    ],
    "active_seed_id": "seed-1",
    "active_persona_id": "persona-1",
    "created_at": "2025-06-01T08:30:00Z",
    "updated_at": "2025-06-01T08:30:05.000000007Z",
    "metadata": {"zeta": {"k": [1, 2.50, 1e3]}, "alpha": None, "big": 18446744073709551615},
}
# `default` and `Option`: what serde accepts although it would not write it
SPARSE = {
    "created_at": "2025-06-01T08:30:00Z",
    "updated_at": "2025-06-01T08:30:00+00:00",
    "user_id": "user-789",
    "id": "sparse",
    "active_seed_id": None,
    "from_a_newer_version": {"kept": True},
}
CONTENTS = {
    "sessions/5f0c8d1e-3b0a-4c57-9d55-0a9d0f6f2f11.json": NEW,
    "sessions/full.json": FULL,
    "sessions/sparse.json": SPARSE,
    "programs/etl/plan.json": {"steps": ["a"], "ratio": 0.10, "n": 9007199254740993},
}
TEXTS = {"memory/notes.md": "# Notes\n\nno newline at the end", "memory/dos.md": "a\r\nb\r\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, value in CONTENTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False), "utf-8")
    for name, text in TEXTS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    # what a crashed ancestor leaves: its temporary file is nobody's document
    (tmp_path / "sessions" / "full.4711.tmp").write_text("{", "utf-8")
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    """Everything but the store's own."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".plainstate" not in path.parts
    }


# --- the ancestor's reader: serde_json with its types ---------------------------


class RustUserMessage(msgspec.Struct):
    content: str
    timestamp: datetime


class RustAgentResponse(msgspec.Struct):
    content: str
    timestamp: datetime
    session_id: str | None = None
    seed_id: str | None = None
    phase_reached: str | None = None
    evaluation_passed: bool | None = None


class RustSession(msgspec.Struct):
    id: str
    user_id: str
    created_at: datetime
    updated_at: datetime
    user_messages: list[RustUserMessage] = []
    agent_responses: list[RustAgentResponse] = []
    active_seed_id: str | None = None
    active_persona_id: str | None = None
    metadata: dict[str, Any] = {}


def rust(path: Path) -> RustSession:
    """Strict about types, silent about unknown fields, as serde is."""
    session = msgspec.json.decode(path.read_bytes(), type=RustSession)
    times = [session.created_at, session.updated_at]
    times += [message.timestamp for message in session.user_messages + session.agent_responses]
    assert all(moment.tzinfo is not None for moment in times)
    return session


# --- tests -------------------------------------------------------------------------


def test_everything_opens(folder: Path):
    with open_store(folder) as store:
        assert store.list_categories() == ["memory", "programs/etl", "sessions"]
        assert store.list_category("sessions") == sorted([NEW["id"], "full", "sparse"])
        assert store.list_category("memory") == ["dos", "notes"]
        for name, value in CONTENTS.items():
            category, _, stem = name.removesuffix(".json").rpartition("/")
            assert store.load_json(category, stem) == value
        for name, text in TEXTS.items():
            category, _, stem = name.removesuffix(".md").rpartition("/")
            assert store.load_markdown(category, stem) == text
        session = store.load_session("full")
    assert session.user_id == "user-456"
    assert [turn.content for turn in session.turns()] == ['Grüße\n\t"x"', "Hi", "", "Done"]
    assert session.agent_responses[1] == AgentResponse(
        "Done",
        seed_id="seed-1",
        phase_reached="evaluate",
        evaluation_passed=False,
        timestamp=datetime(2025, 6, 1, 8, 30, 4, 999999, UTC),
    )
    assert (session.active_seed_id, session.active_persona_id) == ("seed-1", "persona-1")
    assert session.get_metadata("big") == 2**64 - 1
    assert session.exchange_count() == 2


def test_reading_writes_nothing(folder: Path):
    before = files(folder)
    with open_store(folder) as store:
        store.list_sessions()
        store.load_session("full")
        store.load_json("programs/etl", "plan")
        assert store.exists("memory", "notes")
    assert files(folder) == before
    assert not (folder / ".plainstate").exists()


def test_list_sessions(folder: Path):
    with open_store(folder) as store:
        listed = {summary.id: summary for summary in store.list_sessions()}
        assert next(iter(listed)) == "full"
    assert listed["full"].message_count == 4
    assert listed["full"].active_seed_id == "seed-1"
    assert listed["sparse"].message_count == 0
    assert all(summary.damaged is None for summary in listed.values())


def test_saving_without_a_change_writes_nothing(folder: Path):
    before = files(folder)
    with open_store(folder) as store:
        for name in store.list_category("sessions"):
            session = store.load_session(name)
            store.save_session(session)
            store.update_session(session)
    assert files(folder) == before


@pytest.mark.parametrize("name", [NEW["id"], "full", "sparse"])
def test_appending(folder: Path, name: str):
    """Only what is appended changes; the rest is kept value by value, as it was written."""
    path = folder / "sessions" / f"{name}.json"
    old = json.loads(path.read_text("utf-8"))
    with open_store(folder) as store:
        store.append_user_message(name, "one more")
        store.append_agent_response(name, AgentResponse("answer", evaluation_passed=True))
        assert [turn.content for turn in store.load_session(name).turns()][-2:] == [
            "one more",
            "answer",
        ]
    new = json.loads(path.read_text("utf-8"))
    assert new["user_messages"].pop()["content"] == "one more"
    assert new["agent_responses"].pop()["content"] == "answer"
    assert new.pop("updated_at") > old.pop("updated_at")
    filled = {"user_messages": [], "agent_responses": [], "metadata": {}}
    assert new == filled | old
    assert [key for key in new if key in old] == list(old)


def test_times_go_on_behind_nanoseconds(folder: Path):
    with open_store(folder) as store:
        long_ago = datetime(2025, 6, 1, tzinfo=UTC)
        store.append_user_message("full", "moved", timestamp=long_ago)
        last = store.load_session("full").turns()[-1]
        stored = store.load_json("sessions", "full")["user_messages"][-1]["timestamp"]
    assert last.content == "moved"
    assert stored == "2025-06-01T08:30:05.000000Z"  # behind …04.999999999Z


def test_changing_a_session(folder: Path):
    with open_store(folder) as store:
        session = store.load_session("full")
        session.set_active_seed(None)
        session.set_metadata("new", [1])
        session.remove_last_turn()
        store.save_session(session)
    path = folder / "sessions" / "full.json"
    stored = json.loads(path.read_text("utf-8"))
    assert "active_seed_id" not in stored
    assert stored["metadata"] == FULL["metadata"] | {"new": [1]}
    assert stored["agent_responses"] == FULL["agent_responses"][:1]
    assert stored["user_messages"] == FULL["user_messages"]
    assert rust(path).active_seed_id is None


def write_all_over(store: StateStore) -> None:
    store.append_messages(
        "talk", [UserMessage("q", metadata={"x": 1}), AgentResponse("a")], user_id="u"
    )
    store.append_messages("full", [UserMessage("q"), AgentResponse("a", "full", "s", "p", True)])
    store.append_user_message("sparse", "q")
    fresh = store.get_or_create_session("user-1", "fresh")
    fresh.set_active_persona("p")
    fresh.metadata["n"] = None
    store.save_session(fresh)
    store.append_markdown("memory", "notes", "\nmore")
    store.append_markdown("memory", "new", "text")
    with store.transaction("programs/etl", "plan") as doc:
        doc.value["steps"].append("b")
    store.append_user_message("gone", "x", user_id="u")
    store.delete_session("gone")


def test_a_closed_store_is_plain_files(folder: Path):
    """After a clean close the ancestor opens everything, new and old."""
    with open_store(folder) as store:
        write_all_over(store)
        expected = {name: store.load_session(name) for name in store.list_category("sessions")}
    kept = files(folder)
    del kept["sessions/full.4711.tmp"]
    assert {name.rpartition(".")[2] for name in kept} == {"json", "md"}
    assert kept["memory/notes.md"] == b"# Notes\n\nno newline at the end\nmore"
    assert kept["memory/dos.md"] == b"a\r\nb\r\n"
    plan = json.loads(kept["programs/etl/plan.json"])
    assert plan == {"steps": ["a", "b"], "ratio": 0.1, "n": 9007199254740993}
    assert set(expected) == {NEW["id"], "full", "sparse", "talk", "fresh"}
    for name, session in expected.items():
        read = rust(folder / "sessions" / f"{name}.json")
        assert (read.id, read.user_id) == (name, session.user_id)
        said = [message.content for message in read.user_messages]
        assert said == [message.content for message in session.user_messages]
        answered = [(one.content, one.evaluation_passed) for one in read.agent_responses]
        assert answered == [(one.content, one.evaluation_passed) for one in session.agent_responses]
        rounding = timedelta(microseconds=1)  # the reader rounds nanoseconds, plainstate cuts them
        assert abs(read.updated_at - session.updated_at) <= rounding


def test_a_message_has_every_field_the_ancestor_writes(folder: Path):
    """In its order, absent ones as null: it leaves none out either."""
    with open_store(folder) as store:
        store.append_agent_response("full", "a")
        stored = store.load_json("sessions", "full")["agent_responses"][-1]
    assert list(stored) == list(FULL["agent_responses"][0])


def test_the_ancestor_may_write_in_between(folder: Path):
    """It loads, adds and saves the whole file, as it does; nothing of ours is lost."""
    path = folder / "sessions" / "full.json"
    with open_store(folder) as store:
        store.append_user_message("full", "ours 1")
    tree = json.loads(path.read_text("utf-8"))
    tree["user_messages"].append({"content": "theirs", "timestamp": "2999-01-01T00:00:00.5Z"})
    temp = path.with_suffix(".99.tmp")
    temp.write_text(json.dumps(tree, indent=2), "utf-8")
    temp.rename(path)
    with open_store(folder) as store:
        store.append_user_message("full", "ours 2")
        said = [message.content for message in store.load_session("full").user_messages]
    assert said[-3:] == ["ours 1", "theirs", "ours 2"]
