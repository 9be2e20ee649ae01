"""Compares two JSON trees and writes the difference as a JSON Patch (RFC 6902).

The patch is meant to be short, not minimal, and to say what was changed and no
more, so that it still fits where something else has changed meanwhile.  Objects
are compared member by member.  Of two arrays the common head and tail are left
alone and what remains is compared item by item; an array is written whole where
that is shorter, unless it only grew: appends stay appends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainstate.core.pointer import escape

if TYPE_CHECKING:
    from plainstate.types import Json, Patch

__all__ = ["diff"]


def diff(old: Json, new: Json) -> Patch:
    """A short patch that turns `old` into `new`; empty if they are the same.

    Stricter than JSON equality: 1 and 1.0, true and 1, 0.0 and -0.0 differ,
    since they are written differently.  The order of object members is not
    compared, and members that are new are added after the others.

    Args:
        old: the tree to start from.
        new: the tree to arrive at; the patch shares its parts, so copy what is
            to live on in both.

    Returns:
        A patch for which `apply(old, diff(old, new))` gives `new`.

    Cost:
        Linear in the size of both trees, for each level of arrays within
        arrays that differ.

    Example:
        >>> diff({"n": [1], "t": 1}, {"n": [1, 2], "t": 5})
        [{'op': 'add', 'path': '/n/-', 'value': 2}, {'op': 'replace', 'path': '/t', 'value': 5}]
    """
    return _diff(old, new, "")


def _diff(old: Json, new: Json, path: str) -> Patch:
    if type(old) is type(new):
        if isinstance(old, dict):
            return _diff_objects(old, new, path)
        if isinstance(old, list):
            return _diff_arrays(old, new, path)
        if _same(old, new):
            return []
    return [{"op": "replace", "path": path, "value": new}]


def _diff_objects(old: dict[str, Json], new: dict[str, Json], path: str) -> Patch:
    patch: Patch = []
    for key, value in old.items():
        place = f"{path}/{escape(key)}"
        if key in new:
            patch += _diff(value, new[key], place)
        else:
            patch.append({"op": "remove", "path": place})
    patch += [
        {"op": "add", "path": f"{path}/{escape(key)}", "value": value}
        for key, value in new.items()
        if key not in old
    ]
    return patch


def _diff_arrays(old: list[Json], new: list[Json], path: str) -> Patch:
    head = _common_head(old, new)
    tail = _common_tail(old, new, head)
    old_end, new_end = len(old) - tail, len(new) - tail
    both_end = min(old_end, new_end)
    patch: Patch = []
    for index in range(head, both_end):
        patch += _diff(old[index], new[index], f"{path}/{index}")
    # From the end, so that the indices of what is still to be removed stay right.
    patch += [
        {"op": "remove", "path": f"{path}/{index}"}
        for index in range(old_end - 1, both_end - 1, -1)
    ]
    patch += [
        {"op": "add", "path": f"{path}/{index if tail else '-'}", "value": new[index]}
        for index in range(both_end, new_end)
    ]
    # The text that repr makes is about as long as JSON, and made at the speed of C.
    if len(patch) > 1 and head < len(old) and len(repr(new)) < len(repr(patch)):
        return [{"op": "replace", "path": path, "value": new}]
    return patch


def _common_head(old: list[Json], new: list[Json]) -> int:
    count = 0
    for a, b in zip(old, new, strict=False):
        if not _same(a, b):
            break
        count += 1
    return count


def _common_tail(old: list[Json], new: list[Json], head: int) -> int:
    count = 0
    for a, b in zip(reversed(old[head:]), reversed(new[head:]), strict=False):
        if not _same(a, b):
            break
        count += 1
    return count


def _same(a: Json, b: Json) -> bool:
    """Whether two trees would be written alike, but for the order of members."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            key in b and _same(value, b[key]) for key, value in a.items()
        )
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float):
        return repr(a) == repr(b)  # 0.0 == -0.0, but their texts differ
    return bool(a == b)
