"""File notification: what was done is told as soon as it is done, and a loss is told as one.

No test waits for a notice to come in: it must be there when the call returned.
"""

import ctypes
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plainstate.fs.base import Notices, Notifier
from plainstate.fs.posix import PosixFileSystem
from plainstate.testing.crashfs import CrashFileSystem
from plainstate.testing.faultfs import FaultyFileSystem

LONG_S = 60.0  # far longer than any test takes: who waits so long fails by the suite's timeout


@pytest.fixture
def notifier() -> Iterator[Notifier]:
    notifier = PosixFileSystem().notifier()
    assert notifier is not None
    yield notifier
    notifier.close()


@pytest.fixture
def folder(notifier, tmp_path) -> Path:
    """A watched folder with a file `old` and a folder `sub`, about which nothing is to tell."""
    folder = tmp_path / "store"
    (folder / "sub").mkdir(parents=True)
    (folder / "old").write_text("old")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("file")
    assert notifier.watch(str(folder))
    return folder


def replace_as_editors_do(folder: Path) -> None:
    (folder / ".old.swp").write_text("new")
    (folder / ".old.swp").rename(folder / "old")


def link_empty(folder: Path) -> None:
    os.truncate(folder.parent / "elsewhere" / "file", 0)
    os.link(folder.parent / "elsewhere" / "file", folder / "new")


def link_and_remove(folder: Path) -> None:
    """How some tools publish a file: the new name is never opened."""
    os.link(folder.parent / "elsewhere" / "file", folder / "new")
    (folder.parent / "elsewhere" / "file").unlink()


def link_unnamed(folder: Path) -> None:
    """Likewise, with a file that had no name before (O_TMPFILE)."""
    fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    try:
        os.write(fd, b"new")
        # Only with a folder's descriptor does Python call linkat(2), which follows links.
        os.link(f"/proc/self/fd/{fd}", folder / "new", src_dir_fd=fd)
    finally:
        os.close(fd)


def run_git(folder: Path) -> None:
    """As a checkout: by another process, which removes and creates."""
    script = "rm old && (umask 077; printf new > old) && mkdir made && printf x > made/deep"
    subprocess.run(["sh", "-c", script], cwd=folder, check=True)


# What is done, the files that are told, the folders that are told.
EVENTS: dict[str, tuple[Callable[[Path], object], set[str], set[str]]] = {
    "write in place": (lambda f: (f / "old").write_text("new"), {"old"}, set()),
    "create": (lambda f: (f / "new").write_text("new"), {"new"}, set()),
    "create empty": (lambda f: (f / "new").touch(), {"new"}, set()),
    "delete": (lambda f: (f / "old").unlink(), {"old"}, set()),
    "rename": (lambda f: (f / "old").rename(f / "new"), {"old", "new"}, set()),
    "rename over": (replace_as_editors_do, {".old.swp", "old"}, set()),
    "move in": (lambda f: (f.parent / "elsewhere/file").rename(f / "new"), {"new"}, set()),
    "move out": (lambda f: (f / "old").rename(f.parent / "elsewhere/new"), {"old"}, set()),
    "hard link": (lambda f: os.link(f / "old", f / "new"), {"new"}, set()),
    "hard link of an empty file": (link_empty, {"new"}, set()),
    "link and remove": (link_and_remove, {"new"}, set()),
    "link of a file without a name": (link_unnamed, {"new"}, set()),
    "symbolic link": (lambda f: (f / "new").symlink_to("old"), {"new"}, set()),
    "odd name": (lambda f: (f / "ä\n\udcff").write_text("new"), {"ä\n\udcff"}, set()),
    "longest name": (lambda f: (f / ("n" * 255)).write_text("new"), {"n" * 255}, set()),
    "new folder": (lambda f: (f / "new").mkdir(), set(), {"/new"}),
    "folder gone": (lambda f: (f / "sub").rmdir(), set(), {"/sub"}),
    "folder renamed": (lambda f: (f / "sub").rename(f / "new"), set(), {"/sub", "/new"}),
    "folder moved in": (lambda f: (f.parent / "elsewhere").rename(f / "new"), set(), {"/new"}),
    "folder moved out": (lambda f: (f / "sub").rename(f.parent / "new"), set(), {"/sub"}),
    "another program": (run_git, {"old"}, {"/made"}),
    "itself moved": (lambda f: f.rename(f.parent / "new"), set(), {""}),
    "nothing": (lambda f: (f / "old").read_text(), set(), set()),
    "in a folder that is not watched": (lambda f: (f / "sub/new").write_text("x"), set(), set()),
}


