"""What is looked at when all is over: what kills left behind, and what a clean close makes of it.

Everything that is read here is recorded like any other call, so the model judges it, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TypeAlias

from plainstate import StateStore, check_store
from plainstate.errors import NotFoundError, PlainstateError
from proof.storm.model import TRASH, Call, Outcome, Tokens
from proof.storm.perform import blocking, kind_of, perform, text_of
from proof.storm.record import Recorder
from proof.storm.workers import PLACES

__all__ = ["Known", "finale"]

Known: TypeAlias = Mapping[tuple[str, str], Tokens]
"""Values that were read in the storm, by place and version."""

_KILLS_LEAVE: Final = frozenset(
    {
        "cut-off",
        "feed-behind",
        "feed-gap",
        "head-orphaned",
        "history-torn",
        "index-behind",
        "journal-torn",
        "quarantined",
        "temp-stale",
        "writer-dead",
    }
)
"""Findings that a kill explains; all of them are notes."""

_STAYS: Final = frozenset({"feed-gap", "head-orphaned", "quarantined"})
"""And those of them that a clean close leaves."""

_MOST_STATES: Final = 300


def finale(folder: str, known: Known) -> tuple[int, list[str]]:
    """Looks at a store whose writers have all ended.

    Args:
        folder: holds the store and the logs, of which this writes one more.
        known: what earlier states must still be if they are kept.

    Returns:
        How many earlier states were compared, and what is wrong.
    """
    base = f"{folder}/store"
    if not os.path.exists(base):
        return 0, []
    recorder = Recorder(f"{folder}/logs/finale.log")
    problems: list[str] = []
    compared = 0
    try:
        problems += _unexplained("after the storm", base, _KILLS_LEAVE)
        compared = _settle(base, recorder, known, problems)
        problems += [f"{path} is left by a clean close" for path in _left(base)]
        problems += _unexplained("after a clean close", base, _STAYS)
        with StateStore(base) as store:
            _read_all(store, recorder)
            problems += _lists(store, base)
    except PlainstateError as error:
        problems.append(f"after the storm: {error!r}")
    recorder.close()
    return compared, problems


def _settle(base: str, recorder: Recorder, known: Known, problems: list[str]) -> int:
    """One more caller, who reads everything, and closes the store cleanly."""
    with StateStore(base) as store:
        _read_all(store, recorder)
        compared, wrong = _look_back(store, known)
        problems += wrong
        _bring_back_the_trash(store, recorder)
        if store.trash():
            problems.append(f"the trash still holds {store.trash()}")
        for place in PLACES["old"]:  # a writer, so that closing looks after the dead
            _do(store, recorder, Call("append", place, (f"finale-{place}",)))
    return compared


def _do(store: StateStore, recorder: Recorder, call: Call) -> Outcome:
    return blocking(recorder.record(call, lambda one: perform(store, one)))


def _read_all(store: StateStore, recorder: Recorder) -> None:
    for places in PLACES.values():
        for place in places:
            _do(store, recorder, Call("read", place))


def _bring_back_the_trash(store: StateStore, recorder: Recorder) -> None:
    for one in store.trash():
        place = f"sessions/{one.id}"
        _do(store, recorder, Call("delete", place))
        _do(store, recorder, Call("move", f"{TRASH}/{one.run}/{one.id}", target=place))
        _do(store, recorder, Call("read", place))


def _look_back(store: StateStore, known: Known) -> tuple[int, list[str]]:
    """Earlier states that are kept are those that were read when they were the newest."""
    compared, problems = 0, []
    for (place, version), tokens in known.items():
        category, _, name = place.rpartition("/")
        if category == "sessions" or compared == _MOST_STATES:
            continue
        kind = kind_of(place)
        try:
            document = store.read(category, name, kind=kind, at=version)
        except NotFoundError:
            continue
        texts = [text_of(token) for token in tokens]
        expected = "".join(f"{text}\n" for text in texts) if kind == "markdown" else texts
        compared += 1
        if document is None or document.value != expected:
            problems.append(f"the history of {place} tells another {version} than was read")
    return compared, problems


def _unexplained(when: str, base: str, explained: frozenset[str]) -> list[str]:
    return [
        f"{when}, a check finds {one.code}: {one.message}"
        for one in check_store(base).findings
        if one.severity != "note" or one.code not in explained
    ]


def _left(base: str) -> list[str]:
    """Files that a clean close must not leave."""
    found = []
    for folder, _, names in os.walk(base):
        inside = os.path.relpath(folder, base)
        own = inside.startswith(".plainstate")
        if inside.startswith(".plainstate/quarantine"):
            continue
        for name in names:
            journal = name.endswith((".jsonl", ".mdl")) and not own
            if journal or name.startswith(".tmp-") or inside == ".plainstate/writers":
                found.append(os.path.join(inside, name))
    return found


def _lists(store: StateStore, base: str) -> list[str]:
    """Lists tell exactly the plain files."""
    problems = []
    for category in sorted(
        {place.rpartition("/")[0] for some in PLACES.values() for place in some}
    ):
        folder = os.path.join(base, category)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        files = sorted(name.rpartition(".")[0] for name in names)
        listed = store.list_category(category)
        if listed != files:
            problems.append(f"the list of {category} is {listed}, its files are {files}")
    return problems
