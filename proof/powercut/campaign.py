"""Records runs of the writer and cuts the power again and again."""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from proof.powercut import kernel, programs
from proof.powercut.disk import LoggedDisk
from proof.powercut.history import FAULT_TEXT
from proof.powercut.images import MODELS, ImageBuilder, Model, sparse_copy
from proof.powercut.log import Log
from proof.powercut.programs import Recorded, Verdict
from proof.powercut.sabotage import SABOTAGES
from proof.powercut.server import Faults

if TYPE_CHECKING:
    from concurrent.futures import Future

    from proof.powercut.filesystems import FileSystem

__all__ = ["Options", "Result", "judge", "run"]

_BEHIND_AN_ACK_SHARE: Final = 0.5
_MAX_SKIPPED_FAULTS: Final = 200
_ROOM_BYTES: Final = (48 << 10, 96 << 10, 192 << 10, 384 << 10)
"""What is free on a disk that is full soon."""

_JOBS: Final = 2
_MAX_KEPT: Final = 3


class Options(NamedTuple):
    """What is asked of a campaign.

    Attributes:
        cuts: for each recorded run.
        rounds: recorded runs.
        seconds: how long a writer runs.
        double: share of the cuts whose recovery is cut off as well.
        faults: disk writes to fail in each run.
        flush_faults: disk flushes to fail in each run.
        full: the file system is nearly full until half time.
        seed: draws everything but the timing.
        sabotage: breaks the writer's store, for the self-test.
        keep: folder for the images of violations.
    """

    cuts: int
    rounds: int
    seconds: float
    double: float
    faults: int = 0
    flush_faults: int = 0
    full: bool = False
    seed: str = "1"
    sabotage: str | None = None
    keep: str | None = None


@dataclass
class Result:
    """What came out on one file system.

    Attributes:
        cuts: how many were made.
        double: how many of them cut off the recovery, too.
        acks: operations that the writers had acknowledged.
        errors: what the writers reported.
        refused: disk writes and flushes that were failed.
        flushes: of the disks, during the runs.
        violations: broken promises, by their description without numbers.
        broken: cuts that could not be judged.
        kept: images of violations.
        seconds: for everything.
    """

    cuts: int = 0
    double: int = 0
    acks: int = 0
    errors: list[str] = field(default_factory=list)
    refused: int = 0
    flushes: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    kept: list[str] = field(default_factory=list)
    seconds: float = 0


class _Cut(NamedTuple):
    number: int
    point: int
    model: Model
    double: bool
    rng: random.Random


def run(system: FileSystem, options: Options) -> Result:
    """Runs a campaign on one file system."""
    result = Result()
    begin = time.monotonic()
    for number in range(options.rounds):
        rng = random.Random(f"{options.seed}/{system.name}/{number}")
        recorded = Recorded(keep=number % 2 == 0, sabotage=_for_readers(options.sabotage))
        with tempfile.TemporaryDirectory(prefix="powercut-", dir=_memory()) as folder:
            _Round(system, options, folder, rng, result, recorded).run()
    result.seconds = time.monotonic() - begin
    return result


def judge(system: FileSystem, kept: str) -> Verdict:
    """Checks a kept image again; it stays as it is."""
    with tempfile.TemporaryDirectory(prefix="powercut-", dir=_memory()) as folder:
        image = os.path.join(folder, "cut.img")
        sparse_copy(kept, image)
        mount_point = os.path.join(folder, "mounted")
        with system.mounted(image, mount_point):
            return programs.check(mount_point, kept.removesuffix(".img") + ".json")


def _for_readers(sabotage: str | None) -> str:
    """The sabotage that breaks the checker's store as well."""
    return sabotage if sabotage and SABOTAGES[sabotage].for_readers else ""


def _memory() -> str | None:
    """A folder in memory: images are written much and kept for seconds."""
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