@pytest.mark.parametrize("name", EVENTS)
def test_what_was_done_is_told_at_once(name, notifier, folder):
    do, files, folders = EVENTS[name]
    do(folder)
    told = notifier.read()
    assert set(told.files) == {(str(folder), file) for file in files}
    assert set(told.folders) == {f"{folder}{path}" for path in folders}
    assert not told.lost
    assert notifier.read() == Notices()


def test_each_thing_is_told_once(notifier, folder):
    for _ in range(3):
        (folder / "old").write_text("new")
        (folder / "new").write_text("new")
        (folder / "sub" / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "made").mkdir()
        (folder / "made").rmdir()
    told = notifier.read()
    assert sorted(told.files) == [(str(folder), "new"), (str(folder), "old")]
    assert told.folders == [f"{folder}/made"]


def test_a_file_being_created_is_told_when_it_is_closed(notifier, folder):
    with (folder / "new").open("w") as file:
        assert notifier.read() == Notices()
        file.write("new")
    assert notifier.read().files == [(str(folder), "new")]


def test_a_created_file_that_is_gone_again_is_told(notifier, folder):
    (folder / "new").touch()
    (folder / "new").unlink()
    assert notifier.read().files == [(str(folder), "new")]


@pytest.mark.parametrize("modifications", [True, False])
def test_writes_to_an_open_file_are_told_on_request(modifications, notifier, folder):
    assert notifier.watch(str(folder), modifications=modifications)
    with (folder / "old").open("ab", buffering=0) as file:
        file.write(b"line\n")
        assert notifier.read().files == [(str(folder), "old")] * modifications


def test_watching_again_takes_nothing_away(notifier, folder):
    assert notifier.watch(str(folder), modifications=True)
    assert notifier.watch(str(folder))
    os.truncate(folder / "old", 1)
    assert notifier.read().files == [(str(folder), "old")]


def test_many_folders(notifier, tmp_path):
    folders = [tmp_path / str(number) for number in range(500)]
    for folder in folders:
        folder.mkdir()
        assert notifier.watch(str(folder))
    for folder in folders:
        (folder / "file").touch()
    assert notifier.read().files == [(str(folder), "file") for folder in folders]


# --- folders that come and go ---


def test_a_new_folder_can_be_watched(notifier, folder):
    (folder / "new").mkdir()
    assert [notifier.watch(path) for path in notifier.read().folders] == [True]
    (folder / "new" / "file").touch()
    assert notifier.read().files == [(f"{folder}/new", "file")]


def test_a_moved_folder_is_told_by_its_new_path_when_it_is_watched_again(notifier, folder):
    assert notifier.watch(f"{folder}/sub")
    (folder / "sub").rename(folder / "new")
    (folder / "sub").mkdir()
    told = notifier.read().folders
    assert set(told) == {f"{folder}/sub", f"{folder}/new"}
    assert all(notifier.watch(path) for path in told)
    (folder / "new" / "file").touch()
    assert notifier.read().files == [(f"{folder}/new", "file")]
    (folder / "sub" / "file").touch()
    assert notifier.read().files == [(f"{folder}/sub", "file")]


def test_a_watched_folder_that_goes_tells_so_itself(notifier, folder):
    sub = str(folder / "sub")
    assert notifier.watch(sub)
    (folder / "old").unlink()
    (folder / "sub").rmdir()
    folder.rmdir()
    told = notifier.read()
    assert sorted(told.folders) == [str(folder), sub]
    assert not notifier._folders
    assert not notifier.watch(str(folder))
    folder.mkdir()
    assert notifier.watch(str(folder))
    (folder / "new").touch()
    assert notifier.read().files == [(str(folder), "new")]


