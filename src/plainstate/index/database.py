"""The index file: opening, making, discarding; who reads and who writes.

Only this module knows which SQLite error means what.  It is imported with the first question,
because `sqlite3` is not needed to open a store.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from plainstate.core.ids import IdMaker
from plainstate.errors import StorageError
from plainstate.index.schema import SCHEMA, TABLES, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BrokenError",
    "Database",
    "GoneError",
    "UnusableError",
    "existing",
    "is_ours",
    "open_in",
    "remove",
    "uri_of",
]

_PREFIX: Final = f"index-{SCHEMA}-"
_SUFFIX: Final = ".sqlite"
_NEW: Final = ".new"
_BUSY_S: Final = 60.0
"""Others write for milliseconds; only a stopped process holds the file so long."""

_CACHE_KIB: Final = 16 * 1024
"""At most: so much changes where very many documents did."""

_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_MARKS: Final = 2**31 - 1
"""SQLite keeps 32 bits, signed."""

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_NO_PLACE: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
}
_make_id = IdMaker(time.time_ns, os.urandom)


class BrokenError(Exception):
    """The index file is not usable as it is: make another one."""


class UnusableError(Exception):
    """No index file can be kept in this place: keep it in memory."""


class GoneError(Exception):
    """This handle on the index was closed meanwhile: open another one."""


class Database:
    """An open index.

    Attributes:
        path: its file, `None` in memory.
        cursor: how far it knows the feed, as far as this handle has seen.
        complete_at: a cursor at which every scan that was demanded was done.
        has_words: whether this SQLite can search.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.complete_at: str | None = ""
        self._closed = False
        self._inode = 0
        self._write_lock = threading.RLock()
        with _TRANSLATED:
            if path is None:
                self._writer = self._reader = _connect(":memory:")
                self._read_lock = self._write_lock
                self._writer.executescript(TABLES)
            else:
                self._inode = _inode_of(path)
                self._writer, self._reader = _connect(path), _connect(path)
                self._read_lock = threading.RLock()
            try:
                self._check_schema()
                self.has_words = _add_words(self._writer)
                self.cursor: str | None = None
                (self.cursor,) = self._reader.execute("SELECT cursor FROM feed").fetchone()
                self._distrust_after_boot()
            except BaseException:
                self.close()
                raise

    @property
    def is_closed(self) -> bool:
        """Whether somebody closed this handle."""
        return self._closed

    @property
    def is_gone(self) -> bool:
        """Whether somebody deleted the file."""
        if self.path is None:
            return False
        try:
            return _inode_of(self.path) != self._inode
        except FileNotFoundError:
            return True

    @property
    def size_bytes(self) -> int:
        """What the index takes, in its file or in memory."""
        with self.reading() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (size,) = connection.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One state of the index, whatever others write meanwhile."""
        with self._read_lock, _TRANSLATED:
            self._check_open()
            if self._reader.in_transaction:  # in memory, inside `writing`
                yield self._reader
                return
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: whole or not at all."""
        with self._write_lock, _TRANSLATED:
            self._check_open()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.rollback()
                raise
            self._writer.commit()

    def close(self) -> None:
        """Lets go of the file, once nobody is at it."""
        with self._write_lock, self._read_lock:
            self._closed = True
            with suppress(sqlite3.Error):  # it is disposable: what is lost is found again
                self._writer.close()
                self._reader.close()

    def discard(self) -> None:
        """Closes it and deletes its file."""
        self.close()
        if self.path is not None and not self.is_gone:
            remove(self.path)

    def _distrust_after_boot(self) -> None:
        """Demands a scan where the system was started anew: it may have died of a power cut,
        which can take from the feed what the documents still have."""
        if self.path is None:
            return
        boot = boot_id()
        (known,) = self._reader.execute("SELECT boot FROM feed").fetchone()
        if known != boot:
            self._writer.execute("UPDATE feed SET demanded = demanded + 1, boot = ?", (boot,))

    def _check_open(self) -> None:
        if self._closed:
            raise GoneError

    def _check_schema(self) -> None:
        (found,) = self._reader.execute("PRAGMA user_version").fetchone()
        if self.path is None:
            return
        if found != SCHEMA:
            raise BrokenError(f"schema {found}")
        (made_as,) = self._reader.execute("PRAGMA application_id").fetchone()
        if made_as != _mark(self._inode):
            raise BrokenError("a copy: it tells of other files than those beside it")


