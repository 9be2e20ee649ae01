"""Exact JSON: hostile values are refused with their place, the rest survives."""

from __future__ import annotations

import collections
import enum
import json
import math
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainstate.core import codec
from plainstate.errors import InvalidValueError
from plainstate.limits import MAX_INTEGER_DIGITS, MAX_NESTING

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**60), 10**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), inner, max_size=5),
    ),
    max_leaves=20,
)


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    ONE = "one"


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Odd(int):
    def __int__(self) -> int:
        return 99


class Pair(NamedTuple):
    left: int
    right: int


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    return repr(one) == repr(other)


def nested(levels: int, *, by: str = "list") -> Any:
    tree: Any = "leaf"
    for _ in range(levels):
        tree = [tree] if by == "list" else {"k": tree}
    return tree


@given(TREES)
def test_check_copies_and_keeps_plain_trees(tree: Any) -> None:
    copy = codec.check(tree)
    assert same(copy, tree)
    assert not (containers(copy) & containers(tree))


def containers(tree: Any) -> set[int]:
    if not isinstance(tree, dict | list):
        return set()
    items = tree.values() if isinstance(tree, dict) else tree
    return {id(tree)}.union(*map(containers, items))


@given(TREES)
def test_encode_and_decode_round_trip_and_agree_with_json(tree: Any) -> None:
    for data in (codec.encode(tree), codec.encode_pretty(tree)):
        assert same(codec.decode(data), tree)
        assert same(json.loads(data), tree)
    compact = json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode()
    indented = json.dumps(tree, ensure_ascii=True, indent=1).encode()
    assert same(codec.decode(compact), tree)
    assert same(codec.decode(indented), tree)
    assert b"\n" not in codec.encode(tree)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_every_bit(number: float) -> None:
    assert same(codec.decode(codec.encode(number)), number)
    assert same(codec.decode(repr(number).encode()), number)


@given(st.binary(max_size=40))
def test_whatever_the_bytes_decode_gives_json_or_its_own_error(data: bytes) -> None:
    try:
        tree = codec.decode(data)
    except InvalidValueError:
        return
    assert same(codec.check(tree), tree)


