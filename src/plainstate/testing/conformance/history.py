"""The past: earlier states, undo, and forks of sessions."""

# ruff: noqa: FBT003 - True is a JSON value

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidNameError,
    InvalidValueError,
    NotFoundError,
    UsageError,
)
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

if TYPE_CHECKING:
    from plainstate.session import Session

__all__: list[str] = []

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def _push(value: Any) -> list[dict[str, Any]]:
    return [{"op": "add", "path": "/n/-", "value": value}]


async def _talk(kit: Kit, session_id: str = "s") -> Session:
    """A session of two questions and two answers."""
    for number, text in enumerate(("q1", "a1", "q2", "a2")):
        append = "append_user_message" if text[0] == "q" else "append_agent_response"
        when = _BEGAN + timedelta(minutes=number)
        owner = {"user_id": "ada"} if not number else {}
        await getattr(kit.store, append)(session_id, text, timestamp=when, **owner)
    session: Session = await kit.store.load_session(session_id)
    return session


def _texts(session: Session) -> list[str]:
    return [turn.content for turn in session.turns()]


@case()
async def history_tells_what_was_done(kit: Kit) -> None:
    """The transactions of a document, newest first, each with what it did."""
    async with kit.store.transaction("c", "d", tx_id="t-1") as doc:
        doc.value = {"n": [], "done": False}
    await kit.store.patch("c", "d", _push(1), tx_id="t-2")
    commit = await kit.store.patch("c", "d", [{"op": "replace", "path": "/done", "value": True}])
    found = await kit.store.history("c", "d")
    said = [(one.seq, one.action, one.what) for one in found]
    done = [(3, "update", "replaced /done"), (2, "update", "added /n/-")]
    equal(said[:2], done)
    equal((found[0].version, found[0].tx_id), (commit.version, commit.tx_id))
    equal((found[1].tx_id, found[1].patch), ("t-2", _push(1)))
    that(found[0].time >= found[1].time, "times are in order")
    equal([one.seq for one in await kit.store.history("c", "d", limit=1)], [3])
    equal(await kit.store.history("c", "d", limit=0), [])
    await refused(InvalidValueError, kit.store.history("c", "d", limit=-1))


@case()
async def history_of_nothing_is_empty(kit: Kit) -> None:
    """A document that never was has no past; a bad name is refused."""
    equal(await kit.store.history("c", "none"), [])
    await refused(InvalidNameError, kit.store.history("c", "../x"))
    await refused(NotFoundError, kit.store.undo("c", "none"))
    await refused(NotFoundError, kit.store.read("c", "none", at=1))


@case()
async def an_earlier_state_is_read(kit: Kit) -> None:
    """By its number, and by its version; reading changes nothing."""
    await kit.store.save_json("c", "d", {"n": []})
    first = await kit.store.read("c", "d")
    second = await kit.store.patch("c", "d", _push(1))
    await kit.store.patch("c", "d", _push({"two": 2}))
    for _ in range(2):
        equal(await kit.store.read("c", "d", at=1), first)
        equal(await kit.store.read("c", "d", at=first.version), first)
        equal((await kit.store.read("c", "d", at=second.version)).value, {"n": [1]})
        equal(await kit.store.read("c", "d", at=0), None)
        newest = await kit.store.read("c", "d")
        equal(await kit.store.read("c", "d", at=3), newest)
        equal(await kit.store.read("c", "d", at=newest.version), newest)


@case()
async def a_state_that_is_not_there_is_refused(kit: Kit) -> None:
    """A number or version that the document never had is not found; rubbish is refused."""
    await kit.store.save_json("c", "d", 1)
    for unknown in (2, "1-00000000", "", "x"):
        await refused(NotFoundError, kit.store.read("c", "d", at=unknown), document="c/d")
        await refused(NotFoundError, kit.store.undo("c", "d", to=unknown), document="c/d")
    for bad in (-1, True, 1.5, b"1"):
        await refused(InvalidValueError, kit.store.read("c", "d", at=bad))
    equal(await kit.store.load_json("c", "d"), 1)


