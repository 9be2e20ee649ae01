"""`plainstate export`, and `plainstate import` of an archive."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TextIO

from plainstate import errors
from plainstate.archive.compress import MAGIC
from plainstate.cli import places, render
from plainstate.cli.inputs import STDIN
from plainstate.cli.progress import progress

if TYPE_CHECKING:
    import argparse

    from plainstate.archive.reports import LeftOut
    from plainstate.types import Json

__all__ = ["export", "is_archive", "take"]

_STDOUT: Final = "-"
_EXIT_DAMAGED: Final = 5


def export(args: argparse.Namespace) -> int:
    """`plainstate export TARGET`: the store, or a part of it, as an archive or as Markdown.

    Returns:
        5 if something could not be read and is left out, else 0.
    """
    _check(args)
    session = None if args.session is None else places.session_id(args.session)
    chosen = {"category": args.category, "session_id": session}
    with places.existing_store(args) as store, progress("exporting") as tick:
        if args.markdown:
            report = store.export_markdown(args.target, **chosen, progress=tick)
        else:
            target: str | BinaryIO = args.target
            if target == _STDOUT:
                target = sys.stdout.buffer
            report = store.export_archive(target, **chosen, overwrite=args.overwrite, progress=tick)
    if args.json:
        render.json_document(
            {
                "documents": report.documents,
                "size_bytes": report.size_bytes,
                "left_out": _left_out_json(report.left_out),
            }
        )
    else:
        out = sys.stderr if args.target == _STDOUT else sys.stdout
        count = render.plural(report.documents, "document")
        print(f"exported {count}, {render.plural(report.size_bytes, 'byte')}", file=out)
        _print_left_out(report.left_out, out)
    return _EXIT_DAMAGED if report.left_out else 0


def _check(args: argparse.Namespace) -> None:
    """Refuses what cannot go together."""
    if args.markdown and args.overwrite:
        raise errors.UsageError(
            "--overwrite is for archives", hint="Name a new or empty folder for --markdown."
        )
    if args.target != _STDOUT:
        return
    if args.markdown:
        raise errors.UsageError(
            "--markdown makes a folder, not one file",
            hint="Name a new folder; `plainstate show` prints one session.",
        )
    if args.json:
        raise errors.UsageError(
            "the archive and --json both want standard output", hint="Name a file."
        )
    if sys.stdout.isatty():
        raise errors.UsageError(
            "an archive is not for a terminal", hint="Name a file, or pipe the output."
        )


def is_archive(path: str) -> bool:
    """Whether a file to import is an archive.  Of standard input nothing is consumed."""
    if path == STDIN:
        stdin: Any = sys.stdin.buffer  # a BufferedReader, which can look ahead
        return bool(stdin.peek(1)[:1] == MAGIC[:1])
    if not os.path.isfile(path):  # a pipe can be read only once
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def take(args: argparse.Namespace) -> None:
    """`plainstate import ARCHIVE`: stores its documents.

    Raises:
        UsageError: there are several files, or options for conversations.
    """
    if len(args.files) > 1 or args.user is not None:
        raise errors.UsageError(
            "an archive is imported alone, and says itself whose sessions it holds",
            hint="Name one archive, without --user.",
        )
    (path,) = args.files
    limit = {} if args.max_document_bytes is None else {"max_write_bytes": args.max_document_bytes}
    source: str | BinaryIO = sys.stdin.buffer if path == STDIN else path
    with places.store_for_writing(args, **limit) as store, progress("importing") as tick:
        report = store.import_archive(source, on_existing=args.on_existing, progress=tick)
    counts: Json = {
        "created": report.created,
        "replaced": report.replaced,
        "unchanged": report.unchanged,
    }
    if args.json:
        left_out = _left_out_json(report.left_out)
        render.json_document({**counts, "skipped": report.skipped, "left_out": left_out})
        return
    print("documents: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    for file in report.skipped:
        print(f"skipped: {render.one_line(file)} exists with other content")
    _print_left_out(report.left_out, sys.stdout)


def _left_out_json(left_out: list[LeftOut]) -> Json:
    return [{"file": one.file, "reason": one.reason} for one in left_out]


def _print_left_out(left_out: list[LeftOut], out: TextIO) -> None:
    for one in left_out:
        print(f"LEFT OUT: {render.one_line(one.reason)}", file=out)