@pytest.mark.parametrize("name", ["gone", "gone/deeper", "old", "old/deeper", "link"])
def test_what_is_no_folder_is_not_watched(name, notifier, folder):
    (folder / "link").symlink_to("sub")
    assert not notifier.watch(f"{folder}/{name}")


def test_a_path_that_cannot_be_one_is_an_error(notifier):
    with pytest.raises(OSError, match="nnn") as caught:
        notifier.watch("/" + "n" * 5000)
    assert caught.value.errno == errno.ENAMETOOLONG


# --- limits ---


def test_an_overflow_is_told(notifier, folder):
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 200_000:
        pytest.skip("the queue is too long to fill")
    names = str(folder / "old"), str(folder / "new")
    for step in range(limit // 2 + 1):  # a rename is two events, each unlike the one before
        os.rename(names[step % 2], names[1 - step % 2])
    told = notifier.read()
    assert told.lost
    assert set(told.files) == {(str(folder), "old"), (str(folder), "new")}
    os.rename(folder / "sub", folder / "moved")
    assert notifier.read() == Notices(folders=[f"{folder}/sub", f"{folder}/moved"])


def run(script: str, *arguments: object) -> str:
    """Runs a script in a process of its own; returns what it printed."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_without_descriptors_there_is_no_notifier():
    script = """
import os, resource
from plainstate.fs.posix import PosixFileSystem
fs = PosixFileSystem()
fs.notifier().close()  # loads what it needs
free = os.open("/", os.O_RDONLY)
os.close(free)
for more in range(3):
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, free + 3))
    for _ in range(3):  # a descriptor that a failure kept would be missed
        notifier = fs.notifier()
        print(more, notifier is not None)
        if notifier:
            notifier.close()
"""
    assert run(script).split("\n") == [*["0 False"] * 3, *["1 False"] * 3, *["2 True"] * 3, ""]


# In a user namespace of its own a process may lower its limits.
IN_NAMESPACE = """
import ctypes, sys
from plainstate.fs.posix import PosixFileSystem
CLONE_NEWUSER = 0x10000000
if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
    sys.exit("no namespaces")
def limit(name, value):
    with open(f"/proc/sys/user/max_inotify_{name}", "w") as file:
        file.write(str(value))
"""


def run_in_namespace(script: str, *arguments: object) -> str:
    try:
        return run(IN_NAMESPACE + script, *arguments)
    except subprocess.CalledProcessError as error:
        if "no namespaces" in error.stderr or "PermissionError" in error.stderr:
            pytest.skip("this system allows no user namespaces")
        raise


def test_a_folder_beyond_the_limit_is_not_watched(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    script = """
limit("watches", 2)
notifier = PosixFileSystem().notifier()
print([notifier.watch(f"{sys.argv[1]}/{name}") for name in "abca"])
open(f"{sys.argv[1]}/b/file", "w").close()
print(notifier.read().files == [(f"{sys.argv[1]}/b", "file")])
"""
    assert run_in_namespace(script, tmp_path) == "[True, True, False, True]\nTrue\n"


def test_beyond_the_limit_of_instances_there_is_no_notifier():
    script = """
