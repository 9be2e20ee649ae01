"""Exact JSON, names, limits, and what happens after the end."""

# ruff: noqa: FBT003 - True is a JSON value

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from plainstate.errors import InvalidNameError, InvalidValueError, UsageError
from plainstate.limits import MAX_INTEGER_DIGITS, MAX_NAME_BYTES, MAX_NESTING
from plainstate.messages import UserMessage
from plainstate.session import Session
from plainstate.testing.conformance.kit import Kit, case, equal, refused

__all__: list[str] = []

_NOT_JSON: list[tuple[Any, str]] = [
    (float("nan"), ""),
    ({"a": [0, float("inf")]}, "/a/1"),
    ({"a": {"b/~": -float("inf")}}, "/a/b~1~0"),
    ("\ud800", ""),
    ({"\udfff": 1}, "/\\udfff"),
    ({1: 2}, ""),
    ([{None: 1}], "/0"),
    ([b"bytes"], "/0"),
    ({"a": {1, 2}}, "/a"),
    ([object()], "/0"),
    (10**MAX_INTEGER_DIGITS, ""),
]


def _nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@case()
async def numbers_are_exact(kit: Kit) -> None:
    """Integers of any size and every float come back as they were, of the same type."""
    value = [
        *(0, -1, 2**53 + 1, 2**64, -(2**64), 10**400, 10 ** (MAX_INTEGER_DIGITS - 1)),
        *(0.0, 1.0, 0.1, 1e308, 5e-324, 1 / 3, 123456789.12345679, 1e16, 1e22),
        *(True, False),
    ]
    await kit.store.save_json("c", "d", value)
    equal(await kit.store.load_json("c", "d"), value)
    await kit.store.patch("c", "d", [{"op": "replace", "path": "/0", "value": 2**70}])
    equal((await kit.store.load_json("c", "d"))[0], 2**70)


@case()
async def text_is_exact(kit: Kit) -> None:
    """Any character but a lone surrogate comes back, in keys as well."""
    texts = [
        "",
        "\0\x01\x1f\x7f",
        "\u2028\u2029",
        "\ufeff\ufffe\uffff",
        "e\u0301 é",
        "\U0010ffff",
        '"\\/',
    ]
    await kit.store.save_json("c", "d", {text: text for text in texts})
    equal(await kit.store.load_json("c", "d"), {text: text for text in texts})


@case()
async def what_is_not_json_is_refused(kit: Kit) -> None:
    """NaN, surrogates, odd keys and types are refused, with the place of the fault."""
    await kit.store.save_json("c", "d", "old")
    for value, pointer in _NOT_JSON:
        await refused(InvalidValueError, kit.store.save_json("c", "d", value), pointer=pointer)
        operations = [{"op": "add", "path": "", "value": value}]
        await refused(InvalidValueError, kit.store.patch("c", "d", operations))
    equal(await kit.store.load_json("c", "d"), "old")


@case()
async def nesting_has_a_limit(kit: Kit) -> None:
    """The deepest tree is kept; one level more is refused, however it gets there."""
    await kit.store.save_json("c", "d", _nested(MAX_NESTING))
    equal(await kit.store.load_json("c", "d"), _nested(MAX_NESTING))
    await refused(InvalidValueError, kit.store.save_json("c", "d", _nested(MAX_NESTING + 1)))
    endless: list[Any] = []
    endless.append(endless)
    await refused(InvalidValueError, kit.store.save_json("c", "d", endless))
    whole = [{"op": "replace", "path": "", "value": _nested(MAX_NESTING)}]
    await kit.store.patch("c", "d", whole)
    equal(await kit.store.load_json("c", "d"), _nested(MAX_NESTING))
    await kit.store.save_json("c", "e", {"n": []})
    deep = [{"op": "add", "path": "/n/-", "value": _nested(MAX_NESTING - 1)}]
    await refused(InvalidValueError, kit.store.patch("c", "e", deep))
    for levels in (MAX_NESTING - 4, MAX_NESTING - 5):  # session, array, message, metadata
        session = Session.with_id("ada", f"s-{levels}")
        session.add_user_message("x", metadata={"deep": _nested(levels)})
        await kit.store.save_session(session)
        equal(await kit.store.load_session(session.id), session)
    too_deep = UserMessage("x", metadata={"deep": _nested(MAX_NESTING - 3)})
    await refused(InvalidValueError, kit.store.append_messages("s", [too_deep], user_id="ada"))


@case()
async def texts_are_checked(kit: Kit) -> None:
    """A Markdown document is text without lone surrogates."""
    for bad in (b"bytes", None, 5, "\ud800"):
        await refused(InvalidValueError, kit.store.save_markdown("c", "d", bad))
        await refused(InvalidValueError, kit.store.append_markdown("c", "d", bad))
    equal(await kit.store.exists("c", "d"), False)


