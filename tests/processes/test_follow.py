"""Real processes write and follow one store, and some are killed; see `proof/follow`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from proof.follow.campaign import Options, run


@pytest.mark.parametrize("kills", [0, 12])
def test_followers_see_every_commit(tmp_path: Path, kills: int):
    verdict = run(Options(str(tmp_path), seconds=3, writers=4, followers=2, kills=kills))
    assert not verdict.problems
    assert verdict.commits > 50
    assert verdict.lines >= verdict.commits
