"""When a document becomes a plain file without anybody asking."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plainstate import open_store
from plainstate.limits import FOLD_FLOOR_BYTES

if TYPE_CHECKING:
    from pathlib import Path


def until(condition, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_quiet_document_comes_to_rest(tmp_path: Path):
    with open_store(tmp_path, quiet_fold_s=0.2) as store:
        store.append_user_message("s", "hello", user_id="ada")
        assert (tmp_path / "sessions/s.jsonl").exists()
        assert until(lambda: not (tmp_path / "sessions/s.jsonl").exists())
        assert (tmp_path / "sessions/s.json").exists()


def test_a_small_document_has_a_plain_file_however_busy_it_is(tmp_path: Path):
    plain = tmp_path / "sessions/s.json"
    with open_store(tmp_path, quiet_fold_s=0.4) as store:
        count = 0

        def written_and_there() -> bool:
            nonlocal count
            count += 1  # one message every 50 ms: it is never quiet
            store.append_user_message("s", f"message {count}", user_id="ada")
            return plain.exists()

        assert until(written_and_there)
        assert len(store.load_session("s").turns()) == count


def test_a_large_document_that_is_busy_is_left_alone(tmp_path: Path):
    plain = tmp_path / "sessions/s.json"
    with open_store(tmp_path, quiet_fold_s=0.4) as store:
        store.append_user_message("s", "x" * FOLD_FLOOR_BYTES, user_id="ada")
        store.checkpoint()
        before = plain.stat().st_mtime_ns
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            store.append_user_message("s", "more")
            time.sleep(0.05)
        assert plain.stat().st_mtime_ns == before
