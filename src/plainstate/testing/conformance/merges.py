"""Sessions that several writers change at once."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

from plainstate.errors import ConflictError, NotFoundError
from plainstate.messages import AgentResponse, UserMessage
from plainstate.session import Session
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

__all__: list[str] = []


def _contents(session: Session) -> list[str]:
    return [turn.content for turn in session.turns()]


@case()
async def a_repeated_save_drops_nothing(kit: Kit) -> None:
    """What was done to a session since its save, which is then repeated, waits for the next one."""
    session = await kit.store.get_or_create_session("ada", "s")
    session.add_user_message("a")
    first = await kit.store.save_session(session, tx_id="t")
    session.add_user_message("b")
    session.set_metadata("k", 1)
    session.active_persona_id = "p"
    again = await kit.store.save_session(session, tx_id="t")
    equal((again.duplicate, again.version), (True, first.version))
    equal(_contents(await kit.store.load_session("s")), ["a"])
    await kit.store.save_session(session)
    stored = await kit.store.load_session("s")
    equal(_contents(stored), ["a", "b"])
    equal((stored.metadata, stored.active_persona_id), ({"k": 1}, "p"))


@case()
async def a_save_that_another_object_repeats_is_done(kit: Kit) -> None:
    """Of an object that was made anew, all counts as saved where its transaction was."""
    for _ in range(2):
        session = Session.with_id("ada", "s")
        session.add_user_message("a")
        await kit.store.save_session(session, tx_id="t")
    await kit.store.save_session(session)
    equal(_contents(await kit.store.load_session("s")), ["a"])


@case()
async def both_writers_messages_stay(kit: Kit) -> None:
    """Two that loaded a session and both added messages end with all of them, in one order."""
    await kit.store.append_user_message("s", "0", user_id="ada")
    a, b = await kit.store.load_session("s"), await kit.store.load_session("s")
    b.add_user_message("b1")
    b.add_agent_response("b2")
    a.add_user_message("a1")
    a.set_metadata("a", 1)
    b.set_metadata("b", 2)
    await kit.store.save_session(a)
    await kit.store.save_session(b)
    merged = await kit.store.load_session("s")
    equal(_contents(merged), ["0", "a1", "b1", "b2"])
    equal(merged.metadata, {"a": 1, "b": 2})
    stamps = [turn.timestamp for turn in merged.turns()]
    equal(stamps, sorted(set(stamps)))


@case()
async def a_saved_change_is_saved_once(kit: Kit) -> None:
    """Saving again without a change commits nothing; a later change comes on top."""
    session = Session.with_id("ada", "s")
    session.add_user_message("1")
    first = await kit.store.save_session(session)
    equal((first.seq, session.version), (1, first.version))
    again = await kit.store.save_session(session)
    equal((again.seq, again.version), (1, first.version))
    session.add_agent_response("2")
    equal((await kit.store.save_session(session)).seq, 2)
    equal(_contents(await kit.store.load_session("s")), ["1", "2"])


@case()
async def a_refused_save_can_be_repeated(kit: Kit) -> None:
    """A refused save keeps the recorded changes."""
    session = Session.with_id("ada", "s")
    session.add_user_message("1")
    await refused(NotFoundError, kit.store.update_session(session))
    await kit.store.save_session(session)
    equal(_contents(await kit.store.load_session("s")), ["1"])


@case()
async def a_field_set_by_both_is_a_conflict(kit: Kit) -> None:
    """A field that another writer set meanwhile is not overwritten, and nothing else is saved."""
    await kit.store.append_user_message("s", "0", user_id="ada")
    a, b = await kit.store.load_session("s"), await kit.store.load_session("s")
    a.set_active_seed("a")
    a.set_metadata("k", "a")
    b.set_active_seed("b")
    b.add_user_message("b1")
    loaded = b.version
    await kit.store.save_session(a)
    attributes = {"document": "sessions/s", "expected": loaded, "current": a.version}
    await refused(ConflictError, kit.store.save_session(b), **attributes)
    stored = await kit.store.load_session("s")
    equal((stored.active_seed_id, _contents(stored)), ("a", ["0"]))
    c = await kit.store.load_session("s")
    del c.metadata["k"]
    stored.set_metadata("k", "other")
    await kit.store.save_session(c)
    await refused(ConflictError, kit.store.save_session(stored))


@case()
async def the_same_value_is_no_conflict(kit: Kit) -> None:
    """Two that set a field to the same value agree."""
    await kit.store.append_user_message("s", "0", user_id="ada")
    a, b = await kit.store.load_session("s"), await kit.store.load_session("s")
    for session in (a, b):
        session.set_active_persona("p")
        session.set_metadata("k/~", [1, {"x": None}])
        await kit.store.save_session(session)
    equal((await kit.store.load_session("s")).metadata, {"k/~": [1, {"x": None}]})


@case()
async def a_removed_turn_must_still_be_the_last(kit: Kit) -> None:
    """Taking back a turn behind which another one was said is a conflict."""
    await kit.store.append_user_message("s", "0", user_id="ada")
    session = await kit.store.load_session("s")
    session.remove_last_turn()
    await kit.store.append_user_message("s", "1")
    await refused(ConflictError, kit.store.save_session(session), document="sessions/s")
    equal(_contents(await kit.store.load_session("s")), ["0", "1"])


@case()
async def a_turn_behind_another_array_counts(kit: Kit) -> None:
    """An answer given meanwhile also makes the removal of its question a conflict."""
    await kit.store.append_user_message("s", "question", user_id="ada")
    session = await kit.store.load_session("s")
    session.remove_last_turn()
    await kit.store.append_agent_response("s", "answer")
    await refused(ConflictError, kit.store.save_session(session), document="sessions/s")
    equal(_contents(await kit.store.load_session("s")), ["question", "answer"])


@case()
async def a_moved_turn_can_be_taken_back(kit: Kit) -> None:
    """A message that the store moved behind another's is still its writer's to take back."""
    await kit.store.append_user_message("s", "0", user_id="ada")
    a, b = await kit.store.load_session("s"), await kit.store.load_session("s")
    b.add_user_message("b")
    a.add_user_message("a")
    await kit.store.save_session(a)
    await kit.store.save_session(b)
    b.remove_last_turn()
    await kit.store.save_session(b)
    equal(_contents(await kit.store.load_session("s")), ["0", "a"])


@case()
async def deleted_meanwhile_is_a_conflict(kit: Kit) -> None:
    """Saving does not bring back a session that was deleted since it was loaded."""
    session = await kit.store.get_or_create_session("ada", "s")
    loaded = session.version
    session.add_user_message("x")
    await kit.store.delete_session("s")
    attributes = {"document": "sessions/s", "expected": loaded, "current": None}
    await refused(ConflictError, kit.store.save_session(session), **attributes)
    equal(await kit.store.load_session("s"), None)


@case()
async def racing_creators_share_one_session(kit: Kit) -> None:
    """Of many that get or create at once one creates, and all get the same."""
    sessions = await kit.together([lambda: kit.store.get_or_create_session("ada", "s")] * 12)
    equal(len({session.version for session in sessions}), 1)
    equal(len({session.created_at for session in sessions}), 1)
    that(all(session == sessions[0] for session in sessions), "they are the same")
    equal((await kit.store.append_user_message("s", "x")).seq, 2)


@case()
async def racing_appends_all_stay(kit: Kit) -> None:
    """Many that append at once, creating included, lose nothing and keep each one's order."""

    async def talk(who: int) -> None:
        for turn in range(5):
            await kit.store.append_user_message("s", f"{who}:{turn}", user_id="ada")

    await kit.together([lambda who=who: talk(who) for who in range(8)])  # type: ignore[misc]
    session = await kit.store.load_session("s")
    contents = _contents(session)
    equal(sorted(contents), sorted(f"{who}:{turn}" for who in range(8) for turn in range(5)))
    for who in range(8):
        own = [content for content in contents if content.startswith(f"{who}:")]
        equal(own, sorted(own))
    stamps = [turn.timestamp for turn in session.turns()]
    equal(len(set(stamps)), len(stamps))


