"""Lists, counts and search: pages, filters, every script, and no query that is an error."""

# ruff: noqa: RUF001 - odd characters are examples

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from plainstate.errors import InvalidCursorError, InvalidNameError, InvalidValueError
from plainstate.limits import MAX_QUERY_CHARACTERS
from plainstate.session import Session
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

__all__: list[str] = []

_START = datetime(2026, 1, 1, tzinfo=UTC)


async def _talk(kit: Kit, name: str, text: str, *, second: int = 0, user: str = "ada") -> None:
    stamp = _START + timedelta(seconds=second)
    await kit.store.append_user_message(name, text, user_id=user, timestamp=stamp)


async def _found(kit: Kit, query: str, **options: object) -> list[str]:
    hits = await kit.store.search(query, **options)
    return sorted({hit.document.name for hit in hits})


async def _ids(kit: Kit, **options: object) -> list[str]:
    return [one.id for one in await kit.store.list_sessions(**options)]


# --- lists ---------------------------------------------------------------------


@case()
async def sessions_come_in_pages(kit: Kit) -> None:
    """Pages joined are the whole list, in both directions, for one user and for all."""
    # saved as documents, so that updated_at is what we say; three of them changed at one time
    for number in range(9):
        session = Session.with_id("ada" if number % 2 else "bob", f"s-{number}")
        stamp = f"2026-01-01T00:00:{min(number, 6):02}.5Z"
        await kit.store.save_json("sessions", session.id, session.to_tree() | {"updated_at": stamp})
    for number in range(2):
        kit.put_by_hand(f"bad-{number}", number)
    newest = ["s-6", "s-7", "s-8", "s-5", "s-4", "s-3", "s-2", "s-1", "s-0"]
    bad = ["bad-0", "bad-1"]
    equal(await _ids(kit), newest + bad)
    equal(await _ids(kit, newest_first=False), newest[::-1] + bad)
    equal(await _ids(kit, include_damaged=False), newest)
    equal(await _ids(kit, user_id="bob"), ["s-6", "s-8", "s-4", "s-2", "s-0"])
    for options in ({}, {"newest_first": False}, {"user_id": "ada"}, {"include_damaged": False}):
        whole = await kit.store.list_sessions(**options)
        for limit in (1, 2, 3, 20):
            pages, after = [], None
            while page := await kit.store.list_sessions(limit=limit, after=after, **options):
                pages += page
                after = page[-1].cursor
            equal(pages, whole)


@case()
async def a_page_goes_on_behind_what_is_gone(kit: Kit) -> None:
    """A cursor is a place, not a session: it stays when the session is deleted."""
    for number in range(4):
        await _talk(kit, f"s-{number}", "x", second=10**9 + number)
    first = await kit.store.list_sessions(limit=2)
    await kit.store.delete_session(first[-1].id)
    equal(await _ids(kit, after=first[-1].cursor), ["s-1", "s-0"])


@case()
async def a_wrong_place_is_refused(kit: Kit) -> None:
    """A cursor that no list gave out is an error, never page one."""
    for cursor in ("", "x", "5", "1-2/s", "--1/s", "9" * 30 + "/s", 5, "1_0/s"):
        await refused(InvalidCursorError, kit.store.list_sessions(after=cursor), cursor=str(cursor))
    await refused(InvalidValueError, kit.store.list_sessions(limit=-1))


@case()
async def sessions_are_counted(kit: Kit) -> None:
    """Counts are those of the list, after every kind of change."""
    equal(await kit.store.count_sessions(), 0)
    for number in range(5):
        await _talk(kit, f"s-{number}", "x", user=f"user-{number % 2}")
    kit.put_by_hand("bad", [])
    await kit.store.delete_session("s-0")
    await kit.store.rename("sessions", "s-1", "renamed")
    tree = await kit.store.load_json("sessions", "s-2")
    await kit.store.save_json("sessions", "s-2", tree | {"user_id": "user-9"})
    equal(await kit.store.count_sessions(), 5)
    for user in ("user-0", "user-1", "user-9", "nobody"):
        found = await kit.store.list_sessions(user_id=user)
        equal(await kit.store.count_sessions(user_id=user), len(found))
    await kit.store.delete_file("sessions", "bad")
    equal(await kit.store.count_sessions(), 4)


@case()
async def names_come_in_pages(kit: Kit) -> None:
    """A category is listed by prefix, in pages; %, _ and case are nothing special."""
    names = ["a", "a%", "a_b", "ab", "aB", "b", "ä", "日", "\U00020000"]
    for name in names:
        await kit.store.save_json("c", name, 1)
    await kit.store.save_markdown("c", "a", "also")
    await kit.store.save_markdown("c/d", "other", "")
    equal(await kit.store.list_category("c"), sorted(names))
    equal(await kit.store.list_category("c", kind="markdown"), ["a"])
    equal(await kit.store.list_category("c", prefix="a"), ["a", "a%", "aB", "a_b", "ab"])
    equal(await kit.store.list_category("c", prefix="a%"), ["a%"])
    equal(await kit.store.list_category("c", prefix="a_"), ["a_b"])
    equal(await kit.store.list_category("c", limit=2, after="a%"), ["aB", "a_b"])
    equal(await kit.store.list_category("c", limit=0), [])
    equal(await kit.store.list_category("nothing"), [])
    equal(await kit.store.list_categories(), ["c", "c/d"])
    await kit.store.delete_file("c/d", "other")
    equal(await kit.store.list_categories(), ["c"])
    await refused(InvalidValueError, kit.store.list_category("c", limit=-1))
    await refused(InvalidNameError, kit.store.list_category("c", kind="text"), name="text")


