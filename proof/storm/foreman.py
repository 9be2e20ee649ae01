"""Starts the workers, stops some for a moment, kills some, and replaces them at once.

It is a process of its own, with a single thread, so that it can fork: a new worker is at work
after milliseconds, and most kills hit somebody who writes.

    python -m proof.storm.foreman OPTIONS

The options are JSON, as `campaign.Options`.  What it knows at the end is written to
`logs/foreman.json`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from typing import Final

import msgspec
from msgspec import Struct

from proof.storm.workers import STOP, Job, work

__all__ = ["Options", "Told"]

_PATIENCE_S: Final = 120
_STOPS: Final = 0.3
"""Stopped processes for each killed one."""


class Options(Struct, frozen=True):
    """What to do.

    Attributes:
        folder: where to; holds the store and the logs afterwards.
        seconds: how long; with kills, until all of them are done.
        writers: how many processes.
        kills: how many of them to kill, each replaced at once.
        seed: of the chances.
        sabotage: what is broken in every worker, "" for nothing.
    """

    folder: str
    seconds: float = 60
    writers: int = 8
    kills: int = 200
    seed: str = "1"
    sabotage: str = ""


class Told(Struct):
    """What the foreman knows at the end.

    Attributes:
        dead_at: when each process was known to be dead, in nanoseconds of CLOCK_MONOTONIC.
        kills: how many were killed.
        stops: how many were stopped for a moment.
        problems: processes that ended by themselves, or did not end.
    """

    dead_at: dict[str, int] = {}
    kills: int = 0
    stops: int = 0
    problems: list[str] = []


class _Place:
    """A place among the workers; who is killed is replaced."""

    def __init__(self, options: Options, number: int) -> None:
        self._options = options
        self._number = number
        self._lives = 0
        self.name = ""
        self.wakes_at = 0.0
        self.start()

    def start(self) -> None:
        self._lives += 1
        before, self.name = self.name, f"w{self._number}.{self._lives}"
        options = self._options
        job = Job(
            folder=options.folder,
            name=self.name,
            before=before,
            number=self._number,
            foreman=os.getpid(),
            seed=options.seed,
            sabotage=options.sabotage,
        )
        self.wakes_at = 0.0
        self.process = os.fork()
        if not self.process:
            code = 70
            try:
                code = work(job)
            finally:
                os._exit(code)

    def signal(self, number: int) -> None:
        os.kill(self.process, number)

    def wait(self, patience_s: float | None = None) -> int | None:
        """The exit code; `None` if it is still there."""
        deadline = None if patience_s is None else time.monotonic() + patience_s
        while True:
            found, status = os.waitpid(self.process, 0 if deadline is None else os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if deadline is not None and time.monotonic() > deadline:
                return None
            time.sleep(0.005)


def run(options: Options) -> Told:
    """Lets the storm rage."""
    told = Told()
    chance = random.Random(options.seed)
    places = [_Place(options, number) for number in range(options.writers)]
    try:
        end = time.monotonic() + options.seconds
        while told.kills < options.kills or time.monotonic() < end:
            _pause(places, chance.expovariate(options.kills / options.seconds or 1))
            if chance.random() < _STOPS:
                _stop(chance.choice(places), chance.uniform(0, 0.2))
                told.stops += 1
            if told.kills < options.kills:
                _kill(chance.choice(places), told)
        _pause(places, max(one.wakes_at for one in places) - time.monotonic())
        os.close(os.open(f"{options.folder}/logs/{STOP}", os.O_CREAT | os.O_WRONLY))
        for place in places:
            code = place.wait(_PATIENCE_S)
            told.dead_at[place.name] = time.monotonic_ns()
            if code is None:
                told.problems.append(f"{place.name} did not end")
            elif code:
                told.problems.append(f"{place.name} ended with code {code}")
    finally:
        for place in places:
            try:
                place.signal(signal.SIGKILL)
                place.wait()
            except (ProcessLookupError, ChildProcessError):
                continue
    return told


def _pause(places: list[_Place], seconds: float) -> None:
    """Waits, and wakes who was stopped when it is time."""
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end or any(0 < one.wakes_at <= now for one in places):
        for place in places:
            if 0 < place.wakes_at <= now:
                place.signal(signal.SIGCONT)
                place.wakes_at = 0.0
        next_wake = min((one.wakes_at for one in places if one.wakes_at), default=end)
        time.sleep(max(0.0, min(end, next_wake) - time.monotonic()))


def _stop(place: _Place, seconds: float) -> None:
    place.signal(signal.SIGSTOP)
    place.wakes_at = time.monotonic() + seconds


def _kill(place: _Place, told: Told) -> None:
    place.signal(signal.SIGKILL)
    code = place.wait()
    told.dead_at[place.name] = time.monotonic_ns()
    told.kills += 1
    if code != -signal.SIGKILL:
        told.problems.append(f"{place.name} ended by itself, with code {code}")
    place.start()


def main() -> None:
    """Does what the options say."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    told = run(options)
    with open(f"{options.folder}/logs/foreman.json", "wb") as file:
        file.write(msgspec.json.encode(told))


if __name__ == "__main__":
    main()
