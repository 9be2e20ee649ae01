"""Shows that a storm finds faults: each sabotage must be caught."""

from __future__ import annotations

import re
import tempfile
from typing import Final

from proof.storm import campaign
from proof.storm.campaign import Options
from proof.storm.sabotage import SABOTAGES

__all__ = ["caught", "run"]

_TRIES_S: Final = (1, 5, 30)


def run() -> bool:
    """Whether every sabotage was caught; prints one line for each."""
    missed = [name for name in SABOTAGES if not _is_caught(name)]
    return not missed


def caught(name: str) -> list[str]:
    """What the first storm that notices a sabotage says; nothing, if none does."""
    for seconds in _TRIES_S:
        with tempfile.TemporaryDirectory() as folder:
            problems = campaign.run(
                Options(folder, seconds, writers=6, kills=4 * seconds, sabotage=name)
            ).problems
        if problems:
            return problems
    return []


def _is_caught(name: str) -> bool:
    problems = caught(name)
    if not problems:
        print(f"NOT CAUGHT: {name}: {SABOTAGES[name].what}", flush=True)
        return False
    # a broken promise says more than a worker that gave up
    told = [one for one in problems if not re.match(r"w\d+\.\d+(:| ended) ", one)] or problems
    print(f"{name:19} {len(problems):4} violations, e.g. {told[0].splitlines()[0]}", flush=True)
    return True
