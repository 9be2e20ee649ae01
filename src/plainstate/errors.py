"""Every error plainstate raises, in one tree.

    PlainstateError
    ├── before anything is done: the input is at fault, nothing changed
    │   ├── InvalidNameError      (ValueError)         invalid-name
    │   ├── InvalidValueError     (ValueError)         invalid-value
    │   │   └── ValueTooLargeError                     too-large
    │   ├── InvalidPatchError     (ValueError)         invalid-patch
    │   ├── InvalidUrlError       (ValueError)         invalid-url
    │   ├── InvalidCursorError    (ValueError)         invalid-cursor
    │   └── UsageError            (RuntimeError)       usage
    ├── the stored state says no, nothing changed
    │   ├── NotFoundError         (KeyError)           not-found
    │   ├── AlreadyExistsError    (FileExistsError)    already-exists
    │   ├── CursorExpiredError    (LookupError)        cursor-expired
    │   ├── ConflictError         (RuntimeError)       conflict
    │   │   ├── PatchFailedError                       patch-failed
    │   │   └── EditConflictError                      edit-conflict
    │   └── OwnershipError        (PermissionError)    ownership
    ├── a file is not what it should be, nothing changed
    │   ├── DamagedError          (ValueError)         damaged
    │   │   └── ForeignJournalError                    foreign-journal
    │   ├── ArchiveError          (ValueError)         archive
    │   └── FormatVersionError    (RuntimeError)       format-version
    └── the machine says no
        ├── StorageError          (OSError)            storage
        │   ├── StorageFullError                       storage-full
        │   ├── ReadOnlyError     (PermissionError)    read-only
        │   ├── UnsafePathError                        unsafe-path
        │   └── OutcomeUnknownError                    outcome-unknown
        └── LockTimeoutError      (TimeoutError)       lock-timeout

After every error except `OutcomeUnknownError` the state is what it was before
the call.  Each class also inherits the builtin that a caller would catch, has
a stable `code`, a `hint` that says what to do next, typed attributes, and
pickles.
"""

from __future__ import annotations

import errno as _errno
from typing import Any, ClassVar

__all__ = [
    "AlreadyExistsError",
    "ArchiveError",
    "ConflictError",
    "CursorExpiredError",
    "DamagedError",
    "EditConflictError",
    "ForeignJournalError",
    "FormatVersionError",
    "InvalidCursorError",
    "InvalidNameError",
    "InvalidPatchError",
    "InvalidUrlError",
    "InvalidValueError",
    "LockTimeoutError",
    "NotFoundError",
    "OutcomeUnknownError",
    "OwnershipError",
    "PatchFailedError",
    "PlainstateError",
    "ReadOnlyError",
    "StorageError",
    "StorageFullError",
    "UnsafePathError",
    "UsageError",
    "ValueTooLargeError",
]


class PlainstateError(Exception):
    """The root: `except PlainstateError` catches everything plainstate raises.

    Attributes:
        message: what happened, one line.
        hint: what to do next, one line, may be empty.
        code: a stable name for programs and the command line.

    Example:
        >>> error = NotFoundError("no document notes/plan", hint="list them")
        >>> error.code, error.hint, isinstance(error, KeyError)
        ('not-found', 'list them', True)
    """

    code: ClassVar[str] = "plainstate"

    def __init__(self, message: str, *, hint: str = "", **attributes: Any) -> None:
        message = _printable(message)
        super().__init__(message)
        self.message = message
        self.hint = _printable(hint)
        self._attributes = attributes
        for name, value in attributes.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        attributes = {name: getattr(self, name) for name in self._attributes}
        return _rebuild, (type(self), self.message, self.hint, attributes)


