"""A process that tells how far one call raises its memory: `python -m benchmarks.memory`.

Arguments: the store, what to do, the folder.  Prints megabytes.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from benchmarks.peers.base import PEERS

TEXT = "All work and no play makes Jack a dull boy. " * 22


def resident(which: str) -> float:
    """Megabytes that the kernel says: `VmRSS` now, `VmHWM` at most."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition(f"{which}:")[2].split()[0]) / 1024


def main() -> None:
    """Opens a store, does one thing, and tells."""
    name, task, folder = sys.argv[1:]
    store = PEERS[name].open(Path(folder))
    if task in ("append", "fold"):
        store.append("other", TEXT)  # what the first append of a handle brings with it
    if name == "plainstate":
        store.load("other")  # type: ignore[attr-defined]
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", "utf-8")
    before = resident("VmRSS")
    if task == "append":
        store.append("s-0", TEXT)
    elif task == "fold":
        store.store.append_user_message("s-0", TEXT)  # type: ignore[attr-defined]
        store.store.checkpoint()  # type: ignore[attr-defined]
    elif task == "load":
        store.load("s-0")  # type: ignore[attr-defined]
    print(before if task == "idle" else resident("VmHWM") - before)
    store.close()


if __name__ == "__main__":
    main()
