"""Appends of many tasks, committed together.

The tasks of an event loop that append at the same time wait in one queue.  One thread takes all
that are there, has the engine commit them together, and wakes their tasks together: 64 appends
cost one way to a thread and back, not 64.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, cast

from plainstate.aio.submitting import submit
from plainstate.engines.base import Append
from plainstate.engines.holding import refuse_if_held
from plainstate.errors import UsageError
from plainstate.sessions import SessionMethods

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from plainstate.engines.base import Engine, RunAll, Together
    from plainstate.types import Commit, DocumentId, Durability, PatchMaker

__all__ = ["Appender", "closed_error"]

_TOGETHER: Final = 64
"""Appends that are committed together at most: each may take a lock and a descriptor."""

_SYNCERS: Final = 8
"""Threads that wait for the disk at the same time: it flushes for all of them at once."""


class _Call:
    """A task's append, and what came of it."""

    def __init__(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Commit] = self.loop.create_future()
        self.settled: asyncio.Future[None] | None = None
        self.told = False
        self.commit: Commit | None = None
        self.error: BaseException | None = None
        self._context = copy_context()
        self._name = name
        self._arguments = arguments
        self._options = options
        self._unclaimed = [True]

    def claim(self) -> bool:
        """Only once: whoever claims it, does it or calls it off."""
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False

    def run(self, methods: SessionMethods) -> Any:
        """Calls the method of these methods."""
        method = getattr(methods, self._name)
        return self._context.run(method, *self._arguments, **self._options)

    def tell(self) -> None:
        """In the event loop: its task goes on."""
        self.told = True
        if self.settled is not None:
            self.settled.set_result(None)
        elif self.future.done():
            return  # cancelled just now
        elif isinstance(self.error, StopIteration):  # a future refuses it
            self.future.set_exception(RuntimeError("the call raised StopIteration"))
        elif self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(cast("Commit", self.commit))

    async def until_told(self) -> None:
        """For a call that was begun: waits until it is done, however often it is cancelled."""
        if self.told:
            return
        self.settled = self.loop.create_future()
        while not self.settled.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([self.settled])


class _Noting:
    """An engine as far as appending needs one: it only notes what is to be appended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(
        self,
        document: DocumentId,
        change: PatchMaker,
        *,
        tx_id: str | None = None,
        durability: Durability | None = None,
    ) -> Append:
        refuse_if_held(self._engine, document)
        return Append(document, change, tx_id, durability)


class _Notes(SessionMethods):
    """The appending methods of a store, which return what they would append."""

    def __init__(self, store: SessionMethods) -> None:
        self._engine = cast("Engine", _Noting(store._engine))  # noqa: SLF001 - one of its own kind


class Appender:
    """Appends for the tasks of event loops.

    Args:
        store: whose appending methods are called.
        together: its engine.
        pool: threads for appends that have to wait for somebody else's lock.
    """

    def __init__(self, store: SessionMethods, together: Together, pool: Executor) -> None:
        self._store = store
        self._notes = _Notes(store)
        self._together = together
        self._pool = pool
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._started = self._closed = False
        # who forgets to close it must not keep a thread, and that not the store
        self._finalizer = weakref.finalize(self, self._calls.put, None)
        self._finalizer.atexit = False

    async def append(self, name: str, *arguments: Any, **options: Any) -> Commit:
        """Calls an appending method of the store.

        A cancellation waits until its outcome is certain.  A call that was not begun is
        called off instead.
        """
        call = _Call(name, arguments, options)
        with self._mutex:
            if self._closed:
                raise closed_error()
            if not self._started:
                self._start()
            self._calls.put(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            if not call.claim():
                await call.until_told()
            raise

    def close(self) -> None:
        """Lets the thread end, behind what was asked of it so far."""
        with self._mutex:
            self._closed = True
            self._finalizer()

    def _start(self) -> None:
        arguments = (self._calls, weakref.ref(self))
        name = "plainstate-append"
        threading.Thread(target=_work, args=arguments, name=name, daemon=True).start()
        self._started = True

    def do(self, calls: Sequence[_Call], run_all: RunAll) -> None:
        """Commits what was claimed, and tells the tasks."""
        noted: list[tuple[_Call, Append]] = []
        for call in calls:
            try:
                noted.append((call, call.run(self._notes)))
            except BaseException as error:  # noqa: BLE001 - its task is told
                call.error = error
        failure: BaseException | None = None
        try:
            if noted:
                self._together.append_together([append for _, append in noted], run_all)
        except BaseException as error:  # noqa: BLE001 - their tasks are told
            failure = error
        waiting = set[_Call]()
        interrupted = failure is not None and not isinstance(failure, Exception)
        for call, append in noted:
            if append.outcome is not None and not interrupted:
                _take(call, append.outcome)
            elif failure is not None:
                call.error = failure
            elif self._wait(call):
                waiting.add(call)
        _tell_loops([call for call in calls if call not in waiting])

    def _wait(self, call: _Call) -> bool:
        """Has a thread of its own wait for the lock; `False`: that is refused."""

        def work() -> None:
            _take(call, lambda: call.run(self._store))
            _tell_loops([call])

        try:
            submit(self._pool, work)
        except RuntimeError:  # closed meanwhile
            call.error = closed_error()
            return False
        return True


def closed_error() -> UsageError:
    """The error for using a closed handle."""
    return UsageError("the store is closed", hint="Open it again.")


def _work(queue: SimpleQueue[_Call | None], owner: weakref.ref[Appender]) -> None:
    """What the thread does until the appender is closed."""
    with ThreadPoolExecutor(_SYNCERS - 1, "plainstate-sync") as pool:
        while True:
            calls = [queue.get()]
            while calls[-1] is not None and len(calls) < _TOGETHER and not queue.empty():
                calls.append(queue.get())  # nobody else takes from it
            appender = owner()
            if appender is not None:  # a task that waits for its call keeps it
                claimed = [call for call in calls if call is not None and call.claim()]
                appender.do(claimed, partial(_run_all, pool))
            if calls[-1] is None:
                return
            calls.clear()
            del appender


def _run_all(pool: Executor, calls: Sequence[Callable[[], object]]) -> None:
    """Runs them in the threads of a pool and in this one; raises what one of them raised."""
    mine = list(calls[::_SYNCERS])
    others = []
    try:
        for at in range(1, min(_SYNCERS, len(calls))):
            share = calls[at::_SYNCERS]
            try:
                others.append(submit(pool, _run, share))
            except RuntimeError:  # the interpreter ends, or there can be no more threads
                mine += share
        _run(mine)
    finally:
        wait(others)
    for other in others:
        other.result()


def _run(calls: Sequence[Callable[[], object]]) -> None:
    for call in calls:
        call()


def _take(call: _Call, outcome: Callable[[], Commit]) -> None:
    try:
        call.commit = outcome()
    except BaseException as error:  # noqa: BLE001 - its task is told
        call.error = error


def _tell_loops(calls: Sequence[_Call]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
    for call in calls:
        loops.setdefault(call.loop, []).append(call)
    for loop, told in loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, told)


def _tell(calls: Sequence[_Call]) -> None:
    for call in calls:
        call.tell()
