"""Compares what was acknowledged with what was seen."""

from __future__ import annotations

import glob
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from plainstate.engines.file.engine import FileEngine
from plainstate.types import DocumentId

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Verdict", "judge"]


class Verdict(Struct):
    """What came out.

    Attributes:
        commits: acknowledged ones.
        lines: that the first follower was told.
        repeats: of those, lines that it had seen before.
        late: of those, commits told behind a later one of the same document: after kills only.
        gaps: pages of all followers that told of a gap.
        problems: promises that were broken.
    """

    commits: int = 0
    lines: int = 0
    repeats: int = 0
    late: int = 0
    gaps: int = 0
    problems: list[str] = []


def judge(base: str, logs: str, *, strict: bool) -> Verdict:
    """Judges a campaign that has ended.

    Args:
        base: the store.
        logs: folder of what the workers said.
        strict: nobody was killed: the order of each document holds at once.
    """
    verdict = Verdict()
    acknowledged = [tuple(one) for path in _logs(logs, "write") for one in _read(path)]
    verdict.commits = len(acknowledged)
    engine = FileEngine(base)
    try:
        seen = {"a fresh reader": _everything(engine)}
        for path in _logs(logs, "follow"):
            pages = list(_read(path))
            verdict.gaps += sum(page["gap"] for page in pages)
            seen[path] = [line for page in pages for line in page["lines"]]
        for number, (who, lines) in enumerate(seen.items()):
            _judge_one(verdict, who, lines, acknowledged, strict=strict, count=number == 1)
            _judge_end(verdict, who, lines, engine)
    finally:
        engine.close()
    return verdict


def _everything(engine: FileEngine) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while len(page := engine.changes(cursor, limit=1000)):
        found += [[one.tx_id, str(one.document), one.seq, one.version, one.action] for one in page]
        cursor = page.cursor
    return found


def _judge_one(
    verdict: Verdict,
    who: str,
    lines: list[Any],
    acknowledged: list[Any],
    *,
    strict: bool,
    count: bool,
) -> None:
    ids = {line[0] for line in lines}
    places = {(document, seq) for _, document, seq, _, _ in lines}
    for tx_id, document, seq, version in acknowledged:
        if (tx_id and tx_id not in ids) or (document, seq) not in places:
            verdict.problems.append(f"{who} missed {tx_id}: {document} {version}")
    highest: dict[str, int] = defaultdict(int)
    versions = {(document, seq): version for _, document, seq, version in acknowledged}
    deleted = {tx_id for tx_id, _, _, _, action in lines if action == "delete"}
    for tx_id, document, seq, version, _ in lines:
        was = versions.get((document, seq), version)
        if version not in (was, None) or (version is not None and tx_id and tx_id in deleted):
            verdict.problems.append(f"{who} was told {document} {version}, which never was")
    known = set()
    repeats = late = 0
    for _, document, seq, version, _ in lines:
        if (document, seq, version) in known:
            repeats += 1
        elif seq < highest[document]:
            late += 1
        known.add((document, seq, version))
        highest[document] = max(highest[document], seq)
    if strict and late:
        verdict.problems.append(f"{who}: {late} lines out of order")
    if count:
        verdict.lines, verdict.repeats, verdict.late = len(lines), repeats, late


def _judge_end(verdict: Verdict, who: str, lines: list[Any], engine: FileEngine) -> None:
    last = {document: version for _, document, _, version, _ in lines}
    for name, version in last.items():
        category, _, stem = name.rpartition("/")
        state = engine.read(DocumentId(category, stem))
        now = None if state is None else state.version
        if now != version:
            verdict.problems.append(f"{who}: {name} ends with {version}, and is {now}")


def _logs(folder: str, role: str) -> list[str]:
    return sorted(glob.glob(f"{folder}/{role}-*.log"))


def _read(path: str) -> Iterator[Any]:
    with open(path, encoding="utf-8") as file:
        yield from map(json.loads, file)
