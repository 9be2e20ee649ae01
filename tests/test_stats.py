"""`stats` counts what lies on disk."""

from datetime import timedelta
from pathlib import Path

from plainstate import StateStore, open_store
from plainstate.types import DocumentId


def size(folder: Path, pattern: str = "**/*") -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


def fill(store: StateStore) -> None:
    for number in range(3):
        store.append_user_message(f"s-{number}", "Hello", user_id="ada")
    store.append_agent_response("s-0", "Hi")
    store.append_user_message("e-0", "Hello", user_id="eve")
    store.save_markdown("notes/deep", "n", "x" * 100)
    store._engine.replace(DocumentId("sessions", "odd"), {"not": "a session"})


def test_it_counts_documents_sessions_users_and_messages(tmp_path):
    with open_store(tmp_path) as store:
        fill(store)
        stats = store.stats()
        assert stats.categories == {"notes/deep": 1, "sessions": 5}
        assert (stats.documents, stats.sessions, stats.users) == (6, 4, 2)
        assert (stats.messages, stats.damaged, stats.trashed) == (5, 1, 0)


def test_sizes_are_those_of_the_files(tmp_path):
    meta = tmp_path / ".plainstate"
    with open_store(tmp_path, history="keep") as store:
        fill(store)
        store.checkpoint()
        store.append_user_message("s-1", "waits", user_id="ada")
        store.save_markdown("notes/deep", "n", "y")
        (meta / "quarantine" / "sessions").mkdir(parents=True)
        (meta / "quarantine" / "sessions" / "s.jsonl.1").write_bytes(b"12345")
        store.prune_sessions(keep_last=0, user_id="eve")
        files = store.stats().files
        assert files.categories == {
            "notes/deep": size(tmp_path / "notes" / "deep"),
            "sessions": size(tmp_path / "sessions"),
        }
        waiting = [*tmp_path.glob("sessions/*.jsonl"), *tmp_path.glob("notes/**/*.mdl")]
        assert files.journals == len(waiting) == 2
        assert files.journal_bytes == sum(path.stat().st_size for path in waiting)
        assert files.head_bytes == size(meta / "heads") > 0
        assert files.history_bytes == size(meta / "history") > 0
        assert (files.quarantined, files.quarantine_bytes) == (1, 5)
        assert files.trash_bytes == size(meta / "trash", "*/**/*") > 0
        assert store.stats().trashed == 1
        assert (files.feed_segments, files.feed_bytes) == (1, size(meta / "feed"))
        assert (files.writers, files.dead_writers) == (1, 0)
        store.empty_trash(older_than=timedelta(0))
        assert store.stats().files.trash_bytes == 0


def test_a_follower_is_so_many_bytes_behind(tmp_path):
    with open_store(tmp_path) as store:
        store.save_json("c", "before", [])
        with store.watch(follower="f"):
            assert store.stats().files.behind == {"f": 0}
        before = size(tmp_path / ".plainstate" / "feed")
        fill(store)
        behind = size(tmp_path / ".plainstate" / "feed") - before
        assert store.stats().files.behind == {"f": behind}
        (tmp_path / ".plainstate" / "followers" / "bad.json").write_text("[]")
        assert store.stats().files.behind == {"f": behind}


def test_a_dead_writer_is_counted_until_it_is_looked_after(tmp_path):
    with open_store(tmp_path) as store:
        fill(store)
        (tmp_path / ".plainstate" / "writers" / "01900000-dead").touch()
        files = store.stats().files
        assert (files.writers, files.dead_writers) == (1, 1)


def test_an_empty_store_and_one_in_memory(tmp_path):
    with open_store(tmp_path / "none") as store:
        stats = store.stats()
        assert stats.documents == stats.files.writers == 0
        assert stats.files.categories == stats.files.behind == {}
    assert not (tmp_path / "none").exists()
    with open_store("memory:") as store:
        fill(store)
        store.prune_sessions(keep_last=0, user_id="eve")
        stats = store.stats()
        assert (stats.files, stats.sessions, stats.messages, stats.trashed) == (None, 3, 4, 1)
