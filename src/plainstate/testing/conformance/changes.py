"""Changes: patches, transactions, and transaction ids that make a retry safe."""

# ruff: noqa: FBT003 - True is a JSON value

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from plainstate.errors import (
    InvalidNameError,
    InvalidPatchError,
    InvalidValueError,
    NotFoundError,
    PatchFailedError,
    UsageError,
)
from plainstate.testing.conformance.kit import Kit, case, equal, refused, that

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

_REMEMBERED = 64  # ids of a document: a promise, whatever the limits say


class _Item(Struct):
    name: str


def _push(value: Any) -> list[dict[str, Any]]:
    return [{"op": "add", "path": "/n/-", "value": value}]


@case()
async def patch_knows_every_operation(kit: Kit) -> None:
    """add, remove, replace, move, copy and test work as RFC 6902 says, in order."""
    await kit.store.save_json("c", "d", {"a": 1, "b": [1, 2], "~/": 0})
    commit = await kit.store.patch(
        "c",
        "d",
        [
            {"op": "test", "path": "/~0~1", "value": 0},
            {"op": "add", "path": "/b/1", "value": _Item("x")},
            {"op": "remove", "path": "/~0~1"},
            {"op": "replace", "path": "/a", "value": None},
            {"op": "move", "from": "/b/0", "path": "/c"},
            {"op": "copy", "from": "/b", "path": "/e"},
            {"op": "add", "path": "/e/-", "value": 3},
        ],
    )
    equal(commit.seq, 2)
    value = {"a": None, "b": [{"name": "x"}, 2], "c": 1, "e": [{"name": "x"}, 2, 3]}
    equal(await kit.store.load_json("c", "d"), value)


@case()
async def a_failed_patch_changes_nothing(kit: Kit) -> None:
    """If one operation does not fit, none is done."""
    await kit.store.save_json("c", "d", {"n": []})
    before = await kit.store.read("c", "d")
    for bad in (
        {"op": "remove", "path": "/x"},
        {"op": "test", "path": "/n", "value": [2]},
        {"op": "add", "path": "/n/9", "value": 0},
        {"op": "move", "from": "/x", "path": "/y"},
    ):
        call = kit.store.patch("c", "d", [*_push(1), bad])
        attributes = {"document": "c/d", "op_index": 1, "pointer": bad["path"]}
        await refused(PatchFailedError, call, current=before.version, **attributes)
        equal(await kit.store.read("c", "d"), before)
    await kit.store.patch("c", "d", _push(1))
    equal(await kit.store.load_json("c", "d"), {"n": [1]})


@case()
async def a_malformed_patch_is_refused(kit: Kit) -> None:
    """What is no JSON Patch is refused with the position of the fault."""
    await kit.store.save_json("c", "d", {"n": []})
    for bad, pointer in (
        ({"op": "push", "path": "/n"}, "/n"),
        ({"op": "add", "path": "/n/-"}, "/n/-"),
        ({"op": "add", "path": "n", "value": 1}, "n"),
        ({"op": "remove", "path": ""}, ""),
    ):
        call = kit.store.patch("c", "d", [*_push(1), bad])
        await refused(InvalidPatchError, call, op_index=1, pointer=pointer)
    await refused(InvalidPatchError, kit.store.patch("c", "d", _push(1)[0]))
    await refused(InvalidValueError, kit.store.patch("c", "d", _push(float("nan"))))
    equal((await kit.store.read("c", "d")).value, {"n": []})


@case()
async def patch_does_not_create(kit: Kit) -> None:
    """A patch needs a document, also one that would replace all of it."""
    whole = [{"op": "add", "path": "", "value": 1}]
    await refused(NotFoundError, kit.store.patch("c", "d", whole), document="c/d")
    equal(await kit.store.exists("c", "d"), False)
    await kit.store.save_json("c", "d", 0)
    await kit.store.patch("c", "d", whole)
    equal(await kit.store.load_json("c", "d"), 1)


@case()
async def an_empty_patch_is_no_transaction(kit: Kit) -> None:
    """A patch without operations commits nothing."""
    first = await kit.store.save_json("c", "d", 0)
    commit = await kit.store.patch("c", "d", [])
    equal((commit.seq, commit.version), (1, first.version))


@case()
async def a_transaction_commits_the_difference(kit: Kit) -> None:
    """What the block does to `value` is one transaction."""
    async with kit.store.transaction("c", "d") as doc:
        equal((doc.value, doc.version), (None, None))
        doc.value = {"n": [1], "keep": True}
    equal((doc.commit.seq, doc.commit.duplicate), (1, False))
    async with kit.store.transaction("c", "d", tx_id="t-2") as doc:
        equal(doc.version, (await kit.store.read("c", "d")).version)
        doc.value["n"].append(2)
        doc.value["m"] = _Item("x")
    equal((doc.commit.seq, doc.commit.tx_id), (2, "t-2"))
    state = await kit.store.read("c", "d")
    equal(state.value, {"n": [1, 2], "keep": True, "m": {"name": "x"}})
    equal(state.version, doc.commit.version)