@case()
async def sessions_are_checked(kit: Kit) -> None:
    """Nothing but exact JSON gets into a session, whichever way it takes."""
    nan = float("nan")
    session = Session.with_id("ada", "s")
    session.metadata["bad"] = nan
    await refused(InvalidValueError, kit.store.save_session(session))
    session.metadata["bad"] = {1, 2}
    await refused(InvalidValueError, kit.store.save_session(session))
    equal(await kit.store.load_session("s"), None)
    for message in ("\ud800", b"bytes", 5, None):
        await refused(InvalidValueError, kit.store.append_user_message("s", message, user_id="ada"))
    bad = UserMessage("x", metadata={"bad": nan})
    await refused(InvalidValueError, kit.store.append_user_message("s", bad, user_id="ada"))
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - what is to be refused
    call = kit.store.append_user_message("s", "x", timestamp=naive, user_id="ada")
    await refused(InvalidValueError, call)
    equal(await kit.store.load_session("s"), None)


@case()
async def aware_times_of_any_zone(kit: Kit) -> None:
    """A datetime inside a model or message is one instant, in UTC."""
    moment = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    await kit.store.append_user_message("s", "x", timestamp=moment, user_id="ada")
    stored = await kit.store.load_json("sessions", "s")
    equal(stored["user_messages"][0]["timestamp"], "2026-01-01T12:30:00.000000Z")
    equal((await kit.store.load_session("s")).turns()[0].timestamp, moment)


@case()
async def bad_names_are_refused_everywhere(kit: Kit) -> None:
    """One rule for names holds in every call, the session calls included."""
    store = kit.store
    bad_names = ("", ".", "..", "../../x", "a/b", "a\\b", ".hidden", "a\0", "a ", "nul", "x" * 256)
    for bad in (*bad_names, "e\u0301", 5, None):
        calls = [
            *(store.save_json("c", bad, 1), store.load_json("c", bad), store.read("c", bad)),
            *(store.save_markdown("c", bad, ""), store.load_markdown("c", bad)),
            *(store.append_markdown("c", bad, ""), store.patch("c", bad, [])),
            *(store.delete_file("c", bad), store.exists("c", bad), store.rename("c", bad, "x")),
            *(store.rename("c", "x", bad), store.load_session(bad), store.delete_session(bad)),
            store.append_user_message(bad, "x", user_id="ada"),
            store.append_agent_response(bad, "x"),
        ]
        for call in calls:
            await refused(InvalidNameError, call)
    for bad in ("", "/a", "a/", "a//b", "a/../b", "..", "a/.b", ".plainstate", "a.json/b", 5):
        await refused(InvalidNameError, store.save_json(bad, "n", 1))
        await refused(InvalidNameError, store.list_category(bad))
    equal(await store.list_categories(), [])


@case()
async def good_names_are_kept(kit: Kit) -> None:
    """Names of any script, with dots and spaces inside, and the longest one."""
    names = [
        "a.b",
        "a b",
        "été",
        "日本語",
        "a.json",
        "a.md",
        "A",
        "-",
        "~",
        "%2e",
        "x" * MAX_NAME_BYTES,
    ]
    for name in names:
        await kit.store.save_json("c", name, name)
        await kit.store.append_markdown("c", name, name)
    for name in names:
        equal(await kit.store.load_json("c", name), name)
        equal(await kit.store.load_markdown("c", name), name)
    equal(await kit.store.list_category("c"), sorted(names))


@case()
async def unknown_words_are_refused(kit: Kit) -> None:
    """A misspelt kind or durability is an error, not a default."""
    await refused(InvalidNameError, kit.store.exists("c", "d", kind="xml"))
    for call in (
        kit.store.append_user_message("s", "x", user_id="ada", durability="comit"),
        kit.store.append_markdown("c", "d", "x", durability=""),
        kit.store.save_session(Session.with_id("ada", "s"), durability="fsync"),
    ):
        await refused(UsageError, call)
    equal(await kit.store.list_categories(), [])


@case()
async def every_durability_is_seen_at_once(kit: Kit) -> None:
    """Whatever a call's durability: a read shows it, in order."""
    for durability in ("os", "periodic", "commit", None, "os"):
        await kit.store.append_markdown("c", "d", "x", durability=durability)
    equal(await kit.store.load_markdown("c", "d"), "xxxxx")


@case()
async def closing_twice_is_harmless(kit: Kit) -> None:
    """`close` may be called again."""
    await kit.store.save_json("c", "d", 1)
    await kit.store.close()
    await kit.store.close()


