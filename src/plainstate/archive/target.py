"""Where an export goes: a new file or folder that has its name only when it is complete."""

from __future__ import annotations

import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, Final
from urllib.parse import unquote_to_bytes

from plainstate.core.ids import IdMaker
from plainstate.errors import AlreadyExistsError, PlainstateError, UsageError, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from plainstate.fs.base import FileSystem

__all__ = ["Folder", "Place", "file_target", "folder_target", "refuse_inside"]

Place = str | os.PathLike[str]

_TEMP: Final = ".tmp-"

_make_id: Final = IdMaker(time.time_ns, os.urandom)


def refuse_inside(url: str, target: Place | BinaryIO) -> None:
    """Refuses a target in the folder of a store, where it would be a file of nobody's.

    Args:
        url: of the store.
        target: a path; a file object may be anywhere.

    Raises:
        UsageError: it is in there.
    """
    folder = os.fsdecode(unquote_to_bytes(url.removeprefix("file://")))
    if isinstance(target, str | os.PathLike) and url != folder:
        path = _absolute(target)
        if f"{path}/".startswith(f"{folder.rstrip('/')}/"):
            raise UsageError(
                f"{path} is in the store's own folder", hint="Name a place outside the store."
            )


@contextmanager
def file_target(
    target: Place | BinaryIO, fs: FileSystem, *, overwrite: bool
) -> Iterator[Callable[[bytes], None]]:
    """In `with`: takes the bytes of a file.

    Args:
        target: a path, or a file object that is open for writing bytes.
        fs: the file system seam.
        overwrite: whether a file of this name may be replaced.

    Raises:
        AlreadyExistsError: there is one.
        StorageError: it cannot be written.  What a file object raises comes as it is.
    """
    if not isinstance(target, str | os.PathLike):
        if not hasattr(target, "write") or hasattr(target, "encoding"):
            raise UsageError(
                f"cannot write bytes to {type(target).__name__}",
                hint="Pass a path, or a file that is open in binary mode.",
            )
        yield _Whole(target.write)
        target.flush()
        return
    path = _absolute(target)
    _refuse_existing(path, fs, overwrite=overwrite)
    temp = _temp_beside(path)
    with _translated(path):
        fd = fs.open_append(temp, create=True)
    try:
        try:
            write = _Whole(lambda data: fs.write(fd, data))

            def take(data: bytes) -> None:
                with _translated(path):
                    write(data)

            yield take
            with _translated(path):
                fs.sync(fd)
        finally:
            fs.close(fd)
        _refuse_existing(path, fs, overwrite=overwrite)  # somebody else's, made meanwhile
        with _translated(path):
            fs.rename(temp, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            fs.unlink(temp)
        raise
    with _translated(path):
        fs.sync_folder(os.path.dirname(path))


class Folder:
    """A folder that is being filled.

    Args:
        path: where it lies for now.
        name: its name in messages.
        fs: the file system seam.
    """

    def __init__(self, path: str, name: str, fs: FileSystem) -> None:
        self._path = path
        self._name = name
        self._fs = fs
        self._made: set[str] = set()

    def put(self, file: str, data: bytes) -> None:
        """Writes a new file; folders above it are made.

        Args:
            file: relative, of checked names joined by `/`.
            data: its content.
        """
        with _translated(self._name):
            self._make(file.rpartition("/")[0])
            fd = self._fs.open_append(f"{self._path}/{file}", create=True)
            try:
                _Whole(lambda part: self._fs.write(fd, part))(data)
            finally:
                self._fs.close(fd)

    def _make(self, folder: str) -> None:
        if folder and folder not in self._made:
            self._make(folder.rpartition("/")[0])
            self._fs.make_folder(f"{self._path}/{folder}")
            self._made.add(folder)


@contextmanager
def folder_target(target: Place, fs: FileSystem) -> Iterator[Folder]:
    """In `with`: a folder to fill.  It gets its name at the end; after an error nothing is left.

    Raises:
        AlreadyExistsError: there is something of this name, and not an empty folder.
        StorageError: it cannot be written.
    """
    path = _absolute(target)
    with _translated(path):
        status = fs.stat(path)
        free = status is None or (stat.S_ISDIR(status.st_mode) and not any(fs.list_folder(path)))
    if not free:
        raise _exists(path, "Choose a new or empty folder.")
    temp = _temp_beside(path)
    with _translated(path):
        fs.make_folder(temp)
    try:
        yield Folder(temp, path, fs)
        with _translated(path):
            fs.rename(temp, path)
    except BaseException:
        from shutil import rmtree

        rmtree(temp, ignore_errors=True)  # the first error is the one to report
        raise


class _Whole:
    """Writes every byte: write(2) may be short."""

    def __init__(self, write: Callable[[memoryview], int | None]) -> None:
        self._write = write

    def __call__(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._write(rest) or 0 :]


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Gives the system's errors their place in the error tree."""
    try:
        yield
    except OSError as error:
        if isinstance(error, PlainstateError):
            raise
        raise storage_error(error, path) from error


def _absolute(target: Place) -> str:
    path = os.fspath(target)
    if not isinstance(path, str) or not path or "\0" in path:
        raise UsageError(f"not a path: {target!r}", hint="Pass the name of a file or folder.")
    return os.path.abspath(path)


def _temp_beside(path: str) -> str:
    return f"{os.path.dirname(path)}/{_TEMP}{_make_id()}"


def _refuse_existing(path: str, fs: FileSystem, *, overwrite: bool) -> None:
    with _translated(path):
        exists = fs.stat(path) is not None
    if exists and not overwrite:
        raise _exists(path, "Choose another name, or pass overwrite=True.")


def _exists(path: str, hint: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"{path} exists", hint=hint, document=path)
