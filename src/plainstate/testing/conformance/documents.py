"""Documents: saving, loading, listing, deleting, renaming, versions."""

# ruff: noqa: FBT003 - True is a JSON value

from __future__ import annotations

from typing import TypedDict

from msgspec import Struct

from plainstate.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidValueError,
    NotFoundError,
    UsageError,
)
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that
from plainstate.types import Document

__all__: list[str] = []


class _Point(Struct):
    x: int
    y: list[int]


class _PointDict(TypedDict):
    x: int
    y: list[int]


@case()
async def json_comes_back(kit: Kit) -> None:
    """A saved JSON tree is loaded as it was; an absent one is None."""
    value = {"a": [1, 2.5, True, None, "ü"], "": {"b": {}}, "c": []}
    equal(await kit.store.load_json("notes", "a"), None)
    await kit.store.save_json("notes", "a", value)
    equal(await kit.store.load_json("notes", "a"), value)
    equal(await kit.store.load_json("notes", "b"), None)


@case()
async def markdown_comes_back(kit: Kit) -> None:
    """A saved text is loaded character for character."""
    for text in (
        "",
        "no newline",
        "two\r\nlines\r",
        "\ufeffmark",
        "tab\t\x00\x1b",
        "日本 \U0001f600\n\n",
    ):
        await kit.store.save_markdown("notes", "a", text)
        equal(await kit.store.load_markdown("notes", "a"), text)
    equal(await kit.store.load_markdown("notes", "b"), None)


@case()
async def a_save_replaces(kit: Kit) -> None:
    """Saving again replaces the whole document, also by another type of value."""
    for value in ({"a": 1, "b": 2}, {"a": 3}, [1], "text", 0, False, None, {"z": None}):
        await kit.store.save_json("notes", "a", value)
        equal(await kit.store.load_json("notes", "a"), value)


@case()
async def null_is_a_value(kit: Kit) -> None:
    """A document that holds null exists."""
    await kit.store.save_json("notes", "a", None)
    that(await kit.store.exists("notes", "a"), "it exists")
    equal((await kit.store.read("notes", "a")).value, None)
    equal(await kit.store.read("notes", "b"), None)


@case()
async def kinds_are_apart(kit: Kit) -> None:
    """A text and a tree of one name are two documents."""
    await kit.store.save_json("notes", "a", [1])
    await kit.store.save_markdown("notes", "a", "one")
    equal(await kit.store.load_json("notes", "a"), [1])
    equal(await kit.store.load_markdown("notes", "a"), "one")
    equal((await kit.store.read("notes", "a", kind="markdown")).value, "one")
    equal((await kit.store.read("notes", "a", kind="json")).value, [1])
    await refused(UsageError, kit.store.read("notes", "a"))
    await kit.store.delete_file("notes", "a", kind="json")
    equal((await kit.store.read("notes", "a")).value, "one")


@case()
async def categories_nest(kit: Kit) -> None:
    """A category may lie inside another; each lists its own documents."""
    for category in ("a", "a/b", "a/b/c"):
        await kit.store.save_json(category, "n", category)
    for category in ("a", "a/b", "a/b/c"):
        equal(await kit.store.load_json(category, "n"), category)
        equal(await kit.store.list_category(category), ["n"])
    equal(await kit.store.list_categories(), ["a", "a/b", "a/b/c"])


@case()
async def lists_are_sorted(kit: Kit) -> None:
    """A category lists each name once, sorted; an unknown one is empty."""
    equal(await kit.store.list_category("notes"), [])
    equal(await kit.store.list_categories(), [])
    for name in ("b", "a", "ä", "B", "a.b", "c d"):
        await kit.store.save_json("notes", name, 1)
    await kit.store.save_markdown("notes", "a", "x")
    await kit.store.save_markdown("notes", "0", "x")
    await kit.store.append_markdown("notes", "appended", "x")
    equal(
        await kit.store.list_category("notes"), ["0", "B", "a", "a.b", "appended", "b", "c d", "ä"]
    )


