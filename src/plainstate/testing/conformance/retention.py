"""Retention: pruning by rules, the trash, the way back, and the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from plainstate.errors import (
    AlreadyExistsError,
    InvalidNameError,
    InvalidValueError,
    NotFoundError,
    UsageError,
)
from plainstate.messages import UserMessage
from plainstate.session import Session
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

__all__: list[str] = []

_DAY = timedelta(days=1)
_START = datetime(2026, 1, 1, tzinfo=UTC)


async def _sessions(kit: Kit, *names: str, user: str = "ada") -> None:
    """Sessions that were last changed one day after the other."""
    for number, name in enumerate(names):
        at = _START + number * _DAY
        session = Session.with_id(user, name)
        tree = {**session.to_tree(), "created_at": _text(at), "updated_at": _text(at)}
        await kit.store.save_json("sessions", name, tree)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


async def _living(kit: Kit) -> list[str]:
    return await kit.store.list_category("sessions")  # type: ignore[no-any-return]


def _ids(found: Any) -> list[str]:
    return [one.id for one in found]


@case()
async def nothing_is_pruned_without_a_rule(kit: Kit) -> None:
    """A call without a rule, or with a bad one, is refused and changes nothing."""
    await _sessions(kit, "a", "b")
    await refused(UsageError, kit.store.prune_sessions())
    await refused(UsageError, kit.store.prune_sessions(user_id="ada", dry_run=True))
    for bad in (-1, True, 1.0, "1"):
        await refused(InvalidValueError, kit.store.prune_sessions(keep_last=bad))
        await refused(InvalidValueError, kit.store.prune_sessions(max_bytes=bad))
    for age in (-_DAY, 7, _START.replace(tzinfo=None)):
        await refused(InvalidValueError, kit.store.prune_sessions(older_than=age))
        await refused(InvalidValueError, kit.store.empty_trash(older_than=age))
    equal(await _living(kit), ["a", "b"])
    equal(await kit.store.trash(), [])


@case()
async def old_sessions_are_pruned(kit: Kit) -> None:
    """Those that were last changed before a moment, or so long ago; oldest first."""
    await _sessions(kit, "a", "b", "c", "d")
    report = await kit.store.prune_sessions(older_than=_START + 2 * _DAY)
    equal(_ids(report.sessions), ["a", "b"])
    equal({one.rule for one in report.sessions}, {"older_than"})
    equal([one.updated_at for one in report.sessions], [_START, _START + _DAY])
    equal(await _living(kit), ["c", "d"])
    await kit.store.append_user_message("new", "Hello", user_id="ada")
    report = await kit.store.prune_sessions(older_than=timedelta(hours=1))
    equal(_ids(report.sessions), ["c", "d"])
    equal(await _living(kit), ["new"])


@case()
async def the_last_changed_sessions_are_kept(kit: Kit) -> None:
    """As many as asked for; a new message makes a session the last changed one."""
    await _sessions(kit, "a", "b", "c", "d")
    await kit.store.append_user_message("a", "Hello")
    report = await kit.store.prune_sessions(keep_last=2)
    equal(_ids(report.sessions), ["b", "c"])
    equal({one.rule for one in report.sessions}, {"keep_last"})
    equal(await _living(kit), ["a", "d"])
    equal(_ids((await kit.store.prune_sessions(keep_last=2)).sessions), [])
    equal(_ids((await kit.store.prune_sessions(keep_last=0)).sessions), ["d", "a"])


@case()
async def sessions_are_pruned_until_the_rest_fits(kit: Kit) -> None:
    """The oldest go until the bytes of those that stay are within the limit."""
    await _sessions(kit, "a", "b", "c", "d")
    size = (await kit.store.prune_sessions(keep_last=0, dry_run=True)).bytes // 4
    report = await kit.store.prune_sessions(max_bytes=2 * size, dry_run=True)
    equal(_ids(report.sessions), ["a", "b"])
    equal(report.bytes, 2 * size)
    equal({one.rule for one in report.sessions}, {"max_bytes"})
    await kit.store.append_user_message("d", "Hello " * 1000)
    report = await kit.store.prune_sessions(max_bytes=2 * size)
    equal(_ids(report.sessions), ["a", "b", "c", "d"])
    equal(await _living(kit), [])


@case()
async def keep_last_protects_from_the_other_rules(kit: Kit) -> None:
    """The newest stay, however old or large they are; the others obey the other rules."""
    await _sessions(kit, "a", "b", "c", "d")
    report = await kit.store.prune_sessions(older_than=_START + 9 * _DAY, keep_last=3, dry_run=True)
    equal(_ids(report.sessions), ["a"])
    report = await kit.store.prune_sessions(max_bytes=0, keep_last=1, dry_run=True)
    equal(_ids(report.sessions), ["a", "b", "c"])
    report = await kit.store.prune_sessions(older_than=_START + _DAY, keep_last=2, dry_run=True)
    equal(_ids(report.sessions), ["a"])
    report = await kit.store.prune_sessions(older_than=_START + _DAY, max_bytes=0, dry_run=True)
    equal([one.rule for one in report.sessions], ["older_than", *["max_bytes"] * 3])


@case()
async def one_users_sessions_are_pruned(kit: Kit) -> None:
    """With `user_id`, rules and report are about that user's sessions only."""
    await _sessions(kit, "a", "b", user="ada")
    await _sessions(kit, "x", "y", "z", user="eve")
    report = await kit.store.prune_sessions(keep_last=1, user_id="eve")
    equal(_ids(report.sessions), ["x", "y"])
    equal(await _living(kit), ["a", "b", "z"])


