"""What the tests of this folder share: a store that has everything, used by somebody unaware."""

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from damages import WRITER, build

from plainstate import StateStore, check_store, open_store
from plainstate.errors import PlainstateError

META = ".plainstate"
ADD = [{"op": "add", "path": "/added", "value": 1}]


def complete(path: Path) -> None:
    """Makes a store with every kind of file that there is, and a writer that was killed."""
    build(path)
    with open_store(path, history="keep") as store:
        store.reindex()
        store.search("Hello")
    (path / META / "quarantine" / "plans").mkdir(parents=True, exist_ok=True)
    (path / META / "writers" / WRITER).write_text("json plans/busy\n")


def index_of(base: Path) -> Path:
    """The store's index file."""
    return next((base / META).glob("index-*.sqlite"))


def contents(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Everything in a folder, with modes; what was read shows in nothing here."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None,
        )
        for path in sorted(folder.rglob("*"))
    }


USES: dict[str, Callable[[StateStore], object]] = {
    "load": lambda store: store.load_json("plans", "rest"),
    "list": lambda store: store.list_sessions(),
    "search": lambda store: store.search("precious"),
    "changes": lambda store: list(store.changes()),
    "stats": lambda store: store.stats(),
    "patch": lambda store: store.patch("plans", "busy", ADD),
    "patch at rest": lambda store: store.patch("plans", "rest", ADD),
    "save": lambda store: store.save_json("plans", "rest", 1),
    "create": lambda store: store.save_json("plans", "new", 1),
    "append": lambda store: store.append_user_message("new", "Hello", user_id="ada"),
    "rename": lambda store: store.rename("plans", "rest", "other"),
    "delete": lambda store: store.delete_file("plans", "other"),
    "prune": lambda store: store.prune_sessions(keep_last=1),
    "watch": lambda store: store.watch(follower="f").close(),
    "checkpoint": lambda store: store.checkpoint(),
    "repair": lambda store: store.repair(cut=True),
    "close": lambda store: store.close(),
}


def use(base: Path) -> set[str]:
    """Does everything that one does with a store; returns the codes of what was refused or found.

    What is raised and no error of plainstate is raised here.
    """
    codes = set()

    def noting(call: Callable[[], object]) -> None:
        try:
            call()
        except PlainstateError as error:
            codes.add(error.code)

    store = None
    with suppress(PlainstateError):
        store = open_store(base, history="keep", lock_timeout_s=1)
    for call in USES.values() if store is not None else ():
        noting(lambda call=call: call(store))
    noting(lambda: codes.update(one.code for one in check_store(base).findings))
    return codes
