"""Which commits of a document the change feed lacks, found out from its files (F-4, F-5)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from plainstate.core.record import HeadRecord, TransactionRecord, number_in
from plainstate.types import action_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plainstate.engines.file.reader import Reading
    from plainstate.types import Action

__all__ = ["ToldLine", "Untold", "untold"]

ToldLine: TypeAlias = tuple[int, str | None]
"""What a line of the feed tells of its document: number and version."""


class Untold(NamedTuple):
    """What a line that the feed lacks has to say."""

    action: Action
    seq: int
    version: str | None
    tx: str


class _Commit(NamedTuple):
    seq: int
    version: str | None
    tx: str


def untold(
    reading: Reading, told: Sequence[ToldLine], *, unsure: Sequence[ToldLine], complete: bool
) -> list[Untold]:
    """Everything from the first commit on that the feed did not tell.

    What it told behind that one is told again: so the last line about a document always is
    its newest state.

    Args:
        reading: the document.
        told: the lines about it, oldest first, as far as they are known.
        unsure: those of them that readers may have missed.
        complete: these are all there ever were.  Otherwise a commit before them counts as told.
    """
    commits = _commits(reading)
    newest = commits[-1]
    if not told and not newest.seq:
        return []  # there never was such a document
    since = _in_question(reading, told, complete=complete)
    first = next(
        (
            number
            for number, one in enumerate(commits)
            if one.seq >= since and (one[:2] not in told or one[:2] in unsure)
        ),
        None,
    )
    if first is None:
        if told and _is_same(told[-1], newest):
            return []
        first = len(commits) - 1
    before = told[-1][1] is not None if told else commits[0].seq > 1
    exists = [before, *(one.version is not None for one in commits)]
    actions = [action_of(existed=was, exists=now) for was, now in pairwise(exists)]
    if reading.basis.kind == "edited":
        actions[-1] = "edit"
    return [
        Untold(action, *one) for action, one in zip(actions[first:], commits[first:], strict=True)
    ]


def _in_question(reading: Reading, told: Sequence[ToldLine], *, complete: bool) -> int:
    """The number from which on a commit that is not among the known lines was not told."""
    if complete:
        return 0
    if told:
        return min(seq for seq, _ in told)
    # what is folded was told long ago
    waiting = (line.seq for line in reading.records if isinstance(line, TransactionRecord))
    return min(waiting, default=reading.basis.seq)


def _is_same(told: ToldLine, newest: _Commit) -> bool:
    """Whether a line tells the newest state: absent is absent."""
    return told[1] == newest.version and (told[1] is None or told[0] == newest.seq)


def _commits(reading: Reading) -> list[_Commit]:
    """All that the files still know of, by number; the newest is last."""
    basis, records = reading.basis, reading.records
    found: dict[int, _Commit] = {}
    ids: dict[int, str] = {}
    for number, line in enumerate(records):
        if isinstance(line, TransactionRecord):
            ids[line.seq] = line.tx
            found[line.seq] = _Commit(line.seq, None if line.deletes else line.version, line.tx)
        elif line.seq and _took_effect(reading, number):
            # lower numbers in `recent` may, behind a rename, be those of the other name
            remembered = (tx for tx, version in line.recent.items() if _seq_of(version) == line.seq)
            ids[line.seq] = line.tx or ids.get(line.seq) or next(remembered, "")
            found[line.seq] = _Commit(line.seq, line.version, ids[line.seq])
    last = found.get(basis.seq)
    if last is None or last.version != basis.version:
        found[basis.seq] = _Commit(basis.seq, basis.version, "")
    return [found[seq] for seq in sorted(found) if seq <= basis.seq]


def _seq_of(version: str | None) -> int:
    return 0 if version is None else number_in(version)


def _took_effect(reading: Reading, number: int) -> bool:
    """Whether a head is known to be more than announced (J-11)."""
    records, basis = reading.records, reading.basis
    line = records[number]
    if (line.seq, line.version) == (basis.seq, basis.version):
        return True
    if number == 0:
        return reading.journal  # a head at rest may wait for a rename that was cut off
    if number + 1 == len(records):
        return False
    behind = records[number + 1]
    return isinstance(behind, TransactionRecord) or (
        isinstance(behind, HeadRecord) and bool(behind.tx) and behind.seq > line.seq
    )
