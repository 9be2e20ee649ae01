"""`StateStore`: the blocking face."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from plainstate.documents import DocumentMethods
from plainstate.errors import InvalidUrlError, UsageError
from plainstate.sessions import SessionMethods

if TYPE_CHECKING:
    from types import TracebackType

    from plainstate.engines.base import Engine
    from plainstate.types import Durability

__all__ = ["StateStore", "open_store"]

_MEMORY = "memory:"
_POLICIES = ("commit", "periodic", "os")


class StateStore(DocumentMethods, SessionMethods):
    """Documents and sessions in one folder of plain files.

    A handle may be used from any thread; any number of processes may open the same folder.
    Use it plainly, or in `with`; `close` may be called twice.

    Args:
        path: folder of the store, created with the first write; or a URL, see `open_store`.
        durability: "commit", "periodic" or "os", see `docs/durability.md`.
        options: `sync_interval_s`, `lock_timeout_s`, `quiet_fold_s`, `max_write_bytes`,
            `max_open_documents`, as documented in `plainstate.limits`.

    Raises:
        InvalidUrlError: `path` is a URL of an unknown scheme.
        FormatVersionError: a newer plainstate has written the store.

    Example:
        >>> with StateStore("memory:") as store:
        ...     _ = store.save_json("notes", "a", [1, 2])
        ...     store.list_category("notes")
        ['a']
    """

    def __init__(
        self, path: str | os.PathLike[str], *, durability: Durability = "commit", **options: Any
    ) -> None:
        self._engine: Engine
        if durability not in _POLICIES:
            raise UsageError(
                f"unknown durability {durability!r}", hint=f"Use one of {', '.join(_POLICIES)}."
            )
        self._open_with = (os.fspath(path), {"durability": durability, **options})
        self._closed = False
        place = _place(path)
        try:
            if place == _MEMORY:
                from plainstate.engines.memory import MemoryEngine

                self._engine = MemoryEngine(**_only(options, "lock_timeout_s", "max_write_bytes"))
                self.url = _MEMORY
            else:
                from plainstate.engines.file.engine import FileEngine

                self._engine = FileEngine(place, durability=durability, **options)
                self.url = f"file://{place}"
        except TypeError as error:
            raise UsageError(f"unknown option: {error}", hint="See help(StateStore).") from error

    def checkpoint(self) -> int:
        """Folds every document, so that each is one plain file.

        Returns:
            How many had something to fold.

        Raises:
            EditConflictError, DamagedError, StorageError: the first that could not be folded;
                the others are.
        """
        return self._engine.checkpoint()

    def close(self) -> None:
        """Folds what this handle wrote and lets go of everything.

        Raises:
            EditConflictError, DamagedError, StorageError: something could not be folded.  Nothing
                is lost, its journal holds it; the store is closed all the same.
        """
        self._closed = True
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<StateStore {self.url}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.url == _MEMORY:
            raise UsageError(
                "a memory store cannot be pickled", hint="Only its own process has its contents."
            )
        path, options = self._open_with
        return _reopen, (path, options)


def open_store(url_or_path: str | os.PathLike[str], **options: Any) -> StateStore:
    """Opens a store: a path, `file:///absolute/path`, or `memory:`.

    Example:
        >>> store = open_store("memory:")
        >>> store.url
        'memory:'
        >>> store.close()
    """
    return StateStore(url_or_path, **options)


def _reopen(path: str, options: dict[str, Any]) -> StateStore:
    return StateStore(path, **options)


def _place(url_or_path: str | os.PathLike[str]) -> str:
    """The absolute path of the store, or `memory:`."""
    text = os.fspath(url_or_path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidUrlError(
            f"not a store: {url_or_path!r}",
            hint="Pass a folder, file:///… or memory:.",
            url=str(text),
        )
    if text == _MEMORY:
        return text
    if isinstance(url_or_path, str) and "://" in text:
        return _file_url(text)
    return os.path.abspath(text)


def _file_url(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path)
    plain = parts.scheme == "file" and parts.netloc in ("", "localhost")
    if not plain or parts.query or parts.fragment or not path.startswith("/") or "\0" in path:
        raise InvalidUrlError(
            f"not a store: {url}", hint="Pass a folder, file:///absolute/path or memory:.", url=url
        )
    return os.path.abspath(path)


def _only(options: dict[str, Any], *names: str) -> dict[str, Any]:
    """The options that memory knows; those of the disk make no difference there."""
    return {name: value for name, value in options.items() if name in names}
