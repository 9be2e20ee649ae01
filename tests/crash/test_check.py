"""What a crash leaves is no damage: a check tells nothing worse than a note of it."""

import errno

import pytest
import scenarios
from explore import faults, kills, kills_beside_neighbour, power_cuts
from harness import BASE, Run, same_every_time
from scenarios import SCENARIOS

from plainstate.engines.file import access
from plainstate.engines.file.checking import check
from plainstate.engines.file.disk import Disk
from plainstate.engines.file.engine import FileEngine
from plainstate.types import DocumentId, Finding, is_public

BY_HAND = {"edited", "head-orphaned"}

LOST = {"feed-damaged"}
"""A power cut takes any part of lines that nobody has synced."""

STAYS = {"feed-gap", "head-orphaned", "quarantined"}
"""Notes that a clean close leaves: there is nothing to complete."""

OTHER = DocumentId("o", "o")

RENAMES = [
    scenarios.rename,
    scenarios.rename_to_other_folder,
    scenarios.history_of_a_moved_document,
    scenarios.prune_two,
    scenarios.restore_pruned,
]

every = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
renames = pytest.mark.parametrize("scenario", RENAMES, ids=lambda one: one.__name__)


def findings(disk) -> list[Finding]:
    return [one for one in check(Disk(disk, BASE, "checks")) if isinstance(one, Finding)]


def alarms(disk) -> set[str]:
    return {one.code for one in findings(disk) if one.severity != "note"}


@every
def test_after_a_power_cut(scenario):
    for run, image in power_cuts(scenario, limit=12):
        assert alarms(image) <= LOST, "\n".join(run.said)


@every
def test_after_a_kill(scenario):
    for run in kills(scenario):
        assert alarms(run.disk.spawn()) == set(), "\n".join(run.said)


@renames
def test_a_rename_that_was_cut_off_is_not_taken_for_an_edit_by_hand(scenario):
    told = set()
    for run in kills(scenario):
        codes = {one.code for one in findings(run.disk.spawn())}
        assert not codes & BY_HAND, "\n".join(run.said)
        told |= codes
    assert "cut-off" in told


@renames
def test_a_clean_close_ends_a_rename_that_was_cut_off(scenario):
    for run in kills(scenario):
        close_cleanly(run, run.open_engine(run.disk.spawn()))


@renames
def test_so_does_one_who_was_writing_and_has_settled_one_of_the_names(scenario):
    for run, neighbour, _ in kills_beside_neighbour(scenario):
        for document in filter(is_public, run.documents):
            neighbour.lock(document).release()
        close_cleanly(run, neighbour)


@renames
def test_so_does_the_one_whose_rename_failed(scenario):
    for run in faults(scenario, errno.EIO):
        close_cleanly(run, run.engine("a"))


def test_it_would_not_if_a_writers_list_named_no_document_in_the_trash(monkeypatch):
    monkeypatch.setattr(access, "SYSTEM_CATEGORIES", Everywhere())
    with pytest.raises(AssertionError, match="cut-off"):
        test_a_clean_close_ends_a_rename_that_was_cut_off(scenarios.prune_two)


class Everywhere:
    """All categories of the store's own, those of the trash included."""

    def __contains__(self, category: str) -> bool:
        return category.startswith(".plainstate")


def close_cleanly(run: Run, engine: FileEngine) -> None:
    """Closes a handle that has written; nothing may be left to complete."""
    with same_every_time():
        engine.replace(OTHER, {})
        engine.close()
    left = [one for one in findings(run.disk.spawn()) if one.code not in STAYS]
    assert not left, (left, "\n".join(run.said))
