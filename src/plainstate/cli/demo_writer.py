"""One writer of the demo, a process of its own: `python -m plainstate.cli.demo_writer`.

It stores its turns one by one and notes each acknowledgement in a file *after* the call has
returned.  When it is killed, that file is what the world was told.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec

from plainstate import StateStore, open_store
from plainstate.cli.demo_plan import Ack, Turn

__all__ = ["main"]


def main(store_path: str, plan_path: str, log_path: str, first: str, pause_s: str) -> None:
    """Stores a plan.

    Args:
        store_path: the store.
        plan_path: JSON file with the turns.
        log_path: where acknowledgements are appended, one JSON line each.
        first: number of the turn to begin with, from 0.
        pause_s: time between two turns.
    """
    with open(plan_path, "rb") as file:
        turns = msgspec.json.decode(file.read(), type=list[Turn])
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    with open_store(store_path) as store:
        for turn in turns[int(first) :]:
            os.write(log, msgspec.json.encode(_store(store, turn)) + b"\n")
            time.sleep(float(pause_s))
    os.close(log)


def _store(store: StateStore, turn: Turn) -> Ack:
    append = store.append_user_message if turn.by_user else store.append_agent_response
    started = time.perf_counter()
    commit = append(
        turn.session_id,
        turn.content,
        metadata=turn.metadata,
        user_id=turn.user_id,
        tx_id=turn.tx_id,
    )
    return Ack(turn.tx_id, time.perf_counter() - started, commit.duplicate)


if __name__ == "__main__":
    main(*sys.argv[1:])
