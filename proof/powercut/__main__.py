"""The command line: `python -m proof.powercut`, as root."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from proof.powercut import campaign, kernel, selftest
from proof.powercut.campaign import Options
from proof.powercut.filesystems import FILE_SYSTEMS
from proof.powercut.sabotage import SABOTAGES

if TYPE_CHECKING:
    from proof.powercut.campaign import Result
    from proof.powercut.filesystems import FileSystem

_PASSED: Final = 0
_VIOLATED: Final = 1
_NOT_RUN: Final = 2

_CUTS_A_ROUND: Final = 25


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="proof.powercut",
        description="Cuts the power below a store, many times, and checks what is left.",
        epilog="Exit status: 0 all promises kept, 1 a violation, 2 the campaign could not run.",
    )
    parser.add_argument("--fs", default=",".join(FILE_SYSTEMS), help="file systems, with commas")
    parser.add_argument(
        "--cuts", type=int, default=300, help="on each file system; above 25 in rounds of 25"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a writer runs")
    parser.add_argument("--double", type=float, default=0.3, help="share cut again in recovery")
    parser.add_argument("--eio", type=int, default=0, help="disk writes to fail in each run")
    parser.add_argument(
        "--flush-errors", type=int, default=0, help="disk flushes to fail in each run"
    )
    parser.add_argument(
        "--full", action="store_true", help="the file system is nearly full until half time"
    )
    parser.add_argument("--seed", default="1")
    parser.add_argument("--keep", help="folder for the images of violations")
    parser.add_argument("--judge", metavar="IMAGE", help="check a kept image of the one FS again")
    parser.add_argument("--sabotage", choices=SABOTAGES, help="break the store on purpose")
    parser.add_argument("--selftest", action="store_true", help="every sabotage must be caught")
    return parser.parse_args()


def _missing(systems: list[FileSystem]) -> list[str]:
    """What this machine lacks."""
    missing = []
    if os.geteuid() != 0:
        missing.append("root (mounts and loop devices)")
    missing += [path for path in ("/dev/fuse", "/dev/loop-control") if not os.path.exists(path)]
    for system in systems:
        if lacking := system.missing():
            missing.append(f"{lacking}, for {system.name}; or leave it out of FS")
    return missing


def _report(system: FileSystem, result: Result) -> None:
    print(
        f"{system.name}: {result.cuts} cuts, {result.double} of them double; "
        f"{result.violations.total()} violations, {result.broken.total()} undecided; "
        f"{result.acks} acknowledged operations, {result.flushes} flushes, "
        f"{result.refused} failed requests, {len(result.errors)} reported errors; "
        f"{result.seconds:.0f} s"
    )
    for word, reasons in (("violation", result.violations), ("undecided", result.broken)):
        for reason, count in reasons.most_common(6):
            print(f"  {count:4} x {word}: {reason}")
    for path in result.kept:
        print(f"  kept: {path}")
    for error in result.errors[:3]:
        print(f"  reported: {error[:160]}")
    sys.stdout.flush()


def _run(systems: list[FileSystem], options: Options) -> int:
    status = _PASSED
    for system in systems:
        result = campaign.run(system, options)
        _report(system, result)
        if result.violations and status != _NOT_RUN:
            status = _VIOLATED
        if result.broken:
            status = _NOT_RUN
    return status


def _main() -> int:
    wanted = _arguments()
    unknown = [name for name in wanted.fs.split(",") if name not in FILE_SYSTEMS]
    if unknown:
        print(f"unknown file system {unknown[0]}; there are {', '.join(FILE_SYSTEMS)}")
        return _NOT_RUN
    systems = [FILE_SYSTEMS[name] for name in wanted.fs.split(",")]
    if missing := _missing(systems):
        print("The campaign cannot run here. Missing:", *missing, sep="\n  ")
        return _NOT_RUN
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_NOT_RUN))
    try:
        return _start(wanted, systems)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"The campaign failed: {error}")
        return _NOT_RUN


def _start(wanted: argparse.Namespace, systems: list[FileSystem]) -> int:
    kernel.enter_private_namespace()
    if wanted.judge:
        verdict = campaign.judge(systems[0], os.path.abspath(wanted.judge))
        print(*verdict)
        return _PASSED if verdict.word == "ok" else _VIOLATED
    options = Options(
        cuts=min(wanted.cuts, _CUTS_A_ROUND),
        rounds=-(-wanted.cuts // _CUTS_A_ROUND),
        seconds=wanted.seconds,
        double=wanted.double,
        faults=wanted.eio,
        flush_faults=wanted.flush_errors,
        full=wanted.full,
        seed=wanted.seed,
        sabotage=wanted.sabotage,
        keep=wanted.keep,
    )
    if wanted.selftest:
        return _PASSED if selftest.run(systems, options) else _VIOLATED
    return _run(systems, options)


if __name__ == "__main__":
    sys.exit(_main())
