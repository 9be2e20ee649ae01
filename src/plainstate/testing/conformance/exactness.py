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
