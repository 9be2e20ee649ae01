"""System calls that Python lacks: mounts, loop devices, syncfs(2), fallocate(2)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat
import struct
import time
from typing import Final

__all__ = [
    "attach_loop",
    "die_with_parent",
    "enter_private_namespace",
    "forget_btrfs_devices",
    "mount",
    "sync_file_system",
    "unmount",
    "zero_range",
]

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# linux/mount.h, linux/sched.h, linux/prctl.h, linux/falloc.h
_MS_REC: Final = 1 << 14
_MS_PRIVATE: Final = 1 << 18
_MNT_DETACH: Final = 2
_CLONE_NEWNS: Final = 0x00020000
_PR_SET_PDEATHSIG: Final = 1
_KEEP_SIZE_AND_PUNCH_HOLE: Final = 1 | 2

# linux/loop.h
_LOOP_CTL_GET_FREE: Final = 0x4C82
_LOOP_CONFIGURE: Final = 0x4C0A
_LOOP_MAJOR: Final = 7
_AUTOCLEAR: Final = 4
_DIRECT_IO: Final = 16
_LOOP_INFO: Final = struct.Struct("<5Q4I64s64s32s2Q")
_SECTOR_BYTES: Final = 512
_LOOP_ATTEMPTS: Final = 50

_BTRFS_IOC_FORGET_DEV: Final = 0x50009405

_UNMOUNT_ATTEMPTS: Final = 100
_UNMOUNT_PAUSE_S: Final = 0.02


def mount(source: str, target: str, kind: str, *, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _LIBC.mount(
        source.encode(),
        target.encode(),
        kind.encode(),
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {kind} on {target}")


def unmount(target: str) -> None:
    """umount2(2); waits while a killed process lets go of the tree, and detaches it if need be."""
    for _ in range(_UNMOUNT_ATTEMPTS):
        if _LIBC.umount2(target.encode(), 0) == 0:
            return
        if ctypes.get_errno() != errno.EBUSY:
            break
        time.sleep(_UNMOUNT_PAUSE_S)
    _LIBC.umount2(target.encode(), _MNT_DETACH)


def enter_private_namespace() -> None:
    """Hides the mounts of this process; they go with it, however it ends."""
    _check(_LIBC.unshare(_CLONE_NEWNS), "unshare")
    flags = ctypes.c_ulong(_MS_REC | _MS_PRIVATE)
    _check(_LIBC.mount(b"none", b"/", None, flags, None), "make the mounts private")


def die_with_parent() -> None:
    """Has this process killed when the one that started it ends."""
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def attach_loop(path: str, *, direct: bool) -> tuple[str, int]:
    """Attaches a file to a free loop device, which frees itself when it is closed.

    Args:
        path: the file.
        direct: hand every request down as it comes, past the page cache.

    Returns:
        The device and a descriptor of it; close that once it is mounted.
    """
    for _ in range(_LOOP_ATTEMPTS):
        number = _free_loop()
        device = f"/dev/loop{number}"
        loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        backing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        flags = _AUTOCLEAR | (_DIRECT_IO if direct else 0)
        name = os.path.basename(path).encode()[:63]
        info = _LOOP_INFO.pack(0, 0, 0, 0, 0, number, 0, 0, flags, name, b"", b"", 0, 0)
        try:
            fcntl.ioctl(
                loop,
                _LOOP_CONFIGURE,
                struct.pack("<II", backing, _SECTOR_BYTES) + info + bytes(64),
            )
        except OSError as error:
            os.close(loop)
            if error.errno != errno.EBUSY:  # somebody else took it
                raise
            time.sleep(0.01)
        else:
            return device, loop
        finally:
            os.close(backing)
    raise OSError(errno.EBUSY, "no free loop device")


def forget_btrfs_devices() -> None:
    """Lets a copy of an image be mounted: btrfs remembers the id of each device it saw."""
    try:
        with open("/dev/btrfs-control", "rb+", buffering=0) as control:
            fcntl.ioctl(control, _BTRFS_IOC_FORGET_DEV, bytearray(4096))
    except OSError:
        return  # there was none


def sync_file_system(path: str) -> None:
    """syncfs(2)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        _check(_LIBC.syncfs(fd), "syncfs")
    finally:
        os.close(fd)


def zero_range(fd: int, offset: int, size: int) -> None:
    """Zeroes a part of a file, which stays sparse where the file system can do that."""
    where = ctypes.c_long(offset), ctypes.c_long(size)
    if _LIBC.fallocate(fd, _KEEP_SIZE_AND_PUNCH_HOLE, *where) != 0:
        os.pwrite(fd, bytes(size), offset)


def _free_loop() -> int:
    with open("/dev/loop-control", "rb+", buffering=0) as control:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    device = f"/dev/loop{number}"
    if not os.path.exists(device):
        os.mknod(device, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return number


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
