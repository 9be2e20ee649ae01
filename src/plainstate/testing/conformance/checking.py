"""Checking and repairing: what every store shows, whatever it keeps its documents in."""

from __future__ import annotations

from typing import Any

from plainstate.testing.conformance.kit import Kit, case, equal, that

__all__: list[str] = []


_NAMES = ("plans/a", "notes/a", "sessions/s-1")


async def _fill(kit: Kit) -> None:
    await kit.store.save_json("plans", "a", {"steps": [1]})
    await kit.store.append_markdown("notes", "a", "one line\n")
    await kit.store.append_user_message("s-1", "Hello", user_id="ada")
    await kit.store.save_json("plans", "gone", 1)
    await kit.store.delete_file("plans", "gone")


def _worse(findings: list[Any]) -> list[str]:
    return [one.code for one in findings if one.severity != "note"]


@case()
async def a_store_in_order_is_sound(kit: Kit) -> None:
    """A check finds nothing, a repair does nothing, and every document was looked at."""
    await _fill(kit)
    ticks: list[tuple[int, int]] = []
    report = await kit.store.check(progress=lambda *tick: ticks.append(tick))
    equal(_worse(report.findings), [])
    that(report.is_sound, "it is sound")
    that(report.documents >= len(_NAMES), "it looked at every document")
    that(bool(ticks) and all(done <= total for done, total in ticks), f"progress rises: {ticks}")
    repaired = await kit.store.repair()
    equal((_worse([one.finding for one in repaired.mended]), repaired.left), ([], []))


@case()
async def a_session_that_is_none_is_found(kit: Kit) -> None:
    """It is damage that nobody but a person can mend; other documents are not concerned."""
    await _fill(kit)
    kit.put_by_hand("odd", {"id": "odd"})
    report = await kit.store.check()
    equal(_worse(report.findings), ["session-damaged"])
    (found,) = (one for one in report.findings if one.severity == "damage")
    equal((str(found.document), found.path), ("sessions/odd", "sessions/odd.json"))
    that(bool(found.message) and bool(found.remedy), "it says what it is and what to do")
    that(not report.is_sound, "it is not sound")
    for dry_run in (True, False):
        repaired = await kit.store.repair(cut=True, dry_run=dry_run)
        equal([one.code for one in repaired.left], ["session-damaged"])
        equal(repaired.dry_run, dry_run)
    equal(await kit.store.load_json("sessions", "odd"), {"id": "odd"})
