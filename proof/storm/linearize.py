"""Could operations that overlapped have happened one after the other, each at one moment?

That is linearizability (Herlihy & Wing 1990).  The search is just-in-time linearization (Lowe
2017): it goes through the beginnings and ends in the order of time and carries along every
configuration that is still possible, which is a state and those open operations that have
happened already.  Only when an operation ends must it have happened, so nothing is tried sooner.
Equal configurations are one, however they came about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

__all__ = ["Stuck", "TooManyError", "linearize"]

_MOST = 20_000
"""Configurations at one moment, beyond which the search gives up."""


class Span(Protocol):
    """What the search must know of an operation.

    Attributes:
        begin, end: when it was called, and when its outcome was known.
        optional: nobody was told of an outcome: it may have happened in between, or never.
    """

    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def optional(self) -> bool: ...


S = TypeVar("S")
O = TypeVar("O", bound=Span)  # noqa: E741 - an operation

_Config: TypeAlias = tuple[S, frozenset[int]]


class Stuck(NamedTuple, Generic[S, O]):
    """Why a history is not linearizable.

    Attributes:
        operation: the first one that cannot have ended as it did.
        open: the others that were open then.
        states: those that were possible before it.
    """

    operation: O
    open: list[O]
    states: list[S]


class TooManyError(Exception):
    """The search gave up: the history is neither refused nor accepted."""


def linearize(
    initial: S, operations: Sequence[O], step: Callable[[S, O], Iterable[S]]
) -> Stuck[S, O] | set[S]:
    """Looks for an order of operations that explains every outcome.

    Args:
        initial: the state before all of them; states are hashable and never changed.
        operations: in any order.
        step: the states that an operation can lead to if it happens in a state as it was
            reported; none, if it cannot have.

    Returns:
        The states that are possible in the end; or where it is stuck.

    Raises:
        TooManyError: too much is possible.
    """
    events = sorted(
        [(one.begin, False, index) for index, one in enumerate(operations)]
        + [(one.end, True, index) for index, one in enumerate(operations)]
    )
    configs: set[_Config[S]] = {(initial, frozenset())}
    still_open: dict[int, O] = {}
    for _, ends, index in events:
        operation = operations[index]
        if not ends:
            still_open[index] = operation
            continue
        after = _happened(configs, index, still_open, step)
        if operation.optional:
            after |= {config for config in configs if index not in config[1]}
        del still_open[index]
        if not after:
            states = list({state for state, _ in configs})
            return Stuck(operation, list(still_open.values()), states)
        configs = after
    return {state for state, _ in configs}


def _happened(
    configs: Collection[_Config[S]],
    index: int,
    still_open: dict[int, O],
    step: Callable[[S, O], Iterable[S]],
) -> set[_Config[S]]:
    """Every configuration in which an operation has happened; it is forgotten there."""
    found: set[_Config[S]] = set()
    seen = set(configs)
    to_do = list(configs)
    while to_do:
        state, done = to_do.pop()
        if index in done:
            found.add((state, done - {index}))
            continue
        for other, operation in still_open.items():
            if other in done:
                continue
            for after in step(state, operation):
                config = (after, done | {other})
                if config not in seen:
                    seen.add(config)
                    to_do.append(config)
        if len(seen) > _MOST:
            raise TooManyError(f"more than {_MOST} configurations at {still_open[index]}")
    return found
