"""Whatever is no whole, intact archive is refused, and nothing is changed."""

import gzip
import io
import json
import tarfile
import tracemalloc

import pytest
from by_hand import FIRST, NOTE, archive, contents, imported, manifest, member, packed
from hypothesis import given
from hypothesis import strategies as st

from plainstate import open_store
from plainstate.archive import tar
from plainstate.errors import ArchiveError, FormatVersionError, ValueTooLargeError

DATA = ("data/ü.json", b'{\n  "n": 1\n}\n')
SOUND = archive(DATA, NOTE)


def refused(data: bytes, error: type[Exception] = ArchiveError) -> Exception:
    with open_store("memory:") as store:
        with pytest.raises(error) as caught:
            store.import_archive(io.BytesIO(data))
        assert contents(store) == {}
    return caught.value


def refused_or_equal(data: bytes) -> bool:
    """Refused (with nothing changed), or everything is as it should be; returns whether refused."""
    with open_store("memory:") as store:
        try:
            store.import_archive(io.BytesIO(data))
        except (ArchiveError, FormatVersionError):
            assert contents(store) == {}
            return True
        assert contents(store) == EXPECTED
        return False


EXPECTED = imported(SOUND)


def test_the_sound_one_is_sound():
    assert sorted(map(str, EXPECTED)) == ["data/ü", "notes/plan"]


@pytest.mark.parametrize("size", range(len(SOUND)))
def test_cut_short(size):
    refused(SOUND[:size])


def test_more_behind_it():
    for more in (b"\0", b"x", SOUND, gzip.compress(b"")):
        refused(SOUND + more)
    refused(packed(gzip.decompress(SOUND), b"\0" * 512))


def test_every_byte_flipped():
    counts = {True: 0, False: 0}
    for index in range(len(SOUND)):
        for mask in (0x01, 0x10, 0x80, 0xFF):
            altered = bytearray(SOUND)
            altered[index] ^= mask
            counts[refused_or_equal(bytes(altered))] += 1
    # only what gzip's own header says of time, level and system may differ
    assert counts[False] <= 4 * 10
    assert counts[True] >= 4 * (len(SOUND) - 10)


def test_every_byte_flipped_below_the_compression():
    plain = gzip.decompress(SOUND)
    taken = []
    for index in range(len(plain)):
        altered = bytearray(plain)
        altered[index] ^= 0x01
        if not refused_or_equal(packed(altered)):
            taken.append(index)
    # only the version that a document had in the other store is told and not compared
    manifest_at = plain.index(b"MANIFEST.jsonl") + 512
    assert len(taken) <= 2 * len('"version":"1-0"')
    assert all(index > manifest_at for index in taken)


@given(data=st.binary(max_size=2000))
def test_noise(data):
    refused(data)
    refused(gzip.compress(data))
    refused(packed(member(*FIRST), data))


# --- hostile members -------------------------------------------------------------


