"""A whole store on disk, one of whose files holds anything."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plainstate import check_store, open_store
from plainstate.errors import (
    DamagedError,
    EditConflictError,
    FormatVersionError,
    PlainstateError,
)
from proof.fuzz.oracle import documented, is_sealed, lines_in, sealed
from proof.fuzz.targets import scratch

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate import StateStore
    from plainstate.checking import CheckReport, RepairReport
    from plainstate.types import Kind

__all__ = ["FILES", "store"]

GOLDEN: Final = Path(__file__).parents[3] / "tests/golden/format-1/intact/everything/store"

_HISTORY: Final = ".plainstate/history"
_HEADS: Final = ".plainstate/heads"
_RUN: Final = ".plainstate/trash/01a20463-cf83-77d6-8fd8-488a83bc1169"

FILES: Final = (
    "plans/busy.jsonl",
    "plans/busy.json",
    "plans/rest.json",
    "plans/rest.jsonl",
    "notes/deep/rest.md",
    "notes/deep/rest.mdl",
    "sessions/s-1.json",
    "sessions/s-2.jsonl",
    f"{_HEADS}/plans/rest.jsonl",
    f"{_HEADS}/plans/gone.jsonl",
    f"{_HEADS}/notes/deep/rest.mdl",
    f"{_HISTORY}/plans/rest.jsonl",
    f"{_HISTORY}/notes/deep/rest.mdl",
    ".plainstate/feed/0000000001.open.jsonl",
    ".plainstate/format.json",
    ".plainstate/followers/billing.json",
    ".plainstate/writers/01990000-0000-7000-8000-000000000000",
    f"{_RUN}.json",
    f"{_RUN}/old.json",
    ".plainstate/lock",
)
"""What is replaced: the first byte of an input says which one.  New ones come at the end."""

_FEED: Final = ".plainstate/feed/"

_DOCUMENTS: Final[tuple[tuple[str, str, Kind], ...]] = (
    ("plans", "rest", "json"),
    ("plans", "busy", "json"),
    ("plans", "gone", "json"),
    ("notes/deep", "rest", "markdown"),
    ("sessions", "s-1", "json"),
    ("sessions", "s-2", "json"),
)

_EXPECTED: Final = (DamagedError, EditConflictError, FormatVersionError)
_NEVER: Final = 3600.0


def store(data: bytes) -> None:
    """Whatever stands in one file of a store: every method answers, or says what is wrong.

    What a check does not tell of is harmless: every document has its value.  A repair finds
    nothing more to do when it is done.  Other documents go on.  Folding and closing change no
    value.  And nothing outside the store is touched.
    """
    if not data:
        return
    name = FILES[data[0] % len(FILES)]
    content = lines_in(data[1:], chained=not name.startswith(_FEED))
    base = _fresh(name, content)
    outside = _tree(_outside())
    report: CheckReport | None = None
    with documented(*_EXPECTED):
        report = check_store(base)
        for one in report.findings:
            assert one.remedy or one.severity == "note", one
            f"{one.message}{one.remedy}".encode(errors="surrogateescape")
    after: dict[str, Any] | None = None
    with documented(*_EXPECTED), open_store(base, quiet_fold_s=_NEVER) as opened:
        now = _values(opened)
        told = report is not None and report.findings
        assert told or now == _whole() or _is_one_of_ours(name, content), "damage without a word"
        _ask_everything(opened)
        _repair(opened)
        _write_elsewhere(opened)
        after = _values(opened)
        with documented(*_EXPECTED):
            opened.checkpoint()
    if after is not None:
        with documented(*_EXPECTED), open_store(base, quiet_fold_s=_NEVER) as opened:
            assert _values(opened) == after, "a fold changed a document"
    assert _tree(_outside()) == outside, "something outside the store was changed"


def _ask_everything(opened: StateStore) -> None:
    asks: list[Callable[[], object]] = [
        lambda: [opened.list_category(one) for one in opened.list_categories()],
        opened.list_sessions,
        opened.count_documents,
        lambda: opened.search("6 x 7 OR line"),
        opened.changes,
        lambda: opened.changes("latest"),
        opened.followers,
        opened.trash,
        opened.stats,
        opened.check,
        lambda: opened.load_session("s-1"),
        lambda: opened.load_session("s-2"),
    ]
    for category, name, kind in _DOCUMENTS:
        asks.append(lambda c=category, n=name, k=kind: opened.history(c, n, kind=k))  # type: ignore[misc]
        asks.append(lambda c=category, n=name, k=kind: opened.salvage(c, n, kind=k))  # type: ignore[misc]
    for ask in asks:
        with documented(*_EXPECTED):
            ask()
    for category in opened.list_categories():
        assert not category.startswith((".", "/")), category
        assert ".." not in category, category


def _repair(opened: StateStore) -> None:
    first: RepairReport | None = None
    with documented(*_EXPECTED):
        first = opened.repair(cut=True)
    if first is not None:
        again = opened.repair(cut=True)
        assert not again.mended, again.mended


def _write_elsewhere(opened: StateStore) -> None:
    opened.save_json("afterwards", "a", {"fine": []})
    opened.patch("afterwards", "a", [{"op": "add", "path": "/fine/-", "value": 1}])
    assert opened.load_json("afterwards", "a") == {"fine": [1]}


def _values(opened: StateStore) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for category, name, kind in _DOCUMENTS:
        try:
            document = opened.read(category, name, kind=kind)
            found[f"{category}/{name}"] = document and (document.version, document.value)
        except PlainstateError as error:
            f"{error.message}{error.hint}".encode()
            found[f"{category}/{name}"] = error.code
    return found


def _is_one_of_ours(name: str, content: bytes) -> bool:
    """Whether a file is a good one, with right checksums, that merely tells something else."""
    check = 0
    for line in content.split(b"\n")[:-1]:
        if not is_sealed(line, check) and not is_sealed(line):
            return False
        check = int(line[-10:-2], 16)
    return name.endswith("l")


# --- files ---------------------------------------------------------------------


def _fresh(name: str, content: bytes) -> str:
    """The golden store, with other content in one file."""
    base = os.path.join(scratch.folder("store"), "store")
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(_template(), base)
    path = os.path.join(base, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return base


@cache
def _template() -> str:
    """The golden store, where copying costs little."""
    path = os.path.join(scratch.folder("template"), "store")
    shutil.copytree(GOLDEN, path, copy_function=shutil.copyfile)
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
    return path


@cache
def _outside() -> str:
    """A folder beside the store with a document that anybody who comes there would repair."""
    path = os.path.join(scratch.folder("store"), "outside")
    os.mkdir(path)
    head = (
        b'{"plainstate":1,"document":"../outside/busy","kind":"json","seq":0,"version":null,'
        b'"snapshot":null,"time":"2026-11-22T12:00:00.000000Z"}\n'
        b'{"seq":1,"tx":"t","time":"2026-11-22T12:00:00.000000Z",'
        b'"patch":[{"op":"add","path":"","value":1}]}\n'
    )
    Path(path, "busy.jsonl").write_bytes(sealed(head) + b'{"seq":2,"tx":"torn')
    return path


@cache
def _whole() -> dict[str, Any]:
    path = os.path.join(scratch.folder("whole"), "store")
    shutil.copytree(_template(), path)
    with open_store(path, quiet_fold_s=_NEVER) as opened:
        return _values(opened)


def _tree(folder: str) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in sorted(Path(folder).iterdir())}
