"""Users' models: dataclasses, attrs, msgspec Structs and pydantic models.

On disk there is only plain JSON; a typed object is a view of it.  msgspec knows
all of these but pydantic, which is never imported here: a value can only be a
pydantic model where somebody else has imported it.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from plainstate.core import codec, pointer, times
from plainstate.errors import InvalidValueError, UsageError
from plainstate.types import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["from_tree", "to_tree", "to_tree_and_text"]

T = TypeVar("T")

_BYTES: Final = (bytes, bytearray, memoryview)

# Where msgspec found a mismatch: "… - at `$.a[0]`", "… - at `key` in `$.a`".
_PLACE: Final = r"(?s) - at (?:`key` in )?`\$(.*)`$"
_STEP: Final = r"\.([^.\[]+)|\[([0-9]+)\]"
"""Compiled with their first use: few values are refused."""


def to_tree(value: object, *, depth: int = 0) -> Json:
    """Makes a JSON tree of a value that may be, or hold, models.

    Aware datetimes become RFC 3339 text in UTC; enums their value; dates,
    UUIDs and Decimals text.  Sets are refused, because their order changes from
    run to run, and so would the file.

    Args:
        value: plain JSON, a dataclass, attrs, Struct or pydantic object, or
            dicts and lists of these.
        depth: levels of arrays and objects above the place it goes to.

    Returns:
        A fresh tree, which passed `codec.check`.

    Raises:
        InvalidValueError: it holds bytes, a set, a naive datetime, or something
            else that `codec.check` refuses; `pointer` says where.

    Cost: that of `codec.check` for plain JSON.

    Example:
        >>> class Point(msgspec.Struct):
        ...     x: int
        ...     y: int
        >>> to_tree({"at": [Point(1, 2)]})
        {'at': [{'x': 1, 'y': 2}]}
    """
    return codec.check(value, depth=depth, convert=_simplify)


def to_tree_and_text(value: object) -> tuple[Json, bytes]:
    """The same, with the tree as `codec.encode` writes it."""
    return codec.check_and_encode(value, convert=_simplify)


def from_tree(tree: Json, target: type[T]) -> T:
    """Makes a typed value of a JSON tree.

    Unknown fields are ignored, unless the type forbids them.  The result may
    share parts of `tree` where the type says no more than `dict` or `Any`.

    Args:
        tree: plain JSON.
        target: a builtin such as `list[int]`, a TypedDict, dataclass, attrs
            class, Struct or pydantic model, or a combination.

    Raises:
        InvalidValueError: the tree does not fit the type; `pointer` says where,
            up to the last step that is known.
        UsageError: the type itself cannot be converted to.

    Example:
        >>> class Point(msgspec.Struct):
        ...     x: int
        ...     y: int
        >>> from_tree({"x": 1, "y": 2}, Point)
        Point(x=1, y=2)
        >>> from_tree([{"x": 1, "y": "2"}], list[Point])
        Traceback (most recent call last):
        plainstate.errors.InvalidValueError: Expected `int`, got `str`, at /0/y
    """
    try:
        return msgspec.convert(tree, target, dec_hook=_validate)
    except msgspec.ValidationError as error:
        raise _mismatch(error) from None
    except TypeError as error:
        raise _unsupported(target, str(error)) from None


def _simplify(value: object) -> object:
    """Takes one model apart; `codec.check` then looks at all that comes out."""
    if isinstance(value, datetime):
        return _instant(value)
    if isinstance(value, _BYTES):
        raise codec.not_json(value)
    try:
        _refuse_sets(value)
        return msgspec.to_builtins(value, builtin_types=(datetime, *_BYTES), enc_hook=_dump)
    except RecursionError:
        raise codec.too_deep() from None


def _dump(value: object) -> object:
    """What msgspec does not know: pydantic models, and subclasses of datetime."""
    if isinstance(value, datetime):
        return _instant(value)
    base_model = _pydantic_base()
    if base_model is not None and isinstance(value, base_model):
        # by_alias and round_trip: what is stored must validate again.
        dumped: dict[str, object] = value.model_dump(by_alias=True, round_trip=True)
        _refuse_sets(dumped)
        return dumped
    raise codec.not_json(value)


def _instant(moment: datetime) -> str:
    try:
        return times.format(times.from_datetime(moment))
    except InvalidValueError as error:
        raise codec.RefusedError(error.message, error.hint) from None


def _refuse_sets(value: object) -> None:
    """Looks for sets first, because msgspec makes lists of them without a word."""
    if isinstance(value, set | frozenset):
        raise codec.not_json(value)
    for key, item in _members(value):
        try:
            _refuse_sets(item)
        except codec.RefusedError as refused:
            refused.add_step(key)
            raise


def _members(value: Any) -> Iterable[tuple[object, object]]:
    """Keys and items of a container or of a model, by the names they get on disk."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | tuple):
        return [(str(index), item) for index, item in enumerate(value)]
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return [(shown, getattr(value, name)) for shown, name in names]
    if hasattr(value, "__dataclass_fields__"):
        return [(name, getattr(value, name, None)) for name in value.__dataclass_fields__]
    if hasattr(value, "__attrs_attrs__"):
        return [(field.name, getattr(value, field.name, None)) for field in value.__attrs_attrs__]
    return ()


def _validate(target: type[Any], tree: Json) -> Any:
    """Called by msgspec for the types it does not know."""
    base_model = _pydantic_base()
    if base_model is None or not (isinstance(target, type) and issubclass(target, base_model)):
        raise _unsupported(target, "it is neither a builtin nor a model")
    try:
        # As JSON, not as Python objects: strict models accept time texts only there.
        return target.model_validate_json(codec.encode(tree))
    except sys.modules["pydantic"].ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _PydanticMismatchError(first["msg"], first["loc"]) from None


class _PydanticMismatchError(ValueError):
    """Passes through msgspec, which adds the place of the model itself."""

    def __init__(self, reason: str, location: tuple[str | int, ...]) -> None:
        super().__init__(reason)
        self.steps = [str(step) for step in location]


def _pydantic_base() -> Any:
    """`pydantic.BaseModel`, or `None` while nobody has imported pydantic."""
    return getattr(sys.modules.get("pydantic"), "BaseModel", None)


def _mismatch(error: msgspec.ValidationError) -> InvalidValueError:
    reason = str(error)
    match = re.search(_PLACE, reason)
    path = match[1] if match else ""
    # msgspec writes "[...]" for the key of a dict: the pointer ends before it.
    known = path.partition("[...]")[0]
    steps = [name or index for name, index in re.findall(_STEP, known)]
    if isinstance(error.__cause__, _PydanticMismatchError) and known == path:
        steps += error.__cause__.steps
    place = pointer.format(steps)
    where = f", at {place}" if place else ""
    return InvalidValueError(
        f"{reason[: match.start()] if match else reason}{where}",
        hint="Correct the stored value, or load it without type= to see it.",
        pointer=place,
    )


def _unsupported(target: object, reason: str) -> UsageError:
    name = getattr(target, "__name__", repr(target))
    return UsageError(
        f"cannot make a {name} of JSON: {reason}",
        hint="Use a builtin, TypedDict, dataclass, attrs class, Struct or pydantic model.",
    )
