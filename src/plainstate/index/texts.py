"""Pure: what there is to find in a document, as texts of the size of a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from plainstate.core import times
from plainstate.core.summary import is_session
from plainstate.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.types import DocumentId, Json, Patch

__all__ = ["ROLES", "Text", "added_texts", "texts_of"]

ROLES: Final = {"user_messages": "user", "agent_responses": "agent"}
"""The arrays of a session, and who speaks there."""

_PASSAGE: Final = 1500
"""Characters of a passage of a document, about: large enough for words that belong together."""

_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n\s*")
_UNHEARD: Final = ("/updated_at", "/active_seed_id", "/active_persona_id")


class Text(Struct, frozen=True):
    """What a message or a passage says.

    Attributes:
        role: "user", "agent", or "" where nobody speaks.
        position: index of the message in its array, or of the passage in its document.
        body: the text.
        time: of a message, in µs since the epoch.
    """

    role: str
    position: int
    body: str
    time: int | None = None


def texts_of(document: DocumentId, value: Json) -> list[Text]:
    r"""The texts of a whole document.

    Of a session each message is one, its metadata included, and the session's own metadata. Other
    documents are cut into passages at paragraphs or members; of JSON, keys count as well.

    Example:
        >>> from plainstate.types import DocumentId
        >>> texts_of(DocumentId("notes", "a"), {"plan": ["read", {"pages": 7}]})[0].body
        'plan: read\nplan pages: 7'
    """
    if document.kind == "markdown":
        return _passages(_PARAGRAPH.split(value), "\n\n")
    if not (is_session(document) and isinstance(value, dict)):
        return _passages(_lines(value), "\n")
    found = _passages(_lines(value.get("metadata")), "\n")
    for array, role in ROLES.items():
        messages = value.get(array)
        if isinstance(messages, list):
            found += [_message(role, position, one) for position, one in enumerate(messages)]
    return found


def added_texts(patch: Patch, counts: dict[str, int]) -> list[Text] | None:
    """The texts that a transaction adds to a session.

    Args:
        patch: the transaction.
        counts: how many texts each role has; is counted on.

    Returns:
        `None` if it does more than adding messages: the session must be read as a whole.
    """
    found = []
    for operation in patch:
        array, _, end = operation["path"][1:].partition("/")
        if operation["op"] == "add" and array in ROLES and end == "-":
            role = ROLES[array]
            found.append(_message(role, counts[role], operation["value"]))
            counts[role] += 1
        elif operation["op"] == "test" or operation["path"] not in _UNHEARD:
            return None
    return found


def _message(role: str, position: int, message: Json) -> Text:
    if not isinstance(message, dict):
        return Text(role, position, "\n".join(_lines(message)))
    content = message.get("content")
    told = [content] if isinstance(content, str) else list(_lines(content))
    metadata = message.get("metadata")
    if isinstance(metadata, dict):  # its array tells already who said it
        metadata = {key: member for key, member in metadata.items() if key != "role"}
    told += _lines(metadata)
    try:
        time = times.parse(message.get("timestamp", "")) // 1000
    except InvalidValueError:
        time = None
    return Text(role, position, "\n".join(told), time)


def _lines(value: Json, key: str = "") -> Iterator[str]:
    """A line for each text and number, behind its keys."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _lines(member, f"{key} {name}" if key else name)
        if not value and key:
            yield key
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item, key)
    elif value is not None:
        yield f"{key}: {value}" if key else str(value)


def _passages(parts: list[str] | Iterator[str], between: str) -> list[Text]:
    """Puts short parts together, and cuts long ones at white space."""
    passages: list[str] = []
    waiting: list[str] = []
    size = 0
    for part in parts:
        for piece in _pieces(part):
            if waiting and size + len(piece) > _PASSAGE:
                passages.append(between.join(waiting))
                waiting, size = [], 0
            waiting.append(piece)
            size += len(piece)
    if size:
        passages.append(between.join(waiting))
    return [Text("", position, body) for position, body in enumerate(passages)]


def _pieces(part: str) -> Iterator[str]:
    while len(part) > _PASSAGE:
        cut = max(part.rfind(space, _PASSAGE // 2, _PASSAGE) for space in " \n") + 1 or _PASSAGE
        yield part[:cut]
        part = part[cut:]
    yield part
