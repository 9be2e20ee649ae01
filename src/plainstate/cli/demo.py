"""`plainstate demo`: four processes write conversations, one is killed, nothing is lost."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from plainstate import errors, open_store
from plainstate.cli import demo_plan, imports, listing, render

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from plainstate.types import Json

__all__ = ["run"]

WRITERS: Final = 4
VICTIM: Final = 1  # the second writer
WRITING_S: Final = 8.0
"""How long the writing takes, by pauses between the turns: at full speed nobody could watch it."""

RETRIED: Final = 3
"""How many acknowledged turns a successor sends again, besides the one in doubt."""

SAMPLES: Final = os.path.join(os.path.dirname(__file__), "demo_data", "conversations.jsonl")
EXIT_FAILED: Final = 1

_ROWS: Final = 8
_HEAD_LINES, _TAIL_LINES = 22, 8
_COLUMNS: Final = 98


def run(args: argparse.Namespace) -> int:
    """Runs the demo; returns an exit code that is not 0 if the check fails."""
    if args.store is not None:
        raise errors.UsageError(
            "the demo makes a store of its own", hint="Leave --store out; --keep DIR says where."
        )
    found = [one.dialogue for one in imports.dialogues(args.data or SAMPLES)]
    plans = demo_plan.make_plans(found, WRITERS)
    if not all(len(plan) > RETRIED for plan in plans):
        raise errors.UsageError(
            f"{args.data} has too few conversations for {WRITERS} writers",
            hint="Pass a file with more, or leave --data out.",
        )
    say = _silent if args.json else _say
    kept = _new_folder(args.keep) if args.keep else None
    folder = kept or tempfile.mkdtemp(prefix="plainstate-demo-", dir=os.getcwd())
    notes = tempfile.mkdtemp(prefix="plainstate-notes-")
    try:
        return _Demo(plans, folder, notes, say).play(as_json=args.json, kept=kept)
    finally:
        shutil.rmtree(notes, ignore_errors=True)
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)


class _Demo:
    """One run.

    Args:
        plans: what each writer has to store.
        folder: of the store.
        notes: folder for the writers' plans and acknowledgements.
        say: prints a line.
    """

    def __init__(
        self,
        plans: list[list[demo_plan.Turn]],
        folder: str,
        notes: str,
        say: Callable[[str], None],
    ) -> None:
        self._plans = plans
        self._folder = folder
        self._notes = notes
        self._say = say
        self._pause_s = WRITING_S / max(len(plan) for plan in plans)
        self._processes: list[subprocess.Popen[bytes]] = []

    def play(self, *, as_json: bool, kept: str | None) -> int:
        """Writes, kills, goes on, checks, and shows what is there."""
        self._introduce()
        try:
            killed_after = self._write_and_kill()
        finally:
            for process in self._processes:
                process.kill()  # harmless where it has ended
                process.wait()
        acks = [ack for writer in range(WRITERS) for ack in self._acks(writer)]
        with open_store(self._folder) as store:
            loaded = map(store.load_session, self._session_ids())
            sessions = {str(session.id): session for session in loaded if session is not None}
            findings = demo_plan.examine(self._plans, acks, sessions)
            newest = store.list_sessions(limit=_ROWS)
        if as_json:
            render.json_document(self._report(findings, acks, killed_after))
        else:
            self._tell(findings, acks)
            print(f"\nThe newest sessions:\n\n{listing.sessions_table(newest)}\n")
            _print_file(self._folder, f"sessions/{newest[0].id}.json")
            _print_next(kept, newest[0].id)
        return 0 if findings.good else EXIT_FAILED

    # --- writing ---

    def _introduce(self) -> None:
        turns = sum(map(len, self._plans))
        self._say(
            f"{WRITERS} processes now store {len(self._session_ids())} conversations, "
            f"{turns} messages, turn by turn, in\n  {os.path.relpath(self._folder)}\n"
            f"One conversation ({self._shared_id()}) is written by all {WRITERS} at once.\n"
            "Each process notes what was acknowledged, after the call has returned.\n"
        )

    def _write_and_kill(self) -> int:
        """Runs the writers; returns how many turns the victim had acknowledged."""
        for writer in range(WRITERS):
            self._start(writer, 0)
        victim, plan = self._processes[VICTIM], self._plans[VICTIM]
        moment = _middle(plan)
        self._watch(lambda: len(self._acks(VICTIM)) >= moment)
        victim.send_signal(signal.SIGKILL)
        killed = victim.wait() == -signal.SIGKILL
        done = len(self._acks(VICTIM))
        broken_off = _broken_off(plan, done)
        if not killed or broken_off is None:
            raise errors.PlainstateError(
                f"writer {VICTIM + 1} was not killed in the middle", hint="Run it again."
            )
        session_id, told, total = broken_off
        self._say(
            f"\nWriter {VICTIM + 1} is killed (SIGKILL) with {done} of its {len(plan)} messages "
            f"acknowledged,\n{told} of {total} in the conversation {session_id}."
        )
        first = max(0, done - RETRIED)
        self._start(VICTIM, first)
        self._say(
            f"Its successor goes on at message {first + 1}: what may or may not be stored already\n"
            "is sent again under the same transaction ids.\n"
        )
        self._watch(lambda: all(process.poll() is not None for process in self._processes))
        failed = [process.returncode for process in self._processes if process is not victim]
        if any(failed):
            raise errors.PlainstateError(f"a writer failed: {failed}", hint="Its message is above.")
        return done

    def _start(self, writer: int, first: int) -> None:
        plan = os.path.join(self._notes, f"{writer}.json")
        with open(plan, "wb") as file:
            file.write(msgspec.json.encode(self._plans[writer]))
        arguments = (self._folder, plan, self._log(writer), str(first), str(self._pause_s))
        # -P: a folder named plainstate where the demo is run must not be taken for the package.
        command = [sys.executable, "-P", "-m", "plainstate.cli.demo_writer", *arguments]
        self._processes.append(subprocess.Popen(command))  # noqa: S603 - our own program

    def _watch(self, done: Callable[[], bool]) -> None:
        """Waits, and shows once a second how far the writers are."""
        shown = time.monotonic()
        while not done() and any(process.poll() is None for process in self._processes):
            time.sleep(0.01)
            if time.monotonic() - shown >= 1:
                shown = time.monotonic()
                counts = [len({ack.tx_id for ack in self._acks(n)}) for n in range(WRITERS)]
                parts = [
                    f"writer {n + 1}: {count:3d}/{len(self._plans[n])}"
                    for n, count in enumerate(counts)
                ]
                self._say("  " + "   ".join(parts))

    def _log(self, writer: int) -> str:
        return os.path.join(self._notes, f"{writer}.acks")

    def _acks(self, writer: int) -> list[demo_plan.Ack]:
        try:
            with open(self._log(writer), "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:  # it has not begun
            return []
        return [msgspec.json.decode(line, type=demo_plan.Ack) for line in lines[:-1]]

    def _session_ids(self) -> list[str]:
        return sorted({turn.session_id for plan in self._plans for turn in plan})

    def _shared_id(self) -> str:
        users = [{turn.session_id for turn in plan} for plan in self._plans]
        return ", ".join(sorted(set.intersection(*users)))

    # --- telling ---

    def _report(
        self, findings: demo_plan.Findings, acks: list[demo_plan.Ack], killed_after: int
    ) -> Json:
        return {
            "passed": findings.good,
            "sessions": len(self._session_ids()),
            "acknowledged": len({ack.tx_id for ack in acks}),
            "stored": findings.messages,
            "lost": findings.lost,
            "doubled": findings.doubled,
            "altered": findings.altered,
            "disordered": findings.disordered,
            "killed_after": killed_after,
            "recognized_retries": sum(ack.duplicate for ack in acks),
            "median_append_ms": round(_median_ms(acks), 3),
        }

    def _tell(self, findings: demo_plan.Findings, acks: list[demo_plan.Ack]) -> None:
        acknowledged = len({ack.tx_id for ack in acks})
        retries = sum(ack.duplicate for ack in acks)
        self._say("\nThe check reads every session back:\n")
        for count, text in (
            (acknowledged, "messages were acknowledged"),
            (findings.messages, "messages are stored"),
            (len(findings.lost), "acknowledged and lost"),
            (len(findings.doubled), "stored twice"),
            (len(findings.altered), "altered"),
            (len(findings.disordered), "out of order"),
            (retries, "sent again by the successor, recognized, not stored again"),
        ):
            self._say(f"  {count:4d}  {text}")
        self._say(f"  {_median_ms(acks):4.1f}  ms until a message is safe on disk (median)")
        verdict = "PASSED: every acknowledged message is there, once, in order."
        self._say("\n" + (verdict if findings.good else "FAILED: see the counts above."))


def _middle(plan: list[demo_plan.Turn]) -> int:
    """How many turns to wait for: a third, and on until a conversation is under way."""
    third = len(plan) // 3
    under_way = (n for n in range(third, len(plan)) if _same_session(plan[n - 1 : n + 1]))
    return next(under_way, third)


def _same_session(turns: list[demo_plan.Turn]) -> bool:
    return len({turn.session_id for turn in turns}) == 1


def _broken_off(plan: list[demo_plan.Turn], done: int) -> tuple[str, int, int] | None:
    """A conversation that was begun and not finished after `done` turns, with both counts.

    The one that was to go on comes first.
    """
    for session_id in dict.fromkeys(turn.session_id for turn in plan[done:]):
        total = sum(turn.session_id == session_id for turn in plan)
        told = sum(turn.session_id == session_id for turn in plan[:done])
        if told:
            return session_id, told, total
    return None


def _new_folder(path: str) -> str:
    """Makes the folder for `--keep`; one with anything in it is not touched."""
    path = os.path.abspath(path)
    os.makedirs(path, exist_ok=True)
    if os.listdir(path):
        raise errors.AlreadyExistsError(
            f"{path} is not empty", hint="Name a new folder, or empty this one.", document=""
        )
    return path


def _median_ms(acks: Iterable[demo_plan.Ack]) -> float:
    return statistics.median(ack.seconds for ack in acks) * 1000


def _print_file(folder: str, path: str) -> None:
    """A file as it lies on disk, without its middle and the ends of long lines."""
    with open(os.path.join(folder, path), encoding="utf-8") as file:
        lines = [render.fit(render.clean(line), _COLUMNS) for line in file.read().splitlines()]
    hidden = len(lines) - _HEAD_LINES - _TAIL_LINES
    shown: Iterable[str] = lines
    if hidden > 0:
        gap = f"  … {hidden} more lines …"
        shown = chain(lines[:_HEAD_LINES], [gap], lines[-_TAIL_LINES:])
    print(f"{path}, as it lies on disk:\n")
    print("\n".join("  " + line for line in shown))


def _print_next(kept: str | None, session_id: str) -> None:
    program = _program()
    print("\nTry next:\n")
    if kept is None:
        again = shlex.join([*program, "demo", "--keep", "demo-state"])
        print(f"  {again}    # the same, and the store stays")
        return
    store = os.path.relpath(kept)
    for command in (
        [*program, "--store", store, "sessions"],
        [*program, "--store", store, "show", f"sessions/{session_id}.json"],
        ["ls", "-lR", store],
    ):
        print("  " + shlex.join(command))


def _program() -> list[str]:
    """How this program was called, so that the same one runs again, also from outside PATH."""
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":
        return [sys.executable, "-m", "plainstate"]
    if os.path.basename(called) == "plainstate" and os.sep in called:
        return [os.path.relpath(called)]
    return ["plainstate"]


def _say(text: str) -> None:
    print(text, flush=True)


def _silent(_: str) -> None:
    """For `--json`: only the result is printed."""
