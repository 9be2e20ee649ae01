"""The table of hostile input, damaged files and failing machines.

Each row is a call that must be refused: with which error, changing nothing.  Rows that
expect the same error stand together.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from machine import (
    FullDisk,
    Machine,
    NoDescriptors,
    NoPermission,
    ReadOnlyDisk,
    SmallFiles,
)
from sound_store import seal

from plainstate import AgentResponse, Session, StateStore, UserMessage, open_store
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    EditConflictError,
    ForeignJournalError,
    FormatVersionError,
    InvalidNameError,
    InvalidPatchError,
    InvalidUrlError,
    InvalidValueError,
    NotFoundError,
    OwnershipError,
    PatchFailedError,
    PlainstateError,
    ReadOnlyError,
    StorageError,
    StorageFullError,
    UnsafePathError,
    UsageError,
    ValueTooLargeError,
)
from plainstate.store import place_of

Call = Callable[[StateStore], object]
Harm = Callable[[Path], object]


class Case(NamedTuple):
    """One row.

    Attributes:
        name: what is hostile about it.
        error: the class that is raised, no subclass.
        code: the error's code.
        call: what is called.
        harm: what is done to the files of a sound store before it is opened.
        machine: what is wrong with the machine during the call.
        opens: the store can be opened at all.
        folds: folding is a part of what the call does: the files may change, no document does.
        closes: closing has nothing to report; otherwise it raises the same error, since what
            this handle wrote or tried to write cannot be folded.
    """

    name: str
    error: type[PlainstateError]
    code: str
    call: Call
    harm: Harm = lambda _: None
    machine: Machine = Machine()
    opens: bool = True
    folds: bool = False
    closes: bool = True


CASES: list[Case] = []


def refused(error: type[PlainstateError], code: str, calls: dict[str, Call], **how: Any) -> None:
    CASES.extend(Case(name, error, code, call, **how) for name, call in calls.items())


def path_of(store: StateStore) -> str:
    return place_of(store.url)


# --- names -------------------------------------------------------------------

NAMES: dict[str, Any] = {
    "traversal": "../../etc/passwd",
    "two dots": "a..b",
    "absolute": "/etc/passwd",
    "empty": "",
    "dot": ".",
    "hidden": ".plainstate",
    "temporary file": ".tmp-1",
    "slash": "a/b",
    "backslash": "a\\b",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "C1 control": "a\x85b",
    "line separator": "a\u2028b",
    "bidi override": "a\u202egpj.b",
    "bidi isolate": "a\u2066b",
    "300 bytes": "x" * 300,
    "241 bytes in 81 letters": "€" * 80 + "x",
    "not NFC": "e\u0301",
    "lone surrogate": "a\ud800b",
    "noncharacter": "a\uffffb",
    "Windows device": "con",
    "Windows device with a suffix": "LPT1.txt",
    "trailing dot": "a.",
    "trailing space": "a ",
    "leading space": " a",
    "bytes": b"a",
    "number": 7,
    "None": None,
}


def saving(name: Any) -> Call:
    return lambda store: store.save_json("notes", name, 1)


def saving_in(category: Any) -> Call:
    return lambda store: store.save_json(category, "a", 1)


refused(
    InvalidNameError,
    "invalid-name",
    {f"name: {what}": saving(name) for what, name in NAMES.items()},
)
refused(
    InvalidNameError,
    "invalid-name",
    {
        f"category: {what}": saving_in(category)
        for what, category in {
            "traversal": "a/../../b",
            "absolute": "/etc",
            "empty": "",
            "trailing slash": "a/",
            "double slash": "a//b",
            "the store's own": ".plainstate/heads",
            "like a document": "notes/rest.json",
            "like a journal": "notes/rest.mdl/x",
            "17 parts": "/".join("a" * 17),
            "1,025 bytes": "/".join(["x" * 204] * 5 + ["y"]),
            "a list": ["a"],
        }.items()
    },
)

BAD = "../../x"
refused(
    InvalidNameError,
    "invalid-name",
    {
        f"traversal through {name}": call
        for name, call in {
            "load_json": lambda store: store.load_json("notes", BAD),
            "read": lambda store: store.read(BAD, "a"),
            "patch": lambda store: store.patch("notes", BAD, []),
            "transaction": lambda store: store.transaction("notes", BAD).__enter__(),
            "save_markdown": lambda store: store.save_markdown("notes", BAD, ""),
            "load_markdown": lambda store: store.load_markdown("notes", BAD),
            "append_markdown": lambda store: store.append_markdown("notes", BAD, ""),
            "exists": lambda store: store.exists("notes", BAD),
            "delete_file": lambda store: store.delete_file("notes", BAD),
            "rename from": lambda store: store.rename("notes", BAD, "a"),
            "rename to": lambda store: store.rename("notes", "rest", BAD),
            "rename into": lambda store: store.rename("notes", "rest", "a", new_category=BAD),
            "salvage": lambda store: store.salvage("notes", BAD),
            "resolve": lambda store: store.resolve("notes", BAD, take="file"),
            "list_category": lambda store: store.list_category(BAD),
            "load_session": lambda store: store.load_session(BAD),
            "get_or_create_session": lambda store: store.get_or_create_session("ada", BAD),
            "append_user_message": lambda store: store.append_user_message(BAD, "", user_id="ada"),
            "append_agent_response": lambda store: store.append_agent_response(BAD, ""),
            "save_session": lambda store: store.save_session(Session({**new_session(), "id": BAD})),
            "delete_session": lambda store: store.delete_session(BAD),
        }.items()
    },
)
refused(
    InvalidNameError,
    "invalid-name",
    {
        "kind: unknown": lambda store: store.read("notes", "rest", kind="yaml"),
        "tx id: empty": lambda store: store.save_json("notes", "a", 1, tx_id=""),
        "tx id: not ASCII": lambda store: store.save_json("notes", "a", 1, tx_id="é"),
        "tx id: newline": lambda store: store.append_user_message("rest", "", tx_id="a\nb"),
        "tx id: 129 bytes": lambda store: store.append_markdown("notes", "a", "", tx_id="x" * 129),
        "tx id: a number": lambda store: store.patch("plans", "rest", [], tx_id=7),
    },
)


def new_session() -> dict[str, Any]:
    return Session.with_id("ada", "new").to_tree()


# --- values ------------------------------------------------------------------


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def itself() -> Any:
    value: dict[str, Any] = {}
    value["me"] = value
    return value


class Endless(dict):
    """Says that it holds itself."""

    def items(self):
        return [("me", self)]


NOT_JSON: dict[str, Any] = {
    "NaN": float("nan"),
    "infinity": [1, {"a": float("-inf")}],
    "lone surrogate": "a\udfffb",
    "lone surrogate in a key": {"\ud800": 1},
    "number as a key": {1: 1},
    "None as a key": {None: 1},
    "bytes": {"a": b"x"},
    "set": {1, 2},
    "complex": 1j,
    "object": object(),
    "function": print,
    "128 levels": nested(128),
    "100,000 levels": nested(100_000),
    "itself": itself(),
    "endless": Endless(a=1),
    "5,000 digits": 10**5_000,
    "naive time": datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is wrong with it
}


def saving_value(value: Any) -> Call:
    return lambda store: store.save_json("notes", "a", value)


refused(
    InvalidValueError,
    "invalid-value",
    {f"value: {what}": saving_value(value) for what, value in NOT_JSON.items()},
)


def leaving(value: Any) -> Call:
    """Leaves a transaction with a value in place."""

    def call(store: StateStore) -> None:
        with store.transaction("plans", "rest") as doc:
            doc.value["steps"] = value

    return call


def adding(**members: Any) -> Call:
    return lambda store: store.append_user_message("rest", **{"content": "x", **members})


refused(
    InvalidValueError,
    "invalid-value",
    {
        "transaction leaves NaN": leaving(float("nan")),
        "transaction leaves bytes": leaving(b"x"),
        "patch with NaN": lambda store: store.patch(
            "plans", "rest", [{"op": "add", "path": "/a", "value": float("nan")}]
        ),
        "patch nests too deep": lambda store: store.patch(
            "plans", "rest", [{"op": "add", "path": "/deep/er", "value": nested(126)}]
        ),
        "version: a number": lambda store: store.save_json("plans", "rest", 1, if_version=7),
        "version: bytes": lambda store: store.patch("plans", "rest", [], if_version=b"1"),
        "Markdown: bytes": lambda store: store.save_markdown("notes", "a", b"x"),
        "Markdown: a tree": lambda store: store.append_markdown("notes", "a", {"a": 1}),
        "Markdown: lone surrogate": lambda store: store.save_markdown("notes", "a", "\ud800"),
        "user id: empty": lambda store: store.get_or_create_session(""),
        "user id: a number": lambda store: store.get_or_create_session(7),
        "user id: lone surrogate": adding(user_id="\ud800"),
        "message: bytes": adding(content=b"x"),
        "message: None": adding(content=None),
        "message: lone surrogate": adding(content="\ud800"),
        "message: naive time": adding(timestamp=datetime(2026, 1, 1)),  # noqa: DTZ001 - as above
        "message: a time as text": adding(timestamp="2026-01-01T00:00:00Z"),
        "message: NaN in the metadata": adding(metadata={"a": float("nan")}),
        "message: metadata is a list": adding(metadata=["a"]),
        "message: metadata is too deep": adding(metadata={"a": nested(124)}),
        "response: a phase that is no text": lambda store: store.append_agent_response(
            "rest", AgentResponse("x", phase_reached=b"x")
        ),
        "messages: none": lambda store: store.append_messages("rest", []),
        "messages: not a list": lambda store: store.append_messages("rest", 7),
        "messages: texts": lambda store: store.append_messages("rest", ["a"]),
        "messages: the second is bad": lambda store: store.append_messages(
            "rest", [UserMessage("good"), UserMessage("\ud800")]
        ),
        "another type": lambda store: store.load_json("plans", "rest", type=list[int]),
    },
)

HUGE = "x" * 10_000_000


def copies(number: int) -> Call:
    """Copies a text of a million characters within a document."""
    operations = [{"op": "add", "path": "/texts", "value": ["x" * 1_000_000]}]
    operations += [{"op": "copy", "from": "/texts/0", "path": "/texts/-"}] * number
    return lambda store: store.patch("plans", "rest", operations)


def doublings(number: int) -> Call:
    """Copies a list of 1,000 characters into itself, again and again."""
    operations = [{"op": "add", "path": "/list", "value": ["x" * 1_000]}]
    operations += [{"op": "copy", "from": "/list", "path": "/list/-"}] * number
    return lambda store: store.patch("plans", "rest", operations)


refused(
    ValueTooLargeError,
    "too-large",
    {
        "10 MB: save_json": lambda store: store.save_json("notes", "a", HUGE),
        "10 MB: over a document": lambda store: store.save_json("plans", "rest", {"a": HUGE}),
        "10 MB: save_markdown": lambda store: store.save_markdown("notes", "a", HUGE),
        "10 MB: append_markdown": lambda store: store.append_markdown("notes", "rest", HUGE),
        "10 MB: message": adding(content=HUGE),
        "10 MB: patch": lambda store: store.patch(
            "plans", "rest", [{"op": "add", "path": "/a", "value": HUGE}]
        ),
        "10 MB: transaction": leaving(HUGE),
        "10 MB: session": lambda store: store.save_session(
            Session({**new_session(), "metadata": {"a": HUGE}})
        ),
        "patch copies 1 MB ten times": copies(10),
        "patch doubles 1 kB 14 times": doublings(14),
    },
)

# --- patches -----------------------------------------------------------------


def patching(operations: Any) -> Call:
    return lambda store: store.patch("plans", "busy", operations)


refused(
    InvalidPatchError,
    "invalid-patch",
    {
        f"patch: {what}": patching(operations)
        for what, operations in {
            "an object": {"op": "add", "path": "/a", "value": 1},
            "a text": "add",
            "None": None,
            "operation is a number": [7],
            "no op": [{}],
            "unknown op": [{"op": "append", "path": "/a", "value": 1}],
            "no path": [{"op": "add", "value": 1}],
            "path is a number": [{"op": "add", "path": 7, "value": 1}],
            "path without slash": [{"op": "add", "path": "a", "value": 1}],
            "bad escape": [{"op": "add", "path": "/~2", "value": 1}],
            "no value": [{"op": "add", "path": "/a"}],
            "no from": [{"op": "move", "path": "/a"}],
            "from is None": [{"op": "copy", "from": None, "path": "/a"}],
            "moves into its own child": [{"op": "move", "from": "/steps", "path": "/steps/0"}],
            "removes everything": [{"op": "remove", "path": ""}],
            "the second is bad": [{"op": "remove", "path": "/n"}, {"op": "x", "path": ""}],
        }.items()
    },
)
refused(
    PatchFailedError,
    "patch-failed",
    {
        f"patch: {what}": patching(operations)
        for what, operations in {
            "path is missing": [{"op": "replace", "path": "/no", "value": 1}],
            "parent is missing": [{"op": "add", "path": "/no/a", "value": 1}],
            "parent is a number": [{"op": "add", "path": "/n/a", "value": 1}],
            "test fails": [{"op": "test", "path": "/n", "value": 4}],
            "true is not 1": [
                {"op": "add", "path": "/one", "value": 1},
                {"op": "test", "path": "/one", "value": True},
            ],
            "behind the end": [{"op": "add", "path": "/steps/4", "value": 1}],
            "leading zero": [{"op": "remove", "path": "/steps/01"}],
            "removes the end": [{"op": "remove", "path": "/steps/-"}],
            "fails half way": [
                {"op": "remove", "path": "/steps"},
                {"op": "add", "path": "/n", "value": 99},
                {"op": "test", "path": "/n", "value": 98},
            ],
            "copies itself too deep": [{"op": "copy", "from": "", "path": "/a"}] * 200,
        }.items()
    },
)

# --- what is stored says no --------------------------------------------------


def twice(store: StateStore) -> None:
    with store.transaction("plans", "rest") as doc:
        doc.value["steps"] = []
        store.patch("plans", "rest", [{"op": "add", "path": "/a", "value": 1}])


def after_close(store: StateStore) -> None:
    closed = open_store(path_of(store))
    closed.close()
    closed.save_json("notes", "a", 1)


refused(
    ConflictError,
    "conflict",
    {
        "stale version": lambda store: store.save_json("plans", "rest", 1, if_version="1-00000000"),
        "stale version of a patch": lambda store: store.patch(
            "plans", "busy", [], if_version="1-00000000"
        ),
        "version of an absent document": lambda store: store.save_json(
            "notes", "a", 1, if_version="1-00000000"
        ),
        "stale version to delete": lambda store: store.delete_file(
            "plans", "rest", if_version="99-00000000"
        ),
    },
)
refused(
    NotFoundError,
    "not-found",
    {
        "no document to patch": lambda store: store.patch("plans", "no", []),
        "no document to rename": lambda store: store.rename("plans", "no", "a"),
        "no session to append to": lambda store: store.append_user_message("no", "x"),
        "no session to update": lambda store: store.update_session(Session.with_id("ada", "no")),
    },
)
refused(
    AlreadyExistsError,
    "already-exists",
    {"renamed over another": lambda store: store.rename("plans", "rest", "busy")},
    folds=True,
)
refused(
    OwnershipError,
    "ownership",
    {
        "another user's session": lambda store: store.get_or_create_session("eve", "rest"),
        "message into another user's session": adding(user_id="eve"),
        "saved over another user's session": lambda store: store.save_session(
            Session.with_id("eve", "busy")
        ),
    },
)
refused(
    UsageError,
    "usage",
    {
        "written inside its own transaction": twice,
        "used after close": after_close,
        "deletes one of two": lambda store: store.delete_file("plans", "both"),
        "renames one of two": lambda store: store.rename("plans", "both", "a"),
        "takes neither side": lambda store: store.resolve("plans", "rest", take="both"),
        "unknown durability": lambda store: open_store(path_of(store), durability="never"),
        "unknown durability of a call": adding(durability="committed"),
        "unknown option": lambda store: open_store(path_of(store), timeout=1),
    },
)
refused(
    InvalidUrlError,
    "invalid-url",
    {
        "no path": lambda _: open_store(""),
        "NUL in the path": lambda _: open_store("a\0b"),
        "a ~ that nobody expanded": lambda _: open_store("~/state"),
        "bytes as a path": lambda _: open_store(b"store"),
        "another scheme": lambda _: open_store("https://example.org/store"),
        "another host": lambda _: open_store("file://example.org/store"),
        "a URL with a query": lambda _: open_store("file:///store?mode=ro"),
    },
)

# --- damaged files -----------------------------------------------------------

BUSY = "plans/busy.jsonl"
REST = "plans/rest.json"
RESTING = ".plainstate/heads/plans/rest.jsonl"


def harmed(
    error: type[PlainstateError],
    code: str,
    what: str,
    harm: Harm,
    *,
    document: str = "plans/busy",
    writes: tuple[str, ...] = ("patch", "save_json"),
    closes: bool = True,
) -> None:
    """Rows for reading and for writing one damaged document."""
    category, name = document.split("/")
    calls: dict[str, Call] = {
        "load_json": lambda store: store.load_json(category, name),
        "patch": lambda store: store.patch(
            category, name, [{"op": "add", "path": "/a", "value": 1}]
        ),
        "save_json": lambda store: store.save_json(category, name, 1),
        "checkpoint": lambda store: store.checkpoint(),
        "append": lambda store: store.append_user_message(name, "x"),
        "load_session": lambda store: store.load_session(name).turns(),
    }
    read = "load_session" if category == "sessions" else "load_json"
    refused(error, code, {f"{what}: {read}": calls[read]}, harm=harm)
    named = {f"{what}: {one}": calls[one] for one in writes}
    refused(error, code, named, harm=harm, closes=closes)


def content(name: str, data: bytes) -> Harm:
    return lambda base: (base / name).write_bytes(data)


def change(name: str, edit: Callable[[bytes], bytes]) -> Harm:
    def harm(base: Path) -> None:
        data = (base / name).read_bytes().rstrip(b" ")
        changed = edit(data)
        if changed == data:
            raise AssertionError(f"nothing to harm in {name}")
        (base / name).write_bytes(changed)

    return harm


def flip(line: int, place: float) -> Callable[[bytes], bytes]:
    """Flips one bit at a place (from 0 to 1) within a line."""

    def edit(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        flipped = bytearray(lines[line])
        flipped[int(place * (len(flipped) - 2))] ^= 1
        lines[line] = bytes(flipped)
        return b"".join(lines)

    return edit


def blank(line: int) -> Callable[[bytes], bytes]:
    """Fills the middle of a line with NUL, as a lost block reads."""

    def edit(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        third = len(lines[line]) // 3
        lines[line] = lines[line][:third] + bytes(third) + lines[line][2 * third :]
        return b"".join(lines)

    return edit


def sealed(edit: Callable[[list[dict[str, Any]]], object]) -> Callable[[bytes], bytes]:
    """Edits the lines of a journal and gives them right checksums again."""

    def apply(data: bytes) -> bytes:
        lines = [json.loads(line) for line in data.splitlines()]
        edit(lines)
        return seal(lines)

    return apply


def members(line: int, **changed: Any) -> Harm:
    renamed = {key.replace("_", "-"): value for key, value in changed.items()}
    return change(BUSY, sealed(lambda lines: lines[line].update(renamed)))


for what, data in {
    "truncated": b'{\n  "steps": [\n    "a"',
    "empty": b"",
    "two values": b"{} {}",
    "not UTF-8": b'{"steps": ["\xff\xfe"]}',
    "UTF-16": '{"steps": []}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"steps": []}',
    "NaN": b'{"steps": [NaN]}',
    "1e400": b'{"steps": [1e400]}',
    "lone surrogate": b'{"steps": ["\\ud800"]}',
    "128 levels": b"[" * 128 + b"]" * 128,
    "a million levels": b"[" * 1_000_000,
    "5,000 digits": b"1" * 5_000,
    "all NUL": bytes(100),
    "comment": b'{"steps": []} // later',
}.items():
    harmed(
        DamagedError,
        "damaged",
        f"file: {what}",
        content(REST, data),
        document="plans/rest",
        writes=("patch",),
    )

for what, tree in {
    "a list": b"[1, 2]",
    "no user": b'{"id": "rest"}',
    "messages are no list": json.dumps({**new_session(), "user_messages": {}}).encode(),
    "a message without content": json.dumps(
        {**new_session(), "user_messages": [{"timestamp": "2026-01-01T00:00:00Z"}]}
    ).encode(),
    "a bad time": json.dumps({**new_session(), "created_at": "yesterday"}).encode(),
}.items():
    harmed(
        DamagedError,
        "damaged",
        f"session: {what}",
        content("sessions/rest.json", tree),
        document="sessions/rest",
        writes=(),
    )

refused(
    DamagedError,
    "damaged",
    {
        "session: appended to what is none": lambda store: store.append_user_message("rest", "x"),
        "session: saved over what is none": lambda store: store.save_session(
            Session.with_id("ada", "rest")
        ),
    },
    harm=content("sessions/rest.json", b"[1, 2]"),
)
refused(
    DamagedError,
    "damaged",
    {"Markdown: not UTF-8": lambda store: store.load_markdown("notes", "rest")},
    harm=content("notes/rest.md", b"\xff\xfe"),
)

for what, edit in {
    "bit flip at the head's start": flip(0, 0.02),
    "bit flip in the head": flip(0, 0.5),
    "bit flip in the head's sum": flip(0, 0.99),
    "bit flip in a middle line": flip(2, 0.5),
    "bit flip in a middle line's number": flip(2, 0.08),
    "bit flip in the last line": flip(-1, 0.5),
    "bit flip in the last line's sum": flip(-1, 1),
    "NUL block before durable lines": blank(1),
    "NUL block in the head": blank(0),
    "a middle line is missing": lambda data: b"".join(data.splitlines(keepends=True)[::2]),
    "no head": lambda data: data.partition(b"\n")[2],
    "no head, sums are right": sealed(lambda lines: lines.pop(0)),
    "a line twice": lambda data: data + data.splitlines(keepends=True)[-1],
    "text behind": lambda data: data + b"note to self\n",
    "wrong type in a line": sealed(lambda lines: lines[1].update(seq="2")),
}.items():
    harmed(DamagedError, "damaged", f"journal: {what}", change(BUSY, edit))

for what, operation in {
    "a patch that does not fit": {"op": "remove", "path": "/no"},
    "a patch that is none": {"op": "append", "path": "/steps"},
}.items():
    harmed(
        DamagedError,
        "damaged",
        f"journal: {what}",
        change(BUSY, sealed(lambda lines, bad=operation: lines[1].update(patch=[bad]))),
        writes=("patch",),
        closes=False,
    )

harmed(
    ForeignJournalError,
    "foreign-journal",
    "journal of another document",
    lambda base: shutil.copy(base / "sessions/busy.jsonl", base / BUSY),
)
harmed(
    ForeignJournalError,
    "foreign-journal",
    "journal of another kind",
    lambda base: shutil.copy(base / "notes/busy.mdl", base / "notes/busy.jsonl"),
    document="notes/busy",
)
for what, harm in {
    "head of format 2": members(0, plainstate=2),
    "unknown key in the head": members(0, cipher="aes"),
    "unknown key in a line": members(1, cipher="aes"),
}.items():
    harmed(FormatVersionError, "format-version", what, harm)

for what, edit in {
    "cut off": lambda data: data[: len(data) // 2],
    "bit flip": flip(0, 0.5),
    "empty": lambda _: b"",
    "two lines": lambda data: data + data,
}.items():
    harmed(
        DamagedError,
        "damaged",
        f"resting head: {what}",
        change(RESTING, edit),
        document="plans/rest",
    )

harmed(
    EditConflictError,
    "edit-conflict",
    "edited while lines wait",
    content("plans/busy.json", b'{"steps": ["b"]}'),
)
harmed(
    EditConflictError,
    "edit-conflict",
    "removed while lines wait",
    lambda base: (base / "plans/busy.json").unlink(),
)

# --- files of the wrong kind -------------------------------------------------


def instead(name: str, put: Callable[[Path], object]) -> Harm:
    """Puts something else in the place of a file, which is kept beside it."""

    def harm(base: Path) -> None:
        path = base / name
        path.rename(base.with_name("aside"))
        put(path)

    return harm


def link_aside(path: Path) -> None:
    """A link to what stood there: following it would work."""
    aside = next(parent / "aside" for parent in path.parents if (parent / "aside").exists())
    path.symlink_to(aside)


KINDS: dict[str, Callable[[Path], object]] = {
    "a link": link_aside,
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a FIFO": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
}
for what, put in KINDS.items():
    harmed(
        UnsafePathError,
        "unsafe-path",
        f"snapshot is {what}",
        instead(REST, put),
        document="plans/rest",
    )
    harmed(UnsafePathError, "unsafe-path", f"journal is {what}", instead(BUSY, put))
    harmed(
        UnsafePathError,
        "unsafe-path",
        f"resting head is {what}",
        instead(RESTING, put),
        document="plans/rest",
        writes=("patch",),
    )
for what, put in {
    "a link": link_aside,
    "a file": lambda path: path.write_bytes(b""),
    "a FIFO": os.mkfifo,
}.items():
    harmed(
        UnsafePathError,
        "unsafe-path",
        f"category is {what}",
        instead("plans", put),
        document="plans/rest",
    )
    refused(
        UnsafePathError,
        "unsafe-path",
        {f"list_category, category is {what}": lambda store: store.list_category("plans")},
        harm=instead("plans", put),
    )

# --- the store itself --------------------------------------------------------


def unopened(error: type[PlainstateError], code: str, harms: dict[str, Harm]) -> None:
    for what, harm in harms.items():
        refused(error, code, {what: lambda store: store.checkpoint()}, harm=harm, opens=False)


unopened(
    FormatVersionError,
    "format-version",
    {"format.json: newer": content(".plainstate/format.json", b'{"plainstate": 2}')},
)
unopened(
    DamagedError,
    "damaged",
    {
        f"format.json: {what}": content(".plainstate/format.json", data)
        for what, data in {
            "empty": b"",
            "not UTF-8": b'{"plainstate": 1, "a": "\xff"}',
            "a list": b"[1]",
            "another object": b"{}",
        }.items()
    },
)


def base_is_file(base: Path) -> None:
    base.rename(base.with_name("aside"))
    base.write_bytes(b"not a store")


unopened(UnsafePathError, "unsafe-path", {"the store is a file": base_is_file})
unopened(
    UnsafePathError,
    "unsafe-path",
    {
        ".plainstate is a link": instead(".plainstate", link_aside),
        ".plainstate is a file": instead(".plainstate", lambda path: path.write_bytes(b"")),
        "format.json is a FIFO": instead(".plainstate/format.json", os.mkfifo),
    },
)
for what, put in KINDS.items():
    refused(
        UnsafePathError,
        "unsafe-path",
        {f"lock is {what}": lambda store: store.save_json("notes", "a", 1)},
        harm=instead(".plainstate/lock", put),
        opens=False,
    )

# --- the machine says no -----------------------------------------------------

LONG = "x" * 20_000
WRITES: dict[str, Call] = {
    "creation": lambda store: store.save_json("notes", "a", LONG),
    "creation in a new folder": lambda store: store.save_json("new/folder", "a", LONG),
    "creation of a session": lambda store: store.append_user_message("a", LONG, user_id="ada"),
    "append": adding(content=LONG),
    "append to a journal": lambda store: store.append_user_message("busy", LONG),
    "append to Markdown": lambda store: store.append_markdown("notes", "busy", LONG),
    "save": lambda store: store.save_json("plans", "rest", LONG),
    "save over a journal": lambda store: store.save_json("plans", "busy", LONG),
}
MOVES: dict[str, Call] = {
    "fold": lambda store: store.checkpoint(),
    "delete at rest": lambda store: store.delete_file("plans", "rest"),
    "rename": lambda store: store.rename("plans", "busy", "a"),
    "rename at rest": lambda store: store.rename("plans", "rest", "a"),
}


def at(what: str, calls: dict[str, Call]) -> dict[str, Call]:
    return {f"{what}: {name}": call for name, call in calls.items()}


refused(StorageFullError, "storage-full", at("full disk", WRITES), machine=FullDisk())
refused(StorageFullError, "storage-full", at("full disk", MOVES), machine=FullDisk(), folds=True)
refused(StorageFullError, "storage-full", at("small files", WRITES), machine=SmallFiles(5_000))
for machine, what in ((ReadOnlyDisk(), "read-only disk"), (NoPermission(), "no permission")):
    refused(ReadOnlyError, "read-only", at(what, WRITES | MOVES), machine=machine)
refused(
    StorageError,
    "storage",
    at("no descriptors", WRITES | MOVES)
    | {"no descriptors: load_json": lambda store: store.load_json("plans", "rest")},
    machine=NoDescriptors(),
)
