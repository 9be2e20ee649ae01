"""What a check can find: every code, how bad it is, and what to do about it.

`docs/check.md` explains each; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from plainstate.types import DocumentId, Finding, Severity

__all__ = ["CODES", "Sort", "finding", "in_order"]


class Sort(Struct, frozen=True):
    """What all findings of one code have in common.

    Attributes:
        severity: how bad it is, unless the finding is harmless.
        remedy: what to do; `{doc}` is the document, `{path}` the file.
    """

    severity: Severity
    remedy: str


_REPAIR: Final = "`plainstate repair` does it now."
_SALVAGE: Final = "`plainstate cat {doc} --salvage` prints what is intact."
_WHO: Final = "Check the owner, the permissions and the disk; then check again."
_RESTORE: Final = "Restore the file from a copy"

CODES: Final[dict[str, Sort]] = {
    # the store
    "format-damaged": Sort("damage", 'Restore it; for format 1 it reads {{"plainstate": 1}}.'),
    "newer-format": Sort("problem", "Upgrade plainstate (pip install --upgrade plainstate)."),
    "unsafe-path": Sort("problem", "Put the file or folder itself in its place, or move it away."),
    "unreadable": Sort("problem", _WHO),
    "not-writable": Sort("problem", "Let its owner write it: chmod u+w."),
    "other-owner": Sort("problem", "Give it to the owner of the store: chown."),
    "open-permissions": Sort("note", "If others must not see it: chmod -R go= on the store."),
    "foreign-file": Sort("note", "Nothing, if you put it there: plainstate leaves it alone."),
    "invalid-name": Sort("problem", "Rename it by the naming rule; until then no list shows it."),
    "case-clash": Sort("note", "Rename one of them before the store moves to such a system."),
    "temp-stale": Sort("note", f"Nothing: a writer that closes removes it; {_REPAIR}"),
    "writer-dead": Sort("note", f"Nothing: a writer that closes looks after it; {_REPAIR}"),
    "quarantined": Sort("note", "Look whether you miss something, then remove it."),
    # a document's journal
    "journal-torn": Sort("note", f"Nothing: the next writer sets it aside; {_REPAIR}"),
    "journal-damaged": Sort(
        "damage",
        f"{_RESTORE}, or cut it back to what is intact: `plainstate repair --cut`. {_SALVAGE}",
    ),
    "journal-foreign": Sort(
        "damage",
        "Move it back beside its document; if that document already has everything in it, "
        "`plainstate repair` sets it aside.",
    ),
    "journal-orphaned": Sort(
        "damage",
        f"{_RESTORE}, or accept that it is gone: `plainstate resolve {{doc}} --take file`. "
        "{path}l holds what waits.",
    ),
    "cut-off": Sort("note", f"Nothing: the next writer completes it; {_REPAIR}"),
    "document-gone": Sort(
        "problem", f"{_RESTORE}; if you removed it, accept that: `plainstate repair --cut`."
    ),
    "rolled-back": Sort(
        "problem", f"{_RESTORE} if something is missing, or accept it: `plainstate repair --cut`."
    ),
    # its plain file
    "snapshot-damaged": Sort(
        "damage",
        f"Correct the file by hand, or {_RESTORE.lower()}; "
        "where the history has the same bytes, `plainstate repair` does it.",
    ),
    "snapshot-suspect": Sort("problem", f"Look at it. {_RESTORE} if nobody meant that."),
    "snapshot-swapped": Sort("problem", "Look at both files, and swap their names back."),
    "duplicate-keys": Sort("problem", "Remove one of them by hand."),
    "edit-conflict": Sort(
        "problem", "Choose: `plainstate resolve {doc} --take file` (or journal)."
    ),
    "edited": Sort("note", "Nothing: it counts."),
    "session-damaged": Sort(
        "damage",
        f"Correct the file by hand, or {_RESTORE.lower()}; `plainstate cat {{doc}}` prints it.",
    ),
    "session-id": Sort("note", "Nothing: the name of the file counts."),
    # what is kept of it
    "head-damaged": Sort("damage", "`plainstate repair` writes it anew."),
    "head-foreign": Sort("damage", "`plainstate repair` writes it anew."),
    "head-orphaned": Sort("note", f"Nothing, if you removed the file; else {_RESTORE.lower()}."),
    "history-torn": Sort("note", f"Nothing: the next writer sets it aside; {_REPAIR}"),
    "history-damaged": Sort("damage", "`plainstate repair` sets aside what is not intact."),
    "history-foreign": Sort("damage", "Move it back; or let `plainstate repair` set it aside."),
    "history-orphaned": Sort("note", "Remove it, if you need nothing of it."),
    # the store's own documents
    "follower-damaged": Sort(
        "problem", "Remove it with StateStore.remove_follower; it begins anew."
    ),
    "trash-damaged": Sort("damage", _RESTORE + '; it reads {{"time": "2026-11-22T12:00:00Z"}}.'),
    "trash-orphaned": Sort(
        "problem", 'Put a file {path}.json there: {{"time": "2026-11-22T12:00:00Z"}}.'
    ),
    # what is derived
    "feed-damaged": Sort("problem", "`plainstate repair` begins a new segment."),
    "feed-gap": Sort("note", "Nothing: who follows the store is told to look at the documents."),
    "feed-open": Sort("problem", "`plainstate repair` closes it."),
    "feed-behind": Sort("note", f"Nothing: opening the store tells it; {_REPAIR}"),
    "index-damaged": Sort(
        "problem", "Nothing: the next list makes it anew; or `plainstate repair`."
    ),
    "index-wrong": Sort("problem", "`plainstate repair` removes it; the next list makes it anew."),
    "index-behind": Sort("note", "Nothing: opening the store brings it up to date."),
    "index-leftover": Sort("note", "Nothing: the next list removes it; or `plainstate repair`."),
}
"""Every code."""

_RANK: Final[dict[Severity, int]] = {"damage": 0, "problem": 1, "note": 2}


def finding(
    code: str,
    message: str,
    *,
    document: DocumentId | None = None,
    path: str = "",
    line: int = 0,
    harmless: bool = False,
) -> Finding:
    """Makes a finding; the code says the rest.

    Args:
        code: one of `CODES`.
        message: one sentence.
        document: which one it is about.
        path: the file, relative to the store.
        line: its line, from 1.
        harmless: this one is but a note, whatever its code says.

    Example:
        >>> found = finding("edited", "it was edited", path="notes/plan.md")
        >>> found.severity, found.remedy
        ('note', 'Nothing: it counts.')
    """
    sort = CODES[code]
    path, message = _printable(path), _printable(message)
    if path not in message:
        message = f"{path}: {message}"
    doc = path if document is None else _plain_file(document)
    return Finding(
        code,
        "note" if harmless else sort.severity,
        document,
        path,
        line,
        message,
        "Nothing needs to be done." if harmless else sort.remedy.format(doc=doc, path=path),
    )


def in_order(findings: list[Finding]) -> list[Finding]:
    """The worst first, then by file and line."""
    return sorted(findings, key=lambda one: (_RANK[one.severity], one.path, one.line, one.code))


def _plain_file(document: DocumentId) -> str:
    return f"{document}{'.json' if document.kind == 'json' else '.md'}"


def _printable(text: str) -> str:
    """A name need not be UTF-8 on disk."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
