"""JSON Pointer: the examples of RFC 6901 and what it forbids."""

from __future__ import annotations

from typing import Any

import jsonpointer  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainstate.core import pointer
from plainstate.errors import InvalidPatchError

RFC_DOCUMENT: dict[str, Any] = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}

RFC_EXAMPLES: list[tuple[str, Any]] = [
    ("", RFC_DOCUMENT),
    ("/foo", ["bar", "baz"]),
    ("/foo/0", "bar"),
    ("/", 0),
    ("/a~1b", 1),
    ("/c%d", 2),
    ("/e^f", 3),
    ("/g|h", 4),
    ("/i\\j", 5),
    ('/k"l', 6),
    ("/ ", 7),
    ("/m~0n", 8),
]

steps = st.lists(st.text(alphabet="a0-~/ é#", max_size=3), max_size=5).map(tuple)


@pytest.mark.parametrize(("text", "expected"), RFC_EXAMPLES)
def test_rfc_6901_section_5(text: str, expected: object) -> None:
    assert pointer.resolve(RFC_DOCUMENT, text) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("/", ("",)),
        ("//", ("", "")),
        ("/a", ("a",)),
        ("/a/b/c", ("a", "b", "c")),
        ("/a/", ("a", "")),
        ("/~0", ("~",)),
        ("/~1", ("/",)),
        ("/~01", ("~1",)),
        ("/~10", ("/0",)),
        ("/~0~1~0", ("~/~",)),
        ("/é/日本", ("é", "日本")),
        ("/-", ("-",)),
    ],
)
def test_parse_and_format(text: str, parts: tuple[str, ...]) -> None:
    assert pointer.parse(text) == parts
    assert pointer.format(parts) == text


@pytest.mark.parametrize(
    "text", ["a", "a/b", " /a", "#/a", "~0", "/~", "/a~", "/~2", "/~~0", "/~0~"]
)
def test_malformed(text: str) -> None:
    with pytest.raises(InvalidPatchError) as caught:
        pointer.parse(text)
    assert (caught.value.op_index, caught.value.pointer) == (-1, text)
    assert caught.value.hint


@pytest.mark.parametrize("value", [None, 1, b"/a", ["a"], True])
def test_only_text_is_a_pointer(value: Any) -> None:
    with pytest.raises(InvalidPatchError) as caught:
        pointer.parse(value)
    assert caught.value.pointer == ""


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/x",
            "/foo/2",
            "/foo/-",
            "/foo/-1",
            "/foo/00",
            "/foo/01",
            "/foo/+1",
            "/foo/1e0",
            "/foo/",
        ),
        *("/foo/ 1", "/foo/1 ", "/foo/1.0", "/foo/²", "/foo/١", "/foo/" + "9" * 5000),
        *("/foo/0/0", "/a~1b/x", "/foo/1_0"),
    ],
)
def test_nothing_there(text: str) -> None:
    with pytest.raises(LookupError):
        pointer.resolve(RFC_DOCUMENT, text)


def test_the_error_says_how_far_the_document_goes() -> None:
    with pytest.raises(LookupError, match="'/a/b~1c'"):
        pointer.resolve({"a": {}}, "/a/b~1c/d")


def test_resolve_gives_the_part_itself() -> None:
    doc = {"a": [{"b": 1}]}
    assert pointer.resolve(doc, "/a/0") is doc["a"][0]


@pytest.mark.parametrize(("part", "size", "index"), [("0", 1, 0), ("9", 10, 9), ("10", 11, 10)])
def test_array_index(part: str, size: int, index: int) -> None:
    assert pointer.array_index(part, size) == index
    with pytest.raises(LookupError):
        pointer.array_index(part, index)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_format_is_the_inverse_and_agrees_with_jsonpointer(parts: tuple[str, ...]) -> None:
    text = pointer.format(parts)
    assert pointer.parse(text) == parts
    assert jsonpointer.JsonPointer.from_parts(parts).path == text


@given(st.text(alphabet="/~01a", max_size=8))
@settings(max_examples=300, deadline=None)
def test_parse_agrees_with_jsonpointer(text: str) -> None:
    try:
        theirs = tuple(jsonpointer.JsonPointer(text).parts)
    except jsonpointer.JsonPointerException:
        with pytest.raises(InvalidPatchError):
            pointer.parse(text)
    else:
        assert pointer.parse(text) == theirs
