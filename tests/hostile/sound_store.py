"""A store in order, as a crashed writer may leave it: some journals are not folded."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

from plainstate import StateStore, UserMessage, open_store

WHEN = datetime(2026, 1, 1, tzinfo=UTC)

CONTENTS = {
    "plans/busy": {"steps": ["a", "b", "c"], "n": 3},
    "plans/rest": {"steps": ["a"], "deep": {"er": 1}},
    "plans/both": {"kind": "json"},
}
"""The JSON documents: `busy` has a journal with three lines behind the head, `rest` has none."""


def build(path: Path) -> None:
    """Makes the store at `path`, by copying one that is still being written."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        open_store(f"{scratch}/store", quiet_fold_s=3600) as store,
    ):
        _fill(store)
        shutil.copytree(f"{scratch}/store", path)
    for entry in (path / ".plainstate/writers").iterdir():
        entry.unlink()


def _fill(store: StateStore) -> None:
    store.save_json("plans", "rest", {"steps": []})
    store.patch("plans", "rest", [{"op": "add", "path": "/steps/-", "value": "a"}])
    store.patch("plans", "rest", [{"op": "add", "path": "/deep", "value": {"er": 1}}])
    store.save_json("plans", "both", CONTENTS["plans/both"])
    store.save_markdown("plans", "both", "markdown")
    store.append_user_message("rest", "Hello", user_id="ada")
    store.save_markdown("notes", "rest", "# Notes\n")
    store.checkpoint()
    store.save_json("plans", "busy", {"steps": [], "n": 0})
    for number, step in enumerate("abc", 1):
        add = {"op": "add", "path": "/steps/-", "value": step}
        store.patch("plans", "busy", [add, {"op": "replace", "path": "/n", "value": number}])
    store.append_markdown("notes", "busy", "one line\n")
    for text in ("one", "two"):
        store.append_messages("busy", [UserMessage(text, WHEN)], user_id="ada")


def read_all(store: StateStore) -> dict[str, object]:
    """Every document's value and version, by its name and kind."""
    found = {}
    for category in store.list_categories():
        for name in store.list_category(category):
            for kind in ("json", "markdown"):
                if (document := store.read(category, name, kind=kind)) is not None:
                    found[f"{category}/{name} {kind}"] = (document.value, document.version)
    return found


OTHER = (".plainstate/lock", ".plainstate/writers", ".plainstate/feed", ".plainstate/index-")
"""Files that hold nothing of the state."""


def tree(base: Path) -> dict[str, tuple[str, object]]:
    """Every file of the store with its bytes, every link with its target.

    A folder without a file holds nothing, and what `.plainstate` knows of the writers
    that live now is not part of the state.  Nor is the change feed: a write that is refused may
    have noticed an edit by hand, and tells of it.  Nor is the index, which anything may make anew,
    nor the blanks behind the lines of a journal.
    """
    if not base.is_dir():
        return {"": ("file", base.read_bytes())}
    return {name: entry for name, entry in _walk(base) if not name.startswith(OTHER)}


def _walk(base: Path) -> Iterator[tuple[str, tuple[str, object]]]:
    for path in base.rglob("*"):
        mode = path.lstat().st_mode
        name = str(path.relative_to(base))
        if stat.S_ISREG(mode):
            data = path.read_bytes()
            is_journal = name.endswith((".jsonl", ".mdl"))
            yield name, ("file", data.rstrip(b" ") if is_journal else data)
        elif stat.S_ISLNK(mode):
            yield name, ("link", os.readlink(path))
        elif not stat.S_ISDIR(mode):
            yield name, ("other", stat.S_IFMT(mode))


def seal(lines: list[dict[str, object]]) -> bytes:
    """Journal lines with right checksums, whatever they say."""
    data, check = b"", 0
    for line in lines:
        members = {key: value for key, value in line.items() if key != "sum"}
        body = json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
        check = crc32(body, check)
        data += b'%b,"sum":"%08x"}\n' % (body, check)
    return data
