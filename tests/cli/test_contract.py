"""What programs rely on: exit codes, errors, streams, and that reading creates nothing."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import plainstate
from plainstate import errors, open_store
from plainstate.cli import app

MANUAL = Path(__file__).parent.parent.parent / "docs" / "cli.md"

READING = [
    ("show", "n/a"),
    ("ls",),
    ("ls", "n"),
    ("cat", "n/a"),
    ("sessions",),
    ("search", "x"),
    ("followers",),
    ("history", "n/a"),
    ("trash",),
    ("stats",),
    ("check",),
    ("repair", "--dry-run"),
    ("reindex",),
    ("prune", "--keep-last", "1", "--dry-run"),
    ("trash", "--empty", "--dry-run"),
]
CHANGING = [
    ("watch",),
    ("rm", "n/a"),
    ("mv", "n/a", "n/b"),
    ("undo", "n/a"),
    ("fork", "s-1"),
    ("prune", "--keep-last", "1", "--yes"),
    ("trash", "--empty", "--yes"),
    ("trash", "--restore", "s-1"),
    ("followers", "--remove", "x"),
    ("checkpoint",),
    ("repair", "--yes"),
    ("resolve", "n/a", "--take", "file"),
]


@pytest.mark.parametrize("args", READING + CHANGING)
def test_a_missing_store_is_said_and_not_created(cli, store_path, args):
    failed = cli(*args, code=3)
    first, second = failed.stderr.splitlines()
    assert first.startswith("plainstate: no store at ")
    assert second.startswith("hint: ")
    assert failed.stdout == ""
    assert not store_path.exists()


@pytest.mark.parametrize("args", READING)
def test_reading_writes_nothing(cli, store_path, args):
    (store_path / "n").mkdir(parents=True)
    (store_path / "n" / "a.json").write_text("1", encoding="utf-8")
    before = sorted(store_path.rglob("*"))
    cli(*args, code=1 if args[0] == "search" else 0)
    assert sorted(store_path.rglob("*")) == before


@pytest.mark.parametrize("args", READING)
def test_reading_writes_at_most_the_index(cli, store_path, args):
    with open_store(store_path) as store:
        store.save_json("n", "a", 1)
    before = {path for path in store_path.rglob("*") if "index-" not in path.name}
    cli(*args, code=1 if args[0] == "search" else 0)
    assert {path for path in store_path.rglob("*") if "index-" not in path.name} == before


def leaves(cls):
    below = cls.__subclasses__()
    return {cls}.union(*(leaves(one) for one in below))


EXPECTED = {
    "plainstate": 1,
    "invalid-name": 1,
    "invalid-value": 1,
    "too-large": 1,
    "invalid-patch": 1,
    "invalid-cursor": 1,
    "ownership": 1,
    "invalid-url": 2,
    "usage": 2,
    "not-found": 3,
    "cursor-expired": 3,
    "already-exists": 4,
    "conflict": 4,
    "patch-failed": 4,
    "edit-conflict": 4,
    "damaged": 5,
    "archive": 5,
    "foreign-journal": 5,
    "format-version": 5,
    "storage": 6,
    "storage-full": 6,
    "read-only": 6,
    "unsafe-path": 6,
    "outcome-unknown": 6,
    "lock-timeout": 7,
}


def failing(monkeypatch, error):
    """Makes every command fail."""

    def fail(_):
        raise error

    monkeypatch.setattr(app, "_command", lambda _: fail)


def test_every_error_has_an_exit_code(monkeypatch, capsys):
    assert {cls.code for cls in leaves(errors.PlainstateError)} == set(EXPECTED)
    for cls in leaves(errors.PlainstateError):
        failing(monkeypatch, cls("what happened", hint="what to do"))
        assert app.main(["ls", "--json"]) == EXPECTED[cls.code], cls
        told = json.loads(capsys.readouterr().err)
        assert told == {
            "error": {"code": cls.code, "message": "what happened", "hint": "what to do"}
        }


def test_a_defect_is_one_line_and_debug_shows_where(monkeypatch, capsys):
    failing(monkeypatch, ZeroDivisionError("by\nzero"))
    assert app.main(["ls"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "plainstate: internal error: ZeroDivisionError: by zero",
        "hint: Run it again with PLAINSTATE_DEBUG=1.",
    ]
    monkeypatch.setenv("PLAINSTATE_DEBUG", "1")
    app.main(["ls"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("frobnicate",), 2),
        (("ls", "--frobnicate"), 2),
        (("show",), 2),
        (("show", "nodoc"), 2),
        (("show", "n/a", "--kind", "xml"), 2),
        (("resolve", "n/a"), 2),
        (("ls", "--store", "ftp://x"), 2),
        (("ls", "--store", ""), 2),
        (("show", "../../etc/passwd"), 1),
        (("show", "n/"), 1),
        (("show", "/etc/passwd"), 1),
        (("show", "n/\x1b[2J"), 1),
        (("show", "n/" + "x" * 300), 1),
        (("show", "n/a\n"), 1),
        (("ls", ".."), 1),
        (("ls", ".plainstate"), 1),
        (("put", "../out", "--markdown"), 1),
        (("put", "n/a"), 1),
        (("put", "n/a", "missing.json"), 3),
        (("put", "n/a", "."), 6),
        (("mv", "n/present", "../x/y"), 1),
        (("import", "missing.json"), 3),
        (("demo", "--data", "missing.json"), 3),
        (("demo", "--keep", "."), 4),
        (("demo", "--store", "here"), 2),
        (("put", "n/a", "--store", "memory:"), 2),
        (("import", "-", "--store", "memory:"), 2),
        (("rm", "n/present", "--store", "memory:"), 2),
        (("checkpoint", "--store", "memory:"), 2),
        (("watch", "--store", "memory:"), 2),
        (("stats", "--store", "memory:"), 2),
        (("search", "x", "--store", "memory:"), 2),
        (("resolve", "n/present", "--take", "file"), 2),
        (("resolve", "n/absent", "--take", "file"), 3),
    ],
)
def test_a_refusal_is_one_line_and_a_hint(cli, store_path, args, code):
    with open_store(store_path) as store:
        store.save_json("n", "present", 1)
    failed = cli(*args, code=code)
    assert failed.stdout == ""
    assert "\x1b" not in failed.stderr
    first, second = failed.stderr.splitlines()
    assert first.startswith("plainstate: ")
    assert second.startswith("hint: ")
    assert sorted(path.name for path in store_path.iterdir()) == [".plainstate", "n"]


@pytest.mark.parametrize(
    ("args", "code", "name"),
    [
        (("--json",), 2, "usage"),
        (("show", "--json", "n/\x1b[2J"), 1, "invalid-name"),
        (("--json", "put", "n/a"), 1, "invalid-value"),
        (("put", "n/a", "missing.json", "--json"), 3, "not-found"),
        (("put", "n/a", ".", "--json"), 6, "storage"),
    ],
)
def test_with_json_an_error_is_one_object(cli, store_path, args, code, name):
    store_path.mkdir()
    failed = cli(*args, code=code)
    assert failed.stdout == ""
    error = json.loads(failed.stderr)["error"]
    assert error.pop("code") == name
    assert set(error) == {"message", "hint"}
    assert all(error.values())


def test_bytes_that_are_not_text(environment, store_path):
    with open_store(store_path) as store:
        store.save_json("n", "a", 1)
    command = [os.fsencode(sys.executable), b"-m", b"plainstate", b"--json", b"show", b"n/\xff"]
    failed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert failed.returncode == 1
    assert json.loads(failed.stderr)["error"]["code"] == "invalid-name"


def test_a_terminal_that_knows_only_ascii(cli):
    cli("put", "n/a.md", given="日本")
    assert cli("show", "n/a", PYTHONIOENCODING="ascii").stdout.endswith("\\u65e5\\u672c\n")
    assert cli("cat", "n/a", PYTHONIOENCODING="ascii").stdout == "日本"


def test_options_stand_before_or_behind_the_verb(cli, tmp_path):
    cli("--store", tmp_path / "x", "put", "n/a", given="1")
    assert cli("--json", "--store", tmp_path / "x", "ls").stdout.startswith("{")
    assert cli("ls", "--json", f"--store=file://{tmp_path}/x").stdout.startswith("{")
    cli("ls", code=3)


@pytest.mark.parametrize("verb", ["cat", "show"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_broken_pipe_is_silent(environment, store_path, verb, unbuffered):
    environment["PYTHONUNBUFFERED"] = unbuffered
    with open_store(store_path) as store:
        store.save_json("n", "big", ["x" * 100] * 10_000)
    command = (
        f"set -o pipefail; {shlex.quote(sys.executable)} -m plainstate {verb} n/big | head -c 10"
    )
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, check=False
    )
    assert done.stderr == b""
    assert done.returncode == 141
    assert len(done.stdout) == 10


def test_interrupted(environment, store_path):
    command = [sys.executable, "-m", "plainstate", "put", "n/a"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stderr=pipe) as process:
        process.stdin.write(b" " * 1_000_000)  # more than a pipe holds: it is reading
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.startswith(b"plainstate: interrupted\n")
    assert not store_path.exists()


def test_nothing_is_coloured_and_no_bar_without_a_terminal(cli, tmp_path):
    (tmp_path / "c.json").write_text('[{"role": "user", "content": "Hi"}]', encoding="utf-8")
    done = cli("import", "c.json", FORCE_COLOR="1")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_version_and_help(cli):
    assert cli("--version").stdout == f"plainstate {plainstate.__version__}\n"
    verbs = re.findall(r"^    (\w+) ", cli("--help").stdout, re.MULTILINE)
    assert {"show", "ls", "cat", "put", "rm", "mv", "sessions", "import"} < set(verbs)
    manual = MANUAL.read_text(encoding="utf-8")
    for verb in verbs:
        assert f"| `{verb}" in manual, f"{verb} is not in docs/cli.md"
        assert "usage: plainstate" in cli(verb, "--help").stdout


def test_without_a_command_the_help_is_printed(cli):
    shown = cli(code=2)
    assert shown.stdout == ""
    assert shown.stderr == cli("--help").stdout


def test_the_help_names_formats_and_no_placeholder(cli):
    assert (
        "\nStore an archive, or conversations from JSON or JSONL files.\n"
        in cli("import", "--help").stdout
    )
    listed = cli("--help").stdout.partition("commands:\n")[2]
    assert listed.startswith("    show ")


def test_a_store_in_memory_is_refused_with_a_reason(cli):
    refused = cli("--store", "memory:", "put", "n/a", given="1", code=2).stderr
    assert "would be gone when this command ends" in refused
    assert "gone" in cli("ls", PLAINSTATE_STORE="memory:", code=2).stderr


def test_the_manual_lists_every_exit_code():
    codes = set(re.findall(r"^\| (\d+) \|", MANUAL.read_text(encoding="utf-8"), re.MULTILINE))
    raised = {*EXPECTED.values(), 0, app.EXIT_INTERRUPTED, app.EXIT_BROKEN_PIPE}
    assert codes == {str(code) for code in raised}
