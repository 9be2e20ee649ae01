"""What the processes of these tests do: `python workers.py TASK STORE [ARGUMENT …]`.

A worker reads orders from its standard input, one JSON value a line, and answers with one line
of JSON for each thing that it knows to be done.  Whatever it raises ends it with code 1.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from plainstate import StateStore, errors, open_store
from plainstate.engines.file import engine
from plainstate.fs.posix import PosixFileSystem
from plainstate.store import place_of


def fold_all_the_time(floor_bytes: int) -> None:
    """Makes a journal fold whenever it exceeds `floor_bytes`."""
    limits = {"FOLD_FLOOR_BYTES": floor_bytes, "FOLD_RATIO": 1 << 40}
    package = engine.__package__
    modules = [module for name, module in sys.modules.items() if name.startswith(package)]
    found = [(module, name) for module in modules for name in limits if hasattr(module, name)]
    if {name for _, name in found} != limits.keys():
        raise AssertionError(f"the limits of folding are not where they were: {found}")
    for module, name in found:
        setattr(module, name, limits[name])


def orders() -> Iterator[Any]:
    return map(json.loads, sys.stdin)


def told_to_go_on() -> bool:
    """Whether the end of orders has not come yet; for tasks whose only order is to begin."""
    return not select.select([sys.stdin], [], [], 0)[0]


def say(answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


# --- the tasks: each reads its orders and answers --------------------------------


def append(store: StateStore, session: str, writer: str) -> None:
    """Each order is a range of numbers: one message each, with a transaction id of its own."""
    for first, end in orders():
        for number in range(first, end):
            commit = store.append_user_message(
                session, f"{writer} {number} {'x' * 60}", tx_id=f"{writer}-{number}", user_id="ada"
            )
            say([number, commit.seq, commit.duplicate])


def append_and_pause(store: StateStore, session: str, writer: str) -> None:
    """As `append`, with a handle that folds in the background whenever it pauses."""
    with open_store(store.url, quiet_fold_s=0.002) as own:
        for first, end in orders():
            for number in range(first, end):
                commit = own.append_user_message(
                    session, f"{writer} {number} {'x' * 60}", user_id="ada"
                )
                say([number, commit.seq, commit.duplicate])
                time.sleep(0.004)


def increment(store: StateStore, times: str) -> None:
    for _ in orders():
        for _ in range(int(times)):
            with store.transaction("counters", "c") as doc:
                doc.value = {"n": (doc.value or {"n": 0})["n"] + 1, "by": os.getpid()}
        say("done")


def compare_and_set(store: StateStore, writer: str, times: str) -> None:
    for _ in orders():
        for number in range(int(times)):
            while True:
                before = store.read("plans", "p")
                try:
                    commit = store.save_json(
                        "plans", "p", [*before.value, [writer, number]], if_version=before.version
                    )
                except errors.ConflictError:
                    continue
                say([number, commit.seq])
                break


def get_or_create(store: StateStore, user: str) -> None:
    for session in orders():
        try:
            found = store.get_or_create_session(user, session)
            say([found.user_id, str(found.created_at), found.version])
        except errors.OwnershipError as error:
            say([error.owner, None, None])


def read(store: StateStore, session: str) -> None:
    """Reads from the first order to the end of orders; tells how often."""
    next(orders())
    rounds, length, version = 0, 0, 0
    seen: dict[str, int] = {}
    while told_to_go_on():
        loaded = store.load_session(session)
        messages = [message.content.split() for message in loaded.user_messages]
        for writer, number, _ in messages[length:]:
            if int(number) != seen.get(writer, 0):
                raise AssertionError(f"{writer} {number} is not the one after {seen.get(writer)}")
            seen[writer] = int(number) + 1
        at = int(loaded.version.split("-")[0])
        if len(messages) < length or at < version:
            raise AssertionError(f"went back from {length} messages at {version} to {at}")
        folder = place_of(store.url)
        with open(f"{folder}/sessions/{session}.json", "rb") as file:
            json.loads(file.read())  # the plain file is whole at every moment
        rounds, length, version = rounds + 1, len(messages), at
    say([rounds, length])


def hold(store: StateStore) -> None:
    """Holds a document from the first order to the second."""
    next(orders())
    with store.transaction("plans", "p") as doc:
        doc.value = "mine"
        say("holding")
        next(orders())
    say("released")


def die_before_rename(store: StateStore) -> None:
    """Is killed when a fold's temporary file is written and not yet in its place."""
    next(orders())
    store.append_user_message("s", "acknowledged", user_id="ada")
    PosixFileSystem.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    say("dying")
    store.checkpoint()


def checkpoint(store: StateStore) -> None:
    """Folds everything, again and again, from the first order to the end of orders."""
    next(orders())
    folded = 0
    while told_to_go_on():
        folded += store.checkpoint()
    say(folded)


def rename(store: StateStore, session: str) -> None:
    """Moves the session away whenever it is there; whoever appends begins it anew."""
    next(orders())
    moved = 0
    while told_to_go_on():
        try:
            store.rename("sessions", session, f"moved-{moved}")
            moved += 1
        except errors.NotFoundError:
            pass
        time.sleep(0.005)
    say(moved)


def delete(store: StateStore, session: str) -> None:
    """Deletes the session exactly as it was read, and tells what was in it."""
    next(orders())
    while told_to_go_on():
        loaded = store.load_session(session)
        if loaded is not None:
            try:
                store.delete_file("sessions", session, kind="json", if_version=loaded.version)
            except errors.ConflictError:
                continue
            say([message.content for message in loaded.user_messages])
        time.sleep(0.005)


def open_and_close(store: StateStore, name: str, times: str) -> None:
    """Opens, writes and closes a handle of its own, many times."""
    path = store.url
    for _ in orders():
        for number in range(int(times)):
            with open_store(path) as another:
                another.save_json("plans", name, number)
        say("done")


def follow(store: StateStore, name: str) -> None:
    """Tells every change from the first order to the end of orders."""
    with store.watch(follower=name) as watch:
        say("watching")
        next(orders())
        while told_to_go_on():
            change = watch.next(0.1)
            if change is not None:
                say([str(change.document), change.seq])


def prune(store: StateStore) -> None:
    """Prunes and restores all that there is, from the first order to the end of orders."""
    next(orders())
    moved = 0
    while told_to_go_on():
        for session in store.prune_sessions(keep_last=0).sessions:
            with contextlib.suppress(errors.AlreadyExistsError, errors.NotFoundError):
                store.restore_session(session.id)
                moved += 1
    say(moved)


TASKS = {
    task.__name__: task
    for task in (
        append,
        append_and_pause,
        checkpoint,
        compare_and_set,
        delete,
        die_before_rename,
        follow,
        get_or_create,
        hold,
        increment,
        open_and_close,
        prune,
        read,
        rename,
    )
}


def main(task: str, path: str, *arguments: str) -> None:
    if floor := os.environ.get("FOLD_FLOOR_BYTES"):
        fold_all_the_time(int(floor))
    with open_store(path) as store:
        say("ready")
        TASKS[task](store, *arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
