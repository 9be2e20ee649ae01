"""Every engine and both faces, driven at random, against a dictionary.

The rules are those of a caller, of a person with an editor, and of a machine that dies: see
`machine.py`.  `model.py` is what they are compared with.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .upkeep import UpkeepRules

# A long search, by `make model`; otherwise the same examples on every run.
SEARCH = int(os.environ.get("MODEL_EXAMPLES", "0"))
EXAMPLES = {"memory": 40, "disk": 15, "crash": 60}


@pytest.mark.timeout(0 if SEARCH else 120)
@pytest.mark.parametrize("face", ["blocking", "async"])
@pytest.mark.parametrize("engine", list(EXAMPLES))
def test_store_is_its_model(engine: str, face: str):
    machine = type(f"{engine}_{face}", (UpkeepRules,), {"engine": engine, "face": face})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=SEARCH or EXAMPLES[engine],
            derandomize=not SEARCH,
            stateful_step_count=60 if SEARCH else 40,
            print_blob=True,
            report_multiple_bugs=False,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
        ),
    )
