"""The demo passes, and its check can fail."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plainstate import Session, open_store
from plainstate.cli import app, demo, demo_plan, importing, imports


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """The demo without the pauses that make it readable, in a folder of its own."""
    monkeypatch.setattr(demo, "WRITING_S", 1.0)
    monkeypatch.setenv("PYTHONPATH", str(Path(demo.__file__).parent.parent.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo_passes_and_leaves_nothing_behind(quick, capsys):
    assert app.main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "is killed (SIGKILL)" in out
    assert "PASSED" in out
    assert "as it lies on disk" in out
    assert "DAMAGED" not in out
    assert os.listdir(quick) == []


def test_keep_leaves_the_store(quick, capsys):
    assert app.main(["demo", "--keep", "my store", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is True
    assert report["acknowledged"] == report["stored"] == 162
    assert 0 < report["killed_after"] < 162 / 4
    assert report["recognized_retries"] >= demo.RETRIED
    with open_store(quick / "my store") as store:
        assert len(store.list_sessions()) == report["sessions"] == 16
    assert app.main(["demo", "--keep", "my store"]) == 4


@pytest.fixture
def installed(quick):
    """The program as an installation makes it, in a place that PATH does not have."""
    script = quick / ".venv" / "bin" / "plainstate"
    script.parent.mkdir(parents=True)
    script.write_text(
        "#!/bin/sh\n"  # as pip writes it where the interpreter's path has spaces
        f"""'''exec' {shlex.quote(sys.executable)} "$0" "$@"\n"""
        "' '''\n"
        "import sys\n"
        "from plainstate.cli import app, demo\n"
        "demo.WRITING_S = 1.0\n"
        "sys.exit(app.main())\n",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return quick


@pytest.mark.parametrize("called", [".venv/bin/plainstate", "{here}/.venv/bin/plainstate", "-m"])
def test_what_to_try_next_runs_as_printed(installed, called):
    command = [sys.executable, "-m", "plainstate"] if called == "-m" else [called]
    first = command[0].format(here=installed)
    keep = ["demo", "--keep", "my store"]
    done = subprocess.run([first, *command[1:], *keep], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    lines = done.stdout.partition("\nTry next:\n\n")[2].splitlines()
    assert [shlex.split(line)[-2:] for line in lines[:2]] == [
        ["my store", "sessions"],
        ["show", shlex.split(lines[1])[-1]],
    ]
    bare = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ["PYTHONPATH"]}
    for line in lines:
        shown = subprocess.run(["sh", "-c", line], env=bare, capture_output=True, check=False)
        assert shown.returncode == 0, (line, shown.stderr)
        assert shown.stdout


