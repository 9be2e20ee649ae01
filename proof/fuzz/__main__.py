"""The command line: `python -m proof.fuzz`."""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from proof.fuzz import campaign, keeping
from proof.fuzz.targets import TARGETS

_PASSED: Final = 0
_VIOLATED: Final = 1
_NOT_RUN: Final = 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="proof.fuzz",
        description="Fuzzes everything that reads bytes or text from outside.",
        epilog="Exit status: 0 all promises kept, 1 a violation, 2 it could not run.",
    )
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together")
    parser.add_argument("--targets", default="", help="with commas; all, if left out")
    parser.add_argument("--cache", type=Path, default=Path(".cache/fuzz"))
    parser.add_argument("--keep", action="store_true", help="renew the corpus of the repository")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="one input, without the fuzzer")
    return parser.parse_args()


def main() -> int:
    """Fuzzes and prints a line for each target."""
    asked = _arguments()
    targets = [name for name in asked.targets.split(",") if name] or list(TARGETS)
    if unknown := [name for name in targets if name not in TARGETS]:
        print(f"unknown target {unknown[0]}; there are {', '.join(TARGETS)}")
        return _NOT_RUN
    if asked.replay:
        for name in targets:
            TARGETS[name](asked.replay.read_bytes())
        return _PASSED
    cache = asked.cache.absolute()
    if asked.keep:
        for name in targets:
            print(f"{name}: {keeping.keep(name, cache)} inputs kept", flush=True)
        return _PASSED
    if find_spec("atheris") is None:
        print("Fuzzing needs atheris, which is not installed: `make fuzz` installs it.")
        return _NOT_RUN
    return _run(targets, asked.seconds, cache)


def _run(targets: list[str], seconds: float, cache: Path) -> int:
    end = time.monotonic() + seconds
    executions, status = 0, _PASSED
    print(f"{'target':10} {'executions':>12} {'edges':>7} {'corpus':>7}")
    for at, name in enumerate(targets):
        share = (end - time.monotonic()) / (len(targets) - at)
        result = campaign.run(name, max(1, share), cache)
        executions += result.executions
        print(f"{name:10} {result.executions:12,} {result.edges:7,} {result.corpus:7,}", flush=True)
        if result.finding:
            status = _VIOLATED
            print(f"VIOLATION of {name} by {result.finding}\n{result.report}", flush=True)
    print(f"{executions:,} executions; {'violations' if status else 'no violation'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
