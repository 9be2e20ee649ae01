"""The file systems on which the power is cut."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from proof.powercut import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FILE_SYSTEMS", "FileSystem"]

_MB: Final = 1 << 20
_NO_ATIME: Final = 1024


class FileSystem(NamedTuple):
    """How to make and mount one.

    Attributes:
        name: as the command line calls it.
        kind: as the kernel calls it.
        size: bytes of an image.
        mkfs: command that makes one.
        options: of its mount.
        whole: ranges of the disk that a cut never tears, since the file system itself relies
            on them: its superblocks.  ext4 does not mount with half of one.
    """

    name: str
    kind: str
    size: int
    mkfs: str
    options: str
    whole: tuple[tuple[int, int], ...]

    def missing(self) -> str:
        """What this machine lacks for it, or nothing."""
        with open("/proc/filesystems", encoding="ascii") as lines:
            known = {line.split()[-1] for line in lines}
        if self.kind not in known:
            return f"{self.kind} in this kernel (modprobe {self.kind})"
        tool = self.mkfs.split()[0]
        return "" if shutil.which(tool) else tool

    def make(self, image: str) -> None:
        """Makes an empty one in a new image file."""
        with open(image, "wb") as file:
            file.truncate(self.size)
        command = [*shlex.split(self.mkfs), image]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    @contextmanager
    def mounted(self, image: str, target: str, *, direct: bool = False) -> Iterator[None]:
        """Mounts an image on a new folder; the kernel then replays its journal."""
        if self.kind == "btrfs":
            kernel.forget_btrfs_devices()
        os.mkdir(target)
        device, loop = kernel.attach_loop(image, direct=direct)
        try:
            kernel.mount(device, target, self.kind, flags=_NO_ATIME, options=self.options)
        finally:
            os.close(loop)
        try:
            yield
        finally:
            kernel.unmount(target)
            if self.kind == "btrfs":
                kernel.forget_btrfs_devices()

    @property
    def parallel(self) -> bool:
        """Whether two copies of an image can be mounted at once."""
        return self.kind != "btrfs"


_MKFS_EXT4: Final = "mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=1"
_EXT4_SUPERBLOCK: Final = ((0, 4096),)
_BTRFS_SUPERBLOCKS: Final = ((65536, 69632), (64 * _MB, 64 * _MB + 4096))

FILE_SYSTEMS: Final = {
    one.name: one
    for one in (
        FileSystem("ext4", "ext4", 48 * _MB, _MKFS_EXT4, "", _EXT4_SUPERBLOCK),
        FileSystem(
            "ext4-noalloc", "ext4", 48 * _MB, _MKFS_EXT4, "noauto_da_alloc", _EXT4_SUPERBLOCK
        ),
        FileSystem("xfs", "xfs", 320 * _MB, "mkfs.xfs -q -f -K", "nouuid", ((0, 512),)),
        FileSystem("btrfs", "btrfs", 128 * _MB, "mkfs.btrfs -q -f -K", "", _BTRFS_SUPERBLOCKS),
    )
}
