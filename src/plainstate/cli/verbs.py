"""The parser: every verb with its arguments, and which function runs it."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from plainstate import __version__, errors
from plainstate.cli import quantities, render
from plainstate.cli.places import DEFAULT_STORE

__all__ = ["Parser", "make_parser"]


class _HelpFormatter(argparse.HelpFormatter):
    """Lists the commands without a line that says only COMMAND above them."""

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        return text.partition("\n")[2] if action.nargs == argparse.PARSER else text


class Parser(argparse.ArgumentParser):
    """Reports a misuse like every other error."""

    advice = ""
    """What else to say of a misuse of this verb."""

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuses what a verb does not know where the verb, and so its help, is known."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Called by argparse.

        Raises:
            UsageError: always.
        """
        raise errors.UsageError(
            render.fit(message, 300), hint=f"{self.advice}See `{self.prog} --help`."
        )


def make_parser() -> Parser:
    """The parser; the function of a verb is in `run`, as `module:function`."""
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
    _add_finding(verbs)
    _add_writing(verbs)
    _add_past(verbs)
    _add_exchange(verbs)
    _add_retention(verbs)
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

    def add(self, name: str, run: str, text: str, *, document: bool = False) -> Parser:
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
    show = verbs.add(
        "show", "reading:show", "a session as a transcript, or a document", document=True
    )
    _add_at(show)
    listing = verbs.add("ls", "listing:ls", "the categories, or the documents of one")
    listing.add_argument("category", metavar="CATEGORY", nargs="?")
    listing.add_argument("--prefix", metavar="TEXT", help="only names that begin so")
    _add_limit(listing, "at most so many names")
    listing.add_argument("--after", metavar="DOC", help="go on behind this one")
    cat = verbs.add("cat", "reading:cat", "a document's raw text or JSON", document=True)
    _add_at(cat)
    cat.add_argument("--salvage", action="store_true", help="what is intact of a damaged document")
    sessions = verbs.add("sessions", "listing:sessions", "the sessions, last changed first")
    sessions.add_argument("--user", metavar="ID", help="only this user's")
    _add_limit(sessions, "at most so many (default on a terminal: one page)")
    sessions.add_argument("--after", metavar="CURSOR", help="go on behind this place")
    sessions.add_argument("--oldest", action="store_true", help="last changed last")
    sessions.add_argument("--no-damaged", action="store_true", help="leave damaged ones out")


def _add_finding(verbs: _Verbs) -> None:
    search = verbs.add("search", "finding:search", "messages and passages with all these words")
    search.add_argument(
        "text", metavar="TEXT", nargs="+", help='words; "in quotes" together; begin* a beginning'
    )
    search.advice = "Words that begin with - go behind `--`. "
    search.add_argument(
        "--category", metavar="CATEGORY", help="only in it; sessions: conversations"
    )
    search.add_argument("--user", metavar="ID", help="only in this user's sessions")
    _add_limit(search, "at most so many hits (default: 20)", default=20)
    watch = verbs.add("watch", "following:watch", "changes as they come, a line for each")
    watch.add_argument("--since", metavar="CURSOR", help="begin behind this one (default: now)")
    watch.add_argument("--category", metavar="CATEGORY", help="only documents right in it")
    watch.add_argument(
        "--follower", metavar="NAME", help="remember under this name how far it came, and go on"
    )
    followers = verbs.add("followers", "following:followers", "who follows the changes by a name")
    followers.add_argument("--remove", metavar="NAME", help="forget this one")


def _add_writing(verbs: _Verbs) -> None:
    put = verbs.add("put", "writing:put", "save a document, from a file or standard input")
    put.add_argument("doc", metavar="DOC", help="CATEGORY/NAME")
    put.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: - (stdin)")
    put.add_argument("--markdown", action="store_true", help="it is Markdown (else: *.md is)")
    put.add_argument("--if-version", metavar="V", help="refuse unless this is the current version")
    verbs.add("rm", "writing:rm", "delete a document", document=True)
    mv = verbs.add(
        "mv", "writing:mv", "rename a document, or move it to another category", document=True
    )
    mv.add_argument("new", metavar="NEW", help="CATEGORY/NAME")


def _add_past(verbs: _Verbs) -> None:
    history = verbs.add(
        "history", "past:history", "what was done to a document, newest first", document=True
    )
    _add_limit(history, "at most so many")
    history.add_argument("--patch", action="store_true", help="with what each of them changed")
    undo = verbs.add(
        "undo", "past:undo", "go back to an earlier state, as a new one", document=True
    )
    undo.add_argument(
        "--to",
        metavar="SEQ|VERSION",
        type=quantities.place_in_past,
        help="that state (default: the one before the last change)",
    )
    undo.add_argument("--if-version", metavar="V", help="refuse unless this is the current version")
    fork = verbs.add("fork", "past:fork", "a new session from the beginning of another one")
    fork.add_argument("session", metavar="SESSION", help="its id")
    fork.add_argument("new", metavar="NEW", nargs="?", help="the new id (default: a random one)")
    fork.add_argument(
        "--at",
        metavar="N|VERSION",
        type=quantities.place_in_past,
        help="keep N messages, or what it was at that version (default: all)",
    )
    fork.add_argument("--user", metavar="ID", help="whose the new one is (default: the same)")


def _add_exchange(verbs: _Verbs) -> None:
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
        type=quantities.count,
        help="the largest document to take from an archive (default: 8 MiB)",
    )
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


def _add_retention(verbs: _Verbs) -> None:
    prune = verbs.add("prune", "retention:prune", "move old sessions to the trash")
    prune.add_argument(
        "--older-than", metavar="AGE", type=quantities.age, help="last changed so long ago: 90d"
    )
    prune.add_argument(
        "--keep-last", metavar="N", type=quantities.whole, help="the newest N stay in any case"
    )
    prune.add_argument(
        "--max-bytes",
        metavar="SIZE",
        type=quantities.size_bytes,
        help="what all that stay may take together: 500M",
    )
    prune.add_argument("--user", metavar="ID", help="only this user's")
    _add_consent(prune)
    trash = verbs.add("trash", "retention:trash", "the sessions that were pruned")
    what = trash.add_mutually_exclusive_group()
    what.add_argument("--restore", metavar="ID", help="move this one back")
    what.add_argument("--empty", action="store_true", help="delete them for good")
    trash.add_argument("--run", dest="of_run", metavar="RUN", help="which of several")
    trash.add_argument(
        "--older-than",
        metavar="AGE",
        type=quantities.age,
        help="--empty only what was pruned so long ago (default: 7d)",
    )
    _add_consent(trash)


def _add_upkeep(verbs: _Verbs) -> None:
    verbs.add("stats", "upkeep:stats", "how much the store holds, of what")
    verbs.add("reindex", "upkeep:reindex", "make the index of lists and search anew")
    verbs.add("check", "checking:check", "look for damage in every file")
    repair = verbs.add("repair", "checking:repair", "mend what needs no decision")
    repair.add_argument(
        "--cut",
        action="store_true",
        help="also give up transactions that are damaged or have no document",
    )
    _add_consent(repair)
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


def _add_limit(parser: argparse.ArgumentParser, text: str, default: int | None = None) -> None:
    parser.add_argument("--limit", metavar="N", type=quantities.count, default=default, help=text)


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at", metavar="SEQ|VERSION", type=quantities.place_in_past, help="as it was then"
    )


def _add_consent(parser: argparse.ArgumentParser) -> None:
    """For what takes something away."""
    parser.add_argument("--dry-run", action="store_true", help="only tell what would go")
    parser.add_argument("--yes", action="store_true", help="do not ask")
