"""The operations of `history.py`, done to a store, and the state of a store as data."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import plainstate.engines.file.document as document_module
import plainstate.engines.file.feed as feed_module
import plainstate.engines.file.folding as folding_module
from plainstate import AgentResponse, Session, StateStore, UserMessage
from plainstate.store import place_of
from proof.powercut.history import document, message, note, role_of
from proof.powercut.model import trashed

if TYPE_CHECKING:
    from plainstate.types import Commit, Kind
    from proof.powercut.history import Operation
    from proof.powercut.model import State

__all__ = [
    "FOLLOWER",
    "FORKS",
    "NOTHING_OLDER",
    "PROBE",
    "SESSIONS",
    "kind_of",
    "observe",
    "open_store",
    "perform",
    "places_in",
    "stripped",
    "write_probes",
]

PROBE: Final = "probe"
"""Written after a cut to every document, and not seen by `observe`; also the user and the session
that only a recovery has."""

SESSIONS: Final = ("s0", "s1", "s2")
FORKS: Final = ("f0", "f1")
FOLLOWER: Final = "auditor"
NOTHING_OLDER: Final = timedelta(0)

_USER: Final = "ada"
_FOLD_FLOOR_BYTES: Final = 3_000
_SEGMENT_BYTES: Final = 24_000
_HISTORY_BYTES: Final = 30_000
_QUIET_FOLD_S: Final = 0.3


def open_store(base: str, *, keep: bool) -> StateStore:
    """Opens a store in which everything happens early and often that a cut should meet.

    Args:
        base: where it is.
        keep: whether it keeps its history.
    """
    for module in (document_module, folding_module):  # constants, but for this
        vars(module)["FOLD_FLOOR_BYTES"] = _FOLD_FLOOR_BYTES
    vars(feed_module)["FEED_SEGMENT_BYTES"] = _SEGMENT_BYTES
    if keep:
        return StateStore(
            base, quiet_fold_s=_QUIET_FOLD_S, history="keep", history_bytes=_HISTORY_BYTES
        )
    return StateStore(base, quiet_fold_s=_QUIET_FOLD_S)


def perform(store: StateStore, operation: Operation) -> Commit | bool | None:  # noqa: C901, PLR0912 - one case per action
    """Calls the store.

    Returns:
        The commit; of `erase`, whether there was anything to erase.
    """
    number, tx_id = operation.number, operation.tx_id
    category, _, name = operation.place.partition("/")
    match operation.action:
        case "say" if role_of(number, 0) == "user":
            return store.append_user_message(name, message(number, 0), user_id=_USER, tx_id=tx_id)
        case "say":
            return store.append_agent_response(name, message(number, 0), user_id=_USER, tx_id=tx_id)
        case "batch":
            batch = [_message(number, index) for index in range(operation.amount)]
            return store.append_messages(name, batch, user_id=_USER, tx_id=tx_id)
        case "turn":
            session = store.load_session(name) or Session.with_id(_USER, name)
            session.add_user_message(message(number, 0))
            session.set_metadata("topic", number)
            return store.save_session(session, tx_id=tx_id)
        case "note":
            return store.append_markdown(category, name, note(number), tx_id=tx_id)
        case "rewrite":
            return store.save_markdown(category, name, note(number), tx_id=tx_id)
        case "save":
            return store.save_json(category, name, document(number), tx_id=tx_id)
        case "patch":
            change = [
                {"op": "replace", "path": "/number", "value": number},
                {"op": "add", "path": "/log/-", "value": number},
            ]
            return store.patch(category, name, change, tx_id=tx_id)
        case "change":
            return _change(store, operation)
        case "erase":
            return store.delete_file(category, name, kind=kind_of(category), tx_id=tx_id)
        case "move":
            new_category, new_name = operation.target.split("/")
            return store.rename(category, name, new_name, new_category=new_category)
        case "undo":
            return store.undo(category, name, kind=kind_of(category), tx_id=tx_id)
        case "fork":
            new_id = operation.target.rpartition("/")[2]
            store.fork_session(name, at=operation.amount, new_id=new_id)
        case "restore":
            return store.restore_session(name)
        case "prune":
            report = store.prune_sessions(keep_last=operation.amount, user_id=_USER)
            _demand(operation, [one.id for one in report.sessions])
        case "empty":
            emptied = store.empty_trash(older_than=NOTHING_OLDER)
            _demand(operation, [one.id for one in emptied.sessions])
    return None


def observe(store: StateStore, probes: list[str] | None = None) -> State:
    """The whole store as data, without what probes wrote; no list is asked.

    Args:
        store: what to read.
        probes: gets the place of every probe found, once for each.
    """
    found = probes if probes is not None else []
    state: State = {}
    for place in places_in(store):
        read = store.read(*place.split("/"))
        if read is not None:  # or it is deleted, and its journal not yet removed
            value, marks = stripped(place, read.value)
            found += [place] * marks
            if value is not None:
                state[place] = value
    for session in reversed(store.trash()):  # so the last pruned comes last
        value, _ = stripped(f"sessions/{session.id}", _in_trash(store, session.run, session.id))
        if value is not None:
            state.setdefault(trashed(session.id), []).append(value)
    return state


def places_in(store: StateStore) -> list[str]:
    """The documents of which a file is there, sorted."""
    base = _base(store)
    found = set()
    for category in os.listdir(base):
        if not category.startswith("."):
            names = os.listdir(os.path.join(base, category))
            stems = (name.rpartition(".")[0] for name in names if not name.startswith("."))
            found |= {f"{category}/{stem}" for stem in stems}
    return sorted(found)


def stripped(place: str, value: Any) -> tuple[Any, int]:
    """A value without its probes, `None` if it holds nothing else; and how many there are."""
    if place.startswith("sessions/"):
        session = Session(value)
        texts = [turn.content for turn in session.turns()]
        kept = [text for text in texts if text != PROBE]
        origin = session.get_metadata("forked_from") or {}
        rest = {
            "texts": kept,
            "topic": session.get_metadata("topic"),
            "from": origin.get("session_id"),
        }
        return rest if kept else None, len(texts) - len(kept)
    if place.startswith("notes/"):
        lines = value.splitlines(keepends=True)
        text = "".join(line for line in lines if line != PROBE + "\n")
        return text or None, lines.count(PROBE + "\n")
    return {key: part for key, part in value.items() if key != PROBE}, value.get(PROBE, 0)


def write_probes(store: StateStore) -> list[str]:
    """Writes to every document, and to sessions and notes that were deleted; returns where."""
    written = []
    for name in (*SESSIONS, *FORKS):
        store.append_user_message(name, PROBE, user_id=_USER)
        written.append(f"sessions/{name}")
    for name in ("log", "scrap"):
        store.append_markdown("notes", name, PROBE + "\n")
        written.append(f"notes/{name}")
    for place in places_in(store):
        category, name = place.split("/")
        if category not in ("sessions", "notes") and store.exists(category, name):
            with store.transaction(category, name) as change:
                change.value[PROBE] = change.value.get(PROBE, 0) + 1
            written.append(place)
    return written


def kind_of(category: str) -> Kind:
    """What the documents of a category are."""
    return "markdown" if category == "notes" else "json"


def _change(store: StateStore, operation: Operation) -> Commit | None:
    with store.transaction(*operation.place.split("/"), tx_id=operation.tx_id) as change:
        # a retry may find it deleted
        change.value = change.value or document(operation.number)
        change.value["number"] = operation.number
        change.value["log"].append(operation.number)
    return change.commit


def _demand(operation: Operation, names: list[str]) -> None:
    if names != list(operation.names):
        raise AssertionError(f"{operation.action}: {names}, and not {operation.names}")


def _in_trash(store: StateStore, run: str, name: str) -> Any:
    """A session in the trash: nobody writes there, so that its plain file is all of it."""
    path = os.path.join(_base(store), ".plainstate", "trash", run, f"{name}.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _base(store: StateStore) -> str:
    return place_of(store.url)


def _message(number: int, index: int) -> UserMessage | AgentResponse:
    kind = UserMessage if role_of(number, index) == "user" else AgentResponse
    return kind(message(number, index))
