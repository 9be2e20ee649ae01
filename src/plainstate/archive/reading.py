"""Reading an archive, and refusing whatever is not one, whole and intact.

Nothing in it is believed before it was checked: names pass the store's own rule, sizes the
store's own limit, and memory is taken for one document at a time.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from plainstate.archive import manifest, tar
from plainstate.archive.compress import BadGzipError, Gunzip
from plainstate.archive.manifest import BadManifestError, Line
from plainstate.archive.reports import LeftOut
from plainstate.archive.tar import BadTarError
from plainstate.core import codec
from plainstate.errors import (
    ArchiveError,
    FormatVersionError,
    InvalidNameError,
    InvalidValueError,
    PlainstateError,
    UsageError,
    ValueTooLargeError,
    storage_error,
)
from plainstate.limits import MAX_ARCHIVE_DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from plainstate.archive.tar import Member
    from plainstate.archive.target import Place
    from plainstate.types import DocumentId, Json

__all__ = ["Archive", "Found", "opened"]

_FIRST_BYTES: Final = 4096
_COPY_BYTES: Final = 1024 * 1024


class Found(NamedTuple):
    """A document in an archive: its file, its name and its value."""

    file: str
    document: DocumentId
    value: Json


@contextmanager
def opened(source: Place | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """In `with`: a seekable file, and the name it has in messages ("" for a file object).

    What cannot seek, such as a pipe, is copied into a temporary file.

    Raises:
        StorageError: it cannot be opened.
        UsageError: it is neither a path nor a file that is open for reading bytes.
    """
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        try:
            file: BinaryIO = open(name, "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise storage_error(error, name) from error
        with file, _seekable(file) as whole:
            yield whole, name
        return
    if not hasattr(source, "read") or hasattr(source, "encoding"):
        raise UsageError(
            f"cannot read bytes from {type(source).__name__}",
            hint="Pass a path, or a file that is open in binary mode.",
        )
    with _seekable(source) as whole:
        yield whole, ""


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    if file.seekable():
        yield file
        return
    from shutil import copyfileobj
    from tempfile import TemporaryFile

    with TemporaryFile() as copy:
        copyfileobj(file, copy, _COPY_BYTES)
        copy.seek(0)
        yield copy


class Archive:
    """An archive that is read twice: once to verify it, and once more.

    Args:
        file: seekable, at the archive's beginning.
        name: the archive's, in messages.
        max_bytes: of one document.
        progress: told how much of both passes is done, in bytes.

    Attributes:
        left_out: what already the export could not read; complete after `verify`.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        max_bytes: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._file = file
        self._name = name
        self._max_bytes = max_bytes
        self._progress = progress
        self._start = file.tell()
        self._size = file.seek(0, os.SEEK_END) - self._start
        self._seen: dict[str, Line] = {}
        self.left_out: list[LeftOut] = []

    def verify(self) -> Iterator[Found]:
        """Every document.  That the archive is whole and intact is known at the end.

        Raises:
            ArchiveError: it is not; `member` says where.
            FormatVersionError: a newer plainstate wrote it.
            ValueTooLargeError: a document is over the limit.
        """
        with self._translated():
            for line, found in self._documents(done=0):
                if line.file in self._seen:
                    raise BadTarError("it is there twice", line.file)
                if len(self._seen) >= MAX_ARCHIVE_DOCUMENTS:
                    raise BadTarError(f"there are more than {MAX_ARCHIVE_DOCUMENTS:,} documents")
                self._seen[line.file] = line
                yield found

    def again(self) -> Iterator[Found]:
        """The verified documents once more.

        Raises:
            ArchiveError: it was changed in between.
        """
        with self._translated():
            for line, found in self._documents(done=self._size):
                if self._seen.get(line.file) != line:
                    raise BadTarError("it was changed while it was read", line.file)
                yield found

    def _documents(self, *, done: int) -> Iterator[tuple[Line, Found]]:
        self._file.seek(self._start)
        source = Gunzip(self._file)
        members = tar.members(source)
        self._check_first(members)
        for member, pieces in members:
            if member.path == manifest.LAST:
                self._check_manifest(pieces)
                break
            yield self._document(member, pieces)
            if self._progress is not None:
                self._progress(done + self._file.tell() - self._start, 2 * self._size)
        else:
            raise BadManifestError(f"{manifest.LAST} is missing at its end")
        if next(members, None) is not None:
            raise BadManifestError(f"something follows {manifest.LAST}")
        source.finish()

    def _check_first(self, members: Iterator[tuple[Member, Iterator[bytes]]]) -> None:
        first = next(members, None)
        if first is None or first[0].path != manifest.FIRST or first[0].size > _FIRST_BYTES:
            raise BadManifestError(f"it does not begin with {manifest.FIRST}: another tool made it")
        version = manifest.format_of(b"".join(first[1]))
        if version != manifest.FORMAT:
            raise FormatVersionError(
                f"{self._shown}: it has format {version}; "
                f"this plainstate knows format {manifest.FORMAT}",
                hint="Upgrade plainstate (pip install --upgrade plainstate) and try again.",
                path=self._name,
                needed=f"archive format {version}",
            )

    def _document(self, member: Member, pieces: Iterable[bytes]) -> tuple[Line, Found]:
        document = _named(member.path)
        if member.size > self._max_bytes:
            raise ValueTooLargeError(
                f"{self._shown}: {member.path} has {member.size:,} bytes; "
                f"this store takes {self._max_bytes:,}",
                hint=f"Open the store with max_write_bytes={member.size} and import again.",
                pointer="",
                size_bytes=member.size,
                limit_bytes=self._max_bytes,
            )
        data = b"".join(pieces)
        try:
            value = data.decode() if document.kind == "markdown" else codec.decode(data)
        except (InvalidValueError, UnicodeDecodeError) as error:
            raise BadTarError(f"it is not readable: {error}", member.path) from error
        line = Line(member.path, member.size, manifest.digest(data))
        return line, Found(member.path, document, value)

    def _check_manifest(self, pieces: Iterable[bytes]) -> None:
        """What it says is what was found, in this order."""
        self.left_out = []
        found = iter(self._seen.values())
        for line in manifest.lines(pieces):
            if line.left_out:
                _named(line.file)
                self.left_out.append(LeftOut(line.file, line.left_out))
            elif (said := Line(line.file, line.size, line.sha256)) != next(found, None):
                raise BadTarError(f"it is not what {manifest.LAST} says", said.file)
        if (more := next(found, None)) is not None:
            raise BadTarError(f"{manifest.LAST} does not name it", more.file)

    @property
    def _shown(self) -> str:
        return self._name or "the archive"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Gives what the layers below say its place in the error tree."""
        try:
            yield
        except BadTarError as error:
            raise self._refused(error.reason, error.member) from error
        except (BadGzipError, BadManifestError) as error:
            raise self._refused(str(error)) from error
        except OSError as error:
            if isinstance(error, PlainstateError) or not self._name:
                raise
            raise storage_error(error, self._name) from error

    def _refused(self, reason: str, member: str = "") -> ArchiveError:
        shown = member if member.isprintable() else repr(member)
        return ArchiveError(
            ": ".join(part for part in (self._shown, shown, reason) if part),
            hint="Nothing was imported. Take another copy of the archive, or export again.",
            path=self._name,
            member=member,
        )


def _named(file: str) -> DocumentId:
    try:
        return manifest.document_of(file)
    except InvalidNameError as error:
        raise BadTarError(error.message, file) from error
