"""Real processes that write one store: starting, ordering about, killing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = Path(__file__).with_name("workers.py")


class Worker:
    """One process at one task of `workers.py`; ready to take orders once it is made."""

    def __init__(self, task: str, store: object, *arguments: object, fold_floor: int = 0) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        if fold_floor:
            environment["FOLD_FLOOR_BYTES"] = str(fold_floor)
        self.process = subprocess.Popen(
            [sys.executable, str(WORKERS), task, str(store), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def order(self, what: Any = None) -> None:
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the worker ended with code {self.process.wait()}")
        return json.loads(line)

    def finish(self) -> list[Any]:
        """No more orders: takes the answers that are left, and sees it end well."""
        self.process.stdin.close()
        answers = [json.loads(line) for line in self.process.stdout]
        assert self.process.wait() == 0
        return answers

    def kill(self) -> list[Any]:
        """Kills it for good; returns what it had said.  A line cut off was not said."""
        self.process.kill()
        self.process.wait()
        said = self.process.stdout.read().split(b"\n")[:-1]
        return [json.loads(line) for line in said]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            os.waitpid(self.process.pid, os.WUNTRACED)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # an order that a killed worker never read


class Crew:
    """The workers of one test; whoever is left at its end is killed."""

    def __init__(self, store: object, fold_floor: int) -> None:
        self._store = store
        self._fold_floor = fold_floor
        self._workers: list[Worker] = []

    def hire(self, task: str, *arguments: object) -> Worker:
        """A worker that is starting; its first answer is "ready"."""
        worker = Worker(task, self._store, *arguments, fold_floor=self._fold_floor)
        self._workers.append(worker)
        return worker

    def ready(self, *tasks: tuple[object, ...]) -> list[Worker]:
        """Workers that wait for their orders."""
        workers = [self.hire(*map(str, task)) for task in tasks]
        for worker in workers:
            assert worker.answer() == "ready"
        return workers

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.close()


@contextmanager
def crew_on(store: object, *, fold_floor: int = 0) -> Iterator[Crew]:
    """A crew for a store; with `fold_floor`, journals fold beyond so many bytes."""
    crew = Crew(store, fold_floor)
    try:
        yield crew
    finally:
        crew.dismiss()
