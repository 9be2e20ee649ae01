"""The dispatch, and how every error reaches the caller."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from plainstate import errors
from plainstate.cli import hints, render
from plainstate.cli.verbs import make_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from plainstate.cli.verbs import Parser

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
            parser = make_parser()
            args = parser.parse_args(_with_places(arguments))
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


def _with_places(arguments: list[str]) -> list[str]:
    """Joins `--after` and what follows: a place in a list may begin with "-"."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            return [*joined, argument, *rest]
        following = next(rest, None) if argument == "--after" else None
        joined.append(argument if following is None else f"{argument}={following}")
    return joined


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