def boot_id() -> str:
    """Names this run of the operating system, "" where it does not say; random(4)."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def open_in(folder: str) -> Database:
    """Opens the newest index in a folder, or makes one; removes those that it replaces.

    Raises:
        UnusableError: the folder cannot hold one.
    """
    try:
        while True:
            paths = existing(folder)
            path = next((path for path in paths if path.endswith(_SUFFIX)), None)
            if path is None:
                path = _create(folder)
            for older in paths[paths.index(path) + 1 :] if path in paths else ():
                remove(older)
            if path is None:
                continue
            try:
                if is_ours(path):
                    return Database(path)
            except FileNotFoundError:
                continue  # somebody deleted it: look again
            except BrokenError:
                pass
            remove(path)
    except OSError as error:
        raise UnusableError(str(error)) from error


def existing(folder: str) -> list[str]:
    """The index files that this version may use or remove, the best first."""
    names = [name for name in os.listdir(folder) if name.endswith((_SUFFIX, _NEW))]
    known = [name for name in names if 0 < _schema_of(name) <= SCHEMA]
    known.sort(key=lambda name: (_is_ours(name), name), reverse=True)
    return [f"{folder}/{name}" for name in known]


def _schema_of(name: str) -> int:
    """The schema in the name of an index file, 0 if it is none."""
    prefix, number, *_ = [*name.split("-"), "", ""]
    return int(number) if prefix == "index" and number.isascii() and number.isdigit() else 0


def _is_ours(name: str) -> bool:
    return _schema_of(name) == SCHEMA and name.endswith(_SUFFIX)


def _create(folder: str) -> str | None:
    """Makes an empty index; `None` if somebody deleted it right away.

    It gets its name once it is whole, so that nobody opens half of one.
    """
    new = f"{folder}/{_PREFIX}{_make_id()}{_NEW}"
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with _TRANSLATED:
            connection = _connect(new)
            try:
                connection.execute("PRAGMA synchronous = OFF")  # it is disposable
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT")
                connection.execute(f"PRAGMA application_id = {_mark(_inode_of(new))}")
            finally:
                connection.close()
        path = new.removesuffix(_NEW) + _SUFFIX
        os.rename(new, path)
    except FileNotFoundError:
        return None
    except BaseException:
        remove(new)
        raise
    return path


def remove(path: str) -> None:
    """Removes an index file and what SQLite keeps beside it."""
    for one in _files(path):
        with suppress(FileNotFoundError):
            os.unlink(one)


def is_ours(path: str) -> bool:
    """Whether an index file, and what SQLite keeps beside it, are what we or the store's owner
    made: plain files of one name each, in which nobody else can write."""
    owners = {os.geteuid(), os.lstat(os.path.dirname(path)).st_uid}
    for one in _files(path):
        with suppress(FileNotFoundError):
            status = os.lstat(one)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS_WRITE:
                return False
            if status.st_nlink > 1 or status.st_uid not in owners:
                return False
    return True


def _inode_of(path: str) -> int:
    return os.lstat(path).st_ino


def _mark(inode: int) -> int:
    """What an index says of itself, so that a copy of it, or a stranger's, is not believed."""
    return inode % _MARKS


def _files(path: str) -> list[str]:
    return [path + suffix for suffix in ("", "-wal", "-shm")]


def _connect(path: str) -> sqlite3.Connection:
    # by URI, because plainly SQLite would create a file that somebody has just deleted
    place = path if path == ":memory:" else f"{uri_of(path)}?mode=rw"
    connection = sqlite3.connect(
        place, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, uri=True
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def uri_of(path: str) -> str:
    """A path as SQLite's URI for it; https://www.sqlite.org/uri.html, 3.1."""
    return "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _add_words(connection: sqlite3.Connection) -> bool:
    """Makes the table of words where it is missing; tells whether this SQLite has FTS5."""
    try:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone()
        if known is None:
            connection.executescript(WORDS)
        connection.execute("SELECT rowid FROM words LIMIT 0")
    except sqlite3.OperationalError as error:
        if "fts5" not in str(error):
            raise
        return False
    return True


class _Translated:
    """Gives every error of SQLite a meaning."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.DatabaseError):
            return
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            raise StorageError(
                f"the index was locked for {_BUSY_S:g} s",
                hint="Look for a stopped process that has the store open; then try again.",
                path=".plainstate",
                errno=errno.EBUSY,
            ) from error
        if code in _NO_PLACE:
            raise UnusableError(str(error)) from error
        raise BrokenError(str(error)) from error


_TRANSLATED: Final = _Translated()
