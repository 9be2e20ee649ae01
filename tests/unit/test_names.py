"""Names: everything hostile is refused, everything sensible passes unchanged."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainstate.core.names import check_category, check_name, check_tx_id
from plainstate.errors import InvalidNameError
from plainstate.limits import MAX_NAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = [
    "a",
    "plan-2026",
    "0190b6a4-8f5e-7c3a-9d2e-1f4a5b6c7d8e",
    "user:123@example.org",
    "Pläne für März",
    "日本語",
    "👩‍👩‍👧",  # joined by U+200D, which is no bidi control
    "a.b.c",
    "plan.json",
    "~draft",
    "-rf",
    "$(touch x)",
    "console",
    "nul-1",
    "COM10",
    "x" * MAX_NAME_BYTES,
    "é" * (MAX_NAME_BYTES // 2),
]

BAD = [
    ("", "empty"),
    (".", "begins with"),
    ("..", "'..'"),
    ("../../etc/passwd", "'..'"),
    ("a..b", "'..'"),
    (".hidden", "begins with"),
    (".plainstate", "begins with"),
    ("a.", "ends with"),
    ("a\\b", "contains"),
    ("a\0b", "U+0000"),
    ("a\nb", "U+000A"),
    ("a\x7f", "U+007F"),
    ("a\x85b", "U+0085"),
    (" a", "white space"),
    ("a\u00a0", "white space"),
    ("\u3000a", "white space"),
    ("a\u2028b", "U+2028"),
    ("a\u2029b", "U+2029"),
    ("a\u202eb", "U+202E"),
    ("a\u2066b", "U+2066"),
    ("a\u200fb", "U+200F"),
    ("a\u061cb", "U+061C"),
    ("a\ud800", "U+D800"),
    ("a\udfffb", "U+DFFF"),
    ("a\ufdd0", "U+FDD0"),
    ("a\uffff", "U+FFFF"),
    ("a\U0010fffe", "U+10FFFE"),
    ("e\u0301", "NFC"),
    ("\u212b", "NFC"),
    ("con", "device"),
    ("Nul.txt", "device"),
    ("AUX .tar.gz", "device"),
    ("lpt9", "device"),
    ("COM¹", "device"),
    ("conin$", "device"),
    ("x" * (MAX_NAME_BYTES + 1), "bytes long"),
    ("é" * (MAX_NAME_BYTES // 2 + 1), "bytes long"),
    ("x" * 10_000, "bytes long"),
]


BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("name", GOOD)
def test_good_names_pass_unchanged(name: str) -> None:
    assert check_name(name) is name


@pytest.mark.parametrize(("name", "reason"), [*BAD, ("a/b", "contains")])
def test_bad_names_are_refused(name: str, reason: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_name(name)
    assert reason in caught.value.message
    assert caught.value.name == name
    assert caught.value.hint
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("value", [None, 1, b"a", ["a"], object()])
def test_other_types_are_refused(value: object) -> None:
    for check in (check_name, check_category, check_tx_id):
        with pytest.raises(InvalidNameError, match="must be a str"):
            check(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "category", ["notes", "a/b/c", "projects/alpha 1", "md", "a.markdown", "/".join("a" * 16)]
)
def test_good_categories_pass_unchanged(category: str) -> None:
    assert check_category(category) is category


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        *BAD,
        *((f"a/{name}/b", reason) for name, reason in BAD if name),
        ("/a", "empty part"),
        ("a/", "empty part"),
        ("a//b", "empty part"),
        ("/", "empty part"),
        ("a/./b", "begins with"),
        ("a/x.json", "document's file"),
        ("x.JSONL/a", "document's file"),
        ("x.md", "document's file"),
        ("x.mdl", "document's file"),
        ("/".join("a" * 17), "17 parts"),
        ("/".join(["x" * 240] * 5), "1204 bytes"),
    ],
)
def test_bad_categories_are_refused(category: str, reason: str) -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_category(category)
    assert reason in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("tx_id", ["a", "turn-17/attempt 2", "~" * 128, "../x"])
def test_good_tx_ids_pass_unchanged(tx_id: str) -> None:
    assert check_tx_id(tx_id) is tx_id


@pytest.mark.parametrize("tx_id", ["", "é", "a\n", "a\0", "\x7f", "~" * 129, "\ud800"])
def test_bad_tx_ids_are_refused(tx_id: str) -> None:
    with pytest.raises(InvalidNameError):
        check_tx_id(tx_id)


def test_hint_gives_the_nfc_form() -> None:
    with pytest.raises(InvalidNameError) as caught:
        check_name("cafe\u0301")
    assert "'caf\\xe9'" in caught.value.hint


@given(st.text(st.characters(codec=None), max_size=60))
def test_what_passes_is_safe_as_a_file_name(name: str) -> None:
    try:
        check_name(name)
    except InvalidNameError:
        return
    assert name == unicodedata.normalize("NFC", name) == name.strip()
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert name.strip(".") == name
    assert not set(name) & set("/\\")
    assert not {unicodedata.category(char) for char in name} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(char) for char in name} & BIDI_CONTROLS


@given(st.text(st.characters(codec="utf-8")))
def test_a_good_name_is_a_good_category_unless_it_ends_like_a_file(name: str) -> None:
    def passes(check: Callable[[str], str], text: str) -> bool:
        try:
            check(text)
        except InvalidNameError:
            return False
        return True

    if name.lower().endswith((".json", ".jsonl", ".md", ".mdl")) or "/" in name:
        return
    assert passes(check_name, name) == passes(check_category, name)
