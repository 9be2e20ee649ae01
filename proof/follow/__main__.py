"""The command line: `python -m proof.follow`."""

from __future__ import annotations

import argparse
import sys
import tempfile

from proof.follow.campaign import Options, run


def main() -> int:
    """Runs a campaign and prints what came out; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="proof.follow", description="Writers and followers of one store, some of them killed."
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--followers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", default="1")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = run(
            Options(folder, asked.seconds, asked.writers, asked.followers, asked.kills, asked.seed)
        )
    print(
        f"{verdict.commits} commits acknowledged; a follower was told {verdict.lines} lines,",
        f"{verdict.repeats} of them again, {verdict.late} late; {verdict.gaps} gaps;",
        f"{asked.kills} processes killed; {len(verdict.problems)} violations",
    )
    for problem in verdict.problems[:20]:
        print("VIOLATION:", problem)
    return 1 if verdict.problems else 0


if __name__ == "__main__":
    sys.exit(main())
