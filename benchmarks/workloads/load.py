"""W4: loading a session of 1,000 and of 10,000 messages of 1,000 characters.  Bar 5.

Timed is the library's own loading call, nothing converted.  The limit reads the file and decodes
its raw lines with msgspec; *the plain file, decoded* is that of the folded session.  All files
are in the system's cache.  What is loaded is thrown away inside the timed call; the garbage
collector runs as it does by default.

- *plainstate*: the session is folded, and the handle is the same every time; it keeps what it
  loaded last, so this is no reading of the session, and nothing to hold against others.
- *plainstate, new handle*: a store that is opened for it, which has to read everything; opening and
  closing are not timed.
- *plainstate, copied file*: a new handle on a plain file that was put there and that plainstate has
  not written since.
- *plainstate, before a fold*: as many messages, of which as many lie in the journal as can before
  an append folds.
- *plainstate, after an append*: a handle that has loaded the session loads it again after another
  process appended one message.  The others that can have their second process do the same.

Bytes read by such a second load are counted with strace(1).
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks import tracing
from benchmarks.bench import timed
from benchmarks.filling import CannotFillError, filled, lay_out, settle, text
from benchmarks.peers.base import PEERS
from plainstate import open_store
from plainstate.limits import FOLD_FLOOR_BYTES, FOLD_RATIO

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.bench import Bench, Turn
    from benchmarks.peers.base import Store
    from plainstate import StateStore

LENGTHS = (1_000, 10_000)
FOLDED = "plainstate, new handle"
ALMOST = 0.98
NEVER_S = 1e6


def run(bench: Bench) -> None:
    """Measures."""
    for length in bench.sizes(LENGTHS, LENGTHS):
        of_length(bench, length)


def of_length(bench: Bench, length: int) -> None:
    """Loads of sessions of a length."""
    for ending, names, rounds in bench.groups(30, 5):
        turns: dict[str, Turn] = {}
        left_out: dict[str, str] = {}
        for name in names:
            try:
                store = bench.store(name, filled(bench, name, length))
            except CannotFillError as error:
                left_out[name] = str(error)
                continue
            turns[name] = _loading(store)
        if ending:
            turns[FOLDED] = new_handle(filled(bench, "plainstate", length))
        else:
            turns |= _plainstate(bench, length)
            turns["limit, after an append"] = _after_append(bench, "limit", length)
            turns["sqlite_full, after an append"] = _after_append(bench, "sqlite_full", length)
        bench.compare(
            f"load {length:,}{ending}",
            f"loading a session of {length:,} messages",
            turns,
            rounds,
            to=("limit", "sqlite_full", FOLDED, "the plain file, decoded"),
            left_out=left_out,
        )
    bench.count(
        "bytes read",
        "by a second load in one handle, after another process appended one message",
        f"{length:,} messages",
        **_read_again(bench, length),
    )


def _loading(store: Store) -> Turn:
    load = getattr(store, "load", store.texts)
    return lambda: timed(lambda: load("s-0"))


def new_handle(folder: Path) -> Turn:
    """Loads with a store that has not seen the session."""

    def turn() -> list[float]:
        with open_store(folder) as store:
            return timed(lambda: store.load_session("s-0"))

    return turn


def _plainstate(bench: Bench, length: int) -> dict[str, Turn]:
    folded = filled(bench, "plainstate", length)
    plain = folded / "sessions" / "s-0.json"
    copied = bench.folder("copied")
    lay_out(copied, {"s-0": length})
    waiting = bench.folder("before-fold")
    writer = bench.exits.enter_context(open_store(waiting, quiet_fold_s=NEVER_S))
    before_fold(bench, waiting, writer, length, folded_part(bench, length))

    return {
        "the plain file, decoded": lambda: timed(lambda: msgspec.json.decode(plain.read_bytes())),
        FOLDED: new_handle(folded),
        "plainstate, copied file": new_handle(copied),
        "plainstate, before a fold": lambda: timed(lambda: writer.load_session("s-0")),
        "plainstate, before a fold, new handle": new_handle(waiting),
        "plainstate, after an append": _after_append(bench, "plainstate", length),
    }


def before_fold(bench: Bench, folder: Path, writer: StateStore, length: int, snapshot: int) -> None:
    """Makes a session that the next few appends fold: `snapshot` of its messages are folded.

    The writer has opened the folder, which is not there yet, and does not fold by itself.
    """
    if snapshot:
        lay_out(folder, {"s-0": snapshot - 1})
        settle(folder, ["s-0"])
    for number in range(snapshot, length):
        writer.append_user_message("s-0", text(number), user_id="ada", durability="os")
    journal = folder / "sessions" / "s-0.jsonl"
    snapshot_bytes = (folder / "sessions" / "s-0.json").stat().st_size if snapshot else 0
    full = journal.stat().st_size / max(FOLD_FLOOR_BYTES, snapshot_bytes // FOLD_RATIO)
    if snapshot and full < ALMOST - 0.1:
        raise AssertionError(f"the session was folded meanwhile: its journal is {full:.0%} full")
    bench.note(
        f"{length:,} messages: before the fold {length - snapshot:,} of the messages lie in the"
        f" journal, {full:.0%} of what makes an append fold"
    )


def folded_part(bench: Bench, length: int) -> int:
    """How many messages lie in the snapshot at the worst moment, so that the rest just fits."""
    probe = bench.folder("probe")
    with open_store(probe, quiet_fold_s=NEVER_S) as store:
        for number in range(100):
            store.append_user_message("s-0", text(number), user_id="ada", durability="os")
        journal = (probe / "sessions" / "s-0.jsonl").stat().st_size / 100
        store.checkpoint()
        plain = (probe / "sessions" / "s-0.json").stat().st_size / 100
    by_ratio = length * journal * FOLD_RATIO / (plain + journal * FOLD_RATIO)
    by_floor = length - FOLD_FLOOR_BYTES / journal
    waiting = length - min(by_ratio, by_floor)  # a line is now and then some bytes longer
    return max(0, length - int(waiting * ALMOST))


def _after_append(bench: Bench, name: str, length: int) -> Turn:
    """Loads again after another process has appended a message."""
    folder = filled(bench, name, length)
    store: Store = bench.store(name, folder)
    other = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.workers", "append-on-demand", name, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    bench.exits.enter_context(other)
    load = getattr(store, "load", store.texts)
    load("s-0")

    def turn() -> list[float]:
        other.stdin.write("1\n")  # type: ignore[union-attr]
        other.stdout.readline()  # type: ignore[union-attr]
        return timed(lambda: load("s-0"))

    return turn


def _read_again(bench: Bench, length: int) -> dict[str, float]:
    if "plainstate" not in PEERS or not os.path.exists("/usr/bin/strace"):
        return {}
    folder = filled(bench, "plainstate", length)
    return {"plainstate": tracing.count_read_again(folder)}
