"""Whole processes, timed, and their memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.bench import timed

if TYPE_CHECKING:
    from benchmarks.bench import Turn

BARE = ["-c", "pass"]


def python(*arguments: str) -> str:
    """Runs Python on what this process can import; returns what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def whole(code: str) -> Turn:
    """Times a process from its start to its end."""
    return lambda: timed(lambda: python("-c", code))


def inside(prepare: str, work: str, end: str = "") -> Turn:
    """Times a part of a process, in that process."""
    lines = ["import time", prepare, "begun = time.perf_counter()", work]
    lines += ["print(time.perf_counter() - begun)", end]
    return lambda: [float(python("-c", "\n".join(lines)))]
