"""Runs a storm and judges it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import msgspec

from proof.storm.foreman import Options
from proof.storm.judge import Verdict, judge

__all__ = ["Options", "Verdict", "run"]

_ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(options: Options) -> Verdict:
    """Runs a storm; the verdict names every promise that was broken."""
    os.makedirs(f"{options.folder}/logs")
    path = os.pathsep.join([_ROOT, f"{_ROOT}/src", *filter(None, sys.path)])
    subprocess.run(
        [sys.executable, "-m", "proof.storm.foreman", msgspec.json.encode(options).decode()],
        env={**os.environ, "PYTHONPATH": path},
        cwd=_ROOT,
        check=True,
    )
    return judge(options.folder)
