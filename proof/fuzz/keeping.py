"""Chooses the inputs that the repository keeps: the smallest that together reach everything."""

from __future__ import annotations

import hashlib
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import plainstate
from proof.fuzz.campaign import CORPUS
from proof.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

__all__ = ["keep"]

_MAX_BYTES: Final = 4000
_MAX_TARGET_BYTES: Final = 30_000

_Steps: TypeAlias = set[tuple[str, int, int]]
"""From which line to which, in which file."""


def keep(target: str, cache: Path) -> int:
    """Renews the corpus of a target with what all runs have found; returns how many it has."""
    kept = CORPUS / target
    folders = (kept, cache / "seeds" / target, cache / "corpus" / target)
    files = [one for folder in folders if folder.is_dir() for one in folder.iterdir()]
    inputs = sorted({one.read_bytes() for one in files}, key=lambda data: (len(data), data))
    chosen, reached, room = [], _Steps(), _MAX_TARGET_BYTES
    for data in inputs:
        if len(data) > min(_MAX_BYTES, room):
            break
        steps = _steps(target, data)
        if not steps <= reached:
            reached |= steps
            room -= len(data)
            chosen.append(data)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for data in chosen:
        (kept / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    return len(chosen)


def _steps(target: str, data: bytes) -> _Steps:
    """What of plainstate an input runs through."""
    steps = _Steps()
    inside = plainstate.__path__[0]

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        file = frame.f_code.co_filename
        before = 0

        def step(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal before
            if event == "line":
                steps.add((file, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step if file.startswith(inside) else None

    sys.settrace(enter)
    try:
        TARGETS[target](data)
    finally:
        sys.settrace(None)
    return steps
