"""What was exported comes back, and a person finds the plain files."""

import gzip
import io
import json
import os
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from by_hand import contents
from hypothesis import given
from hypothesis import strategies as st

from plainstate import AsyncStateStore, open_store
from plainstate.archive.compress import BadGzipError, Gunzip, Gzip
from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    DamagedError,
    InvalidNameError,
    NotFoundError,
    StorageError,
    UsageError,
    ValueTooLargeError,
)
from plainstate.types import DocumentId

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PARTS = st.sampled_from(["a", "b.c", "ü", "日本" * 20, "x" * 120, "sessions", "a b"])
CATEGORIES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
DOCUMENTS = st.lists(st.tuples(CATEGORIES, PARTS, JSON | TEXTS, st.booleans()), max_size=8)


def exported(store, **options) -> bytes:
    file = io.BytesIO()
    store.export_archive(file, **options)
    return file.getvalue()


@given(documents=DOCUMENTS)
def test_every_store_comes_back(documents):
    with open_store("memory:") as store, open_store("memory:") as other:
        for category, name, value, as_text in documents:
            if as_text:
                store.save_markdown(category, name, json.dumps(value))
            else:
                store._engine.replace(DocumentId(category, name), value)  # no session, perhaps
        data = exported(store)
        report = other.import_archive(io.BytesIO(data))
        assert report.created == len(contents(store))
        assert repr(contents(other)) == repr(contents(store))  # 1, 1.0 and true differ
        again = other.import_archive(io.BytesIO(data))
        assert (again.created, again.replaced, again.unchanged) == (0, 0, report.created)
        # other tools read the same
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {one.name: tar.extractfile(one).read() for one in tar}
    lines = [json.loads(line) for line in found.pop("MANIFEST.jsonl").splitlines()]
    assert json.loads(found.pop("ARCHIVE.json")) == {"plainstate-archive": 1}
    assert {line["file"]: line["sha256"] for line in lines} == {
        name: sha256(file).hexdigest() for name, file in found.items()
    }


def filled(path: Path | str):
    store = open_store(path)
    store.append_user_message("s-1", "Hello", user_id="ada")
    store.append_agent_response("s-1", "Hi ✓")
    store.save_markdown("notes", "plan", "# Plan\r\n")
    store.append_markdown("notes", "plan", "more")
    store.save_json("a/b", "n", {"n": 10**30, "f": 1e-7})
    return store


def test_the_files_are_those_of_the_store_at_rest(tmp_path):
    with filled(tmp_path / "state") as store:
        report = store.export_archive(tmp_path / "out.tar.gz")
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xzf", tmp_path / "out.tar.gz", "-C", tmp_path / "out"], check=True)
    plain = {
        str(path.relative_to(tmp_path / "state")): path.read_bytes()
        for path in (tmp_path / "state").glob("[!.]*/**/*")
        if path.is_file()
    }
    assert len(plain) == report.documents == 3
    assert report.size_bytes == sum(map(len, plain.values()))
    assert report.left_out == []
    for name, data in plain.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    with open_store(tmp_path / "state") as store, open_store(tmp_path / "out") as unpacked:
        assert contents(unpacked) == contents(store)  # the folder is a store
    changed = (tmp_path / "out/sessions/s-1.json").stat().st_mtime
    assert abs(changed - (tmp_path / "state/sessions/s-1.json").stat().st_mtime) < 60


def test_the_same_store_gives_the_same_bytes(tmp_path):
    with filled(tmp_path / "state") as store:
        assert exported(store) == exported(store)
    with open_store(tmp_path / "state") as store:
        first = exported(store)
        store.save_json("a/b", "n", 1)
        assert exported(store) != first


def test_a_part_of_a_store(tmp_path):
    with filled(tmp_path / "state") as store:
        store.save_json("a", "n", 1)
        for options, files in [
            ({"category": "a"}, {"a/n"}),
            ({"category": "a/b"}, {"a/b/n"}),
            ({"session_id": "s-1"}, {"sessions/s-1"}),
            ({}, {"a/n", "a/b/n", "notes/plan", "sessions/s-1"}),
        ]:
            with open_store("memory:") as other:
                other.import_archive(io.BytesIO(exported(store, **options)))
                assert set(map(str, contents(other))) == files
        for options, error in [
            ({"category": "b"}, NotFoundError),
            ({"session_id": "s-2"}, NotFoundError),
            ({"category": "../a"}, InvalidNameError),
            ({"category": ".plainstate/trash"}, InvalidNameError),
            ({"session_id": "a/b"}, InvalidNameError),
            ({"session_id": "s-1", "category": "a"}, UsageError),
        ]:
            with pytest.raises(error):
                store.export_archive(tmp_path / "none", **options)
            with pytest.raises(error):
                store.export_markdown(tmp_path / "none", **options)
        assert os.listdir(tmp_path) == ["state"]


