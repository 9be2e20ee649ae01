"""What child processes of the benchmark do: `python -m benchmarks.workers TASK ARGUMENT …`."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.filling import text
from benchmarks.many import settled
from benchmarks.peers.base import PEERS
from benchmarks.peers.children import BEGIN, END
from benchmarks.workloads.processes import SESSIONS, Told, session_of
from benchmarks.workloads.wakeup import STAMP_BYTES
from plainstate import open_store
from plainstate.cli.imports import dialogues
from plainstate.limits import FOLD_FLOOR_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from plainstate import StateStore

LINES_TO_FOLD = FOLD_FLOOR_BYTES // 1_250


def append(name: str, folder: str, count: str) -> None:
    """Appends between two marks that strace sees."""
    store = PEERS[name].open(Path(folder))
    store.append("s-0", text(0))
    if name == "plainstate":
        settled(store.store)  # type: ignore[attr-defined] # so that the index is not made meanwhile
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
    settled(store.store)  # type: ignore[attr-defined]
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


def race(name: str, folder: str, sharing: str, worker: str, seconds: str, floor: str) -> None:
    """Appends for some seconds to 16 sessions in turn, when it is told to."""
    folds = watch_folds(int(floor)) if name == "plainstate" else []
    store = PEERS[name].open(Path(folder))
    if name == "plainstate":
        begin_unevenly(store.store, sharing, int(worker))  # type: ignore[attr-defined]
    told = Told([], [], 0, 0.0)

    def attempt(number: int) -> None:
        session = session_of(sharing, int(worker), number)
        try:
            store.append(session, f"{worker} {number}. {text(number)}"[:1000])
            told.acknowledged.append(number)
        except Exception as error:  # noqa: BLE001 - whatever a store refuses with
            told.errors.append(f"{type(error).__name__}: {error}")

    for number in range(SESSIONS):
        attempt(number)
    folds.clear()
    number = SESSIONS
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    while (took := time.perf_counter() - begun) < float(seconds):
        attempt(number)
        number += 1
    told.folds, told.took_s = len(folds), took
    try:
        store.close()
    except Exception as error:  # noqa: BLE001 - whatever a store refuses with
        told.errors.append(f"close: {type(error).__name__}: {error}")
    print(msgspec.json.encode(told).decode(), flush=True)


def begin_unevenly(store: StateStore, sharing: str, worker: int) -> None:
    """Fills journals up to different lengths, so that folds are due at all times."""
    if sharing == "own" or not worker:
        for number in range(SESSIONS):
            waiting = LINES_TO_FOLD * number // SESSIONS
            for _ in range(waiting):
                store.append_user_message(
                    session_of(sharing, worker, number), text(0), user_id="ada", durability="os"
                )


def watch_folds(floor_bytes: int) -> list[str]:
    """Makes a journal fold above `floor_bytes`, if any; the list grows by the path of each fold."""
    from plainstate.engines.file import document, folding
    from plainstate.fs.posix import PosixFileSystem

    for module in (document, folding) if floor_bytes else ():
        vars(module)["FOLD_FLOOR_BYTES"] = floor_bytes
    folds: list[str] = []
    rename = PosixFileSystem.rename

    def watched(self: PosixFileSystem, source: str, target: str) -> None:
        rename(self, source, target)
        if target.endswith(".json"):
            folds.append(target)

    PosixFileSystem.rename = watched  # type: ignore[method-assign]
    return folds


def append_many(folder: str, messages: str, sessions: str) -> None:
    """Appends short messages to sessions in turn, and closes."""
    with open_store(folder, durability="os") as store:
        for number in range(int(messages)):
            store.append_user_message(f"s-{number % int(sessions):07}", "one more message")


def write_raw(folder: str, *files: str) -> None:
    """Writes each conversation of the files to a file of its own, synced."""
    os.mkdir(folder)
    found = (found for file in files for found in dialogues(file))
    for number, one in enumerate(found):
        fd = os.open(f"{folder}/{number}.json", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, msgspec.json.encode(one.dialogue.tree))
        os.fdatasync(fd)
        os.close(fd)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)


def stamp(path: str, count: str) -> None:
    """Appends the time to a file, with pauses of 1 to 5 ms."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    for _ in range(int(count)):
        time.sleep(random.uniform(0.001, 0.005))
        os.write(file, time.monotonic_ns().to_bytes(STAMP_BYTES))


TASKS: dict[str, Callable[..., None]] = {
    "append-many": append_many,
    "append": append,
    "append-on-demand": append_on_demand,
    "race": race,
    "read-again": read_again,
    "stamp": stamp,
    "write-raw": write_raw,
}

if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    TASKS[task](*arguments)
