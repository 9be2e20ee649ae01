"""Models of every supported library go in and come back; what a file should not hold is refused."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from plainstate.core.convert import from_tree, to_tree
from plainstate.errors import InvalidValueError, UsageError

NOON = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)
NOON_TEXT = "2026-11-22T12:00:00.000005Z"
ROME = timezone(timedelta(hours=1))


class Mood(enum.Enum):
    GOOD = "good"


@dataclasses.dataclass
class DataPoint:
    n: int
    when: datetime
    inner: Any = None


@attrs.define
class AttrsPoint:
    n: int
    when: datetime
    inner: Any = None


class StructPoint(msgspec.Struct):
    n: int
    when: datetime
    inner: Any = None


class ModelPoint(pydantic.BaseModel):
    n: int
    when: datetime
    inner: Any = None


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True, tag="renamed"):
    long_name: int
    left_out: int = 0


class Aliased(pydantic.BaseModel):
    long_name: int = pydantic.Field(alias="longName")


class Strict(pydantic.BaseModel, strict=True):
    id: UUID
    when: datetime
    pair: tuple[int, int]


class Rich(msgspec.Struct):
    id: UUID
    price: Decimal
    day: date
    mood: Mood
    tags: tuple[str, ...] = ()


class Table(TypedDict):
    n: int


@dataclasses.dataclass
class Mixed:
    model: ModelPoint
    structs: list[StructPoint]
    by_name: dict[str, AttrsPoint]


POINTS = [DataPoint, AttrsPoint, StructPoint, ModelPoint]


@pytest.mark.parametrize("cls", POINTS)
def test_models_round_trip(cls: Any) -> None:
    point = cls(n=1, when=NOON, inner={"a": [1, None]})
    tree = to_tree(point)
    assert tree == {"n": 1, "when": NOON_TEXT, "inner": {"a": [1, None]}}
    assert from_tree(tree, cls) == point
    assert from_tree([tree], list[cls]) == [point]


@pytest.mark.parametrize("outer", POINTS)
@pytest.mark.parametrize("inner", POINTS)
def test_models_nest_in_each_other_and_in_containers(outer: Any, inner: Any) -> None:
    value = {"list": [outer(n=1, when=NOON, inner=[inner(n=2, when=NOON)])]}
    assert to_tree(value) == {
        "list": [
            {
                "n": 1,
                "when": NOON_TEXT,
                "inner": [{"n": 2, "when": NOON_TEXT, "inner": None}],
            }
        ]
    }


def test_typed_models_nest_both_ways() -> None:
    mixed = Mixed(
        ModelPoint(n=1, when=NOON), [StructPoint(2, NOON)], {"k": AttrsPoint(3, NOON, "x")}
    )
    assert from_tree(to_tree(mixed), Mixed) == mixed


def test_names_on_disk_are_those_of_the_model() -> None:
    assert to_tree(Renamed(1)) == {"type": "renamed", "longName": 1}
    assert from_tree({"type": "renamed", "longName": 1}, Renamed) == Renamed(1)
    assert to_tree(Aliased(longName=1)) == {"longName": 1}
    assert from_tree({"longName": 1}, Aliased) == Aliased(longName=1)


def test_errors_use_the_names_on_disk() -> None:
    for value in ({1}, b"x"):
        with pytest.raises(InvalidValueError) as caught:
            to_tree([Renamed(value)])  # type: ignore[arg-type]
        assert caught.value.pointer == "/0/longName"


def test_scalars_that_json_lacks() -> None:
    rich = Rich(UUID(int=7), Decimal("1.10"), date(2026, 11, 22), Mood.GOOD, ("a",))
    tree = to_tree(rich)
    assert tree == {
        "id": "00000000-0000-0000-0000-000000000007",
        "price": "1.10",
        "day": "2026-11-22",
        "mood": "good",
        "tags": ["a"],
    }
    assert from_tree(tree, Rich) == rich
    strict = Strict(id=UUID(int=7), when=NOON, pair=(1, 2))
    assert from_tree(to_tree(strict), Strict) == strict


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        NOON.astimezone(ROME),
        type("Later", (datetime,), {})(2026, 11, 22, 13, 0, 0, 5, tzinfo=ROME),
    ],
)
def test_datetimes_become_utc_text(moment: datetime) -> None:
    assert to_tree([moment]) == [NOON_TEXT]
    for cls in POINTS:
        assert to_tree(cls(n=1, when=moment))["when"] == NOON_TEXT


def test_plain_json_is_only_checked() -> None:
    tree = {"a": [1, 2.5, None, True, "é"]}
    assert to_tree(tree) == tree
    assert to_tree(tree)["a"] is not tree["a"]


BAD_INSIDE = [
    (b"x", "bytes"),
    (bytearray(b"x"), "bytearray"),
    ({1}, "set"),
    (frozenset("a"), "frozenset"),
    (NOON.replace(tzinfo=None), "no time zone"),
    (float("nan"), "nan"),
    ("\ud800", "surrogate"),
    ({1: 2}, "key of type int"),
]


@pytest.mark.parametrize("cls", POINTS)
@pytest.mark.parametrize(("value", "reason"), BAD_INSIDE)
def test_what_a_file_should_not_hold_is_refused(cls: Any, value: object, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=reason) as caught:
        to_tree({"p": [cls(n=1, when=NOON, inner=[0, value])]})
    assert caught.value.pointer == "/p/0/inner/1"
    assert caught.value.hint


@pytest.mark.parametrize("value", [object(), StructPoint, DataPoint, ModelPoint, print, 1j])
def test_unknown_types_are_refused(value: object) -> None:
    for wrapped in (value, [value], StructPoint(1, NOON, value), DataPoint(1, NOON, [value])):
        with pytest.raises(InvalidValueError, match="is not JSON"):
            to_tree(wrapped)


@pytest.mark.parametrize("cls", [DataPoint, AttrsPoint, StructPoint])
def test_what_contains_itself_is_refused(cls: Any) -> None:
    point = cls(n=1, when=NOON)
    point.inner = [point]
    with pytest.raises(InvalidValueError, match="nested"):
        to_tree(point)


def test_depth_counts_the_levels_above() -> None:
    point = DataPoint(1, NOON, [[]])
    assert to_tree(point, depth=124)["inner"] == [[]]
    with pytest.raises(InvalidValueError, match="nested"):
        to_tree(point, depth=125)


@pytest.mark.parametrize(
    ("tree", "target", "pointer"),
    [
        (5, StructPoint, ""),
        ({"n": "1", "when": NOON_TEXT}, StructPoint, "/n"),
        ({"n": "1", "when": NOON_TEXT}, DataPoint, "/n"),
        ({"n": "1", "when": NOON_TEXT}, AttrsPoint, "/n"),
        ({"n": "x", "when": NOON_TEXT}, ModelPoint, "/n"),
        ({"n": 1}, StructPoint, ""),
        ({"n": 1}, ModelPoint, "/when"),
        ({"n": 1, "when": "noon"}, StructPoint, "/when"),
        ([1, 2, "3"], list[int], "/2"),
        ({"a": {"n": "1"}}, dict[str, Table], ""),
        ({"n": None}, Table, "/n"),
        ([{"n": "x", "when": NOON_TEXT}], list[ModelPoint], "/0/n"),
        ({"type": "renamed", "longName": "1"}, Renamed, "/longName"),
        ({"model": {"n": 1}, "structs": [], "by_name": {}}, Mixed, "/model/when"),
        ({"k": {"n": 1}}, dict[str, ModelPoint], ""),
    ],
)
def test_mismatch_names_the_place(tree: Any, target: Any, pointer: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        from_tree(tree, target)
    assert caught.value.pointer == pointer
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert "$" not in caught.value.message


@pytest.mark.parametrize("target", [object, type("Odd", (), {}), 5, list[type("Odd", (), {})]])
def test_types_that_cannot_be_made_are_a_usage_error(target: Any) -> None:
    with pytest.raises(UsageError):
        from_tree([1], target)


def test_builtins_and_unions() -> None:
    assert from_tree(2**70, int) == 2**70
    assert from_tree({"n": 1}, Table) == {"n": 1}
    assert from_tree(None, ModelPoint | None) is None  # type: ignore[arg-type]


def test_pydantic_is_never_imported() -> None:
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from plainstate.core.convert import from_tree, to_tree\n"
        "to_tree({'a': [1]})\n"
        "slow = {'asyncio', 'dataclasses'} & set(sys.modules)\n"
        "from_tree({'a': 1}, dict[str, int])\n"
        "models = {'pydantic', 'attrs', 'attr'} & set(sys.modules)\n"
        "print(slow, models)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set() set()\n"
