"""Running the writer, the recovery and the checker as processes of their own."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from proof.powercut.disk import ROOT
from proof.powercut.history import Case, Ending, Seen, Step, read_operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from proof.powercut.history import Operation

__all__ = ["Recorded", "Verdict", "check", "fill", "filler_of", "record", "recover", "set_up"]

_STORE: Final = "store"
"""Folder of the store in the file system."""

_LINE: Final = re.compile(r"(ack|failed|unknown) (\S+)(.*)")
_CHECK_TIMEOUT_S: Final = 120
_RECOVERY_TIMEOUT_S: Final = 60
_DRAIN_TIMEOUT_S: Final = 10
_LARGEST_PART_BYTES: Final = 16 << 20
_SMALLEST_PART_BYTES: Final = 4096


class Verdict(NamedTuple):
    """What a check said.

    Attributes:
        word: "ok"; "violation"; or "broken": the check itself did not work.
        reason: in one line.
    """

    word: Literal["ok", "violation", "broken"]
    reason: str = ""


class Recorded:
    """What a writer did.

    Args:
        keep: whether its store keeps its history.
        sabotage: what is broken in the checker's store, too.

    Attributes:
        operations: in order.
        endings: by number of the operation: how it ended, and the position of the disk's log
            when that was read.  That is never before the writer said it, so a check is never
            too strict.
        errors: what it reported.
        cursor: the end of the feed before the run.
        known: the versions at that moment.
        seen: what the follower was told.
    """

    def __init__(self, *, keep: bool, sabotage: str = "") -> None:
        self.keep = keep
        self.sabotage = sabotage
        self.operations: list[Operation] = []
        self.endings: dict[int, tuple[Ending, int]] = {}
        self.errors: list[str] = []
        self.cursor = ""
        self.known: Seen = {}
        self.seen: Seen = {}

    def case(self, point: int) -> Case:
        """What a cut before record `point` must keep."""
        steps = []
        for operation in self.operations:
            ending, position = self.endings.get(operation.number, ("none", point + 1))
            steps.append(Step(operation, ending, position <= point))
        return Case(steps, self.keep, self.cursor, self.known, self.seen, self.sabotage)

    def positions(self) -> list[int]:
        """Where in the log acknowledgements were read, in order."""
        found = [position for ending, position in self.endings.values() if ending == "ack"]
        if found != sorted(found):
            raise AssertionError("positions run backwards")
        return found

    def positions_by_action(self) -> list[list[int]]:
        """The same for each action that was acknowledged."""
        found: dict[str, list[int]] = {}
        for operation in self.operations:
            ending, position = self.endings.get(operation.number, ("none", 0))
            if ending == "ack":
                found.setdefault(operation.action, []).append(position)
        return list(found.values())

    def note(self, line: str, position: int) -> None:
        """Takes in a line of the writer."""
        word, _, rest = line.partition(" ")
        if word == "try":
            self.operations.append(read_operation(json.loads(rest)))
        elif word == "seen":
            place, version = json.loads(rest)
            self.seen.setdefault(place, []).append(version)
        elif word == "cursor":
            self.cursor, self.known, self.seen = rest, self.seen, {}
        elif found := _LINE.fullmatch(line):
            self.endings[int(found[2])] = cast("Ending", found[1]), position
            if found[1] != "ack":
                self.errors.append(line)
        else:
            self.errors.append(line)


def filler_of(base: str) -> str:
    """The file that makes the file system of a store full."""
    return os.path.join(os.path.dirname(base), "filler")


def fill(mount_point: str, room: int) -> None:
    """Takes all space of a file system but `room` bytes."""
    filler = os.open(filler_of(_base(mount_point)), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    size, part = 0, _LARGEST_PART_BYTES
    while part >= _SMALLEST_PART_BYTES:
        try:
            os.posix_fallocate(filler, size, part)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            part //= 2
        else:
            size += part
    os.ftruncate(filler, max(size - room, 0))
    os.close(filler)


def set_up(mount_point: str, recorded: Recorded) -> None:
    """Makes the store that a run begins with."""
    full = _command("writer", mount_point, _history(recorded), "setup")
    done = subprocess.run(full, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    for line in done.stdout.splitlines():
        recorded.note(line, 0)


def record(
    mount_point: str,
    recorded: Recorded,
    arguments: list[str],
    seconds: float,
    position: Callable[[], int],
) -> None:
    """Runs a writer for a while and then kills it, unless it has ended by then.

    At half time a file system that was full is not so any more.

    Raises:
        RuntimeError: it ended with an error.
    """
    full = _command("writer", mount_point, _history(recorded), "run", *arguments)
    writer = subprocess.Popen(full, stdout=subprocess.PIPE, cwd=ROOT)
    reader = threading.Thread(target=_read, args=(writer, recorded, position), daemon=True)
    reader.start()
    _wait(writer, seconds / 2)
    with suppress(OSError):  # there is none, or the file system has failed
        os.unlink(filler_of(_base(mount_point)))
    _wait(writer, seconds / 2)
    writer.kill()
    writer.wait()
    reader.join(_DRAIN_TIMEOUT_S)
    if writer.returncode == -signal.SIGBUS:  # see the limits in `proof/README.md`
        recorded.errors.append("trouble: the writer was ended by SIGBUS")
    elif writer.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the writer failed, with status {writer.returncode}")


def recover(mount_point: str, case_path: str, seed: str) -> Verdict:
    """Runs the recovery."""
    full = _command("recover", mount_point, case_path, seed)
    return _judged(full, _RECOVERY_TIMEOUT_S)


def check(mount_point: str, case_path: str) -> Verdict:
    """Runs the checker."""
    return _judged(_command("checker", mount_point, case_path), _CHECK_TIMEOUT_S)


def _command(module: str, mount_point: str, *arguments: str) -> list[str]:
    """The command of a program of this package."""
    return [sys.executable, "-m", f"proof.powercut.{module}", _base(mount_point), *arguments]


def _base(mount_point: str) -> str:
    return os.path.join(mount_point, _STORE)


def _history(recorded: Recorded) -> str:
    return "keep" if recorded.keep else "none"


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _judged(command: list[str], timeout_s: float) -> Verdict:
    """Runs a program that prints which promise is broken."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=timeout_s
        )
    except subprocess.TimeoutExpired:
        return Verdict("broken", f"{command[2]} took too long")
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
                recorded.note(line.decode(), now)
