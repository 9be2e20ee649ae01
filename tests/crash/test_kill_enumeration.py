"""A process killed at every call: the page cache stays, and other processes go on."""

import pytest
from explore import judge, kills, kills_beside_neighbour, kills_then_power_cuts
from scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_new_process_goes_on(scenario):
    count = 0
    for run in kills(scenario):
        judge(run, run.disk.spawn(), scenario)
        count += 1
    assert count


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_process_that_knew_an_older_state_goes_on(scenario):
    count = 0
    for run, neighbour, fs in kills_beside_neighbour(scenario):
        judge(run, fs, scenario, use=neighbour)
        count += 1
    assert count


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_what_is_built_on_a_killed_process_survives_a_power_cut(scenario):
    count = 0
    for run, image in kills_then_power_cuts(scenario, limit=8):
        judge(run, image, scenario)
        count += 1
    assert count
