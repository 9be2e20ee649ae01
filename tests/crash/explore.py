"""Stops a scenario at every call, in every way, and judges what is left."""

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any
from unittest.mock import patch

from harness import (
    BROKEN,
    Run,
    Scenario,
    Violation,
    canonical_state,
    check,
    go_on,
    narrow,
    patching,
    plain_path,
    same_every_time,
)
from scenarios import A

from plainstate.engines.file.engine import FileEngine
from plainstate.engines.file.history import History
from plainstate.errors import EditConflictError, NotFoundError
from plainstate.testing.crashfs import CrashFileSystem, PowerCut, fingerprint
from plainstate.testing.faultfs import METHODS, FaultyFileSystem


def power_cuts(scenario: Scenario, *, limit: int = 48) -> Iterator[tuple[Run, CrashFileSystem]]:
    """Every state that a power cut can leave, with what was known at that moment."""
    return _images(_cuts(scenario), limit)


def cuts_in_recovery(
    run: Run, image: CrashFileSystem, *, limit: int
) -> Iterator[tuple[Run, CrashFileSystem]]:
    """What a second power cut can leave while `check` recovers `image`."""
    (copy,) = image.images()

    def recover(second: Run) -> None:
        check(second, second.disk)

    def start() -> Run:
        (disk,) = copy.images()
        return run.copy(disk)

    return _images(_cuts(recover, start), limit)


def edits_before_recovery(
    scenario: Scenario, *, limit: int
) -> Iterator[tuple[Run, CrashFileSystem]]:
    """A person edits what a power cut left, before any process looks after it.

    Where the edit does not provably fit, the engine says so, and there is nothing to judge.
    """
    for run, image in power_cuts(scenario, limit=limit):
        with same_every_time():
            reader = run.open_engine(image)
            found = [name for name in run.documents if reader.read(name) is not None]
            found = [name for name in found if image.content(plain_path(name)) is not None]
            if not found or "edit" in scenario.__name__:
                continue
            narrow(run, reader)
            run.found({name: reader.read(name) for name in run.documents})
            for document in found:
                run.edit(document, "after the crash")
            try:
                for document in found:
                    reader.read(document)
            except EditConflictError:
                continue
        yield run, image


def kills(scenario: Scenario) -> Iterator[Run]:
    """The process killed before each call, and amid each write."""
    for written in (0.0, 0.5, 0.99):
        for run in _cuts(scenario, written=written):
            if written == 0 or run.disk.last_change == "write":
                run.disk.kill()
                yield run


def kills_then_power_cuts(
    scenario: Scenario, *, limit: int
) -> Iterator[tuple[Run, CrashFileSystem]]:
    """The process killed; another one goes on from what it sees; then a power cut."""

    def start() -> Run:
        disk = CrashFileSystem()
        disk.make_folder("/data")
        disk.sync_folder("/")
        return Run(disk)

    for run in _cuts(scenario, start):
        run.disk.kill()
        later = run.copy(run.disk.spawn())
        with same_every_time():
            go_on(later)
        later.feed_lost = True
        for image in later.disk.images(limit):
            yield later.copy(image), image


def kills_beside_neighbour(
    scenario: Scenario,
) -> Iterator[tuple[Run, FileEngine, CrashFileSystem]]:
    """The same, with another process that looked at the documents when the scenario began."""

    def start() -> Run:
        run = Run(CrashFileSystem())
        process = run.disk.spawn()

        def look() -> None:
            neighbour = run.open_engine(process)
            run.use("neighbour", neighbour)
            for document in list(run.documents) or [A]:
                run.look(document, by="neighbour")
            neighbours.append((neighbour, process))

        run.begun = look
        return run

    neighbours: list[tuple[FileEngine, CrashFileSystem]] = []
    for run in _cuts(scenario, start):
        run.disk.kill()
        if neighbours:
            yield run, *neighbours[-1]
            neighbours.clear()


def faults(
    scenario: Scenario, number: int, methods: Collection[str] | None = None, **options: Any
) -> Iterator[Run]:
    """The scenario with its n-th call failing, for every n; then nothing fails any more.

    What an operation raises must tell the truth about what it did; that the others
    go on is part of the scenario.
    """
    for at in itertools.count(1):
        disk = CrashFileSystem()
        fs = FaultyFileSystem(disk)
        run = Run(disk, fs=fs, tolerant=True)

        def begin(fs: FaultyFileSystem = fs, at: int = at) -> None:
            fs.fail(number, METHODS if methods is None else methods, at=at, **options)

        run.begun = begin
        try:
            with same_every_time():
                scenario(run)
        except BROKEN as error:
            raise Violation(f"{scenario.__name__}: fault {at}: {error!r}") from error
        if fs.calls < at:
            return
        fs.heal()
        run.said.insert(0, f"failed: call {at}, {fs.failed[0]}")
        yield run


def judge(run: Run, fs: CrashFileSystem, scenario: Scenario, **options: Any) -> None:
    """As `check`; a violation names the scenario and shows the files."""
    try:
        with same_every_time():
            check(run, fs, **options)
    except Violation as violation:
        said = "\n".join(run.said)
        raise Violation(f"{scenario.__name__}: {violation}\n{said}\n{_listing(fs)}") from violation


def go_on_without_history(run: Run, fs: CrashFileSystem) -> None:
    """A program without history takes the numbers over: the history must not know them."""
    with same_every_time(), patch.object(History, "wanted", new=False):
        run.options = {}
        engine = run.open_engine(fs)
        first = engine.read(A)
        number = 0 if first is None else first.seq
        for text in ("x;", "y;", "z;"):
            engine.append(A, patching(A, (text,)))
        engine.close()
        engine = run.open_engine(fs)
        newest = engine.read(A)
        for at in (number + 1, number + 2):
            try:
                state = engine.read(A, at=at)
            except NotFoundError:
                continue
            if state is None or state.value["items"] != newest.value["items"][: at - newest.seq]:
                raise Violation(f"{A} at {at} is {state}, of {newest}")
        engine.close()


def _cuts(
    scenario: Scenario, start: Callable[[], Run] | None = None, *, written: float = 0.0
) -> Iterator[Run]:
    """The scenario cut off before each of its calls that change something, and after the last."""
    call = 0
    finished = False
    while not finished:
        run = start() if start else Run(CrashFileSystem())
        if call:
            run.disk.crash_at(call, written=written)
        with same_every_time():
            try:
                scenario(run)
                finished = call > 0
            except PowerCut:
                pass
            except BROKEN as error:
                raise Violation(f"{scenario.__name__}: {error!r}") from error
        if call:
            yield run
        # the first run was whole: it told where the scenario begins
        call = call + 1 if call else run.first_call


def _images(runs: Iterator[Run], limit: int) -> Iterator[tuple[Run, CrashFileSystem]]:
    """What power cuts leave of these runs; each state once for the same knowledge."""
    seen = set()
    for run in runs:
        known = tuple(map(canonical_state, run.possible)), frozenset(run.acknowledged)
        for image in run.disk.images(limit):
            key = fingerprint(image), known
            if key not in seen:
                seen.add(key)
                copy = run.copy(image)
                copy.feed_lost = True
                yield copy, image


def _listing(fs: CrashFileSystem) -> str:
    """The files as they are now."""
    shown = [(path, fs.content(path)) for path in fs.paths()]
    lines = (f"{path}: {data!r}" for path, data in shown if data is not None)
    return "\n".join(lines).replace("\\x00", "")
