"""What changed between two runs beyond their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.results import Ratio, Results, Row

BASES = ("limit", "sqlite_full", "bare", "ancestor")
COUNTED_TWICE_DIFFERS = 0.02
"""Counts hardly differ between runs; by less than this is chance."""


def changes(before: Results, after: Results) -> Iterator[str]:
    """One line for each figure whose middle halves do not overlap, and for each changed count."""
    for workload, part in after.parts.items():
        earlier = before.parts.get(workload)
        if earlier is None:
            continue
        for title, timing in part.timings.items():
            old = earlier.timings[title].rows if title in earlier.timings else {}
            for name in timing.rows.keys() & old.keys():
                yield from _changed(f"{title}: {name}", old[name], timing.rows[name])
        for title, counts in part.counts.items():
            known = earlier.counts[title].rows if title in earlier.counts else {}
            for name, figures in counts.rows.items():
                for column, now in figures.items():
                    was = known.get(name, {}).get(column)
                    if was is not None and abs(now - was) > COUNTED_TWICE_DIFFERS * abs(was):
                        yield f"{title}: {name}, {column}: {was:,.2f} → {now:,.2f}"


def _changed(title: str, before: Row, after: Row) -> Iterator[str]:
    """Compares ratios where both runs have one, which do not depend on the day, or else times."""
    base = next((one for one in BASES if one in before.to and one in after.to), None)
    old: Row | Ratio = before.to[base] if base else before
    new: Row | Ratio = after.to[base] if base else after
    unit = f" × {base}" if base else " s"
    if new.p25 > old.p75 or new.p75 < old.p25:
        factor = new.median / old.median
        yield f"{title}: {old.median:.3g} → {new.median:.3g}{unit} ({factor:.2f} of before)"