@case()
async def a_closed_store_is_refused(kit: Kit) -> None:
    """After `close`, every call says that the store is closed."""
    store = kit.store
    await store.append_user_message("s", "x", user_id="ada")
    session = await store.load_session("s")
    session.add_user_message("y")
    await store.close()

    async def enter() -> None:
        async with store.transaction("c", "d"):
            pass

    for call in (
        *(store.save_json("c", "d", 1), store.load_json("c", "d"), store.list_category("c")),
        *(store.append_user_message("s", "x"), store.load_session("s"), store.list_sessions()),
        *(store.save_session(session), store.delete_file("c", "d"), store.checkpoint()),
    ):
        await refused(UsageError, call)
    await refused(UsageError, enter())


# --- sessions as documents ---


@case()
async def nothing_else_takes_the_place_of_a_session(kit: Kit) -> None:
    """In `sessions` only a session can be saved, whichever way: anything else changes nothing."""
    await kit.store.append_user_message("s", "1", user_id="ada")
    before = await kit.store.read("sessions", "s")
    missing = {key: value for key, value in before.value.items() if key != "user_id"}
    for wrong in ({}, [before.value], None, missing, {**before.value, "metadata": []}):
        for name in ("s", "new"):
            await refused(InvalidValueError, kit.store.save_json("sessions", name, wrong))
    for patch in (
        [{"op": "remove", "path": "/user_id"}],
        [{"op": "replace", "path": "", "value": {}}],
        [{"op": "replace", "path": "/metadata", "value": 1}],
        [{"op": "move", "from": "/user_id", "path": "/metadata/whose"}],
        [{"op": "add", "path": "/user_messages/-", "value": "2"}],
    ):
        await refused(InvalidValueError, kit.store.patch("sessions", "s", patch))
    await refused(InvalidValueError, _leave_other_than_a_session(kit, "s"))
    await refused(InvalidValueError, _leave_other_than_a_session(kit, "new"))
    equal(await kit.store.read("sessions", "s"), before)
    equal(await kit.store.list_category("sessions"), ["s"])


async def _leave_other_than_a_session(kit: Kit, name: str) -> None:
    async with kit.store.transaction("sessions", name) as doc:
        doc.value = {"not": "a session"}


@case()
async def nothing_else_is_moved_among_the_sessions(kit: Kit) -> None:
    """A document that is no session does not become one by its name; a note is none anyway."""
    tree = Session.with_id("ada", "s").to_tree()
    await kit.store.save_json("other", "good", tree)
    await kit.store.save_json("other", "bad", {"user_id": "ada"})
    await kit.store.save_markdown("other", "note", "# Note")
    move = kit.store.rename("other", "bad", "bad", new_category="sessions")
    await refused(InvalidValueError, move)
    equal(await kit.store.list_category("other"), ["bad", "good", "note"])
    await kit.store.rename("other", "good", "good", new_category="sessions")
    await kit.store.rename("other", "note", "note", new_category="sessions")
    equal((await kit.store.load_session("good")).user_id, "ada")
    equal(await kit.store.list_category("sessions"), ["good", "note"])


@case()
async def a_session_can_be_saved_as_its_tree(kit: Kit) -> None:
    """What is a session can be saved, patched and changed in a transaction as any other JSON."""
    tree = Session.with_id("ada", "s").to_tree()
    del tree["user_messages"]  # may lack: it is stored as it was given
    await kit.store.save_json("sessions", "s", tree)
    equal(await kit.store.load_json("sessions", "s"), tree)
    patch = [{"op": "add", "path": "/metadata/k", "value": 1}]
    await kit.store.patch("sessions", "s", [*patch, {"op": "add", "path": "/more", "value": []}])
    async with kit.store.transaction("sessions", "s") as doc:
        doc.value["user_id"] = "bob"
    session = await kit.store.load_session("s")
    equal((session.user_id, session.metadata), ("bob", {"k": 1}))


@case()
async def what_is_no_session_can_be_made_one(kit: Kit) -> None:
    """A file that was made wrong by hand is put right by any call that leaves a session."""
    tree = Session.with_id("ada", "s").to_tree()
    missing = {key: value for key, value in tree.items() if key != "user_id"}
    for name in ("saved", "patched", "changed"):
        kit.put_by_hand(name, missing)
    await kit.store.save_json("sessions", "saved", tree)
    await kit.store.patch("sessions", "patched", [{"op": "add", "path": "/user_id", "value": "u"}])
    async with kit.store.transaction("sessions", "changed") as doc:
        doc.value["user_id"] = "u"
    users = {one.id: one.user_id for one in await kit.store.list_sessions()}
    equal(users, {"saved": "ada", "patched": "u", "changed": "u"})
