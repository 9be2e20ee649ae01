"""A handle that knew a document goes on with it after something went wrong in between.

Another process has changed the document since; then one system call fails, or the call is
interrupted, and the same handle has to find out by itself how far it came.
"""

import errno
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest
import scenarios
from explore import faults, judge
from harness import Run, Scenario, same_every_time
from scenarios import A, B

import plainstate
from plainstate.testing.crashfs import CrashFileSystem, PowerCut

Step = Callable[[Run], None]

PACKAGE = plainstate.__path__[0]
LOCKING = {
    "access.py",
    "engine.py",
    "turns.py",
    "entries.py",
    "locks.py",
    "locked.py",
    "holding.py",
}
"""Where locks are taken and given back.

Python may be interrupted between taking one and noting so: then it stays until the process ends.
"""

SAMPLES = 24
"""Interruptions of each scenario."""


# --- what another process does meanwhile ----------------------------------------------


def nothing(run: Run) -> None:
    del run


def append(run: Run) -> None:
    run.append(A, "theirs;")


def torn(run: Run) -> None:
    run.append(A, "theirs;")
    scenarios.tear(run)


def begin_anew(run: Run) -> None:
    """The journal is left with a head only, as behind a fold at the threshold."""
    run.replace(A, "theirs;")
    run.fold_floor(1)
    run.replace(A, "theirs again;")
    run.fold_floor(1 << 18)


def edit(run: Run) -> None:
    run.edit(A, "by hand")


def begin_anew_and_edit(run: Run) -> None:
    begin_anew(run)
    edit(run)


def delete(run: Run) -> None:
    run.delete(A)


def killed_fold(run: Run) -> None:
    process = run.disk.spawn()
    engine = run.open_engine(process)
    process.crash_at(9)
    with pytest.raises(PowerCut):
        engine.checkpoint()
    process.kill()


CHANGES = [nothing, append, torn, begin_anew, edit, begin_anew_and_edit, delete, killed_fold]


# --- what goes wrong ------------------------------------------------------------------


def own_append(run: Run) -> None:
    run.append(A, "own;")


def own_replace(run: Run) -> None:
    run.replace(A, "own;")


def own_replace_with_id(run: Run) -> None:
    run.replace(A, "own;", with_id=True)


def own_delete(run: Run) -> None:
    run.delete(A)


def own_rename(run: Run) -> None:
    run.rename(A, B)


def own_checkpoint(run: Run) -> None:
    run.checkpoint()


OWN = [own_append, own_replace, own_replace_with_id, own_delete, own_rename, own_checkpoint]


def meanwhile(change: Step, own: Step) -> Scenario:
    """`change` by another process, behind the back of a handle that then does `own`."""

    def scenario(run: Run) -> None:
        run.append(A, "one;")
        run.checkpoint()
        run.append(A, "two;")
        run.look(A, by="a")
        run.look(B, by="a")
        with another_process(run):
            change(run)
        assert not run.said
        run.begin()
        own(run)

    scenario.__name__ = f"{change.__name__}, {own.__name__}"
    return scenario


@contextmanager
def another_process(run: Run) -> Iterator[None]:
    """What is done inside is done by a process that ends without closing its handle."""
    handle, process = run.engine("a"), run.disk.spawn()
    run.use("a", run.open_engine(process))
    yield
    process.kill()
    run.use("a", handle)


pairs = pytest.mark.parametrize(
    "scenario",
    [
        meanwhile(change, own)
        for change, own in itertools.product(CHANGES, OWN)
        if (change, own) != (delete, own_rename)  # there is nothing to rename
    ],
    ids=lambda scenario: scenario.__name__,
)


@pairs
def test_one_fault(scenario):
    count = 0
    for run in faults(scenario, errno.ENOSPC):
        judge(run, run.disk, scenario, use=run.engine("a"))
        count += 1
    assert count or scenario.__name__ == "delete, own_delete"


@pairs
def test_interruption(scenario):
    points = measure(scenario)
    went_on = 0
    errors = itertools.cycle([KeyboardInterrupt, MemoryError])
    for point, error in zip(range(1, points, -(-points // SAMPLES)), errors, strict=False):
        disk = CrashFileSystem()
        run, tracer = Run(disk), Interruption(error, point)
        run.begun = tracer.start
        with same_every_time():
            try:
                scenario(run)
            except error:
                run.said.append(f"{error.__name__} in {tracer.place}")
            finally:
                sys.settrace(None)
        if keeps_a_lock(run):
            assert tracer.module in LOCKING, tracer.place
            disk.kill()
            judge(run, disk.spawn(), scenario)
        else:
            for path in filter(is_temporary, disk.paths()):
                disk.unlink(path)  # an interruption may leave one, as a kill does
            judge(run, disk, scenario, use=run.engine("a"))
            went_on += bool(run.said)
    assert went_on


def is_temporary(path: str) -> bool:
    return "/.tmp-" in path


def keeps_a_lock(run: Run) -> bool:
    entries = run.engine("a")._access.entries._entries.values()
    return any(entry.users or entry.lock._mutex.locked() for entry in entries)


def measure(scenario: Scenario) -> int:
    """How many points there are at which the scenario can be interrupted."""
    tracer = Interruption(KeyboardInterrupt, at=0)
    run = Run(CrashFileSystem())
    run.begun = tracer.start
    with same_every_time():
        try:
            scenario(run)
        finally:
            sys.settrace(None)
    return tracer.points


class Interruption:
    """Raises an error at the `at`-th call of a function of the package.

    Python looks for signals there; amid a line it would not, where a `with` ends for example.
    """

    def __init__(self, error: type[BaseException], at: int) -> None:
        self.error = error
        self.points = 0
        self.module = self.place = ""
        self._at = at

    def start(self) -> None:
        sys.settrace(self)

    def __call__(self, frame: FrameType, *_: object) -> None:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE) or "testing" in code.co_filename:
            return
        if code.co_name == "<genexpr>":
            return  # one that is abandoned is called once more, where no error can come out
        self.points += 1
        if self.points == self._at:
            sys.settrace(None)
            self.module = code.co_filename.rpartition("/")[2]
            self.place = f"{code.co_name}, {code.co_filename}:{frame.f_lineno}"
            raise self.error