NAMES = [
    *(
        "../evil.json",
        "a/../../evil.json",
        "/etc/evil.json",
        "//evil.json",
        "a//b.json",
        "./a.json",
    ),
    *("evil.json", "a/", "a/.json", "a/.md", "", "a/b", "a/b.txt", "a/b.jsonl", "a/b.JSON"),
    *(
        ".plainstate/x.json",
        ".plainstate/heads/a.json",
        "a/.hidden.json",
        ".git/x.md",
        "a.json/b.json",
    ),
    *(
        "a\\b.json",
        "a/b\\c.json",
        "a/\nb.json",
        "a/b\u202ec.json",
        "a/e\u0301.json",
        "C:/con/nul.json",
    ),
    *(
        "a/" + "x" * 241 + ".json",
        "/".join("abcdefghijklmnopq") + "/n.json",
        "a/x .json",
        "a/b..c.md",
    ),
    *("MANIFEST.json", "ARCHIVE.json", "x/" * 400 + "n.md"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_that_no_store_takes(name):
    error = refused(archive(("a/fine.md", b""), (name, b"1")))
    assert error.member == name or len(name) > 700  # too long to be read at all
    assert error.code == "archive"
    assert error.hint


def test_a_name_that_is_no_text():
    broken = member("a/xy.md", b"")
    for bad in (b"a/\xff\xfe.md", b"a/b\0c.md"):
        block = bytearray(broken)
        block[: len(bad)] = bad
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block[:512])
        refused(packed(member(*FIRST), bytes(block), member(*manifest([])), tar.END))


def with_tarfile(info: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """With a header as the standard library writes it: valid for every other tool."""
    header = info.tobuf(form)
    return packed(member(*FIRST), member(*NOTE), header, member(*manifest([NOTE])), tar.END)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.DIRTYPE, "folder"),
        (tarfile.GNUTYPE_SPARSE, "form"),
        (tarfile.CONTTYPE, "form"),
        (b"Z", "form"),
    ],
)
def test_what_is_no_plain_file(kind, said):
    info = tarfile.TarInfo("notes/link.md")
    info.type, info.linkname = kind, "/etc/passwd"
    assert said in str(refused(with_tarfile(info)))


def test_extended_headers_are_not_obeyed():
    for headers in ({"path": "../evil.md"}, {"linkpath": "/etc"}, {"size": "99999999999"}):
        info = tarfile.TarInfo("notes/x.md")
        info.pax_headers = headers
        refused(with_tarfile(info))
    refused(with_tarfile(tarfile.TarInfo("n/" + "x" * 200 + ".md"), form=tarfile.GNU_FORMAT))


def test_a_header_that_claims_a_gigabyte_takes_no_memory():
    block = bytearray(tar.header("././@PaxHeader", 2**30))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    zeros = bytes(2**20)
    data = packed(member(*FIRST), bytes(block), *[zeros] * 64)
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_bomb_takes_no_memory():
    size = 256 * 2**20
    data = packed(member(*FIRST), tar.header("a/bomb.md", size), *[bytes(2**20)] * 256)
    tracemalloc.start()
    try:
        error = refused(data, ValueTooLargeError)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert error.size_bytes == size


# --- what does not agree with itself ------------------------------------------------


def built(*files: tuple[str, bytes]) -> bytes:
    return packed(*(member(*one) for one in files), tar.END)


OTHER = ("notes/other.md", b"")
ALTERED = (NOTE[0], b"# plan\n")
NESTED = ("a/b.json", b"[" * 200 + b"]" * 200)
LONG_LINE = b" " * 200_000 + manifest([NOTE])[1]

