"""Shows that the campaign finds faults: each sabotage must be caught on some file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proof.powercut import campaign
from proof.powercut.sabotage import SABOTAGES

if TYPE_CHECKING:
    from proof.powercut.campaign import Options
    from proof.powercut.filesystems import FileSystem

__all__ = ["run"]


def run(systems: list[FileSystem], options: Options) -> bool:
    """Whether every sabotage was caught; prints one line for each try."""
    caught = [_is_caught(name, systems, options) for name in SABOTAGES]
    return all(caught)


def _is_caught(name: str, systems: list[FileSystem], options: Options) -> bool:
    """Tries one file system after the other until it is."""
    faults = SABOTAGES[name].faults
    for system in systems:
        result = campaign.run(system, options._replace(sabotage=name, faults=faults))
        found = result.violations.total()
        reason = result.violations.most_common(1)[0][0] if found else "not seen"
        print(f"{name:21} {system.name:13} {found:3} of {result.cuts} cuts  {reason}", flush=True)
        if found:
            return True
    print(f"NOT CAUGHT: {name}: {SABOTAGES[name].what}", flush=True)
    return False
