"""`search`."""

import json

import pytest

from plainstate import open_store


@pytest.fixture(autouse=True)
def filled(store_path):
    with open_store(store_path) as store:
        store.append_user_message("s-1", "Which train to Basel?", user_id="ada")
        store.append_agent_response("s-1", "The 10:03. « train » \x1b[2J \u202e")
        store.append_user_message("s-2", "京都の夕食 and a train", user_id="yuki")
        store.save_markdown("notes", "trip", "# Trip\n\nTake the train.\n")


def test_a_hit_is_a_block(cli):
    found = cli("search", "basel", "trai*").stdout.splitlines()
    assert len(found) == 2
    assert found[0].startswith("sessions/s-1.json  user  20")
    assert found[1] == "    Which «train» to «Basel»?"
    assert cli("search", "take the train").stdout.splitlines()[0] == "notes/trip.md"
    assert cli("search", "夕食").stdout.count("«夕食»") == 1


def test_hits_as_json(cli):
    (line,) = cli("search", '"to basel"', "--json").stdout.splitlines()
    hit = json.loads(line)
    assert hit.pop("score") > 0
    assert hit.pop("timestamp").endswith("Z")
    assert hit == {
        "document": "sessions/s-1",
        "kind": "json",
        "role": "user",
        "position": 0,
        "title": None,
        "snippet": "Which train «to Basel»?",
    }


def test_only_there_only_his_only_so_many(cli):
    def documents(*args):
        lines = cli("search", "train", *args, "--json").stdout.splitlines()
        return sorted({json.loads(line)["document"] for line in lines})

    assert documents() == ["notes/trip", "sessions/s-1", "sessions/s-2"]
    assert documents("--category", "notes") == ["notes/trip"]
    assert documents("--user", "yuki") == ["sessions/s-2"]
    assert len(documents("--limit", "1")) == 1


def test_nothing_found_is_1_as_grep_has_it(cli):
    nothing = cli("search", "zeppelin", code=1)
    assert nothing.stdout == ""
    assert nothing.stderr == "nothing found\n"
    nothing = cli("search", "zeppelin", "--json", code=1)
    assert (nothing.stdout, nothing.stderr) == ("", "")


def test_stored_text_does_not_steer_the_terminal(cli, terminal):
    for shown in (cli("search", "10").stdout, terminal("search", "10", NO_COLOR="1")):
        assert "\x1b" not in shown
        assert "\\x1b[2J \\u202e" in shown
        assert "«10»" in shown


def test_hits_are_bold_on_a_terminal_and_guillemets_of_the_text_stay(terminal):
    shown = terminal("search", "10 train", NO_COLOR="")
    assert "The \x1b[1m10\x1b[22m:03. « \x1b[1mtrain\x1b[22m » \\x1b[2J" in shown


def test_wrong_use(cli):
    cli("search", code=2)
    cli("search", "x", "--limit", "0", code=2)
    cli("search", "x", "--category", "..", code=1)
    assert "1,000 characters" in cli("search", "x" * 1001, code=1).stderr
    assert "no store" in cli("search", "x", "--store", "nowhere", code=3).stderr
