"""What the processes of `test_processes.py` do: `python workers.py TASK STORE SEED COUNT`."""

import os
import random
import sys
import time
from pathlib import Path

from plainstate import StateStore, open_store
from plainstate.store import place_of

WORDS = ("apple", "pear", "fig")


def hammer(store: StateStore, chance: random.Random, count: int) -> None:
    """Appends, and sees each of its own messages at once in list and search."""
    for number in range(count):
        name = f"h-{chance.randrange(8)}"  # nobody deletes these
        own = f"own{os.getpid()}x{time.time_ns()}"  # nobody else's, whatever the seed
        store.append_user_message(name, f"{chance.choice(WORDS)} {own}", user_id="ada")
        assert name in [one.id for one in store.list_sessions(limit=100)]
        if number % 3 == 0:
            hits = store.search(own)
            assert [hit.session_id for hit in hits] == [name], (own, hits)
        if number % 10 == 0:
            extra = f"t-{chance.randrange(4)}"
            store.save_markdown("notes", extra, own)
            store.delete_file("notes", extra)


def write(store: StateStore, chance: random.Random, count: int) -> None:
    """Appends, deletes and renames; asks nothing of the index."""
    for number in range(count):
        name = f"s-{chance.randrange(20)}"
        store.append_user_message(name, chance.choice(WORDS), user_id="ada")
        if number % 7 == 0:
            store.delete_session(f"s-{chance.randrange(20)}")


def read(store: StateStore, chance: random.Random, count: int) -> None:
    """Asks."""
    for _ in range(count):
        store.list_sessions(limit=5)
        store.search(chance.choice(WORDS))


def delete(store: StateStore, chance: random.Random, count: int) -> None:
    """Deletes the files of the index at any moment, one by one."""
    folder = Path(place_of(store.url)) / ".plainstate"
    for _ in range(count):
        found = list(folder.glob("index*"))
        chance.shuffle(found)
        for path in found:
            path.unlink(missing_ok=True)
        time.sleep(chance.random() / 20)  # the pace of a person's script, nothing waits for it


def build(store: StateStore, _: random.Random, __: int) -> None:
    """Makes the index anew, until it is killed."""
    while True:
        store.reindex()


if __name__ == "__main__":
    task, place, seed, count = sys.argv[1:]
    with open_store(place, durability="os") as opened:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        globals()[task](opened, random.Random(int(seed)), int(count))
