"""What is wanted of plainstate: ratios within one run, and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from benchmarks.results import Results

EVERY = ", every store"


class Bar(NamedTuple):
    """One thing that is wanted.

    Attributes:
        number: of the bar that it is part of.
        what: for a reader.
        limit: the figure must not exceed it, or, of a throughput, not fall below it.
        table: where the figure stands.
        row: the store, or what it did.
        over: the row that it is set in relation to; none for a figure of its own.
        by: "p10", the quiet moments; "median" of the ratios within a round; "throughput", the
            median the other way round; "count", a counted figure.
        column: of a counted figure.
        over_table: of `over`, where that is another one.
    """

    number: int
    what: str
    limit: float
    table: str
    row: str = "plainstate"
    over: str = ""
    by: Literal["p10", "median", "throughput", "count"] = "median"
    column: str = ""
    over_table: str = ""

    def measured(self, results: Results) -> float | None:
        """The figure in some results; `None` if it is not there."""
        own = self._figure(results, self.table, self.row)
        if own is None or not self.over:
            return own
        timing = results.timing(self.table)
        ratio = timing.rows[self.row].to.get(self.over) if timing and not self.over_table else None
        if self.by in ("median", "throughput") and ratio is not None:
            return ratio.median if self.by == "median" else 1 / ratio.median
        other = self._figure(results, self.over_table or self.table, self.over)
        if not other:
            return None
        return other / own if self.by == "throughput" else own / other

    def _figure(self, results: Results, table: str, row: str) -> float | None:
        if self.by == "count":
            counts = results.counted(table)
            return counts.rows.get(row, {}).get(self.column) if counts else None
        timing = results.timing(table)
        if timing is None or row not in timing.rows:
            return None
        return timing.rows[row].p10 if self.by == "p10" else timing.rows[row].median

    def is_met(self, figure: float) -> bool:
        """Whether a figure is good enough; one that is counted or a ratio is not rounded."""
        return figure >= self.limit if self.by == "throughput" else figure <= self.limit

    @property
    def wanted(self) -> str:
        """The limit, for a reader."""
        sign = "≥" if self.by == "throughput" else "≤"
        return f"{sign} {self.shown(self.limit)}"

    def shown(self, figure: float) -> str:
        """A figure of this bar, for a reader."""
        if not self.over and self.by != "count":
            return f"{figure * 1e3:.1f} ms"
        return f"{figure:,.2f}".rstrip("0").rstrip(".") + (" ×" if self.over else "")


SYSTEM_CALLS = "system calls"
NEWEST, COLD = "newest 50 of 100,000", ", new process"
RARE, COMMON = "search, rare word, 100,000", "search, common word, 100,000"
OWN, SHARED = "4 processes, own sessions", "4 processes, shared sessions"
OFTEN = "plainstate, folding at 16 KiB"
HOPS = "blocking + 1.5 hops"
LOAD, FOLDED = "load 10,000", "plainstate, new handle"
AGAIN = "plainstate, after an append"

BARS: tuple[Bar, ...] = (
    Bar(1, "fdatasync for each append", 1, SYSTEM_CALLS, by="count", column="fdatasync"),
    Bar(1, "fsync for each append", 0, SYSTEM_CALLS, by="count", column="fsync"),
    Bar(1, "renames for each append", 0, SYSTEM_CALLS, by="count", column="rename"),
    Bar(1, "append at 1,000, over the limit", 1.3, "append at 1,000", over="limit", by="p10"),
    Bar(1, "append at 10,000, over the limit", 1.3, "append at 10,000", over="limit", by="p10"),
    Bar(1, "append at 1,000, over SQLite", 0.9, "append at 1,000", over="sqlite_full", by="p10"),
    Bar(1, "append at 10,000, over SQLite", 0.9, "append at 10,000", over="sqlite_full", by="p10"),
    Bar(
        1,
        "append at 100,000, over that at 100",
        1.2,
        "append at 100,000",
        over="plainstate at 100",
        by="p10",
    ),
    Bar(1, "async, one task, over blocking + 1.5 hops", 1, "append, one task", "async", HOPS),
    Bar(2, "a new session, over the limit", 2, "new session", over="limit", by="p10"),
    Bar(2, "a new session, over SQLite", 1.3, "new session", over="sqlite_full", by="p10"),
    *(
        Bar(
            3,
            f"64 at once: throughput over {name}",
            limit,
            f"64 tasks at once{ending}",
            over=over,
            by="throughput",
        )
        for name, over, limit, ending in (
            ("the limit", "limit", 0.6, ""),
            ("SQLite", "sqlite_full", 3, ""),
            ("OpenAI `SQLiteSession`", "openai", 6, EVERY),
        )
    ),
    *(
        Bar(4, f"{table}: throughput over {name}", limit, table, over=over, by="throughput")
        for table in (OWN, SHARED)
        for name, over, limit in (("the limit", "limit", 0.6), ("SQLite", "sqlite_full", 3))
    ),
    *(
        Bar(4, f"{table}, {row}: {column}", 0, table, row, by="count", column=column)
        for table in (OWN, SHARED)
        for row in ("plainstate", OFTEN)
        for column in ("lost", "errors")
    ),
    Bar(
        5, "load 10,000 folded, over the file decoded", 1.2, LOAD, FOLDED, "the plain file, decoded"
    ),
    Bar(5, "load 10,000 folded, over the raw lines decoded", 1.2, LOAD, FOLDED, "limit"),
    Bar(
        5,
        "load 10,000 before a fold, over folded",
        2.5,
        LOAD,
        "plainstate, before a fold, new handle",
        FOLDED,
    ),
    Bar(5, "load 10,000 after another's append, over folded", 0.5, LOAD, AGAIN, FOLDED),
    Bar(
        5,
        "bytes read by that load",
        16_384,
        "bytes read",
        "10,000 messages",
        by="count",
        column="plainstate",
    ),
    *(
        Bar(6, f"{table}, over SQLite", 1.2, table, over="sqlite_full")
        for table in (NEWEST, NEWEST + COLD, RARE, RARE + COLD, COMMON, COMMON + COLD)
    ),
    *(
        Bar(
            6,
            f"{table}, from open, over SQLite",
            1.2,
            table,
            "plainstate, from open",
            "sqlite_full, from open",
        )
        for table in (NEWEST + COLD, RARE + COLD, COMMON + COLD)
    ),
    Bar(
        6,
        f"{NEWEST}, over that of 1,000",
        1.2,
        NEWEST,
        over="plainstate",
        over_table="newest 50 of 1,000",
        by="p10",
    ),
    Bar(
        6,
        f"{RARE}, over that of 1,000",
        1.2,
        RARE,
        over="plainstate",
        over_table="search, rare word, 1,000",
        by="p10",
    ),
    Bar(
        6,
        "catching up with 100,000 messages, over the ancestor's list",
        0.25,
        "catching up with 100,000 messages",
        over="ancestor",
    ),
    *(
        Bar(
            7,
            f"bytes on disk, {when}, over the raw lines",
            1.2,
            "bytes on disk",
            over="limit",
            by="count",
            column=when,
        )
        for when in ("live", "closed")
    ),
    Bar(
        7,
        "bytes written by an append at 10,000, over that at 1,000",
        1.05,
        SYSTEM_CALLS,
        "plainstate at 10,000",
        "plainstate",
        by="count",
        column="bytes",
    ),
    Bar(
        7,
        "memory of an append without a fold, MB",
        2,
        "peak memory",
        "plainstate, append",
        by="count",
        column="megabytes",
    ),
    Bar(
        7,
        "memory of a fold, over that of a load",
        2.5,
        "peak memory",
        "plainstate, fold",
        "plainstate, load",
        by="count",
        column="megabytes",
    ),
    Bar(8, "save 1 KB, over the limit", 1.1, "save 1 KB", over="limit"),
    Bar(8, "save 100 KB, over the limit", 1.1, "save 100 KB", over="limit"),
    Bar(9, "`import plainstate`, over bare Python", 0.060, "start", "added"),
    Bar(9, "asyncio is imported", 0, "what the import brings", by="count", column="asyncio"),
    Bar(9, "open a store of 100,000 sessions", 0.020, "open 100,000 sessions", "open"),
)
