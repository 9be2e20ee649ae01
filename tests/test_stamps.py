"""A document that changed has another stamp, whatever a power cut leaves of its files' times."""

from contextlib import closing

from plainstate import StateStore
from plainstate.engines.file.engine import FileEngine
from plainstate.testing.crashfs import CrashFileSystem

BASE = "/store"


def open_engine(fs: CrashFileSystem) -> FileEngine:
    return FileEngine(BASE, fs=fs, quiet_fold_s=3600, lock_timeout_s=0)


def test_a_line_that_was_written_over_blanks_changes_the_stamp():
    """Or the look behind a power cut would pass over it, and nobody would tell of it (F-5)."""
    fs = CrashFileSystem()
    versions: dict[str, str] = {}
    sizes = set()
    with StateStore.on(open_engine(fs), BASE) as store:
        store.save_json("plans", "busy", {"steps": []})
        for number in range(4):
            store.patch("plans", "busy", [{"op": "add", "path": "/steps/-", "value": number}])
            sizes.add(len(fs.content(f"{BASE}/plans/busy.jsonl")))
            for image in fs.images():
                with closing(open_engine(image)) as engine:
                    for document, stamp in engine.documents():
                        version = engine.read(document).version
                        assert versions.setdefault(stamp, version) == version
    assert len(sizes) == 1  # or this tests nothing
    assert len(set(versions.values())) == 4
