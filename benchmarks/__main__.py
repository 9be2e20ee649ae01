"""The command line: `python -m benchmarks [run | compare | report]`."""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from benchmarks import comparing, report, results
from benchmarks.bench import Bench, Plan, remove
from benchmarks.peers.base import PEERS
from benchmarks.workloads import WORKLOADS

CACHE = Path(".cache/bench")


def main() -> int:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measures plainstate.")
    parts = parser.add_subparsers(dest="command", required=True)
    run = parts.add_parser("run", help="measure")
    run.add_argument("--only", default="", help=f"of {', '.join(WORKLOADS)}")
    run.add_argument("--quick", action="store_true", help="fewer rounds, no libraries")
    run.add_argument("--out", type=Path, default=CACHE / "last.json")
    run.add_argument("--seed", type=int, default=1)
    against = parts.add_parser("compare", help="what changed between two runs")
    against.add_argument("before", type=Path)
    against.add_argument("after", type=Path)
    told = parts.add_parser("report", help="write docs/performance.md and its plots")
    told.add_argument("results", type=Path)
    shown = parts.add_parser("show", help="print the bars and tables of a run")
    shown.add_argument("results", type=Path)
    one = parts.add_parser("one", help=argparse.SUPPRESS)  # a workload in its own process
    one.add_argument("workload")
    one.add_argument("plan")
    one.add_argument("part")
    asked = parser.parse_args()
    if asked.command == "one":
        measure(asked.workload, msgspec.json.decode(asked.plan, type=Plan), Path(asked.part))
    elif asked.command == "compare":
        for line in comparing.changes(results.read(asked.before), results.read(asked.after)):
            print(line)
    elif asked.command == "report":
        print("\n".join(report.write(results.read(asked.results))))
    elif asked.command == "show":
        print("\n\n".join(report.measured(results.read(asked.results))))
    else:
        return run_all(asked)
    return 0


def run_all(asked: argparse.Namespace) -> int:
    """Runs workloads, each in a process of its own, and keeps their figures."""
    scratch = (CACHE / "scratch").resolve()
    plan = Plan(
        str(scratch),
        str(CACHE.resolve()),
        quick=asked.quick,
        seed=asked.seed,
        data=os.environ.get("PLAINSTATE_TEST_DATA", ""),
    )
    CACHE.mkdir(parents=True, exist_ok=True)
    versions = {name: peer.version for name, peer in PEERS.items()}
    found = results.Results(results.machine(CACHE), versions)
    status = 0
    for name in asked.only.split(",") if asked.only else WORKLOADS:
        print(f"{name}: {WORKLOADS[name]}", file=sys.stderr, flush=True)
        part = CACHE / "part.json"
        part.unlink(missing_ok=True)
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks", "one", name]
        subprocess.run([*command, msgspec.json.encode(plan).decode(), str(part)], check=False)
        if part.exists():
            found.parts[name] = msgspec.json.decode(part.read_bytes(), type=results.Part)
        else:
            print(f"{name}: FAILED", file=sys.stderr)
            status = 1
        found.machine["load_at_end"] = list(os.getloadavg())
        results.write(found, asked.out)
    remove(scratch)
    return status


def measure(workload: str, plan: Plan, path: Path) -> None:
    """Runs one workload in this process."""
    # A library that keeps files open for each session needs more than the usual 1,024.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    scratch = Path(plan.scratch)
    remove(scratch)
    scratch.mkdir(parents=True)
    begun = time.perf_counter()
    with Bench(plan) as bench:
        importlib.import_module(f"benchmarks.workloads.{workload}").run(bench)
    bench.part.took_s = time.perf_counter() - begun
    path.write_bytes(msgspec.json.encode(bench.part))


if __name__ == "__main__":
    sys.exit(main())
