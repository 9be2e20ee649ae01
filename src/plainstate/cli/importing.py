"""Formats of conversations, and how each becomes a session without losing anything.

A format says where a dialogue has its messages, and where a message has its speaker and text:

| format           | messages        | speaker   | text                                       |
|------------------|-----------------|-----------|--------------------------------------------|
| `chat`           | the list itself | `role`    | `content`                                  |
| `messages`       | `messages`      | `role`    | `content`: OpenAI, Anthropic               |
| `sharegpt`       | `conversations` | `from`    | `value`                                    |
| `conversations`  | `conversations` | `role`    | `content`                                  |
| `taskmaster`     | `utterances`    | `speaker` | `text`                                     |
| `schema-guided`  | `turns`         | `speaker` | `utterance`                                |

The text becomes the content of a message, all other fields its metadata, under their own names.
So do the other fields of the dialogue in the session's metadata.  Text that is not one string
(null, a list of parts) stays in the metadata as well.  What is needed to restore the source
exactly and is not in these fields stands under `import`.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plainstate import Session
from plainstate.errors import InvalidNameError, InvalidValueError

if TYPE_CHECKING:
    from plainstate.types import Json

__all__ = ["MARKS", "Dialogue", "detect", "digest", "make_session", "read_back_equal", "restore"]

MARKS: Final = "import"
"""The metadata key that is plainstate's own; a field of that name in the source moves below it."""


class Format(NamedTuple):
    """Where a kind of file has what."""

    name: str
    messages: str | None
    speaker: str
    text: str


FORMATS: Final = (
    Format("chat", None, "role", "content"),
    Format("messages", "messages", "role", "content"),
    Format("sharegpt", "conversations", "from", "value"),
    Format("conversations", "conversations", "role", "content"),
    Format("taskmaster", "utterances", "speaker", "text"),
    Format("schema-guided", "turns", "speaker", "utterance"),
)

_BY_NAME: Final = {form.name: form for form in FORMATS}
_IDS: Final = ("conversation_id", "dialogue_id", "session_id", "id")
_OWNERS: Final = ("user_id", "user")
_USER_SIDE: Final = {"user", "human", "customer"}  # anybody else speaks for the agent
_TEXT_PARTS: Final = {"text", "input_text", "output_text"}


class Dialogue(NamedTuple):
    """One conversation of a file.

    Attributes:
        form: its format.
        tree: the source, as it was read.
        label: names it where it has no id of its own: file name and position.
    """

    form: Format
    tree: Json
    label: str


def detect(tree: Json) -> Format | None:
    """The format of one dialogue, `None` if it is none.

    Example:
        >>> detect({"conversations": [{"from": "human", "value": "Hello"}]}).name
        'sharegpt'
    """
    return next((form for form in FORMATS if _fits(tree, form)), None)


def _fits(tree: Json, form: Format) -> bool:
    if isinstance(tree, dict) != (form.messages is not None):
        return False
    messages = tree.get(form.messages) if isinstance(tree, dict) else tree
    if not isinstance(messages, list) or (form.messages is None and not messages):
        return False
    speak = all(
        isinstance(one, dict) and isinstance(one.get(form.speaker), str) for one in messages
    )
    # Somebody must say something; an agent that only calls tools has no text.
    return speak and (not messages or any(form.text in one for one in messages))


def make_session(dialogue: Dialogue, user_id: str | None = None) -> Session:
    """Makes the session that stands for a dialogue.  The same one gets the same id every time.

    Args:
        dialogue: the source.
        user_id: whose session; otherwise the dialogue says it, or it is "imported".

    Raises:
        InvalidValueError: it holds what cannot be stored.
    """
    form, tree = dialogue.form, dialogue.tree
    fields = {} if form.messages is None else dict(tree)
    messages = tree if form.messages is None else fields.pop(form.messages)
    owner = user_id or next((name for key in _OWNERS if (name := _text_id(fields.get(key)))), None)
    session = _named(owner or "imported", fields, dialogue)
    marks = {"format": form.name, "digest": digest(tree)}
    session.metadata = _pack(fields, marks)
    for message in messages:
        _add(session, message, form)
    return session