def test_without_keep_the_same_can_be_had_again(installed):
    done = subprocess.run(
        [".venv/bin/plainstate", "demo"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    line = done.stdout.partition("\nTry next:\n\n")[2].strip()
    assert line.startswith(".venv/bin/plainstate demo --keep demo-state ")
    assert sorted(os.listdir(installed)) == [".venv"]


def test_a_store_cannot_be_named(quick, capsys):
    assert app.main(["--store", "mine", "demo"]) == 2
    assert "--keep" in capsys.readouterr().err
    assert os.listdir(quick) == []


MAKEFILE = Path(__file__).parent.parent.parent / "Makefile"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_mistake_leaves_the_store_of_the_last_run(installed):
    shutil.copy(MAKEFILE, installed)
    (installed / "tools").mkdir()
    (installed / "tools" / "make_env.py").touch()
    store = installed / ".cache" / "demo"
    store.mkdir(parents=True)
    (store / "old").touch()
    failed = subprocess.run(
        ["make", "demo", "DATA=/nonexistent"], capture_output=True, text=True, check=False
    )
    assert "/nonexistent: No such file" in failed.stderr
    assert failed.returncode != 0
    assert os.listdir(store) == ["old"]
    subprocess.run(["make", "demo"], capture_output=True, check=True)
    assert not (store / "old").exists()
    assert os.listdir(store.parent) == ["demo"]


def test_data_of_your_own(quick, capsys):
    lines = [
        json.dumps(
            {"id": f"c{n}", "messages": [{"role": "user", "content": str(i)} for i in range(5)]}
        )
        for n in range(9)
    ]
    (quick / "my data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert app.main(["demo", "--data", "my data.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stored"] == 45
    (quick / "one.json").write_text(lines[0], encoding="utf-8")
    assert app.main(["demo", "--data", "one.json"]) == 2


@pytest.mark.usefixtures("quick")
def test_a_lost_message_fails_the_demo(monkeypatch, capsys):
    examine = demo_plan.examine

    def sabotaged(plans, acks, sessions):
        sessions["flaky-test"].remove_last_turn()
        return examine(plans, acks, sessions)

    monkeypatch.setattr(demo_plan, "examine", sabotaged)
    assert app.main(["demo", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is False
    assert len(report["lost"]) == 1


PLANS = demo_plan.make_plans([one.dialogue for one in imports.dialogues(demo.SAMPLES)], 4)
ACKS = [demo_plan.Ack(turn.tx_id, 0.001, duplicate=False) for plan in PLANS for turn in plan]


def session_of(turns):
    session = Session.with_id(turns[0].user_id, turns[0].session_id)
    for turn in turns:
        add = session.add_user_message if turn.by_user else session.add_agent_response
        add(turn.content, metadata=turn.metadata)
    return session


def stored_turns():
    sessions = {}
    for plan in PLANS:
        for turn in plan:
            sessions.setdefault(turn.session_id, []).append(turn)
    return sessions


def examined(sessions):
    stored = {name: session_of(turns) for name, turns in sessions.items()}
    return demo_plan.examine(PLANS, ACKS, stored)


def test_the_check_passes_what_is_right():
    findings = examined(stored_turns())
    assert findings.good
    assert findings.messages == len(ACKS)


@pytest.mark.parametrize(
    ("fault", "sabotage"),
    [
        ("lost", lambda turns: turns.pop(3)),
        ("doubled", lambda turns: turns.append(turns[-1])),
        ("disordered", lambda turns: turns.reverse()),
    ],
)
@pytest.mark.parametrize("name", ["flaky-test", "late-parcel"])
def test_the_check_sees(fault, sabotage, name):
    sessions = stored_turns()
    sabotage(sessions[name])
    findings = examined(sessions)
    assert not findings.good
    assert getattr(findings, fault)


@pytest.mark.parametrize(
    "change",
    [
        {"content": "other"},
        {"by_user": None},
        {"metadata": {"tx": "w2-3", "more": 1}},
        {"tx_id": "?"},
    ],
)
def test_the_check_sees_an_altered_message(change):
    sessions = stored_turns()
    turns = next(iter(sessions.values()))
    turn = turns[2]
    fields = {name: getattr(turn, name) for name in turn.__struct_fields__}
    if "by_user" in change:
        change = {"by_user": not turn.by_user}
    if "tx_id" in change:
        change = {"metadata": {}}
    turns[2] = demo_plan.Turn(**{**fields, **change})
    assert examined(sessions).altered


@pytest.mark.parametrize("recognized", [True, False])
def test_a_retry_that_is_stored_anew_is_a_loss(recognized):
    stored = {name: session_of(turns) for name, turns in stored_turns().items()}
    again = demo_plan.Ack(ACKS[5].tx_id, 0.001, duplicate=recognized)
    findings = demo_plan.examine(PLANS, [*ACKS, again], stored)
    assert findings.lost == ([] if recognized else [ACKS[5].tx_id])


def test_what_a_kill_breaks_off():
    plan = PLANS[demo.VICTIM]
    for done in range(1, len(plan)):
        found = demo._broken_off(plan, done)
        if found is not None:
            session_id, told, total = found
            assert 0 < told < total
            assert session_id in {turn.session_id for turn in plan[done:]}
    assert demo._broken_off(plan, 0) is None
    assert demo._broken_off(plan, len(plan)) is None
    assert demo._broken_off(plan, demo._middle(plan)) is not None


def test_a_missing_session_is_a_loss():
    sessions = stored_turns()
    missing = sessions.pop("flaky-test")
    assert sorted(examined(sessions).lost) == sorted(turn.tx_id for turn in missing)


def test_the_samples_speak_three_languages_and_call_tools():
    found = [one.dialogue for one in imports.dialogues(demo.SAMPLES)]
    assert 12 <= len(found) <= 20
    text = Path(demo.SAMPLES).read_text(encoding="utf-8")
    assert "ü" in text
    assert "京都" in text
    assert text.count("tool_calls") > len(found)
    assert all(importing.make_session(one).metadata["title"] for one in found)
