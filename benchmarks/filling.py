"""Stores that already hold something.

Appending 100,000 messages durably takes a library minutes, so stores are filled in memory, where
a sync costs nothing, kept in the cache, and copied to the disk that is measured.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.bench import remove
from benchmarks.peers import base
from benchmarks.peers.base import PEERS, TABLE
from plainstate import open_store
from plainstate.core import times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.bench import Bench

WORDS = "All work and no play makes Jack a dull boy. " * 23
TEXT_CHARACTERS = 1_000

FILL_S = 30.0
"""A store that takes longer is not measured at that length."""

START_NS = 1_767_225_600_000_000_000  # 2026-01-01


class CannotFillError(Exception):
    """It would take minutes to fill the store, or its library fails."""


def text(number: int) -> str:
    """The text of a message: 1,000 characters, no two alike."""
    return f"{number} {WORDS}"[:TEXT_CHARACTERS]


def filled(bench: Bench, name: str, length: int, sessions: int = 1) -> Path:
    """A folder on the measured disk with sessions `s-0`, `s-1`, … of so many messages.

    Raises:
        CannotFillError: the store cannot be filled, or not in time.
    """
    name = name.removesuffix(" again")
    place = bench.folder(f"{name}-{length}")
    if name.startswith("ancestor"):  # its files are the same, but for what lies beside them
        lay_out(place, {f"s-{number}": length for number in range(sessions)})
        return place
    if name == "plainstate":
        lay_out(place, {f"s-{number}": length - 1 for number in range(sessions)})
        settle(place, [f"s-{number}" for number in range(sessions)])
        return place
    kept = _kept(bench, name, length, sessions)
    for refusal in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-*.too-slow"):
        refused_length, _, refused_sessions = refusal.stem.rpartition("-")[2].partition("x")
        if int(refused_length) <= length and int(refused_sessions) <= sessions:
            raise CannotFillError(refusal.read_text("utf-8"))
    refusal = kept.with_suffix(".too-slow")
    if not kept.exists():
        _fill(bench, name, kept, refusal, length, sessions)
    shutil.copytree(kept, place)
    return place


def _kept(bench: Bench, name: str, length: int, sessions: int) -> Path:
    """Where the filled store is kept: apart for each version of the library and its adapter."""
    adapter = Path(base.__file__).with_name(TABLE[name].adapter.partition(":")[0] + ".py")
    source = adapter.read_bytes()
    digest = hashlib.sha256(source + PEERS[name].version.encode()).hexdigest()[:8]
    return Path(bench.plan.cache) / "filled" / f"{name}-{digest}-{length}x{sessions}"


def _fill(bench: Bench, name: str, kept: Path, refusal: Path, length: int, sessions: int) -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else bench.plan.scratch
    kept.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=memory) as temporary:
        folder = Path(temporary) / "store"
        store = PEERS[name].open(folder)
        try:
            for session in range(sessions):
                for number in range(length):
                    store.append(f"s-{session}", text(number))
                    took = time.monotonic() - begun
                    if took > FILL_S:
                        done = session * length + number + 1
                        why = f"{done:,} messages took {took:.0f} s without any sync"
                        refusal.write_text(why, "utf-8")
                        raise CannotFillError(why)
        except CannotFillError:
            raise
        except Exception as error:
            raise CannotFillError(f"{type(error).__name__}: {error}") from error
        finally:
            store.close()
        bench.say(f"{name}: filled with {sessions * length:,} messages in {took:.1f} s")
        partial = kept.with_suffix(".partial")
        remove(partial)
        shutil.copytree(folder, partial)
        partial.rename(kept)


def lay_out(folder: Path, lengths: dict[str, int]) -> None:
    """Makes a plainstate store of plain files, as a copied or restored one would be.

    Args:
        folder: of the store.
        lengths: messages of each session, all of the user, as a benchmark appends them.
    """
    prepare(folder)
    for session, length in lengths.items():
        if not length:
            continue
        turns = [
            {"content": text(number), "timestamp": times.format(START_NS + number * 10**9)}
            for number in range(length)
        ]
        write_session(folder, session, "ada", turns, [])


def settle(folder: Path, sessions: Iterable[str]) -> None:
    """Appends to each session and folds it, so that it stands as plainstate leaves it."""
    with open_store(folder, durability="os") as store:
        for session in sessions:
            store.append_user_message(session, text(0), user_id="ada")


def prepare(folder: Path) -> None:
    """An empty store."""
    (folder / "sessions").mkdir(parents=True, mode=0o700)
    (folder / ".plainstate").mkdir(mode=0o700)
    (folder / ".plainstate" / "format.json").write_text('{\n  "plainstate": 1\n}\n', "utf-8")


def write_session(
    folder: Path,
    session: str,
    user: str,
    said: list[dict[str, str]],
    answered: list[dict[str, str]],
) -> None:
    """Writes one session's plain file."""
    stamps = sorted(turn["timestamp"] for turn in [*said, *answered])
    tree = {
        "id": session,
        "user_id": user,
        "user_messages": said,
        "agent_responses": answered,
        "created_at": stamps[0],
        "updated_at": stamps[-1],
        "metadata": {},
    }
    data = msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"
    (folder / "sessions" / f"{session}.json").write_bytes(data)
