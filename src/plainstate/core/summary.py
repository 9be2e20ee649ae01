"""The summary of a session: what a list shows, and what an append must know.

It is carried along from commit to commit, so that neither listing nor
appending needs to load the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plainstate.core.times import is_later
from plainstate.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plainstate.types import DocumentId, Json, Patch

__all__ = ["SESSIONS", "advance", "appended", "is_session", "summarize"]

SESSIONS: Final = "sessions"
"""The category whose JSON documents are sessions."""

_PREVIEW_CHARACTERS: Final = 80
_CARRIED: Final = ("active_seed_id", "active_persona_id")
_ARRAYS: Final = {"user_messages": "users", "agent_responses": "agents"}
_COUNTS: Final = {f"/{array}/-": count for array, count in _ARRAYS.items()}
_FIELDS: Final = {f"/{name}": name for name in ("updated_at", *_CARRIED)}


def is_session(document: DocumentId) -> bool:
    """Whether a document is a session by its place."""
    return document.category == SESSIONS and document.kind == "json"


def summarize(value: Json) -> dict[str, Json] | None:
    """Makes the summary of a session.

    Args:
        value: the session as a JSON tree.

    Returns:
        `user_id`, `users` and `agents` (numbers of messages), `last` (time of
        the last turn, "" if there is none), `created_at`, `updated_at`, `preview`, and `title`,
        `active_seed_id`, `active_persona_id` where set, and `odd` where a message is not
        one; `None` if `value` lacks what an append relies on.

    Cost: one look at each message.

    Example:
        >>> summarize({"user_id": "ada"}) is None
        True
    """
    if not isinstance(value, dict):
        return None
    users, agents = value.get("user_messages"), value.get("agent_responses")
    texts = [value.get(key) for key in ("user_id", "created_at", "updated_at")]
    if not (isinstance(users, list) and isinstance(agents, list)):
        return None
    if not (
        all(isinstance(text, str) for text in texts) and isinstance(value.get("metadata"), dict)
    ):
        return None
    try:
        last = _latest([_time(turn) for turns in (users, agents) for turn in turns])
    except InvalidValueError:
        return None
    summary: dict[str, Json] = {
        "user_id": texts[0],
        "users": len(users),
        "agents": len(agents),
        "last": last,
        "created_at": texts[1],
        "updated_at": texts[2],
        "preview": _preview(users[0]) if users else "",
    }
    title = value["metadata"].get("title")
    if not all(_is_message(turn) for turns in (users, agents) for turn in turns):
        summary["odd"] = True
    if isinstance(title, str):
        summary["title"] = title[:_PREVIEW_CHARACTERS]
    for key in _CARRIED:
        if isinstance(value.get(key), str):
            summary[key] = value[key]
    return summary


def advance(summary: dict[str, Json], patch: Patch) -> dict[str, Json] | None:
    """The summary after a transaction, without looking at the session.

    Returns:
        The new summary, or `None` if the patch does something that only the
        whole session can tell, or `summary` is none that `summarize` makes.
    """
    after = summary.copy()
    try:
        for operation in patch:
            name, path = operation["op"], operation["path"]
            value: Json = operation.get("value")
            if name == "add" and path in _COUNTS:
                count = _COUNTS[path]
                time = value["timestamp"]
                if not (isinstance(time, str) and isinstance(value["content"], str)):
                    return None  # this is no message
                if not after[count] and count == "users":
                    after["preview"] = _preview(value)
                after[count] += 1
                if time and is_later(time, after["last"]):
                    after["last"] = time
            elif path in _FIELDS and name in ("add", "replace") and isinstance(value, str):
                after[_FIELDS[path]] = value
            elif not _is_metadata(path) or name not in ("add", "replace", "remove"):
                return None
    except (InvalidValueError, LookupError, TypeError):
        return None
    return after


def appended(
    summary: dict[str, Json],
    messages: Iterable[tuple[str, dict[str, Json]]],
    last: str,
    updated_at: str,
) -> dict[str, Json]:
    """The summary after messages were appended, as `advance` makes it of their patch.

    Args:
        summary: before.
        messages: (array, tree) of each, in order.
        last: time of the last one.
        updated_at: the session's, from then on.
    """
    after = summary.copy()
    for array, message in messages:
        count = _ARRAYS[array]
        if not after[count] and count == "users":
            after["preview"] = _preview(message)
        after[count] += 1
    after["last"] = last
    after["updated_at"] = updated_at
    return after


def _is_metadata(path: str) -> bool:
    """Whether a path is inside the metadata, and nothing that a summary has."""
    return path.startswith("/metadata/") and not path.startswith("/metadata/title")


def _preview(message: Json) -> str:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str):
        return ""
    text = " ".join(content[: 4 * _PREVIEW_CHARACTERS].split())
    return text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"


def _is_message(value: Json) -> bool:
    """Whether a list of sessions need not look closer; a time is looked at by `_latest`."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("content"), str)
        and isinstance(value.get("timestamp"), str)
    )


def _time(message: Json) -> str:
    time = message.get("timestamp") if isinstance(message, dict) else None
    return time if isinstance(time, str) else ""


def _latest(stamps: list[str]) -> str:
    """The latest of some times, "" if there is none.

    Raises:
        InvalidValueError: one of them is no time.
    """
    latest = ""
    for stamp in stamps:
        if stamp and is_later(stamp, latest):
            latest = stamp
    return latest
