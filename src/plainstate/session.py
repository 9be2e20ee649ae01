"""Sessions: conversations of a user with an agent.

A `Session` is a view of its JSON tree, which keeps whatever it does not know.  It
records what is done to it; saving commits those changes on top of what is
stored by then (`merging.py`), so two processes that both add messages end with all of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias

from plainstate.core import codec, convert, names, times
from plainstate.core.ids import IdMaker
from plainstate.core.patch import json_equal
from plainstate.core.pointer import escape
from plainstate.errors import InvalidValueError, OutcomeUnknownError, PlainstateError
from plainstate.limits import RECENT_TX_IDS
from plainstate.messages import (
    AgentResponse,
    Message,
    UserMessage,
    agent_response,
    message_tree,
    next_time,
    now_ns,
    parse_time,
    refuse,
    time_of,
    user_message,
    whole_message,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from plainstate.types import Json

__all__ = [
    "AGENTS",
    "USERS",
    "Held",
    "Session",
    "SessionId",
    "check_user",
    "last_turn",
    "new_tree",
]

USERS = "user_messages"
AGENTS = "agent_responses"

_Change: TypeAlias = tuple[str, str, "Json"]
"""A message that was added or removed: ("add" or "remove", array, tree)."""

Held: TypeAlias = tuple[list[_Change], tuple[dict[str, "Json"], "Json"]]
"""What is to be saved: changes; fields and metadata as they are at that moment."""


class SessionId(str):
    """The name of a session: any valid document name; `SessionId.new()` makes a UUIDv7.

    Example:
        >>> SessionId("support-42")
        SessionId('support-42')
        >>> len(SessionId.new())
        36
    """

    __slots__ = ()

    @classmethod
    def new(cls) -> SessionId:
        """A new random id; later ones sort behind earlier ones."""
        return cls(_make_id())

    def __repr__(self) -> str:
        return f"SessionId({str(self)!r})"


class Session:
    """One conversation.  Make it with `Session.new` or `Session.with_id`, or load it.

    Attributes can be set where that is saved (`active_seed_id`, `active_persona_id`,
    `metadata`); others refuse.

    Example:
        >>> session = Session.with_id("ada", "s-1")
        >>> session.add_user_message("What is 6 x 7?")
        >>> session.add_agent_response("42")
        >>> [turn.content for turn in session.turns()]
        ['What is 6 x 7?', '42']
        >>> session.exchange_count(), session.is_empty()
        (1, False)
    """

    __slots__ = ("_base", "_changes", "_tree", "_tried", "_version", "_views")

    def __init__(self, tree: Json, *, version: str | None = None) -> None:
        """Wraps a session's JSON tree, which becomes the session's own.

        Raises:
            DamagedError: it is not a session.
        """
        _check_shape(tree)
        self._tree: dict[str, Json] = tree
        self._views: dict[str, list[Any]] = {USERS: [], AGENTS: []}
        self._changes: list[_Change] = []
        self._tried: dict[str, Held | None] = {}  # by transaction id; `None`: all of it is saved
        self.settle(version)

    @classmethod
    def new(cls, user_id: str) -> Session:
        """A new session with a random id."""
        return cls.with_id(user_id, SessionId.new())

    @classmethod
    def with_id(cls, user_id: str, session_id: str) -> Session:
        """A new session with an id of your choice.

        Raises:
            InvalidNameError: the id is not a valid name.
            InvalidValueError: the user id is not text.
        """
        return cls(new_tree(user_id, session_id))

    # --- what it holds ---

    @property
    def id(self) -> SessionId:
        """Its name."""
        return SessionId(self._tree["id"])

    @property
    def user_id(self) -> str:
        """Who owns it."""
        return str(self._tree["user_id"])

    @property
    def created_at(self) -> datetime:
        """When it began, UTC."""
        return times.to_datetime(times.parse(self._tree["created_at"]))

    @property
    def updated_at(self) -> datetime:
        """When it was last changed, UTC."""
        return times.to_datetime(times.parse(self._tree["updated_at"]))

    @property
    def version(self) -> str | None:
        """The stored version it is based on, `None` if it was never stored."""
        return self._version

    @property
    def user_messages(self) -> tuple[UserMessage, ...]:
        """All user messages, oldest first."""
        return tuple(self._view(USERS))

    @property
    def agent_responses(self) -> tuple[AgentResponse, ...]:
        """All agent responses, oldest first."""
        return tuple(self._view(AGENTS))

    @property
    def active_seed_id(self) -> str | None:
        """The active seed, if any."""
        return self._tree.get("active_seed_id")

    @active_seed_id.setter
    def active_seed_id(self, seed_id: str | None) -> None:
        self._set("active_seed_id", seed_id)

    @property
    def active_persona_id(self) -> str | None:
        """The active persona, if any."""
        return self._tree.get("active_persona_id")

    @active_persona_id.setter
    def active_persona_id(self, persona_id: str | None) -> None:
        self._set("active_persona_id", persona_id)

    @property
    def metadata(self) -> dict[str, Json]:
        """Anything else about the session.  Change it as you like: it is compared when saved."""
        metadata: dict[str, Json] = self._tree["metadata"]
        return metadata

    @metadata.setter
    def metadata(self, metadata: Mapping[str, Json]) -> None:
        if not isinstance(metadata, Mapping):
            raise InvalidValueError(
                f"metadata must be a mapping, not {type(metadata).__name__}",
                hint="Assign a dict; an empty one clears it.",
                pointer="/metadata",
            )
        self._tree["metadata"] = convert.to_tree(dict(metadata), depth=1)
        self._touch()

    def get_metadata(self, key: str) -> Json:
        """One metadata value, `None` if it is not there."""
        return self.metadata.get(key)

    def turns(self) -> list[Message]:
        """All messages in the order in which they were said."""
        merged: list[tuple[int, int, Message]] = []
        for rank, array in enumerate((USERS, AGENTS)):
            stamps = [time_of(message) for message in self._tree[array]]
            merged += [
                (stamp, rank, view) for stamp, view in zip(stamps, self._view(array), strict=True)
            ]
        merged.sort(key=lambda entry: entry[:2])
        return [message for _, _, message in merged]

    def exchange_count(self) -> int:
        """How many times a user message was answered: the smaller of the two counts."""
        return min(len(self._tree[USERS]), len(self._tree[AGENTS]))

    def is_empty(self) -> bool:
        """Whether no user message is in it."""
        return not self._tree[USERS]

    def to_tree(self) -> dict[str, Json]:
        """A copy of the JSON tree as it would be stored."""
        return {key: codec.copy(value) for key, value in self._tree.items()}

    # --- changing it ---

    def add_user_message(
        self,
        content: str | UserMessage,
        *,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a user message.

        Args:
            content: the text, or a whole message.
            timestamp: when it was said; now, if left out.  One that is not later
                than the last turn's is moved right behind it.
            metadata: anything else worth keeping.
        """
        self._add(whole_message(UserMessage, content, timestamp, metadata))

    def add_agent_response(
        self,
        response: str | AgentResponse,
        *,
        timestamp: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds an agent response; arguments as in `add_user_message`."""
        self._add(whole_message(AgentResponse, response, timestamp, metadata))

    def remove_last_turn(self) -> Message | None:
        """Takes the last message back and returns it; `None` if there is none."""
        last = last_turn(self._tree)
        if last is None:
            return None
        array, index = last
        view: Message = self._view(array).pop(index)
        removed = self._tree[array].pop(index)
        if ("add", array, removed) in self._changes:
            self._changes.remove(("add", array, removed))
        else:
            self._changes.append(("remove", array, removed))
        self._touch()
        return view

    def set_active_seed(self, seed_id: str | None) -> None:
        """Sets or clears the active seed."""
        self._set("active_seed_id", seed_id)

    def set_active_persona(self, persona_id: str | None) -> None:
        """Sets or clears the active persona."""
        self._set("active_persona_id", persona_id)

    def set_metadata(self, key: str, value: Json) -> None:
        """Sets one metadata value."""
        checked = convert.to_tree({key: value}, depth=1)
        self.metadata.update(checked)
        self._touch()

    def _add(self, message: Message) -> None:
        array = USERS if isinstance(message, UserMessage) else AGENTS
        tree = message_tree(message)
        tree["timestamp"] = next_time(tree["timestamp"], self.last_time())
        self._tree[array].append(tree)
        self._changes.append(("add", array, tree))
        self._touch(tree["timestamp"])

    def _set(self, name: str, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise InvalidValueError(
                f"{name} must be a text or None", hint="Pass its id.", pointer=f"/{name}"
            )
        if value is None:
            self._tree.pop(name, None)
        else:
            self._tree[name] = codec.check(value)
        self._touch()

    def _touch(self, at: str | None = None) -> None:
        before = times.parse(self._tree["updated_at"])
        self._tree["updated_at"] = times.format(max(before, now_ns(), times.parse(at) if at else 0))

    # --- between the session and the store ---

    def last_time(self) -> str:
        """Time of the last turn as it is stored, "" if there is none."""
        last = last_turn(self._tree)
        return "" if last is None else str(self._tree[last[0]][last[1]]["timestamp"])

    def changed_fields(self, held: Held) -> list[tuple[str, Json, Json]]:
        """Fields set since then: (JSON Pointer, value before, value held); `...` where absent."""
        changed: list[tuple[str, Json, Json]] = []
        (base_fields, base_metadata), (_, (fields, metadata)) = self._base, held
        for name, before in base_fields.items():
            if fields[name] != before:
                changed.append((f"/{name}", before, fields[name]))
        for key in (*base_metadata, *(key for key in metadata if key not in base_metadata)):
            before, now = base_metadata.get(key, ...), metadata.get(key, ...)
            if before is ... or now is ... or not json_equal(before, now):
                changed.append((f"/metadata/{escape(key)}", before, now))
        return changed

    def take_name(self, name: str) -> None:
        """The file's name is the session's id, also where somebody copied or renamed the file."""
        self._tree["id"] = name

    def held(self) -> Held:
        """What a save takes; a copy, as its owner may go on with the session meanwhile."""
        return self._changes.copy(), (_fields(self._tree), convert.to_tree(self.metadata, depth=1))

    def settle(
        self,
        version: str | None,
        held: Held | None = None,
        stored: Sequence[dict[str, Json]] = (),
    ) -> None:
        """What was held is stored now, as `version`; what was done since is still to be saved.

        Args:
            version: the version stored.
            held: what was stored; everything, if left out.
            stored: the added messages as they were stored, perhaps moved in time.
        """
        if held is None:
            held = self._changes, (_fields(self._tree), codec.copy(self._tree["metadata"]))
        changes, self._base = held
        waiting, saved = {id(one) for one in self._changes}, {id(one) for one in changes}
        taken_back: list[_Change] = []
        added = [one for one in changes if one[0] == "add"]
        for one, final in zip_longest(added, stored):
            _, array, tree = one
            if id(one) not in waiting:
                taken_back.insert(0, ("remove", array, final or tree))
            elif final is not None and tree != final:
                self._tree[array][self._tree[array].index(tree)] = final
                self._views[array].clear()
        self._changes = [*taken_back, *(one for one in self._changes if id(one) not in saved)]
        self._tried = dict.fromkeys(self._tried)
        self._version = version

    @contextmanager
    def trying(self, tx_id: str) -> Iterator[None]:
        """While it is saved with this id: notes what is in it at the first attempt."""
        first = tx_id not in self._tried
        if first:
            self._tried[tx_id] = self.held()
            if len(self._tried) > RECENT_TX_IDS:  # no document remembers more
                del self._tried[next(iter(self._tried))]
        try:
            yield
        except PlainstateError as error:
            if first and not isinstance(error, OutcomeUnknownError):
                del self._tried[tx_id]  # nothing was saved
            raise

    def settle_tried(self, tx_id: str, version: str) -> None:
        """It was saved with this id before, as `version`: what was not in it then is still to be
        saved."""
        if tx_id not in self._tried:  # but by another object: nothing is known to be missing
            self.settle(version)
            return
        tried = self._tried[tx_id]
        if tried is None:
            return
        self.settle(version, tried)

    def _view(self, array: str) -> list[Any]:
        trees, views = self._tree[array], self._views[array]
        make = user_message if array == USERS else agent_response
        views += [make(tree) for tree in trees[len(views) :]]
        return views

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Session) and json_equal(self._tree, other._tree)

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        counts = f"{len(self._tree[USERS])} + {len(self._tree[AGENTS])} messages"
        return f"<Session {self.id!s} of {self.user_id}: {counts}>"


def new_tree(user_id: str, session_id: str) -> dict[str, Json]:
    """The JSON tree of a new session; errors as `Session.with_id`."""
    owner = check_user(user_id)
    now = times.of_clock(time.time_ns())
    return {
        "id": str(names.check_name(session_id)),
        "user_id": owner,
        USERS: [],
        AGENTS: [],
        "created_at": now,
        "updated_at": now,
        "metadata": {},
    }


def check_user(user_id: str) -> str:
    """Refuses what cannot own a session (`InvalidValueError`)."""
    if not isinstance(user_id, str) or not user_id:
        raise InvalidValueError(
            "user_id must be a non-empty text",
            hint="Pass who owns the session.",
            pointer="/user_id",
        )
    return str(codec.check(user_id))


def last_turn(tree: dict[str, Json]) -> tuple[str, int] | None:
    """Array and index of the last message of a session, `None` if there is none.

    Of two at the same time the agent's is the later one, as in `Session.turns`.
    """
    best: tuple[int, int, int] | None = None
    for rank, array in enumerate((USERS, AGENTS)):
        for index, message in enumerate(tree[array]):
            candidate = (time_of(message), rank, index)
            if best is None or candidate > best:
                best = candidate
    return None if best is None else ((USERS, AGENTS)[best[1]], best[2])


def _fields(tree: dict[str, Json]) -> dict[str, Json]:
    return {name: tree.get(name, ...) for name in ("active_seed_id", "active_persona_id")}


_make_id = IdMaker(time.time_ns, os.urandom)

_FIELDS = {"id": str, "user_id": str, "created_at": str, "updated_at": str}


def _check_shape(tree: Json) -> None:
    """Refuses what is not a session; fields that serde defaults are filled in."""
    if not isinstance(tree, dict):
        refuse("it is not a JSON object")
    for name, kind in _FIELDS.items():
        if not isinstance(tree.get(name), kind):
            refuse(f"{name} is missing or not text")
    for name in ("created_at", "updated_at"):
        parse_time(tree[name], name)
    for name in (USERS, AGENTS):
        if not isinstance(tree.setdefault(name, []), list):
            refuse(f"{name} is not an array")
    if not isinstance(tree.setdefault("metadata", {}), dict):
        refuse("metadata is not an object")
