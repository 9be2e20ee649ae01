"""A folder in memory that is gone when the process ends."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from glob import glob
from typing import Final

__all__ = ["folder", "remove"]

_MEMORY: Final = "/dev/shm"
_PLACE: Final = _MEMORY if os.path.isdir(_MEMORY) else tempfile.gettempdir()
_PREFIX: Final = "plainstate-fuzz-"


@cache
def folder(name: str) -> str:
    """An empty folder for this process, the same one each time it is asked for by that name."""
    made = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{name}-", dir=_PLACE)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def remove(pid: int) -> None:
    """Removes the folders of a process that ended; libFuzzer ends one before it can do so."""
    for left in glob(f"{_PREFIX}{pid}-*", root_dir=_PLACE):
        shutil.rmtree(os.path.join(_PLACE, left), ignore_errors=True)
