"""Every engine and both faces, driven at random, against a dictionary."""

import os

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .upkeep import UpkeepRules

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))


@pytest.mark.parametrize("face", ["blocking", "async"])
@pytest.mark.parametrize("engine", ["memory", "disk", "crash"])
def test_store_is_its_model(engine: str, face: str):
    machine = type(f"{engine}_{face}", (UpkeepRules,), {"engine": engine, "face": face})
    run_state_machine_as_test(machine, settings=settings(
        max_examples=EXAMPLES or 20, stateful_step_count=40, report_multiple_bugs=False, print_blob=True,
        phases=[Phase.reuse, Phase.generate, Phase.shrink]))