@case()
async def a_dry_run_changes_nothing(kit: Kit) -> None:
    """It reports what the same call would do."""
    await _sessions(kit, "a", "b", "c")
    at = (await kit.store.changes("latest")).cursor
    dry = await kit.store.prune_sessions(keep_last=1, dry_run=True)
    equal([dry.dry_run, dry.run, len(await kit.store.changes(at))], [True, None, 0])
    equal(await kit.store.trash(), [])
    done = await kit.store.prune_sessions(keep_last=1)
    equal(done.sessions, dry.sessions)
    that(done.run and not done.dry_run, "it was done")


@case()
async def pruning_is_told_as_a_delete(kit: Kit) -> None:
    """The feed tells that the session went, and nothing of the trash; restoring creates it."""
    await _sessions(kit, "a")
    at = (await kit.store.changes("latest")).cursor
    await kit.store.prune_sessions(keep_last=0)
    (change,) = page = await kit.store.changes(at)
    equal([change.action, str(change.document), change.moved], ["delete", "sessions/a", None])
    equal(await kit.store.list_categories(), [])
    await kit.store.restore_session("a")
    (change,) = page = await kit.store.changes(page.cursor)
    equal([change.action, str(change.document), change.moved], ["create", "sessions/a", None])
    await kit.store.prune_sessions(keep_last=0)
    await kit.store.empty_trash(older_than=timedelta(0))
    actions = [change.action for change in await kit.store.changes(page.cursor)]
    equal(actions, ["delete"])


@case()
async def a_pruned_session_comes_back_whole(kit: Kit) -> None:
    """Until then it is absent; then every message is there, and it can be written."""
    await kit.store.append_user_message("a", "Hello", user_id="ada", metadata={"x": [1]})
    before = await kit.store.load_json("sessions", "a")
    await kit.store.prune_sessions(keep_last=0)
    equal(await kit.store.load_session("a"), None)
    (trashed,) = await kit.store.trash()
    equal([trashed.id, trashed.user_id, trashed.damaged], ["a", "ada", None])
    that(trashed.bytes > 0 and trashed.updated_at is not None, "its facts are told")
    await kit.store.restore_session("a")
    equal(await kit.store.load_json("sessions", "a"), before)
    equal(await kit.store.trash(), [])
    await kit.store.append_agent_response("a", "Hi")
    equal((await kit.store.load_session("a")).exchange_count(), 1)