@case()
async def what_is_deleted_is_not_listed(kit: Kit) -> None:
    """A deleted document is in no list, and neither is a category that has none left."""
    await kit.store.save_json("notes", "a", 1)
    await kit.store.append_markdown("texts", "b", "x")
    await kit.store.delete_file("notes", "a")
    equal(await kit.store.list_category("notes"), [])
    equal(await kit.store.list_categories(), ["texts"])
    await kit.store.delete_file("texts", "b")
    equal(await kit.store.list_categories(), [])


@case()
async def exists_tells_the_kind(kit: Kit) -> None:
    """`exists` answers for one kind, or for any."""
    await kit.store.save_markdown("notes", "a", "x")
    equal(await kit.store.exists("notes", "a"), True)
    equal(await kit.store.exists("notes", "a", kind="markdown"), True)
    equal(await kit.store.exists("notes", "a", kind="json"), False)
    equal(await kit.store.exists("notes", "b"), False)


@case()
async def delete_says_whether(kit: Kit) -> None:
    """Deleting tells whether something was there, and leaves nothing."""
    equal(await kit.store.delete_file("notes", "a"), False)
    await kit.store.save_json("notes", "a", 1)
    equal(await kit.store.delete_file("notes", "a"), True)
    equal(await kit.store.load_json("notes", "a"), None)
    equal(await kit.store.exists("notes", "a"), False)
    equal(await kit.store.delete_file("notes", "a"), False)


@case()
async def delete_chooses_the_kind(kit: Kit) -> None:
    """Where two kinds share a name, deleting and renaming ask which one."""
    await kit.store.save_json("notes", "a", 1)
    await kit.store.save_markdown("notes", "a", "x")
    await refused(UsageError, kit.store.delete_file("notes", "a"))
    await refused(UsageError, kit.store.rename("notes", "a", "b"))
    equal(await kit.store.delete_file("notes", "a", kind="markdown"), True)
    equal(await kit.store.delete_file("notes", "a", kind="markdown"), False)
    equal(await kit.store.load_json("notes", "a"), 1)


@case()
async def rename_moves(kit: Kit) -> None:
    """Renaming moves a document of either kind with all in it, also to another category."""
    await kit.store.save_json("notes", "a", {"n": []})
    await kit.store.patch("notes", "a", [{"op": "add", "path": "/n/-", "value": 1}])
    await kit.store.append_markdown("notes", "t", "x")
    await kit.store.rename("notes", "a", "b")
    await kit.store.rename("notes", "t", "t", new_category="old/texts")
    equal(await kit.store.load_json("notes", "b"), {"n": [1]})
    equal(await kit.store.load_markdown("old/texts", "t"), "x")
    equal(await kit.store.list_category("notes"), ["b"])
    await kit.store.patch("notes", "b", [{"op": "add", "path": "/n/-", "value": 2}])
    equal(await kit.store.load_json("notes", "b"), {"n": [1, 2]})


@case()
async def rename_takes_no_other_place(kit: Kit) -> None:
    """Renaming refuses a name that is taken, its own included, and what is not there."""
    await kit.store.save_json("notes", "a", 1)
    await kit.store.save_json("notes", "b", 2)
    await refused(AlreadyExistsError, kit.store.rename("notes", "a", "b"), document="notes/b")
    await refused(AlreadyExistsError, kit.store.rename("notes", "a", "a"), document="notes/a")
    await refused(NotFoundError, kit.store.rename("notes", "c", "d"), document="notes/c")
    equal(await kit.store.load_json("notes", "a"), 1)
    equal(await kit.store.load_json("notes", "b"), 2)


@case()
async def a_rename_forgets_no_retry(kit: Kit) -> None:
    """Ids that the document or its new name has seen are remembered under the new name."""
    await kit.store.save_json("notes", "b", 1, tx_id="there")
    await kit.store.delete_file("notes", "b")
    await kit.store.save_json("notes", "a", 2, tx_id="here")
    await kit.store.rename("notes", "a", "b")
    for tx_id in ("there", "here"):
        again = await kit.store.save_json("notes", "b", 3, tx_id=tx_id)
        that(again.duplicate, f"{tx_id} is remembered")
    equal(await kit.store.load_json("notes", "b"), 2)


