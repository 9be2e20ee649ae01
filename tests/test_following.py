"""Watches as threads, tasks and signal handlers meet them, and when progress is saved."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from plainstate import AsyncStateStore, StateStore, errors, open_store, watching
from plainstate.types import FOLLOWERS, ChangePage, DocumentId

LONG_S = 20


@pytest.fixture(params=["file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory:" if request.param == "memory" else str(tmp_path / "store")


def write(store: StateStore, *names: str) -> None:
    for name in names:
        store.save_json("c", name, [])


def saved(store: StateStore) -> str:
    (follower,) = store.followers()
    return follower.cursor


# --- the blocking face --------------------------------------------------------


def test_a_signal_handler_stops_a_watch_that_waits(place):
    with open_store(place) as store, store.watch() as watch:
        before = signal.signal(signal.SIGUSR1, lambda *_: watch.stop())
        sender = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        sender.start()
        try:
            assert list(watch) == []
        finally:
            sender.join()
            signal.signal(signal.SIGUSR1, before)


def test_what_comes_between_two_waits_is_not_lost(place):
    with open_store(place) as store:
        watch = store.watch()
        write(store, "a")
        assert watch.next(LONG_S).document.name == "a"
        write(store, "b", "c")
        assert [watch.next(LONG_S).document.name for _ in "bc"] == ["b", "c"]


def test_progress_is_saved_at_the_beginning_and_the_end_if_all_is_quick(place, monkeypatch):
    monkeypatch.setattr(watching, "_SAVE_S", 3600)
    with open_store(place) as store, store.watch(follower="f") as watch:
        begun = saved(store)
        write(store, *"abc")
        for name in "abc":
            assert watch.next(LONG_S).document.name == name
            assert saved(store) == begun
        assert watch.next(0) is None
        assert saved(store) == begun
        watch.close()
        assert saved(store) == watch.cursor != begun


def test_progress_is_saved_when_the_next_one_is_asked_for(place, monkeypatch):
    monkeypatch.setattr(watching, "_SAVE_S", 0)
    with open_store(place) as store, store.watch(follower="f") as watch:
        cursors = [saved(store)]
        write(store, *"abc")
        for name in "abc":
            assert watch.next(LONG_S).document.name == name
            assert saved(store) == cursors[-1], "the one given is not done yet"
            cursors.append(watch.cursor)
        assert watch.next(0) is None
        assert saved(store) == cursors[-1]


def test_leaving_the_loop_repeats_the_last_one_and_stopping_does_not(place):
    with open_store(place) as store:
        with store.watch(follower="left") as left, store.watch(follower="stopped") as stopped:
            write(store, "a", "b")
            for _ in left:
                break
            for _ in stopped:
                stopped.stop()
        assert store.watch(follower="left").next(LONG_S).document.name == "a"
        assert store.watch(follower="stopped").next(LONG_S).document.name == "b"


def test_closing_the_store_saves_what_is_done(tmp_path):
    with open_store(tmp_path) as store:
        watch = store.watch(follower="f")
        write(store, "a", "b")
        assert [watch.next(LONG_S).document.name for _ in "ab"] == ["a", "b"]
    assert watch.next() is None
    watch.close()
    with open_store(tmp_path) as store:
        assert store.watch(follower="f").next(LONG_S).document.name == "b"


def test_a_follower_that_was_cut_off_is_told(monkeypatch):
    with open_store("memory:") as store:
        monkeypatch.setattr(store._engine, "_feed", deque(maxlen=3))
        slow = store.watch(follower="f")
        write(store, *"abcd")
        with pytest.raises(errors.CursorExpiredError):
            slow.next(0)
        with pytest.raises(errors.CursorExpiredError) as caught:
            store.watch(follower="f")
        again = store.watch(caught.value.oldest, follower="f")
        assert again.next(0).document.name == "b"


def test_a_gap_in_the_feed_is_told(monkeypatch):
    with open_store("memory:") as store:
        watch = store.watch()
        assert not watch.gap
        write(store, "a")
        (change,) = store.changes()
        pages = iter(
            [
                ChangePage([], "0", gap=True),
                ChangePage([change], "1", gap=True, edits_missed=True),
                ChangePage([change], "1"),
            ]
        )
        with monkeypatch.context() as patch:
            patch.setattr(store._engine, "changes", lambda *_, **__: next(pages))
            assert watch.next(0) is None
            page = store.changes(limit=2)
        assert watch.gap
        assert (page.gap, page.edits_missed) == (True, True)


def test_a_bad_cursor_registers_nobody(place):
    with open_store(place) as store:
        write(store, "a")
        with pytest.raises(errors.InvalidCursorError):
            store.watch("rubbish", follower="f")
        assert store.followers() == []


@pytest.mark.parametrize("value", [{}, {"cursor": 7, "time": ""}, {"cursor": "1", "time": "x"}, 7])
def test_a_damaged_follower_is_told_and_can_be_removed(place, value: Any):
    with open_store(place) as store:
        store._engine.replace(DocumentId(FOLLOWERS, "f"), value)
        for call in (store.followers, lambda: store.watch(follower="f")):
            with pytest.raises(errors.DamagedError) as caught:
                call()
            assert caught.value.path == ".plainstate/followers/f.json"
        assert store.remove_follower("f")
        store.watch(follower="f")


def test_every_watch_is_closed_even_if_one_cannot_be(monkeypatch):
    store = open_store("memory:")
    bad, good = store.watch(follower="bad"), store.watch(follower="good")
    write(store, "a")
    for watch in (bad, good):
        watch.next(LONG_S)
        watch.next(0)
    store.remove_follower("bad")
    kept = []
    monkeypatch.setattr(good._progress, "save", kept.append)
    with pytest.raises(errors.ConflictError, match="follower bad"):
        store.close()
    assert kept == [good.cursor]
    with pytest.raises(errors.UsageError, match="closed"):
        store.list_categories()


# --- the async face -----------------------------------------------------------


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "plainstate-watch"]


def all_end(found: list[threading.Thread]) -> bool:
    for thread in found:
        thread.join(LONG_S)
    return bool(found) and not any(thread.is_alive() for thread in found)


async def waiting(watch: Any) -> "asyncio.Task[Any]":
    """A task that waits for the next change."""
    task = asyncio.create_task(watch.next())
    await asyncio.sleep(0)
    return task


def test_a_cancelled_wait_loses_nothing(place):
    async def main() -> None:
        async with AsyncStateStore(place) as store, store.watch() as watch:
            for name in "abc":
                task = await waiting(watch)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await store.save_json("c", name, [])
            assert [(await watch.next(LONG_S)).document.name for _ in "abc"] == list("abc")
            task = await waiting(watch)
            task.cancel()
            assert await watch.next(0.01) is None
            await store.save_json("c", "d", [])
            assert (await watch.next(LONG_S)).document.name == "d"

    asyncio.run(main())


def test_a_wait_that_was_cancelled_is_not_over_before_the_next_one(place):
    async def main() -> None:
        async with AsyncStateStore(place) as store, store.watch() as watch:
            task = asyncio.create_task(watch.next(0.05))
            await asyncio.sleep(0)
            task.cancel()
            later = asyncio.create_task(watch.next(LONG_S))
            await asyncio.sleep(0.2)
            await store.save_json("c", "a", [])
            assert (await later).document.name == "a"

    asyncio.run(main())


def test_many_watches_hold_up_nobody(place):
    async def main() -> None:
        async with AsyncStateStore(place) as store:
            watches = [store.watch() for _ in range(50)]
            tasks = [await waiting(watch) for watch in watches]
            for number in range(20):
                assert await asyncio.wait_for(store.load_json("c", "a"), LONG_S) is None
                await asyncio.wait_for(store.save_json("d", f"{number}", []), LONG_S)
            for watch in watches:
                watch.stop()
            await asyncio.gather(*tasks)

    asyncio.run(main())


def test_the_thread_of_a_watch_ends_with_it(place):
    async def main() -> None:
        async with AsyncStateStore(place) as store:
            async with store.watch(follower="f") as watch:
                (await waiting(watch)).cancel()
                closed = threads()
            assert all_end(closed)
            watch = store.watch()
            task = await waiting(watch)
            stopped = threads()
            watch.stop()
            assert await task is None
            del watch, task
            gc.collect()
            assert all_end(stopped)
            watch = store.watch()
            task = await waiting(watch)
            left = threads()
        assert await task is None
        assert all_end(left)

    asyncio.run(main())


def test_a_loop_left_by_break_lets_its_thread_go(place):
    async def main() -> None:
        async with AsyncStateStore(place) as store:
            begin = (await store.changes()).cursor
            await store.save_json("c", "a", [])
            async for _ in store.watch(begin):
                found = threads()
                break
            gc.collect()
            assert all_end(found)

    asyncio.run(main())


def test_a_watch_that_failed_to_begin_says_so_and_ends(place):
    async def main() -> None:
        async with AsyncStateStore(place) as store:
            with pytest.raises(errors.InvalidCursorError):
                async with store.watch("rubbish"):
                    pass
            bad = store.watch("rubbish")
            with pytest.raises(errors.InvalidCursorError):
                await bad.next()
            with pytest.raises(errors.UsageError):
                _ = bad.cursor
            await bad.aclose()
            with pytest.raises(errors.UsageError, match="closed"):
                await bad.__aenter__()

    asyncio.run(main())


def test_a_cancelled_end_still_saves(tmp_path):
    async def main() -> None:
        async with AsyncStateStore(tmp_path) as store, store.watch(follower="f") as watch:
            await store.save_json("c", "a", [])
            assert (await watch.next(LONG_S)).document.name == "a"
            assert await watch.next(0) is None
            ending = asyncio.create_task(watch.aclose())
            await asyncio.sleep(0)
            ending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ending
            (follower,) = await store.followers()
            assert follower.cursor == watch.cursor

    asyncio.run(main())


def test_a_program_ends_although_a_watch_waits(place):
    code = (
        "import asyncio, sys\nfrom plainstate import AsyncStateStore\n"
        "async def main():\n"
        "    watch = AsyncStateStore(sys.argv[1]).watch()\n"
        "    task = asyncio.create_task(watch.next())\n"
        "    await asyncio.sleep(0.05)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", code, place],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_who_comes_to_a_missing_segment_is_told_and_goes_on_behind_it(tmp_path):
    """Somebody removed a segment from the middle: its followers must not wait for it for ever."""
    feed = tmp_path / ".plainstate/feed"
    with open_store(tmp_path) as store:
        write(store, "a")
    (feed / "0000000001.open.jsonl").rename(feed / "0000000001.jsonl")
    with open_store(tmp_path) as store:
        write(store, "b")
    (feed / "0000000002.open.jsonl").rename(feed / "0000000003.open.jsonl")
    with open_store(tmp_path) as store:
        page = store.changes()
        assert [one.document.name for one in page] == ["a"]
        with pytest.raises(errors.CursorExpiredError) as caught:
            store.changes(page.cursor)
        rest = store.changes(caught.value.oldest)
        assert [one.document.name for one in rest] == ["b"]
        assert store.list_category("c") == ["a", "b"]
        with pytest.raises(errors.CursorExpiredError):
            store.watch(page.cursor)
