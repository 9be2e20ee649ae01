"""`StateStore`: the blocking face."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from plainstate.archiving import ArchiveMethods
from plainstate.checking import CheckMethods, check_files
from plainstate.core import names
from plainstate.documents import DocumentMethods
from plainstate.errors import InvalidUrlError, UsageError
from plainstate.following import FollowingMethods
from plainstate.history import HistoryMethods
from plainstate.index import Index
from plainstate.loading import Loaded
from plainstate.measuring import MeasuringMethods
from plainstate.retention import RetentionMethods
from plainstate.searching import SearchMethods
from plainstate.sessions import SessionMethods
from plainstate.stored import describe
from plainstate.watching import Watches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from plainstate.checking import CheckReport
    from plainstate.engines.base import Engine
    from plainstate.types import Durability

__all__ = ["StateStore", "check_store", "open_store", "place_of"]

_MEMORY = "memory:"


class StoreOptions(TypedDict, total=False):
    """What a store can be tuned with; reasons stand in `plainstate.limits`."""

    sync_interval_s: float
    lock_timeout_s: float
    quiet_fold_s: float
    max_write_bytes: int
    max_open_documents: int
    history: Literal["none", "keep"]
    history_bytes: int


class StateStore(
    DocumentMethods,
    SessionMethods,
    HistoryMethods,
    SearchMethods,
    FollowingMethods,
    RetentionMethods,
    MeasuringMethods,
    CheckMethods,
    ArchiveMethods,
):
    """Documents and sessions in one folder of plain files.

    A handle may be used from any thread; any number of processes may open the same folder.
    Use it plainly, or in `with`; `close` may be called twice.

    Args:
        path: folder of the store, created with the first write; or a URL, see `open_store`.
        durability: "commit", "periodic" or "os", see `docs/durability.md`.
        options: `sync_interval_s`, `lock_timeout_s`, `quiet_fold_s`, `max_write_bytes`,
            `max_open_documents`, `history_bytes`: positive numbers, as documented in
            `plainstate.limits`.  `history`: "keep" keeps earlier states, "none" only
            where that was begun before, see `docs/history.md`.

    Raises:
        InvalidUrlError: `path` is a URL of an unknown scheme.
        UsageError: an option is unknown, or has no such value.
        FormatVersionError: a newer plainstate has written the store.

    Example:
        >>> with StateStore("memory:") as store:
        ...     _ = store.save_json("notes", "a", [1, 2])
        ...     store.list_category("notes")
        ['a']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "commit",
        **options: Unpack[StoreOptions],
    ) -> None:
        self._closed = True  # until it is open: a failed constructor leaves nothing to close
        place = place_of(path)
        names.check_durability(durability)
        _check_options(options)
        self._watches = Watches()
        self._loaded = Loaded()
        self._engine: Engine
        if place == _MEMORY:
            from plainstate.engines.memory import MemoryEngine

            self._engine = MemoryEngine(**_for_memory(options))
            self.url = _MEMORY
            self._index = Index(self._engine, None, describe)
        else:
            from plainstate.engines.file.engine import FileEngine

            self._engine = FileEngine(place, durability=durability, **options)
            self.url = _url_of(place)
            self._index = Index(self._engine, f"{place}/.plainstate", describe)
            self._index.start()
        self._reopen_with = (place, {"durability": durability, **options})
        self._closed = False

    @classmethod
    def on(cls, engine: Engine, url: str) -> StateStore:
        """A store on an engine of your own.

        Args:
            engine: fulfils `plainstate.engines.base.Engine`, see `plainstate.testing.conformance`.
            url: how the store calls itself.
        """
        store = cls(_MEMORY)
        store._engine.close()
        store._engine, store.url = engine, url
        store._index = Index(engine, None, describe)
        return store

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
        """Ends every watch, folds what this handle wrote and lets go of everything.

        Raises:
            EditConflictError, DamagedError, StorageError: something could not be folded.  Nothing
                is lost, its journal holds it; the store is closed all the same.
        """
        self._closed = True
        try:
            self._watches.close()
            self._index.close()
        finally:
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
        if not self.url.startswith("file:"):
            raise UsageError(
                f"a store at {self.url} cannot be pickled",
                hint="Only its own process has its contents.",
            )
        return _reopen, (type(self), *self._reopen_with)


