"""Runs the real program."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

import plainstate

Result: TypeAlias = subprocess.CompletedProcess[str]
Cli: TypeAlias = Callable[..., Result]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    package = str(Path(plainstate.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": package, "PLAINSTATE_STORE": str(tmp_path / "state")}


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """The programs can be interrupted, also where the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def store_path(environment: dict[str, str]) -> Path:
    return Path(environment["PLAINSTATE_STORE"])


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path) -> Cli:
    """Runs `plainstate ARGS…` in `tmp_path` and expects an exit code, 0 if not told."""

    def run(*args: str | Path, code: int = 0, given: str | bytes = b"", **extra: str) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "plainstate", *map(str, args)],
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True,
            cwd=tmp_path,
            env={**environment, **extra},
            timeout=60,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, (done.returncode, out, err)
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Runs `plainstate ARGS…` on a terminal of 20 lines; returns what that shows."""

    def run(*args: str | Path, code: int = 0, typed: str = "", **extra: str) -> str:
        screen, keyboard = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 200, 0, 0))
        os.write(screen, typed.encode())
        done = subprocess.Popen(
            [sys.executable, "-m", "plainstate", *map(str, args)],
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            cwd=tmp_path,
            env={**environment, **extra},
        )
        os.close(keyboard)
        shown = b""
        try:
            while part := os.read(screen, 65536):
                shown += part
        except OSError:  # EIO: nobody has the terminal any more
            pass
        finally:
            os.close(screen)
            returned = done.wait(60)
        text = shown.decode().replace("\r\n", "\n")
        assert returned == code, (returned, text)
        return text

    return run
