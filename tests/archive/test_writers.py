"""Exports while writers go on, full disks, and imports that were cut off."""

import errno
import io
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from by_hand import contents

from plainstate import open_store
from plainstate.archive.choosing import Choice
from plainstate.archive.exporting import export_archive
from plainstate.archive.markdown import export_markdown
from plainstate.errors import ArchiveError, StorageError, StorageFullError
from plainstate.fs.posix import PosixFileSystem
from plainstate.testing.faultfs import FaultyFileSystem


def test_each_document_is_one_state_while_writers_go_on(tmp_path: Path):
    stop = threading.Event()
    written = threading.Semaphore(0)

    def write(number: int) -> None:
        with open_store(tmp_path / "state", durability="os", quiet_fold_s=0.01) as store:
            round_ = 0
            while not stop.is_set():
                round_ += 1
                # two parts that belong together, in one transaction
                with store.transaction("pairs", f"p-{number}") as doc:
                    doc.value = {"a": round_, "b": round_, "pad": "x" * 2000}
                store.append_user_message(f"s-{number}", f"{round_}", user_id="ada")
                store.save_json("come-and-go", f"{number}-{round_ % 3}", round_)
                store.delete_file("come-and-go", f"{number}-{(round_ + 1) % 3}")
                written.release()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            written.acquire(timeout=30)
        with open_store(tmp_path / "state") as store:
            archives = []
            for _ in range(5):
                file = io.BytesIO()
                report = store.export_archive(file)
                assert report.left_out == []
                archives.append(file)
                written.acquire(timeout=30)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    last = 0
    for file in archives:
        file.seek(0)
        with open_store("memory:") as other:
            other.import_archive(file)
            pairs = [other.load_json("pairs", f"p-{number}") for number in range(2)]
            assert all(pair["a"] == pair["b"] for pair in pairs)
            assert pairs[0]["a"] >= last
            last = pairs[0]["a"]
            for number in range(2):
                said = [turn.content for turn in other.load_session(f"s-{number}").turns()]
                assert said == [str(n + 1) for n in range(len(said))]


def test_a_rename_during_an_export_loses_nothing(monkeypatch):
    with open_store("memory:") as store, open_store("memory:") as other:
        store.save_json("a", "1", "stays")
        store.save_json("a", "2", "moves")
        read = store._engine.read

        def renaming(document, **options):
            state = read(document, **options)
            if document.name == "1":
                monkeypatch.setattr(store._engine, "read", read)
                store.rename("a", "2", "0")
                store.delete_file("a", "1")
            return state

        monkeypatch.setattr(store._engine, "read", renaming)
        file = io.BytesIO()
        assert store.export_archive(file).documents == 2
        file.seek(0)
        other.import_archive(file)
        assert sorted(contents(other).values()) == ["moves", "stays"]


# --- the disk says no ----------------------------------------------------------------


def small_store():
    store = open_store("memory:")
    store.append_user_message("s", "Hello", user_id="ada")
    store.save_markdown("a/b", "n", "text")
    return store


def test_an_archive_is_durable_before_it_has_its_name(tmp_path: Path):
    fs = FaultyFileSystem(PosixFileSystem())
    with small_store() as store:
        orders = []
        for at in range(1, 30):
            fs.fail(errno.EIO, at=at)
            with suppress(StorageError):
                export_archive(
                    store._engine, tmp_path / "out", Choice(), overwrite=True, progress=None, fs=fs
                )
            orders += fs.failed
    expected = ["stat", "create", "write", "sync", "stat", "rename", "sync_folder"]
    assert [
        one for one, before in zip(orders, ["", *orders], strict=False) if one != before
    ] == expected


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("export", [export_archive, export_markdown])
def test_every_call_to_the_disk_may_fail(tmp_path: Path, export, short):
    options = {"overwrite": False} if export is export_archive else {}
    with small_store() as store:
        fs = FaultyFileSystem(PosixFileSystem())
        fs.fail(0, at=10**9)  # only counts
        export(store._engine, tmp_path / "good", Choice(), progress=None, fs=fs, **options)
        calls = fs.calls
        assert calls >= 6
        for at in range(1, calls + 1):
            target = tmp_path / f"out-{at}"
            fs.fail(errno.ENOSPC, at=at, short=short)
            with suppress(StorageFullError):
                export(store._engine, target, Choice(), progress=None, fs=fs, **options)
            whole = fs.failed in ([], ["sync_folder"])  # it has its name, durable or not
            assert target.exists() == whole, fs.failed
            fs.fail(0, ())
            leftover = [name for name in os.listdir(tmp_path) if name.startswith(".tmp-")]
            assert leftover == [], fs.failed
            if not whole:
                export(store._engine, target, Choice(), progress=None, fs=fs, **options)


def test_an_export_to_a_full_device():
    full = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed below
    with small_store() as store, full, pytest.raises(OSError, match="No space"):
        store.export_archive(full)


def test_an_interrupted_export_leaves_nothing(tmp_path: Path):
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with small_store() as store:
        for export in (store.export_archive, store.export_markdown):
            with pytest.raises(KeyboardInterrupt):
                export(tmp_path / "out", progress=interrupt)
    assert os.listdir(tmp_path) == []


def test_an_export_cut_off_in_a_stream_is_no_archive():
    """What was written before is no archive, even if its end is made up."""
    file = io.BytesIO()

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with small_store() as store:
        with pytest.raises(KeyboardInterrupt):
            store.export_archive(file, progress=interrupt)
        file.seek(0)
        with pytest.raises(ArchiveError):
            store.import_archive(file)


# --- an import that was cut off ------------------------------------------------------


@pytest.mark.parametrize("on_existing", ["fail", "skip", "replace"])
def test_an_interrupted_import_is_run_again(tmp_path: Path, on_existing):
    with open_store("memory:") as store:
        for number in range(6):
            store.save_json("a", f"{number}", {"n": number})
        file = io.BytesIO()
        store.export_archive(file)
        expected = contents(store)
    for cut in range(7):
        with open_store(tmp_path / f"state-{cut}") as store:
            engine, left, mutex = store._engine, cut, threading.Lock()

            def replace(*args, whole=engine.replace, mutex=mutex, **options):
                nonlocal left
                with mutex:
                    if not left:
                        raise StorageFullError("full", hint="Free some.", path="a")
                    left -= 1
                return whole(*args, **options)

            engine.replace = replace
            file.seek(0)
            if cut < 6:
                with pytest.raises(StorageFullError):
                    store.import_archive(file, on_existing=on_existing)
        with open_store(tmp_path / f"state-{cut}") as store:
            assert contents(store).items() <= expected.items()
            file.seek(0)
            report = store.import_archive(file, on_existing=on_existing)
            done = cut if cut < 6 else 0
            assert (report.created, report.unchanged, report.skipped) == (6 - done, done, [])
            assert contents(store) == expected
