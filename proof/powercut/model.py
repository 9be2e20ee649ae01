"""The states of a store that its operations allow.

The writer does one operation at a time and waits for it.  So the only states that a power cut
may leave are those after a first part of its operations, no shorter than what was acknowledged.
A state is compared as a whole: whatever is lost, torn, doubled, out of order, left over or back
from the dead is a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from proof.powercut.history import SETUP, document, message, note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proof.powercut.history import Operation, Step

__all__ = ["State", "World", "allowed", "stages", "trashed"]

State: TypeAlias = dict[str, Any]
"""Documents by `category/name`: a note's text, a JSON value, or of a session `{"texts": …,
"topic": …, "from": …}`.  Sessions in the trash by `trash/name`: a list, last pruned last."""

Past: TypeAlias = dict[str, tuple[Any, ...]]
"""By the same places all values so far, `None` where it was absent; in the trash, a tuple of it."""

_MOST_WORLDS: Final = 200

_MANY: Final = ("prune", "empty")
"""Actions of several transactions: they may end after some of them."""

_ON_WHAT_IS_THERE: Final = ("patch", "change", "move", "fork")


class World(NamedTuple):
    """A state, and how every document came to it.

    Attributes:
        state: what a reader sees.
        past: what a history tells.
    """

    state: State
    past: Past


def trashed(name: str) -> str:
    """Where in a state the sessions of a name are that are in the trash."""
    return f"trash/{name}"


def stages(world: World, operation: Operation) -> list[World]:
    """The states on the way to what an operation makes, the last one with all of it.

    Values are never changed in place.  An operation that is not possible there makes nothing.
    """
    if operation.action in _MANY:
        found = [world]
        for name in operation.names:
            step = _discard if operation.action == "prune" else _forget
            found.append(step(found[-1], name))
        return found[1:]
    return [_after(world, operation)] if _is_possible(world, operation) else []


def allowed(steps: Iterable[Step], settled: int) -> Iterator[tuple[int, World]]:
    """Every state that a cut may leave, each with the number of steps it holds as a whole.

    A settled acknowledgement must be in it, a settled failure must not.  An operation whose
    end was not known, or came only after the cut, may be, as long as everything before it is.
    Where all operations fail, that would be ever more states: those of the first ones must do.
    """
    worlds = [World({}, {})]
    for operation in SETUP:
        worlds = [stages(world, operation)[-1] for world in worlds]
    count = 0
    for count, step in enumerate(steps, 1):
        operation = step.operation
        is_many = operation.action in _MANY
        under_way: list[World] = []
        done: list[World] = []
        if step.ending != "failed" or not step.settled or is_many:
            for found in (stages(world, operation) for world in worlds):
                under_way += found[:-1]
                done += found[-1:]
        if count > settled:
            yield from ((count - 1, world) for world in (*worlds, *under_way))
        if step.ending == "ack":
            worlds = done
        else:
            worlds += [one for one in (*under_way, *done) if one not in worlds]
        if count > settled and len(worlds) > _MOST_WORLDS:
            return
    yield from ((count, world) for world in worlds)


def _is_possible(world: World, operation: Operation) -> bool:
    """Whether an operation whose outcome is not known can have happened there."""
    state, place = world.state, operation.place
    match operation.action:
        case "undo":
            return len(world.past.get(place, ())) > 1
        case "restore":
            return place not in state and trashed(place.rpartition("/")[2]) in state
        case "move" | "fork":
            return place in state and operation.target not in state
        case action:
            return action not in _ON_WHAT_IS_THERE or place in state


def _after(world: World, operation: Operation) -> World:
    number, place = operation.number, operation.place
    old: Any = world.state.get(place)
    match operation.action:
        case "say" | "batch" | "turn":
            session = old or {"texts": [], "topic": None, "from": None}
            said = [message(number, index) for index in range(operation.amount)]
            topic = number if operation.action == "turn" else session["topic"]
            return _put(world, place, {**session, "texts": session["texts"] + said, "topic": topic})
        case "fork":
            origin = place.rpartition("/")[2]
            fork = {**old, "texts": old["texts"][: operation.amount], "from": origin}
            return _put(world, operation.target, fork)
        case "note":
            return _put(world, place, (old or "") + note(number))
        case "rewrite":
            return _put(world, place, note(number))
        case "save":
            return _put(world, place, document(number))
        case "patch" | "change":
            return _put(world, place, {**old, "number": number, "log": [*old["log"], number]})
        case "erase":
            return _put(world, place, None) if place in world.state else world
        case "undo":
            return _put(world, place, world.past[place][-2])
        case "move":
            return _move(world, place, operation.target)
        case _:
            return _restore(world, place)


def _put(world: World, place: str, value: Any) -> World:
    state, past = dict(world.state), dict(world.past)
    past[place] = (*past.get(place, (None,)), value)
    if value is None:
        state.pop(place, None)
    else:
        state[place] = value
    return World(state, past)


def _move(world: World, place: str, target: str) -> World:
    state, past = dict(world.state), dict(world.past)
    state[target] = state.pop(place)
    past[target] = past.pop(place)
    return World(state, past)


def _discard(world: World, name: str) -> World:
    """A session goes to the trash, unless it has gone there already."""
    place, there = f"sessions/{name}", trashed(name)
    if place not in world.state:
        return world
    state, past = dict(world.state), dict(world.past)
    state[there] = [*state.get(there, []), state.pop(place)]
    past[there] = (*past.get(there, ()), past.pop(place))
    return World(state, past)


def _restore(world: World, place: str) -> World:
    """The session of this name that was pruned last comes back."""
    there = trashed(place.rpartition("/")[2])
    state, past = dict(world.state), dict(world.past)
    *others, state[place] = state.pop(there)
    *pasts, past[place] = past.pop(there)
    if others:
        state[there], past[there] = others, tuple(pasts)
    return World(state, past)


def _forget(world: World, name: str) -> World:
    """The session of this name that was pruned first is gone for good."""
    there = trashed(name)
    if there not in world.state:
        return world
    state, past = dict(world.state), dict(world.past)
    others, pasts = state.pop(there)[1:], past.pop(there)[1:]
    if others:
        state[there], past[there] = others, pasts
    return World(state, past)
