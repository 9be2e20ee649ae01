"""What the generated methods of the async face stand on.

The blocking code is the truth: each call crosses to a thread once.  Calls that wait
for the same document are committed together there.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack
from weakref import WeakSet

from plainstate.aio.appending import Appender, closed_error
from plainstate.aio.submitting import submit
from plainstate.aio.watching import AsyncWatch
from plainstate.engines.base import Together
from plainstate.errors import UsageError
from plainstate.store import StateStore, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from plainstate.engines.base import Engine
    from plainstate.transaction import DocumentTransaction
    from plainstate.types import Commit, Durability, Json

__all__ = ["AsyncBase", "AsyncTransaction"]

T = TypeVar("T")

_WRITERS: Final = 32
"""Threads for writing: durable appends to different files scale up to about so many."""

_READERS: Final = 8
"""Threads for reading, which never waits for a lock."""


class AsyncBase:
    """Opening, closing and the way to a thread.

    Args:
        path: as `StateStore` takes it, or a `StateStore`, which then belongs to this face.
        options: as `StateStore` takes them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | StateStore,
        *,
        durability: Durability = "commit",
        **options: Unpack[StoreOptions],
    ) -> None:
        if not isinstance(path, StateStore):
            path = StateStore(path, durability=durability, **options)
        self._store = path
        self._writers = ThreadPoolExecutor(_WRITERS, "plainstate")
        self._readers = ThreadPoolExecutor(_READERS, "plainstate-read")
        engine = path._engine  # noqa: SLF001 - this face and that store are one
        self._appender: Appender | None = None
        if isinstance(engine, Together) and type(path) is StateStore:  # no methods of its own
            self._appender = Appender(path, engine, self._writers)
        self._process = os.getpid()
        self._watches: WeakSet[AsyncWatch] = WeakSet()
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def on(cls, engine: Engine, url: str) -> Self:
        """A store on an engine of your own; see `StateStore.on`."""
        return cls(StateStore.on(engine, url))

    @property
    def url(self) -> str:
        """The store's address, as `open_store` takes it."""
        return self._store.url

    def transaction(
        self, category: str, name: str, *, tx_id: str | None = None
    ) -> AsyncTransaction:
        """Reads, changes and commits a JSON document under its lock: use it in `async with`.

        See `StateStore.transaction`.
        """
        return AsyncTransaction(self._store.transaction(category, name, tx_id=tx_id))

    def watch(
        self,
        since: str | None = None,
        *,
        category: str | None = None,
        follower: str | None = None,
    ) -> AsyncWatch:
        """Waits for changes and gives them one by one: use it in `async with` and `async for`.

        It begins when it is entered, or first asked; see `StateStore.watch`.
        """
        store = self._store
        watch = AsyncWatch(lambda: store.watch(since, category=category, follower=follower))
        self._watches.add(watch)
        return watch

    async def close(self) -> None:
        """Ends every watch, folds what this handle wrote and lets go of everything.

        It may be called twice.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        watches = list(self._watches)
        for watch in watches:
            watch.stop()
        try:
            await settled(self._readers, self._store.close)
        finally:
            for watch in watches:
                watch.end()
            if self._appender is not None:
                self._appender.close()
            self._writers.shutdown(wait=False)
            self._readers.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._store,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def _append(self, name: str, *args: Any, **options: Any) -> Commit:
        lazy = name == "append_messages" and not isinstance(args[1], list | tuple)
        if self._appender is None or lazy or not self._is_open() or _holding():
            method: Callable[..., Commit] = getattr(self._store, name)
            return await self._write(method, *args, **options)
        return await self._appender.append(name, *args, **options)

    def _is_open(self) -> bool:
        if self._process != os.getpid():
            raise UsageError(
                "the store was opened before fork()", hint="Open it anew in the child process."
            )
        return self._closing is None

    async def _write(self, method: Callable[..., T], *args: Any, **options: Any) -> T:
        return await self._call(self._writers, method, *args, **options)

    async def _read(self, method: Callable[..., T], *args: Any, **options: Any) -> T:
        return await self._call(self._readers, method, *args, **options)

    async def _call(
        self, pool: ThreadPoolExecutor, method: Callable[..., T], *args: Any, **options: Any
    ) -> T:
        if not self._is_open():
            raise closed_error()
        holder = _holding()
        # who holds a lock must never queue behind those who wait for it
        own = pool if holder is None else holder.thread
        return await settled(own, method, *args, **options)


class AsyncTransaction:
    """What `AsyncStateStore.transaction` gives: use it in `async with`.

    It has a thread of its own, which also carries the calls made inside the block.
    """

    def __init__(self, transaction: DocumentTransaction) -> None:
        self._transaction = transaction
        self._before: AsyncTransaction | None = None
        self.thread = ThreadPoolExecutor(1, "plainstate-transaction")
        self.active = False
        self._entered = False

    @property
    def value(self) -> Json:
        """The document's value, `None` if it is absent; change it in place or assign it."""
        return self._transaction.value

    @value.setter
    def value(self, value: Json) -> None:
        self._transaction.value = value

    @property
    def version(self) -> str | None:
        """The version it had on entering, `None` if it was absent."""
        return self._transaction.version

    @property
    def commit(self) -> Commit | None:
        """What was committed, after the block; `None` if nothing changed."""
        return self._transaction.commit

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("a transaction cannot be entered twice", hint="Make a new one.")
        self._entered = True
        try:
            await settled(self.thread, self._transaction.begin)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                await certain(self.thread, self._transaction.end, commit=False)
            self.thread.shutdown(wait=False)
            raise
        self._transaction.mark()
        self._before = _holder.get()
        self.active = True
        _holder.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transaction.unmark()
        self.active = False
        _holder.set(self._before)
        try:
            await certain(self.thread, self._transaction.end, commit=error is None)
        finally:
            self.thread.shutdown(wait=False)


_holder: ContextVar[AsyncTransaction | None] = ContextVar("plainstate_transaction", default=None)


def _holding() -> AsyncTransaction | None:
    """The transaction that this task is in."""
    holder = _holder.get()
    return holder if holder is not None and holder.active else None


async def settled(
    pool: ThreadPoolExecutor, method: Callable[..., T], *args: Any, **options: Any
) -> T:
    """Runs a call in a thread; a cancellation waits until its outcome is certain.

    A call that no thread has begun is called off instead.
    """
    context = copy_context()
    future = submit(pool, context.run, method, *args, **options)
    waiting = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not future.cancel():
            await _until_done(waiting)
        raise


async def certain(
    pool: ThreadPoolExecutor, method: Callable[..., T], *args: Any, **options: Any
) -> T:
    """As `settled`, but the call is never called off: a lock has to be given back."""
    waiting = asyncio.wrap_future(submit(pool, copy_context().run, method, *args, **options))
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await _until_done(waiting)
        raise


async def _until_done(waiting: asyncio.Future[Any]) -> None:
    while not waiting.done():
        try:
            await asyncio.wait([waiting])
        except asyncio.CancelledError:
            continue  # cancelled again: the first one goes on once the outcome is certain
    if not waiting.cancelled():
        waiting.exception()  # seen: the cancellation is what the caller asked for
