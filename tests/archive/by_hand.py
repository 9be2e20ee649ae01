"""Archives made by hand, as an attacker or another tool would."""

import gzip
import io
import json
from collections.abc import Iterable
from hashlib import sha256

from plainstate import open_store
from plainstate.archive import tar

FIRST = ("ARCHIVE.json", b'{\n  "plainstate-archive": 1\n}\n')
NOTE = ("notes/plan.md", b"# Plan\n")


def manifest(files: Iterable[tuple[str, bytes]]) -> tuple[str, bytes]:
    lines = [
        {"file": name, "size": len(data), "sha256": sha256(data).hexdigest(), "version": "1-0"}
        for name, data in files
    ]
    return "MANIFEST.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def member(name: str, data: bytes) -> bytes:
    return tar.header(name, len(data)) + data + tar.padding(len(data))


def packed(*parts: bytes) -> bytes:
    return gzip.compress(b"".join(parts), mtime=0)


def archive(*files: tuple[str, bytes]) -> bytes:
    """An archive of these documents, consistent in itself."""
    whole = [FIRST, *files, manifest(files)]
    return packed(*(member(*one) for one in whole), tar.END)


def contents(store) -> dict:
    listed = sorted(one for one, _ in store._engine.documents())
    return {one: store._engine.read(one).value for one in listed}


def imported(data: bytes, **options) -> dict:
    """What a fresh store holds after an import."""
    with open_store("memory:") as store:
        store.import_archive(io.BytesIO(data), **options)
        return contents(store)
