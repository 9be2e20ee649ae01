"""`history`, `undo`, `fork`, and `--at`."""

import json

import pytest

from plainstate import open_store


@pytest.fixture
def kept(store_path):
    """A plan and a session whose application keeps history."""
    with open_store(store_path, history="keep") as store:
        store.save_json("n", "plan", {"steps": []})
        store.patch("n", "plan", [{"op": "add", "path": "/steps/-", "value": "a\x1bb"}])
        store.append_user_message("s-1", "What is 6 x 7?", user_id="ada")
        store.append_agent_response("s-1", "41")
    return store_path


@pytest.mark.usefixtures("kept")
def test_history(cli):
    head, newest, oldest = cli("history", "n/plan").stdout.splitlines()
    assert head.split() == ["SEQ", "TIME", "(UTC)", "VERSION", "WHAT"]
    assert newest.split()[0] == "2"
    assert newest.endswith("  added /steps/-")
    assert oldest.endswith("  created")
    assert len(cli("history", "n/plan", "--limit", "1").stdout.splitlines()) == 2
    assert (
        "    " + json.dumps({"op": "add", "path": "/steps/-", "value": "a\x1bb"})
        in cli("history", "n/plan", "--patch").stdout
    )
    lines = [json.loads(line) for line in cli("history", "n/plan", "--json").stdout.splitlines()]
    assert [line["seq"] for line in lines] == [2, 1]
    assert set(lines[0]) == {"seq", "version", "tx_id", "time", "action", "what"}
    patched = json.loads(cli("history", "n/plan", "--json", "--patch", "--limit", "1").stdout)
    assert patched["patch"][0]["value"] == "a\x1bb"


@pytest.mark.usefixtures("kept")
def test_an_earlier_state(cli):
    assert json.loads(cli("cat", "n/plan", "--at", "1").stdout) == {"steps": []}
    newest, oldest = map(json.loads, cli("history", "n/plan", "--json").stdout.splitlines())
    shown = json.loads(cli("show", "n/plan", "--at", oldest["version"], "--json").stdout)
    assert shown["value"] == {"steps": []}
    assert shown["version"] == oldest["version"] != newest["version"]
    assert "1 message (" in cli("show", "sessions/s-1", "--at", "1").stdout
    assert "has no transaction 9" in cli("cat", "n/plan", "--at", "9", code=3).stderr
    assert "was not there at 0" in cli("cat", "n/plan", "--at", "0", code=3).stderr
    assert "`plainstate history n/plan`" in cli("cat", "n/plan", "--at", "1-x", code=3).stderr
    cli("cat", "n/plan", "--at", "1", "--salvage", code=2)


def test_a_damaged_history_names_a_command_that_works(cli, kept):
    path = kept / ".plainstate/history/n/plan.jsonl"
    path.write_bytes(path.read_bytes().replace(b"steps", b"stepz", 1))
    assert "hint: `plainstate repair` sets aside" in cli("history", "n/plan", code=5).stderr
    cli("repair", "--yes")
    cli("history", "n/plan")


@pytest.mark.usefixtures("kept")
def test_no_way_back_to_what_is_in_the_trash(cli):
    cli("prune", "--older-than", "0s", "--yes")
    assert "`plainstate trash`" in cli("undo", "sessions/s-1", code=3).stderr


@pytest.mark.usefixtures("kept")
def test_undo_and_undo_of_the_undo(cli):
    assert cli("undo", "n/plan").stdout.startswith("n/plan: back at the state before, now ")
    assert json.loads(cli("cat", "n/plan").stdout) == {"steps": []}
    cli("undo", "n/plan")
    assert json.loads(cli("cat", "n/plan").stdout) == {"steps": ["a\x1bb"]}
    done = json.loads(cli("undo", "n/plan", "--to", "1", "--json").stdout)
    assert done.pop("version").startswith("5-")
    assert done == {"document": "n/plan", "kind": "json"}
    cli("undo", "n/plan", "--if-version", "1-x", code=4)


@pytest.mark.usefixtures("kept")
def test_what_a_command_deletes_comes_back(cli):
    cli("put", "n/plan", given="3")
    cli("rm", "n/plan")
    assert cli("history", "n/plan").stdout.splitlines()[1].split()[0] == "4"
    assert cli("cat", "n/plan", "--at", "3").stdout == "3\n"
    cli("undo", "n/plan")
    assert cli("cat", "n/plan").stdout == "3\n"
    gone = json.loads(cli("undo", "n/plan", "--to", "0", "--json").stdout)
    assert gone["version"] is None
    assert "deleted, as it was not there" in cli("undo", "n/plan", "--to", "0").stdout
    cli("show", "n/plan", code=3)


def test_without_history_it_says_how_to_keep_one(cli, store_path):
    cli("put", "n/a", given="1")
    cli("put", "n/a", given="2")
    assert "PLAINSTATE_HISTORY=keep" in cli("undo", "n/a", code=3).stderr
    cli("put", "n/a", given="3", PLAINSTATE_HISTORY="keep")
    cli("undo", "n/a")  # what is kept goes on being kept
    assert cli("cat", "n/a").stdout == "2\n"
    assert "cannot be 'yes'" in cli("ls", PLAINSTATE_HISTORY="yes", code=2).stderr
    assert not (store_path / ".plainstate/history/n/b.jsonl").exists()


@pytest.mark.usefixtures("kept")
def test_one_name_of_two_kinds(cli):
    cli("put", "n/plan.md", given="# Plan")
    assert "--kind" in cli("history", "n/plan", code=2).stderr
    assert cli("history", "n/plan.md").stdout.count("\n") == 2
    cli("history", "n/none", code=3)
    cli("undo", "n/none", code=3)


@pytest.mark.usefixtures("kept")
def test_fork(cli):
    assert (
        cli("fork", "s-1", "s-2", "--at", "1").stdout == "sessions/s-2: 1 message of sessions/s-1\n"
    )
    made = json.loads(cli("fork", "sessions/s-1", "--user", "bob", "--json").stdout)
    assert made.pop("version").startswith("1-")
    name = made.pop("session")
    assert made == {"from": "s-1", "messages": 2}
    assert "user bob" in cli("show", f"sessions/{name}").stdout
    assert "Choose another NEW" in cli("fork", "s-1", "s-2", code=4).stderr
    assert "it has 2" in cli("fork", "s-1", "--at", "3", code=1).stderr
    cli("fork", "none", code=3)
    version = json.loads(cli("history", "sessions/s-1", "--json").stdout.splitlines()[1])["version"]
    assert json.loads(cli("fork", "s-1", "--at", version, "--json").stdout)["messages"] == 1
