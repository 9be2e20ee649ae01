"""Measures what an appended message costs in each store, and what becomes of it.

    python compare.py [store ...]          prints one line of the table per store

Needs Linux and strace(1); a store whose library is not installed is left out.

- *syncs*, *bytes*: a session of 1,000 messages is filled and closed; another process opens it
  and appends 1,000 more under strace.  Counted are fsync(2), fdatasync(2) and msync(2), and the
  bytes given to write(2) and its kin for files of the store, per append.
- *lost*: two processes open the same session and append 200 messages each, at once.  What the
  appends did not report as failed and what is not there afterwards is lost.
- *torn*: a process that appended 20 messages is killed; then the newest file loses its last
  40 bytes, as after a crash in the middle of a write.
- *halved*: after 20 messages and a clean close, the largest file is cut in half.
- *text*: whether every file that holds messages is readable text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from stores import STORES, shown_version

FILLED = 1_000
MEASURED = 1_000
RACED = 200
FEW = 20
TORN_BYTES = 40
TEXT = "All work and no play makes Jack a dull boy. " * 2

MODULES = {"openai-agents": "agents", "langgraph": "langgraph.checkpoint.sqlite"}
CALLS = "fsync,fdatasync,msync,write,pwrite64,writev,pwritev,pwritev2,access,faccessat,faccessat2"
BEGIN, END = "/comparison-begin", "/comparison-end"


def main() -> None:
    """Runs a worker's part, or measures the stores that are named."""
    part, *rest = sys.argv[1:] or [""]
    if part in WORKERS:
        name, folder, *arguments = rest
        WORKERS[part](name, Path(folder), *arguments)
        return
    print("| store | version | syncs | bytes | lost | torn | halved | text |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or STORES:
        if find_spec(MODULES.get(name, name).partition(".")[0]) or not STORES[name][1]:
            print(f"| {' | '.join([name, shown_version(name), *measured(name)])} |", flush=True)


def measured(name: str) -> list[str]:
    """One row of the table."""
    folder = Path(tempfile.mkdtemp(prefix="compare-", dir="."))
    try:
        syncs, written = cost(name, folder / "cost")
        return [
            f"{syncs:.2f}",
            f"{written:,.0f}",
            lost(name, folder / "lost"),
            torn(name, folder / "torn"),
            halved(name, folder / "halved"),
            "yes" if is_text(folder / "halved") else "no",
        ]
    finally:
        shutil.rmtree(folder)


# --- what is measured --------------------------------------------------------


def cost(name: str, folder: Path) -> tuple[float, float]:
    """Syncs and bytes per append."""
    worker(name, folder, "append", str(FILLED))
    trace = folder.with_suffix(".trace")
    command = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(trace)]
    worker(name, folder, "append", str(MEASURED), prefix=command)
    syncs, written = read_trace(trace.read_text(), str(folder.resolve()))
    return syncs / MEASURED, written / MEASURED


def read_trace(trace: str, folder: str) -> tuple[int, int]:
    """Syncs and bytes written between the two marks, for files below `folder`."""
    syncs = written = 0
    pending: dict[str, str] = {}
    inside = False
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            pending[thread] = call.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", call):
            call = pending.pop(thread, "") + call[resumed.end() :]
        if BEGIN in call or END in call:
            inside = BEGIN in call
        elif inside and folder in call:
            if re.match(r"(fsync|fdatasync|msync)\(", call):
                syncs += 1
            elif result := re.search(r"= (\d+)$", call):
                written += int(result[1])
    return syncs, written


def lost(name: str, folder: Path) -> str:
    """Of the messages of two processes at once, how many are missing."""
    worker(name, folder, "append", "1")
    gate = folder.with_suffix(".gate")
    arguments = ["race", name, str(folder), str(gate)]
    racers = [start([*arguments, tag]) for tag in "ab"]
    time.sleep(5)  # both have imported their libraries and opened the store
    gate.touch()
    done = sum(int(racer.communicate()[0] or 0) for racer in racers)
    kept = int(worker(name, folder, "count"))
    failed = 2 * RACED - done
    return f"{done + 1 - kept} of {2 * RACED}" + (f", {failed} refused" if failed else "")


def torn(name: str, folder: Path) -> str:
    """What is read after a kill and a torn end of the newest file."""
    worker(name, folder, "killed", str(FEW))
    newest = max(files(folder), key=lambda path: path.stat().st_mtime_ns)
    os.truncate(newest, newest.stat().st_size - TORN_BYTES)
    return f"{newest.name}: {worker(name, folder, 'look')}"


def halved(name: str, folder: Path) -> str:
    """What is read of a store whose largest file was cut in half."""
    worker(name, folder, "append", str(FEW))
    largest = max(files(folder), key=lambda path: path.stat().st_size)
    os.truncate(largest, largest.stat().st_size // 2)
    return f"{largest.name}: {worker(name, folder, 'look')}"


def is_text(folder: Path) -> bool:
    """Whether all files of a store are UTF-8 without NUL."""
    try:
        return all("\0" not in path.read_text("utf-8") for path in files(folder))
    except UnicodeDecodeError:
        return False


def files(folder: Path) -> list[Path]:
    """The files that hold messages, not those that a store can make anew from them."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    return [
        path for path in found if not path.name.endswith("-shm") and ".plainstate" not in path.parts
    ]


# --- the workers, each a process of its own ----------------------------------


def start(arguments: list[str], prefix: list[str] | None = None) -> subprocess.Popen[str]:
    """Starts a part of this script."""
    command = [*(prefix or []), sys.executable, __file__, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def worker(
    name: str, folder: Path, part: str, *arguments: str, prefix: list[str] | None = None
) -> str:
    """Runs a part to its end and returns what it printed."""
    process = start([part, name, str(folder), *arguments], prefix)
    return process.communicate()[0].strip()


def append(name: str, folder: Path, count: str) -> None:
    """Appends and closes; what happens between the marks is counted."""
    store = STORES[name][0](folder)
    store.texts()
    os.access(BEGIN, os.F_OK)
    for number in range(int(count)):
        store.append(f"{number} {TEXT}")
    os.access(END, os.F_OK)
    store.close()


def killed(name: str, folder: Path, count: str) -> None:
    """Appends and dies."""
    store = STORES[name][0](folder)
    for number in range(int(count)):
        store.append(f"{number} {TEXT}")
    os.kill(os.getpid(), 9)


def race(name: str, folder: Path, gate: str, tag: str) -> None:
    """Appends as soon as the gate opens; prints how many appends were acknowledged."""
    store = STORES[name][0](folder)
    store.texts()
    while not Path(gate).exists():
        time.sleep(0.001)
    done = 0
    for number in range(RACED):
        try:
            store.append(f"{tag} {number} {TEXT}")
            done += 1
        except Exception as error:  # noqa: BLE001 - whatever a store refuses with
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    store.close()
    print(done)


def count(name: str, folder: Path) -> None:
    """Prints how many messages there are."""
    store = STORES[name][0](folder)
    print(len(set(store.texts())))
    store.close()


def look(name: str, folder: Path) -> None:
    """Prints how many messages can be read, or the error."""
    try:
        store = STORES[name][0](folder)
        print(f"{len(store.texts())} of {FEW}")
        store.close()
    except Exception as error:  # noqa: BLE001 - shown as it is
        print(f"{type(error).__name__}")


WORKERS = {"append": append, "killed": killed, "race": race, "count": count, "look": look}

if __name__ == "__main__":
    main()
