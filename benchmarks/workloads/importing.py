"""W10: importing real conversations from the folder PLAINSTATE_TEST_DATA.  Feeds no bar.

Timed is a whole process: `plainstate import` of every .json file right in the folder whose format
it knows, into an empty store.  Beside it a process that parses the same files with plainstate's
own reader and writes each conversation to a file of its own, with fdatasync, and one fsync of the
folder at the end.  Without the folder there is a line that says so, and no figure.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import children
from benchmarks.bench import remove, timed
from plainstate.cli.imports import dialogues
from plainstate.errors import PlainstateError

if TYPE_CHECKING:
    from benchmarks.bench import Bench


def run(bench: Bench) -> None:
    """Measures, if there is something to import."""
    files = importable(bench.plan.data)
    if not files:
        bench.note("import: left out, PLAINSTATE_TEST_DATA names no folder with conversations")
        return
    size = sum(Path(file).stat().st_size for file in files)
    count = sum(1 for file in files for _ in dialogues(file))
    bench.note(f"import: {count:,} conversations of {len(files)} files, {size / 1e6:.1f} MB")
    store, raw = bench.folder("imported"), bench.folder("raw")

    def imported() -> list[float]:
        remove(store)
        arguments = ("-m", "plainstate", "import", "--store", str(store), *files)
        return timed(lambda: children.python(*arguments))

    def written() -> list[float]:
        remove(raw)
        arguments = ("-m", "benchmarks.workers", "write-raw", str(raw), *files)
        return timed(lambda: children.python(*arguments))

    bench.compare(
        "import",
        f"{count:,} conversations, a whole process",
        {"plainstate": imported, "limit": written},
        bench.rounds(5),
        to=("limit",),
        slow_s=math.inf,
    )


def importable(folder: str) -> list[str]:
    """The files in a folder that can be imported."""
    found = []
    for path in sorted(Path(folder).glob("*.json")) if folder else ():
        try:
            next(dialogues(str(path)))
        except (PlainstateError, StopIteration):
            continue
        found.append(str(path))
    return found
