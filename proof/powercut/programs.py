"""Running the writer, the recovery and the checker as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from proof.powercut.disk import ROOT
from proof.powercut.history import Case, Ending, Operation, Step

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STORE", "Recorded", "Verdict", "check", "command", "record", "run_and_kill", "set_up"]

STORE: Final = "store"
"""Folder of the store in the file system."""

_LINE: Final = re.compile(r"(try|ack|failed|unknown) (\S+)(.*)")
_CHECK_TIMEOUT_S: Final = 120
_DRAIN_TIMEOUT_S: Final = 10


class Verdict(NamedTuple):
    """What a check said.

    Attributes:
        word: "ok"; "violation"; or "broken": the check itself did not work.
        reason: in one line.
    """

    word: Literal["ok", "violation", "broken"]
    reason: str = ""


class Recorded(NamedTuple):
    """What a writer did.

    Attributes:
        operations: in order.
        endings: by number of the operation: how it ended, and the position of the disk's log
            when that was read.  That is never before the writer said it, so a check is never
            too strict.
        errors: what it reported.
    """

    operations: list[Operation]
    endings: dict[int, tuple[Ending, int]]
    errors: list[str]

    def case(self, point: int) -> Case:
        """What a cut before record `point` must keep."""
        steps = []
        for operation in self.operations:
            ending, position = self.endings.get(operation.number, ("none", point + 1))
            steps.append(Step(operation, ending, position <= point))
        return Case(steps)

    def positions(self) -> list[int]:
        """Where in the log acknowledgements were read, in order."""
        found = [position for ending, position in self.endings.values() if ending == "ack"]
        if found != sorted(found):
            raise AssertionError("positions run backwards")
        return found


def command(module: str, *arguments: str) -> list[str]:
    """The command of a program of this package."""
    return [sys.executable, "-m", f"proof.powercut.{module}", *arguments]


def set_up(mount_point: str) -> None:
    """Makes the store that every run begins with."""
    base = os.path.join(mount_point, STORE)
    subprocess.run(command("writer", base, "setup"), check=True, cwd=ROOT)


def record(
    mount_point: str, arguments: list[str], seconds: float, position: Callable[[], int]
) -> Recorded:
    """Runs a writer for a while and then kills it, unless it has ended by then.

    Raises:
        RuntimeError: it ended with an error.
    """
    recorded = Recorded([], {}, [])
    base = os.path.join(mount_point, STORE)
    full = command("writer", base, "run", *arguments)
    writer = subprocess.Popen(full, stdout=subprocess.PIPE, cwd=ROOT)
    reader = threading.Thread(target=_read, args=(writer, recorded, position), daemon=True)
    reader.start()
    run_and_kill(writer, seconds)
    reader.join(_DRAIN_TIMEOUT_S)
    if writer.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the writer failed, with status {writer.returncode}")
    return recorded


def run_and_kill(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Gives a process some time, unless it ends by itself."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    if process.poll() is None:
        process.kill()
    process.wait()


def check(mount_point: str, case_path: str) -> Verdict:
    """Runs the checker."""
    full = command("checker", os.path.join(mount_point, STORE), case_path)
    try:
        done = subprocess.run(
            full, check=False, capture_output=True, text=True, cwd=ROOT, timeout=_CHECK_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return Verdict("broken", "the checker took too long")
    if done.returncode == 0:
        return Verdict("ok")
    if done.returncode == 1 and done.stdout:
        return Verdict("violation", done.stdout.splitlines()[0][:200])
    return Verdict("broken", done.stderr.strip()[-500:])


def _read(writer: subprocess.Popen[bytes], recorded: Recorded, position: Callable[[], int]) -> None:
    if writer.stdout is None:
        raise AssertionError("stdout is a pipe")
    rest = b""
    with writer.stdout as pipe:
        while data := os.read(pipe.fileno(), 1 << 16):
            now = position()
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                _note(line.decode(), recorded, now)


def _note(line: str, recorded: Recorded, now: int) -> None:
    if line.startswith("try "):
        recorded.operations.append(Operation(*json.loads(line[4:])))
    elif found := _LINE.fullmatch(line):
        recorded.endings[int(found[2])] = cast("Ending", found[1]), now
        if found[1] != "ack":
            recorded.errors.append(line)
    else:
        recorded.errors.append(line)