# --- search --------------------------------------------------------------------


@case()
async def messages_are_found_at_once(kit: Kit) -> None:
    """A message is found right after its commit, with who said it, where and when."""
    await _talk(kit, "s", "Which train to Basel?", second=1)
    equal(len(await kit.store.search("train")), 1)
    await kit.store.append_agent_response("s", "The 8:04 train.", metadata={"tool": "timetable"})
    await kit.store.append_user_message("s", "And the trams?")
    session = await kit.store.load_session("s")
    hits = {hit.role: hit for hit in await kit.store.search("TRAIN")}
    equal(sorted(hits), ["agent", "user"])
    for role, turn in (("user", session.turns()[0]), ("agent", session.turns()[1])):
        equal((hits[role].session_id, hits[role].position), ("s", 0))
        equal(hits[role].timestamp, turn.timestamp)
    equal(hits["user"].snippet, "Which «train» to Basel?")
    equal([hit.position for hit in await kit.store.search("trams")], [1])
    equal(await _found(kit, "timetable"), ["s"])


@case()
async def words_phrases_and_beginnings(kit: Kit) -> None:
    """All words must be there; quotes keep words together; a star completes a word."""
    await _talk(kit, "one", "the quick brown fox")
    await _talk(kit, "two", "the brown quick-witted fox's den")
    both = ["one", "two"]
    for query, expected in {
        "fox quick": both,
        "fox den": ["two"],
        '"quick brown"': ["one"],
        '"brown quick"': ["two"],
        "quick-witted": ["two"],
        "qui*": both,
        "qui": [],
        "wit* den": ["two"],
        '"the quick" bro*': ["one"],
        "fox OR cat": [],
        "NOT fox": [],
    }.items():
        equal((query, await _found(kit, query)), (query, expected))


@case()
async def every_script_is_found(kit: Kit) -> None:
    """Case, accents and width do not matter; without spaces, any part is found."""
    texts = {
        "chinese": "我明天坐火车去北京大学",
        "japanese": "東京タワーへ行きたい。ｶﾀｶﾅ",
        "korean": "내일 서울역에서 만나요",
        "thai": "ฉันอยากไปกรุงเทพ",
        "rare": "\U00020000\U00020001 end",
        "german": "Die Straße nach Zürich",
        "french": "un cafe\u0301 au lait",
        "greek": "ΟΔΥΣΣΕΥΣ",
        "hindi": "हिन्दी में लिखा",
        "russian": "Привет, Мир",
        "wide": "ＡＢＣ１２３",
    }
    for name, text in texts.items():
        await _talk(kit, name, text)
    for query, expected in {
        "北京": "chinese",
        "京": "chinese japanese",
        "火车 北京": "chinese",
        "东京": "",
        "タワー": "japanese",
        "カタカナ": "japanese",
        "서울": "korean",
        "กรุงเทพ": "thai",
        "\U00020001": "rare",
        "STRASSE zurich": "german",
        "CAFÉ": "french",
        "οδυσσευς": "greek",
        "हिन्दी": "hindi",
        "МИР": "russian",
        "abc123": "wide",
    }.items():
        equal((query, await _found(kit, query)), (query, expected.split()))


@case()
async def no_query_is_an_error(kit: Kit) -> None:
    """Whatever is typed is taken literally; only what is no text is refused."""
    await _talk(kit, "s", "AND near the end: 50% (off) a*b c\\d {x} NEAR")
    for query in (
        *("AND", "a AND", "OR OR", "NOT", "NEAR(a b)", "near", "body:x", "scope:x", "- a", "a -b"),
        *('"', '"a', 'a"b"c', '""', "'", "*", "a**", "(", "((a)", "^a", "{x}", "a:b", "50%", "\\"),
        *(
            "\0",
            "a\0b",
            "\n\t",
            "😀",
            "\ufffd",
            "é" * 500,
            "",
            "   ",
            "a;b--",
            "+",
            "a + b",
            "\u200d",
        ),
    ):
        await kit.store.search(query)
    equal(await _found(kit, "AND (off)"), ["s"])
    equal(await _found(kit, 'near" NEAR'), ["s"])
    for empty in ("", " \n", "***", '"!?"', "😀"):
        equal(await kit.store.search(empty), [])
    for wrong in (5, None, "\ud800", "x" * (MAX_QUERY_CHARACTERS + 1)):
        await refused(InvalidValueError, kit.store.search(wrong))
    await refused(InvalidValueError, kit.store.search("x", limit=-1))
    await refused(InvalidNameError, kit.store.search("x", category="../x"))


