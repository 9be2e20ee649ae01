"""Starts writers and followers, kills some at random moments, and lets the others end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import Final

from msgspec import Struct

from proof.follow.judge import Verdict, judge

__all__ = ["Options", "run"]

_ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_KILLED: Final = -9
_PATIENCE_S: Final = 120


class Options(Struct, frozen=True):
    """What to do.

    Attributes:
        folder: where to; holds the store and the logs afterwards.
        seconds: how long to write; with kills, until all of them are done.
        writers, followers: how many processes.
        kills: how many of them to kill, each replaced at once.
        seed: of the chances.
    """

    folder: str
    seconds: float = 3
    writers: int = 4
    followers: int = 2
    kills: int = 0
    seed: str = "1"


class _Worker:
    """A place among the workers; who is killed is replaced."""

    def __init__(self, options: Options, role: str, number: int) -> None:
        self.role = role
        self._options = options
        self._number = number
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        # a follower goes on with its log, a writer has a new name, and so new transaction ids
        life = 0 if self.role == "follow" else self._lives
        kind = "follow" if self.role == "follow" else "write"
        name = f"{kind}-{self._number}-{life}"
        store, log = f"{self._options.folder}/store", f"{self._options.folder}/logs/{name}.log"
        path = os.pathsep.join([_ROOT, f"{_ROOT}/src", *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proof.follow.workers", self.role, store, log, name],
            env={**os.environ, "PYTHONPATH": path},
            cwd=_ROOT,
        )


def run(options: Options) -> Verdict:
    """Runs a campaign; the verdict names every promise that was broken."""
    os.makedirs(f"{options.folder}/logs")
    chance = random.Random(options.seed)
    movers = options.writers // 4
    roles = ["move"] * movers + ["write"] * (options.writers - movers)
    roles += ["follow"] * options.followers
    workers = [_Worker(options, role, number) for number, role in enumerate(roles)]
    problems = []
    try:
        end = time.monotonic() + options.seconds
        for _ in range(options.kills):
            time.sleep(chance.expovariate(8))
            victim = chance.choice(workers)
            victim.process.kill()
            if victim.process.wait() != _KILLED:
                problems.append(f"a {victim.role} process ended by itself")
            victim.start()
        while time.monotonic() < end:
            time.sleep(0.05)
        for stop, stopped in (("write", {"write", "move"}), ("follow", {"follow"})):
            os.close(os.open(f"{options.folder}/logs/stop-{stop}", os.O_CREAT | os.O_WRONLY))
            problems += [
                f"a {worker.role} process ended with code {code}"
                for worker in workers
                if worker.role in stopped and (code := worker.process.wait(_PATIENCE_S))
            ]
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
    verdict = judge(f"{options.folder}/store", f"{options.folder}/logs", strict=not options.kills)
    verdict.problems = problems + verdict.problems
    return verdict
