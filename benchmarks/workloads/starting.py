"""W11: `import plainstate`, and opening a store of 100,000 sessions.  Bar 9.

Timed are whole processes from start to end: one that imports plainstate, and bare ones of the same
Python that do nothing; their difference, round by round, is what the import takes.  The files of
Python and of plainstate are in the system's cache and compiled.  Whether asyncio is imported is
counted, in the same way.

*open*: `open_store` in a new process, import not included, on a store where nothing changed since
it was closed; *modules loaded*: after it was opened and closed before; *open and close*: with the
close behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import children
from benchmarks.many import many

if TYPE_CHECKING:
    from benchmarks.bench import Bench

COUNT = 100_000
IMPORT = "from plainstate import open_store"


def run(bench: Bench) -> None:
    """Measures."""
    bare, importing = children.whole("pass"), children.whole(IMPORT)

    def added() -> list[float]:
        return [max(0.0, importing()[0] - bare()[0])]

    bench.compare(
        "start",
        "processes that import plainstate or nothing; `added` is the difference in a round",
        {"bare": bare, "import": importing, "added": added},
        bench.rounds(30),
        to=("bare",),
    )
    loaded = children.python("-c", f"{IMPORT}\nimport sys\nprint('asyncio' in sys.modules)")
    modules = children.python("-c", f"{IMPORT}\nimport sys\nprint(len(sys.modules))")
    bench.count(
        "what the import brings",
        "modules loaded in all, and whether asyncio is one",
        "plainstate",
        asyncio=float(loaded.strip() == "True"),
        modules=float(modules),
    )
    opening(bench)


def opening(bench: Bench) -> None:
    """A store that nobody changed."""
    count = bench.sizes((COUNT,), (10_000,))[0]
    stores = many(bench, count)
    opened = f"store = open_store({str(stores.plainstate)!r})"
    bench.compare(
        f"open {count:,} sessions",
        f"opening a store of {count:,} sessions in a new process",
        {
            "open": children.inside(IMPORT, opened, "store.close()"),
            "open, modules loaded": children.inside(
                f"{IMPORT}\n{opened}\nstore.close()", opened, "store.close()"
            ),
            "open and close": children.inside(IMPORT, f"{opened}\nstore.close()"),
        },
        bench.rounds(20),
        to=(),
    )