@case()
async def an_earlier_session_is_loaded(kit: Kit) -> None:
    """`load_session` reads earlier states, too."""
    await _talk(kit)
    equal(_texts(await kit.store.load_session("s", at=3)), ["q1", "a1", "q2"])
    await refused(NotFoundError, kit.store.load_session("s", at=5))


@case()
async def undo_takes_the_last_transaction_back(kit: Kit) -> None:
    """As a new transaction; undoing that does it again."""
    await kit.store.save_json("c", "d", {"n": [], "long": "x" * 500})
    await kit.store.patch("c", "d", _push(1))
    undone = await kit.store.undo("c", "d")
    equal((undone.seq, (await kit.store.read("c", "d")).version), (3, undone.version))
    equal((await kit.store.load_json("c", "d"))["n"], [])
    await kit.store.undo("c", "d")
    equal((await kit.store.load_json("c", "d"))["n"], [1])


@case()
async def undo_goes_back_to_any_state(kit: Kit) -> None:
    """`to` names it; nothing is done where it is the state already."""
    await kit.store.save_json("c", "d", {"n": [], "long": "x" * 500})
    second = await kit.store.patch("c", "d", _push(1))
    await kit.store.patch("c", "d", _push(2))
    commit = await kit.store.undo("c", "d", to=second.version)
    equal((commit.seq, (await kit.store.load_json("c", "d"))["n"]), (4, [1]))
    equal((await kit.store.undo("c", "d", to=2)).seq, 4)
    await kit.store.undo("c", "d", to=1)
    equal((await kit.store.load_json("c", "d"))["n"], [])


@case()
async def undo_may_be_retried_and_guarded(kit: Kit) -> None:
    """The same id undoes once, and `if_version` guards what others wrote."""
    first = await kit.store.save_json("c", "d", {"n": [], "long": "x" * 500})
    second = await kit.store.patch("c", "d", _push(1))
    call = kit.store.undo("c", "d", if_version=first.version)
    await refused(ConflictError, call, expected=first.version, current=second.version)
    done = await kit.store.undo("c", "d", if_version=second.version, tx_id="t-1")
    again = await kit.store.undo("c", "d", if_version=second.version, tx_id="t-1")
    equal((done.duplicate, again.duplicate, again.version), (False, True, done.version))
    equal((await kit.store.load_json("c", "d"))["n"], [])


@case()
async def undo_of_a_creation_deletes(kit: Kit) -> None:
    """And whatever was there before the first transaction is nothing."""
    async with kit.store.transaction("c", "d") as doc:
        doc.value = 1
    await kit.store.undo("c", "d", to=0)
    equal(await kit.store.exists("c", "d"), False)
    equal((await kit.store.undo("c", "d", to=0)).version, "")


@case()
async def undo_knows_markdown(kit: Kit) -> None:
    """Appended text is taken back; where there are both kinds, one must be chosen."""
    await kit.store.append_markdown("c", "d", "one\n")
    await kit.store.append_markdown("c", "d", "two\n")
    equal((await kit.store.history("c", "d", limit=1))[0].what, "appended text")
    await kit.store.undo("c", "d")
    equal(await kit.store.load_markdown("c", "d"), "one\n")
    await kit.store.save_json("c", "d", 1)
    await refused(UsageError, kit.store.undo("c", "d"))
    equal((await kit.store.history("c", "d", kind="json"))[0].seq, 1)


@case()
async def undo_of_a_message_keeps_time_going(kit: Kit) -> None:
    """A session's `updated_at` does not go back, and it goes on behind what is left."""
    before = await _talk(kit)
    await kit.store.undo("sessions", "s")
    after = await kit.store.load_session("s")
    equal(_texts(after), ["q1", "a1", "q2"])
    that(after.updated_at >= before.updated_at, "updated_at went back")
    await kit.store.append_agent_response("s", "better")
    equal(_texts(await kit.store.load_session("s")), ["q1", "a1", "q2", "better"])
    said = [one.what for one in await kit.store.history("sessions", "s")]
    equal(said[0], "appended agent response")