def test_an_empty_store(tmp_path):
    with open_store(tmp_path / "state") as store:
        data = exported(store)
        assert store.import_archive(io.BytesIO(data)).created == 0
    assert os.listdir(tmp_path) == []


# --- where it goes -------------------------------------------------------------------


def test_an_existing_file_is_refused_or_replaced(tmp_path):
    target = tmp_path / "out"
    with filled("memory:") as store:
        store.export_archive(target)
        before = target.read_bytes()
        store.save_json("a", "more", 1)
        told = []
        with pytest.raises(AlreadyExistsError):
            store.export_archive(target, progress=lambda *now: told.append(now))
        assert told == []  # before any work
        assert target.read_bytes() == before
        store.export_archive(target, overwrite=True)
        assert target.read_bytes() == exported(store)
        for bad in ("", "a\0b", b"bytes", 3, io.StringIO()):
            with pytest.raises(UsageError):
                store.export_archive(bad)
        for bad in ("", b"bytes", 3, io.StringIO()):
            with pytest.raises((UsageError, StorageError)):
                store.import_archive(bad)
        with pytest.raises(StorageError):
            store.import_archive(tmp_path / "none")
        with pytest.raises(StorageError):
            store.import_archive(tmp_path)
        with pytest.raises(StorageError):
            store.export_archive(tmp_path / "none" / "out")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("where", ["", "out", "a/out", ".plainstate/out", "../%41 b/c"])
def test_a_place_in_the_store_itself_is_refused(tmp_path, where):
    base = tmp_path / "%41 b"
    with open_store(base) as store:
        store.save_json("a", "b", 1)
        before = sorted(base.rglob("*"))
        for export in (store.export_archive, store.export_markdown):
            with pytest.raises(UsageError, match="in the store's own folder"):
                export(base / where)
        assert sorted(base.rglob("*")) == before
        store.export_archive(f"{base}.tar.gz")  # beside it


def test_a_pipe_carries_an_archive():
    with filled("memory:") as store, open_store("memory:") as other:
        read, write = os.pipe()
        with os.fdopen(read, "rb", buffering=0) as source:
            with os.fdopen(write, "wb", buffering=0) as target:
                store.export_archive(target)
            assert not source.seekable()
            other.import_archive(source)
        assert contents(other) == contents(store)


def test_an_archive_inside_a_larger_file():
    with filled("memory:") as store, open_store("memory:") as other:
        file = io.BytesIO(b"before" + exported(store))
        file.seek(6)
        other.import_archive(file)
        assert contents(other) == contents(store)


