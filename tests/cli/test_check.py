"""`check` and `repair` at a terminal and for programs."""

import json
import os
import pty
import subprocess
import sys

import pytest

from plainstate import open_store


@pytest.fixture
def damaged(store_path):
    """A journal with a damaged line, a torn note, and a file that is none of the store's."""
    with open_store(store_path, quiet_fold_s=3600) as store:
        store.save_json("n", "a", [])
        store.append_markdown("n", "b", "text")
        for value in (1, 2, 3):
            store.patch("n", "a", [{"op": "add", "path": "/-", "value": value}])
        journal = (store_path / "n/a.jsonl").read_bytes()
        note = (store_path / "n/b.mdl").read_bytes().rstrip(b" ")
        snapshot = (store_path / "n/a.json").read_bytes()
    (store_path / "n/a.json").write_bytes(snapshot)
    (store_path / "n/a.jsonl").write_bytes(journal.replace(b'"value":2', b'"value":7'))
    (store_path / "n/b.md").unlink()
    (store_path / "n/b.mdl").write_bytes(note + b'{"seq"')
    (store_path / "n/x\x1b.txt").write_bytes(b"x")
    return store_path


def test_a_sound_store(cli, store_path):
    with open_store(store_path) as store:
        store.save_json("n", "a", 1)
    done = cli("check")
    assert done.stdout == "checked 1 document: 0 damaged, 0 problems, 0 notes\n"
    assert cli("repair", "--yes").stdout == "mended: 0; left for you to decide: 0\n"
    assert json.loads(cli("check", "--json").stdout) == {"documents": 1, "findings": []}


def test_damage_is_told_with_file_line_and_remedy(cli, damaged):
    done = cli("check", code=5)
    lines = done.stdout.splitlines()
    assert lines[0] == "damage: n/a.jsonl, line 3: the checksum does not match [journal-damaged]"
    assert "`plainstate repair --cut`" in lines[1]
    assert "`plainstate cat n/a.json --salvage`" in lines[1]
    assert lines[-1] == "checked 2 documents: 1 damaged, 0 problems, 2 notes"
    assert "\x1b" not in done.stdout
    assert (damaged / "n/x\x1b.txt").exists()


@pytest.mark.usefixtures("damaged")
def test_findings_for_programs(cli):
    found = json.loads(cli("check", "--json", code=5).stdout)["findings"]
    assert [(one["code"], one["file"], one["line"]) for one in found] == [
        ("journal-damaged", "n/a.jsonl", 3),
        ("journal-torn", "n/b.mdl", 3),
        ("foreign-file", "n/x\x1b.txt", 0),
    ]
    assert (found[0]["document"], found[0]["kind"]) == ("n/a", "json")
    assert (found[2]["document"], found[2]["kind"]) == (None, None)


@pytest.mark.usefixtures("damaged")
def test_repair_mends_leaves_and_says_so(cli):
    planned = json.loads(cli("repair", "--dry-run", "--json", code=5).stdout)
    assert planned["dry_run"]
    assert [one["code"] for one in planned["left"]] == ["journal-damaged"]
    done = cli("repair", "--yes", code=5)
    assert "mended: n/b.mdl, line 3: 6 bytes that a crash cut off" in done.stdout
    assert "    done: set the unfinished bytes aside" in done.stdout
    assert done.stdout.endswith("mended: 1; left for you to decide: 1\n")
    done = json.loads(cli("repair", "--yes", "--cut", "--json").stdout)
    assert [one["code"] for one in done["mended"]] == ["journal-damaged"]
    assert done["mended"][0]["action"].startswith("cut it back to its 2 intact lines")
    assert json.loads(cli("cat", "n/a", "--json").stdout)["value"] == [1]
    assert cli("check").returncode == 0


@pytest.mark.usefixtures("damaged")
def test_nobody_to_ask(cli):
    failed = cli("repair", code=2)
    assert "here is nobody to ask" in failed.stderr
    assert cli("repair", "--json", code=2).stdout == ""


@pytest.mark.parametrize(("answer", "mends"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_repair_asks(environment, damaged, answer, mends):
    leader, terminal = pty.openpty()
    command = [sys.executable, "-m", "plainstate", "repair"]
    with subprocess.Popen(
        command, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, env=environment
    ) as asked:
        os.close(terminal)
        os.write(leader, answer.encode())
        said = b""
        while b"[y/N]" not in said:
            said += os.read(leader, 10_000)
        out, _ = asked.communicate(timeout=60)
    os.close(leader)
    assert b"mendable: n/b.mdl, line 3" in said
    assert b"Mend 1 finding?" in said
    assert asked.returncode == (5 if mends else 1)
    assert (b"\nmended: 1;" in out) == mends
    assert (damaged / ".plainstate/quarantine/n").exists() == mends


def test_a_store_that_cannot_be_opened_can_be_checked(cli, damaged):
    (damaged / ".plainstate/format.json").write_bytes(b"{")
    assert "[format-damaged]" in cli("check", code=5).stdout
    assert "does not tell the format version" in cli("repair", "--yes", code=5).stderr
