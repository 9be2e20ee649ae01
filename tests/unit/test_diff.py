"""The difference of two trees, as a patch that leads from one to the other."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainstate.core.diff import diff
from plainstate.core.patch import apply

LONG = "so long a text that nobody would want to write it a second time"

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, -0.0, 1.0, 1.5, 10**30]),
    st.text(alphabet="ab~/é", max_size=3),
)
keys = st.sampled_from(["", "a", "b", "-", "0", "x/y", "m~n", "~1"])
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=14,
)


def canonical(tree: Any) -> str:
    """Text that differs wherever types differ, but not in the order of members."""
    return json.dumps(tree, sort_keys=True)


def op(kind: str, path: str, *value: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **({"value": value[0]} if value else {})}


CASES: list[tuple[str, Any, Any, list[dict[str, Any]]]] = [
    ("same", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, []),
    ("order of members", {"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ("scalar root", 1, 2, [op("replace", "", 2)]),
    ("int to float", {"a": 1}, {"a": 1.0}, [op("replace", "/a", 1.0)]),
    ("bool to int", {"a": True}, {"a": 1}, [op("replace", "/a", 1)]),
    ("int to bool", [LONG, 0], [LONG, False], [op("replace", "/1", False)]),
    ("sign of zero", [LONG, 0.0], [LONG, -0.0], [op("replace", "/1", -0.0)]),
    ("nested bool", [LONG, [1]], [LONG, [True]], [op("replace", "/1/0", True)]),
    ("null to absent", {"a": None}, {}, [op("remove", "/a")]),
    ("absent to null", {}, {"a": None}, [op("add", "/a", None)]),
    ("array to object", {"a": []}, {"a": {}}, [op("replace", "/a", {})]),
    ("escaped keys", {"x/y": 1, "m~n": LONG}, {"x/y": 2, "m~n": LONG}, [op("replace", "/x~1y", 2)]),
    ("escaped new key", {}, {"~1": 1}, [op("add", "/~01", 1)]),
    ("empty key", {"": {"": 1}}, {"": {"": 2}}, [op("replace", "//", 2)]),
    ("key that looks like the end", {"-": 1}, {"-": 2}, [op("replace", "/-", 2)]),
    ("append", {"m": [1, 2]}, {"m": [1, 2, 3]}, [op("add", "/m/-", 3)]),
    ("append to nothing", [], [1, 2], [op("add", "/-", 1), op("add", "/-", 2)]),
    (
        "objects by member, never whole",
        {"a": 1, "b": 1},
        {"b": 2, "c": 3},
        [op("remove", "/a"), op("replace", "/b", 2), op("add", "/c", 3)],
    ),
    ("append to root", [1], [1, 1, 2], [op("add", "/-", 1), op("add", "/-", 2)]),
    ("append the same again", [1, 1], [1, 1, 1], [op("add", "/-", 1)]),
    ("prepend", [LONG, 2], [0, LONG, 2], [op("add", "/0", 0)]),
    ("insert", [LONG, LONG], [LONG, 5, LONG], [op("add", "/1", 5)]),
    ("insert two", [LONG * 2, 0], [LONG * 2, 5, 6, 0], [op("add", "/1", 5), op("add", "/2", 6)]),
    ("remove one", [LONG, 2, 3], [LONG, 3], [op("remove", "/1")]),
    ("remove two", [LONG, 1, 2, LONG], [LONG, LONG], [op("remove", "/2"), op("remove", "/1")]),
    ("remove the end", [LONG, 2], [LONG], [op("remove", "/1")]),
    (
        "item changed",
        [LONG, {"a": 1, "b": LONG}],
        [LONG, {"a": 2, "b": LONG}],
        [op("replace", "/1/a", 2)],
    ),
    ("all other", [1, 2, 3, 4], [5, 6, 7, 8], [op("replace", "", [5, 6, 7, 8])]),
    ("emptied", {"k": LONG, "m": [1, 2, 3]}, {"k": LONG, "m": []}, [op("replace", "/m", [])]),
    (
        "a turn of a conversation",
        {"user_messages": [{"content": LONG}], "updated_at": "1", "id": LONG},
        {"user_messages": [{"content": LONG}, {"content": "b"}], "updated_at": "2", "id": LONG},
        [op("add", "/user_messages/-", {"content": "b"}), op("replace", "/updated_at", "2")],
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_case(old: Any, new: Any, expected: list[dict[str, Any]]) -> None:
    patch = diff(old, new)
    assert canonical(patch) == canonical(expected)
    assert canonical(apply(deepcopy(old), deepcopy(patch))) == canonical(new)


@given(trees, trees)
@settings(max_examples=400, deadline=None)
def test_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    before = canonical([old, new])
    patch = deepcopy(diff(old, new))
    assert canonical([old, new]) == before
    assert canonical(apply(deepcopy(old), patch)) == canonical(new)
    assert (patch == []) == (canonical(old) == canonical(new))


@given(trees, st.data())
@settings(max_examples=250, deadline=None)
def test_small_change_of_a_tree(old: Any, data: st.DataObject) -> None:
    root = {"root": deepcopy(old)}
    container: Any = root
    key: Any = "root"
    while isinstance(container[key], (dict, list)) and container[key]:
        container = container[key]
        chosen = data.draw(st.integers(0, len(container) - 1))
        key = chosen if isinstance(container, list) else list(container)[chosen]
    container[key] = data.draw(scalars)
    patch = deepcopy(diff({"root": old}, root))
    assert len(patch) <= 1
    assert canonical(apply({"root": deepcopy(old)}, patch)) == canonical(root)


@given(st.lists(trees, max_size=5), st.lists(trees, max_size=5))
@settings(max_examples=200, deadline=None)
def test_arrays_that_did_not_only_grow_are_written_whole_where_shorter(
    old: list[Any], new: list[Any]
) -> None:
    patch = diff(old, new)
    grown = canonical(new[: len(old)]) == canonical(old)
    assert grown or len(patch) <= 1 or len(repr(patch)) <= len(repr(new))


def test_the_length_of_the_history_does_not_matter() -> None:
    old = [{"content": f"message {number}"} for number in range(5000)]
    assert len(diff(old, [*old, {"content": "last"}])) == 1
    assert len(diff(old, deepcopy(old[:2500]) + deepcopy(old[2501:]))) == 1
