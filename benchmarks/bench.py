"""What every workload is given: stores, folders, rounds, and a place for its figures."""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

import msgspec

from benchmarks.peers.base import PEERS
from benchmarks.results import Counts, Part, Timing, ratio, row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.peers.base import Store

Turn: TypeAlias = Callable[[], list[float]]
"""One store's part of a round: seconds of each thing that it did."""

CORE = ("plainstate", "limit", "limit again", "sqlite_full", "sqlite_normal")
"""What the bars are judged by: measured apart from the other libraries, whose work would
disturb.  The limit is there twice: how far both are apart is the noise."""

SLOW_TURN_S = 2.0


class Plan(msgspec.Struct, frozen=True):
    """What is asked of a run.

    Attributes:
        scratch: on the disk to be measured; emptied.
        cache: what is kept between runs.
        quick: fewer rounds, fewer sizes, no libraries.
        seed: of the order of the stores in each round.
        data: folder of conversations to import, "" for none.
        small: only see that everything runs.
    """

    scratch: str
    cache: str
    quick: bool = False
    seed: int = 1
    data: str = ""
    small: bool = False


class Bench:
    """The run of one workload; use it in `with`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.part = Part()
        self.exits = ExitStack()
        self._folders = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.exits.close()

    # --- what there is ---------------------------------------------------------

    def say(self, text: str) -> None:
        """Tells how far it is."""
        print(f"    {text}", file=sys.stderr, flush=True)

    def folder(self, name: str) -> Path:
        """A path in the scratch folder that does not exist yet."""
        self._folders += 1
        return Path(self.plan.scratch) / f"{self._folders:03}-{name.replace(' ', '-')}"

    def rounds(self, full: int) -> int:
        """How many rounds: a sixth where the run is quick."""
        return 2 if self.plan.small else max(3, full // 6) if self.plan.quick else full

    def sizes(self, full: tuple[int, ...], quick: tuple[int, ...]) -> tuple[int, ...]:
        """Which sizes; the small run takes a hundredth of the quick one's."""
        if self.plan.small:
            return tuple(dict.fromkeys(max(size // 100, 2) for size in quick))
        return quick if self.plan.quick else full

    def most_messages(self) -> int:
        """How long a session may be."""
        return 20 if self.plan.small else 100_000

    def groups(self, core: int, libraries: int) -> list[tuple[str, list[str], int]]:
        """Who is measured together: a title's ending, the stores, and how many rounds."""
        present = [name for name in CORE if name.removesuffix(" again") in PEERS]
        groups = [("", present, self.rounds(core))]
        if not self.plan.quick and not self.plan.small:
            everybody = ["limit again", *PEERS]
            groups.append((", every store", everybody, libraries))
        return groups

    def store(self, name: str, folder: Path) -> Store:
        """A store, opened; closed at the end of the workload."""
        store = PEERS[name.removesuffix(" again")].open(folder)
        self.exits.callback(store.close)
        return store

    # --- measuring -------------------------------------------------------------

    def compare(
        self,
        title: str,
        what: str,
        turns: Mapping[str, Turn],
        rounds: int,
        *,
        to: tuple[str, ...] = ("limit", "sqlite_full"),
        left_out: dict[str, str] | None = None,
        slow_s: float = SLOW_TURN_S,
    ) -> Timing:
        """Lets every store take its turn in each round, in random order, and keeps the figures.

        Args:
            title: of the table.
            what: is timed, for a reader.
            turns: by store.
            rounds: how often.
            to: stores that the others are set in relation to.
            left_out: who has no turn, and why.
            slow_s: who takes longer for a turn is not asked again.
        """
        timing = Timing(what, left_out=dict(left_out or {}))
        self.part.timings[title] = timing
        samples = self._play(title, turns, rounds, timing.left_out, slow_s)
        for name, own in samples.items():
            timing.rows[name] = row([second for turn in own if turn for second in turn])
        for name, own in samples.items():
            for base in to:
                if base in samples and base != name:
                    within = [
                        statistics.median(mine) / statistics.median(theirs)
                        for mine, theirs in zip(own, samples[base], strict=True)
                        if mine and theirs
                    ]
                    pair = timing.rows[name], timing.rows[base]
                    timing.rows[name].to[base] = ratio(*pair, within)
        return timing

    def _play(
        self,
        title: str,
        turns: Mapping[str, Turn],
        rounds: int,
        left_out: dict[str, str],
        slow_s: float,
    ) -> dict[str, list[list[float]]]:
        """All samples: store → round → seconds; a missed turn has none."""
        chance = random.Random(f"{self.plan.seed} {title}")
        samples: dict[str, list[list[float]]] = {name: [] for name in turns}
        gone: set[str] = set()
        for number in range(rounds):
            if number == 0:
                self.say(f"{title}: {rounds} rounds")
            for name in chance.sample(list(turns), len(turns)):
                begun = time.perf_counter()
                try:
                    samples[name].append([] if name in gone else turns[name]())
                except Exception as error:
                    if name in CORE or name not in PEERS:  # only a library may fail
                        raise
                    samples[name].append([])
                    gone.add(name)
                    left_out[name] = f"{type(error).__name__}: {error}"
                took = time.perf_counter() - begun
                if took > slow_s and name not in gone and number < rounds - 1:
                    gone.add(name)
                    left_out[name] = f"stopped after {number + 1} rounds: {took:.1f} s a round"
        return {name: own for name, own in samples.items() if any(own)}

    def count(self, title: str, what: str, name: str, **figures: float) -> None:
        """Keeps figures that were counted."""
        table = self.part.counts.setdefault(title, Counts(what))
        table.rows.setdefault(name, {}).update(figures)

    def note(self, text: str) -> None:
        """Keeps what a reader must know."""
        self.part.notes.append(text)
        self.say(text)


def timed(work: Callable[[], object], count: int = 1) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return seconds


def remove(folder: Path) -> None:
    """Removes a folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
