"""The verdict on a storm, from the logs and the store that it left."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, structs

from proof.storm.finale import finale
from proof.storm.foreman import Told
from proof.storm.linearize import Stuck, TooManyError, linearize
from proof.storm.model import NOTHING, UPKEEP, family_of, foreseeing, step
from proof.storm.record import Line, faults, operations, read_log
from proof.storm.workers import LOGS, does_several_at_once

if TYPE_CHECKING:
    from proof.storm.model import Operation, State, Tokens

__all__ = ["Verdict", "judge", "not_linearizable"]


class Verdict(Struct):
    """What came out.

    Attributes:
        kills, stops: processes that were killed, and stopped for a moment.
        operations: calls on documents.
        acknowledged: of those, the ones whose outcome was known; the others were cut off.
        retries: calls that were made again with the same id; `duplicates`: that were found done.
        documents: families that were judged.
        upkeep: checkpoints, checks, repairs, lists and openings beside them.
        states: earlier states that were compared with the history.
        problems: promises that were broken.
    """

    kills: int = 0
    stops: int = 0
    operations: int = 0
    acknowledged: int = 0
    retries: int = 0
    duplicates: int = 0
    documents: int = 0
    upkeep: int = 0
    states: int = 0
    problems: list[str] = []


def judge(folder: str) -> Verdict:
    """Judges a storm that is over; writes to the store, as a last caller."""
    with open(f"{folder}/logs/foreman.json", "rb") as file:
        told = msgspec.json.decode(file.read(), type=Told)
    verdict = Verdict(told.kills, told.stops, problems=list(told.problems))
    logs = _logs(folder)
    told.dead_at["finale"] = sys.maxsize
    for name, lines in logs.items():
        verdict.problems += [f"{name}: {fault}" for fault in faults(lines)]
    found = [
        one for name, lines in logs.items() for one in operations(name, lines, told.dead_at[name])
    ]
    known: dict[tuple[str, str], Tokens] = {}
    for one in found:
        outcome = one.outcome
        if one.call.action == "read" and outcome and outcome.version and outcome.value is not None:
            known[one.call.place, outcome.version] = outcome.value
    if "finale" not in logs:
        verdict.states, wrong = finale(folder, known)
        verdict.problems += wrong
        found += operations("finale", read_log(f"{folder}/logs/finale.log"), sys.maxsize)
    _count(verdict, found)
    verdict.problems += _upkeep(found)
    on_documents = [one for one in found if one.call.action not in UPKEEP]
    verdict.problems += _log_sessions(on_documents)
    verdict.problems += not_linearizable(on_documents)
    return verdict


def not_linearizable(history: list[Operation]) -> list[str]:
    """What is wrong with the operations of each family of documents."""
    tried = Counter(one.call.tx_id for one in history)
    families: dict[str, list[Operation]] = defaultdict(list)
    for one in history:
        if one.optional and one.call.action == "read":
            continue  # nobody was told what it read
        call = one.call
        if tried[call.tx_id] == 1:  # only ids that are used again make a difference
            one = structs.replace(one, call=structs.replace(call, tx_id=None))  # noqa: PLW2901
        families[family_of(call.place)].append(one)
    problems = []
    for family, some in sorted(families.items()):
        try:
            result = _search(some)
        except TooManyError as error:
            problems.append(f"{family}: not decided: {error}")
            continue
        if isinstance(result, Stuck):
            problems.append(_explain(family, result))
    return problems


def _search(history: list[Operation]) -> Stuck[State, Operation] | set[State]:
    try:
        return linearize(NOTHING, history, step)  # where this is stuck, it tells more
    except TooManyError:
        return linearize(NOTHING, history, foreseeing(history))


def _explain(family: str, stuck: Stuck[State, Operation]) -> str:
    lines = [f"{family} is not linearizable: this cannot have come out:", f"  {stuck.operation}"]
    lines += [f"  beside it: {one}" for one in stuck.open if one is not stuck.operation]
    lines += [f"  possible before it: {state}" for state in stuck.states[:8]]
    return "\n".join(lines)


def _logs(folder: str) -> dict[str, list[Line]]:
    return {
        os.path.basename(path).removesuffix(".log"): read_log(path)
        for path in sorted(glob.glob(f"{folder}/logs/*.log"))
    }


def _count(verdict: Verdict, found: list[Operation]) -> None:
    on_documents = [one for one in found if one.call.action not in UPKEEP]
    known = [one.outcome for one in on_documents if one.outcome is not None]
    ids = Counter(one.call.tx_id for one in on_documents if one.call.tx_id)
    verdict.operations = len(on_documents)
    verdict.upkeep = len(found) - len(on_documents)
    verdict.acknowledged = len(known)
    verdict.retries = sum(ids.values()) - len(ids)
    verdict.duplicates = sum(one.duplicate for one in known)
    verdict.documents = len({family_of(one.call.place) for one in on_documents})


def _upkeep(found: list[Operation]) -> list[str]:
    """Checks found nothing bad, and no list was behind what was acknowledged before it."""
    problems = []
    appended = {place: _appends(found, place) for place in LOGS}
    for one in found:
        outcome = one.outcome
        if outcome is None or outcome.error:
            continue
        problems += [f"{one.who}, {one.call.action}: {text}" for text in outcome.worse]
        if one.call.action != "list":
            continue
        for place, some in appended.items():
            count = outcome.counts.get(place.partition("/")[2], 0)
            sure = sum(
                len(other.call.tokens)
                for other in some
                if other.end < one.begin and other.outcome and not other.outcome.duplicate
            )
            begun = sum(len(other.call.tokens) for other in some if other.begin < one.end)
            if not sure <= count <= begun:
                problems.append(
                    f"{one.who} lists {count} messages in {place}; "
                    f"{sure} were acknowledged before it, {begun} begun"
                )
    return problems


def _appends(found: list[Operation], place: str) -> list[Operation]:
    return [
        one
        for one in found
        if one.call.place == place
        and one.call.action == "append"
        and not (one.outcome and one.outcome.error)
    ]


def _log_sessions(history: list[Operation]) -> list[str]:
    """The plainest promises, without a model: nothing is lost, there twice, or out of order."""
    problems = []
    for place in LOGS:
        reads = [one for one in history if (one.call.action, one.call.place) == ("read", place)]
        last = max(reads, key=lambda one: one.begin).outcome if reads else None
        there = (last and last.value) or ()
        often = Counter(there)
        appends = _appends(history, place)
        ids = Counter(one.call.tx_id for one in appends if one.call.tx_id)
        for one in appends:
            for token in one.call.tokens:
                if one.outcome is not None and not often[token]:
                    problems.append(f"{place} lost {token}, which {one.who} was told of")
                tried_again = one.call.tx_id is not None and ids[one.call.tx_id] > 1
                if often[token] > 1 and not tried_again:
                    problems.append(f"{place} has {token} {often[token]} times")
        problems += _out_of_order(place, there)
    return problems


def _out_of_order(place: str, there: Tokens) -> list[str]:
    """Who waits for each acknowledgement finds its messages in its order."""
    problems = []
    last: dict[str, list[int]] = {}
    for token in dict.fromkeys(there):
        writer, _, number = token.partition("-")
        now = [int(part) for part in number.split(".")]
        if not does_several_at_once(writer) and now <= last.get(writer, [0]):
            problems.append(f"{place} has {token} behind {writer}-{last[writer]}")
        last[writer] = now
    return problems