class _Round:
    """One recorded run and its cuts."""

    def __init__(
        self,
        system: FileSystem,
        options: Options,
        folder: str,
        rng: random.Random,
        result: Result,
        recorded: Recorded,
    ) -> None:
        self._system = system
        self._options = options
        self._folder = folder
        self._rng = rng
        self._result = result
        self._recorded = recorded

    def run(self) -> None:
        base = self._path("base.img")
        self._system.make(base)
        begin, end = self._record(base)
        with closing(Log(self._path("log"))) as log:
            self._result.flushes += log.flushes_between(begin, end)
            scratch = self._path("rolling.img")
            builder = ImageBuilder(base, log, scratch, self._system.whole)
            with closing(builder):
                self._cut_often(builder, self._draw_cuts(begin, end))

    def _record(self, base: str) -> tuple[int, int]:
        """Records a run; returns where in the log it began and ended."""
        live = self._path("live.img")
        sparse_copy(base, live)
        sabotage = self._options.sabotage
        arguments = [str(self._rng.random()), *([sabotage] if sabotage else [])]
        with LoggedDisk(live, self._folder, self._draw_faults()) as disk:
            mount_point = self._path("live")
            with self._system.mounted(disk.path, mount_point, direct=True):
                programs.set_up(mount_point, self._recorded)
                if self._options.full:
                    programs.fill(mount_point, self._rng.choice(_ROOM_BYTES))
                kernel.sync_file_system(mount_point)
                begin = disk.position()
                disk.arm(on=True)
                programs.record(
                    mount_point, self._recorded, arguments, self._options.seconds, disk.position
                )
                end = disk.position()
                disk.arm(on=False)
            self._result.refused += disk.refused
        os.unlink(live)
        self._result.acks += len(self._recorded.positions())
        self._result.errors += self._recorded.errors
        return begin, end

    def _draw_faults(self) -> Faults:
        writes, flushes = (
            (self._rng.randrange(_MAX_SKIPPED_FAULTS), count)
            for count in (self._options.faults, self._options.flush_faults)
        )
        return Faults(FAULT_TEXT, writes, flushes)

    def _draw_cuts(self, begin: int, end: int) -> list[_Cut]:
        """Half of them right behind an acknowledgement, of rare actions as often as of frequent
        ones; half anywhere."""
        rng = self._rng
        acks = self._recorded.positions_by_action()
        points = [
            rng.choice(rng.choice(acks))
            if acks and rng.random() < _BEHIND_AN_ACK_SHARE
            else rng.randint(begin, end)
            for _ in range(self._options.cuts)
        ]
        return [
            _Cut(
                number,
                point,
                rng.choice(MODELS),
                rng.random() < self._options.double,
                random.Random(rng.random()),
            )
            for number, point in enumerate(sorted(points))
        ]

    def _cut_often(self, builder: ImageBuilder, cuts: list[_Cut]) -> None:
        jobs = _JOBS if self._system.parallel else 1
        waiting: list[Future[None]] = []
        with ThreadPoolExecutor(jobs) as pool:
            for cut in cuts:
                folder = self._path(f"cut-{cut.number}")
                os.mkdir(folder)
                image = os.path.join(folder, "cut.img")
                builder.build(image, cut.point, cut.model, cut.rng)
                waiting.append(pool.submit(self._examine, cut, folder, image))
                if len(waiting) > jobs:  # no more images in memory than needed
                    waiting.pop(0).result()
            for one in waiting:
                one.result()

    def _examine(self, cut: _Cut, folder: str, image: str) -> None:
        case = os.path.join(folder, "case.json")
        self._recorded.case(cut.point).save(case)
        verdict = Verdict("ok")
        try:
            if cut.double:
                sparse_copy(image, os.path.join(folder, "before.img"))
                image, verdict = self._cut_recovery(cut, folder, image)
            if verdict.word == "ok":
                sparse_copy(image, os.path.join(folder, "before.img"))
                mount_point = os.path.join(folder, "mounted")
                with self._system.mounted(image, mount_point):
                    verdict = programs.check(mount_point, case)
        except OSError as error:
            verdict = Verdict("broken", str(error))
        self._count(cut, verdict)
        if verdict.word != "ok":
            self._keep(cut, folder)
        shutil.rmtree(folder)

    def _cut_recovery(self, cut: _Cut, folder: str, image: str) -> tuple[str, Verdict]:
        """Cuts the power once more while the store is opened and written to."""
        base = os.path.join(folder, "base.img")
        case = os.path.join(folder, "case.json")
        sparse_copy(image, base)
        with LoggedDisk(image, folder) as disk:
            mount_point = os.path.join(folder, "recovered")
            with self._system.mounted(disk.path, mount_point, direct=True):
                verdict = programs.recover(mount_point, case, str(cut.rng.random()))
                end = disk.position()
        second = os.path.join(folder, "second.img")
        with closing(Log(disk.log_path)) as log:
            scratch = os.path.join(folder, "rolling.img")
            with closing(ImageBuilder(base, log, scratch, self._system.whole)) as builder:
                builder.build(second, cut.rng.randint(0, end), cut.rng.choice(MODELS), cut.rng)
        return second, verdict

    def _count(self, cut: _Cut, verdict: Verdict) -> None:
        self._result.cuts += 1
        self._result.double += cut.double
        reason = re.sub(r"\d+", "#", verdict.reason)
        if verdict.word == "violation":
            self._result.violations[reason] += 1
        elif verdict.word == "broken":
            self._result.broken[reason] += 1

    def _keep(self, cut: _Cut, folder: str) -> None:
        """Keeps what the checker saw, with what it was told."""
        kept = self._options.keep
        if kept is None or len(self._result.kept) >= _MAX_KEPT:
            return
        os.makedirs(kept, exist_ok=True)
        name = f"{self._system.name}-{os.getpid()}-{len(self._result.kept)}-{cut.model}"
        path = os.path.join(kept, name)
        for file, suffix in (("before.img", ".img"), ("case.json", ".json")):
            source = os.path.join(folder, file)
            if os.path.exists(source):
                sparse_copy(source, path + suffix)
        self._result.kept.append(path + ".img")

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)