def open_store(
    url_or_path: str | os.PathLike[str],
    *,
    durability: Durability = "commit",
    **options: Unpack[StoreOptions],
) -> StateStore:
    """Opens a store: a path, `file:///absolute/path`, or `memory:`.

    Arguments and errors as in `StateStore`.

    Example:
        >>> store = open_store("memory:")
        >>> store.url
        'memory:'
        >>> store.close()
    """
    return StateStore(url_or_path, durability=durability, **options)


def check_store(
    url_or_path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Checks a store of files without opening it, also one that cannot be opened.

    Arguments and result as of `StateStore.check`.

    Raises:
        InvalidUrlError: it is no store of files.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_store(folder).is_sound
        True
    """
    place = place_of(url_or_path)
    if place == _MEMORY:
        raise InvalidUrlError(
            "a store in memory has no files", hint="Open it, and use its check().", url=place
        )
    return check_files(place, progress)


def _reopen(kind: type[StateStore], path: str, options: dict[str, Any]) -> StateStore:
    return kind(path, **options)


def place_of(url_or_path: str | os.PathLike[str]) -> str:
    """The absolute path of the store that an address names, or `memory:`.

    Raises:
        InvalidUrlError: it names none.
    """
    text = os.fspath(url_or_path) if isinstance(url_or_path, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidUrlError(
            f"not a store: {url_or_path!r}",
            hint="Pass a folder, file:///… or memory:.",
            url=str(text),
        )
    if text == _MEMORY:
        return text
    if text.startswith("~"):
        raise InvalidUrlError(
            f"not a store: {text}: ~ is not expanded",
            hint=f"Pass os.path.expanduser({text!r}); or ./{text} for a folder of that name.",
            url=text,
        )
    try:
        is_url = isinstance(url_or_path, str) and "://" in text
        path = os.path.abspath(_path_in(text) if is_url else text)
        os.fsencode(path)
    except ValueError as error:
        raise InvalidUrlError(
            f"not a store: {text}",
            hint="Pass a folder, file:///absolute/path or memory:.",
            url=text,
        ) from error
    return path


def _url_of(path: str) -> str:
    """The URL of a path; letters, digits and a few others stand for themselves, RFC 3986 §2.3."""
    letters = (bytes([byte]) for byte in os.fsencode(path))
    return "file://" + "".join(
        one.decode() if one.isalnum() or one in b"-._~/" else f"%{one.hex().upper()}"
        for one in letters
    )


def _path_in(url: str) -> str:
    """The path in a `file:` URL; like everywhere on Linux, it is bytes.

    Raises:
        ValueError: it is no such URL.
    """
    from urllib.parse import unquote, urlsplit  # 1.5 ms, and most stores are named by a path

    parts = urlsplit(url)
    path = unquote(parts.path, errors="surrogateescape")
    plain = parts.scheme == "file" and parts.netloc in ("", "localhost")
    if not plain or parts.query or parts.fragment or not path.startswith("/") or "\0" in path:
        raise ValueError(url)
    return path


def _check_options(options: Mapping[str, object]) -> None:
    known = StoreOptions.__annotations__
    for name, value in options.items():
        if name not in known:
            raise UsageError(
                f"unknown option {name}", hint=f"Known: durability, {', '.join(known)}."
            )
        if name == "history":
            if value not in ("none", "keep"):
                raise UsageError(f"history cannot be {value!r}", hint="Use 'none' or 'keep'.")
            continue
        whole = name.startswith("max_") or name.endswith("_bytes")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise UsageError(f"{name} must be a number, not {value!r}", hint="See StateStore.")
        if not value > 0:
            raise UsageError(f"{name} must be positive, not {value!r}", hint="See StateStore.")


def _for_memory(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that memory knows; those of the disk make no difference there."""
    return {
        name: options[name] for name in ("lock_timeout_s", "max_write_bytes") if name in options
    }
