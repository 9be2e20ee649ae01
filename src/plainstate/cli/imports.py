"""`plainstate import`: conversations from files, each as one session and one transaction.

An archive is recognised by its content; `archives.py` takes it.
"""

from __future__ import annotations

import os
import time
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from plainstate import errors
from plainstate.cli import archives, importing, inputs, places, render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from plainstate import Session, StateStore
    from plainstate.types import Json

__all__ = ["dialogues", "run", "store_session"]

WRITERS: Final = 8
"""Threads: on an idle disk they gain a fifth, on a busy one they are three times as fast."""

BATCH: Final = 64
"""Sessions in memory at once: enough for the threads, few enough to begin before all is read."""

_SHOWN: Final = 10
"""How many ids are printed."""


Outcome: TypeAlias = bool | errors.AlreadyExistsError
"""Whether a session was created, or why it cannot be."""


class Found(NamedTuple):
    """A dialogue, and how much of its file is read with it (0 to 1)."""

    dialogue: importing.Dialogue
    fraction: float
    where: str


def run(args: argparse.Namespace) -> None:
    """Stores an archive, or every dialogue of the files.

    Safe to run again, also after a kill: a dialogue has the same session id every time, and a
    session is created whole or not at all.
    """
    if any(map(archives.is_archive, args.files)):
        archives.take(args)
        return
    if args.on_existing == "replace" or args.max_document_bytes is not None:
        raise errors.UsageError(
            "--on-existing replace and --max-document-bytes are for archives",
            hint="Delete the session first: `plainstate rm sessions/ID`.",
        )
    started = time.monotonic()
    tally = Tally()
    with places.store_for_writing(args) as store, render.Progress() as progress:
        for path in args.files:
            for batch in _batches(dialogues(path)):
                sessions = [_session(found, args.user) for found in batch]
                outcomes = _store_all(store, sessions)
                for found, session, outcome in zip(batch, sessions, outcomes, strict=True):
                    if isinstance(outcome, errors.AlreadyExistsError):
                        conflict = _with_place(outcome, found.where)
                        if args.on_existing == "fail":
                            raise conflict
                        tally.skip(session, conflict.message)
                    else:
                        tally.count(session, created=outcome)
                progress.update(batch[-1].fraction, f"{path}: {len(tally.imported):,} sessions")
    if args.json:
        render.json_document(tally.as_json())
    else:
        tally.print(time.monotonic() - started)


class Tally:
    """What an import did."""

    def __init__(self) -> None:
        self.imported: list[str] = []
        self.messages = self.unchanged = 0
        self.skipped: list[Json] = []

    def count(self, session: Session, *, created: bool) -> None:
        """Adds one session that is there now."""
        if created:
            self.imported.append(str(session.id))
            self.messages += len(session.user_messages) + len(session.agent_responses)
        else:
            self.unchanged += 1

    def skip(self, session: Session, reason: str) -> None:
        """Adds one that could not be stored."""
        self.skipped.append({"session": str(session.id), "reason": reason})

    def as_json(self) -> Json:
        """For programs."""
        return {
            "imported": len(self.imported),
            "messages": self.messages,
            "sessions": self.imported,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
        }

    def print(self, seconds: float) -> None:
        """For people."""
        if self.imported:
            sessions = render.plural(len(self.imported), "session")
            messages = render.plural(self.messages, "message")
            print(f"imported {sessions} with {messages} in {seconds:.1f} s:")
            for session_id in self.imported[:_SHOWN]:
                print(f"  {session_id}")
            if len(self.imported) > _SHOWN:
                print(f"  … and {len(self.imported) - _SHOWN:,} more")
            if self.unchanged:
                print(f"{self.unchanged:,} unchanged")
        else:
            print(f"nothing new: {self.unchanged:,} unchanged")
        for one in self.skipped:
            print(f"skipped: {render.one_line(one['reason'])}")


def _batches(found: Iterator[Found]) -> Iterator[list[Found]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def _store_all(store: StateStore, sessions: list[Session]) -> list[Outcome]:
    """Stores a batch with several threads, which wait for the disk together."""
    from concurrent.futures import ThreadPoolExecutor

    def attempt(session: Session) -> Outcome:
        try:
            return store_session(store, session)
        except errors.AlreadyExistsError as error:
            return error

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(attempt, sessions))


