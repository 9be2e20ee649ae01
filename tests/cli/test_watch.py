"""`watch` and `followers`, on real processes."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from plainstate import open_store


@pytest.fixture
def store(store_path):
    with open_store(store_path, durability="os") as store:
        store.save_json("n", "first", 1)
        yield store


@pytest.fixture
def watching(environment):
    @contextmanager
    def run(*args):
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "plainstate", "watch", *args]
        with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe) as process:
            try:
                yield process
            finally:
                process.kill()

    return run


def interrupt(process):
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"interrupted" in err


def end_of(store):
    return store.changes("latest").cursor


def test_each_change_is_a_line_at_once(store, watching):
    with watching("--since", end_of(store)) as process:
        store.append_user_message("s-1", "Hi", user_id="a\x1b[2Jda")
        line = process.stdout.readline().decode()
        assert line.startswith("20")
        assert line.endswith("    1  create  sessions/s-1.json  a\\x1b[2Jda  1 message\n")
        store.rename("n", "first", "second")
        assert process.stdout.readline().endswith(
            b"    2  delete  n/first.json  moved to n/second\n"
        )
        assert process.stdout.readline().endswith(b"create  n/second.json  moved from n/first\n")
        interrupt(process)


def test_as_json_with_a_cursor_to_go_on_from(store, watching):
    with watching("--json", "--category", "n", "--since", end_of(store)) as process:
        store.save_json("m", "elsewhere", 1)
        version = store.save_json("n", "first", 2).version
        change = json.loads(process.stdout.readline())
        assert change["document"] == "n/first"
        assert (change["action"], change["kind"], change["version"]) == ("update", "json", version)
        assert (change["summary"], change["moved"], change["gap"]) == (None, None, False)
        assert change["time"].endswith("Z")
        store.delete_file("n", "first")
        json.loads(process.stdout.readline())
    with watching("--json", "--since", change["cursor"]) as process:
        assert json.loads(process.stdout.readline())["action"] == "delete"


def test_it_ends_when_nobody_reads_any_more(store, watching):
    with watching("--since", end_of(store)) as process:
        store.save_json("n", "a", 1)
        process.stdout.readline()
        process.stdout.close()  # and nothing is written that could fail
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_a_follower_goes_on_where_it_stopped(store, watching, cli):
    def told(process):
        return json.loads(process.stdout.readline())["document"]

    with watching("--json", "--follower", "billing", "--since", end_of(store)) as process:
        for name in ("a", "b"):
            store.save_json("n", name, 1)
            assert told(process) == f"n/{name}"
        interrupt(process)
    store.save_json("n", "c", 1)
    with watching("--json", "--follower", "billing") as process:
        again = [told(process)]
        while again[-1] != "n/c":  # b may come twice: it was not known to be done
            again.append(told(process))
        assert "n/a" not in again
        interrupt(process)
    (follower,) = map(json.loads, cli("followers", "--json").stdout.splitlines())
    assert follower["follower"] == "billing"
    assert set(follower) == {"follower", "cursor", "saved_at"}


def test_followers_are_listed_and_removed(store, cli):
    assert cli("followers").stdout == "no followers\n"
    assert cli("followers", "--json").stdout == ""
    store.watch(follower="billing").close()
    head, row = cli("followers").stdout.splitlines()
    assert head.startswith("FOLLOWER  SAVED (UTC)")
    assert row.split()[0] == "billing"
    assert cli("followers", "--remove", "billing").stdout == "billing: forgotten\n"
    assert (
        "`plainstate followers` lists them"
        in cli("followers", "--remove", "billing", code=3).stderr
    )
    store.watch(follower="billing").close()
    assert json.loads(cli("followers", "--remove", "billing", "--json").stdout) == {
        "follower": "billing",
        "removed": True,
    }


@pytest.mark.usefixtures("store")
def test_wrong_use(cli):
    assert "`plainstate watch --json`" in cli("watch", "--since", "x", code=1).stderr
    cli("watch", "--follower", "../x", code=1)
    cli("watch", "--category", "..", code=1)
    cli("watch", "--store", "nowhere", code=3)
    cli("watch", "--store", "memory:", code=2)
