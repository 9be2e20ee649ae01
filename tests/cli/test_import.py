"""`import`: every format comes in whole, once, and can be restored."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainstate import errors, open_store
from plainstate.cli import demo, importing, imports

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

SAMPLES = {
    "chat": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi", "name": "ada"},
        {"role": "assistant", "content": "Hello", "logprobs": [-0.5, 1e-300, 10**30]},
    ],
    "openai": {
        "id": "chat-1",
        "model": "m",
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Rules"}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "name": "f", "content": ""},
        ],
        "tools": [{"type": "function"}],
    },
    "anthropic": {
        "id": 7,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "What is the weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Kyoto"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "18"}],
            },
        ],
    },
    "sharegpt": {
        "id": "identity_0",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
    },
    "conversations": {"conversations": [{"role": "user", "content": "Hi"}]},
    "taskmaster": {
        "conversation_id": "dlg-1",
        "instructions": None,
        "utterances": [
            {"index": 0, "speaker": "user", "text": "Latte", "segments": [], "annotations": [{}]},
            {"index": 1, "speaker": "assistant", "text": "OK", "annotations": []},
        ],
    },
    "schema-guided": {
        "dialogue_id": "1_00000",
        "services": ["Restaurants_2"],
        "turns": [
            {"speaker": "USER", "utterance": "A table", "frames": [{"slots": []}]},
            {"speaker": "SYSTEM", "utterance": "Where?", "frames": []},
        ],
    },
    "our own key": {
        "id": "taken",
        "import": {"digest": "theirs"},
        "title": "About",
        "metadata": {"kept": True},
        "messages": [{"role": "user", "content": "Hi", "import": [1]}],
    },
    "no messages": {"id": "empty", "messages": []},
}


def stored(store_path):
    with open_store(store_path) as store:
        return [store.load_session(summary.id) for summary in store.list_sessions()]


@pytest.mark.parametrize("tree", SAMPLES.values(), ids=SAMPLES)
@pytest.mark.parametrize("indent", [None, 1], ids=["line", "indented"])
def test_each_format_is_read_back_equal(cli, tmp_path, store_path, tree, indent):
    (tmp_path / "in.json").write_text(json.dumps(tree, indent=indent), encoding="utf-8")
    done = json.loads(cli("import", "in.json", "--json").stdout)
    assert (done["imported"], done["unchanged"], done["skipped"]) == (1, 0, [])
    (session,) = stored(store_path)
    assert importing.read_back_equal(session, tree)


def test_sides_text_and_metadata(cli, tmp_path, store_path):
    (tmp_path / "in.json").write_text(json.dumps(SAMPLES["openai"]), encoding="utf-8")
    cli("import", "in.json", "--user", "grace")
    (session,) = stored(store_path)
    assert (session.id, session.user_id) == ("chat-1", "grace")
    assert session.metadata["model"] == "m"
    assert [message.content for message in session.user_messages] == ["a"]
    developer, *_, tool = session.agent_responses
    assert developer.content == "Rules"
    assert tool.metadata == {"role": "tool", "tool_call_id": "c1", "name": "f"}


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text("abimport/~", max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.sampled_from(["import", "name", "timestamp", "title", "x"]), JSON)


@given(st.data())
def test_anything_that_fits_a_format_is_read_back_equal(data):
    form = data.draw(st.sampled_from(importing.FORMATS))
    roles = st.sampled_from(["user", "human", "assistant", "SYSTEM", "tool", ""])
    message = st.builds(
        lambda fields, role, text: {**fields, form.speaker: role, **text},
        FIELDS,
        roles,
        st.just({}) | st.builds(lambda value: {form.text: value}, JSON),
    )
    tree = data.draw(st.lists(message, max_size=4))
    if form.messages is not None:
        tree = {**data.draw(FIELDS), form.messages: tree}
    found = importing.detect(tree)
    if found is not None:
        session = importing.make_session(importing.Dialogue(found, tree, "label"))
        assert importing.read_back_equal(session, tree)


def test_read_back_sees_a_difference():
    tree = SAMPLES["taskmaster"]
    session = importing.make_session(importing.Dialogue(importing.detect(tree), tree, ""))
    for change in (
        lambda t: t["utterances"].reverse(),
        lambda t: t["utterances"].pop(),
        lambda t: t.update(instructions=""),
        lambda t: t["utterances"][0].update(index=False),
        lambda t: t["utterances"][0].update(text="Mocha"),
        lambda t: t["utterances"][1].update(speaker="Assistant"),
    ):
        other = json.loads(json.dumps(tree))
        change(other)
        assert not importing.read_back_equal(session, other)


def test_the_given_test_data():
    folder = os.environ.get("PLAINSTATE_TEST_DATA")
    if not folder:
        pytest.skip("PLAINSTATE_TEST_DATA names no folder")
    files = sorted(Path(folder).glob("*.json"))
    assert files
    with open_store("memory:") as store:
        for file in files:
            for found in imports.dialogues(str(file)):
                session = importing.make_session(found.dialogue)
                assert imports.store_session(store, session)
                loaded = store.load_session(str(session.id))
                assert importing.read_back_equal(loaded, found.dialogue.tree), found.where


SHAPES = {
    "lines": lambda one, two: f"{one}\n{two}\n",
    "lines with gaps and CRLF": lambda one, two: f"\r\n{one}\r\n\r\n{two}",
    "a list": lambda one, two: f"[{one},\n{two}]",
    "a byte order mark": lambda one, two: f"\ufeff[{one},{two}]",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kinds", [("taskmaster", "openai"), ("chat", "chat")])
def test_files_of_several_conversations(cli, store_path, shape, kinds):
    trees = [SAMPLES[kind] for kind in kinds]
    given = shape(*(json.dumps(tree, ensure_ascii=False) for tree in trees))
    assert json.loads(cli("import", "-", "--json", given=given).stdout)["imported"] == 2
    restored = [importing.restore(session) for session in stored(store_path)]
    assert all(tree in restored for tree in trees)


def test_one_message_a_line_is_one_conversation(cli, tmp_path, store_path):
    lines = "".join(json.dumps(message) + "\n" for message in SAMPLES["chat"])
    (tmp_path / "my chat.jsonl").write_text(lines, encoding="utf-8")
    cli("import", "my chat.jsonl")
    (session,) = stored(store_path)
    assert importing.restore(session) == SAMPLES["chat"]
    assert session.id.startswith("my-chat-")


def test_ids_that_are_no_names(cli, store_path):
    ids = ["a/b", "../../x", "CON", "", "日本", "e\u0301", "x" * 1000, 12, True, None, {}]
    lines = [
        json.dumps({"id": one, "n": n, "messages": [{"role": "user", "content": "Hi"}]})
        for n, one in enumerate(ids)
    ]
    cli("import", "-", given="\n".join(lines))
    sessions = stored(store_path)
    assert {json.dumps(session.metadata["id"]) for session in sessions} == set(map(json.dumps, ids))
    assert {"日本", "12"} < {session.id for session in sessions}
    again = cli("import", "-", "--json", given="\n".join(lines))
    assert json.loads(again.stdout)["unchanged"] == len(ids)


def test_importing_again_changes_nothing(cli, store_path):
    text = json.dumps(SAMPLES["openai"])
    cli("import", "-", given=text)
    with open_store(store_path) as store:
        store.append_user_message("chat-1", "and it went on")
    again = json.loads(cli("import", "-", "--json", given=text).stdout)
    assert (again["imported"], again["sessions"], again["unchanged"]) == (0, [], 1)
    assert cli("import", "-", given=text).stdout == "nothing new: 1 unchanged\n"
    (session,) = stored(store_path)
    assert session.turns()[-1].content == "and it went on"


@pytest.mark.parametrize(("count", "more"), [(10, []), (12, ["  … and 2 more"])])
def test_the_new_ids_are_told(cli, count, more):
    ids = [f"dlg-{n}" for n in range(count)]
    given = json.dumps([{**SAMPLES["taskmaster"], "conversation_id": one} for one in ids])
    head, *lines = cli("import", "-", given=given).stdout.splitlines()
    assert head.startswith(f"imported {count} sessions with {2 * count} messages in ")
    assert lines == [f"  {one}" for one in ids[:10]] + more
    report = cli("import", "-", "--json", "--store", "other", given=given).stdout
    assert json.loads(report)["sessions"] == ids


def test_a_conflict_says_where(cli, tmp_path):
    cli("import", "-", given=json.dumps(SAMPLES["openai"]))
    other = {**SAMPLES["openai"], "model": "other"}
    lines = f"{json.dumps(SAMPLES['taskmaster'])}\n\n{json.dumps(other)}\n"
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    said = 'in.jsonl:3: session "chat-1" exists with other content'
    assert f"plainstate: {said}\n" in cli("import", "in.jsonl", code=4).stderr
    skipped = cli("import", "in.jsonl", "--on-existing", "skip").stdout
    assert skipped == f"nothing new: 1 unchanged\nskipped: {said}\n"


def test_another_conversation_of_the_same_id(cli, store_path):
    cli("import", "-", given=json.dumps(SAMPLES["openai"]))
    other = {**SAMPLES["openai"], "model": "other"}
    both = f"{json.dumps(other)}\n{json.dumps(SAMPLES['taskmaster'])}"
    assert json.loads(cli("import", "-", "--json", given=both, code=4).stderr)["error"]["code"] == (
        "already-exists"
    )
    done = json.loads(cli("import", "-", "--json", "--on-existing", "skip", given=both).stdout)
    assert [one["session"] for one in done["skipped"]] == ["chat-1"]
    assert {session.id for session in stored(store_path)} == {"chat-1", "dlg-1"}
    with open_store(store_path) as store:
        assert store.load_session("chat-1").metadata["model"] == "m"


def test_a_session_that_was_not_imported_is_left_alone(cli, store_path):
    with open_store(store_path) as store:
        store.append_user_message("chat-1", "mine", user_id="ada")
    cli("import", "-", given=json.dumps(SAMPLES["openai"]), code=4)
    (session,) = stored(store_path)
    assert [turn.content for turn in session.turns()] == ["mine"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "standard input"),
        ("nonsense", "standard input"),
        ("[]", "standard input"),
        ("[1]", "item 1"),
        ("42", "standard input"),
        ('{"messages": [{"content": "nobody"}]}', "standard input"),
        ('[{"role": "user", "content": NaN}]', "NaN"),
        ('[{"role": "user", "content": "a", "content": "b"}]', "twice"),
        ('[{"role": "user", "content": "a", "x": 1e400}]', "standard input"),
        ('[{"role": "user", "content": "\\ud800"}]', "standard input"),
        ('[{"role": "user", "content": "a", "x": ' + "[" * 200 + "]" * 200 + "}]", "nested"),
        ("[" * 100_000, "nested"),
        ('{"id": "a", "messages": []}\n{"id": "b", "messages": []}\n{"x": 1}', "standard input:3"),
        ('{"id": "a", "messages": []}\n{"id":', "standard input:2"),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_place(cli, text, place):
    failed = cli("import", "-", given=text, code=1)
    assert place in failed.stderr
    assert len(failed.stderr.splitlines()) == 2


def test_a_killed_import_goes_on(environment, tmp_path, store_path):
    trees = [{**SAMPLES["taskmaster"], "conversation_id": f"dlg-{n}"} for n in range(1500)]
    (tmp_path / "many.json").write_text(json.dumps(trees), encoding="utf-8")
    command = [sys.executable, "-m", "plainstate", "import", str(tmp_path / "many.json")]
    with subprocess.Popen(command, env=environment) as process:
        folder = store_path / "sessions"
        while len(list(folder.glob("*.json"))) < 100:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=True)
    counts = json.loads(done.stdout)
    assert counts["unchanged"] >= 100
    assert counts["imported"] > 0
    assert counts["imported"] + counts["unchanged"] == len(trees)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json"] * len(trees)


def test_times_of_the_source(store_path):
    tree = [
        {"role": "user", "content": "a", "timestamp": "2020-01-01T10:00:00+02:00"},
        {"role": "assistant", "content": "b", "timestamp": "yesterday"},
    ]
    session = importing.make_session(importing.Dialogue(importing.detect(tree), tree, "x"))
    with open_store(store_path) as store:
        imports.store_session(store, session)
        loaded = store.load_session(str(session.id))
    assert loaded.turns()[0].timestamp.isoformat() == "2020-01-01T08:00:00+00:00"
    assert loaded.created_at == loaded.turns()[0].timestamp
    assert importing.read_back_equal(loaded, tree)


def test_only_what_was_imported_can_be_restored(store_path):
    with open_store(store_path) as store:
        store.append_user_message("s", "mine", user_id="ada")
        with pytest.raises(errors.InvalidValueError):
            importing.restore(store.load_session("s"))


def test_the_samples_of_the_demo_can_be_imported(cli):
    assert json.loads(cli("import", demo.SAMPLES, "--json").stdout)["imported"] == 16
    assert "京都の夕食" in cli("sessions").stdout
