"""A document of the file engine while one caller holds its lock."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from plainstate.engines.base import LazyHead
from plainstate.engines.file.group import MovedError, Pending
from plainstate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from plainstate.engines.file.document import FileDocument
    from plainstate.types import Commit, Head, Json, Patch, Side

__all__ = ["LockedFile"]


class LockedFile:
    """See `engines.base.LockedDocument`."""

    def __init__(
        self,
        file: FileDocument,
        errors: AbstractContextManager[None],
        release: Callable[[], None],
    ) -> None:
        self._file = file
        self._errors = errors
        self._release: Callable[[], None] | None = release
        self._process = os.getpid()

    @property
    def head(self) -> Head:
        with self._guarded():
            self._file.settle()
        at = self._file.position
        return LazyHead(
            at.version,
            self._load,
            lambda: at.summary or self._file.summarize(self._load()),
        )

    def append(self, patch: Patch, tx_id: str | None = None) -> Commit:
        def change(head: Head) -> Patch:
            head.value()  # so that the patch is checked against it
            return patch

        pending = Pending(change, tx_id, None, sync=True)
        with self._guarded():
            self._file.settle()
            self._file.commit([pending])
            return pending.outcome()

    def replace(self, value: Json, tx_id: str | None = None) -> Commit:
        with self._guarded():
            self._file.settle()
            return self._file.replace(value, text=None, tx_id=tx_id, expected=None)

    def delete(self, tx_id: str | None = None) -> Commit | None:
        with self._guarded():
            self._file.settle()
            return self._file.delete(tx_id=tx_id, expected=None)

    def resolve(self, take: Side) -> Commit:
        with self._guarded():
            return self._file.resolve(take)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise UsageError(
                "the store was opened before fork()", hint="Open it anew in the child process."
            )
        with self._errors:
            try:
                yield
            except BaseException:
                self._file.distrust()
                raise

    def release(self) -> None:
        if self._release is not None:
            release, self._release = self._release, None
            release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _load(self) -> Json:
        with self._guarded():
            while True:
                try:
                    return self._file.load()
                except MovedError:
                    self._file.refresh()
