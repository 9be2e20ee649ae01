"""The behaviour suite on both faces and every engine, and the suite itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plainstate import AsyncStateStore, StateStore
from plainstate.testing import conformance
from plainstate.testing.conformance.kit import equal

FACES = {"blocking": StateStore, "async": AsyncStateStore}


@pytest.mark.parametrize("one", conformance.CASES, ids=lambda one: one.name)
@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_file_engine(one: conformance.Case, face: Callable[..., Any], tmp_path: Path):
    conformance.play(one, lambda: face(tmp_path / "store", lock_timeout_s=2))


@pytest.mark.parametrize(
    "one", [one for one in conformance.CASES if not one.reopens], ids=lambda one: one.name
)
@pytest.mark.parametrize("face", FACES.values(), ids=FACES)
def test_memory_engine(one: conformance.Case, face: Callable[..., Any]):
    conformance.play(one, lambda: face("memory:", lock_timeout_s=2))


def test_every_case_says_what_it_shows():
    assert len({one.name for one in conformance.CASES}) == len(conformance.CASES) > 80
    assert all(one.says.endswith(".") for one in conformance.CASES)


class Forgetful(StateStore):
    """A store that says it deleted, and did not."""

    def delete_file(self, *_: object, **__: object) -> bool:
        return True


def test_a_report_tells_who_failed():
    report = conformance.run(lambda _: Forgetful("memory:", lock_timeout_s=1), reopens=False)
    assert not report.ok
    assert "delete_says_whether" in report.failed
    assert "markdown_comes_back" in report.passed
    assert "it_is_there_after_reopening" in report.left_out
    counted = len(report.passed) + len(report.failed) + len(report.left_out)
    assert counted == len(conformance.CASES)
    assert "delete_says_whether: Deleting tells" in str(report)
    assert str(report).endswith(f"{len(report.left_out)} left out")


@pytest.mark.parametrize(
    ("a", "b"), [(1, True), (1, 1.0), ([0], [False]), ({"a": 1}, {"a": 1.0}), (None, 0)]
)
def test_equal_sees_types(a: object, b: object):
    equal(a, a)
    with pytest.raises(AssertionError):
        equal(a, b)