class Short(io.RawIOBase):
    """Takes a few bytes of each write."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data) -> int:
        self.data += bytes(data[:7])
        return len(data[:7])


def test_short_writes():
    with filled("memory:") as store:
        file = Short()
        store.export_archive(file)
        assert file.data == exported(store)


# --- what is there already ---------------------------------------------------------


def test_documents_with_other_content(tmp_path):
    with filled(tmp_path / "state") as store:
        data = exported(store)
        then = contents(store)
        store.save_json("a/b", "n", {"f": 1e-7, "n": 10**30})  # another order is other content
        store.append_agent_response("s-1", "Anything else?")
        store.delete_file("notes", "plan")
        now = contents(store)
        with pytest.raises(AlreadyExistsError, match=r"a/b/n\.json exists .*1 more"):
            store.import_archive(io.BytesIO(data))
        assert contents(store) == now
        report = store.import_archive(io.BytesIO(data), on_existing="skip")
        assert (report.created, report.skipped) == (1, ["a/b/n.json", "sessions/s-1.json"])
        assert contents(store) == {**then, **now}
        report = store.import_archive(io.BytesIO(data), on_existing="replace")
        assert (report.replaced, report.unchanged) == (2, 1)
        assert repr(contents(store)) == repr(then)
        # going back to it a second time is no retry
        store.save_json("a/b", "n", 1)
        store.import_archive(io.BytesIO(data), on_existing="replace")
        assert repr(contents(store)) == repr(then)
        with pytest.raises(UsageError):
            store.import_archive(io.BytesIO(data), on_existing="merge")


def test_a_document_that_appears_meanwhile(monkeypatch):
    with filled("memory:") as store, open_store("memory:") as other:
        data = exported(store)
        engine = other._engine
        replace = engine.replace

        def late(document, value, **options):
            if engine.read(document) is None:
                replace(document, "somebody else's")
            return replace(document, value, **options)

        monkeypatch.setattr(engine, "replace", late)
        with pytest.raises(AlreadyExistsError) as caught:
            other.import_archive(io.BytesIO(data))
        assert isinstance(caught.value.__cause__, ConflictError)
        assert set(contents(other).values()) == {"somebody else's"}
        report = other.import_archive(io.BytesIO(data), on_existing="skip")
        assert (report.created, len(report.skipped)) == (0, 3)
        assert other.import_archive(io.BytesIO(data), on_existing="replace").replaced == 3
        assert contents(other) == contents(store)


def test_damaged_documents_are_told_and_kept(tmp_path):
    with filled(tmp_path / "state") as store:
        good = exported(store)
    (tmp_path / "state/sessions/s-1.json").write_text("{ torn", encoding="utf-8")
    with open_store(tmp_path / "state") as store:
        report = store.export_archive(tmp_path / "out")
        (left_out,) = report.left_out
        assert (report.documents, left_out.file) == (2, "sessions/s-1.json")
        assert "not readable" in left_out.reason
        with open_store("memory:") as other:
            assert other.import_archive(tmp_path / "out").left_out == [left_out]
            assert len(contents(other)) == 2
        assert store.export_markdown(tmp_path / "md").left_out == [left_out]
        with pytest.raises(DamagedError):
            store.export_archive(tmp_path / "none", session_id="s-1")
        for choice in ("fail", "replace"):
            with pytest.raises(DamagedError):
                store.import_archive(io.BytesIO(good), on_existing=choice)
        report = store.import_archive(io.BytesIO(good), on_existing="skip")
        assert report.skipped == ["sessions/s-1.json"]
    assert (tmp_path / "state/sessions/s-1.json").read_text() == "{ torn"


def test_a_document_over_the_limit_changes_nothing():
    with open_store("memory:") as store:
        store.save_json("a", "small", 1)
        store.save_markdown("b", "large", "x" * 1000)
        data = exported(store)
    with open_store("memory:", max_write_bytes=500) as store:
        with pytest.raises(ValueTooLargeError) as caught:
            store.import_archive(io.BytesIO(data))
        assert (caught.value.size_bytes, caught.value.limit_bytes) == (1000, 500)
        assert "max_write_bytes=1000" in caught.value.hint
        assert contents(store) == {}


# --- progress, the other face, the gzip layer -------------------------------------


def test_progress_rises_to_the_end():
    with filled("memory:") as store:
        told = []
        file = io.BytesIO()
        store.export_archive(file, progress=lambda *now: told.append(now))
        assert told == [(1, 3), (2, 3), (3, 3)]
        told.clear()
        file.seek(0)
        store.import_archive(file, progress=lambda *now: told.append(now))
        assert told == sorted(told)
        assert len(told) == 6
        assert all(0 < done <= total for done, total in told)


def test_the_async_face(tmp_path):
    import asyncio

    async def main() -> None:
        async with AsyncStateStore(filled(tmp_path / "state")) as store:
            report = await store.export_archive(tmp_path / "out")
            assert report.documents == 3
            assert (await store.import_archive(tmp_path / "out")).unchanged == 3

    asyncio.run(main())


@given(data=st.binary(), repeat=st.integers(0, 100_000), cut=st.integers(1, 200_000))
def test_gzip_gives_back_what_went_in(data, repeat, cut):
    data += b"a" * repeat
    packed = io.BytesIO()
    zipped = Gzip(packed.write)
    zipped.write(data)
    zipped.finish()
    assert gzip.decompress(packed.getvalue()) == data
    packed.seek(0)
    source = Gunzip(packed)
    cut = min(cut, len(data))
    assert source.read(cut) + source.read(len(data) - cut) == data
    source.finish()
    with pytest.raises(BadGzipError):
        source.read(1)