@case()
async def a_transaction_without_change_commits_nothing(kit: Kit) -> None:
    """A block that only reads leaves the version alone."""
    await kit.store.save_json("c", "d", [1])
    before = await kit.store.read("c", "d")
    for name in ("d", "absent"):
        async with kit.store.transaction("c", name) as doc:
            pass
        equal(doc.commit, None)
    equal(await kit.store.read("c", "d"), before)
    equal(await kit.store.exists("c", "absent"), False)


@case()
async def a_transaction_that_fails_commits_nothing(kit: Kit) -> None:
    """An exception in the block, or a value that is no JSON, changes nothing, frees the lock."""
    await kit.store.save_json("c", "d", {"n": []})
    before = await kit.store.read("c", "d")
    try:
        async with kit.store.transaction("c", "d") as doc:
            doc.value["n"].append(1)
            raise ZeroDivisionError
    except ZeroDivisionError:
        equal(doc.commit, None)

    async def spoil() -> None:
        async with kit.store.transaction("c", "d") as doc:
            doc.value["n"].append(float("inf"))

    await refused(InvalidValueError, spoil(), pointer="/n/0")
    equal(await kit.store.read("c", "d"), before)
    await kit.store.patch("c", "d", _push(2))
    equal(await kit.store.load_json("c", "d"), {"n": [2]})


@case()
async def a_transaction_is_not_nested(kit: Kit) -> None:
    """Inside the block, only writing the same document is refused."""
    store = kit.store
    await store.save_json("c", "d", {"n": []})

    async def enter() -> None:
        async with store.transaction("c", "d"):
            pass

    async with store.transaction("c", "d") as doc:
        for call in (
            store.save_json("c", "d", 1),
            store.patch("c", "d", _push(1)),
            store.delete_file("c", "d"),
            store.rename("c", "d", "e"),
        ):
            await refused(UsageError, call)
        await refused(UsageError, enter())
        await store.save_json("c", "e", 1)
        await store.save_markdown("c", "d", "another kind is another document")
        equal(await store.load_json("c", "d"), {"n": []})
        async with store.transaction("c", "e") as inner:
            inner.value = 2
        doc.value["n"].append(3)
    equal(await store.load_json("c", "d"), {"n": [3]})
    equal(await store.load_json("c", "e"), 2)
    await store.patch("c", "d", _push(4))


@case()
async def a_transaction_is_entered_once(kit: Kit) -> None:
    """A used transaction is refused while it is open."""
    transaction = kit.store.transaction("c", "d")

    async def enter() -> None:
        async with transaction:
            pass

    async with transaction as doc:
        await refused(UsageError, enter())
        doc.value = 1
    equal(await kit.store.load_json("c", "d"), 1)


@case()
async def no_increment_is_lost(kit: Kit) -> None:
    """Many that count at once count every time."""

    async def count() -> None:
        for _ in range(5):
            async with kit.store.transaction("c", "d") as doc:
                doc.value = (doc.value or 0) + 1

    await kit.together([count] * 8)
    equal(await kit.store.load_json("c", "d"), 40)
    equal((await kit.store.save_json("c", "d", 0)).seq, 41)


@case(reopens=True)
async def no_increment_is_lost_between_handles(kit: Kit) -> None:
    """Two handles that count at once count every time."""
    other = kit.another()

    async def count(store: Any) -> None:
        for _ in range(10):
            async with store.transaction("c", "d") as doc:
                doc.value = (doc.value or 0) + 1

    await kit.together([lambda: count(kit.store), lambda: count(other)] * 2)
    equal(await kit.store.load_json("c", "d"), 40)


@case()
async def all_patches_are_there(kit: Kit) -> None:
    """Many that append at once end with everything, each number given once."""
    await kit.store.save_json("c", "d", {"n": []})

    async def push(who: int) -> list[int]:
        commits = [await kit.store.patch("c", "d", _push([who, turn])) for turn in range(5)]
        return [commit.seq for commit in commits]

    seqs = await kit.together([lambda who=who: push(who) for who in range(8)])  # type: ignore[misc]
    equal(sorted(seq for own in seqs for seq in own), list(range(2, 42)))
    pushed = (await kit.store.load_json("c", "d"))["n"]
    for who in range(8):
        equal([turn for own, turn in pushed if own == who], [0, 1, 2, 3, 4])


@case()
async def a_tx_id_is_committed_once(kit: Kit) -> None:
    """Every writing call can be retried with its id; the first commit is reported."""
    store = kit.store
    await store.save_json("c", "p", {"n": []})
    calls: list[Callable[[], Any]] = [
        lambda: store.save_json("c", "d", [1], tx_id="t"),
        lambda: store.save_markdown("c", "m", "x", tx_id="t"),
        lambda: store.append_markdown("c", "a", "x", tx_id="t"),
        lambda: store.patch("c", "p", _push(1), tx_id="t"),
        lambda: store.append_user_message("s", "x", user_id="ada", tx_id="t"),
        lambda: store.append_agent_response("s", "x", tx_id="u"),
    ]
    for call in calls:
        first, second = await call(), await call()
        equal((first.duplicate, second.duplicate), (False, True))
        equal((second.seq, second.version, second.tx_id), (first.seq, first.version, first.tx_id))
    equal(await store.load_markdown("c", "a"), "x")
    equal(await store.load_json("c", "p"), {"n": [1]})
    equal(len((await store.load_session("s")).turns()), 2)


