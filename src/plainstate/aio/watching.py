"""`AsyncWatch`: changes as they come, in `async for`."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from plainstate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from plainstate.types import Change
    from plainstate.watching import Watch

__all__ = ["AsyncWatch"]


class AsyncWatch:
    """`Watch` for asyncio: `async for change in store.watch()`, best in `async with`.

    It begins when it is entered or first asked.  It waits in a thread of its own, so that
    many of them do not hold up other calls.  A cancelled wait loses nothing:
    the change that it waited for is the next one given.
    """

    def __init__(self, begin: Callable[[], Watch]) -> None:
        self._source = _Source(begin)
        self._asked: asyncio.Future[Change | None] | None = None

    @property
    def cursor(self) -> str:
        """The place behind the last change that was given: as `since=` it goes on from there.

        Raises:
            UsageError: it has not begun.
        """
        return self._begun().cursor

    @property
    def gap(self) -> bool:
        """As `Watch.gap`."""
        return self._begun().gap

    @property
    def stopped(self) -> bool:
        """Whether it gives no more changes."""
        return self._source.stopped

    async def next(self, timeout_s: float | None = None) -> Change | None:
        """Waits for the next change; `None` if there was none in time, or at the end.

        Arguments and errors as in `Watch.next`.
        """
        fresh = self._asked is None
        if self._asked is None:
            if self.stopped:
                return None
            self._asked = self._source.ask(partial(self._source.next, timeout_s))
        asked = self._asked
        # a wait that was cancelled has left its question behind, which has a timeout of its own
        await asyncio.wait([asked], timeout=None if fresh else timeout_s)
        if not asked.done():
            return None
        self._asked = None
        change = asked.result()
        return change if fresh or change is not None else await self.next(timeout_s)

    def stop(self) -> None:
        """Ends the iteration within a third of a second, also one that waits; never blocks."""
        self._source.stop()

    async def aclose(self) -> None:
        """Ends it, and saves a named follower's progress."""
        self.stop()
        if self._asked is not None:
            self._asked.add_done_callback(_seen)  # nobody asks for its outcome any more
        if self._source.runs:
            await _certain(self._source.ask(self._source.close))
        self.end()

    def end(self) -> None:
        """Lets its thread go without waiting for it."""
        self._source.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        change = await self.next()
        if change is None:
            raise StopAsyncIteration
        return change

    async def __aenter__(self) -> Self:
        try:
            await _certain(self._source.ask(self._source.begin))
        except BaseException:
            self.end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self.end()  # a loop that was left by `break`

    def _begun(self) -> Watch:
        if self._source.watch is None:
            raise UsageError(
                "this watch has not begun", hint="Enter it with `async with`, or iterate."
            )
        return self._source.watch


class _Source:
    """A watch and the thread that waits for it; it knows nothing of who asks.

    The thread is a daemon: one that still waits does not keep the program from ending.
    """

    def __init__(self, make: Callable[[], Watch]) -> None:
        self._make = make
        self.watch: Watch | None = None
        self.stopped = False
        self._asked: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None]
        self._asked = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._ended = False

    @property
    def runs(self) -> bool:
        """Whether its thread is there to be asked."""
        return self._thread is not None and not self._ended

    def ask(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Runs a call in the thread, after those before it."""
        if self._ended:
            raise UsageError("this watch is closed", hint="Make a new one.")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="plainstate-watch", daemon=True)
            self._thread.start()
        future = asyncio.get_running_loop().create_future()
        self._asked.put((future, call))
        return future

    def begin(self) -> Watch:
        """The watch, made at the first call."""
        if self.watch is None:
            self.watch = self._make()
            if self.stopped:
                self.watch.stop()
        return self.watch

    def next(self, timeout_s: float | None) -> Change | None:
        """As `Watch.next`."""
        try:
            watch = self.begin()
        except UsageError:
            if self.stopped:
                return None  # the store was closed before it could begin
            raise
        change = watch.next(timeout_s)
        self.stopped = self.stopped or watch.stopped
        return change

    def stop(self) -> None:
        """As `Watch.stop`."""
        self.stopped = True
        if self.watch is not None:
            self.watch.stop()

    def close(self) -> None:
        """As `Watch.close`."""
        if self.watch is not None:
            self.watch.close()

    def end(self) -> None:
        """Lets the thread go when it has done what it was asked."""
        self.stop()
        self._ended = True
        self._asked.put(None)

    def _run(self) -> None:
        while (work := self._asked.get()) is not None:
            future, call = work
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - it belongs to who asked
                error = raised
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:
                return  # the loop is closed: nobody asks any more


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _seen(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


async def _certain(future: asyncio.Future[Any]) -> None:
    """Waits until a call has ended, also if it is cancelled meanwhile; then that goes on."""
    cancelled = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    _seen(future)
    if cancelled is not None:
        raise cancelled
    future.result()
