"""What the generated methods of the async face stand on.

The blocking code is the truth: each call crosses to a thread once.  Calls that wait
for the same document are committed together there.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from plainstate.store import StateStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    from plainstate.transaction import DocumentTransaction
    from plainstate.types import Commit, Json

__all__ = ["AsyncBase", "AsyncTransaction"]

T = TypeVar("T")

_THREADS: Final = 32
"""Threads for calls: durable appends to different files scale up to about so many."""


class AsyncBase:
    """Opening, closing and the way to a thread."""

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        self._store = StateStore(path, **options)
        self._threads = ThreadPoolExecutor(_THREADS, "plainstate")
        # those who hold a lock must never queue behind those who wait for it
        self._holders = ThreadPoolExecutor(2, "plainstate-commit")

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
        return AsyncTransaction(self, self._store.transaction(category, name, tx_id=tx_id))

    async def close(self) -> None:
        """Folds what this handle wrote and lets go of everything; may be called twice."""
        try:
            await settled(self._holders, self._store.close)
        finally:
            self._threads.shutdown(wait=False)
            self._holders.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def _call(self, method: Callable[..., T], *args: Any, **options: Any) -> T:
        return await settled(self._threads, method, *args, **options)


class AsyncTransaction:
    """What `AsyncStateStore.transaction` gives: use it in `async with`."""

    def __init__(self, store: AsyncBase, transaction: DocumentTransaction) -> None:
        self._store = store
        self._transaction = transaction

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
        try:
            await self._store._call(self._transaction.begin)  # noqa: SLF001 - same module
        except asyncio.CancelledError:
            await settled(self._store._holders, self._transaction.end, commit=False)  # noqa: SLF001
            raise
        self._transaction.mark()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transaction.unmark()
        pool = self._store._holders  # noqa: SLF001 - same module
        await settled(pool, self._transaction.end, commit=error is None)


async def settled(
    pool: ThreadPoolExecutor, method: Callable[..., T], *args: Any, **options: Any
) -> T:
    """Runs a call in a thread; a cancellation waits until its outcome is certain.

    A call that no thread has begun is called off instead.
    """
    context = copy_context()
    future = pool.submit(context.run, method, *args, **options)
    waiting = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not future.cancel():
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
