"""Sessions: everything the ancestor's could do, and the store's calls for them."""

# ruff: noqa: FBT003 - True is a JSON value

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from plainstate.errors import (
    DamagedError,
    InvalidNameError,
    InvalidValueError,
    NotFoundError,
    OwnershipError,
)
from plainstate.messages import AgentResponse, UserMessage
from plainstate.session import Session, SessionId
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

__all__: list[str] = []

_START = datetime(2026, 1, 1, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return _START + timedelta(seconds=seconds)


# --- the ancestor's own tests ---------------------------------------------------


@case()
async def session_creation_and_persistence(kit: Kit) -> None:
    """A session with a message is saved and loaded."""
    session = Session.new("user-123")
    session.add_user_message("Hello")
    await kit.store.save_session(session)
    loaded = await kit.store.load_session(session.id)
    equal(loaded.user_id, "user-123")
    equal(len(loaded.user_messages), 1)


@case()
async def session_list_sorts_by_updated(kit: Kit) -> None:
    """The session changed last comes first."""
    for number in range(3):
        session = Session.new(f"user-{number}")
        session.add_user_message(f"Message {number}", timestamp=_at(10**9 + number))
        await kit.store.save_session(session)
    listed = await kit.store.list_sessions()
    equal([summary.user_id for summary in listed], ["user-2", "user-1", "user-0"])


@case()
async def delete_session(kit: Kit) -> None:
    """A deleted session is gone, and a second delete says so."""
    session = Session.new("user-123")
    await kit.store.save_session(session)
    equal(await kit.store.delete_session(session.id), True)
    equal(await kit.store.load_session(session.id), None)
    equal(await kit.store.delete_session(session.id), False)


@case()
async def get_or_create_session_existing(kit: Kit) -> None:
    """An existing session is given to its owner."""
    existing = Session.new("user-123")
    existing.add_user_message("Original message")
    await kit.store.save_session(existing)
    retrieved = await kit.store.get_or_create_session("user-123", existing.id)
    equal(retrieved.id, existing.id)
    equal(len(retrieved.user_messages), 1)


@case()
async def get_or_create_session_new(kit: Kit) -> None:
    """Without an id a new session is made, and stored."""
    session = await kit.store.get_or_create_session("user-456")
    equal((session.user_id, session.user_messages), ("user-456", ()))
    equal(await kit.store.load_session(session.id), session)
    that(
        (await kit.store.get_or_create_session("user-456")).id != session.id, "each has its own id"
    )


# --- the session itself -----------------------------------------------------------


@case()
async def a_new_session_is_empty(kit: Kit) -> None:
    """Both constructors give an empty session, which comes back as it was."""
    before = datetime.now(UTC)
    for session in (Session.new("ada"), Session.with_id("ada", SessionId("s-1"))):
        equal((session.user_id, session.version, session.metadata), ("ada", None, {}))
        equal((session.user_messages, session.agent_responses, session.turns()), ((), (), []))
        equal((session.active_seed_id, session.active_persona_id), (None, None))
        equal((session.is_empty(), session.exchange_count()), (True, 0))
        that(before <= session.created_at == session.updated_at, "it begins now")
        await kit.store.save_session(session)
        loaded = await kit.store.load_session(session.id)
        equal(loaded, session)
        equal(loaded.version, session.version)
        that(isinstance(loaded.id, SessionId), "an id is a SessionId")
    equal(await kit.store.list_category("sessions"), sorted([session.id, *await _others(kit)]))


async def _others(kit: Kit) -> list[str]:
    return [summary.id for summary in await kit.store.list_sessions() if summary.id != "s-1"]


@case()
async def a_session_refuses_bad_input(kit: Kit) -> None:
    """Ids, owners and fields are checked when they are set."""

    async def make(user_id: object, session_id: object) -> None:
        Session.with_id(user_id, session_id)  # type: ignore[arg-type]

    await refused(InvalidNameError, make("ada", "../x"))
    await refused(InvalidValueError, make("", "s"), pointer="/user_id")
    await refused(InvalidValueError, make(None, "s"), pointer="/user_id")
    session = await kit.store.get_or_create_session("ada", "s")

    async def set_seed() -> None:
        session.set_active_seed(7)

    async def set_metadata() -> None:
        session.set_metadata("a", {"b": float("nan")})

    await refused(InvalidValueError, set_seed(), pointer="/active_seed_id")
    await refused(InvalidValueError, set_metadata(), pointer="/a/b")
    equal(await kit.store.load_session("s"), session)


@case()
async def every_field_is_saved(kit: Kit) -> None:
    """Messages with all their fields, seed, persona and metadata come back, and can be cleared."""
    session = Session.with_id("ada", "s")
    session.add_user_message("q", timestamp=_at(1), metadata={"tokens": 3})
    response = AgentResponse("a", "s", "seed", "plan", True, _at(2), {"tool": ["x"]})
    session.add_agent_response(response)
    session.set_active_seed("seed")
    session.set_active_persona("persona")
    session.set_metadata("title", "T")
    await kit.store.save_session(session)
    loaded = await kit.store.load_session("s")
    equal(loaded.user_messages, (UserMessage("q", _at(1), {"tokens": 3}),))
    equal(loaded.agent_responses, (response,))
    equal((loaded.active_seed_id, loaded.active_persona_id), ("seed", "persona"))
    equal((loaded.get_metadata("title"), loaded.get_metadata("none")), ("T", None))
    loaded.set_active_seed(None)
    loaded.active_persona_id = None
    del loaded.metadata["title"]
    await kit.store.save_session(loaded)
    cleared = await kit.store.load_session("s")
    equal((cleared.active_seed_id, cleared.active_persona_id, cleared.metadata), (None, None, {}))


@case()
async def attributes_are_saved_or_refused(kit: Kit) -> None:
    """What can be changed through a public attribute is saved; the rest raises."""
    session = await kit.store.get_or_create_session("ada", "s")
    session.add_user_message("q", metadata={"a": [1], "b": {}})
    session.add_agent_response("a")
    session.metadata["deep"] = {"list": [1]}
    session.active_seed_id = "seed"
    session.active_persona_id = "persona"
    await kit.store.save_session(session)
    session = await kit.store.load_session("s")
    session.metadata["deep"]["list"].append(2)
    await kit.store.save_session(session)
    session = await kit.store.load_session("s")
    equal(session.metadata, {"deep": {"list": [1, 2]}})
    session.metadata = {"other": 1}
    await kit.store.update_session(session)
    session = await kit.store.load_session("s")
    equal((session.metadata, session.active_seed_id), ({"other": 1}, "seed"))
    for name in ("id", "user_id", "created_at", "updated_at", "user_messages", "agent_responses"):
        _raises(lambda name=name: setattr(session, name, None), name)
    _raises(lambda: setattr(session, "turn_count", 1), "an unknown attribute")
    message = session.turns()[0]
    _raises(lambda: setattr(message, "content", "x"), "content")
    _raises(lambda: message.metadata["a"].append(2), "a list in a message")
    _raises(lambda: message.metadata["b"].update(x=1), "an object in a message")
    _raises(lambda: message.metadata.pop("a"), "metadata of a message")
    _raises(lambda: session.user_messages.append(message), "the messages")


def _raises(change: object, what: str) -> None:
    try:
        change()  # type: ignore[operator]
    except (AttributeError, TypeError):
        return
    raise AssertionError(f"{what} can be changed, and is not saved")


@case()
async def turns_are_in_order(kit: Kit) -> None:
    """`turns` gives all messages as they were said; exchanges count the answered ones."""
    said = [UserMessage("1"), AgentResponse("2"), AgentResponse("3"), UserMessage("4")]
    await kit.store.append_messages("s", said, user_id="ada")
    session = await kit.store.load_session("s")
    session.add_user_message("5")
    session.add_agent_response("6")
    await kit.store.save_session(session)
    session = await kit.store.load_session("s")
    equal([turn.content for turn in session.turns()], list("123456"))
    equal([turn.content for turn in session.user_messages], list("145"))
    equal((session.exchange_count(), session.is_empty()), (3, False))


@case()
async def times_strictly_increase(kit: Kit) -> None:
    """A turn is later than the one before, also if its timestamp was old or equal."""
    await kit.store.append_user_message("s", "1", timestamp=_at(100), user_id="ada")
    await kit.store.append_agent_response("s", "2", timestamp=_at(100))
    await kit.store.append_user_message("s", "3", timestamp=_at(-5))
    batch = [AgentResponse("4", timestamp=_at(200)), UserMessage("5", _at(150))]
    await kit.store.append_messages("s", batch)
    session = await kit.store.load_session("s")
    session.add_user_message("6", timestamp=_at(0))
    session.add_user_message("7", timestamp=_at(300))
    await kit.store.save_session(session)
    turns = (await kit.store.load_session("s")).turns()
    equal([turn.content for turn in turns], list("1234567"))
    micro = timedelta(microseconds=1)
    equal(
        [turn.timestamp for turn in turns],
        [
            *(_at(100), _at(100) + micro, _at(100) + 2 * micro),
            *(_at(200), _at(200) + micro, _at(200) + 2 * micro, _at(300)),
        ],
    )


@case()
async def times_follow_nanoseconds(kit: Kit) -> None:
    """Behind a turn with nanoseconds comes a later one, and those nanoseconds are kept."""
    stamp = "2026-01-01T00:00:00.123456789Z"
    tree = Session.with_id("ada", "s").to_tree()
    tree["user_messages"] = [{"content": "1", "timestamp": stamp}]
    await kit.store.save_json("sessions", "s", tree)
    await kit.store.append_agent_response("s", "2", timestamp=_at(0))
    session = await kit.store.load_session("s")
    session.add_user_message("3", timestamp=_at(0.123456))
    await kit.store.save_session(session)
    tree = await kit.store.load_json("sessions", "s")
    equal(tree["user_messages"][0]["timestamp"], stamp)
    equal(tree["agent_responses"][0]["timestamp"], "2026-01-01T00:00:00.123457Z")
    equal(tree["user_messages"][1]["timestamp"], "2026-01-01T00:00:00.123458Z")


@case()
async def the_last_turn_can_be_taken_back(kit: Kit) -> None:
    """`remove_last_turn` takes turns back one by one, stored or not."""
    said = [UserMessage("1"), AgentResponse("2"), UserMessage("3")]
    await kit.store.append_messages("s", said, user_id="ada")
    session = await kit.store.load_session("s")
    session.add_agent_response("4")
    equal([session.remove_last_turn().content for _ in range(2)], ["4", "3"])
    session.add_user_message("3b")
    await kit.store.save_session(session)
    session = await kit.store.load_session("s")
    equal([turn.content for turn in session.turns()], ["1", "2", "3b"])
    equal([session.remove_last_turn().content for _ in range(3)], ["3b", "2", "1"])
    equal((session.remove_last_turn(), session.is_empty()), (None, True))
    await kit.store.save_session(session)
    equal((await kit.store.load_session("s")).turns(), [])


@case()
async def the_turn_taken_back_is_the_last(kit: Kit) -> None:
    """It is the last of `turns`, also where the ancestor wrote equal or falling times."""
    for times in (("00", "00"), ("05", "03"), ("03", "05")):
        tree = Session.with_id("ada", "s").to_tree()
        stamps = [f"2026-01-01T00:00:{second}Z" for second in times]
        tree["user_messages"] = [{"content": stamp, "timestamp": stamp} for stamp in stamps]
        tree["agent_responses"] = [{"content": "agent", "timestamp": "2026-01-01T00:00:00Z"}]
        await kit.store.save_json("sessions", "s", tree)
        session = await kit.store.load_session("s")
        last = session.turns()[-1]
        equal(session.remove_last_turn(), last)
        await kit.store.save_session(session)
        that(last not in (await kit.store.load_session("s")).turns(), "it is gone")


# --- the store's calls --------------------------------------------------------------


@case()
async def an_append_can_create(kit: Kit) -> None:
    """With `user_id` an append creates the session; without, the session must exist."""
    await refused(NotFoundError, kit.store.append_user_message("s", "x"), document="sessions/s")
    await refused(NotFoundError, kit.store.append_agent_response("s", "x"), document="sessions/s")
    equal(await kit.store.list_sessions(), [])
    commit = await kit.store.append_user_message("s", "x", user_id="ada", timestamp=_at(0))
    equal(commit.seq, 1)
    session = await kit.store.load_session("s")
    equal((session.user_id, session.version), ("ada", commit.version))
    that(session.created_at <= session.user_messages[0].timestamp <= session.updated_at, "in order")


@case()
async def a_batch_is_one_transaction(kit: Kit) -> None:
    """Messages of one batch are appended in order, all or none."""
    batch = [UserMessage("1"), AgentResponse("2"), UserMessage("3", metadata={"k": 1})]
    commit = await kit.store.append_messages("s", iter(batch), user_id="ada")
    equal(commit.seq, 1)
    equal((await kit.store.append_messages("s", batch)).seq, 2)
    before = await kit.store.load_session("s")
    equal([turn.content for turn in before.turns()], ["1", "2", "3"] * 2)
    for bad in ([UserMessage("4"), "5"], [UserMessage("4"), AgentResponse("\ud800")], [], "text"):
        await refused(InvalidValueError, kit.store.append_messages("s", bad))
    await refused(InvalidValueError, kit.store.append_messages("s", UserMessage("4")))
    equal(await kit.store.load_session("s"), before)


@case()
async def messages_are_checked(kit: Kit) -> None:
    """A message's fields have the types that its readers rely on, and no argument is dropped."""
    await kit.store.append_user_message("s", "x", user_id="ada")
    before = await kit.store.load_session("s")
    for message in (
        AgentResponse("x", session_id=5),  # type: ignore[arg-type]
        AgentResponse("x", seed_id=["seed"]),  # type: ignore[arg-type]
        AgentResponse("x", phase_reached=1),  # type: ignore[arg-type]
        AgentResponse("x", evaluation_passed="yes"),  # type: ignore[arg-type]
        UserMessage("x", metadata=[1]),  # type: ignore[arg-type]
        UserMessage("x", timestamp="2026-01-01T00:00:00Z"),  # type: ignore[arg-type]
    ):
        await refused(InvalidValueError, kit.store.append_messages("s", [message]))
    call = kit.store.append_user_message("s", UserMessage("x"), metadata={"a": 1})
    await refused(InvalidValueError, call)
    call = kit.store.append_agent_response("s", AgentResponse("x"), timestamp=_at(0))
    await refused(InvalidValueError, call)
    equal(await kit.store.load_session("s"), before)


@case()
async def a_session_has_one_owner(kit: Kit) -> None:
    """Nobody gets or writes another user's session by its id, unless they say so."""
    await kit.store.append_user_message("s", "x", user_id="ada")
    before = await kit.store.load_session("s")
    attributes = {"session_id": "s", "owner": "ada", "user_id": "bob"}
    foreign = Session.with_id("bob", "s")
    foreign.add_user_message("mine")
    for call in (
        kit.store.get_or_create_session("bob", "s"),
        kit.store.append_user_message("s", "y", user_id="bob"),
        kit.store.append_messages("s", [AgentResponse("y")], user_id="bob"),
        kit.store.save_session(foreign),
    ):
        await refused(OwnershipError, call, **attributes)
    given = await kit.store.get_or_create_session("bob", "s", allow_other_user=True)
    equal(given, before)
    equal(await kit.store.load_session("s"), before)


@case()
async def update_needs_a_session(kit: Kit) -> None:
    """`update_session` does not create."""
    session = Session.with_id("ada", "s")
    await refused(NotFoundError, kit.store.update_session(session), document="sessions/s")
    await kit.store.save_session(session)
    session.set_metadata("a", 1)
    await kit.store.update_session(session)
    equal((await kit.store.load_session("s")).metadata, {"a": 1})


@case()
async def a_list_tells_the_summary(kit: Kit) -> None:
    """A summary has counts, times, title and preview; a list can be filtered and cut."""
    first = Session.with_id("ada", "s-1")
    first.add_user_message("  Hello,\n world  " + "x" * 100)
    first.add_agent_response("Hi")
    first.set_metadata("title", "Greeting")
    first.set_active_seed("seed")
    await kit.store.save_session(first)
    await kit.store.append_user_message("s-2", "later", user_id="bob", timestamp=_at(10**9))
    await kit.store.append_user_message("s-2", "most", timestamp=_at(10**9 + 1))
    two, one = await kit.store.list_sessions()
    equal((one.id, one.user_id, one.message_count), ("s-1", "ada", 2))
    equal((one.title, one.active_seed_id, one.damaged), ("Greeting", "seed", None))
    equal((one.created_at, one.updated_at), (first.created_at, first.updated_at))
    that(one.preview.startswith("Hello, world x") and len(one.preview) <= 80, one.preview)  # noqa: PLR2004
    equal((two.id, two.message_count, two.title, two.preview), ("s-2", 2, None, "later"))
    equal(two.updated_at, _at(10**9 + 1))
    equal(await kit.store.list_sessions(user_id="ada"), [one])
    equal(await kit.store.list_sessions(user_id="eve"), [])
    equal(await kit.store.list_sessions(limit=1), [two])
    equal(await kit.store.list_sessions(limit=0), [])
    await refused(InvalidValueError, kit.store.list_sessions(limit=-1))


@case()
async def a_list_counts_any_session(kit: Kit) -> None:
    """The summary is right for what other programs write: another zone, absent fields."""
    stamp = "2026-01-01T01:00:00+01:00"
    tree = {"id": "s", "user_id": "ada", "created_at": stamp, "updated_at": stamp}
    await kit.store.save_json("sessions", "bare", tree)
    turns = {"user_messages": [{"content": "q", "timestamp": stamp}], "metadata": {"title": "T"}}
    await kit.store.save_json("sessions", "full", tree | turns)
    bare, full = sorted(await kit.store.list_sessions(), key=lambda one: one.id)
    equal((bare.id, bare.message_count, bare.updated_at), ("bare", 0, _at(0)))
    equal((full.message_count, full.preview, full.title), (1, "q", "T"))


@case()
async def what_is_no_session_is_damaged(kit: Kit) -> None:
    """Another document among the sessions is refused, listed as damaged, and left alone."""
    good = Session.with_id("ada", "good")
    await kit.store.save_session(good)
    tree = good.to_tree()
    broken = [1, {}, tree | {"user_id": 5}, tree | {"updated_at": "x"}, tree | {"metadata": []}]
    for number, value in enumerate(broken):
        name = f"bad-{number}"
        kit.put_by_hand(name, value)
        await refused(DamagedError, kit.store.load_session(name))
        await refused(DamagedError, kit.store.append_user_message(name, "x"))
        equal(await kit.store.load_json("sessions", name), value)
    listed = await kit.store.list_sessions()
    equal([one.id for one in listed if one.damaged is None], ["good"])
    equal(len([one for one in listed if one.damaged]), len(broken))
    equal(listed[0].id, "good")


@case()
async def a_session_is_a_document(kit: Kit) -> None:
    """Sessions are JSON documents: the other calls work on them, and appends go on behind."""
    await kit.store.append_user_message("s", "1", user_id="ada")
    await kit.store.patch("sessions", "s", [{"op": "add", "path": "/metadata/a", "value": 1}])
    async with kit.store.transaction("sessions", "s") as doc:
        doc.value["user_messages"].append({"content": "2", "timestamp": "2999-01-01T00:00:00Z"})
    await kit.store.append_agent_response("s", "3")
    await kit.store.rename("sessions", "s", "t")
    await kit.store.append_agent_response("t", "4")
    session = await kit.store.load_session("t")
    equal((session.id, session.metadata), (SessionId("t"), {"a": 1}))
    equal([turn.content for turn in session.turns()], ["1", "2", "3", "4"])
    equal([one.message_count for one in await kit.store.list_sessions()], [4])
