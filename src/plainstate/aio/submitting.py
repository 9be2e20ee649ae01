"""Handing calls to the threads of a pool."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

__all__ = ["submit"]

T = TypeVar("T")


def submit(pool: Executor, call: Callable[..., T], *args: Any, **options: Any) -> Future[T]:
    """As `pool.submit`, but a call that is refused is never made.

    A pool that wants one more thread, and gets none, says so: and keeps the call for the threads
    that it has, or will have.

    Raises:
        RuntimeError: the pool is closed, or there can be no more threads.
    """
    future: Future[T] = Future()

    def work() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call(*args, **options)
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        pool.submit(work)
    except BaseException as error:
        if future.cancel() or not isinstance(error, Exception):
            raise
        # a thread has begun with it by now
    return future
