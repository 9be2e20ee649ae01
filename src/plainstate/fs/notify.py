"""File notification on Linux: inotify(7), called through ctypes.

The kernel queues an event before the system call that caused it returns.  So whoever reads the
queue right after a change, in whichever process it was made, finds it there.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import threading
from array import array
from fcntl import ioctl
from termios import FIONREAD
from typing import TYPE_CHECKING, Any, Final

from plainstate.fs.base import Notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Inotify", "open_notifier"]

# From <sys/inotify.h>.
_MODIFY: Final = 0x2
_CLOSE_WRITE: Final = 0x8
_MOVED_FROM: Final = 0x40
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_MOVE_SELF: Final = 0x800
_Q_OVERFLOW: Final = 0x4000
_IGNORED: Final = 0x8000
_ONLYDIR: Final = 0x0100_0000
_DONT_FOLLOW: Final = 0x0200_0000
_EXCL_UNLINK: Final = 0x0400_0000
_MASK_ADD: Final = 0x2000_0000
_ISDIR: Final = 0x4000_0000

_EVENTS: Final = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _MOVE_SELF
# _MASK_ADD: watching a folder again takes nothing away.
_WATCH: Final = _EVENTS | _ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK | _MASK_ADD

_EVENT: Final = struct.Struct("iIII")  # watch, mask, cookie, length of the name

_NOT_WATCHED: Final = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EACCES),  # it is gone, no folder, or not ours to read
        *(errno.ENOSPC, errno.ENOMEM),  # fs.inotify.max_user_watches is reached
    }
)


def open_notifier() -> Inotify | None:
    """A notifier, `None` where the system has none or gives no more of them.

    Example:
        >>> import os, tempfile
        >>> notifier = open_notifier()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = notifier.watch(folder)
        ...     os.close(os.open(f"{folder}/a", os.O_CREAT | os.O_WRONLY))
        ...     notifier.read().files == [(folder, "a")]
        True
        >>> notifier.close()
    """
    try:
        import ctypes  # slow, and absent from a Python that was built without libffi

        libc = ctypes.CDLL(None, use_errno=True)
        init, add_watch = libc.inotify_init1, libc.inotify_add_watch
    except (ImportError, OSError, AttributeError):
        return None

    def check(result: Any, *_: object) -> Any:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    init.errcheck = add_watch.errcheck = check
    add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    queue = -1
    try:
        queue = init(os.O_CLOEXEC | os.O_NONBLOCK)
        bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    except OSError:  # fs.inotify.max_user_instances, RLIMIT_NOFILE, or a sandbox says no
        if queue >= 0:
            os.close(queue)
        return None
    return Inotify(add_watch, queue, bell)


class Inotify:
    """One inotify instance: see `Notifier` in `fs/base.py`.

    Args:
        add_watch: inotify_add_watch(2), which raises `OSError`.
        queue: descriptor of the instance.
        bell: an eventfd(2) to end a wait with.
    """

    def __init__(self, add_watch: Callable[[int, bytes, int], int], queue: int, bell: int) -> None:
        self._add_watch = add_watch
        self._queue = queue
        self._bell = bell
        self._folders: dict[int, str] = {}
        # Held in every method, but not while waiting.  So no event of a watch is read before its
        # folder is known, and no descriptor is closed while it is used.
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False

    def watch(self, folder: str, *, modifications: bool = False) -> bool:
        mask = _WATCH | _MODIFY if modifications else _WATCH
        with self._lock:
            if self._closed:
                return False
            try:
                watch = self._add_watch(self._queue, os.fsencode(folder), mask)
            except OSError as error:
                if error.errno in _NOT_WATCHED:
                    return False
                error.filename = folder
                raise
            # The same number as before where the folder was only moved: its new path counts.
            self._folders[watch] = folder
            return True

    def wait(self, timeout_s: float) -> bool:
        with self._lock:
            if self._closed:
                return False
            self._waiting += 1
        ready: set[int] = set()
        try:
            poll = select.poll()
            poll.register(self._queue, select.POLLIN)
            poll.register(self._bell, select.POLLIN)
            ready.update(fd for fd, _ in poll.poll(timeout_s * 1000))
        finally:
            with self._lock:
                self._waiting -= 1
                if self._closed and not self._waiting:
                    self._release()
        return self._queue in ready

    def read(self) -> Notices:
        with self._lock:
            if self._closed:
                return Notices()
            size = array("i", [0])
            ioctl(self._queue, FIONREAD, size)  # bounds the work while others go on writing
            return self._notices(os.read(self._queue, size[0]) if size[0] else b"")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._waiting:
                os.eventfd_write(self._bell, 1)  # the last who waits closes the descriptors
            else:
                self._release()

    def _release(self) -> None:
        os.close(self._queue)
        os.close(self._bell)

    def _notices(self, data: bytes) -> Notices:
        files: dict[tuple[str, str], None] = {}
        folders: dict[str, None] = {}
        created: list[tuple[str, str]] = []
        lost = False
        for watch, mask, name in _events(data):
            if mask & _Q_OVERFLOW:
                lost = True
                continue
            folder = self._folders.get(watch)
            if folder is None:  # it went, which was told
                continue
            if mask & _IGNORED:  # the kernel dropped the watch: deleted or unmounted
                del self._folders[watch]
            if not name:
                folders[folder] = None
            elif mask & _ISDIR:
                folders[f"{folder}/{name}"] = None
            elif mask & _CREATE:
                created.append((folder, name))
            else:
                files[folder, name] = None
        files.update((file, None) for file in created if file not in files and _is_made(*file))
        return Notices(list(files), list(folders), lost)


def _is_made(folder: str, name: str) -> bool:
    """Whether a new file is worth a look already.

    One that is still empty tells when its writer closes it.  One that came by link(2) is
    complete, and tells nothing else.
    """
    try:
        status = os.lstat(f"{folder}/{name}")
    except OSError:  # the caller will meet the reason
        return True
    return status.st_size > 0 or status.st_nlink > 1


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Watch, mask and name of each event in what read(2) gave."""
    start = 0
    while start < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, start)
        start += _EVENT.size
        name = data[start : start + length]
        start += length
        yield watch, mask, os.fsdecode(name.rstrip(b"\0"))
