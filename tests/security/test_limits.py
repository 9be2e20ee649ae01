"""Each limit of what others supply: taken at the limit, refused above it, and memory stays bounded.

Archives have theirs in `tests/archive/test_rubbish.py`.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plainstate import StateStore, limits, open_store
from plainstate.archive import manifest, reading
from plainstate.archive.manifest import BadManifestError
from plainstate.errors import PlainstateError


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def saving(value: Callable[[int], Any]) -> Callable[[StateStore, int], object]:
    return lambda store, size: store.save_json("c", "x", value(size))


Call = Callable[[StateStore, int], object]

LIMITS: dict[str, tuple[str, Call]] = {
    "MAX_NAME_BYTES": ("invalid-name", lambda store, n: store.save_json("c", "x" * n, 1)),
    "MAX_CATEGORY_PARTS": (
        "invalid-name",
        lambda store, n: store.save_json("/".join("c" * n), "x", 1),
    ),
    "MAX_CATEGORY_BYTES": (
        "invalid-name",
        lambda store, n: store.save_json("/".join(["x" * 203] * 4 + ["y" * (n - 816)]), "x", 1),
    ),
    "MAX_NESTING": ("invalid-value", saving(nested)),
    "MAX_INTEGER_DIGITS": (
        "invalid-value",
        saving(lambda n: int("9" * n) if n < 4300 else 10 ** (n - 1)),
    ),
    "MAX_WRITE_BYTES": ("too-large", lambda store, n: store.save_markdown("c", "x", "x" * n)),
    "MAX_TX_ID_BYTES": (
        "invalid-name",
        lambda store, n: store.save_json("c", "x", 1, tx_id="x" * n),
    ),
    "MAX_QUERY_CHARACTERS": ("invalid-value", lambda store, n: store.search("x" * n)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_limit_is_taken_and_more_is_refused(tmp_path: Path, name: str):
    code, call = LIMITS[name]
    limit = getattr(limits, name)
    with open_store(tmp_path / "store") as store:
        call(store, limit)
        with pytest.raises(PlainstateError) as caught:
            call(store, limit + 1)
    assert caught.value.code == code


def test_as_many_transaction_ids_are_remembered(tmp_path: Path):
    with open_store(tmp_path / "store") as store:
        for number in range(limits.RECENT_TX_IDS + 1):
            store.save_json("c", "x", number, tx_id=f"t-{number}")
        assert store.save_json("c", "x", 1, tx_id="t-1").duplicate
        assert not store.save_json("c", "x", 0, tx_id="t-0").duplicate


def test_documents_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with open_store(tmp_path / "store") as store:
        for number in range(3):
            store.save_json("c", f"x-{number}", number)
        store.export_archive(tmp_path / "a.tar.gz")
    for limit, refused in ((3, False), (2, True)):
        monkeypatch.setattr(reading, "MAX_ARCHIVE_DOCUMENTS", limit)
        with open_store(tmp_path / f"other-{limit}") as other:
            if refused:
                with pytest.raises(PlainstateError, match="more than 2 documents"):
                    other.import_archive(tmp_path / "a.tar.gz")
                assert other.list_categories() == []
            else:
                assert other.import_archive(tmp_path / "a.tar.gz").created == 3


def test_a_line_of_a_manifest_that_does_not_end():
    line = b'{"file":"c/x.json","size":1,"sha256":"' + b"0" * 64 + b'"'
    fits = line + b" " * (limits.MAX_MANIFEST_LINE_BYTES - len(line) - 1) + b"}"
    assert [one.file for one in manifest.lines([fits, b"\n"])] == ["c/x.json"]
    with pytest.raises(BadManifestError, match="too long"):
        list(manifest.lines([fits + b" ", b"\n"]))


BOUNDED = """
import resource, sys
from plainstate import open_store
from plainstate.errors import PlainstateError

with open_store(sys.argv[1]) as store:
    store.list_sessions()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 400 * 2**20, used + 400 * 2**20))
    for name in ("nested", "digits", "copies", "keys"):
        try:
            store.load_json("c", name)
            print(name, "read")
        except PlainstateError as error:
            print(name, error.code)
    operations = [{"op": "add", "path": "/a", "value": ["x" * 1000]}]
    operations += [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    try:
        store.patch("c", "keys", operations)
    except PlainstateError as error:
        print("doubling", error.code)
"""


def test_memory_is_bounded_whatever_a_file_holds(tmp_path: Path):
    folder = tmp_path / "store" / "c"
    folder.mkdir(parents=True)
    size = limits.MAX_WRITE_BYTES
    (folder / "nested.json").write_bytes(b"[" * size)
    (folder / "digits.json").write_bytes(b"9" * size)
    (folder / "copies.json").write_bytes(b"[" + b"{}," * (size // 3 - 2) + b"{}]")
    (folder / "keys.json").write_bytes(
        b"{" + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}"
    )
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, tmp_path / "store"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[:-1] == [
        "nested damaged",
        "digits damaged",
        "copies read",
        "keys read",
        "doubling too-large",
    ], done.stderr