limit("instances", 1)
fs = PosixFileSystem()
first = fs.notifier()
print(fs.notifier() is None)
first.close()
print(fs.notifier() is None)
"""
    assert run_in_namespace(script).splitlines()[0] == "True"


@pytest.mark.parametrize("lacking", ["ctypes", "inotify", "library"])
def test_a_system_that_has_none_gives_none(lacking, monkeypatch):
    class Bare:
        def __init__(self, *_, **__):
            if lacking == "library":
                raise OSError(errno.ENOEXEC, "static")

    if lacking == "ctypes":
        monkeypatch.setitem(sys.modules, "ctypes", None)
    else:
        monkeypatch.setattr(ctypes, "CDLL", Bare)
    assert PosixFileSystem().notifier() is None


def test_the_file_systems_for_tests():
    assert CrashFileSystem().notifier() is None
    assert FaultyFileSystem(CrashFileSystem()).notifier() is None
    notifier = FaultyFileSystem(PosixFileSystem()).notifier()
    assert notifier is not None
    notifier.close()


# --- waiting ---


class Waiter(threading.Thread):
    """Waits in a thread of its own; `result` is what it got, once it is joined."""

    def __init__(self, notifier: Notifier) -> None:
        super().__init__(daemon=True)
        self._notifier = notifier
        self.result: bool | None = None
        self.start()

    def run(self) -> None:
        self.result = self._notifier.wait(LONG_S)

    def until_it_waits(self) -> None:
        """Returns when the kernel has it in poll(2)."""
        path = Path(f"/proc/self/task/{self.native_id}/syscall")
        number = "7" if os.uname().machine == "x86_64" else "73"  # poll, ppoll
        while self.is_alive() and path.read_text().split()[0] != number:
            threading.Event().wait(0.001)


def test_a_wait_ends_by_its_timeout(notifier):
    assert not notifier.wait(0)
    assert not notifier.wait(0.001)


def test_a_timeout_is_given_in_seconds(notifier, monkeypatch):
    timeouts_ms = []

    class Poll:
        def register(self, *_): ...

        def poll(self, timeout_ms):
            timeouts_ms.append(timeout_ms)
            return []

    monkeypatch.setattr("select.poll", Poll)
    assert not notifier.wait(2.5)
    assert timeouts_ms == [2500]


def test_a_wait_takes_nothing(notifier, folder):
    (folder / "new").touch()
    assert notifier.wait(LONG_S)
    assert notifier.wait(0)
    assert notifier.read().files == [(str(folder), "new")]
    assert not notifier.wait(0)


def test_a_change_ends_a_wait(notifier, folder):
    waiter = Waiter(notifier)
    waiter.until_it_waits()
    subprocess.run(["touch", folder / "new"], check=True)
    waiter.join()
    assert waiter.result is True


def test_a_wait_is_ended_by_closing(notifier):
    waiter = Waiter(notifier)
    waiter.until_it_waits()
    notifier.close()
    waiter.join()
    assert waiter.result is False


def test_closed_it_does_nothing(notifier, folder):
    (folder / "new").touch()
    notifier.close()
    notifier.close()
    assert not notifier.wait(LONG_S)
    assert notifier.read() == Notices()
    assert not notifier.watch(str(folder))


@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_closing_closes_each_descriptor_once(waiting, monkeypatch):
    notifier = PosixFileSystem().notifier()
    waiters = [Waiter(notifier) for _ in range(waiting)]
    for waiter in waiters:
        waiter.until_it_waits()
    closed = []
    close = os.close
    monkeypatch.setattr("os.close", lambda fd: (closed.append(fd), close(fd)))
    notifier.close()
    for waiter in waiters:
        waiter.join()
    assert sorted(closed) == sorted({notifier._queue, notifier._bell})


def test_watching_and_reading_at_once_loses_nothing(notifier, tmp_path):
    """A folder that one thread begins to watch tells from the first moment, also to another."""
    told = []
    reader = threading.Thread(target=lambda: told.extend(notifier.read().files))
    add_watch = notifier._add_watch

    def add_watch_then_read(*arguments):
        watch = add_watch(*arguments)
        (tmp_path / "file").touch()
        reader.start()
        reader.join(0.2)  # it must not get through before the watch is known
        return watch

    notifier._add_watch = add_watch_then_read
    assert notifier.watch(str(tmp_path))
    reader.join()
    assert told == [(str(tmp_path), "file")]


def test_the_library_starts_without_it():
    loaded = "print('ctypes' in sys.modules, 'plainstate.fs.notify' in sys.modules)"
    assert run(f"import sys, plainstate, plainstate.store\n{loaded}") == "False False\n"
