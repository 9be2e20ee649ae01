"""The parser, the dispatch, and how every error reaches the caller."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from plainstate import __version__, errors
from plainstate.cli import hints, render
from plainstate.cli.places import DEFAULT_STORE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

# The first class that fits decides.  The numbers are a promise: docs/cli.md.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.UsageError, 2),
    (errors.InvalidUrlError, 2),
    (errors.NotFoundError, 3),
    (errors.CursorExpiredError, 3),
    (FileNotFoundError, 3),
    (errors.ConflictError, 4),
    (errors.AlreadyExistsError, 4),
    (errors.DamagedError, 5),
    (errors.ArchiveError, 5),
    (errors.FormatVersionError, 5),
    (errors.OwnershipError, 1),  # an OSError by inheritance, but not the machine's refusal
    (errors.LockTimeoutError, 7),
    (OSError, 6),
)
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE


class _HelpFormatter(argparse.HelpFormatter):
    """Lists the commands without a line that says only COMMAND above them."""

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        return text.partition("\n")[2] if action.nargs == argparse.PARSER else text


class Parser(argparse.ArgumentParser):
    """Reports a misuse like every other error."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse.

        Raises:
            UsageError: always.
        """
        raise errors.UsageError(render.fit(message, 300), hint=f"See `{self.prog} --help`.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: its arguments; those of the process, if left out.

    Returns:
        The exit code, see `docs/cli.md`.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    render.prepare_streams()
    try:
        try:
            parser = _parser()
            args = parser.parse_args(arguments)
            if args.command is None:
                return _no_command(parser, args)
            run: Callable[[argparse.Namespace], int | None] = _command(args.run)
            return run(args) or 0
        finally:
            sys.stdout.flush()
    except SystemExit as error:  # --help and --version
        return int(error.code or 0)
    except BrokenPipeError:
        # Whoever read has seen enough.  The interpreter flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last place to report it
        return _report(error, as_json="--json" in arguments)


def _no_command(parser: Parser, args: argparse.Namespace) -> int:
    """Somebody looks what there is; a program that asks for JSON has made a mistake."""
    if args.json:
        parser.error("a command is missing")
    parser.print_help(sys.stderr)
    return EXIT_USAGE


def _report(error: BaseException, *, as_json: bool) -> int:
    """Says what went wrong on stderr; returns the exit code."""
    if os.environ.get("PLAINSTATE_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    code, message, hint = _describe(error)
    if as_json:
        render.json_line(
            {"error": {"code": code, "message": message, "hint": hint}}, file=sys.stderr
        )
    else:
        print(f"plainstate: {render.one_line(message)}", file=sys.stderr)
        if hint:
            print(f"hint: {render.one_line(hint)}", file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return next((number for kind, number in EXIT_CODES if isinstance(error, kind)), EXIT_REFUSED)


def _describe(error: BaseException) -> tuple[str, str, str]:
    """Code, message and hint of an error."""
    if isinstance(error, errors.PlainstateError):
        return error.code, error.message, hints.hint(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted", "What was acknowledged is stored."
    if isinstance(error, OSError):
        code = "not-found" if isinstance(error, FileNotFoundError) else "storage"
        where = f"{error.filename}: " if error.filename is not None else ""
        return code, f"{where}{error.strerror or error}", "Check the path and its permissions."
    reason = f"{type(error).__name__}: {error}"
    return "internal", f"internal error: {reason}", "Run it again with PLAINSTATE_DEBUG=1."


def _command(name: str) -> Callable[[argparse.Namespace], int | None]:
    """The function behind a verb.  Only its own module is imported: the start stays fast."""
    module, _, function = name.partition(":")
    found: Callable[[argparse.Namespace], int | None] = getattr(
        import_module(f"plainstate.cli.{module}"), function
    )
    return found


# --- the parser ----------------------------------------------------------------


def _parser() -> Parser:
    parser = Parser(
        prog="plainstate",
        description="Agent state in plain files: documents and conversations.",
        epilog="DOC is CATEGORY/NAME, or its file's path within the store: CATEGORY/NAME.md.",
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    _add_common(parser, store=None, json=False)
    parser.add_argument("--version", action="version", version=f"plainstate {__version__}")
    verbs = _Verbs(parser)
    _add_reading(verbs)
    _add_writing(verbs)
    _add_upkeep(verbs)
    return parser


def _add_common(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """The options that may stand before or behind the verb."""
    parser.add_argument(
        "--store",
        metavar="PATH|URL",
        default=defaults.get("store", argparse.SUPPRESS),
        help=f"the store (default: $PLAINSTATE_STORE, or else {DEFAULT_STORE})",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=defaults.get("json", argparse.SUPPRESS),
        help="print JSON, for programs",
    )


class _Verbs:
    """Adds verbs to the parser."""

    def __init__(self, parser: Parser) -> None:
        self._parsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def add(
        self, name: str, run: str, text: str, *, document: bool = False
    ) -> argparse.ArgumentParser:
        """A verb; with `document`, one that takes DOC and `--kind`."""
        parser = self._parsers.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
        )
        parser.set_defaults(run=run)
        _add_common(parser)
        if document:
            parser.add_argument("doc", metavar="DOC", help="CATEGORY/NAME")
            parser.add_argument(
                "--kind",
                choices=("json", "markdown"),
                help="which, where DOC is both; DOC is then taken without a suffix",
            )
        return parser


def _add_reading(verbs: _Verbs) -> None:
    verbs.add("show", "reading:show", "a session as a transcript, or a document", document=True)
    listing = verbs.add("ls", "reading:ls", "the categories, or the documents of one")
    listing.add_argument("category", metavar="CATEGORY", nargs="?")
    cat = verbs.add("cat", "reading:cat", "a document's raw text or JSON", document=True)
    cat.add_argument("--salvage", action="store_true", help="what is intact of a damaged document")
    sessions = verbs.add("sessions", "reading:sessions", "the sessions, last changed first")
    sessions.add_argument("--user", metavar="ID", help="only this user's")
    sessions.add_argument("--limit", metavar="N", type=_count, help="at most so many")


def _add_writing(verbs: _Verbs) -> None:
    put = verbs.add("put", "writing:put", "save a document, from a file or standard input")
    put.add_argument("doc", metavar="DOC", help="CATEGORY/NAME")
    put.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: - (stdin)")
    put.add_argument("--markdown", action="store_true", help="it is Markdown (else: *.md is)")
    put.add_argument("--if-version", metavar="V", help="refuse unless this is the current version")
    verbs.add("rm", "writing:rm", "delete a document for good", document=True)
    mv = verbs.add(
        "mv", "writing:mv", "rename a document, or move it to another category", document=True
    )
    mv.add_argument("new", metavar="NEW", help="CATEGORY/NAME")
    imports = verbs.add(
        "import", "imports:run", "store an archive, or conversations from JSON or JSONL files"
    )
    imports.add_argument("files", metavar="FILE", nargs="+", help="- is standard input")
    imports.add_argument(
        "--user",
        metavar="ID",
        help='whose sessions (default: as the file says, or else "imported")',
    )
    imports.add_argument(
        "--on-existing",
        choices=("fail", "skip", "replace"),
        default="fail",
        help="what is there with other content: stop (default), leave it and go on, "
        "or replace it (archives only)",
    )
    imports.add_argument(
        "--max-document-bytes",
        metavar="N",
        type=_count,
        help="the largest document to take from an archive (default: 8 MiB)",
    )


def _add_upkeep(verbs: _Verbs) -> None:
    export = verbs.add(
        "export", "archives:export", "write the store, or a part of it, to an archive"
    )
    export.add_argument("target", metavar="FILE", help="a new file; - is standard output")
    export.add_argument(
        "--markdown", action="store_true", help="transcripts for reading; FILE is a new folder"
    )
    part = export.add_mutually_exclusive_group()
    part.add_argument("--session", metavar="ID", help="only this session")
    part.add_argument("--category", metavar="CATEGORY", help="only the documents right in it")
    export.add_argument("--overwrite", action="store_true", help="replace FILE")
    verbs.add("check", "checking:check", "look for damage in every file")
    repair = verbs.add("repair", "checking:repair", "mend what needs no decision")
    repair.add_argument("--dry-run", action="store_true", help="only say what would be done")
    repair.add_argument(
        "--cut",
        action="store_true",
        help="also give up transactions that are damaged or have no document",
    )
    repair.add_argument("--yes", action="store_true", help="do not ask")
    verbs.add("checkpoint", "upkeep:checkpoint", "fold every journal into its plain file")
    resolve = verbs.add(
        "resolve", "upkeep:resolve", "settle a conflict with an edit by hand", document=True
    )
    resolve.add_argument(
        "--take",
        choices=("file", "journal"),
        required=True,
        help="which side counts; the other is set aside",
    )
    demo = verbs.add("demo", "demo:run", "see it work, in a temporary store")
    demo.add_argument("--data", metavar="FILE", help="conversations to use (default: samples)")
    demo.add_argument("--keep", metavar="DIR", help="make the store here, and leave it")


def _count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("it must be a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number
