"""`sessions`, and `show` of a session."""

import json
from datetime import UTC, datetime

import pytest

from plainstate import open_store


@pytest.fixture
def filled(store_path):
    """Three sessions, one of them damaged."""
    with open_store(store_path) as store:
        store.append_user_message("old", "First", user_id="ada")
        store.append_agent_response("old", "Answer", metadata={"role": "assistant"})
        calls = [{"function": {"name": "weather", "arguments": '{"city": "Kyoto"}'}}]
        store.append_agent_response("old", "", metadata={"tool_calls": calls})
        store.append_agent_response("old", "18 °C", metadata={"role": "tool", "name": "weather"})
        store.append_user_message("new", "京都の夕食", user_id="yuki")
    (store_path / "sessions" / "bad.json").write_text("{", encoding="utf-8")
    return store_path


@pytest.mark.usefixtures("filled")
def test_the_table_is_aligned_newest_first_damaged_last(cli):
    lines = cli("sessions").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["SESSION", "new", "old", "bad"]
    column = lines[0].index("CHANGED")
    assert all(line[column : column + 2] in ("CH", "20", "? ") for line in lines)
    assert "DAMAGED: sessions/bad.json" in lines[3]


@pytest.mark.usefixtures("filled")
def test_sessions_as_json(cli):
    lines = [json.loads(line) for line in cli("sessions", "--json").stdout.splitlines()]
    assert [line["id"] for line in lines] == ["new", "old", "bad"]
    assert lines[0]["preview"] == "京都の夕食"
    assert lines[1]["message_count"] == 4
    assert datetime.fromisoformat(lines[1]["updated_at"]).tzinfo == UTC
    assert lines[1]["damaged"] is None
    assert lines[2]["damaged"]


@pytest.mark.usefixtures("filled")
def test_sessions_of_a_user_and_a_limit(cli):
    assert len(cli("sessions", "--limit", "1").stdout.splitlines()) == 2
    assert [line.split()[0] for line in cli("sessions", "--user", "ada").stdout.splitlines()] == [
        "SESSION",
        "old",
    ]
    assert cli("sessions", "--user", "nobody").stdout == "no sessions\n"
    assert cli("sessions", "--user", "nobody", "--json").stdout == ""
    assert "it must be 1 or more" in cli("sessions", "--limit", "0", code=2).stderr
    assert "it must be a whole number" in cli("sessions", "--limit", "many", code=2).stderr


@pytest.mark.parametrize("text", ["x" * 81, "word " * 40, "東京" * 60])
def test_what_is_cut_of_a_session_says_so(cli, store_path, text):
    with open_store(store_path) as store:
        store.append_user_message("long", text, user_id="ada")
        store.append_user_message("short", "Hello", user_id="ada")
    rows = {line.split()[0]: line for line in cli("sessions").stdout.splitlines()}
    assert rows["long"].endswith("…")
    assert rows["short"].endswith("  Hello")


@pytest.mark.usefixtures("filled")
def test_a_transcript(cli):
    text = cli("show", "sessions/old").stdout
    head, *turns = text.split("\n\n")
    assert "user ada" in head
    assert "4 messages (1 user, 3 agent)" in head
    assert [turn.split("  ")[0] for turn in turns] == [
        "[1] user",
        "[2] agent",
        "[3] agent",
        "[4] agent (tool weather)",
    ]
    assert turns[0].endswith("    First")
    assert '→ weather {"city": "Kyoto"}' in turns[2]


@pytest.mark.usefixtures("filled")
def test_a_transcript_as_json(cli):
    shown = json.loads(cli("show", "sessions/old", "--json").stdout)
    assert set(shown) == {"document", "kind", "version", "session", "turns"}
    assert shown["session"]["user_id"] == "ada"
    assert [turn["side"] for turn in shown["turns"]] == ["user", "agent", "agent", "agent"]
    assert shown["turns"][3]["content"] == "18 °C"
    assert shown["turns"][3]["metadata"]["name"] == "weather"


@pytest.mark.usefixtures("filled")
def test_a_damaged_session(cli):
    assert "bad.json" in cli("show", "sessions/bad", code=5).stderr


def test_what_is_not_a_session_can_still_be_printed(cli, store_path):
    (store_path / "sessions").mkdir(parents=True)
    (store_path / "sessions" / "odd.json").write_text("[1]", encoding="utf-8")
    assert (
        "`plainstate cat sessions/odd.json` prints it" in cli("show", "sessions/odd", code=5).stderr
    )
    assert json.loads(cli("cat", "sessions/odd.json").stdout) == [1]