def _printable(text: str) -> str:
    """A text in which what is no UTF-8, as in some file names, is escaped: a program logs it."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _rebuild(
    cls: type[PlainstateError], message: str, hint: str, attributes: dict[str, Any]
) -> PlainstateError:
    return cls(message, hint=hint, **attributes)


# --- before anything is done -------------------------------------------------


class InvalidNameError(PlainstateError, ValueError):
    """A category, document name or session id breaks the naming rule.

    Attributes:
        name: the refused text.
    """

    code = "invalid-name"
    name: str


class InvalidValueError(PlainstateError, ValueError):
    """A value is not exact JSON: NaN, a lone surrogate, a non-string key, …

    Attributes:
        pointer: JSON Pointer (RFC 6901) of the offending part.
    """

    code = "invalid-value"
    pointer: str


class ValueTooLargeError(InvalidValueError):
    """A single write is larger than the store's `max_write_bytes`.

    Attributes:
        size_bytes: what the write would take.
        limit_bytes: what is allowed.
    """

    code = "too-large"
    size_bytes: int
    limit_bytes: int


class InvalidPatchError(PlainstateError, ValueError):
    """A JSON Patch is malformed (RFC 6902): unknown op, missing member, …

    Attributes:
        op_index: position of the operation in the patch, from 0.
        pointer: its path, as far as it is known.
    """

    code = "invalid-patch"
    op_index: int
    pointer: str


class InvalidUrlError(PlainstateError, ValueError):
    """A store URL names an unknown scheme or is malformed."""

    code = "invalid-url"
    url: str


class InvalidCursorError(PlainstateError, ValueError):
    """A text is no cursor.

    Attributes:
        cursor: the refused text.
    """

    code = "invalid-cursor"
    cursor: str


class UsageError(PlainstateError, RuntimeError):
    """The API is used in a way that cannot work: closed, forked, nested, …"""

    code = "usage"


# --- the stored state says no ------------------------------------------------


class NotFoundError(PlainstateError, KeyError):
    """The document or session does not exist.

    Attributes:
        document: `category/name`.
    """

    code = "not-found"
    document: str


class AlreadyExistsError(PlainstateError, FileExistsError):
    """The document exists and the call demanded that it does not."""

    code = "already-exists"
    document: str


class CursorExpiredError(PlainstateError, LookupError):
    """Some changes behind a cursor are no longer kept: who follows the feed was cut off.

    Attributes:
        cursor: the cursor given.
        oldest: where the feed begins now: go on from there after looking at the documents.
    """

    code = "cursor-expired"
    cursor: str
    oldest: str


class ConflictError(PlainstateError, RuntimeError):
    """The stored state moved on: the change was made against an older one.

    Attributes:
        document: `category/name`.
        expected: the version the caller asked for, if it named one.
        current: the version stored now, `None` where the document is absent.
    """

    code = "conflict"
    document: str
    expected: str | None
    current: str | None


class PatchFailedError(ConflictError):
    """A well-formed patch does not fit: a path is missing or a `test` failed.

    Attributes:
        op_index: position of the operation in the patch, from 0.
        pointer: its path.
    """

    code = "patch-failed"
    op_index: int
    pointer: str


class EditConflictError(ConflictError):
    """A file was edited by hand while transactions were not yet folded into
    it, and the two do not provably fit together.  Both are kept.

    Attributes:
        path: the edited file, relative to the store.
        journal: the journal that holds the transactions.
        transactions: how many of them are waiting.
    """

    code = "edit-conflict"
    path: str
    journal: str
    transactions: int


class OwnershipError(PlainstateError, PermissionError):
    """The session belongs to another user.

    Attributes:
        session_id: the session.
        owner: who owns it.
        user_id: who asked.
    """

    code = "ownership"
    session_id: str
    owner: str
    user_id: str


# --- a file is not what it should be -----------------------------------------


class DamagedError(PlainstateError, ValueError):
    """A stored file cannot be read as what it should be.  It is never taken
    for an absent one, and never overwritten.

    Attributes:
        path: the file, relative to the store.
        line: line number from 1, 0 where it does not apply.
    """

    code = "damaged"
    path: str
    line: int


class ForeignJournalError(DamagedError):
    """A journal names another document than the one it lies beside.

    Attributes:
        belongs_to: the document it names.
    """

    code = "foreign-journal"
    belongs_to: str


class ArchiveError(PlainstateError, ValueError):
    """What is to be imported is not a whole, intact archive.

    Attributes:
        path: the archive, as it was named; "" where it has no name.
        member: the file inside it that is at fault, "" where it is none in particular.
    """

    code = "archive"
    path: str
    member: str


class FormatVersionError(PlainstateError, RuntimeError):
    """A file was written by a newer plainstate.

    Attributes:
        path: the file, relative to the store.
        needed: the format version (or the key) this one does not know.
    """

    code = "format-version"
    path: str
    needed: str


# --- the machine says no -----------------------------------------------------


class StorageError(PlainstateError, OSError):
    """The operating system refused; the state is what it was before.

    Attributes:
        errno: the system's number, see errno(3).
        path: the file concerned.
    """

    code = "storage"
    path: str


class StorageFullError(StorageError):
    """No space, no inodes or no quota left."""

    code = "storage-full"


class ReadOnlyError(StorageError, PermissionError):
    """The store or its file system does not allow writing."""

    code = "read-only"


class UnsafePathError(StorageError):
    """A symbolic link or a special file stands where a plain one belongs."""

    code = "unsafe-path"


class OutcomeUnknownError(StorageError):
    """The disk failed while a write was made durable, and the write could not
    be taken back: it may or may not be there after a restart.  Retry with the
    same `tx_id`, which is safe either way.
    """

    code = "outcome-unknown"


class LockTimeoutError(PlainstateError, TimeoutError):
    """Another writer held the document for longer than the lock timeout.

    Attributes:
        document: `category/name`.
        timeout_s: how long this call waited.
    """

    code = "lock-timeout"
    document: str
    timeout_s: float


_FULL = {_errno.ENOSPC, _errno.EDQUOT, _errno.EFBIG}
_READ_ONLY = {_errno.EROFS, _errno.EACCES, _errno.EPERM}
_UNSAFE = {_errno.ELOOP}


def storage_error(error: OSError, path: str, what: str = "") -> StorageError:
    """Translates an `OSError` of the file system seam into the tree above.

    Args:
        error: the system's.
        path: the file.
        what: how the message begins where the file's name says nothing to the caller.

    Example:
        >>> storage_error(OSError(28, "No space left on device"), "a.json").code
        'storage-full'
    """
    number = error.errno or 0
    reason = error.strerror or str(error)
    cls: type[StorageError] = StorageError
    hint = "See the system's message; nothing was changed."
    if number in _FULL:
        cls, hint = StorageFullError, "Free some space and try again; nothing was changed."
    elif number in _READ_ONLY:
        cls, hint = ReadOnlyError, "Check the owner, the permissions and the mount options."
    elif number in _UNSAFE:
        cls, reason = UnsafePathError, "it is a symbolic link, or not a plain file"
        hint = "Put the file or folder itself in its place."
    elif number in (_errno.EMFILE, _errno.ENFILE):
        hint = "Too many open files: raise the limit (ulimit -n) or lower max_open_documents."
    return cls(f"{what or path}: {reason}", hint=hint, path=path, errno=number, strerror=reason)
