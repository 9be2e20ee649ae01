"""statx(2), called through ctypes: Python has no function for it before 3.15.

Since Linux 6.13 whoever asks for a file's times makes the next write give it new ones, however
soon that is, and a sync writes them, too.  statx(2) can ask for other things alone.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["load_statx"]

# From <linux/stat.h> and <fcntl.h>.
_INO: Final = 0x100
_SIZE: Final = 0x200
_AT_FDCWD: Final = -100
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_STRUCT_WORDS: Final = 32  # of 8 bytes; the fifth is the inode, the sixth the size
_PATHS_KEPT: Final = 1024


@cache
def load_statx() -> Callable[[str], tuple[int, int] | None]:
    """The call: inode and size of a path, as lstat(2) has them; `None` if it fails.

    It always fails where the C library or the kernel does not have it, or Python no ctypes.

    Example:
        >>> import os, tempfile
        >>> statx = load_statx()
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     status = os.stat(file.name)
        ...     statx(file.name) in (None, (status.st_ino, status.st_size))
        True
        >>> statx(file.name)
    """
    try:
        import ctypes  # not needed to read, and absent from a Python that was built without libffi

        call = ctypes.CDLL(None).statx
    except (ImportError, OSError, AttributeError):
        return lambda _: None
    make_struct = ctypes.c_uint64 * _STRUCT_WORDS
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, make_struct)
    encode = lru_cache(maxsize=_PATHS_KEPT)(os.fsencode)

    def statx(path: str) -> tuple[int, int] | None:
        found = make_struct()
        if call(_AT_FDCWD, encode(path), _AT_SYMLINK_NOFOLLOW, _INO | _SIZE, found):
            return None
        return found[4], found[5]

    return statx
