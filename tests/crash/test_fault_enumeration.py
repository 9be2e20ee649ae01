"""One system call fails, for every call; or everything fails from one call on."""

import errno
from contextlib import closing
from itertools import islice

import pytest
import scenarios
from explore import faults, judge, kills
from harness import same_every_time
from scenarios import SCENARIOS

from plainstate.testing.faultfs import FaultyFileSystem

CREATING = {"create", "open_lock", "make_folder"}
WRITING = {"write", "sync", "sync_folder", "rename", "unlink", "truncate"}
OPENING = {"open_read", "open_append", "create", "open_lock", "sync_folder", "list_folder"}

LONG = [
    scenarios.fold_at_threshold,
    scenarios.replace_existing,
    scenarios.delete_and_recreate,
    scenarios.rename_to_other_folder,
    scenarios.torn_tail,
    scenarios.edit_while_waiting,
    scenarios.history_of_saves,
    scenarios.bounded_history,
    scenarios.history_of_a_renamed_document,
    scenarios.prune_two,
    scenarios.restore_pruned,
    scenarios.empty_trash,
]

ids = {"ids": lambda scenario: scenario.__name__}


def every_fault(scenario, number, methods=None, **options):
    count = 0
    for run in faults(scenario, number, methods, **options):
        run.disk.kill()
        judge(run, run.disk.spawn(), scenario)
        count += 1
    assert count


@pytest.mark.parametrize("scenario", SCENARIOS, **ids)
def test_io_error(scenario):
    every_fault(scenario, errno.EIO)


@pytest.mark.parametrize("scenario", SCENARIOS, **ids)
def test_io_error_and_the_same_process_goes_on(scenario):
    for run in faults(scenario, errno.EIO):
        judge(run, run.disk, scenario, use=run.engine("a"))


@pytest.mark.parametrize("scenario", SCENARIOS, **ids)
def test_failed_sync_that_saved_everything(scenario):
    every_fault(scenario, errno.EIO, {"sync"}, lost=False)


@pytest.mark.parametrize("scenario", SCENARIOS, **ids)
def test_failed_sync_then_power_cut(scenario):
    for run in faults(scenario, errno.EIO, {"sync", "sync_folder"}):
        run.feed_lost = True
        for image in run.disk.images(8):
            judge(run.copy(image), image, scenario)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("scenario", LONG, **ids)
def test_disk_or_quota_gets_full(scenario, number):
    every_fault(scenario, number, CREATING | {"write", "sync", "rename"}, short=True)
    every_fault(scenario, number, CREATING | {"write"}, short=True, times=1_000)


@pytest.mark.parametrize("room", range(10))
@pytest.mark.parametrize("scenario", [scenarios.appends, scenarios.delete], **ids)
def test_who_only_reads_beside_a_dead_writer_needs_no_space(scenario, room):
    """It tidies up as far as it can: everything is read, and closing raises nothing."""
    for run in islice(kills(scenario), 0, None, 3):
        with same_every_time():
            reader = run.open_engine(run.disk.spawn())
            found = {name: reader.read(name) for name in run.documents}
            full = FaultyFileSystem(run.disk.spawn())
            full.fail(errno.ENOSPC, CREATING | {"write"}, at=1 + room, times=1_000)
            with closing(run.open_engine(full)) as engine:
                engine.changes(None, limit=50, for_index=True)
                assert {name: engine.read(name) for name in found} == found


@pytest.mark.parametrize("scenario", LONG, **ids)
def test_disk_fails_for_good(scenario):
    every_fault(scenario, errno.EIO, times=1_000)


@pytest.mark.parametrize("scenario", LONG, **ids)
def test_a_rename_fails_and_the_removal_of_its_temporary_file(scenario):
    """The handle removes that file when it is closed."""
    for run in faults(scenario, errno.EIO, {"rename", "unlink"}, times=2):
        judge(run, run.disk, scenario, use=run.engine("a"))


@pytest.mark.parametrize("scenario", LONG, **ids)
def test_too_many_open_files(scenario):
    every_fault(scenario, errno.EMFILE, OPENING)


@pytest.mark.parametrize("scenario", LONG, **ids)
def test_no_permission(scenario):
    every_fault(scenario, errno.EACCES, OPENING | {"rename", "unlink", "make_folder", "stat"})


@pytest.mark.parametrize("scenario", LONG, **ids)
def test_file_system_becomes_read_only(scenario):
    methods = CREATING | WRITING | {"open_append"}
    every_fault(scenario, errno.EROFS, methods)
    every_fault(scenario, errno.EROFS, methods, times=1_000)


@pytest.mark.parametrize("scenario", SCENARIOS, **ids)
def test_short_writes(scenario):
    every_fault(scenario, 0, {"write"}, short=True)
