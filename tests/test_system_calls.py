"""What an append costs in system calls, counted by strace(1) at three lengths of a session.

As a script it prints the table: `python tests/test_system_calls.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from plainstate.limits import BLANK_BYTES, BLANK_UNIT_BYTES

LENGTHS = (0, 1_000, 10_000)
APPENDS = 20
CONTENT = "What an append costs does not depend on what is there already."

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace, which counts system calls, is not installed"
)

CHILD = """
import json, os, sys
from plainstate import open_store

path, length, appends, content = json.loads(sys.argv[1])

def mark():
    try:
        os.rmdir("/mark")  # seen by the tracer, does nothing
    except FileNotFoundError:
        pass

with open_store(path, quiet_fold_s=3600) as store:
    store.append_user_message("s", content, user_id="ada")
    mark()
    store.append_user_message("new", content, user_id="ada")
    mark()
    session = store.load_json("sessions", "s")
    message = session["user_messages"][0]
    session["user_messages"] = [message] * length
    store.save_json("sessions", "s", session)
    store.append_user_message("s", content)
    for _ in range(appends):
        mark()
        store.append_user_message("s", content)
    mark()
"""

Calls = list[tuple[str, str, str]]
"""Name, arguments and result of system calls, in order."""


def trace(length: int) -> list[Calls]:
    """The calls between each two marks: of a creation, of what prepares, of each append."""
    with tempfile.TemporaryDirectory() as folder:
        log = f"{folder}/log"
        arguments = json.dumps([f"{folder}/store", length, APPENDS, CONTENT])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.run(
            ["strace", "-o", log, "-s", "16", sys.executable, "-c", CHILD, arguments],
            check=True,
            env=environment,
        )
        lines = Path(log).read_text(errors="replace").splitlines()
    found = [re.match(r"(\w+)\((.*)\)\s+= (\S+)", line) for line in lines]
    calls = [match.groups() for match in found if match]
    marks = [index for index, (name, args, _) in enumerate(calls) if args == '"/mark"']
    return [calls[begin + 1 : end] for begin, end in pairwise(marks)]


def named(calls: Calls, *names: str) -> Calls:
    return [call for call in calls if call[0] in names]


def written(calls: Calls) -> list[int]:
    """Bytes of each write."""
    return [int(result) for _, _, result in named(calls, "write", "pwrite64", "writev")]


def table() -> str:
    """Calls per append, by length of the session."""
    traces = {length: trace(length)[2:] for length in LENGTHS}
    counts = {
        length: Counter(name for calls in appends for name, _, _ in calls)
        for length, appends in traces.items()
    }
    names = sorted({name for count in counts.values() for name in count})
    rows = [["calls per append", *(f"{length:,} messages" for length in LENGTHS)]]
    rows += [[name, *(f"{counts[n][name] / APPENDS:g}" for n in LENGTHS)] for name in names]
    sizes = [[size for calls in traces[n] for size in written(calls)] for n in LENGTHS]
    rows.append(["bytes written", *(f"{sum(size) / APPENDS:g}" for size in sizes)])
    return "\n".join("".join(f"{cell:>18}" for cell in row) for row in rows)


@needs_strace
@pytest.mark.parametrize("length", LENGTHS)
def test_an_append_is_two_writes_and_one_sync_at_any_length(length):
    _, _, *appends = trace(length)
    assert len(appends) == APPENDS
    lines = []
    for calls in appends:
        assert len(named(calls, "fdatasync")) == 1
        line, told = written(calls)  # to the journal, then, unsynced, to the change feed
        assert calls.index(named(calls, "write")[0]) > calls.index(named(calls, "fdatasync")[0])
        lines.append(line)
        assert told < 450  # version, time and summary
        assert not named(calls, "fsync", "sync_file_range", "rename", "renameat", "renameat2")
        assert not named(calls, "open", "openat", "creat", "unlink", "unlinkat", "ftruncate")
        assert [result for *_, result in named(calls, "pread64")] == ["20"]  # a line's end, a blank
        assert not named(calls, "read", "readv", "mmap")
        assert len(calls) <= 12, calls  # three of them, statx, write, statx, for the change feed
    grown = [line for line in lines if line > len(CONTENT) + 350]
    assert len(grown) <= 1 + APPENDS // 10  # with blanks behind it
    assert all(line < BLANK_BYTES + BLANK_UNIT_BYTES + len(CONTENT) + 350 for line in grown)
    assert min(lines) > len(CONTENT)  # the others: a line, and nothing of the session


@needs_strace
def test_creating_a_session_creates_one_file():
    creation, *_ = trace(0)
    opened = [args for _, args, _ in named(creation, "open", "openat", "creat")]
    (created,) = [args for args in opened if "O_CREAT" in args]
    assert "O_EXCL" in created
    assert len(written(creation)) == 3  # the writer's list, the file, the change feed
    assert len(named(creation, "fdatasync")) == 1  # the file
    assert len(named(creation, "fsync")) == 1  # its name
    assert not named(creation, "rename", "renameat", "renameat2")


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
