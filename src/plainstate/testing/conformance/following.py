"""Following: reading the change feed, waiting for more, followers that are remembered."""

# ruff: noqa: FBT003 - True is an outcome

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plainstate.errors import (
    ConflictError,
    InvalidCursorError,
    InvalidNameError,
    InvalidValueError,
)
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plainstate.types import Change

__all__: list[str] = []

_SOON_S = 10
"""A change that does not come within this does not come."""


def _names(changes: Iterable[Change]) -> list[str]:
    return [change.document.name for change in changes]


async def _write(kit: Kit, *names: str) -> None:
    for name in names:
        await kit.store.save_json("c", name, [])


@case()
async def the_feed_tells_what_every_commit_did(kit: Kit) -> None:
    """A change names document, action, number, version, transaction id and time."""
    first = await kit.store.save_json("c", "d", [], tx_id="t-1")
    second = await kit.store.patch("c", "d", [{"op": "add", "path": "/-", "value": 1}])
    await kit.store.delete_file("c", "d", tx_id="t-3")
    created, updated, deleted = await kit.store.changes()
    equal([created.action, updated.action, deleted.action], ["create", "update", "delete"])
    equal([created.seq, updated.seq, deleted.seq], [1, 2, 3])
    equal([created.version, updated.version], [first.version, second.version])
    equal(deleted.version, None)
    equal([created.tx_id, updated.tx_id, deleted.tx_id], ["t-1", second.tx_id, "t-3"])
    that(str(created.document) == "c/d" and created.document.kind == "json", "it is named")
    that("" < created.time <= updated.time <= deleted.time, "times go on")


@case()
async def the_feed_carries_the_summary_of_a_session(kit: Kit) -> None:
    """A change of a session tells whose it is and how many messages it has."""
    await kit.store.append_user_message("s-1", "Hello", user_id="ada")
    await kit.store.append_agent_response("s-1", "Hi")
    _, change = await kit.store.changes()
    summary = change.summary
    equal([summary["user_id"], summary["users"], summary["agents"]], ["ada", 1, 1])


@case()
async def a_rename_is_told_under_both_names(kit: Kit) -> None:
    """The old name is deleted, the new one created, and each names the other."""
    await _write(kit, "old")
    at = (await kit.store.changes()).cursor
    await kit.store.rename("c", "old", "new")
    told = {change.action: change for change in await kit.store.changes(at)}
    equal(sorted(told), ["create", "delete"])
    equal([str(told["create"].document), str(told["create"].moved)], ["c/new", "c/old"])
    equal([str(told["delete"].document), str(told["delete"].moved)], ["c/old", "c/new"])


@case()
async def changes_come_in_pages(kit: Kit) -> None:
    """Going on from each page's cursor gives everything once; then nothing."""
    await _write(kit, *"abcdefg")
    found, cursor = [], None
    while page := await kit.store.changes(cursor, limit=3):
        that(len(page) in (1, 3), "only the last one is not full")
        found += _names(page)
        cursor = page.cursor
    equal(found, list("abcdefg"))
    middle = (await kit.store.changes(limit=3)).changes[1]
    equal(_names(await kit.store.changes(middle.cursor, limit=2)), ["c", "d"])


@case()
async def changes_of_a_category_pass_over_others(kit: Kit) -> None:
    """A page is full if there are enough, and its cursor is behind what was passed over."""
    for number in range(5):
        await kit.store.save_json("a", f"{number}", [])
        await kit.store.save_json("b", f"{number}", [])
        await kit.store.save_json("b/c", f"{number}", [])
    page = await kit.store.changes(category="b", limit=3)
    equal(_names(page), ["0", "1", "2"])
    page = await kit.store.changes(page.cursor, category="b", limit=3)
    equal(_names(page), ["3", "4"])
    equal(len(await kit.store.changes(page.cursor)), 0)
    equal(len(await kit.store.changes(category="none")), 0)
    page = await kit.store.changes(category="b", limit=100)
    equal([len(page), len(await kit.store.changes(page.cursor))], [5, 0])


@case()
async def latest_is_the_end_of_the_feed(kit: Kit) -> None:
    """From "latest" there is nothing, and its cursor tells what comes later."""
    await _write(kit, "before")
    page = await kit.store.changes("latest")
    equal(len(page), 0)
    await _write(kit, "after")
    equal(_names(await kit.store.changes(page.cursor)), ["after"])


@case()
async def a_bad_question_about_changes_is_refused(kit: Kit) -> None:
    """Cursors, limits, categories and names of followers are checked; nothing is changed."""
    await _write(kit, "d")
    for cursor in ("", "rubbish", 7):
        await refused(InvalidCursorError, kit.store.changes(cursor), cursor=_shown(cursor))
    for limit in (0, -1, True, 2.0, None):
        await refused(InvalidValueError, kit.store.changes(limit=limit))
    for category in ("", "../x", ".plainstate/followers"):
        await refused(InvalidNameError, kit.store.changes(category=category))
    await refused(InvalidCursorError, _entered(kit, "rubbish", follower="f"))
    await refused(InvalidNameError, _entered(kit, category=".."))
    await refused(InvalidNameError, _entered(kit, follower="a/b"))
    await refused(InvalidNameError, kit.store.remove_follower(""))
    equal(await kit.store.followers(), [])


@case()
async def a_watch_gives_what_comes_from_now_on(kit: Kit) -> None:
    """What was before it does not come; what comes later does, in order."""
    await _write(kit, "before")
    async with kit.store.watch() as watch:
        equal(await watch.next(0), None)
        await _write(kit, "a", "b", "c")
        equal([(await watch.next(_SOON_S)).document.name for _ in "abc"], list("abc"))
        equal(await watch.next(0), None)


