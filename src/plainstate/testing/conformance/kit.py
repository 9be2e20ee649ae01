"""What cases are made of: a registry, checks, and a driver for both faces.

A case is written once, as a coroutine that awaits every call.  On a blocking store the
calls return at once, so that the coroutine never waits and needs no event loop.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from plainstate.core.summary import SESSIONS
from plainstate.errors import PlainstateError
from plainstate.types import DocumentId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Sequence

    from plainstate.types import Json

__all__ = ["CASES", "Case", "Kit", "case", "equal", "play", "refused", "that"]


class Case(Struct, frozen=True):
    """One behaviour that every store must show.

    Attributes:
        name: of its function.
        says: the behaviour, one sentence.
        run: shows it, or raises `AssertionError`.
        reopens: it closes the store and opens it again, or opens it twice.
    """

    name: str
    says: str
    run: Callable[[Kit], Coroutine[Any, Any, None]]
    reopens: bool = False


CASES: list[Case] = []


def case(
    *, reopens: bool = False
) -> Callable[[Callable[[Kit], Coroutine[Any, Any, None]]], Callable[[Kit], Any]]:
    """Enters a function among the cases."""

    def enter(run: Callable[[Kit], Coroutine[Any, Any, None]]) -> Callable[[Kit], Any]:
        CASES.append(Case(run.__name__, (run.__doc__ or "").strip(), run, reopens))
        return run

    return enter


class Kit:
    """What a case works with.

    Attributes:
        store: an empty store; every method is awaited, `transaction` and `watch` are used in
            `async with`.
    """

    def __init__(self, open_store: Callable[[], Any]) -> None:
        self._open_store = open_store
        self._opened: list[Any] = []
        raw = open_store()
        self.is_async = hasattr(raw, "__aenter__")
        self.store = self._face(raw)

    def another(self) -> Any:
        """A second handle on the same store."""
        return self._face(self._open_store())

    def put_by_hand(self, name: str, value: Json) -> None:
        """Puts JSON where sessions are, be it a session or not: no call of the store does that."""
        store = self.store._store  # noqa: SLF001 - as do the next two: nobody else needs them
        engine = getattr(store, "_store", store)._engine  # noqa: SLF001
        engine.replace(DocumentId(SESSIONS, name), value)

    async def reopen(self) -> None:
        """Closes the store and opens it again."""
        await self.store.close()
        self.store = self.another()

    async def together(self, calls: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
        """Runs coroutines at once, as tasks or as threads; returns what each returned."""
        if self.is_async:
            from asyncio import gather

            return list(await gather(*(call() for call in calls)))
        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(lambda call: _drive(call()), calls))

    async def close(self) -> None:
        """Closes every handle that was opened."""
        for store in self._opened:
            await store.close()

    def _face(self, raw: Any) -> Any:
        store = _Face(raw, is_async=self.is_async)
        self._opened.append(store)
        return store


def play(one: Case, open_store: Callable[[], Any]) -> None:
    """Runs a case.

    Args:
        one: the case.
        open_store: opens an empty store, of either face; called again, it opens the same one.

    Raises:
        AssertionError: the store behaves differently.
    """
    kit = Kit(open_store)
    if kit.is_async:
        from asyncio import run

        run(_play(one, kit))
    else:
        _drive(_play(one, kit))


async def _play(one: Case, kit: Kit) -> None:
    try:
        await one.run(kit)
    finally:
        await kit.close()


class _Face:
    """A store of either face, whose calls begin when they are awaited."""

    def __init__(self, store: Any, *, is_async: bool) -> None:
        self._store = store
        self._is_async = is_async

    def transaction(self, *args: Any, **options: Any) -> Any:
        transaction = self._store.transaction(*args, **options)
        return transaction if self._is_async else _AwaitedWith(transaction)

    def watch(self, *args: Any, **options: Any) -> Any:
        watch = self._store.watch(*args, **options)
        return watch if self._is_async else _AwaitedWatch(watch)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **options: Any) -> _Call:
            return _Call(lambda: method(*args, **options), is_async=self._is_async)

        return call


class _Call:
    """A call that begins when it is awaited."""

    def __init__(self, make: Callable[[], Any], *, is_async: bool) -> None:
        self._make = make
        self._is_async = is_async

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._is_async:
            return (yield from self._make().__await__())
        return self._make()


class _AwaitedWith:
    """A `with` for `async with`."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aenter__(self) -> Any:
        return self._inner.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self._inner.__exit__(*error)


class _AwaitedWatch(_AwaitedWith):
    """A blocking watch for `async with` and `async for`."""

    async def __aenter__(self) -> Any:
        self._inner.__enter__()
        return self

    def stop(self) -> None:
        self._inner.stop()

    async def next(self, timeout_s: float | None = None) -> Any:
        return self._inner.next(timeout_s)

    @property
    def cursor(self) -> Any:
        return self._inner.cursor

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        change = self._inner.next()
        if change is None:
            raise StopAsyncIteration
        return change


def _drive(awaited: Awaitable[Any]) -> Any:
    """Runs what never waits."""
    steps = awaited.__await__()
    try:
        next(steps)
    except StopIteration as end:
        return end.value
    steps.close()
    raise AssertionError("a call on a blocking store waited for an event loop")


# --- checks --------------------------------------------------------------------


def that(truth: object, what: str) -> None:
    """Raises `AssertionError` unless it is true; unlike `assert`, with `python -O` as well."""
    if not truth:
        raise AssertionError(f"not so: {what}")


def equal(found: Any, expected: Any) -> None:
    """Compares values and their types, all the way down: 1, 1.0 and true differ."""
    if not _alike(found, expected):
        raise AssertionError(f"found    {found!r}\nexpected {expected!r}")


def _alike(a: Json, b: Json) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_alike(x, y) for x, y in zip(a, b, strict=True))
    plain = (bool, int, float)
    same_type = type(a) is type(b) or not isinstance(a, plain) or not isinstance(b, plain)
    return bool(same_type and a == b)


async def refused(
    kind: type[PlainstateError], call: Awaitable[Any], **attributes: Any
) -> PlainstateError:
    """Awaits a call that must be refused.

    Args:
        kind: exactly this class of error, not one derived from it.
        call: what to await.
        attributes: values that the error must have.

    Returns:
        The error: it has a code, a hint, every documented attribute, and pickles.
    """
    try:
        outcome = await call
    except PlainstateError as error:
        that(type(error) is kind, f"{kind.__name__} is raised, not {error!r}")
        _check_error(error)
        equal({name: getattr(error, name) for name in attributes}, attributes)
        return error
    raise AssertionError(f"{kind.__name__} is not raised; the call returned {outcome!r}")


def _check_error(error: PlainstateError) -> None:
    that(error.code == type(error).code != "", f"{error!r} has a code")
    that(error.hint.strip(), f"{error!r} has a hint")
    that(str(error) == error.message, f"{error!r} shows its message")
    names = {name for base in type(error).__mro__ for name in getattr(base, "__annotations__", ())}
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made one line ago
    for name in ("message", "hint", *sorted(names)):
        that(hasattr(error, name), f"{type(error).__name__} has {name}")
        that(hasattr(again, name), f"{name} of {type(error).__name__} survives pickling")
        equal(getattr(again, name), getattr(error, name))
    that(type(again) is type(error), f"{type(error).__name__} pickles as itself")
