"""`docs/format/archive.md` suffices to read and to write an archive, and its example is true.

`read_page_only` and `write_page_only` know the page and nothing of the package.
"""

import gzip
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from plainstate import Session, open_store

PAGE = Path(__file__).parents[2] / "docs/format/archive.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLE = TEXT.partition("<!-- example: executed by ")[2]
FILES = {
    name: text.encode()
    for name, text in re.findall(
        r"^`([^`]+)`:\n\n```\w+\n(.*?)```", EXAMPLE, re.MULTILINE | re.DOTALL
    )
}


def block(path: bytes, size: int, mtime: int, kind: bytes) -> bytes:
    """A header by the table of the page."""
    fields = {
        0: path,
        100: b"0000600",
        108: b"0000000\x000000000",
        124: b"%011o" % size,
        136: b"%011o" % mtime,
        148: b" " * 8,
        156: kind,
        257: b"ustar\x0000",
        329: b"0000000\x000000000",
    }
    made = bytearray(512)
    for offset, content in fields.items():
        made[offset : offset + len(content)] = content
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def header(path: str, size: int, mtime: int) -> bytes:
    name = path.encode()
    if path.isascii() and len(name) <= 100:
        return block(name, size, mtime, b"0")
    length = next(n for n in range(2000) if len(b"%d path=%s\n" % (n, name)) == n)
    record = b"%d path=%s\n" % (length, name)
    short = "".join(char if char.isascii() else "?" for char in path)[:100].encode()
    return (
        block(b"././@PaxHeader", length, 0, b"x")
        + record
        + bytes(-length % 512)
        + block(short, size, mtime, b"0")
    )


def write_page_only(files: dict[str, bytes], times: dict[str, int]) -> bytes:
    parts = []
    for name, data in files.items():
        parts += [header(name, len(data), times.get(name, 0)), data, bytes(-len(data) % 512)]
    return b"".join([*parts, bytes(1024)])


def read_page_only(data: bytes) -> dict[str, bytes]:
    """The files of an archive; everything that the page says of it is checked."""
    plain, files, times, offset = gzip.decompress(data), {}, {}, 0
    assert data[3:8] == bytes(5)  # gzip: no name, time 0
    while any(first := plain[offset : offset + 512]):
        offset += 512
        path = first[:100].rstrip(b"\0").decode()
        if first[156:157] == b"x":
            length = int(first[124:135], 8)
            path = plain[offset : offset + length].partition(b" path=")[2][:-1].decode()
            offset += length + -length % 512
            first = plain[offset : offset + 512]
            offset += 512
        size, times[path] = int(first[124:135], 8), int(first[136:147], 8)
        assert path not in files
        files[path] = plain[offset : offset + size]
        offset += size + -size % 512
    assert write_page_only(files, times) == plain
    assert (next(iter(files)), next(reversed(files))) == ("ARCHIVE.json", "MANIFEST.jsonl")
    lines = [json.loads(line) for line in files["MANIFEST.jsonl"].splitlines()]
    assert [line["file"] for line in lines] == list(files)[1:-1]
    for line in lines:
        document = files[line["file"]]
        assert (line["size"], line["sha256"]) == (len(document), sha256(document).hexdigest())
    return files


def exported(store) -> bytes:
    file = io.BytesIO()
    store.export_archive(file)
    return file.getvalue()


def test_the_example_is_what_a_store_gives(tmp_path):
    with open_store(tmp_path / "state") as store:
        store.save_markdown("notes", "plan", FILES["notes/plan.md"].decode())
        store.save_json("sessions", "demo", json.loads(FILES["sessions/demo.json"]))
        data = exported(store)
    assert read_page_only(data) == FILES
    assert list(read_page_only(data)) == list(FILES)
    with open_store(tmp_path / "again") as store:
        store.import_archive(io.BytesIO(data))
        assert exported(store) == data


def test_what_the_page_says_of_a_header(tmp_path):
    size = len(FILES["sessions/demo.json"])
    assert f"a size of {size} bytes (`{size:011o}`" in EXAMPLE
    assert f"(`{1767225601:011o}`)" in EXAMPLE
    written = write_page_only(FILES, {"sessions/demo.json": 1767225601})
    with open_store(tmp_path) as store:
        assert store.import_archive(io.BytesIO(gzip.compress(written, mtime=0))).created == 2
        assert gzip.decompress(exported(store)) == written
        assert store.load_session("demo").turns()[0].content == "Hello"


@pytest.mark.parametrize("name", ["x" * 88, "x" * 89, "x" * 240, "ü", "日" * 80, "a b"])
def test_long_and_foreign_names(name):
    with open_store("memory:") as store:
        store.save_session(Session.with_id("ada", name))
        store.save_markdown("deep/" * 9 + "er", name, name)
        assert len(read_page_only(exported(store))) == 4