@case(reopens=True)
async def merges_cross_handles(kit: Kit) -> None:
    """What one handle loaded, another may have changed."""
    other = kit.another()
    session = await kit.store.get_or_create_session("ada", "s")
    await other.append_user_message("s", "1")
    session.add_user_message("2")
    await kit.store.save_session(session)
    theirs = await other.load_session("s")
    equal(_contents(theirs), ["1", "2"])
    await other.delete_session("s")
    session.add_user_message("3")
    await refused(ConflictError, kit.store.save_session(session), current=None)


@case()
async def unknown_fields_are_kept(kit: Kit) -> None:
    """Fields of a newer writer, in the session and in its messages, survive every change."""
    tree = Session.with_id("ada", "s").to_tree() | {"x_new": {"deep": [1]}, "active_seed_id": None}
    message = {"content": "1", "timestamp": "2026-01-01T00:00:00.000000001Z", "x_more": [None]}
    await kit.store.save_json("sessions", "s", tree | {"user_messages": [message]})
    session = await kit.store.load_session("s")
    session.add_agent_response("2")
    session.set_metadata("k", 1)
    await kit.store.save_session(session)
    await kit.store.append_user_message("s", "3")
    stored = await kit.store.load_json("sessions", "s")
    equal((stored["x_new"], stored["active_seed_id"]), ({"deep": [1]}, None))
    equal(stored["user_messages"][0], message)
    equal(stored["created_at"], tree["created_at"])


@case()
async def updated_at_never_goes_back(kit: Kit) -> None:
    """`updated_at` is the latest of all writers' times."""
    future = datetime(2999, 1, 1, tzinfo=UTC)
    await kit.store.append_user_message("s", "1", timestamp=future, user_id="ada")
    session = await kit.store.load_session("s")
    session.set_metadata("k", 1)
    await kit.store.save_session(session)
    await kit.store.append_agent_response("s", "2", timestamp=datetime(2026, 1, 1, tzinfo=UTC))
    session = await kit.store.load_session("s")
    that(session.updated_at >= session.turns()[-1].timestamp > future, "it went on")


@case()
async def sessions_and_messages_can_be_copied(kit: Kit) -> None:
    """A session and its messages pickle and copy; a copy goes its own way."""
    messages = [UserMessage("1", metadata={"a": {"b": [1]}}), AgentResponse("2")]
    await kit.store.append_messages("s", messages, user_id="ada")
    session = await kit.store.load_session("s")
    for turn in session.turns():
        equal(copy.deepcopy(turn), turn)
        equal(pickle.loads(pickle.dumps(turn)), turn)  # noqa: S301 - made here
    for again in (copy.deepcopy(session), pickle.loads(pickle.dumps(session))):  # noqa: S301
        equal((again, again.version), (session, session.version))
        again.add_user_message("3")
        equal(len(session.turns()), 2)
