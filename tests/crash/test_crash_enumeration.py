import pytest
from explore import judge, power_cuts
from scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_power_cut(scenario):
    count = 0
    for run, image in power_cuts(scenario):
        judge(run, image, scenario)
        count += 1
    assert count
