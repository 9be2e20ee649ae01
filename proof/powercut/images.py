"""What a disk could hold after a power cut, built from its log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, get_args

from proof.powercut.log import Kind

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from proof.powercut.log import Log

__all__ = ["MODELS", "ImageBuilder", "Model", "sparse_copy"]

Model = Literal["prefix", "flush", "subset", "torn"]
"""What survives of the writes since the last completed flush:

prefix  all of them
flush   none: the disk's own cache is lost
subset  any of them: lost and reordered
torn    any of them, one of them in part
"""

MODELS: Final[tuple[Model, ...]] = get_args(Model)

_SECTOR_BYTES: Final = 512
_SURVIVING_SHARES: Final = (0.2, 0.5, 0.8)


class ImageBuilder:
    """Crash images of one recorded run; ask for them in rising order.

    Args:
        base: the image before the run; stays as it is.
        log: what the run did to it.
        scratch: path for a copy that is rolled forward.
        whole: ranges of the disk whose writes are never torn, see `FileSystem`.
    """

    def __init__(
        self, base: str, log: Log, scratch: str, whole: Sequence[tuple[int, int]] = ()
    ) -> None:
        self._log = log
        self._rolling = scratch
        self._whole = whole
        self._done = 0
        sparse_copy(base, scratch)
        self._fd = os.open(scratch, os.O_RDWR)

    def close(self) -> None:
        """Closes and removes the scratch copy."""
        os.close(self._fd)
        os.unlink(self._rolling)

    def build(self, path: str, point: int, model: Model, rng: random.Random) -> None:
        """Writes the image of a cut before record `point` of the log."""
        durable = self._log.durable_before(point)
        if durable < self._done:
            raise ValueError("cuts must be asked for in rising order")
        for number in range(self._done, durable):
            self._log.apply(number, self._fd)
        self._done = durable
        sparse_copy(self._rolling, path)
        unsure = [n for n in range(durable, point) if self._log.records[n].kind != Kind.FLUSH]
        surviving = _survivors(unsure, model, rng)
        torn = rng.choice(surviving) if model == "torn" and surviving else None
        image = os.open(path, os.O_RDWR)
        try:
            for number in surviving:
                part = self._tear(number, rng) if number == torn else None
                self._log.apply(number, image, part)
        finally:
            os.close(image)

    def _tear(self, number: int, rng: random.Random) -> slice | None:
        """The part of a write that survives, cut at a sector; `None`: the whole."""
        record = self._log.records[number]
        end = record.offset + record.length
        in_whole = any(record.offset < last and end > first for first, last in self._whole)
        if record.kind != Kind.WRITE or record.length <= _SECTOR_BYTES or in_whole:
            return None
        cut = rng.randrange(1, record.length // _SECTOR_BYTES) * _SECTOR_BYTES
        return rng.choice((slice(0, cut), slice(cut, record.length)))


def _survivors(unsure: list[int], model: Model, rng: random.Random) -> list[int]:
    if model == "prefix":
        return unsure
    if model == "flush":
        return []
    share = rng.choice(_SURVIVING_SHARES)
    return [number for number in unsure if rng.random() < share]


def sparse_copy(source: str, target: str) -> None:
    """Copies a file without its holes."""
    with open(source, "rb", buffering=0) as old, open(target, "wb", buffering=0) as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        place = 0
        while place < size:
            try:
                place = os.lseek(old.fileno(), place, os.SEEK_DATA)
            except OSError:  # only a hole is left
                return
            end = os.lseek(old.fileno(), place, os.SEEK_HOLE)
            os.lseek(new.fileno(), place, os.SEEK_SET)
            while place < end:
                place += os.sendfile(new.fileno(), old.fileno(), place, end - place)
