"""W9: saving and loading whole JSON documents of 1 KB and 100 KB.  Bar 8.

Timed is the call that replaces a document, in turn one of eight that exist, and the call that
loads one.  The limit encodes the tree, writes a temporary file, calls fdatasync, renames it and
calls fsync on the folder; it loads by reading and decoding.
"""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

from benchmarks.bench import timed

if TYPE_CHECKING:
    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store

SIZES = {"1 KB": 1, "100 KB": 100}
DOCUMENTS = 8
PER_TURN = 4


def run(bench: Bench) -> None:
    """Measures."""
    for size, kilobytes in SIZES.items():
        for ending, names, rounds in bench.groups(40, 5):
            both(bench, size, tree(kilobytes), names, rounds, ending)


def tree(kilobytes: int) -> dict[str, Any]:
    """A document of about this size: ten small objects in each kilobyte."""
    steps = [
        {"step": number, "done": number % 3 == 0, "note": f"step {number} of the plan, {'x' * 40}"}
        for number in range(10 * kilobytes)
    ]
    return {"title": "plan", "steps": steps}


def both(
    bench: Bench, size: str, value: dict[str, Any], names: list[str], rounds: int, ending: str
) -> None:
    """Saves and loads one size."""
    saving: dict[str, Turn] = {}
    loading: dict[str, Turn] = {}
    left_out: dict[str, str] = {}
    for name in names:
        store = bench.store(name, bench.folder(f"{name}-documents"))
        if not hasattr(store, "save"):
            left_out[name] = "has no documents"
            continue
        for number in range(DOCUMENTS):
            store.save(f"d-{number}", value)
        saving[name] = _saving(store, value)
        read = store.read  # type: ignore[attr-defined]
        loading[name] = partial(timed, partial(read, "d-0"), PER_TURN)
    what = f"a document of {size}"
    saved, loaded = f"save {size}{ending}", f"load {size}{ending}"
    bench.compare(saved, f"replacing {what}", saving, rounds, left_out=left_out)
    bench.compare(loaded, f"loading {what}", loading, rounds, left_out=left_out)


def _saving(store: Store, value: dict[str, Any]) -> Turn:
    names = cycle(f"d-{number}" for number in range(DOCUMENTS))
    return lambda: timed(
        lambda: store.save(next(names), value),  # type: ignore[attr-defined]
        PER_TURN,
    )
