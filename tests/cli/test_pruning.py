"""`prune`, `trash`, `stats`, `reindex`."""

import json

import pytest

from plainstate import open_store


@pytest.fixture(autouse=True)
def filled(store_path):
    with open_store(store_path) as store:
        for name in ("old", "mid", "new"):
            store.append_user_message(name, "Hello", user_id="ada" if name != "mid" else "bob")
        store.save_markdown("notes", "plan", "# Plan\n")
    return store_path


def names(cli):
    return {json.loads(line)["id"] for line in cli("sessions", "--json").stdout.splitlines()}


def test_a_terminal_is_asked(cli, terminal):
    shown = terminal("prune", "--keep-last", "1", code=1, typed="n\n")
    assert "old " in shown
    assert "keep_last" in shown
    assert "Move 2 sessions (" in shown
    assert "nothing was changed" in shown
    assert names(cli) == {"old", "mid", "new"}
    assert "moved 2 sessions to the trash" in terminal("prune", "--keep-last", "1", typed="y\n")
    assert names(cli) == {"new"}
    assert "moved 0 sessions" in terminal("prune", "--keep-last", "1")  # nothing to ask about
    shown = terminal("trash", "--empty", "--older-than", "0s", code=1, typed="\n")
    assert "Delete 2 sessions (" in shown
    shown = terminal("trash", "--empty", "--older-than", "0s", typed="yes\n")
    assert "deleted 2 sessions for good" in shown
    assert cli("trash").stdout == "the trash is empty\n"


def test_without_a_terminal_nothing_goes_unless_told(cli):
    for args in (("prune", "--keep-last", "0"), ("trash", "--empty")):
        refused = cli(*args, code=2).stderr
        assert "nobody to ask" in refused
        assert "--yes" in refused
    assert names(cli) == {"old", "mid", "new"}


def test_a_dry_run_only_tells(cli):
    told = cli("prune", "--keep-last", "1", "--dry-run").stdout.splitlines()
    assert [line.split()[0] for line in told[1:3]] == ["old", "mid"]
    assert told[3].startswith("would move 2 sessions to the trash (")
    report = json.loads(cli("prune", "--max-bytes", "0", "--dry-run", "--json").stdout)
    assert [one["id"] for one in report["sessions"]] == ["old", "mid", "new"]
    assert report["sessions"][0]["rule"] == "max_bytes"
    assert (report["busy"], report["damaged"], report["run"]) == ([], [], None)
    assert report["dry_run"] is True
    assert names(cli) == {"old", "mid", "new"}


def test_rules(cli):
    assert "moved 0 sessions" in cli("prune", "--older-than", "90d", "--yes").stdout
    assert "moved 0 sessions" in cli("prune", "--max-bytes", "1G", "--yes").stdout
    cli("prune", "--older-than", "0s", "--keep-last", "1", "--user", "ada", "--yes")
    assert names(cli) == {"mid", "new"}
    assert "Give --older-than" in cli("prune", "--yes", code=2).stderr


@pytest.mark.parametrize(
    "args",
    [
        ("--older-than", "90"),
        ("--older-than", "-1d"),
        ("--older-than", "1y"),
        ("--older-than", "999999999w"),
        ("--older-than", "999999w"),
        ("--keep-last", "-1"),
        ("--keep-last", "x"),
        ("--max-bytes", "500MB"),
        ("--max-bytes", "1.5G"),
    ],
)
def test_numbers_that_are_none(cli, args):
    cli("prune", *args, "--dry-run", code=2)


def test_a_damaged_session_is_named_and_stays(cli, store_path):
    (store_path / "sessions" / "bad.json").write_text("{", encoding="utf-8")
    assert "DAMAGED: bad: " in cli("prune", "--keep-last", "0", "--yes").stdout
    report = json.loads(cli("prune", "--keep-last", "0", "--yes", "--json").stdout)
    assert [one["session"] for one in report["damaged"]] == ["bad"]
    assert report["damaged"][0]["reason"]
    assert names(cli) == {"bad"}


def test_the_trash_and_the_way_back(cli):
    run = json.loads(cli("prune", "--keep-last", "1", "--yes", "--json").stdout)["run"]
    head, *rows = cli("trash").stdout.splitlines()
    assert head.startswith("SESSION  USER")
    assert [row.split()[0] for row in rows] == ["mid", "old"]
    line = json.loads(cli("trash", "--json").stdout.splitlines()[1])
    assert (line["id"], line["run"], line["user_id"]) == ("old", run, "ada")
    assert line["bytes"] > 0
    assert "sessions/old: restored" in cli("trash", "--restore", "old").stdout
    back = json.loads(cli("trash", "--restore", "mid", "--run", run, "--json").stdout)
    assert back.pop("version")
    assert back == {"session": "mid", "restored": True}
    assert names(cli) == {"old", "mid", "new"}
    assert "`plainstate trash` lists" in cli("trash", "--restore", "old", code=3).stderr
    for wrong in (
        ("--run", run),
        ("--yes",),
        ("--older-than", "1d"),
        ("--restore", "x", "--empty"),
    ):
        cli("trash", *wrong, code=2)


def test_what_was_pruned_lately_stays(cli):
    cli("prune", "--keep-last", "0", "--yes")
    assert "deleted 0 sessions" in cli("trash", "--empty", "--yes").stdout
    plan = json.loads(cli("trash", "--empty", "--older-than", "0s", "--dry-run", "--json").stdout)
    assert len(plan["sessions"]) == 3
    assert plan["dry_run"] is True
    assert len(cli("trash").stdout.splitlines()) == 4
    cli("trash", "--empty", "--older-than", "0s", "--yes")
    assert cli("trash", "--json").stdout == ""


def test_a_name_that_is_taken_again(cli, store_path):
    cli("prune", "--keep-last", "2", "--yes")
    with open_store(store_path) as store:
        store.append_user_message("old", "Again", user_id="ada")
    assert "there is a session old again" in cli("trash", "--restore", "old", code=4).stderr


def test_stats(cli):
    cli("put", "a/long/category", given="1")
    text = cli("stats").stdout
    rows = {line.rsplit("  ", 2)[0].strip(): line for line in text.splitlines()}
    assert [row.split()[0] for row in text.split("\n\n")[0].splitlines()] == [
        "CATEGORY",
        "a/long",
        "notes",
        "sessions",
        "all",
    ]
    assert "users" in text
    assert any(row.startswith("index") for row in rows)
    found = json.loads(cli("stats", "--json").stdout)
    assert found["documents"] == 5
    assert found["categories"] == {"a/long": 1, "notes": 1, "sessions": 3}
    assert (found["sessions"], found["users"], found["messages"]) == (3, 2, 3)
    assert found["files"]["categories"]["notes"] == 7


def test_stats_of_an_empty_store(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    assert json.loads(cli("stats", "--store", "empty", "--json").stdout)["documents"] == 0
    assert "0 bytes" in cli("stats", "--store", "empty").stdout
    assert list((tmp_path / "empty").iterdir()) == []


def test_reindex(cli, terminal):
    assert cli("reindex").stdout == "indexed 4 documents\n"
    assert cli("reindex").stderr == ""
    assert json.loads(cli("reindex", "--json").stdout) == {"documents": 4}
    assert json.loads(cli("stats", "--json").stdout)["unread"] == 0
    assert terminal("reindex").endswith("indexed 4 documents\n")
