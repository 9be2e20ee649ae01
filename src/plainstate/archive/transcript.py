"""A session for reading: who said what, in order, with the tools that were called."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plainstate.messages import UserMessage
from plainstate.session import AGENTS, USERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plainstate.session import Session
    from plainstate.types import Json

__all__ = ["Turn", "actions", "as_markdown", "speaker", "turns"]

# Where formats of conversations say who spoke.
_SPEAKERS: Final = ("role", "from", "speaker")
_PLAIN_ROLES: Final = {"user", "human", "assistant", "gpt", "agent"}


class Turn(NamedTuple):
    """A message as it is stored, and whose it is: "user" or "agent"."""

    side: str
    tree: dict[str, Json]


def turns(session: Session) -> list[Turn]:
    """The messages of a session in the order in which they were said."""
    tree = session.to_tree()
    waiting = {"user": iter(tree[USERS]), "agent": iter(tree[AGENTS])}
    sides = ["user" if isinstance(turn, UserMessage) else "agent" for turn in session.turns()]
    return [Turn(side, next(waiting[side])) for side in sides]


def speaker(turn: Turn) -> str:
    """Whose turn it is, with the role that the source of the conversation gave it."""
    metadata = _metadata(turn)
    roles = [metadata[key] for key in _SPEAKERS if isinstance(metadata.get(key), str)]
    if not roles or roles[0].lower() in _PLAIN_ROLES:
        return turn.side
    name = metadata.get("name")
    return (
        f"{turn.side} ({roles[0]} {name})" if isinstance(name, str) else f"{turn.side} ({roles[0]})"
    )


def actions(turn: Turn) -> Iterator[str]:
    """Tools that were called, and what came back, as chat formats note them."""
    metadata = _metadata(turn)
    for call in _objects(metadata.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            yield f"→ {function.get('name')} {_short(function.get('arguments'))}"
    for block in _objects(metadata.get("content")):
        if block.get("type") == "tool_use":
            yield f"→ {block.get('name')} {_short(block.get('input'))}"
        elif block.get("type") == "tool_result":
            yield f"← {_short(block.get('content'))}"
        elif block.get("type") not in ("text", "input_text", "output_text"):
            yield f"[{block.get('type')}]"


def _metadata(turn: Turn) -> dict[str, Any]:
    metadata = turn.tree.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- Markdown ------------------------------------------------------------------

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_BACKTICKS: Final = re.compile("`+")
# What is special inside a line.
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>&#|~$!])")
# HTML, and definitions that links elsewhere would follow: they reach out of a quote.
_REACHES_OUT: Final = re.compile(r"<[A-Za-z/!?]|\]:")

_SHOWN: Final = {"id", "user_id", "created_at", "updated_at", USERS, AGENTS}
"""Fields of a session that need not be repeated in JSON."""


def as_markdown(session: Session) -> str:
    r"""The transcript in Markdown (CommonMark).

    Whatever was said, it stays inside its turn: a text is a quote, or a fenced block where it
    holds what would reach out of a quote.

    Example:
        >>> from plainstate import Session
        >>> session = Session.with_id("ada", "s-1")
        >>> session.add_user_message("# Hi\n\n- one")
        >>> print(as_markdown(session).partition("\n\n> ")[2])
        # Hi
        >
        > - one
        <BLANKLINE>
    """
    tree = session.to_tree()
    title = session.get_metadata("title")
    said = turns(session)
    facts = [
        ("session", session.id),
        ("user", session.user_id),
        ("created", tree["created_at"]),
        ("changed", tree["updated_at"]),
        ("messages", str(len(said))),
    ]
    parts = [
        f"# {_inline(title if isinstance(title, str) and title.strip() else session.id)}",
        "\n".join(f"- {name}: {_code(value)}" for name, value in facts),
        *_details("more about the session", tree, _SHOWN),
    ]
    for number, turn in enumerate(said, 1):
        parts.append(f"## {number}. {_inline(speaker(turn))}, {_inline(turn.tree['timestamp'])}")
        parts += _text(turn.tree["content"])
        parts += [_fenced("\n".join(done)) for done in [list(actions(turn))] if done]
        parts += _details("more about the message", turn.tree, {"content", "timestamp"})
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> list[str]:
    if not text.strip():
        return []
    if _REACHES_OUT.search(text):
        return [_fenced(text)]
    lines = _LINE_END.split(text.rstrip("\r\n"))
    return ["\n".join(f"> {line}" if line.strip() else ">" for line in lines)]


def _details(summary: str, tree: dict[str, Json], shown: set[str]) -> list[str]:
    """The other fields as JSON, folded away; nothing if they say nothing."""
    more = {
        name: value
        for name, value in tree.items()
        if name not in shown and value is not None and value != {}
    }
    if not more:
        return []
    text = json.dumps(more, ensure_ascii=False, indent=2)
    return [f"<details><summary>{summary}</summary>", _fenced(text, "json"), "</details>"]


def _fenced(text: str, language: str = "text") -> str:
    """A fenced block that its content cannot end."""
    fence = "`" * (max([2, *map(len, _BACKTICKS.findall(text))]) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _inline(text: str) -> str:
    """A text on one line, where nothing in it means anything."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    """A code span on one line."""
    line = " ".join(text.split())
    fence = "`" * (max([0, *map(len, _BACKTICKS.findall(line))]) + 1)
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"