def store_session(store: StateStore, session: Session) -> bool:
    """Stores an imported session unless it is there already.

    One transaction that also holds the session's metadata; it writes the plain file at once, so
    nothing is left to fold: 2.5 times faster than appending a batch and folding it.

    Returns:
        Whether it was created now.

    Raises:
        AlreadyExistsError: a session of this id has another source.
    """
    tree = session.to_tree()
    turns = session.turns()
    if turns and turns[0].timestamp is not None and turns[0].timestamp < session.created_at:
        tree["created_at"] = render.rfc3339(turns[0].timestamp)
    with store.transaction("sessions", str(session.id)) as document:
        if document.value is None:
            document.value = tree
            return True
        if _source(document.value) == _source(tree):  # never `None`: this one is imported
            return False
    raise errors.AlreadyExistsError(
        f'session "{session.id}" exists with other content',
        hint="--on-existing skip leaves it as it is; or import into another store.",
        document=f"sessions/{session.id}",
    )


def _with_place(error: errors.AlreadyExistsError, where: str) -> errors.AlreadyExistsError:
    """The same error, with the place of the conversation that could not be stored."""
    return errors.AlreadyExistsError(
        f"{where}: {error.message}", hint=error.hint, document=error.document
    )


def _source(tree: Json) -> Json:
    """What tells whether two sessions have the same source; `None` if they were not imported."""
    try:
        return tree["metadata"][importing.MARKS]["digest"]
    except (KeyError, TypeError):
        return None


def _session(found: Found, user_id: str | None) -> Session:
    try:
        return importing.make_session(found.dialogue, user_id)
    except errors.InvalidValueError as error:
        raise errors.InvalidValueError(
            f"{found.where}: {error}", hint=error.hint, pointer=error.pointer
        ) from error


# --- reading files -------------------------------------------------------------


def dialogues(path: str) -> Iterator[Found]:
    """The dialogues of a JSON or JSONL file, in order.

    Args:
        path: the file; `-` is standard input.

    Raises:
        InvalidValueError: it is not JSON, or in no known format.
    """
    where = "standard input" if path == inputs.STDIN else path
    label = os.path.splitext(os.path.basename(where))[0]
    text = inputs.decode(inputs.read(path), where).removeprefix("\ufeff")
    lines = _json_lines(text)
    if lines is None:
        yield from _in_value(inputs.parse_json(text, where), label, where)
        return
    first = inputs.parse_json(lines[0][1], f"{where}:{lines[0][0]}")
    if _is_message(first):
        values = [inputs.parse_json(line, f"{where}:{number}") for number, line in lines]
        yield from _in_value(values, label, where)
        return
    for number, line in lines:
        place = f"{where}:{number}"
        value = inputs.parse_json(line, place)
        yield Found(_dialogue(value, f"{label}-{number}", place), number / lines[-1][0], place)


def _json_lines(text: str) -> list[tuple[int, str]] | None:
    """The numbered lines of JSONL; `None` if the whole is one JSON value.

    JSONL is known by its first line, which is a whole object or array with more behind it.
    """
    # Not splitlines: JSON strings may hold U+2028 and the like as they are.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len(lines) < 2 or lines[0][1].strip()[0] not in "{[":  # noqa: PLR2004 - one line is no list
        return None
    try:
        inputs.parse_json(lines[0][1], "")
    except errors.InvalidValueError:
        return None
    return lines


def _in_value(value: Json, label: str, where: str) -> Iterator[Found]:
    """The dialogues of one JSON value: it is one itself, or a list of them."""
    if importing.detect(value) is not None or not isinstance(value, list) or not value:
        yield Found(_dialogue(value, label, where), 1.0, where)
        return
    for number, one in enumerate(value, 1):
        place = f"{where}, item {number}"
        yield Found(_dialogue(one, f"{label}-{number}", place), number / len(value), place)


def _dialogue(value: Json, label: str, where: str) -> importing.Dialogue:
    form = importing.detect(value)
    if form is None:
        raise errors.InvalidValueError(
            f"{where}: not a conversation in a known format",
            hint="Known: {role, content}, messages, ShareGPT, Taskmaster, Schema-Guided Dialogue.",
            pointer="",
        )
    return importing.Dialogue(form, value, label)


def _is_message(value: Json) -> bool:
    """Whether a line of JSONL is one message of one conversation, not a conversation."""
    return isinstance(value, dict) and importing.detect([value]) is not None