@case()
async def a_watch_begins_where_it_is_told(kit: Kit) -> None:
    """With `since`, and going on from the cursor of another watch."""
    await _write(kit, *"abcd")
    first = (await kit.store.changes(limit=1)).cursor
    async with kit.store.watch(first) as watch:
        equal([(await watch.next(_SOON_S)).document.name for _ in "bc"], ["b", "c"])
        cursor = watch.cursor
    async with kit.store.watch(cursor) as watch:
        equal((await watch.next(_SOON_S)).document.name, "d")


@case()
async def a_watch_of_a_category_passes_over_others(kit: Kit) -> None:
    """Only changes of that category are given."""
    async with kit.store.watch(category="wanted") as watch:
        await _write(kit, "a", "b")
        await kit.store.save_json("wanted", "w", [])
        await _write(kit, "c")
        equal((await watch.next(_SOON_S)).document.name, "w")
        equal(await watch.next(0), None)
        equal(len(await kit.store.changes(watch.cursor)), 0)


@case()
async def a_stopped_watch_ends(kit: Kit) -> None:
    """Stopping ends a loop that waits, and one amid changes, and stays so."""
    async with kit.store.watch() as watch:

        async def follow() -> list[str]:
            found = []
            async for change in watch:
                found.append(change.document.name)
                await kit.store.save_json("other", "o", [])
                watch.stop()
            return found

        async def write() -> list[str]:
            await _write(kit, "a")
            return []

        found, _ = await kit.together([follow, write])
        equal(found, ["a"])
        equal(await watch.next(), None)
    async with kit.store.watch() as waiting:

        async def wait() -> Any:
            return await waiting.next()

        async def stop() -> Any:
            return waiting.stop()

        equal(await kit.together([wait, stop]), [None, None])


@case()
async def closing_the_store_ends_its_watches(kit: Kit) -> None:
    """A loop over changes ends when the store is closed."""
    async with kit.store.watch(follower="f") as watch:

        async def follow() -> list[str]:
            return [change.document.name async for change in watch]

        async def close() -> list[str]:
            await _write(kit, "a")
            await kit.store.close()
            return []

        found, _ = await kit.together([follow, close])
        that(found in ([], ["a"]), "it ended")


@case()
async def a_follower_goes_on_where_it_stopped(kit: Kit) -> None:
    """What came meanwhile is given; a change that was not finished comes again."""
    async with kit.store.watch(follower="f") as watch:
        await _write(kit, "a", "b")
        equal((await watch.next(_SOON_S)).document.name, "a")
        equal((await watch.next(_SOON_S)).document.name, "b")
    await _write(kit, "c")
    async with kit.store.watch(follower="f") as watch:
        equal([(await watch.next(_SOON_S)).document.name for _ in "bc"], ["b", "c"])
        equal(await watch.next(0), None)
    async with kit.store.watch(follower="f") as watch:
        equal(await watch.next(0), None)


@case()
async def a_follower_can_be_sent_back(kit: Kit) -> None:
    """`since` overrules what was remembered, for good."""
    start = (await kit.store.changes("latest")).cursor
    async with kit.store.watch(follower="f") as watch:
        await _write(kit, "a")
        equal((await watch.next(_SOON_S)).document.name, "a")
        equal(await watch.next(0), None)
    async with kit.store.watch(start, follower="f"):
        pass
    async with kit.store.watch(follower="f") as watch:
        equal((await watch.next(_SOON_S)).document.name, "a")


@case(reopens=True)
async def a_follower_is_remembered_by_the_store(kit: Kit) -> None:
    """It goes on after the store was closed and opened again."""
    async with kit.store.watch(follower="f"):
        await _write(kit, "a")
    await kit.reopen()
    async with kit.store.watch(follower="f") as watch:
        equal((await watch.next(_SOON_S)).document.name, "a")


@case()
async def followers_are_listed_and_removed(kit: Kit) -> None:
    """By name, with cursor and time; no list of documents and no change shows them."""
    equal(await kit.store.followers(), [])
    equal(await kit.store.remove_follower("f"), False)
    for name in ("g", "f"):
        async with kit.store.watch(follower=name):
            pass
    first, second = await kit.store.followers()
    equal([first.name, second.name], ["f", "g"])
    equal(first.cursor, (await kit.store.changes("latest")).cursor)
    that(first.saved_at.tzinfo is not None, "the time has a zone")
    equal(await kit.store.list_categories(), [])
    equal(len(await kit.store.changes()), 0)
    equal(await kit.store.remove_follower("f"), True)
    equal([one.name for one in await kit.store.followers()], ["g"])


@case()
async def a_follower_is_one_watch_at_a_time(kit: Kit) -> None:
    """Who saves in the name of a follower that was removed or taken over is told."""

    async def overtaken(*, removed: bool) -> None:
        async with kit.store.watch(follower="f") as old:
            if removed:
                await kit.store.remove_follower("f")
            else:
                start = (await kit.store.changes()).cursor
                await _write(kit, "later")
                async with kit.store.watch(follower="f") as new:
                    await new.next(_SOON_S)
                    equal(await new.next(0), None)
                that(start, "there was something")
            await _write(kit, "a")
            await old.next(_SOON_S)
            await old.next(0)

    for removed in (False, True):
        error = await refused(
            ConflictError, overtaken(removed=removed), document=".plainstate/followers/f"
        )
        that("follower f" in str(error), "it says which")
        await kit.store.remove_follower("f")


async def _entered(kit: Kit, *args: Any, **options: Any) -> None:
    async with kit.store.watch(*args, **options):
        pass


def _shown(cursor: object) -> str:
    return cursor if isinstance(cursor, str) else repr(cursor)
