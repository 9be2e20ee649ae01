"""Long lists: pages of `ls` and `sessions`, on a terminal and in a pipe."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from plainstate import open_store


def ids(text):
    return [json.loads(line)["id"] for line in text.splitlines()]


@pytest.fixture
def many(store_path):
    """Thirty sessions, s-00 changed first, and one that is damaged."""
    with open_store(store_path, durability="os") as store:
        for number in range(30):
            user = "ada" if number % 2 else "bob"
            store.append_user_message(f"s-{number:02}", "Hello", user_id=user)
    (store_path / "sessions" / "bad.json").write_text("{", encoding="utf-8")
    return store_path


@pytest.mark.usefixtures("many")
def test_a_terminal_gets_a_page_and_how_to_get_the_next(cli, terminal):
    lines = terminal("sessions").splitlines()
    assert len(lines) < 20
    assert lines[1].startswith("s-29 ")
    assert lines[-1].startswith("16 of 31 sessions; the next: --after ")
    after = shlex.split(lines[-1])[-2:]
    second = terminal("sessions", *after).splitlines()
    assert second[1].startswith("s-13 ")
    assert second[-2].split()[:2] == ["bad", "?"]
    assert second[-1] == "15 of 31 sessions"
    assert len(cli("sessions").stdout.splitlines()) == 32  # a pipe gets all, and no footer


@pytest.mark.usefixtures("many")
def test_pages_of_sessions_as_json_join(cli):
    found, after = [], []
    while page := cli("sessions", "--json", "--limit", "11", *after).stdout:
        found += ids(page)
        after = ["--after", json.loads(page.splitlines()[-1])["cursor"]]
    assert found == ids(cli("sessions", "--json").stdout)
    assert len(set(found)) == 31
    assert cli("sessions", *after).stdout == "no more sessions\n"


@pytest.mark.usefixtures("many")
def test_the_oldest_first_of_one_user_and_no_damaged(cli):
    assert ids(cli("sessions", "--oldest", "--limit", "2", "--json").stdout) == ["s-00", "s-01"]
    assert ids(cli("sessions", "--user", "ada", "--limit", "2", "--json").stdout) == [
        "s-29",
        "s-27",
    ]
    assert "bad" not in ids(cli("sessions", "--no-damaged", "--json").stdout)


@pytest.mark.usefixtures("many")
def test_a_place_that_is_none(cli):
    refused = cli("sessions", "--after", "s-01", code=1).stderr
    assert "Pass it exactly as `plainstate sessions` had it." in refused
    cli("sessions", "--after", code=2)


@pytest.fixture
def documents(store_path):
    with open_store(store_path, durability="os") as store:
        for name in ("a", "b", "ba", "c"):
            store.save_json("n", name, 1)
        store.save_markdown("n", "b", "two of a name")
        store.save_markdown("n", "日本 x", "")
    return store_path


@pytest.mark.usefixtures("documents")
def test_pages_of_documents(cli, terminal):
    everything = ["n/a.json", "n/b.json", "n/b.md", "n/ba.json", "n/c.json", "n/日本 x.md"]
    assert cli("ls", "n").stdout.splitlines() == everything
    assert cli("ls", "n", "--limit", "2").stdout.splitlines() == everything[:3]
    assert cli("ls", "n", "--limit", "3", "--after", "n/b.md").stdout.splitlines() == everything[3:]
    assert cli("ls", "n", "--after", "ba").stdout.splitlines() == everything[4:]
    assert cli("ls", "n", "--after", "n/日本 x.md").stdout == ""
    assert cli("ls", "n", "--prefix", "b").stdout.splitlines() == everything[1:4]
    assert cli("ls", "n", "--prefix", "日").stdout.splitlines() == everything[5:]
    footer = terminal("ls", "n", "--limit", "1", "--after", "c").splitlines()
    assert footer == ["n/日本 x.md"]  # nothing comes behind it
    assert terminal("ls", "n", "--limit", "2").splitlines()[-1] == (
        "3 of 6 in n; the next: --after n/b.md"
    )


@pytest.mark.usefixtures("documents")
def test_wrong_pages_of_documents(cli):
    assert "begin with 'x'" in cli("ls", "n", "--prefix", "x", code=3).stderr
    assert "is not in n" in cli("ls", "n", "--after", "m/a", code=2).stderr
    assert "Name it" in cli("ls", "--limit", "2", code=2).stderr


def test_a_long_list_begins_before_it_is_complete(environment, store_path):
    folder = store_path / "n"
    folder.mkdir(parents=True)
    for number in range(2500):
        (folder / f"{number:04}.md").touch()
    command = [sys.executable, "-m", "plainstate", "ls", "n"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        names = [line.decode().strip() for line in process.stdout]
    assert names == [f"n/{number:04}.md" for number in range(2500)]


def test_the_help_does_not_need_a_store(cli):
    assert re.search(r"--after CURSOR", cli("sessions", "--help").stdout)
