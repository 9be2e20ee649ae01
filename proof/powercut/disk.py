"""A disk whose every write and flush is logged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self

from proof.powercut import kernel
from proof.powercut.server import DISK_NAME, MAX_WRITE_BYTES, NO_FAULTS, Counters, Faults

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ROOT", "LoggedDisk"]

ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The checkout, from which every program of the campaign is started."""

_STOP_TIMEOUT_S: Final = 10
_NO_SUID_NO_DEVICES: Final = 2 | 4


class LoggedDisk:
    """Serves an image, in `with`; the image is changed in place.

    Args:
        image: path of the image.
        folder: an empty folder for the log and the mount point.
        faults: requests to fail, once `arm` was called.

    Attributes:
        path: what to attach a loop device to.
        log_path: where the log lies.
    """

    def __init__(self, image: str, folder: str, faults: Faults = NO_FAULTS) -> None:
        self._image = image
        self._mount_point = os.path.join(folder, "fuse")
        self._faults = faults
        self.path = os.path.join(self._mount_point, DISK_NAME)
        self.log_path = os.path.join(folder, "log")

    def __enter__(self) -> Self:
        os.mkdir(self._mount_point)
        fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        shared = os.memfd_create("counters")
        os.ftruncate(shared, Counters.BYTES)
        self._counters = Counters(shared)
        options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,max_read={MAX_WRITE_BYTES}"
        kernel.mount(
            "powercut", self._mount_point, "fuse", flags=_NO_SUID_NO_DEVICES, options=options
        )
        arguments = json.dumps([fuse, shared, self._image, self.log_path, self._faults])
        command = [sys.executable, "-m", "proof.powercut.server", arguments]
        self._server = subprocess.Popen(command, pass_fds=(fuse, shared), cwd=ROOT)
        os.close(fuse)
        os.close(shared)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        kernel.unmount(self._mount_point)
        try:
            status = self._server.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            status = self._server.wait()
        if status != 0 and error is None:
            raise OSError(f"the disk's server ended with status {status}")

    def position(self) -> int:
        """How many records the log has."""
        return int(self._counters.records.value)

    def arm(self, *, on: bool) -> None:
        """Begins or ends to fail requests."""
        self._counters.armed.value = on

    @property
    def refused(self) -> int:
        """How many requests were failed."""
        return int(self._counters.refused.value)
