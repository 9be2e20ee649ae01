"""Real processes at one store, some of them killed, and what each was told: see `proof/storm`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from proof.storm.campaign import Options, run
from proof.storm.selftest import caught


@pytest.mark.parametrize("kills", [0, 20])
def test_what_processes_are_told_has_an_order(tmp_path: Path, kills: int):
    verdict = run(Options(str(tmp_path), seconds=2, writers=6, kills=kills))
    assert not verdict.problems, "\n".join(verdict.problems)
    assert verdict.kills == kills
    assert verdict.acknowledged > 50
    assert (verdict.retries > 0) == (kills > 0)


@pytest.mark.parametrize(
    "sabotage", ["lock-not-taken", "old-reads", "refresh-skipped", "version-ignored"]
)
def test_a_broken_store_is_caught(sabotage: str):
    """The others of `make storm-selftest` need kills, or more time."""
    problems = caught(sabotage)
    assert any("not linearizable" in problem for problem in problems), "\n".join(problems)
