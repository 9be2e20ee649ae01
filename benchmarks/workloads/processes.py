"""W3: 4 processes that append at once, each to 16 sessions in turn.  Bar 4.

*own*: each process has 16 sessions to itself.  *shared*: all append to the same 16.  In each round
a store gets an empty folder and four new processes; each opens it, appends one message to each of
its sessions and waits.  Then all append messages of 1,000 characters for some seconds, which are
counted: the figure is the time in which one append was acknowledged, whichever process made it.
Starting, opening and closing are not timed.

The sessions of plainstate begin with journals of different lengths, up to where they fold, so that
folds happen in the timed seconds as often as they do in the long run.  *plainstate, folding at
16 KiB* folds at that length of a journal instead of 256 KiB: 16 times as often, to see what that
does to appends, and that nothing is lost.  How often it folded stands in the counts.

Afterwards the sessions are read in one more process's place: what was acknowledged and is not
there is lost.  Whatever an append raised is an error.
"""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.bench import remove
from benchmarks.peers.base import PEERS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench, Turn

PROCESSES = 4
SESSIONS = 16
SECONDS = 1.5
OFTEN = "plainstate, folding at 16 KiB"
LEFT_OUT_OF_QUICK = ("limit again", "sqlite_normal")
OFTEN_BYTES = 16 * 1024


class Told(msgspec.Struct):
    """What a worker tells: appends that were acknowledged and not, errors, folds, seconds."""

    acknowledged: list[int]
    errors: list[str]
    folds: int
    took_s: float


def run(bench: Bench) -> None:
    """Measures."""
    seconds = 0.1 if bench.plan.small else 0.5 if bench.plan.quick else SECONDS
    left_out = LEFT_OUT_OF_QUICK if bench.plan.quick else ()
    if bench.plan.small:
        left_out = (*left_out, "plainstate", "sqlite_full")
    for sharing in ("shared",) if bench.plan.small else ("own", "shared"):
        for ending, names, rounds in bench.groups(6, 1):
            title = f"4 processes, {sharing} sessions{ending}"
            who = [name for name in names if name not in left_out] + [OFTEN] * (not ending)
            bench.compare(
                title,
                "an acknowledged append of whichever process: elapsed time over their number",
                {name: _turn(bench, title, name, sharing, seconds) for name in who},
                rounds,
                slow_s=math.inf,
            )


def _turn(bench: Bench, title: str, name: str, sharing: str, seconds: float) -> Turn:
    totals = {"acknowledged": 0.0, "lost": 0.0, "errors": 0.0, "folds": 0.0}

    def turn() -> list[float]:
        folder = bench.folder(f"{name}-{sharing}")
        peer = "plainstate" if name == OFTEN else name.removesuffix(" again")
        told = play(peer, folder, sharing, seconds, OFTEN_BYTES if name == OFTEN else 0)
        totals["acknowledged"] += sum(len(one.acknowledged) for one in told)
        totals["errors"] += sum(len(one.errors) for one in told)
        totals["folds"] += sum(one.folds for one in told)
        totals["lost"] += lost(peer, folder, sharing, told)
        for error in {error for one in told for error in one.errors}:
            bench.say(f"{title}: {name}: {error}")
        bench.count(title, "what became of the appends of all rounds", name, **totals)
        remove(folder)
        rate = sum(len(one.acknowledged) / one.took_s for one in told)
        return [1 / rate] if rate else []

    return turn


def play(peer: str, folder: Path, sharing: str, seconds: float, floor: int = 0) -> list[Told]:
    """Lets the processes append, at once."""
    PEERS[peer].open(folder).close()
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.workers", "race", peer]
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(
            [*command, str(folder), sharing, str(number), str(seconds), str(floor)],
            stdin=pipe,
            stdout=pipe,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    pipes = [(worker.stdin, worker.stdout) for worker in workers]
    for _, stdout in pipes:
        assert stdout is not None
        stdout.readline()
    for stdin, _ in pipes:
        assert stdin is not None
        stdin.write("go\n")
        stdin.flush()
    return [
        msgspec.json.decode(worker.communicate()[0].splitlines()[-1], type=Told)
        for worker in workers
    ]


def session_of(sharing: str, worker: int, number: int) -> str:
    """The session that a worker's message goes to."""
    owner = worker if sharing == "own" else 0
    return f"s-{owner}-{number % SESSIONS}"


def lost(peer: str, folder: Path, sharing: str, told: list[Told]) -> int:
    """How many acknowledged messages are not there."""
    store = PEERS[peer].open(folder)
    present: set[str] = set()
    for worker in range(PROCESSES if sharing == "own" else 1):
        for number in range(SESSIONS):
            for message in store.texts(session_of(sharing, worker, number)):
                present.add(message.partition(".")[0])
    store.close()
    return sum(
        f"{worker} {number}" not in present
        for worker, one in enumerate(told)
        for number in one.acknowledged
    )
