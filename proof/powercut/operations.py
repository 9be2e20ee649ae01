"""The operations of `history.py`, done to a store, and the state of a store as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import plainstate.engines.file.document as document_module
import plainstate.engines.file.folding as folding_module
from plainstate import AgentResponse, Session, StateStore, UserMessage
from proof.powercut.history import document, message, note, role_of

if TYPE_CHECKING:
    from plainstate.types import Commit, Kind
    from proof.powercut.history import Operation, State

__all__ = ["PROBE", "SESSIONS", "observe", "open_store", "perform", "write_probes"]

PROBE: Final = "probe"
"""Written after a cut to every document, and not seen by `observe`."""

SESSIONS: Final = ("s0", "s1", "s2")

_USER: Final = "ada"
_FOLD_FLOOR_BYTES: Final = 3_000
_QUIET_FOLD_S: Final = 0.3


def open_store(base: str) -> StateStore:
    """Opens a store that folds early and often: folds are what a cut should meet."""
    for module in (document_module, folding_module):  # a constant, but for this
        vars(module)["FOLD_FLOOR_BYTES"] = _FOLD_FLOOR_BYTES
    return StateStore(base, quiet_fold_s=_QUIET_FOLD_S)


def perform(store: StateStore, operation: Operation) -> Commit | bool:  # noqa: C901 - one case per action
    """Calls the store.

    Returns:
        The commit; of `erase`, whether there was anything to erase.
    """
    number, tx_id = operation.number, operation.tx_id
    category, name = operation.place.split("/")
    match operation.action:
        case "say" if role_of(number, 0) == "user":
            return store.append_user_message(name, message(number, 0), user_id=_USER, tx_id=tx_id)
        case "say":
            return store.append_agent_response(name, message(number, 0), user_id=_USER, tx_id=tx_id)
        case "batch":
            batch = [_message(number, index) for index in range(operation.messages)]
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
        case "erase":
            return store.delete_file(category, name, kind=_kind(category), tx_id=tx_id)
        case "move":
            new_category, new_name = operation.target.split("/")
            return store.rename(category, name, new_name, new_category=new_category)


def observe(store: StateStore, probes: list[str] | None = None) -> State:
    """The whole store as data, without what probes wrote.

    Args:
        store: what to read.
        probes: gets the place of every probe found, once for each.
    """
    found = probes if probes is not None else []
    state: State = {}
    for category in store.list_categories():
        for name in store.list_category(category):
            place = f"{category}/{name}"
            value, marks = _read(store, category, name)
            found += [place] * marks
            if value is not None:
                state[place] = value
    return state


def write_probes(store: StateStore) -> list[str]:
    """Writes to every document, and to sessions and notes that were deleted; returns where."""
    for name in SESSIONS:
        store.append_user_message(name, PROBE, user_id=_USER)
    written = [f"sessions/{name}" for name in SESSIONS]
    for name in ("log", "scrap"):
        store.append_markdown("notes", name, PROBE + "\n")
        written.append(f"notes/{name}")
    for category in store.list_categories():
        if category in ("sessions", "notes"):
            continue
        for name in store.list_category(category):
            with store.transaction(category, name) as change:
                change.value[PROBE] = change.value.get(PROBE, 0) + 1
            written.append(f"{category}/{name}")
    return written


def _read(store: StateStore, category: str, name: str) -> tuple[Any, int]:
    """A document without its probes, `None` if it holds nothing else; and how many there are."""
    if category == "sessions":
        session = store.load_session(name)
        if session is None:
            return "listed, but absent", 0
        texts = [turn.content for turn in session.turns()]
        kept = [text for text in texts if text != PROBE]
        topic = session.get_metadata("topic")
        return {"texts": kept, "topic": topic} if kept else None, len(texts) - len(kept)
    if category == "notes":
        text = store.load_markdown(category, name)
        if text is None:
            return "listed, but absent", 0
        lines = text.splitlines(keepends=True)
        rest = "".join(line for line in lines if line != PROBE + "\n")
        return rest or None, lines.count(PROBE + "\n")
    value = store.load_json(category, name)
    if not isinstance(value, dict):
        return "listed, but absent", 0
    return value, value.pop(PROBE, 0)


def _message(number: int, index: int) -> UserMessage | AgentResponse:
    kind = UserMessage if role_of(number, index) == "user" else AgentResponse
    return kind(message(number, index))


def _kind(category: str) -> Kind:
    return "markdown" if category == "notes" else "json"