@case()
async def a_renamed_document_leaves_its_name(kit: Kit) -> None:
    """The old name can be used again, and the new document goes its own way."""
    await kit.store.save_json("notes", "a", 1)
    await kit.store.rename("notes", "a", "b")
    await kit.store.save_json("notes", "a", 2)
    equal([await kit.store.load_json("notes", name) for name in "ab"], [2, 1])
    await kit.store.delete_file("notes", "b")
    await kit.store.rename("notes", "a", "b")
    equal(await kit.store.load_json("notes", "b"), 2)


@case()
async def versions_change_with_each_write(kit: Kit) -> None:
    """Each write counts one up and makes a new version, which the next read shows."""
    commits = [
        await kit.store.save_json("notes", "a", {"n": []}),
        await kit.store.patch("notes", "a", [{"op": "add", "path": "/n/-", "value": 1}]),
        await kit.store.save_json("notes", "a", {"n": []}),
    ]
    equal([commit.seq for commit in commits], [1, 2, 3])
    equal(len({commit.version for commit in commits}), 3)
    equal(len({commit.tx_id for commit in commits}), 3)
    equal(await kit.store.read("notes", "a"), Document({"n": []}, commits[-1].version))


@case()
async def numbers_go_on_after_a_delete(kit: Kit) -> None:
    """A version never comes back, also where the same value does."""
    seen = []
    for _ in range(3):
        seen.append(await kit.store.save_json("notes", "a", 1))
        await kit.store.delete_file("notes", "a")
    equal([commit.seq for commit in seen], [1, 3, 5])
    equal(len({commit.version for commit in seen}), 3)
    await kit.store.save_json("notes", "a", 1)
    stale = seen[-1].version
    await refused(ConflictError, kit.store.save_json("notes", "a", 2, if_version=stale))


@case()
async def if_version_guards(kit: Kit) -> None:
    """A write against an older version is refused and changes nothing."""
    first = await kit.store.save_json("notes", "a", {"n": 1})
    second = await kit.store.save_json("notes", "a", {"n": 2}, if_version=first.version)
    stale = {"if_version": first.version}
    attributes = {"document": "notes/a", "expected": first.version, "current": second.version}
    operations = [{"op": "replace", "path": "/n", "value": 3}]
    await refused(ConflictError, kit.store.save_json("notes", "a", 3, **stale), **attributes)
    await refused(ConflictError, kit.store.patch("notes", "a", operations, **stale), **attributes)
    await refused(ConflictError, kit.store.delete_file("notes", "a", **stale), **attributes)
    equal(await kit.store.read("notes", "a"), Document({"n": 2}, second.version))
    third = await kit.store.patch("notes", "a", operations, if_version=second.version)
    equal(await kit.store.delete_file("notes", "a", if_version=third.version), True)


@case()
async def if_version_guards_texts(kit: Kit) -> None:
    """`if_version` works for Markdown, too, and counts what was appended."""
    first = await kit.store.save_markdown("notes", "a", "1")
    second = await kit.store.append_markdown("notes", "a", "2")
    call = kit.store.save_markdown("notes", "a", "x", if_version=first.version)
    await refused(ConflictError, call, current=second.version)
    await kit.store.save_markdown("notes", "a", "3", if_version=second.version)
    equal(await kit.store.load_markdown("notes", "a"), "3")


@case()
async def if_version_of_an_absent_document(kit: Kit) -> None:
    """Whoever expects a version does not get a new document."""
    call = kit.store.save_json("notes", "a", 1, if_version="1-00000000")
    await refused(ConflictError, call, expected="1-00000000", current=None)
    await refused(InvalidValueError, kit.store.save_json("notes", "a", 1, if_version=1))
    equal(await kit.store.exists("notes", "a"), False)


@case()
async def appended_text_is_part_of_it(kit: Kit) -> None:
    """Appending creates a text, adds to it exactly, and mixes with saving."""
    store = kit.store
    await store.append_markdown("notes", "a", "one\n")
    await store.append_markdown("notes", "a", "")
    await store.append_markdown("notes", "a", "two")
    equal(await store.load_markdown("notes", "a"), "one\ntwo")
    await store.save_markdown("notes", "a", "new")
    await store.append_markdown("notes", "a", " and ü")
    equal(await store.load_markdown("notes", "a"), "new and ü")
    await store.delete_file("notes", "a")
    await store.append_markdown("notes", "a", "again")
    equal(await store.load_markdown("notes", "a"), "again")


