"""What a crash leaves is no damage: a check tells nothing worse than a note of it."""

import pytest
import scenarios
from explore import kills, power_cuts
from harness import BASE
from scenarios import SCENARIOS

from plainstate.engines.file.checking import check
from plainstate.engines.file.disk import Disk
from plainstate.types import Finding

BY_HAND = {"edited", "head-orphaned"}

LOST = {"feed-damaged"}
"""A power cut takes any part of lines that nobody has synced."""

RENAMES = [
    scenarios.rename,
    scenarios.rename_to_other_folder,
    scenarios.history_of_a_moved_document,
    scenarios.prune_two,
    scenarios.restore_pruned,
]

every = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
renames = pytest.mark.parametrize("scenario", RENAMES, ids=lambda one: one.__name__)


def findings(disk) -> list[Finding]:
    return [one for one in check(Disk(disk, BASE, "checks")) if isinstance(one, Finding)]


def alarms(disk) -> set[str]:
    return {one.code for one in findings(disk) if one.severity != "note"}


@every
def test_after_a_power_cut(scenario):
    for run, image in power_cuts(scenario, limit=12):
        assert alarms(image) <= LOST, "\n".join(run.said)


@every
def test_after_a_kill(scenario):
    for run in kills(scenario):
        assert alarms(run.disk.spawn()) == set(), "\n".join(run.said)


@renames
def test_a_rename_that_was_cut_off_is_not_taken_for_an_edit_by_hand(scenario):
    told = set()
    for run in kills(scenario):
        codes = {one.code for one in findings(run.disk.spawn())}
        assert not codes & BY_HAND, "\n".join(run.said)
        told |= codes
    assert "cut-off" in told
