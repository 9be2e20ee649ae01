"""Archives from anybody: gzip, tar, manifest, documents."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, Final

from plainstate import open_store
from plainstate.archive import manifest, tar
from plainstate.archive.compress import MAGIC, Gzip
from plainstate.errors import PlainstateError
from proof.fuzz.oracle import MARK, documented, same
from proof.fuzz.targets import scratch

if TYPE_CHECKING:
    from plainstate import StateStore

__all__ = ["archive"]

_MEMBERS: Final = b"\x1e"
_FIELDS: Final = b"\x1f"
_KIND: Final = 156
_CHECKSUM: Final = slice(148, 156)
_ON_DISK: Final = 8
"""One input in so many goes into a store of files."""


def archive(data: bytes) -> None:
    """An archive is stored whole or not at all, and nothing of it anywhere else.

    What is stored is what Python's own reader of tar finds in it, and an export of it is
    imported as the same.  The input is a gzip file, or a tar file, or, behind `~`, members with
    name, kind and bytes, for which headers and manifest are made.
    """
    packed = _packed(data)
    on_disk = zlib.crc32(data) % _ON_DISK == 0
    place = scratch.folder("archive")
    base = os.path.join(place, "store")
    address = base if on_disk else "memory:"
    with open_store(address, max_write_bytes=100_000) as store:
        store.save_json("notes", "mine", {"kept": True})
        store.save_markdown("notes", "mine", "kept")
        before = _contents(store)
        try:
            report = store.import_archive(io.BytesIO(packed))
        except PlainstateError as error:
            f"{error.message}{error.hint}".encode()
            assert _contents(store) == before, "half an archive was stored"
        else:
            stored = _contents(store)
            found = _by_python(packed)
            assert stored.keys() == before.keys() | found.keys()
            assert all(same(stored[name], found[name]) for name in found)
            assert report.created == len(stored) - len(before)
            assert report.created + report.unchanged == len(found)
            _comes_back(store, stored)
    if on_disk:
        assert os.listdir(place) == ["store"], "something was written beside the store"
        _holds_plain_files(base)
        shutil.rmtree(base)


def _packed(data: bytes) -> bytes:
    if data.startswith(MAGIC):
        return data
    packed = bytearray()
    write = Gzip(packed.extend)
    write.write(_built(data[1:]) if data.startswith(MARK) else data)
    write.finish()
    return bytes(packed)


def _built(data: bytes) -> bytes:
    """A tar file of described members, well-formed where they do not say otherwise."""
    out, lines = bytearray(), bytearray()
    names = set()
    out += _member(manifest.FIRST, b"0", manifest.opening())
    for described in data.split(_MEMBERS):
        name, _, rest = described.partition(_FIELDS)
        kind, _, body = rest.partition(_FIELDS)
        path = name.decode(errors="replace")
        names.add(path)
        out += _member(path, kind[:1] or b"0", body)
        lines += manifest.line_of(manifest.Line(path, len(body), manifest.digest(body)))
    if manifest.LAST not in names:
        out += _member(manifest.LAST, b"0", bytes(lines))
    return bytes(out) + tar.END


def _member(path: str, kind: bytes, body: bytes) -> bytes:
    header = bytearray(tar.header(path, len(body)))
    if kind != b"0":
        block = header[-512:]
        block[_KIND : _KIND + 1] = kind
        block[_CHECKSUM] = b" " * 8
        block[_CHECKSUM] = b"%06o\0 " % sum(block)
        header[-512:] = block
    return bytes(header) + body + tar.padding(len(body))


def _contents(store: StateStore) -> dict[str, Any]:
    found = {}
    for category in store.list_categories():
        for name in store.list_category(category):
            for kind, suffix in (("json", ".json"), ("markdown", ".md")):
                document = store.read(category, name, kind=kind)  # type: ignore[arg-type]
                if document is not None:
                    found[f"{category}/{name}{suffix}"] = document.value
    return found


def _by_python(packed: bytes) -> dict[str, Any]:
    """What another reader finds: plain files only, with their names and bytes."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as read:
        for member in read:
            assert member.isreg(), member
            file = read.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name not in (manifest.FIRST, manifest.LAST):
                found[member.name] = (
                    data.decode() if member.name.endswith(".md") else json.loads(data)
                )
    return found


def _comes_back(store: StateStore, contents: dict[str, Any]) -> None:
    exported = io.BytesIO()
    with documented():
        store.export_archive(exported)
        exported.seek(0)
        with open_store("memory:") as other:
            other.import_archive(exported)
            assert _contents(other) == contents


def _holds_plain_files(base: str) -> None:
    for folder, folders, files in os.walk(base):
        for name in [*folders, *files]:
            assert not os.path.islink(os.path.join(folder, name))
