"""What child processes of the benchmark do: `python -m benchmarks.workers TASK ARGUMENT …`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.filling import text
from benchmarks.peers.base import PEERS
from benchmarks.tracing import BEGIN, END


def append(name: str, folder: str, count: str) -> None:
    """Appends between two marks that strace sees."""
    store = PEERS[name].open(Path(folder))
    store.append("s-0", text(0))
    os.access(BEGIN, os.F_OK)
    for number in range(int(count)):
        store.append("s-0", text(number))
    os.access(END, os.F_OK)
    store.close()


def append_on_demand(name: str, folder: str) -> None:
    """Appends a message for each line of input, and answers when it is done."""
    store = PEERS[name].open(Path(folder))
    for line in sys.stdin:
        store.append("s-0", text(int(line)))
        print(flush=True)
    os._exit(0)  # without a fold, so that nothing is written while others are measured


def read_again(folder: str) -> None:
    """Loads, has another process append one message, and loads again between two marks."""
    store = PEERS["plainstate"].open(Path(folder))
    store.texts("s-0")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.workers", "append-on-demand", "plainstate", folder],
        input="1\n",
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    os.access(BEGIN, os.F_OK)
    store.texts("s-0")
    os.access(END, os.F_OK)
    os._exit(0)


TASKS = {"append": append, "append-on-demand": append_on_demand, "read-again": read_again}

if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    TASKS[task](*arguments)
