"""The command line: `python -m proof.storm`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time

from proof.storm import selftest
from proof.storm.campaign import Options, run
from proof.storm.judge import Verdict, judge


def main() -> int:
    """Runs a storm and prints what came out; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="proof.storm", description="Many processes at one store, random ones killed."
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--keep", default=".cache/storm", help="where to keep what broke a promise")
    parser.add_argument("--judge", metavar="FOLDER", help="judge a kept storm once more")
    parser.add_argument("--selftest", action="store_true", help="break the store on purpose")
    asked = parser.parse_args()
    if asked.selftest:
        return 0 if selftest.run() else 1
    if asked.judge:
        return _tell(judge(asked.judge))
    with tempfile.TemporaryDirectory() as temporary:
        folder = f"{temporary}/storm"
        verdict = run(Options(folder, asked.seconds, asked.writers, asked.kills, asked.seed))
        if verdict.problems:
            kept = os.path.join(asked.keep, f"storm-{asked.seed}")
            shutil.copytree(folder, kept)
            print(f"kept in {kept}")
    return _tell(verdict)


def _tell(verdict: Verdict) -> int:
    print(
        f"{verdict.kills} processes killed, {verdict.stops} stopped for a moment;",
        f"{verdict.operations} operations on {verdict.documents} documents,",
        f"{verdict.acknowledged} of them acknowledged,",
        f"{verdict.retries} tried again, {verdict.duplicates} of those found done;",
        f"{verdict.upkeep} checkpoints, checks, repairs, lists and openings;",
        f"{verdict.states} earlier states compared; {len(verdict.problems)} violations",
    )
    for problem in verdict.problems[:20]:
        print("VIOLATION:", problem)
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
