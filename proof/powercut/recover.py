"""What a program does with its store after a power cut: opens it, in a share of the cuts has it
repaired, writes to it, prunes it, closes it.

    python -m proof.powercut.recover BASE CASE SEED

Exit status 1: that does not work, the first line says why.
"""

from __future__ import annotations

import os
import random
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from plainstate import PlainstateError
from proof.powercut.history import Case
from proof.powercut.operations import PROBE, open_store, write_probes
from proof.powercut.programs import filler_of

if TYPE_CHECKING:
    from plainstate import StateStore

_REPAIR_SHARE: Final = 0.5
_PRUNE_SHARE: Final = 0.5


def _recover(store: StateStore, rng: random.Random) -> str:
    """Does all of it; returns what could not be mended."""
    if rng.random() < _REPAIR_SHARE:
        left = store.repair().left
        if left:
            return f"repair leaves {left[0].severity} {left[0].code}: {left[0].message}"
    write_probes(store)
    store.checkpoint()
    if rng.random() < _PRUNE_SHARE:
        store.append_user_message(PROBE, PROBE, user_id=PROBE)
        store.prune_sessions(keep_last=0, user_id=PROBE)
        store.restore_session(PROBE)
        store.prune_sessions(keep_last=0, user_id=PROBE)
    write_probes(store)
    return ""


def _main() -> int:
    base, path, seed = sys.argv[1:]
    with suppress(FileNotFoundError):
        os.unlink(filler_of(base))
    try:
        with open_store(base, keep=Case.load(path).keep) as store:
            trouble = _recover(store, random.Random(seed))
    except PlainstateError as error:
        trouble = f"{type(error).__name__}: {error}"
    if trouble:
        print(trouble)
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(_main())