@given(st.text('[]{}",:\\u d8\n0123e.-+truefalsn', max_size=30))
def test_decode_accepts_only_what_json_accepts(text: str) -> None:
    try:
        tree = codec.decode(text.encode())
    except InvalidValueError:
        return
    assert same(json.loads(text), tree)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2,)), [1, [2]]),
        (Pair(1, 2), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (Color.RED, "red"),
        ({Color.RED: Color.RED}, {"red": "red"}),
        (Level.HIGH, 3),
        (Shouting("a"), "a"),
        (Odd(5), 5),
        (type("F", (float,), {})(1.5), 1.5),
        (type("L", (list,), {})([1]), [1]),
        (True, True),
        ("\U0001f600é\u2028\x00", "\U0001f600é\u2028\x00"),
    ],
)
def test_check_makes_plain(value: object, plain: object) -> None:
    made = codec.check([value])[0]
    assert same(made, plain)
    assert type(made) is type(plain)
    if isinstance(plain, dict):
        assert all(type(text) is str for item in made.items() for text in item if item == "red")


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (math.nan, ""),
        ([1, math.inf], "/1"),
        ({"a": {"b/c~": [0, -math.inf]}}, "/a/b~1c~0/1"),
        ({"a": type("F", (float,), {})("nan")}, "/a"),
        ({"a": "\ud800"}, "/a"),
        ({"a": "ok\udfffé"}, "/a"),
        ({"\udc00": 1}, "/\\udc00"),
        ({"a": {1: 2}}, "/a"),
        ({None: 2}, ""),
        ({True: 2}, ""),
        ({10**5000: 3}, ""),
        ({b"a": [2]}, ""),
        ([b"bytes"], "/0"),
        ({"a": {1, 2}}, "/a"),
        ({"a": [Decimal(1)]}, "/a/0"),
        ({"a": object()}, "/a"),
        ({"a": Plain.ONE}, "/a"),
        ({"a": iter([])}, "/a"),
        ({"a": 1j}, "/a"),
        ([[], [10**MAX_INTEGER_DIGITS]], "/1/0"),
        ([-(10 ** (MAX_INTEGER_DIGITS - 1))], "/0"),
        (((1, (2, math.nan)),), "/0/1/1"),
    ],
)
def test_check_refuses_with_the_place(value: object, pointer: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        codec.check(value)
    error = caught.value
    assert error.pointer == pointer
    assert error.hint
    assert len(str(error).encode()) < 200
    assert error.__cause__ is None


@pytest.mark.parametrize("by", ["list", "dict"])
def test_nesting_limit_is_the_same_in_and_out(by: str) -> None:
    deepest, deeper = nested(MAX_NESTING, by=by), nested(MAX_NESTING + 1, by=by)
    assert codec.check(deepest) == deepest
    assert codec.decode(codec.encode(deepest)) == deepest
    with pytest.raises(InvalidValueError, match="nested"):
        codec.check(deeper)
    with pytest.raises(InvalidValueError, match="nested"):
        codec.decode(codec.encode(deeper))


@pytest.mark.parametrize("last", [{}, [], {"k": 1}, {"k": []}])
def test_nesting_limit_counts_every_kind_of_container(last: object) -> None:
    """Some dicts are not tracked by the garbage collector; they count as well."""
    height = 2 if last == {"k": []} else 1
    tree, deeper = last, [last]
    for _ in range(MAX_NESTING - height):
        tree, deeper = ["x" * 9, tree], ["x" * 9, deeper]
    assert codec.decode(codec.encode(tree)) == tree
    with pytest.raises(InvalidValueError, match="nested"):
        codec.decode(codec.encode(deeper))


def test_depth_counts_the_levels_above() -> None:
    assert codec.check([1], depth=MAX_NESTING - 1) == [1]
    assert codec.check(1, depth=MAX_NESTING) == 1
    with pytest.raises(InvalidValueError, match="nested"):
        codec.check([1], depth=MAX_NESTING)


def test_brackets_inside_strings_are_no_nesting() -> None:
    tree = {"a": "[" * 1000, "b": "{" * 1000, "c": ["]" * 9] * 300}
    assert codec.decode(codec.encode(tree)) == tree


@pytest.mark.parametrize("opener", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("levels", [129, 900, 100_000])
def test_hostile_nesting_never_ends_in_a_recursion_error(opener: str, levels: int) -> None:
    closer = {"[": "]", '{"a":': "}", '[{"a":': "}]"}[opener]
    with pytest.raises(InvalidValueError):
        codec.decode((opener * levels + "1" + closer * levels).encode())
    with pytest.raises(InvalidValueError):
        codec.decode((opener * levels).encode())


def test_what_contains_itself_is_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    table: dict[str, Any] = {}
    table["me"] = [table, table]
    for value in (itself, table):
        with pytest.raises(InvalidValueError, match="nested"):
            codec.check(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"nul",
        b"True",
        b"1e400",
        b"-1e999",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"0x1",
        b"1_000",
        b"1 2",
        b"[1,]",
        b'{"a":1,}',
        b"{1:2}",
        b"{'a':1}",
        b'{"a"}',
        b"[",
        b'"abc',
        b'"a\nb"',
        b'"\x00"',
        b'"\\x"',
        b'"\\u12"',
        b'"\\ud800"',
        b'["\\udc00"]',
        b'"\\ud800\\u0041"',
        b'{"\\ud800":1}',
        b'"\xff"',
        b'{"\xff":1}',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b"\xc2\xa01",
        b"// x\n1",
        pytest.param(b"1" * (MAX_INTEGER_DIGITS + 1), id="long integer"),
        b"\xff\xfe1\x00",
    ],
)
def test_decode_refuses(data: bytes) -> None:
    with pytest.raises(InvalidValueError) as caught:
        codec.decode(data)
    assert caught.value.pointer == ""
    assert caught.value.hint


def test_decode_names_the_byte_order_mark() -> None:
    with pytest.raises(InvalidValueError, match="byte order mark") as caught:
        codec.decode(b'\xef\xbb\xbf{"a":1}')
    assert "without BOM" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "tree"),
    [
        (b'{"a":1,"a":2}', {"a": 2}),
        (b' \r\n\t{"a" : [ ] }\n', {"a": []}),
        (b'"\\ud83d\\ude00\\/"', "\U0001f600/"),
        (b"1e-400", 0.0),
        (b"-0.0", -0.0),
        (b"18446744073709551616", 2**64),
    ],
)
def test_decode_accepts(data: bytes, tree: object) -> None:
    assert same(codec.decode(data), tree)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_longest_integers_can_be_read_back(sign: int) -> None:
    """The limit of `check` must not be wider than that of `decode`."""
    accepted = []
    for digits in range(MAX_INTEGER_DIGITS - 3, MAX_INTEGER_DIGITS + 3):
        number = sign * (10**digits - 1)
        try:
            codec.check(number)
        except InvalidValueError:
            continue
        assert codec.decode(codec.encode(number)) == number
        accepted.append(digits)
    assert max(accepted) == MAX_INTEGER_DIGITS - (sign < 0)


def test_pretty_form_is_the_ancestors() -> None:
    tree = {"id": "s", "messages": [{"n": 1, "x": None}], "metadata": {}, "empty": [], "é": "\x01"}
    assert codec.encode_pretty(tree).decode() == (
        '{\n  "id": "s",\n  "messages": [\n    {\n      "n": 1,\n      "x": null\n    }\n  ],\n'
        '  "metadata": {},\n  "empty": [],\n  "é": "\\u0001"\n}\n'
    )


@given(TREES)
def test_the_text_that_comes_with_a_checked_tree_is_the_trees(tree: Any) -> None:
    for value in (tree, [tree, (tree,)], {Color.RED: tree}):
        made, text = codec.check_and_encode(value)
        assert same(made, codec.check(value))
        assert text == codec.encode(made)


def test_a_long_text_is_shown_without_being_copied_for_its_newline() -> None:
    tree = ["x" * 1000] * 100
    *parts, end = codec.pretty_pieces(codec.encode(tree))
    assert end == b"\n"
    assert b"".join(parts).decode() == json.dumps(tree, indent=2)
    assert codec.encode_pretty(tree) == b"".join([*parts, end])
    assert len(codec.pretty_pieces(b"[1]")) == 1  # a short one is one write