@case()
async def a_name_can_be_in_the_trash_twice(kit: Kit) -> None:
    """The last pruned comes back first, another one by its run, none over a living one."""
    runs = []
    for text in ("first", "second"):
        await kit.store.append_messages("a", [UserMessage(text)], user_id="ada")
        runs.append((await kit.store.prune_sessions(keep_last=0)).run)
    equal([one.run for one in await kit.store.trash()], runs[::-1])
    await kit.store.restore_session("a")
    equal((await kit.store.load_session("a")).turns()[0].content, "second")
    error = await refused(AlreadyExistsError, kit.store.restore_session("a"), document="sessions/a")
    that("delete" in error.hint, "it says what to do")
    equal([one.run for one in await kit.store.trash()], runs[:1])
    await kit.store.delete_session("a")
    await refused(NotFoundError, kit.store.restore_session("a", run=runs[1]))
    await kit.store.restore_session("a", run=runs[0])
    equal((await kit.store.load_session("a")).turns()[0].content, "first")


@case()
async def what_is_not_in_the_trash_cannot_be_restored(kit: Kit) -> None:
    """An unknown session, an unknown run and a bad name are refused."""
    await refused(NotFoundError, kit.store.restore_session("a"), document="sessions/a")
    await refused(NotFoundError, kit.store.restore_session("a", run="none"))
    await refused(InvalidNameError, kit.store.restore_session("../a"))
    await refused(InvalidNameError, kit.store.restore_session("a", run="../a"))


@case()
async def the_trash_keeps_for_a_grace_time(kit: Kit) -> None:
    """Emptying spares what was pruned within a week, unless told otherwise; then it is gone."""
    await _sessions(kit, "a", "b")
    await kit.store.prune_sessions(keep_last=1)
    equal((await kit.store.empty_trash()).sessions, [])
    equal((await kit.store.empty_trash(older_than=datetime.now(UTC) - _DAY)).sessions, [])
    equal(_ids(await kit.store.trash()), ["a"])
    dry = await kit.store.empty_trash(older_than=timedelta(0), dry_run=True)
    equal([_ids(dry.sessions), dry.dry_run], [["a"], True])
    that(dry.bytes > 0, "it tells the bytes")
    equal(_ids(await kit.store.trash()), ["a"])
    done = await kit.store.empty_trash(older_than=timedelta(0))
    equal(done.sessions, dry.sessions)
    equal(await kit.store.trash(), [])
    await refused(NotFoundError, kit.store.restore_session("a"))
    equal((await kit.store.empty_trash(older_than=timedelta(0))).sessions, [])
    equal(await _living(kit), ["b"])


@case()
async def what_is_no_session_is_never_pruned(kit: Kit) -> None:
    """Other documents are left alone, and a session that cannot be read is named."""
    await _sessions(kit, "a")
    kit.put_by_hand("odd", {"not": "a session"})
    await kit.store.save_markdown("sessions", "note", "x")
    await kit.store.save_json("plans", "p", [])
    report = await kit.store.prune_sessions(keep_last=0)
    equal(_ids(report.sessions), ["a"])
    equal(list(report.damaged), ["odd"])
    equal(await _living(kit), ["note", "odd"])
    equal(await kit.store.load_json("plans", "p"), [])


@case()
async def pruning_and_writing_at_once_loses_nothing(kit: Kit) -> None:
    """Each message that was acknowledged is in the session, in the trash or in both."""
    count = 20

    async def write() -> int:
        for number in range(count):
            await kit.store.append_user_message("s", str(number), user_id="ada")
        return 0

    async def prune() -> int:
        done = 0
        for _ in range(count):
            report = await kit.store.prune_sessions(older_than=timedelta(0))
            done += len(report.sessions)
        return done

    await kit.together([write, prune])
    found = []
    if await kit.store.exists("sessions", "s"):
        await kit.store.prune_sessions(keep_last=0)
    for trashed in await kit.store.trash():
        await kit.store.restore_session("s", run=trashed.run)
        found += [turn.content for turn in (await kit.store.load_session("s")).turns()]
        await kit.store.delete_session("s")
    equal(sorted(found, key=int), [str(number) for number in range(count)])


@case(reopens=True)
async def the_trash_outlives_the_store(kit: Kit) -> None:
    """A pruned session is in the trash after closing and opening again."""
    await _sessions(kit, "a")
    await kit.store.prune_sessions(keep_last=0)
    await kit.reopen()
    equal(_ids(await kit.store.trash()), ["a"])
    await kit.store.restore_session("a")
    await kit.reopen()
    equal(await _living(kit), ["a"])
    equal(await kit.store.trash(), [])
