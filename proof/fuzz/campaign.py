"""Runs targets one after the other, each in a process of its own, and reads what came out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from proof.fuzz.seeds import seeds
from proof.fuzz.targets import scratch

__all__ = ["CORPUS", "FOUND", "Result", "replay_files", "run"]

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parents[1]

CORPUS: Final = _HERE / "corpus"
"""Inputs that together run through everything that was reached, a folder for each target."""

FOUND: Final = _HERE / "found"
"""Inputs that broke a promise once, a folder for each target."""

_MAX_INPUT_BYTES: Final = 8192
_TIMEOUT_S: Final = 20
_MEMORY_MB: Final = 2048
_MORE_S: Final = 120
"""How much longer a process may take than it was given: start, and the last input."""


class Result(NamedTuple):
    """What fuzzing one target did.

    Attributes:
        target: its name.
        executions: how often it was called.
        edges: how many branches of plainstate it has reached.
        corpus: inputs that reach something of their own.
        finding: the input that broke a promise; "" if none did.
        report: the end of what was printed.
    """

    target: str
    executions: int
    edges: int
    corpus: int
    finding: str
    report: str


def run(target: str, seconds: float, cache: Path) -> Result:
    """Fuzzes one target.

    Args:
        target: its name.
        seconds: for how long.
        cache: what is found out stays here from run to run.
    """
    work, sown = cache / "corpus" / target, cache / "seeds" / target
    work.mkdir(parents=True, exist_ok=True)
    _sow(target, sown)
    prefix = cache / "findings" / f"{target}-"
    prefix.parent.mkdir(parents=True, exist_ok=True)
    inputs = [one for one in (work, sown, CORPUS / target, FOUND / target) if one.is_dir()]
    log = cache / f"{target}.log"
    with log.open("wb") as out:
        code = _start(
            target,
            *map(str, inputs),
            f"-artifact_prefix={prefix}",
            f"-dict={_HERE / 'tokens.dict'}",
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={_MAX_INPUT_BYTES}",
            f"-timeout={_TIMEOUT_S}",
            f"-rss_limit_mb={_MEMORY_MB}",
            "-print_final_stats=1",
            out=out.fileno(),
            seconds=seconds,
        )
    return _read(target, log.read_text(errors="replace"), code)


def replay_files(target: str) -> list[Path]:
    """The inputs that the repository keeps for a target."""
    folders = (CORPUS / target, FOUND / target)
    return sorted(one for folder in folders if folder.is_dir() for one in folder.iterdir())


def _sow(target: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for at, data in enumerate(seeds().get(target, [])):
        (folder / str(at)).write_bytes(data)


def _start(target: str, *arguments: str, out: int, seconds: float) -> int:
    command = [sys.executable, "-m", "proof.fuzz.child", target, *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    child = subprocess.Popen(
        command, cwd=_ROOT, stdout=out, stderr=subprocess.STDOUT, env=environment
    )
    try:
        return child.wait(seconds + _MORE_S)
    except subprocess.TimeoutExpired:
        return -1
    finally:
        child.kill()
        child.wait()
        scratch.remove(child.pid)


def _read(target: str, log: str, code: int) -> Result:
    """Reads what libFuzzer printed."""
    executions = re.findall(r"stat::number_of_executed_units: *(\d+)", log)
    progress = re.findall(r"^#(\d+)\s.*cov: (\d+) ft: \d+ corp: (\d+)/", log, re.MULTILINE)
    called, edges, corpus = progress[-1] if progress else (0, 0, 0)
    written = re.findall(r"Test unit written to (\S+)", log)
    finding = written[-1] if written else "" if code == 0 else f"exit status {code}"
    begin = log.find(" === Uncaught")
    report = log[begin:] if begin >= 0 else log[-2000:]
    count = int(executions[-1] if executions else called)
    return Result(target, count, int(edges), int(corpus), finding, report[:3000])
