"""A folder in memory that is gone when the process ends."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from typing import Final

__all__ = ["folder"]

_MEMORY: Final = "/dev/shm"


@cache
def folder(name: str) -> str:
    """An empty folder for this process, the same one each time it is asked for by that name."""
    place = _MEMORY if os.path.isdir(_MEMORY) else None
    made = tempfile.mkdtemp(prefix=f"plainstate-fuzz-{name}-", dir=place)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
