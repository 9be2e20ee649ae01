"""What can be wrong with the machine: full disk, no permission, too few descriptors.

Each is a context manager around the call that must fail; it skips, with the reason,
where this machine cannot be put into that state.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

NOBODY = 65534
SMALL_DISK_BYTES = 1 << 20


class Machine:
    """How a machine is prepared for a store, and what is wrong with it while a call runs."""

    def prepare(self, _base: Path) -> AbstractContextManager[None]:
        return nullcontext()

    def trouble(self, _base: Path) -> AbstractContextManager[None]:
        return nullcontext()


class FullDisk(Machine):
    """The last byte of a small disk is taken."""

    @contextmanager
    def prepare(self, base: Path) -> Iterator[None]:
        base.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(base))
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(base)], check=True)

    @contextmanager
    def trouble(self, base: Path) -> Iterator[None]:
        filler = base / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        try:
            yield
        finally:
            filler.unlink()


class ReadOnlyDisk(Machine):
    """The store's file system is mounted read-only."""

    @contextmanager
    def trouble(self, base: Path) -> Iterator[None]:
        _mount("--bind", str(base), str(base))
        try:
            _mount("-o", "remount,ro,bind", str(base))
            yield
        finally:
            subprocess.run(["umount", "-l", str(base)], check=True)


class NoPermission(Machine):
    """The store may be read, and its files written, but nothing created."""

    @contextmanager
    def trouble(self, base: Path) -> Iterator[None]:
        inside = list(base.rglob("*"))
        modes = {path: path.stat().st_mode for path in (base, *base.parents, *inside)}
        user = os.geteuid()
        try:
            for path in base.parents:
                if not modes[path] & 0o001:
                    path.chmod(modes[path] | 0o001)
            for path in (base, *inside):
                path.chmod(0o555 if path.is_dir() else 0o666)
            if user == 0:  # whom permissions do not bind
                os.seteuid(NOBODY)
            yield
        finally:
            os.seteuid(user)
            for path, mode in modes.items():
                if path.exists() and path.stat().st_mode != mode:
                    path.chmod(mode)


class NoDescriptors(Machine):
    """The process has as many files open as it may."""

    @contextmanager
    def trouble(self, _base: Path) -> Iterator[None]:
        with _limit(resource.RLIMIT_NOFILE, 3):
            yield


class SmallFiles(Machine):
    """No file may grow beyond a size (`ulimit -f`): a write is short, then it fails."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes

    @contextmanager
    def trouble(self, _base: Path) -> Iterator[None]:
        with _limit(resource.RLIMIT_FSIZE, self._size_bytes):
            yield


@contextmanager
def _limit(what: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def _mount(*arguments: str) -> None:
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let us mount: {done.stderr.strip()}")