DISAGREEING = {
    "no first file": [NOTE, manifest([NOTE])],
    "another first file": [("OTHER.json", FIRST[1]), manifest([])],
    "first file twice": [FIRST, FIRST, manifest([])],
    "no manifest": [FIRST, NOTE],
    "manifest first": [FIRST, manifest([NOTE]), NOTE],
    "two manifests": [FIRST, NOTE, manifest([NOTE]), manifest([NOTE])],
    "a document behind": [FIRST, NOTE, manifest([NOTE]), OTHER],
    "twice": [FIRST, NOTE, NOTE, manifest([NOTE, NOTE])],
    "twice, named once": [FIRST, NOTE, NOTE, manifest([NOTE])],
    "not named": [FIRST, NOTE, OTHER, manifest([NOTE])],
    "named and not there": [FIRST, NOTE, manifest([NOTE, OTHER])],
    "another order": [FIRST, OTHER, NOTE, manifest([NOTE, OTHER])],
    "altered": [FIRST, ALTERED, manifest([NOTE])],
    "nothing": [],
    "manifest cut": [FIRST, NOTE, ("MANIFEST.jsonl", manifest([NOTE])[1][:-1])],
    "manifest with more": [FIRST, NOTE, ("MANIFEST.jsonl", manifest([NOTE])[1] + b"{")],
    "manifest with a long line": [FIRST, NOTE, ("MANIFEST.jsonl", LONG_LINE)],
    "manifest no JSON": [FIRST, ("MANIFEST.jsonl", b"{\n")],
    "manifest no object": [FIRST, ("MANIFEST.jsonl", b"[]\n")],
    "manifest wrong type": [FIRST, ("MANIFEST.jsonl", b'{"file":1}\n')],
    "manifest not UTF-8": [FIRST, ("MANIFEST.jsonl", b'{"file":"\xff","left_out":"x"}\n')],
    "manifest one endless line": [FIRST, ("MANIFEST.jsonl", b" " * 200_000)],
    "left out, bad name": [FIRST, ("MANIFEST.jsonl", b'{"file":"../x.md","left_out":"x"}\n')],
    "not JSON": [FIRST, ("a/b.json", b"{"), manifest([("a/b.json", b"{")])],
    "NaN": [FIRST, ("a/b.json", b"NaN"), manifest([("a/b.json", b"NaN")])],
    "too deep": [FIRST, ("a/b.json", b"[" * 9999), manifest([("a/b.json", b"[" * 9999)])],
    "nested": [FIRST, NESTED, manifest([NESTED])],
    "not UTF-8": [FIRST, ("a/b.md", b"\xff"), manifest([("a/b.md", b"\xff")])],
    "first file no JSON": [("ARCHIVE.json", b"{"), manifest([])],
    "first file no object": [("ARCHIVE.json", b"[]"), manifest([])],
    "first file without version": [("ARCHIVE.json", b"{}"), manifest([])],
    "version no number": [("ARCHIVE.json", b'{"plainstate-archive":true}'), manifest([])],
    "first file large": [("ARCHIVE.json", FIRST[1] + b" " * 5000), manifest([])],
    "first file deep": [("ARCHIVE.json", b"[" * 4000), manifest([])],
}


@pytest.mark.parametrize("files", DISAGREEING.values(), ids=DISAGREEING)
def test_what_does_not_agree_with_itself(files):
    refused(built(*files))


def test_a_newer_format_is_named():
    first = ("ARCHIVE.json", b'{"plainstate-archive": 2}')
    error = refused(built(first, ("anything", b"")), FormatVersionError)
    assert error.needed == "archive format 2"


def test_what_may_come_later_is_passed_over():
    name, data = manifest([NOTE])
    line = {**json.loads(data), "x-more": [1]}
    first = ("ARCHIVE.json", b'{"plainstate-archive":1,"x-more":2}')
    assert imported(built(first, NOTE, (name, json.dumps(line).encode() + b"\n")))


def test_zeros_for_an_end():
    refused(packed(member(*FIRST), bytes(512)))
    refused(packed(member(*FIRST), bytes(512), member(*NOTE)))
    note = bytearray(member(*NOTE))
    note[-1] = 1  # between two files
    refused(packed(member(*FIRST), note, member(*manifest([NOTE])), tar.END))


def test_an_archive_that_changes_between_the_passes():
    class Changing(io.BytesIO):
        passes = 0

        def seek(self, offset: int, whence: int = 0) -> int:
            if (offset, whence) == (0, 0):
                self.passes += 1
                if self.passes == 2:
                    self.getbuffer()[:] = other
            return super().seek(offset, whence)

    other = archive(DATA, (NOTE[0], b"# Plam\n"))
    assert len(other) == len(SOUND)
    with open_store("memory:") as store:
        with pytest.raises(ArchiveError, match="changed while it was read"):
            store.import_archive(Changing(SOUND))
        assert "notes/plan" not in map(str, contents(store))


def test_the_error_names_archive_and_member(tmp_path):
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(archive(("notes/../x.md", b"")))
    with open_store("memory:") as store, pytest.raises(ArchiveError) as caught:
        store.import_archive(path)
    assert (caught.value.path, caught.value.member) == (str(path), "notes/../x.md")
    assert str(caught.value).startswith(f"{path}: notes/../x.md: ")
