"""Lines whose checksums are right, because whoever made them can count, too."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks import META, contents, use

from plainstate import check_store, open_store
from plainstate.core.record import seal

FEED = f"{META}/feed/0000000001.open.jsonl"
HEAD = f"{META}/heads/plans/rest.jsonl"
DEEP = b"[" * 100_000 + b"]" * 100_000
TOLD = {
    "document": "plans/rest",
    "kind": "json",
    "action": "edit",
    "seq": 9,
    "version": "9-00000000",
    "tx": "",
    "time": "2026-01-01T00:00:00Z",
}


def encode(tree: dict[str, object]) -> bytes:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()


def telling(**changed: object) -> Callable[[Path], None]:
    """Adds a line to the feed."""

    def harm(base: Path) -> None:
        with (base / FEED).open("ab") as file:
            file.write(seal(encode({**TOLD, **changed}).replace(b'"DEEP"', DEEP), 0)[0])

    return harm


def heading(**changed: object) -> Callable[[Path], None]:
    """Changes the head of a document at rest."""

    def harm(base: Path) -> None:
        tree = json.loads((base / HEAD).read_bytes())
        del tree["sum"]
        (base / HEAD).write_bytes(seal(encode({**tree, **changed}).replace(b'"DEEP"', DEEP), 0)[0])

    return harm


def writing(name: str, data: bytes) -> Callable[[Path], None]:
    def harm(base: Path) -> None:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(data)

    return harm


def nesting(name: str) -> Callable[[Path], None]:
    """Folders in folders, deeper than Python calls."""

    def harm(base: Path) -> None:
        (base / name).mkdir(parents=True, exist_ok=True)
        at = os.open(base / name, os.O_RDONLY)
        for _ in range(1_200):
            os.mkdir("d", dir_fd=at)
            inner = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = inner
        os.close(at)

    return harm


LINES: dict[str, Callable[[Path], None]] = {
    "feed: nested": telling(summary={"a": "DEEP"}),
    "feed: a name that leads out": telling(document="../outside/a"),
    "feed: a name that steers": telling(document="plans/\x1b[2J"),
    "feed: a moved name that leads out": telling(moved="../outside/a"),
    "feed: a number that is none": telling(seq=-1),
    "feed: a number too high": telling(seq=2**63),
    "feed: a version that is none": telling(version="x\x1b"),
    "head: nested": heading(summary={"a": "DEEP"}),
    "head: a number too high": heading(seq=2**63),
    "head: a version that is none": heading(version="\x1b"),
    "head: a remembered version that is none": heading(recent={"t": "x"}),
    "format: nested": writing(f"{META}/format.json", DEEP),
    "follower: nested": writing(f"{META}/followers/f.json", DEEP),
    "writer: names that lead out": writing(
        f"{META}/writers/dead", b"json ../outside/rest\njson /etc/a\nmarkdown .plainstate/../a/b\n"
    ),
    "feed: a segment with a number too high": writing(f"{META}/feed/{'9' * 30}.open.jsonl", b""),
    "folders, nested, among the documents": nesting("plans"),
    "folders, nested, among the heads": nesting(f"{META}/heads"),
    "folders, nested, in the quarantine": nesting(f"{META}/quarantine"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("line", LINES)
def test_a_line_that_somebody_made_up_is_refused_or_ignored(
    base: Path, outside: Path, tmp_path: Path, line: str
):
    before = contents(outside)
    LINES[line](base)
    try:
        check_store(base)  # before a use has mended it
        use(base)  # raises what is no error of plainstate
    finally:
        if "nested" in line:
            remove_deep(tmp_path)
    assert contents(outside) == before


def remove_deep(folder: Path) -> None:
    """`shutil.rmtree` calls itself too often for that."""
    subprocess.run(["rm", "-rf", folder / "store"], check=True)


def test_a_follower_is_told_no_name_that_leads_out(base: Path):
    telling(document="../outside/a")(base)
    with open_store(base) as store:
        page = store.changes(limit=10_000)
        assert page.gap
        assert not [one for one in page if ".." in str(one.document)]
