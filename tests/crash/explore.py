"""Stops a scenario at every call, in every way, and judges what is left."""

from collections.abc import Iterator

from harness import Run, Scenario, Violation, canonical_state, check, same_every_time

from plainstate.testing.crashfs import CrashFileSystem, PowerCut


def cuts(scenario: Scenario, *, written: float = 0.0) -> Iterator[Run]:
    """The scenario cut off before each of its calls that change something, and after the last."""
    call = None
    while True:
        run = Run(CrashFileSystem())
        if call is not None:
            run.disk.crash_at(call, written=written)
        with same_every_time():
            try:
                scenario(run)
                finished = True
            except PowerCut:
                finished = False
            if call is None:  # the first run only counts
                call = run.first_call
                continue
            yield run
        if finished:
            return
        call += 1


def power_cuts(scenario: Scenario, *, limit: int = 48) -> Iterator[tuple[Run, CrashFileSystem]]:
    """Every state that a power cut can leave, with what was known at that moment."""
    seen = set()
    for run in cuts(scenario):
        known = tuple(map(canonical_state, run.possible)), frozenset(run.acknowledged)
        for image in run.disk.images(limit):
            key = image.fingerprint(), known
            if key not in seen:
                seen.add(key)
                yield run.copy(image), image


def judge(run: Run, fs: CrashFileSystem, scenario: Scenario) -> None:
    try:
        with same_every_time():
            check(run, fs)
    except Violation as violation:
        raise Violation(f"{scenario.__name__}: {violation}\n{listing(fs)}") from violation


def listing(fs: CrashFileSystem) -> str:
    """The files as they are now, for the message of a failed test."""
    shown = [(path, fs.content(path)) for path in fs.paths()]
    lines = (f"{path}: {data!r}" for path, data in shown if data is not None)
    return "\n".join(lines).replace("\\x00", "")
