"""What to do about an error, said in commands: the library's own hints speak of Python."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plainstate.errors import PlainstateError

__all__ = ["hint"]

# A hint of the library that has these words is replaced.
_IN_COMMANDS: Final = {
    "that it is gone": "Restore the file, or accept that it is gone: "
    "`plainstate resolve {doc} --take file`. {journal} holds what waited for it.",
    "StateStore.resolve": "Both are kept. Restore the file, or choose: "
    "`plainstate resolve {doc} --take file` (or journal).",
    "salvage": "`plainstate cat {doc} --salvage` prints what is intact; "
    "restore the file from a copy, or cut it back to that: `plainstate repair --cut`.",
    "load_json": "Correct the file by hand or restore it; `plainstate cat {doc}` prints it.",
    "StateStore.rename": "Move it back beside its document, or aside; "
    "`plainstate mv` renames documents.",
    "max_write_bytes=": "Run it again with --max-document-bytes {size}.",
    "overwrite=True": "Choose another name, or add --overwrite.",
    "on_existing=": "--on-existing skip leaves what is there; --on-existing replace overwrites it.",
    "history='keep'": "`plainstate history {doc}` lists what is kept. "
    "Set PLAINSTATE_HISTORY=keep to keep what comes.",
    "could not be read": "What could not be read is not kept. `plainstate history {doc}` lists "
    "what is; `plainstate undo {doc} --to SEQ` goes back to it.",
    "restore_session": "Nothing before its deletion is kept. `plainstate trash` lists what was "
    "pruned; what was renamed has its past under its new name.",
    "`history` lists": "`plainstate history {doc}` lists those there are.",
    "HistoryEntry.seq": "`plainstate history DOC` lists numbers and versions.",
    "trash()": "`plainstate trash` lists what is there.",
    "keep_last": "Give --older-than, --keep-last or --max-bytes.",
    "new_id": "Choose another NEW, or leave it out.",
    "at=0": "Pass --at 0 to that number, or leave it out.",
    "SessionSummary.cursor": "Pass it exactly as `plainstate sessions` had it.",
    "a change or page": "Pass it exactly as `plainstate watch --json` had it.",
    "error's `oldest`": "Look at the documents themselves; `plainstate followers --remove NAME` "
    "lets a follower begin anew.",
    "remove_follower": "`plainstate followers --remove NAME` forgets it; then begin anew.",
    "list_categories": "`plainstate ls` lists what is there.",
    "Session and save_session": "`plainstate import FILE` makes sessions of conversations; "
    "any other JSON goes into another category.",
    "list_sessions": "`plainstate sessions` lists what is there.",
    "max_write_bytes": "Split it, or keep large data in files of its own.",
    "max_open_documents": "Too many open files: raise the limit (ulimit -n).",
    "same tx_id": "Check the disk; `plainstate show {doc}` then says what is stored.",
    "list_category": "`plainstate ls` lists what is there.",
}


def hint(error: PlainstateError) -> str:
    """The hint of an error for somebody at a terminal.

    Example:
        >>> from plainstate.errors import DamagedError
        >>> damaged = DamagedError("…", hint="salvage reads it", path="n/a.jsonl", line=2)
        >>> hint(damaged).partition(";")[0]
        '`plainstate cat n/a.json --salvage` prints what is intact'
    """
    # The file rather than the document: its suffix says which of two is meant.
    file = str(getattr(error, "path", "")).removesuffix("l")  # a journal's: .jsonl, .mdl
    file = file or str(getattr(error, "document", ""))
    for words, said in _IN_COMMANDS.items():
        if words in error.hint:
            return said.format(
                doc=shlex.quote(file),
                journal=getattr(error, "journal", ""),
                size=getattr(error, "size_bytes", ""),
            )
    return error.hint
