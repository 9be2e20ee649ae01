"""What processes of their own do with a peer: they append, race, die, and look at what is there.

python -m benchmarks.peers.children PART PEER FOLDER [ARGUMENT ...]
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.base import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).parent.parent.parent
SESSION = "s-1"
TEXT_CHARACTERS = 1_000
SENTENCE = "All work and no play makes Jack a dull boy. "
ANSWERS = 100  # a descriptor that is free when a child begins
BEGIN, END = "/counting-begins", "/counting-ends"
"""Files that do not exist; asking for them shows in a trace when counting begins and ends."""


def text(number: int, tag: str = "") -> str:
    """A message like no other, of the length of all others."""
    return f"{tag}{number} {SENTENCE * 25}"[:TEXT_CHARACTERS]


# --- the side of the parent --------------------------------------------------


def start(
    part: str, name: str, folder: Path, *arguments: object, prefix: Iterable[str] = ()
) -> subprocess.Popen[str]:
    """Starts a child."""
    command = [sys.executable, "-W", "ignore", "-m", __name__, part, name, str(folder)]
    return subprocess.Popen(
        [*prefix, *command, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def run(part: str, name: str, folder: Path, *arguments: object, prefix: Iterable[str] = ()) -> str:
    """Runs a child to its end; returns what it said."""
    return start(part, name, folder, *arguments, prefix=prefix).communicate()[0].strip()


# --- the side of the child ---------------------------------------------------


def main() -> None:
    """Plays one part.  What it has to say goes to the parent; what a library prints, to stderr."""
    part, name, folder, *arguments = sys.argv[1:]
    os.dup2(sys.stdout.fileno(), ANSWERS)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    PARTS[part](name, Path(folder), *arguments)


def answer(said: object) -> None:
    """Tells the parent a line."""
    os.write(ANSWERS, f"{said}\n".encode())


def append(name: str, folder: Path, before: str, counted: str) -> None:
    """Appends and closes; what happens between the marks is to be counted."""
    store = PEERS[name].open(folder)
    have = len(store.texts(SESSION))
    for number in range(have, have + int(before)):
        store.append(SESSION, text(number))
    os.access(BEGIN, os.F_OK)
    for number in range(have + int(before), have + int(before) + int(counted)):
        store.append(SESSION, text(number))
    os.access(END, os.F_OK)
    store.close()


def killed(name: str, folder: Path, count: str) -> None:
    """Appends and dies."""
    store = PEERS[name].open(folder)
    for number in range(int(count)):
        store.append(SESSION, text(number))
    os.kill(os.getpid(), 9)


def race(name: str, folder: Path, count: str, tag: str) -> None:
    """Says that it is ready, appends once it is told to, and tells how many were acknowledged."""
    store = PEERS[name].open(folder)
    store.texts(SESSION)
    answer("ready")
    sys.stdin.readline()
    refused: Counter[str] = Counter()
    for number in range(int(count)):
        try:
            store.append(SESSION, text(number, tag))
        except Exception as error:  # noqa: BLE001 - whatever a store refuses with
            refused[type(error).__name__] += 1
    store.close()
    answer(int(count) - refused.total())
    for kind, times in refused.items():
        print(f"{name}, writer {tag}: {times} x {kind}", file=sys.stderr)


def count(name: str, folder: Path) -> None:
    """Tells how many different messages there are."""
    store = PEERS[name].open(folder)
    answer(len(set(store.texts(SESSION))))
    store.close()


def look(name: str, folder: Path, wanted: str, suspect: str) -> None:
    """Tells how many of the first messages are there and in order, or the error."""
    try:
        store = PEERS[name].open(folder)
        texts = store.texts(SESSION)
        store.close()
    except Exception as error:  # noqa: BLE001 - shown as it is
        answer(f"`{type(error).__name__}`" + (", file named" if suspect in str(error) else ""))
        return
    in_order = texts == [text(number) for number in range(len(texts))]
    answer(f"{len(texts)} of {wanted}" + ("" if in_order else ", not in order"))


PARTS: dict[str, Callable[..., None]] = {
    "append": append,
    "killed": killed,
    "race": race,
    "count": count,
    "look": look,
}

if __name__ == "__main__":
    main()
