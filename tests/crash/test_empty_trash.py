"""What is left of a session in the trash when somebody is killed, and another one empties it."""

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from harness import BASE, NEVER_S, Clock, same_every_time
from pruning import FIRST, Pruner

from plainstate.engines.file.engine import FileEngine
from plainstate.session import Session
from plainstate.testing.crashfs import CrashFileSystem, PowerCut


def test_a_kill_leaves_nothing_of_a_session_in_an_empty_trash():
    """Neither while it came back, nor while the trash was being emptied."""
    for stop in (restore_one, empty_all):
        for call in itertools.count(1):
            with same_every_time():
                done, left = cut_off(stop, call)
            assert not left, (stop.__name__, call, left)
            if done:
                break


@pytest.mark.parametrize("stop", ["prune_all", "restore_one"])
def test_a_kill_leaves_no_past_under_the_other_name(stop: str):
    """From there, `undo` would bring back what the trash was emptied of."""
    for call in itertools.count(1):
        with same_every_time():
            done, left = cut_off(globals()[stop], call, everywhere=True)
        assert not left, (call, left)
        if done:
            break


def prune_all(pruner: Pruner) -> None:
    pruner.prune_sessions(keep_last=0)


def restore_one(pruner: Pruner) -> None:
    pruner.restore_session("1")


def empty_all(pruner: Pruner) -> None:
    pruner.empty_trash(older_than=timedelta(0))


def cut_off(
    stop: Callable[[Pruner], None], call: int, *, everywhere: bool = False
) -> tuple[bool, list[str]]:
    """Kills a process at a call; tells whether it ended before, and what another one leaves.

    With `everywhere`, the other one prunes again, and what it leaves elsewhere counts, too.
    """
    disk = CrashFileSystem()
    disk.make_folder("/data")
    clock = Clock()

    def opened(fs: CrashFileSystem) -> FileEngine:
        return FileEngine(
            BASE, fs=fs, clock_ns=clock, lock_timeout_s=0, history="keep", quiet_fold_s=NEVER_S
        )

    def step(*work: Callable[[Pruner], object]) -> None:
        engine = opened(disk.spawn())
        for one in work:
            one(Pruner(engine))
        engine.close()

    tree = {**Session.with_id("ada", "1").to_tree(), "metadata": {"is": "secret"}}
    made = [{"op": "add", "path": "", "value": tree}]
    step(lambda pruner: pruner._engine.append(FIRST, lambda _: made))
    if stop is not prune_all:
        step(prune_all)
    process = disk.spawn()
    engine = opened(process)
    process.crash_at(call)
    try:
        stop(Pruner(engine))
        done = True
    except PowerCut:
        done = False
    process.kill()
    if everywhere:
        step(prune_all)
    step(empty_all)
    step(empty_all)
    left = [path for path in disk.paths() if everywhere or "/trash/" in path]
    return done, [path for path in left if b"secret" in (disk.content(path) or b"")]
