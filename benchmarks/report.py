"""The tables and plots of docs/performance.md, from the results of a run.

What stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->` is replaced; the prose around it
is written by hand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import plots
from benchmarks.bars import BARS, EVERY
from benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.results import Counts, Part, Results, Row, Timing

PAGE = Path("docs/performance.md")
PLOTS = Path("docs/performance")
PLOTTED = {
    "append": ("append", "new-session"),
    "concurrent": ("concurrent",),
    "processes": ("processes",),
    "load": ("load",),
    "listing": ("listing",),
}
NOT_MEASURED = "Not measured in this run."
LENGTHS = (100, 1_000, 10_000, 100_000)
GLANCE = (  # work, table, plainstate's row
    ("append to a session of 10,000 messages", "append at 10,000", "plainstate"),
    ("the first message of a new session", "new session", "plainstate"),
    ("an append, of 64 tasks at once", "64 tasks at once", "plainstate"),
    ("an append, of 4 processes at once", "4 processes, own sessions", "plainstate"),
    ("the same, all on the same sessions", "4 processes, shared sessions", "plainstate"),
    ("load 10,000 messages", "load 10,000", "plainstate, new handle"),
    ("save a JSON document of 1 KB", "save 1 KB", "plainstate"),
    ("list the newest 50 of 100,000 sessions", "newest 50 of 100,000", "plainstate"),
    ("the same, as a process of its own", "newest 50 of 100,000, new process", "plainstate"),
    ("search them for a rare word", "search, rare word, 100,000", "plainstate"),
    ("search them for a common word", "search, common word, 100,000", "plainstate"),
    (
        "one of 1,000 new sessions, opened to closed",
        "create sessions, opened to closed",
        "plainstate",
    ),
)
BESIDE = {
    "bare calls": "limit",
    "SQLite by hand": "sqlite_full",
    "OpenAI `SQLiteSession`": "openai",
    "LangGraph `SqliteStore`": "langgraph_store",
    "rewriting the file": "ancestor_fsync",
}


def write(results: Results) -> list[str]:
    """Writes page and plots; returns the paths."""
    page = PAGE.read_text("utf-8")
    for name, text in sections(results).items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
        before, found, rest = page.partition(begin)
        if found:
            page = f"{before}{begin}\n{text}\n\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(page, "utf-8")
    PLOTS.mkdir(exist_ok=True)
    drawn = {f"{name}.svg": svg for name, svg in drawings(results).items()}
    for name, svg in drawn.items():
        (PLOTS / name).write_text(svg, "utf-8")
    return [str(PAGE), *(str(PLOTS / name) for name in drawn)]


def sections(results: Results) -> dict[str, str]:
    """Text by the name of its marker."""
    plotted = drawings(results)
    drawn = {name: [one for one in names if one in plotted] for name, names in PLOTTED.items()}
    found = {"glance": glance(results), "machine": machine(results), "bars": bars(results)}
    for workload in WORKLOADS:
        part = results.parts.get(workload)
        parts = [f"![{name}](performance/{name}.svg)" for name in drawn.get(workload, ())]
        parts += tables(part) if part else [NOT_MEASURED]
        found[workload] = "\n\n".join(parts)
    return found


def measured(results: Results) -> Iterator[str]:
    """What a run has measured, for a terminal."""
    for name, text in sections(results).items():
        if name == "bars":
            yield "\n".join(line for line in text.splitlines() if "not measured" not in line)
        elif text != NOT_MEASURED:
            yield text


def glance(results: Results) -> str:
    """The medians that most people ask for, of every store where there are such rounds."""
    lines = [_line(["", "plainstate", *BESIDE]), _line(["---"] * (len(BESIDE) + 2))]
    for work, table, row in GLANCE:
        timing = results.timing(table + EVERY) or results.timing(table)
        if timing and row in timing.rows:
            figures = [timing.rows.get(name) for name in (row, *BESIDE.values())]
            lines.append(_line([work, *(seconds(one.median) if one else "" for one in figures)]))
    return "\n".join(lines)


def machine(results: Results) -> str:
    """Where and when."""
    facts = results.machine
    load = [facts.get("load_at_start"), facts.get("load_at_end")]
    begun, end = (
        [f"{one:.1f}" for one in each] if isinstance(each, list) else "?" for each in load
    )
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"{facts['begun']}: {facts['kernel']}, {facts['cpus']:.0f} processors,"
        f" {facts['file_system']}, Python {facts['python']}, SQLite {facts['sqlite']}."
        f" Load average (1, 5, 15 minutes) at the start {' '.join(begun)},"
        f" at the end {' '.join(end)}.\n\nVersions: {versions}."
    )


def bars(results: Results) -> str:
    """What is wanted, and what was measured."""
    lines = ["| bar | what | wanted | measured | |", "|---|---|---|---|---|"]
    for bar in BARS:
        figure = bar.measured(results)
        shown = "–" if figure is None else bar.shown(figure)
        met = "not measured" if figure is None else "met" if bar.is_met(figure) else "**missed**"
        lines.append(f"| {bar.number} | {bar.what} | {bar.wanted} | {shown} | {met} |")
    return "\n".join(lines)


# --- tables --------------------------------------------------------------------


def tables(part: Part) -> Iterator[str]:
    """Every table of a workload."""
    for title, timing in part.timings.items():
        yield times(title, timing)
    for title, counts in part.counts.items():
        yield counted(title, counts)
    if part.notes:
        yield "\n".join(f"- {note}" for note in part.notes)


def times(title: str, timing: Timing) -> str:
    """A table of times, the quickest first."""
    bases = list(dict.fromkeys(base for row in timing.rows.values() for base in row.to))
    head = ["", "p10", "median", "p25 – p75", "samples", *(f"× {base}" for base in bases)]
    lines = [f"**{title}**: {timing.what}", "", _line(head), _line(["---"] * len(head))]
    for name, row in sorted(timing.rows.items(), key=lambda item: item[1].median):
        ratios = [_ratio(row, base) for base in bases]
        spread = f"{seconds(row.p25)} – {seconds(row.p75)}"
        cells = [name, seconds(row.p10), seconds(row.median), spread, str(row.samples), *ratios]
        lines.append(_line(cells))
    left_out = [f"- {name}: {why}" for name, why in timing.left_out.items()]
    return "\n".join([*lines, *([""] if left_out else []), *left_out])


def _ratio(row: Row, base: str) -> str:
    """Of the 10th percentiles; median and spread of those within a round."""
    if base not in row.to:
        return ""
    to = row.to[base]
    return f"{to.of_p10:.2f}; {to.median:.2f} ({to.p25:.2f} – {to.p75:.2f})"


def counted(title: str, counts: Counts) -> str:
    """A table of counts."""
    columns = list(dict.fromkeys(column for row in counts.rows.values() for column in row))
    head = ["", *(column.replace("_", " ") for column in columns)]
    lines = [f"**{title}**: {counts.what}", "", _line(head), _line(["---"] * len(head))]
    for name, row in counts.rows.items():
        cells = [f"{row[column]:,.2f}" if column in row else "" for column in columns]
        lines.append(_line([name, *(re.sub(r"\.00$", "", cell) for cell in cells)]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def seconds(value: float) -> str:
    """A time, with three digits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * factor >= 1 or unit == "µs":
            break
    scaled = value * factor
    digits = 0 if scaled >= 100 else 1 if scaled >= 10 else 2  # noqa: PLR2004 - three digits
    return f"{scaled:.{digits}f} {unit}"