def restore(session: Session) -> Json:
    """The dialogue from which a session was imported.

    Raises:
        InvalidValueError: it was not imported.
    """
    fields, marks = _unpack(session.metadata)
    form = _BY_NAME.get(marks.get("format", ""))
    if form is None:
        raise InvalidValueError(
            f"session {session.id} was not imported", hint="Nothing to restore.", pointer=""
        )
    messages = []
    for turn in session.turns():
        message, message_marks = _unpack(turn.metadata)
        if form.text not in message and message_marks.get("text") != "absent":
            message[form.text] = turn.content
        messages.append(message)
    return messages if form.messages is None else {**fields, form.messages: messages}


def read_back_equal(session: Session, tree: Json) -> bool:
    """Whether a session holds everything of its source: order, roles, every field and type."""
    return _canonical(restore(session)) == _canonical(tree)


def digest(tree: Json) -> str:
    """Identifies the content of a dialogue, whatever its layout and order of keys."""
    data = _canonical(tree).encode(errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _canonical(tree: Json) -> str:
    return json.dumps(tree, sort_keys=True, ensure_ascii=False)


def _add(session: Session, message: dict[str, Json], form: Format) -> None:
    fields = dict(message)
    marks = {} if form.text in fields else {"text": "absent"}
    content = _plain_text(fields.get(form.text))
    if fields.get(form.text) == content:
        del fields[form.text]
    by_user = message[form.speaker].lower() in _USER_SIDE
    add = session.add_user_message if by_user else session.add_agent_response
    add(content, timestamp=_moment(fields.get("timestamp")), metadata=_pack(fields, marks))


def _plain_text(value: Json) -> str:
    """What is readable of a message's text: itself, or the text parts of a list."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    texts = [
        part if isinstance(part, str) else part.get("text")
        for part in parts
        if isinstance(part, str) or (isinstance(part, dict) and part.get("type") in _TEXT_PARTS)
    ]
    return "\n".join(text for text in texts if isinstance(text, str))


def _pack(fields: dict[str, Json], marks: dict[str, Json]) -> dict[str, Json]:
    """Metadata that holds the fields and plainstate's own marks."""
    if MARKS in fields:
        fields = dict(fields)
        marks = {**marks, "kept": fields.pop(MARKS)}
    return {**fields, MARKS: marks} if marks else fields


def _unpack(metadata: Any) -> tuple[dict[str, Json], dict[str, Json]]:
    """The fields and the marks again."""
    fields = dict(metadata)
    marks = fields.pop(MARKS, {})
    if "kept" in marks:
        fields[MARKS] = marks["kept"]
    return fields, marks


def _moment(stamp: Json) -> datetime | None:
    """The time of a message, where the source has one that says its zone."""
    if not isinstance(stamp, str):
        return None
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


# --- names ---------------------------------------------------------------------


def _named(owner: str, fields: dict[str, Json], dialogue: Dialogue) -> Session:
    """A session under the dialogue's own id, or under one made from it."""
    own = next((name for key in _IDS if (name := _text_id(fields.get(key)))), None)
    if own is None:
        return Session.with_id(owner, f"{_slug(dialogue.label)}-{digest(dialogue.tree)[:8]}")
    try:
        return Session.with_id(owner, own)
    except InvalidNameError:
        return Session.with_id(owner, f"{_slug(own)}-{digest(own)[:8]}")


def _text_id(value: Json) -> str | None:
    """An id as text: formats use numbers, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _slug(text: str) -> str:
    """The letters, digits and dashes of a text, short enough to be part of a name."""
    plain = re.sub(r"[^\w-]+", "-", unicodedata.normalize("NFC", text)).strip("-")
    short = plain.encode()[:120].decode(errors="ignore")
    return unicodedata.normalize("NFC", short) or "session"