@case()
async def documents_are_found(kit: Kit) -> None:
    """Notes by their paragraphs, JSON by keys, texts and numbers; a change is seen at once."""
    text = "# Plan\n\nbuy milk\n\n" + "filler words\n\n" * 300 + "sell the farm\n"
    await kit.store.save_markdown("notes", "plan", text)
    await kit.store.save_json("orders", "o-1", {"items": [{"name": "latte"}], "number": 4711})
    (hit,) = await kit.store.search("farm")
    equal((hit.document.category, hit.document.kind, hit.role), ("notes", "markdown", None))
    equal((hit.session_id, hit.timestamp), (None, None))
    that(hit.position > 0 and "«farm»" in hit.snippet, hit.snippet)
    for query in ("latte", "4711", "items", "number 4711"):
        equal(await _found(kit, query), ["o-1"])
    await kit.store.append_markdown("notes", "plan", "and the cow\n")
    equal(await _found(kit, "cow"), ["plan"])
    await kit.store.save_markdown("notes", "plan", "nothing left")
    equal(await _found(kit, "farm"), [])
    await kit.store.patch("orders", "o-1", [{"op": "remove", "path": "/items"}])
    equal(await _found(kit, "latte"), [])
    await kit.store.rename("orders", "o-1", "o-2")
    equal(await _found(kit, "4711"), ["o-2"])
    await kit.store.delete_file("orders", "o-2")
    equal(await _found(kit, "4711"), [])


@case()
async def a_search_can_be_narrowed(kit: Kit) -> None:
    """Only one category, only one user's sessions, only so many hits."""
    for number in range(6):
        await _talk(kit, f"s-{number}", f"apple {number}", user=f"user-{number % 2}")
    await kit.store.save_markdown("notes", "n", "an apple")
    equal(await _found(kit, "apple", category="notes"), ["n"])
    equal(await _found(kit, "apple", user_id="user-1"), ["s-1", "s-3", "s-5"])
    equal(await _found(kit, "apple", user_id="user-1", category="notes"), [])
    equal(len(await kit.store.search("apple", limit=2)), 2)
    equal(await kit.store.search("apple", limit=0), [])
    tree = await kit.store.load_json("sessions", "s-1")
    await kit.store.save_json("sessions", "s-1", tree | {"user_id": "user-0"})
    equal(await _found(kit, "apple", user_id="user-1"), ["s-3", "s-5"])
    equal(await _found(kit, "apple", user_id="user-0"), ["s-0", "s-1", "s-2", "s-4"])


@case()
async def the_best_come_first(kit: Kit) -> None:
    """What says it more often in fewer words is better."""
    await _talk(kit, "long", "apple " + "and many other things " * 20)
    await _talk(kit, "best", "apple apple pie")
    await _talk(kit, "good", "one apple, and some more")
    hits = await kit.store.search("apple")
    equal([hit.session_id for hit in hits], ["best", "good", "long"])
    that(hits[0].score > hits[1].score > hits[2].score, "scores fall")


@case()
async def a_turn_taken_back_is_not_found(kit: Kit) -> None:
    """Search follows sessions that are saved, not only appended to."""
    await _talk(kit, "s", "first")
    await _talk(kit, "s", "mistake", second=1)
    equal(await _found(kit, "mistake"), ["s"])
    session = await kit.store.load_session("s")
    session.remove_last_turn()
    session.add_user_message("corrected")
    session.set_metadata("title", "Holidays")
    await kit.store.save_session(session)
    equal(await _found(kit, "mistake"), [])
    equal([hit.position for hit in await kit.store.search("corrected")], [1])
    equal([hit.title for hit in await kit.store.search("first")], ["Holidays"])
    equal(await _found(kit, "holidays"), ["s"])


@case()
async def a_new_index_answers_alike(kit: Kit) -> None:
    """`reindex` makes everything anew, and tells how far it is."""
    for number in range(5):
        await _talk(kit, f"s-{number}", f"apple {number}", second=number)
    await kit.store.save_markdown("notes", "n", "an apple")
    before = await kit.store.list_sessions()
    steps: list[tuple[int, int]] = []
    equal(await kit.store.reindex(progress=lambda *step: steps.append(step)), 6)
    equal(await kit.store.list_sessions(), before)
    equal(await _found(kit, "apple"), ["n", *(f"s-{number}" for number in range(5))])
    that(steps == sorted(steps) and steps[-1][0] == steps[-1][1], f"progress ends: {steps}")


@case(reopens=True)
async def two_handles_see_each_other(kit: Kit) -> None:
    """What one handle commits, the other one lists and finds."""
    other = kit.another()
    for number in range(3):
        await _talk(kit, f"s-{number}", f"apple {number}", second=number)
        equal(len(await other.list_sessions()), number + 1)
        equal(len(await other.search("apple")), number + 1)
    await other.delete_session("s-1")
    equal(await _found(kit, "apple"), ["s-0", "s-2"])
    await kit.reopen()
    equal(await kit.store.count_sessions(), 2)
    equal(await _found(kit, "apple"), ["s-0", "s-2"])
