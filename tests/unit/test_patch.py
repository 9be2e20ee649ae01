"""JSON Patch: an own table, roll-back, and agreement with other implementations."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonpatch  # type: ignore[import-untyped,unused-ignore]
import jsonpath
import jsonpointer  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainstate.core import patch as patch_module
from plainstate.core.patch import apply, apply_trusted, json_equal, validate
from plainstate.core.pointer import format as format_pointer
from plainstate.errors import ConflictError, InvalidPatchError, PatchFailedError, PlainstateError
from plainstate.limits import MAX_NESTING

BOTH = [apply, apply_trusted]
Apply = Callable[[Any, Any], Any]


def op(kind: str, path: Any, *value: Any, **members: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **({"value": value[0]} if value else {}), **members}


def transfer(kind: str, source: Any, path: Any) -> dict[str, Any]:
    return {"op": kind, "from": source, "path": path}


def text(tree: Any) -> str:
    """Types and the order of members show in it."""
    return json.dumps(tree)


# --- what works ------------------------------------------------------------------

FITTING: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"a": 1}, [], {"a": 1}),
    # add
    ({}, [op("add", "/a", 1)], {"a": 1}),
    ({"a": 1, "b": 2}, [op("add", "/a", 3)], {"a": 3, "b": 2}),
    ({}, [op("add", "/a", None)], {"a": None}),
    ({}, [op("add", "/", 1)], {"": 1}),
    ({"a": {}}, [op("add", "/a/", 1)], {"a": {"": 1}}),
    ({}, [op("add", "/a~1b", 1)], {"a/b": 1}),
    ({}, [op("add", "/a~0b", 1)], {"a~b": 1}),
    ({}, [op("add", "/~01", 1)], {"~1": 1}),
    ({}, [op("add", "/-", 1)], {"-": 1}),
    ({}, [op("add", "/0", 1)], {"0": 1}),
    ({"a": {}}, [op("add", "/a/-", 1)], {"a": {"-": 1}}),
    ({"a": [1]}, [op("add", "/a/-", 2)], {"a": [1, 2]}),
    ({"a": [1]}, [op("add", "/a/1", 2)], {"a": [1, 2]}),
    ({"a": [1]}, [op("add", "/a/0", 0)], {"a": [0, 1]}),
    ({"a": [1, 3]}, [op("add", "/a/1", 2)], {"a": [1, 2, 3]}),
    ([], [op("add", "/-", 1)], [1]),
    ([], [op("add", "/0", 1)], [1]),
    ([[]], [op("add", "/0/-", [1])], [[[1]]]),
    ({"a": {"b": []}}, [op("add", "/a/b/-", 1)], {"a": {"b": [1]}}),
    ({"a": 1}, [op("add", "", [2])], [2]),
    ({}, [op("add", "/a", []), op("add", "/a/-", 1)], {"a": [1]}),
    # replace
    ({"a": 1, "b": 2}, [op("replace", "/a", 3)], {"a": 3, "b": 2}),
    ({"": 1}, [op("replace", "/", 2)], {"": 2}),
    ({"a~": 1}, [op("replace", "/a~0", 2)], {"a~": 2}),
    ({"a": [1, 2]}, [op("replace", "/a/1", 3)], {"a": [1, 3]}),
    ({"a": {"b": 1}}, [op("replace", "/a/b", {"c": 1})], {"a": {"b": {"c": 1}}}),
    ([1], [op("replace", "", {"a": 1})], {"a": 1}),
    ("old", [op("replace", "", "new")], "new"),
    (None, [op("replace", "", {}), op("add", "/a", 1)], {"a": 1}),
    # remove
    ({"a": 1, "b": 2}, [op("remove", "/a")], {"b": 2}),
    ({"a": [1, 2, 3]}, [op("remove", "/a/1")], {"a": [1, 3]}),
    ([1], [op("remove", "/0")], []),
    ({"": 1}, [op("remove", "/")], {}),
    ([1, 2], [op("remove", "/0"), op("remove", "/0")], []),
    # move
    ({"a": 1}, [transfer("move", "/a", "/b")], {"b": 1}),
    ({"a": 1, "b": 2}, [transfer("move", "/a", "/b")], {"b": 1}),
    ({"a": 1, "b": 2}, [transfer("move", "/a", "/a")], {"a": 1, "b": 2}),
    ([1, 2, 3], [transfer("move", "/0", "/2")], [2, 3, 1]),
    ([1, 2, 3], [transfer("move", "/2", "/0")], [3, 1, 2]),
    ([1, 2, 3], [transfer("move", "/0", "/-")], [2, 3, 1]),
    ({"a": [1], "b": {}}, [transfer("move", "/a/0", "/b/c")], {"a": [], "b": {"c": 1}}),
    ({"a": {"b": 1}}, [transfer("move", "/a/b", "/a")], {"a": 1}),
    ({"a": {"b": 1}}, [transfer("move", "/a", "")], {"b": 1}),
    ({"a": 1, "ab": {}}, [transfer("move", "/a", "/ab/c")], {"ab": {"c": 1}}),
    ({"a": 1}, [transfer("move", "", "")], {"a": 1}),
    # copy
    ({"a": 1}, [transfer("copy", "/a", "/b")], {"a": 1, "b": 1}),
    ({"a": [1]}, [transfer("copy", "/a/0", "/a/-")], {"a": [1, 1]}),
    ({"a": {}}, [transfer("copy", "", "/a/b")], {"a": {"b": {"a": {}}}}),
    ({"a": [1]}, [transfer("copy", "/a", "/b"), op("add", "/b/-", 2)], {"a": [1], "b": [1, 2]}),
    (
        {"a": {"b": {}}},
        [transfer("copy", "/a", "/c"), op("add", "/c/b/d", 1)],
        {"a": {"b": {}}, "c": {"b": {"d": 1}}},
    ),
    ({"a": 1}, [transfer("copy", "/a", "")], 1),
    # test
    ({"a": 1}, [op("test", "/a", 1)], {"a": 1}),
    ({"a": 1}, [op("test", "/a", 1.0)], {"a": 1}),
    ({"a": None}, [op("test", "/a", None)], {"a": None}),
    ({"a": {"x": 1, "y": [2]}}, [op("test", "/a", {"y": [2], "x": 1})], {"a": {"x": 1, "y": [2]}}),
    ([10**30], [op("test", "/0", 10**30)], [10**30]),
    ({"~1": 10}, [op("test", "/~01", 10)], {"~1": 10}),
    ("text", [op("test", "", "text")], "text"),
    # unknown members are ignored
    ({}, [op("add", "/a", 1, note="why", xyz=123)], {"a": 1}),
    ({"a": 1}, [op("remove", "/a", "ignored")], {}),
    # the extension for Markdown
    ("a", [op("add", "/-", "b")], "ab"),
    ("a", [op("add", "/-", "b"), op("add", "/-", ""), op("add", "/-", "é")], "abé"),
]


@pytest.mark.parametrize("run", BOTH)
@pytest.mark.parametrize(("doc", "patch", "expected"), FITTING)
def test_fits(run: Apply, doc: Any, patch: Any, expected: Any) -> None:
    validate(patch)
    assert text(run(deepcopy(doc), deepcopy(patch))) == text(expected)


# --- what does not fit the document -----------------------------------------------

MISFITS: list[tuple[Any, list[dict[str, Any]], int]] = [
    ({}, [op("add", "/a/b", 1)], 0),
    ({"a": 1}, [op("add", "/a/b", 1)], 0),
    ({"a": "text"}, [op("add", "/a/-", "b")], 0),
    ({"a": None}, [op("add", "/a/b", 1)], 0),
    ({"a": [1]}, [op("add", "/a/2", 1)], 0),
    ({"a": [1]}, [op("add", "/a/-1", 1)], 0),
    ({"a": [1]}, [op("add", "/a/01", 1)], 0),
    ({"a": [1]}, [op("add", "/a/b", 1)], 0),
    ({"a": [1]}, [op("add", "/a/", 1)], 0),
    ({"a": [[1]]}, [op("add", "/a/-/0", 1)], 0),
    ([1], [op("add", "/1e0", 1)], 0),
    ([1], [op("add", "/+0", 1)], 0),
    ([1], [op("add", "/" + "1" * 5000, 1)], 0),
    (1, [op("add", "/a", 1)], 0),
    ("text", [op("add", "/a", "b")], 0),
    ("text", [op("add", "/-/-", "b")], 0),
    ("text", [op("add", "/-", "b"), op("add", "/-", 1)], 1),
    ("text", [op("remove", "/-")], 0),
    ("text", [op("replace", "/-", "b")], 0),
    ("text", [op("remove", "/0")], 0),
    ({}, [op("replace", "/a", 1)], 0),
    ({"a": [1]}, [op("replace", "/a/1", 1)], 0),
    ({"a": [1]}, [op("replace", "/a/-", 1)], 0),
    ({"a": {}}, [op("replace", "/a/b", 1)], 0),
    ({"a": 1}, [op("replace", "/a/b", 1)], 0),
    ({"a": 1}, [op("remove", "")], 0),
    ({}, [op("remove", "/a")], 0),
    ({"a": []}, [op("remove", "/a/0")], 0),
    ({"a": [1]}, [op("remove", "/a/-")], 0),
    ({"a": [1, 2]}, [op("remove", "/a/01")], 0),
    ({"a": 1}, [op("add", "/b", 1), op("remove", "/a"), op("remove", "/a")], 2),
    ({}, [transfer("move", "/a", "/b")], 0),
    ({}, [transfer("move", "/a", "/a")], 0),
    ({"a": 1}, [transfer("move", "/a", "/b/c")], 0),
    ({"a": [1]}, [transfer("move", "/a/0", "/a/1")], 0),
    ({"a": [1]}, [transfer("move", "/a/-", "/b")], 0),
    ({}, [transfer("copy", "/a", "/b")], 0),
    ({"a": [1]}, [transfer("copy", "/a", "/a/2")], 0),
    ({"a": [1]}, [transfer("copy", "/a/-", "/b")], 0),
    ({}, [op("test", "/a", None)], 0),
    ({"a": 1}, [op("test", "/a", True)], 0),
    ({"a": 1}, [op("test", "/a", "1")], 0),
    ({"a": [1]}, [op("test", "/a/-", 1)], 0),
    ({"a": [1]}, [op("test", "/a", [True])], 0),
    ({"a": 1}, [op("test", "/a", 1), op("test", "/a", 2)], 1),
]


@pytest.mark.parametrize("run", BOTH)
@pytest.mark.parametrize(("doc", "patch", "op_index"), MISFITS)
def test_does_not_fit(run: Apply, doc: Any, patch: Any, op_index: int) -> None:
    validate(patch)
    value = deepcopy(doc)
    with pytest.raises(PatchFailedError) as caught:
        run(value, deepcopy(patch))
    error = caught.value
    assert (error.op_index, error.pointer) == (op_index, patch[op_index]["path"])
    assert (error.document, error.expected, error.current) == ("", None, None)
    assert isinstance(error, ConflictError)
    assert error.hint
    assert run is apply_trusted or text(value) == text(doc)


# --- what is no patch -----------------------------------------------------------

MALFORMED: list[tuple[Any, int, str]] = [
    (None, -1, ""),
    ({"op": "add"}, -1, ""),
    ("[]", -1, ""),
    ((), -1, ""),
    ([None], 0, ""),
    ([[]], 0, ""),
    (["add"], 0, ""),
    ([{}], 0, ""),
    ([{"path": "/a", "value": 1}], 0, "/a"),
    ([op("spam", "/a", 1)], 0, "/a"),
    ([op("Add", "/a", 1)], 0, "/a"),
    ([{"op": None, "path": "/a"}], 0, "/a"),
    ([{"op": ["add"], "path": "/a", "value": 1}], 0, "/a"),
    ([{"op": "add", "value": 1}], 0, ""),
    ([op("add", None, 1)], 0, ""),
    ([op("add", 1, 1)], 0, ""),
    ([op("add", "a", 1)], 0, "a"),
    ([op("add", "x/a", 1)], 0, "x/a"),
    ([op("add", "x/a/-", 1)], 0, "x/a/-"),
    ([op("add", "/a~", 1)], 0, "/a~"),
    ([op("add", "/a~2", 1)], 0, "/a~2"),
    ([op("add", "/a")], 0, "/a"),
    ([op("add", "/a/-")], 0, "/a/-"),
    ([op("replace", "/a")], 0, "/a"),
    ([op("test", "/a")], 0, "/a"),
    ([op("move", "/a")], 0, "/a"),
    ([op("copy", "/a")], 0, "/a"),
    ([transfer("move", None, "/a")], 0, "/a"),
    ([transfer("copy", "b", "/a")], 0, "/a"),
    ([transfer("move", "/a", "/a/b")], 0, "/a/b"),
    ([transfer("move", "/0", "/0/b")], 0, "/0/b"),
    ([transfer("move", "", "/a")], 0, "/a"),
    ([transfer("move", "/a~1b", "/a~1b/c")], 0, "/a~1b/c"),
    ([op("add", "/x", 1), op("replace", "/a", 1), op("jump", "/b")], 2, "/b"),
]


@pytest.mark.parametrize(("patch", "op_index", "pointer"), MALFORMED)
def test_malformed(patch: Any, op_index: int, pointer: str) -> None:
    for check in (validate, lambda patch: apply({"a": [1], "0": 1}, patch)):
        with pytest.raises(InvalidPatchError) as caught:
            check(patch)
        assert (caught.value.op_index, caught.value.pointer) == (op_index, pointer)
        assert caught.value.hint


@pytest.mark.parametrize(("patch", "op_index", "pointer"), [m for m in MALFORMED if m[1] >= 0])
def test_replay_names_a_malformed_operation(patch: Any, op_index: int, pointer: str) -> None:
    with pytest.raises(InvalidPatchError) as caught:
        apply_trusted({"a": [1], "0": 1}, patch)
    assert (caught.value.op_index, caught.value.pointer) == (op_index, pointer)


def test_a_malformed_operation_late_in_a_patch_changes_nothing() -> None:
    value = {"a": 1}
    with pytest.raises(InvalidPatchError):
        apply(value, [op("remove", "/a"), op("add", "/b")])
    assert value == {"a": 1}


# --- all or nothing ---------------------------------------------------------------

START: dict[str, Any] = {"one": 1, "two": [1, 2, 3], "three": {"x": {"y": 1}, "z": 0}, "four": None}

DONE_FIRST = {
    "add a member": op("add", "/new", 1),
    "add over a member": op("add", "/one", 2),
    "add an inner member": op("add", "/three/x/new", 1),
    "add an item": op("add", "/two/1", 9),
    "append": op("add", "/two/-", 9),
    "add the root": op("add", "", {"other": 1}),
    "replace a member": op("replace", "/one", 2),
    "replace an item": op("replace", "/two/1", 9),
    "replace the root": op("replace", "", {"other": 1}),
    "remove the first member": op("remove", "/one"),
    "remove an inner member": op("remove", "/three/x"),
    "remove an item": op("remove", "/two/0"),
    "move a member": transfer("move", "/one", "/three/w"),
    "move over a member": transfer("move", "/three", "/one"),
    "move an item": transfer("move", "/two/0", "/two/-"),
    "move to the root": transfer("move", "/three", ""),
    "copy a member": transfer("copy", "/three", "/five"),
    "copy an item": transfer("copy", "/two/0", "/two/0"),
    "test": op("test", "/one", 1),
}
FAILS_THEN = {
    "add": op("add", "/missing/x", 1),
    "replace": op("replace", "/missing", 1),
    "remove": op("remove", "/missing"),
    "move from nowhere": transfer("move", "/missing", "/x"),
    "copy": transfer("copy", "/missing", "/x"),
    "test": op("test", "", "another"),
}


@pytest.mark.parametrize("failing", FAILS_THEN.values(), ids=list(FAILS_THEN))
@pytest.mark.parametrize("first", DONE_FIRST.values(), ids=list(DONE_FIRST))
def test_roll_back(first: dict[str, Any], failing: dict[str, Any]) -> None:
    value = deepcopy(START)
    two, three = value["two"], value["three"]
    patch = [first, failing, op("add", "", {})]
    before = text(patch)
    with pytest.raises(PatchFailedError) as caught:
        apply(value, patch)
    assert caught.value.op_index == 1
    assert text(value) == text(START)
    assert value["two"] is two
    assert value["three"] is three
    assert text(patch) == before


def test_roll_back_of_everything_at_once() -> None:
    value = deepcopy(START)
    whole = {"add the root", "replace the root", "move to the root"}
    patch = [
        op("test", "/one", 1),
        *(step for name, step in DONE_FIRST.items() if "add" in name and name not in whole),
        op("remove", "/one"),
        op("remove", "/three/x"),
        transfer("move", "/two/0", "/two/-"),
        transfer("move", "/three", "/two/0"),
        transfer("copy", "/two", "/two/-"),
        op("replace", "", {}),
        op("remove", "/one"),
    ]
    with pytest.raises(PatchFailedError) as caught:
        apply(value, patch)
    assert caught.value.op_index == len(patch) - 1
    assert text(value) == text(START)


@pytest.mark.parametrize(
    "failing",
    [transfer("move", "/one", "/missing/x"), transfer("move", "/two/0", "/two/3")],
)
def test_roll_back_of_a_move_that_fails_half_way(failing: dict[str, Any]) -> None:
    value = deepcopy(START)
    with pytest.raises(PatchFailedError):
        apply(value, [failing])
    assert text(value) == text(START)


def test_inserted_values_are_rolled_back_too() -> None:
    mine: dict[str, Any] = {"list": [1]}
    patch = [op("add", "/a", mine), op("add", "/a/list/-", 2), op("remove", "/missing")]
    with pytest.raises(PatchFailedError):
        apply({}, patch)
    assert mine == {"list": [1]}


@pytest.mark.parametrize("interruption", [MemoryError, KeyboardInterrupt])
def test_roll_back_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def fail(_: Any) -> Any:
        raise interruption

    monkeypatch.setattr(patch_module, "copy", fail)
    value = deepcopy(START)
    with pytest.raises(interruption):
        apply(value, [op("remove", "/one"), transfer("copy", "/two", "/x")])
    assert text(value) == text(START)


# --- ownership, nesting, equality --------------------------------------------------


@pytest.mark.parametrize("run", BOTH)
def test_works_in_place_and_takes_over_values(run: Apply) -> None:
    value: dict[str, Any] = {"a": []}
    mine = {"x": 1}
    assert run(value, [op("add", "/a/-", mine)]) is value
    assert value["a"][0] is mine


@pytest.mark.parametrize("run", BOTH)
def test_copy_shares_nothing(run: Apply) -> None:
    value = run({"a": {"b": [1]}}, [transfer("copy", "/a", "/c")])
    assert value["c"] is not value["a"]
    assert value["c"]["b"] is not value["a"]["b"]


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("run", BOTH)
def test_copy_and_move_keep_the_nesting_limit(run: Apply) -> None:
    for kind in ("copy", "move"):
        fits = {"a": nested(MAX_NESTING - 2), "b": {}}
        run(fits, [transfer(kind, "/a", "/b/c")])
        deep = {"a": nested(MAX_NESTING - 1), "b": {}}
        with pytest.raises(PatchFailedError, match="nested"):
            run(deep, [transfer(kind, "/a", "/b/c")])
    assert run({"a": nested(MAX_NESTING - 1)}, [transfer("move", "/a", "/b")])


EQUAL = [
    (1, 1.0), (0, -0.0), (True, True), (None, None), ("a", "a"), ([], []), ({}, {}),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}), ([1, [2]], [1.0, [2]]), (10**20, 1e20),
]  # fmt: skip
DIFFERENT = [
    (True, 1), (False, 0), (1, "1"), (None, False), (None, 0), ([], {}), ([], ""), ({}, None),
    ([1], [True]), ({"a": 1}, {"a": True}), ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": 1, "b": 1}),
    ([1], [1, 1]), ([1, 2], [2, 1]), (10**20 + 1, 1e20), ("é", "e\u0301"),
    ({"a": None}, {"b": None}),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal(a: Any, b: Any) -> None:
    assert json_equal(a, b) is True
    assert json_equal(b, a) is True


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different(a: Any, b: Any) -> None:
    assert json_equal(a, b) is False
    assert json_equal(b, a) is False


# --- agreement with other implementations, on generated patches ------------------------

KEYS = ["a", "b", "", "0", "1", "x/y", "m~n", "é", "-"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from("xyz"),
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.lists(trees, max_size=4) | st.dictionaries(st.sampled_from(KEYS), trees, max_size=4)


def places(tree: Any, at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found = [(at, tree)]
    members = tree.items() if isinstance(tree, dict) else ()
    items = enumerate(tree) if isinstance(tree, list) else ()
    for key, value in [*members, *items]:
        found += places(value, (*at, str(key)))
    return found


@st.composite
def operations(draw: st.DrawFn, doc: Any) -> dict[str, Any]:
    """An operation that mostly fits `doc`."""
    there = places(doc)
    kind = draw(st.sampled_from(["add", "replace", "remove", "move", "copy", "test"]))
    path, value = draw(st.sampled_from(there[1:] or there))
    if kind in {"add", "move", "copy"}:
        parent, container = draw(
            st.sampled_from([p for p in there if isinstance(p[1], (dict, list))])
        )
        end = len(container) if isinstance(container, list) else 0
        fresh = st.sampled_from(KEYS)
        step = fresh if isinstance(container, dict) else st.integers(0, end).map(str) | st.just("-")
        path = (*parent, draw(step))
    if draw(st.integers(0, 19)) == 0:
        path = (*path, draw(st.sampled_from(["a", "7", "01", "-", ""])))
    made: dict[str, Any] = {"op": kind, "path": format_pointer(path)}
    if kind in {"move", "copy"}:
        made["from"] = format_pointer(draw(st.sampled_from(there))[0])
    elif kind == "test":
        # Where it must fail it fails for all: the others hold true for equal to 1.
        made["value"] = deepcopy(value) if draw(st.integers(0, 7)) else "another value"
    elif kind != "remove":
        made["value"] = draw(trees)
    return made


@st.composite
def documents_with_patches(draw: st.DrawFn) -> tuple[Any, list[dict[str, Any]]]:
    doc = draw(documents)
    now, patch = deepcopy(doc), []
    for _ in range(draw(st.integers(1, 5))):
        if not isinstance(now, (dict, list)):
            break  # the others differ in what they take for a document
        made = draw(operations(now))
        patch.append(made)
        try:
            now = apply(now, [deepcopy(made)])
        except PlainstateError:
            break
    return doc, patch


def outcome(run: Apply, errors: tuple[type[Exception], ...], doc: Any, patch: Any) -> str:
    try:
        return json.dumps(run(deepcopy(doc), deepcopy(patch)), sort_keys=True)
    except errors:
        return "refused"


def ours(doc: Any, patch: Any) -> str:
    return outcome(apply, (PlainstateError,), doc, patch)


def with_jsonpatch(doc: Any, patch: Any) -> str:
    errors = (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException)
    return outcome(jsonpatch.apply_patch, errors, doc, patch)


def with_jsonpath(doc: Any, patch: Any) -> str:
    def apply_theirs(doc: Any, patch: Any) -> Any:
        # By default it takes pointers for text with \uXXXX escapes, which JSON has decoded.
        return jsonpath.JSONPatch(patch, unicode_escape=False).apply(doc)

    errors = (jsonpath.JSONPatchError, jsonpath.JSONPointerError)
    return outcome(apply_theirs, errors, doc, patch)


def test_agrees_with_jsonpatch_and_python_jsonpath() -> None:
    fitted: list[bool] = []

    @given(documents_with_patches())
    @settings(max_examples=500, deadline=None)
    def agree(case: tuple[Any, list[dict[str, Any]]]) -> None:
        doc, patch = case
        result = ours(doc, patch)
        fitted.append(result != "refused")
        assert result == with_jsonpatch(doc, patch)
        assert result == with_jsonpath(doc, patch)

    agree()
    assert sum(fitted) > len(fitted) / 3, "the generated patches hardly ever fit"


@given(documents_with_patches())
@settings(max_examples=300, deadline=None)
def test_any_patch_that_fails_at_its_end_leaves_no_trace(
    case: tuple[Any, list[dict[str, Any]]],
) -> None:
    doc, patch = case
    value = deepcopy(doc)
    with pytest.raises((PatchFailedError, InvalidPatchError)):
        apply(value, [*deepcopy(patch), op("test", "", "nothing like this")])
    assert text(value) == text(doc)


@given(documents_with_patches())
@settings(max_examples=200, deadline=None)
def test_replay_does_what_apply_did(case: tuple[Any, list[dict[str, Any]]]) -> None:
    doc, patch = case
    replayed = outcome(apply_trusted, (PlainstateError,), doc, patch)
    assert replayed == ours(doc, patch)


# --- the official cases ------------------------------------------------------------

OFFICIAL = os.environ.get("PLAINSTATE_JSON_PATCH_TESTS", "")


def official_cases() -> list[Any]:
    if not OFFICIAL:
        return []
    cases = []
    for name in ("tests.json", "spec_tests.json"):
        for number, case in enumerate(json.loads((Path(OFFICIAL) / name).read_bytes())):
            if not case.get("disabled"):
                cases.append(pytest.param(case, id=f"{name}-{number}"))
    return cases


@pytest.mark.skipif(not OFFICIAL, reason="PLAINSTATE_JSON_PATCH_TESTS is not set")
@pytest.mark.parametrize("run", BOTH)
@pytest.mark.parametrize("case", official_cases())
def test_official(run: Apply, case: dict[str, Any]) -> None:
    doc = deepcopy(case["doc"])
    if "error" in case:
        with pytest.raises((PatchFailedError, InvalidPatchError)):
            run(doc, case["patch"])
        assert run is apply_trusted or text(doc) == text(case["doc"])
    else:
        assert json_equal(run(doc, case["patch"]), case.get("expected", case["doc"]))