@case()
async def a_retry_does_not_undo(kit: Kit) -> None:
    """A retried save does not overwrite what was written since, and needs no current version."""
    first = await kit.store.save_json("c", "d", 1)
    mine = await kit.store.save_json("c", "d", 2, tx_id="t", if_version=first.version)
    theirs = await kit.store.save_json("c", "d", 3)
    again = await kit.store.save_json("c", "d", 2, tx_id="t", if_version=first.version)
    equal((again.duplicate, again.seq, again.version), (True, 2, mine.version))
    equal((await kit.store.read("c", "d")).version, theirs.version)


@case()
async def a_retried_delete_spares_the_next(kit: Kit) -> None:
    """A retried delete says True again and leaves a document that came later, whatever its kind."""
    for name, save in (("j", kit.store.save_json), ("m", kit.store.save_markdown)):
        await save("c", name, "old")
        equal(await kit.store.delete_file("c", name, tx_id="t"), True)
        equal(await kit.store.delete_file("c", name, tx_id="t"), True)
        await save("c", name, "new")
        equal(await kit.store.delete_file("c", name, tx_id="t"), True)
        equal(await kit.store.exists("c", name), True)


@case()
async def a_retried_transaction_commits_once(kit: Kit) -> None:
    """A transaction with the same id reports the first commit."""
    commits = []
    for _ in range(2):
        async with kit.store.transaction("c", "d", tx_id="t") as doc:
            doc.value = (doc.value or 0) + 1
        commits.append(doc.commit)
    equal([commit.duplicate for commit in commits], [False, True])
    equal(await kit.store.load_json("c", "d"), 1)


@case()
async def ids_belong_to_their_document(kit: Kit) -> None:
    """The same id in two documents is two transactions."""
    for name in ("d", "e"):
        equal((await kit.store.save_json("c", name, 1, tx_id="t")).duplicate, False)
    equal((await kit.store.save_markdown("c", "d", "x", tx_id="t")).duplicate, False)


@case()
async def the_last_ids_are_remembered(kit: Kit) -> None:
    """At least the last 64 ids are known, whatever kinds of writes follow."""
    await kit.store.append_markdown("c", "d", "0", tx_id="t")
    for number in range(1, _REMEMBERED):
        if number == _REMEMBERED // 2:
            await kit.store.save_markdown("c", "d", "")
        else:
            await kit.store.append_markdown("c", "d", "x")
    again = await kit.store.append_markdown("c", "d", "0", tx_id="t")
    equal((again.duplicate, again.seq), (True, 1))


@case()
async def ids_survive_a_checkpoint(kit: Kit) -> None:
    """A retry is safe after the document was folded."""
    first = await kit.store.append_markdown("c", "d", "x", tx_id="t")
    await kit.store.checkpoint()
    again = await kit.store.append_markdown("c", "d", "x", tx_id="t")
    equal((again.duplicate, again.version), (True, first.version))
    equal(await kit.store.load_markdown("c", "d"), "x")


@case(reopens=True)
async def ids_survive_reopening(kit: Kit) -> None:
    """A retry is safe after a restart, also of a delete."""
    await kit.store.save_json("c", "p", {"n": []}, tx_id="a")
    await kit.store.patch("c", "p", _push(1), tx_id="b")
    await kit.store.save_markdown("c", "m", "x")
    await kit.store.delete_file("c", "m", tx_id="d")
    await kit.reopen()
    that((await kit.store.patch("c", "p", _push(1), tx_id="b")).duplicate, "the patch is known")
    that((await kit.store.save_json("c", "p", 0, tx_id="a")).duplicate, "the save is known")
    equal(await kit.store.delete_file("c", "m", kind="markdown", tx_id="d"), True)
    equal(await kit.store.load_json("c", "p"), {"n": [1]})


@case()
async def ids_go_with_a_renamed_document(kit: Kit) -> None:
    """A retry under the new name is safe."""
    await kit.store.append_markdown("c", "d", "x", tx_id="t")
    await kit.store.rename("c", "d", "e")
    that((await kit.store.append_markdown("c", "e", "x", tx_id="t")).duplicate, "it is known")
    equal(await kit.store.load_markdown("c", "e"), "x")


@case()
async def bad_ids_are_refused(kit: Kit) -> None:
    """A transaction id is short printable ASCII."""
    for bad in ("", "a\n", "ü", "x" * 129, 7):
        await refused(InvalidNameError, kit.store.save_json("c", "d", 1, tx_id=bad))
    equal(await kit.store.exists("c", "d"), False)
    longest = "x" * 128
    equal((await kit.store.save_json("c", "d", 1, tx_id=longest)).tx_id, longest)