@case()
async def values_are_copies(kit: Kit) -> None:
    """What the caller does to a value before or after does not reach the store."""
    value = {"n": [1]}
    await kit.store.save_json("notes", "a", value)
    value["n"].append(2)
    loaded = await kit.store.load_json("notes", "a")
    loaded["n"].append(3)
    equal(await kit.store.load_json("notes", "a"), {"n": [1]})
    inner = [4]
    await kit.store.patch("notes", "a", [{"op": "add", "path": "/m", "value": inner}])
    inner.append(5)
    equal(await kit.store.load_json("notes", "a"), {"n": [1], "m": [4]})


@case()
async def typed_values(kit: Kit) -> None:
    """`load_json(type=…)` gives a typed value, or says where it does not fit."""
    await kit.store.save_json("notes", "a", _Point(1, [2, 3]))
    equal(await kit.store.load_json("notes", "a"), {"x": 1, "y": [2, 3]})
    equal(await kit.store.load_json("notes", "a", _Point), _Point(1, [2, 3]))
    equal(await kit.store.load_json("notes", "a", type=_PointDict), {"x": 1, "y": [2, 3]})
    equal(await kit.store.load_json("notes", "b", type=_Point), None)
    await kit.store.save_json("notes", "a", {"x": 1, "y": [2, "3"]})
    await refused(InvalidValueError, kit.store.load_json("notes", "a", type=_Point), pointer="/y/1")


@case(reopens=True)
async def it_is_there_after_reopening(kit: Kit) -> None:
    """Every kind of write is there when the store is opened again, and numbers go on."""
    await kit.store.save_json("notes", "a", {"n": []})
    await kit.store.patch("notes", "a", [{"op": "add", "path": "/n/-", "value": 1}])
    await kit.store.append_markdown("notes", "t", "x")
    await kit.store.save_json("notes", "gone", 1)
    await kit.store.delete_file("notes", "gone")
    before = [
        await kit.store.read("notes", "a"),
        await kit.store.read("notes", "t", kind="markdown"),
    ]
    await kit.reopen()
    after = [
        await kit.store.read("notes", "a"),
        await kit.store.read("notes", "t", kind="markdown"),
    ]
    equal(after, before)
    equal(await kit.store.list_category("notes"), ["a", "t"])
    equal((await kit.store.save_json("notes", "a", 1)).seq, 3)
    equal((await kit.store.append_markdown("notes", "t", "y")).seq, 2)
    equal((await kit.store.save_json("notes", "gone", 1)).seq, 3)


@case()
async def checkpoint_changes_nothing(kit: Kit) -> None:
    """A checkpoint keeps values and versions; a second one has nothing to do."""
    await kit.store.append_markdown("notes", "t", "x")
    before = await kit.store.read("notes", "t", kind="markdown")
    await kit.store.checkpoint()
    equal(await kit.store.read("notes", "t", kind="markdown"), before)
    equal(await kit.store.checkpoint(), 0)
    equal((await kit.store.append_markdown("notes", "t", "y")).seq, 2)
    equal(await kit.store.load_markdown("notes", "t"), "xy")


@case(reopens=True)
async def handles_see_each_other(kit: Kit) -> None:
    """Two handles on one store see each other's writes at once."""
    other = kit.another()
    for number in range(3):
        await kit.store.append_markdown("notes", "t", f"a{number}")
        await other.append_markdown("notes", "t", f"b{number}")
        await kit.store.save_json("notes", "n", number)
        equal(await other.load_json("notes", "n"), number)
    equal(await kit.store.load_markdown("notes", "t"), "a0b0a1b1a2b2")
    equal(await other.load_markdown("notes", "t"), "a0b0a1b1a2b2")
    await other.delete_file("notes", "n")
    equal(await kit.store.exists("notes", "n"), False)