@case()
async def a_renamed_document_takes_its_past_along(kit: Kit) -> None:
    """Its numbers go on, and a state before the rename is told under the new name."""
    await kit.store.append_markdown("c", "d", "one\n")
    await kit.store.append_markdown("c", "d", "two\n")
    commit = await kit.store.rename("c", "d", "e")
    equal(commit.seq, 3)
    equal((await kit.store.append_markdown("c", "e", "three\n")).seq, 4)
    equal(await kit.store.load_markdown("c", "e"), "one\ntwo\nthree\n")
    await kit.store.undo("c", "e")
    equal(await kit.store.load_markdown("c", "e"), "one\ntwo\n")


@case()
async def a_fork_begins_at_any_message(kit: Kit) -> None:
    """It holds the messages before, with their times, and says where it came from."""
    source = await _talk(kit)
    for count in range(5):
        fork = await kit.store.fork_session("s", at=count, new_id=f"f-{count}")
        stored = await kit.store.load_session(f"f-{count}")
        equal(stored, fork)
        equal(stored.version, fork.version)
        equal(stored.turns(), source.turns()[:count])
        equal((stored.id, stored.user_id), (f"f-{count}", "ada"))
        origin = {"session_id": "s", "messages": count, "version": source.version}
        equal(stored.metadata["forked_from"], origin)
        that(stored.updated_at >= source.updated_at, "the fork is newer")
    equal(await kit.store.load_session("s"), source)


@case()
async def a_fork_is_independent(kit: Kit) -> None:
    """What is done to one of the two does not show in the other."""
    await _talk(kit)
    fork = await kit.store.fork_session("s", at=3)
    that(fork.id != "s", "it has an id of its own")
    await kit.store.append_agent_response(fork.id, "other")
    await kit.store.append_user_message("s", "q3")
    fork.add_user_message("saved")
    await kit.store.save_session(fork)
    equal(_texts(await kit.store.load_session("s")), ["q1", "a1", "q2", "a2", "q3"])
    texts = ["q1", "a1", "q2", "other", "saved"]
    equal(_texts(await kit.store.load_session(fork.id)), texts)
    await kit.store.delete_session("s")
    equal(_texts(await kit.store.load_session(fork.id)), texts)


@case()
async def a_fork_of_an_earlier_state(kit: Kit) -> None:
    """A version forks the session as it was then, also what was taken back since."""
    session = await _talk(kit)
    session.remove_last_turn()
    await kit.store.save_session(session)
    fork = await kit.store.fork_session("s", at=(await kit.store.load_session("s", at=4)).version)
    equal(_texts(fork), ["q1", "a1", "q2", "a2"])


@case()
async def a_fork_takes_no_other_place(kit: Kit) -> None:
    """A taken id, an absent session and a wrong number are refused, and nothing is made."""
    await _talk(kit)
    await _talk(kit, "t")
    store = kit.store
    await refused(AlreadyExistsError, store.fork_session("s", new_id="t"), document="sessions/t")
    await refused(AlreadyExistsError, store.fork_session("s", new_id="s"), document="sessions/s")
    await refused(NotFoundError, store.fork_session("none"), document="sessions/none")
    for bad in (-1, 5, True, 1.5):
        await refused(InvalidValueError, store.fork_session("s", at=bad, new_id="u"))
    await refused(NotFoundError, store.fork_session("s", at="1-00000000", new_id="u"))
    await refused(InvalidNameError, store.fork_session("s", new_id="../u"))
    await refused(InvalidValueError, store.fork_session("s", new_id="u", user_id=""))
    equal(await store.exists("sessions", "u"), False)
    fork = await store.fork_session("s", new_id="u", user_id="bob")
    equal((fork.user_id, len(fork.turns())), ("bob", 4))
