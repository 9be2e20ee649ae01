"""Any change of any file: `check` does not fail, and tells of it or the documents are unharmed."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plainstate import StateStore, check_store, open_store
from plainstate.errors import PlainstateError

DOCUMENTS = [
    ("plans", "rest", "json"),
    ("plans", "busy", "json"),
    ("plans", "gone", "json"),
    ("notes/deep", "rest", "markdown"),
    ("sessions", "s-1", "json"),
    ("sessions", "s-2", "json"),
]

DECISIONS = {
    *("journal-orphaned", "snapshot-damaged", "snapshot-suspect", "snapshot-swapped"),
    *("duplicate-keys", "edit-conflict", "session-damaged", "follower-damaged"),
    *("trash-damaged", "trash-orphaned", "invalid-name", "unsafe-path", "newer-format"),
}
"""What a repair leaves to somebody, and is worse than a note."""


class Change(NamedTuple):
    """What happens to one file; numbers are shares of what there is."""

    file: float
    what: str
    where: float
    length: float
    bit: int
    other: float
    keeps_time: bool


shares = st.floats(0, 1, exclude_max=True)
changes = st.builds(
    Change,
    shares,
    st.sampled_from(["flip", "zero", "cut", "empty", "remove", "double", "insert", "take"]),
    shares,
    shares,
    st.integers(0, 7),
    shares,
    st.booleans(),
)


def apply(change: Change, base: Path) -> None:
    files = sorted(path for path in base.rglob("*") if path.is_file())
    path = files[int(change.file * len(files))]
    if path.name == "format.json":
        return  # nothing else can be done then, see test_check.py
    if change.what == "remove":
        path.unlink()
        return
    other = files[int(change.other * len(files))].read_bytes()
    data = changed(path.read_bytes(), change, other)
    before = path.stat()
    with path.open("r+b") as file:
        file.truncate(len(data))
        file.write(data)
    if change.keeps_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def changed(data: bytes, change: Change, other: bytes) -> bytes:
    at = int(change.where * len(data))
    end = min(at + 1 + int(change.length * (len(data) - at)), len(data))
    before, part, behind = data[:at], data[at:end], data[end:]
    return {
        "flip": before + bytes(byte ^ 1 << change.bit for byte in part[:1]) + part[1:] + behind,
        "zero": before + bytes(len(part)) + behind,
        "cut": before + behind,
        "empty": b"",
        "double": before + part + part + behind,
        "insert": before + bytes([32 + change.bit]) + part + behind,
        "take": other,
    }[change.what]


def values(store: StateStore) -> dict[str, object]:
    found: dict[str, object] = {}
    for category, name, kind in DOCUMENTS:
        try:
            found[f"{category}/{name}"] = store.read(category, name, kind=kind)
        except PlainstateError as error:
            found[f"{category}/{name}"] = error.code
    return found


def read(base: Path) -> dict[str, object]:
    """By a handle that changes nothing but what every handle does."""
    with open_store(base, quiet_fold_s=3600) as store:
        return values(store)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.lists(changes, min_size=1, max_size=3))
def test_it_is_told_or_harmless_and_what_needs_no_decision_is_mended(sound, change):
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "store"
        shutil.copytree(sound, base)
        base.chmod(0o700)
        whole = values_of(sound)
        for one in change:
            apply(one, base)
        report = check_store(base)
        hurt = " ".join(one.path for one in report.findings)
        with open_store(base, quiet_fold_s=3600) as store:
            now = values(store)
            assert report.findings or now == whole
            healthy = {name: now[name] for name in now if name not in hurt}
            repaired = store.repair(cut=True)
            left = {one.code for one in store.check().findings if one.severity != "note"}
            if "newer-format" in left:  # then nothing of that document is touched
                left.discard("head-damaged")
            assert left <= DECISIONS, (left, repaired)
            after = values(store)
            assert {name: after[name] for name in healthy} == healthy


def values_of(sound: Path) -> dict[str, object]:
    if sound not in _KNOWN:
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch) / "store"
            shutil.copytree(sound, copy)
            _KNOWN[sound] = read(copy)
    return _KNOWN[sound]


_KNOWN: dict[Path, dict[str, object]] = {}