# --- plots ---------------------------------------------------------------------


def drawings(results: Results) -> dict[str, str]:
    """Plots by name, of what was measured."""
    found = {}
    lengths = _along(results, "append at {:,}", LENGTHS)
    if lengths:
        title = "A durable append of 1 KB: median, by length of the session"
        found["append"] = plots.lines(title, lengths, seconds, "messages in the session")
    counts = _along(results, "newest 50 of {:,}", LENGTHS[1:])
    if counts:
        title = "The 50 newest sessions: median, by number of sessions"
        found["listing"] = plots.lines(title, counts, seconds, "sessions")
    for name, table, title in (
        ("concurrent", "64 tasks at once", "64 tasks at once: time for an append, median"),
        ("processes", "4 processes, own sessions", "4 processes: time for an append, median"),
        ("load", "load 10,000", "Loading 10,000 messages: median"),
        ("new-session", "new session", "A session's first message: median"),
    ):
        timing = results.timing(table + EVERY) or results.timing(table)
        if timing:
            medians = {row: figures.median for row, figures in timing.rows.items()}
            found[name] = plots.bars(title, medians, seconds)
    return found


def _along(results: Results, table: str, steps: tuple[int, ...]) -> dict[str, dict[int, float]]:
    """Medians by store and length, the libraries from the rounds that have every store."""
    series: dict[str, dict[int, float]] = {}
    for step in steps:
        for ending in (EVERY, ""):
            timing = results.timing(table.format(step) + ending)
            for name, row in timing.rows.items() if timing else ():
                if "," not in name and " at " not in name and "again" not in name:
                    series.setdefault(name, {})[step] = row.median
    return series
