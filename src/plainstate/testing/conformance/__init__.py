"""The behaviour that every store must show, as a suite that anybody can run.

    from plainstate.testing import conformance

    report = conformance.run(lambda place: MyStore(f"my-store://test/{place}"))
    print(report)

With pytest, parametrize over `CASES` and call `play` (as `tests/test_behaviour.py` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

# each of these modules enters its cases when it is imported
import plainstate.testing.conformance.archives
import plainstate.testing.conformance.changes
import plainstate.testing.conformance.checking
import plainstate.testing.conformance.documents
import plainstate.testing.conformance.exactness
import plainstate.testing.conformance.following
import plainstate.testing.conformance.history
import plainstate.testing.conformance.merges
import plainstate.testing.conformance.retention
import plainstate.testing.conformance.searching
import plainstate.testing.conformance.sessions  # noqa: F401
from plainstate.testing.conformance.kit import CASES, Case, Kit, play

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CASES", "Case", "Kit", "Report", "play", "run"]


class Report(Struct, frozen=True):
    """What a run has shown.

    Attributes:
        passed: names of the cases that the store passed.
        failed: of those it failed, with what was raised.
        left_out: of those that need a store which outlives its handle.
    """

    passed: list[str]
    failed: dict[str, Exception]
    left_out: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def __str__(self) -> str:
        counts = (
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.left_out)} left out"
        )
        says = {one.name: one.says for one in CASES}
        failures = [
            f"{name}: {says[name]}\n    {type(error).__name__}: {error}"
            for name, error in self.failed.items()
        ]
        return "\n".join([*failures, counts])


def run(open_store: Callable[[str], Any], *, reopens: bool = True) -> Report:
    """Runs every case.

    Args:
        open_store: opens the store of a name, blocking or async.  Each case gets a name of its
            own, whose store must be empty; the same name again means the same store.
        reopens: a store's documents outlive its handle, and two handles may be open at once.

    Example:
        >>> from plainstate import open_store
        >>> run(lambda place: open_store("memory:"), reopens=False).ok
        True
    """
    report = Report([], {}, [])
    for number, one in enumerate(CASES):
        if one.reopens and not reopens:
            report.left_out.append(one.name)
            continue
        place = f"case-{number}"
        try:
            play(one, lambda place=place: open_store(place))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the report
            report.failed[one.name] = error
        else:
            report.passed.append(one.name)
    return report
