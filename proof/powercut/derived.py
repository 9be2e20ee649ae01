"""What a store derives from its documents, compared with the documents: lists, search, the change
feed; and the pasts of documents."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from proof.powercut.history import SETUP, word
from proof.powercut.operations import FOLLOWER, kind_of, places_in, stripped

if TYPE_CHECKING:
    from plainstate import StateStore
    from plainstate.watching import Watch
    from proof.powercut.history import Case, Seen
    from proof.powercut.model import State, World

__all__ = ["BrokenError", "check_feed", "check_lists", "check_past", "check_search"]

_SCAN_TIMEOUT_S: Final = 10
_SEARCHES: Final = 12
_HITS: Final = 1_000
_KEPT_FOR_SURE: Final = 3
"""States of a document: no four of them exceed what a history keeps here."""


class BrokenError(Exception):
    """A promise is broken."""


def check_lists(store: StateStore) -> None:
    """Lists and counts tell what the documents tell, one by one.

    Raises:
        BrokenError: something differs.
    """
    listed = store.list_sessions()
    there = [place.split("/") for place in places_in(store) if store.exists(*place.split("/"))]
    names = [name for category, name in there if category == "sessions"]
    if sorted(one.id for one in listed) != names or store.count_sessions() != len(names):
        raise BrokenError("the list of sessions is not the list of their documents")
    for one in listed:
        session = store.load_session(one.id)
        told = one.user_id, one.message_count, one.updated_at
        if session is None or told != (session.user_id, len(session.turns()), session.updated_at):
            raise BrokenError(f"the list tells an old state of sessions/{one.id}")
    listed_names = [
        [category, name]
        for category in store.list_categories()
        for name in store.list_category(category)
    ]
    if listed_names != there:
        raise BrokenError("the lists of documents differ from their files")
    if store.count_documents() != Counter(category for category, _ in there):
        raise BrokenError("documents are counted wrong")


def check_search(store: StateStore, state: State, case: Case, held: int) -> None:
    """Search finds words where they are, and words of what is not there nowhere.

    Args:
        store: what to search.
        state: what is in it.
        case: what was done.
        held: how many steps of it are there.

    Raises:
        BrokenError: a search found less or more.
    """
    numbers = [one.number for one in (*SETUP, *(step.operation for step in case.steps))]
    numbers = numbers[: len(SETUP) + held + _SEARCHES // 2]
    numbers = random.Random(held).sample(numbers, min(_SEARCHES, len(numbers)))
    texts = {
        place: json.dumps(value) for place, value in state.items() if not place.startswith("trash/")
    }
    for wanted in map(word, numbers):
        found = {str(hit.document) for hit in store.search(wanted, limit=_HITS)}
        there = {place for place, text in texts.items() if wanted in text}
        if found != there:
            place = min(found ^ there)
            raise BrokenError(f"search {'misses' if place in there else 'wrongly finds'} {place}")


def check_feed(store: StateStore, case: Case) -> None:
    """Who followed before the cut learns the state of every document that has changed since.

    Once with the cursor of a program that was last there before the run, once by the name of the
    follower that went on during the run.

    Raises:
        BrokenError: the last that was told of a document is not what it is.
    """
    with store.watch(case.cursor) as watch:
        _catch_up(store, watch, case.known)
    both = {place: case.known.get(place, [None]) for place in case.seen}
    known = {**case.known, **{place: [*old, *case.seen[place]] for place, old in both.items()}}
    with store.watch(follower=FOLLOWER) as watch:
        _catch_up(store, watch, known)


def check_past(store: StateStore, worlds: list[World], *, certain: bool) -> None:
    """Every history is readable, and is the end of a document's past.

    Args:
        store: one that keeps its history.
        worlds: how it can have come to its state.
        certain: whether one of them must be right.

    Raises:
        BrokenError: none of them is.
    """
    places = sorted({place for world in worlds for place in world.past if "trash/" not in place})
    told = {place: _told(store, place) for place in places}
    wrong: list[str] = []
    for world in worlds if certain else ():
        wrong = [place for place in places if not _ends(world.past.get(place, ()), told[place])]
        if not wrong:
            return
    if wrong:
        raise BrokenError(f"the history of {wrong[0]} tells another past")


def _catch_up(store: StateStore, watch: Watch, known: Seen) -> None:
    """Reads what is told until it agrees with the documents: the scan behind the opening of a store
    may still be telling."""
    told: dict[str, str | None] = {}
    while True:
        while change := watch.next(timeout_s=0):
            told[str(change.document)] = change.version
        wrong = _wrongly_told(store, told, known)
        if not wrong:
            return
        change = watch.next(timeout_s=_SCAN_TIMEOUT_S)
        if change is None:
            raise BrokenError(f"the feed does not tell the state of {wrong}")
        told[str(change.document)] = change.version


def _wrongly_told(store: StateStore, told: dict[str, str | None], known: Seen) -> str:
    """A document of which a follower would have a wrong idea, or nothing."""
    for place in sorted({*places_in(store), *told, *known}):
        document = store.read(*place.split("/"))
        version = None if document is None else document.version
        last = [told[place]] if place in told else known.get(place, [None])
        if version not in last:
            return place
    return ""


def _told(store: StateStore, place: str) -> list[Any]:
    """The states that a history tells, oldest first, without those that only a probe changed."""
    category, name = place.split("/")
    kind = kind_of(category)
    values = []
    for entry in reversed(store.history(category, name, kind=kind)):
        if entry.patch:  # a rename has none
            read = store.read(category, name, kind=kind, at=entry.seq)
            values.append(None if read is None else stripped(place, read.value)[0])
    return [value for value, _ in groupby(values)]


def _ends(past: tuple[Any, ...], told: list[Any]) -> bool:
    """Whether a history tells the end of a past, and enough of it."""
    behind_absence = past[1:] if past and past[0] is None else past
    if len(told) < min(len(behind_absence), _KEPT_FOR_SURE):
        return False
    whole = [None, *behind_absence]
    return not told or whole[-len(told) :] == told
