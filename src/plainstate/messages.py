"""Messages: what a user said and what an agent answered, and their JSON trees."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from msgspec import Struct, field

from plainstate.core import codec, convert, times
from plainstate.errors import DamagedError, InvalidValueError

if TYPE_CHECKING:
    from plainstate.types import Json

M = TypeVar("M", "UserMessage", "AgentResponse")

__all__ = [
    "AgentResponse",
    "Message",
    "UserMessage",
    "agent_response",
    "message_tree",
    "next_time",
    "now_ns",
    "parse_time",
    "refuse",
    "time_of",
    "user_message",
    "whole_message",
]


class UserMessage(Struct, frozen=True):
    """What a user said.

    Attributes:
        content: the text.
        timestamp: when, aware, UTC; `None` lets the store put the time of the append.
        metadata: anything else worth keeping; read-only once stored.
    """

    content: str
    timestamp: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class AgentResponse(Struct, frozen=True):
    """What the agent answered.

    Attributes:
        content: the text.
        session_id: the session it belongs to.
        seed_id: the seed used for it.
        phase_reached: how far the orchestration got.
        evaluation_passed: whether its evaluation passed.
        timestamp: as in `UserMessage`.
        metadata: as in `UserMessage`; tool calls, for example.
    """

    content: str
    session_id: str | None = None
    seed_id: str | None = None
    phase_reached: str | None = None
    evaluation_passed: bool | None = None
    timestamp: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


Message = UserMessage | AgentResponse
"""One turn of a conversation."""

_KINDS: Final = (UserMessage, AgentResponse)


def message_tree(message: Message) -> dict[str, Json]:
    """The JSON tree of a message, with the time of this moment if it has none.

    Raises:
        InvalidValueError: it holds something that JSON cannot.
    """
    if not isinstance(message, _KINDS):
        raise InvalidValueError(
            f"a message must be a UserMessage or an AgentResponse, not {type(message).__name__}",
            hint="Wrap the text: UserMessage('…') or AgentResponse('…').",
            pointer="",
        )
    stamp = message.timestamp
    content = message.content
    if type(content) is not str or not content.isascii():
        content = _text(content)
    tree: dict[str, Json] = {"content": content}
    if isinstance(message, AgentResponse):
        for name in ("session_id", "seed_id", "phase_reached"):
            tree[name] = _optional(name, getattr(message, name), str)
        tree["evaluation_passed"] = _optional("evaluation_passed", message.evaluation_passed, bool)
    tree["timestamp"] = (
        times.of_clock(time.time_ns()) if stamp is None else times.format(_instant(stamp))
    )
    metadata = message.metadata
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise _wrong("metadata", metadata, "a mapping")
    if metadata:
        tree["metadata"] = convert.to_tree(dict(metadata), depth=3)
    return tree


def whole_message(
    kind: type[M], given: str | M, timestamp: datetime | None, metadata: Mapping[str, Any] | None
) -> M:
    """A message from what a caller passed: a text with its circumstances, or a whole message.

    Raises:
        InvalidValueError: a whole message and circumstances beside it.
    """
    if not isinstance(given, kind):
        return kind(given, timestamp=timestamp, metadata={} if metadata is None else metadata)  # type: ignore[arg-type]  # checked when it is stored
    if timestamp is not None or metadata is not None:
        raise InvalidValueError(
            f"timestamp and metadata belong inside the {kind.__name__}",
            hint="Pass a text with them, or a whole message without.",
            pointer="",
        )
    return given


def next_time(text: str, last: str) -> str:
    """`text`, or the microsecond behind `last` if that is later: times strictly increase.

    Raises:
        InvalidValueError: `last` is the last microsecond of the year 9999.
    """
    if times.is_later(text, last):
        return text
    try:
        return times.format(times.parse(last) // 1000 * 1000 + 1000)
    except InvalidValueError:
        raise InvalidValueError(
            f"there is no time behind the last turn, which is of {last}",
            hint="Correct its timestamp in the session's file, or remove it: "
            "Session.remove_last_turn, then save_session.",
            pointer="/timestamp",
        ) from None


def _text(content: object) -> str:
    if not isinstance(content, str):
        raise _wrong("content", content, "text")
    return str(codec.check(content))


def _optional(name: str, value: object, kind: type) -> Json:
    if value is not None and not isinstance(value, kind):
        raise _wrong(name, value, f"{kind.__name__} or None")
    return codec.check(value)


def _instant(moment: object) -> int:
    if not isinstance(moment, datetime):
        raise _wrong("timestamp", moment, "an aware datetime")
    return times.from_datetime(moment)


def _wrong(name: str, value: object, wanted: str) -> InvalidValueError:
    return InvalidValueError(
        f"{name} must be {wanted}, not {type(value).__name__}",
        hint="Convert it, or put it into the message's metadata.",
        pointer=f"/{name}",
    )


def now_ns() -> int:
    """This moment in ns since the epoch, in whole microseconds."""
    return time.time_ns() // 1000 * 1000


def time_of(message: Json) -> int:
    """The time of a stored message in ns; refuses what is not a message (`DamagedError`)."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        refuse("a message has no content")
    return parse_time(message.get("timestamp"), "timestamp")


def parse_time(text: Json, name: str) -> int:
    """Reads a stored time (`DamagedError` if it is none)."""
    try:
        return times.parse(text)
    except InvalidValueError as error:
        refuse(f"{name} is not a time: {error}")


def refuse(reason: str) -> NoReturn:
    """Raises the error for a document that is not a session."""
    raise DamagedError(
        f"not a session: {reason}",
        hint="Correct the file by hand or restore it; load_json reads any JSON document.",
        path="",
        line=0,
    )


def user_message(tree: Json) -> UserMessage:
    """The view of a stored user message."""
    stamp = times.to_datetime(time_of(tree))
    return UserMessage(tree["content"], stamp, _frozen(tree.get("metadata") or {}))


def agent_response(tree: Json) -> AgentResponse:
    """The view of a stored agent response."""
    stamp = times.to_datetime(time_of(tree))
    return AgentResponse(
        tree["content"],
        tree.get("session_id"),
        tree.get("seed_id"),
        tree.get("phase_reached"),
        tree.get("evaluation_passed"),
        stamp,
        _frozen(tree.get("metadata") or {}),
    )


def _refuse_change(*_: Any, **__: Any) -> Any:
    raise TypeError(
        "a stored message cannot be changed; add a new one, or patch the document "
        "with StateStore.patch"
    )


class _FrozenDict(dict[str, Any]):
    """An object inside a stored message: reading only, so that no change is lost."""

    __setitem__ = __delitem__ = __ior__ = _refuse_change
    clear = pop = popitem = setdefault = update = _refuse_change

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy is the caller's own


class _FrozenList(list[Any]):
    """An array inside a stored message."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse_change
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse_change

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def _frozen(tree: Json) -> Json:
    if isinstance(tree, dict):
        return _FrozenDict({key: _frozen(value) for key, value in tree.items()})
    if isinstance(tree, list):
        return _FrozenList(_frozen(value) for value in tree)
    return tree
