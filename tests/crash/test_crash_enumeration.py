"""A power cut at every call of every scenario, in every state that it can leave."""

from itertools import islice

import pytest
import scenarios
from explore import (
    cuts_in_recovery,
    edits_before_recovery,
    go_on_without_history,
    judge,
    power_cuts,
)
from harness import mute_feed
from scenarios import SCENARIOS


@pytest.fixture(autouse=True)
def _without_feed(monkeypatch):
    """Its unsynced lines would crowd out what else a power cut can leave; see `test_feed.py`."""
    mute_feed(monkeypatch)


INTERRUPTED = [
    scenarios.fold_at_threshold,
    scenarios.replace_existing,
    scenarios.delete,
    scenarios.rename,
    scenarios.torn_tail,
    scenarios.edit_while_waiting,
    scenarios.history_of_edits,
    scenarios.history_of_a_renamed_document,
]
"""Those whose recovery has most to do."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_power_cut(scenario):
    count = 0
    for run, image in power_cuts(scenario):
        judge(run, image, scenario)
        count += 1
    assert count


UNSYNCED = [scenarios.unsynced, scenarios.history_of_unsynced_appends]


def test_unsynced_lines_behind_a_replacement():
    for run, image in power_cuts(scenarios.replace_and_go_on_unsynced, limit=400):
        judge(run, image, scenarios.replace_and_go_on_unsynced)


@pytest.mark.parametrize("scenario", UNSYNCED)
def test_power_cut_loses_the_newest_unsynced_writes_only(scenario):
    found = set()
    for run, image in power_cuts(scenario, limit=400):
        found.add(len(run.possible))
        judge(run, image, scenario)
    assert max(found) > 2


def test_history_never_knows_more_than_the_document():
    for run, image in power_cuts(scenarios.history_of_unsynced_appends, limit=400):
        go_on_without_history(run, image)


@pytest.mark.parametrize("scenario", INTERRUPTED, ids=lambda scenario: scenario.__name__)
def test_second_power_cut_during_recovery(scenario):
    count = 0
    for run, image in islice(power_cuts(scenario, limit=6), 0, None, 7):
        for second_run, second_image in cuts_in_recovery(run, image, limit=4):
            judge(second_run, second_image, scenario)
            count += 1
    assert count


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_edit_between_power_cut_and_recovery(scenario):
    for run, image in edits_before_recovery(scenario, limit=8):
        judge(run, image, scenario)
