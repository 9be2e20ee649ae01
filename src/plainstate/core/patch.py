"""JSON Patch (RFC 6902): checks patches and applies them, whole or not at all.

A patch is applied in place.  Each operation leaves its inverse on an undo
list; if a later operation does not fit, the inverses run in reverse order, so
that nothing is copied in advance and a failed patch leaves no trace.

One extension to the RFC, for Markdown documents, whose value is one text:
`{"op": "add", "path": "/-", "value": "more"}` on a `str` root appends to it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from plainstate.core.codec import copy, encode
from plainstate.core.pointer import array_index, parse, walk
from plainstate.errors import InvalidPatchError, PatchFailedError
from plainstate.limits import MAX_NESTING

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate.types import Json, Patch

__all__ = ["apply", "apply_trusted", "json_equal", "validate"]

_WITH_VALUE = frozenset({"add", "replace", "test"})
_WITH_FROM = frozenset({"move", "copy"})
_KINDS = _WITH_VALUE | _WITH_FROM | {"remove"}

_Undo: TypeAlias = "list[Callable[[], object]] | None"
"""Inverses of what was done, oldest first; None where no one will roll back."""

_Shapes: TypeAlias = "dict[str, tuple[str, bool] | None]"
"""By path, what `_shape` says of it."""


def validate(patch: Patch) -> None:
    """Checks the form of a patch without looking at any document (RFC 6902 §4).

    Unknown members of an operation are ignored, as the RFC demands.  The
    values are not looked at: whether they are exact JSON is the codec's part.

    Args:
        patch: what should be a list of operations.

    Raises:
        InvalidPatchError: unknown `op`, missing or malformed member, or a
            `move` of a value into itself; `op_index` is -1 if it is no list.

    Example:
        >>> validate([{"op": "remove", "path": "/a"}])
        >>> validate([{"op": "add", "path": "/a"}])
        Traceback (most recent call last):
        plainstate.errors.InvalidPatchError: operation 0 (add) has no 'value'
    """
    if not isinstance(patch, list):
        raise InvalidPatchError(
            f"a JSON Patch is a list of operations, not {type(patch).__name__}",
            hint='Write [{"op": "add", "path": "/key", "value": 1}].',
            op_index=-1,
            pointer="",
        )
    for index, op in enumerate(patch):
        _check_form(index, op)


def apply(value: Json, patch: Patch, *, check_copied: Callable[[int], None] | None = None) -> Json:
    """Applies a patch in place, all or nothing, and returns the root.

    The root is `value` itself unless an operation replaced it.  Inserted
    values are not copied: they belong to the document from then on, and later
    operations may change them.  `move` and `copy` may not nest a document
    deeper than `MAX_NESTING`; for the values of `add` and `replace` that is
    checked where they enter, by the codec.

    Args:
        value: the document; after an error it is what it was, key order included.
        patch: the operations.
        check_copied: called before each `copy` with the bytes of JSON that all of them
            have copied so far; what it raises undoes the patch.  A few operations can double a
            document again and again.

    Returns:
        The changed document.

    Raises:
        InvalidPatchError: the patch is malformed, see `validate`.
        PatchFailedError: an operation does not fit the document.

    Cost:
        Proportional to the patch and to what it copies; inserting into or
        removing from an array moves its tail, and removing a member of an
        object copies that object's table of members, to restore their order.

    Example:
        >>> apply({"n": [1]}, [{"op": "add", "path": "/n/-", "value": 2}])
        {'n': [1, 2]}
        >>> apply("# Plan", [{"op": "add", "path": "/-", "value": " B"}])
        '# Plan B'
    """
    validate(patch)
    root = value
    undo: list[Callable[[], object]] = []
    copied = 0
    for index, op in enumerate(patch):
        try:
            if check_copied is not None and op["op"] == "copy":
                copied += len(encode(walk(root, parse(op["from"]))))
                check_copied(copied)
            root = _apply_one(root, op, undo)
        except LookupError as misfit:
            _roll_back(undo)
            raise _failed(index, op, misfit) from None
        except BaseException:  # out of memory, interrupted: half a patch must not stay
            _roll_back(undo)
            raise
    return root


def apply_trusted(value: Json, patch: Patch, shapes: _Shapes | None = None) -> Json:
    """Applies a patch that was applied before, as replaying a journal does.

    Like `apply`, but without the means to roll back: after an error `value`
    may be half changed and must be thrown away.

    Args:
        value: the document, changed in place.
        patch: the operations.
        shapes: what was found out about paths, for many patches that have the same ones.

    Returns:
        The changed document.

    Raises:
        InvalidPatchError: an operation is malformed.
        PatchFailedError: an operation does not fit the document.

    Cost:
        About 0.2 µs for appending to an array of the root or setting a
        member of it; otherwise as `apply`, but removing a member is cheap.

    Example:
        >>> apply_trusted({"n": []}, [{"op": "add", "path": "/n/-", "value": 1}])
        {'n': [1]}
    """
    shapes = {} if shapes is None else shapes
    for index, op in enumerate(patch):
        if _apply_shallow(value, op, shapes):
            continue
        _check_form(index, op)
        try:
            value = _apply_one(value, op, None)
        except LookupError as misfit:
            raise _failed(index, op, misfit) from None
    return value


def json_equal(a: Json, b: Json) -> bool:
    """Whether two trees are equal as `test` sees it (RFC 6902 §4.6).

    Numbers are compared by value, so 1 equals 1.0, but true is not 1, which
    Python's `==` says.  The order of object members does not matter.

    Example:
        >>> json_equal([1, {"a": 2.0}], [1.0, {"a": 2}]), json_equal(True, 1)
        (True, False)
    """
    if isinstance(a, dict):
        return (
            isinstance(b, dict)
            and len(a) == len(b)
            and all(key in b and json_equal(item, b[key]) for key, item in a.items())
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(json_equal, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


# --- form --------------------------------------------------------------------


def _check_form(index: int, op: Json) -> None:
    if not isinstance(op, dict):
        raise _malformed(index, "", f"is {type(op).__name__}, not an object")
    kind, path = op.get("op"), op.get("path")
    shown = path if isinstance(path, str) else ""
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _malformed(index, shown, f"has the unknown op {kind!r}")
    if "path" not in op:
        raise _malformed(index, shown, f"({kind}) has no 'path'")
    parts = _parse_member(index, shown, path)
    if kind in _WITH_VALUE and "value" not in op:
        raise _malformed(index, shown, f"({kind}) has no 'value'")
    if kind in _WITH_FROM:
        if "from" not in op:
            raise _malformed(index, shown, f"({kind}) has no 'from'")
        source = _parse_member(index, shown, op["from"])
        if kind == "move" and len(source) < len(parts) and parts[: len(source)] == source:
            raise _malformed(index, shown, f"moves {op['from']!r} into itself")


def _parse_member(index: int, shown: str, pointer: Json) -> tuple[str, ...]:
    try:
        return parse(pointer)
    except InvalidPatchError as error:
        raise InvalidPatchError(
            f"operation {index}: {error.message}", hint=error.hint, op_index=index, pointer=shown
        ) from None


def _malformed(index: int, shown: str, reason: str) -> InvalidPatchError:
    return InvalidPatchError(
        f"operation {index} {reason}",
        hint="Operations are add, remove, replace, move, copy and test, see RFC 6902.",
        op_index=index,
        pointer=shown,
    )


# --- operations: a LookupError says that the document does not fit -------------


def _apply_shallow(root: Json, op: Json, shapes: _Shapes) -> bool:
    """The hot loop of replay: sets a member of the root, or appends to one.

    Says False, having done nothing, for whatever is not plainly that.
    """
    try:
        kind, path = op["op"], op["path"]
        shape = shapes[path] if path in shapes else shapes.setdefault(path, _shape(path))
        if shape is None or not isinstance(root, dict):
            return False
        key, appends = shape
        if appends:
            if kind == "add" and isinstance(items := root.get(key), list):
                items.append(op["value"])
                return True
        elif kind == "add" or (kind == "replace" and key in root):
            root[key] = op["value"]
            return True
    except (AttributeError, KeyError, TypeError):
        pass  # malformed: the full check will say how
    return False


def _shape(path: str) -> tuple[str, bool] | None:
    """Of `/key` and `/key/-`: the key, and whether it is the latter; `None` of any other path."""
    before, *parts = path.split("/")
    if before or not parts or "~" in path or parts[1:] not in ([], ["-"]):
        return None
    return parts[0], len(parts) > 1


def _apply_one(root: Json, op: dict[str, Any], undo: _Undo) -> Json:
    kind, parts = op["op"], parse(op["path"])
    if kind == "add":
        return _add(root, parts, op["value"], undo)
    if kind == "replace":
        return _replace(root, parts, op["value"], undo)
    if kind == "remove":
        _take(root, parts, undo)
    elif kind == "test":
        if not json_equal(walk(root, parts), op["value"]):
            raise LookupError("the value there is another one")
    elif kind == "copy":
        value = walk(root, parse(op["from"]))
        _check_nesting(parts, value)
        return _add(root, parts, copy(value), undo)
    else:
        return _move(root, parse(op["from"]), parts, undo)
    return root


def _add(root: Json, parts: tuple[str, ...], value: Json, undo: _Undo) -> Json:
    if not parts:
        return value
    if isinstance(root, str) and parts == ("-",):
        return _append_text(root, value)
    target, last = walk(root, parts[:-1]), parts[-1]
    if isinstance(target, dict):
        if undo is not None:
            undo.append(_inverse_of_set(target, last))
        target[last] = value
    elif isinstance(target, list):
        size = len(target)
        index = size if last == "-" else array_index(last, size + 1)
        target.insert(index, value)
        if undo is not None:
            undo.append(partial(target.pop, index))
    else:
        raise LookupError("the place is inside a value that is no object and no array")
    return root


def _append_text(root: str, value: Json) -> str:
    if not isinstance(value, str):
        raise LookupError("only text can be appended to a text")
    return root + value


def _replace(root: Json, parts: tuple[str, ...], value: Json, undo: _Undo) -> Json:
    if not parts:
        return value
    target, key = _existing(root, parts)
    if undo is not None:
        undo.append(partial(target.__setitem__, key, target[key]))
    target[key] = value
    return root


def _take(root: Json, parts: tuple[str, ...], undo: _Undo) -> Json:
    """Removes the value at `parts` and returns it."""
    if not parts:
        raise LookupError("the whole document cannot be removed, only replaced")
    target, key = _existing(root, parts)
    if undo is not None:
        if isinstance(target, list):
            undo.append(partial(target.insert, key, target[key]))
        else:
            undo.append(partial(_refill, target, target.copy()))
    return target.pop(key)


def _move(root: Json, source: tuple[str, ...], parts: tuple[str, ...], undo: _Undo) -> Json:
    value = walk(root, source)
    if source == parts:
        return root
    if len(parts) > len(source):
        _check_nesting(parts, value)
    _take(root, source, undo)
    return _add(root, parts, value, undo)


def _existing(root: Json, parts: tuple[str, ...]) -> tuple[Any, Any]:
    """The container at the end of `parts`, and the key or index of what it holds."""
    target, last = walk(root, parts[:-1]), parts[-1]
    if isinstance(target, list):
        return target, array_index(last, len(target))
    if isinstance(target, dict) and last in target:
        return target, last
    raise LookupError("nothing is there")


def _check_nesting(parts: tuple[str, ...], value: Json) -> None:
    """Keeps `move` and `copy` from building what no reader accepts."""
    if len(parts) + _levels(value) > MAX_NESTING:
        raise LookupError(f"the document would be nested deeper than {MAX_NESTING} levels")


def _levels(value: Json) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_levels, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_levels, value), default=0)
    return 0


# --- rolling back --------------------------------------------------------------


def _inverse_of_set(target: dict[str, Json], key: str) -> Callable[[], object]:
    if key in target:
        return partial(target.__setitem__, key, target[key])
    return partial(target.pop, key, None)


def _refill(target: dict[str, Json], members: dict[str, Json]) -> None:
    target.clear()
    target.update(members)


def _roll_back(undo: list[Callable[[], object]]) -> None:
    for step in reversed(undo):
        step()


def _failed(index: int, op: dict[str, Any], misfit: LookupError) -> PatchFailedError:
    return PatchFailedError(
        f"operation {index} ({op['op']} {op['path']!r}) does not fit: {misfit}",
        hint="Read the document again and make the patch from what is there now.",
        op_index=index,
        pointer=op["path"],
        document="",
        expected=None,
        current=None,
    )
