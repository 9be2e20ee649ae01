"""A process of the storm: draws calls and makes them until it is told to stop, or killed.

It begins with what its predecessor was killed in: the same calls with the same ids.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

from plainstate import AsyncStateStore, StateStore
from plainstate.engines.file import engine as engine_module
from plainstate.errors import LockTimeoutError
from plainstate.types import ABSENT
from proof.storm.model import TRASH, UPKEEP, Call, Tokens
from proof.storm.perform import blocking, perform
from proof.storm.record import OLD, Recorder, calls_cut_off, read_log
from proof.storm.sabotage import SABOTAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proof.storm.model import Action, Outcome
    from proof.storm.perform import Store

__all__ = ["LOGS", "PLACES", "STOP", "Job", "does_several_at_once", "work"]

PLACES: Final = {
    "docs": tuple(f"docs/d{number}" for number in range(4)),
    "notes": ("notes/n0", "notes/n1"),
    "sessions": ("sessions/s0", "sessions/s1"),
    "logs": ("sessions/log0", "sessions/log1"),
    "boxes": ("boxes/a", "boxes/b", "attic/a"),
    "old": tuple(f"sessions/{name}" for name in OLD),
}
"""Every document of the storm; few, so that everybody meets everywhere."""

LOGS: Final = PLACES["logs"]
"""Only appended to, so that nothing is needed to judge them but their messages."""

STOP: Final = "stop"
"""Name of the file beside the logs that ends every worker."""

_SMALL: Final = {
    "FOLD_FLOOR_BYTES": 1_500,
    "FOLD_RATIO": 1 << 40,
    "FEED_SEGMENT_BYTES": 64 * 1024,
    "FEED_BYTES": 512 * 1024,
}
"""Limits that are meant for years are reached in seconds."""

_TASKS: Final = 3
_IMPATIENT_S: Final = 0.02
_WITH_ID: Final = 0.6


class Job(Struct, frozen=True):
    """What a process is to do.

    Attributes:
        folder: holds the store and the logs.
        name: of the process, and of its log.
        before: the name of the process in whose place it is, "" if it is the first.
        number: of the place; it decides how the store is opened.
        foreman: process id of who started it: without that one it ends.
        seed: of its chances.
        sabotage: what is broken in it, "" for nothing.
    """

    folder: str
    name: str
    before: str
    number: int
    foreman: int
    seed: str
    sabotage: str = ""


def work(job: Job) -> int:
    """Does a job; the exit code."""
    _make_small()
    if job.sabotage:
        SABOTAGES[job.sabotage].apply()
    recorder = Recorder(f"{job.folder}/logs/{job.name}.log")
    try:
        worker = _Worker(job, recorder)
        if does_several_at_once(job.name):
            asyncio.run(worker.run_tasks())
        else:
            blocking(worker.run())
    except Exception:  # noqa: BLE001 - whatever it is, the judge must learn it
        recorder.fault(traceback.format_exc())
        return 1
    return 0


def does_several_at_once(name: str) -> bool:
    """Whether a process has the async face, and so no order of its own."""
    return int(name[1:].partition(".")[0]) % 3 == 1


class _Worker:
    def __init__(self, job: Job, recorder: Recorder) -> None:
        self._job = job
        self._recorder = recorder
        self._chance = random.Random(f"{job.seed} {job.name}")
        self._number = 0
        self._waiting = list(_cut_off(job))

    async def run(self) -> None:
        """With the blocking face, one call after the other."""
        while not self._told_to_stop():
            store = StateStore(**self._options())
            try:
                await self._go_on(store)
            finally:
                with suppress(LockTimeoutError):  # others fold what they have locked
                    store.close()

    async def run_tasks(self) -> None:
        """With the async face, several calls at once."""
        while not self._told_to_stop():
            store = AsyncStateStore(**self._options())
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(_TASKS):
                        group.create_task(self._go_on(store))
            finally:
                with suppress(LockTimeoutError):
                    await store.close()

    def _options(self) -> dict[str, Any]:
        number = self._job.number
        return {
            "path": f"{self._job.folder}/store",
            "quiet_fold_s": self._chance.choice([0.02, 0.2, 1]),
            "history": "keep" if number % 2 else "none",
            "history_bytes": 20_000,
            **({} if number % 4 else {"lock_timeout_s": _IMPATIENT_S}),
        }

    def _told_to_stop(self) -> bool:
        alone = os.getppid() != self._job.foreman
        return alone or os.path.exists(f"{self._job.folder}/logs/{STOP}")

    async def _go_on(self, store: Store) -> None:
        """Until the store is to be opened anew."""
        while self._waiting:
            await self._do(store, self._waiting.pop())
        while not self._told_to_stop():
            call = self._draw(isinstance(store, AsyncStateStore))
            if call.action == "reopen":
                return
            if call.expected is not None:
                call = await self._against_what_is_there(store, call)
            if call.action == "move" and call.place == TRASH:
                await self._restore(store)
            else:
                await self._do(store, call)

    async def _do(self, store: Store, call: Call) -> Outcome:
        return await self._recorder.record(call, lambda one: perform(store, one))

    async def _against_what_is_there(self, store: Store, call: Call) -> Call:
        """Reads, so that the call is refused if somebody writes in between."""
        seen = await self._do(store, Call("read", call.place))
        tokens = call.tokens and ((seen.value or ()) + call.tokens)
        return structs.replace(call, expected=seen.version or ABSENT, tokens=tokens)

    async def _restore(self, store: Store) -> None:
        trash: Any = store.trash()
        found = trash if isinstance(trash, list) else await trash
        if found:
            one = self._chance.choice(found)
            target = f"sessions/{one.id}"
            await self._do(store, Call("move", f"{TRASH}/{one.run}/{one.id}", target=target))

    # --- what to do next ---

    def _draw(self, several: bool) -> Call:  # noqa: FBT001 - a fact, not an option
        where = self._chance.choices(list(_SHARES), list(_SHARES.values()))[0]
        if where == "upkeep":
            return Call(self._one(_UPKEEP))
        actions = _ACTIONS[where]
        action = self._one(actions)
        if action == "prune":
            if several:  # two of one process would mix up the names of their runs
                return Call("list")
            return Call("prune", target=f"{self._job.name}-{self._new_token()}")
        if action == "restore":
            return Call("move", TRASH)
        place = self._chance.choice(PLACES[where])
        if action == "move":
            target = self._chance.choice([one for one in PLACES[where] if one != place])
            return Call("move", place, target=target)
        if action == "read":
            return Call("read", place)
        return self._write(action, where, place)

    def _write(self, action: str, where: str, place: str) -> Call:
        moved = where in ("boxes", "old")  # a move is not remembered under the old name
        tx_id = None
        if not moved and self._chance.random() < _WITH_ID and (action, where) != _WITHOUT_ID:
            tx_id = f"t-{self._job.name}-{self._new_token()}"
        name = "" if action == "delete" else self._new_token()
        tokens: Tokens = (name,) if name else ()
        if action == "batch":
            tokens = tuple(f"{name}.{index}" for index in range(self._chance.randint(2, 4)))
        expected = None
        if action in ("compare", "delete-seen"):
            expected = ""
        made: Any = {"batch": "append", "compare": "save", "delete-seen": "delete"}
        known: Action = made.get(action, action)
        return Call(known, place, () if known == "delete" else tokens, expected, "", tx_id)

    def _one(self, shares: dict[Any, float]) -> Any:
        return self._chance.choices(list(shares), list(shares.values()))[0]

    def _new_token(self) -> str:
        self._number += 1
        return f"{self._job.name}-{self._number}"


_SHARES: Final = {
    "docs": 34.0,
    "notes": 16.0,
    "sessions": 16.0,
    "logs": 14.0,
    "boxes": 10.0,
    "old": 6.0,
    "upkeep": 4.0,
}

_ACTIONS: Final[dict[str, dict[str, float]]] = {
    "docs": {
        "patch": 25,
        "transact": 20,
        "save": 8,
        "compare": 12,
        "delete": 3,
        "delete-seen": 2,
        "read": 30,
    },
    "notes": {"append": 50, "save": 10, "compare": 5, "delete": 5, "read": 30},
    "sessions": {"append": 30, "batch": 15, "turn": 20, "delete": 5, "read": 30},
    "logs": {"append": 75, "batch": 18, "read": 7},
    "boxes": {"move": 35, "save": 8, "transact": 20, "delete": 3, "read": 34},
    "old": {"append": 50, "prune": 8, "restore": 12, "read": 30},
}

_UPKEEP: Final[dict[Any, float]] = {
    "checkpoint": 30,
    "check": 6,
    "repair": 4,
    "list": 30,
    "reopen": 30,
}

_WITHOUT_ID: Final = ("delete", "sessions")
"""`delete_session` takes none."""


def _cut_off(job: Job) -> Iterator[Call]:
    """What the predecessor was killed in, as far as it can be tried again."""
    path = f"{job.folder}/logs/{job.before}.log"
    if job.before and os.path.exists(path):  # it may have been killed before it said anything
        for line in calls_cut_off(read_log(path)):
            call = line.call
            if call is not None and call.action not in UPKEEP and call.tx_id is not None:
                yield call


def _make_small() -> None:
    package = engine_module.__package__ or ""
    found = set()
    for name, module in list(sys.modules.items()):
        if name.startswith(package):
            present = _SMALL.keys() & vars(module).keys()
            vars(module).update({limit: _SMALL[limit] for limit in present})
            found |= present
    if found != _SMALL.keys():
        raise AssertionError(f"the limits are not where they were: {_SMALL.keys() - found}")
